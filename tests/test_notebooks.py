"""The notebooks of the documentation: their cells run as they stand, and show what the text says."""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[1] / "docs"


def cells(page):
    return re.findall(r"^```\{code-cell\} python\n(.*?)^```$", (PAGES / page).read_text(encoding="utf-8"), re.M | re.S)


def test_the_page_of_the_library_runs_and_its_loop_collapses(capsys):
    pytest.importorskip("IPython")
    space = {}
    for cell in cells("library.md"):
        exec(compile(cell, "docs/library.md", "exec"), space)
    said = capsys.readouterr().out
    assert "frechet_distance" in said and "metric recall: k: found 0; should be greater than or equal to 1" in said
    recall = [row["value"] for row in space["rows"] if row["metric"] == "recall"]
    assert len(recall) == 9 and recall[-1] < recall[0] / 2  # 100 rows lose a covariance of rank 61 within generations
    assert space["real"].values.shape == space["fake"].values.shape == (800, 64)
