"""The way of executing that is fastest on a GPU: measured on the training itself, and kept in the user's cache folder.

On a CPU steps are executed as they are written.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..machine import processes
from ..machine.device import name as device_name
from ..store import write_atomically
from .execution import Execution, cache_folder, parsed
from .runner import WARM_UP, Runner, lay_out, unchanged
from .task import Batch, Phase, Task

REPEATS = 5  # steps that the clock times
# A training whose eager steps take less in all is not worth measuring, nor, if they take less than that, compiling.
WORTH_MEASURING_S, WORTH_COMPILING_S = 30.0, 600.0
logger = logging.getLogger(__name__)
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


def remembered_path(facts: Mapping[str, Any]) -> Path:
    """The file of a measurement, by all that it depends on."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "execution" / f"{digest[:16]}.json"


def recall(path: Path) -> tuple[Execution, dict[str, float]] | None:
    """What an earlier measurement found; None where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
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
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except (OSError, ValueError) as error:  # a folder in its place, say
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
