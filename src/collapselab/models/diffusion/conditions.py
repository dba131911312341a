"""What a network is told about each row of a batch, where the rows are told different kinds of things."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

TABLES = {"embedding.label": False, "unet.class_embedding.weight": True}
"""Names of the parameters that hold a network's vectors of classes, and whether no class is one of them, the last."""


def table(network: nn.Module) -> tuple[str, torch.Tensor]:
    """The parameter that holds the vectors of a network's classes, by its name: (classes, k).

    Raises ValueError for a network of no classes.
    """
    known = dict(network.named_parameters())
    found = next((name for name in TABLES if name in known), None)
    if found is None:
        raise ValueError("condition: found one, allowed is none: the model knows no classes")
    return found, known[found]


def embedded(network: nn.Module, condition: torch.Tensor | None, rows: int) -> torch.Tensor:
    """The vectors by which a network knows the classes of rows, (B, k) float64; such vectors are given back.

    condition: (B,) int64 labels, or None for none.
    """
    if condition is not None and condition.is_floating_point():
        return condition
    name, vectors = table(network)
    if condition is not None:
        return vectors[condition].double()
    absent = vectors[-1] if TABLES[name] else torch.zeros_like(vectors[0])
    return absent.expand(rows, -1).double()


def one_hot(condition: torch.Tensor | None, rows: int, classes: int, where: torch.device) -> torch.Tensor:
    """What networks take: (B, classes) float32, zeros where there is no label.

    Raises ValueError for labels outside 0 .. classes - 1.
    """
    if condition is None:
        return torch.zeros(rows, classes, device=where)
    if not classes:
        raise ValueError("condition: found labels, allowed are none: the model knows no classes")
    if len(condition) and not 0 <= condition.min() <= condition.max() < classes:
        found = f"{condition.min()} to {condition.max()}"
        raise ValueError(f"condition: found labels {found}, allowed are 0 to {classes - 1}, the model's")
    return F.one_hot(condition, classes).to(torch.float32)


def told(
    network: nn.Module, conditions: Sequence[tuple[int, torch.Tensor | None]], classes: int, where: torch.device
) -> tuple[Callable[..., torch.Tensor], torch.Tensor]:
    """A network and what it takes as labels, by which it is told of so many rows each condition.

    Where one of them is vectors, the network has in the place of its classes those of the rows, one each: row i is of
    class i. Its arithmetic is the same.
    """
    if not any(one is not None and one.is_floating_point() for _, one in conditions):
        return network, torch.cat([one_hot(one, rows, classes, where) for rows, one in conditions])
    name, own = table(network)
    vectors = torch.cat([embedded(network, one, rows) for rows, one in conditions]).to(own.dtype)

    def altered(*said: torch.Tensor) -> torch.Tensor:
        return functional_call(network, {name: vectors}, said)

    return altered, torch.eye(len(vectors), device=where)
