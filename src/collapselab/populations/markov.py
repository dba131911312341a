"""Markov chains: sequences whose next token hangs from the last one alone, with their entropy known exactly."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.sequences import Vocabulary
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import ODE_STEPS, PROBES, Judgement
from ..models.options import Options
from ..models.tokens import drawn
from .base import judged

LETTERS = "abcdefghijklmnopqrstuvwxyz"
ROUNDING = 1e-6  # that shares as somebody has written them may miss of 1

Row = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)]


class MarkovOptions(Options):
    """The chain: its matrix, or the chance of which one is drawn once for all."""

    transitions: tuple[Row, ...] | None = Field(
        None, description="row i: the shares of the tokens that follow token i; null: drawn, see states"
    )
    states: int = Field(16, ge=1, le=4096, description="of a matrix that is drawn: tokens K")
    concentration: float = Field(
        0.2, gt=0, allow_inf_nan=False, description="of a matrix that is drawn: its rows are Dirichlet, each share so"
    )
    successors: int | None = Field(
        None, ge=1, description="of a matrix that is drawn: tokens that may follow a token; null: all. Others never do"
    )
    seed: int = Field(0, ge=0, description="of a matrix that is drawn; no part of the study's random numbers")
    length: int = Field(32, ge=2, le=4096, description="tokens of a sequence")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.transitions is not None:
            wide = {len(row) for row in self.transitions}
            if wide != {len(self.transitions)}:
                raise ValueError(
                    f"transitions: found {len(self.transitions)} rows of {sorted(wide)} shares, allowed is a square"
                )
            off = [index for index, row in enumerate(self.transitions) if abs(sum(row) - 1) > ROUNDING]
            if off:
                raise ValueError(
                    f"transitions: row {off[0]} has shares with sum {sum(self.transitions[off[0]]):g}, allowed is 1"
                )
        elif self.successors is not None and self.successors > self.states:
            raise ValueError(f"successors: found {self.successors}, allowed are 1 to {self.states}, the states")
        if not _joined(self.matrix()):
            raise ValueError(
                "transitions: found tokens that never lead to others; allowed is a chain that comes from every token "
                "to every other, or its law would hang from where it began"
            )
        return self

    def matrix(self) -> np.ndarray:
        """The matrix P of the chain: (K, K) float64, each row of sum 1."""
        if self.transitions is not None:
            found = np.array(self.transitions, np.float64)
            return found / found.sum(axis=1, keepdims=True)
        source = seeds.generator(seeds.seed_of(self.seed, None, None, "markov"))
        shares = source.standard_gamma(self.concentration, (self.states, self.states))
        shares = np.maximum(shares, np.finfo(np.float64).tiny)  # a gamma of a small shape may come out as 0
        if self.successors is not None:
            away = np.argsort(source.random(shares.shape), axis=1)[:, self.successors :]
            np.put_along_axis(shares, away, 0.0, axis=1)
            rows = np.arange(self.states)
            ring = rows[shares[rows, (rows + 1) % self.states] == 0]  # each leads to the next, whatever chance says
            shares[ring, (ring + 1) % self.states] = shares[ring].max(axis=1)
        return shares / shares.sum(axis=1, keepdims=True)


def _joined(matrix: np.ndarray) -> bool:
    """Whether every token comes to every other: reached in 1, 2, 4, ... steps."""
    reached, steps = (matrix > 0) | np.eye(len(matrix), dtype=bool), 1
    while steps < len(matrix):
        reached, steps = (reached.astype(np.float32) @ reached.astype(np.float32)) > 0, 2 * steps
    return bool(reached.all())


@dataclass(frozen=True, eq=False)
class Markov:
    """The law of x_1 ~ pi, x_{t+1} ~ P[x_t]: every place of a sequence has the same law, pi = pi P.

    A sample is possible if none of its transitions has a probability of 0; its cell is its first transition.
    """

    PopulationOptions: ClassVar = MarkovOptions
    gives: ClassVar = "sequences"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: MarkovOptions

    @classmethod
    def population(cls, options: MarkovOptions) -> Self:
        """The chain that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (length,)."""
        return (self.options.length,)

    @cached_property
    def matrix(self) -> np.ndarray:
        """The transitions P: (K, K) float64."""
        return self.options.matrix()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens, shown as letters where there are enough."""
        size = len(self.matrix)
        return Vocabulary(size, LETTERS[:size] if size <= len(LETTERS) else None)

    @cached_property
    def stationary(self) -> np.ndarray:
        """The law pi of each place, (K,) float64: pi (P - I) = 0 and sum pi = 1."""
        size = len(self.matrix)
        equations = np.vstack([self.matrix.T - np.eye(size), np.ones(size)])
        found = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0].clip(0.0)
        return found / found.sum()

    @property
    def entropy_rate(self) -> float:
        """The entropy of a token given the one before it, in nats: h = - sum_ij pi_i P_ij ln P_ij.

        Shannon 1948 ("A mathematical theory of communication", section 7).
        """
        logs = np.log(self.matrix, out=np.zeros_like(self.matrix), where=self.matrix > 0)
        return float(-(self.stationary @ (self.matrix * logs).sum(axis=1))) + 0.0

    @property
    def entropy(self) -> float:
        """The entropy of a sequence in nats: H(pi) + (length - 1) h; exp(entropy / length) is its perplexity."""
        there = self.stationary[self.stationary > 0]
        return float(-(there @ np.log(there))) + (self.options.length - 1) * self.entropy_rate

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, length) int32."""
        check_ask(ask, self)
        uniform = seeds.uniforms(ask.seed, ask.start, ask.count, self.options.length)
        found = np.empty(uniform.shape, np.int32)
        laws = np.broadcast_to(self.stationary, (ask.count, len(self.matrix)))
        for at in range(self.options.length):
            found[:, at] = drawn(laws, uniform[:, at])
            laws = self.matrix[found[:, at]]
        return SampleSet(found)

    def log_likelihood(
        self, data: np.ndarray, seed: int = 0, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each sequence in nats, (n,) float64: ln pi_x1 + sum ln P_{x_t x_t+1}; -inf where it is 0.

        data: (n, length) int32 of any length; a token outside of 0 .. K - 1 is impossible. Seed, steps and probes have
        no part in it.
        """
        tokens, inside = self._inside(data)
        with np.errstate(divide="ignore"):
            first, steps_ = np.log(self.stationary)[tokens[:, 0]], np.log(self.matrix)[tokens[:, :-1], tokens[:, 1:]]
        return np.where(inside, first + steps_.sum(axis=1), -np.inf)

    def _inside(self, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tokens, those outside of the vocabulary as 0, and which sequences have none of these."""
        tokens = np.asarray(data)
        if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not tokens.shape[1]:
            raise ValueError(f"data: found {tokens.dtype} of shape {tokens.shape}, allowed are rows of tokens")
        inside = (tokens >= 0) & (tokens < len(self.matrix))
        return np.where(inside, tokens, 0), inside.all(axis=1)

    @cached_property
    def _cells(self) -> np.ndarray:
        """The number of the cell of each transition: (K, K) int64, -1 of one that never happens."""
        occurs = (self.stationary[:, None] * self.matrix) > 0
        return np.where(occurs, np.cumsum(occurs).reshape(occurs.shape) - 1, -1)

    @property
    def masses(self) -> np.ndarray:
        """The probability of each transition pi_i P_ij that happens at all: (C,) float64, together 1."""
        joint = self.stationary[:, None] * self.matrix
        return joint[joint > 0]

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each sequence has transitions that happen alone, and which its first one is.

        data: (n, length) whole numbers, of two tokens or more; those outside of 0 .. K - 1 are impossible.
        """
        tokens, inside = self._inside(data)
        happens = (self._cells[tokens[:, :-1], tokens[:, 1:]] >= 0).all(axis=1)
        return judged(inside & happens, self._cells[tokens[:, 0], tokens[:, 1]])
