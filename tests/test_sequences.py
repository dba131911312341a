"""Sequences: tokens with a vocabulary, which is told in lineages and held against each other where sets meet."""

import numpy as np
import pytest

from collapselab.core.sequences import Vocabulary, check_tokens, met, substrings, windows

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
