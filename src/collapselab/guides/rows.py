"""Numbers a row: lengths, products and factors of rows (B, ...), which do not hang on the rows beside them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def wide(factors: "torch.Tensor", rows: "torch.Tensor") -> "torch.Tensor":
    """One factor a row, (B,), with as many axes as the rows have."""
    return factors.reshape(-1, *[1] * (rows.dim() - 1))


def products(first: "torch.Tensor", second: "torch.Tensor") -> "torch.Tensor":
    """The inner product of each two rows: (B,)."""
    return (first * second).flatten(1).sum(dim=1)


def lengths(rows: "torch.Tensor") -> "torch.Tensor":
    """The Euclidean length of each row: (B,)."""
    return products(rows, rows).sqrt()


def along(rows: "torch.Tensor", directions: "torch.Tensor") -> "torch.Tensor":
    """The part of each row along a direction of its own; nothing along a direction of length 0."""
    squares = products(directions, directions)
    share = products(rows, directions) / squares.where(squares > 0, 1.0)
    return wide(share, rows) * directions


def deviations(rows: "torch.Tensor") -> "torch.Tensor":
    """The standard deviation of the numbers of each row, by their count: (B,)."""
    return rows.flatten(1).std(dim=1, correction=0)
