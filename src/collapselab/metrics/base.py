"""What a metric is, and what the rest of the system must know about it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from ..core.kinds import KindName
from ..features import FEATURES, Array, Features
from .roles import Roles, Stacked


@dataclass(frozen=True)
class Metric:
    """A metric and what the rest of the system must know about it.

    function: ``f(real, fake, *, options) -> float | dict[str, float]``; a second set of real samples, where ``beside``
    names one, is a keyword of that name.
    label: what it is called in figures.
    better: in which direction samples improve; None where neither is.
    against: what the role ``real`` is given: the held-out real samples, the real samples that the study may train on,
    or the model's own training set.
    beside: the second set of real samples that it needs; None for none.
    reads: the part of the features that it looks at.
    extractors: the feature spaces in which it means something; empty for all but those of statistics.
    takes: the kinds of data of which it can be determined.
    of_moments: whether mean and covariance determine it, so that it can compare laws as well as samples.
    shares: whether its named numbers are parts of a whole, which are drawn together.
    roles: what is concluded from its numbers. stacked: the same of many laws at once, for arms whose seeds run
    together; None where it has none. chance: the one set of whose chance alone its interval is, the other being taken
    as it stands; None where it has no interval, or one of all sets. labelled: whether it reads the labels of the rows,
    real and fake, as ``classes`` of the features. A record hangs on none of the four.
    """

    function: Callable[..., float | dict[str, float]]
    label: str
    better: Literal["lower", "higher"] | None
    against: Literal["held_out", "train", "training_set"] = "held_out"
    beside: Literal["held_out", "train"] | None = None
    reads: Literal["values", "classes", "probabilities"] = "values"
    extractors: tuple[str, ...] = ()
    of_moments: bool = False
    takes: tuple[KindName, ...] = ("images", "vectors", "categories", "audio", "sequences")
    shares: bool = False
    roles: Roles = field(default=Roles(), kw_only=True)
    stacked: Stacked | None = field(default=None, kw_only=True)
    chance: Literal["fake", "real"] | None = field(default=None, kw_only=True)
    labelled: bool = field(default=False, kw_only=True)

    def __call__(self, real: Features | Array, fake: Features | Array, **options: Any) -> float | dict[str, float]:
        return self.function(real, fake, **options)

    def suits(self, extractor: str) -> bool:
        """Whether it means something in a feature space."""
        if self.extractors:
            return extractor in self.extractors
        return self.of_moments if FEATURES[extractor].needs.through == "law" else not FEATURES[extractor].statistic

    @property
    def Options(self) -> type[BaseModel]:
        """The options as a model: the annotations of the function say what is allowed."""
        hints = get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {name: (hints[name], default) for name, default in self.options.items()}
        strict = ConfigDict(extra="forbid", strict=True)
        return create_model(self.function.__name__, __config__=strict, **fields)

    @property
    def options(self) -> Mapping[str, Any]:
        """The options with their defaults, as they belong into the fingerprint of a value."""
        parameters = inspect.signature(self.function).parameters.values()
        return {
            option.name: option.default
            for option in parameters
            if option.kind is option.KEYWORD_ONLY and option.name != self.beside
        }
