"""Ways of executing the steps of a training: memory layout, compiler, CUDA graphs, size of a micro-batch.

None of them changes what is computed, but for rounding.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

EXECUTION_VARIABLE = "COLLAPSELAB_EXECUTION"
CHOICES = ("channels_last", "compile", "graphs")
VARIANTS = 64  # of a network, by layout, size and kind of input, that are compiled in one process


@dataclass(frozen=True)
class Execution:
    """One way of executing steps.

    channels_last: images and kernels lie in memory with their channels innermost. compile: plain phases run compiled
    networks. graphs: the work of a phase is recorded once and replayed, which costs one launch instead of thousands.
    micro_batch: images at once; None: all of a process's part of the batch.
    """

    channels_last: bool = False
    compile: bool = False
    graphs: bool = False
    micro_batch: int | None = None

    @property
    def name(self) -> str:
        """As ``COLLAPSELAB_EXECUTION`` spells it: :func:`parsed` undoes it."""
        words = [choice for choice in CHOICES if getattr(self, choice)]
        words += [f"micro_batch={self.micro_batch}"] if self.micro_batch else []
        return ",".join(words) or "eager"

    def compiled(self, network: nn.Module) -> nn.Module:
        """The network as plain phases are to call it, compiled if that was chosen; its parameters are the same ones.

        What is compiled is kept in the user's cache folder, so that the next process does not compile it again.
        """
        if not self.compile:
            return network
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
        from torch._dynamo import config

        # A network is compiled for each layout, size and kind of input. Beyond torch's eight it would be run eagerly,
        # with a warning at most, and be timed so.
        config.recompile_limit = max(config.recompile_limit, VARIANTS)
        # Deterministic: kernels are not chosen by their time, which would choose the order of sums by it, too.
        return torch.compile(network, dynamic=False, options={"deterministic": True})


def parsed(text: str) -> Execution | None:
    """The way of executing that a text names: ``auto`` (None), ``eager``, or a comma list of :data:`CHOICES` and
    ``micro_batch=N``. Raises ValueError for any other."""
    words = [word.strip().lower() for word in text.split(",")]
    if words == ["auto"]:
        return None
    found: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key == "micro_batch" and value.isdigit() and int(value):
            found[key] = int(value)
        elif word in CHOICES:
            found[word] = True
        elif words != ["eager"]:
            raise ValueError(
                f"{EXECUTION_VARIABLE}: found {word!r} in {text!r}, allowed are 'auto', 'eager', or some of "
                f"{', '.join(CHOICES)} and micro_batch=N, with commas between them"
            )
    return Execution(**found)


def wanted(where: torch.device) -> Execution | None:
    """The way of executing that ``COLLAPSELAB_EXECUTION`` asks for; None leaves it to this module.

    Raises ValueError for a text that names none, and for CUDA graphs on a CPU.
    """
    execution = parsed(os.environ.get(EXECUTION_VARIABLE) or "auto")
    if execution is not None and execution.graphs and where.type != "cuda":
        raise ValueError(f"{EXECUTION_VARIABLE}: found 'graphs' on {where.type!r}, allowed only on 'cuda'")
    return execution


def cache_folder() -> Path:
    """Where what can be made again is kept: ``collapselab`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collapselab"
