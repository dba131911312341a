"""Loops of guided normal laws, through real studies: constant guidance narrows them, SIMS takes a narrowing back."""

from itertools import pairwise
from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml
from scipy.special import digamma

from collapselab import store, theory
from collapselab.core.choice import Choice
from collapselab.samplers.exact import sampled_variance
from collapselab.study import results
from collapselab.study.loading import check
from collapselab.theory.guided import guided, reinflated
from collapselab.theory.sampled import sampling_of

STUDY = """
name: NAME
generations: 3
seeds: 1
data: {population: {gaussian: {dimension: 16}}, split: {held_out: 20}}
models: {law: {gaussian-diffusion: {covariance: diagonal, standardise: false, steps: 64}}}
samples: 300
extractors: [moments]
metrics: [variance_ratio, log_determinant_ratio]
primary: {metric: variance_ratio, extractor: moments}
control: none
"""


def run(name, tmp, changes):
    """A study that has run; arm -> the models' variances, (generations + 1, dimensions), and its setting."""
    raw = yaml.safe_load(STUDY.replace("NAME", name))
    raw["models"]["law"]["gaussian-diffusion"] |= changes.pop("law")
    found, faults = check(raw | changes, name)
    assert not faults, faults
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp)
        in_process.run(found)
        variances = {}
        for arm in found.file.arms:
            files = [found.model_file(arm, 0, generation) for generation in range(found.file.generations + 1)]
            variances[arm] = np.array([store.read_tensors(Path(file))[0]["covariance"] for file in files])
        settings = {arm: results.setting_of(found, arm) for arm in found.file.arms}
        return results.facts(found), variances, settings


def predicted(facts, arm, law):
    return next(one for one in facts.predictions[arm] if one.law == law)


# -- constant guidance -------------------------------------------------------------------------------------------------

W, BETWEEN, ROWS, DIMENSIONS = 0.25, 4.0, 300, 16


@pytest.fixture(scope="module")
def constant(tmp_path_factory):
    return run(
        "constant",
        tmp_path_factory.mktemp("constant"),
        {
            "initial": {"real": ROWS},
            "law": {"ddof": 1, "between": BETWEEN, "steps": 12},
            "arms": {
                "plain": {"model": "law", "regime": "fully_synthetic"},
                "biased": {"model": "law", "regime": "fully_synthetic", "sampling_bias": 1 / (1 + W)},
                "guided": {"model": "law", "regime": "fully_synthetic", "guide": {"cfg": {"w": W}}},
            },
        },
    )


@pytest.mark.parametrize("arm", ["biased", "guided"])
def test_the_loop_law_of_constant_guidance(constant, arm):
    """As 12 steps of Heun take it, which miss the law of endless ones by a tenth and more in each generation.

    A fit misses by sqrt(2 / n d) = 2 %, which the next sampling enlarges by at most 1 + w.
    """
    facts, variances, _ = constant
    found = variances[arm].mean(axis=1)
    law = predicted(facts, arm, "guided_variances").mean
    error = np.sqrt(2 / ROWS / DIMENSIONS)
    for generation, (one, expected) in enumerate(zip(found, law, strict=True)):
        missed = error * np.sqrt(sum((1 + W) ** (2 * t) for t in range(generation + 1)))
        assert abs(one / expected - 1) < 4 * missed
    endless = np.array([1.0, *theory.guided_variances(2, 1.0, BETWEEN, W)])
    assert abs(law[1] / endless[1] - 1) > 0.1 and abs(law[3] / endless[3] - 1) > 0.3


def test_with_ever_more_steps_the_laws_are_those_of_endless_ones(constant, sims):
    """s' = s (s / (s + b))^w: .669, .411, .227 at w = .25, b = 4; and ln v moves by m_n - w m_s under SIMS.

    Heun's error falls with the square of the steps: from noise of level 2000, twice as many move them by a quarter.
    """
    told = {"steps": 4096, "sigma_max": 2000.0}

    def endless(setting):
        by = Choice("heun", {**setting.sampler.options, "steps": 4096})
        return setting._replace(options={**setting.options, **told}, sampler=by)

    mean = guided(endless(constant[2]["guided"])).mean
    assert mean[1:] == pytest.approx([0.669, 0.411, 0.227], abs=1e-3)
    assert mean[1:] == pytest.approx(theory.guided_variances(2, 1.0, BETWEEN, W), rel=1e-3)
    drop = float(digamma((FEW - 1) / 2) + np.log(2 / FEW))
    assert reinflated(endless(sims[2]["half"])).mean == pytest.approx(drop + np.arange(4) * drop / 2, abs=1e-3)


