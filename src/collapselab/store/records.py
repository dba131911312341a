"""Records as JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import identity
from .bytes import understood, verify, write_hashed


def write_json(path: Path, content: Any) -> str:
    """Write a JSON record with sorted keys; its hash. NaN is written as null: JSON has no NaN, and readers differ."""
    text = json.dumps(_finite(content), indent=1, sort_keys=True, allow_nan=False) + "\n"
    return write_hashed(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), len(text.encode()))


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return content


def read_json(path: Path) -> Any:
    """A verified JSON record."""
    digest = verify(path)
    with understood(path):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    identity.check(path, digest, content)
    return content
