"""Which laws hold for which arms, and whether departures from them are seen and nothing else is."""

import itertools
import math

import numpy as np
import pytest

from collapselab import theory
from collapselab.compose import regimes
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.theory.agreement import SIGNIFICANCE, agreement
from collapselab.theory.laws import LAWS
from collapselab.theory.predict import predict
from collapselab.theory.setting import Prediction, Setting

SEED = 20_230_704
GENERATIONS, N = 6, 20
TRUTHS = {
    "gaussian": {"dimension": 3, "sd": (1.0, 2.0, 0.5)},
    "multinomial": {"probabilities": (0.5, 0.3, 0.2, 0.0)},
    "regression": {"dimension": 4, "noise_sd": 0.5},
    "two-moons": {},
}


def setting(family="gaussian", regime="fully_synthetic", population="gaussian", truth=None, bias=1.0, **options):
    """An arm of ``N`` rows a generation: regime by its preset's name, or a Regime."""
    if isinstance(regime, str):
        presets = {"synthetic_augmentation": {"n": 2 * N, "fixed": N}, "fresh_data": {"fresh": 5}}
        presets["k_memory"] = {"fresh": 5, "k": 3}
        regime = regimes.REGIMES[regime](**{"n": N, "initial": N} | presets.get(regime, {}))
    if family in ("gaussian", "ppca"):
        options.setdefault("ddof", 0)
    kind = POPULATIONS[population]
    law = kind.population(kind.PopulationOptions(**(TRUTHS[population] if truth is None else truth)))
    options = MODELS[family].Options(**options).model_dump()
    return Setting(family, options, population, law, regime, GENERATIONS, bias, "nobody", {}, N)


def by_metric(arm):
    return {one.metric: one for one in predict(arm)}


# -- which law --------------------------------------------------------------------------------------------------------

OF_PRESETS = {
    "real_only": (
        "regime_moments",
        theory.Moments(np.full(GENERATIONS + 1, 1 / N), np.full(GENERATIONS + 1, 1 - 1 / N)),
    ),
    "fully_synthetic": ("replace_moments", theory.replace_moments(GENERATIONS, N, 0)),
    "fresh_data": ("fresh_moments", theory.fresh_moments(GENERATIONS, N, 5, 15, 0)),
    "ten_percent_real": ("fresh_moments", theory.fresh_moments(GENERATIONS, N, 2, 18, 0)),
    "synthetic_augmentation": ("augmentation_moments", theory.augmentation_moments(GENERATIONS, N, N)),
    "accumulate": ("accumulate_moments", theory.accumulate_moments(GENERATIONS, N, 0)),
    "accumulate_subsample": ("accumulate_subsample_moments", theory.accumulate_subsample_moments(GENERATIONS, N)),
}


@pytest.mark.parametrize("preset", regimes.REGIMES)
def test_every_preset_has_its_law(preset):
    found = by_metric(setting(regime=preset))
    if preset in OF_PRESETS:
        law, moments = OF_PRESETS[preset]
        assert found["mean_drift"].law == found["variance_ratio"].law == law
        np.testing.assert_allclose(found["mean_drift"].mean, moments.drift)
        np.testing.assert_allclose(found["variance_ratio"].mean, moments.variance)
    else:
        assert found["mean_drift"].law == "regime_moments"


def test_a_regime_is_known_by_its_makeup():
    written = regimes.Regime(initial=regimes.Initial(real=N), synthetic=[regimes.Synthetic(n={1: N}, draw="resample")])
    for one, other in zip(predict(setting()), predict(setting(regime=written)), strict=True):
        assert one.law == other.law
        np.testing.assert_array_equal(one.mean, other.mean)
    late = written.model_copy(update={"real": regimes.Real(fresh={3: 5})})
    (drift, variance) = predict(setting(regime=late))
    assert drift.law == variance.law == "regime_moments"


