"""How far judges agree, with others, with themselves and with what is known of an image.

Who judges what may have gaps, since nobody judges ten thousand images: an answer that is not there is NaN. Kappas fall
to 0 where nearly all answers are one, however well judges agree (the paradox of Feinstein and Cicchetti 1990): the
share of each answer belongs beside every one of them, and AC1 (Gwet 2008) hardly depends on it.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from ..core.errors import Undefined
from ..core.seeds import generator
from ..core.sets import Ballots
from ..metrics.estimates import CONFIDENCE, Estimate, share_of

Scale = Literal["nominal", "ordinal", "interval", "ratio"]
RESAMPLES = 1000
ALL_ONE = "answers: all are one, and chance alone would agree as well"


class Votes(NamedTuple):
    """First answers as a table. judges: J names. rows: (N,) int64, the samples. codes: (J, N) float64, the place of the
    answer among ``answers``, NaN where a judge has not judged.
    """

    judges: tuple[str, ...]
    rows: np.ndarray
    codes: np.ndarray
    answers: tuple[str, ...]


def votes_of(ballots: Ballots, answers: tuple[str, ...]) -> Votes:
    """What each judge said of each sample at first: a later answer to the same one is a repeat, and no vote.

    Raises ValueError for an answer that is not among those that are allowed.
    """
    _expect_answers(ballots, answers)
    judges, rows = tuple(sorted(set(ballots.judges))), np.unique(np.asarray(ballots.rows, np.int64))
    place = {judge: index for index, judge in enumerate(judges)}
    codes = np.full((len(judges), len(rows)), np.nan)
    first = ballots.votes
    who = np.array([place[ballots.judges[index]] for index in first], np.int64)
    said = np.array([answers.index(ballots.answers[index]) for index in first], np.float64)
    codes[who, np.searchsorted(rows, np.asarray(ballots.rows)[first])] = said
    return Votes(judges, rows, codes, answers)


def _expect_answers(ballots: Ballots, answers: tuple[str, ...]) -> None:
    if unknown := sorted(set(ballots.answers) - set(answers)):
        raise ValueError(f"answers: found {', '.join(map(repr, unknown))}; allowed are {', '.join(answers)}")


# -- coefficients of answers (J, N): numbers, with NaN where a judge has not judged ------------------------------------


class _Counted(NamedTuple):
    """What coefficients are made of, of the N samples that at least two judges have judged.

    values: (K,) the answers that occur. counts: (N, K), how many judges gave which. own: (N, K), what of ``counts``
    squared comes from a judge and itself, who are no pair, even where a bootstrap has drawn one twice. shares: (K,), of
    each answer, a mean over samples, those that one alone has judged among them. even: whether all samples were judged
    by equally many.
    """

    values: np.ndarray
    counts: np.ndarray
    own: np.ndarray
    shares: np.ndarray
    even: bool

    @property
    def raters(self) -> np.ndarray:
        return self.counts.sum(axis=1)

    @property
    def couples(self) -> np.ndarray:
        """Ordered pairs of two judges of each sample: (N,)."""
        return self.raters**2 - self.own.sum(axis=1)

    @property
    def alike(self) -> float:
        """The share of pairs who gave one answer, a mean over samples."""
        return float(((self.counts**2 - self.own).sum(axis=1) / self.couples).mean())


class _Given:
    """Answers, laid out once so that judges can be counted by many weights."""

    def __init__(self, answers: np.ndarray):
        answers = np.asarray(answers, np.float64)
        answers = answers[:, np.isfinite(answers).any(axis=0)]
        self.values = np.unique(answers[np.isfinite(answers)])
        judged = np.isfinite(answers).sum(axis=0)
        self.even = bool(len(judged)) and judged.min() == judged.max()
        self.given = (answers[None] == self.values[:, None, None]).astype(np.float64)
        self.pairs = cohen_pairs(answers)

    def counted(self, weights: np.ndarray | None = None) -> _Counted:
        """How often each answer was given. weights: (J,), how often each judge counts, once each if not said."""
        weights = np.ones(self.given.shape[1]) if weights is None else weights
        counts, own = (np.einsum("j,kjn->nk", one, self.given, optimize=True) for one in (weights, weights**2))
        raters = counts.sum(axis=1)
        twice = raters**2 > own.sum(axis=1)
        if not twice.any():
            raise Undefined("answers: found no sample that two have judged, needed is at least 1")
        shares = (counts[raters > 0] / raters[raters > 0, None]).mean(axis=0)
        return _Counted(self.values, counts[twice], own[twice], shares, self.even)


def raw_agreement(answers: np.ndarray) -> float:
    """The share of pairs of judges who gave one answer, a mean over the samples that at least two have judged.

    answers: (J, N) numbers, NaN for gaps; so for all that follow. Raises Undefined without a sample that two have
    judged, as do all that follow.
    """
    return _Given(answers).counted().alike


def alpha(answers: np.ndarray, scale: Scale = "nominal") -> float:
    """Krippendorff's alpha (2004, Content Analysis, chapter 11): 1 - D_o / D_e, with gaps.

    D_o is the mean squared difference of two answers to one sample, each sample counted as often as it was judged; D_e
    that of any two answers. The difference of c and k squared is, by scale: 1 unless equal (nominal); the answers
    between them and half of both ends, squared (ordinal); (c - k)^2 (interval); ((c - k) / (c + k))^2 (ratio).
    Raises Undefined where all answers are one.
    """
    return _alpha(_Given(answers).counted(), scale)


def _alpha(found: _Counted, scale: Scale = "nominal") -> float:
    factor = found.raters / found.couples  # 1 / (m - 1) where each judge counts once
    observed = (found.counts * factor[:, None]).T @ found.counts - np.diag(factor @ found.own)
    margins = observed.sum(axis=1)
    apart = _squared_differences(found.values, margins, scale)
    expected = float(margins @ apart @ margins)
    if not expected > 0:
        raise Undefined(ALL_ONE)
    return float(1 - (margins.sum() - 1) * (observed * apart).sum() / expected)


def _squared_differences(values: np.ndarray, margins: np.ndarray, scale: Scale) -> np.ndarray:
    one, other = values[:, None], values[None, :]
    if scale == "nominal":
        return (one != other).astype(np.float64)
    if scale == "interval":
        return (one - other) ** 2
    if scale == "ratio":
        both = one + other
        return np.where(both == 0, 0.0, (one - other) / np.where(both == 0, 1.0, both)) ** 2
    middle = np.cumsum(margins) - margins / 2  # the rank of the middle of each answer's own
    return (middle[:, None] - middle[None, :]) ** 2


def fleiss(answers: np.ndarray) -> float:
    """Fleiss' kappa (1971), of two judges Scott's pi (1955): (P - P_e) / (1 - P_e), P_e the sum of squared shares.

    Raises Undefined unless every sample was judged by equally many, or where all answers are one.
    """
    return _fleiss(_Given(answers).counted())


def _fleiss(found: _Counted) -> float:
    if not found.even:
        raise Undefined("answers: not every sample was judged by equally many, as this kappa asks; alpha does not")
    # Of equally many judges it is never below -1; of a resample, in which they are unevenly many, it would be.
    return max(-1.0, _beyond_chance(found.alike, float((found.shares**2).sum())))


def _beyond_chance(observed: float, by_chance: float) -> float:
    if by_chance >= 1:
        raise Undefined(ALL_ONE)
    return (observed - by_chance) / (1 - by_chance)


def gwet(answers: np.ndarray, allowed: int) -> float:
    """Gwet's AC1 (2008, British Journal of Mathematical and Statistical Psychology 61): the kappa that prevalence
    hardly moves.

    (P - P_e) / (1 - P_e) with P_e = sum over answers of share (1 - share), over ``allowed`` - 1, where ``allowed`` is
    the number of answers that there were to choose from, of which some may never have been given.
    """
    return _gwet(_Given(answers).counted(), allowed)


def _gwet(found: _Counted, allowed: int) -> float:
    if allowed < max(2, len(found.values)):
        raise ValueError(f"allowed: found {allowed}, allowed are {max(2, len(found.values))} answers or more")
    return _beyond_chance(found.alike, float((found.shares * (1 - found.shares)).sum() / (allowed - 1)))


def cohen_pairs(answers: np.ndarray) -> np.ndarray:
    """Cohen's kappa (1960) of every two judges over the samples that both have judged: (J, J), NaN where they share
    none, where both gave one answer alone, and on the diagonal.
    """
    answers = np.asarray(answers, np.float64)
    there = np.isfinite(answers).astype(np.float64)
    shared = there @ there.T
    alike, by_chance = np.zeros_like(shared), np.zeros_like(shared)
    for value in np.unique(answers[np.isfinite(answers)]):
        given = (answers == value).astype(np.float64)
        alike += given @ given.T
        share = given @ there.T  # how often the one gave it where the other has judged, too
        by_chance += share * share.T
    with np.errstate(divide="ignore", invalid="ignore"):
        observed, by_chance = alike / shared, by_chance / shared**2
        found = np.where(by_chance < 1, (observed - by_chance) / (1 - by_chance), np.nan)
    np.fill_diagonal(found, np.nan)
    return found


def cohen(answers: np.ndarray) -> float:
    """The mean of Cohen's kappa over the pairs of judges that have one. Raises Undefined where none has."""
    return _mean_of_pairs(cohen_pairs(answers), None)


