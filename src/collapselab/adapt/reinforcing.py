"""The task of DDPO: rollouts at the beginning of every iteration, and a policy gradient on their transitions."""

from typing import Any

import torch

from ..core.run import Run
from ..engine.task import Batch
from . import policy
from .base import Given
from .denoising import NONE
from .policy import posterior
from .rewarded import Rewarded
from .rewarding import unguided


class DDPO(Rewarded):
    """how: the options of ``ddpo``. states: the rows of an iteration's rollouts at every level, (steps, n, ...).
    earlier: (steps - 1, n), the log-probability of each transition by the policy that acted. worth: (n,), advantages.
    order: in which transitions are learnt from, one epoch after another. made: the iterations that were rolled out.
    """

    def __init__(self, task: Any, how: Any, run: Run, model: Any, given: Given):
        super().__init__(task, how, run, model, given)
        if message := unguided(self.options, how.guidance):
            raise ValueError(message)
        self.per_iteration = how.transitions * how.inner_epochs // how.rows
        self.labels = self.labels_of(how.samples)
        self.states = torch.zeros(how.steps, how.samples, *self.shape, device=self.where)
        self.earlier = torch.zeros(how.steps - 1, how.samples, device=self.where)
        self.worth = torch.zeros(how.samples, device=self.where)
        self.order = torch.zeros(how.inner_epochs * how.transitions, dtype=torch.int64, device=self.where)
        self.made = torch.zeros((), dtype=torch.int64)
        self.reward = torch.zeros((), device=self.where)

    def guided(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self._guided(self.denoised, x, sigma, labels)

    def guided_before(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self._guided(self.denoised_before, x, sigma, labels)

    def _guided(self, denoised: Any, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weight, told = self.how.guidance, denoised(x, sigma, labels)
        if not weight:
            return told
        return (1 + weight) * told - weight * denoised(x, sigma, torch.full_like(labels, NONE))

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        """The next transitions of the iteration, whose rollouts are made where it begins."""
        self.begun()
        iteration, place = divmod(int(self.step), self.per_iteration)
        if int(self.made) == iteration:
            self._roll_out()
            self.made += 1
        rows = self.order[place * count : (place + 1) * count]
        level, rollout = rows // self.how.samples, rows % self.how.samples
        return {
            "state": self.states[level, rollout],
            "action": self.states[level + 1, rollout],
            "sigma": self.levels[level],
            "following": self.levels[level + 1],
            "label": self.labels[rollout],
            "earlier": self.earlier[level, rollout],
            "worth": self.worth[rollout],
        }

    def _roll_out(self) -> None:
        """Make an iteration's rollouts, and shuffle their transitions."""
        how, labels = self.how, self.labels
        states, end = self.rolled_out(labels)
        self.states.copy_(states)
        for index in range(how.steps - 1):
            mean, sd = self.stepped(states[index], index, labels)
            self.earlier[index] = policy.log_probability(states[index + 1], mean, sd, how.log_probability)
        reward = self.liked(self.released(end, labels))
        self.worth.copy_(policy.advantages(reward, labels, how.advantage_clip))
        self.reward.copy_(reward.mean())
        epochs = [torch.randperm(how.transitions, device=self.where) for _ in range(how.inner_epochs)]
        self.order.copy_(torch.cat(epochs))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Of each transition: :func:`policy.clipped` or :func:`policy.score_function`, and the KL where it is asked."""
        drawn, how = batch.draws, self.how
        x, sigma, following, labels = (drawn[name] for name in ("state", "sigma", "following", "label"))
        mean, sd = posterior(x, self.guided(x, sigma, labels), sigma, following)
        chance = policy.log_probability(drawn["action"], mean, sd, how.log_probability)
        if how.form == "score_function":
            loss = policy.score_function(chance, drawn["worth"])
        else:
            loss, _ = policy.clipped(chance, drawn["earlier"], drawn["worth"], how.clip)
        if how.kl_weight:
            before, _ = posterior(x, self.guided_before(x, sigma, labels), sigma, following)
            loss = loss + how.kl_weight * policy.path_divergence(mean, before, sd, how.log_probability)
        return loss

    def tensors(self) -> dict[str, torch.Tensor]:
        own = {"states": self.states, "earlier": self.earlier, "worth": self.worth, "order": self.order}
        return super().tensors() | own | {"made": self.made, "rollout_reward": self.reward}

    def watched(self) -> dict[str, torch.Tensor]:
        return {"rollout_reward": self.reward}
