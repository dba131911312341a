"""Several adapters of one model, one after the other: what they make, what of them is kept, and how a study says it."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import typer
import yaml

torch = pytest.importorskip("torch")

from torch_families import BATCH, images, options_of  # noqa: E402

from collapselab import store  # noqa: E402
from collapselab.adapt import ADAPTERS  # noqa: E402
from collapselab.adapt.base import Adapted, Adapter, steps_of  # noqa: E402
from collapselab.cli import adapt as command  # noqa: E402
from collapselab.cli.adapting import asked_of  # noqa: E402
from collapselab.core.choice import Options  # noqa: E402
from collapselab.core.errors import Diverged, Interrupted  # noqa: E402
from collapselab.core.needs import Needs  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import Reference, SampleSet, TrainingTable  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.capabilities import Discriminates, Trainable, Weighted  # noqa: E402
from collapselab.models.files import read_model, write_model  # noqa: E402
from collapselab.models.tuning import tuned  # noqa: E402
from collapselab.populations import POPULATIONS  # noqa: E402
from collapselab.study import jobs  # noqa: E402
from collapselab.study.loading import check  # noqa: E402
from collapselab.verbs.adapt import adaptation_seed, adaptation_seeds  # noqa: E402

SEEN = 4 * BATCH  # of a step that trains
CALLS = []


class Factor(Options):
    """Of a step that needs no training."""

    factor: float = 1.5


class Budget(Options):
    """Of a step that trains."""

    images_seen: int = SEEN
    rows: int = 0


def further(model, given, options, run):
    """A step that trains: on its own samples beside the generation's rows."""
    CALLS.append("further")
    own = given.own(8)
    rows = replace(given.training, data=np.concatenate([given.training.data, own.data]),
                   labels=np.concatenate([given.training.labels, np.zeros(8, np.int64)]),
                   weights=np.append(given.training.weights, np.ones(8)))  # fmt: skip
    return Adapted(tuned(model, rows, run), {"chosen": {"rows": len(rows)}, "ancestors": len(given.ancestors)})


def scaled(model, given, options, run):
    """A step that needs no training."""
    CALLS.append("scaled")
    return Adapted(model.with_weights({name: options.factor * one for name, one in model.weights().items()}))


