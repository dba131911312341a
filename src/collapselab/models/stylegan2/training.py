"""Training of a generator against a discriminator, as a task of the loop (Karras et al. 2020, StyleGAN2 and ADA).

With D the logit, G the generator, A the augmentation and f = softplus, a step minimises in turn

    discriminator     f(D(A G(z))) + f(-D(A x))                            (Goodfellow et al. 2014)
    r1                gamma / 2 |grad_x D(A x)|^2                          (Mescheder et al. 2018), every 16th step
    loss              f(-D(A G(z))), of the generator, non-saturating
    path_length       weight (|J_w^T y| - a)^2, y normal, a its mean so far  (StyleGAN2, equation 4), every 4th step

A term that is there every k-th step only weighs k times as much in it. It is a step of the optimiser of its own, with
the moments of its network's other steps; as a network then takes (k + 1) / k times the steps, the rate is multiplied by
c = k / (k + 1) and the betas raised to it (StyleGAN2, appendix B).

Losses are pure, but that they add to sums of a step's images: the mean w, the mean sign of the real images' logits, the
mean path length. After a step, once those of all processes are added up, they move what follows them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ...core import seeds
from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop
from ...engine.averages import HalfLife
from ...engine.execution import Execution
from ...engine.networks import trained
from ...engine.optim import Adam
from ...engine.task import Batch, Phase
from ...machine import processes
from ...machine.device import exact
from ..arrays import part
from . import augment, building
from .options import StyleGAN2Options


def train(
    training: TrainingSet, options: StyleGAN2Options, run: Run, initial: Mapping[str, np.ndarray] | None
) -> loop.Trained:
    """Both networks' weights as ``generator.<name>`` and ``discriminator.<name>``, trained by :func:`loop.train`.

    initial: weights to start from, named so; without any of the discriminator's it starts anew.
    """
    return trained("stylegan2", partial(task, training, options, run, initial), training, options, run, initial)


def task(
    training: TrainingSet,
    options: StyleGAN2Options,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    where: torch.device,
) -> "Adversarial":
    """What is trained: both networks from the seed's initial weights, or from ``initial`` ones."""
    shape = training.data.shape[1:]
    # Built on the CPU: the same initial weights on every device.
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seeds.seed_of(run.seed, None, None, "network"))
        networks = {
            "generator": building.generator(options, shape),
            "discriminator": building.discriminator(options, shape),
        }
    for name, network in networks.items():
        if weights := part(initial or {}, f"{name}."):
            building.load(network, weights, name)
    both = (network.to(where).train() for network in networks.values())
    return Adversarial(*both, options, shape, class_shares(training, options.classes))


def class_shares(training: TrainingSet, classes: int) -> np.ndarray:
    """The weighted share of each class in the training set: (classes,) float64."""
    if not classes:
        return np.zeros(0)
    shares = np.bincount(training.labels, training.weights, classes)
    return shares / shares.sum()


