"""Selection of sequences, rewards of sequences, and adapters that follow them, held against laws that are exact."""

import itertools

import in_process
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from collapselab import store, theory
from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Given
from collapselab.core.ask import Ask
from collapselab.core.facts import Facts
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, Seen, TrainingSet
from collapselab.features import FEATURES, Features
from collapselab.metrics import METRICS
from collapselab.models.ngram import NGram, NGramOptions
from collapselab.models.transformer import Transformer, TransformerOptions
from collapselab.populations.markov import Markov, MarkovOptions
from collapselab.rewards import REWARDS
from collapselab.rewards.asking import rewards_of
from collapselab.select import SELECTORS
from collapselab.select.base import Pool
from collapselab.store.cells import Cell
from collapselab.study import loading
from collapselab.study.faults import BadStudy
from collapselab.verbs.adapt import own_samples
from collapselab.verbs.extract import Look
from collapselab.verbs.select import seen_of

CELL = Cell("study", "arm", 0, 1)
CHAIN = Markov.population(MarkovOptions(transitions=((0.6, 0.3, 0.1), (0.2, 0.5, 0.3), (0.5, 0.1, 0.4)), length=2))
ALL = np.array(list(itertools.product(range(3), repeat=2)), np.int32)  # its nine sequences
ROWS = 200_000


def fitted(data, weights=None, **said):
    options = NGramOptions(**{"vocabulary": 3, "order": 2, "alpha": 0.0} | said)
    return NGram.fit(TrainingSet(data, None, np.ones(len(data)) if weights is None else weights), options, Run(0))


def selected(name, pool, seed=5, **said):
    return SELECTORS[name].select(pool, SELECTORS[name].Options.model_validate(said), seed)


def scored(name, data, seen=None, **said):
    entry = REWARDS[name]
    return entry.reward(SampleSet(np.asarray(data, np.int32)), seen or {}, entry.Options.model_validate(said))


# -- by likelihood -----------------------------------------------------------------------------------------------------


def likeliest(shares, mass):
    """A law that is cut to its likeliest outcomes, which have a mass together; of the last one as much as is left."""
    found, left = np.zeros(len(shares)), mass
    for index in np.argsort(-shares):
        found[index] = min(shares[index], left)
        left -= found[index]
    return found / mass


def test_keeping_the_likeliest_cuts_a_chain_to_the_top_of_its_mass_and_again_in_every_generation():
    """A share s of t generations leaves the likeliest s^t of the truth: a cut of a cut is one cut.

    A model of whole sequences learns what was kept as it is. Of n rows a share errs by at most 1 / (2 sqrt(n s)) a
    generation, and where a cut falls into a sequence by as much again.
    """
    truth, share = np.exp(CHAIN.log_likelihood(ALL)), 0.8
    model = fitted(CHAIN.sample(Ask(ROWS, 1)).data)
    for generation in (1, 2, 3):
        samples = model.sample(Ask(ROWS, 1 + generation))
        kept = selected("likelihood", Pool(samples, CELL, model=model), share=share)
        assert len(kept.rows) == share * ROWS
        model = fitted(samples.data[kept.rows])
        expected = likeliest(truth, share**generation)
        error = generation / np.sqrt(ROWS * share)
        np.testing.assert_allclose(np.exp(model.log_likelihood(ALL, 0)), expected, atol=4 * error)
    assert np.count_nonzero(expected) < len(ALL)  # sequences are gone, and the law says which


def test_the_least_likely_end_and_the_lot_keep_what_they_say():
    model = fitted(CHAIN.sample(Ask(2000, 1)).data)
    pool = Pool(model.sample(Ask(1000, 2)), CELL, model=model)
    nats = model.log_likelihood(pool.samples.data, 0)
    low, lot = (selected("likelihood", pool, share=0.3, end=end) for end in ("bottom", "random"))
    assert np.sort(nats)[299] >= nats[low.rows].max()
    assert nats[lot.rows].mean() == pytest.approx(nats.mean(), abs=4 * nats.std() / 300**0.5)


