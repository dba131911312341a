"""The multinomial family: shares of K categories, smoothed or not, and a known truth to draw real data from.

A loop of it is the Wright-Fisher process of population genetics; with smoothing, one with mutation (``theory``). Whole
images can be its categories: then it only repeats what it has seen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.images import to_unit
from ..core.kinds import KINDS, KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .arrays import no_curve
from .asking import check_ask
from .capabilities import ODE_STEPS, PROBES, Judgement
from .options import Options
from .stored import Stored
from .tokens import sharpened


class MultinomialOptions(Options):
    """How the shares of the categories are estimated."""

    categories: int | None = Field(
        None, ge=1, description="number of categories K; the data are 0 .. K - 1. Images have none: each is a category"
    )
    alpha: float = Field(0.0, ge=0, allow_inf_nan=False, description="Laplace smoothing: rows added to every category")
    estimate: Literal["mean", "posterior_draw"] = Field(
        "mean", description="mean: (x + alpha) / (n + K alpha); posterior_draw: one draw from Dirichlet(x + alpha)"
    )
    top_k: int | None = Field(None, ge=1, description="of sampling: only so many of the likeliest; null: all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="of sampling: only the likeliest that have so much of the mass together"
    )

    @property
    def cuts(self) -> bool:
        """Whether what is drawn has a tail cut off."""
        return self.top_k is not None or self.top_p < 1

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What cuts nothing is left out, as it was before there was a cut: no training then hangs on it."""
        return {key: value for key, value in handler(self).items() if self.cuts or key not in ("top_k", "top_p")}

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"categories": 5} if kind == "categories" else {}

    def check_kind(self, kind: KindName) -> None:
        """Raise ValueError for categories whose number is not said, or images with a number of them or smoothing."""
        if kind == "categories" and self.categories is None:
            raise ValueError("categories: found None, allowed with categories is their number")
        if kind == "images" and self.categories is not None:
            raise ValueError(
                f"categories: found {self.categories}, allowed with images is none: they are what was seen"
            )
        if kind == "images" and self.alpha:
            raise ValueError(f"alpha: found {self.alpha:g}, allowed with images is 0: they cannot all be listed")


