"""A document in parts, the same for Markdown and for HTML."""

from collections.abc import Sequence
from importlib import resources
from typing import Literal, NamedTuple

State = Literal["known", "answered", "open", "unknown"]
STATES: dict[State, str] = {
    "known": "from the records",
    "answered": "answered by the publisher",
    "open": "not answered yet",
    "unknown": "not known to collapselab",
}
"""How a field came to what it says, in words."""


class Field(NamedTuple):
    """What a law asks, and what is said. where: its article or section. said: (how it is known, words), in order."""

    where: str
    asked: str
    said: Sequence[tuple[State, str]]

    @property
    def open(self) -> bool:
        """Whether somebody still has to answer."""
        return any(state == "open" for state, _ in self.said)


class Table(NamedTuple):
    """A table of texts. numeric: the places of columns of numbers."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()


class Section(NamedTuple):
    """A part of the document, with an anchor to which links lead."""

    anchor: str
    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    fields: Sequence[Field] = ()


class Document(NamedTuple):
    """All of it. foreword: paragraphs before the first section."""

    title: str
    foreword: Sequence[str]
    sections: Sequence[Section]

    @property
    def asked(self) -> int:
        """How many fields there are."""
        return sum(len(section.fields) for section in self.sections)

    @property
    def open(self) -> int:
        """How many fields wait for an answer."""
        return sum(field.open for section in self.sections for field in section.fields)

    @property
    def state(self) -> str:
        """How far it is, in a sentence."""
        if not self.open:
            return f"All {self.asked} fields have what the records or the publisher say."
        return f"{self.open} of {self.asked} fields wait for an answer that no record has."


# -- Markdown ----------------------------------------------------------------------------------------------------------


def markdown(document: Document) -> str:
    """The document as Markdown."""
    parts = [f"# {_plain(document.title)}", *map(_plain, document.foreword), f"**{document.state}**"]
    for section in document.sections:
        parts += [f"## {_plain(section.title)}", *map(_plain, section.words), *map(_table, section.tables)]
        parts += [_field(field) for field in section.fields]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    rules = ["---:" if place in table.numeric else "---" for place in range(len(table.columns))]
    lines = [[_cell(one) for one in table.columns], rules, *([_cell(one) for one in row] for row in table.rows)]
    return f"{_plain(table.caption)}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _field(field: Field) -> str:
    said = "\n".join(f"- *{STATES[state]}:* {_plain(words)}" for state, words in field.said)
    return f"### {_plain(field.where)}: {_plain(field.asked)}\n\n{said}"


def _plain(text: str) -> str:
    """A text in one line, in which no sign of a study's or a user's words is taken for Markdown or HTML."""
    line = " ".join(text.split())
    for sign in "\\`*_[]<>#":
        line = line.replace(sign, f"\\{sign}")
    return line


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


# -- HTML --------------------------------------------------------------------------------------------------------------


def page(document: Document) -> str:
    """The document as one HTML file that needs nothing else."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = resources.files(__package__).joinpath("document.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(document=document, states=STATES)
