"""Rewards whose gradient by a sample's numbers is known, as functions that torch can differentiate.

No torch is imported: they are arithmetic of whatever tensors they are handed.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .exact import CoordinateOptions

if TYPE_CHECKING:
    import torch


def brightness(rows: "torch.Tensor", options: Any) -> "torch.Tensor":
    """The mean of the pixels of images (B, C, H, W), -1 to 1: (B,). Beyond black and white it changes nothing."""
    return rows.clamp(-1, 1).flatten(1).mean(1)


def coordinate(rows: "torch.Tensor", options: CoordinateOptions) -> "torch.Tensor":
    """beta x_j, or -beta (x_j - c)^2 / 2, of vectors (B, d) in their own units: (B,)."""
    if options.index >= rows.shape[1]:
        raise ValueError(f"index: found {options.index}, allowed are 0 to {rows.shape[1] - 1}")
    x = rows[:, options.index]
    return options.beta * x if options.form == "linear" else -options.beta * (x - options.centre) ** 2 / 2


DIFFERENTIABLE: Mapping[str, Callable[["torch.Tensor", Any], "torch.Tensor"]] = {
    "brightness": brightness,
    "coordinate": coordinate,
}
"""name of a reward -> ``f(rows, options) -> (B,)``: images in [-1, 1], vectors in their own units."""
