"""How a sampler that denoises is steered by a rule: at each noise level it goes on with what the rule makes of what the
models see there, in place of what the model sees alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..core.errors import blamed

if TYPE_CHECKING:
    import torch

Reads = tuple[Literal["conditional", "unconditional"], ...]


class Level(NamedTuple):
    """Where on its path a sampler asks: at the noise level sigma of step ``step`` of ``steps``, on the way to the next.

    sigma, next_sigma: without axes. corrects: whether it asks a second time in this step, at the level that it goes to
    (Heun's second evaluation).
    """

    sigma: "torch.Tensor"
    next_sigma: "torch.Tensor"
    step: int
    steps: int
    corrects: bool = False


class Predictions(NamedTuple):
    """What is seen at one level: the denoised rows, float64, as x.

    noisy: x. conditional: with the condition of each sample, after the arm's bias. unconditional: without; None where
    the rule does not read it. others: of the further models, with the condition, by role.
    """

    noisy: "torch.Tensor"
    conditional: "torch.Tensor"
    unconditional: "torch.Tensor | None"
    others: Mapping[str, "torch.Tensor"]


Draws = Callable[[], "torch.Tensor"]
"""Standard normal numbers, as x: at each level others, of each sample's own random stream, whatever the batches."""

Rule = Callable[[Predictions, Level, Any, Draws, Any], tuple["torch.Tensor", Any]]
"""``f(seen, at, state, draws, options) -> (denoised, state)``: the rows that the sampler goes on with, in the place of
``seen.conditional``, and what the rule remembers for the next level. state: None at the first one; rows first."""

Denoise = Callable[["torch.Tensor", Level, "torch.Tensor | None"], "torch.Tensor"]
"""What a sampler asks: D(x; at, condition)."""

Denoiser = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor | None"], "torch.Tensor"]
"""D(x; sigma, condition) of one model (``models.capabilities.Denoiser``)."""


def unsteered(denoise: Denoiser) -> Denoise:
    """What a sampler asks where nothing steers it."""
    return lambda x, at, condition: denoise(x, at.sigma, condition)


@dataclass(frozen=True, eq=False)
class Steering:
    """A rule with its options, and the further models that it steers by, by role: what ``Ask.guide`` holds.

    name: by which messages call it. A sampler asks it for all that it does, so that only a sampling that is steered
    hangs on how it does so.
    """

    rule: Rule
    options: Any
    reads: Reads = ("conditional",)
    others: Mapping[str, Any] = field(default_factory=dict)
    name: str = "rule"

    def denoisers(self, where: "torch.device") -> dict[str, Denoiser]:
        """The denoisers of the further models on a device."""
        return {role: model.denoiser(where) for role, model in self.others.items()}

    def steered(
        self,
        denoise: Denoiser,
        unconditional: Denoiser,
        others: Mapping[str, Denoiser],
        draws: Callable[[int], "torch.Tensor"],
    ) -> Denoise:
        """What a sampler asks for one batch, from its first level to its last, over which the rule keeps its state.

        denoise: the model, with the arm's bias; unconditional: without. draws: ``f(number)``, normal numbers as x.
        Raises ValueError for a rule that gives anything but rows like those that it was shown.
        """
        remembered: list[Any] = [None, 0]  # the rule's state, and how often it has drawn

        def drawn() -> "torch.Tensor":
            remembered[1] += 1
            return draws(remembered[1] - 1)

        def asked(x: "torch.Tensor", at: Level, condition: "torch.Tensor | None") -> "torch.Tensor":
            bare = unconditional(x, at.sigma, None) if "unconditional" in self.reads else None
            beside = {role: other(x, at.sigma, condition) for role, other in others.items()}
            seen = Predictions(x, denoise(x, at.sigma, condition), bare, beside)
            with blamed("guide", self.name):
                denoised, remembered[0] = self.rule(seen, at, remembered[0], drawn, self.options)
                found, allowed = _form(denoised), _form(seen.conditional)
                if found != allowed:
                    raise ValueError(f"gave {found}, allowed are {allowed}, as it was shown")
            return denoised

        return asked


def _form(rows: Any) -> str:
    return f"{rows.dtype} of shape {tuple(rows.shape)}" if hasattr(rows, "dtype") else type(rows).__name__


def levels_of(levels: "torch.Tensor") -> Sequence[Level]:
    """The steps of a sampler from falling noise levels (steps + 1,), the last of which nothing is asked at."""
    steps = len(levels) - 1
    return [Level(levels[step], levels[step + 1], step, steps) for step in range(steps)]
