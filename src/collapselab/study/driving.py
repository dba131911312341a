"""The snakemake that runs a study: its command line, and what is said when it has ended."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ..core.shipped import shipped
from .drivers import LOOKS
from .study import Study

SNAKEFILE = Path("workflow/Snakefile")  # of a clone, beside which its own Snakefile lies
OWN_SNAKEFILE = ("-s", "--snakefile")
PROFILE = "--workflow-profile"
NO_JOBS = LOOKS | {
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
    words = [sys.executable, "-m", "snakemake", "--config", f"study={study}"]  # and an option after it ends its list
    words += ["--logger", "collapselab", "--logger-collapselab-channel", str(channel)]
    if not any(said(arguments, name) for name in OWN_SNAKEFILE):
        words += [] if SNAKEFILE.is_file() else ["--snakefile", str(shipped("workflow") / "Snakefile")]
    if not said(arguments, PROFILE) and not Path("profiles/default").is_dir():
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


def last_line(study: Study, arguments: Sequence[str], code: int, before: float | None) -> str:
    """The report's path, or why there is none. code: snakemake's exit code. before: the date of the report before."""
    report = Path(study.report_file("report.html"))
    if not runs_jobs(arguments):
        return ""
    if code == 0 and report.exists():
        return f"The report: {report.absolute()}"
    again = f"of an earlier run: {report.absolute()}" if before is not None and report.exists() else "none yet"
    if code == 0:
        return f"The report: {again}; this run was not asked for it"
    so_far = f"collapselab report {study.name} --so-far draws what is there"
    how = "was interrupted" if code in (130, 143) else f"ended with exit code {code}"
    return f"The report: {again}, since this run {how}; the same command goes on from here, and {so_far}"


def date_of(study: Study) -> float | None:
    """The date of a study's report, if there is one."""
    report = Path(study.report_file("report.html"))
    return report.stat().st_mtime if report.exists() else None
