"""The tables of a study for a paper."""

from typing import Annotated, Literal

import typer

from ..study import results
from .study import StudyName, expect_measured, study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def table(
    name: StudyName,
    which: Annotated[str, typer.Argument(help="the table; left out, all are listed")] = "",
    form: Annotated[
        Literal["markdown", "csv", "latex", "bibtex"],
        typer.Option("--format", help="latex uses booktabs; bibtex is of the papers that the study rests on"),
    ] = "markdown",
) -> None:
    """Print a table of a study: as Markdown, CSV or LaTeX, or its references as BibTeX."""
    from ..report import exports, references

    study = study_of(name)
    if form == "bibtex":
        print(references.bibtex(references.named(results.sources(study))), end="")
        return
    records, missing = results.records(study)
    expect_measured(name, records, missing)
    sheets = exports.of_study(results.facts(study), records)
    if not which:
        width = max(map(len, sheets))
        print("\n".join(f"{each:{width}}  {sheet.caption}" for each, sheet in sheets.items()))
        return
    if which not in sheets:
        raise typer.BadParameter(f"table: found {which!r}, allowed are {', '.join(sheets)}")
    print(exports.FORMS[form](sheets[which]), end="")
