"""Every guide on real networks, in studies and on the command line; the laws of each are in test_guide_laws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

torch = pytest.importorskip("torch")

from torch_families import images, options_of  # noqa: E402

from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.engine.steering import Steering, together  # noqa: E402
from collapselab.guides import GUIDES  # noqa: E402
from collapselab.guides.base import Auxiliary, Guide  # noqa: E402
from collapselab.machine.device import exact  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.diffusion import Diffusion  # noqa: E402
from collapselab.models.diffusion.conditions import TABLES  # noqa: E402
from collapselab.models.stored import Stored  # noqa: E402
from collapselab.study import budget, guided, jobs  # noqa: E402
from collapselab.study.loading import check  # noqa: E402
from collapselab.verbs import adapt as verbs_adapt  # noqa: E402
from collapselab.verbs.sample import steering  # noqa: E402

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
STEPS, BATCH = 5, 8
SAID = {
    **{name: {"negative": 1} for name in ("dynamic_negative", "deletion", "perp_neg")},
    "fair": {"classes": [0, 1]},
}
"""Options that have to be said."""
SHARP = {  # options with which each has an effect that cannot be overlooked
    "cads": {"w": 1.0, "s": 1.0},
    "feedback": {"pi": 0.5},
    "dynamic_negative": {"prior": 0.5},
    "deletion": {"prior": 0.5},
    "autoguidance": {"w": 2.0},
    "sims": {"w": 2.0},
    "adaptive": {"threshold": 1.0},
}
UNET = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "attention_head_dim": 8,
    "num_class_embeds": 3,
}
NETWORKS = {
    "mlp": {},
    "unet": {"network": "unet", "channels": 8, "multipliers": (1, 2), "attention": (4,)},
    "diffusers": {
        "network": "diffusers",
        "unet": UNET,
        "parameterisation": "ddpm",
        "timesteps": 50,
        "preset": "cifar10",
    }
    | {"augment": 0.0, "precision": "float32"},
}


def made(network="mlp", seed=1, **changes):
    """A model of images in two classes with random weights, to which it makes a difference what it is told."""
    if network == "diffusers":
        pytest.importorskip("diffusers")
    said = {"steps": STEPS, "label_dropout": 0.2, "sampler": "ddim"} | NETWORKS[network]
    options = options_of("diffusion", **said, sample_batch=BATCH, **changes)
    from collapselab.models.diffusion.networks import build

    torch.manual_seed(seed)
    built = build(options, (1, 8, 8))
    weights = {name: (one + 0.2 * torch.randn_like(one)).detach().numpy() for name, one in built.named_parameters()}
    weights = {name: one * (4 if name in TABLES else 1) for name, one in weights.items()}
    tensors = {"shape": np.array((1, 8, 8), np.int64), **{f"network.{name}": one for name, one in weights.items()}}
    curve = {"curve.images_seen": np.zeros(0, np.int64), "curve.loss": np.zeros(0)}
    return Diffusion.load(Stored(tensors | curve), options)


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return made(request.param)


@pytest.fixture(scope="module")
def small():
    return made()


def steers(name, other, **options):
    entry = GUIDES[name]
    chosen = entry.Options(**SAID.get(name, {}), **options)
    return steering(name, chosen, dict.fromkeys(entry.auxiliary(chosen, 100), other))


def weaker(model):
    """The same network with smaller weights, as another model of its rows."""
    return model.with_weights({name: 0.9 * one for name, one in model.weights().items()})


# -- what a network is told, and all that is asked at once ------------------------------------------------------------


def test_one_pass_gives_what_several_give(model):
    """Of all rows and of some, with labels, without, and told by their vectors."""
    with torch.inference_mode(), exact(CPU):
        denoise, sigma = model.denoiser(CPU), torch.tensor(1.7, dtype=torch.float64)
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 1, 8, 8)))
        labels = torch.arange(6) % 2
        parts = [(x, labels), (x[:2], None), (x, 1 - labels)]
        for found, (rows, condition) in zip(together(denoise, parts, sigma), parts, strict=True):
            asked = denoise(rows, sigma, condition)
            assert found.shape == asked.shape and found.dtype == torch.float64
            assert torch.allclose(found, asked, rtol=1e-5, atol=1e-5)
        vectors = denoise.embedded_condition(labels)
        told, bare = together(denoise, [(x, vectors), (x, None)], sigma)
        assert torch.allclose(told, denoise(x, sigma, labels), rtol=1e-5, atol=1e-5)
        assert torch.allclose(bare, denoise(x, sigma, None), rtol=1e-5, atol=1e-5)
        (other,) = together(denoise, [(x, vectors + 1)], sigma)
        assert not torch.allclose(other, told, rtol=1e-2, atol=1e-2)
        assert not torch.allclose(told, bare, rtol=1e-2, atol=1e-2)


def test_labels_that_there_are_not_are_refused(small):
    x, sigma = torch.zeros(2, 1, 8, 8, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    with pytest.raises(ValueError, match="found labels 2 to 2, allowed are 0 to 1, the model's"):
        together(small.denoiser(CPU), [(x, torch.tensor([2, 2])), (x, None)], sigma)
    with pytest.raises(ValueError, match=r"guide 'perp_neg': condition: found labels 7 to 7"):
        small.sample(Ask(3, 0, guide=steering("perp_neg", GUIDES["perp_neg"].Options(negative=7), {})))


class Counting:
    """A denoiser whose passes are counted, with their rows."""

    def __init__(self, denoise):
        self.denoise, self.passes = denoise, []

    def __call__(self, x, sigma, condition=None):
        self.passes.append(len(x))
        return self.denoise(x, sigma, condition)

    def denoised_together(self, parts, sigma):
        self.passes.append(sum(len(rows) for rows, _ in parts))
        return self.denoise.denoised_together(parts, sigma)

    def embedded_condition(self, condition):
        return self.denoise.embedded_condition(condition)


@pytest.mark.parametrize("name", GUIDES)
def test_each_level_is_one_pass_of_the_model(small, name):
    """With as many rows as its predictions take, at most; each further model has a pass of its own."""
    counted, other = Counting(small.denoiser(CPU)), Counting(small.denoiser(CPU))
    guide = steers(name, small)
    normals = np.random.default_rng(0).standard_normal((BATCH, 1, 8, 8))
    others = dict.fromkeys(guide.others, other)
    with torch.inference_mode(), exact(CPU):
        asked = guide.steered(counted, counted, others, lambda number: torch.from_numpy(normals))
        from collapselab.models.diffusion import sampling

        levels = sampling.noise_levels(small.options, None)
        sampling.ddim(asked, torch.from_numpy(normals), levels, torch.arange(BATCH) % 2)
    entry, steps = GUIDES[name], len(levels) - 1
    assert len(counted.passes) == steps and len(other.passes) == steps * len(others)
    most = entry.evaluations(guide.options) - len(others)
    assert max(counted.passes) <= most * BATCH and set(other.passes) <= {BATCH}
    if name not in ("cads", "adaptive"):  # which have less to ask, by their options or on the way
        assert set(counted.passes) == {most * BATCH}


def test_what_is_not_wanted_is_not_computed(small):
    def passes(**said):
        counted = Counting(small.denoiser(CPU))
        guide = steering("cfg", GUIDES["cfg"].Options(**said), {})
        x = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
        with torch.inference_mode(), exact(CPU):
            from collapselab.models.diffusion import sampling

            levels = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0], dtype=torch.float64)
            sampling.ddim(guide.steered(counted, counted, {}, None), x, levels, torch.tensor([0, 1]))
        return counted.passes

    assert passes(w=0) == [2] * 4
    assert passes(w=1, schedule="interval", low=1.5, high=4) == [2, 4, 4, 2]


# -- laws over the registry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_does_something_and_nothing_at_its_neutral_strength(model, name):
    entry, other = GUIDES[name], weaker(model)
    plain = model.sample(Ask(11, 3)).data.astype(int)
    sharp = model.sample(Ask(11, 3, guide=steers(name, other, **SHARP.get(name, {})))).data.astype(int)
    assert np.abs(sharp - plain).max() > 1
    if entry.neutral is None:
        assert name in ("cfgpp", "fair")  # with lambda 0 it has no condition, with 1 more than it; another class
        return
    said = entry.neutral
    neutral = model.sample(Ask(11, 3, guide=steers(name, other, **said))).data.astype(int)
    # To rounding: what is asked in one pass with something else is summed in another order.
    assert np.abs(neutral - plain).max() <= 1 and (neutral != plain).mean() < 0.01


@pytest.mark.parametrize("name", GUIDES)
def test_a_guided_sample_does_not_hang_from_the_cut_or_the_batch(small, name):
    guide = steers(name, weaker(small), **SHARP.get(name, {}))
    whole = small.sample(Ask(21, 3, guide=guide)).data
    parts = [small.sample(Ask(count, 3, start, guide=guide)).data for start, count in [(0, 3), (3, 8), (11, 10)]]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    other = replace(small, options=small.options.model_copy(update={"sample_batch": 5}))
    found = other.sample(Ask(21, 3, guide=guide)).data.astype(int) - whole
    assert np.abs(found).max() <= 1 and (found != 0).mean() < 0.01  # to rounding, as without a guide
    labels = small.sample(Ask(21, 3, guide=guide)).labels
    np.testing.assert_array_equal(labels, small.sample(Ask(21, 3)).labels)


@pytest.mark.parametrize("sampler", ["heun", "ddim"])
def test_guides_steer_vectors_too(sampler):
    from collapselab.core.sets import TrainingSet

    source = np.random.default_rng(0)
    data = TrainingSet(source.normal(3, 2, (40, 2)), np.arange(40) % 2, np.ones(40))
    options = options_of("diffusion", preset="points", flip=False, steps=4, sampler=sampler, label_dropout=0.2)
    points = MODELS["diffusion"].fit(data, options, Run(1, images_seen=64))
    for name, entry in GUIDES.items():
        if sampler in entry.among.get("sampler", (sampler,)):
            found = points.sample(Ask(9, 2, guide=steers(name, points))).data
            assert found.shape == (9, 2) and np.isfinite(found).all()


BAD = {
    "cfg": ({"w": -2}, {"schedule": "interval"}, {"low": 90}, {"schedule": "points"}, {"points": [[1, 1]]}),
    "cfgpp": ({"strength": 1.5},),
    "apg": ({"eta": 2}, {"momentum": 1}, {"norm": 0}),
    "rescale": ({"phi": 1.1}, {"space": "eps"}),
    "cads": ({"tau1": 0.95}, {"noise": "some"}, {"psi": -1}),
    "feedback": ({"pi": 0}, {"most": 1}),
    "dynamic_negative": ({}, {"negative": -1}, {"negative": 0, "prior": 1}),
    "deletion": (
        {},
        {"negative": 2, "law": {"weights": [0.5, 0.5], "means": [[0], [1]], "variances": [1, 1]}},
        {"negative": 0, "law": {"weights": [0.5, 0.6], "means": [[0], [1]], "variances": [1, 1]}},
    ),
    "mambog": ({"alpha": -1},),
    "adaptive": ({"threshold": 2},),
    "perp_neg": ({}, {"negative": 1, "negative_weight": -1}),
    "autoguidance": ({"auxiliary": {"share": 0}}, {"auxiliary": {"images_seen": 0}}),
    "sims": ({"auxiliary": {"samples": 0}}, {"weight": 1}),
    "fair": ({}, {"classes": [0]}, {"classes": [0, 0]}, {"classes": [0, 1], "shares": [0.5, 0.6]}),
}


def study_of(guide, model=None, **arm):
    """A study of images of which one arm has a guide, and its faults in words."""
    said = {"preset": "tiny", "channels": 8, "blocks": 1, "images_seen": 160, "sampler": "ddim", "steps": 4}
    raw = yaml.safe_load(
        """
