"""All files of a study's report, as bytes by name.

:func:`build` takes plain data and returns bytes by file name; the same input gives the same bytes. Records that were
not measured alike are refused (:func:`~collapselab.measure.compare.check_comparable`), never drawn on one axis.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.progress import counted
from ..measure.compare import check_comparable
from ..study.selected import Selecting
from ..verdicts import Record, StudyFacts, analyse, indexed
from .axes import drawn_along
from .charts import WIDTH, axis_chart, composition_chart, curve_chart, pdf, share_chart, survival_chart, truth_chart
from .engine import require_room
from .footer import footer
from .fronts import prevention_charts
from .made import Made
from .numbers import Row, charts_of, endpoints, truth_rows, twins, unchanged
from .page import page
from .pictures import Grids, Pictures
from .sections import truth_words
from .tables import curves_csv, metrics_csv, primary_csv, summary_csv, summary_json, verdicts_json
from .texts import Texts

NOTHING_SELECTED, UNKNOWN, NO_TEXTS = Selecting(), Made(), Texts()


def build(
    facts: StudyFacts,
    records: Sequence[Record],
    grids: Grids | None = None,
    costs: Sequence[Mapping[str, Any]] = (),
    figures: bool = True,
    selecting: Selecting = NOTHING_SELECTED,
    made: Made = UNKNOWN,
    real: np.ndarray | None = None,
    texts: Texts = NO_TEXTS,
    clips: Grids | None = None,
    real_clips: np.ndarray | None = None,
) -> dict[str, bytes]:
    """The files of a study's report: name -> bytes, with ``report.html`` first.

    An unfinished study says so at the top, with the number of its cells. figures: also draw each chart as PDF.
    selecting: what selecting has done. made: by what the report was drawn, and of which file. real: real images to
    stand above the pictures, place by place. texts: samples that are texts, and real ones. clips, real_clips: log-mel
    pictures that are to be heard.
    Raises ValueError when the records are of another study or arm, or were not measured alike; MemoryError where there
    is no room for the engine that draws.
    """
    require_room()
    strangers = sorted({str(record["arm"]) for record in records} - set(facts.arms))
    if strangers:
        raise ValueError(f"records: found arms {', '.join(map(repr, strangers))}, allowed are {', '.join(facts.arms)}")
    records = indexed(records)
    check_comparable(records)
    loops = facts.loops  # calibration arms have no curves
    found = analyse(facts, records)
    pairs = truth_rows(loops, records)
    charts = _charts(loops, records, pairs)
    content = {
        "metrics.csv": metrics_csv(facts, records),
        "summary.csv": summary_csv(loops, records),
        "curves.csv": curves_csv(loops, records),
        "primary.csv": primary_csv(loops, records),
        "summary.json": summary_json(loops, records),
        "verdicts.json": verdicts_json(found),
    }
    if figures:
        content |= {f"figures/{name}.pdf": pdf(chart) for name, chart in counted(charts.items(), "figures")}
    pictures = Pictures(grids or {}, real, selecting, texts, clips or {}, real_clips)
    told = footer(facts, made, costs, [f"figures/{name}.pdf" for name in charts])
    html = page(facts, records, pictures, costs, found, charts, truth_words(pairs), told)
    return {"report.html": html.encode()} | content


def _charts(facts: StudyFacts, records: Sequence[Record], pairs: Sequence[Row]) -> dict[str, dict]:
    """Every chart by its name: a curve of each endpoint that moves, then what there is of the others."""
    charts: dict[str, dict] = {}
    left_out = unchanged(facts, records) | twins(facts, records)
    for endpoint in (endpoint for endpoint in endpoints(facts, records) if endpoint not in left_out):
        primary = (endpoint.metric, endpoint.extractor) == (facts.primary.metric, facts.primary.extractor)
        size = (WIDTH // 2, 330) if primary else (WIDTH // 2 - 40, 220)
        for name, which in charts_of(facts, records, endpoint).items():
            charts[name] = curve_chart(facts, records, endpoint, *size, (which,))
    drawn = {name: share_chart(facts, records, name, WIDTH) for name in facts.shares}
    for name, (axis, endpoint) in drawn_along(facts, records).items():
        drawn[name] = axis_chart(facts, records, axis, endpoint, WIDTH // 2, 300)
    drawn["survival"] = survival_chart(facts, records, WIDTH)
    drawn["composition"] = composition_chart(facts, records, WIDTH)
    drawn["truth"] = truth_chart(facts, pairs, WIDTH)
    drawn |= prevention_charts(facts, records, WIDTH)
    return charts | {name: chart for name, chart in drawn.items() if chart}
