"""What a text model keeps of its text: perplexity in both directions, variety, repetition, and what it has by heart.

Perplexities read one column, nats a token, as the extractors ``surprisal`` (under the model of each generation),
``true-surprisal`` (under the known truth) and ``reference`` (under a count of real text) give them. The others read the
tokens themselves. A run is what is also called an n-gram: n tokens that follow one another within a sequence.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, mean_of, share_of

Run = Annotated[int, Field(ge=1)]


def perplexity(real: Features | Array, fake: Features | Array) -> Estimate:
    """The perplexity of real text under the model, exp of its mean nats a token, with a bootstrap interval.

    exp( - mean over real x of ln p(x) / length ),  as Shumailov et al. 2024 (Nature 631, 755; figure 1b) draw it over
    the generations of a loop. At least exp(entropy / length) of the truth, which a perfect model reaches; the size of
    the vocabulary where nothing is known. The fakes have no part in it.

    real: (n, 1) nats under the model of a generation. Raises Undefined without rows, or where a real sequence is
    impossible under the model.
    """
    return _exponential(mean_of(_finite(real, "real", "under the model")))


def sample_perplexity(real: Features | Array, fake: Features | Array) -> Estimate:
    """The perplexity of samples under the truth, or under what was counted of real text: with a bootstrap interval.

    exp( - mean over fakes x of ln q(x) / length ),  q the truth or an n-gram model of real text: the other direction
    of :func:`perplexity` (Shumailov et al. 2024, figure 1c, there by the model of generation 0). Below that of real
    text where samples are more ordinary than it, above where they are strange; the baseline is that of real text. The
    real samples have no part in it.

    fake: (n, 1) nats. Raises Undefined without rows, or where a sample is impossible under the truth.
    """
    return _exponential(mean_of(_finite(fake, "fake", "under the truth")))


def impossible_share(real: Features | Array, fake: Features | Array) -> Estimate:
    """The share of samples that the truth never gives, of infinitely many nats, with Wilson's interval.

    fake: (n, 1) nats under the known truth. Raises Undefined without rows, or for numbers that are none.
    """
    nats = _column(fake, "fake")
    if np.isnan(nats).any():
        raise Undefined(f"fake: {np.count_nonzero(np.isnan(nats))} of {len(nats)} rows have no number of nats")
    return share_of(np.isinf(nats))


def distinct_runs(real: Features | Array, fake: Features | Array, *, n: Run = 3) -> float:
    """How many different runs of n tokens the samples have, over all of their runs: 0 to 1.

    distinct-n of Li et al. 2016 (arXiv 1510.03055, section 5). It falls as samples grow in number, so only values at
    equal n of samples compare. The real samples have no part in it.

    fake: (n, length) tokens. Raises Undefined without rows, or for sequences shorter than a run.
    """
    (ids,) = _runs([_tokens(fake, "fake", n)], n)
    return len(np.unique(ids)) / ids.size


def type_token_ratio(real: Features | Array, fake: Features | Array) -> float:
    """How many different tokens the samples have, over all of their tokens: :func:`distinct_runs` of single tokens."""
    return distinct_runs(real, fake, n=1)


def run_entropy(real: Features | Array, fake: Features | Array, *, n: Run = 1) -> float:
    """The entropy of the samples' runs of n tokens, - sum p ln p in nats, by their frequencies: 0 when one is left.

    Shannon 1948, section 6. Of m runs it is too low by about (K - 1) / 2m for K different ones (Miller 1955), alike in
    all sets of a size. The real samples have no part in it.

    fake: (n, length) tokens. Raises Undefined without rows, or for sequences shorter than a run.
    """
    (ids,) = _runs([_tokens(fake, "fake", n)], n)
    shares = np.sort(np.unique(ids, return_counts=True)[1]) / ids.size
    return float(-(shares @ np.log(shares))) + 0.0  # not -0.0


def zipf_slope(
    real: Features | Array, fake: Features | Array, *, n: Run = 3, least: Annotated[int, Field(ge=1)] = 3
) -> float:
    """How fast the frequency of the samples' runs falls with their rank: s of frequency ~ rank^-s.

    The slope, its sign turned, of a straight line by least squares of ln count on ln rank, over the runs that occur
    ``least`` times or more (Zipf 1949). Steeper where the tail is cut: of a law of exponent s it is s but for chance.
    The real samples have no part in it.

    fake: (n, length) tokens. Raises Undefined without rows, for sequences shorter than a run, or for fewer than 3 runs
    that occur so often.
    """
    (ids,) = _runs([_tokens(fake, "fake", n)], n)
    counts = np.sort(np.unique(ids, return_counts=True)[1])[::-1]
    counts = counts[counts >= least]
    if len(counts) < 3:
        raise Undefined(f"fake: found {len(counts)} runs of {n} tokens that occur {least} times, needed are at least 3")
    ranks, heights = np.log(np.arange(1, len(counts) + 1)), np.log(counts)
    apart = ranks - ranks.mean()
    return float(-(apart @ (heights - heights.mean())) / (apart @ apart)) + 0.0


def repetition(real: Features | Array, fake: Features | Array, *, n: Run = 4) -> Estimate:
    """How much of a sample it has said before: the mean share of its runs of n tokens that stand earlier in it, too.

    mean over fakes of 1 - different runs / runs  (seq-rep-n of Welleck et al. 2020, arXiv 1908.04319, section 6), with
    a bootstrap interval. The real samples have no part in it.

    fake: (n, length) tokens. Raises Undefined without rows, or for sequences shorter than a run.
    """
    (ids,) = _runs([_tokens(fake, "fake", n)], n)
    ordered = np.sort(ids, axis=1)
    return mean_of((ordered[:, 1:] == ordered[:, :-1]).sum(axis=1) / ids.shape[1])


def self_bleu(real: Features | Array, fake: Features | Array, *, n: Run = 4) -> float:
    """How alike the samples are: the mean BLEU of each with all others as its references, from 0 to 1.

    exp( 1/n sum_{k <= n} ln P_k ),  P_k = sum over runs g of k tokens of min(c(g), max over others c'(g)) / runs

    (Zhu et al. 2018, Texygen, arXiv 1802.01886, of BLEU by Papineni et al. 2002.) Sequences are of one length, so that
    nothing is cut for brevity; where a sample shares no run of some length its BLEU is 0. It rises with the number of
    samples. The real samples have no part in it.

    fake: (n, length) tokens. Raises Undefined for fewer than 2 samples, or for sequences shorter than a run.
    """
    rows = _tokens(fake, "fake", n, least=2)
    logs = np.zeros(len(rows))
    with np.errstate(divide="ignore"):
        for k in range(1, n + 1):
            logs += np.log(_shared_of(_runs([rows], k)[0]))
    return float(np.exp(logs / n).mean())


def memorised(real: Features | Array, fake: Features | Array, *, length: Annotated[int, Field(ge=1)] = 24) -> Estimate:
    """The share of samples with a run of ``length`` tokens that stands, word for word, in the training split.

    Verbatim memorisation as Carlini et al. 2023 (arXiv 2202.07646) count it, of what is drawn without a prompt; with
    Wilson's interval. Never read it alone: real text that was held out repeats some, too (the baseline).

    real: (m, length') tokens of the training split. fake: (n, length'). Raises Undefined without rows, or for sequences
    shorter than a run.
    """
    sides = [_tokens(real, "real", length), _tokens(fake, "fake", length)]
    known, asked = _runs(sides, length)
    return share_of(np.isin(asked, known).any(axis=1))


# -- tokens and runs ---------------------------------------------------------------------------------------------------


def _tokens(side: Features | Array, role: str, run: int, least: int = 1) -> np.ndarray:
    """The tokens of a side on the host. Raises Undefined for too few, too short, or those that are no numbers."""
    side = Features.of(side)
    side.require(least, role)
    rows = on_host(side.values)
    if rows.shape[1] < run:
        raise Undefined(f"{role}: found sequences of {rows.shape[1]} tokens, needed are runs of {run}")
    return rows


def _runs(sides: Sequence[np.ndarray], length: int) -> list[np.ndarray]:
    """The runs of so many tokens of several sets of sequences as numbers, alike for alike ones: (n, places) int64.

    A run is known by its first and its last half, which overlap where the length is odd: log2(length) steps.
    """
    if length == 1:
        return _numbered([side.astype(np.float64) for side in sides])
    half = (length + 1) // 2
    pairs = []
    for halves, side in zip(_runs(sides, half), sides, strict=True):
        places, last = side.shape[1] - length + 1, length - half
        pairs.append(halves[:, :places] * 2**31 + halves[:, last : last + places])
    return _numbered(pairs)


def _numbered(sides: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Arrays with their different entries numbered from 0, alike in all."""
    _, index = np.unique(np.concatenate([side.ravel() for side in sides]), return_inverse=True)
    ends = np.cumsum([side.size for side in sides])[:-1]
    parts = np.split(index.astype(np.int64).ravel(), ends)
    return [part.reshape(side.shape) for part, side in zip(parts, sides, strict=True)]


def _shared_of(ids: np.ndarray) -> np.ndarray:
    """The share of each row's runs that another row has, too, each as often as the row that has it most: (n,)."""
    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    keys, counts = np.unique(ids.ravel() * len(ids) + rows, return_counts=True)
    runs, owners = np.divmod(keys, len(ids))
    order = np.lexsort((-counts, runs))  # of each run the row that has it most often first
    runs, owners, counts = runs[order], owners[order], counts[order]
    first = np.append(True, runs[1:] != runs[:-1])
    begins = np.flatnonzero(first)
    most, own = counts[begins], owners[begins]
    following = np.minimum(begins + 1, len(runs) - 1)
    second = np.where((begins + 1 < len(runs)) & ~first[following], counts[following], 0)
    group = np.cumsum(first) - 1
    others = np.where(owners == own[group], second[group], most[group])
    return np.bincount(owners, np.minimum(counts, others), len(ids)) / ids.shape[1]


def _column(side: Features | Array, role: str) -> np.ndarray:
    side = Features.of(side)
    if not len(side):
        raise Undefined(f"{role}: found 0 rows, needed is at least 1")
    return on_host(side.values)[:, 0].astype(np.float64)


def _finite(side: Features | Array, role: str, where: str) -> np.ndarray:
    nats = _column(side, role)
    if not np.isfinite(nats).all():
        bad = np.count_nonzero(~np.isfinite(nats))
        raise Undefined(f"{role}: {bad} of {len(nats)} sequences are impossible {where}; their perplexity is infinite")
    return nats


def _exponential(nats: Estimate) -> Estimate:
    return Estimate(*np.exp([float(nats), nats.low, nats.high]))
