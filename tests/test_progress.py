"""How far work is: what loops say, what is shown of it and when, by a clock that the test sets."""

import contextvars
import io
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from collapselab.cli import run as frame
from collapselab.core import distances
from collapselab.core import progress as counting
from collapselab.core.progress import Part, counted, heard, listening, share
from collapselab.machine import progress
from collapselab.machine.progress import Report, spelled
from collapselab.metrics import METRICS
from collapselab.store.provenance import source_hash


def test_a_loop_is_the_loop_over_its_items_where_nobody_listens():
    items = [3, 1]
    assert counted(items, "things") is items and heard() is None


def test_loops_within_loops_say_how_far_each_is():
    seen = []
    with listening() as parts:
        for _ in counted({"recall": 1, "precision": 2}.items(), "metrics"):
            for _ in counted((slice(start, start + 4) for start in (0, 4, 8)), "rows", 12):
                seen.append([(part.unit, part.at, part.done, part.of) for part in parts])
        assert parts == []
    assert seen[:3] == [[("metrics", "recall", 0, 2), ("rows", "", done, 12)] for done in (0, 4, 8)]
    assert seen[-1] == [("metrics", "precision", 1, 2), ("rows", "", 8, 12)]


@pytest.mark.parametrize("leave", ["break", "raise"])
def test_a_loop_that_is_left_early_is_over(leave):
    with listening() as parts:
        try:
            for _ in counted(range(3), "steps"):
                if leave == "raise":
                    raise KeyError
                break
        except KeyError:
            pass
        assert parts == []


def test_the_share_of_the_whole_counts_loops_within_loops():
    """(1 + (2 + 1/2) / 4) / 3: one of three is done, and of the second two and a half steps of four."""
    parts = [Part("a", 3, 1), Part("unknown", None, 7), Part("b", 4, 2), Part("c", 10, 5)]
    assert share(parts) == pytest.approx((1 + (2 + 1 / 2) / 4) / 3, rel=1e-15)
    assert share([Part("a", 3, 3), Part("b", 4, 2)]) == 1.0  # what follows the last step counts for nothing more
    assert share([Part("a", None, 3)]) is None and share([]) is None


def test_lines_come_after_two_seconds_and_then_every_ten():
    report, parts = Report("measure", 100.0), [Part("metrics", 12)]
    due = []
    for now in range(100, 130):
        if report.due(float(now), parts):
            due.append(now)
            report.line(float(now), parts)
    assert due == [102, 112, 122]
    assert not Report("measure", 100.0).due(200.0, [])  # nothing to say


def test_a_line_says_how_far_how_fast_and_how_long_it_takes():
    report, part = Report("train", 0.0), Part("images", 20_000, 4_000, what="train quickstart/control")
    parts = [part]
    assert not report.look(1.0, parts)  # a resumed training: 4,000 were seen before it began
    part.done, part.loss = 8_000, 0.25
    assert report.line(11.0, parts) == (
        "train quickstart/control: 8,000 of 20,000 images, 400 images a second, loss 0.2500, 11 s so far, "
        "about 30 s left"
    )
    unknown = Report("read", 0.0)
    unknown.look(0.0, few := [Part("pictures read", None)])
    few[0].done = 30
    assert unknown.line(60.0, few) == "read: 30 pictures read, 1 min 0 s so far"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3600, "1 h 0 min"), (7384, "2 h 3 min")]
)
def test_times_are_spelled_by_their_two_largest_units(seconds, words):
    assert spelled(seconds) == words


class Ends:
    """An event that is awaited so often, each wait a second of the clock."""

    def __init__(self, clock, waits):
        self.clock, self.waits = clock, waits

    def wait(self, seconds):
        self.clock.now += 1.0
        self.waits -= 1
        return self.waits < 0


@pytest.fixture
def clock(monkeypatch):
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: found.now)
    return found


def test_elsewhere_than_on_a_terminal_plain_lines_are_written_to_the_standard_error(clock, capsys):
    progress._write(Report("measure", 0.0), [Part("metrics", 4, 1, "recall")], Ends(clock, 13))
    out, err = capsys.readouterr()
    assert not out and err.splitlines() == [f"measure: recall, 1 of 4 metrics, {now} s so far" for now in (2, 12)]


def test_a_log_that_is_full_ends_no_work(clock, monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress.sys, "stderr", Full())
    progress._write(Report("measure", 0.0), [Part("metrics", 4)], Ends(clock, 5))


