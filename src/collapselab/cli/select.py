"""Which samples are kept for the next generation."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.sets import KeptTable, SampleSet
from ..features import FEATURES
from ..select import SELECTORS
from ..select.base import Seen
from ..verbs import select as verb
from .extractors import weights_of
from .inputs import hashes
from .options import Generation, Options, Out, Replicate, StudySeed, chosen, parsed
from .run import clock

app = typer.Typer(rich_markup_mode=None)


@app.command()
def select(
    samples: Annotated[Path, typer.Option(help="samples to choose from")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    selector: Annotated[str, typer.Option(help=f"one of {', '.join(SELECTORS)}")] = "nobody",
    options: Options = "{}",
    extractor: Annotated[str, typer.Option(help="NAME or NAME=WEIGHTS, for a selector that reads features")] = "",
    train: Annotated[Path | None, typer.Option(help="the training split, for a selector that reads features")] = None,
) -> None:
    """Choose which samples are kept for the next generation."""
    entry = chosen(SELECTORS, selector, "--selector")
    pool = store.read_samples(samples)
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "selector": selector, "inputs": hashes(samples)}
    if "diverged" in pool.lineage:
        lineage["diverged"] = pool.lineage["diverged"]
    seen = _seen(pool, entry.reads, extractor, train) if entry.reads and len(pool) else None
    settings = parsed(entry.Options, options, "--options")
    with clock.compute():
        selection = verb.select(selector, entry, settings, pool, seen, study_seed, seed, generation)
    store.write_kept(out, KeptTable(selection.rows, selection.scores, selection.reasons, selection.judge, lineage))


def _seen(pool: SampleSet, reads: str, extractor: str, train: Path | None) -> Seen:
    """The samples and the training split through the eyes of a selector."""
    name, _, path = extractor.partition("=")
    if name != reads or train is None:
        raise typer.BadParameter(
            f"found {extractor!r} and {train}; the selector reads {reads!r} and the training split"
        )
    weights, _ = weights_of(FEATURES[name], name, path)
    with clock.compute():
        return verb.look(FEATURES[name], weights, pool, store.read_samples(train))
