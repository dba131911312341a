"""Verdicts: known slopes are found, noise is not called collapse, and few lineages are called few."""

import made_up
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collapselab.core.significance import holm
from collapselab.metrics import METRICS, Metric, Roles
from collapselab.theory.setting import Prediction
from collapselab.verdicts import (
    ANALYSES,
    CLASSES_GIVEN,
    Endpoint,
    Table,
    analyse,
    at_risk,
    digits_apart,
    indexed,
    lineages,
    slope,
    spell,
    t_interval,
)

SLOPES = ("primary_slope", "slope_against_control")
JUDGED = [name for name, analysis in ANALYSES.items() if not isinstance(analysis.section, Table)]


def found_by(name, facts, records):
    """The findings of one analysis: arm -> finding."""
    return {one.arm: one for one in ANALYSES[name].run(facts, records)}


def judge(facts, records):
    """The findings of the analyses that answer for every arm: name -> arm -> finding."""
    return {name: found_by(name, facts, records) for name in JUDGED}


@pytest.fixture(scope="module")
def records():
    return made_up.records()


def test_every_verdict_answers_for_every_arm_in_words(records):
    for name, of_arms in judge(made_up.facts(), records).items():
        assert list(of_arms) == list(made_up.ARMS)
        for arm, verdict in of_arms.items():
            assert (verdict.question, verdict.arm) == (name, arm)
            found = {"falls", "no fall seen"} if name in SLOPES else {"collapse", "no collapse"}
            assert verdict.status in found | {"inconclusive", "not testable"}
            assert verdict.sentence.endswith(".") and "nan" not in verdict.sentence and "inf " not in verdict.sentence
            assert verdict.status in verdict.sentence or verdict.status in ("not testable", "no fall seen")
            assert name not in SLOPES or "collapse" not in verdict.sentence


@pytest.mark.parametrize("seeds, generations", [(1, 0), (1, 4), (2, 4), (3, 0)])
def test_fewer_than_three_lineages_or_one_generation_prove_nothing(seeds, generations):
    facts = made_up.facts(seeds=seeds, generations=generations)
    for of_arms in judge(facts, made_up.records(seeds=seeds, generations=generations)).values():
        for verdict in of_arms.values():
            assert verdict.status in ("inconclusive", "not testable"), verdict


def test_no_records_at_all_prove_nothing():
    for of_arms in judge(made_up.facts(), []).values():
        assert {verdict.status for verdict in of_arms.values()} <= {"inconclusive", "not testable"}


def test_known_slopes_are_found(records):
    """Noise of sd s per point gives a slope sd of s / sqrt(sum t^2) = s / sqrt(10): 6 of them over sqrt(3) lineages."""
    noise = 0.01 * np.sqrt(1 + 1 / 25)
    tolerance = 6 * noise / np.sqrt(10) / np.sqrt(3)
    verdicts = found_by("primary_slope", made_up.facts(), records)
    for arm, (_, fall, _, _) in made_up.ARMS.items():
        assert verdicts[arm].numbers["mean"] == pytest.approx(fall, abs=tolerance)
    assert verdicts["fully_synthetic"].status == "falls"
    assert verdicts["control"].status == "inconclusive"
    assert verdicts["fully_synthetic"].sentence.startswith("Recall falls from 0.8")
    assert "over 4 generations, 0.08" in verdicts["fully_synthetic"].sentence


def bent(records, curve):
    """The records, with every value replaced by the curve's at its generation, times a little that the seed decides."""
    return [
        record
        | {
            "values": [
                e | {"value": curve(record["generation"]) * (1 + 0.001 * record["seed"])} for e in record["values"]
            ]
        }
        for record in records
    ]


