"""What a vision-language model says of pictures."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import Foreign

WORDS = 20  # tokens of a description, at most


def described(folder: Path, images: np.ndarray) -> list[str]:
    """What the model of a folder says of each image (n, C, H, W) uint8, the likeliest word after the other.

    Raises ValueError for a folder that is not there, and Foreign for one that holds no model that describes pictures.
    """
    import torch

    network, processor = captioner_in(folder)
    said = []
    for image in images:  # one at a time: a description is its picture's own, whatever stands beside it
        pixels = np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)
        told = processor(images=np.ascontiguousarray(pixels), return_tensors="pt")
        with torch.inference_mode():
            words = network.generate(**told, max_new_tokens=WORDS, do_sample=False, num_beams=1)
        said.append(processor.batch_decode(words, skip_special_tokens=True)[0].strip())
    return said


@lru_cache(maxsize=1)
def captioner_in(folder: Path) -> tuple[Any, Any]:
    """The model of a folder, and what prepares its pictures. Nothing is fetched, and no code is run."""
    from ..features.published import check_configuration, quiet
    from ..machine.compat import import_torchvision

    import_torchvision()  # transformers needs it
    import torch
    import transformers

    if not folder.is_dir():
        raise ValueError(f"captioner: there is no folder {folder}")
    if not (folder / "config.json").is_file():
        raise Foreign(folder, f"captioner: {folder} has no config.json, as the folder of a vision-language model has")
    check_configuration(folder)
    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with quiet(transformers):
        try:
            network, found = transformers.AutoModelForImageTextToText.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **own
            )
            processor = transformers.AutoProcessor.from_pretrained(folder, **own)
        except Exception as error:  # the library lets through whatever its parts raise of a file
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise Foreign(folder, f"captioner: {folder} holds no model that describes pictures: {said}") from None
    if missing := sorted([*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])]):
        lack = f"{len(missing)} tensors, as {missing[0]}, lack"
        raise Foreign(folder, f"captioner: {folder} holds no model that describes pictures: {lack}")
    return network.eval(), processor
