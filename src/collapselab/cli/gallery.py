"""The field, re-run: the small study of each paper, and the pages that say what was found."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from .plan import dry_run
from .running import with_signals
from .study import study_of

app = typer.Typer(rich_markup_mode=None)

TARGET = "measured"  # the rule of the workflow that wants the records, and no report


def _completed(incomplete: str) -> list[str]:
    from ..study import papers

    return [name for name in papers.names() if name.startswith(incomplete)]


@app.command()
def gallery(
    names: Annotated[
        list[str] | None, typer.Argument(help="papers, as in config/papers; all if left out", autocompletion=_completed)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of the pages")] = Path("docs/gallery"),
    cores: Annotated[int, typer.Option(min=1, help="processors that jobs take together")] = 2,
    dry: Annotated[bool, typer.Option("--dry-run", "-n", help="run nothing, and say what would run and why")] = False,
    pages: Annotated[bool, typer.Option("--pages", help="run nothing, and write the pages of what has run")] = False,
) -> None:
    """Run the small study of each paper of the field, and write what was found of its claim.

    What is finished is not run again, and a study that fails does not stop the others; the exit code is then 1. Each
    paper has its page, its figure and its numbers (NAME.md, NAME.svg, NAME.json), and index.md has all of them.
    """
    from ..study import papers

    wanted = papers.chosen(names or [])
    if dry:
        for name in wanted:
            print(f"{name}: {_why(papers.small(name))}", flush=True)
        return
    failed = []
    for number, name in enumerate(wanted, 1):
        small = papers.small(name)
        print(f"{number} of {len(wanted)}: {name}", flush=True)
        if not pages and _interrupted(small, cores):
            print("interrupted; the same command goes on from here", file=sys.stderr)
            raise typer.Exit(130)
        missing = _write(name, small, out)
        if missing and not (pages and (out / f"{name}.json").exists()):  # what has run elsewhere is kept
            failed.append(name)
        print(f"  {missing or (out / f'{name}.md')}", flush=True)
    _write_pages(out)
    print(f"{out / 'index.md'}: {len(wanted) - len(failed)} of {len(wanted)} papers")
    if failed and not pages:
        print(f"not finished: {', '.join(failed)}; the same command goes on with them", file=sys.stderr)
        raise typer.Exit(1)


def _why(small: str) -> str:
    """What of a study would run, and why."""
    from ..study import reasons

    why = reasons.causes(dry_run(small), reasons.remembered(), reasons.sources(study_of(small)))
    counted: Counter[str] = Counter()
    for rule, causes in why.items():
        if rule not in ("all", "report", "track"):  # of which the gallery needs none
            counted += causes
    return "; ".join(f"{count} jobs: {cause}" for cause, count in counted.most_common()) or "nothing to be done"


def _interrupted(small: str, cores: int) -> bool:
    """Run a study up to its records, as far as it comes; whether somebody has interrupted that."""
    from ..study import driving

    return with_signals(driving.command(small, [TARGET, "--cores", str(cores)]))[1]


def _write(name: str, small: str, out: Path) -> str:
    """Write the figure and the numbers of a paper; what keeps that from being done, in words."""
    from ..report import field
    from ..study import papers, results

    study = study_of(small)
    records, missing = results.records(study)
    if missing:
        return f"{len(missing)} records are missing, such as {missing[0]}"
    facts = results.facts(study)
    seconds = sum(one["process_cpu_seconds"] for one in results.costs(study))
    found = field.found(facts, records, seconds, papers.size(study))
    out.mkdir(parents=True, exist_ok=True)
    _put(out / f"{name}.svg", field.figure(facts, records))
    _put(out / f"{name}.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return ""


def _write_pages(out: Path) -> None:
    """Write the page of every paper, and the index of all: those that have not run say so."""
    for file, text in written(out).items():
        _put(file, text)


def written(out: Path) -> dict[Path, str]:
    """Every page of the gallery, from the studies and from what is kept of those that have run."""
    from ..report import field
    from ..study import papers

    entries = {}
    for name in papers.names():
        study, kept = study_of(papers.small(name)), out / f"{name}.json"
        found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None
        entries[name] = field.Entry(name, study.file.paper, study.file.question, papers.size(study), found)
    pages = {out / f"{name}.md": field.page(entry) for name, entry in entries.items()}
    return pages | {out / "index.md": field.index(entries, field.rows(papers.field(), entries))}


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    store.write_atomically(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))
