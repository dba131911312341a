"""The normalising flow, of affine couplings or of coupled splines, by zuko (https://zuko.readthedocs.io).

Sources: Dinh, Sohl-Dickstein and Bengio 2017 (RealNVP, https://arxiv.org/abs/1605.08803), Durkan et al. 2019 (neural
spline flows, https://arxiv.org/abs/1906.04032). Planning a study imports this module, so torch and zuko are imported
only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ...store import SampleSet
from ..base import ODE_STEPS, PROBES, Options, TrainingSet, check_betas, check_bias, check_unguided, with_preset
from ..rows import RowModel, Scale, check_rows


class FlowOptions(Options):
    """How a normalising flow is built, trained and sampled. ``preset`` fills in every option that is not given."""

    preset: str = Field(
        "points", description="a name of PRESETS: the options that it does not share with the defaults below"
    )

    transform: Literal["realnvp", "spline"] = Field(
        "spline",
        description="what a coupling does to the half of the numbers that it changes: it shifts and scales them, or "
        "bends them by rational-quadratic splines, within 5 standard deviations of the mean",
    )
    transforms: int = Field(3, ge=1, le=100, description="couplings, which change the halves in turn")
    hidden: int = Field(64, ge=1, description="units of each hidden layer of a coupling's network")
    layers: int = Field(2, ge=1, le=20, description="hidden layers of a coupling's network")
    bins: int = Field(16, ge=2, le=100, description="spline: pieces")
    images_seen: int = Field(100_000, ge=1, description="training rows shown, where the study sets no budget")
    batch: int = Field(200, ge=1, description="rows per training step")
    learning_rate: float = Field(5e-3, gt=0, description="Adam's at first; it falls to 0 along half a cosine")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's decay rates of the two moments")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of matrix products in training; tf32 is a GPU's, and part of its bfloat16"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")
    sample_batch: int = Field(
        500, ge=1, le=65_536, description="rows sampled at once; part of a sample's identity, to rounding"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        return with_preset(given, PRESETS, cls.model_fields["preset"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self


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


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # A thousand points in the plane on one CPU core in seconds.
    "points": {},
    # A thousand images of 16 x 16 pixels in as long. Splines of as many pixels would take a minute.
    "images": {
        "transform": "realnvp",
        "transforms": 8,
        "hidden": 32,
        "images_seen": 50_000,
        "batch": 100,
        "learning_rate": 7e-3,
    },
}
