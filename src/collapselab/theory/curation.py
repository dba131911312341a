"""Loops whose samples are chosen by a table, verified by somebody who may err, or drawn towards the truth.

Of infinitely many rows, unless it is said otherwise: then every generation is one map, and the loop its iteration.
"""

import math

import numpy as np

from .selection import cut_variance

NODES = 200  # of the quadrature over where a threshold lies, a smooth function of a beta variable


def targeted_shares(
    generations: int, share: float, targeted: float, truth: float, fresh: float = 0.0, stops: bool = False
) -> np.ndarray:
    """E share of a class of which the share A of the kept samples is chosen, the rest being drawn by lot.

    p' = f pi + (1 - f) (A + (1 - A) p), (generations + 1,) from p of generation 0 on, ``share``. A = ``targeted``, f =
    ``fresh``: the share of a training set that is new real rows, where the class has pi = ``truth``. Without those p_t
    = 1 - (1 - A)^t (1 - p_0), also for finite numbers of rows, since the map is linear. stops: what is chosen takes the
    kept samples to pi at most, min(pi, A + (1 - A) p) for p < pi, and to p from there on.
    """
    shares = [share]
    for _ in range(generations):
        p = shares[-1]
        kept = targeted + (1 - targeted) * p
        kept = max(p, min(truth, kept)) if stops else kept
        shares.append(fresh * truth + (1 - fresh) * kept)
    return np.array(shares)


def targeted_limit(targeted: float, truth: float, fresh: float = 0.0) -> float:
    """Where a standing targeted share comes to rest: (a + f pi) / (a + f), a = (1 - f) A, which is above pi.

    a is the share of the whole training set that is chosen. So it overshoots, whatever A is, and has to stop when the
    class has its true share.
    """
    chosen = (1 - fresh) * targeted
    return (chosen + fresh * truth) / (chosen + fresh)


def verified_contraction(distance: float, radius: float, noise_sd: float = 1.0) -> float:
    """By how much a generation of verified labels shrinks the distance D of a regression to the verifier's centre.

    k(D) = c (D^2 + s^2) / (c D^2 + s^2), c = ``cut_variance(r / sqrt(D^2 + s^2))``

    of inputs x ~ N(0, I) and labels y = x.w + s e, of which |y - x.centre| <= r are kept (Yi et al. 2025, arXiv
    2510.16657). The distance of a label to the centre is u = D z + s e with z, the input along w - centre; u is cut at
    r, whence E[z u] = D c and E[z^2] = (c D^2 + s^2) / (D^2 + s^2) of what is kept, and the regression's slope is their
    ratio. It is below 1 for every radius, so the loop ends at the centre; near it, k = cut_variance(r / s).
    """
    total = distance**2 + noise_sd**2
    cut = cut_variance(radius / math.sqrt(total))
    return cut * total / (cut * distance**2 + noise_sd**2)


def verified_coefficients(
    generations: int,
    start: np.ndarray,
    centre: np.ndarray,
    radius: float,
    noise_sd: float = 1.0,
    truth: np.ndarray | None = None,
    real: float = 0.0,
) -> np.ndarray:
    """The coefficients of a loop of regressions on verified labels: (generations + 1, d), from ``start`` on.

    Without real rows they go straight to the centre, by :func:`verified_contraction`. Beside a share p = ``real`` of
    real rows, whose coefficients are the ``truth``, the normal equations of the mixture are

        (p I + (1-p) A) w' = p w_true + (1-p) (A centre + c delta),  A = I + (a - 1) delta delta' / D^2

    with delta = w - centre, c the cut of its labels and a = (c D^2 + s^2) / (D^2 + s^2); they end between the two.
    """
    centre, found = np.asarray(centre, np.float64), [np.asarray(start, np.float64)]
    w_true = np.zeros_like(centre) if truth is None else np.asarray(truth, np.float64)
    for _ in range(generations):
        delta = found[-1] - centre
        squared = float(delta @ delta)
        total = squared + noise_sd**2
        cut = cut_variance(radius / math.sqrt(total))
        kept = np.eye(len(centre))
        if squared:
            kept += ((cut * squared + noise_sd**2) / total - 1) * np.outer(delta, delta) / squared
        right = real * w_true + (1 - real) * (kept @ centre + cut * delta)
        found.append(np.linalg.solve(real * np.eye(len(centre)) + (1 - real) * kept, right))
    return np.array(found)


