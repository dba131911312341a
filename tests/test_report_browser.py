"""A study's report in a browser: held to WCAG 2.2 A and AA, by keyboard, on dark paper, printed, and without script."""

import itertools
import re
import shutil
from types import SimpleNamespace

import made_up
import numpy as np
import pytest

from collapselab import report
from collapselab.adapt.base import Step
from collapselab.core.sets import SampleSet
from collapselab.report.before_after import before_after
from collapselab.report.charts import GRID_COLOUR, INK_COLOUR, KIND_COLOURS, SOFT_COLOUR
from collapselab.report.colours import CONTROL_COLOUR, MARKS, PALETTE, colours_of, marks_of
from collapselab.report.page import beside

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"], "resultTypes": ["violations"]}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDTHS, SCHEMES = (1440, 768, 320), ("light", "dark")
CHOSEN = ("recall", "class_histogram")
PAPERS = {"light": "#ffffff", "dark": "#161616"}
PRINTED = {"A4": 210 - 2 * 12, "Letter": 215.9 - 2 * 12}  # mm between the margins
MANY = (
    {"control": "control"}
    | {  # arm -> the made-up one that it is a copy of
        f"{arm} {time}, a name that is long": arm
        for time in ("once", "twice", "thrice")
        for arm in list(made_up.ARMS)[1:]
    }
)

browser_needed = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")]


def built(folder, arms, seeds, generations, chosen=()):
    """The report of a made-up study of these copies of made-up arms, of which one lineage has diverged."""
    records = [
        one
        | {
            "arm": arm,
            "composition": [part | {"arm": arm} if part["arm"] == of else part for part in one["composition"]],
        }
        for arm, of in arms.items()
        for one in made_up.records([of], seeds, generations)
    ]
    records = made_up.only(records, *chosen) if chosen else records
    records = made_up.diverge(records, list(arms)[-1], 1, generations)
    facts = made_up.facts(
        arms={arm: made_up.ARMS[of][0] for arm, of in arms.items()}, seeds=seeds, generations=generations
    )
    drawn = made_up.grids(generations=generations)
    grids = {arm: drawn[of] for arm, of in arms.items()}
    files = report.build(facts, records, grids, made_up.costs(records), figures=False)
    for name in ("report.html", "curves.csv"):
        (folder / name).write_bytes(files[name])
    return folder / "report.html"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return built(tmp_path_factory.mktemp("report"), {arm: arm for arm in made_up.ARMS}, 2, 2, CHOSEN)


