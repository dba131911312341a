"""What the adapters of a study have found out, generation by generation, read from the heads of adapted models."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from ..adapt.base import Step, steps_of
from ..store.tensors import read_metadata
from .study import Study
from .thinning import FACTS

Cells = Mapping[tuple[str, int, int], Sequence[Step]]
"""(arm, seed, generation) -> the adapters of its model, in their order."""


def adaptations(study: Study) -> dict[tuple[str, int, int], list[Step]]:
    """What is known of the adaptations of the study's own seeds: of those that are there, and have not diverged."""
    found = {}
    for cell in study.cells() if not study.file.together else ():
        if study.lineages[cell[0]].adapt and (steps := steps_of(_lineage(study, cell))):
            found[cell] = steps
    return found


def _lineage(study: Study, cell: tuple[str, int, int]) -> Mapping[str, Any]:
    """The lineage of an adapted model; of one that was thinned it has stayed."""
    files = (Path(study.model_file(*cell)), Path(study.cell(*cell, FACTS)))
    path = next((one for one in files if one.exists()), None)
    lineage = read_metadata(path).get("lineage", {}) if path else {}
    return {} if "diverged" in lineage else lineage


def chosen_in_words(cells: Cells) -> dict[str, str]:
    """What adapters have chosen on validation rows, by arm: in each generation a number a seed, in words."""
    said: dict[str, str] = {}
    for arm in dict.fromkeys(arm for arm, _, _ in cells):
        chosen: dict[tuple[int, str, str], dict[int, list[str]]] = {}
        for generation, index, step in _steps(cells, arm):
            for option, value in step.facts.get("chosen", {}).items():
                told = f"{value:g}" if isinstance(value, Real) else str(value)
                chosen.setdefault((index, step.name, option), {}).setdefault(generation, []).append(told)
        words: dict[tuple[int, str], list[str]] = {}
        for (index, name, option), found in chosen.items():
            told = [f"{', '.join(values)} at generation {t}" for t, values in sorted(found.items())]
            words.setdefault((index, name), []).append(f"{option} {'; '.join(told)}")
        if words:
            said[arm] = ", then ".join(f"{name}: {' and '.join(of)}" for (_, name), of in words.items())
    return said


def _steps(cells: Cells, arm: str) -> Iterator[tuple[int, int, Step]]:
    """Generation, place in the chain, and step."""
    for (whose, _, generation), steps in cells.items():
        yield from ((generation, index, one) for index, one in enumerate(steps) if whose == arm)
