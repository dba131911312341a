"""What samples are worth to whoever learns from them: how well a classifier that they have taught knows real ones."""

from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .estimates import Estimate, from_error, share_of

Penalty = Annotated[float, Field(gt=0, allow_inf_nan=False)]
STEPS, SETTLED = 2000, 1e-9  # of L-BFGS, and a gradient's largest entry that is none
CURE = "a model with classes labels its samples, and so does the transform relabel; by hand: record --labelled SET=FILE"


def downstream_accuracy(real: Features | Array, fake: Features | Array, *, penalty: Penalty = 0.01) -> Estimate:
    """The accuracy on real samples of a classifier that the fakes have taught, and no real one.

        accuracy = mean over real (x, y) of [argmax_c (W z + b)_c = y],   z = (x - m) / s
        W, b     = argmin  - mean over fakes (x, y) of ln softmax(W z + b)_y + penalty |W|^2 / 2

    a softmax regression in the coordinates at hand (pixels, or what another extractor makes of samples), with the mean
    m of the fakes and one scale s^2, the mean of the variances of their columns. The minimum is unique (b up to a
    constant) and found from 0 by L-BFGS: no chance plays a part, and the order of the rows only by rounding. A class
    that no fake has is never given, and its real samples count as errors; fakes of one class, or that are all equal,
    teach the commonest class, of several the first. Of several highest scores the lowest class counts.

    1 / C for C equal classes is what fakes teach that have nothing to do with their labels. What a perfect model
    reaches is the accuracy that as many other real samples teach, the set ``real`` of a study's records. After the
    classifiers that Hataya, Bao and Arai (ICCV 2023, https://arxiv.org/abs/2211.08095, section 4) train on contaminated
    data, as the classification accuracy score of Ravuri and Vinyals (NeurIPS 2019, https://arxiv.org/abs/1905.10887).
    The interval is Wilson's (1927), by the chance of the real samples.

    real, fake: (n, d) and (m, d), each with the labels of its rows as ``classes``. penalty: of the weights, in the
    scale of the mean loss. Raises Undefined without rows or labels, or for features that are not finite.
    """
    return share_of(_hits(_sides(real=real, fake=fake), "fake", penalty))


def downstream_loss(
    real: Features | Array, fake: Features | Array, *, train: Features | Array, penalty: Penalty = 0.01
) -> Estimate:
    """How much accuracy is lost by whoever learns from the fakes in the place of as many real samples: 0 for a perfect
    model, below it where fakes teach more.

        loss = mean over real of [right by the real rows] - [right by the fakes]

    with two classifiers as in :func:`downstream_accuracy`, the one taught by the first m of the real samples ``train``
    for m fakes, or by all where there are fewer. Both are asked about the same real samples: the 95 % interval is that
    of matched shares (Agresti and Min 2005, https://doi.org/10.1002/sim.1781), by the chance of the real samples. With
    one half added to each of the four counts it says something of no difference, too:

        d +- 1.96 sqrt(b + c + 1 - (b - c)^2 / (n + 2)) / (n + 2),   d = (b - c) / (n + 2)

    of b samples that only the real rows have taught, and c that only the fakes have.

    real, fake, train: as there. Raises Undefined as it does.
    """
    sides = _sides(real=real, fake=fake, train=train)
    points, labels = sides["train"]
    sides["train"] = points[: len(sides["fake"][0])], labels[: len(sides["fake"][0])]
    by_real, by_fake = _hits(sides, "train", penalty), _hits(sides, "fake", penalty)
    n, lost, won = len(by_real), int(np.sum(by_real & ~by_fake)), int(np.sum(by_fake & ~by_real))
    error = float(np.sqrt(lost + won + 1 - (lost - won) ** 2 / (n + 2)) / (n + 2))
    around = from_error((lost - won) / (n + 2), error)
    return Estimate((lost - won) / n, max(around.low, -1.0), min(around.high, 1.0))


Labelled = tuple[np.ndarray, np.ndarray]


def _sides(**sides: Features | Array) -> dict[str, Labelled]:
    """Points (n, d) float64 and labels (n,) by role; raises Undefined where a side has none, or not finite ones."""
    found = {}
    for role, side in sides.items():
        features = Features.of(side)
        features.require(1, role)
        if features.classes is None:
            raise Undefined(f"{role}: the rows have no labels; {CURE}")
        found[role] = on_host(features.values).astype(np.float64), np.asarray(features.classes)
    return found


def _hits(sides: dict[str, Labelled], teacher: str, penalty: float) -> np.ndarray:
    """Which of the real samples are known to a classifier that another side has taught: (n,) bool."""
    if penalty <= 0:
        raise ValueError(f"penalty: found {penalty!r}, allowed are numbers above 0")
    taught, labels = sides[teacher]
    points, truth = sides["real"]
    mean = taught.mean(axis=0)
    scale = float(np.sqrt(np.mean((taught - mean) ** 2)))
    if np.ptp(taught, axis=0).max() == 0:
        scale = 0.0  # the mean of equal numbers may miss them by rounding
    names, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if scale == 0 or len(names) == 1:
        return names[np.argmax(counts)] == truth
    weights, bias = taught_weights((taught - mean) / scale, index, penalty)
    return names[np.argmax((points - mean) / scale @ weights + bias, axis=1)] == truth


def taught_weights(points: np.ndarray, labels: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The weights (d, C) and biases (C,) of the softmax regression of the least penalised mean loss.

    points: (n, d) float64. labels: (n,) int64 from 0, all of 0 .. C - 1 among them. penalty: above 0.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    rows, width, many = np.arange(len(points)), points.shape[1], int(labels.max()) + 1
    targets = np.eye(many)[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = flat.reshape(width + 1, many)
        logs = log_softmax(points @ both[:-1] + both[-1], axis=1)
        away = (np.exp(logs) - targets) / len(points)
        slope = np.concatenate([points.T @ away + penalty * both[:-1], away.sum(axis=0)[None]])
        return penalty * float(np.square(both[:-1]).sum()) / 2 - float(logs[rows, labels].mean()), slope.ravel()

    options = {"maxiter": STEPS, "maxfun": 2 * STEPS, "gtol": SETTLED, "ftol": 0.0}
    both = minimize(loss, np.zeros((width + 1) * many), jac=True, method="L-BFGS-B", options=options).x
    both = both.reshape(width + 1, many)
    return both[:-1], both[-1]
