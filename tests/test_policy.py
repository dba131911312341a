"""Policy gradients against a chain of normal steps whose gradients are known, through the functions that DDPO uses."""

import math

import pytest

torch = pytest.importorskip("torch")

from collapselab.adapt.policy import (  # noqa: E402
    advantages,
    clipped,
    log_probability,
    path_divergence,
    posterior,
    score_function,
    through_last,
)

A, S, THETA, STEPS = 0.8, 0.3, 0.2, 5
SUM = (1 - A**STEPS) / (1 - A)  # of the powers of a: what theta does to the mean of the end
MEAN = THETA * SUM
VARIANCE = A ** (2 * STEPS) + S**2 * (1 - A ** (2 * STEPS)) / (1 - A**2)
REWARDS = {
    "linear": (lambda x: x, SUM),
    "quadratic": (lambda x: -((x - 1) ** 2), -2 * (MEAN - 1) * SUM),
}


def chains(count, seed=0, theta=THETA):
    """States (steps + 1, count, 1) of x' = a x + theta + s z."""
    generator = torch.Generator().manual_seed(seed)
    x = [torch.randn(count, 1, generator=generator, dtype=torch.float64)]
    for _ in range(STEPS):
        x.append(A * x[-1] + theta + S * torch.randn(count, 1, generator=generator, dtype=torch.float64))
    return torch.stack(x)


def gradients(x, worth, loss=score_function):
    """The policy gradient of each chain, by one theta a chain."""
    theta = torch.full((x.shape[1], 1), THETA, dtype=torch.float64, requires_grad=True)
    sd = torch.tensor(S, dtype=torch.float64)
    total = sum(loss(log_probability(x[i + 1], A * x[i] + theta, sd), worth) for i in range(STEPS))
    return -torch.autograd.grad(total.sum(), theta)[0][:, 0]


def test_the_chain_is_the_one_whose_numbers_are_known():
    assert (round(MEAN, 5), round(VARIANCE, 6)) == (0.67232, 0.330531)
    assert (round(REWARDS["linear"][1], 4), round(REWARDS["quadratic"][1], 5)) == (3.3616, 2.20306)


@pytest.mark.parametrize("reward", REWARDS)
def test_the_score_function_has_the_gradient_of_the_mean_reward(reward):
    of, exact = REWARDS[reward]
    x = chains(100_000)
    found = gradients(x, of(x[-1])[:, 0])
    assert abs(float(found.mean()) - exact) < 3 * float(found.std()) / math.sqrt(len(found))


def test_a_baseline_takes_variance_and_no_gradient():
    """Of r = x_0: 54.6, and 29.5 without its mean, each within three standard errors of an estimated variance."""
    x = chains(100_000, 1)
    reward = x[-1][:, 0]
    for worth, variance in ((reward, 54.6), (reward - MEAN, 29.5)):
        found = gradients(x, worth)
        off = (found - found.mean()).square()
        assert abs(float(off.mean()) - variance) < 3 * float(off.std()) / math.sqrt(len(off)) + 0.05  # of the digits
        assert abs(float(found.mean()) - SUM) < 3 * float(found.std()) / math.sqrt(len(found))


def test_importance_sampling_is_the_same_at_the_policy_that_acted_and_stops_beyond_its_clip():
    x = chains(1000)
    worth = x[-1][:, 0] - MEAN
    sd = torch.tensor(S, dtype=torch.float64)

    def by_ratio(now, worth):
        return clipped(now, now.detach(), worth, 1e-4)[0]

    torch.testing.assert_close(gradients(x, worth, by_ratio), gradients(x, worth))
    theta = torch.tensor([THETA + 0.01], dtype=torch.float64, requires_grad=True)
    now, then = (log_probability(x[1], A * x[0] + one, sd) for one in (theta, THETA))
    loss, beyond = clipped(now, then, worth, 1e-3)
    ratio = (now - then).exp().detach()
    assert torch.equal(beyond, (ratio - 1).abs() > 1e-3) and 0 < beyond.sum() < len(beyond)
    grown = torch.where(worth > 0, ratio > 1 + 1e-3, ratio < 1 - 1e-3)  # gone far enough in the direction of its worth
    own = torch.autograd.grad(loss[grown].sum(), theta, retain_graph=True)[0]
    assert grown.any() and float(own) == 0
    assert float(torch.autograd.grad(loss[~grown].sum(), theta)[0]) != 0
    assert (loss >= -torch.maximum(ratio * worth, ratio.clamp(0.999, 1.001) * worth)).all()


