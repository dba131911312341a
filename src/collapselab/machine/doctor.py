"""What a machine has, against what the workflow needs."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

DISK_FREE_MIN_GB = 2.0
OPTIONAL_EXTRA = "extra =="


def examine() -> Iterator[tuple[str, str, str]]:
    """Triples of what was looked at, what was found, and what is wrong with it (empty if nothing is)."""
    found = platform.python_version()
    yield "python", found, "" if sys.version_info >= (3, 11) else "needs 3.11 or later"
    yield from _packages()
    yield from _torch()
    free_gb = shutil.disk_usage(Path.cwd()).free / 2**30
    wanted = f"needs {DISK_FREE_MIN_GB} GB" if free_gb < DISK_FREE_MIN_GB else ""
    yield "free disk", f"{free_gb:.1f} GB", wanted
    writable = os.access(Path.cwd(), os.W_OK)
    yield "this folder", str(Path.cwd()), "" if writable else "cannot be written"
    here = Path("Snakefile").exists()
    yield "workflow", "Snakefile" if here else "none here", "" if here else "run from the root of the repository"
    for program in ("snakemake", "dvc", "mlflow", "git"):
        path = shutil.which(program)
        yield program, path or "not found", "" if path else "is not on the PATH; activate the environment"


def _packages() -> Iterator[tuple[str, str, str]]:
    for requirement in importlib.metadata.requires("collapselab") or []:
        name, pinned = re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)", requirement).groups()
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if OPTIONAL_EXTRA not in requirement:
                yield name, "not installed", f"needs {pinned}"
            continue
        # A build's local label, such as +cpu, is the same release.
        yield name, found, "" if found.split("+")[0] == pinned else f"the study's numbers were tried with {pinned}"


def _torch() -> Iterator[tuple[str, str, str]]:
    try:
        import torch

        from .compat import import_torchvision

        import_torchvision()
    except (ImportError, RuntimeError) as error:
        yield "torch and torchvision", "do not import", str(error)
        return
    yield "torch threads", str(torch.get_num_threads()), ""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(index) for index in range(count)]
    yield "CUDA devices", ", ".join(names) or "none: trainings run on the CPU", ""
