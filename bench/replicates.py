"""How long a theory study takes: 1,000 replicates x 50 generations x 6 regimes of a one-dimensional Gaussian.

All seeds of an arm together, as ``collapselab replicate`` runs them, an arm a process; and beside it one seed after the
other through the functions that the verbs call (compose, fit, sample, measure), in memory, without their files and
without starting Python for each: what is left out there, a study on disk pays as well. Both have the same numbers:
n = 100 rows in every training set, 100 samples of every model, four metrics of the exact moments.

Printed are the seconds of each arm together, those of one at a time scaled up from a few seeds, their ratio, and the
wall time of all arms on so many cores. The values of the few seeds are compared on the way. Run it with
``OMP_NUM_THREADS=1``.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from collapselab.compose import regimes
from collapselab.compose.rows import choose, real_seed
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.together import loop

N = 100
NUMBERS = {
    "real_only": {},
    "fully_synthetic": {},
    "synthetic_augmentation": {"fixed": N // 5},
    "fresh_data": {"fresh": N // 5},
    "accumulate": {},
    "accumulate_subsample": {},
}
MEASURED = ("variance_ratio", "mean_drift", "frechet_distance", "log_determinant_ratio")


def arm(name: str, count: int, generations: int) -> loop.Replicates:
    """One regime with ``count`` seeds."""
    regime = regimes.REGIMES[name](n=N, initial=N, **NUMBERS[name])
    return loop.Replicates(
        name=name,
        family="gaussian",
        options={"ddof": 0},
        population="gaussian",
        population_options={},
        recipes=[regimes.recipe(regime, name, generation) for generation in range(generations + 1)],
        sampling_bias=[1.0] * (generations + 1),
        stream=0,
        samples=N,
        study_seed=0,
        seeds=count,
        metrics={metric: {} for metric in MEASURED},
    )


def together(wanted: loop.Replicates) -> tuple[float, dict[str, np.ndarray]]:
    """Seconds, and the columns."""
    start = time.perf_counter()
    columns = loop.run(wanted)
    return time.perf_counter() - start, columns


def alone(wanted: loop.Replicates, seed: int) -> tuple[float, dict[str, list[float]]]:
    """Seconds of one seed, and its columns, one model after the other."""
    start = time.perf_counter()
    family, population = MODELS[wanted.family], POPULATIONS[wanted.population]
    options = family.Options(**wanted.options)
    truth = population.population(population.PopulationOptions(**wanted.population_options))
    columns: dict[str, list[float]] = {metric: [] for metric in wanted.metrics}
    real = FEATURES["moments"].extract(None, truth)
    made = []
    for recipe in wanted.recipes:
        there = {(draw.arm, draw.generation): None if draw.is_real else wanted.samples for draw in recipe.draws}
        parts, weights = [], []
        for draw, rows in choose(recipe, there, wanted.study_seed, seed):
            if draw.is_real:
                source = truth.sample(Ask(draw.count, real_seed(wanted.study_seed, seed, draw))).data
            else:
                source = made[draw.generation]
            parts.append(source[rows])
            weights.append(np.full(len(rows), recipe.weights["real" if draw.is_real else "synthetic"]))
        dice = [seeds.seed_of(wanted.study_seed, seed, recipe.generation, stage) for stage in ("train", "sample/0")]
        model = family.fit(TrainingSet(np.concatenate(parts), None, np.concatenate(weights)), options, Run(dice[0]))
        made.append(model.sample(Ask(wanted.samples, dice[1])).data)
        fake = FEATURES["moments"].extract(None, model)
        for metric, values in columns.items():
            try:
                values.append(float(METRICS[metric](real, fake)))
            except Undefined:
                values.append(float("nan"))
    return time.perf_counter() - start, columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--generations", type=int, default=50)
    parser.add_argument("--few", type=int, default=3, help="seeds that are run one at a time")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    wanted = [arm(name, arguments.seeds, arguments.generations) for name in NUMBERS]
    start = time.perf_counter()
    with ProcessPoolExecutor(arguments.cores) as pool:
        found = dict(zip(NUMBERS, pool.map(together, wanted), strict=True))
    wall = time.perf_counter() - start
    print(f"{'arm':24} {'together':>10} {'one at a time':>14} {'ratio':>8}")
    sums = np.zeros(2)
    for one in wanted:
        seconds, columns = found[one.name]
        each = []
        for seed in range(arguments.few):
            single, values = alone(one, seed)
            each.append(single)
            own = columns["seed"] == seed
            for metric in MEASURED:
                # Of one dimension both are formulas with roots and logarithms: they differ by rounding alone.
                np.testing.assert_allclose(columns[metric][own], values[metric], rtol=1e-9, atol=1e-12)
        scaled = float(np.median(each)) * arguments.seeds
        sums += seconds, scaled
        print(f"{one.name:24} {seconds:8.2f} s {scaled:12.1f} s {scaled / seconds:8.1f}")
    print(f"{'all':24} {sums[0]:8.2f} s {sums[1]:12.1f} s {sums[1] / sums[0]:8.1f}")
    size = f"{arguments.seeds} seeds x {arguments.generations} generations x {len(wanted)} regimes"
    print(f"{size}: {wall:.1f} s of wall time on {arguments.cores} cores")


if __name__ == "__main__":
    sys.exit(main())
