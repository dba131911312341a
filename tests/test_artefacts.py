"""Artefacts: spectra in closed form, lattices that are planted and found, and how fast they grow."""

from pathlib import Path

import numpy as np
import pytest

from collapselab.core.errors import Undefined
from collapselab.data.archive import DatasetZip
from collapselab.data.digits import Digits
from collapselab.features import FEATURES, Features
from collapselab.features.spectrum import frequency_names, luminance, power_spectrum
from collapselab.metrics import SCORES
from collapselab.metrics.artefacts import cross_hatching, growth_rate, lattice_scores
from collapselab.metrics.ranks import superiority

spectrum = FEATURES["spectrum"].extract
FLOAT32 = 2**-22  # relative error of a ratio of powers that were stored as float32, summed in float64
CIFAR10 = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg-test.zip"


def of_planes(planes):
    """Features of float luminance (n, H, W), as of images before they are rounded."""
    return Features(power_spectrum(planes), names=frequency_names(*planes.shape[1:]))


def textures(seed, rows=400, side=32, deviation=12.0):
    """Images with power falling as the square of frequency, as natural ones have, in levels around 128: float64.

    Each has its own contrast, from a third of the deviation to three times it, since real sets mix smooth images and
    rough ones.
    """
    source = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    amplitude = 1 / np.maximum(np.hypot(ky, kx), 1 / side)
    amplitude[0, 0] = 0
    planes = np.fft.irfft2(amplitude * np.fft.rfft2(source.normal(size=(rows, side, side))), s=(side, side))
    planes *= deviation * 3 ** source.uniform(-1, 1, (rows, 1, 1)) / planes.std()
    return 128 + planes


def as_images(planes):
    """Planes (n, H, W), or (n, 3, H, W), as uint8 images."""
    images = np.clip(np.rint(planes), 0, 255).astype(np.uint8)
    return images if images.ndim == 4 else images[:, None]


DOWN, ACROSS = np.mgrid[:32, :32]


def wave(period, down, across):
    return np.cos(2 * np.pi * (down * DOWN + across * ACROSS) / period)


def hatch(period):
    """A cross-hatch: waves along both diagonals, each of amplitude 1."""
    return wave(period, 1, 1) + wave(period, 1, -1)


CHECKERBOARD = (-1.0) ** (DOWN + ACROSS)


@pytest.fixture(scope="module")
def photographs():
    if not CIFAR10.exists():
        pytest.skip(f"needs CIFAR-10 as a dataset zip of JPEG files in {CIFAR10}")
    return DatasetZip(path=CIFAR10).load().data


def area_under_curve(planted, clean):
    return superiority(planted, clean).share


