"""Samples of a variational autoencoder, and the likelihood of rows under it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...core import seeds
from ...core.ask import Ask
from ...core.kinds import KINDS
from ...engine import networks
from ...engine.scale import Scale
from ...machine.device import device, exact
from ..arrays import in_batches
from ..inputs import dequantised
from ..rows import own_seed
from .options import VAEOptions
from .training import build, given_sd

IMPORTANCE = 64  # samples of q(z | x) a row, for each probe
BATCH = 32  # rows at once, fixed and padded: rounding depends on the size of a product, a likelihood must not


@torch.inference_mode()
def sample(
    options: VAEOptions,
    weights: Mapping[str, np.ndarray],
    scale: Scale,
    shape: Sequence[int],
    ask: Ask,
) -> np.ndarray:
    """The samples that are asked for, in fixed batches; the bias is the latents' variance (:func:`in_batches`)."""
    where, size, latent, dimensions = device(), options.sample_batch, options.latent, math.prod(shape)
    keep = options.noise == "keep" or (options.noise is None and len(shape) == 1)
    of_noise = seeds.seed_of(ask.seed, None, None, "noise")
    with exact(where):
        network = networks.evaluated(lambda: build(options, shape), weights, where)
        sd = float(network.noise(given_sd(options, scale)))

        def make(batch: int) -> np.ndarray:
            latents = seeds.normals(ask.seed, batch * size, size, latent) * math.sqrt(ask.bias)
            rows = network.decode(torch.from_numpy(latents).to(where)).cpu().numpy()
            if keep:  # drawn apart: the latents are the same with noise and without
                rows = rows + sd * seeds.normals(of_noise, batch * size, size, dimensions)
            return scale.restored(rows).reshape(size, *shape)

        return in_batches(make, ask.count, ask.start, size, shape)


@torch.inference_mode()
def log_likelihood(
    options: VAEOptions, weights: Mapping[str, np.ndarray], scale: Scale, data: np.ndarray, seed: int, probes: int
) -> np.ndarray:
    """The importance-weighted bound of each row with 64 ``probes`` samples, (n,) float64; z_k are the row's own."""
    where, shape, images = device(), data.shape[1:], KINDS["images"].holds(data)
    dimensions, latent, samples = math.prod(shape), options.latent, IMPORTANCE * probes
    rows = scale.standardised(dequantised(data, seed) if images else data)
    found = np.empty(len(rows))
    with exact(where):
        network = networks.evaluated(lambda: build(options, shape), weights, where)
        sd = network.noise(given_sd(options, scale))
        for start in range(0, len(rows), BATCH):
            part = np.zeros((BATCH, dimensions))
            count = len(rows[start : start + BATCH])
            part[:count] = rows[start : start + BATCH]
            normal = np.stack([seeds.normals(own_seed(seed, row), 0, samples, latent) for row in part], axis=1)
            x, normal = torch.from_numpy(part).to(where), torch.from_numpy(normal).to(where)  # (K, B, latent)
            mean, log_sd = network.encode(x)
            latents = mean + log_sd.exp() * normal
            means = network.decode(latents.reshape(-1, latent)).reshape(samples, BATCH, dimensions)
            misfit = (x - means).square().sum(dim=2) / (2 * sd.square())
            ratio = (normal.square() - latents.square()).sum(dim=2) / 2 + log_sd.sum(dim=1)
            bounds = torch.logsumexp(ratio - misfit, dim=0) - math.log(samples)
            bounds = bounds - dimensions * (sd.log() + math.log(2 * math.pi) / 2)
            found[start : start + count] = bounds.cpu().numpy()[:count]
    found -= np.log(scale.scale).sum()
    return found - dimensions * math.log(127.5) if images else found
