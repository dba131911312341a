"""The judging page over HTTP: who gets in, what a page tells and hides, and a whole round by forms alone."""

import hashlib
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from judged import Round, right_answers
from PIL import Image
from sqlalchemy import select
from starlette.testclient import TestClient

from collapselab import store
from collapselab.cli.simulate import _sent
from collapselab.judge import database, panel
from collapselab.judge.pages import STATIC
from collapselab.judge.panel import form_word
from collapselab.judge.service import MOST_BYTES, application
from collapselab.judge.serving import served
from collapselab.judge.site import HEADERS, Site
from collapselab.judge.visits import Link
from collapselab.select.judging import LANGUAGES

httpx = pytest.importorskip("httpx2", reason="needs collapselab[judge]")

URL = "http://testserver"


def application_of(held, url=URL):
    return application(Site(held.engine, held.study, url))


def client_of(held, token=None, url=URL):
    """A program's client, whose token comes in a header."""
    return TestClient(
        application_of(held, url), base_url=url, headers={"Authorization": f"Bearer {token}"} if token else {}
    )


class Browser:
    """A browser that runs no script: it keeps cookies, follows links and sends forms."""

    def __init__(self, held, token, url=URL):
        self.client = TestClient(application_of(held, url), base_url=url)
        self.page = self.client.get(f"/join/{token}")

    def field(self, name):
        return re.search(rf'name="{name}" value="([^"]*)"', self.page.text)[1]

    @property
    def questions(self):
        return list(dict.fromkeys(re.findall(r'type="radio" name="([^"]+)"', self.page.text)))

    def send(self, path, **fields):
        self.page = self.client.post(path, data={"form": self.field("form"), **fields})
        return self.page

    def path(self):
        return self.page.url.path


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A round with two people who have not begun; tests that change anything hold their own."""
    found = Round(tmp_path_factory.mktemp("pages"))
    found.people = found.invite(2)
    return found


@pytest.fixture
def trained(tmp_path):
    """A round of few items, and a program's client of somebody who may judge."""
    found = Round(tmp_path, per_judge=20, gold=0.1, repeats=0.1, gate={"questions": 1, "right": 0})
    (invited,) = found.invite()
    client = client_of(found, invited.token)
    assert client.post("/api/consent", json={"agrees": True}).json()["stage"] == "training"
    asked = client.get("/api/training").json()
    said = {"attempt": 1, "answers": {one["id"]: "good" for one in asked["questions"]}}
    assert client.post("/api/training", json=said).json()["state"]["stage"] == "judging"
    return found, client


def judged(client, found, **more):
    said = {"item": found["next"]["id"], "answer": "good", "nonce": f"nonce-{found['next']['id']}", **more}
    done = client.post("/api/judgements", json=said)
    assert done.status_code == 200, done.text
    return done.json()


def test_who_comes_between_rounds_is_told_to_wait(tmp_path, capsys):
    found = Round(tmp_path, generations=2, per_judge=20)
    (newcomer,) = found.invite()
    with database.writing(found.engine) as connection:
        connection.execute(database.rounds.update().values(closed=1.0))
        early = panel.invite(connection, found.study, "an arm without rounds", 1, 1)[0]
    browser = Browser(found, newcomer.token)
    assert browser.path() == "/consent"
    page = browser.send("/consent", agrees="yes")
    assert (page.status_code, browser.path()) == (200, "/thanks") and "The next round begins when" in page.text
    client = client_of(found, newcomer.token)
    assert client.get("/training").url.path == "/thanks"
    assert client.get("/api/state").json()["stage"] == "waiting"
    answer = client.get("/api/training")
    assert answer.status_code == 409 and "but of: waiting" in answer.json()["error"]
    answer = client_of(found, early.token).get("/")
    assert answer.status_code == 409 and "The next round begins when" in answer.text
    with served(found.engine, found.study) as site:
        _sent(None, [Link(newcomer.code, site.url, newcomer.token)], None, 1, 0)
        assert "1 wait: no round is open for them" in capsys.readouterr().out
        with pytest.raises(ValueError, match="409 no round is open yet; come back with the same link when one is"):
            _sent(None, [Link(early.code, site.url, early.token)], None, 1, 0)


# -- who gets in -------------------------------------------------------------------------------------------------------


