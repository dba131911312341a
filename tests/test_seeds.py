"""Seeds: a written-down hash, and numbers that belong to their sample whatever is drawn beside it."""

import hashlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from collapselab.core import seeds
from collapselab.core.seeds import SEED_BITS, generator, normals, seed_of, uniforms

KNOWN = {
    (0, 0, 0, "train", 0): 6159145746685883674,
    (0, 1, 0, "train", 0): 2454051700218190433,
    (2024, None, None, "split", 0): 1877448926881232682,
    (7, 2, 5, "sample", 31): 4030262187895504008,
}

SURPRISE = 1e-6  # how improbable a p-value must be to fail: the seeds are fixed, and this is chosen before looking


def test_seeds_are_those_written_down():
    """Vectors: another machine, and another year, must draw the same study."""
    for names, expected in KNOWN.items():
        assert seed_of(*names) == expected
        text = "collapselab|" + "|".join("-" if name is None else str(name) for name in names)
        assert int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) >> 1 == expected
    assert seed_of(0, 0, 0, "train") == KNOWN[0, 0, 0, "train", 0]


def test_seeds_do_not_depend_on_the_process():
    """Python's own hash of words differs in every process."""
    code = "from collapselab.core.seeds import *; "
    code += "print(seed_of(7, 2, 5, 'sample', 31), uniforms(7, 2, 1, 3).tobytes().hex())"
    path = {"PYTHONPATH": str(Path(seeds.__file__).parents[2])}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | more
        ).stdout
        for more in (path | {"PYTHONHASHSEED": "1"}, path | {"PYTHONHASHSEED": "2"})
    ]
    assert runs[0] == runs[1] == f"{seed_of(7, 2, 5, 'sample', 31)} {uniforms(7, 2, 1, 3).tobytes().hex()}\n"


def test_every_name_and_counter_changes_the_seed():
    choices = [(0, 1, 11), (None, 0, 1, 11), (None, 0, 1, 11), ("train", "sample", "sample1", "grid"), (0, 1, 11)]
    found = {
        seed_of(study, replicate, generation, stage, index)
        for study in choices[0]
        for replicate in choices[1]
        for generation in choices[2]
        for stage in choices[3]
        for index in choices[4]
    }
    assert len(found) == 3 * 4 * 4 * 4 * 3
    assert all(0 <= seed < 2**SEED_BITS for seed in found)
    assert seed_of(1, 1, 1, "train") == seed_of(np.int64(1), np.int32(1), np.int64(1), "train", np.int64(0))


