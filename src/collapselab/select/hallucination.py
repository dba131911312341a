"""Keeping what the sampler was sure of: samples on whose path the predicted clean sample hardly moved any more."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.choice import Options
from ..engine.watching import Path, Watching
from .base import Pool, Selection, ShareOptions
from .ranking import best, nothing


class Detector(NamedTuple):
    """What tells a hallucination by the path of a sample: larger is worse.

    seen: the score, (n,) float64. probes, tangents: of every random vector that is asked for, those that are of use to
    it (:class:`engine.watching.Watching`).
    """

    seen: Callable[[Path], np.ndarray]
    probes: int = 0
    tangents: int = 0


DETECTORS: Mapping[str, Detector] = {
    "variance": Detector(lambda path: path.variance),
    "laplacian": Detector(lambda path: path.slope, probes=1),
    "dimension": Detector(lambda path: path.dimension, tangents=1),
}


class WatchingOptions(Options):
    """What is watched, and on which part of the path."""

    by: Literal["variance", "laplacian", "dimension"] = Field(
        "variance",
        description="variance of the predicted clean sample; laplacian: of the log-density, by its trace; dimension: "
        "local dimension of the data around the predicted clean sample",
    )
    window: tuple[float, float] = Field(
        (0.5, 1.0), description="the part of the path that is watched: 0 is where the noise is, 1 the sample; its steps"
    )
    probes: int = Field(
        1, ge=1, description="laplacian, dimension: random vectors that estimate the trace, one evaluation each"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        begin, end = self.window
        if not 0 <= begin < end <= 1:
            raise ValueError(f"window: found {begin:g} to {end:g}, allowed are two shares of the path from 0 to 1")
        return self


class HallucinationOptions(WatchingOptions, ShareOptions):
    """How much is kept, and by what."""


def watching(options: WatchingOptions) -> Watching:
    """What a model is asked for beside samples (``Ask.guide``): that their paths are watched."""
    detector = DETECTORS[options.by]
    return Watching(*options.window, options.probes * detector.probes, options.probes * detector.tangents)


def hallucination(pool: Pool, options: HallucinationOptions, seed: int) -> Selection:
    """The samples that are the least likely to be hallucinated, that is to lie between the modes of the data.

    A smooth network cannot follow the jump of the exact score between two modes: samples that come to lie there are
    pulled to and fro to the end. By ``variance``, with D the predicted clean sample at step t,

        Hal(x) = 1 / |T| sum over t in the window T of (D_t - mean of D)^2, averaged over pixels

    (Aithal, Maini, Lipton and Kolter 2024, arXiv 2406.09358, eq. 6; they watch the last part of the path). A wrong
    window is worse than chance. By ``laplacian``: tr dD/dx = d + sigma^2 Laplacian log p, over d, averaged over the
    window (:class:`engine.watching.Watching`); large where a density has a trough between modes. By ``dimension``: the
    local dimension around D_t at the scale of the noise, over d (Kamkari et al. 2024, arXiv 2406.03537), averaged
    alike; large in a gap, too, and it asks the denoiser about the clean sample, of which the sampler's noise is no
    part. scores: one of them, larger is worse; the smallest are kept.

    The samples are made again from their own seed, and watched; no path is ever stored. Raises ValueError where they do
    not come out as they are in the pool, as on another kind of device.
    """
    if not len(pool):
        return nothing("hallucination")
    scores = DETECTORS[options.by].seen(watched(pool, options))
    found = best(-scores, options.keeps(len(pool)), "surest path", "hallucination")
    return Selection(found.rows, scores[found.rows], found.reasons, found.judge)


def watched(pool: Pool, options: WatchingOptions) -> Path:
    """The paths of the samples of a pool, which are made again."""
    watch = watching(options)
    made = pool.model.sample(replace(pool.ask, guide=watch))
    places = np.arange(len(pool)) if pool.places is None else pool.places
    again = made.data[places]
    altered = np.asarray(pool.samples.aux.get("altered", np.zeros(len(pool), bool)), bool)
    same = (again == pool.samples.data).reshape(len(pool), -1).all(axis=1)
    if bad := (~same & ~altered).sum():
        raise ValueError(
            f"found {bad} of {len(pool)} samples that are others when they are made again, so that their paths cannot "
            "be watched; run the selection on the kind of device and with the version that made them"
        )
    return Path(*(part[places] for part in watch.path(pool.ask.count)))
