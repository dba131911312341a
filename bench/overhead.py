"""What the frame costs: wall time times cores of a study's DAG over the processor time inside compute functions.

1 would be a frame that costs nothing: no idle core, no start-up, no reading or writing. The study runs in a fresh
folder, with everything from the real data to the report.

With ``--jobs`` what the driver costs instead: the processor seconds of Snakemake's own process, without its jobs', over
studies of about so many jobs that compute next to nothing; ``--jobs 150 600 2000`` takes an hour of two cores.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import planning
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml")
ARMS, SEEDS = 4, 3  # of the studies that have any number of jobs: they differ in their generations
DRIVER = """
import atexit, pathlib, sys, time
out = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: out.write_text(str(time.process_time())))
from snakemake.cli import main
main()
"""
"""Snakemake, which leaves the processor seconds of its own process in a file that is named first."""


def run(study: str, cores: int, said: dict[str, Any] | None = None) -> dict[str, float]:
    """Wall seconds of the whole DAG, and the processor seconds that its jobs report. said: the study, if it is new."""
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            source = REPOSITORY / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(folder) / part)
        if said is not None:
            Path(folder, "config", f"{study}.yaml").write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
        out = Path(folder, "driver")
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", DRIVER, str(out), "--config", f"study={study}", "--cores", str(cores)]
        subprocess.run([*command, "--quiet", "all"], cwd=folder, check=True)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        driver = float(out.read_text(encoding="utf-8"))
        costs = [json.loads(path.read_text()) for path in Path(folder, "results", study).rglob("*.cost.json")]
    return {
        "wall_s": wall,
        "cores": cores,
        "jobs_with_costs": len(costs),
        "compute_cpu_s": sum(cost["compute_cpu_seconds"] for cost in costs),
        "process_cpu_s": sum(cost["process_cpu_seconds"] for cost in costs),
        "driver_cpu_s": driver,
        # Of whatever stands around jobs, and of those that tell no costs.
        "rest_cpu_s": sum(_cpu(one) * sign for one, sign in ((after, 1), (before, -1)))
        - sum(cost["process_cpu_seconds"] for cost in costs)
        - driver,
    }


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def of_the_driver(numbers: list[int], cores: int) -> None:
    """Print what the driver costs at some numbers of jobs."""
    for number in numbers:
        generations = max(1, round(number / (4 * ARMS * SEEDS)) - 1)
        name = f"jobs{number}"
        found = run(name, cores, planning.study(name, ARMS, SEEDS, generations))
        driver, jobs = found["driver_cpu_s"], 4 * ARMS * SEEDS * (generations + 1)
        print(
            f"about {jobs:5} jobs: driver {driver:6.1f} s of a processor, {1000 * driver / jobs:5.1f} ms a job",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="quickstart")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--jobs", type=int, nargs="+", help="instead: the driver alone, of studies of about so many jobs"
    )
    arguments = parser.parse_args()
    if arguments.jobs:
        return of_the_driver(arguments.jobs, arguments.cores)
    found = run(arguments.study, arguments.cores)
    for name, value in found.items():
        print(f"{name:20} {value:.1f}")
    print(f"{'overhead':20} {found['wall_s'] * found['cores'] / found['compute_cpu_s']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
