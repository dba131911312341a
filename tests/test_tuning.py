"""A trained model that is trained on: for every family that the loop trains."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_families import BATCH, FAMILIES, images, options_of  # noqa: E402

from collapselab import store  # noqa: E402
from collapselab.adapt import ADAPTERS  # noqa: E402
from collapselab.adapt.base import Adapter  # noqa: E402
from collapselab.cli.adapt import adapt  # noqa: E402
from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.choice import Options  # noqa: E402
from collapselab.core.errors import Interrupted  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import Reference, SampleSet, TrainingSet, TrainingTable  # noqa: E402
from collapselab.engine import loop, networks  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.capabilities import Trainable  # noqa: E402
from collapselab.models.files import read_model, write_model  # noqa: E402
from collapselab.models.tuning import settled, tuned  # noqa: E402
from collapselab.populations import POPULATIONS  # noqa: E402

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
STEPS = 4
SEEN = STEPS * BATCH
OF_VECTORS = [family for family in FAMILIES if "vectors" in MODELS[family].takes]
VECTORS = {"diffusion": {"preset": "points", "flip": False, "classes": 0}, "vae": {"network": "mlp"}}


def others(count=40):
    """Other images than those that the models are fitted to."""
    first = images(count)
    return replace(first, data=255 - first.data // 2)


def vectors(location=3.0, scale=2.0):
    data = location + scale * np.random.default_rng(0).normal(0, 1, (40, 2))
    return TrainingSet(data, None, np.ones(len(data)))


def of_vectors(family):
    """A small trained model of vectors."""
    return MODELS[family].fit(vectors(), options_of(family, **VECTORS.get(family, {})), Run(1, images_seen=SEEN))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    """A small trained model of each family."""
    return MODELS[request.param].fit(images(), options_of(request.param), Run(1, images_seen=SEEN))


def assert_same(found, expected):
    tensors, wanted = found.stored().tensors, expected.stored().tensors
    assert tensors.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def weights_of(made):
    return {name: array for name, array in made.stored().tensors.items() if not name.startswith("curve.")}


def test_every_family_that_the_loop_trains_is_here():
    assert {name for name in MODELS if issubclass(MODELS[name], Trainable)} == {
        name for name, kind in MODELS.items() if kind.uses_torch
    }


def test_it_goes_on_to_another_model_of_its_kind_by_as_many_images_as_the_run_says(model):
    before = {name: array.copy() for name, array in model.stored().tensors.items()}
    found = tuned(model, others(), Run(5, images_seen=SEEN - 1))
    assert type(found) is type(model) and (found.options, found.shape) == (model.options, model.shape)
    assert found.curve["images_seen"][-1] == SEEN  # whole batches, of this training alone
    assert len(found.curve["loss"]) == len(found.curve["images_seen"]) == STEPS
    assert weights_of(found).keys() == weights_of(model).keys()
    assert any(not np.array_equal(array, before[name]) for name, array in weights_of(found).items())
    assert found.how["device"]
    for name, array in model.stored().tensors.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)  # the model itself is what it was
    samples = found.sample(Ask(5, 1)).data
    assert samples.shape == (5, *model.shape) and not np.array_equal(samples, model.sample(Ask(5, 1)).data)


def test_a_budget_is_said(model):
    with pytest.raises(ValueError, match="images_seen: found None"):
        tuned(model, others(), Run(5))


def test_the_seed_is_all_the_chance_there_is(model):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = tuned(model, others(), Run(5, images_seen=SEEN))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert_same(tuned(model, others(), Run(5, images_seen=SEEN)), first)
    other = weights_of(tuned(model, others(), Run(6, images_seen=SEEN)))
    assert any(not np.array_equal(array, other[name]) for name, array in weights_of(first).items())


def test_images_are_trained_on_as_a_fit_from_the_model_does(model):
    """Where the scale of the data is not the family's own: of the same images it is that of the model."""
    found = tuned(model, images(), Run(5, images_seen=SEEN))
    assert_same(found, type(model).fit(images(), model.options, Run(5, images_seen=SEEN), model))


