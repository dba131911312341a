"""The loop whose sampling stops early, or whose kernels stay: ever smoother versions of the data, and what that spoils.

Whoever stops at a noise level sigma, by an exact score of endless data, gives the data smoothed by N(0, sigma^2 I) as a
kernel density estimate of width sigma gives its rows. In expectation it holds for any number of rows: samples of a
smoothed law are smoothed, and a training set is a mixture of laws. So every generation is a mixture of versions of the
data that are smoothed once, twice, ... times, and with a share of fresh rows the loop tends to one, geometrically
(Khelifa, Turner and Venkataramanan 2026, arXiv 2606.13796).
"""

from collections.abc import Sequence

import numpy as np

from ..compose.regimes import Regime, recipe
from .setting import Prediction, Setting, unequal_weights

TRUTH = "truth"  # the extractor that says of samples whether they are possible


def smoothing_shares(regime: Regime, generations: int) -> np.ndarray:
    """How much of each generation's law is the data smoothed k times: (generations + 1, generations + 2), k from 0.

    A row of generation g is real, and then smoothed once by g's own fit, or of an earlier generation, and then once
    more than that: q_g = S (sum of shares of p and of q_h). Of replace all of generation g is smoothed g + 1 times;
    beside a share alpha of new real rows alpha (1 - alpha)^(k - 1) of it k times, and what is left g + 1 times.

    Raises ValueError for a regime that eats the samples of another arm.
    """
    if others := sorted({part.of for part in regime.synthetic} - {"self"}):
        raise ValueError(f"of: found {', '.join(others)}, allowed is self")
    shares = np.zeros((generations + 1, generations + 2))
    for generation in range(generations + 1):
        one = recipe(regime, "self", generation)
        weight = {is_real: one.weights["real" if is_real else "synthetic"] for is_real in (True, False)}
        total = sum(draw.count * weight[draw.is_real] for draw in one.draws)
        for draw in one.draws:
            before = np.eye(generations + 2)[0] if draw.is_real else shares[draw.generation]
            shares[generation, 1:] += draw.count * weight[draw.is_real] / total * before[:-1]
    return shares


def smoothed_variance(levels: Sequence[float], fresh: float = 0.0, variance: float = 1.0) -> np.ndarray:
    """The variance of each generation of a loop of endless data that stops at a level sigma_g: (generations + 1,).

    v_g = alpha v + (1 - alpha) v_(g-1) + sigma_g^2, from v_0 = v + sigma_0^2. A standing level ends at v + sigma^2 /
    alpha, or without fresh rows grows without bound; levels that fall to 0 take all of it away beside fresh rows, and
    without them leave v + sum sigma_g^2.
    """
    found = []
    for generation, level in enumerate(levels):
        share = fresh if generation else 1.0
        found.append(share * variance + (1 - share) * (found[-1] if found else 0.0) + level**2)
    return np.array(found)


def hermite_gains(stops: Sequence[float], fresh: float, degrees: np.ndarray) -> np.ndarray:
    """By what the Hermite mode k of the data, E He_k(x), comes out of each generation: (generations + 1, len(degrees)).

    Of the Ornstein-Uhlenbeck process x -> e^-tau x + (1 - e^(-2 tau))^(1/2) z, which takes mode k to e^(-k tau) of it:
    a_g = e^(-k tau_g) (alpha + (1 - alpha) a_(g-1)), a_0 = e^(-k tau_0). A standing stop ends at :func:`hermite_limit`:
    a low-pass, since higher modes have less left. stops: tau_g.
    """
    degrees, found = np.asarray(degrees, np.float64), []
    for generation, stop in enumerate(stops):
        share = fresh if generation else 1.0
        before = (1 - share) * found[-1] if found else 0.0
        found.append(np.exp(-degrees * stop) * (share + before))
    return np.array(found)


def hermite_limit(stop: float, fresh: float, degrees: np.ndarray) -> np.ndarray:
    """Where a standing stop ends, alpha e^(-k tau) / (1 - (1 - alpha) e^(-k tau)): (len(degrees),)."""
    kept = np.exp(-np.asarray(degrees, np.float64) * stop)
    return fresh * kept / (1 - (1 - fresh) * kept)


def within_reach(means: np.ndarray, weights: np.ndarray, sd: float, radius: float) -> float:
    """The chance that a draw of sum_k w_k N(mean_k, sd^2 I) in the plane is within the radius of one of the means.

    By the noncentral chi squared law of its squared distance to each; discs of this radius must not overlap.
    """
    from scipy.stats import ncx2

    apart = np.square(means[:, None, :] - means).sum(axis=2) / sd**2
    chances = ncx2.cdf((radius / sd) ** 2, 2, apart)
    return float(weights @ chances.sum(axis=1))


def smoothed_precision(
    regime: Regime, generations: int, means: np.ndarray, weights: np.ndarray, sd: float, width: float, reach: float
) -> np.ndarray:
    """E share of each generation's samples that lie within ``reach`` sd of a mode of the truth: (generations + 1,).

    Exact for any number of rows: what is smoothed k times is a mixture of modes of variance sd^2 + k width^2.
    """
    smoothed = (np.sqrt(sd**2 + k * width**2) for k in range(generations + 2))
    chances = [within_reach(means, weights, float(wide), reach * sd) for wide in smoothed]
    return smoothing_shares(regime, generations) @ np.array(chances)


def precision(setting: Setting) -> Prediction | None:
    """``true_precision``: the share of possible samples of kernels of a standing width, on modes in the plane."""
    return _of_modes(setting, "true_precision")


def hallucinations(setting: Setting) -> Prediction | None:
    """``hallucination_rate``: the share of impossible ones."""
    return _of_modes(setting, "hallucination_rate")


def _of_modes(setting: Setting, metric: str) -> Prediction | None:
    width, biases = setting.options["bandwidth"], setting.sampling_bias
    standing = not isinstance(width, str) and biases == 1.0
    if setting.population != "gaussians" or not standing:
        return None
    if setting.regime.pool.mode == "subsample" and unequal_weights(setting):
        return None  # the share of the real rows in a set is then a ratio of two sums by chance
    truth = setting.truth
    one = setting.regime, setting.generations, truth.means, truth.weights, truth.options.sd, width, truth.options.reach
    right = smoothed_precision(*one)
    mean = right if metric == "true_precision" else 1 - right
    note = "every generation smooths the modes once more, as sampling that stops early does"
    return Prediction("smoothed_precision", metric, TRUTH, mean, None, "equal", note)
