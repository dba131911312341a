"""Numbers of two records, or of two studies, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from ..measure import compare as comparing
from ..study import results

app = typer.Typer(rich_markup_mode=None)


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="a record, or a folder with records, such as results/STUDY")],
    other: Annotated[Path, typer.Argument(help="the other one")],
) -> None:
    """Set numbers side by side that were measured alike; name what keeps the others apart."""
    sides = {path: _replicates_in(path) or comparing.load(path) for path in (one, other)}
    found = comparing.compare(sides[one], sides[other])
    print(comparing.table(found, str(one), str(other)))
    if found.unlike:
        raise ValueError(comparing.refusal(found, str(one), str(other)))


def _replicates_in(path: Path) -> comparing.Records:
    """The records of a study, or an arm, whose seeds ran together; none where they did not."""
    tables = sorted(path.rglob("replicates.parquet")) if path.is_dir() else []
    found = {}
    for table in tables:
        for record in results.replicated(path.resolve().name, table):
            cell = f"{record['arm']}/seed{record['seed']}/gen{record['generation']}"
            found[cell] = record
    return found
