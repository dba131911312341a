"""What the frame costs: wall time times cores of a study's DAG over the processor time inside compute functions.

1 would be a frame that costs nothing: no idle core, no start-up, no reading or writing. The study runs in a fresh
folder, with everything from the real data to the report.
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

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "config", "environment.yml")


def run(study: str, cores: int) -> dict[str, float]:
    """Wall seconds of the whole DAG, and the processor seconds that its jobs report."""
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            source = REPOSITORY / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(folder) / part)
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = ["snakemake", "--config", f"study={study}", "--cores", str(cores), "--quiet", "all"]
        subprocess.run(command, cwd=folder, check=True)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        costs = [json.loads(path.read_text()) for path in Path(folder, "results", study).rglob("*.cost.json")]
    return {
        "wall_s": wall,
        "cores": cores,
        "jobs_with_costs": len(costs),
        "compute_cpu_s": sum(cost["compute_cpu_seconds"] for cost in costs),
        "process_cpu_s": sum(cost["process_cpu_seconds"] for cost in costs),
        # Of Snakemake itself, and of the jobs that tell no costs.
        "driver_cpu_s": sum(_cpu(one) * sign for one, sign in ((after, 1), (before, -1)))
        - sum(cost["process_cpu_seconds"] for cost in costs),
    }


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="quickstart")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    found = run(arguments.study, arguments.cores)
    for name, value in found.items():
        print(f"{name:20} {value:.1f}")
    print(f"{'overhead':20} {found['wall_s'] * found['cores'] / found['compute_cpu_s']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
