"""Draws docs/rewards.svg of a finished study ``ddpo``: each arm's reward, and what it costs, as its adapter noted them.

python docs/rewards.py [RESULTS]
"""

import sys
from pathlib import Path

import altair as alt
import vl_convert

from collapselab.store.tensors import read_metadata

PICTURE = Path(__file__).with_suffix(".svg")
ARMS = {
    "jpeg_small": "small JPEG",
    "jpeg_large": "large JPEG",
    "brightness": "bright",
    "surest": "sure classifier",
    "destroyed": "bright, ten times the rate",
}
COLOURS = {"reward": "#D55E00", "recall": "#08519C", "precision": "#9ECAE1"}


def found(results: Path) -> dict[str, dict]:
    """arm -> what its adapter noted, of the first seed."""
    files = {arm: results / "ddpo" / arm / "seed0" / "gen0" / "adapted.safetensors" for arm in ARMS}
    return {arm: read_metadata(path)["lineage"]["adaptation"] for arm, path in files.items()}


def panel(name: str, noted: dict) -> alt.LayerChart:
    """One arm: recall and precision on the left axis, the reward on the right, and the model that was kept."""
    checks, stopped = noted["checks"], noted["stopped"]
    rows = [
        {"transitions": seen / 1000, "what": what, "value": value}
        for what in COLOURS
        for seen, value in zip(checks["images_seen"], checks[what], strict=True)
    ]
    x = alt.X("transitions:Q", title="thousand transitions")
    colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())))
    shares = alt.Y("value:Q", title="recall, precision", scale=alt.Scale(domain=[0, 1]))
    reward = alt.Y("value:Q", title="reward", scale=alt.Scale(zero=False), axis=alt.Axis(orient="right"))
    line = {"point": {"size": 18}, "clip": True}
    left = alt.Chart(alt.Data(values=[row for row in rows if row["what"] != "reward"])).mark_line(**line)
    right = alt.Chart(alt.Data(values=[row for row in rows if row["what"] == "reward"])).mark_line(**line)
    kept = alt.Chart(alt.Data(values=[{"transitions": stopped["images_seen"] / 1000}])).mark_rule(strokeDash=[4, 3])
    layers = [left.encode(x, shares, colour), right.encode(x, reward, colour)]
    if stopped["at"] == "knee":
        layers.append(kept.encode(alt.X("transitions:Q")))
    said = "kept at the knee (dashes)" if stopped["at"] == "knee" else "kept at the end"
    title = alt.TitleParams(name, subtitle=said, anchor="start")
    return alt.layer(*layers).resolve_scale(y="independent").properties(width=230, height=170, title=title)


def picture(results: Path) -> str:
    """The picture as SVG."""
    chart = alt.concat(*(panel(ARMS[arm], noted) for arm, noted in found(results).items()), columns=3)
    return vl_convert.vegalite_to_svg(chart.to_dict(), vl_version="6.4")


if __name__ == "__main__":
    PICTURE.write_text(picture(Path(sys.argv[1] if len(sys.argv) > 1 else "results")), encoding="utf-8")
