"""A reward that is a Python function of the user's."""

import ast
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..core.choice import FileName, Options
from ..core.facts import Facts
from ..core.sets import SampleSet


class PythonOptions(Options):
    """Which function of which file."""

    file: FileName = Field(min_length=1, description="a Python file, whose bytes count like an option")
    function: str = Field(
        pattern=r"^[^\W\d]\w*$", description="a function in it, f(samples) -> (n,) numbers, of samples.data and .labels"
    )


def python(samples: SampleSet, seen: object, options: PythonOptions) -> np.ndarray:
    """What a function of the user's gives: (n,) float64. More is better; a sample's number is its own.

    It is handed a :class:`core.sets.SampleSet`. The file is run once in a process, as it is; of what it imports nobody
    knows when it changes. Raises ValueError, which names file and function, for whatever they raise, and for anything
    but a number for each sample.
    """
    path, name = Path(options.file), options.function
    function = _function(path, name, _stamp(path))
    try:
        found = np.asarray(function(samples), np.float64)
    except Exception as error:  # whatever a user's function does
        raise ValueError(f"function: {name} of {path} raised {type(error).__name__}: {str(error)[:200]}") from error
    if found.shape != (len(samples),):
        said = f"numbers of shape {found.shape}, allowed is one for each of {len(samples)} samples"
        raise ValueError(f"function: {name} of {path} gave {said}")
    return found


def fault(facts: Facts, options: PythonOptions) -> str:
    """A file that is no Python, or without the function; nothing of it is run. Of one that is absent others tell."""
    path = Path(options.file)
    if not path.exists():
        return ""
    try:
        names = defined(path)
    except ValueError as error:
        return str(error)
    return "" if options.function in names else _unknown(path, options.function, names)


def defined(path: Path) -> list[str]:
    """What a Python file binds at its top, in its order, without running it. Raises ValueError for no Python."""
    try:
        statements = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"file: {path} is no Python: {str(error)[:200]}") from None
    found = []
    for one in statements:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            found.append(one.name)
        elif isinstance(one, ast.Assign):
            found += [target.id for target in one.targets if isinstance(target, ast.Name)]
        elif isinstance(one, ast.ImportFrom | ast.Import):
            found += [name.asname or name.name for name in one.names]
    return found


def _unknown(path: Path, name: str, names: list[str]) -> str:
    return f"function: {path} has no {name}; it has {', '.join(names) or 'nothing'}"


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise ValueError(f"file: there is no {path}")
    said = path.stat()
    return said.st_mtime_ns, said.st_size


@lru_cache(maxsize=16)
def _function(path: Path, name: str, stamp: tuple[int, int]) -> Callable[[SampleSet], Any]:
    names = defined(path)
    spec = importlib.util.spec_from_file_location(f"_reward_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"file: found {path}, allowed are files that end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file does
        raise ValueError(f"file: {path} raised {type(error).__name__}: {str(error)[:200]}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(_unknown(path, name, names) if function is None else f"function: {name} is none of {path}")
    return function
