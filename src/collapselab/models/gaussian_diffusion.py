"""A normal law that is sampled as a diffusion model is: step by step, from noise, by its exact denoiser.

Nothing is learnt but mean and covariance, so that what a loop does beside estimation is what its sampler does; and
since every step is affine, that is known exactly (``theory.samplers``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ..core import seeds
from ..core.ask import Ask
from ..core.kinds import KindName
from ..core.sets import SampleSet
from ..engine.scale import SMALLEST, Scale
from ..engine.steering import Denoise, Level, unsteered
from ..samplers.base import Sampler, Sampling
from ..samplers.heun import HeunOptions, heun, twice
from ..samplers.levels import Noise
from .asking import check_ask
from .capabilities import Denoiser
from .gaussian import Gaussian, GaussianOptions

if TYPE_CHECKING:
    import torch


class GaussianDiffusionOptions(GaussianOptions):
    """How a normal law is fitted, and the noise from which it is sampled."""

    standardise: bool = Field(
        True,
        description="noise levels are in units of each dimension's standard deviation, about its mean, as a diffusion "
        "model of vectors has them; false: in the units of the data, about 0",
    )
    steps: int = Field(18, ge=2, description="steps of Heun's sampler, which an arm's sampler takes the place of")
    sigma_min: float = Field(0.002, gt=0, description="lowest noise level before 0")
    sigma_max: float = Field(80.0, gt=0, description="highest noise level")
    rho: float = Field(7.0, gt=0, description="how strongly the steps gather at low noise")
    between: float = Field(
        0.0,
        ge=0,
        description="variance of the means of classes, of which the data are one: without its condition the model sees "
        "so much more variance about the same mean, and can be guided; 0: it has no other classes",
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"ddof": 1, "steps": 64, "between": 1.0}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min: found {self.sigma_min}, allowed are numbers below sigma_max = {self.sigma_max}"
            )
        return self


OWN = Sampling(Sampler(HeunOptions, heun, order=2, evaluations=twice), HeunOptions(), "heun")
"""How it is sampled where nobody says otherwise."""


@dataclass(frozen=True, eq=False)
class ExactDenoiser:
    """D(x; sigma) = mean + C (C + sigma^2 I)^-1 (x - mean) of N(mean, C) (:class:`models.capabilities.Denoiser`).

    levels: the lowest and the highest noise level. mean: (d,). values, vectors: eigenvalues (d,) and eigenvectors
    (d, d) of C. All of one kind, numpy's or torch's, as the rows that it is given.
    """

    levels: tuple[float, float]
    mean: Any
    values: Any
    vectors: Any

    def __call__(self, x: Any, sigma: Any, condition: Any = None) -> Any:
        kept = (self.vectors * (self.values / (self.values + sigma**2))) @ self.vectors.T
        # A sum and no product of matrices, which rounds a row by how many stand beside it.
        return self.mean + ((x - self.mean)[:, :, None] * kept).sum(1)


@dataclass(frozen=True, eq=False)
class GaussianDiffusion(Gaussian):
    """The normal law N(mean, covariance), of which samples are made by the steps of a sampler.

    They have another variance than the law, as far as the sampler's steps are finitely many: Heun's 18 multiply it by
    1.09 where the data are standardised. ``moments`` and the likelihood are those of the law.

    Without its condition it is N(mean, covariance + between I): a sampling bias, and guides, follow the difference.
    """

    Options: ClassVar = GaussianDiffusionOptions
    bias: ClassVar = "guidance"

    def denoiser(self, where: "torch.device") -> Denoiser:
        """Its exact denoiser on a device: of standardised vectors, or of the data's where they are not."""
        return in_torch(self._denoiser(), where)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: data (count, d) float64. The bits of one depend on no other.

        ask.sampler: in the place of Heun's deterministic steps; its noise is each sample's own. ask.guide: a
        :class:`engine.steering.Steering`, which sees rows as :meth:`denoiser` does. ask.bias: guidance of weight
        1 / bias - 1 by what the model sees without its condition. Raises ValueError for a bias below 1 of a model
        without ``between``, and for a guide by a further model whose rows are standardised by another scale.
        """
        check_ask(ask, self)
        if ask.bias < 1 and not self.options.between:
            raise ValueError(f"sampling_bias: found {ask.bias!r}, allowed is 1: guidance needs between > 0")
        scale, options = self._scale(), self.options
        for role, other in dict(ask.guide.others if ask.guide else {}).items():
            self._check_scale(role, other)
        noise = Noise(options.sigma_min, options.sigma_max, options.rho, options.steps)
        sampler = ask.sampler or OWN
        made = self._made(ask, sampler, sampler.levels(noise))
        return SampleSet(scale.restored(made))

    def _made(self, ask: Ask, sampler: Sampling, levels: np.ndarray) -> np.ndarray:
        """The rows as the denoiser sees them."""

        def normals(seed: int) -> np.ndarray:
            return seeds.normals(seed, ask.start, ask.count, len(self.mean))

        def stream(word: str, number: int) -> np.ndarray:
            return normals(seeds.seed_of(ask.seed, None, None, word, number))

        numbers = count()
        own, bare = self._denoiser(), self._denoiser(self.options.between)
        denoise = unsteered(_biased(own, bare, ask.bias))
        if ask.guide is not None:
            denoise = self._steered(ask.guide, ask.bias, partial(stream, "guide"))
        return sampler.run(denoise, normals(ask.seed), levels, None, lambda: stream("noise", next(numbers)))

    def _steered(self, guide: Any, bias: float, stream: Callable[[int], np.ndarray]) -> Denoise:
        """What the sampler asks where something steers or watches, which torch does; the denoiser's bits are as ever.

        stream: ``f(number)``, normal numbers as the rows.
        """
        import torch

        where, own, bare = torch.device("cpu"), self._denoiser(), self._denoiser(self.options.between)

        def shown(one: Denoiser) -> Denoiser:
            return lambda x, sigma, condition=None: torch.from_numpy(one(x.numpy(), sigma.numpy()[()]))

        pair = shown(_biased(own, bare, bias)), shown(bare)
        asked = guide.steered(*pair, guide.denoisers(where), lambda number: torch.from_numpy(stream(number)))

        def denoise(x: np.ndarray, at: Level, condition: None) -> np.ndarray:
            at = at._replace(sigma=torch.tensor(at.sigma), next_sigma=torch.tensor(at.next_sigma))
            return asked(torch.from_numpy(x), at, condition).numpy()

        return denoise

    def _scale(self) -> Scale:
        """Where the rows lie, and how wide they are, that the denoiser sees as 0 and 1."""
        if not self.options.standardise:
            return Scale(np.zeros_like(self.mean), np.ones_like(self.mean))
        variances = np.diagonal(self.moments()[1])
        return Scale(self.mean, np.sqrt(np.where(variances > SMALLEST, variances, 1.0)))

    def _denoiser(self, beside: float = 0.0) -> ExactDenoiser:
        """That of the law, with so much more variance in every direction."""
        scale, (mean, covariance) = self._scale(), self.moments()
        covariance = covariance + beside * np.eye(len(mean)) if beside else covariance
        values, vectors = np.linalg.eigh(covariance / np.outer(scale.scale, scale.scale))
        levels = self.options.sigma_min, self.options.sigma_max
        return ExactDenoiser(levels, scale.standardised(mean), values.clip(0.0), vectors)

    def _check_scale(self, role: str, other: Any) -> None:
        """Raise ValueError for a further model that sees rows in other units."""
        own, its = self._scale(), other._scale()
        if not (np.array_equal(own.location, its.location) and np.array_equal(own.scale, its.scale)):
            raise ValueError(
                f"guide: found a model {role!r} that standardises by other rows; allowed is one of standardise: false"
            )


def in_torch(one: ExactDenoiser, where: "torch.device") -> ExactDenoiser:
    """The same denoiser of torch's rows, on a device."""
    import torch

    mean, values, vectors = (torch.from_numpy(part).to(where) for part in (one.mean, one.values, one.vectors))
    return ExactDenoiser(one.levels, mean, values, vectors)


def _biased(own: ExactDenoiser, bare: ExactDenoiser, bias: float) -> Denoiser:
    """(1 + w) D - w D_u with w = 1 / bias - 1."""
    if bias == 1:
        return own
    w = 1 / bias - 1
    return lambda x, sigma, condition=None: (1 + w) * own(x, sigma) - w * bare(x, sigma)
