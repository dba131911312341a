"""Single bits that flip in stored files, and in the hashes beside them: every one has to be found by the reader."""

import random
from pathlib import Path

from collapselab import store
from collapselab.core.errors import Damaged
from trials.swaps import places


def run(study, many, seed=0):
    """So many flips of each kind of file, and of each kind's hashes, in the folder in which the study lies."""
    chance = random.Random(seed)
    for noun, files in places(study).items():
        for what in ("", ".sha256"):
            for _ in range(many):
                yield _flip(noun, chance.choice(files), what, chance)


def _flip(noun, file, what, chance):
    path = Path(f"{file}{what}")
    content = path.read_bytes()
    if what:  # the digest; the file's name after it is for people
        content, rest = content[:64], content[64:]
    else:
        rest = b""
    bit = chance.randrange(8 * len(content))
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    same = what and bytes(flipped).lower() == content  # a letter in the other case is the same digit
    path.write_bytes(bytes(flipped) + rest)
    try:
        store.examine(Path(file))
    except Damaged as error:
        found, named = True, str(error.path) in (file, f"{file}{what}")  # a hash by itself, where that can be told
    else:
        found = named = bool(same)
    finally:
        path.write_bytes(content + rest)
    of = "a hash" if what else "a file"
    return {"trial": f"bit flip in {of}", "noun": noun, "bit": bit, "found": found, "named": named}
