"""The mirror to MLflow: a study's records as runs to look at and compare. The only module that imports mlflow.

A study is an experiment. A lineage (one arm, one seed) is a parent run whose metrics have ``step = generation``, which
draws the collapse curves; a generation is a child run with its training curve, parameters, hashes and sample grid.

The files are the record. Runs are found by tag, never by a saved id; each carries a digest of what it shows, written
last. So a second call changes nothing, a new generation is added to its lineage, and a run that shows something else
than the files, was interrupted, or has no file any more is deleted (and made again). MLflow keeps deleted runs aside.

Many may share a server. Each run says which workspace has written it, and a workspace changes and deletes what it has
written itself; a lineage that another one shows to the last number is not shown twice.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..core.progress import counted
from .addresses import address, default_uri, with_driver, without_secrets
from .runs import NOTHING_BESIDE, Beside, Content, Lineages, Point, Record, lineages, report_run
from .workspace import stamp, workspace

KEY, DIGEST, WORKSPACE = "collapselab.key", "collapselab.digest", "collapselab.workspace"
PARENT = "mlflow.parentRunId"  # MLflow's own tag for a child
PATIENCE_S = 20  # for a server to answer
LOCK_SECONDS = 600  # how long one process waits for another that tracks
BATCH, FEW = 800, 100  # metrics, and parameters or tags, in one call; MLflow takes 1000 of all and 100 of these
ARTIFACTS = "mlartifacts"  # where a server that is started in the project's root has them, by MLflow's default
PAGE = "http://127.0.0.1:5000"  # of `mlflow ui`


class TrackingError(Exception):
    """MLflow could not be written. The files are whole; tracking can be repeated alone."""


class Locked(TrackingError):
    """Another process has been writing for too long."""


@dataclass(frozen=True)
class Tracked:
    """What a call did to the runs of an experiment, in numbers of runs. link: the page that compares the arms."""

    experiment: str
    created: int
    extended: int
    unchanged: int
    deleted: int
    link: str = ""


def track(
    study: str,
    records: Sequence[Record],
    beside: Beside = NOTHING_BESIDE,
    *,
    root: Path = Path(),
    uri: str | None = None,
    note: str = "",
) -> Tracked:
    """Make the experiment of a study show its records, and say what was done.

    root: the project, whose ``mlflow.db`` and ``mlartifacts`` are the default store. beside: what else is known of the
    study. note: the text above the experiment's runs. One process at a time writes; others wait for a file lock.

    Raises TrackingError when MLflow is missing, unreachable, locked for too long or unwilling.
    """
    import filelock

    uri = uri or default_uri(root)
    shown = lineages(records, beside)
    lock = _lock(uri)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=LOCK_SECONDS):
            return _Mirror(uri, study, Path(root), note).show(shown, report_run(beside, _all(shown)))
    except filelock.Timeout:
        raise Locked(f"MLflow at {address(uri)}: another process has held {lock} for {LOCK_SECONDS} s") from None
    except Exception as error:  # whatever goes wrong in a mirror must not end a study
        first_line = (str(error).splitlines() or [""])[0]
        said = f"MLflow at {address(uri)}: {type(error).__name__}: {without_secrets(first_line, uri)}"
        raise TrackingError(said) from None  # the error itself may hold what was taken out


def _all(shown: Lineages) -> Iterator[Content]:
    return (run for lineage, children in shown.values() for run in (lineage, *children.values()))


def _lock(uri: str) -> Path:
    """The lock of a store: beside its database, or, of one elsewhere, among this machine's temporary files."""
    if local := re.match(r"sqlite:///([^?;]+)", uri):
        return Path(f"{local[1]}.lock")
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"collapselab-mlflow-{os.getuid()}" / f"{name}.lock"


def _client(uri: str) -> Any:
    # Before the import, which reads them. MLflow logs tracebacks of errors that are reported here in one line; a
    # server that does not answer should say so within seconds.
    for name, setting in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "CRITICAL",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE_S),
    }.items():
        os.environ.setdefault(name, setting)
    _expect_database(uri)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=with_driver(uri))


