"""The gallery's files: the figure and the numbers of each paper that has run, and the pages of all that there are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import store
from ..study import BadStudy, Study, find, papers, results
from . import field

FOUND = {"size", "status", "claims", "fingerprint", "seconds"}  # what a page says of a study that has run


class Written(NamedTuple):
    """Every page of the gallery, by its file, and what is wrong with papers' studies, by their names."""

    pages: Mapping[Path, str]
    faults: Mapping[str, str]


def keep(name: str, study: Study, out: Path) -> str:
    """Write the figure and the numbers of a paper whose small study has run.

    Returns what keeps that from being done, in words; nothing where it is done.
    """
    records, missing = results.records(study)
    if missing:
        return f"{len(missing)} records are missing, such as {missing[0]}"
    facts = results.facts(study)
    seconds = sum(one["process_cpu_seconds"] for one in results.costs(study))
    found = field.found(facts, records, seconds, papers.size(study))
    _put(out / f"{name}.svg", field.figure(facts, records))
    _put(out / f"{name}.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return ""


def is_kept(name: str, out: Path) -> bool:
    """Whether the numbers of a paper lie there, of whatever run."""
    return (out / f"{name}.json").exists()


def written(out: Path) -> Written:
    """Every page of the gallery, from the studies and from what is kept of those that have run.

    A paper whose study has faults has no page, and the index says so.
    """
    entries, faults = {}, {}
    for name in papers.names():
        try:
            study = find(papers.small(name))
        except BadStudy as error:
            faults[name] = str(error)
            continue
        try:
            kept = _read(out / f"{name}.json") if is_kept(name, out) else None
        except ValueError as error:
            faults[name] = str(error)
            continue
        entries[name] = field.Entry(name, study.file.paper, study.file.question, papers.size(study), kept)
    pages = {out / f"{name}.md": field.page(entry) for name, entry in entries.items()}
    index = field.index(entries, field.rows(papers.field(), [*entries, *faults]))
    return Written(pages | {out / "index.md": index}, faults)


def _read(file: Path) -> dict[str, Any]:
    """What was found of a paper. Raises ValueError for what is no such file."""
    cure = "delete it, and run this again for the study"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: cannot be read ({error}); {cure}") from None
    if not isinstance(found, dict) or (missing := FOUND - {*found}):
        said = f"says nothing of {', '.join(sorted(missing))}" if isinstance(found, dict) else "holds no numbers"
        raise ValueError(f"{file}: {said}; {cure}")
    return found


def write_pages(out: Path) -> Mapping[str, str]:
    """Write the page of every paper, and the index of all: those that have not run say so.

    Returns what is wrong with papers' studies, by their names.
    """
    found = written(out)
    for file, text in found.pages.items():
        _put(file, text)
    return found.faults


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    store.write_atomically(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))
