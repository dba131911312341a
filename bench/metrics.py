"""How quick the distances between features are, and in how much memory, beside the tools of the field.

Fréchet distance: from two arrays of float32 features (n, d) to the distance, at d = 64, 512 and 2048 with n above and
below d. collapselab on numpy arrays and on torch tensors; torch-fidelity's statistics and its metric of them;
torchmetrics' FrechetInceptionDistance, whose network is the identity; and scipy's sqrtm of the product of numpy's
covariances, as in the original FID. The features have correlated columns and variances that fall like 1 / i. Where a
name says "known real", the statistics of the real features were computed before, as in a study, which measures every
generation against one reference.

Precision, recall, density and coverage: from two arrays of 10,000 x 512 float32 features to the four numbers at k = 5
with "<". collapselab, prdc, and torch-fidelity's precision and recall alone.

Every contender runs in a process of its own that may use all cores, after a small call that loads what it needs. The
repetitions alternate between the contenders, and the median counts: a busy machine slows all of them (a contender that
takes longer than 10 seconds is run once). Memory is what the peak of the process's resident memory rises by during the
call (Linux). The ratio is the contender's wall time over that of collapselab on numpy arrays in the same run, so above
1 where collapselab is quicker. Processor seconds and the values are printed too; on a machine that is busy with
something else compare the processor seconds, with ``OMP_NUM_THREADS=1``.

On a GPU, where there is one: precision, recall, density and coverage of 50,000 x 50,000 x 2048. At the end comes
``extraction.py``: from image files to features, beside clean-fid.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

K = 5
SLOW_S = 10  # a contender that takes longer is run once


# -- contenders: each gives a function of nothing that computes, with everything loaded --------------------------------


def frechet_collapselab(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    from collapselab.metrics import METRICS

    return lambda: METRICS["frechet_distance"](real, fake)


def frechet_collapselab_tensors(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    import torch

    return frechet_collapselab(torch.from_numpy(real), torch.from_numpy(fake))


def frechet_collapselab_known(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    from collapselab.features import Features

    reference = Features(real)
    frechet_collapselab(reference, reference)()
    return frechet_collapselab(reference, fake)


def frechet_fidelity(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    statistics_of, distance = _fidelity()
    return lambda: distance(statistics_of(real), statistics_of(fake))


def frechet_fidelity_known(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    statistics_of, distance = _fidelity()
    reference = statistics_of(real)
    return lambda: distance(reference, statistics_of(fake))


def _fidelity():
    from collapselab.machine.compat import import_torchvision

    import_torchvision()
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    return (
        lambda features: fid_features_to_statistics(torch.from_numpy(features)),
        lambda one, other: fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID],
    )


def frechet_torchmetrics(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    from collapselab.machine.compat import import_torchvision

    import_torchvision()
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    identity = torch.nn.Identity()
    identity.num_features = real.shape[1]

    def compute() -> float:
        metric = FrechetInceptionDistance(feature=identity)
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(fake), real=False)
        return float(metric.compute())

    return compute


def frechet_scipy(real: np.ndarray, fake: np.ndarray) -> Callable[[], float]:
    import scipy.linalg

    def compute() -> float:
        apart = real.mean(axis=0, dtype=np.float64) - fake.mean(axis=0, dtype=np.float64)
        one, other = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
        root = scipy.linalg.sqrtm(one @ other)
        return float(apart @ apart + np.trace(one) + np.trace(other) - 2 * np.trace(root).real)

    return compute


def neighbours_collapselab(real: np.ndarray, fake: np.ndarray) -> Callable[[], list[float]]:
    from collapselab.features import Features
    from collapselab.metrics import METRICS

    def compute() -> list[float]:
        sides = Features.of(real), Features.of(fake)
        names = ("precision", "recall", "density", "coverage")
        return [float(METRICS[name](*sides, k=K, comparison="<")) for name in names]

    return compute


def neighbours_prdc(real: np.ndarray, fake: np.ndarray) -> Callable[[], list[float]]:
    import contextlib
    import io

    from prdc import compute_prdc

    def compute() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = compute_prdc(real, fake, nearest_k=K)
        return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]

    return compute


def neighbours_fidelity(real: np.ndarray, fake: np.ndarray) -> Callable[[], list[float]]:
    from collapselab.machine.compat import import_torchvision

    import_torchvision()
    import torch
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    def compute() -> list[float]:
        sides = torch.from_numpy(fake), torch.from_numpy(real)
        found = prc_features_to_metric(*sides, prc_neighborhood=K, verbose=False)
        return [found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL]]

    return compute


FRECHET = {
    "collapselab": frechet_collapselab,
    "collapselab, tensors": frechet_collapselab_tensors,
    "torch-fidelity": frechet_fidelity,
    "torchmetrics": frechet_torchmetrics,
    "scipy sqrtm": frechet_scipy,
    "collapselab, known real": frechet_collapselab_known,
    "torch-fidelity, known real": frechet_fidelity_known,
}
NEIGHBOURS = {
    "collapselab": neighbours_collapselab,
    "prdc": neighbours_prdc,
    "torch-fidelity (P, R)": neighbours_fidelity,
}
TASKS = {"frechet": FRECHET, "neighbours": NEIGHBOURS}


# -- one measurement, in a process of its own --------------------------------------------------------------------------


def measure(task: str, contender: str, folder: Path) -> dict:
    """Seconds of a call by the clock and of the processor, the MiB that memory rises by, and what came out."""
    real, fake = (np.load(folder / f"{side}.npy") for side in ("real", "fake"))
    make = TASKS[task][contender]
    make(real[:64, :8].copy(), fake[:64, :8].copy())()  # loads what it needs, starts the threads
    compute = make(real, fake)
    before = _peak_mib(reset=True)
    start, cpu = time.perf_counter(), time.process_time()
    value = compute()
    extra = _peak_mib() - before
    calls = 1
    while time.perf_counter() - start < 0.2:  # a call of a millisecond is timed by many
        compute()
        calls += 1
    seconds, cpu_seconds = (time.perf_counter() - start) / calls, (time.process_time() - cpu) / calls
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "extra_mib": extra, "value": value}


def _peak_mib(reset: bool = False) -> float:
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts anew at what is resident now
    line = next(
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


# -- the table ---------------------------------------------------------------------------------------------------------


def features(seed: int, rows: int, width: int, shift: float = 0.0) -> np.ndarray:
    """Correlated columns with variances 1 / i: (rows, width) float32."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0]
    source = np.random.default_rng(seed)
    return ((source.normal(size=(rows, width)) / np.sqrt(np.arange(1, width + 1)) + shift) @ turn).astype(np.float32)


