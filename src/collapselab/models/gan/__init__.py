"""A small generative adversarial network of perceptrons, for vectors and tiny images (Goodfellow et al. 2014,
https://arxiv.org/abs/1406.2661).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ...store import SampleSet
from ..base import Options, TrainingSet, check_betas, check_bias, check_unguided
from ..rows import RowModel, Scale


class GANOptions(Options):
    """How a generative adversarial network is built, trained and sampled."""

    latent: int = Field(4, ge=1, description="dimensions of the noise z")
    hidden: int = Field(128, ge=1, description="units of each hidden layer, of both networks")
    layers: int = Field(3, ge=1, le=20, description="hidden layers of each network")
    r1_gamma: float = Field(0.1, ge=0, description="weight of half the squared gradient of the logits of real rows")
    images_seen: int = Field(100_000, ge=1, description="training rows shown, where the study sets no budget")
    batch: int = Field(100, ge=1, description="rows per training step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's, of both networks")
    betas: tuple[float, float] = Field((0.0, 0.99), description="Adam's decay rates of the two moments")
    ema_half_life: int = Field(5_000, ge=0, description="half-life of the generator's moving average, rows; 0: none")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of matrix products in training; tf32 is a GPU's, and part of its bfloat16"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")
    sample_batch: int = Field(
        500, ge=1, le=65_536, description="rows sampled at once; part of a sample's identity, to rounding"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self


@dataclass(frozen=True, eq=False)
class GAN(RowModel):
    """A generator G of rows x = G(z), z ~ N(0, I), and the discriminator from which another training goes on.

    weights: ``generator.<name>``, the moving average, and ``discriminator.<name>``.
    """

    Options: ClassVar = GANOptions
    density: ClassVar = "implicit"
    bias: ClassVar = "latent variance"

    @classmethod
    def train(cls, training: TrainingSet, options: Any, scale: Scale, seed: int, *more: Any, **control: Any) -> Any:
        from . import training as trainer

        return trainer.train(training, options, scale, seed, *more, **control)

    @classmethod
    def outline(cls, options: GANOptions, shape: tuple[int, ...]) -> Mapping[str, Any]:
        from . import training

        return training.networks.outlined(lambda: training.build(options, shape))

    @classmethod
    def shares_scale(cls, shape: tuple[int, ...]) -> bool:
        """Of images: pixels that hardly change would else weigh as much as all others."""
        return len(shape) == 3

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count``, G(z) of normal z: uint8 images or float64 vectors.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        sampling_bias: the variance of the latents, z ~ N(0, sampling_bias I), as of a VAE and a flow: a truncation
        psi z with psi the root of it. Raises ValueError for a bias outside (0, 1] and for a guide.
        """
        from . import sampling

        check_bias(sampling_bias)
        check_unguided(guide, "a gan")
        arguments = self.options, self.weights, self.scale, self.shape
        return SampleSet(sampling.sample(*arguments, count, seed, start, sampling_bias))
