"""Numbers, names and failures in words."""

from collections.abc import Mapping, Sequence

import numpy as np

from .facts import StudyFacts
from .records import Record, diverged

ROUNDING = 1e-12  # relative differences below it are rounding
LONG = 1e9  # numbers from it on are told by a power of ten
NAMED = 12  # diverged lineages that a sentence names one by one


def spell(number: float, beside: float = 0.0, digits: int = 3) -> str:
    """A number for a sentence: three digits, counted from the larger of it and the one that it stands beside."""
    number = 0.0 if abs(number) < ROUNDING else number
    size = max(abs(number), abs(beside))
    if not np.isfinite(size) or number == 0:
        return f"{number:.3g}".replace("-", "−")
    if size < 1e-4 or abs(number) >= LONG:
        return f"{number:.{digits - 1}e}".replace("-", "−")

    def decimals_of(size: float) -> int:
        return int(np.clip(digits - 1 - np.floor(np.log10(size)), 0, digits + 3))

    decimals = decimals_of(round(size, decimals_of(size)))  # what is rounded up to 100 has three digits already
    return f"{round(number, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # and no sign before zeros


def digits_apart(low: float, high: float) -> int:
    """The digits, three to eight, with which two numbers that differ do not read the same."""
    return next((n for n in range(3, 8) if low == high or spell(low, high, n) != spell(high, low, n)), 8)


def span(low: float, high: float) -> str:
    """``0.25 to 0.37``: the ends of an interval, with as many digits as they need to be told apart."""
    digits = digits_apart(low, high)
    return f"{spell(low, high, digits)} to {spell(high, low, digits)}"


def and_ended(records: Sequence[Record], facts: StudyFacts, arm: str) -> str:
    """The sentences, with a space before each, that name the lineages of an arm that diverged, were stopped or ended
    with those of another arm; "" where all go on.
    """
    gone = diverged(records, arm)
    said = f" Training diverged in {_named(facts, gone)}." if gone else ""
    ends: dict[str, dict[int, int]] = {}
    for seed, one in facts.stopped.get(arm, {}).items():
        how = f"Ended with {one['with']}, which {one['which']}," if one.get("with") else "Stopped"
        ends.setdefault(how, {})[seed] = one["generation"]
    for how, at in ends.items():
        said += f" {how} {'was' if len(at) == 1 else 'were'} {_named(facts, at)}."
    return said


def _named(facts: StudyFacts, gone: Mapping[int, int]) -> str:
    """Lineages that ended, by the generation at which they did."""
    when = ", ".join(f"seed {seed} at generation {generation}" for seed, generation in list(gone.items())[:NAMED])
    when += f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
    return f"{len(gone)} of {facts.seeds} lineages ({when}), which count up to there"


def natural(name: str) -> tuple[str, int]:
    """A sort key by which class 10 comes after class 9."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or -1)
