"""What a GPU makes of both families, as one JSON file: speed, memory, start, a real loop, and quality.

    python bench/gpu.py --out gpu.json                                 # everything, in about 25 minutes
    python bench/gpu.py --groups speed --minutes 9                     # where a command may take ten minutes
    python bench/gpu.py --only 'edm32*' --seconds 20

speed     step rates of EDM's cifar10 at batch 512 and of StyleGAN2 at 32, 64 and 256, executed in several ways
          (eager, channels_last, compile, graphs); FLOPs achieved over the device's peak and over the rate of a large
          matrix product measured here; memory; seconds until the first steps are done, with an empty cache of compiled
          code and with a full one; sampling; stylegan2-pytorch where it is installed
loop      a study from a zip of images to its report: three generations of a small EDM and of StyleGAN2-32
quality   the Fréchet distance of a short cifar10 training over the images seen; and the fully synthetic loop of
          StyleGAN2 with truncation psi = 0.7 beside psi = 1

Rates are those of ``fit`` as a study calls it, on random images in memory. Every part is a process of its own with a
time limit: one that fails says so in the file instead of ending the run, and one for which no time is left is left out.
A second run into the same file replaces the parts that it runs. A study's folder is packed beside the file, without
models and samples: unpacked at the root of a clone, ``collapselab report NAME`` draws it again.

The machine needs torch, numpy, scipy, pandas, pyarrow, safetensors and typer, and few things more; what is missing is
named with the pip command that fetches it on another machine into a folder for ``--packages``.
"""

import argparse
import fnmatch
import gc
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXIT_UNABLE = 4
WORTH_STARTING_S = 15  # a part for which less time is left is left out
GENERATIONS = 3

# Dense bfloat16 FLOPs a second as the makers state them, by a part of the device's name; the first that fits counts.
PEAKS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "GH200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "A800": 312e12,
    "A40": 149.7e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
}
# Import name -> name in the package index. The report is drawn elsewhere where what it needs is missing.
NEEDED = {
    **{name: name for name in ("torch", "numpy", "scipy", "pandas", "pyarrow", "safetensors", "typer", "rich")},
    "pydantic": "pydantic",
    "yaml": "pyyaml",
    "filelock": "filelock",
    "array_api_compat": "array-api-compat",
    "PIL": "pillow",
}
FOR_THE_REPORT = {"jinja2": "jinja2", "altair": "altair", "vl_convert": "vl-convert-python"}


@dataclass(frozen=True)
class Part:
    """group: speed, loop or quality. limit_s: seconds after which it is ended. run: computes what the file says."""

    group: str
    limit_s: float
    run: Callable[["Scale"], dict[str, Any]]


@dataclass(frozen=True)
class Scale:
    """toy: sizes that a CPU does in a second. seconds: how long a step rate is measured. data: a zip of images.

    minutes: that a part may take. keep: where a study's folder is packed.
    """

    toy: bool
    seconds: float
    data: Path | None
    minutes: float
    keep: Path | None


# -- rates of training -------------------------------------------------------------------------------------------------


class _Enough(Exception):
    """The rate is known."""


def training(family: str, options: Mapping[str, Any], side: int, scale: Scale, execution: str) -> dict[str, Any]:
    """Step rate, utilisation, memory and seconds until the first steps are done, of a training that is cut off.

    Where the batch does not fit into memory at once, half of it is taken at once, and half of that.
    """
    import torch

    kind, settings, shape = made_ready(family, options, side, scale.toy)
    too_large = []
    while True:
        smaller = halved(execution, settings.batch)
        try:
            with executed(execution):
                begin, reports = reported(kind, settings, shape, scale)
            break
        except RuntimeError as error:
            if "out of memory" not in str(error).lower() or smaller is None:
                raise
        too_large.append(execution)
        execution = smaller
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    memory = peak_memory_gib()
    (first_seen, first), (seen, last) = reports[0], reports[-1]
    images_a_second = (seen - first_seen) / (last - first)
    flops = kind.flops_per_image(settings, shape)["training"]
    return {
        "options": settings.model_dump(mode="json", exclude_unset=True),
        "shape": shape,
        "parameters": kind.stored_bytes(settings, shape, 0) // 4,
        "execution": execution,
        "too_large": too_large,
        "steps_timed": (seen - first_seen) // settings.batch,
        "steps_a_second": images_a_second / settings.batch,
        "images_a_second": images_a_second,
        "seconds_a_kimg": 1000 / images_a_second,
        "start_s": first - begin - first_seen / images_a_second,
        **utilisation(flops * images_a_second),
        "gigaflop_an_image": flops / 1e9,
        "peak_memory_gib": memory,
    }


