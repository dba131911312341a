"""The closed forms against each other, against published numbers, and against the sampling laws they are made of.

That they hold in the loop itself is the business of ``test_oracles``.
"""

import itertools
import math

import numpy as np
import pytest

from collapselab import theory
from collapselab.compose import regimes
from collapselab.theory.multinomial import binomial

SEED = 20_230_704


def moments_of_maximum_likelihood():
    yield theory.replace_moments(30, 12, ddof=0)
    yield theory.fresh_moments(30, 40, 5, 15, ddof=0)
    yield theory.fresh_limit(5, 15, ddof=0)
    yield theory.augmentation_moments(30, 5, 15)
    yield theory.augmentation_limit(5, 15)
    yield theory.accumulate_moments(30, 12, ddof=0)
    yield theory.accumulate_limit(12)
    yield theory.accumulate_subsample_moments(30, 12)


@pytest.mark.parametrize("moments", list(moments_of_maximum_likelihood()))
def test_total_variance_is_conserved(moments):
    np.testing.assert_allclose(moments.drift + moments.variance, 1.0, rtol=1e-12)


def test_generation_0_is_one_fit_to_real_data():
    n, truth = 10, np.array([0.5, 0.3, 0.2])
    for moments in (
        theory.replace_moments(0, n, ddof=0, sampling_bias=0.5),
        theory.fresh_moments(0, n, 3, 7, ddof=0, sampling_bias=0.5),
        theory.augmentation_moments(0, n, 7),
        theory.accumulate_moments(0, n, ddof=0),
        theory.accumulate_subsample_moments(0, n),
    ):
        np.testing.assert_allclose((moments.drift[0], moments.variance[0]), (1 / n, 1 - 1 / n))
    np.testing.assert_allclose(theory.accumulate_moments(0, n, ddof=1), [[1 / n], [1.0]])
    np.testing.assert_allclose(theory.replace_share_variance(0, n, truth)[0], truth * (1 - truth) / n)
    np.testing.assert_allclose(theory.survivors(0, n, truth), (1 - (1 - truth) ** n).sum())
    np.testing.assert_allclose(theory.temperature_shares(0, truth, 0.5)[0], truth)


@pytest.mark.parametrize("ddof", [0, 1])
def test_fresh_data_without_real_rows_is_replace(ddof):
    for bias in (1.0, 0.8):
        fresh = theory.fresh_moments(20, 12, 0, 12, ddof, bias)
        np.testing.assert_allclose(fresh, theory.replace_moments(20, 12, ddof, bias))


@pytest.mark.parametrize("ddof", [0, 1])
def test_recursions_reach_their_limits(ddof):
    np.testing.assert_allclose(
        [curve[-1] for curve in theory.fresh_moments(400, 7, 10, 30, ddof, 0.9)], theory.fresh_limit(10, 30, ddof, 0.9)
    )


def test_limits_of_the_other_regimes():
    np.testing.assert_allclose(
        [curve[-1] for curve in theory.augmentation_moments(400, 10, 30)], theory.augmentation_limit(10, 30)
    )
    # The rest of the product is about exp(1 / (n t)).
    np.testing.assert_allclose(
        [curve[-1] for curve in theory.accumulate_moments(9999, 10, ddof=0)], theory.accumulate_limit(10), atol=2e-5
    )
    for estimate in ("mean", "posterior_draw"):
        curve = theory.laplace_homozygosity(4000, 50, 0.5, np.array([0.7, 0.2, 0.1]), estimate)
        np.testing.assert_allclose(curve[-1], theory.laplace_homozygosity_limit(50, 0.5, 3, estimate))


@pytest.mark.parametrize("n", [2, 10, 100])
@pytest.mark.parametrize("ddof", [0, 1])
def test_moments_of_one_variance_are_those_of_the_chi_square(n, ddof):
    rows = np.random.default_rng(SEED).chisquare(n - 1, 200_000) / (n - ddof)
    mean_log, variance_log = theory.replace_log_variance(0, n, ddof)
    for found, expected in (
        (rows, theory.replace_moments(0, n, ddof).variance),
        (np.sqrt(rows), theory.replace_sd(0, n, ddof)),
        (rows**2, theory.replace_second_moment(0, n, ddof)),
        (np.log(rows), mean_log),
        ((np.log(rows) - mean_log) ** 2, variance_log),
    ):
        assert abs(found.mean() - expected[0]) < 4.5 * found.std() / np.sqrt(found.size)


