"""Marks: their laws, the null law of every detector, what a model of known moments learns of them, and attacks."""

import builtins
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from collapselab import theory
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES, Features
from collapselab.features.mark import NAMES, at_level
from collapselab.marks import MARKS, Detection, dwt_dct_svd
from collapselab.marks.attacks import ATTACKS, crop, jpeg, shrink
from collapselab.marks.base import level_of_bits, of_bits, secret_normals
from collapselab.marks.detector import Detector
from collapselab.metrics import METRICS
from collapselab.metrics.estimates import exact_share_of
from collapselab.models import MODELS
from collapselab.models.asking import check_ask
from collapselab.models.capabilities import Inverts
from collapselab.testing import check_mark

KEY = bytes(range(32))
SIZES = {"dwt_dct_svd": (3, 256, 256), "tree_ring": (1, 28, 28)}
MANY, RATE = 100_000, 0.01
EXTRA = {"dwt_dct_svd": "imwatermark"}


def needs_its_extra(name):
    if name in EXTRA:
        pytest.importorskip(EXTRA[name], reason=f"{name} needs the extra marks", exc_type=ImportError)


def options_of(name, **said):
    return MARKS[name].Options(**said)


def normals(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def digits():
    return np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[:, None]


# -- over the registry -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in EXTRA else name for name in MARKS]
)
def test_a_mark_keeps_its_contract(name):
    needs_its_extra(name)
    check_mark(name, shape=SIZES.get(name, (1, 28, 28)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 64, 64), (12,)])
def test_the_pattern_in_pixels_keeps_its_contract_from_8_to_64_pixels_and_on_vectors(shape):
    check_mark("spread_spectrum", {"strength": 20.0 if len(shape) == 3 else 1.0}, shape)
    check_mark("spread_spectrum", {"strength": 30.0 if len(shape) == 3 else 2.0, "bits": 6}, shape)


def alarms(name, found, level):
    """How many of many unmarked samples are taken for marked; within the exact 99.9 % range of the binomial law."""
    assert len(found.p) == MANY
    low, high = stats.binom.ppf([0.0005, 0.9995], MANY, level)
    hits = np.count_nonzero(found.p <= RATE)
    assert low <= hits <= high, f"{name}: {hits} false alarms of {MANY}, allowed are {low:.0f} to {high:.0f}"
    return low, high


def unmarked(name, keys):
    """Many samples that nobody has marked: latents for marks of the noise, real digits or white noise for others."""
    if MARKS[name].acts == "noise":
        return normals(1, MANY, 1, 8, 8)
    if keys == "constant":  # the law of one key is that of samples without a direction that they prefer
        return np.random.default_rng(2).integers(0, 256, (MANY, 1, 8, 8), dtype=np.uint8)
    return np.resize(digits(), (MANY, 1, 8, 8))


@pytest.mark.parametrize("keys", ["constant", "per_image"])
@pytest.mark.parametrize("said", [{"bits": 0}, {"bits": 25}], ids=["correlation", "bits"])
def test_false_alarms_of_the_pattern_in_pixels_are_as_many_as_said(keys, said):
    options = options_of("spread_spectrum", keys=keys, **said)
    found = MARKS["spread_spectrum"].detect(unmarked("spread_spectrum", keys), options, KEY, 0)
    level = MARKS["spread_spectrum"].level((1, 8, 8), options, RATE)
    bounds = alarms("spread_spectrum", found, level)
    assert said["bits"] or bounds == (898, 1105)
    assert not said["bits"] or level == pytest.approx(stats.binom.sf(18, 25, 0.5))  # 19 of 25 at 0.7 %, 18 at 2.2 %


@pytest.mark.parametrize(
    ("name", "said"),
    [("tree_ring", {"radius": 2}), ("gaussian_shading", {}), ("gaussian_shading", {"keys": "per_image", "bits": 40})],
)
def test_false_alarms_of_marks_in_the_noise_are_as_many_as_said(name, said):
    options = options_of(name, **said)
    found = MARKS[name].detect(unmarked(name, "constant"), options, KEY, 0)
    bounds = alarms(name, found, MARKS[name].level((1, 8, 8), options, RATE))
    assert name != "tree_ring" or bounds == (898, 1105)


