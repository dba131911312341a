"""Halvings foretold: known rates are found, intervals hold the truth, what does not collapse is not said to."""

import math

import numpy as np
import pytest

from collapselab.verdicts import Endpoint, StudyFacts
from collapselab.verdicts.curves import candidates, exponential, fit, halving, halvings, hyperbolic, neighbours
from collapselab.verdicts.forecast import FEWEST_POINTS, crossing, endpoint_of, forecast

SHAPES = {"exponential": exponential, "hyperbolic": hyperbolic, "exponential to a floor": exponential}
FLOOR = {"exponential": 0.0, "hyperbolic": 0.0, "exponential to a floor": 0.2}


def study(curves, metric="recall", **changes):
    """Facts and records of curves: arm -> (seeds, generations + 1), NaN where there is none."""
    records = []
    for arm, lines in curves.items():
        for seed, line in enumerate(lines):
            for generation, value in enumerate(line):
                entry = {"metric": metric, "extractor": "pixels", "set": "sampled"}
                values = [entry | {"value": float(value)}] if np.isfinite(value) else []
                where = {"arm": arm, "seed": seed, "generation": generation, "status": "ok", "values": values}
                records.append(where)
    shape = next(iter(curves.values())).shape
    given = {"name": "study", "arms": dict.fromkeys(curves, "a loop"), "primary": Endpoint(metric, "pixels")}
    return StudyFacts(**(given | {"seeds": shape[0], "generations": shape[1] - 1} | changes)), records


def collapsing(draws, law, rate=1 / 12, seeds=5, generations=20, noise=0.01, start=0.9):
    rates, floor = rate * (1 + 0.1 * draws.normal(size=(seeds, 1))), FLOOR[law]
    curves = floor + (1 - floor) * SHAPES[law](rates * np.arange(generations + 1))
    return start * curves + draws.normal(0, noise, (seeds, generations + 1))


@pytest.mark.parametrize("law", SHAPES)
@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_a_curve_without_noise_gives_back_its_rate(law, floor):
    rates = np.array([0.002, 0.05, 0.3, 1.5, -0.03])
    values = 0.8 * (floor + (1 - floor) * SHAPES[law](rates[:, None] * np.arange(11)))
    values[1, 4] = np.nan
    found, residuals = fit(values, SHAPES[law], floor)
    assert found == pytest.approx(rates, rel=1e-4) and np.nansum(residuals**2) < 1e-10
    assert (np.isnan(residuals) == np.isnan(values)).all()


def test_halvings_follow_from_the_laws():
    for law, shape in SHAPES.items():
        floor = FLOOR[law]
        assert floor + (1 - floor) * shape(0.2 * halving(law, floor, 0.2)) == pytest.approx(0.5)
    assert halving("exponential", 0.0, 0.0) == halving("exponential to a floor", 0.5, 1.0) == math.inf


@pytest.mark.parametrize("law", SHAPES)
def test_the_intervals_hold_the_truth_as_often_as_they_say(law):
    """90 to 98 of 100, as far as so few studies can tell; ``bench/verdicts.py`` asks 1,000."""
    draws, studies = np.random.default_rng(7), 100
    truth = halving(law, FLOOR[law], 1 / 12)
    found = [forecast(*study({"loop": collapsing(draws, law)}))[0] for _ in range(studies)]
    assert all(one.status == "forecast" and one.numbers["fitted"] == 10 for one in found)
    hits = sum(one.numbers["low"] <= truth <= one.numbers["high"] for one in found)
    error = 3 * math.sqrt(0.95 * 0.05 / studies)
    assert 0.90 - error / 2 < hits / studies < 0.98 + error / 2
    others = sum(one.numbers["low"] <= 1.3 * truth <= one.numbers["high"] for one in found)
    assert others < studies / 2  # so that the line above can fail
    assert sum(one.words["law"].startswith(law) for one in found) > 0.7 * studies
    errors = [one.numbers["error"] for one in found]
    assert abs(np.nanmean(errors)) < 0.7


