"""A tuning by a reward: its rollouts, and a record of what the reward costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..core import seeds
from ..core.errors import Diverged, Undefined
from ..core.images import to_uint8
from ..core.run import Run
from ..core.sets import SampleSet
from ..engine.optim import ClippedAdam
from ..metrics import frechet_distance, precision, recall
from ..samplers.levels import discrete_levels, time_levels
from .base import Given
from .denoising import Tuning
from .policy import path_divergence, posterior
from .rewarding import MEASURED, RewardedOptions, tuned_on

PATHS = 128  # rollouts by which the KL of paths is estimated
NUMBERS = ("images_seen", *MEASURED)


class Rewarded(Tuning):
    """A :class:`Tuning` whose network is sampled on the way.

    checks: (checks + 1, numbers) float64, what was measured at the start and at evenly spaced points, NaN where nothing
    was; by_class: the mean reward of each class at them. Both are state: a training that goes on knows them.
    """

    learns_rows = False  # it learns what it makes by itself

    def __init__(self, task: Any, how: RewardedOptions, run: Run, model: Any, given: Given):
        super().__init__(task, how, run)
        self.model, self.given, self.seed = model, given, run.seed
        self.classes = self.options.classes
        self.tuned_on = tuned_on(self.classes, how.classes_left_out)
        self.levels = levels_of(model, how, self.where)
        self.points = points_of(run.steps(how.batch or self.options.batch), how.checks)
        self.step = torch.zeros((), dtype=torch.int64)
        self.checks = torch.full((len(self.points), len(NUMBERS)), math.nan, dtype=torch.float64)
        self.by_class = torch.full((len(self.points), max(self.classes, 1)), math.nan, dtype=torch.float64)
        self.stopped = torch.zeros((), dtype=torch.int64)
        self.parameters = list(self.networks["denoiser"].parameters())
        self.kept = [one.detach().clone() for one in self.parameters] if how.stop == "knee" else []
        self.real = given.look[how.extractor](given.validation.data) if how.extractor else None

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

    def begun(self) -> None:
        """Measure the start, if nobody has; to be called from ``draw``, where all random numbers are."""
        if not torch.isfinite(self.checks[0, 0]):
            self._measure(0, 0)

    def after_step(self, images_seen: int, batch: int) -> None:
        self.step += 1
        if int(self.step) not in self.points:
            return
        index = self.points.index(int(self.step))
        self._measure(index, images_seen)
        if self.how.stop != "knee":
            return
        if self.checks[index, NUMBERS.index("recall")] < self.floor():
            self.stopped.fill_(index)
            pairs = zip(self.parameters, self.kept, strict=True)
        else:
            pairs = zip(self.kept, self.parameters, strict=True)
        for target, source in pairs:
            target.copy_(source)

    def floor(self) -> float:
        """r - 2 sqrt(r (1 - r) / n), with the recall r at the start on n validation rows."""
        start = float(self.checks[0, NUMBERS.index("recall")])
        return start - 2 * math.sqrt(start * (1 - start) / len(self.given.validation))

    def ended(self) -> bool:
        return bool(self.stopped)

    def tensors(self) -> dict[str, torch.Tensor]:
        kept = {f"kept.{index}": one for index, one in enumerate(self.kept)}
        own = {"step": self.step, "checks": self.checks, "by_class": self.by_class, "stopped": self.stopped}
        return own | kept

    def _measure(self, index: int, images_seen: int) -> None:
        """All numbers of a check, of samples that the arm's sampler makes of the same noise at each."""
        count = len(self.given.validation) if self.real is not None else PATHS
        samples = self.given.own(count, 0, self.model.with_weights(self.result()))
        liked = self.liked(samples)
        labels = torch.zeros(count, dtype=torch.int64) if samples.labels is None else torch.from_numpy(samples.labels)
        for one in labels.unique().tolist():
            self.by_class[index, one] = liked.cpu()[labels == one].mean()
        found = {"images_seen": images_seen, "reward": float(liked.mean()), "path_kl": self._path_kl()}
        if self.real is not None:
            fake, k = self.given.look[self.how.extractor](samples.data), self.how.k
            found["recall"] = measured(recall, self.real, fake, k=k)
            found["precision"] = measured(precision, self.real, fake, k=k)
            found["frechet_distance"] = measured(frechet_distance, self.real, fake)
        self.checks[index] = torch.tensor([found.get(name, math.nan) for name in NUMBERS], dtype=torch.float64)

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
        measured = self.checks[torch.isfinite(self.checks[:, 0])]
        columns = {name: listed(measured[:, place].tolist()) for place, name in enumerate(NUMBERS)}
        columns["images_seen"] = [int(one) for one in columns["images_seen"]]
        last = int(self.stopped) - 1 if self.ended() else len(measured) - 1
        stopped: dict[str, Any] = {"at": "knee" if self.ended() else "budget", "check": last}
        stopped["images_seen"] = columns["images_seen"][last]
        if self.real is not None:
            stopped |= {"recall_floor": self.floor() if columns["recall"][0] is not None else None}
            stopped |= {"validation_rows": len(self.given.validation)}
        facts: dict[str, Any] = {"checks": columns, "stopped": stopped}
        if self.classes and "reward" in self.given.rewards:
            facts["transfer"] = transfer(self.by_class[0], self.by_class[last], self.tuned_on)
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


def points_of(steps: int, checks: int) -> list[int]:
    """The steps after which is measured, the start among them: evenly spaced, the last step the last of them."""
    return sorted({round(steps * point / checks) for point in range(checks + 1)})


def measured(metric: Callable[..., float], real: Any, fake: Any, **options: Any) -> float:
    """A metric, or NaN where the features determine none."""
    try:
        return float(metric(real, fake, **options))
    except Undefined:
        return math.nan


def listed(numbers: Sequence[float]) -> list[float | None]:
    """Numbers as JSON has them: null for what is none."""
    return [one if math.isfinite(one) else None for one in numbers]


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
