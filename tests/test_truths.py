"""What is concluded of made-up truths and of loops with laws: no finding, and no word, that these contradict."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
from project import ROOT
from scipy import stats

from collapselab import study as studies
from collapselab.report import exports
from collapselab.study import results
from collapselab.theory.predict import predict
from collapselab.together import loop
from collapselab.together import records as together
from collapselab.verdicts import ANALYSES, analyse
from collapselab.verdicts.limits import tendencies
from collapselab.verdicts.modes import chances

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import verdicts as bench

MANY = 150  # of each truth; bench/verdicts.py takes a thousand


def most(studies):
    """The 99.9 % point of false findings at 5 %: more of them are no chance."""
    return int(stats.binom.ppf(0.999, studies, 0.05))


# -- made-up truths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "number"),
    [
        ("1", 3),
        ("2", 5),
        ("3 equal", 20),
        *(pytest.param(seeds, MANY, marks=pytest.mark.slow) for seeds in ("3", "5", "10", "3 equal")),
    ],
)
def test_findings_are_false_no_more_often_than_chance_has_it(seeds, number):
    found = {truth: bench.judged(truth, seeds, 10, number) for truth in bench.TRUTHS}
    for truth, of_truth in found.items():
        for question, (false, right) in of_truth.items():
            assert false <= (0 if seeds in ("1", "2") else most(number)), (truth, question)
            assert seeds not in ("1", "2") or not right, (truth, question)
    if seeds == "10":  # and there is something to be wrong about
        asked = set(bench.QUESTIONS) - {"scaling_law"}
        assert min(max(of_truth[question][1] for of_truth in found.values()) for question in asked) > number / 2


def test_every_question_is_put_to_the_truths():
    facts, records = bench.made_up("linear", "3", 10, np.random.default_rng(0))
    asked = {
        question for question in bench.QUESTIONS if ANALYSES[question].run(facts, records)[1].status != "not testable"
    }
    assert asked == set(bench.QUESTIONS) - {"scaling_law"} == set(bench.judged("linear", "1", 10, 1))


def status_of(question, curve, seeds=3, spread=1e-3):
    """Of a curve (T + 1,) whose lineages differ by a little, in size and by a number, whatever is measured."""
    records = [
        bench.record("loop", seed, t, dict.fromkeys(bench.METRICS, value * (1 + spread * seed) + spread * seed**2 / 10))
        for seed in range(seeds)
        for t, value in enumerate(map(float, curve))
    ]
    facts, _ = bench.made_up("linear", "1", len(curve) - 1, np.random.default_rng(0))
    (one,) = (one for one in ANALYSES[question].run(facts, records) if one.arm == "loop")
    return one.status, one.sentence


TIME = np.arange(51.0)


@pytest.mark.parametrize("spread", [0.0, 1e-3])
@pytest.mark.parametrize(
    "question", [question for question in bench.QUESTIONS if question not in ("scaling_law", "lost_modes")]
)
def test_a_curve_that_does_not_change_is_no_collapse(question, spread):
    """Whatever rounding makes of its statistics; and it changes nothing that all seeds are equal."""
    status, sentence = status_of(question, np.full(51, 0.0312), spread=spread)
    if question == "slope_against_control":
        return  # its control has one lineage here
    assert status in ("no collapse", "no fall seen") and "does not change" in sentence, sentence


def test_equal_lineages_that_move_leave_no_spread_to_judge_by():
    for question in ("primary_slope", "lost_tails", "any_rise_of_risk", "collapsing_variance", "diverging_risk"):
        status, sentence = status_of(question, 0.9 - 0.01 * np.arange(5.0), spread=0.0)
        assert status == "inconclusive" and "all 3 lineages are equal" in sentence, (question, sentence)
        assert "interval" not in sentence


def test_what_rounding_alone_sets_apart_is_equal():
    """However little lineages fall beside their own size, or arm and control differ."""
    draws = np.random.default_rng(3)
    falls = {s: {t: 1 - 1e-6 * t + 2e-16 * int(draws.integers(-3, 4)) for t in range(11)} for s in range(3)}
    records = [
        bench.record("loop", seed, t, dict.fromkeys(bench.METRICS, v)) for seed in falls for t, v in falls[seed].items()
    ]
    facts, _ = bench.made_up("linear", "1", 10, draws)
    for question in ("primary_slope", "lost_tails", "diverging_risk", "any_rise_of_risk"):
        (one,) = (one for one in ANALYSES[question].run(facts, records) if one.arm == "loop")
        assert one.status == "inconclusive" and "all 3 lineages are equal" in one.sentence, one.sentence

    starts = {seed: 0.5 + float(draws.random()) for seed in range(5)}
    records = [
        bench.record(arm, seed, t, {"recall": start * (1 + 3e-16 * t * (arm == "loop"))})
        for arm in ("loop", "control")
        for seed, start in starts.items()
        for t in range(11)
    ]
    (one,) = (one for one in ANALYSES["slope_against_control"].run(facts, records) if one.arm == "loop")
    assert one.sentence == "Recall takes the same course as in control.", one.sentence
    (one,) = ANALYSES["contrasts"].run(facts, records)
    assert one.status == "alike" and one.sentence == "Recall takes the same course in both."


@pytest.mark.parametrize(
    ("curve", "status", "words"),
    [
        (0.8 + 0.2 * np.exp(-TIME / 3), "no collapse", "levels off near 0.8"),
        (np.exp(-TIME / 10), "collapse", "of the first is left, less than 5%"),
        (np.exp(-TIME / 100), "inconclusive", "to zero or to a floor"),
        (1 / (1 + TIME / 10), "inconclusive", "to zero or to a floor"),
        (1 - 0.4 * np.sin(np.pi * TIME / 50), "no collapse", "rises by"),
    ],
    ids=["levels off", "has gone", "falls on", "slows", "rises again"],
)
def test_variance_has_gone_where_it_is_seen_to(curve, status, words):
    found, sentence = status_of("collapsing_variance", curve)
    assert found == status and words in sentence, sentence


@pytest.mark.parametrize("last", [10, 50, 200])
@pytest.mark.parametrize("power", [1.0, 0.5, 0.3])
def test_powers_that_go_to_zero_are_not_said_to_level_off(power, last):
    """As variance does that drifts: its pace falls far below the change so far, and it has no floor."""
    found, draws = [], np.random.default_rng(0)
    for _ in range(10):
        curve = (1 + np.arange(last + 1.0)) ** -power
        records = [
            bench.record("loop", seed, t, {"variance_ratio": float(v * (1 + 0.02 * draws.standard_normal()))})
            for seed in range(5)
            for t, v in enumerate(curve)
        ]
        facts, _ = bench.made_up("linear", "1", last, draws)
        found += [one for one in ANALYSES["collapsing_variance"].run(facts, records) if one.arm == "loop"]
    assert not [one.sentence for one in found if one.status == "no collapse" or "levels off" in one.sentence]


@pytest.mark.parametrize(
    ("curve", "status", "words"),
    [
        (5 + 5 * np.log1p(TIME), "inconclusive", "rises by"),
        (np.minimum(TIME, 20) + 1, "no collapse", "levels off near 21"),
        (1 + TIME, "inconclusive", "with or without bound"),
        (1.1**TIME, "collapse", "rises ever faster"),
        (2 - np.exp(-TIME / 4), "no collapse", "levels off near 2"),
        (1 + np.exp(-TIME / 4), "no collapse", "levels off near 1"),
        (2 - np.exp(-2 * TIME) + TIME / 100, "inconclusive", "rises by"),
    ],
    ids=["logarithm", "flat from 20 on", "line", "faster", "bounded", "falls", "a jump, then a line"],
)
def test_risk_is_unbounded_where_it_is_seen_to_run_away(curve, status, words):
    found, sentence = status_of("diverging_risk", curve)
    assert found == status and words in sentence, sentence


def test_the_sums_of_a_tendency_are_blind_to_what_they_tell_apart():
    """The bend of a logarithm is 0, and so is the speed of a line: both up to rounding."""
    from collapselab.verdicts import limits

    for last in (4, 5, 7, 12, 50):
        time = np.arange(last + 1.0)
        assert limits._bend(time, np.log(np.maximum(time, 1))) == pytest.approx(0, abs=1e-12)
        assert limits._speed(time, 3 + 2 * time) == pytest.approx(0, abs=1e-12)
        assert limits._pace(time, 3 + 2 * time) == pytest.approx(2)
        assert limits._rest(time, 3 + 2 * time, -1.0) == pytest.approx(0, abs=1e-9)
        assert limits._bend(time, np.log(time + 3)) > 0 > limits._bend(time, -np.exp(-8 * time / last))
    short = tendencies({"loop": {seed: {0: 1.0, 1: 0.5 + seed, 2: 0.2} for seed in range(4)}})["loop"]
    assert short.word == "cannot tell" and short.pace.lineages == 0


def test_classes_too_rare_to_be_seen_are_not_lost():
    """Four classes of 3 in 1000, counted in 200 samples, where nothing changes."""
    statuses = []
    for number in range(60):
        facts, records = bench.made_up("constant with noise", "3", 3, np.random.default_rng(number))
        statuses += [one.status for one in ANALYSES["lost_modes"].run(facts, records)]
    assert "collapse" not in statuses
    # None of 200 where 0.06 are expected says nothing; none where 6 are expected says a lot.
    assert chances(0.0, 200, 0.003, 0)[0] == pytest.approx((1 - 0.0003) ** 200)
    assert chances(0.0, 200, 0.3, 0) == pytest.approx(((1 - 0.03) ** 200, 1.0))
    below, above = chances(0.1, 500, 0.2, 1000)
    law = stats.binom(250, 50 / 1050)
    assert (below, above) == pytest.approx((law.cdf(50), law.sf(49)))


def test_the_order_of_arms_changes_no_finding():
    facts, records = made_up.facts(), made_up.records()
    other = replace(facts, arms=dict(reversed(facts.arms.items())))

    def told(facts):
        return {(one.question, one.arm): one for of_name in analyse(facts, records).values() for one in of_name}

    assert told(facts) == told(other)


ODD = {
    "zero": lambda t: 0 * t,
    "begins at 0": lambda t: np.where(t > 0, 0.4, 0.0),
    "dies at once": lambda t: np.where(t > 0, 0.0, 1.0),
    "below 0": lambda t: -0.01 - 0.01 * t,
    "through 0": lambda t: 0.5 - t / len(t),
    "huge": lambda t: 1e150 * (1 + t / len(t)),
    "tiny": lambda t: 1e-300 / (1 + t),
    "swings": lambda t: 1 + 0.3 * (-1.0) ** t,
}


CONTRADICTION = re.compile(r"no multiple.*-fold: |(?<!−)\b[1-9]\d\d % of the first is left, less")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lack", ["none", "holes", "the first", "all"])
@pytest.mark.parametrize("generations", [1, 2, 4, 7, 30])
def test_odd_values_and_gaps_are_told_in_numbers_and_without_contradiction(generations, lack):
    """Of what is 0, below it, huge or not there: no word that is no number, and every table has all its columns."""
    for number, (shape, curve) in enumerate(ODD.items()):
        draws, records = np.random.default_rng([generations, number]), []
        for arm in ("control", "loop"):
            for seed in range(4):
                values = curve(np.arange(generations + 1.0))
                values = values * np.exp(0.2 * draws.standard_normal(len(values)))
                for t, value in enumerate(values):
                    gone = (
                        lack == "all" or (lack == "holes" and draws.random() < 0.3) or (lack == "the first" and not t)
                    )
                    there = {} if gone else dict.fromkeys(bench.METRICS, float(value))
                    records.append(bench.record(arm, seed, t, there))
        facts, _ = bench.made_up("linear", "1", generations, draws)
        facts = replace(facts, seeds=4)
        for name, found in analyse(facts, records).items():
            about = ANALYSES[name].section.about(facts, found) if found and name == "contrasts" else ""
            for sentence in (about, *(one.sentence for one in found)):
                assert not re.search(r"\b(nan|inf|None)\b", sentence), (shape, sentence)
                assert not CONTRADICTION.search(sentence), (shape, sentence)
        for sheet in exports.of_study(facts, records).values():
            table = exports.as_markdown(sheet).partition("\n\n")[2].splitlines()
            assert {line.replace("\\|", "").count("|") for line in table} == {len(sheet.columns) + 1}
            assert not re.search(r"\b(nan|inf)\b", exports.as_latex(sheet)), shape


def test_a_span_that_is_told_is_the_slope_s_own():
    """Lineages that end early have another pace: what they share is not told as what all went through."""
    ends = dict(enumerate((1, 7, 8)))
    lines = {s: {t: 0.6 + 0.4 * np.exp(-t) + 0.01 * s for t in range(last + 1)} for s, last in ends.items()}
    records = [bench.record("loop", seed, t, {"recall": v}) for seed, line in lines.items() for t, v in line.items()]
    facts, _ = bench.made_up("linear", "1", 8, np.random.default_rng(0))
    (one,) = (one for one in ANALYSES["primary_slope"].run(facts, records) if one.arm == "loop")
    assert "from" not in one.sentence and "over 1 generation" not in one.sentence, one.sentence


# -- loops that have laws ----------------------------------------------------------------------------------------------

LAWFUL = ("theory-gaussian", "theory-multinomial")


@pytest.fixture(scope="module", params=LAWFUL)
def lawful(request):
    """A study of loops with laws, of fewer seeds: its facts and its records."""
    study = studies.load(ROOT / "config" / f"{request.param}.yaml")
    arms = [study.replicated(arm).model_copy(update={"seeds": 120}) for arm in study.lineages]
    records = [one for arm in arms for one in together.records(study.name, arm, loop.run(arm))]
    return results.facts(study), records


def test_no_conclusion_contradicts_a_law(lawful):
    facts, records = lawful
    found = analyse(facts, records)
    told = {name: {one.arm: one for one in of_name} for name, of_name in found.items()}
    asked = 0
    for arm in facts.loops.arms:
        laws = {one.metric: one for one in facts.predictions[arm] if one.bound == "equal" and one.limit is not None}
        for question, metric in (("collapsing_variance", "variance_ratio"), ("diverging_risk", "frechet_distance")):
            if metric not in laws or told[question][arm].status == "not testable":
                continue
            limit, start = laws[metric].limit, laws[metric].mean[0]
            gone = limit < 0.05 * start if metric == "variance_ratio" else np.isinf(limit)
            assert told[question][arm].status == ("collapse" if gone else "no collapse"), told[question][arm]
            assert "its law tends to" in told[question][arm].sentence
            asked += 1
        of_half = told["forecast"].get(arm)
        if of_half and "variance_ratio" in laws and laws["variance_ratio"].limit > 0.5 * laws["variance_ratio"].mean[0]:
            assert of_half.status == "no halving in sight" or of_half.numbers["high"] == np.inf, of_half
    assert asked >= 4


# A law of another horizon is the same law: its end is near its limit, and nearer than the middle of its way.
@pytest.mark.parametrize("name", LAWFUL)
def test_a_limit_is_what_the_law_tends_to(name):
    study, limits = studies.load(ROOT / "config" / f"{name}.yaml"), 0
    for arm in study.lineages:
        setting = results.setting_of(study, arm)
        for one in predict(setting):
            if one.limit is None or one.limit == pytest.approx(one.mean[-1], rel=1e-9):
                continue
            late = {(p.metric, p.law): p.mean for p in predict(setting._replace(generations=90))}[one.metric, one.law]
            away = abs(late - one.limit)
            assert away[-1] < away[45] < away[0], (arm, one.metric)
            limits += 1
    assert limits > 4