def reported(
    kind: Any, settings: Any, shape: tuple[int, int, int], scale: Scale
) -> tuple[float, list[tuple[int, float]]]:
    """When a training began, and its reports (images seen, when): from the first one on for ``scale.seconds``."""
    import numpy as np

    from collapselab.core.errors import Interrupted
    from collapselab.core.run import Run
    from collapselab.core.sets import TrainingSet

    data = np.random.default_rng(0).integers(0, 256, (64 if scale.toy else 4096, *shape), dtype=np.uint8)
    labels = np.arange(len(data), dtype=np.int64) % settings.classes if settings.classes else None
    reports: list[tuple[int, float]] = []

    def progress(images_seen: int, loss: float) -> bool:
        reports.append((images_seen, time.perf_counter()))
        return len(reports) > 2 and reports[-1][1] - reports[0][1] >= scale.seconds

    begin, budget = time.perf_counter(), LONGEST * settings.batch
    with suppress(Interrupted):
        kind.fit(TrainingSet(data, labels, np.ones(len(data))), settings, Run(0, images_seen=budget, progress=progress))
    return begin, reports


def halved(execution: str, batch: int) -> str | None:
    """The same way of executing with half as many images at once; None where that would be few."""
    words = [word for word in execution.split(",") if word != "eager" and not word.startswith("micro_batch=")]
    given = next(
        (int(word.partition("=")[2]) for word in execution.split(",") if word.startswith("micro_batch=")), batch
    )
    return ",".join([*words, f"micro_batch={given // 2}"]) if given >= 2 * FEWEST_AT_ONCE else None


def sampling(family: str, options: Mapping[str, Any], side: int, count: int, scale: Scale) -> dict[str, Any]:
    """Images a second of a model that was trained for a step, after a first batch."""
    import numpy as np

    from collapselab.core.ask import Ask
    from collapselab.core.run import Run
    from collapselab.core.sets import TrainingSet

    kind, settings, shape = made_ready(family, options, side, scale.toy)
    data = np.random.default_rng(0).integers(0, 256, (settings.batch, *shape), dtype=np.uint8)
    labels = np.arange(len(data), dtype=np.int64) % settings.classes if settings.classes else None
    with executed("eager"):
        model = kind.fit(TrainingSet(data, labels, np.ones(len(data))), settings, Run(0, images_seen=settings.batch))
    model.sample(Ask(settings.sample_batch, 0))
    count = settings.sample_batch if scale.toy else count
    start = time.perf_counter()
    model.sample(Ask(count, 0, start=settings.sample_batch))
    seconds, memory = time.perf_counter() - start, peak_memory_gib()
    flops = kind.flops_per_image(settings, shape)["sampling"]
    return {
        "options": settings.model_dump(mode="json", exclude_unset=True),
        "images": count,
        "images_a_second": count / seconds,
        **utilisation(flops * count / seconds),
        "gigaflop_an_image": flops / 1e9,
        "peak_memory_gib": memory,
    }


def made_ready(family: str, options: Mapping[str, Any], side: int, toy: bool) -> tuple[Any, Any, tuple[int, int, int]]:
    """The family, its options and the images' shape; as a toy all of them small."""
    from collapselab.models import MODELS

    kind = MODELS[family]
    settings = kind.Options(**{**options, **(TOYS[family] if toy else {})})
    return kind, settings, (3, 8, 8) if toy else (3, side, side)


def utilisation(flops_a_second: float) -> dict[str, Any]:
    """Achieved FLOPs a second, over the stated peak in bfloat16 and over what a matrix product reaches here."""
    measured = matrix_product_rate()
    peak = stated_peak()
    return {
        "teraflops": flops_a_second / 1e12,
        "of_stated_peak": flops_a_second / peak if peak else None,
        "of_matrix_product": flops_a_second / measured,
    }


def stated_peak() -> float | None:
    import torch

    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def matrix_product_rate() -> float:
    """FLOPs a second of a large square matrix product in bfloat16 (on a CPU a small one in float32)."""
    import torch

    cuda = torch.cuda.is_available()
    size, repetitions = (8192, 20) if cuda else (256, 3)
    where, kind = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    one, other = (torch.randn(size, size, device=where, dtype=kind) for _ in range(2))
    best = float("inf")
    for _ in range(3):
        start = now()
        for _ in range(repetitions):
            one @ other
        best = min(best, now() - start)
    return 2 * size**3 * repetitions / best


