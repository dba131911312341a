"""A study handed on as one folder: sample sets with their descriptions, what was found, and what made it."""

import shutil
from pathlib import Path
from typing import NamedTuple

from .. import __version__, store
from ..core.progress import counted
from ..core.sets import SampleSet
from ..core.shipped import shipped
from ..data.export import SUMS
from ..data.export import put_file as put
from ..data.formats import FORMATS, Given
from ..data.signing import Signer
from ..machine.revision import revision
from . import citation, crate, croissant, sayings
from .document import markdown, page
from .dossier import dossier
from .files import json_text, licence_address
from .known import Known
from .parts import Part, Wanted, parts

REPORT, WORKFLOW, STUDY = "report", "workflow", "study.yaml"
NOBODY = "whoever publishes it (not known to collapselab)"
NO_LICENCE = "not known to collapselab: whoever publishes it says the licence"


class Written(NamedTuple):
    """What an export has. passed: names of sets that are not there, or of lineages that diverged, and have none."""

    sets: int
    samples: int
    passed: list[str]


def write(known: Known, wanted: Wanted, out: Path, file: Path, today: str, signer: Signer | None = None) -> Written:
    """Write the export at ``out``, in one step. file: of the study. today: YYYY-MM-DD."""
    written = Written(0, 0, [])

    def fill(folder: Path) -> None:
        nonlocal written
        sets, samples, passed = [], 0, []
        for part in counted(list(parts(known, wanted)), "sets"):
            pool = part.load() if part.path.exists() else None
            if pool is None or pool.kind is None:
                passed.append(part.name)
                continue
            sets.append(_data(known, part, pool, wanted.form, folder, today, signer))
            samples += len(pool)
        _beside(known, folder, file, today)
        _described(known, folder, sets, wanted, today)
        written = Written(len(sets), samples, passed)

    store.write_folder_atomically(out, fill)
    return written


# -- data --------------------------------------------------------------------------------------------------------------


def _data(
    known: Known, part: Part, pool: SampleSet, form: str, folder: Path, today: str, signer: Signer | None
) -> crate.Set:
    """Write one sample set with its Croissant; what the crate says of it."""
    suffix = FORMATS[form].suffix
    target = folder / part.folder / part.file(suffix) if suffix else folder / part.folder
    target.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[form].write(Given(pool, part.origin(pool), signer), target)
    about = _about(known, part, pool, today)
    beside = folder / part.folder / croissant.FILE
    put(beside, json_text(croissant.croissant(about, form, target, pool)))
    files = [_file(one, folder) for one in sorted((folder / part.folder).rglob("*")) if one.is_file()]
    return crate.Set(f"{part.folder}/", about.name, about.description, files)


def _about(known: Known, part: Part, pool: SampleSet, today: str) -> croissant.About:
    study, answers = known.study, known.answers
    inputs = pool.lineage.get("inputs", {})
    cite = f"{study.name}, {part.name}: made with collapselab {__version__}"
    if part.cell is None:
        about = f"{len(pool):,} real {pool.kind} of {sayings.source(known)}: the part {part.path.stem}"
        licence, made = known.answers.sources.licence or known.rights.licence, sayings.split(known)
        limits = "whatever their publisher says"
    else:
        cell = part.cell
        where = f"generation {cell.generation} of the arm {cell.arm}, seed {cell.seed}, of the study {study.name}"
        about = f"{len(pool):,} {pool.kind} that a {study.family(study.model_of(cell.arm))} model made: {where}."
        made = f"sampled from a model; {sayings.synthetic(known)}"
        licence = answers.system.licence or ""
        limits = "made to study model collapse: samples of later generations are meant to be worse than real data"
    return croissant.About(
        name=f"{study.name}-{part.name}",
        description=about,
        licence=licence_address(licence) or NO_LICENCE,
        creator=answers.provider.name or NOBODY,
        version=answers.system.version or "1.0.0",
        published=today,
        cite=cite,
        keywords=("model collapse", "synthetic data" if part.cell else "real data"),
        address=known.rights.address,
        made=made,
        kind="Software Collection" if part.cell else "Others",
        people=sayings.people(known),
        limits=limits,
        origins=[f"{path} (SHA-256 {digest})" for path, digest in inputs.items()],
    )


def _file(path: Path, folder: Path, about: str = "") -> crate.File:
    return crate.File(path.relative_to(folder).as_posix(), store.content_hash(path), path.stat().st_size, about)