@pytest.mark.slow
@pytest.mark.parametrize("size", [28, 32, 64])
def test_false_alarms_of_rings_are_as_many_as_said_at_every_size(size):
    options, entry = options_of("tree_ring", radius=size // 6), MARKS["tree_ring"]
    parts = [entry.detect(normals(at, 1000, 1, size, size), options, KEY, 0) for at in range(MANY // 1000)]
    assert alarms("tree_ring", Detection(*map(np.concatenate, zip(*parts, strict=True))), RATE) == (898, 1105)


def test_false_alarms_of_the_mark_of_large_pictures_are_as_many_as_said():
    """Over keys, as the law is: the bits of some pictures against those of many keys."""
    needs_its_extra("dwt_dct_svd")
    options = options_of("dwt_dct_svd", keys="per_image")
    dice = np.random.default_rng(3)
    pictures = np.stack([np.kron(dice.integers(0, 256, (3, 16, 16)), np.ones((16, 16))) for _ in range(4)])
    bits = dwt_dct_svd.read(pictures.astype(np.uint8), options)
    found = dwt_dct_svd.matched(np.resize(bits, (MANY, 32)), options, KEY, 0)
    alarms("dwt_dct_svd", found, MARKS["dwt_dct_svd"].level((3, 256, 256), options, RATE))


@pytest.mark.parametrize(
    ("name", "said", "shape", "words"),
    [
        ("spread_spectrum", {}, (1, 7, 9), "blocks of 8 x 8 pixels; the images have 7 x 9"),
        ("spread_spectrum", {"bits": 28}, (1, 8, 8), "needs 28 coefficients or more; the samples have 27"),
        ("spread_spectrum", {}, (1,), "needs 2 numbers or more; the samples have 1"),
        ("tree_ring", {"radius": 4}, (1, 8, 8), "rings up to radius 4; images of 8 x 8 allow up to 3"),
        ("tree_ring", {"channel": 1}, (1, 28, 28), "marks channel 1; the images have 1, counted from 0"),
        ("gaussian_shading", {"bits": 65}, (1, 8, 8), "tells 65 signs; the noise of a sample has 64"),
        ("dwt_dct_svd", {}, (3, 255, 300), "from 256 x 256 pixels up; the images have 255 x 300"),
        ("dwt_dct_svd", {}, (1, 256, 256), "images with 3 channels; the images have 1"),
    ],
)
def test_what_cannot_carry_a_mark_is_refused_with_the_reason(name, said, shape, words):
    assert words in MARKS[name].fault(shape, options_of(name, **said))


def test_without_its_extra_the_mark_of_large_pictures_says_the_cure(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "imwatermark":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ValueError, match=r"pip install 'collapselab\[marks\]'"):
        MARKS["dwt_dct_svd"].mark(np.zeros((1, 3, 256, 256), np.uint8), options_of("dwt_dct_svd"), KEY, 0)


# -- spread spectrum ---------------------------------------------------------------------------------------------------


def test_the_coefficients_are_those_of_the_orthonormal_cosine_transform():
    from scipy.fft import dctn

    from collapselab.marks.spread_spectrum import _coefficients, _from_coefficients, _taken

    image = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8), dtype=np.uint8)
    np.testing.assert_allclose(_coefficients(image, 14)[0], dctn(image[0, 0] * 1.0, norm="ortho")[_taken(14)])
    values = normals(1, 3, 9 * 27)
    pixels = _from_coefficients(values, (3, 28, 28), 6)
    assert not pixels[:, [0, 1, 26, 27]].any() and not pixels[:, :, [0, 1, 26, 27]].any()  # 24 of 28 are whole blocks
    np.testing.assert_allclose((pixels**2).sum(axis=(1, 2)), (values**2).sum(axis=1))


def test_bits_are_right_as_often_as_the_strength_says():
    """Phi(alpha sqrt(L) / sigma) of a bit that is spread over L coefficients of sd sigma (.945 at L 256, alpha .1)."""
    options = options_of("spread_spectrum", strength=0.1, limit=None, bits=4)
    rows = normals(0, 2000, 1024)
    marked = MARKS["spread_spectrum"].mark(rows, options, KEY, 0)
    right = MARKS["spread_spectrum"].detect(marked, options, KEY, 0).statistic.mean()
    pattern = secret_normals(KEY, options, 0, 1, 1024)[0]
    lengths = [np.linalg.norm(pattern[bit::4]) for bit in range(4)]  # of normal chips; 16 of signs, whatever the key
    assert right == pytest.approx(np.mean(stats.norm.cdf(0.1 * np.array(lengths))), abs=4.5 * 0.5 / math.sqrt(8000))
    assert stats.norm.cdf(0.1 * 16) == pytest.approx(0.945, abs=5e-4)


def test_one_key_shifts_the_mean_and_keys_of_their_own_average_out():
    rows = normals(0, 4000, 6)
    moved = {}
    for keys in ("constant", "per_image"):
        options = options_of("spread_spectrum", strength=0.5, keys=keys)
        moved[keys] = (MARKS["spread_spectrum"].mark(rows, options, KEY, 0) - rows).mean(axis=0)
    pattern = 0.5 * secret_normals(KEY, options_of("spread_spectrum"), 0, 1, 6)[0]
    np.testing.assert_allclose(moved["constant"], pattern, rtol=1e-12)
    assert (np.abs(moved["per_image"]) < 4.5 * 0.5 / math.sqrt(4000)).all()


def test_a_mark_is_weak_on_paper_and_found_all_the_same():
    """White noise of sd 40 with a pattern of 8: t has mean alpha sqrt(N) / sigma = 3.1 at 243 coefficients."""
    pictures = np.clip(np.rint(128 + 40 * normals(0, 1000, 1, 28, 28)), 0, 255).astype(np.uint8)
    options, entry = options_of("spread_spectrum", limit=None, keys="per_image"), MARKS["spread_spectrum"]
    marked = entry.mark(pictures, options, KEY, 0)
    found = entry.detect(marked, options, KEY, 0)
    assert found.statistic.mean() == pytest.approx(8 * math.sqrt(243) / 40, rel=0.06)  # 1 / sqrt(1000) and clipped ends
    assert np.sqrt(np.mean((marked * 1.0 - pictures) ** 2)) < 8 * math.sqrt(27 / 64)  # of a pixel, borders unmarked


# -- marks of the noise ------------------------------------------------------------------------------------------------


def published(rows, radius):
    """The p-value of Wen et al. 2023 as it stands: of all frequencies, each twice, and with the row's own variance."""
    size = rows.shape[-1]
    down = np.rint(np.fft.fftfreq(size) * size)
    mask = np.hypot(down[:, None], down[None, :]) <= radius
    key = np.fft.fft2(normals(99, size, size))[mask]
    spectrum = np.fft.fft2(rows[:, 0])[:, mask]
    variance = np.concatenate([spectrum.real, spectrum.imag], axis=1).var(axis=1, keepdims=True)
    distance = (np.abs(spectrum - key) ** 2 / variance).sum(axis=1)
    away = (np.abs(key) ** 2 / variance).sum(axis=1)
    return stats.ncx2.cdf(distance, 2 * mask.sum(), away)


def test_the_published_statistic_of_rings_raises_too_many_false_alarms_and_ours_does_not():
    noise = normals(5, 4000, 1, 28, 28)
    assert np.mean(published(noise, 5) <= RATE) > 0.02  # 2.7 % found; the exact 99.9 % range at 1 % ends at 1.54 %
    ours = MARKS["tree_ring"].detect(noise, options_of("tree_ring"), KEY, 0)
    assert stats.kstest(ours.p, "uniform").pvalue > 0.001


def test_rings_are_those_of_a_real_image_and_leave_the_variance_as_it_is():
    options, noise = options_of("tree_ring", radius=6), normals(0, 500, 3, 32, 32)
    marked = MARKS["tree_ring"].mark(noise, options, KEY, 0)
    np.testing.assert_array_equal(marked[:, 1:], noise[:, 1:])
    again = MARKS["tree_ring"].mark(marked, options, KEY, 0)
    np.testing.assert_allclose(again, marked, atol=1e-12)  # nothing is lost when the imaginary part is left away
    # Of 1,024 numbers 113 are of the rings, where the key's squares have the mean of noise.
    assert marked[:, 0].var() == pytest.approx(1, abs=4.5 * math.sqrt(2 / (500 * 911)))
    assert MARKS["tree_ring"].detect(marked, options, KEY, 0).p.max() < 1e-20


@pytest.mark.parametrize(("size", "radius", "hits"), [(64, 10, 1.0), (28, 5, 1.0), (8, 2, 0.8)])
def test_rings_are_found_through_the_error_of_an_inversion(size, radius, hits):
    options = options_of("tree_ring", radius=radius)
    marked = MARKS["tree_ring"].mark(normals(0, 500, 1, size, size), options, KEY, 0)
    found = MARKS["tree_ring"].detect(marked + 0.5 * normals(1, *marked.shape), options, KEY, 0)
    assert np.mean(found.p <= RATE) >= hits


@pytest.mark.parametrize("keys", ["constant", "per_image"])
def test_shaded_noise_is_normal_and_its_signs_are_right_as_often_as_the_error_lets_them(keys):
    options, entry = options_of("gaussian_shading", keys=keys), MARKS["gaussian_shading"]
    marked = entry.mark(normals(0, 1000, 1, 8, 8), options, KEY, 0)
    if keys == "per_image":
        assert stats.kstest(marked.ravel(), "norm").pvalue > 0.001
    else:  # one orthant
        assert (np.sign(marked) == np.sign(marked[0])).all()
    for error in (0.5, 1.0, 2.0):
        right = entry.detect(marked + error * normals(2, *marked.shape), options, KEY, 0).statistic.mean()
        assert right == pytest.approx(0.5 + math.atan(1 / error) / math.pi, abs=4.5 * 0.5 / math.sqrt(64_000))


def test_counted_bits_have_the_binomial_tail_and_its_levels():
    assert of_bits(np.array([167.0, 166.0]), 256).p[0] < 1e-6 < of_bits(np.array([166.0]), 256).p[0]
    assert level_of_bits(256, 1e-6) == pytest.approx(stats.binom.sf(166, 256, 0.5))
    assert level_of_bits(8, 0.01) == pytest.approx(2**-8) and level_of_bits(6, 0.01) == 0


def flow_of(shape, rows):
    family = MODELS["flow"]
    options = family.Options.model_validate({"images_seen": 4096, "batch": 64, "sample_batch": 64})
    return family.fit(TrainingSet(rows, None, np.ones(len(rows))), options, Run(1))


def test_a_flow_tells_its_noise_and_a_mark_in_it_exactly():
    model = flow_of((4,), normals(0, 400, 4) * [1, 2, 3, 4] + 7)
    options, entry = options_of("gaussian_shading", keys="per_image"), MARKS["gaussian_shading"]
    marked = model.sample(Ask(100, 3, start=30, mark=lambda noise, start: entry.mark(noise, options, KEY, start)))
    expected = entry.mark(seeds.normals(3, 30, 100, 4), options, KEY, 30)
    np.testing.assert_allclose(model.invert(marked.data), expected, atol=1e-9)
    assert (entry.detect(model.invert(marked.data), options, KEY, 30).statistic == 1).all()


def test_the_ode_upwards_undoes_the_sampler_to_the_order_of_its_steps():
    """Of Gaussian data D = v x / (v + s^2), and the ODE goes from x at a to x sqrt((v + b^2) / (v + a^2)) at b."""
    import torch

    from collapselab.models.diffusion.inversion import ascended
    from collapselab.models.diffusion.sampling import power_levels

    variance, rows, errors = 0.25, torch.from_numpy(normals(0, 5, 3)), []
    for steps in (20, 40, 80):
        rising = power_levels(steps, 0.002, 80.0, 7.0)[:-1].flip(0)
        found = ascended(lambda x, sigma, condition: variance * x / (variance + sigma**2), rows, rising)
        exact = rows * math.sqrt((variance + 80.0**2) / (variance + 0.002**2))
        errors.append(float((found / exact - 1).abs().max()))
    assert 3 < errors[0] / errors[1] < 6 and 3 < errors[1] / errors[2] < 6 and errors[2] < 0.01  # second order


@pytest.mark.trained
def test_marks_of_a_diffusion_models_noise_are_found_in_its_samples_and_not_in_others():
    data = digits()
    family = MODELS["diffusion"]
    options = family.Options.model_validate({"preset": "tiny", "classes": 0, "images_seen": 25_600})
    model = family.fit(TrainingSet(data, None, np.ones(len(data))), options, Run(1))
    for name, said in (("tree_ring", {"radius": 2}), ("gaussian_shading", {})):
        detector = Detector(MARKS[name], options_of(name, **said), KEY, model)
        own = lambda noise, start, one=detector: one.mark.mark(noise, one.options, one.key, start)  # noqa: E731
        assert np.mean(detector(model.sample(Ask(200, 2, mark=own)).data).p <= RATE) > 0.9
        plain = detector(model.sample(Ask(200, 2)).data).p
        assert np.count_nonzero(plain <= RATE) <= stats.binom.ppf(0.9999, 200, 3 * RATE)  # the model is not its ODE


@pytest.mark.parametrize("family", [name for name in MODELS if not issubclass(MODELS[name], Inverts)])
def test_who_cannot_tell_its_noise_takes_no_mark_of_it(family):
    blank = object.__new__(MODELS[family])  # what it can is known of its class
    with pytest.raises(ValueError, match="mark: found one of the noise, allowed is none"):
        check_ask(Ask(2, 0, mark=lambda noise, start: noise), blank)


# -- large pictures ----------------------------------------------------------------------------------------------------


def test_the_mark_of_large_pictures_is_read_again_and_lives_through_jpeg():
    needs_its_extra("dwt_dct_svd")
    dice = np.random.default_rng(1)
    smooth = np.stack([np.kron(dice.integers(40, 216, (3, 8, 8)), np.ones((32, 32))) for _ in range(3)])
    pictures = np.clip(smooth + 5 * dice.standard_normal(smooth.shape), 0, 255).astype(np.uint8)
    options, entry = options_of("dwt_dct_svd"), MARKS["dwt_dct_svd"]
    marked = entry.mark(pictures, options, KEY, 0)
    assert 10 * math.log10(255**2 / np.mean((marked * 1.0 - pictures) ** 2)) > 30  # dB
    assert (entry.detect(marked, options, KEY, 0).statistic >= 31 / 32).all()
    assert (entry.detect(jpeg(marked, 90), options, KEY, 0).p <= RATE).all()
    assert (entry.detect(pictures, options, KEY, 0).p > 1e-4).all()


# -- detectors, attacks and numbers ------------------------------------------------------------------------------------


def test_calibrated_p_values_have_their_level_whatever_pictures_are_like():
    """Digits are alike: by the law over keys one key finds itself in far too many or too few of them."""
    data = np.random.default_rng(0).permutation(digits())  # as they stand, whoever wrote them stands together
    own, others = data[:900], data[900:]
    entry, keys = MARKS["spread_spectrum"], [bytes([number]) * 32 for number in range(200)]
    plain, calibrated = [], []
    for key in keys:
        detector = Detector(entry, options_of("spread_spectrum"), key)
        plain.append(np.mean(detector(others).p <= RATE))
        calibrated.append(np.mean(detector.calibrated(own)(others).p <= RATE))
    level = detector.calibrated(own).level((1, 8, 8), RATE)
    assert level == pytest.approx(9 / 901)
    # Of one key and exchangeable pictures the rate is Beta(9, 892): sd .0033, and binomial over 897 pictures.
    assert np.std(calibrated) < 0.006 < np.std(plain) and np.max(plain) > 0.03
    assert np.mean(calibrated) == pytest.approx(level, abs=4.5 * 0.0047 / math.sqrt(len(keys)) + 0.002)


def test_a_calibrated_p_value_counts_who_is_as_large():
    detector = Detector(
        MARKS["gaussian_shading"], options_of("gaussian_shading"), KEY, unmarked=np.array([1.0, 2, 2, 3])
    )
    object.__setattr__(detector, "found", lambda data, start=0: Detection(np.array([0.0, 2, 3, 9]), np.ones(4)))
    np.testing.assert_allclose(detector(np.zeros(4)).p, [1, 4 / 5, 2 / 5, 1 / 5])


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28)])
def test_attacks_keep_form_and_level_and_leave_what_they_are_given(name, shape):
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    before = images.copy()
    found = ATTACKS[name](images)
    assert found.dtype == np.uint8 and found.shape == images.shape and (images == before).all()
    assert (found != images).any()
    np.testing.assert_array_equal(ATTACKS[name](images[2:])[0], found[2])
    grey = np.full((1, *shape), 100, np.uint8)
    assert (np.abs(ATTACKS[name](grey).astype(int) - 100) <= 1).all()  # a colour without structure stays


