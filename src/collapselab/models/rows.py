"""Models of rows by networks: what a VAE, a flow and a GAN share.

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..core.kinds import KINDS, kind_of_shape
from ..core.run import Run
from ..core.sets import TrainingSet
from ..engine.scale import Scale
from .arrays import part
from .inputs import checked_row_shape, row_shape
from .options import Options
from .stored import Stored

# -- models ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RowModel(ABC):
    """A trained network for rows of one shape; a family says in :meth:`train` how it is trained.

    shape: (C, H, W) of uint8 images, whose pixels are rows in this order, (d,) of float vectors, or (bands, frames)
    of clips, which are rows like vectors. weights: float32,
    by name. scale: of the training rows, which the network sees standardised. curve: ``images_seen``, ``loss`` and
    others, equally long. how: it was trained (device, processes, execution), as far as it was trained here.
    """

    takes: ClassVar = ("images", "vectors", "audio")
    uses_torch: ClassVar = True

    options: Any
    shape: tuple[int, ...]
    weights: Mapping[str, np.ndarray]
    scale: Scale
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(cls, training: TrainingSet, options: Options, run: Run, init: Self | None = None) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of Adam.

        training.data: (N, C, H, W) uint8, (N, d) float or (N, bands, frames) float32, standardised by their own mean
        and standard deviation even where ``init`` had others (:class:`Scale`). training.labels, run.validation: not
        used. init: its weights are where the training starts, with a fresh optimiser.
        Raises ValueError for data or initial weights that do not fit the options, Diverged when the data, the loss or a
        weight is not finite, Interrupted when ``run.progress`` asked to stop.
        """
        shape = row_shape(training)
        check_kind(options, shape)
        scale = Scale.of(training, shared=cls.shares_scale(shape))

        def model(trained: Any) -> Self:
            return cls(options, shape, trained.weights, scale, trained.curve, trained.how)

        seen = training if kind_of_shape(shape) == "images" else scale.training(training)
        run = run.lasting(options.images_seen).inspecting(model)
        return model(cls.train(seen, options, scale, run, None if init is None else init.weights))

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it: images as they are, vectors standardised by the model's scale."""
        return training if kind_of_shape(self.shape) == "images" else self.scale.training(training)

    def went_on(self, trained: Any) -> Self:
        """The model that the training loop has made of its ``task``."""
        return replace(self, weights=trained.weights, curve=trained.curve, how=trained.how)

    @classmethod
    @abstractmethod
    def train(cls, training: TrainingSet, options: Any, scale: Scale, run: Run, initial: Any) -> Any:
        """The :class:`loop.Trained` network. training: vectors are standardised and float32, images as they are.

        initial: the weights that the training starts from, by name; None starts from scratch.
        """

    @classmethod
    @abstractmethod
    def outline(cls, options: Any, shape: tuple[int, ...]) -> Mapping[str, Any]:
        """The parameters of the network by name, with shapes and no numbers."""

    @classmethod
    def shares_scale(cls, shape: tuple[int, ...]) -> bool:
        """Whether all dimensions of rows of this shape are standardised by one number."""
        return False

    def stored(self) -> Stored:
        """``shape`` (3,) or (1,), ``location`` and ``scale`` (d,), ``network.<name>`` for weights, ``curve.<name>``."""
        return Stored(
            {
                "shape": np.array(self.shape, np.int64),
                "location": self.scale.location,
                "scale": self.scale.scale,
                **{f"network.{name}": array for name, array in self.weights.items()},
                **{f"curve.{name}": array for name, array in self.curve.items()},
            }
        )

    @classmethod
    def stored_bytes(cls, options: Any, shape: tuple[int, ...], rows: int) -> int:
        """The weights in float32, location and scale in float64."""
        check_kind(options, shape)
        weights = sum(weight.numel() for weight in cls.outline(options, shape).values())
        return 4 * weights + 16 * int(np.prod(shape))

    @classmethod
    def load(cls, stored: Stored, options: Any) -> Self:
        """The model that ``stored`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from ..engine.networks import check_shapes

        tensors = stored.tensors
        shape = checked_row_shape(tensors["shape"])
        check_kind(options, shape)
        weights = part(tensors, "network.")
        check_shapes(cls.outline(options, shape), weights)
        return cls(options, shape, weights, Scale(tensors["location"], tensors["scale"]), part(tensors, "curve."))


# -- rows --------------------------------------------------------------------------------------------------------------


def check_kind(options: Options, shape: tuple[int, ...]) -> None:
    """Raise ValueError where the options do not suit rows of this shape."""
    options.check_kind(kind_of_shape(shape))


def check_rows(data: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the rows are those of a model of ``shape``: uint8 images or float vectors."""
    images = kind_of_shape(shape) == "images"
    fits = KINDS["images"].holds(data) if images else np.issubdtype(data.dtype, np.floating)
    if not fits or data.shape[1:] != shape:
        kind = "uint8 images" if images else "float vectors"
        raise ValueError(f"data: found {data.dtype} of shape {data.shape}, allowed are {kind} of shape {shape}")


def own_seed(seed: int, row: np.ndarray) -> int:
    """A seed that belongs to one row, whatever it stands beside: a hash of the seed and the row's bytes."""
    digest = hashlib.sha256(f"{seed}|".encode() + row.tobytes()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
