"""What a study comes to, what it costs, and what of it would run now."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ..machine.programs import search_path
from ..study import budget, clearing, drivers, guided, words
from ..study import throughput as speeds
from ..study.drawn import shape_of
from .run import EXIT_BAD_INPUT
from .study import StudyName, study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def plan(
    name: StudyName,
    throughput: Annotated[
        Path | None, typer.Option(help="how fast another machine is, as the throughput verb wrote it there")
    ] = None,
    cost: Annotated[bool, typer.Option(help="say hours and energy, after timing models that are not known yet")] = True,
) -> None:
    """Say what a study comes to, what it costs on this device, and what of it would run now."""
    from ..study import reasons

    study = study_of(name)
    told = {**words.totals(study), "real data": study.real_file("")}
    told |= {f"  {arm}": said for arm, said in words.used(study).items()}
    told |= {f"  {arm}, guided": said for arm, said in guided.evaluations(study).items()}
    told |= {"intervals will be given": ", ".join(given)} if (given := words.shared_by_seeds(study)) else {}
    told |= _told_cost(study, throughput) if cost else {}
    for what, said in told.items():
        print(f"{what:32} {said}")
    print(f"\n{' '.join(dry_run_of(name))}", flush=True)
    planned = dry_run(name)
    why = reasons.causes(planned, reasons.remembered(), reasons.sources(study))
    for rule, counted in why.items():
        for cause, count in counted.most_common():
            print(f"{rule:14} {count:6}  {cause}")
    print(f"{'total':14} {sum(map(Counter.total, why.values())):6}" if why else "nothing to be done")
    if gone := Counter(map(clearing.kind_if_cell, clearing.thinned_away(study, planned))):
        listed = ", ".join(f"{count} {kind}" for kind, count in gone.items())
        print(f"these read what gc has thinned: {listed}; it is made again, and all that hangs from it")


def dry_run_of(name: str) -> list[str]:
    """The command by which Snakemake says what of a study would run now."""
    return drivers.snakemake("--dry-run", "--config", f"study={name}")


def dry_run(name: str) -> str:
    """What Snakemake says of what would run now. Ends with what it says where it refuses the study."""
    # Its files and words are in UTF-8, whatever the locale says.
    environment = os.environ | {"PATH": search_path(), "PYTHONUTF8": "1"}
    whole = ["--logger-collapselab-show", "all"]  # which is read here
    how = {"capture_output": True, "text": True, "encoding": "utf-8", "errors": "replace", "env": environment}
    try:
        planned = subprocess.run([*dry_run_of(name), *whole], check=False, **how)
    except FileNotFoundError:
        cure = "activate the environment, or run: pip install collapselab"
        raise typer.BadParameter(f"snakemake is not on the PATH; {cure}") from None
    if planned.returncode:
        print(planned.stdout, planned.stderr, sep="\n", file=sys.stderr)  # a dry run tells faults on either
        raise typer.Exit(EXIT_BAD_INPUT)
    return planned.stdout


def _told_cost(study: Any, file: Path | None) -> dict[str, str]:
    """What all trainings and samples of a study cost, in words."""
    measured = _throughputs(study, file)
    cost = speeds.cost(budget.work(study), measured)
    told = {}
    for what, (low, expected, high) in (("hours of one device", cost.hours), ("kWh", cost.kilowatt_hours)):
        said = f"{expected:,.3g} ({low:,.3g} to {high:,.3g})" if high >= 0.001 else "less than 0.001"
        told[what] = said
    longest = budget.longest(study)
    for model, one in measured.items():
        told[f"  {model}"] = _rates(one)
        train, sample = (speeds.cost({model: todo}, measured).hours[1] for todo in longest[model])
        told[f"  {model}, hours of a job"] = f"{train:,.2g} to train at most, {sample:,.2g} to sample"
    return told


@app.command()
def throughput(
    name: StudyName,
    out: Annotated[Path | None, typer.Option(help="file to write, for plan --throughput elsewhere")] = None,
) -> None:
    """Time the training and the sampling of a study's models on this device, and remember it for plan."""
    study = study_of(name)
    measured = _throughputs(study, None, again=True)
    for model, one in measured.items():
        print(f"{model}: {_rates(one)}")
    if out is not None:
        speeds.write(out, list(measured.values()))


def _throughputs(study: Any, file: Path | None, again: bool = False) -> dict[str, speeds.Throughput]:
    """How fast each model of the study is: as a file has it, as is known, or measured now."""
    read = speeds.read(file) if file else []
    found = {}
    for model in study.file.models:
        what = study.family(model), study.parsed_options(model), shape_of(study, model)
        one = speeds.find(read, *what) if file else None if again else speeds.known(*what)
        if one is None:
            if file:
                raise typer.BadParameter(f"{file} has no {model!r} of this study", param_hint="--throughput")
            print(f"timing {model} on this device, once", file=sys.stderr)
            one = speeds.measure(*what)
            speeds.keep(one)
        found[model] = one
    return found


def _rates(one: speeds.Throughput) -> str:
    rates = f"{one.training_images_per_second:,.4g} images/s trained, {one.sampling_images_per_second:,.4g} made"
    more = f", {one.watts:,.0f} W ({one.energy_source})" if one.watts else ""
    return f"{rates}{more} on {one.device}" + (f" (extrapolated: {one.extrapolated})" if one.extrapolated else "")
