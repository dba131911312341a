"""Neon: the laws of weight extrapolation through the real loop, its vote on the sign, and its choice of the weight."""

from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml
from scipy.stats import binomtest

from collapselab import store
from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Given
from collapselab.adapt.neon import _Moved, sign_test
from collapselab.cli.inputs import model_in
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features import FEATURES
from collapselab.models.gaussian import Gaussian, GaussianOptions
from collapselab.report import sections
from collapselab.samplers import SAMPLERS
from collapselab.samplers.base import Sampling
from collapselab.samplers.levels import Noise
from collapselab.store.tensors import read_metadata
from collapselab.study import jobs, results
from collapselab.study.jobs import Place
from collapselab.study.loading import check
from collapselab.theory import sampler_factor
from collapselab.verbs import adapt as verb

NEON = ADAPTERS["neon"]

# -- the loop ----------------------------------------------------------------------------------------------------------

BIAS, ROWS, DIMENSIONS, GENERATIONS = 0.8, 800, 60, 3
LOOP = f"""
name: moved
generations: {GENERATIONS}
seeds: 1
data: {{population: {{gaussian: {{dimension: {DIMENSIONS}}}}}, split: {{held_out: 20}}}}
models: {{law: {{gaussian: {{ddof: 1, covariance: diagonal}}}}}}
initial: {{real: {ROWS}}}
samples: {ROWS}
extractors: [moments]
metrics: [variance_ratio]
primary: {{metric: variance_ratio, extractor: moments}}
control: none
arms:
  left: {{model: law, regime: fully_synthetic, sampling_bias: {BIAS}}}
  variance:
    model: law
    regime: fully_synthetic
    sampling_bias: {BIAS}
    adapt: {{neon: {{samples: {ROWS}, weight: {1 / BIAS}}}}}
  short:
    model: law
    regime: fully_synthetic
    sampling_bias: {BIAS}
    adapt: {{neon: {{samples: {ROWS}, weight: 1}}}}
  logarithm:
    model: law
    regime: fully_synthetic
    sampling_bias: {BIAS}
    adapt: {{neon: {{samples: {ROWS}, weight: 1, scale: logarithm}}}}
"""


def study_of(text, **changes):
    found, faults = check(yaml.safe_load(text) | changes, yaml.safe_load(text)["name"])
    assert not faults, faults
    return found


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """arm -> the mean variance of the samples' law at each generation, of a study that has run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("moved"))
        study = study_of(LOOP)
        in_process.run(study)
        found = {}
        for arm in study.file.arms:
            files = [study.model_file(arm, 0, generation) for generation in range(GENERATIONS + 1)]
            found[arm] = np.array([store.read_tensors(Path(file))[0]["covariance"].mean() for file in files]) * BIAS
        return found


def noise(generation, weight):
    """Four standard errors of a mean variance after so many fits, each to rows and to own samples (weight w)."""
    one = 2 / (ROWS - 1) / DIMENSIONS
    return 4 * np.sqrt((generation + 1) * one * ((1 + weight) ** 2 + weight**2))


@pytest.mark.parametrize(
    ("arm", "weight", "factor"),
    [
        ("left", 0, BIAS),
        ("variance", 1 / BIAS, 1.0),  # on the variance w = 1 / lambda is what holds it
        ("short", 1, BIAS * (2 - BIAS)),  # and w = 1 is not
        ("logarithm", 1, 1.0),  # on its logarithm w = 1 is
    ],
)
def test_the_loop_law_of_extrapolation(moved, arm, weight, factor):
    """A training on own samples multiplies a variance by lambda: then lambda (1 + w (1 - lambda)) is the loop's factor
    on the variance. On its logarithm it is lambda^(1 - w), and 1 + 2 / n for n own samples, since E 1 / chi^2 > 1.
    """
    for generation, variance in enumerate(moved[arm]):
        expected = factor ** (generation + 1)
        assert abs(variance / expected - 1) < noise(generation, weight) + 2 * (generation + 1) * weight / ROWS


STEPS = 16


def test_own_samples_are_made_by_the_arms_sampler(tmp_path, monkeypatch):
    """Euler's steps multiply the variance of standardised rows by f: own samples that are made by them teach f v, and
    w = 1 / f takes that back. Heun's, which the model has by itself, would teach 1.15 v, and the loop would shrink."""
    euler, model = SAMPLERS["euler"], {"ddof": 1, "covariance": "diagonal", "steps": STEPS}
    factor = sampler_factor(Sampling(euler, euler.Options(steps=STEPS), "euler"), Noise(0.002, 80.0, 7.0, STEPS), 1.0)
    neon = {"neon": {"samples": ROWS, "weight": 1 / factor}}
    arm = {"model": "law", "regime": "fully_synthetic", "sampler": {"euler": {"steps": STEPS}}, "adapt": neon}
    study = study_of(LOOP, models={"law": {"gaussian-diffusion": model}}, arms={"few": arm}, generations=2)
    monkeypatch.chdir(tmp_path)
    in_process.run(study)
    for generation in range(3):
        path = Path(study.model_file("few", 0, generation))
        variance = store.read_tensors(path)[0]["covariance"].mean() * factor
        assert abs(variance - 1) < noise(generation, 1 / factor) + 2 * (generation + 1) / factor / ROWS
        assert read_metadata(path)["lineage"]["sampler"] == "euler"


