"""A study that can be run: its file, resolved against the registries."""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from ..compose.regimes import Recipe, Regime, at, draws, recipe, size
from ..data import DATASETS
from ..data.split import EATEN, starts
from ..features import FEATURES
from ..metrics import METRICS
from ..models import MODELS
from ..populations import POPULATIONS
from ..select import SELECTORS
from ..store import weights as published
from ..together.loop import Replicates as Replicated
from .file import StudyFile, named
from .lineages import Lineage, resolved

if TYPE_CHECKING:
    from ..theory.setting import Setting

SHARED_NOUNS = ("training.parquet", "model.safetensors", "drawn.safetensors", "train.cost.json")


class Study:
    """A study that can be run: the file, resolved against the registries."""

    def __init__(self, file: StudyFile, regimes: dict[str, Regime]):
        self.file = file
        self.name = file.name
        self._regimes = regimes

    # The paths of the workflow, spelled once.

    def real_file(self, noun: str) -> str:
        """A file of the prepared real data."""
        return f"results/real/{self.real}/{noun}"

    def part_file(self, part: str) -> str:
        """A part of the real data, named by its rows: where in the order it begins, and how many it has.

        So what hangs on a part hangs on no other: with another number of held-out images nothing is trained again.
        """
        split = self.file.data.split
        sizes = split.parts()
        if self.file.data.population is not None:
            stem = part if part == "population" else f"{part}-{split.held_out}"
        else:
            stem = f"{part}-{starts(sizes)[part]}-{sizes[part]}" if part in EATEN else f"{part}-{sizes[part]}"
        return self.real_file(f"{stem}.safetensors")

    def cell(self, arm: str, seed: int, generation: int, noun: str) -> str:
        """A file of one generation; the training set and the model of generation 0 lie in the arm's base."""
        if generation == 0 and noun in SHARED_NOUNS and arm in self.lineages:
            arm = self.lineages[arm].base
        return f"results/{self.name}/{arm}/seed{seed}/gen{generation}/{noun}"

    def report_file(self, noun: str) -> str:
        """A file of the study's report."""
        return f"results/{self.name}/report/{noun}"

    def table(self, arm: str, noun: str) -> str:
        """A file of all seeds of an arm, in a study that runs them together."""
        return f"results/{self.name}/{arm}/replicates.{noun}"

    def replicated(self, arm: str) -> Replicated:
        """An arm with all its seeds, as one job runs them together."""
        lineage, data = self.lineages[arm], self.file.data
        generations = range(lineage.generations + 1)
        return Replicated(
            name=arm,
            family=self.family(lineage.model),
            options=self.model_options(lineage.model),
            population=data.population,
            population_options=self.population.options.model_dump(mode="json"),
            recipes=[self.recipe(arm, t) for t in generations],
            sampling_bias=[at(lineage.sampling_bias, t) for t in generations],
            stream=lineage.stream,
            samples=self.file.samples,
            study_seed=self.file.seed,
            seeds=self.file.seeds,
            metrics=self.metric_options(),
        )

    def setting(self, arm: str) -> "Setting":
        """An arm as far as a law of theory depends on it."""
        from ..theory.setting import Setting  # brings scipy, which a plan does without

        lineage, data = self.lineages[arm], self.file.data
        truth = None if data.population is None else self.population
        family, options = self.family(lineage.model), self.model_options(lineage.model)
        how = (lineage.regime, lineage.generations, lineage.sampling_bias, lineage.selector, lineage.select_options)
        return Setting(family, options, data.population, truth, *how, self.file.samples)

    def rows(self, arm: str) -> tuple[int, int]:
        """How many real and how many synthetic rows the last training set of an arm is drawn from.

        A budget takes some of them: the loop has met the others, and their shares are the same.
        """
        lineage = self.lineages[arm]
        pool = draws(lineage.regime, arm, lineage.generations)
        real = sum(draw.count for draw in pool if draw.is_real)
        return real, sum(draw.count for draw in pool) - real

    def cells(self) -> Iterator[tuple[str, int, int]]:
        """Every (arm, seed, generation) that is sampled and measured."""
        for name, arm in self.lineages.items():
            yield from product([name], range(self.file.seeds), range(arm.generations + 1))

    @cached_property
    def lineages(self) -> dict[str, Lineage]:
        """The arms in the file's order, the control first, the calibrations last."""
        return resolved(self.file, self._regimes)

    @cached_property
    def calibrations(self) -> dict[str, int]:
        """arm -> real images, of the arms that only calibrate."""
        return {name: arm.calibrates for name, arm in self.lineages.items() if arm.calibrates is not None}

    @cached_property
    def controls(self) -> dict[str, str]:
        """The control of each arm that has one: the one with the same model."""
        by_model = {arm.model: arm.name for arm in self.lineages.values() if arm.is_control}
        return {
            arm.name: by_model[arm.model]
            for arm in self.lineages.values()
            if arm.model in by_model and not arm.is_control and arm.calibrates is None
        }

    @cached_property
    def measured(self) -> int:
        """Samples of every set that are measured: as many as the strictest selector of the study keeps.

        One number for all arms and sets, since the bias of most metrics depends on it.
        """
        return min(self.kept(arm) for arm in self.lineages)

    def kept(self, arm: str) -> int:
        """Samples of an arm's generation that its selector keeps."""
        return round(self.file.samples * self.lineages[arm].select_options.get("share", 1))

    @cached_property
    def classes_given(self) -> bool:
        """Whether a model of the study is told which class to sample."""
        return any(self.model_options(model).get("classes", 0) > 0 for model in self.file.models)

    @cached_property
    def bases(self) -> dict[str, Lineage]:
        """For each base the first arm that starts from it."""
        return {arm.base: arm for arm in reversed(self.lineages.values())}

    @cached_property
    def real(self) -> str:
        """The folder of the prepared data under ``results/real``: studies that say the same of their data share it."""
        data = self.file.data
        text = data.model_dump_json(exclude={"split"} if data.rare else {"split", "rare"})
        return f"{data.source or data.population}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @cached_property
    def kind(self) -> str:
        """What the data are: images, vectors or categories."""
        return "images" if self.file.data.source is not None else self.population.gives

    @cached_property
    def dataset(self) -> Any:
        """The data set that real images come from."""
        data = self.file.data
        return DATASETS[data.source].model_validate({"source": data.source, **data.options})

    @cached_property
    def population(self) -> Any:
        """The known truth that real data is drawn from."""
        data = self.file.data
        kind = POPULATIONS[data.population]
        return kind.population(kind.PopulationOptions.model_validate(data.options))

    @cached_property
    def measured_in(self) -> list[str]:
        """The extractors whose features are measured."""
        return [name for entry in self.file.extractors for name in named(entry)]

    @cached_property
    def extractors(self) -> list[str]:
        """Every extractor that the study uses: to measure, and for selectors to look through."""
        read = [self.read_by(arm) for arm in self.lineages]
        return list(dict.fromkeys([*self.measured_in, *(name for name in read if name)]))

    @cached_property
    def trained_extractors(self) -> list[str]:
        """Extractors that the pipeline trains on the real data."""
        return [name for name in self.extractors if FEATURES[name].trained]

    def extractor_options(self, name: str) -> dict[str, Any]:
        """The resolved options of an extractor, JSON-like."""
        said = next((named(entry)[name] for entry in self.file.extractors if name in named(entry)), {})
        options = FEATURES[name].Options
        return options.model_validate(said).model_dump(mode="json") if options else {}

    def extractor_file(self, noun: str, name: str) -> str:
        """A file that an extractor has made of the real data; with other options or of other parts it has another."""
        said = [self.extractor_options(name), self.part_file("train"), self.part_file("held_out")]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
        return self.real_file(f"{noun}-{name}.{digest}.safetensors")

    def weights(self, name: str) -> str:
        """The file of an extractor's weights; empty if it has none, or finds its published ones by itself."""
        if FEATURES[name].trained:
            return self.extractor_file("weights", name)
        return self.extractor_options(name).get("weights") or ""

    def published_weights(self, name: str) -> str:
        """The hash of the weights that somebody published, which the study uses where they lie.

        Raises ValueError where they are not there, or are others.
        """
        return published.digest(published.find(FEATURES[name].published, self.weights(name) or None))

    def model_of(self, arm: str) -> str:
        """The model of an arm, or of the arms that start from a base."""
        return self.lineage(arm).model

    def selects(self, arm: str) -> bool:
        """Whether somebody selects among the arm's samples; where nobody does, there is no table of kept rows."""
        return self.lineages[arm].selector != "nobody"

    def read_by(self, arm: str) -> str | None:
        """The extractor that the arm's selector looks through."""
        return SELECTORS[self.lineages[arm].selector].reads

    def model_options(self, model: str) -> dict[str, Any]:
        """The resolved options of a model, JSON-like."""
        return self.parsed_options(model).model_dump(mode="json")

    def family(self, model: str) -> str:
        """The family of a model."""
        return self.file.models[model].family

    def images_seen(self, arm: str, generation: int) -> int | None:
        """The budget of one training in images; None for families that have none."""
        lineage, train = self.lineage(arm), self.file.train
        if train.epochs is not None:
            return at(train.epochs, generation) * size(lineage.regime, lineage.name, generation)
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
        wanted = [pair for entry in self.file.metrics for pair in named(entry).items()]
        return {name: {**METRICS[name].options, **options} for name, options in wanted}

    def base_cells(self) -> Iterator[tuple[str, int, int]]:
        """Every (base, seed, 0) that is trained."""
        yield from product(self.bases, range(self.file.seeds), (0,))

    def parsed_options(self, model: str) -> Any:
        """The options of a model, checked."""
        spec = self.file.models[model]
        return MODELS[spec.family].Options.model_validate(spec.model_extra or {})

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.dataset.shape() if self.file.data.source is not None else self.population.shape

    # What the rules hand to their jobs.

    def plan(self) -> str:
        """The study as JSON, for jobs that are about all of it."""
        return self.file.model_dump_json(by_alias=True, exclude_unset=True)

    def recipe(self, arm: str, generation: int) -> Recipe:
        """What the arm's regime, or that of a base's arms, comes to at a generation."""
        return recipe(self.lineage(arm).regime, arm, generation)

    def needs_drawing(self, arm: str, generation: int) -> bool:
        """Whether a training set has rows that are made for it: draws from a population, new samples of ancestors."""
        found = self.recipe(arm, generation)
        population = self.file.data.population is not None
        return any(population if draw.is_real else found.resamples for draw in found.draws)

    def sources(self, arm: str, seed: int, generation: int) -> list[dict[str, Any]]:
        """The stored sample sets that a training set takes rows from."""
        found, sources = self.recipe(arm, generation), []
        for draw in found.draws:
            where = {"arm": draw.arm, "generation": draw.generation}
            if draw.is_real and self.file.data.population is None:
                part = "fresh" if draw.arm == "fresh" else "train"
                sources.append(where | {"samples": self.part_file(part)})
            elif not draw.is_real and not found.resamples:
                files = {"samples": "samples.safetensors"}
                files |= {"kept": "kept.parquet"} if self.selects(draw.arm) else {}
                paths = {key: self.cell(draw.arm, seed, draw.generation, noun) for key, noun in files.items()}
                sources.append(where | paths)
        return sources

    def resampled(self, arm: str, seed: int, generation: int) -> dict[str, str]:
        """The ancestors' models that a training set draws anew from: ``arm:generation`` -> file."""
        found = self.recipe(arm, generation)
        eaten = [draw for draw in found.draws if not draw.is_real] if found.resamples else []
        return {f"{d.arm}:{d.generation}": self.cell(d.arm, seed, d.generation, "model.safetensors") for d in eaten}

    def init_file(self, arm: str, seed: int, generation: int) -> str | None:
        """The model that a training starts from; None for scratch."""
        init = self.lineage(arm).regime.init
        if hasattr(init, "weights"):
            if generation == 0 or init.then == "weights":
                return init.weights
            init = init.then
        if generation == 0 or init == "scratch":
            return None
        start = generation - 1 if init == "previous" else min(init.generation, generation - 1)
        return self.cell(arm, seed, start, "model.safetensors")

    def measured_sets(self, arm: str) -> tuple[str, ...]:
        """Which samples of an arm are measured apart from the kept ones."""
        return ("sampled", "raw") if self.lineages[arm].sampling_bias != 1.0 else ("sampled",)

    def lineage(self, arm: str) -> Lineage:
        """An arm, or the first of those that start from a base."""
        return self.bases[arm] if arm in self.bases else self.lineages[arm]