@pytest.mark.parametrize(
    "curve, words",
    [
        ((0.8, 0.6, 0.55, 0.54, 0.53), "; 0.200 of it in the first generation, 0.010 a generation in the second half."),
        ((0.8, 0.7, 0.6, 0.5, 0.4), "; 0.100 of it in the first generation, 0.100 a generation in the second half."),
        ((0.8, 0.82, 0.6, 0.5, 0.4), "; after a rise by 0.020 in the first generation, 0.100 a generation in the"),
        ((0.8, 0.4, 0.3, 0.31, 0.34), "first generation, and a rise by 0.020 a generation in the second half."),
    ],
    ids=["levels off", "straight", "rises first", "recovers"],
)
def test_the_shape_of_a_fall_is_told(records, curve, words):
    verdict = found_by("primary_slope", made_up.facts(), bent(records, curve.__getitem__))["control"]
    assert verdict.status == "falls" and words in verdict.sentence
    assert verdict.sentence.startswith(f"Recall falls from 0.801 to {curve[-1] * 1.001:.3f} over 4 generations, ")
    assert verdict.numbers["first_step"] == pytest.approx(1.001 * (curve[1] - curve[0]))
    assert verdict.numbers["second_half_slope"] == pytest.approx(1.001 * (curve[4] - curve[2]) / 2)


def test_the_shape_of_two_generations_is_not_told():
    verdict = found_by("primary_slope", made_up.facts(generations=2), made_up.records(generations=2))["fully_synthetic"]
    assert "over 2 generations" in verdict.sentence and "first generation" not in verdict.sentence


def test_a_slope_that_the_ends_contradict_is_no_fall_from_one_to_the_other(records):
    curve = (0.5, 0.9, 0.5, 0.1, 0.51).__getitem__
    verdict = found_by("primary_slope", made_up.facts(), bent(records, curve))["control"]
    assert verdict.status == "falls" and verdict.sentence.startswith("Recall goes from 0.501 to 0.511 over")


def test_classes_that_the_model_is_told_cannot_be_lost(records):
    facts = made_up.facts(classes_given=list(made_up.ARMS))
    for name in ("lost_modes", "collapsing_variance"):
        verdict = found_by(name, facts, records)["control"]
        assert verdict.status == "not testable" and CLASSES_GIVEN in verdict.sentence


def test_classes_can_be_lost_by_an_arm_that_is_not_told_them_beside_one_that_is(records):
    told, free = (made_up.facts(classes_given=arms) for arms in (["control"], []))
    for name in ("lost_modes", "collapsing_variance"):
        found, alone = found_by(name, told, records), found_by(name, free, records)
        assert list(found) == list(made_up.ARMS)
        assert found["control"].status == "not testable" and CLASSES_GIVEN in found["control"].sentence
        assert found["fully_synthetic"].status == alone["fully_synthetic"].status != "not testable"


def test_modes_that_are_no_classes_can_be_lost_where_classes_are_given(records, monkeypatch):
    """Whatever states the role is asked, and first of all what the given classes do not fix."""
    components = Metric(lambda real, fake: {}, "Share of component", None, shares=True, roles=Roles(("modes",)))
    monkeypatch.setitem(METRICS, "components", components)
    own = {"set": "sampled", "extractor": "lenet"}
    more = [
        record
        | {
            "values": [
                *record["values"],
                *(made | {"metric": f"components.{part}", "value": 0.5 / (1 + part * 9 * t)} for part in (0, 1)),
            ]
        }
        for record in records
        for t, made in ((record["generation"], own | {"fingerprint": next(iter(record["fingerprints"]))}),)
    ]
    told = found_by("lost_modes", made_up.facts(classes_given=list(made_up.ARMS)), more)["control"]
    assert told.status == "collapse" and "(1)" in told.sentence
    assert found_by("lost_modes", made_up.facts(), more)["control"].status == "no collapse"  # by the classes


def test_the_variance_itself_is_asked_before_the_entropy_of_classes(records):
    """Variance of which two fifths are left each generation has gone, whether or not the classes are given."""
    own = {"set": "sampled", "extractor": "lenet", "metric": "variance_ratio", "fingerprint": "x"}
    more = [
        r
        | {"values": [*r["values"], own | {"value": 0.4 ** r["generation"] * (1 + 0.01 * r["seed"] * r["generation"])}]}
        for r in records
    ]
    for told in ([], list(made_up.ARMS)):
        verdict = found_by("collapsing_variance", made_up.facts(classes_given=told), more)["control"]
        assert verdict.status == "collapse" and "2.66 % of the first is left, less than 5%" in verdict.sentence


