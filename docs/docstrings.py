"""Docstrings as this project writes them, plain paragraphs and indented formulas, as reStructuredText."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

MARKED = re.compile(r"(:[\w:]+:`[^`]+`|``[^`]+``)")


def as_rst(lines: Sequence[str]) -> list[str]:
    """The same words, of which no sign means more than itself; what is laid out in columns stays as it is laid out."""
    return list(_parts(lines))


def _parts(lines: Sequence[str]) -> Iterator[str]:
    for blank, part in groupby(lines, key=lambda line: not line.strip()):
        words = list(part)
        if blank:
            yield ""
        elif _is_prose(words):
            yield _escaped(" ".join(word.strip() for word in words))
        else:
            yield from ("::", "", *(f"    {word}" for word in words))
        yield ""


def _is_prose(words: Sequence[str]) -> bool:
    """Whether a paragraph may be filled anew: nothing in it is indented, no term begins a line, no columns stand."""
    listed = re.compile(r"\s|[-*] |[\w, ]{1,24}: |.*\S {2,}\S")
    return not any(listed.match(word) for word in words[1:]) and not re.match(r"\s|.*\S {3,}\S", words[0])


def _escaped(text: str) -> str:
    parts = MARKED.split(text)
    return "".join(part if number % 2 else re.sub(r"([\\*`|_])", r"\\\1", part) for number, part in enumerate(parts))
