"""Samples of a causal transformer, and the likelihood of sequences under it."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from ...core import seeds
from ...core.ask import Ask
from ...engine import networks
from ...machine.device import autocast, device, exact
from ..tokens import Sharpened, drawn
from .networks import Network, build
from .options import TransformerOptions

BATCH = 32  # rows at once, fixed and padded: rounding depends on the size of a product, a likelihood must not


class Writer(Protocol):
    """A network that writes sequences: logits of each token, given those before it.

    vocabulary: tokens are 0 .. vocabulary - 1. where: the device that it is on.
    """

    vocabulary: int
    where: torch.device

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of tokens (B, L) int64, each of those before it in its row: (B, L, vocabulary)."""
        ...

    def empty_cache(self, count: int, dtype: torch.dtype) -> Any:
        """What ``count`` sequences keep of their earlier tokens, before the first."""
        ...

    def step(self, before: torch.Tensor, place: int, cache: Any) -> torch.Tensor:
        """The logits of the token at ``place``, (B, vocabulary), given the one at ``place - 1``, (B,) int64, and the
        cache of those before; at place 0 ``before`` is not looked at."""
        ...


@torch.inference_mode()
def sample(options: TransformerOptions, weights: Mapping[str, np.ndarray], length: int, ask: Ask) -> np.ndarray:
    """The sequences that are asked for: (count, length) int32 (:func:`sequences`)."""
    where = device()
    with exact(where, options.precision != "float32"):
        return sequences(loaded(options, weights, length, where), length, options, ask)


def sequences(network: Writer, length: int, options: Sharpened, ask: Ask) -> np.ndarray:
    """The sequences that are asked for, in fixed batches: (count, length) int32.

    options: also ``sample_batch`` and ``precision``. Sample i draws its token j by the j-th of its own uniform numbers,
    of a law that is sharpened (:func:`models.tokens.sharpened`). The bias multiplies the temperature. A batch that
    holds a wanted row is made whole, so that a row always has the same neighbours, and the same bits.
    """
    size = options.sample_batch
    batches = range(ask.start // size, -(-(ask.start + ask.count) // size))
    rows = np.empty((len(batches) * size, length), np.int32)
    for index, batch in enumerate(batches):
        uniform = seeds.uniforms(ask.seed, batch * size, size, length)
        rows[index * size : (index + 1) * size] = written(network, uniform, options, ask.bias)
    first = ask.start - batches.start * size
    return rows[first : first + ask.count]


def written(network: Writer, uniform: np.ndarray, options: Sharpened, bias: float = 1.0) -> np.ndarray:
    """Sequences of a network, token by token, with what it made of earlier tokens kept: (B, L) int64.

    uniform: (B, L) in (0, 1), a number a token. options: also ``precision``.
    """
    count, length = uniform.shape
    cache = network.empty_cache(count, torch.bfloat16 if options.precision == "bfloat16" else torch.float32)
    found = np.empty((count, length), np.int64)
    before = torch.zeros(count, dtype=torch.int64, device=network.where)
    for place in range(length):
        with autocast(network.where, options.precision):
            logits = network.step(before, place, cache)
        # On the host in float64: cumulative sums on a GPU do not repeat their bits.
        laws = torch.softmax(logits.double().cpu(), dim=1).numpy()
        found[:, place] = drawn(options.sharpened(laws, bias), uniform[:, place])
        before = torch.from_numpy(found[:, place]).to(network.where)
    return found


def loaded(options: TransformerOptions, weights: Mapping[str, np.ndarray], length: int, where: torch.device) -> Network:
    """The network with named weights on a device, to be sampled."""
    with exact(torch.device("cpu")):
        network = build(options, length)
    networks.load_weights(network, weights)
    return network.to(where).eval().requires_grad_(False)


@torch.inference_mode()
def log_likelihood(
    options: TransformerOptions, weights: Mapping[str, np.ndarray], length: int, data: np.ndarray
) -> np.ndarray:
    """The log-mass of each sequence in nats, (n,) float64, computed in float64; tokens (n, l) below the vocabulary."""
    where = device()
    with exact(where):
        return likelihoods(networks.evaluated(lambda: build(options, length), weights, where), data)


def likelihoods(network: Writer, data: np.ndarray) -> np.ndarray:
    """The log-mass of each sequence in nats, (n,) float64. data: (n, l) tokens below the vocabulary."""
    found = np.empty(len(data))
    for start in range(0, len(data), BATCH):
        rows = data[start : start + BATCH]
        tokens = np.zeros((BATCH, data.shape[1]), np.int64)
        tokens[: len(rows)] = rows
        there = torch.from_numpy(tokens).to(network.where)
        logits = network(there)
        logs = -F.cross_entropy(logits.flatten(0, 1), there.flatten(), reduction="none").view(there.shape)
        found[start : start + BATCH] = logs.sum(dim=1).cpu().numpy()[: len(rows)]
    return found