def test_a_further_model_of_own_samples_is_told_the_sampler_and_one_of_rows_is_not():
    law = {"gaussian-diffusion": {"ddof": 1, "standardise": False, "between": 1.0}}
    arm = {"model": "law", "regime": "fully_synthetic", "sampler": {"euler": {"steps": STEPS}}}
    weak = {"images_seen": 1, "options": {"ddof": 0}}
    own = {"images_seen": 1, "samples": 20}
    guides = {"own": {"sims": {"auxiliary": own}}, "weak": {"autoguidance": {"auxiliary": weak}}}
    arms = {name: arm | {"guide": guide} for name, guide in guides.items()}
    study = study_of(LOOP, models={"law": law}, arms=arms)
    said = {name: jobs.arguments(study, "auxiliary", Place(name, 0, 1, role=name)) for name in arms}
    assert '--sampler \'{"euler"' in said["own"] and "--sampler" not in said["weak"]
    assert "--sampling-bias" not in "".join(said.values())  # as ever: nothing that was made without one is made again
    for name in arms:
        arms[name] |= {"sampling_bias": {0: 1.0, 1: 0.5}}
    study = study_of(LOOP, models={"law": law}, arms=arms)
    first, own, weak = (
        jobs.arguments(study, "auxiliary", Place(name, 0, generation, role=name))
        for name, generation in (("own", 0), ("own", 1), ("weak", 1))
    )
    assert "--sampling-bias 0.5" in own and "--sampling-bias" not in first + weak


def test_own_samples_of_a_guide_are_made_with_the_arms_bias_and_without_the_guide(tmp_path, monkeypatch):
    """Standardised noise times sqrt(b): what SIMS leads away from has b times the variance, of the very same rows."""
    law = {"ddof": 1, "covariance": "diagonal", "standardise": False, "steps": STEPS, "between": 1.0}
    guide = {"sims": {"w": 0.1, "auxiliary": {"images_seen": 1, "samples": 400}}}
    arm = {"model": "law", "regime": "fully_synthetic", "guide": guide}
    arms = {"plain": arm, "biased": arm | {"sampling_bias": 0.5}}
    study = study_of(LOOP, models={"law": {"gaussian-diffusion": law}}, arms=arms, generations=0)
    monkeypatch.chdir(tmp_path)
    in_process.run(study)
    model, _ = model_in(Path(study.model_file("biased", 0, 0)))
    for name, bias in (("plain", 1.0), ("biased", 0.5)):
        found = store.read_tensors(Path(study.cell(name, 0, 0, "auxiliary-own.safetensors")))[0]
        own = verb.own_samples(model, verb.auxiliary_seed(study.file.seed, 0, 0, "own"), bias)(400).data
        np.testing.assert_allclose(found["mean"], own.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found["covariance"], own.var(axis=0, ddof=1), rtol=1e-10)
        assert (own.var(axis=0).mean() < 0.9 * np.mean(model.stored().tensors["covariance"])) == (bias < 1)


