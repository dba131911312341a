"""PNG and JPEG files: one decoded, one encoded, and what folders and zips of them share."""

import hashlib
import io
import math
import os
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ..core.progress import counted
from ..core.sets import SampleSet
from ..store.outside import Budget
from .base import BEGINNING_BYTES, FEW_FILES, Dataset, tally
from .headers import Header, header, kind_of, without_words
from .large import resize_one
from .listing import SUFFIXES, Listing

FILE_BYTES = 2**28  # the largest file that is read; a zip of 42 kB can claim 4.5 PB, a file with holes anything
THREAD_IMAGES = 8  # images that a thread decodes at a time: a small one takes no longer than a change of threads
THREAD_PIXELS = 2**21  # and so many pixels
STRIP_PIXELS = 2**22  # pixels that change their form at a time
HELD = 64  # pictures that whoever looks at them one after the other holds together, as published networks do
LOOKED_AT = 20  # files whose beginnings say whether pictures are grey
KIND_BYTES = 8  # of a file say which format it has
TOLD_FAULTS = 20


def decode(content: bytes, name: str, channels: int) -> np.ndarray:
    """The pixels of a PNG or JPEG file: (channels, H, W) uint8.

    Grey becomes colour by repetition, colour becomes grey by the luma of ITU-R BT.601; palettes and bilevel images are
    expanded; a transparency that hides nothing is dropped; an EXIF orientation is applied; colour profiles, and text or
    metadata that nobody can read, are ignored. Of a phone's several pictures in one JPEG file the first is read.
    Raises ValueError, which names the file, for what has no such rule: 16 bits a channel, CMYK, visible transparency,
    animations, other formats whatever their suffix says, more pixels than Pillow's limit against decompression bombs,
    and damaged files.
    """
    from PIL import Image

    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:25] == b"\x10":  # Pillow would cut colours to 8 bits unasked
        raise ValueError(f"{name!r}: has 16 bits a channel, allowed are 8")
    try:
        image = _loaded(content)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"{name!r}: has more than the {Image.MAX_IMAGE_PIXELS} pixels that are allowed") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"{name!r}: is neither PNG nor JPEG, which are allowed{_found_in(content)}") from None
    except MemoryError:
        raise
    except Exception as error:  # what Pillow raises for damaged files is of many kinds
        raise ValueError(f"{name!r}: is damaged: {error}") from None
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # whose others are previews, or the same from a second lens
        raise ValueError(f"{name!r}: has {frames} frames, allowed is 1")
    turned = _orientation(image)
    pixels = np.empty((channels, image.height, image.width), np.uint8)
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        strip = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        pixels[:, top:bottom] = _plain(strip, name, channels)
    del image, strip  # a large one takes more than its pixels
    return pixels if turned is None else np.ascontiguousarray(turned(pixels))


