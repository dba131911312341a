"""The laws of guided sampling, by the package's own rules, steering and samplers, with denoisers that are exact.

The limit laws hold for sigma_max to infinity and many steps: they start at 1e4, where what is left of the limit is
below 1e-3, and half the steps change no result by more than the tolerance of its test.
"""

import math
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exact_denoisers import (  # noqa: E402
    Gaussians,
    Mixtures,
    geometric,
    mean_of,
    pair,
    sampled,
    settled,
    variance_of,
)
from scipy import integrate  # noqa: E402

from collapselab.engine.steering import Level, Predictions, Steering  # noqa: E402
from collapselab.guides import GUIDES  # noqa: E402
from collapselab.guides.cfg import weight  # noqa: E402
from collapselab.guides.posterior import Followed  # noqa: E402
from collapselab.models.diffusion import sampling as samplers  # noqa: E402

NARROW = pair(1.0, 4.0)
REL = 1e-3


def normals(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def drawing(shape, seed=1):
    """Draws of a rule: ``f(number)``."""
    return lambda number: normals(*shape, seed=(seed, number))


# -- classifier-free guidance: any schedule, means, mixtures, finite steps ---------------------------------------------


def law(w, conditional=1.0, bare=4.0):
    """The variance that any schedule makes of zero-mean Gaussians."""

    logs = np.linspace(math.log(1e-4), math.log(1e6), 40_001)
    squares, weights = np.exp(2 * logs), np.array([w(level) for level in np.exp(logs)])
    drift = weights * squares * (1 / (squares + conditional) - 1 / (squares + bare))
    return conditional * math.exp(-2 * integrate.trapezoid(drift, logs))


@pytest.mark.parametrize(("w", "known"), [(0, 1), (0.25, 0.70711), (0.5, 0.5), (1, 0.25), (3, 0.015625)])
def test_constant_guidance_narrows_a_gaussian_by_a_power(w, known):
    steps = 1600 if w > 2 else 700
    found = settled(lambda steps: variance_of({"cfg": {"w": w}}, NARROW, geometric(steps)), steps)
    assert found == pytest.approx(0.25**w, rel=REL) and known == pytest.approx(0.25**w, rel=2e-5)


GRID = [10**power for power in np.linspace(-4, 6, 1000)]
SCHEDULES = {
    "falling with the level": ({"w": 2, "schedule": "points", "points": ((0.0, 0.0), (80.0, 1.0))}, 0.92533),
    "linear": ({"w": 1, "schedule": "linear"}, 0.34787),
    "cosine": ({"w": 1, "schedule": "cosine"}, 0.40737),
    "saturating": ({"w": 2, "schedule": "points", "points": tuple((one, one / (1 + one)) for one in GRID)}, 0.20398),
    "interval": ({"w": 1, "schedule": "interval", "low": 0.5, "high": 2}, 0.470588),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_any_schedule_follows_its_integral(name):
    said, known = SCHEDULES[name]
    options = GUIDES["cfg"].Options(**said)
    expected = law(lambda level: weight(options, level))
    edges = (0.5, 2) if name == "interval" else (80.0, 0.002)
    found = settled(lambda steps: variance_of({"cfg": said}, NARROW, geometric(steps, edges=edges)), 700)
    assert found == pytest.approx(expected, rel=REL)
    assert expected == pytest.approx(known, rel=3e-4)  # a jump is integrated to so much


def test_an_interval_has_a_closed_form():
    conditional, bare, low, high, w = 1.0, 4.0, 0.5, 2.0, 1.0
    below, above = (conditional + low**2) / (bare + low**2), (bare + high**2) / (conditional + high**2)
    assert conditional * (below * above) ** w == pytest.approx(SCHEDULES["interval"][1], abs=1e-6)


@pytest.mark.parametrize("highest", [80.0, 1e4])
@pytest.mark.parametrize(("w", "bare"), [(0.0, 0.5), (1.0, 0.0), (2.5, -1.0)])
def test_means_of_equal_variances_move_in_a_straight_line(w, bare, highest):
    """Times what a start at N(0, sigma_max^2) takes: 1 - sqrt(v / (v + sigma_max^2))."""
    v, own = 1.0, 2.0
    denoise = Gaussians(((own,),), (v,), (bare,), v)
    expected = (bare + (1 + w) * (own - bare)) * (1 - math.sqrt(v / (v + highest**2)))
    found = settled(lambda steps: mean_of({"cfg": {"w": w}}, denoise, geometric(steps, highest)).item(), 700, 1e-4)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("w", "known"), [(0.5, 1.857517), (1, 2.070110), (3, 2.276272)])
def test_means_of_unequal_variances(w, known):
    denoise = Gaussians(((1.5,),), (1.0,), (0.0,), 4.0)
    found = settled(lambda steps: mean_of({"cfg": {"w": w}}, denoise, geometric(steps)).item(), 700)
    assert found == pytest.approx(known, rel=REL)


TWO = Mixtures((((1.0,), (2.0,), (0.25,)),), ((0.5, 0.5), (-2.0, 2.0), (0.25, 0.25)))
BETWEEN = {"w": 3, "schedule": "interval"}
MOMENTS = [  # mean, standard deviation, skewness
    ({"w": 0}, (1.9950, 0.4997, 0)),
    ({"w": 1}, (2.3174, 0.3583, 0.530)),
    ({"w": 3}, (2.6702, 0.2886, 0.668)),
    (BETWEEN | {"low": 0.5, "high": 2}, (2.1491, 0.3454, 0.976)),
    (BETWEEN | {"low": 2, "high": 1e6}, (2.6609, 0.2970, None)),
    (BETWEEN | {"low": 1e-9, "high": 0.5}, (1.9962, 0.4965, None)),
]


@pytest.mark.parametrize(("said", "known"), MOMENTS)
def test_of_two_modes_high_noise_moves_and_low_noise_does_nothing(said, known):
    """The transport is monotone: moments are integrals over the noise."""
    at = torch.linspace(-7, 7, 1401, dtype=torch.float64)
    shares = torch.exp(-(at**2) / 2)
    shares = (shares / shares.sum()).numpy()
    made = sampled({"cfg": said}, TWO, at[:, None], geometric(300, 200.0, edges=(0.5, 2)))[:, 0].numpy()
    assert (np.diff(made) > 0).all()
    mean = shares @ made
    sd = math.sqrt(shares @ (made - mean) ** 2)
    assert (mean, sd) == (pytest.approx(known[0], rel=REL), pytest.approx(known[1], rel=2 * REL))
    if known[2] is not None:
        assert shares @ (made - mean) ** 3 / sd**3 == pytest.approx(known[2], abs=5e-3)


@pytest.mark.parametrize(("steps", "known"), [(18, 0.297948), (64, 0.253057)])
def test_what_finite_steps_leave_of_the_law(steps, known):
    levels = samplers.power_levels(steps, 0.002, 80.0, 7.0)
    assert variance_of({"cfg": {"w": 1}}, NARROW, levels) == pytest.approx(known, abs=5e-7)


# -- CFG++ ------------------------------------------------------------------------------------------------------------


SHIFTED = Gaussians(((1.5,),), (1.0,), (0.0,), 4.0)


@pytest.mark.parametrize("denoise", [SHIFTED, TWO], ids=["gaussians", "mixture"])
@pytest.mark.parametrize("steps", [20, 50, 200])
def test_cfgpp_is_the_guided_image_with_the_unguided_noise(denoise, steps):
    """Its own step, and Euler's of classifier-free guidance with s_i = lambda sigma_i / (sigma_i - sigma_i+1)."""
    share, noise, label = 0.6, normals(50, 1), torch.zeros(50, dtype=torch.int64)
    levels = samplers.power_levels(steps, 0.002, 80.0, 7.0)
    x = levels[0] * noise
    for now, following in pairwise(levels):
        bare = denoise(x, now)
        x = bare + share * (denoise(x, now, label) - bare) + following / now * (x - bare)
    found = sampled({"cfgpp": {"strength": share}}, denoise, noise, levels, sampler="ddim")
    assert (found - x).abs().max() < 1e-12

    scales = (share * levels[:-1] / (levels[:-1] - levels[1:])).tolist()

    def scheduled(seen, at, state, draws, options):
        return seen.unconditional + scales[at.step] * (seen.conditional - seen.unconditional), state

    euler = sampled(Steering(scheduled, None, ("conditional", "unconditional")), denoise, noise, levels, sampler="ddim")
    assert (found - euler).abs().max() < 1e-12


@pytest.mark.parametrize(("steps", "known", "digit"), [(20, 0.359, 5e-4), (50, 0.026, 5e-4), (200, 2.6e-8, 5e-10)])
def test_the_strength_of_cfgpp_grows_with_the_steps(steps, known, digit):
    levels = samplers.power_levels(steps, 0.002, 80.0, 7.0)
    made = sampled(
        {"cfgpp": {"strength": 0.6}}, SHIFTED, torch.eye(2, dtype=torch.float64)[:, :1], levels, sampler="ddim"
    )
    assert (made[0] - made[1]).item() ** 2 == pytest.approx(known, abs=digit)
    first, last = ((0.6 * levels[at] / (levels[at] - levels[at + 1])).item() for at in (0, steps - 1))
    assert last == pytest.approx(0.6) and first == pytest.approx({20: 2.36, 200: 22.1}.get(steps, first), rel=1e-2)


def test_cfgpp_refuses_a_corrected_step():
    with pytest.raises(ValueError, match="guide 'cfgpp': found a sampler of second order; CFG"):
        sampled({"cfgpp": {}}, SHIFTED, normals(3, 1), geometric(5))


# -- APG --------------------------------------------------------------------------------------------------------------


def test_apg_without_the_parallel_part_does_nothing_to_isotropic_gaussians():
    noise, levels, denoise = normals(20, 8), geometric(60), pair(1.0, 4.0, 8)
    plain = sampled(None, denoise, noise, levels)
    assert (sampled({"apg": {"w": 3, "eta": 0}}, denoise, noise, levels) - plain).abs().max() < 1e-9
    assert (sampled({"apg": {"w": 3, "eta": 1}}, denoise, noise, levels) - plain).abs().max() > 0.1
    line = normals(20, 1)  # on a line there is no other direction
    assert (
        sampled({"apg": {"eta": 0}}, SHIFTED, line, levels) - sampled(None, SHIFTED, line, levels)
    ).abs().max() < 1e-9


def test_apg_with_all_of_it_is_classifier_free_guidance():
    noise, levels = normals(20, 1), geometric(60)
    found = sampled({"apg": {"w": 1.5, "eta": 1, "momentum": 0}}, SHIFTED, noise, levels)
    assert (found - sampled({"cfg": {"w": 1.5}}, SHIFTED, noise, levels)).abs().max() < 1e-12


@pytest.mark.parametrize(("momentum", "sampler"), [(-0.5, "heun"), (0.5, "ddim")])
def test_momentum_divides_the_weight(momentum, sampler):
    """A step late, it comes to the limit like 1 / steps, so that two numbers of steps tell the limit."""
    said = {"apg": {"w": 1, "eta": 1, "momentum": momentum}}
    coarse, fine = (variance_of(said, NARROW, geometric(steps), sampler=sampler) for steps in (500, 1000))
    expected = 0.25 ** (1 / (1 - momentum))
    assert 2 * fine - coarse == pytest.approx(expected, rel=3 * REL)
    assert abs(fine - expected) < 0.6 * abs(coarse - expected)


def test_a_second_evaluation_goes_on_from_the_step_before():
    entry, rows = GUIDES["apg"], [normals(3, 2, seed=seed) for seed in range(6)]
    options, far = entry.Options(w=1, eta=1, momentum=0.5), torch.tensor(2.0)
    state = None
    for step, corrects in enumerate([False, True, False]):
        conditional, bare = rows[2 * step : 2 * step + 2]
        at = Level(far, far / 2, step // 2, 4, corrects)
        found, state = entry.rule(Predictions(far, conditional, bare, {}), at, state, None, options)
        before = 0 if step < 2 else rows[0] - rows[1]  # in the second step the first evaluation of the first counts
        assert torch.allclose(found, conditional + (conditional - bare) + 0.5 * before)


@pytest.mark.parametrize(("share", "known"), [(0.25, 3.38964), (0.5, 4.20074), (0.8, 4.81327)])
def test_a_cut_difference_moves_the_mean_as_far_as_its_length(share, known):
    far, w, denoise = 2.0, 1.5, Gaussians(((2.0,),), (1.0,), (0.0,), 1.0)
    root = math.sqrt((1 - share) / share)
    expected = far + w * far * (1 - math.sqrt(1 - share) + share * math.asinh(root))
    assert expected == pytest.approx(known, abs=1e-5)
    said = {"apg": {"w": w, "eta": 1, "momentum": 0, "norm": share * far}}
    found = settled(lambda steps: mean_of(said, denoise, geometric(steps)).item(), 700)
    assert found == pytest.approx(expected, rel=REL)


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "mean", "sd"), [(2, 2.11, 0.98), (16, 3.27, 0.77), (64, 4.94, 0.66)])
def test_what_is_left_of_a_shift_grows_with_the_dimension(dimension, mean, sd):
    zero = (0.0,) * dimension
    denoise = Gaussians(((2.0, *zero[1:]),), (1.0,), zero, 1.0)
    said = {"apg": {"w": 3, "eta": 0, "momentum": 0}}
    made = sampled(said, denoise, normals(4000, dimension), geometric(400, 200.0), sampler="ddim")[:, 0]
    # 4,000 samples on either side: 4.5 standard errors sd sqrt(2 / n) of a mean, sd / sqrt(n) of a standard deviation
    assert made.mean().item() == pytest.approx(mean, abs=4.5 * sd * math.sqrt(2 / 4000) + 0.02)
    assert made.std().item() == pytest.approx(sd, abs=4.5 * sd / math.sqrt(4000) + 0.02)


