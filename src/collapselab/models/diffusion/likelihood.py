"""The likelihood of images and vectors under a denoiser, by its probability-flow ODE
dx / dsigma = (x - D(x; sigma)) / sigma."""

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch

from ...core import seeds
from ...core.kinds import KINDS
from ...machine.device import device, exact
from ..rows import own_seed
from .networks import loaded
from .options import DiffusionOptions
from .parameterisations import parameterisation
from .sampling import Denoise, NetworkDenoiser

BATCH = 32  # fixed and padded: a network's rounding depends on its batch size, a likelihood must not
RHO = 7.0  # the ODE is solved in sigma^(1/rho), in which equal steps gather at low noise


def log_density(
    denoise: Denoise,
    images: torch.Tensor,
    *,
    sigma_min: float,
    sigma_max: float,
    steps: int,
    probes: torch.Tensor | None = None,
    labels: torch.Tensor | None = None,
) -> torch.Tensor:
    """The log-density in nats of images (B, ...) under the law that has the noise ``sigma_min`` left: (B,) float64.

        log p(x(sigma_min)) = log N(x(sigma_max); 0, sigma_max^2 I) + integral of div dx/dsigma over sigma
        div dx/dsigma = (d - tr dD/dx) / sigma

    from sigma_min to sigma_max along the ODE from the images up (Song et al. 2021, arXiv 2011.13456, equation 39; in
    the form of Karras et al. 2022, equation 1 at s(t) = 1, sigma(t) = t). Position and integral take ``steps`` equal
    steps in sigma^(1/7) together, by the classical fourth-order method of Runge and Kutta. The prior is where the
    sampler starts; of data with mean m and variance s^2 it is off by m z / sigma_max in a sample z deviations out, and
    by (m^2 + s^2) / sigma_max^2 on average.

    probes: (P, B, ...) of random signs v, which estimate the trace by the mean of v . (dD/dx)^T v, without bias
    (Hutchinson 1990; with random signs exactly where dD/dx is diagonal); None takes the trace itself, by d gradients.
    """
    rows = len(images)
    width = images.numel() // rows
    if probes is None:
        units = torch.eye(width, dtype=images.dtype, device=images.device)
        probes = units.reshape(width, 1, *images.shape[1:]).expand(width, *images.shape)
        estimates = 1
    else:
        estimates = len(probes)

    def flow(x: torch.Tensor, root: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """d x / d root and d integral / d root, with sigma = root^rho."""
        sigma, inner = root**RHO, RHO * root ** (RHO - 1)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            denoised = denoise(x, sigma, labels)
            trace = torch.zeros(rows, dtype=x.dtype, device=x.device)
            for probe in probes:
                (gradient,) = torch.autograd.grad(denoised, x, probe, retain_graph=True)
                trace += (gradient * probe).flatten(1).sum(dim=1) / estimates
        return inner / sigma * (x - denoised).detach(), inner / sigma * (width - trace)

    roots = torch.linspace(
        sigma_min ** (1 / RHO), sigma_max ** (1 / RHO), steps + 1, dtype=images.dtype, device=images.device
    )
    x, integral = images, torch.zeros(rows, dtype=images.dtype, device=images.device)
    for now, following in pairwise(roots):
        step = following - now
        slope1, growth1 = flow(x, now)
        slope2, growth2 = flow(x + step / 2 * slope1, now + step / 2)
        slope3, growth3 = flow(x + step / 2 * slope2, now + step / 2)
        slope4, growth4 = flow(x + step * slope3, following)
        x = x + step / 6 * (slope1 + 2 * slope2 + 2 * slope3 + slope4)
        integral = integral + step / 6 * (growth1 + 2 * growth2 + 2 * growth3 + growth4)
    prior = x.flatten(1).square().sum(dim=1) / sigma_max**2 + width * math.log(2 * math.pi * sigma_max**2)
    return integral - prior / 2


def log_likelihood(
    options: DiffusionOptions, weights: Mapping[str, np.ndarray], data: np.ndarray, seed: int, steps: int, probes: int
) -> np.ndarray:
    """The log-density of vectors (n, d) float64 in nats, or the log-mass of uint8 images (n, C, H, W): (n,) float64.

    Of images by uniform dequantisation, log p((b + u - 1/2) / 127.5 - 1) - C H W ln 127.5 for bytes b, with u uniform
    in (0, 1): the byte that this number is rounded to, when samples are stored, is b. u and the probes of a row come
    from the seed and its own bytes.
    """
    where, shape, of_bytes = device(), data.shape[1:], KINDS["images"].holds(data)
    found = np.empty(len(data))
    if options.precision == "bfloat16":  # the trace of a derivative is read to more digits than it keeps
        options = options.model_copy(update={"precision": "tf32"})
    with exact(where, options.precision != "float32"):
        network = loaded(options, shape, weights, where).requires_grad_(False)
        denoise = NetworkDenoiser(network, options, parameterisation(options, where))
        lowest, highest = denoise.levels
        classes = range(options.classes) if options.classes and not options.label_dropout else [None]
        for start in range(0, len(data), BATCH):
            stored = np.zeros((BATCH, *shape), data.dtype)
            count = len(data[start : start + BATCH])
            stored[:count] = data[start : start + BATCH]
            width = math.prod(shape)
            own = [seeds.uniforms(own_seed(seed, row), 0, 1 + probes, width) for row in stored]
            uniform = np.stack(own, axis=1)  # (1 + probes, B, d)
            rows = (stored + uniform[0].reshape(stored.shape) - 0.5) / 127.5 - 1 if of_bytes else stored
            signs = np.where(uniform[1:] < 0.5, -1.0, 1.0).reshape(probes, *stored.shape)
            densities = [
                log_density(
                    denoise,
                    torch.from_numpy(rows).to(where),
                    sigma_min=lowest,
                    sigma_max=highest,
                    steps=steps,
                    probes=torch.from_numpy(signs).to(where) if probes else None,
                    labels=None if label is None else torch.full((BATCH,), label, device=where),
                )
                for label in classes
            ]
            mixture = torch.logsumexp(torch.stack(densities), dim=0) - math.log(len(densities))
            found[start : start + count] = mixture.cpu().numpy()[:count]
    return found - math.prod(shape) * math.log(127.5) if of_bytes else found
