"""How many real rows a loop is worth, and how much synthetic data does no harm.

The *effective sample size* n_e of a loop (Alemohammad et al. 2023, https://arxiv.org/abs/2307.01850, on the fresh data
loop) is the number of real rows from which alone a model gets as close to the truth as the loop ends up: with r(n) the
metric of models fitted to n real rows, r(n_e) = the loop's limit. A loop that adds n_s synthetic rows to n_r real ones
does no harm when n_e >= n_r; the *admissible share* is the largest synthetic share of which that is known.

Everything is read from records. r(n) comes from calibration arms, which have generation 0 alone, or from theory. The
metric is the primary endpoint where it has a better side, else what stands for the risk: the Fréchet distance.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..measure.roles import standing_for
from .facts import Endpoint, StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed, lineages
from .statistics import CONFIDENCE, estimate, slope
from .words import digits_apart, spell

FEWEST_SEEDS = 5  # with fewer the bootstrap has next to nothing to draw from
FEWEST_GENERATIONS = 3  # that a limit is the mean of
DRAWS = 4000  # of the bootstrap: at 5 seeds its interval is cut off below the 4th lowest
THEORY_SIZES = np.unique(np.geomspace(2, 1e7, 600).round())  # where a curve of theory is looked at: whole rows
ALIKE = 1e-4  # relative difference of sizes that no reader would tell apart
STILL_MOVING = 0.05  # of the limit: a change over the last generations that is worth a word


class Curve(NamedTuple):
    """A metric as a function of the number of real rows: ascending ``sizes`` (k,) and monotone ``values`` (k,)."""

    sizes: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Admissible:
    """Of the arms with ``real`` real rows: the largest synthetic share found harmless, the smallest found harmful.

    None where no arm was found so. The admissible share lies between the two.
    """

    real: int
    harmless: float | None
    harmful: float | None
    sentence: str


# -- the curve of real data alone --------------------------------------------------------------------------------------


def isotonic(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The non-increasing sequence closest to ``values`` in (weighted) squares: neighbours that rise are pooled.

    values: (k,), or (draws, k) for many sequences at once. The pooled mean of i is the least over j <= i of the
    greatest over m >= i of the mean of values j .. m (Barlow et al. 1972, min-max formula).
    """
    values = np.asarray(values, np.float64)
    k = values.shape[-1]
    weights = np.ones(k) if weights is None else np.asarray(weights, np.float64)
    sums = np.concatenate([np.zeros_like(values[..., :1]), np.cumsum(values * weights, axis=-1)], axis=-1)
    counts = np.concatenate([[0.0], np.cumsum(weights)])
    fitted = np.full_like(values, np.inf)
    for start in range(k):
        means = (sums[..., start + 1 :] - sums[..., start : start + 1]) / (counts[start + 1 :] - counts[start])
        # The greatest mean of start .. m over m >= i, for each i from start on.
        greatest = np.maximum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
        fitted[..., start:] = np.minimum(fitted[..., start:], greatest)
    return fitted


def inverse(curve: Curve, level: float) -> float:
    """The number of real rows at which a non-increasing curve has the value ``level``.

    Between sizes log n is linear in log r, or in r where a value is not positive. 0 for a level above the curve, which
    fewer rows than the smallest size would give; infinite for one below it. On a flat part it is the geometric middle.
    """
    sizes, values = curve
    if level > values[0]:
        return 0.0
    if level < values[-1]:
        return math.inf
    at = np.log(sizes)
    scale = np.log if values[-1] > 0 and level > 0 else np.asarray
    level, values = scale(level), scale(values)
    # From the left the last size at which the curve is still above or at the level, from the right the first at or
    # below it: they are neighbours, or the ends of a flat part.
    left, right = np.flatnonzero(values >= level)[-1], np.flatnonzero(values <= level)[0]
    if left >= right:
        return float(np.exp((at[left] + at[right]) / 2))
    part = (values[left] - level) / (values[left] - values[right])
    return float(np.exp(at[left] + part * (at[right] - at[left])))


