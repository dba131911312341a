"""What a model that learns one class after the other still knows of the first, by closed forms."""

import math


def replayed_variance(tasks: int, rows: int, replayed: float) -> float:
    """E v of the first class after ``tasks`` tasks of generative replay, in units of its true variance.

        E v = (1 - 1/N) prod_{t=2..T} (1 - (t - 1) / (q N))

    A task is one Gaussian class, fitted by maximum likelihood; of the N rows of a training set the share q are samples
    of the model before, as many of each of its t - 1 classes. Each fit of n rows multiplies the expected variance by
    1 - 1/n: the loop of one class whose training set shrinks as classes come in. rows: N; replayed: q.
    Raises ValueError where a class is left with less than a row.
    """
    if replayed * rows < tasks - 1:
        raise ValueError(
            f"rows: found {replayed * rows:g} replayed rows for {tasks - 1} classes; each has one at least"
        )
    return (1 - 1 / rows) * math.prod(1 - (t - 1) / (replayed * rows) for t in range(2, tasks + 1))


def buffered_variance(rows: float) -> float:
    """E v of a class of which ``rows`` real rows are kept, however many tasks came after: 1 - 1/b, and no decay."""
    return 1 - 1 / rows
