"""What the discriminator says of images."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ...core.images import to_unit
from ...machine.device import device, exact
from . import building
from .layers import TINY
from .networks import Discriminator
from .options import StyleGAN2Options


@torch.inference_mode()
def logits(
    options: StyleGAN2Options,
    weights: Mapping[str, np.ndarray],
    shape: Sequence[int],
    data: np.ndarray,
    labels: np.ndarray | None,
) -> np.ndarray:
    """The logit of each image being real, (n,) float64.

    In training an image's logit depends on its group by the minibatch deviation. Here all images have the deviation
    that a group of these images has on average, so that a logit is its image's own and the order of images has no part
    in it: with the variance v of each feature over all of them, sqrt(v (g - 1) / g) averaged over features, g the size
    of a group. The images are looked at twice, in batches of ``sample_batch``.
    """
    where = device()
    found = np.empty(len(data))
    with exact(where):
        network = building.discriminator(options, shape)
        building.load(network, weights, "discriminator")
        network = network.to(where).eval()
        group = min(options.deviation_group, len(data))
        deviation = (_variance(network, data, options) * ((group - 1) / group) + TINY).sqrt().mean()
        for start, features in _features(network, data, options):
            channel = deviation.to(features.dtype).expand(len(features), 1, *features.shape[2:])
            head = network.b4
            values = head.out(head.fc(head.conv(torch.cat([features, channel], dim=1)).flatten(1)))
            if network.mapping is not None:
                told = torch.from_numpy(np.array(labels[start : start + len(features)])).to(where)
                mapped = network.mapping(None, F.one_hot(told, options.classes).to(values.dtype))
                values = (values * mapped).sum(1, keepdim=True) / mapped.shape[1] ** 0.5
            found[start : start + len(features)] = values[:, 0].double().cpu().numpy()
    return found


def _features(
    network: Discriminator, data: np.ndarray, options: StyleGAN2Options
) -> Iterator[tuple[int, torch.Tensor]]:
    """The features at 4 x 4 pixels of each batch, and where it begins; computed of full batches."""
    size, where = options.sample_batch, next(network.parameters()).device
    for start in range(0, len(data), size):
        part = to_unit(data[start : start + size])
        images = torch.zeros(size, *part.shape[1:], device=where)
        images[: len(part)] = torch.from_numpy(part)
        for resolution in network.resolutions:
            images = getattr(network, f"b{resolution}")(images)
        yield start, images[: len(part)]


def _variance(network: Discriminator, data: np.ndarray, options: StyleGAN2Options) -> torch.Tensor:
    """The variance of each feature over all images, (C, 4, 4) float64, of batches one after the other (Chan 1983)."""
    count, mean, squares = 0, 0.0, 0.0
    for _, features in _features(network, data, options):
        new = features.double()
        off = new.mean(0) - mean
        both = count + len(new)
        squares = squares + (new - new.mean(0)).square().sum(0) + off.square() * (count * len(new) / both)
        mean = mean + off * (len(new) / both)
        count = both
    return squares / count
