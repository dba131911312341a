"""The tables of a report for a paper: every one in every form, and the papers that a study rests on."""

import csv
import io
import re
import shutil
import subprocess

import made_up
import numpy as np
import pytest

from collapselab import metrics, verdicts
from collapselab import report as reports
from collapselab.compose import regimes
from collapselab.metrics import METRICS
from collapselab.report import exports, references
from collapselab.verdicts import ANALYSES


@pytest.fixture(scope="module")
def sheets():
    facts = made_up.facts(arms={**made_up.facts().arms}, calibration={})
    return exports.of_study(facts, made_up.records())


def test_every_analysis_that_finds_something_has_a_table(sheets):
    found = verdicts.analyse(made_up.facts(), made_up.records())
    assert set(sheets) == {"numbers", "primary", *(name for name, findings in found.items() if findings)}
    for name, sheet in sheets.items():
        assert sheet.rows and {len(row) for row in sheet.rows} == {len(sheet.columns)}, name


@pytest.mark.parametrize("form", exports.FORMS)
def test_every_table_has_every_form(sheets, form):
    for sheet in sheets.values():
        text = exports.FORMS[form](sheet)
        assert text.endswith("\n") and "nan" not in text and "None" not in text
        if form == "csv":
            assert [row[0] for row in list(csv.reader(io.StringIO(text)))[1:]] == [row[0] for row in sheet.rows]
        if form == "markdown":
            cells = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
            assert cells == {len(sheet.columns) + 2}
        if form == "latex":
            rows = [line for line in text.splitlines() if line.endswith(r"\\")]
            assert len(rows) == len(sheet.rows) + 1
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(sheet.columns) - 1}
            assert [text.count(f"\\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
            assert not re.search(r"(?<!\\)[%#_]", text)
            sentences = [max(len(str(cell)) for cell in column) > 40 for column in zip(*sheet.rows, strict=True)]
            assert text.count(r"p{.4\linewidth}") == sum(sentences)


def test_numbers_stand_with_their_spread_and_count(sheets):
    records = made_up.records()
    row = next(row for row in sheets["numbers"].rows if row[:3] == ["control", "Recall", "lenet"])
    values = [
        entry["value"]
        for record in records
        for entry in record["values"]
        if (record["arm"], record["generation"], entry["metric"]) == ("control", 4, "recall")
        and (entry["extractor"], entry["set"]) == ("lenet", "sampled")
    ]
    assert row[3:] == [4, pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)), 3]


def test_every_csv_of_a_report_says_how_many_and_how_far_apart():
    built = reports.build(made_up.facts(), made_up.records(), figures=False)
    heads = {name: content.decode().splitlines()[0].split(",") for name, content in built.items() if ".csv" in name}
    for name, columns in heads.items():
        counted = [column for column in columns if column in ("lineages", "n_fake") or column.endswith(".n")]
        spread = [column for column in columns if column in ("sd", "low") or column.endswith(".sd")]
        assert counted and spread, name


def test_signs_of_latex_are_text():
    sheet = exports.Sheet("100 % of $x_1$", ["a&b"], [["{~^\\#}"], ["−3 ± 1"]])
    text = exports.as_latex(sheet)
    assert r"100 \% of \$x\_1\$" in text and r"a\&b \\" in text
    assert r"\{\textasciitilde{}\textasciicircum{}\textbackslash{}\#\} \\" in text and r"$-$3 $\pm$ 1" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_reads_it(sheets, tmp_path):
    body = "".join(exports.as_latex(sheet) for sheet in sheets.values())
    head = r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_every_paper_that_a_docstring_names_is_known():
    """Those of every metric, regime and analysis: a new one is an entry of the papers, too."""
    functions = [*(one.function for one in METRICS.values()), *regimes.REGIMES.values()]
    functions += [analysis.run for analysis in ANALYSES.values()]
    texts = [function.__doc__ or "" for function in functions] + [metrics.__doc__, verdicts.definitions.__doc__]
    found = references.named(texts)
    assert len(found) > 15 and not [number for number in found if number not in references.PAPERS]
    keys = [paper.key for paper in references.PAPERS.values()]
    assert len(set(keys)) == len(keys)


def test_references_are_entries_that_bibtex_reads():
    text = references.bibtex(
        references.named(["(arXiv 1904.06991, eq. 2)", "https://doi.org/10.1038/s41586-024-07566-y."])
    )
    assert (
        text.count("@") == 2
        and "@article{shumailov2024collapse," in text
        and "doi = {10.1038/s41586-024-07566-y}" in text
    )
    for entry in text.split("@")[1:]:
        assert entry.count("{") == entry.count("}")
