"""What stands for an arm wherever a study is drawn: a colour, and a mark for whoever cannot tell colours apart."""

from collections.abc import Collection, Iterable

CONTROL_COLOUR = "#767676"
# Colours of Okabe and Ito (2008), then others that are far from these for colour-blind readers too; each has a
# contrast of 3 to 1 at least to white paper and to the dark one (WCAG 2.2, 1.4.11), so that an arm keeps its colour.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8389E5", "#C8102E", "#C400EE", "#007641", "#835589", "#A67C00")
MARKS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right", "triangle-left")


def colours_of(arms: Iterable[str], controls: Collection[str]) -> dict[str, str]:
    """arm -> colour, the controls in grey."""
    arms = list(arms)
    others = [arm for arm in arms if arm not in controls]
    found = {arm: PALETTE[index % len(PALETTE)] for index, arm in enumerate(others)}
    return {arm: found.get(arm, CONTROL_COLOUR) for arm in arms}


def marks_of(arms: Iterable[str]) -> dict[str, str]:
    """arm -> mark, by the names that Vega has for them. Colour and mark together tell 70 arms apart."""
    return {arm: MARKS[index % len(MARKS)] for index, arm in enumerate(arms)}
