"""Which samples are kept for the next generation."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..core.sets import KeptTable
from ..rewards.asking import files_of, looked_through
from ..select import SELECTORS
from ..select.base import Selection, Twin
from ..store.cells import Cell
from ..store.weights import digest_of_all
from ..verbs import select as verb
from .extractors import ExtractorOptions, looks_of
from .inputs import hashes, model_in
from .marking import Marked, p_marked
from .options import Generation, Out, Replicate, StudySeed, choices, pairs
from .run import clock
from .work import get_ready_for

app = typer.Typer(rich_markup_mode=None)


@app.command()
def select(
    samples: Annotated[Path, typer.Option(help="samples to choose from")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    selectors: Annotated[
        str,
        typer.Option(
            help='who keeps which, one after the other, as JSON: ["NAME", {"NAME": {...}}]; nobody by default'
        ),
    ] = '["nobody"]',
    too_few: Annotated[
        verb.TooFew, typer.Option(help="where one finds fewer than are wanted: stop, or chance adds some")
    ] = "stop",
    study: Annotated[str, typer.Option(help="the study that the samples are of")] = "",
    arm: Annotated[str, typer.Option(help="the arm that the samples are of")] = "",
    extractor: Annotated[list[str] | None, typer.Option(help="NAME or NAME=WEIGHTS to look through")] = None,
    extractor_options: ExtractorOptions = "{}",
    train: Annotated[Path | None, typer.Option(help="the training split, for a selector that looks at it")] = None,
    model: Annotated[Path | None, typer.Option(help="the model of the samples, for a selector that asks it")] = None,
    ballots: Annotated[Path | None, typer.Option(help="people's judgements, for a selector that follows them")] = None,
    twin: Annotated[
        Path | None, typer.Option(help="what another arm's selector kept, for chance to keep as many")
    ] = None,
    twin_samples: Annotated[Path | None, typer.Option(help="the samples from which that selector kept them")] = None,
    mark: Marked = "{}",
    mark_model: Annotated[Path | None, typer.Option(help="the model of the samples, for a mark of its noise")] = None,
    stream: Annotated[int, typer.Option(min=0, help="random stream of the arm, of which the mark's key is made")] = 0,
) -> None:
    """Choose which samples are kept for the next generation."""
    steps = [verb.Choosing(*one) for one in choices(SELECTORS, selectors, "--selectors")]
    paths = {"--train": train, "--model": model, "--ballots": ballots, "--twin": twin, "--twin-samples": twin_samples}
    chosen = [(one.selector, one.options) for one in steps]
    expect_needed(chosen, extractor or [], paths)
    pool = store.read_samples(samples)
    read = [path for path in (samples, mark_model, *paths.values()) if path]
    lineage = {"generation": generation, "seed": seed, "selectors": json.loads(selectors), "inputs": hashes(*read)}
    lineage |= _files(chosen) | {key: value for key, value in pool.lineage.items() if key == "diverged"}
    looks = looks_of(extractor or [], extractor_options)
    beside = {
        "train": store.read_samples(train) if train else None,
        "model": model_in(model)[0] if model else None,
        "ballots": store.read_ballots(ballots) if ballots else None,
        "twin": Twin(store.read_samples(twin_samples).labels, store.read_kept(twin)) if twin else None,
    }
    if "diverged" not in lineage:
        get_ready_for(looks.values(), beside["model"], model_in(mark_model)[0] if mark_model else None)
    looks_for_mark = any(one.selector.needs.mark for one in steps)
    with clock.compute():
        again = any(one.selector.needs.ask for one in steps) and "diverged" not in lineage
        asked = verb.asked_for(pool, study_seed) if again else None
        told = p_marked(looks_for_mark, mark, mark_model, (study_seed, seed, stream), pool, beside["train"])
        shown = verb.pool_of(pool, Cell(study, arm, seed, generation), looks, **beside, ask=asked, p_mark=told)
        found = NOTHING if "diverged" in lineage else verb.select(steps, shown, study_seed, too_few)
    lineage["topped_up"] = sum(reason.startswith(verb.TOPPED_UP) for reason in found.reasons)
    lineage |= _counting(found.weights)
    store.write_kept(out, KeptTable(found.rows, found.scores, found.reasons, found.judge, lineage, found.weights))


def _counting(weights: np.ndarray | None) -> dict[str, float]:
    """As how many rows the weighted ones count, for their lineage; where those are few, it is told."""
    if weights is None or not len(weights):
        return {}
    count, rows = verb.effective(weights), len(weights)
    if count < FEW * rows:
        print(
            f"warning: the weights of the {rows} kept rows count as {count:.3g} rows of one weight: a few rows have "
            "nearly all of it, and a model learns those alone; cure: a smaller strength, or a larger penalty of the "
            "detector",
            file=sys.stderr,
        )
    return {"effective": count}


def _files(chosen: Sequence[tuple[Any, Any]]) -> dict[str, dict[str, str]]:
    """The files of the user's that options name, with their hashes, for the lineage of what is chosen by them."""
    named = files_of(chosen)
    return {"files": {name: digest_of_all(Path(name)) for name in named}} if named else {}


def expect_needed(steps: Sequence[tuple[Any, Any]], extractors: list[str], files: Mapping[str, Path | None]) -> None:
    """Raise BadParameter unless entries, with their options, are handed just what they need.

    files: those that they may need, by the options that name them.
    """
    names = list(pairs(extractors, "--extractor"))
    through = {name for entry, options in steps for name in looked_through(entry, options)}
    if set(names) != through:
        allowed = ", ".join(sorted(through)) or "none"
        raise typer.BadParameter(
            f"found {', '.join(names) or 'none'}; looked through are {allowed}", param_hint="--extractor"
        )
    needs = [entry.needs for entry, _ in steps]
    needed = {option: any(getattr(one, need) for one in needs) for option, need in NEEDS.items()}
    needed["--train"] |= bool(through)
    for option, path in files.items():
        if needed[option] != (path is not None):
            said = "it is needed" if needed[option] else "nothing here has a use for it"
            raise typer.BadParameter(f"found {path or 'nothing'}; {said}", param_hint=option)


FEW = 0.1  # share of the kept rows: where their weights count as fewer, somebody should know
NOTHING = Selection(np.empty(0, np.int64), np.empty(0), (), "nobody")  # of the samples of a model that diverged
NEEDS = {"--train": "train", "--model": "model", "--ballots": "ballots", "--twin": "twin", "--twin-samples": "twin"}
