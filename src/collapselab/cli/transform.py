"""Samples as they are released."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from ..core.sequences import met
from ..transforms import TRANSFORMS
from ..verbs import transform as verb
from .extractors import ExtractorOptions, looks_of
from .inputs import hashes
from .marking import Marked, mark_in
from .options import Generation, Out, Replicate, StudySeed, choices
from .run import clock
from .select import expect_needed
from .work import get_ready_for

app = typer.Typer(rich_markup_mode=None)


@app.command()
def transform(
    samples: Annotated[Path, typer.Option(help="samples to change")],
    transforms: Annotated[str, typer.Option(help='what is done to them, in order, as JSON: ["NAME", {"NAME": {...}}]')],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    stream: Annotated[int, typer.Option(min=0, help="random stream of the arm")] = 0,
    extractor: Annotated[list[str] | None, typer.Option(help="NAME or NAME=WEIGHTS to look through")] = None,
    extractor_options: ExtractorOptions = "{}",
    train: Annotated[Path | None, typer.Option(help="the training split, for a transform that looks at it")] = None,
    mark: Marked = "{}",
) -> None:
    """Change samples on their way into the world: correct, compress and mark them."""
    steps = [verb.Step(*one) for one in choices(TRANSFORMS, transforms, "--transforms")]
    expect_needed([(one.transform, one.options) for one in steps], extractor or [], {"--train": train})
    if marks := mark_in(mark, "pixels"):
        steps.append(verb.marking(*marks))
    released = pool = store.read_samples(samples)
    looks, split = looks_of(extractor or [], extractor_options), store.read_samples(train) if train else None
    met({str(samples): pool.lineage} | ({str(train): split.lineage} if split else {}))
    if "diverged" not in pool.lineage:
        get_ready_for(looks.values())
        with clock.compute():
            where = verb.Where(study_seed, seed, generation, stream)
            released = verb.transform(steps, pool, where, looks, split)
    inputs = hashes(samples, *([train] if train else []))
    lineage = {
        **pool.lineage,
        "inputs": {**pool.lineage.get("inputs", {}), **inputs},
        "transforms": json.loads(transforms),
        **({"mark": json.loads(mark)} if marks else {}),
    }
    store.write_samples(out, replace(released, lineage=lineage))
