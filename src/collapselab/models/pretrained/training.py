"""Training of an adapter: the base's own loss on images and their prompts, of which only the adapter is moved.

The loop is that of every family (:mod:`engine.loop`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop, networks
from ...engine.task import Batch
from ..diffusion.training import squared_errors
from . import adapter, memory
from .folders import digest_of, folder_of, shape_fault
from .options import PretrainedOptions
from .pipeline import Pipeline, read, told
from .sampling import DTYPES, check_base_is, encoded


def base_digest(options: PretrainedOptions) -> str:
    """The SHA-256 of the options' base."""
    return read(options.base, options.tiny_seed).digest if folder_of(options.base) is None else digest_of(options.base)


def train(
    training: TrainingSet,
    options: PretrainedOptions,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    digest: str,
) -> loop.Trained:
    """The adapter's matrices by name, and the curve, after ``ceil(run.images_seen / batch)`` steps.

    What is raised is :func:`loop.train`'s, and ValueError for a base that does not suit the images.
    """
    task_of = partial(task, options, training.data.shape[1:], run, initial, digest)
    return networks.trained("pretrained", task_of, training, options, run, initial, {"base": digest})


def task(
    options: PretrainedOptions,
    shape: Sequence[int],
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    digest: str,
    where: torch.device,
) -> "Tuning":
    """What is trained on images of ``shape``: an adapter from the seed's initial matrices, or from ``initial`` ones."""
    if fault := shape_fault(folder_of(options.base), shape):
        raise ValueError(fault)
    pipeline = read(options.base, options.tiny_seed, DTYPES[options.precision])
    check_base_is(pipeline, digest, options)
    parameters = adapter.added(pipeline.unet, options, run.seed)
    if initial is not None:
        adapter.filled(parameters, initial)
    for network in pipeline.networks:
        network.to(where)
    if "gradient_checkpointing" in memory.modes():
        pipeline.unet.enable_gradient_checkpointing()
        pipeline.unet.train()  # without dropout it computes the same; only so the mode is heeded
    moved = {name: dict(pipeline.unet.named_parameters())[_inside(name)] for name in parameters}
    return Tuning(pipeline, moved, options, shape, where, run.lasting(options.images_seen).images_seen)


def _inside(name: str) -> str:
    """What peft calls a matrix of the adapter within the network."""
    return name.replace(".weight", f".{adapter.NAME}.weight")


class Tuning(networks.Descent):
    """The task of predicting the noise of the base's own training, |F(z_t, t, prompt) - target|^2 / numbers.

    Of an image x it draws latents z, a step t of the base's T, and normal noise n, as Rombach et al. 2022
    (https://arxiv.org/abs/2112.10752, equation 2); the target is the noise, or what else the base predicts. The text
    encoder is heard once, and the autoencoder is not trained.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        moved: Mapping[str, nn.Parameter],
        options: PretrainedOptions,
        shape: Sequence[int],
        where: torch.device,
        images_seen: int,
    ):
        self.options, self.where = options, where
        self.unet, self.vae = pipeline.unet, pipeline.vae
        self.parameterised = pipeline.parameterisation(where)
        self.words = told(pipeline, [*options.told, ""], where)
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.latent_shape = (self.vae.config.latent_channels, shape[1] // factor, shape[2] // factor)
        super().__init__(adapter.Updates(moved), options.learning_rate, options.betas, images_seen)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        where, dropout, shape = self.where, self.options.label_dropout, (count, *self.latent_shape)
        draws = {"kept": torch.rand(count, device=where) >= dropout} if dropout else {}
        draws["sigma"] = self.parameterised.draw(count)
        return draws | {"latent": torch.randn(shape, device=where), "noise": torch.randn(shape, device=where)}

    def loss(self, batch: Batch) -> torch.Tensor:
        draws, images = batch.draws, batch.images
        rows = batch.labels if self.options.classes else images.new_zeros(len(images), dtype=torch.int64)
        if "kept" in draws:
            rows = torch.where(draws["kept"], rows, len(self.words) - 1)
        latents = encoded(self.vae, images, draws["latent"])
        words = self.words[rows]

        def network(noisy: torch.Tensor, times: torch.Tensor, _: Any) -> torch.Tensor:
            noisy = noisy.to(self.unet.dtype)
            return self.unet(noisy, times, encoder_hidden_states=words.to(noisy.dtype)).sample.float()

        return squared_errors(
            self.parameterised, network, latents, draws["sigma"], draws["noise"], None, None, batch.weights
        )
