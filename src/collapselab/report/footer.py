"""The end of the page: what cites a study and runs it again, from the page alone."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .. import __version__
from ..verdicts import StudyFacts
from .exports import LATEX
from .made import Made
from .references import NAMED, address, bibtex, listed

NO_COMMIT = "not recorded: no training has told one"
NO_DATE = "not recorded"
CHANGED = ", with changes that are not committed"
TABLES = {
    "metrics.csv": "every value of every cell",
    "curves.csv": "means by generation",
    "primary.csv": "the primary endpoint",
    "summary.csv": "the last generation",
    "summary.json": "the same as JSON",
    "verdicts.json": "every verdict with its numbers",
}


class Footer(NamedTuple):
    """facts: name -> words. text: the study's file, folded. bibtex: of the study, the program and the papers.
    papers: their words and addresses. tables, figures: what lies beside the page, and what it holds.
    """

    facts: Mapping[str, str]
    run: str
    draw: str
    file: str
    text: str
    bibtex: str
    papers: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, str]]
    figures: Sequence[str]


def footer(facts: StudyFacts, made: Made, costs: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> Footer:
    """It of a study. costs: of all jobs, which say when they ran. figures: beside the page, by name."""
    begun, ended = period(costs)
    date = NO_DATE if not ended else f"{begun} to {ended} UTC" if begun != ended else f"{ended} UTC"
    trained_at = commits(costs)
    commit = trained_at[-1][0] if trained_at else ""
    software = ", ".join(f"{name} {number}" for name, number in made.software.items() if name != "collapselab")
    told = {
        "Computed": date,
        "Drawn by": f"collapselab {__version__}",
        "Commit": "; ".join(f"{one}{CHANGED * changed}" for one, changed in trained_at) or NO_COMMIT,
        "Seeds": f"{facts.seeds}" + ("" if made.seed is None else f", all drawn from the study's seed {made.seed}"),
    }
    if made.environment:
        told["Drawn in"] = f"Python {made.python}, {software}; {made.packages} packages, SHA-256 {made.environment}"
    return Footer(
        told,
        f"collapselab run {facts.name}",
        f"collapselab report {facts.name}",
        made.file or f"config/{facts.name}.yaml",
        made.text,
        f"{_of_study(facts, commit, ended[:4])}\n{_of_program(made)}\n{bibtex(made.papers)}".rstrip() + "\n",
        listed(made.papers),
        list(TABLES.items()),
        figures,
    )


def period(costs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """When the first job of a study began and the last one ended, to the minute in UTC; empty where no cost tells.

    From the jobs and not from the clock: a report that is drawn again says the same.
    """
    begun = min((cost["began_at"] for cost in costs if cost.get("began_at")), default=None)
    ended = max((cost["ended_at"] for cost in costs if cost.get("ended_at")), default=None)
    return _minute(begun), _minute(ended)


def commits(costs: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """The commits at which models were trained, in their order in time, and whether anything was not committed then.

    From the jobs and not from the folder, in which results may have been committed since.
    """
    told = sorted((cost for cost in costs if cost.get("commit")), key=lambda cost: cost["ended_at"])
    return list(dict.fromkeys((cost["commit"], bool(cost.get("uncommitted"))) for cost in told))


def cited(text: str) -> list[tuple[str, str]]:
    """A text in parts: (words, the address that they stand for, or nothing)."""
    parts, at = [], 0
    for found in NAMED.finditer(text):
        number, doi = found.groups()
        parts += [(text[at : found.start()], ""), (found[0], address(number or doi))]
        at = found.end()
    return [part for part in [*parts, (text[at:], "")] if part[0]]


def _minute(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _of_study(facts: StudyFacts, commit: str, year: str) -> str:
    key = re.sub(r"[^a-z0-9]", "", facts.name.lower()) + (year or "")
    by = f"collapselab {__version__}" + (f", commit {commit[:12]}" if commit else "")
    fields = {
        "author": "{{the authors of the study}}",  # whom no file names: whoever cites it puts them in
        "title": f"{{{_latex(facts.name)}{': ' if facts.question else ''}{_latex(facts.question)}}}",
        "year": f"{{{year}}}" if year else "",
        "howpublished": f"{{Study computed with {_latex(by)}}}",
    }
    return _entry("misc", key or "study", fields)


def _of_program(made: Made) -> str:
    fields = {
        "author": "{{The collapselab developers}}",
        "title": "{collapselab: reproducible studies of generative models that are trained on their own output}",
        "howpublished": f"{{Software, version {__version__}}}",
    }
    return _entry("misc", "collapselab", fields)


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    return f"@{kind}{{{key},\n" + "".join(f"  {name} = {value},\n" for name, value in fields.items() if value) + "}\n"


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
