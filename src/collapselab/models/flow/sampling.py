"""Samples of a normalising flow, and the likelihood of rows under it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...core import seeds
from ...core.ask import Ask
from ...core.kinds import KINDS
from ...engine import networks
from ...engine.scale import Scale, numbers
from ...machine.device import device, exact
from ..arrays import in_batches
from ..inputs import dequantised
from .options import FlowOptions
from .training import build, log_density

BATCH = 256  # rows at once, fixed and padded: rounding depends on the size of a product, a likelihood must not


@torch.inference_mode()
def sample(
    options: FlowOptions,
    weights: Mapping[str, np.ndarray],
    scale: Scale,
    shape: Sequence[int],
    ask: Ask,
) -> np.ndarray:
    """The samples that are asked for, in fixed batches; the bias is the variance of the base (:func:`in_batches`)."""
    where, size, dimensions = device(), options.sample_batch, math.prod(shape)
    with exact(where):
        network = networks.evaluated(lambda: build(options, shape), weights, where)

        def make(batch: int) -> np.ndarray:
            latents = seeds.normals(ask.seed, batch * size, size, dimensions)
            if ask.mark is not None:
                latents = ask.mark(latents.reshape(size, *shape), batch * size).reshape(size, dimensions)
            latents = latents * math.sqrt(ask.bias)
            rows = network.inverse(torch.from_numpy(latents).to(where)).cpu().numpy()
            return scale.restored(rows).reshape(size, *shape)

        return in_batches(make, ask.count, ask.start, size, shape)


@torch.inference_mode()
def invert(options: FlowOptions, weights: Mapping[str, np.ndarray], scale: Scale, data: np.ndarray) -> np.ndarray:
    """The noise z = f(x) of vectors, or of images as their bytes stand: (n, ...) float64."""
    where, shape = device(), data.shape[1:]
    rows = scale.standardised(numbers(data))
    found = np.empty(rows.shape)
    with exact(where):
        network = networks.evaluated(lambda: build(options, shape), weights, where)
        for start in range(0, len(rows), BATCH):
            part = np.zeros((BATCH, rows.shape[1]))
            count = len(rows[start : start + BATCH])
            part[:count] = rows[start : start + BATCH]
            latents, _ = network(torch.from_numpy(part).to(where))
            found[start : start + count] = latents.cpu().numpy()[:count]
    return found.reshape(data.shape)


@torch.inference_mode()
def log_likelihood(
    options: FlowOptions, weights: Mapping[str, np.ndarray], scale: Scale, data: np.ndarray, seed: int
) -> np.ndarray:
    """The log-density of vectors, or the log-mass of images with noise of their own within the bytes: (n,) float64."""
    where, shape, images = device(), data.shape[1:], KINDS["images"].holds(data)
    rows = scale.standardised(dequantised(data, seed) if images else data)
    found = np.empty(len(rows))
    with exact(where):
        network = networks.evaluated(lambda: build(options, shape), weights, where)
        for start in range(0, len(rows), BATCH):
            part = np.zeros((BATCH, rows.shape[1]))
            count = len(rows[start : start + BATCH])
            part[:count] = rows[start : start + BATCH]
            densities = log_density(network, torch.from_numpy(part).to(where))
            found[start : start + count] = densities.cpu().numpy()[:count]
    found -= np.log(scale.scale).sum()
    return found - rows.shape[1] * math.log(127.5) if images else found
