"""Retraining from the last model on real rows and its samples: how fast a loop returns to its fixed point, and if."""

import numpy as np


def contraction(synthetic_to_real: float, correction: float = 0.0) -> float:
    """By how much a generation of infinite data shrinks the distance to the truth: lambda / ((1+lambda)(1+gamma)).

    lambda: weight of the synthetic rows for a weight of 1 of the real ones; gamma: samples are drawn from (p + gamma
    truth) / (1 + gamma), the self-correction of Gillman et al. (2024). Of the mean parameters of an exponential family,
    for every lambda: so the bound of :func:`is_stable` is sufficient, and not necessary.
    """
    return synthetic_to_real / ((1 + synthetic_to_real) * (1 + correction))


def local_slopes(data_curvature: np.ndarray, information: np.ndarray, synthetic_to_real: float) -> np.ndarray:
    """Eigenvalues of the retraining map at its fixed point, (A + lambda B)^-1 lambda B, by size: (d,) complex or float.

    A: E_data [-Hessian log p] (d, d) at the fixed point; B: the Fisher information of the model there (d, d). The loop
    is locally stable if all are below 1 in absolute value; of a well-specified model, A = B, all are
    :func:`contraction`. By differentiating E_data[score] + lambda E_model[score] = 0 (Bertrand et al. 2024).
    """
    jacobian = np.linalg.solve(data_curvature + synthetic_to_real * information, synthetic_to_real * information)
    values = np.linalg.eigvals(jacobian)
    return values[np.argsort(-abs(values))]


def is_stable(
    synthetic_to_real: float, curvature: float, lipschitz: float, error: float, correction: float = 0
) -> bool:
    """Whether the sufficient condition lambda (1 + L e / alpha) < (1 + gamma) / (2 + gamma) holds.

    1/2 without correction (Bertrand et al. 2024), more with it (Gillman et al. 2024). alpha: curvature, the least
    eigenvalue of A; L: lipschitz, of the Hessian; e: the error of the first model in Wasserstein distance. A loop that
    fails it need not diverge.
    """
    limit = (1 + correction) / (2 + correction)
    return synthetic_to_real * (1 + lipschitz * error / curvature) < limit