def _expect_database(uri: str) -> None:
    """Ask a database on another machine once; whatever it raises: MLflow itself would ask it again for minutes."""
    if not uri.startswith(("postgres", "mysql", "mssql")):
        return
    from sqlalchemy import create_engine

    patience = {"connect_timeout": PATIENCE_S} if uri.startswith("postgres") else {}
    engine = create_engine(with_driver(uri), connect_args=patience)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


class _Mirror:
    """One experiment of one MLflow store, held by one process at a time."""

    def __init__(self, uri: str, study: str, root: Path, note: str):
        self.workspace, self.stamp = workspace(root), stamp(root)
        self.client = _client(uri)
        self.study, self.root = study, root
        self.served = uri.startswith(("http://", "https://"))
        self.own_store = uri.startswith("sqlite")  # where runs without a workspace are of earlier versions, and ours
        self.counts = dict.fromkeys(("created", "extended", "unchanged", "deleted"), 0)
        self.page = address(uri) if self.served else PAGE
        self.experiment = self._experiment(note)

    def _experiment(self, note: str) -> str:
        experiment = self.client.get_experiment_by_name(self.study)
        if experiment is None:
            # A server has its own place for artifacts. Of any other store they lie where a server that is started in
            # the project's root finds them, by a name that stays right when the project is moved.
            place = None if self.served else f"mlflow-artifacts:/{self.study}"
            try:
                found = self.client.create_experiment(self.study, artifact_location=place)
            except Exception:
                experiment = self.client.get_experiment_by_name(self.study)
                if experiment is None:  # nor has somebody else just made it
                    raise
                found = experiment.experiment_id
        else:
            found = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self.client.restore_experiment(found)
        # MLflow 3 sorts experiments by kind, and takes one without for a collection of language-model traces.
        self.client.set_experiment_tag(found, "mlflow.experimentKind", "custom_model_development")
        if note:
            self.client.set_experiment_tag(found, "mlflow.note.content", note)
        return found

    def show(self, shown: Lineages, report: Mapping[str, Content]) -> Tracked:
        ours, theirs = self._runs()
        for key, content in report.items():
            digest = content.digest() + content.digest(content.metrics)
            of_others = [run for runs in theirs.get(key, {}).values() for run in runs.values()]
            if key not in ours and any(run.data.tags.get(DIGEST) == digest for run in of_others):
                self.counts["unchanged"] += 1
            else:
                self._single(ours.pop(key, None), key, content)
        for key, (lineage, children) in counted(shown.items(), "lineages"):
            if not ours.keys() & {key, *children} and _is_there(theirs.get(key, {}), key, lineage, children):
                self.counts["unchanged"] += 1 + len(children)
                continue
            parent = self._lineage(ours.pop(key, None), key, lineage)
            for child_key, child in children.items():
                self._single(ours.pop(child_key, None), child_key, child, parent)
        for run in ours.values():
            self._delete(run)
        return Tracked(self.study, **self.counts, link=self._link())

    def _link(self) -> str:
        """The page that draws every metric of the lineages against the generation, an arm in its colour."""
        asked = {"searchFilter": "tags.level = 'lineage'", "orderByKey": "attributes.start_time"}
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
        return f"{self.page}/#/experiments/{self.experiment}/runs?{words}&orderByAsc=false&compareRunsMode=CHART"

    def _runs(self) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
        """Our runs by key (of two with one key the older is deleted), and those of others: lineage -> whose -> key."""
        ours: dict[str, Any] = {}
        theirs: dict[str, dict[str, dict[str, Any]]] = {}
        for run in self._search():
            key, whose = run.data.tags.get(KEY), run.data.tags.get(WORKSPACE, "")
            if key is None:
                continue
            if whose == self.workspace or (not whose and self.own_store):
                if key in ours:
                    self._delete(run)
                else:
                    ours[key] = run
            else:
                lineage = "/".join(key.split("/")[:2])
                theirs.setdefault(lineage, {}).setdefault(whose, {}).setdefault(key, run)
        return ours, theirs

    def _search(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _lineage(self, run: Any | None, key: str, content: Content) -> str:
        """The id of the run that shows the lineage; generations that it lacks are added."""
        by_step, digests = _by_step(content)
        shown = {} if run is None else _digests(run)
        known = DIGEST in shown and shown.items() <= digests.items()
        if run is not None and not (known and self._shows(run, content, shown)):
            self._delete(run)
            run, shown = None, {}
        if run is None:
            run_id = self._create(key, content)
            self.counts["created"] += 1
        else:
            run_id = run.info.run_id
            kind = "unchanged" if shown == digests and _ended(run, content) else "extended"
            self.counts[kind] += 1
            if kind == "unchanged":
                return run_id
        new = {name: digest for name, digest in digests.items() if name not in shown}
        metrics = [metric for name in new for metric in by_step.get(name, ())]
        self._log(run_id, content, metrics, new | _ends(run, content))
        self._finish(run_id, content)
        return run_id

    def _single(self, run: Any | None, key: str, content: Content, parent: str = "") -> None:
        """A run that is there as a whole or is made anew: of a generation, or of the report."""
        digest = content.digest() + content.digest(content.metrics)
        if run is not None:
            same = (run.data.tags.get(DIGEST), run.data.tags.get(PARENT, "")) == (digest, parent)
            if same and _ended(run, content) and self._shows(run, content):
                self.counts["unchanged"] += 1
                return
            self._delete(run)
        run_id = self._create(key, content, {PARENT: parent} if parent else {})
        self._log(run_id, content, content.metrics, {DIGEST: digest})
        self._finish(run_id, content)
        self.counts["created"] += 1

    def _shows(self, run: Any, content: Content, digests: Mapping[str, str] | None = None) -> bool:
        """Whether a run shows just the values that its digest stands for: somebody may have changed them since.

        digests: of the steps of a lineage that it has; None where it has all.
        """
        steps = {name.rpartition(".")[2] for name in digests or {}}
        there: dict[str, dict[int, float]] = {}
        for key, value, step in content.metrics:
            if digests is None or str(step) in steps:
                there.setdefault(key, {})[step] = value
        if run.data.params != dict(content.params) or content.tags.items() - run.data.tags.items():
            return False
        if run.data.metrics.keys() != there.keys():
            return False
        for key, points in there.items():
            if not _alike(run.data.metrics[key], points[max(points)]):
                return False
            if len(points) > 1:
                history = self.client.get_metric_history(run.info.run_id, key)
                shown = {point.step: point.value for point in history}
                if shown.keys() != points.keys() or not all(_alike(shown[step], points[step]) for step in points):
                    return False
        return True

    def _create(self, key: str, content: Content, more: Mapping[str, str] | None = None) -> str:
        """The id of a new run, with what is attached to it and what it has read."""
        tags = {**self.stamp, **content.tags, KEY: key, WORKSPACE: self.workspace, **(more or {})}
        run = self.client.create_run(self.experiment, content.began, tags, content.name)
        self._attach(run, content.files)
        if content.datasets:
            self._read(run.info.run_id, content)
        if content.model:
            self._made(run.info.run_id, content, (more or {}).get(PARENT))
        return run.info.run_id

    def _attach(self, run: Any, files: Mapping[str, bytes]) -> None:
        place = re.match(r"mlflow-artifacts:/+(.*)", run.info.artifact_uri)
        with tempfile.TemporaryDirectory() as temporary:
            # Where there is no server, its folder is written by hand: a client would ask one.
            by_hand = place is not None and not self.served
            folder = self.root / ARTIFACTS / place[1] if by_hand else Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            if files and not by_hand:
                self.client.log_artifacts(run.info.run_id, temporary)

    def _read(self, run_id: str, content: Content) -> None:
        """Say which data a run has read, by DVC's digests, which cost reading them: only a new run does."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = []
        for one in content.datasets:
            source = json.dumps({"path": str(one.path), **({"from": one.source} if one.source else {})})
            dataset = Dataset(one.name, one.digest(), "local", source)
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", one.context)]))
        self.client.log_inputs(run_id, inputs)

    def _made(self, run_id: str, content: Content, parent: str | None) -> None:
        """Name the model that a run has made, for its lineage, too; its bytes stay where they are."""
        from mlflow.entities import LoggedModelOutput

        said = content.model
        made = self.client.create_logged_model(
            self.experiment, said["name"], run_id, dict(said["tags"]), dict(said["options"]), said["family"] or None
        )
        self.client.finalize_logged_model(made.model_id, "READY")
        for one in filter(None, (run_id, parent)):
            self.client.log_outputs(one, [LoggedModelOutput(made.model_id, int(content.tags["generation"]))])

    def _finish(self, run_id: str, content: Content) -> None:
        self.client.set_terminated(run_id, _ending(content), content.ended)

    def _delete(self, run: Any) -> None:
        own = run.outputs and PARENT in run.data.tags  # a lineage names those of its generations, which go with these
        for made in run.outputs.model_outputs if own else ():
            self.client.delete_logged_model(made.model_id)
        self.client.delete_run(run.info.run_id)
        self.counts["deleted"] += 1

    def _log(self, run_id: str, content: Content, metrics: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Parameters and metrics, then tags, so that a digest never stands for what is not there."""
        from mlflow.entities import Metric, Param, RunTag

        # The time is the step's, not the clock's: a point logged twice is then one point.
        made = [Metric(key, value, content.moments.get(step, 1000 * step), step) for key, value, step in metrics]
        points = _parts(made, BATCH)
        options = _parts([Param(name, value) for name, value in content.params.items()], FEW)
        marks = _parts([RunTag(name, value) for name, value in tags.items()], FEW)
        # Each call costs MLflow several commits, so a call takes what it can; within one, tags come last.
        calls = [{"params": few, "metrics": many} for few, many in zip_longest(options, points, fillvalue=())] or [{}]
        calls[-1]["tags"] = marks[0] if marks else ()
        for call in (*calls, *({"tags": few} for few in marks[1:])):
            self.client.log_batch(run_id, **call)


def _by_step(content: Content) -> tuple[dict[str, list[Point]], dict[str, str]]:
    """The metrics of a lineage, and the digests that stand for them, by the tag of each step; the rest has its own."""
    by_step: dict[str, list[Point]] = {}
    for metric in content.metrics:
        by_step.setdefault(f"{DIGEST}.{metric[2]}", []).append(metric)
    digests = {name: content.digest(metrics) for name, metrics in by_step.items()}
    return by_step, digests | {DIGEST: content.digest()}


def _digests(run: Any) -> dict[str, str]:
    return {tag: value for tag, value in run.data.tags.items() if tag.startswith(DIGEST)}


def _is_there(whose: Mapping[str, Mapping[str, Any]], key: str, lineage: Content, children: Mapping) -> bool:
    """Whether another workspace shows the very lineage: all of its runs, whole."""
    digests = _by_step(lineage)[1]
    wanted = {name: content.digest() + content.digest(content.metrics) for name, content in children.items()}
    for runs in whose.values():
        parent = runs.get(key)
        if parent is None or _digests(parent) != digests or not _ended(parent, lineage):
            continue
        found = {name: runs[name].data.tags.get(DIGEST) for name in wanted if name in runs}
        if found == wanted and all(_ended(runs[name], content) for name, content in children.items()):
            return True
    return False


def _parts(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _alike(shown: float, value: float) -> bool:
    """Whether a number is another but for the digits that a database may lack."""
    return math.isclose(shown, value, rel_tol=1e-12, abs_tol=1e-300) or (math.isnan(shown) and math.isnan(value))


def _ended(run: Any, content: Content) -> bool:
    said = all(run.data.tags.get(name, "") == value for name, value in content.ends.items())
    return said and run.info.status == _ending(content)


def _ends(run: Any | None, content: Content) -> dict[str, str]:
    """How a lineage has ended, in tags; of one that was taken up again why it had been stopped is taken back."""
    before = {} if run is None else run.data.tags
    return {name: value for name, value in content.ends.items() if value or name in before}


def _ending(content: Content) -> str:
    return "FAILED" if content.status == "diverged" else "FINISHED"