def test_determinants_of_one_covariance():
    n, d, draws = 12, 3, 20_000
    rows = np.random.default_rng(SEED).normal(size=(draws, n, d))
    rows -= rows.mean(axis=1, keepdims=True)
    determinant = np.linalg.det(rows.transpose(0, 2, 1) @ rows / n)
    for found, expected in (
        (determinant, theory.replace_determinant(0, n, 0, d)),
        (np.log(determinant), theory.replace_log_determinant(0, n, 0, d)),
    ):
        assert abs(found.mean() - expected[0]) < 4.5 * found.std() / np.sqrt(draws)


def test_determinants_agree_with_one_dimension():
    for ddof in (0, 1):
        flat = theory.replace_determinant(9, 20, ddof, 1, 0.8)
        np.testing.assert_allclose(flat, theory.replace_moments(9, 20, ddof, 0.8).variance)
        flat = theory.replace_log_determinant(9, 20, ddof, 1, 0.8)
        np.testing.assert_allclose(flat, theory.replace_log_variance(9, 20, ddof, 0.8)[0])


def test_wasserstein_distance_is_shumailovs_to_first_order():
    n, t = 100_000, np.arange(1, 11)
    np.testing.assert_allclose(theory.replace_w2(9, n, ddof=1), 1.5 * t / n, rtol=1e-3)
    np.testing.assert_allclose(theory.replace_frechet(9, n, 1), 1.5 * t / n, rtol=1e-12)


@pytest.mark.oracle  # the n_e of the memories that the real loop is held to, up to 100 models
def test_effective_size():
    for fresh, synthetic in ((10, 30), (100, 900)):
        drift = theory.fresh_limit(fresh, synthetic, ddof=0).drift
        assert theory.effective_size(fresh, synthetic) == pytest.approx(1 / drift)
    # MAD's figure 30: n_r = 1,000, n_s = 10,000, up to about 10 times as good with 100 models to eat from.
    ratios = [theory.effective_size(1000, 10_000, memory) / 1000 for memory in (1, 2, 5, 10, 20, 50, 100)]
    np.testing.assert_allclose(ratios, [1.91, 2.67, 4.33, 6.0, 7.67, 9.33, 10.09], atol=0.005)
    assert theory.effective_size(1000, 10_000, 2000) / 1000 == pytest.approx(11, rel=0.01)
    assert theory.effective_size(50, 0) == 50


def test_admissible_synthetic_rows():
    # By definition: the squared distance in the limit, of many real rows, is that of the real rows alone.
    bias, fresh = 0.7, 10**7
    edge = theory.admissible_synthetic(bias)

    def excess(synthetic):
        limit = theory.fresh_limit(fresh, synthetic, 1, bias)
        spread = np.sqrt(limit.variance)
        # E sd = sqrt V (1 - Var v / (8 V^2)), Var v = 2 V^2 / n as q vanishes.
        distance = limit.drift + (1 - spread) ** 2 + spread / (4 * (fresh + synthetic))
        return distance * fresh / 1.25 - 1

    assert excess(round(0.5 * edge)) < 0 < excess(round(2 * edge))


def test_multinomial_laws_that_must_agree():
    truth, n = np.array([0.5, 0.3, 0.2]), 15
    shares = truth**2 + theory.replace_share_variance(9, n, truth)
    np.testing.assert_allclose(1 - shares.sum(axis=1), theory.replace_heterozygosity(9, n, truth))
    np.testing.assert_allclose(
        theory.fresh_share_error(400, n, 5, 15, truth)[-1], theory.heterozygosity(truth) / theory.effective_size(5, 15)
    )
    # Without smoothing, mutation is drift.
    drift = 1 - theory.replace_heterozygosity(9, n, truth)
    np.testing.assert_allclose(theory.laplace_homozygosity(9, n, 0.0, truth), drift)
    np.testing.assert_allclose(theory.laplace_shares(9, n, 0.0, truth), np.tile(truth, (10, 1)))


def test_extinction_is_absorbing_and_ends_at_fixation():
    truth = np.array([0.6, 0.3, 0.1, 0.0])
    lost = theory.extinction(200, 8, truth)
    assert (np.diff(lost, axis=0) >= -1e-12).all() and (lost <= 1 + 1e-12).all()
    # After 25 n generations all but one are gone, category k surviving with probability p_k.
    np.testing.assert_allclose(1 - lost[-1], truth, atol=1e-9)
    np.testing.assert_allclose(lost[:, 3], 1.0)