def test_a_rise_in_recall_is_no_collapse_and_a_rise_in_distance_is():
    facts, records = made_up.facts(), made_up.records()
    mirrored = [
        record | {"values": [entry | {"value": -entry["value"]} for entry in record["values"]]} for record in records
    ]
    assert found_by("primary_slope", facts, mirrored)["fully_synthetic"].status == "no fall seen"
    lower = made_up.facts(primary=Endpoint("frechet_distance", "lenet"))
    verdict = found_by("primary_slope", lower, records)["fully_synthetic"]
    assert verdict.status == "rises" and "rises" in verdict.sentence


def test_pairing_removes_the_noise_that_arms_share(records):
    """Shared noise has 5 times the sd of an arm's own, so the paired interval is much the narrower one."""
    facts = made_up.facts()
    alone = found_by("primary_slope", facts, records)["fresh_data"].numbers
    paired = found_by("slope_against_control", facts, records)["fresh_data"].numbers
    assert paired["high"] - paired["low"] < alone["high"] - alone["low"]


def test_without_a_control_nothing_is_compared_with_it(records):
    verdicts = found_by("slope_against_control", made_up.facts(control=None), records)
    assert {verdict.status for verdict in verdicts.values()} == {"not testable"}


def test_no_effect_is_called_collapse_in_at_most_five_of_a_hundred_studies():
    """Family-wise: five arms without any slope, 400 studies; 5 % + 4 standard errors = 9.4 %."""
    arms = [f"arm{index}" for index in range(5)]
    facts = made_up.facts(arms=dict.fromkeys(arms, ""), control=None)
    draws = np.random.default_rng(7).normal(0.8, 0.05, (400, 5, 3, 5))

    def record(arm, seed, generation, number):
        values = [{"set": "sampled", "extractor": "lenet", "metric": "recall", "value": number, "fingerprint": "x"}]
        return {"arm": arm, "seed": seed, "generation": generation, "status": "ok", "values": values}

    alarms = 0
    for study in draws:
        records = [record(arms[a], s, t, float(study[a, s, t])) for a in range(5) for s in range(3) for t in range(5)]
        alarms += any(v.status != "inconclusive" for v in found_by("primary_slope", facts, records).values())
    assert 0 < alarms / 400 < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_the_definitions_of_the_literature_see_what_was_planted(records):
    verdicts = judge(made_up.facts(), records)
    status = {name: of_arms["fully_synthetic"].status for name, of_arms in verdicts.items()}
    # exp(4 * .45) = 6.05: a rise, of growing pace, below tenfold; the entropy of classes may level off; classes shrink
    # but the last keeps over a tenth.
    assert status["any_rise_of_risk"] == "collapse"
    assert status["catastrophic_risk"] == "no collapse"
    assert status["diverging_risk"] == "collapse"
    assert status["collapsing_variance"] == "inconclusive"
    assert status["lost_modes"] == "no collapse"
    assert status["lost_tails"] == status["hallucination"] == "collapse"
    assert status["scaling_law"] == "not testable"
    assert verdicts["catastrophic_risk"]["fully_synthetic_biased"].status == "collapse"  # exp(4 * .6) = 11.02
    words = verdicts["any_rise_of_risk"]["control"].sentence
    assert words.startswith("Fréchet distance of generation 4 is ") and " times (95 % interval " in words


def test_a_rise_that_slows_is_not_called_unbounded():
    slowing = bent(made_up.records(), lambda generation: 3 - 0.5 ** (generation / 2))
    verdict = found_by("diverging_risk", made_up.facts(), slowing)["fully_synthetic"]
    assert verdict.status == "inconclusive" and "with or without bound" in verdict.sentence


