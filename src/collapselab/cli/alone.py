"""A single model outside a study: rows for it from anywhere, and a page of how it is before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import typer

from .. import store
from ..adapt.base import steps_of
from ..core.ask import Ask
from ..core.registry import usable
from ..core.seeds import seed_of
from ..core.sets import SampleSet, TrainingSet
from ..data.digest import digest
from ..features import FEATURES
from ..measure import outside, pools
from ..metrics import METRICS
from ..rewards.asking import looked_through
from ..verbs.train import rows_of, weighted, whole
from .adapting import Asked
from .inputs import hashes, model_in
from .options import pairs
from .places import place_of
from .run import clock

TABLE = ".parquet"
MEASURED_IN = {
    "images": ("random-conv",),
    "vectors": ("identity",),
    "categories": ("identity",),
    "sequences": ("tokens",),
    "audio": ("log-spectral",),
}
COPIES = "pixels"  # where copies of training images are looked for


class Rows(NamedTuple):
    """What is read for a model: its training set, earlier ones, real rows to look at, to choose by, to compare with.

    hashes: of all but the last, by the paths, of which ``said`` has that of the training and of the last.
    """

    training: TrainingSet
    earlier: Sequence[TrainingSet]
    train: SampleSet
    validation: SampleSet | None
    against: SampleSet | None
    hashes: Mapping[str, str]
    said: tuple[str, str]

    @classmethod
    def at(
        cls,
        model: Any,
        training: Path,
        earlier: Sequence[Path],
        train: Path | None,
        validation: Path | None,
        against: Path | None,
    ) -> Self:
        """Read them. Raises ValueError and Foreign for what cannot be read, BadParameter for rows of another shape."""
        (rows, known), *before = (training_at(path, model) for path in (training, *earlier))
        known = known | {path: one for _, of in before for path, one in of.items()}
        sides: list[SampleSet | None] = []
        for path, option in ((train, "--train"), (validation, "--validation"), (against, "--against")):
            found, digests = rows_at(path, model, option) if path else (None, {})
            sides.append(found)
            known |= digests if option != "--against" else {}
        split = sides[0] or SampleSet(rows.data, rows.labels)
        return cls(rows, [one for one, _ in before], split, *sides[1:], known, (str(training), str(against or "")))


def rows_at(path: Path, model: Any, option: str) -> tuple[SampleSet, dict[str, str]]:
    """The rows at a path, as large as the model's samples, with their hash: a sample set of ours, or anybody's data."""
    if path.suffix == ".safetensors":
        samples, known = store.read_samples(path), hashes(path)
    else:
        samples = _pictures(path, model, option) or SampleSet(pools.read(path).data)
        known = {str(path): digest(samples)}
    if samples.data.shape[1:] != tuple(model.shape):
        found = f"{path} holds rows of shape {samples.data.shape[1:]}"
        raise typer.BadParameter(f"{found}; the model's have {tuple(model.shape)}", param_hint=option)
    return samples, known


def _pictures(path: Path, model: Any, option: str) -> SampleSet | None:
    """A folder or zip of pictures, read as large and as colourful as the model makes them; None where it is none."""
    if pools.dataset_at(path) is None:
        return None
    if len(model.shape) != 3 or model.shape[1] != model.shape[2]:
        said = f"{path} holds pictures; the model makes rows of shape {tuple(model.shape)}"
        raise typer.BadParameter(said, param_hint=option)
    return pools.dataset_at(path, resolution=model.shape[1], channels=model.shape[0]).load()


def training_at(path: Path, model: Any) -> tuple[TrainingSet, dict[str, str]]:
    """A training set, and its hash: a table that compose wrote, or rows that all weigh the same."""
    if path.suffix == TABLE:
        table = store.read_training(path)
        return weighted(rows_of(table, store.referred(table)), table), hashes(path)
    rows, found = rows_at(path, model, "--training")
    return whole(rows), found


def expect_page(page: Path | None, against: Path | None) -> None:
    """Raise BadParameter where rows are given to compare with, and no page that would say how they compare."""
    if against is not None and page is None:
        raise typer.BadParameter(f"found {against}, and no --page that would tell of it", param_hint="--against")


def eyes_for(steps: Sequence[Asked], said: Sequence[str]) -> list[str]:
    """The extractors as they are said, and those beside them that adapters look through and that need no weights."""
    known = pairs(list(said), "--extractor")
    through = dict.fromkeys(name for one in steps for name in looked_through(one.entry, one.options))
    return [*said, *(name for name in through if name not in known and FEATURES[name].needs.through == "nothing")]


class Shown(NamedTuple):
    """What a page shows of a model: samples by the same random numbers before and after, and how they are measured.

    rows: of the page's sheets. measured: label -> before and after, as Estimates or words.
    """

    before: SampleSet
    after: SampleSet
    measured: Mapping[str, tuple[Any, Any]]


def compared(model: Any, changed: Any, seed: int, count: int, real: SampleSet | None, train: TrainingSet) -> Shown:
    """A model and what became of it, sampled with the same random numbers. real: rows to compare with, if any."""
    ask = Ask(count, seed_of(seed, None, None, "page"))
    before, after = model.sample(ask), changed.sample(ask)
    if real is None:
        return Shown(before, after, {})
    kind = before.kind
    looks = {name: outside.Look(None, {}, FEATURES[name].facts) for name in MEASURED_IN[kind]}
    looks |= {COPIES: outside.Look(None, {}, FEATURES[COPIES].facts)} if kind == "images" else {}
    wanted = {name: METRICS[name].options for name, _ in usable(METRICS) if not outside.lacks(name, looks, kind, True)}
    seen = pools.Pool(train.data, {}, Path("--training"))
    place = place_of(len(before) * before.data[0].size)
    sides = []
    for samples in (before, after):
        roles = (pools.Pool(samples.data, {}), pools.Pool(real.data, {}, Path("--against")), seen)
        record, _ = outside.measured(*roles, looks, wanted, place)
        sides.append({_called(one): one for one in record["values"] if one["set"] == "sampled" and _is_told(one)})
    return Shown(before, after, {name: (one, sides[1].get(name)) for name, one in sides[0].items()})


def _called(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["metric"], entry["extractor"]


def _is_told(entry: Mapping[str, Any]) -> bool:
    """Whether a number stands on the page: through pixels only what is about copies."""
    return entry["extractor"] != COPIES or COPIES in METRICS[entry["metric"].partition(".")[0]].extractors


def write_page(page: Path, file: Path, out: Path, model: Any, rows: Rows, count: int, seed: int) -> None:
    """Write the page of before and after of a model in a file, which has become that in ``out``."""
    from ..report.before_after import before_after

    changed, metadata = model_in(out)
    with clock.compute():
        shown = compared(model, changed, seed, count, rows.against, rows.training)
    training, against = rows.said
    about = {"model": str(file), "written to": str(out), "family": metadata["family"]}
    about |= {"trained on": f"{training} ({len(rows.training)} rows)", "samples shown": f"{count}, of seed {seed}"}
    if rows.against:
        chosen_by = rows.validation is not None and np.array_equal(rows.validation.data, rows.against.data)
        warned = ", the very rows that were chosen by: what is measured is too good" if chosen_by else ""
        about |= {"compared with": f"{against} ({len(rows.against)} rows{warned})"}
    content = before_after(file.name, steps_of(metadata["lineage"]), shown, about)
    store.write_atomically(page, lambda path: path.write_text(content, encoding="utf-8"))
    print(f"{page}: before and after")
