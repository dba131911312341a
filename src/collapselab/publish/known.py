"""What a study's records know of its data, models and samples, for whoever publishes them."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import store
from ..compose.regimes import REAL, at
from ..data.rights import Rights
from ..metrics import METRICS
from ..models import MODELS
from ..models.capabilities import Counts
from ..store.cells import Cell
from ..study import results, selected
from ..study.budget import work
from ..study.study import Study
from ..verdicts.descent import real_ancestry
from .answers import Answers

GPAI_FLOP, SYSTEMIC_FLOP = 1e23, 1e25  # the Commission's guidelines of 18 July 2025, and article 51(2) of the AI Act
NO_WEIGHTS = ("curve.", "chosen.", "ladder.")  # of a model's file: what tells of its training, and further averages


class Generation(NamedTuple):
    """What one generation of an arm was trained on, and what became of its samples; of its first seed.

    real, synthetic: rows of the training set. eaten: of which models the synthetic ones are, with their numbers. depth:
    how many models stand between one of its rows and real data, on average; None where an earlier record is missing.
    made, kept: samples, before and after its selectors. bias: of the sampler.
    """

    arm: str
    generation: int
    real: int
    synthetic: int
    eaten: str
    depth: float | None
    made: int
    kept: int
    bias: float

    @property
    def share(self) -> float:
        """Of synthetic rows among all."""
        return self.synthetic / max(1, self.real + self.synthetic)


class Known:
    """A study, its records as far as they are there, and the answers of whoever publishes it.

    So that what is asked often is read once, and what nobody asks for is not read.
    """

    def __init__(self, study: Study, answers: Answers):
        self.study, self.answers = study, answers

    @cached_property
    def _read(self) -> tuple[list[dict[str, Any]], list[str]]:
        return results.records(self.study)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of all cells that are measured."""
        return self._read[0]

    @property
    def missing(self) -> list[str]:
        """The files of the records that are not there."""
        return self._read[1]

    # -- data

    @cached_property
    def rights(self) -> Rights:
        """Of the real data, as their source says them."""
        if self.study.population_name is None:
            return self.study.dataset.rights()
        return Rights("Apache-2.0", "The collapselab developers", "", "none: numbers drawn by a formula", "", "")

    @property
    def citation(self) -> str:
        """Whose the real data are, in a line."""
        if self.study.population_name is None:
            return self.study.dataset.citation
        return f"The known population {self.study.population_name!r} of collapselab"

    def real_parts(self) -> Iterator[tuple[str, Path]]:
        """The parts of the real data that are stored, by name, with their files."""
        sizes = self.study.file.data.split.parts()
        names = ["held_out"] if self.study.population_name else [name for name, size in sizes.items() if size]
        yield from ((name, Path(self.study.part_file(name))) for name in names)

    # -- generations

    @cached_property
    def generations(self) -> list[Generation]:
        """Every generation of every arm that is measured, in order."""
        found, seen, depths = [], set(), real_ancestry(self.records)
        for record in self.records:
            where = record["arm"], record["generation"]
            if where in seen or record["arm"] not in self.study.lineages:
                continue
            seen.add(where)
            depth = depths.get(record["arm"], {}).get(record["seed"], {}).get(record["generation"])
            found.append(self._generation(record, None if depth is None else depth.depth))
        order = list(self.study.lineages)
        return sorted(found, key=lambda one: (order.index(one.arm), one.generation))

    def _generation(self, record: dict[str, Any], depth: float | None) -> Generation:
        arm, generation = record["arm"], record["generation"]
        real = sum(one["count"] for one in record["composition"] if one["arm"] in REAL)
        others = [one for one in record["composition"] if one["arm"] not in REAL]
        eaten = ", ".join(f"{one['count']:g} of {one['arm']} {one['generation']}" for one in others)
        made, bias = self.study.file.samples, at(self.study.lineages[arm].sampling_bias, generation)
        table = Path(self.study.cell(arm, record["seed"], generation, "kept.parquet"))
        kept = len(store.read_kept(table).rows) if self.study.selects(arm) and table.exists() else self.study.kept(arm)
        synthetic = sum(one["count"] for one in others)
        return Generation(arm, generation, real, synthetic, eaten, depth, made, kept, bias)

    # -- models

    def parameters(self, model: str) -> int | None:
        """The numbers that a trained model consists of; None where none of its files is there."""
        for arm, seed, generation in self.study.base_cells():
            path = Path(self.study.cell(arm, seed, generation, "model.safetensors"))
            if self.study.model_of(arm) == model and path.exists():
                tensors, _ = store.read_tensors(path)
                weights = {name: one for name, one in tensors.items() if not name.startswith(NO_WEIGHTS)}
                return sum(one.size for name, one in weights.items() if name != "shape")
        return None

    @cached_property
    def flop(self) -> dict[str, float | None]:
        """The floating-point operations of all trainings and samplings of each model, as the study's plan counts them.

        None for a family that does not count: those whose fit is a formula.
        """
        found: dict[str, float | None] = {}
        for model, todo in work(self.study).items():
            family = MODELS[self.study.family(model)]
            found[model] = None
            if isinstance(family, Counts):
                each = family.flops_per_image(self.study.parsed_options(model), self.study.shape)
                found[model] = each["training"] * todo.trained + each["sampling"] * todo.sampled
        return found

    # -- costs

    @cached_property
    def costs(self) -> list[dict[str, Any]]:
        """What every job has cost whose cost is told."""
        return results.costs(self.study)

    @cached_property
    def joules(self) -> dict[str, float]:
        """Energy by where it is known from: ``nvml``, ``rapl``, ``estimate``."""
        found: dict[str, float] = defaultdict(float)
        for one in self.costs:
            if one.get("joules") is not None:
                found[one["energy_source"]] += one["joules"]
        return dict(found)

    @cached_property
    def period(self) -> tuple[str, str]:
        """The first and the last day (YYYY-MM-DD, UTC) on which a job has left its cost; empty where none is there.

        By what the cost files say of their start and end, else by the files' own dates.
        """
        places = [Cell(self.study.name, one["arm"], one["seed"], one["generation"]) for one in self.costs]
        files = [Path(cell.path(f"{one['verb']}.cost.json")) for cell, one in zip(places, self.costs, strict=True)]
        said = [_day(one[key]) for one in self.costs for key in ("began_at", "ended_at") if key in one]
        days = sorted(said or [_day(file.stat().st_mtime) for file in files if file.exists()])
        return (days[0], days[-1]) if days else ("", "")

    # -- measures

    def last(self, metric: str) -> list[tuple[str, str, str, float]]:
        """(arm, features, set, mean over seeds) of a metric and its named numbers, at each arm's last generation."""
        found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for record in self.records:
            lineage = self.study.lineages.get(record["arm"])
            if lineage is None or record["generation"] != lineage.generations:
                continue
            for value in record["values"]:
                name, _, part = value["metric"].partition(".")
                if name == metric and value["value"] is not None:
                    space = f"{value['extractor']}{f', {part}' if part else ''}"
                    found[record["arm"], space, value["set"]].append(value["value"])
        return [(*where, float(np.mean(numbers))) for where, numbers in found.items()]

    def measured(self, *names: str) -> list[str]:
        """Those of some metrics that the study measures."""
        return [name for name in names if name in self.study.metric_options()]

    @staticmethod
    def label(metric: str) -> str:
        """What a metric is called in figures."""
        return METRICS[metric].label

    # -- people

    @cached_property
    def judged(self) -> Any:
        """What people did; None where nobody judges."""
        return selected.judged(self.study)

    # -- files

    @cached_property
    def stored(self) -> list[tuple[str, str]]:
        """Every model and every released sample set that is there, with the SHA-256 recorded beside it."""
        found: dict[str, str] = {}
        if not self.study.file.together:
            cells = [(cell, self.study.model_file(*cell)) for cell in self.study.cells()]
            cells += [(cell, self.study.released_file(*cell)) for cell in self.study.cells()]
            for _, path in cells:
                if store.hash_path(Path(path)).exists() and Path(path).exists():
                    found.setdefault(path, store.recorded_hash(Path(path)))
        return list(found.items())


def _day(moment: float) -> str:
    """The day of a moment in seconds since 1970."""
    return datetime.fromtimestamp(moment, UTC).date().isoformat()
