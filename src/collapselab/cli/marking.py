"""Marks, as the command line says them."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..core.choice import Choice
from ..core.sets import SampleSet
from ..marks import MARKS, Mark
from ..verbs.extract import calibrates, detector
from ..verbs.transform import key_of
from .inputs import model_in
from .options import chosen, json_of, parsed

Marked = Annotated[str, typer.Option("--mark", help='the mark as JSON, as {"NAME": {OPTION: VALUE}}')]


def mark_in(said: str, acts: str | None = None) -> tuple[str, Mark, Any] | None:
    """The mark that is said, by its name, with its options; None where none is. acts: on what it has to act.

    Raises BadParameter for more than one mark, and for one that acts on anything else.
    """
    if not (content := json_of(said, "--mark", dict)):
        return None
    try:
        choice = Choice.of(content)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mark") from None
    entry = chosen(MARKS, choice.name, "--mark", lambda one: acts in (None, one.acts))
    return choice.name, entry, parsed(entry.Options, json.dumps(dict(choice.options)), f"--mark {choice.name}")


def detector_of(
    said: str, path: str, lineage: tuple[int, int, int], calibration: str, train: np.ndarray | None
) -> tuple[Any, dict[str, Any]]:
    """The detector of the mark that is said, and what of it belongs into a fingerprint; None where its model diverged.

    path: the model's file, for a mark of the noise. lineage: the words of its key. train: real samples, by which it may
    be calibrated.
    """
    if (found := mark_in(said)) is None:
        raise typer.BadParameter("found none; the extractor 'mark' looks for one that is said", param_hint="--mark")
    name, entry, options = found
    if (entry.acts == "noise") != bool(path):
        needed = "needs the model: mark=FILE" if entry.acts == "noise" else "has no use for a model"
        raise typer.BadParameter(f"found mark={path}; {name} {needed}", param_hint="--extractor")
    by_real = calibrates(entry, options, calibration)
    if by_real and train is None:
        raise typer.BadParameter(f"found no train=FILE; {name} is calibrated by real samples", param_hint="--real")
    model = model_in(Path(path))[0] if path else None
    made = detector(entry, options, key_of(*lineage, name), model, train if by_real else None)
    # One fact, by which arms that mark in other ways are not kept apart (measure.compare).
    return made, {"mark": json_of(said, "--mark", dict) | {"calibration": "real" if by_real else "exact"}}


def p_marked(
    needed: bool, said: str, model: Path | None, lineage: tuple[int, int, int], pool: SampleSet, train: SampleSet | None
) -> np.ndarray | None:
    """The p-values of samples by the detector of their arm's mark; None where nobody needs them, or there are none.

    Raises BadParameter where a mark is needed and none is said, and the other way round.
    """
    if needed != (said != "{}"):
        what = "it is needed" if needed else "nothing here has a use for it"
        raise typer.BadParameter(f"found {said}; {what}", param_hint="--mark")
    if not needed or "diverged" in pool.lineage:
        return None
    found, _ = detector_of(said, str(model or ""), lineage, "own", train.data)
    return found(pool.data).p
