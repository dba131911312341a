"""Where networks run, and how exactly. These are matters of the machine and not of the study: no option names them."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DEVICE_VARIABLE = "COLLAPSELAB_DEVICE"


def device() -> "torch.device":
    """The device that ``COLLAPSELAB_DEVICE`` names (``auto``, ``cpu``, ``cuda`` or ``cuda:1``); auto prefers CUDA.

    A CUDA device without a number is that of this process among those of its machine (torchrun's ``LOCAL_RANK``).
    Raises ValueError for another name, and for CUDA where there is none: a training asked for on a GPU must not turn up
    days later on a CPU.
    """
    import torch

    name = os.environ.get(DEVICE_VARIABLE, "auto").strip().lower()
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise ValueError(
            f"{DEVICE_VARIABLE}: found {name!r}, allowed are 'auto', 'cpu', 'cuda', 'cuda:0', 'cuda:1', ..."
        )
    found = torch.cuda.device_count() if kind != "cpu" and torch.cuda.is_available() else 0
    if kind == "cpu" or (kind == "auto" and not found):
        return torch.device("cpu")
    number = int(index or os.environ.get("LOCAL_RANK", "0"))
    if number >= found:
        wanted = repr(name) if index else f"{name!r} in process {number} of this machine"
        raise ValueError(f"{DEVICE_VARIABLE}: found {wanted}, but torch sees {found} CUDA devices")
    _let_cublas_repeat()
    return torch.device("cuda", number)


def _let_cublas_repeat() -> None:
    # torch looks at it once, at a process's first matrix product; without it all deterministic ones are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def name(where: "torch.device") -> str:
    """What the device is called: ``cpu``, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type


def default_generator(where: "torch.device") -> "torch.Generator":
    """What a device's random numbers come from where no generator is named."""
    import torch

    if where.type != "cuda":
        return torch.default_generator
    torch.cuda.init()  # the generators exist from then on
    return torch.cuda.default_generators[where.index]


@contextmanager
def exact(where: "torch.device", tf32: bool = False) -> Iterator["torch.Generator"]:
    """Within it the device repeats its bits, and its default generator, which it gives, may be reseeded freely.

    On CUDA: deterministic kernels, no benchmarking of kernels, and TF32 only if asked for. Afterwards everything, the
    generator's state too, is as it was.
    """

    generator = default_generator(where)
    state = generator.get_state()
    try:
        if where.type == "cuda":
            with _exact_cuda(tf32):
                yield generator
        else:
            yield generator
    finally:
        generator.set_state(state)


def autocast(where: "torch.device", precision: str) -> AbstractContextManager:
    """Within it, with the precision ``bfloat16``, networks multiply in bfloat16; parameters and sums stay float32."""
    import torch

    return torch.autocast(where.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


@contextmanager
def _exact_cuda(tf32: bool) -> Iterator[None]:
    import torch

    _let_cublas_repeat()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    # Not torch.use_deterministic_algorithms: that imports the compiler, which takes longer than many a training.
    was = torch._C._get_deterministic_algorithms(), torch._C._get_deterministic_fill_uninitialized_memory()
    try:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = True, False, tf32, tf32
        torch._C._set_deterministic_algorithms(True, warn_only=False)
        torch._C._set_deterministic_fill_uninitialized_memory(False)
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before
        torch._C._set_deterministic_algorithms(was[0], warn_only=False)
        torch._C._set_deterministic_fill_uninitialized_memory(was[1])
