"""An endpoint against an axis of the study's sweep: a line for each curve of arms, and the scaling law through it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..verdicts import Endpoint, Record, StudyFacts, powerlaw, spell, t_interval
from ..verdicts.definitions import stand_in
from ..verdicts.scaling import Series, all_curves, values_of
from .colours import colours_of, marks_of
from .numbers import BAND_FROM, Row

FINE = 60  # points of a law that is drawn


def series_of(facts: StudyFacts) -> dict[str, dict[str, str]]:
    """How each curve of the sweep looks: name -> ``colour`` and ``mark``, controls in grey."""
    names = list(dict.fromkeys(one.name for one in all_curves(facts)))
    controls = [one.name for one in all_curves(facts) if one.control]
    colours, marks = colours_of(names, controls), marks_of(names)
    return {name: {"colour": colours[name], "mark": marks[name]} for name in names}


def drawn_along(facts: StudyFacts, records: Sequence[Record]) -> dict[str, tuple[str, Endpoint]]:
    """The charts of a sweep: name -> axis and endpoint, the primary one, and the risk where that is another."""
    endpoints = [facts.primary]
    risk = stand_in(facts, records, "risk")
    endpoints += (
        [risk] if risk and (risk.metric, risk.extractor) != (facts.primary.metric, facts.primary.extractor) else []
    )
    axes = dict.fromkeys(one.axis for one in all_curves(facts))
    return {
        f"along_{_file(axis)}_{_file(endpoint.metric)}_{endpoint.extractor}": (axis, endpoint)
        for axis in axes
        for endpoint in endpoints
    }


def _file(words: str) -> str:
    return re.sub(r"\W+", "_", words)


def axis_rows(facts: StudyFacts, records: Sequence[Record], axis: str, endpoint: Endpoint) -> list[Row]:
    """What is drawn of an endpoint along an axis: of each curve the ``mean`` at every point with its interval or range,
    and the ``law`` through them where there is one.
    """
    rows: list[Row] = []
    for series in (one for one in all_curves(facts) if one.axis == axis):
        there = values_of(facts, records, series, endpoint)
        if there is None:
            continue
        for x, numbers in zip(there.x, there.values.T, strict=True):
            rows.append({"what": "mean", "series": series.name, "x": float(x), **_spread(numbers)})
        law = powerlaw.fit(there.x, there.values)
        if isinstance(law, powerlaw.Law):
            rows += _of_law(series, there.x, law)
    return rows


def _spread(numbers: np.ndarray) -> dict[str, float]:
    low, high = float(numbers.min()), float(numbers.max())
    if len(numbers) >= BAND_FROM:
        low, high, _ = t_interval(numbers)
        low, high = (float(end) if np.isfinite(end) else float(numbers.mean()) for end in (low, high))
    return {"value": float(numbers.mean()), "low": low, "high": high, "lineages": len(numbers)}


def _of_law(series: Series, x: np.ndarray, law: powerlaw.Law) -> Iterator[Row]:
    fine = np.geomspace(x.min(), x.max(), FINE)
    for place, value in zip(fine, law.at(fine), strict=True):
        yield {"what": "law", "series": series.name, "x": float(place), "value": float(value)}


def is_positive(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all that is drawn lies above 0, so that logarithms can be drawn; ends of intervals are left out."""
    return all(row["value"] > 0 for row in rows)


def in_words(facts: StudyFacts, axis: str, endpoint: Endpoint, rows: Sequence[Mapping[str, Any]]) -> str:
    """The chart for those who do not see it: the mean of each curve at its first and its last point."""
    means = [row for row in rows if row["what"] == "mean"]
    said = []
    for name in dict.fromkeys(row["series"] for row in means):
        own = [row for row in means if row["series"] == name]
        said.append(f"{name} {spell(own[0]['value'])} to {spell(own[-1]['value'])}")
    return f"{facts.label(endpoint.metric)} along {axis}. Means from the first to the last point: {', '.join(said)}."
