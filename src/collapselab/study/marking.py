"""Faults of marks: of what cannot carry one, or tell it again, and of what looks for one that nobody makes."""

import contextlib
import math
from collections.abc import Iterator, Sequence

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
            yield from _suspecting(study, arm)
        elif study.selecting(name, "mark"):
            index = next(index for index, one in enumerate(arm.select) if SELECTORS[one.name].needs.mark)
            message = f"{arm.select[index].name!r} looks for the arm's mark, and it has none; say mark: NAME"
            yield Fault(("arms", name, "select", index), message)
    marked = [arm for arm in study.lineages.values() if arm.mark]
    for index, name in enumerate(study.measured_in):
        if FEATURES[name].needs.through == "mark" and not marked:
            yield Fault(("extractors", index), f"{name!r} looks for marks, and no arm has one; leave it out")
        if FEATURES[name].needs.through == "mark":
            said, where = study.extractor_options(name), ("extractors", index, name)
            yield from _blind(study, where, marked, said["rate"], said["calibration"])
    if FEATURES[study.file.primary.extractor].needs.through == "mark":
        message = f"found {study.file.primary.extractor!r}, which looks at marked arms alone; the control has no mark"
        yield Fault(("primary", "extractor"), f"{message}: choose a space in which all arms are measured")


def _suspecting(study: Study, arm: Lineage) -> Iterator[Fault]:
    """The faults of an arm's selectors that throw out what a detector flags, and whose detector can flag nothing."""
    for index, one in enumerate(arm.select):
        if SELECTORS[one.name].needs.mark:
            where = ("arms", arm.name, "select", *([index] if len(arm.select) > 1 else []), one.name)
            rate = getattr(study.parsed(SELECTORS, one), "rate", None)
            yield from _blind(study, where, [arm], rate, "own") if rate is not None else ()


def _blind(
    study: Study, where: tuple[str | int, ...], marked: Sequence[Lineage], rate: float, calibration: str
) -> Iterator[Fault]:
    """The faults of detectors that flag nothing at a rate: calibrated by too few real samples, or counting few bits."""
    split = study.file.data.split
    there = split.train if study.population_name is None else split.held_out
    chosen = [(arm.mark.name, MARKS[arm.mark.name], study.parsed(MARKS, arm.mark)) for arm in marked]
    if any(calibrates(mark, options, calibration) for _, mark, options in chosen) and (there + 1) * rate < 1:
        needed = math.ceil(1 / rate) - 1
        message = f"found {rate}, at which {there} real training samples flag none; allowed with so many are rates"
        part = "train" if study.population_name is None else "held_out"
        yield Fault(
            (*where, "rate"), f"{message} from {1 / (there + 1):.2g} on, or data: split: {part}: {needed} and more"
        )
        return
    for name, mark, options in chosen:
        if calibrates(mark, options, calibration) or study.kind not in mark.takes:
            continue
        with contextlib.suppress(ValueError, OSError):  # of data that cannot be read another fault tells
            if not mark.fault(study.shape, options) and not mark.level(study.shape, options, rate):
                message = f"found {rate}, at which the detector of {name!r} flags none, whose count of right bits is"
                yield Fault((*where, "rate"), f"{message} likelier even where all are; allowed is more, or more bits")
                return


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
        yield from lacking(study, arm, where, arm.mark, Inverts)
        options = study.model_options(arm.model)
        if options.get("classes", 0) and not options.get("label_dropout", 1):
            found = f"{arm.model!r} has {options['classes']} classes and label_dropout: 0"
            message = f"{arm.mark.name!r} is found by the model without a class, but {found}"
            yield Fault(where, f"{message}; say a label_dropout above 0, or classes: 0")