class Opened:
    """The report in a window, and what it has said and asked for since."""

    def __init__(self, chromium, written, width=1440, scheme="light", **more):
        view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        self.page = chromium.new_context(bypass_csp=True, **view, **more).new_page()  # axe is a script of its own
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(written.as_uri())

    def draw_all(self):
        """Every chart, whether or not it would be seen, and every fold open; of the charts' numbers the first."""
        self.page.evaluate("all('main details:not(.beside)').forEach((fold) => (fold.open = true))")
        self.page.wait_for_function("window.vegaEmbed !== undefined")
        self.page.evaluate("Promise.all(places.map(draw))")
        self.page.wait_for_function("places.every((place) => place.querySelector('svg'))")
        self.page.locator(".beside summary").first.click()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.context.close()


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """(L1 + .05) / (L2 + .05), WCAG 2.2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


# -- without a browser -------------------------------------------------------------------------------------------------


def test_papers_are_those_of_the_style():
    style = beside("page.css")
    found = re.findall(r"--paper: (#\w+)", style)
    assert [one if len(one) == 7 else f"#{one[1] * 2}{one[2] * 2}{one[3] * 2}" for one in found] == [*PAPERS.values()]


@pytest.mark.parametrize("paper", PAPERS.values())
def test_every_arm_is_seen_on_both_papers(paper):
    assert min(contrast(colour, paper) for colour in (*PALETTE, CONTROL_COLOUR)) >= 3  # WCAG 2.2, 1.4.11


def test_a_colour_means_one_thing():
    arms = {colour.lower() for colour in (*PALETTE, CONTROL_COLOUR)}
    kinds = {colour.lower() for colour in KIND_COLOURS.values()}
    behind = {INK_COLOUR, SOFT_COLOUR, GRID_COLOUR}
    assert len(arms) == len(PALETTE) + 1 and len(kinds) == len(KIND_COLOURS)
    assert arms.isdisjoint(kinds | behind) and kinds.isdisjoint(behind)
    # Kinds are lighter or darker than all arms, so that they are not taken for one either.
    lowest, highest = min(map(luminance, arms)), max(map(luminance, arms))
    assert all(luminance(colour) < lowest or luminance(colour) > highest for colour in kinds)


def test_colour_and_mark_together_tell_seventy_arms_apart():
    arms = [str(number) for number in range(len(PALETTE) * len(MARKS))]
    assert len(set(zip(colours_of(arms, []).values(), marks_of(arms).values(), strict=True))) == len(arms) == 70
    assert len(set(marks_of(arms[:7]).values())) == 7


def test_what_charts_draw_beside_arms_has_another_colour_on_dark_paper():
    style = beside("page.css")
    for colour in (INK_COLOUR, SOFT_COLOUR):
        assert f'[fill="{colour}"]' in style
    for colour in (SOFT_COLOUR, GRID_COLOUR):
        assert f'[stroke="{colour}"]' in style


def test_scripts_are_small_enough_for_a_report_that_is_sent(written):
    page = written.read_text()
    sizes = {kind: len(text) for kind, text in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S)}
    assert sizes[' type="text/plain" id="library"'] < 950_000 and sizes[""] < 20_000
    drawn = page.count("data-chart=")
    assert drawn > 2 and sizes[' type="application/json" id="charts"'] / drawn < 40_000


# -- in a browser ------------------------------------------------------------------------------------------------------


def held_to_the_rules(opened, width):
    axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    found = axe_api.Axe().run(opened.page, options=RULES).response["violations"]
    assert [(rule["id"], [node["html"][:300] for node in rule["nodes"]]) for rule in found] == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width  # nothing runs over the edge
    wide = "places.filter((place) => place.firstElementChild.scrollWidth > place.clientWidth + 1)"
    assert opened.page.evaluate(f"{wide}.map((place) => place.dataset.chart)") == []
    nameless = opened.page.evaluate(
        "all('a[href], button, input, summary, [tabindex]').filter((one) => one.checkVisibility() && one.tabIndex >= 0)"
        ".filter((one) => ![one.ariaLabel, one.labels?.[0]?.textContent, one.textContent, one.firstElementChild?.alt]"
        ".some((name) => name?.trim()))"
        ".map((one) => one.outerHTML)"
    )
    assert nameless == [] and opened.said == []


def marked(views, ordinary):
    return [view if view in ordinary else pytest.param(*view, marks=pytest.mark.slow) for view in views]


VIEWS = marked(itertools.product(WIDTHS, SCHEMES), {(1440, "light"), (320, "dark")})


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
class TestViews:
    pytestmark = browser_needed

    def test_no_rule_of_accessibility_is_broken(self, chromium, written, width, scheme):
        with Opened(chromium, written, width, scheme) as opened:
            opened.draw_all()
            held_to_the_rules(opened, width)
            assert opened.asked == [written.as_uri()]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [*itertools.product(WIDTHS, SCHEMES)])
class TestViewsOfManyArms:
    pytestmark = browser_needed

    def test_no_rule_of_accessibility_is_broken(self, chromium, many, width, scheme):
        with Opened(chromium, many, width, scheme) as opened:
            opened.draw_all()
            held_to_the_rules(opened, width)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Of a dozen arms, in eight seeds."""
    return built(tmp_path_factory.mktemp("many"), MANY, 8, 4)


