"""The training loop of every family of networks: feeding, phases, micro-batches, processes, curves and checkpoints.

A family says what is trained and by which losses (:class:`execution.Task`); the loop says when, where and on which
rows. Every random number of step s comes from the device's generator seeded by a hash of (seed, s), and the rows of
step s from the shuffled epochs that the seed names: a training resumed at step s needs no generator state, and arms
that share a seed share their noise.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import device as devices
from .. import processes, provenance, seeds
from . import execution as executing
from . import feeding
from .base import Diverged, Interrupted, Progress, TrainingSet
from .checkpoint import Checkpoint, State, differences, identity
from .execution import Batch, Execution, Runner, Task

CURVE_POINTS = 100
STEPS_UNREAD = 16  # on a GPU the losses are read every so many steps at most: reading them waits for the device
READ_S = 4.0  # ... and about every so many seconds, so that slow steps, too, are soon stopped where that is asked for
CHECKPOINT_VARIABLE = "COLLAPSELAB_CHECKPOINT_SECONDS"
CHECKPOINT_S = 600.0  # the most that an interrupted training loses


@dataclass(frozen=True)
class Trained:
    """weights: by name. curve: ``images_seen``, ``loss`` and the other curves, equally long. how: it was trained."""

    weights: dict[str, np.ndarray]
    curve: dict[str, np.ndarray]
    how: dict[str, Any]


Inspect = Callable[[Trained, int], None]
"""Called with the training as it would be if it ended now, and its images seen."""


def train(
    task_of: Callable[[torch.device], Task],
    training: TrainingSet,
    *,
    family: str,
    facts: Mapping[str, Any],
    batch: int,
    images_seen: int,
    seed: int,
    precision: str = "float32",
    initial: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    allow_nonidentical: bool = False,
    snapshots: int = 0,
    inspect: Inspect | None = None,
) -> Trained:
    """The task trained for ``ceil(images_seen / batch)`` steps.

    Step s takes the next ``batch`` rows of epochs that are each shuffled, and runs every phase that is due. Gradients
    are added up over micro-batches and over processes, by one sum a phase; DistributedDataParallel is not used, since
    it follows neither several passes through a network in a step nor gradients of gradients.

    task_of: makes the task, the same on every device. training.data: images (N, C, H, W) uint8, or vectors (N, d)
    float32. family: the module below ``models`` whose source is part of the training's identity; facts: what else is,
    such as the options, as JSON-like values. initial: the weights that ``task_of`` starts from, for the identity alone.
    precision: ``float32``, ``tf32`` or ``bfloat16``. progress: called in every process. checkpoint: a folder that is
    left to the caller, who removes it when the model is safe; a state is written every 600 seconds
    (``COLLAPSELAB_CHECKPOINT_SECONDS``) and on a request to stop. allow_nonidentical: go on from a state of other
    hardware or another torch, though the bits are then not those of one uninterrupted training; ``how`` lists what
    differs. inspect: called in the first process at ``snapshots`` evenly spaced points before the end.

    Raises ValueError for a batch that the processes or the granularity do not divide and for a state of other hardware,
    Diverged at the first step whose loss is not finite or when the result is not, Interrupted when ``progress`` asked
    to stop, and RuntimeError when the device's memory is too small.
    """
    steps, between_states = -(-images_seen // batch), _seconds_between_states()
    with _computing(precision) as (where, generator):
        task = task_of(where)
        execution = executing.wanted(where)
        _check_batch(batch, task, execution)
        source = provenance.source_hash(*provenance.entries("models:MODELS", [family]))
        machine = _machine(where)
        saved, found = None, None
        if checkpoint is not None:
            arrays = {"data": training.data, "labels": training.labels, "weights": training.weights}
            arrays |= {f"initial.{name}": array for name, array in (initial or {}).items()}
            what = {"source": source, "family": family, "facts": dict(facts), "precision": precision}
            # A state of other code goes on to a model that neither the old code nor the new one makes.
            saved = Checkpoint(checkpoint, identity(arrays, **what, batch=batch, seed=seed, steps=steps))
            found = _read_in_turn(saved)
        first = found.images_seen // batch if found else 0
        _check_beginning(first, where)
        nonidentical: list[str] = []
        if found is not None:
            if execution is None and found.how["device"] == machine["device"]:
                execution = executing.parsed(found.how["execution"])
            nonidentical = _differing(found.how, machine, execution)
            if nonidentical and not allow_nonidentical:
                raise ValueError(
                    f"{checkpoint}: the training was begun otherwise: {'; '.join(nonidentical)}; allowed is going on "
                    "as it was begun, or --allow-nonidentical, which marks the model"
                )

        plan = feeding.Plan(seed, len(training), batch, processes.rank(), processes.count())
        with feeding.fed(training, plan, where, first, steps) as feed:
            run = _Run(task, feed, steps, batch, seed, generator)
            if execution is None:
                with feeding.Streamed(training, plan, where, first, first + 1) as once:
                    example = run.whole(once, first)
                execution = executing.choose(task, example, precision, where, batch, steps - first, source)
            task.prepare(execution)
            executing.lay_out(task, execution)
            if found is not None:
                run.restore(found.tensors)
                nonidentical = [*found.how.get("nonidentical", []), *nonidentical]
            run.runner = Runner(task, execution, precision, where, batch)
            how = {**machine, "execution": execution.name}
            how |= {"nonidentical": nonidentical} if nonidentical else {}
            outwards = {name: how[name] for name in ("device", "processes", "execution", "nonidentical") if name in how}

            looked_at = {round(steps * point / (snapshots + 1)) for point in range(1, snapshots + 1)} - {0, steps}
            read_every, read_at = 1 if where.type == "cpu" else STEPS_UNREAD, (run.step, time.monotonic())
            next_state = time.monotonic() + between_states
            while run.step < steps:
                run.advance()
                last, look = run.step == steps, run.step in looked_at
                if not (last or look or run.step % read_every == 0):
                    continue
                seen, loss = run.step * batch, run.read_loss()
                if where.type != "cpu":
                    now = run.step, time.monotonic()
                    taken = (now[1] - read_at[1]) / (now[0] - read_at[0])
                    read_every, read_at = unread_steps(processes.total(taken, where) / processes.count()), now
                stop = progress is not None and progress(seen, loss) is True
                stop = processes.any_of(stop, where) and not last
                due = saved is not None and processes.is_first() and time.monotonic() >= next_state
                if saved is not None and processes.is_first() and (stop or due) and not last:
                    saved.write(run.state(), seen, how)
                    next_state = time.monotonic() + between_states
                if stop:
                    processes.barrier()  # the first is writing: nobody ends before it has
                    raise Interrupted(seen)
                if look and inspect is not None and processes.is_first():
                    inspect(Trained(run.result(), run.curve(), outwards), seen)
            return Trained(run.result(), run.curve(), outwards)


class _Run:
    """The moving parts of one training: what a step does, what it leaves, and the losses so far.

    curves: (steps, phases and watched) float32 on the device; a phase that does not run in a step has its last value.
    """

    def __init__(self, task: Task, feed: feeding.Feed, steps: int, batch: int, seed: int, generator: torch.Generator):
        self.task, self.feed, self.batch, self.seed, self.generator = task, feed, batch, seed, generator
        self.runner: Runner
        self.names = [*(phase.name for phase in task.phases), *task.watched()]
        self.curves = torch.zeros(steps, len(self.names), device=task.phases[0].optimiser.parameters[0].device)
        self.losses = list(self.curves[0, : len(task.phases)])
        self.main = self.names.index("loss") if "loss" in self.names else 0
        self.step = self.read = 0

    def whole(self, feed: feeding.Feed, step: int) -> Batch:
        """This process's part of a step's batch, with its random numbers; the generator is left where they end."""
        self.generator.manual_seed(seeds.seed_of(self.seed, None, None, "step", step))
        with torch.no_grad():
            draws = self.task.draw(self.batch)
        rank, count = processes.rank(), processes.count()
        if count > 1:
            part = self.batch // count
            draws = {name: draw[rank * part : (rank + 1) * part] for name, draw in draws.items()}
            if rank:  # networks drop other units in every process
                self.generator.manual_seed(seeds.seed_of(self.seed, None, None, f"step/{rank}", step))
        return Batch(*feed.rows(step), draws)

    def advance(self) -> None:
        """One step: every phase that is due, in order, and what comes after them."""
        batch = self.whole(self.feed, self.step)
        for index, phase in enumerate(self.task.phases):
            if self.step % phase.every == 0:
                gradients, self.losses[index] = _summed(*self.runner.gradients(phase, batch))
                phase.optimiser.step(gradients)
        self.step += 1
        with torch.no_grad():
            self.task.after_step(self.step * self.batch, self.batch)
            self.curves[self.step - 1] = torch.stack([*self.losses, *self.task.watched().values()])

    def read_loss(self) -> float:
        """The training's mean loss in the steps not yet read; raises Diverged at the first that is not finite."""
        phases = len(self.losses)
        values = self.curves[self.read : self.step, :phases].tolist()
        for step, losses in enumerate(values, start=self.read + 1):
            for loss in losses:
                if not np.isfinite(loss):
                    raise Diverged(step * self.batch, loss)
        self.read = self.step
        return sum(losses[self.main] for losses in values) / len(values)

    def curve(self) -> dict[str, np.ndarray]:
        """``images_seen``, ``loss`` and every curve by name: means over at most 100 equal spans."""
        values = self.curves[: self.step].cpu().numpy().astype(np.float64)
        begins = np.arange(0, len(values), -(-len(values) // CURVE_POINTS))
        ends = np.append(begins[1:], len(values))
        means = [np.add.reduceat(np.ascontiguousarray(column), begins) / (ends - begins) for column in values.T]
        return {"images_seen": ends * self.batch, "loss": means[self.main], **dict(zip(self.names, means, strict=True))}

    def result(self) -> dict[str, np.ndarray]:
        """The trained weights; raises Diverged when one of them is not finite."""
        weights = self.task.result()
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise Diverged(self.step * self.batch, float("nan"))
        return weights

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, by name."""
        arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._tensors().items()}
        for index, optimiser in enumerate(executing.optimisers(self.task)):
            arrays |= {f"optimiser.{index}.{name}": array for name, array in optimiser.state().items()}
        return arrays | {"curves": self.curves[: self.step].cpu().numpy().copy()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a :meth:`state`."""
        for name, tensor in self._tensors().items():
            tensor.copy_(torch.from_numpy(np.array(state[name])))
        for index, optimiser in enumerate(executing.optimisers(self.task)):
            prefix = f"optimiser.{index}."
            own = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
            optimiser.restore(own)
        self.step = self.read = len(state["curves"])
        self.curves[: self.step] = torch.from_numpy(np.array(state["curves"]))
        self.losses = list(self.curves[self.step - 1, : len(self.losses)].clone())

    def _tensors(self) -> dict[str, torch.Tensor]:
        networks = {
            f"network.{name}.{key}": tensor
            for name, network in self.task.networks.items()
            for key, tensor in network.state_dict().items()
        }
        return networks | {f"task.{name}": tensor for name, tensor in self.task.tensors().items()}


def unread_steps(seconds: float) -> int:
    """How many steps of so many seconds are done between two readings: 16, 8, 4, 2 or 1.

    Each divides the next, so that every 16th step is always read.
    """
    steps = STEPS_UNREAD
    while steps > 1 and steps * seconds > READ_S:
        steps //= 2
    return steps


def _summed(gradients: Sequence[torch.Tensor], loss: torch.Tensor) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
    """Gradients and loss over all processes, in one sum."""
    if processes.count() == 1:
        return gradients, loss
    flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.reshape(1)])
    processes.sum_in_place(flat)
    *pieces, loss = flat.split([*(gradient.numel() for gradient in gradients), 1])
    return [piece.view(gradient.shape) for piece, gradient in zip(pieces, gradients, strict=True)], loss.reshape(())


