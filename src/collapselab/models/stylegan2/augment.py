"""Augmentations that the discriminator sees and the generator does not learn (Karras et al. 2020, ADA, appendix B).

Each of thirteen transformations is applied with probability p, to real and generated images alike. What the
discriminator sees then comes from a mixture that contains the untouched image, and the map from the distribution of
images to that of augmented images can be inverted: both sides agree after augmentation only if they agree before it
(section 3.1 and appendix C of https://arxiv.org/abs/2006.06676). So augmentations do not leak into the samples.

In order, with u uniform in [-1, 1] and n standard normal, each drawn anew:

    flip            left to right, with probability 1/2
    turn            0, 1, 2 or 3 quarter turns
    shift           by u / 8 of the size, both ways, rounded to pixels
    scale           2^(0.2 n)
    rotate          by pi u, with probability 1 - sqrt(1 - p), so that this or rotate_again happens with probability p
    stretch         2^(0.2 n) in width, its inverse in height
    rotate_again    as rotate
    move            by n / 8 of the size, both ways
    brightness      plus 0.2 n
    contrast        times 2^(0.5 n)
    luma_flip       reflected at the plane of no brightness, with probability 1/2
    hue             turned around the axis of brightness by pi u
    saturation      the distance from that axis times 2^n

An image lies in a plane of its own mirror images. Flips and quarter turns are exact. The rest of the geometry is one
affine map, taken apart into stretchings of rows and columns (products with a matrix of windowed sincs, wide enough not
to alias) and shears, of which three make a rotation (Paeth 1986); a shear moves each row by its own fraction of a
pixel, which is a phase in Fourier space. So there are only matrix products and Fourier transforms: they can be
differentiated any number of times, and they repeat their bits on a GPU, which scattering to pixels does not.
"""

import math
from collections.abc import Callable, Mapping

import torch

from .layers import not_autocast

TRANSFORMATIONS = (
    *("flip", "turn", "shift", "scale", "rotate", "stretch", "rotate_again", "move"),
    *("brightness", "contrast", "luma_flip", "hue", "saturation"),
)
AFFINE = TRANSFORMATIONS[2:8]
UNIFORMS = ("flip", "turn", "shift_x", "shift_y", "rotate", "rotate_again", "luma_flip", "hue")
NORMALS = ("scale", "stretch", "move_x", "move_y", "brightness", "contrast", "saturation")
CANVAS = 2.5  # the side of the plane in which images are turned, in image sides; its rim only shows in extreme corners
LOBES = 3  # of the windowed sinc


def draw(count: int, device: torch.device) -> dict[str, torch.Tensor]:
    """The random numbers of ``count`` images, from the device's default generator, float32.

    ``chances`` (count, 13) and ``uniforms`` (count, 8) in [0, 1), ``normals`` (count, 7).
    """
    return {
        "chances": torch.rand(count, len(TRANSFORMATIONS), device=device),
        "uniforms": torch.rand(count, len(UNIFORMS), device=device),
        "normals": torch.randn(count, len(NORMALS), device=device),
    }


