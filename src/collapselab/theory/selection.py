"""Selection among the samples of a loop: by reward, by a cut, and by a verifier that errs."""

import itertools
import math

import numpy as np
from scipy.special import ndtr, ndtri

from .moments import Moments


def curated_shares(generations: int, truth: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The shares of an infinite loop whose samples are chosen from ever more candidates: p_g prop. p e^(g r).

    (generations + 1, types); generation 0 is not chosen from. Ferbach et al. (2024), K -> inf. A Gaussian likewise
    moves by beta a generation and keeps its variance for r = beta x; its precision grows by beta for r = -beta x^2 / 2.
    """
    logs = np.log(np.asarray(truth, np.float64)) + np.outer(np.arange(generations + 1), rewards)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def chosen_shares(shares: np.ndarray, rewards: np.ndarray, choices: int) -> np.ndarray:
    """The shares after one choice among K = ``choices`` samples by the softmax of their rewards: exact, (types,).

    p'_i = K p_i E[e^(r_i) / (e^(r_i) + sum of e^(r) of K - 1 others)] (Bradley-Terry for K = 2: with a gap of D between
    two types, p' = p^2 + 2 p (1-p) s, s = 1 / (1 + e^-D)). Over all sets of K - 1 others: for few types and choices.
    """
    shares, weights = np.asarray(shares, np.float64), np.exp(np.asarray(rewards, np.float64) - np.max(rewards))
    chosen = np.zeros(len(shares))
    for others in itertools.combinations_with_replacement(range(len(shares)), choices - 1):
        counts = np.bincount(others, minlength=len(shares)) if others else np.zeros(len(shares), int)
        ways = math.factorial(choices - 1) / math.prod(map(math.factorial, counts.tolist()))
        chosen += ways * np.prod(shares**counts) * choices * shares * weights / (weights + counts @ weights)
    return chosen


def choice_shares(
    generations: int,
    truth: np.ndarray,
    rewards: np.ndarray,
    choices: int,
    synthetic_to_real: float = math.inf,
    mixture: np.ndarray | None = None,
) -> np.ndarray:
    """The shares of an infinite loop with a choice among K samples: (generations + 1, types), from the truth.

    p' = (p_0 + lambda chosen(p)) / (1 + lambda), lambda = ``synthetic_to_real``; without real rows chosen(p) (Ferbach
    et al. 2024). E e^r never falls, and rises by at least (K-1)/K Var(e^r) / max e^r in a step of choice alone.

    rewards: (types,), or (J, types) of judges of J minds, of whom each choice is made by one of mind j with the chance
    ``mixture`` (J,): chosen(p) = sum_j pi_j chosen_j(p) (Zhao, Fu and Pham 2025, arXiv 2511.09002). Between types that
    only some judges like it no longer goes to a corner: those who like another keep it alive.
    """
    truth, minds = np.asarray(truth, np.float64), np.atleast_2d(np.asarray(rewards, np.float64))
    heard = np.full(len(minds), 1 / len(minds)) if mixture is None else np.asarray(mixture, np.float64)
    real = 1 / (1 + synthetic_to_real)
    shares = [truth]
    for _ in range(generations):
        chosen = heard @ np.array([chosen_shares(shares[-1], mind, choices) for mind in minds])
        chosen = chosen / chosen.sum()  # which is 1 but for rounding, and that would grow by K in every generation
        shares.append(real * truth + (1 - real) * chosen)
    return np.array(shares)


def choice_divergence_bound(choices: int, synthetic_to_real: float) -> float:
    """The most that KL(p_t, p_0) can be beside real rows, in nats: -log(1 - lambda (K-1)).

    Ferbach et al. (2024), theorem 2.4. The ratio of densities is at most 1 / (1 - lambda (K-1)). Infinite unless
    lambda < 1 / (K-1).
    """
    left = 1 - synthetic_to_real * (choices - 1)
    return -math.log(left) if left > 0 else math.inf


def best_of_divergence(choices: int) -> float:
    """The most that KL(best of n samples, the model) can be, and its value for a continuous reward: log n - (n-1)/n."""
    return math.log(choices) - (choices - 1) / choices


def top_share_moments(share: float) -> Moments:
    """How far the best ``share`` of normal samples moves the mean, in sd, and the factor of its variance, once.

    i = phi(z) / a with 1 - Phi(z) = a: mean + i sd, variance times 1 - i (i - z). The breeder's truncation selection;
    here ``drift`` is the move i itself, and not its square.
    """
    z = float(ndtri(1 - share))
    intensity = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / share
    return Moments(intensity, 1 - intensity * (intensity - z))


def cut_variance(cut: float) -> float:
    """The factor of the variance of normal samples within ``cut`` sd of their mean: 1 - 2 c phi(c) / (2 Phi(c) - 1).

    What a filter of realism does in every generation: the variance falls by the same factor each time it is fitted.
    """
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return float(1 - 2 * cut * density / (2 * ndtr(cut) - 1))


def selected_fixation(n: int, share: float, gap: float) -> float:
    """The chance that a type of this share ends with everything, if pairs of samples are chosen from by reward, for n
    samples a generation: (1 - e^(-2 n s p)) / (1 - e^(-2 n s)), s = tanh(gap / 2) (Kimura 1962). p without a gap.
    """
    s = math.tanh(gap / 2)
    return float(np.expm1(-2 * n * s * share) / np.expm1(-2 * n * s)) if s else share


def verified_error(error: float, keeps_right: float, keeps_wrong: float) -> float:
    """The share of wrong labels after a verifier: p psi / (p psi + (1-p) phi) (Feng et al. 2024).

    error: p, before it. keeps_right: phi, keeps_wrong: psi, the chances that it keeps a right and a wrong label.
    """
    return error * keeps_wrong / (error * keeps_wrong + (1 - error) * keeps_right)


def verification_threshold(keeps_right: float, keeps_wrong: float) -> float:
    """The share of wrong labels below which learning from verified labels succeeds: p* = 1 / (1 + psi/phi).

    There :func:`verified_error` is 1/2; a sharp threshold for a linear classifier of many rows (Feng et al. 2024).
    """
    return 1 / (1 + keeps_wrong / keeps_right)
