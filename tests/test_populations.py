"""Known truths: their samples have the masses and moments that they say, and what is impossible is called so."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.models.capabilities import Judges
from collapselab.populations import POPULATIONS
from collapselab.populations.decay import CHANNELS, Channel
from collapselab.populations.jars import GLASS_GREY, PRECISION, draw, read_back
from collapselab.populations.land import mask, three_points
from collapselab.populations.outfits import FEATURES, SIZES
from collapselab.testing import check_population
from collapselab.testing.populations import DRAWS, ERRORS, agree

OPTIONS = {
    "gaussian": [{"dimension": 3, "mean": (0.0, 1.0, -2.0), "sd": (1.0, 2.0, 0.5)}],
    "multinomial": [{"probabilities": (0.5, 0.0, 0.3, 0.2)}],
    "gaussians": [
        {},
        {"layout": "ring", "weights": "zipf"},
        {"modes": 4, "spacing": 0.55, "sd": 0.1, "reach": 2.0},
        {"modes": 1},
    ],
    "jars": [{}, {"side": 32, "cells": 7}],
    "tones": [{"frames": 8}],
    "chirps": [{"frames": 8, "cells": 4}],
    "drums": [{"frames": 12}],
    "two-moons": [{}, {"noise": 0.06}],
    "decay": [{}, {"smearing": 0.003}],
    "markov": [{}, {"transitions": ((0.5, 0.5, 0.0), (0.0, 0.2, 0.8), (1.0, 0.0, 0.0)), "length": 5}],
    "two-classes": [{}, {"dimension": 1, "separation": 0.3}],
}
CASES = [(name, options) for name in POPULATIONS for options in OPTIONS.get(name, [{}])]


def population(name, **options):
    kind = POPULATIONS[name]
    return kind.population(kind.PopulationOptions(**options))


JUDGES = [(name, options) for name, options in CASES if issubclass(POPULATIONS[name], Judges)]


# -- laws over the registry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_known_truth_keeps_its_contract(name, options):
    check_population(name, options)


@pytest.mark.parametrize(("name", "options"), JUDGES)
def test_masses_that_are_wrong_by_a_tenth_would_be_seen(name, options):
    masses = population(name, **options).masses
    rest = max(1 - masses.sum(), 0.0)
    counts = np.random.default_rng(1).multinomial(DRAWS, [*masses, rest])[:-1]
    assert agree(counts, masses)
    tilted = masses * np.where(np.arange(len(masses)) % 2, 1.1, 0.9)
    assert len(masses) == 1 or not agree(counts, tilted * masses.sum() / tilted.sum())


@pytest.mark.parametrize("name", ["gaussians", "two-moons", "decay", "land", "two-classes"])
def test_data_of_another_width_is_refused(name):
    with pytest.raises(ValueError, match=r"data: found .*, allowed are rows of"):
        population(name).judge(np.zeros((4, 3)))


# -- gaussians --------------------------------------------------------------------------------------------------------


def test_modes_lie_where_the_layout_says():
    grid = population("gaussians", modes=9, spacing=2.0).means
    assert sorted(map(tuple, grid)) == [(x, y) for x in (-2.0, 0.0, 2.0) for y in (-2.0, 0.0, 2.0)]
    ring = population("gaussians", layout="ring", modes=6, spacing=1.5).means
    np.testing.assert_allclose(np.hypot(*ring.T), 1.5)  # six equal triangles
    np.testing.assert_allclose(np.hypot(*(ring - np.roll(ring, 1, axis=0)).T), 1.5)


def test_reach_is_counted_from_the_nearest_mode():
    truth = population("gaussians", modes=4, spacing=1.0, sd=0.1)
    found = truth.judge(np.array([[0.5, 0.899], [0.5, 0.901], [-0.5, -0.5], [0.0, 0.0]]))
    assert found.possible.tolist() == [True, False, True, False]
    assert found.cell.tolist() == [3, -1, 0, -1]
    assert truth.masses.sum() == pytest.approx(stats.chi2.cdf(16, 2), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"modes": 24}, "modes: found 24, allowed on a grid"), ({"sd": 0.125}, "spacing: found 1, allowed are numbers")],
)
def test_modes_that_touch_or_fill_no_grid_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        population("gaussians", **options)


# -- two moons --------------------------------------------------------------------------------------------------------


def test_without_noise_the_moons_are_scikit_learns():
    make_moons = pytest.importorskip("sklearn.datasets").make_moons
    truth = population("two-moons", noise=1e-9)
    points, labels = make_moons(2000, noise=None)
    found = truth.judge(np.concatenate([points, truth.sample(Ask(2000, 0)).data]))
    assert found.possible.all()
    assert np.array_equal(found.cell[:2000] // 12, labels)
    ours, theirs = truth.sample(Ask(2000, 0)).data, points
    nearest = np.sqrt(np.square(ours[:, None] - theirs).sum(axis=2).min(axis=1))
    assert nearest.max() <= np.pi / 1998 + 1e-6  # half the way between neighbours of 1000 on an arc of pi, at most


def test_a_moon_has_ends():
    truth = population("two-moons", noise=0.05)
    tests = np.array(
        [[1.0, -0.199], [1.0, -0.201], [-1.0, -0.199], [0.0, 0.699], [0.0, 0.5], [2.199, 0.5], [0.5, 0.25]]
    )
    found = truth.judge(tests)
    assert found.possible.tolist() == [True, False, True, True, True, True, False]
    assert found.cell[[0, 2, 3, 4, 5]].tolist() == [0, 11, 12, 12, 23]


# -- decay ------------------------------------------------------------------------------------------------------------


def event(channel, direction=(0.6, 0.48, 0.64)):
    """An event without error."""
    one, other = channel.masses
    momentum = channel.momentum * np.array(direction)
    energies = [np.hypot(mass, channel.momentum) for mass in (one, other)]
    return np.array([[energies[0], *momentum, energies[1], *-momentum]])


@pytest.mark.parametrize("index", range(len(CHANNELS)))
def test_an_event_of_each_channel_is_possible_and_in_its_octant(index):
    truth = population("decay")
    seen = event(CHANNELS[index])
    assert seen[0, 0] + seen[0, 4] == pytest.approx(1, abs=1e-12)  # what Channel.momentum has to achieve
    assert truth.judge(seen).cell.tolist() == [8 * index + 7]
    assert truth.judge(event(CHANNELS[index], (-0.6, 0.48, -0.64))).cell.tolist() == [8 * index + 2]


@pytest.mark.parametrize("column", range(8))
def test_an_event_that_loses_energy_or_momentum_is_impossible(column):
    truth, seen = population("decay"), event(CHANNELS[0])
    limit = 0.01 * np.sqrt(2 * stats.chi2.isf(2 * stats.norm.sf(4), 4))  # of one quantity that is missing alone
    other = (column + 4) % 8
    for share, possible in ((0.99, True), (1.01, False)):
        moved = seen.copy()
        # Half from either product, so that their difference, and with it the channel, stays.
        moved[0, column] += share * limit / 2
        moved[0, other] += share * limit / 2
        assert truth.judge(moved).possible.tolist() == [possible]


def test_products_of_no_channel_are_impossible():
    truth = population("decay")
    assert not truth.judge(event(Channel(masses=(0.2, 0.2), share=1))).possible.any()
    wrong_energies = event(CHANNELS[0]) + 0.03 * np.array([1, 0, 0, 0, -1, 0, 0, 0])
    assert not truth.judge(wrong_energies).possible.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smearing": 0.02}, "apart in energy and momentum, allowed is above"),
        ({"channels": [{"masses": (0.1, 0.1), "share": 0.5}]}, "shares with sum 0.5"),
        ({"channels": [{"masses": (0.6, 0.5), "share": 1.0}]}, "together below 1"),
    ],
)
def test_channels_that_cannot_be_told_apart_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        population("decay", **options)


# -- land -------------------------------------------------------------------------------------------------------------


def place(longitude, latitude):
    return [longitude / 90, latitude / 45]


def test_the_mask_is_the_earth():
    assert mask().shape == (90, 180) and mask().sum() == 3839
    land = {"Madrid": (-3.7, 40.4), "Nairobi": (36.8, -1.3), "Alice Springs": (133.9, -23.7), "Denver": (-105, 39.7)}
    sea = {"Atlantic": (-30, 0), "Pacific": (-140, 10), "Gulf of Guinea": (0, 0), "Antarctica": (0, -80)}
    found = population("land").judge(np.array([place(*where) for where in (*land.values(), *sea.values())]))
    assert dict(zip((*land, *sea), found.possible.tolist(), strict=True)) == dict.fromkeys(land, True) | dict.fromkeys(
        sea, False
    )


def test_blocks_hold_their_land():
    truth = population("land")
    assert len(truth.masses) == 581 and truth.masses.min() == pytest.approx(1 / 3839)
    one, near, far = truth.judge(np.array([place(*where) for where in ((25.0, 1.0), (29.0, 5.0), (31.0, 1.0))])).cell
    assert one == near != far
    assert truth.masses[one] == pytest.approx(9 / 3839)


def test_moments_of_land_are_integrals_over_its_cells():
    """The mean of x over [a, b] is (a + b) / 2 and that of x^2 is (a^2 + a b + b^2) / 3; no sampling resolves these."""
    truth = population("land")
    rows, columns = np.nonzero(mask())
    west, south = columns / 45 - 2, 2 - (rows + 1) * 2 / 45
    east, north = west + 1 / 45, south + 2 / 45
    x, y = (west + east) / 2, (south + north) / 2
    xx, yy = (west**2 + west * east + east**2) / 3, (south**2 + south * north + north**2) / 3
    mean = np.array([x.mean(), y.mean()])
    second = np.array([[xx.mean(), (x * y).mean()], [(x * y).mean(), yy.mean()]])
    np.testing.assert_allclose(truth.moments()[0], mean, rtol=1e-12)
    np.testing.assert_allclose(truth.moments()[1], second - np.outer(mean, mean), rtol=1e-10)


def test_the_borders_of_the_map_are_sea():
    corners = np.array([[x, y] for x in (-2.0, 2.0) for y in (-2.0, 2.0)])
    assert not population("land").judge(corners).possible.any()


@pytest.mark.parametrize("count", [3, 50, 5000])
def test_a_box_is_wrong_in_the_sea_and_about_the_land_beyond_it(count):
    truth = population("land")
    points = truth.sample(Ask(count, 4)).data
    low, high = points.min(axis=0), points.max(axis=0)
    found = three_points(low, high)
    inside = {name: bool(((low <= point) & (point <= high)).all()) for name, point in found.items()}
    on_land = {name: bool(truth.judge(point[None]).possible[0]) for name, point in found.items()}
    assert inside == {"sea_inside": True, "land_outside": False, "land_inside": True}
    assert on_land == {"sea_inside": False, "land_outside": True, "land_inside": True}


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [((-2, -2), (2, 2), "holds all land"), ((0, 0), (0.001, 0.001), "larger boxes"), ((1, 0), (0, 1), "two corners")],
)
def test_a_box_without_three_points_says_so(low, high, message):
    with pytest.raises(ValueError, match=message):
        three_points(low, high)


# -- jars -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [16, 32, 48])
def test_latents_are_read_back_to_the_quantisation(side):
    truth = population("jars", side=side)
    latents = truth.latents(4000, 1)
    found, misfit = read_back(draw(latents, side))
    error = np.abs(found - latents).max() * side / 16  # in pixels
    assert error <= PRECISION
    assert error > 0.9 * PRECISION  # the bound is reached
    assert misfit.max() < 0.5


def test_a_jar_is_drawn_by_areas():
    image = draw(np.array([[5.25, 6.5]]))[0, 0].astype(int)
    assert image[14, 5:11].tolist() == [128] * 6 and image[14, 4] == image[14, 11] == 32  # a quarter covered
    assert image[15].sum() == 0 and image[14].sum() == 128 * 6.5
    assert image[9, 8] == round(0.25 * 128 + 0.75 * 240)  # glass up to 9.75, the lid above it
    assert image[:, 8].tolist() == [0] * 7 + [60, 240, 212] + [128] * 5 + [0]


def test_a_jar_that_would_fall_over_is_impossible():
    truth = population("jars")
    latents = np.array([[6.0, 8.0], [12.0, 7.5], [12.0, 8.1], [2.8, 8.0], [8.0, 13.5], [12.5, 10.0], [5.0, 3.8]])
    assert truth.judge(draw(latents)).possible.tolist() == [True, False, True, False, False, False, False]


def test_what_is_blurred_or_torn_is_no_jar():
    truth = population("jars")
    low, wide = draw(np.array([[4.0, 12.0]])), draw(np.array([[10.0, 8.0]]))
    average = np.rint((low.astype(float) + wide) / 2).astype(np.uint8)
    assert not truth.judge(average).possible.any()
    torn = wide.copy()
    torn[:, :, :, :3] = 90
    assert not truth.judge(torn).possible.any()
    assert read_back(average)[0].tolist() == [[7.0, 10.0]]  # what is read back is linear in the ink


def test_bins_of_jars_have_the_areas_of_their_polygons():
    """Against a count of a fine grid of latents: 1200 x 1200 middles."""
    truth = population("jars", cells=5)
    line = (np.arange(1200) + 0.5) / 1200
    height, width = 3 + 9 * line[:, None], 4 + 9 * line
    region = height <= 1.5 * width
    areas = region.reshape(5, 240, 5, 240).sum(axis=(1, 3)) / region.sum()
    np.testing.assert_allclose(truth.masses, areas[areas > 0], atol=1200 / 1200**2 / 5)  # a row of middles a bin
    assert (areas == 0).sum() == 25 - len(truth.masses) > 0


def test_the_rim_of_the_region_is_in_cells_that_have_mass():
    for side in (16, 32):
        truth = population("jars", side=side)
        t = np.linspace(0, 1, 200)
        rim = [(3 + 0 * t, 4 + 9 * t), (12 + 0 * t, 8 + 5 * t), (3 + 9 * t, 13 + 0 * t)]
        rim += [(3 + 3 * t, 4 + 0 * t), (6 + 6 * t, 4 + 4 * t)]
        latents = np.stack(np.concatenate(rim, axis=1), axis=1)
        found = truth.judge(draw(latents, side))
        assert found.possible.all() and found.cell.max() < len(truth.masses)


def test_images_that_are_none_of_jars_are_refused():
    with pytest.raises(ValueError, match="allowed are multiples of 16"):
        read_back(np.zeros((2, 1, 24, 24), np.uint8))
    with pytest.raises(ValueError, match="found float64"):
        read_back(np.zeros((2, 1, 16, 16)))
    with pytest.raises(ValueError, match=r"found images of shape \(1, 32, 32\), allowed is \(1, 16, 16\)"):
        population("jars").judge(np.zeros((2, 1, 32, 32), np.uint8))
    assert GLASS_GREY == 128


# -- outfits ----------------------------------------------------------------------------------------------------------


def test_outfits_are_what_the_study_says():
    truth = population("outfits")
    assert SIZES == (3, 8, 4, 6, 7) and sum(SIZES) == 28 and len(truth.probabilities) == 4032
    assert truth.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert 1000 < len(truth.masses) < 2500  # more than half of what can be said is never worn
    looks = truth.sample(Ask(50, 0)).data
    assert truth.masses.sum() - truth.probabilities[np.unique(looks)].sum() > 0.8  # of the mass is unseen


def test_what_nobody_wears_is_impossible():
    truth = population("outfits")
    words = list(FEATURES.values())
    values = [("none", "blue", "coat", "shorts", "boots"), ("none", "black", "shirt", "kilt", "sandals")]
    values.append(("none", "black", "coat", "trousers", "boots"))
    looks = [np.ravel_multi_index([w.index(v) for w, v in zip(words, look, strict=True)], SIZES) for look in values]
    assert truth.judge(np.array(looks)).possible.tolist() == [False, False, True]


def test_total_correlation_is_the_information_on_the_edges_of_the_tree():
    """Of a tree it is the sum of the mutual informations of its edges (Chow and Liu 1968), and naive Bayes loses it."""
    truth = population("outfits")
    table = truth.probabilities.reshape(SIZES)

    def information(one, other):
        joint = table.sum(axis=tuple({0, 1, 2, 3, 4} - {one, other}))
        independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        return (joint * np.log(np.where(joint > 0, joint, 1) / independent)).sum()

    edges = [(0, 2), (1, 2), (2, 3), (3, 4)]
    assert truth.total_correlation == pytest.approx(sum(information(*edge) for edge in edges), rel=1e-10)
    product = np.einsum("a,b,c,d,e->abcde", *truth.marginals()).ravel()
    present = truth.probabilities > 0
    divergence = (truth.probabilities[present] * np.log(truth.probabilities[present] / product[present])).sum()
    assert truth.total_correlation == pytest.approx(divergence, rel=1e-10)
    assert truth.entropy == pytest.approx(stats.entropy(truth.masses), rel=1e-12)


def test_a_multinomial_of_fifty_looks_holds_the_rest_for_impossible_and_smoothing_for_equal():
    truth, kind = population("outfits"), POPULATIONS["multinomial"]
    from collapselab.core.sets import TrainingSet

    looks = truth.sample(Ask(50, 0)).data
    training = TrainingSet(looks, None, np.ones(50))
    fitted = {
        alpha: kind.fit(training, kind.Options(categories=4032, alpha=alpha), Run(0)).probabilities
        for alpha in (0.0, 1.0)
    }
    unseen = np.setdiff1d(np.arange(4032), looks)
    assert (fitted[0.0][unseen] == 0).all()
    assert np.unique(fitted[1.0][unseen]).tolist() == [1 / (50 + 4032)]
    assert fitted[1.0][truth.probabilities == 0].sum() > 0.5  # smoothing invents


# -- regression and two classes ---------------------------------------------------------------------------------------


def test_least_squares_finds_the_coefficients():
    truth = population("regression", dimension=4, signal=2.0, noise_sd=0.5)
    data = truth.sample(Ask(20_000, 2)).data
    found, residues, *_ = np.linalg.lstsq(data[:, :4], data[:, 4])
    np.testing.assert_allclose(found, np.ones(4), atol=ERRORS * 0.5 / np.sqrt(20_000))
    assert residues[0] / 20_000 == pytest.approx(0.25, rel=ERRORS * np.sqrt(2 / 20_000))
    assert not isinstance(truth, Judges)


def test_a_flip_turns_right_and_wrong_round():
    """The share of wrong labels and the turning point that TwoClasses derives, against draws."""
    s, phi, psi = 0.7, 0.8, 0.3
    truth = population("two-classes", dimension=2, separation=s)
    data = truth.sample(Ask(400_000, 5)).data
    m = np.sqrt(2 / np.pi) * np.exp(-(s**2) / 2) + s * (2 * stats.norm.cdf(s) - 1)
    assert np.abs(data[:, 0]).mean() == pytest.approx(m, abs=ERRORS / np.sqrt(400_000))
    turning = (phi * (m + s) - psi * (m - s)) / (2 * s * (phi + psi))
    assert turning == pytest.approx(0.8, abs=0.15)
    source = np.random.default_rng(0)
    means = {}
    for p in (turning - 0.05, turning, turning + 0.05):
        flipped = data.copy()
        flipped[source.random(len(data)) < p, -1] *= -1
        right = truth.judge(flipped).possible
        wrong = p * stats.norm.cdf(s) + (1 - p) * stats.norm.cdf(-s)
        assert 1 - right.mean() == pytest.approx(wrong, abs=ERRORS * 0.5 / np.sqrt(len(data)))
        kept = flipped[source.random(len(data)) < np.where(right, phi, psi)]
        product = kept[:, 0] * kept[:, -1]
        error = product.std() / np.sqrt(len(product))
        means[p] = product.mean() / error
        after = wrong * psi / (wrong * psi + (1 - wrong) * phi)
        share = 1 - truth.judge(kept).possible.mean()
        assert share == pytest.approx(after, abs=ERRORS * 0.5 / np.sqrt(len(kept)))
    before, at, beyond = means.values()
    assert before > ERRORS and abs(at) < ERRORS and beyond < -ERRORS