def now() -> float:
    """The time when the device has done its work."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_memory_gib() -> float | None:
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def machine(scale: Scale) -> dict[str, Any]:
    """What the device reaches in a matrix product and in a copy."""
    import torch

    count = 2**20 if scale.toy else 2**28
    source = torch.ones(count, device="cuda" if torch.cuda.is_available() else "cpu")
    target = torch.empty_like(source)
    target.copy_(source)
    start = now()
    for _ in range(10):
        target.copy_(source)
    copied = now() - start
    return {
        "stated_peak_teraflops": (peak := stated_peak()) and peak / 1e12,
        "matrix_product_teraflops": matrix_product_rate() / 1e12,
        "copy_gb_a_second": 2 * 4 * count * 10 / copied / 1e9,
    }


def stylegan2_pytorch(scale: Scale) -> dict[str, Any]:
    """Step rate of the package stylegan2-pytorch at 32 x 32 and batch 64, on PNG files, as its command trains."""
    import numpy as np

    try:
        from stylegan2_pytorch import Trainer
    except (ImportError, AssertionError) as error:  # without CUDA it refuses to be imported
        return {"absent": f"{type(error).__name__}: {error}"}
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images")
        images.mkdir()
        for row, image in enumerate(np.random.default_rng(0).integers(0, 256, (1024, 32, 32, 3), dtype=np.uint8)):
            Image.fromarray(image).save(images / f"{row}.png")
        never = 10**9
        trainer = Trainer(
            base_dir=folder, image_size=32, batch_size=64, num_workers=4, save_every=never, evaluate_every=never
        )
        trainer.evaluate = lambda *_: None  # it draws pictures at every hundredth step
        trainer.set_data_src(str(images))
        trainer.train()
        networks = (trainer.GAN.G, trainer.GAN.S, trainer.GAN.D)
        for _ in range(32):
            trainer.train()
        start, steps = now(), 0
        while now() - start < scale.seconds or steps % 32:
            trainer.train()
            steps += 1
        rate = steps / (now() - start)
    return {
        "steps_timed": steps,
        "steps_a_second": rate,
        "seconds_a_kimg": 1000 / (64 * rate),
        "parameters": sum(parameter.numel() for network in networks for parameter in network.parameters()),
        "peak_memory_gib": peak_memory_gib(),
    }


# -- a real loop -------------------------------------------------------------------------------------------------------


def extractor() -> str:
    """The features that samples are compared in: the best for which there is all that it needs."""
    from collapselab.store import weights

    for name in ("inception", "inception-torchvision"):
        try:
            weights.find(name)
            importlib.import_module("torchvision")
        except (ValueError, ImportError):
            continue
        return name
    return "random-conv"


def affordable(model: Mapping[str, Any], trainings: int, scale: Scale) -> dict[str, Any]:
    """A model with a budget of images with which so many trainings take a good half of the part's time.

    model: as in a study, a family with its options.
    """
    ((family, options),) = model.items()
    if scale.toy:
        return {family: {**options, **TOYS[family]}}
    rate = training(family, options, 32, scale, "eager")["images_a_second"]
    return {family: {**options, "images_seen": int(TRAINED_SHARE * 60 * scale.minutes * rate / trainings)}}


def study_of(
    name: str, question: str, models: Mapping[str, Any], arms: Mapping[str, Any], trainings: int, scale: Scale
) -> dict[str, Any]:
    """A study of real images: as a toy of digits, else of the zip. trainings: of each model, over all generations."""
    if scale.toy:
        data = {"source": "digits", "split": {"train": 64, "held_out": 64}}
    else:
        if scale.data is None or not scale.data.is_file():
            raise FileNotFoundError(f"--data: {scale.data} is not there; a zip of images as a study reads it is needed")
        with zipfile.ZipFile(scale.data) as file:
            half = sum(not name.endswith((".json", "/")) for name in file.namelist()) // 2
        many = min(half, LARGEST_PART)
        data = {"source": {"zip": {"path": str(scale.data)}}, "split": {"train": many, "held_out": many}}
    count = data["split"]["train"]
    used = extractor() if not scale.toy else "pixels"
    return {
        "name": name,
        "question": question,
        "seed": 1,
        "seeds": 1,
        "generations": 1 if scale.toy else GENERATIONS,
        "control": "none",
        "data": data,
        "models": {key: affordable(model, trainings, scale) for key, model in models.items()},
        "initial": {"real": count},
        "samples": count,
        "grid": 16 if scale.toy else 64,
        "extractors": [used],
        "metrics": ["frechet_distance", "precision", "recall", "density", "coverage"],
        "primary": {"metric": "recall", "extractor": used},
        "arms": arms,
    }


Job = tuple[str | None, list[list[str]]]  # the file of its costs, and its verbs


def jobs(study: Any) -> Iterator[Job]:
    """The jobs of a study of stored images, as the workflow runs them; what follows a training is one job here."""
    file = study.file
    origin = study.origin
    options = json.dumps(dict(origin.options))
    sizes, real = json.dumps(file.data.split.parts()), study.real_file("")
    common = ["--study-seed", str(file.seed)]
    prepare = ["prepare", "--source", origin.name, "--options", options, "--sizes", sizes]
    prepare += [word for part in file.data.split.parts() for word in ("--part", f"{part}={study.part_file(part)}")]
    extractors = [flag for name in study.measured_in for flag in ("--extractor", name)]
    parts = [flag for part in ("train", "held_out") for flag in ("--samples", f"{part}={study.part_file(part)}")]
    reference = f"{real}features.safetensors"
    extract = ["extract", *parts, *extractors, "--as-reference", "--out", reference]
    metrics = ["--reference", reference, "--metrics", json.dumps(study.metric_options())]
    metrics += ["--count", str(study.measured)]
    yield None, [prepare, extract, ["baseline", *metrics, "--out", study.report_file("baseline.json")]]
    trained: set[str] = set()
    for arm, seed, generation in sorted(study.cells(), key=lambda cell: cell[2]):
        place = partial(study.cell, arm, seed, generation)
        lineage, when = study.lineages[arm], ["--seed", str(seed), "--generation", str(generation)]
        home = arm if generation else lineage.base
        model = place("model.safetensors")
        if model not in trained:
            trained.add(model)
            recipe, sources = study.recipe(home, generation), study.sources(home, seed, generation)
            table = ["--recipe", recipe.model_dump_json(), "--sources", json.dumps(sources), *common]
            compose = ["compose", *table, "--seed", str(seed), "--out", place("training.parquet")]
            fit = ["--training", place("training.parquet"), "--family", study.family(lineage.model)]
            fit += ["--options", json.dumps(study.model_options(lineage.model))]
            start = study.init_file(home, seed, generation)
            fit += ["--init", start] if start else []
            yield place("train.cost.json"), [compose, ["train", *fit, *common, *when, "--out", model]]
        stream = ["--stream", str(lineage.stream)]
        bias = [*stream, "--sampling-bias", str(lineage.sampling_bias)]
        drawn = {"samples": ("sample", file.samples, bias), "grid": ("grid", file.grid, bias)}
        sets = ["--samples", f"sampled={place('samples.safetensors')}"]
        if "raw" in study.measured_sets(arm):  # the same model without its bias
            drawn["raw"] = ("sample", file.samples, stream)
            sets += ["--samples", f"raw={place('raw.safetensors')}"]
        after: list[list[str]] = []
        for noun, (stage, many, how) in drawn.items():
            made = ["--model", model, "--count", str(many), "--stage", stage, *how, *common, *when]
            after.append(["sample", *made, "--out", place(f"{noun}.safetensors")])
        after.append(["select", "--samples", place("samples.safetensors"), *common, *when])
        after[-1] += ["--out", place("kept.parquet")]
        features = place("features.safetensors")
        after.append(["extract", *sets, *extractors, "--out", features])
        cell = json.dumps({"study": study.name, "arm": arm, "seed": seed, "generation": generation})
        record = ["--features", features, *metrics, "--training", place("training.parquet")]
        record += ["--kept", place("kept.parquet"), "--cell", cell]
        after.append(["record", *record, "--out", place("metrics.json")])
        yield None, after


def run_study(content: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """What a study comes to: its numbers, curves, costs and seconds. As a toy all of it is one job."""
    import yaml

    from collapselab import store
    from collapselab import study as studies

    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "config", f"{content['name']}.yaml")
        written.parent.mkdir()
        written.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
        study = studies.load(written)
        planned = list(jobs(study))
        if scale.toy:
            planned = [(None, [verb for _, verbs in planned for verb in verbs])]
        start = time.perf_counter()
        for cost, joined in planned:
            words = [word for verb in joined for word in ("+", *verb)][1:]
            collapselab([*(["--cost", cost] if cost else []), *words], folder)
        seconds = time.perf_counter() - start
        generations = []
        for arm, seed, generation in study.cells():
            record = store.read_json(Path(folder, study.cell(arm, seed, generation, "metrics.json")))
            sets = {entry["set"] for entry in record["values"]}
            values = {
                which: {entry["metric"]: entry["value"] for entry in record["values"] if entry["set"] == which}
                for which in sets
            }
            model, facts = store.read_tensors(Path(folder, study.cell(arm, seed, generation, "model.safetensors")))
            curves = {name: array[::10].tolist() for name, array in model.items() if name.startswith("curve.")}
            about = {"arm": arm, "generation": generation, "how": facts["lineage"].get("how")}
            cost = Path(folder, study.cell(arm, seed, generation, "train.cost.json"))
            about |= {"training": store.read_json(cost)} if cost.exists() else {}
            generations.append({**about, **values, **curves})
        found = {
            "extractor": study.measured_in[0],
            "images": content["initial"]["real"],
            "seconds": seconds,
            "baseline": store.read_json(Path(folder, study.report_file("baseline.json")))["values"],
            "generations": generations,
        }
        try:
            collapselab(["report", study.name], folder)
            found["report"] = "drawn"
        except RuntimeError as error:
            found["report"] = f"not drawn here: {str(error).strip().splitlines()[-1]}"
        if scale.keep is not None:
            found["packed"] = str(packed(Path(folder), scale.keep / f"{study.name}.tar.gz"))
        return found


def collapselab(words: list[str], folder: str) -> None:
    """Run ``collapselab`` with these words in a folder; RuntimeError with what it said where it fails."""
    command = [sys.executable, "-m", "collapselab", *words]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"collapselab ended with {done.returncode}: {done.stdout[-2000:]}")


def packed(folder: Path, target: Path) -> Path:
    """The study's file and results as a tar file, without what is large."""
    large = re.compile(r"(model|samples|features|raw|train-.*|held_out-.*)\.safetensors")

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if large.fullmatch(Path(entry.name).name) else entry

    with tarfile.open(target, "w:gz") as file:
        for part in ("config", "results"):
            file.add(folder / part, part, filter=kept)
    return target


