"""Writes docs/cli.md: every command with its options, as the command line itself has them. A test compares the two.

python docs/cli.py
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from collapselab.cli.run import VERBS, app

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """\
# Commands

Every command with its arguments and options; `collapselab VERB --help` says the same in a terminal. Verbs that are
joined by `+` run in one process: [by hand](by-hand.md). What a run's exit codes mean stands
[there](by-hand.md#exit-codes), too. This page is written by `python docs` from the commands themselves.
"""


def page() -> str:
    """The whole page."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="collapselab")
    shown = [name for name, verb in VERBS.items() if not verb.hidden]
    parts = [INTRODUCTION]
    for name in sorted(shown):
        parts += _command(group.get_command(context, name), f"collapselab {name}", 2)
    return "\n".join(parts)


def _command(command: Any, words: str, depth: int) -> Iterator[str]:
    """A command, and those below it."""
    context = typer.Context(command, info_name=words)
    yield f"{'#' * depth} `{words}`\n"
    yield f"{_paragraphs(command.help or '')}\n"
    if below := getattr(command, "commands", None):
        for name, one in below.items():
            yield from () if one.hidden else _command(one, f"{words} {name}", depth + 1)
        return
    yield f"```text\n{' '.join(context.get_usage().split())}\n```\n"
    rows = [row for one in command.params if not getattr(one, "hidden", False) for row in _parameter(one, context)]
    if rows:
        yield "\n".join(["| argument or option | what it says |", "|---|---|", *rows]) + "\n"


def _parameter(one: Any, context: Any) -> Iterator[str]:
    if (record := one.get_help_record(context)) and one.name != "help":
        names, said = (" ".join(text.split()) for text in record)
        yield f"| `{names.replace('|', chr(92) + '|')}` | {_cell(said)} |"


def _cell(text: str) -> str:
    return re.sub(r"([|*_<>`{}\[\]])", r"\\\1", text)


def _paragraphs(text: str) -> str:
    """The text of a help with its paragraphs, none of whose signs means more than itself."""
    parts = [" ".join(part.split()) for part in text.replace("\b", "").split("\n\n")]
    return "\n\n".join(re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
