"""One MLflow for several people: nobody's runs are another's to change, and what was lost on the way is caught up."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import made_up
import numpy as np
import pytest
from browsing import CHROMIUM
from postgres import PROGRAMS, served_by_postgres
from project import ROOT

from collapselab import report, store
from collapselab.report.charts import colours
from collapselab.report.colours import colours_of
from collapselab.report.datasets import LEFT_OUT, Dataset
from collapselab.report.runs import COSTS, Beside
from collapselab.report.tracking import TrackingError, track
from collapselab.report.workspace import workspace

ARMS = ("control", "fully_synthetic")
PARAMS = {arm: {"regime": arm, "family": "diffusion", "model.width": 32} for arm in ARMS}
BEGAN = 1_760_000_000.0  # when the first job of the first seed began, in seconds since 1970


def study(seeds=2, generations=2, arms=ARMS):
    return made_up.only(made_up.records(arms, seeds, generations), "recall")


def costs_of(records):
    """cell -> the costs of its jobs, generation after generation; the arms of a seed have begun together."""
    found = {}
    for cost in made_up.costs(records):
        began = BEGAN + 50 * cost["seed"] + 600 * cost["generation"]
        place = (cost["arm"], cost["seed"], cost["generation"])
        found.setdefault(place, []).append(cost | {"began_at": began, "ended_at": began + 500, "joules": 12.5})
    return found


def show(records, root, uri=None, **options):
    cells = [(one["arm"], one["seed"], one["generation"]) for one in records]
    given = {
        "params": PARAMS,
        "costs": costs_of(records),
        "colours": colours_of(made_up.ARMS, ["control"]),
        "controls": ["control"],
        "models": {cell: f"results/made_up/{cell[0]}/seed{cell[1]}/gen{cell[2]}/model.safetensors" for cell in cells},
    }
    return track("made_up", records, Beside(**(given | options)), root=root, uri=uri or f"sqlite:///{root}/mlflow.db")


def client(uri):
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def runs(uri, level="lineage", name="made_up"):
    mirror = client(uri)
    experiment = mirror.get_experiment_by_name(name)
    return mirror.search_runs([experiment.experiment_id], f"tags.level = '{level}'", max_results=1000)


def points(uri, run):
    """key -> (step, value, time) of every point of a run."""
    mirror = client(uri)
    keys = run.data.metrics
    histories = {key: mirror.get_metric_history(run.info.run_id, key) for key in keys}
    return {key: sorted((one.step, one.value, one.timestamp) for one in history) for key, history in histories.items()}


def everything(uri):
    """Whose, key -> points of every run that is there."""
    found = {}
    for level in ("lineage", "generation"):
        for run in runs(uri, level):
            whose = run.data.tags["collapselab.workspace"], run.data.tags["collapselab.key"]
            assert whose not in found
            found[whose] = points(uri, run)
    return found


def counts(tracked):
    return tracked.created, tracked.extended, tracked.unchanged, tracked.deleted


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store whose tables exist already: making them costs seconds."""
    root = tmp_path_factory.mktemp("mlflow")
    track("other", study(1, 0, ARMS[:1]), root=root, uri=f"sqlite:///{root}/mlflow.db")
    return root / "mlflow.db"


@pytest.fixture
def shared(template, tmp_path):
    """The address of a store that two people share."""
    shutil.copy2(template, tmp_path / "shared.db")
    return f"sqlite:///{tmp_path}/shared.db"


# -- two people --------------------------------------------------------------------------------------------------------


def test_two_people_with_one_name_of_a_study_leave_each_others_runs_alone(shared, tmp_path):
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    assert counts(show(study(), alice, shared)) == (16, 0, 0, 0)
    hers = everything(shared)
    other = PARAMS | {"control": {"regime": "another"}}
    # Of what one has that is equal to the last number, the other makes no second run; of the rest, his own.
    assert counts(show(study(), bob, shared, params=other)) == (8, 0, 8, 0)
    both = everything(shared)
    assert hers.items() <= both.items() and len(both) == 24
    assert {whose for whose, _ in both} == {workspace(alice), workspace(bob)}
    # Each goes on: a generation more, and then fewer seeds.
    assert counts(show(study(generations=3), bob, shared, params=other)) == (2 + 8 + 2, 2, 6, 0)
    assert hers.items() <= everything(shared).items()
    assert counts(show(study(), alice, shared)) == (0, 0, 16, 0)
    assert counts(show(study(1, 3), bob, shared, params=other)).count(0) == 2
    assert hers.items() <= everything(shared).items()
    assert show(study(seeds=1), alice, shared).deleted == 8
    assert {key for whose, key in everything(shared) if whose == workspace(bob)} == {
        f"{arm}/seed0{generation}" for arm in ARMS for generation in ("", *(f"/gen{t}" for t in range(4)))
    }