# -- the table ---------------------------------------------------------------------------------------------------------


def endpoint_of(facts: StudyFacts, records: Iterable[Record]) -> Endpoint | None:
    """The metric in which closeness to the truth is taken: the primary if it has a better side, else the risk there.

    None where nothing that stands for the risk was measured.
    """
    if facts.direction(facts.primary.metric):
        return facts.primary
    there = [metric for metric, extractor, _ in indexed(records).measured if extractor == facts.primary.extractor]
    best = standing_for("risk", there)
    return Endpoint(best[0], facts.primary.extractor, facts.primary.set) if best else None


def window(generations: int) -> range:
    """The generations whose mean is a loop's limit: the last quarter, at least three, and never generation 0."""
    count = max(FEWEST_GENERATIONS, math.ceil((generations + 1) / 4))
    return range(max(1, generations + 1 - count), generations + 1)


def limits(records: Iterable[Record], arm: str, endpoint: Endpoint, generations: int) -> dict[int, float]:
    """seed -> mean over the last generations, for the lineages that have them all."""
    late = window(generations)
    found = lineages(records, arm, endpoint)
    return {
        seed: float(np.mean([lineage[t] for t in late]))
        for seed, lineage in found.items()
        if len(late) >= FEWEST_GENERATIONS and all(t in lineage for t in late)
    }


def worth(facts: StudyFacts, records: Iterable[Record]) -> list[Finding]:
    """What each arm's loop is worth in real rows, in the order of the study; empty where nothing is calibrated.

    real, synthetic: rows of a late generation's training set. limit: the metric's mean over the last generations and
    over lineages. size, low, high: n_e and its 95 % interval, 0 below the smallest and infinite above the largest size
    that was calibrated; NaN where there is none. status: harmless (n_e is surely at least the real rows), harmful
    (surely less), undecided, or all real or no real data where there is nothing to decide.

    The interval is a bootstrap over seeds, at 95 %, in which the loop and the calibration arms of a seed stay together
    as they share their random numbers. Its ends are those of Hesterberg's (2015, doi 10.1080/00031305.2015.1089789)
    expanded percentiles, which make up for the bootstrap's narrowness at few seeds; fewer than five give none. With
    ``facts.learning_curve`` in place of calibration arms only the loop's seeds are drawn.
    """
    if not facts.rows or not (facts.calibration or facts.learning_curve):
        return []
    records = indexed(records)
    endpoint = endpoint_of(facts, records)
    if endpoint is None:
        return []
    # Turned so that the curve falls with n whichever side is better.
    sign = -1.0 if facts.direction(endpoint.metric) == "higher" else 1.0
    measured = _calibration(facts, records, endpoint) if facts.calibration else {}
    theory = facts.learning_curve if endpoint == facts.primary else None
    if len(measured) < 2 and theory is None:
        return []
    rows = []
    for arm in facts.loops.arms:
        if arm in facts.rows and sum(facts.rows[arm]):
            found = limits(records, arm, endpoint, facts.generations)
            rows.append(_worth(facts, records, arm, endpoint, sign, found, measured, theory))
    return rows


def _calibration(facts: StudyFacts, records: Iterable[Record], endpoint: Endpoint) -> dict[int, dict[int, float]]:
    """n -> seed -> the metric of a model fitted to n real rows, in ascending order."""
    found: dict[int, dict[int, float]] = {}
    for arm, n in sorted(facts.calibration.items(), key=lambda item: item[1]):
        values = {seed: v[0] for seed, v in lineages(records, arm, endpoint).items() if 0 in v}
        if values:
            found.setdefault(n, {}).update(values)
    return found


