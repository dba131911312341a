"""Our way from a folder of images to features against clean-fid's, with the same module: images a second and the ratio.

The module is a stand-in that costs next to nothing (means over parts of the image), so that what is timed is reading,
decoding, resizing and batching. Both run in turn on the same PNG files, and their features are compared. clean-fid
reads in as many processes as there are cores, and again with its default of twelve; its faster time counts.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from collapselab.data.folder import ImageFolder
from collapselab.data.pictures import encode
from collapselab.features.published import INCEPTION_SIDE, Network, through
from collapselab.features.resize import resize
from collapselab.machine.compat import import_torchvision
from collapselab.machine.device import device, exact

import_torchvision()  # clean-fid needs it
from cleanfid.fid import get_folder_features  # noqa: E402
from cleanfid.resize import make_resizer  # noqa: E402

PARTS = 8  # the module's features are means over so many by so many parts


class Module(torch.nn.Module):
    """Images (n, 3, 299, 299) in 0..255 to (n, 192)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, PARTS).flatten(1)


def write_images(folder: Path, count: int, side: int) -> None:
    """PNG files of smooth pictures with some noise, which take about as many bytes as photographs."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.integers(0, 256, (count, 3, max(side // 8, 2), max(side // 8, 2)), dtype=np.uint8))
    folder.mkdir()
    for row in range(count):
        smooth = resize(coarse[row : row + 1], side)[0].numpy()
        pixels = np.clip(np.rint(smooth + random.normal(0, 4, smooth.shape)), 0, 255).astype(np.uint8)
        (folder / f"{row:06d}.png").write_bytes(encode(pixels))


def ours(folder: Path, module: torch.nn.Module, where: torch.device) -> np.ndarray:
    network = Network(INCEPTION_SIDE, lambda images: (module(images),))
    with exact(where):
        return through(network, ImageFolder(path=folder).pictures(), where)[0]


def theirs(folder: Path, module: torch.nn.Module, where: torch.device, workers: int) -> np.ndarray:
    return get_folder_features(str(folder), module, num_workers=workers, device=where, verbose=False)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(repetitions: int, **works: Callable[[], object]) -> dict[str, list[float]]:
    """Seconds of each, each once before it counts, then in turn."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(repetitions + 1):
        for name, work in works.items():
            took = seconds(work)
            if repetition:
                times[name].append(took)
    return times


def resizing(side: int, where: torch.device, repetitions: int) -> None:
    """The resize alone, of images in memory: ours on the device, clean-fid's of one image after the other."""
    images = np.random.default_rng(1).integers(0, 256, (64, 3, side, side), dtype=np.uint8)
    resizer = make_resizer("PIL", False, "bicubic", (INCEPTION_SIDE, INCEPTION_SIDE))

    def on_the_device() -> np.ndarray:
        return resize(torch.from_numpy(images).to(where), INCEPTION_SIDE).cpu().numpy()

    def by_pillow() -> np.ndarray:
        return np.stack([resizer(image.transpose(1, 2, 0)) for image in images]).transpose(0, 3, 1, 2)

    apart = np.abs(on_the_device() - by_pillow()).max()
    times = in_turn(repetitions, ours=on_the_device, pillow=by_pillow)
    report(f"resize alone, {side} px", len(images), times, apart)


def pipeline(side: int, count: int, where: torch.device, repetitions: int) -> None:
    module, cores = Module().to(where), os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        write_images(folder, count, side)
        apart = np.abs(ours(folder, module, where) - theirs(folder, module, where, cores)).max()
        times = in_turn(
            repetitions,
            ours=lambda: ours(folder, module, where),
            clean_fid=lambda: theirs(folder, module, where, cores),
            clean_fid_default=lambda: theirs(folder, module, where, 12),
        )
        shutil.rmtree(folder)
    report(f"folder to features, {side} px", count, times, apart)


def report(what: str, count: int, times: dict[str, list[float]], apart: float) -> None:
    if apart > 4e-3:
        raise SystemExit(f"{what}: the results are {apart:.2g} of 255 apart, allowed are 4e-3")
    medians = {name: statistics.median(took) for name, took in times.items()}
    for name, median in medians.items():
        spread = f"{count / max(times[name]):8.0f} to {count / min(times[name]):.0f}"
        print(f"{what:30} {name:18} {count / median:8.0f} images/s  ({spread})")
    others = min(median for name, median in medians.items() if name != "ours")
    print(
        f"{what:30} {'ratio':18} {others / medians['ours']:8.2f}           results {apart:.1e} of 255 apart", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    where = device()
    print(f"on {where}, {os.cpu_count()} cores, torch {torch.__version__}")
    for side in arguments.sides:
        resizing(side, where, arguments.repetitions)
        pipeline(side, arguments.count, where, arguments.repetitions)


if __name__ == "__main__":
    sys.exit(main())
