"""A study, read from YAML and checked at the edge: all faults are reported together, before any work.

Whatever passes :func:`load` is right: nothing behind it checks again. What a study says in words (the name of a
regime, a preset, an extractor) is resolved here against the registries.
"""

import difflib
import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, create_model

from . import store
from .adapt import ADAPTERS
from .compose.regimes import (
    REAL,
    REGIMES,
    Bias,
    Budget,
    Init,
    Initial,
    Positive,
    Recipe,
    Regime,
    at,
    draws,
    fresh_before,
    real_only,
    recipe,
    size,
)
from .core.ask import Ask
from .core.errors import Diverged
from .core.run import Run
from .core.sets import TrainingSet
from .data import DATASETS
from .data.split import check_sizes
from .features import FEATURES
from .guidance import GUIDES
from .measure.record import Against
from .metrics import METRICS, Metric
from .models import MODELS
from .models.capabilities import Judges, Knows
from .populations import POPULATIONS
from .select import SELECTORS
from .store import weights as published
from .throughput import Work
from .together.loop import FAMILIES as REPLICATED
from .together.loop import Replicates as Replicated
from .together.measures import MEASURES

if TYPE_CHECKING:
    from .theory.setting import Setting

CONFIG_BYTES_MAX = 1_000_000
CONFIG_NODES_MAX = 100_000  # aliases can make a small file expand without bound,
CONFIG_DEPTH_MAX = 100  # and contain themselves
HEADER_BYTES_MAX = 10_000_000  # of a file of weights
SHARED_NOUNS = ("training.parquet", "model.safetensors", "drawn.safetensors", "train.cost.json")
MOST_TRIED = 500  # rows that a formula is fitted to as a trial
LARGEST_TRIED = 2**24  # bytes of a model that is fitted as a trial
RESERVED_ARMS = {*REAL, "self", "report", "reference"}
FAIRNESS = {
    "training_set_size": "all arms have the same training-set size at each generation",
    "images_seen": "all arms see the same number of images in training at each generation",
    "init": "all arms start their trainings from the same kind of model",
}


class Fault(NamedTuple):
    """One thing that is wrong with a study."""

    path: tuple[str | int, ...]
    message: str


class BadStudy(ValueError):
    """A study cannot be run; the message lists every fault with its file, line and key."""

    def __init__(self, path: Path, faults: list[Fault], lines: Mapping[tuple[str | int, ...], int] | None = None):
        lines = lines or {}
        self.faults = faults = sorted(faults, key=lambda fault: _line(fault.path, lines))
        rows = [f"  {_place(fault.path, lines)}{fault.message}".replace("\n", "\n    ") for fault in faults]
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{path}: {count}", *rows]))


def _place(key: tuple[str | int, ...], lines: Mapping[tuple[str | int, ...], int]) -> str:
    """``line 12: arms.fresh.regime: ``."""
    line = _line(key, lines)
    return (f"line {line}: " if line else "") + (f"{'.'.join(map(str, key))}: " if key else "")


def _line(key: tuple[str | int, ...], lines: Mapping[tuple[str | int, ...], int]) -> int:
    """The nearest line that the file has for the key; 0 if there is none."""
    return next((lines[key[:length]] for length in range(len(key), -1, -1) if key[:length] in lines), 0)


# -- the file's shape -------------------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _name_in(registry: Mapping[str, Any]) -> Any:
    return Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(registry)})]


STUDY_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"  # of an arm or a model: a hyphen parts the names of bases
Name = Annotated[str, Field(pattern=NAME_PATTERN, description="letters, digits and underscores")]


def _whole_number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdigit() else key  # JSON has no other keys than strings


Label = Annotated[int, Field(ge=0), BeforeValidator(_whole_number)]


class Split(_Part):
    """How many real images go where: once, by seed, for the whole study."""

    train: int = Field(0, ge=0, description="images that training sets draw fixed and redrawn rows from")
    held_out: int = Field(ge=2, description="images that the metrics compare with, never trained on")
    fresh: int = Field(0, ge=0, description="images that fresh rows are drawn from, without replacement")
    validation: int = Field(0, ge=0, description="images that generation 0 chooses the length of its average on")

    def parts(self) -> dict[str, int]:
        """The images in each part; a validation split that nobody asks for is not there."""
        return self.model_dump(exclude=set() if self.validation else {"validation"})


class Data(_Part):
    """Real data: images from a source, or a known population to draw from."""

    source: _name_in(DATASETS) | None = Field(None, description="where real images come from")
    population: _name_in(POPULATIONS) | None = Field(
        None, description="a model with known parameters: real data is drawn from it"
    )
    options: dict[str, Any] = Field({}, description="options of the source or the population")
    split: Split
    split_seed: int = Field(0, ge=0, description="the split belongs to the study, not to its replicates")
    rare: dict[Label, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {}, description="{label: share}: classes that are thinned to a share of the real images, to see them die out"
    )


class ModelSpec(_Part):
    """A model family with its options."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    family: _name_in(MODELS)


class Train(_Part):
    """The budget of one training; the models' own defaults where it says nothing."""

    images_seen: Budget | None = Field(
        None, description="images that each training sees, repeats counted; 0: published weights stay as they are"
    )
    epochs: Positive | None = Field(None, description="instead of images_seen: passes over the training set")


class Endpoint(_Part):
    """The number that the verdict is about, named before the study runs."""

    metric: _name_in(METRICS) = "recall"
    extractor: _name_in(FEATURES)


class Arm(_Part):
    """One setting compared in the study."""

    model: str = Field(description="a name under models")
    regime: str | dict[str, Any] = Field(
        description="a preset's name; {preset: name, ...its numbers}; or the algebra itself"
    )
    sampling_bias: Bias = 1.0
    select: str | dict[str, Any] = Field("nobody", description="a selector's name, or {selector: name, ...its options}")
    adapt: _name_in(ADAPTERS) | None = Field(None, description="what is done to the model after training")
    guide: _name_in(GUIDES) | None = Field(None, description="what steers the sampler besides the model")
    stream: int = Field(
        0, ge=0, description="random stream of the samples: arms that feed one another need different ones"
    )
    about: str = Field("", description="one line for the report")


