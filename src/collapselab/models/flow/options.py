"""How a normalising flow is built, trained and sampled, and the presets."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.kinds import KindName
from ..options import InSteps, Options, check_betas, values, with_preset


class FlowOptions(InSteps, Options):
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

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        return {"transforms": 2, "hidden": 8, "bins": 4, "batch": 16, "sample_batch": 8}

    def of_weights(self) -> dict[str, Any]:
        bins = ("bins",) if self.transform == "spline" else ()
        return values(self, "transform", "transforms", "hidden", "layers", *bins)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        return with_preset(given, PRESETS, cls.model_fields["preset"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_betas(self.betas)
        return self


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
