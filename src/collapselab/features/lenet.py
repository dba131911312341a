"""A classifier of the study's own: small, trained on the real training split, and so at home in any images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.images import to_unit
from ..core.progress import counted
from ..core.seeds import generator
from .base import Features, Weights

EXTRACT_BATCH = 256  # fixed and padded: a network's rounding depends on its batch size, a feature must not


class LeNetOptions(BaseModel):
    """How the LeNet is built and trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(32, ge=1, description="channels of the first convolution; later ones have twice as many")
    features: int = Field(84, ge=1, description="units of the penultimate layer, which are the features")
    epochs: int = Field(30, ge=1, description="passes over the training images")
    batch_size: int = Field(64, ge=1, description="images a step")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's step size at the start; it falls to 0 along a cosine")


def lenet(data: np.ndarray, weights: Weights | None = None) -> Features:
    """The penultimate layer of a trained LeNet, (n, features) float32, and its opinion on the class.

    In numpy: importing torch takes longer than to look at ten thousand small images.

    data: (n, C, H, W) uint8. weights: from :func:`train_lenet`. A row's features do not depend on how many rows are
    given with it. Raises ValueError without weights, or when the images are not of the shape that they were trained on.
    """
    if weights is None:
        raise ValueError("weights: found None, lenet needs those that train_lenet returns")
    shape = tuple(int(side) for side in weights["image_shape"])
    if data.shape[1:] != shape:
        raise ValueError(f"data: found images of shape {data.shape[1:]}, the lenet was trained on {shape}")
    values = np.empty((len(data), len(weights["hidden.bias"])), np.float32)
    probabilities = np.empty((len(data), len(weights["classes.bias"])), np.float32)
    for start in counted(range(0, len(data), EXTRACT_BATCH), "batches"):
        rows = slice(start, min(start + EXTRACT_BATCH, len(data)))
        batch = np.zeros((EXTRACT_BATCH, *shape), np.float32)
        batch[: rows.stop - start] = to_unit(data[rows])
        hidden = _hidden_layer(weights, batch)
        values[rows] = hidden[: rows.stop - start]
        logits = hidden @ weights["classes.weight"].T + weights["classes.bias"]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities[rows] = (shares / shares.sum(axis=1, keepdims=True))[: rows.stop - start]
    return Features(values, probabilities.argmax(axis=1), probabilities)


