"""Two moons: two half circles that reach into one another, with noise. The geometry is scikit-learn's."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.options import Options
from .base import as_rows, judged, noise, words

REACH = 4  # standard deviations of the noise from a moon within which a sample is right
SEGMENTS = 12  # cells along each moon
CENTRES = np.array([[0.0, 0.0], [1.0, 0.5]])
SIGNS = np.array([1.0, -1.0])  # the first moon is an upper half circle; the second a lower one, run through from left
NODES = 48


class TwoMoonsOptions(Options):
    """How wide the moons are."""

    noise: float = Field(
        0.05, gt=0, lt=1 / (4 * REACH), description="sd of the noise, either direction; moons are 0.5 apart"
    )


@dataclass(frozen=True, eq=False)
class TwoMoons:
    """The law of c + s (cos t, sin t) + noise z, with t uniform on [0, pi], a moon (c, s) at random, z ~ N(0, I).

    The upper moon has centre (0, 0) and s = 1, the lower one centre (1, 1/2) and s = -1; the radius is 1. So they are
    at least 1/2 apart, and with noise below 1/16 the bands of 4 noise around them do not meet. A sample is possible
    within 4 noise of the nearest point of a moon. Its cell is that moon, cut into 12 equal parts by the angle t of the
    nearest point.
    """

    PopulationOptions: ClassVar = TwoMoonsOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: TwoMoonsOptions

    @classmethod
    def population(cls, options: TwoMoonsOptions) -> Self:
        """The moons that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (2,)."""
        return (2,)

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, 2) float64, labels the moons, 0 the upper one."""
        check_ask(ask, self)
        which, along = words(ask.seed, ask.start, ask.count, 1, 1)
        moon, t = (which[:, 0] > 0.5).astype(np.int64), np.pi * along
        arc = CENTRES[moon] + SIGNS[moon][:, None] * np.concatenate([np.cos(t), np.sin(t)], axis=1)
        return SampleSet(arc + self.options.noise * noise(ask.seed, ask.start, ask.count, 2), moon)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (2,) and covariance (2, 2): E cos t = 0, E sin t = 2 / pi, E cos^2 t = E sin^2 t = 1/2."""
        arc = np.array([0.0, 2 / np.pi])
        second = [
            np.outer(centre, centre) + sign * (np.outer(centre, arc) + np.outer(arc, centre)) + np.eye(2) / 2
            for centre, sign in zip(CENTRES, SIGNS, strict=True)
        ]
        mean = (CENTRES + SIGNS[:, None] * arc).mean(axis=0)
        return mean, np.mean(second, axis=0) - np.outer(mean, mean) + self.options.noise**2 * np.eye(2)

    @cached_property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (24,) float64, to 1e-6.

        On a whole circle the noise moves as much over each cut as comes back, so a cell has rho / 24, where rho is the
        probability that the radius |(1, 0) + noise z| is within 4 noise of 1 (noncentral chi squared). That holds for
        all cells but those at the ends of a moon. There, what is missing from beyond the end is as much as leaves over
        it, by reflection; instead the cell has what lies beyond the end but within 4 noise of it. Both are
        integrals of the density of the moon, by Gauss and Legendre. What noise carries further than a cell is wide
        (pi / 12, 4 noise and more), or to the other moon, is left out: below 1e-6.
        """
        from scipy.stats import ncx2

        sd = self.options.noise
        low, high = 1 - REACH * sd, 1 + REACH * sd
        rho = float(np.diff(ncx2.cdf(np.square([low, high]) / sd**2, 2, 1 / sd**2))[0])
        nodes, weights = np.polynomial.legendre.leggauss(NODES)

        def on(start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
            return (start + end) / 2 + (end - start) / 2 * nodes, (end - start) / 2 * weights

        t, weights_t = on(0.0, 12 * sd)

        def beyond(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            """The density of one moon, in (cos t, sin t), at points below its end (1, 0)."""
            squared = np.square(x[..., None] - np.cos(t)) + np.square(y[..., None] - np.sin(t))
            return np.exp(-squared / (2 * sd**2)) @ weights_t / (2 * np.pi * sd**2 * np.pi)

        radius, weights_r = on(low, high)
        angle, weights_a = on(-12 * sd, 0.0)
        leaves = beyond(radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle))
        near, weights_n = on(0.0, REACH * sd)
        turn, weights_u = on(-np.pi, 0.0)
        stays = beyond(1 + near[:, None] * np.cos(turn), near[:, None] * np.sin(turn))
        change = (weights_n * near) @ stays @ weights_u - (weights_r * radius) @ leaves @ weights_a
        cells = np.full((2, SEGMENTS), rho / (2 * SEGMENTS))
        cells[:, [0, -1]] += change / 2
        return cells.ravel()

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each sample lies within 4 noise of its nearest moon, and which twelfth of which moon that is.

        data: (n, 2) float; rows that are not finite are impossible.
        """
        rows = as_rows(data, 2)
        finite = np.isfinite(rows).all(axis=1)
        offset = SIGNS[:, None] * (np.where(finite[:, None], rows, 0.0)[:, None, :] - CENTRES)
        # At the ends and below them the nearest point of the moon is an end.
        t = np.arctan2(offset[..., 1], offset[..., 0])
        t = np.where(offset[..., 1] > 0, t, np.where(offset[..., 0] >= 0, 0.0, np.pi))
        distance = np.hypot(offset[..., 0] - np.cos(t), offset[..., 1] - np.sin(t))
        moon = distance.argmin(axis=1)
        rank = np.arange(len(rows))
        segment = np.minimum((t[rank, moon] * SEGMENTS / np.pi).astype(np.int64), SEGMENTS - 1)
        return judged(finite & (distance[rank, moon] <= REACH * self.options.noise), moon * SEGMENTS + segment)
