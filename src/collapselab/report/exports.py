"""The tables of a report for a paper: as CSV, Markdown or LaTeX."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.spreadsheet import csv_text
from ..verdicts import ANALYSES, Finding, Record, StudyFacts, analyse, indexed, spell
from .numbers import by_generation, endpoints, final, sd_of

LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}
SENTENCE = 40  # letters: a longer cell is broken into lines


class Sheet(NamedTuple):
    """A table in words: its caption, the headings, and rows of as many cells, each a text or a number."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def of_study(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Sheet]:
    """Every table of a study by its name: the numbers, the primary endpoint's course, and what each analysis found."""
    records, loops = indexed(records), facts.loops
    found = analyse(facts, records)
    told = {"numbers": _numbers(loops, records), "primary": _primary(loops, records)}
    for name, findings in found.items():
        if findings:
            told[name] = _findings(ANALYSES[name].title, findings)
    return told


def _numbers(facts: StudyFacts, records: Sequence[Record]) -> Sheet:
    rows = []
    for arm in facts.arms:
        for endpoint in endpoints(facts, records):
            if numbers := final(facts, records, arm, endpoint):
                where = [arm, facts.label(endpoint.metric), endpoint.extractor, numbers["generation"]]
                rows.append([*where, *(numbers[name] for name in ("mean", "sd", "lineages"))])
    columns = ["arm", "metric", "features", "generation", "mean", "sd", "n"]
    return Sheet(f"{facts.name}: the last generation, mean and standard deviation over n lineages", columns, rows)


def _primary(facts: StudyFacts, records: Sequence[Record]) -> Sheet:
    rows = [
        [arm, generation, float(np.mean(numbers)), sd_of(numbers), len(numbers)]
        for arm in facts.arms
        for generation, numbers in by_generation(records, arm, facts.primary).items()
    ]
    metric = f"{facts.label(facts.primary.metric)} ({facts.primary.extractor})"
    return Sheet(f"{facts.name}: {metric} by generation", ["arm", "generation", "mean", "sd", "n"], rows)


def _findings(title: str, found: Sequence[Finding]) -> Sheet:
    names = list(dict.fromkeys(name for one in found for name in one.numbers))
    words = list(dict.fromkeys(name for one in found for name in one.words))
    rows = [
        [one.arm, *(one.words.get(name) for name in words), one.status]
        + [one.numbers.get(name) for name in names]
        + [one.sentence]
        for one in found
    ]
    return Sheet(title, ["arm", *words, "status", *names, "in words"], rows)


# -- forms -------------------------------------------------------------------------------------------------------------


def as_csv(sheet: Sheet) -> str:
    """A line of headings, and one for each row; numbers in full, and nothing where there is none."""
    return csv_text(sheet.columns, [[None if _is_nothing(cell) else cell for cell in row] for row in sheet.rows])


def as_markdown(sheet: Sheet) -> str:
    """A table of Markdown under its caption; numbers with three digits."""
    lines = [sheet.columns, ["---:" if _is_numeric(column) else "---" for column in _by_column(sheet)]]
    lines += [[_cell(cell).replace("|", "\\|") for cell in row] for row in sheet.rows]
    return f"{sheet.caption}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(sheet: Sheet) -> str:
    """A table of LaTeX with booktabs' rules (the package booktabs); numbers with three digits, sentences in lines."""
    kinds = "".join(map(_kind, _by_column(sheet)))
    lines = [" & ".join(_latex(_cell(cell)) for cell in row) + r" \\" for row in (sheet.columns, *sheet.rows)]
    body = [lines[0], r"\midrule", *lines[1:]]
    rules = [f"\\begin{{tabular}}{{{kinds}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]
    caption = [f"\\caption{{{_latex(sheet.caption)}}}", r"\end{table}"]
    return "\n".join([r"\begin{table}", r"\centering", *rules, *caption]) + "\n"


def _by_column(sheet: Sheet) -> list[Sequence[Any]]:
    return list(zip(*sheet.rows, strict=True)) if sheet.rows else [()] * len(sheet.columns)


def _kind(column: Sequence[Any]) -> str:
    if _is_numeric(column):
        return "r"
    return r"p{.4\linewidth}" if max((len(_cell(cell)) for cell in column), default=0) > SENTENCE else "l"


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def _is_numeric(column: Sequence[Any]) -> bool:
    there = [cell for cell in column if cell is not None]
    return bool(there) and all(isinstance(cell, int | float) for cell in there)


def _is_nothing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and bool(np.isnan(cell)))


def _cell(cell: Any) -> str:
    if _is_nothing(cell):
        return ""
    if isinstance(cell, float):
        return spell(cell) if np.isfinite(cell) else "∞"
    return str(cell)


FORMS: dict[str, Callable[[Sheet], str]] = {"csv": as_csv, "markdown": as_markdown, "latex": as_latex}