class StudyFile(_Part):
    """What a study's file may say."""

    name: Annotated[str, Field(pattern=STUDY_NAME_PATTERN, description="the file's name without .yaml")]
    question: str = Field("", description="the question that the study asks, for the report")
    seed: int = Field(0, ge=0, description="the study's seed: every random number follows from it")
    seeds: int = Field(ge=1, le=10_000, description="replicates of every arm")
    generations: int = Field(ge=0, le=2_000, description="generations after generation 0")
    data: Data
    models: dict[Name, ModelSpec] = Field(min_length=1)
    initial: Initial
    init: Init = Field("scratch", description="what each training starts from, unless an arm says otherwise")
    train: Train = Train()
    samples: int = Field(ge=1, description="samples that each model gives at each generation, all of them measured")
    grid: int = Field(40, ge=1, description="samples in the report's picture of a generation")
    extractors: list[_name_in(FEATURES) | dict[str, dict[str, Any]]] = Field(
        min_length=1, description="names, or {name: options}"
    )
    reference: Against = Field("held_out", description="the real samples that metrics compare with")
    metrics: list[_name_in(METRICS) | dict[str, dict[str, Any]]] = Field(
        min_length=1, description="names, or {name: options}"
    )
    primary: Endpoint
    arms: dict[Name, Arm] = Field(min_length=1)
    control: Literal["real_only", "none"] = "real_only"
    calibration: list[Annotated[int, Field(ge=2, le=1_000_000_000)]] = Field(
        [],
        description="numbers of real images: for each a model of them alone, by which the report says how many real "
        "images an arm's limit is worth",
    )
    together: bool = Field(
        False,
        description="all seeds of an arm in one job and one table, for families whose fit is a formula; metrics are of "
        "their exact moments",
    )
    waive: dict[Literal[tuple(FAIRNESS)], Annotated[str, Field(min_length=1)]] = Field(
        {}, description="fairness rules that this study breaks, and why"
    )


# -- what it comes to -------------------------------------------------------------------------------------------------


