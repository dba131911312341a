"""Keeping by likelihood: under the model that made the samples, or under a density of the training data's features."""

from typing import Literal

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.distances import on_host
from ..core.facts import Facts, neighbours_fault
from ..features import Features
from ..features.base import ExtractorName
from ..metrics import neighbours as balls
from ..models.capabilities import ODE_STEPS, PROBES
from .base import Pool, Selection, ShareOptions
from .ranking import best, checked, nothing


class LikelihoodOptions(ShareOptions):
    """Which end is kept, and how the likelihood of a diffusion model is computed."""

    end: Literal["top", "bottom", "random"] = Field(
        "top", description="keep the likeliest samples, the least likely ones, or as many by lot"
    )
    steps: int = Field(ODE_STEPS, ge=1, description="of the solver, where the likelihood is the end of an ODE")
    probes: int = Field(PROBES, ge=0, description="random vectors that estimate its trace; 0: the trace itself")


def likelihood(pool: Pool, options: LikelihoodOptions, seed: int) -> Selection:
    """The samples that the model which made them holds for the likeliest, for the least likely, or as many by lot.

    scores: log p(x) in nats (``models.capabilities.Scores``), exact for families with a closed form. Raises ValueError
    where a sample has none, as of a law without a density.
    """
    if not len(pool):
        return nothing("likelihood")
    nats = pool.model.log_likelihood(pool.samples.data, seed, steps=options.steps, probes=options.probes)
    scores, wanted = checked(nats), options.keeps(len(pool))
    if options.end == "random":
        rows = np.sort(seeds.generator(seed).permutation(len(pool))[:wanted])
        return Selection(rows, scores[rows], ("drawn",) * wanted, "likelihood")
    found = best(scores if options.end == "top" else -scores, wanted, f"{options.end} likelihood", "likelihood")
    return Selection(found.rows, scores[found.rows], found.reasons, found.judge)


class LatentFilterOptions(ShareOptions):
    """Where one looks, and what is realistic there."""

    extractor: ExtractorName = Field(description="whose features are the latent space; not the primary metric's")
    by: Literal["realism", "likelihood"] = Field(
        "likelihood", description="likelihood: under a normal law of the training features; realism: by neighbours"
    )
    within: Literal["all", "class"] = Field(
        "all", description="likelihood: of one law of all training rows, or of that of the sample's own class"
    )
    k: int = Field(3, ge=1, description="realism: a ball around each training row reaches to its k-th nearest one")


def latent_filter(pool: Pool, options: LatentFilterOptions, seed: int) -> Selection:
    """The samples that are most realistic in a latent space, that is in the features of an extractor of choice.

    By ``likelihood``: the log-density under a normal law that is fitted to the training rows' features, with their own
    variances and the correlations of Ledoit and Wolf (2004), which are definite however few rows there are. By
    ``realism``: as :func:`select.neighbours.realism`. Both filter out what leaves the low-dimensional structure of real
    data in a latent space (Cai, Wang, Liu and Zhang 2025, arXiv 2511.12742), whose own score is another one. scores:
    nats, or R.

    Raises ValueError for samples of a class of which there are fewer than two training rows, or without labels.
    """
    if not len(pool):
        return nothing("latent filter")
    seen, wanted = pool.seen[options.extractor], options.keeps(len(pool))
    if options.by == "realism":
        return best(balls.realism(seen.train, seen.samples, k=options.k), wanted, "most realistic", "latent filter")
    seen.train.require(2, "training rows")
    seen.samples.require(1, "samples")
    scores = _by_class(pool, seen) if options.within == "class" else log_density(seen.train, seen.samples)
    return best(scores, wanted, "likeliest", "latent filter")


def log_density(train: Features, samples: Features) -> np.ndarray:
    """The log-density of samples under a normal law that is fitted to training rows, in nats: (n,) float64."""
    from sklearn.covariance import ledoit_wolf

    rows, asked = (np.asarray(on_host(one.values), np.float64) for one in (train, samples))
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    correlations, _ = ledoit_wolf((rows - mean) / scale, assume_centered=True)
    values, vectors = np.linalg.eigh(correlations)
    values = np.maximum(values, values.max() * 1e-12 + np.finfo(float).tiny)
    along = (asked - mean) / scale @ vectors
    return -0.5 * ((along**2 / values).sum(axis=1) + np.log(2 * np.pi * values * scale**2).sum())


def _by_class(pool: Pool, seen: object) -> np.ndarray:
    """The same, of each class by itself."""
    if pool.samples.labels is None or pool.train is None or pool.train.labels is None:
        raise ValueError("within: found class, and data without labels; allowed is all")
    scores = np.empty(len(pool))
    for label in np.unique(pool.samples.labels):
        own, real = pool.samples.labels == label, pool.train.labels == label
        if real.sum() < 2:
            raise ValueError(f"within: found {real.sum()} training rows of class {label}, allowed are 2 or more")
        of_train, of_samples = (Features(one.values[rows]) for one, rows in ((seen.train, real), (seen.samples, own)))
        scores[own] = log_density(of_train, of_samples)
    return scores


def unlabelled(options: LatentFilterOptions) -> str:
    """A law of each class of the samples, where one is asked for: realism asks for none."""
    if options.by == "likelihood" and options.within == "class":
        return "within: found class, and the samples have no labels; say within: all"
    return ""


def fault(facts: Facts, options: LatentFilterOptions) -> str:
    """A neighbour that the training split has not."""
    return neighbours_fault(facts, options.k) if options.by == "realism" else ""
