"""The networks F(c_in x, c_noise, label) inside a denoiser: a residual MLP and the DDPM++ U-Net.

Sources: Ho et al. 2020 (DDPM, https://arxiv.org/abs/2006.11239), Song et al. 2021 (DDPM++, appendix H of
https://arxiv.org/abs/2011.13456), Karras et al. 2022 (EDM, https://arxiv.org/abs/2206.00364). Both networks take

    images (B, C, H, W), noise (B,): c_noise or DDPM's t, labels (B, classes): one-hot rows, or zeros for "no label",
    augmentation (B, 9): what was done to the training images (:mod:`augment`), or None for nothing

and give F with the shape of the images. A row of zeros is how a dropped label looks, so that one network is both the
conditional and the unconditional model.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ...engine.networks import load_weights
from ...machine.compat import import_torchvision
from ...machine.device import exact
from . import augment
from .options import DiffusionOptions


def build(options: DiffusionOptions, shape: Sequence[int], seed: int = 0) -> nn.Module:
    """The network of the options for images of ``shape`` (C, H, W), on the CPU, with the initial weights of a seed."""
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seed)
        given = {"classes": options.classes, "dropout": options.dropout}
        if options.network == "diffusers":
            return DiffusersUNet(shape, options.unet, **given)
        given["augmented"] = options.augment > 0
        if options.network == "mlp":
            octaves = options.octaves if len(shape) == 1 else 0
            return MLP(shape, options.channels, options.blocks, octaves=octaves, **given)
        kind = UNet if len(shape) == 3 else SoundUNet
        return kind(shape, options.channels, options.multipliers, options.blocks, options.attention, **given)


def outline(options: DiffusionOptions, shape: Sequence[int]) -> nn.Module:
    """The network of the options with shapes and no numbers."""
    with torch.device("meta"):
        return build(options, shape)


def loaded(
    options: DiffusionOptions, shape: Sequence[int], weights: Mapping[str, np.ndarray], where: torch.device
) -> nn.Module:
    """The network with named weights on a device, to be evaluated. Raises ValueError as
    :func:`..networks.load_weights`."""
    with where if where.type == "cuda" else nullcontext():  # it draws the initial weights in a moment, a CPU in seconds
        network = build(options, shape)
    load_weights(network.to(where), weights)
    return network.eval()


# -- layers ------------------------------------------------------------------------------------------------------------


def linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """A dense layer, Xavier-uniform times ``gain``."""
    return _scaled(nn.Linear(inputs, outputs), gain)


def convolution(inputs: int, outputs: int, size: int = 3, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps height and width, Xavier-uniform times ``gain``."""
    return _scaled(nn.Conv2d(inputs, outputs, size, padding=size // 2), gain)


def _scaled(layer: nn.Module, gain: float) -> nn.Module:
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


NEARLY_ZERO = 1e-5  # gain of each residual branch's last layer: a block begins as the identity


class Embedding(nn.Module):
    """Noise level, label and augmentation as one vector: (B,), (B, classes), (B, 9) -> (B, outputs).

    cos and sin of c_noise at the frequencies 1e-4^(i / half), i = 0 .. half - 1, which end short of the 1e-4 that Ho et
    al. 2020 end at; plus the label's vector and a linear map of the augmentation, through two dense layers. The map has
    no bias: zeros, and None, are no augmentation.
    """

    def __init__(self, channels: int, outputs: int, classes: int, augmented: bool):
        super().__init__()
        self.channels = channels
        self.label = nn.Parameter(torch.randn(classes, channels)) if classes else None
        self.layers = nn.Sequential(linear(channels, outputs), nn.SiLU(), linear(outputs, outputs), nn.SiLU())
        self.augmentation = nn.Linear(augment.CONDITIONS, channels, bias=False) if augmented else None

    def forward(
        self, noise: torch.Tensor, labels: torch.Tensor | None, augmentation: torch.Tensor | None
    ) -> torch.Tensor:
        half = self.channels // 2
        frequencies = torch.exp(-math.log(10_000) / half * torch.arange(half, device=noise.device, dtype=noise.dtype))
        angles = noise[:, None] * frequencies
        embedded = torch.cat([angles.cos(), angles.sin()], dim=1)
        if self.label is not None:
            embedded = embedded + labels @ self.label
        if self.augmentation is not None and augmentation is not None:
            embedded = embedded + self.augmentation(augmentation)
        return self.layers(embedded)


# -- residual MLP ------------------------------------------------------------------------------------------------------


class MLPBlock(nn.Module):
    """h + W2 silu(W1 norm(h) + A e), with e the embedding: (B, channels) -> (B, channels)."""

    def __init__(self, channels: int, embedding: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.inner = linear(channels, channels)
        self.affine = linear(embedding, channels)
        self.dropout = nn.Dropout(dropout)
        self.outer = linear(channels, channels, NEARLY_ZERO)

    def forward(self, hidden: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        inner = F.silu(self.inner(self.norm(hidden)) + self.affine(embedded))
        return hidden + self.outer(self.dropout(inner))


class MLP(nn.Module):
    """A residual perceptron over the pixels: for tiny images it beats a convolutional network of equal time.

    With octaves its first layer sees of each number x also sin and cos of x, 2 x, ... 2^(octaves - 1) x: from the
    number alone a small network learns what changes within a tenth of a standard deviation too late (Tancik et al.
    2020, https://arxiv.org/abs/2006.10739).
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        blocks: int,
        classes: int,
        dropout: float,
        augmented: bool,
        octaves: int = 0,
    ):
        super().__init__()
        self.octaves = octaves
        pixels = math.prod(shape)
        embedding = max(channels // 4, 4)
        self.embedding = Embedding(embedding, embedding, classes, augmented)
        self.first = linear(pixels * (1 + 2 * octaves), channels)
        self.blocks = nn.ModuleList(MLPBlock(channels, embedding, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.last = linear(channels, pixels, NEARLY_ZERO)

    def forward(
        self,
        images: torch.Tensor,
        noise: torch.Tensor,
        labels: torch.Tensor | None,
        augmentation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        embedded = self.embedding(noise, labels, augmentation)
        numbers = images.flatten(1)
        if self.octaves:
            waves = [numbers * 2.0**octave for octave in range(self.octaves)]
            numbers = torch.cat([numbers, *(f(wave) for wave in waves for f in (torch.sin, torch.cos))], dim=1)
        hidden = self.first(numbers)
        for block in self.blocks:
            hidden = block(hidden, embedded)
        return self.last(F.silu(self.norm(hidden))).reshape(images.shape)


# -- DDPM++ ------------------------------------------------------------------------------------------------------------


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 32 groups, or with fewer so that groups are equal and have at least 4 channels."""
    return nn.GroupNorm(math.gcd(channels, min(32, max(1, channels // 4))), channels, eps=1e-6)


class Attention(nn.Module):
    """x + projection of single-head self-attention over the pixels: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = group_norm(channels)
        self.mixed = convolution(channels, 3 * channels, 1, math.sqrt(0.2))
        self.projection = convolution(channels, channels, 1, NEARLY_ZERO)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        query, key, value = self.mixed(self.norm(images)).flatten(2).chunk(3, dim=1)  # each (B, C, H W)
        similarity = torch.einsum("bcq,bck->bqk", query, key / math.sqrt(query.shape[1]))
        mixed = torch.einsum("bqk,bck->bcq", similarity.softmax(dim=2), value)
        return images + self.projection(mixed.reshape(images.shape))


class UNetBlock(nn.Module):
    """A residual block of BigGAN's kind, with half the variance from either branch (Song et al. 2021, appendix H).

    resize: "up" doubles height and width (nearest), "down" halves them (mean of 2 x 2), None keeps them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        dropout: float,
        *,
        attention: bool = False,
        resize: str | None = None,
    ):
        super().__init__()
        self.resize = resize
        self.norm0 = group_norm(inputs)
        self.convolution0 = convolution(inputs, outputs)
        self.affine = linear(embedding, outputs)
        self.norm1 = group_norm(outputs)
        self.dropout = nn.Dropout(dropout)
        self.convolution1 = convolution(outputs, outputs, gain=NEARLY_ZERO)
        self.skip = convolution(inputs, outputs, 1) if inputs != outputs or resize else nn.Identity()
        self.attention = Attention(outputs) if attention else None

    def forward(self, images: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        hidden = self.convolution0(_resized(F.silu(self.norm0(images)), self.resize))
        hidden = F.silu(self.norm1(hidden + self.affine(embedded)[:, :, None, None]))
        hidden = self.convolution1(self.dropout(hidden))
        images = (self.skip(_resized(images, self.resize)) + hidden) * math.sqrt(0.5)
        return images if self.attention is None else self.attention(images) * math.sqrt(0.5)


def _resized(images: torch.Tensor, resize: str | None) -> torch.Tensor:
    if resize == "down":
        return F.avg_pool2d(images, 2)
    if resize == "up":
        return F.interpolate(images, scale_factor=2, mode="nearest")
    return images


class UNet(nn.Module):
    """DDPM++ as Karras et al. 2022 use it (table 7, "DDPM++").

    channels: at full resolution before multipliers. multipliers: one per resolution, each half of the one before.
    blocks: residual blocks per resolution on the way down; one more on the way up. attention: the heights that have it.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: int,
        multipliers: Sequence[int],
        blocks: int,
        attention: Sequence[int],
        classes: int,
        dropout: float,
        augmented: bool,
    ):
        super().__init__()
        colours, height, width = shape
        halvings = 2 ** (len(multipliers) - 1)
        if height % halvings or width % halvings:
            raise ValueError(
                f"multipliers: found {len(multipliers)} of them, which halve {height} x {width} images "
                f"{len(multipliers) - 1} times; allowed are as many as height and width can be halved"
            )
        embedding = 4 * channels
        self.embedding = Embedding(channels, embedding, classes, augmented)
        self.first = convolution(colours, channels)
        block = {"embedding": embedding, "dropout": dropout}

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        now, skips = channels, [channels]
        for level, multiplier in enumerate(multipliers):
            if level:
                self.down.append(UNetBlock(now, now, **block, resize="down"))
                skips.append(now)
            for _ in range(blocks):
                self.down.append(UNetBlock(now, channels * multiplier, **block, attention=height >> level in attention))
                now = channels * multiplier
                skips.append(now)
        self.middle = nn.ModuleList([UNetBlock(now, now, **block, attention=True), UNetBlock(now, now, **block)])
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for index in range(blocks + 1):
                has_attention = index == blocks and height >> level in attention
                self.up.append(UNetBlock(now + skips.pop(), channels * multiplier, **block, attention=has_attention))
                now = channels * multiplier
            if level:
                self.up.append(UNetBlock(now, now, **block, resize="up"))
        self.norm = group_norm(now)
        self.last = convolution(now, colours, gain=NEARLY_ZERO)

    def forward(
        self,
        images: torch.Tensor,
        noise: torch.Tensor,
        labels: torch.Tensor | None,
        augmentation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        embedded = self.embedding(noise, labels, augmentation)
        hidden = self.first(images)
        if hidden.device.type == "cpu":  # its convolutions are faster with the channels last in memory
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        skips = [hidden]
        for block in self.down:
            hidden = block(hidden, embedded)
            skips.append(hidden)
        for block in self.middle:
            hidden = block(hidden, embedded)
        for block in self.up:
            if block.resize is None:
                hidden = torch.cat([hidden, skips.pop()], dim=1)
            hidden = block(hidden, embedded)
        return self.last(F.silu(self.norm(hidden)))


class SoundUNet(UNet):
    """The same of log-mel pictures (B, bands, frames): they are images of one channel."""

    def __init__(self, shape: Sequence[int], *sizes: Any, **options: Any):
        super().__init__((1, *shape), *sizes, **options)

    def forward(
        self,
        images: torch.Tensor,
        noise: torch.Tensor,
        labels: torch.Tensor | None,
        augmentation: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return super().forward(images[:, None], noise, labels, augmentation)[:, 0]


# -- diffusers ---------------------------------------------------------------------------------------------------------


class DiffusersUNet(nn.Module):
    """diffusers' ``UNet2DModel`` as one of these networks: its noise is the timestep t.

    configuration: the arguments of ``UNet2DModel``, as its ``config.json`` has them. classes: all of its
    ``num_class_embeds``, or one fewer where the last of them stands for "no label".
    Raises ValueError for a configuration that is not exactly such a network of images of ``shape``.
    """

    def __init__(self, shape: Sequence[int], configuration: Mapping[str, Any], classes: int, dropout: float):
        super().__init__()
        import_torchvision()
        from diffusers import UNet2DModel

        _check(configuration, inspect.signature(UNet2DModel.__init__).parameters)
        if configuration.get("in_channels", 3) != shape[0]:
            raise ValueError(
                f"unet: found in_channels {configuration.get('in_channels', 3)}, the images have {shape[0]}"
            )
        embedded = configuration.get("num_class_embeds") or 0
        if classes not in (embedded, max(embedded - 1, 0)):
            raise ValueError(
                f"classes: found {classes}, allowed are {embedded} = num_class_embeds, or one fewer with the last for "
                "no label"
            )
        try:
            self.unet = UNet2DModel(**{**configuration, "dropout": dropout})
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
            raise ValueError(f"unet: diffusers cannot build it: {error}") from None
        self.embedded = embedded

    def forward(self, images: torch.Tensor, noise: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        if not self.embedded:
            return self.unet(images, noise).sample
        absent = self.embedded - 1
        if labels is None or not labels.shape[1]:
            numbers = torch.full((len(images),), absent, device=images.device)
        else:
            numbers = torch.where(labels.any(dim=1), labels.argmax(dim=1), absent)
        return self.unet(images, noise, class_labels=numbers).sample


def _check(configuration: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise ValueError where our parameterisation would not be exact."""
    for name in configuration:
        if name == "self" or name not in known:
            raise ValueError(f"unet: found {name!r}, which diffusers' UNet2DModel does not take")
    allowed = {
        "time_embedding_type": ("positional", "fourier"),  # that which is learnt takes whole timesteps only
        "class_embed_type": (None,),
        "out_channels": (configuration.get("in_channels", 3),),  # twice as many also predict a variance
    }
    for name, most in (("layers_per_block", 100), ("block_out_channels", 20)):
        found = configuration.get(name, known[name].default)
        if (found if isinstance(found, int) else len(found) if isinstance(found, (list, tuple)) else most + 1) > most:
            raise ValueError(f"unet: found {name} {found!r}, allowed are at most {most}")
    for name, values in allowed.items():
        found = configuration.get(name, known[name].default)
        if found not in values:
            raise ValueError(f"unet: found {name} {found!r}, allowed is {' or '.join(map(repr, values))}")