# -- the vote and the choice -------------------------------------------------------------------------------------------


def shown(model, rows, bias, seed):
    """What the verb hands to an adapter, with validation rows."""
    look = {"identity": FEATURES["identity"].extract}

    def own(count, start=0, other=None):  # of a temperature above 1, too, which the family's own sampler has not
        law = other or model
        return verb.own_samples(Gaussian(law.options, law.mean, bias * law.covariance), seed)(count, start)

    return Given(TrainingSet(rows, None, np.ones(len(rows))), own, look, validation=SampleSet(rows))


def chosen(variance, bias, seed=0, **options):
    """What Neon makes of a law N(0, variance) where N(0, 1) is the truth, and what it says."""
    rows = np.random.default_rng(seed).standard_normal((2000, 1))
    model = Gaussian(GaussianOptions(ddof=1), np.zeros(1), np.array([[variance]]))
    options = NEON.Options(samples=20_000, extractor="identity", **options)
    with_run = verb.adapt("neon", NEON, options, model, shown(model, rows, bias, seed + 1), Run(seed))
    return with_run.model.covariance[0, 0], with_run.facts


@pytest.mark.parametrize(("variance", "bias", "sign"), [(0.5, 0.7, 1), (2.0, 0.7, -1), (0.5, 1.4, -1), (2.0, 1.4, 1)])
def test_the_folds_find_the_sign_both_ways(variance, bias, sign):
    """w > 0 helps where samples vary too little and the sampler makes that worse, or both the other way round."""
    after, facts = chosen(variance, bias)
    assert facts["vote"]["sign"] == sign and facts["vote"]["p_value"] < 0.05
    assert np.sign(facts["chosen"]["weight"]) == sign and abs(bias * after - 1) < abs(bias * variance - 1)
    tried = dict(facts["curve"])
    assert len(tried) == 6 and min(tried, key=tried.get) == facts["chosen"]["weight"]


def test_the_weight_that_is_chosen_is_the_laws():
    """Samples that vary lambda = .8 times too little are right with w = 1 / lambda, on the logarithm with w = 1."""
    after, facts = chosen(1.0, 0.8, weights=(0.4, 0.8, 1.25, 1.8, 2.4))
    assert facts["chosen"] == {"weight": 1.25} and 0.8 * after == pytest.approx(1, abs=0.03)
    after, facts = chosen(1.0, 0.8, weights=(0.3, 1.0, 1.8), scale="logarithm")
    assert facts["chosen"] == {"weight": 1.0} and 0.8 * after == pytest.approx(1, abs=0.03)


def test_a_model_that_is_right_stays_as_it_is():
    """Whatever it is moved by is no better; with luck alone a vote is lost in a share ``level`` of all cases."""
    told = [chosen(1 / 0.9, 0.9, seed)[1]["vote"]["sign"] for seed in range(12)]
    assert told.count(0) >= 9  # of 12 with a chance of .979 each, under 9 has a chance below 1e-4
    after, facts = chosen(1.0, 1.0, by="frechet_distance")  # a sampler without bias
    assert (after, facts["chosen"], facts["curve"][0][0]) == (1.0, {"weight": 0.0}, 0.0)


def test_a_weight_with_which_there_is_no_model_is_not_chosen():
    _, facts = chosen(10.0, 0.5, weights=(0.2, 4.0))
    assert facts["vote"]["sign"] == -1 and dict(facts["curve"])[-4.0] is None
    model = Gaussian(GaussianOptions(ddof=1), np.zeros(1), np.array([[2.0]]))
    given = Given(None, verb.own_samples(model, 0, 0.2))
    with pytest.raises(ValueError, match="weights: found a covariance with a variance of -4"):
        NEON.adapt(model, given, NEON.Options(samples=5000, weight=-4), Run(0))


def test_the_sign_test_is_the_binomial_one():
    for voted in range(1, 13):
        for better in range(voted + 1):
            assert sign_test(better, voted) == pytest.approx(binomtest(better, voted).pvalue, rel=1e-12)
    assert sign_test(0, 0) == 1