def _loaded(content: bytes) -> Any:
    """Pillow's image with its pixels. Text and profiles that it stumbles over are left out."""
    from PIL import Image

    def load(content: bytes) -> Any:
        image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
        if image.width * image.height > Image.MAX_IMAGE_PIXELS:  # Pillow itself only warns, up to twice as many
            raise Image.DecompressionBombError
        image.load()
        return image

    try:
        return load(content)
    except (MemoryError, Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise
    except Exception:  # of whatever kind
        if (bare := without_words(content)) == content:
            raise
        return load(bare)


def _found_in(content: bytes) -> str:
    """What a file is that is neither PNG nor JPEG, as far as its first bytes tell."""
    begins = {b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\0\x05\x16\x07": "a resource fork"}
    kind = next((kind for begin, kind in begins.items() if content.startswith(begin)), None)
    kind = "WebP" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else kind
    kind = "AVIF or HEIF" if content[4:8] == b"ftyp" else kind
    return f"; it is {kind}" if kind else "" if content else "; it is empty"


Turn = Callable[[np.ndarray], np.ndarray]
TURNS: dict[int, Turn] = {  # EXIF's orientation -> what puts pixels (C, H, W) upright
    2: lambda pixels: pixels[:, :, ::-1],
    3: lambda pixels: pixels[:, ::-1, ::-1],
    4: lambda pixels: pixels[:, ::-1],
    5: lambda pixels: pixels.transpose(0, 2, 1),
    6: lambda pixels: pixels[:, ::-1].transpose(0, 2, 1),
    7: lambda pixels: pixels[:, ::-1, ::-1].transpose(0, 2, 1),
    8: lambda pixels: pixels.transpose(0, 2, 1)[:, ::-1],
}


def _orientation(image: Any) -> Turn | None:
    """What puts a picture upright; None where it is, or where its metadata is nothing that can be read."""
    try:
        return TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # whatever Pillow raises of metadata that are none: the pixels are there all the same
        return None


def _plain(image: Any, name: str, channels: int) -> np.ndarray:
    """The pixels (1 or 3, H, W) of a picture, or a part of one, in grey or RGB."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise ValueError(f"{name!r}: has transparent pixels, allowed are opaque images")
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "P", "RGB"):
        raise ValueError(f"{name!r}: has the colour mode {image.mode!r}, allowed are grey, RGB and palettes")
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


class Stored(NamedTuple):
    """A file's content, and the bytes that it takes where it is stored."""

    content: bytes
    size: int


Decoded = np.ndarray | ValueError  # what keeps a picture from being read stands in its place


def _decoded(
    files: Iterable[tuple[str, Stored | ValueError]], pixels_of: Callable[[str, bytes], np.ndarray], budget: Budget
) -> Iterator[Decoded]:
    """The pixels of named files in order; Pillow lets other threads run while it decodes."""

    def pixels(part: list[tuple[str, Stored | ValueError]]) -> list[Decoded]:
        return [_or_fault(pixels_of, name, found) for name, found in part]

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ahead: deque[tuple[Future[list[Decoded]], list[int]]] = deque()
    held: deque[int] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in _parts(files):
                taken = [budget.take(*_sizes(found), name) for name, found in part]
                ahead.append((pool.submit(pixels, part), taken))
                if len(ahead) > threads:
                    yield from _released(*ahead.popleft(), held, budget)
            while ahead:
                yield from _released(*ahead.popleft(), held, budget)
        finally:  # also where the reader has had enough
            for task, _ in ahead:
                task.cancel()


def _released(task: "Future[list[Decoded]]", taken: list[int], held: deque[int], budget: Budget) -> Iterator[Decoded]:
    """The pictures of a part, the last of which are still held by whoever took them."""
    for picture, one in zip(task.result(), taken, strict=True):
        held.append(one)
        yield picture
        if len(held) > HELD:
            budget.give(held.popleft())


def _or_fault(pixels_of: Callable[[str, bytes], np.ndarray], name: str, found: Stored | ValueError) -> Decoded:
    if isinstance(found, ValueError):
        return found
    try:
        return pixels_of(name, found.content)
    except ValueError as error:
        return error


def _parts(files: Iterable[tuple[str, Stored | ValueError]]) -> Iterator[list[tuple[str, Stored | ValueError]]]:
    """The files in parts that a thread decodes at a time: a few small ones, or one that is large."""
    part: list[tuple[str, Stored | ValueError]] = []
    pixels = 0
    for name, found in files:
        part.append((name, found))
        pixels += _sizes(found)[0]
        if len(part) == THREAD_IMAGES or pixels > THREAD_PIXELS:
            yield part
            part, pixels = [], 0
    if part:
        yield part


def _sizes(found: Stored | ValueError) -> tuple[int, int]:
    """The bytes of a picture in memory, as its header says, and on disk."""
    from PIL import Image

    said = None if isinstance(found, ValueError) else header(found.content)
    if said is None or said.width * said.height > Image.MAX_IMAGE_PIXELS:  # which is not decoded
        return 0, 0
    return 3 * said.width * said.height, found.size


def encode(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file of (1 or 3, H, W) uint8 pixels; the same pixels give the same bytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(stream, "PNG")
    return stream.getvalue()


class Pictures(Dataset):
    """What folders and zips share: names, labels and bytes in, images of one size out."""

    path: Path = Field(description="the folder or the zip")
    channels: Literal[1, 3] | None = Field(
        None,
        description="1 for grey, 3 for RGB; files of the other kind are converted; null: grey where all files are",
    )
    crop: Literal["none", "centre"] = Field("none", description="centre: cut the largest square from the middle first")
    labels: Literal["read", "ignore"] = Field("read", description="ignore: there are none, whatever the files say")

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Labels are spoken of where they are ignored: what is said of other data has been said before."""
        said = handler(self)
        if said.get("labels") == "read":
            del said["labels"]
        return said

    @abstractmethod
    def listing(self) -> Listing:
        """The images in order, with their labels, and what is passed over. Raises ValueError for what has no list."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[Callable[..., Stored]]:
        """What gives the bytes of a named image, within it, or the first so many: ``content(name, most)``.

        That raises ValueError for what cannot be read.
        """

    @abstractmethod
    def stored_bytes(self, names: Sequence[str]) -> int:
        """The bytes that the named images take where they are stored."""

    def check(self) -> list[str]:
        try:
            self._found()
        except ValueError as error:
            return [str(error)]
        return []

    def _found(self) -> Listing:
        """The images, of which there is one at least. Raises ValueError where there is none, or no list of them."""
        found = self.listing()
        if not found.names:
            passed = f"; passed over: {found.passed}" if found.passed else ""
            raise ValueError(f"path: {str(self.path)!r} has no images; allowed are {', '.join(SUFFIXES)}{passed}")
        return found

    def count(self) -> int:
        return len(self._found().names)

    def fingerprint(self) -> str:
        """As any data set's; a name may have bytes that are no UTF-8, for which the common form has no letters."""
        try:
            return super().fingerprint()
        except UnicodeEncodeError:
            sha, files = hashlib.sha256(), self.files()
            for file in files:
                sha.update(os.fsencode(file.relative_to(self.path)) + f" {file.stat().st_size}\n".encode())
                if len(files) <= FEW_FILES:
                    with file.open("rb") as stream:
                        sha.update(stream.read(BEGINNING_BYTES))
            return sha.hexdigest()[:16]

    def stored_shape(self) -> tuple[int, int, int]:
        names = self._found().names
        with self.opened() as content:
            return decode(content(names[0]).content, names[0], self._depth(names, content)).shape

    def depth(self, names: Sequence[str]) -> int:
        """The channels that images are read with: as is asked for, or 1 where the files that are looked at are grey."""
        if self.channels is not None:
            return self.channels
        with self.opened() as content:
            return self._depth(names, content)

    def _depth(self, names: Sequence[str], content: Callable[..., Stored]) -> int:
        if self.channels is not None:
            return self.channels
        looked_at = names[:: max(1, len(names) // LOOKED_AT)]
        said = [_header_of(content, name) for name in looked_at]
        return 1 if said and all(one is not None and one.channels == 1 for one in said) else 3

    def kinds(self, names: Sequence[str]) -> Counter[str]:
        """How many of the named images are stored as PNG, and how many as JPEG."""
        with self.opened() as content:
            found = (_stored(lambda name: content(name, KIND_BYTES), name) for name in names)
            return Counter(kind_of(one.content) or "neither" for one in found if isinstance(one, Stored))

    def labelled(self) -> int:
        self.require()
        labels = self.listing().labels
        return 0 if labels is None else max(labels) + 1

    def label_counts(self) -> dict[int, int] | None:
        self.require()
        labels = self.listing().labels
        return None if labels is None else tally(labels)

    def summary(self) -> str:
        return self.listing().said

    def pictures(self) -> Iterator[np.ndarray]:
        """The images in order, (channels, H, W) uint8, each of its own size, decoded by threads that run ahead.

        Only the few that are ahead lie in memory. Raises ValueError, as :func:`decode` and ``opened`` do.
        """
        for found in self.decoded(self.listing().names):
            if isinstance(found, ValueError):
                raise found
            yield found

    def decoded(self, names: Sequence[str]) -> Iterator[Decoded]:
        """The named images in order, as ``pictures`` gives them, or in an image's place what keeps it from being read.

        Raises ValueError where they would come to more memory than their files account for.
        """
        with self.opened() as content:
            channels = self._depth(names, content)

            def pixels_of(name: str, file: bytes) -> np.ndarray:
                said = header(file) if self.channels is None and channels == 1 else None
                if said and said.channels != 1:
                    raise ValueError(
                        f"{name!r}: is in colour, and other files are grey; say which to read: channels: 1 or 3"
                    )
                return decode(file, name, channels)

            files = ((name, _stored(content, name)) for name in names)
            yield from counted(
                _decoded(files, pixels_of, Budget(f"path: {str(self.path)!r}")), "pictures read", len(names)
            )

    def load(self) -> SampleSet:
        """As any data set's; the lineage says with how many channels."""
        samples = super().load()
        options = {**samples.lineage["options"], "channels": samples.data.shape[1]}
        return replace(samples, lineage={**samples.lineage, "options": options})

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        found = self.listing()
        return self.stacked(found.names), None if found.labels is None else np.asarray(found.labels, np.int64)

    def stacked(self, names: Sequence[str]) -> np.ndarray:
        """The named images, (n, channels, H, W) uint8, resized one by one, so that large ones need not lie together.

        Raises ValueError that names each that cannot be read, or has another size.
        """
        faults, budget = [], Budget(f"path: {str(self.path)!r}")
        images: np.ndarray | None = None
        for row, (name, image) in enumerate(zip(names, self.decoded(names), strict=True)):
            if isinstance(image, ValueError):
                faults.append(image)
                continue
            if images is None:
                sides = image.shape[1:] if self.resolution is None else (self.resolution, self.resolution)
                claimed = len(names) * len(image) * math.prod(sides)
                budget.take(claimed, self.stored_bytes(names))
            try:
                image = self._sized(name, image)
                if images is None:
                    images, first = np.empty((len(names), *image.shape), np.uint8), name
                if image.shape != images.shape[1:]:
                    sides, like = (" x ".join(map(str, shape[-2:])) for shape in (image.shape, images.shape))
                    raise ValueError(
                        f"{name!r}: has {sides} pixels, {first!r} has {like}; "
                        "set resolution (--resolution N) to make them equal"
                    )
                images[row] = image
            except ValueError as error:
                faults.append(error)
        if faults:
            raise ValueError(f"path: {str(self.path)!r}: {said_of(faults, len(names))}")
        assert images is not None
        return images

    def _sized(self, name: str, image: np.ndarray) -> np.ndarray:
        """A picture as it is asked for: cut, and at the resolution."""
        height, width = image.shape[1:]
        if self.crop == "centre":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            image = image[:, top : top + side, left : left + side]
        elif self.resolution is not None and height != width:
            raise ValueError(
                f"{name!r}: has {height} x {width} pixels, and only square pictures can be resized; "
                "set crop: centre (--crop centre)"
            )
        if self.resolution is None:
            return image
        return resize_one(image, self.resolution, self.resize)


def _stored(content: Callable[[str], Stored], name: str) -> Stored | ValueError:
    try:
        return content(name)
    except ValueError as error:
        return error


def _header_of(content: Callable[[str], Stored], name: str) -> Header | None:
    found = _stored(content, name)
    return None if isinstance(found, ValueError) else header(found.content)


def said_of(faults: Sequence[ValueError], count: int) -> str:
    """What is wrong with some of so many images, a line each; of one alone its own words.

    Where one option cures all of them it is said once, at the top.
    """
    if len(faults) == 1:
        return str(faults[0])
    said = [str(fault) for fault in faults]
    (cure, *others) = sorted({one.rpartition("; ")[2] for one in said})
    alike = not others and cure.startswith(("set ", "say "))
    head = f"{len(faults)} of {count} images cannot be read{f' as they are; {cure}' if alike else ''}:"
    told = [f"- {one.removesuffix(f'; {cure}') if alike else one}" for one in said[:TOLD_FAULTS]]
    more = [f"- and {len(faults) - TOLD_FAULTS} more"] if len(faults) > TOLD_FAULTS else []
    return "\n".join([head, *told, *more])
