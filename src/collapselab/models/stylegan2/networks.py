"""The networks of StyleGAN2: mapping, synthesis and discriminator.

Source: Karras et al. 2020 (https://arxiv.org/abs/1912.04958): skip generator, residual discriminator, weight
demodulation; Karras et al. 2020 (ADA, https://arxiv.org/abs/2006.06676): labels, and clamped activations. Parameters
and buffers have the names of the published weights, so that these are taken over by name.

    z (B, z_width): normal noise; labels (B, classes): one-hot rows, or None where there are no classes
    w (B, w_width): what the mapping makes of them; ws (B, num_ws, w_width): one w for every layer
    images (B, colours, resolution, resolution)
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from .layers import (
    Convolution,
    Dense,
    StyledConvolution,
    ToColours,
    laid_out,
    not_autocast,
    resample,
    resampling_filter,
    unit,
    with_deviation,
)

SMALLEST, LARGEST = 8, 1024  # resolutions


def resolutions(largest: int) -> list[int]:
    """4, 8, ..., ``largest``. Raises ValueError unless it is a power of two from 8 to 1024."""
    if not SMALLEST <= largest <= LARGEST or largest & (largest - 1):
        raise ValueError(f"resolution: found {largest}, allowed are the powers of two from {SMALLEST} to {LARGEST}")
    return [2**level for level in range(2, largest.bit_length())]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """The number of feature channels at a resolution: min(channel_base / resolution, channel_max).

    Raises ValueError where there would be none.
    """
    if channel_base < resolution:
        raise ValueError(
            f"channel_base: found {channel_base}, allowed are numbers from the resolution, {resolution}, up"
        )
    return min(channel_base // resolution, channel_max)


# -- generator ---------------------------------------------------------------------------------------------------------


class Mapping(nn.Module):
    """z and label as w: (B, z_width), (B, classes) -> (B, w_width), in float32 whatever autocast says.

    z is normalised; with classes the label's embedding is normalised likewise and appended. ``layers`` dense layers of
    a hundredth of the learning rate follow. Without z (z_width 0) the embedding alone is mapped, as in the conditional
    discriminator, and no mean of w is kept.

    ``w_avg`` is the mean of w, for truncation; who trains tracks it with the decay ``w_avg_decay`` a step.
    """

    w_avg_decay = 0.995

    def __init__(self, z_width: int, classes: int, w_width: int, layers: int):
        super().__init__()
        self.z_width, self.classes, self.layers = z_width, classes, layers
        width = z_width
        if classes:
            self.embed = Dense(classes, w_width)
            width += w_width
        for index in range(layers):
            setattr(self, f"fc{index}", Dense(width, w_width, active=True, multiplier=0.01))
            width = w_width
        if z_width:
            self.register_buffer("w_avg", torch.zeros(w_width))

    def forward(self, z: torch.Tensor | None, labels: torch.Tensor | None = None) -> torch.Tensor:
        with not_autocast(self.fc0.weight):
            parts = [unit(z)] if self.z_width else []
            if self.classes:
                parts.append(unit(self.embed(labels)))
            w = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
            for index in range(self.layers):
                w = getattr(self, f"fc{index}")(w)
            return w


class SynthesisBlock(nn.Module):
    """The layers at one resolution: ``conv0`` (doubling, absent from the first block), ``conv1`` and ``torgb``."""

    def __init__(self, inputs: int, outputs: int, resolution: int, colours: int, w_width: int, clamp: float | None):
        super().__init__()
        self.register_buffer("resample_filter", resampling_filter())
        if inputs:
            self.conv0 = StyledConvolution(inputs, outputs, resolution, w_width, doubling=True, clamp=clamp)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = StyledConvolution(outputs, outputs, resolution, w_width, clamp=clamp)
        self.torgb = ToColours(outputs, colours, w_width, clamp=clamp)


class Synthesis(nn.Module):
    """ws and noise as images: (B, num_ws, w_width) -> (B, colours, resolution, resolution).

    noise: None for none, or for every convolution, in order, a tensor (B or 1, 1, r, r) of its resolution r.
    The images of all blocks are added up, each doubled to the next block's resolution ("skip generator").
    """

    def __init__(
        self, resolution: int, colours: int, w_width: int, channel_base: int, channel_max: int, clamp: float | None
    ):
        super().__init__()
        self.resolutions = resolutions(resolution)
        inputs = 0
        for size in self.resolutions:
            outputs = channels_at(size, channel_base, channel_max)
            setattr(self, f"b{size}", SynthesisBlock(inputs, outputs, size, colours, w_width, clamp))
            inputs = outputs

    def forward(self, ws: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        layers = 2 * len(self.resolutions) - 1
        noises = iter(noise if noise is not None else [None] * layers)
        inputs = iter(ws.unbind(1))
        first = self.b4
        features = laid_out(first.const.expand(len(ws), -1, -1, -1))
        features = first.conv1(features, next(inputs), next(noises))
        w = next(inputs)  # torgb and the next block's first convolution take the same one
        images = first.torgb(features, w)
        for size in self.resolutions[1:]:
            block = getattr(self, f"b{size}")
            features = block.conv0(features, w, next(noises))
            features = block.conv1(features, next(inputs), next(noises))
            w = next(inputs)
            images = resample(images, block.resample_filter * 4, up=2, padding=(2, 1))
            images = images + block.torgb(features, w)
        return images


class Generator(nn.Module):
    """Images from noise: z (B, z_width), labels (B, classes) -> (B, colours, resolution, resolution), about [-1, 1].

    Features have min(channel_base / r, channel_max) channels at resolution r. clamp: bound of the activations of every
    convolution, None for none; weights trained in float16 need theirs, 256.

    Raises ValueError for a resolution that is no power of two from 8 to 1024, or above channel_base.
    """

    def __init__(
        self,
        resolution: int,
        colours: int = 3,
        classes: int = 0,
        z_width: int = 512,
        w_width: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        clamp: float | None = None,
    ):
        super().__init__()
        self.resolution = resolution
        self.num_ws = 2 * len(resolutions(resolution))  # 2 log2(resolution) - 2
        self.synthesis = Synthesis(resolution, colours, w_width, channel_base, channel_max, clamp)
        self.mapping = Mapping(z_width, classes, w_width, mapping_layers)

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """The shape (1, r, r) of one image's noise for every convolution, in order."""
        return [tuple(noise.shape[1:]) for noise in self.stored_noise()]

    def stored_noise(self) -> list[torch.Tensor]:
        """The noise that belongs to the weights, (1, 1, r, r) for every convolution, in order: always the same."""
        found = (layer.noise_const for layer in self.synthesis.modules() if isinstance(layer, StyledConvolution))
        return [noise[None, None] for noise in found]

    def truncate(self, w: torch.Tensor, psi: float = 1.0, cutoff: int | None = None) -> torch.Tensor:
        """ws (B, num_ws, w_width): w_avg + psi (w - w_avg) for the first ``cutoff`` layers (all if None), else w."""
        ws = w[:, None].expand(-1, self.num_ws, -1)
        if psi == 1:
            return ws
        cutoff = self.num_ws if cutoff is None else cutoff
        truncated = self.mapping.w_avg.to(w.dtype).lerp(ws[:, :cutoff], psi)
        return torch.cat([truncated, ws[:, cutoff:]], dim=1)

    def forward(
        self,
        z: torch.Tensor,
        labels: torch.Tensor | None = None,
        noise: Sequence[torch.Tensor] | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
    ) -> torch.Tensor:
        return self.synthesis(self.truncate(self.mapping(z, labels), psi, cutoff), noise)


