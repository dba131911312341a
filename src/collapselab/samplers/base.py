"""What a sampler is, and one with its options, as a model is asked to sample by it.

A sampler is a pure function that follows a denoiser down the noise levels. Its arithmetic is that of the arrays which
it is given, numpy's or torch's: a closed form is sampled by the same lines as a network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from ..engine.steering import Denoise, Draws
from .levels import Noise, discrete_levels, power_levels, time_levels
from .options import SamplerOptions

TOLD = ("steps", "sigma_min", "sigma_max", "rho")
"""Options by which a family says that it is sampled by steps: such a model can be asked for any sampler."""


def once(steps: int) -> int:
    """Evaluations of a denoiser by a sampler that asks it once a step."""
    return steps


def none_drawn() -> NoReturn:
    """In the place of normal numbers, for samplers that draw none."""
    raise ValueError("draws: found none, and the sampler adds noise; allowed is a function that gives normal numbers")


@dataclass(frozen=True)
class Sampler:
    """A way to go down the noise levels.

    run: ``f(denoise, noise, levels, condition, *, draws, **options) -> rows``, float64 as ``noise``: from ``levels[0]
    * noise`` to the last of the falling levels (steps + 1,), 0 or above. denoise: D(x; at, condition)
    (:data:`engine.steering.Denoise`). draws: standard normal numbers, as noise, of each sample's own stream. options:
    those of its Options that are no ``options.SHARED``.
    order: to what power of the step's size its error falls, without noise of its own. evaluations: of the denoiser, of
    so many steps that end at 0. spacing: the levels, in even steps of sigma^(1/rho) or of DDPM's time. stochastic:
    whether it adds noise whatever it is told; others may, by an option.
    """

    Options: type[SamplerOptions]
    run: Callable[..., Any]
    order: Literal[1, 2]
    evaluations: Callable[[int], int]
    spacing: Literal["power", "time"] = "power"
    stochastic: bool = False


@dataclass(frozen=True, eq=False)
class Sampling:
    """A sampler with its options, as they are at a generation (:meth:`SamplerOptions.at`): what ``Ask.sampler`` holds.

    name: by which messages call it.

    A model that is sampled asks it for all that it does, so that only a sampling that names a sampler hangs on it.
    """

    sampler: Sampler
    options: SamplerOptions
    name: str = "sampler"

    def levels(self, noise: Noise) -> np.ndarray:
        """The falling noise levels, (steps + 1,) float64; the last one is 0 where the rows are denoised in the end.

        Raises ValueError for a truncation that leaves nothing to do, and for more steps than a model has levels.
        """
        stop = self.options.truncation
        lowest, steps = max(stop, noise.sigma_min), self.options.steps or noise.steps
        if lowest >= noise.sigma_max:
            raise ValueError(f"truncation: found {stop:g}, allowed are numbers below sigma_max = {noise.sigma_max:g}")
        noisy = bool(stop) and self.options.end == "noisy"
        count = steps + noisy  # a level more in the place of 0
        if self.sampler.spacing == "power":
            levels = power_levels(count, lowest, noise.sigma_max, noise.rho)
        elif noise.sigmas is None:
            levels = time_levels(count, lowest, noise.sigma_max)
        else:
            levels = discrete_levels(count, noise.sigmas[noise.sigmas >= stop], bool(stop))
        return levels if noisy else np.append(levels, 0.0)

    def run(self, denoise: Denoise, noise: Any, levels: Any, condition: Any, draws: Draws = none_drawn) -> Any:
        """The samples that the denoiser makes of standard normal rows, as they are."""
        return self.sampler.run(denoise, noise, levels, condition, draws=draws, **self.options.taken())

    def evaluations(self, steps: int) -> int:
        """How often the denoiser is asked for each sample of a model that would take so many steps by itself."""
        return self.sampler.evaluations(self.options.steps or steps)
