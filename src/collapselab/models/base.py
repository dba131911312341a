"""What every model family offers, and what passes in and out of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import numpy as np

from ..core.run import Progress
from ..core.sets import Kind, TrainingSet
from ..store import SampleSet
from .options import Options

ODE_STEPS, PROBES = 32, 1  # of a log-likelihood; at 32 steps a Gaussian's is within 1e-3 bits per dimension


class Judgement(NamedTuple):
    """What a known truth says of n samples.

    possible: (n,) bool, whether it can be a draw of the population at all. cell: (n,) int64, which cell of the
    population's partition it falls into, 0 .. K - 1; -1 where it is impossible.
    """

    possible: np.ndarray
    cell: np.ndarray


class Model(Protocol):
    """A trained generative model.

    Importing a family costs no torch: networks are imported where they are used, so that a study is planned in a
    second.

    takes: the kinds of data that it models. density: whether its likelihood is computed exactly, approximately (a
    bound, or the solution of an ODE), or not at all (implicit). bias: what ``sampling_bias`` does to its samples, in a
    word or two; empty where only 1 is allowed.
    """

    Options: ClassVar[type[Options]]
    takes: ClassVar[tuple[Kind, ...]]
    density: ClassVar[Literal["exact", "approximate", "implicit"]]
    bias: ClassVar[str]
    uses_torch: ClassVar[bool] = False
    options: Options
    how: Mapping[str, Any]
    """How it was trained, where that is part of its bits: ``device``, ``processes``, ``execution``, and
    ``nonidentical``, a list of what differed, if it went on from a state of other hardware. Not in :meth:`tensors`."""

    @classmethod
    def fit(
        cls,
        training: TrainingSet,
        options: Any,
        seed: int,
        init: Self | None = None,
        *,
        images_seen: int | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        allow_nonidentical: bool = False,
        validation: TrainingSet | None = None,
        inspect: Callable[[Self, int], None] | None = None,
    ) -> Self:
        """The model trained on a training set.

        init: the model to start from; None starts from scratch. images_seen: the budget of this training; None takes
        the options' own; families with a closed form ignore it. checkpoint: a folder in which an interrupted training
        leaves its state and from which the same training goes on, to the same bits; the caller removes it when the
        trained model is safely stored. allow_nonidentical: go on from a state of other hardware, too, and say so in
        ``how``. validation: on which options that are left open are chosen. inspect: called with the model as it would
        be if the training ended there, and the images seen, in the first process alone.
        Raises Diverged when the loss is not finite, Interrupted when ``progress`` asked to stop, ValueError for a state
        of other hardware.
        """
        ...

    def sample(
        self, count: int, seed: int, *, start: int = 0, sampling_bias: float = 1.0, guide: Any | None = None
    ) -> SampleSet:
        """Samples ``start .. start + count`` of the endless sequence that ``seed`` names; none depends on the others.

        sampling_bias: MAD's lambda in (0, 1], where 1 samples the model as it is (Alemohammad et al. 2023): a Gaussian
        multiplies its covariance by it, a multinomial takes it as its temperature, a diffusion model guides with
        weight 1 / sampling_bias - 1, a StyleGAN2 truncates w by it. guide: an entry of GUIDES.
        """
        ...

    def log_likelihood(
        self, data: np.ndarray, seed: int, *, steps: int = ODE_STEPS, probes: int = PROBES
    ) -> np.ndarray:
        """The log-likelihood of each row in nats: (n,) float64. A family may lack this method.

        data: as in a sample set. Of vectors it is a density, nan where the law has none; of categories their mass, -inf
        for one that never occurs; of uint8 images x the mass of the whole image, by uniform dequantisation: the log of
        the density at x + u, u uniform within the byte, plus the log of the byte's volume, a lower bound in expectation
        (Theis, van den Oord and Bethge 2016, arXiv 1511.01844). A row's value depends on the row and the seed alone.

        steps: of the solver, where the likelihood is the end of an ODE. probes: random vectors of its trace estimator;
        0 takes the trace itself, for as many times the work as a row has numbers. Closed forms ignore seed, steps and
        probes.
        """
        ...

    def tensors(self) -> Mapping[str, np.ndarray]:
        """All that ``load`` needs, as named arrays, the training curve as ``curve.images_seen``, ``curve.loss``."""
        ...

    @classmethod
    def stored_bytes(cls, options: Any, shape: tuple[int, ...]) -> int:
        """About how much disk a model takes that was trained on samples of ``shape``, for planning."""
        ...

    @classmethod
    def stored_bytes_per_row(cls, options: Any, shape: tuple[int, ...]) -> int:
        """How much more it takes for each row of its training set. Only families that keep rows have this method."""
        ...

    @classmethod
    def load(cls, tensors: Mapping[str, np.ndarray], options: Any) -> Self:
        """The model that ``tensors`` and ``options`` describe."""
        ...
