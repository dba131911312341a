"""Samples that no study made, measured as a study's own are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.errors import Foreign
from ..core.registry import usable
from ..features import FEATURES, Extractor
from ..measure import outside, pools
from ..metrics import METRICS
from .extractors import looks_outside, settings_of, weights_of
from .options import chosen, json_of, metrics_of, pairs
from .places import MANY_NUMBERS, place_of
from .run import clock
from .work import get_ready

app = typer.Typer(rich_markup_mode=None)

# Of other packages only the names are known: theirs are loaded where they are asked for.
OUTSIDE = [name for name in FEATURES if FEATURES.origin(name) or looks_outside(FEATURES[name])]
PARTS = {"samples": "sampled", "against": "held_out", "train": "train"}
MEASURED_ROLES = tuple(PARTS)
USUAL = {"images": "inception", "vectors": "identity", "categories": "identity"}  # extractors, where none is asked for


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
    channels: Annotated[
        int | None, typer.Option(min=1, max=3, help="1 reads images as grey, 3 as colours; else grey where all are")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="record to write, with the fingerprints, for compare")] = None,
    scores: Annotated[Path | None, typer.Option(help="CSV to write: the scores of every sample")] = None,
) -> None:
    """Compare any two sets of samples, without a study."""
    if channels not in (None, 1, 3):
        raise typer.BadParameter(f"found {channels}; allowed: 1, 3", param_hint="--channels")
    extractors = {
        name: (chosen(FEATURES, name, "--extractor", looks_outside), path)
        for name, path in pairs(extractor or [USUAL[pools.kind_at(samples)]], "--extractor").items()
    }
    paths = {"samples": samples, "against": against} | ({"train": train} if train else {})
    streamed = all(entry.needs.published for entry, _ in extractors.values())
    found = _pools(paths, resolution=resolution, channels=channels, count=count, seed=seed, streamed=streamed)
    kind = found["samples"].kind
    looks = {name: _look(entry, name, path, kind, samples) for name, (entry, path) in extractors.items()}
    wanted = _wanted(metric, looks, kind, train is not None)
    _survey(found)
    by_part = {PARTS[role]: pool for role, pool in found.items()}
    counts, leaks = outside.leaks(by_part)
    place = place_of(MANY_NUMBERS if streamed else sum(pool.data.size for pool in found.values()))
    with clock.compute():
        content, columns = outside.measured(*(found.get(role) for role in MEASURED_ROLES), looks, wanted, place)
    for role, pool in found.items():
        print(f"{'' if role == 'samples' else f'--{role} '}{paths[role]}: {pool.said}")
    for warning in (*leaks, *outside.unlike(by_part), *content.get("warnings", ())):
        print(f"warning: {warning}")
    print(f"\n{outside.table(content, str(samples), str(against))}")
    if scores:
        text = outside.csv_of(columns, found["samples"].called)
        store.write_atomically(scores, lambda file: file.write_text(text, encoding="utf-8"))
    if out:
        store.write_json(out, content | ({"shared": counts} if counts else {}))


def _pools(paths: Mapping[str, Path], **form: Any) -> dict[str, pools.Pool]:
    """The samples in each role, all of one kind, and in colour where one of them is. All faults are told together."""
    found: dict[str, pools.Pool] = {}
    faults: dict[str, ValueError] = {}
    for role, path in paths.items():
        try:
            found[role] = pools.read(path, **form)
        except ValueError as error:
            faults[str(error)] = error
    if faults:
        damaged = next((error for error in faults.values() if isinstance(error, Foreign)), None)
        raise Foreign(damaged.path, "\n".join(faults)) if damaged else ValueError("\n".join(faults))
    kinds = {role: pool.kind for role, pool in found.items()}
    if len(set(kinds.values())) > 1:
        said = "; ".join(f"{paths[role]} holds {kind}" for role, kind in kinds.items())
        raise ValueError(f"{said}: allowed is one kind")
    colour = any(pool.channels == 3 for pool in found.values())
    return {role: pool.in_colour() if colour and form["channels"] != 1 else pool for role, pool in found.items()}


def _survey(found: Mapping[str, pools.Pool]) -> None:
    """Decode all pictures that will only be looked at one by one: what cannot be read is told now, and together."""
    faults = []
    for pool in found.values():
        if not isinstance(pool.data, pools.Pictures):
            continue
        try:
            pool.data.survey()
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))


def _look(entry: Extractor, name: str, path: str, kind: str, samples: Path) -> outside.Look:
    """An extractor that looks at samples of a kind, with what it looks through."""
    if kind not in entry.takes:
        takes = " and ".join(entry.takes)
        raise typer.BadParameter(f"{name!r} looks at {takes}; {samples} holds {kind}", param_hint="--extractor")
    settings = settings_of(entry, name, {})
    try:
        found, facts = weights_of(entry, name, path)
    except ValueError as error:
        if path or not entry.needs.published:
            raise
        weightless = ((one, it) for one, it in usable(FEATURES) if it.needs.through == "nothing")
        others = ", ".join(one for one, it in weightless if kind in it.takes)
        raise ValueError(f"{error}\nor choose an --extractor that needs none: {others}") from None
    get_ready(entry.uses_torch)
    return outside.Look(found, settings, facts | settings)


def _wanted(
    metric: list[str] | None, looks: Mapping[str, outside.Look], kind: str, with_train: bool
) -> dict[str, dict[str, Any]]:
    """The metrics that are asked for, or else all that mean something here."""
    lacking = {name: outside.lacks(name, looks, kind, with_train) for name, _ in usable(METRICS)}
    possible = [name for name, reason in lacking.items() if reason is None]
    said = pairs(metric or possible, "--metric")
    given = {name: json_of(text or "{}", f"--metric {name}", dict) for name, text in said.items()}
    if faults := [f"{name!r} {lacking[name]}" for name in given if lacking.get(name)]:
        raise typer.BadParameter(f"{faults[0]}; allowed here: {', '.join(possible)}", param_hint="--metric")
    return metrics_of(json.dumps(given), "--metric")
