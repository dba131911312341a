"""How often a verdict is wrong: every question, put to studies that are made up from known truths.

    python bench/verdicts.py [--studies 1000] [--generations 10] [--seeds 3 5 10] [--jobs 2] [--out FILE]

A study has one loop, whose mean curve is the truth, and a control that does not change. Lineages wander about it: every
value has an error of its own, and every lineage a random walk. A finding is false where the truth says otherwise, or
where the truth is that nothing changes. The table has the most false findings that any truth brings about, by question
and number of seeds. At 5 % the 99.9 % point of 1,000 studies is 73. A second table has how often the interval of a
forecast holds the generation at which half is lost, by law: of 95 %, 90 to 98 are asked.
"""

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from collapselab.verdicts import ANALYSES, Endpoint, StudyFacts, Table, curves, indexed
from collapselab.verdicts.definitions import CATASTROPHE, ZERO
from collapselab.verdicts.modes import LOST

SEEDS = {"1": 1, "2": 2, "3": 3, "5": 5, "10": 10, "100": 100, "3 equal": 3}
QUESTIONS = tuple(name for name, analysis in ANALYSES.items() if not isinstance(analysis.section, Table))
METRICS = ("frechet_distance", "variance_ratio", "recall", "precision")
OWN_ERROR, STEP = 0.05, 0.02  # of a value, relative; and of a lineage's random walk, a generation
SAMPLES = 200  # that the shares of classes are counted in


class Truth(NamedTuple):
    """The mean curve of every metric, (time (T + 1,)) -> (T + 1,), what it tends to, and whether it has no errors."""

    curve: Callable[[np.ndarray], np.ndarray]
    limit: float
    exact: bool = False


def part(time: np.ndarray) -> np.ndarray:
    """Time in units of the last generation."""
    return time / time[-1]


TRUTHS = {
    "constant": Truth(lambda time: 1 + 0 * time, 1, exact=True),
    "constant with noise": Truth(lambda time: 1 + 0 * time, 1),
    "linear": Truth(lambda time: 1 + part(time), np.inf),
    "rises and levels off": Truth(lambda time: 2 - np.exp(-10 * part(time)), 2),
    "rises and slows": Truth(lambda time: 2 - np.exp(-3 * part(time)), 2),
    "rises as a logarithm": Truth(lambda time: 1 + np.log1p(time), np.inf),
    "a jump, then a line": Truth(lambda time: 2 - np.exp(-2 * time) + 0.5 * part(time), np.inf),
    "falls to a floor": Truth(lambda time: 0.8 + 0.2 * np.exp(-10 * part(time)), 0.8),
    "falls and slows": Truth(lambda time: 0.8 + 0.2 * np.exp(-3 * part(time)), 0.8),
    "dies exponentially": Truth(lambda time: np.exp(-4 * part(time)), 0),
    "dies as 1 / t": Truth(lambda time: 1 / (1 + 5 * part(time)), 0),
    "falls and rises again": Truth(lambda time: 1 - 0.5 * np.sin(np.pi * part(time)), 1),
    "rises ever faster": Truth(lambda time: 2.0 ** (6 * part(time)), np.inf),
}
# The shares of classes at the first generation and at the last.
SHARES = {
    "constant": ((0.5, 0.3, 0.188, *4 * (0.003,)), None),
    "constant with noise": ((0.5, 0.3, 0.188, *4 * (0.003,)), None),
    "dies exponentially": ((0.4, 0.3, 0.3), (0.6, 0.4, 0.0)),
    "falls to a floor": ((0.4, 0.3, 0.3), (0.5, 0.4, 0.1)),
}


