"""Samples of a pretrained language model with its adapter, and the likelihood of sequences under it."""

from collections.abc import Mapping

import numpy as np
import torch

from ...core.ask import Ask
from ...machine.device import device, exact
from ..pretrained.adapter import filled
from ..transformer.sampling import likelihoods, sequences
from . import network
from .options import PretrainedTextOptions


@torch.inference_mode()
def sample(
    options: PretrainedTextOptions,
    length: int,
    weights: Mapping[str, np.ndarray],
    digest: str,
    ask: Ask,
) -> np.ndarray:
    """The sequences that are asked for: (count, length) int32 (:func:`models.transformer.sampling.sequences`)."""
    where = device()
    with exact(where, options.precision != "float32"):
        return sequences(tuned(options, weights, digest).to(where), length, options, ask)


@torch.inference_mode()
def log_likelihood(
    options: PretrainedTextOptions, weights: Mapping[str, np.ndarray], digest: str, data: np.ndarray
) -> np.ndarray:
    """The log-mass of each sequence in nats, (n,) float64, computed in float64; tokens (n, l) below the vocabulary."""
    where, exactly = device(), options.model_copy(update={"precision": "float32"})
    with exact(where):
        return likelihoods(tuned(exactly, weights, digest).to(where).double(), data)


def tuned(options: PretrainedTextOptions, weights: Mapping[str, np.ndarray], digest: str) -> network.Language:
    """The base with an adapter's matrices on the CPU; without any as it is."""
    found = network.read(options, digest)
    if weights:
        filled(network.added(found, options), weights)
    return found.requires_grad_(False).eval()
