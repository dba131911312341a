"""Deletion while sampling: the denoiser of what is left, and the shares of its modes."""

import numpy as np
import pytest
import torch
from exact_denoisers import Mixtures, geometric, sampled
from pydantic import ValidationError

from collapselab.engine.steering import Level, Predictions
from collapselab.guides import GUIDES
from collapselab.guides.deletion import MOST

WEIGHTS, MEANS, VARIANCES = (0.5, 0.3, 0.2), (-2.0, 0.5, 3.0), (0.2, 0.3, 0.1)
MODES = [((1.0,), (mean,), (variance,)) for mean, variance in zip(MEANS, VARIANCES, strict=True)]
WHOLE = Mixtures(tuple(MODES), (WEIGHTS, MEANS, VARIANCES))
LAW = {"weights": WEIGHTS, "means": [[mean] for mean in MEANS], "variances": VARIANCES}


def without(gone: int) -> tuple:
    left = [number for number in range(3) if number != gone]
    shares = np.array(WEIGHTS)[left] / np.array(WEIGHTS)[left].sum()
    return tuple(shares), *(tuple(np.array(one)[left]) for one in (MEANS, VARIANCES))


def steered(gone: int, x: torch.Tensor, sigma: float) -> torch.Tensor:
    entry = GUIDES["deletion"]
    options = entry.Options(negative=gone, law=LAW)
    level = torch.tensor(sigma, dtype=torch.float64)
    seen = Predictions(x, WHOLE(x, level), None, {})
    return entry.rule(seen, Level(level, level / 2, 0, 1), None, lambda: x, options)[0]


@pytest.mark.parametrize("gone", range(3))
@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0, 10.0])
def test_it_is_the_denoiser_of_the_law_without_its_part(gone, sigma):
    """Where the part has not all of the mass to rounding: of the odds that are cut the difference is lost anyway."""
    x = torch.linspace(-5, 6, 400, dtype=torch.float64)[:, None]
    level = torch.tensor(sigma, dtype=torch.float64)
    expected, rest = WHOLE.of(without(gone), x, level)
    share = WEIGHTS[gone] * WHOLE.of(MODES[gone], x, level)[1].exp()
    known = share / ((1 - WEIGHTS[gone]) * rest.exp()) < MOST
    assert known.sum() > 200
    found = steered(gone, x, sigma)
    # Rounding of D - D_k, times the odds: 1e6 * 2^-52 * the size of D.
    assert (found - expected)[known].abs().max() < 1e-9
    assert torch.isfinite(found).all()


def modes_of(samples: torch.Tensor) -> torch.Tensor:
    """The mode that each sample is nearest to, in its standard deviations; 3 beyond 4 of each."""
    spreads = torch.tensor(VARIANCES, dtype=torch.float64).sqrt()
    far = (samples - torch.tensor(MEANS, dtype=torch.float64)).abs() / spreads
    return torch.where(far.min(1).values < 4, far.argmin(1), 3)


def masses_of(law: tuple) -> np.ndarray:
    """What a mixture has of its mass nearest to each mode, by sums over a fine grid."""
    x = torch.linspace(-8, 8, 200_001, dtype=torch.float64)[:, None]
    density = WHOLE.of(law, x, torch.tensor(0.0, dtype=torch.float64))[1].exp() * (x[1] - x[0])
    return np.bincount(modes_of(x).numpy(), density.numpy(), 4)


class Bare(Mixtures):
    """Of no condition, whatever is said."""

    def __call__(self, x, sigma, condition=None):
        return self.of(self.bare, x, sigma)[0]


@pytest.mark.parametrize("gone", range(3))
def test_sampled_modes_have_the_masses_of_what_is_left(gone):
    count = 4000
    noise = torch.from_numpy(np.random.default_rng(2).standard_normal((count, 1)))
    whole = Bare(WHOLE.classes, WHOLE.bare)
    for guide, law in (({"deletion": {"negative": gone, "law": LAW}}, without(gone)), (None, WHOLE.bare)):
        samples = sampled(guide, whole, noise, geometric(60, 80))
        found, expected = np.bincount(modes_of(samples).numpy(), minlength=4) / count, masses_of(law)
        assert (np.abs(found - expected) <= 3 * np.sqrt(expected * (1 - expected) / count) + 0.003).all(), found
        assert (found[gone] < 0.01) == (guide is not None)


