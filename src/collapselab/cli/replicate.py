"""All seeds of an arm at once."""

import json
from typing import Annotated

import typer

from .. import store
from ..machine import revision
from ..together import loop
from ..together.folded import unfolded
from .options import Out, json_of, parsed
from .run import clock
from .work import told

app = typer.Typer(rich_markup_mode=None)


@app.command()
def replicate(
    arm: Annotated[str, typer.Option(help="the arm with all its seeds, as JSON")],
    out: Out,
) -> None:
    """Run all seeds of an arm in one go, and write one row for each seed and generation."""
    said = json_of(arm, "--arm", dict)
    wanted = parsed(loop.Replicates, json.dumps(unfolded(said)), "--arm")
    total = wanted.seeds * len(wanted.recipes)
    with told(f"replicate {wanted.name}", total) as tell, clock.compute():
        columns = loop.run(wanted, progress=lambda done: tell(done, None))
    clock.facts |= revision.facts()
    store.write_table(out, columns, {"arm": said})
