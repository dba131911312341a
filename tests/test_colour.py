"""Colours: what is counted in an image, and how far colours drift."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance
from test_oracles import agrees, loops

from collapselab import theory
from collapselab.compose import regimes
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.data.archive import DatasetZip
from collapselab.data.digits import Digits
from collapselab.features import FEATURES, Features
from collapselab.features.colours import CHANNELS, HUE_DEGREES, NAMES, PROTOTYPES, cielab
from collapselab.metrics.colour import colour_distance, colour_share, hue_distance, hue_share, level_share

colours = FEATURES["colours"].extract
ROUNDING = 256 * 2**-23  # shares are float32: a sum over levels is off by no more, in levels, while W is of order 1


def images(seed, rows=40, side=8, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (rows, 3, side, side), dtype=np.uint8)


def pixels_of(*colour_codes):
    """Images of one pixel each, of the given colours."""
    return np.array(colour_codes, np.uint8)[:, :, None, None]


def columns(features, kind):
    return np.array([i for i, name in enumerate(features.names) if name.split()[0] == kind])


def real_images():
    """Real images by name: digits, which are grey, and photographs where they are at hand."""
    path = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg-test.zip"
    return {"digits": Digits().load().data} | (
        {"cifar10": DatasetZip(path=path).load().data[:2000]} if path.exists() else {}
    )


REAL = real_images()

# -- the extractor --------------------------------------------------------------------------------------------------


def test_shares_of_levels_are_counts_of_pixels():
    data = images(0, side=5)
    found = colours(data).values
    assert found.shape == (40, len(NAMES)) and found.dtype == np.float32
    for place, image in enumerate(data):
        for channel, plane in enumerate(image):
            counts = np.bincount(plane.ravel(), minlength=256)
            np.testing.assert_array_equal(found[place, 256 * channel : 256 * (channel + 1)] * np.float32(25), counts)


def test_the_mean_level_is_a_linear_moment():
    """So its drift in a loop is the law of any mean: the histogram times the levels is the images' own mean."""
    data = images(1)
    found = colours(data).values.astype(np.float64)
    means = np.stack([found[:, 256 * c : 256 * (c + 1)] @ np.arange(256) for c in range(3)], axis=1)
    np.testing.assert_allclose(means, data.mean(axis=(2, 3)), rtol=256 * 2**-24)