def _mean_of_pairs(found: np.ndarray, weights: np.ndarray | None) -> float:
    weights = np.ones(len(found)) if weights is None else weights
    known = np.isfinite(found)
    counts = np.outer(weights, weights) * known
    if not counts.sum() > 0:
        raise Undefined("answers: no two judges have a kappa: they share no sample, or gave one answer alone")
    return float((counts * np.where(known, found, 0.0)).sum() / counts.sum())


# -- over judges -------------------------------------------------------------------------------------------------------

COEFFICIENTS: Mapping[str, Callable[[_Counted, int], float]] = {
    "raw agreement": lambda found, allowed: found.alike,
    "Fleiss' kappa": lambda found, allowed: _fleiss(found),
    "Krippendorff's alpha": lambda found, allowed: _alpha(found),
    "Gwet's AC1": _gwet,
}
COHEN = "Cohen's kappa, mean of pairs"


class Agreement(NamedTuple):
    """How far judges agree. coefficients: by name, each with its interval over judges, or the reason why there is none.
    prevalence: the share of each answer among the votes. judges, samples: how many there are; twice: how many samples
    at least two have judged.
    """

    coefficients: Mapping[str, Estimate | str]
    prevalence: Mapping[str, float]
    judges: int
    samples: int
    twice: int


