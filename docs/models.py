"""Writes docs/models.md: every model family, its presets and options as the code has them. A test compares the two.

python docs/models.py
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import BaseModel

from collapselab.models import MODELS
from collapselab.models.capabilities import Counts
from collapselab.models.diffusion import PRESETS as DIFFUSION_PRESETS
from collapselab.models.diffusion.networks import build
from collapselab.models.flow import PRESETS as FLOW_PRESETS
from collapselab.models.stylegan2 import PRESETS as STYLEGAN2_PRESETS
from collapselab.models.stylegan2.building import outlines
from collapselab.models.taxonomy import COLUMNS, taxonomy

PAGE = Path(__file__).with_suffix(".md")
SIDES = {"cifar10": 32, "small32": 32, "faces64": 64, "ffhq256": 256, "ffhq1024": 1024}
SHAPES = {"tiny": (1, 8, 8), "digits28": (1, 28, 28), "points": (2,)} | {
    preset: (3, side, side) for preset, side in SIDES.items()
}
INTRODUCTION = """\
# The models

Every family of models that a study can train, with its presets, their sizes and all options. A study names a family
and, where it has them, a preset; any option may follow:

```yaml
models:
  edm: {diffusion: {preset: cifar10, steps: 25}}
  faces: {stylegan2: {preset: ffhq256, r1_gamma: 2}}
```

## How a training runs

All families of networks are trained by one loop. What of it belongs to the study is an option below; what belongs to
the machine is an environment variable, and never changes what is asked, only how it is computed.

- **Data.** Images stay uint8, on the GPU where they fit into a quarter of its free memory, else in page-locked memory
  from which a thread fetches ahead. They are normalised, mirrored and augmented on the device.
- **Precision.** `float32`, `tf32`, or `bfloat16`: matrix products and convolutions in bfloat16, weights, averages and
  losses in float32.
- **Execution.** On a GPU a training first times a few steps of each way to run (memory layout, `torch.compile`, CUDA
  graphs, the largest micro-batch that fits) and remembers the quickest for this GPU, version of torch and network in
  `~/.cache/collapselab`, where compiled kernels lie, too: the next generation compiles nothing. A CPU runs eagerly.
  `COLLAPSELAB_EXECUTION` says otherwise: `auto`, `eager`, or a list such as `channels_last,compile,micro_batch=64`.
- **Several GPUs.** `COLLAPSELAB_PROCESSES=4` runs each training, adaptation and sampling as four processes, a GPU each;
  `torchrun --nproc-per-node 4 -m collapselab train ...` does the same by hand. Random numbers are drawn for the whole
  batch and then cut, so that the same training comes out, to rounding; samples come out the same to the bit.
- **Checkpoints** are written every ten minutes (`COLLAPSELAB_CHECKPOINT_SECONDS`) and when a SIGTERM or SIGUSR1 asks to
  stop; the process then ends with 143 and the same command goes on, to the same bits on the same machine with as many
  processes. On another one it is refused, unless `--allow-nonidentical` (`COLLAPSELAB_ALLOW_NONIDENTICAL=1`), which is
  noted in the model.
- **Divergence**, a loss or a weight that is no number, ends a training with 7; in a study it is recorded and drawn.
- **Snapshots** (`snapshots: n`) are kept beside the model for inspection; the last weights are the ones that count.
- **Record.** `train.cost.json` holds images a second, energy and where it was read, operations, memory and device.

`collapselab plan STUDY` says what a study costs on this device before it runs, from a timing of its models that is
kept; `collapselab throughput STUDY --out gpu.json` takes it on another machine, for
`collapselab plan STUDY --throughput gpu.json`.

## Starting from published weights

`collapselab weights import` makes a model of a StyleGAN2-ADA pickle (nothing in it is run: it is read as data) or of a
folder of diffusers' `UNet2DModel`, and prints the line that names its network under a study's `models`. The study
starts from it with `init: {weights: FILE, then: previous}`, and takes it as it is at generation 0 with
`train: {images_seen: {0: 0, 1: N}}`.

