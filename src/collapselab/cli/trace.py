"""The line of a sample back to real data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .run import EXIT_DAMAGED

if TYPE_CHECKING:
    from ..compose.tracing import Eaten, Line

app = typer.Typer(rich_markup_mode=None)


@app.command()
def trace(
    file: Annotated[
        Path, typer.Argument(help="an exported picture, a sample set, a training set or a table of kept rows")
    ],
    row: Annotated[int | None, typer.Option(min=0, help="which of its rows; a picture says it itself")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON, for programs")] = False,
) -> None:
    """Print a sample's line back to real data; ends with 3 where a file on it is not the one that was used."""
    from ..compose.tracing import trace as traced

    line = traced(file, row)
    if as_json:
        print(json.dumps(_plain(line), indent=1))
    else:
        print(*_said(line), sep="\n")
    if not line.holds:
        raise typer.Exit(EXIT_DAMAGED)


def _said(line: "Line") -> Iterator[str]:
    for link in line.links:
        yield f"{link.file}: {link.said}"
    if line.sets:
        yield "what its model, and the models before, were trained on:"
    for one in line.sets:
        yield f"  generation {one.generation}, {one.file}: {_shares(one)}"
    if line.real:
        yield "the real data behind it:"
    for link in line.real:
        yield f"  {link.file}: {link.said}"


def _shares(one: "Eaten") -> str:
    """``40 % real (fixed), 60 % of arm, generation 1; 40 % real, 0.6 models from real data on average``."""
    from ..compose.tracing import whose

    total = sum(rows for *_, rows in one.parts)
    if not total:
        return "nothing: its lineage had ended before"
    parts = ", ".join(f"{100 * rows / total:.3g} % {whose(arm, at)}" for arm, at, rows in one.parts)
    if one.ancestry is None:
        return f"{total:,} rows: {parts}"
    depth = f"{one.ancestry.depth:.3g} model{'' if one.ancestry.depth == 1 else 's'}"
    mean = f"{100 * one.ancestry.real:.3g} % real, {depth} from real data on average"
    return f"{total:,} rows: {parts}; {mean}"


def _plain(line: "Line") -> dict[str, Any]:
    sets = [
        one._asdict()
        | {"parts": [dict(zip(("arm", "generation", "rows"), part, strict=True)) for part in one.parts]}
        | {"ancestry": one.ancestry._asdict() if one.ancestry else None}
        for one in line.sets
    ]
    links = {key: [link._asdict() for link in getattr(line, key)] for key in ("links", "real")}
    return {**links, "training_sets": sets, "holds": line.holds}
