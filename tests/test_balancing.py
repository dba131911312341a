"""Selectors that look at the set as a whole, or at a table: what they keep, against definitions and exact laws."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from scipy.spatial.distance import cdist

from collapselab import study as studies
from collapselab.core.sets import SampleSet, Seen
from collapselab.features import Features
from collapselab.metrics import METRICS
from collapselab.select import SELECTORS
from collapselab.select.base import Pool
from collapselab.select.quota import QuotaOptions, quota
from collapselab.select.richness import (
    GREEDY,
    RichnessOptions,
    facilities,
    farthest_first,
    matching_moments,
    most_entropic,
    richness,
)
from collapselab.select.tails import TailsOptions, tails
from collapselab.select.targeting import targeted, wanted_rows
from collapselab.select.verified import VerifiedOptions, verified
from collapselab.select.weighted import WeightedOptions, weighted
from collapselab.store.cells import Cell
from collapselab.verbs.select import Choosing, pool_of, select

CELL = Cell("study", "arm", 0, 1)
ERRORS = 4.5


def normal(seed, rows, width=2):
    return np.random.default_rng(seed).normal(size=(rows, width))


def seen(samples, train):
    return Seen(Features(samples), Features(train))


def pool(data, train=None, labels=None, of_train=None):
    """Samples and the training split, through the eyes of ``identity``, or with their labels."""
    train = normal(99, 40, data.shape[1]) if train is None else train
    return Pool(SampleSet(data, labels), CELL, {"identity": seen(data, train)}, train=SampleSet(train, of_train))


# -- richness ----------------------------------------------------------------------------------------------------------


def brute(values, wanted, first, worth):
    """A greedy search by its definition: at every step all sets that one more sample makes."""
    taken = list(first)
    while len(taken) < wanted:
        left = [row for row in range(len(values)) if row not in taken]
        taken.append(max(left, key=lambda row: worth([*taken, row])))
    return taken


def discrepancy(values, train, rows):
    mean, covariance = train.mean(axis=0), np.cov(train.T)
    away, total = values[rows] - mean, np.trace(covariance)
    second = away.T @ away / len(rows)
    return np.sum(away.mean(axis=0) ** 2) / total + np.sum((second - covariance) ** 2) / (2 * total**2)


def log_distances(values, rows):
    apart = cdist(values[rows], values[rows])
    np.fill_diagonal(apart, np.inf)
    return np.log(apart.min(axis=1)).sum()


def test_greedy_searches_take_what_their_definitions_say():
    """Against all sets of one more, at every step: what is worth most, and how much."""
    values, train = normal(0, 40, 3), 0.7 * normal(1, 60, 3) + 0.3
    apart, wanted = cdist(values, values), 12
    far = int(np.linalg.norm(values - values.mean(axis=0), axis=1).argmax())

    found = farthest_first(seen(values, train), wanted)
    assert found.rows == brute(values, wanted, [far], lambda rows: apart[rows[-1]][rows[:-1]].min())
    np.testing.assert_allclose(found.worth[1:], [apart[r][found.rows[:i]].min() for i, r in enumerate(found.rows) if i])

    found = facilities(seen(values, train), wanted)
    to_real = cdist(values, train)
    assert found.rows == brute(values, wanted, [], lambda rows: -to_real[rows].min(axis=0).mean())
    near = [to_real.max(axis=0).mean(), *(to_real[found.rows[: i + 1]].min(axis=0).mean() for i in range(wanted))]
    np.testing.assert_allclose(found.worth, -np.diff(near), atol=1e-12)

    found = matching_moments(seen(values, train), wanted)
    assert found.rows == brute(values, wanted, [], lambda rows: -discrepancy(values, train, rows))
    expected = [-discrepancy(values, train, found.rows[: i + 1]) for i in range(wanted)]
    np.testing.assert_allclose(found.worth, expected, atol=1e-12)

    found = most_entropic(seen(values, train), wanted)
    assert found.rows == brute(
        values, wanted, [far, int(apart[far].argmax())], lambda rows: log_distances(values, rows)
    )
    sums = [log_distances(values, found.rows[: i + 1]) for i in range(1, wanted)]
    np.testing.assert_allclose(found.worth[2:], np.diff(sums), atol=1e-9)


def test_a_traversal_is_within_a_factor_of_two_of_the_best_cover():
    """Gonzalez (1985): against all sets of three of ten."""
    values = normal(2, 10)
    apart = cdist(values, values)
    best = min(apart[list(some)].min(axis=0).max() for some in itertools.combinations(range(10), 3))
    assert best <= apart[farthest_first(seen(values, values), 3).rows].min(axis=0).max() <= 2 * best


def test_each_search_is_best_at_what_it_is_for():
    """Half of a pool with a cluster and a lone mode: better than each of 200 draws by lot, at its own goal."""
    values = np.concatenate([0.1 * normal(3, 60), normal(4, 40) + np.array([2, 0])])
    train = normal(5, 300) + np.array([1, 0])
    goals = {
        "coverage": lambda rows: -cdist(values, values[rows]).min(axis=1).max(),
        "facility": lambda rows: -cdist(train, values[rows]).min(axis=1).mean(),
        "moments": lambda rows: -discrepancy(values, train, rows),
        "entropy": lambda rows: METRICS["neighbour_entropy"](train, values[rows]),
    }
    assert goals.keys() == GREEDY.keys()
    lots = [np.random.default_rng(seed).permutation(100)[:50] for seed in range(200)]
    for by, goal in goals.items():
        found = richness(pool(values, train), RichnessOptions(share=0.5, by=by, extractor="identity"), 0)
        assert goal(found.rows) > max(goal(rows) for rows in lots), by
        assert found.judge == by and sorted(int(one.split()[-1]) for one in found.reasons) == list(range(1, 51))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("by", GREEDY)
def test_equal_samples_and_constant_real_ones_are_no_fault(by):
    values = np.repeat(normal(6, 3), 4, axis=0)
    options = RichnessOptions(share=1.0, by=by, extractor="identity")
    found = richness(pool(values, np.zeros((5, 2))), options, 0)
    assert found.rows.tolist() == list(range(12))
    if by in ("coverage", "entropy"):  # one of each before any comes twice
        first = [row for row, why in zip(found.rows, found.reasons, strict=True) if int(why.split()[-1]) <= 3]
        assert len(np.unique(values[first], axis=0)) == 3


# -- tables and tails --------------------------------------------------------------------------------------------------


def test_a_group_gets_what_takes_it_to_its_truth_and_no_more():
    """min(pi, a + (1 - a) p) of 1,000 rows, whatever p is; without a truth a + (1 - a) p, for ever."""
    a, truth = 0.2, 0.1
    for p in (0.0, 0.02, 0.06, 0.1, 0.3):
        stopping = wanted_rows({1: a}, {1: p}, {1: truth}, 10_000)[1]
        assert (stopping + (10_000 - stopping) * p) / 10_000 == pytest.approx(
            max(p, min(truth, a + (1 - a) * p)), abs=1e-4
        )
        assert wanted_rows({1: a}, {1: p}, None, 10_000) == {1: 2000}


def test_groups_of_a_table_stop_together():
    """Each at its own truth, where the lot gives less than before since others take their part."""
    shares, truth = {0: 0.9, 1: 0.06, 2: 0.04}, {0: 0.5, 1: 0.2, 2: 0.3}
    rows = wanted_rows({1: 0.5, 2: 0.1}, shares, truth, 10_000)
    by_lot = 10_000 - sum(rows.values())
    assert rows[2] == 1000 and (rows[1] + by_lot * 0.06) / 10_000 == pytest.approx(0.2, abs=1e-4)
    whole = wanted_rows({0: 1 / 3, 1: 1 / 3, 2: 1 / 3}, shares, None, 100)
    assert sorted(whole.values()) == [33, 33, 34]  # no row is lost to rounding


def test_targets_come_after_a_lot_of_all():
    groups = np.repeat([0, 1], [80, 20])
    rows, chosen = targeted(groups, {1: 6}, 30, seed=3)
    assert len(rows) == 30 and len(set(rows.tolist())) == 30 and (groups[rows[chosen]] == 1).all() and chosen.sum() == 6
    lots = np.array([targeted(groups, {1: 6}, 30, seed)[0] for seed in range(2000)])
    mine = (groups[lots] == 1).sum(axis=1)
    assert mine.mean() == pytest.approx(6 + 24 * 0.2, abs=ERRORS * mine.std() / math.sqrt(2000))
    assert len(targeted(groups, {1: 25}, 30, seed=3)[0]) == 25  # five by lot, and of the class what there is: too few


def table(data_shares, **options):
    labels = np.repeat(np.arange(len(data_shares)), data_shares)
    real = np.repeat([0, 1, 2], [50, 30, 20])
    given = pool(np.zeros((len(labels), 2)), np.zeros((100, 2)), labels, real)
    return labels, quota(given, QuotaOptions(**options), 7)


def test_a_table_is_filled_class_by_class():
    labels, found = table([700, 200, 100], share=0.2, table={0: 0.2, 1: 0.3, 2: 0.5}, stops=False)
    assert np.bincount(labels[found.rows]).tolist() == [40, 60, 100] and found.judge == "quota"
    labels, even = table([700, 200, 100], share=0.15, table="even", stops=False)
    assert np.bincount(labels[even.rows]).tolist() == [50, 50, 50]
    labels, true = table([700, 200, 100], share=0.2, table="true")
    assert np.bincount(labels[true.rows]).tolist() == [100, 60, 40]
    assert {"class 0, chosen", "class 1, chosen", "class 2, chosen"} == set(true.reasons)


def test_a_class_that_is_too_rare_leaves_fewer():
    labels, found = table([900, 95, 5], share=0.2, table="even", stops=False)
    assert np.bincount(labels[found.rows]).tolist() in ([67, 67, 5], [67, 66, 5], [66, 67, 5])


def test_a_quota_stops_at_the_truth_and_a_standing_one_goes_beyond():
    """Class 2 has 20 % among real rows: of samples of which it has 16 %, 10 % more take it there and no further."""
    counts = {}
    for stops in (True, False):
        labels, found = table([500, 340, 160], share=0.5, table={2: 0.1}, stops=stops)
        counts[stops] = np.mean(labels[found.rows] == 2)
    error = ERRORS * math.sqrt(0.16 * 0.84 / 450 / 2)  # of the lot, without replacement
    assert counts[True] == pytest.approx(0.20, abs=error) and counts[False] == pytest.approx(0.244, abs=error)
    labels, there = table([500, 300, 200], share=0.5, table={2: 0.1})
    assert set(there.reasons) == {"by lot"}


def test_what_knows_no_classes_is_refused():
    rows = normal(0, 10)
    with pytest.raises(ValueError, match="extractor: these samples have no labels; name an extractor"):
        quota(pool(rows), QuotaOptions(share=0.5, table="even"), 0)
    with pytest.raises(ValueError, match="extractor: identity says no classes"):
        quota(pool(rows), QuotaOptions(share=0.5, table="even", extractor="identity"), 0)
    with pytest.raises(ValueError, match="table: found class 9, the training split has 0, 1, 2"):
        table([5, 5, 5], share=0.5, table={9: 0.5})
    for wrong in ({0: 0.7, 1: 0.4}, {0: -0.1}, {}):
        with pytest.raises(ValidationError, match="table: found"):
            QuotaOptions(share=0.5, table=wrong)


def test_a_study_hears_beforehand_of_an_extractor_that_knows_no_classes():
    raw = yaml.safe_load((Path(__file__).parents[1] / "config" / "papers" / "gillman.yaml").read_text())
    raw["arms"]["half_way"]["select"] = {"quota": {"share": 0.5, "table": "even", "extractor": "pixels"}}
    raw["arms"]["nearly_there"]["transform"] = [{"relabel": {"extractor": "random-conv"}}]
    with pytest.raises(studies.BadStudy) as caught:
        studies.from_plan(json.dumps(raw))
    said = str(caught.value)
    assert "'quota' reads classes; 'pixels' has none of images; extractors that do: lenet" in said
    assert "'relabel' reads classes; 'random-conv' has none of images; extractors that do: lenet" in said


def test_tails_are_those_of_the_real_samples():
    """Of numbers of twice the spread the far tenths at either end are more; a tail is what real quantiles say."""
    train, data = normal(0, 4000, 1), 2 * normal(1, 4000, 1)
    low, high = np.quantile(train, [0.1, 0.9])
    for tail, inside in (("low", data[:, 0] < low), ("high", data[:, 0] > high)):
        options = TailsOptions(share=0.1, chosen=1.0, tail=tail, extractor="identity", stops=False)
        found = tails(pool(data, train), options, 0)
        assert len(found.rows) == 400 and inside[found.rows].all()
        np.testing.assert_array_equal(found.scores, data[found.rows, 0])
        assert set(found.reasons) == {"a tail, chosen"}
    narrow = TailsOptions(share=0.5, chosen=0.5, extractor="identity")
    found = tails(pool(0.8 * train, train), narrow, 0)
    kept = 0.8 * train[found.rows, 0]
    assert np.mean((kept < low) | (kept > high)) == pytest.approx(0.2, abs=ERRORS * math.sqrt(0.2 * 0.8 / 2000))


def test_low_density_is_a_tail_too():
    """A lone group among the samples, where there is one real sample in a hundred: those of largest k-NN distance."""
    train = np.concatenate([0.1 * normal(0, 990), 0.1 * normal(1, 10) + 9])
    data = np.concatenate([0.1 * normal(2, 300), 0.5 * normal(3, 30) + 9])
    options = TailsOptions(share=0.1, by="density", chosen=0.6, quantile=0.05, extractor="identity", stops=False)
    found = tails(pool(data, train), options, 0)
    chosen = found.rows[[why.startswith("a tail") for why in found.reasons]]
    assert len(chosen) == 20 and np.mean(chosen >= 300) > 0.5
    expected = np.sort(cdist(data[found.rows], train), axis=1)[:, 4]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-9)


def test_an_attribute_has_a_name():
    with pytest.raises(ValueError, match="attribute: found 'sharpness', allowed are 0 to 1"):
        tails(pool(normal(0, 9)), TailsOptions(share=1, chosen=0.5, extractor="identity", attribute="sharpness"), 0)


# -- the ball, and weights ---------------------------------------------------------------------------------------------


def test_the_ball_lets_pass_what_lies_within_it():
    rows = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.6], [0.0, 1.0, 1.0], [2.0, 0.0, 9.0]])
    found = verified(pool(rows), VerifiedOptions(share=1.0, centre=(1.0, 1.0), radius=0.5), 0)
    assert found.rows.tolist() == [0, 2] and found.scores.tolist() == [0.0, 0.0]
    assert verified(pool(rows), VerifiedOptions(share=0.25, centre=(1.0,), radius=0.5), 0).rows.tolist() == [0]
    with pytest.raises(ValueError, match="centre: found 3 numbers, allowed are 2, one an input, or 1 for all"):
        verified(pool(rows), VerifiedOptions(share=1.0, centre=(1.0, 1.0, 1.0), radius=0.5), 0)
    for wrong in ({"radius": 0}, {"centre": ()}, {"share": 0}):
        with pytest.raises(ValidationError):
            VerifiedOptions(**{"share": 1.0, "centre": (1.0,), "radius": 1.0} | wrong)


def test_weights_follow_the_score_and_have_the_mean_one():
    data = np.array([[0.5], [1.0], [3.0]])
    found = weighted(pool(data), WeightedOptions(extractor="identity", strength=0.5), 0)
    expected = np.exp([0.25, 0.5, 1.5])
    np.testing.assert_allclose(found.weights, expected / expected.mean())
    assert found.rows.tolist() == [0, 1, 2] and found.scores.tolist() == [0.5, 1, 3]
    shared = weighted(pool(data), WeightedOptions(extractor="identity", by="proportional"), 0)
    np.testing.assert_allclose(shared.weights, np.array([0.5, 1, 3]) / 1.5)
    same = weighted(pool(data), WeightedOptions(extractor="identity", strength=0), 0)
    np.testing.assert_array_equal(same.weights, 1.0)
    liked = Pool(SampleSet(data), CELL, scores={"reward": np.array([2.0, 2.0, 5.0])})
    assert weighted(liked, WeightedOptions(reward="some"), 0).judge == "some"


def test_a_reward_weighs_through_the_verb():
    """What the registry's reward of a coordinate gives, and the weights of its exponential."""
    data = normal(3, 50)
    entry = SELECTORS["weighted"]
    step = Choosing("weighted", entry, entry.Options(reward={"coordinate": {"beta": 2.0}}, strength=0.5))
    found = select([step], pool_of(SampleSet(data), CELL), 1)
    np.testing.assert_allclose(found.scores, 2 * data[:, 0])
    np.testing.assert_allclose(found.weights, np.exp(data[:, 0]) / np.exp(data[:, 0]).mean())
    assert len(found.rows) == 50 and found.judge == "coordinate"


def test_scores_that_are_none_are_refused():
    with pytest.raises(ValidationError, match="reward, extractor: found none"):
        WeightedOptions()
    with pytest.raises(ValidationError, match="reward, extractor: found both"):
        WeightedOptions(reward="some", extractor="identity")
    by = WeightedOptions(extractor="identity", by="proportional")
    with pytest.raises(ValueError, match="by: found scores down to -1"):
        weighted(pool(np.array([[-1.0], [1.0]])), by, 0)
    with pytest.raises(ValueError, match="strength: found 1, by which some of scores from 0 to 1000 weigh nothing"):
        weighted(pool(np.array([[0.0], [1000.0]])), WeightedOptions(extractor="identity"), 0)
    with pytest.raises(ValueError, match="identity: 1 of 2 scores are not finite"):
        weighted(pool(np.array([[np.nan], [1.0]])), WeightedOptions(extractor="identity"), 0)
