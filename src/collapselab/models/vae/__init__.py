"""The variational autoencoder: linear, of perceptrons or convolutional (Kingma and Welling 2014,
https://arxiv.org/abs/1312.6114).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ...store import SampleSet
from ..base import ODE_STEPS, PROBES, Kind, Options, TrainingSet, check_betas, check_bias, check_unguided
from ..rows import RowModel, Scale, check_rows


class VAEOptions(Options):
    """How a variational autoencoder is built, trained and sampled."""

    network: Literal["linear", "mlp", "conv"] = Field(
        "mlp",
        description="linear maps, whose optimum is probabilistic PCA; perceptrons; or convolutions, for images whose "
        "sides 4 divides",
    )
    latent: int = Field(2, ge=1, description="dimensions of the latent z")
    hidden: int = Field(128, ge=1, description="mlp: units of each hidden layer")
    layers: int = Field(2, ge=1, le=20, description="mlp: hidden layers of the encoder, and of the decoder")
    channels: int = Field(16, ge=1, description="conv: channels at half the resolution; at a quarter twice as many")
    beta: float = Field(1.0, ge=0, description="weight of the Kullback-Leibler term; 1 makes the loss a bound")
    noise_sd: float | None = Field(
        None,
        gt=0,
        description="standard deviation of the observation noise, in the data's units (of images those of [-1, 1]); "
        "None: learned, one for all dimensions",
    )
    noise: Literal["keep", "drop"] | None = Field(
        None,
        description="samples have the observation noise, as the model says, or are the decoder's means; None: keep it "
        "for vectors, drop it for images, as the field does",
    )
    images_seen: int = Field(192_000, ge=1, description="training rows shown, where the study sets no budget")
    batch: int = Field(100, ge=1, description="rows per training step")
    learning_rate: float = Field(5e-3, gt=0, description="Adam's at first; it falls to 0 along half a cosine")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's decay rates of the two moments")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of matrix products in training; tf32 is a GPU's, and part of its bfloat16"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")
    sample_batch: int = Field(
        500, ge=1, le=65_536, description="rows sampled at once; part of a sample's identity, to rounding"
    )

    def check_kind(self, kind: Kind) -> None:
        if self.network == "conv" and kind != "images":
            raise ValueError("network: found 'conv', allowed are 'linear' and 'mlp': the data are no images")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self


@dataclass(frozen=True, eq=False)
class VAE(RowModel):
    """An encoder q(z | x) and a decoder p(x | z) = N(D(z), sd^2 I), with z ~ N(0, I)."""

    Options: ClassVar = VAEOptions
    density: ClassVar = "approximate"
    bias: ClassVar = "latent variance"

    @classmethod
    def train(cls, training: TrainingSet, options: Any, scale: Scale, seed: int, *more: Any, **control: Any) -> Any:
        from . import training as trainer

        return trainer.train(training, options, scale, seed, *more, **control)

    @classmethod
    def outline(cls, options: VAEOptions, shape: tuple[int, ...]) -> Mapping[str, Any]:
        from . import training

        return training.networks.outlined(lambda: training.build(options, shape))

    @classmethod
    def shares_scale(cls, shape: tuple[int, ...]) -> bool:
        """Always: the noise, which is round, is so in the data's units, too, and a linear VAE is their PCA."""
        return True

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count``: uint8 images or float64 vectors.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        sampling_bias: the variance of the latents, z ~ N(0, sampling_bias I), as MAD biases its flow (Alemohammad et
        al. 2023, https://arxiv.org/abs/2307.01850); the observation noise, where it is kept, stays as it is. Raises
        ValueError for a bias outside (0, 1] and for a guide.
        """
        from . import sampling

        check_bias(sampling_bias)
        check_unguided(guide, "a vae")
        arguments = self.options, self.weights, self.scale, self.shape
        return SampleSet(sampling.sample(*arguments, count, seed, start, sampling_bias))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """A lower bound of the log-density of each vector, or of the log-mass of each image, in nats: (n,) float64.

        The importance-weighted bound (Burda, Grosse and Salakhutdinov 2016, https://arxiv.org/abs/1509.00519, equation
        8) with K = 64 max(probes, 1) samples z_k of q(z | x), which rises to log p(x) in expectation as K does:

            log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)

        It is that of the model with its observation noise, which samples may lack; without it the law lies on a surface
        of ``latent`` dimensions and has no density. Of images by uniform dequantisation. steps has no part in it.
        """
        from . import sampling

        check_rows(data, self.shape)
        return sampling.log_likelihood(self.options, self.weights, self.scale, data, seed, max(probes, 1))
