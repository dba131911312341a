"""The laws of what some models can do beside being sampled (:mod:`collapselab.models.capabilities`)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.ask import Ask
from ..core.sets import TrainingSet
from ..models.capabilities import Counts, Denoises, Discriminates, Inverts, Scores, Trainable, Varies, Weighted
from .said import differing, law, refused, same

LABELS = np.array([1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1], np.int64)


def check_scores(name: str, model: Scores, training: TrainingSet) -> None:
    """Hold that a likelihood is each row's own, and one on rows that the model was fitted to."""
    data = training.data[:12]
    whole = model.log_likelihood(data, 3, steps=4)
    law(
        whole.shape == (12,) and whole.dtype == np.float64,
        f"{name}: log_likelihood of 12 rows is {whole.dtype} of shape {whole.shape}, asked is float64 of shape (12,)",
    )
    likely = np.isfinite(whole).any() or np.isnan(whole).all()
    law(
        likely and not np.isposinf(whole).any(),
        f"{name}: log_likelihood of rows that it was fitted to is {whole.tolist()}; it is -inf where the law gives "
        "none, and nan only where it has no density",
    )
    rows = np.array([11, 5, 5, 7])
    part = model.log_likelihood(data[rows], 3, steps=4)
    law(
        np.allclose(part, whole[rows], rtol=1e-12, atol=0, equal_nan=True),
        f"{name}: the log_likelihood of a row hangs from the rows beside it, or from their order",
    )


def check_weighted(name: str, model: Weighted, training: TrainingSet) -> None:
    """Hold that weights can be taken and exchanged, and that nothing else is exchanged with them."""
    weights, asked = model.weights(), Ask(5, 1)
    allowed = np.float32 if model.uses_torch else np.float64
    wrong = [part for part, array in weights.items() if array.dtype != allowed]
    law(not wrong, f"{name}: weights {wrong!r} are not {np.dtype(allowed)}")
    alike = model.with_weights(dict(weights))
    law(
        type(alike) is type(model) and alike.options == model.options,
        f"{name}: with_weights gave another kind of model",
    )
    law(
        same(alike.sample(asked).data, model.sample(asked).data),
        f"{name}: with its own weights it samples otherwise; with_weights(weights()) is the same model to the last bit",
    )
    doubled = model.with_weights({part: 2.0 * array.astype(np.float64) for part, array in weights.items()})
    law(
        not same(doubled.sample(asked).data, model.sample(asked).data),
        f"{name}: with other weights it gives the same samples",
    )
    back = doubled.with_weights({part: array / 2 for part, array in doubled.weights().items()})
    other = differing(model.stored().tensors, back.stored().tensors)
    law(other is None, f"{name}: weights that were doubled and halved again differ in {other!r} from what they were")
    first = next(iter(weights))
    if isinstance(model, Varies):
        unknown = [part for part in model.variance_weights() if part not in weights]
        law(not unknown, f"{name}: variance_weights names {unknown!r}, which are none of its weights")
    for what, given in (
        ("no weights", {}),
        ("weights with one more", weights | {"more": np.zeros(1)}),
        ("weights of another shape", weights | {first: np.zeros(1)}),
    ):
        refused(lambda given=given: model.with_weights(given), "weights", f"{name}: {what}")


def check_conditions(name: str, model: Any, training: TrainingSet) -> None:
    """Hold that labels that are asked for are those of the samples, and change no sample beside them.

    The model knows two classes.
    """
    told = model.sample(Ask(11, 3, start=2, condition=LABELS))
    law(same(told.labels, LABELS), f"{name}: asked for labels {LABELS.tolist()} it gave {told.labels}")
    plain = model.sample(Ask(11, 3, start=2))
    ruled = np.arange(2, 13) % 2
    law(same(plain.labels, ruled), f"{name}: where nobody asks, sample i is of class i mod 2")
    law(
        same(model.sample(Ask(11, 3, start=2, condition=ruled)).data, plain.data),
        f"{name}: told the labels that it would take it gives other samples",
    )
    law(
        same(told.data[ruled == LABELS], plain.data[ruled == LABELS]),
        f"{name}: the label of a sample has changed another sample",
    )
    parts = [model.sample(Ask(n, 3, 2 + at, condition=LABELS[at : at + n])).data for at, n in ((0, 3), (3, 8))]
    law(same(np.concatenate(parts), told.data), f"{name}: labelled samples hang from how they are asked for")
    for labels in (np.array([0, 2]), np.array([-1, 0]), np.array([0, 1, 0]), np.array([0.0, 1.0])):
        refused(
            lambda labels=labels: model.sample(Ask(2, 0, condition=labels)),
            "condition",
            f"{name}: two samples of the labels {labels.tolist()}, where it knows 0 and 1",
        )