def augment(images: torch.Tensor, p: torch.Tensor, draws: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """``images`` (B, C, H, H), in [-1, 1] or about, each transformation applied with probability ``p`` (0-dim).

    draws: what :func:`draw` gave for these images; the result is a function of the arguments alone. An image to which
    nothing happens keeps its bits. Hue is of three colours only; other numbers of colours have brightness, contrast,
    saturation and the luma flip along the axis (1, ..., 1), which leaves a grey image grey.
    """
    chosen = _chosen(p, draws["chances"])
    uniform = dict(zip(UNIFORMS, draws["uniforms"].unbind(1), strict=True))
    normal = dict(zip(NORMALS, draws["normals"].unbind(1), strict=True))
    with not_autocast(images):
        flipped = chosen["flip"] & (uniform["flip"] < 0.5)
        images = torch.where(_wide(flipped), images.flip(3), images)
        turns = torch.where(chosen["turn"], (4 * uniform["turn"]).long(), 0)
        images = quarter_turned(images, turns)

        matrix, offset = affine_map(images.shape[3], chosen, uniform, normal)
        moved = torch.stack([chosen[name] for name in AFFINE]).any(0)
        images = torch.where(_wide(moved), warped(images, matrix, offset), images)

        colours, brightness = colour_map(images.shape[1], chosen, uniform, normal)
        recoloured = torch.stack([chosen[name] for name in TRANSFORMATIONS[8:]]).any(0)
        mixed = torch.matmul(colours.to(images.dtype), images.flatten(2)) + brightness.to(images.dtype)[:, None, None]
        return torch.where(_wide(recoloured), mixed.unflatten(2, images.shape[2:]), images)


def _chosen(p: torch.Tensor, chances: torch.Tensor) -> dict[str, torch.Tensor]:
    """Which images have which transformation: (B,) bool by name."""
    either = 1 - (1 - p).sqrt()
    probabilities = {name: either if name.startswith("rotate") else p for name in TRANSFORMATIONS}
    columns = zip(TRANSFORMATIONS, chances.unbind(1), strict=True)
    return {name: chance < probabilities[name] for name, chance in columns}


def _wide(flags: torch.Tensor) -> torch.Tensor:
    return flags[:, None, None, None]


# -- which maps --------------------------------------------------------------------------------------------------------


def affine_map(
    size: int,
    chosen: Mapping[str, torch.Tensor],
    uniform: Mapping[str, torch.Tensor],
    normal: Mapping[str, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 2, 2) and (B, 2): the pixel at (x, y) comes from ``matrix (x, y) + offset``, in pixels from the centre.

    x grows along rows, y down columns; ``size`` is the side of the image.
    """

    def only(name: str, values: torch.Tensor) -> torch.Tensor:
        return torch.where(chosen[name], values, 0)

    scale = torch.exp2(only("scale", 0.2 * normal["scale"]))
    stretch = torch.exp2(only("stretch", 0.2 * normal["stretch"]))
    first, second = (rotation(only(n, math.pi * (2 * uniform[n] - 1))) for n in ("rotate", "rotate_again"))
    stretched = torch.diag_embed(torch.stack([scale * stretch, scale / stretch], dim=1))
    there = second @ stretched @ first  # where a pixel goes; the isotropic scaling commutes
    (a, b), (c, d) = (row.unbind(1) for row in there.unbind(1))
    back = torch.stack([d, -b, -c, a], dim=1).unflatten(1, (2, 2)) / (a * d - b * c)[:, None, None]
    move = torch.stack([only("move", size / 8 * normal[name]) for name in ("move_x", "move_y")], dim=1)
    shift = torch.stack(
        [only("shift", (size / 8 * (2 * uniform[name] - 1)).round()) for name in ("shift_x", "shift_y")], dim=1
    )
    return back, -(back @ move[:, :, None])[:, :, 0] - shift


def colour_map(
    colours: int,
    chosen: Mapping[str, torch.Tensor],
    uniform: Mapping[str, torch.Tensor],
    normal: Mapping[str, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, C, C) and (B,): a pixel x becomes ``matrix x + brightness``.

    All colour transformations respect the axis of brightness v = (1, ..., 1) / sqrt(C): along it they are a factor, on
    the plane across it a factor and, of three colours, a rotation.
    """

    def only(name: str, values: torch.Tensor) -> torch.Tensor:
        return torch.where(chosen[name], values, 0)

    contrast = torch.exp2(only("contrast", 0.5 * normal["contrast"]))
    along = contrast * (1 - 2 * only("luma_flip", (uniform["luma_flip"] < 0.5).to(contrast.dtype)))
    aside = contrast * torch.exp2(only("saturation", normal["saturation"]))
    axis = torch.full((colours, colours), 1 / colours, dtype=contrast.dtype, device=contrast.device)  # v v^T
    plane = torch.eye(colours, dtype=contrast.dtype, device=contrast.device) - axis
    turned = plane
    if colours == 3:
        angle = only("hue", math.pi * (2 * uniform["hue"] - 1))[:, None, None]
        # v x, the cross product with v = (1, 1, 1) / sqrt(3): Rodrigues' formula.
        cross = (plane.roll(1, 0) - plane.roll(-1, 0)) / math.sqrt(3)
        turned = angle.cos() * plane + angle.sin() * cross
    brightness = along * only("brightness", 0.2 * normal["brightness"])
    return along[:, None, None] * axis + aside[:, None, None] * turned, brightness


def rotation(angle: torch.Tensor) -> torch.Tensor:
    """The matrices [[cos, -sin], [sin, cos]] (B, 2, 2) of angles (B,)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))


# -- how images are moved ----------------------------------------------------------------------------------------------


def quarter_turned(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """``images`` (B, C, H, H) with pixel p taken from where ``turns`` (B,) quarter turns, modulo 4, bring p. Exact."""
    turns = turns % 4
    images = torch.where(_wide(turns % 2 == 1), images.transpose(2, 3), images)
    images = torch.where(_wide((turns == 1) | (turns == 2)), images.flip(2), images)
    return torch.where(_wide(turns >= 2), images.flip(3), images)


def warped(images: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """``images`` (B, C, H, H) with pixel p taken from ``matrix p + offset``, as :func:`affine_map` gives them.

    The matrix N, of positive determinant, is taken apart:

        N = s R(q pi / 2) R(a) P,     R(a) = X(-tan(a / 2)) Y(sin a) X(-tan(a / 2)),     P = X(u) diag(1 / d, d) Y(u)

    with s = sqrt(det N), R rotations with |a| <= pi / 4, q whole, P symmetric with determinant 1 and entries u and d in
    its second row, and shears X(k): x + k y, Y(k): y + k x.
    """
    size = images.shape[3]
    margin = math.ceil((CANVAS - 1) / 2 * size)
    canvas = size + 2 * margin
    (a, b), (c, d) = (row.unbind(1) for row in matrix.unbind(1))
    scale = (a * d - b * c).sqrt()
    angle = torch.atan2(c - b, a + d)
    turns = (angle / (math.pi / 2)).round()
    rest = angle - turns * (math.pi / 2)
    symmetric = rotation(-angle) @ matrix / scale[:, None, None]
    u, d = symmetric[:, 1, 0], symmetric[:, 1, 1]
    slope, still = -(rest / 2).tan(), torch.zeros_like(scale)

    # s R x + t = R (s x + R^-1 t) with R the quarter turns: they are cheaper before the image becomes a canvas.
    images = quarter_turned(images, turns.long())
    offset = (rotation(-turns * (math.pi / 2)).round() * offset[:, None, :]).sum(2)
    # The translation and the isotropic part come next: from the mirrored image they fill the canvas without a rim.
    images = stretched_rows(images, scale, offset[:, 0], canvas)
    images = across(stretched_rows, images, scale, offset[:, 1], canvas)
    images = sheared_rows(images, slope)
    images = across(sheared_rows, images, rest.sin())
    images = sheared_rows(images, slope + u)
    images = stretched_rows(images, 1 / d, still, size)
    images = across(stretched_rows, images, d, still, canvas)
    return across(sheared_rows, images, u)[:, :, margin : margin + size]


def across(rows: Callable[..., torch.Tensor], images: torch.Tensor, *rest: torch.Tensor | int) -> torch.Tensor:
    """What ``rows`` does to rows, done to columns."""
    return rows(images.transpose(2, 3), *rest).transpose(2, 3)


def stretched_rows(images: torch.Tensor, factor: torch.Tensor, offset: torch.Tensor, width: int) -> torch.Tensor:
    """``images`` (B, C, H, W) with rows of ``width`` pixels: position x, from the centre, shows ``factor x + offset``.

    factor, offset: (B,). Beyond its ends a row is mirrored. The kernel is sinc(t) sinc(t / 3) for |t| < 3, t the
    distance in source pixels or, where they are shrunk, in shown ones; its sum is brought to 1. A shift by whole pixels
    is exact but for rounding.
    """
    length = images.shape[3]
    positions = torch.arange(width, device=images.device, dtype=factor.dtype) - (width - 1) / 2
    centres = factor[:, None] * positions + offset[:, None] + length / 2  # the row lies in [0, length]
    centres = torch.remainder(centres, 2 * length)
    centres = torch.where(centres > length, 2 * length - centres, centres)
    sources = torch.arange(length, device=images.device, dtype=factor.dtype) + 0.5
    shrinking = factor.clamp(min=1)[:, None, None]
    kernel = 0
    for mirrored in (sources, -sources, 2 * length - sources):
        distance = ((centres[:, :, None] - mirrored) / shrinking).clamp(-LOBES, LOBES)  # at the rim both factors are 0
        kernel = kernel + torch.sinc(distance) * torch.sinc(distance / LOBES)
    kernel = kernel / kernel.sum(2, keepdim=True)  # (B, width, W)
    rows = torch.matmul(images.flatten(1, 2), kernel.to(images.dtype).transpose(1, 2))
    return rows.unflatten(1, images.shape[1:3])


def sheared_rows(images: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """``images`` (B, C, H, W) with (x, y), from the centre, showing (x + ``slope`` y, y); rows are circles.

    slope: (B,). A shift of the row by delta multiplies its Fourier coefficient of frequency f by exp(2 pi i f delta):
    the norm of the row stays (but for the highest frequency of an even length), and the inverse is the shift back.
    """
    height, length = images.shape[2:]
    rows = torch.arange(height, device=images.device, dtype=slope.dtype) - (height - 1) / 2
    frequencies = torch.fft.rfftfreq(length, device=images.device, dtype=slope.dtype)
    angle = 2 * math.pi * (slope[:, None] * rows)[:, :, None] * frequencies  # (B, H, length // 2 + 1)
    phase = torch.polar(torch.ones_like(angle), angle)[:, None]
    return torch.fft.irfft(torch.fft.rfft(images.to(slope.dtype)) * phase, n=length).to(images.dtype)
