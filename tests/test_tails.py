"""Tails: rare classes through the real loop, and the extremes of attributes against exact expectations."""

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError
from test_oracles import STREAM, STUDY_SEED, agrees, loops

from collapselab import theory
from collapselab.compose import regimes
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.data.digits import Digits
from collapselab.features import FEATURES, Features
from collapselab.metrics import METRICS
from collapselab.metrics.tails import class_retention, expected_quantile_coverage, quantile_coverage, tail_coverage

attributes = FEATURES["attributes"].extract


def of_classes(*counts):
    """Features in which class i occurs counts[i] times."""
    classes = np.repeat(np.arange(len(counts)), counts)
    return Features(np.zeros((len(classes), 1)), classes)


def column(values):
    return Features(np.asarray(values, np.float64)[:, None])


# -- rare classes ---------------------------------------------------------------------------------------------------


def test_what_is_left_of_rare_classes():
    real, fake = of_classes(900, 40, 40, 20), of_classes(480, 10, 0, 10)
    found = class_retention(real, fake)
    assert found == {"1": 0.5, "2": 0.0, "3": 1.0, "kept": pytest.approx(2 / 3)}
    assert class_retention(real, fake, below=0.03) == {"3": 1.0, "kept": 1.0}
    assert class_retention(real, fake, below=1.0).keys() == {"0", "1", "2", "3", "kept"}
    named = class_retention(real, fake, classes="2,0,7")
    assert named["2"] == 0 and named["0"] == pytest.approx(0.96 / 0.9) and named["kept"] == 0.5
    assert isinstance(named["7"], Undefined) and str(named["7"]) == "real: class 7 does not occur"


def test_the_interval_of_a_retention_counts_both_sides():
    """Two draws of one law, 400 times: 95 % intervals hold 1 in 380 of them, to four binomial deviations, and two more
    in a hundred since counts of 60 or so are whole numbers and no Gaussian ones."""
    source, hits = np.random.default_rng(0), 0
    for real, fake in source.binomial(2000, 0.03, (400, 2)):
        found = class_retention(of_classes(2000 - real, real), of_classes(2000 - fake, fake), classes="1")["1"]
        hits += found.low <= 1 <= found.high
    assert abs(hits - 380) < 4 * np.sqrt(400 * 0.95 * 0.05) + 8


def test_none_of_a_few_is_no_proof_of_loss():
    """Where the real share is known exactly the interval is Wilson's of the fakes' share, as scipy has it."""
    from scipy.stats import binomtest

    for lost in (0, 1, 30):
        found = class_retention(of_classes(9_700_000, 300_000), of_classes(60 - lost, lost), classes="1")["1"]
        wilson = binomtest(lost, 60).proportion_ci(method="wilson")
        assert [found.low, found.high] == pytest.approx([wilson.low / 0.03, wilson.high / 0.03], rel=1e-4)


def test_a_planted_rare_class_is_lost_by_the_law():
    """A category with p = .003 in a fully synthetic loop with n = 1000: each generation's samples against the truth.

    Generation g has g + 1 fits behind it, and what it draws is the next training set: lost with the exact chance of
    g + 2 draws of n. The first training set, of real samples, is lost with that of one draw: where the first model has
    no share. 400 loops, to 4.5 standard errors as everywhere in the oracles; a generation more or less would change the
    chance by eight of them.
    """
    n, generations, truth = 1000, 9, np.array([0.997, 0.003])
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    options, population = {"categories": 2}, {"probabilities": truth.tolist()}
    lines = loops("multinomial", options, population, regime, generations, 400, made=n)
    look, real = FEATURES["identity"].extract, of_classes(99_700, 300)
    kept, share = np.empty((400, generations)), np.empty((400, generations))
    for replicate, line in enumerate(lines):
        for generation, model in enumerate(line[:generations]):
            seed = seeds.seed_of(STUDY_SEED, replicate, generation, f"sample/{STREAM}")
            found = class_retention(real, look(model.sample(Ask(n, seed)).data), below=0.05)
            kept[replicate, generation], share[replicate, generation] = found["kept"], found["1"]
        # The next model is fitted to these samples: it knows the class just if it was kept.
        np.testing.assert_array_equal(kept[replicate] > 0, [model.probabilities[1] > 0 for model in line[1:]])
    lost = theory.extinction(generations, n, truth)[:, 1]
    assert lost[[0, 1, 4, 9]] == pytest.approx([0.0496, 0.1497, 0.3914, 0.5956], abs=6e-5)
    agrees(np.array([line[0].probabilities[1] == 0 for line in lines], float), lost[0])
    agrees(1 - kept, lost[1:])
    agrees(share, 1.0)  # what is left of it is 1 on average in every generation


