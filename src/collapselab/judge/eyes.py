"""What judges that only seem to be people see of an image: how real it looks, and which class it is of.

They see the pixels that the page serves, as people do, and nothing else of the page; what they compare them with, real
images and an extractor, comes from files.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from ..core.distances import on_host, squared_distances
from ..core.seeds import generator
from ..core.sets import SampleSet
from ..features import Features
from ..metrics.neighbours import realism
from .examples import GAP, STRIP

K = 3  # neighbours that a ball reaches to (Kynkäänniemi et al. 2019)
QUINTETS = 500  # of real images by lot, whose spread is what is seen of five that are diverse
FEWEST = 2 * max(K + 1, STRIP)  # real images
EDGE = 0.05  # of the real images look less real than what is good, and of real quintets have less spread


class Impression(NamedTuple):
    """What is seen of an image. quality: the log of its realism over that which one real image in twenty falls below,
    inf for a copy of a real one; of a strip the same of its spread. of_class: that of the nearest real image, -1 where
    those have none.
    """

    quality: float
    of_class: int


class Eyes:
    """Sees images through extractors, beside real ones: an image is as good as the worst that is seen of it.

    extract: by extractor, features of images (n, C, H, W) uint8. real: images of the training split, with their labels.
    levels: of brightness that are told apart, of 256. The first extractor says which class an image is of, and how far
    a strip is spread. Raises ValueError for fewer real images than that takes.
    """

    def __init__(self, extract: Mapping[str, Callable[[np.ndarray], Features]], real: SampleSet, levels: int = 256):
        if len(real) < FEWEST:
            raise ValueError(f"real: found {len(real)} images, at least {FEWEST} are needed to compare with")
        self.extract = {name: partial(_through, one, levels) for name, one in extract.items()}
        self.labels, self.side = real.labels, real.data.shape[2:]
        self.real = {name: one(real.data) for name, one in self.extract.items()}
        self.first = next(iter(self.extract))
        # One half of the real images says what the other looks like: in each space, and in the worst of them.
        half = len(real) // 2
        apart = {name: (one(real.data[half:]), one(real.data[:half])) for name, one in self.extract.items()}
        self.edges = {name: float(np.quantile(realism(*pair, k=K), EDGE)) for name, pair in apart.items()}
        self.worst = float(np.quantile(self._quality(apart), EDGE))
        values, draws = on_host(self.real[self.first].values).astype(np.float64), generator(0)
        some = [draws.permutation(len(real))[:STRIP] for _ in range(QUINTETS)]
        self.least_spread = float(np.quantile([_spread(values[rows]) for rows in some], EDGE))
        self._known: dict[str, Impression] = {}

    def _quality(self, pairs: Mapping[str, tuple[Features, Features]]) -> np.ndarray:
        """The log realism over the edge of real images, the lowest of all extractors: (n,)."""
        with np.errstate(divide="ignore"):
            each = [np.log(realism(*pair, k=K) / self.edges[name]) for name, pair in pairs.items()]
        return np.min(each, axis=0)

    def seen(self, images: np.ndarray) -> list[Impression]:
        """What is seen of images (n, C, H, W) uint8, single ones, all at once."""
        if not len(images):
            return []
        features = {name: one(images) for name, one in self.extract.items()}
        quality = self._quality({name: (self.real[name], features[name]) for name in features}) - self.worst
        nearest = np.empty(len(images), np.int64)
        for rows, squared in squared_distances(features[self.first].values, self.real[self.first].values):
            nearest[rows] = on_host(squared).argmin(axis=1)
        classes = np.full(len(images), -1) if self.labels is None else np.asarray(self.labels)[nearest]
        return [Impression(*one) for one in zip(quality.tolist(), classes.tolist(), strict=True)]

    def remember(self, images: np.ndarray) -> None:
        """See images once, so that looking at each of them again costs nothing."""
        found = zip(images, self.seen(images), strict=True)
        self._known |= {name_of(image): impression for image, impression in found}

    def look(self, image: np.ndarray) -> Impression:
        """What is seen of one image (C, H, W) uint8, or of a strip of :data:`STRIP` ones side by side."""
        name = name_of(image)
        if name not in self._known:
            single = image.shape[1:] == self.side
            self._known[name] = self.seen(image[None])[0] if single else self._strip(image)
        return self._known[name]

    def _strip(self, image: np.ndarray) -> Impression:
        width = self.side[1]
        starts = range(0, image.shape[2], width + GAP)
        parts = [image[:, :, start : start + width] for start in starts]
        if image.shape[1] != self.side[0] or any(part.shape[2] != width for part in parts):
            raise ValueError(f"image: found {image.shape}, which is neither one of {self.side} pixels nor a strip")
        spread = _spread(on_host(self.extract[self.first](np.stack(parts)).values).astype(np.float64))
        ratio = spread / self.least_spread if self.least_spread > 0 else 1.0
        return Impression(float(np.log(ratio)) if ratio > 0 else -np.inf, -1)


def _through(extract: Callable[[np.ndarray], Features], levels: int, images: np.ndarray) -> Features:
    """The features of images as they look to somebody who tells so many levels of brightness apart."""
    step = 255 / (levels - 1)
    return extract(images if levels == 256 else np.rint(np.rint(images / step) * step).astype(np.uint8))


def name_of(image: np.ndarray) -> str:
    """An image by its pixels: what two images with one name show is the same."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def _spread(values: np.ndarray) -> float:
    """The mean distance of two of some rows (n, d)."""
    apart = np.sqrt(((values[:, None] - values[None]) ** 2).sum(axis=2))
    return float(apart.sum() / (len(values) * (len(values) - 1)))


def impressions(eyes: Eyes, rows: np.ndarray, pool: SampleSet) -> Mapping[int, Impression]:
    """What is seen of some rows of a pool, by row."""
    wanted = np.unique(rows)
    return dict(zip(wanted.tolist(), eyes.seen(pool.data[wanted]), strict=True))
