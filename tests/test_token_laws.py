"""Laws of tokens: next-token loops as multinomial ones, tails of Zipf that are cut, and tokens that are edited."""

import math

import numpy as np
import pytest

from collapselab import theory
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.models.multinomial import Law, Multinomial, MultinomialOptions, MultinomialPopulation, Multinomials
from collapselab.models.naive_bayes import NaiveBayes, NaiveBayesOptions
from collapselab.models.ngram import NGram, NGramOptions
from collapselab.models.tokens import sharpened
from collapselab.populations.markov import Markov, MarkovOptions
from collapselab.testing import check_transform
from collapselab.transforms import TRANSFORMS
from collapselab.transforms.base import Given

INDEPENDENT = Markov.population(MarkovOptions(transitions=((0.6, 0.3, 0.1),) * 3, length=4))
CHAIN = Markov.population(MarkovOptions(transitions=((0.7, 0.3), (0.2, 0.8)), length=3))
GENERATIONS, REPLICATES = 4, 150


def loops(truth, rows, options, seed=0):
    """The models of independent loops, by replicate: each is fitted to samples of the one before it."""
    for replicate in range(REPLICATES):
        data, models = truth.sample(Ask(rows, 10_000 * seed + replicate)).data, []
        for generation in range(GENERATIONS + 1):
            models.append(NGram.fit(TrainingSet(data, None, np.ones(rows)), options, Run(0)))
            data = models[-1].sample(Ask(rows, 7_000_000 + 100 * replicate + generation)).data
        yield models


def agree(found, expected):
    """Means over replicates within 4.5 standard errors of a law: one of a thousand right laws would fail by chance."""
    found = np.asarray(found)
    error = np.maximum(found.std(axis=0, ddof=1) / math.sqrt(len(found)), 1e-12)
    assert (np.abs(found.mean(axis=0) - expected) < 4.5 * error).all(), (found.mean(axis=0), expected, error)
    return error


def shares_of(model):
    """The law of single tokens of a model that looks at no others."""
    return model.laws(np.empty((1, 0), np.int32))[0]


def test_a_model_of_single_tokens_loses_types_as_a_multinomial_of_all_tokens():
    options = NGramOptions(vocabulary=3, order=1, alpha=0.0)
    loop = theory.next_token_loop(INDEPENDENT, options.model_dump(), 8)
    assert loop.rows == 32
    np.testing.assert_allclose(loop.shares, [0.6, 0.3, 0.1])
    collisions = []
    for models in loops(INDEPENDENT, 8, options):
        collisions.append([np.square(shares_of(one)).sum() for one in models])
    expected = theory.next_token_collision(GENERATIONS, loop)
    error = agree(collisions, expected)
    # It could fail: with the rows in place of the tokens a fit would lose four times as much, many errors away.
    assert abs(theory.next_token_collision(GENERATIONS, loop._replace(rows=8))[0] - expected[0]) > 8 * error[0]


def test_types_among_samples_are_those_that_are_left_one_fit_later():
    options, types = NGramOptions(vocabulary=3, order=1, alpha=0.0), []
    for replicate, models in enumerate(loops(INDEPENDENT, 3, options, seed=1)):
        seeds = range(9_000_000 + 10 * replicate, 9_000_010 + 10 * replicate)
        types.append([len(np.unique(one.sample(Ask(3, seed)).data)) for one, seed in zip(models, seeds, strict=False)])
    loop = theory.next_token_loop(INDEPENDENT, options.model_dump(), 3)
    expected = theory.next_token_types(GENERATIONS, loop)
    error = agree(types, expected)
    assert expected[0] - expected[-1] > 8 * error[-1]  # and the types do get fewer


def test_a_model_that_looks_back_over_the_whole_sequence_is_a_multinomial_of_sequences():
    options = NGramOptions(vocabulary=2, order=3, alpha=0.0)
    loop = theory.next_token_loop(CHAIN, options.model_dump(), 12)
    assert loop.rows == 12 and len(loop.shares) == 8
    assert loop.shares.sum() == pytest.approx(1, rel=1e-13)
    assert loop.shares[0b011] == pytest.approx(0.4 * 0.3 * 0.8, rel=1e-13)  # pi = (.4, .6)
    every = np.array([[one >> 2 & 1, one >> 1 & 1, one & 1] for one in range(8)], np.int32)
    found = [
        [np.square(np.exp(one.log_likelihood(every, 0))).sum() for one in models]
        for models in loops(CHAIN, 12, options)
    ]
    agree(found, theory.next_token_collision(GENERATIONS, loop))


@pytest.mark.parametrize(
    ("truth", "options"),
    [
        (INDEPENDENT, {"order": 1, "alpha": 0.1}),  # smoothing is mutation
        (INDEPENDENT, {"order": 1, "alpha": 0.0, "top_p": 0.9}),
        (INDEPENDENT, {"order": 1, "alpha": 0.0, "temperature": 0.9}),
        (CHAIN, {"order": 1, "alpha": 0.0}),  # tokens that hang from one another
        (CHAIN, {"order": 2, "alpha": 0.0}),  # of pairs within longer sequences a context is met by chance
    ],
)
def test_no_law_is_told_where_none_is_exact(truth, options):
    said = NGramOptions(vocabulary=len(truth.matrix), **options).model_dump()
    assert theory.next_token_loop(truth, said, 10) is None