def test_classes_that_are_not_there():
    real = of_classes(50, 50)
    with pytest.raises(Undefined, match=r"real: no class has a share below 0\.05"):
        class_retention(real, real)
    with pytest.raises(Undefined, match="real: of the classes 5,6 none occurs"):
        class_retention(real, real, classes="5,6")
    with pytest.raises(Undefined, match="fake: the extractor predicts no classes"):
        class_retention(real, np.zeros((3, 1)))
    with pytest.raises(Undefined, match="real: found 0 rows"):
        class_retention(of_classes(), real)


@pytest.mark.parametrize("wrong", [{"classes": "3;7"}, {"classes": "a"}, {"below": 0.0}, {"below": 1.5}])
def test_a_study_is_told_what_retention_would_refuse(wrong):
    with pytest.raises(ValidationError):
        METRICS["class_retention"].Options(**wrong)
    METRICS["class_retention"].Options(classes="3,7", below=0.01)


# -- tails of attributes --------------------------------------------------------------------------------------------


def draws(law, source, rows):
    """Laws without atoms, with some, and with nothing else."""
    return {
        "normal": lambda: source.normal(size=rows),
        "half is zero": lambda: np.maximum(source.normal(size=rows), 0),
        "whole numbers": lambda: source.integers(0, 5, rows).astype(float),
    }[law]()


