"""The noise that samples were made of, by the sampler's ODE dx / dsigma = (x - D(x; sigma)) / sigma, upwards."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch

from ...machine.device import device, exact
from .options import DiffusionOptions
from .sampling import Denoiser, denoiser_of, noise_levels


def ascended(denoise: Denoiser, rows: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Where the ODE comes from ``rows`` (B, ...) at the lowest of rising noise levels, by Heun's second-order steps.

    Song, Meng and Ermon 2021 (https://arxiv.org/abs/2010.02502, section 4.3) go up by Euler's steps. At the end x is
    about sigma times the noise that a sampler would come to ``rows`` from.
    """
    x = rows
    for now, following in pairwise(levels):
        slope = (x - denoise(x, now, None)) / now
        ahead = x + (following - now) * slope
        x = x + (following - now) * (slope + (ahead - denoise(ahead, following, None)) / following) / 2
    return x


@torch.inference_mode()
def invert(
    options: DiffusionOptions, weights: Mapping[str, np.ndarray], rows: np.ndarray, steps: int | None
) -> np.ndarray:
    """The noise of images in [-1, 1] or of standardised vectors (n, ...): float64, in fixed batches, padded.

    steps: as many levels as a sampler of so many steps has; None for those of the options' sampler. Its last step, from
    the lowest level to 0, has no inverse: the rows are taken as they are at the lowest level.
    """
    if steps is not None:
        options = options.model_copy(update={"steps": steps})
    where, size = device(), options.sample_batch
    found = np.empty(rows.shape)
    with exact(where, options.precision != "float32"):
        denoise = denoiser_of(options, weights, rows.shape[1:], where)
        rising = noise_levels(options, denoise.parameterised.sigmas)[:-1].flip(0).to(where)
        for start in range(0, len(rows), size):
            part = np.zeros((size, *rows.shape[1:]))
            count = len(rows[start : start + size])
            part[:count] = rows[start : start + size]
            noise = ascended(denoise, torch.from_numpy(part).to(where), rising) / rising[-1]
            found[start : start + count] = noise.cpu().numpy()[:count]
    return found