name: guided
seed: 1
seeds: 1
generations: 1
data: {source: digits, split: {train: 120, held_out: 60}}
initial: {real: 100}
samples: 100
extractors: [pixels]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: pixels}
control: none
"""
    )
    raw["models"] = {"net": {"diffusion": said | (model or {})}}
    raw["arms"] = {"led": {"model": "net", "regime": "fully_synthetic", "guide": guide, **arm}}
    found, faults = check(raw, "guided")
    return found, {".".join(map(str, fault.path)): fault.message for fault in faults}


@pytest.mark.parametrize("name", GUIDES)
def test_bad_options_are_refused_in_words(name):
    assert name in BAD, "say here what is refused"
    for said in BAD[name]:
        with pytest.raises(ValidationError):
            GUIDES[name].Options(**said)
        _, faults = study_of({name: said})
        assert faults and all(path.startswith(f"arms.led.guide.{name}") for path in faults)


@pytest.mark.parametrize("name", GUIDES)
def test_every_guide_is_an_arm(name):
    """A study with it has no fault; the images of further models count, and their trainings are jobs."""
    said = SAID.get(name, {})
    found, faults = study_of({name: said} if said else name)
    assert not faults
    further = GUIDES[name].auxiliary(GUIDES[name].Options(**said), 160)
    assert set(further) == set(found.auxiliaries("led", 1))
    beside = sum(one.images_seen for one in further.values())
    assert found.images_beside("led", 1) == beside
    place = jobs.Place("led", 0, 1, **({"role": next(iter(further))} if further else {}))
    roots = jobs.JOBS["sample"].roots(found, place)
    assert f"collapselab.guides:GUIDES[{name}]" in roots and any("denoised_together" in root for root in roots)
    if further:
        assert str(beside) in " ".join(jobs.JOBS["auxiliary"].arguments(found, place))
    assert budget.work(found)["net"].trained == 2 * 160 + 2 * beside


def test_a_plan_says_what_guided_arms_cost():
    found, _ = study_of("sims", {"sampler": "heun"})
    expected = "sims, at most 14 evaluations a sample in 4 steps, and 10,000 images a generation for its further models"
    assert guided.evaluations(found) == {"led": expected}
    found, _ = study_of({"perp_neg": {"negative": 1}})
    assert guided.evaluations(found) == {"led": "perp_neg, at most 12 evaluations a sample in 4 steps"}


def test_the_page_has_all_guides_and_its_arms_are_valid():
    page = (Path(__file__).parents[1] / "docs" / "guidance.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in GUIDES)
    shown = yaml.safe_load(page.partition("```yaml")[2].partition("```")[0])
    ((_, said),) = shown["models"].items()
    for name, arm in shown["arms"].items():
        _, faults = study_of(arm.get("guide", "cfg"), said["diffusion"] | {"images_seen": 160})
        assert not faults, name


UNSUITED = [
    ("cfgpp", {"sampler": "heun"}, {}, "is not defined for sampler 'heun' of 'net'; allowed: ddim, euler"),
    ("cfgpp", {"eta": 0.5}, {}, "is not defined for eta 0.5 of 'net'; allowed: 0.0"),
    ("cfg", {"classes": 0}, {}, "reads what the model makes without a class, but 'net' has classes: 0"),
    ("apg", {"label_dropout": 0.0}, {}, "reads what the model makes without a class, but 'net' has label_dropout: 0"),
    ({"perp_neg": {"negative": 10}}, {}, {}, "tells 'net' the class 10 as negative, allowed is 0 to 9"),
    ({"dynamic_negative": {"negative": 0}}, {"classes": 0}, {}, "as negative, allowed is none: it knows no classes"),
    ("cads", {}, {"sampling_bias": 0.5}, "cannot beside a sampling_bias; allowed is 1"),
    ({"autoguidance": {"auxiliary": {"options": {"chanels": 4}}}}, {}, {}, "chanels"),
    ({"autoguidance": {"auxiliary": {"options": {"channels": 5}}}}, {}, {}, "multiple of 4"),
]


@pytest.mark.parametrize(("guide", "model", "arm", "words"), UNSUITED)
def test_a_guide_that_does_not_suit_its_model_is_a_fault(guide, model, arm, words):
    _, faults = study_of(guide, model, **arm)
    assert any(path.startswith("arms.led.guide") and words in f"{path} {said}" for path, said in faults.items()), faults


NORMAL = [
    ("cfgpp", {}, "is not defined for sampler 'heun' of 'law'; allowed: ddim, euler"),
    ("cads", {}, "changes what a model is told of a sample's class, but 'law' is told none"),
    ("sims", {}, "each fit standardises by its own rows; allowed is standardise: false"),
    ({"autoguidance": {"auxiliary": {"options": {"ddof": 1}}}}, {}, "each fit standardises by its own rows"),
    ("autoguidance", {"standardise": False}, "another fit to the same rows is the same model"),
    ({"feedback": {"pi": 0.5, "ceiling": -1}}, {}, "ceiling: found -1, allowed are numbers from -0.588 on"),
]


@pytest.mark.parametrize(("guide", "model", "words"), NORMAL)
def test_a_guide_that_does_not_suit_a_normal_law_is_a_fault(guide, model, words):
    """It has Heun's sampler without saying so, no classes, and is fitted by a formula."""
    arm = {"model": "law", "regime": "fully_synthetic", "guide": guide}
    said = {
        "name": "normal",
        "generations": 1,
        "seeds": 1,
        "data": {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 20}},
        "models": {"law": {"gaussian-diffusion": {"ddof": 0, "between": 1} | model}},
        "initial": {"real": 20},
        "samples": 20,
        "extractors": ["moments"],
        "metrics": ["variance_ratio"],
        "primary": {"metric": "variance_ratio", "extractor": "moments"},
        "control": "none",
        "arms": {"led": arm},
    }
    _, faults = check(said, "normal")
    (fault,) = faults
    assert fault.path[:3] == ("arms", "led", "guide") and words in fault.message


