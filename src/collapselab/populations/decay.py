"""Decays of a particle at rest into two: events that conserve energy and momentum, in common and in rare channels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.ask import Ask
from ..core.sets import SampleSet
from ..models.asking import check_ask
from ..models.capabilities import Judgement
from ..models.options import Options
from .base import as_rows, choices, judged, noise, words

REACH = 4  # standard deviations within which a measured quantity agrees with what it should be
OCTANTS = 8


class Channel(Options):
    """What the parent decays into, and how often."""

    masses: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = Field(
        description="masses of the two products, of the parent's"
    )
    share: float = Field(gt=0, le=1, description="branching ratio")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not sum(self.masses) < 1:
            raise ValueError(f"masses: found {list(self.masses)}, allowed are two that are together below 1")
        return self

    @property
    def momentum(self) -> float:
        """The momentum of either product, sqrt((1 - (m1 + m2)^2)(1 - (m1 - m2)^2)) / 2, of the parent's mass."""
        one, other = self.masses
        return ((1 - (one + other) ** 2) * (1 - (one - other) ** 2)) ** 0.5 / 2

    @property
    def imbalance(self) -> float:
        """Half of what the first product has more energy than the second, (m1^2 - m2^2) / 2, of the parent's mass."""
        return (self.masses[0] ** 2 - self.masses[1] ** 2) / 2


CHANNELS = (
    Channel(masses=(0.1, 0.1), share=0.7),
    Channel(masses=(0.3, 0.3), share=0.2),
    Channel(masses=(0.5, 0.1), share=0.07),
    Channel(masses=(0.4, 0.4), share=0.02),
    Channel(masses=(0.6, 0.2), share=0.009),
    Channel(masses=(0.45, 0.45), share=0.001),
)


class DecayOptions(Options):
    """The channels, and how well the detector measures."""

    channels: tuple[Channel, ...] = Field(CHANNELS, min_length=1, description="what the parent decays into")
    smearing: float = Field(
        0.01,
        gt=0,
        allow_inf_nan=False,
        description="the detector's resolution: sd of each number, of the parent's mass",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = sum(channel.share for channel in self.channels)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"channels: found shares with sum {total:g}, allowed is 1")
        window = REACH * self.smearing / 2**0.5
        for index, one in enumerate(self.channels):
            for other in self.channels[:index]:
                apart = max(abs(one.momentum - other.momentum), abs(one.imbalance - other.imbalance))
                if apart <= 2 * window:
                    found = f"{list(other.masses)} and {list(one.masses)} {apart:.4g} apart in energy and momentum"
                    raise ValueError(
                        f"channels: found {found}, allowed is above 8 smearing / sqrt 2 = {2 * window:.4g}"
                    )
        return self