def test_rare_categories_die_like_poisson_families():
    exact = theory.extinction(9, 1000, np.array([0.003, 0.997]))[:, 0]
    # The approximation is of relative order p + 1/n.
    np.testing.assert_allclose(theory.rare_extinction(9, 3.0), exact, rtol=0.006)


def test_distinct_items_follow_kingmans_coalescent():
    n, t = 200, 60
    k = np.arange(1, n + 1)
    coalescent = ((2 * k - 1) * np.exp(-k * (k - 1) * t / (2 * n))).sum()
    left = theory.survivors(t - 1, n, np.full(1, 1 / n))[-1] * n
    assert left == pytest.approx(coalescent, rel=0.1)  # the coalescent lets one pair merge at a time: n^2/t rare events


def test_temperature_sharpens_towards_the_mode():
    shares = theory.temperature_shares(12, [0.5, 0.3, 0.2, 0.0], 0.5)
    np.testing.assert_allclose(shares[1], np.array([25, 9, 4, 0]) / 38)
    np.testing.assert_allclose(shares[-1], [1, 0, 0, 0], atol=1e-12)


def test_smoothing():
    # Published checks at n = 100 (stationary homozygosity of K categories).
    for categories, alpha, expected in ((2, 1.0, 0.5992), (2, 0.5, 0.6661), (2, 0.1, 0.8570), (5, 1.0, 0.27111)):
        assert theory.laplace_homozygosity_limit(100, alpha, categories) == pytest.approx(expected, abs=6e-5)
    # For n >> K alpha it is that of Dirichlet(2 alpha); a posterior draw gives Dirichlet(alpha) for every n.
    assert theory.laplace_homozygosity_limit(10**6, 0.5, 3) == pytest.approx((1 + 1.0) / (1 + 3.0), rel=1e-5)
    for n in (1, 10, 1000):
        drawn = theory.laplace_homozygosity_limit(n, 0.4, 3, "posterior_draw")
        assert drawn == pytest.approx((1 + 0.4) / (1 + 3 * 0.4), rel=1e-12)
    shares = theory.laplace_shares(2000, 20, 0.5, np.array([1.0, 0.0]))
    np.testing.assert_allclose(shares[0], [20.5 / 21, 0.5 / 21])
    np.testing.assert_allclose(shares[-1], 0.5)


def test_smoothing_with_fresh_rows_hallucinates():
    truth, fresh, synthetic, alpha = np.array([0.8, 0.2, 0.0]), 8, 12, 1.0
    limit = theory.laplace_fresh_limit(fresh, synthetic, alpha, truth)
    np.testing.assert_allclose((fresh * truth + synthetic * limit + alpha) / (fresh + synthetic + 3 * alpha), limit)
    assert limit[2] > 0


# -- any regime -------------------------------------------------------------------------------------------------------


def special_cases():
    """(regime, samples of a stored set, ddof, sampling bias, law), whose law has a function of its own."""
    presets, late = regimes.REGIMES, 50
    for ddof, bias in itertools.product((0, 1), (1.0, 0.8)):
        law = theory.replace_moments(9, 24, ddof, bias)
        yield presets["fully_synthetic"](n=24, initial=24), late, ddof, bias, law
        fresh = presets["fresh_data"](n=20, fresh=5, initial=8)
        yield fresh, late, ddof, bias, theory.fresh_moments(9, 8, 5, 15, ddof, bias)
    for ddof in (0, 1):
        law = theory.accumulate_moments(9, 6, ddof)
        yield presets["accumulate"](n=6, initial=6), late, ddof, 1.0, law
    redrawn = presets["ten_percent_real"](n=20, initial=20)
    yield redrawn, late, 0, 1.0, theory.fresh_moments(9, 20, 2, 18, ddof=0)
    fixed = presets["synthetic_augmentation"](n=20, fixed=5, initial=5)
    yield fixed, late, 0, 1.0, theory.augmentation_moments(9, 5, 15)
    law = theory.accumulate_subsample_moments(9, 8)
    yield presets["accumulate_subsample"](n=8, initial=8), late, 0, 1.0, law


@pytest.mark.parametrize("case", list(special_cases()))
def test_one_recursion_has_the_moments_of_every_regime(case):
    regime, samples, ddof, bias, law = case
    np.testing.assert_allclose(theory.regime_moments(regime, 9, ddof, samples, bias), law, rtol=1e-12)


@pytest.mark.oracle  # the n_e of the memories that the real loop is held to, up to 100 models
def test_the_recursion_of_a_memory_ends_at_its_effective_size():
    for k in (1, 2, 4):
        regime = regimes.REGIMES["k_memory"](n=28, fresh=4, k=k, initial=28)
        moments = theory.regime_moments(regime, 300, 0, 28)
        assert moments.drift[-1] == pytest.approx(1 / theory.effective_size(4, 24, k), rel=1e-9)
        np.testing.assert_allclose(moments.drift + moments.variance, 1, rtol=1e-12)


