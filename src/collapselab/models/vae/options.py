"""How a variational autoencoder is built, trained and sampled."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.kinds import KindName
from ..options import InSteps, Options, check_betas, values


class VAEOptions(InSteps, Options):
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

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        network = {"network": "conv", "channels": 4} if kind == "images" else {"hidden": 8}
        return {**network, "batch": 16, "sample_batch": 8}

    def check_kind(self, kind: KindName) -> None:
        if self.network == "conv" and kind != "images":
            raise ValueError("network: found 'conv', allowed are 'linear' and 'mlp': the data are no images")

    def of_weights(self) -> dict[str, Any]:
        sizes = {"linear": (), "mlp": ("hidden", "layers"), "conv": ("channels",)}[self.network]
        noise = {"noise_sd": "learned" if self.noise_sd is None else "given"}  # one weight more, or none
        return values(self, "network", "latent", *sizes) | noise

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self