def test_the_tail_by_a_count_of_real_text_is_what_real_text_seldom_says():
    """A tenth of real text is stranger than its 90 % quantile; of what is kept half is chosen from there."""
    chain = Markov.population(MarkovOptions(states=6, length=12))
    train, own = (chain.sample(Ask(2000, seed)) for seed in (1, 2))
    options = FEATURES["reference"].Options()
    weights, _ = FEATURES["reference"].train(train.data, None, 0, options, held_out=(own.data, None))
    look = {"reference": Look(FEATURES["reference"], weights, {})}
    seen = seen_of(own, look, train)
    said = {"extractor": "reference", "attribute": "nats", "tail": "high", "chosen": 0.5, "stops": False}
    kept = selected("tails", Pool(own, CELL, seen, train=train), share=0.1, **said)
    border = np.quantile(seen["reference"].train.values, 0.9)
    assert kept.reasons.count("a tail, chosen") == 100
    assert (kept.scores > border).mean() == pytest.approx(0.5 + 0.5 * 0.1, abs=4 * np.sqrt(0.09 / 100))


def test_a_perfect_verifier_keeps_no_transition_that_never_happens():
    """Tokens of a chain with two successors, half of them drawn anew by a model that knows no order."""
    chain = Markov.population(MarkovOptions(states=6, successors=2, concentration=5.0, length=5))
    real = chain.sample(Ask(500, 1)).data
    samples = SampleSet(np.concatenate([real, fitted(real, vocabulary=6, order=1).sample(Ask(500, 2)).data]))
    look = {"truth": Look(FEATURES["truth"], chain, {})}
    seen = seen_of(samples, look, chain.sample(Ask(20, 3)))
    kept = selected("verifier", Pool(samples, CELL, seen), share=1.0, phi=1.0, psi=0.0)
    right = np.flatnonzero(np.isfinite(chain.log_likelihood(samples.data)))
    assert kept.rows.tolist() == right.tolist() and 500 <= len(right) < 600


# -- by rewards --------------------------------------------------------------------------------------------------------


def test_rewards_of_sequences_are_counted_by_hand():
    data = [[0, 1, 0, 1], [2, 2, 2, 2]]
    assert scored("token_worth", data, worth={1: 1.5, 2: -1}).tolist() == [3.0, -4.0]
    assert scored("variety", data).tolist() == [0.5, 0.25]
    assert scored("variety", data, n=2, scale=-3).tolist() == [-2.0, -1.0]  # ab ba ab; cc cc cc
    nats = {"reference": Features(np.array([[0.5], [np.inf]]), names=("nats",))}
    assert scored("fluency", data, nats, scale=2).tolist() == [-1.0, -np.inf]
    with pytest.raises(ValueError, match="n: found 5, allowed are 1 to 4, the length of a sequence"):
        scored("variety", data, n=5)
    with pytest.raises(
        ValueError, match="extractor: found 'reference', which tells no nats; allowed are reference and"
    ):
        scored("fluency", data, {"reference": Features(np.ones((2, 3)))})
    for worth in ({}, {-1: 1.0}, {1: np.inf}):
        with pytest.raises(ValidationError, match="worth"):
            REWARDS["token_worth"].Options(worth=worth)


def test_a_chosen_sequence_of_many_has_tokens_of_tilted_shares():
    """One of K -> inf by e^r is the law p e^w / Z of each token (Ferbach et al. 2024, theorem 2.1), of a loop in each
    generation anew: after t of them p e^(t w) / Z. K = 64 and 3 tokens: what K is too small for is below .01 here."""
    shares, worth = np.array([0.5, 0.3, 0.2]), {1: 0.4, 2: -0.6}
    tilt = np.array([0.0, 0.4, -0.6])
    law = Markov.population(MarkovOptions(transitions=(tuple(shares),) * 3, length=3))
    samples = law.sample(Ask(ROWS, 1))
    for generation in (1, 2):
        scores = {"rewards.0": scored("token_worth", samples.data, worth=worth)}
        kept = selected(
            "reward", Pool(samples, CELL, scores=scores), rewards=[{"token_worth": {"worth": worth}}], share=1 / 64
        )
        model = fitted(samples.data[kept.rows], order=1)
        expected = shares * np.exp(generation * tilt)
        found = model.laws(np.empty((1, 0), np.int32))[0]
        count = 3 * len(kept.rows)  # tokens; each generation adds its own chance
        np.testing.assert_allclose(
            found, expected / expected.sum(), atol=0.01 + 4 * generation**0.5 * np.sqrt(0.25 / count)
        )
        samples = model.sample(Ask(ROWS, 1 + generation))


