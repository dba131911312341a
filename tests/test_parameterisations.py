"""What diffusion networks predict, the samplers that draw noise, and augmentation, against closed forms."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.engine.steering import Steering, unsteered
from collapselab.models.diffusion import Diffusion, DiffusionOptions, augment, likelihood
from collapselab.models.diffusion import sampling as samplers
from collapselab.models.diffusion.networks import build
from collapselab.models.diffusion.parameterisations import DDPM, SCHEDULES, parameterisation, scalings
from collapselab.models.rows import own_seed
from collapselab.models.stored import Stored

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")


def ddpm(prediction: str = "epsilon", timesteps: int = 100, schedule: str = "linear") -> DDPM:
    return DDPM(prediction, SCHEDULES[schedule](timesteps, 1e-4, 0.02), CPU)


def alphas(timesteps: int, schedule: str = "linear") -> np.ndarray:
    return np.cumprod(1 - SCHEDULES[schedule](timesteps, 1e-4, 0.02))


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- EDM ---------------------------------------------------------------------------------------------------------------


def test_edms_skip_makes_the_networks_part_least():
    """Karras et al. 2022, appendix B.6: of all c_skip that with the least c_out, which amplifies errors."""
    sigma, sigma_data = torch.logspace(-2, 2, 9, dtype=torch.float64), 0.5
    skip, out, _, _ = scalings(sigma, sigma_data)

    def size(share: torch.Tensor) -> torch.Tensor:
        return ((1 - share) ** 2 * sigma_data**2 + share**2 * sigma**2).sqrt()

    torch.testing.assert_close(size(skip), out)
    for nearby in (-1e-3, 1e-3):
        assert (size(skip + nearby) > out).all()


# -- DDPM --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("timesteps", [2, 500, 4000])
def test_noise_levels_are_those_of_the_schedule(schedule, timesteps):
    product = alphas(timesteps, schedule)
    found = ddpm(timesteps=timesteps, schedule=schedule).sigmas.numpy()
    # 1 - a loses digits where a is near 1: at the first step, 1e-4 or more, 1e-12 of it are left.
    np.testing.assert_allclose(found, np.sqrt((1 - product) / product), rtol=1e-9)
    assert (np.diff(found) > 0).all()


def test_the_schedules_are_those_of_the_papers():
    assert SCHEDULES["linear"](1000, 1e-4, 0.02)[[0, -1]].tolist() == [1e-4, 0.02]
    assert alphas(1000)[-1] == pytest.approx(4.036e-5, rel=1e-3)  # what Ho et al. 2020 leave of an image: 0.6 % of it
    scaled = SCHEDULES["scaled_linear"](5, 0.01, 0.04)
    np.testing.assert_allclose(np.diff(np.sqrt(scaled)), 0.025, rtol=1e-12)
    cosine = np.cumprod(1 - SCHEDULES["cosine"](1000, 0.5, 0.5))
    half = math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert cosine[499] == pytest.approx(half, rel=1e-9) and SCHEDULES["cosine"](1000, 0.5, 0.5)[-1] == 0.999


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_denoiser_is_right_where_the_network_is_and_errs_as_the_loss_says(prediction):
    process = ddpm(prediction)
    clean, noise = images(5, 1), images(5, 2)
    steps = torch.tensor([0, 1, 50, 98, 99])
    alpha = torch.from_numpy(alphas(100))[steps][:, None, None, None]
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise  # Ho et al. 2020, equation 4
    target = {
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * clean,
        "sample": clean,
    }[prediction]
    seen = []

    def network(given, times, labels, *, error=0.0):
        seen.append((given, times))
        return target + error

    sigma = process.sigmas[steps]
    x = clean + sigma[:, None, None, None] * noise
    torch.testing.assert_close(process.denoise(network, x, sigma, None), clean, rtol=0, atol=1e-11)
    torch.testing.assert_close(seen[0][0], noisy)
    assert seen[0][1].tolist() == steps.tolist() and seen[0][1].dtype == torch.float32
    error = images(5, 3)
    denoised = process.denoise(lambda *given: network(*given, error=error), x, sigma, None)
    weighted = process.loss_weight(sigma)[:, None, None, None] * (denoised - clean) ** 2
    torch.testing.assert_close(weighted, error**2, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("timesteps", [2, 1000, 4000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_trained_level_is_its_timestep_and_others_lie_between(schedule, timesteps):
    process = ddpm(timesteps=timesteps, schedule=schedule)
    np.testing.assert_array_equal(process.times(process.sigmas.float()).numpy(), np.arange(timesteps))
    between = (process.sigmas[:-1] * process.sigmas[1:]).sqrt()
    np.testing.assert_allclose(process.times(between).numpy(), np.arange(timesteps - 1) + 0.5, rtol=1e-6)
    beyond = torch.stack([process.sigmas[0] / 10, process.sigmas[-1] * 10])
    assert process.times(beyond).tolist() == [0, timesteps - 1]


def test_all_levels_are_trained_alike():
    process = ddpm(timesteps=10)
    torch.manual_seed(0)
    counts = torch.bincount(process.times(process.draw(10_000)).long(), minlength=10)
    assert len(counts) == 10 and (counts - 1000).abs().max() < 4 * 30  # a count's standard deviation is 30


# -- DDIM --------------------------------------------------------------------------------------------------------------


def test_a_step_with_eta_1_is_ddpms():
    """One step draws from q(x_{t-1} | x_t, x_0) at x_0 = D: Ho et al. 2020, equations 6 and 7."""
    product = alphas(100)
    sigmas, clean = ddpm().sigmas, 0.3
    for t in (1, 2, 50, 99):
        torch.manual_seed(t)
        found = samplers.ddim(
            lambda x, at, labels: torch.full_like(x, clean),
            images(4),
            sigmas[[t, t - 1]],
            None,
            eta=1,
            draws=normals(images(4)),
        )
        torch.manual_seed(t)
        drawn = torch.randn(4, 1, 4, 4, dtype=torch.float64)
        now, before = product[t], product[t - 1]
        beta = 1 - now / before
        noisy = math.sqrt(now) * sigmas[t].item() * images(4)
        mean = math.sqrt(before) * beta / (1 - now) * clean + math.sqrt(1 - beta) * (1 - before) / (1 - now) * noisy
        expected = mean + math.sqrt((1 - before) / (1 - now) * beta) * drawn
        torch.testing.assert_close(math.sqrt(before) * found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_steps_are_those_of_the_discrete_equations(eta):
    """Song et al. 2021, equations 12 and 16, written in x_t with alpha_t, over a subsequence of the steps."""
    options = DiffusionOptions(parameterisation="ddpm", timesteps=100, sampler="ddim", steps=7)
    process = parameterisation(options, CPU)
    levels = samplers.noise_levels(options, process.sigmas)
    steps = [99, 85, 70, 56, 42, 28, 13]
    torch.testing.assert_close(levels, torch.cat([process.sigmas[steps], torch.zeros(1, dtype=torch.float64)]))

    def network(given, times, labels):  # any function of image and time
        return torch.sin(given) + times[:, None, None, None] / 100

    def denoise(x, sigma, labels):
        return process.denoise(network, x, sigma.expand(len(x)), labels)

    torch.manual_seed(1)
    found = samplers.ddim(unsteered(denoise), images(3), levels, None, eta=eta, draws=normals(images(3)))
    product = [*alphas(100)[steps], 1.0]
    torch.manual_seed(1)
    x = math.sqrt(1 - product[0]) * images(3)
    for t, now, after in zip(steps, product[:-1], product[1:], strict=True):
        epsilon = network(x, torch.full((3,), float(t)), None)
        clean = (x - math.sqrt(1 - now) * epsilon) / math.sqrt(now)
        spread = eta * math.sqrt((1 - after) / (1 - now) * (1 - now / after))
        x = math.sqrt(after) * clean + math.sqrt(max(0.0, 1 - after - spread**2)) * epsilon
        if spread:
            x = x + spread * torch.randn(3, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(found, x, rtol=1e-9, atol=1e-9)


def test_all_steps_of_the_schedule_may_be_taken():
    options = DiffusionOptions(parameterisation="ddpm", timesteps=50, sampler="ddim", steps=50, eta=1)
    sigmas = ddpm(timesteps=50).sigmas
    torch.testing.assert_close(samplers.noise_levels(options, sigmas)[:-1], sigmas.flip(0))


def test_other_samplers_stay_within_the_schedule():
    sigmas = ddpm(timesteps=500).sigmas  # MAD's 500 steps: from 0.01 to 12.5
    options = DiffusionOptions(parameterisation="ddpm", timesteps=500)
    levels = samplers.noise_levels(options, sigmas)
    assert levels[0].item() == pytest.approx(sigmas[-1].item()) and levels[-2].item() == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ValueError, match=r"sigma_min, sigma_max: found 20\.0, 80\.0, and the schedule has .* to 12\.5"):
        samplers.noise_range(options.model_copy(update={"sigma_min": 20.0}), sigmas)
    with pytest.raises(ValidationError, match="steps: found 60, allowed are 2 to timesteps = 50"):
        DiffusionOptions(parameterisation="ddpm", timesteps=50, sampler="ddim", steps=60)


# -- noise in the samplers ---------------------------------------------------------------------------------------------


def normals(like):
    """As many standard normal numbers each time it is called, of torch's own generator."""
    return lambda: torch.randn_like(like)