def test_laws_are_weighed_by_what_they_leave_over():
    """S^(-(n - 2L) / 2), and of a floor an equal part of it for each of the grid."""
    draws = np.random.default_rng(8)
    values = collapsing(draws, "hyperbolic", 1 / 6, seeds=4, generations=6)
    squares = {name: np.nansum(fit(values, SHAPES[name])[1] ** 2) for name in ("exponential", "hyperbolic")}
    chances = {one.law: one.probability for one in candidates(values) if not one.floor}
    assert sum(one.probability for one in candidates(values)) == pytest.approx(1.0)
    _, residuals = fit(values, hyperbolic)
    together = max(0.0, neighbours(residuals))
    power = (28 * (1 - together) / (1 + together) - 8) / 2
    expected = (squares["exponential"] / squares["hyperbolic"]) ** -power
    assert chances["exponential"] / chances["hyperbolic"] == pytest.approx(expected, rel=0.05)


def test_neighbours_of_a_walk_are_alike_and_those_of_noise_are_not():
    noise = np.random.default_rng(9).normal(size=(200, 30))
    assert neighbours(noise) == pytest.approx(0, abs=4 / math.sqrt(noise.size))
    walk = np.cumsum(noise, axis=1)
    assert neighbours(walk - walk.mean(axis=1, keepdims=True)) > 0.6
    holed = np.where(np.random.default_rng(1).random(noise.shape) < 0.1, np.nan, noise)
    assert neighbours(holed) == pytest.approx(0, abs=4 / math.sqrt(noise.size)) and neighbours(0 * noise) == 0


def test_the_law_is_each_arm_s_own():
    draws = np.random.default_rng(8)
    fast, slow = collapsing(draws, "hyperbolic", 1 / 6, seeds=8), collapsing(draws, "exponential", 1 / 12, seeds=8)
    found = forecast(*study({"fast": fast, "slow": slow, "still": 0.9 + draws.normal(0, 0.01, (8, 21))}))
    assert [one.words["law"].split(" 0")[0].split(" 1")[0] for one in found] == ["hyperbolic", "exponential", ""]
    assert [one.status for one in found] == ["forecast", "forecast", "no halving in sight"]
    assert found[0].numbers["generation"] < 8 < found[1].numbers["generation"]
    alone = forecast(*study({"slow": slow}))[0]
    assert alone.numbers == found[1].numbers  # whatever the other arms are, but for the correction over them


def test_mixed_laws_reach_as_far_as_each_of_them():
    """Two laws of which one never halves: its probability is that of no halving."""
    from collapselab.verdicts.curves import Candidate

    rates = np.array([0.09, 0.1, 0.11])
    both = [Candidate("exponential", 0.0, rates, 0.6), Candidate("exponential to a floor", 0.7, rates, 0.4)]
    low, middle, high = halvings(both, (0.025, 0.5, 0.975))
    assert low < math.log(2) / 0.1 < middle < math.log(2) / 0.08 and high == math.inf


@pytest.mark.parametrize("later", [0.0, 0.02])
def test_what_falls_no_more_is_not_foretold_to_halve(later):
    """Four generations that fall, and then a curve that stays or rises again: the later ones are known, and judge."""
    draws = np.random.default_rng(16)
    lines = collapsing(draws, "exponential", rate=1 / 8, generations=7, noise=0.003)
    lines[:, 4:] = lines[:, 3:4] + later * np.arange(1, 5) + np.abs(draws.normal(0, 0.003, (5, 4)))
    (one,) = forecast(*study({"loop": lines}))
    assert one.status == "no halving in sight" and one.numbers["generation"] == math.inf
    assert "falls up to generation 3 and no more from there to 7" in one.sentence


@pytest.mark.parametrize("trend", [0.0, 0.01])
def test_what_does_not_fall_is_not_said_to_halve(trend):
    draws, studies, false = np.random.default_rng(9), 100, 0
    for _ in range(studies):
        lines = 0.6 + trend * np.arange(13) + draws.normal(0, 0.02, (4, 13))
        (one,) = forecast(*study({"loop": lines}))
        false += one.status == "forecast"
        assert one.status == "forecast" or one.numbers["high"] == math.inf or one.numbers["low"] > 60
    assert false / studies < 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    rising = 0.6 + 0.01 * np.arange(13) + draws.normal(0, 0.02, (4, 13))
    (one,) = forecast(*study({"loop": rising}))
    assert "no halving in sight, later than 6" in one.sentence and one.numbers["low"] == 6


