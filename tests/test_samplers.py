"""Samplers: what each makes of normal data, exactly; which arms have which; and what a loop makes of it."""

import json
import math
import re
from itertools import pairwise
from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml

from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.engine.steering import Steering
from collapselab.models import MODELS
from collapselab.models.diffusion import sampling as diffusion
from collapselab.models.gaussian_diffusion import GaussianDiffusion, GaussianDiffusionOptions
from collapselab.samplers import SAMPLERS
from collapselab.samplers.base import Sampling
from collapselab.samplers.levels import Noise, discrete_levels, power_levels, time_levels
from collapselab.study import results
from collapselab.study.jobs import JOBS, Place
from collapselab.study.loading import check, load
from collapselab.study.results import facts
from collapselab.study.sampled import evaluations, remarks, said_of
from collapselab.testing import check_sampler
from collapselab.testing.families import training_set
from collapselab.testing.samplers import exact
from collapselab.theory import (
    converged_steps,
    replace_log_variance,
    sampled_variance,
    sampler_factor,
    temperature_shares,
)
from collapselab.theory.predict import predict
from collapselab.verdicts import analyse

EDM = Noise(0.002, 80.0, 7.0, 18)


def sampling(name: str, **options) -> Sampling:
    return Sampling(SAMPLERS[name], SAMPLERS[name].Options(**options), name)


def model(mean=0.0, variance=0.25, **options) -> GaussianDiffusion:
    said = {"ddof": 0, "covariance": "diagonal", "standardise": False, **options}
    return GaussianDiffusion(GaussianDiffusionOptions(**said), np.array([mean]), np.array([variance]))


# -- every sampler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_keeps_the_laws_of_samplers(name):
    check_sampler(name)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("heun", {"churn": 10.0, "churn_min": 0.05, "churn_max": 50.0, "churn_noise": 1.003}),
        ("ddim", {"eta": 0.5}),
        ("dpm-solver++", {"order": 1}),
        ("heun", {"truncation": 0.3, "end": "noisy"}),
        ("ancestral", {"truncation": 0.3}),
    ],
)
def test_a_sampler_keeps_them_whatever_it_is_told(name, options):
    check_sampler(name, options)


# The variances that one sampling multiplies by, of data of standard deviation .5, to four digits.
TABLE = {
    "heun": {16: 1.1495, 18: 1.1136, 32: 1.0316, 40: 1.0196, 64: 1.0073, 256: 1.0004},
    "euler": {16: 0.6846, 18: 0.7158, 32: 0.8324, 40: 0.8643, 64: 0.9137, 256: 0.9779},
    "ddim": {16: 0.6932, 50: 0.8945, 100: 0.9461, 250: 0.9781, 500: 0.9889, 1000: 0.9944},
    "ancestral": {16: 0.5624, 50: 0.7963, 100: 0.8827, 250: 0.9471, 500: 0.9720, 1000: 0.9854},
}


@pytest.mark.parametrize("name", TABLE)
def test_the_factors_are_those_of_the_affine_recursion(name):
    for steps, factor in TABLE[name].items():
        assert sampler_factor(sampling(name, steps=steps), EDM, 0.25) == pytest.approx(factor, abs=5e-5)


def test_edms_own_noise_and_other_widths_have_their_factors():
    stochastic = {"steps": 256, "churn": 40.0, "churn_min": 0.05, "churn_max": 50.0, "churn_noise": 1.003}
    assert sampler_factor(sampling("heun", **stochastic), EDM, 0.25) == pytest.approx(1.0100, abs=5e-5)
    stochastic |= {"churn": 30.0, "churn_min": 0.01, "churn_max": 1.0, "churn_noise": 1.007}
    assert sampler_factor(sampling("heun", **stochastic), EDM, 0.25) == pytest.approx(1.0168, abs=5e-5)
    assert sampler_factor(sampling("heun"), EDM, 1.0) == pytest.approx(1.0915, abs=5e-5)
    assert sampler_factor(sampling("euler"), EDM, 1.0) == pytest.approx(0.7387, abs=5e-5)
    assert sampler_factor(sampling("heun"), EDM, 0.01) == pytest.approx(1.19, abs=5e-3)


