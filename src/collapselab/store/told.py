"""What a job is told by file: words of a command line that are more than a system takes, under the hash of the content.

So a command with other words is another command, as if they stood in it.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import Damaged
from .bytes import write_atomically

OPTION = "--told"


def keep(folder: Path, words: Sequence[str]) -> Path:
    """A file of the words, in a folder; written where it is not there yet."""
    content = json.dumps(list(words), indent=0).encode()
    path = folder / f"{hashlib.sha256(content).hexdigest()}.json"
    if not path.is_file():
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return path


def spelled_out(words: Sequence[str]) -> list[str]:
    """The words with those of a file in the place of ``--told FILE``.

    Raises Damaged for a file whose content is not the one that it was made for.
    """
    found, rest = [], iter(words)
    for word in rest:
        if word != OPTION:
            found.append(word)
            continue
        path = Path(next(rest, ""))
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise Damaged(path, "is not what the workflow has told: delete it, and run the workflow again")
        found += json.loads(content)
    return found
