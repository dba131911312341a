"""Lineages that are stopped: when, by which files, what stays as it is, how many go on, and what is compared then."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from project import ROOT, Project

from collapselab import store
from collapselab.cli import run as frame
from collapselab.cli import stop as told
from collapselab.report.charts import survival_chart
from collapselab.study import jobs, layout, stopping
from collapselab.study.jobs import Place
from collapselab.study.loading import check
from collapselab.verbs.stop import Rule, decide
from collapselab.verdicts import Endpoint, StudyFacts, analyse, indexed
from collapselab.verdicts.survival import kaplan_meier, of_arm

STOPPING = """
name: stopping
seeds: 2
generations: 2
data: {population: {gaussian: {dimension: 1}}, split: {held_out: 200}}
models: {moments: {gaussian: {ddof: 0}}}
initial: {real: 3}   # so few that a variance is lost within a generation or two
samples: 50
extractors: [moments]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: moments}
stop: {when: collapsed, below: 0.5}
arms:
  alone: {model: moments, regime: fully_synthetic}
"""
COLLAPSED = Rule("collapsed", "m", "e", below=0.5)


def study(**changes):
    """The study above, with other parts; and its faults."""
    return check(yaml.safe_load(STOPPING) | changes, "stopping")


def record(value, generation, status="ok"):
    """A record of one number; None where it is not determined."""
    entry = {"metric": "m", "extractor": "e", "set": "sampled", "value": value, "fingerprint": "f"}
    values = [] if status != "ok" else [entry, entry | {"set": "kept", "value": 0.0}, entry | {"metric": "other"}]
    return {"arm": "a", "seed": 0, "generation": generation, "status": status, "values": values, "composition": []}


def after(rule, *values):
    """What is decided after the last of some generations."""
    return decide([rule], [record(value, at) for at, value in enumerate(values)])


# -- rules -------------------------------------------------------------------------------------------------------------


def test_a_lineage_has_collapsed_where_its_metric_is_beyond_the_bound_in_so_many_generations():
    assert after(COLLAPSED, 0.9, 0.5) is None and after(COLLAPSED, 0.4, 0.6) is None  # only the last counts, and less
    assert after(COLLAPSED, 0.9, 0.4) == {
        "generation": 1,
        "when": "collapsed",
        "rule": {"when": "collapsed", "metric": "m", "extractor": "e", "below": 0.5, "generations": 1},
        "values": [0.4],
    }
    twice = COLLAPSED._replace(generations=2)
    assert after(twice, 0.4) is None and after(twice, 0.4, 0.6, 0.4) is None and after(twice, 0.6, 0.4, 0.3)
    above = Rule("collapsed", "m", "e", above=2.0)
    assert after(above, 1.0, 2.5)["values"] == [2.5] and after(above, 1.0, 2.0) is None


def test_a_lineage_has_converged_where_its_metric_moves_no_more():
    rule = Rule("converged", "m", "e", within=0.1, generations=3)
    assert after(rule, 0.5, 0.5) is None and after(rule, 0.9, 0.50, 0.55, 0.59)["generation"] == 3
    assert after(rule, 0.50, 0.55, 0.61) is None


def test_what_is_not_determined_decides_nothing_and_a_training_that_diverged_does():
    assert after(COLLAPSED, 0.9, None) is None
    assert after(COLLAPSED._replace(generations=2), 0.4, None, 0.4) is None
    diverged = [record(0.9, 0), record(None, 1, "diverged")]
    assert decide([COLLAPSED], diverged) is None
    assert decide([COLLAPSED, Rule("diverged")], diverged)["rule"] == {"when": "diverged", "generations": 1}


@pytest.mark.parametrize(
    ("said", "place", "words"),
    [
        ({"when": "collapsed"}, ("stop",), "needs below or above, and one of them; found neither"),
        ({"when": "collapsed", "below": 1, "above": 2}, ("stop",), "found below and above"),
        ({"when": "collapsed", "below": 1, "within": 2}, ("stop", "within"), "whose bound is below or above"),
        ({"when": "converged", "within": 0.1}, ("stop", "generations"), "say generations: 3"),
        ({"when": "converged", "generations": 2}, ("stop",), "needs within"),
        ({"when": "converged", "within": -1, "generations": 2}, ("stop", 0, "within"), "-1"),
        ({"when": "diverged", "below": 1}, ("stop", "below"), "leave it out"),
        ({"when": "diverged", "metric": "variance_ratio"}, ("stop", "metric"), "not by a metric"),
        ({"when": "diverged", "generations": 2}, ("stop", "generations"), "leave it out"),
        ({"when": "collapsed", "below": 1, "metric": "recall"}, ("stop", "metric"), "not among the study's metrics"),
        ({"when": "collapsed", "below": 1, "extractor": "identity"}, ("stop", "extractor"), "moments"),
        ({"when": "collapsed", "below": 1, "generations": 9}, ("stop", "generations"), "the study has 3"),
        ({"when": "collapsed", "below": float("inf")}, ("stop", 0, "below"), "finite"),
        ({"when": "gone"}, ("stop", 0, "when"), "collapsed"),
    ],
)
def test_a_rule_that_never_says_when_is_a_fault(said, place, words):
    _, faults = study(stop=said)
    assert [fault.path for fault in faults] == [place], faults
    assert words in faults[0].message


def test_several_rules_are_a_list_and_many_seeds_together_have_none():
    several = [{"when": "diverged"}, {"when": "collapsed", "below": 0.1}]
    found, faults = study(stop=several)
    assert not faults and [rule.when for rule in stopping.rules(found, "alone")] == ["diverged", "collapsed"]
    assert stopping.rules(found, "control") == []  # a control goes on
    assert "diverged: its training diverged" in stopping.words(found)
    _, faults = study(stop=[{"when": "diverged"}, {"when": "collapsed"}])
    assert [fault.path for fault in faults] == [("stop", 1)]
    _, faults = study(together=True)
    assert ("stop",) in [fault.path for fault in faults]


# -- files and jobs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder in which one stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(path, content="{}"):
    """A file, whatever it says."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content, encoding="utf-8")


