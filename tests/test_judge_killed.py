"""A server that is killed again and again under load: whatever it has acknowledged is there, once.

COLLAPSELAB_KILLS=300 kills it as often; SIGKILL is not a loss of power, which no test here brings about.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from judged import Round
from sqlalchemy import select

from collapselab.judge import database

httpx = pytest.importorskip("httpx2", reason="needs collapselab[judge]")

KILLS = int(os.environ.get("COLLAPSELAB_KILLS", "30"))
WRITERS = 8

SERVER = """
import sys, uvicorn
from collapselab.judge import database
from collapselab.judge.service import application
from collapselab.judge.site import Site
site = Site(database.opened(sys.argv[1]), "faces", f"http://127.0.0.1:{sys.argv[2]}")
uvicorn.run(application(site), host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
"""


class Writer(threading.Thread):
    """A judge who judges, changes answers, and sends each until it is acknowledged."""

    def __init__(self, number, token, url, words, ended):
        super().__init__(daemon=True)
        self.url, self.words, self.ended = url, words, ended
        self.headers = {"Authorization": f"Bearer {token}"}
        self.draws = random.Random(number)
        self.acknowledged, self.stored, self.tries, self.faults = [], {}, 0, []

    def run(self):
        client = httpx.Client(base_url=self.url, headers=self.headers, timeout=5)
        place = 0
        while not self.ended.is_set():
            word = self.words[place] if place < len(self.words) else self.draws.choice(self.words)
            answer = self.draws.choice(["good", "bad"])
            nonce = f"{self.draws.getrandbits(64):016x}"
            if self.sent(client, {"item": word, "answer": answer, "nonce": nonce, "seconds": 1.0}):
                self.acknowledged.append(nonce)
                self.stored[word] = answer
                place += 1
        client.close()

    def sent(self, client, said):
        """Whether a judgement was acknowledged; one that was not when all ended is nobody's promise."""
        while True:
            self.tries += 1
            try:
                found = client.post("/api/judgements", json=said)
            except httpx.HTTPError:
                if self.ended.is_set():
                    self.stored.pop(said["item"], None)
                    return False
                time.sleep(0.1)
                continue
            if found.status_code != 200 or found.json()["stored"] != {"item": said["item"], "answer": said["answer"]}:
                self.faults.append(f"{found.status_code} {found.text[:200]}")
                self.ended.set()
                return False
            return True


def started(url, port):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, url, str(port)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return process
        except OSError:
            assert process.poll() is None, "the server ended by itself"
            time.sleep(0.05)
    raise AssertionError("the server did not start")


def count(writers):
    return sum(len(writer.acknowledged) for writer in writers)


@pytest.mark.slow
def test_no_acknowledged_judgement_is_lost_and_none_is_doubled(tmp_path):
    held = Round(tmp_path, samples=400, judges=WRITERS, per_judge=50, gold=0, repeats=0, training=False)
    people = held.invite(WRITERS)
    with database.writing(held.engine) as connection:
        connection.execute(database.judges.update().values(consented=1.0))
        rows = connection.execute(select(database.items.c.slot, database.items.c.word)).all()
    words = [[word for slot, word in rows if slot == place] for place in range(WRITERS)]
    held.engine.dispose()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, ended, draws = f"sqlite:///{tmp_path / 'judging.db'}", threading.Event(), random.Random(0)
    process = started(url, port)
    writers = [
        Writer(place, people[place].token, f"http://127.0.0.1:{port}", words[place], ended) for place in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    try:
        for _ in range(KILLS):
            enough = count(writers) + draws.randint(5, 60)
            while count(writers) < enough and not ended.is_set():
                time.sleep(draws.uniform(0.001, 0.02))
            if ended.is_set():
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = started(url, port)
    finally:
        ended.set()
        for writer in writers:
            writer.join(30)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not [fault for writer in writers for fault in writer.faults]
    engine = database.opened(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
        asked = select(database.items.c.word, database.judgements.c.answer).join(database.judgements)
        kept = dict(connection.execute(asked).all())
        events = connection.scalars(select(database.events.c.nonce).where(database.events.c.kind == "judgement")).all()
    acknowledged = [nonce for writer in writers for nonce in writer.acknowledged]
    tries = sum(writer.tries for writer in writers)
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged, {tries} sent, {len(events)} stored")
    assert len(set(events)) == len(events), "stored twice"
    assert set(acknowledged) <= set(events), "lost"
    assert len(events) - len(acknowledged) <= WRITERS  # at most one each was under way at the end
    expected = {word: answer for writer in writers for word, answer in writer.stored.items()}
    assert {word: kept.get(word) for word in expected} == expected
