"""Knowledge added where it is missing: a denoiser tuned on the real rows of regions that its samples do not reach."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from ..core.facts import Facts, neighbours_fault
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from ..features.base import ExtractorName, Features
from ..metrics.regions import Regions, covered, regions_of
from .base import Adapted, Given
from .tuning import TuningOptions

ERRORS = 2.0  # standard errors below the coverage of all rows, from which on a region is uncovered


class TargetedOptions(TuningOptions):
    """Where knowledge is missing, how much of it is shown, and until when."""

    extractor: ExtractorName = Field(description="through which samples and training rows are looked at")
    regions: int = Field(10, ge=2, description="cells of k-means of the training split, in its features")
    k: int = Field(5, ge=1, description="a row is reached by a sample that is nearer than its k-th nearest other row")
    samples: int = Field(1000, ge=2, description="own samples at each look")
    share: Annotated[float, Field(gt=0, lt=1)] | Literal["rest"] | None = Field(
        None,
        description="of the rows that are shown, those that are added of the uncovered regions, beside the training "
        "set that the model was trained on, which may have some of its own; rest: as many as bring these regions to "
        "their share of the training split in all that is shown, where it comes to rest; null: that share itself, "
        "which is right where the training set has none of them and overshoots otherwise",
    )
    looks: int = Field(10, ge=1, description="looks at own samples on the way, evenly over the budget")
    until: Literal["covered", "share", "budget"] = Field(
        "covered",
        description="covered: the uncovered regions are covered as the others are; share: as many samples lie there as "
        "real rows do, beyond which a standing share would go; budget: to its end",
    )


class Seen(NamedTuple):
    """A look at own samples. coverage: (R,) float64, of each region. there, elsewhere: of the uncovered regions and of
    the others together. share: of the samples that lie in the uncovered regions."""

    coverage: np.ndarray
    there: float
    elsewhere: float
    share: float


class Looking:
    """What a model's own samples reach, in the regions of the training split."""

    def __init__(self, given: Given, options: TargetedOptions):
        self.given, self.options = given, options
        self.real: Features = given.train[options.extractor]
        self.regions: Regions = regions_of(self.real, options.regions)
        self.rows = np.bincount(self.regions.of_rows, minlength=self.regions.count)
        self.fakes = self._features(None)
        self.uncovered = uncovered(self.coverage_of(self.fakes), self.rows)
        self.target = np.isin(self.regions.of_rows, self.uncovered)

    def seen(self, model: Any = None) -> Seen:
        """Of the model as it was, or of another, from the same random numbers."""
        fakes = self.fakes if model is None else self._features(model)
        coverage = self.coverage_of(fakes)
        inside = np.isin(np.arange(len(self.rows)), self.uncovered)
        shares = np.isin(self.regions.of(fakes), self.uncovered).mean()
        there, elsewhere = (_mean(coverage[one], self.rows[one]) for one in (inside, ~inside))
        return Seen(coverage, there, elsewhere, float(shares))

    def coverage_of(self, fakes: Features) -> np.ndarray:
        """The share of the rows of each region that have a fake in their ball: (R,) float64."""
        reached = covered(self.real, fakes, self.options.k)
        return np.bincount(self.regions.of_rows, reached, len(self.rows)) / self.rows

    def reached(self, seen: Seen) -> bool:
        """Whether what it is tuned for is there."""
        if self.options.until == "covered":
            return seen.there >= seen.elsewhere
        return self.options.until == "share" and seen.share >= self.target.mean()

    def _features(self, model: Any) -> Features:
        options = self.options
        return self.given.look[options.extractor](self.given.own(options.samples, 0, model).data)


def unfit(facts: Facts, of: Any, options: TargetedOptions) -> str:
    """A neighbour that the training split has not."""
    return neighbours_fault(facts, options.k)


def calls(options: TargetedOptions) -> tuple[Callable[..., Any], ...]:
    """What says how much is added, where it is to come to rest at its true share."""
    return (_share,) if options.share == "rest" else ()