def projected_moments(
    generations: int, start: tuple[float, float], synthetic_to_real: float, correction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a loop whose samples are drawn towards the mean of the truth, N(0, 1): two curves.

    x' = x / (1 + gamma) with gamma = ``correction``, beside real rows of weight 1 for a weight lambda of the samples,
    ``synthetic_to_real``: m' = lambda / ((1 + lambda)(1 + gamma)) m (:func:`~collapselab.theory.contraction`), and v' =
    (1 + lambda (v + m^2) / (1 + gamma)^2) / (1 + lambda) - m'^2. So a corrector that knows the mean alone takes the
    variance below 1 for ever. start: of generation 0.
    """
    q, shrink = synthetic_to_real / (1 + synthetic_to_real), 1 / (1 + correction)
    means, variances = [start[0]], [start[1]]
    for _ in range(generations):
        m, v = means[-1], variances[-1]
        means.append(q * shrink * m)
        variances.append((1 - q) + q * shrink**2 * (v + m**2) - means[-1] ** 2)
    return np.array(means), np.array(variances)


def filtered_variance(generations: int, n: int, factor: float, ddof: int = 0) -> np.ndarray:
    """E variance of replace, where a filter multiplies the variance of each model's samples by ``factor``: exact.

    E v_g = a (f a)^g, a = 1 - 1/n for ddof 0 and 1 for ddof 1, of n kept samples that are independent: a filter by the
    model's own law, such as :func:`cut_variance` of samples within c sd of their mean, or the variance of
    :func:`top_share_moments` above one of its quantiles. (generations + 1,), in units of a normal truth's.
    """
    shrink = 1.0 if ddof else 1 - 1 / n
    return shrink * (factor * shrink) ** np.arange(generations + 1.0)


def targeted_homozygosity(
    generations: int,
    n: int,
    truth: np.ndarray,
    chosen: np.ndarray,
    kept: int,
    fresh: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """E p and E sum p^2 of counts whose samples are kept by a standing table: (g + 1, K) and (g + 1,), exact.

    Of the ``kept`` samples ``chosen`` (K,) are of their class whatever it has become, and the other l are drawn by lot,
    X ~ Multinomial(l, p): beside F ~ Multinomial(``fresh``, pi) new real rows p' = (F + chosen + X) / (fresh + kept),
    and E sum of the squares follows from E sum X^2 = l + l (l - 1) E sum p^2. n: rows of generation 0, which are real.
    It holds as long as no class runs out among the samples.
    """
    truth, chosen = np.asarray(truth, np.float64), np.asarray(chosen, np.float64)
    by_lot, rows = kept - chosen.sum(), fresh + kept
    means, squares = [truth], [(1 - 1 / n) * (truth @ truth) + 1 / n]
    for _ in range(generations):
        p = means[-1]
        own, lot, real = chosen @ chosen, by_lot + by_lot * (by_lot - 1) * squares[-1], fresh * truth
        fixed = fresh + fresh * (fresh - 1) * (truth @ truth)
        crossed = chosen @ (by_lot * p) + chosen @ real + (by_lot * p) @ real
        means.append((real + chosen + by_lot * p) / rows)
        squares.append((own + lot + fixed + 2 * crossed) / rows**2)
    return np.array(means), np.array(squares)


def likeliest_variance(wanted: int, count: int, dimension: int) -> float:
    """The factor of the variance of the ``wanted`` likeliest of ``count`` normal samples in d dimensions: exact.

    E_U [F_{d+2}(q) / U], F_d(q) = U, of chi-square laws with d and d + 2 degrees of freedom: below the squared radius q
    of the next sample those that are kept are independent and symmetric, and U ~ Beta(wanted + 1, count - wanted). For
    one dimension and ever more samples it is :func:`cut_variance` at c = Phi^-1((1 + a) / 2), a the share.
    """
    from scipy.stats import chi2

    if wanted >= count:
        return 1.0
    below = _thresholds(wanted, count)
    return float(np.mean(chi2.cdf(chi2.ppf(below, dimension), dimension + 2) / below))


def top_variance(wanted: int, count: int) -> float:
    """The factor of the variance of the ``wanted`` largest of ``count`` normal numbers: exact.

    E_U [1 - i (i - z)], i = phi(z) / U, 1 - Phi(z) = U, as in :func:`top_share_moments`: above the next number those
    that are kept are independent, and U ~ Beta(wanted + 1, count - wanted).
    """
    from scipy.special import ndtri

    if wanted >= count:
        return 1.0
    above = _thresholds(wanted, count)
    z = -ndtri(above)
    intensity = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / above
    return float(np.mean(1 - intensity * (intensity - z)))


def _thresholds(wanted: int, count: int) -> np.ndarray:
    """Equally likely values of the share that lies beyond the sample next to those that are kept."""
    from scipy.stats import beta

    return beta.ppf((np.arange(NODES) + 0.5) / NODES, wanted + 1, count - wanted)