def test_noise_widens_the_interval_and_may_leave_it_open():
    draws = np.random.default_rng(10)
    widths = []
    for noise in (0.005, 0.1):
        (one,) = forecast(*study({"loop": collapsing(draws, "exponential", seeds=6, noise=noise)}))
        widths.append(one.numbers["high"] - one.numbers["low"])
    assert widths[1] > 3 * widths[0]
    slow = np.array([0.9 * exponential(rate * np.arange(21)) for rate in (0.04, 0.02, 0.01, 0.001, 0.0005, 0.0)])
    (one,) = forecast(*study({"loop": slow}))
    assert (
        one.status != "forecast"
        or one.numbers["high"] == math.inf
        or one.numbers["high"] > 2 * one.numbers["generation"]
    )


def test_a_halving_that_the_study_does_not_reach_is_later_than_its_end():
    draws = np.random.default_rng(11)
    (one,) = forecast(*study({"loop": collapsing(draws, "exponential", rate=1 / 60, noise=0.002, seeds=8)}))
    assert one.status == "forecast" and one.numbers["measured"] == math.inf and math.isnan(one.numbers["error"])
    assert one.numbers["low"] < 60 * math.log(2) < one.numbers["high"] and "not halved by generation 20" in one.sentence
    assert "later than foretold" not in one.sentence
    bent = collapsing(draws, "exponential", rate=1 / 12, noise=0.002, seeds=8)
    bent[:, 6:] = bent[:, 6:7]  # it stops falling just after what is looked at
    (one,) = forecast(*study({"loop": bent}), fitted=6)
    assert one.status == "no halving in sight" and "no more from there to 20" in one.sentence
    slower = collapsing(draws, "exponential", rate=1 / 12, noise=0.002, seeds=8)
    slower[:, 6:] = slower[:, 6:7] * np.exp(-np.arange(15) / 200)  # it falls at a twentieth of its pace from there
    (one,) = forecast(*study({"loop": slower}), fitted=6)
    assert one.status == "forecast" and "at least 1" in one.sentence and "later than foretold" in one.sentence


def test_an_arm_that_levels_off_above_half_does_not_halve():
    draws, time = np.random.default_rng(12), np.arange(21)
    level = 0.9 * (0.7 + 0.3 * np.exp(-time / 2)) + draws.normal(0, 0.003, (6, 21))
    deep = 0.9 * (0.2 + 0.8 * np.exp(-time / 8)) + draws.normal(0, 0.003, (6, 21))
    high, low = forecast(*study({"level": level, "deep": deep}))
    assert high.words["law"].startswith("exponential to a floor") and low.words["law"].startswith("exponential to a")
    assert (high.status, high.numbers["floor"], high.numbers["generation"]) == ("no halving in sight", 0.7, math.inf)
    assert "levels off at about 70%" in high.sentence
    assert low.numbers["floor"] == pytest.approx(0.2, abs=0.06)
    assert low.numbers["generation"] == pytest.approx(8 * math.log(0.8 / 0.3), rel=0.05)


def test_what_halves_early_was_there_already():
    draws = np.random.default_rng(13)
    (one,) = forecast(*study({"loop": collapsing(draws, "exponential", rate=0.5)}))
    assert one.numbers["measured"] < one.numbers["fitted"] and "It was there already" in one.sentence


