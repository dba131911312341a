"""What each job of the workflow asks a cluster for: a GPU, processors, memory and minutes, as its model's family needs.

Time of networks follows from ``collapselab throughput``, which keeps in the user's cache what it has measured, on any
device; without a measurement it is guessed from their operations and steps. What only passes on that a lineage has
ended asks for next to nothing. A rule asks for these, and ``set-resources`` of a profile beats them. They are no part
of what makes a job run again.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import Damaged
from ..features import FEATURES
from ..models import MODELS
from ..models.capabilities import Counts
from ..store.cells import CELL
from ..store.tensors import read_metadata
from . import looking, sampled
from . import throughput as speeds
from .drawn import shape_of
from .jobs import Place, decisions, inputs
from .study import Study

GRES_VARIABLE = "COLLAPSELAB_GRES"  # what a job with a GPU asks Slurm for; empty on a cluster without GPUs
TRAINING = frozenset({"train", "adapt", "auxiliary"})  # each a job of its own: what it took hours to make is at stake
SAMPLING = frozenset({"draw", "sample", "sample_raw", "sample_marked", "grid"})
JUDGED = ("select", "record", "stop")  # of a generation; where people judge they are a job of a cluster of their own
GROUPED = ("sample", "sample_raw", "sample_marked", "grid", "transform", *JUDGED, "extract")
"""The verbs of a generation that share a job of a cluster."""

FRAME_MB = 1_500  # Python, its libraries and the two snakemakes around a job
TORCH_MB = 2_500  # torch, and on a GPU the driver's part of the host's memory
COPIES = 6  # of its data that a job holds at most
BEGIN_MINUTES = 5  # that a job takes beside its work: imports, reading, a busy file system
TRAINING_MINUTES = (
    15  # of a training, and of a draw, which may be one job; the profile keeps 5 for the state at the end
)
MARGIN = 1.5  # by which a measured time may be off beside its own spread: nodes differ
GUESSED_MINUTES = {"training": 1440, "sampling": 120}  # at most, of a network that nobody has timed
GUESS = 3.0  # by which such a guess is taken to be too low
STEP_S = 0.05  # that a training step, or a batch of samples, takes at least: what a GPU is told, a layer at a time
GPU_FLOPS, CPU_FLOPS = 5e12, 1e10  # operations a second that a network is taken to do on a device that nobody knows
FEW_ROWS = 5_000  # samples up to which metrics take moments
GPU_CPUS = 4  # beside a GPU: feeding it, and libraries' threads
# What stands in logs of a job that met its limit, or was told ahead of it: Slurm's word of job and step, or the verb's.
OUT_OF_TIME = re.compile(r"DUE TO TIME LIMIT|STEP [\d.]+ ON \S+ CANCELLED|the same command goes on from there")
SLURM_LOGS = Path(".snakemake/slurm_logs")  # where the executor plugin leaves what a failed job said
TAIL_BYTES = 20_000  # of a log, in which the reason of an end stands


class Request(NamedTuple):
    """gpus: that the job computes on. cpus, minutes, memory_mb: as many as it is likely to need, with room."""

    gpus: int
    cpus: int
    minutes: int
    memory_mb: int


def request(study: Study, verb: str, place: Place, attempt: int = 1, out_of_time: bool = False) -> Request:
    """What a job asks for. attempt: from 1. out_of_time: whether it is tried again for want of time.

    A further attempt asks for more of what was lacking: of time, or else of memory.
    """
    over = is_over(study, verb, place)
    gpus = int(not over and needs_gpu(study, verb, place))
    minutes = _frame_minutes(verb) if over else _minutes(study, verb, place)
    memory_mb = FRAME_MB if over else _memory_mb(study, verb, bool(gpus))
    factor = max(1, attempt)
    minutes, memory_mb = (minutes * factor, memory_mb) if out_of_time else (minutes, memory_mb * factor)
    return Request(gpus, cpus(study, verb, place) or 1, minutes, memory_mb)


def turn(study: Study, place: Place) -> int:
    """The priority of a job: of those that are ready the greatest runs first, and so an earlier generation.

    Real data count as of generation 0; what is not of a generation and reads all of them has priority 0.
    """
    return study.file.generations + 1 - place.generation


def gres(study: Study, verb: str, place: Place) -> str | None:
    """The generic resource that a job asks Slurm for; None where it needs no GPU.

    The rules of one Slurm job say the same, since Snakemake takes only equal words together.
    """
    if is_over(study, verb, place):
        return None
    return (wanted_gres() or None) if any(needs_gpu(study, one, place) for one in _beside(study, verb, place)) else None


def _beside(study: Study, verb: str, place: Place) -> tuple[str, ...]:
    """The verbs that share a job of a cluster with one."""
    if verb not in GROUPED:
        return (verb,)
    apart = JUDGED if judged_group(study, place) != cell_group(study.name, place) else ()
    return JUDGED if verb in apart else tuple(one for one in GROUPED if one not in apart)


def wanted_gres() -> str:
    """What a job with a GPU asks for on this cluster; empty where there are none."""
    return os.environ.get(GRES_VARIABLE, "gpu:1").strip()


def is_over(study: Study, verb: str, place: Place) -> bool:
    """Whether a job only passes on that its lineage has ended, by what lies there when the job is ready to begin."""
    if verb in ("draw", "train"):
        before = f"/gen{place.generation - 1}/"
        read = [file for file in inputs(study, "train", place) if before in file]
        return any(_stopped(Path(file)) for file in decisions(study, "train", place)) or any(map(_ended, read))
    if verb in (*TRAINING, *GROUPED):
        return _ended(
            study.cell(*place.cell, "model.safetensors") if verb in TRAINING else study.model_file(*place.cell)
        )
    return False


def _stopped(decision: Path) -> bool:
    with suppress(OSError, ValueError, TypeError, KeyError):
        return json.loads(decision.read_text(encoding="utf-8"))["stopped"] is not None
    return False


def _ended(file: str) -> bool:
    """Whether a model, or samples, are the marker of a lineage that has ended."""
    with suppress(OSError, Damaged, TypeError, AttributeError):
        return file.endswith(".safetensors") and "diverged" in read_metadata(Path(file)).get("lineage", {})
    return False


def needs_gpu(study: Study, verb: str, place: Place) -> bool:
    """Whether a job computes with a network."""
    arms = [place.arm]
    if verb == "draw":
        arms = [name.partition(":")[0] for name in study.resampled(*place.cell)]
    if verb in SAMPLING and verb != "draw" and (by := study.lineages[place.arm].drawn_by):
        arms.append(by)
    if verb in TRAINING | SAMPLING:
        return any(MODELS[study.family(study.model_of(arm))].uses_torch for arm in arms)
    if verb in ("learn", "extract_real"):
        return looking.needs_gpu(study, [place.extractor]) or FEATURES[place.extractor].uses_torch
    asks = {"extract": lambda: looking.needs_gpu(study, looking.measured_in(study, place.arm))}
    asks |= {"select": lambda: looking.selects_on_gpu(study, place.arm)}
    asks |= {"transform": lambda: looking.changes_on_gpu(study, place.arm)}
    return asks[verb]() if verb in asks else False


def may_need_gpu(study: Study) -> bool:
    """Whether any job of a study may compute with a network."""
    networks = any(MODELS[study.family(model)].uses_torch for model in study.file.models)
    return networks or looking.needs_gpu(study, study.extractors) or study.kind == "images"


def _minutes(study: Study, verb: str, place: Place) -> int:
    if verb in ("prepare", "populate", "task", "learn", "extract_real", "baseline"):
        return 60
    if verb == "replicate":
        return 240
    if verb not in TRAINING | SAMPLING:
        return BEGIN_MINUTES if study.file.samples <= FEW_ROWS else 60
    beside = _frame_minutes(verb)
    if not needs_gpu(study, verb, place):
        return beside
    work, images = _images(study, verb, place)
    images *= sampled.evaluations(study, place.arm) if work == "sampling" else 1
    by = study.lineages[place.arm].drawn_by if work == "sampling" and verb != "draw" else ""
    model = study.model_of(by or place.arm)
    timed = _timed(study, model)
    if timed is None:
        guess = math.ceil(GUESS * _guessed_seconds(study, model, work, images) / 60)
        return beside + min(guess, GUESSED_MINUTES[work])
    seconds = images / getattr(timed, f"{work}_images_per_second") / (1 - min(timed.spread, 0.9))
    return beside + math.ceil(MARGIN * seconds / 60)


def _frame_minutes(verb: str) -> int:
    """The minutes that a job takes beside its work."""
    return TRAINING_MINUTES if verb in TRAINING | {"draw"} else BEGIN_MINUTES


def _guessed_seconds(study: Study, model: str, work: str, images: int) -> float:
    """How long a network takes that nobody has timed: its steps, or its operations where those take longer.

    A sample of a network that counts no operations takes as many evaluations as it has steps; else one.
    """
    options, rate = study.parsed_options(model), GPU_FLOPS if wanted_gres() else CPU_FLOPS
    batch = options.batch if work == "training" else options.sample_batch
    evaluations = 1 if work == "training" else 2 * getattr(options, "steps", 1)
    steps = math.ceil(images / batch) * evaluations
    return max(STEP_S * steps, images * _operations(study, model).get(work, 0.0) / rate)


@cache
def _operations(study: Study, model: str) -> Mapping[str, float]:
    """The floating-point operations of an image of a model, by the work; nothing where its family does not count them.

    Counting them loads torch.
    """
    family = MODELS[study.family(model)]
    with suppress(ValueError, ImportError):
        if isinstance(family, type) and issubclass(family, Counts):
            return family.flops_per_image(study.parsed_options(model).settled(), study.shape)
    return {}


def _images(study: Study, verb: str, place: Place) -> tuple[str, int]:
    """Which work a job of a network is, and of how many images."""
    if verb in TRAINING:
        beside = study.images_beside(place.arm, place.generation) if verb != "train" else 0
        return "training", beside or study.images_seen(place.arm, place.generation) or _rows(study)
    return "sampling", study.file.grid if verb == "grid" else max(study.file.samples, _rows(study) * (verb == "draw"))


@cache
def _timed(study: Study, model: str) -> speeds.Throughput | None:
    """What was last measured of a model, on whatever device."""
    with suppress(ValueError, OSError):
        what = study.family(model), study.parsed_options(model), shape_of(study, model)
        return speeds.find(speeds.read(speeds.cache()), *what)
    return None


def _memory_mb(study: Study, verb: str, network: bool) -> int:
    row = math.prod(study.shape) * (1 if study.kind == "images" else 8)  # bytes, as data lies in a file
    rows = max(_rows(study), study.file.samples)
    looks = sum(2048 * 4 for _ in study.measured_in) if verb in ("extract", "record", "baseline", "extract_real") else 0
    size_mb = COPIES * rows * (row + looks) / 2**20
    return FRAME_MB + (TORCH_MB if network else 0) + 100 * math.ceil(size_mb / 100)


@cache
def _rows(study: Study) -> int:
    """The most rows that a training set of the study has."""
    return max(max(study.sizes(arm)) for arm in study.lineages)


def cpus(study: Study, verb: str, place: Place) -> int | None:
    """The processors that a job needs beside the one that each has."""
    wanted = verb in TRAINING and needs_gpu(study, verb, place) and not is_over(study, verb, place)
    return GPU_CPUS if wanted else None


# -- what was lacking --------------------------------------------------------------------------------------------------


def again(study: Study, verb: str, wildcards: Any, attempt: int) -> Request:
    """What the workflow's job asks for at an attempt, after the reason for which the last one ended."""
    place = Place.of(wildcards)
    cut_off = attempt > 1 and _was_cut_off(study.name, verb, place, "_".join(map(str, wildcards)))
    return request(study, verb, place, attempt, cut_off)