<!-- run by tests/test_stylegan2_published.py -->
```bash
collapselab weights import ffhq.pkl --out data/ffhq1024.safetensors
collapselab weights import ddpm-cifar10-32/ --out data/ddpm.safetensors
```

Of StyleGAN2 both layouts of the networks' arguments are read, those within `synthesis_kwargs` and the later ones beside
one another; of diffusers weights that are whole, in several files with their index, or in half precision where there is
no other. The processes are a DDPM's, EDM's, flow matching's and those of exploding variance (`ScoreSdeVeScheduler`,
`KarrasVeScheduler`, whose networks see images in [0, 1]). What describes another process or network is refused by the
name of its class: schedulers of consistency models, pipelines whose network makes latents; StyleGAN3, pickles of EDM's
own code and of TensorFlow.

What such a file says is held against what a study asks: `collapselab validate` refuses weights of another size, colour
or kind of sample than the data, and a model with other options than those that the weights were made with.

## The length of the average

`ema: power` keeps averages of the weights after Karras et al. 2024 (EDM2, https://arxiv.org/abs/2312.02696), from which
one of any width is made after the training. Where `ema_std` is not said, generation 0 takes the width with the least
loss on `data.split.validation`, and all later generations of all arms keep it.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([INTRODUCTION, *_table(), *(_family(name) for name in MODELS)])


def _table() -> Iterator[str]:
    """All families by what is known of their density."""
    yield "## All families\n"
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for row in taxonomy(MODELS):
        yield f"| `{row['family']}` | {' | '.join(row[column] for column in COLUMNS[1:])} |"
    yield ""


def _family(name: str) -> str:
    family = MODELS[name]
    about = _first(sys.modules[family.__module__])  # in words; the class says it in symbols
    parts = [f"## `{name}`\n", f"{about} Takes {' and '.join(family.takes)}.\n", f"{_first(family)}\n"]
    presets = {"diffusion": DIFFUSION_PRESETS, "stylegan2": STYLEGAN2_PRESETS, "flow": FLOW_PRESETS}.get(name)
    if presets and issubclass(family, Counts):
        parts += [
            "| preset | made for | parameters | GFLOP a training image | GFLOP a sample |",
            "|---|---|---|---|---|",
        ]
        parts += [*(_preset(name, preset) for preset in presets), ""]
    if presets:
        parts += [*(f"- `{preset}`: {_said(options)}" for preset, options in presets.items()), ""]
    parts += ["| option | default | what it is |", "|---|---|---|", *option_rows(family.Options), ""]
    return "\n".join(parts)


def _preset(family: str, preset: str) -> str:
    shape = SHAPES[preset]  # of what it is made for
    options = MODELS[family].Options(preset=preset)
    with torch.device("meta"):
        networks = [build(options, shape)] if family == "diffusion" else outlines(options, shape)
    counts = " + ".join(f"{sum(weight.numel() for weight in one.parameters()) / 1e6:,.2f} M" for one in networks)
    flops = MODELS[family].flops_per_image(options, shape)
    numbers = " | ".join(f"{flops[work] / 1e9:,.{3 if flops[work] < 1e9 else 1}f}" for work in ("training", "sampling"))
    return f"| `{preset}` | {' x '.join(map(str, shape))} | {counts} | {numbers} |"


def _said(options: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in options.items()) or "the defaults below"


def option_rows(options: type[BaseModel], leave_out: tuple[str, ...] = ()) -> Iterator[str]:
    """The rows of a table of options: each with its default, and what it is."""
    for name, field in options.model_fields.items():
        if name in leave_out:
            continue
        default = "required" if field.is_required() else f"`{_json(field.get_default(call_default_factory=True))}`"
        told = (field.description or "").replace("|", "&#124;")
        if get_origin(field.annotation) is Literal:
            told += f"; allowed: {', '.join(f'`{json.dumps(value)}`' for value in get_args(field.annotation))}"
        yield f"| `{name}` | {default} | {told} |"


def _json(value: Any) -> str:
    return json.dumps(
        value, default=lambda one: one.model_dump(mode="json") if isinstance(one, BaseModel) else str(one)
    )


def _first(thing: Any) -> str:
    return " ".join((thing.__doc__ or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
