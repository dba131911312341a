"""A model of a training set."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from .. import store
from ..core.errors import Diverged
from ..core.run import Inspect, Run
from ..core.sets import TrainingTable
from ..machine import processes
from ..models import MODELS
from ..models.files import write_model
from ..verbs import train as verb
from .inputs import hashes, model_in
from .options import Generation, Options, Out, Replicate, StudySeed, chosen, parsed
from .run import EXIT_DIVERGED, clock, interruptible, stop_requested
from .work import count_operations, get_ready, told

app = typer.Typer(rich_markup_mode=None)

AllowNonidentical = Annotated[
    bool,
    typer.Option(
        envvar="COLLAPSELAB_ALLOW_NONIDENTICAL", help="go on from a checkpoint of other hardware, and mark the model so"
    ),
]


@app.command()
def train(
    training: Annotated[Path, typer.Option(help="training set: a table that compose wrote")],
    family: Annotated[str, typer.Option(help=f"one of {', '.join(MODELS)}")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    options: Options = "{}",
    images_seen: Annotated[
        int | None, typer.Option(min=0, help="budget in images; the family's own if left out; 0 takes --init as it is")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="model to start from; from scratch if left out")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="images on which generation 0 chooses the options that are left open")
    ] = None,
    chosen_by: Annotated[Path | None, typer.Option(help="model of generation 0, whose choices hold")] = None,
    allow_nonidentical: AllowNonidentical = False,
    mark_diverged: Annotated[bool, typer.Option(help="write a marker and succeed when the training diverges")] = False,
) -> None:
    """Train a model; an interrupted training goes on where its checkpoint is, to the same bits."""
    kind = chosen(MODELS, family, "--family")
    settings = parsed(kind.Options, options, "--options")
    table = store.read_training(training)
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "inputs": hashes(training)}
    ancestors = {"--init": init, "--chosen-by": chosen_by}
    start, chooser = (_ancestor(path, family, option, lineage) if path else None for option, path in ancestors.items())
    diverged = table.lineage.get("diverged") or lineage.pop("ancestor_diverged", None)
    if diverged:
        _diverged(out, family, settings, lineage, diverged, mark_diverged)
        return
    settings = verb.settle(kind, settings, chooser)
    if images_seen == 0:
        _write_as_it_is(out, family, settings, lineage, start)
        return
    budget, checkpoint = verb.budget(settings, images_seen), out.with_name(f".{out.stem}.training")
    number, inspect = verb.training_seed(study_seed, seed, generation), _snapshots(out, family, lineage)
    run = Run(number, images_seen, None, checkpoint, allow_nonidentical, None, inspect)
    try:
        model = _fitted(out, kind, settings, table, start, run, validation)
    except Diverged as error:
        what = {"generation": generation, "images_seen": error.images_seen, "loss": str(error.loss), "model": str(out)}
        _diverged(out, family, settings, lineage, what, mark_diverged)
    else:
        budget = _write(out, family, model, lineage, budget)
    if processes.is_first():
        shutil.rmtree(checkpoint, ignore_errors=True)
    clock.facts["images_seen"] = budget


def _write_as_it_is(out: Path, family: str, settings: BaseModel, lineage: Mapping[str, Any], start: Any) -> None:
    if start is None:
        said = "found 0 and no --init; a model that sees no images starts from another"
        raise typer.BadParameter(said, param_hint="--images-seen")
    write_model(out, family, verb.as_it_is(start, settings), {**lineage, "images_seen": 0})


def _snapshots(out: Path, family: str, lineage: Mapping[str, Any]) -> Inspect:
    """Writes the model on its way beside what it becomes."""

    def write(model: Any, seen: int) -> None:
        path = out.with_name(f"{out.stem}.snapshots") / f"{seen:012}.safetensors"
        write_model(path, family, model, {**lineage, "images_seen": seen})

    return write


def _fitted(
    out: Path, kind: Any, settings: BaseModel, table: TrainingTable, start: Any, run: Run, validation: Path | None
) -> Any:
    """The model of a training that signals may end, that several processes share, and whose cost is counted."""
    get_ready(kind.uses_torch)
    with (
        interruptible(),
        processes.joined(),
        told(f"train {out.parent}", verb.budget(settings, run.images_seen), stop_requested) as tell,
        clock.work("training") as seen,
    ):
        data = verb.rows_of(table, store.referred(table))

        def both(images: int, loss: float) -> bool:
            seen(images)
            return tell(images, loss)

        looked_at = verb.whole(store.read_samples(validation)) if validation else None
        return verb.train(kind, settings, data, replace(run, progress=both, validation=looked_at), start)


def _write(out: Path, family: str, model: Any, lineage: Mapping[str, Any], budget: int | None) -> int | None:
    """Write a trained model and count what it cost; the images that it has seen, in whole batches."""
    taken = model.stored().tensors["curve.images_seen"]
    budget = int(taken[-1]) if len(taken) else budget
    how = {"how": dict(model.how)} if model.how else {}  # where it is part of the model's bits
    write_model(out, family, model, {**lineage, "images_seen": budget, **how})
    if differences := model.how.get("nonidentical"):
        clock.facts["nonidentical"] = differences
    count_operations("training", model, budget)
    return budget


def _ancestor(path: Path, family: str, option: str, lineage: dict[str, Any]) -> Any:
    """A model that a training depends on; None if its training diverged, which the lineage then says."""
    model, metadata = model_in(path)
    lineage["inputs"] |= hashes(path)
    if model is None:
        lineage["ancestor_diverged"] = metadata["lineage"]["diverged"]
        print(f"{option} {path}: its training diverged, and so this one has nothing to start from", file=sys.stderr)
    elif metadata["family"] != family:
        raise typer.BadParameter(
            f"{path} holds a {metadata['family']!r} model; the arm's is {family!r}", param_hint=option
        )
    return model


def _diverged(
    out: Path, family: str, settings: BaseModel, lineage: dict[str, Any], what: Mapping[str, Any], mark: bool
) -> None:
    """Leave a marker in the model's place; by hand, end with the exit code that says so."""
    options = settings.model_dump(mode="json")
    metadata = {"family": family, "options": options, "lineage": lineage | {"diverged": dict(what)}}
    if processes.is_first():
        store.write_tensors(out, {}, metadata)
    message = f"{out}: the training of generation {what['generation']} diverged after {what['images_seen']} images"
    print(message, file=sys.stderr)
    if not mark:
        raise typer.Exit(EXIT_DIVERGED)