# -- rescale ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("w", "phi"), [(1, 0.7), (3, 0.7), (3, 1.0), (1, 0.0)])
def test_rescaled_noise_is_guidance_of_a_smaller_weight(w, phi):
    """Of zero-mean isotropic data, where all predictions lie along x: the ratio of deviations is that of factors."""
    denoise, row = pair(1.0, 4.0, 2), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    said = {"rescale": {"w": w, "phi": phi}}
    found = settled(lambda steps: sampled(said, denoise, row, geometric(steps))[0, 0].item() ** 2, 600)
    assert found == pytest.approx(0.25 ** ((1 - phi) * w), rel=REL)


@pytest.mark.parametrize("phi", [0.7, 1.0])
def test_rescaled_images_are_another_rule(phi):
    """The guided image turns its sign at s^2 = 1/2 for w 3, where (1 + w) / (1 + s^2) = 4 w / (4 + s^2).

    There no positive factor restores it: with phi 1 it is -D_c above, which makes 1/9 of the variance.
    """
    denoise, row = pair(1.0, 4.0, 2), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    said = {"rescale": {"w": 3, "phi": phi, "space": "denoised"}}

    def run(steps):
        return sampled(said, denoise, row, geometric(steps, edges=(math.sqrt(0.5),)))[0, 0].item() ** 2

    assert settled(run, 700, 2 * REL) == pytest.approx(9**-phi * 0.25 ** (3 * (1 - phi)), rel=REL)


