"""Tracking: the runs are those of the files, however often, by however many, and whatever changed in between."""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import made_up
import numpy as np
import pytest
from PIL import Image

from collapselab import report
from collapselab.cli import track as mirroring
from collapselab.metrics import METRICS
from collapselab.report import tracking
from collapselab.report.addresses import address, default_uri, without_secrets
from collapselab.report.colours import colours_of
from collapselab.report.datasets import Dataset
from collapselab.report.runs import Beside, lineages
from collapselab.report.tracking import TrackingError, track

ARMS = ("control", "fully_synthetic")
PARAMS = {arm: {"regime": arm, "model": {"family": "diffusion", "width": 32}} for arm in ARMS}
SEEN = np.arange(0, 5000, 1000)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store whose tables exist already: making them costs seconds."""
    root = tmp_path_factory.mktemp("mlflow")
    track("other", made_up.records(ARMS[:1], 1, 0), root=root, uri=f"sqlite:///{root}/mlflow.db")
    return root / "mlflow.db"


@pytest.fixture
def root(template, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(template.read_bytes())
    return tmp_path


def study(seeds=2, generations=2):
    return made_up.records(ARMS, seeds, generations)


def show(records, root, **options):
    cells = [(record["arm"], record["seed"], record["generation"]) for record in records]
    picture = report.grid_png(np.zeros((2, 1, 8, 8), np.uint8))
    given = {
        "params": PARAMS,
        "curves": dict.fromkeys(cells, (SEEN, 1 / (1.0 + SEEN))),
        "pictures": {cell: picture for cell in cells if cell[1] == 0},
    }
    where = {name: options.pop(name) for name in ("uri", "note") if name in options}
    return track("made_up", records, Beside(**(given | options)), root=root, **where)


def client(root):
    from mlflow.tracking import MlflowClient

    return MlflowClient(default_uri(root))


def runs(root, level="lineage"):
    mirror = client(root)
    experiment = mirror.get_experiment_by_name("made_up")
    found = mirror.search_runs([experiment.experiment_id], f"tags.level = '{level}'", max_results=1000)
    return {run.data.tags["collapselab.key"]: run for run in found}


def points(root, run, metric="lenet/recall"):
    return sorted((point.step, point.value) for point in client(root).get_metric_history(run.info.run_id, metric))


def recall(records, arm, seed):
    return [
        (record["generation"], entry["value"])
        for record in records
        for entry in record["values"]
        if (record["arm"], record["seed"]) == (arm, seed)
        and (entry["metric"], entry["extractor"], entry["set"]) == ("recall", "lenet", "sampled")
    ]


def counts(tracked):
    return tracked.created, tracked.extended, tracked.unchanged, tracked.deleted


def test_the_runs_show_the_records(root):
    records = study()
    assert counts(show(records, root, note="Does it collapse?")) == (4 + 12, 0, 0, 0)
    lineages, generations = runs(root), runs(root, "generation")
    assert sorted(lineages) == [f"{arm}/seed{seed}" for arm in ARMS for seed in range(2)]
    assert len(generations) == 12
    for arm in ARMS:
        for seed in range(2):
            run = lineages[f"{arm}/seed{seed}"]
            assert run.info.run_name == f"{arm} seed {seed}" and run.info.status == "FINISHED"
            assert points(root, run) == recall(records, arm, seed)
            assert run.data.params == {
                "arm": arm,
                "seed": str(seed),
                "regime": arm,
                "model": json.dumps(PARAMS[arm]["model"]),
            }
    child = generations["fully_synthetic/seed0/gen2"]
    assert child.info.run_name == "gen 2"
    assert child.data.tags["mlflow.parentRunId"] == lineages["fully_synthetic/seed0"].info.run_id
    assert child.data.params["generation"] == "2" and child.data.params["regime"] == "fully_synthetic"
    source = next(r for r in records if (r["arm"], r["seed"], r["generation"]) == ("fully_synthetic", 0, 2))
    assert child.data.tags["lineage.model"] == source["lineage"]["model"]
    assert not any("parent" in tag for tag in child.data.tags if tag.startswith("lineage."))
    assert child.data.tags["composition"] == "800 fully_synthetic gen 1"
    assert child.data.metrics["lenet_class_histogram/0"] > child.data.metrics["lenet_class_histogram/9"]
    assert points(root, child, "train/loss") == [(int(x), 1 / (1.0 + x)) for x in SEEN]
    attached = root / "mlartifacts" / "made_up" / child.info.run_id / "artifacts"
    assert sorted(file.name for file in attached.iterdir()) == ["data-card.md", "model-card.md", "samples.png"]
    # By a name in which the project's place does not stand, so that it may be moved.
    assert child.info.artifact_uri == f"mlflow-artifacts:/made_up/{child.info.run_id}/artifacts"
    experiment = client(root).get_experiment_by_name("made_up")
    assert experiment.tags["mlflow.note.content"] == "Does it collapse?"


def test_twice_gives_the_same_runs_and_points(root):
    show(study(), root)
    before = {key: run.info.run_id for level in ("lineage", "generation") for key, run in runs(root, level).items()}
    assert counts(show(study(), root)) == (0, 0, 16, 0)
    assert before == {
        key: run.info.run_id for level in ("lineage", "generation") for key, run in runs(root, level).items()
    }
    assert points(root, runs(root)["control/seed0"]) == recall(study(), "control", 0)


def test_a_new_generation_is_added_to_its_lineages(root):
    show(study(generations=1), root)
    before = {key: run.info.run_id for key, run in runs(root).items()}
    assert counts(show(study(generations=2), root)) == (4, 4, 8, 0)
    assert before == {key: run.info.run_id for key, run in runs(root).items()}
    assert points(root, runs(root)["control/seed1"]) == recall(study(), "control", 1)
    assert counts(show(study(generations=2), root)) == (0, 0, 16, 0)


def test_a_changed_value_remakes_its_lineage_alone(root):
    show(study(), root)
    before = {key: run.info.run_id for key, run in runs(root).items()}
    changed = study()
    cell = next(r for r in changed if (r["arm"], r["seed"], r["generation"]) == ("control", 1, 1))
    cell["values"][0]["value"] = 0.123
    assert counts(show(changed, root)) == (4, 0, 12, 4)
    after = {key: run.info.run_id for key, run in runs(root).items()}
    assert {key for key in after if after[key] != before[key]} == {"control/seed1"}
    assert points(root, runs(root)["control/seed1"]) == recall(changed, "control", 1)


def test_a_changed_option_remakes_the_runs_of_its_arm(root):
    show(study(), root)
    params = PARAMS | {"control": {"regime": "other"}}
    assert counts(show(study(), root, params=params)) == (8, 0, 8, 8)
    assert runs(root)["control/seed0"].data.params["regime"] == "other"


def test_what_has_no_file_any_more_is_not_shown(root):
    show(study(), root)
    assert counts(show(study(seeds=1), root)) == (0, 0, 8, 8)
    assert sorted(runs(root)) == ["control/seed0", "fully_synthetic/seed0"]


def test_a_diverged_lineage_is_shown_as_failed(root):
    show(study(generations=1), root)
    records = made_up.diverge(study(), "fully_synthetic", 1, 2)
    show(records, root)
    found, children = runs(root), runs(root, "generation")
    assert {key for key, run in found.items() if run.info.status == "FAILED"} == {"fully_synthetic/seed1"}
    assert found["fully_synthetic/seed1"].data.tags["status"] == "diverged"
    assert {key for key, run in children.items() if run.info.status == "FAILED"} == {"fully_synthetic/seed1/gen2"}
    assert points(root, found["fully_synthetic/seed1"]) == recall(records, "fully_synthetic", 1)
    assert counts(show(records, root)) == (0, 0, 16, 0)


def test_a_stopped_lineage_says_by_which_rule_and_takes_it_back_when_it_goes_on(root):
    rule = {"when": "collapsed", "metric": "recall", "extractor": "lenet", "below": 0.5, "generations": 2}
    decision = {"generation": 1, "when": "collapsed", "rule": rule, "values": [0.41, 0.33]}
    last = decision | {"generation": 2, "when": "diverged", "rule": {"when": "diverged"}, "values": []}
    gone = {"status": "stopped", "stopped": decision, "values": []}
    records = [
        one | gone if (one["arm"], one["seed"], one["generation"]) == ("fully_synthetic", 1, 2) else one
        for one in study()
    ]
    show(study(generations=1), root)
    before = {key: run.info.run_id for key, run in runs(root).items()}
    show(records, root, stopped={"fully_synthetic": {0: last}})  # of one no record tells: it was its last generation
    found = runs(root)
    assert {key: run.info.run_id for key, run in found.items()} == before
    said = {key: (run.data.tags["status"], run.data.tags.get("why", "")) for key, run in found.items()}
    label = METRICS["recall"].label
    row = f"collapsed: {label} (lenet) is below 0.5 in 2 generations one after the other (0.41, 0.33)"
    assert said == {
        "control/seed0": ("ok", ""),
        "control/seed1": ("ok", ""),
        "fully_synthetic/seed0": ("diverged", "stopped after generation 2; diverged: its training diverged"),
        "fully_synthetic/seed1": ("collapsed", f"stopped after generation 1; {row}"),
    }
    assert {key: run.info.status for key, run in found.items() if "fully" in key} == {
        "fully_synthetic/seed0": "FAILED",
        "fully_synthetic/seed1": "FINISHED",
    }
    assert counts(show(records, root, stopped={"fully_synthetic": {0: last}})) == (0, 0, 16, 0)
    show(study(), root)  # the rule is gone, and the lineage went on
    tags = runs(root)["fully_synthetic/seed1"].data.tags
    assert (tags["status"], tags["why"]) == ("ok", "")


def test_interrupted_and_doubled_runs_are_remade(root):
    show(study(1, 1), root)
    mirror, before = client(root), runs(root, "generation")
    mirror.delete_tag(before["control/seed0/gen1"].info.run_id, "collapselab.digest")  # killed before its end
    experiment = mirror.get_experiment_by_name("made_up").experiment_id
    mirror.create_run(experiment, tags={"collapselab.key": "control/seed0", "level": "lineage"})
    mirror.create_run(experiment, run_name="somebody's own")
    show(study(1, 1), root)
    assert len(runs(root)) == 2 and len(runs(root, "generation")) == 4
    names = [run.info.run_name for run in mirror.search_runs([experiment])]
    assert len(names) == 7 and "somebody's own" in names  # six of ours, and what is not ours is left alone
    assert counts(show(study(1, 1), root)) == (0, 0, 6, 0)


def test_more_points_than_one_call_takes(root):
    records, seen = study(1, 0), np.arange(2000)
    curves = {("control", 0, 0): (seen, np.sqrt(seen))}
    show(records, root, curves=curves, params={"control": {f"option{i}": i for i in range(150)}})
    child = runs(root, "generation")["control/seed0/gen0"]
    assert len(points(root, child, "train/loss")) == 2000 and len(child.data.params) == 153


def test_losses_that_are_not_finite_are_left_out(root):
    show(study(1, 0), root, curves={("control", 0, 0): (SEEN, np.array([1, np.nan, 2, np.inf, 3]))})
    child = runs(root, "generation")["control/seed0/gen0"]
    assert points(root, child, "train/loss") == [(0, 1.0), (2000, 2.0), (4000, 3.0)]


@pytest.mark.slow
def test_two_processes_at_once_make_each_run_once(tmp_path):
    """Also the store's tables are made once: unlocked, three of four processes died while they were."""
    source = Path(tracking.__file__).parents[2]
    code = (
        "import made_up, pathlib\n"
        "from collapselab.report.tracking import track\n"
        f"print(track('made_up', made_up.records({ARMS!r}, 1, 1), root=pathlib.Path('.')).created)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{Path(__file__).parent}"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert sorted(int(out) for out, _ in results) == [0, 6]
    assert len(runs(tmp_path)) == 2 and len(runs(tmp_path, "generation")) == 4


def test_the_environment_names_another_store(root, tmp_path, monkeypatch):
    assert default_uri(root) == f"sqlite:///{root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere.db")
    assert default_uri(root) == "sqlite:////elsewhere.db"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////dev/null/mlflow.db", "nonsense://x"])
