"""Faults of marks: of what cannot carry one, or tell it again, and of what looks for one that nobody makes."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..features import FEATURES
from ..marks import MARKS
from ..models.capabilities import Inverts
from ..select import SELECTORS
from ..verbs.extract import calibrates
from .checks import lacking
from .faults import Fault
from .lineages import Lineage
from .study import Study


def marking_faults(study: Study) -> Iterator[Fault]:
    """What keeps marks from being put into samples, from being found there, and from being looked for at all."""
    for name in study.file.arms:
        arm = study.lineages[name]
        if arm.mark:
            yield from _unmarkable(study, arm)
        elif study.selecting(name, "mark"):
            index = next(index for index, one in enumerate(arm.select) if SELECTORS[one.name].needs.mark)
            message = f"{arm.select[index].name!r} looks for the arm's mark, and it has none; say mark: NAME"
            yield Fault(("arms", name, "select", index), message)
    marked = any(arm.mark for arm in study.lineages.values())
    for index, name in enumerate(study.measured_in):
        if FEATURES[name].needs.through == "mark" and not marked:
            yield Fault(("extractors", index), f"{name!r} looks for marks, and no arm has one; leave it out")
        if FEATURES[name].needs.through == "mark" and marked:
            yield from _uncalibrated(study, ("extractors", index, name), study.extractor_options(name))
    if FEATURES[study.file.primary.extractor].needs.through == "mark":
        message = f"found {study.file.primary.extractor!r}, which looks at marked arms alone; the control has no mark"
        yield Fault(("primary", "extractor"), f"{message}: choose a space in which all arms are measured")


def _uncalibrated(study: Study, where: tuple[str | int, ...], said: Mapping[str, Any]) -> Iterator[Fault]:
    """The fault of a detector that is calibrated by too few real images to flag any at its rate."""
    chosen = [(MARKS[arm.mark.name], study.parsed(MARKS, arm.mark)) for arm in study.lineages.values() if arm.mark]
    there = study.file.data.split.train
    by_real = any(calibrates(mark, options, said["calibration"]) for mark, options in chosen)
    if study.population_name is None and by_real and (there + 1) * said["rate"] < 1:
        needed = math.ceil(1 / said["rate"]) - 1
        message = (
            f"found {said['rate']}, at which {there} real training images flag none; allowed with so many are rates"
        )
        yield Fault(
            (*where, "rate"), f"{message} from {1 / (there + 1):.2g} on, or data: split: train: {needed} and more"
        )


def _unmarkable(study: Study, arm: Lineage) -> Iterator[Fault]:
    """What keeps an arm's mark from being put into its samples, or from being found there again."""
    mark, where = MARKS[arm.mark.name], ("arms", arm.name, "mark")
    if study.kind not in mark.takes:
        yield Fault(where, f"{arm.mark.name!r} takes {' and '.join(mark.takes)}; the study's data are {study.kind}")
        return
    with contextlib.suppress(ValueError, OSError):  # of data that cannot be read another fault tells
        if message := mark.fault(study.shape, study.parsed(MARKS, arm.mark)):
            yield Fault(where, f"{arm.mark.name!r} {message}")
    if mark.acts == "noise":
        if asking := next((one.name for one in arm.select if SELECTORS[one.name].needs.ask), None):
            message = f"{asking!r} makes the samples again, which it cannot where {arm.mark.name!r} marks their noise"
            yield Fault(("arms", arm.name, "select"), message)
        yield from lacking(study, arm, where, arm.mark, Inverts)
        options = study.model_options(arm.model)
        if options.get("classes", 0) and not options.get("label_dropout", 1):
            found = f"{arm.model!r} has {options['classes']} classes and label_dropout: 0"
            message = f"{arm.mark.name!r} is found by the model without a class, but {found}"
            yield Fault(where, f"{message}; say a label_dropout above 0, or classes: 0")
