"""What a machine has, against what the workflow needs."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from ..core.shipped import shipped
from .programs import search_path

DISK_FREE_MIN_GB = 2.0


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
    workflow = shipped("workflow")
    there = (workflow / "Snakefile").is_file()
    yield "workflow", str(workflow), "" if there else "has no Snakefile; install the package again"
    cure = "activate the environment, or run: pip install collapselab"
    for program in ("snakemake", "dvc", "mlflow", "git"):
        path = shutil.which(program, path=search_path())
        yield program, path or "not found", "" if path else f"is not on the PATH; {cure}"


def _packages() -> Iterator[tuple[str, str, str]]:
    """The packages that this one needs, against the versions that it takes; the lowest of those is the tried one."""
    asked = {one.name: one for one in map(Requirement, reversed(importlib.metadata.requires("collapselab") or []))}
    for name in sorted(asked):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if asked[name].marker is None:
                yield name, "not installed", f"needs {asked[name].specifier}; run: pip install collapselab"
            continue
        tried = next(one.version for one in asked[name].specifier if one.operator in (">=", "=="))
        # A build's local label, such as +cpu, is the same release.
        other = "" if found.split("+")[0] == tried else f" (tried with {tried})"
        allowed = asked[name].specifier.contains(found, prereleases=True)
        yield name, found + other, "" if allowed else f"allowed are {asked[name].specifier}"


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