def test_a_store_that_fails_is_one_clear_line(tmp_path, uri, capfd):
    with pytest.raises(TrackingError) as caught:
        show(study(1, 0), tmp_path, uri=uri)
    assert uri in str(caught.value) and "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_password_is_in_no_message(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with pytest.raises(TrackingError) as caught:
        show(study(1, 0), tmp_path, uri="http://alice:s3cret@127.0.0.1:9")
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert "MLflow at http://127.0.0.1:9: " in shown
    assert "s3cret" not in shown.replace('uri="http://alice:s3cret@127.0.0.1:9")', "")  # but in the line above
    assert "alice" not in str(caught.value)


SECRET = "s3cr3t"
ADDRESSES = {  # as people write them -> what others may see
    "http://host": "http://host",
    "http://127.0.0.1:9/x/y": "http://127.0.0.1:9",
    "https://u:s3cr3t@host/x": "https://host",
    "https://s3cr3t@host:5000": "https://host:5000",
    "https://host/?token=s3cr3t": "https://host",
    "https://host/api;password=s3cr3t": "https://host",
    "https://host;s3cr3t": "https://host",
    "https://host#s3cr3t": "https://host",
    "https://host/ s3cr3t": "https://host",
    "https://host s3cr3t": "https://host",
    "https://[::1]:80/s3cr3t": "https://[::1]:80",
    "postgresql://h/db?user=alice&password=s3cr3t": "postgresql://h",
    "postgresql+psycopg2://u:s3/cr3t@host/s3cr3t": "postgresql+psycopg2://…",
    "postgresql://u:s3cr3t?x@host/runs": "postgresql://…",
    "postgresql://h/db?password=s3cr3t@x": "postgresql://…",
    "mysql+pymysql://u:p%40s3cr3t@host:3306/db": "mysql+pymysql://host:3306",
    "mssql+pyodbc:///?odbc_connect=PWD%3Ds3cr3t": "mssql+pyodbc:///",
    "sqlite:////home/me@home/mlflow.db": "sqlite:////home/me@home/mlflow.db",
    "sqlite:////srv/mlflow.db?password=s3cr3t": "sqlite:////srv/mlflow.db",
    "sqlite:////srv/mlflow.db;s3cr3t": "sqlite:////srv/mlflow.db",
    "sqlite://u:s3cr3t@/x": "sqlite://…",
    "databricks://s3cr3t:x@host": "databricks://host",
    "databricks://profile": "databricks://profile",
    "databricks-uc://u:s3cr3t@h?x": "databricks-uc://h",
    "file:///srv/runs?s3cr3t": "file:///srv/runs",
    "./mlruns": "./mlruns",
    "databricks": "databricks",
    "user:s3cr3t@host": "an address",
    "password=s3cr3t": "an address",
}


