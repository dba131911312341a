"""What a loop is worth in real rows: known sizes are found, censored ones are said to be, intervals hold the truth."""

import math

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from collapselab import theory
from collapselab.verdicts import Endpoint, StudyFacts
from collapselab.verdicts.effective import Curve, admissible, inverse, isotonic, limits, window, worth

SIZES = (50, 100, 200, 400, 800)


def record(arm, seed, generation, value):
    entry = {"metric": "distance", "extractor": "moments", "set": "sampled", "value": float(value)}
    return {"arm": arm, "seed": seed, "generation": generation, "status": "ok", "values": [entry]}


def study(loops, curve, rows, generations=8, better="lower", **changes):
    """Facts and records: loops arm -> (seeds,) or (seeds, generations + 1) values, curve n -> (seeds,) values."""
    records, names = [], {}
    for arm, values in loops.items():
        values = np.asarray(values)
        values = values if values.ndim == 2 else np.tile(values[:, None], generations + 1)
        records += [record(arm, s, t, v) for s, line in enumerate(values) for t, v in enumerate(line)]
        names[arm] = "a loop"
    for n, values in curve.items():
        records += [record(f"real_{n}", s, 0, v) for s, v in enumerate(values)]
        names[f"real_{n}"] = "real rows"
    given = {"name": "study", "arms": names, "primary": Endpoint("distance", "moments"), "seeds": len(values)}
    given |= {"generations": generations, "better": {"distance": better}, "rows": rows}
    return StudyFacts(**(given | {"calibration": {f"real_{n}": n for n in curve}} | changes)), records


def noisy(draws, size, seeds, freedom):
    """The mean of ``freedom`` squares with expectation 1 / size, for each seed."""
    return draws.chisquare(freedom, seeds) / freedom / size


@pytest.mark.parametrize("seed", range(40))
def test_the_pooled_curve_is_the_isotonic_regression(seed):
    draws = np.random.default_rng(seed)
    values, weights = draws.normal(size=draws.integers(1, 9)), None
    weights = draws.uniform(0.5, 2, len(values))
    expected = isotonic_regression(values, weights=weights, increasing=False).x
    assert isotonic(values, weights) == pytest.approx(expected, abs=1e-12)
    assert isotonic(np.array([values, -values]))[0] == pytest.approx(isotonic(values))


def test_a_power_law_is_inverted_exactly_and_what_lies_beyond_is_said():
    sizes = np.array(SIZES, float)
    curve = Curve(sizes, 3 / sizes)
    for n in (50, 77, 200, 640.5, 800):
        assert inverse(curve, 3 / n) == pytest.approx(n)
    assert inverse(curve, 3 / 49) == 0 and inverse(curve, 3 / 801) == math.inf
    linear = Curve(sizes, -np.log(sizes))  # where a value is not positive
    assert inverse(linear, -math.log(300)) == pytest.approx(300)
    flat = Curve(sizes, np.array([4.0, 2, 2, 2, 1]))
    assert inverse(flat, 2.0) == pytest.approx(math.sqrt(100 * 400))
    assert inverse(flat, 2.0001) == pytest.approx(100, rel=1e-3)
    assert inverse(flat, 1.9999) == pytest.approx(400, rel=1e-3)


def test_the_limit_is_the_mean_of_the_last_quarter_and_never_of_generation_0():
    assert window(50) == range(38, 51) and window(8) == range(6, 9) and window(4) == range(2, 5)
    assert window(2) == range(1, 3)
    facts, records = study({"loop": [np.arange(9.0), np.arange(9.0) * 2]}, {}, {})
    assert limits(records, "loop", facts.primary, 8) == {0: 7.0, 1: 14.0}
    cut = [r for r in records if (r["seed"], r["generation"]) != (1, 7)]
    assert limits(cut, "loop", facts.primary, 8) == {0: 7.0}
    assert limits(records, "loop", facts.primary, 2) == {}


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    draws, studies, truth = np.random.default_rng(0), 60, 231
    hits = wrong = 0
    for _ in range(studies):
        curve = {n: noisy(draws, n, 8, 5) for n in SIZES}
        (row,) = worth(*study({"loop": noisy(draws, truth, 8, 20)}, curve, {"loop": (100, 100)}))
        hits += row.numbers["low"] <= truth <= row.numbers["high"]
        wrong += row.numbers["low"] <= 2 * truth <= row.numbers["high"]
    sd = math.sqrt(0.95 * 0.05 / studies)
    assert hits / studies > 0.95 - 3 * sd
    assert wrong / studies < 0.5  # so that the first line can fail


