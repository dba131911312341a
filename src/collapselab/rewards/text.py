"""Rewards of sequences: what their tokens are worth, how varied they are, and how fluent."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.choice import Options
from ..core.distances import on_host
from ..core.facts import Facts
from ..core.sequences import substrings
from ..core.sets import SampleSet
from ..features.base import ExtractorName

if TYPE_CHECKING:
    from ..features import Features

NATS = "nats"  # the column of the extractors that tell how surprising a sequence is


class WorthOptions(Options):
    """What each token is worth."""

    worth: dict[int, float] = Field(
        min_length=1, description="of tokens by their number: {3: 1.0}; all others are worth nothing"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if wrong := [token for token, worth in self.worth.items() if token < 0 or not np.isfinite(worth)]:
            raise ValueError(f"worth: found {wrong[0]}: {self.worth[wrong[0]]}, allowed are tokens from 0, and numbers")
        return self

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens that are named, which have to be of the study's vocabulary."""
        return tuple(self.worth)


def token_worth(samples: SampleSet, seen: object, options: WorthOptions) -> np.ndarray:
    """What the tokens of a sequence are worth together, r(x) = sum over its places of w(x_t): (n,) float64.

    The laws of selection are exact with it. Of independent tokens of shares p, sequences with weights e^(r / T), or one
    chosen of K -> inf (Ferbach et al. 2024, arXiv 2407.09499), have independent tokens again, of shares
    p e^(w / T) / Z.
    """
    table = np.zeros(max(int(np.max(samples.data, initial=0)), *options.tokens) + 1)
    for token, worth in options.worth.items():
        table[token] = worth
    return table[samples.data].sum(axis=1)


class VarietyOptions(Options):
    """What is counted, and how much it is liked."""

    n: int = Field(1, ge=1, description="tokens of a run; 1: the type-token ratio of a sequence")
    scale: float = Field(1.0, allow_inf_nan=False, description="by what it is multiplied; below 0 sameness is liked")


def variety(samples: SampleSet, seen: object, options: VarietyOptions) -> np.ndarray:
    """How varied a sequence is in itself: ``scale`` times its different runs of n tokens over its runs: (n,) float64.

    1 less the share of runs that it repeats (seq-rep-n of Welleck et al. 2020, arXiv 1908.04319, section 6). Raises
    ValueError for sequences shorter than a run.
    """
    runs = substrings(samples.data, options.n)
    if not runs.shape[1]:
        raise ValueError(f"n: found {options.n}, allowed are 1 to {samples.data.shape[1]}, the length of a sequence")
    found = [len(np.unique(row, axis=0)) for row in runs]
    return options.scale * np.array(found, np.float64) / runs.shape[1]


def variety_fault(facts: Facts, options: VarietyOptions) -> str:
    """Runs that are longer than a sequence."""
    length = facts.shape[0]
    return "" if options.n <= length else f"n: found {options.n}, allowed are 1 to {length}, the length of a sequence"


class FluencyOptions(Options):
    """In whose eyes, and how much it is liked."""

    extractor: ExtractorName = Field(
        "reference", description="reference: a count of real text; true-surprisal: the known truth"
    )
    scale: float = Field(
        1.0, allow_inf_nan=False, description="by what it is multiplied; below 0 what is surprising is liked"
    )


def fluency(samples: SampleSet, seen: "Mapping[str, Features]", options: FluencyOptions) -> np.ndarray:
    """How likely real text makes a sequence: ``scale`` times the mean log-probability of its tokens, (n,) float64.

    ln q(x) / length in nats, with q the known truth or an n-gram model of real text: minus the logarithm of a
    sequence's perplexity. What is impossible under q is worth -inf. Raises ValueError for an extractor that tells no
    nats.
    """
    if not len(samples):
        return np.empty(0)
    features = seen[options.extractor]
    if features.names != (NATS,):
        raise ValueError(f"extractor: {_without(options.extractor)}")
    return -options.scale * on_host(features.values)[:, 0].astype(np.float64)


def fluency_fault(facts: Facts, options: FluencyOptions) -> str:
    """An extractor that tells something else of sequences."""
    found = facts.columns(options.extractor)
    return "" if not found or found == (NATS,) else f"extractor: {_without(options.extractor)}"


def _without(extractor: str) -> str:
    return f"found {extractor!r}, which tells no nats; allowed are reference and true-surprisal"
