"""How fast a device trains and samples a model, and so what a study will cost there, before it is spent.

A model's own training steps and sampler are run for some seconds, on random images. Where even the fewest steps would
take minutes (a large network on a CPU), fewer images are taken at once, or the floating-point operations are counted
and divided by how many a second the device does of others; ``extrapolated`` then says so.
"""

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .. import store
from ..core.ask import Ask
from ..core.errors import Foreign, Interrupted
from ..core.run import Run
from ..core.sets import TrainingSet
from ..machine.energy import Meter
from ..models import MODELS
from ..models.capabilities import Counts
from ..store import provenance

if TYPE_CHECKING:
    import torch

SECONDS = 10.0  # that training, and then sampling, is timed after its first step
CYCLE = 16  # steps after which all that is done now and then (regularisation) has been done as often as it should
SLOW_FLOPS = 5e10  # a second; what a CPU is at least taken for, to choose how many images it can be asked for
MOST_STEPS = 100_000  # that are asked for; a curve of all is held
ROWS = 1024  # of the data, at most
LEAST_SPREAD = 0.1  # by which a rate may be off, either way: other data, a warmer device
EXTRAPOLATED_SPREAD = 0.5
SHOWN_LETTERS = 300

Source = Literal["nvml", "rapl", "estimate"]


