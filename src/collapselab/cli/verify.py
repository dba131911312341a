"""Whether a study's files are those that were written, and lie where they belong."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..study import verifying
from .run import EXIT_DAMAGED
from .study import StudyName, study_of

INTERVAL_S = 10.0  # between two lines of progress, where no terminal shows it on one
LINES = 8  # of what hangs on one file; the rest is counted

app = typer.Typer(rich_markup_mode=None)


@app.command()
def verify(
    name: StudyName,
    set_aside: Annotated[
        bool, typer.Option(help="rename what is wrong to .damaged: the next run of the workflow makes it anew")
    ] = False,
) -> None:
    """Recompute the hash of every file of a study, see that it lies where it belongs, and say what hangs on it if not.

    Ends with the exit code 3 if any is damaged, belongs elsewhere, or is missing though something was made of it.
    """
    study = study_of(name)
    made = verifying.made_of(study)
    eaten, files = verifying.eaten_by(made), verifying.listed(study, made)
    there = sum(Path(file).exists() for file in files)
    looked = _told(verifying.faults(study, files, eaten), len(files))
    wrong = list({fault.path: fault for fault in looked if fault is not None}.values())
    for fault in wrong:
        print(fault.message)
        lines = verifying.in_words(verifying.hanging(fault.path, eaten))
        for line in lines[:LINES]:
            print(f"  hangs on it: {line}")
        if len(lines) > LINES:
            print(f"  and {len(lines) - LINES} more")
        if set_aside and Path(fault.path).exists():
            os.replace(fault.path, f"{fault.path}.damaged")
            print(f"  renamed to {fault.path}.damaged")
    unmade = len(files) - there - sum(not Path(fault.path).exists() for fault in wrong) * (not set_aside)
    rest = f"; {unmade} more are not made yet, or were thinned" if unmade and not set_aside else ""
    if not wrong:
        print(f"{study.name}: {there} files are whole, and lie where they belong{rest}")
        return
    print(f"{study.name}: {len(wrong)} of {there} files are not as they should be{rest}")
    if not set_aside:
        print(f"put right ones in their places, with their hashes; or let the workflow make them anew: {_anew(name)}")
    raise typer.Exit(EXIT_DAMAGED)


def _anew(name: str) -> str:
    return f"collapselab verify {name} --set-aside; collapselab run {name}"


def _told(looked: Iterable[verifying.Fault | None], total: int) -> Iterator[verifying.Fault | None]:
    """The same, with a line that says how far it is: on a terminal one that changes, elsewhere one now and then."""
    shown, last, begun = sys.stderr.isatty(), time.monotonic(), time.monotonic()
    for count, fault in enumerate(looked, 1):
        now = time.monotonic()
        if now - last >= (0.2 if shown else INTERVAL_S):
            last, left = now, (now - begun) / count * (total - count)
            text = f"verify: {count} of {total} files, about {left:.0f} s left"
            print(f"\r{text:70}" if shown else text, end="" if shown else "\n", file=sys.stderr, flush=True)
        yield fault
    if shown:
        print(f"\r{'':70}\r", end="", file=sys.stderr, flush=True)