def test_a_sampler_that_grows_what_guidance_narrows_has_no_limit_of_nothing(constant):
    """Of a weight of a hundredth 12 steps of Heun make more than the guide takes."""
    setting = constant[2]["guided"]
    assert guided(setting).limit == 0.0
    weak = setting._replace(guide=Choice("cfg", {**setting.guide.options, "w": 0.01}))
    assert guided(weak).limit is None and guided(weak).mean[1] > 1


def test_a_sampling_bias_and_the_guide_of_its_weight_are_one(constant):
    """To rounding: the same rule of the same two predictions, from the same random numbers."""
    _, variances, _ = constant
    np.testing.assert_allclose(variances["biased"], variances["guided"], rtol=1e-9)


def test_without_guidance_the_loop_stays_and_no_law_of_guidance_is_drawn(constant):
    facts, variances, settings = constant
    plain = variances["plain"].mean(axis=1)
    by = sampling_of(settings["plain"], 0)
    for before, after in pairwise(plain):
        assert abs(after / sampled_variance(*by, before) - 1) < 4 * np.sqrt(2 / ROWS / DIMENSIONS)
    assert not [one for one in facts.predictions["plain"] if one.law == "guided_variances"]
    assert all(one.bound == "large" for one in facts.predictions["guided"])


# -- SIMS --------------------------------------------------------------------------------------------------------------

FEW, WIDE = 24, 100


@pytest.fixture(scope="module")
def sims(tmp_path_factory):
    own = {"images_seen": 1, "samples": FEW}
    return run(
        "sims",
        tmp_path_factory.mktemp("sims"),
        {
            "initial": {"real": FEW},
            "samples": FEW,
            "data": {"population": {"gaussian": {"dimension": WIDE}}, "split": {"held_out": 20}},
            "law": {"ddof": 0, "steps": 12},
            "waive": {"images_seen": "the second models, which are fitted by a formula"},
            "arms": {
                "left": {"model": "law", "regime": "fully_synthetic"},
                "half": {"model": "law", "regime": "fully_synthetic", "guide": {"sims": {"w": 0.5, "auxiliary": own}}},
                "whole": {"model": "law", "regime": "fully_synthetic", "guide": {"sims": {"w": 1, "auxiliary": own}}},
            },
        },
    )


def test_sims_reinflates_a_loop_of_few_rows(sims):
    """Fits to 24 rows take ln v down by .0867 each; SIMS with own samples as few takes w times as much back, and w
    times of what 12 steps of Heun do.

    Errors: of a fit sqrt(psi_1 / d), of the second model w times as much. What the steps do depends on v, and so on
    the error of the second model: at most by .02 in each sampling of w = 1, where v is 5 % off.
    """
    facts, variances, _ = sims
    logs = {arm: np.log(one).mean(axis=1) for arm, one in variances.items()}
    drop = float(digamma((FEW - 1) / 2) + np.log(2 / FEW))
    error = np.sqrt(2 / (FEW - 1) / WIDE)
    for arm, w in (("half", 0.5), ("whole", 1.0)):
        law = predicted(facts, arm, "reinflation").mean
        assert law[0] == pytest.approx(drop, rel=1e-12)
        for generation, one in enumerate(logs[arm]):
            missed = error * np.sqrt((generation + 1) + generation * w**2)
            assert abs(one - law[generation]) < 4 * missed + 0.02 * generation * (1 + w)
    # SIMS of weight 1 takes back what its sampler does too, which moves the loop that is left alone.
    assert abs(logs["whole"][-1] - drop) < abs(logs["left"][-1] - drop) / 2