def gaussian(x, sigma, labels):
    """The exact denoiser of N(0.3, 0.25)."""
    return (0.25 * x + sigma**2 * 0.3) / (0.25 + sigma**2)


@pytest.mark.parametrize(
    ("name", "steps", "chosen", "allowed"),
    [
        # Heun's own error at 100 steps is 1e-3; Euler's in DDIM 4e-2 at 100 and 4e-3 at 1000.
        ("heun", 100, {"churn": 30.0}, 2e-3),
        ("heun", 100, {"churn": 1e6}, 2e-3),
        ("heun", 100, {"churn": 30.0, "churn_min": 0.1, "churn_max": 10.0}, 2e-3),
        ("ddim", 1000, {"eta": 1.0}, 1e-2),
        ("ddim", 1000, {"eta": 0.5}, 1e-2),
    ],
)
def test_added_noise_keeps_the_law_of_a_gaussian(name, steps, chosen, allowed):
    count = 20_000
    sampler, spaced = samplers.OWN[name]
    torch.manual_seed(3)
    noise = torch.randn(count, dtype=torch.float64)
    levels = spaced(steps, 0.002, 80.0, 7.0)
    found = sampler(unsteered(gaussian), noise, levels, None, draws=normals(noise), **chosen)
    # Standard errors: .5 / sqrt(n) of the mean, and sqrt(2 / n) of it of the variance; four of them, and the steps'.
    assert found.mean().item() == pytest.approx(0.3, abs=4 * 0.5 / math.sqrt(count) + allowed)
    assert found.var().item() == pytest.approx(0.25, rel=4 * math.sqrt(2 / count) + allowed)
    assert abs(torch.corrcoef(torch.stack([found, noise]))[0, 1]) < 0.9  # and it is not the ODE's solution


