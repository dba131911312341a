"""Watching a study: signs of life beside what is written, what is seen of a study's files, and how it is told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from project import ROOT

from collapselab.cli import status as told
from collapselab.store import beats, held
from collapselab.store.cells import Cell
from collapselab.study import clearing, drivers, layout, progress
from collapselab.study.loading import check
from collapselab.study.telling import duration


def study(name="watched", **changes):
    """The smoke study under another name, with other numbers."""
    raw = yaml.safe_load((ROOT / "config/smoke.yaml").read_text()) | {"name": name} | changes
    found, faults = check(raw, name)
    assert not faults, faults
    return found


def write(path, content="x"):
    """A file with a hash beside it, whatever it says."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    Path(f"{path}.sha256").write_text("x", encoding="utf-8")


def measure(found, arm, seed, generation, seconds=2.0, **record):
    """All files of a generation, as far as a look reads them."""
    cell = Cell(found.name, arm, seed, generation)
    for folder, nouns in layout.made(found):
        if folder in (cell.folder, cell._replace(arm=found.lineages[arm].base).folder):
            for noun in nouns:
                write(f"{folder}/{noun}", json.dumps({"wall_seconds": seconds}))
    write(
        found.cell(arm, seed, generation, "metrics.json"),
        json.dumps({"arm": arm, "status": "ok"} | record, indent=1, sort_keys=True),
    )


def beat(out, host="elsewhere", process=1, age=0.0, **more):
    """A sign of life beside a file, of a process of another machine, as old as is said."""
    path = beats.beat_path(Path(out))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"verb": "train", "host": host, "process": process, "since": 0.0, "told": 10.0} | more))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder in which one stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    return tmp_path


# -- signs of life -----------------------------------------------------------------------------------------------------


def test_a_verb_at_work_says_so_beside_its_output_and_leaves_nothing(here):
    out = here / "results/a/model.safetensors"
    with beats.beating("train", out):
        beats.tell(100, 1000, 0.5)
        deadline = time.monotonic() + 60
        while not beats.beat_path(out).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        found = beats.sign_in(beats.beat_path(out), time.time())
        assert found.lives and found.beat.verb == "train" and found.beat.process == os.getpid()
        assert sorted(path.name for path in out.parent.iterdir()) == [".model.safetensors.at_work"]
    assert list(out.parent.iterdir()) == []
    beats.tell(1, 2, None)  # nobody says that it is at work, and nothing happens


def test_the_time_that_is_left_follows_from_what_was_done_since_it_began():
    told = beats.Beat("train", "h", 1, 0.0, 30.0, done=600, of=1000, begun=400, begun_at=10.0)
    assert told.seconds_left == pytest.approx(40.0)  # 200 in 20 s, and 400 are left
    assert told._replace(done=400).seconds_left is None and told._replace(of=None).seconds_left is None


def test_a_read_only_folder_fails_nobodys_work(here):
    (here / "results/file").write_text("in the way of a folder")
    with beats.beating("train", here / "results/file/model.safetensors"):
        beats.tell(1, 2, None)


def test_who_was_killed_is_told_at_once_here_and_after_a_while_elsewhere(here):
    code = (
        "import sys, time; from pathlib import Path; from collapselab.store import beats\n"
        "with beats.beating('train', Path(sys.argv[1])): time.sleep(600)"
    )
    out = here / "results/model.safetensors"
    process = subprocess.Popen([sys.executable, "-c", code, str(out)])
    path = beats.beat_path(out)
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    written = path.stat().st_mtime
    assert beats.sign_in(path, written + beats.GONE_S + 1).lives  # late, but its process is there
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone = beats.sign_in(path, written + beats.GONE_S + 1)
    assert not gone.lives and gone.beat.process == process.pid and gone.age_s == pytest.approx(beats.GONE_S + 1)
    other = beat(here / "results/other", age=0)
    now = other.stat().st_mtime
    assert (
        beats.sign_in(other, now + beats.SILENT_S - 1).lives
        and not beats.sign_in(other, now + beats.SILENT_S + 1).lives
    )
    other.write_text("half a sig")
    assert beats.sign_in(other, now) is None and beats.sign_in(here / "nothing", now) is None


def test_time_is_that_of_the_file_system(here, monkeypatch):
    monkeypatch.setattr(beats.time, "time", lambda: 0.0)  # a clock that is years behind
    assert beats.now_in(here) > 1e9 and list(here.iterdir()) == [here / "results"]
    assert beats.now_in(here / "nowhere") == 0.0


# -- a look ------------------------------------------------------------------------------------------------------------


