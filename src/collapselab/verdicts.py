"""Did it collapse? The field's definitions, each as a test on the records of a study.

The unit of every test is the lineage (one arm, one seed): a lineage gives one number, such as the slope of its recall
over the generations, and an arm is judged by a t-interval over its lineages. Holm's correction (1979) runs over the
arms within each question. Which question comes first is the study's primary endpoint, named before it runs.

Two verdicts are about that endpoint: its slope, and its slope against the control's, paired by seed. They say whether
it falls and how the fall is spread over the generations, not whether that is collapse: a fall that levels off is not
what most mean by the word. Eight are the definitions that Schaeffer, Kazdan, Arulandu and Koyejo (2025,
https://arxiv.org/abs/2503.03150) found in the literature. They speak of population risk, which a study of images does
not observe: the Fréchet distance stands for it here, recall for the tails, precision for what is not hallucinated,
the classes for the modes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .significance import holm

if TYPE_CHECKING:  # who reads verdicts needs no theory
    from .theory.setting import Prediction

Record = Mapping[str, Any]
"""One parsed ``metrics.json``: the numbers of one arm, seed and generation, and how they were made."""

FEWEST = 3  # lineages; with fewer a t-interval says next to nothing
LEVEL = 0.95
ROUNDING = 1e-12  # relative differences below it are rounding
CATASTROPHE = 10.0  # times the first risk; the literature names no number, so this is the report's own
NAMED = 12  # diverged lineages that a sentence names one by one
LOST = 0.1  # a class is lost when its share falls below this part of the real one
STANDS_FOR = {  # what the definitions speak of: the metrics that can stand for it here, best first
    "risk": ("frechet_distance",),
    "variance": ("variance_ratio", "class_entropy"),
    "modes": ("class_histogram",),
    "tails": ("true_recall", "recall"),
    "reality": ("true_precision", "precision"),
}
CLASSES_GIVEN = "the model is told the class of every sample, so the shares of the classes are fixed"


@dataclass(frozen=True)
class Endpoint:
    """One measured quantity: a metric, the feature space it is taken in, and which samples it is taken of."""

    metric: str
    extractor: str
    set: str = "sampled"  # raw, sampled or kept


@dataclass(frozen=True)
class StudyFacts:
    """What a reader of a study's records must know about the study.

    control: the first control, or None; controls: arm -> its control, where there are several.
    arms: arm -> one line that describes it, in the order of the study. generations: T, where generations are 0 .. T.
    labels, better: metric -> its name in words, and which way is good: higher, lower or None. reference: extractor ->
    metric -> the value of real data against real data. waivers: rules of a fair comparison that the study waives,
    each with its reason. models: model -> description. classes_given: the model is told the class of every sample.
    shares: the metrics whose named numbers are parts of a whole. rows: arm -> real and synthetic rows that a model of a
    late generation is trained on. calibration: arm -> its number of real rows, for arms that are no loop: they have
    generation 0 alone, and say how the metrics depend on the number of real rows. learning_curve: number of real rows
    -> the primary's expected value of a model fitted to them, where theory gives it. predictions: arm -> what the
    closed forms say of it.
    """

    name: str
    arms: Mapping[str, str]
    primary: Endpoint
    seeds: int
    generations: int
    control: str | None = None
    controls: Mapping[str, str] = field(default_factory=dict)
    question: str = ""
    data: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    waivers: Sequence[str] = ()
    reference: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    better: Mapping[str, str | None] = field(default_factory=dict)
    classes_given: bool = False
    shares: Sequence[str] = ("class_histogram",)
    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    calibration: Mapping[str, int] = field(default_factory=dict)
    learning_curve: Callable[[float], float] | None = None
    predictions: Mapping[str, Sequence["Prediction"]] = field(default_factory=dict)

    @property
    def loops(self) -> Self:
        """The same without the calibration arms, which have no generations to draw or to judge."""
        return replace(self, arms={arm: words for arm, words in self.arms.items() if arm not in self.calibration})

    def is_share(self, metric: str) -> bool:
        """Whether a number is one of the parts of a whole, which are drawn together."""
        return metric.partition(".")[0] in self.shares

    def control_of(self, arm: str) -> str:
        """The control that an arm stands beside: the one with its model."""
        return self.controls.get(arm, self.control)

    def is_control(self, arm: str) -> bool:
        """Whether an arm is a control."""
        return arm == self.control or arm in self.controls.values()

    def direction(self, metric: str) -> str | None:
        """Which way a number is good: higher, lower or None."""
        return self.better.get(metric, self.better.get(metric.partition(".")[0]))

    def label(self, metric: str) -> str:
        """The metric's name in words, with a capital."""
        name, _, part = metric.partition(".")
        words = self.labels.get(metric) or self.labels.get(name, name).replace("_", " ")
        words += f": {part.replace('_', ' ').replace('.', ', ')}" if part and metric not in self.labels else ""
        return words[:1].upper() + words[1:]


