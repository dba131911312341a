"""The data-lineage dossier of a study, for whoever publishes what it made."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from .study import StudyName, study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def dossier(
    name: StudyName,
    out: Annotated[Path | None, typer.Option(help="a new folder for dossier.md and dossier.html")] = None,
    answers: Annotated[Path | None, typer.Option(help="YAML file of what no record can say")] = None,
    questions: Annotated[
        Path | None, typer.Option(help="write a file of all questions to answer, and no dossier")
    ] = None,
) -> None:
    """Write where a study's data come from, field by field as laws ask it."""
    from ..publish import answers as answering

    study = study_of(name)
    if (out is None) == (questions is None):
        found = "both" if out else "neither"
        raise typer.BadParameter(f"found {found}; allowed is one of them", param_hint="--out, --questions")
    if (taken := questions or out).exists():
        raise typer.BadParameter(f"{taken} is there already; nothing is written over", param_hint="--out, --questions")
    if questions is not None:
        text = answering.template()
        store.write_atomically(questions, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        print(
            f"{questions}\nnext: answer what you can, and collapselab dossier {name} --answers {questions} --out FOLDER"
        )
        return
    from ..publish.document import markdown, page
    from ..publish.dossier import dossier as composed
    from ..publish.known import Known

    document = composed(Known(study, answering.read(answers)), datetime.now(UTC).date().isoformat())
    files = {"dossier.md": markdown(document), "dossier.html": page(document)}

    def write(folder: Path) -> None:
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")

    store.write_folder_atomically(out, write)
    print(f"{out / 'dossier.html'}\n{document.state}")
