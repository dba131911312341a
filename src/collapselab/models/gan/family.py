"""A small generative adversarial network of perceptrons, for vectors and tiny images (Goodfellow et al. 2014,
https://arxiv.org/abs/1406.2661).

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
from ..rows import RowModel, check_rows
from .options import GANOptions


@dataclass(frozen=True, eq=False)
class GAN(RowModel):
    """A generator G of rows x = G(z), z ~ N(0, I), and the discriminator from which another training goes on.

    weights: ``generator.<name>``, the moving average, and ``discriminator.<name>``.
    """

    Options: ClassVar = GANOptions
    density: ClassVar = "implicit"
    bias: ClassVar = "latent variance"
    conditions: ClassVar = ()

    @classmethod
    def train(cls, training: TrainingSet, options: GANOptions, scale: Scale, run: Run, initial: Any) -> Any:
        from . import training as trainer

        return trainer.train(training, options, scale, run, initial)

    def task(self, training: TrainingSet, options: GANOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        run = run.lasting(options.images_seen)
        return trainer.task(options, self.shape, self.scale, run, self.weights, where)

    @classmethod
    def outline(cls, options: GANOptions, shape: tuple[int, ...]) -> Mapping[str, Any]:
        from . import training

        return training.networks.outlined(lambda: training.build(options, shape))

    @classmethod
    def shares_scale(cls, shape: tuple[int, ...]) -> bool:
        """Of images and clips: pixels that hardly change would else weigh as much as all others."""
        return len(shape) > 1

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, G(z) of normal z: uint8 images or float64 vectors.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: the variance of the latents, z ~ N(0, ask.bias I), as of a VAE and a flow: a truncation
        psi z with psi the root of it. Raises ValueError for a bias outside (0, 1] and for a guide.
        """
        check_ask(ask, self)
        from . import sampling

        return SampleSet(sampling.sample(self.options, self.weights, self.scale, self.shape, ask))

    def realness(self, data: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """The discriminator's logit of each row being real, (n,) float64; labels have no part in it."""
        from . import critic

        check_rows(data, self.shape)
        return critic.logits(self.options, self.weights, self.scale, self.shape, data)