@dataclass(frozen=True)
class Verdict:
    """The answer of one test for one arm.

    status: inconclusive, not testable, or what was found: ``falls`` or ``no fall seen`` (``rises`` or ``no rise seen``
    where lower is better) for the slopes of the primary endpoint, ``collapse`` or ``no collapse`` for the definitions
    of the literature. sentence: the same in plain words. numbers: what it rests on.
    """

    name: str
    arm: str
    status: str
    sentence: str
    numbers: Mapping[str, float | int | None] = field(default_factory=dict)


# -- records -----------------------------------------------------------------------------------------------------------


class Indexed(Sequence[Record]):
    """Records that are passed over once: the same sequence, with what its readers ask for at hand.

    A study of a thousand seeds has hundreds of thousands of records, and dozens of questions are put to each arm.
    measured: the (metric, extractor, set) that have an entry, in the order of seeds and generations; determined: those
    of them with a value, and the arms that have one. seeds: arm -> seeds.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = tuple(records)
        self._lineages: dict[tuple[str, Endpoint], dict[int, dict[int, float]]] = {}
        self._at_risk: dict[str, dict[int, int]] = {}
        self._diverged: dict[str, dict[int, int]] = {}
        self.measured: dict[tuple[str, str, str], None] = {}
        self.determined: dict[tuple[str, str, str], set[str]] = {}
        self.seeds: dict[str, dict[int, None]] = {}
        keys: dict[tuple[str, str, str, str], dict[int, dict[int, float]]] = {}
        for record in sorted(self._records, key=lambda record: (record["seed"], record["generation"])):
            arm, seed, generation = record["arm"], record["seed"], record["generation"]
            self.seeds.setdefault(arm, {})[seed] = None
            counts = self._at_risk.setdefault(arm, {})
            counts[generation] = counts.get(generation, 0) + (record["status"] == "ok")
            if record["status"] == "diverged":
                first = (record.get("diverged") or {}).get("generation", generation)
                gone = self._diverged.setdefault(arm, {})
                gone[seed] = min(first, gone.get(seed, first))
            for entry in record["values"]:
                key = entry["metric"], entry["extractor"], entry["set"]
                number = entry["value"]
                self.measured[key] = None
                if number is not None:
                    self.determined.setdefault(key, set()).add(arm)
                keys.setdefault((arm, *key), {}).setdefault(seed, {})[generation] = (
                    np.nan if number is None else float(number)
                )
        self._numbers = {(arm, Endpoint(*key)): found for (arm, *key), found in keys.items()}

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        return self._records[index]

    def has(self, arm: str, endpoint: Endpoint) -> bool:
        """Whether an arm's samples of just this set were measured."""
        return (arm, endpoint) in self._numbers

    def numbers(self, arm: str, endpoint: Endpoint) -> Mapping[int, Mapping[int, float]]:
        """The values of just this set: seed -> generation -> value, NaN where it is not determined."""
        return self._numbers.get((arm, endpoint), {})

    def lineages(self, arm: str, endpoint: Endpoint) -> dict[int, dict[int, float]]:
        """What :func:`lineages` says."""
        if (arm, endpoint) not in self._lineages:
            own = self.numbers(arm, endpoint)
            plain = self.numbers(arm, replace(endpoint, set="sampled"))
            found = {}
            for seed in self.seeds.get(arm, ()):
                both = {**plain.get(seed, {}), **own.get(seed, {})}
                found[seed] = {t: both[t] for t in sorted(both) if np.isfinite(both[t])}
            self._lineages[arm, endpoint] = found
        return self._lineages[arm, endpoint]

    def diverged(self, arm: str) -> dict[int, int]:
        """What :func:`diverged` says."""
        return self._diverged.get(arm, {})

    def at_risk(self, arm: str) -> dict[int, int]:
        """What :func:`at_risk` says."""
        return dict(sorted(self._at_risk.get(arm, {}).items()))


