"""How far judges agree: published values, the definitions computed pair by pair, and intervals over judges."""

from itertools import combinations

import numpy as np
import pytest

from collapselab.core.errors import Undefined
from collapselab.core.sets import Ballots
from collapselab.judge.agreement import (
    COEFFICIENTS,
    COHEN,
    agreement,
    alpha,
    cohen,
    cohen_pairs,
    dawid_skene,
    fleiss,
    gwet,
    per_judge,
    raw_agreement,
    votes_of,
)

GAP = np.nan
# The example of four observers and twelve units with gaps by which alpha is taught (Krippendorff 2004, chapter 11).
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
        [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
    ]
)
PARADOX = np.array([[1] * 90 + [1] * 5 + [0] * 5, [1] * 90 + [0] * 5 + [1] * 5], np.float64)
ANSWERS = ("good", "bad")


def random_answers(judges=5, samples=40, gaps=0.3, seed=0):
    dice = np.random.default_rng(seed)
    answers = dice.integers(1, 5, (judges, samples)).astype(np.float64)
    answers[dice.random(answers.shape) < gaps] = GAP
    return answers


def ballots_of(codes, answers=ANSWERS, names=None):
    """Judgements of a table of codes, judge after judge."""
    judges, rows = np.nonzero(np.isfinite(codes))
    names = names or [f"judge {index:02d}" for index in range(len(codes))]
    said = tuple(answers[int(codes[one])] for one in zip(judges, rows, strict=True))
    return Ballots(rows, tuple(names[judge] for judge in judges), said, np.full(len(rows), 2.0))


@pytest.mark.parametrize(
    ("scale", "value"), [("nominal", 0.7434), ("ordinal", 0.8154), ("interval", 0.8491), ("ratio", 0.7974)]
)
def test_alpha_has_its_published_values(scale, value):
    assert round(alpha(OBSERVERS, scale), 4) == value


def by_pairs(answers, apart):
    """Alpha as it is defined: the mean difference of pairs of one sample over that of any two pairable answers."""
    units = [[value for value in unit if np.isfinite(value)] for unit in answers.T]
    units = [unit for unit in units if len(unit) > 1]
    every = [value for unit in units for value in unit]
    observed = sum(
        2 * sum(apart(*pair, every) for pair in combinations(unit, 2)) / (len(unit) - 1) for unit in units
    ) / len(every)
    expected = 2 * sum(apart(*pair, every) for pair in combinations(every, 2)) / (len(every) * (len(every) - 1))
    return 1 - observed / expected


def between(one, other, every):
    """The ordinal difference: how many answers lie between two, with half of their own."""
    low, high = sorted((one, other))
    inner = sum(low <= value <= high for value in every)
    return (inner - (every.count(low) + every.count(high)) / 2) ** 2


@pytest.mark.parametrize(
    ("scale", "apart"),
    [
        ("nominal", lambda one, other, every: float(one != other)),
        ("ordinal", between),
        ("interval", lambda one, other, every: (one - other) ** 2),
        ("ratio", lambda one, other, every: ((one - other) / (one + other)) ** 2),
    ],
)
def test_alpha_is_what_its_definition_says_pair_by_pair(scale, apart):
    for seed in range(3):
        answers = random_answers(seed=seed)
        assert alpha(answers, scale) == pytest.approx(by_pairs(answers, apart), abs=1e-12)


def test_coefficients_fall_to_nothing_where_nearly_all_answers_are_one_and_ac1_does_not():
    """Two judges, 90 of 100 good for both, 5 and 5 for one of them."""
    # By hand: P = .9, P_e = .95^2 + .05^2, of AC1 2 * .95 * .05; of alpha of 200 answers, with gaps of none.
    assert (fleiss(PARADOX), alpha(PARADOX), gwet(PARADOX, 2)) == pytest.approx((-1 / 19, -9 / 190, 161 / 181))
    assert cohen(PARADOX) == pytest.approx(-1 / 19) and raw_agreement(PARADOX) == pytest.approx(0.9)