def test_regimes_without_a_law_are_refused():
    other = regimes.Regime(initial=regimes.Initial(real=9), synthetic=[regimes.Synthetic(n=9, of="another")])
    with pytest.raises(ValueError, match="of: found another, allowed is self"):
        theory.regime_moments(other, 3, 0, 9)
    weighted = regimes.REGIMES["accumulate_subsample"](n=9, initial=9)
    weighted = weighted.model_copy(update={"weights": regimes.Weights(synthetic=0.5)})
    with pytest.raises(ValueError, match="weights: found different ones"):
        theory.regime_moments(weighted, 3, 0, 9)


def memoryful(rng, generations, replicates, n=9, fresh=3, made=8, bias=0.9, ddof=1):
    """A loop that eats the stored samples of its last two models, by hand: drift and variance, each with its error."""
    rows, states, stored = rng.normal(size=(replicates, n)), [], []
    for generation in range(generations + 1):
        if generation:
            last = range(max(0, generation - 2), generation)
            each = [n - fresh] if len(last) == 1 else [(n - fresh) // 2, (n - fresh) - (n - fresh) // 2]
            eaten = [rng.permuted(stored[past], axis=1)[:, :count] for past, count in zip(last, each, strict=True)]
            rows = np.concatenate([rng.normal(size=(replicates, fresh)), *eaten], axis=1)
        mean, variance = rows.mean(axis=1), rows.var(axis=1, ddof=ddof)
        states.append((mean**2, variance))
        noise = rng.normal(size=(replicates, made))
        stored.append(mean[:, None] + np.sqrt(bias * variance)[:, None] * noise)
    return np.array(states)


def test_rows_chosen_twice_from_one_set_share_its_noise():
    n, fresh, made, generations = 9, 3, 8, 6
    states = memoryful(np.random.default_rng(SEED), generations, 40_000)
    regime = regimes.Regime(
        initial=regimes.Initial(real=n),
        real=regimes.Real(fresh=fresh),
        synthetic=[regimes.Synthetic(n=n - fresh, from_=regimes.LastK(last=2))],
    )
    error = states.std(axis=2) / np.sqrt(states.shape[2])
    for samples, right in ((made, True), (10**9, False)):
        law = np.transpose(theory.regime_moments(regime, generations, 1, samples, 0.9))
        assert (abs(states.mean(axis=2) - law) < 4.5 * error).all() == right


# -- spread -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ddof", [0, 1])
def test_deviations_of_one_loop(ddof):
    n, generations, bias, spectrum, replicates = 10, 3, 0.9, np.array([3.0, 1.0, 0.5]), 20_000
    rng = np.random.default_rng(SEED)
    law = theory.replace_deviations(generations, n, ddof, bias, spectrum)
    mean, sampled = np.zeros((replicates, 3)), np.broadcast_to(np.diag(spectrum), (replicates, 3, 3))
    for generation in range(generations + 1):
        noise = np.einsum("rni,rji->rnj", rng.normal(size=(replicates, n, 3)), np.linalg.cholesky(sampled))
        centred = noise - noise.mean(axis=1, keepdims=True)
        mean = mean + noise.mean(axis=1)
        covariance = np.einsum("rni,rnj->rij", centred, centred) / (n - ddof)
        sampled = bias * covariance
        total = spectrum.sum()
        for found, expected in (
            ((mean**2).sum(axis=1) / total, law.drift[generation]),
            (np.trace(covariance, axis1=1, axis2=2) / total, law.variance[generation]),
        ):
            # Heavy tails: the error of a standard deviation is estimated from twenty parts of the replicates.
            parts = found.reshape(20, -1).var(axis=1)
            assert abs(parts.mean() - expected**2) < 4.5 * parts.std(ddof=1) / np.sqrt(20)


def test_deviations_of_one_dimension_are_those_of_the_chi_square():
    second = theory.replace_second_moment(9, 20, 1, 0.8)
    variance = theory.replace_moments(9, 20, 1, 0.8).variance
    np.testing.assert_allclose(theory.replace_deviations(9, 20, 1, 0.8).variance, np.sqrt(second - variance**2))
    log_variance = theory.replace_log_variance(9, 20, 1)[1]
    np.testing.assert_allclose(theory.replace_log_determinant_variance(9, 20, 1), log_variance)


# -- n_e with a sampling bias -----------------------------------------------------------------------------------------


def test_rows_of_a_distance_invert_one_fit():
    for n, ddof in itertools.product((2, 37, 5000), (0, 1)):
        assert theory.rows_of_distance(theory.replace_w2(0, n, ddof)[0], ddof) == pytest.approx(n, rel=1e-6)
    with pytest.raises(ValueError, match=r"distance: found 9\.0, allowed are numbers above 0 up to that of 2 rows"):
        theory.rows_of_distance(9.0, 1)


def test_effective_size_by_distance_is_that_by_drift_without_a_bias():
    # Published: n_e / n_r 1.496 and 1.897 by simulation, 1.5 and 1.9 by the drift.
    for fresh, synthetic in ((100, 100), (100, 900)):
        by_drift = theory.effective_size(fresh, synthetic)
        assert theory.effective_size_w2(fresh, synthetic, 1) == pytest.approx(by_drift, rel=0.01)


def test_effective_size_with_a_bias():
    # Published simulation at n_r = 4000, standard error .0016; to first order in 1/N, .005 more is allowed.
    for bias, synthetic, expected in ((0.7, 41, 1.0056), (0.7, 163, 0.950), (0.85, 149, 1.019), (0.85, 596, 0.841)):
        assert theory.effective_size_w2(4000, synthetic, 1, bias) / 4000 == pytest.approx(expected, abs=0.005)


def test_distance_in_the_limit_of_fresh_data():
    fresh, synthetic, bias, replicates = 40, 160, 0.8, 20_000
    rng = np.random.default_rng(SEED)
    mean, sd = np.zeros(replicates), np.ones(replicates)
    for _ in range(30):
        # Sufficient statistics: the means and the sums of squares of the real and of the synthetic rows.
        real, made = rng.normal(size=replicates) / fresh**0.5, rng.normal(size=replicates) / synthetic**0.5
        made = mean + bias**0.5 * sd * made
        squares = rng.chisquare(fresh - 1, replicates) + bias * sd**2 * rng.chisquare(synthetic - 1, replicates)
        squares += fresh * synthetic / (fresh + synthetic) * (real - made) ** 2
        mean, sd = (fresh * real + synthetic * made) / 200, np.sqrt(squares / 199)
    found = mean**2 + (sd - 1) ** 2
    law = theory.fresh_limit_w2(fresh, synthetic, 1, bias)
    # Beside the Monte Carlo error, terms of relative order 1/N.
    assert abs(found.mean() - law) < 4.5 * found.std() / replicates**0.5 + law / 200


def test_rows_that_do_no_harm():
    # The closed form for many real rows, and where it ends.
    for bias in (0.7, 0.85):
        assert theory.admissible_rows(10**7, 1, bias) == pytest.approx(theory.admissible_synthetic(bias), abs=1)
        most = theory.admissible_rows(1000, 1, bias)
        harmless = theory.effective_size_w2(1000, most, 1, bias), theory.effective_size_w2(1000, most + 1, 1, bias)
        assert harmless[0] >= theory.effective_size_w2(1000, 0, 1, bias) > harmless[1]
    assert theory.admissible_rows(100, 0, 1.0, most=10**6) == 10**6


# -- regression, kernels, principal components ------------------------------------------------------------------------


def test_regression_errors():
    n, d = 19, 10
    rows = np.random.default_rng(SEED).normal(size=(4000, n, d))
    traces = np.trace(np.linalg.inv(np.einsum("rni,rnj->rij", rows, rows)), axis1=1, axis2=2)
    one = theory.regression_error_replace(0, n, d)[0]
    assert abs(traces.mean() - one) < 4.5 * traces.std() / np.sqrt(len(traces))
    assert one == d / (n - d - 1)
    np.testing.assert_allclose(theory.regression_error_replace(9, n, d), one * np.arange(1, 11))
    np.testing.assert_allclose(theory.regression_error_accumulate(10**5, n, d)[-1], one * np.pi**2 / 6, rtol=1e-4)
    np.testing.assert_allclose(theory.regression_error_replace(3, n, d, 4.0, 1.0), one * np.array([4, 5, 6, 7]))
    np.testing.assert_allclose(theory.regression_error_accumulate(1, n, d, 4.0, 1.0), one * np.array([4, 4.25]))
    with pytest.raises(ValueError, match="n: found 11 rows, allowed for dimension 10 are more than 11"):
        theory.regression_error_replace(3, 11, 10)


def test_kernels_inflate():
    regime, h = regimes.REGIMES["fully_synthetic"](n=100, initial=100), 0.2
    for law, kernel in (
        (theory.kde_variance(30, 100, h), h**2),
        (theory.kde_rule_variance(30, 100, 1), theory.kernel_rule("scott", 1)),
        (theory.kde_rule_variance(30, 100, 3, "silverman"), theory.kernel_rule("silverman", 3)),
    ):
        np.testing.assert_allclose(theory.regime_moments(regime, 30, 0, 100, kernel=kernel).variance, law, rtol=1e-12)
    assert theory.kde_variance(10_000, 100, h)[-1] == pytest.approx(100 * h**2)
    # Published: a factor of 1.149 a generation for n = 100 rows in one dimension, 3.998 after ten.
    scott = theory.kde_rule_variance(9, 100, 1)
    assert scott[0] == pytest.approx(1.1485, abs=5e-5) and scott[-1] == pytest.approx(3.993, abs=5e-4)
    with pytest.raises(ValueError, match="bandwidth: found 'wide', allowed are scott, silverman"):
        theory.kernel_rule("wide", 1)


def test_principal_components_without_noise():
    # Published: the spectrum (5, 3, 2, 1, .5) with two components keeps 5.667 of 11.5.
    np.testing.assert_allclose(theory.ppca_trace(3, [2, 5, 0.5, 3, 1], 2), 17 / 3)
    np.testing.assert_allclose(theory.ppca_trace(0, [2, 5, 3], 3), 10)


# -- more of Wright and Fisher ----------------------------------------------------------------------------------------


def test_time_to_fixation():
    # Published: n = 50, p = 1/2.
    assert theory.absorption_time(50, 0.5) == pytest.approx(67.52, abs=0.005)
    assert theory.absorption_time_diffusion(50, 0.5) == pytest.approx(69.31, abs=0.005)
    # E T = sum over t of the chance that both are still there.
    lost = theory.extinction(2000, 12, np.array([0.3, 0.7])).sum(axis=1)
    assert theory.absorption_time(12, 0.3) == pytest.approx(1 + (1 - lost).sum(), rel=1e-9)


def test_distinct_rows_of_a_bootstrap():
    # Published for n = 500; Kingman's 20.3 after 50 generations.
    items = theory.distinct_items(50, 500)
    np.testing.assert_allclose(items[[0, 1, 10, 50]], [500, 316.24, 79.43, 19.157], atol=0.005)
    assert theory.kingman_lineages(50, 500)[50] == pytest.approx(20.34, abs=0.005)
    assert theory.kingman_lineages(5000, 50)[-1] == pytest.approx(1.0)


def test_modes_that_survive():
    # Published: an equal mixture of 25 modes, n = 100, after 1, 10, 50 and 200 fits.
    left = theory.survivors(199, 100, np.full(25, 1 / 25))
    np.testing.assert_allclose(left[[0, 9, 49, 199]], [24.58, 12.73, 3.90, 1.39], atol=0.005)


def test_independent_features():
    shares, n = np.array([0.6, 0.3, 0.1]), 12
    one = theory.independent_homozygosity(9, n, [shares])
    np.testing.assert_allclose(1 - one, theory.replace_heterozygosity(9, n, shares))
    two = theory.independent_homozygosity(9, n, [shares, np.array([0.5, 0.5])])
    other = 1 - theory.replace_heterozygosity(9, n, np.array([0.5, 0.5]))
    np.testing.assert_allclose(two, one * other)


def test_covariance_between_classes():
    # pi (1 - pi) times two differences of independent means, each about the truth, by enumeration of one fit.
    n, share, means = 4, 0.4, np.array([[0.2, 0.7], [0.6, 0.1]])  # (class, feature)
    rng = np.random.default_rng(SEED)
    classes = (rng.random((200_000, n)) < share).astype(int)
    full = (classes.sum(axis=1) > 0) & (classes.sum(axis=1) < n)
    values = rng.random((*classes.shape, 2)) < means[classes]
    size = classes.sum(axis=1, keepdims=True)
    of_one = np.einsum("rn,rnf->rf", classes, values)[full] / size[full]
    of_other = np.einsum("rn,rnf->rf", 1 - classes, values)[full] / (n - size[full])
    # An empty class leaves no covariance, and its weight is 0.
    found = np.zeros(len(classes))
    found[full] = (size * (n - size))[full, 0] / n**2 * np.prod(of_one - of_other, axis=1)
    between = share * (1 - share) * np.prod(means[1] - means[0])
    law = theory.between_classes_covariance(0, n, between)[0]
    assert abs(found.mean() - law) < 4.5 * found.std() / np.sqrt(len(found))


# -- retraining -------------------------------------------------------------------------------------------------------


def test_contraction():
    # Published: lambda 2 and gamma 1/2, five generations.
    assert theory.contraction(2, 0.5) ** 5 == pytest.approx(0.017342, abs=5e-7)
    information = np.diag([2.0, 1.0])
    for weight in (0.25, 1.0, 4.0):
        slopes = theory.local_slopes(information, information, weight)
        np.testing.assert_allclose(slopes, theory.contraction(weight))


def test_slope_of_a_misspecified_model():
    """A location family of Student's law with 5 degrees of freedom, fitted to a normal truth (published slopes)."""
    x = np.linspace(-40, 40, 400_001)
    normal = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    student = math.gamma(3) / math.sqrt(5 * math.pi) / math.gamma(2.5) * (1 + x**2 / 5) ** -3
    curvature = 6 * (5 - x**2) / (5 + x**2) ** 2  # -d2/dm2 log p
    data, own = (np.trapezoid(law * curvature, x) for law in (normal, student))
    for weight, slope in ((0.25, 0.188415), (1, 0.481496), (4, 0.787889)):
        found = theory.local_slopes(np.array([[data]]), np.array([[own]]), weight)
        assert found[0] == pytest.approx(slope, abs=2e-6)


def test_condition_of_stability():
    assert theory.is_stable(0.49, 1, 5, 0) and not theory.is_stable(0.51, 1, 5, 0)
    assert not theory.is_stable(0.49, 1, 5, 0.1)
    assert theory.is_stable(0.9, 1, 0, 0, correction=100)


# -- selection --------------------------------------------------------------------------------------------------------


def test_curation_by_many_candidates():
    truth, rewards = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 0.5])
    shares = theory.curated_shares(2, truth, rewards)
    np.testing.assert_allclose(shares[0], truth)
    np.testing.assert_allclose(shares[2], truth * np.exp(2 * rewards) / (truth @ np.exp(2 * rewards)))
    # A choice among K samples tends to it, with an error of order 1/K.
    off = [abs(theory.chosen_shares(truth, rewards, k) - shares[1]).max() for k in (10, 20)]
    assert off[1] < 0.55 * off[0] < 0.02


