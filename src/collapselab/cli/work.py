"""What the pieces of work have in common: a device, progress, and what they cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..machine import processes
from ..machine.clock import Tell, progress
from ..models.capabilities import Counts
from ..store import beats
from .run import clock

LONG_S = 60.0  # of compute


def get_ready(uses_torch: bool) -> None:
    """Import torch where it is needed, before the clock of the compute starts: importing it is a cost of the frame."""
    for fact in ("device", "device_name"):
        clock.facts.setdefault(fact, "cpu")
    if uses_torch:
        from ..machine.device import device, name

        clock.facts |= {"device": str(device()), "device_name": name(device())}


@contextmanager
def told(what: str, total: int | None, stopping: Callable[[], bool] = bool) -> Iterator[Tell]:
    """The progress of some work, of which the first of several processes tells for all: here, and to who watches."""
    if not processes.is_first():
        yield lambda seen, loss: stopping()
        return
    with progress(what, total, stopping) as show:

        def tell(seen: int, loss: float | None) -> bool:
            beats.tell(seen, total, loss)
            return show(seen, loss)

        yield tell


def count_operations(work: str, model: Any, images: int) -> None:
    """Put the floating-point operations of a piece of work among its costs.

    Counting them takes seconds, so that it is left out where the work itself took less than a minute.
    """
    if isinstance(model, Counts) and clock.compute_wall_s > LONG_S:
        flops = model.flops_per_image(model.options, model.shape)[work] * images
        clock.facts["tera_flop"] = clock.facts.get("tera_flop", 0) + round(flops / 1e12, 3)
