"""Any regime: the exact recursion of drift and variance, of which the other regimes' laws are special cases."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..compose.regimes import Draw, Recipe, Regime, at, recipe
from .moments import Moments


def regime_moments(
    regime: Regime,
    generations: int,
    ddof: int,
    samples: int,
    sampling_bias: float | dict[int, float] = 1.0,
    kernel: float | Callable[[float], float] = 0.0,
    of_counts: bool = False,
) -> Moments:
    """Drift and variance of an arm that eats no other arm's samples, whatever its regime: exact, by one recursion.

    The mean of a training set is a sum of uncorrelated terms, one for each block of rows that are always chosen
    together. A block of k samples of the model h has the mean of that model, itself such a sum, and noise of variance
    lambda V_h / k. Rows chosen anew in every generation from a stored set share the noise of the set, of variance
    lambda V_h / ``samples``, and have noise of their own. Those of a subsample of B rows from a pool of M have the mean
    of the pool and noise of (1/B - 1/M) times the variance in the pool. With the weights w of the rows, W = sum w, and
    E x^2 the weighted mean of D_h + lambda V_h (of 1 for real rows):

        D_t = sum of the terms' variances,  V_t = b_t (E x^2 - D_t) + k_t,  b_t = W / (W - ddof sum w^2 / W)

    By the law of total variance; :func:`replace_moments`, :func:`fresh_moments`, :func:`augmentation_moments`,
    :func:`accumulate_moments` and :func:`accumulate_subsample_moments` are special cases. Nothing in it is normal: it
    holds for any truth, and for every family that has the mean of its rows and their variance, or adds to it the
    variance of a ``kernel``: k_t is this number, or what a rule f^2 (:func:`kernel_rule`) makes of the rows' variance
    over n - 1, f^2(n) n / (n - 1) (E x^2 - D_t) with n = W^2 / sum w^2. In more than one dimension all this is true of
    the squared length of the mean and of the trace of the covariance, in units of the truth's.

    of_counts: of laws whose variance is their mean, which stays on average: V_t = 1, and D_t likewise (Poisson counts).

    samples: rows of a stored set. Raises ValueError for a regime that eats the samples of another arm, and for one that
    subsamples rows of different weights.
    """
    if others := sorted({part.of for part in regime.synthetic} - {"self"}):
        raise ValueError(f"of: found {', '.join(others)}, allowed is self")
    recipes = [recipe(regime, "self", generation) for generation in range(generations + 1)]
    if regime.pool.budget is not None and any(len(set(one.weights.values())) > 1 for one in recipes):
        raise ValueError("weights: found different ones in a regime that subsamples, allowed are equal ones")
    terms = _terms(recipes, samples)
    drifts, variances = np.zeros(generations + 1), np.zeros(generations + 1)
    for t, one in enumerate(recipes):
        counts, shares, rows, squares = _weighed(one)
        second = 0.0
        for draw, share in zip(one.draws, shares, strict=True):
            h, drift, spread = draw.generation, 0.0, 1.0
            if not draw.is_real:
                drift, spread = drifts[h], at(sampling_bias, h) * variances[h]
                terms.means[t] += share * terms.means[h]
            second += share * (drift + spread)
            terms.add_rows(t, one, draw, share, spread)
        if one.budget is not None and one.budget < (pool := counts.sum()):
            rows, squares = float(one.budget), 1.0
            terms.subsample(t, second, pool, rows)
        drifts[t] = terms.drift(t)
        factor, added, n = rows / (rows - ddof * squares), kernel, rows / squares
        if callable(kernel):
            factor, added = factor + kernel(n) * n / (n - 1), 0.0
        variances[t] = 1.0 if of_counts else factor * (second - drifts[t]) + added
    return Moments(drifts, variances)


def _weighed(one: Recipe) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Of a training set: the number of rows of each draw, its share of the weight, W, and sum w^2 / W."""
    counts = np.array([draw.count for draw in one.draws], np.float64)
    weights = np.array([one.weights["real" if draw.is_real else "synthetic"] for draw in one.draws])
    rows = float(counts @ weights)
    return counts, counts * weights / rows, rows, float(counts @ weights**2) / rows


@dataclass(frozen=True, eq=False)
class _Terms:
    """The uncorrelated terms of which the means of all training sets are sums, filled in as the generations pass.

    blocks: of every stored set, the number of each block's term (:func:`_blocks`); behind those come the terms of the
    training sets' own noise, one a generation. samples: rows of a stored set. noise: (terms,) the variance of each.
    means: (generations + 1, terms) how much of each is in the mean of a training set.
    """

    blocks: dict[tuple[str, int], dict[int, int]]
    samples: int
    noise: np.ndarray
    means: np.ndarray

    def own(self, t: int) -> int:
        """The number of the term of a training set's own noise."""
        return len(self.noise) - len(self.means) + t

    def add_rows(self, t: int, one: Recipe, draw: Draw, share: float, spread: float) -> None:
        """The noise that the rows of one draw bring: they have a share of the weight, and vary by ``spread``."""
        before, chosen_anew = 0, not draw.is_real and not one.keeps_rows
        for end, term in self.blocks.get((draw.arm, draw.generation), {}).items():
            size = self.samples if chosen_anew else end - before
            if chosen_anew or end <= draw.count:
                self.noise[term] = spread / size
                self.means[t, term] += share * (1.0 if chosen_anew else size / draw.count)
            before = end
        if chosen_anew:
            of_the_set = 0.0 if one.resamples else 1 / self.samples
            self.noise[self.own(t)] += share**2 * spread * (1 / draw.count - of_the_set)

    def subsample(self, t: int, second: float, pool: float, rows: float) -> None:
        """The noise of ``rows`` drawn from a pool whose E x^2 is ``second``."""
        variance = second - self.means[t] ** 2 @ self.noise
        self.noise[self.own(t)] = variance * pool / (pool - 1) * (1 / rows - 1 / pool)

    def drift(self, t: int) -> float:
        """The variance of the mean of a training set that is complete."""
        self.means[t, self.own(t)] = 1.0
        return self.means[t] ** 2 @ self.noise


def _terms(recipes: Sequence[Recipe], samples: int) -> _Terms:
    """The terms of all training sets, before the first."""
    blocks = _blocks(recipes)
    noise = np.zeros(sum(len(ends) for ends in blocks.values()) + len(recipes))
    return _Terms(blocks, samples, noise, np.zeros((len(recipes), len(noise))))


def _blocks(recipes: Sequence[Recipe]) -> dict[tuple[str, int], dict[int, int]]:
    """The blocks of every stored set, by (arm, generation): where each one ends -> the number of its term.

    Training sets that keep their rows take the first so many of an order that never changes: each number of rows that
    is taken ends a block. One that chooses anew shares the whole set alone; new samples are nobody else's.
    """
    ends: dict[tuple[str, int], set[int]] = {}
    for one in recipes:
        for draw in one.draws:
            if draw.is_real or one.keeps_rows:
                ends.setdefault((draw.arm, draw.generation), set()).add(draw.count)
            elif not one.resamples:
                ends[draw.arm, draw.generation] = {0}
    number = itertools.count()
    return {source: {end: next(number) for end in sorted(found)} for source, found in ends.items()}
