"""The variational autoencoder: linear, of perceptrons or convolutional (Kingma and Welling 2014,
https://arxiv.org/abs/1312.6114).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...core.sets import TrainingSet
from ...engine.scale import Scale
from ...store import SampleSet
from ..base import ODE_STEPS, PROBES
from ..inputs import check_bias, check_unguided
from ..rows import RowModel, check_rows
from .options import VAEOptions


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