def agreement(ballots: Ballots, answers: tuple[str, ...], seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """How far the judges of a round agree in their first answers, of those that were allowed.

    Each coefficient has its bootstrap interval over judges (Efron 1979; percentiles). A judge that is drawn twice is
    not compared with itself, which would make judges seem to agree. Resamples in which a coefficient is undefined are
    left out; where it is so in half of them, and of two judges, the ends are -inf and inf.
    """
    votes = votes_of(ballots, answers)
    there = np.isfinite(votes.codes)
    given, count = _Given(votes.codes), len(votes.judges)
    values = _coefficients(given, None, len(answers))
    random = generator(seed)
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(resamples if count > 2 else 0):
        weights = np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64)
        for name, value in _coefficients(given, weights, len(answers)).items():
            if not isinstance(value, str):
                drawn[name].append(value)
    found = {
        name: value if isinstance(value, str) else _between(value, drawn[name], resamples)
        for name, value in values.items()
    }
    prevalence = {
        answer: float((votes.codes == place).sum() / max(there.sum(), 1)) for place, answer in enumerate(answers)
    }
    return Agreement(found, prevalence, count, len(votes.rows), int((there.sum(axis=0) > 1).sum()))


def _coefficients(given: _Given, weights: np.ndarray | None, allowed: int) -> dict[str, float | str]:
    """Every coefficient, or the reason why it is undefined."""
    found: dict[str, float | str] = {}
    try:
        counted = given.counted(weights)
    except Undefined as reason:
        return dict.fromkeys((*COEFFICIENTS, COHEN), str(reason).partition(": ")[2])
    ways = {name: partial(way, counted, allowed) for name, way in COEFFICIENTS.items()}
    for name, way in (ways | {COHEN: partial(_mean_of_pairs, given.pairs, weights)}).items():
        try:
            found[name] = way()
        except Undefined as reason:
            found[name] = str(reason).partition(": ")[2]
    return found


