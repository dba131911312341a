"""What people say is kept: rules, ties, lots and weights, on ballots that are counted by hand."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab.core.sets import Ballots, SampleSet
from collapselab.select.base import Pool
from collapselab.select.people import PeopleOptions, people, tally_of, weights_of
from collapselab.select.simulated import POLICIES, Simulated
from collapselab.store.cells import Cell

# Of six samples: 2 of 2, 1 of 2, 0 of 2, 2 of 3, 1 of 1, and one that nobody has judged.
SAID = {"a": "g b b g g .", "b": "g g b g . .", "c": ". . . b . ."}


def ballots_of(said=SAID, **lineage):
    """Judgements of a table: g and b are good and bad, and a dot is none."""
    words = {"g": "good", "b": "bad"}
    found = [
        (row, judge, words[letter])
        for judge, line in said.items()
        for row, letter in enumerate(line.split())
        if letter != "."
    ]
    rows, judges, answers = zip(*found, strict=True)
    return Ballots(np.array(rows), judges, answers, np.full(len(rows), np.nan), lineage)


def kept(ballots, count=6, seed=0, **options):
    pool = Pool(SampleSet(np.zeros((count, 1, 2, 2), np.uint8)), Cell("study", "arm", 0, 1), ballots=ballots)
    return people(pool, PeopleOptions(**{"share": 1.0, "judges": 3, "unjudged": "keep"} | options), seed)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"rule": "majority"}, [0, 3, 4]),
        ({"rule": "majority", "ties": "keep"}, [0, 1, 3, 4]),
        ({"rule": "any"}, [0, 1, 3, 4]),
        ({"rule": "all"}, [0, 4]),
        ({"rule": "k_of_n", "k": 2, "overlap": 3}, [0, 3]),
    ],
)
def test_each_rule_keeps_what_it_calls_good(options, rows):
    assert kept(ballots_of(), **options).rows.tolist() == [*rows, 5]
    if options["rule"] == "majority":  # and what nobody has judged goes where the study says so
        found = kept(ballots_of(), **options, unjudged="drop", per_judge=2, share=0.9)
        assert found.rows.tolist() == rows
        assert found.scores.tolist() == [{0: 1, 1: 0.5, 3: 2 / 3, 4: 1}[row] for row in rows]
        assert found.reasons[0] == "good to 2 of 2" and found.judge == "people"


def test_the_most_approved_come_first_and_what_nobody_judged_last():
    full = {0, 4}
    assert set(kept(ballots_of(), share=0.34).rows.tolist()) == full
    assert set(kept(ballots_of(), share=0.5).rows.tolist()) == full | {3}
    assert set(kept(ballots_of(), share=0.67).rows.tolist()) == full | {3, 5}
    last = kept(ballots_of(), share=0.67)
    assert np.isnan(last.scores[-1]) and last.reasons[-1] == "judged by nobody"


def test_of_equally_approved_ones_the_lot_decides_and_each_is_as_likely():
    """Of ten that all call good three are kept: in 600 lots each comes up within 99.99 % of a binomial law."""
    said = ballots_of({"a": " ".join("g" * 10)})
    counts = np.zeros(10)
    for seed in range(600):
        counts[kept(said, 10, seed, share=0.3).rows] += 1
    deviation = math.sqrt(600 * 0.3 * 0.7)
    assert counts.sum() == 1800 and (np.abs(counts - 180) < 3.9 * deviation).all() and np.ptp(counts) > 0


def test_judges_weigh_by_what_gold_says_of_them():
    """One right in 9 of 10 outvotes two who are right in 5 of 10, and counts against where wrong in 9 of 10."""
    said = ballots_of(
        {"sharp": "g b g", "blunt": "b g g", "coin": "b g b"},
        checks={"sharp": {"gold": [9, 10]}, "blunt": {"gold": [5, 10]}, "coin": {"gold": [5, 10]}},
    )
    assert weights_of(said) == {"sharp": pytest.approx(math.log(5)), "blunt": 0.0, "coin": 0.0}
    assert kept(said, 3, rule="weighted").rows.tolist() == [0, 2]
    assert kept(said, 3, rule="majority").rows.tolist() == [1, 2]
    contrary = Ballots(said.rows, said.judges, said.answers, said.seconds, {"checks": {"sharp": {"gold": [1, 10]}}})
    assert kept(contrary, 3, rule="weighted").rows.tolist() == [1]
    with pytest.raises(ValueError, match="no answers to gold images"):
        kept(ballots_of(), rule="weighted")


def test_what_is_shown_again_is_no_second_vote():
    said = Ballots(np.array([0, 0, 0]), ("a", "b", "a"), ("good", "good", "bad"), np.zeros(3))
    tally = tally_of(said, 2)
    assert tally.good.tolist() == [2, 0] and tally.bad.tolist() == [0, 0]
    assert said.votes.tolist() == [0, 1]


def test_ballots_of_other_samples_and_unknown_answers_are_named():
    with pytest.raises(ValueError, match="rows 0 to 4, allowed are those of 3 samples"):
        kept(ballots_of(), 3)
    odd = Ballots(np.array([0]), ("a",), ("gut",), np.zeros(1))
    with pytest.raises(ValueError, match="found 'gut', allowed are good and bad"):
        kept(odd, 2)


def test_options_that_cannot_go_together_are_refused():
    for said, words in [
        ({"rule": "k_of_n"}, "k_of_n needs it"),
        ({"k": 1}, "no other rule has it"),
        ({"rule": "k_of_n", "k": 3, "overlap": 2}, "at most the 2 of overlap"),
        ({"rule": "weighted", "gold": 0}, "needs images whose answer is known"),
        ({"simulated": {"noisy": {}, "tired": {}}}, "found noisy, tired, allowed is one of"),
        ({"simulated": "sleepy"}, "sleepy"),
        ({"simulated": {"perfect": {}, "through": ["pixel"]}}, "unknown extractor of images 'pixel'"),
        ({"simulated": {"perfect": {}, "through": ["mark"]}}, "unknown extractor of images 'mark'; allowed: pixels"),
        ({"simulated": {"perfect": {}, "through": ["moments"]}}, "unknown extractor of images 'moments'"),
    ]:
        with pytest.raises(ValidationError, match=words):
            PeopleOptions(share=0.5, **said)
    few = PeopleOptions(share=0.5, judges=2, per_judge=10)
    assert few.keeps(40) == 20
    with pytest.raises(ValueError, match="judge 20; keep those or fewer"):
        few.keeps(42)
    assert PeopleOptions(share=0.5, judges=2, per_judge=10, unjudged="keep").keeps(42) == 21


def test_simulated_judges_are_said_by_name_and_survive_json():
    for name in POLICIES:
        said = {name: {"towards": 3}} if name == "biased" else name
        options = PeopleOptions(share=0.5, simulated=said)
        assert PeopleOptions.model_validate_json(options.model_dump_json()) == options
        assert type(options.simulated.policy).__name__.lower() == name
    assert kept(ballots_of(), simulated="perfect").judge == "simulated people"
    assert Simulated.model_validate({"graded": {"slope": 2}, "through": ["lenet"]}).policy.slope == 2
