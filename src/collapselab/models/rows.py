"""Models of rows by networks: what a VAE, a flow and a GAN share, and rows as such networks see them.

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ..images import to_unit
from .base import Diverged, Options, Progress, TrainingSet, checked_row_shape, part, row_shape

SMALLEST = 1e-300  # below it squares are no longer float64 numbers of full precision
BYTE_VARIANCE = 1 / (12 * 127.5**2)  # of a number that is uniform within a byte, in units of [-1, 1]
CHUNK = 4096  # images that are turned into float64 at once


# -- rows --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scale:
    """Where rows lie and how wide they are: z = (x - location) / scale.

    location, scale: (d,) float64; of images those of the pixels in [-1, 1], in the order (C, H, W). They are those of
    the training set, and not of an earlier model that a training starts from: a network then sees numbers of mean 0 and
    variance 1 wherever a loop has wandered and however narrow its data have become, so that what is learned does not
    depend on the data's unit and origin.
    """

    location: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, training: TrainingSet, *, shared: bool = False) -> Self:
        """The weighted mean and standard deviation (with divisor n) of a training set.

        shared: one scale for all dimensions, the root of their mean variance, by which round noise stays round. Else
        pixels have the variance of what is uniform within their bytes, beside their own. A standard deviation of 0 is
        replaced by 1. Raises Diverged where a moment is not finite.
        """
        shares = np.asarray(training.weights, np.float64) / np.sum(training.weights)
        with np.errstate(over="ignore", invalid="ignore"):
            location = sum(shares[rows] @ numbers(training.data[rows]) for rows in _chunks(training))
            variance = sum(
                shares[rows] @ np.square(numbers(training.data[rows]) - location) for rows in _chunks(training)
            )
        if not (np.isfinite(location).all() and np.isfinite(variance).all()):
            raise Diverged(len(training), float("nan"))
        if shared:
            variance = np.full_like(variance, variance.mean())
        elif training.data.dtype == np.uint8:
            variance = variance + BYTE_VARIANCE
        return cls(location, np.sqrt(np.where(variance > SMALLEST, variance, 1.0)))

    def standardised(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) as numbers of mean 0 and variance 1, float64. They are not rounded before the mean is gone."""
        return (np.asarray(rows, np.float64) - self.location) / self.scale

    def training(self, training: TrainingSet) -> TrainingSet:
        """A training set of vectors with standardised rows, float32, as the loop takes them."""
        return TrainingSet(self.standardised(training.data).astype(np.float32), training.labels, training.weights)

    def restored(self, rows: np.ndarray) -> np.ndarray:
        """What :meth:`standardised` undoes: the rows in the data's own units, float64."""
        return self.location + self.scale * np.asarray(rows, np.float64)


def numbers(data: np.ndarray) -> np.ndarray:
    """Images as rows of their pixels in [-1, 1], vectors as they are: (n, d) float64."""
    return (to_unit(data) if data.dtype == np.uint8 else data).reshape(len(data), -1).astype(np.float64)


def _chunks(training: TrainingSet) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, len(training), CHUNK)]


def check_rows(data: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the rows are those of a model of ``shape``: uint8 images or float vectors."""
    images = len(shape) == 3
    fits = data.dtype == np.uint8 if images else np.issubdtype(data.dtype, np.floating)
    if not fits or data.shape[1:] != shape:
        kind = "uint8 images" if images else "float vectors"
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are {kind} of shape {shape}")


def own_seed(seed: int, row: np.ndarray) -> int:
    """A seed that belongs to one row, whatever it stands beside: a hash of the seed and the row's bytes."""
    digest = hashlib.sha256(f"{seed}|".encode() + row.tobytes()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


# -- models ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RowModel(ABC):
    """A trained network for rows of one shape; a family says in :meth:`train` how it is trained.

    shape: (C, H, W) of uint8 images, whose pixels are rows in this order, or (d,) of float vectors. weights: float32,
    by name. scale: of the training rows, which the network sees standardised. curve: ``images_seen``, ``loss`` and
    others, equally long. how: it was trained (device, processes, execution), as far as it was trained here.
    """

    takes: ClassVar = ("images", "vectors")
    uses_torch: ClassVar = True

    options: Any
    shape: tuple[int, ...]
    weights: Mapping[str, np.ndarray]
    scale: Scale
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        training: TrainingSet,
        options: Options,
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
        """The model after ``ceil(images_seen / batch)`` steps of Adam.

        training.data: (N, C, H, W) uint8 or (N, d) float, standardised by their own mean and standard deviation even
        where ``init`` had others (:class:`Scale`). training.labels, validation: not used. init: its weights are where
        the training starts, with a fresh optimiser. The rest as :meth:`Model.fit` says.
        Raises ValueError for data or initial weights that do not fit the options, Diverged when the data, the loss or a
        weight is not finite, Interrupted when ``progress`` asked to stop.
        """
        shape = row_shape(training)
        check_kind(options, shape)
        scale = Scale.of(training, shared=cls.shares_scale(shape))

        def model(trained: Any) -> Self:
            return cls(options, shape, trained.weights, scale, trained.curve, trained.how)

        trained = cls.train(
            training if len(shape) == 3 else scale.training(training),
            options,
            scale,
            seed,
            None if init is None else init.weights,
            options.images_seen if images_seen is None else images_seen,
            progress=progress,
            checkpoint=checkpoint,
            allow_nonidentical=allow_nonidentical,
            inspect=None if inspect is None else lambda trained, seen: inspect(model(trained), seen),
        )
        return model(trained)

    @classmethod
    @abstractmethod
    def train(cls, training: TrainingSet, options: Any, scale: Scale, seed: int, *more: Any, **control: Any) -> Any:
        """The :class:`loop.Trained` network. training: vectors are standardised and float32, images as they are."""

    @classmethod
    @abstractmethod
    def outline(cls, options: Any, shape: tuple[int, ...]) -> Mapping[str, Any]:
        """The parameters of the network by name, with shapes and no numbers."""

    @classmethod
    def shares_scale(cls, shape: tuple[int, ...]) -> bool:
        """Whether all dimensions of rows of this shape are standardised by one number."""
        return False

    def tensors(self) -> Mapping[str, np.ndarray]:
        """``shape`` (3,) or (1,), ``location`` and ``scale`` (d,), ``network.<name>`` for weights, ``curve.<name>``."""
        return {
            "shape": np.array(self.shape, np.int64),
            "location": self.scale.location,
            "scale": self.scale.scale,
            **{f"network.{name}": array for name, array in self.weights.items()},
            **{f"curve.{name}": array for name, array in self.curve.items()},
        }

    @classmethod
    def stored_bytes(cls, options: Any, shape: tuple[int, ...]) -> int:
        """The weights in float32, location and scale in float64."""
        check_kind(options, shape)
        weights = sum(weight.numel() for weight in cls.outline(options, shape).values())
        return 4 * weights + 16 * int(np.prod(shape))

    @classmethod
    def load(cls, tensors: Mapping[str, np.ndarray], options: Any) -> Self:
        """The model that ``tensors`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from .networks import check_shapes

        shape = checked_row_shape(tensors["shape"])
        check_kind(options, shape)
        weights = part(tensors, "network.")
        check_shapes(cls.outline(options, shape), weights)
        return cls(options, shape, weights, Scale(tensors["location"], tensors["scale"]), part(tensors, "curve."))


def check_kind(options: Options, shape: tuple[int, ...]) -> None:
    """Raise ValueError where the options do not suit rows of this shape."""
    options.check_kind("images" if len(shape) == 3 else "vectors")
