"""Sample grids as PNG: sheets of images side by side, and those of a study in the order in which a reader compares."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..core.kinds import KINDS
from ..data.provenance import Origin, chunks
from ..study.selected import Selecting
from ..verdicts import StudyFacts
from .texts import Texts

Sorted = Mapping[str, Mapping[int, tuple[np.ndarray, np.ndarray]]]
"""arm -> generation -> the first samples that were kept, and the first that were not, (n, C, H, W) uint8 each."""

Grids = Mapping[str, Mapping[int, np.ndarray]]
"""arm -> generation -> (n, C, H, W) uint8, where image i has the same latents in every generation and arm."""


class Pictures(NamedTuple):
    """What the page shows of samples. real: real images of the same classes, place by place, (n, C, H, W) uint8, or
    None. selecting: what selecting has done. texts: samples that are no pictures. clips: log-mel pictures that can be
    heard, (n, bands, frames) each. real_clips: real ones beside them.
    """

    grids: Grids
    real: np.ndarray | None = None
    selecting: Selecting = Selecting()
    texts: Texts = Texts()
    clips: Grids = MappingProxyType({})
    real_clips: np.ndarray | None = None


GRID_COLUMNS, GRID_ROWS = 10, 4
GRID_SIDE, GRID_PIXELS, GRID_BYTES = 96, 32, 1_500_000
LABEL_SIDE = 12  # of the letters beside a row, in pixels


def grid_png(
    images: np.ndarray, columns: int | None = None, origin: Origin | None = None, labels: Sequence[str] = ()
) -> bytes:
    """A PNG of images side by side, each enlarged by whole pixels or, if large, shrunk by averaging.

    origin: where the images come from, which the file then tells.

    images: (n, C, H, W) uint8 with one or three channels. columns: images in a row, all of them by default. labels:
    what stands to the left of each row, in as many lines as it has; rows are as high as the highest needs.
    """
    images = np.asarray(images)
    if labels and len(labels) != (rows := -(-len(images) // (columns or len(images) or 1))):
        raise ValueError(f"labels: found {len(labels)}, allowed is one for each of {rows} rows")
    if not KINDS["images"].holds(images) or images.shape[1] not in (1, 3):
        raise ValueError(f"images: found {images.dtype} {images.shape}, allowed is uint8 (n, 1 or 3, H, W)")
    n, channels, height, width = images.shape
    shrink = -(-max(height, width) // GRID_SIDE)
    if shrink > 1:
        height, width = height // shrink, width // shrink
        cut = images[:, :, : height * shrink, : width * shrink].reshape(n, channels, height, shrink, width, shrink)
        images = np.rint(cut.mean(axis=(3, 5))).astype(np.uint8)
    enlarge = max(1, GRID_PIXELS // max(height, width))
    images = images.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    columns = columns or n
    rows, (height, width) = -(-n // columns), images.shape[2:]
    sheet = np.full((rows, columns, height + 2, width + 2, channels), 255, np.uint8)
    for index, image in enumerate(images):
        sheet[index // columns, index % columns, 1:-1, 1:-1] = image.transpose(1, 2, 0)
    sheet = sheet.transpose(0, 2, 1, 3, 4).reshape(rows, height + 2, columns * (width + 2), channels)
    sheet = _labelled(sheet, labels) if labels else sheet
    sheet = sheet.reshape(-1, *sheet.shape[2:])
    stream = io.BytesIO()
    told = None if origin is None else chunks(origin)
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(stream, "PNG", optimize=True, pnginfo=told)
    return stream.getvalue()


def _labelled(sheet: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Rows of a sheet, (rows, H, W, C), with their labels to the left, each in the middle of its height."""
    font, draw = ImageFont.load_default(LABEL_SIDE), ImageDraw.Draw(Image.new("L", (1, 1)))
    boxes = [draw.multiline_textbbox((0, 0), label, font, spacing=2) for label in labels]
    wide, high = (math.ceil(max(box[side] for box in boxes)) + LABEL_SIDE // 2 for side in (2, 3))
    rows, height, width, channels = sheet.shape
    found = np.full((rows, max(height, high), wide + width, channels), 255, np.uint8)
    above = (found.shape[1] - height) // 2
    found[:, above : above + height, wide:] = sheet
    for row, label, box in zip(found, labels, boxes, strict=True):
        written = Image.new("L", (wide, len(row)), 255)
        place = (LABEL_SIDE // 4, (len(row) - box[3] - box[1]) // 2)
        ImageDraw.Draw(written).multiline_text(place, label, 0, font, spacing=2)
        row[:, :wide] = np.asarray(written)[..., None]
    return found


def sheets_and_rows(facts: StudyFacts, grids: Grids, real: np.ndarray | None = None) -> dict[str, Any]:
    """The sample grids: whole sheets of the first and the last generation, and a row of each generation per arm.

    Sheets have the same latents at the same place; arms with the same pictures, as in a generation 0 that they share,
    have one sheet. real: a row of real images, which stands first beside them all. As many columns as fit the file's
    share of bytes.
    """
    given = {arm: dict(sorted(grids[arm].items())) for arm in facts.arms if grids.get(arm)}
    if not given:
        return {"sheets": [], "rows": [], "real": "", "generations": []}
    images = next(iter(next(iter(given.values())).values()))
    size = min(images[0].nbytes, images.shape[1] * GRID_SIDE**2)
    count = sum(map(len, given.values())) + 2 * GRID_ROWS * len(given)
    count += 0 if real is None else len(given) + 2
    columns = int(np.clip(GRID_BYTES // max(1, size * count), 2, GRID_COLUMNS))

    def png(arms: Sequence[str], generation: int, count: int, across: int | None = None) -> str:
        origin = Origin(facts.name, " ".join(arms), generation=generation)
        sheet = grid_png(given[arms[0]][generation][:count], across, origin)
        return base64.b64encode(sheet).decode()

    sheets: list[list[dict[str, Any]]] = []
    for end in (min, max):
        alike: dict[tuple[int, bytes], list[str]] = {}
        for arm, found in given.items():
            if end is min or len(found) > 1:
                generation = end(found)
                alike.setdefault((generation, found[generation].tobytes()), []).append(arm)
        sheets.append(
            [
                {"arms": arms, "generation": t, "png": png(arms, t, GRID_ROWS * columns, columns)}
                for (t, _), arms in alike.items()
            ]
        )
    rows = [
        {"arm": arm, "rows": [(t, png([arm], t, columns)) for t in found]}
        for arm, found in given.items()
        if len(found) > 1
    ]
    origin = Origin(facts.name, source="held-out real images", generated=False)
    row = "" if real is None else base64.b64encode(grid_png(real[:columns], columns, origin)).decode()
    generations = sorted({t for one in rows for t, _ in one["rows"]})
    return {"sheets": [sheet for sheet in sheets if sheet], "rows": rows, "real": row, "generations": generations}


def kept_and_discarded(study: str, sorted_out: Sorted) -> list[dict[str, Any]]:
    """Contact sheets of what was kept and of what was discarded: an arm each, with a row of both a generation.

    As many columns as fit the file's share of bytes; what one row has fewer of is white.
    """
    images = [side for found in sorted_out.values() for pair in found.values() for side in pair if len(side)]
    if not images:
        return []
    size = max(min(one[0].nbytes, one.shape[1] * GRID_SIDE**2) for one in images)
    columns = int(np.clip(GRID_BYTES // max(1, size * len(images)), 2, GRID_COLUMNS))

    def png(side: np.ndarray, arm: str, generation: int) -> str:
        origin = Origin(study, arm, generation=generation)
        return base64.b64encode(grid_png(side[:columns], columns, origin)).decode() if len(side) else ""

    return [
        {"arm": arm, "rows": [(t, *(png(side, arm, t) for side in found[t])) for t in sorted(found)]}
        for arm, found in sorted_out.items()
    ]