# -- tails of Zipf -----------------------------------------------------------------------------------------------------


def zipf_truth(categories, exponent, cut=None):
    law = {"categories": categories, "law": "zipf", "exponent": exponent, "cut": cut}
    return Multinomial.population(MultinomialPopulation(probabilities=law))


def test_the_population_has_the_exponent_and_the_cut_that_it_says():
    shares = zipf_truth(1000, 1.7, cut=100).probabilities
    np.testing.assert_allclose(shares[:100] / shares[0], np.arange(1, 101) ** -1.7, rtol=1e-13)
    assert not shares[100:].any() and shares.sum() == pytest.approx(1, rel=1e-14)
    np.testing.assert_array_equal(
        zipf_truth(50, 1.0).probabilities, (1 / np.arange(1.0, 51)) / (1 / np.arange(1.0, 51)).sum()
    )
    said = MultinomialPopulation(probabilities={"categories": 5, "law": "zipf"}).model_dump(mode="json")
    assert said == {"probabilities": {"categories": 5, "law": "zipf"}}  # as before there were others
    assert MultinomialOptions(categories=4).model_dump() == {"categories": 4, "alpha": 0.0, "estimate": "mean"}
    with pytest.raises(ValueError, match="found uniform with an exponent or a cut"):
        MultinomialPopulation(probabilities={"categories": 5, "law": "uniform", "cut": 2})


@pytest.mark.parametrize("exponent", [1.0, 1.5, 3.0])
def test_zipfs_shares_and_temperatures_are_one_wherever_they_are_written(exponent):
    """Their sources are told apart by what hangs on them: trainings on the families, predictions on the theory."""
    law = Law(categories=50, law="zipf", exponent=exponent)
    truth = Multinomial.population(MultinomialPopulation(probabilities=law)).probabilities
    np.testing.assert_allclose(truth, theory.zipf(50, exponent), rtol=1e-14)
    tempered = theory.temperature_shares(1, truth, 0.7)[1]
    np.testing.assert_allclose(sharpened(truth[None], 0.7)[0], tempered, rtol=1e-13)
    uniform = np.cumsum(tempered) - tempered / 2  # the middle of each share: rounding does not cross its ends
    reached = tempered > 1e-9
    found = Multinomials(truth[None]).invert(uniform[None], 0.7)[0]
    np.testing.assert_array_equal(found[reached], np.flatnonzero(reached))
    alone = NaiveBayes(NaiveBayesOptions(levels=(50,)), truth, ())
    together = Multinomial(MultinomialOptions(categories=50), truth)
    ask = Ask(300, 4, bias=0.7)
    np.testing.assert_array_equal(alone.sample(ask).data, together.sample(ask).data)


def test_a_temperature_divides_the_exponent_in_every_generation():
    truth = theory.zipf(200, 1.5)
    shares = theory.temperature_shares(4, truth, 0.8)
    slopes = [-np.polyfit(np.log(np.arange(1, 201)), np.log(row), 1)[0] for row in shares]
    np.testing.assert_allclose(slopes, theory.temperature_exponent(1.5, 0.8, 4), rtol=1e-12)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_what_is_unseen_falls_with_hutters_exponent_and_not_below_the_cut(exponent):
    """The sum misses its integral by the share of rank 1's width, of the order of n^-(1/s): 2 % at 10^6 for s = 3."""
    shares = theory.zipf(2_000_000, exponent)
    rows = np.array([10**4, 10**5])
    found = np.array([theory.unseen_mass(n, shares) for n in rows])
    limits = np.array([theory.unseen_mass_limit(n, exponent) for n in rows])
    np.testing.assert_allclose(found, limits, rtol=0.03)
    slope = -np.diff(np.log(found))[0] / math.log(10)
    assert slope == pytest.approx(1 - 1 / exponent, abs=0.01)
    assert abs(slope - 1 / exponent) > 0.1 or exponent == 2  # and not the exponent of the cut-off rank
    cut = np.where(np.arange(len(shares)) < 50, shares, 0.0)
    floor = theory.tail_mass(shares, 50)
    assert theory.unseen_mass(10**9, shares, cut / cut.sum()) == pytest.approx(floor, rel=1e-6)
    worth = theory.rows_worth(exponent, 50)
    assert theory.unseen_mass_limit(worth, exponent) == pytest.approx(floor, rel=0.05)


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_top_p_cuts_at_the_rank_of_its_power_law(exponent):
    shares = theory.zipf(4_000_000, exponent)
    ranks = [theory.nucleus_rank(shares, p) for p in (0.9, 0.99)]
    limits = [theory.nucleus_rank_limit(exponent, p) for p in (0.9, 0.99)]
    # Ranks are whole numbers, and a finite tail lacks what lies behind it: of 1.5, a thousandth of the mass.
    np.testing.assert_allclose(ranks, limits, rtol=0.25 if exponent == 1.5 else 0.02, atol=1)
    assert theory.nucleus_rank(np.array([0.5, 0.3, 0.2]), 0.8) == 2  # just enough is enough


