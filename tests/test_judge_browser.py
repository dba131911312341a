"""The judging page in a browser: by the keyboard alone, over a lost network, and held to WCAG 2.2 A and AA.

axe-core finds what a machine can find; docs/judging.md has the list of what people check by hand.
"""

import hashlib
import shutil

import pytest
from judged import Round, right_answers
from sqlalchemy import select

from collapselab.judge import database, panel
from collapselab.judge.serving import served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on the PATH"),
]

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"], "resultTypes": ["violations"]}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
LARGE_TEXT = [*FLAGS, "--blink-settings=defaultFontSize=32"]  # as somebody has set it: 200 % of the usual
VIEWS = {
    "light": ({"viewport": {"width": 1000, "height": 800}}, FLAGS),
    "dark": ({"viewport": {"width": 1000, "height": 800}, "color_scheme": "dark"}, FLAGS),
    "narrow": ({"viewport": {"width": 320, "height": 640}, "color_scheme": "light"}, FLAGS),
    "narrow dark": ({"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"}, FLAGS),
    "forced colours": ({"viewport": {"width": 1000, "height": 800}, "forced_colors": "active"}, FLAGS),
    "large text": ({"viewport": {"width": 640, "height": 800}}, LARGE_TEXT),
}


@pytest.fixture(scope="module")
def playwright():
    with playwright_api.sync_playwright() as started:
        yield started


@pytest.fixture
def chromium(playwright):
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


