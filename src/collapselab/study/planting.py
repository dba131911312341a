"""Faults of a planted logo: of data that cannot carry it, and of who looks for another."""

from collections.abc import Iterator
from typing import Any

from ..adapt import ADAPTERS
from ..adapt.membership import FEWEST
from ..data.split import EATEN
from .faults import Fault
from .study import Study

LOOK = ("size", "corner", "value")  # what a logo looks like, in the data and for who looks for it


def planting_faults(study: Study, there: bool, measured: bool) -> Iterator[Fault]:
    """What keeps a logo from being planted, or from being found. there: whether the data can be read. measured: whether
    the extractors are those that there are, with options that they have."""
    logo = study.file.data.planted
    looking = [index for index, name in enumerate(study.measured_in) if name == "logo"] if measured else []
    if logo is None:
        return
    if study.population_name is not None:
        yield Fault(("data", "planted"), "a logo stands in images; a population's samples are drawn anew; leave it out")
        return
    side = min(study.shape[1:]) if there else logo.size
    if logo.size > side:
        yield Fault(("data", "planted", "size"), f"found {logo.size}; the images allow at most {side} pixels")
    sizes = study.file.data.split.parts()
    for part in EATEN:
        if sizes.get(part, 0) and not round(logo.share * sizes[part]):
            said = (
                f"found {logo.share:g}, of {sizes[part]} images of {part} not one; allowed are shares of one at least"
            )
            yield Fault(("data", "planted", "share"), said)
    for index in looking:
        yield from _others(logo, study.extractor_options("logo"), ("extractors", index, "logo"))
    for name in study.file.arms:
        for index, adapt in enumerate(study.lineages[name].adapt):
            options = study.parsed(ADAPTERS, adapt)
            if (forget := getattr(options, "forget", None)) is None:
                continue
            where = ("arms", name, "adapt", index, adapt.name)
            for before, target in (((), forget), *((("earlier", n), one) for n, one in enumerate(forget.earlier))):
                if target.marked is not None:
                    yield from _others(logo, target.marked.model_dump(), (*where, "forget", *before, "marked"))
            rows = sizes.get("validation", 0)
            if forget.marked is not None and options.attacked <= rows and options.attacked > 0:
                yield from _attacked(round(logo.share * rows), rows, (*where, "attacked"))


def _attacked(marked: int, rows: int, where: tuple[str | int, ...]) -> Iterator[Fault]:
    """Where an attack has too few rows with the logo beside which to look for those that were trained on."""
    if marked < FEWEST:
        said = f"the logo is in {marked} of {rows} validation rows, and an attack compares with {FEWEST} at least"
        yield Fault(where, f"{said}; allowed: more validation rows, a larger share of the logo, or attacked: 0")


def _others(logo: Any, said: dict[str, Any], where: tuple[str | int, ...]) -> Iterator[Fault]:
    """Where another logo is looked for than was planted."""
    for name in LOOK:
        if said[name] != (planted := getattr(logo, name)):
            message = f"found {said[name]!r}; the planted logo has {planted!r}: say the same in both places"
            yield Fault((*where, name), message)