def test_lineages_that_wander_halve_when_half_of_them_are_below_their_half():
    """log r_t is normal with mean -0.02 t: its median halves at 34.7, though lineages first touch the half at 24."""
    draws = np.random.default_rng(15)
    lines = np.exp(np.cumsum(draws.normal(-0.02, 0.14, (1000, 51)), axis=1))
    (one,) = forecast(*study({"loop": lines}, "variance_ratio"))
    touches = sorted(crossing(dict(enumerate(line))) for line in lines)[499]
    assert touches < 27 and one.numbers["measured"] == pytest.approx(math.log(2) / 0.02, abs=4)
    gone = lines.copy()
    gone[:300, 30:] = np.nan  # those that diverge are not counted from then on
    (one,) = forecast(*study({"loop": gone}, "variance_ratio"))
    assert one.numbers["measured"] == pytest.approx(math.log(2) / 0.02, abs=5)


def test_few_lineages_and_few_generations_tell_nothing():
    draws = np.random.default_rng(14)
    lines = collapsing(draws, "exponential", seeds=5)
    (one,) = forecast(*study({"loop": lines[:2]}))
    assert one.status == "cannot tell" and "at least 3 lineages" in one.sentence and one.numbers["lineages"] == 2
    lines[:3, 3:] = np.nan  # three diverge: too short to be fitted
    (one,) = forecast(*study({"loop": lines}))
    assert one.status == "cannot tell" and one.numbers["lineages"] == 2
    assert forecast(*study({"loop": lines[:, :3]})) == []
    (short,) = forecast(*study({"loop": collapsing(draws, "exponential", generations=4)}))
    assert short.numbers["fitted"] == FEWEST_POINTS - 1


def test_a_crossing_is_interpolated():
    assert crossing({0: 1.0, 1: 0.8, 3: 0.4}) == pytest.approx(2.5)
    assert crossing({0: 1.0, 1: 0.5}) == 1 and crossing({0: 1.0, 1: 0.6}) == math.inf


def test_what_halves_is_the_primary_where_it_can_and_recall_else():
    lines = np.ones((3, 5))
    facts, records = study({"loop": lines}, "variance_ratio")
    assert endpoint_of(facts, records) == Endpoint("variance_ratio", "pixels")
    other = [
        record | {"values": [*record["values"], record["values"][0] | {"metric": "recall", "extractor": "lenet"}]}
        for record in records
    ]
    distance = StudyFacts(
        name="s", arms=facts.arms, primary=Endpoint("frechet_distance", "pixels"), seeds=3, generations=4
    )
    assert endpoint_of(distance, other) == Endpoint("recall", "lenet")
    assert endpoint_of(distance, study({"loop": lines}, "frechet_distance")[1]) is None
    assert forecast(*study({"loop": lines}, "frechet_distance")) == []


def test_a_forecast_does_not_contradict_what_it_was_fitted_to():
    draws, time = np.random.default_rng(0), np.arange(11.0)
    (equal,) = forecast(*study({"loop": np.tile(np.exp(-time / 3), (3, 1))}))
    assert equal.status == "cannot tell" and "All 3 lineages are equal" in equal.sentence, equal.sentence

    # What halves at once and comes back by chance has halved: no word of a halving that is not in sight.
    wild = np.array([[1, 0.3, 1.6, 0.4, 1.2, 0.9], [1, 0.4, 0.2, 1.9, 0.3, 2.0], [1, 0.2, 0.9, 0.1, 1.4, 0.5]])
    (one,) = forecast(*study({"loop": wild}))
    assert one.status == "cannot tell" and "in sight" not in one.sentence and "halved at 0.714" in one.sentence

    # A fall that needs millions of generations, told by a number.
    slow = 1 - 1e-9 * time + draws.normal(0, 1e-11, (5, 11))
    (late,) = forecast(*study({"loop": slow}))
    assert late.status == "no halving in sight" and "inf" not in late.sentence, late.sentence

    # So many floors share the chances of one law, of which each has less than a law without one.
    draws = np.random.default_rng(69)
    pace, noise = draws.uniform(0.05, 0.6), draws.choice([0.02, 0.05, 0.1])
    line = 1 - pace * np.arange(6.0) / 6 + draws.normal(0, noise, (4, 6))
    (one,) = forecast(*study({"loop": line}), fitted=5)
    assert "levels off at about 62%" in one.sentence and one.numbers["floor"] == pytest.approx(0.62, abs=0.01)
