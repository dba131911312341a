"""What a study has found so far, read from its files: records, pictures, costs, and the facts that a report needs."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..compose.regimes import REGIMES
from ..core.seeds import Levels
from ..metrics import METRICS
from ..store.cells import NOUNS, Cell
from ..together import loop
from ..together import records as together
from . import crossing
from .file import FAIRNESS
from .study import Study
from .words import describe_controls, describe_data, describe_model, shared_by_seeds

COSTLY = [noun.removesuffix(".cost.json") for noun in NOUNS if noun.endswith(".cost.json")]  # told of a cell


def records(study: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """The records that are there, and the files of those that are not."""
    if study.file.together:
        paths = {arm: Path(study.table(arm, "parquet")) for arm in study.lineages}
        missing = [str(path) for path in paths.values() if not path.exists()]
        return [one for path in paths.values() if path.exists() for one in replicated(study.name, path)], missing
    paths = {cell: Path(study.cell(*cell, "metrics.json")) for cell in study.cells()}
    missing = [str(path) for path in paths.values() if not path.exists()]
    return [store.read_json(path) for path in paths.values() if path.exists()], missing


def crossed(study: Study) -> list[tuple[Levels, dict[str, Any]]]:
    """The records that are there of the lineages in which split, training and sampling are crossed."""
    design, seeds = crossing.design(study.file), {one: seed for seed, one in reversed(study.levels.items())}
    cells = [(one, cell) for one in design for cell in study.all_cells() if cell[1] == seeds[one]]
    paths = [(one, Path(study.cell(*cell, "metrics.json"))) for one, cell in cells if cell[0] not in study.calibrations]
    return [(one, store.read_json(path)) for one, path in paths if path.exists()]


def replicated(study: str, path: Path) -> Iterator[dict[str, Any]]:
    """The records of an arm whose seeds ran together: what one of each cell would say, had it files of its own."""
    columns, metadata = store.read_table(path)
    store.expect(path, "arm" in metadata, "table of replicates")
    return together.records(study, loop.Replicates.model_validate(metadata["arm"]), columns)


def grids(study: Study) -> dict[tuple[str, int, int], np.ndarray]:
    """The pictures that are there, by (arm, seed, generation); vectors and diverged models have none."""
    cells = [] if study.file.together else study.cells()
    paths = {cell: Path(study.cell(*cell, "grid.safetensors")) for cell in cells}
    found = {cell: store.read_samples(path) for cell, path in paths.items() if path.exists()}
    return {cell: samples.data for cell, samples in found.items() if samples.kind == "images"}


def costs(study: Study) -> list[dict[str, Any]]:
    """What every job has cost whose cost is told, with its verb and place."""
    found = []
    if study.file.together:
        paths = {arm: Path(study.table(arm, "cost.json")) for arm in study.lineages}
        where = {"verb": "replicate", "seed": 0, "generation": 0}
        return [store.read_json(path) | where | {"arm": arm} for arm, path in paths.items() if path.exists()]
    for arm, seed, generation in dict.fromkeys([*study.base_cells(), *study.all_cells()]):
        where = {"arm": arm, "seed": seed, "generation": generation}
        stages = [one for stage in COSTLY for one in _of_roles(stage, study.auxiliaries(arm, generation))]
        paths = {stage: Path(Cell(study.name, **where).path(f"{stage}.cost.json")) for stage in stages}
        found += [store.read_json(path) | {"verb": stage} | where for stage, path in paths.items() if path.exists()]
    return found


def _of_roles(stage: str, roles: Iterable[str]) -> list[str]:
    """The stages that a name with a role in it stands for."""
    return [stage.format(role=role) for role in roles] if "{role}" in stage else [stage]


def _chosen_by_seeds(study: Study, model: str) -> str:
    """What generation 0 chose of the options that a model leaves open, for each seed, in words."""
    chosen: dict[str, list[str]] = {}
    for base, seed, _ in (cell for cell in study.base_cells() if study.is_own(cell[1])):
        path = Path(study.cell(base, seed, 0, "model.safetensors"))
        if study.bases[base].model == model and study.chosen_by(base, seed, 0) and path.exists():
            tensors, _ = store.read_tensors(path)
            for name in (name for name in tensors if name.startswith("chosen.")):
                chosen.setdefault(name.removeprefix("chosen."), []).append(f"{float(tensors[name]):g}")
    words = [f"{name} {', '.join(values)}" for name, values in chosen.items()]
    return f", {' and '.join(words)} (chosen at generation 0, a number a seed)" if words else ""


def _learning_curve(study: Study) -> Callable[[float], float] | None:
    """The primary's expected value of a model of n real rows alone, where theory knows it."""
    from ..theory.predict import predict

    primary = study.file.primary
    setting = next((found for arm in study.file.arms if (found := study.setting(arm))), None)  # of whichever arm

    def expected(n: float) -> float | None:
        if setting is None:
            return None
        n = round(n)
        regime = REGIMES["real_only"](n=n, initial=n)
        alone = setting._replace(regime=regime, generations=0, samples=n, sampling_bias=1.0, selector="nobody")
        ours = (one for one in predict(alone) if (one.metric, one.extractor) == (primary.metric, primary.extractor))
        return next((float(one.mean[0]) for one in ours), None)

    one_model = len({arm.model for arm in study.file.arms.values()}) == 1
    return expected if one_model and expected(study.file.initial.real) is not None else None


def facts(study: Study) -> Any:
    """What a reader of the records must know about the study."""
    from ..theory.predict import predict
    from ..verdicts import Endpoint, StudyFacts

    path = Path(study.report_file("baseline.json"))
    found = store.read_json(path) if path.exists() else {"values": [], "fingerprints": {}}
    reference: dict[str, dict[str, float]] = {}
    for value in found["values"]:
        made = found["fingerprints"][value["fingerprint"]]
        # Distances and neighbourhoods depend on n: a line at another n than the curves' would mislead.
        if value["value"] is not None and (made["reference"] != "held_out" or made["n_fake"] == study.measured):
            reference.setdefault(value["extractor"], {})[value["metric"]] = value["value"]
    primary = study.file.primary
    settings = {name: study.setting(name) for name in study.lineages}
    metrics = {name: METRICS[name] for name in METRICS if name in study.metric_options()}  # as the registry has them
    return StudyFacts(
        name=study.name,
        arms={name: lineage.about for name, lineage in study.lineages.items()},
        primary=Endpoint(primary.metric, primary.extractor),
        seeds=study.file.seeds,
        generations=study.file.generations,
        control=next((name for name, lineage in study.lineages.items() if lineage.is_control), None),
        controls=study.controls,
        supplies=study.supplies,
        matched=describe_controls(study),
        shared=shared_by_seeds(study),
        design=crossing.design(study.file),
        crossed=crossed(study),
        used={arm: amounts[-1] for arm, amounts in study.used.items()},
        question=study.file.question,
        data=describe_data(study),
        models={name: describe_model(study, name) + _chosen_by_seeds(study, name) for name in study.file.models},
        classes_given=study.classes_given,
        rows={name: study.rows(name) for name in study.lineages},
        calibration=study.calibrations,
        predictions={name: predict(setting) if setting else [] for name, setting in settings.items()},
        learning_curve=_learning_curve(study),
        waivers=[f"{FAIRNESS[rule]}: {reason}" for rule, reason in study.file.waive.items()],
        reference=reference,
        labels={name: metric.label for name, metric in metrics.items()},
        better={name: metric.better for name, metric in metrics.items()},
        shares=[name for name, metric in metrics.items() if metric.shares],
    )
