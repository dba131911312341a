"""Samples of a generator."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ... import seeds
from ...device import device, exact
from ...engine import networks
from ...engine.scale import Scale
from ..arrays import in_batches
from .options import GANOptions
from .training import build


@torch.inference_mode()
def sample(
    options: GANOptions,
    weights: Mapping[str, np.ndarray],
    scale: Scale,
    shape: Sequence[int],
    count: int,
    seed: int,
    start: int,
    variance: float,
) -> np.ndarray:
    """Samples ``start .. start + count`` with latents of this variance, in fixed batches (:func:`in_batches`)."""
    where, size = device(), options.sample_batch
    with exact(where):
        generator = networks.evaluated(lambda: build(options, shape), weights, where)["generator"]

        def make(batch: int) -> np.ndarray:
            latents = seeds.normals(seed, batch * size, size, options.latent) * math.sqrt(variance)
            rows = generator(torch.from_numpy(latents).to(where)).cpu().numpy()
            return scale.restored(rows).reshape(size, *shape)

        return in_batches(make, count, start, size, shape)
