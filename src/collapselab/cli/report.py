"""What people read of a study."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..study import results, selected
from .run import clock
from .study import Planned, StudyName, study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def report(
    name: StudyName,
    so_far: Annotated[bool, typer.Option(help="draw a study that is not finished")] = False,
    planned: Planned = None,
) -> None:
    """Draw a study's report: one HTML file, tables as CSV and JSON, figures as PDF."""
    with store.while_running() if so_far else nullcontext():
        _draw(study_of(name, planned), so_far)


def _draw(study: Any, so_far: bool) -> None:
    from .. import report as reports

    records, missing = results.records(study)
    if missing and not so_far:
        raise typer.BadParameter(
            f"{len(missing)} cells are not measured yet, such as {missing[0]}; --so-far draws the rest"
        )
    if not records:
        raise typer.BadParameter(f"nothing is measured yet: {missing[0]} is the first cell")
    with clock.compute():
        grids: dict[str, dict[int, np.ndarray]] = {}
        for (arm, seed, generation), images in results.grids(study).items():
            if seed == 0:
                grids.setdefault(arm, {})[generation] = images
        files = reports.build(
            results.facts(study), records, grids, results.costs(study), True, selected.selecting(study)
        )
    folder = Path(study.report_file(""))
    for file, content in files.items():
        store.write_hashed(folder / file, lambda temporary, content=content: temporary.write_bytes(content))
    print(folder / "report.html")
