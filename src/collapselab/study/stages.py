"""The stages by which DVC runs and shares studies: written from the studies, so that no derived name is copied."""

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from ..metrics import METRICS
from .study import Study

SOURCE = ("Snakefile", "workflow", "src/collapselab")  # what every stage hangs on
HEADER = """\
# Written by `collapselab stages --out dvc.yaml` from the studies in config/: a study of one's own is a stage, too.
# DVC owns the bytes: `dvc repro NAME` runs a study, `dvc push` and `dvc pull` share what it made. What of a study must
# run again is Snakemake's to say: outputs persist, and an edit that changes nothing runs no job. Real data is shared by
# the studies that say the same of it, and an output belongs to one stage: so each data set has its own.
"""


def stages(studies: Iterable[Study]) -> str:
    """The text of ``dvc.yaml``: a stage for each data set, one behind it for each study, metrics and plots."""
    studies = list(studies)
    real = {name: stage for study in reversed(studies) for name, stage in _real(study).items()}
    content = {
        "stages": {**real, **{study.name: _study(study) for study in studies}},
        "metrics": [study.report_file("summary.json") for study in studies],
        "plots": [plot for study in studies for plot in _plots(study)],
    }
    return HEADER + "\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def outdated(study: Study, text: str) -> bool:
    """Whether the text of ``dvc.yaml`` lacks the stages of a study as it is: its data may lie elsewhere now."""
    try:
        said = yaml.safe_load(text)["stages"]
    except (yaml.YAMLError, LookupError, TypeError):
        return True
    return said.get(study.name) != _study(study) or not set(_real(study)) <= set(said)


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
        "outs": [{folder: {"persist": True}}],
    }


def _study(study: Study) -> dict[str, Any]:
    real = [] if study.file.together else [one.real_file("").rstrip("/") for one in study.splits]
    return {
        "cmd": f"snakemake --config study={study.name}",
        "deps": [*SOURCE, *real],
        "params": [{f"config/{study.name}.yaml": None}],
        "outs": [{f"results/{study.name}": {"persist": True}}],
    }


def _plots(study: Study) -> Iterator[dict[str, Any]]:
    """Curves of the primary endpoint, and in the same feature space of all of which one knows what is better."""
    primary, metrics = study.file.primary, {name: METRICS[name] for name in study.metric_options()}
    beside = [name for name, metric in metrics.items() if metric.better and metric.suits(primary.extractor)]
    for name in dict.fromkeys([primary.metric, *beside]):
        yield {
            f"{study.name}_{name}".replace("-", "_"): {
                "title": f"{study.name}: {METRICS[name].label}",
                "template": "arms",
                "x": "generation",
                "y": {study.report_file("curves.csv"): f"{name}_{primary.extractor}"},
            }
        }
