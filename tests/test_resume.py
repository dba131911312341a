"""A training that is killed, at any moment, goes on to the same file."""

import json
import os
import subprocess
import sys

KILLS = 20

# The process is forked after torch is imported (one thread, so that forking is safe): a kill costs no start-up.
DRIVER = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path

import numpy as np
import torch

from collapselab import store
from collapselab.models.base import TrainingSet
from collapselab.models.diffusion import Diffusion, DiffusionOptions
import collapselab.models.diffusion.training

torch.set_num_threads(1)
folder, kills = Path(sys.argv[1]), int(sys.argv[2])
source = np.random.default_rng(0)
data = TrainingSet(source.integers(0, 256, (96, 1, 8, 8), np.uint8), np.arange(96) % 10, source.uniform(0.5, 1.5, 96))
options = DiffusionOptions(
    channels=32, blocks=1, images_seen=32 * 120, batch=32, dropout=0.1, flip=True, checkpoint_images=32 * 4
)


def train(name):
    # A child that fits with a checkpoint and writes the model; it says the images seen after every step.
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, open(reader)
    try:
        say = lambda seen, loss: os.write(writer, b"%d\\n" % seen) < 0
        model = Diffusion.fit(data, options, 7, checkpoint=folder / name, progress=say)
        store.write_tensors(folder / f"{name}.safetensors", model.tensors(), {})
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
    child, steps = train(name)
    for _ in range(chance.randint(1, 110)):
        steps.readline()
    time.sleep(0.01 * chance.random())  # within a step, or within the writing of a state
    os.kill(child, signal.SIGKILL)
    killed = os.WIFSIGNALED(wait(child, steps))
    child, steps = train(name)
    resumed = int(steps.readline()) - 32
    wait(child, steps)
    found = store.verify(folder / f"{name}.safetensors")
    outcomes.append({"killed": killed, "resumed": resumed, "same": found == expected})
    shutil.rmtree(folder / name)
print(json.dumps(outcomes))
"""


def test_twenty_kills_change_no_byte(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLLAPSELAB_DEVICE": "cpu"}
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(KILLS)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert found.returncode == 0, found.stderr
    outcomes = json.loads(found.stdout)
    assert [outcome["same"] for outcome in outcomes] == [True] * KILLS
    # The test itself works: all were killed in the act, and most went on from a state rather than from nothing.
    assert all(outcome["killed"] for outcome in outcomes), outcomes
    assert sum(outcome["resumed"] > 0 for outcome in outcomes) >= KILLS // 2, outcomes