def check_denoises(name: str, model: Denoises, training: TrainingSet) -> None:
    """Hold that a denoiser gives rows in float64 between two noise levels, each row for itself."""
    import torch

    from ..machine.device import exact

    where = torch.device("cpu")
    with torch.inference_mode(), exact(where):
        denoise = model.denoiser(where)
        low, high = denoise.levels
        law(
            0 < low < high < np.inf, f"{name}: a denoiser's levels are {denoise.levels}, asked are 0 < lowest < highest"
        )
        shape = getattr(denoise, "shape", model.shape)
        noise = torch.from_numpy(np.random.default_rng(0).standard_normal((8, *shape)))
        for sigma in (low, high):
            found = denoise(sigma * noise, torch.tensor(sigma, dtype=torch.float64))
            law(
                found.dtype == torch.float64 and found.shape == noise.shape and bool(torch.isfinite(found).all()),
                f"{name}: denoised rows are {found.dtype} of shape {tuple(found.shape)}, asked are finite float64 of "
                f"shape {tuple(noise.shape)}",
            )
            some = denoise(sigma * noise[:3], torch.tensor(sigma, dtype=torch.float64))
            law(
                torch.allclose(some, found[:3], rtol=1e-3, atol=1e-4 * float(found.abs().max())),
                f"{name}: a denoised row hangs from the rows beside it",
            )


def check_trainable(name: str, model: Trainable, training: TrainingSet) -> None:
    """Hold that a task has networks with something to train, and phases that train it."""
    import torch

    from ..core.run import Run

    rows = training.data
    if rows.ndim == 2:  # the loop feeds them standardised
        training = TrainingSet((rows - rows.mean(axis=0)) / rows.std(axis=0), training.labels, training.weights)
    task = model.task(training, model.options, Run(1, images_seen=16), torch.device("cpu"))
    sizes = {part: sum(one.numel() for one in network.parameters()) for part, network in task.networks.items()}
    law(sizes and any(sizes.values()), f"{name}: its task has no network with parameters")
    law(task.phases, f"{name}: its task has no phase")
    law(task.granularity >= 1, f"{name}: its task's granularity is {task.granularity}, asked is 1 or more")
    result = task.result()
    law(
        result and all(isinstance(array, np.ndarray) for array in result.values()),
        f"{name}: its task's result has to be named numpy arrays, also before the first step",
    )


def check_counts(name: str, model: Counts, training: TrainingSet) -> None:
    """Hold that a family counts the work of an image in training and in sampling."""
    counted = type(model).flops_per_image(model.options, training.data.shape[1:])
    law(
        set(counted) == {"training", "sampling"} and all(0 < number < np.inf for number in counted.values()),
        f"{name}: flops_per_image is {counted!r}, asked are training and sampling, both above 0",
    )


def check_inverts(name: str, model: Inverts, training: TrainingSet) -> None:
    """Hold that noise is told of each row, and that a mark of the noise reaches the samples that begin with it."""
    data = training.data[:8]
    found = model.invert(data, steps=8)
    right = found.dtype == np.float64 and found.shape == data.shape and np.isfinite(found).all()
    law(right, f"{name}: the noise of samples is {found.dtype} {found.shape}, asked is finite float64 {data.shape}")
    some = model.invert(data[2:5], steps=8)
    law(np.allclose(some, found[2:5], rtol=1e-3, atol=1e-3), f"{name}: a row's noise hangs from the rows beside it")
    asked: list[tuple[tuple[int, ...], int]] = []

    def turned(noise: np.ndarray, start: int) -> np.ndarray:
        asked.append((noise.shape[1:], start))
        return -noise

    plain, other = model.sample(Ask(6, 1)), model.sample(Ask(6, 1, mark=turned))
    shapes = {shape for shape, _ in asked}
    law(
        shapes == {tuple(model.shape)},
        f"{name}: a mark was handed noise of {shapes}, asked is a sample's {model.shape}",
    )
    law(asked[0][1] == 0, f"{name}: the noise that a mark was handed first begins at {asked[0][1]}, asked is 0")
    law(not same(plain.data, other.data), f"{name}: other noise at the beginning gives the same samples")
    same_noise = model.sample(Ask(6, 1, mark=lambda noise, start: noise))
    law(same(same_noise.data, plain.data), f"{name}: with noise that a mark has left as it is it gives other samples")


def check_labels(name: str, model: Any, training: TrainingSet) -> None:
    """The same as :func:`check_conditions` of models that know classes."""
    if "labels" in model.conditions and getattr(model.options, "classes", 0) == 2:
        check_conditions(name, model, training)


def check_discriminates(name: str, model: Discriminates, training: TrainingSet) -> None:
    """Hold that a discriminator gives a number to each sample, in whatever order, and none to what is no sample."""
    data, labels = training.data[:12], training.labels if training.labels is None else training.labels[:12]
    whole = model.realness(data, labels)
    law(
        whole.shape == (12,) and whole.dtype == np.float64 and np.isfinite(whole).all(),
        f"{name}: realness of 12 rows is {whole.dtype} of shape {whole.shape}, asked are 12 finite numbers, float64",
    )
    turned = model.realness(data[::-1], None if labels is None else labels[::-1])
    law(
        np.allclose(turned[::-1], whole, rtol=1e-4, atol=1e-4),
        f"{name}: the realness of a row hangs from the order of the rows beside it",
    )
    try:
        model.realness(data[..., :-1], labels)
    except ValueError:
        return
    law(False, f"{name}: it judges rows of another shape than it makes; it has to refuse them with a ValueError")


CHECKS: dict[type, Callable[[str, Any, TrainingSet], None]] = {
    object: check_labels,
    Scores: check_scores,
    Weighted: check_weighted,
    Denoises: check_denoises,
    Discriminates: check_discriminates,
    Trainable: check_trainable,
    Counts: check_counts,
    Inverts: check_inverts,
}
