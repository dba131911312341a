"""Sequences: rows of tokens, all of one length, and the vocabulary that they are of.

A token is a whole number from 0 up to the size of the vocabulary. Which vocabulary it is stands in the lineage of a
sample set, beside where the set comes from, and so whatever meets is held against each other: token 7 of one alphabet
is another letter in the next.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

KEY = "vocabulary"
LARGEST = 2**31 - 1
"""The most tokens that a vocabulary has: they are int32."""


class Vocabulary(NamedTuple):
    """How many tokens there are, and where they are characters, which: token i is character i of the alphabet."""

    size: int
    alphabet: str | None = None

    @classmethod
    def of(cls, lineage: Mapping[str, Any]) -> Self | None:
        """The vocabulary that a lineage tells of; None where it tells of none. Raises ValueError for another."""
        if KEY not in lineage:
            return None
        said = lineage[KEY]
        size, alphabet = (
            (said.get(part) for part in ("size", "alphabet")) if isinstance(said, Mapping) else (None, None)
        )
        if type(size) is not int or not 1 <= size <= LARGEST or not isinstance(alphabet, str | None):
            raise ValueError(f"vocabulary: found {str(said)[:80]}, allowed are a size from 1 up and an alphabet")
        if alphabet is not None and not len(set(alphabet)) == len(alphabet) == size:
            raise ValueError(f"vocabulary: found {len(set(alphabet))} letters for {size} tokens, allowed is one each")
        return cls(size, alphabet)

    @property
    def told(self) -> dict[str, Any]:
        """What a lineage says of it."""
        return {KEY: {"size": self.size, **({} if self.alphabet is None else {"alphabet": self.alphabet})}}

    @property
    def words(self) -> str:
        """What it is, in a message."""
        letters = "" if self.alphabet is None else f" of the alphabet {shortened(self.alphabet)!r}"
        return f"{self.size} tokens{letters}"

    def texts(self, data: np.ndarray) -> list[str]:
        """Sequences as text: characters one after the other, or numbers with spaces between them.

        data: (n, length) int32. Raises ValueError for tokens that are none of the vocabulary.
        """
        check_tokens(data, self.size)
        if self.alphabet is None:
            return [" ".join(map(str, row)) for row in data.tolist()]
        letters = np.array(list(self.alphabet))
        return ["".join(row) for row in letters[data].tolist()]

    def tokens(self, text: str) -> np.ndarray:
        """A text as tokens, (n,) int32. Raises ValueError for characters that are not in the alphabet."""
        place = {letter: index for index, letter in enumerate(self.alphabet or "")}
        if strange := sorted(set(text) - place.keys()):
            found = "".join(strange[:10])
            raise ValueError(f"text: found {found!r}, allowed are the letters {shortened(self.alphabet or '')!r}")
        return np.array([place[letter] for letter in text], np.int32)


def shortened(text: str, most: int = 40) -> str:
    """A text cut short, with an ellipsis where something is left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def check_tokens(data: np.ndarray, size: int, what: str = "data") -> None:
    """Raise ValueError unless data are (n, length) int32 tokens from 0 to size - 1, of one token at least.

    what: what they are called in the message.
    """
    data = np.asarray(data)
    if data.ndim != 2 or data.dtype != np.int32 or not data.shape[1]:
        raise ValueError(f"{what}: found {data.dtype} of shape {data.shape}, allowed are int32 tokens (n, length)")
    if data.size and not 0 <= data.min() <= data.max() < size:
        raise ValueError(
            f"{what}: found tokens {data.min()} to {data.max()}, allowed with vocabulary: {size} are 0 to {size - 1}"
        )


def met(lineages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the lineage of something says that is made of several sample sets: their vocabulary, if they have one.

    lineages: of each set, by what it is called. Raises ValueError where two sets are of unlike vocabularies; a set that
    tells of none goes with any, as one of a model that diverged.
    """
    first: tuple[str, Vocabulary] | None = None
    for name, lineage in lineages.items():
        found = Vocabulary.of(lineage)
        if found is None:
            continue
        if first is not None and found != first[1]:
            raise ValueError(
                f"vocabulary: {first[0]} has {first[1].words}, {name} has {found.words}; allowed is one vocabulary"
            )
        first = first or (name, found)
    return first[1].told if first else {}


def windows(tokens: np.ndarray, length: int) -> np.ndarray:
    """One long row of tokens cut into sequences that follow one another: (n // length, length); the rest is left out.

    Raises ValueError where there is not one.
    """
    many = len(tokens) // length
    if not many:
        raise ValueError(f"length: found {length}, allowed are 1 to {len(tokens)}, as many as there are tokens")
    return np.ascontiguousarray(tokens[: many * length].reshape(many, length))


def substrings(data: np.ndarray, length: int) -> np.ndarray:
    """All runs of so many tokens in sequences: (n, width - length + 1, length), a view. 0 runs of shorter sequences."""
    if data.shape[1] < length:
        return np.empty((len(data), 0, length), data.dtype)
    return np.lib.stride_tricks.sliding_window_view(data, length, axis=1)