def test_runs_of_nobody_in_a_store_of_ones_own_are_of_an_earlier_version(shared, tmp_path):
    show(study(1, 1), tmp_path, shared)
    mirror = client(shared)
    for run in [*runs(shared), *runs(shared, "generation")]:
        mirror.delete_tag(run.info.run_id, "collapselab.workspace")
    assert counts(show(study(1, 1), tmp_path / "other", shared)) == (0, 0, 6, 0)


def test_a_moved_project_keeps_its_name_and_a_copy_gets_its_own(tmp_path):
    first = workspace(tmp_path / "a")
    assert workspace(tmp_path / "a") == first
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    second = workspace(tmp_path / "copy")
    assert second != first and workspace(tmp_path / "copy") == second and workspace(tmp_path / "a") == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert workspace(tmp_path / "b") == first
    (tmp_path / "b/.collapselab/workspace.json").write_text("[]", encoding="utf-8")
    assert workspace(tmp_path / "b") not in (first, second)


# -- what runs say -----------------------------------------------------------------------------------------------------


def test_runs_say_when_by_whom_and_what_they_cost(shared, tmp_path):
    records = study()
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "-C", tmp_path, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run(["git", "-C", tmp_path, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    show(records, tmp_path, shared)
    lineages = {run.data.tags["collapselab.key"]: run for run in runs(shared)}
    for key, run in lineages.items():
        arm, seed = key.split("/seed")
        begin = 1000 * (BEGAN + 50 * int(seed))
        assert begin <= run.info.start_time < begin + len(lineages)
        assert run.info.end_time == begin + 1000 * (2 * 600 + 500)
        assert run.data.tags["mlflow.runColor"] == colours(made_up.facts())[arm]
        assert run.data.tags["mlflow.source.git.commit"] == head and run.data.tags["mlflow.user"]
        of_run = points(shared, run)
        summed = [sum(one["wall_seconds"] for one in costs_of(records)[arm, int(seed), t]) for t in range(3)]
        assert [value for _, value, _ in of_run["system/wall_seconds"]] == pytest.approx(summed)
        assert [value for _, value, _ in of_run["system/energy_joules"]] == [37.5] * 3
        ends = [begin + 1000 * (600 * t + 500) for t in range(3)]
        assert [moment for *_, moment in of_run["lenet/recall"]] == ends
    child = next(run for run in runs(shared, "generation") if run.data.tags["collapselab.key"].endswith("seed1/gen2"))
    assert (
        child.info.start_time == 1000 * (BEGAN + 50 + 1200) and child.info.end_time == child.info.start_time + 500_000
    )
    assert set(COSTS) >= {key for key in child.data.metrics if key.startswith("system/")}
    (made,) = child.outputs.model_outputs
    model = client(shared).get_logged_model(made.model_id)
    assert made.step == 2 and model.model_type == "diffusion" and model.params == {"model.width": "32"}
    assert model.tags["sha256"] == child.data.tags["lineage.model"]
    # The default order begins with what began last: the controls of the last seed.
    latest = client(shared).search_runs([child.info.experiment_id], "tags.level = 'lineage'", max_results=2)
    assert [run.data.tags["collapselab.key"] for run in latest] == ["control/seed1", "fully_synthetic/seed1"]


def test_cards_sheets_and_the_report_are_attached_and_survive_a_move(shared, tmp_path):
    (tmp_path / "report.html").write_text("<p>The report</p>", encoding="utf-8")
    picture = report.grid_png(np.zeros((40, 1, 8, 8), np.uint8), 10)
    options = {"pictures": {("control", 0, 0): picture}, "report": {"report.html": tmp_path / "report.html"}}
    root = tmp_path / "project"
    assert counts(show(study(1, 0, ARMS[:1]), root, **options)) == (3, 0, 0, 0)
    root.rename(tmp_path / "moved")
    root, uri = tmp_path / "moved", f"sqlite:///{tmp_path}/moved/mlflow.db"
    assert counts(show(study(1, 0, ARMS[:1]), root, **options)) == (0, 0, 3, 0)
    (whole,), (child,) = runs(uri, "study"), runs(uri, "generation")

    def attached(run):
        place = re.fullmatch(r"mlflow-artifacts:/(.*)", run.info.artifact_uri)[1]
        return {file.name: file.read_bytes() for file in (root / "mlartifacts" / place).iterdir()}

    assert attached(whole) == {"report.html": b"<p>The report</p>"}
    files = attached(child)
    assert files["samples.png"] == picture
    card, data = files["model-card.md"].decode(), files["data-card.md"].decode()
    assert child.data.tags["lineage.model"] in card and "| model.width | 32 |" in card and "| recall | lenet |" in card
    assert "800 rows, of which 800 are real and 0 are samples of models" in data
    # Another report is another run of the report, and of nothing else.
    (tmp_path / "report.html").write_text("<p>Another</p>", encoding="utf-8")
    assert counts(show(study(1, 0, ARMS[:1]), root, **options)) == (1, 0, 2, 1)


def test_datasets_have_the_digests_of_dvc(shared, tmp_path):
    data = tmp_path / "results/real/x"
    (data / "deep").mkdir(parents=True)
    for name in ("b.safetensors", "a b.bin", "deep/ü.txt", "deep.txt", ".gone.tmp", "x.damaged"):
        store.write_hashed(data / name, lambda path, name=name: path.write_text(name, encoding="utf-8"))
    (data / "x.damaged.sha256").rename(data / "y.damaged")
    shutil.copy2(ROOT / ".dvcignore", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    dvc = [sys.executable, "-m", "dvc"]
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    for words in (["init", "--quiet"], ["add", "--quiet", "results/real/x"]):
        subprocess.run([*dvc, *words], cwd=tmp_path, env=environment, check=True)
    known = re.search(r"md5: (\w+\.dir)", (data.parent / "x.dvc").read_text(encoding="utf-8"))[1]
    cached = tmp_path / ".dvc/cache/files/md5" / known[:2] / known[2:]
    listed = {one["relpath"]: one["md5"] for one in json.loads(cached.read_text(encoding="utf-8"))}
    one, whole = Dataset("training set", data / "b.safetensors", "training"), Dataset("x", data, "real data")
    assert whole.digest() == known and one.digest() == listed["b.safetensors"]
    show(study(1, 0), tmp_path, shared, training={("control", 0, 0): one}, real={0: whole})
    (read,) = {run.inputs.dataset_inputs[0].dataset.digest for run in runs(shared)}
    assert read == known
    children = {run.data.tags["arm"]: run.inputs.dataset_inputs for run in runs(shared, "generation")}
    assert children["control"][0].dataset.digest == one.digest() and not children["fully_synthetic"]
    # Other content is another run, and is known without reading it.
    assert show(study(1, 0), tmp_path, shared, training={("control", 0, 0): one}, real={0: whole}).deleted == 0
    store.write_hashed(data / "b.safetensors", lambda path: path.write_text("other", encoding="utf-8"))
    assert show(study(1, 0), tmp_path, shared, training={("control", 0, 0): one}, real={0: whole}).deleted == 4


def test_what_dvc_passes_over_is_passed_over():
    lines = (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines()
    assert set(LEFT_OUT) == {line for line in lines if line and not line.startswith(("#", "/"))}


def test_the_link_names_the_experiment_and_no_secret(shared, tmp_path):
    link = show(study(1, 0), tmp_path, shared).link
    number = client(shared).get_experiment_by_name("made_up").experiment_id
    assert link.startswith(f"http://127.0.0.1:5000/#/experiments/{number}/runs?")
    assert "compareRunsMode=CHART" in link and "tags.level%20%3D%20%27lineage%27" in link


# -- servers -----------------------------------------------------------------------------------------------------------


class Server:
    """A tracking server on loopback, with its database and its artifacts in a folder."""

    def __init__(self, folder, store_uri):
        self.folder, self.store = folder, store_uri
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri, self.process = f"http://127.0.0.1:{self.port}", None

    def start(self):
        words = ["server", "--port", self.port, "--workers", 1, "--backend-store-uri", self.store]
        command = [sys.executable, "-m", "mlflow", *map(str, words)]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(900):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=20):
                return self
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.2)
        raise AssertionError("the server does not answer")

    def kill(self):
        """End it and its workers at once, as a machine that loses its power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request, tmp_path):
    """A tracking server, once with a file and once with PostgreSQL behind it."""
    with contextlib.ExitStack() as stack:
        uri = f"sqlite:///{tmp_path}/server.db"
        if request.param == "postgresql":
            if PROGRAMS is None:
                pytest.skip("needs PostgreSQL's programs")
            pytest.importorskip("psycopg", reason="needs collapselab[judge]")
            uri = stack.enter_context(served_by_postgres("runs")).replace("postgresql:", "postgresql+psycopg:")
        held = Server(tmp_path, uri).start()
        stack.callback(held.kill)
        yield held


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_is_written_to_has_each_point_once_in_the_end(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    records, root = study(2, 2), tmp_path / "project"
    expected = tmp_path / "expected"
    show(records, expected)
    wanted = {key: found for (_, key), found in everything(f"sqlite:///{expected}/mlflow.db").items()}
    with ThreadPoolExecutor(1) as one:
        for count in (1, 6):  # in the midst of the first runs, and of later ones

            def kill_at(count=count):
                for _ in range(3000):
                    with contextlib.suppress(Exception):
                        if len(runs(server.uri, "generation")) >= count:
                            break
                    time.sleep(0.02)
                server.kill()

            killing = one.submit(kill_at)
            with pytest.raises(TrackingError):
                show(records, root, server.uri)
            killing.result()
            server.start()
    assert show(records, root, server.uri).created > 0
    assert {key: found for (_, key), found in everything(server.uri).items()} == wanted
    assert counts(show(records, root, server.uri)) == (0, 0, 16, 0)
    child = runs(server.uri, "generation")[0]
    files = client(server.uri).list_artifacts(child.info.run_id)
    assert sorted(file.path for file in files) == ["data-card.md", "model-card.md"]


PARALLEL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_team
records = [one for one in test_team.study() if one["arm"] == sys.argv[4] and one["seed"] == int(sys.argv[5])]
done = test_team.track(f"study {sys.argv[4]} {sys.argv[5]}", records, root=Path(sys.argv[2]), uri=sys.argv[3])
print(done.created)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_four_at_once_make_a_database_that_is_not_there(kind, tmp_path):
    with contextlib.ExitStack() as stack:
        uri = f"sqlite:///{tmp_path}/new/mlflow.db"
        if kind == "postgresql":
            if PROGRAMS is None:
                pytest.skip("needs PostgreSQL's programs")
            pytest.importorskip("psycopg", reason="needs collapselab[judge]")
            uri = stack.enter_context(served_by_postgres("runs"))
        four = [(arm, seed) for arm in ARMS for seed in range(2)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        started = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    PARALLEL,
                    Path(__file__).parent,
                    tmp_path / arm / str(seed),
                    uri,
                    arm,
                    str(seed),
                ],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for arm, seed in four
        ]
        ended = [one.communicate(timeout=900) for one in started]
        assert [one.returncode for one in started] == [0] * 4, ended
        assert [int(out) for out, _ in ended] == [4] * 4
        # The pictures of a store without a server lie in the project, and not where one happens to stand.
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and path.name != "new") == sorted(ARMS)
        for arm, seed in four:
            assert len(list((tmp_path / arm / str(seed) / "mlartifacts").rglob("model-card.md"))) == 3


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on the PATH")
def test_the_link_opens_the_arms_side_by_side_in_their_colours(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    records = made_up.only(made_up.records(), "recall", "frechet_distance")
    show(records, tmp_path, params={arm: {"regime": arm} for arm in made_up.ARMS})
    server = Server(tmp_path, f"sqlite:///{tmp_path}/mlflow.db").start()
    try:
        link = show(records, tmp_path, params={arm: {"regime": arm} for arm in made_up.ARMS}).link
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1700, "height": 1100})
            page.goto(link.replace("http://127.0.0.1:5000", server.uri))
            page.get_by_text("15 matching runs").wait_for(timeout=180_000)
            page.locator(".js-line").first.wait_for(timeout=180_000)
            drawn = {line.evaluate("one => one.style.stroke") for line in page.locator("path.js-line").all()}
            shown = page.inner_text("body")
            browser.close()
    finally:
        server.kill()

    def rgb(colour):
        return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"

    assert drawn == {rgb(colour) for colour in colours(made_up.facts()).values()}
    # The ten that the page shows by itself have the controls of two seeds among them.
    assert "control seed 2" in shown and "control seed 1" in shown