def test_of_images_the_law_is_of_their_pixels():
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((5, 1, 2, 2)))
    law = (
        GUIDES["deletion"]
        .Options(negative=0, law={"weights": (0.4, 0.6), "means": ((0.0,), (1.0,)), "variances": (1.0, 1.0)})
        .law
    )
    odds, own = law.parted(x, torch.tensor(1.0, dtype=torch.float64), 0)
    expected = 0.4 / 0.6 * ((((x - 1) ** 2 - x**2).flatten(1).sum(1)) / 4).exp()
    torch.testing.assert_close(odds, expected)
    torch.testing.assert_close(own, x / 2)


def test_where_no_law_is_known_it_is_dynamic_negative_guidance():
    entry, other = GUIDES["deletion"], GUIDES["dynamic_negative"]
    said = {"negative": 1, "prior": 0.3}
    rows = iter(np.random.default_rng(0).standard_normal((9, 6, 1)))
    states = [None, None]
    for step, sigma in enumerate((3.0, 1.0, 0.3)):
        noisy, own, negative = (torch.from_numpy(next(rows)) for _ in range(3))
        levels = torch.tensor([sigma, sigma / 3], dtype=torch.float64)
        seen, at = Predictions(noisy, own, None, {}, {"negative": negative}), Level(*levels, step, 3)
        found = []
        for index, one in enumerate((entry, other)):
            denoised, states[index] = one.rule(seen, at, states[index], None, one.Options(**said))
            found.append(denoised)
        assert torch.equal(*found)
    assert entry.told(entry.Options(**said)) == {"negative": 1} and entry.told(entry.Options(negative=1, law=LAW)) == {}


def test_a_law_of_rows_of_another_width_is_told_of():
    law = GUIDES["deletion"].Options(negative=0, law=LAW | {"means": [[0.0, 1.0]] * 3}).law
    with pytest.raises(ValueError, match="law: found means of 2 numbers; allowed are 1, or 3, as many as a row has"):
        law.parted(torch.zeros(4, 3), torch.tensor(1.0), 0)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (LAW | {"weights": (0.5, 0.3, 0.3)}, "1 together"),
        (LAW | {"means": [[0.0], [1.0]]}, "found 2 and 3, allowed: 3"),
        (LAW | {"variances": (1.0, -1.0, 1.0)}, "allowed are numbers from 0"),
    ],
)
def test_a_law_that_is_none_is_told_of(law, message):
    with pytest.raises(ValidationError, match=message):
        GUIDES["deletion"].Options(negative=0, law=law)
    with pytest.raises(ValidationError, match="components 0 to 2"):
        GUIDES["deletion"].Options(negative=3, law=LAW)


def test_samples_that_are_asked_for_as_the_class_are_told_of_before():
    """Their prediction is that with the class, so that the difference is nothing: only a law, or an adapter, helps."""
    for name in ("deletion", "dynamic_negative"):
        entry = GUIDES[name]
        said = entry.leaves(entry.Options(negative=1), {"classes": 10})
        assert "asked for as the class 1, one in 10" in said and "adapter" in said
        assert entry.leaves(entry.Options(negative=1, prior=0), {"classes": 10}) == ""
    entry = GUIDES["deletion"]
    assert entry.leaves(entry.Options(negative=1, law=LAW), {"classes": 10}) == ""
    noisy, one = torch.randn(4, 1), torch.randn(4, 1)
    levels = torch.tensor([1.0, 0.5])
    seen = Predictions(noisy, one, None, {}, {"negative": one})
    assert torch.equal(entry.rule(seen, Level(*levels, 0, 3), None, None, entry.Options(negative=1))[0], one)
