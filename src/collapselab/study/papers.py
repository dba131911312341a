"""The studies after published papers: where they lie, and at which size the gallery runs them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..core.shipped import shipped
from . import reasons
from .faults import BadStudy, Fault, unknown
from .loading import STUDIES, file_of
from .reading import parse
from .study import Study
from .toys import SUFFIX

FOLDER = STUDIES / "papers"
FIELD = "field.csv"  # the index of the field: its rows, their studies, and what is missing


def places() -> list[Path]:
    """The folders in which they lie: the folder's own first, and those that come with the package."""
    return [folder for folder in (FOLDER, shipped(STUDIES.name) / FOLDER.name) if folder.is_dir()]


def names() -> list[str]:
    """All that say what their paper claims, in order."""
    found = {path.stem: path for folder in reversed(places()) for path in folder.glob("*.yaml")}
    return [name for name in sorted(found) if _says_so(found[name])]


def _says_so(path: Path) -> bool:
    """Whether a study has a paper; what cannot be read as YAML counts, so that its fault is told and not passed over.

    The top alone is asked, in a millisecond: whoever completes a name in a shell waits for all of them.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return True
    return isinstance(root, yaml.MappingNode) and any(key.value == "paper" for key, _ in root.value)


def chosen(wanted: Sequence[str]) -> list[str]:
    """The ones that are wanted; all where none is named. Raises BadStudy for names that are none."""
    there = names()
    faults = [Fault((), unknown(name, there, "paper")) for name in wanted if name not in there]
    if faults:
        raise BadStudy(FOLDER, faults)
    return list(wanted) or there


def small(name: str) -> str:
    """What the gallery runs of a study: its toy where it has one, else the study, which is small enough."""
    path = FOLDER / f"{name}.yaml"
    raw, _, _ = parse(file_of(str(path)))
    return str(path.with_stem(f"{name}{SUFFIX}") if raw.get("toy") is not None else path)


def arms_of(study: Study) -> str:
    """How many arms a study has, in words, those included that were added to compare them with."""
    arms = len(study.lineages)
    beside = " with their controls" if arms > len(study.file.arms) else ""
    return f"{arms} arm{'s' * (arms != 1)}{beside}"


def size(study: Study) -> str:
    """How large a study is, in words."""
    last = study.file.generations
    whole = f"{arms_of(study)}, {study.file.seeds:,} seeds, {last} generation{'s' * (last != 1)}"
    models = ", ".join(sorted({f"`{one.name}`" for one in study.file.models.values()}))
    return f"`{study.name}`: {whole}; models {models} of `{study.origin.name}`"


def why(study: Study, planned: str) -> str:
    """What of a study would run for its records, and why, by the dry run of its workflow."""
    counted: Counter[str] = Counter()
    for rule, causes in reasons.causes(planned, reasons.remembered(), reasons.sources(study)).items():
        if rule not in ("all", "report", "track"):  # of which the gallery needs none
            counted += causes
    return "; ".join(f"{count} jobs: {cause}" for cause, count in counted.most_common()) or "nothing to be done"


def field() -> str:
    """The index of the field, as its table says it."""
    return next(folder / FIELD for folder in places() if (folder / FIELD).exists()).read_text(encoding="utf-8")
