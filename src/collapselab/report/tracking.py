"""The mirror to MLflow: a study's records as runs to look at and compare. The only module that imports mlflow.

A study is an experiment. A lineage (one arm, one seed) is a parent run whose metrics have ``step = generation``, which
draws the collapse curves; a generation is a child run with its training curve, parameters, hashes and sample grid.
MLflow shows no deeper nesting, and its filters and its compare view look at one level at a time: so arm, seed and
parameters stand on both.

The files are the record. Runs are found by tag, never by a saved id; each carries a digest of what it shows, written
last. So a second call changes nothing, a new generation is added to its lineage, and a run that shows something else
than the files, was interrupted, or has no file any more is deleted (and made again). MLflow keeps deleted runs aside.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

Record = Mapping[str, Any]
Cell = tuple[str, int, int]
"""arm, seed, generation"""

Point = tuple[str, float, int]
"""key, value, step"""

KEY, DIGEST = "collapselab.key", "collapselab.digest"
PARENT = "mlflow.parentRunId"  # MLflow's own tag for a child
LOCK_SECONDS = 600  # how long one process waits for another that tracks
BATCH, FEW = 800, 100  # metrics, and parameters or tags, in one call; MLflow takes 1000 of all and 100 of these


class TrackingError(Exception):
    """MLflow could not be written. The files are whole; tracking can be repeated alone."""


class Locked(TrackingError):
    """Another process has been writing for too long."""


@dataclass(frozen=True)
class Tracked:
    """What a call did to the runs of an experiment, in numbers of runs."""

    experiment: str
    created: int
    extended: int
    unchanged: int
    deleted: int


@dataclass(frozen=True)
class Content:
    """What one run shows. status: ok or diverged. picture: a PNG."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Sequence[Point]
    status: str
    picture: bytes | None = None

    def digest(self, metrics: Iterable[Point] | None = None) -> str:
        """A hash of everything but the metrics, or of some metrics alone."""
        shown = list(metrics) if metrics is not None else [self.name, dict(self.tags), dict(self.params)]
        picture = hashlib.sha256(self.picture or b"").hexdigest() if metrics is None else ""
        return hashlib.sha256(json.dumps([shown, picture], sort_keys=True).encode()).hexdigest()[:16]


def default_uri(root: Path) -> str:
    """``MLFLOW_TRACKING_URI``, or ``mlflow.db`` at the project's root, where ``mlflow ui`` finds it.

    The root is named from where the process stands if its own path has signs that mean something else in an address.
    """
    named = Path(root).resolve()
    if {*"?#%&;"} & {*str(named)}:
        named = Path(os.path.relpath(named))
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{named / 'mlflow.db'}"


def track(
    study: str,
    records: Sequence[Record],
    *,
    root: Path = Path(),
    uri: str | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    curves: Mapping[Cell, tuple[np.ndarray, np.ndarray]] | None = None,
    pictures: Mapping[Cell, bytes] | None = None,
    note: str = "",
) -> Tracked:
    """Make the experiment of a study show its records, and say what was done.

    root: the project, whose ``mlflow.db`` and ``mlartifacts`` are the default store. params: arm -> its options, flat.
    curves: cell -> (images seen, loss) of its training. pictures: cell -> a PNG of its sample grid. note: the text
    above the experiment's runs. One process at a time writes; others wait for a file lock.

    Raises TrackingError when MLflow is missing, unreachable, locked for too long or unwilling.
    """
    import filelock

    uri = uri or default_uri(root)
    lineages = _lineages(records, params or {}, curves or {}, pictures or {})
    local = re.match(r"sqlite:///([^?;]+)", uri)
    database = Path(local[1]) if local else Path(root) / "mlflow"
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{database}.lock", timeout=LOCK_SECONDS):
            return _Mirror(uri, study, Path(root), note).show(lineages)
    except filelock.Timeout:
        held = f"another process has held {database}.lock for {LOCK_SECONDS} s"
        raise Locked(f"MLflow at {address(uri)}: {held}") from None
    except Exception as error:  # whatever goes wrong in a mirror must not end a study
        first_line = (str(error).splitlines() or [""])[0]
        said = f"MLflow at {address(uri)}: {type(error).__name__}: {without_secrets(first_line, uri)}"
        raise TrackingError(said) from None  # the error itself may hold what was taken out