# -- the machine, and what a training may go on from -------------------------------------------------------------------


@contextmanager
def _computing(precision: str) -> Iterator[tuple[torch.device, torch.Generator]]:
    """The device and its generator, as a training needs them; out of memory is said in words that help."""
    with processes.joined():
        where = devices.device()
        try:
            with (
                torch.cuda.device(where) if where.type == "cuda" else nullcontext(),
                devices.exact(where, precision != "float32") as generator,
            ):
                yield where, generator
        except torch.OutOfMemoryError as error:
            raise RuntimeError(
                f"out of memory: {error}; {executing.EXECUTION_VARIABLE}=micro_batch=N takes N images at once, to the "
                "same result but for rounding"
            ) from error


def _machine(where: torch.device) -> dict[str, Any]:
    """What the bits of a training depend on beside its execution."""
    facts = {"torch": torch.__version__, "device": devices.name(where), "processes": processes.count()}
    if where.type == "cpu":  # by these a sum is cut into parts
        facts |= {"threads": torch.get_num_threads(), "instructions": torch.backends.cpu.get_cpu_capability()}
    return facts


def _differing(begun: Mapping[str, Any], machine: Mapping[str, Any], execution: Execution | None) -> list[str]:
    now = {**machine, "execution": execution.name if execution else "measured again"}
    return differences({name: value for name, value in begun.items() if name != "nonidentical"}, now)


