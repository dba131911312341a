"""How long a person waits for the next image: the judging page beside a plain Streamlit page of the same content.

    python bench/judge.py [--judges 25 200] [--clicks 55] [--seconds 25] [--streamlit FOLDER]

In Chromium: from the click to the next image decoded. Under load: from the judgement sent to the next image received,
by so many simulated judges who think for two seconds on average (exponential), the server on one core and the judges on
another where there are two. Both pages show an image of 256 x 256 pixels, two buttons and two lines of progress, and
store every judgement in SQLite with a log that is synced at each. Streamlit is measured where it can be imported, from
FOLDER if it is given: pip install --no-deps --target FOLDER streamlit websockets. Its judges speak its own protocol.
"""

import argparse
import asyncio
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIDE, THINK_S, WARM_UP = 256, 2.0, 5
PAGES = ("collapselab", "streamlit")


# -- what both show ----------------------------------------------------------------------------------------------------


def pictures(count: int) -> np.ndarray:
    """(count, 3, SIDE, SIDE) uint8, smooth, and of some noise, so that a PNG of one has the size that a photo's has."""
    draws = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = draws.uniform(1, 6, (count, 3, 2))
    smooth = 128 + 90 * np.sin(waves[..., :1, None] * x + waves[..., 1:, None] * y * 3)
    return np.clip(smooth + draws.normal(0, 6, (count, 3, SIDE, SIDE)), 0, 255).astype(np.uint8)


OURS = """
import sys, uvicorn
from collapselab.judge import database
from collapselab.judge.service import application
from collapselab.judge.site import Site
site = Site(database.opened(sys.argv[1]), "bench", f"http://127.0.0.1:{sys.argv[2]}")
uvicorn.run(application(site), host="127.0.0.1", port=int(sys.argv[2]), log_level="critical", access_log=False)
"""

THEIRS = """
import sqlite3, time
import streamlit as st

@st.cache_resource
def images():
    import numpy as np
    return np.load(FILE, mmap_mode="r")

@st.cache_resource
def database():
    found = sqlite3.connect(DATABASE, check_same_thread=False, isolation_level=None)
    for line in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000"):
        found.execute(f"PRAGMA {line}")
    found.execute("create table if not exists judgements (judge text, place integer, answer text, at real)")
    return found

state = st.session_state
if "place" not in state:
    state.place, state.judge = 0, str(time.time_ns())

def judge(answer):
    database().execute("insert into judgements values (?, ?, ?, ?)", (state.judge, state.place, answer, time.time()))
    state.place += 1

st.title("Is this image good or bad?")
st.image(images()[state.place % len(images())].transpose(1, 2, 0))
bad, good = st.columns(2)
bad.button("\\N{THUMBS DOWN SIGN} Bad", on_click=judge, args=("bad",))
good.button("\\N{THUMBS UP SIGN} Good", on_click=judge, args=("good",))
everybody = database().execute("select count(*) from judgements").fetchone()[0]
st.progress(min(state.place / 400, 1.0), f"Your progress: {state.place} of 400")
st.progress(min(everybody / 80_000, 1.0), f"Everyone together: {everybody} of 80000")
"""


# -- servers -----------------------------------------------------------------------------------------------------------


def cores() -> tuple[set[int], set[int]]:
    """The core of the server, and those of everybody else, which are others where there are several."""
    there = sorted(os.sched_getaffinity(0))
    return {there[0]}, set(there[1:]) or {there[0]}


@contextmanager
def running(words: list[str], environment: dict[str, str], port: int, ready: str) -> Iterator[None]:
    """A server on a core of its own, from its first answer on."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, env=environment, stdout=said, stderr=subprocess.STDOUT)
        os.sched_setaffinity(process.pid, cores()[0])
        try:
            for _ in range(1200):
                if process.poll() is not None:
                    said.seek(0)
                    raise SystemExit(f"the server ended: {said.read().decode(errors='replace')[-2000:]}")
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5):
                    break
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextmanager
def ours(folder: Path, judges: int) -> Iterator[tuple[str, list[str]]]:
    """The judging page with so many people who may begin: its address and their links' tokens."""
    from collapselab import store
    from collapselab.core.sets import SampleSet
    from collapselab.judge import database, panel, rounds
    from collapselab.select.judging import Judging

    count, port = 400, free_port()
    store.write_samples(folder / "pool.safetensors", SampleSet(pictures(count)))
    url = f"sqlite:///{folder / 'judging.db'}"
    engine = database.opened(url)
    options = Judging(judges=judges, per_judge=400, overlap=judges, training=False)
    pool = rounds.Pool("bench", "people", 0, 0, folder / "pool.safetensors", folder / "gen0.parquet", 1, 1, 1)
    rounds.open_round(engine, pool, lambda: pictures(40), options, folder)
    with database.writing(engine) as connection:
        people = panel.invite(connection, "bench", "people", judges, judges)
        connection.execute(database.judges.update().values(consented=1.0))
    engine.dispose()
    words = [sys.executable, "-c", OURS, url, str(port)]
    with running(words, {**os.environ, "OMP_NUM_THREADS": "1"}, port, "/static/icon.svg"):
        yield f"http://127.0.0.1:{port}", [one.token for one in people]