def made_up(truth: str, seeds: str, generations: int, draws: np.random.Generator) -> tuple[StudyFacts, Any]:
    """The facts and records of one study."""
    records = []
    for arm, name in (("loop", truth), ("control", "constant" if TRUTHS[truth].exact else "constant with noise")):
        lines = {metric: lineages(TRUTHS[name], seeds, generations, draws) for metric in METRICS}
        shares = classes(SHARES.get(name, SHARES["constant"]), seeds, generations, draws)
        for seed in range(SEEDS[seeds]):
            for t in range(generations + 1):
                values = {metric: float(line[seed, t]) for metric, line in lines.items()}
                values |= {f"class_histogram.{c}": float(share) for c, share in enumerate(shares[seed, t])}
                records.append(record(arm, seed, t, values))
    real = {f"class_histogram.{c}": share for c, share in enumerate(SHARES.get(truth, SHARES["constant"])[0])}
    facts = StudyFacts(
        name="made_up",
        arms={"control": "", "loop": ""},
        primary=Endpoint("recall", "identity"),
        seeds=SEEDS[seeds],
        generations=generations,
        control="control",
        better={"recall": "higher", "frechet_distance": "lower"},
        reference={"identity": real},
    )
    return facts, indexed(records)


def record(arm: str, seed: int, generation: int, values: dict[str, float]) -> dict[str, Any]:
    """One record, of so many samples and ten times as many real rows."""
    of_all = {"set": "sampled", "extractor": "identity", "fingerprint": "made"}
    return {
        "arm": arm,
        "seed": seed,
        "generation": generation,
        "status": "ok",
        "values": [of_all | {"metric": metric, "value": value} for metric, value in values.items()],
        "fingerprints": {"made": {"n_fake": SAMPLES, "n_real": 10 * SAMPLES}},
    }


