"""The tasks of reward-weighted regression, DRaFT and Diffusion-DPO."""

from typing import Any

import numpy as np
import torch

from ..core import seeds
from ..core.images import to_unit
from ..core.run import Run
from ..core.sets import SampleSet
from ..engine.task import Batch
from ..rewards.gradients import DIFFERENTIABLE
from . import policy
from .base import Given
from .denoising import NONE, noised
from .pairs import Pairs, judged, preferred_by
from .policy import posterior, through_last
from .rewarded import Rewarded
from .rewarding import without_a_step


class RWR(Rewarded):
    """how: the options of ``rwr``. clean: the rollouts of a round, (n, ...). share: (n,), their weights. made: rounds
    whose rollouts were made."""

    def __init__(self, task: Any, how: Any, run: Run, model: Any, given: Given):
        super().__init__(task, how, run, model, given)
        if message := without_a_step(self.options, how, how.rounds):
            raise ValueError(message)
        steps = run.steps(self.batch)
        self.begins = [round(steps * index / how.rounds) for index in range(how.rounds)]
        self.labels = self.labels_of(how.samples)
        self.clean = torch.zeros(how.samples, *self.shape, device=self.where)
        self.share = torch.zeros(how.samples, device=self.where)
        self.made = torch.zeros((), dtype=torch.int64)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """Rollouts of the round, drawn with replacement, each with a noise level and noise."""
        self.begun()
        if int(self.made) < len(self.begins) and int(self.step) >= self.begins[int(self.made)]:
            self._roll_out()
            self.made += 1
        rows = torch.randint(self.how.samples, (count,), device=self.where)
        own = {"clean": self.clean[rows], "label": self.labels[rows], "share": self.share[rows]}
        return own | super().draw(count)

    def _roll_out(self) -> None:
        _, end = self.rolled_out(self.labels)
        rewards = self.liked(self.released(end, self.labels))
        if self.how.unit == "deviation":
            rewards = policy.advantages(rewards, self.labels, np.inf)
        self.clean.copy_(end)
        self.share.copy_(policy.reward_weights(rewards, self.labels, self.how.temperature))

    def loss(self, batch: Batch) -> torch.Tensor:
        drawn = batch.draws
        return drawn["share"] * self.errors(drawn["clean"], drawn["clean"], drawn, drawn["label"])

    def tensors(self) -> dict[str, torch.Tensor]:
        return super().tensors() | {"clean": self.clean, "share": self.share, "made": self.made}


class DRaFT(Rewarded):
    """how: the options of ``draft``; liked: those of its reward."""

    def __init__(self, task: Any, how: Any, run: Run, model: Any, given: Given, liked: Any):
        super().__init__(task, how, run, model, given)
        self.of, self.options_liked = DIFFERENTIABLE[how.reward.name], liked
        scale = model.scale
        self.unit = None if scale is None else [torch.from_numpy(one).to(self.where) for one in vars(scale).values()]

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """All noise of each rollout, (count, steps, ...), and its class."""
        self.begun()
        own = torch.tensor(self.tuned_on, device=self.where)
        label = own[torch.randint(len(own), (count,), device=self.where)]
        return {"label": label, "noise": torch.randn(count, self.how.steps, *self.shape, device=self.where)}

    def loss(self, batch: Batch) -> torch.Tensor:
        """Minus the reward of each rollout, whose gradient goes through its last steps."""
        noise, label = batch.draws["noise"], batch.draws["label"]

        def step(index: int, x: torch.Tensor) -> torch.Tensor:
            sigma = self.levels[index].expand(len(x))
            denoised = self.denoised(x, sigma, label)
            if index == self.how.steps - 1:
                return denoised
            mean, sd = posterior(x, denoised, sigma, self.levels[index + 1].expand(len(x)))
            return mean + sd * noise[:, index + 1]

        end = through_last(step, self.levels[0] * noise[:, 0], self.how.steps, self.how.last)
        if self.unit is not None:
            location, width = self.unit
            end = location + width * end.double()
        return -self.of(end, self.options_liked).float()


class DPO(Rewarded):
    """how: the options of ``dpo``. chosen, rejected: (m, ...), the pairs as the network sees them; labels: (m,)."""

    def __init__(self, task: Any, how: Any, run: Run, model: Any, given: Given):
        super().__init__(task, how, run, model, given)
        pairs = self._pairs()
        labels = pairs.samples.labels
        told = labels is not None and bool(self.classes)
        label = np.asarray(labels)[pairs.chosen] if told else np.full(len(pairs.chosen), NONE, np.int64)
        kept = np.isin(label, self.tuned_on) if told else np.ones(len(label), bool)
        if not kept.any():
            raise ValueError(f"pairs: found {len(label)}, none of a class that is tuned on; allowed are some that are")
        self.labels = torch.from_numpy(label[kept].astype(np.int64)).to(self.where)
        self.chosen, self.rejected = (self._seen(pairs.samples, rows[kept]) for rows in pairs[1:])

    def _pairs(self) -> Pairs:
        how = self.how
        if how.ballots is not None:
            pairs = judged(how.ballots, how.pool)
            if pairs.samples.data.shape[1:] != tuple(self.shape):
                found = f"samples of shape {pairs.samples.data.shape[1:]}"
                raise ValueError(f"pool: found {found} in {how.pool}; allowed are the model's, {tuple(self.shape)}")
            return pairs
        samples = self.given.own(how.samples)
        rewards = self.given.rewards["reward"](samples)
        seed = seeds.seed_of(self.seed, None, None, "preferences")
        return preferred_by(samples, rewards, how.temperature, seed)

    def _seen(self, samples: SampleSet, rows: np.ndarray) -> torch.Tensor:
        """Some samples as the network sees them."""
        data, scale = np.asarray(samples.data)[rows], self.model.scale
        seen = to_unit(data) if scale is None else scale.standardised(data).astype(np.float32)
        return torch.from_numpy(seen).to(self.where)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """Pairs, drawn with replacement, each with a noise level and noise for both."""
        self.begun()
        rows = torch.randint(len(self.labels), (count,), device=self.where)
        own = {"chosen": self.chosen[rows], "rejected": self.rejected[rows], "label": self.labels[rows]}
        return own | super().draw(count)

    def loss(self, batch: Batch) -> torch.Tensor:
        drawn = batch.draws
        fall = [self._fall(drawn[name], batch) for name in ("chosen", "rejected")]
        return policy.preference(*fall, self.how.beta)

    def _fall(self, clean: torch.Tensor, batch: Batch) -> torch.Tensor:
        """By how much the error on rows is below that of the model before, (B,)."""
        drawn = batch.draws
        before = self.denoised_before(noised(clean, drawn), drawn["sigma"], drawn["label"])
        weight = self.task.parameterisation.loss_weight(drawn["sigma"])
        earlier = weight * (before - clean).square().flatten(1).mean(1)
        return earlier - self.errors(clean, clean, drawn, drawn["label"])

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"pairs": len(self.labels)}
