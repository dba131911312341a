"""The StyleGAN2 family with adaptive discriminator augmentation (ADA), trained from scratch or from published weights:
Karras et al. 2020 (StyleGAN2, https://arxiv.org/abs/1912.04958) and Karras et al. 2020 (ADA,
https://arxiv.org/abs/2006.06676).

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ...core.ask import Ask
from ...core.run import Run
from ...core.sets import SampleSet, TrainingSet
from ..arrays import part
from ..asking import asked_labels, check_ask
from ..inputs import checked_shape, image_shape
from ..rows import check_rows
from ..stored import Stored
from .options import StyleGAN2Options, checked_size


@dataclass(frozen=True, eq=False)
class StyleGAN2:
    """A generator's averaged weights, and the discriminator from which another training may go on.

    shape: (C, H, W) of the images. generator: the moving average of its parameters, with its stored noise and the mean
    of w, float32, by the published names. discriminator: its parameters likewise; empty where none is known. curve:
    ``images_seen``, ``loss`` (the generator's), ``discriminator`` and others, equally long. how: it was trained.
    """

    Options: ClassVar = StyleGAN2Options
    takes: ClassVar = ("images",)
    density: ClassVar = "implicit"
    bias: ClassVar = "truncation"
    conditions: ClassVar = ("labels",)
    uses_torch: ClassVar = True

    options: StyleGAN2Options
    shape: tuple[int, int, int]
    generator: Mapping[str, np.ndarray]
    discriminator: Mapping[str, np.ndarray]
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(cls, training: TrainingSet, options: StyleGAN2Options, run: Run, init: Self | None = None) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of both networks (:mod:`training`).

        training.data: (N, C, H, H) uint8. training.labels: (N,) in 0 .. classes - 1; not used if classes is 0.
        init: its averaged generator and its discriminator are where the training starts, with fresh optimisers; without
        a discriminator that one starts anew. run.validation: not used.
        Raises ValueError for data, labels, sizes or initial weights that do not fit the options, Diverged when a loss
        or a weight is not finite, Interrupted when ``run.progress`` asked to stop.
        """
        from . import training as trainer

        shape = checked_size(image_shape(training, options.classes))

        def model(trained: Any) -> Self:
            parts = (part(trained.weights, f"{name}.") for name in ("generator", "discriminator"))
            return cls(options, shape, *parts, trained.curve, trained.how)

        run = run.lasting(options.images_seen).inspecting(model)
        return model(trainer.train(training, options, run, None if init is None else _joined(init)))

    def task(self, training: TrainingSet, options: StyleGAN2Options, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        return trainer.task(training, options, run.lasting(options.images_seen), _joined(self), where)

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it: images as they are."""
        return training

    def went_on(self, trained: Any) -> Self:
        """The model that the training loop has made of its :meth:`task`."""
        parts = {name: part(trained.weights, f"{name}.") for name in ("generator", "discriminator")}
        return replace(self, **parts, curve=trained.curve, how=trained.how)

    def weights(self) -> Mapping[str, np.ndarray]:
        """The averaged generator by name, with its stored noise and the mean of w, float32."""
        return self.generator

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> Self:
        """The model with this generator. Raises ValueError unless names and shapes are those of its own."""
        from . import building

        generator, _ = building.outlines(self.options, self.shape)
        building.check(generator, weights, "generator")
        return replace(self, generator={name: np.asarray(array, np.float32) for name, array in weights.items()})

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: uint8 images, and their labels where there are classes.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: the truncation psi of every layer's w towards its mean, w_avg + psi (w - w_avg) (MAD's lambda of a
        GAN). ask.condition: labels. Raises ValueError for a bias outside (0, 1], and for a guide: there is no path from
        noise to image that one could steer.
        """
        from . import sampling

        check_ask(ask, self)
        labels = asked_labels(ask, self.options.classes)
        return SampleSet(sampling.sample(self.options, self.generator, self.shape, ask, labels), labels)

    def realness(self, data: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """The discriminator's logit of each image being real, of its class: (n,) float64 (:mod:`critic`).

        Raises ValueError for other images, classes that the model does not know, and without a discriminator, as after
        an import of a generator alone.
        """
        from . import critic

        check_rows(data, self.shape)
        if not self.discriminator:
            raise ValueError("discriminator: found none in the model, allowed is one that was trained or imported")
        classes = self.options.classes
        if classes and (labels is None or not ((labels >= 0) & (labels < classes)).all()):
            raise ValueError(f"labels: found none, or others than 0 to {classes - 1}, which the model knows")
        return critic.logits(self.options, self.discriminator, self.shape, data, labels) if len(data) else np.empty(0)

    def stored(self) -> Stored:
        """``shape`` (3,), ``generator.<name>`` and ``discriminator.<name>`` for each weight, ``curve.<name>``."""
        curve = {f"curve.{name}": array for name, array in self.curve.items()}
        return Stored({"shape": np.array(self.shape, np.int64), **_joined(self), **curve})

    @classmethod
    def stored_bytes(cls, options: StyleGAN2Options, shape: tuple[int, ...], rows: int) -> int:
        """The averaged generator, its noise, its mean of w, and the discriminator, in float32."""
        from . import building

        generator, discriminator = building.outlines(options, checked_size(shape))
        kept = [*building.stored(generator).values(), *building.stored(discriminator).values()]
        return 4 * sum(weight.numel() for weight in kept)

    @classmethod
    def flops_per_image(cls, options: StyleGAN2Options, shape: tuple[int, ...]) -> dict[str, float]:
        """Floating-point operations, two a multiply-add: ``training`` for each image seen, ``sampling`` for each made.

        Of matrix products and convolutions; the regularisations count with the share of the steps that have them.
        """
        from . import training

        return training.flops_per_image(options, checked_size(shape))

    @classmethod
    def load(cls, stored: Stored, options: StyleGAN2Options) -> Self:
        """The model that ``stored`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from . import building

        shape = checked_size(checked_shape(stored.tensors["shape"]))
        parts = {name: part(stored.tensors, f"{name}.") for name in ("generator", "discriminator", "curve")}
        generator, discriminator = building.outlines(options, shape)
        building.check(generator, parts["generator"], "generator")
        if parts["discriminator"]:
            building.check(discriminator, parts["discriminator"], "discriminator")
        return cls(options, shape, *parts.values())


def _joined(model: StyleGAN2) -> dict[str, np.ndarray]:
    return {f"generator.{name}": array for name, array in model.generator.items()} | {
        f"discriminator.{name}": array for name, array in model.discriminator.items()
    }