LAWS = ["normal", "half is zero", "whole numbers"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rows_real, rows_fake, q", [(39, 20, 0.05), (100, 1, 0.1), (50, 30, 0.5)])
def test_tails_of_one_law_are_1_on_average(law, rows_real, rows_fake, q):
    """Exactly, by exchangeability: over 1500 replicates, to 4.5 of their standard errors."""
    source = np.random.default_rng(1)
    found = []
    for _ in range(1500):
        real, fake = draws(law, source, rows_real), draws(law, source, rows_fake)
        found.append(list(tail_coverage(column(real), column(fake), q=q).values()))
    agrees(np.array(found), 1.0)


def test_tails_are_counted_below_the_order_statistics():
    """19 real values and a tail of .1: k = 2 of 20, below the second smallest value and above the second largest."""
    real = column(np.arange(1.0, 20.0))
    found = tail_coverage(real, column([1.5, 1.9, 2.5, 10.0, 18.5]), q=0.1)
    assert found == {"0.low": pytest.approx(0.4 / 0.1), "0.high": pytest.approx(0.2 / 0.1)}
    # A tie with the second smallest has rank 2 or 3 with equal chance: half of it counts. Ranks below count whole.
    assert tail_coverage(real, column([2.0]), q=0.1)["0.low"] == pytest.approx(0.5 / 0.1)
    assert tail_coverage(real, column([1.0]), q=0.1)["0.low"] == pytest.approx(1 / 0.1)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rows_real, rows_fake, bins", [(30, 20, 7), (19, 5, 20), (60, 40, 10)])
def test_quantile_coverage_of_one_law_has_its_expectation(law, rows_real, rows_fake, bins):
    """Exactly, with the ties that atoms make: over 1500 replicates, to 4.5 of their standard errors."""
    source, found = np.random.default_rng(2), []
    for seed in range(1500):
        real, fake = column(draws(law, source, rows_real)), column(draws(law, source, rows_fake))
        found.append(quantile_coverage(real, fake, bins=bins, seed=seed)["0"])
    agrees(np.array(found), expected_quantile_coverage(rows_real, rows_fake, bins))


def test_the_expected_coverage_of_single_gaps():
    """With as many bins as gaps one is empty with N / (N + M): any of the values is equally likely to come first."""
    assert expected_quantile_coverage(19, 5, 20) == pytest.approx(1 - 19 / 24)
    assert expected_quantile_coverage(10_000, 10_000) == pytest.approx(1)


def test_a_fake_in_every_gap_covers_every_bin():
    real, between = column(np.arange(1.0, 20.0)), np.arange(0.5, 20.0)
    assert quantile_coverage(real, column(between)) == {"0": 1.0}
    assert quantile_coverage(real, column(between[3:])) == {"0": 0.85}


def test_a_range_that_shrinks_covers_fewer_bins():
    real = column(np.arange(1000.0))
    covered = [
        quantile_coverage(real, column(510.3 + width * np.linspace(-499, 499, 500)))["0"] for width in (1, 0.5, 0)
    ]
    assert covered == [1.0, pytest.approx(0.5, abs=0.1), 0.05]
    assert tail_coverage(real, column(500 + 0.5 * np.linspace(-499, 499, 500))) == {"0.low": 0, "0.high": 0}


def test_digits_that_turn_smooth_lose_the_tail_of_sharpness():
    digits = Digits().load().data
    real, fake = digits[:900], digits[900:]
    same, dull = (
        tail_coverage(attributes(real), attributes(fake)),
        tail_coverage(attributes(real), attributes(fake // 2)),
    )
    assert same["sharpness.high"].low < 1 < same["sharpness.high"].high
    assert dull["sharpness.high"] == 0 and dull["brightness.low"] > 5
    assert isinstance(dull["colourfulness.low"], Undefined)
    assert str(dull["colourfulness.low"]) == "real: colourfulness is 0 in every row, and has no tails"
    covered = quantile_coverage(attributes(real), attributes(fake // 2))
    assert covered["sharpness"] < 0.8 and isinstance(covered["colourfulness"], Undefined)


def test_tails_that_are_not_determined():
    few = column(np.arange(18.0))
    with pytest.raises(Undefined, match="real: found 18 rows, needed are at least 19"):
        tail_coverage(few, few)
    with pytest.raises(Undefined, match="real: found 18 rows, needed are at least 19"):
        quantile_coverage(few, few)
    with pytest.raises(Undefined, match="fake: found 0 rows"):
        tail_coverage(column(np.arange(19.0)), column([]))
    with pytest.raises(ValueError, match="allowed are the same on both sides"):
        tail_coverage(np.zeros((30, 2)), np.zeros((30, 3)))


# -- attributes -----------------------------------------------------------------------------------------------------


def attribute_of(image, name):
    found = attributes(np.asarray(image, np.uint8)[None])
    return found.values[0, found.names.index(name)]


def test_attributes_in_closed_form():
    half = np.zeros((1, 4, 4))
    half[..., 2:] = 100
    assert attribute_of(half, "brightness") == 50 and attribute_of(half, "contrast") == 50
    # The Laplacian is 0 but on the two columns beside the edge, where it is +100 and -100; the border has no edge.
    assert attribute_of(half, "sharpness") == pytest.approx(100**2 / 2)
    point = np.zeros((1, 5, 5))
    point[0, 2, 2] = 10
    assert attribute_of(point, "sharpness") == pytest.approx((40**2 + 4 * 10**2) / 25)  # it adds up to 0
    # Half red, half blue: R - G is 255 or 0, (R + G) / 2 - B is 127.5 or -255.
    flag = np.zeros((3, 2, 2))
    flag[0, 0], flag[2, 1] = 255, 255
    spread, shift = np.hypot(127.5, 191.25), np.hypot(127.5, -63.75)
    assert attribute_of(flag, "colourfulness") == pytest.approx(spread + 0.3 * shift)
    assert attribute_of(flag, "brightness") == pytest.approx(255 * (0.299 + 0.114) / 2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (3, 1, 7), (1, 6, 6)])
def test_attributes_of_constant_images(shape):
    found = attributes(np.full((2, *shape), 77, np.uint8)).values
    np.testing.assert_array_equal(found, [[77, 0, 0, 0]] * 2)


def test_attributes_follow_contrast():
    """Of images with levels divided by two: all but sharpness, a variance, are halved; rows in the order of names."""
    images = 2 * np.random.default_rng(3).integers(0, 128, (5, 3, 6, 6), dtype=np.uint8)
    whole, half = attributes(images).values, attributes(images // 2).values
    np.testing.assert_allclose(whole / half, [[2, 2, 2, 4]] * 5)


def test_grey_images_have_no_colour():
    grey = np.random.default_rng(4).integers(0, 256, (5, 1, 6, 6), dtype=np.uint8)
    one, three = attributes(grey), attributes(grey.repeat(3, axis=1))
    np.testing.assert_array_equal(one.values, three.values)
    assert not one.values[:, one.names.index("colourfulness")].any()
    assert all(first != second for first, second in pairwise(one.values[:, 0]))
