"""How a training set is composed, generation by generation: one small algebra and the field's names written in it.

A regime says what enters at each generation (real rows that are fixed, fresh or redrawn; synthetic rows of this arm or
another) and what becomes of the earlier entries (replaced, accumulated, or accumulated and subsampled). For
generation ``t`` it comes to a list of ``Draw(arm, generation, count)`` and nothing else: the Snakefile reads from it
which files a training set needs, and compose reads how many rows of each. Pure arithmetic, no files.

Reality takes part as three arms whose names no study can give away: ``fixed`` (the same rows of the train split in
every generation), ``fresh`` (rows of the fresh split that no generation has seen), ``redrawn`` (rows of the train split
drawn anew in every generation). Of a known population, fresh and redrawn rows are both new draws.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    model_validator,
)

REAL = ("fixed", "fresh", "redrawn")
ROWS_MAX = 10**9  # of a training set or a sample; the largest that anybody has trained on is of that order
IMAGES_MAX = 10**13  # that a training sees

# -- schedules ------------------------------------------------------------------------------------------------------

BY_GENERATION = "by generation"
"""Marks the options that may be a sequence over generations."""


def _generations(value: object) -> object:
    # JSON has no integer keys: a regime that went through a command line comes back with words.
    if isinstance(value, dict):
        return {int(key) if isinstance(key, str) and key.isdigit() else key: number for key, number in value.items()}
    return value


def _starts_at_once(changes: dict[int, float]) -> dict[int, float]:
    if (first := min(changes)) > 1:
        raise ValueError(
            f"starts at generation {first}; say what holds before: {{1: ..., {first}: {changes[first]!r}}}"
        )
    return changes


def _schedule(number: object, what: str, late: bool = False) -> object:
    # Before they come, rows are none; of a budget, a weight or a bias nobody can say what it is.
    before = "0 before the first" if late else "its first generation is 0 or 1"
    changes = Annotated[dict[Annotated[int, Field(ge=0)], number], Field(min_length=1)]
    if not late:
        changes = Annotated[changes, AfterValidator(_starts_at_once)]
    return Annotated[
        Annotated[number, Tag("number")] | Annotated[changes, Tag("schedule")],
        Discriminator(lambda value: "schedule" if isinstance(value, dict) else "number"),
        BeforeValidator(_generations),
        PlainSerializer(lambda value: {str(k): v for k, v in value.items()} if isinstance(value, dict) else value),
        Field(description=f"{what}: one number, or {{generation: number}}, each from its generation on; {before}"),
        BY_GENERATION,
    ]


Count = _schedule(Annotated[int, Field(ge=0, le=ROWS_MAX)], "a number of rows", late=True)
Positive = _schedule(Annotated[int, Field(ge=1, le=ROWS_MAX)], "a number, at least 1")
Budget = _schedule(Annotated[int, Field(ge=0, le=IMAGES_MAX)], "a number of images")
Rows = Annotated[int, Field(ge=1, le=ROWS_MAX, description="a number of rows")]
Weight = _schedule(Annotated[float, Field(ge=0, allow_inf_nan=False)], "the weight of a row")
Bias = _schedule(
    Annotated[float, Field(gt=0, allow_inf_nan=False)],
    "the sampling bias lambda of MAD, 1 for none; above 1, of families whose samples it widens, a temperature",
)
Noise = _schedule(Annotated[float, Field(ge=0, allow_inf_nan=False)], "a noise level")


def at(schedule: float | dict[int, float], generation: int) -> float:
    """The number that holds at a generation: the last one named up to it, and 0 before the first.

    What starts at generation 1 holds at generation 0, too, which loops leave out when they count: a budget for all
    trainings is written either way. Only numbers of rows may start later.
    """
    if not isinstance(schedule, dict):
        return schedule
    reached = [start for start in schedule if start <= generation]
    if not reached and generation == 0 and 1 in schedule:
        return schedule[1]
    return schedule[max(reached)] if reached else 0


# -- the algebra ------------------------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


class Initial(_Part):
    """The training set of generation 0: real data only."""

    real: int = Field(ge=1, le=ROWS_MAX, description="rows of the train split, or draws from the population")


class Real(_Part):
    """Real rows that enter at each generation from 1 on: new ones, or by ``replay`` some that entered before (the first
    ones and fresh ones), as a buffer keeps them.
    """

    fixed: Count = 0
    fresh: Count = 0
    redrawn: Count = 0
    replay: Count = 0

    def replayed(self, initial: int, generation: int) -> "list[Draw]":
        """The real rows that come back, in equal shares of the generations before, at most as many as entered there.

        Those of a generation are the first ones that entered, so that a buffer which is shared by more generations
        keeps a part of what it kept, and takes nothing in again. What does not divide goes to the latest.
        """
        if not generation or not (count := at(self.replay, generation)):
            return []
        each, left = divmod(count, generation)
        entered = [initial, *(at(self.fresh, past) for past in range(1, generation))]
        shares = [min(each + (past >= generation - left), entered[past]) for past in range(generation)]
        return [Draw("fresh" if past else "fixed", past, share) for past, share in enumerate(shares)]


class LastK(_Part):
    """The last K generations."""

    last: int = Field(ge=1)


class Synthetic(_Part):
    """Synthetic rows that enter at each generation from 1 on: ``n`` in all, shared equally by the generations eaten."""

    n: Count
    of: str = Field("self", description="whose samples: self, or the name of another arm")
    from_: Literal["last", "all"] | LastK = Field("last", alias="from", description="last, {last: K} or all")
    draw: Literal["stored", "resample"] = Field(
        "stored", description="stored: rows of the kept samples; resample: new samples of the ancestors' models"
    )

    def window(self, generation: int) -> range:
        """The generations eaten at ``generation``."""
        reach = {"last": 1, "all": generation}.get(self.from_) if isinstance(self.from_, str) else self.from_.last
        return range(max(0, generation - reach), generation)


class Pool(_Part):
    """What becomes of the entries of earlier generations."""

    mode: Literal["replace", "accumulate", "subsample"] = "replace"
    budget: Positive | None = Field(None, description="subsample: rows drawn without replacement from all that entered")
    includes: list[Literal["real", "synthetic"]] = Field(["real", "synthetic"], description="which entries stay")

    @model_validator(mode="after")
    def _budget_goes_with_subsample(self) -> Self:
        if (self.budget is not None) != (self.mode == "subsample"):
            raise ValueError(f"a budget goes with mode: subsample and with no other; found mode {self.mode!r}")
        return self


class Weights(_Part):
    """The weight of a row in the loss, where a paper weights instead of counting; in generation 0 it is 1."""

    real: Weight = 1.0
    synthetic: Weight = 1.0


class FromGeneration(_Part):
    """Each generation starts from the model of one generation."""

    generation: int = Field(ge=0)


class FromPrevious(_Part):
    """Each generation starts from the last model: as it was sampled, or as it was before the arm adapted it."""

    from_: Literal["adapted", "trained"] = Field(alias="from", description="which; previous is the adapted one")


class FromWeights(_Part):
    """Generation 0 starts from a model file, and later generations from it again or from the last model."""

    weights: str
    then: Literal["weights", "previous"] = Field("weights", description="what later generations start from")


Init = Literal["scratch", "previous"] | FromPrevious | FromGeneration | FromWeights


def start(init: Init, generation: int) -> str | tuple[int, str] | None:
    """What the training of a generation starts from: a file of weights, the generation and role of a model, or None."""
    if hasattr(init, "weights"):
        if generation == 0 or init.then == "weights":
            return init.weights
        init = init.then
    if generation == 0 or init == "scratch":
        return None
    if isinstance(init, FromGeneration):
        return min(init.generation, generation - 1), "adapted"
    return generation - 1, init.from_ if isinstance(init, FromPrevious) else "adapted"


class Regime(_Part):
    """How the training sets of one arm are composed."""

    initial: Initial
    real: Real = Real()
    synthetic: list[Synthetic] = []
    pool: Pool = Pool()
    init: Init = "scratch"
    weights: Weights = Weights()

    @model_validator(mode="after")
    def _draws_are_of_one_kind(self) -> Self:
        if self.real.replay and self.pool.mode != "replace":
            raise ValueError(
                f"real.replay: found {self.real.replay} in a pool with mode {self.pool.mode!r}, which keeps its rows "
                "by itself; allowed is pool mode replace"
            )
        kinds = {part.draw for part in self.synthetic}
        if len(kinds) > 1:
            raise ValueError("one regime draws all its synthetic rows the same way; found both 'stored' and 'resample'")
        if kinds == {"resample"} and self.pool.mode != "replace":
            raise ValueError(
                f"draw: resample makes new rows in every generation, but a pool with mode {self.pool.mode!r} keeps "
                "its rows; allowed: draw: stored, or pool mode replace"
            )
        return self

    @property
    def resamples(self) -> bool:
        """Whether synthetic rows are drawn anew from the ancestors' models."""
        return any(part.draw == "resample" for part in self.synthetic)