class Lineage(NamedTuple):
    """One arm of a study, resolved."""

    name: str
    base: str  # the arm under which its generation 0 is trained
    model: str
    regime: Regime
    sampling_bias: float | dict[int, float]
    selector: str
    select_options: dict[str, Any]
    stream: int
    about: str
    is_control: bool
    generations: int  # the last one
    calibrates: int | None = None  # real images, where it is one of the study's calibrations


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
        from .theory.setting import Setting  # brings scipy, which a plan does without

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
        arms = {}
        for name, arm in self.file.arms.items():
            selector, options = _select(arm.select)
            regime = self._regimes[name]
            base = self._base(arm.model, regime)
            bias = arm.sampling_bias
            shown, last = (arm.stream, arm.about, False), self.file.generations
            arms[name] = Lineage(name, base, arm.model, regime, bias, selector, options, *shown, last)
        beside = [*self._controls(list(arms.values())), *self._calibrations(list(arms.values()))]
        controls = {one.name: one for one in beside if one.is_control}
        return controls | arms | {one.name: one for one in beside if not one.is_control}

    def _base(self, model: str, regime: Regime) -> str:
        """The arm under which generation 0 is trained: one for each model, and for each other start that arms name."""
        start, usual = _base_init(regime.init), _base_init(self.file.init)
        other = [f"n{regime.initial.real}"] if regime.initial != self.file.initial else []
        if start != usual:
            other.append(start if start == "scratch" else hashlib.sha256(start.encode()).hexdigest()[:8])
        return "-".join([f"base_{model}", *other])  # a hyphen stands in no model's name

    def _controls(self, arms: list[Lineage]) -> Iterator[Lineage]:
        """The real-only control at the arms' total size, one for each model."""
        if self.file.control == "none":
            return
        models = list(dict.fromkeys(arm.model for arm in arms))
        for model in models:
            name = "control" if len(models) == 1 else f"control_{model}"
            first = next(arm for arm in arms if arm.model == model)
            sizes = {t: size(first.regime, first.name, t) for t in range(1, self.file.generations + 1)}
            n = _shortest(sizes) if sizes else self.file.initial.real
            regime = real_only(n=n, initial=self.file.initial.real).model_copy(update={"init": self.file.init})
            about = "real data only, at the arms' total size"
            yield Lineage(
                name, f"base_{model}", model, regime, 1.0, "nobody", {}, 0, about, True, self.file.generations
            )

    def _calibrations(self, arms: list[Lineage]) -> Iterator[Lineage]:
        """Models of generation 0 alone, each of another number of real images, for every model of the arms."""
        models = list(dict.fromkeys(arm.model for arm in arms))
        for model, n in product(models, self.file.calibration):
            name = f"real_n{n}" if len(models) == 1 else f"real_{model}_n{n}"
            regime = real_only(n=n, initial=n).model_copy(update={"init": self.file.init})
            about = f"{n} real images alone, to compare limits with"
            base = self._base(model, regime)
            yield Lineage(name, base, model, regime, 1.0, "nobody", {}, 0, about, False, 0, n)

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
        return min(self._kept(arm) for arm in self.lineages)

    def _kept(self, arm: str) -> int:
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
        said = data.model_dump(mode="json", exclude=set() if data.rare else {"rare"}) | {"split": data.split.parts()}
        text = json.dumps(said, sort_keys=True)
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
        return [name for entry in self.file.extractors for name in _named(entry)]

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
        said = next((_named(entry)[name] for entry in self.file.extractors if name in _named(entry)), {})
        options = FEATURES[name].Options
        return options.model_validate(said).model_dump(mode="json") if options else {}

    def extractor_file(self, noun: str, name: str) -> str:
        """A file that an extractor has made of the real data; one with other options has another."""
        options, usual = self.extractor_options(name), FEATURES[name].Options
        if not usual or options == usual().model_dump(mode="json"):
            return self.real_file(f"{noun}-{name}.safetensors")
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
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
        return self._of(arm).model

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
        lineage, train = self._of(arm), self.file.train
        if train.epochs is not None:
            return at(train.epochs, generation) * size(lineage.regime, lineage.name, generation)
        if train.images_seen is not None:
            return at(train.images_seen, generation)
        return self.model_options(lineage.model).get("images_seen")

    def chosen_by(self, arm: str, seed: int, generation: int) -> dict[str, str]:
        """What chooses the options that a model leaves open: ``validation`` images, later generation 0's ``model``.

        Empty for a model that leaves none open.
        """
        if not self._left_open(self._of(arm).model):
            return {}
        if generation == 0:
            return {"validation": self.real_file("validation.safetensors")}
        return {"model": self.cell(arm, seed, 0, "model.safetensors")}

    def _left_open(self, model: str) -> tuple[str, ...]:
        """The options of a model that generation 0 chooses on the validation split."""
        return self.parsed_options(model).left_open

    def metric_options(self) -> dict[str, dict[str, Any]]:
        """The metrics in the file's order, with all their options."""
        wanted = [pair for entry in self.file.metrics for pair in _named(entry).items()]
        return {name: {**METRICS[name].options, **options} for name, options in wanted}

    def base_cells(self) -> Iterator[tuple[str, int, int]]:
        """Every (base, seed, 0) that is trained."""
        yield from product(self.bases, range(self.file.seeds), (0,))

    def work(self) -> dict[str, Work]:
        """The images that each model sees in training and makes, over all arms, seeds and generations.

        A closed form sees its training set once.
        """
        trained, sampled = dict.fromkeys(self.file.models, 0), dict.fromkeys(self.file.models, 0)
        for arm, _, generation in [*self.base_cells(), *(cell for cell in self.cells() if cell[2])]:
            lineage, budget = self._of(arm), self.images_seen(arm, generation)
            rows = size(lineage.regime, lineage.name, generation)
            trained[lineage.model] += rows if budget is None else budget
        for arm, _, _ in self.cells():
            number = len(self.measured_sets(arm)) * self.file.samples + (0 if self.file.together else self.file.grid)
            sampled[self.lineages[arm].model] += number
        return {name: Work(trained[name], sampled[name]) for name in self.file.models}

    def parsed_options(self, model: str) -> Any:
        """The options of a model, checked."""
        spec = self.file.models[model]
        return MODELS[spec.family].Options.model_validate(spec.model_extra or {})

    # What a reader is told.

    def totals(self) -> dict[str, str]:
        """What the whole study comes to, in words and numbers."""
        cells, bases = list(self.cells()), list(self.base_cells())
        trained = [*bases, *(cell for cell in cells if cell[2])]
        budgets = [self.images_seen(arm, generation) or 0 for arm, _, generation in trained]
        sampled = sum(len(self.measured_sets(arm)) for arm, _, _ in cells) * self.file.samples
        pictures = 0 if self.file.together else len(cells) * self.file.grid
        values = len(cells) * (2 + len(self.metric_options())) * 8
        disk = values if self.file.together else self._disk_bytes(trained, sampled + pictures)
        return {
            "arms (with the control)": str(len(self.lineages)),
            "lineages": str(len(self.lineages) * self.file.seeds),
            "trainings": f"{len(trained)}, of which {len(bases)} of generation 0 are shared by arms",
            "images seen in training": f"{sum(budgets):,}" if any(budgets) else "closed form",
            "samples": f"{sampled:,}" + (f", and {pictures:,} for pictures" if pictures else ""),
            "disk": f"{disk / 2**20:,.0f} MiB" + ("" if self.file.together else " and features"),
        }

    def _disk_bytes(self, trained: list[tuple[str, int, int]], samples: int) -> int:
        """What samples and models take."""
        shape = self.shape
        row = math.prod(shape) * (1 if self.kind == "images" else 8)  # bytes: uint8, or float64 and int64

        @cache
        def stored(model: str, rows: int) -> int:
            return MODELS[self.family(model)].stored_bytes(self.parsed_options(model), shape, rows)

        models = 0
        for arm, _, generation in trained:
            lineage = self._of(arm)
            keeps_rows = not MODELS[self.family(lineage.model)].uses_torch  # a network is not outlined for each number
            models += stored(lineage.model, keeps_rows * size(lineage.regime, lineage.name, generation))
        return samples * row + models

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.dataset.shape() if self.file.data.source is not None else self.population.shape

    def describe_data(self) -> str:
        """One line on the real data."""
        data, split = self.file.data, self.file.data.split
        if data.population is not None:
            return f"a known {data.population} population, drawn anew for each seed; {split.held_out} held-out draws"
        parts = f"{split.train} to train on, {split.held_out} held out, {split.fresh} fresh"
        parts += f", {split.validation} for validation" if split.validation else ""
        rare = ", ".join(f"class {label} thinned to a share of {share:g}" for label, share in data.rare.items())
        seed = f"split seed {data.split_seed}{f'; {rare}' if rare else ''}"
        return f"{data.source}: {parts} ({seed}). {self.dataset.citation}"

    def describe_model(self, model: str) -> str:
        """One line on a model."""
        said = self.file.models[model].model_extra or {}
        return self.family(model) + "".join(f", {key} {value}" for key, value in said.items())

    def describe_arm(self, arm: str) -> dict[str, Any]:
        """An arm's options, flat, as they differ between arms."""
        lineage = self.lineages[arm]
        in_file = self.file.arms.get(arm)
        role = {"control": True} if lineage.is_control else {"calibration": lineage.calibrates}
        said = in_file.model_dump(mode="json", exclude_unset=True) if in_file else role
        regime = lineage.regime.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        model = self.model_options(lineage.model)
        return said | {
            "regime": json.dumps(said.get("regime", "real_only")),
            "composition": json.dumps(regime, sort_keys=True),
            "sampling_bias": json.dumps(lineage.sampling_bias),
            "family": self.family(lineage.model),
            **{f"model.{key}": value for key, value in model.items()},
        }

    @staticmethod
    def rule(name: str) -> str:
        """A fairness rule in words."""
        return FAIRNESS[name]

    # What the rules hand to their jobs.

    def plan(self) -> str:
        """The study as JSON, for jobs that are about all of it."""
        return self.file.model_dump_json(by_alias=True, exclude_unset=True)

    def recipe(self, arm: str, generation: int) -> Recipe:
        """What the arm's regime, or that of a base's arms, comes to at a generation."""
        return recipe(self._of(arm).regime, arm, generation)

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
                sources.append(where | {"samples": self.real_file(f"{part}.safetensors")})
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
        init = self._of(arm).regime.init
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

    def _of(self, arm: str) -> Lineage:
        return self.bases[arm] if arm in self.bases else self.lineages[arm]


def _base_init(init: Any) -> str:
    """What generation 0 starts from: only a file of weights exists before it."""
    return getattr(init, "weights", "scratch")


def _shortest(sizes: dict[int, int]) -> int | dict[int, int]:
    """The same schedule with only the generations at which it changes."""
    changes = {t: n for t, n in sizes.items() if n != sizes.get(t - 1)}
    return changes if len(changes) > 1 else next(iter(changes.values()))


def _named(entry: str | dict[str, Any]) -> dict[str, Any]:
    return {entry: {}} if isinstance(entry, str) else entry


