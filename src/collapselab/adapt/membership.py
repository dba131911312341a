"""Whether a model still knows which rows it was trained on: an attack on what it was to forget."""

from typing import Any

import numpy as np

from ..core.sets import TrainingSet
from ..metrics.ranks import superiority
from ..models.capabilities import Denoises, Scores
from .base import Given
from .targets import Target, taken

LEVELS = 8  # noise levels at which rows are denoised, from the lowest to the highest by equal factors
FEWEST = 2  # rows of either side: of one there is no share of pairs to speak of
LOWEST, HIGHEST = 0.1, 2.0  # in the units of the model's rows: below nothing is asked of it, above nothing is left


def inference(before: Any, after: Any, given: Given, target: Target, seed: int) -> dict[str, Any]:
    """The area under the curve of a membership inference, of the model before and after: 1/2 tells nothing.

    Rows that were to be forgotten, which were trained on, beside validation rows, which were not; where a class, an
    attribute or a logo is forgotten, beside those that have it, too: who tells kinds apart has not yet told rows. It is
    the share of pairs in which the model knows the first better (:func:`known`). members, others: how many there are.
    Raises ValueError for fewer than :data:`FEWEST` of either side.
    """
    members, others = sides(given, target)
    areas = {
        name: superiority(*(known(model, one, seed) for one in (members, others))).share
        for name, model in (("before", before), ("after", after))
    }
    return {"membership": areas | {"members": len(members), "others": len(others)}}


def sides(given: Given, target: Target) -> tuple[TrainingSet, TrainingSet]:
    """The rows that were trained on, and those that were not. Raises ValueError for fewer than :data:`FEWEST`."""
    members = taken(target.training, target.rows)
    others = given.validation
    rows = np.ones(len(others), bool) if target.alike is None else target.alike(others)
    if min(len(members), rows.sum()) < FEWEST:
        found = f"{len(members)} training rows and {rows.sum()} validation rows of what is to be forgotten"
        raise ValueError(f"attacked: found {found}; allowed are at least {FEWEST} of each")
    labels = None if others.labels is None else others.labels[rows]
    return members, TrainingSet(others.data[rows], labels, np.ones(rows.sum()))


def known(model: Any, rows: TrainingSet, seed: int) -> np.ndarray:
    """How well a model knows each row: (n,) float64, higher is better.

    Of a denoiser minus the mean of |D(y + sigma n; sigma, c) - y|^2 / sigma^2 over noise levels, with the same noise
    for all rows (the attack by the loss: Carlini et al. 2023, https://arxiv.org/abs/2301.13188, section 5); of another
    law its log-likelihood. Raises ValueError for a model with neither.
    """
    if isinstance(model, Denoises):
        return _denoised(model, rows, seed)
    if isinstance(model, Scores):
        return np.asarray(model.log_likelihood(rows.data, seed), np.float64)
    raise ValueError("attacked: the model has neither a denoiser nor a likelihood to be attacked by; allowed is 0")


def _denoised(model: Any, rows: TrainingSet, seed: int) -> np.ndarray:
    import torch

    from ..machine.device import device, exact
    from .continuing import on_device

    where = device()
    with exact(where) as generator, torch.no_grad():
        generator.manual_seed(seed % 2**63)
        clean = on_device(model.seen(rows).data, where).double()
        told = bool(getattr(model.options, "classes", 0)) and rows.labels is not None
        labels = torch.from_numpy(np.asarray(rows.labels, np.int64)).to(where) if told else None
        denoise, total = model.denoiser(where), clean.new_zeros(len(clean))
        for sigma in torch.logspace(np.log10(LOWEST), np.log10(HIGHEST), LEVELS, dtype=torch.float64, device=where):
            noise = torch.randn(clean.shape[1:], dtype=torch.float64, device=where, generator=generator)
            off = denoise(clean + sigma * noise, sigma, labels) - clean
            total -= off.square().flatten(1).mean(1) / sigma**2
        return (total / LEVELS).cpu().numpy()