class Throughput(BaseModel):
    """What was measured of one model on one device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(description="its name")
    torch: str = Field(description="version of torch; empty where the family does without")
    family: str = Field(description="a name of MODELS")
    source: str = Field(description="hash of the family's source code")
    options: dict[str, Any] = Field(description="the family's options")
    shape: tuple[int, ...] = Field(description="of one sample")
    training_images_per_second: float = Field(gt=0, allow_inf_nan=False)
    sampling_images_per_second: float = Field(gt=0, allow_inf_nan=False)
    spread: float = Field(ge=0, le=1, description="relative, by which either rate may be off")
    watts: float = Field(ge=0, allow_inf_nan=False, description="mean power while it trained")
    energy_source: Source = Field(description="where the watts come from")
    peak_memory_bytes: int = Field(ge=0, description="of the GPU, or of the whole process on a CPU")
    training_flops_per_image: float | None = Field(None, description="two a multiply-add; null where it is not counted")
    sampling_flops_per_image: float | None = Field(None, description="likewise")
    extrapolated: str = Field("", description="how the numbers were got where not by running just this; else empty")


class Work(NamedTuple):
    """What a study asks of one model, over all arms, seeds and generations: images seen in training, and made."""

    trained: int
    sampled: int


class Cost(NamedTuple):
    """Hours of one device and kilowatt hours of it, each as (low, expected, high). extrapolated: as measured."""

    hours: tuple[float, float, float]
    kilowatt_hours: tuple[float, float, float]
    extrapolated: bool


def cost(work: Mapping[str, Work], measured: Mapping[str, Throughput]) -> Cost:
    """What the work of each model costs at its throughput, summed.

        hours = (trained / training rate + sampled / sampling rate) / 3600     kWh = hours watts / 1000

    A rate may be off by its spread s, so that hours range from hours / (1 + s) to hours / (1 - s). Energy is that of
    the device alone. Raises ValueError for a model that has work and was not measured.
    """
    if missing := sorted(name for name, todo in work.items() if any(todo) and name not in measured):
        raise ValueError(f"throughput: found none of {', '.join(missing)}, needed is one of each model")
    hours, energy = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for name, todo in work.items():
        if not any(todo):
            continue
        rate = measured[name]
        seconds = todo.trained / rate.training_images_per_second + todo.sampled / rate.sampling_images_per_second
        off = min(rate.spread, 0.9)
        for index, factor in enumerate((1 / (1 + off), 1.0, 1 / (1 - off))):
            hours[index] += factor * seconds / 3600
            energy[index] += factor * seconds / 3600 * rate.watts / 1000
    used = [measured[name] for name, todo in work.items() if any(todo)]
    return Cost(tuple(hours), tuple(energy), any(rate.extrapolated for rate in used))


# -- measuring --------------------------------------------------------------------------------------------------------


def measure(family: str, options: BaseModel, shape: Sequence[int], *, seconds: float = SECONDS) -> Throughput:
    """The throughput of a model of samples of ``shape`` on this process's device, by running it.

    Takes about ``seconds`` for the training, as many for the sampling, and the time to the first step of each; a GPU's
    way of executing is chosen as a training chooses it, and kept for that one. ValueError as ``fit`` raises it.
    """
    kind, shape, options = MODELS[family], tuple(int(length) for length in shape), options.settled()
    if not kind.uses_torch:
        return _measure_closed_form(family, options, shape, seconds)
    import torch

    from ..machine.device import device

    where = device()
    counted = issubclass(kind, Counts)  # small networks do not count; they are timed as they are
    flops = kind.flops_per_image(options, shape) if counted else {"training": None, "sampling": None}
    tried, notes = options, []
    if where.type == "cpu" and counted:
        tried, notes = _smaller(options, flops, seconds)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    if counted and flops["training"] > SLOW_FLOPS * 4 * seconds and where.type == "cpu":
        speed, facts = _flops_per_second(seconds)
        training, spread = speed / flops["training"], EXTRAPOLATED_SPREAD
        notes.append(f"training: counted operations, at {speed:.2g} a second of a convolution")
    else:
        training, spread, facts, note = _training_rate(kind, tried, shape, where, seconds)
        notes += [note] if note else []
        speed = training * flops["training"] if counted else 0.0
    if counted and flops["sampling"] > SLOW_FLOPS * 4 * seconds and where.type == "cpu":
        sampling = speed / flops["sampling"]
        notes.append("sampling: counted operations, at as many a second as in training")
    else:
        sampling, off = _sampling_rate(kind, tried, shape, seconds)
        spread = max(spread, off)
    return Throughput(
        **_identity(family, options, shape),
        training_images_per_second=training,
        sampling_images_per_second=sampling,
        spread=max(spread, EXTRAPOLATED_SPREAD if notes else LEAST_SPREAD),
        watts=facts["mean_watts"],
        energy_source=facts["source"],
        peak_memory_bytes=_peak_memory(where.type),
        training_flops_per_image=flops["training"],
        sampling_flops_per_image=flops["sampling"],
        extrapolated="; ".join(notes),
    )


def _smaller(options: Any, flops: Mapping[str, float], seconds: float) -> tuple[Any, list[str]]:
    """Options of batches that a slow processor gets through in time, and what was changed."""
    changed, notes = {}, []
    for name, each in (("batch", flops["training"]), ("sample_batch", flops["sampling"])):
        asked = getattr(options, name)
        count = min(asked, max(1, int(SLOW_FLOPS * seconds / 4 / each)))
        group = getattr(options, "deviation_group", 1)  # whose multiples batches are, or smaller
        count = count // group * group or count
        if count < asked:
            changed[name] = count
            notes.append(f"{name} {count} in the place of {asked}")
    return options.model_copy(update=changed), notes


def _training_rate(
    kind: Any, options: Any, shape: tuple[int, ...], where: "torch.device", seconds: float
) -> tuple[float, float, dict[str, Any], str]:
    """Images a second after the first step that is reported, its spread, the energy meanwhile, what is to be noted."""
    meter, reports = Meter(where), []

    def progress(images_seen: int, loss: float) -> bool:
        now = time.monotonic()
        if not reports:
            meter.__enter__()
        reports.append((images_seen, now))
        steps = (images_seen - reports[0][0]) // options.batch
        lasted = now - reports[0][1]
        whole = steps and steps % CYCLE == 0
        return len(reports) > 1 and ((lasted >= seconds and bool(whole)) or lasted >= 4 * seconds)

    # About as many images as the training will see: how its steps are executed is chosen by how many there are.
    budget = options.batch * min(max(options.images_seen // options.batch, 4 * CYCLE), MOST_STEPS)
    with suppress(Interrupted):
        kind.fit(_random(options, shape), options, Run(0, images_seen=budget, progress=progress))
    meter.__exit__(None, None, None)
    (first, start), (last, end) = reports[0], reports[-1]
    cycles = [report for report in reports if (report[0] - first) % (CYCLE * options.batch) == 0]
    rates = [(after[0] - before[0]) / (after[1] - before[1]) for before, after in pairwise(cycles)]
    note = "" if rates else f"training: timed for {(last - first) // options.batch} steps, fewer than {CYCLE}"
    rate = (last - first) / (end - start)
    return rate, _spread(rate, rates), meter.facts(), note


def _sampling_rate(kind: Any, options: Any, shape: tuple[int, ...], seconds: float) -> tuple[float, float]:
    """Images a second after the first batch, and its relative spread."""
    model = kind.fit(_random(options, shape), options, Run(0, images_seen=1))
    many, times = options.sample_batch, []
    model.sample(Ask(many, 0))
    while sum(times) < seconds and len(times) < 100:
        start = time.monotonic()
        model.sample(Ask(many, 1, start=many * len(times)))
        times.append(time.monotonic() - start)
    rate = many * len(times) / sum(times)
    return rate, _spread(rate, [many / one for one in times])


def _spread(mean: float, found: Sequence[float]) -> float:
    """How far apart the parts of a measurement are: their standard deviation over their mean, at most 1."""
    return min(1.0, float(np.std(found)) / mean) if found else 0.0


def _random(options: Any, shape: tuple[int, ...]) -> TrainingSet:
    """Data without any structure: how long a step takes does not depend on them."""
    random = np.random.default_rng(0)
    if tokens := getattr(options, "vocabulary", 0):
        return TrainingSet(random.integers(0, tokens, (ROWS, *shape), np.int32), None, np.ones(ROWS))
    points = random.normal(size=(ROWS, *shape[-1:]))
    if len(shape) == 1:
        points[:, -1] = np.sign(points[:, -1])  # to a classifier it is the label
    data = {
        3: lambda: random.integers(0, 256, (ROWS, *shape), np.uint8),
        2: lambda: random.uniform(-1, 1, (ROWS, *shape)).astype(np.float32),
        1: lambda: points,
        0: lambda: random.integers(0, getattr(options, "categories", 2), ROWS),
    }[len(shape)]()
    classes = getattr(options, "classes", 0)
    return TrainingSet(data, np.arange(ROWS) % classes if classes else None, np.ones(ROWS))


def _measure_closed_form(family: str, options: Any, shape: tuple[int, ...], seconds: float) -> Throughput:
    kind = MODELS[family]
    training = _random(options, shape)
    with Meter() as meter:
        fitted, off = _repeated(lambda: kind.fit(training, options, Run(0)), seconds / 2)
        model = kind.fit(training, options, Run(0))
        sampled, off_sampled = _repeated(lambda: model.sample(Ask(ROWS, 0)), seconds / 2)
    facts = meter.facts()
    return Throughput(
        **_identity(family, options, shape),
        training_images_per_second=ROWS / fitted,
        sampling_images_per_second=ROWS / sampled,
        spread=max(LEAST_SPREAD, off, off_sampled),
        watts=facts["mean_watts"],
        energy_source=facts["source"],
        peak_memory_bytes=_peak_memory("cpu"),
    )


def _repeated(work: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Mean seconds of a piece of work after its first time, and their relative spread."""
    work()
    times = []
    while sum(times) < seconds and len(times) < 20:
        start = time.monotonic()
        work()
        times.append(max(time.monotonic() - start, 1e-9))
    mean = sum(times) / len(times)
    return mean, _spread(mean, times)


