"""What the pieces of work have in common: a device, progress, and what they cost."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..machine import processes, turns
from ..machine.progress import Tell, progress
from ..models.capabilities import Counts
from ..store import beats
from .run import clock

LONG_S = 60.0  # of compute
_taken: list[str] = []  # the GPU of this process, if it chose one


def get_ready(uses_torch: bool) -> None:
    """Import torch where it is needed, before the clock of the compute starts: importing it is a cost of the frame."""
    for fact in ("device", "device_name"):
        clock.facts.setdefault(fact, "cpu")
    if uses_torch:
        take_gpu()
        from ..machine.device import device, name

        clock.facts |= {"device": str(device()), "device_name": name(device())}


def get_ready_for(looks: Iterable[Any], *models: Any) -> None:
    """The same for a verb that looks at samples, where one of its extractors or models is a network."""
    asked = [*models, *(one for look in looks for one in (look.extractor, look.weights))]
    get_ready(any(getattr(one, "uses_torch", False) for one in asked))


def take_gpu() -> None:
    """Keep this process to one GPU of the machine, that which fewest others use, before torch looks for any.

    Several processes of one training share the GPUs out by their numbers, and a device that is named is taken.
    """
    named = os.environ.get("COLLAPSELAB_DEVICE", "auto").strip().lower() not in ("auto", "cuda")
    if named or processes.count() > 1 or processes.wanted() > 1 or _taken:
        return
    gpus, places = turns.visible(), turns.places()
    if len(gpus) > 1 or (gpus and places is not None):
        _taken.append(turns.take(gpus, places, lambda: print("waits for a GPU", file=sys.stderr, flush=True)))
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as NVML counts
        os.environ[turns.VISIBLE] = _taken[0]


@contextmanager
def told(what: str, total: int | None, stopping: Callable[[], bool] = bool, unit: str = "images") -> Iterator[Tell]:
    """The progress of some work, of which the first of several processes tells for all: here, and to who watches.

    unit: what is counted.
    """
    if not processes.is_first():
        yield lambda seen, loss: stopping()
        return
    with progress(what, total, stopping, unit) as show:

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