def requests_of(held):
    """A well-formed request of every route that is not for everybody: method, path and JSON or form."""
    bodies = {
        "/api/consent": {"agrees": True},
        "/api/training": {"attempt": 1, "answers": {}},
        "/api/judgements": {"item": "x" * 20, "answer": "good", "nonce": "n" * 16},
        "/api/undo": {"nonce": "n" * 16},
        "/api/survey": {"answers": {}},
        "/api/admin/close": {"round": 1, "anyway": True},
    }
    forms = {
        "/language": {"language": "lt"},
        "/consent": {"agrees": "yes"},
        "/judge": {"item": "x" * 20, "answer": "good", "nonce": "n" * 16},
        "/undo": {"nonce": "n" * 16},
        "/admin/close": {"round": "1", "anyway": "yes"},
    }
    routes = application_of(held).openapi()["paths"]
    for path, methods in sorted(routes.items()):
        for method in methods:
            if path.startswith("/static/"):
                continue
            where = re.sub(r"\{\w+\}", "x" * 20, path)
            if method == "get":
                yield method, where, {}
            elif path.startswith("/api/"):
                yield method, where, {"json": bodies.get(path)} if path in bodies else {}
            else:
                yield method, where, {"data": {"form": "f" * 64, **forms.get(path, {})}}


def test_no_door_opens_to_a_token_that_is_forged_revoked_or_of_another_study(held, tmp_path):
    other = Round(tmp_path)
    (foreign,) = other.invite()
    revoked = held.people[1]
    with database.writing(held.engine) as connection:
        panel.revoke(connection, held.study, held.arm, revoked.code)
    before = held.engine.connect().exec_driver_sql("select count(*) from events").scalar()
    tokens = {"none": "", "forged": "x" * 43, "revoked": revoked.token, "foreign": foreign.token, "odd": "Ä\x7f"}
    requests = list(requests_of(held))
    assert len(requests) > 25
    app = application_of(held)
    for name, token in tokens.items():
        headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
        cookie = {"Cookie": f"judge={token}; judge_admin={token}".encode()} if token else {}
        for sent in (headers, cookie):
            client = TestClient(app, headers=sent, follow_redirects=False)
            for method, path, body in requests:
                found = client.request(method, path, **body)
                assert found.status_code == 403, f"{method} {path} with a token that is {name}: {found.status_code}"
    assert held.engine.connect().exec_driver_sql("select count(*) from events").scalar() == before


def test_a_judge_is_no_admin_and_an_admin_no_judge(held):
    with database.writing(held.engine) as connection:
        admin = panel.new_admin(connection, held.study)
    judge = held.people[0].token
    for token, opens, shut in ((judge, "/api/state", "/api/admin/status"), (admin, "/api/admin/status", "/api/state")):
        client = client_of(held, token)
        assert client.get(opens).status_code == 200 and client.get(shut).status_code == 403
    assert client_of(held).get(f"/join/{admin}").status_code == 403
    assert client_of(held).get(f"/admin/join/{judge}").status_code == 403
    with database.writing(held.engine) as connection:
        panel.new_admin(connection, held.study)
    assert client_of(held, admin).get("/admin").status_code == 403  # the link of an earlier start has ended


def test_items_of_others_are_nobodys(trained):
    held, client = trained
    (other,) = held.invite()
    with held.engine.connect() as connection:
        asked = select(database.items.c.word).where(database.items.c.slot == 1)
        words = connection.scalars(asked).all()
    told = []
    for word in (words[0], "x" * 20):
        told.append(client.get(f"/images/{word}"))
        told.append(client.post("/api/judgements", json={"item": word, "answer": "good", "nonce": "n" * 16}))
    assert {one.status_code for one in told} == {403} and len({one.text for one in told}) == 1
    assert client_of(held, other.token).get(f"/images/{words[0]}").status_code == 200


def test_another_site_cannot_make_a_browser_act(held):
    browser = Browser(held, held.people[0].token)
    own = browser.field("form")
    for method, path, body in requests_of(held):
        if method != "post" or "admin" in path:
            continue
        for word in ("no", "f" * 64, form_word("another key", held.people[0].token)):
            headers = {"X-Form": word} if path.startswith("/api/") else {}
            sent = body if path.startswith("/api/") else {"data": {**body["data"], "form": word}}
            found = browser.client.post(path, headers=headers, **sent)
            assert found.status_code == 403, f"{path} with {word!r}"
    found = browser.client.post("/api/undo", headers={"X-Form": own}, json={"nonce": "n" * 16})
    assert found.status_code == 409  # the page's own word gets further