def test_loops_are_judged_by_their_own_real_rows():
    draws = np.random.default_rng(1)
    loops = {"good": noisy(draws, 180, 40, 200), "bad": noisy(draws, 70, 40, 200), "even": noisy(draws, 100, 40, 20)}
    loops |= {"worst": noisy(draws, 20, 40, 200), "best": noisy(draws, 4000, 40, 200), "eats": noisy(draws, 60, 40, 9)}
    rows = {"good": (100, 100), "bad": (100, 900), "even": (100, 300), "worst": (100, 1900), "best": (100, 50)}
    facts, records = study(loops, {n: noisy(draws, n, 40, 50) for n in SIZES}, rows | {"eats": (0, 100)})
    found = {row.arm: row for row in worth(facts, records)}
    assert list(found) == list(loops)
    decisions = {"good": "harmless", "bad": "harmful", "even": "undecided", "worst": "harmful", "best": "harmless"}
    assert {arm: row.status for arm, row in found.items()} == decisions | {"eats": "no real data"}
    assert found["good"].numbers["size"] == pytest.approx(180, rel=0.1)
    assert found["worst"].numbers["size"] == 0 and "fewer than 50" in found["worst"].sentence
    assert found["best"].numbers["size"] == math.inf and "more than 800" in found["best"].sentence
    (share,) = admissible(found.values())
    assert (share.real, share.harmless, share.harmful) == (100, 0.5, 0.9)
    assert "50% (good)" in share.sentence and "90% (bad)" in share.sentence
    only = admissible([found["bad"], found["even"]])[0]
    assert only.harmless is None and "no arm is known to do no harm; the smallest share known to do harm is 90%" in (
        only.sentence
    )


def test_what_lies_beyond_the_calibration_on_the_same_side_as_the_real_rows_is_undecided():
    draws = np.random.default_rng(10)
    sizes = {"below": 8, "few": 8, "above": 4000, "many": 4000}
    rows = {"below": (20, 80), "few": (60, 80), "above": (1000, 80), "many": (700, 80)}
    loops = {arm: noisy(draws, size, 40, 200) for arm, size in sizes.items()}
    found = worth(*study(loops, {n: noisy(draws, n, 40, 50) for n in SIZES}, rows))
    assert [row.status for row in found] == ["undecided", "harmful", "undecided", "harmless"]
    assert "fewer than 50" in found[0].sentence and found[0].sentence.endswith("20 in its training sets: undecided.")


def test_arms_of_one_share_keep_their_own_decisions():
    draws = np.random.default_rng(8)
    sizes = {"augmented": 60, "fresh": 180, "less": 50, "more": 40}
    rows = {"augmented": (100, 400), "fresh": (100, 400), "less": (100, 100), "more": (100, 900)}
    loops = {arm: noisy(draws, size, 40, 200) for arm, size in sizes.items()}
    found = worth(*study(loops, {n: noisy(draws, n, 40, 50) for n in (20, *SIZES)}, rows))
    assert [row.status for row in found] == ["harmful", "harmless", "harmful", "harmful"]
    (share,) = admissible(found)
    assert share.sentence == (
        "With 100 real rows a generation the largest synthetic share known to do no harm is 80% (fresh), but with no "
        "more synthetic rows augmented and less did harm; the smallest above it known to do harm is 90% (more)."
    )
    (share,) = admissible(row for row in found if row.arm == "fresh")
    assert share.sentence.endswith("known to do no harm is 80% (fresh); none above it is known to do harm.")
    (share,) = admissible(row for row in found if row.arm in ("augmented", "more"))
    assert share.sentence.endswith("the smallest share known to do harm is 80% (augmented).")


def test_an_interval_of_rounding_is_none():
    """Of a loop that is its own calibration all draws agree but for rounding."""
    draws = np.random.default_rng(9)
    curve = {n: noisy(draws, n, 20, 500) for n in SIZES}
    (row,) = worth(*study({"loop": curve[100] * (1 + 1e-12 * draws.normal(size=20))}, curve, {"loop": (100, 0)}))
    assert row.sentence.startswith("Worth 100 real rows (in all draws of 20 seeds)")


def test_a_metric_that_is_better_when_high_gives_the_same_sizes():
    draws = np.random.default_rng(2)
    curve, loop = {n: noisy(draws, n, 20, 50) for n in SIZES}, noisy(draws, 180, 20, 50)
    (low,) = worth(*study({"loop": loop}, curve, {"loop": (100, 100)}))
    turned = {n: 1 - values for n, values in curve.items()}
    (high,) = worth(*study({"loop": 1 - loop}, turned, {"loop": (100, 100)}, better="higher"))
    assert high.numbers["limit"] == pytest.approx(1 - low.numbers["limit"]) and high.status == low.status
    # Linear in the metric instead of its logarithm.
    assert high.numbers["size"] == pytest.approx(low.numbers["size"], rel=0.25)


