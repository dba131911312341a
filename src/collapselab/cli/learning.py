"""What every training has in common at the edge: signals, several processes, progress, snapshots, and what is left."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.errors import Diverged
from ..core.run import Inspect, Run
from ..machine import processes, revision
from ..models.files import write_model
from ..store import kept
from .run import EXIT_DIVERGED, RESULTS, clock, holds, interruptible, stop_requested
from .work import count_operations, get_ready, told

AllowNonidentical = Annotated[
    bool,
    typer.Option(
        envvar="COLLAPSELAB_ALLOW_NONIDENTICAL", help="go on from a checkpoint of other hardware, and mark the model so"
    ),
]
MarkDiverged = Annotated[bool, typer.Option(help="write a marker and succeed when the training diverges")]


@contextmanager
def at_work(what: str, budget: int | None, uses_torch: bool) -> Iterator[Callable[[int, float], bool]]:
    """Within it a training runs that signals may end, that several processes share, and whose cost is counted.

    Gives what the training tells its progress to.
    """
    get_ready(uses_torch)
    with (
        interruptible(),
        processes.joined(),
        told(what, budget, stop_requested) as tell,
        clock.work("training") as seen,
    ):

        def both(images: int, loss: float) -> bool:
            seen(images)
            return tell(images, loss)

        yield both


def run_of(
    out: Path, seed: int, images_seen: int | None, allow_nonidentical: bool, family: str, lineage: Mapping[str, Any]
) -> Run:
    """The run of a training: its checkpoint and its snapshots lie beside the model that it writes."""
    checkpoint = out.with_name(f".{out.stem}.training")
    return Run(seed, images_seen, None, checkpoint, allow_nonidentical, None, _snapshots(out, family, lineage))


def _snapshots(out: Path, family: str, lineage: Mapping[str, Any]) -> Inspect:
    """Writes the model on its way beside what it becomes."""

    def write(model: Any, seen: int) -> None:
        path = out.with_name(f"{out.stem}.snapshots") / f"{seen:012}.safetensors"
        write_model(path, family, model, {**lineage, "images_seen": seen})

    return write


def leave(
    out: Path,
    family: str,
    settings: Any,
    lineage: dict[str, Any],
    budget: int | None,
    fit: Callable[[], Any],
    run: Run,
    mark_diverged: bool,
    of_model: bool = True,
    made_from: Mapping[str, Any] | None = None,
) -> None:
    """Write the model that ``fit`` trains, or that it diverged; then its checkpoint is needed no more.

    of_model: whether its curve says how many images were seen; else it may be that of the training before. made_from:
    all that the model follows from, where it is worth keeping: one that was trained whole, from just this, is put back,
    with its costs. Raises Held where another process trains the same model: they would share the checkpoint.
    """
    with store.held(out) if processes.is_first() and not holds(out) else nullcontext():
        if made_from and put_back(out, made_from):
            return
        try:
            model = fit()
        except Diverged as error:
            what = {"generation": lineage["generation"], "images_seen": error.images_seen}
            diverged(out, family, settings, lineage, what | {"loss": str(error.loss), "model": str(out)}, mark_diverged)
        except ValueError as error:
            if "--allow-nonidentical" in str(error):  # no job of a study can be given an option
                raise ValueError(f"{error}; a study says so by nonidentical: allow") from error
            raise
        else:
            budget = _write(out, family, model, lineage, budget, of_model)
        if processes.is_first():
            shutil.rmtree(run.checkpoint, ignore_errors=True)
        clock.facts |= {"images_seen": budget, **revision.facts()}
        if made_from:
            keep(out, made_from)


def put_back(out: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether just this was made before and kept: it then is in its place, and its costs are counted."""
    cost = kept.again(out, kept.identity(**made_from))
    if cost is not None:
        clock.add(cost)
        print(f"{out}: was whole, made from just this; it is put back", file=sys.stderr)
    return cost is not None


def keep(out: Path, made_from: Mapping[str, Any]) -> None:
    """Keep a file that was made at a price, until the workflow has seen all through; by hand nobody deletes it."""
    if processes.is_first() and RESULTS in out.parts:
        kept.keep(out, kept.identity(**made_from), clock.record())


def _write(
    out: Path, family: str, model: Any, lineage: Mapping[str, Any], budget: int | None, of_model: bool
) -> int | None:
    """Write a trained model and count what it cost; the images that it has seen, in whole batches."""
    taken = model.stored().tensors.get("curve.images_seen", ()) if of_model else ()
    budget = int(taken[-1]) if len(taken) else budget
    how = {"how": dict(model.how)} if model.how else {}  # where it is part of the model's bits
    write_model(out, family, model, {**lineage, "images_seen": budget, **how})
    if differences := model.how.get("nonidentical"):
        clock.facts["nonidentical"] = differences
    count_operations("training", model, budget or 0)
    return budget


def diverged(
    out: Path, family: str, settings: Any, lineage: dict[str, Any], what: Mapping[str, Any], mark: bool
) -> None:
    """Leave a marker in the model's place; by hand, end with the exit code that says so."""
    options = settings.model_dump(mode="json")
    metadata = {"family": family, "options": options, "lineage": lineage | {"diverged": dict(what)}}
    if processes.is_first():
        store.write_tensors(out, {}, metadata)
    if "stopped" in what:
        from ..study.stopping import why  # which the others do without

        print(f"{out}: its lineage was {why(what['stopped'])}", file=sys.stderr)
        return
    message = f"{out}: the training of generation {what['generation']} diverged after {what['images_seen']} images"
    print(message, file=sys.stderr)
    if not mark:
        raise typer.Exit(EXIT_DIVERGED)
