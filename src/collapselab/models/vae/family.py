"""The variational autoencoder: linear, of perceptrons or convolutional (Kingma and Welling 2014,
https://arxiv.org/abs/1312.6114).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...core.ask import Ask
from ...core.run import Run
from ...core.sets import SampleSet, TrainingSet
from ...engine.scale import Scale
from ..asking import check_ask
from ..capabilities import ODE_STEPS, PROBES
from ..rows import RowModel, check_rows
from .options import VAEOptions


@dataclass(frozen=True, eq=False)
class VAE(RowModel):
    """An encoder q(z | x) and a decoder p(x | z) = N(D(z), sd^2 I), with z ~ N(0, I)."""

    Options: ClassVar = VAEOptions
    density: ClassVar = "approximate"
    bias: ClassVar = "latent variance"
    conditions: ClassVar = ()

    @classmethod
    def train(cls, training: TrainingSet, options: VAEOptions, scale: Scale, run: Run, initial: Any) -> Any:
        from . import training as trainer

        return trainer.train(training, options, scale, run, initial)

    def task(self, training: TrainingSet, options: VAEOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        run = run.lasting(options.images_seen)
        return trainer.task(options, self.shape, self.scale, run, self.weights, where)

    @classmethod
    def outline(cls, options: VAEOptions, shape: tuple[int, ...]) -> Mapping[str, Any]:
        from . import training

        return training.networks.outlined(lambda: training.build(options, shape))

    @classmethod
    def shares_scale(cls, shape: tuple[int, ...]) -> bool:
        """Always: the noise, which is round, is so in the data's units, too, and a linear VAE is their PCA."""
        return True

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: uint8 images or float64 vectors.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: the variance of the latents, z ~ N(0, ask.bias I), as MAD biases its flow (Alemohammad et
        al. 2023, https://arxiv.org/abs/2307.01850); the observation noise, where it is kept, stays as it is. Raises
        ValueError for a bias outside (0, 1] and for a guide.
        """
        check_ask(ask, self)
        from . import sampling

        return SampleSet(sampling.sample(self.options, self.weights, self.scale, self.shape, ask))

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
