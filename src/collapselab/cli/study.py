"""Studies: what is wrong with one, and what one says."""

import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.shipped import shipped
from .options import chosen
from .run import importing
from .slips import STUDY

app = typer.Typer(rich_markup_mode=None)


def _completed(incomplete: str) -> list[str]:
    """Names of studies, the folder's own and those that come with the package, and YAML files, for a shell."""
    names = {file.stem for folder in (Path("config"), shipped("config")) for file in folder.glob("*.yaml")}
    files = [str(file) for file in Path().glob(f"{glob.escape(incomplete)}*.yaml")] if incomplete else []
    return [*(name for name in sorted(names) if name.startswith(incomplete)), *sorted(files)]


StudyName = Annotated[str, typer.Argument(help=STUDY, autocompletion=_completed)]

Planned = Annotated[str | None, typer.Option(hidden=True, help="the study as JSON, as the workflow planned it")]


def study_of(name: str, planned: str | None = None) -> Any:
    """The study that a verb is told, by its name or its file, or as it was planned."""
    with importing():
        from .. import study as studies

    if planned is not None:
        return studies.from_plan(planned)
    return studies.find(name)


def expect_measured(name: str, records: Sequence[Any], missing: Sequence[str]) -> None:
    """Raise BadParameter for a study of which nothing is measured. records, missing: as of ``results.records``."""
    if not records:
        first = f"{missing[0]} comes first"
        raise typer.BadParameter(f"nothing of it is measured yet ({first}); run it: collapselab run {name}")


@app.command()
def validate(name: StudyName) -> None:
    """Check a study and report every fault."""
    from ..study import composed, from_pictures, guided, sampled, sweep

    study = study_of(name)
    arms = ", ".join(study.lineages)
    print(f"{study.name}: ok. Arms: {arms}; {study.file.seeds} seeds; generations 0 to {study.file.generations}")
    for arm, points in sweep.described(study.sweep.points).items():
        print(f"sweep of {arm}: {points}")
    for said in (sampled, guided, composed, from_pictures):
        for remark in said.remarks(study):
            print(f"note: {remark}")


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="file to write; to the terminal if left out")] = None) -> None:
    """Print the JSON schema of a study, for editors."""
    from ..study import schema as schemas

    text = json.dumps(schemas.schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
    else:
        store.write_atomically(out, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@app.command()
def stages(
    out: Annotated[Path | None, typer.Option(help="file to write; to the terminal if left out")] = None,
    check: Annotated[
        str, typer.Option(help="write nothing, and fail where dvc.yaml says other stages of a study")
    ] = "",
) -> None:
    """Write the stages by which DVC runs and shares the studies in config/: dvc.yaml."""
    from ..study.loading import STUDIES, written_in
    from ..study.stages import outdated
    from ..study.stages import stages as staged

    path = Path("dvc.yaml")
    if check and outdated(study_of(check), path.read_text(encoding="utf-8") if path.exists() else ""):
        raise ValueError(
            f"{path}: does not have the stages of {check!r} as it is; run: collapselab stages --out {path}"
        )
    if check:
        return
    if out is None:
        print(staged(written_in(STUDIES)), end="")
    else:
        write_stages(out)


def write_stages(path: Path) -> None:
    """Write the stages of all studies in config/ into a file, in which what others have added stays.

    Raises ValueError for a study with a fault, and outside a clone, whose workflow the stages hang on.
    """
    from ..study.loading import STUDIES, written_in
    from ..study.stages import SOURCE
    from ..study.stages import stages as staged

    if absent := [name for name in SOURCE if not Path(name).exists()]:
        raise ValueError(f"stages hang on {absent[0]}, which only a clone has; without DVC: collapselab run NAME")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = staged(written_in(STUDIES), before)
    store.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@app.command()
def recipe(
    name: StudyName,
    arm: Annotated[str, typer.Argument(help="an arm of the study, or a base such as base_tiny")],
    generation: Annotated[int, typer.Argument(min=0, help="the generation")],
) -> None:
    """Print what an arm's regime comes to at a generation: the recipe that compose and draw are told."""
    study = study_of(name)
    chosen(study.bases if generation == 0 else study.lineages, arm, "ARM")
    print(study.recipe(arm, generation).model_dump_json())