def test_weights_by_the_odds_of_a_token_bring_back_what_a_temperature_has_taken():
    """p_T ~ p^(1/T) with weights e^w of w = (1 - 1/T) ln p is p again: what detector weights do with exact scores."""
    shares = np.array([0.5, 0.3, 0.2])
    model = NGram(NGramOptions(vocabulary=3, order=1, alpha=0.0), np.arange(3, dtype=np.int32)[:, None], shares, 4)
    samples = model.sample(Ask(ROWS, 1, bias=0.8))
    worth = {token: float((1 - 1 / 0.8) * np.log(shares[token])) for token in range(3)}
    said = {"token_worth": {"worth": worth}}
    kept = selected(
        "weighted",
        Pool(samples, CELL, scores={"reward": scored("token_worth", samples.data, worth=worth)}),
        reward=said,
    )
    found = fitted(samples.data, kept.weights, order=1).laws(np.empty((1, 0), np.int32))[0]
    count = 4 * kept.weights.sum() ** 2 / np.square(kept.weights).sum()
    np.testing.assert_allclose(found, shares, atol=4 * np.sqrt(0.25 / count))
    cold = fitted(samples.data, order=1).laws(np.empty((1, 0), np.int32))[0]
    assert cold[0] > shares[0] + 0.03  # without weights it is another law


# -- by a detector -----------------------------------------------------------------------------------------------------


def detected(real, own, look, seed=3, **said):
    """What a detector makes of samples, which sees them and real ones through a function."""
    options = SELECTORS["detector"].Options.model_validate({"extractor": "identity"} | said)
    pool = Pool(SampleSet(own), CELL, {"identity": Seen(look(own), look(real))}, train=SampleSet(real))
    return SELECTORS["detector"].select(pool, options, seed)


def test_a_detectors_odds_are_the_ratio_of_two_normal_laws():
    """N(0, 1) over N(1/2, 1) is e^(1/8 - x/2): each coefficient errs by some sqrt(8 / n) of n rows on both sides."""
    source = np.random.default_rng(0)
    real, own = source.standard_normal((4000, 1)), source.standard_normal((4000, 1)) + 0.5
    kept = detected(real, own, Features)
    exact = np.exp(1 / 8 - own[:, 0] / 2)
    slack = 5 * np.sqrt(8 / 8000 * 0.8) * (1 + np.abs(own[:, 0] - 0.25))
    assert (np.abs(np.log(kept.weights / np.mean(exact)) - np.log(exact / np.mean(exact))) < slack + 0.05).all()
    assert kept.rows.tolist() == list(range(4000)) and kept.weights.mean() == pytest.approx(1)
    # Weighted, the samples have the real mean; by half the power half of the way.
    for strength, mean in ((1, 0.0), (0.5, 0.25), (0, 0.5)):
        weights = detected(real, own, Features, strength=strength).weights
        assert np.average(own[:, 0], weights=weights) == pytest.approx(mean, abs=0.1)
    np.testing.assert_allclose(kept.scores, detected(real, own, Features, by="probability", share=1.0).scores)


@pytest.mark.parametrize("deviation", [0.5, 0.8])
def test_a_detector_of_squares_brings_a_spread_back_that_one_of_means_cannot_see(deviation):
    """N(0, 1) over N(0, s^2) is s e^(b x^2), b = (1/s^2 - 1) / 2: exact odds of these very samples give a variance V.

    An error of b moves it by that times the weighted variance of x^2. A detector learns b with the variance that the
    Fisher information I of its rows says, sum of p (1 - p) (1, x^2)(1, x^2)' where both sides weigh alike, and the
    penalty c |b u|^2 / 2, u the deviation of x^2 in its rows, pulls it down by c u^2 b I^-1 at most; both are of the
    samples and real rows of four folds in five. V itself is near 1 where the variance of the odds is finite, s^2 > 1/2.
    """
    source = np.random.default_rng(4)
    real, own = source.standard_normal((4000, 1)), deviation * source.standard_normal((4000, 1))
    slope, squares = (1 / deviation**2 - 1) / 2, own[:, 0] ** 2
    exact = np.exp(slope * squares)
    wanted = np.average(squares, weights=exact)
    rows = np.concatenate([real, own])[:, 0] ** 2
    p = 1 / (1 + np.exp(-np.log(deviation) - slope * rows))
    columns = np.stack([np.ones_like(rows), rows])
    inverse = np.linalg.inv(0.8 * (columns * p * (1 - p)) @ columns.T)[1, 1]
    off = 4 * np.sqrt(inverse) + 10 * rows.var() * slope * inverse
    tolerance = off * np.average((squares - wanted) ** 2, weights=exact)
    seeing = detected(real, own, Features, squares=True).weights
    assert np.average(squares, weights=seeing) == pytest.approx(wanted, abs=tolerance)
    if deviation == 0.8:  # of x^2 under the odds: E w^2 (x^2 - 1)^2 = 14.65 of one sample
        assert np.average(squares, weights=seeing) == pytest.approx(1, abs=tolerance + 4 * np.sqrt(14.65 / 4000))
    blind = detected(real, own, Features).weights
    assert np.average(squares, weights=blind) < wanted - tolerance


