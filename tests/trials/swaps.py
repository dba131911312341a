"""A whole file in another's place, with its hash: whoever reads it there has to say so, and to name it."""

import contextlib
import io
import json
import random
import shutil
from itertools import zip_longest
from pathlib import Path

from in_process import words_of

from collapselab import store
from collapselab.cli import run as frame
from collapselab.store.cells import Cell
from collapselab.study import jobs, verifying


def places(study):
    """noun -> the files of that kind that a study has, each once; for real data the ending stands for the noun."""
    found = {}
    for file in verifying.made_of(study):
        if "/report/" not in file and Path(file).exists():
            parsed = Cell.parse(file)
            found.setdefault(parsed[1] if parsed else "real", []).append(file)
    return found


def kinds(file, other):
    """In what two files' places differ: other study, arm, seed, generation; or that they are real data."""
    one, two = Cell.parse(file), Cell.parse(other)
    if one is None or two is None:
        return ["part"]
    return [name for name in Cell._fields if getattr(one[0], name) != getattr(two[0], name)]


def pairs(study, other_study=None):
    """Every two files of one kind with other bytes, as (place, what is put there, in what they differ).

    other_study: another folder of results with the same study under another name, from which files come, too.
    """
    for files in places(study).values():
        for file in files:
            for other in files:
                if other != file and store.recorded_hash(Path(other)) != store.recorded_hash(Path(file)):
                    yield file, other, kinds(file, other)
        for file in files if other_study else ():
            other = file.replace(f"results/{study.name}/", f"results/{other_study}/")
            if other != file and Path(other).exists():
                yield file, other, ["study"]


def readers(study):
    """file -> the jobs that read it: those whose command names it, and those that take rows by its training set."""
    found = {}
    for verb, place in jobs.every(study):
        reads = jobs.inputs(study, verb, place)
        if verb == "train":
            reads = [study.cell(*place.cell, "training.parquet"), *reads]
        words = " ".join(words_of(study, verb, place, "out"))
        for file in reads:
            if file in words or verb in ("train", "adapt", "report"):
                found.setdefault(file, []).append((verb, place))
    for file in verifying.made_of(study):
        if file.endswith(".cost.json"):
            found[file] = [("report", jobs.Place())]
    return found


def asked_of(trials, many, chance):
    """As many trials as are asked for: each kind of file with each reader has one before any has a second, and of
    each such pair all differences take turns.
    """
    groups = {}
    for one in trials:
        kinds_of = groups.setdefault((Path(one[0]).name, one[3][0]), {})
        kinds_of.setdefault(tuple(one[2]), []).append(one)
    queues = []
    for kinds_of in groups.values():
        for group in kinds_of.values():
            chance.shuffle(group)
        turns = zip_longest(*chance.sample(list(kinds_of.values()), len(kinds_of)))
        queues.append([one for turn in turns for one in turn if one is not None])
    return [one for turn in zip_longest(*queues) for one in turn if one is not None][:many]


def run(study, many, other_study=None, forgotten=False, unread=(), seed=0):
    """Swaps with every verb that reads the file, in the folder in which the study lies; a record a trial.

    forgotten: without what verbs have noted beside their files, as studies of earlier versions lie there. unread: verbs
    that are not tried.
    """
    read_by = readers(study)
    trials = [
        (file, other, kind, reader)
        for file, other, kind in pairs(study, other_study)
        for reader in read_by.get(file, ())
        if reader[0] not in unread
    ]
    out = Path("swapped").resolve()
    with unnoted() if forgotten else contextlib.nullcontext():
        for file, other, kind, (verb, place) in asked_of(trials, many, random.Random(seed)):
            with swapped(file, other):
                code, said = told(words_of(study, verb, place, str(out / "out.safetensors")))
            yield {
                "trial": "swap", "noun": Path(file).name, "verb": verb, "differs": kind, "file": file, "by": other,
                "forgotten": forgotten, "code": code, "named": file in said, "found": code == frame.EXIT_DAMAGED,
                "said": said.strip()[-600:],
            }  # fmt: skip
            shutil.rmtree(out, ignore_errors=True)


@contextlib.contextmanager
def unnoted():
    """Within it nothing is noted beside the files."""
    hidden = list(Path("results").rglob(".*.made"))
    for path in hidden:
        path.rename(f"{path}.hidden")
    try:
        yield
    finally:
        for path in hidden:
            Path(f"{path}.hidden").rename(path)


@contextlib.contextmanager
def swapped(file, other):
    """Within it the other file lies in the place, with its hash."""
    kept = {name: Path(name).read_bytes() for name in (file, f"{file}.sha256")}
    try:
        for end in ("", ".sha256"):
            Path(f"{file}{end}").unlink()
            shutil.copyfile(f"{other}{end}", f"{file}{end}")
        yield
    finally:
        for name, content in kept.items():
            Path(name).unlink(missing_ok=True)
            Path(name).write_bytes(content)
        Path(f"{file}.damaged").unlink(missing_ok=True)


def told(words):
    """The exit code of a verb in this process, and all that it says."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = frame.run(words)
    return code, said.getvalue()


def printed(records):
    """Records as JSON lines."""
    return "".join(json.dumps(one, sort_keys=True) + "\n" for one in records)
