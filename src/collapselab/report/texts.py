"""Samples that are texts: sheets of the first and the last generation, and a few of each generation in between."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..verdicts import StudyFacts

SHEET, EACH = 8, 2  # texts of a sheet, and of each generation
LONGEST = 400  # characters of a text that are shown


class Texts(NamedTuple):
    """arm -> generation -> texts that begin with the same random numbers, place by place; and real ones."""

    made: Mapping[str, Mapping[int, Sequence[str]]] = {}
    real: Sequence[str] = ()


def sheets_of_texts(facts: StudyFacts, texts: Texts) -> dict[str, Any]:
    """What the page shows of texts. sheets: those of the first generation, then of the last, each with the arms whose
    texts they are, since arms that share a generation have one; rows: of each arm its generations. Empty of others.
    """
    given = {arm: dict(sorted(texts.made[arm].items())) for arm in facts.arms if texts.made.get(arm)}
    sheets: list[list[dict[str, Any]]] = []
    for end in (min, max):
        alike: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for arm, found in given.items():
            if end is min or len(found) > 1:
                generation = end(found)
                alike.setdefault((generation, tuple(found[generation][:SHEET])), []).append(arm)
        sheets.append([{"arms": arms, "generation": t, "texts": _cut(shown)} for (t, shown), arms in alike.items()])
    rows = [
        {"arm": arm, "rows": [(t, _cut(found[t][:EACH])) for t in found]}
        for arm, found in given.items()
        if len(found) > 1
    ]
    real = _cut(texts.real[:SHEET]) if given else []
    return {"sheets": [sheet for sheet in sheets if sheet], "rows": rows, "real": real}


def _cut(texts: Sequence[str]) -> list[str]:
    return [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in texts]
