"""How well a picture fits its caption, by a CLIP model whose weights are given."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ..core.choice import FileName, Options
from ..core.distances import on_host
from ..core.errors import Foreign
from ..core.sets import SampleSet
from ..features.base import ExtractorName

if TYPE_CHECKING:
    from ..features import Features


class CaptionOptions(Options):
    """The captions, and who reads them."""

    captions: tuple[str, ...] = Field(
        min_length=1, description="one for all pictures, or one for each class: 0, 1, ... by the samples' labels"
    )
    text: FileName = Field(
        min_length=1, description="folder with the text model and the tokenizer of a CLIP, as transformers saves them"
    )
    extractor: ExtractorName = Field("clip", description="who embeds pictures: the image model of the same CLIP")


def caption(samples: SampleSet, seen: "Mapping[str, Features]", options: CaptionOptions) -> np.ndarray:
    """The cosine between the embedding of a picture and that of its caption, in -1 .. 1: (n,) float64.

    cos(E_I(x), E_T(c)) (Radford et al. 2021, arXiv 2103.00020; times 2.5 and cut at 0 it is the CLIPScore of Hessel et
    al. 2021, arXiv 2104.08718, which keeps the same samples). Raises ValueError for captions by class of samples
    without labels or of other classes, Foreign for a folder of another network, and ValueError where text and pictures
    are embedded in spaces of unlike width.
    """
    labels = _which(samples, len(options.captions))
    if not len(samples):
        return np.empty(0)
    words = embedded(Path(options.text), options.captions)
    pictures = np.asarray(on_host(seen[options.extractor].values), np.float64)
    if pictures.shape[1] != words.shape[1]:
        raise ValueError(
            f"text: {options.text} embeds captions in {words.shape[1]} numbers, {options.extractor!r} pictures in "
            f"{pictures.shape[1]}: they are not of one CLIP"
        )
    own = words[labels]
    return np.einsum("nd,nd->n", pictures, own) / np.maximum(np.linalg.norm(pictures, axis=1), 1e-300)


def _which(samples: SampleSet, captions: int) -> np.ndarray:
    """The caption of each sample, (n,) int64."""
    if captions == 1:
        return np.zeros(len(samples), np.int64)
    if samples.labels is None:
        raise ValueError(f"captions: found {captions}, and samples without labels; allowed is one for all")
    if len(samples) and not 0 <= samples.labels.min() <= samples.labels.max() < captions:
        found = f"{samples.labels.min()} to {samples.labels.max()}"
        raise ValueError(f"captions: found {captions}, and labels {found}; allowed is one for each class")
    return samples.labels


@lru_cache(maxsize=4)
def embedded(folder: Path, captions: tuple[str, ...]) -> np.ndarray:
    """The embeddings of captions, of length 1: (captions, width) float64. Nothing is fetched, and no code is run.

    Raises Foreign for a folder that holds no text model of CLIP with its tokenizer.
    """
    from ..features.published import check_configuration, quiet
    from ..machine.compat import import_torchvision

    import_torchvision()  # transformers needs it
    import torch
    import transformers

    if not folder.is_dir():
        raise ValueError(f"text: there is no folder {folder}")
    if not (folder / "config.json").is_file():
        raise Foreign(folder, f"text: {folder} has no config.json, as the folder of a CLIP text model has")
    check_configuration(folder)
    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with quiet(transformers):
        try:
            network, found = transformers.CLIPTextModelWithProjection.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **own
            )
            tokens = transformers.CLIPTokenizer.from_pretrained(folder, **own)
            limit = network.config.max_position_embeddings
            told = tokens(list(captions), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        except Exception as error:  # the library lets through whatever its parts raise of a file
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise Foreign(folder, f"text: {folder} is no CLIP text model with its tokenizer: {said}") from None
    if missing := sorted([*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])]):
        raise Foreign(folder, f"text: {folder} is no CLIP text model: {len(missing)} tensors, as {missing[0]}, lack")
    with torch.inference_mode():
        values = network.eval()(**told).text_embeds.double().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)