@pytest.mark.parametrize("uri", ADDRESSES)
def test_of_an_address_scheme_and_host_are_shown(uri):
    assert address(uri) == ADDRESSES[uri]
    assert SECRET not in address(uri)
    for said in (uri, f"could not reach {uri!r}", f"refused {SECRET}", f"at <{uri}> now", f"wrong: '{SECRET}x'"):
        assert SECRET not in without_secrets(said, uri) or SECRET not in uri


@pytest.mark.parametrize("said", ["postgresql://h/db?password=s3cr3t", "http://a:s3cr3t@b", "x://y;s3cr3t"])
def test_addresses_that_an_error_quotes_are_cut_too(said):
    assert SECRET not in without_secrets(f"redirected to {said}", "http://elsewhere")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://127.0.0.1:9/db?user=alice&password=s3cr3t",
        "postgresql://alice:s3cr3t@127.0.0.1:9/db",
        "http://127.0.0.1:9/?token=s3cr3t",
        "http://127.0.0.1:9;s3cr3t",
        "http://127.0.0.1:9 s3cr3t",
        "sqlite://u:s3cr3t@/x",
        "databricks://s3cr3t:x",
        "nonsense://x?password=s3cr3t",
        "mysql://alice:s3cr3t@127.0.0.1:9/db",
        "sqlite:////dev/null/mlflow.db?password=s3cr3t",
        "s3cr3t=x",
    ],
)
def test_a_secret_in_an_address_is_in_no_message_and_in_no_name(tmp_path, monkeypatch, capfd, uri):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(TrackingError):
        show(study(1, 0), tmp_path, uri=uri)
        pytest.skip("this store has opened it")
    try:
        show(study(1, 0), tmp_path, uri=uri)
    except TrackingError as error:
        assert SECRET not in str(error) and "MLflow at " in str(error)
    assert SECRET not in "".join(capfd.readouterr())
    assert not [path for path in tmp_path.rglob("*") if SECRET in path.name]