def test_too_much_noise_in_the_churn_widens_the_law():
    torch.manual_seed(3)
    levels = samplers.power_levels(100, 0.002, 80.0, 7.0)
    noise = torch.randn(20_000, dtype=torch.float64)
    found = samplers.heun(unsteered(gaussian), noise, levels, None, churn=30, churn_noise=1.05, draws=normals(noise))
    assert found.var().item() > 0.27


def test_churn_is_added_where_it_is_asked_for():
    levels = samplers.power_levels(10, 0.01, 50.0, 7.0)
    seen = []

    def record(x, sigma, labels):
        seen.append(sigma.item())
        return gaussian(x, sigma, labels)

    noise = images(2)
    noisy = {"draws": normals(noise)}
    samplers.heun(unsteered(record), noise, levels, None, churn=3.0, churn_min=0.5, churn_max=20.0, **noisy)
    evaluated = set(np.round(seen, 12))
    for level in levels[:-1].tolist():
        grown = level * 1.3 if 0.5 <= level <= 20 else level
        assert round(grown, 12) in evaluated
    seen.clear()
    samplers.heun(unsteered(record), images(2), levels, None, churn=1e9, **noisy)
    assert seen[0] == pytest.approx(50 * math.sqrt(2))  # at most: Karras et al. 2022, Algorithm 2
    calm = samplers.heun(unsteered(gaussian), images(2), levels, None)
    none = samplers.heun(unsteered(gaussian), images(2), levels, None, churn=3.0, churn_min=100.0)
    torch.testing.assert_close(calm, none, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"churn": 3.0}, {"churn": 1.0}),
        ({"churn": 3.0}, {"churn_min": 1.0}),
        ({"churn": 3.0}, {"churn_max": 1.0}),
        ({"churn": 3.0}, {"churn_noise": 1.5}),
        ({"sampler": "ddim", "eta": 0.5}, {"eta": 1.0}),
        ({"rho": 7.0}, {"rho": 3.0}),
    ],
)
def test_every_option_of_a_sampler_reaches_it(options, change):
    plain, changed = (random_model(**given).sample(Ask(8, 3)).data for given in (options, options | change))
    assert not np.array_equal(plain, changed)


