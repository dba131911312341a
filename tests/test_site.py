"""The site of the documentation: it is built without a warning, and nobody is kept out of any of its pages.

One build serves all; it takes some fifteen seconds of one core, and a look at every page a few minutes.
"""

import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("sphinx", reason="needs the extra docs")
pytestmark = pytest.mark.slow

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"], "resultTypes": ["violations"]}
VIEWS = {
    "wide": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}, "color_scheme": "light"},
}
FEW = ("index.html", "tutorial.html", "gallery.html", "keys.html", "api/collapselab.core.sets.html", "search.html")
REPORT = "<!DOCTYPE html><html lang='en'><title>a report</title><h1>It falls.</h1></html>"


def build(source, out):
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(source), str(out)]
    return subprocess.run(words, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of a copy, in which one study has run; beside them what the copy needs of the repository."""
    folder = tmp_path_factory.mktemp("site")
    left_out = shutil.ignore_patterns("_build", "reports", "__pycache__", "jupyter_execute")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=left_out)
    for part in ("src", "config", "profiles", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, folder / part)
    report = folder / "results" / "quickstart" / "report" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text(REPORT)
    gathered = subprocess.run(
        [sys.executable, "docs/reports.py"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert gathered == "docs/_static/reports/quickstart.html\n"
    done = build(folder / "docs", folder / "html")
    assert done.returncode == 0 and not done.stderr, done.stderr
    return folder / "html"


def test_every_page_is_built_and_fetches_nothing(site):
    pages = sorted(site.rglob("*.html"))
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= {page.stem for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]+)\"", text)
        loaded += re.findall(r"<link[^>]*rel=\"(?:stylesheet|preload|icon)\"[^>]*href=\"([^\"]+)\"", text)
        assert not [one for one in loaded if "//" in one], page.name


def test_reports_stand_in_the_gallery_and_functions_have_their_docstrings(site):
    gallery = (site / "gallery.html").read_text(encoding="utf-8")
    assert '<iframe class="report" src="_static/reports/quickstart.html"' in gallery
    assert (site / "_static" / "reports" / "quickstart.html").read_text() == REPORT
    metrics = (site / "api" / "collapselab.metrics.html").read_text(encoding="utf-8")
    assert 'id="collapselab.metrics.frechet_distance"' in metrics and "2-Wasserstein" in metrics


def test_a_broken_link_is_an_error(tmp_path):
    for name in ("conf.py", "docstrings.py"):
        shutil.copy2(ROOT / "docs" / name, tmp_path / name)
    (tmp_path / "_static").mkdir()
    for name in ("site.css", "site.js", "favicon.svg"):
        (tmp_path / "_static" / name).touch()
    for target, code in (("index.md", 0), ("nowhere.md", 1)):
        (tmp_path / "index.md").write_text(f"# Home\n\n[there]({target})\n")
        assert build(tmp_path, tmp_path / "out").returncode == code


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("view", VIEWS)
def test_no_rule_of_accessibility_is_broken_and_nothing_runs_over_the_edge(site, address, chromium, view):
    """All pages in the wide view, and some of each kind in the others, whose colours and widths are of the theme."""
    api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    every = sorted(page.relative_to(site).as_posix() for page in site.rglob("*.html"))
    looked_at = [page for page in every if not page.startswith(("_static/", "_modules/"))] if view == "wide" else FEW
    assert set(FEW) <= set(every) and len(every) > 60
    page = chromium.new_context(reduced_motion="reduce", **VIEWS[view]).new_page()
    broken = {}
    for name in looked_at:
        page.goto(f"{address}/{name}")
        found = api.Axe().run(page, options=RULES).response["violations"]
        told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            told.append("runs over the edge")
        broken |= {name: told} if told else {}
    page.context.close()
    assert not broken


@pytest.mark.browser
def test_the_search_finds_a_metric_and_the_scheme_can_be_changed(address, chromium):
    page = chromium.new_context(color_scheme="light").new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/search.html?q=frechet_distance")
    page.wait_for_selector("#search-results li a")
    assert "metrics" in " ".join(page.locator("#search-results li a").all_inner_texts()).lower()
    page.goto(f"{address}/index.html")
    before = page.evaluate("document.documentElement.dataset.theme")
    page.locator(".theme-switch-button").first.click()
    page.locator(".theme-change-button[data-mode='dark']").first.click()
    assert before == "light" and page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert all(url.startswith((address, "data:")) for url in asked)
    page.context.close()
