"""The commands of whoever holds a round: the page is served, people are invited, and rounds end."""

import json
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
from judged import images
from sqlalchemy import select

from collapselab import store
from collapselab import study as studies
from collapselab.cli.run import EXIT_BAD_INPUT, run
from collapselab.core.extras import expect_extra
from collapselab.core.sets import SampleSet
from collapselab.judge import database, panel, serving
from collapselab.judge.site import Site
from collapselab.study.judged import closed_round, waiting

httpx = pytest.importorskip("httpx2", reason="needs collapselab[judge]")

STUDY = """
name: faces
question: What do people keep?
seed: 1
seeds: 1
generations: 1
data: {source: digits, split: {train: 100, held_out: 50}}
models: {tiny: {diffusion: {preset: tiny}}}
initial: {real: 50}
samples: 20
extractors: [pixels]
metrics: [recall]
primary: {metric: recall, extractor: pixels}
arms:
  judged:
    model: tiny
    regime: {fully_synthetic: {n: 10}}
    select: {people: {share: 0.5, judges: 2, per_judge: 20, overlap: 2, texts: {en: {good: Keep}}}}
  other: {model: tiny, regime: {fully_synthetic: {n: 10}}}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a study of whose arm the first samples are there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "faces.yaml").write_text(STUDY)
    study = studies.find("faces")
    train = images(100, seed=1)[:, :, :8, :8]
    store.write_samples(tmp_path / study.part_file("train"), SampleSet(np.ascontiguousarray(train)))
    pool = np.ascontiguousarray(images(20, seed=2)[:, :, :8, :8])
    store.write_samples(tmp_path / study.released_file("judged", 0, 0), SampleSet(pool))
    return tmp_path


@pytest.fixture
def call(project, capsys):
    """What a command says, in this process."""

    def said(*words, code=0):
        capsys.readouterr()
        found = run(["judge", *words])
        told = capsys.readouterr()
        assert found == code, f"{words} ended with {found}\n{told.out}\n{told.err}"
        return told.out + told.err

    return said


class Server:
    """The page, served by the command itself."""

    def __init__(self, *words):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "collapselab", "judge", "serve", "faces", "--port", str(self.port), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def line(self, pattern):
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"the server ended with {self.process.wait()} and never said {pattern}")

    def end(self):
        self.process.terminate()
        rest = self.process.stdout.read()
        return self.process.wait(30), rest


def test_a_round_from_the_first_link_to_the_ballots(project, call):
    study = studies.find("faces")
    assert [one.generation for one in waiting(study)] == [0]
    server = Server("--poll", "0.2")
    try:
        admin = server.line(r"/admin/join/(\S+)")[1]
        server.line(r"open: round 1, faces --arm judged --seed 0 --generation 0")
        links = dict(line.split("\t") for line in call("invite", "faces").splitlines())
        assert list(links) == ["J01", "J02"]
        assert all(link.startswith(f"http://127.0.0.1:{server.port}/join/") for link in links.values())
        clients = {code: joined(link) for code, link in links.items()}
        for code, client in clients.items():
            judge_all(client, "good" if code == "J01" else "bad")
        told = json.loads(closed_round(study, "judged", 0, 0).with_suffix(".open.json").read_text())
        assert told["missing"] == {} and told["link"] == f"http://127.0.0.1:{server.port}"
        # The next generation is found while the page is served.
        pool = np.ascontiguousarray(images(20, seed=3)[:, :, :8, :8])
        store.write_samples(project / study.released_file("judged", 0, 1), SampleSet(pool))
        server.line(r"open: round 2, .*--generation 1")
        refused = call("close", "faces", code=EXIT_BAD_INPUT)
        assert "found 2: --arm judged --seed 0 --generation 0; --arm judged" in refused
        said = call(*told["close"].split()[2:])
        assert "ballots/faces/judged/seed0/gen0.parquet" in said and "collapselab run faces" in said
        status = json.loads(call("status", "faces", "--json"))
        assert [one["open"] for one in status["rounds"]] == [False, True]
        assert status["rounds"][0]["judges"][0]["good"] == "100 %"
        assert httpx.get(f"http://127.0.0.1:{server.port}/api/admin/status").status_code == 403
        answer = httpx.get(told["link"] + "/api/admin/status", headers={"Authorization": f"Bearer {admin}"})
        assert len(answer.json()["people"]) == 2
    finally:
        code, rest = server.end()
    assert code in (0, 130, 143) and "Traceback" not in rest
    found = store.read_ballots(closed_round(study, "judged", 0, 0))
    assert sorted(set(zip(found.judges, found.answers, strict=True))) == [("J01", "good"), ("J02", "bad")]
    assert [one.generation for one in waiting(study)] == [1]
    path, before = closed_round(study, "judged", 0, 0), closed_round(study, "judged", 0, 0).read_bytes()
    assert f"{path}: is there, and stays as it was" in call("export", "faces") and path.read_bytes() == before
    assert "J02 (21 to go)" in call("status", "faces") or "J02 (22 to go)" in call("status", "faces")


def joined(link):
    url, _, token = link.rpartition("/join/")
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def judge_all(client, answer):
    client.post("/api/consent", json={"agrees": True})
    for attempt in range(1, 100):
        asked = client.get("/api/training").json()
        said = {one["id"]: "good" if place % 2 else "bad" for place, one in enumerate(asked["questions"])}
        if attempt == 1:
            first = client.post("/api/training", json={"attempt": attempt, "answers": said}).json()
            known = {word: {"good": "bad", "bad": "good"}[said[word]] for word in first["wrong"]}
            known |= {word: answered for word, answered in said.items() if word not in known}
            passed = first["passed"]
        else:
            said = {one["id"]: known.get(one["id"], "bad") for one in asked["questions"]}
            told = client.post("/api/training", json={"attempt": attempt, "answers": said}).json()
            passed = told["passed"]
            known |= {word: "good" if said[word] == "bad" else "bad" for word in told["wrong"]}
            known |= {word: answered for word, answered in said.items() if word not in told["wrong"]}
        if passed:
            break
    found = client.get("/api/next").json()
    while found["next"]:
        said = {"item": found["next"]["id"], "answer": answer, "nonce": f"nonce-{found['next']['id']}", "seconds": 1}
        found = client.post("/api/judgements", json=said).json()
    assert client.post("/api/finish").json()["stage"] == "waiting"


def test_a_server_that_cannot_start_ends_nobodys_link(project, call):
    engine = database.opened(database.default_url("faces"))
    with database.writing(engine) as connection:
        token = panel.new_admin(connection, "faces")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = call("serve", "faces", "--port", str(port), code=EXIT_BAD_INPUT)
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use; if it is served already" in found
    found = call("serve", "faces", "--host", "no.such.host.invalid", code=EXIT_BAD_INPUT)
    assert "cannot listen at no.such.host.invalid" in found and "Traceback" not in found
    (project / studies.find("faces").part_file("train")).unlink()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "of which examples are made" in call("serve", "faces", "--port", str(port), code=EXIT_BAD_INPUT)
    with engine.connect() as connection:
        assert panel.is_admin(connection, "faces", token)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_address_of_ipv6_is_a_link_that_leads_there(project):
    server = Server("--host", "::1")
    try:
        link = server.line(r"the page: (\S+)")[1]
        assert link == f"http://[::1]:{server.port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:  # it listens a moment later
            assert client.get(f"{link}/api/state").status_code == 403
    finally:
        server.end()


@pytest.mark.parametrize("url", ["judge.example.org", "//x.example", "ftp://x", "https://x/judge", "http://[::1"])
def test_an_address_that_leads_nowhere_is_refused(project, call, url):
    for verb in ("serve", "invite"):
        found = call(verb, "faces", "--url", url, code=EXIT_BAD_INPUT)
        assert f"found '{url}'" in found and "allowed is https://HOST" in found
    assert not (project / "judging").exists()


def test_links_are_renewed_taken_over_and_ended(project, call):
    first = dict(line.split("\t") for line in call("invite", "faces", "--url", "https://x.example/").splitlines())
    assert all(link.startswith("https://x.example/join/") for link in first.values())
    assert "of the 2 places of faces/judged are free" in call("invite", "faces", "--count", "1", code=EXIT_BAD_INPUT)
    assert call("invite", "faces", "--renew", "J01").startswith("J01\thttp://127.0.0.1:8000/join/")
    assert call("invite", "faces", "--replace", "J01").startswith("J01.2\t")
    assert "its place is J01.2's now" in call("invite", "faces", "--replace", "J01", code=EXIT_BAD_INPUT)
    assert "its place is J01.2's now" in call("invite", "faces", "--renew", "J01", code=EXIT_BAD_INPUT)
    assert call("invite", "faces", "--revoke", "J02") == ""
    both = call("invite", "faces", "--renew", "J01.2", "--revoke", "J02", code=EXIT_BAD_INPUT)
    assert "allowed is one" in both
    assert "found 'J09'; the judges of faces/judged are" in call("forget", "faces", "J09", code=EXIT_BAD_INPUT)
    assert "J02: 0 judgements were deleted" in call("forget", "faces", "J02")
    engine = database.opened(database.default_url("faces"))
    with engine.connect() as connection:
        tokens = connection.scalars(select(database.judges.c.token)).all()
    assert len(tokens) == len(set(tokens)) == 3


def test_who_is_invited_twice_is_told_why_there_are_no_more_links(project, call):
    """And that links of a page that nobody has served yet lead where it is served by itself."""
    assert "nobody has served the page yet: these links lead to http://127.0.0.1:8000" in call("invite", "faces")
    assert "all 2 places of judged have a link already" in call("invite", "faces")
    serving.remember_link(Site(database.opened(database.default_url("faces")), "faces", "http://127.0.0.1:8123"))
    renewed = call("invite", "faces", "--renew", "J01")
    assert renewed.startswith("J01\thttp://127.0.0.1:8123/join/") and "nobody has served" not in renewed


def test_the_survey_is_exported_beside_the_ballots(project, call):
    engine = database.opened(database.default_url("faces"))
    with database.writing(engine) as connection:
        for word, point in (("b", 1), ("a", 4)):
            row = {"word": word, "study": "faces", "arm": "judged", "answers": {"inclined": point}}
            connection.execute(database.surveys.insert().values(**row, profession="@x"))
    assert "ballots/faces/survey.csv: 2 people have answered" in call("export", "faces")
    text = (project / "ballots/faces/survey.csv").read_text()
    assert text.splitlines() == ["arm,inclined,age_group,profession", "judged,4,,'@x", "judged,1,,'@x"]


def test_what_no_round_has_said_is_not_written(project, call):
    call("invite", "faces")
    assert "faces: no round was opened yet" in call("export", "faces", code=EXIT_BAD_INPUT)
    assert "round: faces has none yet; collapselab judge serve faces opens" in call(
        "close", "faces", code=EXIT_BAD_INPUT
    )
    assert not (project / "ballots").exists()


NO_DATABASE = (
    "found no rounds of judging in sqlite:///no/such.db; say --database as it was said to collapselab judge serve"
)
READ = (["status", "faces"], ["close", "faces"], ["export", "faces"], ["forget", "faces", "J01"])


@pytest.mark.parametrize(
    ("change", "words", "expected"),
    [
        ({}, ["serve", "other-study"], "no such study"),
        ({"people: {share": "random: {share", ", judges: 2.*": "}}"}, ["serve", "faces"], "no arm selects by people"),
        ({"people: {share": "random: {share", ", judges: 2.*": "}}"}, ["posting", "faces"], "nobody judges there"),
        ({}, ["posting", "faces"], "has no answers; write it by: collapselab judge export faces"),
        ({"good: Keep": "god: Keep"}, ["serve", "faces"], "texts: en: unknown key 'god'"),
        ({}, ["invite", "faces", "--arm", "other"], "found other; people judge in judged"),
        ({}, ["serve", "faces", "--database", "mysql://x"], "allowed are sqlite and postgresql"),
        *(({}, [*words, "--database", "sqlite:///no/such.db"], NO_DATABASE) for words in READ),
        *(
            ({}, [*words, "--database", "sqlite:///config/faces.yaml"], "faces.yaml cannot be opened: file is not a")
            for words in READ
        ),
    ],
)
def test_what_cannot_be_is_said_with_its_cure(project, call, change, words, expected):
    text = STUDY
    for old, new in change.items():
        text = re.sub(old, new, text)
    (project / "config" / "faces.yaml").write_text(text)
    found = call(*words, code=EXIT_BAD_INPUT)
    assert expected in found and "Traceback" not in found
    assert not (project / "no").exists() and (project / "config" / "faces.yaml").read_text() == text


def test_an_extra_that_is_missing_is_named():
    with pytest.raises(ValueError, match=r"found no no_such_module, .*pip install 'collapselab\[judge\]'"):
        expect_extra("judge", "json", "no_such_module")
