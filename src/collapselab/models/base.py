"""What every model family offers, and what passes in and out of it."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from .. import seeds
from ..images import to_uint8, to_unit
from ..store import SampleSet

Kind = Literal["images", "vectors", "categories"]
"""What a sample is: (C, H, W) uint8, (d,) float32 or float64, or one int64."""

Progress = Callable[[int, float], bool | None]
"""Called often during training with (images seen, loss); returns True to ask the training to stop (Interrupted)."""

ODE_STEPS, PROBES = 32, 1  # of a log-likelihood; at 32 steps a Gaussian's is within 1e-3 bits per dimension


class Options(BaseModel):
    """Options of one model family: every field has its default, its range and its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def left_open(self) -> tuple[str, ...]:
        """Names of options that nobody set and that generation 0 chooses on validation data."""
        return ()

    def settled(self) -> Self:
        """The same with something for what is left open, for whom it makes no difference."""
        return self

    def check_kind(self, kind: Kind) -> None:
        """Raise ValueError where the options do not suit data of this kind, among those that the family takes."""

    def check_rows(self, rows: int) -> None:
        """Raise ValueError where the options cannot be fitted to so few rows."""


def with_preset(given: Any, presets: Mapping[str, Mapping[str, Any]], default: str) -> Any:
    """The options ``given``, and what the preset that they name, or the ``default``, has beside them.

    What is no mapping stays as it is. Raises ValueError for a preset that there is not.
    """
    if not isinstance(given, Mapping):
        return given
    name = given.get("preset", default)
    if not isinstance(name, str) or name not in presets:
        raise ValueError(f"preset: found {name!r}, allowed are {', '.join(map(repr, presets))}")
    return presets[name] | dict(given)


def check_betas(betas: tuple[float, float]) -> None:
    """Raise ValueError unless both decay rates of Adam are in [0, 1)."""
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas: found {list(betas)}, allowed are two numbers from 0 to below 1")


class Diverged(Exception):
    """Training met a loss that is not finite. In this field that is a result: it is recorded and shown."""

    def __init__(self, images_seen: int, loss: float):
        self.images_seen, self.loss = images_seen, loss
        super().__init__(f"diverged after {images_seen} images: the loss is {loss}")


class Interrupted(Exception):
    """Training was asked to stop and did; its state is in the checkpoint, if it was given one."""

    def __init__(self, images_seen: int):
        self.images_seen = images_seen
        super().__init__(f"interrupted after {images_seen} images")


def check_bias(sampling_bias: float) -> None:
    """Raise ValueError unless a sampling bias is in (0, 1]."""
    if not 0 < sampling_bias <= 1:
        raise ValueError(f"sampling_bias: found {sampling_bias!r}, allowed are numbers above 0 and up to 1")


def check_unguided(guide: Any | None, family: str) -> None:
    """Raise ValueError when a guide is given to a family whose samples have no trajectory to steer."""
    if guide is not None:
        raise ValueError(f"guide: found {guide!r}, allowed is none: samples of {family} cannot be guided")


def check_unbiased(sampling_bias: float, family: str) -> None:
    """Raise ValueError unless the sampling bias is 1, for a family that knows no other."""
    check_bias(sampling_bias)
    if sampling_bias != 1:
        raise ValueError(f"sampling_bias: found {sampling_bias!r}, allowed with {family} is 1")


@dataclass(frozen=True)
class TrainingSet:
    """data: (N, ...) as in a sample set. labels: (N,) int64, or None. weights: (N,) float64, 1 by default."""

    data: np.ndarray
    labels: np.ndarray | None
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.data)


def weighted_rows(training: TrainingSet, family: str, kinds: Sequence[Kind] = ("vectors",)) -> tuple[Any, Any]:
    """The rows of a training set that have weight, and their weights: (N, d) float64 and (N,) float64.

    Images are rows of their pixels in [-1, 1], in the order (C, H, W). kinds: "vectors", "images" or both, which the
    family takes. Raises ValueError for data of other kinds, weights below 0, or no row with weight, and Diverged when
    a number is not finite.
    """
    data, weights = np.asarray(training.data), np.asarray(training.weights, np.float64)
    images = data.dtype == np.uint8 and data.ndim == 4
    vectors = data.ndim == 2 and data.dtype in (np.float32, np.float64)
    if not ((images and "images" in kinds) or (vectors and "vectors" in kinds)):
        allowed = " and ".join(kinds)
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed with {family} are {allowed}")
    rows = to_unit(data).reshape(len(data), -1).astype(np.float64) if images else data.astype(np.float64)
    if not (np.isfinite(rows).all() and np.isfinite(weights).all()):
        raise Diverged(len(data), float("nan"))
    if (weights < 0).any() or not weights.any():
        raise ValueError(f"weights: allowed with {family} are numbers from 0 up, not all 0")
    seen = weights > 0
    return (rows, weights) if seen.all() else (rows[seen], weights[seen])