def test_squares_are_about_the_mean_and_a_job_is_told_whether_they_are_seen():
    """Far from 0 a number and its square are one column; about their mean they are two."""
    source = np.random.default_rng(4)
    real, own = source.standard_normal((2000, 1)), 0.8 * source.standard_normal((2000, 1))
    near, far = (detected(real + by, own + by, Features, squares=True).weights for by in (0.0, 1000.0))
    np.testing.assert_allclose(near, far, rtol=1e-6)
    options = SELECTORS["detector"].Options
    assert options(extractor="runs").model_dump(mode="json")["squares"] is False
    assert options(extractor="runs", squares=True).model_dump(mode="json")["squares"] is True


@pytest.mark.filterwarnings("error")
def test_what_is_surely_not_real_has_no_chance_to_be_and_nobody_warns_of_it():
    """A sample far outside of all that its detector has learnt from: e^710 is no number, and 1 / (1 + it) is 0."""
    real = np.random.default_rng(4).standard_normal((200, 1))
    own = np.concatenate([real[:-1] - 3, [[-1e6]]])
    sure = detected(real, own, Features, strength=0)
    assert sure.scores[-1] == 0 and sure.scores[:-1].min() > 0 and (sure.weights == 1).all()


def test_what_looks_alike_counts_alike_and_the_share_is_of_what_looks_real():
    source = np.random.default_rng(1)
    real, alike = source.standard_normal((2000, 2)), source.standard_normal((2000, 2))
    assert np.abs(np.log(detected(real, alike, Features).weights)).max() < 0.5
    own = real[:1000] + 1.0
    half = detected(real, own, Features, share=0.5)
    assert len(half.rows) == 500 and own[half.rows].mean() < own.mean() - 0.3
    assert half.scores.min() >= 0.9 * np.median(half.scores) - 0.2 and half.weights.mean() == pytest.approx(1)
    with pytest.raises(ValueError, match="strength: found 5000, by which some of the odds from"):
        detected(real, own, Features, strength=5000)
    with pytest.raises(ValueError, match="samples: 1 of 1000 rows have features that are not finite"):
        detected(real, np.where(np.arange(1000)[:, None] == 3, np.nan, own), Features)


def test_no_sample_is_judged_by_a_detector_that_has_seen_it():
    """Among 40 columns of noise 80 rows can be told by heart; a detector that has not seen them holds all for alike."""
    source = np.random.default_rng(2)
    real, own = source.standard_normal((80, 40)), source.standard_normal((80, 40))
    kept = detected(real, own, Features, penalty=0.01)
    assert abs((kept.scores > 0.5).mean() - 0.5) < 4 * 0.5 / 80**0.5  # by heart it would be near 0


def test_a_detector_brings_text_back_that_was_sampled_too_cold():
    """Counts of single tokens are what the ratio of two laws of independent tokens hangs from, linearly."""
    shares = np.array([0.5, 0.3, 0.2])
    law = NGram(NGramOptions(vocabulary=3, order=1, alpha=0.0), np.arange(3, dtype=np.int32)[:, None], shares, 4)
    real, own = law.sample(Ask(4000, 1)).data, law.sample(Ask(4000, 2, bias=0.8)).data

    def look(data):
        return FEATURES["runs"].extract(data, n=1, columns=64)

    kept = detected(real, own, look)
    cold = fitted(own, order=1).laws(np.empty((1, 0), np.int32))[0]
    found = fitted(own[kept.rows], kept.weights, order=1).laws(np.empty((1, 0), np.int32))[0]
    # Both sides' chance: sqrt(1/4 / 16,000) each, of weights that count three in four rows or more.
    assert np.abs(found - shares).max() < 4 * 0.5 * np.sqrt(1 / 16_000 + 1 / 12_000) < np.abs(cold - shares).max()


# -- adapters ----------------------------------------------------------------------------------------------------------


def reweighted(model, training, run=None, **said):
    entry = ADAPTERS["reweighted"]
    options = entry.Options.model_validate(said)
    given = Given(training, own_samples(model, 5), {}, {}, rewards_of(options, {}))
    return entry.adapt(model, given, options, run or Run(2, entry.images(options)))