class Draw(NamedTuple):
    """``count`` rows of what ``arm`` made at ``generation``."""

    arm: str
    generation: int
    count: int

    @property
    def is_real(self) -> bool:
        """Whether these rows are real data."""
        return self.arm in REAL


def entering(regime: Regime, arm: str, generation: int) -> list[Draw]:
    """What enters the pool at a generation."""
    if generation == 0:
        return [Draw("fixed", 0, regime.initial.real)]
    real = regime.real
    draws = [
        Draw("fixed", 0, at(real.fixed, generation)),
        Draw("fresh", generation, at(real.fresh, generation)),
        Draw("redrawn", generation, at(real.redrawn, generation)),
        *real.replayed(regime.initial.real, generation),
    ]
    for part in regime.synthetic:
        eaten = part.window(generation)
        each, left = divmod(at(part.n, generation), len(eaten))
        # What does not divide goes to the latest generations.
        draws += [
            Draw(arm if part.of == "self" else part.of, past, each + (past >= eaten.stop - left)) for past in eaten
        ]
    return _merged(draws)


def draws(regime: Regime, arm: str, generation: int) -> list[Draw]:
    """The pool of a generation: everything that the training set is taken from, real data first.

    A pool that replaces holds what enters now. A pool that accumulates also holds what entered before, of the origins
    that it includes; fixed rows are in it once.
    """
    if regime.pool.mode == "replace":
        return entering(regime, arm, generation)
    kept = [
        draw
        for past in range(generation)
        for draw in entering(regime, arm, past)
        if ("real" if draw.is_real else "synthetic") in regime.pool.includes
    ]
    return _merged(kept + entering(regime, arm, generation))


