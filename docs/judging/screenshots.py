"""Takes the pictures of the judging page that docs/judging.md shows.

python docs/judging/screenshots.py [--out FOLDER]

It holds a round of its own, over digits, and visits it with Chromium, which has to be on the PATH. What is asked and
shown is the same in every run; links and codes are none that lead anywhere.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import select

from collapselab import store
from collapselab.core.sets import SampleSet
from collapselab.data.digits import Digits
from collapselab.judge import database, panel, rounds
from collapselab.judge.examples import Example
from collapselab.judge.serving import served
from collapselab.judge.site import Site
from collapselab.select.judging import Judging

HERE = Path(__file__).parent
SIZE = {"width": 900, "height": 820}
NARROW = {"width": 320, "height": 640}
OPTIONS = Judging(judges=3, per_judge=60, overlap=2, break_after=20, background=("age_group", "profession"), zoom=True)


@contextmanager
def held(folder: Path) -> Iterator[tuple[Site, list[panel.Invited], str, Any]]:
    """A round over digits that is served: the site, its people, the admin's token, and the database."""
    images, _ = Digits().read()
    images = images.repeat(3, axis=2).repeat(3, axis=3)  # 24 pixels, on which a lattice shows
    path = folder / "pool.safetensors"
    store.write_samples(path, SampleSet(images[:200]))
    engine = database.opened(f"sqlite:///{folder / 'judging.db'}")
    place = rounds.Pool("digits", "people", 0, 0, path, folder / "gen0.parquet", 1, 1, 1)
    rounds.open_round(engine, place, lambda: images[200:600], OPTIONS, folder)
    with database.writing(engine) as connection:
        people = panel.invite(connection, "digits", "people", 3, 3)
        admin = panel.new_admin(connection, "digits")
    with served(engine, "digits") as site:
        yield site, people, admin, engine
    engine.dispose()


def truths(engine: Any) -> dict[str, str]:
    """The right answer to every question of the training screen."""
    with engine.connect() as connection:
        rows = connection.execute(select(database.images.c.word, database.images.c.about)).all()
    return {word: Example(None, about).answer for word, about in rows if word}


def ready(page: Page, path: str) -> None:
    """Wait for a page and everything on it."""
    page.wait_for_url(f"**/{path}")
    page.wait_for_load_state("networkidle")


def learn(page: Page, right: dict[str, str], wrong: int = 0) -> None:
    """Fill in the training screen, with some answers that are wrong."""
    for place, name in enumerate(
        page.locator("fieldset input[value=good]").evaluate_all("all => all.map(x => x.name)")
    ):
        answer = right[name] if place >= wrong else {"good": "bad", "bad": "good"}[right[name]]
        page.check(f"input[name='{name}'][value={answer}]")
    page.click("form[action='/training'] button")


def judge(page: Page, count: int) -> None:
    """Judge images by the keyboard."""
    for place in range(count):
        item = page.locator("[name=item]")
        before = item.input_value()
        page.keyboard.press("2" if place % 3 else "1")
        expect(item).not_to_have_value(before)
        expect(page.locator("#task")).not_to_have_attribute("aria-busy", "true")


def visit(browser: Browser, folder: Path, shoot: Any) -> None:
    """Every page, in the order in which somebody sees them."""
    with held(folder) as (site, people, admin, engine):
        page = browser.new_page(viewport=SIZE, locale="en")
        page.goto(f"{site.url}/join/{people[0].token}")
        shoot(page, "consent")
        page.check("[name=agrees]")
        page.click("main button")
        ready(page, "training")
        shoot(page, "training", whole=True)
        learn(page, truths(engine), wrong=3)
        expect(page.locator("figure")).to_have_count(3)
        ready(page, "training")
        shoot(page, "training-failed", whole=True)
        page.goto(f"{site.url}/training")
        learn(page, truths(engine))
        ready(page, "judge")
        judge(page, 20)
        page.wait_for_timeout(300)
        shoot(page, "judging")
        page.emulate_media(color_scheme="dark")
        shoot(page, "judging-dark")
        page.emulate_media(color_scheme="light", forced_colors="active")
        shoot(page, "judging-forced-colours")
        page.emulate_media(color_scheme="light", forced_colors="none")
        page.set_viewport_size(NARROW)
        shoot(page, "judging-narrow", whole=True)
        page.set_viewport_size(SIZE)
        page.goto(f"{site.url}/earlier")
        shoot(page, "earlier")
        page.click(".grid a >> nth=3")
        shoot(page, "change")
        page.goto(f"{site.url}/judge")
        while page.url.endswith("/judge"):
            page.keyboard.press("2")
            page.wait_for_timeout(30)
        shoot(page, "finish")
        page.click("main button")
        ready(page, "survey")
        shoot(page, "survey", whole=True)
        for name in ("inclined", "understood_1", "concentrated", "good_work"):
            page.check(f"[name=q_{name}][value='3']")
        page.click("form[action='/survey'] button")
        ready(page, "thanks")
        shoot(page, "thanks")
        page.goto(f"{site.url}/admin/join/{admin}")
        shoot(page, "admin", whole=True)
        page.goto(f"{site.url}/join/forged")
        shoot(page, "refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    out = parser.parse_args().out

    def shoot(page: Page, name: str, whole: bool = False) -> None:
        page.screenshot(path=out / f"{name}.png", full_page=whole)

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        visit(browser, Path(folder), shoot)
        browser.close()


if __name__ == "__main__":
    main()
