"""What the known truth says of samples, and the metrics of it: exact values, both ways, and estimates beside them."""

import numpy as np
import pytest

from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.features import FEATURES, Features
from collapselab.features.truth import NAMES, rare_cells
from collapselab.metrics import METRICS, expected_true_coverage, expected_true_recall
from collapselab.models.multinomial import Multinomial, MultinomialPopulation
from collapselab.populations import POPULATIONS

LOOK = FEATURES["truth"].extract
ERRORS = 4.5


def population(name, **options):
    kind = POPULATIONS[name]
    return kind.population(kind.PopulationOptions(**options))


def values(data, truth):
    """All metrics of the truth."""
    seen = LOOK(data, truth)
    found = {}
    for name, metric in METRICS.items():
        if metric.extractors == ("truth",):
            try:
                found[name] = metric(seen, seen)
            except Undefined:
                found[name] = None
    return found


def categories(*shares):
    return Multinomial.population(MultinomialPopulation(probabilities=shares))


# -- the extractor ----------------------------------------------------------------------------------------------------


def test_columns_say_what_the_truth_says():
    truth = categories(0.5, 0.0, 0.46, 0.04)
    found = LOOK(np.array([0, 1, 3, 2]), truth)
    assert found.names == NAMES
    columns = dict(zip(NAMES, found.values.T.tolist(), strict=True))
    assert columns["possible"] == [1, 0, 1, 1]
    assert columns["cell"] == [0, -1, 2, 1]
    assert columns["mass"] == [0.5, 0, 0.04, 0.46]
    assert columns["share"] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert columns["rare"] == [0, 0, 1, 0]
    assert columns["rare_mass"] == [0.04] * 4 and columns["all_mass"] == pytest.approx([1] * 4)


@pytest.mark.parametrize("weights", [None, population("gaussian"), population("regression")])
def test_a_truth_that_does_not_judge_is_refused(weights):
    kind = "None" if weights is None else type(weights).__name__.lower()
    with pytest.raises(ValueError, match=f"weights: found {kind}, truth needs a population that judges"):
        LOOK(np.zeros((3, 1)), weights)


def test_rare_cells_are_the_least_that_have_a_twentieth_together():
    assert rare_cells(np.array([0.5, 0.03, 0.43, 0.02, 0.02])).tolist() == [False, False, False, True, True]
    assert rare_cells(np.array([0.5, 0.02, 0.45, 0.02, 0.01])).tolist() == [False, True, False, True, True]
    # Of two that are equal but for rounding, neither or both.
    assert rare_cells(np.array([0.94, 0.03, 0.03 * (1 + 1e-15)])).tolist() == [False, False, False]
    assert not rare_cells(np.full(100, 0.01)).any()


# -- exact values -----------------------------------------------------------------------------------------------------


def test_values_by_hand():
    truth = categories(0.5, 0.0, 0.46, 0.04)
    found = values(np.array([0, 0, 0, 0, 0, 2, 2, 2, 1, 1]), truth)
    assert found == pytest.approx(
        {
            "true_precision": 0.8,
            "hallucination_rate": 0.2,
            "true_recall": 0.96,
            "true_coverage": 2 / 3,
            "true_total_variation": (0 + 0.16 + 0.04 + 0.2) / 2,
            "rare_calibration": 0.0,
        }
    )