def lineages(truth: Truth, seeds: str, generations: int, draws: np.random.Generator) -> np.ndarray:
    """(seeds, T + 1) values of one metric: the curve times what every lineage makes of it."""
    mean = truth.curve(np.arange(generations + 1.0))
    count = 1 if "equal" in seeds else SEEDS[seeds]
    own, steps = draws.standard_normal((2, count, generations + 1))
    luck = 0.0 if truth.exact else OWN_ERROR * own + STEP * np.cumsum(steps, axis=1)
    return np.tile(mean * (1 + luck), (SEEDS[seeds] // count, 1)) * np.ones((SEEDS[seeds], 1))


def classes(shares: tuple, seeds: str, generations: int, draws: np.random.Generator) -> np.ndarray:
    """(seeds, T + 1, K) shares counted in so many samples, between the first shares and the last."""
    first, last = np.array(shares[0]), np.array(shares[1] or shares[0])
    mix = np.linspace(0, 1, generations + 1)[:, None]
    count = 1 if "equal" in seeds else SEEDS[seeds]
    found = draws.multinomial(SAMPLES, (1 - mix) * first + mix * last, (count, generations + 1)) / SAMPLES
    return np.tile(found, (SEEDS[seeds] // count, 1, 1))


def is_true(question: str, status: str, truth: str, generations: int) -> bool:
    """Whether a finding is what the truth says."""
    mean = TRUTHS[truth].curve(np.arange(generations + 1.0))
    first, last, limit = mean[0], mean[-1], TRUTHS[truth].limit
    time = np.arange(generations + 1.0) - generations / 2
    slope = round(float(time @ mean), 9)
    shares = SHARES.get(truth, SHARES["constant"])
    still = abs(last - first) < 1e-9
    collapse = {
        "primary_slope": slope < 0,
        "slope_against_control": slope < 0,
        "catastrophic_risk": last > CATASTROPHE * first,
        "any_rise_of_risk": last > first,
        "diverging_risk": np.isinf(limit),
        "collapsing_variance": limit < ZERO * first,
        "lost_modes": min(np.array(shares[1] or shares[0]) / shares[0]) < LOST,
        "lost_tails": last < first,
        "hallucination": last < first,
    }[question]
    # Where nothing changes, that it does is a finding either way; that it does not is one where there is no error.
    moving = {"primary_slope": bool(slope), "slope_against_control": bool(slope)}
    moving |= dict.fromkeys(("any_rise_of_risk", "lost_tails", "hallucination"), not still)
    if not moving.get(question, True) and not TRUTHS[truth].exact:
        return False
    return bool(collapse) == (status in ("collapse", "falls"))


def judged(truth: str, seeds: str, generations: int, studies: int) -> dict[str, tuple[int, int]]:
    """Of so many studies of a truth: question -> (false findings, true findings)."""
    counts = {question: [0, 0] for question in QUESTIONS if question != "scaling_law"}
    for number in range(studies):
        key = [list(TRUTHS).index(truth), list(SEEDS).index(seeds), number, generations]
        facts, records = made_up(truth, seeds, generations, np.random.default_rng(key))
        for question, found in counts.items():
            status = next(one.status for one in ANALYSES[question].run(facts, records) if one.arm == "loop")
            if status not in ("inconclusive", "not testable"):
                found[is_true(question, status, truth, generations)] += 1
    return {question: (found[0], found[1]) for question, found in counts.items()}


# law: its floor. Rates differ by a tenth from lineage to lineage, and half is lost at generation 8 to 12.
FORECAST = {"exponential": 0.0, "hyperbolic": 0.0, "exponential to a floor": 0.2}


def covered(law: str, seeds: int, studies: int) -> float:
    """The share of studies whose interval, from the first 11 generations, holds the halving of the mean rate."""
    held, floor, rate = 0, FORECAST[law], 1 / 12
    shape = curves.hyperbolic if law == "hyperbolic" else curves.exponential
    for number in range(studies):
        draws = np.random.default_rng([list(FORECAST).index(law), seeds, number])
        rates = rate * (1 + 0.1 * draws.standard_normal((seeds, 1)))
        values = 0.9 * (floor + (1 - floor) * shape(rates * np.arange(11))) + draws.normal(0, 0.01, (seeds, 11))
        low, high = curves.halvings(curves.candidates(values), (0.025, 0.975))
        held += low <= curves.halving(law, floor, rate) <= high
    return held / studies


def main() -> None:
    """Prints the table; exits with 1 where a cell has more false findings than chance allows."""
    from scipy import stats

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--seeds", nargs="*", choices=list(SEEDS), default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="every cell, as JSON")
    options = parser.parse_args()
    most = int(stats.binom.ppf(0.999, options.studies, 0.05))
    studies, few = options.studies, {name: SEEDS[name] < 3 for name in options.seeds}
    asked = [(truth, seeds, options.generations, studies) for truth in TRUTHS for seeds in options.seeds]
    with ProcessPoolExecutor(options.jobs) as pool:
        found = pool.map(judged, *zip(*asked, strict=True))
        cells = {one[:2]: counts for one, counts in zip(asked, found, strict=True)}
    allowed = f"allowed: {most}, and no finding at all of 1 or 2 seeds"
    print(f"False findings in {options.studies} studies, the most of any truth ({allowed})\n")
    questions = list(next(iter(cells.values())))
    print(f"{'':24}" + "".join(f"{seeds:>10}" for seeds in few))
    worst = 0
    for question in questions:
        of_seeds = {seeds: [cells[truth, seeds][question] for truth in TRUTHS] for seeds in few}
        # Of one or two lineages nothing may be found, true or false.
        false = {seeds: max(sum(one) if few[seeds] else one[0] for one in of_seeds[seeds]) for seeds in few}
        print(f"{question:24}" + "".join(f"{count:>10}" for count in false.values()))
        worst = max(worst, *(most + 1 if few[seeds] and count else count for seeds, count in false.items()))
    print("\nIntervals of forecasts that hold the truth, in 100 (asked: 90 to 98)\n")
    for law in FORECAST:
        shares = [covered(law, seeds, studies) for seeds in (5, 10)]
        print(
            f"{law:24}"
            + "".join(f"{100 * share:>8.1f} with {n} seeds" for share, n in zip(shares, (5, 10), strict=True))
        )
        worst = max(worst, *(0 if 0.9 <= share <= 0.98 else most + 1 for share in shares))
    if options.out:
        told = [
            {"truth": truth, "seeds": seeds, "question": question, "false": false, "true": right}
            for (truth, seeds), of_cell in cells.items()
            for question, (false, right) in of_cell.items()
        ]
        options.out.write_text(json.dumps(told, indent=1), encoding="utf-8")
    raise SystemExit(worst > most)


if __name__ == "__main__":
    main()
