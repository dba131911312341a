"""The pages that people read, and the blocks of code in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
MARK = re.compile(r"^<!-- (not run: .+|run by (\S+)) -->$")


class Block(NamedTuple):
    """A block of code: its page, its line there, its language, and the comment right before it, if it is a mark."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a page that are code; directives of Sphinx are none."""
    found, lines, page = [], path.read_text(encoding="utf-8").splitlines(), path.relative_to(ROOT).as_posix()
    fence, begun = "", 0
    for number, line in enumerate(lines):
        if not fence and (opened := re.match(r"(`{3,})(.*)$", line)):
            fence, begun = opened[1], number
        elif fence and line == fence:
            before = next((one for one in reversed(lines[:begun]) if one), "")
            language = lines[begun].strip("`").strip()
            mark = before[5:-4] if MARK.match(before) else ""
            if not language.startswith("{"):
                found.append(Block(page, begun + 1, language, "\n".join(lines[begun + 1 : number]), mark))
            fence = ""
    assert not fence, f"{page}: a block that begins in line {begun + 1} does not end"
    return found


def commands(text: str) -> list[list[str]]:
    """The words of each command of a block of bash; verbs that ``+`` joins are commands of their own."""
    found: list[list[str]] = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        inner = re.findall(r"\$\(([^()]*)\)", line)
        for said in (*inner, re.sub(r"\$(\w+|\([^()]*\))", "1", line)):
            words = shlex.split(said, comments=True)
            if words and words[0] == "collapselab":
                found += [["collapselab", *verb] for verb in _split(words[1:])]
            elif words:
                found += _split(words, "&&")
    return found


def _split(words: list[str], at: str = "+") -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        parts.append([]) if word == at else parts[-1].append(word)
    return parts
