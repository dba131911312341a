"""The gallery of the field: a page for each paper with its claim, a figure and what was found here, and their index.

What was found of a paper is kept as JSON beside its page, so that pages and index are written again without its
records: when a study's words change, or another paper has run.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import vl_convert

from ..core.spreadsheet import csv_rows
from ..study.file import Paper
from ..verdicts import Record, StudyFacts
from ..verdicts.claims import UNTOLD, concluded, found_words, held, said
from .charts import VEGA_LITE, curve_chart

FIGURE = (760, 300)  # pixels
DIGEST = 12  # letters
NUMBER = 6  # digits of a number that is kept
SPOKEN = re.compile(r' (?:aria-[a-z]+|role)="[^"]*"')  # of each point; what an image says is its alternative text
DECIMALS = re.compile(r"(\d+\.\d{2})\d+")  # of a pixel: two are enough
HIDDEN = ("line",)  # lineages one by one, of many: a page has no room for them
TOTALS = {
    "agrees": "found as claimed",
    "does not agree": "found otherwise",
    UNTOLD: "not to be told",
    "": "not run here yet",
}
MARKS = {"agrees": "✓ agrees", "does not agree": "✗ does not agree", UNTOLD: "? cannot tell", "": "not run here yet"}
INTRODUCTION = """\
# The field, re-run

Every paper of the field is one study file here: what it claims, as numbers that a rule holds against the records of a
small run of it. A claim *agrees* where its 95 % interval lies wholly in what is claimed, and *does not agree* where it
lies wholly outside, after Holm's correction over the paper's claims; else nobody *can tell* from a run of this size.
All claims of a paper have to agree for the paper to, and one that does not is enough against it. A verdict is about the
study that is written here, at the size that ran here: the page of each paper says what of the paper it lacks.

`collapselab gallery` runs what has not run yet, on two cores in minutes each, and writes these pages;
`collapselab gallery NAME --dry-run` says what would run and why. `collapselab run config/papers/NAME.yaml` runs a study
at its full size.
"""


class Row(NamedTuple):
    """A row of the field's index: what it is called, its studies, and the one thing that is missing without any."""

    title: str
    studies: tuple[str, ...]
    missing: str


class Entry(NamedTuple):
    """A study after a paper. size: of what runs, in words. found: what :func:`found` says of it; None before that."""

    name: str
    paper: Paper
    question: str
    size: str
    found: Mapping[str, Any] | None


def rows(text: str, there: Collection[str]) -> list[Row]:
    """The field's index, as its table says it: ``row,studies,missing``; studies that it does not name come last.

    there: the studies that there are.
    """
    read = csv_rows(text)
    named = {name for one in read for name in one["studies"].split()}
    return [
        *(Row(one["row"], tuple(filter(there.__contains__, one["studies"].split())), one["missing"]) for one in read),
        *(Row(name, (name,), "") for name in there if name not in named),
    ]


def found(facts: StudyFacts, records: Sequence[Record], seconds: float, size: str) -> dict[str, Any]:
    """What a study has found of its paper's claims, as JSON has it.

    seconds: of a processor that the run has taken. size: of what ran, in words.
    """
    told = []
    for one in held(facts, records):
        endpoint = one.claim.endpoint
        label = f"{facts.label(endpoint.metric)} ({endpoint.extractor})"
        numbers = {"mean": one.mean, "low": one.low, "high": one.high, "p": one.p}
        told.append(
            {
                "claimed": said(one.claim, facts.generations, label),
                "found": found_words(one) + (f"; {one.why}" if one.why else ""),
                "status": one.status,
                "lineages": len(one.pairs.seeds),
                **{
                    key: float(f"{value:.{NUMBER}g}") if abs(value) < float("inf") else None
                    for key, value in numbers.items()
                },
            }
        )
    return {
        "study": facts.name,
        "size": size,
        "status": concluded(one["status"] for one in told),
        "claims": told,
        "fingerprint": fingerprint(records),
        "measured": sorted({key for record in records for key in record["fingerprints"]})[:NUMBER],
        "seconds": round(seconds, 1),
    }


def fingerprint(records: Iterable[Record]) -> str:
    """Twelve letters of the SHA-256 of all numbers of a study, by which two runs of it are told to be the same.

    Numbers are taken to six digits, since processors differ in the last ones.
    """
    keys = ("arm", "seed", "generation", "status")
    lines = []
    for record in records:
        values = sorted((v["set"], v["extractor"], v["metric"], _rounded(v["value"])) for v in record["values"])
        lines.append(json.dumps([*(record[key] for key in keys), values]))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:DIGEST]


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value + 0.0:.{NUMBER}g}"


def figure(facts: StudyFacts, records: Sequence[Record]) -> str:
    """The curve of what the first claim is about, as SVG: the report's own chart, smaller."""
    loops = facts.loops
    endpoint = facts.claims[0].endpoint
    chart = curve_chart(loops, records, endpoint, *FIGURE, sets=(endpoint.set,))
    chart["data"]["values"] = [row for row in chart["data"]["values"] if row["what"] not in HIDDEN]
    drawn = vl_convert.vegalite_to_svg(chart, vl_version=VEGA_LITE, allowed_base_urls=[])
    return DECIMALS.sub(r"\1", SPOKEN.sub("", drawn)) + "\n"


