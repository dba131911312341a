"""Which samples are kept for the next generation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from ..core import seeds
from ..core.ask import Ask
from ..core.errors import blamed
from ..core.kinds import check_taken
from ..core.seeds import seed_of
from ..core.sets import Ballots, SampleSet, Seen
from ..features import Features
from ..marks import MARKS
from ..rewards.asking import rewards_of
from ..samplers import SAMPLERS
from ..select.base import Pool, Selection, Selector, Twin, check_selection
from ..store.cells import Cell
from .extract import Look
from .sample import sample_seed, sampling

TooFew = Literal["stop", "top_up"]
"""What is done where a selector finds fewer samples than are wanted: nothing more, or chance adds others."""

TOPPED_UP = "topped up"  # the reason why a sample is kept that a selector did not want


class Choosing(NamedTuple):
    """One of an arm's selectors, by its name, with its options."""

    name: str
    selector: Selector
    options: Any


def looked_at(look: Look, data: np.ndarray) -> Features:
    """Samples through the eyes of a selector, of an adapter, or of the reward that one follows."""
    return look.extractor.extract(data, look.weights, **look.settings)


def seen_of(samples: SampleSet, looks: Mapping[str, Look], train: SampleSet | None) -> dict[str, Seen]:
    """The samples and the training split, seen through extractors. Raises ValueError for what one cannot look at.

    Which data a known truth judges is for the truth to say.
    """
    for name, look in looks.items():
        for where, one in (("samples", samples), ("train", train)):
            if look.extractor.needs.through == "truth":
                continue
            check_taken(f"extractor {name!r}", look.extractor.takes, one.kind, where)
    return {name: Seen(looked_at(look, samples.data), looked_at(look, train.data)) for name, look in looks.items()}


def pool_of(
    samples: SampleSet,
    cell: Cell,
    looks: Mapping[str, Look] | None = None,
    train: SampleSet | None = None,
    model: Any | None = None,
    ballots: Ballots | None = None,
    twin: Twin | None = None,
    p_mark: np.ndarray | None = None,
    ask: Ask | None = None,
) -> Pool:
    """What selectors are handed: the samples, seen through what they look through, and what stands beside them."""
    seen = seen_of(samples, looks or {}, train) if len(samples) else {}
    return Pool(samples, cell, seen, {}, model, ballots, train, twin, ask=ask, p_mark=p_mark)


def asked_for(samples: SampleSet, study_seed: int) -> Ask:
    """What a model was asked for when it made samples: asked the same again, it makes the same.

    Raises ValueError for samples that a guide has steered or whose noise is marked: nobody does so here a second time.
    """
    said = samples.lineage
    steered = [*said.get("guide", {}), *(name for name in said.get("mark", {}) if MARKS[name].acts == "noise")]
    if steered:
        raise ValueError(f"samples: found some in whose making {steered[0]!r} had a part, allowed are others")
    seed = sample_seed(study_seed, said["seed"], said["generation"], said["stage"], said["stream"])
    own = [sampling(name, SAMPLERS[name].Options(**options)) for name, options in said.get("sampled_by", {}).items()]
    return Ask(len(samples), seed, bias=said["sampling_bias"], sampler=own[0] if own else None)


def scored(pool: Pool, options: Any) -> Pool:
    """The pool with what the rewards give its samples that options name."""
    if not len(pool):
        return pool
    looks = {name: lambda data, one=one: one.samples for name, one in pool.seen.items()}
    rewards = rewards_of(options, looks)
    return replace(pool, scores={option: score(pool.samples) for option, score in rewards.items()})


def select(steps: Sequence[Choosing], pool: Pool, study_seed: int, too_few: TooFew = "stop") -> Selection:
    """The rows of a pool that selectors keep, each of what the one before has kept.

    Scores and reasons are the last one's, but that whatever chance has added says so to the end; weights are the
    product of all, over its mean, so that samples and real rows count as the regime says. Raises ValueError for samples
    of a kind that one does not take, for what is no selection, and where one finds fewer than are wanted and
    ``too_few`` is stop.
    """
    for step in steps if len(pool) else ():
        check_taken(f"selector {step.name!r}", step.selector.takes, pool.samples.kind, "samples")
    rows, judges = np.arange(len(pool)), []
    weights, weighted, found, added = np.ones(len(pool)), False, None, np.zeros(len(pool), bool)
    for index, step in enumerate(steps):
        here = pool.of(rows) if index else pool
        found = _one(step, index, scored(here, step.options), study_seed, too_few)
        rows, judges = rows[found.rows], [*judges, found.judge]
        weights = weights[found.rows] * (1 if found.weights is None else found.weights)
        weighted |= found.weights is not None
        by_chance = np.array([reason == TOPPED_UP for reason in found.reasons], bool)
        added = added[found.rows] | by_chance
    if found is None:
        raise ValueError("selectors: found none, allowed is at least one")
    told = [
        reason if not chance or reason == TOPPED_UP else f"{TOPPED_UP}, then {reason}"
        for reason, chance in zip(found.reasons, added, strict=True)
    ]
    shares = weights / weights.mean() if weighted and len(weights) else None
    return Selection(rows, found.scores, tuple(told), " then ".join(judges), shares)


def effective(weights: np.ndarray) -> float:
    """As how many rows of one weight rows of (n,) weights count: (sum w)^2 / sum w^2, of 1 to n."""
    shares = weights / weights.max()  # whose squares are numbers, whatever the weights are
    return float(shares.sum() ** 2 / np.square(shares).sum())


def _one(step: Choosing, index: int, pool: Pool, study_seed: int, too_few: TooFew) -> Selection:
    """What one selector keeps, with what chance adds. The first has the random numbers that one alone has."""
    name, selector, options = step
    place = f"/{index}" if index else ""
    seed = seed_of(study_seed, pool.cell.seed, pool.cell.generation, f"select/{name}{place}")
    with blamed("selector", name):
        wanted = options.keeps(len(pool))
        selection = selector.select(pool, options, seed)
        check_selection(selection, len(pool), wanted)
        if selection.weights is not None and not selector.weighs:
            raise ValueError("weights: found some, but it does not say that it weighs")
        if len(selection.rows) == wanted:
            return selection
        if too_few == "stop":
            raise ValueError(
                f"found {len(selection.rows)} of {len(pool)} samples good enough, wanted are {wanted}; ask for a "
                "smaller share, or for less of each sample; or say too_few: top_up in the study, and chance adds others"
            )
        return _topped_up(selection, len(pool), wanted, seed_of(seed, None, None, "top up"))


def _topped_up(selection: Selection, count: int, wanted: int, seed: int) -> Selection:
    """A selection with as many others, drawn without replacement, as are missing."""
    others = np.setdiff1d(np.arange(count), selection.rows)
    added = seeds.generator(seed).permutation(others)[: wanted - len(selection.rows)]
    rows = np.concatenate([selection.rows, added])
    order = np.argsort(rows, kind="stable")
    scores = np.concatenate([selection.scores, np.full(len(added), np.nan)])[order]
    reasons = [*selection.reasons, *[TOPPED_UP] * len(added)]
    weights = None if selection.weights is None else np.concatenate([selection.weights, np.ones(len(added))])[order]
    return Selection(rows[order], scores, tuple(reasons[one] for one in order), selection.judge, weights)