def _worth(
    facts: StudyFacts,
    records: Iterable[Record],
    arm: str,
    endpoint: Endpoint,
    sign: float,
    found: Mapping[int, float],
    measured: Mapping[int, Mapping[int, float]],
    theory: Callable[[float], float | None] | None,
) -> Finding:
    real, synthetic = facts.rows[arm]
    late = window(facts.generations)
    if len(measured) >= 2:
        seeds, sizes = sorted(set(found).intersection(*measured.values())), np.array(list(measured), np.float64)
        values = sign * np.array([[measured[n][seed] for n in measured] for seed in seeds])
    else:
        seeds, known = sorted(found), {n: theory(n) for n in THEORY_SIZES}
        # Of too few rows for a fit theory says nothing.
        sizes = np.array([n for n, value in known.items() if value is not None])
        values = sign * np.array([known[n] for n in sizes])
    own = sign * np.array([found[seed] for seed in seeds])
    limit = size = low = high = np.nan
    if seeds:
        limit, curve = float(sign * own.mean()), isotonic(values if values.ndim == 1 else values.mean(axis=0))
        size = inverse(Curve(sizes, curve), float(own.mean()))
    if len(seeds) >= FEWEST_SEEDS:
        low, high = _bootstrap(sizes, values, own)
    decision = _decision(real, synthetic, low, high, sizes)
    sentence = f"No lineage has all of the generations {late[0]} to {late[-1]} and its calibrations: no limit."
    if seeds:
        sentence = f"{_words(size, low, high, sizes, len(seeds))}{_against(real, decision)}"
        sentence += _moving(records, arm, endpoint, late, abs(limit))
    numbers = {"real": real, "synthetic": synthetic, "limit": limit, "size": size, "low": low, "high": high}
    words = {"share": f"{100 * synthetic / (real + synthetic):.0f} %", "closeness": facts.label(endpoint.metric)}
    return Finding("effective_size", arm, decision, sentence, numbers | {"lineages": len(seeds)}, words)


