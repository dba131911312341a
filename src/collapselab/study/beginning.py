"""The text of a new study: of the commented one that comes with the package, or of another study under a new name."""

import re
from pathlib import Path

from .file import LETTERS_MAX, STUDY_NAME_PATTERN

PACKAGE = Path(__file__).parents[1]
SCHEMA = "study.schema.json"  # beside the studies, as their first lines say it
MODELINE = f"# yaml-language-server: $schema={SCHEMA}\n"


def name_fault(name: str) -> str:
    """What keeps a word from being a study's name; empty where nothing does. ``real`` is the folder of real data."""
    if re.fullmatch(STUDY_NAME_PATTERN, name) and name != "real" and len(name) <= LETTERS_MAX:
        return ""
    allowed = "letters, digits, hyphens and underscores, with a letter first, and not 'real'"
    return f"found {name!r}; allowed are up to {LETTERS_MAX} {allowed}"


def commented(name: str) -> str:
    """A study with a comment on every choice, which runs as it is."""
    return (PACKAGE / "study.yaml").read_text(encoding="utf-8").replace("NAME", name)


def renamed(text: str, name: str) -> str:
    """Another study's text, comments and all, under a new name.

    Its own first line may point at a schema that lies elsewhere. Raises ValueError where the text says no name.
    """
    said = re.search(r"^name:[ \t]*(\S+).*$", text, re.MULTILINE)
    if said is None:
        raise ValueError("has no line that begins with name:, which would be changed")
    text = f"{text[: said.start()]}name: {name} # begun from {said[1]}{text[said.end() :]}"
    return MODELINE + re.sub(r"\A# yaml-language-server:.*\n", "", text)
