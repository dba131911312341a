"""The colours of arms, the same wherever a study is drawn."""

from collections.abc import Collection, Iterable

CONTROL_COLOUR = "#333333"
# Okabe and Ito (2008) without its black and yellow, then Tol's muted scheme: told apart by colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#44AA99", "#999933", "#332288")


def colours_of(arms: Iterable[str], controls: Collection[str]) -> dict[str, str]:
    """arm -> colour, the controls in dark grey."""
    arms = list(arms)
    others = [arm for arm in arms if arm not in controls]
    found = {arm: PALETTE[index % len(PALETTE)] for index, arm in enumerate(others)}
    return {arm: found.get(arm, CONTROL_COLOUR) for arm in arms}
