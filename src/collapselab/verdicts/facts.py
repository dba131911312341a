"""What a test must know of a study."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ..adapt.base import Step
from ..compose.supply import Used
from ..core.seeds import Levels
from ..core.spent import Spent

if TYPE_CHECKING:  # who reads verdicts needs no theory
    from ..theory.setting import Prediction


@dataclass(frozen=True)
class Endpoint:
    """One measured quantity: a metric, the feature space it is taken in, and which samples it is taken of."""

    metric: str
    extractor: str
    set: str = "sampled"  # raw, sampled, released or kept


class Point(NamedTuple):
    """Where an arm stands in a sweep. arm: what it is a copy of. at: axis, as it was typed -> value."""

    arm: str
    at: Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """What a paper claims of an arm, as a number of each lineage that a rule can hold against records (``claims``).

    is_: rises, falls or stays are of the arm itself, since an earlier generation; above, below and near of a number by
    itself, of what it is compared with in another arm (``than``), or at an earlier generation (``since``). value: the
    number, or by how much; None is no difference, or a ratio of 1. within: how far near and stays reach on either side.
    at: the generation; None is the last. by: whether the two are compared by their difference or their ratio.
    """

    arm: str
    endpoint: Endpoint
    is_: Literal["rises", "falls", "stays", "above", "below", "near"]
    value: float | None = None
    within: float = 0.0
    than: str = ""
    since: int | None = None
    at: int | None = None
    by: Literal["difference", "ratio"] = "difference"

    @property
    def compares(self) -> bool:
        """Whether it is about two numbers of a lineage, not about one by itself."""
        return bool(self.than) or self.since is not None or self.is_ in ("rises", "falls", "stays")

    @property
    def earlier(self) -> int:
        """The earlier generation of those that are about the arm itself."""
        return self.since or 0

    @property
    def goal(self) -> float:
        """The number that is claimed, where a fall by so much is below 0."""
        if self.value is None:
            return 1.0 if self.by == "ratio" else 0.0
        return -abs(self.value) if self.is_ == "falls" and self.by == "difference" else self.value


class Selected(NamedTuple):
    """Who selects in an arm. chance: the arm in which chance keeps as many. seen: the real rows by which samples are
    scored; 0 where the study shows none to whoever selects. judges: people, or what stands in for them; 0 for no one.
    reads: the extractors by which samples are scored.
    """

    chance: str
    seen: int = 0
    judges: int = 0
    reads: tuple[str, ...] = ()


class Prevention(NamedTuple):
    """A comparison of measures against collapse. against: the arm without one. yardstick: an arm that takes no part.
    spent: arm -> what one lineage of it spends. measures: arm -> what it does, of the arms that are compared.
    simulated: the arms whose judges are no people.
    """

    against: str
    yardstick: str | None
    fidelity: Endpoint
    diversity: Endpoint
    spent: Mapping[str, Spent]
    measures: Mapping[str, tuple[str, ...]]
    simulated: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyFacts:
    """What a reader of a study's records must know about the study.

    control: the first control, or None; controls: arm -> its control, where there are several. supplies: arm -> the
    control with the arm's real rows alone, where it stands beside another. converged: arm -> the arm beside it with
    enough steps of its sampler. matched: what the controls have in common
    with their arms, in words. used: arm -> the distinct real rows and the
    generated samples that its training sets have had by the last generation; shown: arm -> in words, how many further
    real rows its selector, transform or adapter was shown. shared: what all seeds have in common, so
    that no interval over seeds counts it. design: the lineages in which split, training and sampling are crossed;
    crossed: their records, which belong to no other analysis.
    arms: arm -> one line that describes it, in the order of the study. generations: T, where generations are 0 .. T.
    labels, better: metric -> its name in words, and which way is good: higher, lower or None. reference: extractor ->
    metric -> the value of real data against real data. waivers: rules of a fair comparison that the study waives,
    each with its reason. models: model -> description. classes_given: the arms whose model is told the class of
    every sample.
    shares: the metrics whose named numbers are parts of a whole. rows: arm -> real and synthetic rows that a model of a
    late generation is trained on. calibration: arm -> its number of real rows, for arms that are no loop: they have
    generation 0 alone, and say how the metrics depend on the number of real rows. learning_curve: number of real rows
    -> the primary's expected value of a model fitted to them, where theory gives it. predictions: arm -> what the
    closed forms say of it. selected: arm -> who selects in it, where it stands beside an arm in which chance does.
    stops: the rules by which lineages are stopped, in words. stopped: arm -> seed -> the decision by which one was: the
    ``generation`` after which none is trained, and ``when``, the rule's kind; of one that ended with another arm's also
    ``with``, that arm, and ``which``, what it is to this one. adapted: arm -> what its adapter has
    chosen on validation rows, in words. without: the arm that was trained without what others are to forget; empty
    where there is none. prevention: what compares the arms as measures against collapse, or None. adaptations: (arm,
    seed, generation) -> its adapters, with what they have found. claims: what the paper claims that the study is made
    after.
    """

    name: str
    arms: Mapping[str, str]
    primary: Endpoint
    seeds: int
    generations: int
    control: str | None = None
    controls: Mapping[str, str] = field(default_factory=dict)
    supplies: Mapping[str, str] = field(default_factory=dict)
    converged: Mapping[str, str] = field(default_factory=dict)
    matched: Sequence[str] = ()
    used: Mapping[str, Used] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    shared: Sequence[str] = ()
    design: Sequence[Levels] = ()
    crossed: Sequence[tuple[Levels, Mapping[str, Any]]] = ()
    question: str = ""
    data: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    waivers: Sequence[str] = ()
    reference: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    better: Mapping[str, str | None] = field(default_factory=dict)
    classes_given: Collection[str] = ()
    shares: Sequence[str] = ()
    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    calibration: Mapping[str, int] = field(default_factory=dict)
    learning_curve: Callable[[float], float | None] | None = None
    selected: Mapping[str, Selected] = field(default_factory=dict)
    predictions: Mapping[str, Sequence["Prediction"]] = field(default_factory=dict)
    stops: Sequence[str] = ()
    stopped: Mapping[str, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)
    adapted: Mapping[str, str] = field(default_factory=dict)
    without: str = ""
    remedies: Mapping[str, str] = field(default_factory=dict)
    contradicted: Mapping[str, str] = field(default_factory=dict)
    unit: str = "rows"
    prevention: Prevention | None = None
    adaptations: Mapping[tuple[str, int, int], Sequence[Step]] = field(default_factory=dict)
    points: Mapping[str, Point] = field(default_factory=dict)
    claims: Sequence[Claim] = ()

    @property
    def loops(self) -> Self:
        """The same without the calibration arms, which have no generations to draw or to judge."""
        return replace(self, arms={arm: words for arm, words in self.arms.items() if arm not in self.calibration})

    @property
    def given(self) -> str:
        """What the intervals of the study are conditional on, in a sentence; empty where its seeds share nothing."""
        if not self.shared:
            return ""
        listed = " and ".join([", ".join(self.shared[:-1]), self.shared[-1]] if len(self.shared) > 1 else self.shared)
        return f"Intervals are over seeds, given {listed}, which all seeds share."

    def horizon(self, *arms: str) -> int:
        """The last generation that all lineages of arms have, as far as none was stopped before."""
        gone = [one["generation"] for arm in arms for one in self.stopped.get(arm, {}).values()]
        return min(gone, default=self.generations)

    def is_share(self, metric: str) -> bool:
        """Whether a number is one of the parts of a whole, which are drawn together."""
        return metric.partition(".")[0] in self.shares

    def control_of(self, arm: str) -> str:
        """The control that an arm stands beside: the one with its model and its sizes."""
        return self.controls.get(arm, self.control)

    def is_chance(self, arm: str) -> bool:
        """Whether chance keeps in an arm as many samples as somebody selects in another, which is compared with it."""
        return any(one.chance == arm for one in self.selected.values())

    def is_control(self, arm: str) -> bool:
        """Whether an arm is a control."""
        return arm == self.control or arm in self.controls.values() or arm in self.supplies.values()

    def direction(self, metric: str) -> str | None:
        """Which way a number is good: higher, lower or None."""
        return self.better.get(metric, self.better.get(metric.partition(".")[0]))

    def label(self, metric: str) -> str:
        """The metric's name in words, with a capital."""
        name, _, part = metric.partition(".")
        words = self.labels.get(metric) or self.labels.get(name, name).replace("_", " ")
        words += f": {part.replace('_', ' ').replace('.', ', ')}" if part and metric not in self.labels else ""
        return words[:1].upper() + words[1:]