def random_model(**options) -> Diffusion:
    """A network far from silent, of which nothing was learned."""
    chosen = DiffusionOptions(channels=16, blocks=1, classes=2, sample_batch=8, steps=5, **options)
    torch.manual_seed(0)
    weights = {
        f"network.{name}": 0.3 * torch.randn(p.shape).numpy() for name, p in build(chosen, (1, 4, 4)).named_parameters()
    }
    curve = {"curve.images_seen": np.array([1]), "curve.loss": np.array([1.0])}
    return Diffusion.load(Stored({"shape": np.array([1, 4, 4]), **weights, **curve}), chosen)


@pytest.mark.parametrize(
    "options",
    [
        {"churn": 3.0},
        {"sampler": "ddim", "eta": 1.0},
        {"parameterisation": "ddpm", "timesteps": 20, "sampler": "ddim", "eta": 1.0},
        {"parameterisation": "ddpm", "timesteps": 20, "prediction": "v_prediction"},
        {"precision": "bfloat16"},
        {"augment": 0.5},
    ],
)
def test_a_sample_depends_on_nothing_but_its_index(options):
    model = random_model(**options)
    whole = model.sample(Ask(21, 3, bias=0.8)).data
    parts = [model.sample(Ask(count, 3, start=start, bias=0.8)).data for start, count in [(0, 3), (3, 8), (11, 10)]]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(model.sample(Ask(21, 4, bias=0.8)).data, whole) and whole.std() > 10


@pytest.mark.parametrize(("bias", "weight"), [(0.5, 1.0), (0.8, 0.25)])
def test_a_sampling_bias_is_guidance_of_mads_weight(bias, weight):
    """Alemohammad et al. 2023: lambda = 1 / (1 + w)."""
    model = random_model(label_dropout=0.1)
    biased = model.sample(Ask(8, 3, bias=bias)).data

    def rule(seen, at, state, draws, options):
        return (1 + weight) * seen.conditional - weight * seen.unconditional, state

    guided = model.sample(Ask(8, 3, guide=Steering(rule, None, ("conditional", "unconditional")))).data
    np.testing.assert_array_equal(biased, guided)


def test_nothing_is_dropped_where_nothing_is_trained():
    whole, dropping = (random_model(dropout=dropout) for dropout in (0.0, 0.5))
    np.testing.assert_array_equal(dropping.sample(Ask(8, 3)).data, whole.sample(Ask(8, 3)).data)
    data = whole.sample(Ask(2, 4)).data
    found, expected = (model.log_likelihood(data, 1, steps=2) for model in (dropping, whole))
    np.testing.assert_array_equal(found, expected)


def test_half_the_digits_give_nearly_the_same_samples():
    full, half = (random_model(precision=precision).sample(Ask(40, 1)).data for precision in ("float32", "bfloat16"))
    assert not np.array_equal(full, half) and np.abs(full.astype(int) - half.astype(int)).mean() < 5


