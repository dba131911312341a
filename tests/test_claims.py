"""What a paper claims, held against made-up records: that agree, that do not, and that are too noisy to tell."""

import numpy as np
import pytest

from collapselab.verdicts import Claim, Endpoint, StudyFacts, analyse
from collapselab.verdicts.claims import concluded, held, said

RECALL = Endpoint("recall", "lenet")
LAST = 3


def study(courses, claims, noise=0.01, seeds=5):
    """The facts and records of arms that follow straight lines from their first value to their last, with noise."""
    draws = np.random.default_rng(7)
    records = [
        {
            "arm": arm,
            "seed": seed,
            "generation": generation,
            "status": "ok",
            "values": [
                {
                    "metric": "recall",
                    "extractor": "lenet",
                    "set": "sampled",
                    "value": first + (last - first) * generation / LAST + draws.normal(0, noise),
                }
            ],
        }
        for arm, (first, last) in courses.items()
        for seed in range(seeds)
        for generation in range(LAST + 1)
    ]
    facts = StudyFacts("paper", dict.fromkeys(courses, "an arm"), RECALL, seeds, LAST, claims=tuple(claims))
    return facts, records


def statuses(courses, *claims, **how):
    return [one.status for one in held(*study(courses, claims, **how))]


def claim(is_, arm="loop", **more):
    return Claim(arm, RECALL, is_, **more)


LOOPS = {"loop": (0.9, 0.5), "fresh": (0.9, 0.88)}

TRUE = [
    claim("falls"),
    claim("falls", value=0.3),
    claim("falls", by="ratio", value=0.7),
    claim("stays", arm="fresh", within=0.1),
    claim("stays", arm="fresh", within=0.1, by="ratio"),
    claim("below", than="fresh"),
    claim("below", than="fresh", value=-0.2),
    claim("above", arm="fresh", than="loop", by="ratio", value=1.5),
    claim("near", value=0.5, within=0.05),
    claim("near", than="fresh", value=-0.38, within=0.05),
    claim("near", than="fresh", by="ratio", value=0.568, within=0.05),
    claim("near", value=0.9, within=0.05, at=0),
    claim("falls", since=1, at=2),
    claim("below", since=0, by="ratio", value=0.7),
    claim("below", since=0, value=-0.2),
]
FALSE = [
    claim("rises"),
    claim("falls", value=0.5),
    claim("falls", by="ratio", value=0.4),
    claim("stays", within=0.1),
    claim("stays", within=0.1, by="ratio"),
    claim("above", than="fresh"),
    claim("below", than="fresh", value=-0.5),
    claim("above", arm="fresh", than="loop", by="ratio", value=2),
    claim("near", value=0.7, within=0.05),
    claim("near", than="fresh", value=0, within=0.05),
    claim("near", than="fresh", by="ratio", value=1, within=0.05),
]


@pytest.mark.parametrize("one", TRUE, ids=lambda one: said(one, LAST, "recall"))
def test_what_is_there_agrees(one):
    assert statuses(LOOPS, one) == ["agrees"]


@pytest.mark.parametrize("one", FALSE, ids=lambda one: said(one, LAST, "recall"))
def test_what_is_otherwise_does_not_agree(one):
    assert statuses(LOOPS, one) == ["does not agree"]


@pytest.mark.parametrize("one", [*TRUE, *FALSE], ids=lambda one: said(one, LAST, "recall"))
def test_nobody_can_tell_from_too_much_noise_or_from_two_lineages(one):
    assert statuses(LOOPS, one, noise=2.0) == ["cannot tell"]
    (two,) = held(*study(LOOPS, [one], seeds=2))
    assert two.status == "cannot tell" and "at least 3 lineages" in two.why


def test_an_interval_across_a_bound_cannot_tell():
    """The bound is the mean itself, so that the 95 % interval has it on both sides, whatever the noise."""
    (one,) = held(*study(LOOPS, [claim("near", value=0, within=9)]))
    assert statuses(LOOPS, claim("above", value=one.mean)) == ["cannot tell"]
    assert statuses(LOOPS, claim("near", value=one.mean + 0.1, within=0.1)) == ["cannot tell"]


def test_equal_lineages_tell_only_what_lies_on_the_claim_itself():
    flat = {"loop": (1.0, 1.0), "fresh": (1.0, 1.0)}
    found = held(*study(flat, [claim("above", value=0.5), claim("stays", within=0.1), claim("rises")], noise=0))
    assert [one.status for one in found] == ["cannot tell", "agrees", "does not agree"]
    assert "no spread" in found[0].why


def test_of_many_claims_one_misses_by_chance():
    """Twenty claims at the edge of an interval: one alone does not agree, among twenty nobody can tell."""
    facts, records = study(LOOPS, [claim("near", value=0, within=9)])
    (one,) = held(facts, records)
    edge = claim("above", value=one.high + 0.1 * (one.high - one.mean))
    assert statuses(LOOPS, edge) == ["does not agree"]
    # Holm multiplies the smallest of p-values that count; others like it make it 20 times its own.
    many = held(*study(LOOPS, [edge] * 20))
    assert {one.status for one in many} == {"cannot tell"} and "Holm" in many[0].why


def test_a_ratio_needs_something_to_be_a_ratio_of():
    (one,) = held(*study({"loop": (0.5, 0.5), "fresh": (0, 0)}, [claim("above", than="fresh", by="ratio", value=1)]))
    assert one.status == "cannot tell" and "above 0" in one.why


def test_lineages_without_a_value_do_not_count():
    facts, records = study(LOOPS, [claim("falls")])
    gone = [one for one in records if not (one["seed"] == 0 and one["generation"] == LAST)]
    (one,) = held(facts, gone)
    assert one.pairs.seeds == [1, 2, 3, 4] and one.status == "agrees"
    (none,) = held(*study(LOOPS, [claim("falls", at=9)]))
    assert none.status == "cannot tell" and not none.pairs.seeds


def test_one_claim_that_does_not_agree_is_enough_and_all_have_to_agree():
    assert concluded(["agrees", "agrees"]) == "agrees"
    assert concluded(["agrees", "cannot tell"]) == "cannot tell"
    assert concluded(["agrees", "cannot tell", "does not agree"]) == "does not agree"
    assert concluded([]) == "cannot tell"


def test_the_report_has_a_finding_for_each_claim():
    facts, records = study(LOOPS, [claim("falls"), claim("above", arm="fresh", than="loop")])
    found = analyse(facts, records)["claims"]
    assert [(one.question, one.arm, one.status) for one in found] == [
        ("claim.0", "loop", "agrees"),
        ("claim.1", "fresh", "agrees"),
    ]
    assert found[0].sentence.startswith("Claimed: Recall (lenet) of `loop` falls from generation 0 to 3. Found: −0.")
    assert "95 % interval" in found[0].sentence and "5 lineages" in found[0].sentence
    without = study(LOOPS, [])
    assert analyse(*without)["claims"] == []