def test_a_mean_over_dimensions_is_a_share_of_the_log_density():
    """log rho has a standard deviation of sqrt(D) delta / s summed, and of delta / (s sqrt(D)) averaged."""
    dimensions, shift = 64, S / 300
    generator = torch.Generator().manual_seed(0)
    means = torch.zeros(40_000, dimensions, dtype=torch.float64)
    actions = means + S * torch.randn(means.shape, generator=generator, dtype=torch.float64)
    sd = torch.tensor(S, dtype=torch.float64)
    summed, averaged = (
        log_probability(actions, means + shift, sd, over) - log_probability(actions, means, sd, over)
        for over in ("sum", "mean")
    )
    torch.testing.assert_close(averaged, summed / dimensions)
    expected = math.sqrt(dimensions) / 300
    assert abs(float(summed.std()) / expected - 1) < 3 / math.sqrt(2 * len(summed))
    normal = torch.distributions.Normal(means, sd).log_prob(actions).sum(1)
    constants = dimensions * (math.log(S) + math.log(2 * math.pi) / 2)
    torch.testing.assert_close(log_probability(actions, means, sd, "sum"), normal + constants)


def test_the_divergence_of_paths_bounds_that_of_their_ends():
    x, shift = chains(10), 0.1
    sd = torch.tensor(S, dtype=torch.float64)
    total = sum(path_divergence(A * one + THETA + shift, A * one + THETA, sd) for one in x[:-1])
    torch.testing.assert_close(total, torch.full((10,), STEPS * shift**2 / (2 * S**2), dtype=torch.float64))
    assert round(float(total[0]), 4) == 0.2778 > round((SUM * shift) ** 2 / (2 * VARIANCE), 4) == 0.1709


@pytest.mark.parametrize(("last", "exact"), [(1, 1), (2, 1.8), (3, 2.44), (4, 2.952), (5, 3.3616)])
def test_a_truncated_gradient_is_that_of_the_last_steps(last, exact):
    theta = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    noise = chains(7)

    def step(index, x):
        return A * x + theta + S * noise[index]

    end = through_last(step, noise[0], STEPS, last)
    found = torch.autograd.grad(end.sum(), theta)[0] / 7
    torch.testing.assert_close(found, torch.tensor(exact, dtype=torch.float64))


def test_the_chain_of_a_sampler_is_ddpms_posterior():
    """From x = y + sigma n, of a y that is known, it draws y + sigma' n: mean and variance of the next level."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.tensor([[0.7, -0.2]], dtype=torch.float64).expand(200_000, -1)
    sigma, following = (torch.full((len(clean),), one, dtype=torch.float64) for one in (2.0, 0.5))
    draw = (torch.randn(clean.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    mean, sd = posterior(clean + 2.0 * next(draw), clean, sigma, following)
    x = mean + sd * next(draw)
    assert ((x.mean(0) - clean[0]).abs() < 3 * 0.5 / math.sqrt(len(x))).all()
    assert ((x.var(0) / 0.25 - 1).abs() < 3 * math.sqrt(2 / len(x))).all()


def test_advantages_are_standardised_in_each_class_and_bounded():
    rewards = torch.tensor([1.0, 3.0, 100.0, 300.0, 5.0, 5.0])
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    assert advantages(rewards, groups, 10.0).tolist() == [-1, 1, -1, 1, 0, 0]
    outlier = torch.cat([torch.zeros(399), torch.ones(1)])
    assert advantages(outlier, torch.zeros(400, dtype=torch.int64), 10.0).max() == 10
