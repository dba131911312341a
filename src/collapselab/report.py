"""A study as one HTML file that needs no network, with its tables as CSV and its figures as PDF.

:func:`build` takes plain data and returns bytes by file name; the same input gives the same bytes. Records that were
not measured alike are refused (:func:`~collapselab.compare.check_comparable`), never drawn on one axis.
"""

import base64
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from .compare import check_comparable
from .config import FAIRNESS
from .features.base import Undefined
from .metrics.artefacts import growth_rate
from .theory.agreement import agreement
from .theory.setting import Prediction
from .verdicts import (
    CLASSES_GIVEN,
    Endpoint,
    Record,
    StudyFacts,
    at_risk,
    digits_apart,
    diverged,
    effective,
    forecast,
    indexed,
    judge,
    lineages,
    natural,
    spell,
    t_interval,
)

Grids = Mapping[str, Mapping[int, np.ndarray]]
"""arm -> generation -> (n, C, H, W) uint8, where image i has the same latents in every generation and arm."""

DRAWN = 12  # lineages of an arm that are drawn one by one where there are many
LISTED = 2000  # cells in the table of lineages
BAND_FROM = 8  # lineages: below, a band would feign a precision that so few do not have
VEGA_LITE = "6.4"
WIDTH = 1040  # of a chart that takes the whole page, in pixels
CONTROL_COLOUR = "#333333"
# Okabe and Ito (2008) without its black and yellow, then Tol's muted scheme: told apart by colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#44AA99", "#999933", "#332288")
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right", "triangle-left")
CROSS = "M-.6,-.6L.6,.6M.6,-.6L-.6,.6"
THEORY = "dashes: theory, shaded where the mean should lie"  # in 95 of 100 studies, where its spread is known
SETS = {"raw": "the model itself", "sampled": "as sampled", "kept": "as kept"}
KINDS = {  # of training images: its colour in the chart of compositions
    "real, fixed": "#08519C",
    "real, fresh": "#4292C6",
    "real, redrawn": "#9ECAE1",
    "own samples": "#D55E00",
    "another arm's samples": "#FDAE6B",
}
TRUTHS = {"true_precision": "precision", "true_recall": "recall", "true_coverage": "coverage"}  # truth: its estimate
GRID_COLUMNS, GRID_ROWS = 10, 4
GRID_SIDE, GRID_PIXELS, GRID_BYTES = 96, 32, 1_500_000
CONTRACT = {
    "Common random numbers": "seeds name the study, the replicate, the generation and the stage, never the arm: "
    "generation 0 is shared, arms are compared in pairs, and the grids show the same latents in every generation.",
    "One split": "training, held-out and fresh data are split once for the whole study; from a known population each "
    "seed draws its own, and the population itself is the reference.",
    "Selectors never see the yardstick": "selectors see features of the training split only, in another space than "
    "that of the primary endpoint.",
    "Raw, biased, kept": "the model itself, its samples and what was kept of them are measured apart, at equal n.",
    "Nothing tuned on the yardstick": "the last snapshot counts; nothing is chosen by a metric shown here.",
    "Failures stay in the picture": "diverged lineages are drawn up to where they end, and counted.",
    "Few seeds are shown as few": "below eight lineages points and their range, from eight on a 95 % band of the mean.",
    "One primary endpoint": "named in the study's file; p-values are corrected over the arms (Holm 1979).",
}
DEFINITIONS = {
    "primary_slope": "Slope of the primary endpoint",
    "slope_against_control": "Slope against the control, paired by seed",
    "catastrophic_risk": "Catastrophic rise of risk (more than tenfold: this report's threshold)",
    "any_rise_of_risk": "Any rise of risk",
    "diverging_risk": "Risk that grows without bound",
    "collapsing_variance": "Variance that goes to zero",
    "scaling_law": "Change in the scaling law",
    "lost_modes": "Modes of the real data disappear",
    "lost_tails": "Tails of the real data disappear",
    "hallucination": "Data appear that are not real",
}


# -- tables ------------------------------------------------------------------------------------------------------------


def endpoints(facts: StudyFacts, records: Sequence[Record]) -> list[Endpoint]:
    """The measured scalars, shares of a whole left out: the primary, the rest of its feature space, the others.

    Metrics stand in the order of the labels, and so do the feature spaces by the first metric that they have.
    """
    found = dict.fromkeys(
        (extractor, metric)
        for (metric, extractor, _), arms in indexed(records).determined.items()
        if not facts.is_share(metric) and not arms.isdisjoint(facts.arms)
    )
    place = {name: index for index, name in enumerate(facts.labels)}
    rank = {key: place.get(key[1].partition(".")[0], len(place)) for key in found}
    space = {extractor: min(rank[key] for key in found if key[0] == extractor) for extractor, _ in found}
    primary = (facts.primary.extractor, facts.primary.metric)
    order = sorted(
        found, key=lambda key: (key != primary, key[0] != facts.primary.extractor, space[key[0]], key[0], rank[key])
    )
    return [Endpoint(metric, extractor, facts.primary.set) for extractor, metric in order]


def _name(endpoint: Endpoint) -> str:
    """The name of the endpoint's chart, file and column, without dots, which Vega reads as paths."""
    return f"{endpoint.metric}_{endpoint.extractor}".replace(".", "_")


def _sets(records: Sequence[Record], metric: str, extractor: str) -> list[str]:
    measured = indexed(records).measured
    return [name for name in SETS if (metric, extractor, name) in measured]


def _arms_with(facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint) -> list[str]:
    """The arms whose samples of this set were measured apart, and the control; elsewhere all sets are one.

    The primary endpoint's own set is every arm's.
    """
    if endpoint.set == facts.primary.set:
        return list(facts.arms)
    records = indexed(records)
    return [arm for arm in facts.arms if records.has(arm, endpoint) or facts.is_control(arm)]


def final(facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint) -> dict[str, Any] | None:
    """Mean and range over the lineages that reach the arm's last measured generation; None without any."""
    found = lineages(records, arm, endpoint)
    last = max((generation for lineage in found.values() for generation in lineage), default=None)
    if last is None:
        return None
    numbers = [lineage[last] for lineage in found.values() if last in lineage]
    return {
        "generation": last,
        "mean": float(np.mean(numbers)),
        "low": min(numbers),
        "high": max(numbers),
        "lineages": len(numbers),
    }


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    return _written(columns, ([row.get(name) for name in columns] for row in rows))


def _written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)  # nothing stands where there is None
    return stream.getvalue().encode()


def _in_order(facts: StudyFacts, records: Sequence[Record]) -> list[Record]:
    place = {arm: index for index, arm in enumerate(facts.arms)}
    return sorted(records, key=lambda record: (place[record["arm"]], record["seed"], record["generation"]))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def metrics_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """Every value of every cell, one row each; a diverged cell without values has one row that says so."""
    cell_columns = ["study", "arm", "seed", "generation", "status"]
    of_value = ["set", "extractor", "metric", "value", "low", "high", "reason", "fingerprint"]

    def rows() -> Iterator[list[Any]]:
        for record in _in_order(facts, records):
            cell = [record[name] for name in cell_columns]
            for entry in record["values"] or ({},):
                yield cell + [entry.get(name) for name in of_value]

    return _written([*cell_columns, *of_value], rows())


