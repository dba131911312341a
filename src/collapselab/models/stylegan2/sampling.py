"""Sampling of a trained generator."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ...core import seeds
from ...core.ask import Ask
from ...machine.device import autocast, device, exact
from ..arrays import in_batches
from ..asking import labels_of_batch
from . import building
from .options import StyleGAN2Options


@torch.inference_mode()
def sample(
    options: StyleGAN2Options,
    weights: Mapping[str, np.ndarray],
    shape: Sequence[int],
    ask: Ask,
    labels: np.ndarray | None,
) -> np.ndarray:
    """The samples that are asked for, truncated by the bias: (count, C, H, W) uint8.

    They are made in fixed batches of ``sample_batch`` (:func:`in_batches`). z is the same on every device; the layers'
    noise comes from the device's own generator, seeded for each batch. labels: the samples' classes, (count,) int64, or
    None for a model without any.
    """
    where, size, seed = device(), options.sample_batch, ask.seed
    with exact(where, options.precision != "float32") as random, autocast(where, options.precision):
        generator = building.generator(options, shape)
        building.load(generator, weights, "generator")
        generator = generator.to(where).eval()

        def make(batch: int) -> np.ndarray:
            z = torch.from_numpy(seeds.normals(seed, batch * size, size, options.z_width)).to(where, torch.float32)
            told = None
            if labels is not None:
                classes = torch.from_numpy(labels_of_batch(labels, ask.start, batch, size, options.classes)).to(where)
                told = F.one_hot(classes, options.classes).to(torch.float32)
            noise = generator.stored_noise()
            if options.noise == "random":
                random.manual_seed(seeds.seed_of(seed, None, None, "noise", batch))
                noise = [torch.randn(size, *like, device=where) for like in generator.noise_shapes]
            return generator(z, told, noise, ask.bias).float().cpu().numpy()

        return in_batches(make, ask.count, ask.start, size, shape)