def _merged(draws: list[Draw]) -> list[Draw]:
    counts: dict[tuple[str, int], int] = {}
    for arm, generation, count in draws:
        before = counts.get((arm, generation), 0)
        counts[arm, generation] = max(before, count) if arm == "fixed" else before + count
    order = sorted(counts, key=lambda key: (key[0] not in REAL, key[0], key[1]))
    return [Draw(*key, counts[key]) for key in order if counts[key]]


def size(regime: Regime, arm: str, generation: int) -> int:
    """The number of rows of a training set."""
    return _within_budget(regime, generation, sum(draw.count for draw in draws(regime, arm, generation)))


def _within_budget(regime: Regime, generation: int, total: int) -> int:
    if regime.pool.budget is None or generation == 0:
        return total
    return min(total, at(regime.pool.budget, generation))


class Pooled(NamedTuple):
    """What a pool has become at a generation.

    changed: of its draws those that are new or have grown; all of them where it replaces. size: rows of the training
    set. real, synthetic: whether the pool has any such rows.
    """

    changed: list[Draw]
    size: int
    real: bool
    synthetic: bool


def pooled(regime: Regime, arm: str, last: int) -> Iterator[Pooled]:
    """What becomes of the pool from generation 0 to the ``last``, each from the one before it.

    :func:`draws` of every generation would take a time that grows with the square of their number.
    """
    kept: dict[tuple[str, int], int] = {}
    rows = {True: 0, False: 0}  # of kept draws: real ones, and synthetic ones
    stay = () if regime.pool.mode == "replace" else regime.pool.includes
    for generation in range(last + 1):
        changed, now = [], dict(rows)
        for draw in entering(regime, arm, generation):
            before = kept.get(draw[:2], 0)
            count = max(before, draw.count) if draw.arm == "fixed" else before + draw.count
            changed.append(draw._replace(count=count))
            now[draw.is_real] += count - before
            if ("real" if draw.is_real else "synthetic") in stay:
                kept[draw[:2]] = count
                rows[draw.is_real] += count - before
        total = _within_budget(regime, generation, sum(now.values()))
        yield Pooled(changed, total, now[True] > 0, now[False] > 0)