def test_choice_between_two():
    s = 1 / (1 + math.exp(-1.0))
    chosen = theory.chosen_shares([0.3, 0.7], [1.0, 0.0], 2)
    np.testing.assert_allclose(chosen, [0.3**2 + 2 * 0.3 * 0.7 * s, 0.7**2 + 2 * 0.3 * 0.7 * (1 - s)])
    # Published: the fixed point with as many real rows, p_0 = .2 and a gap of 1.
    assert theory.choice_shares(200, [0.2, 0.8], [1.0, 0.0], 2, 1.0)[-1, 0] == pytest.approx(0.296367, abs=5e-7)


@pytest.mark.parametrize("choices", [2, 3, 4])
def test_choice_by_enumeration(choices):
    shares, rewards = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 0.5])
    expected = np.zeros(3)
    for samples in itertools.product(range(3), repeat=choices):
        samples = np.array(samples)
        np.add.at(
            expected, samples, np.prod(shares[samples]) * np.exp(rewards[samples]) / np.exp(rewards[samples]).sum()
        )
    np.testing.assert_allclose(theory.chosen_shares(shares, rewards, choices), expected)


def test_judges_of_two_minds_keep_what_each_of_them_likes():
    """Zhao et al. 2025: by hand for pairs of two types, and where types that nobody likes, or one mind alone, end."""
    truth, gap = np.array([0.3, 0.7]), 1.2
    s = 1 / (1 + math.exp(-gap))
    # With pi judges for the first type and 1 - pi against it: p' = p^2 + 2 p (1 - p) (pi s + (1 - pi) (1 - s)).
    won = 0.4 * s + 0.6 * (1 - s)
    p = 0.3
    shares = theory.choice_shares(3, truth, [[gap, 0.0], [0.0, gap]], 2, mixture=[0.4, 0.6])
    for found in shares[1:]:
        p = p**2 + 2 * p * (1 - p) * won
        assert found[0] == pytest.approx(p, rel=1e-12)
    # Of four types and choices among four, two minds that like a type each: those two are left, as often as the minds.
    start, minds = np.full(4, 0.25), np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0]])
    ends = {
        mixture: theory.choice_shares(300, start, minds, 4, mixture=[mixture, 1 - mixture])[-1]
        for mixture in (0.5, 0.6)
    }
    np.testing.assert_allclose(ends[0.5], [0.5, 0.5, 0, 0], atol=1e-6)
    assert 0.5 < ends[0.6][0] < 1 and ends[0.6][1] > 0 and ends[0.6][2:].max() < 1e-6
    alone = theory.choice_shares(300, start, minds[0], 4)[-1]
    np.testing.assert_allclose(alone, [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(
        theory.choice_shares(5, start, minds, 4, mixture=[1, 0]), theory.choice_shares(5, start, minds[0], 4)
    )


def test_rewards_rise_by_what_is_promised_and_stay_near_the_truth():
    truth, rewards, k = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 0.5]), 4
    worth = np.exp(rewards)
    for before, after in itertools.pairwise(theory.choice_shares(6, truth, rewards, k)):
        variance = before @ worth**2 - (before @ worth) ** 2
        assert (after - before) @ worth >= (k - 1) / k * variance / worth.max()
    for choices, weight in ((2, 0.5), (4, 0.3)):
        last = theory.choice_shares(300, truth, 5 * rewards, choices, weight)[-1]
        bound = theory.choice_divergence_bound(choices, weight)
        assert 0 < last @ np.log(last / truth) <= bound
        assert (last / truth).max() <= math.exp(bound)
    assert theory.choice_divergence_bound(4, 1 / 3) == math.inf
    # The best of n is the (n - 1)-th power of the distribution function: its divergence by quadrature.
    u = np.linspace(1e-9, 1, 400_001)
    density = 4 * u**3
    assert theory.best_of_divergence(4) == pytest.approx(np.trapezoid(density * np.log(density), u), abs=1e-6)


