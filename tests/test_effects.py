"""Differences between arms: their size, whether two arms are alike, and what a study of this size can see."""

import math

import made_up
import numpy as np
import pytest

from collapselab.verdicts import estimate
from collapselab.verdicts.effects import (
    contrasts,
    is_alike,
    power,
    resolution,
    seeds_needed,
    smallest_effect,
    standardised,
)


def of(*numbers):
    return estimate({"loop": np.array(numbers, np.float64)})["loop"]


def test_power_is_that_of_the_tables():
    """One sample, two-sided at 5 %, 80 %: 34 for half a standard deviation, 15 for .8, 199 for .2 (Cohen 1988)."""
    assert [seeds_needed(effect, 1.0) for effect in (0.5, 0.8, 0.2)] == [34, 15, 199]
    assert power(0.5, 1.0, 34) > 0.8 > power(0.5, 1.0, 33)
    assert power(0.0, 1.0, 10) == pytest.approx(0.05)
    assert smallest_effect(2.0, 34) == pytest.approx(2 * smallest_effect(1.0, 34)) and smallest_effect(1.0, 34) < 0.5
    assert power(smallest_effect(1.0, 5), 1.0, 5) == pytest.approx(0.8)
    assert seeds_needed(1e-4, 1.0) is None and seeds_needed(100.0, 1.0) == 3


def test_power_is_how_often_the_test_finds_the_effect():
    draws, studies = np.random.default_rng(0), 2000
    found = sum(of(*draws.normal(1.2, 1.0, 6)).side > 0 for _ in range(studies)) / studies
    assert found == pytest.approx(power(1.2, 1.0, 6), abs=4 * math.sqrt(0.25 / studies))


def test_an_effect_is_in_standard_deviations_without_the_bias_of_few():
    """E d = g / J over draws: of 4 normal numbers with mean 1 and sd 1 the mean of Hedges' g is 1."""
    draws = np.random.default_rng(1).normal(1.0, 1.0, (4000, 6))
    found = np.array([standardised(of(*row)) for row in draws])
    assert found.mean() == pytest.approx(1.0, abs=4 * found.std() / math.sqrt(len(found)) + 0.01)
    assert standardised(of(1.0, 2.0, 3.0)) == pytest.approx(2 * (1 - 3 / 7))
    assert math.isnan(standardised(of(1.0))) and math.isnan(standardised(of(1.0, 1.0, 1.0)))


def test_alike_is_shown_and_not_assumed():
    """Two one-sided tests: at the margin itself 5 of 100 studies call two arms alike, far from it none and all."""
    draws, studies = np.random.default_rng(2), 2000
    at = sum(is_alike(of(*draws.normal(1.0, 0.3, 8)), 1.0) for _ in range(studies)) / studies
    assert at == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / studies))
    assert is_alike(of(0.01, -0.01, 0.02), 1.0) and not is_alike(of(0.5, -0.5, 3.0), 1.0)
    assert not is_alike(of(0.01, -0.01), 1.0)  # two say nothing


def test_every_two_arms_stand_against_each_other():
    facts, records = made_up.facts(), made_up.records()
    found = {(one.arm, one.question.removeprefix("contrast.")): one for one in contrasts(facts, records)}
    arms = sorted(made_up.ARMS)
    assert list(found) == [(a, b) for i, a in enumerate(arms) for b in arms[i + 1 :]]
    one = found["control", "fully_synthetic"]
    assert (
        one.status == "higher slope" and one.numbers["mean"] == pytest.approx(0.08, abs=0.01) and one.numbers["g"] > 5
    )
    # A tenth of .85 over four generations.
    assert one.numbers["margin"] == pytest.approx(0.1 * 0.85 / 4, rel=0.05)
    assert found["control", "fresh_data"].status == "higher slope"  # by .01, which pairing sees
    twins = made_up.only(records, "recall")
    same = [one | {"arm": "fresh_data"} for one in twins if one["arm"] == "control"]
    both = [one for one in twins if one["arm"] != "fresh_data"] + same
    told = {(one.arm, one.words["other"]): one for one in contrasts(facts, both)}["control", "fresh_data"]
    assert told.status == "alike" and "takes the same course" in told.sentence
    few = contrasts(made_up.facts(seeds=2), made_up.records(seeds=2))
    assert {one.status for one in few} == {"inconclusive"}


def test_what_a_study_sees_depends_on_its_seeds():
    facts, records = made_up.facts(), made_up.records()
    found = {one.arm: one for one in resolution(facts, records)}
    assert set(found) == set(made_up.ARMS) - {"control"}
    for one in found.values():
        sd, n = one.numbers["sd"], one.numbers["lineages"]
        assert one.numbers["smallest_effect"] == pytest.approx(smallest_effect(sd, n)) and n == 3
        assert (one.status == "enough seeds") == (one.numbers["seeds_needed"] <= 3)
    assert resolution(made_up.facts(control=None), records) == []
    two = resolution(made_up.facts(seeds=2), made_up.records(seeds=2))
    assert {one.status for one in two} == {"cannot tell"}
