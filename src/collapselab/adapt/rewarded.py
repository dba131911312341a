"""A tuning by a reward: its rollouts, and a record of what the reward costs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..core import seeds
from ..core.errors import Diverged
from ..core.images import to_uint8
from ..core.run import Run
from ..core.sets import SampleSet
from ..engine.optim import ClippedAdam
from ..samplers.levels import discrete_levels, time_levels
from .base import Given
from .checked import Checked, listed
from .denoising import Tuning
from .policy import path_divergence, posterior
from .rewarding import MEASURED, RewardedOptions, tuned_on

PATHS = 128  # rollouts by which the KL of paths is estimated
NUMBERS = ("images_seen", *MEASURED)


class Rewarded(Checked, Tuning):
    """A :class:`Tuning` whose network is sampled on the way, and :class:`Checked`.

    by_class: the mean reward of each class at every check; it is state, too.
    """

    numbers = NUMBERS
    learns_rows = False  # it learns what it makes by itself

    def __init__(self, task: Any, how: RewardedOptions, run: Run, model: Any, given: Given):
        super().__init__(task, how, run)
        self.model, self.given, self.seed = model, given, run.seed
        self.classes = self.options.classes
        self.tuned_on = tuned_on(self.classes, how.classes_left_out)
        self.levels = levels_of(model, how, self.where)
        self.parameters = list(self.networks["denoiser"].parameters())
        self.check_from(run.steps(how.batch or self.options.batch))
        self.by_class = torch.full((len(self.points), max(self.classes, 1)), math.nan, dtype=torch.float64)

    def optimiser(self, moved: torch.nn.Module) -> ClippedAdam:
        return ClippedAdam(moved.parameters(), self.how.learning_rate, self.how.gradient_norm)

    # -- rollouts ------------------------------------------------------------------------------------------------------

    def labels_of(self, count: int) -> torch.Tensor:
        """The classes of so many rollouts, each of those that are tuned on equally often: (count,) int64."""
        own = torch.tensor(self.tuned_on, device=self.where)
        return own[torch.arange(count, device=self.where) % len(own)]

    @torch.no_grad()
    def rolled_out(
        self, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rollouts by ancestral steps: the rows at every noise level, (steps, n, ...), and at the end, (n, ...).

        generator: whose random numbers they are made of; None for the device's. Raises Diverged for rows that are no
        numbers.
        """

        def normals() -> torch.Tensor:
            return torch.randn(len(labels), *self.shape, device=self.where, generator=generator)

        x = self.levels[0] * normals()
        states = [x]
        for index in range(len(self.levels) - 1):
            mean, sd = self.stepped(x, index, labels)
            x = mean + sd * normals()
            states.append(x)
        end = self.guided(x, self.levels[-1].expand(len(x)), labels)
        if not torch.isfinite(end).all():
            raise Diverged(int(self.step) * self.batch, math.nan)
        return torch.stack(states), end

    def stepped(self, x: torch.Tensor, index: int, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the step from one of the levels to the next."""
        now, following = (self.levels[one].expand(len(x)) for one in (index, index + 1))
        return posterior(x, self.guided(x, now, labels), now, following)

    def guided(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The denoiser that acts; subclasses may guide it."""
        return self.denoised(x, sigma, labels)

    def guided_before(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The same of the network as it was."""
        return self.denoised_before(x, sigma, labels)

    def released(self, rows: torch.Tensor, labels: torch.Tensor) -> SampleSet:
        """Rows as samples are released: images as bytes, vectors in their own units."""
        found = rows.detach().cpu().double().numpy()
        data = to_uint8(found) if self.model.scale is None else self.model.scale.restored(found)
        return SampleSet(data, labels.cpu().numpy() if self.classes else None)

    def liked(self, samples: SampleSet) -> torch.Tensor:
        """The reward of each sample, (n,) float64; NaN where there is none."""
        reward = self.given.rewards.get("reward")
        found = np.full(len(samples), np.nan) if reward is None else reward(samples)
        return torch.from_numpy(np.asarray(found, np.float64)).to(self.where)

    # -- what it costs -------------------------------------------------------------------------------------------------

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.how.batch or self.options.batch

    def tensors(self) -> dict[str, torch.Tensor]:
        return super().tensors() | {"by_class": self.by_class}

    def _measure(self, index: int, images_seen: int) -> None:
        """All numbers of a check, of samples that the arm's sampler makes of the same noise at each."""
        count = len(self.given.validation) if self.real is not None else PATHS
        samples = self.given.own(count, 0, self.model.with_weights(self.result()))
        liked = self.liked(samples)
        labels = torch.zeros(count, dtype=torch.int64) if samples.labels is None else torch.from_numpy(samples.labels)
        for one in labels.unique().tolist():
            self.by_class[index, one] = liked.cpu()[labels == one].mean()
        found = {"images_seen": images_seen, "reward": float(liked.mean()), "path_kl": self._path_kl()}
        self._write(index, samples.data, found)

    @torch.no_grad()
    def _path_kl(self) -> float:
        """KL of the paths of ancestral rollouts from those of the model before, in nats: of :data:`PATHS` of them."""
        generator = torch.Generator(self.where).manual_seed(seeds.seed_of(self.seed, None, None, "paths"))
        labels, total = self.labels_of(PATHS), torch.zeros(PATHS, dtype=torch.float64, device=self.where)
        states, _ = self.rolled_out(labels, generator)
        for index, x in enumerate(states[:-1]):
            now, following = (self.levels[one].expand(PATHS) for one in (index, index + 1))
            mean, sd = self.stepped(x, index, labels)
            before, _ = posterior(x, self.guided_before(x, now, labels), now, following)
            total += path_divergence(mean, before, sd).double()
        return float(total.mean())

    def facts(self) -> dict[str, Any]:
        """What stands in the lineage: ``checks``, ``stopped`` and, of a model with classes, ``transfer``."""
        facts = super().facts()
        if self.classes and "reward" in self.given.rewards:
            facts["transfer"] = transfer(self.by_class[0], self.by_class[self.last], self.tuned_on)
        return facts


# -- numbers -----------------------------------------------------------------------------------------------------------


def levels_of(model: Any, how: RewardedOptions, where: torch.device) -> torch.Tensor:
    """The falling noise levels of ancestral rollouts, (steps,) float32, without the 0 at their end.

    A step's gradient of log p is as large as 1 / sigma', and what it does to the end as small as sigma': of levels far
    below the data's own detail there is noise to learn and nothing else. Raises ValueError for a ``lowest`` above all.
    """
    from ..models.diffusion.sampling import noise_of

    noise = noise_of(model.denoiser(where))
    if how.lowest >= noise.sigma_max:
        raise ValueError(f"lowest: found {how.lowest:g}, allowed are numbers below {noise.sigma_max:g}, the highest")
    if noise.sigmas is None:
        levels = time_levels(how.steps, max(noise.sigma_min, how.lowest), noise.sigma_max)
    else:
        levels = discrete_levels(how.steps, noise.sigmas[noise.sigmas >= how.lowest], True)
    return torch.from_numpy(levels).float().to(where)


def transfer(before: torch.Tensor, after: torch.Tensor, tuned: Sequence[int]) -> Mapping[str, Any]:
    """The mean reward of the classes that were tuned on and of those that were not, before and after.

    before, after: (classes,). The means are those of the classes, each counted once.
    """

    def of(classes: Sequence[int]) -> dict[str, Any]:
        pairs = [(float(before[one]), float(after[one])) for one in classes]
        means = [sum(column) / len(column) for column in zip(*pairs, strict=True)] if pairs else [math.nan] * 2
        return {"classes": list(classes), "before": listed(means)[0], "after": listed(means)[1]}

    others = [one for one in range(len(before)) if one not in tuned]
    by_class = [{"class": c, "before": listed([b])[0], "after": listed([a])[0]}
                for c, (b, a) in enumerate(zip(before.tolist(), after.tolist(), strict=True))]  # fmt: skip
    found = {"tuned": of(tuned), "by_class": by_class}
    return found | ({"left_out": of(others)} if others else {})