def _was_cut_off(study: str, verb: str, place: Place, wildcards: str) -> bool:
    """Whether the last attempt at a job ended at its time limit, or was asked to stop ahead of it, by what it left."""
    group = cell_group(study, place)
    patterns = (
        [f"group_{group}/train_*"] if verb in ("draw", "train") else [f"group_{group}_*", f"group_{group}/judged_*"]
    )
    folders = [
        SLURM_LOGS / f"rule_{verb}" / wildcards,
        *(one for pattern in patterns for one in SLURM_LOGS.glob(pattern)),
    ]
    logs = [path for folder in folders for path in folder.glob("*.log")]
    latest = [max(logs, key=lambda path: path.stat().st_mtime)] if logs else []
    own = Path("logs", group, f"{verb}-{place.role}.log" if place.role else f"{verb}.log")
    return any(OUT_OF_TIME.search(_end_of(path)) for path in [own, *latest])


def _end_of(path: Path) -> str:
    with suppress(OSError), open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return stream.read().decode("utf-8", "replace")
    return ""


def cell_group(study: str, place: Place) -> str:
    """What a generation of a lineage is called where it is one job of a cluster: study/arm/seed/generation."""
    return CELL.removeprefix("results/").format(
        study=study, arm=place.arm, seed=place.seed, generation=place.generation
    )


def training_group(study: Study, place: Place) -> str | None:
    """The job of a training, and of what is drawn for it where that costs little; None where each is one by itself."""
    cheap = study.needs_drawing(place.arm, place.generation) and not study.resampled(*place.cell)
    return f"{cell_group(study.name, place)}/train" if cheap else None


def judged_group(study: Study, place: Place) -> str:
    """The job of what selects in a generation; where that follows people's judgement, it is one by itself."""
    arms = place.arm, study.yoked.get(place.arm, place.arm)
    return cell_group(study.name, place) + ("/judged" if any(map(study.awaits_ballots, arms)) else "")