@pytest.mark.parametrize("name", ["gaussians", "two-moons", "decay", "land", "jars", "outfits", "two-classes"])
def test_a_lost_cell_and_added_junk_move_values_by_what_they_are(name):
    """Of the truth's own samples one cell is dropped, then as many impossible samples are added as are left."""
    truth = population(name)
    data = truth.sample(Ask(3000, 8)).data
    whole, seen = values(data, truth), truth.judge(data)
    lost = int(np.bincount(seen.cell[seen.possible]).argmax())
    rest = data[seen.cell != lost]
    found = values(rest, truth)
    assert whole["true_recall"] - found["true_recall"] == pytest.approx(truth.masses[lost], rel=1e-9)
    assert whole["true_coverage"] - found["true_coverage"] == pytest.approx(1 / len(truth.masses), rel=1e-9)
    kept = seen.possible[seen.cell != lost]
    assert found["true_precision"] == pytest.approx(kept.mean(), rel=1e-12)
    if data.dtype == np.uint8:
        junk = np.full_like(rest, 200)
    elif data.ndim == 1:
        junk = np.full_like(rest, int(np.flatnonzero(truth.probabilities == 0)[0]))
    else:
        junk = np.full_like(rest, 50.0)
    spoilt = values(np.concatenate([rest, junk]), truth)
    assert spoilt["true_precision"] == pytest.approx(kept.mean() / 2, rel=1e-12)
    assert spoilt["hallucination_rate"] == pytest.approx(1 - kept.mean() / 2, rel=1e-12)
    assert (spoilt["true_recall"], spoilt["true_coverage"]) == (found["true_recall"], found["true_coverage"])
    if found["rare_calibration"] is not None:
        assert spoilt["rare_calibration"] == pytest.approx(found["rare_calibration"] / 2, rel=1e-12)


def test_total_variation_counts_every_cell_and_the_outside_once():
    truth = population("gaussians", modes=4, reach=2.0, spacing=1.0)
    inside = 1 - np.exp(-2)
    middles = truth.means
    assert values(middles, truth)["true_total_variation"] == pytest.approx(1 - inside)  # too few tails
    assert values(middles[:1], truth)["true_total_variation"] == pytest.approx(1 - inside / 4)
    assert values(middles + 0.5, truth)["true_total_variation"] == pytest.approx(inside)  # all is impossible
    three = np.repeat(middles[[0, 1, 2]], [2, 1, 1], axis=0)
    expected = (0.5 - inside / 4) + 2 * (0.25 - inside / 4) + inside / 4 + (1 - inside)  # the fourth is unreached
    assert values(three, truth)["true_total_variation"] == pytest.approx(expected / 2)


@pytest.mark.parametrize("name", ["gaussians", "decay", "land", "jars", "outfits"])
def test_the_truths_own_samples_reach_what_they_should_on_average(name):
    truth, n, repeats = population(name), 50, 400
    data = truth.sample(Ask(n * repeats, 21)).data
    found = [values(data[start : start + n], truth) for start in range(0, n * repeats, n)]
    expected = {
        "true_precision": truth.masses.sum(),
        "true_recall": expected_true_recall(truth.masses, n),
        "true_coverage": expected_true_coverage(truth.masses, n),
    }
    if found[0]["rare_calibration"] is not None:
        expected["rare_calibration"] = 1.0
    for metric, value in expected.items():
        measured = np.array([float(one[metric]) for one in found])
        # One sample more or less in each repetition is what a rate of nearly 1 or 0 cannot be told from.
        error = measured.std(ddof=1) / np.sqrt(repeats) + 1 / (n * repeats)
        assert abs(measured.mean() - value) <= ERRORS * error, metric
        if metric in ("true_recall", "true_coverage"):  # which of n + 5 draws would be seen to be others
            of_more = {"true_recall": expected_true_recall, "true_coverage": expected_true_coverage}[metric]
            assert abs(measured.mean() - of_more(truth.masses, n + 5)) > ERRORS * error, metric


def test_expectations_by_hand():
    masses = np.array([0.5, 0.25, 0.25])
    assert expected_true_recall(masses, 1) == pytest.approx(0.25 + 2 * 0.0625)
    assert expected_true_recall(masses, 2) == pytest.approx(0.5 * 0.75 + 2 * 0.25 * (1 - 0.75**2))
    assert expected_true_coverage(masses, 2) == pytest.approx((0.75 + 2 * (1 - 0.75**2)) / 3)
    assert expected_true_recall(np.array([1.0]), 3) == expected_true_coverage(np.array([1.0]), 3) == 1
    assert expected_true_recall(np.array([1e-12]), 10) == pytest.approx(1e-23, rel=1e-6)