def test_a_database_that_does_not_answer_is_asked_once(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    monkeypatch.setattr(utils, "create_sqlalchemy_engine", None)  # with which MLflow asks, again and again
    with pytest.raises(TrackingError, match=r"MLflow at postgresql://127\.0\.0\.1:9: OperationalError"):
        show(study(1, 0), tmp_path, uri="postgresql://alice@127.0.0.1:9/db")


def test_a_folder_with_odd_signs_has_its_database_inside(tmp_path, monkeypatch):
    odd = tmp_path / "odd a?b#c%41&d"
    odd.mkdir()
    monkeypatch.chdir(odd)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    show(study(1, 0), Path(), uri=None)
    assert (odd / "mlflow.db").is_file() and list((odd / "mlartifacts").rglob("*.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [odd.name]


def test_a_store_elsewhere_leaves_nothing_where_one_stands_but_the_projects_pictures(template, tmp_path, monkeypatch):
    """Neither a lock nor MLflow's own folder; of stores on other machines the lock is this machine's, and outside."""
    store, project, here = (tmp_path / name for name in ("store", "project", "here"))
    for folder in (store, project, here):
        folder.mkdir()
    shutil.copy2(template, store / "runs.db")
    monkeypatch.chdir(here)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/runs.db")
    show(study(1, 0), project)
    assert {path.name for path in project.iterdir()} <= {"mlartifacts", ".collapselab"}  # which git leaves out
    assert list((project / "mlartifacts").rglob("samples.png"))
    assert "runs.db" in {path.name for path in store.iterdir()} <= {"runs.db", "runs.db.lock"}
    for uri in ("http://127.0.0.1:9", "postgresql://127.0.0.1:9/runs"):
        with pytest.raises(TrackingError):
            show(study(1, 0), project, uri=uri)
        assert not {tmp_path, here} & set(tracking._lock(uri).parents)
    assert not list(here.iterdir())


@pytest.mark.parametrize("table", ["metrics", "latest_metrics", "params", "tags"])
def test_what_somebody_changed_in_the_mirror_is_remade(root, table):
    before = show(study(2, 1), root)
    assert show(study(2, 1), root).deleted == 0
    changes = {
        "metrics": "UPDATE metrics SET value = value + .125 WHERE rowid = (SELECT MAX(rowid) FROM {} WHERE step = 0)",
        "latest_metrics": "UPDATE latest_metrics SET value = value + .125 WHERE rowid = (SELECT MAX(rowid) FROM {})",
        "params": "UPDATE params SET value = 'other' WHERE rowid = (SELECT MAX(rowid) FROM {})",
        "tags": "UPDATE tags SET value = 'other' WHERE rowid = (SELECT MAX(rowid) FROM {} WHERE key = 'arm')",
    }
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        assert database.execute(changes[table].format(table)).rowcount == 1
    again = show(study(2, 1), root)
    assert again.deleted >= 1 and again.created == again.deleted, (before, again)
    assert show(study(2, 1), root).deleted == 0


def test_a_damaged_database_is_one_clear_line(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db"):
        show(study(1, 0), tmp_path, uri=f"sqlite:///{tmp_path}/mlflow.db")


def test_cells_of_a_forgetting_matrix_are_metrics_of_the_generation():
    """A row a generation: what each task's held-out rows say, beside the metric of all; what is not determined is not
    there."""
    records = made_up.records(ARMS[:1], 1, 2)
    first = records[0]["values"][0]
    for record in records:
        own = record["generation"]
        record["tasks"] = {
            "values": [
                first | {"set": "sampled", "task": task, "value": None if task > own else 0.1 * own + task}
                for task in range(3)
            ]
        }
    (_, children) = lineages(records, Beside())[f"{ARMS[0]}/seed0"]
    group = f"{first['extractor']}_{first['metric']}"
    for generation in range(3):
        points = children[f"{ARMS[0]}/seed0/gen{generation}"].metrics
        cells = {key: (value, step) for key, value, step in points if key.startswith(f"{group}/task")}
        assert cells == {f"{group}/task{j}": (0.1 * generation + j, generation) for j in range(generation + 1)}
        assert sum(key == f"{first['extractor']}/{first['metric']}" for key, _, _ in points) == 1


def test_the_default_page_shows_controls_colours_true_times_and_what_went_in_and_came_out(root):
    """MLflow draws the ten runs that began last, each with its colour, duration, data set, source and models."""
    arms, seeds = tuple(made_up.ARMS), 3
    records = made_up.records(arms, seeds, 1)
    cells = [(record["arm"], record["seed"], record["generation"]) for record in records]
    begun = {cell: 1.8e9 + 100 * cell[1] + 40 * cell[2] for cell in cells}  # all arms of a seed share a generation 0
    costs = {cell: [{"began_at": at, "ended_at": at + 30.5}] for cell, at in begun.items()}
    colours = colours_of(arms, ["control"])
    (root / "data").mkdir()
    table = root / "data" / "training.parquet"
    table.write_bytes(b"rows")
    said = {
        "params": {arm: {"regime": arm, "family": "diffusion", "model.width": 32} for arm in arms},
        "costs": costs,
        "colours": colours,
        "controls": ["control"],
        "models": {cell: f"results/{cell[0]}/seed{cell[1]}/gen{cell[2]}/model.safetensors" for cell in cells},
        "training": dict.fromkeys(cells, Dataset("training set", table, "training")),
        "real": dict.fromkeys(range(seeds), Dataset("digits", table, "real data", "handwritten digits")),
    }
    show(records, root, **said)
    mirror = client(root)
    experiment = mirror.get_experiment_by_name("made_up").experiment_id
    asked = {"filter_string": "tags.level = 'lineage'", "order_by": ["attributes.start_time DESC"]}  # as the link asks
    page = mirror.search_runs([experiment], max_results=10, **asked)
    assert [run.data.tags["arm"] for run in page[:: len(arms)]][:2] == ["control", "control"]
    assert {run.data.tags["arm"] for run in page} == set(arms)
    for run in page:
        arm, seed = run.data.tags["arm"], int(run.data.tags["seed"])
        assert run.data.tags["mlflow.runColor"] == colours[arm]
        ended = 1000 * (begun[arm, seed, 1] + 30.5)  # from the beginning of generation 0 to the end of generation 1
        assert run.info.end_time == ended and 0 <= run.info.start_time - 1000 * begun[arm, seed, 0] < len(arms) * seeds
        assert run.data.tags["mlflow.user"] and run.data.tags["mlflow.source.name"].startswith("collapselab ")
        assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["digits"]
        models = [mirror.get_logged_model(one.model_id).name for one in run.outputs.model_outputs]
        assert sorted(models) == [f"{arm}-seed{seed}-gen{generation}" for generation in (0, 1)]
    assert counts(show(records, root, **said)) == (0, 0, 3 * len(arms) * seeds, 0)
    assert len(set(colours.values())) == len(arms)


def test_the_models_of_a_lineage_are_those_of_its_generations_whatever_is_remade(root):
    models = {"models": {("control", 0, t): f"gen{t}/model.safetensors" for t in range(3)}}

    def linked():
        mirror, run = client(root), runs(root)["control/seed0"]
        return sorted(mirror.get_logged_model(one.model_id).name for one in run.outputs.model_outputs)

    show(made_up.records(ARMS[:1], 1, 1), root, **models)
    show(made_up.records(ARMS[:1], 1, 2), root, **models)
    assert linked() == [f"control-seed0-gen{t}" for t in range(3)]
    changed = made_up.records(ARMS[:1], 1, 2)
    changed[1]["values"][0]["value"] = 0.123
    show(changed, root, **models)
    assert linked() == [f"control-seed0-gen{t}" for t in range(3)]


def test_a_sheet_of_samples_is_large_enough_to_be_read(monkeypatch):
    """Nothing in MLflow enlarges it: of 8 x 8 pixels each picture has 64 on a side."""
    images = np.zeros((50, 1, 8, 8), np.uint8)
    monkeypatch.setattr(mirroring.results, "grids", lambda study: {("a", 0, 0): images})
    (sheet,) = mirroring._sheets(SimpleNamespace(name="made_up")).values()
    assert Image.open(io.BytesIO(sheet)).size == (10 * 66, 4 * 66)
