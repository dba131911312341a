"""The dossier in a browser: it loads nothing, fits every screen, and is held to WCAG 2.2 A and AA in every scheme."""

import shutil
from pathlib import Path

import pytest
from test_publish import ANSWERS, lay

from collapselab.publish import answers
from collapselab.publish.document import page
from collapselab.publish.dossier import dossier
from collapselab.publish.known import Known
from collapselab.study.loading import load

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on the PATH"),
]

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"], "resultTypes": ["violations"]}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE, NARROW = {"width": 1000, "height": 800}, {"width": 320, "height": 640}
VIEWS = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow": {"viewport": NARROW, "color_scheme": "light"},
    "narrow dark": {"viewport": NARROW, "color_scheme": "dark"},
    "forced colours": {"viewport": WIDE, "forced_colors": "active"},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The dossier of a small study, of whose questions some are answered."""
    folder = tmp_path_factory.mktemp("dossier")
    lay(folder)
    (folder / "answers.yaml").write_text(ANSWERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        known = Known(load(Path("config/pics.yaml")), answers.read(Path("answers.yaml")))
        (folder / "dossier.html").write_text(page(dossier(known, "2026-11-29")))
    return folder / "dossier.html"


def opened(chromium, written, view):
    """The page, and what it asked the network for."""
    one = chromium.new_context(bypass_csp=True, **view).new_page()  # else nobody could look into it by a script
    asked = []
    one.on("request", lambda request: asked.append(request.url))
    one.goto(written.as_uri())
    return one, asked


@pytest.mark.parametrize("view", list(VIEWS))
def test_no_rule_of_accessibility_is_broken_and_nothing_runs_over_the_edge(chromium, written, view):
    one, asked = opened(chromium, written, VIEWS[view])
    found = axe_api.Axe().run(one, options=RULES).response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    assert one.evaluate("document.documentElement.scrollWidth") == VIEWS[view]["viewport"]["width"]
    assert asked == [written.as_uri()]


def test_the_scheme_of_the_reader_is_kept_and_paper_is_white(chromium, written):
    colours = {}
    for view in ("light", "dark"):
        one, _ = opened(chromium, written, VIEWS[view])
        colours[view] = one.evaluate("getComputedStyle(document.body).backgroundColor")
        one.emulate_media(media="print")
        assert one.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not one.locator("nav").is_visible()
    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 22, 22)"}


def test_links_lead_to_sections_and_questions_say_that_they_are_open(chromium, written):
    one, _ = opened(chromium, written, VIEWS["light"])
    one.get_by_role("link", name="California AB 2013").click()
    assert one.evaluate("document.querySelector(location.hash).getBoundingClientRect().top < innerHeight")
    assert one.locator("dt.open").first.inner_text() == "not answered yet"
    assert one.locator("dd", has_text="An Institute").count() >= 1
