"""Published networks as extractors: Inception in its two forms, DINOv2, CLIP.

Weights come from a path or a known folder, verified (see ``weights``); nothing here touches a network. All of them see
images of any size, grey or colour, resized on the device (``resize``), in micro-batches of one fixed size that are
padded, since a network's rounding depends on the size of its batch.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import Foreign
from ..core.progress import counted
from ..machine.compat import import_torchvision
from ..machine.device import device, exact
from ..store import weights as published
from .base import Features
from .resize import resize_into

if TYPE_CHECKING:
    import torch

BATCH = 64  # part of the definition: the facts name it
INCEPTION_SIDE = 299
MOST_SIDE, MOST_LAYERS, MOST_NUMBER = 4096, 1000, 1_000_000  # in the configurations of networks that are folders
# By them transformers would run other code than its own, or other kernels.
FOREIGN_KEYS = {
    "auto_map",
    "quantization_config",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
}
FACTS = {"batch": BATCH, "precision": "float32"}
INCEPTION_FACTS = {**FACTS, "resize": f"clean-fid's bicubic to {INCEPTION_SIDE}"}
VISION_FACTS = {**FACTS, "resize": "clean-fid's bicubic to the side in preprocessor_config.json"}

Images = Iterable[np.ndarray]  # (C, H, W) uint8 each: an array (n, C, H, W), or pictures of any sizes as they are read


class PublishedOptions(BaseModel):
    """Which weights a published network has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str | None = Field(
        None, description="path of the weights, a file or a folder; null: looked for as collapselab weights lists them"
    )


class Network(NamedTuple):
    """What an extractor runs: images (B, 3, side, side) float32 in 0..255 to values, or to values and probabilities."""

    side: int
    run: Callable[["torch.Tensor"], tuple["torch.Tensor", ...]]


# -- the extractors ---------------------------------------------------------------------------------------------------


def inception(data: Images, weights: Path | str | None = None) -> Features:
    """The pool3 layer of Inception-v3 as clean-fid defines it, (n, 2048) float32, and its opinion on 1,008 classes.

    Images are resized to 299 by 299 pixels and enter as (x - 128) / 128 (Parmar, Zhang and Zhu 2022). Probabilities
    are softmax(W f) of the features f without the bias of the output layer, as the Inception score has them (Salimans
    et al. 2016).

    data: (n, C, H, W) uint8, or images (C, H, W) uint8 one after the other. weights: path of inception-2015-12-05.pt;
    that file holds code, so that no other is loaded. Raises ValueError for other data and for other weights.
    """
    return _features("inception", data, weights, _inception)


def inception_torchvision(data: Images, weights: Path | str | None = None) -> Features:
    """The pooled layer of torchvision's Inception-v3, (n, 2048) float32, and its opinion on the 1,000 ImageNet classes.

    Another network than :func:`inception`, trained on other labels: its distances are not to be compared with those.
    Images are resized to 299 by 299 pixels and enter as (x / 255 - 1/2) / (1/2), as it was trained.

    data: as for :func:`inception`. weights: path of inception_v3_google-0cc3c7bd.pth, or of the same tensors in a
    safetensors file. Raises ValueError for other data and for other weights.
    """
    return _features("inception-torchvision", data, weights, _inception_torchvision)


def dinov2(data: Images, weights: Path | str | None = None) -> Features:
    """The class token of a DINOv2 transformer after its last normalisation, (n, width) float32 (Oquab et al. 2023).

    Images are resized to the side that its preprocessor_config.json says (224 as published) without cutting anything
    off, and normalised by the mean and deviation that stand there. Stein et al. (2023) find that distances in this
    space agree with people's judgement better than those in Inception's.

    data: as for :func:`inception`. weights: path of the folder that transformers reads, with safetensors. Raises
    ValueError for other data and for folders of other networks.
    """
    return _features("dinov2", data, weights, _dinov2)


