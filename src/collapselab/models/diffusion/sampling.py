"""Samples of a diffusion model: the denoiser that its network is, the noise levels of its options, and a sampler that
follows the one down the others."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ...core import seeds
from ...core.ask import Ask
from ...engine.steering import Denoise, Denoiser, Draws, unsteered
from ...machine.device import autocast, device, exact
from ...samplers.ddim import ddim
from ...samplers.heun import heun
from ...samplers.levels import Noise
from ..arrays import in_batches
from ..asking import labels_of_batch
from . import conditions as conditioned
from .networks import loaded
from .options import DiffusionOptions
from .parameterisations import Parameterisation, parameterisation

# -- noise levels -----------------------------------------------------------------------------------------------------


def power_levels(steps: int, sigma_min: float, sigma_max: float, rho: float) -> torch.Tensor:
    """Noise levels evenly spaced in sigma^(1/rho), then 0 (Karras et al. 2022, equation 5): (steps + 1,) float64."""
    levels = torch.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps, dtype=torch.float64) ** rho
    return torch.cat([levels, levels.new_zeros(1)])


def diffusion_time_levels(steps: int, sigma_min: float, sigma_max: float, rho: float) -> torch.Tensor:
    """Noise levels evenly spaced in DDPM's diffusion time, then 0: (steps + 1,) float64.

    DDPM's linear beta schedule of 1000 steps from 1e-4 to 0.02 (Ho et al. 2020) is, in continuous time (Song et al.
    2021, appendix C), sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1 with beta_d = 19.9, beta_min = 0.1; t falls
    evenly from t(sigma_max) to t(sigma_min). ``rho`` has no part in it.
    """
    beta_d, beta_min = 19.9, 0.1

    def time(sigma: float) -> float:
        return (math.sqrt(beta_min**2 + 2 * beta_d * math.log1p(sigma**2)) - beta_min) / beta_d

    times = torch.linspace(time(sigma_max), time(sigma_min), steps, dtype=torch.float64)
    levels = torch.expm1(beta_d * times**2 / 2 + beta_min * times).sqrt()
    return torch.cat([levels, levels.new_zeros(1)])


def noise_range(options: DiffusionOptions, sigmas: torch.Tensor | None) -> tuple[float, float]:
    """The lowest and the highest noise level: ``sigma_min`` and ``sigma_max``, within a discrete schedule ``sigmas``.

    Raises ValueError where they leave nothing of the schedule.
    """
    if sigmas is None:
        return options.sigma_min, options.sigma_max
    lowest, highest = max(options.sigma_min, sigmas[0].item()), min(options.sigma_max, sigmas[-1].item())
    if lowest >= highest:
        raise ValueError(
            f"sigma_min, sigma_max: found {options.sigma_min}, {options.sigma_max}, and the schedule has noise levels "
            f"{sigmas[0]:.3g} to {sigmas[-1]:.3g}; they need to overlap"
        )
    return lowest, highest


def noise_levels(options: DiffusionOptions, sigmas: torch.Tensor | None) -> torch.Tensor:
    """The falling noise levels of the options' sampler, then 0: (steps + 1,) float64.

    sigmas: those of a discrete schedule of T steps, of which DDIM takes t = T (1 - i / steps) - 1, rounded, for i = 0,
    1, ...: the highest first, and all of them where steps is T. None where all levels are trained.
    """
    if options.sampler == "ddim" and sigmas is not None:
        count = len(sigmas)
        chosen = torch.tensor([round(count - index * count / options.steps) - 1 for index in range(options.steps)])
        return torch.cat([sigmas.cpu()[chosen], torch.zeros(1, dtype=torch.float64)])
    lowest, highest = noise_range(options, sigmas)
    return OWN[options.sampler][1](options.steps, lowest, highest, options.rho)


# -- denoisers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """A network as a denoiser (:class:`models.capabilities.Denoiser`): in the options' precision inside, float64
    outside, where small steps are added to large numbers."""

    network: nn.Module
    options: DiffusionOptions
    parameterised: Parameterisation

    @property
    def levels(self) -> tuple[float, float]:
        """:func:`noise_range`."""
        return noise_range(self.options, self.parameterised.sigmas)

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        one_hot = torch.zeros(len(x), self.options.classes, device=x.device)
        if condition is not None and self.options.classes:
            one_hot = F.one_hot(condition, self.options.classes).to(torch.float32)
        level = sigma.float().expand(len(x))
        with autocast(x.device, self.options.precision):
            return self.parameterised.denoise(self.network, x.float(), level, one_hot).double()

    def denoised_together(
        self, parts: Sequence[tuple[torch.Tensor, torch.Tensor | None]], sigma: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """What each call of the denoiser would give, in one pass of the network."""
        x = torch.cat([rows for rows, _ in parts])
        counts = [len(rows) for rows, _ in parts]
        conditions = list(zip(counts, (one for _, one in parts), strict=True))
        network, labels = conditioned.told(self.network, conditions, self.options.classes, x.device)
        level = sigma.float().expand(len(x))
        with autocast(x.device, self.options.precision):
            return self.parameterised.denoise(network, x.float(), level, labels).double().split(counts)

    def embedded_condition(self, condition: torch.Tensor) -> torch.Tensor:
        """The vectors by which the network knows labels (B,): (B, k) float64."""
        return conditioned.embedded(self.network, condition, len(condition))


def denoiser_of(
    options: DiffusionOptions, weights: Mapping[str, np.ndarray], shape: Sequence[int], where: torch.device
) -> NetworkDenoiser:
    """The denoiser that options and weights describe, on a device."""
    return NetworkDenoiser(loaded(options, shape, weights, where), options, parameterisation(options, where))


def noise_of(network: NetworkDenoiser) -> Noise:
    """The noise that a network was trained with, as samplers are told of it."""
    sigmas, options = network.parameterised.sigmas, network.options
    return Noise(*network.levels, options.rho, options.steps, None if sigmas is None else sigmas.cpu().numpy())


def guided(denoise: Denoiser, weight: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, equation 6): ``(1 + w) D(x, sigma, label) - w D(x, sigma)``."""

    def denoised(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return (1 + weight) * denoise(x, sigma, labels) - weight * denoise(x, sigma, None)

    return denoised if weight else denoise


# -- samples -----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def sample(
    options: DiffusionOptions,
    weights: Mapping[str, np.ndarray],
    shape: Sequence[int],
    ask: Ask,
    labels: np.ndarray | None,
) -> np.ndarray:
    """The samples that are asked for, in fixed batches (:func:`in_batches`): (count, C, H, W) uint8, or vectors
    (count, d) float64, standardised.

    labels: their classes, (count,) int64, or None for a model without any.
    """
    where, size, seed = device(), options.sample_batch, ask.seed
    sampler, _ = OWN[options.sampler]
    chosen = {name: getattr(options, name) for name in CHOICES[options.sampler]}
    with exact(where, options.precision != "float32") as generator:
        network = denoiser_of(options, weights, shape, where)
        biased = guided(network, 1 / ask.bias - 1)
        others = {} if ask.guide is None else ask.guide.denoisers(where)
        if ask.sampler is None:
            levels = noise_levels(options, network.parameterised.sigmas).to(where)
        else:
            levels = torch.from_numpy(ask.sampler.levels(noise_of(network))).to(where)

        def normals(seed: int, batch: int) -> torch.Tensor:
            return torch.from_numpy(seeds.normals(seed, batch * size, size, math.prod(shape)).reshape(size, *shape))

        def asked(batch: int) -> Denoise:
            if ask.guide is None:
                return unsteered(biased)

            def draws(number: int) -> torch.Tensor:
                return normals(seeds.seed_of(seed, None, None, "guide", number), batch).to(where)

            return ask.guide.steered(biased, network, others, draws)

        def drawn(batch: int) -> Draws:
            numbers = itertools.count()
            return lambda: normals(seeds.seed_of(seed, None, None, "noise", next(numbers)), batch).to(where)

        def make(batch: int) -> np.ndarray:
            told = None
            if labels is not None:
                told = torch.from_numpy(labels_of_batch(labels, ask.start, batch, size, options.classes)).to(where)
            generator.manual_seed(seeds.seed_of(seed, None, None, "sampler", batch))
            noise = normals(seed, batch)
            if ask.mark is not None:
                noise = torch.from_numpy(ask.mark(noise.numpy(), batch * size))
            noise = noise.to(where)
            if ask.sampler is None:
                made = sampler(asked(batch), noise, levels, told, draws=lambda: torch.randn_like(noise), **chosen)
            else:
                made = ask.sampler.run(asked(batch), noise, levels, told, drawn(batch))
            return made.cpu().numpy()

        return in_batches(make, ask.count, ask.start, size, shape)


OWN = {"heun": (heun, power_levels), "ddim": (ddim, diffusion_time_levels)}
CHOICES = {"heun": ("churn", "churn_min", "churn_max", "churn_noise"), "ddim": ("eta",)}