# -- likelihood --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_both_parameterisations_of_one_denoiser_have_one_likelihood(prediction, monkeypatch):
    options = random_model().options.model_copy(update={"sigma_min": 0.05, "sigma_max": 20.0, "classes": 0})
    discrete = options.model_copy(update={"parameterisation": "ddpm", "prediction": prediction, "timesteps": 1000})
    process = parameterisation(discrete, CPU)

    class Exact(torch.nn.Module):
        """The network inside the exact denoiser of N(0.3, 0.25) in each pixel."""

        def __init__(self, options):
            super().__init__()
            self.options = options

        def forward(self, given, noise, labels):
            if self.options.parameterisation == "edm":
                sigma = torch.exp(4 * noise)[:, None, None, None].double()
                skip, out, scale, _ = scalings(sigma, self.options.sigma_data)
                x = given / scale
                return ((gaussian(x, sigma, None) - skip * x) / out).float()
            whole = noise.double().floor().long().clamp(max=998)
            share = noise.double() - whole
            sigma = torch.exp((1 - share) * process.logarithms[whole] + share * process.logarithms[whole + 1])
            sigma = sigma[:, None, None, None]
            x = given.double() * (1 + sigma**2).sqrt()
            epsilon = (x - gaussian(x, sigma, None)) / sigma
            if prediction == "epsilon":
                return epsilon.float()
            if prediction == "sample":
                return gaussian(x, sigma, None).float()
            return ((epsilon - sigma * gaussian(x, sigma, None)) / (1 + sigma**2).sqrt()).float()

    data = np.random.default_rng(0).integers(100, 220, (3, 1, 4, 4), np.uint8)
    monkeypatch.setattr(likelihood, "loaded", lambda options, *given: Exact(options))
    first = likelihood.log_likelihood(options, {}, data, 1, 16, 0)
    second = likelihood.log_likelihood(discrete, {}, data, 1, 16, 0)
    # float32 networks, of 16 pixels each; the times' interpolation is undone exactly but for rounding.
    np.testing.assert_allclose(first, second, atol=2e-2)
    variance = 0.25 + 0.05**2
    uniform = seeds.uniforms(own_seed(1, data[0]), 0, 1, data[0].size).reshape(1, 4, 4)
    x = (data[0] + uniform - 0.5) / 127.5 - 1
    density = -((x - 0.3) ** 2 / (2 * variance) + 0.5 * math.log(2 * math.pi * variance)).sum()
    # The start at sigma_max = 20 is off by (0.09 + 0.25) / 400 a pixel, and 16 steps by 1e-3 of one.
    assert first[0] == pytest.approx(density - 16 * math.log(127.5), abs=0.1)


# -- augmentation ------------------------------------------------------------------------------------------------------