def test_hues_are_those_of_the_hexagon():
    """The pure hues, their mixtures, and the bins around them; a dull colour has the hue of a bright one."""
    for code, hue in {
        (255, 0, 0): 0,
        (255, 255, 0): 60,
        (0, 255, 0): 120,
        (0, 255, 255): 180,
        (0, 0, 255): 240,
        (255, 0, 255): 300,
        (200, 150, 100): 30,
        (10, 20, 10): 120,
        (240, 1, 10): 0,  # 357.7 degrees: the bin of red reaches to both sides
    }.items():
        found = colours(pixels_of(code))
        hues = found.values[0, columns(found, "hue")]
        assert hues[hue // HUE_DEGREES] == pytest.approx((max(code) - min(code)) / 255)
        assert np.count_nonzero(hues) == 1


def test_hues_agree_with_the_standard_library():
    import colorsys

    data = images(2, rows=3000, side=1)
    found = colours(data).values[:, columns(colours(data[:1]), "hue")]
    for row, code in zip(found, data[:, :, 0, 0].astype(float), strict=True):
        hue = colorsys.rgb_to_hsv(*code)[0] * 360 / HUE_DEGREES
        if code.max() > code.min() and abs(hue % 1 - 0.5) > 1e-9:  # not on the border of two bins
            assert row.argmax() == round(hue) % len(row)


def test_exchanged_channels_turn_the_hue_by_a_third():
    data = images(3)
    hue = columns(colours(data[:1]), "hue")
    straight, turned = colours(data).values[:, hue], colours(data[:, [2, 0, 1]]).values[:, hue]
    np.testing.assert_allclose(turned, np.roll(straight, 120 // HUE_DEGREES, axis=1), rtol=1e-6)


def test_prototypes_have_their_own_names():
    codes = [(code >> 16, code >> 8 & 255, code & 255) for code in PROTOTYPES.values()]
    assert [*colour_share(colours(pixels_of(*codes)), colours(pixels_of(*codes)))] == list(PROTOTYPES)
    for name, code in zip(PROTOTYPES, codes, strict=True):
        shares = colour_share(colours(pixels_of(code)), colours(pixels_of(code)))
        assert shares == {other: float(other == name) for other in PROTOTYPES}


@pytest.mark.parametrize(
    "name, code",
    [
        ("blue", (30, 60, 200)),
        ("green", (40, 120, 40)),
        ("red", (200, 20, 20)),
        ("brown", (110, 70, 30)),
        ("yellow", (240, 230, 60)),
        ("orange", (240, 130, 30)),
        ("pink", (250, 150, 190)),
        ("purple", (120, 40, 160)),
        ("grey", (120, 120, 120)),
        ("black", (20, 20, 20)),
        ("white", (245, 245, 245)),
    ],
)
def test_colours_are_named_as_people_do(name, code):
    assert colour_share(colours(pixels_of(code)), colours(pixels_of(code)))[name] == 1


def test_cielab_is_the_published_one():
    """White, and the sRGB primaries as Lindbloom's tables give them, to the digits of their matrix."""
    expected = [[100, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    found = cielab(np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]))
    np.testing.assert_allclose(found, expected, atol=0.05)
    np.testing.assert_allclose(cielab(np.arange(256)[:, None].repeat(3, axis=1))[:, 1:], 0, atol=1e-12)


def test_grey_is_colour_with_equal_channels():
    grey = images(4)[:, :1]
    one, three = colours(grey), colours(grey.repeat(3, axis=1))
    np.testing.assert_array_equal(one.values, three.values)
    assert not one.values[:, columns(one, "hue")].any()
    assert set(np.flatnonzero(one.values[:, columns(one, "share")].any(axis=0))) == {0, 1, 2}


@pytest.mark.parametrize("name", ["colours", "spectrum", "attributes"])
def test_blocks_change_nothing(name, monkeypatch):
    whole = FEATURES[name].extract(images(5)).values
    monkeypatch.setattr(sys.modules["collapselab.features.colours"], "BLOCK_PIXELS", 200)  # three images of 40
    np.testing.assert_array_equal(FEATURES[name].extract(images(5)).values, whole)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2, 4, 4), np.uint8), np.zeros((2, 3, 4, 4)), np.zeros((2, 3, 0, 4), np.uint8)]
)
@pytest.mark.parametrize("name", ["colours", "spectrum", "attributes"])
def test_what_is_no_image_is_refused(name, wrong):
    with pytest.raises(ValueError, match=r"images: found .* allowed are uint8"):
        FEATURES[name].extract(wrong)


# -- distances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1, 7, 100])
def test_a_shift_of_the_levels_is_its_own_distance(shift):
    data = images(6, high=150)
    shifted = data + np.array([0, shift, 0], np.uint8)[:, None, None]
    found = colour_distance(colours(data), colours(shifted))
    expected = {"red": 0, "green": shift, "blue": 0, "mean": shift / 3}
    assert found == pytest.approx(expected, abs=shift * ROUNDING)


@pytest.mark.parametrize("name", REAL)
def test_distances_of_real_images_are_those_of_scipy(name):
    """Between halves of a real set, one of them darker and of less contrast; tolerance: that of float32 shares."""
    half = len(REAL[name]) // 2
    real, fake = REAL[name][:half], (REAL[name][half:] * 0.7 + 20).astype(np.uint8)
    found = colour_distance(colours(real), colours(fake))
    for channel, plane in enumerate(CHANNELS):
        levels = [side[:, min(channel, side.shape[1] - 1)].ravel() for side in (real, fake)]
        assert found[plane] == pytest.approx(wasserstein_distance(*levels), abs=ROUNDING)
        assert found[plane] >= abs(levels[0].mean() - levels[1].mean()) - ROUNDING  # Kantorovich and Rubinstein
    assert found["mean"] == pytest.approx(np.mean([found[plane] for plane in CHANNELS]))
    same = colour_distance(colours(real), colours(real))
    assert same == dict.fromkeys((*CHANNELS, "mean"), 0.0)