# -- CADS -------------------------------------------------------------------------------------------------------------


def noise_gains(levels, variance):
    """How far Euler's samples of N(m, variance) go with what is told of m in each step."""
    gains = []
    for step, (now, following) in enumerate(zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True)):
        kept = variance / (variance + now**2)
        grown = following / now + (1 - following / now) * kept
        gains = [gain * grown for gain in gains] + [(1 - following / now) * (1 - kept)]
        assert len(gains) == step + 1
    return np.array(gains)


@pytest.mark.parametrize("steps", [16, 64, 256])
def test_fresh_noise_of_the_condition_averages_out_and_fixed_noise_does_not(steps):
    """On a Gaussian whose mean is what it is told, all is linear: the added variance is known."""
    variance, rows, options = 0.25, 4000, {"s": 0.25, "psi": 0}
    denoise = Gaussians(((0.0,),), (variance,), (0.0,), 1.0)
    levels = samplers.power_levels(steps, 0.002, 80.0, 7.0)
    ahead = 1 - np.arange(steps) / steps
    clean = np.clip((0.9 - ahead) / (0.9 - 0.6), 0, 1)
    parts = noise_gains(levels, variance) * 0.25 * np.sqrt(1 - clean)
    expected = {"fresh": (parts**2).sum(), "fixed": parts.sum() ** 2}
    for kind, added in expected.items():
        zeros = torch.zeros(rows, 1, dtype=torch.float64)
        said = {"cads": options | {"noise": kind}}
        made = sampled(said, denoise, zeros, levels, sampler="ddim", draws=drawing((rows, 1)))
        # the error of a variance is sqrt(2 / n) of it
        assert made.var().item() == pytest.approx(added, rel=4.5 * math.sqrt(2 / rows))
    known = {16: (4e-5, 2.3e-4), 64: (1e-5, 1.3e-4), 256: (0, 1.2e-4)}[steps]
    assert tuple(expected.values()) == pytest.approx(known, abs=5e-6)


