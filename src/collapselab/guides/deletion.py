"""A part of a law is taken out of it while it is sampled, exactly where the part is known."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from ..core.choice import Options
from ..engine.steering import Draws, Level, Predictions
from .feedback import DynamicNegativeOptions, asked_as_negative, dynamic_negative, negative_of
from .posterior import grown

if TYPE_CHECKING:
    import torch

MOST = 1e6  # odds beyond which the difference that they multiply is lost in rounding


class MixtureLaw(Options):
    """A mixture of round normal laws, in the units in which the model sees its rows."""

    weights: tuple[float, ...] = Field(min_length=2, description="the share of each component")
    means: tuple[tuple[float, ...], ...] = Field(description="of each, as many numbers as a row has; or one for all")
    variances: tuple[float, ...] = Field(description="of each component, in every direction")

    @model_validator(mode="after")
    def _check(self) -> Self:
        count = len(self.weights)
        if len(self.means) != count or len(self.variances) != count:
            raise ValueError(f"means, variances: found {len(self.means)} and {len(self.variances)}, allowed: {count}")
        if min(self.weights) <= 0 or abs(sum(self.weights) - 1) > 1e-6:
            raise ValueError(f"weights: found {list(self.weights)}, allowed are shares above 0 that are 1 together")
        if min(self.variances) < 0 or len({len(mean) for mean in self.means}) > 1 or not self.means[0]:
            raise ValueError("variances: allowed are numbers from 0; means: allowed are as many numbers for each")
        return self

    def parted(
        self, noisy: "torch.Tensor", sigma: "torch.Tensor", component: int
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """At x = y + sigma n the odds r / (1 - r) of a component against the others, (B,), and its D(x), as x.

        Raises ValueError for means of another width than the rows.
        """
        import torch

        rows = noisy.flatten(1)
        shares, variances = (torch.tensor(one, dtype=rows.dtype).to(rows) for one in (self.weights, self.variances))
        if (width := len(self.means[0])) not in (1, rows.shape[1]):
            raise ValueError(
                f"law: found means of {width} numbers; allowed are 1, or {rows.shape[1]}, as many as a row has"
            )
        means = torch.tensor(self.means, dtype=rows.dtype).to(rows).expand(-1, rows.shape[1])
        total = variances + sigma**2
        squares = (rows[:, None] - means).square().sum(2)
        logs = shares.log() - squares / (2 * total) - rows.shape[1] / 2 * total.log()
        others = [number for number in range(len(self.weights)) if number != component]
        odds = (logs[:, component] - logs[:, others].logsumexp(1)).exp()
        own = (variances[component] * rows + sigma**2 * means[component]) / total[component]
        return odds, own.reshape(noisy.shape)


class DeletionOptions(DynamicNegativeOptions):
    """What is taken out, and how its share at a sample is known."""

    negative: int = Field(ge=0, description="the class that is taken out; with a law, its component, from 0")
    law: MixtureLaw | None = Field(
        None, description="what the model has learnt, where it is known: then all is exact, and prior does not count"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.law is not None and self.negative >= len(self.law.weights):
            raise ValueError(
                f"negative: found {self.negative}, the law has components 0 to {len(self.law.weights) - 1}"
            )
        return self


def deletion(
    seen: Predictions, at: Level, state: Any, draws: Draws, options: DeletionOptions
) -> "tuple[torch.Tensor, Any]":
    """``D + r / (1 - r) (D - D_k)``: the denoiser of the law without its part k, r the share of k at (x, sigma).

    For D = r D_k + (1 - r) D_rest of any law with a part k of share pi_k, r = pi_k p_k(x; sigma) / p(x; sigma), this is
    D_rest, exactly. Of a ``law`` that is known r and D_k follow from it; else D_k is the model's prediction with the
    class, and r is followed along the path, which is dynamic negative guidance (:func:`feedback.dynamic_negative`).
    Constant negative guidance instead leaves much of the mode, or leads samples off every mode.
    """
    if options.law is None:
        return dynamic_negative(seen, at, state, draws, options)
    odds, gone = options.law.parted(seen.noisy, at.sigma, options.negative)
    return seen.conditional + grown(odds.clamp(max=MOST), seen.conditional - gone), state


def asked_as_deleted(options: DeletionOptions, model: Mapping[str, Any]) -> str:
    """Without a law, what dynamic negative guidance leaves."""
    return asked_as_negative(options, model) if options.law is None else ""


def told_of(options: DeletionOptions) -> Mapping[str, int]:
    """The class, where nothing else says what is taken out."""
    return negative_of(options) if options.law is None else {}
