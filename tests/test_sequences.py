"""Sequences: tokens with a vocabulary, which is told in lineages and held against each other where sets meet."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import yaml
from project import ROOT
from pydantic import ValidationError
from scipy import stats

from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.run import Run
from collapselab.core.sequences import Vocabulary, check_tokens, met, substrings, windows
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.data.split import split
from collapselab.data.text import Text
from collapselab.features import FEATURES
from collapselab.features.sequences import ReferenceOptions, train_reference
from collapselab.measure import sets
from collapselab.metrics import METRICS
from collapselab.models.ngram import NGram, NGramOptions
from collapselab.models.tokens import sharpened
from collapselab.populations.markov import Markov, MarkovOptions
from collapselab.store import write_samples
from collapselab.study import loading as studies
from collapselab.testing import check_dataset

LETTERS = Vocabulary(3, " ab")


def test_tokens_become_text_and_text_becomes_tokens_again():
    data = np.array([[1, 0, 2], [2, 2, 1]], np.int32)
    assert LETTERS.texts(data) == ["a b", "bba"]
    assert LETTERS.tokens("a b").tolist() == data[0].tolist() and LETTERS.tokens("a b").dtype == np.int32
    assert Vocabulary(30).texts(np.array([[1, 29]], np.int32)) == ["1 29"]  # tokens without letters are numbers
    with pytest.raises(ValueError, match="text: found 'xy', allowed are the letters ' ab'"):
        LETTERS.tokens("a yx")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((2, 3), np.int64), r"found int64 of shape \(2, 3\), allowed are int32 tokens"),
        (np.zeros(3, np.int32), r"found int32 of shape \(3,\)"),
        (np.zeros((2, 0), np.int32), r"found int32 of shape \(2, 0\)"),
        (np.array([[0, 3]], np.int32), "found tokens 0 to 3, allowed with vocabulary: 3 are 0 to 2"),
        (np.array([[-1, 0]], np.int32), "found tokens -1 to 0, allowed"),
    ],
)
def test_what_are_no_tokens_of_a_vocabulary_is_refused(data, words):
    with pytest.raises(ValueError, match=f"data: {words}"):
        check_tokens(data, 3)


def test_a_vocabulary_goes_through_a_lineage_and_is_held_against_others():
    assert Vocabulary.of({"x": 1} | LETTERS.told) == LETTERS and Vocabulary.of({}) is None
    assert met({"real": LETTERS.told, "diverged": {}, "samples": LETTERS.told}) == LETTERS.told
    assert met({"real": {}}) == {}
    words = (
        r"vocabulary: real has 3 tokens of the alphabet ' ab', made has 3 tokens of the alphabet ' ac'; allowed is one"
    )
    with pytest.raises(ValueError, match=words):
        met({"real": LETTERS.told, "made": Vocabulary(3, " ac").told})


@pytest.mark.parametrize(
    "said",
    [
        3,
        {"size": 0},
        {"size": True},
        {"size": 2, "alphabet": "aa"},
        {"size": 3, "alphabet": "ab"},
        {"size": 1, "alphabet": 7},
    ],
)
def test_a_lineage_that_tells_of_no_vocabulary_is_refused(said):
    with pytest.raises(ValueError, match="vocabulary: found"):
        Vocabulary.of({"vocabulary": said})


def test_a_long_row_is_cut_and_its_runs_are_found():
    row = np.arange(7, dtype=np.int32)
    assert windows(row, 3).tolist() == [[0, 1, 2], [3, 4, 5]]  # 6 is left over
    assert substrings(windows(row, 3), 2).tolist() == [[[0, 1], [1, 2]], [[3, 4], [4, 5]]]
    assert substrings(windows(row, 3), 4).shape == (2, 0, 4)
    with pytest.raises(ValueError, match="length: found 8, allowed are 1 to 7"):
        windows(row, 8)


# -- metrics ----------------------------------------------------------------------------------------------------------


def rows(*texts):
    return np.array([list(map(ord, text)) for text in texts], float)


def measured(name, real, fake, **options):
    return METRICS[name](real, fake, **options)


def test_perplexities_are_those_of_closed_forms():
    nats = np.log(np.array([[2.0], [8.0]]))
    assert measured("perplexity", nats, nats[:1]) == pytest.approx(4, rel=1e-15)  # the geometric mean of 2 and 8
    assert measured("sample_perplexity", nats[:1], nats) == pytest.approx(4, rel=1e-15)
    found = measured("perplexity", np.repeat(nats, 200, axis=0), nats)
    error = np.log(2) / 20  # the nats are ln 4 -+ ln 2, of 400 rows
    assert np.log(found.high / found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)  # 1000 resamples: 5 %
    impossible = np.array([[np.inf], [1.0], [1.0], [1.0]])
    assert measured("impossible_share", nats, impossible) == 0.25
    with pytest.raises(Undefined, match="fake: 1 of 4 sequences are impossible under the truth"):
        measured("sample_perplexity", nats, impossible)


def test_variety_is_counted_by_hand():
    fake = rows("abab", "abcd")
    # Pairs: ab ba ab, ab bc cd: four of six differ; letters: four of eight; "ab" three times of six, the others once.
    assert measured("distinct_runs", fake, fake, n=2) == 4 / 6 and measured("type_token_ratio", fake, fake) == 0.5
    shares = np.array([3, 1, 1, 1]) / 6
    assert measured("run_entropy", fake, fake, n=2) == pytest.approx(-(shares @ np.log(shares)), rel=1e-14)
    assert measured("repetition", fake, fake, n=2) == pytest.approx((1 / 3 + 0) / 2, rel=1e-15)
    assert measured("repetition", fake, rows("aaaa"), n=1) == 0.75
    with pytest.raises(Undefined, match="fake: found sequences of 4 tokens, needed are runs of 5"):
        measured("distinct_runs", fake, fake, n=5)


def test_zipfs_exponent_is_that_of_counts_that_follow_a_power():
    counts = np.round(3_600_000 * np.arange(1, 60) ** -1.4).astype(int)
    tokens = np.repeat(np.arange(59), counts // 1000)  # rounding moves a count of 11 by a tenth at most
    fake = np.random.default_rng(0).permutation(tokens)[: len(tokens) // 4 * 4].reshape(-1, 4).astype(float)
    assert measured("zipf_slope", fake, fake, n=1) == pytest.approx(1.4, abs=0.02)
    with pytest.raises(Undefined, match="fake: found 1 runs of 1 tokens that occur 3 times"):
        measured("zipf_slope", fake, np.zeros((2, 4)), n=1)


def by_the_book(texts, n):
    """Self-BLEU as it is defined, sample by sample and reference by reference."""
    scores = []
    for index, text in enumerate(texts):
        logs = []
        for k in range(1, n + 1):
            runs = [Counter(one[at : at + k] for at in range(len(one) - k + 1)) for one in texts]
            others = [one for place, one in enumerate(runs) if place != index]
            shared = sum(min(many, max(one[run] for one in others)) for run, many in runs[index].items())
            logs.append(math.log(shared / (len(text) - k + 1)) if shared else -math.inf)
        scores.append(math.exp(sum(logs) / n))
    return sum(scores) / len(scores)


def test_self_bleu_is_what_its_definition_says():
    source = np.random.default_rng(1)
    texts = ["".join(source.choice(list("abc"), 9)) for _ in range(12)] + ["zzzzzzzzz"]
    for n in (1, 2, 4):
        assert measured("self_bleu", rows(*texts), rows(*texts), n=n) == pytest.approx(by_the_book(texts, n), rel=1e-12)
    assert measured("self_bleu", rows("abcde"), rows("abcde", "abcde")) == 1
    assert measured("self_bleu", rows("abcde"), rows("abcde", "vwxyz")) == 0
    with pytest.raises(Undefined, match="fake: found 1 rows"):
        measured("self_bleu", rows("abcde"), rows("abcde"))


def test_what_is_known_by_heart_is_found_word_for_word():
    real = rows("the cat sat on the mat", "a dog lay on a red rug")
    fake = rows("sat on the cat", "lay on a red r", "qqqqqqqqqqqqqq", "on the mat and")
    assert measured("memorised", real, fake, length=10) == 0.75  # "sat on the", "lay on a r", "on the mat"
    assert measured("memorised", real, fake, length=11) == 0.5  # "sat on the c" stands nowhere: "sat on the " does
    assert measured("memorised", real, fake, length=14) == 0.25


# -- models and truths -------------------------------------------------------------------------------------------------


def fitted(data, **options):
    return NGram.fit(TrainingSet(data, None, np.ones(len(data))), NGramOptions(**options), Run(0))


def counted(data, order, size, alpha, hierarchical):
    """The law of each token of a sequence given those before it, by counting every context by hand."""
    padded = [(size,) * (order - 1) + tuple(row) for row in data.tolist()]

    def law(context, token):
        back = len(context)
        runs = [row[at - back : at + 1] for row in padded for at in range(order - 1, len(row))]
        both, alone = runs.count((*context, token)), sum(run[:-1] == context for run in runs)
        shorter = law(context[1:], token) if context else 1 / size
        if alone + alpha == 0:
            return shorter
        return (both + size * alpha * (shorter if hierarchical else 1 / size)) / (alone + size * alpha)

    return law


@pytest.mark.parametrize("smoothing", ["additive", "hierarchical"])
@pytest.mark.parametrize(("order", "alpha"), [(1, 0.0), (2, 0.3), (3, 0.0), (3, 0.2)])
def test_an_ngram_is_what_counting_by_hand_gives(order, alpha, smoothing):
    data = np.random.default_rng(2).integers(0, 3, (6, 5)).astype(np.int32)
    model = fitted(data, vocabulary=4, order=order, alpha=alpha, smoothing=smoothing)  # token 3 never occurs
    law = counted(data, order, 4, alpha, smoothing == "hierarchical")
    asked = np.concatenate([data[:2], [[3, 0, 1, 2, 2]]]).astype(np.int32)
    expected = []
    for row in asked.tolist():
        padded = [4] * (order - 1) + row
        found = [law(tuple(padded[at : at + order - 1]), padded[at + order - 1]) for at in range(5)]
        expected.append(sum(map(math.log, found)) if all(found) else -math.inf)
    np.testing.assert_allclose(model.log_likelihood(asked, 0), expected, rtol=1e-12)
    contexts = np.array([[4] * (order - 1), [1] * (order - 1), [3] * (order - 1)], np.int32)
    laws = model.laws(contexts)
    np.testing.assert_allclose(laws.sum(axis=1), 1, rtol=1e-14)
    wanted = [[law(tuple(context), token) for token in range(4)] for context in contexts.tolist()]
    np.testing.assert_allclose(laws, wanted, rtol=1e-13, atol=1e-16)


def test_samples_of_an_ngram_follow_its_laws_at_every_temperature():
    data = np.random.default_rng(3).integers(0, 4, (50, 6)).astype(np.int32)
    model = fitted(data, vocabulary=4, order=2, alpha=0.0)
    for bias, power in ((1.0, 1.0), (0.5, 2.0)):
        drawn = model.sample(Ask(20_000, 5, bias=bias)).data
        first = model.laws(np.array([[4]], np.int32))[0] ** power
        counts = np.bincount(drawn[:, 0], minlength=4)
        assert stats.chisquare(counts, 20_000 * first / first.sum()).pvalue > 1e-4
        after = drawn[:, 3][drawn[:, 2] == 1]
        law = model.laws(np.array([[1]], np.int32))[0] ** power
        assert stats.chisquare(np.bincount(after, minlength=4), len(after) * law / law.sum()).pvalue > 1e-4


def test_weights_are_counts_and_a_cut_changes_samples_alone():
    data = np.array([[0, 1, 2], [2, 2, 1]], np.int32)
    twice = fitted(np.concatenate([data, data[:1]]), vocabulary=3, order=2, alpha=0.1)
    weighted = NGram.fit(
        TrainingSet(data, None, np.array([2.0, 1.0])), NGramOptions(vocabulary=3, order=2, alpha=0.1), Run(0)
    )
    np.testing.assert_array_equal(twice.counts, weighted.counts)
    cut = fitted(data, vocabulary=3, order=2, alpha=0.1, top_k=1)
    np.testing.assert_array_equal(
        cut.log_likelihood(data, 0), fitted(data, vocabulary=3, order=2, alpha=0.1).log_likelihood(data, 0)
    )
    assert (
        cut.sample(Ask(20, 0)).data == cut.sample(Ask(1, 1)).data
    ).all()  # the likeliest token, whatever chance says
    with pytest.raises(ValidationError, match="order: found 9, allowed with vocabulary: 256 are 1 to 7"):
        NGramOptions(vocabulary=256, order=9)


def test_laws_are_cut_to_their_likeliest_tokens():
    law = np.array([[0.1, 0.4, 0.2, 0.3]])
    np.testing.assert_allclose(sharpened(law, 1.0, 2), [[0, 4 / 7, 0, 3 / 7]], rtol=1e-15)
    np.testing.assert_allclose(sharpened(law, 1.0, None, 0.7), [[0, 4 / 7, 0, 3 / 7]], rtol=1e-15)  # .4 + .3 is enough
    np.testing.assert_allclose(sharpened(law, 1.0, None, 0.71), [[0, 4 / 9, 2 / 9, 3 / 9]], rtol=1e-15)
    np.testing.assert_allclose(sharpened(law, 0.5), law**2 / (law**2).sum(), rtol=1e-15)
    np.testing.assert_allclose(sharpened(law, 1.0, 3, 0.5), [[0, 4 / 7, 0, 3 / 7]], rtol=1e-15)  # 4/9 is not half
    np.testing.assert_allclose(sharpened(np.full((1, 4), 0.25), 1.0, 1), [[1, 0, 0, 0]])  # a tie goes to the first


TWO = ((0.9, 0.1), (0.4, 0.6))


def chain(**options):
    return Markov.population(MarkovOptions(**options))


def test_a_chain_has_the_entropy_of_its_closed_form():
    truth = chain(transitions=TWO, length=7)
    np.testing.assert_allclose(truth.stationary, [0.8, 0.2], rtol=1e-14)  # .1 pi_0 = .4 pi_1

    def entropy(*shares):
        return -sum(share * math.log(share) for share in shares)

    assert truth.entropy_rate == pytest.approx(0.8 * entropy(0.9, 0.1) + 0.2 * entropy(0.4, 0.6), rel=1e-14)
    every = np.array(list(itertools.product((0, 1), repeat=7)), np.int32)
    logs = truth.log_likelihood(every)
    assert np.exp(logs).sum() == pytest.approx(1, rel=1e-13)
    assert -(np.exp(logs) @ logs) == pytest.approx(truth.entropy, rel=1e-13)  # over all 128 sequences


def test_what_a_chain_never_does_is_impossible():
    truth = chain(transitions=((0.0, 1.0, 0.0), (0.0, 0.5, 0.5), (1.0, 0.0, 0.0)), length=3)
    seen = truth.judge(np.array([[0, 1, 2], [0, 0, 1], [2, 0, 1], [3, 0, 1]], np.int32))
    assert seen.possible.tolist() == [True, False, True, False]
    assert truth.masses.sum() == pytest.approx(1, rel=1e-14) and len(truth.masses) == 4
    assert truth.log_likelihood(np.array([[0, 0, 1]], np.int32))[0] == -np.inf
    drawn_matrix = chain(states=30, successors=2, seed=4).matrix
    assert ((drawn_matrix > 0).sum(axis=1) <= 3).all() and ((drawn_matrix > 0).sum(axis=1) >= 2).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transitions": ((1.0, 0.0), (0.5, 0.5))}, "found tokens that never lead to others"),
        ({"transitions": ((0.5, 0.4), (0.5, 0.5))}, "row 0 has shares with sum 0.9"),
        ({"transitions": ((0.5, 0.5),)}, r"found 1 rows of \[2\] shares, allowed is a square"),
        ({"states": 3, "successors": 4}, "successors: found 4, allowed are 1 to 3"),
    ],
)
def test_chains_that_are_none_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        MarkovOptions(**options)


# -- text --------------------------------------------------------------------------------------------------------------


def test_a_text_of_ones_own_is_cut_into_sequences(tmp_path):
    (tmp_path / "b.txt").write_text("Über 3 cats,\n\n and -- dogs!", encoding="utf-8")
    (tmp_path / "a.txt").write_text("One", encoding="utf-8")
    found = Text(path=tmp_path, length=5).load()
    assert Vocabulary.of(found.lineage).texts(found.data) == ["one b", "er ca", "ts an", "d dog"]  # "s " is left over
    check_dataset(Text(path=tmp_path / "b.txt", length=4, alphabet="printable"))
    plain = Text(path=tmp_path / "b.txt", length=11, alphabet="printable").load()
    assert Vocabulary.of(plain.lineage).texts(plain.data)[0] == "ber 3 cats,"
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="is no UTF-8 text: byte 3"):
        Text(path=tmp_path / "b.txt", length=2).load()
    assert Text(path=tmp_path / "none.txt").check() == [f"path: there is no file or folder '{tmp_path / 'none.txt'}'"]


def test_a_text_says_which_letters_it_loses_and_which_files_it_passes_over(tmp_path):
    """As ``test_what_a_plan_asks_of_a_source``: of a long text a plan has the bytes alone."""
    (tmp_path / "a.txt").write_text("Über 3 cats, 33 «äää»\u2028", encoding="utf-8")
    for name in ("notes.md", "more.md", "._a.txt"):
        (tmp_path / name).write_bytes(b"\xff")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "b.txt").write_text("never read", encoding="utf-8")
    passed = "; passed over: 2 .md, 1 hidden, 1 in old/"
    said = Text(path=tmp_path, length=5).summary()
    assert said == (
        "2 sequences of 5, and a rest of 0; 7 characters that are none of 'letters' became spaces: 3 3, ä 3, Ü 1"
        + passed
    )
    plain = Text(path=tmp_path, length=5, alphabet="printable").summary()
    lost = "7 characters that are none of 'printable' were left out: ä 3, Ü 1, « 1, » 1, U+2028 1"
    assert plain == f"3 sequences of 5, and a rest of 0; {lost}{passed}"
    (tmp_path / "a.txt").write_text("".join(map(chr, range(0x400, 0x40D))), encoding="utf-8")
    assert "and 3 others" in Text(path=tmp_path, length=2).summary()


def test_a_part_of_a_study_of_texts_asks_for_sequences(tmp_path):
    raw = yaml.safe_load((ROOT / "config" / "text-smoke.yaml").read_text(encoding="utf-8"))
    raw["data"]["split"]["train"] = 100_000
    _, faults = studies.check(raw, "text-smoke")
    (message,) = (fault.message for fault in faults if fault.path == ("data",))
    assert "sequences were asked for (train 100000" in message and "image" not in message
    raw["data"]["split"]["train"] = 10
    assert "150 real sequences at once; the train split holds 10" in studies.check(raw, "text-smoke")[1][0].message
    raw["data"]["rare"] = {0: 0.1}
    (fault,) = studies.check(raw, "text-smoke")[1]
    assert fault.message.endswith("found the label 0, but the sequences have no labels: choose data that have labels")
    with pytest.raises(ValueError, match=r"50 sequences were asked for .* but there are 4"):
        split(SampleSet(np.zeros((4, 3), np.int32)), {"train": 50}, 0)


def test_what_python_carries_is_english():
    check_dataset(Text(length=1024))
    text = Text(length=1024).load()
    assert len(text) > 200 and Text().rights().licence == "PSF-2.0"
    assert sum(" the " in one for one in Vocabulary.of(text.lineage).texts(text.data)) > len(text) / 2


def test_sets_of_unlike_alphabets_are_not_measured_against_each_other(tmp_path):
    rows = np.random.default_rng(0).integers(0, 3, (50, 6), np.int32)
    for name, alphabet in (("a", "abc"), ("b", "xyz"), ("c", "abc")):
        lineage = Vocabulary(3, alphabet).told
        write_samples(tmp_path / f"{name}.safetensors", SampleSet(rows, lineage=lineage))
    a, b, c = (tmp_path / f"{name}.safetensors" for name in "abc")
    assert set(sets.read({"samples": a, "against": c}, channels=None)) == {"samples", "against"}
    with pytest.raises(ValueError, match="allowed is one vocabulary"):
        sets.read({"samples": a, "against": b}, channels=None)


# -- what is seen of sequences -----------------------------------------------------------------------------------------


def test_surprisal_is_the_likelihood_of_a_token():
    truth = chain(transitions=TWO, length=9)
    data = truth.sample(Ask(50, 1)).data
    found = FEATURES["true-surprisal"].extract(data, truth)
    np.testing.assert_allclose(found.values[:, 0], -truth.log_likelihood(data) / 9, rtol=1e-15)
    np.testing.assert_array_equal(FEATURES["tokens"].extract(data).values, data)


def test_a_reference_of_many_rows_is_the_truth():
    """A count of m pairs after a token misses its law by a divergence of (K - 1) / 2m: here 1 / 2m, twice as much."""
    truth = chain(transitions=TWO, length=16)
    real, new, asked = (truth.sample(Ask(4000, seed)).data for seed in (1, 2, 3))
    options = ReferenceOptions(order=2, alpha=0.01)
    weights, info = train_reference(real, None, 0, options, held_out=(new, None))
    nats = FEATURES["reference"].extract(asked, weights).values.mean()
    exact = FEATURES["true-surprisal"].extract(asked, truth).values.mean()
    assert abs(nats - exact) < 10 / len(real)  # the least context has 12,000 pairs; a start 4,000, a sixteenth of all
    # The likelier token follows with .9 or .6; the first one of a sequence is 0 with .8.
    right = (0.8 + 15 * (0.8 * 0.9 + 0.2 * 0.6)) / 16
    assert info["held_out_accuracy"] == pytest.approx(right, abs=4.5 * math.sqrt(right * (1 - right) / 64_000) * 2)
    strange = FEATURES["reference"].extract(np.full((1, 16), 9, np.int32), weights).values
    assert np.isfinite(strange).all() and strange[0, 0] > 3  # of what real text has not, it knows that it is rare