def uncovered(coverage: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The regions whose coverage c_g is below that of all rows, c, by more than chance: their numbers, ascending.

    c_g < c - 2 sqrt(c (1 - c) / n_g), n_g rows. coverage: (R,), rows: (R,).
    """
    every = _mean(coverage, rows)
    return np.flatnonzero(coverage < every - ERRORS * np.sqrt(every * (1 - every) / rows))


def targeted(model: Any, given: Given, options: TargetedOptions, run: Run) -> Adapted:
    """The model after a tuning on the training rows of the regions that its own samples do not reach.

    Regions are the cells of k-means of the training split (:func:`metrics.regions.regions_of`), and uncovered are those
    of :func:`uncovered`; held-out rows have no part in it. Their rows are ``share`` of what is shown, evenly, the
    training set of the generation is the rest, so that what is known is not lost; the loss is the training's. It ends
    where a look finds what ``until`` says, or with the budget. A larger share than the true one is faster there, takes
    samples from all other regions, and comes to rest above the truth (``theory.targeted_limit``); ``rest`` is that of
    :func:`resting`. A model whose regions are all covered is left as it is.

    facts: of each region its rows and its coverage before and after; the looks; why it ended; with ``rest`` the share
    that was added.
    """
    looking = Looking(given, options)
    before = looking.seen()
    if not len(looking.uncovered):
        return Adapted(model, _facts(looking, before, before, [], "nothing is uncovered"))
    from .covering import covering_by
    from .denoising import moved_by

    share = _share(looking)
    training = shown(given.training, given.split, looking.target, share) if share else given.training
    moved, tuning = moved_by(covering_by(model, looking), model, training, options, run)
    looks, stopped = tuning.told()
    facts = _facts(looking, before, looking.seen(moved), looks, stopped)
    return Adapted(moved, facts | {"added": share} if options.share == "rest" else facts)


def resting(truth: float, there: float) -> float:
    """The share a of all that is shown by which regions come to rest at their true share: a + (1 - a) p = pi.

        a = max(0, (pi - p) / (1 - p))

    truth: pi, their share of real rows; there: p, that of the training set, beside which rows are added. A constant
    share beside real rows that have p = pi rests above pi by the same law (``theory.targeted_limit``).
    """
    return max(0.0, (truth - there) / (1 - there)) if there < 1 else 0.0


def _share(looking: Looking) -> float:
    """Which share of the rows that are shown is added; each of them weighs 1."""
    truth, training = float(looking.target.mean()), looking.given.training
    if looking.options.share != "rest":
        return looking.options.share or min(0.5, truth)
    cells = looking.regions.of(looking.given.look[looking.options.extractor](training.data))
    inside = np.isin(cells, looking.uncovered)
    added = resting(truth, float(training.weights @ inside / training.weights.sum()))
    beside = added / (1 - added) * float(training.weights.mean())  # rows of weight 1 beside one row of the training set
    return beside / (1 + beside)


def shown(training: TrainingSet, split: SampleSet, target: np.ndarray, share: float) -> TrainingSet:
    """The rows that are shown: a training set, and of the training split the (n,) ``target`` rows, in turn as often as
    makes them so large a share."""
    rows = np.resize(np.flatnonzero(target), max(1, round(share / (1 - share) * len(training))))
    data = np.concatenate([training.data, split.data[rows].astype(training.data.dtype, copy=False)])
    both = training.labels is not None and split.labels is not None
    labels = np.concatenate([training.labels, split.labels[rows]]) if both else None
    return replace(training, data=data, labels=labels, weights=np.concatenate([training.weights, np.ones(len(rows))]))


def _mean(coverage: np.ndarray, rows: np.ndarray) -> float:
    return float(coverage @ rows / rows.sum()) if rows.sum() else 1.0


def _facts(
    looking: Looking, before: Seen, after: Seen, looks: Sequence[Sequence[float]], stopped: str
) -> Mapping[str, Any]:
    regions = [
        {"region": region, "rows": int(rows), "before": float(then), "after": float(now)}
        for region, (rows, then, now) in enumerate(zip(looking.rows, before.coverage, after.coverage, strict=True))
    ]
    shares = {"real": float(looking.target.mean()), "before": before.share, "after": after.share}
    told = {"uncovered": looking.uncovered.tolist(), "regions": regions, "share": shares}
    return told | {"looks": [list(map(float, one)) for one in looks], "stopped": stopped}
