"""Selection by reward against its exact laws: through compose, fit, sample, release and select, as a study calls them.

Where a law is of infinitely many samples, there are so many here that what finite ones add is far below a standard
error, or the bound is the law's own. Errors are 4.5 standard errors, as in ``test_oracles``.
"""

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError
from test_oracles import ARM, STREAM, STUDY_SEED

from collapselab import theory
from collapselab.compose import regimes
from collapselab.compose.rows import choose, real_seed
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.select import SELECTORS
from collapselab.store.cells import Cell
from collapselab.theory.selection import chosen_shares
from collapselab.verbs import select as verb

pytestmark = pytest.mark.oracle


def kept(samples, replicate=0, generation=1, **options):
    """The rows that the selector keeps, as the verb finds them; through JSON, as a command line says it."""
    entry = SELECTORS["reward"]
    said = entry.Options.model_validate_json(json.dumps(options))
    pool = verb.pool_of(SampleSet(samples), Cell("study", ARM, replicate, generation))
    return verb.select([verb.Choosing("reward", entry, said)], pool, STUDY_SEED)


def loop(family, how, truth, regime, generations, made, replicate=0, **options):
    """The models of a loop in which a selector chooses among ``made`` samples of each generation."""
    family, kind, fitted = MODELS[family], POPULATIONS[family], MODELS[family].Options(**how)
    law, models, stored = kind.population(kind.PopulationOptions(**truth)), [], []
    count = round(options["share"] * made)
    for generation in range(generations + 1):
        recipe = regimes.recipe(regime, ARM, generation)
        ready = {(one.arm, one.generation): None if one.is_real else count for one in recipe.draws}
        data = []
        for draw, rows in choose(recipe, ready, STUDY_SEED, replicate):
            seed = real_seed(STUDY_SEED, replicate, draw)
            data.append((law.sample(Ask(draw.count, seed)).data if draw.is_real else stored[draw.generation])[rows])
        training = TrainingSet(np.concatenate(data), None, np.ones(sum(map(len, data))))
        run = Run(seeds.seed_of(STUDY_SEED, replicate, generation, "train"))
        models.append(family.fit(training, fitted, run))
        ask = Ask(made, seeds.seed_of(STUDY_SEED, replicate, generation, f"sample/{STREAM}"))
        samples = models[-1].sample(ask).data
        stored.append(samples[kept(samples, replicate, generation, **options).rows])
    return models


def table(*worth):
    return [{"category": {"worth": worth}}]


def of_types(shares, count=200_000):
    """Categories with these shares, to a sample, in an order by lot."""
    counts = np.round(np.asarray(shares) * count).astype(int)
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(shares)), counts))


def close(found, expected, count):
    """Whether shares among ``count`` chosen samples are those expected."""
    error = np.sqrt(np.asarray(expected) * (1 - np.asarray(expected)) / count)
    assert (abs(np.asarray(found) - expected) < 4.5 * error).all(), (found, expected)


# -- choice ------------------------------------------------------------------------------------------------------------


def test_real_data_beside_choices_settle_at_the_fixed_point():
    """p = (p_0 + lambda (p^2 + 2 p (1-p) s)) / (1 + lambda): .296367 of p_0 = .2 at lambda = 1 and a gap of 1."""
    n, generations, replicates = 4000, 12, 25
    regime = regimes.REGIMES["synthetic_augmentation"](fixed=n, n=2 * n, initial=n)
    options = {"rewards": table(1.0, 0.0), "by": "choice", "share": 0.5}
    truth = {"probabilities": (0.2, 0.8)}
    lines = [
        loop("multinomial", {"categories": 2}, truth, regime, generations, 2 * n, one, **options)
        for one in range(replicates)
    ]
    shares = np.array([[model.probabilities[0] for model in line] for line in lines])
    law = theory.choice_shares(generations, [0.2, 0.8], [1.0, 0.0], 2, 1.0)[:, 0]
    assert law[-1] == pytest.approx(0.296367, abs=5e-4) and law[0] == 0.2
    error = shares.std(axis=0, ddof=1) / np.sqrt(replicates)
    # Finite samples move the law by O(1 / n): half its second derivative times the variance of a share.
    bias = abs(1 - 2 / (1 + math.exp(-1))) * 1.5 / (2 * n)
    assert (abs(shares.mean(axis=0) - law) < 4.5 * error + bias).all()
    assert (abs(shares.mean(axis=0)[1:] - 0.2) > 20 * error[1:]).all()  # that it is the law of no choice would be seen


