"""How a causal transformer is built, trained and sampled, and the presets."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...core.kinds import KindName
from ..options import InSteps, check_betas, values, with_preset
from ..tokens import Sharpened

MOST_TOKENS = 2**20  # tokens of a vocabulary


class Truncation(BaseModel):
    """Which tokens a truncated cross-entropy leaves out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(
        0.9, gt=0, le=1, description="tokens to which the model gives more than this probability teach nothing"
    )


class Truncated(BaseModel):
    """The truncated cross-entropy (Shabgahi et al. 2025, https://arxiv.org/abs/2509.08972)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truncated: Truncation = Field(description="cross-entropy of the tokens that the model is not yet sure of")


def threshold_of(loss: str | Truncated) -> float | None:
    """The probability above which a token teaches nothing; None where all teach."""
    return loss.truncated.threshold if isinstance(loss, Truncated) else None


class TransformerOptions(InSteps, Sharpened):
    """How a causal transformer is built, trained and sampled. ``preset`` fills in every option that is not given."""

    preset: str = Field(
        "tiny", description="a name of PRESETS: the options that it does not share with the defaults below"
    )

    vocabulary: int = Field(ge=1, le=MOST_TOKENS, description="number of tokens V; the data are 0 .. V - 1")
    blocks: int = Field(6, ge=1, le=100, description="blocks of attention and perceptron")
    width: int = Field(384, ge=1, description="numbers that stand for a token within the network")
    heads: int = Field(6, ge=1, description="heads of attention in each block; they divide the width")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of hidden units that are dropped in training")
    loss: Literal["cross_entropy"] | Truncated = Field(
        "cross_entropy",
        description="of each token; or {truncated: {threshold: p}}, which leaves out tokens of a larger probability",
    )

    images_seen: int = Field(500_000, ge=1, description="training sequences shown, where the study sets no budget")
    batch: int = Field(64, ge=1, description="sequences per training step")
    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's after the ramp-up; it falls to 0 along half a cosine over the training"
    )
    warmup_images: int = Field(5_000, ge=0, description="sequences over which the learning rate grows linearly from 0")
    betas: tuple[float, float] = Field((0.9, 0.99), description="Adam's decay rates of the two moments")
    ema_half_life: int = Field(
        0, ge=0, description="half-life of the weights' moving average, in sequences; 0: no average"
    )
    ema_ramp: float = Field(0.05, gt=0, description="the half-life is at most this share of the sequences seen so far")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of matrix products; tf32 is a GPU's, and part of its bfloat16"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")

    sample_batch: int = Field(
        256, ge=1, le=65_536, description="sequences sampled at once; part of a sample's identity, to rounding"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {
            "vocabulary": 5,
            "blocks": 2,
            "width": 8,
            "heads": 2,
            "batch": 16,
            "warmup_images": 16,
            "sample_batch": 8,
        }

    def of_weights(self) -> dict[str, Any]:
        return values(self, "vocabulary", "blocks", "width", "heads")

    @property
    def threshold(self) -> float | None:
        """The probability above which a token teaches nothing; None where all teach."""
        return threshold_of(self.loss)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        return with_preset(given, PRESETS, cls.model_fields["preset"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: found {self.heads}, allowed are divisors of width = {self.width}")
        check_betas(self.betas)
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Letters in sequences of 32 on one CPU core in a quarter of a minute: 100,000 weights.
    "tiny": {
        "blocks": 2,
        "width": 64,
        "heads": 2,
        "images_seen": 12_800,
        "batch": 32,
        "learning_rate": 6e-3,
        "warmup_images": 640,
    },
    # Eleven million weights: characters or bytes in sequences of 256 on one GPU in minutes.
    "small": {"dropout": 0.1, "precision": "bfloat16"},
}
