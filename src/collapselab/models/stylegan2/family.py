"""The StyleGAN2 family with adaptive discriminator augmentation (ADA), trained from scratch or from published weights.

Sources: Karras et al. 2020 (StyleGAN2, https://arxiv.org/abs/1912.04958) and Karras et al. 2020 (ADA,
https://arxiv.org/abs/2006.06676). Planning a study imports this module, so torch is imported only where a model is
trained or sampled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ...core.run import Progress
from ...core.sets import TrainingSet
from ...store import SampleSet
from ..arrays import part
from ..inputs import check_bias, checked_shape, image_shape
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
    uses_torch: ClassVar = True

    options: StyleGAN2Options
    shape: tuple[int, int, int]
    generator: Mapping[str, np.ndarray]
    discriminator: Mapping[str, np.ndarray]
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        training: TrainingSet,
        options: StyleGAN2Options,
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
        """The model after ``ceil(images_seen / batch)`` steps of both networks (:mod:`training`).

        training.data: (N, C, H, H) uint8. training.labels: (N,) in 0 .. classes - 1; not used if classes is 0.
        init: its averaged generator and its discriminator are where the training starts, with fresh optimisers; without
        a discriminator that one starts anew. validation: not used. The rest as :meth:`Model.fit` says.
        Raises ValueError for data, labels, sizes or initial weights that do not fit the options, Diverged when a loss
        or a weight is not finite, Interrupted when ``progress`` asked to stop.
        """
        from . import training as trainer

        shape = checked_size(image_shape(training, options.classes))

        def model(trained: Any) -> Self:
            parts = (part(trained.weights, f"{name}.") for name in ("generator", "discriminator"))
            return cls(options, shape, *parts, trained.curve, trained.how)

        return model(
            trainer.train(
                training,
                options,
                seed,
                None if init is None else _joined(init),
                options.images_seen if images_seen is None else images_seen,
                progress=progress,
                checkpoint=checkpoint,
                allow_nonidentical=allow_nonidentical,
                inspect=None if inspect is None else lambda trained, seen: inspect(model(trained), seen),
            )
        )

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count``: uint8 images, sample i of class i mod classes.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        sampling_bias: the truncation psi of every layer's w towards its mean, w_avg + psi (w - w_avg) (MAD's lambda of
        a GAN). Raises ValueError for a bias outside (0, 1], and for a guide: there is no path from noise to image that
        one could steer.
        """
        from . import sampling

        check_bias(sampling_bias)
        if guide is not None:
            raise ValueError("guide: found one, allowed is none: a generator makes an image in one step")
        data = sampling.sample(self.options, self.generator, self.shape, count, seed, start, sampling_bias)
        classes = self.options.classes
        return SampleSet(data, np.arange(start, start + count, dtype=np.int64) % classes if classes else None)

    def tensors(self) -> Mapping[str, np.ndarray]:
        """``shape`` (3,), ``generator.<name>`` and ``discriminator.<name>`` for each weight, ``curve.<name>``."""
        curve = {f"curve.{name}": array for name, array in self.curve.items()}
        return {"shape": np.array(self.shape, np.int64), **_joined(self), **curve}

    @classmethod
    def stored_bytes(cls, options: StyleGAN2Options, shape: tuple[int, ...]) -> int:
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
    def load(cls, tensors: Mapping[str, np.ndarray], options: StyleGAN2Options) -> Self:
        """The model that ``tensors`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from . import building

        shape = checked_size(checked_shape(tensors["shape"]))
        parts = {name: part(tensors, f"{name}.") for name in ("generator", "discriminator", "curve")}
        generator, discriminator = building.outlines(options, shape)
        building.check(generator, parts["generator"], "generator")
        if parts["discriminator"]:
            building.check(discriminator, parts["discriminator"], "discriminator")
        return cls(options, shape, *parts.values())


def _joined(model: StyleGAN2) -> dict[str, np.ndarray]:
    return {f"generator.{name}": array for name, array in model.generator.items()} | {
        f"discriminator.{name}": array for name, array in model.discriminator.items()
    }
