"""Samples are drawn towards the nearest cluster of real ones."""

from dataclasses import replace

import numpy as np
from pydantic import Field

from ..core.choice import Options
from ..core.distances import squared_distances
from ..core.kinds import KINDS
from ..core.sets import SampleSet
from .base import Given

SEED = 0  # of k-means: the clusters are a function of the real rows alone, the same in every generation


class ProjectOptions(Options):
    """How far, and towards what."""

    gamma: float = Field(ge=0, allow_inf_nan=False, description="strength: 0 leaves samples as they are, 1 goes half")
    clusters: int = Field(16, ge=1, description="clusters of k-means, of each class where the samples have labels")


def project(given: Given, options: ProjectOptions, seed: int) -> SampleSet:
    """Each sample x, drawn towards the nearest centre c of k-means of the training split.

    x' = (x + gamma c) / (1 + gamma)

    The self-correction of Gillman et al. (2024, arXiv 2402.07087), whose corrector on MNIST is k-means with 16 clusters
    a digit. Of samples with labels the centres are those of their class. In a loop with one cluster the mean comes back
    by 1 / (1 + gamma) in every generation (:func:`~collapselab.theory.contraction`), and the spread around the centres
    shrinks by as much, so that a corrector of few clusters is a collapse of its own. Images are computed in float and
    rounded.

    given.train: of the same shape, with labels where the samples have some. Raises ValueError for a class that the
    training split has not.
    """
    samples, kind = given.samples, KINDS[given.samples.kind]
    moved, real = kind.to_unit(samples.data).astype(np.float64), kind.to_unit(given.train.data).astype(np.float64)
    moved, real = moved.reshape(len(moved), -1), real.reshape(len(real), -1)
    labels = np.zeros(len(moved), np.int64) if samples.labels is None else samples.labels
    of_real = np.zeros(len(real), np.int64) if samples.labels is None else given.train.labels
    for label in np.unique(labels):
        rows, known = labels == label, real[of_real == label]
        if not len(known):
            raise ValueError(f"samples: found class {label}, of which the training split has no row to draw it towards")
        centres = _centres(known, options.clusters)
        moved[rows] = (moved[rows] + options.gamma * centres[_nearest(moved[rows], centres)]) / (1 + options.gamma)
    data = kind.from_unit(moved.reshape(samples.data.shape))
    return replace(samples, data=np.asarray(data, samples.data.dtype))


def _centres(rows: np.ndarray, clusters: int) -> np.ndarray:
    """Of no more clusters than there are different rows: (k, d). One is the mean, without a search."""
    if clusters == 1:
        return rows.mean(axis=0, keepdims=True)
    from sklearn.cluster import KMeans

    different, counts = np.unique(rows, axis=0, return_counts=True)
    means = KMeans(min(clusters, len(different)), n_init=4, random_state=SEED)
    return means.fit(different, sample_weight=counts).cluster_centers_


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    found = np.empty(len(rows), np.int64)
    for some, squared in squared_distances(rows, centres):
        found[some] = squared.argmin(axis=1)
    return found
