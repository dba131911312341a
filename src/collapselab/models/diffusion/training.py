"""Training of a denoiser: the EDM loss (Karras et al. 2022, section 5), Adam, and a moving average of the weights.

Every random number of step s comes from the device's generator seeded by a hash of (seed, s), and the rows of step s
from the shuffled epochs that the seed names: a training resumed at step s needs no generator state, and arms that share
a seed share their noise.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ... import provenance, seeds
from ...device import device, exact
from ...images import to_unit
from ...optim import Adam
from ..base import Diverged, Interrupted, Progress, TrainingSet
from ..checkpoint import Checkpoint, identity
from . import DiffusionOptions
from .networks import build, denoise, load_weights, loss_weight

CURVE_POINTS = 100
STEPS_UNREAD = 16  # on a GPU the loss is read every so many steps: reading it waits for the device


def train(
    training: TrainingSet,
    options: DiffusionOptions,
    seed: int,
    initial: Mapping[str, np.ndarray] | None,
    images_seen: int,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The averaged weights by name, and the training curve, after ``ceil(images_seen / batch)`` steps.

    Step s takes the next ``batch`` rows y of epochs that are each shuffled, ln(sigma) ~ N(p_mean, p_std^2),
    n ~ N(0, sigma^2 I), and minimises

        mean of  w / mean(w) * loss_weight(sigma) * |D(y + n; sigma) - y|^2 / pixels

    with w the rows' weights. The checkpoint's folder is left to the caller, who removes it when the model is safe.
    Raises Diverged, Interrupted and ValueError as :meth:`Diffusion.fit` says.
    """
    where = device()
    steps = -(-images_seen // options.batch)
    # Built on the CPU: the same initial weights on every device.
    network = build(options, training.data.shape[1:], seeds.seed_of(seed, None, None, "network")).to(where)
    if initial is not None:
        load_weights(network, initial)

    with exact(where, options.precision != "float32") as generator:
        run = _Run(network.train(), options, steps)

        saved = None
        if checkpoint is not None:
            arrays = {"data": training.data, "labels": training.labels, "weights": training.weights}
            arrays |= {f"initial.{name}": array for name, array in (initial or {}).items()}
            # A state of other code goes on to a model that neither the old code nor the new one makes.
            facts = {"source": provenance.source_hash("models.diffusion"), "torch": torch.__version__}
            facts |= {"device": where.type, "options": options.model_dump(mode="json"), "seed": seed, "steps": steps}
            saved = Checkpoint(checkpoint, identity(arrays, **facts))
            if (found := saved.read()) is not None:
                run.restore(found[0])

        relative_weights = torch.from_numpy((training.weights / training.weights.mean()).astype(np.float32))
        every = 1 if where.type == "cpu" else STEPS_UNREAD
        for step in range(run.step, steps):
            rows = shuffled_rows(seed, len(training), step * options.batch, options.batch)
            images = torch.from_numpy(to_unit(training.data[rows])).to(where)
            labels = torch.from_numpy(training.labels[rows]).to(where) if options.classes else None
            generator.manual_seed(seeds.seed_of(seed, None, None, "step", step))
            run.advance(images, labels, relative_weights[rows].to(where))

            seen, last = run.step * options.batch, run.step == steps
            due = (
                saved is not None
                and seen // options.checkpoint_images > step * options.batch // options.checkpoint_images
            )
            if last or due or run.step % every == 0:
                loss = run.read_loss()
                stop = progress is not None and progress(seen, loss) is True and not last
                if saved is not None and (stop or due) and not last:
                    saved.write(run.state(), seen)
                if stop:
                    raise Interrupted(seen)
        return run.result()


class _Run:
    """The moving parts of one training: parameters, their average, Adam's moments and the losses so far."""

    def __init__(self, network: nn.Module, options: DiffusionOptions, steps: int):
        self.network, self.options = network, options
        self.names = [name for name, _ in network.named_parameters()]
        self.parameters = list(network.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.adam = Adam(self.parameters, options.learning_rate, options.betas)
        self.losses = torch.zeros(steps, device=self.parameters[0].device)
        self.step = self.read = 0

    def advance(self, images: torch.Tensor, labels: torch.Tensor | None, weights: torch.Tensor) -> None:
        """One step of Adam and of the average."""
        options = self.options
        one_hot = None if labels is None else F.one_hot(labels, options.classes).to(images.dtype)
        if one_hot is not None and options.label_dropout:
            one_hot = one_hot * (torch.rand(len(images), 1, device=images.device) >= options.label_dropout)
        if options.flip:
            mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        sigma = torch.exp(options.p_mean + options.p_std * torch.randn(len(images), device=images.device))
        noisy = images + sigma[:, None, None, None] * torch.randn_like(images)
        denoised = denoise(self.network, noisy, sigma, one_hot, options.sigma_data)
        errors = (denoised - images).square().mean(dim=(1, 2, 3))
        loss = (weights * loss_weight(sigma, options.sigma_data) * errors).mean()
        loss.backward()

        self.losses[self.step] = loss.detach()
        self.step += 1
        seen = self.step * options.batch
        self.adam.lr = options.learning_rate * min(1.0, seen / max(options.warmup_images, 1))
        self.adam.step()
        decay = ema_decay(seen, options.batch, options.ema_half_life, options.ema_ramp)
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    def read_loss(self) -> float:
        """The mean loss of the steps not yet read; raises Diverged at the first that is not finite."""
        losses = self.losses[self.read : self.step].tolist()
        for step, loss in enumerate(losses, start=self.read + 1):
            if not np.isfinite(loss):
                raise Diverged(step * self.options.batch, loss)
        self.read = self.step
        return sum(losses) / len(losses)

    def state(self) -> dict[str, np.ndarray]:
        arrays = {f"adam.{name}": array for name, array in self.adam.state().items()}
        for name, parameter, average in zip(self.names, self.parameters, self.average, strict=True):
            arrays[f"parameter.{name}"] = parameter.detach().cpu().numpy().copy()
            arrays[f"average.{name}"] = average.cpu().numpy().copy()
        return arrays | {"losses": self.losses[: self.step].cpu().numpy().copy()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        for name, parameter, average in zip(self.names, self.parameters, self.average, strict=True):
            parameter.copy_(torch.from_numpy(np.array(state[f"parameter.{name}"])))
            average.copy_(torch.from_numpy(np.array(state[f"average.{name}"])))
        self.adam.restore(
            {name.removeprefix("adam."): array for name, array in state.items() if name.startswith("adam.")}
        )
        self.step = self.read = len(state["losses"])
        self.losses[: self.step] = torch.from_numpy(np.array(state["losses"]))

    def result(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        weights = {name: average.cpu().numpy() for name, average in zip(self.names, self.average, strict=True)}
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise Diverged(self.step * self.options.batch, float("nan"))
        losses = self.losses.cpu().numpy().astype(np.float64)
        begins = np.arange(0, len(losses), -(-len(losses) // CURVE_POINTS))
        ends = np.append(begins[1:], len(losses))
        means = np.add.reduceat(losses, begins) / (ends - begins)
        return weights, {"images_seen": ends * self.options.batch, "loss": means}


def ema_decay(images_seen: int, batch: int, half_life: float, ramp: float) -> float:
    """What a step leaves of the old average: ``0.5 ** (batch / min(half_life, ramp images_seen))`` (Karras et al.).

    The ramp forgets the random initial weights: with 0.05 the average always spans the last twentieth of the training
    or the half-life, whichever is shorter. A half-life of 0 keeps no average.
    """
    span = min(half_life, ramp * images_seen)
    return 0.5 ** (batch / span) if span > 0 else 0.0


def shuffled_rows(seed: int, rows: int, first: int, count: int) -> np.ndarray:
    """Positions ``first .. first + count`` of the endless sequence of epochs, each a permutation of 0 .. rows - 1."""
    epochs = range(first // rows, (first + count - 1) // rows + 1)
    order = np.concatenate([_permutation(seed, epoch, rows) for epoch in epochs])
    return order[first - epochs[0] * rows :][:count]


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    return seeds.generator(seeds.seed_of(seed, None, None, "epoch", epoch)).permutation(rows)
