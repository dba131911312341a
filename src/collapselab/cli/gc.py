"""Making room: what of a study may go, shown before it goes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.errors import Held
from ..core.shipped import shipped
from ..store import kept
from ..study import clearing
from ..study.clearing import Freed
from ..study.faults import BadStudy
from ..study.loading import STUDIES, all_written_in, find
from ..study.study import Study
from ..study.thinning import CURVE, FACTS
from .plan import dry_run
from .run import EXIT_BAD_INPUT
from .study import StudyName, study_of

app = typer.Typer(rich_markup_mode=None)

CURVES = ("curve.images_seen", "curve.loss")


@app.command()
def gc(
    name: StudyName,
    delete: Annotated[bool, typer.Option("--delete", help="free it, after asking once")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="free it without asking")] = False,
    each: Annotated[bool, typer.Option("--list", help="name every file")] = False,
) -> None:
    """Show what of a study may go: what its keep leaves out, what it no longer has, and what was left over."""
    study = study_of(name)
    _expect_no_run(study)
    found = [*clearing.freed(study, clearing.read_by(study, dry_run(name))), *_real_data()]
    found = list({one.path: one for one in reversed(found)}.values())[::-1]
    if not found:
        print("nothing to free")
        return
    for line in _told(found):
        print(line)
    if each:
        for one in found:
            print(f"{one.bytes:>15,}  {one.path}")
    if not (delete or yes):
        print("nothing was deleted; --delete frees it, and --list names every file")
        return
    if not yes and not typer.confirm("Free it?"):
        raise typer.Exit(EXIT_BAD_INPUT)
    _expect_no_run(study)  # since people take their time
    for one in found:
        _free(one)
    _without_empty_folders(found)
    print(f"freed {sum(one.bytes for one in found):,} bytes in {len(found):,} files")


def _told(found: list[Freed]) -> Iterator[str]:
    """Files and bytes by reason."""
    for why in dict.fromkeys(one.why for one in found):
        sizes = [one.bytes for one in found if one.why == why]
        yield f"{len(sizes):>8,} files {sum(sizes):>18,} bytes  {why}"
    yield f"{len(found):>8,} files {sum(one.bytes for one in found):>18,} bytes  in all"


def _real_data() -> Iterator[Freed]:
    """Real data that no study reads, where it can be said; why it cannot, in a line, where not."""
    try:
        studies = all_written_in(STUDIES)
        there = clearing.others({one.name for one in studies})
        studies += [find(name) for name in there if (shipped(STUDIES.name) / f"{name}.yaml").exists()]
    except BadStudy as error:
        print(f"real data stays: {str(error).splitlines()[0]}")
        return
    if unknown := clearing.others({one.name for one in studies}):
        print(f"real data stays: results/{unknown[0]} is of no study in {STUDIES}/, and may have been made from it")
        return
    yield from clearing.freed_of_real(studies)


def _expect_no_run(study: Study) -> None:
    if why := clearing.held_by_run(study):
        raise Held(why)


def _free(one: Freed) -> None:
    """Delete a file; of a model that is thinned the curve of its training stays, which the mirror in MLflow shows, and
    what adapters have found out, which the report shows, too.
    """
    if one.thinned and one.path.name == "model.safetensors":
        tensors, metadata = store.read_tensors(one.path)
        curve: dict[str, Any] = {key: tensors[key] for key in CURVES if key in tensors}
        if curve:
            store.write_tensors(one.path.with_name(CURVE), curve, metadata)
    if one.thinned and one.path.name == "adapted.safetensors":
        store.write_tensors(one.path.with_name(FACTS), {}, store.read_tensors(one.path)[1])
    kept.forget(one.path)  # a second name would hold its room
    one.path.unlink(missing_ok=True)


def _without_empty_folders(found: list[Freed]) -> None:
    results = Path("results").resolve()
    folders = {parent for one in found for parent in one.path.resolve().parents if results in parent.parents}
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
