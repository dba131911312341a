"""Options of model families, and what several of them say alike."""

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict

from ..core.facts import Facts
from ..core.kinds import KindName


class Options(BaseModel):
    """Options of one model family: every field has its default, its range and its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        """What is fitted in a moment to a few small samples of a kind, that of ``collapselab.testing``; no job asks it.

        What it leaves out has its default. Images have 8 x 8 pixels and two classes, categories are
        0 .. 4, sequences are six tokens of a vocabulary of 5.
        """
        return {}

    def of_weights(self) -> dict[str, Any]:
        """What the options say of a model's weights, by option, so that whoever starts from them says the same: that on
        which names and shapes of arrays depend, and what the network means by them. Empty for closed forms.
        """
        return {}

    def gives_labels(self) -> bool:
        """Whether samples come with labels where real rows have some: of a family with ``classes``, if it has any."""
        return bool(getattr(self, "classes", 0))

    @property
    def left_open(self) -> tuple[str, ...]:
        """Names of options that nobody set and that generation 0 chooses on validation data."""
        return ()

    @property
    def budget(self) -> int | None:
        """Images that a training sees where nobody sets a budget; None where it takes no steps."""
        return None

    @property
    def at_once(self) -> int | None:
        """Samples that are made at once; None where that makes no difference."""
        return None

    def settled(self) -> Self:
        """The same with something for what is left open, for whom it makes no difference."""
        return self

    def check_kind(self, kind: KindName) -> None:
        """Raise ValueError where the options do not suit data of this kind, among those that the family takes."""

    def check_rows(self, rows: int) -> None:
        """Raise ValueError where the options cannot be fitted to so few rows."""


@runtime_checkable
class Outside(Protocol):
    """Options that name files of the user's, which may not be there, or change."""

    def fault(self, facts: Facts) -> str:
        """What keeps the family from data of such facts, as far as it is known before any work, beginning with the
        option; empty if nothing does."""
        ...

    def outside(self) -> Mapping[str, str]:
        """The hashes of the files that are named, by their paths; of one that is not there, nothing."""
        ...


def values(options: Options, *names: str) -> dict[str, Any]:
    """Some of the options by name."""
    return {name: getattr(options, name) for name in names}


class InSteps:
    """Options with ``images_seen`` and ``sample_batch``: of a training in steps, and of sampling in batches."""

    @property
    def budget(self) -> int:
        return self.images_seen

    @property
    def at_once(self) -> int:
        return self.sample_batch


def with_preset(given: Any, presets: Mapping[str, Mapping[str, Any]], default: str) -> Any:
    """The options ``given``, and what the preset that they name, or the ``default``, has beside them.

    What is no mapping stays as it is. Raises ValueError for a preset that there is not.
    """
    if not isinstance(given, Mapping):
        return given
    name = given.get("preset", default)
    if not isinstance(name, str) or name not in presets:
        raise ValueError(f"preset: found {name!r}, allowed are {', '.join(map(repr, presets))}")
    return presets[name] | dict(given)


def check_betas(betas: tuple[float, float]) -> None:
    """Raise ValueError unless both decay rates of Adam are in [0, 1)."""
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas: found {list(betas)}, allowed are two numbers from 0 to below 1")
