"""What is done to a model between training and sampling: the contract of the ``adapt`` verb.

No study of this version adapts its models; the verb is left out of an arm that names no adapter.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from ..core.sets import TrainingSet
from ..models.base import Model


class Adapter(Protocol):
    """Changes a trained model: reward fine-tuning, unlearning, low-rank updates, extrapolation from its own samples."""

    def __call__(
        self, model: Model, training: TrainingSet, ancestors: Sequence[Model], options: Any, seed: int
    ) -> Model:
        """The adapted model. ``ancestors`` are the models of earlier generations of the same arm, oldest first."""
        ...
