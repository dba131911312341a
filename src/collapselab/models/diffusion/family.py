"""The diffusion family: a denoiser of uint8 images or of float vectors, after EDM (Karras et al. 2022,
https://arxiv.org/abs/2206.00364) or DDPM (Ho et al. 2020, https://arxiv.org/abs/2006.11239).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ...core.ask import Ask
from ...core.run import Run
from ...core.sets import SampleSet, TrainingSet
from ...engine.scale import Scale, numbers
from ..arrays import part
from ..asking import asked_labels, check_ask
from ..capabilities import ODE_STEPS, PROBES, Denoiser
from ..inputs import checked_row_shape, row_shape
from ..rows import check_kind, check_rows
from ..stored import Stored
from .options import DiffusionOptions


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A denoiser's averaged weights, from which it is sampled and from which another training may start.

    shape: (C, H, W) of the images, (d,) of vectors or (bands, frames) of clips. averaged: the moving
    average of the network's parameters, float32, by name.
    curve: ``images_seen`` and ``loss``, equally long: the mean loss of the steps up to there. chosen: options that were
    left open, by name, as validation rows chose them. ladder: the values that were tried, and their ``loss``.
    how: it was trained (device, processes, execution), as far as it was trained here. scale: of the training vectors,
    which the network sees standardised; None for images, whose pixels are in [-1, 1], and for clips, which are stored
    so.
    """

    Options: ClassVar = DiffusionOptions
    takes: ClassVar = ("images", "vectors", "audio")
    density: ClassVar = "approximate"
    bias: ClassVar = "guidance weight"
    conditions: ClassVar = ("labels",)
    uses_torch: ClassVar = True
    denoises: ClassVar = (f"{__package__}.sampling:NetworkDenoiser/denoised_together",)

    options: DiffusionOptions
    shape: tuple[int, ...]
    averaged: Mapping[str, np.ndarray]
    curve: Mapping[str, np.ndarray]
    chosen: Mapping[str, float] = field(default_factory=dict)
    ladder: Mapping[str, np.ndarray] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)
    scale: Scale | None = None

    @classmethod
    def fit(cls, training: TrainingSet, options: DiffusionOptions, run: Run, init: Self | None = None) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of Adam on the denoiser's loss (:func:`training.train`).

        training.data: (N, C, H, W) uint8, or (N, d) float, standardised by their own mean and standard deviation even
        where ``init`` had others (:class:`Scale`). training.labels: (N,) in 0 .. classes - 1; not used if classes is 0.
        run.validation: the rows that choose what the options leave open; needed where they do, and not used otherwise.
        init: its averaged weights are where the training starts, with a fresh optimiser and a fresh average.
        Raises ValueError for data, labels or initial weights that do not fit the options, Diverged when the loss or a
        weight is not finite, Interrupted when ``run.progress`` asked to stop.
        """
        from . import training as trainer

        shape = row_shape(training, options.classes)
        check_kind(options, shape)
        scale = Scale.of(training) if len(shape) == 1 else None
        if options.left_open:
            _check_validation(run.validation, options, shape)

        def model(trained: Any) -> Self:
            chosen = {name: float(array) for name, array in part(trained.weights, "chosen.").items()}
            ladder = part(trained.weights, "ladder.")
            beside = {f"chosen.{name}" for name in chosen} | {f"ladder.{name}" for name in ladder}
            averaged = {name: array for name, array in trained.weights.items() if name not in beside}
            return cls(options, shape, averaged, trained.curve, chosen, ladder, trained.how, scale)

        run = run.lasting(options.images_seen).inspecting(model)
        if scale is not None:
            training = scale.training(training)
            run = replace(run, validation=scale.training(run.validation) if options.left_open else None)
        return model(trainer.train(training, options, run, None if init is None else init.averaged))

    def task(self, training: TrainingSet, options: DiffusionOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        return trainer.task(options, self.shape, run.lasting(options.images_seen), self.averaged, where)

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it: images as they are, vectors standardised by the model's scale."""
        return training if self.scale is None else self.scale.training(training)

    def went_on(self, trained: Any) -> Self:
        """The model that the training loop has made of its :meth:`task`."""
        names = set(self.averaged)
        averaged = {name: array for name, array in trained.weights.items() if name in names}
        return replace(self, averaged=averaged, curve=trained.curve, how=trained.how)

    def weights(self) -> Mapping[str, np.ndarray]:
        """The averaged weights by name, float32."""
        return self.averaged

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> Self:
        """The model with these averaged weights. Raises ValueError unless names and shapes are the network's."""
        from ...engine.networks import check_weights
        from .networks import outline

        check_weights(outline(self.options, self.shape), weights)
        return replace(self, averaged={name: np.asarray(array, np.float32) for name, array in weights.items()})

    def denoiser(self, where: Any) -> Denoiser:
        """D(x, sigma, label) of the averaged weights on a device: of images in [-1, 1], of standardised vectors."""
        from . import sampling

        return sampling.denoiser_of(self.options, self.averaged, self.shape, where)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: uint8 images or float64 vectors, and their labels where there are classes.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: classifier-free guidance (Ho and Salimans 2022, https://arxiv.org/abs/2207.12598) of weight
        w = 1 / bias - 1: D = (1 + w) D(x, sigma, label) - w D(x, sigma). ask.condition: labels. ask.guide: a
        :class:`engine.steering.Steering`, applied after the bias; of vectors it sees standardised ones.
        Raises ValueError for a bias outside (0, 1], below 1 for a model without labels or label dropout, and for a
        guide by a model whose vectors are standardised by another scale.
        """
        from . import sampling

        check_ask(ask, self)
        options = self.options
        if ask.bias < 1 and not (options.classes and options.label_dropout):
            raise ValueError(
                f"sampling_bias: found {ask.bias!r}, allowed is 1: guidance needs training with classes > 0 and "
                f"label_dropout > 0, found {options.classes} and {options.label_dropout}"
            )
        for role, other in dict(ask.guide.others if ask.guide else {}).items():
            self._check_scale(role, other)
        labels = asked_labels(ask, options.classes)
        data = sampling.sample(options, self.averaged, self.shape, ask, labels)
        return SampleSet(data if self.scale is None else self.scale.restored(data), labels)

    def _check_scale(self, role: str, other: Any) -> None:
        """Raise ValueError for a further model that sees rows of another shape, or vectors in other units."""
        scales = [() if one.scale is None else (*one.scale.location, *one.scale.scale) for one in (self, other)]
        if other.shape != self.shape or scales[0] != scales[1]:
            found = "of other rows" if other.shape != self.shape else "trained on vectors of other units"
            raise ValueError(f"guide: found a model {role!r} {found}; allowed is one that sees rows as this model does")

    def invert(self, data: np.ndarray, *, steps: int | None = None) -> np.ndarray:
        """The noise from which the probability-flow ODE comes to samples (:mod:`inversion`), without a class.

        data: (n, C, H, W) uint8 or (n, d) float of the model's shape. Raises ValueError for others, and for a model of
        classes whose labels were never dropped in training.
        """
        from . import inversion

        check_rows(data, self.shape)
        if self.options.classes and not self.options.label_dropout:
            raise ValueError(
                f"label_dropout: found 0 with {self.options.classes} classes; noise is told without a class, which "
                "needs training with some"
            )
        rows = numbers(data).reshape(data.shape) if self.scale is None else self.scale.standardised(data)
        return inversion.invert(self.options, self.averaged, rows, steps)

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each image, a lower bound, or the log-density of each vector, in nats: (n,) float64.

        It is that of the model without a label, by the probability-flow ODE (:mod:`likelihood`), at the lowest noise
        level ``sigma_min``: that is the law of the sampler's rows before its last step takes this noise away. Where
        labels were never dropped in training the model is the equal mixture of its classes, at as many times the cost.

        data: (n, C, H, W) uint8 or (n, d) float of the model's shape; others raise ValueError. steps: of Runge and
        Kutta's method, at 4 evaluations of the network and its gradient each, ``max(probes, 1)`` times or, with probes
        0, as often as a row has numbers.
        """
        from . import likelihood

        check_rows(data, self.shape)
        if self.scale is None:
            data = data if len(self.shape) == 3 else np.asarray(data, np.float64)
            return likelihood.log_likelihood(self.options, self.averaged, data, seed, steps, probes)
        standardised = self.scale.standardised(data)
        densities = likelihood.log_likelihood(self.options, self.averaged, standardised, seed, steps, probes)
        return densities - np.log(self.scale.scale).sum()

    def stored(self) -> Stored:
        """``shape`` (3,) or (1,), ``network.<name>`` for each averaged weight, ``curve.<name>``, and where something
        was chosen ``chosen.<option>``, ``ladder.<option>`` and ``ladder.loss``; of vectors ``location`` and ``scale``.
        """
        return Stored(
            {
                "shape": np.array(self.shape, np.int64),
                **{f"network.{name}": array for name, array in self.averaged.items()},
                **{f"curve.{name}": array for name, array in self.curve.items()},
                **{f"chosen.{name}": np.array(value) for name, value in self.chosen.items()},
                **{f"ladder.{name}": array for name, array in self.ladder.items()},
                **({} if self.scale is None else vars(self.scale)),
            }
        )

    @classmethod
    def stored_bytes(cls, options: DiffusionOptions, shape: tuple[int, ...], rows: int) -> int:
        """The averaged weights in float32; of vectors also location and scale, in float64."""
        from .networks import outline

        check_kind(options, shape)
        beside = 16 * shape[0] if len(shape) == 1 else 0
        return beside + 4 * sum(weight.numel() for weight in outline(options, shape).parameters())

    @classmethod
    def flops_per_image(cls, options: DiffusionOptions, shape: tuple[int, ...]) -> dict[str, float]:
        """Floating-point operations, two a multiply-add: ``training`` for each image seen, ``sampling`` for each made.

        Of matrix products and convolutions; a sample's are those of all evaluations of the network, which guidance
        doubles.
        """
        from . import training

        return training.flops_per_image(options, shape)

    @classmethod
    def load(cls, stored: Stored, options: DiffusionOptions) -> Self:
        """The model that ``stored`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from ...engine.networks import check_weights
        from .networks import outline

        tensors = stored.tensors
        shape = checked_row_shape(tensors["shape"])
        chosen = {name: float(array) for name, array in part(tensors, "chosen.").items()}
        averaged, curve, ladder = (part(tensors, prefix) for prefix in ("network.", "curve.", "ladder."))
        check_kind(options, shape)
        check_weights(outline(options, shape), averaged)
        scale = Scale(tensors["location"], tensors["scale"]) if len(shape) == 1 else None
        return cls(options, shape, averaged, curve, chosen, ladder, scale=scale)


def _check_validation(validation: TrainingSet | None, options: DiffusionOptions, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless there are validation rows like those of the training."""
    if validation is None:
        raise ValueError(
            "ema_std: found None, which leaves it to validation rows, and there are none; allowed are a number up to "
            "0.28, validation rows, or ema half_life"
        )
    if (found := row_shape(validation, options.classes, "validation")) != shape:
        raise ValueError(f"validation data: found rows of shape {found}, allowed is the training's, {shape}")
