"""StyleGAN2's networks against the reference's numbers, the naive form of each layer, and the papers' sizes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import signal
from torch.nn import functional as F

from collapselab.models.stylegan2 import layers
from collapselab.models.stylegan2.layers import (
    Convolution,
    Dense,
    demodulation,
    modulated,
    resample,
    resampling_filter,
    with_deviation,
)
from collapselab.models.stylegan2.networks import Discriminator, Generator

VECTORS = Path(__file__).parents[2] / "shared" / "data" / "stylegan2-vectors.safetensors"
TOY = {"channel_base": 64, "channel_max": 8}  # 8 channels at 4 and 8, 4 at 16


def toy_generator(resolution: int = 8, **options) -> Generator:
    """A small generator whose every parameter matters: biases, noise strengths and the mean w are not 0."""
    torch.manual_seed(0)
    network = Generator(resolution, **({"z_width": 6, "w_width": 5, "mapping_layers": 2} | TOY | options))
    _disturb(network)
    network.mapping.w_avg.normal_()
    return network


def toy_discriminator(resolution: int = 8, **options) -> Discriminator:
    torch.manual_seed(1)
    network = Discriminator(resolution, **(TOY | {"mapping_layers": 2} | options))
    _disturb(network)
    return network


def _disturb(network: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)


def normal(*shape: int, seed: int = 5, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def noise_for(network: Generator, count: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [normal(count, *shape, seed=index, dtype=dtype) for index, shape in enumerate(network.noise_shapes)]


def one_hot(count: int, classes: int) -> torch.Tensor:
    return torch.eye(classes)[torch.arange(count) % classes]


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The norm of the difference over that of what is expected."""
    return float((found.detach() - expected.detach()).norm() / expected.detach().norm())


# -- the reference's numbers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """Generator, discriminator and numbers of the reference implementation."""
    if not VECTORS.exists():
        pytest.skip(f"the reference's numbers are not at {VECTORS}")
    stored = load_file(VECTORS)

    def under(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}

    sizes = {"channel_base": 512, "channel_max": 32}
    generator = Generator(32, z_width=32, w_width=32, **sizes)
    discriminator = Discriminator(32, **sizes, interleaved=True)
    generator.load_state_dict(under("G."))
    discriminator.load_state_dict(under("D."))
    return generator, discriminator, under("vector.")


CLOSE = 1e-5  # in float32; found are differences up to 1e-6


def test_mapping_and_truncation_give_the_reference_s_w(reference):
    generator, _, numbers = reference
    w = generator.mapping(numbers["z"])
    assert distance(w, numbers["w"]) < CLOSE
    assert distance(generator.truncate(w, 0.7), numbers["w_psi_0.7"][:, None].expand(-1, 8, -1)) < CLOSE


@pytest.mark.parametrize(
    ("name", "psi", "stored"),
    [("image_noise_none", 1, False), ("image_noise_const", 1, True), ("image_psi_0.7_noise_const", 0.7, True)],
)
def test_synthesis_gives_the_reference_s_images(reference, name, psi, stored):
    generator, _, numbers = reference
    images = generator(numbers["z"], noise=generator.stored_noise() if stored else None, psi=psi)
    assert distance(images, numbers[name]) < CLOSE


def test_the_discriminator_gives_the_reference_s_logits_and_r1_gradients(reference):
    _, discriminator, numbers = reference
    images = numbers["image_noise_const"].clone().requires_grad_()
    logits = discriminator(images)
    assert distance(logits, numbers["logits"]) < CLOSE
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert distance(gradient.square().sum((1, 2, 3)), numbers["r1_gradient_square_norm"]) < CLOSE


def test_path_lengths_are_the_reference_s(reference):
    generator, _, numbers = reference
    ws = generator.truncate(numbers["w"]).clone().requires_grad_()
    (gradient,) = torch.autograd.grad((generator.synthesis(ws) * numbers["path_length_noise"]).sum(), ws)
    assert distance(gradient.square().sum(2).mean(1).sqrt(), numbers["path_length"]) < CLOSE


# -- resampling --------------------------------------------------------------------------------------------------------