def test_a_corrected_step_is_told_the_same_noise():
    entry, said = GUIDES["cads"], GUIDES["cads"].Options(noise="fresh", psi=0)
    vectors, drawn = torch.ones(3, 4, dtype=torch.float64), iter(normals(9, 3, 4))
    one = torch.tensor(1.0)
    first, state = entry.changes(vectors, Level(one, one, 0, 10), None, lambda: next(drawn), said)
    again, state = entry.changes(vectors, Level(one, one, 0, 10, True), state, lambda: next(drawn), said)
    later, state = entry.changes(vectors, Level(one, one, 1, 10), state, lambda: next(drawn), said)
    assert torch.allclose(first, said.s * normals(9, 3, 4)[0]) and torch.allclose(first, again)
    assert not torch.allclose(later, first)


def test_what_is_taken_back_has_the_mean_and_spread_of_the_condition():
    entry, vectors = GUIDES["cads"], normals(5, 16)
    at = Level(torch.tensor(1.0), torch.tensor(0.5), 2, 10)
    found, _ = entry.changes(vectors, at, None, lambda: normals(5, 16, seed=1), entry.Options(s=2.0))
    assert torch.allclose(found.mean(1), vectors.mean(1)) and torch.allclose(found.std(1), vectors.std(1))
    assert (found - vectors).abs().max() > 0.5


