"""A model before and after its adaptation on one page, which needs no network and no script."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..adapt.base import Step
from ..core.sets import SampleSet
from ..metrics import METRICS
from ..verdicts import spell
from .adapted import drawn, found_by
from .lines import STYLE
from .pictures import grid_png

SHEET, COLUMNS = 40, 8  # samples of each sheet, and of its rows
SHOWN_COLUMNS = 8  # of vectors, in the table
MARKS = {"higher": "↑", "lower": "↓", None: ""}


def before_after(name: str, steps: Sequence[Step], shown: Any, about: Mapping[str, str]) -> str:
    """The page. shown: ``before`` and ``after``, samples by the same random numbers, and ``measured``: (metric,
    extractor) -> the two entries of records. about: name -> words, of the page's head."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = resources.files(__package__).joinpath("before_after.html.jinja").read_text(encoding="utf-8")
    images = shown.before.kind == "images"
    return environment.from_string(text).render(
        name=name,
        about=about,
        steps=[{"name": one.name, "charts": drawn(one.facts), "found": list(_said(one))} for one in steps],
        sheets=[("before", _sheet(shown.before)), ("after", _sheet(shown.after))] if images else [],
        columns=[] if images else _columns(shown.before, shown.after),
        moved=_moved(shown.before.data, shown.after.data),
        measured=[_row(*key, *pair) for key, pair in shown.measured.items()],
        style=Markup(STYLE),
    )


def _said(step: Step) -> list[tuple[str, str]]:
    options = [(f"option {name}", _plain(value)) for name, value in step.options.items()]
    return [*options, *found_by(step.facts)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else str(value).replace("'", "")


def _sheet(samples: SampleSet) -> str:
    return base64.b64encode(grid_png(samples.data[:SHEET], COLUMNS)).decode()


def _moved(before: np.ndarray, after: np.ndarray) -> str:
    """How many samples are another than before, and by how much in the mean, in words."""
    changed = (before != after).reshape(len(before), -1).any(axis=1)
    far = np.abs(before.astype(np.float64) - after.astype(np.float64)).mean()
    unit = " grey levels a pixel" if before.ndim == 4 else ""
    many = f"{np.count_nonzero(changed)} of {len(before)} samples"
    return f"{many} are another than before, by {spell(far)}{unit} in the mean"


def _columns(before: SampleSet, after: SampleSet) -> list[tuple[str, str, str]]:
    """Mean and standard deviation of the first columns of vectors, or the shares of categories."""
    if before.kind == "categories":
        names = np.unique(np.concatenate([before.data, after.data]))[:SHOWN_COLUMNS]
        shares = [[spell(float(np.mean(side.data == one))) for side in (before, after)] for one in names]
        return [(f"share of {one}", *pair) for one, pair in zip(names, shares, strict=True)]
    rows = []
    for column in range(min(before.data.shape[1], SHOWN_COLUMNS)):
        told = [
            f"{spell(side.data[:, column].mean())} ± {spell(side.data[:, column].std())}" for side in (before, after)
        ]
        rows.append((f"column {column}", *told))
    return rows


def _row(metric: str, extractor: str, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> dict[str, str]:
    base, _, part = metric.partition(".")
    label = METRICS[base].label + (f" {part}" if part else "")
    cells = {"before": _cell(before), "after": _cell(after)}
    return {"label": f"{label} {MARKS[METRICS[base].better]}".strip(), "extractor": extractor, **cells}


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None or entry["value"] is None:
        return "–"
    interval = f" ({spell(entry['low'])} to {spell(entry['high'])})" if entry.get("low") is not None else ""
    return spell(entry["value"]) + interval
