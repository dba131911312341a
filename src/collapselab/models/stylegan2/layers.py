"""Layers of StyleGAN2: resampling, equalised dense and convolutional layers, modulated convolution.

Sources: Karras et al. 2020 (StyleGAN2, https://arxiv.org/abs/1912.04958) and Karras et al. 2018 (equalised learning
rate and minibatch deviation, https://arxiv.org/abs/1710.10196).

Everything here is made of operators that PyTorch can differentiate twice, on any device: the R1 and path-length terms
are gradients of gradients. Under ``torch.autocast`` convolutions run in its type, while styles, demodulation factors
and the minibatch deviation are computed in the type of the weights.
"""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn import functional as F

TAPS = (1, 3, 3, 1)  # the resampling filter in one direction; it is symmetric
SLOPE = 0.2  # of the leaky ReLU
GAIN = math.sqrt(2)  # of the leaky ReLU: it keeps the second moment of a normal input, nearly
TINY = 1e-8  # under every root


def not_autocast(tensor: torch.Tensor) -> AbstractContextManager:
    """A context in which operators on the tensor's device keep the types of their inputs."""
    device = tensor.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):  # meta has none, and entering takes its time
        return nullcontext()
    return torch.autocast(device, enabled=False)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """The rows of ``vectors`` (B, width) divided by their root mean square."""
    return vectors * (vectors.square().mean(1, keepdim=True) + TINY).rsqrt()


def activated(images: torch.Tensor, clamp: float | None = None) -> torch.Tensor:
    """leaky ReLU of slope 0.2, then clamped to +-clamp. It may write into ``images``.

    The activation's gain is the caller's: lrelu is homogeneous, so a gain on weights and bias is one on the output.
    """
    images = F.leaky_relu_(images, SLOPE)
    return images if clamp is None else images.clamp(-clamp, clamp)


def laid_out(images: torch.Tensor) -> torch.Tensor:
    """The same images, channels last in memory on a CPU, where convolutions are then faster; elsewhere as they are."""
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else images


# -- resampling --------------------------------------------------------------------------------------------------------


def resampling_filter() -> torch.Tensor:
    """The filter f (4, 4): the outer product of [1, 3, 3, 1], with sum 1."""
    taps = torch.tensor(TAPS, dtype=torch.float32) / sum(TAPS)
    return torch.outer(taps, taps)


def resample(
    images: torch.Tensor, kernel: torch.Tensor, *, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0)
) -> torch.Tensor:
    """``images`` (B, C, H, W) with zeros put between pixels, zero-padded, filtered, and thinned out.

        y[m] = sum over i of x[i] kernel[3 + down m - before - up i]          in each direction

    ``up`` - 1 zeros follow every pixel; padding: (before, after) in rows and in columns, each 0 to 3; of the filtered
    pixels every ``down``-th is kept: (up H + before + after - 4) // down + 1 rows. At most one of ``up`` and ``down``
    is 2, and H = W. kernel: (4, 4), symmetric; a constant, to which no gradient flows. The type is that of the images.
    """
    return _Resample.apply(images, kernel, up, down, *padding)


class _Resample(torch.autograd.Function):
    """Resampling is linear, so its gradient is a resampling: the sum above read from m to i, with up and down swapped.

    PyTorch's own gradient of a depthwise convolution is slower, and the gradient of that one goes channel by channel.
    """

    @staticmethod
    def forward(
        context, images: torch.Tensor, kernel: torch.Tensor, up: int, down: int, before: int, after: int
    ) -> torch.Tensor:
        context.save_for_backward(kernel)
        context.sizes = up, down, before, images.shape[2]
        channels = images.shape[1]
        with not_autocast(images):
            weight = kernel.to(images.dtype).expand(channels, 1, 4, 4)
            if up == 1:
                if before != after:
                    images, before = F.pad(images, (before, after, before, after)), 0
                return F.conv2d(images, weight, stride=down, padding=before, groups=channels)
            # A transposed convolution gives 2 (H - 1) + 4 rows: 3 - before are too many above, 2 - after below.
            cut, more = 3 - before, after - before + 1
            return F.conv_transpose2d(images, weight, stride=up, padding=cut, output_padding=more, groups=channels)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (kernel,) = context.saved_tensors
        up, down, before, height = context.sizes
        # The rows below that the result did not reach, or not in full, are the padding that gives back the height.
        after = up * (height - 1) + 1 + before - down * gradient.shape[2]
        return _Resample.apply(gradient, kernel, down, up, 3 - before, after), None, None, None, None, None