def loop(name: str) -> Callable[[Scale], dict[str, Any]]:
    """The part that runs the fully synthetic loop of one family, each model trained from the one before."""

    def run(scale: Scale) -> dict[str, Any]:
        arms = {"fully_synthetic": {"model": name, "regime": EATING}}
        question = f"Does a loop of {name} run on this GPU?"
        models = {name: SMALL[name]}
        return run_study(study_of(f"gpu-{name}", question, models, arms, GENERATIONS + 1, scale), scale)

    return run


def truncation(scale: Scale) -> dict[str, Any]:
    """The fully synthetic loop of StyleGAN2 with psi = 0.7 and with psi = 1: recall of each generation's samples."""
    arms = {
        "psi_1": {"model": "stylegan2", "regime": EATING},
        "psi_0_7": {"model": "stylegan2", "regime": EATING, "sampling_bias": 0.7},
    }
    question = "Does a StyleGAN2 that eats truncated samples lose recall faster?"
    models = {"stylegan2": SMALL["stylegan2"]}
    found = run_study(study_of("gpu-truncation", question, models, arms, 2 * GENERATIONS + 1, scale), scale)
    recall = {arm: [one["sampled"]["recall"] for one in found["generations"] if one["arm"] == arm] for arm in arms}
    return {"recall": recall, **found}


