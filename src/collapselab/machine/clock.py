"""What a process costs."""

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from . import processes
from .energy import Meter


class Clock:
    """Processor and wall time of a process, and how much of it went into compute functions.

    The rest is what the frame costs: starting Python, importing, reading and writing.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count from now on, as in a process that has just been forked."""
        self._start, self._began_at = time.monotonic(), time.time()
        self.compute_cpu_s = 0.0
        self.compute_wall_s = 0.0
        self.facts: dict[str, Any] = {}

    @contextmanager
    def compute(self) -> Iterator[None]:
        """Counts the time inside as compute."""
        cpu, wall = time.process_time(), time.monotonic()
        try:
            yield
        finally:
            self.compute_cpu_s += time.process_time() - cpu
            self.compute_wall_s += time.monotonic() - wall

    @contextmanager
    def work(self, name: str) -> Iterator[Callable[[int], None]]:
        """Counts the time inside as compute, measures its energy, and gives a function to be told the images so far.

        The facts are then ``<name>_images_per_second``, between the first and the last time that it was told;
        ``joules`` of all work, on all GPUs, and ``energy_source``; and ``gpu_memory_mb``, the most that tensors took.
        """
        told: list[tuple[float, int]] = []

        def tell(images: int) -> None:
            told[min(len(told), 1) :] = [(time.monotonic(), images)]

        with Meter(self.facts["device"]) as meter, self.compute():
            yield tell
        if len(told) == 2 and told[0][1] < told[1][1]:
            (begin, first), (end, last) = told
            self.facts[f"{name}_images_per_second"] = round((last - first) / (end - begin), 3)
        energy = meter.facts()
        joules, self.facts["energy_source"] = energy["joules"], energy["source"]
        if energy["source"] != "rapl":  # which counts the whole machine; else each process has its own part
            joules = processes.total(joules, self.facts["device"])
        if self.facts["device"] != "cpu":
            import torch

            self.facts["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(self.facts["device"]) / 2**20, 1)
        self.facts["joules"] = round(self.facts.get("joules", 0) + joules, 3)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count the costs of another process as this one's own."""
        self.compute_cpu_s += record["compute_cpu_seconds"]
        self.compute_wall_s += record["compute_wall_seconds"]
        known = {"verbs", *Clock().record()}
        self.facts |= {name: value for name, value in record.items() if name not in known}

    def record(self) -> dict[str, Any]:
        """The costs so far: seconds, the peak memory in MB, and from when to when, in seconds since 1970 (UTC)."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        lasted = time.monotonic() - self._start
        return {
            **self.facts,
            "began_at": round(self._began_at, 3),
            "ended_at": round(self._began_at + lasted, 3),  # not another look at a clock that somebody may have set
            "compute_cpu_seconds": round(self.compute_cpu_s, 3),
            "compute_wall_seconds": round(self.compute_wall_s, 3),
            "process_cpu_seconds": round(time.process_time(), 3),
            "wall_seconds": round(lasted, 3),
            "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
            "cores": os.cpu_count(),
        }
