"""The report's charts as Vega-Lite specifications, and as PDF. It and ``fronts`` alone import Altair."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import vl_convert

from ..verdicts import Endpoint, Record, StudyFacts, spell
from .axes import axis_rows, in_words, is_positive, series_of
from .colours import colours_of, marks_of
from .numbers import (
    BAND_FROM,
    KINDS,
    SETS,
    composition_rows,
    curve_rows,
    shares,
    some,
    survival_rows,
)

VEGA_LITE = "6.4"
WIDTH = 1040  # of a chart that takes the whole page, in pixels
ABREAST = 12  # panels of arms in a row, of which each still has room for its generations
# Real images in sand, generated ones in violet, lighter or darker than any arm: a colour means one thing in the page.
KIND_COLOURS = dict(zip(KINDS, ("#F7F3E3", "#E0D3A8", "#C9B57C", "#2B2140", "#CFC4E3"), strict=True))
# What is not an arm: words, what stands behind the arms, and the lines of the axes. The page's style has each of them
# by this value, and another on dark paper.
INK_COLOUR, SOFT_COLOUR, GRID_COLOUR = "#1c1c1c", "#555555", "#e6e6e6"
CROSS = "M-.6,-.6L.6,.6M.6,-.6L-.6,.6"
THEORY = "dashes: theory, shaded where the mean should lie"  # in 95 of 100 studies, where its spread is known


def colours(facts: StudyFacts) -> dict[str, str]:
    """arm -> colour, the control in dark grey."""
    return colours_of(facts.arms, [arm for arm in facts.arms if facts.is_control(arm)])


# -- a metric against the generation -----------------------------------------------------------------------------------


def curve_chart(
    facts: StudyFacts,
    records: Sequence[Record],
    endpoint: Endpoint,
    width: int,
    height: int,
    sets: Sequence[str] = tuple(SETS),
) -> dict:
    """The Vega-Lite specification of one metric against the generation, a panel for each of these sets of samples."""
    rows = curve_rows(facts, records, endpoint, sets)
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    there = {row["what"] for row in rows}  # a layer without rows has no extent, which Vega warns of
    words, better = facts.label(endpoint.metric), facts.direction(endpoint.metric)
    channels = _channels(facts, words, legend_columns=5 if width > WIDTH // 2 else 3)
    spread, own = _band_and_lines(channels) if facts.seeds >= BAND_FROM else _ranges_and_points(channels)
    theory = _theory(channels) if "theory" in there else []
    layers = [
        *(_reference(channels) if "reference" in there else []),
        spread,
        *theory,
        _mean_line(channels),
        own,
        _mean_points(facts, channels),
        *_ends(channels, there),
    ]
    said = _said(facts, f"{words} in the {endpoint.extractor} features", better, rows)
    title = alt.TitleParams(
        f"{words} in the {endpoint.extractor} features"
        + ("" if facts.primary.set in sets else "".join(f", {one}" for one in panels)),
        subtitle=([f"{better} is better"] if better else []) + ([THEORY] if theory else []),
        anchor="start",
    )
    layered = alt.layer(*layers, data=alt.Data(values=[])).properties(width=width // len(panels) - 60, height=height)
    if len(panels) == 1:
        return styled(layered.properties(title=title), rows, said)
    header = alt.Header(title=None, labelFontSize=12)
    faceted = layered.facet(column=alt.Column("panel:N", sort=panels, header=header))
    return styled(faceted.properties(title=title), rows, said)


def _said(facts: StudyFacts, words: str, better: str | None, rows: Sequence[Mapping[str, Any]]) -> str:
    """A curve in words, for those who do not see it: the mean of each arm at its first and its last generation."""
    panel = next((row["panel"] for row in rows), "")
    ends = []
    for arm in facts.arms:
        of = [row for row in rows if row["what"] == "mean" and (row["arm"], row["panel"]) == (arm, panel)]
        if of:
            ends.append(f"{arm} {' to '.join(dict.fromkeys(spell(row['value']) for row in (of[0], of[-1])))}")
    real = next((f"; real data {spell(row['value'])}" for row in rows if row["what"] == "reference"), "")
    said = f"{words} by generation" + (f", {better} is better" if better else "")
    return f"{said}. Means from the first to the last: {', '.join(ends)}{real}."


class _Channels(NamedTuple):
    """What the layers of a curve have in common: where a row stands, how it looks, and what it says when pointed at.

    words: the metric's name.
    """

    x: Any
    y: Any
    colour: Any
    shape: Any
    dash: Any
    words: str

    def number(self, field: str = "value", title: str | None = None) -> Any:
        """What a layer says of a number when pointed at."""
        return alt.Tooltip(f"{field}:Q", format=".4~g", **({"title": title} if title else {}))

    def where(self, *fields: str) -> list[Any]:
        """What a layer says of its place when pointed at: the arm, and whole numbers."""
        return [alt.Tooltip("arm:N"), *(alt.Tooltip(f"{field}:Q", format="d") for field in fields)]


def _channels(facts: StudyFacts, words: str, legend_columns: int) -> _Channels:
    arms = list(facts.arms)
    marks = alt.Scale(domain=arms, range=list(marks_of(arms).values()))
    names = {"labelLimit": 400, "symbolSize": 90, "symbolStrokeWidth": 2, "symbolOpacity": 1}
    legend = alt.Legend(orient="bottom", columns=legend_columns, title=None, **names)
    # A condition and no scale: a scale would dash the outline of the control's symbol in the legend too.
    controls = json.dumps([arm for arm in facts.arms if facts.is_control(arm)])
    axis = alt.Axis(values=list(range(facts.generations + 1)), format="d", grid=False, title="generation")
    return _Channels(
        x=alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[-0.35, facts.generations + 0.35], nice=False)),
        y=alt.Y("value:Q", title=words, scale=alt.Scale(zero=False)),
        colour=_arm_colour(facts, legend),
        shape=alt.Shape("arm:N", scale=marks, sort=None, legend=legend),
        dash=alt.condition(f"indexof({controls}, datum.arm) >= 0", alt.value([5, 4]), alt.value([1, 0])),
        words=words,
    )


def _rows_that_are(what: str) -> Any:
    """A chart of those rows alone."""
    return alt.Chart().transform_filter(f"datum.what == '{what}'")


def _reference(channels: _Channels) -> list[Any]:
    """A dotted line at what real data score, and its name."""
    rows = _rows_that_are("reference")
    tip = [channels.number(title="real data against real data")]
    line = rows.mark_rule(strokeDash=[1, 3], strokeWidth=1.5, color=SOFT_COLOUR).encode(y=channels.y, tooltip=tip)
    name = rows.mark_text(align="right", baseline="bottom", dy=-3, dx=10, color=SOFT_COLOUR, fontSize=11)
    return [line, name.encode(x=channels.x, y=channels.y, text="text:N")]


def _band_and_lines(channels: _Channels) -> tuple[Any, Any]:
    """Of many lineages: the band of their mean, and some as thin lines."""
    band = _rows_that_are("mean").mark_area(opacity=0.15)
    lines = _rows_that_are("line").transform_flatten(["xs", "values"], ["x", "value"])
    return (
        band.encode(channels.x, alt.Y("low:Q"), alt.Y2("high:Q"), color=channels.colour),
        lines.mark_line(strokeWidth=0.6, opacity=0.4).encode(
            channels.x, channels.y, alt.Detail("seed:N"), color=channels.colour
        ),
    )


def _ranges_and_points(channels: _Channels) -> tuple[Any, Any]:
    """Of few lineages: from the lowest to the highest, and every one of their values."""
    look = {"color": channels.colour}
    ranges = _rows_that_are("mean").mark_rule(strokeWidth=1.5)
    points = _rows_that_are("lineage").mark_point(size=16, filled=True)
    tips = [*channels.where("seed", "generation"), channels.number(title=channels.words)]
    return (
        ranges.encode(channels.x, alt.Y("low:Q"), alt.Y2("high:Q"), **look),
        points.encode(channels.x, channels.y, tooltip=tips, **look),
    )


def _theory(channels: _Channels) -> list[Any]:
    """The predicted curve in dashes, over where the mean should lie."""
    expected = _rows_that_are("expected").mark_area(opacity=0.22)
    line = _rows_that_are("theory").mark_line(strokeWidth=1.4, strokeDash=[7, 3])
    arm, generation = channels.where("generation")
    tips = [arm, alt.Tooltip("law:N"), generation, channels.number(title=f"predicted {channels.words}")]
    return [
        expected.encode(channels.x, alt.Y("low:Q"), alt.Y2("high:Q"), color=channels.colour),
        line.encode(channels.x, channels.y, color=channels.colour, tooltip=tips),
    ]


def _mean_line(channels: _Channels) -> Any:
    line = _rows_that_are("mean").mark_line(strokeWidth=2)
    return line.encode(channels.x, channels.y, color=channels.colour, strokeDash=channels.dash)


def _mean_points(facts: StudyFacts, channels: _Channels) -> Any:
    """The means as symbols, which the legend shows."""
    points = _rows_that_are("mean").mark_point(size=55 if facts.generations <= 25 else 18, filled=True)
    tips = [
        *channels.where("generation"),
        channels.number(title=f"mean {channels.words}"),
        channels.number("low"),
        channels.number("high"),
    ]
    tips.append(alt.Tooltip("lineages:N"))
    look = {"color": channels.colour, "shape": channels.shape}
    return points.encode(channels.x, channels.y, tooltip=tips, **look)


def _ends(channels: _Channels, there: Collection[str]) -> list[Any]:
    """A cross where a lineage diverged, a square where one was stopped, and how many are left where some have ended."""
    crosses = _rows_that_are("diverged").mark_point(shape=CROSS, size=160, strokeWidth=3, filled=False)
    counts = _rows_that_are("few").mark_text(align="left", dx=7, dy=-7, fontSize=11, color=SOFT_COLOUR)
    tips = [*channels.where("seed"), alt.Tooltip("generation:Q", format="d", title="diverged at")]
    squares = _rows_that_are("stopped").mark_point(shape="square", size=130, strokeWidth=3, filled=False)
    ended = [*channels.where("seed"), alt.Tooltip("generation:Q", format="d", title="stopped after")]
    place = {"x": channels.x, "y": channels.y, "color": channels.colour}
    drawn = {
        "diverged": crosses.encode(**place, tooltip=tips),
        "stopped": squares.encode(**place, tooltip=ended),
        "few": counts.encode(channels.x, channels.y, text="text:N"),
    }
    return [layer for what, layer in drawn.items() if what in there]


def survival_chart(facts: StudyFacts, records: Sequence[Record], width: int) -> dict | None:
    """The Vega-Lite specification of the share of lineages that go on, with how many are watched at each generation
    below it; None for a study that stops none.
    """
    rows = survival_rows(facts, records)
    if not rows:
        return None
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    share = alt.Y("value:Q", title="share that goes on", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    channels = _channels(facts, "share", 4)
    axis = alt.Axis(values=list(range(facts.generations + 1)), format="d", grid=False, title="generation")
    x = alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[-0.35, facts.generations + 0.5], nice=False))
    colour = alt.Color("arm:N", scale=alt.Scale(domain=arms, range=[colours(facts)[arm] for arm in arms]), title=None)
    tips = [*channels.where(), *(channels.number(name) for name in ("value", "low", "high"))]
    steps = _rows_that_are("step").mark_line(interpolate="step-after", strokeWidth=2)
    bands = _rows_that_are("step").mark_area(interpolate="step-after", opacity=0.15)
    curve = alt.layer(
        bands.encode(x, alt.Y("low:Q", title="share that goes on"), alt.Y2("high:Q"), color=colour),
        steps.encode(x, share, color=colour, tooltip=tips),
    ).properties(width=width, height=180)
    counts = _rows_that_are("count").mark_text(fontSize=11, color=INK_COLOUR)
    beneath = counts.encode(x, alt.Y("arm:N", sort=arms, title="at risk"), text="at_risk:Q").properties(
        width=width, height=18 * len(arms)
    )
    title = alt.TitleParams("Lineages that go on (Kaplan and Meier)", anchor="start")
    said = "The share of lineages that go on, and how many are watched, by generation and arm."
    return styled(alt.vconcat(curve, beneath, data=alt.Data(values=[])).properties(title=title), rows, said)


# -- a metric against an axis of the sweep -----------------------------------------------------------------------------


def axis_chart(
    facts: StudyFacts, records: Sequence[Record], axis: str, endpoint: Endpoint, width: int, height: int
) -> dict | None:
    """The Vega-Lite specification of one metric against an axis at the last generation, with the scaling law through
    each curve, in logarithms where all of it is above 0; None without any.
    """
    rows = axis_rows(facts, records, axis, endpoint)
    if not rows:
        return None
    look, words = series_of(facts), facts.label(endpoint.metric)
    names = [name for name in look if any(row["series"] == name for row in rows)]
    positive = is_positive(rows)
    if positive:  # what reaches 0 is drawn down to the lowest number
        least = min(row["value"] for row in rows)
        rows = [row | ({"low": max(row["low"], least / 2)} if "low" in row else {}) for row in rows]
    scale = alt.Scale(type="log", nice=False, padding=6) if positive else alt.Scale(zero=False)
    places = sorted({row["x"] for row in rows if row["what"] == "mean"})
    ticks = alt.Axis(values=places, format="~g", grid=False, title=axis)
    x = alt.X("x:Q", axis=ticks, scale=alt.Scale(type="log", domain=[places[0] / 1.1, places[-1] * 1.1], nice=False))
    y = alt.Y("value:Q", title=words, scale=scale)
    colours_ = alt.Scale(domain=names, range=[look[name]["colour"] for name in names])
    legend = alt.Legend(orient="bottom", columns=2, title=None, labelLimit=400, symbolSize=90, symbolOpacity=1)
    colour = alt.Color("series:N", scale=colours_, sort=None, legend=legend)
    marks = alt.Scale(domain=names, range=[look[name]["mark"] for name in names])
    shape = alt.Shape("series:N", scale=marks, sort=None, legend=legend)
    tips = ["series:N", alt.Tooltip("x:Q", format="~g", title=axis)]
    tips += [alt.Tooltip(f"{one}:Q", format=".4~g") for one in ("value", "low", "high")] + ["lineages:N"]
    layers = [
        _rows_that_are("mean").mark_rule(strokeWidth=1.5).encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color=colour),
        _rows_that_are("law").mark_line(strokeWidth=1.6).encode(x, y, color=colour),
        _rows_that_are("mean")
        .mark_point(size=55, filled=True, opacity=1)
        .encode(x, y, color=colour, shape=shape, tooltip=tips),
    ]
    title = alt.TitleParams(
        f"{words} in the {endpoint.extractor} features",
        subtitle="points: means at the last generation; lines: a + b x^−c through them",
        anchor="start",
    )
    chart = alt.layer(*layers, data=alt.Data(values=[])).properties(width=width, height=height, title=title)
    return styled(chart, rows, in_words(facts, axis, endpoint, rows))


# -- a panel for each arm ----------------------------------------------------------------------------------------------


def share_chart(facts: StudyFacts, records: Sequence[Record], metric: str, width: int) -> dict | None:
    """The Vega-Lite specification of shares of a whole less the real ones, a heat map per arm; None without any."""
    found = shares(facts, records, metric)
    if found is None:
        return None
    largest = max((abs(row["difference"]) for row in found.rows), default=0) or 1e-3
    panel = _panel(facts, width)
    cells = alt.Chart(alt.Data(values=[])).mark_rect()
    chart = cells.encode(
        x=_generations(facts, panel),
        y=alt.Y("part:O", sort=found.parts, title=None),
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
            alt.Tooltip("real:Q", format=".2%", title=found.less),
            alt.Tooltip("difference:Q", format="+.2%"),
        ],
    ).properties(width=panel, height=max(120, 16 * len(found.parts)))
    words, where = f"{facts.label(metric)} minus {found.less}", f"in the {found.extractor} features"
    title = alt.TitleParams(words, subtitle=[where], anchor="start")
    said = f"{words} {where}, by generation and arm; the farthest is {spell(100 * largest)} percentage points away."
    return styled(_beside_each_other(facts, chart, panel).properties(title=title), found.rows, said)


def composition_chart(facts: StudyFacts, records: Sequence[Record], width: int) -> dict | None:
    """The Vega-Lite specification of what each arm is trained on, as stacked bars; None without records."""
    rows = composition_rows(facts, records)
    if not rows:
        return None
    panel = _panel(facts, width)
    kinds = [kind for kind in KINDS if kind in {row["kind"] for row in rows}]
    scale = alt.Scale(domain=kinds, range=[KIND_COLOURS[kind] for kind in kinds])
    bars = alt.Chart(alt.Data(values=[])).mark_bar(stroke=SOFT_COLOUR, strokeWidth=0.5)
    chart = bars.encode(
        x=_generations(facts, panel),
        y=alt.Y("sum(count):Q", title="training samples"),
        color=alt.Color("kind:N", scale=scale, legend=alt.Legend(orient="bottom", title=None)),
        order=alt.Order("order:Q"),
        tooltip=["arm:N", "generation:O", "kind:N", alt.Tooltip("sum(count):Q", title="samples")],
    ).properties(width=panel, height=120)
    title = alt.TitleParams("What each arm is trained on", anchor="start")
    said = f"How many samples of each kind every arm is trained on, by generation: {', '.join(kinds)}."
    return styled(_beside_each_other(facts, chart, panel).properties(title=title), rows, said)


def _panel(facts: StudyFacts, width: int) -> int:
    """How wide an arm's panel is: all stand in one row as long as there is room for them."""
    return min(200, width // min(len(facts.arms), ABREAST) - 26)


def _generations(facts: StudyFacts, panel: int) -> Any:
    """An axis of generations, which names as many of them as it has room for."""
    step = -(-(facts.generations + 1) // (panel // 16))
    ticks = {"values": list(range(0, facts.generations + 1, step))} if step > 1 else {}
    return alt.X("generation:O", title="generation", axis=alt.Axis(labelAngle=0, **ticks))


def _beside_each_other(facts: StudyFacts, chart: Any, panel: int) -> Any:
    """The chart of every arm, in a row; many in several rows."""
    header = alt.Header(labelLimit=panel)
    if len(facts.arms) > ABREAST:
        facet = alt.Facet("arm:N", sort=list(facts.arms), title=None, header=header)
        return chart.facet(facet=facet, columns=ABREAST)
    return chart.facet(column=alt.Column("arm:N", sort=list(facts.arms), title=None, header=header))


# -- estimates against the truth ---------------------------------------------------------------------------------------


def truth_chart(facts: StudyFacts, rows: Sequence[Mapping[str, Any]], width: int) -> dict | None:
    """The Vega-Lite specification of estimates against the truth, with the diagonal; None without any."""
    if not rows:
        return None
    seeds = {arm: set(some(sorted({row["seed"] for row in rows if row["arm"] == arm}))) for arm in facts.arms}
    points = [{"what": "point", **row} for row in rows if row["seed"] in seeds[row["arm"]]]
    panels = list(dict.fromkeys(row["panel"] for row in points))
    numbers = [row[axis] for row in points for axis in ("truth", "estimate")]
    ends = min(0.0, *numbers), max(1.0, *numbers)
    diagonal = [{"what": "diagonal", "panel": panel, "truth": end, "estimate": end} for panel in panels for end in ends]
    legend = alt.Legend(orient="bottom", columns=5, title=None, labelLimit=400)
    scale = alt.Scale(domain=list(ends), nice=False)
    x = alt.X("truth:Q", title="truth", scale=scale, axis=alt.Axis(grid=False))
    y = alt.Y("estimate:Q", title="estimate", scale=scale)
    tips = ["arm:N", alt.Tooltip("seed:Q", format="d"), alt.Tooltip("generation:Q", format="d")]
    tips += [alt.Tooltip("truth:Q", format=".4~g"), alt.Tooltip("estimate:Q", format=".4~g")]
    chart = alt.Chart()
    layers = [
        chart.transform_filter("datum.what == 'diagonal'").mark_line(color=SOFT_COLOUR, strokeDash=[1, 3]).encode(x, y),
        chart.transform_filter("datum.what == 'point'")
        .mark_point(size=14, strokeWidth=0.8, opacity=1)  # hollow, so that crowds show
        .encode(x, y, color=_arm_colour(facts, legend), tooltip=tips),
    ]
    columns = min(3, len(panels))
    side = min(300, width // columns - 60)
    layered = alt.layer(*layers, data=alt.Data(values=[])).properties(width=side, height=side)
    # A column for each panel, in rows of three.
    faceted = layered.facet(facet=alt.Facet("panel:N", sort=panels, title=None), columns=columns)
    title = alt.TitleParams("Estimates beside the truth", anchor="start")
    said = f"Estimates beside the truth, a point for each arm, seed and generation: {', '.join(panels)}."
    return styled(faceted.properties(title=title), points + diagonal, said)


# -- the search for a guide -------------------------------------------------------------------------------------------


def front_chart(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict:
    """The Vega-Lite specification of all trials of a search, those of the front filled: a panel for each two metrics,
    or of one metric against the trial.

    rows: each with ``trial``, ``guide``, ``arm`` as a study says it, ``front``, and the metrics.
    """
    guides = list(dict.fromkeys(row["guide"] for row in rows))
    look = colours_of(guides, ["none"])
    scale = alt.Scale(domain=guides, range=[look[one] for one in guides])
    colour = alt.Color("guide:N", scale=scale, sort=None, legend=alt.Legend(orient="bottom", title=None))
    tips = ["trial:Q", "arm:N", *(alt.Tooltip(f"{one}:Q", format=".4~g") for one in metrics)]
    pairs = [(one, other) for index, one in enumerate(metrics) for other in metrics[index + 1 :]]
    side = 300 if len(pairs) > 1 else 480

    def panel(across: str, up: str) -> Any:
        x, y = (alt.X(f"{across}:Q", scale=alt.Scale(zero=False)), alt.Y(f"{up}:Q", scale=alt.Scale(zero=False)))
        points = alt.Chart().encode(x, y, color=colour, tooltip=tips)
        beaten = points.transform_filter("!datum.front").mark_point(size=18, strokeWidth=0.8)
        best = points.transform_filter("datum.front").mark_point(size=70, filled=True, opacity=1)
        return alt.layer(beaten, best).properties(width=side, height=side)

    panels = [panel(*pair) for pair in pairs or [("trial", metrics[0])]]
    title = alt.TitleParams("Guides and strengths that were tried, filled where no other beats them", anchor="start")
    chart = alt.concat(*panels, columns=3, data=alt.Data(values=[])).properties(title=title)
    return styled(chart, rows, title.text)


# -- all of them -------------------------------------------------------------------------------------------------------


def _arm_colour(facts: StudyFacts, legend: Any) -> Any:
    found = colours(facts)
    scale = alt.Scale(domain=list(found), range=list(found.values()))
    return alt.Color("arm:N", scale=scale, sort=None, legend=legend)


def styled(chart: Any, rows: Sequence[Mapping[str, Any]], said: str) -> dict:
    """The specification of a chart of these rows, in the look of all. said: the chart in words.

    The rows are put in at the end: Altair would hold each against its schema.
    """
    # One weight of one font: with two, the PDF writer orders them by chance, and the bytes would differ between runs.
    plain = {"titleFontWeight": "normal", "titleColor": INK_COLOUR, "labelColor": INK_COLOUR}
    lines = {"gridColor": GRID_COLOUR, "domainColor": SOFT_COLOUR, "tickColor": SOFT_COLOUR}
    styled = chart.properties(description=said).configure(  # in one call: each copies the whole chart
        font="sans-serif",
        background="#ffffff",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(labelFontSize=11, titleFontSize=12, **lines, **plain),
        header=alt.HeaderConfig(**plain),
        legend=alt.LegendConfig(labelFontSize=12, **plain),
        title=alt.TitleConfig(fontSize=15, fontWeight="normal", color=INK_COLOUR, subtitleColor=SOFT_COLOUR),
    )
    drawn = styled.to_dict()
    drawn["data"]["values"] = list(rows)
    return drawn


def pdf(chart: Mapping[str, Any]) -> bytes:
    """The chart as a PDF, the same bytes each time: DVC and the hash beside the file tell a study by them."""
    return _in_one_order(vl_convert.vegalite_to_pdf(chart, vl_version=VEGA_LITE, allowed_base_urls=[]))


def _in_one_order(pdf: bytes) -> bytes:
    """The PDF with the names in its resource dictionaries sorted; its writer leaves their order to chance.

    What is transparent has such a name. The bytes of an entry stay what they are, so that all offsets hold.
    """
    entries = rb"(?:\n +/[A-Za-z]+\d+ \d+ 0 R){2,}"
    return re.sub(entries, lambda found: b"\n" + b"\n".join(sorted(found[0][1:].split(b"\n"))), pdf)
