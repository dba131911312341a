"""How a sampler that denoises is steered by a rule: at each noise level it goes on with what the rule makes of what the
models see there, in place of what the model sees alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..core.errors import blamed

if TYPE_CHECKING:
    import torch

Reads = tuple[Literal["conditional", "unconditional"], ...]

ALL = slice(None)


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
    the rule does not read it, and as ``conditional`` in rows of which it wants none. others: of the further models,
    with the condition, by role. told: of the model, with the further conditions, by role.
    """

    noisy: "torch.Tensor"
    conditional: "torch.Tensor"
    unconditional: "torch.Tensor | None"
    others: Mapping[str, "torch.Tensor"]
    told: Mapping[str, "torch.Tensor"] = MappingProxyType({})


Draws = Callable[[], "torch.Tensor"]
"""Standard normal numbers, as x: at each level others, of each sample's own random stream, whatever the batches."""

Rule = Callable[[Predictions, Level, Any, Draws, Any], tuple["torch.Tensor", Any]]
"""``f(seen, at, state, draws, options) -> (denoised, state)``: the rows that the sampler goes on with, in the place of
``seen.conditional``, and what the rule remembers for the next level. state: None at the first one; rows first."""

Change = Callable[["torch.Tensor", Level, Any, Draws, Any], tuple["torch.Tensor", Any]]
"""``f(embedded, at, state, draws, options) -> (embedded, state)``: what the model is told in the place of each sample's
condition, as the vectors (B, ...) by which it knows it, float64; ``draws`` and ``state`` as of a rule, of its own."""

Wants = Callable[[Level, Any, Any], "bool | torch.Tensor"]
"""``f(at, state, options)``: whether the rule has a use for the unconditional prediction at a level, of all rows or of
each, (B,) bool: what it does not want is not computed."""

Denoise = Callable[["torch.Tensor", Level, "torch.Tensor | None"], "torch.Tensor"]
"""What a sampler asks: D(x; at, condition)."""

Denoiser = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor | None"], "torch.Tensor"]
"""D(x; sigma, condition) of one model (``models.capabilities.Denoiser``)."""


def unsteered(denoise: Denoiser) -> Denoise:
    """What a sampler asks where nothing steers it."""
    return lambda x, at, condition: denoise(x, at.sigma, condition)


def always(at: Level, state: Any, options: Any) -> bool:
    """Of a rule that has a use for all that it reads, at every level."""
    return True


