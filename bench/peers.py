"""What the training bench compares with: the usual steps of two diffusion packages, and StyleGAN2 in its textbook form.

Every contender is a function that makes ready and gives one training step.
Packaged peers run the step of their own training script, without what would slow them down: images lie in memory as
float32 tensors, nothing is written, and no bar is drawn.

The textbook form of StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958) has the layers as the paper's
formulas say them: a modulated and demodulated kernel for every sample and a grouped convolution over them (equations 1
and 3), resampling as zeros put in, padding, a full 4 x 4 convolution and thinning out, and noise, bias, activation and
gain one after the other. Parameters and buffers have the published names, so that it takes over the weights of
collapselab's networks and has to return what they return.
"""

import copy
import math
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

Run = Callable[[int], tuple[float, float]]
"""Takes so many training steps and gives their seconds by the clock and of the processor."""


def clocks() -> tuple[float, float]:
    """Now, by the clock and of the processor, in seconds."""
    return time.perf_counter(), time.process_time()


def timed(step: Callable[[], object]) -> Run:
    """``run(steps)`` of a function that takes one step."""

    def run(steps: int) -> tuple[float, float]:
        start = clocks()
        for _ in range(steps):
            step()
        return tuple(now - then for now, then in zip(clocks(), start, strict=True))

    return run


# -- diffusion, packaged -----------------------------------------------------------------------------------------------


def diffusers_unet(shape: tuple[int, int, int], channels: tuple[int, ...], layers: int) -> nn.Module:
    """diffusers' ``UNet2DModel`` without attention but in the middle: ``channels`` of each resolution."""
    from collapselab.machine.compat import import_torchvision

    import_torchvision()
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=shape[1],
        in_channels=shape[0],
        out_channels=shape[0],
        layers_per_block=layers,
        block_out_channels=channels,
        down_block_types=("DownBlock2D",) * len(channels),
        up_block_types=("UpBlock2D",) * len(channels),
        norm_num_groups=8,
    )


def diffusers_step(images: torch.Tensor, batch: int, channels: tuple[int, ...], layers: int) -> Callable[[], object]:
    """The step of diffusers' unconditional training script with an average of the weights.

    DDPMScheduler's noise at a random one of 1000 times, the noise predicted, AdamW, gradients clipped to norm 1, a
    cosine schedule, EMAModel. images: (N, C, H, W) float32 in [-1, 1].
    """
    network = diffusers_unet(tuple(images.shape[1:]), channels, layers)
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rates = get_scheduler("cosine", optimizer=optimiser, num_warmup_steps=500, num_training_steps=100_000)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    network.train()

    def step() -> float:
        clean = images[torch.randint(len(images), (batch,))]
        noise = torch.randn_like(clean)
        times = torch.randint(0, scheduler.config.num_train_timesteps, (batch,)).long()
        noisy = scheduler.add_noise(clean, noise, times)
        loss = F.mse_loss(network(noisy, times).sample.float(), noise.float())
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rates.step()
        optimiser.zero_grad()
        average.step(network.parameters())
        return loss.detach().item()

    return step


def lucidrains_unet(
    shape: tuple[int, int, int], width: int, multipliers: tuple[int, ...], heads: int, **more
) -> nn.Module:
    """denoising-diffusion-pytorch's ``Unet``: linear attention at every resolution, full attention at the lowest."""
    from collapselab.machine.compat import import_torchvision

    import_torchvision()
    from denoising_diffusion_pytorch import Unet

    return Unet(width, channels=shape[0], dim_mults=multipliers, attn_heads=heads, **more)