def indexed(records: Iterable[Record]) -> Indexed:
    """The records, passed over once; nothing is done to those that have been."""
    return records if isinstance(records, Indexed) else Indexed(records)


def lineages(records: Iterable[Record], arm: str, endpoint: Endpoint) -> dict[int, dict[int, float]]:
    """The finite values of an arm: seed -> generation -> value, both in ascending order.

    An arm without sampling bias and selection has only ``sampled``, which equals its raw and its kept samples.
    """
    return indexed(records).lineages(arm, endpoint)


def diverged(records: Iterable[Record], arm: str) -> dict[int, int]:
    """The lineages of an arm that diverged: seed -> generation at which they did."""
    return indexed(records).diverged(arm)


def at_risk(records: Iterable[Record], arm: str) -> dict[int, int]:
    """The number of an arm's lineages that are there and have not diverged: generation -> count."""
    return indexed(records).at_risk(arm)


# -- tests over lineages -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A mean over lineages, and on which side of a boundary it surely lies.

    low, high: the 95 % interval of this arm alone. p: two-sided, Holm-corrected over ``arms`` arms.
    """

    mean: float
    low: float
    high: float
    p: float
    lineages: int
    arms: int
    boundary: float

    @property
    def side(self) -> int:
        """1 above the boundary, -1 below, 0 undecided."""
        return 0 if self.lineages < FEWEST or self.p > 1 - LEVEL else int(np.sign(self.mean - self.boundary))

    def status(self, worse: int = 1) -> str:
        """The verdict, where ``worse`` is the side on which collapse lies."""
        return {1: "collapse", -1: "no collapse", 0: "inconclusive"}[self.side * worse]

    def numbers(self) -> dict[str, float | int]:
        """The finite ones of mean, low, high and p, and the number of lineages."""
        named = {"mean": self.mean, "low": self.low, "high": self.high, "p_holm": self.p}
        return {key: float(number) for key, number in named.items() if np.isfinite(number)} | {
            "lineages": self.lineages
        }

    def interval(self, write: Callable[[float], float] = float, unit: str = "", noun: str = "lineages") -> str:
        """``95 % interval 0.071 to 0.093, 3 lineages``, with ends transformed by ``write``."""
        low, high = sorted((float(write(self.low)), float(write(self.high))))
        digits = digits_apart(low, high)
        return f"95 % interval {spell(low, high, digits)} to {spell(high, low, digits)}{unit}, {self.lineages} {noun}"

    def change(self, what: str, unit: str, write: Callable[[float], float] = float, noun: str = "lineages") -> str:
        """``Recall falls by 0.082 a generation (95 % interval ...)``, or ``changes by`` when unsure."""
        mean = float(write(self.mean))
        if self.lineages < FEWEST:
            return f"{what} {'rises' if mean > 0 else 'falls'} by {spell(abs(mean))}{unit}"
        if self.side and write(self.low) * write(self.high) > 0:
            ends = self.interval(lambda end: abs(write(end)), noun=noun)
            return f"{what} {'rises' if mean > 0 else 'falls'} by {spell(abs(mean))}{unit} ({ends})"
        return f"{what} changes by {spell(mean)}{unit} ({self.interval(write, noun=noun)})"

    def conclusion(self, above: str, below: str, noun: str = "lineages") -> str:
        """The words for the side, or the reason why there is none."""
        if self.lineages < FEWEST:
            return f"inconclusive, since an interval needs at least {FEWEST} {noun} and there are {self.lineages}"
        if self.side:
            return above if self.side > 0 else below
        if (self.low - self.boundary) * (self.high - self.boundary) > 0:
            return f"inconclusive after Holm's correction over {self.arms} arms (p = {spell(self.p)})"
        return "inconclusive"


def t_interval(sample: np.ndarray, boundary: float = 0.0) -> tuple[float, float, float]:
    """The 95 % interval of a mean and the two-sided p-value against the boundary: (low, high, p).

    mean +- t(n - 1) * s / sqrt(n) with the n - 1 standard deviation s; infinite and p = 1 for fewer than 2 numbers.
    """
    from scipy import stats

    sample = np.asarray(sample, np.float64)
    n = len(sample)
    if n < 2:
        return -np.inf, np.inf, 1.0
    mean, error = sample.mean(), sample.std(ddof=1) / np.sqrt(n)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    # Equal lineages leave no error to divide by: they differ from the boundary surely or not at all.
    rounding = ROUNDING * max(np.abs(sample).max(), abs(boundary))
    p = (
        2 * stats.t.sf(abs(mean - boundary) / error, n - 1)
        if error > rounding
        else float(abs(mean - boundary) <= rounding)
    )
    return float(mean - half), float(mean + half), float(p)


def estimate(samples: Mapping[str, np.ndarray], boundary: float = 0.0) -> dict[str, Estimate]:
    """One estimate per arm from one number per lineage; Holm's correction over the arms with enough of them."""
    samples = {arm: (array := np.asarray(sample, np.float64))[np.isfinite(array)] for arm, sample in samples.items()}
    intervals = {arm: t_interval(sample, boundary) for arm, sample in samples.items()}
    adjusted = holm({arm: p for arm, (_, _, p) in intervals.items() if len(samples[arm]) >= FEWEST})
    return {
        arm: Estimate(
            mean=float(np.mean(sample)) if len(sample) else np.nan,
            low=intervals[arm][0],
            high=intervals[arm][1],
            p=adjusted.get(arm, 1.0),
            lineages=len(sample),
            arms=len(adjusted),
            boundary=boundary,
        )
        for arm, sample in samples.items()
    }


