"""The pretrained family: a text-to-image pipeline of diffusers that lies in a folder of the user's, which is read and
never changed, and an adapter (LoRA), which is what is trained and stored.

Planning a study imports this module, so torch is imported only where a model is trained or sampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ...core.ask import Ask
from ...core.run import Run
from ...core.sets import SampleSet, TrainingSet
from ..arrays import part
from ..asking import asked_labels, check_ask
from ..capabilities import Denoiser
from ..inputs import checked_row_shape, image_shape
from ..stored import Stored
from .folders import folder_of, shape_fault
from .options import PretrainedOptions

BASE = "base.sha256"


@dataclass(frozen=True, eq=False)
class Pretrained:
    """An adapter, and the base that it was trained on, from which it is sampled and trained on.

    shape: (C, H, W) of the images. adapter: the low-rank matrices, float32, by name; none where the base is sampled as
    it is. digest: the SHA-256 of the base, in hex. curve: ``images_seen`` and ``loss``, equally long. how: it was
    trained (device, processes, execution), as far as it was trained here.
    """

    Options: ClassVar = PretrainedOptions
    takes: ClassVar = ("images",)
    density: ClassVar = "implicit"
    bias: ClassVar = "guidance weight"
    conditions: ClassVar = ("labels", "prompts")
    uses_torch: ClassVar = True
    denoises: ClassVar = (f"{__package__}.sampling:LatentDenoiser/denoised_together",)

    options: PretrainedOptions
    shape: tuple[int, ...]
    adapter: Mapping[str, np.ndarray]
    digest: str
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)
    _ready: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def fit(cls, training: TrainingSet, options: PretrainedOptions, run: Run, init: Self | None = None) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of Adam on the base's loss (:class:`training.Tuning`).

        training.data: (N, C, H, W) uint8, grey or coloured. training.labels: (N,) in 0 .. classes - 1, of which each is
        told its prompt; not used if classes is 0. init: its adapter is where the training starts, with a fresh
        optimiser; None starts from the base. The base itself is never changed, and the adapter never added to it.

        Raises ValueError for data, labels or initial weights that do not fit the options or the base, and where the
        extra ``pretrained`` is not installed; Diverged when the loss or a weight is not finite, Interrupted when
        ``run.progress`` asked to stop.
        """
        shape = image_shape(training, options.classes)
        if fault := shape_fault(folder_of(options.base), shape):
            raise ValueError(fault)
        from . import training as trainer

        digest = trainer.base_digest(options)
        if init is not None and init.digest != digest:
            raise ValueError(f"init: its adapter was tuned on another base than {options.base!r} is now")

        def model(trained: Any) -> Self:
            return cls(options, shape, trained.weights, digest, trained.curve, trained.how)

        run = run.lasting(options.images_seen).inspecting(model)
        return model(trainer.train(training, options, run, None if init is None else init.adapter, digest))

    @classmethod
    def untuned(cls, options: PretrainedOptions, shape: tuple[int, ...]) -> Self:
        """The base as it is. Raises ValueError as :meth:`fit` does."""
        from . import training as trainer

        empty = {"images_seen": np.empty(0, np.int64), "loss": np.empty(0)}
        return cls(options, shape, {}, trainer.base_digest(options), empty)

    def task(self, training: TrainingSet, options: PretrainedOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        return trainer.task(options, self.shape, run, self.adapter or None, self.digest, where)

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it: the images as they are."""
        return training

    def went_on(self, trained: Any) -> Self:
        """The model that the training loop has made of its :meth:`task`."""
        return replace(self, adapter=trained.weights, curve=trained.curve, how=trained.how)

    def denoiser(self, where: Any) -> Denoiser:
        """D(z, sigma, label) of latents z on a device: label i is told prompt i."""
        return self.denoiser_told(where, self.options.told)

    def denoiser_told(self, where: Any, prompts: Sequence[str]) -> Denoiser:
        """The same, where condition i is told ``prompts[i]``."""
        ready = self._ready_on(where)
        return ready.denoiser(ready.words(prompts))

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: uint8 images, and their labels where there are classes.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: divides 1 by the guidance scale, which multiplies the option ``guidance_scale``: by a bias of 1 / s
        it is s times as large. ask.condition: labels, of which each is told its prompt; or prompts, whatever they say,
        of which the samples have no labels. ask.guide: a :class:`engine.steering.Steering`, applied after the bias; it
        sees latents.
        """
        check_ask(ask, self)
        for role, other in dict(ask.guide.others if ask.guide else {}).items():
            if not isinstance(other, Pretrained) or other.shape != self.shape:
                raise ValueError(f"guide: found a model {role!r} of other rows; allowed is one that makes such images")
        return self.made(ask)

    def made(self, ask: Ask, beginning: np.ndarray | None = None, strength: float = 1.0) -> SampleSet:
        """The same, where ``beginning`` is, as images (count, C, H, W) uint8 that are changed.

        strength: the share of the steps that is taken, the last ones; 1 leaves little of them.
        """
        from . import sampling

        options, labels = self.options, None
        if ask.condition is None or isinstance(ask.condition, np.ndarray):
            labels, prompts = asked_labels(ask, options.classes), options.told
            rows = np.zeros(ask.count, np.int64) if labels is None else labels
        else:
            prompts = tuple(dict.fromkeys(ask.condition))
            rows = np.array([prompts.index(prompt) for prompt in ask.condition], np.int64)
        if not ask.count:
            return SampleSet(np.empty((0, *self.shape), np.uint8), labels)
        from ...machine.device import device

        ready = self._ready_on(device())
        return SampleSet(sampling.sample(ready, options, ask, prompts or ("",), rows, beginning, strength), labels)

    def _ready_on(self, where: Any) -> Any:
        """The pipeline with this adapter on a device, which stays there for the next sampling."""
        from . import memory, sampling

        key = f"{where} {memory.modes()}"
        if key not in self._ready:
            self._ready.clear()
            self._ready[key] = sampling.ready(self.options, self.shape, self.adapter, self.digest, where)
        return self._ready[key]

    def stored(self) -> Stored:
        """``shape`` (3,), ``network.<name>`` for the adapter's matrices, ``base.sha256`` (32,) bytes, ``curve.<name>``.

        The path of the base is among the options.
        """
        return Stored(
            {
                "shape": np.array(self.shape, np.int64),
                BASE: np.frombuffer(bytes.fromhex(self.digest), np.uint8),
                **{f"network.{name}": array for name, array in self.adapter.items()},
                **{f"curve.{name}": array for name, array in self.curve.items()},
            }
        )

    @classmethod
    def stored_bytes(cls, options: PretrainedOptions, shape: tuple[int, ...], rows: int) -> int:
        """The adapter's matrices in float32, and the digest of the base. Raises ValueError without the base."""
        from . import adapter, pipeline

        sizes = adapter.shapes(pipeline.outline(options.base, options.tiny_seed), options).values()
        return 32 + 4 * sum(height * width for height, width in sizes)

    @classmethod
    def load(cls, stored: Stored, options: PretrainedOptions) -> Self:
        """The model that ``stored`` and ``options`` describe; that the base is still the same is seen when it is used.

        Raises ValueError where its arrays are no adapter.
        """
        tensors = stored.tensors
        shape, matrices = checked_row_shape(tensors["shape"]), part(tensors, "network.")
        if len(shape) != 3 or tensors[BASE].shape != (32,) or tensors[BASE].dtype != np.uint8:
            raise ValueError(f"found rows of shape {shape}, or no {BASE}")
        if wrong := [name for name, array in matrices.items() if array.ndim != 2 or ".lora_" not in name]:
            raise ValueError(f"network.{wrong[0]}: found no matrix of an adapter")
        digest = tensors[BASE].tobytes().hex()
        return cls(options, shape, matrices, digest, part(tensors, "curve."))


def prompts_of(options: PretrainedOptions, labels: Sequence[int] | None, count: int) -> list[str]:
    """What each of ``count`` samples was told, by its label."""
    return [options.told[0 if labels is None else label] for label in (labels if labels is not None else [0] * count)]
