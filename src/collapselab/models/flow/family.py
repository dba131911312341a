"""The normalising flow, of affine couplings or of coupled splines, by zuko (https://zuko.readthedocs.io).

Sources: Dinh, Sohl-Dickstein and Bengio 2017 (RealNVP, https://arxiv.org/abs/1605.08803), Durkan et al. 2019 (neural
spline flows, https://arxiv.org/abs/1906.04032). Planning a study imports this module, so torch and zuko are imported
only where a model is trained or sampled.
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
from .options import FlowOptions


@dataclass(frozen=True, eq=False)
class Flow(RowModel):
    """An invertible map f of rows x to z = f(x) ~ N(0, I), so that log p(x) = log N(f(x); 0, I) + log |det df/dx|."""

    Options: ClassVar = FlowOptions
    density: ClassVar = "exact"
    bias: ClassVar = "base variance"

    @classmethod
    def train(cls, training: TrainingSet, options: Any, scale: Scale, seed: int, *more: Any, **control: Any) -> Any:
        from . import training as trainer

        return trainer.train(training, options, scale, seed, *more, **control)

    @classmethod
    def outline(cls, options: FlowOptions, shape: tuple[int, ...]) -> Mapping[str, Any]:
        from . import training

        return training.networks.outlined(lambda: training.build(options, shape))

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count``, f^-1(z) of normal z: uint8 images or float64 vectors.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        sampling_bias: the variance of the base, z ~ N(0, sampling_bias I), as MAD biases its flow (Alemohammad et al.
        2023, https://arxiv.org/abs/2307.01850). Raises ValueError for a bias outside (0, 1] and for a guide.
        """
        from . import sampling

        check_bias(sampling_bias)
        check_unguided(guide, "a flow")
        arguments = self.options, self.weights, self.scale, self.shape
        return SampleSet(sampling.sample(*arguments, count, seed, start, sampling_bias))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-density of each vector, or a lower bound of the log-mass of each image, in nats: (n,) float64.

        By change of variables, computed in float64: the Jacobian of the standardisation counts, too. Of images by
        uniform dequantisation, with which the flow was trained. steps and probes have no part in it.
        """
        from . import sampling

        check_rows(data, self.shape)
        return sampling.log_likelihood(self.options, self.weights, self.scale, data, seed)
