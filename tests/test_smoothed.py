"""Loops that smooth in every generation, by a kernel or by sampling that stops early: the mixture that they are.

Means over replicates lie within 4.5 of their own standard errors, as in test_oracles.py.
"""

import functools
import math

import numpy as np
import pytest
from numpy.polynomial import hermite_e
from test_oracles import agrees, loops

from collapselab import theory
from collapselab.compose import regimes
from collapselab.core.ask import Ask
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.samplers import SAMPLERS
from collapselab.samplers.base import Sampling
from collapselab.samplers.exact import sampled_variance
from collapselab.samplers.levels import Noise
from collapselab.theory.predict import predict
from collapselab.theory.setting import Setting

N, GENERATIONS, WIDTH, FRESH = 20, 4, 0.06, 5
MODES = {"layout": "ring", "modes": 4, "sd": 0.05, "weights": "zipf"}


def preset(name):
    more = {"fresh_data": {"fresh": FRESH}, "synthetic_augmentation": {"n": 2 * N, "fixed": N}}
    return regimes.REGIMES[name](**{"n": N, "initial": N} | more.get(name, {}))


def test_shares_of_what_is_smoothed_how_often():
    np.testing.assert_array_equal(theory.smoothing_shares(preset("fully_synthetic"), 3), np.eye(5)[1:])
    np.testing.assert_array_equal(theory.smoothing_shares(preset("real_only"), 2), [[0, 1, 0, 0]] * 3)
    found = theory.smoothing_shares(preset("fresh_data"), 3)
    alpha = FRESH / N
    np.testing.assert_allclose(
        found[3], [0, alpha, alpha * (1 - alpha), alpha * (1 - alpha) ** 2, (1 - alpha) ** 3], rtol=1e-12
    )
    np.testing.assert_allclose(theory.smoothing_shares(preset("accumulate"), 1), [[0, 1, 0], [0, 0.5, 0.5]])
    eats = regimes.Regime(initial=regimes.Initial(real=N), synthetic=[regimes.Synthetic(n=N, of="other")])
    with pytest.raises(ValueError, match="of: found other, allowed is self"):
        theory.smoothing_shares(eats, 2)


@functools.cache
def lines(name):
    return loops("kde", {"bandwidth": WIDTH}, MODES, preset(name), GENERATIONS, 350, truth="gaussians")


@pytest.mark.parametrize("name", ["fully_synthetic", "fresh_data", "accumulate"])
def test_modes_of_every_frequency_are_damped_as_the_mixture_says(name):
    """E cos(w x) of the model, at frequencies that see more than the second moment, from a truth that is not normal."""
    kind = POPULATIONS["gaussians"]
    truth = kind.population(kind.PopulationOptions(**MODES))
    waves = np.array([[3.0, 0.0], [0.0, 8.0], [9.0, 9.0]])
    squares = (waves**2).sum(axis=1)
    of_truth = truth.weights @ np.cos(truth.means @ waves.T) * np.exp(-(0.05**2) * squares / 2)
    shares = theory.smoothing_shares(preset(name), GENERATIONS)
    law = shares @ np.exp(-np.outer(np.arange(GENERATIONS + 2), WIDTH**2 * squares / 2)) * of_truth
    damped = np.exp(-(WIDTH**2) * squares / 2)
    found = np.array([[np.cos(one.rows @ waves.T).mean(axis=0) * damped for one in line] for line in lines(name)])
    agrees(found, law)
    undamped = shares @ np.exp(-np.outer(np.arange(-1, GENERATIONS + 1), WIDTH**2 * squares / 2)) * of_truth
    with pytest.raises(AssertionError, match="standard errors off"):  # smoothed once less
        agrees(found, undamped)


@pytest.mark.parametrize("name", ["fully_synthetic", "fresh_data"])
def test_samples_leave_the_modes_as_the_report_predicts(name):
    kind, family = POPULATIONS["gaussians"], MODELS["kde"]
    truth = kind.population(kind.PopulationOptions(**MODES))
    options = family.Options(bandwidth=WIDTH).model_dump()
    arm = Setting("kde", options, "gaussians", truth, preset(name), GENERATIONS, 1.0, "nobody", {}, N)
    laws = {one.metric: one for one in predict(arm)}
    assert set(laws) == {"mean_drift", "variance_ratio", "true_precision", "hallucination_rate"}
    assert all(METRICS[metric].suits(law.extractor) for metric, law in laws.items())
    found = []
    for replicate, line in enumerate(lines(name)):
        made = [one.sample(Ask(60, 100 * replicate + g)).data for g, one in enumerate(line)]
        rates = [METRICS["true_precision"](None, FEATURES["truth"].extract(data, truth)) for data in made]
        found.append([float(rate.value if hasattr(rate, "value") else rate) for rate in rates])
    law = laws["true_precision"].mean
    agrees(np.array(found), law)
    np.testing.assert_allclose(laws["hallucination_rate"].mean, 1 - law)
    with pytest.raises(AssertionError, match="standard errors off"):
        agrees(np.array(found)[:, :-1], law[1:])
    rule = family.Options(bandwidth="scott").model_dump()
    assert "true_precision" not in {one.metric for one in predict(arm._replace(options=rule))}


