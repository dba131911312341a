"""The stages by which DVC runs and shares studies: written from the studies, so that no derived name is copied."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from . import layout
from .study import Study

SOURCE = ("Snakefile", "workflow", "src/collapselab")  # what every stage hangs on
HEADER = """\
# Written by `collapselab stages --out dvc.yaml` from the studies in config/: a study of one's own is a stage, too.
# DVC owns the bytes: `dvc repro NAME` runs a study, `dvc push` and `dvc pull` share what it made. What of a study must
# run again is Snakemake's to say: outputs persist, and an edit that changes nothing runs no job. Real data is shared by
# the studies that say the same of it, and an output belongs to one stage: so each data set has its own.
# What `dvc metrics` and `dvc plots` show is small text, which git keeps: results/_metrics and results/_plots.
# Stages, metrics and plots that somebody adds stay when it is written anew.
"""
OURS = re.compile(r"(collapselab stages --check|snakemake --config study=)")  # how the command of our stages begins


def stages(studies: Iterable[Study], before: str = "") -> str:
    """The text of ``dvc.yaml``: a stage for each data set, one behind it for each study, metrics and plots.

    before: the text until now, of which stays what is not written here. Raises ValueError where that is no YAML.
    """
    studies = list(studies)
    real = {name: stage for study in reversed(studies) for name, stage in _real(study).items()}
    shown = {kind: f"results/_{kind}" for kind in layout.GLANCED}
    content = {
        "stages": {**real, **{study.name: _study(study) for study in studies}},
        "metrics": [shown["metrics"]],
        "plots": [{shown["plots"]: {"template": "arms", "x": "generation", "y": "mean"}}],
    }
    for part, entries in _added(before).items():
        there = content.get(part, type(entries)())
        content[part] = {**entries, **there} if isinstance(entries, dict) else [*there, *entries]
    return HEADER + "\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _added(text: str) -> dict[str, Any]:
    """What somebody has added to the text of ``dvc.yaml``: all but our stages, and but metrics and plots of results."""
    said = _read(text)
    found = {part: entries for part, entries in said.items() if isinstance(entries, list | dict)}
    if isinstance(found.get("stages"), dict):
        found["stages"] = {name: one for name, one in found["stages"].items() if not OURS.match(_command(one))}
    for part in ("metrics", "plots"):
        if isinstance(entries := found.get(part), dict):  # as older versions of DVC wrote them
            entries = [{name: said} for name, said in entries.items()]
        found[part] = [one for one in entries or () if "results/" not in str(one)]
    return {part: entries for part, entries in found.items() if entries}


def _command(stage: Any) -> str:
    return str(stage.get("cmd", "")) if isinstance(stage, dict) else ""


def _read(text: str) -> Mapping[str, Any]:
    try:
        said = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"dvc.yaml: is no YAML: {' '.join(str(error).split())}; mend it, or delete it") from None
    if not isinstance(said, dict):
        raise ValueError(f"dvc.yaml: found {type(said).__name__}, allowed is a mapping; mend it, or delete it")
    return said


def outdated(study: Study, text: str) -> bool:
    """Whether the text of ``dvc.yaml`` lacks the stages of a study as it is: its data may lie elsewhere now."""
    said = _read(text).get("stages")
    return not isinstance(said, dict) or said.get(study.name) != _study(study) or not set(_real(study)) <= set(said)


def _real(study: Study) -> dict[str, Any]:
    """The stage of a study's real data, by its name; none for a study that draws them as it goes."""
    if study.file.together:
        return {}
    return {f"real_{one.real}": _real_of_split(one) for one in study.splits}


def _real_of_split(study: Study) -> dict[str, Any]:
    folder, name = study.real_file("").rstrip("/"), study.name
    varied = [] if len(study.splits) == 1 else ["seeds_vary"]
    return {
        "cmd": f"collapselab stages --check {name} && snakemake --config study={name} -- {folder}/{name}.made",
        "deps": list(SOURCE),
        "params": [{f"config/{name}.yaml": ["data", "extractors", *varied]}],
        "outs": [_persists(folder)],
    }


def _study(study: Study) -> dict[str, Any]:
    real = [] if study.file.together else [one.real_file("").rstrip("/") for one in study.splits]
    return {
        "cmd": f"snakemake --config study={study.name}",
        "deps": [*SOURCE, *real],
        "params": [{f"config/{study.name}.yaml": None}],
        "outs": [_persists(f"results/{study.name}")],
    }


def _persists(folder: str) -> dict[str, Any]:
    """An output that DVC leaves where it is before a run: what is in it may be all that is asked for."""
    return {folder: {"persist": True}}
