"""What all samplers can be told."""

from typing import Any, Literal, Self

from pydantic import Field

from ..compose.regimes import Noise, at
from ..core.choice import Options

SHARED = ("steps", "truncation", "end")
"""Options that say where a sampler goes, and not how it takes a step."""


class SamplerOptions(Options):
    """Where a sampler begins, stops and in how many steps."""

    steps: int | None = Field(None, ge=2, le=1_000_000, description="steps; as many as the model says if left out")
    truncation: Noise = Field(
        0.0,
        description="the noise level at which sampling stops, in the model's units, where it is above the model's own: "
        "one number, or {generation: number}, such as a sequence that ends at 0",
    )
    end: Literal["denoised", "noisy"] = Field(
        "denoised", description="what is given out there: what the denoiser makes of it, or the noisy rows themselves"
    )

    def at(self, generation: int) -> Self:
        """The same with what holds at a generation in the place of a sequence over generations."""
        return self.model_copy(update={"truncation": float(at(self.truncation, generation))})

    def taken(self) -> dict[str, Any]:
        """What the sampler's function is told: the options of its steps."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in SHARED}
