"""Training steps a second on a CPU: our diffusion beside two packages, our StyleGAN2 beside its textbook form.

Four comparisons, each in one run, all contenders with the same images, batch and threads:

unet8, unet16       our U-Net, diffusers' UNet2DModel and denoising-diffusion-pytorch's Unet, sized to equal parameters
                    and equal FLOPs of a training step (within 3 %; torch.utils.flop_counter), at 8 x 8 x 1, which is
                    what the preset "tiny" is for, and at 16 x 16 x 3
tiny                the preset "tiny" itself, a perceptron, and the two at equal parameters; its FLOPs are far
                    fewer, and are printed
stylegan2           our generator and discriminator with R1 and path length, averaged over 16 steps, and the textbook
                    form (peers.py): per-sample kernels in grouped convolutions, unfused filters, separate bias, noise
                    and activation, torch's Adam; the same options, and the same images from the same weights

What is timed of ours is ``fit`` as a study calls it, from its second step on: shuffled rows, uint8 to float, EDM's loss
with its weights, Adam, moving average, loss curve and guard against divergence. The peers run the steps of their own
training scripts over images that lie in memory as float32 tensors: the loss of DDPM, clipped gradients, AdamW or Adam,
their own moving averages.

Every contender is a process of its own. They take turns, a few seconds each; a ratio is that of two neighbouring turns,
above 1 where ours is quicker, and the median over the rounds counts, since a busy machine slows all. On a machine that
is busy with something else compare the processor's seconds, with ``OMP_NUM_THREADS=1``. Memory is the peak of the
process's resident memory over what it held with everything imported (Linux).
"""

import argparse
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from torch import nn

from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS

TURN_S = 3.0  # how long a contender trains before the next one does
SKIPPED = 1  # the first step of a training of ours, which allocates
IMAGES = 1024


# -- our steps ---------------------------------------------------------------------------------------------------------


def fit_run(family: str, options: Mapping[str, Any], images: np.ndarray) -> peers.Run:
    """``run(steps)`` of one of our families: trainings from the beginning, timed by what they report."""
    model = MODELS[family]
    importlib.import_module(f"collapselab.models.{family}.training")  # as the others, before memory is compared
    settings = model.Options(**options)
    labels = np.arange(len(images), dtype=np.int64) % settings.classes if settings.classes else None
    training = TrainingSet(images, labels, np.ones(len(images)))

    def run(steps: int) -> tuple[float, float]:
        reports: list[tuple[int, tuple[float, float]]] = []

        def progress(images_seen: int, loss: float) -> None:
            reports.append((images_seen, peers.clocks()))

        model.fit(training, settings, Run(0, images_seen=settings.batch * (steps + SKIPPED), progress=progress))
        seen, start = next(report for report in reports if report[0] >= SKIPPED * settings.batch)
        last, end = reports[-1]
        share = steps / ((last - seen) / settings.batch)
        return tuple((now - then) * share for now, then in zip(end, start, strict=True))

    return run


def our_network(options: Mapping[str, Any], shape: tuple[int, int, int]) -> nn.Module:
    from collapselab.models.diffusion.networks import build

    return build(MODELS["diffusion"].Options(**options), shape)


# -- what is compared --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """shape: (C, H, W) of the images. batch: of all. Each contender: how its run is made, and its network(s).

    whole: a turn is a multiple of so many steps.
    """

    shape: tuple[int, int, int]
    batch: int
    runs: Mapping[str, Callable[[np.ndarray], peers.Run]]
    networks: Mapping[str, Callable[[], nn.Module]]
    whole: int = 1


def floats(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).float() / 127.5 - 1


def beside_packages(
    shape: tuple[int, int, int],
    options: Mapping[str, Any],
    diffusers: Mapping[str, Any],
    lucidrains: Mapping[str, Any],
    batch: int,
) -> Comparison:
    """Our diffusion of some options, and the two packages' networks of some sizes."""
    options = {**options, "batch": batch}
    return Comparison(
        shape,
        batch,
        {
            "collapselab": lambda images: fit_run("diffusion", options, images),
            "diffusers": lambda images: peers.timed(peers.diffusers_step(floats(images), batch, **diffusers)),
            "denoising-diffusion-pytorch": lambda images: peers.timed(
                peers.lucidrains_step(floats(images), batch, **lucidrains)
            ),
        },
        {
            "collapselab": lambda: our_network(options, shape),
            "diffusers": lambda: peers.diffusers_unet(shape, **diffusers),
            "denoising-diffusion-pytorch": lambda: peers.lucidrains_unet(shape, **lucidrains),
        },
    )


