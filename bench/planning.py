"""What planning costs: processor seconds of Snakemake's dry run and of `collapselab plan`, and how they grow with jobs.

Three studies are written into a fresh folder: of 2,288 and of 13,056 jobs (many arms and seeds of a Gaussian, of which
each generation eats the last), and of 1,013 jobs in one lineage of 200 generations that accumulates, where the last
training alone eats 200 files.
"""

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "profiles")
AIMS_S = {"wide": 6.0, "wider": 30.0, "long": 6.0}
"""study -> processor seconds of its dry run that it should take at most."""


def study(name: str, arms: int, seeds: int, generations: int, regime: str = "fully_synthetic") -> dict[str, Any]:
    """A study of arms that differ in nothing but their streams; 4 jobs a generation of a lineage."""
    return {
        "name": name,
        "seeds": seeds,
        "generations": generations,
        "data": {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 50}},
        "models": {"moments": {"gaussian": {"ddof": 0}}},
        "initial": {"real": 50},
        "samples": 50,
        "extractors": ["identity"],
        "metrics": ["frechet_distance"],
        "primary": {"metric": "frechet_distance", "extractor": "identity"},
        "arms": {f"arm{n}": {"model": "moments", "regime": regime, "stream": n} for n in range(arms)},
        "control": "none",
    }


STUDIES = {
    "wide": study("wide", 6, 6, 15),
    "wider": study("wider", 10, 8, 40),
    "long": study("long", 1, 1, 200, "accumulate"),
}


def written(studies: dict[str, dict[str, Any]], folder: Path) -> None:
    """The workflow with some studies, in a folder."""
    for part in PARTS:
        source = REPOSITORY / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    (folder / "config").mkdir()
    for name, said in studies.items():
        (folder / "config" / f"{name}.yaml").write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")


def processor_seconds(command: list[str], folder: Path) -> tuple[float, str]:
    """The processor seconds that a command and all its children take, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def run(name: str, times: int) -> dict[str, float]:
    """Of one study: its jobs, and the processor seconds of a dry run, of a plan, and of validating it; the best of
    some tries, after one that fills what is remembered of source code.
    """
    with tempfile.TemporaryDirectory() as folder:
        written({name: STUDIES[name]}, Path(folder))
        dry = ["snakemake", "-n", "--quiet", "rules", "--config", f"study={name}"]
        jobs = int(re.search(r"^total +(\d+)$", processor_seconds(dry, Path(folder))[1], re.MULTILINE)[1])
        commands = {
            "dry_run_cpu_s": dry,
            "plan_cpu_s": ["collapselab", "plan", name, "--no-cost"],
            "validate_cpu_s": ["collapselab", "validate", name],
        }
        best = {
            what: min(processor_seconds(command, Path(folder))[0] for _ in range(times))
            for what, command in commands.items()
        }
    return {"jobs": jobs, **best, "dry_run_ms_a_job": 1000 * best["dry_run_cpu_s"] / jobs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", default=list(STUDIES), help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--times", type=int, default=2, help="tries of each command, of which the best counts")
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.studies if name not in STUDIES]:
        parser.error(f"found {unknown[0]!r}, allowed are {', '.join(STUDIES)}")
    found = {name: run(name, arguments.times) for name in arguments.studies}
    for name, numbers in found.items():
        print(f"{name}: {numbers['jobs']:.0f} jobs, dry run aims at {AIMS_S[name]:g} s")
        for what, value in numbers.items():
            print(f"  {what:20} {value:.2f}")
    if {"wide", "wider"} <= found.keys():  # below 1 where the start, which is the same, weighs
        ratio = found["wider"]["dry_run_ms_a_job"] / found["wide"]["dry_run_ms_a_job"]
        print(f"a job of wider over one of wide: {ratio:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