def test_every_state_is_told_from_files_alone(here):
    found = study(generations=5, seeds=3)
    at = Cell(found.name, "fully_synthetic", 0, 0)
    for generation in range(3):
        measure(found, "fully_synthetic", 0, generation)
    measure(found, "fully_synthetic", 0, 2, diverged={"generation": 2}, status="diverged")
    measure(found, "k_memory", 2, 0, stopped={"generation": 0}, status="stopped")
    beat(at._replace(generation=3).path("model.safetensors"), done=45, of=100, begun=0, begun_at=0.0)
    log = Path("logs/watched/k_memory/seed0/gen0/sample.log")
    log.parent.mkdir(parents=True)
    log.write_text('{"stage": "sample", "images_seen": 3}\ncollapselab: no room: 12 bytes are free\n', encoding="utf-8")
    beat(found.cell("k_memory", 1, 0, "samples.safetensors"), host="n1", process=77, age=3600)
    look = progress.look(found)
    states = {key: [one.state for one in lineage] for key, lineage in look.lineages.items()}
    assert states["fully_synthetic", 0] == ["measured", "measured", "diverged", "running", "later", "later"]
    assert states["k_memory", 0] == ["failed", *["later"] * 5] and states["k_memory", 1][0] == "silent"
    assert states["control", 0] == ["next", *["later"] * 5]
    assert states["k_memory", 2] == ["stopped", "next", *["later"] * 4]
    failed = look.lineages["k_memory", 0][0]
    assert failed.about == f"sample: no room: 12 bytes are free ({log})"
    assert [sign.beat.host for sign in look.at_work] == ["elsewhere"] and not look.is_finished
    said = "\n".join(told._lines(look))
    assert "at work: fully_synthetic seed 0 generation 3: train 45 % (45 of 100), 12 s left, process 1 on else" in said
    assert "no sign of life of process 77 on n1 for 1 h: run snakemake again" in said
    assert "fully_synthetic seed 0: generation 0 to 1 measured, 2 diverged, 3 at work, 4 to 5 later" in said
    ended = ["fully_synthetic seed 0: diverged at generation 2", "k_memory seed 2: stopped at generation 0"]
    assert progress.ended(found) == ended  # which the driver says at its end
    many = study(seeds=progress.TOLD + 2)
    for seed in range(many.file.seeds):
        measure(many, "fully_synthetic", seed, 0, diverged={"generation": 0}, status="diverged")
    assert progress.ended(many)[progress.TOLD :] == ["and 3 lineages more: collapselab status watched"]


def test_who_runs_it_is_told_as_long_as_it_does(here):
    found = study()
    with held(drivers.FOLDER / "drivers" / found.name):
        (said,) = progress.look(found).drivers
        assert said.startswith(f"process {os.getpid()} on ")
        assert f"run by {said}" in list(told._lines(progress.look(found)))
    assert progress.look(found).drivers == []


def test_a_sign_of_life_that_was_left_behind_may_go(here):
    found = study()
    sign = beat(found.cell("k_memory", 0, 1, "model.safetensors"), age=3600)
    beat(found.cell("k_memory", 0, 2, "model.safetensors"))
    assert [one.path for one in clearing.freed(found, ())] == [sign]


def test_a_warning_in_a_log_is_no_failure_and_a_trace_is(here):
    found = study()
    log = Path("logs/watched/k_memory/seed0/gen0/sample.log")
    log.parent.mkdir(parents=True)
    log.write_text("a warning of some library\n", encoding="utf-8")
    assert progress.look(found).counts["failed"] == 0
    log.write_text(
        "Traceback (most recent call last):\n  File x\nAssertionError: what was not foreseen\n", encoding="utf-8"
    )
    assert "AssertionError: what was not foreseen" in progress.look(found).lineages["k_memory", 0][0].about
    write(found.cell("k_memory", 0, 0, "samples.safetensors"))
    write(found.cell("k_memory", 0, 0, "sample.cost.json"))
    assert progress.look(found).counts["failed"] == 0  # it has been made since


def test_people_are_waited_for_until_their_round_is_closed(here):
    raw = yaml.safe_load((ROOT / "config/digits-selection.yaml").read_text())
    found, _ = check(raw, raw["name"])
    arm = next(arm for arm in found.lineages if found.awaits_ballots(arm))
    write(found.released_file(arm, 0, 0))
    look = progress.look(found)
    assert look.lineages[arm, 0][0].state == "waiting"
    assert f"collapselab judge serve {found.name}" in look.lineages[arm, 0][0].about
    write(progress.closed_round(found, arm, 0, 0))
    assert progress.look(found).counts["waiting"] == 0