def beside_textbook(resolution: int, batch: int, **sizes: int) -> Comparison:
    """Our StyleGAN2 and the textbook's. sizes: width, mapping_layers, channel_base, channel_max."""
    channels = {name: sizes[name] for name in ("channel_base", "channel_max")}
    options = {
        **STYLEGAN2,
        **channels,
        "z_width": sizes["width"],
        "w_width": sizes["width"],
        "mapping_layers": sizes["mapping_layers"],
        "batch": batch,
    }

    def textbook(images: np.ndarray) -> peers.Run:
        networks = peers.Generator(resolution, **sizes), peers.Discriminator(resolution, **channels)
        step = peers.stylegan2_step(*networks, floats(images), batch, gamma=0.01, learning_rate=0.0025)
        return peers.timed(step)

    def ours() -> nn.Module:
        from collapselab.models.stylegan2.networks import Discriminator, Generator

        width = {"z_width": sizes["width"], "w_width": sizes["width"], "mapping_layers": sizes["mapping_layers"]}
        return nn.ModuleList([Generator(resolution, **width, **channels), Discriminator(resolution, **channels)])

    def theirs() -> nn.Module:
        return nn.ModuleList([peers.Generator(resolution, **sizes), peers.Discriminator(resolution, **channels)])

    return Comparison(
        (3, resolution, resolution),
        batch,
        {"collapselab": lambda images: fit_run("stylegan2", options, images), "textbook": textbook},
        {"collapselab": ours, "textbook": theirs},
        whole=16,
    )


def cost(network: nn.Module, shape: tuple[int, int, int]) -> tuple[int, float]:
    """Parameters of a denoiser, and FLOPs of a forward and a backward pass for one image (2 a multiply-add)."""
    from torch.utils.flop_counter import FlopCounterMode

    given = (torch.zeros(1, *shape), torch.zeros(1))
    labels = getattr(getattr(network, "embedding", None), "label", None)
    if type(network).__module__.startswith("collapselab"):
        given = (*given, None if labels is None else torch.zeros(1, len(labels)))
    with FlopCounterMode(display=False) as counter:
        found = network(*given)
        getattr(found, "sample", found).sum().backward()
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops()


def same_images(comparison: Comparison) -> float:
    """How far the textbook's images and logits are from ours with the same weights, over their largest."""
    torch.manual_seed(0)
    ours, theirs = (comparison.networks[name]() for name in ("collapselab", "textbook"))
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
    theirs.load_state_dict(ours.state_dict())
    z = torch.randn(8, ours[0].mapping.z_width)
    with torch.no_grad():
        images = ours[0](z, noise=ours[0].stored_noise()), theirs[0](z, fresh=False)
        logits = ours[1](images[0]), theirs[1](images[0])
    return max(float((one - other).abs().max() / one.abs().max()) for one, other in (images, logits))


# -- turns -------------------------------------------------------------------------------------------------------------


def peak_mib() -> float:
    line = next(
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) / 1024


def images_of(comparison: Comparison) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (IMAGES, *comparison.shape), dtype=np.uint8)


class Here:
    """A contender in this process: seconds of so many steps."""

    def __init__(self, comparison: str, contender: str):
        torch.manual_seed(0)
        chosen = COMPARISONS[comparison]
        images = images_of(chosen)
        self.run = chosen.runs[contender](images)
        self.before = peak_mib()

    def turn(self, steps: int) -> dict[str, float]:
        seconds, cpu_seconds = self.run(steps)
        return {"seconds": seconds / steps, "cpu_seconds": cpu_seconds / steps, "mib": peak_mib() - self.before}

    def close(self) -> None:
        pass


