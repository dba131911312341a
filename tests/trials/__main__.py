"""Trials by fault, as many as are asked for: ``python tests/trials KIND [--count N] [--out FILE]``.

Writes a JSON line a trial, and prints a table; ends with 1 if any trial did not go as it should.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("COLLAPSELAB_DEVICE", "cpu")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import in_process
import torch  # children of this process would each load it
import whole_study

from trials import flips, kills, swaps, syscalls, training

FAMILIES = ("diffusion", "stylegan2", "gan", "vae", "flow", "transformer")


def trained(count):
    """Kills of trainings, of all families in turn."""
    share = -(-count // len(FAMILIES))
    for family in FAMILIES:
        yield from training.run(share, family)


def of_a_study(trial, *others):
    """A trial in a folder in which a study was run, and others beside it. others: their names."""

    def run(count):
        torch.set_num_threads(1)
        with whole_study.entries():
            study = whole_study.study_of()
            with contextlib.redirect_stderr(io.StringIO()):
                in_process.run(study)
                for seed, name in enumerate(others, 9):
                    in_process.run(whole_study.study_of(name, seed))
            yield from trial(study, count)

    return run


def swapped(study, count):
    """Swaps of each kind of file with every reader, and of real data; then as in studies of earlier versions."""
    return swaps.run(study, count * len(swaps.places(study)), "other")


KINDS = {
    "training": (trained, 500, lambda one: one["killed"] and one["same"]),
    "verbs": (of_a_study(kills.run), 125, lambda one: one["killed"] and one["same"] and not one["leftovers"]),
    "syscalls": (lambda count: syscalls.run(), 0, lambda one: one["right"]),
    "flips": (of_a_study(flips.run), 1000, lambda one: one["found"] and one["named"]),
    "swaps": (of_a_study(swapped, "other"), 500, lambda one: one["found"] and one["named"]),
}
"""kind -> its trials, how many there are by default (of each verb or kind of file), and when one went as it should."""
TOLD = ("family", "verb", "noun")


def main():
    """Run the trials of a kind."""
    asked = argparse.ArgumentParser(prog="python tests/trials", description=__doc__)
    asked.add_argument("kind", choices=KINDS)
    asked.add_argument("--count", type=int, help="of each verb or kind of file; of trainings in all")
    asked.add_argument("--out", type=Path, help="a file for the trials, a JSON line each")
    said = asked.parse_args()
    logging.getLogger("collapselab").setLevel(logging.ERROR)
    trials, usual, right = KINDS[said.kind]
    out, counted, wrong = said.out and said.out.resolve(), Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder, open(out or os.devnull, "w", encoding="utf-8") as stream:
        os.chdir(folder)
        for one in trials(usual if said.count is None else said.count):
            group = one["trial"], next((one[name] for name in TOLD if name in one), "")
            counted[group] += 1
            wrong[group] += not right(one)
            stream.write(json.dumps({**one, "right": bool(right(one))}, sort_keys=True) + "\n")
            stream.flush()
        os.chdir("/")
    print("| trial | of | trials | not as it should be |\n|---|---|---|---|")
    for (trial, what), count in counted.items():
        print(f"| {trial} | {what} | {count} | {wrong[trial, what]} |")
    print(f"{sum(counted.values())} trials, {sum(wrong.values())} not as they should be")
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
