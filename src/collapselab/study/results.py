"""What a study has found so far, read from its files: records, pictures, costs, and the facts that a report needs."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from .. import store
from ..adapt import ADAPTERS
from ..compose.regimes import REGIMES, draws
from ..core import sound
from ..core.choice import Choice
from ..core.kinds import PICTURED
from ..core.progress import counted
from ..core.seeds import Levels
from ..core.sequences import Vocabulary
from ..core.sets import SampleSet
from ..guides import GUIDES
from ..metrics import METRICS
from ..store.cells import NOUNS, Cell
from ..together import loop
from ..together import records as together
from ..together.folded import unfolded
from . import composed, crossing, prevention, sampled, stopping
from .adaptations import adaptations, chosen_in_words
from .claimed import claims_of
from .file import BUDGETS, FAIRNESS, JUDGING
from .judged import judging_options
from .study import Study
from .words import describe_controls, describe_data, describe_model, shared_by_seeds

if TYPE_CHECKING:
    from ..theory.setting import Setting

COSTLY = [noun.removesuffix(".cost.json") for noun in NOUNS if noun.endswith(".cost.json")]  # told of a cell


def setting_of(study: Study, arm: str) -> "Setting | None":
    """An arm as far as a law of theory depends on it; None for one whose models or samples are changed by more."""
    from ..theory.setting import Setting  # brings scipy, which a plan does without

    lineage = study.lineages[arm]
    if lineage.adapt or lineage.transform or lineage.mark or lineage.drawn_by or len(lineage.select) > 1:
        return None
    truth = None if study.population_name is None else study.population
    family, options = study.family(lineage.model), study.model_options(lineage.model)
    chosen = lineage.select[0] if lineage.select else Choice("nobody")
    how = (lineage.regime, lineage.generations, lineage.sampling_bias, chosen.name, dict(chosen.options))
    steered = lineage.guide and Choice(lineage.guide.name, study.parsed(GUIDES, lineage.guide).model_dump(mode="json"))
    by = sampled.sampler_of(study, arm)
    return Setting(family, options, study.population_name, truth, *how, study.file.samples, by, steered)


def rows_of(study: Study, arm: str) -> tuple[int, int]:
    """How many real and how many synthetic rows the last training set of an arm is drawn from.

    A budget takes some of them: the loop has met the others, and their shares are the same.
    """
    lineage = study.lineages[arm]
    pool = draws(lineage.regime, arm, lineage.generations)
    real = sum(draw.count for draw in pool if draw.is_real)
    return real, sum(draw.count for draw in pool) - real


def records(study: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """The records that are there, and the files of those that are not."""
    if study.file.together:
        paths = {arm: Path(study.table(arm, "parquet")) for arm in study.lineages}
        missing = [str(path) for path in paths.values() if not path.exists()]
        return [one for path in paths.values() if path.exists() for one in replicated(study.name, path)], missing
    paths = {cell: Path(study.cell(*cell, "metrics.json")) for cell in study.cells()}
    missing = [str(path) for path in paths.values() if not path.exists()]
    gone = stopping.stopped(study) if study.file.stop else {}
    there = [path for path in paths.values() if path.exists()]
    return [_ended(read_as(Record, path), gone) for path in counted(there, "records")], missing


def _ended(record: dict[str, Any], gone: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """A record, without its numbers where its lineage was stopped before: by a rule that came after it was trained."""
    decision = gone.get(record["arm"], {}).get(record["seed"])
    if decision is None or record["generation"] <= decision["generation"]:
        return record
    return {**record, "status": "stopped", "stopped": dict(decision), "values": [], "fingerprints": {}}


class _Said(BaseModel):
    """What a file has to say for a report to be drawn of it; more may stand there."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Value(_Said):
    set: str
    extractor: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    fingerprint: str


class _Eaten(_Said):
    arm: str
    generation: int
    count: float


class Baseline(_Said):
    """What a perfect model would score."""

    values: list[_Value]
    fingerprints: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if unmade := [one.metric for one in self.values if one.fingerprint not in self.fingerprints]:
            raise ValueError(f"{unmade[0]} has no fingerprint")
        return self