def test_on_a_terminal_a_bar_is_drawn_and_goes(clock, monkeypatch, capsys):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(progress.sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    parts = [Part("metrics", 4, 1, "[recall]")]  # which is no markup
    progress._draw(Report("measure", 0.0), parts, Ends(clock, 6))
    drawn = screen.getvalue()
    assert "measure" in drawn and "[recall], 1 of 4 metrics" in drawn and not capsys.readouterr().out
    assert drawn.rstrip().endswith("\x1b[2K")  # the line is wiped


@pytest.mark.parametrize("value", ["off", "OFF ", "0"])
def test_nothing_is_shown_where_that_is_said(monkeypatch, value):
    monkeypatch.setenv(progress.VARIABLE, value)
    with progress.shown("measure"):
        assert heard() is None


def test_work_within_work_is_told_with_it(monkeypatch):
    monkeypatch.delenv(progress.VARIABLE)
    threads = threading.active_count()
    with progress.shown("train"), progress.progress("train a", 10, lambda: True) as tell:
        assert threading.active_count() == threads + 1
        assert tell(4, 0.5) is True
        assert [(one.what, one.done, one.of, one.loss) for one in heard()] == [("train a", 4, 10, 0.5)]
    assert heard() is None and threading.active_count() == threads


ALONE = """
import os, signal, threading
from collapselab.machine import progress
watched = threading.Event()
progress._write = lambda report, parts, ends: watched.set() or ends.wait()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
with progress.shown("measure"):
    assert watched.wait(60)
    os.kill(os.getpid(), signal.SIGUSR2)  # which would end this process if any thread took it
    assert signal.sigtimedwait({signal.SIGUSR2}, 60).si_signo == signal.SIGUSR2
"""


def test_signals_are_for_the_first_thread(monkeypatch):
    """Who waits for a signal gets it: no thread that shows something takes it away. In a process that has no others."""
    monkeypatch.delenv(progress.VARIABLE)
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- who counts --------------------------------------------------------------------------------------------------------


def test_numbers_are_the_same_whoever_listens(heard):
    real, fake = np.random.default_rng(0).normal(size=(2, 300, 4))

    def numbers():
        return {name: METRICS[name](real, fake) for name in ("recall", "precision", "frechet_distance", "vendi_score")}

    quiet = contextvars.Context().run(numbers)  # in which nobody listens
    assert not heard and numbers() == quiet
    assert {loops[-1][0] for loops in heard} == {"rows"}


def test_blocks_of_rows_count_to_their_number(monkeypatch, heard):
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 100)
    rows = np.zeros((30, 2))
    assert [block.stop for block in distances.row_blocks(rows, 10)] == [10, 20, 30]
    assert heard == [[("rows", "", done, 30)] for done in (10, 20, 30)]


def test_pictures_that_are_compared_pixel_by_pixel_are_told_of_all_the_while(tmp_path, monkeypatch, capsys):
    """By the command itself, from its first step to its last, by a clock that goes on with the steps of its loops.

    What goes over all pairs of rows, minutes of twenty thousand, tells every block of them.
    """
    clock, rows, watched = SimpleNamespace(now=0.0), 120, []

    class Watcher:  # in the place of the thread that looks four times a second: it looks at every step
        def __init__(self, target, args, **_):
            assert target is progress._watch
            watched.append(args[:2])

        def start(self): ...

        def join(self, timeout): ...

    def stepped(items, part, parts):
        for item in steps(items, part, parts):
            clock.now += progress.INTERVAL_S
            (report, heard_of) = watched[0]
            assert heard_of is parts
            progress._write(report, parts, Ends(clock, 1))
            yield item

    steps = counting._counted
    monkeypatch.setattr(counting, "_counted", stepped)
    monkeypatch.setattr(progress, "threading", SimpleNamespace(Thread=Watcher, Event=threading.Event))
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 20 * rows)  # in which 20 rows of distances to all others lie
    monkeypatch.delenv(progress.VARIABLE)
    for seed, name in enumerate(("made", "real")):
        images = np.random.default_rng(seed).integers(0, 256, (rows, 1, 6, 6), np.uint8)
        np.save(tmp_path / f"{name}.npy", images)
    made, real = (str(tmp_path / f"{name}.npy") for name in ("made", "real"))
    assert frame.run(["measure", made, "--against", real, "--extractor", "pixels"]) == 0
    out, err = capsys.readouterr()
    assert len(watched) == 1 and "precision" in out and "measure: " not in out
    lines = err.splitlines()
    assert all(re.match(r"measure: .*\d+ of \d+ \w.* so far", line) for line in lines)
    numbers = [one[1] for line in lines if (one := re.search(r"; (\w+), \d+ of \d+ metrics(?!;)", line))]
    assert set(re.findall(r"^(\w+) +pixels", out, re.MULTILINE)) <= set(numbers) > {"precision", "kernel_distance"}
    blocks = {work: [] for work in ("feature spaces", "kernel_distance, 2 of 14 metrics", "precision, 3 of 14 metrics")}
    for line in lines:
        for work, found in blocks.items():
            found += [int(one) for one in re.findall(rf"{work}; (\d+) of {rows} rows", line)]
    assert all({*range(0, rows, 20)} <= {*found} for found in blocks.values()), blocks


LOOP = "{head}\n\ndef f(n):\n    return [i for i in {items}]\n"


def test_to_say_how_far_a_loop_is_makes_no_job_run_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    head = "from collapselab.core.progress import counted"
    bodies = {"plain": ("", "range(n)"), "told": (head, 'counted(range(n), "steps", n)'), "other": ("", "range(n + 1)")}
    for name, (top, items) in bodies.items():
        (tmp_path / f"loop_{name}.py").write_text(LOOP.format(head=top, items=items), encoding="utf-8")
    hashes = {name: source_hash(f"loop_{name}:f") for name in bodies}
    assert hashes["plain"] == hashes["told"] != hashes["other"]