def test_cookies_are_kept_from_scripts_and_other_sites(held):
    token = held.people[0].token
    client = TestClient(application_of(held), follow_redirects=False)
    plain = client.get(f"/join/{token}").headers["set-cookie"]
    assert plain.startswith(f"judge={token};") and "HttpOnly" in plain and "SameSite=lax" in plain
    assert "Secure" not in plain and "Path=/" in plain
    secure = TestClient(application_of(held, "https://judge.example.org"), follow_redirects=False)
    named = secure.get(f"https://judge.example.org/join/{token}").headers["set-cookie"]
    assert named.startswith("__Host-judge=") and "Secure" in named and "Domain" not in named


def test_every_answer_carries_the_headers_that_keep_others_out(held):
    browser = Browser(held, held.people[0].token)
    client = browser.client
    asked = ["/consent", "/static/judge.js", "/no/such/page", "/join/forged", "/api/state", "/images/x"]
    for path in asked:
        found = client.get(path)
        for name, value in HEADERS.items():
            if name != "Cache-Control":
                assert found.headers[name] == value, f"{path}: {name}"
        assert "server" not in found.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert client.get("/consent").headers["cache-control"] == "no-store"
    assert client.post("/api/consent", content=b"x" * (MOST_BYTES + 1)).status_code == 413


def test_pages_have_no_script_style_or_handler_within(trained):
    _, client = trained
    for path in ("/judge", "/earlier", "/thanks"):
        text = client.get(path).text
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", text)
        assert not re.search(r'(src|href|action)="(?!/)(?!#)', text)  # all of it is this server's


def test_shared_files_are_by_name_alone(held):
    client = client_of(held)
    for name, kind in STATIC.items():
        found = client.get(f"/static/{name}?x")
        assert found.status_code == 200 and found.headers["content-type"].startswith(kind)
    for name in ("base.html.jinja", "../service.py", "%2e%2e/service.py", "..%2fservice.py", "judge.css/../judge.js.x"):
        assert client.get(f"/static/{name}").status_code == 404


# -- blinding ----------------------------------------------------------------------------------------------------------


def test_images_are_served_byte_for_byte_and_say_nothing_of_themselves(trained):
    held, client = trained
    with held.engine.connect() as connection:
        stored = dict(
            connection.execute(
                select(database.items.c.word, database.images.c.sha256)
                .join(database.images, database.images.c.id == database.items.c.image)
                .where(database.items.c.slot == 0)
            ).all()
        )
        lessons = dict(connection.execute(select(database.images.c.word, database.images.c.sha256)).all())
    assert len(stored) == 24
    for word, sha256 in stored.items():
        found = client.get(f"/images/{word}")
        assert hashlib.sha256(found.content).hexdigest() == sha256
        allowed = {"content-length", "content-type", *(name.lower() for name in HEADERS)}
        assert set(found.headers) == allowed and found.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(found.content)) as image:
            assert not image.info  # no text, no date
    for word, sha256 in [(word, sha256) for word, sha256 in lessons.items() if word][:5]:
        assert hashlib.sha256(client.get(f"/lessons/{word}").content).hexdigest() == sha256


def test_what_is_gold_or_shown_again_looks_like_all_others(trained):
    held, client = trained
    with held.engine.connect() as connection:
        kinds = dict(connection.execute(select(database.items.c.word, database.items.c.kind)).all())
    found, seen, keys = client.get("/api/next").json(), {}, set()
    while found["next"]:
        item = found["next"]
        page = client.get("/judge").text
        assert item["id"] in page and not re.search(r"gold|repeat|study|gen0|safetensors|sha|\.png", page)
        plain = re.sub(r"[0-9]+", "0", page.replace(item["id"], "ID").replace(item["upcoming"] or "-", "UP"))
        plain = re.sub(r'value="[0-9a-f]{20,}u?"', "", re.sub(r'name="nonce" value="\w+"', "", plain))
        plain = re.sub(r'data-upcoming="[^"]*"|<p id="rest".*?</p>|<p id="status".*?</p>', "", plain)
        seen.setdefault(kinds[item["id"]], set()).add(plain)
        keys.add(frozenset(item))
        found = judged(client, found)
        assert not re.search(r"gold|repeat|study|gen0", json.dumps(found))
    assert set(seen) == {"gold", "repeat", "study"} and len(keys) == 1
    assert seen["gold"] <= seen["study"] and seen["repeat"] <= seen["study"]


