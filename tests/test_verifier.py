"""The imperfect verifier: what it accepts, in which order, and the threshold beyond which it no longer helps."""

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab.core.sets import SampleSet
from collapselab.features import FEATURES
from collapselab.populations import POPULATIONS
from collapselab.select import SELECTORS
from collapselab.select.base import Pool, Seen
from collapselab.store.cells import Cell

SELECTOR = SELECTORS["verifier"]
(READS,) = SELECTOR.needs.features
CELL = Cell("study", "arm", 0, 1)
ERRORS = 4.5


def chosen(right, seed=0, **options):
    """The selection among rows of two classes, of which ``right`` says which have the right label."""
    right = np.asarray(right, bool)
    rows = np.stack([np.ones(len(right)), np.where(right, 1.0, -1.0)], axis=1)
    kind = POPULATIONS["two-classes"]
    truth = kind.population(kind.PopulationOptions(dimension=1))
    features = FEATURES[READS].extract(rows, truth)
    pool = Pool(SampleSet(rows), CELL, {READS: Seen(features, None)})
    return SELECTOR.select(pool, SELECTOR.Options(**options), seed)


def of_chance(p, count=20_000):
    return np.random.default_rng(0).random(count) >= p


def test_a_perfect_verifier_keeps_the_first_right_samples():
    found = chosen([1, 0, 0, 1, 1, 0, 1, 1], phi=1, psi=0, share=0.5)
    assert found.rows.tolist() == [0, 3, 4, 6] and found.scores.tolist() == [1] * 4
    assert found.reasons == ("right, accepted",) * 4 and found.judge == "verifier"
    worst = chosen([1, 0, 0, 1, 1, 0, 1, 1], phi=0, psi=1, share=0.375)
    assert worst.rows.tolist() == [1, 2, 5] and worst.reasons == ("wrong, accepted",) * 3


@pytest.mark.parametrize("p", [0.1, 0.5, 0.7273])
@pytest.mark.parametrize(("phi", "psi"), [(0.8, 0.3), (0.5, 0.5), (1.0, 0.1)])
def test_what_is_kept_is_wrong_as_often_as_the_law_says(phi, psi, p):
    """p psi / (p psi + (1 - p) phi), and 1 / 2 at p = 1 / (1 + psi / phi): 0.7273 for 0.8 and 0.3."""
    right = of_chance(p)
    p = 1 - right.mean()  # of these samples
    found = chosen(right, phi=phi, psi=psi, share=0.2)
    assert len(found.rows) == 4000 and (np.diff(found.rows) > 0).all()
    expected = p * psi / (p * psi + (1 - p) * phi)
    assert 1 - found.scores.mean() == pytest.approx(expected, abs=ERRORS * np.sqrt(expected * (1 - expected) / 4000))
    assert np.array_equal(right[found.rows], found.scores == 1)


def test_the_threshold_is_where_the_law_puts_it():
    wrong = {p: 1 - chosen(of_chance(p), phi=0.8, psi=0.3, share=0.4).scores.mean() for p in (0.69, 0.76)}
    assert wrong[0.69] < 0.5 < wrong[0.76]


def test_acceptance_is_the_samples_own():
    """Another judgement of one sample changes nothing for the others; another seed does."""
    right = of_chance(0.4, 300)
    whole = chosen(right, phi=0.7, psi=0.2, share=0.3).rows
    other = right.copy()
    other[0] = not other[0]
    assert set(chosen(other, phi=0.7, psi=0.2, share=0.3).rows[1:-1]) <= set(whole) | {0}
    assert np.array_equal(chosen(right, phi=0.7, psi=0.2, share=0.3).rows, whole)
    assert not np.array_equal(chosen(right, seed=1, phi=0.7, psi=0.2, share=0.3).rows, whole)


def test_too_few_accepted_samples_are_all_that_there_are():
    assert chosen([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], phi=1, psi=0, share=0.5).rows.tolist() == [0, 1, 2, 3]


def test_no_samples_are_no_fault():
    found = SELECTOR.select(Pool(SampleSet(np.empty((0, 2))), CELL), SELECTOR.Options(phi=1, psi=0, share=0.5), 0)
    assert len(found.rows) == 0 and found.reasons == ()


@pytest.mark.parametrize("options", [{"phi": 1, "psi": 0}, {"phi": 1.1, "psi": 0, "share": 1}, {"phi": 1, "share": 1}])
def test_options_have_ranges(options):
    with pytest.raises(ValidationError):
        SELECTOR.Options(**options)
