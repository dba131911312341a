"""collapselab in Python: sets of samples measured, and looked at, without a study or a command line.

``collapselab.measure_sets`` gives the numbers, the record and the words of ``collapselab measure``, bit for bit: both
are one function. ``collapselab.features_of`` gives the features that metrics take, and ``collapselab.metrics`` has
these.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from .cli import measure as verb
from .cli.extractors import looks_outside
from .cli.options import chosen
from .core.images import RANGES, from_range
from .features import FEATURES, Features
from .machine.progress import shown
from .measure import sets
from .measure.sets import Measured as Measured

if TYPE_CHECKING:
    import torch


def measure_sets(
    samples: "str | PathLike[str] | np.ndarray | torch.Tensor",
    against: "str | PathLike[str] | np.ndarray | torch.Tensor",
    *,
    train: "str | PathLike[str] | np.ndarray | torch.Tensor | None" = None,
    extractor: "str | Iterable[str] | Mapping[str, str | PathLike[str] | Mapping[str, Any] | None] | None" = None,
    metric: "str | Iterable[str] | Mapping[str, Mapping[str, Any] | None] | None" = None,
    count: int | None = None,
    seed: int = 0,
    resolution: int | None = None,
    crop: str = "none",
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    progress: bool | None = None,
) -> Measured:
    """How samples compare with real ones: the same record as ``collapselab measure``, which prints well.

    samples: what is measured; against: real samples that it is compared with; train: real samples that the model was
    trained on, to look for copies and for what a perfect model scores. Each is

    - a path as the command takes it: a folder or zip of PNG and JPEG pictures, ``.npy``, ``.npz``
      (``real.npz:images``), ``.safetensors`` or ``.parquet``; or
    - an array of numpy or torch: images (n, H, W), (n, H, W, C) or (n, C, H, W) with C of 1 or 3, vectors (n, d) of
      real numbers, or categories (n,) of whole numbers. Images are uint8 from 0 to 255; of others ``value_range`` says
      which numbers are black and white: (0, 1), (-1, 1) or (0, 255). They become uint8, rounded as in a PNG file.

    extractor: feature spaces by name; of a mapping each with the path of its weights, or its options (``weights`` among
    them). Without any: ``inception`` for images, ``identity`` for numbers. metric: metrics by name, of a mapping with
    their options; without any, all that mean something. count: measure so many of each side, drawn by ``seed``.
    resolution: the side in pixels that pictures of folders and zips are shrunk to. crop: ``centre`` cuts them to
    squares before. channels: 1 reads them as grey, 3 as colours. progress: whether to show how far it is on the
    standard error; None: on a terminal.

    Raises ValueError with the words of the command for anything that cannot be measured, FileNotFoundError for a file
    that is not there.
    """
    given = {"samples": samples, "against": against} | ({} if train is None else {"train": train})
    form = {"resolution": resolution, "crop": crop, "channels": channels, "count": count, "seed": seed}
    with _plainly(), _shown("measure_sets", progress):
        read = _samples(given, value_range)
        return verb.measured(read, _extractors(extractor), _metrics(metric), **form)


def features_of(
    samples: "str | PathLike[str] | np.ndarray | torch.Tensor",
    extractor: str,
    *,
    options: Mapping[str, Any] | None = None,
    count: int | None = None,
    seed: int = 0,
    resolution: int | None = None,
    crop: str = "none",
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    progress: bool | None = None,
) -> Features:
    """What samples look like to an extractor: ``values`` (n, d), and if any ``classes`` (n,), ``probabilities`` (n, C).

    Metrics take them in the roles ``real`` and ``fake``: ``collapselab.metrics.recall(real, fake)``. options: of the
    extractor; ``weights`` among them is the path of what it looks through. All else is as for :func:`measure_sets`.
    """
    form = {"resolution": resolution, "crop": crop, "channels": channels, "count": count, "seed": seed}
    with _plainly(), _shown("features_of", progress):
        entry = chosen(FEATURES, extractor, "--extractor", looks_outside)
        (weights, settings) = _extractors({extractor: options})[extractor]
        found = sets.read(_samples({"samples": samples}, value_range), streamed=sets.streams([extractor]), **form)
        sets.survey(found)
        look = verb.look(entry, extractor, weights, settings, found["samples"])
        return entry.extract(found["samples"].data, look.weights, **look.options)


# -- what is handed over -----------------------------------------------------------------------------------------------


def _samples(given: Mapping[str, Any], value_range: tuple[float, float] | None) -> dict[str, Path | np.ndarray]:
    """Paths, and arrays in the form of a sample set's data. All faults are told together."""
    found, faults = {}, []
    for role, one in given.items():
        if isinstance(one, str | PathLike):
            found[role] = Path(one)
            continue
        try:
            found[role] = _array(role, one, value_range)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))
    return found


def _array(role: str, given: Any, value_range: tuple[float, float] | None) -> np.ndarray:
    if hasattr(given, "detach"):  # of torch, which need not be imported for it
        given = given.detach().cpu().numpy() if str(given.dtype) != "torch.bfloat16" else given.float().cpu().numpy()
    if not isinstance(given, np.ndarray) or isinstance(given, np.ma.MaskedArray):
        found = f"found {type(given).__name__}"
        raise ValueError(f"{role}: {found}, allowed are a path, a numpy array and a torch tensor")
    if given.ndim not in (3, 4):
        return given
    if given.dtype == np.uint8:
        return given
    if value_range is None:
        allowed = " or ".join(map(str, RANGES))
        raise ValueError(f"{role}: found images of {given.dtype} without value_range, allowed is to say it: {allowed}")
    return from_range(given, value_range, role)


def _extractors(said: Any) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """By name the path of the weights, or nothing, and the options."""
    if said is None:
        return {}
    found = {}
    for name, told in _named(said, "extractor").items():
        options = dict(told) if isinstance(told, Mapping) else {"weights": told}
        weights = options.pop("weights", None)
        found[name] = ("" if weights is None else str(weights), options)
    return found


def _metrics(said: Any) -> dict[str, dict[str, Any]]:
    """Options by name."""
    found = {name: {} if told is None else told for name, told in _named(said or (), "metric").items()}
    if wrong := [name for name, told in found.items() if not isinstance(told, Mapping)]:
        raise ValueError(f"metric {wrong[0]}: found {found[wrong[0]]!r}, allowed are options by name")
    return {name: dict(told) for name, told in found.items()}


def _named(said: Any, what: str) -> dict[str, Any]:
    if isinstance(said, Mapping):
        return dict(said)
    names = [said] if isinstance(said, str) else list(said)
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{what}: found {twice[0]!r} more than once; allowed is once")
    return dict.fromkeys(names)


# -- what is told ------------------------------------------------------------------------------------------------------


@contextmanager
def _plainly() -> Iterator[None]:
    """Within it a fault of an option is a ValueError, in the words of the command."""
    try:
        yield
    except typer.BadParameter as error:
        hint = str(error.param_hint or "").removeprefix("--")
        raise ValueError(f"{hint}: {error.message}" if hint else error.message) from None


def _shown(what: str, wanted: bool | None) -> Any:
    return shown(what) if wanted or (wanted is None and sys.stderr.isatty()) else nullcontext()
