"""A small generative adversarial network of perceptrons, for vectors and tiny images (Goodfellow et al. 2014,
https://arxiv.org/abs/1406.2661).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ...core.sets import TrainingSet
from ...engine.scale import Scale
from ...store import SampleSet
from ..inputs import check_bias, check_unguided
from ..rows import RowModel
from .options import GANOptions


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
