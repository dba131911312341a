"""The networks that options describe, and the weights that are kept of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from .networks import Discriminator, Generator
from .options import StyleGAN2Options


def generator(options: StyleGAN2Options, shape: Sequence[int]) -> Generator:
    """A generator of images of ``shape`` (C, H, H), with weights from torch's default generator."""
    colours, resolution, _ = shape
    return Generator(
        resolution,
        colours,
        options.classes,
        options.z_width,
        options.w_width,
        options.mapping_layers,
        options.channel_base,
        options.channel_max,
        options.clamp,
    )


def discriminator(options: StyleGAN2Options, shape: Sequence[int]) -> Discriminator:
    """A discriminator of images of ``shape`` (C, H, H), with weights from torch's default generator."""
    colours, resolution, _ = shape
    return Discriminator(
        resolution,
        colours,
        options.classes,
        options.channel_base,
        options.channel_max,
        mapping_layers=options.label_layers,
        deviation_group=options.deviation_group,
        residual=options.residual,
        clamp=options.clamp,
    )


def outlines(options: StyleGAN2Options, shape: Sequence[int]) -> tuple[Generator, Discriminator]:
    """Both networks with shapes and no numbers."""
    with torch.device("meta"):
        return generator(options, shape), discriminator(options, shape)


def stored(network: nn.Module) -> dict[str, torch.Tensor]:
    """What of a network is kept, by name: all but the resampling filter, which is always the same."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("resample_filter")}


def load(network: nn.Module, weights: Mapping[str, np.ndarray], whose: str) -> None:
    """Copy named arrays into the network. Raises ValueError as :func:`check`."""
    check(network, weights, whose)
    with torch.no_grad():
        for name, tensor in stored(network).items():
            tensor.copy_(torch.from_numpy(np.array(weights[name])))


def check(network: nn.Module, weights: Mapping[str, np.ndarray], whose: str) -> None:
    """Raise ValueError unless names and shapes are the network's, which the message calls ``whose``."""
    shapes = {name: tuple(tensor.shape) for name, tensor in stored(network).items()}
    given = {name: array.shape for name, array in weights.items()}
    if shapes != given:
        name = next(name for name in [*shapes, *given] if shapes.get(name) != given.get(name))
        raise ValueError(
            f"weights of the {whose}: found {name!r} of shape {given.get(name)}, this network has it of shape "
            f"{shapes.get(name)}"
        )