def test_cuts_and_top_shares():
    # Published, and by quadrature.
    np.testing.assert_allclose(theory.top_share_moments(0.5), (0.798, 0.363), atol=5e-4)
    np.testing.assert_allclose(theory.top_share_moments(0.1), (1.755, 0.169), atol=5e-4)
    np.testing.assert_allclose([theory.cut_variance(c) for c in (1, 2, 3)], (0.2911, 0.7737, 0.9733), atol=5e-5)
    x = np.linspace(-1.3, 1.3, 200_001)
    weight = np.exp(-(x**2) / 2)
    assert theory.cut_variance(1.3) == pytest.approx((weight * x**2).sum() / weight.sum(), rel=1e-4)


def test_fixation_with_selection():
    # Against the exact chain of one type's count, weakly selected: p -> p^2 + 2 p (1-p) s(gap), then n draws.
    n, gap = 100, 0.05
    counts = np.arange(n + 1) / n
    better = counts**2 + 2 * counts * (1 - counts) / (1 + math.exp(-gap))
    steps = binomial(n, better)
    inner = np.linalg.solve(np.eye(n - 1) - steps[1:-1, 1:-1], steps[1:-1, -1])
    found = [theory.selected_fixation(n, count / n, gap) for count in range(1, n)]
    np.testing.assert_allclose(found, inner, rtol=0.03)
    assert theory.selected_fixation(n, 0.3, 0.0) == 0.3