def summary_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """The last generation of each arm: mean and range over lineages of each endpoint, beside real data."""
    rows = []
    for endpoint in endpoints(facts, records):
        for name in _sets(records, endpoint.metric, endpoint.extractor):
            for arm in facts.arms:
                numbers = final(facts, records, arm, Endpoint(endpoint.metric, endpoint.extractor, name))
                real = facts.reference.get(endpoint.extractor, {}).get(endpoint.metric)
                where = {"arm": arm, "metric": endpoint.metric, "extractor": endpoint.extractor, "set": name}
                rows += [where | numbers | {"real_against_real": real}] if numbers else []
    columns = ["arm", "metric", "extractor", "set", "generation", "mean", "low", "high", "lineages"]
    return _csv([*columns, "real_against_real"], rows)


def curves_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """One row per arm and generation, one column per endpoint: its mean over lineages (for ``dvc plots show``)."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    columns = ["arm", "generation"]
    for endpoint in endpoints(facts, records):
        columns.append(_name(endpoint))
        for arm in facts.arms:
            for generation, numbers in _by_generation(records, arm, endpoint).items():
                row = rows.setdefault((arm, generation), {"arm": arm, "generation": generation})
                row[columns[-1]] = float(np.mean(numbers))
    order = list(facts.arms)
    return _csv(columns, [rows[key] for key in sorted(rows, key=lambda key: (order.index(key[0]), key[1]))])


def primary_csv(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """The primary endpoint's mean over lineages, one row per generation and one column per arm."""
    rows = {generation: {"generation": generation} for generation in range(facts.generations + 1)}
    for arm in facts.arms:
        for generation, numbers in _by_generation(records, arm, facts.primary).items():
            rows[generation][arm] = float(np.mean(numbers))
    return _csv(["generation", *facts.arms], rows.values())


def summary_json(facts: StudyFacts, records: Sequence[Record]) -> bytes:
    """arm -> endpoint -> mean at the arm's last generation (for ``dvc metrics show``)."""
    summary = {}
    for arm in facts.arms:
        found = {endpoint: final(facts, records, arm, endpoint) for endpoint in endpoints(facts, records)}
        summary[arm] = {_name(endpoint): round(numbers["mean"], 6) for endpoint, numbers in found.items() if numbers}
    return _json(summary)


def _by_generation(records: Sequence[Record], arm: str, endpoint: Endpoint) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for lineage in lineages(records, arm, endpoint).values():
        for generation, number in lineage.items():
            found.setdefault(generation, []).append(number)
    return dict(sorted(found.items()))


def unchanged(facts: StudyFacts, records: Sequence[Record]) -> dict[Endpoint, float]:
    """The endpoints that have one value in all cells and sets, which a sentence says better than a curve."""
    found = {}
    for endpoint in endpoints(facts, records):
        numbers = (number for *_, number in _cells(facts, records, endpoint))
        first = next(numbers)  # there is one: it is determined somewhere
        # NaN, which is not determined, equals nothing.
        if endpoint != facts.primary and len(records) > 1 and all(number == first for number in numbers):
            found[endpoint] = first
    return found


def twins(facts: StudyFacts, records: Sequence[Record]) -> dict[Endpoint, Endpoint]:
    """Named numbers of a metric that in every cell equal an earlier one of its, as the channels of grey images do."""
    first: dict[tuple[Any, ...], Endpoint] = {}
    found = {}
    for endpoint in endpoints(facts, records):
        name, dot, _ = endpoint.metric.partition(".")
        if dot:
            # A mean of equals is off by rounding.
            cells = ((*cell, f"{number:.12g}") for *cell, number in _cells(facts, records, endpoint))
            other = first.setdefault((name, endpoint.extractor, *cells), endpoint)
            found |= {endpoint: other} if other != endpoint else {}
    return found


def _cells(
    facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint
) -> Iterator[tuple[str, str, int, int, float]]:
    """What was measured of any set: (arm, set, seed, generation, value), NaN where it is not determined."""
    records = indexed(records)
    for arm in facts.arms:
        for which in SETS:
            for seed, lineage in records.numbers(arm, replace(endpoint, set=which)).items():
                for generation, number in lineage.items():
                    yield arm, which, seed, generation, number


# -- charts ------------------------------------------------------------------------------------------------------------


def colours(facts: StudyFacts) -> dict[str, str]:
    """arm -> colour, the control in dark grey."""
    others = [arm for arm in facts.arms if not facts.is_control(arm)]
    found = {arm: PALETTE[index % len(PALETTE)] for index, arm in enumerate(others)}
    return {arm: found.get(arm, CONTROL_COLOUR) for arm in facts.arms}


def _some(seeds: Iterable[int]) -> list[int]:
    """Of many seeds a dozen, evenly spread."""
    seeds = list(seeds)
    chosen = np.unique(np.linspace(0, len(seeds) - 1, min(DRAWN, len(seeds))).round().astype(int))
    return [seeds[index] for index in chosen]


def curve_rows(facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint) -> list[dict[str, Any]]:
    """What a curve draws, as flat rows: lineages' values, means with ranges, ends of lineages, theory, the reference.

    Of many lineages some are drawn. Arms stand a little beside each other on the axis (``x``), so that their ranges do
    not hide each other.
    """
    records = indexed(records)
    rows: list[dict[str, Any]] = []
    arms = list(facts.arms)
    primary = (endpoint.metric, endpoint.extractor) == (facts.primary.metric, facts.primary.extractor)
    panels = sorted(_sets(records, endpoint.metric, endpoint.extractor), key=lambda name: name != facts.primary.set)
    for panel in panels:
        there = {"panel": SETS[panel] + (" (primary)" if primary and panel == facts.primary.set else "")}
        shown = _arms_with(facts, records, Endpoint(endpoint.metric, endpoint.extractor, panel))
        for index, arm in enumerate(arms):
            if arm not in shown:
                continue
            aside = 0 if facts.seeds >= BAND_FROM else (index - (len(arms) - 1) / 2) * min(0.07, 0.5 / len(arms))
            found = lineages(records, arm, Endpoint(endpoint.metric, endpoint.extractor, panel))
            alive = at_risk(records, arm)
            if facts.seeds >= BAND_FROM:  # thin lines, a row each
                for seed in (seed for seed in _some(found) if found[seed]):
                    line = {"xs": list(found[seed]), "values": [float(f"{n:.5g}") for n in found[seed].values()]}
                    rows.append(there | {"what": "line", "arm": arm, "seed": seed} | line)
            for seed, lineage in found.items() if facts.seeds < BAND_FROM else ():
                for generation, number in lineage.items():
                    point = {"what": "lineage", "arm": arm, "seed": seed, "generation": generation}
                    rows.append(there | point | {"x": generation + aside, "value": number})
            for generation, numbers in _by_generation(
                records, arm, Endpoint(endpoint.metric, endpoint.extractor, panel)
            ).items():
                low, high = min(numbers), max(numbers)
                if facts.seeds >= BAND_FROM and len(numbers) >= 2:
                    low, high, _ = t_interval(np.array(numbers))
                point = {"what": "mean", "arm": arm, "generation": generation, "x": generation + aside}
                point |= {"value": float(np.mean(numbers)), "low": low, "high": high}
                rows.append(there | point | {"lineages": f"{len(numbers)} of {facts.seeds}"})
                if alive[generation] < facts.seeds and generation in {
                    t for t in alive if alive[t] < alive.get(t - 1, facts.seeds)
                }:
                    rows.append(there | point | {"what": "few", "text": f"n = {len(numbers)}"})
            gone = diverged(records, arm)
            for seed in _some(gone):
                generation, before = gone[seed], found.get(seed, {})
                if before:
                    last = max(before)
                    point = {"what": "diverged", "arm": arm, "seed": seed, "generation": generation}
                    rows.append(there | point | {"x": last + aside, "value": before[last]})
            if panel == panels[0]:  # the others are drawn with another bias, or chosen
                rows += [there | row | {"x": row["x"] + aside} for row in _theory_rows(facts, arm, found, endpoint)]
        real = facts.reference.get(endpoint.extractor, {}).get(endpoint.metric)
        if real is not None:
            rows.append(there | {"what": "reference", "value": real, "x": facts.generations, "text": "real data"})
    return rows