def test_each_training_waits_for_the_decision_before_it_and_is_told_of_it(here):
    found, faults = study()
    assert not faults
    place = Place("alone", 1, 2)
    decision = found.cell("alone", 1, 1, "stop.json")
    assert jobs.decisions(found, "train", place) == [decision] == jobs.decisions(found, "draw", place)
    assert f"--stop {decision}" in jobs.arguments(found, "compose", place)
    assert decision not in jobs.inputs(found, "train", place)  # whose change would be a reason to train again
    assert jobs.inputs(found, "stop", place) == [found.cell("alone", 1, 2, "metrics.json"), decision]
    assert jobs.decisions(found, "train", Place("base_moments", 1, 0)) == []
    assert jobs.decisions(found, "train", Place("control", 1, 2)) == []
    assert sum(file.endswith("stop.json") for file in layout.whole(found)) == 2 * 3
    assert found.cell("alone", 0, 2, "stop.json") in jobs.inputs(found, "report", Place())


def test_what_was_trained_without_a_rule_waits_for_none_and_stays_so(here):
    bare, _ = study(stop=[])
    ruled, _ = study()
    place = Place("alone", 0, 1)
    before = jobs.arguments(bare, "compose", place)
    touch(bare.cell("alone", 0, 1, "training.parquet"))
    assert jobs.decisions(ruled, "train", place) == [] and jobs.arguments(ruled, "compose", place) == before
    assert not stopping.decides(ruled, "alone", 0, 0) and stopping.decides(ruled, "alone", 0, 1)
    # The next training has a decision before it, and keeps it where the rule is taken back.
    touch(ruled.cell("alone", 0, 1, "stop.json"))
    touch(ruled.cell("alone", 0, 2, "training.parquet"))
    for one in (ruled, bare):
        assert jobs.decisions(one, "train", Place("alone", 0, 2)) == [ruled.cell("alone", 0, 1, "stop.json")]
    assert not stopping.decides(bare, "alone", 1, 0)


def test_a_study_without_rules_is_told_as_before():
    found, faults = check(yaml.safe_load((ROOT / "config/smoke.yaml").read_text()), "smoke")
    assert not faults and "stop" not in found.plan()
    for verb, place in jobs.every(found):
        assert verb != "stop" and "--stop" not in jobs.arguments(found, verb, place)
        assert not jobs.decisions(found, verb, place)


def test_chance_ends_with_the_arm_whose_selector_it_is_the_control_of(here):
    arms = {"picky": {"model": "moments", "regime": "fully_synthetic", "select": {"likelihood": {"share": 0.5}}}}
    found, faults = study(arms=arms, samples=100)
    assert not faults, faults
    (chance,) = found.yoked
    assert jobs.decisions(found, "train", Place(chance, 0, 1)) == [found.cell("picky", 0, 0, "stop.json")]


