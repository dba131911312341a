"""The laws of samplers, held on normal data, of which a denoiser is exact and every step affine."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..engine.steering import Denoise, Level
from ..samplers import SAMPLERS
from ..samplers.base import Sampler, Sampling
from ..samplers.exact import STEPS, sampled_variance
from ..samplers.levels import Noise
from ..samplers.options import SamplerOptions
from .said import described, entry_of, law, refused, same

NOISE = Noise(0.002, 80.0, 7.0, 40)
VARIANCE, ROWS = 0.25, 6
ROUNDING = 1e-12
MANY = 160  # steps from which on an error falls as its order says, to a tenth of it


def check_sampler(sampler: Any, options: Mapping[str, Any] | None = None) -> None:
    """Hold a sampler to its contract (:class:`~collapselab.samplers.base.Sampler`), on an exact denoiser.

    A row of what it makes hangs from its own noise and its own draws, whatever rows stand beside it; numpy's arithmetic
    and torch's give the same; it asks the denoiser as often as it says; the variance that it makes of normal data
    converges to theirs, at its order where it adds no noise; and theory knows that variance, where it has a law. The
    last three are asked of one that goes down to 0.

    sampler: an entry, or its name in the registry. options: what it is told; None for its defaults. Raises
    AssertionError for the first law that is broken.
    """
    name, entry = entry_of(sampler, SAMPLERS)
    law(isinstance(entry, Sampler), f"{name}: it is a {type(entry).__name__}, asked is a samplers.base.Sampler")
    law(issubclass(entry.Options, SamplerOptions), f"{name}: its Options are no samplers.options.SamplerOptions")
    described(name, entry.Options)
    said = entry.Options.model_validate(dict(options or {}))
    refused(lambda: entry.Options(truncation=-1.0), "truncation", f"{name}: a truncation below 0", ValidationError)
    sampling = Sampling(entry, said, name)
    _check_rows(sampling)
    if not said.truncation:
        _check_asked(sampling)
        _check_variance(sampling)


def exact(variance: float, told: list[Level] | None = None) -> Denoise:
    """The exact denoiser of N(0, variance I), in the arithmetic of what it is given. told: where it notes each level
    that it is asked at."""

    def denoise(x: Any, at: Level, condition: Any) -> Any:
        if told is not None:
            told.append(at)
        return x * (variance / (variance + at.sigma**2))

    return denoise


def made_variance(sampling: Sampling, noise: Noise, variance: float) -> float:
    """The variance that a sampler makes of normal data, by running it: the sum of the squares of what each of its
    random numbers does by itself, as every step is affine.
    """
    levels = sampling.levels(noise)
    drawn: list[int] = []

    def none() -> np.ndarray:
        drawn.append(1)
        return np.zeros(1)

    sampling.run(exact(variance), np.zeros(1), levels, None, none)
    numbers = np.eye(1 + len(drawn))
    return float(np.sum(sampling.run(exact(variance), numbers[0], levels, None, iter(numbers[1:]).__next__) ** 2))


def _draws(rows: int) -> Iterator[np.ndarray]:
    """Normal numbers of the first rows of an endless sequence, the same each time."""
    source = np.random.default_rng(5)
    while True:
        yield source.standard_normal((ROWS, 2))[:rows]


def _made(sampling: Sampling, rows: int) -> np.ndarray:
    noise = np.random.default_rng(4).standard_normal((ROWS, 2))[:rows]
    return sampling.run(exact(VARIANCE), noise, sampling.levels(NOISE), None, _draws(rows).__next__)


def _check_rows(sampling: Sampling) -> None:
    import torch

    name, whole = sampling.name, _made(sampling, ROWS)
    law(
        whole.dtype == np.float64 and whole.shape == (ROWS, 2) and np.isfinite(whole).all(),
        f"{name}: it made {whole.dtype} of shape {whole.shape}, asked are finite float64 of shape ({ROWS}, 2)",
    )
    law(same(_made(sampling, ROWS), whole), f"{name}: two runs with the same numbers made other rows")
    law(same(_made(sampling, 3), whole[:3]), f"{name}: a row hangs from the rows beside it")
    draws = _draws(ROWS)
    noise = torch.from_numpy(np.random.default_rng(4).standard_normal((ROWS, 2)))
    levels = torch.from_numpy(sampling.levels(NOISE))
    by_torch = sampling.run(exact(VARIANCE), noise, levels, None, lambda: torch.from_numpy(next(draws))).numpy()
    off = np.abs(by_torch - whole).max()
    law(off <= ROUNDING, f"{name}: torch's arithmetic and numpy's are {off:.2g} apart")


def _check_asked(sampling: Sampling) -> None:
    name, told = sampling.name, []
    levels = sampling.levels(NOISE)
    sampling.run(exact(VARIANCE, told), np.zeros((1, 2)), levels, None, lambda: np.zeros((1, 2)))
    said = sampling.evaluations(NOISE.steps)
    law(len(told) == said, f"{name}: it asked the denoiser {len(told)} times, evaluations says {said}")
    law(all(at.sigma > 0 for at in told), f"{name}: it asked the denoiser at the level 0")
    steps = [at.step for at in told]
    law(steps == sorted(steps), f"{name}: it asked for the steps {steps}, which do not follow one another")


def _check_variance(sampling: Sampling) -> None:
    name, entry = sampling.name, sampling.sampler

    def of(steps: int) -> float:
        told = Sampling(entry, sampling.options.model_copy(update={"steps": steps}), name)
        found = made_variance(told, NOISE, VARIANCE)
        if name in STEPS:
            off = abs(sampled_variance(told, NOISE, VARIANCE) / found - 1)
            law(off <= ROUNDING, f"{name}: theory's variance of {steps} steps is {off:.2g} of it from what it makes")
        return found

    few, more, most = of(MANY), of(2 * MANY), of(4 * MANY)
    law(
        abs(most - VARIANCE) < abs(few - VARIANCE) < 0.2,
        f"{name}: more steps bring the variance no nearer to the data's",
    )
    order = math.log2((few - more) / (more - most))
    adds = entry.stochastic or any(of_noise(sampling.options))
    law(
        adds or abs(order - entry.order) < 0.1,
        f"{name}: its error falls with the power {order:.3f} of its steps' size, it says {entry.order}",
    )


def of_noise(options: SamplerOptions) -> Iterator[bool]:
    """Whether options make a sampler add noise, or take less than its order: each that is not its default."""
    usual = type(options)()
    yield from (getattr(options, name) != getattr(usual, name) for name in options.taken())
