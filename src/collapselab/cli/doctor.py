"""This machine, the model families, and what failed jobs said."""

import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from .run import EXIT_RESOURCES

app = typer.Typer(rich_markup_mode=None)


@app.command()
def families() -> None:
    """List the model families: what is known of their density, and what each can do."""
    from ..core.registry import usable
    from ..measure.compare import aligned
    from ..models import MODELS
    from ..models.taxonomy import COLUMNS, taxonomy

    rows = taxonomy(dict(usable(MODELS, tell=lambda fault: print(fault, file=sys.stderr))))
    header, *lines = aligned([COLUMNS, *(tuple(row.values()) for row in rows)])
    groups = groupby(zip(rows, lines, strict=True), key=lambda pair: pair[0]["density"])
    print(header, "\n\n".join("\n".join(line for _, line in group) for _, group in groups), sep="\n")


@app.command()
def doctor() -> None:
    """Look at this machine: versions against the pins, device, disk, and what the workflow needs."""
    from ..machine.doctor import examine

    faults = 0
    for what, found, fault in examine():
        faults += bool(fault)
        print(f"{'FAULT' if fault else 'ok':6} {what:28} {found}{f': {fault}' if fault else ''}")
    if faults:
        raise typer.Exit(EXIT_RESOURCES)


@app.command(hidden=True)
def explain(log: Annotated[Path, typer.Argument(help="a log of snakemake")]) -> None:
    """Say in one place what the failed jobs of a run said: who is waited for, what is damaged, what diverged."""
    said: dict[str, str] = {}
    for path in dict.fromkeys(re.findall(r"^ *log: (\S+)", _text(log), re.MULTILINE)):
        lines = _text(Path(path)).splitlines() if Path(path).exists() else []
        begin = next((at for at, line in enumerate(lines) if line.startswith("collapselab: ")), None)
        if begin is not None:
            said["\n".join(lines[begin:]).removeprefix("collapselab: ")] = path
    for message, path in said.items():
        print(f"{message} ({path})", file=sys.stderr)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