# -- convolution -------------------------------------------------------------------------------------------------------


def convolved(
    images: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    transposed: bool = False,
) -> torch.Tensor:
    """``F.conv2d`` or, ``transposed``, ``F.conv_transpose2d``, whose gradient's gradient is not slow on a GPU."""
    if not _by_hand(images):
        return (F.conv_transpose2d if transposed else F.conv2d)(images, weight, bias, stride, padding)
    device = images.device.type
    if torch.is_autocast_enabled(device):
        images, weight = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (images, weight))
    images = _Convolution.apply(images, weight, stride, padding, transposed)
    return images if bias is None else images.add_(bias.to(images.dtype)[:, None, None])


def _by_hand(images: torch.Tensor) -> bool:
    """Whether gradients are those written here: on a GPU, where they may be needed and nothing is being compiled."""
    return images.device.type == "cuda" and torch.is_grad_enabled() and not torch.compiler.is_compiling()


class _Convolution(torch.autograd.Function):
    """A convolution is linear in images and in weights, and so are its two gradients: they are each other's gradients.

    PyTorch's own gradient of a gradient convolves the features of all images with a kernel of the size of an image,
    for which cuDNN has no fast algorithm; here it is one more gradient towards the weights.
    """

    @staticmethod
    def forward(
        context, images: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, transposed: bool
    ) -> torch.Tensor:
        context.save_for_backward(images, weight)
        context.how = stride, padding, transposed
        with not_autocast(images):
            return (F.conv_transpose2d if transposed else F.conv2d)(images, weight, None, stride, padding)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (images, weight), wanted = context.saved_tensors, context.needs_input_grad
        towards_images = _TowardsImages.apply(gradient, weight, images.shape, *context.how) if wanted[0] else None
        towards_weight = _TowardsWeight.apply(gradient, images, weight.shape, *context.how) if wanted[1] else None
        return towards_images, towards_weight, None, None, None


class _TowardsImages(torch.autograd.Function):
    """The gradient of a convolution towards its images: linear in the gradient of its result, and in the weights."""

    @staticmethod
    def forward(context, gradient, weight, shape, *how) -> torch.Tensor:
        context.save_for_backward(gradient, weight)
        context.how = how
        return _gradients(gradient, gradient.new_zeros(()).expand(shape), weight, (True, False, False), *how)[0]

    @staticmethod
    def backward(context, images: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient, weight), wanted = context.saved_tensors, context.needs_input_grad
        towards_gradient = _Convolution.apply(images, weight, *context.how) if wanted[0] else None
        towards_weight = _TowardsWeight.apply(gradient, images, weight.shape, *context.how) if wanted[1] else None
        return towards_gradient, towards_weight, None, None, None, None


class _TowardsWeight(torch.autograd.Function):
    """The gradient of a convolution towards its weights: linear in the gradient of its result, and in the images."""

    @staticmethod
    def forward(context, gradient, images, shape, *how) -> torch.Tensor:
        context.save_for_backward(gradient, images)
        context.how = how
        return _gradients(gradient, images, gradient.new_zeros(()).expand(shape), (False, True, False), *how)[1]

    @staticmethod
    def backward(context, weight: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient, images), wanted = context.saved_tensors, context.needs_input_grad
        towards_gradient = _Convolution.apply(images, weight, *context.how) if wanted[0] else None
        towards_images = _TowardsImages.apply(gradient, weight, images.shape, *context.how) if wanted[1] else None
        return towards_gradient, towards_images, None, None, None, None


