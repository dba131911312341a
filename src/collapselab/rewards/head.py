"""A linear head on embeddings, from a file: how taste is most often learnt (aesthetic scores, preference models)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..core.choice import FileName, Options
from ..core.distances import on_host
from ..core.facts import Facts
from ..core.sets import SampleSet
from ..features.base import ExtractorName

if TYPE_CHECKING:
    from ..features import Features


class HeadOptions(Options):
    """The head, and what it looks at."""

    file: FileName = Field(
        min_length=1, description="safetensors or npz with weight (d,) or (1, d), and bias, () or (1,), if there is one"
    )
    extractor: ExtractorName = Field(description="whose features it looks at")
    normalise: bool = Field(False, description="whether features are brought to length 1 before, as of CLIP they are")


def linear_head(samples: SampleSet, seen: "Mapping[str, Features]", options: HeadOptions) -> np.ndarray:
    """w . f(x) + b of the features f of a sample, or of f / |f|: (n,) float64, in the units of the head.

    Raises ValueError for a file that cannot be read, holds something else, or is of features of another width.
    """
    weight, bias = read_head(Path(options.file))
    if not len(samples):
        return np.empty(0)
    features = np.asarray(on_host(seen[options.extractor].values), np.float64)
    if features.shape[1] != len(weight):
        raise ValueError(
            f"file: {options.file} is a head of {len(weight)} numbers, {options.extractor!r} gives {features.shape[1]}"
        )
    if options.normalise:
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        features = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return np.einsum("nd,d->n", features, weight) + bias  # row by row: a product of matrices rounds by their size


def fault(facts: Facts, options: HeadOptions) -> str:
    """A file that is no head, or one of features of another width. Of a file that is not there others tell."""
    path = Path(options.file)
    if not path.exists():
        return ""
    try:
        weight, _ = read_head(path)
    except ValueError as error:
        return str(error)
    width = len(facts.columns(options.extractor))
    if not width or len(weight) == width:
        return ""
    return f"file: {options.file} is a head of {len(weight)} numbers, {options.extractor!r} gives {width}"


def read_head(path: Path) -> tuple[np.ndarray, float]:
    """The weight (d,) float64 and the bias of a linear head. Nothing in the file is run.

    Raises ValueError, which names the file, for anything but finite numbers ``weight`` and ``bias`` in one of the two
    formats.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files}
        else:
            found = load_file(path)
    except FileNotFoundError:
        raise ValueError(f"file: there is no {path}") from None
    except (OSError, ValueError, EOFError, KeyError, SafetensorError) as error:
        raise ValueError(f"file: {path} is neither safetensors nor npz of numbers: {str(error)[:200]}") from None
    shapes = {name: f"{name} {array.shape}" for name, array in found.items()}
    fits = "weight" in found and found.keys() <= {"weight", "bias"}
    weight, bias = found.get("weight", np.empty(0)), found.get("bias", np.zeros(1))
    fits = fits and weight.size > 0 and weight.shape in ((weight.size,), (1, weight.size)) and bias.size == 1
    numbers = all(np.issubdtype(one.dtype, np.floating) and np.isfinite(one).all() for one in (weight, bias))
    if not (fits and numbers):
        said = ", ".join(shapes.values()) or "nothing"
        raise ValueError(f"file: {path} holds {said}; allowed are finite numbers weight (d,) and bias ()")
    return weight.reshape(-1).astype(np.float64), float(bias.reshape(-1)[0])
