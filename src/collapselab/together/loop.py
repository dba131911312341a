"""All seeds of one arm at once, for families with a closed form: seed by seed the models of the one-at-a-time path.

A cheap arm spends its time on the frame, not on its sums. Here the R replicates stand side by side in every array, each
with the random numbers that its own seed names, and what ``draw``, ``compose``, ``train`` and ``sample`` would do to
one of them is done to all. The models come out bit for bit as theirs (``Gaussians``, ``Multinomials``), the metrics to
rounding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from ..compose.regimes import Draw, Recipe
from ..compose.rows import order_seed, real_seed, resample_seed, subsample_seed
from ..core import seeds
from ..core.registry import usable
from ..metrics import METRICS, Stacked
from ..models import MODELS
from ..models.gaussian import Gaussians
from ..models.logistic_regression import LogisticRegressions
from ..models.multinomial import Multinomials
from ..models.poisson import Poissons
from ..populations import POPULATIONS

Stack = Gaussians | Multinomials | Poissons | LogisticRegressions
FAMILIES: dict[str, type[Stack]] = {
    "gaussian": Gaussians,
    "multinomial": Multinomials,
    "poisson": Poissons,
    "logistic-regression": LogisticRegressions,
}
CHUNK_NUMBERS = 2**20  # in one array over the replicates of a chunk; more of them at once save no more time


class Replicates(BaseModel, frozen=True):
    """What one arm of a study comes to, as a rule hands it to its job.

    Raises ValueError for families that have no stack, an arm that eats another's samples, and rows that are not there.
    """

    name: str
    family: str
    options: dict[str, Any]
    population: str
    population_options: dict[str, Any]
    recipes: list[Recipe] = Field(min_length=1, description="one a generation, generation 0 included")
    sampling_bias: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        description="one a generation: what its samples are drawn with"
    )
    stream: int = Field(ge=0)
    samples: int = Field(ge=1, description="samples that each model gives, among which training sets choose")
    study_seed: int
    seeds: int = Field(ge=1)
    metrics: dict[str, dict[str, Any]] = Field(description="metric -> options; all look at exact moments")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _named("family", self.family, FAMILIES)
        _named("population", self.population, [self.family])
        truth = POPULATIONS[self.population]
        truth.PopulationOptions.model_validate(self.population_options)
        options = MODELS[self.family].Options.model_validate(self.options)
        options.check_kind(truth.gives)
        if getattr(options, "cuts", False):  # of categories alone
            raise ValueError("options: found a cut by top_k or top_p, which is of samples drawn one by one")
        for name, options in self.metrics.items():
            stacked(name)
            METRICS[name].Options.model_validate(options)
        if len(self.sampling_bias) != len(self.recipes):
            found = f"{len(self.sampling_bias)} numbers for {len(self.recipes)} generations"
            raise ValueError(f"sampling_bias: found {found}, allowed are as many")
        for generation, recipe in enumerate(self.recipes):
            if recipe.generation != generation:
                raise ValueError(f"recipes: found generation {recipe.generation} at place {generation}")
            if not recipe.draws:
                raise ValueError(f"recipes: generation {generation} has no rows to train on, needed is at least one")
            for draw in recipe.draws:
                self._check_draw(recipe, draw)
        return self

    def _check_draw(self, recipe: Recipe, draw: Draw) -> None:
        if draw.is_real:
            return
        if draw.arm != self.name:
            raise ValueError(f"recipes: {self.name!r} eats the samples of {draw.arm!r}, allowed are only its own")
        if not 0 <= draw.generation < recipe.generation:
            raise ValueError(f"recipes: generation {recipe.generation} eats generation {draw.generation}")
        if not recipe.resamples and draw.count > self.samples:
            asked = f"generation {recipe.generation} takes {draw.count} of a model's samples"
            raise ValueError(f"samples: found {self.samples}, but {asked}")


def _named(what: str, name: str, allowed: Sequence[str] | Mapping[str, Any]) -> None:
    if name not in allowed:
        raise ValueError(f"{what}: found {name!r}, allowed are {', '.join(allowed)}")


def stacked(name: str) -> Stacked:
    """A metric of stacks. Raises ValueError for one that has none."""
    entry = METRICS.get(name)
    if entry is None or entry.stacked is None:
        _named("metrics", name, [other for other, one in usable(METRICS) if one.stacked])
    return entry.stacked


# -- the loop ---------------------------------------------------------------------------------------------------------


def run(
    arm: Replicates, *, chunk: int | None = None, progress: Callable[[int], object] | None = None
) -> dict[str, np.ndarray]:
    """The measured values of all seeds and generations, as columns: seed, generation, then one a metric.

    One row a seed and generation, ascending, (seeds generations,) int64 and float64; nan where a metric is not
    determined or the replicate diverged.

    chunk: how many replicates go side by side, which changes only the time and the memory; None chooses. progress:
    called with how many of the rows are done. Raises ValueError for data that the family cannot take.
    """
    truth, generations = _truth(arm), len(arm.recipes)
    found = {name: np.full((arm.seeds, generations), np.nan) for name in arm.metrics}
    size = chunk or _chunk(arm, truth)
    for start in range(0, arm.seeds, size):
        replicates = range(start, min(start + size, arm.seeds))
        for generation, (laws, alive) in enumerate(lines(arm, replicates)):
            for name, values in found.items():
                measured = stacked(name).function(truth, laws)
                values[replicates.start : replicates.stop, generation] = np.where(alive, measured, np.nan)
            if progress is not None:
                progress(start * generations + (generation + 1) * len(replicates))
    cells = np.indices((arm.seeds, generations)).reshape(2, -1)
    return {"seed": cells[0], "generation": cells[1], **{name: values.ravel() for name, values in found.items()}}


def lines(arm: Replicates, replicates: Sequence[int]) -> Iterator[tuple[Stack, np.ndarray]]:
    """The models of some replicates, generation by generation: a stack of R laws, and which of them are alive, (R,).

    A replicate whose fit is not finite has diverged, and so has whatever is trained on its samples; a law that is not
    alive stands there as all zeros.
    """
    kind, truth = FAMILIES[arm.family], _truth(arm)
    options = MODELS[arm.family].Options.model_validate(arm.options)
    laws: dict[int, Stack] = {}
    alive: dict[int, np.ndarray] = {}
    samples: dict[int, np.ndarray] = {}
    entered: dict[Draw, np.ndarray] = {}  # rows that later generations take again as they are
    last = {draw.generation: recipe.generation for recipe in arm.recipes for draw in recipe.draws if not draw.is_real}

    def numbers(seed_of: Callable[..., int], *names: Any) -> list[int]:
        return [seed_of(arm.study_seed, replicate, *names) for replicate in replicates]

    def made(generation: int) -> np.ndarray:
        if generation not in samples:
            dice = numbers(seeds.seed_of, generation, f"sample/{arm.stream}")
            samples[generation] = laws[generation].sample(arm.samples, dice, arm.sampling_bias[generation])
        return samples[generation]

    def rows(recipe: Recipe, draw: Draw) -> np.ndarray:
        if draw.is_real:
            return truth.sample(draw.count, numbers(real_seed, draw))
        if recipe.resamples:
            dice = numbers(resample_seed, recipe.generation, draw, arm.stream)
            return laws[draw.generation].sample(draw.count, dice, arm.sampling_bias[draw.generation])
        order = seeds.stacked_permutations(numbers(order_seed, recipe, draw), arm.samples)
        return _taken(made(draw.generation), order[:, : draw.count])

    for generation, recipe in enumerate(arm.recipes):
        # Real rows are the same whenever they are drawn, and synthetic ones where the pool keeps them.
        stay = [draw for draw in recipe.draws if draw.is_real or recipe.keeps_rows]
        parts = {draw: entered[draw] if draw in entered else rows(recipe, draw) for draw in recipe.draws}
        entered = {draw: parts[draw] for draw in stay}
        data = np.concatenate(list(parts.values()), axis=1)
        weights = np.concatenate(
            [np.full(d.count, recipe.weights["real" if d.is_real else "synthetic"]) for d in parts]
        )
        weights = weights[None]
        if recipe.budget is not None and recipe.budget < data.shape[1]:
            order = seeds.stacked_permutations(numbers(subsample_seed, recipe), data.shape[1])
            left = np.sort(order[:, : recipe.budget], axis=1)
            data, weights = _taken(data, left), weights[0][left]
        stack = kind.fit(data, weights, options, numbers(seeds.seed_of, generation, "train"))
        fine = np.isfinite(stack.means).all(axis=1) & np.isfinite(stack.variances).all(axis=1)
        fine &= np.all([alive[draw.generation] for draw in recipe.draws if not draw.is_real], axis=0)
        laws[generation], alive[generation] = _zeroed(stack, fine), fine
        yield laws[generation], fine
        for past in [past for past in laws if last.get(past, -1) <= generation]:
            samples.pop(past, None)
            laws.pop(past)


def _taken(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The named rows of each replicate's: (R, n, ...) and (R, m) to (R, m, ...)."""
    return data[np.arange(len(data))[:, None], rows]


def _zeroed(stack: Stack, alive: np.ndarray) -> Stack:
    """The stack with zeros in place of the laws that are not alive, which no routine chokes on."""
    if alive.all():
        return stack
    arrays = {one.name: getattr(stack, one.name) for one in fields(stack)}
    return replace(
        stack,
        **{name: np.where(alive.reshape(-1, *[1] * (array.ndim - 1)), array, 0) for name, array in arrays.items()},
    )


def _truth(arm: Replicates) -> Stack:
    """The known truth, as a stack of one."""
    kind = POPULATIONS[arm.population]
    return FAMILIES[arm.family].of(kind.population(kind.PopulationOptions.model_validate(arm.population_options)))


def _chunk(arm: Replicates, truth: Stack) -> int:
    rows = max(sum(draw.count for draw in recipe.draws) for recipe in arm.recipes)
    width = truth.means.shape[1]
    numbers = max(rows, arm.samples) * (1 if isinstance(truth, Multinomials) else width)
    needs_covariances = isinstance(truth, Gaussians) or any(stacked(name).covariances for name in arm.metrics)
    return max(1, CHUNK_NUMBERS // max(numbers, width * width if needs_covariances else width))
