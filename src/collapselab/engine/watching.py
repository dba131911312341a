"""How a sampler's path is watched, which changes nothing of it: what stands in ``Ask.guide`` in the place of a rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .steering import Denoise, Denoiser, Level

if TYPE_CHECKING:
    import numpy as np
    import torch


class Path(NamedTuple):
    """What was seen of n samples' paths, each (n,) float64.

    variance: of the denoised rows along the watched steps, averaged over pixels, in the sampler's units (images in
    [-1, 1], vectors standardised). slope: tr dD/dx over the number of pixels, averaged over these steps; nan unwatched.
    dimension: the local dimension around the denoised rows over the number of pixels, averaged alike; nan unwatched.
    """

    variance: "np.ndarray"
    slope: "np.ndarray"
    dimension: "np.ndarray"


@dataclass(frozen=True, eq=False)
class Watching:
    """Watches the denoised rows D(x; sigma) of a part of the path, which begins at 0 with noise and ends at 1.

    begin, end: of the part; steps i of n with begin <= i / n < end, whose first evaluation is watched. probes: random
    vectors v of signs, a number for each pixel, that estimate the trace of dD/dx by the mean of

        v . (D(x + h v) - D(x)) / h,    h = ``reach`` * sigma

    (Hutchinson 1990), at one more evaluation each; 0 for none. It is the Laplacian of the log-density but for its
    scale: tr dD/dx = d + sigma^2 Laplacian log p (x; sigma), as D = x + sigma^2 score.

    tangents: as many such vectors for the local dimension at the clean row y = D(x; sigma), at the scale sigma,

        tr dD/dy + |D(y) - y|^2 / sigma^2 = d + d log p(y; sigma) / d log sigma

    (FLIPD, Kamkari et al. 2024, arXiv 2406.03537): k where y lies on a manifold of k dimensions that is flat at that
    scale, more in a gap, where blurring brings density. One more evaluation than there are vectors; 0 for none.
    """

    begin: float
    end: float
    probes: int = 0
    tangents: int = 0
    reach: float = 0.05
    others: Mapping[str, Any] = field(default_factory=dict)  # as of a rule: no further models
    _batches: "list[_Batch]" = field(default_factory=list, repr=False)

    def denoisers(self, where: "torch.device") -> dict[str, Denoiser]:
        """No further models."""
        return {}

    def steered(
        self,
        denoise: Denoiser,
        unconditional: Denoiser,
        others: Mapping[str, Denoiser],
        draws: Callable[[int], "torch.Tensor"],
    ) -> Denoise:
        """What a sampler asks for one batch: the model, as it is, while its answers are counted."""
        batch = _Batch()
        self._batches.append(batch)

        def asked(x: "torch.Tensor", at: Level, condition: "torch.Tensor | None") -> "torch.Tensor":
            denoised = denoise(x, at.sigma, condition)
            if self._watches(at):
                batch.count(denoised)

                def slope(y: "torch.Tensor", seen: "torch.Tensor", probe: int, probes: int) -> "torch.Tensor":
                    """v . (D(y + h v) - D(y)) / h over the pixels, D(y) = seen."""
                    signs = draws(at.step * probes + probe).sign().to(y.dtype)
                    reach = self.reach * at.sigma
                    moved = denoise(y + reach * signs, at.sigma, condition)
                    return (signs * (moved - seen) / reach).flatten(1).mean(dim=1)

                for probe in range(self.probes):
                    batch.slopes.append(slope(x, denoised, probe, self.probes).cpu().numpy())
                if self.tangents:
                    again = denoise(denoised, at.sigma, condition)
                    off = (again - denoised).square().flatten(1).mean(dim=1) / at.sigma**2
                    traces = [slope(denoised, again, probe, self.tangents) for probe in range(self.tangents)]
                    batch.dimensions.append((off + sum(traces) / self.tangents).cpu().numpy())
            return denoised

        return asked

    def _watches(self, at: Level) -> bool:
        return not at.corrects and self.begin <= at.step / at.steps < self.end

    def path(self, count: int) -> Path:
        """What was seen of the first ``count`` samples. Raises ValueError where fewer than two steps were watched."""
        import numpy as np

        if not self._batches or self._batches[0].steps < 2:
            raise ValueError(
                f"window: found {self.begin:g} to {self.end:g} of the path, in which fewer than two steps begin; "
                "allowed is a longer part, or a model with more steps"
            )
        variance = np.concatenate([one.variance() for one in self._batches])[:count]

        def mean(found: "list[np.ndarray]", rows: int) -> "np.ndarray":
            return np.mean(found, axis=0) if found else np.full(rows, np.nan)

        slopes = [mean(one.slopes, one.rows) for one in self._batches]
        dimensions = [mean(one.dimensions, one.rows) for one in self._batches]
        return Path(variance, np.concatenate(slopes)[:count], np.concatenate(dimensions)[:count])


class _Batch:
    """Mean and sum of squared deviations of what is counted, step by step (Welford 1962): no step is kept."""

    def __init__(self) -> None:
        self.steps, self.mean, self.squares = 0, None, None
        self.slopes: list[np.ndarray] = []
        self.dimensions: list[np.ndarray] = []

    @property
    def rows(self) -> int:
        return len(self.mean)

    def count(self, denoised: "torch.Tensor") -> None:
        self.steps += 1
        if self.mean is None:
            self.mean, self.squares = denoised.clone(), denoised.new_zeros(denoised.shape)
            return
        off = denoised - self.mean
        self.mean = self.mean + off / self.steps
        self.squares = self.squares + off * (denoised - self.mean)

    def variance(self) -> "np.ndarray":
        """Over the steps, averaged over pixels: (rows,) float64."""
        return (self.squares / self.steps).flatten(1).mean(dim=1).double().cpu().numpy()