def curve(scale: Scale) -> dict[str, Any]:
    """The Fréchet distance of cifar10's EDM over the images seen in a short training."""
    import numpy as np

    from collapselab.core.ask import Ask
    from collapselab.core.run import Run
    from collapselab.core.sets import TrainingSet
    from collapselab.data import DATASETS
    from collapselab.features import FEATURES
    from collapselab.metrics import METRICS

    used, steps = ("pixels", 3) if scale.toy else (extractor(), 18)
    points_before = 2 if scale.toy else 7
    options = {**EDM, "snapshots": points_before, "steps": steps, "warmup_images": 100_000, "dropout": 0.0}
    kind, settings, _ = made_ready("diffusion", options, 32, scale.toy)
    if scale.toy:
        budget = 4 * settings.batch
    else:
        budget = affordable({"diffusion": options}, 1, scale)["diffusion"]["images_seen"]
    real = (DATASETS["digits"]() if scale.toy else DATASETS["zip"](path=scale.data)).load()
    half, count = len(real.data) // 2, 256 if scale.toy else 5000
    training = TrainingSet(real.data[:half], real.labels[:half], np.ones(half))
    entry, loaded = FEATURES[used], None
    if entry.needs.published:
        from collapselab.store import weights

        loaded = weights.find(entry.needs.published)

    def distance(images: np.ndarray) -> float:
        features = [entry.extract(one, loaded) for one in (real.data[half : half + count], images)]
        return float(METRICS["frechet_distance"](*features))

    points: list[dict[str, float]] = []

    def inspect(model: Any, images_seen: int) -> None:
        points.append({"images_seen": images_seen, "frechet_distance": distance(model.sample(Ask(count, 0)).data)})

    start = time.perf_counter()
    model = kind.fit(training, settings, Run(0, images_seen=budget, inspect=inspect))
    inspect(model, budget)
    return {
        "extractor": used,
        "samples": count,
        "another_real_half": distance(real.data[:count]),
        "points": points,
        "seconds": time.perf_counter() - start,
        "options": settings.model_dump(mode="json", exclude_unset=True),
    }


