"""Takes pictures of what a person sees: the report, a terminal, MLflow's page of curves, and the site's first page.

python docs/screenshots.py [--only report terminal mlflow site] [--out FOLDER]

It is called in the root of the repository where the quickstart has finished (make demo) and, for the site, where make
docs has built it. Chromium has to be on the PATH. Pictures have fixed sizes and few colours, and none is larger than
300 kB. The picture of a terminal is of a small study that is run anew, in a folder of its own.
"""

import argparse
import contextlib
import io
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "_static" / "screens"
STUDY = "quickstart"
BYTES_MAX, COLOURS = 300_000, (256, 128, 64, 32, 16)
WIDE, NARROW, A4 = (1440, 900), (320, 900), (794, 1123)  # pixels; a sheet of A4 at 96 of them an inch
MARGIN = 45  # pixels, 12 mm
COLUMNS, LINES = 110, 30  # of the terminal
SMALL = {"study": "smoke", "at": 0.6}  # what the terminal runs, and the share of its jobs that are done in the picture
PATIENCE_S = 240  # for a server to answer and a page to stand still, on a loaded machine

Take = Callable[[str, bytes], None]


# -- pictures ----------------------------------------------------------------------------------------------------------


def small(png: bytes) -> bytes:
    """The picture with as many colours as keep it within the limit. Raises SystemExit where none do."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in COLOURS:
        stream = io.BytesIO()
        reduced = image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        reduced.save(stream, "PNG", optimize=True)
        if stream.tell() <= BYTES_MAX:
            return stream.getvalue()
    raise SystemExit(
        f"a picture of {image.width} x {image.height} pixels has more than {BYTES_MAX} bytes in any colours"
    )


def on_paper(png: bytes) -> bytes:
    """A sheet of A4 with a picture within its margins."""
    sheet, stream = Image.new("RGB", A4, "white"), io.BytesIO()
    sheet.paste(Image.open(io.BytesIO(png)).convert("RGB"), (MARGIN, MARGIN))
    sheet.save(stream, "PNG")
    return stream.getvalue()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a head."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    if (path := next(filter(None, map(shutil.which, names)), None)) is None:
        raise SystemExit(f"found none of {', '.join(names)} on the PATH; install Chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        try:
            yield found
        finally:
            found.close()


def seen(page: Any, size: tuple[int, int], settle_ms: int = 1500) -> bytes:
    """The first screen of a page that stands still."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(settle_ms)
    return page.screenshot(animations="disabled", caret="hide", timeout=1000 * PATIENCE_S)


# -- what is pictured --------------------------------------------------------------------------------------------------


def report(chromium: Any, take: Take) -> None:
    """The report: its first screen in light and dark, on a telephone, and its first sheet on paper."""
    file = Path("results", STUDY, "report", "report.html").resolve()
    if not file.exists():
        raise SystemExit(f"there is no {file}; run the study first: make demo, or snakemake --config study={STUDY}")
    looks = {
        "report-light": (WIDE, {"color_scheme": "light"}),
        "report-dark": (WIDE, {"color_scheme": "dark"}),
        "report-320": (NARROW, {"color_scheme": "light"}),
    }
    for name, (size, how) in looks.items():
        with _page(chromium, file.as_uri(), **how) as page:
            take(name, seen(page, size))
    with _page(chromium, file.as_uri()) as page:
        page.emulate_media(media="print", color_scheme="light")
        take("report-print", on_paper(seen(page, (A4[0] - 2 * MARGIN, A4[1] - 2 * MARGIN))))


def terminal(chromium: Any, take: Take) -> None:
    """A study that runs, on a terminal: a line a job and the bar of all of them."""
    from rich.console import Console
    from rich.text import Text

    lines = _screen(_recorded())
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    prompt = f"$ collapselab run {SMALL['study']}"
    console.print(Text(prompt, style="bold"), *map(Text.from_ansi, lines), sep="\n", overflow="crop", no_wrap=True)
    svg = console.export_svg(title=prompt[2:], code_format=_without_network())
    with _page(chromium, "about:blank") as page:
        page.set_content(f'<body style="margin:0">{svg}</body>')
        box = page.locator("svg").first.bounding_box()
        take("terminal", seen(page, (round(box["width"]), round(box["height"])), 200))


def mlflow(chromium: Any, take: Take) -> None:
    """MLflow's page of the curves of all lineages, an arm in its colour, and one sheet of samples."""
    from mlflow import MlflowClient

    store = f"sqlite:///{Path('mlflow.db').resolve()}"
    if not Path("mlflow.db").exists():
        raise SystemExit(f"there is no mlflow.db; mirror the study first: collapselab track {STUDY}")
    experiment = MlflowClient(store).get_experiment_by_name(STUDY)
    if experiment is None:
        raise SystemExit(f"mlflow.db does not hold {STUDY}; mirror the study first: collapselab track {STUDY}")
    with served(Path("mlflow.db")) as address:
        page_of = (
            f"{address}/#/experiments/{experiment.experiment_id}/runs?searchFilter=tags.level%20%3D%20%27lineage%27"
        )
        with _page(
            chromium, f"{page_of}&orderByKey=attributes.start_time&orderByAsc=false&compareRunsMode=CHART"
        ) as page:
            page.wait_for_selector("text=seed 0", timeout=1000 * PATIENCE_S)
            page.wait_for_selector(".js-plotly-plot", state="attached", timeout=1000 * PATIENCE_S)
            for one in ("Close", "Toggle sidebar"):  # what stands beside the runs
                if (button := page.get_by_role("button", name=one, exact=True)).count():
                    button.first.click()
            take("mlflow", seen(page, WIDE, 6000))