def _select(spec: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    return spec.get("selector", ""), {key: value for key, value in spec.items() if key != "selector"}


# -- reading ----------------------------------------------------------------------------------------------------------


def load(path: Path) -> Study:
    """The study in a file. Raises BadStudy with every fault that was found."""
    path = Path(path)
    raw, lines, faults = _parse(path)
    study, more = _check(raw, path.stem)
    told = {fault.path for fault in faults}
    faults += [fault for fault in more if fault.path not in told]
    if faults:
        raise BadStudy(path, faults, lines)
    return study


STUDIES = Path("config")  # where the workflow finds studies


def find(name: str) -> Study:
    """The study of a name, which is that of a file under ``config/``, or of a YAML file.

    Raises BadStudy with every fault that was found.
    """
    path = Path(name)
    is_file = path.suffix in (".yaml", ".yml")
    if not is_file and not re.fullmatch(STUDY_NAME_PATTERN, name):
        found = f"found {name!r}; allowed is the name of a study in {STUDIES}/, or a YAML file"
        raise BadStudy(STUDIES, [Fault((), found)])
    return load(path if is_file else STUDIES / f"{name}.yaml")


def of_workflow(said: Mapping[str, Any]) -> Study:
    """The study that ``snakemake --config study=NAME`` names; quickstart where nothing is said.

    Raises BadStudy, too, where anything else is said: options of a study stand in its file alone.
    """
    call = "say snakemake --config study=NAME, and the rest in config/NAME.yaml"
    if unknown := [key for key in said if key != "study"]:
        listed = ", ".join(map(repr, unknown))
        raise BadStudy(Path("--config"), [Fault((), f"found {listed}; the one key allowed is study: {call}")])
    name = said.get("study", "quickstart")
    if not isinstance(name, str) or not name:
        raise BadStudy(Path("--config"), [Fault(("study",), f"found {name!r}; allowed is a study's name: {call}")])
    return find(name)


def from_plan(text: str) -> Study:
    """The study that a rule handed on as JSON (see ``Study.plan``): the file may have changed since."""
    raw = json.loads(text)
    study, faults = _check(raw, raw["name"])
    if faults:
        raise BadStudy(Path(f"{raw['name']}.yaml"), faults)
    return study


def _parse(path: Path) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int], list[Fault]]:
    """What a file says, the line of every key, and the faults that only the file shows."""
    try:
        if (size := path.stat().st_size) > CONFIG_BYTES_MAX:
            raise BadStudy(path, [Fault((), f"holds {size} bytes; a study has at most {CONFIG_BYTES_MAX}")])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        found = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise BadStudy(path, [Fault((), f"no such study; found in {path.parent}: {found}")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadStudy(path, [Fault((), f"cannot be read: {error}")]) from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines, faults = _survey(node)
        raw = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise BadStudy(path, [Fault((), f"is not YAML: {' '.join(str(error).split())}")]) from None
    except (RecursionError, ValueError) as error:
        raise BadStudy(path, [Fault((), f"cannot be read as a study: {error}")]) from None
    if not isinstance(raw, dict):
        raise BadStudy(path, [Fault((), f"a study is a mapping of keys to values; found {type(raw).__name__}")])
    return raw, lines, faults


class _Loader(yaml.SafeLoader):
    """Reads true and false as YAML 1.2 does, and so editors and DVC: to YAML 1.1 a country named no is false."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, words) for tag, words in resolvers if not tag.endswith(":bool")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _survey(root: yaml.Node | None) -> tuple[dict[tuple[str | int, ...], int], list[Fault]]:
    """The line of every key, and what YAML lets pass but a study must not: keys said twice, numbers without bound.

    Raises ValueError for aliases without bound.
    """
    lines: dict[tuple[str | int, ...], int] = {}
    faults: list[Fault] = []
    queue: list[tuple[tuple[str | int, ...], yaml.Node | None]] = [((), root)]
    for visited, (path, node) in enumerate(_drain(queue)):
        if visited > CONFIG_NODES_MAX:
            raise ValueError(f"it expands to more than {CONFIG_NODES_MAX} values")
        if len(path) > CONFIG_DEPTH_MAX:
            raise ValueError(f"it holds values inside values, more than {CONFIG_DEPTH_MAX} deep")
        if node is not None:
            lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                name = _key(key)
                if name in seen and name != "<<":
                    faults.append(Fault((*path, name), "is said twice"))
                seen.add(name)
                lines[(*path, name)] = key.start_mark.line + 1
                queue.append(((*path, name), value))
        elif isinstance(node, yaml.SequenceNode):
            queue += [((*path, index), value) for index, value in enumerate(node.value)]
        elif node is not None and node.tag.endswith(":float") and node.value.lower().lstrip("+-") in (".nan", ".inf"):
            faults.append(Fault(path, f"found {node.value}; a number must be finite"))
    return lines, faults


def _drain(queue: list[Any]) -> Iterator[Any]:
    while queue:
        yield queue.pop()


def _key(node: yaml.Node) -> str | int:
    text = str(node.value)
    return int(text) if node.tag == "tag:yaml.org,2002:int" and text.isdigit() else text


# -- checking ---------------------------------------------------------------------------------------------------------


def _check(raw: dict[str, Any], stem: str) -> tuple[Study | None, list[Fault]]:
    faults: list[Fault] = []
    file = _validated(StudyFile, raw, (), faults)
    faults += _names(raw, stem)
    absent = _open_parts(raw, faults)
    regimes = _regimes(raw, faults)
    if file is None or not _about_measures(faults):
        return None, [*faults, *absent]
    study = Study(file, regimes)
    if not faults:
        faults += [*_kind_faults(study), *_measured_faults(study), *_together_faults(study)]
    faults += [*_data_faults(study, not absent), *_lineage_faults(study), *_eaten_faults(study)]
    # The control's size follows from the arms', so their faults come first.
    if _about_measures(faults):
        faults += [*_supply_faults(study), *_fairness_faults(study)]
    if not faults:
        faults += _fit_faults(study)
    return study, list(dict.fromkeys([*faults, *absent]))


def _about_measures(faults: list[Fault]) -> bool:
    """Whether all faults concern what is measured, so that the arms can be checked all the same."""
    return all(fault.path[:1] in (("name",), ("extractors",), ("metrics",), ("primary",)) for fault in faults)


def _names(raw: dict[str, Any], stem: str) -> Iterator[Fault]:
    sizes = raw.get("calibration")
    if isinstance(sizes, list) and (twice := [n for index, n in enumerate(sizes) if n in sizes[:index]]):
        yield Fault(("calibration",), f"{twice[0]} is said twice")
    if isinstance(raw.get("name"), str) and raw["name"] != stem:
        yield Fault(("name",), f"found {raw['name']!r} in the file {stem}.yaml; a study has its file's name")
    if raw.get("name") == "real":
        yield Fault(("name",), "'real' is the folder of the prepared data; choose another name")
    models = _mapping(raw.get("models"))
    for name, arm in _mapping(raw.get("arms")).items():
        if name in RESERVED_ARMS or str(name).startswith("base_"):
            yield Fault(
                ("arms", name), "is a reserved name; reserved: " + ", ".join(sorted(RESERVED_ARMS)) + ", base_…"
            )
        if raw.get("calibration") and re.fullmatch(r"real_.*", str(name)):
            yield Fault(("arms", name), "begins with real_, as calibrations do; choose another name")
        if raw.get("control") != "none" and re.fullmatch(r"control(_.*)?", str(name)):
            yield Fault(
                ("arms", name), "is the name of the control that every study gets; say control: none to go without"
            )
        model = _mapping(arm).get("model")
        if isinstance(model, str) and model not in models:
            yield Fault(("arms", name, "model"), _unknown(model, models))


def _open_parts(raw: dict[str, Any], faults: list[Fault]) -> list[Fault]:
    """The parts whose keys depend on a name: options of sources, populations, families, selectors and metrics.

    Returns what keeps the data from being read, without which all but their number can be checked.
    """
    absent: list[Fault] = []
    data = _mapping(raw.get("data"))
    origins = [key for key in ("source", "population") if data.get(key) is not None]
    if "data" in raw and len(origins) != 1:
        faults.append(
            Fault(("data",), f"names either a source or a population; found {' and '.join(origins) or 'neither'}")
        )
    options = _mapping(data.get("options"))
    if "source" in origins and _known(data["source"], DATASETS, ("data", "source"), faults):
        parsed = _validated(
            DATASETS[data["source"]], {"source": data["source"], **options}, ("data", "options"), faults
        )
        try:
            pairs = [] if parsed is None else [fault.partition(": ") for fault in parsed.check()]
        except OSError as error:
            absent.append(Fault(("data", "options"), f"cannot be read: {error}"))
        else:
            absent += [Fault(("data", "options", field), message) for field, _, message in pairs]
    if "population" in origins and _known(data["population"], POPULATIONS, ("data", "population"), faults):
        _validated(POPULATIONS[data["population"]].PopulationOptions, options, ("data", "options"), faults)
    for name, spec in _mapping(raw.get("models")).items():
        spec = _mapping(spec)
        if "family" in spec and _known(spec["family"], MODELS, ("models", name, "family"), faults):
            rest = {key: value for key, value in spec.items() if key != "family"}
            _validated(MODELS[spec["family"]].Options, rest, ("models", name), faults)
    for name, arm in _mapping(raw.get("arms")).items():
        arm = _mapping(arm)
        where = ("arms", name, "select")
        if isinstance(arm.get("select"), str | dict):
            selector, rest = _select(arm["select"])
            if not isinstance(selector, str):
                faults.append(Fault((*where, "selector"), f"found {_quoted(selector)}; should be a name"))
            elif _known(selector, SELECTORS, where, faults):
                _validated(SELECTORS[selector].Options, rest, where, faults)
        for key, registry in (("adapt", ADAPTERS), ("guide", GUIDES)):
            if isinstance(arm.get(key), str) and _known(arm[key], registry, ("arms", name, key), faults):
                message = f"{arm[key]!r} is not carried by this version of the workflow; leave it out"
                faults.append(Fault(("arms", name, key), message))
    _measures(raw, faults)
    return absent


def _measures(raw: dict[str, Any], faults: list[Fault]) -> None:
    extractors = _listed(raw, "extractors", FEATURES, faults)
    metrics = _listed(raw, "metrics", METRICS, faults)
    primary = _mapping(raw.get("primary"))
    for key, registry, said in (("metric", METRICS, metrics), ("extractor", FEATURES, extractors)):
        value = primary.get(key, "recall" if key == "metric" else None)
        if value is not None and _known(value, registry, ("primary", key), faults) and value not in said:
            faults.append(
                Fault(("primary", key), f"{value!r} is not among the study's {key}s: {', '.join(map(str, said))}")
            )


def _listed(raw: dict[str, Any], key: str, registry: Mapping[str, Any], faults: list[Fault]) -> list[str]:
    """The names that stand in a list of names and ``{name: options}``."""
    names: list[str] = []
    for index, entry in enumerate(raw.get(key) if isinstance(raw.get(key), list) else []):
        entry = {entry: {}} if isinstance(entry, str) else _mapping(entry)  # StudyFile has said what else it is
        for name, options in entry.items():
            if not _known(name, registry, (key, index), faults):
                continue
            if name in names:
                faults.append(Fault((key, index), f"{name!r} is said twice"))
            names.append(name)
            _validated(registry[name].Options or _Part, _mapping(options), (key, index, name), faults)
    return names


def _regimes(raw: dict[str, Any], faults: list[Fault]) -> dict[str, Regime]:
    """The regime of every arm whose regime can be read."""
    initial = _mapping(raw.get("initial")).get("real")
    n = initial if isinstance(initial, int) and initial > 0 else 1
    regimes = {}
    for name, arm in _mapping(raw.get("arms")).items():
        spec = _mapping(arm).get("regime")
        regime = _regime(spec, n, ("arms", name, "regime"), faults)
        if regime is not None:
            said_init = isinstance(spec, dict) and "init" in spec
            study_init = _validated(_Init, {"init": raw.get("init", "scratch")}, (), [])
            regimes[name] = (
                regime if said_init or study_init is None else regime.model_copy(update={"init": study_init.init})
            )
    return regimes


class _Init(_Part):
    init: Init


def _regime(spec: Any, n: int, where: tuple[str | int, ...], faults: list[Fault]) -> Regime | None:
    if isinstance(spec, str):
        spec = {"preset": spec}
    if not isinstance(spec, dict):
        return None  # StudyFile has said so
    if "preset" not in spec:
        return _validated(Regime, {"initial": {"real": n}} | spec, where, faults)
    if not isinstance(spec["preset"], str):
        faults.append(Fault((*where, "preset"), f"found {_quoted(spec['preset'])}; should be a name"))
        return None
    if not _known(spec["preset"], REGIMES, (*where, "preset") if len(spec) > 1 else where, faults):
        return None
    preset = REGIMES[spec["preset"]]
    given = {"n": n, "initial": n} | {key: value for key, value in spec.items() if key not in ("preset", "init")}
    init = _validated(_Init, {"init": spec["init"]}, where, faults) if "init" in spec else None
    arguments = _validated(_arguments(preset), given, where, faults)
    if arguments is None:
        return None
    try:
        regime = preset(**dict(arguments))
    except ValidationError as error:
        faults += _faults(error, Regime, where)
    except ValueError as error:
        faults.append(Fault(where, str(error)))
    else:
        return regime if init is None else regime.model_copy(update={"init": init.init})
    return None


def _arguments(function: Callable[..., Any]) -> type[BaseModel]:
    """What a study may give to a function, as a model: its annotations say what is allowed."""
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    return create_model(function.__name__, __base__=_Part, __doc__=inspect.getdoc(function), **fields)


def _data_faults(study: Study, there: bool) -> Iterator[Fault]:
    """What the split asks of the data; of their number only if they are ``there``."""
    data, split = study.file.data, study.file.data.split
    if sum(data.rare.values()) >= 1:
        yield Fault(("data", "rare"), f"found {_quoted(data.rare)}; allowed are shares that sum to less than 1")
    if data.population is not None:
        if data.rare:
            yield Fault(("data", "rare"), "thins the classes of images; a population's options say how rare they are")
        for part in ("train", "fresh", "validation"):
            if getattr(split, part):
                yield Fault(
                    ("data", "split", part), "a population has no splits: its real data is drawn anew; leave it out"
                )
        return
    try:
        check_sizes(split.parts(), study.dataset.count() if there else sum(split.parts().values()))
    except (ValueError, OSError) as error:
        yield Fault(("data",), str(error))


def _measured_faults(study: Study) -> Iterator[Fault]:
    """Metrics that no record would hold, and an endpoint that is not one number."""
    name, extractor = study.file.primary.metric, study.file.primary.extractor
    metric = METRICS[name]
    if not metric.suits(extractor):
        allowed = ", ".join(other for other in FEATURES if metric.suits(other))
        yield Fault(("primary",), f"{name!r} is measured in {allowed}; found {extractor!r}")
    elif not FEATURES[extractor].tells(metric.reads, study.kind):
        yield Fault(("primary",), f"{name!r} reads {metric.reads}, which {extractor!r} does not tell from {study.kind}")
    if get_origin(get_type_hints(metric.function).get("return")) is dict:
        yield Fault(("primary", "metric"), f"{name!r} gives several numbers; the endpoint is one")
    held_out = study.file.data.split.held_out
    most = max(min(study.measured, held_out) - 1, 0)
    places = {name: index for index, entry in enumerate(study.file.metrics) for name in _named(entry)}
    for name, options in study.metric_options().items():
        metric, where = METRICS[name], ("metrics", places[name])
        if study.kind not in metric.takes:
            yield Fault(where, f"{name!r} measures {' and '.join(metric.takes)}; the study's data are {study.kind}")
        elif not any(metric.suits(extractor) for extractor in study.measured_in):
            allowed = " or ".join(extractor for extractor in FEATURES if metric.suits(extractor))
            yield Fault(where, f"{name!r} is measured in {allowed}, which is not among the study's extractors")
        elif metric.reads == "values" and study.kind == "categories" and _compares_rows(study, metric):
            allowed = ", ".join(one for one, other in METRICS.items() if other.reads == "classes")
            yield Fault(where, f"{name!r} measures distances, and categories have none; allowed: {allowed}")
        elif options.get("k", 0) > most:
            there = f"{study.measured} samples are measured and {held_out} real ones held out"
            yield Fault(where, f"{name!r} asks for {options['k']} neighbours, but {there}; k is at most {most}")


def _kind_faults(study: Study) -> Iterator[Fault]:
    """Parts that cannot work on each other's data."""
    kind = study.kind
    for name, spec in study.file.models.items():
        if kind not in (allowed := MODELS[spec.family].takes):
            takes = " and ".join(allowed)
            yield Fault(("models", name, "family"), f"{spec.family!r} models {takes}; the study's data are {kind}")
        else:
            try:
                study.parsed_options(name).check_kind(kind)
            except ValueError as error:
                yield Fault(("models", name), str(error))
    for index, name in enumerate(study.measured_in):
        if kind not in FEATURES[name].takes:
            takes = " and ".join(FEATURES[name].takes)
            yield Fault(("extractors", index), f"{name!r} looks at {takes}; the study's data are {kind}")
        elif FEATURES[name].published:
            try:
                study.published_weights(name)
            except ValueError as error:
                yield Fault(("extractors", index), str(error).removeprefix("weights: "))
        elif message := _truth_fault(study, name):
            yield Fault(("extractors", index), message)
    for name in study.file.arms:
        if (reads := study.read_by(name)) and (message := _truth_fault(study, reads)):
            yield Fault(("arms", name, "select"), message)
        if study.read_by(name) == study.file.primary.extractor:
            selector = study.lineages[name].selector
            yield Fault(
                ("primary", "extractor"),
                f"{study.file.primary.extractor!r} is what the selector {selector!r} of {name!r} looks through: the "
                "judge is not the prosecutor; measure the endpoint in another feature space",
            )


def _fit_faults(study: Study) -> Iterator[Fault]:
    """Formulas that cannot be fitted to what a known truth draws, or not to as few rows: found by fitting them."""
    if study.file.data.population is None:
        return
    for name, spec in study.file.models.items():
        family = MODELS[spec.family]
        arms = [(arm, lineage) for arm, lineage in study.lineages.items() if lineage.model == name]
        if family.uses_torch or not arms:
            continue
        options, sizes = study.parsed_options(name), []
        for arm, one in arms:
            sizes += [size(one.regime, arm, t) for t in range(one.generations + 1)]
        try:
            options.check_rows(min(sizes))
            # A study is read again by every job: what takes iterations or much memory is not tried.
            if hasattr(options, "iterations") or family.stored_bytes(options, study.shape, 0) > LARGEST_TRIED:
                continue
            data = study.population.sample(Ask(min(*sizes, MOST_TRIED), 0)).data
            family.fit(TrainingSet(data, None, np.ones(len(data))), options, Run(0))
        except (ValueError, Diverged) as error:
            yield Fault(("models", name), f"{error} (as a trial with {min(sizes)} rows, the fewest of an arm)")


def _together_faults(study: Study) -> Iterator[Fault]:
    """What keeps all seeds of an arm from running in one job."""
    if not study.file.together:
        return
    for name, spec in study.file.models.items():
        if spec.family not in REPLICATED:
            message = f"together: {spec.family!r} has no fit by formula; allowed: {', '.join(REPLICATED)}"
            yield Fault(("models", name, "family"), message)
    if study.file.data.population not in REPLICATED:
        found = study.file.data.population or study.file.data.source
        yield Fault(("data",), f"together: found {found!r}; allowed populations: {', '.join(REPLICATED)}")
    if study.measured_in != ["moments"]:
        yield Fault(("extractors",), f"together: found {', '.join(study.measured_in)}; allowed is moments alone")
    for index, entry in enumerate(study.file.metrics):
        for name in _named(entry):
            if name not in MEASURES:
                yield Fault(("metrics", index), f"together: found {name!r}; allowed: {', '.join(MEASURES)}")
    for name, arm in study.lineages.items():
        if arm.selector != "nobody":
            yield Fault(("arms", name, "select"), f"together: found {arm.selector!r}; allowed is nobody")
        for index, part in enumerate(arm.regime.synthetic):
            if part.of not in ("self", name):
                where = ("arms", name, "regime", "synthetic", index, "of")
                yield Fault(where, f"together: found {part.of!r}; an arm eats only its own samples")


def _compares_rows(study: Study, metric: Metric) -> bool:
    """Whether a metric would look at distances of samples, and not at moments or columns of a statistic alone."""
    suited = [FEATURES[name] for name in study.measured_in if metric.suits(name)]
    return any(not (extractor.of_law or extractor.statistic) for extractor in suited)


def _truth_fault(study: Study, name: str) -> str:
    """What an extractor lacks that looks through the known truth or describes laws; empty if nothing."""
    extractor, population = FEATURES[name], study.file.data.population
    if not (extractor.of_population or extractor.of_law):
        return ""
    if population is None:
        return f"{name!r} looks at a known truth; the study's data come from {study.file.data.source!r}"
    needed, able = ("judge", Judges) if extractor.of_population else ("moments", Knows)
    if not isinstance(study.population, able):
        allowed = ", ".join(name for name, kind in POPULATIONS.items() if issubclass(kind, able))
        return f"{name!r} needs a population with {needed}, which {population!r} has not; allowed: {allowed}"
    lacking = [name for name in study.file.models if not issubclass(MODELS[study.family(name)], Knows)]
    if extractor.of_law and lacking:
        allowed = ", ".join(name for name, family in MODELS.items() if issubclass(family, Knows))
        return f"{name!r} needs models with moments, which {lacking[0]!r} has not; families that do: {allowed}"
    return ""


def _lineage_faults(study: Study) -> Iterator[Fault]:
    arms, generations = study.lineages, study.file.generations
    for name, arm in arms.items():
        init, said = arm.regime.init, _mapping(study.file.arms[name].regime) if name in study.file.arms else {}
        where = ("arms", name, "regime", "init") if "init" in said else ("init",)
        if hasattr(init, "generation") and init.generation >= max(1, generations):
            yield Fault(where, f"generation {init.generation} is not before the others")
        if hasattr(init, "weights") and (message := _weights_fault(init.weights, study.family(arm.model))):
            yield Fault((*where, "weights"), message)
        if any(at(arm.sampling_bias, t) < 1 for t in range(generations + 1)):
            if not MODELS[study.family(arm.model)].bias:
                message = f"{arm.model!r} is a {study.family(arm.model)}, which is sampled as it is; allowed is 1"
                yield Fault(("arms", name, "sampling_bias"), message)
            options = study.model_options(arm.model)
            guided = "label_dropout" in options  # a family without it is biased by other means
            lacking = [key for key in ("classes", "label_dropout") if guided and options[key] == 0]
            if lacking:
                found = " and ".join(f"{key}: 0" for key in lacking)
                message = f"below 1 the sampler is guided by classes, but {arm.model!r} has {found}; allowed is 1"
                yield Fault(("arms", name, "sampling_bias"), message)
        if study._kept(name) < 1:
            yield Fault(("arms", name, "select"), f"keeps none of {study.file.samples} samples")
        for t in range(1, arm.generations + 1):
            weights = arm.regime.weights
            heavy = {True: at(weights.real, t) > 0, False: at(weights.synthetic, t) > 0}
            if not any(heavy[draw.is_real] for draw in draws(arm.regime, name, t)):
                if name in study.file.arms:  # the control's size follows from theirs
                    yield Fault(("arms", name, "regime"), f"the training set of generation {t} is empty")
                break
    for arm in dict.fromkeys([*study.bases, *arms]):
        spans = [0] if arm in study.bases else range(1, arms[arm].generations + 1)
        empty = [t for t in spans if study.images_seen(arm, t) == 0]
        if empty and (empty != [0] or study.init_file(arm, 0, 0) is None):
            found = f"found 0 at generation {empty[0]} of {arm}"
            yield Fault(("train", "images_seen"), f"{found}; only generation 0 can do without, from init: {{weights}}")
            break
    for name in study.file.models:
        if (left_open := study._left_open(name)) and not study.file.data.split.validation:
            where = ("data", "split", "validation")
            said = f"{name!r} leaves {', '.join(left_open)} open, which generation 0 chooses on these images"
            yield Fault(where, f"found 0; {said}: say how many, or the option")
    train = study.file.train
    if train.images_seen is not None and train.epochs is not None:
        yield Fault(("train",), "the budget is either images_seen or epochs; found both")


def _weights_fault(name: str, family: str) -> str:
    """What keeps a training from starting from a file; empty if nothing does. Only the file's header is read."""
    path = Path(name)
    try:
        if not path.is_file():
            return f"no such file: {name!r}"
        if not store.hash_path(path).is_file():
            return (
                f"{name!r} comes without its hash; allowed: a model of this program with {store.hash_path(path).name}"
            )
        with path.open("rb") as stream:
            header = json.loads(stream.read(min(int.from_bytes(stream.read(8), "little"), HEADER_BYTES_MAX)))
        found = json.loads(header["__metadata__"][store.METADATA_KEY])["family"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return f"{name!r} is not a model of this program"
    return "" if found == family else f"{name!r} holds a {found!r} model; the arm's is {family!r}"


def _eaten_faults(study: Study) -> Iterator[Fault]:
    """What one arm cannot eat of another."""
    arms = study.lineages
    for name, arm in arms.items():
        eaten = {name: arm}
        for index, part in enumerate(arm.regime.synthetic):
            where = ("arms", name, "regime", "synthetic", index)
            if part.of not in (*arms, "self"):
                yield Fault((*where, "of"), _unknown(part.of, ("self", *arms), "arm"))
                continue
            other = arms[name if part.of == "self" else part.of]
            twin = next((one.name for one in eaten.values() if one.stream == other.stream and one is not other), None)
            if twin is not None:
                found = f"{other.name!r} and {twin!r} both have stream {other.stream}"
                remedy = "they would sample with the same random numbers; give one of them another stream"
                yield Fault(where[:3], f"arms that feed one another share no stream; {found}: {remedy}")
            eaten[other.name] = other
            if part.draw == "resample" and other.selector != "nobody":
                found = f"{other.name!r} has the selector {other.selector!r}"
                yield Fault(where[:3], f"new samples of a model pass no selector, but {found}; allowed: draw: stored")


def _supply_faults(study: Study) -> Iterator[Fault]:
    """Draws that ask for more rows than there are."""
    split, generations = study.file.data.split, study.file.generations
    for name, arm in study.lineages.items():
        added = ("control",) if arm.is_control else ("calibration",)
        where = ("arms", name, "regime") if name in study.file.arms else added
        pools = {t: draws(arm.regime, name, t) for t in range(arm.generations + 1)}
        if study.file.data.source is not None:
            fresh = fresh_before(arm.regime, generations + 1)
            if fresh > split.fresh:
                asked = f"{generations} generations ask for {fresh} fresh images"
                yield Fault((*where, "real", "fresh"), f"{asked}; the fresh split holds {split.fresh}")
            most = max(
                (draw.count for pool in pools.values() for draw in pool if draw.arm in ("fixed", "redrawn")), default=0
            )
            if most > split.train:
                yield Fault(where, f"asks for {most} real images at once; the train split holds {split.train}")
        if arm.regime.resamples:
            continue
        for eaten in (draw for pool in pools.values() for draw in pool if not draw.is_real):
            there = study._kept(eaten.arm)
            if eaten.count > there:
                asked = f"eats {eaten.count} samples of {eaten.arm!r} at generation {eaten.generation}"
                yield Fault(where, f"{asked}; {there} are kept (raise samples, or say draw: resample)")
                break


def _fairness_faults(study: Study) -> Iterator[Fault]:
    """The rules that make arms comparable; a study that breaks one says why under ``waive``."""
    compared: dict[str, dict[str, Any]] = {rule: {} for rule in FAIRNESS}
    spans = range(study.file.generations + 1)
    for name, arm in study.lineages.items():
        if arm.calibrates is not None:
            continue  # other numbers of images are what they are for
        compared["training_set_size"][name] = [size(arm.regime, name, t) for t in spans]
        compared["images_seen"][name] = [study.images_seen(name, t) for t in spans]
        compared["init"][name] = arm.regime.init if isinstance(arm.regime.init, str) else arm.regime.init.model_dump()
    for rule, values in compared.items():
        differ = len({json.dumps(value) for value in values.values()}) > 1
        if differ and rule not in study.file.waive:
            found = "; ".join(f"{name} {_brief(value)}" for name, value in values.items())
            remedy = f"make them equal, or say why not under waive: {{{rule}: reason}}"
            yield Fault(("arms",), f"not comparable: {FAIRNESS[rule]}; found {found}; {remedy}")
        if not differ and rule in study.file.waive:
            yield Fault(("waive", rule), f"nothing to waive: {FAIRNESS[rule]} here")


def _brief(value: Any) -> str:
    if isinstance(value, list) and len(set(value)) == 1:
        return f"{value[0]} at every generation"
    return json.dumps(value)


# -- words for faults -------------------------------------------------------------------------------------------------


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _known(name: Any, registry: Mapping[str, Any], where: tuple[str | int, ...], faults: list[Fault]) -> bool:
    if not isinstance(name, str):
        return False  # StudyFile has said so
    if name not in registry:
        faults.append(Fault(where, _unknown(name, registry)))
    return name in registry


def _unknown(name: Any, allowed: Any, what: str = "name") -> str:
    names = [str(one) for one in allowed]
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {name!r}; allowed: {', '.join(names) or 'none yet'}{hint}"


def _validated(model: type[BaseModel], raw: Any, where: tuple[str | int, ...], faults: list[Fault]) -> Any:
    """The parsed part, or None with its faults added."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults += _faults(error, model, where)
    except TypeError as error:  # pydantic lets it through when a family's own validator trips over a type
        faults.append(Fault(where, str(error)))
    return None


def _faults(error: ValidationError, model: type[BaseModel], where: tuple[str | int, ...]) -> list[Fault]:
    """One fault for each key: a union complains once for each of its members, and of them the deepest came closest."""
    told: dict[tuple[str | int, ...], list[str]] = {}
    for entry in error.errors(include_url=False):
        path, parent = _user_path(entry["loc"], model)
        told.setdefault(where + path, []).append(_message(entry, parent))
    deepest = [one for one in told if not any(len(other) > len(one) and other[: len(one)] == one for other in told)]
    return [Fault(path, _either(list(dict.fromkeys(told[path])))) for path in deepest]


def _either(messages: list[str]) -> str:
    """What the members of a union say of one value, which is named once."""
    found = messages[0].partition("; ")[0] + "; "
    return "; or ".join([messages[0], *(message.removeprefix(found) for message in messages[1:])])


def _message(entry: Mapping[str, Any], parent: type[BaseModel] | None) -> str:
    if entry["type"] == "missing":
        return "is missing"
    if entry["type"] == "extra_forbidden":
        allowed = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
        return _unknown(entry["loc"][-1], allowed, "key")
    message = entry["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", message)
    whole = entry["type"] == "value_error" and isinstance(entry["input"], dict)  # the message says what it found
    return message if whole else f"found {_quoted(entry['input'])}; {message}"


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _user_path(
    loc: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[tuple[str | int, ...], type[BaseModel] | None]:
    """The keys of ``loc`` that stand in the file, without the names of union members; and the model they end in."""
    path: list[str | int] = []
    kinds: list[Any] = [model]
    parent: type[BaseModel] | None = model
    for word in loc:
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        fields = [
            (one, field) for one in models for name, field in one.model_fields.items() if word in (name, field.alias)
        ]
        if fields:
            parent, kinds = fields[0][0], _members(fields[0][1].annotation)
            path.append(word)
        elif any(get_origin(kind) in (dict, list) for kind in kinds):
            inner = [get_args(kind)[-1] for kind in kinds if get_origin(kind) in (dict, list)]
            if isinstance(word, str) and (word in MEMBERS or "[" in word or word in {one.__name__ for one in models}):
                continue
            path.append(word)
            kinds = [member for one in inner for member in _members(one)]
        elif models and word in {one.__name__ for one in models}:
            kinds = [one for one in models if one.__name__ == word]
            parent = kinds[0]
        elif models and word == loc[-1] and "[" not in str(word):
            parent = models[0]  # a key that the model does not know
            path.append(word)
    return tuple(path), parent


MEMBERS = {"number", "schedule", "str", "int", "[key]"}  # how pydantic's paths call the members of a union


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [member for one in get_args(annotation) for member in _members(one)]
    return [annotation]


# -- the schema -------------------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """The JSON schema of a study's file, for editors: names are those in the registries."""
    shape = StudyFile.model_json_schema()
    algebra = Regime.model_json_schema(ref_template="#/$defs/{model}")
    shape["$defs"].update(algebra.pop("$defs"))
    algebra["required"] = []  # an arm's initial is the study's where it names none
    shape["$defs"]["Regime"] = algebra
    regime = shape["$defs"]["Arm"]["properties"]["regime"]
    presets = [_preset_schema(name, preset, algebra["properties"]["init"]) for name, preset in REGIMES.items()]
    regime["anyOf"] = [{"enum": list(REGIMES)}, *presets, {"$ref": "#/$defs/Regime"}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **shape, "title": "A collapselab study"}


def _preset_schema(name: str, preset: Callable[..., Regime], init: Any) -> dict[str, Any]:
    shape = _arguments(preset).model_json_schema()
    shape["properties"] = {"preset": {"const": name}, **shape["properties"], "init": init}
    shape["required"] = ["preset", *(key for key in shape["required"] if key not in ("n", "initial"))]
    return shape
