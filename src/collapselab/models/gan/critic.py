"""What the discriminator says of rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...engine import networks
from ...engine.scale import Scale, numbers
from ...machine.device import device, exact
from .options import GANOptions
from .training import build


@torch.inference_mode()
def logits(
    options: GANOptions, weights: Mapping[str, np.ndarray], scale: Scale, shape: Sequence[int], data: np.ndarray
) -> np.ndarray:
    """The logit of each row being real, (n,) float64, in batches of one size: rounding depends on it."""
    where, size = device(), options.sample_batch
    found = np.empty(len(data))
    with exact(where):
        network = networks.evaluated(lambda: build(options, shape), weights, where)["discriminator"]
        for start in range(0, len(data), size):
            part = scale.standardised(numbers(data[start : start + size]))
            rows = torch.zeros(size, part.shape[1], dtype=torch.float64, device=where)
            rows[: len(part)] = torch.from_numpy(part)
            found[start : start + len(part)] = network(rows)[: len(part), 0].cpu().numpy()
    return found