def test_verifiers_and_detectors():
    # Published: phi = .8, psi = .3; q = .9, b = .99, a = .01.
    threshold = theory.verification_threshold(0.8, 0.3)
    assert threshold == pytest.approx(0.7273, abs=5e-5)
    assert theory.verified_error(threshold, 0.8, 0.3) == pytest.approx(0.5)
    assert theory.purged_share(0.9, 0.99, 0.01) == pytest.approx(0.0833, abs=5e-5)
    assert theory.purged_share(0.9, 0.0, 0.0) == pytest.approx(0.9)


def test_what_comes_back_and_what_is_amplified():
    # Published: pi = .2, q = .8; a = .1, n_s / n_r = 4.
    relearned = theory.relearned_share(8, 0.2, 0.8)
    np.testing.assert_allclose(relearned[[0, 1, 3, 8]], [0, 0.04, 0.0976, 0.1664], atol=5e-5)
    assert not theory.relearned_share(8, 0.2, 1.0).any()
    np.testing.assert_allclose(theory.constant_shift(30, 0.1, 0.8)[[0, 5, 30]], [0, 0.26893, 0.3995], atol=5e-5)
    np.testing.assert_allclose(theory.constant_shift(4, 0.1, 1.0), 0.1 * np.arange(5))
    np.testing.assert_allclose(theory.artefact_power(2, 0.1), [1, 1.21, 1.4641])
