"""Samples of a generator."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...core import seeds
from ...core.ask import Ask
from ...engine import networks
from ...engine.scale import Scale
from ...machine.device import device, exact
from ..arrays import in_batches
from .options import GANOptions
from .training import build


@torch.inference_mode()
def sample(
    options: GANOptions,
    weights: Mapping[str, np.ndarray],
    scale: Scale,
    shape: Sequence[int],
    ask: Ask,
) -> np.ndarray:
    """The samples that are asked for, in fixed batches; the bias is the latents' variance (:func:`in_batches`)."""
    where, size = device(), options.sample_batch
    with exact(where):
        generator = networks.evaluated(lambda: build(options, shape), weights, where)["generator"]

        def make(batch: int) -> np.ndarray:
            latents = seeds.normals(ask.seed, batch * size, size, options.latent) * math.sqrt(ask.bias)
            rows = generator(torch.from_numpy(latents).to(where)).cpu().numpy()
            return scale.restored(rows).reshape(size, *shape)

        return in_batches(make, ask.count, ask.start, size, shape)