# -- the extractor --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (9, 5), (1, 6)])
def test_the_mean_power_over_the_plane_is_the_variance(shape):
    """Parseval; a column of the half plane stands for two frequencies unless it is its own opposite."""
    planes = np.random.default_rng(0).normal(size=(5, *shape))
    power = power_spectrum(planes).reshape(5, shape[0], -1)
    twice = np.full(power.shape[2], 2.0)
    twice[0] = 1
    if shape[1] % 2 == 0:
        twice[-1] = 1
    np.testing.assert_allclose((power @ twice).sum(axis=1) / np.prod(shape), planes.var(axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("ky, kx", [(3, 5), (-3, 5), (0, 2), (-16, 4), (7, 0)])
def test_a_wave_stands_in_the_column_of_its_name(ky, kx):
    """a^2 H W / 4; a wave without a cycle across stands at its own frequency and at the opposite one."""
    found = of_planes(100 + 6 * np.cos(2 * np.pi * (ky * DOWN + kx * ACROSS) / 32)[None])
    present = [name for name, power in zip(found.names, found.values[0], strict=True) if power > 0]
    assert f"{ky}/32 {kx}/32" in present and len(present) == (2 if kx == 0 else 1)
    assert found.values.max() == pytest.approx(36 * 1024 / 4)


def test_power_is_of_the_luminance():
    colour = np.random.default_rng(1).integers(0, 256, (4, 3, 6, 6), dtype=np.uint8)
    expected = power_spectrum(np.tensordot([0.299, 0.587, 0.114], colour, (0, 1)))
    np.testing.assert_allclose(spectrum(colour).values, expected, rtol=FLOAT32)
    np.testing.assert_array_equal(luminance(colour[:, [0, 0, 0]]), colour[:, 0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (1, 8), (8, 8)])
def test_constant_images_have_no_power_at_all(shape):
    """Also where the mean of equal luminances is not exactly what each of them is."""
    images = np.full((256, 3, *shape), 77, np.uint8)
    images[:, 1] = np.arange(256)[:, None, None]
    found = spectrum(images)
    assert not found.values.any() and found.values.shape[1] == len(found.names) == shape[0] * (shape[1] // 2 + 1)


def test_white_noise_has_the_same_density_at_any_size():
    """The expected power is the variance, to five standard errors of a mean of exponential numbers."""
    for side in (8, 16, 32):
        values = of_planes(3 * np.random.default_rng(side).normal(size=(300, side, side))).values
        expected = 9 * (1 - 1 / side**2)  # of the plane's frequencies one is the mean, with no power
        assert values.mean() == pytest.approx(expected, rel=5 / np.sqrt(values.size / 2) + 2 / side**2)


# -- the index ------------------------------------------------------------------------------------------------------


def filtered(planes, response):
    """A linear filter that goes round the borders: response(ky, kx), in cycles a pixel."""
    ky, kx = np.fft.fftfreq(planes.shape[1])[:, None], np.fft.rfftfreq(planes.shape[2])
    return np.fft.irfft2(np.fft.rfft2(planes) * response(ky, kx), s=planes.shape[1:])


def at_lattice(period, e):
    """The response 1 + e at the frequencies of a lattice off the axes, and 1 elsewhere."""

    def response(ky, kx):
        down, across = np.broadcast_arrays(ky * period, kx * period)
        whole = np.isclose(down, np.rint(down)) & np.isclose(across, np.rint(across))
        on_axis = np.isclose(down % period, 0) | np.isclose(across % period, 0)
        return np.where(whole & ~on_axis, 1 + e, 1.0)

    return response


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("e", [-0.3, 0.1, 1.0])
def test_a_response_at_the_lattice_multiplies_the_index_by_its_square(period, e):
    real, fake = textures(0), textures(1)
    before, after = (
        cross_hatching(of_planes(real), of_planes(side), period=period)
        for side in (fake, filtered(fake, at_lattice(period, e)))
    )
    assert after / before == pytest.approx((1 + e) ** 2, rel=1e-9)
    assert cross_hatching(of_planes(real), of_planes(real), period=period) == pytest.approx(1, abs=1e-12)


def test_digits_have_the_lattice_that_was_planted_and_no_other():
    """Real images of 8 x 8 pixels: at period 4 the lattice has frequencies between which there is one of its own."""
    digits = luminance(np.repeat(Digits().load().data, 3, axis=1))
    found = cross_hatching(of_planes(digits), of_planes(filtered(digits, at_lattice(4, 0.2))))
    assert found == pytest.approx(1.44, rel=1e-9)
    halves = cross_hatching(*(spectrum(Digits().load().data[rows]) for rows in (slice(0, 900), slice(900, None))))
    assert halves.low < 1 < halves.high


@pytest.mark.parametrize("period", [2, 4, 8])
def test_contrast_and_blur_are_no_lattice(period):
    """Contrast cancels. Of a kernel (a, 1 - 2a, a) down and across, with log power g = 2 log(1 - 2a + 2a cos), six of
    the eight frequencies around k are a step of h away along each axis: exp(-3/8 (second differences of g)) is left."""
    real, a, h = textures(2), 0.1, 2 * np.pi / 32
    kernel = [1 - 2 * a + 2 * a * np.cos(2 * np.pi * k) for k in (np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32))]
    blurred = filtered(real, lambda ky, kx: 0.4 * kernel[0] * kernel[1])
    alone = cross_hatching(of_planes(real), of_planes(0.4 * real), period=period)
    assert alone == pytest.approx(1, abs=1e-9)

    def bend(angle):
        below, at, above = (2 * np.log(1 - 2 * a + 2 * a * np.cos(angle + step)) for step in (-h, 0, h))
        return below - 2 * at + above

    angles = 2 * np.pi * np.arange(1, period) / period
    factors = {  # opposite frequencies count once
        frozenset({(i, j), (period - 2 - i, period - 2 - j)}): np.exp(-3 / 8 * (bend(down) + bend(across)))
        for i, down in enumerate(angles)
        for j, across in enumerate(angles)
    }
    found = cross_hatching(of_planes(real), of_planes(blurred), period=period)
    assert found == pytest.approx(np.mean(list(factors.values())), rel=1e-9)
    assert abs(found - 1) < 0.025


def test_the_interval_is_as_wide_as_the_index_scatters():
    """Two sets of one law, 300 times: half the interval of the logarithm over 1.96 is its standard deviation, which 300
    values tell to four times 1 / sqrt(600), and which the first order misses by some hundredths; 1 lies in 285 of the
    intervals, to four binomial standard deviations."""
    found = []
    for seed in range(300):
        planes = of_planes(textures(1000 + seed, rows=160, side=16))
        real, fake = (Features(planes.values[rows], names=planes.names) for rows in (slice(0, 80), slice(80, None)))
        found.append(cross_hatching(real, fake))
    errors = [np.log(index.high / index.low) / 2 / 1.96 for index in found]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(np.log(found)), rel=4 / np.sqrt(600))
    assert abs(sum(index.low <= 1 <= index.high for index in found) - 285) < 4 * np.sqrt(300 * 0.95 * 0.05)


# -- finding it -----------------------------------------------------------------------------------------------------


def test_a_planted_lattice_is_found_in_textures():
    """As in photographs, which not every machine has; half of the textures are the real set, a quarter are planted."""
    planes = textures(3, rows=4000)
    real = spectrum(as_images(planes[:2000]))
    clean, host = spectrum(as_images(planes[2000:3000])), planes[3000:]
    planted = spectrum(as_images(host + 2 * hatch(4)))
    assert area_under_curve(lattice_scores(real, planted), lattice_scores(real, clean)) >= 0.95
    untouched = area_under_curve(lattice_scores(real, spectrum(as_images(host))), lattice_scores(real, clean))
    assert abs(untouched - 0.5) < 4 * np.sqrt(2001 / 12 / 1000**2)  # the variance of Mann and Whitney's U / (m n)


def test_a_planted_lattice_is_found_in_photographs(photographs):
    """Amplitude 2 of 255, added to every channel before rounding; the clean and the planted images are not the same.

    A cross-hatch is two waves that cross, along the diagonals, at the period 4 of two up-samplings; a checkerboard is
    what one of them leaves.
    """
    real, clean, host = spectrum(photographs[:5000]), spectrum(photographs[5000:7500]), photographs[7500:]
    below = lattice_scores(real, clean)
    for pattern in (hatch(4), CHECKERBOARD):
        planted = spectrum(as_images(host + 2 * pattern))
        assert area_under_curve(lattice_scores(real, planted), below) >= 0.95
        index = cross_hatching(real, planted)
        assert index.low > 1
    assert cross_hatching(real, clean).low < 1.05 and cross_hatching(real, clean).high > 0.95


def test_the_score_is_in_the_registry():
    real = of_planes(textures(4, rows=50))
    np.testing.assert_array_equal(SCORES["cross_hatching"](real, real), lattice_scores(real, real))
    assert SCORES["cross_hatching"].options == {"period": 4}


def test_scores_of_images_without_power_or_with_nothing_else():
    real = of_planes(textures(5, rows=50))
    empty, pure = np.full((1, 32, 32), 9.0), 100 + hatch(4)[None]
    assert lattice_scores(real, of_planes(np.concatenate([empty, pure]))).tolist() == [0, np.inf]


# -- growth ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", [-0.1, 0.0, 0.15])
def test_the_growth_of_a_law_is_exact(e):
    rate, points = growth_rate({t: 1.3 * (1 + e) ** (2 * t) for t in (0, 1, 2, 5, 9)})
    assert rate == pytest.approx(e, abs=1e-12) and points == 5
    assert rate.low == pytest.approx(e, abs=1e-9) and rate.high == pytest.approx(e, abs=1e-9)


def test_the_growth_of_a_filter_that_each_generation_applies():
    """Before rounding: exact, since every column of a spectrum is multiplied by (1 + e)^(2 t)."""
    real = fake = luminance(np.repeat(Digits().load().data, 3, axis=1))
    index = {0: cross_hatching(of_planes(real), of_planes(fake))}
    for generation in range(1, 6):
        fake = filtered(fake, at_lattice(4, 0.12))
        index[generation] = cross_hatching(of_planes(real), of_planes(fake))
    assert growth_rate(index).rate == pytest.approx(0.12, rel=1e-9)


def test_the_growth_of_a_filter_in_images_of_whole_levels(photographs):
    """Rounding adds noise of variance 1/12 to each channel, so v = 1/12 sum of squared luma weights = .037 to every
    power P of the luminance: of the real set, of the lattice and of its background alike.

    log index of a lattice frequency is then log((P (1+e)^2t + v) / (P + v)), whose slope differs from 2 log(1 + e) by
    less than the share v / P that noise has of the least power at the lattice, and the rate by half of that. The images
    keep half their contrast, so that nothing is clipped.
    """
    e, generations = 0.08, 5
    real = fake = 64 + photographs[:1500] / 2
    at = of_planes(luminance_of(real))
    v = (0.299**2 + 0.587**2 + 0.114**2) / 12
    index = {}
    for generation in range(generations + 1):
        assert fake.min() > 0 and fake.max() < 255
        index[generation] = cross_hatching(spectrum(as_images(real)), spectrum(as_images(fake)))
        fake = np.stack([filtered(fake[:, channel], at_lattice(4, e)) for channel in range(3)], axis=1)
    columns = [at.names.index(f"{ky}/32 {kx}/32") for ky in (-16, -8, 8) for kx in (8, 16) if (ky, kx) != (8, 16)]
    least = at.values[:, columns].mean(axis=0).min()
    assert growth_rate(index).rate == pytest.approx(e, abs=v / least / 2)


def luminance_of(images):
    return np.tensordot([0.299, 0.587, 0.114], images, (0, 1))


def test_the_interval_of_the_growth_is_that_of_a_straight_line():
    """Against scipy's line through the logarithms, with Student's t."""
    from scipy import stats

    values = {0: 1.0, 1: 1.4, 2: 1.3, 3: 2.2, 6: 4.0}
    line = stats.linregress(list(values), np.log(list(values.values())))
    half = stats.t(3).ppf(0.975) * line.stderr
    rate = growth_rate(values).rate
    expected = np.expm1(np.array([line.slope, line.slope - half, line.slope + half]) / 2)
    assert [rate, rate.low, rate.high] == pytest.approx(expected)


@pytest.mark.parametrize(
    "values, said",
    [
        ({}, "found 0 generations"),
        ({0: 1.0, 1: 2.0}, "found 2 generations, needed are at least 3"),
        ({0: 1.0, 1: 0.0, 2: 2.0}, "found 0.0 in generation 1"),
        ({0: 1.0, 1: 1.0, 2: -2.0}, "found -2.0 in generation 2"),
        ({0: 1.0, 1: 1.0, 2: float("nan")}, "found nan in generation 2"),
    ],
)
def test_growth_that_is_not_determined(values, said):
    with pytest.raises(Undefined, match=said):
        growth_rate(values)


# -- what has no value ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [cross_hatching, lattice_scores])
def test_images_in_which_no_lattice_can_stand_out(metric):
    for side, period in ((30, 4), (8, 8), (4, 4), (1, 2)):
        planes = of_planes(np.random.default_rng(0).normal(size=(5, side, side)))
        with pytest.raises(Undefined, match=f"real: a lattice of {period} pixels needs .* {side} x {side} pixels"):
            metric(planes, planes, period=period)
    real, constant = of_planes(textures(6, rows=5)), of_planes(np.zeros((5, 32, 32)))
    with pytest.raises(Undefined, match="real: no power at or beside"):
        metric(constant, real)
    with pytest.raises(ValueError, match="real: found features whose columns name no frequencies"):
        metric(np.zeros((5, 4)), real)
    with pytest.raises(ValueError, match="fake: found features whose columns name no frequencies"):
        metric(real, Features(np.zeros((5, 1)), names=("brightness",)))


def test_constant_fakes_have_no_index():
    real = of_planes(textures(7, rows=5))
    with pytest.raises(Undefined, match="fake: no power at or beside"):
        cross_hatching(real, of_planes(np.zeros((5, 32, 32))))


def test_one_image_has_an_index_without_an_interval():
    real = of_planes(textures(8, rows=5))
    one = Features(real.values[:1], names=real.names)
    assert type(cross_hatching(real, one)) is float and type(cross_hatching(one, real)) is float


def test_sizes_may_differ():
    """A lattice is named in cycles a pixel, which a larger image has too: the same texture, tiled."""
    small = textures(9, rows=30, side=16)
    large = textures(10, rows=30)
    assert cross_hatching(of_planes(large), of_planes(small)) > 0
