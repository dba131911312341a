"""The optimiser of every network here. ``torch.optim`` is not used: importing it takes longer than many a training."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch


class Adam:
    """Adam (Kingma and Ba 2015, Algorithm 1), all parameters at once.

    m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2,    theta <- theta - lr (m / c1) / (sqrt(v / c2) + eps)

    with g the gradient, and c1 = 1 - b1^t, c2 = 1 - b2^t at step t.

    The parameters are of one dtype and on one device.

    lr: the learning rate; may be set between steps, as a schedule does.
    m, v: the moments, one tensor a parameter, on its device and of its dtype.
    count: t, how many steps were taken.
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
        self.count = 0

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter along its gradient, and forget the gradients.

        Raises ValueError when a parameter has none.
        """
        gradients = [parameter.grad for parameter in self.parameters]
        missing = [index for index, gradient in enumerate(gradients) if gradient is None]
        if missing:
            raise ValueError(f"parameters: number {missing[0]} has no gradient; all need one before a step")
        first, second = self.betas
        self.count += 1
        count = torch.tensor(float(self.count), device=self.parameters[0].device)
        # One pass over the memory; the foreach operators make seven. It is what torch.optim.Adam(fused=True) calls.
        torch._fused_adam_(
            self.parameters,
            gradients,
            self.m,
            self.v,
            [],
            [count] * len(self.parameters),
            lr=self.lr,
            beta1=first,
            beta2=second,
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on besides the parameters: arrays ``count``, ``m.0``, ``v.0``, ``m.1``, ..."""
        moments = {f"m.{i}": m for i, m in enumerate(self.m)} | {f"v.{i}": v for i, v in enumerate(self.v)}
        arrays = {name: moment.cpu().numpy().copy() for name, moment in moments.items()}
        return {"count": np.array(self.count), **arrays}

    @torch.no_grad()
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a :meth:`state`, to the same bits."""
        self.count = int(state["count"])
        for name, moments in (("m", self.m), ("v", self.v)):
            for index, moment in enumerate(moments):
                moment.copy_(torch.from_numpy(np.array(state[f"{name}.{index}"])))
