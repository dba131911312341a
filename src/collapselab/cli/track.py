"""The mirror of a study in MLflow."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..data.provenance import Origin
from ..study import layout, results, stopping, words
from ..study.adaptations import adaptations
from ..study.thinning import CURVE
from ..together import records as together
from .run import EXIT_LOCKED, EXIT_RESOURCES
from .study import Planned, StudyName, expect_measured, study_of

app = typer.Typer(rich_markup_mode=None)

SHOWN_PIXELS = 64  # the side at least of a picture on a sheet
ATTACHED = ("report.html", "summary.csv", "primary.csv", "verdicts.json")  # of the report, to the run of the study


@app.command()
def track(
    name: StudyName,
    planned: Planned = None,
    attempt: Annotated[int, typer.Option(hidden=True, help="how often the mirror was away before")] = 0,
) -> None:
    """Mirror a study in MLflow; the runs are found again, so that tracking twice changes nothing."""
    from ..report import tracking

    study = study_of(name, planned)
    records, missing = results.records(study)
    expect_measured(name, records, missing)
    out = Path(study.report_file("tracked.json"))
    attempt = attempt or layout.attempts(study)[0]
    shown = together.means(records) if study.file.together else records
    try:
        done = tracking.track(study.name, shown, _beside(study, records), note=study.file.question)
    except tracking.TrackingError as error:
        # The mirror may be away; the files are the record, and the study is whole without it.
        again = f"the next run of the workflow tries again, and so does: collapselab track {study.name}"
        print(f"collapselab: not mirrored: {error}; {again}", file=sys.stderr)
        store.write_json(out, {"tracked": False, "reason": str(error), "attempt": attempt})
        if planned is None:  # in the workflow a mirror that is away holds nothing up
            raise typer.Exit(EXIT_LOCKED if isinstance(error, tracking.Locked) else EXIT_RESOURCES) from None
        return
    # The same after a second call: the file lies among the study's outputs, which DVC compares.
    runs = done.created + done.extended + done.unchanged
    store.write_json(out, {"tracked": True, "experiment": done.experiment, "runs": runs, "attempt": attempt})
    while_ = " (while mlflow ui runs here)" if done.link.startswith(tracking.PAGE) else ""
    changes = f"{done.created} new, {done.extended} extended, {done.deleted} remade"
    print(f"{runs} runs in experiment {done.experiment!r}: {changes}\nthe arms side by side{while_}: {done.link}")


def _beside(study: Any, records: Sequence[Mapping[str, Any]]) -> Any:
    """What the mirror shows beside the numbers."""
    from ..report.colours import colours_of
    from ..report.datasets import Dataset
    from ..report.runs import Beside

    loops = [arm for arm in study.lineages if arm not in study.calibrations]
    controls = [arm for arm, lineage in study.lineages.items() if lineage.is_control]
    cells = [] if study.file.together else [(one["arm"], one["seed"], one["generation"]) for one in records]
    data, seeds = words.describe_data(study), dict.fromkeys(seed for _, seed, _ in cells)
    tables = {cell: Path(study.cell(*cell, "training.parquet")) for cell in cells}
    real = {seed: Path(study.splits[study.levels[seed].split].real_file("")) for seed in seeds}
    return Beside(
        params={arm: words.describe_arm(study, arm) for arm in study.lineages},
        curves=_curves(study, cells),
        adaptations=adaptations(study),
        pictures=_sheets(study),
        costs=_costs(study),
        colours=colours_of(loops, controls),
        controls=controls,
        training={cell: Dataset("training set", path, "training") for cell, path in tables.items() if path.exists()},
        real={seed: Dataset(path.name, path, "real data", data) for seed, path in real.items() if path.exists()},
        models={cell: study.cell(*cell, "model.safetensors") for cell in cells},
        data=data,
        report={name: Path(study.report_file(name)) for name in ATTACHED},
        stopped=stopping.stopped(study) if study.file.stop else {},
    )


def _curves(study: Any, cells: Sequence[tuple[str, int, int]]) -> dict[tuple[str, int, int], tuple[Any, Any]]:
    """The training curves that the models have."""
    found = {}
    for cell in cells:
        # Of a model that was thinned its curve has stayed.
        files = (Path(study.cell(*cell, noun)) for noun in ("model.safetensors", CURVE))
        file = next((one for one in files if one.exists()), None)
        tensors = store.read_tensors(file)[0] if file else {}
        if "curve.loss" in tensors:
            found[cell] = tensors["curve.images_seen"], tensors["curve.loss"]
    return found


def _sheets(study: Any) -> dict[tuple[str, int, int], bytes]:
    """The sample grids as the report draws its whole sheets, but larger: nothing enlarges them by a click."""
    from ..report.pictures import GRID_COLUMNS, GRID_ROWS, grid_png

    def sheet(cell: tuple[str, int, int], images: Any) -> bytes:
        scale = max(1, SHOWN_PIXELS // max(images.shape[2:]))
        shown = images[: GRID_COLUMNS * GRID_ROWS].repeat(scale, axis=2).repeat(scale, axis=3)
        return grid_png(shown, GRID_COLUMNS, Origin(study.name, *cell))

    return {cell: sheet(cell, images) for cell, images in results.grids(study).items()}


def _costs(study: Any) -> dict[tuple[str, int, int], list[Mapping[str, Any]]]:
    """The costs of the jobs of each generation; arms that share a generation 0 have the costs of it each."""
    found: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
    for cost in results.costs(study):
        found.setdefault((cost["arm"], cost["seed"], cost["generation"]), []).append(cost)
    for arm, seed, generation in [] if study.file.together else study.cells():
        if generation == 0 and (arm, seed, 0) in found:
            found[arm, seed, 0] = [*found.get((study.lineages[arm].base, seed, 0), ()), *found[arm, seed, 0]]
    return found
