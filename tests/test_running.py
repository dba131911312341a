"""What a run says, on a terminal and elsewhere, the order of its work, and how signals and words reach snakemake."""

import json
import logging
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest
import typer
from project import ROOT, said
from snakemake.logging import DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from collapselab import study as studies
from collapselab.cli import running
from collapselab.cli.running import with_signals
from collapselab.core.shipped import shipped
from collapselab.study import driving, following, requests
from collapselab.study.following import Following, Job, failure, shortfall
from collapselab.study.jobs import Place

SMOKE = studies.load(ROOT / "config" / "smoke.yaml")
RECORD = "results/smoke/control/seed0/gen2/metrics.json"
PATIENCE_S = 300.0  # for what takes seconds where nobody else is at work

# -- a line and a bar --------------------------------------------------------------------------------------------------


def job(verb, began_at=0.0, outputs=(), **where):
    return Job(verb, where, outputs, began_at)


def test_a_job_is_called_by_its_arm_seed_and_generation():
    assert following.name_of("train", {"study": "s", "generation": "3", "seed": "0", "arm": "a"}) == (
        "train a seed 0 generation 3"
    )
    assert following.name_of("learn", {"real": "digits-12", "extractor": "lenet", "variant": ".ab"}) == "learn lenet"
    assert following.name_of("report", {"study": "s"}) == "report"


def test_what_is_left_is_the_mean_of_each_kind_over_the_jobs_at_a_time():
    run = Following({"train": 4, "record": 4, "report": 1})
    assert run.left(0.0).words == ""
    for number in (0, 1):  # two at a time, for 100 s
        run.begin(number, job("train", 1000.0))
        run.end(number, 1100.0)
    left = run.left(1100.0)  # 2 trainings of 100 s, 2 at a time; of records nobody knows
    assert left.seconds == pytest.approx(100.0) and not left.is_all and left.words == "at least 2 min left"
    for number in (2, 3):
        run.begin(number, job("record", 1100.0))
        run.end(number, 1120.0)
    run.begin(4, job("train", 1120.0))
    run.begin(5, job("train", 1120.0))
    # 2 trainings of which 50 s have gone, and 2 records of 20 s: 2 * 50 + 2 * 20, two at a time. The report is one job.
    left = run.left(1170.0)
    assert left.seconds == pytest.approx(70.0) and left.is_all and left.words == "about 1 min left"
    assert (run.done, run.total) == (4, 9)


def test_a_job_that_waited_in_a_queue_took_what_its_cost_says(tmp_path):
    cost = tmp_path / "train.cost.json"
    cost.write_text(json.dumps({"wall_seconds": 7.0}))
    run = Following({"train": 3})
    for number, outputs in enumerate([[str(cost)], [str(tmp_path / "absent.cost.json")], []]):
        run.begin(number, job("train", 0.0, outputs))
    assert [run.end(number, 60.0)[1] for number in range(3)] == [7.0, 60.0, 60.0]
    assert run.end(17, 60.0) is None


