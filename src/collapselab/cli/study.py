"""Studies: a new one, what is wrong with one, and what one says."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from .options import chosen
from .run import importing

app = typer.Typer(rich_markup_mode=None)

StudyName = Annotated[str, typer.Argument(help="a study's name, or its YAML file")]

Planned = Annotated[str | None, typer.Option(hidden=True, help="the study as JSON, as the workflow planned it")]


def study_of(name: str, planned: str | None = None) -> Any:
    """The study that a verb is told, by its name or its file, or as it was planned."""
    with importing():
        from .. import study as studies

    if planned is not None:
        return studies.from_plan(planned)
    return studies.find(name)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="name of the new study: letters, digits, hyphens and underscores")],
) -> None:
    """Write a commented study to start from: config/NAME.yaml."""
    from .. import study as studies

    path = Path("config") / f"{name}.yaml"
    if not re.fullmatch(studies.STUDY_NAME_PATTERN, name) or name == "real":
        allowed = "letters, digits, hyphens and underscores, with a letter first, and not 'real'"
        raise typer.BadParameter(f"found {name!r}; allowed are {allowed}")
    if path.exists():
        raise typer.BadParameter(f"{path} is there already; choose another name")
    text = (Path(__file__).parents[1] / "study.yaml").read_text(encoding="utf-8").replace("NAME", name)
    store.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    staged = _stage(Path("dvc.yaml"), name)
    following = f"collapselab validate {name}; collapselab plan {name}; snakemake --config study={name}"
    print(f"{path}{staged}\nnext: {following}")


def _stage(path: Path, name: str) -> str:
    """Write the stage of a new study, where DVC has any; what came of it, in words."""
    if not path.exists():
        return ""
    try:
        _write_stages(path)
    except ValueError as error:  # another study's fault, or the file's own, is no reason not to begin this one
        return f"\nno stage in {path} yet: {error}\nafter that: collapselab stages --out {path}"
    return f"\n{path} has its stage: dvc repro {name}"


def _write_stages(path: Path) -> None:
    from ..study.loading import STUDIES, written_in
    from ..study.stages import stages as staged

    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = staged(written_in(STUDIES), before)
    store.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@app.command()
def validate(name: StudyName) -> None:
    """Check a study and report every fault."""
    from ..study import composed, sampled

    study = study_of(name)
    arms = ", ".join(study.lineages)
    print(f"{study.name}: ok. Arms: {arms}; {study.file.seeds} seeds; generations 0 to {study.file.generations}")
    for remark in (*sampled.remarks(study), *composed.remarks(study)):
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
        _write_stages(out)


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