def test_a_decision_is_passed_on_and_stays_once_it_was_acted_upon(here):
    from collapselab.cli.stop import mark_of
    from collapselab.core.sets import TrainingTable

    low = {"study": "s"} | record(0.1, 1)
    store.write_json(Path("gen1.json"), low)
    rules = json.dumps([COLLAPSED._asdict()])
    told.stop([Path("gen1.json")], Path("stop1.json"), rules)
    first = store.read_json(Path("stop1.json"))["stopped"]
    assert first["generation"] == 1 and told.decided([Path("stop1.json")]) == first
    assert told.decided([]) is None and told.decided(None) is None
    store.write_json(Path("gen2.json"), {"study": "s"} | record(0.9, 2))
    told.stop([Path("gen2.json")], Path("stop2.json"), rules, before=Path("stop1.json"))
    assert store.read_json(Path("stop2.json"))["stopped"] == first
    # The rule is taken back: where the next training set was left empty for it, the lineage has ended all the same.
    store.write_training(Path("next.parquet"), TrainingTable((), {"diverged": mark_of(first)}))
    told.stop([Path("gen1.json")], Path("again.json"), "[]", next=Path("next.parquet"))
    assert store.read_json(Path("again.json"))["stopped"] == first
    told.stop([Path("gen1.json")], Path("free.json"), "[]", next=Path("none.parquet"))
    assert store.read_json(Path("free.json"))["stopped"] is None


@pytest.mark.parametrize(
    ("rules", "code", "words"),
    [
        ('[{"when": "collapsed"}]', 2, "found {'when': 'collapsed'}; allowed are rules as a study's stop says them"),
        ('[{"when": "diverged", "below": 1}]', 2, "allowed are rules"),
        ('[{"when": "collapsed", "below": "x"}]', 2, "allowed are rules"),
        ('[{"a": 1}]', 2, "allowed are rules"),
        ("[3]", 2, "allowed are rules"),
        ("{}", 2, "allowed is a JSON array"),
        ('[{"when": "diverged"}]', 3, "other.json: does not say what this version reads of it"),
    ],
)
def test_what_is_no_rule_and_what_is_no_record_are_said(here, capsys, rules, code, words):
    store.write_json(Path("other.json"), {"tracked": True})
    assert frame.run(["stop", "--record", "other.json", "--out", "stop.json", "--rules", rules]) == code
    assert words in " ".join(capsys.readouterr().err.split()) and not Path("stop.json").exists()


# -- how many go on ----------------------------------------------------------------------------------------------------


def test_the_share_that_goes_on_is_what_one_counts_by_hand():
    # Six lineages: stopped after 1, 3 and 3; diverged after 1 (censored); two go on to the end, 4.
    steps = kaplan_meier([1, 3, 3, 1, 4, 4], [True, True, True, False, False, False])
    assert [step.at_risk for step in steps] == [6, 6, 4, 4, 2] and [step.stopped for step in steps] == [0, 1, 0, 2, 0]
    assert [step.share for step in steps] == pytest.approx([1, 5 / 6, 5 / 6, 5 / 12, 5 / 12])
    # Greenwood: 1/(6*5) + 2/(4*2) = 17/60, and log(-log S) -+ 1.96 sqrt(17/60) / |log S|
    error = 1.959963984540054 * np.sqrt(17 / 60) / abs(np.log(5 / 12))
    ends = [float((5 / 12) ** np.exp(sign * error)) for sign in (1, -1)]
    assert [steps[-1].low, steps[-1].high] == pytest.approx(ends)
    assert (steps[0].low, steps[0].high) == (0.0, 1.0) and kaplan_meier([], []) == []


def test_the_share_that_goes_on_is_that_of_scipy():
    from scipy import stats

    draws = np.random.default_rng(0)
    times, gone = draws.integers(0, 12, 80), draws.random(80) < 0.6
    steps = kaplan_meier(times.tolist(), gone.tolist())
    survival = stats.ecdf(stats.CensoredData(uncensored=times[gone], right=times[~gone])).sf
    share = {step.generation: step.share for step in steps}
    assert [share[int(t)] for t in survival.quantiles] == pytest.approx(survival.probabilities)
    interval = survival.confidence_interval(method="log-log")
    for step, low, high in zip(
        [one for one in steps if one.generation in set(survival.quantiles)],
        interval.low.probabilities,
        interval.high.probabilities,
        strict=True,
    ):
        if 0 < step.share < 1:
            assert (step.low, step.high) == pytest.approx((low, high))


def facts_of(stopped, stops=("collapsed: m is below 0.5",)):
    """A study of an arm and its control in four seeds and five generations."""
    return StudyFacts(
        name="s",
        arms={"control": "", "a": ""},
        primary=Endpoint("m", "e"),
        seeds=4,
        generations=4,
        control="control",
        better={"m": "higher"},
        stops=stops,
        stopped={"a": stopped},
    )


def cells(stopped):
    """Records of a control that stays at 1, and of an arm that falls by a tenth, and by more from generation 3 on."""
    fall = [1.0, 0.9, 0.8, 0.3, 0.0]
    found = []
    for seed in range(4):
        noise = 1 + 0.01 * seed
        end = stopped.get(seed, {"generation": 4})["generation"]
        for t in range(5):
            status = "ok" if t <= end else "stopped"
            found.append(record(fall[t] * noise, t, status) | {"seed": seed, "fingerprints": {}})
            found.append(record(noise, t) | {"arm": "control", "seed": seed, "fingerprints": {}})
    return found