# -- feedback and dynamic negative guidance ---------------------------------------------------------------------------


def known_ratio(ratio, at):
    """A state in which a path has come to this log-ratio."""
    return Followed(ratio, None, None, None, at.sigma)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_with_the_exact_ratio_feedback_undoes_what_was_learnt_of_the_whole(sigma):
    """The learnt law is pi p(x | c) + (1 - pi) p(x): what comes out is the denoiser of p(x | c)."""
    pi, own = 0.8, TWO.classes[0]
    learnt = ((pi, *((1 - pi) * share for share in TWO.bare[0])), (2.0, *TWO.bare[1]), (0.25, *TWO.bare[2]))
    # Around the condition: elsewhere p(x | c) is nothing beside p(x), and R - (1 - pi) is lost in rounding.
    x, level = torch.linspace(0, 4, 41, dtype=torch.float64)[:, None], torch.tensor(sigma, dtype=torch.float64)
    (conditional, learnt_log), (bare, log) = TWO.of(learnt, x, level), TWO.of(TWO.bare, x, level)
    at = Level(level, level / 2, 1, 4)
    entry = GUIDES["feedback"]
    options = entry.Options(pi=pi, most=1e12, ceiling=None)
    shown = Predictions(x, conditional, bare, {})
    found, _ = entry.rule(shown, at, known_ratio(learnt_log - log, at), None, options)
    assert (found - TWO.of(own, x, level)[0]).abs().max() < 1e-10


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_with_the_exact_share_a_class_is_deleted(sigma):
    whole, prior = TWO.bare, 0.5
    x, level = torch.linspace(-4, 0, 41, dtype=torch.float64)[:, None], torch.tensor(sigma, dtype=torch.float64)
    (bare, log), (negative, negative_log) = TWO.of(whole, x, level), TWO.of(TWO.classes[0], x, level)
    at, entry = Level(level, level / 2, 1, 4), GUIDES["dynamic_negative"]
    options = entry.Options(negative=0, prior=prior, most=1e12)
    shown = Predictions(x, bare, None, {}, {"negative": negative})
    found, _ = entry.rule(shown, at, known_ratio(negative_log - log, at), None, options)
    left = TWO.of(((1.0,), (-2.0,), (0.25,)), x, level)[0]
    assert (found - left).abs().max() < 1e-10