def test_rounds_of_reweighted_counts_tilt_the_tokens_each_time():
    """p e^(k w / T) / Z of independent tokens (``theory.regularised_shares``): 3 tokens of 60,000 rows a round."""
    shares, worth = np.array([0.5, 0.3, 0.2]), {1: 1.0, 2: -0.5}
    model = NGram(NGramOptions(vocabulary=3, order=1, alpha=0.0), np.arange(3, dtype=np.int32)[:, None], shares, 3)
    training = TrainingSet(np.zeros((1, 3), np.int32), None, np.ones(1))
    for rounds in (1, 2):
        said = {"reward": {"token_worth": {"worth": worth}}, "samples": 60_000, "temperature": 2.0}
        model, facts = reweighted(model, training, **said)
        wanted = theory.regularised_shares(shares, np.array([0.0, 1.0, -0.5]), 2.0 / rounds)
        found = model.laws(np.empty((1, 0), np.int32))[0]
        np.testing.assert_allclose(found, wanted, atol=4 * np.sqrt(rounds * 0.25 / (3 * facts["effective"])))
        assert facts["reward"]["after"] > facts["reward"]["before"]


def test_a_transformer_writes_more_of_what_is_liked():
    """It goes on from its weights towards its own samples with weights e^r, in which a sequence is worth on average
    sum w r / sum w: a short training goes most of that way, and 400 samples err by their deviation over 20."""
    data = Markov.population(MarkovOptions(states=4, length=6)).sample(Ask(300, 1)).data
    training = TrainingSet(data, None, np.ones(len(data)))
    said = {"vocabulary": 4, "blocks": 1, "width": 16, "heads": 2, "batch": 16, "learning_rate": 0.01}
    options = TransformerOptions.model_validate(said | {"warmup_images": 64})
    model = Transformer.fit(training, options, Run(0, 3000))
    reward = {"token_worth": {"worth": {1: 1.0}}}
    _, facts = reweighted(model, training, reward=reward, samples=400, images_seen=3000)
    worth = scored("token_worth", own_samples(model, 5)(400).data, worth={1: 1.0})
    before, after = facts["reward"]["before"], facts["reward"]["after"]
    way = np.average(worth, weights=np.exp(worth)) - before
    assert before == worth.mean() and 0.5 * way < after - before < way + 4 * worth.std() / 20


# -- through runs of tokens --------------------------------------------------------------------------------------------


def test_columns_of_runs_have_the_products_of_their_shares():
    """Of many columns no two runs share one, and f(x).f(y) is sum over runs of p(g; x) p(g; y), signs cancelling."""
    data = np.array([[0, 1, 0, 1], [1, 0, 1, 1], [2, 3, 2, 3]], np.int32)
    found = FEATURES["runs"].extract(data, n=2, columns=2**16).values
    assert [np.count_nonzero(row) for row in found] == [4, 5, 4]  # a b ab ba; b a ba ab bb; c d cd dc
    ones = np.array([[0.5, 0.5, 0, 0], [0.25, 0.75, 0, 0], [0, 0, 0.5, 0.5]])
    pairs = np.array([[2, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 2, 1]]) / 3
    np.testing.assert_allclose(found @ found.T, ones @ ones.T + pairs @ pairs.T, atol=1e-15)
    swapped = FEATURES["runs"].extract(3 - data, n=2, columns=2**16).values
    np.testing.assert_allclose(swapped @ swapped.T, found @ found.T, atol=1e-15)  # numbers of tokens are names
    short = FEATURES["runs"].extract(data[:, :1], n=3, columns=64).values
    assert [np.count_nonzero(row) for row in short] == [1, 1, 1]


