"""The report in a browser: the answer and its plot on the first screen, and its pictures by the keyboard alone."""

import made_up
import numpy as np
import pytest
from browsing import CHROMIUM

from collapselab import report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on the PATH"),
]

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The report of a study with pictures."""
    records = made_up.only(made_up.records(), "recall", "precision")
    real = np.full((10, 1, 8, 8), 7, np.uint8)
    built = report.build(made_up.facts(), records, made_up.grids(), figures=False, real=real)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(built["report.html"])
    return path.as_uri()


@pytest.fixture
def page(chromium, address):
    """The report, as it comes up; what the browser complains of fails the test."""
    opened = chromium.new_page(viewport=WIDE)
    complaints = []
    opened.on("pageerror", lambda said: complaints.append(str(said)))
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.goto(address)
    yield opened
    opened.close()
    assert complaints == []


def bottom(page, what):
    box = page.locator(what).first.bounding_box()
    return box["y"] + box["height"]


def test_the_answer_and_its_plot_stand_on_the_first_screen(page):
    page.wait_for_selector("header [data-chart] svg")
    assert bottom(page, ".answer") < 450 and bottom(page, "header [data-chart] svg") < 900
    answer, plot = page.locator(".answer").bounding_box(), page.locator("header [data-chart] svg").bounding_box()
    assert answer["x"] + answer["width"] <= plot["x"]  # beside each other
    assert page.locator(".answer").inner_text().startswith("Yes: recall falls faster than in the control in ")


def test_the_page_is_as_long_as_somebody_reads(page):
    """A dozen screens as it comes up, where it was twenty with every chart and row of it open."""
    page.wait_for_selector("header [data-chart] svg")
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("document.querySelectorAll('main details').forEach((fold) => (fold.open = true))")
    assert height < 10_000 and height < page.evaluate("document.documentElement.scrollHeight") - WIDE["height"]


def test_a_picture_enlarges_by_the_keyboard_and_gives_the_focus_back(page):
    picture = page.locator(".sheet button.enlarge").nth(1)
    picture.focus()
    small = picture.locator("img").bounding_box()
    page.keyboard.press("Enter")
    large = page.locator("#enlarged img")
    large.wait_for()
    assert large.bounding_box()["width"] > 2 * small["width"]
    assert large.get_attribute("alt") == picture.locator("img").get_attribute("alt")
    assert large.bounding_box()["height"] < WIDE["height"]
    page.keyboard.press("Escape")
    assert not page.locator("#enlarged").is_visible()
    assert picture.evaluate("button => button === document.activeElement")


def shown(page):
    """The generations of which rows are seen."""
    rows = page.locator("tr[data-generation]")
    return {int(row.get_attribute("data-generation")) for row in rows.all() if row.is_visible()}


def test_a_slider_steps_through_the_generations(page):
    assert shown(page) == {4}
    page.locator("#generation").focus()
    page.keyboard.press("ArrowLeft")
    assert shown(page) == {3} and page.locator(".steps output").inner_text() == "generation 3"
    page.keyboard.press("Home")
    assert shown(page) == {0}
    heights = {round(row.bounding_box()["y"]) for row in page.locator("tr[data-generation='0']").all()[:2]}
    assert len(heights) == 1  # arms stand side by side
    page.get_by_role("button", name="Show all generations").press("Enter")
    assert shown(page) == {0, 1, 2, 3, 4}
    page.locator("#generation").press("ArrowRight")
    assert shown(page) == {1}


def test_print_has_every_generation_and_all_that_is_folded(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown(page) == {0, 1, 2, 3, 4}
    folded = page.locator("details:not([open])").evaluate_all("all => all.filter((one) => !one.matches('.beside'))")
    assert folded == [] and page.locator("footer pre").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert shown(page) == {4} and not page.locator("footer pre").first.is_visible()


def test_without_scripts_all_generations_are_there(chromium, address):
    context = chromium.new_context(java_script_enabled=False, viewport=WIDE)
    opened = context.new_page()
    opened.goto(address)
    assert shown(opened) == {0, 1, 2, 3, 4} and not opened.locator(".steps").is_visible()
    assert opened.locator(".enlarge").count() == 0 and opened.locator(".answer").is_visible()
    context.close()