@pytest.mark.parametrize("family", OF_VECTORS)
def test_vectors_are_seen_in_the_models_own_units(family):
    """Other rows are standardised as the model's were, and its scale stays; a fit from it would take theirs."""
    model, other = of_vectors(family), vectors(-20.0, 0.3)
    found = tuned(model, other, Run(5, images_seen=SEEN))
    for name in ("location", "scale"):
        np.testing.assert_array_equal(getattr(found.scale, name), getattr(model.scale, name))
        fitted = type(model).fit(other, model.options, Run(5, images_seen=SEEN), model)
        assert not np.array_equal(getattr(fitted.scale, name), getattr(model.scale, name))
    np.testing.assert_array_equal(model.seen(other).data, model.scale.standardised(other.data).astype(np.float32))
    seen, run = model.seen(other), Run(5, images_seen=SEEN)
    trained = networks.trained(
        family, lambda where: model.task(seen, model.options, run, where), seen, model.options, run, None
    )
    for name, array in trained.weights.items():
        np.testing.assert_array_equal(weights_of(found)[f"network.{name}"], array, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_images_are_seen_as_they_are(family):
    model = MODELS[family].fit(images(), options_of(family), Run(1, images_seen=BATCH))
    training = others()
    np.testing.assert_array_equal(model.seen(training).data, training.data)
    found = tuned(model, training, Run(5, images_seen=BATCH))
    if getattr(model, "scale", None) is not None:
        np.testing.assert_array_equal(found.scale.location, model.scale.location)
        np.testing.assert_array_equal(found.scale.scale, model.scale.scale)


# -- interruption ------------------------------------------------------------------------------------------------------


def stopped(model, folder, at=2 * BATCH, training=None, **said):
    """The images seen at the first step of a training that is stopped after ``at``."""
    seen = []

    def progress(now, loss):
        seen.append(now)
        return now >= at

    with pytest.raises(Interrupted) as caught:
        tuned(model, training or others(), Run(5, images_seen=SEEN, checkpoint=folder, progress=progress, **said))
    assert caught.value.images_seen == at
    return seen[0]


def test_a_stopped_training_goes_on_to_the_same_bits(model, tmp_path):
    whole = tuned(model, others(), Run(5, images_seen=SEEN))
    assert stopped(model, tmp_path / "state") == BATCH
    seen = []
    run = Run(5, images_seen=SEEN, checkpoint=tmp_path / "state", progress=lambda now, loss: seen.append(now))
    assert_same(tuned(model, others(), run), whole)
    assert seen[0] == 3 * BATCH


@pytest.mark.parametrize("changed", [None, "data", "model", "beside"])
def test_only_the_same_training_goes_on_from_a_state(model, changed, tmp_path, caplog):
    """That of another model, other rows, or another adapter's options is none of its own."""
    stopped(model, tmp_path / "state", beside={"strength": 1.0})
    said = {"beside": {"strength": 2.0 if changed == "beside" else 1.0}}
    if changed == "data":
        said["training"] = images()
    if changed == "model":
        model = tuned(model, images(), Run(9, images_seen=BATCH))
    assert stopped(model, tmp_path / "state", at=3 * BATCH, **said) == (3 * BATCH if changed is None else BATCH)
    assert ("another training" in caplog.text) == (changed is not None)


def test_it_is_looked_at_on_its_way(model):
    made = replace(model, options=model.options.model_copy(update={"snapshots": 1}))
    looks = []
    run = Run(5, images_seen=SEEN, inspect=lambda one, seen: looks.append((one, seen)))
    tuned(made, others(), run)
    ((look, seen),) = looks
    assert type(look) is type(model) and seen == SEEN // 2 and look.curve["images_seen"][-1] == seen
    assert look.sample(Ask(2, 1)).data.shape == (2, *model.shape)


class Strength(Options):
    """Of an adapter that trains a model on."""

    strength: float = 1.0


def more(model, given, options, run):
    """An adapter: as many images more of the generation's own training set."""
    return tuned(model, given.training, run)


def budget(options):
    """The images that it sees."""
    return BATCH


def test_an_adaptation_goes_on_from_a_state_of_the_same_adapter_alone(tmp_path, monkeypatch):
    """The adapter's source, its options and all that it reads are part of what its checkpoint is of."""
    monkeypatch.setitem(ADAPTERS, "more", Adapter(Strength, more, budget))
    model = MODELS["gan"].fit(images(), options_of("gan"), Run(1, images_seen=BATCH))
    write_model(tmp_path / "model.safetensors", "gan", model, {})
    digest = store.write_samples(tmp_path / "real.safetensors", SampleSet(images().data))
    rows = Reference(digest, str(tmp_path / "real.safetensors"), np.arange(40), "real", "fixed", 0, None, 1.0)
    store.write_training(tmp_path / "training.parquet", TrainingTable((rows,), {}))
    told, identity = [], loop.identity
    monkeypatch.setattr(
        loop, "identity", lambda arrays, **facts: told.append(facts["beside"]) or identity(arrays, **facts)
    )

    def adapted(out, strength):
        files = tmp_path / "model.safetensors", ["more"], tmp_path / "training.parquet"
        adapt(*files, tmp_path / out, [f'{{"strength": {strength}}}'], 1, 0, 2)
        return read_model(tmp_path / out, MODELS, POPULATIONS)

    found, metadata = adapted("one.safetensors", 1.0)
    assert metadata["lineage"]["adapter"] == {"more": {"strength": 1.0}} and metadata["lineage"]["images_seen"] == BATCH
    again, _ = adapted("two.safetensors", 1.0)
    other, _ = adapted("three.safetensors", 2.0)
    assert_same(again, found)
    assert_same(other, found)  # this adapter makes nothing of its option
    assert told[0] == told[1]
    assert (told[0]["options"], told[2]["options"]) == ({"strength": 1.0}, {"strength": 2.0})
    assert told[0]["adapter"] == "more" and set(told[0]) == {"adapter", "options", "inputs"}
    read = [store.recorded_hash(tmp_path / name) for name in ("model.safetensors", "training.parquet")]
    assert told[0]["inputs"] == sorted(read)


# -- another task ------------------------------------------------------------------------------------------------------


def test_what_is_made_of_the_task_is_what_is_trained(model):
    """A doubled loss is twice that of the first step, which no other has changed anything before."""
    given = []

    def doubled(task):
        given.append(task)
        for index, phase in enumerate(task.phases):
            task.phases[index] = replace(phase, loss=lambda batch, loss=phase.loss: 2 * loss(batch))
        return task

    plain = tuned(model, others(), Run(5, images_seen=BATCH))
    twice = tuned(model, others(), Run(5, images_seen=BATCH), doubled)
    assert len(given) == 1
    first = given[0].phases[0].name
    np.testing.assert_allclose(twice.curve[first], 2 * plain.curve[first], rtol=1e-6)
    assert_same(tuned(model, others(), Run(5, images_seen=BATCH), lambda task: task), plain)


# -- what goes on ------------------------------------------------------------------------------------------------------


def test_what_went_on_can_be_stored(model, tmp_path):
    found = tuned(model, others(), Run(5, images_seen=SEEN))
    family = next(name for name in FAMILIES if isinstance(found, MODELS[name]))
    write_model(tmp_path / "model.safetensors", family, found, {})
    back, metadata = read_model(tmp_path / "model.safetensors", MODELS, POPULATIONS)
    assert metadata["family"] == family and back.options == found.options
    assert_same(back, found)
    np.testing.assert_array_equal(back.sample(Ask(5, 1)).data, found.sample(Ask(5, 1)).data)
    assert_same(tuned(back, images(), Run(6, images_seen=BATCH)), tuned(found, images(), Run(6, images_seen=BATCH)))


def test_what_validation_rows_have_chosen_is_not_chosen_again():
    """An option that was left open is settled, so that going on needs no validation rows; the choice stays with it."""
    options = options_of("diffusion", ema="power", ema_snapshots=2)
    assert options.left_open
    model = MODELS["diffusion"].fit(images(), options, Run(1, images_seen=SEEN, validation=others()))
    assert settled(model).ema_std == model.chosen["ema_std"] and not settled(model).left_open
    assert settled(model).model_dump(exclude={"ema_std"}) == options.model_dump(exclude={"ema_std"})
    found = tuned(model, others(), Run(5, images_seen=SEEN))
    assert found.chosen == model.chosen and found.options == model.options
    assert found.averaged.keys() == model.averaged.keys()


def test_options_that_leave_nothing_open_are_the_models_own(model):
    assert settled(model) is model.options
