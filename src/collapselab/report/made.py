"""What a report was drawn by and of what: versions, the study's file, the environment, the papers."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .. import __version__
from ..study import results
from ..study.faults import BadStudy
from ..study.loading import find
from ..study.study import Study
from .references import named

SOFTWARE = ("collapselab", "snakemake", "numpy", "torch", "diffusers", "pyarrow", "pydantic")  # that runs are named by


class Made(NamedTuple):
    """What a page says of its own making.

    file: the name of the study's file, and text: the whole of it. environment: SHA-256 of the packages
    that are installed, and packages: how many. software: name -> version. papers: arXiv numbers and DOIs.
    """

    file: str = ""
    text: str = ""
    seed: int | None = None
    environment: str = ""
    packages: int = 0
    python: str = ""
    software: Mapping[str, str] = {}
    papers: Sequence[str] = ()


def made(study: Study, name: str) -> Made:
    """It of a study, which was asked for by a name or a file."""
    environment, packages = environment_hash()
    return Made(
        f"config/{study.name}.yaml",
        _text(study, name),
        study.file.seed,
        environment,
        packages,
        platform.python_version(),
        software(),
        named(results.sources(study)),
    )


def software() -> dict[str, str]:
    """The programs by which runs are named, with their versions; those that are not installed are left out."""
    found = {"collapselab": __version__}
    for name in SOFTWARE[1:]:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def environment_hash() -> tuple[str, int]:
    """SHA-256 of the lines ``name==version`` of all installed packages, in order, each with a newline; their number.

    Names are those that package indexes compare: lower case, with one hyphen for any run of ``-_.``.
    """
    found = {re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in distributions() if one.name}
    lines = "".join(f"{name}=={found[name]}\n" for name in sorted(found))
    return hashlib.sha256(lines.encode()).hexdigest(), len(found)


def _text(study: Study, name: str) -> str:
    """The study's file as its author wrote it, where it still says this study; else the same as plain YAML."""
    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else Path("config") / f"{name}.yaml"
    with suppress(BadStudy, OSError, UnicodeDecodeError):
        if find(name).plan() == study.plan():
            return path.read_text(encoding="utf-8")
    said: dict[str, Any] = json.loads(study.plan())
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
