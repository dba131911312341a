"""How much likelier a sample's path is under one prediction than under another, followed from level to level."""

from typing import TYPE_CHECKING, NamedTuple

from ..engine.steering import Level
from .rows import products, wide

if TYPE_CHECKING:
    import torch


class Followed(NamedTuple):
    """A path up to a level. ratio: (B,), the log-ratio there. noisy, first, second: the rows, and both predictions of
    them. sigma: the level, without axes."""

    ratio: "torch.Tensor"
    noisy: "torch.Tensor"
    first: "torch.Tensor"
    second: "torch.Tensor"
    sigma: "torch.Tensor"


def followed(
    noisy: "torch.Tensor",
    first: "torch.Tensor",
    second: "torch.Tensor",
    at: Level,
    before: Followed | None,
    tau: float = 1.0,
    delta: float = 0.0,
) -> Followed:
    """The path one level further, with ``log R <- log R - tau (|x' - mu_1|^2 - |x' - mu_2|^2) / (2 v) + delta``.

    Koulischer et al. 2025 (https://arxiv.org/abs/2506.06085): of two Markov chains from x at sigma to x'
    at sigma', N(mu, v) with mu = k x + (1 - k) D, k = sigma'^2 / sigma^2 and v = (sigma^2 - sigma'^2) k. Both are one
    forward process backwards, so with tau 1 and delta 0 the ratio of two exact predictions is that of their laws at
    x', up to a zero-mean error that vanishes with many steps of a sampler that draws from the chain (DDPM's; DDIM with
    eta 1). R is 1 at the beginning. A second evaluation in a step goes on with the ratio of the first.
    """
    if before is None:
        start = noisy.new_zeros(len(noisy))
        return Followed(start, noisy, first, second, at.sigma)
    if at.corrects:
        return before
    if at.sigma >= before.sigma:  # it has gone nowhere, or back up by noise that was added
        return before._replace(noisy=noisy, first=first, second=second, sigma=at.sigma)
    kept = at.sigma**2 / before.sigma**2
    variance = (before.sigma**2 - at.sigma**2) * kept
    one, other = (kept * before.noisy + (1 - kept) * mean for mean in (before.first, before.second))
    # |x' - mu_1|^2 - |x' - mu_2|^2, without the difference of two large numbers
    further = products(other - one, 2 * noisy - one - other)
    return Followed(before.ratio - tau * further / (2 * variance) + delta, noisy, first, second, at.sigma)


def cut(path: Followed, lowest: float | None, highest: float | None) -> Followed:
    """A path whose log-ratio goes no further than so; None: as far as it will."""
    if lowest is None and highest is None:
        return path
    return path._replace(ratio=path.ratio.clamp(lowest, highest))


def grown(factors: "torch.Tensor", rows: "torch.Tensor") -> "torch.Tensor":
    """Rows times a factor each."""
    return wide(factors, rows) * rows
