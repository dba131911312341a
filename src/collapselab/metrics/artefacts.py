"""Artefacts: patterns that a network leaves in every image, from the features of the extractor ``spectrum``."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, from_error

Period = Annotated[int, Field(ge=2, le=64)]
AROUND = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if (down, across) != (0, 0)]


def cross_hatching(real: Features | Array, fake: Features | Array, *, period: Period = 4) -> float | Estimate:
    """How far the power at the frequencies of a lattice stands out, against how far it does in the real samples.

    mean over lattice frequencies k of  [P_f(k) / B_f(k)] / [P_r(k) / B_r(k)]

    with the mean power P over the images, and the background B(k): the geometric mean of P at the eight frequencies
    around k. Lattice frequencies are (i, j) / period cycles a pixel with neither i nor j a multiple of the period:
    what repeats every ``period`` pixels down and across, and is no mere stripe along a side; the axes, where the jump
    between opposite borders lies, are left out. An up-sampling by 2, 4 or 8 can leave these periods (Odena, Dumoulin
    and Olah 2016), and self-consuming loops amplify them (Alemohammad et al. 2023, arXiv 2307.01850, figure 1).

    1 for real samples, and (1 + e)^2 where the fakes' response at the lattice is 1 + e and smooth elsewhere. Contrast
    cancels, and so does any response whose logarithm is linear over three neighbouring frequencies; what a blur leaves
    falls with the square of the images' side, at 32 pixels 2 % or less for the kernel (.1, .8, .1). The interval is
    that of the logarithm, 1.96 standard errors of both sides to first order in the means, from two images on each.

    Raises Undefined for no rows, values that are not finite, a period that does not divide the sides or leaves no
    frequency between those of the lattice, or no power at or around these; ValueError for other features.
    """
    real, fake = Features.of(real), Features.of(fake)
    excess, spread = [], []
    for role, features in (("real", real), ("fake", fake)):
        lattice, around = _powers(features, period, role)
        at, beside = lattice.mean(axis=0), around.mean(axis=0)
        if not (at.all() and beside.all()):
            raise Undefined(f"{role}: no power at or beside the frequencies of a lattice of {period} pixels")
        excess.append(np.log(at) - np.log(beside).mean(axis=1))
        spread.append(lattice / at - (around / beside).mean(axis=2))  # what each image adds to the excess
    ratios = np.exp(excess[1] - excess[0])
    index = float(ratios.mean())
    if min(len(real), len(fake)) == 1:
        return index
    variance = sum((rows @ ratios / ratios.sum()).var(ddof=1) / len(rows) for rows in spread)
    logarithm = from_error(np.log(index), np.sqrt(variance))
    return Estimate(index, np.exp(logarithm.low), np.exp(logarithm.high))


def lattice_scores(real: Features | Array, fake: Features | Array, *, period: Period = 4) -> np.ndarray:
    """How strong a lattice each fake shows: (n,) float64, 0 for none, some 1 for an image like the real samples.

    mean over lattice frequencies k of  [P(k) / B(k)] / [P_r(k) / B_r(k)]

    as :func:`cross_hatching`, with the fake's own powers P, the mean powers P_r of the real samples, and arithmetic
    means B of the eight around k: one image's powers scatter by orders of magnitude. Its own background tells a weak
    lattice in a smooth image from a rough one. An image without power has none at the lattice and scores 0; one that
    is nothing but a lattice scores infinity.

    Raises what :func:`cross_hatching` does.
    """
    real, fake = Features.of(real), Features.of(fake)
    lattice, around = (powers.mean(axis=0) for powers in _powers(real, period, "real"))
    if not (lattice.all() and around.any(axis=1).all()):
        raise Undefined(f"real: no power at or beside the frequencies of a lattice of {period} pixels")
    at, beside = _powers(fake, period, "fake")
    at, beside = at / lattice, beside.mean(axis=2) / around.mean(axis=1)
    with np.errstate(divide="ignore"):
        return np.divide(at, beside, out=np.zeros_like(at), where=at > 0).mean(axis=1)


class Growth(NamedTuple):
    """By which share an artefact's amplitude grows a generation, and how many generations say so."""

    rate: Estimate
    points: int


def growth_rate(values: Mapping[int, float]) -> Growth:
    """The growth e of an artefact's amplitude per generation, from an index of its power, as :func:`cross_hatching`.

    A linear response 1 + e of each generation multiplies the power by (1 + e)^2, so log index = a + 2 t log(1 + e):
    the slope b of the straight line of least squares gives e = exp(b / 2) - 1, and the 95 % interval of b from its
    standard error, by Student's t with n - 2 degrees of freedom, gives that of e.

    values: generation -> index. Raises Undefined for fewer than 3 generations, or an index that is not a positive
    number.
    """
    from scipy.special import stdtrit

    if len(values) < 3:
        raise Undefined(f"values: found {len(values)} generations, needed are at least 3")
    generations, index = (np.array(list(numbers), np.float64) for numbers in (values.keys(), values.values()))
    bad = [generation for generation, value in values.items() if not 0 < value < np.inf]
    if bad:
        raise Undefined(f"values: found {values[bad[0]]} in generation {bad[0]}, needed are positive numbers")
    time, logs = generations - generations.mean(), np.log(index)
    slope = time @ logs / (time @ time)
    rest = logs - logs.mean() - slope * time
    freedom = len(values) - 2
    error = stdtrit(freedom, 0.975) * np.sqrt(rest @ rest / freedom / (time @ time))
    return Growth(Estimate(*np.expm1(np.array([slope, slope - error, slope + error]) / 2)), len(values))


def _powers(features: Features, period: int, role: str) -> tuple[np.ndarray, np.ndarray]:
    """The power at each lattice frequency, (n, k), and at the eight around it, (n, k, 8); both float64."""
    if period < 2:
        raise ValueError(f"period: found {period!r}, allowed are whole numbers from 2")
    place, height, width = _frequencies(features, role)
    down, across = height // period, width // period
    if height % period or width % period or min(down, across) < 2:
        raise Undefined(
            f"{role}: a lattice of {period} pixels needs sides that are at least two periods, and whole ones; found "
            f"{height} x {width} pixels"
        )
    features.require(1, role)
    # A real image has equal powers at opposite frequencies, which have one place: each pair counts once.
    steps = range(1, period)
    lattice = {place[i * down, j * across]: (i * down, j * across) for i in steps for j in steps}
    around = [[place[(ky + y) % height, (kx + x) % width] for y, x in AROUND] for ky, kx in lattice.values()]
    values = on_host(features.values)
    return values[:, list(lattice)].astype(np.float64), values[:, around].astype(np.float64)


def _frequencies(features: Features, role: str) -> tuple[dict[tuple[int, int], int], int, int]:
    """Where the power at ky / H, kx / W stands, for every ky below H and kx below W; H and W."""
    try:
        parts = [[part.split("/") for part in name.split(" ")] for name in features.names or ()]
        found = [tuple(int(number) for part in (down, across) for number in part) for down, across in parts]
        _, height, _, width = found[0]
    except (ValueError, IndexError):
        raise ValueError(
            f"{role}: found features whose columns name no frequencies, allowed are those of 'spectrum'"
        ) from None
    place: dict[tuple[int, int], int] = {}
    for column, (ky, _, kx, _) in enumerate(found):
        for sign in (1, -1):
            place.setdefault((sign * ky % height, sign * kx % width), column)
    return place, height, width
