"""Training rows on their way to the device: which ones a step takes, and how they get there without being waited for.

Images stay bytes until they are on the device; vectors go there as they are.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch

from ..core import seeds
from ..core.sets import TrainingSet

RESIDENT_SHARE = 0.25  # of the device's free memory that images may take; the rest is for networks
AHEAD = 2  # batches that are gathered before they are asked for


class Rows(NamedTuple):
    """images: (B, C, H, W) float32 in [-1, 1], or vectors (B, d) float32. labels: (B,) int64, or None. weights: (B,)
    float32, 1 on average."""

    images: torch.Tensor
    labels: torch.Tensor | None
    weights: torch.Tensor


class Feed(Protocol):
    """Where a training gets its rows from."""

    def rows(self, step: int) -> Rows:
        """This process's rows of a step, on the device."""
        ...


class Plan(NamedTuple):
    """Which rows belong to a step: the next ``batch`` of shuffled epochs, of which a process takes one contiguous part.

    seed: of the epochs. count: rows of the training set. rank, processes: which part, of how many.
    """

    seed: int
    count: int
    batch: int
    rank: int
    processes: int

    def __call__(self, step: int) -> np.ndarray:
        """Row numbers of this process's part of a step: (batch / processes,) int64."""
        part = self.batch // self.processes
        return shuffled_rows(self.seed, self.count, step * self.batch + self.rank * part, part)


def shuffled_rows(seed: int, rows: int, first: int, count: int) -> np.ndarray:
    """Positions ``first .. first + count`` of the endless sequence of epochs, each a permutation of 0 .. rows - 1."""
    epochs = range(first // rows, (first + count - 1) // rows + 1)
    # Of each epoch only what is asked for: copying millions of positions a step would take longer than the step.
    asked = [slice(max(first - epoch * rows, 0), first + count - epoch * rows) for epoch in epochs]
    return np.concatenate([_permutation(seed, epoch, rows)[part] for epoch, part in zip(epochs, asked, strict=True)])


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    return seeds.generator(seeds.seed_of(seed, None, None, "epoch", epoch)).permutation(rows)


@contextmanager
def fed(training: TrainingSet, plan: Plan, where: torch.device, first: int, last: int) -> Iterator[Feed]:
    """The feed of steps ``first .. last`` that suits the device; the rows are the same bits in each.

    On a GPU the images lie there if they fit into a quarter of its free memory; else a thread gathers batches ahead of
    time. On a CPU they are taken where they are.
    """
    if where.type == "cuda" and training.data.nbytes > RESIDENT_SHARE * torch.cuda.mem_get_info(where)[0]:
        with Streamed(training, plan, where, first, last) as feed:
            yield feed
    else:
        yield Resident(training, plan, where)


class _Labelled:
    """Labels and weights on the device, and images as numbers."""

    def __init__(self, training: TrainingSet, plan: Plan, where: torch.device):
        self.plan, self.where = plan, where
        relative = (training.weights / training.weights.mean()).astype(np.float32)
        self.weights = torch.from_numpy(relative).to(where)
        self.labels = None
        if training.labels is not None:
            self.labels = torch.from_numpy(np.array(training.labels, np.int64)).to(where)
        # A tensor and not a number: CUDA divides by a number by multiplying with its rounded inverse.
        self.half = torch.tensor(127.5, device=where)

    def positions(self, step: int) -> torch.Tensor:
        """The row numbers of a step on the device, which were not waited for."""
        host = torch.from_numpy(self.plan(step))
        return host.pin_memory().to(self.where, non_blocking=True) if self.where.type == "cuda" else host

    def rows_of(self, stored: torch.Tensor, positions: torch.Tensor) -> Rows:
        """The rows with these images, (B, C, H, W) uint8, as the numbers of :func:`images.to_unit`, or with these
        vectors, (B, d) float32."""
        images = stored.to(torch.float32).div_(self.half).sub_(1) if stored.dtype == torch.uint8 else stored
        return Rows(images, None if self.labels is None else self.labels[positions], self.weights[positions])


class Resident(_Labelled):
    """All images on the device."""

    def __init__(self, training: TrainingSet, plan: Plan, where: torch.device):
        super().__init__(training, plan, where)
        data = training.data if training.data.flags.writeable else training.data.copy()
        self.images = torch.from_numpy(data).to(where)

    def rows(self, step: int) -> Rows:
        positions = self.positions(step)
        return self.rows_of(self.images[positions], positions)


class Streamed(_Labelled):
    """Images in host memory: a thread gathers the next batches into pinned memory and sends them on their own stream.

    Steps are asked for one after the other, from the first.
    """

    def __init__(self, training: TrainingSet, plan: Plan, where: torch.device, first: int, last: int):
        super().__init__(training, plan, where)
        self.data, self.next, self.last = training.data, first, last
        self.stream = torch.cuda.Stream(where) if where.type == "cuda" else None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="feeding")
        self.ahead: deque[Future] = deque()

    def __enter__(self) -> "Streamed":
        return self

    def __exit__(self, *error: object) -> None:
        self.thread.shutdown(cancel_futures=True)

    def rows(self, step: int) -> Rows:
        while len(self.ahead) <= AHEAD and self.next < self.last:
            self.ahead.append(self.thread.submit(self._gather, self.next))
            self.next += 1
        images, arrived = self.ahead.popleft().result()
        if arrived is not None:
            here = torch.cuda.current_stream(self.where)
            here.wait_event(arrived)
            images.record_stream(here)  # its memory is not given away before this stream is done with it
        return self.rows_of(images, self.positions(step))

    def _gather(self, step: int) -> tuple[torch.Tensor, "torch.cuda.Event | None"]:
        """The images of a step on the device, and the event after which they are there."""
        positions = self.plan(step)
        shape = (len(positions), *self.data.shape[1:])
        dtype = torch.uint8 if self.data.dtype == np.uint8 else torch.float32
        gathered = torch.empty(shape, dtype=dtype, pin_memory=self.stream is not None)
        # "clip" writes into the memory that is given, where "raise" would fill a copy first.
        np.take(self.data, positions, axis=0, out=gathered.numpy(), mode="clip")
        if self.stream is None:
            return gathered, None
        with torch.cuda.device(self.where), torch.cuda.stream(self.stream):
            images = gathered.to(self.where, non_blocking=True)
            return images, self.stream.record_event()