def test_lost_classes_are_named():
    facts = made_up.facts()
    records = made_up.records(arms=["fully_synthetic"])
    gone = [
        record
        | {
            "values": [
                entry
                | ({"value": 0.0} if entry["metric"].endswith("histogram.7") and record["generation"] == 4 else {})
                for entry in record["values"]
            ]
        }
        for record in records
    ]
    verdict = found_by("lost_modes", facts, gone)["fully_synthetic"]
    assert verdict.status == "collapse" and "(7)" in verdict.sentence and "3 of 3" in verdict.sentence


def test_diverged_lineages_count_up_to_where_they_end(records):
    arm = "fully_synthetic_biased"
    facts, cut = made_up.facts(), made_up.diverge(records, arm, 1, 3)
    verdict = found_by("primary_slope", facts, cut)[arm]
    assert "diverged in 1 of 3 lineages (seed 1 at generation 3)" in verdict.sentence
    assert verdict.numbers["lineages"] == 3
    assert at_risk(cut, arm) == {0: 3, 1: 3, 2: 3, 3: 2, 4: 2}
    early = found_by("primary_slope", facts, made_up.diverge(records, arm, 1, 1))[arm]
    assert early.numbers["lineages"] == 2 and early.status == "inconclusive"


def test_an_arm_without_bias_has_its_samples_as_raw_and_kept(records):
    def found(arm, *endpoint):
        return lineages(records, arm, Endpoint(*endpoint))

    assert found("control", "recall", "lenet", "raw") == found("control", "recall", "lenet", "sampled")
    biased = [found("fully_synthetic_biased", "recall", "lenet", which)[0][4] for which in ("raw", "sampled")]
    assert biased[0] > biased[1]
    assert found("control", "no_such", "lenet") == {0: {}, 1: {}, 2: {}}


def test_records_that_were_passed_over_once_answer_alike_in_any_order(records):
    mixed = [records[index] for index in np.random.default_rng(0).permutation(len(records))]
    once = indexed(mixed)
    assert indexed(once) is once and list(once) == mixed and len(once) == len(mixed) and once[3] is mixed[3]
    assert judge(made_up.facts(), once) == judge(made_up.facts(), records)
    for arm in made_up.ARMS:
        found = lineages(once, arm, Endpoint("recall", "lenet"))
        assert list(found) == [0, 1, 2] and all(list(lineage) == [0, 1, 2, 3, 4] for lineage in found.values())


def test_calibration_arms_are_no_loops():
    facts = made_up.facts(calibration={"control": 800})
    assert list(facts.loops.arms) == [arm for arm in made_up.ARMS if arm != "control"]
    assert made_up.facts().loops == made_up.facts()


def test_of_many_diverged_lineages_the_first_are_named():
    study = made_up.records(["fresh_data"], seeds=20)
    for seed in range(15):
        study = made_up.diverge(study, "fresh_data", seed, 3)
    facts = made_up.facts(arms={"fresh_data": "loops"}, control=None, seeds=20)
    said = found_by("primary_slope", facts, study)["fresh_data"].sentence
    assert "diverged in 15 of 20 lineages" in said and "seed 11 at generation 3 and 3 more)" in said
    assert "seed 12" not in said


def test_missing_values_are_left_out(records):
    holed = [
        record | {"values": [entry | {"value": None, "reason": "too few"} for entry in record["values"]]}
        if record["generation"] == 2
        else record
        for record in records
    ]
    found = lineages(holed, "control", Endpoint("recall", "lenet"))
    assert all(list(lineage) == [0, 1, 3, 4] for lineage in found.values())


