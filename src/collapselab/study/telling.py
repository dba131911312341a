"""How a job is told anything: values as words of a command line."""

import json
from collections.abc import Iterator
from typing import Any


def as_json(value: Any) -> str:
    """A value as one word of JSON."""
    return value.model_dump_json() if hasattr(value, "model_dump_json") else json.dumps(value, sort_keys=True)


def flags(**said: Any) -> Iterator[str]:
    """``--name value`` of everything that is said; a list says it several times."""
    for name, value in said.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one != "":
                yield from (f"--{name.replace('_', '-')}", one if isinstance(one, str) else str(one))