def lucidrains_step(
    images: torch.Tensor, batch: int, width: int, multipliers: tuple[int, ...], heads: int
) -> Callable[[], object]:
    """The step of denoising-diffusion-pytorch's ``Trainer``.

    GaussianDiffusion's loss (v at a random one of 1000 times), Adam, gradients clipped to norm 1, ema-pytorch's EMA,
    which the Trainer lets move at every tenth step. images: (N, C, H, W) float32 in [-1, 1].
    """
    network = lucidrains_unet(tuple(images.shape[1:]), width, multipliers, heads)
    from denoising_diffusion_pytorch import GaussianDiffusion
    from ema_pytorch import EMA

    diffusion = GaussianDiffusion(network, image_size=images.shape[2], timesteps=1000, auto_normalize=False)
    optimiser = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)
    diffusion.train()

    def step() -> float:
        loss = diffusion(images[torch.randint(len(images), (batch,))])
        value = loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.update()
        return value

    return step


# -- StyleGAN2, textbook -----------------------------------------------------------------------------------------------


def resampling_filter() -> torch.Tensor:
    """The outer product of [1, 3, 3, 1] with itself, of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64


def resample(
    images: torch.Tensor, kernel: torch.Tensor, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0)
) -> torch.Tensor:
    """Zeros after every pixel, padding, a full convolution, every ``down``-th pixel: one after the other."""
    count, channels, height, width = images.shape
    images = images.reshape(count, channels, height, 1, width, 1)
    images = F.pad(images, (0, up - 1, 0, 0, 0, up - 1)).reshape(count, channels, height * up, width * up)
    images = F.pad(images, (*padding, *padding))
    images = F.conv2d(images, kernel.flip((0, 1)).expand(channels, 1, -1, -1), groups=channels)
    return images[:, :, ::down, ::down]


def activated(images: torch.Tensor, bias: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """gain sqrt(2) lrelu(images + bias)."""
    images = images + bias.reshape(1, -1, *([1] * (images.ndim - 2)))
    images = F.leaky_relu(images, 0.2)
    return images * (math.sqrt(2) * gain)


class Dense(nn.Module):
    def __init__(self, inputs: int, outputs: int, active: bool = False, multiplier: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full([outputs], bias / multiplier))
        self.active, self.multiplier = active, multiplier

    def forward(self, vectors):
        vectors = vectors @ (self.weight * (self.multiplier / math.sqrt(self.weight.shape[1]))).t()
        bias = self.bias * self.multiplier
        return activated(vectors, bias) if self.active else vectors + bias


class Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, active: bool = True, halving: bool = False, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.register_buffer("resample_filter", resampling_filter())
        self.halving, self.gain, self.size = halving, gain, size

    def forward(self, images):
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if self.halving and self.size == 1:
            images = F.conv2d(resample(images, self.resample_filter, down=2, padding=(1, 1)), weight)
        elif self.halving:
            images = F.conv2d(resample(images, self.resample_filter, padding=(2, 2)), weight, stride=2)
        else:
            images = F.conv2d(images, weight, padding=self.size // 2)
        return images * self.gain if self.bias is None else activated(images, self.bias, self.gain)


def modulated(images, weight, styles, demodulate: bool, doubling_filter=None):
    """Equations 1 and 3 of the paper: a kernel for every sample, and a convolution of as many groups."""
    count, outputs, inputs, size = len(images), *weight.shape[:3]
    kernels = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    images = images.reshape(1, count * inputs, *images.shape[2:])
    if doubling_filter is None:
        kernels = kernels.reshape(count * outputs, inputs, size, size)
        images = F.conv2d(images, kernels, padding=size // 2, groups=count)
    else:
        kernels = kernels.transpose(1, 2).reshape(count * inputs, outputs, size, size)
        images = F.conv_transpose2d(images, kernels, stride=2, groups=count)
        images = resample(images, 4 * doubling_filter, padding=(1, 1))
    return images.reshape(count, outputs, *images.shape[2:])


class StyledConvolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, resolution: int, w_width: int, doubling: bool = False):
        super().__init__()
        self.affine = Dense(w_width, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", resampling_filter())
        self.doubling = doubling

    def forward(self, images, w, fresh: bool):
        images = modulated(images, self.weight, self.affine(w), True, self.resample_filter if self.doubling else None)
        noise = torch.randn(len(images), 1, *images.shape[2:], device=images.device) if fresh else self.noise_const
        return activated(images + noise * self.noise_strength, self.bias)


class ToColours(nn.Module):
    def __init__(self, inputs: int, colours: int, w_width: int):
        super().__init__()
        self.affine = Dense(w_width, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(colours, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, images, w):
        styles = self.affine(w) / math.sqrt(self.weight.shape[1])
        return modulated(images, self.weight, styles, False) + self.bias[None, :, None, None]


class SynthesisBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, resolution: int, w_width: int):
        super().__init__()
        self.register_buffer("resample_filter", resampling_filter())
        if inputs:
            self.conv0 = StyledConvolution(inputs, outputs, resolution, w_width, doubling=True)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = StyledConvolution(outputs, outputs, resolution, w_width)
        self.torgb = ToColours(outputs, 3, w_width)


def widths(resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """Channels at 4, 8, ... ``resolution``."""
    return {2**i: min(channel_base // 2**i, channel_max) for i in range(2, resolution.bit_length())}


class Synthesis(nn.Module):
    def __init__(self, channels: dict[int, int], w_width: int):
        super().__init__()
        self.resolutions = list(channels)
        inputs = 0
        for size, outputs in channels.items():
            setattr(self, f"b{size}", SynthesisBlock(inputs, outputs, size, w_width))
            inputs = outputs

    def forward(self, ws, fresh: bool = True):
        layer, images = 0, None
        for size in self.resolutions:
            block = getattr(self, f"b{size}")
            if images is None:
                features = block.const[None].repeat(len(ws), 1, 1, 1)
            else:
                features = block.conv0(features, ws[:, layer], fresh)
                layer += 1
            features = block.conv1(features, ws[:, layer], fresh)
            layer += 1
            colours = block.torgb(features, ws[:, layer])
            if images is not None:
                images = resample(images, 4 * block.resample_filter, up=2, padding=(2, 1))
            images = colours if images is None else images + colours
        return images


class Mapping(nn.Module):
    def __init__(self, width: int, layers: int):
        super().__init__()
        self.layers = layers
        for index in range(layers):
            setattr(self, f"fc{index}", Dense(width, width, active=True, multiplier=0.01))
        self.register_buffer("w_avg", torch.zeros(width))

    def forward(self, z):
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for index in range(self.layers):
            w = getattr(self, f"fc{index}")(w)
        return w


class Generator(nn.Module):
    """z (B, width) -> images (B, 3, resolution, resolution), unconditional."""

    def __init__(self, resolution: int, width: int, mapping_layers: int, channel_base: int, channel_max: int):
        super().__init__()
        channels = widths(resolution, channel_base, channel_max)
        self.num_ws = 2 * len(channels)
        self.synthesis = Synthesis(channels, width)
        self.mapping = Mapping(width, mapping_layers)

    def forward(self, z, fresh: bool = True):
        return self.synthesis(self.mapping(z)[:, None].repeat(1, self.num_ws, 1), fresh)


class DiscriminatorBlock(nn.Module):
    def __init__(self, colours: int | None, inputs: int, outputs: int):
        super().__init__()
        self.register_buffer("resample_filter", resampling_filter())
        self.fromrgb = Convolution(colours, inputs, 1) if colours else None
        self.conv0 = Convolution(inputs, inputs, 3)
        self.conv1 = Convolution(inputs, outputs, 3, halving=True, gain=math.sqrt(0.5))
        self.skip = Convolution(inputs, outputs, 1, active=False, halving=True, gain=math.sqrt(0.5))

    def forward(self, features):
        features = features if self.fromrgb is None else self.fromrgb(features)
        return self.skip(features) + self.conv1(self.conv0(features))


class DiscriminatorHead(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = Convolution(channels + 1, channels, 3)
        self.fc = Dense(channels * 16, channels, active=True)
        self.out = Dense(channels, 1)

    def forward(self, features):
        groups = features.reshape(-1, min(4, len(features)), *features.shape[1:])
        spread = groups - groups.mean(1, keepdim=True)
        spread = (spread.square().mean(1) + 1e-8).sqrt().mean((1, 2, 3))
        spread = spread.repeat_interleave(groups.shape[1])[:, None, None, None]
        features = torch.cat([features, spread.expand(-1, 1, *features.shape[2:])], dim=1)
        return self.out(self.fc(self.conv(features).flatten(1)))


class Discriminator(nn.Module):
    """images (B, 3, resolution, resolution) -> logits (B, 1); the deviation is of four neighbouring images."""

    def __init__(self, resolution: int, channel_base: int, channel_max: int):
        super().__init__()
        channels = widths(resolution, channel_base, channel_max)
        self.resolutions = list(channels)[:0:-1]
        for size in self.resolutions:
            colours = 3 if size == resolution else None
            setattr(self, f"b{size}", DiscriminatorBlock(colours, channels[size], channels[size // 2]))
        self.b4 = DiscriminatorHead(channels[4])

    def forward(self, images):
        for size in self.resolutions:
            images = getattr(self, f"b{size}")(images)
        return self.b4(images)


def stylegan2_step(
    generator: nn.Module,
    discriminator: nn.Module,
    images: torch.Tensor,
    batch: int,
    *,
    gamma: float,
    learning_rate: float,
) -> Callable[[], object]:
    """A plain training step of StyleGAN2 in the order of the paper; R1 at every 16th step, path length at every 4th.

    Non-saturating losses; style mixing of nine tenths of the images; path length on half a batch; torch's Adam with the
    betas and the rates of lazy regularisation; the generator averaged tensor by tensor; no augmentation. images:
    (N, 3, H, W) float32 in [-1, 1].
    """

    def adam(network, every):
        share = every / (every + 1)
        return torch.optim.Adam(network.parameters(), lr=learning_rate * share, betas=(0.0, 0.99**share), eps=1e-8)

    for_generator, for_discriminator = adam(generator, 4), adam(discriminator, 16)
    average = copy.deepcopy(generator).requires_grad_(False)
    width, layers = generator.mapping.fc0.weight.shape[1], generator.num_ws
    path_mean, taken = torch.zeros(()), 0

    def made(count):
        z = torch.randn(2, count, width)
        w = generator.mapping(z[0])
        generator.mapping.w_avg.lerp_(w.detach().mean(0), 0.005)
        cut = torch.where(torch.rand(count) < 0.9, torch.randint(1, layers, (count,)), layers)
        keep = (torch.arange(layers) < cut[:, None])[:, :, None]
        ws = torch.where(keep, w[:, None], generator.mapping(z[1])[:, None])
        return generator.synthesis(ws, True), ws

    def move(optimiser, loss):
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def step() -> None:
        nonlocal taken, path_mean
        discriminator.requires_grad_(False)
        fake, _ = made(batch)
        move(for_generator, F.softplus(-discriminator(fake)).mean())
        if taken % 4 == 0:
            fake, ws = made(batch // 2)
            noise = torch.randn_like(fake) / math.sqrt(fake.shape[2] * fake.shape[3])
            (gradient,) = torch.autograd.grad((fake * noise).sum(), ws, create_graph=True)
            lengths = gradient.square().sum(2).mean(1).sqrt()
            path_mean = path_mean.lerp(lengths.mean().detach(), 0.01)
            move(for_generator, (lengths - path_mean).square().mean() * 2 * 4)
        discriminator.requires_grad_(True)
        real = images[torch.randint(len(images), (batch,))]
        with torch.no_grad():
            fake, _ = made(batch)
        move(for_discriminator, F.softplus(discriminator(fake)).mean() + F.softplus(-discriminator(real)).mean())
        if taken % 16 == 0:
            real = real.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
            move(for_discriminator, gradient.square().sum((1, 2, 3)).mean() * (gamma / 2) * 16)
        with torch.no_grad():
            for mean, now in zip(average.parameters(), generator.parameters(), strict=True):
                mean.copy_(now.lerp(mean, 0.998))
        taken += 1

    return step