def _read_in_turn(saved: Checkpoint) -> State | None:
    """The newest state. The first process reads before the others: it may set a damaged file aside."""
    if not processes.is_first():
        processes.barrier()
    found = saved.read()
    if processes.is_first():
        processes.barrier()
    return found


def _check_beginning(first: int, where: torch.device) -> None:
    if processes.count() == 1:
        return
    total = torch.tensor(float(first), device=where)
    processes.sum_in_place(total)
    if processes.any_of(total.item() != first * processes.count(), where):
        raise ValueError("checkpoint: the processes found different states; allowed is a folder that all of them see")


def _check_batch(batch: int, task: Task, execution: Execution | None) -> None:
    count = processes.count()
    if batch % count:
        raise ValueError(f"batch: found {batch}, allowed are multiples of {count}, the number of processes")
    part = batch // count
    whose = "batch" if count == 1 else f"batch of each of {count} processes"
    if part % task.granularity:
        raise ValueError(f"{whose}: found {part}, allowed are multiples of {task.granularity}")
    for phase in task.phases:
        if part % phase.share:
            raise ValueError(f"{whose}: found {part}, allowed are multiples of {phase.share} for its {phase.name!r}")
    if execution is not None and execution.micro_batch and execution.micro_batch % task.granularity:
        raise ValueError(f"micro_batch: found {execution.micro_batch}, allowed are multiples of {task.granularity}")


def _seconds_between_states() -> float:
    text = os.environ.get(CHECKPOINT_VARIABLE) or str(CHECKPOINT_S)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ValueError(f"{CHECKPOINT_VARIABLE}: found {text!r}, allowed are seconds from 0, which is every step")
    return seconds