def _of_endpoint(facts: StudyFacts, arm: str, endpoint: Endpoint) -> list[Prediction]:
    where = endpoint.metric, endpoint.extractor
    return [one for one in facts.predictions.get(arm, ()) if (one.metric, one.extractor) == where]


def _theory_rows(
    facts: StudyFacts, arm: str, found: Mapping[int, Mapping[int, float]], endpoint: Endpoint
) -> list[dict[str, Any]]:
    """The predicted curve, and between which bounds the mean of so many replicates lies in 95 of 100 studies."""
    rows = []
    for one in _of_endpoint(facts, arm, endpoint):
        for generation, mean in enumerate(one.mean):
            count = sum(generation in lineage for lineage in found.values())
            point = {"what": "theory", "arm": arm, "generation": generation, "x": generation, "value": float(mean)}
            rows.append(point | {"law": one.note + (" (upper bound)" if one.bound == "upper" else "")})
            if one.sd is not None and count:
                half = 1.96 * float(one.sd[generation]) / np.sqrt(count)
                rows.append(point | {"what": "expected", "low": float(mean) - half, "high": float(mean) + half})
    return rows


def curve_chart(facts: StudyFacts, records: Sequence[Record], endpoint: Endpoint, width: int, height: int) -> dict:
    """The Vega-Lite specification of one metric against the generation, a panel for each kind of samples."""
    import altair as alt

    rows = curve_rows(facts, records, endpoint)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    arms, palette = list(facts.arms), colours(facts)
    shapes = [SHAPES[index % len(SHAPES)] for index in range(len(arms))]
    picked = alt.selection_point(name="picked", fields=["arm"], bind="legend")
    names = {"labelLimit": 260, "symbolSize": 90, "symbolStrokeWidth": 2, "symbolOpacity": 1}
    legend = alt.Legend(orient="bottom", columns=5 if width > WIDTH // 2 else 3, title=None, **names)
    colour = alt.Color("arm:N", scale=alt.Scale(domain=arms, range=list(palette.values())), sort=None, legend=legend)
    shape = alt.Shape("arm:N", scale=alt.Scale(domain=arms, range=shapes), sort=None, legend=legend)
    # A condition and no scale: a scale would dash the outline of the control's symbol in the legend too.
    controls = json.dumps([arm for arm in facts.arms if facts.is_control(arm)])
    dash = alt.condition(f"indexof({controls}, datum.arm) >= 0", alt.value([5, 4]), alt.value([1, 0]))
    fade = alt.condition(picked, alt.value(1.0), alt.value(0.12))
    words, better = facts.label(endpoint.metric), facts.direction(endpoint.metric)
    axis = alt.Axis(values=list(range(facts.generations + 1)), format="d", grid=False, title="generation")
    x = alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[-0.35, facts.generations + 0.35], nice=False))
    y = alt.Y("value:Q", title=words, scale=alt.Scale(zero=False))
    arm_tip = alt.Tooltip("arm:N")
    tips = [
        arm_tip,
        alt.Tooltip("generation:Q", format="d"),
        alt.Tooltip("value:Q", format=".4~g", title=f"mean {words}"),
    ]
    tips += [alt.Tooltip("low:Q", format=".4~g"), alt.Tooltip("high:Q", format=".4~g"), alt.Tooltip("lineages:N")]
    seed_tips = [arm_tip, alt.Tooltip("seed:Q", format="d"), alt.Tooltip("generation:Q", format="d")]
    seed_tips += [alt.Tooltip("value:Q", format=".4~g", title=words)]

    chart = alt.Chart()
    means = chart.transform_filter("datum.what == 'mean'")
    if facts.seeds >= BAND_FROM:
        spread = means.mark_area(opacity=0.15).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color=colour)
        lines = chart.transform_filter("datum.what == 'line'").transform_flatten(["xs", "values"], ["x", "value"])
        thin = lines.mark_line(strokeWidth=0.6, opacity=0.4)
        own = [thin.encode(x, y, alt.Detail("seed:N"), color=colour)]
    else:
        spread = means.mark_rule(strokeWidth=1.5).encode(
            x, alt.Y("low:Q"), alt.Y2("high:Q"), color=colour, opacity=fade
        )
        points = chart.transform_filter("datum.what == 'lineage'").mark_point(size=16, filled=True)
        own = [points.encode(x, y, color=colour, opacity=fade, tooltip=seed_tips)]
    theory = []
    if any(row["what"] == "theory" for row in rows):
        expected = chart.transform_filter("datum.what == 'expected'").mark_area(opacity=0.22)
        line = chart.transform_filter("datum.what == 'theory'").mark_line(strokeWidth=1.4, strokeDash=[7, 3])
        law_tips = [arm_tip, alt.Tooltip("law:N"), alt.Tooltip("generation:Q", format="d")]
        law_tips += [alt.Tooltip("value:Q", format=".4~g", title=f"predicted {words}")]
        theory = [
            expected.encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color=colour),
            line.encode(x, y, color=colour, opacity=fade, tooltip=law_tips),
        ]
    layers = [
        chart.transform_filter("datum.what == 'reference'")
        .mark_rule(strokeDash=[1, 3], strokeWidth=1.5, color="#555555")
        .encode(y=y, tooltip=[alt.Tooltip("value:Q", format=".4~g", title="real data against real data")]),
        chart.transform_filter("datum.what == 'reference'")
        .mark_text(align="right", baseline="bottom", dy=-3, dx=10, color="#555555", fontSize=11)
        .encode(x=x, y=y, text="text:N"),
        spread,
        *theory,
        means.mark_line(strokeWidth=2).encode(x, y, color=colour, strokeDash=dash, opacity=fade),
        *own,
        means.mark_point(size=55 if facts.generations <= 25 else 18, filled=True)
        .encode(x, y, color=colour, shape=shape, opacity=fade, tooltip=tips)
        .add_params(picked),
        chart.transform_filter("datum.what == 'diverged'")
        .mark_point(shape=CROSS, size=160, strokeWidth=3, filled=False)
        .encode(
            x,
            y,
            color=colour,
            opacity=fade,
            tooltip=[*seed_tips[:2], alt.Tooltip("generation:Q", format="d", title="diverged at")],
        ),
        chart.transform_filter("datum.what == 'few'")
        .mark_text(align="left", dx=7, dy=-7, fontSize=11)
        .encode(x, y, text="text:N", color=colour, opacity=fade),
    ]
    title = alt.TitleParams(
        f"{words} in the {endpoint.extractor} features",
        subtitle=([f"{better} is better"] if better else []) + ([THEORY] if theory else []),
        anchor="start",
    )
    layered = alt.layer(*layers, data=alt.Data(values=[])).properties(width=width // len(panels) - 60, height=height)
    if len(panels) == 1:
        return _styled(layered.properties(title=title), rows)
    header = alt.Header(title=None, labelFontSize=12)
    faceted = layered.facet(column=alt.Column("panel:N", sort=panels, header=header))
    return _styled(faceted.properties(title=title), rows)


def share_chart(facts: StudyFacts, records: Sequence[Record], metric: str, width: int) -> dict | None:
    """The Vega-Lite specification of shares of a whole less the real ones, a heat map per arm; None without any.

    Where no real share is known, the arm's own first generation stands for it.
    """
    import altair as alt

    named = indexed(records).measured
    measured = [(extractor, name) for name, extractor, _ in named if name.startswith(f"{metric}.")]
    if not measured:
        return None
    extractors = sorted(
        {extractor for extractor, _ in measured}, key=lambda name: (name != facts.primary.extractor, name)
    )
    found = dict.fromkeys(part for extractor, part in measured if extractor == extractors[0])
    parts = sorted(found, key=natural) if all(part.split(".", 1)[1].isdigit() for part in found) else list(found)
    real = facts.reference.get(extractors[0], {})
    rows = []
    for arm in facts.arms:
        for part in parts:
            cell = {"arm": arm, "part": part.split(".", 1)[1]}
            found = _by_generation(records, arm, Endpoint(part, extractors[0], facts.primary.set))
            means = {generation: float(np.mean(shares)) for generation, shares in found.items()}
            expected = real.get(part, next(iter(means.values()), 0.0))
            for generation, share in means.items():
                more = {"share": share, "real": expected, "difference": share - expected}
                rows.append(cell | {"generation": generation} | more)
    there = {row["part"] for row in rows if row["share"] or row["real"]}  # such as no colours in grey images
    rows = [row for row in rows if row["part"] in there] or rows
    parts = [part for part in parts if part.split(".", 1)[1] in {row["part"] for row in rows}]
    largest = max((abs(row["difference"]) for row in rows), default=0) or 1e-3
    less = "real share" if real else "share in generation 0"
    panel = min(200, width // len(facts.arms) - 26)
    chart = (
        alt.Chart(alt.Data(values=[]))
        .mark_rect()
        .encode(
            x=alt.X(
                "generation:O",
                title="generation",
                axis=alt.Axis(labelAngle=0, **_ticks(facts.generations, panel // 16)),
            ),
            y=alt.Y("part:O", sort=[part.split(".", 1)[1] for part in parts], title=None),
            color=alt.Color(
                "difference:Q",
                scale=alt.Scale(scheme="purpleorange", domain=[-largest, largest], reverse=True),
                legend=alt.Legend(title="difference", format="+.1%"),
            ),
            tooltip=[
                "arm:N",
                "part:N",
                "generation:O",
                alt.Tooltip("share:Q", format=".2%"),
                alt.Tooltip("real:Q", format=".2%", title=less),
                alt.Tooltip("difference:Q", format="+.2%"),
            ],
        )
        .properties(width=panel, height=max(120, 16 * len(parts)))
        .facet(column=alt.Column("arm:N", sort=list(facts.arms), title=None, header=alt.Header(labelLimit=panel)))
        .properties(
            title=alt.TitleParams(
                f"{facts.label(metric)} minus {less}",
                subtitle=[f"in the {extractors[0]} features"],
                anchor="start",
            )
        )
    )
    return _styled(chart, rows)


def composition_chart(facts: StudyFacts, records: Sequence[Record], width: int) -> dict | None:
    """The Vega-Lite specification of what each arm is trained on, as stacked bars; None without records."""
    import altair as alt

    rows = []
    for arm in facts.arms:
        own = [record for record in records if record["arm"] == arm]
        first = min((record["seed"] for record in own), default=None)
        for record in sorted((r for r in own if r["seed"] == first), key=lambda record: record["generation"]):
            counts: dict[str, int] = {}
            for part in record["composition"]:
                kind = _kind(part["arm"], arm)
                counts[kind] = counts.get(kind, 0) + part["count"]
            cell = {"arm": arm, "generation": record["generation"]}
            rows += [cell | {"kind": kind, "count": n, "order": list(KINDS).index(kind)} for kind, n in counts.items()]
    if not rows:
        return None
    panel = min(200, width // len(facts.arms) - 26)
    kinds = [kind for kind in KINDS if kind in {row["kind"] for row in rows}]
    scale = alt.Scale(domain=kinds, range=[KINDS[kind] for kind in kinds])
    chart = (
        alt.Chart(alt.Data(values=[]))
        .mark_bar()
        .encode(
            x=alt.X(
                "generation:O",
                title="generation",
                axis=alt.Axis(labelAngle=0, **_ticks(facts.generations, panel // 16)),
            ),
            y=alt.Y("sum(count):Q", title="training samples"),
            color=alt.Color("kind:N", scale=scale, legend=alt.Legend(orient="bottom", title=None)),
            order=alt.Order("order:Q"),
            tooltip=["arm:N", "generation:O", "kind:N", alt.Tooltip("sum(count):Q", title="samples")],
        )
        .properties(width=panel, height=120)
        .facet(column=alt.Column("arm:N", sort=list(facts.arms), title=None, header=alt.Header(labelLimit=panel)))
        .properties(title=alt.TitleParams("What each arm is trained on", anchor="start"))
    )
    return _styled(chart, rows)


def truth_rows(facts: StudyFacts, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Each estimate beside what it estimates, where the truth is known: of every arm, seed and generation a row.

    panel: metric and feature space of the estimate. Where the share of impossible samples was measured and not that of
    the possible ones, it tells the true precision.
    """
    records, rows = indexed(records), []
    spaces = sorted({(metric, extractor) for metric, extractor, _ in records.determined if extractor != "truth"})
    for true, metric in TRUTHS.items():
        for extractor in (space for name, space in spaces if name == metric):
            panel = {"panel": f"{facts.label(metric)}, {extractor} features"}
            for arm in facts.arms:
                known = lineages(records, arm, Endpoint(true, "truth", facts.primary.set))
                if true == "true_precision" and not any(known.values()):
                    wrong = lineages(records, arm, Endpoint("hallucination_rate", "truth", facts.primary.set))
                    known = {seed: {t: 1 - rate for t, rate in lineage.items()} for seed, lineage in wrong.items()}
                for seed, lineage in lineages(records, arm, Endpoint(metric, extractor, facts.primary.set)).items():
                    for generation in (t for t in lineage if t in known[seed]):
                        point = {"arm": arm, "seed": seed, "generation": generation}
                        point |= {"truth": known[seed][generation], "estimate": lineage[generation]}
                        rows.append(panel | point)
    return rows


def truth_words(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each panel how far the estimates follow the truth, and by how much they are off on average."""
    said = []
    for panel in dict.fromkeys(row["panel"] for row in rows):
        pairs = np.array([(row["truth"], row["estimate"]) for row in rows if row["panel"] == panel])
        off = float((pairs[:, 1] - pairs[:, 0]).mean())
        side = "above" if off > 0 else "below"
        varied = len(pairs) > 2 and (pairs.std(axis=0) > 1e-12).all()
        follows = f"correlation {spell(np.corrcoef(pairs.T)[0, 1])}" if varied else "no correlation can be told"
        said.append(f"{panel}: {follows}, on average {spell(abs(off))} {side} the truth ({len(pairs)} pairs).")
    return said


def truth_chart(facts: StudyFacts, rows: Sequence[Mapping[str, Any]], width: int) -> dict | None:
    """The Vega-Lite specification of estimates against the truth, with the diagonal; None without any."""
    import altair as alt

    if not rows:
        return None
    seeds = {arm: set(_some(sorted({row["seed"] for row in rows if row["arm"] == arm}))) for arm in facts.arms}
    points = [{"what": "point", **row} for row in rows if row["seed"] in seeds[row["arm"]]]
    panels = list(dict.fromkeys(row["panel"] for row in points))
    numbers = [row[axis] for row in points for axis in ("truth", "estimate")]
    ends = min(0.0, *numbers), max(1.0, *numbers)
    diagonal = [{"what": "diagonal", "panel": panel, "truth": end, "estimate": end} for panel in panels for end in ends]
    arms, palette = list(facts.arms), colours(facts)
    legend = alt.Legend(orient="bottom", columns=5, title=None, labelLimit=260)
    scale = alt.Scale(domain=list(ends), nice=False)
    x = alt.X("truth:Q", title="truth", scale=scale, axis=alt.Axis(grid=False))
    y = alt.Y("estimate:Q", title="estimate", scale=scale)
    colour = alt.Color("arm:N", scale=alt.Scale(domain=arms, range=list(palette.values())), sort=None, legend=legend)
    tips = ["arm:N", alt.Tooltip("seed:Q", format="d"), alt.Tooltip("generation:Q", format="d")]
    tips += [alt.Tooltip("truth:Q", format=".4~g"), alt.Tooltip("estimate:Q", format=".4~g")]
    chart = alt.Chart()
    layers = [
        chart.transform_filter("datum.what == 'diagonal'").mark_line(color="#555555", strokeDash=[1, 3]).encode(x, y),
        chart.transform_filter("datum.what == 'point'")
        .mark_point(size=14, strokeWidth=0.8, opacity=1)  # hollow, so that crowds show
        .encode(x, y, color=colour, tooltip=tips),
    ]
    columns = min(3, len(panels))
    side = min(300, width // columns - 60)
    layered = alt.layer(*layers, data=alt.Data(values=[])).properties(width=side, height=side)
    # A column for each panel, in rows of three.
    faceted = layered.facet(facet=alt.Facet("panel:N", sort=panels, title=None), columns=columns)
    title = alt.TitleParams("Estimates beside the truth", anchor="start")
    return _styled(faceted.properties(title=title), points + diagonal)


def _kind(source: str, arm: str) -> str:
    if source in ("fixed", "fresh", "redrawn"):
        return f"real, {source}"
    return "own samples" if source == arm else "another arm's samples"


def _styled(chart: Any, rows: Sequence[Mapping[str, Any]]) -> dict:
    """The specification of a chart of these rows, in the look of all.

    The rows are put in at the end: Altair would hold each against its schema.
    """
    # One weight of one font: with two, the PDF writer orders them by chance, and the bytes would differ between runs.
    plain = {"titleFontWeight": "normal"}
    styled = chart.configure(font="sans-serif", background="#ffffff").configure_view(stroke=None)
    styled = styled.configure_axis(labelFontSize=11, titleFontSize=12, gridColor="#eeeeee", **plain)
    styled = styled.configure_legend(labelFontSize=12, **plain)
    drawn = styled.configure_title(fontSize=15, fontWeight="normal", subtitleColor="#555555").to_dict()
    drawn["data"]["values"] = list(rows)
    return drawn


def _ticks(generations: int, room: int) -> dict[str, list[int]]:
    """The generations that an axis with room for so many labels names, where it is not all."""
    step = -(-(generations + 1) // room)
    return {"values": list(range(0, generations + 1, step))} if step > 1 else {}


# -- pictures ----------------------------------------------------------------------------------------------------------


def grid_png(images: np.ndarray, columns: int | None = None) -> bytes:
    """A PNG of images side by side, each enlarged by whole pixels or, if large, shrunk by averaging.

    images: (n, C, H, W) uint8 with one or three channels. columns: images in a row, all of them by default.
    """
    from PIL import Image

    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images: found {images.dtype} {images.shape}, allowed is uint8 (n, 1 or 3, H, W)")
    n, channels, height, width = images.shape
    shrink = -(-max(height, width) // GRID_SIDE)
    if shrink > 1:
        height, width = height // shrink, width // shrink
        cut = images[:, :, : height * shrink, : width * shrink].reshape(n, channels, height, shrink, width, shrink)
        images = np.rint(cut.mean(axis=(3, 5))).astype(np.uint8)
    enlarge = max(1, GRID_PIXELS // max(height, width))
    images = images.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    columns = columns or n
    rows, (height, width) = -(-n // columns), images.shape[2:]
    sheet = np.full((rows, columns, height + 2, width + 2, channels), 255, np.uint8)
    for index, image in enumerate(images):
        sheet[index // columns, index % columns, 1:-1, 1:-1] = image.transpose(1, 2, 0)
    sheet = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * (height + 2), columns * (width + 2), channels)
    stream = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _pictures(facts: StudyFacts, grids: Grids) -> dict[str, Any]:
    """The sample grids: whole sheets of the first and the last generation, and a row of each generation per arm.

    Sheets have the same latents at the same place; arms with the same pictures, as in a generation 0 that they share,
    have one sheet. As many columns as fit the file's share of bytes.
    """
    given = {arm: dict(sorted(grids[arm].items())) for arm in facts.arms if grids.get(arm)}
    if not given:
        return {"sheets": [], "rows": []}
    images = next(iter(next(iter(given.values())).values()))
    size = min(images[0].nbytes, images.shape[1] * GRID_SIDE**2)
    count = sum(map(len, given.values())) + 2 * GRID_ROWS * len(given)
    columns = int(np.clip(GRID_BYTES // max(1, size * count), 2, GRID_COLUMNS))
    sheets: list[list[dict[str, Any]]] = []
    for end in (min, max):
        alike: dict[tuple[int, bytes], list[str]] = {}
        for arm, found in given.items():
            if end is min or len(found) > 1:
                generation = end(found)
                alike.setdefault((generation, found[generation].tobytes()), []).append(arm)
        sheets.append(
            [
                {"arms": arms, "generation": t, "png": _png(given[arms[0]][t][: GRID_ROWS * columns], columns)}
                for (t, _), arms in alike.items()
            ]
        )
    rows = [
        {"arm": arm, "rows": [(generation, _png(images[:columns])) for generation, images in found.items()]}
        for arm, found in given.items()
        if len(found) > 1
    ]
    return {"sheets": [sheet for sheet in sheets if sheet], "rows": rows}


def _png(images: np.ndarray, columns: int | None = None) -> str:
    return base64.b64encode(grid_png(images, columns)).decode()


# -- what the page says ------------------------------------------------------------------------------------------------


def headline(facts: StudyFacts, records: Sequence[Record]) -> str:
    """One sentence: the primary endpoint's mean in every arm that reached the last generation, and in real data."""
    found = {arm: final(facts, records, arm, facts.primary) for arm in facts.arms}
    last = max((cell["generation"] for cell in found.values() if cell), default=None)
    if last is None:
        return ""
    means = {arm: cell["mean"] for arm, cell in found.items() if cell and cell["generation"] == last}
    lower = facts.direction(facts.primary.metric) == "lower"
    order = sorted(means, key=lambda arm: means[arm] if lower else -means[arm])
    largest = max(map(abs, means.values()))
    digits = 2 if largest < 0.995 else 3  # shares that are almost 1 must not all read 1.0
    words = facts.label(facts.primary.metric)
    words = words if words[1:2].isupper() else words[:1].lower() + words[1:]
    where = f"{facts.primary.extractor}, {SETS[facts.primary.set]}"
    said = [f"{spell(means[arm], largest, digits)} in {arm}" for arm in order]
    sentence = f"At generation {last} {words} ({where}) is {', '.join(said)}"
    real = facts.reference.get(facts.primary.extractor, {}).get(facts.primary.metric)
    if real is not None:
        sentence += f"; other real data in the samples' place scores {spell(real, largest, digits)}"
    gone = [arm for arm in facts.arms if arm not in means]
    return sentence + (f". Not there: {', '.join(gone)}." if gone else ".")


def fairness(facts: StudyFacts) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What makes the comparison fair: (what holds: name -> words, what is waived: rule and reason).

    A waiver is a rule's words, a colon and the reason; a rule that is waived is not among what holds.
    """
    waived = [
        next(((rule, w[len(rule) + 2 :]) for rule in FAIRNESS.values() if w.startswith(f"{rule}: ")), ("", w))
        for w in facts.waivers
    ]
    gone = {rule for rule, _ in waived}
    held = [rule for rule in FAIRNESS.values() if rule not in gone]
    held.append("all arms have the same number of evaluated samples")
    if facts.control is not None and FAIRNESS["training_set_size"] not in gone:
        held.append("the control has the arms' total size in real data")
    return {"Equal budgets": "; ".join(held) + "."} | CONTRACT, waived


def theory_table(facts: StudyFacts, records: Sequence[Record]) -> list[dict[str, Any]]:
    """For each arm and law whether experiment follows theory; the departures first.

    status: departs, follows or cannot tell. Laws of what was not measured are left out.
    """
    rows = []
    for arm in facts.arms:
        for one in facts.predictions.get(arm, ()):
            found = lineages(records, arm, Endpoint(one.metric, one.extractor, facts.primary.set))
            times = range(len(one.mean))
            if not any(found.values()):
                continue
            values = np.array([[lineage.get(t, np.nan) for t in times] for lineage in found.values()])
            told = agreement(one, values)
            status = "departs" if told.departs else "follows" if np.isfinite(told.z).any() else "cannot tell"
            words = {"metric": one.metric, "extractor": one.extractor, "label": facts.label(one.metric)}
            rows.append({"arm": arm, **words, "note": one.note, "status": status, "sentence": f"{told.sentence}."})
    return sorted(rows, key=lambda row: row["status"] != "departs")


def _numbers_table(facts: StudyFacts, records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row for each metric and set, the primary endpoint's set first; sets with the same numbers share a row."""
    rows: list[dict[str, Any]] = []
    for endpoint in endpoints(facts, records):
        first: dict[str, Any] = {}
        names = _sets(records, endpoint.metric, endpoint.extractor)
        for name in sorted(names, key=lambda name: name != facts.primary.set):
            of_set = Endpoint(endpoint.metric, endpoint.extractor, name)
            found = [final(facts, records, arm, of_set) for arm in facts.arms]
            if first and found == first["found"]:
                first["set"] += f", {SETS[name]}"
                continue
            own = _arms_with(facts, records, of_set)
            cells = [
                ("same", "") if first and cell == before and arm not in own else _cell(cell)
                for arm, cell, before in zip(facts.arms, found, first.get("found", found), strict=True)
            ]
            real = facts.reference.get(endpoint.extractor, {}).get(endpoint.metric)
            row = {
                "metric": facts.label(endpoint.metric),
                "extractor": endpoint.extractor,
                "set": SETS[name],
                "better": {"higher": "↑", "lower": "↓"}.get(facts.direction(endpoint.metric) or "", ""),
                "cells": cells,
                "real": "–" if real is None else spell(real),
                "found": found,
            }
            first = first or row
            rows.append(row)
    return rows


def _undefined_table(facts: StudyFacts, records: Sequence[Record]) -> list[tuple[str, str, str, int]]:
    """What was asked for and is not determined: metric, features, the reason, in how many cells."""
    found: dict[tuple[str, str, str], int] = {}
    for record in records:
        for entry in record["values"]:
            if entry["value"] is None:
                key = facts.label(entry["metric"]), entry["extractor"], entry.get("reason", "")
                found[key] = found.get(key, 0) + 1
    return [(*key, count) for key, count in found.items()]


def growth_table(facts: StudyFacts, records: Sequence[Record]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each index of an artefact the growth of its amplitude a generation, arm by arm; empty without any."""
    table = []
    for endpoint in endpoints(facts, records):
        if endpoint.metric.partition(".")[0] != "cross_hatching":
            continue
        cells = []
        for arm in facts.arms:
            rates = []
            for lineage in lineages(records, arm, endpoint).values():
                with suppress(Undefined):
                    rates.append(float(growth_rate(lineage).rate))
            spread = {"low": min(rates), "mean": float(np.mean(rates)), "high": max(rates)} if rates else None
            cells.append(_cell(spread))
        table.append((facts.label(endpoint.metric), cells))
    return table


def _cell(numbers: Mapping[str, Any] | None) -> tuple[str, str]:
    """Mean and range in words, with as many digits as tell the ends of the range apart."""
    if numbers is None:
        return "–", ""
    low, mean, high = (numbers[key] for key in ("low", "mean", "high"))
    digits = digits_apart(low, high)
    return spell(mean, digits=digits), f"{spell(low, mean, digits)} – {spell(high, mean, digits)}"


def _risk_table(facts: StudyFacts, records: Sequence[Record]) -> list[tuple[str, list[Any]]]:
    """arm -> lineages at risk per generation; empty when none is missing."""
    rows = [(arm, [at_risk(records, arm).get(t, 0) for t in range(facts.generations + 1)]) for arm in facts.arms]
    return rows if any(count < facts.seeds for _, counts in rows for count in counts) else []


NAMED = ("extractor", "reference")  # what a row of the table of fingerprints is called by


def _fingerprint_table(records: Sequence[Record]) -> tuple[str, list[tuple[str, str, str]]]:
    """What all numbers have in common; a row for each feature space and what it compares with: its metrics, the rest.

    Several values of a field stand side by side.
    """
    found: dict[str, dict[str, dict[str, set[str]]]] = {}
    told_of: dict[str, Mapping[str, Any]] = {}
    for record in records:
        for key, fingerprint in record["fingerprints"].items():
            if told_of.setdefault(key, fingerprint) is not fingerprint and told_of[key] == fingerprint:
                continue
            space = f"{fingerprint.get('extractor', '')} against {fingerprint.get('reference', '')}".replace("_", " ")
            for field, content in fingerprint.items():
                cell = found.setdefault(space, {}).setdefault(field, {})
                cell.setdefault(_plain(content), set()).add(str(fingerprint.get("metric", "")).replace("_", " "))
    words = {
        space: {field: _side_by_side(field, cell) for field, cell in sorted(fields.items())}
        for space, fields in sorted(found.items())
    }
    told = {space: {field: said for field, said in fields.items() if said != "–"} for space, fields in words.items()}
    common = {field for field, said in next(iter(told.values()), {}).items() if field != "metric"}
    common = {field for field in common if len({fields.get(field) for fields in told.values()}) == 1}

    def listed(fields: Mapping[str, str]) -> str:
        return "; ".join(f"{field.removeprefix('option_').replace('_', ' ')} {said}" for field, said in fields.items())

    rows = []
    for space, fields in told.items():
        own = {field: said for field, said in fields.items() if field not in {*common, "metric", *NAMED}}
        rows.append((space, fields.get("metric", ""), listed(own)))
    shared = {field: said for field, said in next(iter(told.values()), {}).items() if field in common - set(NAMED)}
    return listed(shared), rows


def _side_by_side(field: str, contents: Mapping[str, set[str]]) -> str:
    """Several values of one field; an option's with the metrics that they belong to."""
    if field == "metric":
        return ", ".join(sorted(name.replace("_", " ") for name in contents))
    if len(contents) > 6:
        return f"{len(contents)} different"  # such as the hashes of all training sets
    if field.startswith("option_") and len(contents) > 1:
        return "; ".join(f"{content} ({', '.join(sorted(metrics))})" for content, metrics in sorted(contents.items()))
    return ", ".join(sorted(contents)) or "–"


def _plain(content: Any) -> str:
    if isinstance(content, Mapping):
        return ", ".join(f"{key} {_plain(value)}" for key, value in content.items())
    if isinstance(content, str) and re.fullmatch("[0-9a-f]{32,}", content):
        return _short(content)
    return "–" if content is None else f"{content:g}" if isinstance(content, float) else str(content)


def _short(digest: Any) -> str:
    return str(digest)[:8] if digest else "–"


def _lineage_table(facts: StudyFacts, records: Sequence[Record]) -> tuple[list[str], list[dict[str, Any]]]:
    found = dict.fromkeys(noun for record in records for noun in record.get("lineage", {}))
    nouns = [noun for noun in found if not noun.startswith("parent ")]  # those are other cells' files, shown there
    if len(records) > LISTED:
        seeds = sorted({record["seed"] for record in records})
        seeds = set(seeds[: max(1, LISTED * len(seeds) // len(records))])
        records = [record for record in records if record["seed"] in seeds]
    rows = [
        {
            "cell": (record["arm"], record["seed"], record["generation"]),
            "status": record["status"],
            "hashes": [_short(record.get("lineage", {}).get(noun)) for noun in nouns],
            "composition": ", ".join(f"{p['count']} {p['arm']} (gen {p['generation']})" for p in record["composition"]),
        }
        for record in _in_order(facts, records)
    ]
    return nouns, rows


def _cost_table(facts: StudyFacts, costs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Processor seconds inside compute functions, arm by verb, and totals."""
    if not costs:
        return None
    verbs = list(dict.fromkeys(cost["verb"] for cost in costs))
    names = dict.fromkeys([*facts.arms, *(cost["arm"] for cost in costs)])
    rows = []
    for arm in names:
        own = [cost for cost in costs if cost["arm"] == arm]
        if own:
            spent = [_total([c for c in own if c["verb"] == verb], "compute_cpu_seconds") for verb in verbs]
            rows.append((arm, [*spent, *_totals(own)]))
    rows.append(
        (
            "all",
            [*(_total([c for c in costs if c["verb"] == v], "compute_cpu_seconds") for v in verbs), *_totals(costs)],
        )
    )
    return {
        "verbs": verbs,
        "rows": rows,
        "energy": _energy_source(costs),
        "nonidentical": [
            f"{cost['arm']}, seed {cost['seed']}, generation {cost['generation']} ({'; '.join(cost['nonidentical'])})"
            for cost in costs
            if cost.get("nonidentical")
        ],
        "devices": ", ".join(sorted({str(c.get("device_name") or c.get("device") or "cpu") for c in costs})),
    }


def _total(costs: Sequence[Mapping[str, Any]], field: str) -> str:
    return f"{sum(cost.get(field) or 0 for cost in costs):,.0f}".replace(",", " ")


def _totals(costs: Sequence[Mapping[str, Any]]) -> list[str]:
    trained = [cost for cost in costs if cost["verb"] == "train"]
    memory = max((cost.get("peak_memory_mb") or 0 for cost in costs), default=0)
    return [
        *(_total(costs, f) for f in ("compute_cpu_seconds", "process_cpu_seconds", "wall_seconds")),
        f"{memory:,.0f}".replace(",", " "),
        _total(trained, "images_seen"),
        f"{sum(cost.get('joules') or 0 for cost in costs) / 3.6e6:.3g}",
    ]


def _energy_source(costs: Sequence[Mapping[str, Any]]) -> str:
    """Where the joules come from, in words."""
    words = {
        "nvml": "measured on the GPUs' boards",
        "rapl": "measured on the processors, with all that ran beside",
        "estimate": "estimated from processor time at an assumed power",
    }
    return " and ".join(words[source] for source in sorted({c["energy_source"] for c in costs if "energy_source" in c}))


# -- the report --------------------------------------------------------------------------------------------------------


def build(
    facts: StudyFacts,
    records: Sequence[Record],
    grids: Grids | None = None,
    costs: Sequence[Mapping[str, Any]] = (),
    figures: bool = True,
) -> dict[str, bytes]:
    """The files of a study's report: name -> bytes, with ``report.html`` first.

    An unfinished study says so at the top, with the number of its cells. figures: also draw each chart as PDF.
    Raises ValueError when the records are of another study or arm, or were not measured alike.
    """
    strangers = sorted({str(record["arm"]) for record in records} - set(facts.arms))
    if strangers:
        raise ValueError(f"records: found arms {', '.join(map(repr, strangers))}, allowed are {', '.join(facts.arms)}")
    records = indexed(records)
    check_comparable(records)
    every, facts = facts, facts.loops  # calibration arms have no curves
    verdicts = judge(facts, records)
    charts: dict[str, dict] = {}
    left_out = unchanged(facts, records) | twins(facts, records)
    for endpoint in (endpoint for endpoint in endpoints(facts, records) if endpoint not in left_out):
        primary = (endpoint.metric, endpoint.extractor) == (facts.primary.metric, facts.primary.extractor)
        whole = primary or len(_sets(records, endpoint.metric, endpoint.extractor)) > 1
        width, height = (WIDTH if whole else WIDTH // 2 - 40), (340 if primary else 220)
        charts[_name(endpoint)] = curve_chart(facts, records, endpoint, width, height)
    drawn = {name: share_chart(facts, records, name, WIDTH) for name in facts.shares}
    drawn["composition"] = composition_chart(facts, records, WIDTH)
    pairs = truth_rows(facts, records)
    drawn["truth"] = truth_chart(facts, pairs, WIDTH)
    charts |= {name: chart for name, chart in drawn.items() if chart}
    tables = {
        "theory": theory_table(facts, records),
        "worth": (worth := effective.worth(every, records)),
        "admissible": effective.admissible(worth),
        "forecasts": forecast.forecast(facts, records),
        "truths": truth_words(pairs),
    }
    content = {
        "report.html": _page(every, records, grids or {}, costs, verdicts, charts, tables).encode(),
        "metrics.csv": metrics_csv(every, records),
        "summary.csv": summary_csv(facts, records),
        "curves.csv": curves_csv(facts, records),
        "primary.csv": primary_csv(facts, records),
        "summary.json": summary_json(facts, records),
        "verdicts.json": _json(_answers(verdicts, tables)),
    }
    if figures:
        import vl_convert

        for name, chart in charts.items():
            pdf = vl_convert.vegalite_to_pdf(chart, vl_version=VEGA_LITE, allowed_base_urls=[])
            content[f"figures/{name}.pdf"] = _in_one_order(pdf)
    return content


def _in_one_order(pdf: bytes) -> bytes:
    """The PDF with the names in its resource dictionaries sorted; its writer leaves their order to chance.

    What is transparent has such a name. The bytes of an entry stay what they are, so that all offsets hold.
    """
    entries = rb"(?:\n +/[A-Za-z]+\d+ \d+ 0 R){2,}"
    return re.sub(entries, lambda found: b"\n" + b"\n".join(sorted(found[0][1:].split(b"\n"))), pdf)


def _answers(verdicts: Mapping[str, Mapping[str, Any]], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Every answer as plain data: name -> arm -> status, sentence and the numbers that are finite."""
    found: dict[str, dict[str, Any]] = {
        name: {arm: _answer(v.status, v.sentence, v.numbers) for arm, v in of_arms.items()}
        for name, of_arms in verdicts.items()
    }
    for row in tables["theory"]:
        name = f"theory.{row['metric']}.{row['extractor']}"
        found.setdefault(name, {})[row["arm"]] = _answer(row["status"], row["sentence"], {})
    for row in tables["worth"]:
        numbers = {"real": row.real, "synthetic": row.synthetic, "limit": row.limit, "size": row.size}
        numbers |= {"low": row.low, "high": row.high, "lineages": row.lineages}
        found.setdefault("effective_size", {})[row.arm] = _answer(row.decision, row.sentence, numbers)
    for row in tables["forecasts"]:
        numbers = {"generation": row.generation, "low": row.low, "high": row.high, "floor": row.floor}
        numbers |= {"fitted": row.fitted, "measured": row.measured, "error": row.error, "lineages": row.lineages}
        found.setdefault("halving", {})[row.arm] = _answer(row.status, row.sentence, numbers)
    return found


def _answer(status: str, sentence: str, numbers: Mapping[str, float]) -> dict[str, Any]:
    finite = {name: number for name, number in numbers.items() if number is None or np.isfinite(number)}
    return {"status": status, "sentence": sentence, "numbers": finite}


@cache
def _library() -> str:
    """Vega, Vega-Lite and their embedder as one script."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)


def _page(every, records, grids, costs, verdicts, charts, tables) -> str:
    import jinja2

    facts = every.loops

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(resources.files(__package__).joinpath("report.html.j2").read_text())
    primary = _name(facts.primary)
    spaces: dict[str, list[str]] = {}
    level, alike = unchanged(facts, records), twins(facts, records)
    for endpoint in endpoints(facts, records):
        if _name(endpoint) != primary and endpoint not in level | alike:
            spaces.setdefault(endpoint.extractor, []).append(_name(endpoint))
    in_all, fingerprints = _fingerprint_table(records)
    nouns, lineage = _lineage_table(every, records)
    return template.render(
        facts=facts,
        cells=len(records),
        expected=facts.seeds * (len(facts.arms) * (facts.generations + 1) + len(every.calibration)),
        calibrations=len(every.calibration),
        closeness=every.label(effective.endpoint_of(every).metric),
        drawn=DRAWN if facts.seeds > DRAWN else 0,
        verdicts=verdicts,
        definitions=DEFINITIONS,
        primary=primary,
        primary_set=SETS[facts.primary.set],
        spaces=spaces,
        unchanged=[f"{facts.label(one.metric)} ({one.extractor}) {spell(number)}" for one, number in level.items()],
        twins=[
            f"{facts.label(one.metric)} ({one.extractor}) as {other.metric.partition('.')[2]}"
            for one, other in alike.items()
            if one not in level
        ],
        charts=charts,
        colours=colours(facts),
        pictures=_pictures(facts, grids),
        numbers=_numbers_table(facts, records),
        risk=_risk_table(facts, records),
        growth=growth_table(facts, records),
        undefined=_undefined_table(facts, records),
        headline=headline(facts, records),
        contract=fairness(facts)[0],
        waived=fairness(facts)[1],
        classes_given=CLASSES_GIVEN,
        in_all=in_all,
        fingerprints=fingerprints,
        nouns=nouns,
        lineage=lineage,
        costs=_cost_table(every, costs),
        library=_library(),
        **tables,
    )
