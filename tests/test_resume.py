"""A training that is killed, at any moment, goes on to the same file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch_families import FAMILIES

pytestmark = pytest.mark.trained

# In the suite two of one; at length all, and more of those whose state is more than the loop's own and one average.
RICH = ("diffusion", "stylegan2")
KILLS = [("diffusion", 2)]
KILLS += [pytest.param(family, 20 if family in RICH else 8, marks=pytest.mark.slow) for family in FAMILIES]

# The process is forked after torch is imported (one thread, so that forking is safe): a kill costs no start-up.
DRIVER = """
import importlib, json, os, random, shutil, signal, sys, time
from pathlib import Path

import torch
from torch_families import images, options_of

from collapselab.core.run import Run
from collapselab import store
from collapselab.engine import loop
from collapselab.models import MODELS

importlib.import_module(f"collapselab.models.{sys.argv[3]}.training")
importlib.import_module("sympy")  # which torch imports in a flow's first step: here once, and not in each child
torch.set_num_threads(1)
folder, kills, family = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
STEPS = 24
options = options_of(family, batch=8, **({"dropout": 0.1} if family == "diffusion" else {}))


class EveryThird:
    # A clock by which a state is due after every third look: which steps are stored does not depend on the machine.
    looks = 0

    def monotonic(self):
        self.looks += 1
        return self.looks // 3


def train(name, to_be_killed=False):
    # A child that fits with a checkpoint and writes the model; it says the images seen after every step. One that is
    # to be killed waits at the last step but one: however late the kill comes, it comes before the end.
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, open(reader)
    try:
        def say(seen, loss):
            os.write(writer, b"%d\\n" % seen)
            if to_be_killed and seen == (STEPS - 1) * 8:
                signal.pause()

        loop.time = EveryThird()
        run = Run(7, images_seen=STEPS * 8, checkpoint=folder / name, progress=say)
        model = MODELS[family].fit(images(), options, run)
        store.write_tensors(folder / f"{name}.safetensors", model.stored().tensors, {})
    finally:
        os._exit(0)


def wait(child, steps):
    for _ in steps:
        pass
    steps.close()
    return os.waitpid(child, 0)[1]


wait(*train("whole"))
expected = store.verify(folder / "whole.safetensors")

outcomes, chance = [], random.Random(0)
for index in range(kills):
    name = f"killed{index}"
    child, steps = train(name, to_be_killed=True)
    for _ in range(chance.randint(1, STEPS - 3)):
        steps.readline()
    time.sleep(0.01 * chance.random())  # within a step, or within the writing of a state
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(wait(child, steps))
    child, steps = train(name)
    resumed = int(steps.readline()) - 8
    wait(child, steps)
    found = store.verify(folder / f"{name}.safetensors")
    outcomes.append({"killed": killed, "resumed": resumed, "same": found == expected})
    shutil.rmtree(folder / name)
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize(("family", "kills"), KILLS)
def test_kills_change_no_byte(family, kills, tmp_path):
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLLAPSELAB_DEVICE": "cpu", "PYTHONPATH": path}
    environment |= {"COLLAPSELAB_CHECKPOINT_SECONDS": "1"}
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(kills), family]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert found.returncode == 0, found.stderr
    outcomes = json.loads(found.stdout)
    assert [outcome["same"] for outcome in outcomes] == [True] * kills
    # The test itself works: all were killed in the act, and most went on from a state rather than from nothing.
    assert all(outcome["killed"] for outcome in outcomes), outcomes
    assert sum(outcome["resumed"] > 0 for outcome in outcomes) >= kills // 2, outcomes