class Record(Baseline):
    """One generation of one lineage."""

    study: str
    arm: str
    seed: int
    generation: int
    status: Literal["ok", "diverged", "stopped"]
    diverged: dict[str, Any] | None = None
    stopped: dict[str, Any] | None = None
    lineage: dict[str, str] = {}
    composition: list[_Eaten] = []


class Cost(_Said):
    """What a job has cost."""

    compute_cpu_seconds: float = 0.0
    process_cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    images_seen: float | None = None
    joules: float | None = None
    energy_source: Literal["nvml", "rapl", "estimate"] = "estimate"
    nonidentical: list[str] = []


def read_as(kind: type[_Said], path: Path) -> dict[str, Any]:
    """A record of a kind. Raises Damaged for a file with a right hash that is of another, or says it otherwise."""
    found = store.read_json(path)
    with store.understood(path):
        kind.model_validate(found)
    return found


def crossed(study: Study) -> list[tuple[Levels, dict[str, Any]]]:
    """The records that are there of the lineages in which split, training and sampling are crossed."""
    design, seeds = crossing.design(study.file), {one: seed for seed, one in reversed(study.levels.items())}
    cells = [(one, cell) for one in design for cell in study.all_cells() if cell[1] == seeds[one]]
    paths = [(one, Path(study.cell(*cell, "metrics.json"))) for one, cell in cells if cell[0] not in study.calibrations]
    return [(one, read_as(Record, path)) for one, path in paths if path.exists()]


def replicated(study: str, path: Path) -> Iterator[dict[str, Any]]:
    """The records of an arm whose seeds ran together: what one of each cell would say, had it files of its own."""
    columns, metadata = store.read_table(path)
    store.expect(path, "arm" in metadata, "table of replicates")
    with store.understood(path):
        arm = loop.Replicates.model_validate(unfolded(metadata["arm"]))
        rows = {name: columns[name] for name in ("seed", "generation", *arm.metrics)}
        if not all(np.issubdtype(rows[name].dtype, np.integer) for name in ("seed", "generation")):
            raise ValueError("seeds and generations are whole numbers")
        if max(rows["generation"], default=0) >= len(arm.recipes):
            raise ValueError("more generations than recipes")
    return together.records(study, arm, rows)


def grids(study: Study) -> dict[tuple[str, int, int], np.ndarray]:
    """The pictures that are there, (n, C, H, W) uint8 by (arm, seed, generation), of clips their spectrograms; vectors
    and diverged models have none.
    """
    return {cell: _shown(samples) for cell, samples in _pictured(study) if samples.kind in PICTURED}


def clips(study: Study) -> dict[tuple[str, int, int], np.ndarray]:
    """The log-mel pictures that are there and can be made audible, (n, bands, frames), by (arm, seed, generation)."""
    found = _pictured(study) if study.kind == "audio" else ()
    return {cell: samples.data for cell, samples in found}


def real_clips(study: Study) -> np.ndarray | None:
    """Held-out clips to hear beside them, (n, bands, frames); None where the data are no sound, or none are there."""
    path = Path(study.part_file("held_out"))
    if study.kind != "audio" or not path.exists():
        return None
    return np.asarray(store.read_samples(path).data[: study.file.grid])


def _pictured(study: Study) -> Iterator[tuple[tuple[str, int, int], SampleSet]]:
    for cell in [] if study.file.together else study.cells():
        path = Path(study.cell(*cell, "grid.safetensors"))
        if path.exists():
            yield cell, store.read_samples(path)


def _shown(samples: SampleSet) -> np.ndarray:
    return sound.as_images(samples.data) if samples.kind == "audio" else samples.data


def texts(study: Study) -> dict[str, dict[int, list[str]]]:
    """The texts that are there of the first seed, by arm and generation: sequences of the same random numbers, place by
    place; nothing of other data.
    """
    if study.kind != "sequences" or study.file.together:
        return {}
    paths = {cell: Path(study.cell(*cell, "grid.safetensors")) for cell in study.cells() if cell[1] == 0}
    found: dict[str, dict[int, list[str]]] = {}
    for (arm, _, generation), path in paths.items():
        if path.exists() and (one := _as_texts(store.read_samples(path), study.file.grid)):
            found.setdefault(arm, {})[generation] = one
    return found


def real_texts(study: Study) -> list[str]:
    """Held-out real sequences as texts, to stand above the others; none of other data, or where they are gone."""
    path = Path(study.part_file("held_out"))
    there = study.kind == "sequences" and not study.file.together and path.exists()
    return _as_texts(store.read_samples(path), study.file.grid) if there else []


