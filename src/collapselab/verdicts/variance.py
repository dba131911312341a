"""Where the variance of a lineage comes from: the split, the training, the sampling, or what they do together.

Lineages in which these are crossed, every level of each with every level of the others, tell them apart. With a level
of split, training and sampling drawn at random, a number of a lineage is a sum of random effects, one for each set of
factors; their variances are estimated from mean squares, whose expectations they make up.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..core.seeds import Levels
from .facts import StudyFacts
from .findings import Column, Finding, Table
from .records import Record, indexed, lineages
from .statistics import slope
from .words import ROUNDING, spell

TOGETHER = "what they do together"


class Component(NamedTuple):
    """The variance that a factor, or several together, give to one number; and the degrees of freedom behind it.

    variance: unbiased, and so below 0 where there is little of it.
    """

    factors: tuple[int, ...]
    variance: float
    degrees: int


def components(values: np.ndarray) -> list[Component]:
    """The variance components of a crossed design of random factors with one number in each cell.

    values: (n_1, ..., n_k) finite, an axis for each factor, with at least two levels each. Of every set U of factors
    one component: with the mean square MS_U = SS_U / Π_{f in U} (n_f - 1), whose expectation is
    Σ_{V ⊇ U} σ²_V Π_{f not in V} n_f,

        σ²_U = Σ_{V ⊇ U} (-1)^{|V| - |U|} MS_V / Π_{f not in U} n_f

    (Cornfield and Tukey 1956, Ann. Math. Stat. 27, 907, for infinite populations of levels; Searle, Casella and
    McCulloch 1992, Variance Components, chapter 4). The component of all factors holds what is left, too. Raises
    ValueError for fewer than two levels of a factor, or numbers that are not finite.
    """
    values = np.asarray(values, np.float64)
    if min(values.shape, default=0) < 2 or not np.isfinite(values).all():
        raise ValueError(f"values: found shape {values.shape}, allowed are finite numbers, two levels or more a factor")
    factors = range(values.ndim)
    sets = [one for size in range(1, values.ndim + 1) for one in combinations(factors, size)]
    squares = {one: _square(values, one) for one in sets}
    degrees = {one: int(np.prod([values.shape[f] - 1 for f in one])) for one in sets}
    found = []
    for one in sets:
        above = [other for other in sets if set(one) <= set(other)]
        mixed = sum((-1) ** (len(other) - len(one)) * squares[other] / degrees[other] for other in above)
        cells = np.prod([values.shape[f] for f in factors if f not in one])
        found.append(Component(one, float(mixed / cells), degrees[one]))
    return found


def _square(values: np.ndarray, factors: tuple[int, ...]) -> float:
    """The sum of squares of the effects of some factors together, over all cells."""
    effects = values
    for axis in range(values.ndim):
        mean = effects.mean(axis=axis, keepdims=True)
        effects = effects - mean if axis in factors else np.broadcast_to(mean, effects.shape)
    return float((effects**2).sum())


def sources(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Of each arm how much of the variance of the primary endpoint's slope each factor gives: a finding each.

    Nothing for a study in which the split does not vary. What a factor gives is what it gives by itself, whatever the
    levels of the others; the rest is what they do together.
    """
    if not facts.crossed:
        return []
    design = sorted({levels for levels, _ in facts.crossed} | set(facts.design))
    varied = [name for name in Levels._fields if len({getattr(one, name) for one in design}) > 1]
    shape = [len({getattr(one, name) for one in design}) for name in varied]
    found = {levels: indexed([record for one, record in facts.crossed if one == levels]) for levels in design}
    findings = []
    for arm in facts.arms:
        spans = {one: next(iter(lineages(found[one], arm, facts.primary).values()), {}) for one in design}
        whole = {one for one, lineage in spans.items() if len(lineage) == facts.generations + 1}
        if not facts.generations:
            found_none = "Not testable: a slope needs a generation after generation 0."
            findings.append(Finding("variance", arm, "not testable", found_none))
            continue
        if len(whole) < len(design):
            said = f"Not testable: {len(whole)} of {len(design)} lineages that it needs are whole."
            findings.append(Finding("variance", arm, "not testable", said))
            continue
        values = np.array([slope(spans[one]) for one in design]).reshape(shape)
        findings += _told(arm, varied, components(values), facts)
    return findings


def _told(arm: str, varied: Sequence[str], found: Sequence[Component], facts: StudyFacts) -> Iterator[Finding]:
    rows = {varied[one.factors[0]]: (one.variance, one.degrees) for one in found if len(one.factors) == 1}
    if several := [one for one in found if len(one.factors) > 1]:
        rows[TOGETHER] = sum(one.variance for one in several), sum(one.degrees for one in several)
    total = sum(max(variance, 0.0) for variance, _ in rows.values())
    metric = facts.label(facts.primary.metric)
    for name, (variance, degrees) in rows.items():
        share = max(variance, 0.0) / total if total else 0.0
        sd = float(np.sqrt(max(variance, 0.0)))
        if variance <= ROUNDING * total:
            said = f"gives the slope of {metric} no variance that could be seen"
        else:
            said = f"gives the slope of {metric} a standard deviation of {spell(sd)} a generation"
        words = {"subject": name[:1].upper() + name[1:], "share": f"{share:.0%}"}
        numbers = {"variance": variance, "sd": sd, "share": share, "degrees": degrees}
        question = f"variance.{name.replace(' ', '_')}"
        yield Finding(question, arm, name if name in varied else "together", f"{said}.", numbers, words)


def _about(facts: StudyFacts, found: Sequence[Finding]) -> str:
    return (
        f"Of {len(facts.design)} lineages of each arm, in which split, training and sampling are crossed: how much of "
        "the variance of the primary endpoint's slope each gives, by itself and with the others (components of a "
        "crossed design of random effects; Searle, Casella and McCulloch 1992). With another split the extractors are "
        "learnt anew and other images are held out. The degrees of freedom are few, and the figures as rough. These "
        "lineages count in no mean, band or test of this page, which hold for the study's own split."
    )


TABLE = Table(
    "variance",
    "Split, training, sampling",
    "Varied",
    _about,
    over_seeds=False,
    after=(Column("Share", "share", "number"), Column("Degrees of freedom", "degrees", "number")),
)