def test_attacks_do_what_their_settings_say():
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (1, 1, 24, 1))
    middle = crop(ramp, 0.5)
    assert middle.min() >= ramp[0, 0, 0, 6] - 10 and middle.max() <= ramp[0, 0, 0, 17] + 10
    checks = np.indices((1, 1, 16, 16)).sum(axis=0).astype(np.uint8) % 2 * 255
    assert np.ptp(shrink(checks, 0.5)[:, :, 4:-4, 4:-4]) < 40  # what half a size cannot hold is gone
    assert np.abs(jpeg(ramp, 95) * 1.0 - ramp).mean() < np.abs(jpeg(ramp, 10) * 1.0 - ramp).mean()


def seen(p, level=0.01, marked=True, **attacked):
    """Features of the extractor ``mark`` with these p-values."""
    p = np.asarray(p, np.float64)
    columns = {"statistic": -p, "p": p, "level": np.full(len(p), level), "marked": np.full(len(p), float(marked))}
    columns |= {f"p_{attack}": np.asarray(attacked.get(attack, p), np.float64) for attack in ATTACKS}
    return Features(np.stack([columns[name] for name in NAMES], axis=1), names=NAMES)


def test_shares_have_the_exact_interval_of_clopper_and_pearson():
    for hits, rows in ((0, 40), (3, 40), (40, 40)):
        found = exact_share_of(np.arange(rows) < hits)
        asked = stats.binomtest(hits, rows).proportion_ci(method="exact")
        np.testing.assert_allclose([found, found.low, found.high], [hits / rows, asked.low, asked.high], atol=1e-12)


