"""The snakemake that runs a study: its command line, and what is said when it has ended."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ..core.shipped import shipped
from . import drivers
from .study import Study

PROFILE = "--workflow-profile"
NO_JOBS = drivers.LOOKS | {
    "--unlock",
    "--cleanup-metadata",
    "--cleanup-shadow",
    "--touch",
    "-t",
    "--delete-all-output",
    "--help",
}
"""Options with which snakemake runs no job."""


def command(study: str, arguments: Sequence[str], channel: int = 0) -> list[str]:
    """The words that run a study. study: its name or file. arguments: whatever else snakemake takes.

    In a clone its own workflow and profiles are used, elsewhere those that come with the package; a profile that is
    said and lies nowhere here is one of these. channel: where snakemake tells how far it is.
    """
    # A list of words, as --config has, goes on until the next option.
    how = ["--config", f"study={study}", "--logger", "collapselab", "--logger-collapselab-channel", str(channel)]
    words = [sys.executable, "-m", *drivers.snakemake(*how)]
    if "--snakefile" in words and not said(arguments, PROFILE):
        words += [PROFILE, str(shipped("profiles") / "default")]
    return [*words, *_with_shipped_profile(arguments)]


def said(arguments: Sequence[str], option: str) -> bool:
    """Whether an option is among the words of a command line, by itself or as ``option=value``."""
    return any(word == option or word.startswith(f"{option}=") for word in arguments)


def runs_jobs(arguments: Sequence[str]) -> bool:
    """Whether snakemake runs jobs with these words, and does not only look."""
    return not NO_JOBS.intersection(arguments)


def _with_shipped_profile(arguments: Sequence[str]) -> list[str]:
    """The words, where ``profiles/slurm`` that does not lie here is the one that comes with the package."""
    words = []
    for word in arguments:
        before, name = (words[-1] if words else ""), word.removeprefix(f"{PROFILE}=")
        own = shipped("profiles") / Path(name).name
        is_profile = before == PROFILE or word != name
        found = is_profile and not Path(name).exists() and Path(name).parent == Path("profiles") and own.is_dir()
        words.append(word.removesuffix(name) + str(own) if found else word)
    return words


def last_line(study: Study, code: int, before: float | None, interrupted: bool = False) -> str:
    """The report's path, or why there is none. code: snakemake's exit code. before: the date of the report before."""
    report = Path(study.report_file("report.html"))
    now = date_of(study)
    if now is not None and (code == 0 or now != before):
        return f"The report: {report.absolute()}"
    there = "none yet" if now is None else f"{report.absolute()} is of an earlier run"
    if code == 0:
        return f"The report: {there}; this run was not asked for it"
    how = "was interrupted" if interrupted else f"ended with exit code {code}"
    cures = f"the same command goes on from here, and collapselab report {study.name} --so-far draws what is there"
    return f"The report: {there}, since this run {how}; {cures}"


def first_line(name: str) -> str:
    """What a study that has no report yet can be asked meanwhile, by the name that it was called by."""
    name = shlex.quote(name)
    curves = f"collapselab report {name} --so-far draws the curves so far"
    return f"Meanwhile, in another terminal: collapselab status {name} says how far it is, {curves}"


def date_of(study: Study) -> float | None:
    """The date of a study's report; None where there is none."""
    report = Path(study.report_file("report.html"))
    return report.stat().st_mtime if report.exists() else None
