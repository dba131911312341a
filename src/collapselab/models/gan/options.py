"""How a generative adversarial network is built, trained and sampled."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.kinds import KindName
from ..options import InSteps, Options, check_betas, values


class GANOptions(InSteps, Options):
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

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"hidden": 8, "layers": 2, "batch": 16, "sample_batch": 8}

    def of_weights(self) -> dict[str, Any]:
        return values(self, "latent", "hidden", "layers")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self
