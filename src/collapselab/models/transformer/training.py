"""Training of a causal transformer by the cross-entropy of each token, given those before it.

The loop is that of every family (:mod:`engine.loop`).
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop, networks
from ...engine.averages import HalfLife
from ...engine.execution import Execution
from ...engine.task import Batch
from .networks import Network, build
from .options import TransformerOptions


def train(
    training: TrainingSet,
    options: TransformerOptions,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
) -> loop.Trained:
    """The weights by name, averaged where the options say so, after ``ceil(run.images_seen / batch)`` steps.

    training.data: (N, L) float32 whole numbers, as :meth:`Transformer.seen` gives tokens. What is raised is
    :func:`loop.train`'s.
    """
    task_of = partial(task, options, training.data.shape[1], run, initial)
    return networks.trained("transformer", task_of, training, options, run, initial)


def task(
    options: TransformerOptions,
    length: int,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    where: torch.device,
) -> "Predicting":
    """What is trained on sequences of a length: a network from the seed's initial weights, or from ``initial`` ones."""
    network = networks.initialised(lambda: build(options, length), run.seed, initial, where)
    return Predicting(network, options, run.images_seen)


class Predicting(networks.Descent):
    """The task of minimising, in nats a token,

        mean of  w / mean(w) * 1/L sum_i  -log p(x_i | x_1 .. x_{i-1}) [p(x_i | ...) <= threshold]

    with w the rows' weights; without a threshold all tokens count. The bracket is that of ForTIFAI's truncated
    cross-entropy (Shabgahi et al. 2025, https://arxiv.org/abs/2509.08972): what the model is sure of is likely to be
    made by a model, and has no gradient.
    """

    def __init__(self, network: Network, options: TransformerOptions, images_seen: int):
        self.options, self.called = options, network
        self.average = None
        super().__init__(network, options.learning_rate, options.betas, images_seen)
        self.adam.lr = self._learning_rate(0, options.batch)
        if options.ema_half_life:
            named = dict(network.named_parameters())
            self.average = HalfLife(named, options.ema_half_life, options.ema_ramp)

    def prepare(self, execution: Execution) -> None:
        self.called = execution.compiled(self.network)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        return {}

    def loss(self, batch: Batch) -> torch.Tensor:
        tokens = batch.images.long()
        logits = self.called(tokens)
        return batch.weights * token_losses(logits, tokens, self.options.threshold).mean(dim=1)

    def after_step(self, images_seen: int, batch: int) -> None:
        if self.average is not None:
            self.average.update(images_seen, batch)
        self.adam.lr = self._learning_rate(images_seen, batch)

    def _learning_rate(self, images_seen: int, batch: int) -> float:
        """Of the step that begins where so many sequences were seen: it falls along half a cosine, after a ramp."""
        ramp = min(1.0, (images_seen + batch) / self.options.warmup_images) if self.options.warmup_images else 1.0
        return self.rate * ramp * (1 + math.cos(math.pi * min(1.0, images_seen / self.images_seen))) / 2

    def tensors(self) -> dict[str, torch.Tensor]:
        if self.average is None:
            return {}
        return {f"average.{name}": weight for name, weight in self.average.tensors().items()}

    def result(self) -> dict[str, np.ndarray]:
        """The network's weights by name, or their average."""
        if self.average is None:
            return super().result()
        return {name: weight.detach().cpu().numpy().copy() for name, weight in self.average.weights.items()}


def token_losses(logits: torch.Tensor, tokens: torch.Tensor, threshold: float | None = None) -> torch.Tensor:
    """-log p of each token in nats: (B, L) float32; 0, without a gradient, where p is above the threshold.

    logits: (B, L, V). tokens: (B, L) int64.
    """
    losses = F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none").view(tokens.shape)
    if threshold is None:
        return losses
    return torch.where(losses.detach() >= -math.log(threshold), losses, 0.0)


def flops_per_image(options: TransformerOptions, length: int) -> dict[str, float]:
    """Operations a training sequence and a sample, as :meth:`Transformer.flops_per_image` says."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        task = Predicting(build(options, length).train(), options, 1)
        batch = Batch(torch.zeros(1, length), None, torch.ones(1), {})
        with FlopCounterMode(display=False) as training:
            torch.autograd.grad(task.loss(batch).mean(), task.adam.parameters, materialize_grads=True)
        network = task.network.eval()
        steps, before = [], torch.zeros(1, dtype=torch.int64)
        for place in (0, length - 1):  # what a token costs grows by the same with each one before it
            with FlopCounterMode(display=False) as step, torch.no_grad():
                network.step(before, place, network.empty_cache(1, torch.float32))
            steps.append(step.get_total_flops())
    return {"training": float(training.get_total_flops()), "sampling": float(length * sum(steps) / 2)}