def test_covariances_move_in_their_matrix_logarithm():
    """Of commuting covariances each eigenvalue moves by itself; diagonals move as whole matrices do."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    before, second = np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.0, 4.0])
    for own, other in ((before, second), ((turn * before) @ turn.T, (turn * second) @ turn.T)):
        laws = [Gaussian(GaussianOptions(ddof=1), np.zeros(3), one) for one in (own, other)]
        found = _Moved(*laws, NEON.Options(weight=2, scale="logarithm")).by(2)
        values = found.covariance if found.covariance.ndim == 1 else np.linalg.eigvalsh(found.covariance)
        np.testing.assert_allclose(np.sort(values), np.sort(before**3 / second**2), rtol=1e-12)


# -- in a study of images ----------------------------------------------------------------------------------------------

IMAGES = """
name: validated
generations: 1
seeds: 1
data: {source: digits, split: {train: 60, held_out: 40, fresh: 0, validation: 40}}
models:
  net: {diffusion: {preset: tiny, channels: 8, blocks: 1, classes: 0, images_seen: 64, batch: 8, steps: 2}}
initial: {real: 40}
samples: 40
grid: 4
extractors: [pixels, attributes]
metrics: [variance_ratio, tail_coverage]
primary: {metric: variance_ratio, extractor: pixels}
control: none
waive: {primary_space: there is one space of so few pixels, images_seen: the second model}
arms:
  left: {model: net, regime: fully_synthetic}
  neon:
    model: net
    regime: fully_synthetic
    adapt: {neon: {samples: 40, images_seen: 32, extractor: pixels, level: 1}}
"""


def test_the_choice_of_a_study_is_recorded_and_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = study_of(IMAGES)
    in_process.run(study)
    told = {}
    for generation in range(2):
        metadata = read_metadata(Path(study.model_file("neon", 0, generation)))
        facts = told[generation] = metadata["lineage"]["adaptation"]
        weights = [weight for weight, _ in facts["curve"]]
        assert facts["chosen"]["weight"] in weights and facts["validation_rows"] == 40
        assert metadata["lineage"]["images_seen"] == 32
        assert "results/real/" + study.real + "/validation-60-40.safetensors" in metadata["lineage"]["inputs"]
    words = sections.fairness(results.facts(study))[0][sections.TUNED]
    for generation, facts in told.items():
        assert f"{facts['chosen']['weight']:g} at generation {generation}" in words


@pytest.mark.parametrize(
    ("text", "old", "new", "place", "words"),
    [
        (IMAGES, ", validation: 40", "", "data.split.validation", "found 0; 'neon' of 'neon' chooses what its options"),
        (IMAGES, "validation: 40", "validation: 29", "data.split.validation", "on 30 at least"),
        (IMAGES, "images_seen: 32", "images_seen: 0", "arms.neon.adapt.neon.images_seen", "found 0; a network learns"),
        (IMAGES, "level: 1", "scale: logarithm", "arms.neon.adapt.neon.scale", "none of the weights of its family"),
        (IMAGES, "extractor: pixels, level", "level", "arms.neon.adapt.neon", "extractor: found null"),
        (IMAGES, "level: 1", "folds: 5, level: 0.05", "arms.neon.adapt.neon", "5 that all agree have a p-value"),
        (IMAGES, "level: 1", "weights: [1, -1]", "arms.neon.adapt.neon", "allowed are numbers above 0"),
        (LOOP, "weight: 1.25", "weight: 1.25, images_seen: 9", "arms.variance.adapt.neon.images_seen", "by a formula"),
        (LOOP, "weight: 1.25", "extractor: identity", "arms.variance.adapt", "a population has none"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(text, old, new, place, words):
    assert old in text
    _, faults = check(yaml.safe_load(text.replace(old, new)), yaml.safe_load(text)["name"])
    said = {".".join(map(str, fault.path)): fault.message for fault in faults}
    assert any(where.startswith(place) and words in message for where, message in said.items()), said
