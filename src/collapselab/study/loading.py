"""A study, read and checked at the edge: all faults are reported together, before any work.

Whatever passes :func:`load` is right: nothing behind it checks again. What a study says in words (the name of a
regime, a preset, an extractor) is resolved here against the registries.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.naming import asked, nearest
from ..core.shipped import shipped
from . import crossing, from_pictures, prevention, sampled, toys
from .arms import eaten_faults, fairness_faults, lineage_faults, supply_faults
from .checks import (
    choice_faults,
    data_faults,
    entry_faults,
    fit_faults,
    kind_faults,
    measured_faults,
    name_faults,
)
from .choices import as_said
from .claimed import claim_faults
from .controls import size_faults
from .drawn import drawn_faults
from .faults import BadStudy, Fault, validated
from .file import STUDY_NAME_PATTERN, StudyFile
from .judged import people_faults
from .late import late_faults
from .marking import marking_faults
from .planting import planting_faults
from .presets import regimes
from .reading import called, parse
from .starts import label_faults, unlabelled_faults
from .stopping import stop_faults
from .streams import stream_faults
from .study import Study
from .sweep import Sweep, expanded
from .unsuited import together_faults, unsuited_faults
from .worded import vocabulary_faults

STUDIES = Path("config")  # where a study lies that is called by its name; what is not there may come with the package


def load(path: Path) -> Study:
    """The study in a file, or its toy (``toys``). Raises BadStudy with every fault that was found."""
    path = Path(path)
    raw, lines, faults = toys.read(path)
    study, more = check(raw, path.stem)
    told = {fault.path for fault in faults}
    faults += [fault for fault in more if fault.path not in told]
    if study is not None and not faults:  # files are looked at once, and not in every job that is planned
        faults += from_pictures.size_faults(study)
    if faults:
        raise BadStudy(path, faults, lines)
    return study


def find(name: str) -> Study:
    """The study of a name, which is that of a file under ``config/``, or of a YAML file, which may lie anywhere.

    Names, paths and results are those of the folder in which one calls, for every verb and for the workflow alike; the
    results of a study lie under ``results/NAME``, where NAME is its file's. Raises BadStudy with every fault.
    """
    return load(file_of(name))


def file_of(name: str) -> Path:
    """The file of such a study: the folder's own where there is one, else that which comes with the package, if any.

    Raises BadStudy for what can be no study's name.
    """
    path = Path(name)
    is_file = path.suffix in (".yaml", ".yml")
    if not is_file and not re.fullmatch(STUDY_NAME_PATTERN, name):
        known = called()
        hint = asked(known[one] for one in nearest(Path(name).stem, known))
        found = f"found {name!r}{hint}; allowed is the name of a study in {STUDIES}/, or a YAML file"
        raise BadStudy(STUDIES, [Fault((), found)])
    path = path if is_file else STUDIES / f"{name}.yaml"
    if path.parts[0] != STUDIES.name or toys.base(path).exists():
        return path
    ours = shipped(STUDIES.name).joinpath(*path.parts[1:])
    return ours if toys.base(ours).is_file() else path


def of_workflow(said: Mapping[str, Any]) -> Study:
    """The study that ``snakemake --config study=NAME`` names, or ``study=FILE``; quickstart where nothing is said.

    Raises BadStudy, too, where anything else is said: options of a study stand in its file alone.
    """
    call = "say snakemake --config study=NAME, or study=FILE, and the rest in that file"
    if unknown := [key for key in said if key != "study"]:
        listed = ", ".join(map(repr, unknown))
        raise BadStudy(Path("--config"), [Fault((), f"found {listed}; the one key allowed is study: {call}")])
    name = said.get("study", "quickstart")
    if not isinstance(name, str) or not name:
        raise BadStudy(Path("--config"), [Fault(("study",), f"found {name!r}; allowed is a study's name: {call}")])
    return find(name)


def written_in(folder: Path) -> list[Study]:
    """The studies whose files lie in a folder, whether or not their data are there; small copies (``-smoke``) are left
    out. Raises BadStudy for a file that says no study.
    """
    return [_said_in(path) for path in sorted(folder.glob("*.yaml")) if not path.stem.endswith("-smoke")]


def all_written_in(folder: Path) -> list[Study]:
    """All studies in a folder and below it, small copies too. Raises BadStudy for a file that says no study."""
    return [_said_in(path) for path in sorted(folder.rglob("*.yaml"))]


def _said_in(path: Path) -> Study:
    raw, lines, faults = parse(path)
    study, more = check(raw, path.stem)
    if study is None or faults:
        raise BadStudy(path, [*faults, *more], lines)
    return study


def from_plan(text: str) -> Study:
    """The study that a rule handed on as JSON (see ``Study.plan``): the file may have changed since."""
    raw = json.loads(text)
    study, faults = check(raw, raw["name"])
    if faults:
        raise BadStudy(Path(f"{raw['name']}.yaml"), faults)
    return study


def check(raw: dict[str, Any], stem: str) -> tuple[Study | None, list[Fault]]:
    """The study that a file says, None where it says none, and its faults. stem: the file's name without .yaml."""
    sweep = expanded(raw)
    study, found = _checked(sweep, stem)
    if sweep.faults:  # the study is not the one that is meant
        told = {fault.path for fault in sweep.faults}  # where it has spoken others know less
        found = [one for one in found if one.path[:1] != ("sweep",) and sweep.as_typed(one).path not in told]
        study, found = None, [*found, *sweep.faults]
    found = [*found, *toys.idle(raw)] or _toy_faults(raw)
    return study, list(dict.fromkeys(sweep.as_typed(fault) for fault in found))