RESAMPLINGS = [  # up, down, padding, H: those of the networks first
    (2, 1, (2, 1), 4),
    (1, 1, (1, 1), 9),
    (1, 1, (2, 2), 8),
    (1, 2, (1, 1), 8),
    (1, 1, (2, 1), 8),
    (1, 1, (0, 3), 6),
    (1, 2, (2, 2), 8),
    (1, 2, (1, 1), 9),
    (2, 1, (2, 2), 5),
]


@pytest.mark.parametrize(("up", "down", "padding", "height"), RESAMPLINGS)
def test_resampling_is_scipy_s_upfirdn_in_both_directions(up, down, padding, height):
    images = normal(2, 3, height, height, dtype=torch.float64)
    expected, taps = images.numpy(), np.array([1, 3, 3, 1]) / 8
    rows = (up * height + sum(padding) - 4) // down + 1
    for axis in (2, 3):
        full = signal.upfirdn(taps, expected, up=up, axis=axis)  # as if the zeros around had no end, from its first row
        ends = [(0, 4) if number == axis else (0, 0) for number in range(4)]
        expected = np.take(np.pad(full, ends), 3 - padding[0] + down * np.arange(rows), axis=axis)
    found = resample(images, resampling_filter().double(), up=up, down=down, padding=padding)
    assert found.shape == (2, 3, rows, rows)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(("up", "down", "padding", "height"), RESAMPLINGS)
def test_the_gradient_of_resampling_is_right_and_can_be_differentiated_again(up, down, padding, height):
    images = normal(1, 2, height, height, dtype=torch.float64).requires_grad_()

    def resampled(images):
        return resample(images, resampling_filter().double(), up=up, down=down, padding=padding)

    assert torch.autograd.gradcheck(resampled, images)
    assert torch.autograd.gradgradcheck(resampled, images)


def test_doubling_and_halving_keep_a_flat_image_inside():
    flat, kernel = torch.full((1, 1, 8, 8), 0.7), resampling_filter()
    for found in (
        resample(flat, kernel * 4, up=2, padding=(2, 1)),
        resample(flat, kernel, down=2, padding=(1, 1)),
    ):
        inside = found[..., 1:-1, 1:-1]
        torch.testing.assert_close(inside, torch.full_like(inside, 0.7))


# -- modulated convolution ---------------------------------------------------------------------------------------------


