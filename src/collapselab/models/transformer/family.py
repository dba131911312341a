"""The transformer family: a causal transformer of sequences of tokens, trained from scratch.

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
from .options import TransformerOptions
from .sequences import as_fed, check_scored, check_training


@dataclass(frozen=True, eq=False)
class Transformer:
    """A causal transformer of sequences: p(x) = prod_i p(x_i | x_1 .. x_{i-1}), each factor by one network.

    shape: (length,) of the sequences. network: its weights, float32, by name, averaged where the options say so. curve:
    ``images_seen``, sequences here, and ``loss`` in nats a token, equally long. how: it was trained (device, processes,
    execution), as far as it was trained here.
    """

    Options: ClassVar = TransformerOptions
    takes: ClassVar = ("sequences",)
    density: ClassVar = "exact"
    bias: ClassVar = "temperature"
    conditions: ClassVar = ()
    uses_torch: ClassVar = True

    options: TransformerOptions
    shape: tuple[int, ...]
    network: Mapping[str, np.ndarray]
    curve: Mapping[str, np.ndarray]
    how: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fit(cls, training: TrainingSet, options: TransformerOptions, run: Run, init: Self | None = None) -> Self:
        """The model after ``ceil(images_seen / batch)`` steps of Adam on the cross-entropy of the next token.

        training.data: (N, L) int32 tokens. training.labels, run.validation: not used. init: its weights are where the
        training starts, with a fresh optimiser.
        Raises ValueError for data or initial weights that do not fit the options, Diverged when the loss or a weight is
        not finite, Interrupted when ``run.progress`` asked to stop.
        """
        from . import training as trainer

        check_training(training, options.vocabulary)
        shape = training.data.shape[1:]

        def model(trained: Any) -> Self:
            return cls(options, shape, trained.weights, trained.curve, trained.how)

        run = run.lasting(options.images_seen).inspecting(model)
        initial = None if init is None else init.network
        return model(trainer.train(as_fed(training), options, run, initial))

    def task(self, training: TrainingSet, options: TransformerOptions, run: Run, where: Any) -> Any:
        """What :meth:`fit` hands to the training loop when it starts from this model."""
        from . import training as trainer

        run = run.lasting(options.images_seen)
        return trainer.task(options, self.shape[0], run, self.network, where)

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it (:func:`as_fed`)."""
        return as_fed(training)

    def went_on(self, trained: Any) -> Self:
        """The model that the training loop has made of its :meth:`task`."""
        return replace(self, network=trained.weights, curve=trained.curve, how=trained.how)

    def weights(self) -> Mapping[str, np.ndarray]:
        """The network's weights by name, float32."""
        return self.network

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> Self:
        """The model with these weights. Raises ValueError unless names and shapes are the network's."""
        from ...engine.networks import check_shapes

        check_shapes(outline(self.options, self.shape[0]), weights)
        return replace(self, network={name: np.asarray(array, np.float32) for name, array in weights.items()})

    def sample(self, ask: Ask) -> SampleSet:
        """The samples that are asked for: (count, L) int32, token by token, at the options' temperature and truncation.

        They are the same bits however ``start`` and ``count`` cut the sequence, on one kind of device.

        ask.bias: multiplies the temperature. Raises ValueError for a bias that is not above 0, and for a guide.
        """
        check_ask(ask, self)
        from . import sampling

        return SampleSet(sampling.sample(self.options, self.network, self.shape[0], ask))

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-mass of each sequence in nats, (n,) float64: sum_i log p(x_i | x_1 .. x_{i-1}).

        It is that of the network as it is: temperature, top_k and top_p have no part in it, nor have seed, steps and
        probes. data: (n, l) int32 of up to L tokens of the vocabulary; others raise ValueError.
        """
        check_scored(data, self.options.vocabulary, self.shape[0])
        from . import sampling

        return sampling.log_likelihood(self.options, self.network, self.shape[0], data)

    def stored(self) -> Stored:
        """``shape`` (1,), ``network.<name>`` for each weight and ``curve.<name>``."""
        return Stored(
            {
                "shape": np.array(self.shape, np.int64),
                **{f"network.{name}": array for name, array in self.network.items()},
                **{f"curve.{name}": array for name, array in self.curve.items()},
            }
        )

    @classmethod
    def stored_bytes(cls, options: TransformerOptions, shape: tuple[int, ...], rows: int) -> int:
        """The weights in float32."""
        outlined = outline(options, shape[0])
        return 4 * sum(weight.numel() for weight in outlined.values())

    @classmethod
    def flops_per_image(cls, options: TransformerOptions, shape: tuple[int, ...]) -> dict[str, float]:
        """Floating-point operations, two a multiply-add: ``training`` for each sequence seen, ``sampling`` for each
        made, of matrix products."""
        from . import training

        return training.flops_per_image(options, shape[0])

    @classmethod
    def load(cls, stored: Stored, options: TransformerOptions) -> Self:
        """The model that ``stored`` and ``options`` describe. Raises ValueError where they are not of one network."""
        from ...engine.networks import check_shapes

        tensors = stored.tensors
        shape = checked_row_shape(tensors["shape"])
        if len(shape) != 1:
            raise ValueError(f"shape: found {shape}, allowed is one number (length,)")
        weights = part(tensors, "network.")
        check_shapes(outline(options, shape[0]), weights)
        return cls(options, shape, weights, part(tensors, "curve."))


def outline(options: TransformerOptions, length: int) -> Mapping[str, Any]:
    """The parameters of a network by name, with shapes and no numbers."""
    from ...engine.networks import outlined
    from .networks import build

    return outlined(lambda: build(options, length))
