"""The n-gram model of sequences: how often a token follows those before it, counted.

Shannon 1948 ("A mathematical theory of communication", section 3) drew English of it by hand. Its fit and its
likelihood are exact, so that what a loop of it loses is the loop's doing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.kinds import KindName
from ..core.run import Run
from ..core.sequences import LARGEST, check_tokens
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import checked_row_shape
from .stored import Stored
from .tokens import Sharpened, drawn

BLOCK = 2**21  # numbers of laws that are held at once


class NGramOptions(Sharpened):
    """How far back the model looks, and what it makes of what it has never seen."""

    vocabulary: int = Field(ge=1, le=LARGEST, description="number of tokens V; the data are 0 .. V - 1")
    order: int = Field(3, ge=1, description="tokens that are looked at together, n: a token and the n - 1 before it")
    alpha: float = Field(
        0.01, ge=0, allow_inf_nan=False, description="additive smoothing: rows added to every token after every context"
    )
    smoothing: Literal["additive", "hierarchical"] = Field(
        "additive", description="how those rows fall: alike on all tokens, or as after the context that is one shorter"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"vocabulary": 5, "order": 2, "alpha": 0.1}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.vocabulary + 1) ** self.order >= 2**63:
            most = next(n for n in range(self.order, 0, -1) if (self.vocabulary + 1) ** n < 2**63)
            raise ValueError(f"order: found {self.order}, allowed with vocabulary: {self.vocabulary} are 1 to {most}")
        return self


class Level(NamedTuple):
    """Counts of runs of k tokens, those of one context side by side.

    grams: (U,) int64, the runs as numbers, ascending. counts: (U,) float64. contexts: (C,) int64, ascending. begins:
    (C + 1,) where the runs of each context begin. totals: (C,) float64.
    """

    grams: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    begins: np.ndarray
    totals: np.ndarray


@dataclass(frozen=True, eq=False)
class NGram:
    """The law of a token given those before it.

    grams: (U, n) int32, the runs that were seen, in ascending order; V stands before the first token of a sequence.
    counts: (U,) float64, the summed weight of the rows in which each occurs, as often as it does. length: tokens of one
    sample.
    """

    Options: ClassVar = NGramOptions
    takes: ClassVar = ("sequences",)
    density: ClassVar = "exact"
    bias: ClassVar = "temperature"
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: NGramOptions
    grams: np.ndarray
    counts: np.ndarray
    length: int

    @classmethod
    def fit(cls, training: TrainingSet, options: NGramOptions, run: Run, init: Self | None = None) -> Self:
        """The counts of all runs of n tokens, the first ones of a sequence with its beginning before them.

        With N(c) the summed weight of a context c of n - 1 tokens and N(c, w) that of w after it, the law is

            additive        p(w | c) = (N(c, w) + alpha) / (N(c) + V alpha)
            hierarchical    p(w | c) = (N(c, w) + V alpha p(w | c')) / (N(c) + V alpha)

        with c' the context without its first token, and 1 / V behind the shortest (MacKay and Peto 1995, "A
        hierarchical Dirichlet language model", eq. 34, with one strength for all contexts). A context of which nothing
        is known, where alpha is 0, has the law of c'. With alpha 0 it is the estimate of maximum likelihood. Here
        weights are counts: doubling them all halves the pull of alpha. The fit is in closed form: of the other
        arguments none has a part in it.

        training.data: (N, length) int32 tokens 0 .. V - 1. Raises ValueError for others, or when no row has a weight,
        and Diverged when a weight is not finite.
        """
        data, weights = np.asarray(training.data), np.asarray(training.weights, np.float64)
        check_tokens(data, options.vocabulary, "ngram")
        if not np.isfinite(weights.sum()):
            raise Diverged(len(data), float("nan"))
        if not (weights > 0).any():
            raise ValueError("ngram needs at least one row with weight; got none")
        keys = _runs(data, options)
        found, place = np.unique(keys, return_inverse=True)
        counts = np.bincount(place.ravel(), np.repeat(weights, data.shape[1]), len(found))
        there = counts > 0
        return cls(options, _tokens(found[there], options), counts[there], data.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, (length,)."""
        return (self.length,)

    @cached_property
    def _levels(self) -> list[Level]:
        """Counts of runs of 1, 2, ... n tokens: the shorter ones are the ends of the longer."""
        base, found = self.options.vocabulary + 1, []
        whole = _numbers(self.grams, base)
        for k in range(1, self.options.order + 1):
            ends, place = np.unique(whole % base**k, return_inverse=True)
            counts = np.bincount(place.ravel(), self.counts, len(ends))
            contexts, begins = np.unique(ends // base, return_index=True)
            totals = np.add.reduceat(counts, begins)
            found.append(Level(ends, counts, contexts, np.append(begins, len(ends)), totals))
        return found

    @property
    def _prior(self) -> float:
        """Rows that are added after a context, over all tokens together."""
        return self.options.alpha * self.options.vocabulary

    def laws(self, contexts: np.ndarray) -> np.ndarray:
        """The law of the token after each context: (m, V) float64, normalised.

        contexts: (m, n - 1) int32, with V before a sequence's first token.
        """
        return self._laws(_numbers(contexts, self.options.vocabulary + 1))

    def _laws(self, keys: np.ndarray) -> np.ndarray:
        """The same of contexts as numbers, (m,) int64."""
        size = self.options.vocabulary
        found = np.full((len(keys), size), 1.0 / size)
        for k, level in enumerate(self._levels):
            found = self._mixed(found, *_dense(level, keys % (size + 1) ** k, size))
        return found

    def _mixed(self, shorter: np.ndarray, counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
        """A law given counts and what the shorter context says; of nothing counted, what that says."""
        prior = shorter if self.options.smoothing == "hierarchical" else 1.0 / self.options.vocabulary
        weight = totals + self._prior
        known = weight > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(known, (counts + self._prior * prior) / weight, shorter)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, token after token: data (count, length) int32.

        Each token is drawn of its law at the temperature ``options.temperature * ask.bias``, cut to the ``top_k``
        likeliest tokens and then to those that have ``top_p`` of the mass (:func:`models.tokens.sharpened`). Every
        token of a sample inverts its own uniform number. Raises ValueError when a guide is given.
        """
        check_ask(ask, self)
        found = np.empty((ask.count, self.length), np.int32)
        rows = max(1, BLOCK // self.options.vocabulary)
        for first in range(0, ask.count, rows):
            block = found[first : first + rows]
            uniform = seeds.uniforms(ask.seed, ask.start + first, len(block), self.length)
            for at, context in enumerate(_contexts(block, self.options)):
                asked, place = np.unique(_numbers(context, self.options.vocabulary + 1), return_inverse=True)
                laws = self.options.sharpened(self._laws(asked), ask.bias)
                block[:, at] = drawn(laws[place.ravel()], uniform[:, at])
        return SampleSet(found)

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each sequence in nats, the sum over its tokens, (n,) float64: -inf for one that has none.

        It is of the model as it was fitted: temperature, top_k and top_p have no part in it. data: (n, length) int32 of
        any length; tokens outside of the vocabulary raise ValueError. Seed, steps and probes have no part in it.
        """
        data = np.asarray(data)
        check_tokens(data, self.options.vocabulary)
        keys, base = _runs(data, self.options), self.options.vocabulary + 1
        found = np.full(len(keys), 1.0 / self.options.vocabulary)
        for k, level in enumerate(self._levels, 1):
            runs = keys % base**k
            counts = _looked_up(level.grams, level.counts, runs)
            found = self._mixed(found, counts, _looked_up(level.contexts, level.totals, runs // base))
        with np.errstate(divide="ignore"):
            return np.log(found).reshape(len(data), -1).sum(axis=1)

    def stored(self) -> Stored:
        """shape, grams, counts, and a training curve without points: a closed form has no steps."""
        shape = np.array([self.length], np.int64)
        return Stored({"shape": shape, "grams": self.grams, "counts": self.counts, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: NGramOptions, shape: tuple[int, ...], rows: int) -> int:
        """A run and its count for each token, or for each run that there can be where these are fewer."""
        (length,) = shape
        possible = sum(options.vocabulary**k for k in range(1, options.order + 1))  # the short ones at a beginning
        return min(rows * length, possible) * (4 * options.order + 8)

    @classmethod
    def load(cls, stored: Stored, options: NGramOptions) -> Self:
        """The model that ``stored`` and ``options`` describe. Raises ValueError for runs of other tokens."""
        grams, counts, sizes = (stored.tensors[name] for name in ("grams", "counts", "shape"))
        if grams.dtype != np.int32 or grams.shape != (len(counts), options.order):
            raise ValueError(
                f"grams: found {grams.dtype} of shape {grams.shape}, allowed is int32 (U, {options.order})"
            )
        if not grams.size or not 0 <= grams.min() <= grams.max() <= options.vocabulary:
            raise ValueError(f"grams: found none, or tokens that are not 0 to {options.vocabulary}")
        (length,) = checked_row_shape(sizes)
        return cls(options, grams, counts, length)


# -- runs of tokens as numbers -----------------------------------------------------------------------------------------


def _contexts(data: np.ndarray, options: NGramOptions) -> Iterator[np.ndarray]:
    """The n - 1 tokens before each place in turn, (rows, n - 1), as far as they are written by then."""
    back = options.order - 1
    padded = np.full((len(data), back + data.shape[1]), options.vocabulary, np.int32)
    for at in range(data.shape[1]):
        if at:
            padded[:, back + at - 1] = data[:, at - 1]
        yield padded[:, at : at + back]


def _runs(data: np.ndarray, options: NGramOptions) -> np.ndarray:
    """The run of n tokens that ends at each place of each sequence, as a number: (rows * length,) int64."""
    before = np.full((len(data), options.order - 1), options.vocabulary, np.int32)
    padded = np.concatenate([before, data], axis=1).astype(np.int64)
    keys = np.zeros(data.shape, np.int64)
    for place in range(options.order):
        keys = keys * (options.vocabulary + 1) + padded[:, place : place + data.shape[1]]
    return keys.ravel()


def _numbers(runs: np.ndarray, base: int) -> np.ndarray:
    """Runs of tokens (m, k) as numbers to a base: (m,) int64."""
    keys = np.zeros(len(runs), np.int64)
    for column in runs.T:
        keys = keys * base + column
    return keys


def _tokens(keys: np.ndarray, options: NGramOptions) -> np.ndarray:
    """The runs that numbers stand for: (m, n) int32."""
    base, found = options.vocabulary + 1, np.empty((len(keys), options.order), np.int32)
    for place in range(options.order - 1, -1, -1):
        keys, found[:, place] = np.divmod(keys, base)
    return found


def _looked_up(known: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The value of each number that is asked for: 0 of one that is not known."""
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[place] == asked, values[place], 0.0)


def _dense(level: Level, contexts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The counts of all tokens after each context, (m, V), and their sums, (m, 1)."""
    place = np.minimum(np.searchsorted(level.contexts, contexts), len(level.contexts) - 1)
    rows = np.flatnonzero(level.contexts[place] == contexts)
    begins, many = level.begins[place[rows]], np.diff(level.begins)[place[rows]]
    entries = np.arange(many.sum()) + np.repeat(begins - np.append(0, np.cumsum(many)[:-1]), many)
    counts, totals = np.zeros((len(contexts), size)), np.zeros((len(contexts), 1))
    counts[np.repeat(rows, many), level.grams[entries] % (size + 1)] = level.counts[entries]
    totals[rows, 0] = level.totals[place[rows]]
    return counts, totals
