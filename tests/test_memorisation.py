"""Memorisation: null values, the copycat and the under-fitted model, and ranks against scipy's."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import betainc, digamma

from collapselab.core.errors import Undefined
from collapselab.features import Features
from collapselab.machine.compat import import_torchvision
from collapselab.metrics import METRICS
from collapselab.metrics.classes import inception_score
from collapselab.metrics.entropy import neighbour_entropy
from collapselab.metrics.memorisation import (
    authenticity,
    copies,
    data_copying,
    duplicates,
    mean_nearest_distance,
    nearest_distance,
    nearest_ratio,
)
from collapselab.metrics.ranks import midranks, superiority


def normal(seed, rows, width=2):
    return np.random.default_rng(seed).normal(size=(rows, width))


def error_of(interval):
    return (interval.high - interval.low) / (2 * 1.959963984540054)


def copycat(train, seed, rows, sigma):
    """A density estimate by kernels of width sigma around the training samples."""
    random = np.random.default_rng(seed)
    return train[random.integers(0, len(train), rows)] + sigma * random.normal(size=(rows, train.shape[1]))


# -- copycat, good model and held-out samples together -----------------------------------------------------------------


def test_the_copycat_the_good_model_and_new_real_samples_are_told_apart():
    """Of 16 dimensions, 1000 training samples, 300 of each; a copycat of width .01 against distances of about 2.5.

    A good model draws from the same law: authenticity and C_T within 4.5 of their own standard errors of the null, 0;
    and as few copies as new real samples, one in a hundred at most.
    """
    train, new, good = normal(0, 1000, 16), normal(1, 300, 16), normal(2, 300, 16)
    bad = copycat(train, 3, 300, 0.01)
    assert copies(train, bad) == 1 and max(copies(train, good), copies(train, new)) < 0.01
    of_bad, of_good = (authenticity(train, side, held_out=new) for side in (bad, good))
    assert of_bad["fake"] == 0 and of_bad["difference"].high < -0.6
    assert abs(of_good["difference"]) < 4.5 * error_of(of_good["difference"])
    assert of_good["fake"] > 0.6  # and neither 1/2 nor 1, in the null case
    assert data_copying(train, bad, held_out=new, cells=1) < -20
    assert abs(data_copying(train, good, held_out=new, cells=1)) < 4.5
    assert duplicates(train, bad) == 0 and duplicates(train, train[:7]) == 1


# -- authenticity ------------------------------------------------------------------------------------------------------


def mean_authenticity(draw, replicates, rows, probes):
    """The mean over replicates, and its standard error as they show it."""
    found = []
    for seed in range(replicates):
        sample = draw(np.random.default_rng(seed), rows + probes)
        found.append(authenticity(sample[:rows], sample[rows:], held_out=sample[:1])["fake"])
    return np.mean(found), np.std(found, ddof=1) / math.sqrt(replicates)


def circles(count):
    """Uniform on a product of circles, each in its own plane: no edge, and flat on the scale of neighbours."""

    def draw(random, rows):
        angles = random.uniform(0, 2 * np.pi, (rows, count))
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)

    return draw


def test_on_a_circle_a_new_sample_is_authentic_with_probability_one_third():
    """Exactly, for any number of rows: among n + 1 exchangeable gaps two neighbours are mutual where a gap is the
    smallest of three in a row, with probability 1/3 each, which is 2 of 3 samples. At 4.5 standard errors."""
    mean, error = mean_authenticity(circles(1), 400, 30, 10)
    assert mean == pytest.approx(1 / 3, abs=4.5 * error)


@pytest.mark.parametrize("width", [2, 3])
def test_authenticity_of_new_samples_in_the_limit_of_many(width):
    """1 - |B| / |B u B'| of two unit balls at distance 1, |B n B'| / |B| = I_{3/4}((d + 1) / 2, 1/2).

    At 4.5 standard errors of the replicates, and .005 for the curvature: at 1000 rows the neighbours on a product of
    circles are about .2 (d = 2) or .6 (d = 3) apart, and the limit is approached with the square of that.
    """
    mean, error = mean_authenticity(circles(width), 40, 1000, 200)
    limit = 1 - 1 / (2 - betainc((width + 1) / 2, 0.5, 0.75))
    assert mean == pytest.approx(limit, abs=4.5 * error + 0.005)
    assert limit == pytest.approx({2: 0.378, 3: 0.407}[width], abs=5e-4)


@pytest.mark.parametrize("width", [1, 16])
def test_the_difference_to_held_out_samples_is_null_for_a_good_model_of_any_size(width):
    """Fakes and held-out samples are exchangeable, also of unlike numbers; and the interval's error is the replicates'
    (between .7 and 1.3 of it: 100 replicates know a standard deviation to 7 %, and the shared training set adds none).
    """
    train = normal(0, 300, width)
    found = [
        authenticity(train, normal(1000 + seed, 150, width), held_out=normal(seed, 60, width))["difference"]
        for seed in range(1, 101)
    ]
    spread = np.std(found, ddof=1)
    assert np.mean(found) == pytest.approx(0, abs=4.5 * spread / 10)
    assert spread / np.mean([error_of(value) for value in found]) == pytest.approx(1, abs=0.3)


def test_a_duplicate_of_duplicates_and_a_tie_are_not_authentic():
    real = np.array([[0.0], [0.0], [1.0]])
    shares = authenticity(real, np.array([[0.0], [0.25], [2.0], [2.5]]), held_out=np.array([[-1.0]]))
    assert shares["fake"] == 0.5  # a copy of a duplicate, and 2 is as far from 1 as 1 from its nearest
    assert shares["held_out"] == 1


# -- C_T ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma, expected", [(0.001, -17.2), (0.05, -4.7), (0.2, 0.0), (0.4, 1.1), (1.0, 5.1)])
def test_data_copying_of_kernel_density_estimates(sigma, expected):
    """One cell, 1000 training, 200 generated and 200 held-out samples in two dimensions.

    The expected values were simulated elsewhere; one value has a standard deviation of about 1, the mean over 20 draws,
    training sets too, .25, and the published ones were of few replicates: 1 covers 3 of the former and those.
    """
    found = []
    for seed in range(20):
        train = normal(3 * seed, 1000)
        fake = copycat(train, 3 * seed + 1, 200, sigma)
        found.append(data_copying(train, fake, held_out=normal(3 * seed + 2, 200), cells=1))
    assert np.mean(found) == pytest.approx(expected, abs=1.0)
    if sigma == 0.001:  # every fake nearer than every held-out sample: U = 0 and z = -sqrt(3 m n / (m + n + 1))
        assert min(found) >= -math.sqrt(3 * 200 * 200 / 401) - 1e-12


@pytest.mark.parametrize("cells", [1, 3])
def test_data_copying_of_a_good_model_is_null(cells):
    """Mean 0 and standard deviation sqrt(sum of squared shares) of the cells, at 4.5 of the errors of 150 replicates.

    Cells of like numbers, three far modes, so that the shares are a third, give or take; 15 % for that and the error of
    a standard deviation (6 %, 4.5 times that would be 26 %, so that 15 % is 2.6 of them).
    """
    centres = np.array([[0, 0], [50, 0], [0, 50]]) if cells == 3 else np.zeros((3, 2))
    modes = np.arange(300)[:, None] % 3
    found, errors = [], []
    for seed in range(150):
        train, fake, new = (normal(3 * seed + side, 300) + centres[modes[:, 0]] for side in range(3))
        value = data_copying(train, fake, held_out=new, cells=cells)
        found.append(value)
        errors.append(error_of(value))
    assert np.mean(found) == pytest.approx(0, abs=4.5 * np.std(found) / math.sqrt(150))
    assert np.std(found) == pytest.approx(1 / math.sqrt(cells), rel=0.15)
    assert np.mean(errors) == pytest.approx(1 / math.sqrt(cells), rel=0.02)


def test_cells_see_copies_in_a_region_of_small_distances():
    """Two modes, one a hundredth as wide; the fakes copy the narrow one and are good in the other.

    Of 100 + 100 fakes and 150 + 50 held-out samples z is -sqrt(3 m n / (m + n + 1)) = -13.4 in the narrow cell and
    N(0, 1) in the other, -10.0 in the shares of the held-out. At once, a fake of the narrow mode is nearer than all of
    a wide one either way: U / (m n) = 7/16, of standard deviation .029, and z = -2.2.
    """

    def modes(seed, narrow, wide):
        return np.concatenate([0.01 * narrow, normal(seed, wide) + 100])

    train = modes(1, normal(0, 500), 500)
    new, fake = modes(2, normal(3, 150), 50), modes(4, copycat(100 * train[:500], 5, 100, 0.001), 100)
    assert data_copying(train, fake, held_out=new, cells=2) == pytest.approx(-10.0, abs=4.5 / 4 + 0.5)
    assert data_copying(train, fake, held_out=new, cells=1) == pytest.approx(-2.2, abs=4.5)


def test_data_copying_says_where_nothing_can_be_said():
    train, few = normal(0, 100), normal(1, 19)
    with pytest.raises(Undefined, match="fake, held_out: no cell of 1 has 20 rows of each"):
        data_copying(train, few, held_out=train, cells=1)
    with pytest.raises(Undefined, match="held_out: found 0 rows"):
        data_copying(train, train, held_out=train[:0])
    with pytest.raises(Undefined, match="held_out: found 0 rows"):
        authenticity(train, few, held_out=train[:0])
    with pytest.raises(Undefined, match="real: found 1 rows, needed are at least 2"):
        authenticity(train[:1], few, held_out=few)
    with pytest.raises(ValueError, match="cells: found 0"):
        data_copying(train, train, held_out=train, cells=0)
    assert data_copying(np.ones((30, 2)), np.ones((30, 2)), held_out=np.ones((30, 2))) == 0  # nothing differs


def test_the_seed_of_k_means_is_an_option():
    train, fake, new = normal(0, 500), normal(1, 300), normal(2, 300)
    values = {seed: data_copying(train, fake, held_out=new, cells=7, seed=seed) for seed in (0, 0, 1)}
    assert values[0] == data_copying(train, fake, held_out=new, cells=7) != values[1]
    assert METRICS["data_copying"].options == {"cells": 5, "seed": 0}


# -- scores of each sample ---------------------------------------------------------------------------------------------


def test_scores_are_what_the_shares_are_made_of():
    train, fake = normal(0, 200, 5), copycat(normal(0, 200, 5), 1, 100, 0.2)
    assert copies(train, fake) == np.mean(nearest_ratio(train, fake) < 0.5)
    assert copies(train, fake, alpha=0.9, neighbours=10) == np.mean(nearest_ratio(train, fake, neighbours=10) < 0.9)
    full = np.linalg.norm(fake[:, None] - train, axis=2)
    # Distances have a relative error below 1e-9.
    np.testing.assert_allclose(nearest_distance(train, fake), full.min(axis=1), rtol=1e-9)
    ratio = full.min(axis=1) / np.sort(full, axis=1)[:, :50].mean(axis=1)
    np.testing.assert_allclose(nearest_ratio(train, fake), ratio, rtol=1e-9)
    assert nearest_ratio(train, train[:3]).tolist() == nearest_distance(train, train[:3]).tolist() == [0, 0, 0]


def test_shares_have_intervals():
    train = normal(0, 200)
    half = np.concatenate([train[:50], 50 + normal(1, 50)])
    for value in (copies(train, half), duplicates(train, half)):
        assert value == 0.5 and 0.35 < value.low < 0.45 and 0.55 < value.high < 0.65  # sd .05


# -- how far, and how much room ----------------------------------------------------------------------------------------


def over_replicates(value, draw, replicates):
    """The mean of a value over draws of their own seeds, and its standard error as they show it."""
    found = [value(draw(np.random.default_rng(seed))) for seed in range(replicates)]
    return np.mean(found), np.std(found, ddof=1) / math.sqrt(replicates)


@pytest.mark.parametrize("n", [1, 5, 40])
def test_the_mean_distance_to_the_nearest_of_n_on_a_circle(n):
    """A new angle is further than a from all of n with chance (1 - a/pi)^n, and a chord is 2 sin(a/2): so the mean is
    the integral of cos(a/2) (1 - a/pi)^n over 0 .. pi, exactly. At 4.5 standard errors of the replicates."""
    angles = (np.arange(100_000) + 0.5) * np.pi / 100_000
    expected = np.mean(np.cos(angles / 2) * (1 - angles / np.pi) ** n) * np.pi
    assert n > 1 or expected == pytest.approx(4 / np.pi, rel=1e-9)  # the mean chord

    def value(rows):
        return mean_nearest_distance(rows[:n], rows[n:])

    mean, error = over_replicates(value, lambda random: circles(1)(random, n + 20), 300)
    assert mean == pytest.approx(expected, abs=4.5 * error)


def test_copies_have_no_distance_and_an_interval_holds_the_mean():
    train = normal(0, 50)
    assert mean_nearest_distance(train, train[:9]) == 0
    found = mean_nearest_distance(train, train[:9] + np.array([3.0, 4.0]))
    assert found.low <= found <= found.high <= 5 + 1e-9


@pytest.mark.parametrize("n", [2, 3, 30])
def test_the_entropy_of_uniform_numbers_has_an_exact_bias(n):
    """The n + 1 spacings are exchangeable: an inner point has the smaller of two, half a Beta(1, n), and each of the
    two ends one, a Beta(1, n). So psi(n) - psi(n+1) + ln 2 - (n-2)/n ln 2 = (2 ln 2 - 1) / n, where the truth is 0."""
    mean, error = over_replicates(
        lambda rows: neighbour_entropy(rows, rows), lambda random: random.random((n, 1)), 4000
    )
    assert mean == pytest.approx((2 * math.log(2) - 1) / n, abs=4.5 * error)
    assert abs(mean - (2 * math.log(2) - 1) / n - math.log(2) / n) > 4.5 * error  # an estimate without the ends' share


@pytest.mark.parametrize(("width", "k"), [(1, 1), (2, 3), (3, 1)])
def test_the_entropy_of_a_normal_law(width, k):
    """d/2 ln(2 pi e), at 4.5 standard errors of 20 replicates and the bias of 800 rows, below (k/n)^(2/d)."""
    mean, error = over_replicates(
        lambda rows: neighbour_entropy(rows, rows, k=k), lambda random: random.normal(size=(800, width)), 20
    )
    expected = width / 2 * math.log(2 * math.pi * math.e)
    assert mean == pytest.approx(expected, abs=4.5 * error + (k / 800) ** (2 / width))


def test_the_entropy_of_a_grid_moves_and_scales():
    """Of n points that are h apart on a line every distance is h; scaled by a, d numbers gain d ln a; nothing else."""
    line = 0.25 * np.arange(9.0)[:, None]
    expected = digamma(9) - digamma(1) + math.log(2) + math.log(0.25)
    assert neighbour_entropy(line, line) == pytest.approx(expected, rel=1e-12)
    rows = normal(4, 60, 3)
    turned = np.linalg.qr(normal(5, 3, 3))[0]
    assert neighbour_entropy(rows, 7 * rows @ turned + 100, k=2) == pytest.approx(
        neighbour_entropy(rows, rows, k=2) + 3 * math.log(7), rel=1e-9
    )


def test_equal_samples_have_no_entropy():
    rows = normal(6, 20)
    rows[3] = rows[7]
    with pytest.raises(Undefined, match="fake: 2 of 20 rows equal 1 other; their entropy is minus infinity"):
        neighbour_entropy(rows, rows)
    assert math.isfinite(neighbour_entropy(rows, rows, k=2))
    rows[4] = rows[7]
    with pytest.raises(Undefined, match="fake: 3 of 20 rows equal 2 others"):
        neighbour_entropy(rows, rows, k=2)


def test_tensors_are_read_as_arrays_are():
    train, fake, new = normal(0, 200, 5), normal(1, 90, 5), normal(2, 80, 5)
    sides = [torch.from_numpy(side) for side in (train, fake, new)]
    assert authenticity(*sides[:2], held_out=sides[2]) == authenticity(train, fake, held_out=new)
    assert copies(*sides[:2]) == copies(train, fake) and duplicates(sides[0], sides[0][:5]) == 1
    ours = data_copying(*sides[:2], held_out=sides[2], cells=2)
    assert ours == pytest.approx(data_copying(train, fake, held_out=new, cells=2), rel=1e-12)


# -- ranks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_agree_with_scipy(ties):
    random = np.random.default_rng(0)
    first, second = random.normal(size=70), random.normal(0.3, 1, size=50)
    if ties:
        first, second = np.round(first), np.round(second)
    np.testing.assert_array_equal(midranks(first)[0], stats.rankdata(first))
    share, error, null_error = superiority(first, second)
    theirs = stats.mannwhitneyu(first, second, use_continuity=False, method="asymptotic")
    assert share == pytest.approx(theirs.statistic / 3500, abs=1e-15)
    assert 2 * stats.norm.sf(abs(share - 0.5) / null_error) == pytest.approx(theirs.pvalue, rel=1e-12)
    assert error == pytest.approx(null_error, rel=0.15)  # near the null both are standard errors of one number


def test_the_error_of_a_superiority_holds_off_the_null_too():
    """Of a wide against a narrow law the null's error is wrong; the placements' is the spread of 400 replicates."""
    random = np.random.default_rng(0)
    found = [superiority(3 * random.normal(size=60) + 1, random.normal(size=200)) for _ in range(400)]
    spread = np.std([one.share for one in found], ddof=1)
    # A standard deviation of 400 is known to 3.5 %.
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.12)
    assert found[0].null_error < 0.8 * spread


def test_infinite_numbers_have_ranks():
    share, error, null_error = superiority(np.array([np.inf, np.inf]), np.array([0.0, np.inf]))
    assert share == 0.75 and math.isfinite(error) and null_error > 0
    assert superiority(np.ones(3), np.ones(4)) == (0.5, 0.0, 0.0)


# -- Inception score ---------------------------------------------------------------------------------------------------


def judged(probabilities):
    return Features(np.zeros((len(probabilities), 1)), None, np.asarray(probabilities))


@pytest.mark.parametrize("rows, splits", [(200, 10), (203, 10), (57, 3), (40, 1)])
def test_the_inception_score_is_torch_fidelitys(rows, splits):
    import_torchvision()
    theirs = pytest.importorskip("torch_fidelity.metric_isc").isc_features_to_metric
    logits = torch.from_numpy(3 * np.random.default_rng(0).normal(size=(rows, 12)))
    expected = theirs(logits, splits=splits, shuffle=False)
    score = inception_score(None, judged(logits.softmax(dim=1).numpy()), splits=splits)
    assert score == pytest.approx(expected["inception_score_mean"], rel=1e-6)
    if splits == 1:
        assert type(score) is float
    else:
        assert error_of(score) * math.sqrt(splits - 1) == pytest.approx(expected["inception_score_std"], rel=1e-6)


def test_the_inception_score_counts_classes():
    confident = np.eye(7)[np.arange(140) % 7]
    assert inception_score(None, judged(confident)) == pytest.approx(7, rel=1e-12)  # 14 in each part, two of each class
    assert inception_score(None, judged(confident[::7])) == pytest.approx(1, abs=1e-12)
    assert inception_score(None, judged(np.full((50, 4), 0.25))) == pytest.approx(1, abs=1e-12)
    assert inception_score(None, judged(confident.astype(np.float32)[:20]), splits=1) <= 7


def test_the_inception_score_refuses_what_has_no_value():
    with pytest.raises(Undefined, match="fake: the extractor gives no probabilities"):
        inception_score(None, Features(np.zeros((20, 1))))
    with pytest.raises(Undefined, match="fake: found 9 rows, needed are at least 10"):
        inception_score(None, judged(np.ones((9, 1))))
    with pytest.raises(Undefined, match="fake: 1 of 10 rows"):
        inception_score(None, judged(np.where(np.arange(10)[:, None] == 3, np.nan, np.full((10, 2), 0.5))))
    with pytest.raises(ValueError, match="splits: found 0"):
        inception_score(None, judged(np.ones((9, 1))), splits=0)