def naive(images, weight, styles, kernel=None):
    """Each sample convolved with its own modulated and demodulated kernel, one after the other."""
    found = []
    for image, style in zip(images, styles, strict=True):
        own = weight * style[None, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if kernel is None:
            found.append(F.conv2d(image[None], own, padding=own.shape[2] // 2))
            continue
        doubled = F.conv_transpose2d(image[None], own.transpose(0, 1), stride=2)
        padded = F.pad(doubled, (1, 1, 1, 1)).transpose(0, 1)
        found.append(F.conv2d(padded, 4 * kernel[None, None]).transpose(0, 1))
    return torch.cat(found)


@pytest.mark.parametrize("doubling", [False, True], ids=["same size", "doubling"])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_modulated_convolution_is_its_naive_definition_and_so_are_its_gradients(doubling, dtype, close):
    images, weight, styles = normal(3, 6, 8, 8, dtype=dtype), normal(5, 6, 3, 3, dtype=dtype), normal(3, 6, dtype=dtype)
    leaves = [tensor.requires_grad_() for tensor in (images, weight, styles)]
    kernel = resampling_filter().to(dtype) if doubling else None
    found = modulated(images, weight, styles, kernel) * demodulation(weight, styles)[:, :, None, None]
    expected = naive(images, weight, styles, kernel)
    assert distance(found, expected) < close
    direction = normal(*expected.shape, seed=8, dtype=dtype)
    for mine, theirs in zip(
        torch.autograd.grad((found * direction).sum(), leaves),
        torch.autograd.grad((expected * direction).sum(), leaves),
        strict=True,
    ):
        assert distance(mine, theirs) < close


def test_a_layer_s_noise_bias_and_activation_follow_the_demodulated_convolution():
    layer = toy_generator().synthesis.b8.conv0.double()
    images, w, noise = (normal(*shape, dtype=torch.float64) for shape in ((2, 8, 4, 4), (2, 5), (2, 1, 8, 8)))
    convolved = naive(images, layer.weight, layer.affine(w), layer.resample_filter)
    shifted = convolved + layer.noise_strength * noise + layer.bias[:, None, None]
    expected = math.sqrt(2) * torch.where(shifted > 0, shifted, 0.2 * shifted)
    assert distance(layer(images, w, noise), expected) < 1e-12
    layer.clamp = 0.5
    assert distance(layer(images, w, noise), expected.clamp(-0.5, 0.5)) < 1e-12


# -- the rest of the layers --------------------------------------------------------------------------------------------


@torch.no_grad()
def test_layers_of_any_width_begin_with_effective_weights_of_variance_one_over_fan_in():
    torch.manual_seed(0)
    for multiplier in (1.0, 0.01):
        layer = Dense(400, 300, multiplier=multiplier)
        assert layer.weight.std() == pytest.approx(1 / multiplier, rel=0.01)
        effective = layer(torch.eye(400)) - layer(torch.zeros(1, 400))
        assert effective.var() == pytest.approx(1 / 400, rel=0.02)  # of 120,000 normal numbers: +-0.4 %
    layer = Convolution(40, 30, 3, active=False)
    assert layer.weight.std() == pytest.approx(1, rel=0.02)
    impulse = torch.zeros(40, 40, 3, 3)
    impulse[range(40), range(40), 1, 1] = 1
    assert layer(impulse).var() == pytest.approx(1 / (40 * 9), rel=0.04)


def test_learning_rates_and_biases_at_the_start():
    network = Generator(8, z_width=6, w_width=5, **TOY)
    parameters = dict(network.named_parameters())
    assert (parameters["synthesis.b8.conv0.affine.bias"] == 1).all()
    assert all((value == 0).all() for name, value in parameters.items() if name.endswith("noise_strength"))
    biases = {name: value for name, value in parameters.items() if name.endswith("bias") and "affine" not in name}
    assert all((value == 0).all() for value in biases.values())
    # A dense layer's bias is multiplied as its weight is: a step on it counts a hundredth in the mapping.
    layer = network.mapping.fc0
    before = layer(torch.zeros(1, 6))
    with torch.no_grad():
        layer.bias += 1
    torch.testing.assert_close(layer(torch.zeros(1, 6)) - before, torch.full((1, 5), 0.01 * math.sqrt(2)))


@torch.no_grad()
def test_a_layer_keeps_the_second_moment_of_its_input():
    # E[(sqrt 2 lrelu(x))^2] = (1 + 0.2^2) for x ~ N(0, 1).
    torch.manual_seed(0)
    assert Dense(256, 256, active=True)(normal(512, 256)).square().mean() == pytest.approx(1.04, rel=0.03)
    assert Convolution(64, 64, 3)(normal(16, 64, 16, 16))[..., 1:-1, 1:-1].square().mean() == pytest.approx(
        1.04, rel=0.03
    )


def test_minibatch_deviation_by_hand():
    images = torch.zeros(4, 1, 1, 2)
    images[:, 0, 0] = torch.tensor([[0.0, 0], [2, 0], [5, 1], [5, 7]])
    # Neighbours: deviations (1, 0) of the first two and (0, 3) of the others; their means over pixels are 0.5 and 1.5.
    found = with_deviation(images, 2)
    assert found.shape == (4, 2, 1, 2)
    torch.testing.assert_close(found[:, :1], images)
    torch.testing.assert_close(found[:, 1, 0, 0], torch.tensor([0.5, 0.5, 1.5, 1.5]), atol=1e-4, rtol=0)
    assert (found[:, 1] == found[:, 1, :, :1]).all()
    # Interleaved: rows 0 and 2, with deviations (2.5, 0.5), and rows 1 and 3, with (1.5, 3.5).
    found = with_deviation(images, 2, interleaved=True)
    torch.testing.assert_close(found[:, 1, 0, 0], torch.tensor([1.5, 2.5, 1.5, 2.5]), atol=1e-4, rtol=0)
    # Fewer images than a group are one group.
    torch.testing.assert_close(with_deviation(images[:2], 4)[:, 1, 0, 0], torch.tensor([0.5, 0.5]), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="images: found 3 of them, allowed are multiples of the deviation's group, 2"):
        with_deviation(images[:3], 2)


def test_logits_are_those_of_a_batch_cut_into_groups():
    network, images = toy_discriminator(), normal(8, 3, 8, 8)
    whole = network(images)
    torch.testing.assert_close(torch.cat([network(part) for part in images.split(4)]), whole)
    assert not torch.allclose(network(images.flip(0)).flip(0)[:2], network(images[:2]))  # the group matters


def test_groups_of_the_published_discriminators_are_ours_of_another_order():
    # So published weights, trained on interleaved groups, go on with neighbouring ones to losses of the same law: the
    # images of a batch are exchangeable. Neighbours let a batch be cut for memory and processes.
    sizes = {"channel_base": 64, "channel_max": 8, "deviation_group": 4}
    neighbours, interleaved = Discriminator(8, **sizes), Discriminator(8, **sizes, interleaved=True)
    interleaved.load_state_dict(neighbours.state_dict())
    images = normal(12, 3, 8, 8)
    order = torch.arange(12).unflatten(0, (4, 3)).T.flatten()  # 0, 3, 6, 9, 1, 4, ...: the groups one after the other
    assert order[:4].tolist() == [0, 3, 6, 9]

    def logits_and_r1(network, batch):
        batch = batch.clone().requires_grad_()
        logits = network(batch)
        (gradient,) = torch.autograd.grad(logits.sum(), batch)
        return torch.cat([logits, gradient.square().sum((1, 2, 3))[:, None]], dim=1)

    found, published = logits_and_r1(neighbours, images[order]), logits_and_r1(interleaved, images)
    torch.testing.assert_close(found, published[order], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(logits_and_r1(neighbours, images), published, rtol=1e-3)


# -- whole networks, written down once more ----------------------------------------------------------------------------


class Plain:
    """Both networks as the papers say them, from named tensors: an image at a time, nothing folded, nothing shared."""

    def __init__(self, network: torch.nn.Module, clamp: float):
        self.of, self.clamp = dict(network.state_dict()), clamp

    def dense(self, name, vector, multiplier=1.0, active=False):
        weight, bias = self.of[f"{name}.weight"], self.of[f"{name}.bias"]
        return self.activated(vector @ weight.T * multiplier / math.sqrt(weight.shape[1]) + multiplier * bias, active)

    @staticmethod
    def activated(values, active=True):
        return math.sqrt(2) * torch.where(values > 0, values, 0.2 * values) if active else values

    def clamped(self, images):
        return images.clamp(-self.clamp, self.clamp)

    def mapped(self, parts, layers):
        normed = [part / (part.square().mean() + 1e-8).sqrt() for part in parts]
        w = torch.cat(normed)
        for index in range(layers):
            w = self.dense(f"mapping.fc{index}", w, 0.01, active=True)
        return w

    def filtered(self, images, padding, gain=1.0):
        before, after = padding
        padded = F.pad(images, (before, after, before, after)).flatten(0, 1)[:, None]
        filtered = F.conv2d(padded, resampling_filter().double()[None, None])
        return gain * filtered.unflatten(0, images.shape[:2]).squeeze(2)

    def layer(self, name, images, w, noise, doubling):
        name = f"synthesis.{name}"
        styles = self.dense(f"{name}.affine", w)[None]
        kernel = resampling_filter().double() if doubling else None
        convolved = naive(images, self.of[f"{name}.weight"], styles, kernel)
        shifted = convolved + self.of[f"{name}.noise_strength"] * noise + self.of[f"{name}.bias"][:, None, None]
        return self.clamped(self.activated(shifted))

    def colours(self, name, images, w):
        name = f"synthesis.{name}"
        weight = self.of[f"{name}.weight"]
        styles = self.dense(f"{name}.affine", w) / math.sqrt(weight.shape[1])
        convolved = F.conv2d(images, weight * styles[:, None, None], self.of[f"{name}.bias"])
        return self.clamped(convolved)

    def generated(self, z, label, noise, layers):
        w = self.mapped([z, self.dense("mapping.embed", label)], layers)
        noise = iter(noise)
        features = self.layer("b4.conv1", self.of["synthesis.b4.const"][None], w, next(noise), False)
        images = self.colours("b4.torgb", features, w)
        for size in (8, 16):
            features = self.layer(f"b{size}.conv0", features, w, next(noise), True)
            features = self.layer(f"b{size}.conv1", features, w, next(noise), False)
            apart = torch.zeros(1, images.shape[1], size, size, dtype=images.dtype)
            apart[..., ::2, ::2] = images
            images = self.filtered(apart, (2, 1), 4) + self.colours(f"b{size}.torgb", features, w)
        return images

    def convolved(self, name, images, padding=0, stride=1):
        weight = self.of[f"{name}.weight"]
        return F.conv2d(images, weight / math.sqrt(weight[0].numel()), self.of.get(f"{name}.bias"), stride, padding)

    def judged(self, images, labels, layers, residual):
        """Of a batch that is one group."""
        features = self.clamped(self.activated(self.convolved("b16.fromrgb", images)))
        gain = math.sqrt(0.5) if residual else 1
        for size in (16, 8):
            hidden = self.clamped(self.activated(self.convolved(f"b{size}.conv0", features, 1)))
            hidden = self.convolved(f"b{size}.conv1", self.filtered(hidden, (2, 2)), stride=2)
            hidden = gain * self.clamped(self.activated(hidden))
            if residual:
                skip = self.convolved(f"b{size}.skip", self.filtered(features, (1, 1))[..., ::2, ::2])
                hidden = hidden + gain * self.clamped(skip)
            features = hidden
        deviation = ((features - features.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        features = torch.cat([features, torch.ones_like(features[:, :1]) * deviation], dim=1)
        features = self.clamped(self.activated(self.convolved("b4.conv", features, 1))).flatten(1)
        features = self.dense("b4.out", self.dense("b4.fc", features, active=True))
        mapped = torch.stack([self.mapped([self.dense("mapping.embed", label)], layers) for label in labels])
        return (features * mapped).sum(1, keepdim=True) / math.sqrt(mapped.shape[1])


@pytest.mark.parametrize("clamp", [0.9, 256])  # the smaller one bounds about every tenth activation
def test_the_generator_is_what_the_papers_say(clamp):
    network = toy_generator(16, classes=3, clamp=clamp).double()
    z, labels, noise = normal(2, 6, dtype=torch.float64), one_hot(2, 3).double(), noise_for(network, 2, torch.float64)
    plain = Plain(network, clamp)
    expected = [
        plain.generated(z[row], labels[row], [values[row] for values in noise], network.mapping.layers)
        for row in range(2)
    ]
    assert distance(network(z, labels, noise), torch.cat(expected)) < 1e-12


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("clamp", [0.9, 256])
def test_the_discriminator_is_what_the_papers_say(clamp, residual):
    network = toy_discriminator(16, classes=3, clamp=clamp, residual=residual).double()
    images, labels = normal(4, 3, 16, 16, dtype=torch.float64), one_hot(4, 3).double()
    expected = Plain(network, clamp).judged(images, labels, network.mapping.layers, residual)
    assert distance(network(images, labels), expected) < 1e-12


# -- whole networks ----------------------------------------------------------------------------------------------------

# name: resolution, options of both networks, those of one, and millions of parameters
CONFIGURATIONS = {
    "cifar": (32, {}, {"mapping_layers": 2}, {"residual": False}, 19.95, 20.72),
    "64": (64, {"channel_base": 16384}, {"mapping_layers": 2}, {}, 22.24, 23.41),
    "128": (128, {"channel_base": 16384}, {"mapping_layers": 2}, {}, 22.95, 23.88),
    "paper256": (256, {"channel_base": 16384}, {}, {}, 24.77, 24.00),
    "config F": (1024, {}, {}, {}, 30.37, 29.01),
}


def counted(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def generator_parameters(resolution, channel_base=32768, channel_max=512, mapping_layers=8, width=512) -> int:
    """Counted layer by layer after Karras et al. 2020, figure 2, with the skips of figure 7."""

    def styled(inputs, outputs, size, extra):
        return width * inputs + inputs + outputs * inputs * size**2 + outputs + extra

    total, inputs = mapping_layers * (width * width + width), 0
    for level in range(2, int(math.log2(resolution)) + 1):
        channels = min(channel_base // 2**level, channel_max)
        total += styled(inputs, channels, 3, 1) if inputs else channels * 4 * 4
        total += styled(channels, channels, 3, 1) + styled(channels, 3, 1, 0)
        inputs = channels
    return total


def discriminator_parameters(resolution, channel_base=32768, channel_max=512, residual=True) -> int:
    def channels(level):
        return min(channel_base // 2**level, channel_max)

    top = int(math.log2(resolution))
    total = 3 * channels(top) + channels(top)
    for level in range(top, 2, -1):
        inputs, outputs = channels(level), channels(level - 1)
        total += inputs * inputs * 9 + inputs + inputs * outputs * 9 + outputs + residual * inputs * outputs
    width = channels(2)
    return total + (width + 1) * width * 9 + width + width * 16 * width + width + width + 1


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_parameters_of_the_published_configurations_are_as_many(name):
    resolution, both, for_generator, for_discriminator, *millions = CONFIGURATIONS[name]
    with torch.device("meta"):
        generator = Generator(resolution, **both, **for_generator)
        discriminator = Discriminator(resolution, **both, **for_discriminator)
    assert counted(generator) == generator_parameters(resolution, **both, **for_generator)
    assert counted(discriminator) == discriminator_parameters(resolution, **both, **for_discriminator)
    assert counted(generator) / 1e6 == pytest.approx(millions[0], abs=0.006)
    assert counted(discriminator) / 1e6 == pytest.approx(millions[1], abs=0.006)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_images_and_logits_of_every_resolution(resolution):
    with torch.device("meta"):
        generator = Generator(resolution, classes=10, colours=1)
        discriminator = Discriminator(resolution, classes=10, colours=1)
        labels = torch.zeros(4, 10)
        w = generator.mapping(torch.zeros(4, 512), labels)
        assert generator.num_ws == 2 * math.log2(resolution) - 2
        ws = generator.truncate(w, 0.5, 3)
        assert ws.shape == (4, generator.num_ws, 512)
        noise = [torch.zeros(4, *shape) for shape in generator.noise_shapes]
        assert [shape[1] for shape in generator.noise_shapes] == [4, *(2 ** (n // 2) for n in range(6, len(noise) + 5))]
        images = generator.synthesis(ws, noise)
        assert images.shape == (4, 1, resolution, resolution)
        assert discriminator(images, labels).shape == (4, 1)


@pytest.mark.parametrize("resolution", [0, 4, 24, 2048])
def test_other_resolutions_are_refused(resolution):
    for kind in (Generator, Discriminator):
        with pytest.raises(ValueError, match=f"resolution: found {resolution}, allowed are the powers of two from 8"):
            kind(resolution, **TOY)


def test_too_few_channels_for_the_resolution_are_refused():
    for kind in (Generator, Discriminator):
        with pytest.raises(ValueError, match="channel_base: found 8, allowed are numbers from the resolution, 16, up"):
            kind(16, channel_base=8)


def test_z_matters_by_its_direction_alone_and_every_layer_hears_its_w():
    network = toy_generator(16)
    z = normal(2, 6)
    torch.testing.assert_close(network.mapping(z), network.mapping(3 * z), atol=1e-5, rtol=1e-5)
    ws = network.truncate(network.mapping(z)).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network.synthesis(ws).square().sum(), ws)
    assert (gradient.abs().sum(2) > 1e-4).all()
    # Colours of a block take the w of the next block's first convolution: the last w is that of the last colours alone.
    changed = ws.detach().clone()
    changed[:, -1] += 1
    with torch.no_grad():
        assert not torch.allclose(network.synthesis(changed), network.synthesis(ws))


def test_noise_is_heard_by_its_strength_and_each_image_has_its_own():
    network = toy_generator(16)
    ws = network.truncate(network.mapping(normal(2, 6)))
    stored = network.stored_noise()
    assert [tuple(noise.shape[1:]) for noise in stored] == network.noise_shapes
    own = [noise.expand(2, -1, -1, -1) for noise in stored]
    torch.testing.assert_close(network.synthesis(ws, own), network.synthesis(ws, stored))
    for index in range(len(stored)):
        other = [noise + (position == index) for position, noise in enumerate(stored)]
        assert not torch.allclose(network.synthesis(ws, other), network.synthesis(ws, stored))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.zero_()
    torch.testing.assert_close(network.synthesis(ws, stored), network.synthesis(ws))


def test_truncation_goes_from_w_to_the_mean_in_the_first_layers():
    network = toy_generator(16)
    w, mean = network.mapping(normal(3, 6)), network.mapping.w_avg
    ws = network.truncate(w, 0.25, cutoff=2)
    torch.testing.assert_close(ws[:, :2], (mean + 0.25 * (w - mean))[:, None].expand(-1, 2, -1))
    assert (ws[:, 2:] == w[:, None]).all()
    assert (network.truncate(w) == w[:, None]).all()
    torch.testing.assert_close(network.truncate(w, 0)[:, 0], mean.expand(3, -1))


def test_labels_steer_both_networks():
    generator, discriminator = toy_generator(classes=3), toy_discriminator(classes=3)
    z, first, second = normal(4, 6), one_hot(4, 3), one_hot(4, 3).roll(1, 1)
    images = generator(z, first)
    assert not torch.allclose(images, generator(z, second))
    assert not torch.allclose(discriminator(images, first), discriminator(images, second))
    # The logit is linear in the mapped label's direction: the product of the features with it, over sqrt(width).
    with torch.no_grad():
        features = {}
        handle = discriminator.b4.register_forward_hook(lambda module, inputs, output: features.update(b4=output))
        logits = discriminator(images, first)
        handle.remove()
        expected = (features["b4"] * discriminator.mapping(None, first)).sum(1, keepdim=True) / math.sqrt(8)
    torch.testing.assert_close(logits, expected)
    # The label's vector is normalised, so its length does not matter.
    with torch.no_grad():
        for network in (generator, discriminator):
            network.mapping.embed.weight *= 3
            network.mapping.embed.bias *= 3
    torch.testing.assert_close(generator(z, first), images, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("residual", [True, False])
def test_r1_s_gradients_are_those_of_finite_differences(residual):
    network = toy_discriminator(residual=residual, deviation_group=2, classes=2).double()
    images, labels = normal(2, 3, 8, 8, dtype=torch.float64).requires_grad_(), one_hot(2, 2).double()

    def penalty(create_graph: bool = False) -> torch.Tensor:
        logits = network(images, labels)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=create_graph)
        return gradient.square().sum((1, 2, 3)).mean()

    _check_against_differences(network, penalty)


def test_path_length_gradients_are_those_of_finite_differences():
    network = toy_generator(classes=2).double()
    z, labels, noise = normal(2, 6, dtype=torch.float64), one_hot(2, 2).double(), noise_for(network, 2, torch.float64)
    direction = normal(2, 3, 8, 8, seed=6, dtype=torch.float64) / 8

    def penalty(create_graph: bool = False) -> torch.Tensor:
        ws = network.truncate(network.mapping(z, labels))
        images = network.synthesis(ws, noise)
        (gradient,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=create_graph)
        return (gradient.square().sum(2).mean(1).sqrt() - 0.3).square().mean()

    _check_against_differences(network, penalty)


def _check_against_differences(network: torch.nn.Module, penalty) -> None:
    """The gradient of a penalty along three random directions against central differences.

    The penalty has kinks where an activation changes its sign. A step of 1e-7 rarely meets one, and its own error is
    about 1e-16 / 1e-7 relative to the penalty.
    """
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(penalty(create_graph=True), parameters, materialize_grads=True)
    step = 1e-7
    for seed in range(3):
        directions = [normal(*value.shape, seed=seed + 7, dtype=torch.float64) for value in parameters]
        expected = sum((one * two).sum() for one, two in zip(gradients, directions, strict=True))

        def at(distance: float, directions=directions) -> torch.Tensor:
            with torch.no_grad():
                for value, direction in zip(parameters, directions, strict=True):
                    value += distance * direction
            return penalty().detach()

        above, below = at(step), at(-2 * step)
        at(step)
        assert ((above - below) / (2 * step)).item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-8)


def test_bfloat16_is_as_near_as_its_eight_bits_allow():
    generator, discriminator = toy_generator(16, classes=3), toy_discriminator(16, classes=3)
    z, labels, noise = normal(4, 6), one_hot(4, 3), noise_for(generator, 4)
    exact = generator(z, labels, noise)
    logits = discriminator(exact, labels)
    with torch.autocast("cpu", torch.bfloat16):
        w = generator.mapping(z, labels)
        images = generator(z, labels, noise)
        found = discriminator(exact, labels)
    assert torch.equal(w, generator.mapping(z, labels))  # the mapping is in float32
    assert images.dtype == found.dtype == torch.float32
    assert 1e-4 < distance(images, exact) < 0.02  # a step of bfloat16 is 2^-8
    assert 1e-5 < distance(found, logits) < 0.05
    for network, output in ((generator, images), (discriminator, found)):
        gradients = torch.autograd.grad(output.square().sum(), list(network.parameters()), materialize_grads=True)
        assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)


# -- the convolution of a GPU, here on a CPU ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "padding", "transposed"), [(1, 1, False), (2, 0, False), (2, 0, True), (1, 0, True)]
)
def test_convolutions_written_by_hand_have_the_gradients_of_torchs(stride, padding, transposed, monkeypatch):
    monkeypatch.setattr(layers, "_by_hand", lambda images: True)
    images = normal(2, 3, 7, 7).double().requires_grad_()
    weight = normal(*((3, 4) if transposed else (4, 3)), 3, 3).double().requires_grad_()
    bias = normal(4).double().requires_grad_()

    def convolved(images, weight, bias):
        return layers.convolved(images, weight, bias, stride=stride, padding=padding, transposed=transposed)

    plain = F.conv_transpose2d if transposed else F.conv2d
    torch.testing.assert_close(convolved(images, weight, bias), plain(images, weight, bias, stride, padding))
    assert torch.autograd.gradcheck(convolved, (images, weight, bias))
    assert torch.autograd.gradgradcheck(convolved, (images, weight, bias))


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_network_with_them_has_the_same_gradients_of_gradients(kind, precision, monkeypatch):
    """As in R1 and in the path length. Of bfloat16, a step of which is 2^-8, gradients of gradients are far coarser."""
    network = toy_generator() if kind is Generator else toy_discriminator()
    given = normal(4, 6) if kind is Generator else normal(4, 3, 8, 8)

    def penalty() -> list[torch.Tensor]:
        inputs = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            (gradient,) = torch.autograd.grad(network(inputs).float().square().sum(), inputs, create_graph=True)
        parameters = list(network.parameters())
        return torch.autograd.grad(gradient.square().sum(), parameters, materialize_grads=True)

    plain = torch.cat([gradient.flatten() for gradient in penalty()])
    monkeypatch.setattr(layers, "_by_hand", lambda images: True)
    found = torch.cat([gradient.flatten() for gradient in penalty()])
    assert found.dtype == torch.float32
    assert distance(found, plain) < (1e-5 if precision == torch.float32 else 0.05)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
def test_a_network_compiles_in_one_piece_to_the_same_numbers_and_gradients(kind):
    network = toy_generator(classes=3) if kind is Generator else toy_discriminator(classes=3)
    inputs = (normal(4, 6), one_hot(4, 3)) if kind is Generator else (normal(4, 3, 8, 8), one_hot(4, 3))
    if kind is Generator:
        inputs = (*inputs, noise_for(network, 4))
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    found, expected = compiled(*inputs), network(*inputs)
    torch.testing.assert_close(found, expected)
    parameters = list(network.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), parameters, materialize_grads=True),
        torch.autograd.grad(expected.square().sum(), parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_activations_are_clamped_everywhere():
    generator, discriminator = toy_generator(16, clamp=0.1), toy_discriminator(16, clamp=0.1)
    largest = []

    def note(module, inputs, output):
        largest.append((output.abs().max().item(), type(module).__name__))

    for network in (generator, discriminator):
        for module in network.modules():
            if type(module).__name__ in ("StyledConvolution", "ToColours", "Convolution"):
                module.register_forward_hook(note)
    images = generator(normal(4, 6))
    discriminator(images * 10)
    assert len(largest) == 5 + 3 + 8
    assert max(largest)[0] <= 0.1 + 1e-6
    assert images.abs().max() <= 3 * 0.1 * 4  # three blocks' colours, each doubled with a filter of gain 1