class TestPage:
    pytestmark = browser_needed

    def test_words_and_lines_of_charts_are_seen_on_both_papers(self, chromium, written):
        """Words have a contrast of 4.5 to 1, lines and marks of 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""
        for scheme, paper in PAPERS.items():
            with Opened(chromium, written, scheme=scheme) as opened:
                opened.draw_all()
                colours = "(what, side) => [...new Set(all(what).map((one) => getComputedStyle(one)[side]))]"
                words = opened.page.evaluate(f"({colours})('.drawing text', 'fill')")
                lines = opened.page.evaluate(f"({colours})('.drawing .mark-line path', 'stroke')")
                behind = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
                shown = opened.page.evaluate("all('.drawing svg, .drawing .background').map((one) => "
                    "getComputedStyle(one).backgroundColor + getComputedStyle(one).fill)")  # fmt: skip
            assert hexadecimal(behind) == paper and len(lines) >= len(made_up.ARMS)
            assert not [one for one in shown if "255, 255, 255" in one]
            assert min(contrast(hexadecimal(one), paper) for one in words) >= 4.5
            assert min(contrast(hexadecimal(one), paper) for one in lines) >= 3

    def test_an_arm_is_put_aside_everywhere_by_the_keyboard(self, chromium, written):
        arm, other = "fresh_data", "control"
        names = "[...document.querySelectorAll('.drawing text')].filter((one) => one.textContent === '{}').length"
        alone = "all('[data-arm]', one).length && all('[data-arm]', one).every((name) => name.dataset.arm === '{}')"
        parts = (
            f"all('main tr, main figure, main li, main th').filter((one) => one.checkVisibility() && {alone}).length"
        )
        with Opened(chromium, written) as opened:
            page = opened.page
            opened.draw_all()
            before = {name: page.evaluate(parts.format(name)) for name in (arm, other)}
            rows = page.evaluate("all('[aria-labelledby=numbers] tr').map((row) => row.cells.length)")
            page.evaluate(f"document.querySelector('#arms input[value={arm}]').focus()")
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("Tab")
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            page.keyboard.press("Space")
            page.evaluate("Promise.all(places.map(draw))")
            page.wait_for_function(f"{names.format(arm)} === 0")
            assert page.evaluate(names.format(other)) > 0
            assert page.evaluate(parts.format(arm)) == 0 < before[arm]
            assert page.evaluate(parts.format(other)) == before[other]
            cells = page.evaluate("all('[aria-labelledby=numbers] tr').map((row) => all('.aside', row).length)")
            assert rows and cells == [1] * len(rows)  # a whole column
            assert page.locator("#arms output").inner_text() == f"{len(made_up.ARMS) - 1} of {len(made_up.ARMS)} shown"
            page.reload()
            assert not page.locator(f"#arms input[value={arm}]").is_checked()
            page.wait_for_function(f"({parts.format(arm)}) === 0")
            page.get_by_role("button", name="Show all", exact=True).click()
            assert page.evaluate("all('.aside').length") == 0
            assert opened.said == []

    def test_the_bar_of_arms_stays_and_hides_nothing_that_has_the_focus(self, chromium, written):
        with Opened(chromium, written) as opened:
            page = opened.page
            page.evaluate("document.querySelector('#numbers').scrollIntoView()")
            assert page.evaluate("document.getElementById('arms').getBoundingClientRect().top") == 0
            page.evaluate("location.hash = 'samples'")
            bar = page.evaluate("document.getElementById('arms').getBoundingClientRect().bottom")
            assert page.evaluate("document.getElementById('samples').getBoundingClientRect().top") >= bar

    def test_tables_are_sorted_by_the_keyboard_numbers_as_numbers(self, chromium, written):
        column = "all('[aria-labelledby=cost] tbody tr').map((row) => row.cells[{}].innerText)"
        with Opened(chromium, written) as opened:
            page = opened.page
            page.evaluate("all('main details').forEach((fold) => (fold.open = true))")
            heading = page.locator("[aria-labelledby=cost] thead th", has_text="images seen")
            index = heading.evaluate("(one) => one.cellIndex")
            first = page.evaluate(column.format(index))
            number = [float(words.replace(" ", "").replace(" ", "")) for words in first]
            assert len(set(number)) > 1
            for way, right in (
                ("ascending", sorted(number)),
                ("descending", sorted(number, reverse=True)),
                (None, number),
            ):
                heading.locator("button").focus()
                page.keyboard.press("Enter")
                assert heading.get_attribute("aria-sort") == way
                found = page.evaluate(column.format(index))
                assert [float(words.replace(" ", "").replace(" ", "")) for words in found] == right

    def test_words_that_are_no_numbers_and_rows_that_belong_together(self, chromium, written):
        with Opened(chromium, written) as opened:
            found = opened.page.evaluate(
                """() => {
                  const rows = ["10", "–", "9.5", "1 200", "−3", "2e-3"];
                  const line = (words) => made("tr", {}, made("td", { textContent: words }));
                  const kept = made("table", {}, made("thead", {}, made("tr", {}, made("th", { textContent: "n" }))),
                    made("tbody", {}, ...rows.map(line)));
                  kept.tBodies[0].rows[1].dataset.follows = "";
                  document.querySelector("main").append(kept);
                  sortable(kept);
                  const order = () => [...kept.tBodies[0].rows].map((row) => row.innerText);
                  kept.querySelector("button").click();
                  const up = order();
                  kept.querySelector("button").click();
                  return [up, order()];
                }"""
            )
        assert found[0] == ["−3", "2e-3", "9.5", "10", "–", "1 200"]  # that row goes with 10
        assert found[1] == ["1 200", "10", "–", "9.5", "2e-3", "−3"]

    def test_charts_are_drawn_when_they_come_near_and_say_their_numbers(self, chromium, written):
        drawn = "places.filter((place) => place.view).length"
        with Opened(chromium, written) as opened:
            page = opened.page
            page.wait_for_function(f"{drawn} > 0")
            assert page.evaluate(drawn) < page.evaluate("places.length")
            page.evaluate("all('main details:has([data-chart])').forEach((fold) => (fold.open = true))")
            page.evaluate("places.at(-1).scrollIntoView()")
            page.wait_for_function("places.at(-1).view")
            said = page.locator("[data-chart=recall_lenet] svg").get_attribute("aria-label")
            assert said.startswith("Recall in the lenet features by generation, higher is better. Means from the first")
            page.locator("[data-chart=recall_lenet] summary").focus()
            page.keyboard.press("Enter")
            fold = page.locator("[data-chart=recall_lenet] .beside")
            fold.locator("tbody tr").first.wait_for()  # a fold tells that it is open after the key
            assert fold.locator("tbody tr").count() >= len(made_up.ARMS) * 3
            with page.expect_download() as download:
                fold.get_by_role("button", name="SVG").press("Enter")
            picture = download.value.path().read_text(encoding="utf-8")
            assert picture.startswith("<svg") and PALETTE[0] in picture and "var(" not in picture
            assert opened.said == []

    @pytest.mark.parametrize("paper", ["A4", pytest.param("Letter", marks=pytest.mark.slow)])  # which is wider
    def test_print_loses_nothing(self, chromium, written, paper):
        printed_whole(chromium, written, paper, list(made_up.ARMS))

    def test_without_script_nothing_is_lost(self, chromium, written):
        with Opened(chromium, written, java_script_enabled=False) as opened:
            page = opened.page
            assert not page.locator("#arms").is_visible()
            for arm in made_up.ARMS:
                assert page.locator(f"main tr:has([data-arm={arm}])").first.is_visible()
            words = page.locator("[data-chart=recall_lenet]").inner_text()
            assert "Means from the first to the last: control 0." in words and "figures/recall_lenet.pdf" in words


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
class TestBeforeAndAfter:
    pytestmark = browser_needed

    def test_no_rule_of_accessibility_is_broken(self, chromium, tmp_path, width, scheme):
        axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
        (tmp_path / "page.html").write_text(before_and_after(), encoding="utf-8")
        view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        page = chromium.new_context(bypass_csp=True, **view).new_page()
        page.goto((tmp_path / "page.html").as_uri())
        found = axe_api.Axe().run(page, options=RULES).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.emulate_media(media="print")  # on white paper, whatever the screen is
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.context.close()


def before_and_after():
    """The page of a model that was adapted in one step, of images and with a measured metric."""
    draws = np.random.default_rng(0)
    before, after = (SampleSet(draws.integers(0, 256, (12, 1, 8, 8), np.uint8)) for _ in range(2))
    entry = {"value": 0.8, "low": 0.7, "high": 0.9}
    facts = {"training": {"images_seen": [50, 150], "loss": [0.5, 0.2]}, "stopped": {"images_seen": 150, "why": "knee"}}
    measured = {("recall", "lenet"): (entry, entry | {"value": 0.6})}
    shown = SimpleNamespace(before=before, after=after, measured=measured)
    return before_after("model", [Step("lora", {"rank": 4}, facts)], shown, {"written to": "adapted.safetensors"})


@pytest.mark.slow
@pytest.mark.parametrize("paper", PRINTED)
class TestPrintOfManyArms:
    pytestmark = browser_needed

    def test_print_loses_nothing(self, chromium, many, paper):
        printed_whole(chromium, many, paper, list(MANY))


def printed_whole(chromium, written, paper, arms):
    """Each chart, table and name of an arm lies within the page; folds are open; the paper is white."""
    width = int(PRINTED[paper] / 25.4 * 96)
    with Opened(chromium, written, scheme="dark") as opened:
        page = opened.page
        page.wait_for_function("places.some((place) => place.view)")
        count = "places.filter((place) => place.querySelector('svg')).length"
        page.evaluate(f"addEventListener('afterprint', () => (window.printed = {count}))")
        page.evaluate("addEventListener('beforeprint', () => (window.folded = "
                      "all('main details:not(.beside, [open])').length))")  # fmt: skip
        assert page.pdf(format=paper).startswith(b"%PDF")
        assert page.evaluate("[printed, folded]") == [page.evaluate("places.length"), 0]
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.wait_for_function("places.every((place) => place.view)")
        over = page.evaluate(
            "(width) => all('main *, main svg').filter((one) => !one.parentElement.closest('svg'))"
            ".filter((one) => one.getClientRects().length && !one.matches('.unseen'))"
            ".filter((one) => one.getBoundingClientRect().right > width + 1 || one.scrollWidth > one.clientWidth + 1"
            " && getComputedStyle(one).overflowX !== 'visible').map((one) => one.outerHTML.slice(0, 200))",
            width,
        )
        assert over == []
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        for arm in arms:
            assert page.evaluate(f"all('main [data-arm=\"{arm}\"]').every((one) => one.checkVisibility())")
        legends = page.evaluate("places.map((place) => all('.role-legend-label text', place)"
                                ".map((one) => [one.textContent, one.getBoundingClientRect().right]))")  # fmt: skip
        named = [name for legend in legends for name, right in legend if right <= width + 1]
        assert [one for legend in legends for one in legend if one[1] > width + 1] == []  # nothing beyond the edge
        assert set(arms) <= set(named)


def hexadecimal(colour):
    channels = [int(number) for number in re.findall(r"\d+", colour)[:3]]
    return "#" + "".join(f"{channel:02x}" for channel in channels)
