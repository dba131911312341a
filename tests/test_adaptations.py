"""What adapters have found, as a reader sees it: their curves in the report and in MLflow, and what stays of them."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import in_process
import made_up
import numpy as np
import pytest
from test_neon import LOOP, study_of

from collapselab import report, store
from collapselab.adapt.base import Step, steps_of
from collapselab.cli.gc import _free
from collapselab.report import adapted
from collapselab.report.lines import HEIGHT, WIDTH, Line, Stop, chart
from collapselab.report.runs import Beside, lineages
from collapselab.study.adaptations import adaptations, chosen_in_words
from collapselab.study.clearing import Freed

CHECKS = {"images_seen": [0, 100, 200], "recall": [0.8, 0.7, 0.4], "path_kl": [0, 1, 4], "reward": [1, 2, 3]}
FACTS = {
    "checks": CHECKS,
    "training": {"images_seen": [50, 150], "loss": [0.5, None], "reward": [1.5, 2.5]},
    "stopped": {"images_seen": 200, "why": "recall <.64"},
    "chosen": {"weight": 0.5, "kind": "mean"},
    "curve": [[0, 1], [1, 2]],
    "uneven": {"images_seen": [1, 2], "number": [1]},
    "rows": 12,
}


def test_every_list_over_images_seen_is_a_series_and_those_beside_each_other_come_first():
    found = {one.name: one for one in adapted.series_of(FACTS)}
    assert list(found) == ["reward", "recall", "path_kl", "loss", "reward (training)"]
    assert (found["loss"].seen, found["loss"].values) == ([50, 150], [0.5, None])
    assert adapted.series_of({}) == adapted.series_of({"checks": {"images_seen": [], "recall": []}}) == []


def test_an_end_and_single_findings_are_told_in_words():
    assert adapted.stop_of(FACTS) == (200, "images seen 200, why recall <.64")
    assert adapted.stop_of({}) == (None, "") and adapted.stop_of({"stopped": "knee"}) == (None, "knee")
    said = dict(adapted.found_by(FACTS))
    assert said["chosen"] == "weight 0.5, kind mean" and said["rows"] == "12"
    assert "curve" not in said and "checks" not in said


def numbers_in(path):
    return np.array([list(map(float, pair)) for pair in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)])


def test_a_chart_lies_within_its_box_with_gaps_where_there_is_no_number():
    lines = [Line([0, 1, 2, 3], [1.0, None, float("nan"), -5.0], "<first>"), Line([0, 4], [3.0, 9.0])]
    drawn = chart("A <title>", lines, "images", [Stop(8, "knee & more")], until=10)
    root = ElementTree.fromstring(drawn)  # escaped: it is well-formed
    assert root.attrib["aria-label"].startswith("A <title> over images: 1 to -5")
    paths = [one for one in root if one.attrib.get("class") == "line"]
    assert [one.attrib["d"].count("M") for one in paths] == [2, 1]  # a gap lifts the pen
    points = np.concatenate([numbers_in(one.attrib["d"]) for one in paths])
    assert (points > 0).all() and (points < [WIDTH, HEIGHT]).all()
    first, last = numbers_in(paths[1].attrib["d"])
    assert first[1] > last[1] and last[0] < WIDTH * 0.55  # higher is up; the axis goes on to 10
    (stop,) = [one for one in root if one.attrib.get("class") == "stop"]
    ends = numbers_in(stop.attrib["d"])
    assert ends[0, 0] == ends[1, 0] and ends[0, 1] != ends[1, 1]
    assert "10 images" in drawn and chart("none", [Line([1], [None])], "images") == ""


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.0, 0.0], [-1e6, 1e6]])
def test_level_lines_and_wide_spans_are_drawn(values):
    root = ElementTree.fromstring(chart("level", [Line([0, 1], values)], "images"))
    (path,) = [one for one in root if one.attrib.get("class") == "line"]
    points = numbers_in(path.attrib["d"])
    assert np.isfinite(points).all() and (points[:, 1] > 0).all() and (points[:, 1] < HEIGHT).all()


# -- in the report and in MLflow ---------------------------------------------------------------------------------------


def cells(arm, steps):
    return {(arm, seed, generation): steps for seed in (0, 1) for generation in (0, 1)}


def test_the_report_draws_each_step_of_an_arm_and_says_where_it_ended():
    records, facts = made_up.records(seeds=1, generations=1), made_up.facts()
    arm = next(iter(facts.arms))
    steps = [Step("ddpo", {}, FACTS), Step("plain<", {}, {})]
    page = report.build(replace(facts, adaptations=cells(arm, steps)), records, figures=False)["report.html"].decode()
    section = page[page.index('<h2 id="adaptations">') : page.index('<h2 id="classes">')]
    assert section.count("<svg") == 5 and section.count('class="line"') == 5 * 4  # two seeds, two generations
    assert "Stopped: generation 1, seed 0: images seen 200, why recall &lt;.64" in section
    assert "step 1: ddpo" in section and "step 2: plain&lt;" in section and "It has no curve." in section
    assert page.count('href="#adaptations"') == 1 and adapted.of_study(facts, {}) == []


def test_mlflow_is_shown_every_series_over_the_images_that_were_seen():
    records = made_up.records()
    arm = records[0]["arm"]
    one, several = [Step("ddpo", {}, FACTS)], [Step("ddpo", {}, FACTS), Step("esd", {}, {"training": CHECKS})]
    for steps, group, name in ((one, "adapt", "reward"), (several, "adapt_1_esd", "path_kl")):
        runs = lineages(records, Beside(adaptations={(arm, 0, 1): steps}))[f"{arm}/seed0"][1]
        found = [point for point in runs[f"{arm}/seed0/gen1"].metrics if point[0].startswith("adapt")]
        assert [point[1:] for point in found if point[0] == f"{group}/{name}"] == list(
            zip(map(float, CHECKS[name]), CHECKS["images_seen"], strict=True)
        )
        assert not [point for point in runs[f"{arm}/seed0/gen0"].metrics if point[0].startswith("adapt")]
    losses = [point for point in found if point[0] == "adapt_0_ddpo/loss"]
    assert losses == [("adapt_0_ddpo/loss", 0.5, 50)]  # what is no number is not shown


# -- read from a study, and what stays ---------------------------------------------------------------------------------


def test_a_lineage_tells_of_one_adapter_and_of_several():
    assert steps_of({"adapter": {"a": {"x": 1}}}) == [Step("a", {"x": 1}, {})]
    assert steps_of({"adapter": {"a": {}}, "adaptation": {"n": 1}}) == [Step("a", {}, {"n": 1})]
    told = {"adapter": [{"a": {}}, {"b": {"y": 2}}], "adaptation": [{"n": 1}, {}]}
    assert steps_of(told) == [Step("a", {}, {"n": 1}), Step("b", {"y": 2}, {})]
    assert steps_of({"generation": 1}) == []


def test_what_was_chosen_is_said_of_each_step():
    steps = [Step("a", {}, {"chosen": {"w": 0.25}}), Step("b", {}, {}), Step("c", {}, {"chosen": {"k": "x", "n": 3}})]
    found = {("arm", 0, 0): steps, ("arm", 1, 0): steps, ("other", 0, 0): [Step("a", {}, {})]}
    assert chosen_in_words(found) == {
        "arm": "a: w 0.25, 0.25 at generation 0, then c: k x, x at generation 0 and n 3, 3 at generation 0"
    }


def test_what_adapters_found_is_read_from_a_study_and_stays_when_its_weights_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = study_of(LOOP)
    for verb, place in in_process.in_order(study):
        if place.generation == 0 and place.seed == 0 and verb in ("populate", "compose", "draw", "train", "adapt"):
            assert in_process.frame.run(in_process.words_of(study, verb, place)) == 0
    before = adaptations(study)
    adapted_arms = {arm for arm in study.file.arms if study.lineages[arm].adapt}
    assert {arm for arm, _, _ in before} == adapted_arms and len(before) == len(adapted_arms)
    assert all([step.name for step in steps] == ["neon"] for steps in before.values())
    cell = next(iter(before))
    path = Path(study.model_file(*cell))
    _free(Freed(path, path.stat().st_size, "thinned", True))
    assert not path.exists() and adaptations(study) == before
    tensors, _ = store.read_tensors(path.with_name("adaptation.safetensors"))
    assert tensors == {}
