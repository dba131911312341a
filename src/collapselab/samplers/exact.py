"""What a sampler of finitely many steps makes of normal data, of which its denoiser is exact.

Of data N(0, v) the denoiser is D(x; sigma) = v x / (v + sigma^2), so that each step of a sampler is affine in x: it
scales what there is by c and adds noise of standard deviation s. The variance that comes out is exact, whatever the
steps:

    sigma_0^2 prod c_i^2 + sum_i s_i^2 prod_(j > i) c_j^2

In more dimensions this holds along each eigenvector of the covariance.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from .base import Sampling
from .levels import Noise

Steps = tuple[np.ndarray, np.ndarray]
Shown = Callable[[np.ndarray], np.ndarray]
"""D(x; sigma) / x of a denoiser that is linear about 0, by the noise level."""
MOST_STEPS = 2**17  # of a control that is to be converged


def sampled_variance(sampling: Sampling, noise: Noise, variance: float) -> float | None:
    """The variance of what a sampler makes of noise, of data of this variance; None for a sampler without a law here.

    It is in the units of the noise levels. Raises ValueError as :meth:`Sampling.levels` does.
    """
    return linear_variance(sampling, noise, partial(denoised, variance))


def linear_variance(sampling: Sampling, noise: Noise, shown: Shown) -> float | None:
    """The same by any denoiser that is linear about 0, such as a guided one."""
    if sampling.name not in STEPS:
        return None
    levels = sampling.levels(noise)
    scales, added = STEPS[sampling.name](levels, shown, **sampling.options.taken())
    onwards = np.append(np.cumprod(scales[::-1] ** 2)[::-1], 1.0)
    return float(levels[0] ** 2 * onwards[0] + added**2 @ onwards[1:])


def sampler_factor(sampling: Sampling, noise: Noise, variance: float) -> float | None:
    """By what one sampling multiplies the variance of the data; a loop multiplies it so in every generation."""
    found = sampled_variance(sampling, noise, variance)
    return None if found is None else found / variance


def converged_steps(sampling: Sampling, noise: Noise, variance: float, within: float) -> int | None:
    """Steps of the same sampler after which twice as many change the variance by no more than a share ``within``.

    They are the first of the sampler's own steps, twice as many, four times, ... Steps whose error falls by at least
    half when they double are then no further than that from infinitely many. None for a sampler without a law here,
    and where :data:`MOST_STEPS` do not do.
    """
    steps = sampling.options.steps or noise.steps

    def made(count: int) -> float | None:
        options = sampling.options.model_copy(update={"steps": count})
        return sampled_variance(Sampling(sampling.sampler, options, sampling.name), noise, variance)

    last = made(steps)
    while last is not None and steps <= MOST_STEPS:
        if abs((following := made(2 * steps)) - last) <= within * following:
            return steps
        steps, last = 2 * steps, following
    return None


# -- steps -------------------------------------------------------------------------------------------------------------


def denoised(variance: float, sigma: np.ndarray) -> np.ndarray:
    """D(x; sigma) / x of N(0, variance)."""
    return variance / (variance + sigma**2)


def _ddim(levels: np.ndarray, shown: Shown, eta: float = 0.0) -> Steps:
    now, following = levels[:-1], levels[1:]
    kept_of = shown(now)
    added = eta * following * np.sqrt(1 - (following / now) ** 2)
    kept = np.sqrt((following**2 - added**2).clip(min=0))
    return kept_of + kept / now * (1 - kept_of), added


def _ancestral(levels: np.ndarray, shown: Shown) -> Steps:
    return _ddim(levels, shown, 1.0)


def _heun(
    levels: np.ndarray, shown: Shown, churn: float, churn_min: float, churn_max: float, churn_noise: float
) -> Steps:
    now, following = levels[:-1], levels[1:]
    growth = min(churn / len(now), math.sqrt(2) - 1)
    above = np.where((churn_min <= now) & (now <= churn_max), now * (1 + growth), now)
    slope = (1 - shown(above)) / above
    euler = 1 + (following - above) * slope
    last = following == 0
    ahead = euler * (1 - shown(following)) / np.where(last, 1.0, following)
    scales = np.where(last, euler, 1 + (following - above) * (slope + ahead) / 2)
    return scales, scales * churn_noise * np.sqrt(above**2 - now**2)


def _dpm_solver(levels: np.ndarray, shown: Shown, order: int) -> Steps:
    """One step in the place of all: each depends on the one before."""
    x, before, width = 1.0, 0.0, 0.0
    for now, following in pairwise(levels):
        denoised = ahead = shown(now) * x
        h = math.log(now / following) if following else math.inf
        if order == 2 and width and following:
            ahead = denoised + (denoised - before) * h / (2 * width)
        x, before, width = following / now * x + (1 - following / now) * ahead, denoised, h
    return np.array([x]), np.zeros(1)


STEPS: Mapping[str, Callable[..., Steps]] = {
    "heun": _heun,
    "euler": _ddim,
    "ddim": _ddim,
    "ancestral": _ancestral,
    "dpm-solver++": _dpm_solver,
}
"""sampler -> ``f(levels, shown, **options)``: the scale and the noise of each of its steps."""
