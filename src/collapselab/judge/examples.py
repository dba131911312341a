"""Images whose answer is known: real ones, real ones with a lattice over them, and what a loss of diversity looks like.

They teach people before they judge, try them, and lie hidden among the items as gold.
"""

from typing import NamedTuple

import numpy as np

from ..core import seeds
from ..core.images import to_uint8, to_unit
from ..core.kinds import KINDS
from ..select.judging import BAD, GOOD

PERIOD = 4  # pixels between the lines of the lattice, the period that the metric cross_hatching looks for
STRENGTH = 0.35  # its amplitude, of a range from -1 to 1
STRIP = 5  # images in a strip
GAP = 2  # white pixels between them
EXAMPLES, GOLD = 24, 40  # of each class, on the training screen; and hidden among the items
NEAR = 256  # samples of a round that are compared with one another for a strip


class Example(NamedTuple):
    """A picture with its answer. about: good, hatched, alike (a strip without diversity) or diverse (one with it)."""

    pixels: np.ndarray  # (1 or 3, H, W) uint8
    about: str

    @property
    def answer(self) -> str:
        """What people should say of it."""
        return GOOD if self.about in ("good", "diverse") else BAD


def expect_images(data: np.ndarray, whose: str) -> None:
    """Raise ValueError unless data are images that a browser shows."""
    if not KINDS["images"].holds(data) or data.shape[1] not in (1, 3) or not len(data):
        raise ValueError(
            f"{whose}: found {data.dtype} of shape {data.shape}; people judge uint8 images (N, 1 or 3, H, W)"
        )


def hatched(images: np.ndarray, strength: float = STRENGTH) -> np.ndarray:
    """The images with a lattice over them, (n, C, H, W) uint8: ``x + strength * sin(2 pi i / 4) sin(2 pi j / 4)``.

    Of values x in [-1, 1], clipped; i and j count pixels down and across. All power that is added lies at the
    frequencies (1/4, 1/4) that ``metrics.cross_hatching`` reads.
    """
    down, across = (np.sin(2 * np.pi * np.arange(side) / PERIOD) for side in images.shape[2:])
    return to_uint8(np.clip(to_unit(images) + strength * np.outer(down, across), -1, 1).astype(np.float32))


def strip(images: np.ndarray) -> np.ndarray:
    """Images side by side with a white line between them: (C, H, n W + (n - 1) GAP) uint8."""
    parts = []
    for index, image in enumerate(images):
        line = np.full((image.shape[0], image.shape[1], GAP), 255, np.uint8)
        parts += [line, image] if index else [image]
    return np.concatenate(parts, axis=2)


def alike(images: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Rows of images that look most alike, ``count`` times :data:`STRIP` (or as many as there are).

    Each is an image and its nearest ones by the Euclidean distance of pixels, among :data:`NEAR` by lot. Those whose
    farthest member is nearest come first, so that a strip shows what has least diversity in this round; then those
    that share images with an earlier one.
    """
    draws = seeds.generator(seed)
    some = draws.permutation(len(images))[:NEAR]
    flat = images[some].reshape(len(some), -1).astype(np.float32)
    squares = (flat**2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares - 2 * flat @ flat.T, 0)
    np.fill_diagonal(apart, -1)  # the image itself comes first
    order = np.argsort(apart, axis=1, kind="stable")[:, :STRIP]
    spread = np.take_along_axis(apart, order, axis=1)[:, -1]
    taken: set[int] = set()
    fresh, stale = [], []
    for rows in order[np.argsort(spread, kind="stable")]:
        overlaps = taken & set(rows.tolist())
        (stale if overlaps else fresh).append(some[rows])
        taken |= set() if overlaps else set(rows.tolist())
    return [*fresh, *stale][:count]


def examples(real: np.ndarray, pool: np.ndarray, seed: int) -> list[Example]:
    """What the training screen shows and asks: real images, others of them hatched, strips alike and diverse.

    real: (n, C, H, W) uint8, images of the training split. pool: the samples of the round. A strip without diversity
    is made of the round's own samples, one with it of real images by lot.
    """
    draws = seeds.generator(seed)
    good, bad = _two_parts(draws.permutation(len(real)), EXAMPLES)
    found = [Example(image, "good") for image in real[good]]
    found += [Example(image, "hatched") for image in hatched(real[bad])]
    found += [Example(strip(pool[rows]), "alike") for rows in alike(pool, EXAMPLES // 2, seed)]
    some = [draws.permutation(len(real))[:STRIP] for _ in range(EXAMPLES // 2)]
    return found + [Example(strip(real[rows]), "diverse") for rows in some]


def gold(real: np.ndarray, seed: int) -> list[Example]:
    """Images that are hidden among the items: real ones, and other real ones hatched. Of strips there are none, since
    nothing else is a strip.
    """
    good, bad = _two_parts(seeds.generator(seed).permutation(len(real)), GOLD)
    return [Example(image, "good") for image in real[good]] + [
        Example(image, "hatched") for image in hatched(real[bad])
    ]


def _two_parts(order: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of an order that have no row in common where there is more than one."""
    half = min(most, max(1, len(order) // 2))
    return order[:half], order[-half:]