def test_every_law_is_a_function_of_theory_and_every_endpoint_a_metric():
    arms = [setting(regime=preset) for preset in regimes.REGIMES]
    arms += [setting(covariance="diagonal"), setting("kde"), setting("kde", bandwidth=0.1)]
    arms += [setting("gmm", components=2), setting("ppca", components=1)]
    arms += [setting("multinomial", preset, "multinomial", categories=4) for preset in regimes.REGIMES]
    arms += [setting("multinomial", population="multinomial", categories=4, alpha=0.5)]
    arms += [
        setting("linear-regression", preset, "regression", inputs=inputs)
        for preset, inputs in itertools.product(regimes.REGIMES, ("same", "fresh"))
    ]
    uniform = {"probabilities": {"categories": 6, "law": "uniform"}}
    arms += [setting("naive-bayes", population="multinomial", truth=uniform, levels=(2, 3))]
    assert {arm.family for arm in arms if predict(arm)} == set(LAWS)
    for arm in arms:
        for one in predict(arm):
            assert callable(getattr(theory, one.law)) and one.note
            assert METRICS[one.metric].suits(one.extractor)
            assert one.mean.shape == (GENERATIONS + 1,) and np.isfinite(one.mean).all()
            assert one.sd is None or (one.sd.shape == one.mean.shape and (one.sd > 0).all())


def test_endpoints_of_a_gaussian():
    found = by_metric(setting(bias=0.8))
    np.testing.assert_allclose(
        found["log_determinant_ratio"].mean, theory.replace_log_determinant(GENERATIONS, N, 0, 3, 0.8) / 3
    )
    assert "frechet_distance" not in found  # of dimensions that mix it is not known
    apart = by_metric(setting(covariance="diagonal", bias=0.8))
    # The squared distance of three dimensions of variance 1, 4 and 1/4 is that of one times their sum.
    expected = theory.replace_w2(GENERATIONS, N, 0, 0.8) * 5.25
    np.testing.assert_allclose(apart["frechet_distance"].mean, expected)
    np.testing.assert_allclose(
        apart["log_determinant_ratio"].mean, theory.replace_log_variance(GENERATIONS, N, 0, 0.8)[0]
    )
    np.testing.assert_allclose(
        apart["variance_ratio"].sd,
        theory.replace_deviations(GENERATIONS, N, 0, 0.8).variance * np.sqrt(1 + 16 + 1 / 16) / 5.25,
    )


def test_one_fit_is_generation_0_for_ever():
    replace, once = (
        by_metric(setting(covariance="diagonal")),
        by_metric(setting(regime="real_only", covariance="diagonal")),
    )
    assert set(once) == set(replace)
    for metric, one in once.items():
        np.testing.assert_allclose(one.mean, replace[metric].mean[0])
        assert (one.sd is None) == (replace[metric].sd is None)
        if one.sd is not None:
            np.testing.assert_allclose(one.sd, replace[metric].sd[0])


@pytest.mark.parametrize("n", [2, 3, 20])
@pytest.mark.parametrize("generations", [0, 1, 3])
def test_the_smallest_studies_are_predicted_without_an_error(n, generations):
    arms = [
        ("gaussian", "gaussian", {"ddof": 1}),
        ("gaussian", "gaussian", {"ddof": 0, "covariance": "diagonal"}),
        ("kde", "gaussian", {}),
        ("ppca", "two-moons", {"ddof": 1, "components": 1}),
        ("multinomial", "multinomial", {"categories": 4}),
        ("linear-regression", "regression", {}),
    ]
    for (family, population, options), preset in itertools.product(arms, regimes.REGIMES):
        more = {"synthetic_augmentation": {"fixed": 1}, "fresh_data": {"fresh": 1}, "k_memory": {"fresh": 1, "k": 2}}
        regime = regimes.REGIMES[preset](**{"n": n, "initial": n} | more.get(preset, {}))
        arm = setting(family, regime, population, **options)._replace(generations=generations, samples=n)
        for one in predict(arm):
            assert one.mean.shape == (generations + 1,) and np.isfinite(one.mean).all(), (family, preset, one)


def test_moments_do_not_ask_for_a_normal_truth():
    found = by_metric(setting(population="two-moons"))
    assert set(found) == {"mean_drift", "variance_ratio"}
    np.testing.assert_allclose(found["variance_ratio"].mean, theory.replace_moments(GENERATIONS, N, 0).variance)
    assert found["variance_ratio"].sd is None