def _flops_per_second(seconds: float) -> tuple[float, dict[str, Any]]:
    """Floating-point operations a second of a convolution as networks have them, and the energy meanwhile."""
    import torch

    images, kernel = torch.randn(8, 128, 32, 32), torch.randn(128, 128, 3, 3)
    with Meter() as meter, torch.inference_mode():
        mean, _ = _repeated(lambda: torch.conv2d(images, kernel, padding=1), seconds / 4)
    return 2 * images.numel() * 9 * 128 / mean, meter.facts()


def _peak_memory(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# -- keeping ----------------------------------------------------------------------------------------------------------


def _identity(family: str, options: BaseModel, shape: tuple[int, ...]) -> dict[str, Any]:
    """What a throughput is of."""
    version, name = "", _processor()
    if MODELS[family].uses_torch:
        import torch

        from ..machine.device import device
        from ..machine.device import name as device_name

        where, version = device(), torch.__version__
        name = device_name(where) if where.type != "cpu" else f"{name}, {torch.get_num_threads()} threads"
    source = provenance.source_hash(*provenance.entries("models:MODELS", [family]))
    said = options.settled().model_dump(mode="json")
    return {
        "device": name,
        "torch": version,
        "family": family,
        "source": source,
        "options": said,
        "shape": shape,
    }


def _processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.machine()


def cache() -> Path:
    """The user's file of throughputs: ``$XDG_CACHE_HOME/collapselab/throughput.json``, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collapselab" / "throughput.json"


def known(family: str, options: BaseModel, shape: Sequence[int]) -> Throughput | None:
    """What was measured of just this on this device; None where nothing was."""
    with suppress(ValueError, OSError):
        wanted = _identity(family, options, tuple(shape))
        return next((one for one in read(cache()) if one.model_dump(include=set(wanted)) == wanted), None)
    return None


def keep(measured: Throughput) -> None:
    """Put it into the user's cache, in place of what is of the same; without a word where that is not to be written."""
    from filelock import FileLock

    path = cache()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            others: list[Throughput] = []
            with suppress(ValueError, OSError):
                others = [one for one in read(path) if _of(one) != _of(measured)]
            write(path, [*others, measured])


def _of(one: Throughput) -> dict[str, Any]:
    return one.model_dump(include={"device", "torch", "family", "source", "options", "shape"})


def find(measured: Sequence[Throughput], family: str, options: BaseModel, shape: Sequence[int]) -> Throughput | None:
    """The last one that is of this model, whatever device and version it was measured with."""
    wanted = {"family": family, "options": options.settled().model_dump(mode="json"), "shape": tuple(shape)}
    return next((one for one in reversed(measured) if one.model_dump(include=set(wanted)) == wanted), None)


def write(path: Path, measured: Sequence[Throughput]) -> None:
    """Write throughputs as JSON, for this machine or another one."""
    content = {"throughput": [one.model_dump(mode="json") for one in measured]}
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    store.write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def read(path: Path) -> list[Throughput]:
    """The throughputs in a file. Raises Foreign, a ValueError, for any other file."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return [Throughput.model_validate(one) for one in content["throughput"]]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = f"{'.'.join(map(str, first['loc']))}: found {str(first['input'])[:SHOWN_LETTERS]!r}; {first['msg']}"
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        said = f"{type(error).__name__} {str(error)[:SHOWN_LETTERS]}"
    raise Foreign(path, f"{path}: holds no throughputs as collapselab writes them: {said}")