# -- pages -------------------------------------------------------------------------------------------------------------


def page(entry: Entry) -> str:
    """The page of a paper."""
    paper, seen = entry.paper, entry.found or {}
    lines = [f"# {_title(paper)}", "", f"**{MARKS[seen.get('status', '')]}**", ""]
    lines += [f"*Claim.* {paper.claim}", "", f"*Published.* {paper.reported}.", ""]
    lines += [f"*Paper.* {paper.cite}{_where(paper)}.", ""]
    if seen:
        lines += [f"```{{image}} {entry.name}.svg", f":alt: {_alt(entry)}", "```", ""]
        lines += ["| claimed, as a number | found | verdict |", "| --- | --- | --- |"]
        lines += [f"| {_cell(one['claimed'])} | {_cell(one['found'])} | {one['status']} |" for one in seen["claims"]]
        lines += ["", _sentence(seen), ""]
    lines += [f"*Missing here.* {paper.missing[:1].upper()}{paper.missing[1:]}.", ""] if paper.missing else []
    lines += [f"*What {'ran' if seen else 'runs'}.* {seen.get('size', entry.size)}.", ""]
    if seen:
        lines += [
            f"*Fingerprint.* `{seen['fingerprint']}`, of all numbers of the run, to six digits; it took "
            f"{seen['seconds']:g} s of a processor.",
            "",
        ]
    lines += [_again(entry), ""]
    return "\n".join(lines)


def _again(entry: Entry) -> str:
    return (
        f"```text\ncollapselab gallery {entry.name}\ncollapselab run config/papers/{entry.name}.yaml   "
        "# at its full size\n```"
    )


def _sentence(seen: Mapping[str, Any]) -> str:
    """What all claims come to, in words."""
    missed = [str(number) for number, one in enumerate(seen["claims"], 1) if one["status"] == "does not agree"]
    untold = [str(number) for number, one in enumerate(seen["claims"], 1) if one["status"] == UNTOLD]
    if missed:
        is_ = "is" if len(missed) == 1 else "are"
        return f"**The claim is not found here**: {_rows(missed)} of the table {is_} otherwise."
    if untold:
        return f"**The claim is not found here, and not refuted**: nobody can tell of {_rows(untold)}."
    return "**The claim is found here.**"


def _rows(numbers: Sequence[str]) -> str:
    return f"rows {', '.join(numbers[:-1])} and {numbers[-1]}" if len(numbers) > 1 else f"row {numbers[0]}"


def index(entries: Mapping[str, Entry], field: Sequence[Row]) -> str:
    """The page of all papers: how many agree, a table with a line for each, and the pictures.

    Of a study that is in the field and not among the entries it says that it cannot run.
    """
    named = [name for row in field for name in row.studies if name in entries]
    counted = [(entries[name].found or {}).get("status", "") for name in named]
    totals = ", ".join(f"{counted.count(one)} {word}" for one, word in TOTALS.items() if counted.count(one))
    there = sum(bool(row.studies) for row in field)
    lines = [
        INTRODUCTION,
        f"Of {len(field)} rows of the field {there} have a study; of {len(counted)} studies {totals}.",
        "",
    ]
    lines += ["| of the field | study | found here |", "| --- | --- | --- |"]
    for row in field:
        if not row.studies:
            lines.append(f"| {_cell(row.title)} | | missing: {_cell(row.missing)} |")
        for name in row.studies:
            if name not in entries:
                lines.append(f"| {_cell(row.title)} | {name} | its study cannot run: its file has faults |")
                continue
            one = entries[name]
            lines.append(f"| {_cell(row.title)} | [{name}]({name}.md) | {MARKS[(one.found or {}).get('status', '')]} |")
    lines += ["", "::::{grid} 1 1 2 2", ":gutter: 3", ""]
    lines += [line for name in named for line in _card(entries[name])]
    lines += ["::::", "", "```{toctree}", ":hidden:", ""]
    lines += [*named, "```", ""]
    return "\n".join(lines)


def _card(entry: Entry) -> list[str]:
    seen = entry.found or {}
    lines = [f":::{{grid-item-card}} [{entry.name}]({entry.name}.md)", f"**{MARKS[seen.get('status', '')]}**", ""]
    lines += [f"```{{image}} {entry.name}.svg", f":alt: {_alt(entry)}", "```", ""] if seen else []
    return [*lines, entry.paper.claim, ":::", ""]


def _title(paper: Paper) -> str:
    """Who and when, which a citation begins with: all up to its year."""
    words = paper.cite.split()
    end = next((place for place, word in enumerate(words) if word.rstrip(",").isdigit()), len(words) - 1)
    return " ".join(words[: end + 1]).rstrip(",")


def _where(paper: Paper) -> str:
    links = [f"[arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"] if paper.arxiv else []
    links += [f"[doi {paper.doi}](https://doi.org/{paper.doi})"] if paper.doi else []
    return f" ({', '.join(links)})" if links else ""


def _alt(entry: Entry) -> str:
    return f"{entry.question} The course of what is claimed, by arm and generation."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
