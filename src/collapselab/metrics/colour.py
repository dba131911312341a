"""Colour: what the samples are coloured like, from the features of the extractor ``colours``."""

from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from ..features.colours import CHANNELS, HUE_DEGREES, LEVELS
from .estimates import Estimate, from_error

Bins = Annotated[int, Field(ge=1, le=LEVELS)]


def colour_share(real: Features | Array, fake: Features | Array) -> dict[str, float | Estimate]:
    """The share of the fakes' pixels that has each of the eleven basic colours (Berlin and Kay 1969), by its name.

    The mean over the images, so the shares add up to 1, with the interval of 1.96 standard errors of that mean from two
    images on. See :func:`~collapselab.features.colours.colours` for which colour has which name. The real samples play
    no part: their own shares are ``colour_share(real, real)``.

    Raises Undefined without rows or for shares that are not finite, ValueError for other features.
    """
    real, fake = Features.of(real), Features.of(fake)
    _columns(real, "share", "real")
    shares = _columns(fake, "share", "fake")
    if len(fake) == 1:
        return {name: float(share[0]) for name, share in shares.items()}
    found = {name: from_error(share.mean(), share.std(ddof=1) / len(share) ** 0.5) for name, share in shares.items()}
    return {name: Estimate(share, max(share.low, 0.0), min(share.high, 1.0)) for name, share in found.items()}


def level_share(real: Features | Array, fake: Features | Array, *, bins: Bins = 8) -> dict[str, float]:
    """The histogram of each channel: the share of the fakes' pixels in each of ``bins`` runs of levels, by its start.

    Named ``red from 0``, ``red from 32``, ..; the shares of a channel add up to 1. Where all channels are alike, as in
    grey images, they are told once: ``grey from 0``. The real samples play no part.
    Raises Undefined without rows or for shares that are not finite, ValueError for other features.
    """
    starts = np.arange(bins) * LEVELS // bins
    _columns(Features.of(real), CHANNELS[0], "real")
    levels = {channel: _mean(Features.of(fake), channel, "fake") for channel in CHANNELS}
    if all(np.array_equal(found, levels[CHANNELS[0]]) for found in levels.values()):
        levels = {"grey": levels[CHANNELS[0]]}
    return {
        f"{channel} from {start}": float(share)
        for channel, found in levels.items()
        for start, share in zip(starts, np.add.reduceat(found, starts), strict=True)
    }


def hue_share(real: Features | Array, fake: Features | Array) -> dict[str, float]:
    """The histogram of hues: how much of the fakes' chroma lies in each twelfth of the circle, by its middle.

    Named ``around 0`` (red), ``around 30``, .. degrees; the shares add up to 1. The real samples play no part.
    Raises Undefined without rows, for shares that are not finite, or where all pixels are grey; ValueError for other
    features.
    """
    _columns(Features.of(real), "hue", "real")
    chroma = _hues(Features.of(fake), "fake")
    sector = 30 // HUE_DEGREES
    turned = np.roll(chroma, sector // 2).reshape(-1, sector).sum(axis=1)
    return {f"around {30 * place}": float(share) for place, share in enumerate(turned)}


def colour_distance(real: Features | Array, fake: Features | Array) -> dict[str, float]:
    """How far each channel's levels lie from those of the real samples: the Wasserstein-1 distances and their mean.

    W = sum over levels l of |F_real(l) - F_fake(l)|

    with the distribution functions F of all pixels: in levels of 0..255, so that a shift of every pixel by s has
    distance s, and the mean level never differs by more than W. Named ``red``, ``green``, ``blue`` and ``mean``.

    Raises Undefined without rows or for shares that are not finite, ValueError for other features.
    """
    real, fake = Features.of(real), Features.of(fake)
    distances = {}
    for channel in CHANNELS:
        gap = np.cumsum(_mean(real, channel, "real") - _mean(fake, channel, "fake"))
        distances[channel] = float(np.abs(gap[:-1]).sum())  # the last is 0 but for rounding
    return {**distances, "mean": sum(distances.values()) / len(CHANNELS)}


def hue_distance(real: Features | Array, fake: Features | Array) -> float:
    """How far the hues lie from those of the real samples: the Wasserstein-1 distance on the circle, in degrees.

    W = b sum over bins of |D - median(D)|,    D = F_real - F_fake

    with bins of b = 5 degrees, where each pixel counts with its chroma, and F running once around the circle from
    anywhere. What is moved across that point is free to choose, and the median chooses best (Rabin, Delon and Gousseau
    2011). A rotation of the hues by a degrees within half a circle gives a at most.

    Raises Undefined without rows, for shares that are not finite, or where all pixels are grey; ValueError for other
    features.
    """
    real, fake = Features.of(real), Features.of(fake)
    gap = np.cumsum(_hues(real, "real") - _hues(fake, "fake"))
    return float(HUE_DEGREES * np.abs(gap - np.median(gap)).sum())


def _hues(features: Features, role: str) -> np.ndarray:
    """The share of the chroma in each bin of hue: (bins,) float64. Raises Undefined where all pixels are grey."""
    chroma = _mean(features, "hue", role)
    if chroma.sum() == 0:
        raise Undefined(f"{role}: all pixels are grey, which have no hue")
    return chroma / chroma.sum()


def _columns(features: Features, kind: str, role: str) -> dict[str, np.ndarray]:
    """The columns of one kind, by what follows it in their names: (n,) float64 each."""
    names = [name.partition(" ") for name in features.names or ()]
    places = {what: column for column, (first, _, what) in enumerate(names) if first == kind}
    if not places:
        raise ValueError(f"{role}: found features without columns '{kind} ..', allowed are those of 'colours'")
    features.require(1, role)
    found = on_host(features.values)[:, list(places.values())].T.astype(np.float64)
    return dict(zip(places, found, strict=True))


def _mean(features: Features, kind: str, role: str) -> np.ndarray:
    """The mean over the images of the columns of one kind, in their order: (bins,) float64."""
    return np.array([column.mean() for column in _columns(features, kind, role).values()])
