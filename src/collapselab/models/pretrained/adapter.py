"""The adapter: low-rank updates of a network's matrices (LoRA, Hu et al. 2021, https://arxiv.org/abs/2106.09685).

Of a frozen W the network computes W x + (alpha / rank) B A x, with A (rank, in) and B (out, rank). They are never added
to W: what was added and taken away again is no longer the same to the last bit.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from ...core.seeds import seed_of
from ...machine.device import exact
from .options import PretrainedOptions

NAME = "default"  # of the one adapter; peft writes it into the names of its weights


class Updates(nn.Module):
    """The matrices of an adapter as a module of their own, by their names in the network, whose they stay."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]):
        super().__init__()
        for name, parameter in parameters.items():
            home: nn.Module = self
            *places, last = name.split(".")
            for place in places:
                if place not in home._modules:
                    home.add_module(place, nn.Module())
                home = home.get_submodule(place)
            home.register_parameter(last, parameter)


def added(unet: nn.Module, options: PretrainedOptions, seed: int = 0) -> dict[str, nn.Parameter]:
    """Put an adapter into a network, and its matrices by name: A as peft draws it from a seed, B zero, float32.

    Raises ValueError where none of the network's matrices is meant.
    """
    from peft import LoraConfig

    if not shapes(unet, options):
        raise ValueError(f"lora_targets: found {', '.join(options.lora_targets)}, and the network has no such matrix")
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seed_of(seed, None, None, "network"))
        targets = list(options.lora_targets)
        unet.add_adapter(
            LoraConfig(r=options.lora_rank, lora_alpha=options.alpha, target_modules=targets), adapter_name=NAME
        )
    found = {}
    for name, parameter in unet.named_parameters():
        if f".{NAME}." in name and ".lora_" in name:
            parameter.data = parameter.data.float()
            found[name.replace(f".{NAME}.", ".")] = parameter.requires_grad_(True)
    return found


def shapes(unet: nn.Module, options: PretrainedOptions) -> dict[str, tuple[int, ...]]:
    """The names and shapes of an adapter's matrices, of a network that has none; it may be without numbers."""
    found = {}
    for name, module in unet.named_modules():
        if any(name == target or name.endswith(f".{target}") for target in options.lora_targets):
            if not isinstance(module, nn.Linear):
                raise ValueError(f"lora_targets: {name} is a {type(module).__name__}; allowed are matrices")
            found[f"{name}.lora_A.weight"] = (options.lora_rank, module.in_features)
            found[f"{name}.lora_B.weight"] = (module.out_features, options.lora_rank)
    return found


def filled(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, np.ndarray]) -> None:
    """Copy an adapter's weights into its place. Raises ValueError unless names and shapes are the same."""
    from ...engine.networks import check_shapes

    check_shapes(parameters, weights)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.array(weights[name])))