def test_a_pipeline_of_one_prompt_can_be_guided_by_it_and_has_one_scale():
    said = {"prompts": ("a digit",), "classes": 0, "label_dropout": 0.1, "sampler": "ddim"}
    cfg, cads = (GUIDES[name] for name in ("cfg", "cads"))
    assert not list(cfg.unsuited(cfg.Options(), said)) and not list(cads.unsuited(cads.Options(), said))
    assert list(cfg.unsuited(cfg.Options(), said | {"label_dropout": 0}))
    (fault,) = cads.unsuited(cads.Options(), said | {"guidance_scale": 7.5})
    assert fault.endswith("cannot beside guidance_scale 7.5; allowed is 1")


def test_by_hand_too_cfgpp_needs_a_first_order_sampler():
    from collapselab.cli.steering import replaced
    from collapselab.models.gaussian_diffusion import GaussianDiffusionOptions

    model, entry = GaussianDiffusionOptions(ddof=0, between=1).model_dump(), GUIDES["cfgpp"]
    assert list(entry.unsuited(entry.Options(), replaced(model, {})))
    assert not list(entry.unsuited(entry.Options(), replaced(model, {"euler": {"steps": 4}})))


# -- further models ---------------------------------------------------------------------------------------------------


def test_a_weaker_model_is_smaller_where_it_is_asked_to_be():
    options = options_of("diffusion", steps=STEPS, label_dropout=0.2, channels=16)
    trained = MODELS["diffusion"].fit(images(), options, Run(1, images_seen=64))
    chosen = GUIDES["autoguidance"].Options(w=2, auxiliary={"share": 0.25, "options": {"channels": 8}})
    (one,) = GUIDES["autoguidance"].auxiliary(chosen, 128).values()
    assert one == Auxiliary("training", 32, 0, {"channels": 8})
    weak = verbs_adapt.auxiliary(one, MODELS["diffusion"], trained, images(), Run(2))
    assert weak.options == options.model_copy(update={"channels": 8}) and weak.curve["images_seen"][-1] == 32
    found = trained.sample(Ask(5, 1, guide=steering("autoguidance", chosen, {"weak": weak})))
    assert not np.array_equal(found.data, trained.sample(Ask(5, 1)).data)


