"""Naive Bayes without a class: every feature has its own shares, and the features are independent.

It needs few counts where the multinomial needs one for every combination, and pays with all dependence between the
features: its loss is their total correlation. In a loop this is lost at once, and then the shares drift (``theory``).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.images import to_unit
from ..core.kinds import KINDS, KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES
from .inputs import checked_shape
from .options import Options
from .stored import Stored

GREY_LEVELS = 256
BLOCK = 2**22  # numbers drawn at once: a set of images of many pixels does not fit into memory as float64


class NaiveBayesOptions(Options):
    """What the features are, and how their shares are estimated."""

    levels: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        min_length=1,
        description="number of values of each feature, for categories: 0 .. their product - 1 counts all combinations, "
        "the last feature fastest; images have none, a feature is a pixel of a channel",
    )
    bins: Literal[2, 4, 8, 16, 32, 64, 128, 256] = Field(
        256, description="of images: values of a pixel, each of as many grey levels"
    )
    alpha: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Laplace smoothing: rows added to every value of every feature"
    )

    @field_validator("levels")
    @classmethod
    def _check(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and math.prod(value) >= 2**63:
            raise ValueError("levels must have a product below 2^63, so that a combination is a whole number")
        return value

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"levels": [2, 3], "alpha": 0.5} if kind == "categories" else {"bins": 4, "alpha": 0.5}

    def check_kind(self, kind: KindName) -> None:
        """Raise ValueError for categories without levels, or images with them."""
        if (kind == "categories") != (self.levels is not None):
            allowed = "the number of values of each feature" if kind == "categories" else "none: a pixel has its bins"
            raise ValueError(f"levels: found {self.levels and list(self.levels)}, allowed with {kind} is {allowed}")


def total_correlation(probabilities: np.ndarray, levels: Sequence[int]) -> float:
    """How far features are from independent, in nats: KL(p || product of its marginals), at least 0.

        TC = sum_j H(p_j) - H(p)

    It is what naive Bayes loses, however much data there are (Watanabe 1960). probabilities: (K,) float that sum to 1,
    of all combinations in the order of ``np.ravel_multi_index``, the last feature fastest. levels: the number of values
    of each feature, whose product is K; others raise ValueError.
    """
    joint = np.asarray(probabilities, np.float64)
    if joint.size != math.prod(levels):
        raise ValueError(
            f"levels: found {list(levels)} for {joint.size} combinations, allowed is a product equal to it"
        )
    joint = joint.reshape(levels)
    axes = range(joint.ndim)
    marginals = (joint.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes)
    return max(0.0, sum(map(_entropy, marginals)) - _entropy(joint))


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())


@dataclass(frozen=True, eq=False)
class NaiveBayes:
    """The law of independent features with given shares.

    shares: those of all features one after the other, float64; each feature's sum to 1. levels: the number of values of
    each feature. row_shape: the shape of one sample, () or (C, H, W).
    """

    Options: ClassVar = NaiveBayesOptions
    takes: ClassVar = ("categories", "images")
    density: ClassVar = "exact"
    bias: ClassVar = "temperature"
    conditions: ClassVar = ()
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: NaiveBayesOptions
    shares: np.ndarray
    row_shape: tuple[int, ...]

    @classmethod
    def fit(cls, training: TrainingSet, options: NaiveBayesOptions, run: Run, init: Self | None = None) -> Self:
        """The estimated shares of each feature: with x_v the summed weight of the rows with value v, and L values,

            p_v = (x_v + alpha) / (sum x + L alpha)

        sum (L - 1) free parameters in all. Here weights are counts, as with the multinomial. The fit is in closed form:
        of the other arguments none has a part in it.

        training.data: (N,) int64 categories below the product of the levels, or (N, C, H, W) uint8. Raises ValueError
        for other data or when nothing is there to estimate from, and Diverged when a weight is not finite.
        """
        data, weights = np.asarray(training.data), np.asarray(training.weights, np.float64)
        options.check_kind("images" if data.ndim == 4 else "categories")
        model = cls(options, np.empty(0), data.shape[1:])
        values = model._values(data)
        if not np.isfinite(weights).all():
            raise Diverged(len(data), float("nan"))
        counts = [
            np.bincount(column, weights=weights, minlength=size) + options.alpha
            for column, size in zip(values.T, model.levels, strict=True)
        ]
        if counts[0].sum() == 0:
            raise ValueError("naive-bayes with alpha: 0 needs at least one row with weight; got none")
        return cls(options, np.concatenate([count / count.sum() for count in counts]), data.shape[1:])

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of values of each feature."""
        return self.options.levels or (self.options.bins,) * math.prod(self.row_shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: () or (C, H, W)."""
        return self.row_shape

    def _features(self) -> Iterator[np.ndarray]:
        """The shares of each feature in turn."""
        end = 0
        for size in self.levels:
            yield self.shares[end : end + size]
            end += size

    def _values(self, data: np.ndarray) -> np.ndarray:
        """The values of the features of each sample, (n, F) int64. Raises ValueError for data of another kind."""
        if self.row_shape:
            if not KINDS["images"].holds(data) or data.shape[1:] != self.row_shape:
                raise ValueError(
                    f"data: found {data.dtype} of shape {data.shape}, allowed are uint8 images of {self.row_shape}"
                )
            return data.reshape(len(data), -1).astype(np.int64) // (GREY_LEVELS // self.options.bins)
        combinations = math.prod(self.levels)
        if data.ndim != 1 or not np.issubdtype(data.dtype, np.integer):
            raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are whole numbers (n,)")
        if data.size and not 0 <= data.min() <= data.max() < combinations:
            raise ValueError(
                f"data: found {data.min()} to {data.max()}, allowed with levels {list(self.levels)} are 0 to "
                f"{combinations - 1}"
            )
        return np.stack(np.unravel_index(data, self.levels), axis=1)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, at the temperature ask.bias: data (count,) int64, or images.

        The law of each feature is p^(1 / ask.bias), normalised. A pixel has the middle grey level of its bin:
        data (count, C, H, W) uint8.
        """
        check_ask(ask, self)
        values = np.empty((ask.count, len(self.levels)), np.int64)
        rows = max(1, BLOCK // len(self.levels))
        for first in range(0, ask.count, rows):
            block = values[first : first + rows]
            uniform = seeds.uniforms(ask.seed, ask.start + first, len(block), len(self.levels))
            for feature, shares in enumerate(self._features()):
                powers = shares if ask.bias == 1.0 else (shares / shares.max()) ** (1.0 / ask.bias)
                cumulative = np.cumsum(powers)
                # The first value whose cumulative share reaches the number: one without a share is never it.
                block[:, feature] = np.searchsorted(cumulative / cumulative[-1], uniform[:, feature], side="left")
        if self.row_shape:
            return SampleSet(self._grey(values).reshape(ask.count, *self.row_shape))
        return SampleSet(np.ravel_multi_index(tuple(values.T), self.levels).astype(np.int64))

    def _grey(self, values: np.ndarray) -> np.ndarray:
        """The middle grey levels of bins: uint8."""
        width = GREY_LEVELS // self.options.bins
        return (values * width + width // 2).astype(np.uint8)

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each sample in nats, the sum over its features, (n,) float64: -inf where one has no share.

        Of images with fewer than 256 bins, the mass of a bin is shared by its grey levels, so that models of any bins
        compare. data: as it was trained on; others raise ValueError. Seed, steps and probes have no part in it.
        """
        values, total = self._values(np.asarray(data)), np.zeros(len(data))
        with np.errstate(divide="ignore"):
            for feature, shares in enumerate(self._features()):
                total += np.log(shares)[values[:, feature]]
        return total - (values.shape[1] * math.log(GREY_LEVELS / self.options.bins) if self.row_shape else 0.0)

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each combination, (K,) float64: of a law of categories."""
        joint = np.ones(1)
        for shares in self._features():
            joint = np.outer(joint, shares).ravel()
        return joint

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean and covariance, float64: of the one-hot encoding of all K combinations, (K,) and (K, K); of
        images those of the pixels in [-1, 1], (d,) and (d, d), in the order (C, H, W)."""
        if not self.row_shape:
            joint = self.probabilities
            return joint, np.diag(joint) - np.outer(joint, joint)
        shares = self.shares.reshape(-1, self.options.bins)
        grey = to_unit(self._grey(np.arange(self.options.bins))).astype(np.float64)
        mean = shares @ grey
        return mean, np.diag(np.einsum("fv,fv->f", shares, np.square(grey - mean[:, None])))

    def stored(self) -> Stored:
        """shape, shares, and a training curve without points."""
        return Stored({"shape": np.array(self.row_shape, np.int64), "shares": self.shares, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: NaiveBayesOptions, shape: tuple[int, ...], rows: int) -> int:
        """A share in float64 for each value of each feature."""
        return 8 * sum(options.levels) if options.levels else 8 * math.prod(shape) * options.bins

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The law that ``stored`` and ``options`` describe. Raises ValueError for shares of other features."""
        sizes, shares = stored.tensors["shape"], stored.tensors["shares"]
        model = cls(options, shares, checked_shape(sizes) if len(sizes) else ())
        if shares.shape != (sum(model.levels),):
            raise ValueError(f"shares: found {shares.size}, allowed with these levels are {sum(model.levels)}")
        return model
