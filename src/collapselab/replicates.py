"""All seeds of one arm at once, for families with a closed form: seed by seed the models of the one-at-a-time path.

A cheap arm spends its time on the frame, not on its sums. Here the R replicates stand side by side in every array, each
with the random numbers that its own seed names, and what ``draw``, ``compose``, ``train`` and ``sample`` would do to
one of them is done to all. The models come out bit for bit as theirs (``Gaussians``, ``Multinomials``), the metrics to
rounding.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from .compose import rows as compose
from .compose.regimes import Draw, Recipe
from .core import seeds
from .measure.compare import MADE
from .metrics import METRICS
from .models import MODELS
from .models.gaussian import Gaussians
from .models.multinomial import Multinomials
from .populations import POPULATIONS
from .store.provenance import PACKAGE, entries, source_hash

Stack = Gaussians | Multinomials
CHUNK_NUMBERS = 2**20  # in one array over the replicates of a chunk; more of them at once save no more time


class Arm(BaseModel, frozen=True):
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
        MODELS[self.family].Options.model_validate(self.options).check_kind(truth.gives)
        for name, options in self.metrics.items():
            _named("metrics", name, MEASURES)
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


# -- the loop ---------------------------------------------------------------------------------------------------------


def run(
    arm: Arm, *, chunk: int | None = None, progress: Callable[[int], object] | None = None
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
                measured = MEASURES[name](truth, laws)
                values[replicates.start : replicates.stop, generation] = np.where(alive, measured, np.nan)
            if progress is not None:
                progress(start * generations + (generation + 1) * len(replicates))
    cells = np.indices((arm.seeds, generations)).reshape(2, -1)
    return {"seed": cells[0], "generation": cells[1], **{name: values.ravel() for name, values in found.items()}}


def lines(arm: Arm, replicates: Sequence[int]) -> Iterator[tuple[Stack, np.ndarray]]:
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
            return truth.sample(draw.count, numbers(compose.real_seed, draw))
        if recipe.resamples:
            dice = numbers(compose.resample_seed, recipe.generation, draw, arm.stream)
            return laws[draw.generation].sample(draw.count, dice, arm.sampling_bias[draw.generation])
        order = seeds.stacked_permutations(numbers(compose.order_seed, recipe, draw), arm.samples)
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
            order = seeds.stacked_permutations(numbers(compose.subsample_seed, recipe), data.shape[1])
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


def _truth(arm: Arm) -> Stack:
    """The known truth, as a stack of one."""
    kind = POPULATIONS[arm.population]
    return FAMILIES[arm.family].of(kind.population(kind.PopulationOptions.model_validate(arm.population_options)))


def _chunk(arm: Arm, truth: Stack) -> int:
    rows = max(sum(draw.count for draw in recipe.draws) for recipe in arm.recipes)
    width = truth.means.shape[1]
    numbers = max(rows, arm.samples) * (width if isinstance(truth, Gaussians) else 1)
    needs_covariances = isinstance(truth, Gaussians) or NEED_COVARIANCES & arm.metrics.keys()
    return max(1, CHUNK_NUMBERS // max(numbers, width * width if needs_covariances else width))


# -- metrics of stacks ------------------------------------------------------------------------------------------------
# Each is the metric of its name on each law's exact moments: (R,) float64, nan where it is not determined.


def variance_ratio(real: Stack, fake: Stack) -> np.ndarray:
    """tr S_f / tr S_r."""
    return _over(fake.variances.sum(axis=1), real.variances.sum(axis=1))


def mean_drift(real: Stack, fake: Stack) -> np.ndarray:
    """|m_f - m_r|^2 / tr S_r."""
    return _over(((fake.means - real.means) ** 2).sum(axis=1), real.variances.sum(axis=1))


def frechet_distance(real: Stack, fake: Stack) -> np.ndarray:
    """|m_f - m_r|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), by the singular values of F_r F_f' with S = F' F."""
    apart = ((fake.means - real.means) ** 2).sum(axis=1)
    if fake.means.shape[1] == 1 or (real.covariances.ndim == 2 and fake.covariances.ndim == 2):
        return apart + ((np.sqrt(fake.variances) - np.sqrt(real.variances)) ** 2).sum(axis=1)
    one, other = (_factors(_full(law)) for law in (real, fake))
    shared = np.linalg.svd(one @ other.transpose(0, 2, 1), compute_uv=False).sum(axis=1)
    return np.maximum(apart + (one**2).sum(axis=(1, 2)) + (other**2).sum(axis=(1, 2)) - 2 * shared, 0)


def log_determinant_ratio(real: Stack, fake: Stack) -> np.ndarray:
    """(log det S_f - log det S_r) / d."""
    return (_log_determinants(fake) - _log_determinants(real)) / fake.means.shape[1]


def surviving_categories(real: Stack, fake: Stack) -> np.ndarray:
    """The number of positive shares; a law of vectors has none."""
    shares = fake.means
    fine = (shares >= 0).all(axis=1) & (abs(shares.sum(axis=1) - 1) <= 1e-6)
    return np.where(fine, np.count_nonzero(shares, axis=1), np.nan)


def _over(values: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return values / np.where(unit > 0, unit, np.nan)


def _full(law: Stack) -> np.ndarray:
    """The covariances as (R, d, d)."""
    if law.covariances.ndim == 3:
        return law.covariances
    return law.covariances[:, :, None] * np.eye(law.means.shape[1])


def _factors(covariances: np.ndarray) -> np.ndarray:
    """F with S = F' F, (R, d, d); eigenvalues that are rounding are 0."""
    variances, directions = np.linalg.eigh(covariances)
    rounding = np.finfo(np.float64).eps * variances.shape[1] * variances[:, -1:]
    return np.sqrt(np.where(variances > rounding, variances, 0))[:, :, None] * directions.transpose(0, 2, 1)


