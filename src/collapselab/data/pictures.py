"""PNG and JPEG files: one decoded, one encoded, and what folders and zips of them share."""

import io
import json
import os
import zlib
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from .base import Dataset
from .resize import resize

SUFFIXES = (".png", ".jpg", ".jpeg")
THREAD_IMAGES = 8  # images that a thread decodes at a time: a small one takes no longer than a change of threads


def decode(content: bytes, name: str, channels: int) -> np.ndarray:
    """The pixels of a PNG or JPEG file: (channels, H, W) uint8.

    Grey becomes colour by repetition, colour becomes grey by the luma of ITU-R BT.601; palettes and bilevel images are
    expanded; a transparency that hides nothing is dropped; an EXIF orientation is applied; colour profiles are ignored.
    Raises ValueError, which names the file, for what has no such rule: 16 bits a channel, CMYK, visible transparency,
    animations, other formats whatever their suffix says, more pixels than Pillow's limit against decompression bombs,
    and damaged files.
    """
    from PIL import Image, ImageOps

    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:25] == b"\x10":  # Pillow would cut colours to 8 bits unasked
        raise ValueError(f"{name!r}: has 16 bits a channel, allowed are 8")
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
        if image.width * image.height > Image.MAX_IMAGE_PIXELS:  # Pillow itself only warns, up to twice as many
            raise Image.DecompressionBombError
        image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"{name!r}: has more than the {Image.MAX_IMAGE_PIXELS} pixels that are allowed") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"{name!r}: is neither PNG nor JPEG, which are allowed") from None
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error) as error:  # what Pillow raises for damaged files
        raise ValueError(f"{name!r}: is damaged: {error}") from None
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"{name!r}: has {image.n_frames} frames, allowed is 1")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise ValueError(f"{name!r}: has transparent pixels, allowed are opaque images")
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "P", "RGB"):
        raise ValueError(f"{name!r}: has the colour mode {image.mode!r}, allowed are grey, RGB and palettes")
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _decoded(files: Iterable[tuple[str, bytes]], channels: int) -> Iterator[np.ndarray]:
    """The pixels of named files in order; Pillow lets other threads run while it decodes."""

    def pixels(part: list[tuple[str, bytes]]) -> list[np.ndarray]:
        return [decode(content, name, channels) for name, content in part]

    files = iter(files)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ahead: deque[Future[list[np.ndarray]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while part := list(islice(files, THREAD_IMAGES)):
                ahead.append(pool.submit(pixels, part))
                if len(ahead) > threads:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:  # also where the reader has had enough
            for task in ahead:
                task.cancel()


def encode(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file of (1 or 3, H, W) uint8 pixels; the same pixels give the same bytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()


class Pictures(Dataset):
    """What folders and zips share: names, labels and bytes in, images of one size out."""

    path: Path = Field(description="the folder or the zip")
    channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB; files of the other kind are converted")
    crop: Literal["none", "centre"] = Field("none", description="centre: cut the largest square from the middle first")

    @abstractmethod
    def listing(self) -> tuple[Sequence[str], Sequence[int] | None]:
        """The names of the images in order, and their labels. Raises ValueError for what cannot be listed."""

    @abstractmethod
    def contents(self, names: Sequence[str]) -> Iterator[bytes]:
        """The bytes of the named images, one after the other."""

    def check(self) -> list[str]:
        try:
            names, _ = self.listing()
        except ValueError as error:
            return [str(error)]
        return [] if names else [f"path: {str(self.path)!r} has no images; allowed are {', '.join(SUFFIXES)}"]

    def count(self) -> int:
        self.require()
        return len(self.listing()[0])

    def stored_shape(self) -> tuple[int, int, int]:
        self.require()
        name = self.listing()[0][0]
        return decode(next(iter(self.contents([name]))), name, self.channels).shape

    def labelled(self) -> int:
        self.require()
        _, labels = self.listing()
        return 0 if labels is None else max(labels) + 1

    def pictures(self) -> Iterator[np.ndarray]:
        """The images in order, (channels, H, W) uint8, each of its own size, decoded by threads that run ahead.

        Only the few that are ahead lie in memory. Raises ValueError, as :func:`decode` and ``contents`` do.
        """
        names, _ = self.listing()
        return _decoded(zip(names, self.contents(names), strict=True), self.channels)

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Resized one by one, so that large pictures need not lie in memory together."""
        names, labels = self.listing()
        images: np.ndarray | None = None
        for row, (name, image) in enumerate(zip(names, self.pictures(), strict=True)):
            height, width = image.shape[1:]
            if self.crop == "centre":
                side = min(height, width)
                top, left = (height - side) // 2, (width - side) // 2
                image = image[:, top : top + side, left : left + side]
            elif self.resolution is not None and height != width:
                raise ValueError(
                    f"{name!r}: has {height} x {width} pixels, resized are square images; set crop: centre"
                )
            if self.resolution is not None:
                image = resize(image[None], self.resolution, self.resize)[0]
            if images is None:
                images = np.empty((len(names), *image.shape), np.uint8)
            if image.shape != images.shape[1:]:
                found, first = (" x ".join(map(str, shape[-2:])) for shape in (image.shape, images.shape))
                raise ValueError(
                    f"{name!r}: has {found} pixels, {names[0]!r} has {first}; set resolution to make them equal"
                )
            images[row] = image
        assert images is not None
        return images, None if labels is None else np.asarray(labels, np.int64)


def labels_of(names: Sequence[str], text: bytes, where: str) -> list[int] | None:
    """The labels of the named images from the text of a ``dataset.json``: one integer an image, or None."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: is not JSON: {error}") from None
    pairs = content.get("labels") if isinstance(content, dict) else None
    if pairs is None:
        return None
    try:
        labels = dict(pairs)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: labels must be null or a list of [name, label]") from None
    if len(labels) < len(pairs):
        raise ValueError(f"{where}: has two labels for one image")
    if strangers := sorted(labels.keys() - set(names), key=str):  # keys may be of any type
        raise ValueError(f"{where}: has a label for {strangers[0]!r}, which is not among the images")
    for name in names:
        if name not in labels:
            raise ValueError(f"{where}: has no label for {name!r}")
        if type(labels[name]) is not int or not 0 <= labels[name] < 2**63:
            raise ValueError(f"{where}: found the label {labels[name]!r} of {name!r}, allowed are integers from 0")
    return [labels[name] for name in names]