def test_one_image_shown_twice_has_two_names(trained):
    held, _ = trained
    with held.engine.connect() as connection:
        rows = connection.execute(select(database.items.c.image, database.items.c.word)).all()
    by_image = {}
    for image, word in rows:
        by_image.setdefault(image, set()).add(word)
    assert max(map(len, by_image.values())) == 2
    words = [word for _, word in rows]
    assert len(set(words)) == len(words) and all(re.fullmatch(r"[\w-]{20}", word) for word in words)


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_program_judges_a_round_and_what_it_said_is_exported(trained):
    held, client = trained
    pool = store.read_samples(held.pool(0).samples).data
    rows = {image.tobytes(): row for row, image in enumerate(pool[:, 0])}
    found, said = client.get("/api/next").json(), {}
    assert found["progress"] == {"done": 0, "of": 24, "all_done": 0, "all_of": 48}
    while found["next"]:
        pixels = np.asarray(Image.open(io.BytesIO(client.get(found["next"]["image"]).content)))
        row = rows.get(pixels.tobytes())
        answer = "good" if row is not None and row % 2 else "bad"
        said.setdefault(row, answer)
        found = judged(client, found, answer=answer, seconds=0.5, shown_at=1.0, answered_at=501.0, by="key", scale=16)
    assert found["stage"] == "finish" and found["progress"]["done"] == 24
    assert client.post("/api/finish").json()["stage"] == "survey"
    with database.writing(held.engine) as connection:
        admin = client_of(held, panel.new_admin(connection, held.study))
    status = admin.get("/api/admin/status").json()
    assert status["rounds"][0]["missing"] == {"place 2 (nobody invited)": 24} and status["people"][0]["trained"]
    assert admin.post("/api/admin/close", json={"round": 1}).status_code == 409
    assert admin.post("/api/admin/close", json={"round": 7, "anyway": True}).status_code == 403
    done = admin.post("/api/admin/close", json={"round": 1, "anyway": True}).json()
    ballots = store.read_ballots(done["ballots"])
    assert dict(zip(ballots.rows.tolist(), ballots.answers, strict=True)) == {
        row: answer for row, answer in said.items() if row is not None
    }
    assert (ballots.seconds == 0.5).all() and ballots.lineage["checks"]["J01"]["repeats"] == [2, 2]


def test_sent_again_is_stored_once_and_answered_alike(trained):
    held, client = trained
    found = client.get("/api/next").json()
    said = {"item": found["next"]["id"], "answer": "bad", "nonce": "n" * 16, "zoom": 2}
    first, second = (client.post("/api/judgements", json=said).json() for _ in range(2))
    assert (first.pop("again"), second.pop("again")) == (False, True) and first == second
    with held.engine.connect() as connection:
        kept = connection.execute(select(database.judgements)).mappings().all()
    assert len(kept) == 1 and kept[0]["zoom"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "perhaps"},
        {"nonce": "short"},
        {"nonce": "n" * 65},
        {"item": "../x"},
        {"seconds": -1},
        {"seconds": "NaN"},
        {"zoom": 3},
        {"judge": 2},
        {"scale": 0},
    ],
)
def test_what_is_no_judgement_is_refused_with_the_name_of_what_is_wrong(trained, change):
    _, client = trained
    item = client.get("/api/next").json()["next"]["id"]
    found = client.post("/api/judgements", json={"item": item, "answer": "good", "nonce": "n" * 16, **change})
    assert found.status_code == 422 and next(iter(change)) in found.json()["error"]
    assert client.get("/api/next").json()["progress"]["done"] == 0


def test_a_link_goes_on_where_another_device_stopped(trained):
    held, client = trained
    first = judged(client, client.get("/api/next").json())
    with database.writing(held.engine) as connection:
        token = panel.renew(connection, held.study, held.arm, "J01").token
    assert client.get("/api/next").status_code == 403
    browser = Browser(held, token)
    assert browser.path() == "/judge" and browser.field("item") == first["next"]["id"]