# -- beside the data ---------------------------------------------------------------------------------------------------


def _beside(known: Known, folder: Path, file: Path, today: str) -> None:
    """What was asked, what was found, by which workflow, and the dossier."""
    study = known.study
    shutil.copyfile(file, folder / STUDY)
    report = Path(study.report_file(""))
    for path in sorted(one for one in report.rglob("*") if one.is_file() and not one.name.startswith(".")):
        if path.suffix != ".sha256":
            put(folder / REPORT / path.relative_to(report), path.read_bytes())
    ours = shipped(WORKFLOW)
    for path in sorted(one for one in ours.rglob("*") if one.is_file() and "__pycache__" not in one.parts):
        put(folder / WORKFLOW / path.relative_to(ours), path.read_bytes())
    document = dossier(known, today)
    put(folder / "dossier.md", markdown(document).encode())
    put(folder / "dossier.html", page(document).encode())
    commit, _ = revision()
    answers = known.answers
    cited = citation.Cited(
        title=answers.system.name or f"Samples of the collapselab study {study.name}",
        abstract=study.file.question or f"Sample sets of the study {study.name}, generation by generation.",
        version=answers.system.version or "1.0.0",
        commit=commit,
        released=today,
        authors=tuple(answers.provider.authors) or (answers.provider.name or NOBODY,),
        licence=answers.system.licence or "",
        keywords=("model collapse", "synthetic data", "generative models"),
    )
    put(folder / "CITATION.cff", citation.cff(cited, known.citation, known.rights).encode())


def _described(known: Known, folder: Path, sets: list[crate.Set], wanted: Wanted, today: str) -> None:
    """The card, the crate's metadata, and the hashes of all files."""
    from ..report.made import software  # brings what charts need

    put(folder / "README.md", _card(known, sets, wanted).encode())
    inside = {file.path for one in sets for file in one.files}
    every = [one for one in sorted(folder.rglob("*")) if one.is_file()]
    files = [_file(one, folder) for one in every if one.relative_to(folder).as_posix() not in inside]
    commit, changed = revision()
    begun, ended = known.period
    results = [*(one.path for one in sets), *(one.path for one in files if one.path.startswith(f"{REPORT}/"))]
    run = crate.Run(
        study=known.study.name,
        about=known.study.file.question or f"The collapselab study {known.study.name}.",
        author=known.answers.provider.name or NOBODY,
        licence=licence_address(known.answers.system.licence or "") or NO_LICENCE,
        published=today,
        begun=begun,
        ended=ended,
        command=f"snakemake --config study={known.study.name}"
        + (", of a working copy with changes that are not committed" if changed else ""),
        software=software(),
        commit=commit,
        workflow=f"{WORKFLOW}/Snakefile",
        objects=[STUDY],
        results=results,
    )
    put(folder / crate.FILE, json_text(crate.crate(run, files, sets)))
    listed = [*(file for one in sets for file in one.files), *files, _file(folder / crate.FILE, folder)]
    lines = sorted(f"{one.sha256}  {one.path}\n" for one in listed)
    put(folder / SUMS, "".join(lines).encode())


def _card(known: Known, sets: list[crate.Set], wanted: Wanted) -> str:
    """README.md, as the Hub of Hugging Face shows it: a header with the files of each arm, and what is here."""
    study, licence = known.study, (known.answers.system.licence or "other").lower()
    arms = dict.fromkeys(one.path.split("/")[1] for one in sets)
    header = ["---", f"license: {licence}", "tags: [synthetic, model-collapse]"]
    if wanted.form == "parquet":
        header.append("configs:")
        header += [f"- config_name: {arm}\n  data_files: data/{arm}/**/*.parquet" for arm in arms]
    rows = [f"| `{one.path}` | {one.about} |" for one in sets]
    text = [
        f"# Samples of the collapselab study {study.name}",
        study.file.question,
        "Every set is described in Croissant (`croissant.json`), the whole in RO-Crate (`ro-crate-metadata.json`); "
        "`dossier.html` says where the data come from, `sha256sum -c SHA256SUMS` checks every file.",
        "\n".join(["| set | what it is |", "|---|---|", *rows]),
    ]
    return "\n".join([*header, "---", ""]) + "\n\n".join(part for part in text if part) + "\n"