def test_endpoints_of_shares():
    truth, found = (
        np.array([0.5, 0.3, 0.2, 0.0]),
        by_metric(setting("multinomial", population="multinomial", categories=4)),
    )
    unit = theory.heterozygosity(truth)
    np.testing.assert_allclose(
        found["variance_ratio"].mean, theory.replace_heterozygosity(GENERATIONS, N, truth) / unit
    )
    np.testing.assert_allclose(
        found["mean_drift"].mean, theory.replace_share_variance(GENERATIONS, N, truth).sum(axis=1) / unit
    )
    np.testing.assert_allclose(found["surviving_categories"].mean, theory.survivors(GENERATIONS, N, truth))
    smooth = by_metric(setting("multinomial", population="multinomial", categories=4, alpha=1.0))
    same = theory.laplace_homozygosity(GENERATIONS, N, 1.0, truth)
    np.testing.assert_allclose(smooth["variance_ratio"].mean, (1 - same) / unit)
    np.testing.assert_allclose(smooth["surviving_categories"].mean, 4)
    # E sum (p_0 - p)^2 after one fit, by its parts: variance n p (1-p) / (n + K)^2 and the square of the bias.
    bias = (N * truth + 1) / (N + 4) - truth
    first = (N * truth * (1 - truth) / (N + 4) ** 2 + bias**2).sum() / unit
    assert smooth["mean_drift"].mean[0] == pytest.approx(first)


def test_endpoints_of_independent_features():
    shares = np.outer([0.5, 0.5], [0.6, 0.3, 0.1]).ravel()
    truth = {"probabilities": tuple(shares)}
    found = by_metric(setting("naive-bayes", population="multinomial", truth=truth, levels=(2, 3)))
    marginals = [np.array([0.5, 0.5]), np.array([0.6, 0.3, 0.1])]
    same = theory.independent_homozygosity(GENERATIONS, N, marginals)
    np.testing.assert_allclose(found["variance_ratio"].mean, (1 - same) / theory.heterozygosity(shares))
    dependent = {"probabilities": (0.3, 0.0, 0.0, 0.0, 0.3, 0.4)}
    assert not predict(setting("naive-bayes", population="multinomial", truth=dependent, levels=(2, 3)))


def test_endpoints_of_a_regression():
    one = 0.25 * 4 / (N - 4 - 1)
    (found,) = predict(setting("linear-regression", population="regression", noise_sd=0.5))
    np.testing.assert_allclose(found.mean, one * np.arange(1, GENERATIONS + 2))
    (kept,) = predict(setting("linear-regression", "accumulate", "regression", noise_sd=0.5))
    np.testing.assert_allclose(kept.mean, one * np.cumsum(1 / np.arange(1.0, GENERATIONS + 2) ** 2))
    assert (found.bound, kept.bound) == ("equal", "equal")
    (fresh,) = predict(setting("linear-regression", "accumulate", "regression", noise_sd=0.5, inputs="fresh"))
    assert fresh.bound == "upper"
    # With more samples than rows, some inputs come twice and others never.
    assert not predict(setting("linear-regression", population="regression")._replace(samples=2 * N))