@pytest.mark.parametrize("gap", [0.5, 2.0])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_choice_between_two_is_that_of_bradley_and_terry(share, gap):
    found = kept(rows := of_types([share, 1 - share]), rewards=table(gap, 0), by="choice", share=0.5).rows
    s = 1 / (1 + math.exp(-gap))
    close((rows[found] == 0).mean(), share**2 + 2 * share * (1 - share) * s, len(found))


def test_temperature_divides_the_reward():
    rows = of_types([0.3, 0.7])
    warm = kept(rows, rewards=table(2, 0), by="choice", share=0.5, temperature=4).rows
    close((rows[warm] == 0).mean(), chosen_shares([0.3, 0.7], [0.5, 0], 2)[0], len(warm))
    cold = kept(rows, rewards=table(2, 0), by="choice", share=0.5, temperature=1e-3).rows
    close((rows[cold] == 0).mean(), 1 - 0.7**2, len(cold))  # one of the two is enough


def test_the_mean_of_e_to_the_reward_rises_by_its_bound_in_every_step():
    """E e^r rises by at least (K-1)/K Var(e^r) / max e^r in a step of choice alone, without end."""
    worth, choices, generations = [0.0, 1.0, 2.0], 4, 6
    regime = regimes.REGIMES["fully_synthetic"](n=50_000, initial=50_000)
    options = {"rewards": table(*worth), "by": "choice", "share": 1 / choices}
    truth = {"probabilities": (0.6, 0.3, 0.1)}
    lines = loop("multinomial", {"categories": 3}, truth, regime, generations, 200_000, **options)
    shares, e = np.array([one.probabilities for one in lines]), np.exp(worth)
    mean, square = shares @ e, shares @ e**2
    gained, bound = np.diff(mean), (choices - 1) / choices * (square - mean**2)[:-1] / e.max()
    error = np.sqrt((square - mean**2)[1:] * (1 / 50_000 + 1 / 200_000))  # of the choice, and of the samples
    assert (gained >= bound - 4.5 * error).all() and gained[0] > bound[0] + 4.5 * error[0] > 0
    law = theory.choice_shares(generations, truth["probabilities"], worth, choices)
    assert abs(shares[1] - law[1]).max() < 4.5 * np.sqrt(0.25 * 2 / 50_000)


def test_with_ever_more_to_choose_from_the_law_is_tilted():
    """p' is proportional to p e^r as K grows, but for terms of Var(e^r) / (K (E e^r)^2) at most; E moves by beta."""
    shares, worth, choices = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, -1.0]), 200
    rows = of_types(shares, 2_000_000)
    found = kept(rows, rewards=table(*worth), by="choice", share=1 / choices).rows
    tilted, e = shares * np.exp(worth) / (shares @ np.exp(worth)), np.exp(worth)
    off = (shares @ e**2 / (shares @ e) ** 2) / choices
    error = np.sqrt(tilted * (1 - tilted) / len(found))
    assert (abs(np.bincount(rows[found]) / len(found) - tilted) < 4.5 * error + off).all()
    x, beta = np.random.default_rng(0).standard_normal((1_000_000, 2)), 0.5
    chosen = x[kept(x, rewards=[{"coordinate": {"index": 1, "beta": beta}}], by="choice", share=1 / 100).rows]
    off = (math.exp(beta**2) - 1) / 100
    assert chosen.mean(axis=0) == pytest.approx([0, beta], abs=4.5 / math.sqrt(len(chosen)) + off)
    assert chosen.var(axis=0) == pytest.approx([1, 1], abs=4.5 * math.sqrt(2 / len(chosen)) + off)


@pytest.mark.parametrize("mixture", [[0.75, 0.25], None, [0.0, 1.0]])
def test_a_mixture_of_judges_keeps_the_mixture_of_what_each_would_keep(mixture):
    """The pool's law becomes the sum over judges of their share times what they choose of it (Zhao et al. 2025)."""
    shares, choices = [0.5, 0.3, 0.2], 4
    judges = [[0, 2, 0], [0, 0, 3]]
    rows = of_types(shares)
    found = kept(rows, rewards=[*table(*judges[0]), *table(*judges[1])], mixture=mixture, by="choice", share=0.25)
    weights = [0.5, 0.5] if mixture is None else mixture
    expected = sum(w * chosen_shares(shares, one, choices) for w, one in zip(weights, judges, strict=True))
    close(np.bincount(rows[found.rows], minlength=3) / len(found.rows), expected, len(found.rows))
    by = np.array([int(reason.split()[-1]) for reason in found.reasons])
    close((by == 1).mean(), weights[1], len(by)) if weights[1] < 1 else None
    assert (np.array(judges)[by, rows[found.rows]] == found.scores).all()  # the reward by the judge who took it