def failing(model, given, options, run):
    """A step that diverges."""
    raise Diverged(7, float("inf"))


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    """Three adapters, and nobody called yet."""
    CALLS.clear()
    seen, validates = (lambda options: options.images_seen), (lambda options: options.rows)
    trains = Adapter(Budget, further, seen, (Trainable,), Needs(ancestors=1), validates=validates)
    monkeypatch.setitem(ADAPTERS, "further", trains)
    monkeypatch.setitem(ADAPTERS, "scaled", Adapter(Factor, scaled, lambda options: 0, (Weighted,)))
    monkeypatch.setitem(ADAPTERS, "failing", Adapter(Factor, failing, lambda options: 9, (Weighted,)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and its training set."""
    place = tmp_path_factory.mktemp("chained")
    model = MODELS["diffusion"].fit(images(), options_of("diffusion", classes=2), Run(1, images_seen=BATCH))
    write_model(place / "model.safetensors", "diffusion", model, {})
    digest = store.write_samples(place / "real.safetensors", SampleSet(images().data, images().labels))
    rows = Reference(digest, str(place / "real.safetensors"), np.arange(40), "real", "fixed", 0, images().labels, 1.0)
    store.write_training(place / "training.parquet", TrainingTable((rows,), {}))
    return place


def adapted(folder, out, names, options=None, model="model.safetensors", **more):
    """The model that the command makes, and its lineage."""
    files = folder / model, list(names), folder / "training.parquet"
    command.adapt(*files, out, options, 1, 0, 2, **more)
    found, metadata = read_model(out, MODELS, POPULATIONS)
    return found, metadata["lineage"]


def assert_same(found, expected):
    tensors, wanted = found.stored().tensors, expected.stored().tensors
    assert tensors.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def test_several_are_what_each_makes_of_the_one_before(folder, tmp_path):
    """To the bit what two jobs make, of which the second reads the first's file."""
    said = ['{"factor": 0.5}', "{}"]
    both, lineage = adapted(folder, tmp_path / "both.safetensors", ["scaled", "further"], said)
    adapted(folder, folder / "half.safetensors", ["scaled"], said[:1])
    alone, of_one = adapted(folder, tmp_path / "alone.safetensors", ["further"], said[1:], "half.safetensors")
    assert_same(both, alone)
    other, _ = adapted(folder, tmp_path / "other.safetensors", ["further", "scaled"], said[::-1])
    assert any((other.weights()[name] != one).any() for name, one in both.weights().items())  # their order counts
    assert lineage["images_seen"] == of_one["images_seen"] == SEEN
    first, second = steps_of(lineage)
    assert (first.name, first.options, first.facts) == ("scaled", {"factor": 0.5}, {})  # its curve is the training's
    assert second.name == "further" and second.facts["chosen"] == {"rows": 48}
    np.testing.assert_allclose(second.facts["training"]["loss"], both.curve["loss"], rtol=1e-5)
    (told,) = steps_of(of_one)
    assert told.facts == second.facts
    assert list(tmp_path.glob(".*")) == []  # what was kept on the way has gone


def test_a_name_that_comes_again_has_other_random_numbers(folder, tmp_path):
    assert adaptation_seeds(1, 0, 2, ["a", "b", "a"])[:2] == [adaptation_seed(1, 0, 2, name) for name in "ab"]
    assert len(set(adaptation_seeds(1, 0, 2, ["a", "a", "a"]))) == 3
    twice, lineage = adapted(folder, tmp_path / "twice.safetensors", ["further", "further"])
    assert lineage["images_seen"] == 2 * SEEN
    losses = [one.facts["training"]["loss"] for one in steps_of(lineage)]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(list(twice.curve["loss"]), rel=1e-5)


def interrupted_at(monkeypatch, images, seen):
    """From the given number of images on, somebody asks that the work ends; seen: how many there were when told."""

    @contextmanager
    def asking(what, budget, uses_torch):
        yield lambda count, loss: seen.append(count) or count >= images

    monkeypatch.setattr(command, "at_work", asking)


def gone_on(folder, place, monkeypatch, images):
    """A chain of a training, a factor and a training that is interrupted, and goes on; and what it has called."""
    out, seen = place / f"{images}.safetensors", []
    names = ["further", "scaled", "further"]
    with monkeypatch.context() as patch:
        interrupted_at(patch, images, seen)
        with pytest.raises(Interrupted):
            adapted(folder, out, names)
    assert seen[-1] == images and not out.exists()
    before = len(CALLS)
    found, _ = adapted(folder, out, names)
    return found, CALLS[before:]


@pytest.mark.parametrize(
    ("images", "again"), [(BATCH, ["further", "scaled", "further"]), (SEEN + 2 * BATCH, ["further"])]
)
def test_an_interrupted_chain_goes_on_to_the_same_bits_and_does_no_finished_step_again(
    folder, tmp_path, monkeypatch, images, again
):
    whole, _ = adapted(folder, tmp_path / "whole.safetensors", ["further", "scaled", "further"])
    found, called = gone_on(folder, tmp_path, monkeypatch, images)
    assert_same(found, whole)
    assert called == again


@pytest.mark.slow
def test_a_chain_is_interrupted_twenty_times(folder, tmp_path, monkeypatch):
    """After every step of both trainings but the last of each, each on its own, and after each of them in turn."""
    names, budget = ["further", "scaled", "further"], '{"images_seen": 176}'  # eleven batches
    assert 11 * BATCH == 176
    said = [budget, "{}", budget]
    whole, _ = adapted(folder, tmp_path / "whole.safetensors", names, said)
    out, seen = tmp_path / "often.safetensors", []
    stops = [step * BATCH for step in range(1, 22) if step != 11]
    for stop in stops:
        with monkeypatch.context() as patch:
            interrupted_at(patch, stop, seen)
            with pytest.raises(Interrupted):
                adapted(folder, out, names, said)
            assert seen[-1] == stop
    assert len(stops) == 20
    assert_same(adapted(folder, out, names, said)[0], whole)


def test_a_kept_step_of_other_options_or_with_damage_is_made_again(folder, tmp_path, caplog):
    out = tmp_path / "model.safetensors"
    kept = tmp_path / ".model.training" / "step0.safetensors"
    names = ["scaled", "failing"]

    def begun(factor):
        CALLS.clear()
        with pytest.raises(typer.Exit):
            adapted(folder, out, names, [f'{{"factor": {factor}}}', "{}"])
        return list(CALLS)

    def with_its_state(factor):
        """A kill leaves the folder; a divergence, which is an end, takes it away: it is put back."""
        content = {path.name: path.read_bytes() for path in kept.parent.iterdir()}
        found = begun(factor)
        kept.parent.mkdir(exist_ok=True)
        for name, one in content.items():
            (kept.parent / name).write_bytes(one)
        return found

    def keep_it(monkey):
        monkey.setattr(command, "leave", leave_running)

    def leave_running(out, family, settings, lineage, budget, fit, run, mark_diverged, **more):
        with pytest.raises(Diverged) as found:
            fit()
        assert found.value.images_seen == 7
        raise typer.Exit(1)

    with pytest.MonkeyPatch.context() as monkey:
        keep_it(monkey)
        assert begun(2.0) == ["scaled"] and kept.exists()
        assert with_its_state(2.0) == []
        assert with_its_state(3.0) == ["scaled"] and "it is of another adaptation" in caplog.text
        kept.write_bytes(kept.read_bytes()[:-9])
        assert begun(2.0) == ["scaled"] and "finished step not used" in caplog.text


def test_a_chain_that_diverges_says_after_how_many_images_of_all(folder, tmp_path):
    out = tmp_path / "gone.safetensors"
    files = folder / "model.safetensors", ["further", "failing"], folder / "training.parquet"
    command.adapt(*files, out, None, 1, 0, 2, mark_diverged=True)
    found, metadata = read_model(out, MODELS, POPULATIONS)
    assert found is None and metadata["lineage"]["diverged"]["images_seen"] == SEEN + 7


def test_options_are_as_many_as_adapters():
    assert [one.options.factor for one in asked_of(["scaled", "scaled"], ['{"factor": 2}', "{}"])] == [2, 1.5]
    with pytest.raises(typer.BadParameter, match=r"found 1 for 2 adapters \(scaled, further\); allowed"):
        asked_of(["scaled", "further"], ["{}"])
    with pytest.raises(typer.BadParameter) as found:
        asked_of(["scaled", "further"], ["{}", '{"images": 1}'])
    assert found.value.param_hint == "--options of further" and "images: unknown; allowed: " in found.value.message


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: chained
generations: 2
seeds: 1
data: {source: digits, split: {train: 60, held_out: 40, fresh: 0, validation: 30}}
models:
  net: {diffusion: {preset: tiny, channels: 8, blocks: 1, classes: 0, images_seen: 64, batch: 8, steps: 2}}
initial: {real: 40}
samples: 40
extractors: [pixels, random-conv]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: random-conv}
control: none
waive: {images_seen: the arms do different things}
arms:
  one: {model: net, regime: fully_synthetic, adapt: scaled}
  listed: {model: net, regime: fully_synthetic, adapt: [{scaled: {}}]}
  several:
    model: net
    regime: fully_synthetic
    adapt:
    - scaled: {factor: 2}
    - further: {images_seen: 24}
    - neon: {samples: 40, images_seen: 8, extractor: pixels}
"""


def checked(text=STUDY):
    study, faults = check(yaml.safe_load(text), "chained")
    return study, {".".join(map(str, fault.path)): fault.message for fault in faults}


def test_a_study_hands_a_chain_what_all_of_it_needs():
    study, faults = checked()
    assert faults == {}
    place = jobs.Place("several", 0, 2)
    words = jobs.arguments(study, "adapt", place)
    assert [one for one in words.split() if one in ("scaled", "further", "neon")] == ["scaled", "further", "neon"]
    assert words.count("--options") == words.count("--adapter") == 3
    assert study.images_beside("several", 1) == 32 and study.adapted_by("several") == ("pixels",)
    inputs = jobs.inputs(study, "adapt", place)
    assert any("validation-60-30" in one for one in inputs)
    assert [one for one in inputs if "adapted" in one] == [study.model_file("several", 0, 1)]  # the one before
    source = " ".join(jobs.roots(study, "adapt", place))
    assert "ADAPTERS[neon]" in source and "verbs.adapt:chained" in source


def test_a_list_of_one_is_the_one():
    study, _ = checked()
    one, listed = (jobs.Place(arm, 0, 1) for arm in ("one", "listed"))
    said = jobs.arguments(study, "adapt", one)
    assert said.replace("/one/", "/listed/") == jobs.arguments(study, "adapt", listed)
    assert jobs.identity(study, "adapt", one) == jobs.identity(study, "adapt", listed)
    assert "verbs.adapt:chained" not in " ".join(jobs.roots(study, "adapt", one))
    dumped = [study.file.arms[arm].model_dump(mode="json", exclude_unset=True)["adapt"] for arm in study.file.arms]
    assert dumped[:2] == ["scaled", "scaled"] and list(dumped[2][1]) == ["further"]


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("further: {images_seen: 24}", "furthr: {}", "adapt.1", "did you mean 'further'"),
        ("images_seen: 24", "images: 24", "adapt.1.further.images", "unknown"),
        ("images_seen: 24", "images_seen: -1", "adapt.1", "'further': images: found -1, allowed is a whole number"),
        ("images_seen: 24", "rows: 31", "data.split.validation", "found 30; 'further' of 'several' chooses"),
        ("images_seen: 8, ", "", "adapt.2.neon.images_seen", "found 0; a network learns"),
        ("extractor: pixels", "extractor: lenett", "adapt.2", "lenett"),
        ("further: {images_seen: 24}", "asking", "adapt.1", "was trained against a discriminator"),
        ("further: {images_seen: 24}", "distilled: {images_seen: 24}", "adapt.1", "'distilled' takes the place of"),
        ("extractor: random-conv}", "extractor: pixels}", "primary.extractor", "what the adapter 'neon' of 'several'"),
    ],
)
def test_every_fault_of_a_chain_says_which_step(monkeypatch, old, new, place, words):
    monkeypatch.setitem(ADAPTERS, "asking", Adapter(Factor, scaled, lambda options: 0, (Discriminates,)))
    assert STUDY.count(old) == 1
    _, faults = checked(STUDY.replace(old, new))
    wanted = place if place[:4] in ("data", "prim") else f"arms.several.{place}"
    assert wanted in faults and words in faults[wanted], faults
    assert set(faults) <= {wanted, "waive.images_seen", "arms.several.adapt.2"}, faults