# -- people, without a script ------------------------------------------------------------------------------------------


def test_a_whole_round_by_forms_alone(tmp_path):
    held = Round(tmp_path, per_judge=8, gold=0, repeats=0, break_after=5, background=["age_group", "profession"])
    browser = Browser(held, held.invite()[0].token)
    right = right_answers(held)
    assert browser.path() == "/consent" and "J01" in browser.page.text
    for ahead in ("/training", "/judge", "/survey", "/finish", "/earlier", "/thanks"):
        assert browser.client.get(ahead).url.path == "/consent"  # nobody gets ahead
    assert browser.client.post("/consent", data={"form": browser.field("form")}).status_code == 422
    browser.send("/consent", agrees="yes")
    assert browser.path() == "/training"
    names = browser.questions
    assert browser.send("/training", attempt="1", **{names[0]: "good"}).status_code == 422
    assert 'role="alert"' in browser.page.text and browser.page.text.count(" checked") == 1
    opposite = {"good": "bad", "bad": "good"}
    wrong = {name: opposite[right[name]] if place < 3 else right[name] for place, name in enumerate(names)}
    browser.send("/training", attempt="1", **wrong)
    assert browser.page.status_code == 200 and browser.page.text.count("<figcaption>") == 3
    assert "7 of 10" in browser.page.text
    browser.page = browser.client.get("/")
    browser.send("/training", attempt="2", **{name: right[name] for name in browser.questions})
    words = []
    for done in range(8):
        assert browser.path() == "/judge"
        assert f'alt="Image {done + 1} of 8, to be judged"' in browser.page.text
        assert ("good moment for a break" in browser.page.text.split('id="rest"')[1][:300]) == (done == 5)
        words.append(browser.field("item"))
        browser.send("/judge", item=words[-1], nonce=browser.field("nonce"), answer="good")
    assert browser.path() == "/finish"
    browser.page = browser.client.get("/earlier")
    assert browser.page.text.count("<li>") == 8
    browser.page = browser.client.get(f"/earlier/{words[2]}")
    assert 'aria-pressed="true"' in browser.page.text
    browser.send("/judge", item=words[2], nonce=browser.field("nonce"), answer="bad", back="earlier")
    assert browser.path() == "/earlier" and "Image 3: Bad" in browser.page.text
    browser.page = browser.client.get("/finish")
    browser.send("/undo", nonce="u" * 12)
    assert browser.path() == "/judge" and browser.field("item") == words[-1]
    browser.send("/judge", item=words[-1], nonce=browser.field("nonce"), answer="bad")
    browser.send("/finish")
    assert browser.path() == "/survey" and browser.page.text.count("<fieldset") == 4
    assert browser.send("/survey", q_inclined="2", profession="nurse").status_code == 422
    assert browser.page.text.count(" checked") == 1 and 'value="nurse"' in browser.page.text
    points = {f"q_{name}": "3" for name in ("inclined", "understood_1", "concentrated", "good_work")}
    browser.send("/survey", age_group="25-34", profession="nurse", **points)
    assert browser.path() == "/thanks" and "finished everything" in browser.page.text
    with held.engine.connect() as connection:
        asked = select(database.items.c.word, database.judgements.c.answer)
        kept = dict(connection.execute(asked.join(database.judgements)).all())
    assert kept == {word: "bad" if word in (words[2], words[-1]) else "good" for word in words}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_every_language(tmp_path, language):
    from collapselab.judge.texts import shipped

    words = shipped(language)
    held = Round(tmp_path, per_judge=2, gold=0, repeats=0, gate={"questions": 1, "right": 0})
    browser = Browser(held, held.invite()[0].token)
    browser.send("/language", language=language)
    form = browser.field("form")

    def expect(*keys):
        assert f'<html lang="{language}">' in browser.page.text
        for key in keys:
            assert words[key].split("{")[0] in browser.page.text.replace("&#34;", '"').replace("&#39;", "'"), key

    expect("consent_title", "consent_agree", "skip")
    browser.send("/consent", agrees="yes")
    expect("training_title", "lesson_diversity", "lesson_hatching", "quiz_submit")
    browser.send("/training", attempt="1", **{browser.questions[0]: "good"})
    for _ in range(2):
        expect("judge_title", "judge_mine", "judge_all", "shortcuts_on")
        browser.send("/judge", item=browser.field("item"), nonce=browser.field("nonce"), answer="good")
    expect("finish_text")
    browser.page = browser.client.get("/earlier")
    expect("earlier_intro")
    browser.page = browser.client.post("/finish", data={"form": form})
    expect("survey_intro", "question_inclined", "scale_2")
    browser.page = browser.client.get("/no/such/page")
    expect("error_title")


