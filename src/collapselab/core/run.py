"""How a training is run, whatever it learns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from .sets import TrainingSet

Progress = Callable[[int, float], bool | None]
"""Called often during training with (images seen, loss); returns True to ask the training to stop (Interrupted)."""

Inspect = Callable[[Any, int], None]
"""Called with the model as it would be if the training ended now, and the images seen, in the first process alone."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training: not part of the law that it fits, but for its seed and its budget. A closed form needs the seed.

    images_seen: the budget; None takes the options' own. progress: called in every process. checkpoint: a folder in
    which an interrupted training leaves its state and from which the same training goes on, to the same bits; the
    caller removes it when the trained model is safely stored. allow_nonidentical: go on from a state of other hardware
    or another torch, too, though the bits are then not those of one uninterrupted training; the model's ``how`` lists
    what differs. validation: the rows on which options that are left open are chosen. roots: definitions, as
    ``store.provenance`` takes them, whose source is part of what is trained beside the family's, such as an adapter's.
    beside: what else is, as JSON-like values, such as an adapter's options: a state of another training is not gone on
    from.
    """

    seed: int
    images_seen: int | None = None
    progress: Progress | None = None
    checkpoint: Path | None = None
    allow_nonidentical: bool = False
    validation: TrainingSet | None = None
    inspect: Inspect | None = None
    roots: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)

    def lasting(self, images_seen: int) -> Self:
        """The run with this budget, where it has none."""
        return replace(self, images_seen=images_seen) if self.images_seen is None else self

    def steps(self, batch: int) -> int:
        """How many steps of ``batch`` images the budget comes to, rounded up. Raises ValueError without a budget."""
        if self.images_seen is None:
            raise ValueError("images_seen: found None, allowed is a number: nobody has set a budget")
        return -(-self.images_seen // batch)

    def inspecting(self, model: Callable[[Any], Any]) -> Self:
        """The run that is told of what is trained by what ``model`` makes of it."""
        inspect = self.inspect
        if inspect is None:
            return self
        return replace(self, inspect=lambda trained, images_seen: inspect(model(trained), images_seen))
