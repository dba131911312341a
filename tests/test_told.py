"""What jobs are told: words that pass no template, and by a file where they are too long for a command line."""

import json
import subprocess

import pytest
import yaml
from project import Project

from collapselab.core.errors import Damaged
from collapselab.store import told
from collapselab.study import jobs
from collapselab.study.jobs import Place
from collapselab.study.loading import from_plan, load
from collapselab.study.reasons import causes
from collapselab.study.telling import LONGEST_BYTES, as_json, plain, shell
from collapselab.together import loop
from collapselab.together.folded import folded, unfolded


def written(folder, name="study", **changes):
    raw = {
        "name": name,
        "seeds": 2,
        "generations": 2,
        "data": {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 50}},
        "models": {"m": {"gaussian": {"ddof": 0}}},
        "initial": {"real": 20},
        "samples": 20,
        "extractors": ["moments"],
        "metrics": ["frechet_distance"],
        "primary": {"metric": "frechet_distance", "extractor": "moments"},
        "arms": {"own": {"model": "m", "regime": "accumulate"}},
        "control": "none",
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**raw, **changes}, sort_keys=False))
    return path


BRACES = ["{x}", "{study}", "{ wildcards.arm }", "a{b,[0-9]+}c", "}{", "{{x}}", '{"', 'quoted "{x}" \\{y}', "{", "}"]


@pytest.mark.parametrize("text", BRACES)
def test_json_says_braces_without_one_in_a_string(text):
    value = {"what": text, text: [text, {"in": {}}]}
    said = as_json(value)
    assert json.loads(said) == value
    from snakemake.io import apply_wildcards

    assert apply_wildcards(said, {}) == said  # raises for a wildcard that nobody knows
    assert plain('{"a":{}}') == '{"a":{}}' and plain(json.dumps({"a": "x"})) == '{"a": "x"}'


def test_a_study_s_words_arrive_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    question = 'What does {x} do to {study}, {{really}}? It\'s "$HOME" `true`\n' + "é𝒳" * 9
    study = load(
        written(tmp_path, question=question, arms={"own": {"model": "m", "regime": "accumulate", "about": "{arm}"}})
    )
    words = jobs.arguments(study, "report", Place())
    from snakemake.io import apply_wildcards

    assert apply_wildcards(words, {}) == words
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True)
    option, plan, _ = done.stdout.decode().split("\0")
    again = from_plan(plan)
    assert option == "--planned" and again.file == study.file
    assert (again.file.question, again.file.arms["own"].about) == (question, "{arm}")


def test_long_words_are_told_by_a_file_of_their_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short, long = ["--a", "x" * 100], ["--a", "x" * LONGEST_BYTES, "--b", "it's\n{x}"]
    assert shell(short) == f"--a {'x' * 100}" and not (tmp_path / ".snakemake").exists()
    said = shell(long)
    assert len(said) < 200 and said == shell(long) and said != shell([*long, "y"])
    option, path = said.split()
    assert told.spelled_out(["train", option, path, "--out", "z"]) == ["train", *long, "--out", "z"]
    (tmp_path / path).write_text("[]")
    with pytest.raises(Damaged, match="is not what the workflow has told"):
        told.spelled_out([option, path])


@pytest.mark.parametrize("together", [False, True])
def test_no_job_of_many_generations_is_told_more_than_a_system_takes(tmp_path, monkeypatch, together):
    monkeypatch.chdir(tmp_path)
    study = load(written(tmp_path, generations=500, together=together, question="why? " * 30_000))
    last = [(verb, Place("own", 0, 500)) for verb in ("draw", "compose", "train", "record")]
    places = [*([("replicate", Place("own"))] if together else last), ("report", Place())]
    for verb, place in places:
        assert len(jobs.arguments(study, verb, place).encode()) <= LONGEST_BYTES, verb
    # They grow with the generations, not with their square.
    spoken = sum(path.stat().st_size for path in (tmp_path / ".snakemake").rglob("*.json"))
    assert spoken < 500 * 300 + 400_000


def test_what_many_generations_eat_is_told_by_their_regime(tmp_path):
    few, many = (load(written(tmp_path, generations=n, together=True)) for n in (100, 101))
    arm = few.replicated("own")
    assert folded(arm, few.lineages["own"].regime) is arm  # as before: what has run is not run again
    assert unfolded(arm.model_dump(mode="json")) == arm.model_dump(mode="json")
    arm = many.replicated("own")
    said = json.loads(as_json(folded(arm, many.lineages["own"].regime)))
    assert said["recipes"]["generations"] == 101 and len(json.dumps(said)) < 3_000
    assert loop.Replicates.model_validate_json(json.dumps(unfolded(said))) == arm


def test_a_plan_says_what_changed_of_what_was_told_by_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, after = (shell(["--images-seen", str(seen), "--recipe", "x" * LONGEST_BYTES]) for seen in (100, 200))
    printed = (
        f"rule train:\n    reason: Params have changed since last execution: before: {before!r} now: {after!r}\n\n"
    )
    assert list(causes(printed, {}, {})["train"]) == ["--images-seen 100 is now 200"]


@pytest.fixture
def asking(tmp_path):
    """A project with a study whose question has braces, and is longer than a command line."""
    project = Project.create(tmp_path / "project")
    question = "What does {x} do to {study}? " + "And why? " * 16_000
    written(project.folder / "config", "braces", question=question, together=True)
    return project


REPORT = "results/braces/report/report.html"


def test_words_with_braces_and_long_ones_are_planned(asking):
    assert asking.plan(REPORT, study="braces") == {"replicate": 1, "report": 1}


@pytest.mark.slow
def test_words_with_braces_and_long_ones_reach_the_report(asking):
    asking.snakemake(REPORT, study="braces")
    assert "What does {x} do to {study}? And why?" in (asking.folder / REPORT).read_text()
    assert asking.plan(REPORT, study="braces") == {}
