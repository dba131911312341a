"""The optimiser of every network here. ``torch.optim`` is not used: importing it takes longer than many a training."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch


class Adam:
    """Adam (Kingma and Ba 2015, Algorithm 1), all parameters at once.

    m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2,    theta <- theta - lr (m / c1) / (sqrt(v / c2) + eps)

    with g the gradient, and c1 = 1 - b1^t, c2 = 1 - b2^t at step t.

    The parameters are of one dtype and on one device.

    lr: the learning rate; may be set between steps, as a schedule does.
    m, v: the moments, one tensor a parameter, on its device and of its dtype.
    count: t, how many steps were taken, as a float32 tensor on the device (exact up to 2^24 steps): a step waits for
    nothing.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        self.parameters = list(parameters)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.m = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.v = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.count = torch.zeros((), device=self.parameters[0].device)

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """Move every parameter along its gradient, one a parameter and of its shape.

        Raises ValueError when there are more or fewer of them.
        """
        if len(gradients) != len(self.parameters):
            raise ValueError(f"gradients: found {len(gradients)}, allowed are {len(self.parameters)}, one a parameter")
        first, second = self.betas
        self.count += 1
        # One pass over the memory; the foreach operators make seven. It is what torch.optim.Adam(fused=True) calls.
        torch._fused_adam_(
            self.parameters,
            [_laid_out_as(parameter, gradient) for parameter, gradient in zip(self.parameters, gradients, strict=True)],
            self.m,
            self.v,
            [],
            [self.count] * len(self.parameters),
            lr=self.lr,
            beta1=first,
            beta2=second,
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on besides the parameters: ``count``, ``lr``, ``m.0``, ``v.0``, ..."""
        moments = {f"m.{i}": m for i, m in enumerate(self.m)} | {f"v.{i}": v for i, v in enumerate(self.v)}
        arrays = {name: moment.cpu().numpy().copy() for name, moment in moments.items()}
        return {"count": self.count.cpu().numpy().copy(), "lr": np.array(self.lr, np.float64), **arrays}

    @torch.no_grad()
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a :meth:`state`, to the same bits."""
        self.count.fill_(float(state["count"]))
        self.lr = float(state["lr"])
        for name, moments in (("m", self.m), ("v", self.v)):
            for index, moment in enumerate(moments):
                moment.copy_(torch.from_numpy(np.array(state[f"{name}.{index}"])))


class ClippedAdam(Adam):
    """:class:`Adam` of gradients whose norm, over all parameters, is at most ``most``: longer ones are shortened
    (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1)."""

    def __init__(self, parameters: Iterable[torch.Tensor], lr: float, most: float):
        super().__init__(parameters, lr)
        self.most = most

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        factor = (self.most / norm.clamp(min=1e-30)).clamp(max=1.0)
        super().step([gradient * factor for gradient in gradients])


def _laid_out_as(parameter: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient with its numbers in the parameter's order in memory, which the fused step needs."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