def test_what_a_seed_shares_with_its_calibration_narrows_the_interval():
    draws = np.random.default_rng(3)
    luck = draws.uniform(0.5, 1.5, 20)
    curve, loop = {n: luck * noisy(draws, n, 20, 500) for n in SIZES}, luck * noisy(draws, 180, 20, 500)
    (paired,) = worth(*study({"loop": loop}, curve, {"loop": (100, 100)}))
    (mixed,) = worth(*study({"loop": draws.permutation(loop)}, curve, {"loop": (100, 100)}))
    assert paired.numbers["size"] == pytest.approx(mixed.numbers["size"])
    assert paired.numbers["high"] - paired.numbers["low"] < 0.3 * (mixed.numbers["high"] - mixed.numbers["low"])


def test_few_seeds_have_no_interval_and_no_decision():
    draws = np.random.default_rng(4)
    (row,) = worth(
        *study({"loop": noisy(draws, 180, 4, 99)}, {n: noisy(draws, n, 4, 99) for n in SIZES}, {"loop": (100, 100)})
    )
    assert row.numbers["size"] > 0 and math.isnan(row.numbers["low"]) and row.status == "undecided"
    assert "4 seeds; an interval needs at least 5" in row.sentence


def test_theory_can_stand_in_for_calibration():
    """The drift of a fresh-data loop against 1 / n: n_e = N (1 - q^2) + q, whichever way it is computed."""
    limit = theory.fresh_limit(100, 300, ddof=0).drift
    facts, records = study({"loop": np.full(6, limit)}, {}, {"loop": (100, 300)}, learning_curve=lambda n: 1 / n)
    (row,) = worth(facts, records)
    assert row.numbers["size"] == pytest.approx(theory.effective_size(100, 300), rel=1e-9)
    assert row.status == "harmless" and row.numbers["low"] == row.numbers["high"] == pytest.approx(row.numbers["size"])
    bent = study({"loop": np.full(6, limit)}, {}, {"loop": (100, 300)}, learning_curve=lambda n: 1 / n + 5 / n**2)
    truth = (1 + math.sqrt(1 + 20 * limit)) / (2 * limit)
    assert worth(*bent)[0].numbers["size"] == pytest.approx(truth, rel=1e-4)


def test_a_curve_that_says_nothing_of_few_rows_is_read_from_there_on():
    """As that of a regression, of which nothing is known below d + 2 rows."""
    theory = {"learning_curve": lambda n: None if n < 12 else 1 / n}
    facts, records = study({"loop": np.full(6, 1 / 200)}, {}, {"loop": (100, 300)}, **theory)
    (found,) = worth(facts, records)
    assert found.numbers["size"] == pytest.approx(200, rel=1e-3)


def test_a_loop_that_still_moves_has_no_limit_yet():
    draws = np.random.default_rng(5)
    rising = 0.005 + 0.001 * np.arange(9) + draws.normal(0, 1e-4, (10, 9))
    still = 0.005 + draws.normal(0, 1e-4, (10, 9))
    facts, records = study(
        {"rising": rising, "still": still},
        {n: noisy(draws, n, 10, 50) for n in SIZES},
        {"rising": (100, 100), "still": (100, 100)},
    )
    moving, at_rest = worth(facts, records)
    assert "still moves, by 0.00198 from generation 6 to 8" in moving.sentence and "moves" not in at_rest.sentence


def test_without_calibration_rows_or_limits_nothing_is_said():
    draws = np.random.default_rng(6)
    facts, records = study({"loop": noisy(draws, 180, 6, 99)}, {}, {"loop": (100, 100)})
    assert worth(facts, records) == []
    facts, records = study({"loop": noisy(draws, 180, 6, 99)}, {n: noisy(draws, n, 6, 99) for n in SIZES}, {})
    assert worth(facts, records) == []
    facts, records = study(
        {"loop": noisy(draws, 180, 6, 99)}, {n: noisy(draws, n, 6, 99) for n in SIZES}, {"loop": (100, 100)}
    )
    (row,) = worth(facts, [r for r in records if r["arm"] != "loop" or r["generation"] < 7])
    assert row.numbers["lineages"] == 0 and row.status == "undecided" and "No lineage" in row.sentence
    real = worth(
        *study({"loop": noisy(draws, 99, 6, 99)}, {n: noisy(draws, n, 6, 99) for n in SIZES}, {"loop": (100, 0)})
    )
    assert real[0].status == "all real" and admissible(real) == []