def _gradients(gradient, images, weight, wanted, stride: int, padding: int, transposed: bool) -> tuple:
    """Of a convolution's images, weights and bias, where wanted; what is not needed may be zeros of the right shape."""
    sides = [stride] * 2, [padding] * 2, [1] * 2
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, None, *sides, transposed, [0] * 2, 1, list(wanted)
    )


# -- equalised learning rate -------------------------------------------------------------------------------------------


class Dense(nn.Module):
    """A dense layer with an equalised learning rate: (B, inputs) -> (B, outputs).

        y = m (W x / sqrt(inputs) + b),  W ~ N(0, 1 / m^2) at the start, and b = ``bias`` / m

    with m the ``multiplier`` of the learning rate (Karras et al. 2018, section 4.1). ``active``: sqrt(2) lrelu(y).
    """

    def __init__(self, inputs: int, outputs: int, *, active: bool = False, multiplier: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.active = active
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full([outputs], bias / multiplier))
        gain = multiplier * GAIN if active else multiplier
        self.weight_gain, self.bias_gain = gain / math.sqrt(inputs), gain

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        vectors = torch.addmm(self.bias, vectors, self.weight.t(), beta=self.bias_gain, alpha=self.weight_gain)
        return activated(vectors) if self.active else vectors


class Convolution(nn.Module):
    """A convolution with an equalised learning rate, which keeps or halves height and width.

        y = gain act(W * x / sqrt(inputs k^2) + b),  W ~ N(0, 1),  act = sqrt(2) lrelu

    k: ``size``. Without ``active`` it is linear and without bias. Halving filters first: a 1 x 1 kernel sees every
    second filtered pixel, a 3 x 3 kernel the filtered pixels with a stride of 2.
    clamp: bound of the activations, before ``gain``; None for none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        active: bool = True,
        halving: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ):
        super().__init__()
        self.active, self.halving, self.size = active, halving, size
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.register_buffer("resample_filter", resampling_filter())
        self.bias_gain = gain * GAIN if active else gain
        self.weight_gain = self.bias_gain / math.sqrt(inputs * size**2)
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stride, padding = 1, self.size // 2
        if self.halving:
            images = resample(
                images, self.resample_filter, down=2 if self.size == 1 else 1, padding=(self.size // 2 + 1,) * 2
            )
            stride, padding = 1 if self.size == 1 else 2, 0
        bias = None if self.bias is None else self.bias * self.bias_gain
        images = convolved(images, self.weight * self.weight_gain, bias, stride=stride, padding=padding)
        if self.active:
            return activated(images, self.clamp)
        return images if self.clamp is None else images.clamp(-self.clamp, self.clamp)


# -- modulated convolution ---------------------------------------------------------------------------------------------


def demodulation(weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    """1 / the norm of each output's modulated kernel (B, O), for weight (O, I, k, k) and styles (B, I).

        d[b, o] = (sum over i, k of (s[b, i] W[o, i, k])^2 + 1e-8)^(-1/2) = (s^2 (sum over k of W^2)^T + 1e-8)^(-1/2)

    (Karras et al. 2020, equation 3): one small matrix product instead of a kernel per sample.
    """
    return torch.addmm(styles.new_full((), TINY), styles.square(), weight.square().sum((2, 3)).t()).rsqrt()


def modulated(
    images: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, doubling_filter: torch.Tensor | None = None
) -> torch.Tensor:
    """``images`` (B, I, H, W) convolved with each sample's kernel W[o, i] s[b, i]: (B, O, H, W), not demodulated.

    Scaling the inputs is the same as scaling the kernels (Karras et al. 2020, section 2.2), and keeps one kernel for
    all samples. With a ``doubling_filter`` f (4, 4) height and width are doubled: a transposed convolution of stride 2,
    smoothed with 4 f.
    """
    images = images * styles.to(images.dtype)[:, :, None, None]
    if doubling_filter is None:
        return convolved(images, weight, padding=weight.shape[2] // 2)
    images = convolved(images, weight.transpose(0, 1), stride=2, transposed=True)
    return resample(images, doubling_filter * 4, padding=(1, 1))


class StyledConvolution(nn.Module):
    """A layer of the synthesis network: modulated 3 x 3 convolution, noise, bias, activation.

        y = sqrt(2) lrelu(d (W * (s x)) + strength noise + b),  s = affine(w)

    images (B, inputs, H, W), w (B, w_width), noise: (B or 1, 1, r, r), or None for none -> (B, outputs, r, r), with r
    the layer's ``resolution``: H, or 2 H if it is ``doubling``. ``noise_const`` is the noise that is always the same.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resolution: int,
        w_width: int,
        *,
        doubling: bool = False,
        clamp: float | None = None,
    ):
        super().__init__()
        self.doubling, self.clamp = doubling, clamp
        self.affine = Dense(w_width, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", resampling_filter())

    def forward(self, images: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        with not_autocast(w):
            styles = self.affine(w)
            factors = demodulation(self.weight, styles) * GAIN
        images = modulated(images, self.weight, styles, self.resample_filter if self.doubling else None)
        bias = (self.bias * GAIN).to(images.dtype)[:, None, None]
        images = torch.addcmul(bias, images, factors.to(images.dtype)[:, :, None, None])
        if noise is not None:
            images = images.add_((noise * (self.noise_strength * GAIN)).to(images.dtype))
        return activated(images, self.clamp)


class ToColours(nn.Module):
    """Features as colours: a modulated 1 x 1 convolution without demodulation, linear, with bias.

    images (B, inputs, H, W), w (B, w_width) -> (B, colours, H, W), in the type of w.
    """

    def __init__(self, inputs: int, colours: int, w_width: int, *, clamp: float | None = None):
        super().__init__()
        self.clamp = clamp
        self.affine = Dense(w_width, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(colours, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(colours))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, images: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        with not_autocast(w):
            styles = self.affine(w)
            # Few colours: here a kernel per sample is small, and spares a pass over the features.
            kernels = self.weight[:, :, 0, 0] * (styles * self.gain)[:, None, :]
        colours = torch.baddbmm(self.bias[:, None], kernels, images.flatten(2)).unflatten(2, images.shape[2:])
        return (colours if self.clamp is None else colours.clamp(-self.clamp, self.clamp)).to(w.dtype)


# -- minibatch deviation -----------------------------------------------------------------------------------------------


def with_deviation(images: torch.Tensor, group: int, interleaved: bool = False) -> torch.Tensor:
    """``images`` (B, C, H, W) with one more channel: how much its group of images differs (B, C + 1, H, W).

    The channel is constant: the standard deviation over the group, averaged over channels and pixels (Karras et al.
    2018, section 3). Groups are of ``group`` neighbouring images, or of all if there are fewer: then a batch gives the
    same when it is cut into multiples of ``group``. ``interleaved``: image i is in the group i mod (B / group), as with
    the published discriminators. That is the same map of a batch in another order, so that for training, where the
    images of a batch are drawn one like the other, it makes no difference, also to published weights; it makes one to
    the logits of a given batch in a given order.

    Raises ValueError if the groups do not fill the batch.
    """
    count = len(images)
    group = min(group, count)
    if count % group:
        raise ValueError(f"images: found {count} of them, allowed are multiples of the deviation's group, {group}")
    groups = images.unflatten(0, (group, -1)).transpose(0, 1) if interleaved else images.unflatten(0, (-1, group))
    deviation = (groups.var(1, correction=0) + TINY).sqrt().mean((1, 2, 3))  # (B / group,)
    channel = deviation.repeat(group) if interleaved else deviation[:, None].expand(-1, group).flatten()
    return torch.cat([images, channel[:, None, None, None].expand(-1, 1, *images.shape[2:])], dim=1)