@pytest.mark.parametrize("name", ["heun", "ddim"])
def test_a_diffusion_models_own_samplers_have_the_same_factor(name):
    """In torch, at torch's levels, as a network is sampled where its arm names no sampler."""
    import torch

    run, spaced = diffusion.OWN[name]
    found = run(exact(0.25), torch.ones(1, dtype=torch.float64), spaced(18, 0.002, 80.0, 7.0), None).item() ** 2
    assert found == pytest.approx(sampled_variance(sampling(name), EDM, 0.25), rel=1e-12)


def test_levels_are_those_that_a_diffusion_model_has_in_torch():
    for own, torchs in ((power_levels(40, 0.01, 50.0, 7.0), "heun"), (time_levels(40, 0.01, 50.0), "ddim")):
        theirs = diffusion.OWN[torchs][1](40, 0.01, 50.0, 7.0).numpy()
        np.testing.assert_allclose(own, theirs[:-1], rtol=1e-12)
        assert theirs[-1] == 0


def test_a_truncation_is_reached_in_few_steps_of_discrete_levels_too():
    """Left noisy, rows have the noise of the level that was asked for, and not of the tenth of the steps above it."""
    sigmas = np.geomspace(0.01, 10.0, 500)
    lowest = sigmas[sigmas >= 0.1][0]
    for end, last in (("noisy", -1), ("denoised", -2)):
        asked = sampling("ddim", steps=10, truncation=0.1, end=end)
        levels = asked.levels(Noise(0.01, 10.0, 7.0, 20, sigmas))
        assert levels[0] == sigmas[-1] and levels[last] == lowest and len(levels) == 11
        assert (np.diff(levels) < 0).all()


def test_discrete_levels_are_some_of_those_that_there_are():
    sigmas = np.geomspace(0.01, 10.0, 50)
    np.testing.assert_array_equal(discrete_levels(50, sigmas), sigmas[::-1])
    assert discrete_levels(5, sigmas).tolist() == sigmas[[49, 39, 29, 19, 9]].tolist()
    found = sampling("ddim", steps=10, truncation=1.0).levels(Noise(0.01, 10.0, 7.0, 20, sigmas))
    assert found[0] == sigmas[-1] and found[-2] >= 1.0 and found[-1] == 0 and len(found) == 11
    with pytest.raises(ValueError, match="steps: found 60, allowed are 2 to 50"):
        sampling("ancestral", steps=60).levels(Noise(0.01, 10.0, 7.0, 20, sigmas))


def test_dpm_solver_is_the_librarys():
    """Of the same levels, and a denoiser that is not linear; diffusers keeps levels and samples in float32."""
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")

    def denoise(x, at, condition):
        return torch.tanh(x / (1 + at.sigma))

    theirs = diffusers.EDMDPMSolverMultistepScheduler(
        sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, rho=7.0, solver_order=2, final_sigmas_type="zero",
        lower_order_final=True, euler_at_final=True, prediction_type="epsilon",
    )  # fmt: skip
    theirs.set_timesteps(20)
    levels = theirs.sigmas.double()
    np.testing.assert_allclose(levels[:-1], power_levels(20, 0.002, 80.0, 7.0), rtol=1e-5)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
    found = sampling("dpm-solver++").run(denoise, noise, levels, None)
    x, at = levels[0] * noise, 0
    for at, time in enumerate(theirs.timesteps):
        sigma = levels[at]

        class Here:
            pass

        here = Here()
        here.sigma = sigma
        total = sigma**2 + 0.25
        clean = denoise(x, here, None)
        # What a network would have had to say for the scheduler to come to this denoised image.
        said = (clean - 0.25 / total * x) / (sigma * 0.5 / total.sqrt())
        x = theirs.step(said.float(), time, x.float()).prev_sample.double()
    torch.testing.assert_close(found, x, rtol=2e-4, atol=2e-4)


