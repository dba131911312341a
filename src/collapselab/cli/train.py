"""A model of a training set."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel

from .. import store
from ..core.run import Run
from ..core.sequences import met
from ..models import MODELS
from ..models.files import write_model
from ..store import provenance
from ..store.provenance import PACKAGE
from ..verbs import train as verb
from .inputs import hashes, model_in
from .learning import AllowNonidentical, MarkDiverged, at_work, diverged, leave, run_of
from .options import Generation, Options, Out, Replicate, StudySeed, chosen, parsed

app = typer.Typer(rich_markup_mode=None)

Of = Literal["samples", "labels"]


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
    of: Annotated[Of, typer.Option(help="what it models: samples, or their labels alone, as categories")] = "samples",
    allow_nonidentical: AllowNonidentical = False,
    mark_diverged: MarkDiverged = False,
) -> None:
    """Train a model; an interrupted training goes on where its checkpoint is, to the same bits."""
    kind = chosen(MODELS, family, "--family")
    settings = parsed(kind.Options, options, "--options")
    table = store.read_training(training)
    lineage: dict[str, Any] = {
        "generation": generation,
        "seed": seed,
        "inputs": hashes(training),
        **met({"": table.lineage}),
        **({"of": of} if of != "samples" else {}),
    }
    ancestors = {"--init": init, "--chosen-by": chosen_by}
    start, chooser = (_ancestor(path, family, option, lineage) if path else None for option, path in ancestors.items())
    what = table.lineage.get("diverged") or lineage.pop("ancestor_diverged", None)
    if what:
        diverged(out, family, settings, lineage, what, mark_diverged)
        return
    settings = verb.settle(kind, settings, chooser)
    if images_seen == 0:
        _write_as_it_is(out, family, settings, lineage, start)
        return
    number = verb.training_seed(study_seed, seed, generation)
    run = run_of(out, number, images_seen, allow_nonidentical, family, lineage)
    budget = verb.budget(settings, images_seen)

    def fit() -> Any:
        with at_work(f"train {out.parent}", budget, kind.uses_torch) as tell:
            data = verb.weighted(verb.rows_of(table, store.referred(table)), table)
            data = verb.labels_of(data) if of == "labels" else data
            looked_at = verb.whole(store.read_samples(validation)) if validation else None
            return verb.train(kind, settings, data, replace(run, progress=tell, validation=looked_at), start)

    made_from = _made_from(family, settings, lineage, run, validation) if kind.uses_torch else None
    leave(out, family, settings, lineage, budget, fit, run, mark_diverged, made_from=made_from)


def _made_from(
    family: str, settings: BaseModel, lineage: Mapping[str, Any], run: Run, validation: Path | None
) -> dict[str, Any]:
    """All that a trained network follows from: its options, its rows, what it starts from, its seed and its source."""
    of_labels = ["labels_of"] if "of" in lineage else []
    roots = [f"{PACKAGE}.verbs.train:{name}" for name in ("train", "rows_of", "weighted", "whole", *of_labels)]
    return {
        "verb": "train",
        "family": family,
        "options": settings.model_dump(mode="json"),
        "lineage": dict(lineage),
        "validation": hashes(validation) if validation else {},
        "images_seen": run.images_seen,
        "seed": run.seed,
        "source": provenance.source_hash(*provenance.entries("models:MODELS", [family]), *roots),
    }


def _write_as_it_is(out: Path, family: str, settings: BaseModel, lineage: Mapping[str, Any], start: Any) -> None:
    if start is None:
        said = "found 0 and no --init; a model that sees no images starts from another"
        raise typer.BadParameter(said, param_hint="--images-seen")
    write_model(out, family, verb.as_it_is(start, settings), {**lineage, "images_seen": 0})


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