def site(chromium: Any, take: Take) -> None:
    """The first page of the documentation."""
    file = ROOT / "docs" / "_build" / "html" / "index.html"
    if not file.exists():
        raise SystemExit(f"there is no {file}; build the site first: make docs")
    with _page(chromium, file.as_uri(), color_scheme="light") as page:
        take("site", seen(page, WIDE))


SUBJECTS = {"report": report, "terminal": terminal, "mlflow": mlflow, "site": site}


# -- pages and servers -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _page(chromium: Any, address: str, **how: Any) -> Iterator[Any]:
    """A page in a browser that nobody has used, in UTC and English, without motion."""
    context = chromium.new_context(
        viewport={"width": WIDE[0], "height": WIDE[1]},
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        **how,
    )
    try:
        page = context.new_page()
        page.goto(address, timeout=1000 * PATIENCE_S)
        yield page
    finally:
        context.close()


@contextlib.contextmanager
def served(database: Path) -> Iterator[str]:
    """The address of an MLflow server of a copy of a database, beside its artifacts; it ends with all its workers."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        copy = shutil.copyfile(database, Path(folder) / "mlflow.db")  # opening one may bring its tables up to date
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        words = ["server", "--backend-store-uri", f"sqlite:///{copy}", "--artifacts-destination", "mlartifacts"]
        command = [sys.executable, "-m", "mlflow", *words, "--port", str(port), "--workers", "1"]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(Path(folder) / "server.log", "wb") as log:
            server = subprocess.Popen(
                command, cwd=database.resolve().parent, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, 9)
            server.wait()


def _wait_for(address: str, server: subprocess.Popen) -> None:
    for _ in range(5 * PATIENCE_S):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=20):
            return
        if server.poll() is not None:
            break
        time.sleep(0.2)
    raise SystemExit("MLflow's server does not answer")


# -- a terminal --------------------------------------------------------------------------------------------------------


def _recorded() -> list[str]:
    """What a run of the small study writes to a terminal, piece by piece."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "collapselab", "run", SMALL["study"]]
        sized = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(folder)
            os.environ |= sized
            os.execvp(words[0], words)
        pieces = []
        with contextlib.suppress(OSError):  # so it says on Linux that nobody writes to it any more
            while piece := os.read(terminal, 65536):
                pieces.append(piece.decode("utf-8", "replace"))
        os.close(terminal)
        if code := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
            raise SystemExit(f"collapselab run {SMALL['study']} ended with {code}:\n{''.join(pieces)[-2000:]}")
        return pieces


STEP = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")
DONE = re.compile(r"(\d+)/(\d+)")


def _screen(pieces: list[str]) -> list[str]:
    """The last lines of a terminal, with their colours, when so many jobs are done: what was drawn anew stands once."""
    lines, row, chosen, enough = [""], 0, None, False
    for moves, letter, control, text in STEP.findall("".join(pieces)):
        if letter in ("A", "K") and enough and chosen is None:  # it stands whole until it is drawn anew
            chosen = [*lines]
        if letter == "A":
            row = max(0, row - int(moves or 1))
        elif letter == "K":
            lines[row] = ""
        elif letter == "m":
            lines[row] += f"\x1b[{moves}m"
        elif control == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif text:
            lines[row] += text
            found = DONE.search(re.sub(r"\x1b\[[0-9;]*m", "", lines[row]))
            enough |= bool(found) and int(found[1]) >= SMALL["at"] * int(found[2]) > 0
    chosen = [line for line in chosen or lines if re.sub(r"\x1b\[[0-9;]*m", "", line).strip()]
    return chosen[-LINES:]


def _without_network() -> str:
    """Rich's drawing of a terminal, with a font of the system in the place of one that is fetched."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    return re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.S).replace(
        "Fira Code", "DejaVu Sans Mono"
    )


# -- all of them -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Take them all, or those of the subjects that are asked for."""
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="subjects")
    said.add_argument("--out", type=Path, default=FOLDER, help="folder to write into")
    asked = said.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)

    def take(name: str, png: bytes) -> None:
        (asked.out / f"{name}.png").write_bytes(content := small(png))
        print(f"{asked.out / name}.png: {len(content):,} bytes")

    with browser() as chromium:
        for subject in asked.only:
            SUBJECTS[subject](chromium, take)


if __name__ == "__main__":
    main()