def test_what_is_left_is_the_mean_of_what_was_measured(here):
    found = study(seeds=1, control="none")
    assert progress.look(found).left() is None  # no job has ended yet
    measure(found, "fully_synthetic", 0, 0, seconds=2.0)
    measure(found, "fully_synthetic", 0, 1, seconds=4.0)
    look = progress.look(found)
    # Four stages tell a cost, 3 s on average. Of k_memory only the training of generation 0 has ended, in 2 s, which it
    # shares: it counts for its other two, and for its other stages what they took in the other arm.
    assert [one.seconds for one in look.lineages["fully_synthetic", 0]] == [0, 0, 4 * 3.0]
    longest = 2 * 2.0 + 3 * 3 * 3.0
    assert look.left() == {"one": 12.0 + longest, "longest": longest}
    beat(found.cell("k_memory", 0, 0, "samples.safetensors"))
    assert progress.look(found).left()["about"] == 12.0 + longest  # one job is at work
    beat(found.cell("fully_synthetic", 0, 2, "samples.safetensors"), process=2)
    assert progress.look(found).left()["about"] == longest  # of two the second has half of the other's


def test_many_seeds_together_are_one_job_an_arm(here):
    raw = yaml.safe_load((ROOT / "config/theory-gaussian.yaml").read_text())
    found, faults = check(raw, raw["name"])
    assert not faults
    beat(found.table("accumulate", "parquet"), verb="replicate", done=10, of=20, begun=0, begun_at=0.0)
    write(found.table("fresh_data", "parquet"))
    look = progress.look(found)
    assert {one.arm: one.state for one in look.cells if one.state != "next"} == {
        "accumulate": "running",
        "fresh_data": "measured",
    }
    assert "arms done" in next(told._lines(look))


def test_a_look_at_thousands_of_generations_calls_for_each_of_them_a_few_times(here, monkeypatch):
    found = study(seeds=20, generations=50)  # 3,060 generations
    for arm in found.lineages:
        for seed in range(20):
            for generation in range(40):
                write(found.cell(arm, seed, generation, "metrics.json"), '{\n "status": "ok"\n}')
    calls = {"listdir": 0, "open": 0}

    def counted(name, call):
        def count(*given, **named):
            calls[name] += 1
            return call(*given, **named)

        return count

    monkeypatch.setattr(progress.os, "listdir", counted("listdir", os.listdir))
    monkeypatch.setattr("builtins.open", counted("open", open))
    look = progress.look(found)
    cells = len(look.cells)
    assert look.counts["measured"] == 60 * 40 and cells == 3060
    # A folder is listed once, and one that is not there never; of each record the beginning is read.
    assert calls["open"] <= 60 * 40 + 5 and calls["listdir"] <= 60 * 40 + 4 * 60 + 20


# -- telling -----------------------------------------------------------------------------------------------------------


def _lineage(*states):
    return [progress.Seen("a", 0, at, state) for at, state in enumerate(states)]


def test_of_several_generations_in_a_place_the_one_that_calls_for_somebody_is_drawn():
    lineage = _lineage("measured", "measured", "failed", "measured", "running", "later", "later")
    assert told.places([lineage], 100) == [one.state for one in lineage]
    assert told.places([lineage], 4) == ["measured", "failed", "running", "later"]
    assert told.places([lineage, _lineage(*["waiting"] * 7)], 2) == ["failed", "waiting"]
    assert set(told.SIGNS) == set(progress.STATES)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_the_picture_fits_any_terminal(here, width):
    found = study(generations=100)
    drawn = told._drawn(progress.look(found), width).plain.splitlines()
    rows = [line for line in drawn if line.endswith((".", "o"))]
    assert len(rows) == 6 and max(map(len, rows)) <= width


def test_times_are_told_in_two_parts_at_most():
    said = {0.4: "0 s", 59: "59 s", 61: "1 min", 3599: "1 h", 7260: "2 h 1 min", 90000: "1 day 1 h", 172800: "2 days"}
    assert {seconds: duration(seconds) for seconds in said} == said


def test_the_verb_tells_a_finished_study_and_what_is_left_as_json(finished):
    assert "smoke: 18 of 18 generations done" in finished.run("collapselab", "status", "smoke").stdout
    found = json.loads(finished.run("collapselab", "status", "smoke", "--json").stdout)
    assert found["finished"] and found["counts"] == {"measured": 18} and len(found["cells"]) == 18
    assert not list((finished.folder / "results").rglob(f"*{beats.SUFFIX}*"))  # no job has left a sign
    done = finished.run("collapselab", "status", "smoke", "--watch", "--json", code=2)
    assert "allowed is one" in done.stderr
    assert "18 of 18" in finished.run("collapselab", "status", "smoke", "--watch").stdout