def address(uri: str) -> str:
    """Of an address its scheme and host alone, or its scheme and file: what is said of it is shown to others.

    Users, passwords and tokens stand before the host or behind it, in as many forms as there are stores; where it
    cannot be told what is the host, it is not shown.
    """
    scheme, parted, rest = uri.partition("://")
    if not parted:
        return re.split("[?;]", uri)[0] if re.fullmatch(r"[\w./ ~-]*", re.split("[?;]", uri)[0]) else "an address"
    if not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        return "an address"
    if rest.startswith("/"):
        return f"{scheme}://{re.split('[?;]', rest)[0]}"
    authority = re.split(r"[/?#;\s]", rest)[0]
    host = authority.rpartition("@")[2]
    known = re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", host)
    unclear = "@" not in authority and "@" in rest
    return f"{scheme}://{host}" if known and not unclear else f"{scheme}://…"


def without_secrets(text: str, uri: str) -> str:
    """What an error says, with addresses cut as by :func:`address`; nothing of it where it quotes a part of ``uri``."""
    text = text.replace(uri, address(uri))
    written = (uri.removeprefix(address(uri)), unquote(uri).removeprefix(address(uri)))
    parts = (part for one in written for part in re.split(r"[\s/?#;&=:@,'\"]+", one))
    hidden = {part for part in parts if len(part) > 2 and part not in address(uri)}
    if any(part in text for part in hidden):
        return "(what it says is left out: it quotes the address)"
    return re.sub(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+", lambda found: address(found[0]), text)


# -- what the runs show ------------------------------------------------------------------------------------------------


def _lineages(
    records: Sequence[Record],
    params: Mapping[str, Mapping[str, Any]],
    curves: Mapping[Cell, tuple[np.ndarray, np.ndarray]],
    pictures: Mapping[Cell, bytes],
) -> dict[str, tuple[Content, dict[str, Content]]]:
    """Key -> the run of a lineage and those of its generations by key, in the order of arm, seed, generation."""
    grouped: dict[tuple[str, int], list[Record]] = {}
    for record in sorted(records, key=lambda record: (record["arm"], record["seed"], record["generation"])):
        grouped.setdefault((record["arm"], record["seed"]), []).append(record)
    found = {}
    for (arm, seed), cells in grouped.items():
        options = {name: _text(value) for name, value in params.get(arm, {}).items()}
        options |= {"arm": arm, "seed": str(seed)}
        status = "diverged" if any(cell["status"] == "diverged" for cell in cells) else "ok"
        tags = {"arm": arm, "seed": str(seed), "level": "lineage"}
        metrics = [metric for cell in cells for metric in _metrics(cell)]
        lineage = Content(f"{arm} seed {seed}", tags, options, metrics, status)
        children = {}
        for cell in cells:
            generation = cell["generation"]
            place = (arm, seed, generation)
            seen, loss = curves.get(place, ((), ()))
            curve = [("train/loss", float(y), int(x)) for x, y in zip(seen, loss, strict=True) if np.isfinite(y)]
            lineage_hashes = (cell.get("lineage") or {}).items()
            hashes = {f"lineage.{noun}": sha for noun, sha in lineage_hashes if not noun.startswith("parent ")}
            eaten = "; ".join(f"{p['count']} {p['arm']} gen {p['generation']}" for p in cell.get("composition") or ())
            child_tags = tags | hashes | {"level": "generation", "generation": str(generation)}
            children[f"{arm}/seed{seed}/gen{generation}"] = Content(
                name=f"gen {generation}",
                tags=child_tags | {"status": cell["status"], "composition": eaten[:4000]},
                params=options | {"generation": str(generation)},
                metrics=[*_metrics(cell), *curve],
                status=cell["status"],
                picture=pictures.get(place),
            )
        found[f"{arm}/seed{seed}"] = (lineage, children)
    return found


def _metrics(cell: Record) -> list[Point]:
    """``lenet/recall``, ``lenet_raw/recall``, ``lenet_class_histogram/3``: MLflow groups charts by what precedes /."""
    found = []
    for entry in cell["values"]:
        if entry["value"] is not None:
            group = entry["extractor"] + ("" if entry["set"] == "sampled" else f"_{entry['set']}")
            metric, _, part = entry["metric"].partition(".")
            key = f"{group}_{metric}/{part}" if part else f"{group}/{metric}"
            found.append((key, float(entry["value"]), int(cell["generation"])))
    return found


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str))[:6000]


# -- MLflow ------------------------------------------------------------------------------------------------------------