def _hidden_layer(weights: Weights, images: np.ndarray) -> np.ndarray:
    """The same layers as :func:`_logits`, up to the hidden one: (n, C, H, W) float32 to (n, features) float32."""
    for stage in range(_stages(weights)):
        weight, bias = weights[f"convolution{stage}.weight"], weights[f"convolution{stage}.bias"]
        padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
        count, height, width = windows.shape[:3]
        maps = windows.reshape(count * height * width, -1) @ weight.reshape(len(weight), -1).T + bias
        maps = np.maximum(maps, 0).reshape(count, height, width, -1)[:, : height // 2 * 2, : width // 2 * 2]
        pooled = maps.reshape(count, height // 2, 2, width // 2, 2, -1).max(axis=(2, 4))
        images = pooled.transpose(0, 3, 1, 2)
    return np.maximum(images.reshape(len(images), -1) @ weights["hidden.weight"].T + weights["hidden.bias"], 0)


def _stages(weights: Mapping[str, Any]) -> int:
    return sum(name.startswith("convolution") and name.endswith(".weight") for name in weights)


def train_lenet(
    data: np.ndarray,
    labels: np.ndarray,
    seed: int,
    options: LeNetOptions | None = None,
    *,
    held_out: tuple[np.ndarray, np.ndarray],
    device: str = "cpu",
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights of a LeNet that classifies images, and how well it does: held_out_accuracy, train_accuracy, options.

    Stages of convolution 3x3, ReLU and max-pooling 2x2 (two at least, and more until a side is 4 or less), a hidden
    layer whose units are the features, and a linear layer to the classes (LeCun et al. 1998, with today's parts).

    data: (n, C, H, W) uint8 with sides of at least 8. labels: (n,) int64 from 0. held_out: images and labels that
    accuracy is measured on and nothing is trained on. The same seed gives the same bits on one kind of machine with
    one number of threads. Raises ValueError for smaller images or missing labels.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from ..engine.optim import Adam

    options = options or LeNetOptions()
    for role, part, part_labels in (("data", data, labels), ("held_out", *held_out)):
        if part_labels is None or len(part_labels) != len(part) or not len(part):
            found = "none" if part_labels is None else len(part_labels)
            raise ValueError(
                f"{role}: found {found} labels for {len(part)} images, allowed is one for each of at least 1"
            )
    if data.ndim != 4 or min(data.shape[2:]) < 8:
        raise ValueError(f"data: found shape {data.shape}, allowed are (n, C, H, W) images with sides of at least 8")

    random = generator(seed)
    weights = _initial_lenet(random, data.shape[1:], int(labels.max()) + 1, options)
    parameters = {name: torch.from_numpy(array).to(device).requires_grad_() for name, array in weights.items()}
    adam = Adam(parameters.values(), options.learning_rate)
    images, targets = torch.from_numpy(to_unit(data)).to(device), torch.from_numpy(np.array(labels)).to(device)
    step, steps = 0, options.epochs * -(-len(data) // options.batch_size)
    with _repeatable_convolutions():
        for _ in counted(range(options.epochs), "epochs"):
            for rows in torch.from_numpy(random.permutation(len(data))).to(device).split(options.batch_size):
                adam.lr = options.learning_rate * (1 + np.cos(np.pi * step / steps)) / 2
                loss = cross_entropy(_logits(parameters, images[rows]), targets[rows])
                adam.step(torch.autograd.grad(loss, adam.parameters))
                step += 1

    trained = {name: tensor.detach().cpu().numpy() for name, tensor in parameters.items()}
    trained["image_shape"] = np.array(data.shape[1:])
    return trained, {
        "held_out_accuracy": _accuracy(held_out[0], held_out[1], trained),
        "train_accuracy": _accuracy(data, labels, trained),
        "options": options.model_dump(),
    }


def _accuracy(data: np.ndarray, labels: np.ndarray, weights: Weights) -> float:
    return float(np.mean(lenet(data, weights).classes == labels))


def _initial_lenet(
    random: np.random.Generator, shape: tuple[int, ...], class_count: int, options: LeNetOptions
) -> dict[str, np.ndarray]:
    """He's initialisation (He et al. 2015, eq. 10): normal weights of variance 2 / fan-in, biases 0."""
    channels, height, width = shape
    shapes: dict[str, tuple[int, ...]] = {}
    stage = 0
    while stage < 2 or min(height, width) > 4:
        wider = options.width * min(stage + 1, 2)
        shapes[f"convolution{stage}"] = (wider, channels, 3, 3)
        channels, height, width, stage = wider, height // 2, width // 2, stage + 1
    shapes["hidden"] = (options.features, channels * height * width)
    shapes["classes"] = (class_count, options.features)
    weights = {}
    for name, size in shapes.items():
        deviation = np.sqrt(2 / np.prod(size[1:]))
        weights[f"{name}.weight"] = (deviation * random.standard_normal(size)).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(size[0], np.float32)
    return weights


def _logits(weights: Mapping[str, Any], images: Any) -> Any:
    """The logits (n, classes) of (n, C, H, W) images in [-1, 1], as torch differentiates them."""
    from torch.nn.functional import conv2d, linear, max_pool2d

    for stage in range(_stages(weights)):
        weight, bias = weights[f"convolution{stage}.weight"], weights[f"convolution{stage}.bias"]
        images = max_pool2d(conv2d(images, weight, bias, padding=1).relu(), 2)
    hidden = linear(images.flatten(1), weights["hidden.weight"], weights["hidden.bias"]).relu()
    return linear(hidden, weights["classes.weight"], weights["classes.bias"])


def _repeatable_convolutions() -> Any:
    """On a GPU, convolutions that give the same bits each time, in full float32; elsewhere nothing changes."""
    import torch

    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