def _checked(sweep: Sweep, stem: str) -> tuple[Study | None, list[Fault]]:
    raw = dict(sweep.raw)
    shape: list[Fault] = []
    file = validated(StudyFile, raw, (), shape)
    faults = [*name_faults(raw, stem)]
    absent = choice_faults(raw, faults)
    found = regimes(raw, faults)
    told = {fault.path for fault in faults}  # who knows the registry has the better words
    shape = [as_said(fault, raw) for fault in shape]
    faults = [*(fault for fault in shape if fault.path not in told), *faults]
    if file is not None and _about_measures(faults):
        faults += size_faults(file, found)
    if file is None or not _about_measures(faults):
        return None, [*faults, *absent]
    study = Study(file, found, sweep)
    faults += [*late_faults(raw, file.generations), *entry_faults(study), *drawn_faults(study, not absent)]
    if any(fault.path[:1] == ("arms",) for fault in faults):
        return study, list(dict.fromkeys(as_said(fault, raw) for fault in [*faults, *absent]))
    if not faults:
        faults += [*kind_faults(study), *measured_faults(study), *marking_faults(study), *unsuited_faults(study)]
        faults += unlabelled_faults(study) if not absent else []
        faults += [
            *vocabulary_faults(study),
            *sampled.faults(study),
            *people_faults(study),
            *together_faults(study),
            *stop_faults(study),
            *claim_faults(study),
        ]
    measured = not any(fault.path[:1] == ("extractors",) for fault in faults)
    faults += crossing.faults(file)
    faults += [
        *data_faults(study, not absent),
        *planting_faults(study, not absent, measured),
        *lineage_faults(study, not absent),
        *eaten_faults(study),
    ]
    faults += label_faults(study) if not absent else []
    faults += [*stream_faults(study, not absent)]
    # The control's size follows from the arms', so their faults come first.
    if _about_measures(faults):
        faults += [*supply_faults(study), *fairness_faults(study), *prevention.faults(study)]
    if not faults:
        faults += fit_faults(study)
    return study, list(dict.fromkeys(as_said(fault, raw) for fault in [*faults, *absent]))


def _toy_faults(raw: dict[str, Any]) -> list[Fault]:
    """What is wrong with the small study that a study has, at the keys by which it differs."""
    if not isinstance(raw.get("toy"), dict):
        return []
    name = f"{raw['name']}{toys.SUFFIX}"
    _, faults = check(toys.toy(raw, name), name)
    return [Fault(("toy", *fault.path), f"in {name}: {fault.message}") for fault in faults]


def _about_measures(faults: list[Fault]) -> bool:
    """Whether all faults concern what is measured, so that the arms can be checked all the same."""
    return all(fault.path[:1] in (("name",), ("extractors",), ("metrics",), ("primary",)) for fault in faults)