class Apart:
    """The same in a process of its own, which sleeps between its turns."""

    def __init__(self, comparison: str, contender: str):
        command = [sys.executable, __file__, "--worker", comparison, contender]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self, steps: int) -> dict[str, float]:
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def work(comparison: str, contender: str) -> None:
    """The process of a contender: a number of steps on each line of its input, the result on its output."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a package prints is no result
    contender = Here(comparison, contender)
    for line in sys.stdin:
        print(json.dumps(contender.turn(int(line))), file=out, flush=True)


def compare(name: str, rounds: int, turn_s: float = TURN_S, place: type = Apart) -> Iterator[str]:
    """The lines of a comparison's table."""
    chosen = COMPARISONS[name]
    if chosen.whole == 1:
        costs = {who: cost(make(), chosen.shape) for who, make in chosen.networks.items()}
    else:
        apart = same_images(chosen)
        if apart > 1e-4:
            raise SystemExit(f"{name}: the images are {apart:.1e} apart, allowed are 1e-4")
        yield f"{name}: images and logits from the same weights are {apart:.0e} apart"
        costs = {
            who: (sum(parameter.numel() for parameter in make().parameters()), math.nan)
            for who, make in chosen.networks.items()
        }
    places = {who: place(name, who) for who in chosen.runs}
    try:
        steps = {}
        for who, one in places.items():
            one.turn(chosen.whole)  # loads what it needs
            steps[who] = chosen.whole * max(1, round(turn_s / one.turn(chosen.whole)["seconds"] / chosen.whole))
        turns: dict[str, list[dict[str, float]]] = {who: [] for who in places}
        for _ in range(rounds):
            for who, one in places.items():
                turns[who].append(one.turn(steps[who]))
    finally:
        for one in places.values():
            one.close()
    shape = " x ".join(map(str, (*chosen.shape[1:], chosen.shape[0])))
    yield f"{name}: {shape}, batch {chosen.batch}, {rounds} rounds"
    for who, taken in turns.items():
        seconds = statistics.median(turn["seconds"] for turn in taken)
        ratios, cpu = (
            sorted(turn[clock] / ours[clock] for turn, ours in zip(taken, turns["collapselab"], strict=True))
            for clock in ("seconds", "cpu_seconds")
        )
        parameters, flops = costs[who]
        flops = "" if math.isnan(flops) else f"{flops / 1e6:8.1f} MFLOP"
        yield (
            f"  {who:28} {parameters / 1e6:6.3f} M {flops} {1 / seconds:8.2f} steps/s"
            f"   ratio {statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            f"   of CPU time {statistics.median(cpu):5.2f}"
            f"   {max(turn['mib'] for turn in taken):6.0f} MiB"
        )


UNET = {"network": "unet", "channels": 32, "multipliers": (1, 2), "blocks": 2, "attention": (), "classes": 0}
STYLEGAN2 = {
    "preset": "cifar10",
    "classes": 0,
    "residual": True,
    "deviation_group": 4,
    "path_weight": 2.0,
    "style_mixing": 0.9,
    "r1_gamma": 0.01,
    "learning_rate": 0.0025,
    "augment": "none",
    "flip": False,
    "precision": "float32",
}
COMPARISONS = {
    "unet8": beside_packages(
        (1, 8, 8),
        UNET,
        {"channels": (48, 72), "layers": 1},
        {"width": 24, "multipliers": (2, 3), "heads": 2},
        batch=128,
    ),
    "unet16": beside_packages(
        (3, 16, 16),
        UNET,
        {"channels": (48, 72), "layers": 1},
        {"width": 36, "multipliers": (1, 2), "heads": 2},
        batch=64,
    ),
    "tiny": beside_packages(
        (1, 8, 8),
        {"preset": "tiny"},
        {"channels": (32, 40), "layers": 2},
        {"width": 24, "multipliers": (1, 2), "heads": 4},
        batch=128,
    ),
    "stylegan2": beside_textbook(32, 16, width=128, mapping_layers=2, channel_base=1024, channel_max=128),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a step or so of each: whether everything runs")
    parser.add_argument("--worker", nargs=2, metavar=("COMPARISON", "CONTENDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
        return
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}", flush=True)
    for name in arguments.only:
        how = (1, 0.0, Here) if arguments.quick else (arguments.rounds,)
        print(*compare(name, *how), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