def test_groups_are_by_lot_and_each_has_its_one():
    """Neither order nor labels decide who stands against whom, and with one sample a group all are kept."""
    rows = np.arange(4000) % 4  # as labels run: groups of neighbours would all be alike
    found = kept(rows, rewards=table(50, 0, 0, 0), by="choice", share=0.25).rows
    expected = 1 - 0.75**4
    close((rows[found] == 0).mean(), expected, 1000)
    assert kept(rows, rewards=table(1, 0, 0, 0), by="choice", share=1.0).rows.tolist() == list(range(4000))
    assert len(kept(rows[:7], rewards=table(1, 0, 0, 0), by="choice", share=0.4).rows) == 3  # groups of 2, 2 and 3


# -- the best, and what is good enough ---------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_best_share_of_a_normal_law_moves_its_mean_and_narrows_it(share):
    """Mean + i sd, variance times 1 - i (i - z): (.798, .363) of the best half, (1.755, .169) of the best tenth."""
    regime = regimes.REGIMES["fully_synthetic"](n=round(share * 400_000), initial=400_000)
    options = {"rewards": [{"coordinate": {}}], "by": "top_fraction", "share": share}
    first, second = loop("gaussian", {"ddof": 0}, {"dimension": 1}, regime, 1, 400_000, **options)
    law, sd = theory.top_share_moments(share), math.sqrt(first.covariance.item())
    count = share * 400_000
    assert (second.mean - first.mean).item() / sd == pytest.approx(law.drift, abs=6 / math.sqrt(count))
    assert second.covariance.item() / sd**2 == pytest.approx(law.variance, abs=8 / math.sqrt(count))


@pytest.mark.parametrize(("cut", "factor"), [(1.0, 0.2911), (2.0, 0.7737), (3.0, 0.9733)])
def test_a_cut_at_c_deviations_narrows_by_its_factor(cut, factor):
    x = np.random.default_rng(2).standard_normal((400_000, 1))
    inside = math.erf(cut / math.sqrt(2))
    options = {"rewards": [{"coordinate": {"beta": 2, "form": "quadratic"}}], "by": "threshold"}
    found = kept(x, **options, threshold=-(cut**2), share=inside - 0.005)
    assert theory.cut_variance(cut) == pytest.approx(factor, abs=5e-5)
    assert x[found.rows].var() == pytest.approx(factor, abs=4.5 * math.sqrt(2 / len(found.rows)))
    assert (abs(x[found.rows]) <= cut).all()
    first = np.flatnonzero(abs(x[:, 0]) <= cut)[: len(found.rows)]
    np.testing.assert_array_equal(found.rows, first)  # the first that are good enough, in the order of the pool


def test_too_few_that_are_good_enough_are_said_or_topped_up():
    x = np.array([[3.0], [0.0], [2.0], [1.0]])
    with pytest.raises(ValueError, match="selector 'reward': found 2 of 4 samples good enough, wanted are 3"):
        kept(x, rewards=[{"coordinate": {}}], by="threshold", threshold=1.5, share=0.75)


def test_judges_who_must_agree_keep_by_their_mean():
    x = np.array([[1.0, -1.0], [0.0, 3.0], [2.0, 0.0]])
    both = [{"coordinate": {"index": 0}}, {"coordinate": {"index": 1}}]
    found = kept(x, rewards=both, mixture=[0.75, 0.25], by="top_fraction", share=2 / 3)
    assert found.rows.tolist() == [1, 2] and found.scores.tolist() == [0.75, 1.5]
    tied = kept(np.ones((4, 1)), rewards=[{"coordinate": {}}], by="top_fraction", share=0.5)
    assert tied.rows.tolist() == [0, 1]  # of equal ones the first


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"reward 'coordinate': gave 1 of 3 samples what is no number \(nan\)"):
        kept(np.array([[1.0], [np.nan], [0.0]]), rewards=[{"coordinate": {}}], share=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"rewards": []},
        {"rewards": table(1, 0), "mixture": [0.5, 0.5]},
        {"rewards": [*table(1, 0), *table(0, 1)], "mixture": [0.9, 0.2]},
        {"rewards": [*table(1, 0), *table(0, 1)], "mixture": [1.5, -0.5]},
        {"rewards": table(1, 0), "temperature": 0},
        {"rewards": table(1, 0), "by": "vote"},
    ],
)
def test_options_have_ranges(options):
    with pytest.raises(ValidationError):
        SELECTORS["reward"].Options(share=0.5, **options)
