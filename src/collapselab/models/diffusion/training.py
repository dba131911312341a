"""Training of a denoiser: its loss, Adam, and a moving average of the weights, whose width may be chosen at the end.

The loop is that of every family (:mod:`engine.loop`).
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ...core import seeds
from ...core.images import to_unit
from ...core.kinds import KINDS
from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop
from ...engine.averages import LADDER, HalfLife, Power
from ...engine.checkpoint import identity
from ...engine.execution import Execution
from ...engine.networks import load_weights, trained
from ...engine.optim import Adam
from ...engine.task import Batch, Phase
from ...machine.device import autocast, exact
from . import augment
from .networks import build, loaded
from .options import DiffusionOptions
from .parameterisations import Parameterisation, parameterisation

VALIDATION_BATCH, VALIDATION_PASSES = 256, 4  # each row is looked at with so many noises


def train(
    training: TrainingSet, options: DiffusionOptions, run: Run, initial: Mapping[str, np.ndarray] | None
) -> loop.Trained:
    """The averaged weights by name, and the training curve, after ``ceil(run.images_seen / batch)`` steps.

    Step s takes the next ``batch`` rows y of epochs that are each shuffled, noise levels sigma of the parameterisation,
    n ~ N(0, sigma^2 I), and minimises

        mean of  w / mean(w) * loss_weight(sigma) * |D(y + n; sigma) - y|^2 / pixels

    with w the rows' weights; vectors are standardised and float32, those of ``run.validation``, too. Where an option is
    left open, the weights have beside them what was chosen by ``run.validation`` (:meth:`Denoising.result`). What is
    raised is :func:`loop.train`'s.
    """
    facts = {}
    if options.left_open:
        rows = run.validation
        facts = {"validation": identity({"data": rows.data, "labels": rows.labels, "weights": rows.weights})}
    task_of = partial(task, options, training.data.shape[1:], run, initial)
    return trained("diffusion", task_of, training, options, run, initial, facts)


def task(
    options: DiffusionOptions,
    shape: tuple[int, ...],
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    where: torch.device,
) -> "Denoising":
    """What is trained on rows of ``shape``: a network from the seed's initial weights, or from ``initial`` ones."""
    # Built on the CPU: the same initial weights on every device.
    network = build(options, shape, seeds.seed_of(run.seed, None, None, "network")).to(where)
    if initial is not None:
        load_weights(network, initial)
    steps = run.steps(options.batch)
    return Denoising(network.train(), options, shape, steps, run.validation if options.left_open else None)


