"""Moving averages of weights: the shares that they give to each step, and the reconstruction of other widths."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from collapselab.engine.averages import (
    LADDER,
    TRACKED,
    HalfLife,
    Power,
    coefficients,
    ema_decay,
    error,
    gamma_of,
    inner_products,
    power_decay,
    std_of,
)

pytestmark = pytest.mark.trained

STEPS = 400


def follow(average, parameter: torch.Tensor, path: np.ndarray, batch: int = 10, until: int | None = None) -> None:
    for step, value in enumerate(path[:until], start=1):
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(value))
        average.update(step * batch, batch)


def shares(gamma: float, steps: int, length: int = STEPS) -> np.ndarray:
    """The share of each step in the average after ``steps``: the profile's integral over the step."""
    edges = np.minimum(np.arange(length + 1), steps) / steps
    return np.diff(edges ** (gamma + 1))


def walk(width: int = 5) -> np.ndarray:
    source = np.random.default_rng(0)
    return (3 + np.cumsum(source.normal(size=(STEPS, width)), axis=0) / math.sqrt(STEPS)).astype(np.float32)


# -- profiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [*LADDER, 0.005, 0.28, math.sqrt(1 / 12)])
def test_a_width_is_that_of_its_profile(std):
    gamma = gamma_of(std)
    assert std_of(gamma) == pytest.approx(std, rel=1e-9)
    profile = lambda tau: (gamma + 1) * tau**gamma  # noqa: E731
    points = 1 - np.geomspace(1e-3, 1, 8)[:-1]  # narrow ones live at the end
    mean = integrate.quad(lambda tau: tau * profile(tau), 0, 1, points=points)[0]
    square = integrate.quad(lambda tau: tau**2 * profile(tau), 0, 1, points=points)[0]
    assert math.sqrt(square - mean**2) == pytest.approx(std, rel=1e-5)


def test_the_papers_two_widths_have_its_powers():
    # Karras et al. 2024, section 3.1, round them so.
    assert gamma_of(0.05) == pytest.approx(16.97, abs=0.005) and gamma_of(0.10) == pytest.approx(6.94, abs=0.005)


@pytest.mark.parametrize("std", [0.0, -0.1, 0.29])
def test_a_width_that_no_profile_has_is_refused(std):
    with pytest.raises(ValueError, match=r"ema_std: found .*, allowed are numbers above 0 and up to 0\.2887"):
        gamma_of(std)


def test_inner_products_are_those_of_quadrature():
    for t, a, u, b in [(1.0, 6.9, 1.0, 6.9), (0.3, 17.0, 1.0, 6.9), (2.0, 0.0, 1.5, 3.0), (2.0, 4.0, 5.0, 1.0)]:

        def product(tau, t=t, a=a, u=u, b=b):
            return (a + 1) * tau**a / t ** (a + 1) * (b + 1) * tau**b / u ** (b + 1)

        expected = integrate.quad(product, 0, min(t, u))[0]
        assert inner_products([t], [a], [u], [b])[0, 0] == pytest.approx(expected, rel=1e-9)


# -- averages ----------------------------------------------------------------------------------------------------------


def test_the_half_life_halves_a_weights_share():
    parameter = torch.zeros(1, dtype=torch.float64)
    average = HalfLife({"x": parameter}, 1_000, 1e9)
    parameter.fill_(1.0)
    for step in range(1, 101):
        average.update(step * 10, 10)
    assert average.weights["x"].item() == pytest.approx(0.5)
    assert ema_decay(10**9, 500, 500_000, 0.05) ** (500_000 / 500) == pytest.approx(0.5)
    assert ema_decay(1_000, 100, 500_000, 0.05) == 0.5 ** (100 / 50) and ema_decay(1_000, 100, 0, 0.05) == 0.0


@pytest.mark.parametrize("std", [0.05, 0.13])
def test_a_power_average_gives_each_step_the_integral_of_its_profile(std):
    parameter, path = torch.full((5,), 1e6), walk()
    average = Power({"x": parameter}, std, STEPS)
    follow(average, parameter, path)
    expected = shares(gamma_of(std), STEPS) @ path.astype(np.float64)
    # float32, of numbers near 3: each of 400 steps rounds by 2^-24 of them, and most of it is forgotten again. The
    # initial 1e6 has no share.
    np.testing.assert_allclose(average.average(std)["x"], expected, rtol=3e-6)
    assert power_decay(1, 5.0) == 0.0
    assert list(average.tensors()) == [f"{std:g}.x", "step"]


