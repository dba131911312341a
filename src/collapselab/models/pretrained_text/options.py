"""How a pretrained language model is tuned and sampled, and the presets."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.choice import FileName
from ...core.facts import Facts
from ...core.kinds import KindName
from ..options import InSteps, check_betas, values, with_preset
from ..pretrained.folders import TINY
from ..tokens import Sharpened
from ..transformer.options import MOST_TOKENS, Truncated, threshold_of
from .folders import options_fault, outside


class PretrainedTextOptions(InSteps, Sharpened):
    """How a pretrained language model is tuned and sampled. ``preset`` fills in every option that is not given."""

    preset: str = Field(
        "tiny", description="a name of PRESETS: the options that it does not share with the defaults below"
    )

    base: FileName = Field(
        TINY,
        min_length=1,
        description="folder of a causal language model as transformers saves it, in safetensors; tiny: a GPT-2 of a "
        "few thousand random weights that reads bytes, to try everything with",
    )
    tiny_seed: int = Field(0, ge=0, description="of the random weights of base tiny")
    vocabulary: int = Field(
        ge=1, le=MOST_TOKENS, description="number of tokens V; the data are 0 .. V - 1, as the base numbers them"
    )
    lora_rank: int = Field(4, ge=1, le=1024, description="rank of the adapter's update of a matrix")
    lora_alpha: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="the update is scaled by this over the rank; None: by 1"
    )
    lora_targets: tuple[str, ...] = Field(
        ("c_attn",),
        min_length=1,
        description="ends of the names of the matrices it updates: of GPT-2 c_attn, of Llama q_proj and v_proj",
    )
    loss: Literal["cross_entropy"] | Truncated = Field(
        "cross_entropy",
        description="of each token; or {truncated: {threshold: p}}, which leaves out tokens of a larger probability",
    )
    images_seen: int = Field(4_000, ge=1, description="training sequences shown, where the study sets no budget")
    batch: int = Field(16, ge=1, description="sequences per training step")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's at first; it falls to 0 along half a cosine")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's decay rates of the two moments")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of the base's weights and matrix products; the adapter is float32; tf32 is a GPU's"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")

    sample_batch: int = Field(
        64, ge=1, le=65_536, description="sequences sampled at once; part of a sample's identity, to rounding"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"vocabulary": 5, "lora_rank": 2, "learning_rate": 1e-2, "batch": 16, "sample_batch": 8}

    @property
    def alpha(self) -> float:
        """The numerator of the scale of the adapter's update."""
        return self.lora_rank if self.lora_alpha is None else self.lora_alpha

    @property
    def threshold(self) -> float | None:
        """The probability above which a token teaches nothing; None where all teach."""
        return threshold_of(self.loss)

    def of_weights(self) -> dict[str, Any]:
        return values(self, "base", "tiny_seed", "vocabulary", "lora_rank", "lora_alpha", "lora_targets")

    def fault(self, facts: Facts) -> str:
        """What keeps it from data of such facts; see :class:`models.options.Outside`."""
        return options_fault(self, facts.shape)

    def outside(self) -> dict[str, str]:
        return outside(self)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        return with_preset(given, PRESETS, cls.model_fields["preset"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # A few thousand random weights: every job in a moment, and noise for text.
    "tiny": {},
    # The smallest GPT-2, of 124 million weights, on a GPU of 16 GB; `base` is the folder.
    "gpt2": {
        "lora_rank": 16,
        "images_seen": 20_000,
        "batch": 16,
        "learning_rate": 2e-4,
        "precision": "bfloat16",
    },
}