def sizes(regime: Regime, arm: str, last: int) -> list[int]:
    """The number of rows of each training set, from generation 0 to the ``last``."""
    return [one.size for one in pooled(regime, arm, last)]


def ancestors(regime: Regime, arm: str, generation: int) -> list[tuple[str, int]]:
    """The (arm, generation) whose synthetic rows a training set needs; none in generation 0."""
    return [(draw.arm, draw.generation) for draw in draws(regime, arm, generation) if not draw.is_real]


def fresh_before(regime: Regime, generation: int) -> int:
    """How many fresh real rows the generations before this one have used up."""
    return sum(at(regime.real.fresh, past) for past in range(1, generation))


class Recipe(_Part):
    """What a regime comes to at one generation: all that compose needs to know, with every schedule resolved.

    A rule hands this to its job, so that a change of later generations does not touch earlier ones.
    """

    generation: int
    draws: list[Draw]
    fresh_before: dict[Annotated[int, BeforeValidator(int)], int] = Field(
        description="for each generation with fresh rows: how many the generations before it have used up"
    )
    budget: int | None = Field(description="rows drawn without replacement from all draws; None takes all")
    keeps_rows: bool = Field(description="whether synthetic rows that once entered stay the same in later generations")
    resamples: bool
    weights: dict[Literal["real", "synthetic"], float]


def recipe(regime: Regime, arm: str, generation: int) -> Recipe:
    """The recipe of one training set."""
    pool = draws(regime, arm, generation)
    # Arms share generation 0, whose rows are all real: nothing of one arm's own may reach it.
    weights = regime.weights if generation else Weights()
    budget = None if regime.pool.budget is None or generation == 0 else at(regime.pool.budget, generation)
    return Recipe(
        generation=generation,
        draws=pool,
        fresh_before={draw.generation: fresh_before(regime, draw.generation) for draw in pool if draw.arm == "fresh"},
        budget=budget,
        keeps_rows=generation > 0 and regime.pool.mode != "replace",
        resamples=generation > 0 and regime.resamples,
        weights={"real": at(weights.real, generation), "synthetic": at(weights.synthetic, generation)},
    )


# -- the field's names ------------------------------------------------------------------------------------------------
# A preset's annotations say what a study may give it: they are checked, and they are in the JSON schema.


def real_only(n: Positive, initial: Rows) -> Regime:
    """The control: the same ``n`` real rows in every generation, at the budget of the arms that it stands beside."""
    return Regime(initial=Initial(real=initial), real=Real(fixed=n))


