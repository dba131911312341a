"""A study run in this process by the verbs that its rules call: seconds where processes of their own take minutes."""

import shlex
from pathlib import Path

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.sets import Ballots
from collapselab.study import jobs, verifying
from collapselab.study.judged import closed_round

COMMANDS = {"sample_raw": "sample", "sample_marked": "sample", "grid": "sample", "extract_real": "extract"}
"""verb of a job -> the one that its rule calls, where that has another name."""
UNASKED = ("prepare", "populate", "report", "track")  # which know where they write
MARKED = ("train", "adapt", "auxiliary")  # which leave a marker where they diverge


def in_order(study):
    """The jobs of a study but its report and its mirror, each after those whose files it reads or waits for."""
    waiting = [one for one in jobs.every(study) if one[0] not in ("report", "track")]
    homes = {file: one for one in waiting for file in verifying.outputs(study, *one)}
    made = verifying.made_of(study)
    order = {}

    def put(one):
        if one not in order:
            order[one] = None  # jobs make no circle
            reads = [*made[verifying.outputs(study, *one)[0]], *jobs.decisions(study, *one)]
            for before in dict.fromkeys(homes[file] for file in reads if file in homes):
                put(before)
            order[one] = order.pop(one)

    for one in waiting:
        put(one)
    return list(order)


def words_of(study, verb, place, out=""):
    """What the rule of a job says on its command line. out: another file than the job's."""
    if verb in ("report", "track"):
        return [verb, study.name, *shlex.split(jobs.arguments(study, verb, place))]
    words = [COMMANDS.get(verb, verb), *shlex.split(jobs.arguments(study, verb, place))]
    if verb == "train":
        words += ["--training", study.cell(*place.cell, "training.parquet")]
    if verb in UNASKED:
        return words
    return [*words, *(["--mark-diverged"] if verb in MARKED else []), "--out", out or _out(study, verb, place)]


def _out(study, verb, place):
    return next(file for file in verifying.outputs(study, verb, place) if not file.endswith(".cost.json"))


def run(study):
    """All files of a study but its report, in the folder in which this process is; rounds of people close at once."""
    for verb, place in in_order(study):
        if verb == "ballots":
            close(study, place)
        assert frame.run(words_of(study, verb, place)) == 0, (verb, place)
        for file in verifying.outputs(study, verb, place):
            if file.endswith(".cost.json"):
                store.write_json(Path(file), {"verbs": [verb], "wall_seconds": 1.0 + len(file), "of": file})


def close(study, place):
    """Two judges say yes to every second sample."""
    pool = Path(study.released_file(*place.cell))
    rows = list(range(len(store.read_samples(pool)))) * 2
    judges = ("first",) * (len(rows) // 2) + ("second",) * (len(rows) // 2)
    answers = tuple("yes" if row % 2 else "no" for row in rows)
    ballots = Ballots(rows, judges, answers, [1.0] * len(rows), {"pool": store.recorded_hash(pool)})
    store.write_ballots(closed_round(study, *place.cell), ballots)
