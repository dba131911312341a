"""Where the samples of a study reach nothing of what is real, region by region, and which real rows these are."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import typer

from .. import store
from ..adapt import ADAPTERS
from ..core.ask import Ask
from ..core.seeds import seed_of
from ..data.provenance import Origin
from ..features import FEATURES
from ..study.looking import looks_with
from ..verbs.extract import Look
from ..verbs.select import looked_at
from .extractors import settings_of, weights_of
from .inputs import hashes, model_in
from .run import clock
from .study import StudyName, study_of
from .work import get_ready_for

app = typer.Typer(rich_markup_mode=None)

SHEET = 12  # pictures in a row


class Pair(NamedTuple):
    """A model as it was trained and as it was adapted, and how each is asked for a set of samples."""

    models: tuple[Any, Any]
    ask: Ask


class Region(NamedTuple):
    """A region: how many real rows it has, the estimate of its coverage, and the rows (m,) that no sample reaches."""

    region: int
    rows: int
    coverage: Any
    unreached: np.ndarray


@app.command()
def uncovered(
    name: StudyName,
    arm: Annotated[str | None, typer.Option(help="whose samples; the study's first arm")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of which replicate")] = 0,
    generation: Annotated[int | None, typer.Option(min=0, help="of which generation; the last one")] = None,
    part: Annotated[
        Literal["held_out", "validation", "train"], typer.Option(help="real rows that are to be reached")
    ] = "held_out",
    extractor: Annotated[str | None, typer.Option(help="through which rows are seen; the primary endpoint's")] = None,
    regions: Annotated[int, typer.Option(min=1, help="cells of k-means of the real rows")] = 10,
    k: Annotated[int, typer.Option(min=1, help="a row is reached within the distance of its k-th nearest other")] = 5,
    out: Annotated[Path | None, typer.Option(help="JSON file to write, too")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="PNG: rows that no sample reaches, a line a region, the least covered first")
    ] = None,
    adapted: Annotated[
        int, typer.Option(min=0, help="how an adapter changed it, from so many sets of samples, made before and after")
    ] = 0,
) -> None:
    """Say how much of each region of the real rows a study's samples reach, the least covered region first."""
    study = study_of(name)
    real_file, samples_file, look_name = _checked(study, arm, seed, generation, part, extractor, (out, pictures))
    pair = _pair(study, arm or next(iter(study.file.arms)), seed, generation, adapted) if adapted else None
    if pictures is not None and study.kind != "images":
        raise ValueError(f"--pictures: {study.name} has {study.kind}; allowed are images")
    entry, model = FEATURES[look_name], samples_file.with_name("model.safetensors")
    weights, _ = weights_of(entry, look_name, looks_with(study, look_name, str(model)) or "")
    eye = Look(entry, weights, settings_of(entry, look_name, study.extractor_options(look_name)))
    real, samples = store.read_samples(real_file), store.read_samples(samples_file)
    if not len(samples):
        raise ValueError(f"{samples_file}: holds no samples, of a lineage that diverged; allowed is another generation")
    get_ready_for([eye])
    with clock.compute():
        found = _found(looked_at(eye, real.data), looked_at(eye, samples.data), regions, k)
    _tell(samples_file, found, len(samples), part, look_name)
    about = {"files": hashes(real_file, samples_file), "part": part, "extractor": look_name, "k": k}
    about |= {"regions": [_as_json(one) for one in found]}
    if pair is not None:
        from ..measure.changes import changed

        with clock.compute():
            seen = looked_at(eye, real.data)
            moved = changed(*pair.models, pair.ask, adapted, partial(looked_at, eye), seen, regions, k)
        _tell_changes(moved, adapted, pair.ask.count)
        about |= {"sets": adapted, "changes": [_change_as_json(one) for one in moved]}
    if out is not None:
        store.write_json(out, about)
    if pictures is not None:
        _draw(pictures, real.data, found, Origin(study.name, arm or next(iter(study.file.arms))))


def _checked(
    study: Any,
    arm: str | None,
    seed: int,
    generation: int | None,
    part: str,
    extractor: str | None,
    files: tuple[Path | None, ...],
) -> tuple[Path, Path, str]:
    """The file of the real rows, that of the samples, and the extractor. Raises ValueError that names every fault."""
    faults, arms = [], list(study.file.arms)
    if study.file.together:
        raise ValueError(f"{study.name}: its seeds run together, which leaves no samples; allowed is a study without")
    arm = arm or arms[0]
    if arm not in study.lineages:
        faults.append(f"--arm: found {arm!r}; allowed: {', '.join(study.lineages)}")
        arm = arms[0]
    most = study.lineages[arm].generations
    generation = most if generation is None else generation
    if generation > most or not study.is_own(seed):
        faults.append(
            f"--seed, --generation: found {seed}, {generation}; allowed are up to {study.file.seeds - 1}, and {most}"
        )
    can = [one for one in study.measured_in if FEATURES[one].needs.through in ("nothing", "learnt", "published")]
    can = [one for one in can if not FEATURES[one].statistic]
    primary = study.file.primary.extractor
    look = extractor or (primary if primary in can else next(iter(can), ""))
    if look not in can:
        faults.append(
            f"--extractor: found {look!r}; allowed are those of the study in which distances mean something: "
            f"{', '.join(can) or 'none'}"
        )
    sizes = study.file.data.split.parts() | ({} if study.population_name is None else {"train": 1})
    if not sizes.get(part):
        known = ", ".join(name for name, rows in sorted(sizes.items()) if rows and name != "fresh")
        faults.append(f"--part: {study.name} has no {part} rows; allowed: {known}")
    faults += [f"{path}: its folder is not there" for path in files if path is not None and not path.parent.is_dir()]
    if faults:
        raise ValueError("\n".join(faults))
    real = Path(study.part_file(part))
    samples = Path(study.cell(arm, seed, generation, "samples.safetensors"))
    for path in (real, samples):
        if not path.exists():
            faults.append(f"{path}: is not there, not made yet or thinned; run: collapselab run {study.name}")
    if faults:
        raise ValueError("\n".join(faults))
    return real, samples, look