def _log_determinants(law: Stack) -> np.ndarray:
    variances = law.variances
    fine = (variances > 0).all(axis=1)
    scale = np.where(fine[:, None], variances, 1)
    logs = np.log(scale).sum(axis=1)
    if law.covariances.ndim == 3:
        roots = np.sqrt(scale)
        correlations = np.where(fine[:, None, None], law.covariances, np.eye(scale.shape[1])) / roots[:, :, None]
        eigenvalues = np.linalg.eigvalsh(correlations / roots[:, None, :])
        fine &= eigenvalues[:, 0] > scale.shape[1] * np.finfo(np.float64).eps * eigenvalues[:, -1]
        logs += np.log(np.where(fine[:, None], eigenvalues, 1)).sum(axis=1)
    return np.where(fine, logs, np.nan)


# -- records ----------------------------------------------------------------------------------------------------------


def records(study: str, arm: Arm, columns: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """A record for each row of the columns that ``run`` gave, as a cell with files of its own would have it.

    Of a subsample, which falls out differently for each seed, the composition is that expected.
    """
    prints = [_fingerprints(arm, bias) for bias in arm.sampling_bias]
    eaten = [_composition(recipe) for recipe in arm.recipes]
    measured = {name: columns[name].tolist() for name in arm.metrics}
    for row, (seed, generation) in enumerate(
        zip(columns["seed"].tolist(), columns["generation"].tolist(), strict=True)
    ):
        keys = {fingerprint["metric"]: key for key, fingerprint in prints[generation].items()}
        yield {
            "study": study,
            "arm": arm.name,
            "seed": seed,
            "generation": generation,
            "status": "ok",
            "diverged": None,
            "lineage": {},
            "values": [_value(name, keys[name], measured[name][row]) for name in arm.metrics],
            "fingerprints": prints[generation],
            "composition": eaten[generation],
        }


def means(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One record for each arm and generation, with the mean over its seeds of each value that all of them have.

    It stands as seed 0, where the records of a hundred seeds would be more than anybody looks at.
    """
    cells: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for record in records:
        cells.setdefault((record["arm"], record["generation"]), []).append(record)
    found = []
    for cell in cells.values():
        values = []
        for same in zip(*(record["values"] for record in cell), strict=True):
            numbers = [entry["value"] for entry in same]
            known = None not in numbers
            mean = {"value": float(np.mean(numbers))} if known else UNDETERMINED
            values.append({name: same[0][name] for name in ("set", "extractor", "fingerprint", "metric")} | mean)
        found.append({**cell[0], "seed": 0, "values": values})
    return found


def _composition(recipe: Recipe) -> list[dict[str, Any]]:
    total = sum(draw.count for draw in recipe.draws)
    if recipe.budget is None or recipe.budget >= total:
        return [draw._asdict() for draw in recipe.draws]
    return [draw._asdict() | {"count": round(draw.count * recipe.budget / total, 1)} for draw in recipe.draws]


def _value(name: str, fingerprint: str, value: float) -> dict[str, Any]:
    entry = {"set": "sampled", "extractor": "moments", "fingerprint": fingerprint, "metric": name}
    return entry | ({"value": value} if math.isfinite(value) else UNDETERMINED)


def _fingerprints(arm: Arm, sampling_bias: float) -> dict[str, dict[str, Any]]:
    """How the values of a generation were made, by the key that they name."""
    truth = json.dumps([arm.population, arm.population_options], sort_keys=True)
    facts = {
        "set": "sampled",
        "extractor": "moments",
        "resize": "none",
        "reference": "held_out",
        "reference_hash": hashlib.sha256(truth.encode()).hexdigest(),
        "n_real": 1,
        "n_fake": 1,
        "moments": "exact",
        **dict.fromkeys(MADE),
        "family": arm.family,
        "sampling_bias": sampling_bias,
        "source": source_hash(f"{PACKAGE}.replicates:run", *entries("models:MODELS", [arm.family])),
    }
    prints = [{"metric": name, **facts} for name in arm.metrics]
    return {hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()[:8]: one for one in prints}


UNDETERMINED = {"value": None, "reason": "not determined of this law"}
FAMILIES: dict[str, type[Stack]] = {"gaussian": Gaussians, "multinomial": Multinomials}
MEASURES: dict[str, Callable[[Stack, Stack], np.ndarray]] = {
    "variance_ratio": variance_ratio,
    "mean_drift": mean_drift,
    "frechet_distance": frechet_distance,
    "log_determinant_ratio": log_determinant_ratio,
    "surviving_categories": surviving_categories,
}
NEED_COVARIANCES = {"frechet_distance", "log_determinant_ratio"}
