"""What people said of samples: the closed export of a round of judging."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from .options import Out
from .run import EXIT_WAITING

app = typer.Typer(rich_markup_mode=None)


@app.command(hidden=True)
def ballots(
    pool: Annotated[Path, typer.Option(help="samples that are judged")],
    closed: Annotated[Path, typer.Option(help="the export of the closed round")],
    out: Out,
) -> None:
    """Take over the judgements of a closed round; while it is open, end with the exit code that says so."""
    samples, digest = store.read_samples(pool), store.recorded_hash(pool)
    if not closed.exists():
        print(
            f"waiting for people: {closed} is not there yet.\n"
            f"They judge the {len(samples)} samples of {pool} (SHA-256 {digest}).\n"
            f"When the round is closed, put its export and its hash there (a table of ballots, as "
            f"collapselab.store.write_ballots writes it, whose lineage names this pool) and run snakemake again.",
            file=sys.stderr,
        )
        raise typer.Exit(EXIT_WAITING)
    _expect_whole(closed)
    found = store.read_ballots(closed)
    if found.lineage.get("pool") != digest:
        raise ValueError(
            f"{closed}: found ballots of the pool {str(found.lineage.get('pool'))[:12]}…, allowed are those of {pool}, "
            f"{digest[:12]}…: another round was closed, or the samples were made anew"
        )
    if not len(found):
        raise ValueError(f"{closed}: found no judgement in it; was the round closed before anybody judged?")
    if not 0 <= found.rows.min() <= found.rows.max() < len(samples):
        rows = f"{found.rows.min()} to {found.rows.max()}"
        raise ValueError(f"{closed}: found judgements of the rows {rows}; the pool has {len(samples)}")
    store.write_ballots(out, found)


def _expect_whole(closed: Path) -> None:
    """Raise ValueError where an export is not what its hash says: nobody can make it again, so that it stays there."""
    beside = store.hash_path(closed)
    if not beside.exists():
        raise ValueError(f"{closed}: found no hash beside it, {beside.name}; copy both")
    if store.content_hash(closed) != store.recorded_hash(closed):
        raise ValueError(
            f"{closed}: its SHA-256 is not that of {beside.name}: it was changed, or copied in part; copy both again"
        )
