"""SIGKILLs of every verb at random times: what is left is whole or refused, and the next run ends with the same bytes.

Each job runs in a child of this process, which has imported all that verbs need: a kill costs no start-up.
"""

import os
import random
import signal
import time
from pathlib import Path

from in_process import in_order, words_of

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.errors import Damaged
from collapselab.study import jobs, verifying

TIMED = ("report.html",)  # which says when it was drawn


def run(study, many, verbs=(), seed=0):
    """So many kills of each verb of a finished study, in the folder in which it lies; a record a kill.

    verbs: only these, if any. Half of the jobs find their files gone, as in the workflow, half find them there.
    """
    chance = random.Random(seed)
    listed = [*in_order(study), ("report", jobs.Place()), ("track", jobs.Place())]
    by_verb = {}
    for verb, place in listed:
        by_verb.setdefault(verb, []).append(place)
    for verb in verbs or by_verb:
        for index in range(many):
            yield _killed(study, verb, chance.choice(by_verb[verb]), index % 2 == 1, chance)


def _killed(study, verb, place, over, chance):
    words = words_of(study, verb, place)
    files = [Path(file) for file in verifying.outputs(study, verb, place) if not file.endswith(".cost.json")]
    _end(_start(words), None)  # as it is by this process: a report has a date
    before = {path: store.content_hash(path) for path in files}
    begun = time.monotonic()
    assert _end(_start(words), None) == 0
    usual = time.monotonic() - begun
    status, tries = 0, 0
    while not os.WIFSIGNALED(status) and tries < 60:  # one that is done before the kill was no trial
        for path in files if not over else ():
            path.unlink(missing_ok=True)
            store.hash_path(path).unlink(missing_ok=True)
        child = _start(words)
        status = _end(child, usual * chance.random() * 0.9**tries)
        tries += 1
    left = sorted({_left(path, before[path]) for path in files})
    code = os.waitstatus_to_exitcode(_end(_start(words), None))
    same = all(store.verify(path) == before[path] for path in files if path.name not in TIMED)
    leftovers = [str(path) for folder in {path.parent for path in files} for path in folder.glob(".*.tmp")]
    return {
        "trial": "kill of a verb", "verb": verb, "file": str(files[0]), "over": over, "killed": os.WIFSIGNALED(status),
        "left": left, "code": code, "same": same, "leftovers": len(leftovers),
    }  # fmt: skip


def _left(path, expected):
    """What a reader finds where a job was killed: nothing, the right file, one that it refuses, or a wrong one."""
    if not path.exists():
        return "nothing"
    try:
        store.examine(path)
    except Damaged:
        return "refused"
    return "whole" if store.content_hash(path) == expected or path.name in TIMED else "wrong"


def _start(words):
    child = os.fork()
    if child:
        return child
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os._exit(frame.run(words))
    finally:
        os._exit(99)


def _end(child, after_s):
    """The status with which a child ended. after_s: when it is killed; None for never."""
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]