def dequantised(images: np.ndarray, seed: int) -> np.ndarray:
    """The pixels of uint8 images b as numbers (b + u - 1/2) / 127.5 - 1 with u uniform in (0, 1): (n, C H W) float64.

    With a density p of them, log p - C H W log 127.5 is a lower bound in expectation of the log-mass of the bytes
    (Theis, van den Oord and Bethge 2016, arXiv 1511.01844). u comes from the seed and the image's own bytes.
    """
    rows = images.reshape(len(images), math.prod(images.shape[1:]))
    names = (f"dequantise/{hashlib.sha256(row.tobytes()).hexdigest()}" for row in rows)
    uniform = [seeds.uniforms(seeds.seed_of(seed, None, None, name), 0, 1, rows.shape[1])[0] for name in names]
    return (rows + np.reshape(uniform, rows.shape) - 0.5) / 127.5 - 1


def symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of covariances (..., d, d).

    Unlike a Cholesky factor it exists for a collapsed covariance, and it changes continuously with it, so that arms
    that share their noise stay comparable.
    """
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def no_curve() -> dict[str, np.ndarray]:
    """A training curve without points, as a closed form has it: it takes no steps."""
    return {"curve.images_seen": np.empty(0, np.int64), "curve.loss": np.empty(0)}


def part(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Those whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def checked_shape(sizes: Sequence[int]) -> tuple[int, int, int]:
    """The shape (C, H, W) that a file says. Raises ValueError for what are no sizes of images, up to 4096 pixels."""
    shape = tuple(int(size) for size in sizes)
    if len(shape) != 3 or not all(1 <= size <= 4096 for size in shape):
        raise ValueError(f"shape: found {shape}, allowed are three numbers (C, H, W) from 1 to 4096")
    return shape


def checked_row_shape(sizes: Sequence[int]) -> tuple[int, ...]:
    """The shape of a row that a file says: :func:`checked_shape`, or (d,) of vectors with up to 2^20 numbers."""
    if len(sizes) != 1:
        return checked_shape(sizes)
    if not 1 <= int(sizes[0]) <= 2**20:
        raise ValueError(f"shape: found ({int(sizes[0])},), allowed is one number (d,) from 1 to {2**20}")
    return (int(sizes[0]),)


def image_shape(training: TrainingSet, classes: int, what: str = "training") -> tuple[int, int, int]:
    """The shape (C, H, W) of the images of a training set, or ``what`` else it is, for a network of so many classes.

    Raises ValueError unless it has uint8 images, weights that one can draw by, and, with classes, labels below them.
    """
    data = training.data
    if data.dtype != np.uint8 or data.ndim != 4 or not len(data):
        raise ValueError(
            f"{what} data: found {data.dtype} of shape {data.shape}, allowed are uint8 images (N, C, H, W), N > 0"
        )
    _check_rows(training, classes, what)
    return data.shape[1:]


def row_shape(training: TrainingSet, classes: int = 0, what: str = "training") -> tuple[int, ...]:
    """The shape of a row, (C, H, W) of uint8 images or (d,) of float vectors; otherwise as :func:`image_shape`."""
    data = training.data
    if not (data.ndim == 2 and np.issubdtype(data.dtype, np.floating) and data.size):
        if data.dtype != np.uint8 or data.ndim != 4 or not len(data):
            raise ValueError(
                f"{what} data: found {data.dtype} of shape {data.shape}, allowed are uint8 images (N, C, H, W) and "
                "float vectors (N, d), N > 0"
            )
        return image_shape(training, classes, what)
    _check_rows(training, classes, what)
    return data.shape[1:]


def _check_rows(training: TrainingSet, classes: int, what: str) -> None:
    labels, weights = training.labels, training.weights
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError(f"{what} weights: allowed are finite numbers from 0 up, not all 0")
    if classes and labels is None:
        raise ValueError(f"classes: found {classes}, but the {what} data has no labels; allowed is 0")
    if classes and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"classes: found {classes}, but the {what} data has labels {labels.min()} to {labels.max()}; "
            f"allowed are labels 0 to {classes - 1}"
        )


def in_batches(
    make: Callable[[int], np.ndarray], count: int, start: int, size: int, shape: Sequence[int]
) -> np.ndarray:
    """Rows ``start .. start + count`` of an endless sequence: (count, C, H, W) uint8, or (count, d) float64 where
    ``shape`` has one number.

    The sequence is cut into batches of ``size`` at fixed places, and every batch that holds a wanted row is computed
    whole: a row always has the same neighbours and the same place among them, so the same bits.
    make: batch -> its images (size, C, H, W), float in [-1, 1], or its vectors (size, d).
    """
    batches = range(start // size, -(-(start + count) // size))
    images = len(shape) == 3
    rows = np.empty((len(batches) * size, *shape), np.uint8 if images else np.float64)
    for index, batch in enumerate(batches):
        made = make(batch)
        rows[index * size : (index + 1) * size] = to_uint8(made) if images else made
    first = start - batches.start * size
    return rows[first : first + count]


class Judgement(NamedTuple):
    """What a known truth says of n samples.

    possible: (n,) bool, whether it can be a draw of the population at all. cell: (n,) int64, which cell of the
    population's partition it falls into, 0 .. K - 1; -1 where it is impossible.
    """

    possible: np.ndarray
    cell: np.ndarray


class Model(Protocol):
    """A trained generative model.

    Importing a family costs no torch: networks are imported where they are used, so that a study is planned in a
    second.

    takes: the kinds of data that it models. density: whether its likelihood is computed exactly, approximately (a
    bound, or the solution of an ODE), or not at all (implicit). bias: what ``sampling_bias`` does to its samples, in a
    word or two; empty where only 1 is allowed.
    """

    Options: ClassVar[type[Options]]
    takes: ClassVar[tuple[Kind, ...]]
    density: ClassVar[Literal["exact", "approximate", "implicit"]]
    bias: ClassVar[str]
    uses_torch: ClassVar[bool] = False
    options: Options
    how: Mapping[str, Any]
    """How it was trained, where that is part of its bits: ``device``, ``processes``, ``execution``, and
    ``nonidentical``, a list of what differed, if it went on from a state of other hardware. Not in :meth:`tensors`."""

    @classmethod
    def fit(
        cls,
        training: TrainingSet,
        options: Any,
        seed: int,
        init: Self | None = None,
        *,
        images_seen: int | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        allow_nonidentical: bool = False,
        validation: TrainingSet | None = None,
        inspect: Callable[[Self, int], None] | None = None,
    ) -> Self:
        """The model trained on a training set.

        init: the model to start from; None starts from scratch. images_seen: the budget of this training; None takes
        the options' own; families with a closed form ignore it. checkpoint: a folder in which an interrupted training
        leaves its state and from which the same training goes on, to the same bits; the caller removes it when the
        trained model is safely stored. allow_nonidentical: go on from a state of other hardware, too, and say so in
        ``how``. validation: on which options that are left open are chosen. inspect: called with the model as it would
        be if the training ended there, and the images seen, in the first process alone.
        Raises Diverged when the loss is not finite, Interrupted when ``progress`` asked to stop, ValueError for a state
        of other hardware.
        """
        ...

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count`` of the endless sequence that ``seed`` names; none depends on the others.

        sampling_bias: MAD's lambda in (0, 1], where 1 samples the model as it is (Alemohammad et al. 2023): a Gaussian
        multiplies its covariance by it, a multinomial takes it as its temperature, a diffusion model guides with
        weight 1 / sampling_bias - 1, a StyleGAN2 truncates w by it. guide: an entry of GUIDES.
        """
        ...

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-likelihood of each row in nats: (n,) float64. A family may lack this method.

        data: as in a sample set. Of vectors it is a density, nan where the law has none; of categories their mass, -inf
        for one that never occurs; of uint8 images x the mass of the whole image, by uniform dequantisation: the log of
        the density at x + u, u uniform within the byte, plus the log of the byte's volume, a lower bound in expectation
        (Theis, van den Oord and Bethge 2016, arXiv 1511.01844). A row's value depends on the row and the seed alone.

        steps: of the solver, where the likelihood is the end of an ODE. probes: random vectors of its trace estimator;
        0 takes the trace itself, for as many times the work as a row has numbers. Closed forms ignore seed, steps and
        probes.
        """
        ...

    def tensors(self) -> Mapping[str, np.ndarray]:
        """All that ``load`` needs, as named arrays, the training curve as ``curve.images_seen``, ``curve.loss``."""
        ...

    @classmethod
    def stored_bytes(cls, options: Any, shape: tuple[int, ...]) -> int:
        """About how much disk a model takes that was trained on samples of ``shape``, for planning."""
        ...

    @classmethod
    def stored_bytes_per_row(cls, options: Any, shape: tuple[int, ...]) -> int:
        """How much more it takes for each row of its training set. Only families that keep rows have this method."""
        ...

    @classmethod
    def load(cls, tensors: Mapping[str, np.ndarray], options: Any) -> Self:
        """The model that ``tensors`` and ``options`` describe."""
        ...
