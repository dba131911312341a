"""The charts of measures against collapse: what no other beats, and what each keeps against what it costs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ..verdicts import GOALS, Record, StudyFacts
from .charts import colours, styled
from .colours import marks_of
from .numbers import prevention_rows


def prevention_charts(facts: StudyFacts, records: Sequence[Record], width: int) -> dict[str, dict]:
    """Two Vega-Lite specifications of measures that are compared: fidelity against diversity, and both against the
    price; none of a study that compares none. What no other measure beats is filled.
    """
    rows = prevention_rows(facts, records)
    if not rows:
        return {}
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    best = ", ".join(dict.fromkeys(row["arm"] for row in rows if row["front"])) or "none"
    drawn = {"prevention": _front(facts, width // 2 - 40), "price": _priced(facts, rows, width // 2 - 40)}
    said = {
        "prevention": f"Fidelity and diversity kept by {len(arms)} arms, with intervals; no other beats {best}.",
        "price": f"Fidelity and diversity kept by {len(arms)} arms against what they cost; no other beats {best}.",
    }
    own = {"prevention": [row for row in rows if row["goal"] == rows[0]["goal"]], "price": rows}
    return {name: styled(chart, own[name], said[name]) for name, chart in drawn.items()}


AGAINST = "points against no measure"
FRONT = (
    "filled: no other measure keeps as much of both for the same price or less; bars: 95 % intervals that hold for all "
    "at once"
)


def _looks(facts: StudyFacts, columns: int) -> dict[str, Any]:
    """Colours and marks of all arms, in one legend."""
    legend = alt.Legend(orient="bottom", columns=columns, title=None, labelLimit=400, symbolSize=90)
    arms = [arm for arm in facts.arms if arm in facts.prevention.spent]
    look = colours(facts)
    return {
        "color": alt.Color(
            "arm:N", scale=alt.Scale(domain=arms, range=[look[a] for a in arms]), sort=None, legend=legend
        ),
        "shape": alt.Shape(
            "arm:N",
            scale=alt.Scale(domain=arms, range=[marks_of(facts.arms)[a] for a in arms]),
            sort=None,
            legend=legend,
        ),
    }


def _tips(*numbers: str) -> list[Any]:
    found = [alt.Tooltip(f"{one}:Q", format=".4~g", title=one) for one in numbers]
    return [alt.Tooltip("arm:N"), alt.Tooltip("status:N"), alt.Tooltip("price:N"), *found]


def _points(x: Any, y: Any, looks: Mapping[str, Any], tips: Sequence[Any]) -> list[Any]:
    """Hollow what another beats, filled what none does."""
    fill = alt.condition("datum.front", alt.value(1), alt.value(0))
    hollow = alt.Chart().mark_point(size=80, strokeWidth=1.8).encode(x, y, **looks, tooltip=list(tips))
    return [hollow, alt.Chart().mark_point(size=80, filled=True).encode(x, y, **looks, opacity=fill)]


def _front(facts: StudyFacts, width: int) -> Any:
    looks = _looks(facts, 4)
    axes = {goal: f"{goal} ({facts.label(getattr(facts.prevention, goal).metric)}), {AGAINST}" for goal in GOALS}
    x, y = (
        axis(f"{goal}:Q", title=axes[goal], scale=alt.Scale(zero=False))
        for axis, goal in ((alt.X, GOALS[0]), (alt.Y, GOALS[1]))
    )
    across = (
        alt.Chart()
        .mark_rule(opacity=0.35)
        .encode(alt.X(f"{GOALS[0]}_low:Q", title=axes[GOALS[0]]), alt.X2(f"{GOALS[0]}_high:Q"), y, color=looks["color"])
    )
    up = (
        alt.Chart()
        .mark_rule(opacity=0.35)
        .encode(x, alt.Y(f"{GOALS[1]}_low:Q", title=axes[GOALS[1]]), alt.Y2(f"{GOALS[1]}_high:Q"), color=looks["color"])
    )
    layers = [across, up, *_points(x, y, looks, _tips(*GOALS))]
    title = alt.TitleParams("Which measure no other beats", subtitle=[FRONT], anchor="start")
    return alt.layer(*layers, data=alt.Data(values=[])).properties(title=title, width=width, height=330)


def _priced(facts: StudyFacts, rows: Sequence[Mapping[str, Any]], width: int) -> Any:
    looks = _looks(facts, 4)
    words = dict(sorted((row["group"], row["price"]) for row in rows))
    labels = json.dumps(list(words.values()))
    axis = alt.Axis(
        values=list(words), labelExpr=f"split({labels}[datum.value], ' and ')", grid=False, title="price", labelAngle=0,
        labelLimit=140, tickCount=len(words),
    )  # fmt: skip
    x = alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[-0.55, len(words) - 0.45], nice=False))
    y = alt.Y("value:Q", title=AGAINST, scale=alt.Scale(zero=False))
    bars = alt.Chart().mark_rule(strokeWidth=1.5)
    layers = [
        bars.encode(x, alt.Y("low:Q", title=AGAINST), alt.Y2("high:Q"), color=looks["color"]),
        *_points(x, y, looks, _tips("value", "low", "high")),
    ]
    title = alt.TitleParams("What is kept against what it costs", subtitle=[FRONT], anchor="start")
    layered = alt.layer(*layers, data=alt.Data(values=[])).properties(width=width, height=240)
    faceted = layered.facet(facet=alt.Facet("goal:N", sort=list(GOALS), title=None), columns=1)
    return faceted.properties(title=title)
