"""Samples of a causal transformer, and the likelihood of sequences under it."""

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

from ...core import seeds
from ...core.ask import Ask
from ...engine import networks
from ...machine.device import autocast, device, exact
from .drawing import drawn, law
from .networks import Network, build
from .options import TransformerOptions

BATCH = 32  # rows at once, fixed and padded: rounding depends on the size of a product, a likelihood must not


@torch.inference_mode()
def sample(
    options: TransformerOptions, weights: Mapping[str, np.ndarray], vocabulary: int, length: int, ask: Ask
) -> np.ndarray:
    """The sequences that are asked for, in fixed batches: (count, length) int32.

    Sample i draws its token j by the j-th of its own uniform numbers. The bias multiplies the temperature. A batch that
    holds a wanted row is made whole, so that a row always has the same neighbours, and the same bits.
    """
    where, size = device(), options.sample_batch
    chosen = {"temperature": options.temperature * ask.bias, "top_k": options.top_k, "top_p": options.top_p}
    batches = range(ask.start // size, -(-(ask.start + ask.count) // size))
    rows = np.empty((len(batches) * size, length), np.int32)
    with exact(where, options.precision != "float32"):
        network = loaded(options, weights, vocabulary, length, where)
        for index, batch in enumerate(batches):
            uniform = seeds.uniforms(ask.seed, batch * size, size, length)
            rows[index * size : (index + 1) * size] = written(network, uniform, chosen, options.precision)
    first = ask.start - batches.start * size
    return rows[first : first + ask.count]


def written(
    network: Network, uniform: np.ndarray, chosen: Mapping[str, float | int | None], precision: str
) -> np.ndarray:
    """Sequences of a network, token by token, with the keys and values of earlier tokens kept: (B, L) int64.

    uniform: (B, L) in (0, 1), a number a token. chosen: temperature, top_k and top_p (:func:`drawing.law`).
    """
    where = network.tokens.weight.device
    count, length = uniform.shape
    cache = network.empty_cache(count, torch.bfloat16 if precision == "bfloat16" else network.tokens.weight.dtype)
    found = np.empty((count, length), np.int64)
    before = torch.full((count,), network.vocabulary, device=where)
    for place in range(length):
        with autocast(where, precision):
            logits = network.step(before, place, cache)
        # On the host in float64: cumulative sums on a GPU do not repeat their bits.
        found[:, place] = drawn(law(logits.double().cpu().numpy(), **chosen), uniform[:, place])
        before = torch.from_numpy(found[:, place]).to(where)
    return found


def loaded(
    options: TransformerOptions, weights: Mapping[str, np.ndarray], vocabulary: int, length: int, where: torch.device
) -> Network:
    """The network with named weights on a device, to be sampled."""
    with exact(torch.device("cpu")):
        network = build(options, vocabulary, length)
    networks.load_weights(network, weights)
    return network.to(where).eval().requires_grad_(False)


@torch.inference_mode()
def log_likelihood(
    options: TransformerOptions, weights: Mapping[str, np.ndarray], vocabulary: int, length: int, data: np.ndarray
) -> np.ndarray:
    """The log-mass of each sequence in nats, (n,) float64, computed in float64; tokens (n, l) below the vocabulary."""
    where, found = device(), np.empty(len(data))
    with exact(where):
        network = networks.evaluated(lambda: build(options, vocabulary, length), weights, where)
        for start in range(0, len(data), BATCH):
            rows = data[start : start + BATCH]
            tokens = np.zeros((BATCH, data.shape[1]), np.int64)
            tokens[: len(rows)] = rows
            there = torch.from_numpy(tokens).to(where)
            logits = network(there)
            logs = -F.cross_entropy(logits.flatten(0, 1), there.flatten(), reduction="none").view(there.shape)
            found[start : start + BATCH] = logs.sum(dim=1).cpu().numpy()[: len(rows)]
    return found
