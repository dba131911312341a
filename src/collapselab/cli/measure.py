"""Samples that no study made, measured as a study's own are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..core.registry import usable
from ..features import FEATURES, Extractor
from ..measure import outside, pools, sets
from ..measure.sets import Measured
from ..metrics import METRICS
from .extractors import looks_outside, settings_of, weights_of
from .options import chosen, json_of, metrics_of, pairs
from .places import MANY_NUMBERS, place_of
from .run import clock
from .work import get_ready

app = typer.Typer(rich_markup_mode=None)

# Of other packages only the names are known: theirs are loaded where they are asked for.
OUTSIDE = [name for name in FEATURES if FEATURES.origin(name) or looks_outside(FEATURES[name])]
USUAL = {
    "images": "inception",
    "vectors": "identity",
    "categories": "identity",
    "sequences": "tokens",
    "audio": "log-spectral",
}
"""Extractors, where none is asked for."""


@app.command()
def measure(
    samples: Annotated[Path, typer.Argument(help=f"what is measured: {pools.READABLE}")],
    against: Annotated[Path, typer.Option(help="real samples that it is compared with, in one of the same formats")],
    train: Annotated[
        Path | None,
        typer.Option(
            help="real samples that the model was trained on: to look for copies, and for what a perfect model scores"
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help=f"NAME or NAME=WEIGHTS, as often as wanted; else inception for images, identity for numbers; names: "
            f"{', '.join(OUTSIDE)}"
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME=OPTIONS as JSON, such as recall='{\"k\": 3}'; else all that mean something"),
    ] = None,
    count: Annotated[int | None, typer.Option(min=2, help="measure so many samples of each side, drawn by lot")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the lot by which --count draws")] = 0,
    resolution: Annotated[int | None, typer.Option(min=1, help="side in pixels that images are shrunk to")] = None,
    crop: Annotated[
        pools.Crop, typer.Option(help="centre cuts images to squares, before they are shrunk to a --resolution")
    ] = "none",
    channels: Annotated[
        int | None, typer.Option(min=1, max=3, help="1 reads images as grey, 3 as colours; else grey where all are")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="record to write, with the fingerprints, for compare")] = None,
    scores: Annotated[Path | None, typer.Option(help="CSV to write: the scores of every sample")] = None,
) -> None:
    """Compare any two sets of samples, without a study."""
    form = {"resolution": resolution, "crop": crop, "channels": channels, "count": count, "seed": seed}
    given = {"samples": samples, "against": against} | ({"train": train} if train else {})
    looked = pairs(extractor, "--extractor") if extractor else {}
    metrics = pairs(metric or [], "--metric")
    said = {name: json_of(text or "{}", f"--metric {name}", dict) for name, text in metrics.items()}
    found = measured(given, {name: (path, {}) for name, path in looked.items()}, said, **form)
    print(found)
    if scores:
        text = outside.csv_of(found.scores, found.called)
        store.write_atomically(scores, lambda file: file.write_text(text, encoding="utf-8"))
    if out:
        store.write_json(out, found.to_dict())


def measured(
    given: Mapping[str, Path | np.ndarray],
    extractors: Mapping[str, tuple[str, Mapping[str, Any]]],
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    channels: int | None = None,
    count: int | None = None,
    seed: int = 0,
    **form: Any,
) -> Measured:
    """How sets of samples compare, as they were asked for in words or in Python.

    given: by role, a path or an array. extractors: by name, the path of their weights, or nothing, and their options;
    of none the usual one of this kind of data. metrics: options by name; of none all that mean something.
    """
    for name, value, least in (("count", count, 2), ("seed", seed, 0), ("resolution", form.get("resolution"), 1)):
        if value is not None and (not isinstance(value, int) or value < least):
            raise typer.BadParameter(f"found {value!r}; allowed are whole numbers from {least}", param_hint=f"--{name}")
    if form.get("crop", "none") not in pools.CROPS:
        allowed = ", ".join(pools.CROPS)
        raise typer.BadParameter(f"found {form['crop']!r}; allowed: {allowed}", param_hint="--crop")
    if channels not in (None, 1, 3):
        raise typer.BadParameter(f"found {channels}; allowed: 1, 3", param_hint="--channels")
    extractors = extractors or {USUAL[_kind(given["samples"])]: ("", {})}
    entries = {name: chosen(FEATURES, name, "--extractor", looks_outside) for name in extractors}
    streamed = sets.streams(extractors)
    found = sets.read(given, channels=channels, count=count, seed=seed, streamed=streamed, **form)
    pool = found["samples"]
    looks = {name: look(entries[name], name, *extractors[name], pool) for name in extractors}
    wanted = _wanted(metrics, looks, pool.kind, "train" in given)
    place = place_of(MANY_NUMBERS if streamed else sum(pool.data.size for pool in found.values()))
    with clock.compute():
        return sets.compared(found, looks, wanted, place)


def _kind(given: Path | np.ndarray) -> str:
    return pools.of_array(given, Path("samples")).kind if isinstance(given, np.ndarray) else pools.kind_at(given)


def look(entry: Extractor, name: str, path: str, options: Mapping[str, Any], pool: pools.Pool) -> outside.Look:
    """An extractor that looks at samples of a kind, with what it looks through."""
    if pool.kind not in entry.takes:
        takes = " and ".join(entry.takes)
        raise typer.BadParameter(f"{name!r} looks at {takes}; {pool.path} holds {pool.kind}", param_hint="--extractor")
    settings = settings_of(entry, name, options)
    try:
        found, facts = weights_of(entry, name, path)
    except ValueError as error:
        if path or not entry.needs.published:
            raise
        weightless = ((one, it) for one, it in usable(FEATURES) if it.needs.through == "nothing")
        others = ", ".join(one for one, it in weightless if pool.kind in it.takes)
        raise ValueError(f"{error}\nor choose an --extractor that needs none: {others}") from None
    get_ready(entry.uses_torch)
    return outside.Look(found, settings, facts | settings)


def _wanted(
    metrics: Mapping[str, Mapping[str, Any]], looks: Mapping[str, outside.Look], kind: str, with_train: bool
) -> dict[str, dict[str, Any]]:
    """The metrics that are asked for, or else all that mean something here."""
    lacking = {name: outside.lacks(name, looks, kind, with_train) for name, _ in usable(METRICS)}
    possible = [name for name, reason in lacking.items() if reason is None]
    given = metrics or {name: {} for name in possible}
    if faults := [f"{name!r} {lacking[name]}" for name in given if lacking.get(name)]:
        raise typer.BadParameter(f"{faults[0]}; allowed here: {', '.join(possible)}", param_hint="--metric")
    return metrics_of(json.dumps(given), "--metric")
