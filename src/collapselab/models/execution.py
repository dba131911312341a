"""What a family gives the training loop, and how its steps are executed on a machine: memory layout, compiler, CUDA
graphs, size of a micro-batch.

None of the latter changes what is computed, but for rounding. On a CPU steps are executed as they are written; on a GPU
the combinations are measured on the training itself, and the fastest is kept in the user's cache folder.
"""

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from .. import processes
from ..device import autocast, default_generator
from ..device import name as device_name
from ..optim import Adam

EXECUTION_VARIABLE = "COLLAPSELAB_EXECUTION"
CHOICES = ("channels_last", "compile", "graphs")
VARIANTS = 64  # of a network, by layout, size and kind of input, that are compiled in one process
WARM_UP, REPEATS = 3, 5  # steps before the clock starts, and steps that it times
# A training whose eager steps take less in all is not worth measuring, nor, if they take less than that, compiling.
WORTH_MEASURING_S, WORTH_COMPILING_S = 30.0, 600.0

logger = logging.getLogger(__name__)


# -- ways of executing -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Execution:
    """One way of executing steps.

    channels_last: images and kernels lie in memory with their channels innermost. compile: plain phases run compiled
    networks. graphs: the work of a phase is recorded once and replayed, which costs one launch instead of thousands.
    micro_batch: images at once; None: all of a process's part of the batch.
    """

    channels_last: bool = False
    compile: bool = False
    graphs: bool = False
    micro_batch: int | None = None

    @property
    def name(self) -> str:
        """As ``COLLAPSELAB_EXECUTION`` spells it: :func:`parsed` undoes it."""
        words = [choice for choice in CHOICES if getattr(self, choice)]
        words += [f"micro_batch={self.micro_batch}"] if self.micro_batch else []
        return ",".join(words) or "eager"

    def compiled(self, network: nn.Module) -> nn.Module:
        """The network as plain phases are to call it, compiled if that was chosen; its parameters are the same ones.

        What is compiled is kept in the user's cache folder, so that the next process does not compile it again.
        """
        if not self.compile:
            return network
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
        from torch._dynamo import config

        # A network is compiled for each layout, size and kind of input. Beyond torch's eight it would be run eagerly,
        # with a warning at most, and be timed so.
        config.recompile_limit = max(config.recompile_limit, VARIANTS)
        # Deterministic: kernels are not chosen by their time, which would choose the order of sums by it, too.
        return torch.compile(network, dynamic=False, options={"deterministic": True})


def parsed(text: str) -> Execution | None:
    """The way of executing that a text names: ``auto`` (None), ``eager``, or a comma list of :data:`CHOICES` and
    ``micro_batch=N``. Raises ValueError for any other."""
    words = [word.strip().lower() for word in text.split(",")]
    if words == ["auto"]:
        return None
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key == "micro_batch" and value.isdigit() and int(value):
            found[key] = int(value)
        elif word in CHOICES:
            found[word] = True
        elif words != ["eager"]:
            raise ValueError(
                f"{EXECUTION_VARIABLE}: found {word!r} in {text!r}, allowed are 'auto', 'eager', or some of "
                f"{', '.join(CHOICES)} and micro_batch=N, with commas between them"
            )
    return Execution(**found)


def wanted(where: torch.device) -> Execution | None:
    """The way of executing that ``COLLAPSELAB_EXECUTION`` asks for; None leaves it to this module.

    Raises ValueError for a text that names none, and for CUDA graphs on a CPU.
    """
    execution = parsed(os.environ.get(EXECUTION_VARIABLE) or "auto")
    if execution is not None and execution.graphs and where.type != "cuda":
        raise ValueError(f"{EXECUTION_VARIABLE}: found 'graphs' on {where.type!r}, allowed only on 'cuda'")
    return execution