class Law(Options):
    """Shares by a formula: uniform 1 / K, or zipf, where the category of rank r has a share proportional to r^-s."""

    categories: int = Field(ge=1, description="number of categories K")
    law: Literal["uniform", "zipf"]
    exponent: float = Field(1.0, gt=0, allow_inf_nan=False, description="of zipf: s")
    cut: int | None = Field(
        None, ge=1, description="of zipf: the categories behind this rank have no share; null: all do"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.law == "uniform" and (self.exponent != 1 or self.cut is not None):
            raise ValueError("law: found uniform with an exponent or a cut, allowed with these is zipf")
        return self

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An exponent of 1 and no cut are left out, as they were before there were others."""
        plain = {"exponent": 1.0, "cut": None}
        return {key: value for key, value in handler(self).items() if plain.get(key, ...) != value}


class MultinomialPopulation(Options):
    """A known truth that real data is drawn from."""

    probabilities: tuple[float, ...] | Law = Field(
        description="the share of every category, or a law: {categories: K, law: uniform | zipf}"
    )

    @field_validator("probabilities")
    @classmethod
    def _check(cls, value: tuple[float, ...] | Law) -> tuple[float, ...] | Law:
        if isinstance(value, tuple) and not (all(share >= 0 for share in value) and abs(sum(value) - 1) < 1e-6):
            raise ValueError(
                f"probabilities must be shares >= 0 that sum to 1; got {list(value)} with sum {sum(value):g}"
            )
        return value


@dataclass(frozen=True, eq=False)
class Multinomials:
    """R laws of K categories side by side, fitted and drawn together; each comes out as it would alone, bit for bit.

    probabilities: (R, K) float64.
    """

    probabilities: np.ndarray

    @classmethod
    def fit(cls, data: np.ndarray, weights: np.ndarray, options: MultinomialOptions, numbers: Sequence[int]) -> Self:
        """The estimated shares, as :meth:`Multinomial.fit` has them.

        data: (R, n) integers. weights: (R, n) finite float64, or (1, n) for all alike. numbers: a seed each. Raises
        ValueError when a category is not in 0 .. K - 1 or when nothing is there to estimate from.
        """
        categories = options.categories
        if data.size and not 0 <= data.min() <= data.max() < categories:
            found = f"got values from {data.min()} to {data.max()}"
            raise ValueError(f"multinomial with categories: {categories} takes 0 .. {categories - 1}; {found}")
        places = data + categories * np.arange(len(data))[:, None]
        weights = np.broadcast_to(weights, data.shape)
        counts = np.bincount(places.ravel(), weights.ravel(), categories * len(data)).reshape(-1, categories)
        counts = counts + options.alpha
        if not counts.sum(axis=1).all():
            raise ValueError("multinomial with alpha: 0 needs at least one row with weight; got none")
        if options.estimate == "posterior_draw":
            streams = seeds.generators(numbers)
            counts = np.array([source.standard_gamma(row) for row, source in zip(counts, streams, strict=True)])
        return cls(counts / counts.sum(axis=1)[:, None])

    @classmethod
    def of(cls, law: "Multinomial") -> Self:
        """One law, as a stack of one."""
        return cls(law.probabilities[None])

    @property
    def means(self) -> np.ndarray:
        """The means of the one-hot encoding: (R, K)."""
        return self.probabilities

    @property
    def variances(self) -> np.ndarray:
        """The variance of each column of the one-hot encoding: (R, K)."""
        return self.probabilities * (1 - self.probabilities)

    @cached_property
    def covariances(self) -> np.ndarray:
        """The covariances diag(p) - p p' of the one-hot encoding: (R, K, K)."""
        spread = -self.probabilities[:, :, None] * self.probabilities[:, None, :]
        diagonal = np.arange(spread.shape[1])
        spread[:, diagonal, diagonal] = self.variances
        return spread

    def sample(self, count: int, numbers: Sequence[int], sampling_bias: float = 1.0) -> np.ndarray:
        """Samples ``0 .. count`` of each law, by its seed among ``numbers``: (R, count); one law does for all."""
        return self.invert(seeds.stacked_uniforms(numbers, count, 1)[:, :, 0], sampling_bias)

    def invert(self, uniform: np.ndarray, sampling_bias: float) -> np.ndarray:
        """What uniform numbers (R, n) become as samples of p^(1 / sampling_bias), normalised: (R, n) int64."""
        shares = self.probabilities
        if sampling_bias != 1.0:
            shares = (shares / shares.max(axis=1)[:, None]) ** (1.0 / sampling_bias)
        cumulative = np.cumsum(shares, axis=1)
        steps = np.broadcast_to(cumulative / cumulative[:, -1:], (len(uniform), shares.shape[1]))
        # The first category whose cumulative share reaches the number: one without a share is never it.
        found = [np.searchsorted(each, row, side="left") for each, row in zip(steps, uniform, strict=True)]
        return np.array(found, np.int64).reshape(uniform.shape)


@dataclass(frozen=True, eq=False)
class Multinomial:
    """The law of a category with given probabilities: (K,) float64 that sum to 1.

    images: what the categories are, (K, C, H, W) uint8, all different; None where they are numbers.
    """

    Options: ClassVar = MultinomialOptions
    PopulationOptions: ClassVar = MultinomialPopulation
    takes: ClassVar = ("categories", "images")
    density: ClassVar = "exact"
    bias: ClassVar = "temperature"
    conditions: ClassVar = ()
    gives: ClassVar = "categories"
    uses_torch: ClassVar = False
    how: ClassVar[Mapping[str, Any]] = {}

    options: Options
    probabilities: np.ndarray
    images: np.ndarray | None = None

    @classmethod
    def population(cls, options: MultinomialPopulation) -> Self:
        """The known truth that the options describe: its samples are the real data."""
        shares = options.probabilities
        if isinstance(shares, Law):
            ranks = np.arange(1.0, shares.categories + 1)
            falling = 1.0 / ranks if shares.exponent == 1 else ranks**-shares.exponent
            falling = np.where(ranks <= (shares.cut or shares.categories), falling, 0.0)
            shares = np.ones_like(ranks) if shares.law == "uniform" else falling
        return cls(options, np.asarray(shares, np.float64) / np.sum(shares))

    @classmethod
    def fit(cls, training: TrainingSet, options: MultinomialOptions, run: Run, init: Self | None = None) -> Self:
        """The estimated shares: with x_k the summed weight of category k and n = sum x,

            mean            p_k = (x_k + alpha) / (n + K alpha)
            posterior_draw  p ~ Dirichlet(x + alpha), drawn with ``seed``

        Here weights are counts: doubling them all halves the pull of alpha. With alpha 0 a draw is Rubin's (1981)
        Bayesian bootstrap. The fit is in closed form: of the other arguments none has a part in it.

        training.data: (N,) int64 categories, or (N, C, H, W) uint8 images, of which the K different ones that have
        weight are the categories. Raises ValueError when a category is not in 0 .. K - 1, when nothing is there to
        estimate from, or where the options do not suit the data, and Diverged when a weight is not finite.
        """
        data, weights, images, counted = np.asarray(training.data), training.weights, None, options
        if not np.isfinite(weights.sum()):
            raise Diverged(len(data), float("nan"))
        if KINDS["images"].holds(data):
            options.check_kind("images")
            if not (weights > 0).any():
                raise ValueError("multinomial of images needs at least one row with weight; got none")
            images, data = _different(data[weights > 0])
            weights = weights[weights > 0]
            counted = options.model_copy(update={"categories": len(images)})
        elif data.ndim != 1 or not np.issubdtype(data.dtype, np.integer):
            raise ValueError(f"multinomial takes whole numbers (rows,); got {data.dtype} data of shape {data.shape}")
        counted.check_kind("categories")
        stack = Multinomials.fit(data[None], weights[None], counted, [run.seed])
        return cls(options, stack.probabilities[0], images)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: () of a number, or (C, H, W)."""
        return () if self.images is None else self.images.shape[1:]

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, at the temperature ask.bias: data (count,) int64, or the images.

        The law of a sample is p^(1 / ask.bias), normalised, cut to the ``top_k`` likeliest categories and then to those
        that have ``top_p`` of the mass (:func:`models.tokens.sharpened`); every sample inverts its own uniform number.
        Raises ValueError when a guide is given: there is nothing to steer.
        """
        check_ask(ask, self)
        uniform = seeds.uniforms(ask.seed, ask.start, ask.count, 1)[:, 0]
        options, law, bias = self.options, Multinomials.of(self), ask.bias
        if getattr(options, "cuts", False):  # of a known truth there are no such options
            law, bias = Multinomials(sharpened(self.probabilities[None], bias, options.top_k, options.top_p)), 1.0
        drawn = law.invert(uniform[None], bias)[0]
        return SampleSet(drawn if self.images is None else self.images[drawn])

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each category in nats, (n,) float64: -inf for one that has no share.

        data: (n,) int64 in 0 .. K - 1, or images of the model's shape; others raise ValueError. Seed, steps and probes
        have no part in it.
        """
        if self.images is not None:
            return self._log_mass(data)
        if data.size and not 0 <= data.min() <= data.max() < len(self.probabilities):
            allowed = f"allowed are 0 to {len(self.probabilities) - 1}"
            raise ValueError(f"data: found categories {data.min()} to {data.max()}, {allowed}")
        with np.errstate(divide="ignore"):
            return np.log(self.probabilities)[data]

    def _log_mass(self, data: np.ndarray) -> np.ndarray:
        """The log-mass of images: -inf for one that was not seen."""
        if not KINDS["images"].holds(data) or data.shape[1:] != self.shape:
            raise ValueError(
                f"data: found {data.dtype} of shape {data.shape}, allowed are uint8 images of shape {self.shape}"
            )
        with np.errstate(divide="ignore"):
            logs = np.log(self.probabilities)
        known = {image.tobytes(): log for image, log in zip(self.images, logs, strict=True)}
        return np.array([known.get(image.tobytes(), -np.inf) for image in data], np.float64)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean p (K,) and covariance diag(p) - p p' (K, K) of the one-hot encoding, float64.

        Of images they are those of the pixels in [-1, 1], (d,) and (d, d), in the order (C, H, W).
        """
        if self.images is not None:
            pixels = to_unit(self.images).reshape(len(self.images), -1).astype(np.float64)
            mean = self.probabilities @ pixels
            return mean, ((pixels - mean).T * self.probabilities) @ (pixels - mean)
        return self.probabilities, np.diag(self.probabilities) - np.outer(self.probabilities, self.probabilities)

    @property
    def masses(self) -> np.ndarray:
        """Of a known truth: the probabilities of the categories that occur, (K',) float64; each is a cell."""
        return self.probabilities[self.probabilities > 0]

    def judge(self, data: np.ndarray) -> Judgement:
        """Of a known truth: whether categories have a probability above 0, and which of those that have one each is.

        data: (n,) integers; those outside 0 .. K - 1 are impossible. Raises ValueError for other data.
        """
        data, known = np.asarray(data), self.probabilities > 0
        if data.ndim != 1 or not np.issubdtype(data.dtype, np.integer):
            raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are categories (n,)")
        inside = (data >= 0) & (data < len(known))
        index = np.where(inside, data, 0)
        possible = inside & known[index]
        return Judgement(possible, np.where(possible, np.cumsum(known)[index] - 1, -1).astype(np.int64))

    def stored(self) -> Stored:
        """probabilities, images if there are, and a training curve without points: a closed form has no steps."""
        images = {} if self.images is None else {"images": self.images}
        return Stored({"probabilities": self.probabilities, **images, **no_curve()})

    @classmethod
    def stored_bytes(cls, options: MultinomialOptions, shape: tuple[int, ...], rows: int) -> int:
        """A probability in float64 for each category, or each image and its probability; equal ones count once."""
        return 8 * (options.categories or 0) + (math.prod(shape) + 8 if shape else 0) * rows

    @classmethod
    def load(cls, stored: Stored, options: Options) -> Self:
        """The multinomial that ``stored`` and ``options`` describe. Raises ValueError for more or fewer images."""
        probabilities, images = stored.tensors["probabilities"], stored.tensors.get("images")
        if images is not None and not (KINDS["images"].holds(images) and len(images) == len(probabilities)):
            raise ValueError(
                f"images: found {images.dtype} of shape {images.shape}, allowed are {len(probabilities)} uint8 images"
            )
        return cls(options, probabilities, images)


def _different(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images without repetitions, in the order of their bytes, and which of them each is: (n,) int64."""
    written = [image.tobytes() for image in images]
    kept = sorted(set(written))
    place = {word: index for index, word in enumerate(kept)}
    which = np.array([place[word] for word in written], np.int64)
    return np.frombuffer(b"".join(kept), np.uint8).reshape(len(kept), *images.shape[1:]), which