def test_what_others_write_is_text_and_no_page(tmp_path):
    words = {"consent": {"en": "<script>1</script>"}, "texts": {"en": {"judge_title": '<b>&"'}}, "languages": ["en"]}
    held = Round(tmp_path, **words, per_judge=1, gold=0, repeats=0, training=False, background=["profession"])
    browser = Browser(held, held.invite()[0].token)
    assert "<p>&lt;script&gt;1&lt;/script&gt;</p>" in browser.page.text
    browser.send("/consent", agrees="yes")
    assert "<h1>&lt;b&gt;&amp;&#34;</h1>" in browser.page.text
    browser.send("/judge", item=browser.field("item"), nonce=browser.field("nonce"), answer="good")
    browser.send("/finish")
    browser.send("/survey", profession='"><script>2</script>')
    assert browser.page.status_code == 422 and "<script>" not in browser.page.text


def test_who_comes_without_a_link_is_told_so_in_their_language(held):
    client = TestClient(application_of(held), headers={"Accept-Language": "lt"})
    found = client.get("/judge")
    assert found.status_code == 403 and '<html lang="lt">' in found.text and "nebegalioja" in found.text


# -- whoever holds the round -------------------------------------------------------------------------------------------


def test_the_admin_sees_who_is_missing_and_closes_the_round(trained):
    held, client = trained
    changed = []
    with database.writing(held.engine) as connection:
        token = panel.new_admin(connection, held.study)
    app = application(Site(held.engine, held.study, URL, changed.append))
    found = client.get("/api/next").json()
    for place in range(5):
        found = judged(client, found, answer="good" if place else "bad", seconds=0.1 if place > 2 else 2.0)
    admin = TestClient(app)
    page = admin.get(f"/admin/join/{token}")
    assert page.url.path == "/admin" and "Missing: J01 (19 to go)" in page.text
    row = re.search(r'<tr><th scope="row">J01</th>(.*?)</tr>', page.text)[1]
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert cells[0] == "5" and cells[3] == "2.0" and cells[4] == "2"
    form = re.search(r'name="form" value="(\w+)"', page.text)[1]
    assert admin.post("/admin/close", data={"form": "x", "round": "1"}).status_code == 403
    refused = admin.post("/admin/close", data={"form": form, "round": "1"})
    assert refused.status_code == 409 and "2 have not finished" not in page.text and "--anyway" in refused.text
    done = admin.post("/admin/close", data={"form": form, "round": "1", "anyway": "yes"})
    assert done.status_code == 200 and "The round is closed" in done.text and changed == [1]
    assert held.pool(0).export.exists()
    late = client.post("/api/judgements", json={"item": found["next"]["id"], "answer": "bad", "nonce": "n" * 16})
    assert late.status_code == 409 and late.json() == {"error": "the round is closed"}
    assert client.get("/api/state").json()["stage"] == "survey"


def test_more_people_at_once_than_there_are_threads(tmp_path):
    """Hundreds of requests of one moment, over real HTTP: the server has forty threads, and few more connections."""
    held = Round(tmp_path, judges=50, per_judge=10, overlap=5, training=False)
    people = held.invite(50)
    with database.writing(held.engine) as connection:
        connection.execute(database.judges.update().values(consented=1.0))
    everybody = httpx.Limits(max_connections=None)
    with (
        served(held.engine, held.study) as site,
        ThreadPoolExecutor(200) as many,
        httpx.Client(base_url=site.url, timeout=60, limits=everybody) as client,
    ):

        def ask(place):
            headers = {"Authorization": f"Bearer {people[place % 50].token}"}
            path = ("/api/next", "/api/state")[place % 2]
            return client.get(path, headers=headers).status_code

        assert set(many.map(ask, range(400))) == {200}
