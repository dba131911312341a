"""A study that can be run: its file, resolved against the registries."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import Any, Literal

from pydantic_core import to_json

from ..adapt import ADAPTERS
from ..compose.regimes import Recipe, Regime, at, recipe, sizes, start
from ..compose.supply import Used, used
from ..core.choice import Choice, nested
from ..core.needs import ALL
from ..core.seeds import Levels
from ..data import DATASETS
from ..features import FEATURES
from ..guides import GUIDES
from ..guides.base import Auxiliary
from ..metrics import METRICS
from ..models import MODELS
from ..populations import POPULATIONS
from ..rewards.asking import looked_through
from ..select import SELECTORS
from ..store import weights as published
from ..store.cells import Cell, left_by
from ..together.loop import Replicates as Replicated
from ..transforms import TRANSFORMS
from . import crossing, sampled
from .controls import calibrations, controls
from .file import CONTROLS, StudyFile
from .lineages import Lineage, of_arms, yoked
from .streams import digest, task_file
from .sweep import UNSWEPT, Sweep

SHARED_NOUNS = {*left_by("draw"), *left_by("train")}


class Study:
    """A study that can be run: the file, resolved against the registries."""

    def __init__(self, file: StudyFile, regimes: dict[str, Regime], sweep: Sweep = UNSWEPT):
        self.file, self.name, self.sweep = file, file.name, sweep
        self._regimes = regimes
        self._sizes: dict[str, list[int]] = {}
        self._recipes: dict[tuple[str, int], Recipe] = {}

    # The paths of the workflow, spelled once.

    def real_file(self, noun: str) -> str:
        """A file of the prepared real data."""
        return f"results/real/{self.real}/{noun}"

    def part_file(self, part: str) -> str:
        """A part of the real data, named by its rows: where in the order it begins, and how many it has.

        So what hangs on a part hangs on no other: with another number of held-out images nothing is trained again.
        """
        data, split = self.file.data, self.file.data.split
        if self.population_name is not None:
            told = f"-{digest(data.stream)}" if data.stream else ""
            stem = part if part == "population" else f"{part}-{split.held_out}{told}"
        else:
            stem = split.stem(part)
        return self.real_file(f"{stem}.safetensors")

    def cell(self, arm: str, seed: int, generation: int, noun: str) -> str:
        """A file of one generation; the training set and the model of generation 0 lie in the arm's base."""
        if generation == 0 and noun in SHARED_NOUNS and arm in self.lineages:
            arm = self.lineages[arm].base
        return Cell(self.name, arm, seed, generation).path(noun)

    def model_file(self, arm: str, seed: int, generation: int, role: Literal["trained", "adapted"] = "adapted") -> str:
        """The model of a generation: as it was trained, or, where the arm adapts its models, as it was adapted then."""
        adapts = role == "adapted" and arm in self.lineages and self.lineages[arm].adapters(generation)
        return self.cell(arm, seed, generation, "adapted.safetensors" if adapts else "model.safetensors")

    def released_file(self, arm: str, seed: int, generation: int) -> str:
        """The samples of a generation as others see them: with the arm's mark, and after its transforms."""
        return self.cell(arm, seed, generation, f"{self.lineages[arm].released}.safetensors")

    def report_file(self, noun: str) -> str:
        """A file of the study's report."""
        return f"results/{self.name}/report/{noun}"

    def table(self, arm: str, noun: str) -> str:
        """A file of all seeds of an arm, in a study that runs them together."""
        return f"results/{self.name}/{arm}/replicates.{noun}"

    def replicated(self, arm: str) -> Replicated:
        """An arm with all its seeds, as one job runs them together."""
        lineage = self.lineages[arm]
        generations = range(lineage.generations + 1)
        return Replicated(
            name=arm,
            family=self.family(lineage.model),
            options=self.model_options(lineage.model),
            population=self.population_name,
            population_options=self.population.options.model_dump(mode="json"),
            recipes=[self.recipe(arm, t) for t in generations],
            sampling_bias=[at(lineage.sampling_bias, t) for t in generations],
            stream=lineage.stream,
            samples=self.file.samples,
            study_seed=self.file.seed,
            seeds=self.file.seeds,
            metrics=self.metric_options(),
        )

    def cells(self) -> Iterator[tuple[str, int, int]]:
        """Every (arm, seed, generation) that is sampled and measured and counts, by the study's seeds."""
        for name, arm in self.lineages.items():
            yield from product([name], range(self.file.seeds), range(arm.generations + 1))

    def all_cells(self) -> Iterator[tuple[str, int, int]]:
        """The same with the lineages that only a table of variances is made of."""
        for name, arm in self.lineages.items():
            yield from product([name], self._seeds_of(arm), range(arm.generations + 1))

    def is_own(self, seed: int) -> bool:
        """Whether a seed is one of the study's, which count in every mean and interval."""
        return seed < self.file.seeds

    def _seeds_of(self, arm: Lineage) -> Iterable[int]:
        return self.levels if arm.calibrates is None else range(self.file.seeds)

    @cached_property
    def levels(self) -> dict[int, Levels]:
        """Which random numbers each seed takes: the study's own, then those that only a table of variances is of."""
        return crossing.levels(self.file)

    @cached_property
    def splits(self) -> list["Study"]:
        """The study as it is with each split of its real data: as it says it first, then as its variances ask."""
        count, data = 1 + max(one.split for one in self.levels.values()), self.file.data
        others = [data.model_copy(update={"split_seed": data.split_seed + further}) for further in range(1, count)]
        return [self, *(self._but(data=one) for one in others)]

    def longer(self, generations: int) -> "Study":
        """The same study with another number of generations."""
        return self._but(generations=generations)

    def _but(self, **said: Any) -> "Study":
        return Study(self.file.model_copy(update=said), self._regimes, self.sweep)

    def with_split(self, seed: int, real: str = "") -> "Study":
        """The study with the split of a seed, or with that whose data lie in a folder under ``results/real``."""
        return next((one for one in self.splits if one.real == real), self.splits[self.levels[seed].split])

    @cached_property
    def lineages(self) -> dict[str, Lineage]:
        """The arms in the file's order, the controls first, the calibrations last."""
        arms = of_arms(self.file, self._regimes)
        beside = controls(self.file, arms)
        chance = yoked(self.file, arms, {arm.name: self._wanted(arm) for arm in arms})
        enough = sampled.converged(self.file, arms, self.model_options)
        return {one.name: one for one in [*beside, *arms, *chance, *enough, *calibrations(self.file, arms)]}

    @cached_property
    def calibrations(self) -> dict[str, int]:
        """arm -> real images, of the arms that only calibrate."""
        return {name: arm.calibrates for name, arm in self.lineages.items() if arm.calibrates is not None}

    @cached_property
    def controls(self) -> dict[str, str]:
        """The control of each arm that has one: of the kinds that the study asks for, that of the first."""
        return self.controls_of(next(iter(CONTROLS[self.file.control]), ""))

    @cached_property
    def supplies(self) -> dict[str, str]:
        """The control with each arm's real rows alone, where it stands beside another control."""
        return self.controls_of("real_supply") if self.file.control == "both" else {}

    def controls_of(self, kind: str) -> dict[str, str]:
        """The control of a kind that stands beside each arm."""
        found = {arm: one.name for one in self.lineages.values() for arm in one.stands_beside.get(kind, ())}
        derived = self.yoked | {control: arm for arm, control in self.converged.items()}
        found |= {name: found[arm] for name, arm in derived.items() if arm in found}
        return {arm: found[arm] for arm in (*self.file.arms, *derived) if arm in found}

    @cached_property
    def yoked(self) -> dict[str, str]:
        """arm -> the arm of whose selectors it is the control, where chance keeps as many."""
        return {name: arm.yoked_to for name, arm in self.lineages.items() if arm.yoked_to}

    @cached_property
    def converged(self) -> dict[str, str]:
        """arm -> the arm beside it that takes enough of its sampler's steps."""
        return {arm: name for name, one in self.lineages.items() for arm in one.converges}

    @cached_property
    def used(self) -> dict[str, list[Used]]:
        """The distinct real rows and the generated samples that each arm has used by each generation."""
        loops = {name: arm.regime for name, arm in self.lineages.items() if arm.calibrates is None}
        train = None if self.population_name is not None else self.file.data.split.train
        return used(loops, self.file.generations, train, {name: self.kept(name) for name in loops})

    def sizes(self, arm: str) -> list[int]:
        """The rows of the training sets of an arm, from generation 0 on."""
        if arm not in self._sizes:
            lineage = self.lineages[arm]
            self._sizes[arm] = sizes(lineage.regime, arm, lineage.generations)
        return self._sizes[arm]

    @cached_property
    def measured(self) -> int:
        """Samples of every set that are measured: as many as the strictest selector of the study keeps.

        One number for all arms and sets, since the bias of most metrics depends on it.
        """
        return min(self.kept(arm) for arm in self.lineages)

    def kept(self, arm: str) -> int:
        """Samples of an arm's generation that its selector keeps."""
        return self._keeps(self.lineages[arm])

    def _wanted(self, arm: Lineage) -> int:
        try:
            return max(1, int(self._keeps(arm)))
        except Exception:  # whatever a stranger's function does: checks.entry_faults tells of it
            return 1

    def _keeps(self, arm: Lineage) -> int:
        count = self.file.samples
        for choice in arm.select:
            count = self.parsed(SELECTORS, choice).keeps(count)
        return count

    @staticmethod
    def parsed(registry: Mapping[str, Any], choice: Choice) -> Any:
        """The options of a choice, checked."""
        return registry[choice.name].Options.model_validate(dict(choice.options))

    @cached_property
    def classes_given(self) -> list[str]:
        """The arms whose own model is told which class to sample; a model of labels says itself which are drawn."""
        told = {arm: self.model_options(one.model).get("classes", 0) > 0 for arm, one in self.lineages.items()}
        return [arm for arm, one in self.lineages.items() if told[arm] and not one.drawn_by]

    @cached_property
    def bases(self) -> dict[str, Lineage]:
        """For each base the first arm that starts from it."""
        return {arm.base: arm for arm in reversed(self.lineages.values())}

    @cached_property
    def real(self) -> str:
        """The folder of the prepared data under ``results/real``: studies that say the same of their data share it."""
        data, name = self.file.data, self.origin.name
        said = {"source": name if data.source else None, "population": self.population_name}
        said |= {"options": dict(self.origin.options), "split_seed": data.split_seed}
        said |= ({"rare": data.rare} if data.rare else {}) | ({"planted": data.planted} if data.planted else {})
        text = to_json(said)
        return f"{name}-{hashlib.sha256(text).hexdigest()[:8]}"

    @property
    def origin(self) -> Choice:
        """Where real data comes from: the source, or the population."""
        return self.file.data.source or self.file.data.population

    @property
    def population_name(self) -> str | None:
        """The population that real data is drawn from; None where it comes from a source."""
        return None if self.file.data.population is None else self.file.data.population.name

    @cached_property
    def kind(self) -> str:
        """What the data are: images, vectors, categories, sequences or audio."""
        return self.dataset.gives if self.population_name is None else self.population.gives

    @cached_property
    def dataset(self) -> Any:
        """The data set that real images come from."""
        return DATASETS[self.origin.name].model_validate(dict(self.origin.options))

    @cached_property
    def population(self) -> Any:
        """The known truth that real data is drawn from."""
        kind = POPULATIONS[self.origin.name]
        return kind.population(kind.PopulationOptions.model_validate(dict(self.origin.options)))

    @cached_property
    def measured_in(self) -> list[str]:
        """The extractors whose features are measured."""
        return [choice.name for choice in self.file.extractors]

    @cached_property
    def extractors(self) -> list[str]:
        """Every extractor that the study uses: to measure, and for selectors and adapters to look through."""
        reads = (self.read_by, self.changed_by, self.adapted_by)
        read = [name for arm in self.lineages for reader in reads for name in reader(arm)]
        return list(dict.fromkeys([*self.measured_in, *read]))

    @cached_property
    def trained_extractors(self) -> list[str]:
        """Extractors that the pipeline trains on the real data."""
        return [name for name in self.extractors if FEATURES[name].needs.through == "learnt"]

    def extractor_options(self, name: str) -> dict[str, Any]:
        """The resolved options of an extractor, JSON-like."""
        said = next((choice.options for choice in self.file.extractors if choice.name == name), {})
        return self.parsed(FEATURES, Choice(name, said)).model_dump(mode="json")

    def extractor_file(self, noun: str, name: str) -> str:
        """A file that an extractor has made of the real data; with other options or of other parts it has another."""
        said = [self.extractor_options(name), self.part_file("train"), self.part_file("held_out")]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
        return self.real_file(f"{noun}-{name}.{digest}.safetensors")

    def weights(self, name: str) -> str:
        """The file of an extractor's weights; empty if it has none, or finds its published ones by itself."""
        if FEATURES[name].needs.through == "learnt":
            return self.extractor_file("weights", name)
        return self.extractor_options(name).get("weights") or ""

    def published_weights(self, name: str) -> str:
        """The hash of published weights, used where they lie. Raises ValueError where they are not there, or others."""
        return published.digest(published.find(FEATURES[name].needs.published, self.weights(name) or None))

    def model_of(self, arm: str) -> str:
        """The model of an arm, or of the arms that start from a base."""
        return self.lineage(arm).model

    def selects(self, arm: str) -> bool:
        """Whether somebody selects among the arm's samples; where nobody does, there is no table of kept rows."""
        return bool(self.lineages[arm].select)

    def selecting(self, arm: str, need: str) -> bool:
        """Whether one of the arm's selectors has a need: ``model``, ``mark``, ``ballots``, ``train`` or ``twin``."""
        return any(getattr(SELECTORS[one.name].needs, need) for one in self.lineages[arm].select)

    def transforming(self, arm: str, need: str) -> bool:
        """Whether one of the arm's transforms has a need: ``train``."""
        return any(getattr(TRANSFORMS[one.name].needs, need) for one in self.lineages[arm].transform)

    def eats_weighted(self, arm: str, generation: int) -> bool:
        """Whether a training set has rows to which a selector has given weights."""
        found = self.recipe(arm, generation)
        eaten = {draw.arm for draw in found.draws if not draw.is_real and not found.resamples}
        return any(SELECTORS[one.name].weighs for name in eaten for one in self._weighers(name))

    def _weighers(self, arm: str) -> tuple[Choice, ...]:
        """The selectors from whose tables the weights of an arm's samples come: chance takes over those of its twin."""
        lineage = self.lineages[arm]
        return self.lineages[lineage.yoked_to].select if lineage.yoked_to else lineage.select

    def read_by(self, arm: str) -> tuple[str, ...]:
        """The extractors that the arm's selectors look through."""
        return self._through(SELECTORS, self.lineages[arm].select)

    def changed_by(self, arm: str) -> tuple[str, ...]:
        """The extractors that the arm's transforms look through."""
        return self._through(TRANSFORMS, self.lineages[arm].transform)

    def _through(self, registry: Mapping[str, Any], choices: Iterable[Choice]) -> tuple[str, ...]:
        found = [name for one in choices for name in looked_through(registry[one.name], self.parsed(registry, one))]
        return tuple(dict.fromkeys(found))

    def adapted_by(self, arm: str) -> tuple[str, ...]:
        """The extractors that the arm's adapters look through."""
        return self._through(ADAPTERS, self.lineages[arm].adapt)

    def rewards(self, registry: Mapping[str, Any], choice: Choice | None) -> list[str]:
        """The rewards that an entry's options name."""
        return [one.name for one in nested(self.parsed(registry, choice), "rewards").values()] if choice else []

    def awaits_ballots(self, arm: str) -> bool:
        """Whether one of the arm's selectors waits for people."""
        return self.selecting(arm, "ballots")

    def model_options(self, model: str) -> dict[str, Any]:
        """The resolved options of a model, JSON-like."""
        return self.parsed_options(model).model_dump(mode="json")

    def family(self, model: str) -> str:
        """The family of a model."""
        return self.file.models[model].name

    def images_seen(self, arm: str, generation: int) -> int | None:
        """The budget of one training in images; None for families that have none."""
        lineage, train = self.lineage(arm), self.file.train
        if generation and lineage.replaced:
            return 0
        if train.epochs is not None:
            own = self.sizes(lineage.name)[generation]
            return at(train.epochs, generation) * (lineage.epochs_of[generation] if lineage.epochs_of else own)
        if train.images_seen is not None:
            return at(train.images_seen, generation)
        return self.model_options(lineage.model).get("images_seen")

    def chosen_by(self, arm: str, seed: int, generation: int) -> dict[str, str]:
        """What chooses the options that a model leaves open: ``validation`` images, later generation 0's ``model``.

        Empty for a model that leaves none open.
        """
        if not self.left_open(self.lineage(arm).model):
            return {}
        if generation == 0:
            return {"validation": self.part_file("validation")}
        return {"model": self.cell(arm, seed, 0, "model.safetensors")}

    def left_open(self, model: str) -> tuple[str, ...]:
        """The options of a model that generation 0 chooses on the validation split."""
        return self.parsed_options(model).left_open

    def metric_options(self) -> dict[str, dict[str, Any]]:
        """The metrics in the file's order, with all their options."""
        return {one.name: {**METRICS[one.name].options, **one.options} for one in self.file.metrics}

    def base_cells(self) -> Iterator[tuple[str, int, int]]:
        """Every (base, seed, 0) that is trained."""
        for name, arm in self.bases.items():
            yield from product([name], self._seeds_of(arm), (0,))

    def parsed_options(self, model: str) -> Any:
        """The options of a model, checked."""
        return self.parsed(MODELS, self.file.models[model])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.dataset.shape() if self.population_name is None else self.population.shape

    # What the rules hand to their jobs.

    def plan(self) -> str:
        """The study as JSON, for jobs that are about all of it; what is kept of it changes nothing that they find."""
        return self.sweep.plan(self.file)

    def recipe(self, arm: str, generation: int) -> Recipe:
        """What the arm's regime, or that of a base's arms, comes to at a generation."""
        where = arm, generation
        if where not in self._recipes:
            found = recipe(self.lineage(arm).regime, arm, generation)
            # Fresh rows are a task's own: none of an earlier generation stand before them.
            own = {"fresh_before": dict.fromkeys(found.fresh_before, 0)} if self.file.data.stream else {}
            self._recipes[where] = found.model_copy(update=own)
        return self._recipes[where]

    def needs_drawing(self, arm: str, generation: int) -> bool:
        """Whether a training set has rows that are made for it: draws from a population, new samples of ancestors."""
        found = self.recipe(arm, generation)
        population = self.population_name is not None
        return any(population if draw.is_real else found.resamples for draw in found.draws)

    def sources(self, arm: str, seed: int, generation: int) -> list[dict[str, Any]]:
        """The stored sample sets that a training set takes rows from."""
        found, sources = self.recipe(arm, generation), []
        for draw in found.draws:
            where = {"arm": draw.arm, "generation": draw.generation}
            if draw.is_real and self.population_name is None:
                stream = self.file.data.stream
                part = "fresh" if draw.arm == "fresh" and not stream else "train"
                of_task = {"kept": task_file(self, part, draw.generation)} if stream else {}
                sources.append(where | {"samples": self.part_file(part)} | of_task)
            elif not draw.is_real and not found.resamples:
                cell = (draw.arm, seed, draw.generation)
                kept = {"kept": self.cell(*cell, "kept.parquet")} if self.selects(draw.arm) else {}
                sources.append(where | {"samples": self.released_file(*cell)} | kept)
        return sources

    def resampled(self, arm: str, seed: int, generation: int) -> dict[str, str]:
        """The ancestors' models that a training set draws anew from: ``arm:generation`` -> file."""
        found = self.recipe(arm, generation)
        eaten = [draw for draw in found.draws if not draw.is_real] if found.resamples else []
        return {f"{d.arm}:{d.generation}": self.model_file(d.arm, seed, d.generation) for d in eaten}

    def init_file(self, arm: str, seed: int, generation: int) -> str | None:
        """The model that a training starts from; None for scratch."""
        found = start(self.lineage(arm).regime.init, generation)
        return self.model_file(arm, seed, *found) if isinstance(found, tuple) else found

    def ancestors(self, arm: str, seed: int, generation: int) -> list[str]:
        """The earlier models that the arm's adapters look at, as they were sampled, the oldest first."""
        asked = [ADAPTERS[one.name].needs.ancestors for one in self.lineages[arm].adapters(generation)]
        begin = 0 if ALL in asked else max(0, generation - max(asked))
        return [self.model_file(arm, seed, earlier) for earlier in range(begin, generation)]

    def auxiliaries(self, arm: str, generation: int) -> Mapping[str, Auxiliary]:
        """The further models that the arm's guide steers by at a generation, by role."""
        if arm not in self.lineages or (guide := self.lineages[arm].guide) is None:
            return {}
        return GUIDES[guide.name].auxiliary(self.parsed(GUIDES, guide), self.images_seen(arm, generation) or 0)

    def images_beside(self, arm: str, generation: int) -> int:
        """The images that are seen beside the training's: by the arm's adapters, and by its guide's further models."""
        adapts = self.lineages[arm].adapters(generation) if arm in self.lineages else ()
        adapted = sum(ADAPTERS[one.name].images(self.parsed(ADAPTERS, one)) for one in adapts)
        return adapted + sum(one.images_seen for one in self.auxiliaries(arm, generation).values())

    def measured_sets(self, arm: str) -> tuple[str, ...]:
        """Which samples of an arm are measured apart from the kept ones: raw where anything steers the sampler."""
        arm = self.lineages[arm]
        raw = ("raw",) if arm.sampling_bias != 1.0 or arm.guide else ()
        return ("sampled", *raw, *(("released",) if arm.released != "samples" else ()))

    def lineage(self, arm: str) -> Lineage:
        """An arm, or the first of those that start from a base."""
        return self.bases[arm] if arm in self.bases else self.lineages[arm]
