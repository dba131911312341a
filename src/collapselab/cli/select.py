"""Which samples are kept for the next generation."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.sets import KeptTable
from ..rewards.asking import looked_through
from ..select import SELECTORS
from ..store.cells import Cell
from ..verbs import select as verb
from .extractors import ExtractorOptions, looks_of
from .inputs import hashes, model_in
from .options import Generation, Options, Out, Replicate, StudySeed, chosen, pairs, parsed
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
    study: Annotated[str, typer.Option(help="the study that the samples are of")] = "",
    arm: Annotated[str, typer.Option(help="the arm that the samples are of")] = "",
    extractor: Annotated[list[str] | None, typer.Option(help="NAME or NAME=WEIGHTS to look through")] = None,
    extractor_options: ExtractorOptions = "{}",
    train: Annotated[Path | None, typer.Option(help="the training split, for a selector that looks at it")] = None,
    model: Annotated[Path | None, typer.Option(help="the model of the samples, for a selector that asks it")] = None,
    ballots: Annotated[Path | None, typer.Option(help="people's judgements, for a selector that follows them")] = None,
) -> None:
    """Choose which samples are kept for the next generation."""
    entry = chosen(SELECTORS, selector, "--selector")
    settings = parsed(entry.Options, options, "--options")
    through = looked_through(entry, settings)
    _expect_needed(entry, through, extractor or [], {"--train": train, "--model": model, "--ballots": ballots})
    pool = store.read_samples(samples)
    read = [path for path in (samples, train, model, ballots) if path]
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "selector": selector, "inputs": hashes(*read)}
    if "diverged" in pool.lineage:
        lineage["diverged"] = pool.lineage["diverged"]
    looks = looks_of(extractor or [], extractor_options)
    split = store.read_samples(train) if train else None
    asked = model_in(model)[0] if model else None
    told = store.read_ballots(ballots) if ballots else None
    with clock.compute():
        shown = verb.pool_of(pool, Cell(study, arm, seed, generation), settings, looks, split, asked, told)
        selection = verb.select(selector, entry, settings, shown, study_seed)
    store.write_kept(out, KeptTable(selection.rows, selection.scores, selection.reasons, selection.judge, lineage))


def _expect_needed(entry: Any, through: tuple[str, ...], extractors: list[str], files: dict[str, Path | None]) -> None:
    """Raise BadParameter unless a selector is handed just what it needs."""
    needs, names = entry.needs, list(pairs(extractors, "--extractor"))
    if sorted(names) != sorted(through):
        allowed = ", ".join(through) or "none"
        raise typer.BadParameter(
            f"found {', '.join(names) or 'none'}; the selector looks through {allowed}", param_hint="--extractor"
        )
    needed = {"--train": bool(through), "--model": needs.model, "--ballots": needs.ballots}
    for option, path in files.items():
        if needed[option] != (path is not None):
            said = "the selector needs it" if needed[option] else "the selector has no use for it"
            raise typer.BadParameter(f"found {path or 'nothing'}; {said}", param_hint=option)
