"""What one choice of a guide is worth: samples of the model under it, held against validation rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import Undefined
from ..core.sets import SampleSet
from ..features import Features
from ..metrics import METRICS
from ..samplers.base import Sampling
from ..verbs import sample as sampling
from .objectives import Objective
from .spaces import Searched


@dataclass(frozen=True, eq=False)
class Bench:
    """A model, and what its samples are held against.

    count, seed: of the samples, which begin at the same noise whatever steers them. bias, sampler: the arm's. others:
    the further models, by role. look: the features of samples; real: those of the validation rows.
    """

    model: Any
    count: int
    seed: int
    look: Callable[[np.ndarray], Features]
    real: Features
    objectives: Sequence[Objective]
    bias: float = 1.0
    sampler: Sampling | None = None
    others: Mapping[str, Any] | None = None

    def samples(self, guide: Searched | None, said: Mapping[str, Any], count: int, seed: int) -> SampleSet:
        """Samples of the model under a guide with such options; without one, as the arm's sampler makes them."""
        steers = None
        if guide is not None:
            options = guide.options(said)
            roles = guide.entry.auxiliary(options, 1)
            steers = sampling.steering(guide.name, options, {role: (self.others or {})[role] for role in roles})
        size = sampling.piece_size(self.model, count, 1)
        starts = range(0, count, size)
        parts = sampling.sample(
            self.model, count, seed, self.bias, starts, size, lambda start: None, steers, None, self.sampler
        )
        return sampling.joined(parts, {})

    def values(self, guide: Searched | None, said: Mapping[str, Any]) -> tuple[float, ...]:
        """The metrics of the objectives. Raises Undefined where one is not determined."""
        data = self.samples(guide, said, self.count, self.seed).data
        if not np.isfinite(data).all():
            raise Undefined("samples that are not finite")
        fake = self.look(data)
        values = tuple(float(METRICS[one.metric](self.real, fake, **one.options)) for one in self.objectives)
        if not np.isfinite(values).all():
            raise Undefined("a metric that is not finite")
        return values
