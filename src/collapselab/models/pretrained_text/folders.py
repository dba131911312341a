"""A causal language model in a folder, by its configuration alone: is it one that this family takes, of which tokens?

Nothing here imports torch: a study is checked in a moment, and on a machine without the weights' libraries.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...store.weights import digest_of_all
from ..pretrained.folders import folder_of, read_json

if TYPE_CHECKING:
    from .options import PretrainedTextOptions

CAUSAL = ("ForCausalLM", "LMHeadModel")  # ends of the names of classes that predict the next token
LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")  # what configurations call the longest sequence


class Reads(NamedTuple):
    """What a base reads and writes: tokens 0 .. vocabulary - 1, after one that stands before a text; and the longest
    sequence, that one included, or None where any is taken."""

    vocabulary: int
    start: int
    longest: int | None


TINY_READS = Reads(257, 256, 1024)  # the 256 bytes, and the start


def reads(base: str) -> Reads:
    """What a base reads and writes. Raises ValueError for a folder without a causal language model in safetensors."""
    folder = folder_of(base)
    if folder is None:
        return TINY_READS
    if not folder.is_dir():
        raise ValueError(f"found no folder {str(folder)!r}; allowed are tiny, and a model as transformers saves it")
    said = read_json(folder / "config.json")
    names = said.get("architectures") or ["nothing"]
    if not str(names[0]).endswith(CAUSAL):
        raise ValueError(
            f"{folder} holds {names[0]!r}; allowed are models whose class is called …{' or …'.join(CAUSAL)}"
        )
    if "auto_map" in said:
        raise ValueError(
            f"{folder} holds a model with code of its own, which is never run; allowed are transformers' own"
        )
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} has no *.safetensors; allowed are weights in that format: others may carry code")
    size = said.get("vocab_size")
    starts = [
        one[0] if isinstance(one, list) and one else one for one in map(said.get, ("bos_token_id", "eos_token_id"))
    ]
    start = next((one for one in starts if type(one) is int), None)
    if type(size) is not int or start is None or not 0 <= start < size:
        raise ValueError(
            f"{folder / 'config.json'}: found vocab_size {size!r}, and {start!r} before a text; allowed "
            "are a number of tokens and, as bos_token_id or eos_token_id, one of them"
        )
    longest = next((said[name] for name in LENGTHS if type(said.get(name)) is int), None)
    return Reads(size, start, longest)


def digest_of(base: str) -> str:
    """The SHA-256 of the configuration and the weights in a folder, with the names of the files, in hex."""
    folder = Path(base)
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256("".join(f"{digest_of_all(one)}  {one.name}\n" for one in files).encode()).hexdigest()


def options_fault(options: "PretrainedTextOptions", shape: Sequence[int]) -> str:
    """What keeps options from being fitted to sequences of ``shape``, beginning with the option; empty if nothing."""
    try:
        found = reads(options.base)
    except ValueError as error:
        return f"base: {error}"
    if found.longest is not None and len(shape) == 1 and shape[0] > found.longest:
        return f"base: found sequences of {shape[0]} tokens; it reads up to {found.longest}"
    if options.vocabulary > found.vocabulary:
        return f"vocabulary: found {options.vocabulary}, allowed are 1 to {found.vocabulary}, the tokens of the base"
    return ""


def outside(options: "PretrainedTextOptions") -> dict[str, str]:
    """The hash of the base by its path; nothing of the tiny one, or where there is none."""
    folder = folder_of(options.base)
    there = folder is not None and (folder / "config.json").is_file()
    return {options.base: digest_of(options.base)} if there else {}