def _adapted_after(lineage: Any, generation: int) -> bool:
    """Whether there is a model before the adapters of a generation and one after them."""
    adapters = lineage.adapters(generation)
    return bool(adapters) and not any(ADAPTERS[one.name].instead for one in adapters)


def _pair(study: Any, arm: str, seed: int, generation: int | None, sets: int) -> Pair:
    """The models of a generation before and after its adapters. Raises ValueError where there are not two."""
    from ..compose.regimes import at
    from ..study.sampled import said_of
    from .steering import sampling

    own = study.lineages[arm]
    generation = own.generations if generation is None else generation
    faults = [] if sets > 1 else ["--adapted: found 1; allowed are 2 sets or more, by which their chance is known"]
    if not _adapted_after(own, generation):
        found = f"arm {arm!r}, generation {generation}, which nothing adapts after its training"
        can = [one for one, its in study.lineages.items() if _adapted_after(its, generation)]
        faults.append(f"--adapted: found {found}; allowed are arms with such an adapter: {', '.join(can) or 'none'}")
    elif own.guide is not None:
        faults.append(f"--adapted: found arm {arm!r}, whose samples a guide steers; allowed is one without")
    files = [Path(study.model_file(arm, seed, generation, role)) for role in ("trained", "adapted")]
    missing = [one for one in files if not one.exists()] if not faults else []
    faults += [f"{one}: is not there, not made yet or thinned; run: collapselab run {study.name}" for one in missing]
    if faults:
        raise ValueError("\n".join(faults))
    models = [model_in(one)[0] for one in files]
    if None in models:
        raise ValueError(f"{files[models.index(None)]}: holds a model that diverged; allowed is a trained one")
    number = seed_of(study.file.seed, seed, generation, "coverage before and after")
    how = sampling(said_of(study, arm, generation))
    ask = Ask(study.file.samples, number, bias=at(own.sampling_bias, generation), sampler=how)
    return Pair((models[0], models[1]), ask)


def _found(real: Any, fake: Any, count: int, k: int) -> list[Region]:
    """The regions, the least covered first."""
    from ..metrics.estimates import share_of
    from ..metrics.regions import covered, regions_of

    reached, cells = covered(real, fake, k), regions_of(real, count)
    found = []
    for region in range(cells.count):
        rows = np.flatnonzero(cells.of_rows == region)
        found.append(Region(region, len(rows), share_of(reached[rows]), rows[~reached[rows]]))
    return sorted(found, key=lambda one: (float(one.coverage), one.region))


def _tell(samples: Path, found: list[Region], count: int, part: str, extractor: str) -> None:
    from ..measure.compare import aligned

    missing, every = sum(len(one.unreached) for one in found), sum(one.rows for one in found)
    print(f"{samples}: {count} samples reach {every - missing} of {every} {part} rows, seen through {extractor}")
    lines = [("region", "rows", "covered", "95 % interval", "reached by none")]
    for one in found:
        value = one.coverage
        interval = f"{value.low:.3f} to {value.high:.3f}"
        lines.append((str(one.region), str(one.rows), f"{float(value):.3f}", interval, str(len(one.unreached))))
    print("\n".join(f"  {line}" for line in aligned(lines)))


def _tell_changes(found: list[Any], sets: int, count: int) -> None:
    """What of a change is more than chance, region by region; the one that lost most first."""
    from ..measure.changes import least_by_chance
    from ..measure.compare import aligned

    print(f"before and after the adapter, {sets} sets of {count} samples of each, from the same noise:")
    lines = [("region", "rows", "before", "after", "change", "95 % interval of all at once")]
    for one in sorted(found, key=lambda one: float(one.change)):
        change = one.change
        numbers = f"{one.before:.3f}", f"{one.after:.3f}", f"{float(change):+.3f}"
        lines.append((str(one.region), str(one.rows), *numbers, f"{change.low:+.3f} to {change.high:+.3f}"))
    print("\n".join(f"  {line}" for line in aligned(lines)))
    least = min(float(one.change) for one in found)
    chance, once = (least_by_chance([getattr(one, name) for one in found]) for name in ("error", "once"))
    print(
        f"  the lowest of {len(found)} is {least:+.3f}; had nothing changed, chance would make it {chance:+.3f} in the "
        f"mean, and {once:+.3f} with one set of samples of each"
    )


def _change_as_json(one: Any) -> dict[str, Any]:
    ends = {"low": one.change.low, "high": one.change.high}
    return one._asdict() | {"change": float(one.change)} | ends


def _as_json(one: Region) -> dict[str, Any]:
    value = one.coverage
    told = {"region": one.region, "rows": one.rows, "covered": float(value), "low": value.low, "high": value.high}
    return told | {"unreached": one.unreached.tolist()}


def _draw(file: Path, data: np.ndarray, found: list[Region], origin: Origin) -> None:
    """A line of pictures for each region with rows that no sample reaches; what a line has fewer of is white."""
    from ..report import grid_png

    blank = np.full(data.shape[1:], 255, data.dtype)
    lines = []
    for one in found:
        if len(one.unreached):
            rows = list(data[one.unreached[:SHEET]])
            lines += rows + [blank] * (SHEET - len(rows))
    sheet = grid_png(np.stack(lines or [blank]), SHEET, origin)
    store.write_hashed(file, lambda temporary: temporary.write_bytes(sheet))