def of_hues(*weights):
    """Features as of one image with these weights of hues."""
    values = np.zeros((1, len(NAMES)))
    values[0, [name.startswith("hue") for name in NAMES]] = weights
    return Features(values, names=NAMES)


@pytest.mark.parametrize("bins, degrees", [(0, 0), (1, 5), (20, 100), (36, 180), (70, 10)])
def test_one_hue_that_is_turned_has_moved_so_far(bins, degrees):
    one = np.zeros(72)
    one[3] = 0.4
    assert hue_distance(of_hues(*one), of_hues(*np.roll(one, bins) / 2)) == pytest.approx(degrees)


def test_hues_move_the_shorter_way_round_the_circle():
    """Against the best assignment of 40 hues to 40 others, at the distances of the circle."""
    source = np.random.default_rng(7)
    for spread in (4, 20, 72):
        one, other = source.integers(0, spread, 40), source.integers(60, 60 + spread, 40) % 72
        apart = np.abs(one[:, None] - other) * HUE_DEGREES
        apart = np.minimum(apart, 360 - apart)
        expected = apart[linear_sum_assignment(apart)].mean()
        shares = (np.bincount(hues, minlength=72) / 40 for hues in (one, other))
        assert hue_distance(*(of_hues(*share) for share in shares)) == pytest.approx(expected)


def test_a_narrow_band_of_hues_that_is_turned_has_moved_so_far():
    """Images of hues within a sixth of the circle, with channels exchanged: every hue moves by 120 degrees."""
    data = images(8)
    data[:, 0] = 255
    data[:, 2] = 0  # red to yellow
    assert hue_distance(colours(data), colours(data[:, [2, 0, 1]])) == pytest.approx(120, rel=1e-5)
    assert hue_distance(colours(data), colours(data)) == 0


@pytest.mark.parametrize("name", REAL)
def test_hues_of_real_images_are_those_of_the_best_cut(name):
    """An optimal plan on the circle crosses some border of bins with nothing: the least of the distances on the 72
    lines that begin at one is that of the circle. Halves of a real set, one with two channels exchanged; grey digits
    have no hue."""
    half = len(REAL[name]) // 2
    sides = [colours(REAL[name][:half]), colours(REAL[name][half:, ::-1])]
    if name == "digits":
        with pytest.raises(Undefined, match="real: all pixels are grey"):
            hue_distance(*sides)
        return
    one, other = (side.values[:, columns(side, "hue")].mean(axis=0, dtype=float) for side in sides)
    cuts = [
        HUE_DEGREES * wasserstein_distance(range(72), range(72), np.roll(one, start), np.roll(other, start))
        for start in range(72)
    ]
    assert hue_distance(*sides) == pytest.approx(min(cuts), rel=1e-9) and min(cuts) > 20
    assert hue_distance(sides[0], sides[0]) == 0


def test_named_colours_add_up_and_know_how_sure_they_are():
    """The interval's half width is 1.96 standard errors of the mean over the images."""
    data = images(9)
    found = colour_share(colours(data), colours(data))
    assert sum(found.values()) == pytest.approx(1)
    shares = colours(data).values[:, columns(colours(data), "share")].astype(np.float64)
    for (name, share), column in zip(found.items(), shares.T, strict=True):
        assert share == pytest.approx(column.mean()), name
        assert share.high - share == pytest.approx(1.96 * column.std(ddof=1) / np.sqrt(40), rel=1e-3)
        assert 0 <= share.low <= share


def test_a_drift_to_blue_is_seen():
    real, fake = images(10), images(10)
    fake[:, 2] = np.minimum(fake[:, 2].astype(int) + 100, 255)
    before, after = (colour_share(colours(real), colours(side)) for side in (real, fake))
    assert after["blue"] > before["blue"] and after["yellow"] < before["yellow"]
    distance = colour_distance(colours(real), colours(fake))
    assert distance["blue"] > 50 and distance["red"] == distance["green"] == 0


