"""What models and known truths can be asked for, how they are stored, and what some of them can do beside this."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_families import FAMILIES, images, options_of  # noqa: E402

from collapselab import store  # noqa: E402
from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.errors import Damaged  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import SampleSet  # noqa: E402
from collapselab.engine import loop, networks  # noqa: E402
from collapselab.engine.steering import unsteered  # noqa: E402
from collapselab.machine.device import exact  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.arrays import no_curve  # noqa: E402
from collapselab.models.asking import called, check_ask  # noqa: E402
from collapselab.models.capabilities import (  # noqa: E402
    Counts,
    Denoises,
    Inverts,
    Judges,
    Knows,
    Scores,
    Trainable,
    Varies,
    Weighted,
)
from collapselab.models.diffusion import sampling  # noqa: E402
from collapselab.models.files import read_model, write_model  # noqa: E402
from collapselab.models.options import Options  # noqa: E402
from collapselab.models.stored import Base, Stored  # noqa: E402
from collapselab.populations import POPULATIONS  # noqa: E402

CPU = torch.device("cpu")
CONDITIONAL = ["diffusion", "stylegan2"]


@pytest.fixture(scope="module", params=CONDITIONAL)
def labelled(request):
    """A model of each family that takes labels, with two classes, to which it makes a difference what it is told."""
    more = {"learning_rate": 1e-2, "ema_half_life": 0} if request.param == "diffusion" else {}
    data = images()
    data = dataclasses.replace(data, data=data.data // 4 + 128 * data.labels.astype(np.uint8)[:, None, None, None])
    return MODELS[request.param].fit(data, options_of(request.param, **more), Run(1, images_seen=640))


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", [MODELS, POPULATIONS], ids=["models", "populations"])
def test_a_class_is_called_as_its_registry_calls_it(registry):
    for name, kind in registry.items():
        assert called(kind.__new__(kind)) == name


@pytest.mark.parametrize("kind", [*MODELS.values(), *POPULATIONS.values()], ids=lambda kind: kind.__name__)
def test_a_sampler_refuses_before_it_looks_at_itself(kind):
    with pytest.raises(ValueError, match="sampling_bias: found -2"):
        kind.__new__(kind).sample(Ask(3, 0, bias=-2))


def test_a_family_that_takes_prompts_is_asked_for_as_many_as_samples():
    class Painter:
        bias, conditions = "", ("prompts",)

    check_ask(Ask(2, 0, condition=["a cat", "a dog"]), Painter())
    with pytest.raises(ValueError, match="condition: found 1 prompts, allowed are 2, one a sample"):
        check_ask(Ask(2, 0, condition=["a cat"]), Painter())
    with pytest.raises(ValueError, match="condition: found 2 prompts"):  # a word is no sequence of prompts
        check_ask(Ask(2, 0, condition="ab"), Painter())
    with pytest.raises(ValueError, match="condition: found labels, allowed with painter: prompts"):
        check_ask(Ask(2, 0, condition=np.zeros(2, np.int64)), Painter())


def test_labels_that_are_asked_for_are_those_of_the_samples(labelled):
    wanted = np.array([1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1], np.int64)
    samples = labelled.sample(Ask(11, 3, start=2, condition=wanted))
    np.testing.assert_array_equal(samples.labels, wanted)
    plain = labelled.sample(Ask(11, 3, start=2))
    as_the_rule = plain.labels == wanted
    assert 0 < as_the_rule.sum() < 11
    np.testing.assert_array_equal(samples.data[as_the_rule], plain.data[as_the_rule])  # whatever lies beside them
    assert all((samples.data[row] != plain.data[row]).any() for row in np.flatnonzero(~as_the_rule))


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (np.array([0, 2]), "condition: found labels 0 to 2, allowed are 0 to 1"),
        (np.array([-1, 0]), "condition: found labels -1 to 0, allowed are 0 to 1"),
        (np.array([0, 1, 0]), r"condition: found int64 labels of shape \(3,\), allowed are int64 of shape \(2,\)"),
        (np.array([0.0, 1.0]), r"condition: found float64 labels of shape \(2,\)"),
        (["a cat", "a dog"], "condition: found prompts, allowed with .*: labels"),
    ],
)
def test_other_labels_are_refused(labelled, condition, message):
    with pytest.raises(ValueError, match=message):
        labelled.sample(Ask(2, 0, condition=condition))


@pytest.mark.parametrize("family", CONDITIONAL)
def test_a_model_without_classes_takes_no_labels(family):
    model = MODELS[family].fit(images(), options_of(family, classes=0), Run(1, images_seen=16))
    assert model.sample(Ask(2, 0)).labels is None
    with pytest.raises(ValueError, match="condition: found labels, allowed are none: the model knows no classes"):
        model.sample(Ask(2, 0, condition=np.zeros(2, np.int64)))


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_run_keeps_its_own_budget_and_tells_what_is_made_of_the_training():
    assert Run(1).lasting(5).images_seen == 5
    assert Run(1, images_seen=0).lasting(5).images_seen == 0
    assert [Run(1, images_seen=seen).steps(4) for seen in (0, 1, 4, 5)] == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="images_seen: found None, allowed is a number"):
        Run(1).steps(4)
    seen = []
    run = Run(1, inspect=lambda model, count: seen.append((model, count))).inspecting(lambda trained: trained * 2)
    run.inspect("ab", 7)
    assert seen == [("abab", 7)] and Run(1).inspecting(str).inspect is None


def test_data_are_hashed_only_for_a_checkpoint(monkeypatch, tmp_path):
    """Gigabytes of images take minutes."""
    hashed = []
    monkeypatch.setattr(loop, "identity", lambda arrays, **facts: hashed.append(sorted(arrays)) or "one training")
    for folder in (None, tmp_path):
        MODELS["gan"].fit(images(), options_of("gan"), Run(1, images_seen=16, checkpoint=folder))
    assert hashed == [["data", "labels", "weights"]]


# -- storing -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Shifted:
    """A dummy family: the numbers of a file, shifted by what was learned. It stores the shift alone."""

    Options = Options
    options: Options
    base: Base
    shift: np.ndarray
    conditions, bias, uses_torch = (), "", False

    def sample(self, ask):
        numbers = np.load(self.base.path)
        return SampleSet(np.resize(numbers + self.shift, (ask.count, len(numbers))))

    def stored(self):
        return Stored({"shift": self.shift, **no_curve()}, self.base)

    @classmethod
    def load(cls, stored, options):
        return cls(options, stored.base, np.array(stored.tensors["shift"]))


@pytest.fixture
def shifted(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "shifted", Shifted)
    np.save(tmp_path / "base.npy", np.arange(3.0))
    return Shifted(Options(), Base.of(tmp_path / "base.npy"), np.full(3, 0.5))


def test_a_model_may_store_what_it_adds_to_a_file(tmp_path, shifted):
    path = tmp_path / "model.safetensors"
    write_model(path, "shifted", shifted, {})
    tensors, metadata = store.read_tensors(path)
    assert set(tensors) == {"shift", "curve.images_seen", "curve.loss"}
    assert metadata["base"] == {
        "path": str(tmp_path / "base.npy"),
        "sha256": store.content_hash(tmp_path / "base.npy"),
    }
    found, _ = read_model(path, MODELS, POPULATIONS)
    assert found.base == shifted.base
    np.testing.assert_array_equal(found.sample(Ask(2, 0)).data, [[0.5, 1.5, 2.5]] * 2)


def test_another_base_is_refused(tmp_path, shifted):
    path = tmp_path / "model.safetensors"
    write_model(path, "shifted", shifted, {})
    np.save(tmp_path / "base.npy", np.arange(3.0) + 1)
    with pytest.raises(Damaged, match=r"base.npy: is another file: its SHA-256 is .{12}…, of the file that a model"):
        read_model(path, MODELS, POPULATIONS)
    (tmp_path / "base.npy").unlink()
    with pytest.raises(Damaged, match=r"base\.npy: is not there, and a model holds only what it adds to it"):
        read_model(path, MODELS, POPULATIONS)


def test_a_whole_model_says_nothing_of_a_base(tmp_path):
    model = MODELS["box"].fit(dataclasses.replace(images(), data=np.eye(40)), MODELS["box"].Options(), Run(0))
    write_model(tmp_path / "model.safetensors", "box", model, {})
    tensors, metadata = store.read_tensors(tmp_path / "model.safetensors")
    assert "base" not in metadata and Stored.read(tensors, metadata).base is None


# -- capabilities ------------------------------------------------------------------------------------------------------


def test_who_can_what():
    """A capability is had by who has its methods: those that were meant to, and no others by chance."""
    networks_ = {"vae", "flow", "diffusion", "gan", "stylegan2", "pretrained", "transformer", "pretrained-text"}
    formulas = {"box", "multinomial", "naive-bayes", "gaussian", "gmm", "kde", "ppca"}
    formulas |= {"linear-regression", "linear-classifier", "ridge-regression", "logistic-regression", "poisson"}
    ours = networks_ | formulas
    expected = {
        Scores: ours - {"gan", "stylegan2", "pretrained"},
        Knows: formulas,
        Weighted: {"diffusion", "stylegan2", "gaussian", "transformer"},
        Varies: {"gaussian"},
        Denoises: {"diffusion", "pretrained"},
        Inverts: {"diffusion", "flow"},
        Trainable: networks_,
        Counts: {"diffusion", "stylegan2", "transformer"},
        Judges: {"multinomial"},
    }
    assert {able: {name for name in ours if issubclass(MODELS[name], able)} for able in expected} == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_options_of_networks_say_their_budget_and_how_many_they_make_at_once(family):
    options = options_of(family, images_seen=77)
    assert (options.budget, options.at_once) == (77, 8)
    closed = MODELS["box"].Options()
    assert (closed.budget, closed.at_once) == (None, None)


@pytest.mark.parametrize("data", ["images", "vectors"])
def test_a_sample_is_what_the_sampler_makes_of_the_denoiser(data):
    if data == "images":
        model = MODELS["diffusion"].fit(images(), options_of("diffusion"), Run(1, images_seen=64))
    else:
        points = dataclasses.replace(images(), data=np.random.default_rng(0).normal(3, 2, (40, 2)), labels=None)
        options = options_of("diffusion", preset="points", flip=False, classes=0)
        model = MODELS["diffusion"].fit(points, options, Run(1, images_seen=64))
    options, asked = model.options, Ask(8, 3)
    with torch.inference_mode(), exact(CPU):
        denoise = model.denoiser(CPU)
        assert denoise.levels == (options.sigma_min, options.sigma_max)
        noise = sampling.seeds.normals(3, 0, 8, int(np.prod(model.shape))).reshape(8, *model.shape)
        labels = torch.arange(8) % 2 if options.classes else None
        levels = sampling.noise_levels(options, None)
        made = sampling.heun(unsteered(denoise), torch.from_numpy(noise), levels, labels).numpy()
        no_label = denoise(torch.from_numpy(noise), levels[0])
    found = model.sample(asked).data
    if model.scale is None:
        np.testing.assert_array_equal(found, sampling.in_batches(lambda batch: made, 8, 0, 8, model.shape))
    else:
        np.testing.assert_array_equal(found, model.scale.restored(made))
    assert no_label.dtype == torch.float64 and no_label.shape == (8, *model.shape)


def test_the_levels_of_a_discrete_schedule_are_within_it():
    options = options_of("diffusion", parameterisation="ddpm", timesteps=50, sigma_min=1e-9, sigma_max=1e9)
    model = MODELS["diffusion"].fit(images(), options, Run(1, images_seen=16))
    sigmas = model.denoiser(CPU).parameterised.sigmas
    assert model.denoiser(CPU).levels == (sigmas[0].item(), sigmas[-1].item())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_is_what_a_fit_from_a_model_hands_to_the_loop(family):
    """Whoever wraps a task (an adapter) and leaves it as it is trains what ``fit`` trains, to the same bits."""
    options, run = options_of(family), Run(5, images_seen=48)
    start = MODELS[family].fit(images(), options, Run(1, images_seen=32))
    fitted = MODELS[family].fit(images(), options, run, start)
    trained = networks.trained(
        family, lambda where: start.task(images(), options, run, where), images(), options, run, None
    )
    found = {name.removeprefix("network."): array for name, array in fitted.stored().tensors.items()}
    for name, array in trained.weights.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
