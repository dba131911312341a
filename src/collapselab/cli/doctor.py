"""This machine, the model families, and what failed jobs said."""

import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from ..core.shipped import shipped
from .run import EXIT_RESOURCES

app = typer.Typer(rich_markup_mode=None)


@app.command()
def families() -> None:
    """List the model families: what is known of their density, and what each can do."""
    from ..core.registry import usable
    from ..measure.compare import aligned
    from ..models import MODELS
    from ..models.taxonomy import COLUMNS, taxonomy

    rows = taxonomy(dict(usable(MODELS, tell=lambda fault: print(fault, file=sys.stderr))))
    header, *lines = aligned([COLUMNS, *(tuple(row.values()) for row in rows)])
    groups = groupby(zip(rows, lines, strict=True), key=lambda pair: pair[0]["density"])
    print(header, "\n\n".join("\n".join(line for _, line in group) for _, group in groups), sep="\n")


@app.command()
def doctor(
    profile: Annotated[
        str, typer.Option(help="slurm, or a folder or file of a profile for it: test this cluster, by a small job, too")
    ] = "",
) -> None:
    """Look at this machine: versions against the pins, device, disk, and what the workflow needs."""
    from ..machine.doctor import examine

    path = _profile(profile) if profile else None
    faults = 0
    for what, found, fault in examine():
        faults += bool(fault)
        print(f"{'FAULT' if fault else 'ok':6} {what:28} {found}{f': {fault}' if fault else ''}")
    if path:
        faults += _doctor_of_cluster(path)
    if faults:
        raise typer.Exit(EXIT_RESOURCES)


def _profile(said: str) -> Path:
    """The file of a profile, by its name, its folder or itself."""
    tried = [Path(said), Path(said, "profile.yaml"), Path("profiles", said, "profile.yaml")]
    tried.append(shipped("profiles") / said / "profile.yaml")
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise typer.BadParameter(f"found {said!r}; tried {', '.join(map(str, tried))}", param_hint="--profile")
    return found


def _doctor_of_cluster(path: Path) -> int:
    """Say what was found of the cluster that a profile is for; how many faults there are."""
    import yaml

    from ..machine import slurm
    from ..study.requests import wanted_gres

    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{path}: {' '.join(str(error).split())}", param_hint="--profile") from None
    if not isinstance(profile, dict) or profile.get("executor") != "slurm":
        raise typer.BadParameter(
            f"{path}: found no executor: slurm in it, which is what is tested", param_hint="--profile"
        )
    faults = 0
    for line in slurm.examine(profile, wanted_gres()):
        faults += bool(line.fault)
        verdict = "FAULT" if line.fault else "advice" if line.advice else "ok"
        more = line.fault or line.advice
        print(f"{verdict:6} {line.what:28} {line.found}{f': {more}' if more else ''}", flush=True)
    return faults


@app.command(hidden=True)
def explain(log: Annotated[Path, typer.Argument(help="a log of snakemake")]) -> None:
    """Say in one place what the failed jobs of a run said: who is waited for, what is damaged, what diverged."""
    said = {said: job for job, said in _of_slurm(_text(log)).items()}
    for path in dict.fromkeys(re.findall(r"^ *log: ([^\s,]+)", _text(log), re.MULTILINE)):
        lines = _text(Path(path)).splitlines() if Path(path).exists() else []
        begin = next((at for at, line in enumerate(lines) if line.startswith("collapselab: ")), None)
        if begin is not None:
            said["\n".join(lines[begin:]).removeprefix("collapselab: ")] = path
    for message, path in said.items():
        print(f"{message} ({path})", file=sys.stderr)


SLURM_LOG = re.compile(r"[^\s,()]*slurm_logs/[^\s,()]*/(\d+)\.log")
TOLD = re.compile(r"^(?:srun|slurmstepd[^:]*|slurmd[^:]*): (?:error: )?(.*)$", re.MULTILINE)
REASONS = {  # in what Slurm says of a job -> in words; the first that fits
    r"DUE TO TIME LIMIT": "met its time limit; a training goes on from its last state, with more time",
    r"oom[_-]kill|Out Of Memory": "took more memory than it had asked for; the next attempt asks for more",
    r"DUE TO NODE FAILURE": "lost its node",
    r"DUE TO PREEMPTION": "had to make room for another",
    r"\*\*\* JOB \d+ .*CANCELLED": "was cancelled",
    r"(?i)invalid|unable|denied|more processors|requested": "was refused what it asked for",
}


def _of_slurm(text: str) -> dict[str, str]:
    """Slurm's job -> why it ended, of the jobs that failed by Slurm's own account, and not by their own.

    Of jobs with several rules snakemake hands on no state, so that it is told by what Slurm wrote into their logs.
    """
    found = {}
    for path, number in {one[0]: one[1] for one in SLURM_LOG.finditer(text)}.items():
        lines = TOLD.findall(_text(Path(path))) if Path(path).exists() else []
        for sign, reason in REASONS.items():
            if line := next((line for line in lines if re.search(sign, line)), None):
                found[f"Slurm's job {number}"] = f"{Path(path).parent.name} {reason}: {line}"
                break
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
