"""How a StyleGAN2 is built, trained and sampled, and the presets."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.kinds import KindName
from ..options import InSteps, Options, check_betas, values, with_preset


class StyleGAN2Options(InSteps, Options):
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

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {  # every phase, and every controller, within four steps
            "preset": "tiny",
            "channel_max": 8,
            "classes": 2,
            "batch": 16,
            "r1_every": 2,
            "path_weight": 1.0,
            "path_every": 2,
            "style_mixing": 0.5,
            "ada_every": 3,
            "ada_images": 100,
            "sample_batch": 8,
        }

    def of_weights(self) -> dict[str, Any]:
        labels = ("label_layers",) if self.classes else ()
        sizes = ("channel_base", "channel_max", "z_width", "w_width", "mapping_layers")
        return values(self, "classes", *sizes, *labels, "residual")

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


def checked_size(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape of images (C, H, W). Raises ValueError unless H = W is a power of two from 8 to 1024."""
    colours, height, width = shape
    if height != width or not 8 <= height <= 1024 or height & (height - 1):
        raise ValueError(
            f"training data: found images of {height} x {width} pixels, allowed are 8 x 8, 16 x 16, ..., 1024 x 1024"
        )
    return colours, height, width
