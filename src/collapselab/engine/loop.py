"""The training loop of every family of networks: feeding, phases, micro-batches, processes, curves and checkpoints.

A family says what is trained and by which losses (:class:`task.Task`); the loop says when, where and on which
rows. Every random number of step s comes from the device's generator seeded by a hash of (seed, s), and the rows of
step s from the shuffled epochs that the seed names: a training resumed at step s needs no generator state, and arms
that share a seed share their noise.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core import seeds
from ..core.errors import Diverged, Interrupted
from ..core.run import Run
from ..core.sets import TrainingSet
from ..machine import device as devices
from ..machine import processes
from ..store import provenance
from . import feeding
from .checkpoint import Checkpoint, State, differences, identity
from .execution import EXECUTION_VARIABLE, Execution, parsed, wanted
from .runner import Runner, lay_out
from .task import Batch, Ends, Task, optimisers
from .tuning import choose

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


def train(
    task_of: Callable[[torch.device], Task],
    training: TrainingSet,
    run: Run,
    *,
    family: str,
    facts: Mapping[str, Any],
    batch: int,
    precision: str = "float32",
    initial: Mapping[str, np.ndarray] | None = None,
    snapshots: int = 0,
) -> Trained:
    """The task trained for ``ceil(run.images_seen / batch)`` steps.

    Step s takes the next ``batch`` rows of epochs that are each shuffled, and runs every phase that is due. Gradients
    are added up over micro-batches and over processes, by one sum a phase; DistributedDataParallel is not used, since
    it follows neither several passes through a network in a step nor gradients of gradients.

    task_of: makes the task, the same on every device. training.data: images (N, C, H, W) uint8, or vectors (N, d)
    float32. run: a state is written every 600 seconds (``COLLAPSELAB_CHECKPOINT_SECONDS``) and on a request to stop;
    ``run.inspect`` gets a :class:`Trained` at ``snapshots`` evenly spaced points before the end; ``run.validation`` is
    the family's. family: the module below ``models`` whose source is part of the training's identity; facts: what else
    is, such as the options, as JSON-like values. initial: the weights that ``task_of`` starts from, for the identity
    alone. precision: ``float32``, ``tf32`` or ``bfloat16``.

    Raises ValueError for a batch that the processes or the granularity do not divide and for a state of other hardware,
    Diverged at the first step whose loss is not finite or when the result is not, Interrupted when ``run.progress``
    asked to stop, and RuntimeError when the device's memory is too small.
    """
    steps, seed = run.steps(batch), run.seed
    with _computing(precision) as (where, generator):
        task = task_of(where)
        execution = wanted(where)
        _check_batch(batch, task, execution)
        # A state of other code goes on to a model that neither the old code nor the new one makes.
        source = provenance.source_hash(*provenance.entries("models:MODELS", [family]), *run.roots)
        what = {"source": source, "family": family, "facts": dict(facts), "precision": precision}
        what |= {"batch": batch, "seed": seed, "steps": steps, "beside": dict(run.beside)}
        states = _States(run.checkpoint, lambda: identity(_arrays(training, initial), **what))
        found = states.read()
        first = found.images_seen // batch if found else 0
        _check_beginning(first, where)
        execution, how = _gone_on_with(found, _machine(where), execution, run)
        plan = feeding.Plan(seed, len(training), batch, processes.rank(), processes.count())
        with feeding.fed(training, plan, where, first, steps) as feed:
            course = _Course(task, feed, steps, batch, seed, generator)
            if execution is None:
                with feeding.Streamed(training, plan, where, first, first + 1) as once:
                    example = course.whole(once, first)
                execution = choose(task, example, precision, where, batch, steps - first, source)
            course.begin(Runner(task, execution, precision, where, batch), found)
            states.begin(how | {"execution": execution.name})
            points = {round(steps * point / (snapshots + 1)) for point in range(1, snapshots + 1)} - {0, steps}
            return _completed(course, where, states, points, run)


def _completed(course: "_Course", where: torch.device, states: "_States", points: Set[int], run: Run) -> Trained:
    """The training at its end; on the way its losses are read and told, its states kept, and it is looked at."""
    readings = _Readings(where, course.step)
    while not _over(course):
        course.advance()
        last, look = _over(course), course.step in points
        if not (last or look or readings.are_due(course.step)):
            continue
        seen, loss = course.step * course.batch, course.read_loss()
        readings.were_taken(course.step)
        stop = run.progress is not None and run.progress(seen, loss) is True
        stop = processes.any_of(stop, where) and not last
        if not last:
            states.keep(course, seen, stop)
        if stop:
            processes.barrier()  # the first is writing: nobody ends before it has
            raise Interrupted(seen)
        if look and run.inspect is not None and processes.is_first():
            run.inspect(Trained(course.result(), course.curve(), states.told), seen)
    return Trained(course.result(), course.curve(), states.told)


def _over(course: "_Course") -> bool:
    """Whether the budget is spent, or the task has ended by itself."""
    return course.step >= course.steps or (isinstance(course.task, Ends) and course.task.ended())


class _Readings:
    """When losses are read: on a CPU after every step, on a GPU so seldom that the device is not kept waiting."""

    def __init__(self, where: torch.device, step: int):
        self.where, self.every = where, 1 if where.type == "cpu" else STEPS_UNREAD
        self.last = step, time.monotonic()

    def are_due(self, step: int) -> bool:
        return step % self.every == 0

    def were_taken(self, step: int) -> None:
        if self.where.type != "cpu":
            now = step, time.monotonic()
            taken = (now[1] - self.last[1]) / (now[0] - self.last[0])
            self.every, self.last = unread_steps(processes.total(taken, self.where) / processes.count()), now


class _States:
    """The states of a training in its checkpoint, where there is one: the newest is read, later ones are written.

    told: how it is trained, as far as that is told outside.
    """

    def __init__(self, folder: Path | None, identity: Callable[[], str]):
        self.saved = None if folder is None else Checkpoint(folder, identity())  # it reads all of the data
        self.between = _seconds_between_states()
        self.how: dict[str, Any] = {}
        self.told: dict[str, Any] = {}

    def read(self) -> State | None:
        """The newest state. The first process reads before the others: it may set a damaged file aside."""
        if self.saved is None:
            return None
        if not processes.is_first():
            processes.barrier()
        found = self.saved.read()
        if processes.is_first():
            processes.barrier()
        return found

    def begin(self, how: Mapping[str, Any]) -> None:
        """Say how it is trained; the time to the first state runs from here."""
        self.how = dict(how)
        self.told = {name: how[name] for name in ("device", "processes", "execution", "nonidentical") if name in how}
        self.next = time.monotonic() + self.between

    def keep(self, course: "_Course", seen: int, now: bool) -> None:
        """Write a state where one is due, or ``now``, in the first process."""
        if self.saved is None or not processes.is_first():
            return
        due = time.monotonic() >= self.next
        if now or due:
            self.saved.write(course.state(), seen, self.how)
            self.next = time.monotonic() + self.between


class _Course:
    """The moving parts of one training: what a step does, what it leaves, and the losses so far.

    curves: (steps, phases and watched) float32 on the device; a phase that does not run in a step has its last value.
    """

    def __init__(self, task: Task, feed: feeding.Feed, steps: int, batch: int, seed: int, generator: torch.Generator):
        self.task, self.feed, self.steps, self.batch, self.seed = task, feed, steps, batch, seed
        self.generator = generator
        self.runner: Runner
        self.names = [*(phase.name for phase in task.phases), *task.watched()]
        self.curves = torch.zeros(steps, len(self.names), device=task.phases[0].optimiser.parameters[0].device)
        self.losses = list(self.curves[0, : len(task.phases)])
        self.main = self.names.index("loss") if "loss" in self.names else 0
        self.step = self.read = 0

    def begin(self, runner: Runner, found: State | None) -> None:
        """Get ready to run in the runner's way, from a state if there is one."""
        self.task.prepare(runner.execution)
        lay_out(self.task, runner.execution)
        if found is not None:
            self.restore(found.tensors)
        self.runner = runner

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
        for index, optimiser in enumerate(optimisers(self.task)):
            arrays |= {f"optimiser.{index}.{name}": array for name, array in optimiser.state().items()}
        return arrays | {"curves": self.curves[: self.step].cpu().numpy().copy()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a :meth:`state`."""
        for name, tensor in self._tensors().items():
            tensor.copy_(torch.from_numpy(np.array(state[name])))
        for index, optimiser in enumerate(optimisers(self.task)):
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
                f"out of memory: {error}; {EXECUTION_VARIABLE}=micro_batch=N takes N images at once, to the "
                "same result but for rounding"
            ) from error


def _machine(where: torch.device) -> dict[str, Any]:
    """What the bits of a training depend on beside its execution."""
    facts = {"torch": torch.__version__, "device": devices.name(where), "processes": processes.count()}
    if where.type == "cpu":  # by these a sum is cut into parts
        facts |= {"threads": torch.get_num_threads(), "instructions": torch.backends.cpu.get_cpu_capability()}
    return facts


def _arrays(training: TrainingSet, initial: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray | None]:
    """The arrays that a training is made from, by name."""
    arrays = {"data": training.data, "labels": training.labels, "weights": training.weights}
    return arrays | {f"initial.{name}": array for name, array in (initial or {}).items()}


def _gone_on_with(
    found: State | None, machine: Mapping[str, Any], execution: Execution | None, run: Run
) -> tuple[Execution | None, dict[str, Any]]:
    """The way of executing with which a training goes on from a state, and the facts of how it is trained so far.

    None leaves the way to measurement. Raises ValueError where a fact is not what it was, unless that is allowed; then
    ``nonidentical`` lists all that ever differed.
    """
    if found is None:
        return execution, dict(machine)
    if execution is None and found.how["device"] == machine["device"]:
        execution = parsed(found.how["execution"])
    now = {**machine, "execution": execution.name if execution else "measured again"}
    differing = differences({name: value for name, value in found.how.items() if name != "nonidentical"}, now)
    if differing and not run.allow_nonidentical:
        raise ValueError(
            f"{run.checkpoint}: the training was begun otherwise: {'; '.join(differing)}; allowed is going on as it "
            "was begun, or --allow-nonidentical, which marks the model"
        )
    nonidentical = [*found.how.get("nonidentical", []), *differing]
    return execution, dict(machine) | ({"nonidentical": nonidentical} if nonidentical else {})


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