def test_the_mean_colour_of_a_loop_drifts_by_the_law_of_means():
    """Levels of pixels, drawn by a model that is fitted to its own samples: E (mean_t - mean)^2 = t / n variances.

    The pixels are the samples of the Gaussian family times 20 levels, around 128, rounded: a rounding of a mean over m
    pixels has variance 1 / (12 m), and the mean itself that of its own pixels.
    """
    n, generations, replicates, dimensions = 20, 4, 100, 25
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    lines = loops(
        "gaussian", {"ddof": 1, "covariance": "diagonal"}, {"dimension": dimensions}, regime, generations, replicates
    )
    law = theory.replace_moments(generations, n, 1, 1.0)
    count = 50
    found = np.empty((replicates, generations + 1))
    for replicate, line in enumerate(lines):
        for generation, model in enumerate(line):
            samples = 128 + 20 * model.sample(Ask(count, 1000 * replicate + generation)).data
            pixels = np.clip(np.rint(samples), 0, 255).astype(np.uint8)  # 6 standard deviations fit
            seen = colours(np.ascontiguousarray(pixels.T[:, None, None, :])).values[:, :256]
            found[replicate, generation] = np.mean((seen @ np.arange(256) - 128) ** 2)
    agrees(found, 400 * (law.drift + law.variance / count) + 1 / (12 * count))


# -- what has no value ------------------------------------------------------------------------------------------------


def test_grey_has_no_hue():
    colour, grey = colours(images(11)), colours(images(11)[:, :1])
    with pytest.raises(Undefined, match="fake: all pixels are grey"):
        hue_distance(colour, grey)
    with pytest.raises(Undefined, match="real: all pixels are grey"):
        hue_distance(grey, colour)
    assert colour_distance(grey, grey)["mean"] == 0


@pytest.mark.parametrize("metric", [colour_share, colour_distance, hue_distance])
def test_other_features_are_refused(metric):
    with pytest.raises(ValueError, match="real: found features without columns"):
        metric(np.zeros((3, 4)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="fake: found features without columns"):
        metric(colours(images(0)), np.zeros((3, 4)))


def test_one_pixel_is_enough():
    one = colours(pixels_of((255, 0, 0)))
    other = colours(pixels_of((0, 255, 0)))
    assert colour_share(one, other)["green"] + colour_share(one, other)["yellow"] == 1
    assert colour_distance(one, other) == {"red": 255, "green": 255, "blue": 0, "mean": 170}
    assert hue_distance(one, other) == 120


# -- histograms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [1, 3, 8, 256])
def test_histograms_of_channels_count_pixels(bins):
    data = images(5)
    found = level_share(colours(data), colours(data), bins=bins)
    assert len(found) == 3 * bins
    starts = [place * 256 // bins for place in range(bins)] + [256]
    for channel, plane in zip(CHANNELS, np.moveaxis(data, 1, 0), strict=True):
        counts = np.histogram(plane, starts)[0] / plane.size
        shares = [found[f"{channel} from {start}"] for start in starts[:-1]]
        np.testing.assert_allclose(shares, counts, atol=ROUNDING / 256)


def test_the_histogram_of_grey_images_is_told_once():
    found = level_share(colours(images(0)), colours(images(6)[:, :1]))
    assert list(found) == [f"grey from {32 * place}" for place in range(8)] and sum(found.values()) == pytest.approx(1)


def test_histograms_of_hues_are_around_the_pure_ones():
    found = hue_share(colours(images(0)), colours(pixels_of((255, 0, 0), (255, 0, 60), (0, 128, 0))))
    chroma = 255 + 255 + 128  # 255, 0, 60 is at 346 degrees: nearer to 0 than to 330
    assert found["around 0"] == pytest.approx(510 / chroma) and found["around 120"] == pytest.approx(128 / chroma)
    assert sum(found.values()) == pytest.approx(1) and len(found) == 12
    with pytest.raises(Undefined, match="fake: all pixels are grey"):
        hue_share(colours(images(0)), colours(np.zeros((2, 1, 4, 4), np.uint8)))
