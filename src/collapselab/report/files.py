"""All files of a study's report, as bytes by name.

:func:`build` takes plain data and returns bytes by file name; the same input gives the same bytes. Records that were
not measured alike are refused (:func:`~collapselab.measure.compare.check_comparable`), never drawn on one axis.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.progress import counted
from ..measure.compare import check_comparable
from ..study.selected import Selecting
from ..verdicts import Record, StudyFacts, analyse, indexed
from .charts import WIDTH, composition_chart, curve_chart, pdf, share_chart, survival_chart, truth_chart
from .engine import require_room
from .numbers import Row, endpoints, name_of, sets_of, truth_rows, twins, unchanged
from .page import page
from .pictures import Grids
from .sections import truth_words
from .tables import curves_csv, metrics_csv, primary_csv, summary_csv, summary_json, verdicts_json

NOTHING_SELECTED = Selecting()


def build(
    facts: StudyFacts,
    records: Sequence[Record],
    grids: Grids | None = None,
    costs: Sequence[Mapping[str, Any]] = (),
    figures: bool = True,
    selecting: Selecting = NOTHING_SELECTED,
) -> dict[str, bytes]:
    """The files of a study's report: name -> bytes, with ``report.html`` first.

    An unfinished study says so at the top, with the number of its cells. figures: also draw each chart as PDF.
    selecting: what selecting has done.
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
        "report.html": page(facts, records, grids or {}, costs, found, charts, truth_words(pairs), selecting).encode(),
        "metrics.csv": metrics_csv(facts, records),
        "summary.csv": summary_csv(loops, records),
        "curves.csv": curves_csv(loops, records),
        "primary.csv": primary_csv(loops, records),
        "summary.json": summary_json(loops, records),
        "verdicts.json": verdicts_json(found),
    }
    if figures:
        content |= {f"figures/{name}.pdf": pdf(chart) for name, chart in counted(charts.items(), "figures")}
    return content


def _charts(facts: StudyFacts, records: Sequence[Record], pairs: Sequence[Row]) -> dict[str, dict]:
    """Every chart by its name: a curve of each endpoint that moves, then what there is of the others."""
    charts: dict[str, dict] = {}
    left_out = unchanged(facts, records) | twins(facts, records)
    for endpoint in (endpoint for endpoint in endpoints(facts, records) if endpoint not in left_out):
        primary = (endpoint.metric, endpoint.extractor) == (facts.primary.metric, facts.primary.extractor)
        whole = primary or len(sets_of(records, endpoint.metric, endpoint.extractor)) > 1
        width, height = (WIDTH if whole else WIDTH // 2 - 40), (340 if primary else 220)
        charts[name_of(endpoint)] = curve_chart(facts, records, endpoint, width, height)
    drawn = {name: share_chart(facts, records, name, WIDTH) for name in facts.shares}
    drawn["survival"] = survival_chart(facts, records, WIDTH)
    drawn["composition"] = composition_chart(facts, records, WIDTH)
    drawn["truth"] = truth_chart(facts, pairs, WIDTH)
    return charts | {name: chart for name, chart in drawn.items() if chart}
