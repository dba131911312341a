"""How a training's steps are executed on a machine: memory layout, compiler, CUDA graphs, size of a micro-batch.

None of it changes what is computed, but for rounding.
"""

from dataclasses import dataclass
from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Execution:
    """One way of executing steps. micro_batch: images at once; None: all of a process's part of the batch."""

    channels_last: bool = False
    compile: bool = False
    graphs: bool = False
    micro_batch: int | None = None

    def compiled(self, network: Network) -> Network:
        """The network as plain phases are to call it, compiled if that was chosen; its parameters are the same."""
        raise NotImplementedError
