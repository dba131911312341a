"""The StyleGAN2 family with adaptive discriminator augmentation (ADA), trained from scratch or from published weights.

Sources: Karras et al. 2020 (StyleGAN2, https://arxiv.org/abs/1912.04958) and Karras et al. 2020 (ADA,
https://arxiv.org/abs/2006.06676). Planning a study imports this module, so torch is imported only where a model is
trained or sampled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ...store import SampleSet
from ..base import (
    Options,
    Progress,
    TrainingSet,
    check_betas,
    check_bias,
    checked_shape,
    image_shape,
    part,
    with_preset,
)


class StyleGAN2Options(Options):
    """How a StyleGAN2 is built, trained and sampled. ``preset`` fills in every option that is not given.

    Its resolution is that of the images: square, of 8, 16, ... or 1024 pixels a side.
    """

    preset: str = Field(
        "tiny", description="a name of PRESETS: the options that it does not share with the defaults below"
    )

    classes: int = Field(0, ge=0, description="number of classes, labelled 0 .. classes - 1; 0: unconditional")
    channel_base: int = Field(
        32768, ge=8, description="both networks have min(channel_base / r, channel_max) channels at r pixels a side"
    )
    channel_max: int = Field(512, ge=1, description="the most channels at any resolution")
    z_width: int = Field(512, ge=1, description="dimensions of the noise z")
    w_width: int = Field(512, ge=1, description="dimensions of the mapped noise w, and of an embedded label")
    mapping_layers: int = Field(8, ge=1, le=64, description="dense layers from z to w")
    label_layers: int = Field(
        8, ge=1, le=64, description="dense layers of the discriminator's label, where there are classes"
    )
    residual: bool = Field(True, description="whether the discriminator's blocks have skips")
    deviation_group: int = Field(4, ge=1, description="images a group of the discriminator's minibatch deviation")
    clamp: float | None = Field(
        None, gt=0, description="bound of the convolutions' activations; networks trained in float16 have 256"
    )

    images_seen: int = Field(25_000_000, ge=1, description="training images shown, where the study sets no budget")
    batch: int = Field(32, ge=1, description="images per training step; a multiple of deviation_group or below it")
    learning_rate: float = Field(0.002, gt=0, description="Adam's, of both networks, before lazy regularisation")
    betas: tuple[float, float] = Field((0.0, 0.99), description="Adam's decay rates, before lazy regularisation")
    r1_gamma: float = Field(10.0, ge=0, description="weight of half the squared gradient of the logits of real images")
    r1_every: int = Field(16, ge=1, description="training steps between two R1 steps, which weigh as many times more")
    path_weight: float = Field(2.0, ge=0, description="weight of the path length's deviation from its mean; 0: none")
    path_every: int = Field(4, ge=1, description="training steps between two path-length steps, weighed likewise")
    path_decay: float = Field(
        0.01, gt=0, le=1, description="share of the newest path lengths in their moving mean, a path-length step"
    )
    style_mixing: float = Field(
        0.9, ge=0, le=1, description="share of generated training images whose layers have their w from two z"
    )
    w_decay: float = Field(0.995, ge=0, lt=1, description="share of the mean of w that a training step leaves")
    ema_half_life: int = Field(10_000, ge=0, description="half-life of the generator's moving average, images; 0: none")
    ema_ramp: float | None = Field(
        None, gt=0, description="the half-life is at most this share of the images seen so far; None: no such bound"
    )
    flip: bool = Field(False, description="mirror each training image left to right with probability 1/2")
    augment: Literal["none", "ada"] = Field(
        "ada", description="what the discriminator sees: images, or images augmented with an adapted probability"
    )
    ada_target: float = Field(
        0.6, gt=-1, lt=1, description="mean sign of the real images' logits, above which augmentation grows"
    )
    ada_images: int = Field(500_000, ge=1, description="images over which the probability can go from 0 to 1")
    ada_every: int = Field(4, ge=1, description="training steps between two adjustments of the probability")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of matrix products and convolutions; tf32 is a GPU's, and part of its bfloat16"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")

    noise: Literal["random", "const"] = Field(
        "random", description="of each layer in sampling: drawn for each image, or that which belongs to the weights"
    )
    sample_batch: int = Field(
        256, ge=1, le=65_536, description="images sampled at once; part of a sample's identity, to rounding"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        return with_preset(given, PRESETS, cls.model_fields["preset"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        if self.batch > self.deviation_group and self.batch % self.deviation_group:
            raise ValueError(
                f"batch: found {self.batch}, allowed are multiples of deviation_group = {self.deviation_group}, or less"
            )
        return self


@dataclass(frozen=True, eq=False)
class StyleGAN2:
    """A generator's averaged weights, and the discriminator from which another training may go on.

    shape: (C, H, W) of the images. generator: the moving average of its parameters, with its stored noise and the mean
    of w, float32, by the published names. discriminator: its parameters likewise; empty where none is known. curve:
    ``images_seen``, ``loss`` (the generator's), ``discriminator`` and others, equally long. how: it was trained.
    """

    Options: ClassVar = StyleGAN2Options
    takes: ClassVar = ("images",)
    density: ClassVar = "implicit"
    bias: ClassVar = "truncation"
    uses_torch: ClassVar = True

    options: StyleGAN2Options
    shape: tuple[int, int, int]
    generator: Mapping[str, np.ndarray]
    discriminator: Mapping[str, np.ndarray]
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        training: TrainingSet,
        options: StyleGAN2Options,
        seed: int,
        init: Self | None = None,
        *,
        images_seen: int | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        allow_nonidentical: bool = False,
        validation: TrainingSet | None = None,
        inspect: Callable[[Self, int], None] | None = None,
    ) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of both networks (:mod:`training`).

        training.data: (N, C, H, H) uint8. training.labels: (N,) in 0 .. classes - 1; not used if classes is 0.
        init: its averaged generator and its discriminator are where the training starts, with fresh optimisers; without
        a discriminator that one starts anew. validation: not used. The rest as :meth:`Model.fit` says.
        Raises ValueError for data, labels, sizes or initial weights that do not fit the options, Diverged when a loss
        or a weight is not finite, Interrupted when ``progress`` asked to stop.
        """
        from . import training as trainer

        shape = checked_size(image_shape(training, options.classes))

        def model(trained: Any) -> Self:
            parts = (part(trained.weights, f"{name}.") for name in ("generator", "discriminator"))
            return cls(options, shape, *parts, trained.curve, trained.how)

        return model(
            trainer.train(
                training,
                options,
                seed,
                None if init is None else _joined(init),
                options.images_seen if images_seen is None else images_seen,
                progress=progress,
                checkpoint=checkpoint,
                allow_nonidentical=allow_nonidentical,
                inspect=None if inspect is None else lambda trained, seen: inspect(model(trained), seen),
            )
        )

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count``: uint8 images, sample i of class i mod classes.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        sampling_bias: the truncation psi of every layer's w towards its mean, w_avg + psi (w - w_avg) (MAD's lambda of
        a GAN). Raises ValueError for a bias outside (0, 1], and for a guide: there is no path from noise to image that
        one could steer.
        """
        from . import sampling

        check_bias(sampling_bias)
        if guide is not None:
            raise ValueError("guide: found one, allowed is none: a generator makes an image in one step")
        data = sampling.sample(self.options, self.generator, self.shape, count, seed, start, sampling_bias)
        classes = self.options.classes
        return SampleSet(data, np.arange(start, start + count, dtype=np.int64) % classes if classes else None)

    def tensors(self) -> Mapping[str, np.ndarray]:
        """``shape`` (3,), ``generator.<name>`` and ``discriminator.<name>`` for each weight, ``curve.<name>``."""
        curve = {f"curve.{name}": array for name, array in self.curve.items()}
        return {"shape": np.array(self.shape, np.int64), **_joined(self), **curve}

    @classmethod
    def stored_bytes(cls, options: StyleGAN2Options, shape: tuple[int, ...]) -> int:
        """The averaged generator, its noise, its mean of w, and the discriminator, in float32."""
        from . import building

        generator, discriminator = building.outlines(options, checked_size(shape))
        kept = [*building.stored(generator).values(), *building.stored(discriminator).values()]
        return 4 * sum(weight.numel() for weight in kept)

    @classmethod
    def flops_per_image(cls, options: StyleGAN2Options, shape: tuple[int, ...]) -> dict[str, float]:
        """Floating-point operations, two a multiply-add: ``training`` for each image seen, ``sampling`` for each made.

        Of matrix products and convolutions; the regularisations count with the share of the steps that have them.
        """
        from . import training

        return training.flops_per_image(options, checked_size(shape))

    @classmethod
    def load(cls, tensors: Mapping[str, np.ndarray], options: StyleGAN2Options) -> Self:
        """The model that ``tensors`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from . import building

        shape = checked_size(checked_shape(tensors["shape"]))
        parts = {name: part(tensors, f"{name}.") for name in ("generator", "discriminator", "curve")}
        generator, discriminator = building.outlines(options, shape)
        building.check(generator, parts["generator"], "generator")
        if parts["discriminator"]:
            building.check(discriminator, parts["discriminator"], "discriminator")
        return cls(options, shape, *parts.values())


def checked_size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape of images (C, H, W). Raises ValueError unless H = W is a power of two from 8 to 1024."""
    colours, height, width = shape
    if height != width or not 8 <= height <= 1024 or height & (height - 1):
        raise ValueError(
            f"training data: found images of {height} x {width} pixels, allowed are 8 x 8, 16 x 16, ..., 1024 x 1024"
        )
    return colours, height, width


def _joined(model: StyleGAN2) -> dict[str, np.ndarray]:
    return {f"generator.{name}": array for name, array in model.generator.items()} | {
        f"discriminator.{name}": array for name, array in model.discriminator.items()
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # 8x8 digits on one CPU core in seconds.
    "tiny": {
        "channel_base": 1024,
        "channel_max": 32,
        "z_width": 32,
        "w_width": 32,
        "mapping_layers": 2,
        "label_layers": 2,
        "deviation_group": 4,
        "images_seen": 64_000,
        "batch": 32,
        "learning_rate": 0.01,
        "r1_gamma": 0.3,
        "path_weight": 0.0,
        "style_mixing": 0.0,
        "ema_half_life": 2_000,
        "ema_ramp": 0.05,
        "ada_images": 50_000,
    },
    # ADA's settings of CIFAR-10 (its appendix D): the generator sees no regularisation, the discriminator has no skips.
    "cifar10": {
        "mapping_layers": 2,
        "residual": False,
        "deviation_group": 32,
        "images_seen": 100_000_000,
        "batch": 64,
        "learning_rate": 0.0025,
        "r1_gamma": 0.01,
        "path_weight": 0.0,
        "style_mixing": 0.0,
        "ema_half_life": 500_000,
        "ema_ramp": 0.05,
        "precision": "bfloat16",
    },
    # ffhq256 at 64 pixels, with the short mapping of small images. R1 adds up over pixels: its weight goes with their
    # number: a sixteenth.
    "faces64": {
        "channel_base": 16384,
        "mapping_layers": 2,
        "deviation_group": 8,
        "batch": 64,
        "learning_rate": 0.0025,
        "r1_gamma": 0.06,
        "ema_half_life": 20_000,
        "flip": True,
        "precision": "bfloat16",
    },
    # ADA's settings of FFHQ at 256 pixels ("paper256" among the published weights).
    "ffhq256": {
        "channel_base": 16384,
        "deviation_group": 8,
        "batch": 64,
        "learning_rate": 0.0025,
        "r1_gamma": 1.0,
        "ema_half_life": 20_000,
        "flip": True,
        "precision": "bfloat16",
    },
    # StyleGAN2's config F.
    "ffhq1024": {"flip": True, "augment": "none", "precision": "bfloat16", "sample_batch": 32},
}
