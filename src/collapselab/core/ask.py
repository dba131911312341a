"""What a sampler is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Condition = Literal["labels", "prompts"]
"""What a sampler may be told about each sample: its class, or its description in words."""


@dataclass(frozen=True, eq=False)
class Ask:
    """Samples ``start .. start + count`` of the endless sequence that ``seed`` names; none depends on the others.

    bias: MAD's lambda in (0, 1], where 1 samples the model as it is (Alemohammad et al. 2023,
    https://arxiv.org/abs/2307.01850). condition: (count,) int64 labels, or as many prompts; None leaves it to the rule
    that sample i is of class i mod classes. guide: what steers the sampler beside the model itself, or None. mark: what
    is done to the initial noise, ``f(noise, start) -> noise`` of rows of which the first is sample ``start``, or None.
    sampler: by which sampler, in place of the model's own (:class:`samplers.base.Sampling`), or None.
    """

    count: int
    seed: int
    start: int = 0
    bias: float = 1.0
    condition: np.ndarray | Sequence[str] | None = None
    guide: Any | None = None
    mark: Callable[[np.ndarray, int], np.ndarray] | None = None
    sampler: Any | None = None