def test_seeds_use_all_their_bits():
    """Each of the 63 bits is a fair coin over 2,000 seeds: counts within six standard deviations."""
    found = np.array([seed_of(5, 0, 0, "train", index) for index in range(2000)], np.uint64)
    ones = (found[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).sum(0)
    assert ones[63] == 0
    assert np.abs(ones[:63] - 1000.0).max() < 6 * np.sqrt(2000 / 4)


# -- the numbers -------------------------------------------------------------------------------------------------------

WORD = 2**64 - 1


def philox(counter: int, key: int) -> list[int]:
    """Philox 4x64-10 (Salmon et al. 2011), in plain integers: the four words of one counter."""
    words = [counter >> 64 * place & WORD for place in range(4)]
    keys = [key & WORD, key >> 64]
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * words[0], 0xCA5A826395121157 * words[2]
        words = [second >> 64 ^ words[1] ^ keys[0], second & WORD, first >> 64 ^ words[3] ^ keys[1], first & WORD]
        keys = [keys[0] + 0x9E3779B97F4A7C15 & WORD, keys[1] + 0xBB67AE8584CAA73B & WORD]
    return words


def test_the_oracle_gives_the_published_vector():
    """Random123's known answers for Philox 4x64-10 at counter 0 and key 0."""
    assert philox(0, 0) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


@pytest.mark.parametrize("width", [1, 3, 4, 5, 8, 10])
def test_uniforms_are_philox_at_the_counters_that_they_promise(width):
    seed, start = KNOWN[7, 2, 5, "sample", 31], 2**40 + 3
    blocks = -(-width // 4)
    for row, found in enumerate(uniforms(seed, start, 3, width)):
        words = [word for block in range(blocks) for word in philox(1 + (start + row) * blocks + block, seed)]
        assert found.tolist() == [((word >> 12) + 0.5) / 2**52 for word in words[:width]]


def test_uniforms_never_reach_their_ends(monkeypatch):
    """The least and the greatest word, which a logarithm must survive."""
    for word, expected in ((0, 2.0**-53), (WORD, 1 - 2.0**-53)):
        monkeypatch.setattr(np.random, "Philox", lambda key, counter, word=word: Constant(word))
        found = uniforms(0, 0, 1, 4)
        assert found.min() > 0
        assert found.max() < 1
        assert (found == expected).all()
        assert np.isfinite(normals(0, 0, 1, 4)).all()


class Constant:
    def __init__(self, word: int):
        self.word = word

    def random_raw(self, count: int) -> np.ndarray:
        return np.full(count, self.word, np.uint64)


@pytest.mark.parametrize("draw", [uniforms, normals])
@settings(max_examples=60)
@given(data=st.data())
def test_a_sample_keeps_its_numbers_in_any_batch(draw, data):
    count, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 11))
    start = data.draw(st.sampled_from([0, 1, 1000, 2**33, 2**62]))
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=5)))
    whole = draw(13, start, count, width)
    edges = [0, *cuts, count]
    parts = [draw(13, start + begin, end - begin, width) for begin, end in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.shape == (count, width)
    assert whole.dtype == np.float64


@pytest.mark.parametrize("draw", [uniforms, normals])
def test_nothing_is_shared_between_samples_or_seeds(draw):
    numbers = np.concatenate([draw(seed, 0, 300, 7).ravel() for seed in (1, 2, 2**62)])
    assert len(np.unique(numbers)) == numbers.size
    assert draw(1, 0, 0, 7).shape == (0, 7)
    assert draw(1, 0, 5, 0).shape == (5, 0)


@pytest.mark.parametrize("width", [0, 1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("count", [0, 1, 17])
def test_a_stack_has_the_numbers_of_each_of_its_seeds(count, width):
    numbers = [3, 0, 2**SEED_BITS - 1, 3]
    stacks = {uniforms: seeds.stacked_uniforms, normals: seeds.stacked_normals}
    for alone, stacked in stacks.items():
        expected = [alone(seed, 0, count, width) for seed in numbers]
        np.testing.assert_array_equal(stacked(numbers, count, width), np.reshape(expected, (4, count, width)))
        assert stacked([], count, width).shape == (0, count, width)
    expected = [generator(seed).permutation(count) for seed in numbers]
    np.testing.assert_array_equal(seeds.stacked_permutations(numbers, count), np.reshape(expected, (4, count)))


def test_generators_in_turn_are_those_of_their_seeds():
    draws = {
        "words": lambda source: source.integers(0, 2**32, 3, np.uint32),  # leaves half a word behind
        "gamma": lambda source: source.standard_gamma([0.3, 2.0, 50.0]),
        "permutation": lambda source: source.permutation(9),
    }
    numbers = [5, 2**62 + 1, 5]
    for draw in draws.values():
        found = [draw(source) for source in seeds.generators(numbers)]
        np.testing.assert_array_equal(found, [draw(generator(seed)) for seed in numbers])
    assert not np.array_equal(found[0], found[1])


def test_uniforms_are_uniform():
    numbers = uniforms(seed_of(1, 0, 0, "test"), 0, 40_000, 5)
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > SURPRISE
    assert_uncorrelated(numbers)


@pytest.mark.parametrize("width", [1, 4, 5])
def test_normals_are_normal(width):
    numbers = normals(seed_of(1, 0, 0, "test"), 0, 40_000, width)
    for column in numbers.T:
        assert stats.kstest(column, "norm").pvalue > SURPRISE
    total = numbers.size  # moments, to six standard errors: Var x = 1, Var x^2 = 2, Var x^3 = 15, Var x^4 = 96
    for power, (mean, variance) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((numbers**power).mean() - mean) < 6 * np.sqrt(variance / total)
    assert_uncorrelated(numbers)
    assert_uncorrelated(numbers**2)  # the two of a Box and Muller pair share a radius and are independent all the same


def assert_uncorrelated(numbers: np.ndarray) -> None:
    """Between columns, and between neighbouring samples; correlations have standard error 1 / sqrt(n)."""
    bound = 6 / np.sqrt(len(numbers))
    lagged = np.concatenate([numbers[:-1], numbers[1:]], axis=1)
    correlation = np.corrcoef(lagged, rowvar=False) - np.eye(lagged.shape[1])
    assert np.abs(correlation).max() < bound


def test_generators_repeat():
    assert generator(7).permutation(10).tolist() == [6, 3, 9, 1, 2, 0, 5, 7, 8, 4]
    assert generator(7).random() == generator(7).random()
    assert generator(7).random() != generator(8).random()
    generator(2**SEED_BITS - 1).random()
