"""What happens to pictures between their making and a detector: written as JPEG, cut, made smaller."""

import io
from collections.abc import Callable, Mapping

import numpy as np


def jpeg(images: np.ndarray, quality: int = 75) -> np.ndarray:
    """Images after JPEG at a quality: (n, 1 or 3, H, W) uint8, colours at full resolution."""
    from PIL import Image

    found = np.empty_like(images)
    for at, image in enumerate(images):
        stream = io.BytesIO()
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=0)
        back = np.asarray(Image.open(stream))
        found[at] = back[None] if back.ndim == 2 else back.transpose(2, 0, 1)
    return found


def crop(images: np.ndarray, share: float = 0.9) -> np.ndarray:
    """The middle of images, a share of each side, enlarged to the size that they had: (n, C, H, W) uint8."""
    height, width = images.shape[2:]
    kept = [max(1, round(share * side)) for side in (height, width)]
    top, left = (height - kept[0]) // 2, (width - kept[1]) // 2
    return _to(images[:, :, top : top + kept[0], left : left + kept[1]], (height, width))


def shrink(images: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Images made smaller, to a share of each side, and enlarged again: (n, C, H, W) uint8."""
    height, width = images.shape[2:]
    return _to(_to(images, (max(1, round(share * height)), max(1, round(share * width)))), (height, width))


def _to(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images of a size, by Pillow's bicubic filter, which looks at as many pixels as one of the new ones covers."""
    from PIL import Image

    planes = images.reshape(-1, *images.shape[2:])
    made = [np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BICUBIC)) for plane in planes]
    return np.array(made, np.uint8).reshape(*images.shape[:2], *size)


ATTACKS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"jpeg": jpeg, "crop": crop, "resize": shrink}
"""name -> what is done, at the settings that stand in its defaults: JPEG at 75, nine tenths cut out, half the size."""
