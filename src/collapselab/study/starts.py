"""What trainings start from: weights in files, held against the models and the data of a study; and labels likewise.

Of a file its header is read, and no network is built: a study is read again by every job.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..core.ask import Ask
from ..core.kinds import NOUNS
from ..core.registry import usable
from ..features import FEATURES
from ..metrics import METRICS
from ..models import MODELS
from ..models.options import Options
from ..transforms import TRANSFORMS
from .faults import Fault, quoted
from .study import Study

HEADER_BYTES_MAX = 10_000_000  # of a file of weights
SIDES_MAX = 32  # of a shape
KIND_OF_SHAPE = {0: "categories", 1: "vectors", 2: "clips", 3: "images"}


def weights_fault(name: str, family: str) -> str:
    """What keeps a training from starting from a file; empty if nothing does. Only the file's header is read."""
    path = Path(name)
    try:
        if message := path_fault(name):
            return message
        if not path.is_file():
            return f"no such file: {name!r}"
        if not store.hash_path(path).is_file():
            beside = store.hash_path(path).name
            return f"{name!r} comes without its hash; allowed: a model of this program with {beside}"
        found = _said_in(path)["family"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"{name!r} is not a model of this program"
    return "" if found == family else f"{name!r} holds a {found!r} model; the arm's is {family!r}"


def path_fault(path: str) -> str:
    """What keeps the workflow from reading a file; empty if nothing does."""
    return (
        f"found {path!r}: a path has no braces, between which Snakemake looks for a wildcard"
        if {*"{}"} & {*path}
        else ""
    )


def unlike(name: str, model: str, study: Study, shape: tuple[int, ...] | None) -> str:
    """What the weights in a file are and the study is not: other options of their model, or other samples.

    Empty if nothing. shape: of the study's samples; None where nobody can say. A file without options is one of a
    closed form, which starts from nothing. Raises ValueError for a file that :func:`weights_fault` has not passed.
    """
    said = _said_in(Path(name))
    if "diverged" in (said.get("lineage") or {}):
        return f"{name!r} holds a training that diverged, and no weights"
    options = study.parsed_options(model)
    if options.of_weights():
        try:
            found = type(options).model_validate(said["options"]).of_weights()
        except (LookupError, ValueError, TypeError):
            return f"{name!r} holds a {said['family']!r} model of another version"
        asked = options.of_weights()
        differ = [key for key in {**found, **asked} if found.get(key) != asked.get(key)]
        if differ:
            has, says = (", ".join(f"{key}: {quoted(side.get(key))}" for key in differ) for side in (found, asked))
            return f"{name!r} has {has}; the model {model!r} says {says}: weights are of what they were made with"
    if shape is not None and said["shape"] is not None and said["shape"] != shape:
        resolution = f" (data: resolution: {said['shape'][1]})" if _same_but_size(said["shape"], shape) else ""
        found, there = _called(said["shape"], study.kind), _called(shape, study.kind)
        return f"{name!r} makes {found}; the study's data are {there}: allowed are data of the same shape{resolution}"
    return ""


CURES: dict[str, str] = {
    "images": "put them into a folder a class, or give them a dataset.json with labels",
    "audio": "put them into a folder a class, and say labels: folder",
}  # of data that have no labels


def _label_cure(study: Study) -> str:
    return CURES.get(study.kind, "choose data that have labels")


def label_faults(study: Study) -> Iterator[Fault]:
    """Parts that ask for labels which the study's images do not have."""
    asking = {name: study.model_options(name).get("classes", 0) for name in study.file.models}
    rare, learnt = study.file.data.rare, [name for name in study.extractors if _learns_classes(name)]
    if study.population_name is not None or not (any(asking.values()) or rare or learnt):
        return
    try:
        there = study.dataset.labelled()
    except (ValueError, OSError):
        return  # of images that cannot be read another fault tells
    noun = NOUNS[study.kind]
    found = f"the {noun} have labels 0 to {there - 1}" if there else f"the {noun} have no labels"
    cure = _label_cure(study)
    for name, classes in asking.items():
        if classes and classes < there:
            message = f"found {classes}, but {found}; allowed are {there} and more, or 0: without classes"
            yield Fault(("models", name, study.family(name), "classes"), message)
        elif classes and not there:
            message = f"found {classes}, but {found}: say classes: 0, or {cure}"
            yield Fault(("models", name, study.family(name), "classes"), message)
    for name in learnt if not there else []:
        able = (other for other, one in usable(FEATURES) if study.kind in one.takes and not one.statistic)
        others = [other for other in able if FEATURES[other].needs.through == "nothing"]
        where = ("extractors", study.measured_in.index(name)) if name in study.measured_in else ("arms",)
        yield Fault(where, f"{name!r} learns classes, but {found}: choose another ({' or '.join(others)}), or {cure}")
    if rare and max(rare) >= there:
        yield Fault(("data", "rare"), f"found the label {max(rare)}, but {found}" + ("" if there else f": {cure}"))


def unlabelled_faults(study: Study) -> Iterator[Fault]:
    """Metrics that read labels, of real rows that have none, or of samples of models that give none."""
    reading = [(index, one.name) for index, one in enumerate(study.file.metrics) if METRICS[one.name].labelled]
    if not reading:
        return
    if real := unlabelled_real(study):
        yield from (Fault(("metrics", index), f"{name!r} learns from labels, but {real}") for index, name in reading)
        return
    relabelled = {arm for arm, one in study.lineages.items() if any(TRANSFORMS[t.name].relabels for t in one.transform)}
    relabelled |= {arm for arm, one in study.lineages.items() if one.drawn_by}
    for model in dict.fromkeys(study.model_of(arm) for arm in study.lineages if arm not in relabelled):
        options, family = study.parsed_options(model), study.family(model)
        if not options.gives_labels():
            able = [name for name, one in usable(MODELS) if study.kind in one.takes and _may_label(one.Options)]
            cure = "say classes: and how many" if "classes" in type(options).model_fields else "take another family"
            relabel = ", or let the arm's transform be one that relabels" if study.kind == "images" else ""
            message = f"{reading[0][1]!r} learns from the labels of samples, and those of {family!r} have none here"
            yield Fault(("models", model), f"{message}: {cure}{relabel}; families that label: {', '.join(able)}")


def _may_label(options: Any) -> bool:
    return "classes" in options.model_fields or options.gives_labels is not Options.gives_labels


def unlabelled_real(study: Study) -> str:
    """Why the real rows have no labels; empty where they have some."""
    if study.population_name is None:
        try:
            there = study.dataset.labelled()
        except (ValueError, OSError):
            return ""  # of images that cannot be read another fault tells
        if there == 1:
            return f"the {NOUNS[study.kind]} are all of one class, which every classifier knows: add another class"
        return "" if there else f"the {NOUNS[study.kind]} have no labels: {_label_cure(study)}"
    if study.population.sample(Ask(1, 0)).labels is not None:
        return ""
    return f"{study.population_name!r} draws rows without any: take a population that says of which class a row is"


def _learns_classes(extractor: str) -> bool:
    known = dict(usable(FEATURES)).get(extractor)  # of one that is not, another fault tells
    return known is not None and known.needs.through == "learnt" and "classes" in known.gives


@cache
def _header(path: Path, size: int, changed_ns: int) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its arrays begin."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return json.loads(stream.read(min(length, HEADER_BYTES_MAX))), 8 + length


def _said_in(path: Path) -> Mapping[str, Any]:
    """The metadata of a model's file, and the ``shape`` of its samples; None where it says none.

    Raises ValueError, LookupError, TypeError, AttributeError or RecursionError for any other file.
    """
    status = path.stat()
    header, begin = _header(path, status.st_size, status.st_mtime_ns)
    said = dict(json.loads(header["__metadata__"][store.METADATA_KEY]))
    shape = None
    if "shape" in header:
        (first, last), kind = header["shape"]["data_offsets"], np.dtype(store.DTYPES[header["shape"]["dtype"]])
        if not 0 <= first <= last <= first + SIDES_MAX * kind.itemsize or kind.kind not in "iu":
            raise ValueError(f"{path}: found no sides in its shape")
        with path.open("rb") as stream:
            stream.seek(begin + first)
            shape = tuple(np.frombuffer(stream.read(last - first), kind).tolist())
    return {**said, "shape": shape}


def _same_but_size(found: tuple[int, ...], asked: tuple[int, ...]) -> bool:
    return len(found) == len(asked) == 3 and found[0] == asked[0] and found[1] == found[2]


def _called(shape: tuple[int, ...], kind: str) -> str:
    """Samples of a shape, in words. kind: that of the study, since sequences have the shape of vectors."""
    names = {**KIND_OF_SHAPE, 1: "sequences" if kind == "sequences" else "vectors"}
    return f"{names.get(len(shape), 'arrays')} of {' x '.join(map(str, shape)) or '1'}"