class Keys:
    """Somebody at the page who has a keyboard and nothing else."""

    def __init__(self, page):
        self.page = page

    def to(self, what, most=200):
        """Press Tab until an element that fits a selector has the focus."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("what => document.activeElement.matches(what)", what):
                return
        raise AssertionError(f"the focus never came to {what}")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, path):
        self.page.wait_for_url(f"**/{path}")
        self.page.wait_for_load_state("load")

    def idle(self):
        playwright_api.expect(self.page.locator("#task")).not_to_have_attribute("aria-busy", "true")

    def item(self):
        return self.page.locator("[name=item]").input_value()

    def status(self):
        return self.page.inner_text("#status")

    def answer(self, key):
        before = self.item()
        self.page.keyboard.press(key)
        playwright_api.expect(self.page.locator("[name=item]")).not_to_have_value(before)
        self.idle()


def stored(held, slot=0):
    """answers by item, of one person."""
    with held.engine.connect() as connection:
        asked = select(database.items.c.word, database.judgements.c.answer).join(database.judgements)
        return dict(connection.execute(asked.where(database.items.c.slot == slot)).all())


def hashes(held):
    """Where an image is asked for, and the SHA-256 that was stored of it."""
    with held.engine.connect() as connection:
        items = connection.execute(
            select(database.items.c.word, database.images.c.sha256).join(
                database.images, database.images.c.id == database.items.c.image
            )
        ).all()
        lessons = connection.execute(select(database.images.c.word, database.images.c.sha256)).all()
    found = {f"/images/{word}": sha256 for word, sha256 in items}
    return found | {f"/lessons/{word}": sha256 for word, sha256 in lessons if word}


def test_a_whole_study_by_the_keyboard_alone(tmp_path, chromium):
    held = Round(tmp_path, per_judge=40, gold=0, repeats=0)
    right, expected, received, faults = right_answers(held), hashes(held), {}, []
    with served(held.engine, held.study) as site:
        page = chromium.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)

        def keep(response):
            path = response.url.removeprefix(site.url)
            if path in expected:
                received[path] = hashlib.sha256(response.body()).hexdigest()

        page.on("response", keep)
        keys = Keys(page)
        page.goto(f"{site.url}/join/{held.invite()[0].token}")
        keys.to("[name=agrees]")
        keys.press("Space")
        keys.to("main button")
        keys.press("Enter")
        keys.at("training")
        for name in page.locator("fieldset input[value=bad]").evaluate_all("all => all.map(x => x.name)"):
            keys.to(f"[name='{name}']")
            keys.press("Space")
            if right[name] == "good":
                keys.press("ArrowRight")
        keys.to("form[action='/training'] button")
        keys.press("Enter")
        keys.at("judge")
        said, order = {}, []
        for place in range(40):
            if place == 20:  # in the middle of it the page is loaded anew, and then opened on another device
                page.reload()
                keys.idle()
            if place == 25:
                for back in range(3):
                    before = keys.item()
                    page.keyboard.press("Backspace" if back % 2 else "Control+z")
                    playwright_api.expect(page.locator("[name=item]")).not_to_have_value(before)
                    keys.idle()
                    assert keys.item() == order[-1 - back] and "Taken back" in keys.status()
                for word in order[-3:]:
                    keys.answer("ArrowLeft")
                    said[word] = "bad"
            key, answer = (("1", "bad"), ("ArrowRight", "good"), ("2", "good"))[place % 3]
            order.append(keys.item())
            said[order[-1]] = answer
            assert f"Image {place + 1} of 40" in page.get_attribute("#image", "alt")
            if place < 39:
                keys.answer(key)
                assert keys.status() == f"Saved. {place + 1} of 40"
        page.keyboard.press(key)
        keys.at("finish")
        assert stored(held) == said and len(said) == 40
        keys.to("main button.main")
        keys.press("Enter")
        keys.at("survey")
        for _ in range(4):
            keys.to("input[type=radio]")
            keys.press("Space", "ArrowRight")
        keys.to("form[action='/survey'] button")
        keys.press("Enter")
        keys.at("thanks")
        page.wait_for_timeout(200)
    assert not faults
    shown = {f"/images/{word}" for word in order}
    assert shown <= set(received) and len(received) > 40 + 10
    assert received == {path: expected[path] for path in received}
    with held.engine.connect() as connection:
        answers = connection.scalars(select(database.surveys.c.answers)).one()
        seconds = connection.scalars(select(database.judgements.c.seconds)).all()
        more = connection.scalars(select(database.events.c.said).where(database.events.c.kind == "judgement")).all()
    assert set(answers.values()) == {2} and all(0 < one < 60 for one in seconds)
    assert {one["by"] for one in more} == {"key"} and {one["scale"] for one in more} == {16}


def test_by_buttons_the_focus_stays_and_who_switches_shortcuts_off_has_none(tmp_path, chromium):
    held = Round(tmp_path, training=False)
    with served(held.engine, held.study) as site:
        page = chromium.new_page()
        keys = Keys(page)
        page.goto(f"{site.url}/join/{held.invite()[0].token}")
        page.check("[name=agrees]")
        page.click("main button")
        keys.at("judge")
        keys.to("button.good")
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(ring.removesuffix("px")) >= 2
        for _ in range(3):
            keys.answer("Enter")
            assert page.evaluate("document.activeElement.matches('button.good')")
        keys.to("summary")
        keys.press("Enter")
        keys.to("#shortcuts-on")
        keys.press("Space")
        page.keyboard.press("1")
        page.keyboard.press("Backspace")
        page.wait_for_timeout(300)
        assert set(stored(held).values()) == {"good"} and len(stored(held)) == 3
        page.reload()
        assert not page.is_checked("#shortcuts-on")  # also later


def test_what_is_not_saved_is_said_and_sent_again_and_stored_once(tmp_path, chromium):
    held = Round(tmp_path, training=False)
    with served(held.engine, held.study) as site:
        page = chromium.new_page()
        keys = Keys(page)
        page.goto(f"{site.url}/join/{held.invite()[0].token}")
        page.check("[name=agrees]")
        page.click("main button")
        keys.at("judge")
        heard = []

        def lose(route):  # the server hears it twice, and its answers are lost; then there is no server at all
            heard.append(route.request.post_data)
            if len(heard) <= 2:
                route.fetch()
                route.abort()
            elif len(heard) == 3:
                route.fulfill(status=503)
            else:
                route.continue_()

        page.route("**/api/judgements", lose)
        first = keys.item()
        page.keyboard.press("1")
        playwright_api.expect(page.locator("#status")).to_have_text("Not saved yet. Trying again…")
        page.keyboard.press("2")  # nobody judges an image that they have not seen
        playwright_api.expect(page.locator("#status")).to_have_text("Saved. 1 of 44", timeout=20_000)
        assert len(heard) == 4 and len(set(heard)) == 1 and stored(held) == {first: "bad"}
        # What was under way when the page was left is sent when it comes back.
        page.unroute("**/api/judgements")
        page.route("**/api/judgements", lambda route: route.abort())
        second = keys.item()
        page.keyboard.press("2")
        playwright_api.expect(page.locator("#status")).to_have_text("Not saved yet. Trying again…")
        page.on("dialog", lambda dialog: dialog.accept())  # the browser asks before it leaves
        page.unroute("**/api/judgements")
        page.reload()
        playwright_api.expect(page.locator("#status")).to_have_text("Saved. 2 of 44")
        assert stored(held) == {first: "bad", second: "good"}
    with held.engine.connect() as connection:
        events = connection.scalars(select(database.events.c.id).where(database.events.c.kind == "judgement")).all()
    assert len(events) == 2


def test_an_enlarged_image_is_recorded(tmp_path, chromium):
    held = Round(tmp_path, training=False, zoom=True)
    with served(held.engine, held.study) as site:
        page = chromium.new_page()
        keys = Keys(page)
        page.goto(f"{site.url}/join/{held.invite()[0].token}")
        page.check("[name=agrees]")
        page.click("main button")
        keys.at("judge")
        keys.answer("2")
        page.check("[name=zoom][value='4']")
        assert page.evaluate("document.getElementById('image').clientWidth") == 4 * 256
        page.locator("h1").click()
        keys.answer("2")
    with held.engine.connect() as connection:
        assert connection.scalars(select(database.judgements.c.zoom)).all() == [1, 4]


def pages(page, site, held, admin):
    """Every page, one after the other, by its name."""
    right = right_answers(held)
    page.goto(f"{site.url}/join/{held.invite()[0].token}")
    yield "consent"
    page.check("[name=agrees]")
    page.click("main button")
    page.wait_for_url("**/training")
    yield "training"
    names = page.locator("fieldset input[value=bad]").evaluate_all("all => all.map(x => x.name)")
    for name in names:
        page.check(f"[name='{name}'][value={'bad' if right[name] == 'good' else 'good'}]")
    page.click("form[action='/training'] button")
    page.wait_for_selector("figure")
    yield "failed"
    page.goto(f"{site.url}/training")
    for name in page.locator("fieldset input[value=bad]").evaluate_all("all => all.map(x => x.name)"):
        page.check(f"[name='{name}'][value={right[name]}]")
    page.click("form[action='/training'] button")
    page.wait_for_url("**/judge")
    yield "judge"
    keys = Keys(page)
    for _ in range(3):
        keys.answer("2")
    page.click("summary")
    yield "judge with a break and the shortcuts"
    page.goto(f"{site.url}/earlier")
    yield "earlier"
    page.click(".grid a >> nth=0")
    page.wait_for_load_state()
    yield "change"
    page.goto(f"{site.url}/judge")
    keys.answer("1")
    page.keyboard.press("1")
    page.wait_for_url("**/finish")
    yield "finish"
    page.click("main button")
    page.wait_for_url("**/survey")
    yield "survey"
    page.evaluate("document.querySelectorAll('[required]').forEach(one => one.required = false)")
    page.click("form[action='/survey'] button")
    page.wait_for_selector("[role=alert]")
    yield "survey with a fault"
    for name in ("inclined", "understood_1", "concentrated", "good_work"):
        page.check(f"[name=q_{name}][value='3']")
    page.click("form[action='/survey'] button")
    page.wait_for_url("**/thanks")
    yield "thanks"
    page.goto(f"{site.url}/admin/join/{admin}")
    yield "admin"
    page.goto(f"{site.url}/join/forged")
    yield "refused"


@pytest.mark.parametrize("view", VIEWS)
def test_no_page_breaks_a_rule_of_wcag_2_2(tmp_path, playwright, view):
    context, flags = VIEWS[view]
    options = {"per_judge": 5, "gold": 0, "repeats": 0, "break_after": 3, "zoom": True}
    held = Round(tmp_path, **options, background=["age_group", "profession"])
    with database.writing(held.engine) as connection:
        admin = panel.new_admin(connection, held.study)
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    seen = []
    with served(held.engine, held.study) as site:
        page = browser.new_page(**context)
        for name in pages(page, site, held, admin):
            seen.append(name)
            found = axe_api.Axe().run(page, options=RULES)
            assert found.violations_count == 0, f"{name}, {view}: {found.generate_report()}"
            # Reflow: nothing but a table of numbers is scrolled sideways.
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name}, {view}: {wide} pixels are off the screen"
            small = page.evaluate(
                "[...document.querySelectorAll('button, main a, summary, select')]"
                ".filter(x => x.offsetParent && x.getBoundingClientRect().height < 24).map(x => x.outerHTML)"
            )
            assert not small, f"{name}, {view}: targets under 24 pixels: {small}"
        size = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
        assert size == (32 if view == "large text" else 16)
    browser.close()
    assert len(seen) == 13
