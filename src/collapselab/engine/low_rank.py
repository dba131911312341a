"""Low-rank updates of a network's weights."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ..core import seeds
from ..machine.device import exact


class LowRank(nn.Module):
    """Updates B A of rank r to the matrices of a network (LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    Each parameter W of at least two axes, seen as a matrix (n, m) of its first axis by the others, becomes W + B A with
    B (n, r) and A (r, m); A is uniform within +-1 / sqrt(m) at first, and B is 0, so that the network is the same.
    Where r is not below the smaller side the parameter has its whole update, which costs less. Others stay as they are.
    """

    def __init__(self, network: nn.Module, rank: int, seed: int):
        super().__init__()
        self.shapes = {name: one.shape for name, one in network.named_parameters() if one.dim() > 1}
        where = next(network.parameters()).device
        self.up, self.down = nn.ParameterList(), nn.ParameterList()
        # Drawn on the CPU: the same on every device.
        with exact(torch.device("cpu")) as generator:
            for name, shape in self.shapes.items():
                generator.manual_seed(seeds.seed_of(seed, None, None, f"low rank/{name}"))
                n, m = shape[0], math.prod(shape[1:])
                r = min(rank, n, m)
                self.up.append(torch.zeros(n, r, device=where))
                self.down.append((torch.empty(r, m).uniform_(-1, 1) / math.sqrt(m)).to(where))

    def weights(self, network: nn.Module) -> dict[str, torch.Tensor]:
        """The updated parameters by name, differentiable in A and B."""
        own = dict(network.named_parameters())
        pairs = zip(self.shapes.items(), self.up, self.down, strict=True)
        return {name: own[name].detach() + (up @ down).reshape(shape) for (name, shape), up, down in pairs}

    def called(self, network: nn.Module) -> Callable[..., torch.Tensor]:
        """The network with its updated parameters."""

        def updated(*said: Any) -> torch.Tensor:
            return functional_call(network, self.weights(network), said)

        return updated

    def merged(self, network: nn.Module) -> Mapping[str, torch.Tensor]:
        """All parameters by name, the updates added."""
        return {name: one.detach() for name, one in (dict(network.named_parameters()) | self.weights(network)).items()}