# -- discriminator -----------------------------------------------------------------------------------------------------


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves: (B, inputs, r, r) -> (B, outputs, r / 2, r / 2).

    The first block has ``fromrgb``, which makes features of colours. ``residual``: plus a halving 1 x 1 convolution of
    the input, both with the gain sqrt(1/2).
    """

    def __init__(self, colours: int | None, inputs: int, outputs: int, residual: bool, clamp: float | None):
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        self.register_buffer("resample_filter", resampling_filter())
        self.fromrgb = Convolution(colours, inputs, 1, clamp=clamp) if colours else None
        self.conv0 = Convolution(inputs, inputs, 3, clamp=clamp)
        self.conv1 = Convolution(inputs, outputs, 3, halving=True, gain=gain, clamp=clamp)
        self.skip = None
        if residual:
            self.skip = Convolution(inputs, outputs, 1, active=False, halving=True, gain=gain, clamp=clamp)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images if self.fromrgb is None else self.fromrgb(images)
        halved = self.conv1(self.conv0(features))
        return halved if self.skip is None else halved + self.skip(features)


class DiscriminatorHead(nn.Module):
    """Features at 4 x 4 as (B, outputs): minibatch deviation, a convolution and two dense layers."""

    def __init__(self, channels: int, outputs: int, deviation_group: int, interleaved: bool, clamp: float | None):
        super().__init__()
        self.deviation_group, self.interleaved = deviation_group, interleaved
        self.conv = Convolution(channels + 1, channels, 3, clamp=clamp)
        self.fc = Dense(channels * 4**2, channels, active=True)
        self.out = Dense(channels, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        with not_autocast(features):
            features = with_deviation(features.to(self.fc.weight.dtype), self.deviation_group, self.interleaved)
            return self.out(self.fc(self.conv(features).flatten(1)))


class Discriminator(nn.Module):
    """Logits of being real: images (B, colours, resolution, resolution), labels (B, classes) -> (B, 1).

    With classes the logit is the product of the features with the mapped label, over sqrt(width). deviation_group:
    images a group of the minibatch deviation; ``interleaved``: of the groups that the published discriminators saw,
    else of neighbouring ones (``with_deviation``). residual: blocks with skips, else plain ones. Others as
    ``Generator``.

    Raises ValueError for a resolution that is no power of two from 8 to 1024, or above channel_base, and on a batch
    that the groups of the deviation do not fill.
    """

    def __init__(
        self,
        resolution: int,
        colours: int = 3,
        classes: int = 0,
        channel_base: int = 32768,
        channel_max: int = 512,
        mapping_layers: int = 8,
        deviation_group: int = 4,
        residual: bool = True,
        clamp: float | None = None,
        interleaved: bool = False,
    ):
        super().__init__()
        self.resolutions = resolutions(resolution)[:0:-1]
        for size in self.resolutions:
            inputs = channels_at(size, channel_base, channel_max)
            outputs = channels_at(size // 2, channel_base, channel_max)
            first = colours if size == resolution else None
            setattr(self, f"b{size}", DiscriminatorBlock(first, inputs, outputs, residual, clamp))
        width = channels_at(4, channel_base, channel_max)
        self.b4 = DiscriminatorHead(width, width if classes else 1, deviation_group, interleaved, clamp)
        self.mapping = Mapping(0, classes, width, mapping_layers) if classes else None

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        features = laid_out(images)
        for size in self.resolutions:
            features = getattr(self, f"b{size}")(features)
        features = self.b4(features)
        if self.mapping is None:
            return features
        mapped = self.mapping(None, labels)
        return (features * mapped).sum(1, keepdim=True) / math.sqrt(mapped.shape[1])
