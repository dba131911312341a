"""Gradients of a task's phases, executed in one way: micro-batches and CUDA graphs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from ..machine.device import autocast, default_generator
from .execution import Execution
from .task import Batch, Phase, Task, cut, optimisers

WARM_UP = 3  # steps before a recording, and before the clock starts


def lay_out(task: "Task", execution: Execution) -> None:
    """Put the kernels of all networks, and what belongs to them, into the order in memory that was chosen."""
    order = torch.channels_last if execution.channels_last else torch.contiguous_format
    moments = [moment for optimiser in optimisers(task) for moment in (*optimiser.m, *optimiser.v)]
    weights = [tensor for network in task.networks.values() for tensor in (*network.parameters(), *network.buffers())]
    for tensor in (*weights, *moments, *task.tensors().values()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=order)


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


# -- steps that are only tried -----------------------------------------------------------------------------------------


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