def slope(lineage: Mapping[int, float]) -> float:
    """The least-squares slope of values over generations; NaN for fewer than two points."""
    if len(lineage) < 2:
        return np.nan
    time, values = np.array(list(lineage), np.float64), np.array(list(lineage.values()))
    time -= time.mean()
    found = time @ (values - values.mean()) / (time @ time)
    # What rounding makes of equal values is no slope.
    return float(found) if abs(found) > ROUNDING * np.abs(values).max() else 0.0


def first_and_last(found: Mapping[int, Mapping[int, float]]) -> tuple[int, int, np.ndarray, np.ndarray]:
    """An arm's values at two generations, the first and the last that its lineages share: (first, last, two arrays).

    Lineages with a single generation are left out, so that one failure at the start does not silence the others.
    """
    long = [lineage for lineage in found.values() if len(lineage) >= 2]
    shared = sorted(set.intersection(*map(set, long))) if long else []
    if len(shared) < 2:
        return 0, 0, np.empty(0), np.empty(0)
    first, last = shared[0], shared[-1]
    return first, last, np.array([entry[first] for entry in long]), np.array([entry[last] for entry in long])


def spell(number: float, beside: float = 0.0, digits: int = 3) -> str:
    """A number for a sentence: three digits, counted from the larger of it and the one that it stands beside."""
    number = 0.0 if abs(number) < ROUNDING else number
    size = max(abs(number), abs(beside))
    if not np.isfinite(size) or number == 0:
        return f"{number:.3g}".replace("-", "−")
    if size < 1e-4:
        return f"{number:.{digits - 1}e}".replace("-", "−")

    def decimals_of(size: float) -> int:
        return int(np.clip(digits - 1 - np.floor(np.log10(size)), 0, digits + 3))

    decimals = decimals_of(round(size, decimals_of(size)))  # what is rounded up to 100 has three digits already
    return f"{round(number, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # and no sign before zeros