def _as_texts(samples: SampleSet, most: int) -> list[str]:
    if samples.kind != "sequences":
        return []  # of a lineage that diverged
    rows = np.asarray(samples.data[:most])
    vocabulary = Vocabulary.of(samples.lineage) or Vocabulary(int(rows.max(initial=0)) + 1)
    return vocabulary.texts(rows)


def real_pictures(study: Study) -> np.ndarray | None:
    """Real images to stand above the pictures: held-out ones, (n, C, H, W) uint8, of the classes of the first pictures,
    place by place; None where there are no pictures, or no real images any more.
    """
    path = Path(study.part_file("held_out"))
    shown = next((one for cell in study.cells() if (one := Path(study.cell(*cell, "grid.safetensors"))).exists()), None)
    if study.kind not in PICTURED or study.file.together or shown is None or not path.exists():
        return None
    real, labels = store.read_samples(path), store.read_samples(shown).labels
    rows = np.arange(min(study.file.grid, len(real)))
    if labels is not None and real.labels is not None:
        rows = _alike(np.asarray(real.labels), np.asarray(labels)[: study.file.grid])
    return np.asarray(_shown(replace(real, data=real.data[rows], labels=None, aux={})))


def _alike(labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rows with the wanted labels, place by place, each once as long as there are some; then others."""
    rows, left = np.arange(len(labels)), np.ones(len(labels), bool)
    found = []
    for label in wanted:
        own = rows[left & (labels == label)]
        found.append(own[0] if len(own) else rows[left][0] if left.any() else 0)
        left[found[-1]] = False
    return np.array(found)


def costs(study: Study) -> list[dict[str, Any]]:
    """What every job has cost whose cost is told, with its verb and place."""
    found = []
    if study.file.together:
        paths = {arm: Path(study.table(arm, "cost.json")) for arm in study.lineages}
        where = {"verb": "replicate", "seed": 0, "generation": 0}
        return [read_as(Cost, path) | where | {"arm": arm} for arm, path in paths.items() if path.exists()]
    for arm, seed, generation in dict.fromkeys([*study.base_cells(), *study.all_cells()]):
        where = {"arm": arm, "seed": seed, "generation": generation}
        stages = [one for stage in COSTLY for one in _of_roles(stage, study.auxiliaries(arm, generation))]
        paths = {stage: Path(Cell(study.name, **where).path(f"{stage}.cost.json")) for stage in stages}
        found += [read_as(Cost, path) | {"verb": stage} | where for stage, path in paths.items() if path.exists()]
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
    setting = next((found for arm in study.file.arms if (found := setting_of(study, arm))), None)  # of whichever arm

    def expected(n: float) -> float | None:
        if setting is None:
            return None
        n = round(n)
        regime = REGIMES["real_only"](n=n, initial=n)
        alone = setting._replace(
            regime=regime, generations=0, samples=n, sampling_bias=1.0, selector="nobody", guide=None
        )
        ours = (one for one in predict(alone) if (one.metric, one.extractor) == (primary.metric, primary.extractor))
        return next((float(one.mean[0]) for one in ours), None)

    one_model = len({arm.model for arm in study.file.arms.values()}) == 1
    return expected if one_model and expected(study.file.initial.real) is not None else None


def facts(study: Study) -> Any:
    """What a reader of the records must know about the study."""
    from ..theory.predict import predict
    from ..verdicts import Endpoint, Point, StudyFacts

    path = Path(study.report_file("baseline.json"))
    found = read_as(Baseline, path) if path.exists() else {"values": [], "fingerprints": {}}
    reference: dict[str, dict[str, float]] = {}
    for value in found["values"]:
        made = found["fingerprints"][value["fingerprint"]]
        # Distances and neighbourhoods depend on n: a line at another n than the curves' would mislead.
        if value["value"] is not None and (made.get("reference") != "held_out" or made.get("n_fake") == study.measured):
            reference.setdefault(value["extractor"], {})[value["metric"]] = value["value"]
    primary = study.file.primary
    settings, adapted = {name: setting_of(study, name) for name in study.lineages}, adaptations(study)
    metrics = {name: METRICS[name] for name in METRICS if name in study.metric_options()}  # as the registry has them
    return StudyFacts(
        name=study.name,
        arms={name: composed.about(study, name) for name in study.lineages},
        primary=Endpoint(primary.metric, primary.extractor),
        seeds=study.file.seeds,
        generations=study.file.generations,
        control=next((name for name, lineage in study.lineages.items() if lineage.is_control), None),
        controls=study.controls,
        supplies=study.supplies,
        converged=study.converged,
        matched=describe_controls(study),
        shared=shared_by_seeds(study),
        design=crossing.design(study.file),
        crossed=crossed(study),
        used={arm: amounts[-1] for arm, amounts in study.used.items()},
        shown=prevention.shown_in_words(study),
        question=study.file.question,
        data=describe_data(study),
        adapted=chosen_in_words(adapted),
        adaptations=adapted,
        models={name: describe_model(study, name) + _chosen_by_seeds(study, name) for name in study.file.models},
        classes_given=study.classes_given,
        rows={name: rows_of(study, name) for name in study.lineages},
        calibration=study.calibrations,
        predictions={name: predict(setting) if setting else [] for name, setting in settings.items()},
        learning_curve=_learning_curve(study),
        waivers=[f"{(FAIRNESS | BUDGETS | JUDGING)[rule]}: {reason}" for rule, reason in study.file.waive.items()],
        reference=reference,
        stops=stopping.words(study),
        stopped=stopping.stopped(study) if study.file.stop else {},
        selected={arm: _selected(study, arm, chance) for chance, arm in study.yoked.items()},
        labels={name: metric.label for name, metric in metrics.items()},
        better={name: metric.better for name, metric in metrics.items()},
        shares=[name for name, metric in metrics.items() if metric.shares],
        without=_without(study),
        unit=composed.NOUNS.get(study.kind, "rows"),
        remedies=composed.remedies(study),
        contradicted=composed.contradicted(study),
        prevention=_prevention(study),
        claims=claims_of(study),
        points={arm: Point(*point) for arm, point in study.sweep.points.items() if point.at},
    )


def _prevention(study: Study) -> Any:
    """What is known of a comparison of measures before it is run; None of a study that compares none."""
    from ..verdicts import Endpoint, Prevention

    said = study.file.prevention
    if said is None:
        return None
    arms = study.file.arms
    return Prevention(
        against=said.against,
        yardstick=said.yardstick,
        fidelity=Endpoint(said.fidelity.metric, said.fidelity.extractor),
        diversity=Endpoint(said.diversity.metric, said.diversity.extractor),
        spent={arm: prevention.spent(study, arm) for arm in arms},
        measures={arm: prevention.measures(study, arm) for arm in arms if arm not in (said.against, said.yardstick)},
        simulated=tuple(arm for arm in arms if prevention.simulates(study, arm)),
    )


def _without(study: Study) -> str:
    """The first arm whose only adapter trains from scratch without what is to be forgotten; empty without one."""
    steps = {name: study.lineages[name].adapt for name in study.file.arms}
    alone = [name for name, said in steps.items() if len(said) == 1]
    return next((name for name in alone if ADAPTERS[steps[name][0].name].gold), "")


def _selected(study: Study, arm: str, chance: str) -> Any:
    """Who selects in an arm, as the report tells it."""
    from ..verdicts import Selected

    reads = study.read_by(arm)
    looks = reads or study.selecting(arm, "train")
    rows = len(store.read_samples(path)) if looks and (path := Path(study.part_file("train"))).exists() else 0
    # A selector of somebody's own may follow ballots and not say how many judges there are.
    judges = getattr(judging_options(study, arm), "judges", 0) if study.awaits_ballots(arm) else 0
    return Selected(chance, rows, judges, reads)


def sources(study: Study) -> list[str]:
    """The texts that name the papers which a study rests on: of its metrics, its regimes and every analysis."""
    from ..verdicts import ANALYSES

    metrics = [METRICS[name].function for name in METRICS if name in study.metric_options()]
    regimes = [REGIMES[arm.regime.name] for arm in study.file.arms.values() if arm.regime.name in REGIMES]
    analyses = [analysis.run for analysis in ANALYSES.values()]
    modules = [sys.modules[run.__module__] for run in analyses]
    return [one.__doc__ or "" for one in (*metrics, *regimes, *modules, *analyses)]
