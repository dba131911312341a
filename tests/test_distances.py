"""Distances of numpy arrays and tensors alike: those of the definition, exact where collapse makes them vanish."""

import tracemalloc

import numpy as np
import pytest

from collapselab.core import distances
from collapselab.core.distances import centre, nearest_distances, row_words, squared_distances

torch = pytest.importorskip("torch")
ROUNDING = 1e-9  # the relative error of a distance that squared_distances promises
LIBRARIES = [np.asarray, torch.from_numpy]

pytestmark = pytest.mark.parametrize("library", LIBRARIES, ids=["numpy", "torch"])


def normal(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def direct_distances(probes, manifold):
    """All distances by differences, the definition."""
    return np.sqrt(((probes[:, None].astype(np.float64) - manifold[None]) ** 2).sum(axis=2))


def direct_nearest(values, k):
    return np.sort(direct_distances(values, values), axis=1)[:, 1 : k + 1]  # column 0 is the row itself


def all_distances(probes, manifold, library):
    blocks = squared_distances(library(probes), library(manifold))
    return np.sqrt(np.concatenate([np.asarray(squared) for _, squared in blocks]))


def nearest(values, k, library):
    return np.asarray(nearest_distances(library(values), k))


def tight(seed, rows, spread, width=512):
    """A cluster as collapse makes it: narrow, and far from the origin."""
    offset = np.random.default_rng(99).uniform(0, 0.8, width)
    return (offset + spread * normal(seed, rows, width)).astype(np.float32)


@pytest.fixture(params=[None, 1000], ids=["at_once", "in_blocks"], autouse=True)
def blocks(request, monkeypatch):
    """Every law holds in one block and in many."""
    if request.param:
        monkeypatch.setattr(distances, "BLOCK_ENTRIES", request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_are_those_of_the_definition(library, dtype):
    probes, manifold = normal(0, 40, 7, dtype=dtype), normal(1, 90, 7, dtype=dtype)
    found = all_distances(probes, manifold, library)
    np.testing.assert_allclose(found, direct_distances(probes, manifold), rtol=ROUNDING)
    np.testing.assert_allclose(nearest(manifold, 6, library), direct_nearest(manifold, 6), rtol=ROUNDING)


@pytest.mark.parametrize("spread", [1e-1, 1e-2, 1e-3, 1e-4, 1e-6])
def test_a_tight_cluster_keeps_its_distances(library, spread):
    values = tight(5, 100, spread)
    np.testing.assert_allclose(nearest(values, 5, library), direct_nearest(values, 5), rtol=ROUNDING)
    found = all_distances(values[:10], values[10:], library)
    np.testing.assert_allclose(found, direct_distances(values[:10], values[10:]), rtol=ROUNDING)


@pytest.mark.parametrize("spread", [1e-4, 1e-10])
def test_tight_clusters_around_many_centres_keep_their_distances(library, spread):
    """Here the mean lies in no cluster, and the expansion of the square alone would leave nothing but rounding."""
    values = 5 * np.repeat(normal(7, 10, 64), 20, axis=0) + spread * normal(8, 200, 64)
    np.testing.assert_allclose(nearest(values, 5, library), direct_nearest(values, 5), rtol=ROUNDING)


def test_an_outlier_spoils_no_distance(library):
    """It draws the mean far away from the cluster, whose distances then all cancel."""
    values = np.concatenate([tight(5, 60, 1e-3, 32), np.full((1, 32), 1e4, np.float32)])
    np.testing.assert_allclose(nearest(values, 5, library), direct_nearest(values, 5), rtol=ROUNDING)


def test_equal_rows_are_no_distance_apart(library):
    few = np.repeat(tight(6, 4, 0.3), 30, axis=0)
    found = nearest(few, 30, library)
    assert np.all(found[:, :29] == 0) and np.all(found[:, 29] > 0)
    apart = all_distances(few[::30].astype(np.float64), few, library)  # equal in another precision too
    assert np.array_equal(apart == 0, np.arange(4)[:, None] == np.arange(120) // 30)


def test_zero_has_one_sign(library):
    values = np.array([[0.0, 1.0], [-0.0, 1.0], [3.0, 4.0]])
    assert nearest(values, 1, library)[:, 0].tolist() == [0, 0, np.sqrt(18)]


@pytest.mark.parametrize("order", ["as drawn", "each nearer than those before"])
def test_the_nearest_are_found_in_any_order_of_rows(library, order):
    """On a line, where rows that come later are the nearer ones, each block replaces all that was found before."""
    values = normal(3, 300, 1)
    if order != "as drawn":
        values = np.geomspace(1e6, 1, 300)[:, None] * np.where(np.arange(300) % 2, 1, -1)[:, None]
    np.testing.assert_allclose(nearest(values, 7, library), direct_nearest(values, 7), rtol=ROUNDING)


def test_the_mean_of_equal_rows_is_the_row(library):
    """0.1 is no binary fraction: a mean of 37 of them is off by a rounding."""
    constant = np.full((37, 5), 0.1)
    assert np.array_equal(np.asarray(centre(library(constant)))[0], constant[0])
    values = normal(0, 500, 3) + 1e3
    np.testing.assert_allclose(np.asarray(centre(library(values)))[0], values.mean(axis=0), rtol=1e-15 * 20)


def test_words_are_those_of_the_rows(library):
    """In one word or another precision; rows of whole numbers differ in few bits, and have other words all the same."""
    whole = np.stack(np.meshgrid(*[np.arange(30.0)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)
    words = np.asarray(row_words(library(whole)))
    assert len(np.unique(words)) == len(whole)
    assert np.array_equal(np.asarray(row_words(library(whole[::-1].astype(np.float64)))), words[::-1])


def test_rows_of_different_length_are_refused(library):
    with pytest.raises(ValueError, match="of 3 and of 4 numbers"):
        list(squared_distances(library(normal(0, 5, 3)), library(normal(0, 5, 4))))


def test_memory_is_that_of_the_blocks(library, monkeypatch):
    if library is not np.asarray:
        pytest.skip("only numpy's memory is traced")
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 2**16)
    values = normal(2, 2000, 4)
    tracemalloc.start()
    nearest_distances(values, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**16 * 8 < 2000 * 2000 * 8 / 4  # a few blocks of float64; the whole matrix has sixty
