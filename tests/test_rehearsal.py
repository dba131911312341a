"""A small study in which simulated judges come over HTTP, from the first job to the report, by one command."""

import csv
import sys

import numpy as np
import pytest
from project import ROOT, Project

from collapselab import store

pytestmark = pytest.mark.slow  # a whole study with a server

STUDY = """
name: small
seeds: 1
generations: 1
data: {source: digits, split: {train: 200, held_out: 200}}
models: {tiny: {ppca: {components: 20, ddof: 0}}}
initial: {real: 200}
samples: 60
too_few: top_up
extractors: [pixels, colours, spectrum]
metrics: [recall, colour_distance, cross_hatching]
primary: {metric: recall, extractor: pixels}
arms:
  judged:
    model: tiny
    regime: {fully_synthetic: {n: 30}}
    select:
      people:
        share: 0.5
        judges: 4
        per_judge: 30
        overlap: 2
        gold: 0.1
        repeats: 0.1
        simulated: {noisy: {error: 0.1}, through: [pixels], levels: 8, discouraged: 1.0}
  unselected: {model: tiny, regime: {fully_synthetic: {n: 30}}}
"""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    for part in ("fastapi", "uvicorn", "httpx2", "sqlalchemy"):
        pytest.importorskip(part, reason="the extra `judge` is not installed")
    project = Project.create(tmp_path_factory.mktemp("project"))
    (project.folder / "config" / "small.yaml").write_text(STUDY, encoding="utf-8")
    done = project.run(sys.executable, ROOT / "bench" / "rehearsal.py", "--study", "small", timeout=1800)
    return project, done.stdout


def test_one_command_leads_through_every_round_to_the_report(rehearsed):
    project, said = rehearsed
    assert said.count("waiting for people: 0 of 144 judgements") == 2  # generations 0 and 1; 4 x (30 + 3 + 3) each
    assert "4 judges: 144 items judged" in said and "4 surveys answered; they are at: thanks" in said
    assert "2 rounds, 288 judgements" in said
    assert "Nothing to be done" in project.snakemake(study="small").stderr
    page = (project.folder / "results" / "small" / "report" / "report.html").read_text(encoding="utf-8")
    assert "only seem to be people" in page and "Kept and discarded" in page and "Closing survey" in page


def test_what_is_kept_is_what_most_judges_called_good(rehearsed):
    project, _ = rehearsed
    for generation in (0, 1):
        cell = project.folder / "results" / "small" / "judged" / "seed0" / f"gen{generation}"
        ballots, kept = store.read_ballots(cell / "ballots.parquet"), store.read_kept(cell / "kept.parquet")
        good = np.zeros((2, 60), int)
        for place in ballots.votes:
            good[int(ballots.answers[place] == "bad"), ballots.rows[place]] += 1
        assert (good.sum(axis=0) == 2).all() and len(kept.rows) == 30  # everything is judged by two
        approved = np.flatnonzero(good[0] > good[1])
        chosen = {row for row, reason in zip(kept.rows, kept.reasons, strict=True) if reason != "topped up"}
        assert chosen <= set(approved.tolist()) and len(chosen) == min(30, len(approved))
        assert ballots.lineage["counts"] == {"study": 120, "repeat": 12, "gold": 12}


def test_the_survey_is_exported_without_codes(rehearsed):
    project, _ = rehearsed
    text = (project.folder / "ballots" / "small" / "survey.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 4 and {row["arm"] for row in rows} == {"judged"} and "J0" not in text
    assert {int(row["inclined"]) for row in rows} <= {3, 4}  # all of them are discouraged
    said = project.run("collapselab", "judge", "posting", "small", "--n", 200).stdout
    assert "4 people" in said and "regime:" in said