def apart(task: str, contender: str, folder: Path) -> dict:
    """What ``measure`` gives, from a process of its own."""
    command = [sys.executable, __file__, "--one", task, contender, str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def compare(task: str, real: np.ndarray, fake: np.ndarray, repetitions: int, run=apart) -> Iterator[str]:
    """The lines of a table: median seconds and peaks of all contenders, over the same arrays."""
    found: dict[str, list[dict]] = {name: [] for name in TASKS[task]}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "real.npy"), real)
        np.save(Path(folder, "fake.npy"), fake)
        for _ in range(repetitions):
            for name, runs in found.items():
                if not runs or runs[-1]["seconds"] < SLOW_S:
                    runs.append(run(task, name, Path(folder)))
    for name, runs in found.items():
        seconds, ours = (statistics.median(run["seconds"] for run in each) for each in (runs, found["collapselab"]))
        cpu = statistics.median(run["cpu_seconds"] for run in runs)
        extra = statistics.median(run["extra_mib"] for run in runs)
        value = " ".join(f"{number:.10g}" for number in np.atleast_1d(runs[0]["value"]))
        yield f"  {name:27} {seconds:9.4f} s {seconds / ours:8.2f} x {cpu:9.4f} CPU s {extra:6.0f} MiB   {value}"


def on_gpu(rows: int, width: int) -> str:
    """Wall seconds and peak memory of the four numbers of ``rows`` real samples and as many fakes."""
    import torch

    from collapselab.features import Features
    from collapselab.metrics import METRICS

    torch.manual_seed(0)
    names = ("precision", "recall", "density", "coverage")
    for count in (1024, rows):  # the first loads the libraries of the device
        sides = [Features(torch.randn(count, width, device="cuda")) for _ in range(2)]
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        start = time.perf_counter()
        value = [float(METRICS[name](*sides, k=K)) for name in names]
        seconds = time.perf_counter() - start
    extra = (torch.cuda.max_memory_allocated() - held) / 2**20
    return f"  {torch.cuda.get_device_name()}: {seconds:.2f} s, {extra:.0f} MiB, {value}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="small arrays, once, in one process: whether everything runs"
    )
    parser.add_argument("--one", nargs=3, metavar=("TASK", "CONTENDER", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        task, contender, folder = arguments.one
        print(json.dumps(measure(task, contender, Path(folder))))
        return
    how = (1, measure) if arguments.quick else (arguments.repetitions, apart)
    for width in (16,) if arguments.quick else (64, 512, 2048):
        for rows in (8 * width if arguments.quick else 10_000, width // 2):
            print(f"Fréchet distance, {rows} x {width}", flush=True)
            sides = features(1, rows, width), features(2, rows, width, 0.01)
            print(*compare("frechet", *sides, *how), sep="\n", flush=True)
    rows, width = (200, 16) if arguments.quick else (10_000, 512)
    print(f"precision, recall, density, coverage, {rows} x {rows} x {width}", flush=True)
    sides = (np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32) for seed in (1, 2))
    print(*compare("neighbours", *sides, *how), sep="\n", flush=True)
    import torch

    if torch.cuda.is_available():
        size = (2_000, 64) if arguments.quick else (50_000, 2048)
        print(f"precision, recall, density, coverage on a GPU, {size[0]} x {size[0]} x {size[1]}")
        print(on_gpu(*size), flush=True)
    if not arguments.quick:
        subprocess.run([sys.executable, Path(__file__).with_name("extraction.py")], check=True)


if __name__ == "__main__":
    sys.exit(main())