def lay_out(task: "Task", execution: Execution) -> None:
    """Put the kernels of all networks, and what belongs to them, into the order in memory that was chosen."""
    order = torch.channels_last if execution.channels_last else torch.contiguous_format
    moments = [moment for optimiser in optimisers(task) for moment in (*optimiser.m, *optimiser.v)]
    weights = [tensor for network in task.networks.values() for tensor in (*network.parameters(), *network.buffers())]
    for tensor in (*weights, *moments, *task.tensors().values()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=order)


def optimisers(task: "Task") -> list[Any]:
    """The optimisers of the phases, each once: phases may share one."""
    return list({id(phase.optimiser): phase.optimiser for phase in task.phases}.values())


# -- what is executed --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """What a phase's loss sees: one micro-batch on the device.

    images: (B, C, H, W) float32 in [-1, 1], or vectors (B, d) float32. labels: (B,) int64, or None. weights: (B,)
    float32, of mean 1 over the training set. draws: this micro-batch's rows of what :meth:`Task.draw` gave.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    weights: torch.Tensor
    draws: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimiser's step within a training step.

    name: also that of its curve. optimiser: whose ``parameters`` are moved. loss: of a micro-batch, (B,) float32, one
    loss an image; everything random in it is in ``batch.draws`` (a network's dropout excepted), it reads nothing back
    from the device, and it writes nothing but tensors of :meth:`Task.tensors`, in place. every: it runs in steps 0,
    every, 2 every, ... share: it runs on every share-th image of the batch.
    """

    name: str
    optimiser: Adam
    loss: Callable[[Batch], torch.Tensor]
    every: int = 1
    share: int = 1


class Task(Protocol):
    """What a family gives the loop.

    networks: what is trained; their parameters and buffers are kept in checkpoints. phases: in the order in which a
    step runs them; the one named ``loss``, else the first, is the training's loss. granularity: micro-batches are
    multiples of it.
    """

    networks: Mapping[str, nn.Module]
    phases: Sequence[Phase]
    granularity: int

    def prepare(self, execution: Execution) -> None:
        """Get ready to run in this way (``execution.compiled(network)``); may be called more than once."""
        ...

    def draw(self, count: int) -> Mapping[str, torch.Tensor]:
        """Every random number of one step of ``count`` images, rows first, from the device's default generator.

        The loop has seeded it, and cuts the rows into processes and micro-batches: results do not depend on the cut.
        """
        ...

    def after_step(self, images_seen: int, batch: int) -> None:
        """Averages, controllers, and the learning rate of the next step; reads nothing back from the device."""
        ...

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """All further state, as live tensors on the device: stored in checkpoints and restored in place.

        After a step it is the same in all processes, of which the first one's is stored.
        """
        ...

    def watched(self) -> Mapping[str, torch.Tensor]:
        """Tensors without axes that are drawn as curves beside the phases' losses."""
        ...

    def result(self) -> dict[str, np.ndarray]:
        """The trained weights by name, as they would be if the training ended now."""
        ...


# -- gradients ---------------------------------------------------------------------------------------------------------


class Runner:
    """Gradients of a task's phases, executed in one way.

    batch: images of a step over all processes. A phase's loss is the mean over its images in all of them, so that
    gradients of processes and micro-batches add up to that of the batch.
    """

    def __init__(self, task: Task, execution: Execution, precision: str, where: torch.device, batch: int):
        self.task, self.execution, self.precision, self.where, self.batch = task, execution, precision, where, batch
        self.recordings: dict[tuple[str, int], _Recording] = {}
        self.pool = torch.cuda.graph_pool_handle() if execution.graphs else None

    def gradients(self, phase: Phase, batch: Batch) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
        """What this process's part of a batch adds to a phase's gradients and to its loss.

        With CUDA graphs they are overwritten by the next call.
        """
        rows = len(batch.images)
        if phase.share > 1:
            batch = cut(batch, slice(None, None, phase.share))
        micro = self.execution.micro_batch or rows
        total = self.batch // phase.share
        if len(batch.images) <= micro:
            return self._piece(phase, batch, total)
        gradients, loss = self._piece(phase, cut(batch, slice(0, micro)), total)
        sums = [gradient.clone() for gradient in gradients]  # with CUDA graphs the next piece overwrites them
        for first in range(micro, len(batch.images), micro):
            gradients, part = self._piece(phase, cut(batch, slice(first, first + micro)), total)
            torch._foreach_add_(sums, gradients)
            loss = loss + part
        return sums, loss

    def _piece(self, phase: Phase, piece: Batch, total: int) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
        if self.execution.channels_last and piece.images.dim() == 4:
            piece = replace(piece, images=piece.images.contiguous(memory_format=torch.channels_last))
        if not self.execution.graphs:
            return self._computed(phase, piece, total)
        key = phase.name, len(piece.images)
        if key not in self.recordings:
            with unchanged(self.task, self.where):  # losses may add to the task's sums, and warming up calls them
                self.recordings[key] = _Recording(lambda batch: self._computed(phase, batch, total), piece, self.pool)
        return self.recordings[key](piece)

    def _computed(self, phase: Phase, piece: Batch, total: int) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
        with autocast(self.where, self.precision):
            losses = phase.loss(piece)
        loss = losses.mean() * (len(piece.images) / total)
        return torch.autograd.grad(loss, phase.optimiser.parameters, materialize_grads=True), loss.detach()


def cut(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    draws = {name: draw[rows].contiguous() for name, draw in batch.draws.items()}
    labels = None if batch.labels is None else batch.labels[rows]
    images = batch.images[rows].contiguous()
    return replace(batch, images=images, labels=labels, weights=batch.weights[rows], draws=draws)


class _Recording:
    """A CUDA graph of a function of a batch; its inputs and outputs stay where they are."""

    def __init__(self, compute: Callable[[Batch], Any], example: Batch, pool: Any):
        self.inputs = replace(
            example,
            images=example.images.clone(),
            labels=None if example.labels is None else example.labels.clone(),
            weights=example.weights.clone(),
            draws={name: draw.clone() for name, draw in example.draws.items()},
        )
        # What is made at the first calls (workspaces, compiled kernels) must not be made within the recording.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                compute(self.inputs)
        torch.cuda.current_stream().wait_stream(side)
        self.graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Of this thread alone: another one may gather images at the same time.
            with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
                self.gradients, self.loss = compute(self.inputs)
        finally:
            torch.cuda.set_stream(before)  # which torch leaves undone where the recording fails

    def __call__(self, batch: Batch) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
        copy_all(_tensors(self.inputs), _tensors(batch))
        self.graph.replay()
        return self.gradients, self.loss.clone()


def copy_all(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    """Copy each source into its target; those of a dtype together, which is one launch for dozens of small ones."""
    for dtype in {target.dtype: None for target in targets}:
        chosen = [pair for pair in zip(targets, sources, strict=True) if pair[0].dtype == dtype]
        torch._foreach_copy_([target for target, _ in chosen], [source for _, source in chosen])


def _tensors(batch: Batch) -> list[torch.Tensor]:
    labels = [] if batch.labels is None else [batch.labels]
    return [batch.images, batch.weights, *labels, *batch.draws.values()]


@contextmanager
def unchanged(task: Task, where: torch.device) -> Iterator[None]:
    """Within it steps may be tried: afterwards the task is what it was, and so are the random numbers to come."""
    live, generator = live_tensors(task), default_generator(where)
    before, state = [tensor.detach().clone() for tensor in live], generator.get_state()
    try:
        yield
    finally:
        generator.set_state(state)
        with torch.no_grad():
            for tensor, value in zip(live, before, strict=True):
                tensor.copy_(value)


def live_tensors(task: Task) -> list[torch.Tensor]:
    """Every tensor that a step may change."""
    networks = [tensor for network in task.networks.values() for tensor in network.state_dict(keep_vars=True).values()]
    state = [tensor for one in optimisers(task) for tensor in (one.count, *one.m, *one.v)]
    return [*networks, *state, *task.tensors().values()]


# -- choosing ----------------------------------------------------------------------------------------------------------

Measure = Callable[[Execution], float]
"""Seconds that a step takes in one way; raises torch.OutOfMemoryError where it does not fit."""


def choose(
    task: Task, batch: Batch, precision: str, where: torch.device, whole: int, steps: int, source: str
) -> Execution:
    """The way in which ``steps`` steps of ``whole`` images (over all processes) are run fastest on a GPU.

    batch: this process's part of a step, to measure on; the task is left as it was. source: a hash of the family's
    source code, which a measurement holds for. Raises RuntimeError when not even the smallest micro-batch fits.
    """
    if where.type != "cuda":
        return Execution()
    part = len(batch.images)
    convolutional = any(weight.dim() == 4 for network in task.networks.values() for weight in network.parameters())
    phases = [(phase.name, phase.every, phase.share) for phase in task.phases]
    weights = [list(weight.shape) for network in task.networks.values() for weight in network.parameters()]
    shape = [list(batch.images.shape), batch.labels is not None, whole]
    facts = {"device": device_name(where), "torch": torch.__version__, "source": source, "precision": precision}
    path = remembered_path(facts | {"phases": phases, "weights": weights, "shape": shape})

    with unchanged(task, where):
        measure = agreed(lambda execution: measured(task, execution, batch, precision, where, whole), where)
        found, timings = fastest(measure, part, task.granularity, convolutional, steps, shared(recall(path), where))
    if processes.is_first():
        remember(path, facts, found, timings)
    logger.info("execution: %s, of %s seconds a step", found.name, timings)
    return found


def fastest(
    measure: Measure,
    part: int,
    granularity: int,
    convolutional: bool,
    steps: int,
    known: tuple[Execution, Mapping[str, float]] | None = None,
) -> tuple[Execution, dict[str, float]]:
    """The fastest way of executing, and the seconds of a step in every way that was tried, by name.

    First the largest micro-batch that fits, by halving ``part``; then, if the training is long enough, memory layout
    and compiler; last CUDA graphs on top of the fastest of these. known: what an earlier measurement found; it holds
    if it tried all that is worth trying now.
    """
    if known is not None and set(_candidates(known[1]["eager"] * steps, convolutional)) <= {*known[1]}:
        return known[0], dict(known[1])
    micro, seconds = _largest(measure, part, granularity)
    timings = {"eager": seconds}
    ways = {"eager": Execution(micro_batch=micro)}
    for name in _candidates(seconds * steps, convolutional)[1:]:
        _try(measure, name, replace(parsed(name), micro_batch=micro), ways, timings)
    if len(timings) > 1 or seconds * steps >= WORTH_MEASURING_S:
        best = min(timings, key=timings.__getitem__)
        recorded = replace(ways[best], graphs=True)
        _try(measure, replace(recorded, micro_batch=None).name, recorded, ways, timings)
    return ways[min(timings, key=timings.__getitem__)], timings


def _candidates(total_seconds: float, convolutional: bool) -> list[str]:
    """Names of the ways without graphs that are worth measuring for a training of so many seconds."""
    layouts = ["channels_last"] if convolutional and total_seconds >= WORTH_MEASURING_S else []
    compiled = ["compile", *(["channels_last,compile"] if convolutional else [])]
    return ["eager", *layouts, *(compiled if total_seconds >= WORTH_COMPILING_S else [])]


def _try(measure: Measure, name: str, way: Execution, ways: dict[str, Execution], timings: dict[str, float]) -> None:
    ways[name] = way
    try:
        timings[name] = measure(way)
    except torch.OutOfMemoryError:
        timings[name] = float("inf")


def _largest(measure: Measure, part: int, granularity: int) -> tuple[int | None, float]:
    """The largest micro-batch that fits (None: the part itself), and the seconds of a step with it."""
    micro = part
    while micro >= granularity:
        given = None if micro == part else micro
        try:
            return given, measure(Execution(micro_batch=given))
        except torch.OutOfMemoryError:
            micro = micro // 2 // granularity * granularity
            if not micro:
                break
    raise RuntimeError(f"out of memory: not even {granularity} images at once fit beside the networks and their state")


def agreed(measure: Measure, where: torch.device) -> Measure:
    """The measurement of all processes together: their mean, and out of memory for all where it is for one.

    A way that does not work on this machine, which may have no compiler, is not taken, like one that does not fit.
    """

    def measured_by_all(execution: Execution) -> float:
        seconds, failed = torch.zeros((), dtype=torch.float64, device=where), False
        try:
            seconds.fill_(measure(execution))
        except torch.OutOfMemoryError:
            failed = True
        except RuntimeError as error:
            if execution == Execution(micro_batch=execution.micro_batch):
                raise
            logger.warning("steps are not executed as %s, which does not work here: %s", execution.name, error)
            failed = True
        if where.type == "cuda":
            torch.cuda.empty_cache()
        if processes.any_of(failed, where):
            raise torch.OutOfMemoryError(f"{execution.name} does not fit")
        processes.sum_in_place(seconds)
        return seconds.item() / processes.count()

    return measured_by_all


def measured(task: Task, execution: Execution, batch: Batch, precision: str, where: torch.device, whole: int) -> float:
    """Seconds of a step of the task in one way: of every phase, by how often it runs, with its optimiser."""
    task.prepare(execution)
    lay_out(task, execution)
    runner = Runner(task, execution, precision, where, whole)

    def step(phase: Phase) -> None:
        gradients, _ = runner.gradients(phase, batch)
        phase.optimiser.step(gradients)

    return sum(timed(lambda phase=phase: step(phase), where) / phase.every for phase in task.phases)


def timed(work: Callable[[], None], where: torch.device) -> float:
    """Seconds of a piece of work, once it is warm."""
    for _ in range(WARM_UP):
        work()
    _wait(where)
    start = time.perf_counter()
    for _ in range(REPEATS):
        work()
    _wait(where)
    return (time.perf_counter() - start) / REPEATS


def _wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


# -- what was chosen before --------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where what can be made again is kept: ``collapselab`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collapselab"


def remembered_path(facts: Mapping[str, Any]) -> Path:
    """The file of a measurement, by all that it depends on."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "execution" / f"{digest[:16]}.json"


def recall(path: Path) -> tuple[Execution, dict[str, float]] | None:
    """What an earlier measurement found; None where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text())
        seconds = {str(name): float(value) for name, value in found["seconds_a_step"].items()}
        execution = parsed(found["execution"])
        if execution is None or "eager" not in seconds:
            raise ValueError("it holds no measurement")
        return execution, seconds
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is not used, and measured again: %s", path, error)
        return None


def remember(path: Path, facts: Mapping[str, Any], execution: Execution, timings: Mapping[str, float]) -> None:
    """Keep a measurement; a folder that cannot be written to costs a warning, and the next training a measurement."""
    text = json.dumps({**facts, "execution": execution.name, "seconds_a_step": dict(timings)}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as temporary:
            temporary.write(text)
        os.replace(temporary.name, path)
    except OSError as error:
        logger.warning("the choice of execution is not kept: %s", error)


def shared(known: tuple[Execution, dict[str, float]] | None, where: torch.device) -> Any:
    """What the first process knows, in all: they must measure the same ways."""
    if processes.count() == 1:
        return known
    text = json.dumps([known[0].name, known[1]] if known and processes.is_first() else None).encode()
    length = torch.tensor(len(text) if processes.is_first() else 0, device=where)
    processes.sum_in_place(length)
    content = torch.zeros(int(length.item()), dtype=torch.uint8, device=where)
    if processes.is_first():
        content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
    processes.sum_in_place(content)
    found = json.loads(bytes(content.tolist()))
    return found and (parsed(found[0]), found[1])
