"""Whatever is sent to the judging page, by what its own interface allows and by what it does not: no fault, no leak."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from judged import Round, right_answers
from sqlalchemy import select
from starlette.testclient import TestClient

from collapselab.judge import database, panel
from collapselab.judge.panel import form_word
from collapselab.judge.service import application
from collapselab.judge.site import HEADERS, Site

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

WHO = ("nobody", "judge", "admin")


class Fuzzed:
    """A page with a judge in the middle of a round, an admin, and another judge, whose things are nobody's business."""

    def __init__(self, folder):
        self.held = Round(folder, per_judge=30)
        self.judge, self.other = self.held.invite(2)
        site = Site(self.held.engine, self.held.study, "http://testserver")
        self.app = application(site)
        with database.writing(self.held.engine) as connection:
            self.admin = panel.new_admin(connection, self.held.study)
            connection.execute(database.judges.update().values(consented=1.0))
        client = TestClient(self.app, headers=self.headers("judge"))
        right, asked = right_answers(self.held), client.get("/api/training").json()
        said = {one["id"]: right[one["id"]] for one in asked["questions"]}
        client.post("/api/training", json={"attempt": 1, "answers": said})
        self.key = site.form_key
        self.schema = schemathesis.openapi.from_dict(self.app.openapi())
        self.schema.app = self.app
        with self.held.engine.connect() as connection:
            items, images = database.items, database.images
            others = connection.scalars(select(items.c.word).where(items.c.slot == 1)).all()
            secret = connection.scalars(select(images.c.sha256)).all()
        self.secrets = [*others, *secret, self.key, self.judge.token, self.other.token, self.admin]
        self.secrets += [panel.digest(token) for token in (self.judge.token, self.other.token, self.admin)]
        self.secrets += ["Traceback", "sqlalchemy", "collapselab/judge", "site-packages"]

    def headers(self, who):
        token = {"judge": self.judge.token, "admin": getattr(self, "admin", "")}.get(who)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def try_operation(self, operation, examples):
        """Send what fits an operation, and what does not, as everybody."""

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case):
            for who in WHO:
                found = case.call(headers=self.headers(who))
                where = f"{case.method} {case.formatted_path} as {who}"
                assert found.status_code < 500, f"{where}: {found.status_code} {found.text[:300]}"
                told = found.text + str(dict(found.headers))
                path = str(self.held.pool(0).export.parent) if who != "admin" else "no such place"
                leaked = [one for one in (*self.secrets, path) if one in told]
                if operation.path in ("/join/{token}", "/admin/join/{token}"):
                    leaked = [one for one in leaked if one not in case.formatted_path]
                assert not leaked, f"{where}: {leaked}"
                if who == "nobody" and not operation.path.startswith("/static/"):
                    assert found.status_code in (403, 404, 405, 422), f"{where}: {found.status_code}"
                for name in HEADERS:
                    assert name.lower() in {one.lower() for one in found.headers}, f"{where}: {name}"

        send()


def operations(schema):
    return [one.ok() for one in schema.get_all_operations()]


def sound(held):
    """That what is stored is still whole."""
    with held.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
        assert not connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        kept = connection.execute(select(database.judgements)).mappings().all()
    assert {one["answer"] for one in kept} <= {"good", "bad"}


def test_no_request_is_a_fault_or_a_leak(tmp_path):
    fuzzed = Fuzzed(tmp_path)
    found = operations(fuzzed.schema)
    assert len(found) > 30
    for operation in found:
        fuzzed.try_operation(operation, 3)
    sound(fuzzed.held)


@pytest.mark.slow
def test_hundreds_of_requests_of_each_kind_are_none(tmp_path):
    fuzzed = Fuzzed(tmp_path)
    for operation in operations(fuzzed.schema):
        fuzzed.try_operation(operation, 300)
    sound(fuzzed.held)


ODD = (
    "",
    "\x00",
    "é",
    "'; drop table judges; --",
    "../../etc/passwd",
    "%00",
    "𝔘" * 50,
    "{{7*7}}",
    "-1",
    "9" * 30,
    "[]",
)


def test_odd_words_in_every_place_are_none(tmp_path):
    fuzzed = Fuzzed(tmp_path)
    client = TestClient(fuzzed.app, headers=fuzzed.headers("judge"), follow_redirects=False)
    cookies = TestClient(fuzzed.app, follow_redirects=False)
    cookies.cookies.set("judge", fuzzed.judge.token)
    form = form_word(fuzzed.key, fuzzed.judge.token)
    forms = {
        "/language": ("language",),
        "/training": ("attempt", "x"),
        "/judge": ("item", "answer", "nonce", "back"),
        "/undo": ("nonce",),
        "/survey": ("q_inclined", "age_group", "profession"),
    }
    bodies = {"/api/training": ("attempt", "answers"), "/api/judgements": ("item", "answer", "nonce", "seconds")}
    for odd in ODD:
        for path, names in forms.items():
            assert cookies.post(path, data={"form": form, **dict.fromkeys(names, odd)}).status_code < 500, (path, odd)
        for path, names in bodies.items():
            assert client.post(path, json=dict.fromkeys(names, odd)).status_code < 500, (path, odd)
        for query in ("/earlier", "/judge"):
            assert client.get(query, params={"start": odd}).status_code < 500
        assert client.get("/judge", headers={"Accept-Language": odd.encode()}).status_code == 200
        for header in ("Authorization", "Cookie", "X-Form"):
            assert cookies.get("/api/state", headers={header: odd.encode()}).status_code < 500
    raw = {"content": b"\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    assert cookies.post("/training", **raw).status_code in (403, 422, 400)
    parts = {"content": b"--x\r\nno", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    assert cookies.post("/training", **parts).status_code in (400, 403)
    assert cookies.post("/training", files={"form": ("a.txt", b"x")}).status_code in (400, 403)
    sound(fuzzed.held)