def test_samples_of_a_family_that_cuts_are_cut_where_the_law_says():
    truth = zipf_truth(500, 1.5)
    data = truth.sample(Ask(20_000, 1)).data
    options = MultinomialOptions(categories=500, top_p=0.9)
    model = Multinomial.fit(TrainingSet(data, None, np.ones(len(data))), options, Run(0))
    drawn = model.sample(Ask(50_000, 2)).data
    kept = np.argsort(-model.probabilities, kind="stable")[: theory.nucleus_rank(model.probabilities, 0.9)]
    assert set(np.unique(drawn)) == set(kept.tolist())
    law = model.probabilities[kept] / model.probabilities[kept].sum()
    counts = np.bincount(drawn, minlength=500)[kept]
    assert (np.abs(counts - 50_000 * law) < 4.5 * np.sqrt(50_000 * law) + 1).all()
    again = Multinomial.load(model.stored(), options)
    np.testing.assert_array_equal(again.sample(Ask(50, 2)).data, drawn[:50])


def test_a_model_of_cut_samples_never_learns_what_lies_behind_the_cut():
    """Dohmatob et al. 2024: the error of the next model is the tail's mass, and what is unseen within the cut."""
    truth, n = zipf_truth(60, 1.5), 150
    cut = zipf_truth(60, 1.5, cut=10)
    found = []
    for seed in range(300):
        data = cut.sample(Ask(n, seed)).data
        model = Multinomial.fit(TrainingSet(data, None, np.ones(n)), MultinomialOptions(categories=60), Run(0))
        found.append([truth.probabilities[model.probabilities == 0].sum()])
    expected = theory.unseen_mass(n, truth.probabilities, cut.probabilities)
    agree(found, [expected])
    assert theory.tail_mass(truth.probabilities, 10) < expected < 1.2 * theory.tail_mass(truth.probabilities, 10)


# -- tokens that are edited --------------------------------------------------------------------------------------------


def edited(samples, real, seed=0, **options):
    entry = TRANSFORMS["edit"]
    return entry.transform(Given(SampleSet(samples), {}, SampleSet(real)), entry.Options(**options), seed).data


def test_tokens_of_which_the_editor_is_sure_are_drawn_again_and_no_others():
    check_transform("edit", {"above": 0.4, "order": 2})
    source = np.random.default_rng(0)
    truth, editor = np.array([0.5, 0.3, 0.2]), np.array([0.7, 0.2, 0.1])
    real = source.choice(3, (2000, 20), p=truth).astype(np.int32)
    samples = source.choice(3, (2000, 20), p=editor).astype(np.int32)
    found = edited(samples, real, above=0.5, order=1, alpha=1e-6, top_k=2)
    law = np.bincount(samples.ravel()) / samples.size  # what the editor has counted
    seen = np.bincount(real.ravel()) / real.size
    expected = theory.edited_shares(seen, law, 0.5, 2)
    # Of 40,000 tokens half are drawn again, each of two: a share of one is known to half of .7 / 200 and so on.
    assert (np.abs(np.bincount(found.ravel()) / found.size - expected) < 4.5 * np.sqrt(0.25 * 0.5 / found.size)).all()
    assert expected[1] > seen[1] + 0.05 and expected[2] == pytest.approx(seen[2], rel=1e-12)  # the rare one is kept
    plain = edited(samples, real, above=1.0, order=1)
    assert sorted(map(tuple, plain.tolist())) == sorted(map(tuple, real.tolist()))  # sure of nothing: the real rows
    with pytest.raises(ValueError, match="train: found int32 of shape"):
        edited(samples, real[:, :5])


def test_an_arm_of_such_a_loop_is_told_its_law_and_another_is_not():
    from collapselab.compose.regimes import REGIMES
    from collapselab.theory.predict import predict
    from collapselab.theory.setting import Setting

    options = NGramOptions(vocabulary=3, order=1, alpha=0.0).model_dump(mode="json")
    regime = REGIMES["fully_synthetic"](n=8, initial=8)
    arm = Setting("ngram", options, "markov", INDEPENDENT, regime, 3, 1.0, "nobody", {}, 8)
    (found,) = predict(arm)
    assert (found.law, found.metric, found.extractor) == ("next_token_types", "type_token_ratio", "tokens")
    np.testing.assert_allclose(
        found.mean, theory.next_token_types(3, theory.next_token_loop(INDEPENDENT, options, 8)) / 32
    )
    for other in ({"samples": 9}, {"options": options | {"order": 2}}, {"truth": CHAIN}, {"sampling_bias": 0.9}):
        assert predict(arm._replace(**other)) == []
