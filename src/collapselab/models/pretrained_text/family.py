"""The pretrained-text family: a causal language model of transformers that lies in a folder of the user's, which is
read and never changed, and an adapter (LoRA), which is what is trained and stored.

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
from ..asking import check_ask
from ..capabilities import ODE_STEPS, PROBES
from ..inputs import checked_row_shape
from ..stored import Stored
from ..transformer.sequences import as_fed, check_scored, check_training
from .folders import options_fault
from .options import PretrainedTextOptions

BASE = "base.sha256"


@dataclass(frozen=True, eq=False)
class PretrainedText:
    """An adapter, and the base that it was trained on, from which it is sampled and trained on.

    shape: (length,) of the sequences. Tokens that are not of the options' vocabulary are never written, even if the
    base has them.
    adapter: the low-rank matrices, float32, by name; none where the base is sampled as it is. digest: the SHA-256 of
    the base, in hex. curve: ``images_seen``, sequences here, and ``loss`` in nats a token, equally long. how: it was
    trained (device, processes, execution), as far as it was trained here.
    """

    Options: ClassVar = PretrainedTextOptions
    takes: ClassVar = ("sequences",)
    density: ClassVar = "exact"
    bias: ClassVar = "temperature"
    conditions: ClassVar = ()
    uses_torch: ClassVar = True

    options: PretrainedTextOptions
    shape: tuple[int, ...]
    adapter: Mapping[str, np.ndarray]
    digest: str
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(cls, training: TrainingSet, options: PretrainedTextOptions, run: Run, init: Self | None = None) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of Adam on the cross-entropy of the next token.

        training.data: (N, L) int32 tokens, numbered as the base numbers them. init: its adapter is where the training
        starts, with a fresh optimiser; None starts from the base. The base itself is never changed, and the adapter
        never added to it.

        Raises ValueError for data or initial weights that do not fit the options or the base, and where the extra
        ``pretrained`` is not installed; Diverged when the loss or a weight is not finite, Interrupted when
        ``run.progress`` asked to stop.
        """
        if fault := options_fault(options, training.data.shape[1:]):
            raise ValueError(fault)
        check_training(training, options.vocabulary)
        from . import network
        from . import training as trainer

        shape, digest = training.data.shape[1:], network.base_digest(options)
        if init is not None and init.digest != digest:
            raise ValueError(f"init: its adapter was tuned on another base than {options.base!r} is now")

        def model(trained: Any) -> Self:
            return cls(options, shape, trained.weights, digest, trained.curve, trained.how)

        run = run.lasting(options.images_seen).inspecting(model)
        initial = None if init is None else init.adapter or None
        return model(trainer.train(as_fed(training), options, run, initial, digest))

    @classmethod
    def untuned(cls, options: PretrainedTextOptions, shape: tuple[int, ...]) -> Self:
        """The base as it is. Raises ValueError as :meth:`fit` does."""
        if fault := options_fault(options, shape):
            raise ValueError(fault)
        from . import network

        empty = {"images_seen": np.empty(0, np.int64), "loss": np.empty(0)}
        return cls(options, shape, {}, network.base_digest(options), empty)

    def task(self, training: TrainingSet, options: PretrainedTextOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        run = run.lasting(options.images_seen)
        return trainer.task(options, run, self.adapter or None, self.digest, where)

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it (:func:`models.transformer.sequences.as_fed`)."""
        return as_fed(training)

    def went_on(self, trained: Any) -> Self:
        """The model that the training loop has made of its :meth:`task`."""
        return replace(self, adapter=trained.weights, curve=trained.curve, how=trained.how)

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: (count, L) int32, token by token, at the options' temperature and truncation.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: multiplies the temperature. Raises ValueError for a bias that is not above 0, and for a guide.
        """
        check_ask(ask, self)
        from . import sampling

        return SampleSet(sampling.sample(self.options, self.shape[0], self.adapter, self.digest, ask))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each sequence in nats, (n,) float64; as of a :class:`models.transformer.Transformer`."""
        check_scored(data, self.options.vocabulary, self.shape[0])
        from . import sampling

        return sampling.log_likelihood(self.options, self.adapter, self.digest, data)

    def stored(self) -> Stored:
        """``shape`` (1,), ``network.<name>`` for the adapter's matrices, ``base.sha256`` (32,) bytes,
        ``curve.<name>``. The path of the base is among the options."""
        return Stored(
            {
                "shape": np.array(self.shape, np.int64),
                BASE: np.frombuffer(bytes.fromhex(self.digest), np.uint8),
                **{f"network.{name}": array for name, array in self.adapter.items()},
                **{f"curve.{name}": array for name, array in self.curve.items()},
            }
        )

    @classmethod
    def stored_bytes(cls, options: PretrainedTextOptions, shape: tuple[int, ...], rows: int) -> int:
        """The adapter's matrices in float32, and the digest of the base. Raises ValueError without the base."""
        from . import network

        sizes = network.shapes(network.outline(options), options).values()
        return 32 + 4 * sum(height * width for height, width in sizes)

    @classmethod
    def load(cls, stored: Stored, options: PretrainedTextOptions) -> Self:
        """The model that ``stored`` and ``options`` describe; that the base is still the same is seen when it is used.

        Raises ValueError where its arrays are no adapter.
        """
        tensors = stored.tensors
        shape, matrices = checked_row_shape(tensors["shape"]), part(tensors, "network.")
        if len(shape) != 1 or tensors[BASE].shape != (32,) or tensors[BASE].dtype != np.uint8:
            raise ValueError(f"found rows of shape {shape}, or no {BASE}")
        if wrong := [name for name, array in matrices.items() if array.ndim != 2 or ".lora_" not in name]:
            raise ValueError(f"network.{wrong[0]}: found no matrix of an adapter")
        digest = tensors[BASE].tobytes().hex()
        return cls(options, shape, matrices, digest, part(tensors, "curve."))