def test_a_record_says_the_primary_so_far(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    primary = SMOKE.file.primary
    for generation, value, more in ((0, 0.5, {}), (2, 0.123456, {}), (3, None, {"status": "diverged"})):
        path = Path(SMOKE.cell("control", 0, generation, "metrics.json"))
        path.parent.mkdir(parents=True)
        own = {"metric": primary.metric, "extractor": primary.extractor, "set": "sampled"}
        values = [{**own, "set": "raw", "value": 9.0}, {**own, "task": 1, "value": 8.0}, {**own, "value": value}]
        path.write_text(json.dumps({"values": values, **more}), encoding="utf-8")
    told = [following.found_by(SMOKE, [SMOKE.cell("control", 0, t, "metrics.json")]) for t in (0, 1, 2, 3)]
    name = primary.metric
    assert told == [f"{name} 0.5", "", f"{name} 0.123, from 0.5 at generation 0", "diverged"]
    assert following.found_by(SMOKE, [SMOKE.cell("control", 0, 2, "features.safetensors")]) == ""


# -- what failed -------------------------------------------------------------------------------------------------------

LOGS = {
    "own words": (
        "an epoch\ncollapselab: budget: found 3\n  allowed is 2\n",
        ["  budget: found 3", "    allowed is 2"],
    ),
    "a trace": (
        "".join(f"{n}\n" for n in range(40)) + "ZeroDivisionError: x\n",
        [*(f"  {n}" for n in range(29, 40)), "  ZeroDivisionError: x"],
    ),
    "nothing": ("", []),
}


@pytest.mark.parametrize("name", LOGS)
def test_a_failed_job_is_one_block(tmp_path, name):
    text, shown = LOGS[name]
    log = tmp_path / "train.log"
    log.write_text(text)
    first, *lines, where, cure = failure("train a seed 0 generation 1", [str(log)])
    assert first == "FAILED: train a seed 0 generation 1" and lines == shown
    assert str(log) in where and ("nothing is said" in where) == (not shown) and "same command" in cure


ENDED = "slurmstepd: error: *** JOB 7 ON node CANCELLED AT 2026-11-29T19:48:00 DUE TO TIME LIMIT ***"


@pytest.mark.parametrize("own", ["collapselab: found no room\n", "it began\n", ""])
def test_why_a_cluster_ended_a_job_is_in_its_block(tmp_path, own):
    """Beside what the job said of itself: it knows of no time limit."""
    logs = [tmp_path / "train.log", tmp_path / "7.log"]
    after = "".join(f"Snakemake's {number}\n" for number in range(30))  # who runs the job there says much of its end
    for log, text in zip(logs, (own, f"host: node\n{ENDED}\n{after}"), strict=True):
        log.write_text(text)
    told = "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. For further error details see the log."
    _, *lines, _, _ = failure("train a seed 0 generation 1", [*map(str, logs)], told=told)
    assert lines.count(f"  {ENDED}") == 1 and "  SLURM-job '7' failed, SLURM status is: 'TIMEOUT'." in lines
    assert ("  found no room" in lines) == own.startswith("collapselab")


def test_a_queue_that_refuses_a_job_is_said_without_the_command():
    told = (
        "SLURM sbatch failed. The error message was 'sbatch: error: invalid account'.\n    sbatch call:\n  sbatch ..."
    )
    assert failure("train", [], told=told)[1:-2] == [f"  {told.splitlines()[0]}"]


def test_a_job_that_waits_for_people_has_not_failed(tmp_path):
    log = tmp_path / "ballots.log"
    log.write_text("collapselab: waiting for people: nobody judges yet\n")
    assert failure("ballots a seed 0 generation 1", [str(log)])[0].startswith("WAITS: ballots")


def test_a_killed_job_is_said_to_be_killed():
    assert "killed by signal 9, as for want of memory" in failure("train", ["absent.log"], 137)[0]
    assert "signal" not in failure("train", ["absent.log"], 2)[0]
    assert failure("train", [])[1] == "  log: none, in which nothing is said"


def test_what_failed_is_said_once_more_at_the_end():
    run = Following({"train": 5})
    assert shortfall(run) == []
    for number in range(3):
        run.begin(number, job("train"))
    run.end(0, 1.0)
    run.fail(1, "train b: b.log")
    run.fail(2, "train c: c.log")
    assert shortfall(run) == ["2 jobs failed; 2 more of 5 did not run:", "  train b: b.log", "  train c: c.log"]
    run.begin(1, job("train"))
    run.end(1, 2.0)  # tried again
    assert shortfall(run)[0] == "1 job failed; 2 more of 5 did not run:"


# -- the plugin --------------------------------------------------------------------------------------------------------


def handler(capsys, channel=0, show="lines", **said):
    """The plugin as snakemake sets it up, and a function that hands it an event and gives what it prints."""
    quiet = dict.fromkeys(("dryrun", "verbose", "printshellcmds", "debug_dag", "stdout", "show_failed_logs"), False)
    common = SimpleNamespace(**quiet | {"nocolor": True, "quiet": set()} | said)
    plugin = LoggerPluginRegistry().get_plugin("collapselab")
    made = plugin.log_handler(common, plugin.settings_cls(show=show, channel=channel))
    made.addFilter(DefaultFilter(common.quiet, False, False, common.dryrun, False))
    made.setFormatter(DefaultFormatter(common.quiet, False))

    def tell(message="", event=None, level=logging.INFO, created=1000.0, **facts):
        record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
        record.__dict__ |= {"created": created, **({"event": event} if event else {}), **facts}
        made.handle(record)
        captured = capsys.readouterr()
        return captured.out + captured.err

    return made, tell


BEGUN = {
    "event": LogEvent.JOB_INFO,
    "jobid": 3,
    "rule_name": "train",
    "output": ["a", "a.sha256"],
    "input": ["x"],
    "wildcards": {"study": "s", "arm": "a", "seed": "0", "generation": "1"},
    "log": ["a.log"],
    "rule_msg": None,
    "reason": "Missing output files: a, b, c",
    "is_checkpoint": False,
    "local": True,
    "benchmark": None,
    "priority": 2,
    "threads": 1,
    "resources": {},
    "indent": False,
}


def test_the_plugin_says_a_line_a_job(capsys):
    _, tell = handler(capsys)
    assert tell("x", LogEvent.RUN_INFO, stats={"train": 2, "all": 1, "total": 3}) == "3 jobs: 2 train, 1 all\n"
    assert tell("header", LogEvent.WORKFLOW_STARTED) == tell("Select jobs to execute...") == ""
    assert tell(**BEGUN) == ""
    line = tell("Finished jobid: 3", LogEvent.JOB_FINISHED, created=1002.5, job_id=3)
    assert line == "[1/3, about 2 s left] train a seed 0 generation 1, 2.5 s\n"
    assert tell("something that nobody knows") == "something that nobody knows\n"
    assert tell("beware", level=logging.WARNING) == "beware\n"


def test_the_plugin_says_a_block_a_failure_and_all_of_them_at_the_end(capsys, tmp_path):
    made, tell = handler(capsys)
    log = tmp_path / "a.log"
    log.write_text("collapselab: found no room\n")
    tell("x", LogEvent.RUN_INFO, stats={"train": 2, "total": 2})
    tell(**BEGUN)
    assert tell("CalledProcessError in file: returned non-zero exit status 4.", LogEvent.ERROR, logging.ERROR) == ""
    about = {"rule_name": "train", "jobid": 3, "log": [str(log)], "indent": False, "rule_msg": "status is 'TIMEOUT'"}
    block = tell("Error in rule", LogEvent.JOB_ERROR, logging.ERROR, **about)
    assert block.startswith("FAILED: train a seed 0 generation 1\n  found no room\n  status is 'TIMEOUT'\n")
    assert str(log) in block
    # Another error is told in full, as that of a missing file.
    assert "MissingOutput" in tell("MissingOutputException: x", LogEvent.ERROR, logging.ERROR)
    for _ in range(2):
        made.close()
    assert capsys.readouterr().err == f"1 job failed; 1 more of 2 did not run:\n  train a seed 0 generation 1: {log}\n"


def test_the_plugin_tells_of_a_group_once(capsys):
    _, tell = handler(capsys)
    tell("x", LogEvent.RUN_INFO, stats={"train": 2, "total": 2})
    tell(**BEGUN)
    each = [
        {"rule_name": name, "jobid": number, "log": [f"{name}.log"]} for number, name in ((3, "train"), (4, "grid"))
    ]
    block = tell("x", LogEvent.GROUP_ERROR, logging.ERROR, groupid="g", aux_logs=["slurm.log"], job_error_info=each)
    assert block.startswith("FAILED: train a seed 0 generation 1; grid\n")
    assert tell("x", LogEvent.JOB_ERROR, logging.ERROR, **each[0], indent=True) == ""


def test_the_plugin_tells_a_bar_how_far_it_is(capsys):
    out, into = os.pipe()
    _, tell = handler(capsys, channel=into)
    tell("x", LogEvent.RUN_INFO, stats={"train": 2, "total": 2})
    tell(**BEGUN)
    line = tell("Finished jobid: 3", LogEvent.JOB_FINISHED, created=1002.0, job_id=3)
    assert line == "train a seed 0 generation 1, 2.0 s\n"  # how far it is, the bar says
    os.close(into)
    with open(out, encoding="utf-8") as stream:
        told = [json.loads(text) for text in stream]
    assert [(one["done"], one["total"], one["at_work"]) for one in told] == [
        (0, 2, []),
        (0, 2, ["train a seed 0 generation 1"]),
        (1, 2, []),
    ]


def test_a_dry_run_says_why_in_a_line_and_all_where_it_is_asked_for(capsys):
    _, tell = handler(capsys, dryrun=True, stdout=True)
    assert tell(**BEGUN) == "train a seed 0 generation 1: not made yet\n"
    _, tell = handler(capsys, dryrun=True, stdout=True, show="all")
    whole = tell(**BEGUN)
    assert "reason: Missing output files: a, b, c" in whole and "rule train:" in whole


# -- a real run --------------------------------------------------------------------------------------------------------


def test_work_goes_generation_by_generation(smoke):
    # Touching goes through the scheduler and runs nothing; on one core its order is the order of what is ready.
    done = smoke.run("snakemake", "--touch", "--forceall", "--cores", 1, "--config", "study=smoke")
    order = [int(t) for t in re.findall(r"record \S+ seed \d+ generation (\d+)", done.stderr)]
    assert len(order) == len(list(SMOKE.cells())) and order == sorted(order)
    assert requests.turn(SMOKE, Place(part="train")) == requests.turn(SMOKE, Place("control", 1, 0))
    assert requests.turn(SMOKE, Place("control", 0, SMOKE.file.generations)) > 0  # of the report


def test_a_failure_is_a_block_and_the_rest_goes_on(smoke, tmp_path):
    other = RECORD.replace("seed0", "seed1")
    for file in (RECORD, other):
        (smoke.folder / file).unlink()
    program = tmp_path / "bin" / "collapselab"
    program.parent.mkdir()
    real = Path(sys.executable).with_name("collapselab")
    fails = f'if [[ "$*" == *{RECORD}* ]]; then echo "collapselab: found no room" >&2; exit 4; fi'
    program.write_text(f'#!/bin/bash\n{fails}\nexec {real} "$@"\n')
    program.chmod(0o755)
    environment = smoke.environment | {"PATH": f"{program.parent}{os.pathsep}{smoke.environment['PATH']}"}
    command = ["snakemake", "--cores", "2", "--config", "study=smoke", "--", RECORD, other]
    done = subprocess.run(command, cwd=smoke.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, said(done)
    lines = done.stderr.splitlines()
    begin = lines.index("FAILED: record control seed 0 generation 2")
    log = "logs/smoke/control/seed0/gen2/record.log"
    assert lines[begin + 1 : begin + 3] == ["  found no room", f"  log: {log}"]
    assert any(re.fullmatch(r"\[1/2\S*.*\] record control seed 1 generation 2, .*", line) for line in lines)
    assert lines[-2:] == ["1 job failed:", f"  record control seed 0 generation 2: {log}"]
    assert len(done.stderr) < 3000 and "CalledProcessError" not in done.stderr
    # Snakemake's own log has its whole account.
    whole = max((smoke.folder / ".snakemake/log").glob("*.log")).read_text()
    assert "CalledProcessError" in whole and "reason: " in whole


def on_a_terminal(command, folder, environment, poke=None):
    """The exit code of a command whose terminal this is, and what it prints; poke: what is done to it meanwhile."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    text, deadline = b"", time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = os.read(terminal, 65536)
        except OSError:  # it has ended
            break
        text += found
        if not found:
            break
        if poke and b"ready" in text:
            poke(process, terminal)
            poke = None
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), text.decode()


def test_on_a_terminal_a_bar_stands_below_the_lines_and_the_path_comes_last(smoke):
    (smoke.folder / RECORD).unlink()
    words = [sys.executable, "-m", "collapselab", "run", "smoke", "--cores", "1", RECORD]
    code, text = on_a_terminal(words, smoke.folder, smoke.environment | {"TERM": "xterm", "COLUMNS": "150"})
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert code == 0, plain
    assert "\x1b[?25l" in text and "\x1b[?25h" in text  # the cursor is there again
    assert re.search(r"smoke ━+ .*1/1", plain) and "at work: record control seed 0 generation 2" in plain
    name = SMOKE.file.primary.metric
    assert re.search(rf"record control seed 0 generation 2, [0-9.]+ s: {name} [0-9.]+, from [0-9.]+ at gen", plain)
    assert plain.rstrip().splitlines()[-1].endswith(f"The report: {smoke.folder}/results/smoke/report/report.html")


def test_elsewhere_there_are_plain_lines_and_snakemakes_exit_code(finished):
    done = finished.run(sys.executable, "-m", "collapselab", "run", "smoke", "--cores", 1)
    assert done.stdout.splitlines()[-1] == f"The report: {finished.folder}/results/smoke/report/report.html"
    assert "Nothing to be done" in done.stderr and "\x1b" not in said(done)
    assert driving.runs_jobs(["--cores", "4"]) and not any(driving.runs_jobs([one]) for one in ("-n", "--unlock"))
    wrong = finished.run(sys.executable, "-m", "collapselab", "run", "smoke", "--cores", "many", code=1)
    assert "The report: " in wrong.stdout and "exit code 1" in wrong.stdout
    first = finished.run(sys.executable, "-m", "collapselab", "run", "--cores", 1, "smoke", code=2)
    assert "the study comes first" in said(first)


@pytest.mark.parametrize("words", [("run", "smoke", "--cores", "1"), ("plan", "smoke", "--no-cost"), ("doctor",)])
def test_programs_are_found_where_no_environment_is_activated(finished, words):
    """As of a link to the one command that installers of single programs make."""
    bare = finished.environment | {"PATH": "/usr/bin:/bin"}
    assert shutil.which("snakemake", path=bare["PATH"]) is None
    done = forked.run([sys.executable, "-m", "collapselab", *words], finished.folder, bare)
    assert done.returncode == 0 and "not on the PATH" not in said(done), said(done)


# -- signals -----------------------------------------------------------------------------------------------------------

CHILD = """
import signal, sys, time
heard = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: heard.append(number))
print("ready", flush=True)
deadline = time.monotonic() + 60
while not heard and time.monotonic() < deadline:
    time.sleep(0.02)
time.sleep(0.6)  # for a second one, which must not come
print("heard", *(int(one) for one in heard), flush=True)
sys.exit(7)
"""
PARENT = """
import subprocess, sys
from collapselab.cli.running import with_signals
hand_on = subprocess.Popen.send_signal
def told(child, number):
    print("handed on", int(number), flush=True)
    hand_on(child, number)
subprocess.Popen.send_signal = told
print("parent", *with_signals(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("poke", "number", "is_handed_on"),
    [
        (lambda process, terminal: os.write(terminal, b"\x03"), signal.SIGINT, False),  # Ctrl-C, which reaches both
        (lambda process, terminal: os.kill(process, signal.SIGINT), signal.SIGINT, True),
        (lambda process, terminal: os.kill(process, signal.SIGTERM), signal.SIGTERM, True),
    ],
    ids=["Ctrl-C", "kill -INT", "kill"],
)
def test_a_signal_reaches_snakemake_once(poke, number, is_handed_on):
    words = [sys.executable, "-c", PARENT, sys.executable, "-c", CHILD]
    _, text = on_a_terminal(words, ".", os.environ | {"PYTHONPATH": str(ROOT / "src")}, poke)
    assert re.findall(r"heard (.*?)\r?\n", text) == [str(int(number))], text
    assert re.findall(r"handed on (\d+)", text) == [str(int(number))] * is_handed_on, text
    assert "parent 7 True" in text


def test_a_child_that_a_signal_ends_has_its_exit_code():
    assert with_signals([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]) == (137, False)
    assert with_signals([sys.executable, "-c", "raise SystemExit(3)"]) == (3, False)
    # Nothing is held back from it.
    mask = "import signal; raise SystemExit(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    assert with_signals([sys.executable, "-c", mask]) == (0, False)


# -- the command line --------------------------------------------------------------------------------------------------


def test_snakemake_is_told_the_study_and_whatever_else_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = driving.command("smoke", ["--cores", "4", "-n"])
    assert words[:3] == [sys.executable, "-m", "snakemake"] and words[-3:] == ["--cores", "4", "-n"]
    assert words[words.index("--config") + 1] == "study=smoke" and not {"--snakefile", driving.PROFILE} & {*words}
    monkeypatch.chdir(tmp_path)
    words = driving.command("smoke", ["--until", "prepare"])
    assert words[words.index("--snakefile") + 1] == str(shipped("workflow") / "Snakefile")
    assert words[words.index(driving.PROFILE) + 1] == str(shipped("profiles") / "default")


@pytest.mark.parametrize("said", [[driving.PROFILE, "profiles/slurm"], [f"{driving.PROFILE}=profiles/slurm"]])
def test_a_profile_that_comes_with_the_package_is_found_anywhere(tmp_path, monkeypatch, said):
    monkeypatch.chdir(tmp_path)
    words = driving.command("smoke", said)
    assert " ".join(words).count("workflow-profile") == 1
    assert words[-1].endswith(str(shipped("profiles") / "slurm"))
    (tmp_path / "profiles/slurm").mkdir(parents=True)
    assert driving.command("smoke", said)[-len(said) :] == said  # one's own


def test_who_has_no_report_yet_is_told_how_to_see_one_meanwhile(tmp_path, monkeypatch, capsys):
    """Of the shipped study, whose jobs are not run here: snakemake is another program that ends at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driving, "command", lambda name, words: [sys.executable, "-c", ""])
    with pytest.raises(typer.Exit):
        running.run(SimpleNamespace(args=[]), "smoke")
    first, last = capsys.readouterr().out.splitlines()
    assert "collapselab report smoke --so-far" in first and "collapselab status smoke" in first
    assert last.startswith("The report: ")
    report = Path(SMOKE.report_file("report.html"))
    report.parent.mkdir(parents=True)
    report.touch()
    with pytest.raises(typer.Exit):
        running.run(SimpleNamespace(args=[]), "smoke")
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_last_line_is_the_reports_path_or_why_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "none yet" in driving.last_line(SMOKE, 0, None) and "not asked" in driving.last_line(SMOKE, 0, None)
    assert "exit code 1" in driving.last_line(SMOKE, 1, None) and "--so-far" in driving.last_line(SMOKE, 1, None)
    assert "interrupted" in driving.last_line(SMOKE, 1, None, interrupted=True)
    report = Path(SMOKE.report_file("report.html"))
    report.parent.mkdir(parents=True)
    report.touch()
    path = f"The report: {tmp_path / report}"
    assert driving.last_line(SMOKE, 0, None) == path
    assert driving.last_line(SMOKE, 1, None) == path  # drawn now, though something else failed
    assert "of an earlier run" in driving.last_line(SMOKE, 1, driving.date_of(SMOKE))