def tracked(steps, rows):
    """The error of the tracked log-ratio at the end of paths of N(2, .25) against N(0, 4), by DDPM's steps."""
    denoise = Gaussians(((2.0,),), (0.25,), (0.0,), 4.0)
    entry, last = GUIDES["feedback"], []
    options = entry.Options(pi=1, ceiling=None)

    def watched(seen, at, state, draws, options):
        denoised, state = entry.rule(seen, at, state, draws, options)
        last.append((seen.noisy, at.sigma, state.ratio))
        del last[:-1]
        return denoised, state

    torch.manual_seed(0)
    guide = Steering(watched, options, ("conditional", "unconditional"))
    sampled(guide, denoise, normals(rows, 1), samplers.power_levels(steps, 0.002, 80.0, 7.0), sampler="ddim", eta=1.0)
    x, sigma, ratio = last[0]
    narrow, wide = 0.25 + sigma**2, 4 + sigma**2
    true = (x**2 / wide - (x - 2) ** 2 / narrow + (wide / narrow).log())[:, 0] / 2
    return (ratio - true).mean().item(), (ratio - true).std().item()


@pytest.mark.parametrize("steps", [50, 400, pytest.param(3200, marks=pytest.mark.slow)])
def test_the_tracked_ratio_is_that_of_the_laws(steps):
    """Its error falls to 0 like 1 / sqrt(steps), and its mean like 1 / steps: of 2,000 paths."""
    rows = 2000
    mean, sd = tracked(steps, rows)
    assert 3 < sd * math.sqrt(steps) < 5
    assert abs(mean) < 12 / steps + 4.5 * sd / math.sqrt(rows)


def test_a_class_is_deleted_along_the_path():
    """Of two modes the right one is taken out, and the left one stays what it was."""
    rows = 1500
    told = Mixtures((TWO.bare, TWO.classes[0]), TWO.bare)
    torch.manual_seed(1)
    said = {"dynamic_negative": {"negative": 1, "prior": 0.5, "most": 100}}
    levels = samplers.power_levels(300, 0.002, 80.0, 7.0)
    plain = sampled(None, told, normals(rows, 1), levels, sampler="ddim", eta=1.0)
    assert (plain > 0).double().mean().item() == pytest.approx(0.5, abs=4.5 / math.sqrt(4 * rows))
    made = sampled(said, told, normals(rows, 1), levels, sampler="ddim", eta=1.0)
    left = made[made < 0]
    assert (made > 0).double().mean().item() < 0.05
    assert left.mean().item() == pytest.approx(-2, abs=0.15) and left.std().item() == pytest.approx(0.5, abs=0.1)


# -- two models -------------------------------------------------------------------------------------------------------


def test_autoguidance_repairs_a_variance_at_a_known_weight():
    v, main, weak = 1.0, 0.1, 0.3
    w = math.log((v + main) / v) / math.log((v + weak) / (v + main))
    assert w == pytest.approx(0.57053, abs=5e-6)
    own, other = pair(v + main, 1.0), pair(v + weak, 1.0)
    said = {"autoguidance": {"w": w}}
    found = settled(lambda steps: variance_of(said, own, geometric(steps), others={"weak": other}), 700)
    assert found == pytest.approx(v, rel=REL)