@pytest.mark.parametrize("snapshots", [4, 16])
@pytest.mark.parametrize("std", LADDER)
def test_a_reconstruction_is_as_near_to_the_average_as_its_profile(std, snapshots):
    parameter, path = torch.zeros(5), walk()
    average = Power({"x": parameter}, None, STEPS, snapshots)
    follow(average, parameter, path)
    found = average.average(std)["x"].astype(np.float64)
    direct = shares(gamma_of(std), STEPS) @ path.astype(np.float64)
    if std in TRACKED:
        np.testing.assert_allclose(found, direct, rtol=3e-6)
        assert average.error(std) == 0
        return
    # The sum of the kept averages' shares, exactly; what is left is float32, times the sizes of the shares.
    times, gammas = average._kept()
    weights = coefficients(times, gammas, STEPS, gamma_of(std))
    combined = sum(
        weight * shares(gamma, int(time)) for weight, time, gamma in zip(weights, times, gammas, strict=True)
    )
    rounding = 3e-6 * 3 * np.abs(weights).sum()
    np.testing.assert_allclose(found, combined @ path.astype(np.float64), atol=rounding)
    # And it is as near to the directly tracked one as Cauchy and Schwarz allow.
    length = inner_products([STEPS], [gamma_of(std)], [STEPS], [gamma_of(std)])[0, 0] ** 0.5
    moved = np.sqrt(((path.astype(np.float64) - path.mean(axis=0)) ** 2).sum(axis=0))
    assert (np.abs(found - direct) <= average.error(std) * length * moved + rounding).all()


def test_the_error_is_that_of_the_worst_path():
    """A path that moves like what the profile lacks is averaged as wrongly as the closed form says."""
    steps, gamma = 2_000, gamma_of(0.15)
    times, gammas = np.repeat(np.arange(1, 5) * steps / 4, 2), np.tile([gamma_of(std) for std in TRACKED], 4)
    weights = coefficients(times, gammas, steps, gamma)
    combined = sum(w * shares(g, int(t), steps) for w, t, g in zip(weights, times, gammas, strict=True))
    lacking = shares(gamma, steps, steps) - combined
    length = inner_products([steps], [gamma], [steps], [gamma])[0, 0] ** 0.5
    # Steps of 1 / 2000 for the integral, whose terms jump at the snapshots: to a few in a thousand.
    assert np.sqrt((lacking**2).sum()) == pytest.approx(error(times, gammas, steps, gamma) * length, rel=5e-3)
    assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_sixteen_snapshots_reach_the_whole_ladder():
    times, gammas = np.repeat(np.arange(1, 17) / 16, 2), np.tile([gamma_of(std) for std in TRACKED], 16)
    errors = {std: error(times, gammas, 1.0, gamma_of(std)) for std in LADDER}
    assert all(errors[std] < 1e-7 for std in TRACKED)
    assert max(errors[std] for std in LADDER if 0.03 <= std <= 0.20) < 0.04
    assert errors[0.02] < 0.13 and errors[0.25] < 0.08
    finer = error(np.repeat(np.arange(1, 65) / 64, 2), np.tile(gammas[:2], 64), 1.0, gamma_of(0.02))
    assert finer < errors[0.02] / 8  # more snapshots, a better average


def test_a_weight_that_never_moved_stays_what_it_is():
    parameter = torch.full((3,), 7.0)
    average = Power({"x": parameter}, None, STEPS, 4)
    follow(average, parameter, np.full((STEPS, 3), 7.0, np.float32))
    for std in LADDER:
        np.testing.assert_allclose(average.average(std)["x"], 7.0, rtol=1e-6)


@pytest.mark.parametrize("until", [1, 60, 250])
def test_an_average_may_be_asked_for_before_the_end(until):
    parameter, path = torch.zeros(5), walk()
    average = Power({"x": parameter}, None, STEPS, 8)
    follow(average, parameter, path, until=until)
    expected = shares(gamma_of(0.07), until) @ path.astype(np.float64)
    length = inner_products([until], [gamma_of(0.07)], [until], [gamma_of(0.07)])[0, 0] ** 0.5
    moved = np.sqrt(((path[:until] - path[:until].mean(axis=0)) ** 2).sum(axis=0))
    # Before the first snapshot there are two profiles to make it of, then three, ...
    assert (np.abs(average.average(0.07)["x"] - expected) <= average.error(0.07) * length * moved + 1e-4).all()


def test_a_restored_state_goes_on_to_the_same_bits():
    path = walk()
    parameter = torch.zeros(5)
    whole = Power({"x": parameter}, None, STEPS, 8)
    follow(whole, parameter, path, until=170)
    kept = {name: tensor.clone() for name, tensor in whole.tensors().items()}
    other = torch.zeros(5)
    again = Power({"x": other}, None, STEPS, 8)
    for name, tensor in again.tensors().items():
        tensor.copy_(kept[name])
    for average, moving in ((whole, parameter), (again, other)):
        for step in range(171, STEPS + 1):
            moving.copy_(torch.from_numpy(path[step - 1]))
            average.update(step * 10, 10)
    for std in (0.03, 0.05, 0.2):
        np.testing.assert_array_equal(whole.average(std)["x"], again.average(std)["x"])


@pytest.mark.parametrize("steps", [1, 3])
def test_trainings_of_fewer_steps_than_snapshots_have_averages(steps):
    parameter = torch.zeros(2)
    average = Power({"x": parameter}, None, steps, 16)
    follow(average, parameter, np.ones((steps, 2), np.float32))
    for std in LADDER:
        np.testing.assert_allclose(average.average(std)["x"], 1.0, rtol=1e-6)
