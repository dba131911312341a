"""How a job is told anything: values as words of a command line, and as a file where they are too many."""

import json
import re
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Any

from ..store import told
from ..store.provenance import FOLDER

# The whole command of a job, of two verbs at most, is one argument of a shell, which Linux ends at 128 KiB.
LONGEST_BYTES = 60_000
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def as_json(value: Any) -> str:
    """A value as one word of JSON."""
    return plain(value.model_dump_json() if hasattr(value, "model_dump_json") else json.dumps(value, sort_keys=True))


def plain(text: str) -> str:
    """The same JSON without a brace in any of its strings, between which Snakemake would look for a wildcard."""
    if text.count("{") == text.count('{"') + text.count("{}"):
        return text
    return STRING.sub(lambda found: found[0].replace("{", "\\u007b").replace("}", "\\u007d"), text)


def flags(**said: Any) -> Iterator[str]:
    """``--name value`` of everything that is said; a list says it several times."""
    for name, value in said.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one != "":
                yield from (f"--{name.replace('_', '-')}", one if isinstance(one, str) else str(one))


def shell(words: Sequence[str]) -> str:
    """Words as a shell reads them; the name of a file that has them, where they are too long."""
    text = " ".join(map(quote, words))
    if len(text.encode()) <= LONGEST_BYTES:
        return text
    return f"{told.OPTION} {quote(str(told.keep(FOLDER / 'told', words)))}"


def duration(seconds: float) -> str:
    """A time in words, of two parts at most: ``40 s``, ``12 min``, ``3 h 20 min``, ``2 days 4 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} day{'s' * (days > 1)} {hours} h" if hours else f"{days} day{'s' * (days > 1)}"
