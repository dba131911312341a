"""What a study has found, in one form: the answer to a question for an arm, and the analyses that give such answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .facts import StudyFacts
from .records import Record


@dataclass(frozen=True)
class Finding:
    """The answer to one question for one arm.

    question: its name in ``verdicts.json``. status: what was found, in a word or two, or that it cannot be told:
    ``falls`` or ``no fall seen`` (``rises`` or ``no rise seen`` where lower is better) for the slopes of the primary
    endpoint, ``collapse`` or ``no collapse`` for the definitions of the literature, inconclusive, not testable.
    sentence: the same in plain words. numbers: what it rests on. words: what else its table says of it, by column;
    ``subject`` is what the sentence begins with there.
    """

    question: str
    arm: str
    status: str
    sentence: str
    numbers: Mapping[str, float | int | None] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


class Column(NamedTuple):
    """A column beside those of every table: its heading, and which of a finding's words or numbers stand in it."""

    heading: str
    holds: str
    style: Literal["", "number", "soft"] = ""


def _nothing(found: Sequence[Finding]) -> list[str]:
    return []


@dataclass(frozen=True)
class Table:
    """A section of the report with a row for each finding: the arm, its status, and the answer in words.

    anchor, link: where it is found on the page, and what it is called there. status: the heading over the status.
    about: what the page says above it. before, after: the columns before the status and after the words. beneath: what
    the page says below it. early: whether it stands before the pictures, not after the numbers. over_seeds: whether it
    rests on intervals over the study's seeds, so that the page says what these are conditional on. folded: the status
    of findings that stand folded below the others. charts: those that stand above the table, by their names.
    """

    anchor: str
    link: str
    status: str
    about: Callable[[StudyFacts, Sequence[Finding]], str]
    before: tuple[Column, ...] = ()
    after: tuple[Column, ...] = ()
    beneath: Callable[[Sequence[Finding]], Iterable[str]] = _nothing
    early: bool = False
    over_seeds: bool = True
    folded: str = ""
    charts: tuple[str, ...] = ()


Section = Literal["primary", "definitions"] | Table


class Analysis(NamedTuple):
    """A question that is put to the records of a study.

    title: it in words. section: where the report tells its findings: beside the primary endpoint, among the definitions
    of the literature (one finding an arm, of the question that is the analysis's name), or in a table of its own, which
    is left out where nothing was found. run: its findings on the loops of a study.
    """

    title: str
    section: Section
    run: Callable[[StudyFacts, Sequence[Record]], list[Finding]]


def not_testable(question: str, arms: Iterable[str], reason: str) -> list[Finding]:
    """The same finding on all arms: that the study does not allow the test, and why."""
    return [Finding(question, arm, "not testable", f"Not testable: {reason}.") for arm in arms]