@dataclass(frozen=True, eq=False)
class Steering:
    """A rule with its options, and the further models that it steers by, by role: what ``Ask.guide`` holds.

    name: by which messages call it. told: further conditions that the model is told, by role. wants: where the
    unconditional prediction is of use. changes: what is made of the samples' own conditions before the model is told.
    A sampler asks it for all that it does, so that only a sampling that is steered hangs on how it does so.
    """

    rule: Rule
    options: Any
    reads: Reads = ("conditional",)
    others: Mapping[str, Any] = field(default_factory=dict)
    name: str = "rule"
    told: Mapping[str, int] = field(default_factory=dict)
    wants: Wants = always
    changes: Change | None = None

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
        All that is asked of the model at a level is asked in one pass, where it can answer so and no bias stands
        between. Raises ValueError for a rule that gives anything but rows like those that it was shown.
        """
        return _Batch(self, denoise, unconditional, others, draws).asked


class _Batch:
    """One batch on its path: what a rule has remembered there, and how often it has drawn."""

    def __init__(
        self,
        steering: Steering,
        denoise: Denoiser,
        bare: Denoiser,
        others: Mapping[str, Denoiser],
        draws: Callable[[int], "torch.Tensor"],
    ):
        self.steering, self.denoise, self.bare, self.others, self.draws = steering, denoise, bare, others, draws
        self.state: Any = None
        self.changed: Any = None
        self.drawn = 0

    def asked(self, x: "torch.Tensor", at: Level, condition: "torch.Tensor | None") -> "torch.Tensor":
        """The rows that the sampler goes on with."""
        steering = self.steering
        with blamed("guide", steering.name):
            seen = self._seen(x, at, condition)
            denoised, self.state = steering.rule(seen, at, self.state, self._draw, steering.options)
            found, allowed = _form(denoised), _form(seen.conditional)
            if found != allowed:
                raise ValueError(f"gave {found}, allowed are {allowed}, as it was shown")
        return denoised

    def _seen(self, x: "torch.Tensor", at: Level, condition: "torch.Tensor | None") -> Predictions:
        steering, told = self.steering, condition
        if steering.changes is not None and condition is not None:
            told = self._changed(x, at, condition)
        rows = self._rows(at)
        parts = [(x, told), *([] if rows is None else [(x[rows], None)])]
        parts += [(x, _labels(x, label)) for label in steering.told.values()]
        first, *rest = self._predicted(parts, at.sigma)
        unconditional = first if "unconditional" in steering.reads else None
        if rows is not None:
            found, *rest = rest
            unconditional = found if rows is ALL else first.index_copy(0, rows, found)
        beside = {role: other(x, at.sigma, condition) for role, other in self.others.items()}
        return Predictions(x, first, unconditional, beside, dict(zip(steering.told, rest, strict=True)))

    def _rows(self, at: Level) -> "slice | torch.Tensor | None":
        """The rows whose unconditional prediction is of use: all, their numbers, or None for none."""
        steering = self.steering
        if "unconditional" not in steering.reads:
            return None
        wanted = steering.wants(at, self.state, steering.options)
        if not hasattr(wanted, "nonzero"):
            return ALL if wanted else None
        rows = wanted.nonzero()[:, 0]
        return ALL if len(rows) == len(wanted) else rows if len(rows) else None

    def _predicted(
        self, parts: Sequence[tuple["torch.Tensor", "torch.Tensor | None"]], sigma: "torch.Tensor"
    ) -> Sequence["torch.Tensor"]:
        """What the model makes of several rows with their conditions; with its bias of the first."""
        if self.denoise is not self.bare:
            x, condition = parts[0]
            return [self.denoise(x, sigma, condition), *together(self.bare, parts[1:], sigma)]
        return together(self.bare, parts, sigma)

    def _changed(self, x: "torch.Tensor", at: Level, condition: "torch.Tensor") -> "torch.Tensor":
        steering, embed = self.steering, getattr(self.bare, "embedded_condition", None)
        if embed is None:
            raise ValueError("changes what the model is told, and this one knows no vectors of conditions")
        if self.denoise is not self.bare:
            raise ValueError("changes what the model is told; allowed with it is a sampling_bias of 1")
        embedded = embed(condition)

        def drawn() -> "torch.Tensor":
            """As many normal numbers as the vectors have, of as many draws as x as it takes."""
            import torch

            count = embedded[0].numel()
            found = [self._draw().flatten(1) for _ in range(-(-count // x[0].numel()))]
            return torch.cat(found, dim=1)[:, :count].reshape(embedded.shape)

        told, self.changed = steering.changes(embedded, at, self.changed, drawn, steering.options)
        found, allowed = _form(told), _form(embedded)
        if found != allowed:
            raise ValueError(f"made of conditions {found}, allowed are {allowed}, as they were")
        return told

    def _draw(self) -> "torch.Tensor":
        self.drawn += 1
        return self.draws(self.drawn - 1)


def together(
    denoise: Denoiser, parts: Sequence[tuple["torch.Tensor", "torch.Tensor | None"]], sigma: "torch.Tensor"
) -> Sequence["torch.Tensor"]:
    """D(x; sigma, condition) for several x with their conditions: in one pass where the denoiser can, else in turn."""
    joint = getattr(denoise, "denoised_together", None)
    plain = len(parts) == 1 and not (parts[0][1] is not None and parts[0][1].is_floating_point())
    if joint is None or plain or not parts:
        return [denoise(x, sigma, condition) for x, condition in parts]
    return joint(parts, sigma)


def _labels(x: "torch.Tensor", label: int) -> "torch.Tensor":
    import torch

    return torch.full((len(x),), label, dtype=torch.int64, device=x.device)


def _form(rows: Any) -> str:
    return f"{rows.dtype} of shape {tuple(rows.shape)}" if hasattr(rows, "dtype") else type(rows).__name__


def levels_of(levels: "torch.Tensor") -> Sequence[Level]:
    """The steps of a sampler from falling noise levels (steps + 1,), the last of which nothing is asked at."""
    steps = len(levels) - 1
    return [Level(levels[step], levels[step + 1], step, steps) for step in range(steps)]
