"""How far a process is, shown while it works: a bar on a terminal, else a line now and then, on the standard error.

What is at work is read from ``core.progress`` by a thread of its own, so that no loop is held up by being watched.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..core.progress import Part, heard, listening, share

Tell = Callable[[int, float | None], bool]
VARIABLE = "COLLAPSELAB_PROGRESS"  # "off": nothing is shown
SILENT_S = 2.0  # what is done sooner says nothing
INTERVAL_S = 10.0  # between two lines where there is no terminal
DRAWN_S = 0.25  # between two looks at a bar
LEVELS = 3  # loops within one another that are told of; those within these count without a word
FEW = 0.02  # of the work, before which nobody can say how long the rest takes


class Report:
    """What is told of a piece of work, and when: pure but for the times that it is handed, in seconds of any clock.

    what: the work, as it is called, unless its loop has a name. since: when it began.
    """

    def __init__(self, what: str, since: float):
        self.what, self.since, self.told_at = what, since, float("-inf")
        self._outer: Part | None = None
        self._from = (since, 0, 0.0)  # when the outermost loop was first seen, and how far: a resumed one is not at 0

    def look(self, now: float, parts: Sequence[Part]) -> bool:
        """See how far it is; whether there is anything to show, after the first two seconds."""
        if parts and parts[0] is not self._outer:
            self._outer, self._from = parts[0], (now, parts[0].done, share(parts) or 0.0)
        return bool(parts) and now - self.since >= SILENT_S

    def due(self, now: float, parts: Sequence[Part]) -> bool:
        """Whether a line is to be written: when there is something to show, and then every ten seconds."""
        return self.look(now, parts) and now - self.told_at >= INTERVAL_S

    def line(self, now: float, parts: Sequence[Part]) -> str:
        """How far it is, its rate and the time that is left, in a line; it counts as told."""
        self.told_at = now
        left = self.left(now, parts)
        told = [f"{self.called(parts)}: {at_work(parts)}", self.rate(now, parts), f"{spelled(now - self.since)} so far"]
        return ", ".join(word for word in (*told, f"about {left} left" if left else "") if word)

    def called(self, parts: Sequence[Part]) -> str:
        """What is at work, by its own name if it has one."""
        return next((part.what for part in parts if part.what), self.what)

    def left(self, now: float, parts: Sequence[Part]) -> str:
        """The time that is left if all goes on as fast; empty where nobody knows yet."""
        (since, _, begun), done = self._from, share(parts)
        if done is None or done - begun < FEW:
            return ""
        return spelled((now - since) * (1 - done) / (done - begun))

    def rate(self, now: float, parts: Sequence[Part]) -> str:
        """How many the outermost loop does in a second, and the loss that a training tells; empty for neither."""
        (since, begun, _), part = self._from, parts[0]
        each = (part.done - begun) / (now - since) if now > since else 0.0
        said = [f"{each:,.0f} {part.unit} a second"] if each >= 1 else []
        return ", ".join(said + ([f"loss {part.loss:.4f}"] if part.loss is not None else []))


def at_work(parts: Sequence[Part]) -> str:
    """The loops at work in words, the outermost first: ``pixels, 3 of 12 numbers; 8,192 of 20,000 rows``."""
    return "; ".join(f"{part.at}, {_count(part)}" if part.at else _count(part) for part in parts[:LEVELS])


def _count(part: Part) -> str:
    of = "" if part.of is None else f" of {part.of:,}"
    return f"{min(part.done, part.of) if part.of else part.done:,}{of} {part.unit}"


def spelled(seconds: float) -> str:
    """A time in the two largest of hours, minutes and seconds that it has."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Within it the loops that are counted show how far they are; nothing where something is shown already."""
    if heard() is not None or os.environ.get(VARIABLE, "").strip().lower() in ("off", "0", "no"):
        yield
        return
    ends = threading.Event()
    with listening() as parts:
        told = Report(what, time.monotonic()), parts, ends
        thread = threading.Thread(target=_watch, args=told, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join(timeout=SILENT_S)  # a terminal that hangs holds up nobody


@contextmanager
def progress(what: str, total: int | None, stopping: Callable[[], bool] = bool, unit: str = "images") -> Iterator[Tell]:
    """A function that takes (so many done, loss or None), shows how far that is, and says whether to stop.

    unit: what is counted. stopping: whether somebody asks to stop; by default nobody does (``bool()`` is False).
    """
    with shown(what):
        parts, part = heard(), Part(unit, total, what=what)

        def tell(done: int, loss: float | None) -> bool:
            part.done, part.loss = done, None if loss is None else float(loss)
            if parts is not None and part not in parts:
                parts.append(part)
            return stopping()

        try:
            yield tell
        finally:
            if parts is not None and part in parts:
                parts.remove(part)


def _watch(report: Report, parts: list[Part], ends: threading.Event) -> None:
    """Show it, in a thread that no signal is for: whoever waits for signals in the first one gets all of them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    (_draw if sys.stderr.isatty() else _write)(report, parts, ends)


def _write(report: Report, parts: list[Part], ends: threading.Event) -> None:
    """Write lines, each when it is due."""
    while not ends.wait(DRAWN_S):
        now, seen = time.monotonic(), list(parts)
        if report.due(now, seen):
            with suppress(OSError, ValueError):  # a log that is full or closed ends no work
                print(report.line(now, seen), file=sys.stderr, flush=True)


def _draw(report: Report, parts: list[Part], ends: threading.Event) -> None:
    """Draw a bar that goes when the work is done; the library that draws it is imported when there is something."""
    bar: Any = None
    while not ends.wait(DRAWN_S):
        now, seen = time.monotonic(), list(parts)
        if not report.look(now, seen):
            continue
        if bar is None:
            bar = _bar()
            bar.start()
            task = bar.add_task("", total=1.0, told="", left="")
        told = ", ".join(word for word in (at_work(seen), report.rate(now, seen)) if word)
        left, done = report.left(now, seen), share(seen)
        bar.update(task, description=report.called(seen), total=None if done is None else 1.0, completed=done or 0.0)
        bar.update(task, told=told, left=f"{left} left" if left else "")
        bar.refresh()
    if bar is not None:
        bar.stop()


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = [TextColumn("{task.description}", markup=False), BarColumn(24)]
    columns += [TextColumn("{task.fields[told]}", markup=False), TextColumn("{task.fields[left]}", markup=False)]
    # The standard output is left alone: it may be somebody's data.
    quiet = {"redirect_stdout": False, "redirect_stderr": False, "auto_refresh": False, "transient": True}
    return Progress(*columns, console=Console(stderr=True), **quiet)