def fully_synthetic(n: Positive, initial: Rows) -> Regime:
    """``n`` samples of the last model and nothing else (MAD: Alemohammad et al. 2023, https://arxiv.org/abs/2307.01850).

    Gerstgrasser et al. 2024 call it replace.
    """
    return Regime(initial=Initial(real=initial), synthetic=[Synthetic(n=n)])


def synthetic_augmentation(n: Positive, initial: Rows, fixed: Count) -> Regime:
    """``fixed`` real rows, the same in every generation, filled up to ``n`` with samples of the last model (MAD)."""
    return Regime(
        initial=Initial(real=initial), real=Real(fixed=fixed), synthetic=[Synthetic(n=_rest(n, fixed, "fixed"))]
    )


def fresh_data(n: Positive, initial: Rows, fresh: Count) -> Regime:
    """``fresh`` real rows that no generation has seen, filled up to ``n`` with samples of the last model (MAD)."""
    return Regime(
        initial=Initial(real=initial), real=Real(fresh=fresh), synthetic=[Synthetic(n=_rest(n, fresh, "fresh"))]
    )


def ten_percent_real(n: Positive, initial: Rows) -> Regime:
    """A tenth of ``n`` drawn anew from the original data, the rest from the last model.

    Shumailov et al. 2024, https://doi.org/10.1038/s41586-024-07566-y.
    """
    tenth = {generation: number // 10 for generation, number in _changes(n).items()}
    synthetic = [Synthetic(n=_rest(n, tenth, "a tenth"))]
    return Regime(initial=Initial(real=initial), real=Real(redrawn=tenth), synthetic=synthetic)


def accumulate(n: Positive, initial: Rows) -> Regime:
    """The initial real data and ``n`` samples of every model so far: the set grows (Gerstgrasser et al. 2024,
    https://arxiv.org/abs/2404.01413).
    """
    pool = Pool(mode="accumulate")
    return Regime(initial=Initial(real=initial), synthetic=[Synthetic(n=n)], pool=pool)


def accumulate_subsample(n: Positive, initial: Rows) -> Regime:
    """``n`` rows drawn without replacement from the initial data and ``n`` samples of every model so far.

    Kazdan et al. 2024, https://arxiv.org/abs/2410.16713.
    """
    pool = Pool(mode="subsample", budget=n)
    return Regime(initial=Initial(real=initial), synthetic=[Synthetic(n=n)], pool=pool)


def k_memory(
    n: Positive,
    initial: Rows,
    fresh: Count,
    k: Annotated[int, Field(ge=1, description="how many generations are remembered")],
) -> Regime:
    """``fresh`` new real rows, filled up to ``n`` with new samples of the last ``k`` models in equal shares (MAD)."""
    synthetic = Synthetic(n=_rest(n, fresh, "fresh"), from_=LastK(last=k), draw="resample")
    return Regime(initial=Initial(real=initial), real=Real(fresh=fresh), synthetic=[synthetic])


def _changes(schedule: Count) -> dict[int, int]:
    return schedule if isinstance(schedule, dict) else {0: schedule}


def _rest(n: Count, part: Count, name: str) -> dict[int, int]:
    rest = {t: at(n, t) - at(part, t) for t in sorted({*_changes(n), *_changes(part)})}
    for generation, number in rest.items():
        if number < 0:
            found = f"n = {at(n, generation)}, {name} = {at(part, generation)} from generation {generation} on"
            raise ValueError(f"{name} is part of n and cannot exceed it; found {found}")
    return rest


REGIMES: dict[str, Callable[..., Regime]] = {
    "real_only": real_only,
    "fully_synthetic": fully_synthetic,
    "synthetic_augmentation": synthetic_augmentation,
    "fresh_data": fresh_data,
    "ten_percent_real": ten_percent_real,
    "accumulate": accumulate,
    "accumulate_subsample": accumulate_subsample,
    "k_memory": k_memory,
}
