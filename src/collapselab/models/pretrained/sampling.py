"""Samples of a pretrained pipeline: noise in the space of its autoencoder, denoised as it is told, and decoded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ...core import seeds
from ...core.ask import Ask
from ...core.errors import Damaged
from ...core.images import to_unit
from ...engine.steering import Denoise, Denoiser, unsteered
from ...machine.device import device, exact
from ..arrays import in_batches
from ..asking import labels_of_batch
from ..diffusion.parameterisations import DDPM
from ..diffusion.sampling import ddim, heun
from . import adapter, memory
from .beside import Beside, put_beside
from .folders import folder_of, shape_fault
from .options import PretrainedOptions
from .pipeline import Pipeline, read, told

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
SAMPLERS = {"ddim": ddim, "heun": heun}


@dataclass(frozen=True, eq=False)
class Ready:
    """A pipeline with its adapter on a device, and what it is shown beside prompts.

    shape: of its images, (C, H, W). places: by how many pixels a latent is wide.
    """

    pipeline: Pipeline
    beside: Beside
    parameterised: DDPM
    where: torch.device
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape of an image as the network sees it."""
        vae = self.pipeline.vae.config
        factor = 2 ** (len(vae.block_out_channels) - 1)
        return (vae.latent_channels, *(side // factor for side in self.shape[1:]))

    def words(self, prompts: Sequence[str]) -> torch.Tensor:
        """What the network is shown of prompts; the last row is of none."""
        return told(self.pipeline, [*prompts, ""], self.where)

    def denoiser(self, words: torch.Tensor) -> "LatentDenoiser":
        """D(z, sigma, c) where condition c is a row of ``words``; None is the last."""
        return LatentDenoiser(self.pipeline.unet, self.parameterised, words, self.beside, self.dtype, self.latent_shape)


def ready(
    options: PretrainedOptions,
    shape: tuple[int, ...],
    weights: Mapping[str, np.ndarray],
    digest: str,
    where: torch.device,
) -> Ready:
    """The pipeline of the options with an adapter's weights, on a device, to be sampled.

    digest: of the base that the weights belong to. Raises Damaged where the base is another one, and ValueError for
    images that it cannot make.
    """
    chosen = memory.modes()
    memory.check_device(chosen, where)
    if fault := shape_fault(folder_of(options.base), shape):
        raise ValueError(fault)
    dtype = DTYPES[options.precision]
    pipeline = read(options.base, options.tiny_seed, dtype)
    check_base_is(pipeline, digest, options)
    if weights:
        adapter.filled(adapter.added(pipeline.unet, options), weights)
    beside = put_beside(pipeline, options, shape[1:], dtype, where)
    pipeline.unet.requires_grad_(False)
    memory.placed(pipeline, chosen, where, options.ip_adapter is not None)
    return Ready(pipeline, beside, pipeline.parameterisation(where), where, dtype, tuple(shape))


def check_base_is(pipeline: Pipeline, digest: str, options: PretrainedOptions) -> None:
    """Raise Damaged where a pipeline is not the one that an adapter was trained on, whose digest is known."""
    if digest and pipeline.digest != digest:
        said = f"its SHA-256 is {pipeline.digest[:12]}…, of the one that the adapter adds to it was {digest[:12]}…"
        raise Damaged(folder_of(options.base) or options.base, f"base names it, and it is another pipeline: {said}")


@dataclass(frozen=True, eq=False)
class LatentDenoiser:
    """The network as a denoiser of latents (:class:`models.capabilities.Denoiser`), in float64 outside.

    words: (P + 1, tokens, width), of which a condition is a row, and no condition the last. shape: of a row of latents.
    """

    unet: nn.Module
    parameterised: DDPM
    words: torch.Tensor
    beside: Beside
    dtype: torch.dtype
    shape: tuple[int, int, int]

    @property
    def levels(self) -> tuple[float, float]:
        """The lowest and the highest noise level that the base was trained on."""
        return self.parameterised.sigmas[0].item(), self.parameterised.sigmas[-1].item()

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.denoised_together([(x, condition)], sigma)[0]

    def denoised_together(
        self, parts: Sequence[tuple[torch.Tensor, torch.Tensor | None]], sigma: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """What each call would give, to rounding, in one pass of the network."""
        counts = [len(rows) for rows, _ in parts]
        words = torch.cat([self._words(rows, condition) for rows, condition in parts]).to(self.dtype)
        heard = [torch.full((len(rows),), condition is not None, device=rows.device) for rows, condition in parts]
        prompted = torch.cat(heard)

        def network(noisy: torch.Tensor, times: torch.Tensor, _: Any) -> torch.Tensor:
            noisy = noisy.to(self.dtype)
            more = self.beside.arguments(noisy, times, words, prompted)
            return self.unet(noisy, times, encoder_hidden_states=words, **more).sample.float()

        x = torch.cat([rows for rows, _ in parts]).float()
        return self.parameterised.denoise(network, x, sigma.float().expand(len(x)), None).double().split(counts)

    def embedded_condition(self, condition: torch.Tensor) -> torch.Tensor:
        """What the network is shown of conditions (B,): (B, tokens, width) float64."""
        return self.words[condition].double()

    def _words(self, rows: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        if condition is None:
            return self.words[-1:].expand(len(rows), -1, -1)
        return condition.to(self.words.dtype) if condition.is_floating_point() else self.words[condition]


def guided(denoise: Denoiser, scale: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, https://arxiv.org/abs/2207.12598): D_u + s (D_c - D_u)."""

    def denoised(x: torch.Tensor, sigma: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        bare = denoise(x, sigma, None)
        return bare + scale * (denoise(x, sigma, condition) - bare)

    return denoised if scale != 1 else denoise


def noise_levels(sigmas: torch.Tensor, steps: int, strength: float = 1.0) -> torch.Tensor:
    """Falling noise levels, then 0: those of t = T (1 - i / steps) - 1, rounded, the highest first, (steps + 1,).

    strength: the share of the steps that is taken, the last ones, of a picture that is only changed. Raises ValueError
    for more steps than there are levels.
    """
    count = len(sigmas)
    if steps > count:
        raise ValueError(f"steps: found {steps}, allowed are 2 to {count}, the noise levels of the base")
    chosen = torch.tensor([round(count - index * count / steps) - 1 for index in range(steps)])
    levels = torch.cat([sigmas.cpu()[chosen], torch.zeros(1, dtype=torch.float64)])
    return levels[steps - max(1, round(strength * steps)) :]


@torch.no_grad()
def encoded(network: nn.Module, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
    """The latents of images (B, 1 or 3, H, W) in [-1, 1], of unit size as the network sees them, float32.

    noise: of their shape, by which they are drawn; None for their mean.
    """
    colours = images.expand(-1, 3, -1, -1).to(network.dtype)
    law = network.encode(colours).latent_dist
    drawn = law.mean if noise is None else law.mean + law.std * noise.to(law.mean.dtype)
    return drawn.float() * network.config.scaling_factor


def decoded(ready: Ready, latents: torch.Tensor) -> np.ndarray:
    """Images (B, C, H, W) of latents, float in [-1, 1]; grey ones are the mean of the colours."""
    vae = ready.pipeline.vae
    images = vae.decode((latents.float() / vae.config.scaling_factor).to(vae.dtype)).sample.float()
    return (images.mean(dim=1, keepdim=True) if ready.shape[0] == 1 else images).cpu().numpy()


@torch.inference_mode()
def sample(
    ready: Ready,
    options: PretrainedOptions,
    ask: Ask,
    prompts: Sequence[str],
    rows: np.ndarray,
    beginning: np.ndarray | None = None,
    strength: float = 1.0,
) -> np.ndarray:
    """The samples that are asked for, in fixed batches (:func:`in_batches`): (count, C, H, W) uint8.

    rows: which of the prompts each is told, (count,) int64. beginning: images (count, C, H, W) uint8 that are changed,
    in the place of pure noise, by the last share ``strength`` of the steps.
    """
    where, size, seed = ready.where, options.sample_batch, ask.seed
    sampler, levels = SAMPLERS[options.sampler], None
    with exact(where, options.precision != "float32") as generator:
        words = ready.words(prompts)
        network = ready.denoiser(words)
        biased = guided(network, options.guidance_scale / ask.bias)
        others = {role: other.denoiser_told(where, prompts) for role, other in _others(ask)}
        levels = noise_levels(ready.parameterised.sigmas, options.steps, strength).to(where)
        shape = ready.latent_shape

        def normals(seed: int, batch: int) -> torch.Tensor:
            numbers = seeds.normals(seed, batch * size, size, int(np.prod(shape)))
            return torch.from_numpy(numbers.reshape(size, *shape)).to(where)

        def asked(batch: int) -> Denoise:
            if ask.guide is None:
                return unsteered(biased)

            def draws(number: int) -> torch.Tensor:
                return normals(seeds.seed_of(seed, None, None, "guide", number), batch)

            return ask.guide.steered(biased, network, others, draws)

        def begun(batch: int) -> torch.Tensor:
            noise = normals(seed, batch)
            if beginning is None:
                return noise
            images = _rows_of_batch(beginning, ask.start, batch, size)
            latents = encoded(ready.pipeline.vae, torch.from_numpy(to_unit(images)).to(where))
            return noise + latents.double() / levels[0]  # the sampler begins with the highest level times this

        def make(batch: int) -> np.ndarray:
            told = torch.from_numpy(labels_of_batch(rows, ask.start, batch, size, len(prompts))).to(where)
            generator.manual_seed(seeds.seed_of(seed, None, None, "sampler", batch))
            return decoded(ready, sampler(asked(batch), begun(batch), levels, told))

        return in_batches(make, ask.count, ask.start, size, ready.shape)


def _others(ask: Ask) -> Iterable[tuple[str, Any]]:
    """The further models that a guide steers by, by role."""
    return () if ask.guide is None else ask.guide.others.items()


def _rows_of_batch(images: np.ndarray, start: int, batch: int, size: int) -> np.ndarray:
    """The images of a batch at a fixed place; where there are none, black ones."""
    found = np.zeros((size, *images.shape[1:]), np.uint8)
    for place in range(size):
        row = batch * size + place - start
        if 0 <= row < len(images):
            found[place] = images[row]
    return found


def enlarged(images: np.ndarray, factor: int) -> np.ndarray:
    """Images (n, C, H, W) uint8 as many times as wide and high, by cubic interpolation."""
    found = F.interpolate(torch.from_numpy(images).float(), scale_factor=factor, mode="bicubic", align_corners=False)
    return found.round().clamp(0, 255).to(torch.uint8).numpy()


def on_device(
    options: PretrainedOptions, shape: tuple[int, ...], weights: Mapping[str, np.ndarray], digest: str
) -> Ready:
    """:func:`ready` on this process's device."""
    return ready(options, shape, weights, digest, device())