def test_t_interval_against_a_printed_table():
    """t(0.975, 2) = 4.30265 in any table: 1, 2, 3 has mean 2 and s = 1."""
    low, high, p = t_interval(np.array([1.0, 2.0, 3.0]), boundary=2.0)
    assert (low, high) == pytest.approx((2 - 4.30265 / np.sqrt(3), 2 + 4.30265 / np.sqrt(3)), abs=1e-5)
    assert p == pytest.approx(1.0)
    assert t_interval(np.array([1.0, 1.0, 1.0])) == (-np.inf, np.inf, 1.0)  # no spread to judge by
    assert t_interval(np.array([0.0, 0.0, 0.0])) == (0.0, 0.0, 1.0)


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_corrects_upwards_in_order_and_less_than_bonferroni(p_values):
    adjusted = holm(p_values)
    names = sorted(p_values, key=p_values.get)
    assert all(
        p_values[name] <= adjusted[name] <= min(1, len(p_values) * p_values[name]) or adjusted[name] <= 1
        for name in names
    )
    assert [adjusted[name] for name in names] == sorted(adjusted.values())
    assert adjusted[names[0]] == pytest.approx(min(1.0, len(p_values) * p_values[names[0]]))


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


@settings(max_examples=50)
@given(st.floats(-5, 5), st.floats(-5, 5), st.sets(st.integers(0, 30), min_size=2, max_size=9))
def test_the_slope_of_a_line_is_its_slope(start, rise, generations):
    assert slope({t: start + rise * t for t in sorted(generations)}) == pytest.approx(rise, abs=1e-9)


@pytest.mark.parametrize(
    "number, words",
    [
        (0.0823, "0.0823"),
        (-0.5, "−0.500"),
        (1234.5, "1234"),
        (0.0, "0"),
        (2.5e-7, "2.50e−07"),
        (99.97, "100"),
        (0.99996, "1.00"),
        (4e18, "4.00e+18"),
    ],
)
def test_numbers_have_three_digits(number, words):
    assert spell(number) == words


def test_numbers_that_differ_read_differently():
    assert (digits_apart(2.3012, 2.3015), digits_apart(1.0, 1.0), digits_apart(1.0, 2.0)) == (5, 3, 3)
    assert spell(2.3012, 2.3015, 5) == "2.3012"


@pytest.mark.parametrize("constant", [0.1, 0.3, 0.7, 0.9])
def test_rounding_is_no_fall(constant):
    """Equal values have no slope, whatever a sum of them rounds to."""
    records = made_up.records()
    for entry in (entry for cell in records for entry in cell["values"]):
        entry["value"] = constant
    found = found_by("primary_slope", made_up.facts(), records)
    assert {verdict.numbers["mean"] for verdict in found.values()} == {0.0}
    assert {verdict.status for verdict in found.values()} == {found["control"].status}
    assert not any("falls" in verdict.status for verdict in found.values())


def test_each_arm_stands_beside_the_control_of_its_model():
    records = made_up.records()
    facts = made_up.facts(controls={"fully_synthetic": "fresh_data"})
    found = found_by("slope_against_control", facts, records)
    assert "relative to fresh_data" in found["fully_synthetic"].sentence
    assert "relative to control" in found["synthetic_augmentation"].sentence
    assert {found[arm].status for arm in ("control", "fresh_data")} == {"not testable"}


def test_all_findings_have_one_form_and_calibrations_are_asked_nothing(records):
    """A new analysis is an entry of the registry: its table, if it has one, says of a finding what that has."""
    law = Prediction("a_law", "recall", "lenet", np.full(5, 0.85), None, "equal", "what the law says")
    given = {"rows": {"fresh_data": (400, 400)}, "predictions": {"fresh_data": [law]}}
    facts = made_up.facts(calibration={"control": 800}, learning_curve=lambda n: 1 - 1 / n, **given)
    found = analyse(facts, records)
    assert list(found) == list(ANALYSES) and all(found[name] for name in (*JUDGED, "theory", "worth", "forecast"))
    for name, findings in found.items():
        section = ANALYSES[name].section
        assert ANALYSES[name].title and (isinstance(section, Table) or section in ("primary", "definitions"))
        for one in findings:
            assert one.arm in facts.loops.arms and one.status and one.sentence.endswith(".")
            assert isinstance(section, Table) or one.question == name
            for column in (*section.before, *section.after) if isinstance(section, Table) else ():
                assert column.holds in {*one.numbers, *one.words}
    anchors = [one.section.anchor for one in ANALYSES.values() if isinstance(one.section, Table)]
    assert len(set(anchors)) == len(anchors)