@contextmanager
def theirs(folder: Path, where: str | None) -> Iterator[str]:
    """The Streamlit page: its address."""
    np.save(folder / "images.npy", pictures(400))
    code = THEIRS.replace("FILE", repr(str(folder / "images.npy"))).replace("DATABASE", repr(str(folder / "theirs.db")))
    (folder / "page.py").write_text(code, encoding="utf-8")
    port = free_port()
    flags = {"server.port": port, "server.headless": "true", "browser.gatherUsageStats": "false"}
    flags |= {"server.fileWatcherType": "none", "server.address": "127.0.0.1", "global.developmentMode": "false"}
    words = [sys.executable, "-m", "streamlit", "run", str(folder / "page.py")]
    words += [f"--{name}={value}" for name, value in flags.items()]
    path = os.pathsep.join(filter(None, [where, os.environ.get("PYTHONPATH")]))
    with running(words, {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, port, "/_stcore/health"):
        yield f"http://127.0.0.1:{port}"


def has_streamlit(where: str | None) -> bool:
    """Whether Streamlit can be imported, from a folder of its own if one is said."""
    if where:
        sys.path.insert(0, where)
    from importlib.util import find_spec

    return find_spec("streamlit") is not None


# -- in a browser ------------------------------------------------------------------------------------------------------

CLICKED = """async ([button, image]) => {
  const before = document.querySelector(image).src, from = performance.now();
  document.querySelectorAll(button)[1].click();
  for (;;) {
    await new Promise(requestAnimationFrame);
    const now = document.querySelector(image);
    if (now && now.src !== before && now.complete && now.naturalWidth) {
      await now.decode();
      return performance.now() - from;
    }
    if (performance.now() - from > 30000) throw new Error("no other image came");
  }
}"""


def in_browser(url: str, path: str, button: str, image: str, clicks: int) -> np.ndarray:
    """Milliseconds from a click to the next image decoded, (clicks,)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url + path)
        if page.locator("[name=agrees]").count():
            page.check("[name=agrees]")
            page.click("main button")
        page.wait_for_selector(image)
        page.wait_for_load_state("networkidle")
        found = []
        for _ in range(WARM_UP + clicks):
            found.append(page.evaluate(CLICKED, [button, image]))
            page.wait_for_timeout(150)
        browser.close()
    return np.array(found[WARM_UP:])


# -- under load --------------------------------------------------------------------------------------------------------


class Judges(NamedTuple):
    """How judges of a page come and judge. come: from a place to a visit. once: what is timed of one judgement."""

    come: Callable[[int], Awaitable[dict]]
    once: Callable[[dict, random.Random], Awaitable[None]]


async def crowd(judges: Judges, count: int, seconds: float) -> tuple[np.ndarray, int]:
    """Milliseconds that each judgement of so many judges took once all had come, and how many judges were lost."""
    found: list[float] = []
    visits = await asyncio.gather(*(judges.come(place) for place in range(count)), return_exceptions=True)
    end = time.monotonic() + seconds

    async def judge(place: int, visit: dict) -> None:
        draws = random.Random(f"{count} {place}")  # no word of an earlier crowd comes again
        while True:
            await asyncio.sleep(draws.expovariate(1 / THINK_S))
            if time.monotonic() > end:
                return
            start = time.perf_counter()
            await judges.once(visit, draws)
            found.append(1000 * (time.perf_counter() - start))

    there = [(place, visit) for place, visit in enumerate(visits) if isinstance(visit, dict)]
    done = await asyncio.gather(*(judge(*one) for one in there), return_exceptions=True)
    lost = [one for one in (*visits, *done) if isinstance(one, BaseException)]
    for one in lost[:1]:
        print(f"  a judge was lost: {type(one).__name__}: {str(one)[:120]}")
    return np.array(found), len(lost)


def our_judges(url: str, tokens: list[str], clients: list[Any]) -> Judges:
    """Judges of the judging page."""

    async def come(place: int) -> dict:
        headers = {"Authorization": f"Bearer {tokens[place]}"}
        told = (await clients[place].get(f"{url}/api/next", headers=headers)).json()
        return {"client": clients[place], "headers": headers, "item": told["next"]}

    async def once(visit: dict, draws: random.Random) -> None:
        said = {"item": visit["item"]["id"], "answer": "good", "nonce": f"{draws.getrandbits(64):016x}", "seconds": 1}
        answer = await visit["client"].post(f"{url}/api/judgements", headers=visit["headers"], json=said)
        visit["item"] = answer.json()["next"]
        image = await visit["client"].get(url + visit["item"]["image"], headers=visit["headers"])
        assert answer.status_code == image.status_code == 200

    return Judges(come, once)


def their_judges(url: str, clients: list[Any]) -> Judges:
    """Judges of the Streamlit page: a browser's part of its protocol."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.asyncio.client import connect

    async def run_once(visit: dict, message: Any) -> None:
        """Have the script run, and take over the button and where the image is."""
        await visit["socket"].send(message.SerializeToString())
        while True:
            told = ForwardMsg()
            told.ParseFromString(await asyncio.wait_for(visit["socket"].recv(), 120))
            if told.WhichOneof("type") == "delta" and told.delta.WhichOneof("type") == "new_element":
                element = told.delta.new_element
                if element.WhichOneof("type") == "button" and "Good" in element.button.label:
                    visit["button"] = element.button.id
                if element.WhichOneof("type") == "imgs":
                    visit["image"] = element.imgs.imgs[0].url
            if told.WhichOneof("type") == "script_finished":
                return

    async def come(place: int) -> dict:
        await asyncio.sleep(0.1 * place)  # one after the other, so that nobody is turned away
        address = url.replace("http", "ws") + "/_stcore/stream"
        visit = {
            "client": clients[place],
            "socket": await connect(address, subprotocols=["streamlit"], max_size=None, open_timeout=120),
        }
        first = BackMsg()
        first.rerun_script.query_string = ""
        await run_once(visit, first)
        return visit

    async def once(visit: dict, draws: random.Random) -> None:
        click = BackMsg()
        state = click.rerun_script.widget_states.widgets.add()
        state.id, state.trigger_value = visit["button"], True
        await run_once(visit, click)
        answer = await visit["client"].get(url + visit["image"])
        assert answer.status_code == 200

    return Judges(come, once)


def under_load(count: int, seconds: float, make: Callable[[Any], Judges]) -> tuple[np.ndarray, int]:
    """The same of a page's judges, on cores of their own."""
    import httpx2

    async def all_of_them() -> tuple[np.ndarray, int]:
        # One pool of connections a judge, as every browser has its own: one of all would be looked through each time.
        clients = [httpx2.AsyncClient(timeout=120, verify=False) for _ in range(count)]
        try:
            return await crowd(make(clients), count, seconds)
        finally:
            await asyncio.gather(*(client.aclose() for client in clients))

    return asyncio.run(all_of_them())


# -- all of it ---------------------------------------------------------------------------------------------------------


def told(name: str, page: str, found: np.ndarray, more: str = "") -> None:
    """One line of figures."""
    if not len(found):
        print(f"{name:22} {page:12} nobody came to an end {more}", flush=True)
        return
    low, mid, high = np.percentile(found, [50, 95, 99])
    print(f"{name:22} {page:12} {len(found):6} p50 {low:8.1f}  p95 {mid:8.1f}  p99 {high:8.1f} ms {more}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judges", type=int, nargs="+", default=[25, 200])
    parser.add_argument("--clicks", type=int, default=55)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--streamlit", help="the folder in which Streamlit is installed")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, cores()[1])
    beside = has_streamlit(arguments.streamlit)
    with tempfile.TemporaryDirectory() as folder, ours(Path(folder), max(arguments.judges) + 1) as (url, tokens):
        mine = {"one in Chromium": in_browser(url, f"/join/{tokens[-1]}", "#answer button", "#image", arguments.clicks)}
        for count in arguments.judges:
            found, lost = under_load(count, arguments.seconds, lambda clients: our_judges(url, tokens, clients))
            mine[f"{count} simulated"] = found
            told(f"{count} simulated", PAGES[0], found, f"{len(found) / arguments.seconds:.0f}/s, {lost} lost")
    told("one in Chromium", PAGES[0], mine["one in Chromium"])
    if not beside:
        print("Streamlit cannot be imported; say --streamlit FOLDER for the other page")
        return
    with tempfile.TemporaryDirectory() as folder, theirs(Path(folder), arguments.streamlit) as url:
        buttons, image = "[data-testid=stButton] button", "[data-testid=stImage] img"
        other = {"one in Chromium": in_browser(url, "/", buttons, image, arguments.clicks)}
        told("one in Chromium", PAGES[1], other["one in Chromium"])
        for count in arguments.judges:
            found, lost = under_load(count, arguments.seconds, lambda clients: their_judges(url, clients))
            other[f"{count} simulated"] = found
            told(f"{count} simulated", PAGES[1], found, f"{len(found) / arguments.seconds:.0f}/s, {lost} lost")
    for name, found in mine.items():
        if len(found) and len(other[name]):
            ratio = np.percentile(other[name], 95) / np.percentile(found, 95)
            print(f"{name:22} p95 of Streamlit over that of collapselab: {ratio:.1f}")


if __name__ == "__main__":
    main()
