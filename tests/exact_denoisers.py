"""Denoisers that are known exactly, in place of trained models, and the samplers of the package that follow them."""

import math
from dataclasses import dataclass

import torch

from collapselab.models.diffusion import sampling as samplers
from collapselab.verbs.sample import steering

UNDRAWN = None


@dataclass(frozen=True)
class Gaussians:
    """D(x; sigma, c) of N(mean, variance I), of class c or of none: means (classes, d), variances (classes,)."""

    means: tuple
    variances: tuple
    bare_mean: tuple = (0.0,)
    bare_variance: float = 1.0

    def __call__(self, x, sigma, condition=None):
        if condition is None:
            mean, variance = torch.tensor(self.bare_mean, dtype=x.dtype), x.new_full((1, 1), self.bare_variance)
        elif condition.is_floating_point():  # it has been told the mean
            mean, variance = condition, x.new_full((1, 1), self.variances[0])
        else:
            mean = torch.tensor(self.means, dtype=x.dtype)[condition]
            variance = torch.tensor(self.variances, dtype=x.dtype)[condition][:, None]
        return (variance * x + sigma**2 * mean) / (variance + sigma**2)

    def embedded_condition(self, condition):
        return torch.tensor(self.means, dtype=torch.float64)[condition]


def pair(conditional, unconditional, dimension=1):
    """Zero-mean Gaussians of these variances, with a condition and without."""
    zero = (0.0,) * dimension
    return Gaussians((zero,), (conditional,), zero, unconditional)


@dataclass(frozen=True)
class Mixtures:
    """D of mixtures of Gaussians on the line: of no condition, and of class c. Each: (weights, means, variances)."""

    classes: tuple
    bare: tuple

    def __call__(self, x, sigma, condition=None):
        if condition is None:
            return self.of(self.bare, x, sigma)[0]
        (label,) = set(condition.tolist())
        return self.of(self.classes[label], x, sigma)[0]

    def of(self, parts, x, sigma):
        """D of a mixture, and its log-density at x after the noise."""
        shares, means, variances = (torch.tensor(one, dtype=x.dtype) for one in parts)
        total = variances + sigma**2
        logs = shares.log() - (x - means) ** 2 / (2 * total) - (2 * math.pi * total).log() / 2
        denoised = (variances * x + sigma**2 * means) / total
        return (logs.softmax(1) * denoised).sum(1, keepdim=True), logs.logsumexp(1)


def geometric(steps, high=1e4, low=2e-3, edges=()):
    """Levels evenly spaced in ln(sigma), then 0; those of ``edges`` are among them, with one just above and below."""
    levels = torch.logspace(math.log10(high), math.log10(low), steps, dtype=torch.float64)
    near = [edge * factor for edge in edges for factor in (1 - 1e-7, 1, 1 + 1e-7)]
    levels = torch.cat([levels, torch.tensor(near, dtype=torch.float64)]).sort(descending=True).values
    return torch.cat([levels, levels.new_zeros(1)])


def sampled(
    guide, denoise, noise, levels, *, others=None, sampler="heun", label=0, draws=UNDRAWN, model=None, **chosen
):
    """What a sampler of the package makes of noise (B, d), steered by a guide with its options: {name: options}."""
    steers = guide
    if isinstance(guide, dict):
        ((name, said),) = guide.items()
        from collapselab.guides import GUIDES

        steers = steering(name, GUIDES[name].Options(**said), others or {})
    asked = steers.steered(denoise, denoise, others or {}, draws) if steers else samplers.unsteered(denoise)
    labels = torch.full((len(noise),), label, dtype=torch.int64)
    if chosen.get("eta"):
        chosen["draws"] = lambda: torch.randn_like(noise)
    return getattr(samplers, sampler)(asked, noise, levels, labels, **chosen)


def settled(run, steps, rel=1e-3):
    """What ``run(steps)`` gives, which half the steps change by less than the tolerance."""
    fine, coarse = run(steps), run(steps // 2)
    assert abs(fine - coarse) <= rel * abs(fine), (fine, coarse)
    return fine


def variance_of(guide, denoise, levels, **how):
    """The variance that is made of N(0, I) where all is linear and of mean 0: on one axis, from one row."""
    noise = torch.ones(1, len(denoise.bare_mean), dtype=torch.float64)
    return sampled(guide, denoise, noise, levels, **how)[0, 0].item() ** 2


def mean_of(guide, denoise, levels, **how):
    """The mean that is made of N(0, I) where all is linear: what becomes of 0."""
    return sampled(guide, denoise, torch.zeros(1, len(denoise.bare_mean), dtype=torch.float64), levels, **how)[0]
