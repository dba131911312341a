"""A new study: where to begin."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import store
from ..core.shipped import shipped

if TYPE_CHECKING:
    from ..data.survey import Surveyed

app = typer.Typer(rich_markup_mode=None)


def new(
    name: Annotated[str, typer.Argument(help="name of the new study: letters, digits, hyphens and underscores")],
    like: Annotated[str, typer.Option(help="begin with the text of this study, such as quickstart")] = "",
    pictures: Annotated[
        Path | None,
        typer.Option("--from", help="look at your pictures, a folder or a .zip, and write a study that fits"),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="with --from: side in pixels that pictures are shrunk to; else as fits")
    ] = None,
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
    if like and pictures:
        raise typer.BadParameter("found --like and --from; allowed is one of them")
    if resolution is not None and not pictures:
        raise typer.BadParameter("found no --from, whose pictures it is about", param_hint="--resolution")
    if pictures:
        text = _of_pictures(pictures, name, resolution)
    else:
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


def _of_pictures(path: Path, name: str, resolution: int | None) -> str:
    """The text of a study that fits the pictures at a path, which are looked at; what to expect of it is told.

    Raises ValueError for what is no folder or zip, for pictures that cannot be read, and for too few or too small ones.
    """
    from ..data.survey import survey
    from ..machine.device import device
    from ..measure.pools import dataset_at
    from ..study import from_pictures

    if not path.exists():
        raise typer.BadParameter(f"there is no {str(path)!r}", param_hint="--from")
    dataset = dataset_at(path)
    if dataset is None:
        raise typer.BadParameter(
            f"found {str(path)!r}; allowed are a folder or a .zip of pictures", param_hint="--from"
        )
    if faults := dataset.check():
        dataset = dataset_at(path, labels="ignore")
        dataset.require()  # of what is wrong with more than labels nothing is said
        print(f"labels cannot be read: {'; '.join(faults)}")
    found = survey(dataset)
    if faults := list(from_pictures.faults(found, resolution)):
        raise ValueError("\n".join(f"{path}: {fault}" for fault in faults))
    on_gpu = device().type != "cpu"
    side = resolution or from_pictures.side_of(found, on_gpu)
    text = from_pictures.text(name, found, dataset.source, str(path), side)
    _expect_valid(name, text)
    print(_told(path, found))
    for note in from_pictures.notes(found, side, on_gpu):
        print(f"note: {note}")
    return text


def _told(path: Path, found: "Surveyed") -> str:
    """What pictures are, in a line."""
    sizes = f"{found.side}" if found.square else f"{found.side} to {found.longest}"
    of = f"{len(found.labels)} classes" if found.labels else "no labels"
    passed = f"; passed over: {found.passed}" if found.passed else ""
    colours = "grey" if found.channels == 1 else "colour"
    return f"{path}: {found.count:,} pictures, {colours}, sides of {sizes} pixels, {of}{passed}"


def _expect_valid(name: str, text: str) -> None:
    """Raise BadStudy, before anything is written, for a text that is no right study."""
    from tempfile import TemporaryDirectory

    from ..study import load

    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        load(file)


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