def test_a_loop_that_stops_early_is_the_sampler_with_ever_more_steps():
    """The law of endless data against the exact variance of what a real sampler makes, generation by generation."""
    noise = Noise(0.002, 80.0, 7.0, 1024)
    entry, levels, fresh, variance = SAMPLERS["heun"], [0.2, 0.1, 0.05, 0.0], 0.25, 0.25
    found, before = [], 0.0
    for generation, level in enumerate(levels):
        options = entry.Options(truncation=level, end="noisy", steps=1024)
        share = fresh if generation else 1.0
        trained = share * variance + (1 - share) * before
        before = sampled_variance(Sampling(entry, options, "heun"), noise, trained)
        found.append(before)
    law = theory.smoothed_variance(levels, fresh, variance)
    # Of 256 steps of this second-order method each generation is 2.4e-4 off, of four times as many a sixteenth of it;
    # and what begins at 80 has lost .25 / 80^2 = 4e-5 of the variance.
    np.testing.assert_allclose(found, law, rtol=4 * 6e-5)
    assert abs(np.array(found) / theory.smoothed_variance(levels[::-1], fresh, variance) - 1).max() > 0.02


def test_where_early_stopping_ends_and_that_annealing_takes_it_away():
    standing = theory.smoothed_variance([0.1] * 200, 0.2)
    assert standing[-1] == pytest.approx(1 + 0.01 / 0.2, rel=1e-12)
    gaps = standing[-1] - standing[:20]
    np.testing.assert_allclose(gaps[1:] / gaps[:-1], 0.8, rtol=1e-9)  # geometrically, by 1 - alpha
    assert theory.smoothed_variance([0.1] * 50)[-1] == pytest.approx(1 + 50 * 0.01)
    falling = theory.smoothed_variance([0.5 / (g + 1) for g in range(400)], 0.2)
    assert falling[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("fresh", [0.0, 0.3])
def test_hermite_modes_of_a_loop_that_is_run(fresh):
    """A loop of x -> e^-tau x + (1 - e^(-2 tau))^(1/2) z on rows that are not normal, and the gains of its modes."""
    rng, stops, n = np.random.default_rng(5), [0.1, 0.1, 0.02, 0.3], 200_000
    real = rng.choice([-0.7, 0.9], size=n, p=[0.25, 0.75]) + 0.2 * rng.normal(size=n)
    degrees, rows = np.array([1, 2, 3, 4]), np.eye(5)[1:]

    def modes(x):
        return np.array([hermite_e.hermeval(x, row) for row in rows])

    law, before = theory.hermite_gains(stops, fresh, degrees) * modes(real).mean(axis=1), None
    for generation, stop in enumerate(stops):
        trained = real if before is None else np.where(rng.random(n) < fresh, real, before)
        before = math.exp(-stop) * rng.permutation(trained) + math.sqrt(-math.expm1(-2 * stop)) * rng.normal(size=n)
        found = modes(before)
        # The real rows are the truth here; noise and lots are drawn in each of up to four generations.
        error = 4.5 * found.std(axis=1) * math.sqrt(generation + 1) / math.sqrt(n)
        assert (abs(found.mean(axis=1) - law[generation]) < error).all()
        assert (abs(found.mean(axis=1) - law[generation] * np.exp(-degrees * 0.1)) > error)[0]  # smoothed once more


def test_a_standing_stop_is_a_low_pass():
    degrees = np.arange(1, 9)
    gains = theory.hermite_gains([0.05] * 300, 0.1, degrees)
    limit = theory.hermite_limit(0.05, 0.1, degrees)
    np.testing.assert_allclose(gains[-1], limit, rtol=1e-12)
    assert (np.diff(limit) < 0).all() and limit[0] < 0.7
    # An infinite mixture of ever smoother versions: alpha (1 - alpha)^(k - 1) of it k times.
    k = np.arange(1, 2000)[:, None]
    np.testing.assert_allclose((0.1 * 0.9 ** (k - 1) * np.exp(-degrees * 0.05 * k)).sum(axis=0), limit, rtol=1e-9)