def _bootstrap(sizes: np.ndarray, values: np.ndarray, own: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % interval of n_e over draws of seeds: own (seeds,), values (seeds, k) or, if known, (k,)."""
    from scipy import special

    n = len(own)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), DRAWS) / n
    known, levels = values.ndim == 1, draws @ own
    curves = np.broadcast_to(isotonic(values), (DRAWS, len(values))) if known else isotonic(draws @ values)
    found = np.array([inverse(Curve(sizes, curve), float(level)) for curve, level in zip(curves, levels, strict=True)])
    tail = special.ndtr(-math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    # An order statistic and no interpolation, which infinities would not survive.
    low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _decision(real: int, synthetic: int, low: float, high: float, sizes: np.ndarray) -> str:
    if not real or not synthetic:
        return "all real" if real else "no real data"
    # Beyond what was calibrated only the last size is known to be passed, which may lie on either side of the real one.
    if min(low, sizes[-1]) >= real:
        return "harmless"
    return "harmful" if high < real and (high > 0 or sizes[0] <= real) else "undecided"


def _words(size: float, low: float, high: float, sizes: np.ndarray, seeds: int) -> str:
    """``Worth 231 real rows (95 % interval 214 to 251, 20 seeds)``, and where it lies beyond what was calibrated."""

    def said(number: float, digits: int = 3) -> str:
        if number == 0:
            return f"fewer than {sizes[0]:.0f}"
        return f"more than {sizes[-1]:.0f}" if math.isinf(number) else spell(number, digits=digits)

    words = f"Worth {said(size)} real rows"
    if np.isnan(low):
        return f"{words} ({seeds} seed{'s' * (seeds > 1)}; an interval needs at least {FEWEST_SEEDS})"
    digits = digits_apart(low, high) if np.isfinite(high) else 3
    if math.isclose(low, high, rel_tol=ALIKE):
        return f"{words} (in all draws of {seeds} seeds)"
    return f"{words} (95 % interval {said(low, digits)} to {said(high, digits)}, {seeds} seeds)"


def _against(real: int, decision: str) -> str:
    return {
        "harmless": f", at least its {real} real rows: the synthetic ones do no harm.",
        "harmful": f", less than its {real} real rows: the synthetic ones do harm.",
        "undecided": f" beside {real} in its training sets: undecided.",
        "no real data": "; there are none in its training sets.",
        "all real": f" beside {real} in its training sets, with no synthetic ones.",
    }[decision]


def _moving(records: Iterable[Record], arm: str, endpoint: Endpoint, late: range, limit: float) -> str:
    """A word where the metric still moves over the generations whose mean is called the limit."""
    found = lineages(records, arm, endpoint).values()
    slopes = [slope({t: v for t, v in lineage.items() if t in late}) for lineage in found]
    trend = estimate({arm: slopes})[arm]
    change = trend.mean * (late[-1] - late[0])
    if not trend.side or abs(change) <= STILL_MOVING * limit:
        return ""
    return f" It still moves, by {spell(change)} from generation {late[0]} to {late[-1]}, so that this is no limit yet."


def share(finding: Finding) -> float:
    """The synthetic share of an arm's training sets."""
    return finding.numbers["synthetic"] / (finding.numbers["real"] + finding.numbers["synthetic"])


def admissible(findings: Iterable[Finding]) -> list[Admissible]:
    """For each number of real rows beside synthetic ones: the shares that did (no) harm, and in which arms."""
    groups: dict[int, list[Finding]] = {}
    for one in findings:
        if one.numbers["real"] and one.numbers["synthetic"]:
            groups.setdefault(one.numbers["real"], []).append(one)
    found = []
    for real, group in sorted(groups.items()):
        good = max((share(one) for one in group if one.status == "harmless"), default=None)
        bad = min((share(one) for one in group if one.status == "harmful" and share(one) > (good or 0)), default=None)
        # Arms differ in more than their share: what is known of one says nothing of another.
        also = [one.arm for one in group if one.status == "harmful" and share(one) <= (good or 0)]
        said = f"With {real} real rows a generation "
        if good is None:
            said += "no arm is known to do no harm"
            said += f"; the smallest share known to do harm is {_named(group, 'harmful', bad)}" if bad else ""
        else:
            said += f"the largest synthetic share known to do no harm is {_named(group, 'harmless', good)}"
            said += f", but with no more synthetic rows {' and '.join(also)} did harm" if also else ""
            above = f"; the smallest above it known to do harm is {_named(group, 'harmful', bad)}" if bad else ""
            said += above or "; none above it is known to do harm"
        found.append(Admissible(real, good, bad, f"{said}."))
    return found


def _named(group: Iterable[Finding], decision: str, part: float) -> str:
    """``80% (fresh_data)``: a share, and the arms of which the decision was taken at it."""
    arms = [one.arm for one in group if one.status == decision and share(one) == part]
    return f"{part:.0%} ({', '.join(arms)})"


# -- how it is told ----------------------------------------------------------------------------------------------------


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    late, closeness = window(facts.generations), found[0].words["closeness"]
    calibrated = "is measured by the arms that calibrate it" if facts.calibration else "is what theory says"
    return (
        "The effective sample size (Alemohammad et al. 2023): from so many real rows alone a model gets as close to "
        f"the truth as the loop ends up, by its mean over generations {late[0]} to {late[-1]}. Its measure of "
        f"closeness is: {closeness}. Closeness by number of rows {calibrated}; the intervals are bootstraps over "
        "seeds. Synthetic rows do no harm where the loop is worth at least its real rows."
    )


def _beneath(found: Sequence[Finding]) -> list[str]:
    return [one.sentence for one in admissible(found)]


ROWS = (Column("Real rows", "real", "number"), Column("Synthetic", "synthetic", "number"))
TABLE = Table(
    "worth",
    "Worth in real data",
    "Verdict",
    _about,
    before=(*ROWS, Column("Share", "share", "number")),
    beneath=_beneath,
)