def test_numbers_of_marks_are_shares_over_levels():
    fake = seen([0.001, 0.01, 0.02, 0.5], jpeg=[0.5, 0.001, 0.5, 0.5], crop=[1, 1, 1, 1], resize=[0, 0, 0, 0])
    real = seen([0.005, *[0.5] * 9], marked=False)
    assert METRICS["mark_detection"](real, fake) == 0.5
    assert METRICS["mark_false_alarms"](real, fake) == pytest.approx(0.1)
    assert METRICS["mark_robustness"](real, fake) == {"jpeg": 0.25, "crop": 0.0, "resize": 1.0}
    plain = seen([0.001, 0.3, 0.4, 0.6], level=0.005, marked=False)
    found, share = METRICS["radioactivity"](real, plain), exact_share_of(np.array([1, 0, 0, 0]))
    assert found == pytest.approx(50) and (found.low, found.high) == pytest.approx((share.low * 200, share.high * 200))
    left = METRICS["residual_share"](real, fake, synthetic=0.9)
    assert left["theory"] == pytest.approx(theory.purged_share(0.9, 0.5, 0.01))
    assert left["found"] == pytest.approx(theory.purged_share(0.9, 0.5, 0.1))
    for name, sides in (("radioactivity", (real, fake)), ("mark_robustness", (real, plain))):
        with pytest.raises(Undefined, match="mark"):
            METRICS[name](*sides)


