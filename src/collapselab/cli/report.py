"""What people read of a study."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..study import layout, results, selected
from .run import clock
from .study import Planned, StudyName, expect_measured, study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def report(
    name: StudyName,
    so_far: Annotated[bool, typer.Option(help="draw a study that is not finished")] = False,
    planned: Planned = None,
) -> None:
    """Draw a study's report: one HTML file, tables as CSV and JSON, figures as PDF."""
    with store.while_running() if so_far else nullcontext():
        _draw(study_of(name, planned), name, so_far)


def _draw(study: Any, name: str, so_far: bool) -> None:
    from .. import report as reports
    from ..report.made import made

    records, missing = results.records(study)
    expect_measured(name, records, missing)
    if missing and not so_far:
        raise typer.BadParameter(
            f"{len(missing)} records are not there yet, such as {missing[0]}; --so-far draws the rest, and "
            f"collapselab run {name} goes on with them"
        )
    with clock.compute():
        grids: dict[str, dict[int, np.ndarray]] = {}
        for (arm, seed, generation), images in results.grids(study).items():
            if seed == 0:
                grids.setdefault(arm, {})[generation] = images
        clips: dict[str, dict[int, np.ndarray]] = {}
        for (arm, seed, generation), sounds in results.clips(study).items():
            if seed == 0:
                clips.setdefault(arm, {})[generation] = sounds
        facts = results.facts(study)
        told = {"made": made(study, name), "real": results.real_pictures(study)}
        told |= {"texts": reports.Texts(results.texts(study), results.real_texts(study))}
        told |= {"clips": clips, "real_clips": results.real_clips(study)}
        files = reports.build(facts, records, grids, results.costs(study), True, selected.selecting(study), **told)
        glances = reports.glance(facts, records)
    folder = Path(study.report_file(""))
    for file, content in files.items():
        store.write_hashed(folder / file, lambda temporary, content=content: temporary.write_bytes(content))
    _show(layout.glances(study), glances)
    print(folder / "report.html")


def _show(folders: Mapping[str, str], glances: Mapping[str, bytes]) -> None:
    """Write what DVC shows of a study, which takes every file in a folder for one: no hash stands beside them.

    What is no longer drawn does not stay.
    """
    for kind, folder in folders.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        files = {Path(folder) / Path(name).name: glances[name] for name in glances if name.startswith(f"{kind}/")}
        for file, content in files.items():
            store.write_atomically(file, lambda temporary, content=content: temporary.write_bytes(content))
        for file in set(Path(folder).iterdir()) - files.keys():
            file.unlink()
