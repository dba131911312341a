"""The diffusion family: the mathematics of EDM against closed forms, and the promises of ``Model``."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from collapselab import store
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged, Interrupted
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.engine.steering import Denoiser, Steering, unsteered
from collapselab.engine.task import Batch
from collapselab.machine.device import DEVICE_VARIABLE, device, exact
from collapselab.models.diffusion import PRESETS, Diffusion, DiffusionOptions
from collapselab.models.diffusion import sampling as samplers
from collapselab.models.diffusion.networks import build
from collapselab.models.diffusion.parameterisations import EDM, scalings
from collapselab.models.diffusion.training import Denoising
from collapselab.models.stored import Stored
from collapselab.store import provenance

pytestmark = pytest.mark.trained

SMALL = {"channels": 32, "blocks": 1, "classes": 2, "images_seen": 3_200, "batch": 32, "sample_batch": 8, "steps": 6}


def small(**options) -> DiffusionOptions:
    return DiffusionOptions(**(SMALL | options))


def stepped(task: Denoising, images: torch.Tensor, step: int) -> None:
    """The task after step number ``step``, from 0, as the loop takes it."""
    batch = Batch(images, None, torch.ones(len(images)), task.draw(len(images)))
    task.adam.step(torch.autograd.grad(task.loss(batch).mean(), task.adam.parameters))
    with torch.no_grad():
        task.after_step((step + 1) * len(images), len(images))


def halves(count: int = 64) -> TrainingSet:
    """4 x 4 images: class 0 is bright on the left, class 1 dark on the left; grey elsewhere."""
    labels = np.arange(count) % 2
    data = np.full((count, 1, 4, 4), 128, np.uint8)
    data[:, :, :, :2] = np.where(labels == 0, 230, 25)[:, None, None, None]
    return TrainingSet(data, labels, np.ones(count))


@pytest.fixture(scope="module")
def trained() -> Diffusion:
    return Diffusion.fit(halves(), small(images_seen=19_200, label_dropout=0.2, learning_rate=5e-3), Run(1))


# -- preconditioning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma_data", [0.5, 0.75])
def test_the_network_sees_and_aims_at_unit_variance_at_every_noise_level(sigma_data):
    sigma = torch.logspace(-3, 2, 30, dtype=torch.float64)
    skip, out, scale, noise = scalings(sigma, sigma_data)
    # x = y + n with Var y = sigma_data^2, Var n = sigma^2; the target is (y - c_skip x) / c_out.
    torch.testing.assert_close(scale**2 * (sigma_data**2 + sigma**2), torch.ones_like(sigma))
    target = ((1 - skip) ** 2 * sigma_data**2 + skip**2 * sigma**2) / out**2
    torch.testing.assert_close(target, torch.ones_like(sigma))
    weight = EDM(sigma_data, 0, 1, sigma.device).loss_weight(sigma)
    torch.testing.assert_close(weight * out**2, torch.ones_like(sigma))
    torch.testing.assert_close(torch.exp(4 * noise), sigma)


def test_a_silent_network_denoises_like_the_best_linear_denoiser():
    sigma = torch.tensor([0.1, 1.0, 10.0])
    noisy = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    edm = EDM(0.5, 0, 1, sigma.device)
    denoised = edm.denoise(lambda images, noise, labels: 0 * images, noisy, sigma, None)
    torch.testing.assert_close(denoised, noisy * (0.25 / (0.25 + sigma**2))[:, None, None, None])


# -- samplers ----------------------------------------------------------------------------------------------------------

ORDERS = {"heun": 2, "ddim": 1}


def gaussian_denoiser(mean: float, variance: float) -> Denoiser:
    """The exact denoiser of data that is N(mean, variance) in every pixel."""
    return lambda x, sigma, labels: (variance * x + sigma**2 * mean) / (variance + sigma**2)


@pytest.mark.parametrize("name", samplers.OWN)
def test_samplers_solve_the_ode_of_a_gaussian_at_their_order(name):
    mean, sd, low, high = 0.3, 0.5, 0.002, 80.0
    sampler, spaced = samplers.OWN[name]
    noise = torch.tensor([-1.5, 0.2, 1.0], dtype=torch.float64)

    def error(steps: int) -> float:
        found = sampler(unsteered(gaussian_denoiser(mean, sd**2)), noise, spaced(steps, low, high, 7.0), None)
        # Exact from high to low; the last step, to 0, is one application of the denoiser for either sampler.
        flow = math.sqrt((sd**2 + low**2) / (sd**2 + high**2)) * sd**2 / (sd**2 + low**2)
        exact_end = mean + (high * noise - mean) * flow
        return (found - exact_end).abs().max().item()

    ratio = error(200) / error(400)
    # The next term of the error is smaller by about 1 / steps times a constant: a tenth leaves room for it.
    assert ratio == pytest.approx(2 ** ORDERS[name], rel=0.1)
    # And to the data itself: N(mean, sd^2) from N(0, high^2), where high is short of infinity by mean (1 - sd / high).
    limit = mean + (high * noise - mean) * sd / math.hypot(sd, high)
    found = sampler(unsteered(gaussian_denoiser(mean, sd**2)), noise, spaced(400, low, high, 7.0), None)
    assert (found - limit).abs().max() < {"heun": 1e-3, "ddim": 2e-2}[name]


def test_noise_levels_fall_from_the_highest_to_the_lowest_and_end_at_zero():
    for _, spaced in samplers.OWN.values():
        levels = spaced(18, 0.002, 80.0, 7.0)
        assert len(levels) == 19 and levels.dtype == torch.float64
        assert levels[0].item() == pytest.approx(80) and levels[-2].item() == pytest.approx(0.002) and levels[-1] == 0
        assert (levels.diff() < 0).all()
    # Karras et al. 2022, equation 5, written out for i = 5 of N = 18.
    expected = (80 ** (1 / 7) + 5 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert samplers.power_levels(18, 0.002, 80.0, 7.0)[5].item() == pytest.approx(expected, rel=1e-12)


def test_ddim_levels_are_those_of_ddpms_thousand_steps():
    betas = np.linspace(1e-4, 0.02, 1000)
    alphas = np.cumprod(1 - betas)
    sigmas = np.sqrt((1 - alphas) / alphas)[::-1]
    levels = samplers.diffusion_time_levels(1000, sigmas[-1], sigmas[0], 7.0)[:-1].numpy()
    # ln(1 + sigma^2) is the sum of the betas, and the second-order term sum beta^2 / 2 = .067 of 10.1 is what
    # continuous time leaves out; half a step of 1 / 1000 is the other difference, largest where sigma is smallest.
    np.testing.assert_allclose(np.log1p(levels**2), np.log1p(sigmas**2), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("weight", [0.25, 1.0, 3.0])
def test_guidance_of_gaussians_gives_the_variance_of_the_closed_form(weight):
    conditional, unconditional, high = 1.0, 4.0, 1000.0

    def both(x, sigma, labels):
        return gaussian_denoiser(0.0, unconditional if labels is None else conditional)(x, sigma, labels)

    levels = samplers.power_levels(500, 1e-3, high, 7.0)
    label = torch.zeros(1, dtype=torch.int64)
    end = samplers.heun(unsteered(samplers.guided(both, weight)), torch.ones(1, dtype=torch.float64), levels, label)
    # The ODE is linear, so the end of noise 1 is the standard deviation. sigma_max = 1000 leaves out 3e-6 w.
    assert end.item() ** 2 == pytest.approx(conditional * (conditional / unconditional) ** weight, rel=2e-3)


def test_guidance_of_shifted_gaussians_extrapolates_the_mean():
    def both(x, sigma, labels):
        return gaussian_denoiser(0.5 if labels is None else 1.0, 1.0)(x, sigma, labels)

    levels = samplers.power_levels(500, 1e-3, 1000.0, 7.0)
    label = torch.zeros(1, dtype=torch.int64)
    end = samplers.heun(unsteered(samplers.guided(both, 2.0)), torch.zeros(1, dtype=torch.float64), levels, label)
    assert end.item() == pytest.approx(0.5 + 3 * 0.5, rel=2e-3)  # m_u + (1 + w)(m_c - m_u), less 1 / sigma_max


# -- networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "shape", "published", "labels", "augmentation"),
    [
        # Karras et al. 2022 name 55.7 and 61.8 million; counted from their networks by torch, 55.73 and 61.81.
        ("cifar10", (3, 32, 32), 55_732_739, 10 * 128, 9 * 128),
        ("faces64", (3, 64, 64), 61_804_419, 0, 9 * 128),
        ("small32", (3, 32, 32), 13_956_355, 10 * 64, 0),
    ],
)
def test_the_presets_networks_have_the_published_size(preset, shape, published, labels, augmentation):
    """Beside the U-Net there is a vector for each class, and one for each of the nine numbers of an augmentation."""
    options = DiffusionOptions(preset=preset)
    with torch.device("meta"):
        network = build(options, shape)
        one_hot = torch.zeros(2, options.classes) if options.classes else None
        found = network(torch.randn(2, *shape), torch.randn(2), one_hot, torch.zeros(2, 9))
    sizes = [parameter.numel() for parameter in network.parameters()]
    assert found.shape == (2, *shape) and sum(sizes) == published + labels + augmentation
    assert preset != "cifar10" or len(sizes) == 417 + 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 12)])
@pytest.mark.parametrize(
    "options",
    [
        {"network": "mlp", "channels": 12},
        {"network": "unet", "channels": 8, "multipliers": (1, 2), "attention": (4,)},
        {"network": "unet", "channels": 20, "multipliers": (1,), "attention": (), "classes": 0},
    ],
)
def test_networks_keep_the_shape_and_begin_nearly_silent(shape, options):
    chosen = small(**options)
    network = build(chosen, shape)
    images, labels = torch.randn(3, *shape), torch.nn.functional.one_hot(torch.tensor([0, 1, 0]), 2).float()
    found = network(images, torch.zeros(3), labels if chosen.classes else None)
    assert found.shape == images.shape and found.abs().max() < 1e-3
    found.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def plain_unet(of: dict[str, torch.Tensor], images, noise, labels, told):
    """DDPM++ once more (Song et al. 2021, appendix H), from named tensors: of two resolutions, one block each.

    ``attention`` is where a block has its weights, ``skip`` likewise.
    """

    def silu(x):
        return x / (1 + (-x).exp())

    def dense(name, x):
        return x @ of[f"{name}.weight"].T + of[f"{name}.bias"]

    def convolved(name, x):
        weight = of[f"{name}.weight"]
        return torch.nn.functional.conv2d(x, weight, of[f"{name}.bias"], padding=weight.shape[2] // 2)

    def normed(name, x):
        groups = x.unflatten(1, (x.shape[1] // 4, 4))  # of four channels, where there are few
        variance, mean = torch.var_mean(groups, (2, 3, 4), correction=0, keepdim=True)
        x = ((groups - mean) / (variance + 1e-6).sqrt()).flatten(1, 2)
        return x * of[f"{name}.weight"][:, None, None] + of[f"{name}.bias"][:, None, None]

    def attended(name, x):
        query, key, value = convolved(f"{name}.mixed", normed(f"{name}.norm", x)).flatten(2).split(x.shape[1], dim=1)
        rows = []
        for q, k, v in zip(query, key, value, strict=True):
            shares = (q.T @ k / math.sqrt(len(q))).exp()  # a row for each pixel that asks
            rows.append(v @ (shares / shares.sum(1, keepdim=True)).T)
        return x + convolved(f"{name}.projection", torch.stack(rows).reshape(x.shape))

    def block(name, x, resize=lambda x: x):
        hidden = convolved(f"{name}.convolution0", resize(silu(normed(f"{name}.norm0", x))))
        hidden = hidden + dense(f"{name}.affine", embedded)[:, :, None, None]
        hidden = convolved(f"{name}.convolution1", silu(normed(f"{name}.norm1", hidden)))
        x = resize(x)
        if f"{name}.skip.weight" in of:
            x = convolved(f"{name}.skip", x)
        x = (x + hidden) / math.sqrt(2)
        return attended(f"{name}.attention", x) / math.sqrt(2) if f"{name}.attention.norm.weight" in of else x

    def halved(x):
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    def doubled(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    half = of["embedding.label"].shape[1] // 2
    angles = noise[:, None] * 10_000.0 ** (-torch.arange(half, dtype=noise.dtype) / half)
    embedded = torch.cat([angles.cos(), angles.sin()], 1) + labels @ of["embedding.label"]
    embedded = embedded + told @ of["embedding.augmentation.weight"].T
    embedded = silu(dense("embedding.layers.2", silu(dense("embedding.layers.0", embedded))))

    skips = [convolved("first", images)]
    skips.append(block("down.0", skips[-1]))
    skips.append(block("down.1", skips[-1], halved))
    skips.append(block("down.2", skips[-1]))
    x = block("middle.1", block("middle.0", skips[-1]))
    for name in ("up.0", "up.1"):
        x = block(name, torch.cat([x, skips.pop()], dim=1))
    x = block("up.2", x, doubled)
    for name in ("up.3", "up.4"):
        x = block(name, torch.cat([x, skips.pop()], dim=1))
    return convolved("last", silu(normed("norm", x)))


def test_the_u_net_is_what_the_papers_say():
    options = small(network="unet", channels=8, multipliers=(1, 2), blocks=1, attention=(4,), augment=0.1)
    network = build(options, (3, 8, 8)).double().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter) + (parameter.ndim == 1))
    of = dict(network.state_dict())
    where = {name.split(".attention.")[0] for name in of if ".attention." in name}
    assert where == {"down.2", "middle.0", "up.1"}  # at 4 x 4, and once on the way up
    given = (torch.randn(*size, dtype=torch.float64) for size in ((2, 3, 8, 8), (2,), (2, 2), (2, 9)))
    images, noise, labels, told = given
    found = network(images, noise, labels, told)
    torch.testing.assert_close(found, plain_unet(of, images, noise, labels, told), rtol=1e-10, atol=1e-10)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match="halve 6 x 6 images 2 times"):
        build(small(network="unet", multipliers=(1, 1, 1)), (1, 6, 6))


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fill_in_and_give_way(name):
    preset = DiffusionOptions(preset=name)
    assert preset.model_dump(include=set(PRESETS[name])) == dict(PRESETS[name])
    changed = DiffusionOptions(preset=name, steps=7)
    assert changed.steps == 7 and changed.model_copy(update={"steps": preset.steps}) == preset
    assert DiffusionOptions.model_validate_json(changed.model_dump_json()) == changed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "tyni"}, "preset: found 'tyni', allowed are 'tiny', 'digits28', 'cifar10'"),
        ({"sigma_min": 5.0, "sigma_max": 2.0}, "sigma_min: found 5.0"),
        ({"betas": (0.9, 1.0)}, "betas: found"),
        ({"beta_start": 0.5, "beta_end": 0.1}, "beta_start: found 0.5, .*up to beta_end = 0.1"),
        ({"sampler": "euler"}, "'heun' or 'ddim'"),
        ({"chanels": 8}, "chanels"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(ValidationError, match=message):
        DiffusionOptions(**options)


# -- training ----------------------------------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_reports_it(trained):
    loss, seen = trained.curve["loss"], trained.curve["images_seen"]
    # The data has two points: the best denoiser's loss is near 0, a silent network's is 1.
    assert loss[:3].mean() > 0.5 and loss[-10:].mean() < 0.15
    assert len(loss) == len(seen) and seen[-1] == 19_200 and (np.diff(seen) > 0).all()


@pytest.mark.parametrize(("images_seen", "steps"), [(1, 1), (32, 1), (33, 2), (1000, 32)])
def test_the_budget_is_met_exactly(images_seen, steps):
    calls = []
    model = Diffusion.fit(
        halves(), small(), Run(1, images_seen=images_seen, progress=lambda seen, loss: calls.append((seen, loss)))
    )
    assert model.curve["images_seen"][-1] == steps * 32
    assert [seen for seen, _ in calls] == [32 * step for step in range(1, steps + 1)]


def test_a_seed_names_a_model():
    first, again, other = (
        Diffusion.fit(halves(), small(images_seen=320, dropout=0.1), Run(seed)) for seed in (1, 1, 2)
    )
    for name, array in first.averaged.items():
        np.testing.assert_array_equal(array, again.averaged[name])
    assert any(not np.array_equal(array, other.averaged[name]) for name, array in first.averaged.items())


def test_training_and_sampling_leave_the_random_state_alone():
    before = torch.get_rng_state()
    Diffusion.fit(halves(), small(images_seen=64), Run(1)).sample(Ask(3, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_average_is_the_one_of_the_formula():
    options = small(ema_half_life=200, ema_ramp=0.5, label_dropout=0.0, classes=0)
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(0)
        task = Denoising(build(options, (1, 4, 4)), options, (1, 4, 4), 100)
        expected = [parameter.detach().double() for parameter in task.network.parameters()]
        images = torch.randn(32, 1, 4, 4)
        for step in range(20):
            stepped(task, images, step)
            decay = 0.5 ** (32 / min(200, 0.5 * 32 * (step + 1)))
            expected = [
                decay * old + (1 - decay) * new.detach().double()
                for old, new in zip(expected, task.network.parameters(), strict=True)
            ]
    for found, wanted in zip(task.average.weights.values(), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)  # float32, 20 steps


def test_noise_levels_in_training_are_log_normal_and_inputs_have_unit_variance():
    options = small(p_mean=-0.8, p_std=0.7, sigma_data=0.5, label_dropout=0.0, classes=0)
    noises, inputs = [], []

    def record(network, arguments):
        inputs.append(arguments[0].detach())
        noises.append(arguments[1].detach())

    with exact(torch.device("cpu")) as generator:
        task = Denoising(build(options, (1, 4, 4)), options, (1, 4, 4), 100)
        task.network.register_forward_pre_hook(record)
        for step in range(50):
            generator.manual_seed(step)
            stepped(task, 0.5 * torch.randn(64, 1, 4, 4), step)
    logarithms = 4 * torch.cat(noises)
    # 3200 draws: standard errors 0.7 / sqrt(3200) = .012 and .7 / sqrt(6400) = .009; four of them are allowed. The
    # inputs' variance is a mean of 51200 squares, sd sqrt(2 / 51200) = .006.
    assert logarithms.mean().item() == pytest.approx(-0.8, abs=0.05)
    assert logarithms.std().item() == pytest.approx(0.7, abs=0.035)
    assert torch.cat(inputs).square().mean().item() == pytest.approx(1.0, abs=0.025)


def test_a_training_step_hides_some_labels_and_mirrors_half_of_the_images():
    options = small(label_dropout=0.25, flip=True)
    torch.manual_seed(0)
    task, count, seen = Denoising(build(options, (1, 4, 4)), options, (1, 4, 4), 1), 4_000, []
    task.called = lambda *given: seen.append(given) or torch.zeros_like(given[0])
    images, labels = torch.randn(1, 4, 4).expand(count, -1, -1, -1), torch.arange(count) % 2
    draws = task.draw(count) | {"noise": torch.zeros(count, 1, 4, 4)}
    task.loss(Batch(images, labels, torch.ones(count), draws))
    ((shown, _, told),) = seen
    shown = shown / scalings(draws["sigma"], options.sigma_data)[2][:, None, None, None]
    plain, mirrored = (torch.isclose(shown, image, atol=1e-5).all((1, 2, 3)) for image in (images, images.flip(3)))
    hidden = (told == 0).all(1)
    assert (plain ^ mirrored).all() and torch.equal(told[~hidden], torch.eye(2)[labels[~hidden]])
    # Standard errors of shares are sqrt(.25 .75 / 4000) and .5 / sqrt(4000).
    assert hidden.double().mean().item() == pytest.approx(0.25, abs=0.028)
    assert mirrored.double().mean().item() == pytest.approx(0.5, abs=0.032)


def test_the_learning_rate_ramps_up_over_images():
    options = small(learning_rate=0.01, warmup_images=128, label_dropout=0.0, classes=0)
    task, rates = Denoising(build(options, (1, 4, 4)), options, (1, 4, 4), 100), []
    with exact(torch.device("cpu")):
        for step in range(6):
            rates.append(task.adam.lr)
            stepped(task, torch.zeros(32, 1, 4, 4), step)
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])


def test_a_hidden_label_leaves_both_classes(trained):
    hide = Steering(lambda seen, at, state, draws, options: (seen.unconditional, state), None, ("unconditional",))
    samples = trained.sample(Ask(80, 7, guide=hide))
    bright = samples.data[:, 0, :, :2].mean(axis=(1, 2)) > 128
    # A coin in either class, fair but for what the training lacks: over 20 seeds 9 to 21 of 40; 40 and 0 if it is told.
    for label in (0, 1):
        assert 3 <= bright[samples.labels == label].sum() <= 37


def test_weights_are_relative():
    options, data = small(images_seen=320), halves()
    doubled = TrainingSet(data.data, data.labels, 2 * data.weights)
    first, second = Diffusion.fit(data, options, Run(1)), Diffusion.fit(doubled, options, Run(1))
    for name, array in first.averaged.items():
        np.testing.assert_array_equal(array, second.averaged[name])


def test_rows_without_weight_teach_nothing():
    data = halves()
    only_bright = TrainingSet(data.data, None, (data.labels == 0).astype(float))
    options = small(classes=0, label_dropout=0.0, images_seen=6_400, steps=12)
    samples = Diffusion.fit(only_bright, options, Run(1)).sample(Ask(64, 2)).data[:, 0, :, :2]
    # Bright is 230 and dark 25; with equal weights half of the samples are dark, as below. Over 23 seeds none was here.
    assert (samples.mean(axis=(1, 2)) > 128).mean() > 0.9
    both = (
        Diffusion.fit(TrainingSet(data.data, None, data.weights), options, Run(1)).sample(Ask(64, 2)).data[:, 0, :, :2]
    )
    assert 16 <= (both.mean(axis=(1, 2)) > 128).sum() <= 48  # 32 +- 4 sd of a fair coin


def test_flips_show_both_sides():
    """Over 23 seeds 63 or 64 of 64 were bright on the left without flips, and 24 to 38 with them."""
    data = halves()
    one_side = TrainingSet(data.data[data.labels == 0], None, np.ones(32))
    options = small(classes=0, label_dropout=0.0, images_seen=6_400, steps=12)
    for flip, lowest, highest in ((False, 57, 64), (True, 16, 48)):  # 32 +- 4 sd of a fair coin
        samples = (
            Diffusion.fit(one_side, options.model_copy(update={"flip": flip}), Run(1))
            .sample(Ask(64, 2))
            .data.astype(int)
        )
        bright_left = (samples[:, 0, :, :2].mean(axis=(1, 2)) > samples[:, 0, :, 2:].mean(axis=(1, 2))).sum()
        assert lowest <= bright_left <= highest


def test_divergence_is_reported_with_the_images_seen():
    with pytest.raises(Diverged) as found:
        Diffusion.fit(halves(), small(learning_rate=1e30, warmup_images=0), Run(1))
    assert 0 < found.value.images_seen <= 3_200 and found.value.images_seen % 32 == 0
    assert not math.isfinite(found.value.loss)


def test_a_training_starts_from_another_models_average(trained):
    still = trained.options.model_copy(update={"learning_rate": 1e-12})
    continued = Diffusion.fit(halves(), still, Run(5, images_seen=320), trained)
    for name, array in trained.averaged.items():
        np.testing.assert_allclose(continued.averaged[name], array, atol=1e-7)
    with pytest.raises(ValueError, match=r"weights: found '.*' of shape"):
        Diffusion.fit(halves(), small(channels=16), Run(5), trained)


@pytest.mark.parametrize(
    ("data", "labels", "weights", "message"),
    [
        (np.zeros((4, 1, 4, 4), np.float32), [0, 1, 0, 1], np.ones(4), "found float32 of shape"),
        (np.zeros((4, 16), np.uint8), [0, 1, 0, 1], np.ones(4), "allowed are uint8 images"),
        (np.zeros((4, 1, 4, 4), np.uint8), None, np.ones(4), "the training data has no labels"),
        (np.zeros((4, 1, 4, 4), np.uint8), [0, 1, 2, 1], np.ones(4), "labels 0 to 2; allowed are labels 0 to 1"),
        (np.zeros((4, 1, 4, 4), np.uint8), [0, 1, 0, 1], np.zeros(4), "not all 0"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, labels, weights, message):
    labels = None if labels is None else np.array(labels)
    with pytest.raises(ValueError, match=message):
        Diffusion.fit(TrainingSet(data, labels, weights), small(), Run(1))


# -- samples -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["mlp", "unet"])
@pytest.mark.parametrize("sampler", samplers.OWN)
def test_a_sample_depends_on_nothing_but_its_index(network, sampler):
    unet = {"network": "unet", "channels": 8, "multipliers": (1, 2), "attention": (4,)} if network == "unet" else {}
    options = small(sampler=sampler, images_seen=640, dropout=0.3, learning_rate=0.02, **unet)  # far from silent
    model = Diffusion.fit(halves(), options, Run(1))
    whole = model.sample(Ask(25, 3, bias=0.8))
    cuts = [(0, 3), (3, 8), (11, 1), (12, 13)]
    parts = [model.sample(Ask(count, 3, start=start, bias=0.8)) for start, count in cuts]
    np.testing.assert_array_equal(np.concatenate([part.data for part in parts]), whole.data)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), whole.labels)
    assert whole.data.dtype == np.uint8 and whole.data.shape == (25, 1, 4, 4)
    assert not np.array_equal(model.sample(Ask(25, 4, bias=0.8)).data, whole.data)
    assert len(model.sample(Ask(0, 3))) == 0


def test_samples_are_of_their_class(trained):
    samples = trained.sample(Ask(40, 7))
    np.testing.assert_array_equal(samples.labels, np.arange(40) % 2)
    left, aim = samples.data[:, 0, :, :2].mean(axis=(1, 2)), np.where(samples.labels == 0, 230, 25)
    # Over 23 seeds all 40 were, at a median distance of 15 at most; half are where no label is told, 100 away.
    assert ((left > 128) == (aim > 128)).mean() > 0.85 and np.median(np.abs(left - aim)) < 40


def test_both_samplers_end_near_each_other(trained):
    """Two discretisations of one ODE agree once their steps are many."""

    def samples(sampler: str) -> np.ndarray:
        options = trained.options.model_copy(update={"sampler": sampler, "steps": 200})
        return Diffusion(options, trained.shape, trained.averaged, trained.curve).sample(Ask(16, 7)).data.astype(int)

    assert np.abs(samples("heun") - samples("ddim")).mean() < 3  # grey levels of 255; one Euler step errs by 1 / 200


def test_a_sampling_bias_needs_labels_that_were_dropped(trained):
    for options in ({"classes": 0}, {"label_dropout": 0.0}):
        data = halves()
        labels = None if "classes" in options else data.labels
        model = Diffusion.fit(TrainingSet(data.data, labels, data.weights), small(images_seen=32, **options), Run(1))
        assert (model.sample(Ask(4, 1)).labels is None) == ("classes" in options)
        with pytest.raises(ValueError, match=r"sampling_bias: found 0\.5, allowed is 1"):
            model.sample(Ask(4, 1, bias=0.5))
    for bias in (0.0, 1.5):
        with pytest.raises(ValueError, match="sampling_bias: found"):
            trained.sample(Ask(4, 1, bias=bias))
    assert not np.array_equal(trained.sample(Ask(16, 1, bias=0.3)).data, trained.sample(Ask(16, 1)).data)


def test_what_a_guide_makes_of_the_predictions_is_what_the_sampler_goes_on_with(trained):
    white = Steering(lambda seen, at, state, draws, options: (torch.ones_like(seen.conditional), state), None)
    assert (trained.sample(Ask(5, 1, guide=white)).data == 255).all()
    plain = Steering(lambda seen, at, state, draws, options: (seen.conditional, state), None)
    np.testing.assert_array_equal(trained.sample(Ask(5, 1, guide=plain)).data, trained.sample(Ask(5, 1)).data)


def test_a_stored_model_samples_the_same(trained, tmp_path):
    store.write_tensors(
        tmp_path / "model.safetensors", trained.stored().tensors, {"options": trained.options.model_dump()}
    )
    tensors, metadata = store.read_tensors(tmp_path / "model.safetensors")
    loaded = Diffusion.load(Stored(tensors), DiffusionOptions(**metadata["options"]))
    np.testing.assert_array_equal(loaded.sample(Ask(10, 3)).data, trained.sample(Ask(10, 3)).data)
    np.testing.assert_array_equal(loaded.curve["loss"], trained.curve["loss"])


# -- interruption ------------------------------------------------------------------------------------------------------


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
    options = small(images_seen=1_600, dropout=0.1)
    whole = Diffusion.fit(halves(), options, Run(1))
    with pytest.raises(Interrupted) as stopped:
        Diffusion.fit(halves(), options, Run(1, checkpoint=tmp_path / "state", progress=lambda seen, loss: seen >= 640))
    assert stopped.value.images_seen == 640
    seen = []
    rest = Diffusion.fit(
        halves(), options, Run(1, checkpoint=tmp_path / "state", progress=lambda now, loss: seen.append(now))
    )
    assert seen[0] == 672
    for name, array in whole.stored().tensors.items():
        np.testing.assert_array_equal(rest.stored().tensors[name], array)


@pytest.mark.parametrize("changed", [None, "data", "labels", "weights", "seed", "options", "budget", "init", "source"])
def test_only_the_same_training_goes_on_from_a_checkpoint(changed, trained, tmp_path, caplog, monkeypatch):
    options, data = small(images_seen=1_600), halves()

    def first_step(training, options, seed, stop_at, init=None, **given) -> int:
        seen = []

        def progress(now: int, loss: float) -> bool:
            seen.append(now)
            return now >= stop_at

        with pytest.raises(Interrupted):
            run = Run(seed, checkpoint=tmp_path / "state", progress=progress, **given)
            Diffusion.fit(training, options, run, init)
        return seen[0]

    first_step(data, options, 1, 640)
    given = {}
    if changed in ("data", "labels", "weights"):
        data = replace(data, **{changed: np.roll(getattr(data, changed), 1) * (1 if changed != "weights" else 2)})
    if changed == "options":
        options = options.model_copy(update={"learning_rate": 1e-4})
    if changed == "budget":
        given["images_seen"] = 3_200
    if changed == "init":
        given["init"] = trained
    if changed == "source":
        monkeypatch.setattr(provenance, "source_hash", lambda *modules: "the source after an edit")
    found = first_step(data, options, 2 if changed == "seed" else 1, 672, **given)
    assert found == (672 if changed is None else 32)
    assert ("another training" in caplog.text) == (changed is not None)


# -- start and device --------------------------------------------------------------------------------------------------


def test_the_start_is_cheap():
    """Planning imports no torch; training and sampling import no compiler."""
    code = """