class Adversarial:
    """A :class:`task.Task`: both networks, their losses, and what follows the training.

    shape: (C, H, H) of the images. shares: of the classes among the labels of generated images, (classes,).

    augment_p: the probability of augmentations, 0-dim. real_sign: the mean sign of the real images' logits when it was
    last adjusted. path_mean: a. The mean of w is the mapping's own buffer. sums: of this process's images of a step, in
    parts that end with how many there were; signs: of all processes' images since p was adjusted.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        options: StyleGAN2Options,
        shape: Sequence[int],
        shares: np.ndarray,
    ) -> None:
        self.options, self.shape = options, tuple(shape)
        self.generator, self.discriminator = generator, discriminator
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.granularity = min(options.deviation_group, options.batch)
        self.where = generator.mapping.w_avg.device
        self.until = torch.from_numpy(np.cumsum(shares)).to(self.where)
        self.plain_mapping, self.plain_synthesis = generator.mapping, generator.synthesis
        self.plain_discriminator = discriminator

        self.averages = HalfLife(
            dict(generator.named_parameters()), options.ema_half_life, options.ema_ramp or math.inf
        )
        self.augment_p, self.real_sign, self.path_mean = (torch.zeros((), device=self.where) for _ in range(3))
        self.sums = torch.zeros(options.w_width + 5, device=self.where)
        self.sums_of = dict(zip(("w", "signs", "lengths"), self.sums.split([options.w_width + 1, 2, 2]), strict=True))
        self.signs = torch.zeros(2, device=self.where)

        of_generator = self._optimiser(generator, options.path_every if options.path_weight else None)
        of_discriminator = self._optimiser(discriminator, options.r1_every if options.r1_gamma else None)
        self.phases = [Phase("discriminator", of_discriminator, self.discriminator_loss)]
        if options.r1_gamma:
            self.phases.append(Phase("r1", of_discriminator, self.r1_loss, every=options.r1_every))
        self.phases.append(Phase("loss", of_generator, self.generator_loss))
        if options.path_weight:
            share = 2 if options.batch % 2 == 0 else 1
            self.phases.append(
                Phase("path_length", of_generator, self.path_length_loss, every=options.path_every, share=share)
            )

    def _optimiser(self, network: nn.Module, every: int | None) -> Adam:
        rate, betas = self.options.learning_rate, self.options.betas
        if every is not None:
            ratio = every / (every + 1)
            rate, betas = rate * ratio, (betas[0] ** ratio, betas[1] ** ratio)
        return Adam(network.parameters(), rate, betas)

    def prepare(self, execution: Execution) -> None:
        """Plain phases call the networks as ``execution`` says; regularisations, differentiated twice, as they are."""
        self.plain_mapping = execution.compiled(self.generator.mapping)
        self.plain_synthesis = execution.compiled(self.generator.synthesis)
        self.plain_discriminator = execution.compiled(self.discriminator)

    # -- randomness ----------------------------------------------------------------------------------------------------

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """What each phase's losses need, as ``<phase>.<what>``.

        The layers' noise, ``noise.<layer>``, is drawn once for all phases, each of which is as random with it.
        """
        options, where = self.options, self.where
        draws = {"flip": torch.rand(count, device=where)} if options.flip else {}
        for phase in self.phases:
            if phase.name == "r1":
                continue
            draws[f"{phase.name}.z"] = torch.randn(count, options.z_width, device=where)
            if options.style_mixing:
                draws[f"{phase.name}.other_z"] = torch.randn(count, options.z_width, device=where)
                draws[f"{phase.name}.mixing"] = torch.rand(count, device=where)
            if options.classes:
                draws[f"{phase.name}.class"] = torch.rand(count, dtype=torch.float64, device=where)
        for index, shape in enumerate(self.generator.noise_shapes):
            draws[f"noise.{index}"] = torch.randn(count, *shape, device=where)
        if options.path_weight:
            draws["path_length.direction"] = torch.randn(count, *self.shape, device=where)
        if options.augment == "ada":
            for seen in ("real", "fake", "r1", "loss"):
                numbers = augment.draw(count, where)
                draws |= {f"augment.{seen}.{name}": drawn for name, drawn in numbers.items()}
        return draws

    # -- losses --------------------------------------------------------------------------------------------------------

    def discriminator_loss(self, batch: Batch) -> torch.Tensor:
        """f(D(A G(z))) + f(-D(A x)) of each image, the latter times the image's weight: (B,)."""
        with torch.no_grad():
            labels = self._labels(batch, "discriminator")
            ws = self._ws(self.plain_mapping, batch, "discriminator", labels)
            fakes = self.plain_synthesis(ws, self._noise(batch))
        fake = self._logits(self.plain_discriminator, self._seen(fakes, batch, "fake"), labels)
        images, labels = self._real(batch)
        real = self._logits(self.plain_discriminator, self._seen(images, batch, "real"), labels)
        self._add("signs", real.detach().sign()[:, None])
        return F.softplus(fake) + batch.weights * F.softplus(-real)

    def r1_loss(self, batch: Batch) -> torch.Tensor:
        """every gamma / 2 |grad_x sum of D(A x)|^2 of each image, times the image's weight: (B,)."""
        images, labels = self._real(batch)
        images = images.detach().requires_grad_()
        logits = self._logits(self.discriminator, self._seen(images, batch, "r1"), labels)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        weight = self.options.r1_every * self.options.r1_gamma / 2
        return weight * batch.weights * gradient.square().sum((1, 2, 3))

    def generator_loss(self, batch: Batch) -> torch.Tensor:
        """f(-D(A G(z))) of each image: (B,)."""
        labels = self._labels(batch, "loss")
        ws = self._ws(self.plain_mapping, batch, "loss", labels)
        # Of an image that mixes two, the first layer's w: each is as random.
        self._add("w", ws[:, 0].detach())
        fakes = self.plain_synthesis(ws, self._noise(batch))
        return F.softplus(-self._logits(self.plain_discriminator, self._seen(fakes, batch, "loss"), labels))

    def path_length_loss(self, batch: Batch) -> torch.Tensor:
        """every weight (l - a)^2 of each image, with l = sqrt(mean over layers of |grad_w of image y|^2): (B,).

        y is normal noise over the square root of the number of pixels; a is the mean of the steps before.
        """
        ws = self._ws(self.generator.mapping, batch, "path_length", self._labels(batch, "path_length"))
        images = self.generator.synthesis(ws, self._noise(batch))
        direction = batch.draws["path_length.direction"] / math.sqrt(self.shape[1] * self.shape[2])
        (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
        lengths = gradient.square().sum(2).mean(1).sqrt()
        self._add("lengths", lengths.detach()[:, None])
        weight = self.options.path_every * self.options.path_weight
        return weight * (lengths - self.path_mean).square()

    def _real(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The training images, some mirrored, and their labels as one-hot rows."""
        images = batch.images
        if self.options.flip:
            images = torch.where((batch.draws["flip"] < 0.5)[:, None, None, None], images.flip(3), images)
        return images, self._one_hot(batch.labels)

    def _labels(self, batch: Batch, phase: str) -> torch.Tensor | None:
        """Labels for generated images, drawn as often as the training set has them."""
        if not self.options.classes:
            return None
        # Rounding may leave the last sum short of 1.
        drawn = torch.searchsorted(self.until, batch.draws[f"{phase}.class"], right=True)
        return self._one_hot(drawn.clamp(max=self.options.classes - 1))

    def _one_hot(self, labels: torch.Tensor | None) -> torch.Tensor | None:
        if labels is None or not self.options.classes:
            return None
        # Not F.one_hot, which reads the labels back to check them.
        return (labels[:, None] == torch.arange(self.options.classes, device=labels.device)).to(torch.float32)

    def _ws(self, mapping: nn.Module, batch: Batch, phase: str, labels: torch.Tensor | None) -> torch.Tensor:
        """w of every layer (B, num_ws, w_width): of z up to a layer drawn at random, of another z from there on."""
        layers, mixing = self.generator.num_ws, self.options.style_mixing
        w = mapping(batch.draws[f"{phase}.z"], labels)
        ws = w[:, None].expand(-1, layers, -1)
        if not mixing:
            return ws
        other = mapping(batch.draws[f"{phase}.other_z"], labels)
        chance = batch.draws[f"{phase}.mixing"]
        first = 1 + (chance / mixing * (layers - 1)).long()  # of other's layers; beyond the last if chance >= mixing
        first = torch.where(chance < mixing, first, layers)
        other_layers = torch.arange(layers, device=first.device) >= first[:, None]
        return torch.where(other_layers[:, :, None], other[:, None], ws)

    def _noise(self, batch: Batch) -> list[torch.Tensor]:
        return [batch.draws[f"noise.{index}"] for index in range(len(self.generator.noise_shapes))]

    def _seen(self, images: torch.Tensor, batch: Batch, which: str) -> torch.Tensor:
        """The images as the discriminator sees them."""
        if self.options.augment == "none":
            return images
        numbers = part(batch.draws, f"augment.{which}.")
        return augment.augment(images, self.augment_p, numbers)

    def _logits(self, discriminator: nn.Module, images: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """D of each image: (B,) float32."""
        return discriminator(images, labels)[:, 0].float()

    # -- what follows the training -------------------------------------------------------------------------------------

    @torch.no_grad()
    def _add(self, name: str, values: torch.Tensor) -> None:
        """Add rows (B, width) to a sum."""
        self.sums_of[name][:-1] += values.float().sum(0)
        self.sums_of[name][-1] += len(values)

    @torch.no_grad()
    def after_step(self, images_seen: int, batch: int) -> None:
        """Move the generator's average, the mean w and path length, and every few steps the augmentation.

        p moves by sign(mean sign of D(A x) - target) x images / ada_images (ADA, section 3.2). It stays in [0, 1]: the
        paper bounds it from below only, but above 1 it would just take longer to come down.
        """
        options, step = self.options, images_seen // batch
        self.averages.update(images_seen, batch)
        processes.sum_in_place(self.sums)
        self.generator.mapping.w_avg.lerp_(mean_of(self.sums_of["w"]), 1 - options.w_decay)
        if options.path_weight and (step - 1) % options.path_every == 0:
            self.path_mean.lerp_(mean_of(self.sums_of["lengths"])[0], options.path_decay)
        self.signs += self.sums_of["signs"]
        if options.augment == "ada" and step % options.ada_every == 0:
            self.real_sign.copy_(mean_of(self.signs)[0])
            change = options.ada_every * batch / options.ada_images
            self.augment_p.add_((self.real_sign - options.ada_target).sign(), alpha=change).clamp_(0, 1)
            self.signs.zero_()
        self.sums.zero_()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The generator's average, the sums, the probability of augmentations and the mean path length."""
        own = {"augment_p": self.augment_p, "real_sign": self.real_sign, "path_mean": self.path_mean}
        own |= {"sums": self.sums, "signs": self.signs}
        return own | {f"average.{name}": tensor for name, tensor in self.averages.tensors().items()}

    def watched(self) -> dict[str, torch.Tensor]:
        """``augment_p`` and ``real_sign`` with ADA, ``path_mean`` with the path length."""
        found = {"augment_p": self.augment_p, "real_sign": self.real_sign} if self.options.augment == "ada" else {}
        return found | ({"path_mean": self.path_mean} if self.options.path_weight else {})

    def result(self) -> dict[str, np.ndarray]:
        """The averaged generator with its buffers as ``generator.<name>``, the discriminator as it is."""
        generator = building.stored(self.generator) | self.averages.weights
        kept = {f"generator.{name}": tensor for name, tensor in generator.items()}
        kept |= {f"discriminator.{name}": tensor for name, tensor in building.stored(self.discriminator).items()}
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in kept.items()}


def mean_of(sums: torch.Tensor) -> torch.Tensor:
    """The mean of what was summed up: (width,), for sums (width + 1,) that end with the number of images."""
    return sums[:-1] / sums[-1]


def flops_per_image(options: StyleGAN2Options, shape: Sequence[int]) -> dict[str, float]:
    """Operations a training image and a sample, as :meth:`StyleGAN2.flops_per_image` says."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        """Counts like FlopCounterMode, which cannot follow modules through gradients of gradients."""

        total = 0

        def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
            found = operator(*arguments, **(options or {}))
            if (formula := flop_registry.get(operator._overloadpacket)) is not None:
                self.total += formula(*arguments, **(options or {}), out_val=found)
            return found

    def counted(work: Callable[[], Any]) -> float:
        with Counter() as counter:
            work()
        return counter.total / count

    task = Adversarial(*building.outlines(options, shape), options, shape, np.ones(options.classes))
    count = task.granularity
    with torch.device("meta"):
        labels = torch.zeros(count, dtype=torch.int64) if options.classes else None
        batch = Batch(torch.zeros(count, *shape), labels, torch.ones(count), task.draw(count))
        ws = torch.zeros(count, task.generator.num_ws, options.w_width)

    def step(phase: Phase) -> None:
        torch.autograd.grad(phase.loss(batch).mean(), phase.optimiser.parameters, materialize_grads=True)

    training = sum(counted(lambda phase=phase: step(phase)) / phase.every / phase.share for phase in task.phases)
    with torch.no_grad():
        sampling = counted(lambda: task.generator.synthesis(ws, task.generator.stored_noise()))
    return {"training": training, "sampling": sampling}