class Denoising:
    """A :class:`task.Task`: one network, one phase, and an average of the network's parameters.

    steps: of the whole training. validation: on which the width of the average is chosen, where it is left open.
    """

    granularity = 1

    def __init__(
        self,
        network: nn.Module,
        options: DiffusionOptions,
        shape: tuple[int, ...],
        steps: int,
        validation: TrainingSet | None = None,
    ):
        self.options, self.shape, self.validation = options, shape, validation
        self.network = self.called = network
        self.networks = {"denoiser": network}
        named = dict(network.named_parameters())
        self.where = next(iter(named.values())).device
        self.parameterisation = parameterisation(options, self.where)
        if options.ema == "half_life":
            self.average: HalfLife | Power = HalfLife(named, options.ema_half_life, options.ema_ramp)
        else:
            self.average = Power(named, options.ema_std, steps, options.ema_snapshots)
        self.adam = Adam(named.values(), self._learning_rate(options.batch), options.betas)
        self.phases = [Phase("loss", self.adam, self.loss)]

    def prepare(self, execution: Execution) -> None:
        self.called = execution.compiled(self.network)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        options, where = self.options, self.where
        draws = {}
        if options.classes and options.label_dropout:
            draws["kept"] = torch.rand(count, 1, device=where) >= options.label_dropout
        if options.flip:
            draws["mirrored"] = torch.rand(count, 1, 1, 1, device=where) < 0.5
        if options.augment:
            draws["augmentation"] = augment.draw(count, options.augment, where)
        draws["sigma"] = self.parameterisation.draw(count)
        return draws | {"noise": torch.randn(count, *self.shape, device=where)}

    def loss(self, batch: Batch) -> torch.Tensor:
        options, images, draws = self.options, batch.images, batch.draws
        labels = None
        if options.classes:
            # Not F.one_hot, which reads the labels back to check them.
            labels = (batch.labels[:, None] == torch.arange(options.classes, device=images.device)).to(images.dtype)
        if "kept" in draws:
            labels = labels * draws["kept"]
        if options.flip:
            images = torch.where(draws["mirrored"], images.flip(3), images)
        told = None
        if options.augment:
            images = augment.apply(images, draws["augmentation"])
            told = augment.conditions(draws["augmentation"])
        return squared_errors(
            self.parameterisation, self.called, images, draws["sigma"], draws["noise"], labels, told, batch.weights
        )

    def after_step(self, images_seen: int, batch: int) -> None:
        self.average.update(images_seen, batch)
        self.adam.lr = self._learning_rate(images_seen + batch)

    def _learning_rate(self, images_seen: int) -> float:
        """Of the step after which so many images are seen."""
        return self.options.learning_rate * min(1.0, images_seen / max(self.options.warmup_images, 1))

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"average.{name}": tensor for name, tensor in self.average.tensors().items()}

    def watched(self) -> dict[str, torch.Tensor]:
        return {}

    def result(self) -> dict[str, np.ndarray]:
        """The averaged weights by name. Where ``ema_std`` is left open they are those of the width of
        :data:`averages.LADDER` with the least loss on the validation rows, and beside them are ``chosen.ema_std``,
        ``ladder.ema_std`` and ``ladder.loss``, float64: the choice, all widths, and their losses."""
        if isinstance(self.average, HalfLife):
            return {name: tensor.cpu().numpy().copy() for name, tensor in self.average.weights.items()}
        if self.options.ema_std is not None:
            return self.average.average(self.options.ema_std)
        assert self.validation is not None  # Diffusion.fit has seen to it
        network = loaded(self.options, self.shape, self.average.average(LADDER[0]), self.where)
        losses = []
        for std in LADDER:
            load_weights(network, self.average.average(std))
            losses.append(validation_loss(network, self.options, self.parameterisation, self.validation, self.where))
        # Of a training that diverged no loss is a number, and its weights say so.
        best = LADDER[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
        ladder = {"chosen.ema_std": np.array(best), "ladder.ema_std": np.array(LADDER), "ladder.loss": np.array(losses)}
        return self.average.average(best) | ladder


def squared_errors(
    parameterised: Parameterisation,
    network: nn.Module,
    images: torch.Tensor,
    sigma: torch.Tensor,
    noise: torch.Tensor,
    labels: torch.Tensor | None,
    augmentation: torch.Tensor | None = None,
    weights: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """weights loss_weight(sigma) |D(y + sigma n; sigma) - y|^2 / pixels, (B,), of rows y and standard normal noise n.

    The factors are multiplied in this order, which is part of a model's bits.
    """
    noisy = images + sigma.reshape(-1, *[1] * (images.dim() - 1)) * noise
    denoised = parameterised.denoise(network, noisy, sigma, labels, augmentation)
    return (
        weights
        * parameterised.loss_weight(sigma)
        * (denoised - images).square().mean(dim=tuple(range(1, images.dim())))
    )


@torch.no_grad()
def validation_loss(
    network: nn.Module,
    options: DiffusionOptions,
    parameterised: Parameterisation,
    validation: TrainingSet,
    where: torch.device,
) -> float:
    """The training's loss on other rows, with their labels and nothing dropped or transformed.

    Noise and its levels are the same whenever the rows are the same, so that networks are compared in pairs.
    """
    total, weight = 0.0, VALIDATION_PASSES * validation.weights.sum()
    with exact(where, options.precision != "float32") as generator, autocast(where, options.precision):
        for index in range(VALIDATION_PASSES):
            for start in range(0, len(validation), VALIDATION_BATCH):
                rows = slice(start, start + VALIDATION_BATCH)
                stored = np.array(validation.data[rows])  # a copy: files are mapped read-only
                images = torch.from_numpy(to_unit(stored) if KINDS["images"].holds(stored) else stored).to(where)
                labels = None
                if options.classes:
                    numbers = torch.tensor(validation.labels[rows], device=where)
                    labels = F.one_hot(numbers, options.classes).to(images.dtype)
                generator.manual_seed(seeds.seed_of(0, None, index, "validation", start))
                sigma = parameterised.draw(len(images))
                errors = squared_errors(parameterised, network, images, sigma, torch.randn_like(images), labels)
                total += float(errors.double().cpu().numpy() @ validation.weights[rows])
    return total / weight


def flops_per_image(options: DiffusionOptions, shape: tuple[int, ...]) -> dict[str, float]:
    """Operations a training image and a sample, as :meth:`Diffusion.flops_per_image` says."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        task = Denoising(build(options, shape).train(), options, shape, 1)
        labels = torch.zeros(1, dtype=torch.int64) if options.classes else None
        batch = Batch(torch.zeros(1, *shape), labels, torch.ones(1), task.draw(1))
        with FlopCounterMode(display=False) as training:
            torch.autograd.grad(task.loss(batch).mean(), task.adam.parameters, materialize_grads=True)
        one_hot = torch.zeros(1, options.classes) if options.classes else None
        with FlopCounterMode(display=False) as evaluation, torch.no_grad():
            task.network.eval()(batch.images, torch.zeros(1), one_hot)
    evaluations = 2 * options.steps - 1 if options.sampler == "heun" else options.steps
    return {
        "training": float(training.get_total_flops()),
        "sampling": float(evaluations * evaluation.get_total_flops()),
    }