def clip(data: Images, weights: Path | str | None = None) -> Features:
    """The image embedding of a CLIP model, (n, width) float32 and not normalised (Radford et al. 2021).

    Images are resized and normalised as for :func:`dinov2`; data, weights and errors are as there.
    """
    return _features("clip", data, weights, _clip)


# -- networks ---------------------------------------------------------------------------------------------------------


def _inception(path: Path, where: "torch.device") -> Network:
    import torch

    script = torch.jit.load(published.content("inception", path), map_location=where).eval()

    def run(images: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        with torch.jit.optimized_execution(False):  # otherwise kernels, and bits, change after the first batches
            values = script.layers((images - 128) / 128).flatten(1)
        return values, (values @ script.output.weight.T).softmax(1)

    return Network(INCEPTION_SIDE, run)


def _inception_torchvision(path: Path, where: "torch.device") -> Network:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    import_torchvision()
    from torchvision.models import inception_v3

    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            held = published.content("inception-torchvision", path)
            tensors = torch.load(held, map_location="cpu", weights_only=True)
        network = inception_v3(weights=None, init_weights=False, transform_input=False)
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:  # the latter lists all names, of which there are hundreds
        said = " ".join(str(error).split())[:200]
        raise Foreign(path, f"weights: {path} is not of torchvision's inception_v3: {said}") from None
    classify, network.fc = network.fc.to(where), torch.nn.Identity()
    network = network.eval().to(where)

    def run(images: "torch.Tensor") -> tuple["torch.Tensor", ...]:
        values = network(images / 127.5 - 1)
        return values, classify(values).softmax(1)

    return Network(INCEPTION_SIDE, run)


def _dinov2(path: Path, where: "torch.device") -> Network:
    return _transformer("Dinov2Model", "pooler_output", path, where)


def _clip(path: Path, where: "torch.device") -> Network:
    return _transformer("CLIPVisionModelWithProjection", "image_embeds", path, where)


def _transformer(kind: str, output: str, folder: Path, where: "torch.device") -> Network:
    import_torchvision()  # transformers needs it
    import torch
    import transformers

    side, mean, deviation = _preprocessing(folder)
    check_configuration(folder)
    network_of = getattr(transformers, kind)
    with quiet(transformers):
        try:
            with torch.device("meta"):  # how much memory it would take is known before it takes it
                expected = sum(weight.numel() for weight in network_of(_configuration(network_of, folder)).parameters())
            stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
            if expected > stored:  # of at least one byte a number
                raise Foreign(folder, f"weights: {folder} is not of a {kind}: {expected} numbers in {stored} bytes")
            network, found = network_of.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Foreign:
            raise
        except Exception as error:  # the library lets through whatever its parts raise of a file
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise Foreign(folder, f"weights: {folder} is not of a {kind}: {said}") from None
    if missing := sorted([*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])]):
        said = f"{len(missing)} of its tensors, as {missing[0]}, are missing"
        raise Foreign(folder, f"weights: {folder} is not of a {kind}: {said}")
    network = network.eval().to(where)
    mean, deviation = (255 * torch.tensor(values, device=where).view(-1, 1, 1) for values in (mean, deviation))
    return Network(side, lambda images: (getattr(network(pixel_values=(images - mean) / deviation), output),))


def _configuration(network_of: Any, folder: Path) -> Any:
    return network_of.config_class.from_pretrained(folder, local_files_only=True)


def check_configuration(folder: Path) -> None:
    """Raise Foreign where config.json asks for other code than transformers' own, or for what no such network is."""
    file = folder / "config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        pending = [("", said)]
        while pending:
            name, value = pending.pop()
            if name in FOREIGN_KEYS or (name.endswith("_layers") and isinstance(value, int) and value > MOST_LAYERS):
                raise ValueError(f"{name}: found {str(value)[:80]}, which published networks do not have")
            if isinstance(value, int | float) and abs(value) > MOST_NUMBER:
                raise ValueError(f"{name}: found {str(value)[:80]}, allowed are numbers up to {MOST_NUMBER}")
            if isinstance(value, dict | list):
                pending += value.items() if isinstance(value, dict) else ((name, item) for item in value)
        if not isinstance(said, dict):
            raise ValueError("found no mapping")
    except (ValueError, RecursionError) as error:
        raise Foreign(file, f"weights: {file}: {str(error)[:200]}") from None


