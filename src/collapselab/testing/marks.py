"""The laws of marks."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.kinds import KINDS
from ..marks import MARKS
from ..marks.base import Mark, MarkOptions
from .said import described, entry_of, law, named, same

ROWS, START = 12, 5  # samples, and the place of the first
KEYS = bytes(range(32)), bytes(32)


def check_mark(mark: Any, options: Mapping[str, Any] | None = None, shape: Sequence[int] = (1, 28, 28)) -> None:
    """Hold a mark to its contract (:class:`~collapselab.marks.base.Mark`) on a few rows of a shape.

    Rows keep their type and shape, and what was given stays as it was; a row's mark hangs on its place and the key
    alone, not on the rows beside it; another key is another mark; the detector gives a p-value for each row, is surer
    of marked rows than of others, and its level is at most what is asked for; shapes that it refuses have a reason.

    mark: the entry, or its name. options: those that have to be said. Raises AssertionError for the first law that is
    broken.
    """
    name, entry = entry_of(mark, MARKS)
    law(isinstance(entry, Mark), f"{name}: found a {type(entry).__name__}, asked is a Mark, its entry")
    law(issubclass(entry.Options, MarkOptions), f"{name}: its Options are no MarkOptions, which say whose the keys are")
    described(name, entry.Options)
    law(inspect.getdoc(entry.mark) and inspect.getdoc(entry.detect), f"{name}: mark or detect has no docstring")
    wrong = [one for one in entry.takes if one not in KINDS]
    law(entry.takes and not wrong, f"{name}: takes is {named(entry.takes)}; asked are some of {named(KINDS)}")
    for keys in ("constant", "per_image"):
        chosen = entry.Options.model_validate(dict(options or {}) | {"keys": keys})
        again = entry.Options.model_validate(json.loads(chosen.model_dump_json()))
        law(again == chosen, f"{name}: its options do not survive JSON")
        law(entry.fault(shape, chosen) == "", f"{name}: it refuses {shape}: {entry.fault(shape, chosen)}")
        rows = _rows(entry, shape)
        marked = _check_marking(f"{name}, {keys} keys", entry, chosen, rows)
        _check_detection(f"{name}, {keys} keys", entry, chosen, rows, marked)


def _rows(entry: Mark, shape: Sequence[int]) -> np.ndarray:
    random = np.random.default_rng(0)
    if entry.acts == "noise" or len(shape) == 1:
        return random.standard_normal((ROWS, *shape))
    return random.integers(60, 196, (ROWS, *shape), dtype=np.uint8)


def _check_marking(name: str, entry: Mark, options: Any, rows: np.ndarray) -> np.ndarray:
    before = rows.copy()
    marked = entry.mark(rows, options, KEYS[0], START)
    law(same(rows, before), f"{name}: it has changed the rows that it was given, which are not its own")
    found, asked = (f"{one.dtype} of shape {one.shape}" for one in (marked, rows))
    law(found == asked, f"{name}: it gave {found}, asked are {asked}")
    law(same(marked, entry.mark(rows, options, KEYS[0], START)), f"{name}: asked twice it marks otherwise")
    law(not same(marked, entry.mark(rows, options, KEYS[1], START)), f"{name}: with another key it marks alike")
    part = entry.mark(rows[3:7], options, KEYS[0], START + 3)
    off = np.abs(part.astype(np.float64) - marked[3:7]).max()
    law(off <= 1e-9, f"{name}: rows among others, at their own places, are marked otherwise, by {off:.2g}")
    return marked


def _check_detection(name: str, entry: Mark, options: Any, rows: np.ndarray, marked: np.ndarray) -> None:
    look: Callable[..., Any] = lambda data, key=KEYS[0], start=START: entry.detect(data, options, key, start)  # noqa: E731
    found, there = look(rows), look(marked)
    for what in ("statistic", "p"):
        column = getattr(found, what)
        law(column.shape == (ROWS,) and column.dtype == np.float64, f"{name}: its {what} is not one float64 a row")
        law(np.isfinite(column).all(), f"{name}: its {what} is not finite")
    law(((found.p >= 0) & (found.p <= 1)).all(), f"{name}: p-values are {found.p.min()} to {found.p.max()}")
    order = np.argsort(found.statistic)
    law((np.diff(found.p[order]) <= 1e-12).all(), f"{name}: where its statistic is larger its p-value is not smaller")
    law(np.median(there.p) < np.median(found.p), f"{name}: it is no surer of marked rows than of others")
    wrong = look(marked, KEYS[1])
    law(np.median(there.p) < np.median(wrong.p), f"{name}: it finds with another key what that key has not marked")
    part = look(marked[3:7], start=START + 3)
    law(np.allclose(part.p, there.p[3:7], rtol=1e-9, atol=0), f"{name}: a row's p-value hangs on the rows beside it")
    law(len(look(rows[:0]).p) == 0, f"{name}: of no rows it gives p-values")
    for rate in (0.3, 0.01, 1e-9):
        level = entry.level(rows.shape[1:], options, rate)
        law(0 <= level <= rate, f"{name}: at a rate of {rate} its level is {level}, asked is that or less")
