"""SIGKILLs of a training at random times, each followed by a training that goes on: to the same bytes.

Run as a program of its own, since it forks after torch is imported, with one thread: a kill costs no start-up.
"""

import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
STEPS = 24


class EveryThird:
    """A clock by which a state is due after every third look: which steps are stored does not depend on the machine."""

    looks = 0

    def monotonic(self):
        self.looks += 1
        return self.looks // 3


def run(kills, family="diffusion", seed=0, folder=None):
    """A record of each kill of a training of a family, and of what came of it. folder: for the files that it makes."""
    path = os.pathsep.join([str(HERE), str(HERE.parent / "src")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLLAPSELAB_DEVICE": "cpu", "PYTHONPATH": path}
    environment |= {"COLLAPSELAB_CHECKPOINT_SECONDS": "1"}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [sys.executable, __file__, work, str(kills), family, str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [{"trial": "kill of a training", "family": family, **json.loads(line)} for line in done.stdout.splitlines()]


def _trials(folder, kills, family, seed):
    import torch
    from torch_families import options_of, rows_of

    from collapselab import store
    from collapselab.core.run import Run
    from collapselab.engine import loop
    from collapselab.models import MODELS

    importlib.import_module(f"collapselab.models.{family.replace('-', '_')}.training")
    importlib.import_module("sympy")  # which torch imports in a flow's first step: here once, and not in each child
    torch.set_num_threads(1)
    options = options_of(family, batch=8, **({"dropout": 0.1} if family == "diffusion" else {}))

    def train(name, to_be_killed=False):
        # A child that fits with a checkpoint and writes the model; it says the images seen after every step. One that
        # is to be killed waits at the last step but one: however late the kill comes, it comes before the end.
        reader, writer = os.pipe()
        child = os.fork()
        if child:
            os.close(writer)
            return child, open(reader, encoding="utf-8")
        try:

            def say(seen, loss):
                os.write(writer, b"%d\n" % seen)
                if to_be_killed and seen == (STEPS - 1) * 8:
                    signal.pause()

            loop.time = EveryThird()
            run = Run(7, images_seen=STEPS * 8, checkpoint=folder / name, progress=say)
            model = MODELS[family].fit(rows_of(family), options, run)
            store.write_tensors(folder / f"{name}.safetensors", model.stored().tensors, {})
        finally:
            os._exit(0)

    _wait(*train("whole"))
    expected, chance = store.verify(folder / "whole.safetensors"), random.Random(seed)
    for index in range(kills):
        name = f"killed{index}"
        child, steps = train(name, to_be_killed=True)
        for _ in range(chance.randint(1, STEPS - 3)):
            steps.readline()
        time.sleep(0.01 * chance.random())  # within a step, or within the writing of a state
        os.kill(child, signal.SIGKILL)
        killed = os.WIFSIGNALED(_wait(child, steps))
        child, steps = train(name)
        resumed = int(steps.readline()) - 8
        _wait(child, steps)
        found = store.verify(folder / f"{name}.safetensors")
        yield {"killed": killed, "resumed": resumed, "same": found == expected}
        shutil.rmtree(folder / name)
        for path in folder.glob(f"{name}.safetensors*"):
            path.unlink()


def _wait(child, steps):
    for _ in steps:
        pass
    steps.close()
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    for one in _trials(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])):
        print(json.dumps(one), flush=True)