def _preprocessing(folder: Path) -> tuple[int, list[float], list[float]]:
    """Side, mean and deviation of the images that a network was trained on, of values in 0..1."""
    file = folder / "preprocessor_config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        size = said.get("crop_size") or said["size"]
        side = size if isinstance(size, int) else size["height"]
        mean, deviation = said["image_mean"], said["image_std"]
        numbers = [float(value) for value in (*mean, *deviation)]
        if not (isinstance(side, int) and 1 <= side <= MOST_SIDE and len(mean) == len(deviation) == 3 and all(numbers)):
            raise ValueError("allowed are a square crop_size or size, and three numbers in image_mean and image_std")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Foreign(file, f"weights: {file} does not say how images enter: {error!r}") from None
    return side, mean, deviation


# -- running ----------------------------------------------------------------------------------------------------------


def _features(
    name: str, data: Images, weights: Path | str | None, load: Callable[[Path, "torch.device"], Network]
) -> Features:
    path, where = published.find(name, weights), device()
    with exact(where):
        values, *probabilities = through(_loaded(load, path, published.digest(path), where), data, where)
    return Features(values, probabilities=probabilities[0] if probabilities else None)


@lru_cache(maxsize=1)
def _loaded(load: Callable[[Path, "torch.device"], Network], path: Path, digest: str, where: "torch.device") -> Network:
    """The network, loaded once for all sample sets that a process looks at."""
    return load(path, where)


def through(network: Network, data: Images, where: "torch.device") -> list[np.ndarray]:
    """What the network makes of the images, row by row: arrays (n, d) float32, or only their first 0 rows of none.

    On the device lie one micro-batch of resized images and what the network made of two; on a GPU, the host reads and
    sends images while it computes. Raises ValueError for what is no image.
    """
    import torch

    with torch.inference_mode():
        held = torch.zeros(BATCH, 3, network.side, network.side, device=where)
        made: list[tuple[np.ndarray, ...]] = []
        waiting = None  # the last batch is fetched when the next is under way
        for filled in _fill(held, data, where):
            outputs = network.run(held)
            if waiting:
                made.append(_fetched(*waiting))
            waiting = outputs, filled
        made.append(_fetched(*waiting))
    return [np.concatenate(parts) for parts in zip(*made, strict=True)]


def _fill(held: "torch.Tensor", data: Images, where: "torch.device") -> Iterator[int]:
    """How many images ``held`` holds, resized, each time that it is full, and at the end."""
    images = iter(counted(data, "images"))
    part = list(islice(images, len(held)))
    while True:
        resize_into([_sent(image, where) for image in part], held)
        yield len(part)
        if not (part := list(islice(images, len(held)))):
            return


def _sent(image: np.ndarray, where: "torch.device") -> "torch.Tensor":
    import torch

    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[0] not in (1, 3):
        raise ValueError(f"data: found {image.dtype} of shape {image.shape}, allowed are uint8 images (1 or 3, H, W)")
    tensor = torch.from_numpy(np.array(image))  # a copy: mapped files are read-only
    return tensor.pin_memory().to(where, non_blocking=True) if where.type == "cuda" else tensor


def _fetched(outputs: tuple["torch.Tensor", ...], rows: int) -> tuple[np.ndarray, ...]:
    return tuple(output[:rows].float().cpu().numpy() for output in outputs)


class quiet:
    """Within it transformers neither draws bars nor lists the tensors that it leaves aside."""

    def __init__(self, transformers: Any):
        self.logging = transformers.utils.logging

    def __enter__(self) -> None:
        self.level, self.bars = self.logging.get_verbosity(), self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *error: Any) -> None:
        self.logging.set_verbosity(self.level)
        if self.bars:
            self.logging.enable_progress_bar()