def test_slopes_are_over_the_generations_that_all_lineages_have():
    stopped = {1: {"generation": 2, "when": "collapsed"}, 2: {"generation": 3, "when": "collapsed"}}
    records = indexed(cells(stopped))
    found = analyse(facts_of(stopped), records)
    (against,) = [one for one in found["slope_against_control"] if one.arm == "a"]
    # Over generations 0 to 2, which all four have: a tenth times the mean of 1, 1.01, 1.02 and 1.03.
    assert against.numbers["mean"] == pytest.approx(-0.1 * 1.015) and against.numbers["lineages"] == 4
    (own,) = [one for one in found["primary_slope"] if one.arm == "a"]
    assert own.numbers["mean"] == pytest.approx(-0.1 * 1.015)
    assert "Stopped were 2 of 4 lineages (seed 1 at generation 2, seed 2 at generation 3)" in own.sentence
    whole = analyse(facts_of({}, ()), indexed(cells({})))
    (against,) = [one for one in whole["slope_against_control"] if one.arm == "a"]
    assert against.numbers["mean"] == pytest.approx(np.polyfit(range(5), [1.0, 0.9, 0.8, 0.3, 0.0], 1)[0] * 1.015)
    assert whole["stopping"] == []


def test_the_report_says_and_draws_who_goes_on():
    stopped = {1: {"generation": 2, "when": "collapsed"}, 2: {"generation": 3, "when": "collapsed"}}
    facts, records = facts_of(stopped), indexed(cells(stopped))
    assert [step.at_risk for step in of_arm(facts, records, "a")] == [4, 4, 4, 3, 2]
    (finding,) = analyse(facts, records)["stopping"]
    assert finding.status == "in part stopped" and finding.words["at_risk"] == "4, 4, 4, 3, 2"
    assert finding.numbers["share"] == pytest.approx(0.5)
    rows = survival_chart(facts, records, 700)["data"]["values"]
    assert {row["arm"] for row in rows} == {"a"}
    assert [row["at_risk"] for row in rows if row["what"] == "count"] == [4, 4, 4, 3, 2]
    assert survival_chart(facts_of({}, ()), records, 700) is None


# -- the whole workflow ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stopped_lineage_costs_no_training_and_stays_stopped(finished, tmp_path):
    project = Project.create(tmp_path / "project")
    shutil.copytree(finished.folder / "results/real", project.folder / "results/real")
    file = project.folder / "config/stopping.yaml"
    file.write_text(STOPPING)
    done = project.snakemake(study="stopping", timeout=1500)
    folder = project.folder / "results/stopping"

    def read(arm, generation, noun):
        return [json.loads((folder / f"{arm}/seed{seed}/gen{generation}/{noun}").read_text()) for seed in (0, 1)]

    decisions = [one["stopped"] for one in read("alone", 2, "stop.json")]
    assert any(decisions)
    ended = [f"collapselab: alone seed {seed}: {stopping.why(one)}" for seed, one in enumerate(decisions) if one]
    assert all(line in done.stderr.splitlines() for line in ended)
    for seed, decision in enumerate(decisions):
        for generation in range(3):
            found = read("alone", generation, "metrics.json")[seed]
            gone = decision is not None and generation > decision["generation"]
            assert found["status"] == ("stopped" if gone else "ok") and bool(found["values"]) != gone
            assert found.get("stopped") == (decision if gone else None)
    assert [one["status"] for one in read("control", 2, "metrics.json")] == ["ok", "ok"]
    page = (folder / "report/report.html").read_text()
    assert "Stopped lineages" in page and "Lineages that go on" in page
    assert project.plan(study="stopping") == {}
    # One more generation, and another rule: no training runs again, and what was stopped stays so.
    before = {path: path.read_text() for path in folder.rglob("model.safetensors.sha256")}
    file.write_text(STOPPING.replace("generations: 2", "generations: 3").replace("below: 0.5", "below: 1.0e-9"))
    planned = project.plan(study="stopping")
    assert planned["train"] == 4  # of generation 3 alone: two lineages of the arm and two of its control
    project.snakemake(study="stopping", timeout=1500)
    assert {path: path.read_text() for path in before} == before
    later = [one["stopped"] for one in read("alone", 3, "stop.json")]
    assert [one for one in later if one] == [one for one in decisions if one]
    file.write_text("\n".join(line for line in STOPPING.splitlines() if not line.startswith("stop:")))
    assert "train" not in project.plan(study="stopping")