def digits_apart(low: float, high: float) -> int:
    """The digits, three to eight, with which two numbers that differ do not read the same."""
    return next((n for n in range(3, 8) if low == high or spell(low, high, n) != spell(high, low, n)), 8)


def _and_diverged(records: Sequence[Record], facts: StudyFacts, arm: str) -> str:
    gone = diverged(records, arm)
    if not gone:
        return ""
    when = ", ".join(f"seed {seed} at generation {generation}" for seed, generation in list(gone.items())[:NAMED])
    when += f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
    return f" Training diverged in {len(gone)} of {facts.seeds} lineages ({when}), which count up to there."


# -- the primary endpoint ----------------------------------------------------------------------------------------------


def _worse(facts: StudyFacts) -> int:
    return 1 if facts.direction(facts.primary.metric) == "lower" else -1


def _slope_status(found: Estimate, worse: int) -> str:
    """What the slope does, and no more: whether that is collapse depends on who defines it."""
    seen, unseen = ("rises", "no rise seen") if worse > 0 else ("falls", "no fall seen")
    return {1: seen, -1: unseen, 0: "inconclusive"}[found.side * worse]


def _course(found: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """The mean over the lineages of at least two points, at the generations that all of these have."""
    long = [lineage for lineage in found.values() if len(lineage) >= 2]
    shared = sorted(set.intersection(*map(set, long))) if long else []
    return {t: float(np.mean([lineage[t] for lineage in long])) for t in shared}


def _shape(course: Mapping[int, float]) -> dict[str, float]:
    """How much of a course of at least three generations comes first, and its pace in the second half."""
    times = list(course)
    if len(times) < 4 or times[1] != times[0] + 1:
        return {}
    middle = times[len(times) // 2]
    pace = (course[times[-1]] - course[middle]) / (times[-1] - middle)
    return {"first_step": course[times[1]] - course[times[0]], "second_half_slope": pace}


def _told(found: Estimate, metric: str, course: Mapping[int, float]) -> str:
    """``Recall falls from 0.83 to 0.65 over 4 generations, 0.041 a generation (95 % interval ...); ...``."""
    times = list(course)
    if len(times) < 2:
        return found.change(metric, " a generation") if found.lineages else metric
    start, end, count = course[times[0]], course[times[-1]], times[-1] - times[0]
    span = f"from {spell(start, end)} to {spell(end, start)} over {count} generation{'s' * (count > 1)}"
    interval = f" ({found.interval()})" if found.lineages >= FEWEST else ""
    if not found.side or np.sign(end - start) != found.side:
        return f"{metric} goes {span}, a slope of {spell(found.mean)} a generation{interval}"
    told = f"{metric} {'rises' if found.side > 0 else 'falls'} {span}, {spell(abs(found.mean))} a generation"
    told += f" ({found.interval(abs)})"
    if shape := _shape(course):
        first, pace = (number * found.side for number in shape.values())
        back = "fall" if found.side > 0 else "rise"
        size = {key: spell(abs(number), end - start) for key, number in shape.items()}
        told += (
            f"; {size['first_step']} of it in the first generation"
            if first >= 0
            else (f"; after a {back} by {size['first_step']} in the first generation")
        )
        told += (
            f", {size['second_half_slope']} a generation in the second half"
            if pace >= 0
            else (f", and a {back} by {size['second_half_slope']} a generation in the second half")
        )
    return told


def primary_slope(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Whether the primary metric gets worse, and by how much a generation: the least-squares slope of each lineage.

    The sentence gives the shape too: a straight fall and one that levels off can have the same slope.
    """
    worse, metric = _worse(facts), facts.label(facts.primary.metric)
    found_lineages = {arm: lineages(records, arm, facts.primary) for arm in facts.arms}
    slopes = {arm: [slope(lineage) for lineage in found.values()] for arm, found in found_lineages.items()}
    verdicts = {}
    for arm, found in estimate(slopes).items():
        course = _course(found_lineages[arm])
        sentence = _told(found, metric, course)
        if not found.side:
            sentence += f": {found.conclusion('', '')}"
        if found.lineages >= FEWEST and not found.side:
            # What an inconclusive arm still says: how bad it can be at most.
            bound, verb = (found.low, "fall") if worse < 0 else (found.high, "rise")
            sentence += f"; {'a' if bound * worse > 0 else 'any'} {verb}"
            sentence += (
                f" by more than {spell(abs(bound))} a generation is ruled out" if bound * worse > 0 else " is ruled out"
            )
        sentence += f".{_and_diverged(records, facts, arm)}"
        numbers = found.numbers()
        if len(course) >= 2:
            numbers |= {"first": course[min(course)], "last": course[max(course)]} | _shape(course)
        verdicts[arm] = Verdict("primary_slope", arm, _slope_status(found, worse), sentence, numbers)
    return verdicts


def slope_against_control(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Whether the primary metric gets worse faster than in the control: slope differences, paired by seed.

    Arm and control of one seed share their random numbers, so that what both suffer drops out of the difference; each
    pair is compared over the generations that both have.
    """
    name, worse, metric = "slope_against_control", _worse(facts), facts.label(facts.primary.metric)
    if facts.control is None:
        return _not_testable(name, facts.arms, "the study has no control")
    differences = {}
    for arm in facts.arms:
        if not facts.is_control(arm):
            control = lineages(records, facts.control_of(arm), facts.primary)
            pairs = [(own, control.get(seed, {})) for seed, own in lineages(records, arm, facts.primary).items()]
            differences[arm] = [slope({t: own[t] - other[t] for t in own if t in other}) for own, other in pairs]
    verdicts = _not_testable(name, [arm for arm in facts.arms if facts.is_control(arm)], "this is a control")
    for arm, found in estimate(differences).items():
        control_name = facts.control_of(arm)
        unit = f" a generation relative to {control_name}"
        change = found.change(metric, unit, noun="pairs") if found.lineages else f"{metric} relative to {control_name}"
        conclusion = "" if found.side else f": {found.conclusion('', '', noun='pairs')}"
        verdicts[arm] = Verdict(name, arm, _slope_status(found, worse), f"{change}{conclusion}.", found.numbers())
    return {arm: verdicts[arm] for arm in facts.arms}


# -- the definitions of the literature ---------------------------------------------------------------------------------


def _not_testable(name: str, arms: Iterable[str], reason: str) -> dict[str, Verdict]:
    return {arm: Verdict(name, arm, "not testable", f"Not testable: {reason}.") for arm in arms}


def _stand_in(facts: StudyFacts, records: Sequence[Record], what: str) -> Endpoint | None:
    """What stands for risk, variance, modes, tails or reality: in the primary's feature space if measured there."""
    measured = {(metric.split(".")[0], extractor) for metric, extractor, _ in indexed(records).measured}
    for metric in STANDS_FOR[what]:
        extractors = sorted(extractor for name, extractor in measured if name == metric)
        if extractors:
            chosen = facts.primary.extractor if facts.primary.extractor in extractors else extractors[0]
            return Endpoint(metric, chosen, facts.primary.set)
    return None


def _growth(
    name: str, facts: StudyFacts, records: Sequence[Record], factor: float, above: str, below: str
) -> dict[str, Verdict]:
    endpoint = _stand_in(facts, records, "risk")
    if endpoint is None:
        return _not_testable(name, facts.arms, "no Fréchet distance was measured, which would stand for the risk")
    samples, spans = {}, {}
    for arm in facts.arms:
        first, last, start, end = first_and_last(lineages(records, arm, endpoint))
        positive = (start > 0) & (end > 0)
        samples[arm] = np.log(end[positive] / start[positive])
        spans[arm] = first, last
    verdicts, metric = {}, facts.label(endpoint.metric)
    for arm, found in estimate(samples, np.log(factor)).items():
        change = metric
        if found.lineages:
            interval = f" ({found.interval(np.exp)})" if found.lineages >= FEWEST else ""
            first, last = spans[arm]
            times = f"{spell(np.exp(found.mean))} times that of generation {first}"
            change = f"{metric} of generation {last} is {times}{interval}"
        sentence = f"{change}: {found.conclusion(above, below)}.{_and_diverged(records, facts, arm)}"
        verdicts[arm] = Verdict(name, arm, found.status(), sentence, found.numbers())
    return verdicts


def catastrophic_risk(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 1, a catastrophic rise of risk: it grows more than tenfold from the first generation to the last."""
    above, below = f"more than {CATASTROPHE:.0f}-fold: collapse", f"less than {CATASTROPHE:.0f}-fold: no collapse"
    return _growth("catastrophic_risk", facts, records, CATASTROPHE, above, below)


def any_rise_of_risk(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 2, any rise of risk: the risk of the last generation is larger than that of the first."""
    return _growth("any_rise_of_risk", facts, records, 1.0, "collapse", "no collapse")


def diverging_risk(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 3, risk that grows without bound: it still rises at the end, and the rise is not seen to slow.

    A least-squares parabola through each lineage of at least four generations gives its slope at the last one and its
    curvature. A finite study cannot prove a limit: what rises but slows is called inconclusive.
    """
    name, endpoint = "diverging_risk", _stand_in(facts, records, "risk")
    if endpoint is None:
        return _not_testable(name, facts.arms, "no Fréchet distance was measured, which would stand for the risk")
    if facts.generations < 3:
        return _not_testable(name, facts.arms, "a change of pace shows from four generations on")
    slopes, curvatures = {}, {}
    for arm in facts.arms:
        long = [lineage for lineage in lineages(records, arm, endpoint).values() if len(lineage) >= 4]
        fits = [np.polynomial.Polynomial.fit(list(lineage), list(lineage.values()), 2) for lineage in long]
        slopes[arm] = [fit.deriv()(fit.domain[1]) for fit in fits]
        curvatures[arm] = [fit.deriv(2)(fit.domain[1]) for fit in fits]
    verdicts, bends, metric = {}, estimate(curvatures), facts.label(endpoint.metric)
    for arm, found in estimate(slopes).items():
        slows = found.side > 0 and bends[arm].side < 0
        status = "inconclusive" if slows else found.status()
        rises = (
            "but slows: inconclusive"
            if slows
            else "and is not seen to slow: collapse, as far as a finite study can tell"
        )
        change = f"At the end, {found.change(metric, ' a generation')}" if found.lineages else metric
        joint = " " if found.side > 0 else ": "
        conclusion = found.conclusion(rises, "no collapse")
        sentence = f"{change}{joint}{conclusion}.{_and_diverged(records, facts, arm)}"
        numbers = found.numbers() | ({"curvature": bends[arm].mean} if found.lineages else {})
        verdicts[arm] = Verdict(name, arm, status, sentence, numbers)
    return verdicts


def collapsing_variance(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 4, variance that goes to zero: the slope of its logarithm is negative."""
    name, endpoint = "collapsing_variance", _stand_in(facts, records, "variance")
    if endpoint is None:
        return _not_testable(name, facts.arms, "no variance and no class entropy was measured")
    if facts.classes_given and endpoint.metric == "class_entropy":
        return _not_testable(name, facts.arms, CLASSES_GIVEN)
    rates = {}
    for arm in facts.arms:
        found = lineages(records, arm, endpoint).values()
        rates[arm] = [slope({t: np.log(v) for t, v in lineage.items() if v > 0}) for lineage in found]
    verdicts, metric = {}, facts.label(endpoint.metric)
    for arm, found in estimate(rates).items():
        unit = " % a generation"
        change = found.change(metric, unit, lambda rate: 100 * np.expm1(rate)) if found.lineages else metric
        conclusion = found.conclusion("no collapse", "collapse")
        sentence = f"{change}: {conclusion}.{_and_diverged(records, facts, arm)}"
        verdicts[arm] = Verdict(name, arm, found.status(-1), sentence, found.numbers())
    return verdicts


def scaling_law(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 5, a change in the scaling law: how risk falls with more data, which one study does not vary."""
    reason = "a scaling law needs the same arm at several training-set sizes, and here all arms have one size"
    return _not_testable("scaling_law", facts.arms, reason)


def lost_modes(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 6, modes of the real data disappear: classes whose share falls below a tenth of the real one.

    The real share is that of the reference, or else that of the lineage's own first generation. A class is there or
    gone, so lineages are counted, not averaged: collapse when each of them has lost one.
    """
    name, endpoint = "lost_modes", _stand_in(facts, records, "modes")
    if facts.classes_given:
        return _not_testable(name, facts.arms, CLASSES_GIVEN)
    if endpoint is None:
        return _not_testable(name, facts.arms, "no class histogram was measured")
    metrics = {metric for metric, _, _ in indexed(records).measured}
    classes = sorted((metric for metric in metrics if metric.startswith(f"{endpoint.metric}.")), key=natural)
    real = facts.reference.get(endpoint.extractor, {})
    verdicts = {}
    for arm in facts.arms:
        lost: dict[int, list[str]] = {}
        for metric in classes:
            found = lineages(records, arm, Endpoint(metric, endpoint.extractor, endpoint.set))
            for seed, lineage in found.items():
                if len(shares := list(lineage.values())) >= 2:
                    gone = shares[-1] < LOST * real.get(metric, shares[0])
                    lost.setdefault(seed, []).extend([metric.split(".", 1)[1]] if gone else ())
        losers = sum(map(bool, lost.values()))
        status = "no collapse" if not losers else "collapse" if losers == len(lost) else "inconclusive"
        conclusion = status
        if len(lost) < FEWEST:
            status = "inconclusive"
            conclusion = f"inconclusive, since a verdict needs at least {FEWEST} lineages and there are {len(lost)}"
        names = ", ".join(sorted({name for gone in lost.values() for name in gone}, key=natural))
        found = f"Classes are lost in {losers} of {len(lost)} lineages ({names})" if losers else "No class is lost"
        sentence = f"{found}: {conclusion}.{_and_diverged(records, facts, arm)}"
        verdicts[arm] = Verdict(name, arm, status, sentence, {"lineages": len(lost), "lineages_with_loss": losers})
    return verdicts


def natural(name: str) -> tuple[str, int]:
    """A sort key by which class 10 comes after class 9."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or -1)


def _loss(name: str, what: str, facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    endpoint = _stand_in(facts, records, what)
    if endpoint is None:
        return _not_testable(name, facts.arms, f"no {STANDS_FOR[what][0]} was measured")
    changes, spans = {}, {}
    for arm in facts.arms:
        first, last, start, end = first_and_last(lineages(records, arm, endpoint))
        changes[arm], spans[arm] = end - start, f" from generation {first} to {last}"
    verdicts, metric = {}, facts.label(endpoint.metric)
    for arm, found in estimate(changes).items():
        change = found.change(metric, spans[arm]) if found.lineages else metric
        conclusion = found.conclusion("no collapse", "collapse")
        sentence = f"{change}: {conclusion}.{_and_diverged(records, facts, arm)}"
        verdicts[arm] = Verdict(name, arm, found.status(-1), sentence, found.numbers())
    return verdicts


def lost_tails(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 7, the tails of the real data disappear: recall at the last generation is below that at the first."""
    return _loss("lost_tails", "tails", facts, records)


def hallucination(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Verdict]:
    """Definition 8, data appear that are not in the real distribution: precision falls from first to last."""
    return _loss("hallucination", "reality", facts, records)


def judge(facts: StudyFacts, records: Sequence[Record]) -> dict[str, dict[str, Verdict]]:
    """Every verdict on every arm: name -> arm -> verdict."""
    records = indexed(records)
    return {name: verdict(facts, records) for name, verdict in VERDICTS.items()}


VERDICTS: dict[str, Callable[[StudyFacts, Sequence[Record]], dict[str, Verdict]]] = {
    "primary_slope": primary_slope,
    "slope_against_control": slope_against_control,
    "catastrophic_risk": catastrophic_risk,
    "any_rise_of_risk": any_rise_of_risk,
    "diverging_risk": diverging_risk,
    "collapsing_variance": collapsing_variance,
    "scaling_law": scaling_law,
    "lost_modes": lost_modes,
    "lost_tails": lost_tails,
    "hallucination": hallucination,
}