def test_fleiss_kappa_has_its_textbook_value():
    """Ten subjects, fourteen raters, five categories: .210."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    answers = np.array([np.repeat(np.arange(5), row) for row in counts], np.float64).T
    assert round(fleiss(answers), 3) == 0.210
    answers[0, 0] = GAP
    with pytest.raises(Undefined, match="equally many"):
        fleiss(answers)
    assert np.isfinite(alpha(answers))


def test_cohens_kappa_has_its_textbook_value_and_is_that_of_each_pair():
    """Of fifty proposals two readers pass 20 and reject 15 together, one 5 and the other 10 alone: .4."""
    table = np.array([[1] * 20 + [1] * 5 + [0] * 10 + [0] * 15, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15], np.float64)
    assert cohen(table) == pytest.approx(0.4)
    answers = random_answers(judges=4)
    pairs = cohen_pairs(answers)
    assert np.isnan(np.diag(pairs)).all()
    for one, other in combinations(range(4), 2):
        both = np.isfinite(answers[[one, other]]).all(axis=0)
        assert pairs[one, other] == pairs[other, one] == pytest.approx(cohen(answers[[one, other]][:, both]))
    apart = np.array([[1, 1, GAP, GAP], [GAP, GAP, 0, 1]])
    with pytest.raises(Undefined, match="share no sample"):
        cohen(apart)


def test_every_coefficient_is_blind_to_the_order_of_judges_and_samples():
    answers = random_answers()
    dice = np.random.default_rng(1)
    other = answers[dice.permutation(len(answers))][:, dice.permutation(answers.shape[1])]
    for way in (raw_agreement, alpha, cohen, lambda one: gwet(one, 4)):
        assert way(other) == pytest.approx(way(answers), abs=1e-12)


def test_judges_who_always_agree_agree_wholly_and_those_of_one_answer_have_no_kappa():
    truth = np.tile(np.arange(30) % 2, (4, 1)).astype(np.float64)
    for way in (raw_agreement, alpha, cohen, fleiss, lambda one: gwet(one, 2)):
        assert way(truth) == pytest.approx(1, abs=1e-12)
    for way in (alpha, fleiss):
        with pytest.raises(Undefined, match="all are one"):
            way(np.ones((3, 10)))
    assert gwet(np.ones((3, 10)), 2) == 1
    with pytest.raises(Undefined, match="no sample that two have judged"):
        alpha(np.array([[1.0, GAP], [GAP, 0.0]]))


def test_intervals_are_over_judges_and_no_judge_is_compared_with_itself():
    """Of judges who answer by lot alpha is 0: a resample that took copies of one for two judges would say .04 more."""
    covered, middles = 0, []
    for seed in range(20):
        codes = (np.random.default_rng(seed).random((25, 200)) < 0.3).astype(np.float64)
        found = agreement(ballots_of(codes), ANSWERS, seed, resamples=200).coefficients["Krippendorff's alpha"]
        covered += found.low <= 0 <= found.high
        middles.append((found.low + found.high) / 2)
    assert covered >= 14  # of 20 at 95 %: fewer have a chance of 2 in 100,000, of 80 % one of 9 %
    # The middles have a standard error below .002 each; copies alone would set them to 1 / 25.
    assert abs(np.mean(middles)) < 0.01


def test_the_table_of_a_round_holds_what_each_function_says():
    codes = (np.random.default_rng(3).random((6, 50)) < 0.4).astype(np.float64)
    found = agreement(ballots_of(codes), ANSWERS)
    said = {
        "raw agreement": raw_agreement(codes),
        "Fleiss' kappa": fleiss(codes),
        "Krippendorff's alpha": alpha(codes),
        "Gwet's AC1": gwet(codes, 2),
        COHEN: cohen(codes),
    }
    assert found.coefficients == pytest.approx(said) and set(said) == {*COEFFICIENTS, COHEN}
    assert found.prevalence == {"good": pytest.approx((codes == 0).mean()), "bad": pytest.approx((codes == 1).mean())}
    assert (found.judges, found.samples, found.twice) == (6, 50, 50)
    assert all(one.low <= one <= one.high for one in found.coefficients.values())
    alone = agreement(ballots_of(codes[:1]), ANSWERS)
    assert all("found no" in str(one) or "no two" in str(one) for one in alone.coefficients.values())
    two = agreement(ballots_of(codes[:2]), ANSWERS).coefficients["Gwet's AC1"]
    assert (two.low, two.high) == (-np.inf, np.inf)  # two judges say nothing of a third
    assert set(agreement(ballots_of(codes[:0]), ANSWERS).prevalence.values()) == {0.0}


def test_no_interval_goes_beyond_what_a_coefficient_can_be():
    """Of three judges, two a sample, a resample leaves most samples to one, who is no pair."""
    codes = np.full((3, 60), GAP)
    for sample in range(60):
        codes[[sample % 3, (sample + 1) % 3], sample] = 1
    codes[[0, 1, 2], [0, 3, 4]] = 0  # few, each called good by one of its two judges alone
    found = agreement(ballots_of(codes), ANSWERS).coefficients
    assert found["Fleiss' kappa"] == pytest.approx(fleiss(codes)) and fleiss(codes) < 0
    for name, one in found.items():
        assert -1 <= one.low <= one <= one.high <= 1, name


def test_a_second_answer_to_one_sample_is_a_repeat_and_no_vote():
    rows = np.array([3, 5, 3, 5, 3])
    ballots = Ballots(rows, ("a", "a", "b", "a", "a"), ("good", "bad", "good", "good", "good"), np.arange(5.0))
    votes = votes_of(ballots, ANSWERS)
    assert votes.judges == ("a", "b") and votes.rows.tolist() == [3, 5]
    np.testing.assert_array_equal(votes.codes, [[0, 1], [0, np.nan]])
    first, second = per_judge(ballots, ANSWERS, {"a": (3, 4)})
    assert (first.judged, float(first.kept), float(first.same), float(first.right)) == (2, 0.5, 0.5, 0.75)
    assert (second.judged, second.same, second.right, second.seconds) == (1, None, None, 2.0)
    # Wilson (1927) of 3 of 4 by hand: (.75 + z^2 / 8 +- z sqrt(.75 * .25 / 4 + z^2 / 64)) / (1 + z^2 / 4)
    assert (first.right.low, first.right.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    with pytest.raises(ValueError, match="found 'fine'; allowed are good, bad"):
        per_judge(Ballots(rows[:1], ("a",), ("fine",), np.ones(1)), ANSWERS, {})


def test_dawid_and_skene_find_the_truth_among_judges_of_whom_one_is_contrary():
    pytest.importorskip("crowdkit", reason="the extra `crowd` is not installed")
    dice = np.random.default_rng(0)
    truth = dice.integers(0, 2, 60)
    codes = np.array([np.where(dice.random(60) < 0.9, truth, 1 - truth) for _ in range(4)] + [1 - truth], np.float64)
    chances = dawid_skene(ballots_of(codes), ANSWERS)
    found = np.array([chances[row] > 0.5 for row in range(60)])
    # Of four judges right in 9 of 10 and one who is always wrong, and known as such, nearly all truths can be told.
    assert (found == (truth == 0)).mean() > 0.97
    votes = (codes == 0).mean(axis=0) > 0.5
    assert (votes == (truth == 0)).mean() < (found == (truth == 0)).mean()
    assert dawid_skene(ballots_of(codes[:, :0]), ANSWERS) == {}