def test_a_set_that_is_subsampled_is_not_one_fit():
    pool = regimes.Pool(mode="subsample", budget={1: N, 4: N // 2})
    written = regimes.Regime(initial=regimes.Initial(real=N), pool=pool)
    gaussian = by_metric(setting(regime=written, truth={}))
    assert gaussian.keys() == {"mean_drift", "variance_ratio"}  # the laws of a fit to N rows hold no more
    drift = gaussian["mean_drift"]
    assert drift.sd is None and drift.mean == pytest.approx([1 / N] * 4 + [2 / N] * 3)
    counts = by_metric(setting("multinomial", written, "multinomial", categories=4))
    assert counts.keys() == {"mean_drift", "variance_ratio"}
    whole = written.model_copy(update={"pool": regimes.Pool(mode="subsample", budget=N)})
    assert "frechet_distance" in by_metric(setting(regime=whole, truth={}))


def test_draws_from_the_posterior_lose_categories_by_another_chain():
    drawn = setting("multinomial", population="multinomial", categories=4, estimate="posterior_draw")
    assert by_metric(drawn).keys() == {"mean_drift", "variance_ratio"}
    once = by_metric(drawn._replace(regime=regimes.REGIMES["real_only"](n=N, initial=N)))
    assert once["surviving_categories"].mean == pytest.approx(
        [theory.survivors(0, N, np.array([0.5, 0.3, 0.2, 0.0]))[0]] * 7
    )


@pytest.mark.parametrize(
    ("alpha", "estimate", "told"), [(1e-3, "mean", 1), (0.1, "posterior_draw", 1), (0.01, "posterior_draw", 0)]
)
def test_shares_that_are_drawn_may_be_lost_below_the_least_number(alpha, estimate, told):
    arm = setting("multinomial", population="multinomial", categories=4, alpha=alpha, estimate=estimate)
    assert ("surviving_categories" in by_metric(arm)) == told


def test_what_no_law_covers():
    arm = setting()
    eats_another = regimes.Regime(initial=arm.regime.initial, synthetic=[regimes.Synthetic(n=N, of="other")])
    weighted = regimes.REGIMES["accumulate_subsample"](n=N, initial=N)
    weighted = weighted.model_copy(update={"weights": regimes.Weights(synthetic=0.5)})
    for uncovered in (
        arm._replace(truth=None, population=None),
        arm._replace(selector="score"),
        arm._replace(family="diffusion"),
        arm._replace(regime=eats_another),
        arm._replace(regime=weighted),
        setting("kde", bias=0.8),
        setting("ppca", components=1, noise="drop"),
        setting("multinomial", population="multinomial", categories=4, bias=0.8),
        setting("multinomial", population="multinomial", categories=5),
        setting("multinomial", "accumulate", "multinomial", categories=4, estimate="posterior_draw"),
        setting("linear-regression", "fresh_data", "regression"),
    ):
        assert not predict(uncovered)


def test_chance_selects_nothing_but_fewer_rows():
    arm = setting()._replace(selector="random", select_options={"share": 0.5}, samples=2 * N)
    for one, other in zip(predict(setting()), predict(arm), strict=True):
        np.testing.assert_array_equal(one.mean, other.mean)
    twice = regimes.Regime(
        initial=regimes.Initial(real=N), synthetic=[regimes.Synthetic(n=N, from_=regimes.LastK(last=2))]
    )
    kept = predict(arm._replace(regime=twice))[0].mean
    np.testing.assert_array_equal(kept, predict(setting(regime=twice))[0].mean)
    assert not np.allclose(kept, predict(setting(regime=twice)._replace(samples=2 * N))[0].mean, rtol=1e-6)


# -- agreement --------------------------------------------------------------------------------------------------------


def replaced(rng, replicates, n=N, generations=30, dimension=1):
    """A loop of one-dimensional normal laws, fitted by maximum likelihood: drift and variance, (replicates, g + 1)."""
    mean, variance, states = np.zeros((replicates, dimension)), np.ones((replicates, dimension)), []
    for _ in range(generations + 1):
        mean = mean + np.sqrt(variance / n) * rng.normal(size=mean.shape)
        variance = variance * rng.chisquare(n - 1, mean.shape) / n
        states.append((np.mean(mean**2, axis=1), variance.mean(axis=1)))
    return np.moveaxis(np.array(states), 0, 2)


def prediction(n=N, generations=30, known=True, metric="variance_ratio", bound="equal"):
    moments, spread = theory.replace_moments(generations, n, 0), theory.replace_deviations(generations, n, 0)
    part = 0 if metric == "mean_drift" else 1
    return Prediction(
        "replace_moments", metric, "moments", moments[part], spread[part] if known else None, bound, "a law"
    )


@pytest.mark.parametrize(("known", "n"), [(True, 20), (False, 100)])
@pytest.mark.parametrize("replicates", [4, 30, 300])
def test_a_law_that_holds_is_seldom_rejected(replicates, known, n):
    rng, studies = np.random.default_rng(SEED), 100
    for part, metric in enumerate(("mean_drift", "variance_ratio")):
        law = prediction(n=n, known=known, metric=metric)
        false = sum(bool(agreement(law, replaced(rng, replicates, n)[part]).departs) for _ in range(studies))
        # The level, twice that where the spread is estimated, and 3 standard deviations of chance.
        expected = studies * SIGNIFICANCE * (1 if known else 2)
        assert false <= expected + 3 * math.sqrt(expected)


@pytest.mark.parametrize("known", [True, False])
def test_wrong_laws_are_rejected(known):
    generations, t = 30, np.arange(1, 32)
    values = replaced(np.random.default_rng(SEED), 500, dimension=10)
    right = prediction(known=known)
    sd = right.sd if right.sd is None else right.sd / np.sqrt(10)
    wrong = {
        "without a loss": np.ones(31),
        "a generation too many": (1 - 1 / N) ** (t + 1.0),
        "a generation too few": (1 - 1 / N) ** (t - 1.0),
        "twice the rate": (1 - 2 / N) ** (t * 1.0),
        "bounded": theory.accumulate_moments(generations, N, 0).variance,
    }
    for name, mean in {"right": right.mean, **wrong}.items():
        law = Prediction(name, "variance_ratio", "moments", mean, sd, "equal", "")
        assert bool(agreement(law, values[1]).departs) == (name in wrong), name


def test_sentences():
    law = prediction(generations=3, known=False)
    rng = np.random.default_rng(SEED)
    values = law.mean + 0.01 * rng.normal(size=(40, 4))
    assert agreement(law, values).sentence == "follows the law at all 4 generations"
    values[:, 2:] += 0.1
    found = agreement(law, values)
    assert found.departs == [2, 3]
    assert found.sentence.startswith("leaves it from generation 2 on: at generation ")
    assert "measured 0.9" in found.sentence and "standard errors)" in found.sentence
    values[:, 3] -= 0.1
    assert agreement(law, values).sentence.startswith("leaves it at generation 2: measured 0.9")
    values[:, 0] += 0.1
    assert agreement(law, values).sentence.startswith("leaves it at 2 of 4 generations: at generation ")
    np.testing.assert_allclose(found.z, (found.measured - law.mean) / found.error)


def test_bounds_have_one_side():
    law = prediction(generations=3, known=False, bound="upper")
    values = law.mean - 0.2 + 0.01 * np.random.default_rng(SEED).normal(size=(40, 4))
    found = agreement(law, values)
    assert not found.departs and found.sentence == "stays under the bound at all 4 generations"
    assert agreement(law, values + 0.4).sentence.startswith("exceeds the bound from generation 0 on")


def test_what_cannot_be_told_is_not_told():
    law = prediction(generations=3, known=False)
    few = agreement(law, np.tile(law.mean + 0.5, (2, 1)))
    assert not few.departs and "cannot be held against the law" in few.sentence
    # All but two replicates have the same value: the spread of rare events is not that of a normal law.
    rare = np.zeros((100, 4))
    rare[:2] = 0.3
    assert "cannot be held against the law" in agreement(law, rare).sentence
    # What is the same in all replicates can still be what the law says.
    exact = Prediction("laplace_shares", "surviving_categories", "moments", np.full(4, 5.0), None, "equal", "")
    assert agreement(exact, np.full((2, 4), 5.0)).sentence == "follows the law at all 4 generations"
    # Where theory knows the spread, one replicate is enough to be far off.
    assert agreement(prediction(generations=3), np.full((1, 4), 50.0)).departs


def test_values_that_are_not_there():
    law = prediction(generations=3, known=False)
    values = law.mean + 0.01 * np.random.default_rng(SEED).normal(size=(40, 4))
    values[5:, 2] = np.nan
    values[:, 3] = np.nan
    found = agreement(law, values)
    assert found.replicates.tolist() == [40, 40, 5, 0]
    assert np.isnan(found.z[3]) and np.isfinite(found.z[:3]).all()
    assert found.sentence == "follows the law at all 3 generations that can be tested (1 cannot)"
    with pytest.raises(ValueError, match="values: found 3 generations, allowed are 4"):
        agreement(law, values[:, :3])


def test_a_log_determinant_is_not_tested_where_the_least_are_undetermined():
    law = prediction(generations=3, metric="log_determinant_ratio")
    values = law.mean + law.sd * np.random.default_rng(SEED).normal(size=(400, 4))
    values[:, 2:] = np.where(values[:, 2:] < law.mean[2:], np.nan, values[:, 2:])
    found = agreement(law, values)
    assert np.isfinite(found.z[:2]).all() and np.isnan(found.z[2:]).all() and found.departs == []
    assert found.sentence == "follows the law at all 2 generations that can be tested (2 cannot)"
    # Replicates that have not begun lack everywhere, and say nothing about the others.
    begun = agreement(law, np.concatenate([values, np.full((5, 4), np.nan)]))
    np.testing.assert_array_equal(begun.z, found.z)
    assert agreement(prediction(generations=3), values).departs == [2, 3]
