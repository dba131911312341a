"""The mirror of a study in MLflow."""

import sys
from pathlib import Path

import typer

from .. import store
from ..data.provenance import Origin
from ..study import results, words
from ..study.thinning import CURVE
from ..together import records as together
from .run import EXIT_LOCKED, EXIT_RESOURCES
from .study import Planned, StudyName, study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def track(name: StudyName, planned: Planned = None) -> None:
    """Mirror a study in MLflow; the runs are found again, so that tracking twice changes nothing."""
    from ..report import grid_png, tracking

    study = study_of(name, planned)
    records, missing = results.records(study)
    if not records:
        raise typer.BadParameter(f"nothing is measured yet: {missing[0]} is the first cell")
    curves = {}
    for record in [] if study.file.together else records:
        where = record["arm"], record["seed"], record["generation"]
        # Of a model that was thinned its curve has stayed.
        files = (Path(study.cell(*where, noun)) for noun in ("model.safetensors", CURVE))
        file = next((one for one in files if one.exists()), None)
        tensors = store.read_tensors(file)[0] if file else {}
        if "curve.loss" in tensors:
            curves[where] = tensors["curve.images_seen"], tensors["curve.loss"]
    grids = results.grids(study)
    pictures = {where: grid_png(images, None, Origin(study.name, *where)) for where, images in grids.items()}
    out = Path(study.report_file("tracked.json"))
    try:
        done = tracking.track(
            study.name,
            together.means(records) if study.file.together else records,
            params={arm: words.describe_arm(study, arm) for arm in study.lineages},
            curves=curves,
            pictures=pictures,
            note=study.file.question,
        )
    except tracking.TrackingError as error:
        # The mirror may be away; the files are the record, and the study is whole without it.
        print(f"collapselab: not mirrored: {error}; say collapselab track {study.name} again later", file=sys.stderr)
        store.write_json(out, {"tracked": False, "reason": str(error)})
        if planned is None:  # in the workflow a mirror that is away holds nothing up
            raise typer.Exit(EXIT_LOCKED if isinstance(error, tracking.Locked) else EXIT_RESOURCES) from None
        return
    # The same after a second call: the file lies among the study's outputs, which DVC compares.
    runs = done.created + done.extended + done.unchanged
    store.write_json(out, {"tracked": True, "experiment": done.experiment, "runs": runs})
    changes = f"{done.created} new, {done.extended} extended, {done.deleted} remade"
    print(f"{runs} runs in experiment {done.experiment!r}: {changes}")
