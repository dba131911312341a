"""Loops of next-token models: which of them are multinomial loops, exactly.

Seddik, Chen, Hayou, Youssef and Debbah 2024 ("How bad is training on synthetic data? A statistical analysis of language
model collapse", arXiv 2404.05090) take a model of the next token that learns a distribution for each context from
samples of the last one. Two n-gram models (:class:`models.ngram.NGram`) without smoothing are just that, with one
context alone: what looks at single tokens has the tokens of all rows for its rows, and what looks at least as far back
as a sequence is long has the sequences. Of a truth whose rows of that kind are independent the laws of
:mod:`theory.multinomial` then hold, with K tokens or K^length sequences as the categories.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .laws import LARGEST_CHAIN, REPLACE, biases_of, plan_of
from .multinomial import replace_heterozygosity, survivors
from .setting import Prediction, Setting

MOST_SEQUENCES = 4096  # sequences that are told apart


class Loop(NamedTuple):
    """A multinomial loop: how many rows each model sees, and the true shares of the categories."""

    rows: int
    shares: np.ndarray


def next_token_loop(truth: Any, options: Mapping[str, Any], rows: int) -> Loop | None:
    """The multinomial loop that a loop of n-gram models is, of sequences of a Markov chain; None where it is none.

    truth: a :class:`populations.markov.Markov`. options: of the model. rows: sequences that each model sees.
    """
    (length,), matrix = truth.shape, truth.matrix
    plain = options["alpha"] == 0 and options["temperature"] == 1 and options["top_k"] is None and options["top_p"] == 1
    if not plain:
        return None
    if options["order"] == 1 and np.allclose(matrix, matrix[:1], rtol=0, atol=1e-12):  # tokens are independent
        return Loop(rows * length, matrix[0])
    if options["order"] >= length and len(matrix) ** length <= MOST_SEQUENCES:
        return Loop(rows, sequence_shares(truth))
    return None


def sequence_shares(truth: Any) -> np.ndarray:
    """The probability of each sequence of a Markov chain, in the order of ``itertools.product``: (K^length,)."""
    every = np.array(list(itertools.product(range(len(truth.matrix)), repeat=truth.shape[0])), np.int32)
    return np.exp(truth.log_likelihood(every))


def next_token_collision(generations: int, loop: Loop) -> np.ndarray:
    """E sum p_t^2, the chance that two draws are one category: 1 - H_0 (1 - 1/n)^(t+1), to 1 where all is one.

    Seddik et al. 2024, theorem 1, have it of each context: collapse is certain, in about n generations.
    """
    return 1 - replace_heterozygosity(generations, *loop)


def next_token_types(generations: int, loop: Loop) -> np.ndarray:
    """The expected number of different categories among n samples of each model, exact: those that are left one fit
    later, sum_k P(k in n draws of p_t)."""
    return survivors(generations + 1, *loop)[1:]


def types_left(setting: Setting) -> Prediction | None:
    """``type_token_ratio``: of independent tokens, a model of single tokens, and as many samples as rows, exactly."""
    truth, n = setting.truth, setting.regime.initial.real
    if setting.population != "markov" or setting.options["order"] != 1 or setting.samples != n:
        return None
    loop = next_token_loop(truth, setting.options, n)
    if loop is None or plan_of(setting) != REPLACE or biases_of(setting) != {1.0} or loop.rows > LARGEST_CHAIN:
        return None
    mean = next_token_types(setting.generations, loop) / loop.rows
    note = "types left, by the chain of their counts (Seddik et al. 2024; Wright and Fisher)"
    return Prediction("next_token_types", "type_token_ratio", "tokens", mean, None, "equal", note, 1 / loop.rows)


TOKENS: dict[str, tuple[Callable[[Setting], Prediction | None], ...]] = {"ngram": (types_left,)}


def edited_shares(truth: np.ndarray, editor: np.ndarray, above: float, top_k: int | None = None) -> np.ndarray:
    """The law of tokens that are edited: p'(w) = p(w) 1[q(w) < a] + P(q >= a) q~(w), exact, of independent tokens.

    Zhu et al. 2024 (arXiv 2412.14689, eq. 6): what the editor q is sure of is drawn again, of its top-k law q~, and all
    else stays. truth, editor: (K,) float64.
    """
    from ..models.tokens import sharpened

    truth, editor = np.asarray(truth, np.float64), np.asarray(editor, np.float64)
    redrawn = editor >= above
    return np.where(redrawn, 0.0, truth) + truth[redrawn].sum() * sharpened(editor[None], 1.0, top_k)[0]