def test_metrics_of_spaces_see_through_runs_what_text_has_lost():
    chain = Markov.population(MarkovOptions(states=8, length=16))
    real, same, lost = chain.sample(Ask(400, 1)).data, chain.sample(Ask(400, 2)).data, chain.sample(Ask(40, 3)).data
    look = FEATURES["runs"].extract
    recall = [float(METRICS["recall"](look(real), look(some))) for some in (same, np.repeat(lost, 10, axis=0))]
    assert recall[0] > 0.8 and recall[1] < 0.3
    other = Markov.population(MarkovOptions(states=8, length=16, seed=1)).sample(Ask(400, 2)).data
    distances = [float(METRICS["kernel_distance"](look(real), look(some))) for some in (same, other)]
    assert distances[1] > 100 * abs(distances[0])


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: chosen-text
question: What does selection keep?
seeds: 1
generations: 1
data: {population: {markov: {states: 5, length: 6, successors: 3}}, split: {held_out: 60}}
models: {letters: {ngram: {vocabulary: 5, order: 2}}}
initial: {real: 60}
samples: 120
extractors: [tokens, surprisal, runs]
metrics: [perplexity, recall]
primary: {metric: perplexity, extractor: surprisal}
control: none
arms:
  chosen:
    model: letters
    regime: {fully_synthetic: {n: 30}}
    select:
      - verifier: {share: 0.5, phi: 1, psi: 0.5}
      - reward: {share: 0.5, by: top_fraction, rewards: [variety, fluency, {token_worth: {worth: {1: 1}}}]}
  adapted:
    model: letters
    regime: fully_synthetic
    adapt: {reweighted: {samples: 50, reward: {variety: {n: 2}}}}
waive:
  training_set_size: nothing is compared here
"""


def read(tmp_path, **changes):
    said = yaml.safe_load(STUDY)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = said
        for part in way:
            place = place[part]
        place[last] = value
    file = tmp_path / "chosen-text.yaml"
    file.write_text(yaml.safe_dump(said), encoding="utf-8")
    return loading.load(str(file))


def test_a_study_of_text_selects_with_its_yoked_controls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = read(tmp_path)
    in_process.run(study)
    kept = store.read_kept(study.cell("chosen", 0, 1, "kept.parquet"))
    assert len(kept.rows) == 30 and np.isfinite(kept.scores).all()
    yoked = [name for name in study.lineages if name not in study.file.arms]
    assert yoked and all(study.lineages[name].select[0].name == "yoked" for name in yoked)


@pytest.mark.parametrize(
    ("place", "said", "words"),
    [
        ("reward", {"token_worth": {"worth": {7: 1.0}}}, "found token 7; the study's data are of 5 tokens"),
        ("reward", {"variety": {"n": 9}}, "n: found 9, allowed are 1 to 6, the length of a sequence"),
        ("reward", {"fluency": {"extractor": "tokens"}}, "found 'tokens', which tells no nats; allowed are reference"),
        (
            "reward",
            {"linear_head": {"file": "x.npz", "extractor": "tokens"}},
            "those of 'tokens' are names and no sizes; extractors of sequences: surprisal, true-surprisal, reference",
        ),
        ("reward", "brightness", "'brightness' takes images; the study's data are sequences"),
    ],
)
def test_what_does_not_suit_text_is_told_before(tmp_path, place, said, words):
    with pytest.raises(BadStudy, match=words):
        read(tmp_path, arms__adapted__adapt={"reweighted": {"samples": 50, place: said}})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"weighted": {"extractor": "runs", "attribute": "300"}},
            r"attribute: found '300', allowed are 0 to 255 of runs",
        ),
        (
            {"quota": {"extractor": "runs", "table": "even", "share": 0.5}},
            r"'quota' reads classes; 'runs' has none of sequences; extractors that do: none",
        ),
        (
            {"quota": {"table": "even", "share": 0.5}},
            r"'quota' takes images and vectors and categories and audio; the study's data are sequences",
        ),
    ],
)
def test_a_selector_that_does_not_suit_text_is_told_before(tmp_path, said, words):
    with pytest.raises(BadStudy, match=words):
        read(tmp_path, arms__chosen__select=said)


def test_scores_of_impossible_texts_are_told_with_their_cure():
    samples = SampleSet(np.zeros((3, 2), np.int32))
    seen = {"true-surprisal": Seen(Features(np.array([[1.0], [np.inf], [2.0]])), Features(np.ones((3, 1))))}
    with pytest.raises(ValueError, match=r"1 of 3 scores are not finite.*reference, or a model without smoothing"):
        selected("weighted", Pool(samples, CELL, seen), extractor="true-surprisal")


def test_runs_that_are_longer_than_a_sequence_are_no_fault_of_others():
    facts = Facts((4,), 10, lambda: 0, lambda name: ())
    entry = REWARDS["variety"]
    assert entry.fault(facts, entry.Options(n=4)) == "" and "found 5" in entry.fault(facts, entry.Options(n=5))
    entry = REWARDS["fluency"]
    assert entry.fault(facts, entry.Options()) == ""  # of what is learnt nobody knows the columns before
    assert isinstance(Seen(None, None), Seen)
