"""Odds of an attribute: the metric, the law of guided odds through a real sampler, and the guide that undoes it."""

import math

import numpy as np
import pytest
import torch
from exact_denoisers import Mixtures, geometric, sampled

from collapselab import theory
from collapselab.core.errors import Undefined
from collapselab.features import Features
from collapselab.metrics import METRICS, attribute_odds

SHARE, ODDS = 0.8, 4.0
ROWS = 4000


def of_classes(*counts):
    classes = np.repeat(np.arange(len(counts)), counts)
    return Features(np.zeros((len(classes), 1)), classes)


# -- the metric --------------------------------------------------------------------------------------------------------


def test_odds_are_those_of_the_counts():
    found = attribute_odds(of_classes(80, 20), of_classes(94, 6))
    assert found.keys() == {"0", "1"}
    assert found["0"] == pytest.approx(94.5 / 6.5 / (80.5 / 20.5), rel=1e-12)
    assert found["0"] * found["1"] == pytest.approx(1, rel=1e-12)
    error = math.sqrt(1 / 94.5 + 1 / 6.5 + 1 / 80.5 + 1 / 20.5)
    assert math.log(found["0"].high / found["0"]) == pytest.approx(1.959963984540054 * error, rel=1e-12)
    assert math.log(found["0"] / found["0"].low) == pytest.approx(1.959963984540054 * error, rel=1e-12)


def test_a_lost_class_has_odds_near_0_and_other_classes_are_named():
    found = attribute_odds(of_classes(50, 30, 20), of_classes(60, 40))
    assert 0 < found["2"] < 0.05 and found["2"].high < 0.5
    asked = attribute_odds(of_classes(50, 30, 20), of_classes(60, 40), classes="1,7")
    assert asked["1"] == found["1"] and isinstance(asked["7"], Undefined)


def test_what_has_no_odds_is_undefined_and_bad_classes_are_refused():
    with pytest.raises(Undefined, match="all samples are of class 0"):
        attribute_odds(of_classes(9), of_classes(5, 4))
    with pytest.raises(ValueError, match="classes: found '1;2'"):
        attribute_odds(of_classes(5, 4), of_classes(5, 4), classes="1;2")


def test_the_interval_holds_the_true_odds_as_often_as_it_says():
    """Of 2,000 pairs of 200 rows: 95 % within three standard errors, .015."""
    dice, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        real, fake = (dice.binomial(200, share) for share in (0.8, 0.9))
        found = attribute_odds(of_classes(200 - real, real), of_classes(200 - fake, fake))["1"]
        inside += found.low <= 2.25 <= found.high
    assert abs(inside / 2000 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


# -- guided sampling ---------------------------------------------------------------------------------------------------

MODES = Mixtures(
    (
        ((SHARE, 1 - SHARE), (-2.0, 2.0), (0.25, 0.25)),  # what is asked for, which leaves the attribute open
        ((1.0,), (-2.0,), (0.25,)),  # the same with the attribute
        ((1.0,), (2.0,), (0.25,)),
    ),
    ((0.5, 0.5), (-2.0, 2.0), (0.25, 0.25)),
)


def guided(guide, draws=None):
    """The attribute of guided samples: class 0 left of the middle, class 1 right of it."""
    noise = torch.from_numpy(np.random.default_rng(7).standard_normal((ROWS, 1)))
    made = sampled(guide, Told(MODES), noise, geometric(64, high=200.0), sampler="heun", draws=draws)
    assert np.mean(np.abs(np.abs(made.numpy()) - 2) < 2) > 0.999  # near a mode
    return Features(made.numpy(), (made[:, 0] > 0).numpy().astype(np.int64))


class Told:
    """Exact denoisers, of which several may be asked at once, each told one class."""

    def __init__(self, exact):
        self.exact = exact

    def __call__(self, x, sigma, condition=None):
        return self.exact(x, sigma, condition)


REAL = of_classes(round(SHARE * 100_000), round((1 - SHARE) * 100_000))


@pytest.mark.parametrize(("w", "known"), [(0.0, 0.797), (1.0, 0.943), (3.0, 0.996)])
def test_guidance_takes_odds_to_about_the_power_1_plus_w(w, known):
    found = guided({"cfg": {"w": w}})
    share = np.mean(found.classes == 0)
    error = math.sqrt(known * (1 - known) / ROWS)
    assert abs(share - known) < 4 * error  # as a finer integration has it
    law = theory.guided_shares([SHARE, 1 - SHARE], w)[0]
    assert abs(share - law) < 4 * error + 0.004  # the law is about so: within .4 % here
    metric = attribute_odds(REAL, found)["0"]
    # ln of the metric is w ln 4 by the law, and within its own interval's width of it
    assert abs(math.log(metric) - w * math.log(ODDS)) < 2 * math.log(metric.high / metric)
    assert theory.guided_odds(ODDS, w) == pytest.approx(law / (1 - law), rel=1e-12)


def test_80_20_becomes_94_6():
    assert theory.guided_shares([0.8, 0.2], 1) == pytest.approx([0.941, 0.059], abs=5e-4)
    assert theory.guided_shares([0.8, 0.2], 1, [0.8, 0.2]) == pytest.approx([0.8, 0.2])  # nothing sets them apart
    assert theory.guided_shares([1.0, 0.0], 3).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("w", [0.0, 1.0, 6.5])
@pytest.mark.parametrize("shares", [None, (SHARE, 1 - SHARE)])
def test_fair_guidance_has_the_odds_that_are_asked_for_at_every_weight(w, shares):
    def draws(number):
        return torch.from_numpy(np.random.default_rng(100 + number).standard_normal((ROWS, 1)))

    found = guided({"fair": {"classes": (1, 2), "shares": shares, "w": w}}, draws)
    wanted = (shares or (0.5, 0.5))[0]
    assert abs(np.mean(found.classes == 0) - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / ROWS)


def test_it_is_measured_of_every_extractor_that_tells_classes():
    assert METRICS["attribute_odds"].reads == "classes" and not METRICS["attribute_odds"].extractors


# -- variances ---------------------------------------------------------------------------------------------------------


def test_the_laws_of_variances():
    assert theory.guided_variances(4, 1.0, 4.0, 0.25) == pytest.approx([0.669, 0.411, 0.227, 0.109, 0.044], abs=1e-3)
    assert theory.guided_variance(1.0, 0.25, 0.5) == 2.0  # away from a narrower model it widens
    for factor in (0.9, 0.7, 0.5):
        base = factor * 1.0
        assert base * theory.reinflation(factor, 1.0) == pytest.approx(1.0, rel=1e-12)
        assert theory.guided_variance(base, factor * base, 1.0) == pytest.approx(1.0, rel=1e-12)
