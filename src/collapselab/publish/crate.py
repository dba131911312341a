"""A finished study as an RO-Crate 1.1 (Soiland-Reyes et al. 2022, https://doi.org/10.3233/DS-210053).

It keeps the profiles Process Run Crate and Workflow Run Crate 0.5 (Leo et al. 2024, https://arxiv.org/abs/2312.07852):
the Snakefile is the workflow, the run is an action with the study's file as its object, and what came out as results.
Written here by hand; the package ``rocrate`` reads it in the tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FILE = "ro-crate-metadata.json"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROCESS = "https://w3id.org/ro/wfrun/process/0.5"
PROFILES = {
    PROCESS: "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
MEDIA = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".html": "text/html",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".yaml": "application/yaml",
    ".cff": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
    ".png": "image/png",
    ".jsonl": "application/jsonl",
}
Json = dict[str, Any]


class File(NamedTuple):
    """A file of the crate. path: relative to its root. about: what it is."""

    path: str
    sha256: str
    size: int
    about: str = ""


class Set(NamedTuple):
    """A data set of the crate: a folder, ending in ``/``, and its files."""

    path: str
    name: str
    about: str
    files: Sequence[File]


class Run(NamedTuple):
    """What was run.

    study: its name. about: a sentence. author: who hands it on. licence: an address, or words. begun, ended: ISO 8601,
    empty where nobody knows. command: by which. software: name -> version. commit: of git. workflow: the path of the
    Snakefile in the crate. objects, results: the paths of what was read and made.
    """

    study: str
    about: str
    author: str
    licence: str
    published: str
    begun: str
    ended: str
    command: str
    software: Mapping[str, str]
    commit: str
    workflow: str
    objects: Sequence[str]
    results: Sequence[str]


def crate(run: Run, files: Sequence[File], sets: Sequence[Set]) -> Json:
    """The crate's metadata as JSON-LD, flat as the format wants it: an entity a file, a data set, a program, a run.

    Without a Snakefile among its files it keeps the profile of a run alone.
    """
    profiles = PROFILES if run.workflow else {PROCESS: PROFILES[PROCESS]}
    author = {"@id": "#author", "@type": "Organization", "name": run.author}
    top = [*(one.path for one in files), *(one.path for one in sets)]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"collapselab study {run.study}",
        "description": run.about,
        "datePublished": run.published,
        "license": {"@id": run.licence} if _is_address(run.licence) else run.licence,
        "author": {"@id": author["@id"]},
        "conformsTo": [{"@id": profile} for profile in profiles],
        **({"mainEntity": {"@id": run.workflow}} if run.workflow else {}),
        "mentions": [{"@id": "#run"}],
        "hasPart": [{"@id": path} for path in top],
    }
    descriptor = {
        "@id": FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    kept = [{"@id": one, "@type": "CreativeWork", "name": name} for one, name in profiles.items()]
    kept += [{"@id": run.licence, "@type": "CreativeWork", "name": run.licence}] if _is_address(run.licence) else []
    programs = [
        {"@id": f"#{name}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}
        for name, version in run.software.items()
    ]
    entities = [descriptor, root, *kept, author, *programs, *(_language(run) if run.workflow else ()), _action(run)]
    entities += [_file(one, run) for one in files]
    for one in sets:
        entities += [_set(one), *(_file(file, run) for file in one.files)]
    return {"@context": CONTEXT, "@graph": entities}


def _is_address(words: str) -> bool:
    return words.startswith(("https://", "http://"))


def _language(run: Run) -> list[Json]:
    url = {"@id": "https://snakemake.github.io"}
    named = {"name": "Snakemake", "url": url, "version": run.software.get("snakemake", "")}
    return [{"@id": "#snakemake-language", "@type": "ComputerLanguage", **named}]


def _action(run: Run) -> Json:
    times = {name: value for name, value in (("startTime", run.begun), ("endTime", run.ended)) if value}
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of the study {run.study}",
        "description": f"{run.command}; source at commit {run.commit or 'not known to collapselab'}",
        "instrument": {"@id": run.workflow or "#collapselab"},
        "agent": {"@id": "#author"},
        "object": [{"@id": path} for path in run.objects],
        "result": [{"@id": path} for path in run.results],
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        **times,
    }


def _file(file: File, run: Run) -> Json:
    suffix = f".{file.path.rpartition('.')[2]}"
    entity = {
        "@id": file.path,
        "@type": "File",
        "name": file.path.rpartition("/")[2],
        "contentSize": str(file.size),
        "sha256": file.sha256,
    }
    entity |= {"description": file.about} if file.about else {}
    entity |= {"encodingFormat": MEDIA[suffix]} if suffix in MEDIA else {}
    if file.path != run.workflow:
        return entity
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    used = [{"@id": f"#{name}"} for name in run.software]
    language = {"programmingLanguage": {"@id": "#snakemake-language"}, "softwareRequirements": used}
    return entity | {"@type": kinds, "version": run.commit or run.software.get("collapselab", "")} | language


def _set(one: Set) -> Json:
    parts = [{"@id": file.path} for file in one.files]
    return {"@id": one.path, "@type": "Dataset", "name": one.name, "description": one.about, "hasPart": parts}
