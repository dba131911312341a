"""A new study: where to begin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from ..core.shipped import shipped

app = typer.Typer(rich_markup_mode=None)


def new(
    name: Annotated[str, typer.Argument(help="name of the new study: letters, digits, hyphens and underscores")],
    like: Annotated[str, typer.Option(help="begin with the text of this study, such as quickstart")] = "",
) -> None:
    """Write a commented study to start from: config/NAME.yaml."""
    from ..study import beginning
    from ..study.loading import STUDIES

    path = STUDIES / f"{name}.yaml"
    if fault := beginning.name_fault(name):
        raise typer.BadParameter(fault)
    if path.exists():
        raise typer.BadParameter(f"{path} is there already; choose another name")
    if (shipped(STUDIES.name) / path.name).exists():
        raise typer.BadParameter(f"{name!r} is a study that comes with the package; choose another name")
    text = _like(like, name) if like else beginning.commented(name)
    store.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    print("\n".join([str(path), *_schema(path.with_name(beginning.SCHEMA)), *_stage(Path("dvc.yaml"), name)]))
    print(f"next: collapselab validate {name}; collapselab plan {name}; collapselab run {name}")


app.command()(new)
app.command("init", hidden=True)(new)


def _like(study: str, name: str) -> str:
    """The text of a study, under the new name. Raises BadStudy where it has faults, but for data that are not here."""
    from ..study import beginning
    from ..study.loading import file_of
    from ..study.reading import parse

    path = file_of(study)
    _, lines, faults = parse(path)
    if faults:
        from ..study import BadStudy

        raise BadStudy(path, faults, lines)
    try:
        return beginning.renamed(path.read_text(encoding="utf-8"), name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _schema(path: Path) -> Iterator[str]:
    """Put the schema of studies beside them, by which editors complete and check; what came of it, in words."""
    if not path.exists():
        content = (shipped("config") / path.name).read_bytes()
        store.write_atomically(path, lambda temporary: temporary.write_bytes(content))
        yield f"{path}: by which editors complete and check it (collapselab schema --out {path} writes it anew)"


def _stage(path: Path, name: str) -> Iterator[str]:
    """Write the stage of a new study, where DVC has any; what came of it, in words."""
    from .study import write_stages

    if not path.exists():
        return
    try:
        write_stages(path)
    except ValueError as error:  # another study's fault, or the file's own, is no reason not to begin this one
        yield f"no stage in {path} yet: {error}\nafter that: collapselab stages --out {path}"
    else:
        yield f"{path} has its stage: dvc repro {name}"