def parameters(**given: float) -> torch.Tensor:
    found = torch.zeros(1, augment.PARAMETERS)
    for name, value in given.items():
        found[0, int(name[1:])] = value
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a0": 1.0}, lambda image: image.flip(3)),
        ({"a1": 1.0}, lambda image: image.flip(2)),
        ({"a3": math.pi / 2}, lambda image: image.rot90(-1, (2, 3))),
        ({"a3": math.pi}, lambda image: image.rot90(2, (2, 3))),
        ({"a0": 1.0, "a3": -math.pi / 2}, lambda image: image.flip(3).rot90(1, (2, 3))),
        ({"a6": 1.0}, lambda image: torch.cat([image[..., :1].flip(3), image[..., :-1]], dim=3)),  # an eighth: a pixel
        ({"a7": -1.0}, lambda image: torch.cat([image[:, :, 1:], image[:, :, -1:]], dim=2)),
    ],
)
def test_transformations_that_map_pixels_to_pixels_are_exact(given, expected):
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(augment.apply(image, parameters(**given)), expected(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("width", [32, 48])
def test_scales_and_stretches_are_those_of_the_table(width):
    """Of images of x and of y, the slopes after a transformation are the inverse of its matrix."""
    sides = [(torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / 16 for size in (32, width)]
    y, x = torch.meshgrid(*sides, indexing="ij")
    image = torch.stack([x, y])[None].float()
    inner = slice(8, 24), slice(width // 2 - 8, width // 2 + 8)  # what is far from the edge

    def found(**given: float) -> torch.Tensor:
        moved = augment.apply(image, parameters(**given))[0, :, *inner].double()
        terms = torch.stack([x, y, torch.ones_like(x)], dim=-1)[inner].reshape(-1, 3)
        return torch.linalg.lstsq(terms, moved.reshape(2, -1).mT).solution[:2].mT

    def near(slopes: torch.Tensor, expected: list[list[float]]) -> None:
        # Torch's cubic kernel moves a ramp by up to 0.05 pixels to and fro; over 16 pixels that is a slope of .003.
        torch.testing.assert_close(slopes, torch.tensor(expected, dtype=torch.float64), atol=1e-2, rtol=0)

    near(found(a2=5.0), [[0.5, 0], [0, 0.5]])  # twice as large
    near(found(a4=0.0, a5=2.5), [[0.5**0.5, 0], [0, 2**0.5]])
    near(found(a4=math.pi / 2, a5=-2.5), [[0.5**0.5, 0], [0, 2**0.5]])  # the same, said otherwise
    told = [augment.conditions(parameters(a4=a4, a5=a5)) for a4, a5 in ((0.0, 2.5), (math.pi / 2, -2.5))]
    torch.testing.assert_close(told[0], told[1], atol=1e-6, rtol=0)
    c, s = math.cos(0.4), math.sin(0.4)
    near(found(a3=0.4), [[c, s], [-s, c]])
    near(found(a2=5.0, a3=0.4), [[c / 2, s / 2], [-s / 2, c / 2]])
    near(found(a0=1.0, a3=0.4), [[-c, -s], [-s, c]])  # mirrored first, then turned


def test_all_that_was_done_is_told():
    torch.manual_seed(0)
    drawn = augment.draw(20, 0.7, CPU).double()
    for row, told in zip(drawn.tolist(), augment.conditions(drawn).tolist(), strict=True):
        a0, a1, a2, a3, a4, a5, a6, a7 = row
        turned = [math.cos(a3) - 1, math.sin(a3), a5 * math.cos(2 * a4), a5 * math.sin(2 * a4)]
        assert told == pytest.approx([a0, a1, a2, *turned, a6, a7], abs=1e-12)


def test_an_image_to_which_nothing_is_done_keeps_its_bits_and_is_told_so():
    given = torch.rand(4, 1, 6, 6)
    drawn = torch.zeros(4, augment.PARAMETERS)
    drawn[1, 3] = 0.5
    moved = augment.apply(given, drawn)
    assert torch.equal(moved[[0, 2, 3]], given[[0, 2, 3]]) and not torch.equal(moved[1], given[1])
    assert (augment.conditions(drawn) != 0).any(dim=1).tolist() == [False, True, False, False]
    assert augment.conditions(drawn).shape == (4, augment.CONDITIONS)


def test_augmentation_keeps_its_digits_in_a_training_in_bfloat16():
    torch.manual_seed(0)
    given, drawn = torch.rand(8, 1, 6, 6), augment.draw(8, 0.9, CPU)
    with torch.autocast("cpu", torch.bfloat16):
        found, told = augment.apply(given, drawn), augment.conditions(drawn)
    assert torch.equal(found, augment.apply(given, drawn)) and torch.equal(told, augment.conditions(drawn))


def test_transformations_are_drawn_with_their_probability_and_law():
    torch.manual_seed(0)
    drawn = augment.draw(20_000, 0.25, CPU)
    share = (drawn != 0).double().mean(dim=0)
    # A mirror is 0 half of the time, the one from left to right is always drawn; a share's standard deviation is at
    # most .0035.
    torch.testing.assert_close(share, torch.tensor([0.5, 0.125] + 6 * [0.25]).double(), atol=0.0145, rtol=0)
    assert torch.equal(drawn[:, 4] != 0, drawn[:, 5] != 0) and torch.equal(drawn[:, 6] != 0, drawn[:, 7] != 0)
    for column, deviation in (
        (2, 1.0),
        (3, math.pi / math.sqrt(3)),
        (4, math.pi / math.sqrt(3)),
        (5, 1.0),
        (6, 1.0),
        (7, 1.0),
    ):
        values = drawn[:, column][drawn[:, column] != 0]
        assert values.std().item() == pytest.approx(deviation, rel=0.06)  # 5000 of them: 1 % to 1.4 %
    assert not augment.draw(50, 0.0, CPU)[:, 1:].any()


def test_the_network_hears_of_augmentation_and_zeros_are_none():
    options = DiffusionOptions(
        network="unet", channels=8, multipliers=(1,), attention=(), blocks=1, classes=0, augment=0.1
    )
    network = build(options, (1, 4, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    given = (images(2).float(), torch.zeros(2), None)
    silent = network(*given)
    assert torch.equal(network(*given, torch.zeros(2, 9)), silent)
    assert not torch.allclose(network(*given, torch.ones(2, 9)), silent)
