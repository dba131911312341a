"""The normalising flow, of affine couplings or of coupled splines, by zuko (https://zuko.readthedocs.io): Dinh,
Sohl-Dickstein and Bengio 2017 (RealNVP, https://arxiv.org/abs/1605.08803), Durkan et al. 2019 (neural spline flows,
https://arxiv.org/abs/1906.04032).

Planning a study imports this module, so torch and zuko are imported only where a model is trained or sampled.
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
from .options import FlowOptions


@dataclass(frozen=True, eq=False)
class Flow(RowModel):
    """An invertible map f of rows x to z = f(x) ~ N(0, I), so that log p(x) = log N(f(x); 0, I) + log |det df/dx|."""

    Options: ClassVar = FlowOptions
    density: ClassVar = "exact"
    bias: ClassVar = "base variance"
    conditions: ClassVar = ()

    @classmethod
    def train(cls, training: TrainingSet, options: FlowOptions, scale: Scale, run: Run, initial: Any) -> Any:
        from . import training as trainer

        return trainer.train(training, options, scale, run, initial)

    def task(self, training: TrainingSet, options: FlowOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        run = run.lasting(options.images_seen)
        return trainer.task(options, self.shape, self.scale, run, self.weights, where)

    @classmethod
    def outline(cls, options: FlowOptions, shape: tuple[int, ...]) -> Mapping[str, Any]:
        from . import training

        return training.networks.outlined(lambda: training.build(options, shape))

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for, f^-1(z) of normal z: uint8 images or float64 vectors.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: the variance of the base, z ~ N(0, ask.bias I), as MAD biases its flow (Alemohammad et al.
        2023, https://arxiv.org/abs/2307.01850). Raises ValueError for a bias outside (0, 1] and for a guide.
        """
        check_ask(ask, self)
        from . import sampling

        return SampleSet(sampling.sample(self.options, self.weights, self.scale, self.shape, ask))

    def invert(self, data: np.ndarray, *, steps: int | None = None) -> np.ndarray:
        """The noise z = f(x) that samples were made of, to the rounding of bytes; steps have no part in it."""
        from . import sampling

        check_rows(data, self.shape)
        return sampling.invert(self.options, self.weights, self.scale, data)

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