@dataclass(frozen=True, eq=False)
class Decay:
    """The law of (E1, p1, E2, p2), 8 numbers in units of the parent's mass M = 1, each measured with an error.

    A channel k is drawn by its branching ratio, a direction n uniformly on the sphere; the parent is at rest, so

        p1 = p_k n, p2 = -p_k n, E_i = sqrt(m_i^2 + p_k^2),  p_k = :attr:`Channel.momentum`

    and every number gets an error N(0, r^2) of its own. The sums s = (E1 + E2 - 1, p1 + p2) and the halved differences
    ((E1 - E2) / 2, q = (p1 - p2) / 2) have independent errors, of sd sqrt(2) r and r / sqrt(2). An event is possible if

        |s|^2 / (2 r^2) is below the point that chi^2_4 exceeds as seldom as a normal law 4 sd: energy and momentum are
        conserved, and
        (E1 - E2) / 2 and |q| are within 4 sd of what they are in one of the channels: the products have their masses.

    Its cell is that channel and the octant of q, by the signs of its three numbers.
    """

    PopulationOptions: ClassVar = DecayOptions
    gives: ClassVar = "vectors"
    bias: ClassVar = ""
    conditions: ClassVar = ()
    uses_torch: ClassVar = False

    options: DecayOptions

    @classmethod
    def population(cls, options: DecayOptions) -> Self:
        """The decay that the options describe."""
        return cls(options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (8,)."""
        return (8,)

    @cached_property
    def shares(self) -> np.ndarray:
        """The branching ratio of each channel: (K,) float64, together 1."""
        shares = np.array([channel.share for channel in self.options.channels])
        return shares / shares.sum()

    @cached_property
    def momenta(self) -> np.ndarray:
        """The momentum of the products in each channel: (K,) float64."""
        return np.array([channel.momentum for channel in self.options.channels])

    @cached_property
    def imbalances(self) -> np.ndarray:
        """Half the difference of the products' energies in each channel: (K,) float64."""
        return np.array([channel.imbalance for channel in self.options.channels])

    @property
    def error(self) -> float:
        """The standard deviation of the halved differences."""
        return self.options.smearing / 2**0.5

    def sample(self, ask: Ask) -> SampleSet:
        """The draws that are asked for: data (count, 8) float64, labels the channels."""
        check_ask(ask, self)
        which, sphere = words(ask.seed, ask.start, ask.count, 1, 2)
        channel = choices(self.shares, which[:, 0])
        height, turn = 2 * sphere[:, 0] - 1, 2 * np.pi * sphere[:, 1]
        flat = np.sqrt(1 - height**2)  # Archimedes: the height of a uniform direction is uniform
        direction = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)
        momentum, imbalance = self.momenta[channel][:, None] * direction, self.imbalances[channel][:, None]
        event = np.concatenate([0.5 + imbalance, momentum, 0.5 - imbalance, -momentum], axis=1)
        return SampleSet(event + self.options.smearing * noise(ask.seed, ask.start, ask.count, 8), channel)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (8,) and covariance (8, 8): E n = 0 and E n n' = I / 3 for the direction n."""
        opposite = np.array([1.0, -1.0])
        mean_imbalance = self.shares @ self.imbalances
        mean, covariance = np.zeros((2, 4)), np.zeros((2, 4, 2, 4))
        mean[:, 0] = 0.5 + mean_imbalance * opposite
        spread = self.shares @ np.square(self.imbalances - mean_imbalance)
        covariance[:, 0, :, 0] = spread * np.outer(opposite, opposite)
        for axis in (1, 2, 3):
            covariance[:, axis, :, axis] = self.shares @ self.momenta**2 / 3 * np.outer(opposite, opposite)
        return mean.ravel(), covariance.reshape(8, 8) + self.options.smearing**2 * np.eye(8)

    @property
    def _conserved(self) -> float:
        """The largest |s|^2 / (2 r^2) of an event that conserves energy and momentum."""
        from scipy.special import chdtri, ndtr

        return float(chdtri(4, 2 * ndtr(-REACH)))

    @cached_property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (8 K,) float64, exactly.

        The three conditions are independent, and the direction of q of the rest, so a cell has an eighth of
        P(conserved) sum_j share_j P(energies of k | j) P(|q| of k | j): draws of a channel j that look like k are
        counted, too. |q| / error is noncentral chi with 3 degrees of freedom, of which

            P(|q| <= x) = Phi(b) - Phi(-a) - error / p sqrt(2 / pi) exp(-(x^2 + p^2) / (2 error^2)) sinh(x p / error^2)

        with a = (x + p) / error and b = (x - p) / error.
        """
        from scipy.special import ndtr

        window = REACH * self.error
        ends = np.array([-window, window])

        def below(x: np.ndarray, p: np.ndarray) -> np.ndarray:
            a, b = (x + p) / self.error, (x - p) / self.error
            dip = (np.exp(-(b**2) / 2) - np.exp(-(a**2) / 2)) / np.sqrt(2 * np.pi)
            return np.where(x > 0, ndtr(b) - ndtr(-a) - self.error / p * dip, 0.0)

        # Rows are the channels that events look like, columns those that they are.
        energy = np.diff(ndtr((self.imbalances[:, None, None] + ends - self.imbalances[:, None]) / self.error))[..., 0]
        momentum = np.diff(below(self.momenta[:, None, None] + ends, self.momenta[:, None]))[..., 0]
        channels = (1 - 2 * ndtr(-REACH)) * (energy * momentum) @ self.shares
        return np.repeat(channels / OCTANTS, OCTANTS)

    def judge(self, data: np.ndarray) -> Judgement:
        """Whether each event conserves energy and momentum and has products of a channel; its channel and octant.

        data: (n, 8) float; rows that are not finite are impossible.
        """
        rows = as_rows(data, 8)
        finite = np.isfinite(rows).all(axis=1)
        first, second = np.split(np.where(finite[:, None], rows, 0.0), 2, axis=1)
        excess = first + second - np.array([1.0, 0.0, 0.0, 0.0])
        half = (first - second) / 2
        length = np.sqrt(np.square(half[:, 1:]).sum(axis=1))
        conserved = np.square(excess).sum(axis=1) <= 2 * self.options.smearing**2 * self._conserved
        window = REACH * self.error
        alike = np.abs(half[:, :1] - self.imbalances) <= window
        alike &= np.abs(length[:, None] - self.momenta) <= window
        octant = (half[:, 1:] > 0) @ np.array([4, 2, 1])
        return judged(finite & conserved & alike.any(axis=1), alike.argmax(axis=1) * OCTANTS + octant)
