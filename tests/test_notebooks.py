"""The notebooks of the documentation run as they stand and show what the text says; its pictures are small."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.live import Live

PAGES = Path(__file__).resolve().parents[1] / "docs"
sys.path.insert(0, str(PAGES))

import screenshots  # noqa: E402


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


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_every_picture_is_small_and_of_its_size():
    """What ``make pictures`` has left: within 300 kB, and as large as it is said to be."""
    sizes = {"report-light": screenshots.WIDE, "report-dark": screenshots.WIDE, "mlflow": screenshots.WIDE}
    sizes |= {"report-320": screenshots.NARROW, "report-print": screenshots.A4, "site": screenshots.WIDE}
    there = {file.stem: file for file in screenshots.FOLDER.glob("*.png")}
    assert there.keys() == {*sizes, "terminal"}
    for name, file in there.items():
        assert file.stat().st_size <= screenshots.BYTES_MAX, file
        with Image.open(file) as image:
            assert image.mode == "P" and image.size == sizes.get(name, image.size), file


def test_a_picture_loses_colours_until_it_fits_and_is_the_same_each_time(monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    stream = io.BytesIO()
    noise.save(stream, "PNG")
    monkeypatch.setattr(screenshots, "BYTES_MAX", 35_000)
    found = screenshots.small(stream.getvalue())
    assert len(found) <= 35_000 and found == screenshots.small(stream.getvalue())
    assert len(Image.open(io.BytesIO(found)).getcolors()) == 64  # at 6 bits a pixel 30 kB; 128 colours take 7
    monkeypatch.setattr(screenshots, "BYTES_MAX", 1_000)
    with pytest.raises(SystemExit, match="200 x 200 pixels has more than 1000 bytes"):
        screenshots.small(stream.getvalue())


def test_a_terminal_shows_what_was_drawn_last_with_the_lines_above_it():
    """A bar that is drawn anew below the lines stands once, as it was when six jobs of ten were done."""
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for done in range(1, 11):
            console.print(f"[green]done[/] {done}")
            live.update(f"study ━━━━ {done}/10 [red]left[/]\nat work: x", refresh=True)
    drawn = console.file.getvalue().replace("\n", "\r\n")  # as a terminal is written to
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in screenshots._screen([drawn[:90], drawn[90:]])]
    assert lines == [*(f"done {done}" for done in range(1, 7)), "study ━━━━ 6/10 left", "at work: x"]
