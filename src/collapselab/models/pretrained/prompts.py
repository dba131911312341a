"""Prompts of classes: prompt i is what class i is called, so that a label is all that a sample has to carry."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ...core.spreadsheet import csv_rows

FILE_BYTES_MAX = 10_000_000
COLUMNS = ("class", "prompt")


def prompts_in(path: Path) -> tuple[str, ...]:
    """The prompts of a file, in the order of their classes.

    A ``.csv`` has a column ``prompt``, and may have a column ``class`` with the numbers 0, 1, … in any order; any other
    file has a prompt a line. Raises ValueError for a file that cannot be read, an empty prompt, and for classes that
    are not each there once.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ValueError(f"{path} has more than the {FILE_BYTES_MAX} bytes that are allowed")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    found = _of_table(path, text) if path.suffix.lower() == ".csv" else text.splitlines()
    prompts = tuple(line.strip() for line in found)
    if not prompts:
        raise ValueError(f"{path} has no prompt; allowed is one a line")
    if "" in prompts:
        raise ValueError(f"{path}: the prompt of class {prompts.index('')} is empty; allowed are words")
    return prompts


def _of_table(path: Path, text: str) -> Sequence[str]:
    """The column ``prompt`` of a CSV, in the order of its column ``class`` if there is one."""
    rows = csv_rows(text)
    columns = list(rows[0]) if rows else text.split(",")
    if "prompt" not in columns:
        raise ValueError(
            f"{path} has the columns {', '.join(map(str, columns)) or 'none'}; needed is one called prompt"
        )
    said = [row["prompt"] or "" for row in rows]
    if "class" not in columns:
        return said
    classes = [(row["class"] or "").strip() for row in rows]
    if sorted(classes) != sorted(map(str, range(len(rows)))):
        raise ValueError(f"{path}: the column class has to hold each of 0 to {len(rows) - 1} once")
    return [said[classes.index(str(index))] for index in range(len(rows))]


def digest(prompts: Sequence[str]) -> str:
    """The SHA-256 of prompts in their order, in hex."""
    return hashlib.sha256(json.dumps(list(prompts), ensure_ascii=False).encode()).hexdigest()
