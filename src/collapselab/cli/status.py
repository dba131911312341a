"""How far a study is: once, or again and again while one watches."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..study.telling import duration
from .run import importing
from .study import StudyName, study_of

if TYPE_CHECKING:
    from rich.text import Text

    from ..store.beats import Sign
    from ..study.progress import Look, Seen

app = typer.Typer(rich_markup_mode=None)

EVERY_S = 5.0  # between two looks
SIGNS = {
    "failed": ("X", "bold red"),
    "silent": ("!", "bold magenta"),
    "waiting": ("?", "bold yellow"),
    "running": (">", "bold cyan"),
    "next": ("o", "white"),
    "later": (".", "dim"),
    "diverged": ("~", "red"),
    "stopped": ("=", "blue"),
    "measured": ("#", "green"),
}
"""state -> its sign in the picture, and its colour. Of several generations in one place the first of these is drawn."""
ROWS = 40  # of the picture: with more lineages than that a row is an arm
LISTED = 12  # generations of a state that are told one by one


@app.command()
def status(
    name: StudyName,
    watch: Annotated[bool, typer.Option("--watch", help="look again every few seconds, until all is measured")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON, for programs")] = False,
) -> None:
    """Say how far a study is: what is measured, at work, waiting or failed, and what is left. It reads files alone."""
    if watch and as_json:
        raise typer.BadParameter("found both; allowed is one: JSON is of one look", param_hint="--watch, --json")
    study = study_of(name)
    with importing():
        from ..study import progress
    if as_json:
        print(json.dumps(_plain(progress.look(study)), indent=1))
    elif not watch:
        _show(progress.look(study))
    elif sys.stdout.isatty():
        _watch(study)
    else:
        _follow(study)


def _watch(study: Any) -> None:
    """Draw a study anew, in its place, until it is finished."""
    from rich.console import Console
    from rich.live import Live

    from ..study import progress

    console = Console()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = progress.look(study)
            live.update(_drawn(found, console.width), refresh=True)
            if found.is_finished:
                return
            time.sleep(EVERY_S)


def _follow(study: Any) -> None:
    """Tell a study again whenever other generations are measured, at work, waiting or failed, until it is finished."""
    from ..study import progress

    before = None
    while True:
        found = progress.look(study)
        if (states := [one.state for one in found.cells]) != before:
            print(time.strftime("%Y-%m-%d %H:%M:%S"), *_lines(found), sep="\n", flush=True)
        before = states
        if found.is_finished:
            return
        time.sleep(EVERY_S)


def _show(found: "Look") -> None:
    if not sys.stdout.isatty():
        print(*_lines(found), sep="\n")
        return
    from rich.console import Console

    console = Console()
    console.print(_drawn(found, console.width))


# -- words -------------------------------------------------------------------------------------------------------------


def _lines(found: "Look") -> Iterator[str]:
    """A study as plain lines: totals, what is left, a line for each lineage, and what calls for somebody."""
    yield from _totals(found)
    yield from (_of_lineages(key, cells) for key, cells in _rows(found).items())
    yield from _told(found)


def _totals(found: "Look") -> Iterator[str]:
    from ..study.progress import DONE

    counts, every = found.counts, len(found.cells)
    done = sum(count for state, count in counts.items() if state in DONE)
    what = "arms" if all(one.seed is None for one in found.cells) else "generations"
    others = [f"{counts[state]} {words}" for state, words in _words().items() if counts[state] and state != "measured"]
    yield f"{found.study}: {done} of {every} {what} done{''.join(f', {one}' for one in others)}"
    if found.drivers:
        yield f"run by {'; '.join(found.drivers)}"
    elif not found.is_finished and found.at_work:
        yield "no driver runs it: its jobs may be the last of one that has ended"
    if not found.is_finished:
        yield _left(found)


def _words() -> dict[str, str]:
    from ..study.progress import STATES

    return dict(STATES)


def _left(found: "Look") -> str:
    left = found.left()
    if left is None:
        return "left: cannot be told yet, since no job of some kind has ended"
    each = f"{duration(left['one'])} one job after the other, {duration(left['longest'])} in the longest lineage"
    if "about" not in left:
        return f"left: {each}; nothing is at work"
    many = len(found.at_work)
    return f"left: about {duration(left['about'])} with {many} job{'s' * (many > 1)} at a time ({each})"


def _rows(found: "Look") -> dict[str, list[list["Seen"]]]:
    """The lineages as rows: each by itself, or those of an arm together where there are many."""
    if len(found.lineages) <= ROWS:
        said = {key: key[0] if key[1] is None else f"{key[0]} seed {key[1]}" for key in found.lineages}
        return {said[key]: [list(lineage)] for key, lineage in found.lineages.items()}
    rows: dict[str, list[list[Seen]]] = {}
    for (arm, _), lineage in found.lineages.items():
        rows.setdefault(arm, []).append(list(lineage))
    return rows


def _of_lineages(name: str, lineages: Sequence[Sequence["Seen"]]) -> str:
    """``arm seed 0: generations 0 to 3 measured, 4 at work, 5 to 20 later``; of several lineages their numbers."""
    words = _words()
    if len(lineages) > 1:
        states = [one.state for lineage in lineages for one in lineage]
        counts = [f"{states.count(state)} {said}" for state, said in words.items() if state in states]
        return f"{name}: {len(lineages)} seeds, {', '.join(counts)} generations"
    if lineages[0][0].seed is None:
        return f"{name}: {words[lineages[0][0].state]}"
    runs = []
    for state, run in groupby(lineages[0], key=lambda one: one.state):
        first, *_, last = [one.generation for one in run] * 2
        runs.append(f"{first} to {last} {words[state]}" if first != last else f"{first} {words[state]}")
    return f"{name}: generation {', '.join(runs)}"


def _told(found: "Look") -> Iterator[str]:
    """What is at work and how far, and what calls for somebody, a line each."""
    for sign in found.real:
        yield f"{'at work' if sign.lives else 'silent'}: real data: {_of_sign(sign)}"
    for state in ("running", "silent", "waiting", "failed"):
        those = [one for one in found.cells if one.state == state]
        for one in those[:LISTED]:
            where = one.arm if one.seed is None else f"{one.arm} seed {one.seed} generation {one.generation}"
            about = [*(_of_sign(sign) for sign in one.signs), *([one.about] if one.about else [])]
            yield f"{_words()[state]}: {where}: {'; '.join(about)}"
        if len(those) > LISTED:
            yield f"{_words()[state]}: and {len(those) - LISTED} more (--json has all)"


def _of_sign(sign: "Sign") -> str:
    """``train 45 % (4,500 of 10,000, loss 0.12), 3 min left, process 12 on host``, or since when it is silent."""
    beat = sign.beat
    how = (
        f" {100 * beat.done / beat.of:.0f} % ({beat.done:,} of {beat.of:,}" if beat.of and beat.done is not None else ""
    )
    how += f", loss {beat.loss:.4g})" if how and beat.loss is not None else ")" * bool(how)
    where = f"process {beat.process} on {beat.host}"
    if not sign.lives:
        return f"{beat.verb}{how}: no sign of life of {where} for {duration(sign.age_s)}: run snakemake again"
    left = f", {duration(beat.seconds_left)} left" if beat.seconds_left is not None else ""
    return f"{beat.verb}{how}{left}, {where}"


def _plain(found: "Look") -> dict[str, Any]:
    """All that was found, as JSON has it."""

    def of_sign(sign: "Sign") -> dict[str, Any]:
        told = sign.beat._asdict() | {"seconds_left": sign.beat.seconds_left}
        return told | {"age_seconds": round(sign.age_s, 3), "lives": sign.lives}

    cells = [
        {"arm": one.arm, "seed": one.seed, "generation": one.generation, "state": one.state, "about": one.about}
        | {"seconds_left": one.seconds, "jobs": [of_sign(sign) for sign in one.signs]}
        for one in found.cells
    ]
    return {
        "study": found.study,
        "finished": found.is_finished,
        "drivers": list(found.drivers),
        "counts": dict(found.counts),
        "seconds_left": found.left(),
        "real_data": [of_sign(sign) for sign in found.real],
        "cells": cells,
    }


# -- a picture ---------------------------------------------------------------------------------------------------------


def _drawn(found: "Look", width: int) -> "Text":
    """A study for a terminal: totals, a row of signs for each lineage, their meaning, and what calls for somebody."""
    from rich.text import Text

    text = Text("\n".join(_totals(found)))
    rows = _rows(found)
    name_width = min(max(map(len, rows), default=0), max(8, width // 2))
    columns = max(1, width - name_width - 2)
    for name, lineages in rows.items():
        cut = name if len(name) <= name_width else f"{name[: name_width - 1]}~"
        text.append(f"\n{cut:{name_width}}  ")
        for state in places(lineages, columns):
            text.append(*SIGNS[state])
    text.append("\n")
    there = [state for state in SIGNS if found.counts[state]]
    for state in reversed(there):
        text.append(SIGNS[state][0], SIGNS[state][1])
        text.append(f" {_words()[state]}  ")
    for line in _told(found):
        text.append(f"\n{line}")
    return text


def places(lineages: Sequence[Sequence["Seen"]], columns: int) -> list[str]:
    """The state that is drawn at each place of a row: of one generation, or of several where there is no room.

    Of several generations and lineages that share a place it is the first by :data:`SIGNS`: what calls for somebody
    before what goes on, what goes on before what is done.
    """
    longest = max(map(len, lineages))
    each = -(-longest // columns)
    order = list(SIGNS)
    found = []
    for begin in range(0, longest, each):
        states = {one.state for lineage in lineages for one in lineage[begin : begin + each]}
        found.append(min(states, key=order.index))
    return found
