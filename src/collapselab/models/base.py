"""What every model family offers: the contract of a generative model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, Self

from ..core.ask import Ask, Condition
from ..core.kinds import KindName
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from .options import Options
from .stored import Stored


class Model(Protocol):
    """A trained generative model. What some can do beside this is in :mod:`models.capabilities`.

    Importing a family costs no torch: networks are imported where they are used, so that a study is planned in a
    second.

    takes: the kinds of data that it models. density: whether its likelihood is computed exactly, approximately (a
    bound, or the solution of an ODE), or not at all (implicit). bias: what a sampling bias does to its samples, in a
    word or two; empty where only 1 is allowed. conditions: what its samples can be told. uses_torch: whether it is
    trained and sampled by torch.
    """

    Options: ClassVar[type[Options]]
    takes: ClassVar[tuple[KindName, ...]]
    density: ClassVar[Literal["exact", "approximate", "implicit"]]
    bias: ClassVar[str]
    conditions: ClassVar[tuple[Condition, ...]]
    uses_torch: ClassVar[bool]
    options: Options
    how: Mapping[str, Any]
    """How it was trained, where that is part of its bits: ``device``, ``processes``, ``execution``, and
    ``nonidentical``, a list of what differed, if it went on from a state of other hardware. Not in :meth:`stored`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (C, H, W), (d,) or ()."""
        ...

    @classmethod
    def fit(cls, training: TrainingSet, options: Any, run: Run, init: Self | None = None) -> Self:
        """The model trained on a training set.

        run: how; families with a closed form look at the seed alone. init: the model to start from; None starts from
        scratch. Raises Diverged when the loss is not finite, Interrupted when ``run.progress`` asked to stop,
        ValueError for a state of other hardware.
        """
        ...

    def sample(self, ask: Ask) -> SampleSet:
        """Samples ``ask.start .. ask.start + ask.count`` of the sequence that ``ask.seed`` names.

        ask.bias: a Gaussian multiplies its covariance by it, a multinomial takes it as its temperature, a diffusion
        model guides with weight 1 / bias - 1, a StyleGAN2 truncates w by it. Raises ValueError for what it cannot be
        asked for (:func:`models.asking.check_ask`).
        """
        ...

    def stored(self) -> Stored:
        """All that ``load`` needs, as named arrays."""
        ...

    @classmethod
    def stored_bytes(cls, options: Any, shape: tuple[int, ...], rows: int) -> int:
        """About how much disk a model takes that was trained on so many samples of ``shape``, for planning."""
        ...

    @classmethod
    def load(cls, stored: Stored, options: Any) -> Self:
        """The model that ``stored`` and ``options`` describe."""
        ...
