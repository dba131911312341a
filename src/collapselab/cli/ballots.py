"""What people said of samples: the closed export of a round of judging."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..core.errors import Waiting
from ..core.sets import Ballots
from .options import Out

CLOSED = "ballots"  # the folder of the exports, beside the results

app = typer.Typer(rich_markup_mode=None)


@app.command(hidden=True)
def ballots(
    pool: Annotated[Path, typer.Option(help="samples that are judged")],
    closed: Annotated[Path, typer.Option(help="the export of the closed round")],
    out: Out,
) -> None:
    """Take over the judgements of a closed round; while it is open, end with the exit code that says so."""
    samples, digest = store.read_samples(pool), store.recorded_hash(pool)
    if not len(samples):  # of a lineage that diverged there is nothing to judge
        store.write_ballots(out, Ballots(np.empty(0, np.int64), (), (), np.empty(0), {"pool": digest}))
        return
    if not closed.exists():
        raise Waiting(_waiting(pool, closed, len(samples), digest))
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


def _waiting(pool: Path, closed: Path, samples: int, digest: str) -> str:
    """Who is waited for, and what ends it: as the judging page says of its open round, if it has one of this pool."""
    facts = _told(closed.with_suffix(".open.json"))
    if facts.get("pool") != digest:
        study = closed.parts[1] if closed.parts[:1] == (CLOSED,) and len(closed.parts) > 2 else "STUDY"
        return (
            f"waiting for people: nobody judges the {samples} samples of {pool} yet, and {closed} is not there.\n"
            f"Open the page by: collapselab judge serve {study}\n"
            f"invite people by: collapselab judge invite {study}\n"
            f"and run snakemake again when the round is closed. Judgements that were made elsewhere go there, too: a "
            f"table of ballots and its hash, as collapselab.store.write_ballots writes it, whose lineage names this "
            f"pool (SHA-256 {digest})."
        )
    missing = facts.get("missing", {})
    who = ", ".join(f"{code} ({count} to go)" for code, count in missing.items()) or "nobody"
    return (
        f"waiting for people: {facts.get('done', 0)} of {facts.get('of', 0)} judgements of {pool} are made.\n"
        f"The page: {facts.get('link')}\n"
        f"missing: {who}\n"
        f"Close the round by: {facts.get('close')}{' --anyway' if missing else ''}\n"
        f"and run snakemake again."
    )


def _told(path: Path) -> dict[str, Any]:
    """What the judging page says of an open round; nothing where it says nothing that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _expect_whole(closed: Path) -> None:
    """Raise ValueError where an export is not what its hash says: nobody can make it again, so that it stays there."""
    beside = store.hash_path(closed)
    if not beside.exists():
        raise ValueError(f"{closed}: found no hash beside it, {beside.name}; copy both")
    if store.content_hash(closed) != store.recorded_hash(closed):
        raise ValueError(
            f"{closed}: its SHA-256 is not that of {beside.name}: it was changed, or copied in part; copy both again"
        )