@pytest.mark.parametrize("factor", [0.9, 0.7, 0.5])
def test_sims_takes_back_what_a_training_has_narrowed(factor):
    v = 1.0
    own, other = pair(factor * v, 1.0), pair(factor**2 * v, 1.0)
    found = settled(lambda steps: variance_of({"sims": {"w": 1}}, own, geometric(steps), others={"own": other}), 700)
    assert found == pytest.approx(v, rel=REL)


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_perp_neg_goes_away_from_what_is_across():
    """And samples of the negative class itself are guided as usual."""
    denoise = Gaussians(((2.0, 0.0), (1.0, 3.0)), (1.0, 1.0), (0.0, 0.0), 1.0)
    said = {"perp_neg": {"negative": 1, "w": 1, "negative_weight": 0.7}}
    for steps in (200, 400):
        assert mean_of(said, denoise, geometric(steps)).tolist() == pytest.approx([4.0, -4.2], rel=REL)
    usual = mean_of({"cfg": {"w": 1}}, denoise, geometric(200), label=1)
    assert torch.allclose(mean_of(said, denoise, geometric(200), label=1), usual)


def test_adaptive_guidance_is_off_at_once_where_the_predictions_agree():
    """Of zero-mean isotropic Gaussians the two noises have one direction; D_u is asked for once and never again."""
    denoise, asked = pair(1.0, 4.0, 3), []

    def counting(x, sigma, condition=None):
        asked.append(condition is None)
        return denoise(x, sigma, condition)

    noise, levels = normals(10, 3), geometric(20)
    guided = sampled({"adaptive": {"w": 3}}, counting, noise, levels)
    assert torch.equal(guided, sampled(None, denoise, noise, levels)) and sum(asked) == 1


def test_adaptive_guidance_is_guidance_until_a_sample_agrees():
    denoise, seen = Gaussians(((3.0, 0.0),), (1.0,), (0.0, 0.0), 1.0), []

    def counting(x, sigma, condition=None):
        seen.append(len(x)) if condition is None else None
        return denoise(x, sigma, condition)

    noise, levels = normals(40, 2), geometric(60, 80.0)
    found = sampled({"adaptive": {"w": 1, "threshold": 0.999}}, counting, noise, levels)
    entry = GUIDES["adaptive"]
    all_asked = Steering(entry.rule, entry.Options(w=1, threshold=0.999), entry.reads)  # of all rows, at every level
    assert (found - sampled(all_asked, denoise, noise, levels)).abs().max() < 1e-9
    assert seen[0] == 40 and sorted(seen, reverse=True) == seen and 0 < seen[-1] < 40  # one after the other
    always = sampled({"adaptive": {"w": 1, "threshold": 1}}, denoise, noise, levels)
    assert (always - sampled({"cfg": {"w": 1}}, denoise, noise, levels)).abs().max() < 1e-9


@pytest.mark.parametrize("alpha", [2.0, 8.0])
def test_mambog_moves_no_sample_further_than_its_bound(alpha):
    entry, w = GUIDES["mambog"], 9.0
    shape = (400, 3, 2)
    sizes = 10 ** torch.linspace(-3, 3, shape[0], dtype=torch.float64)[:, None, None]
    bare = normals(*shape)
    conditional = bare + sizes * normals(*shape, seed=1)
    at = Level(torch.tensor(1.0), torch.tensor(0.5), 0, 4)
    found, _ = entry.rule(Predictions(bare, conditional, bare, {}), at, None, None, entry.Options(w=w, alpha=alpha))
    moved, size = ((one.flatten(1) ** 2).sum(1).sqrt() for one in (found - conditional, bare))
    bound = w * size / (math.e * alpha)
    assert (moved <= bound * (1 + 1e-12)).all() and (moved / bound).max() > 0.99
    plain, _ = entry.rule(Predictions(bare, conditional, bare, {}), at, None, None, entry.Options(w=w, alpha=0))
    assert torch.allclose(plain, conditional + w * (conditional - bare))
