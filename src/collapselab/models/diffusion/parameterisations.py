"""What a diffusion network predicts, and the denoiser D(x; sigma) that follows from it.

Everything outside this module speaks of images with noise added to them, x = y + sigma n with n ~ N(0, I), and of their
denoiser D(x; sigma) = E[y | x]: samplers, guidance and the likelihood are then the same for every parameterisation.
"""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import nn

from .options import DiffusionOptions


class Parameterisation(Protocol):
    """sigmas: (T,) float64, the rising noise levels of a discrete schedule; None where every level is trained."""

    sigmas: torch.Tensor | None

    def draw(self, count: int) -> torch.Tensor:
        """Noise levels of training, (count,) float32, from the default generator of the schedule's device."""
        ...

    def denoise(
        self,
        network: nn.Module,
        noisy: torch.Tensor,
        sigma: torch.Tensor,
        labels: torch.Tensor | None,
        augmentation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """D(noisy; sigma), as ``noisy``: images (B, C, H, W) or vectors (B, d). sigma: (B,). The rest as the
        networks take it."""
        ...

    def loss_weight(self, sigma: torch.Tensor) -> torch.Tensor:
        """The factor of |D - y|^2 in the training's loss, as ``sigma``."""
        ...


class EDM:
    """Karras et al. 2022 (https://arxiv.org/abs/2206.00364), table 1, "Ours": ln(sigma) ~ N(p_mean, p_std^2), and

        D(x; sigma) = c_skip x + c_out F(c_in x, c_noise),      w = 1 / c_out^2

    by which the loss of F weighs every noise level alike.
    """

    sigmas = None

    def __init__(self, sigma_data: float, p_mean: float, p_std: float, where: torch.device):
        self.sigma_data, self.p_mean, self.p_std, self.where = sigma_data, p_mean, p_std, where

    def draw(self, count: int) -> torch.Tensor:
        return torch.exp(self.p_mean + self.p_std * torch.randn(count, device=self.where))

    def denoise(self, network, noisy, sigma, labels, augmentation=None):
        skip, out, scale, noise = scalings(sigma, self.sigma_data)
        told = () if augmentation is None else (augmentation,)
        return _wide(skip, noisy) * noisy + _wide(out, noisy) * network(
            _wide(scale, noisy) * noisy, noise, labels, *told
        )

    def loss_weight(self, sigma: torch.Tensor) -> torch.Tensor:
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


def scalings(sigma: torch.Tensor, sigma_data: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """c_skip, c_out, c_in and c_noise, each as ``sigma`` (Karras et al. 2022, table 1, column "Ours").

        c_skip = s^2 / (sigma^2 + s^2)     c_out = sigma s / sqrt(sigma^2 + s^2)
        c_in = 1 / sqrt(sigma^2 + s^2)     c_noise = ln(sigma) / 4

    with s = sigma_data: the network's input and its target then have unit variance at every sigma.
    """
    total = sigma**2 + sigma_data**2
    return sigma_data**2 / total, sigma * sigma_data / total.sqrt(), 1 / total.sqrt(), sigma.log() / 4


def _wide(factor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """One factor a row, (B,), with as many axes as the rows have."""
    return factor.reshape(-1, *[1] * (rows.dim() - 1))


class DDPM:
    """Ho, Jain and Abbeel 2020 (https://arxiv.org/abs/2006.11239): T discrete noise levels, drawn alike in training.

    Their x_t = sqrt(a) y + sqrt(1 - a) n, with a the product of 1 - beta up to step t, is x / sqrt(1 + sigma^2) with
    sigma^2 = (1 - a) / a. The network F takes it and t = 0 .. T - 1, and predicts one of

        epsilon         n                           D = x - sigma F                                w = 1 / sigma^2
        v_prediction    sqrt(a) n - sqrt(1 - a) y   D = (x - sigma sqrt(1 + sigma^2) F) / (1 + sigma^2)  1 + 1 / sigma^2
        sample          y                           D = F                                                1

    (v: Salimans and Ho 2022, https://arxiv.org/abs/2202.00512). The weights w of |D - y|^2 make the loss that of F,
    which for epsilon is the "simple" one of their equation 14. Between two levels t is interpolated in ln(sigma);
    beyond the lowest and the highest it stays there.
    """

    def __init__(self, prediction: str, betas: np.ndarray, where: torch.device):
        self.prediction = prediction
        # sigma^2 = 1 / a - 1, without the cancellation where a is near 1.
        squares = np.expm1(-np.cumsum(np.log1p(-betas)))
        self.sigmas = torch.from_numpy(np.sqrt(squares)).to(where)
        self.logarithms = self.sigmas.log()

    def draw(self, count: int) -> torch.Tensor:
        return self.sigmas[torch.randint(len(self.sigmas), (count,), device=self.sigmas.device)].float()

    def times(self, sigma: torch.Tensor) -> torch.Tensor:
        """t of noise levels, (B,) float32 from 0 to T - 1."""
        wanted = sigma.double().log().clamp(self.logarithms[0], self.logarithms[-1])
        above = torch.searchsorted(self.logarithms, wanted).clamp(min=1)
        low, high = self.logarithms[above - 1], self.logarithms[above]
        times = above - 1 + (wanted - low) / (high - low)
        # A level that went through float32 is the level: its t is off by 1e-4 at most, where 4000 lie in a decade.
        nearest = times.round()
        return torch.where((times - nearest).abs() < 1e-3, nearest, times).float()

    def denoise(self, network, noisy, sigma, labels, augmentation=None):
        wide = _wide(sigma, noisy)
        total = (1 + wide**2).sqrt()
        told = () if augmentation is None else (augmentation,)
        predicted = network(noisy / total, self.times(sigma), labels, *told)
        if self.prediction == "epsilon":
            return noisy - wide * predicted
        if self.prediction == "v_prediction":
            return noisy / total**2 - wide / total * predicted
        return predicted

    def loss_weight(self, sigma: torch.Tensor) -> torch.Tensor:
        return {"epsilon": sigma**-2, "v_prediction": 1 + sigma**-2, "sample": torch.ones_like(sigma)}[self.prediction]


class Flow:
    """Flow matching on straight paths x_t = (1 - t) y + t n (Lipman et al. 2023, https://arxiv.org/abs/2210.02747;
    Liu et al. 2023, https://arxiv.org/abs/2209.03003), t even in training.

    x_t is x / (1 + sigma) with sigma = t / (1 - t). The network takes it and T t, and predicts the velocity n - y:
    D = x_t - t F, and w = 1 / t^2 makes the loss that of F.
    """

    sigmas = None
    ends = 1e-3, 1 - 1e-3  # of t in training: at 1 the noise has no end

    def __init__(self, timesteps: int, where: torch.device):
        self.timesteps, self.where = timesteps, where

    def draw(self, count: int) -> torch.Tensor:
        t = torch.rand(count, device=self.where) * (self.ends[1] - self.ends[0]) + self.ends[0]
        return t / (1 - t)

    def denoise(self, network, noisy, sigma, labels, augmentation=None):
        wide, t = 1 + _wide(sigma, noisy), sigma / (1 + sigma)
        told = () if augmentation is None else (augmentation,)
        return noisy / wide - _wide(t, noisy) * network(noisy / wide, self.timesteps * t, labels, *told)

    def loss_weight(self, sigma: torch.Tensor) -> torch.Tensor:
        return (1 + 1 / sigma) ** 2


class Exploding:
    """Networks of diffusers for x = y + sigma n that see images in [0, 1], so u = (x + 1) / 2 and s = sigma / 2:
    ln(sigma) is even in training, and w = 1 / sigma^2.

        score       the score of u (Song et al. 2021, https://arxiv.org/abs/2011.13456)     D = x + sigma^2 / 2 F(u, s)
        karras_ve   s times it (Karras et al. 2022, their stochastic sampler)               D = x + sigma F(u, s)
    """

    sigmas = None

    def __init__(self, scores: bool, sigma_min: float, sigma_max: float, where: torch.device):
        self.scores, self.ends, self.where = scores, (math.log(sigma_min), math.log(sigma_max)), where

    def draw(self, count: int) -> torch.Tensor:
        low, high = self.ends
        return torch.exp(low + (high - low) * torch.rand(count, device=self.where))

    def denoise(self, network, noisy, sigma, labels, augmentation=None):
        told = () if augmentation is None else (augmentation,)
        factor = sigma**2 / 2 if self.scores else sigma
        return noisy + _wide(factor, noisy) * network((noisy + 1) / 2, sigma / 2, labels, *told)

    def loss_weight(self, sigma: torch.Tensor) -> torch.Tensor:
        return sigma**-2


def parameterisation(options: DiffusionOptions, where: torch.device) -> Parameterisation:
    """The parameterisation of the options, with its tables on a device."""
    if options.parameterisation == "edm":
        return EDM(options.sigma_data, options.p_mean, options.p_std, where)
    if options.parameterisation == "flow":
        return Flow(options.timesteps, where)
    if options.parameterisation != "ddpm":
        return Exploding(options.parameterisation == "score", options.sigma_min, options.sigma_max, where)
    betas = SCHEDULES[options.beta_schedule](options.timesteps, options.beta_start, options.beta_end)
    return DDPM(options.prediction, betas, where)


# -- schedules ---------------------------------------------------------------------------------------------------------


def linear(timesteps: int, start: float, end: float) -> np.ndarray:
    """Evenly from ``start`` to ``end``, (timesteps,) float64 (Ho et al. 2020, section 4: 1e-4 to 0.02)."""
    return np.linspace(start, end, timesteps)


def scaled_linear(timesteps: int, start: float, end: float) -> np.ndarray:
    """The squares of evenly spaced roots, as latent diffusion has them (Rombach et al. 2022)."""
    return np.linspace(math.sqrt(start), math.sqrt(end), timesteps) ** 2


def cosine(timesteps: int, start: float, end: float) -> np.ndarray:
    """1 - f(t + 1) / f(t), at most 0.999, with f(t) = cos^2((t / T + 0.008) / 1.008 pi / 2) (Nichol and Dhariwal 2021,
    https://arxiv.org/abs/2102.09672, equation 17). ``start`` and ``end`` have no part in it."""
    share = np.cos((np.arange(timesteps + 1) / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - share[1:] / share[:-1], 0.999)


SCHEDULES: dict[str, Callable[[int, float, float], np.ndarray]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "cosine": cosine,
}