import sys
import numpy as np
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models.diffusion import Diffusion, DiffusionOptions
options = DiffusionOptions(images_seen=256, classes=2, network="unet", channels=8, blocks=1, dropout=0.1)
assert "torch" not in sys.modules
data = TrainingSet(np.zeros((64, 1, 8, 8), np.uint8), np.arange(64) % 2, np.ones(64))
Diffusion.fit(data, options, Run(1)).sample(Ask(3, 1, bias=0.5))
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.strip() == "[]"


def test_a_gpu_is_told_to_repeat_its_matrix_products_before_the_first_one(monkeypatch):
    """torch looks at the variable once, at whichever product of a process comes first."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    assert device() == torch.device("cuda", 0)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_device_is_named_by_the_environment(monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert device() == torch.device("cpu")
    monkeypatch.setenv(DEVICE_VARIABLE, "gpu")
    with pytest.raises(ValueError, match=f"{DEVICE_VARIABLE}: found 'gpu', allowed are 'auto', 'cpu', 'cuda'"):
        device()
    monkeypatch.setenv(DEVICE_VARIABLE, f"cuda:{torch.cuda.device_count()}")
    with pytest.raises(ValueError, match="but torch sees"):
        device()
    monkeypatch.delenv(DEVICE_VARIABLE)
    assert device().type == ("cuda" if torch.cuda.is_available() else "cpu")
