"""What some models and known truths can do beside being sampled, each as a protocol that ``isinstance`` tests.

The protocols have methods alone, so that of a class, too, it is known what its instances can: ``issubclass``.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from ..core.run import Run
from ..core.sets import TrainingSet

if TYPE_CHECKING:  # what a model can is asked in planning, too, which costs no torch
    from collections.abc import Sequence

    import torch

    from ..engine.loop import Trained
    from ..engine.task import Task

ODE_STEPS, PROBES = 32, 1  # of a log-likelihood; at 32 steps a Gaussian's is within 1e-3 bits per dimension


@runtime_checkable
class Scores(Protocol):
    """A model with a likelihood."""

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-likelihood of each row in nats: (n,) float64.

        data: as in a sample set. Of vectors it is a density, nan where the law has none; of categories their mass, -inf
        for one that never occurs; of uint8 images x the mass of the whole image, by uniform dequantisation: the log of
        the density at x + u, u uniform within the byte, plus the log of the byte's volume, a lower bound in expectation
        (Theis, van den Oord and Bethge 2016, arXiv 1511.01844). A row's value depends on the row and the seed alone.

        steps: of the solver, where the likelihood is the end of an ODE. probes: random vectors of its trace estimator;
        0 takes the trace itself, for as many times the work as a row has numbers. Closed forms ignore seed, steps and
        probes.
        """
        ...


@runtime_checkable
class Knows(Protocol):
    """A law whose mean and covariance are known."""

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The exact mean (d,) and covariance (d, d), float64; of categories those of the one-hot encoding."""
        ...


class Judgement(NamedTuple):
    """What a known truth says of n samples.

    possible: (n,) bool, whether it can be a draw of the population at all. cell: (n,) int64, which cell of the
    population's partition it falls into, 0 .. K - 1; -1 where it is impossible.
    """

    possible: np.ndarray
    cell: np.ndarray


@runtime_checkable
class Judges(Protocol):
    """A known truth with cells: a partition of what is possible into K parts.

    It has ``masses``, the probability of each cell, (K,) float64, all above 0; together 1 but for what is called
    impossible.
    """

    def judge(self, data: np.ndarray) -> Judgement:
        """Which of the samples are possible, and their cells."""
        ...


@runtime_checkable
class Weighted(Protocol):
    """A model whose weights can be taken and exchanged: those of a network, or the parameters of a formula."""

    def weights(self) -> Mapping[str, np.ndarray]:
        """The weights with which it is sampled, by name: float32 of a network, float64 of a formula."""
        ...

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> Self:
        """The model with these weights in the place of its own, and all else as it is.

        Raises ValueError unless their names and shapes are those of its own, and where they are those of no model.
        """
        ...


@runtime_checkable
class Varies(Protocol):
    """A model (:class:`Weighted`) some of whose weights are variances or covariance matrices."""

    def variance_weights(self) -> tuple[str, ...]:
        """The names of these weights."""
        ...


@runtime_checkable
class Inverts(Protocol):
    """A model whose samples tell the noise that they were made of, and whose initial noise can be marked."""

    def invert(self, data: np.ndarray, *, steps: int | None = None) -> np.ndarray:
        """The noise that samples were made of, as far as it can be told: (n, ...) float64 of the shape of a sample.

        Of samples of the model it is near to what they began with, standard normal numbers; of others it is what the
        model would have to begin with to make them. Nothing is told to the model, neither a class nor a guide, so that
        what a guide or a bias has changed is an error of the inversion. A row's noise depends on the row alone, but for
        rounding.

        steps: of the solver, where the inversion is the solution of an ODE; None for as many as its sampler takes.
        Raises ValueError for a model that cannot do without a class.
        """
        ...


class Denoiser(Protocol):
    """D(x; sigma, c): the mean of the clean rows that a noisy x = y + sigma n may come from.

    levels: the lowest and the highest noise level sigma between which it is sampled. Its rows have the shape of the
    model's samples; one that sees others, as latents of an autoencoder, has their shape as ``shape``.
    """

    levels: tuple[float, float]

    def __call__(
        self, x: "torch.Tensor", sigma: "torch.Tensor", condition: "torch.Tensor | None" = None
    ) -> "torch.Tensor":
        """The denoised rows, as x: (B, C, H, W) or (B, d) float64.

        sigma: without axes. condition: (B,) int64 labels, or None for none.
        """
        ...

    def denoised_together(
        self, parts: "Sequence[tuple[torch.Tensor, torch.Tensor | None]]", sigma: "torch.Tensor"
    ) -> "Sequence[torch.Tensor]":
        """What it gives of several x, each with a condition of its own, in one pass; who has not this is asked in turn.

        condition: also vectors (B, ...) float64, as :meth:`embedded_condition` gives them, or made of these.
        Raises ValueError for labels that the model does not know.
        """
        ...

    def embedded_condition(self, condition: "torch.Tensor") -> "torch.Tensor":
        """The vectors by which it knows the conditions (B,): (B, ...) float64; for guides that change them."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """A model that is sampled by denoising, which a guide may steer.

    ``denoises``, where the class has it, names as roots of ``store.provenance`` what guides alone ask of its denoiser.
    """

    def denoiser(self, where: "torch.device") -> Denoiser:
        """Its denoiser on a device, of images in [-1, 1], of vectors as its network sees them, standardised, and of
        latents as its network sees them.

        Whoever calls it does so within ``device.exact``, on whose settings its bits depend.
        """
        ...


@runtime_checkable
class Discriminates(Protocol):
    """A model that was trained against a discriminator, and keeps it."""

    def realness(self, data: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """The discriminator's logit of each sample being real, as it was at the end of the training: (n,) float64.

        data, labels: as in a sample set. A sample's logit depends on the others by what a network shares over a batch,
        if at all, and not on their order. Raises ValueError for data that the model cannot have made, and where the
        discriminator is not known.
        """
        ...


@runtime_checkable
class Trainable(Protocol):
    """A model that the training loop trains."""

    def task(self, training: TrainingSet, options: Any, run: Run, where: "torch.device") -> "Task":
        """What ``fit`` hands to the training loop when it starts from this model, on a device.

        training: as the loop is fed with it (:meth:`seen`).
        """
        ...

    def seen(self, training: TrainingSet) -> TrainingSet:
        """A training set as the loop is fed with it: images as they are, vectors standardised by the model's scale."""
        ...

    def went_on(self, trained: "Trained") -> Self:
        """The model that the training loop has made of its task."""
        ...


@runtime_checkable
class Counts(Protocol):
    """A family that counts its work."""

    @classmethod
    def flops_per_image(cls, options: Any, shape: tuple[int, ...]) -> dict[str, float]:
        """Floating-point operations, two a multiply-add: ``training`` of each image seen, ``sampling`` of each made."""
        ...


IN_WORDS: Mapping[type, str] = {
    Scores: "that tells how likely a sample is",
    Knows: "whose exact mean and covariance are known",
    Weighted: "whose weights can be taken out and exchanged",
    Varies: "some of whose weights are variances",
    Inverts: "whose samples can be traced back to the noise that they began with",
    Denoises: "that makes samples by taking noise away step by step",
    Discriminates: "that was trained against a discriminator and keeps it",
    Trainable: "that is a network, trained in steps",
}
"""What a model can, as a user is told of it: after "a model"."""