class _Mirror:
    """One experiment of one MLflow store, held by one process at a time."""

    def __init__(self, uri: str, study: str, root: Path, note: str):
        # Before the import, which reads them. MLflow logs tracebacks of errors that are reported here in one line; a
        # server that does not answer should say so within seconds.
        for name, setting in {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_LOGGING_LEVEL": "CRITICAL",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        }.items():
            os.environ.setdefault(name, setting)
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        self.study = study
        self.counts = dict.fromkeys(("created", "extended", "unchanged", "deleted"), 0)
        experiment = self.client.get_experiment_by_name(study)
        if experiment is None:
            # A store without a server would put artifacts under the current folder; a server has its own place.
            folder = (
                (root / "mlartifacts" / study).resolve().as_uri() if "://" in uri and uri.startswith("sqlite") else None
            )
            self.experiment = self.client.create_experiment(study, artifact_location=folder)
        else:
            self.experiment = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self.client.restore_experiment(self.experiment)
        # MLflow 3 sorts experiments by kind, and takes one without for a collection of language-model traces.
        self.client.set_experiment_tag(self.experiment, "mlflow.experimentKind", "custom_model_development")
        if note:
            self.client.set_experiment_tag(self.experiment, "mlflow.note.content", note)

    def show(self, lineages: Mapping[str, tuple[Content, Mapping[str, Content]]]) -> Tracked:
        runs = self._runs()
        for key, (lineage, children) in lineages.items():
            parent = self._lineage(runs.pop(key, None), key, lineage)
            for child_key, child in children.items():
                self._generation(runs.pop(child_key, None), child_key, child, parent)
        for run in runs.values():
            self._delete(run)
        return Tracked(self.study, **self.counts)

    def _runs(self) -> dict[str, Any]:
        """The runs of the experiment that are ours, by key; of two with one key the older is deleted."""
        found: dict[str, Any] = {}
        for run in self._search():
            key = run.data.tags.get(KEY)
            if key in found:
                self._delete(run)
            elif key is not None:
                found[key] = run
        return found

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
        by_step: dict[str, list[Point]] = {}
        for metric in content.metrics:
            by_step.setdefault(f"{DIGEST}.{metric[2]}", []).append(metric)
        digests = {name: content.digest(metrics) for name, metrics in by_step.items()}
        digests[DIGEST] = content.digest()
        shown = {} if run is None else {tag: value for tag, value in run.data.tags.items() if tag.startswith(DIGEST)}
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
        self._log(run_id, metrics, content.params, new | {"status": content.status})
        self._finish(run_id, content)
        return run_id

    def _generation(self, run: Any | None, key: str, content: Content, parent: str) -> None:
        digest = content.digest() + content.digest(content.metrics)
        if run is not None:
            same = (run.data.tags.get(DIGEST), run.data.tags.get(PARENT)) == (digest, parent)
            if same and _ended(run, content) and self._shows(run, content):
                self.counts["unchanged"] += 1
                return
            self._delete(run)
        run_id = self._create(key, content, {PARENT: parent})
        if content.picture:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "samples.png"
                path.write_bytes(content.picture)
                self.client.log_artifact(run_id, str(path))
        self._log(run_id, content.metrics, content.params, {DIGEST: digest})
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
        tags = {**content.tags, KEY: key, **(more or {})}
        return self.client.create_run(self.experiment, run_name=content.name, tags=tags).info.run_id

    def _finish(self, run_id: str, content: Content) -> None:
        self.client.set_terminated(run_id, _ending(content))

    def _delete(self, run: Any) -> None:
        self.client.delete_run(run.info.run_id)
        self.counts["deleted"] += 1

    def _log(self, run_id: str, metrics: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Parameters and metrics, then tags, so that a digest never stands for what is not there."""
        from mlflow.entities import Metric, Param, RunTag

        # The time is the step's, not the clock's: a point logged twice is then one point.
        points = _parts([Metric(key, value, 1000 * step, step) for key, value, step in metrics], BATCH)
        options = _parts([Param(name, value) for name, value in params.items()], FEW)
        marks = _parts([RunTag(name, value) for name, value in tags.items()], FEW)
        # Each call costs MLflow several commits, so a call takes what it can; within one, tags come last.
        calls = [{"params": few, "metrics": many} for few, many in zip_longest(options, points, fillvalue=())] or [{}]
        calls[-1]["tags"] = marks[0] if marks else ()
        for call in (*calls, *({"tags": few} for few in marks[1:])):
            self.client.log_batch(run_id, **call)


def _parts(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _alike(shown: float, value: float) -> bool:
    """Whether a number is another but for the digits that a database may lack."""
    return math.isclose(shown, value, rel_tol=1e-12, abs_tol=1e-300) or (math.isnan(shown) and math.isnan(value))


def _ended(run: Any, content: Content) -> bool:
    return run.info.status == _ending(content)


def _ending(content: Content) -> str:
    return "FAILED" if content.status == "diverged" else "FINISHED"
