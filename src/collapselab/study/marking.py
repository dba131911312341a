"""Faults of marks: of what cannot carry one, or tell it again, and of what looks for one that nobody makes."""

import contextlib
from collections.abc import Iterator

from ..features import FEATURES
from ..marks import MARKS
from ..models.capabilities import Inverts
from ..select import SELECTORS
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
    if FEATURES[study.file.primary.extractor].needs.through == "mark":
        message = f"found {study.file.primary.extractor!r}, which looks at marked arms alone; the control has no mark"
        yield Fault(("primary", "extractor"), f"{message}: choose a space in which all arms are measured")


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