def test_rare_channels_that_are_twice_as_frequent_are_seen_to_be():
    truth = population("decay")
    rare = rare_cells(truth.masses)
    assert np.flatnonzero(rare).tolist() == list(range(24, 48))  # the channels of 2 %, 0.9 % and 0.1 %
    data = truth.sample(Ask(20_000, 3))
    is_rare = data.labels >= 3
    doubled = np.concatenate([data.data[is_rare], data.data])
    one, two = (values(rows, truth)["rare_calibration"] for rows in (data.data, doubled))
    share = is_rare.mean()
    assert one.low < 1 < one.high and one == pytest.approx(share / 0.03, rel=2e-3)
    assert two == pytest.approx(2 * one / (1 + share), rel=1e-9)
    assert two.low > 1.5


def test_no_cell_is_rare_where_all_are_equal():
    truth = population("gaussians")
    with pytest.raises(Undefined, match="so none is rare"):
        seen = LOOK(truth.sample(Ask(100, 0)).data, truth)
        METRICS["rare_calibration"](seen, seen)


@pytest.mark.parametrize("count", [0, 3, 10_000])
def test_rates_of_nothing_and_of_all_have_intervals(count):
    """Wilson's interval: of 0 of n up to z^2 / (n + z^2), and its ends hold the value."""
    truth = population("gaussians")
    n = max(count, 10_000)
    data = np.concatenate([np.full((count, 2), 9.0), np.zeros((n - count, 2))])
    found = values(data, truth)
    rate = found["hallucination_rate"]
    assert rate == count / n and rate.low <= rate <= rate.high
    assert found["true_precision"].low == pytest.approx(1 - rate.high, abs=1e-9)
    assert found["true_precision"].high == pytest.approx(1 - rate.low, abs=1e-9)
    if count == 0:
        z2 = 1.959963984540054**2
        assert rate.low == 0 and rate.high == pytest.approx(z2 / (n + z2), rel=1e-6)


def test_features_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="fake: found columns None, allowed are those of truth"):
        METRICS["true_recall"](Features(np.zeros((3, 7))), Features(np.zeros((3, 7))))


# -- the estimates beside the truth -----------------------------------------------------------------------------------


def test_the_neighbours_see_what_the_truth_sees():
    """Estimated precision is true precision but for real samples' gaps; estimated recall falls with the lost modes.

    Of 25 equal modes the fakes keep 15, and a fifth of the fakes lie between the modes. With 1000 real samples each
    mode has 40, so the manifold of 5 neighbours covers nearly all of a mode, and nothing between them.
    """
    truth = population("gaussians")
    real = truth.sample(Ask(1000, 1)).data
    fresh = truth.sample(Ask(3000, 2))
    kept = fresh.data[fresh.labels < 15][:800]
    between = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])[np.arange(200) % 4]
    between = between + 0.02 * np.random.default_rng(0).normal(size=(200, 2))
    fakes = np.concatenate([kept, between])
    true = values(fakes, truth)
    assert true["true_precision"] == pytest.approx(0.8, abs=2e-3)
    assert true["true_recall"] == pytest.approx(15 / 25 * truth.masses.sum())
    sides = Features(real), Features(fakes)
    precision, recall = METRICS["precision"](*sides, k=5), METRICS["recall"](*sides, k=5)
    # Samples at the rim of a mode are missed by the balls of 40 others: 0.95 of samples of one law, some 0.93 in 2-D.
    missed = 1 - METRICS["precision"](Features(real), Features(fresh.data), k=5)
    assert 0.01 < missed < 0.12
    assert precision == pytest.approx(0.8 * (1 - missed), abs=ERRORS * np.sqrt(0.2 * 0.8 / 1000))
    # 15 of 25 modes hold 600 of 1000 real samples; the fakes there are denser than 40 a mode, and reach nearly all.
    assert 0.6 - 0.06 - ERRORS * np.sqrt(0.24 / 1000) < recall < 0.6 + ERRORS * np.sqrt(0.24 / 1000)
    assert recall < METRICS["recall"](Features(real), Features(fresh.data[:1000]), k=5) - 0.3
