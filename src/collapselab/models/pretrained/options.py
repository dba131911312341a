"""How a pretrained pipeline is told, tuned and sampled, and the presets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.choice import FileName
from ...core.facts import Facts
from ...core.kinds import KindName
from ..options import InSteps, Options, check_betas, values, with_preset
from .folders import TINY, options_fault, outside
from .prompts import prompts_in


class PretrainedOptions(InSteps, Options):
    """How a pretrained pipeline is told, tuned and sampled. ``preset`` fills in every option that is not given."""

    preset: str = Field(
        "tiny", description="a name of PRESETS: the options that it does not share with the defaults below"
    )

    base: FileName = Field(
        TINY,
        min_length=1,
        description="folder of a Stable Diffusion pipeline as diffusers saves it; tiny: networks of a few thousand "
        "random weights, to try everything with",
    )
    tiny_seed: int = Field(0, ge=0, description="of the random weights of base tiny")
    prompts: tuple[str, ...] | str = Field(
        (),
        description="what each class is called: prompt i is told for label i; or a file, with a prompt a line, or a "
        "CSV with the columns class and prompt; one alone is told for all samples",
    )
    classes: int = Field(0, ge=0, description="classes of the labels; left out, as many as there are prompts, if two")
    label_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of training images told no prompt, for guidance later"
    )

    lora_rank: int = Field(4, ge=1, le=1024, description="rank of the adapter's update of a matrix")
    lora_alpha: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="the update is scaled by this over the rank; None: by 1"
    )
    lora_targets: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"), min_length=1, description="ends of the names of the matrices it updates"
    )
    images_seen: int = Field(2_000, ge=1, description="training images shown, where the study sets no budget")
    batch: int = Field(8, ge=1, description="images per training step")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's at first; it falls to 0 along half a cosine")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's decay rates of the two moments")
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of the pipeline's weights and matrix products; the adapter is float32; tf32 is a GPU's"
    )
    snapshots: int = Field(0, ge=0, description="evenly spaced points of the training at which it can be inspected")

    sampler: Literal["ddim", "heun"] = Field("ddim", description="ddim: Euler's steps; heun: two evaluations a step")
    steps: int = Field(50, ge=2, description="steps of the sampler")
    guidance_scale: float = Field(
        1.0,
        ge=1,
        allow_inf_nan=False,
        description="s of D = D_u + s (D_c - D_u), as diffusers calls it: 1 is none, 7.5 its default; a sampling bias "
        "divides 1 by it",
    )
    sample_batch: int = Field(
        8, ge=1, le=65_536, description="images sampled at once; part of a sample's identity, to rounding"
    )

    controlnet: FileName | None = Field(None, description="folder of a ControlNet, for sampling alone")
    control_image: FileName | None = Field(None, description="picture that it is shown for every sample")
    control_scale: float = Field(1.0, ge=0, allow_inf_nan=False, description="how much it counts")
    ip_adapter: FileName | None = Field(
        None, description="safetensors of an IP-Adapter, for sampling alone; its image_encoder is a folder beside it"
    )
    ip_image: FileName | None = Field(None, description="picture that it is shown for every sample")
    ip_scale: float = Field(1.0, ge=0, allow_inf_nan=False, description="how much it counts")

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        own = {"prompts": ["a dark picture", "a bright picture"], "lora_rank": 2, "learning_rate": 1e-2}
        return own | {"batch": 16, "sample_batch": 8, "steps": 2}

    @property
    def alpha(self) -> float:
        """The numerator of the scale of the adapter's update."""
        return self.lora_rank if self.lora_alpha is None else self.lora_alpha

    @property
    def told(self) -> tuple[str, ...]:
        """The prompt of each class; without classes the one of all samples."""
        return tuple(self.prompts) or ("",)  # of a file it is what the file says, from the first check on

    def of_weights(self) -> dict[str, Any]:
        return values(self, "base", "tiny_seed", "lora_rank", "lora_alpha", "lora_targets")

    def fault(self, facts: Facts) -> str:
        """What keeps it from data of such facts; see :class:`models.options.Outside`."""
        return options_fault(self, facts.shape)

    def outside(self) -> dict[str, str]:
        return outside(self)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        filled = with_preset(given, PRESETS, cls.model_fields["preset"].default)
        if not isinstance(filled, Mapping):
            return filled
        said = filled.get("prompts", ())
        if isinstance(said, str):  # what a file says stands in the options from here on: its words are what counts
            filled = {**filled, "prompts": prompts_in(Path(said))}
        elif isinstance(said, list):
            filled = {**filled, "prompts": tuple(said)}
        many = filled.get("prompts", ())
        return {"classes": len(many) if isinstance(many, tuple) and len(many) > 1 else 0, **filled}

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        if self.classes and len(self.prompts) != self.classes:
            raise ValueError(f"prompts: found {len(self.prompts)} for {self.classes} classes; allowed is one a class")
        if not self.classes and len(self.prompts) > 1:
            raise ValueError(f"classes: found 0 with {len(self.prompts)} prompts; allowed is one prompt")
        if empty := [index for index, prompt in enumerate(self.prompts) if not prompt.strip()]:
            raise ValueError(f"prompts: that of class {empty[0]} is empty; allowed are words")
        pairs = (("controlnet", "control_image"), ("ip_adapter", "ip_image"))
        for network, image in pairs:
            lacking = [one for one in (network, image) if getattr(self, one) is None]
            if len(lacking) == 1:
                other = image if lacking[0] == network else network
                raise ValueError(f"{lacking[0]}: found none beside {other}; allowed are both, or neither")
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # A few thousand random weights: every job in a moment, and pictures of noise.
    "tiny": {"steps": 4},
    # Stable Diffusion 1 or 2 at 512 x 512 on a GPU of 16 GB; `base` is the folder.
    "stable-diffusion": {
        "lora_rank": 16,
        "images_seen": 20_000,
        "batch": 4,
        "sample_batch": 4,
        "precision": "bfloat16",
        "guidance_scale": 7.5,
    },
}
