"""Which rows make a training set, and the rows that are made for it alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import BaseModel

from .. import store
from ..compose.regimes import Recipe
from ..compose.streams import Stream
from ..core.sequences import met
from ..core.sets import SampleSet, TrainingTable
from ..verbs import compose as verb
from .inputs import hashes, model_in, told_of
from .options import Out, Replicate, StudySeed, json_of, pairs, parsed
from .run import clock
from .steering import sampling, steering
from .stop import Decided, decided, mark_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def draw(
    recipe: Annotated[str, typer.Option(help="what the regime comes to at this generation, as JSON")],
    study_seed: StudySeed,
    seed: Replicate,
    out: Out,
    population: Annotated[Path | None, typer.Option(help="the known population that real rows are drawn from")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="ARM:GENERATION=FILE of an ancestor to draw anew from")
    ] = None,
    about: Annotated[
        str, typer.Option(help="JSON: sampling bias, random stream, guide and sampler of each ARM:GENERATION")
    ] = "{}",
    stream: Annotated[str | None, typer.Option(help="JSON: the tasks, where the population changes")] = None,
    stop: Decided = None,
) -> None:
    """Draw what a training set needs and no file holds: real data of a population, new samples of ancestors' models."""
    wanted = parsed(Recipe, recipe, "--recipe")
    if stopped := decided(stop):
        store.write_samples(out, SampleSet(np.empty(0), lineage={"parts": [], "diverged": mark_of(stopped)}))
        return
    arms = json_of(about, "--about", dict)
    paths = {name: Path(path) for name, path in pairs(model or [], "--model", files=True).items()}
    truth = model_in(population)[0] if population else None
    ancestors, beside, lineages = {}, [], {str(population): told_of(truth)} if truth is not None else {}
    for name, path in paths.items():
        arm, _, generation = name.partition(":")
        trained, metadata = model_in(path)
        lineages[str(path)] = metadata["lineage"]
        settings = arms[name]
        others = settings.get("auxiliary", {})
        guide, lost = steering(settings.get("guide", {}), others)
        beside += map(Path, others.values())
        diverged = metadata["lineage"].get("diverged", lost)
        model_or_none = None if diverged else trained
        bias, by = settings.get("sampling_bias", 1.0), sampling(settings.get("sampler", {}))
        ancestors[arm, int(generation)] = verb.Ancestor(
            model_or_none, bias, settings["stream"], diverged, guide, sampler=by
        )
    with clock.compute():
        if stream is not None and truth is not None:
            tasks = parsed(Stream, stream, "--stream")
            drawn = verb.draw_tasks(wanted, study_seed, seed, truth, ancestors, tasks)
        else:
            drawn = verb.draw(wanted, study_seed, seed, truth, ancestors)
    inputs = hashes(*paths.values(), *beside, *([population] if population else []))
    store.write_samples(out, replace(drawn, lineage=drawn.lineage | {"inputs": inputs} | met(lineages)))


def _drawn(path: Path) -> SampleSet:
    """What the draw verb made, in parts that fill it. Raises Damaged for any other samples."""
    samples = store.read_samples(path)
    with store.understood(path):
        parts = samples.lineage["parts"]
        if not all(type(arm) is str and type(generation) is type(count) is int for arm, generation, count in parts):
            raise ValueError("parts are an arm, a generation and a count")
        if "diverged" not in samples.lineage and sum(count for _, _, count in parts) != len(samples):
            raise ValueError(f"parts of other numbers of rows than {len(samples)}")
    return samples


class Source(BaseModel):
    """Where the rows of one arm and generation lie."""

    arm: str
    generation: int
    samples: str
    kept: str | None = None


@app.command()
def compose(
    recipe: Annotated[str, typer.Option(help="what the regime comes to at this generation, as JSON")],
    study_seed: StudySeed,
    seed: Replicate,
    out: Out,
    sources: Annotated[
        str, typer.Option(help="JSON list of {arm, generation, samples, kept}; arms fixed, redrawn, fresh are real")
    ],
    drawn: Annotated[Path | None, typer.Option(help="what the draw verb made for this training set")] = None,
    stop: Decided = None,
) -> None:
    """Write down which rows make the training set of a generation: a table of references."""
    wanted = parsed(Recipe, recipe, "--recipe")
    if stopped := decided(stop):
        lineage = {"recipe": wanted.model_dump(mode="json"), "seed": seed, "diverged": mark_of(stopped)}
        store.write_training(out, TrainingTable((), lineage))
        return
    listed = [parsed(Source, json.dumps(entry), "--sources") for entry in json_of(sources, "--sources", list)]
    stored = {(source.arm, source.generation): source for source in listed}
    sets = {path: store.read_samples(Path(path)) for path in dict.fromkeys(s.samples for s in stored.values())}
    files = [*map(Path, sets), *(Path(s.kept) for s in stored.values() if s.kept), *([drawn] if drawn else [])]
    inputs = hashes(*files)
    rows = {
        place: verb.Rows(
            sets[source.samples],
            source.samples,
            inputs[source.samples],
            store.read_kept(Path(source.kept)) if source.kept else None,
        )
        for place, source in stored.items()
    }
    made = verb.Rows(_drawn(drawn), str(drawn), inputs[str(drawn)]) if drawn else None
    with clock.compute():
        table = verb.row_weights(verb.compose(wanted, study_seed, seed, rows, made), rows.values())
    alike = met({one.path: one.samples.lineage for one in [*rows.values(), *([made] if made else [])]})
    store.write_training(out, replace(table, lineage=table.lineage | {"inputs": inputs} | alike))