# -- parts -------------------------------------------------------------------------------------------------------------

FEWEST_AT_ONCE = 16  # images, below which a micro-batch is not halved
LONGEST = 20_000  # steps of a training that is cut off when its rate is known
LARGEST_PART = 10_000  # real images in the training set, and held out, of a loop
TRAINED_SHARE = 0.5  # of a part's time; the rest is sampling, measuring, starting, and finding out the rate
EATING = {"fully_synthetic": {"init": "previous"}}
EDM = {"preset": "cifar10", "batch": 512}
SMALL = {
    "edm": {"diffusion": {"preset": "small32", "warmup_images": 50_000, "ema_half_life": 20_000, "sample_batch": 2000}},
    "stylegan2": {"stylegan2": {"preset": "cifar10", "ema_half_life": 10_000, "sample_batch": 1000}},
}
TOYS = {
    "diffusion": {
        "network": "unet",
        "channels": 8,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (),
        "batch": 8,
        "precision": "float32",
        "sample_batch": 32,
        "steps": 3,
        "images_seen": 16,
        "warmup_images": 0,
    },
    "stylegan2": {
        "channel_base": 1024,
        "channel_max": 8,
        "z_width": 8,
        "w_width": 8,
        "mapping_layers": 2,
        "deviation_group": 4,
        "batch": 8,
        "precision": "float32",
        "sample_batch": 32,
        "images_seen": 16,
    },
}
STYLEGAN2S = {  # side -> options, and how many images are sampled
    32: ({"preset": "cifar10", "batch": 64}, 50_000),
    64: ({"preset": "faces64", "batch": 64}, 20_000),
    256: ({"preset": "ffhq256", "batch": 64, "sample_batch": 64}, 2_000),
}
EXECUTIONS = {
    "edm32": (
        *("compile", "channels_last,compile", "compile,graphs", "eager", "graphs", "channels_last"),
        "channels_last,graphs",
    ),
    "stylegan2-32": (
        *("graphs", "channels_last,graphs", "compile,graphs", "channels_last,compile,graphs", "eager", "channels_last"),
    ),
    "stylegan2-64": ("graphs", "eager"),
    "stylegan2-256": (
        *("micro_batch=32", "channels_last,micro_batch=32", "compile,micro_batch=32", "graphs,micro_batch=32"),
        "channels_last,compile,micro_batch=32",
    ),
}


def parts() -> dict[str, Part]:
    """All parts by name, the most wanted first."""

    def rate(name: str, execution: str) -> Callable[[Scale], dict[str, Any]]:
        family, options, side = ("diffusion", EDM, 32)
        if name != "edm32":
            side = int(name.rpartition("-")[2])
            family, options = "stylegan2", STYLEGAN2S[side][0]

        def run(scale: Scale) -> dict[str, Any]:
            return training(family, options, side, scale, "eager" if scale.toy else execution)

        return run

    found = {"machine": Part("speed", 60, machine)}
    for name, executions in EXECUTIONS.items():
        for execution in executions:
            limit_s = 300 if "compile" in execution else 100
            found[f"{name} {execution}"] = Part("speed", limit_s, rate(name, execution))
            if execution == "compile":
                # The folder of compiled code is new in every run of the bench: only now it is full.
                found[f"{name} {execution}, again"] = Part("speed", 150, rate(name, execution))
    found["edm32 sampling"] = Part("speed", 90, lambda scale: sampling("diffusion", EDM, 32, 2048, scale))
    for side, (options, count) in STYLEGAN2S.items():
        run = partial(sampling, "stylegan2", {**options, "batch": 32}, side, count)
        found[f"stylegan2-{side} sampling"] = Part("speed", 60, run)
    found["stylegan2-pytorch"] = Part("speed", 90, stylegan2_pytorch)
    for name in SMALL:
        found[f"loop of {name}"] = Part("loop", 270, loop(name))
    found["truncation"] = Part("quality", 500, truncation)
    found["curve"] = Part("quality", 300, curve)
    return found


