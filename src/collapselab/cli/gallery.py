"""The field, re-run: the small study of each paper, and the pages that say what was found."""

import sys
from pathlib import Path
from typing import Annotated

import typer

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

    What is finished is not run again, and a study that fails, or has faults, stops no other; the exit code is then 1.
    Each paper has its page, its figure and its numbers (NAME.md, NAME.svg, NAME.json), and index.md has all of them.
    """
    from ..report import gallery as pages_of
    from ..study import BadStudy, papers

    wanted, bad, missing = papers.chosen(names or []), [], []
    for number, name in enumerate(wanted, 1):
        if not dry:
            print(f"{number} of {len(wanted)}: {name}", flush=True)
        try:
            small = papers.small(name)
            study = study_of(small)
            if dry:
                print(f"{name}: {papers.why(study, dry_run(small))}", flush=True)
                continue
            if not pages and _interrupted(small, cores):
                print("interrupted; the same command goes on from here", file=sys.stderr)
                raise typer.Exit(130)
            lacking = pages_of.keep(name, study, out)
        except BadStudy as error:  # of one paper, which stops no other
            print(f"{name} is left out: its study cannot run\n{error}", file=sys.stderr, flush=True)
            bad.append(name)
            continue
        if lacking and not (pages and pages_of.is_kept(name, out)):  # what has run elsewhere is kept
            missing.append(name)
        print(f"  {lacking or (out / f'{name}.md')}", flush=True)
    if not dry:
        for name, said in pages_of.write_pages(out).items():
            if name not in bad:
                print(f"{name} has no page:\n{said}", file=sys.stderr)
                bad.append(name)
        done = len([name for name in wanted if name not in (*bad, *missing)])
        print(f"{out / 'index.md'}: {done} of {len(wanted)} papers")
    if missing and not pages:
        print(f"not finished: {', '.join(missing)}; the same command goes on with them", file=sys.stderr)
    if bad:
        print(f"papers with faults: {', '.join(bad)}; correct them, and the same command goes on", file=sys.stderr)
    if bad or (missing and not pages):
        raise typer.Exit(1)


def _interrupted(small: str, cores: int) -> bool:
    """Run a study up to its records, as far as it comes; whether somebody has interrupted that."""
    from ..study import driving

    return with_signals(driving.command(small, [TARGET, "--cores", str(cores)]))[1]
