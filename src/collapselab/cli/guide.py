"""The search for a guide, and for how strong it is to be."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..compose.regimes import at
from ..core import spreadsheet
from ..data.provenance import Origin
from ..search import trials
from ..search.objectives import DEFAULT, front
from ..search.trials import Trial
from ..search.tried import Bench
from ..study.faults import flow
from ..study.sampled import said_of
from ..verbs.sample import sample_seed
from . import searching
from .options import json_of, pairs
from .run import clock
from .searching import Plan, Wanted
from .study import StudyName, study_of
from .work import get_ready, told

SHEET = 10  # samples of each point that a sheet shows

app = typer.Typer(rich_markup_mode=None)


@app.command()
def guide(
    name: StudyName,
    budget: Annotated[int, typer.Option(min=1, help="trials; those of an earlier call count, and are not made again")],
    arm: Annotated[str | None, typer.Option(help="whose model; the first arm whose model can be guided")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of which replicate")] = 0,
    generation: Annotated[int | None, typer.Option(min=0, help="of which generation; the last one")] = None,
    guides: Annotated[
        str, typer.Option("--guide", help="guides with commas between them; all that suit and need no other model")
    ] = "",
    objective: Annotated[
        str,
        typer.Option(
            help="metrics with commas between them; METRIC~NUMBER comes near to a number, METRIC~real to real rows'"
        ),
    ] = ",".join(DEFAULT),
    extractor: Annotated[
        str | None, typer.Option(help="through which samples are seen; the primary endpoint's")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="samples of each trial; as many as validation rows")
    ] = None,
    search_seed: Annotated[int, typer.Option(min=0, help="of what is tried, and of the noise that is sampled")] = 0,
    options: Annotated[str, typer.Option(help='options that stay as they are: {"GUIDE": {"OPTION": VALUE}}')] = "{}",
    ranges: Annotated[
        str, typer.Option("--range", help='other ranges: {"GUIDE": {"OPTION": [LOW, HIGH]}}, of factors above 0')
    ] = "{}",
    auxiliary: Annotated[list[str] | None, typer.Option(help="ROLE=FILE of a further model")] = None,
    train: Annotated[
        bool, typer.Option(help="train the further models that guides steer by and that are not there")
    ] = False,
) -> None:
    """Search for the guides and strengths of a finished model that no other beats, on rows that no report sees.

    It writes a table of all trials, the front as JSON and PDF, and for images a sheet, and prints each point of the
    front as an arm says it. (collapselab pretrained guide is another verb: it steers a text-to-image pipeline once.)
    """
    trials.expect_optuna()
    further = pairs(auxiliary or [], "--auxiliary", files=True)
    names = [one.strip() for one in guides.split(",") if one.strip()]
    said = (json_of(options, "--options", dict), json_of(ranges, "--range", dict))
    wanted = Wanted(
        arm, seed, generation, names, objective, extractor, samples, search_seed, *said, further=further, train=train
    )
    study = study_of(name)
    plan = searching.planned(study, wanted)
    for left, why in plan.left_out.items():
        print(f"left out: {left}: {why}")
    _searched(study, plan, wanted, budget)


def _searched(study: Any, plan: Plan, wanted: Wanted, budget: int) -> None:
    """Train what is missing, try what has not been tried, and write and tell what was found."""
    beside, plan = _trained(study, plan)
    get_ready(True)
    bench = searching.bench(study, plan, wanted)
    about = searching.fingerprint(study, plan, wanted, bench.count)
    where = f"{plan.cell.arm}-seed{plan.cell.seed}-gen{plan.cell.generation}-{searching.digest(about)}"
    plan = plan._replace(objectives=tuple(bench.objectives))
    folder = Path(study.report_file("guides")) / where
    journal = folder / "trials.journal"
    with store.held(journal), clock.compute(), told(f"guide {study.name}", budget, unit="trials") as tell:
        found = trials.search(
            journal,
            wanted.search_seed,
            plan.guides,
            plan.objectives,
            budget,
            bench.values,
            lambda done: tell(done, None),
        )
        best = _front(plan, found)
        _write(study, plan, bench, folder, found, best, about | {"images_seen_beside": beside})
    _tell(plan, found, best, folder, beside)


def _front(plan: Plan, found: Sequence[Trial]) -> list[int]:
    aims = plan.objectives
    values = [
        None if one.values is None else [aim.of(value) for aim, value in zip(aims, one.values, strict=True)]
        for one in found
    ]
    return front(values, aims)


def _trained(study: Any, plan: Plan) -> tuple[int, Plan]:
    """Train the further models that are asked for; how many images they see, and the plan with their files."""
    from .adapt import auxiliary as train

    cell, files, seen = plan.cell, dict(plan.further), 0
    budget = study.images_seen(cell.arm, cell.generation) or 0
    for role, guide in plan.trained.items():
        options = guide.options(guide.drawn(lambda _, what: what.high if hasattr(what, "high") else what.values[0]))
        one = guide.entry.auxiliary(options, budget)[role]
        asked = json.dumps(one._asdict(), default=dict)
        own = one.on == "own"
        by = said_of(study, cell.arm, cell.generation) if own else {}
        bias = at(study.lineages[cell.arm].sampling_bias, cell.generation) if own else 1.0
        words = [role, asked, by, store.recorded_hash(cell.file), *([bias] if bias != 1 else [])]
        out = Path(study.report_file("guides")) / "auxiliary" / f"{role}-{searching.digest({'of': words})}.safetensors"
        training = Path(study.cell(cell.arm, cell.seed, cell.generation, "training.parquet"))
        if not store.hash_path(out).exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            seeds = (study.file.seed, cell.seed, cell.generation)
            train(cell.file, training, asked, role, *seeds, out, json.dumps(by), bias)
        files[role], seen = str(out), seen + one.images_seen
    return seen, plan._replace(further=files)


# -- what is written ---------------------------------------------------------------------------------------------------


def _said(one: Trial) -> str:
    """A trial as an arm says it; empty for the model as it is."""
    if one.guide is None:
        return ""
    return f"guide: {flow({one.guide: dict(one.options)})}"


def _write(
    study: Any, plan: Plan, bench: Bench, folder: Path, found: Sequence[Trial], best: list[int], about: dict[str, Any]
) -> None:
    from ..report.charts import front_chart, pdf
    from ..report.engine import require_room

    names = [one.name for one in plan.objectives]
    metrics = [one.metric for one in plan.objectives]
    rows = [
        [number, one.guide or "none", _said(one), *(one.values or [None] * len(names)), number in best, one.reason]
        for number, one in enumerate(found)
    ]
    columns = ["trial", "guide", "arm", *metrics, "front", "undetermined"]
    table = spreadsheet.csv_text(columns, rows)
    points = [{"trial": number, "arm": _said(found[number]), **found[number]._asdict()} for number in best]
    targets = {one.name: one.target for one in plan.objectives if one.target is not None}
    cell = {**plan.cell._asdict(), "file": str(plan.cell.file)}
    content = {
        "study": study.name,
        **cell,
        "trials": len(found) - 1,
        "searched": json.loads(json.dumps(about, default=str)),
    }
    store.write_json(
        folder / "front.json",
        content | {"objectives": names, "targets": targets, "left_out": plan.left_out, "points": points},
    )
    require_room()
    drawn = [
        {"trial": number, "guide": one.guide or "none", "arm": _said(one), "front": number in best}
        | dict(zip(metrics, one.values, strict=True))
        for number, one in enumerate(found)
        if one.values is not None
    ]
    files = {"trials.csv": table.encode(), "front.pdf": pdf(front_chart(drawn, metrics))}
    if study.kind == "images":
        files["front.png"] = _sheet(study, plan, bench, found, best)
    for file, data in files.items():
        store.write_hashed(folder / file, lambda temporary, data=data: temporary.write_bytes(data))


def _sheet(study: Any, plan: Plan, bench: Bench, found: Sequence[Trial], best: list[int]) -> bytes:
    """A row of samples for the model as it is, and one for each point of the front, with its name.

    A column begins at the same noise, that of the report's pictures.
    """
    import numpy as np

    from ..report import grid_png

    by_name = {one.name: one for one in plan.guides}
    stream = study.lineages[plan.cell.arm].stream
    seed = sample_seed(study.file.seed, plan.cell.seed, plan.cell.generation, "grid", stream)
    shown = [Trial(None, {}, None), *(found[number] for number in best if found[number].guide is not None)]
    labels = ["no guide", *(_label(number, found[number]) for number in best if found[number].guide is not None)]
    rows = [bench.samples(by_name.get(one.guide), one.options, SHEET, seed).data for one in shown]
    origin = Origin(study.name, plan.cell.arm, plan.cell.seed, plan.cell.generation)
    return grid_png(np.concatenate(rows), SHEET, origin, labels)


def _label(number: int, one: Trial) -> str:
    """A trial beside its row of a sheet: its number in the table, its guide, and an option a line."""
    said = {name: value for name, value in one.options.items() if isinstance(value, int | float | str)}
    options = [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in said.items()]
    return "\n".join([f"{number}: {one.guide}", *options])


def _tell(plan: Plan, found: Sequence[Trial], best: list[int], folder: Path, beside: int) -> None:
    lost = sum(one.values is None for one in found)
    print(f"{len(found) - 1} trials of {', '.join(one.name for one in plan.guides)}, {len(best)} on the front")
    if lost:
        print(f"{lost} trials have no value, and count: {folder / 'trials.csv'} says why")
    if beside:
        print(f"their further models have seen {beside:,} images, which a fair comparison counts")
    for aim in plan.objectives:
        if aim.name.endswith("~real"):
            print(f"{aim.metric} of the real rows is {aim.target:.4g}")
    for number in best:
        one = found[number]
        values = ", ".join(
            f"{aim.metric} {value:.4g}" for aim, value in zip(plan.objectives, one.values or (), strict=True)
        )
        print(f"{_said(one) or 'no guide'}  # {values}")
    print(folder / "front.json")