def test_own_samples_teach_the_model_of_sims():
    chosen = GUIDES["sims"].Options(w=0.5, auxiliary={"images_seen": 48, "samples": 20})
    assert GUIDES["sims"].auxiliary(chosen, 10**6) == {"own": Auxiliary("own", 48, 20)}


# -- conditions that are changed --------------------------------------------------------------------------------------


def test_a_changed_condition_needs_a_model_that_knows_vectors():
    def same(embedded, at, state, draws, options):
        return embedded, state

    guide = Steering(lambda seen, *told: (seen.conditional, None), None, name="trial", changes=same)
    asked = guide.steered(*[lambda x, sigma, condition: x] * 2, {}, None)
    from collapselab.engine.steering import Level

    one = torch.tensor(1.0)
    with pytest.raises(
        ValueError, match="guide 'trial': changes what the model is told, and this one knows no vectors"
    ):
        asked(torch.zeros(2, 1), Level(one, one / 2, 0, 1), torch.tensor([0, 1]))


def test_conditions_have_noise_of_their_own_rows(small):
    """More numbers than a row has are drawn in several draws; each row has its own, whatever the batch."""
    drawn = {}

    def told(embedded, at, state, draws, options):
        noise = draws()
        assert noise.shape == embedded.shape
        drawn.setdefault(small_batch, []).append(noise.numpy())
        return embedded, state

    guide = Steering(lambda seen, *told: (seen.conditional, None), None, name="trial", changes=told)
    for small_batch in (8, 16):
        other = replace(small, options=small.options.model_copy(update={"sample_batch": small_batch}))
        other.sample(Ask(16, 3, guide=guide))
    first = np.concatenate([np.array(drawn[8][:STEPS]), np.array(drawn[8][STEPS:])], axis=1)
    np.testing.assert_array_equal(first, np.array(drawn[16]))
    assert len(np.unique(first)) == first.size


def test_a_guide_says_how_much_it_evaluates():
    said = {name: entry.evaluations(entry.Options(**SAID.get(name, {}))) for name, entry in GUIDES.items()}
    assert said.pop("perp_neg") == 3 and said.pop("fair") == 4 and set(said.values()) == {2}
    assert Guide(GUIDES["cfg"].Options, GUIDES["cfg"].rule).evaluations(None) == 1