def _between(value: float, drawn: list[float], resamples: int) -> Estimate:
    if len(drawn) <= resamples / 2:
        return Estimate(value, -np.inf, np.inf)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, min(low, value), max(high, value))


class Judge(NamedTuple):
    """What one judge did. judged: samples. kept: the share with the first of the allowed answers. right: the share of
    gold images answered rightly; same: of repeats answered as before; each with Wilson's interval, or None without
    any. seconds: the median that an answer took, NaN where nobody knows.
    """

    judge: str
    judged: int
    kept: Estimate
    right: Estimate | None
    same: Estimate | None
    seconds: float


def per_judge(ballots: Ballots, answers: tuple[str, ...], gold: Mapping[str, tuple[int, int]]) -> list[Judge]:
    """What each judge did, by name. gold: right ones, and asked ones, of those who were shown any."""
    _expect_answers(ballots, answers)
    first = set(ballots.votes.tolist())
    votes: dict[tuple[str, int], str] = {}
    kept: dict[str, list[bool]] = {}
    same: dict[str, list[bool]] = {}
    seconds: dict[str, list[float]] = {}
    for index, (row, judge, answer) in enumerate(zip(ballots.rows, ballots.judges, ballots.answers, strict=True)):
        if index in first:
            votes[judge, row] = answer
            kept.setdefault(judge, []).append(answer == answers[0])
        else:
            same.setdefault(judge, []).append(answer == votes[judge, row])
        seconds.setdefault(judge, []).append(float(ballots.seconds[index]))
    return [
        Judge(judge, len(kept[judge]), *_shares_of(judge, kept, same, gold), _median(seconds[judge]))
        for judge in sorted(kept)
    ]


def _shares_of(
    judge: str,
    kept: Mapping[str, list[bool]],
    same: Mapping[str, list[bool]],
    gold: Mapping[str, tuple[int, int]],
) -> tuple[Estimate, Estimate | None, Estimate | None]:
    right, asked = gold.get(judge, (0, 0))
    hits = np.arange(asked) < right
    return (
        share_of(np.array(kept[judge])),
        share_of(hits) if asked else None,
        share_of(np.array(same[judge])) if judge in same else None,
    )


def _median(seconds: list[float]) -> float:
    known = [one for one in seconds if np.isfinite(one)]
    return float(np.median(known)) if known else float("nan")


# -- what is true, as far as the judges' agreement says ----------------------------------------------------------------


def dawid_skene(ballots: Ballots, answers: tuple[str, ...]) -> dict[int, float]:
    """How likely the first of the allowed answers is the true one of each sample, by Dawid and Skene (1979): each judge
    has an error rate of its own for each truth, which is learnt together with the truths, by expectation maximisation.

    By crowd-kit's implementation, of the extra ``crowd``. Raises ValueError without it, and for an unknown answer.
    """
    _expect_answers(ballots, answers)
    try:
        import pandas
        from crowdkit.aggregation import DawidSkene
    except ImportError:
        raise ValueError("Dawid and Skene's model asks for crowd-kit: pip install 'collapselab[crowd]'") from None
    first = ballots.votes
    frame = pandas.DataFrame(
        {
            "task": np.asarray(ballots.rows)[first],
            "worker": [ballots.judges[index] for index in first],
            "label": [ballots.answers[index] for index in first],
        }
    )
    if len(frame) == 0:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks pandas in words that have become old
        chances = DawidSkene(n_iter=100).fit_predict_proba(frame)
    if answers[0] not in chances:
        return dict.fromkeys(sorted(set(frame["task"].tolist())), 0.0)
    return {int(row): float(chance) for row, chance in chances[answers[0]].sort_index().items()}
