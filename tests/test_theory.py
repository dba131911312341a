"""The closed forms against each other, against published numbers, and against the sampling laws they are made of.

That they hold in the loop itself is the business of ``test_oracles``.
"""

import numpy as np
import pytest

from collapselab import theory

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