def test_steps_are_enough_where_twice_as_many_change_little():
    for name in SAMPLERS:
        steps = converged_steps(sampling(name), EDM, 0.25, 1e-2)
        found, twice = (sampled_variance(sampling(name, steps=steps * k), EDM, 0.25) for k in (1, 2))
        half = sampled_variance(sampling(name, steps=steps // 2), EDM, 0.25)
        assert abs(twice - found) <= 1e-2 * twice < abs(found - half) + 1e-2 * abs(twice - found)
        assert math.log2(steps / 18) % 1 == 0


# -- a model that is sampled by them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_of_a_normal_law_have_the_variance_that_theory_says(name):
    """Deterministic ones to rounding, since every sample is a number times its noise; the others within four errors."""
    law = model(variance=0.25)
    found = law.sample(Ask(20_000, 3, sampler=sampling(name))).data[:, 0]
    expected = sampled_variance(sampling(name), EDM, 0.25)
    if SAMPLERS[name].stochastic:
        assert found.var() == pytest.approx(expected, rel=4 * math.sqrt(2 / 20_000))
        return
    noise = seeds.normals(3, 0, 20_000, 1)[:, 0]
    np.testing.assert_allclose(found**2, expected * noise**2, rtol=1e-12)


@pytest.mark.parametrize("name", ["heun", "ancestral"])
def test_the_samples_of_a_network_depend_on_no_other_sample(name):
    family = MODELS["diffusion"]
    options = family.Options.model_validate(family.Options.smallest("vectors"))
    trained = family.fit(training_set("vectors"), options, Run(0, 64))
    by = sampling(name, steps=6, **({"churn": 5.0} if name == "heun" else {}))
    whole = trained.sample(Ask(20, 2, sampler=by)).data
    parts = [trained.sample(Ask(n, 2, start, sampler=by)).data for start, n in ((0, 7), (7, 9), (16, 4))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    other = family.load(trained.stored(), options.model_copy(update={"sample_batch": 5}))
    # Other batches round otherwise; noise of another batch would be apart by as much as samples are.
    np.testing.assert_allclose(other.sample(Ask(20, 2, sampler=by)).data, whole, rtol=1e-3, atol=1e-3)


def test_a_network_without_an_arms_sampler_is_sampled_as_its_options_say():
    family = MODELS["diffusion"]
    options = family.Options.model_validate(family.Options.smallest("vectors") | {"steps": 6})
    trained = family.fit(training_set("vectors"), options, Run(0, 64))
    own = trained.sample(Ask(8, 2)).data
    np.testing.assert_allclose(trained.sample(Ask(8, 2, sampler=sampling("heun"))).data, own, rtol=1e-6)
    assert np.abs(trained.sample(Ask(8, 2, sampler=sampling("euler"))).data - own).max() > 1e-3


def test_whoever_is_not_sampled_in_steps_refuses_a_sampler():
    law = MODELS["gaussian"].fit(training_set("vectors"), MODELS["gaussian"].Options(ddof=1), Run(0))
    with pytest.raises(
        ValueError, match="sampler: found 'heun', allowed is none: gaussian is not sampled step by step"
    ):
        law.sample(Ask(3, 0, sampler=sampling("heun")))


def test_a_rule_that_gives_what_it_is_shown_steers_a_normal_law_nowhere():
    import torch  # noqa: F401

    rule = Steering(lambda seen, at, state, draws, options: (seen.conditional, state), None)
    law = model(mean=1.0)
    np.testing.assert_allclose(law.sample(Ask(9, 1, guide=rule)).data, law.sample(Ask(9, 1)).data, rtol=1e-12)


def test_a_full_covariance_is_sampled_along_its_eigenvectors():
    covariance = np.array([[1.0, 0.6], [0.6, 0.5]])
    options = GaussianDiffusionOptions(ddof=0, standardise=False)
    law = GaussianDiffusion(options, np.zeros(2), covariance)
    values, vectors = np.linalg.eigh(covariance)
    found = law.sample(Ask(500, 1)).data @ vectors
    noise = seeds.normals(1, 0, 500, 2) @ vectors
    expected = [sampled_variance(sampling("heun"), EDM, one) for one in values]
    np.testing.assert_allclose(found**2, expected * noise**2, rtol=1e-9, atol=1e-18)


def test_a_standardised_law_keeps_its_mean_and_one_in_the_datas_units_does_not_quite():
    """A sampler that begins at N(0, sigma_max^2) ends at the mean times 1 - the scale of its noise."""
    scaled = model(mean=5.0, standardise=True).sample(Ask(4000, 0)).data.mean()
    plain = model(mean=5.0).sample(Ask(4000, 0)).data.mean()
    noise = seeds.normals(0, 0, 4000, 1).mean()
    width = math.sqrt(sampled_variance(sampling("heun"), EDM, 0.25))
    gain = math.sqrt(sampled_variance(sampling("heun"), EDM, 1.0))
    assert scaled == pytest.approx(5.0 + 0.5 * gain * noise, abs=1e-9)
    assert plain == pytest.approx(5.0 * (1 - width / EDM.sigma_max) + width * noise, abs=1e-9)


# -- loops -------------------------------------------------------------------------------------------------------------


def refitted(rows: np.ndarray, **options) -> GaussianDiffusion:
    said = {"ddof": 0, "covariance": "diagonal", "standardise": False, **options}
    return GaussianDiffusion.fit(TrainingSet(rows, None, np.ones(len(rows))), GaussianDiffusionOptions(**said), Run(0))


def exactly(variance: float, count: int = 2) -> np.ndarray:
    """Rows of just this variance and mean 0: a fit to them is exact."""
    return np.sqrt(variance) * np.array([[-1.0], [1.0]] * (count // 2))


@pytest.mark.parametrize(
    ("name", "first", "last"), [("heun", [0.287, 0.329, 0.377], 0.897), ("euler", [0.171, 0.116], 0.0033)]
)
def test_a_loop_compounds_its_samplers_factor(name, first, last):
    """Exact refits from .25 at 16 steps: in the data's units the factor changes with the width, else it is f^t."""
    noise, by = Noise(0.002, 80.0, 7.0, 16), sampling(name)
    number, found, variance = seeds.normals(0, 0, 1, 1)[0, 0], [], 0.25
    for _ in range(10):
        law = refitted(exactly(variance), steps=16)
        expected = sampled_variance(by, noise, variance)
        variance = (law.sample(Ask(1, 0, sampler=by)).data[0, 0] / number) ** 2
        assert variance == pytest.approx(expected, rel=1e-12)
        found.append(variance)
    assert found[: len(first)] == pytest.approx(first, abs=6e-4)
    assert found[-1] == pytest.approx(last, rel=2e-2)
    variance = 0.25
    for _ in range(10):
        law = refitted(exactly(variance), steps=16, standardise=True)
        variance = (law.sample(Ask(1, 0, sampler=by)).data[0, 0] / number) ** 2
    assert variance == pytest.approx(0.25 * sampler_factor(by, noise, 1.0) ** 10, rel=1e-11)


FAR = {"sigma_max": 100.0, "sigma_min": 1e-3}


@pytest.mark.parametrize(
    ("end", "law", "allowed"),
    [("noisy", 0.25 + 0.1**2 / 0.1, 1e-3), ("denoised", 0.1557, 1e-3)],
)
def test_truncation_moves_the_limit_of_a_loop_with_fresh_rows(end, law, allowed):
    """v = .25, sigma_s = .1, a tenth of fresh rows: v + sigma_s^2 / p, or v -> v^2 / (v + sigma_s^2) in each sampling.

    Exact refits of the real model, through its sampler; the limit is that of the samples. Half as many steps, by the
    affine recursion, move it by less than ``allowed``; sixty generations are within .09 .9^60 of it.
    """
    by, half = (sampling("heun", steps=steps, truncation=0.1, end=end) for steps in (600, 300))
    number, fitted, fewer = seeds.normals(0, 0, 1, 1)[0, 0], 0.25, 0.25
    for _ in range(60):
        made = (refitted(exactly(fitted), **FAR).sample(Ask(1, 0, sampler=by)).data[0, 0] / number) ** 2
        by_half = sampled_variance(half, Noise(**FAR, rho=7.0, steps=2), fewer)
        fitted, fewer = (0.1 * 0.25 + 0.9 * one for one in (made, by_half))
    assert made == pytest.approx(law, abs=allowed)
    assert abs(by_half - made) < allowed


def test_truncation_that_falls_to_zero_leaves_the_loop_where_it_was():
    """Replace with exact refits (Khelifa, Turner and Venkataramanan 2026): where it stays, every generation moves the
    variance; where it falls to 0 the loop has moved by the finite sum of what each adds, and rests."""
    number, falling = seeds.normals(0, 0, 1, 1)[0, 0], {0: 0.2, 1: 0.1, 2: 0.05, 3: 0.0}

    def course(told, end):
        options, variance, found = SAMPLERS["heun"].Options(steps=300, truncation=told, end=end), 0.25, []
        for generation in range(8):
            by = Sampling(SAMPLERS["heun"], options.at(generation), "heun")
            made = refitted(exactly(variance), **FAR).sample(Ask(1, 0, sampler=by)).data[0, 0]
            variance = (made / number) ** 2
            found.append(variance)
        return found

    for end, sign in (("noisy", 1), ("denoised", -1)):
        assert all(sign * (after - before) > 0.03 * before for before, after in pairwise(course(0.2, end)))
        rests = course(falling, end)
        assert sign * (rests[2] - 0.25) > 0.04
        assert rests[-1] == pytest.approx(rests[2], rel=5 * 5e-4)  # five samplings, each off by its steps
    assert course(falling, "noisy")[2] == pytest.approx(0.25 + 0.2**2 + 0.1**2 + 0.05**2, rel=3 * 5e-4)


def test_a_temperature_above_one_widens_a_loop_without_bound():
    """V_t = T^(t-1) a^t of a normal loop at temperature T (Marchi et al. 2024), within four standard errors."""
    family, n, temperature = MODELS["gaussian"], 500, 1.3
    options, found = family.Options(ddof=1), []
    for seed in range(40):
        rows = seeds.normals(seed, 0, n, 1)
        for generation in range(6):
            fitted = family.fit(TrainingSet(rows, None, np.ones(n)), options, Run(0))
            rows = fitted.sample(Ask(n, 1000 * seed + generation + 1, bias=temperature)).data
        found.append(math.log(fitted.moments()[1][0, 0]))
    mean, variance = (curve[-1] for curve in replace_log_variance(5, n, 1, temperature))
    assert np.mean(found) == pytest.approx(mean, abs=4 * math.sqrt(variance / 40))


def test_a_temperature_above_one_evens_shares_out():
    family = MODELS["multinomial"]
    law = family.population(family.PopulationOptions(probabilities=(0.7, 0.2, 0.1)))
    drawn = law.sample(Ask(40_000, 1, bias=2.0)).data
    expected = temperature_shares(1, np.array([0.7, 0.2, 0.1]), 2.0)[-1]
    errors = np.sqrt(expected * (1 - expected) / len(drawn))
    assert (np.abs(np.bincount(drawn, minlength=3) / len(drawn) - expected) < 4 * errors).all()


# -- studies -----------------------------------------------------------------------------------------------------------

STUDY = """
name: swept
seeds: 2
generations: 2
data: {population: {gaussian: {}}, split: {held_out: 60}}
models:
  normal: {gaussian-diffusion: {ddof: 1, covariance: diagonal}}
  plain: {gaussian: {ddof: 1}}
initial: {real: 60}
samples: 60
extractors: [moments]
metrics: [variance_ratio, mean_drift]
primary: {metric: variance_ratio, extractor: moments}
control: none
converged: true
converged_within: 0.01
waive: {sampler: it is the question}
arms:
  few: {model: normal, regime: fully_synthetic, sampler: {heun: {steps: 8}}}
  more: {model: normal, regime: fully_synthetic, sampler: {heun: {steps: 16}}}
  falling: {model: normal, regime: fully_synthetic, sampler: {ancestral: {steps: 40, truncation: {0: 0.5, 2: 0}}}}
  again: {model: normal, regime: {algebra: {synthetic: [{n: 60, draw: resample}]}}, sampler: euler, stream: 1}
  untouched: {model: plain, regime: fully_synthetic}
"""


def checked(**changes):
    """The study with other values, and its faults as ``{path: message}``."""
    raw = yaml.safe_load(STUDY) | changes
    study, faults = check(raw, "swept")
    return study, {".".join(map(str, fault.path)): fault.message for fault in faults}


def arms(**changes):
    return {"arms": yaml.safe_load(STUDY)["arms"] | changes}


def test_an_arm_tells_its_jobs_its_sampler_as_it_is_at_the_generation():
    study, faults = checked()
    assert not faults

    def said(arm, generation, verb="sample"):
        words = list(JOBS[verb].arguments(study, Place(arm, 0, generation)))
        flag = {"sample": "--sampler", "draw": "--about"}[verb]
        return json.loads(words[words.index(flag) + 1]) if flag in words else None

    assert said("few", 1)["heun"]["steps"] == 8
    assert [said("falling", t)["ancestral"]["truncation"] for t in range(3)] == [0.5, 0.5, 0.0]
    assert said("untouched", 1) is None
    assert said("again", 2, "draw")["again:1"]["sampler"] == said("again", 1)
    roots = JOBS["sample"].roots(study, Place("few", 0, 1))
    assert "collapselab.samplers:SAMPLERS[heun]" in roots
    trained = [list(JOBS["train"].roots(study, Place(arm, 0, 1))) for arm in ("few", "falling")]
    assert trained[0] == trained[1] and study.lineages["few"].base == study.lineages["falling"].base


def test_arms_that_come_to_the_same_share_what_is_converged():
    study, _ = checked()
    assert study.converged == {
        "few": "converged_few",
        "more": "converged_few",
        "falling": "converged_falling",
        "again": "converged_again",
    }
    steps = study.lineages["converged_few"].sampler.options["steps"]
    assert steps == converged_steps(sampling("heun", steps=8), EDM, 1.0, 0.01)
    assert study.lineages["converged_falling"].sampler.options["truncation"] == {0: 0.5, 2: 0}
    assert evaluations(study, "converged_few") == (2 * steps - 1) / (2 * 18 - 1)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"waive": {}}, "arms", ["not comparable", "few heun in 8 steps", "truncation", "waive: {sampler: reason}"]),
        (arms(few={"model": "plain", "regime": "fully_synthetic", "sampler": "heun"}), "arms.few.sampler",
         ["'gaussian' is not sampled step by step", "diffusion", "gaussian-diffusion"]),
        (arms(few={"model": "normal", "regime": "fully_synthetic", "sampler": {"heun": {"truncation": 90}}}),
         "arms.few.sampler.heun.truncation", ["found 90", "below sigma_max = 80"]),
        (arms(few={"model": "normal", "regime": "fully_synthetic", "sampler": "hein"}), "arms.few.sampler",
         ["unknown name 'hein'", "heun"]),
        (arms(converged_few={"model": "normal", "regime": "fully_synthetic"}), "arms.converged_few",
         ["controls of samplers"]),
        ({"arms": {"untouched": {"model": "plain", "regime": "fully_synthetic"}}, "waive": {}}, "converged",
         ["nothing to converge"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_sampler_is_said(changes, path, words):
    _, faults = checked(**changes)
    assert path in faults, faults
    for word in words:
        assert word in faults[path], faults


def test_a_model_with_samplers_of_its_own_is_not_said_to_have_none():
    """A pretrained pipeline goes down the noise levels, but by what its own options name."""
    raw = {
        "name": "steps",
        "seeds": 1,
        "generations": 1,
        "data": {"source": "digits", "split": {"train": 40, "held_out": 40}},
    }
    raw |= {"models": {"lora": {"pretrained": {"prompts": ["a digit"]}}}, "initial": {"real": 40}, "samples": 40}
    raw |= {"extractors": ["pixels"], "metrics": ["recall"], "primary": {"metric": "recall", "extractor": "pixels"}}
    raw["arms"] = {"one": {"model": "lora", "regime": "fully_synthetic", "sampler": {"heun": {"steps": 4}}}}
    found = [fault.message for fault in check(raw, "steps")[1]]
    assert any("has samplers of its own, which options of 'lora' name" in one for one in found), found


def test_models_that_are_sampled_otherwise_are_told_of_and_not_refused():
    models = yaml.safe_load(STUDY)["models"] | {"long": {"gaussian-diffusion": {"ddof": 1, "steps": 40}}}
    plain = {arm: {"model": arm, "regime": "fully_synthetic"} for arm in ("normal", "long")}
    study, faults = checked(models=models, arms=plain, waive={}, converged=False)
    assert not faults
    (said,) = remarks(study)
    assert "normal heun in 18 steps; long heun in 40 steps" in said
    assert not list(remarks(checked()[0]))


def test_a_study_of_samplers_runs_and_its_report_tells_the_samplers_part(tmp_path, monkeypatch):
    study, _ = checked(samples=60)
    monkeypatch.chdir(tmp_path)
    in_process.run(study)
    records, _ = results.records(study)
    told = facts(study)
    found = {one.arm: one for one in analyse(told, records)["slope_against_converged"]}
    assert set(found) == set(study.converged)
    for arm, control in study.converged.items():
        assert control in found[arm].sentence
    for arm in ("few", "again"):
        (law,) = [one for one in told.predictions[arm] if one.metric == "variance_ratio"]
        by = study.lineages[arm].sampler
        factor = sampler_factor(sampling(by.name, **by.options), EDM, 1.0)
        np.testing.assert_allclose(law.mean, factor ** np.arange(3), rtol=1e-12)


def test_the_law_of_a_sampled_loop_is_that_of_the_loop():
    """Mean variances of sixty replicates within four standard errors, by the real family, with refit noise."""
    study, _ = checked(generations=4)
    options, n, seeds_ = study.parsed_options("normal"), 60, 60
    for arm in ("few", "falling"):
        law = predict(results.setting_of(study, arm))
        (curve,) = [one for one in law if one.metric == "variance_ratio"]
        found = []
        for seed in range(seeds_):
            rows, course = seeds.normals(seed, 0, n, 1), []
            for generation in range(5):
                fitted = GaussianDiffusion.fit(TrainingSet(rows, None, np.ones(n)), options, Run(0))
                course.append(fitted.moments()[1][0, 0])
                ((name, told),) = said_of(study, arm, generation).items()
                rows = fitted.sample(Ask(n, 100 * seed + generation + 1, sampler=sampling(name, **told))).data
            found.append(course)
        errors = np.std(found, axis=0) / math.sqrt(seeds_)
        assert (np.abs(np.mean(found, axis=0) - curve.mean) < 4 * errors).all()
        assert curve.bound == "equal" and len(set(curve.mean.round(6))) > 2


def test_in_the_datas_units_the_law_is_that_of_exact_refits():
    models = {"normal": {"gaussian-diffusion": {"ddof": 0, "standardise": False}}}
    data = {"population": {"gaussian": {"sd": 0.5}}, "split": {"held_out": 60}}
    arm = {
        "model": "normal",
        "regime": {"fresh_data": {"fresh": 6}},
        "sampler": {"heun": {"steps": 600, "truncation": 0.1, "end": "noisy"}},
    }
    study, faults = checked(models=models, data=data, arms={"stopped": arm}, waive={}, converged=False)
    assert not faults
    (law,) = [one for one in predict(results.setting_of(study, "stopped")) if one.metric == "variance_ratio"]
    assert law.bound == "large"  # v + (1 - p) s^2 / p of the model, of which the samples have s^2 more
    assert law.limit * 0.25 == pytest.approx(0.25 + 0.9 * 0.01 / 0.1, abs=1e-3)


def test_the_page_has_the_factors_of_its_table():
    text = (ROOT / "docs" / "samplers.md").read_text(encoding="utf-8")
    steps = [int(number) for number in re.findall(r"\d+", text.split("data of sd .5 |")[1].split("\n")[0])]
    for name in SAMPLERS:
        cells = re.search(rf"^\| `{re.escape(name)}`[^|]*\|(.*)\|$", text, re.MULTILINE)[1].split("|")
        for count, cell in zip(steps, cells, strict=True):
            factor = sampler_factor(sampling(name, steps=count), EDM, 0.25)
            assert float(cell) == pytest.approx(factor, abs=6e-5), (name, count)


@pytest.mark.parametrize("name", ["samplers", "samplers-digits"])
def test_the_studies_of_samplers_are_right(name):
    study = load(ROOT / "config" / f"{name}.yaml")
    assert set(study.converged) == set(study.file.arms)


ROOT = Path(__file__).parents[1]
