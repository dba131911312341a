"""What each rule of guidance costs: the time of sampling with it over that of plain sampling, at equal steps, in a run.

    python bench/guidance.py                  # the perceptron of `tiny`, and a small U-Net
    python bench/guidance.py --networks mlp --rows 400 --repeats 9

Plain sampling and all rules take turns, and a figure is the median of the ratios within a turn, so that what else the
machine does meets all alike. Processor seconds on a CPU; on a GPU, by the clock. The second model of a two-model rule
is as large as the first, which is the most that it costs. The bound is 2.05 for rules of two predictions.
"""

import argparse
import statistics
import time
from collections.abc import Iterable

import numpy as np

from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.guides import GUIDES
from collapselab.machine.device import device
from collapselab.models import MODELS
from collapselab.verbs.sample import steering

BOUND = 2.05
SAID = {"cads": {"w": 1.0}, **{name: {"negative": 1} for name in ("dynamic_negative", "deletion", "perp_neg")}}
PLAIN = "plain sampling"
NETWORKS = {
    "mlp": {"preset": "tiny"},
    "unet": {"preset": "tiny", "network": "unet", "channels": 16, "blocks": 1, "multipliers": (1, 2), "attention": ()},
}


def model_of(network: str, rows: int, side: int = 8, steps: int = 16):
    """A model of images in ten classes that has seen a few of them: what it costs is what a good one costs."""
    dice = np.random.default_rng(0)
    data = TrainingSet(dice.integers(0, 256, (64, 1, side, side), np.uint8), np.arange(64) % 10, np.ones(64))
    options = {"sampler": "ddim", "steps": steps, "batch": 32, "images_seen": 64, "sample_batch": rows}
    family = MODELS["diffusion"]
    return family.fit(data, family.Options.model_validate(NETWORKS[network] | options), Run(1, images_seen=64))


def seconds(model, rows: int, name: str) -> float:
    """The time of one sampling, plain or with a rule."""
    guide = None
    if name != PLAIN:
        options = GUIDES[name].Options(**SAID.get(name, {}))
        guide = steering(name, options, dict.fromkeys(GUIDES[name].auxiliary(options, 64), model))
    clock = time.process_time if device().type == "cpu" else time.perf_counter
    start = clock()
    model.sample(Ask(rows, 3, guide=guide))
    return clock() - start


def ratios(model, rows: int, repeats: int, names: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """The median, the lowest and the highest ratio of each rule; the first turn warms up."""
    turns = [{name: seconds(model, rows, name) for name in (PLAIN, *names)} for _ in range(repeats + 1)][1:]
    found = {name: [turn[name] / turn[PLAIN] for turn in turns] for name in names}
    return {name: (statistics.median(one), min(one), max(one)) for name, one in found.items()}


def main() -> int:
    """Print a table for each network; 1 where a rule of two predictions is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rows", type=int, default=200, help="samples at once")
    parser.add_argument("--repeats", type=int, default=7)
    said = parser.parse_args()
    above = []
    for network in said.networks:
        model = model_of(network, said.rows)
        print(f"{network}: {said.rows} samples in {model.options.steps} steps of {model.options.sampler}, {device()}")
        print("| rule | evaluations a level, at most | time over plain sampling (lowest to highest) |\n|---|---|---|")
        for name, (middle, low, high) in ratios(model, said.rows, said.repeats, GUIDES).items():
            count = GUIDES[name].evaluations(GUIDES[name].Options(**SAID.get(name, {})))
            print(f"| `{name}` | {count} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
            above += [f"{network} {name}"] if count == 2 and middle > BOUND else []
    print(f"above {BOUND}: {', '.join(above) or 'none'}")
    return bool(above)


if __name__ == "__main__":
    raise SystemExit(main())
