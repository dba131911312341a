"""What selecting does, beside chance, what that is worth, and what a study too small for it says."""

from dataclasses import replace

import made_up
import numpy as np
import pytest

from collapselab.verdicts import Endpoint, Selected
from collapselab.verdicts.effects import contrasts, resolution, smallest_effect
from collapselab.verdicts.filters import FILTER, filtering, price
from collapselab.verdicts.primary import slope_against_control

# Of the made-up arms one whose recall falls slowly stands for a filter, one whose falls fast for chance.
SELECTED = {"synthetic_augmentation": Selected("fully_synthetic", 800, 25)}


def told(seeds=3, **changes):
    facts = made_up.facts(selected=SELECTED, seeds=seeds) if not changes else made_up.facts(**changes)
    return {(one.question, one.words["features"]): one for one in filtering(facts, made_up.records(seeds=seeds))}


def test_the_effect_is_what_the_last_generations_differ_by_in_pairs_of_one_seed():
    """By construction recall is higher by .04 a generation of four, times .9 in the pixels; risk e^(-.25 t) lower."""
    found = told()
    assert set(found) == {
        (f"filter.{metric}", space) for metric in ("recall", "frechet_distance") for space in ("lenet", "pixels")
    }
    one = found["filter.recall", "lenet"]
    assert one.status == "better" and one.numbers["mean"] == pytest.approx(0.16, abs=0.01)
    assert (one.numbers["generation"], one.numbers["lineages"], one.numbers["judges"]) == (4, 3, 25)
    assert found["filter.frechet_distance", "lenet"].status == "better"
    assert found["filter.frechet_distance", "lenet"].numbers["mean"] < 0
    assert f"a difference of {one.numbers['smallest_effect']:.2g}" in one.sentence
    # The smallest effect is that of the spread of these pairs.
    values = {}
    for record in made_up.records():
        for entry in record["values"]:
            if (entry["metric"], entry["extractor"], entry["set"]) == ("recall", "lenet", "sampled"):
                values[record["arm"], record["seed"], record["generation"]] = entry["value"]
    pairs = [values["synthetic_augmentation", s, 4] - values["fully_synthetic", s, 4] for s in range(3)]
    assert one.numbers["mean"] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert one.numbers["smallest_effect"] == pytest.approx(smallest_effect(np.std(pairs, ddof=1), 3), rel=1e-6)


def test_the_other_way_round_the_filter_does_harm():
    other = {"fully_synthetic": Selected("synthetic_augmentation")}
    found = told(selected=other)
    assert {one.status for one in found.values()} == {"worse"} and "judges" not in found[
        "filter.recall", "lenet"
    ].numbers


def test_a_row_in_the_features_that_a_selector_reads_says_so():
    """Which the primary endpoint is not allowed to be, and the other metrics are."""
    reads = {"synthetic_augmentation": Selected("fully_synthetic", 800, reads=("pixels", "lenet"))}
    for blind, seeing in zip(told().values(), told(selected=reads).values(), strict=True):
        assert seeing.sentence.startswith(blind.sentence) and "who selects is not who measures" not in blind.sentence
        told_so = seeing.sentence.endswith("the features that it selects by: who selects is not who measures.")
        assert told_so == (seeing.words["features"] in ("pixels", "lenet"))


def test_a_study_that_is_too_small_says_so():
    """Two arms of one law differ by noise alone: nothing is found, and the report says what may be the reason."""
    facts = made_up.facts(
        selected={"twin": Selected("fully_synthetic", 0, 25)}, arms={"twin": "", "fully_synthetic": ""}
    )
    noise = np.random.default_rng(0)
    records = made_up.records(arms={"fully_synthetic": made_up.ARMS["fully_synthetic"]})
    twins = [
        one | {"arm": "twin", "values": [v | {"value": v["value"] + noise.normal(0, 0.02)} for v in one["values"]]}
        for one in records
    ]
    found = filtering(facts, records + twins)
    assert {one.status for one in found} == {"inconclusive"}
    (words,) = FILTER.beneath(found)
    assert "4 of 4 comparisons are inconclusive: 25 judges and 3 seeds may not suffice." in words
    few = filtering(replace(facts, seeds=2), [one for one in records + twins if one["seed"] < 2])
    assert all("at least 3" in one.sentence for one in few) and "needs at least 3 pairs" in FILTER.beneath(few)[0]
    alone = filtering(facts, records + [one for one in twins if one["generation"] == 0])
    assert alone == []  # generation 0 is one model, and says nothing of who selects
    assert FILTER.beneath(list(told().values())) == []


def test_the_price_of_a_filter_counts_the_real_rows_that_its_scorer_saw(monkeypatch):
    """Worth 300 real rows where chance is worth 200: 100 more, which pays for a scorer that has seen fewer."""
    from collapselab.verdicts import filters

    sizes = {
        "filtered": {"size": 300.0, "low": 280.0, "high": 320.0},
        "chance": {"size": 200.0, "low": 190.0, "high": 210.0},
    }
    made = [type("One", (), {"arm": arm, "numbers": numbers}) for arm, numbers in sizes.items()]
    monkeypatch.setattr(filters, "worth", lambda facts, records: made)

    def of(seen):
        (found,) = price(made_up.facts(selected={"filtered": Selected("chance", seen)}), [])
        return found

    assert [of(seen).status for seen in (0, 60, 100, 200)] == ["pays", "pays", "cannot tell", "does not pay"]
    assert (
        "worth 100 real rows more than chance (surely 70 to 130)" in of(60).sentence and "leaves 40" in of(60).sentence
    )
    assert of(0).numbers == {"gain": 100.0, "low": 70.0, "high": 130.0, "seen": 0}
    sizes["filtered"]["size"] = sizes["filtered"]["high"] = np.inf
    assert "outside what was calibrated" in of(60).sentence and of(60).status == "pays"
    assert price(made_up.facts(selected={}), []) == []


def test_only_the_sampled_set_is_compared_and_only_metrics_with_the_role():
    found = told()
    assert all(Endpoint(question.removeprefix("filter."), space) for question, space in found)
    assert not any("precision" in question or "class" in question for question, _ in found)


def test_what_chance_selects_is_asked_nothing_of_its_own():
    """Beside the arm that it stands beside it would only make the others' corrections dearer."""
    facts, records = made_up.facts(selected=SELECTED), made_up.records()
    chances = {one.chance for one in SELECTED.values()}  # fully_synthetic
    told = {one.arm: one for one in slope_against_control(facts, records)}
    assert {arm for arm, one in told.items() if "here chance selects" in one.sentence} == chances
    assert not chances & {name for one in contrasts(facts, records) for name in (one.arm, one.words["other"])}
    assert not chances & {one.arm for one in resolution(facts, records)}