def test_what_is_left_of_a_mixture_is_what_a_purge_leaves():
    """q .9, b .99 and a .01 leave 8.3 %: drawn row by row, and thrown out one by one."""
    dice, rows = np.random.default_rng(4), 200_000
    synthetic = dice.uniform(size=rows) < 0.9
    kept = dice.uniform(size=rows) >= np.where(synthetic, 0.99, 0.01)
    expected = theory.purged_share(0.9, 0.99, 0.01)
    error = math.sqrt(expected * (1 - expected) / kept.sum())
    assert synthetic[kept].mean() == pytest.approx(expected, abs=4.5 * error) and expected == pytest.approx(
        0.083, abs=5e-4
    )


def flagged(features, column="p"):
    p, level = (features.values[:, NAMES.index(name)] for name in (column, "level"))
    return at_level(p, level)


def test_the_extractor_tells_the_level_and_attacks_only_what_is_marked():
    entry, data = FEATURES["mark"], digits()[:60]
    detector = Detector(MARKS["spread_spectrum"], options_of("spread_spectrum", strength=60.0, keys="per_image"), KEY)
    marked = detector.mark.mark(data, detector.options, KEY, 0)
    found = entry.extract(marked, detector, rate=0.05, rows=40, marked=True)
    plain = entry.extract(data, detector, rate=0.05, rows=40)
    column = found.names.index
    assert found.values.shape == (40, 7) and (found.values[:, column("level")] == 0.05).all()
    assert flagged(found).mean() > 0.5 > flagged(found, "p_crop").mean()
    np.testing.assert_array_equal(found.values[:, column("p_jpeg")], detector(jpeg(marked[:40])).p)
    assert (plain.values[:, column("p_jpeg")] == 1).all() and not plain.values[:, column("marked")].any()
    with pytest.raises(ValueError, match="needs the detector of a mark"):
        entry.extract(data)
