"""Samples as they are released."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from ..core.choice import Choice
from ..transforms import TRANSFORMS
from ..verbs import transform as verb
from .inputs import hashes
from .marking import Marked, mark_in
from .options import Generation, Out, Replicate, StudySeed, chosen, json_of, parsed
from .run import clock

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
    mark: Marked = "{}",
) -> None:
    """Change samples on their way into the world: correct, compress and mark them."""
    steps = []
    for said in json_of(transforms, "--transforms", list):
        choice = _choice(said)
        entry = chosen(TRANSFORMS, choice.name, "--transforms")
        options = parsed(entry.Options, json.dumps(dict(choice.options)), f"--transforms {choice.name}")
        steps.append(verb.Step(choice.name, entry, options))
    if marks := mark_in(mark, "pixels"):
        steps.append(verb.marking(*marks))
    pool = store.read_samples(samples)
    released = pool
    if "diverged" not in pool.lineage:
        with clock.compute():
            released = verb.transform(steps, pool, study_seed, seed, generation, stream)
    inputs = hashes(samples)
    lineage = {
        **pool.lineage,
        "inputs": {**pool.lineage.get("inputs", {}), **inputs},
        "transforms": json.loads(transforms),
        **({"mark": json.loads(mark)} if marks else {}),
    }
    store.write_samples(out, replace(released, lineage=lineage))


def _choice(said: object) -> Choice:
    try:
        return Choice.of(said)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--transforms") from None
