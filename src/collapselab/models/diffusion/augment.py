"""Geometric augmentation that does not leak (Karras et al. 2022, section 5 and appendix F.2, arXiv 2206.00364).

Each training image goes through six transformations, the first always and the others each with the probability p, and
the network is told what was done. It is sampled as for images to which nothing was done, so what the transformations
add stays out of its samples.

    a0          mirror left to right, where a0 = 1 (0 or 1 alike, always)       told: a0
    a1          mirror top to bottom                                                  a1
    a2          scale by 2^(a2 / 5), a2 ~ N(0, 1)                                     a2
    a3          rotate by a3, uniform from -pi to pi                                  cos(a3) - 1, sin(a3)
    a4, a5      scale by 2^(a5 / 5) along the angle a4 and by 2^(-a5 / 5) across      a5 cos(2 a4), a5 sin(2 a4)
    a6, a7      move by a6 / 8 of the width and a7 / 8 of the height, N(0, 1)         a6, a7

A parameter is 0 where its transformation was not drawn: half of all images are mirrored. What is told of a stretch has
the angle doubled, other than the paper's a5 cos(a4), a5 sin(a4), so that it names it: a5 along a4 and -a5 across a4 are
one transformation, and one pair of numbers.
"""

import math

import torch
from torch.nn import functional as F

PARAMETERS, CONDITIONS = 8, 9
SCALE, SHIFT = math.log(2) / 5, 1 / 8


def draw(count: int, probability: float, where: torch.device) -> torch.Tensor:
    """Random parameters a0 .. a7 of ``count`` images, (count, 8), from the device's default generator; p is above 0."""
    applied = (torch.rand(count, 6, device=where) < probability).to(torch.float32)
    applied[:, 0] = 1
    mirrored = (torch.rand(count, 2, device=where) < 0.5).to(torch.float32)
    angles = math.pi * (2 * torch.rand(count, 2, device=where) - 1)
    normal = torch.randn(count, 4, device=where)
    drawn = [mirrored, normal[:, :1], angles, normal[:, 1:]]
    return torch.cat(drawn, dim=1) * applied[:, [0, 1, 2, 3, 4, 4, 5, 5]]


def conditions(parameters: torch.Tensor) -> torch.Tensor:
    """What the network is told, (B, 9): zeros for an image to which nothing was done."""
    x, y, scale, rotation, angle, stretch, right, down = parameters.unbind(dim=1)
    turned = [rotation.cos() - 1, rotation.sin(), stretch * (2 * angle).cos(), stretch * (2 * angle).sin()]
    return torch.stack([x, y, scale, *turned, right, down], dim=1)


def apply(images: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """The images (B, C, H, W) after their transformations (B, 8), in the order of the table.

    Pixels are read by cubic interpolation, beyond the edge from the mirror image; the paper filters with wavelets
    before and after, which matters to strong enlargements only. An image without a transformation keeps its bits.
    """
    height, width = images.shape[2:]
    x, y, scale, rotation, angle, stretch, move_x, move_y = parameters.double().unbind(dim=1)
    turn, shrink = _rotation(angle), torch.exp(-SCALE * scale)
    # In pixels from the centre, a pixel at q shows what was at ``inverse`` (q - shift).
    inverse = (
        _diagonal(shrink * (1 - 2 * x), shrink * (1 - 2 * y))
        @ _rotation(-rotation)
        @ turn
        @ _diagonal(torch.exp(-SCALE * stretch), torch.exp(SCALE * stretch))
        @ turn.mT
    )
    shift = torch.stack([SHIFT * width * move_x, SHIFT * height * move_y], dim=1)
    # grid_sample counts from -1 to 1 across the image along each axis: pixels are that times half the size. Products
    # are written out: in a training in bfloat16 a matrix product would round to 8 bits.
    across = (2 * torch.arange(width, device=images.device) + 1) / width - 1
    down = ((2 * torch.arange(height, device=images.device) + 1) / height - 1)[:, None]
    centre = -(inverse @ shift[:, :, None])[:, :, :, None]
    inverse = inverse[:, :, :, None, None]
    right = inverse[:, 0, 0] * across + inverse[:, 0, 1] * down * (height / width) + centre[:, 0] * (2 / width)
    below = inverse[:, 1, 0] * across * (width / height) + inverse[:, 1, 1] * down + centre[:, 1] * (2 / height)
    grid = torch.stack([right, below], dim=3)
    moved = F.grid_sample(images, grid.to(images.dtype), mode="bicubic", padding_mode="reflection", align_corners=False)
    return torch.where((parameters != 0).any(dim=1)[:, None, None, None], moved, images)


def _rotation(angle: torch.Tensor) -> torch.Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)


def _diagonal(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.diag_embed(torch.stack([first, second], dim=1))