@contextmanager
def executed(execution: str) -> Iterator[None]:
    """Within it trainings are executed in this way."""
    before = os.environ.get("COLLAPSELAB_EXECUTION")
    os.environ["COLLAPSELAB_EXECUTION"] = execution
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLLAPSELAB_EXECUTION"]
        else:
            os.environ["COLLAPSELAB_EXECUTION"] = before


def aims(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The aims on an H100 beside the best figure of each."""

    def best(prefix: str, figure: str, choose: Callable[..., float]) -> float | None:
        figures = [part[figure] for name, part in found.items() if name.startswith(prefix) and part.get(figure)]
        return choose(figures) if figures else None

    edm = best("edm32", "steps_a_second", max)
    large = best("stylegan2-256", "seconds_a_kimg", min)
    small = best("stylegan2-32", "steps_a_second", max)
    return {
        "EDM cifar10, batch 512: steps a second, at least 5": {"best": edm, "met": edm and edm >= 5},
        "StyleGAN2-256: seconds a kimg, at most 2.5": {"best": large, "met": large and large <= 2.5},
        "StyleGAN2-32, batch 64: steps a second, at least 60": {"best": small, "met": small and small >= 60},
    }


# -- the run -----------------------------------------------------------------------------------------------------------


def missing(names: Mapping[str, str]) -> list[str]:
    """Packages that are not installed, by their names in the index."""
    return [name for module, name in names.items() if importlib.util.find_spec(module) is None]


def how_to_carry(names: list[str]) -> str:
    """The pip command that fetches the pinned versions for this Python, on a machine with a network."""
    pinned = (pin.partition("==") for pin in (ROOT / "constraints.txt").read_text().split())
    versions = {re.sub("[-_.]+", "-", name).lower(): version for name, _, version in pinned}  # as pip compares names
    version = ".".join(platform.python_version_tuple()[:2])
    return (
        f"python -m pip install --no-compile --target packages --only-binary=:all: --python-version {version} "
        "--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 "
        + " ".join(f"{name}=={versions[name]}" for name in names)
    )


def facts() -> dict[str, Any]:
    """The machine, its driver, and the versions of what is measured."""
    import torch

    cuda = torch.cuda.is_available()
    query = ["nvidia-smi", "--query-gpu=driver_version,power.limit,clocks.max.sm", "--format=csv,noheader"]
    driver = None
    if cuda and shutil.which("nvidia-smi"):
        driver = subprocess.run(query, capture_output=True, text=True).stdout.strip() or None
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if cuda else None,
        "driver, power limit, clock": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "missing_for_the_report": missing(FOR_THE_REPORT),
    }


def run_apart(name: str, part: Part, scale: Scale, environment: Mapping[str, str], limit_s: float) -> dict[str, Any]:
    """What a part gives, from a process of its own; ``error`` where it failed, with the end of what it said."""
    given = {
        "toy": scale.toy,
        "seconds": scale.seconds,
        "data": str(scale.data) if scale.data else None,
        "minutes": limit_s / 60,
        "keep": str(scale.keep) if scale.keep else None,
    }
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder, "result.json"), Path(folder, "log.txt")
        command = [sys.executable, __file__, "--part", name, json.dumps(given), str(result)]
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)  # with what it started
                process.wait()
                code = None
        said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        took = {"seconds_in_all": round(time.perf_counter() - start, 1)}
        if code == 0 and result.exists():
            return {**json.loads(result.read_text(encoding="utf-8")), **took}
        why = f"took more than {limit_s:.0f} s" if code is None else f"ended with {code}"
        return {"error": why, "said": said, **took}


def run_here(name: str, given: Mapping[str, Any], result: Path) -> None:
    """A part in this process."""
    scale = Scale(
        given["toy"],
        given["seconds"],
        Path(given["data"]) if given["data"] else None,
        given["minutes"],
        Path(given["keep"]) if given["keep"] else None,
    )
    result.write_text(json.dumps(parts()[name].run(scale), default=float), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--groups", nargs="+", choices=["speed", "loop", "quality"], default=["speed", "loop"])
    parser.add_argument("--quality", action="store_true", help="the group quality, too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts, as names or patterns")
    parser.add_argument("--list", action="store_true", help="name the parts and end")
    parser.add_argument("--minutes", type=float, default=30, help="that the run takes at most")
    parser.add_argument("--seconds", type=float, default=8, help="that a step rate is measured")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "cifar10-jpeg-train.zip")
    parser.add_argument("--packages", type=Path, help="a folder of packages that this machine lacks")
    parser.add_argument("--smoke", action="store_true", help="toy sizes, on a CPU where there is no GPU")
    parser.add_argument("--part", nargs=3, metavar=("NAME", "SETTINGS", "RESULT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, given, result = arguments.part
        run_here(name, json.loads(given), Path(result))
        return 0
    every = parts()
    groups = {*arguments.groups, *(["quality"] if arguments.quality else [])}
    patterns = arguments.only or ["*"]
    chosen = {
        name: part
        for name, part in every.items()
        if (arguments.only or part.group in groups) and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    if arguments.list:
        print(*(f"{part.group:8} {name}" for name, part in every.items()), sep="\n")
        return 0
    if arguments.packages:
        sys.path.insert(0, str(arguments.packages.resolve()))
    if lacking := missing(NEEDED):
        print(f"this machine lacks {', '.join(lacking)}; where there is a network:\n  {how_to_carry(lacking)}")
        print("and then here: python bench/gpu.py --packages packages")
        return EXIT_UNABLE
    import torch

    if not torch.cuda.is_available() and not arguments.smoke:
        print("there is no CUDA device; --smoke runs toy sizes on a CPU")
        return EXIT_UNABLE
    if lacking := missing(FOR_THE_REPORT):
        print(f"reports are not drawn here; for them:\n  {how_to_carry(lacking)}")
    measured(arguments, chosen)
    return 0


def measured(arguments: argparse.Namespace, chosen: Mapping[str, Part]) -> None:
    """Run the parts in order and write the file after each."""
    end = time.monotonic() + 60 * arguments.minutes
    out = arguments.out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    seconds = 0.0 if arguments.smoke else arguments.seconds
    scale = Scale(arguments.smoke, seconds, arguments.data.resolve(), arguments.minutes, out.parent)
    about = facts()
    earlier = json.loads(out.read_text()) if out.exists() else {}
    same = all(earlier.get(key) == about[key] for key in ("device", "torch"))
    found: dict[str, dict[str, Any]] = dict(earlier["parts"]) if same and "parts" in earlier else {}
    paths = [str(ROOT / "src"), *([str(arguments.packages.resolve())] if arguments.packages else [])]
    paths += [path for path in [os.environ.get("PYTHONPATH")] if path]
    with tempfile.TemporaryDirectory() as caches:
        environment = {"PYTHONPATH": os.pathsep.join(paths), "TORCHINDUCTOR_CACHE_DIR": f"{caches}/inductor"}
        for name, part in chosen.items():
            left = end - time.monotonic()
            if left >= WORTH_STARTING_S:
                found[name] = run_apart(name, part, scale, environment, min(part.limit_s, left))
            else:
                found.setdefault(name, {"error": "no time was left"})
            print(f"{name:42} {brief(found[name])}", flush=True)
            reached = {} if scale.toy else aims(found)
            content = {**about, "aims": reached, "parts": found}
            out.write_text(json.dumps(content, indent=1))
    for aim, figure in ({} if scale.toy else aims(found)).items():
        print(f"{aim}: {figure['best']} {'met' if figure['met'] else 'not met'}")
    print(out)


def brief(found: Mapping[str, Any]) -> str:
    """A part in a line."""
    if "error" in found:
        return ": ".join([found["error"], *found.get("said", "").strip().splitlines()[-1:]])
    shown = ("steps_a_second", "images_a_second", "of_stated_peak", "peak_memory_gib", "start_s", "seconds", "recall")
    numbers = {key: found[key] for key in shown if found.get(key) is not None}
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in numbers.items()
    ) or json.dumps(found)


if __name__ == "__main__":
    sys.exit(main())
