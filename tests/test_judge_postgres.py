"""Rounds of judging in PostgreSQL: the same page, and many who write at one moment."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from judged import Round
from postgres import PROGRAMS, served_by_postgres
from sqlalchemy import select, text
from starlette.testclient import TestClient

from collapselab import store
from collapselab.judge import database, panel, rounds
from collapselab.judge.service import application
from collapselab.judge.site import Site

pytest.importorskip("psycopg", reason="needs collapselab[judge]")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAMS is None, reason="needs PostgreSQL's programs")]


@pytest.fixture(scope="module")
def url():
    """A database of its own, which listens to a socket in a folder alone."""
    with served_by_postgres("rounds") as address:
        yield address


@pytest.fixture
def held(url, tmp_path):
    engine = database.opened(url)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade; create schema public"))
    engine.dispose()
    found = Round(tmp_path, url=url, per_judge=20, training=False)
    found.people = found.invite(2)
    with database.writing(found.engine) as connection:
        connection.execute(database.judges.update().values(consented=1.0))
    yield found
    found.engine.dispose()


def clients(held):
    app = application(Site(held.engine, held.study, "http://testserver"))
    return [TestClient(app, headers={"Authorization": f"Bearer {one.token}"}) for one in held.people]


def stored_ones(held):
    with held.engine.connect() as connection:
        return connection.execute(select(database.judgements.c.item)).all()


def test_a_round_is_held_closed_and_forgotten(held):
    for client in clients(held):
        found = client.get("/api/next").json()
        assert client.get(found["next"]["image"]).content.startswith(b"\x89PNG")
        while found["next"]:
            said = {"item": found["next"]["id"], "answer": "good", "nonce": f"nonce-{found['next']['id']}"}
            found = client.post("/api/judgements", json=said).json()
        assert client.post("/api/undo", json={"nonce": "undo-12345"}).json()["stage"] == "judging"
        item = client.get("/api/next").json()["next"]["id"]
        client.post("/api/judgements", json={"item": item, "answer": "bad", "nonce": "the-last-one"})
        assert client.post("/api/finish").json()["stage"] == "survey"
        points = dict.fromkeys(client.get("/api/survey").json()["questions"], 2)
        assert client.post("/api/survey", json={"answers": points}).json()["stage"] == "thanks"
    ballots = store.read_ballots(rounds.close(held.engine, held.rounds()[0]))
    assert len(ballots) == 2 * 21 and ballots.lineage["counts"] == {"study": 40, "repeat": 2, "gold": 2}
    with database.writing(held.engine) as connection:
        assert panel.forget(connection, held.study, held.arm, "J01") == 22


def test_one_nonce_sent_many_times_at_one_moment_is_stored_once(held):
    client = clients(held)[0]
    item = client.get("/api/next").json()["next"]["id"]
    said = {"item": item, "answer": "bad", "nonce": "n" * 16}
    with ThreadPoolExecutor(12) as many:
        told = list(many.map(lambda _: client.post("/api/judgements", json=said), range(24)))
    assert {one.status_code for one in told} == {200}
    assert sorted(one.json()["again"] for one in told) == [False] + [True] * 23
    with held.engine.connect() as connection:
        assert len(connection.execute(select(database.judgements)).all()) == 1
        assert len(connection.execute(select(database.events).where(database.events.c.nonce == "n" * 16)).all()) == 1


def test_nothing_is_stored_after_a_round_was_closed_in_the_middle_of_it(held):
    people = clients(held)

    def judge(client):
        stored, found = 0, client.get("/api/next").json()
        while found.get("next"):
            said = {"item": found["next"]["id"], "answer": "good", "nonce": f"nonce-{found['next']['id']}"}
            answer = client.post("/api/judgements", json=said)
            assert answer.status_code in (200, 409)
            stored, found = stored + (answer.status_code == 200), answer.json()
        return stored

    with ThreadPoolExecutor(2) as many:
        working = [many.submit(judge, client) for client in people]
        while not stored_ones(held):
            pass
        path = rounds.close(held.engine, held.rounds()[0], anyway=True)
        stored = sum(one.result() for one in working)
    kept = stored_ones(held)
    counts = store.read_ballots(path).lineage["counts"]
    assert sum(counts.values()) == len(kept) == stored
