"""One verb a stage: read files, call the function, write one file.

A rule of the workflow and a person at a shell call the same verbs in the same words. Several verbs joined by ``+`` run
in one process, since starting Python and torch costs as much as a small training.
"""

import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel, ValidationError

from . import results, store, verbs
from . import throughput as speeds
from .compose.regimes import Recipe
from .core.errors import Damaged, Diverged, Foreign, Interrupted, Waiting
from .core.run import Run
from .core.sets import KeptTable, SampleSet, TrainingTable
from .data import DATASETS
from .data.digest import digest
from .features import FEATURES, Extractor, Features
from .machine import processes
from .machine.clock import Clock, progress
from .measure import compare as comparing
from .measure import outside
from .measure import record as measuring
from .measure.record import Against, Measurement, Role
from .metrics import METRICS
from .models import MODELS
from .models.capabilities import Counts, Knows
from .models.stored import Stored
from .models.taxonomy import COLUMNS, taxonomy
from .populations import POPULATIONS
from .select import SELECTORS
from .select.base import Seen
from .store import weights as published
from .together import loop
from .together import records as together

REAL_PARTS = ("held_out", "train")  # what the features of real data are of
MANY_NUMBERS = 2**22  # among features, from which a GPU is worth its start
LONG_S = 60.0  # of compute
EXIT_BAD_INPUT, EXIT_DAMAGED, EXIT_RESOURCES, EXIT_LOCKED, EXIT_WAITING, EXIT_DIVERGED = 2, 3, 4, 5, 6, 7

app = typer.Typer(
    name="collapselab",
    help="What happens to a generative model when its training data is its own output, and what stops it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
clock = Clock()

# -- arguments --------------------------------------------------------------------------------------------------------

Out = Annotated[Path, typer.Option(help="file to write; its hash is written beside it")]
StudySeed = Annotated[int, typer.Option(help="the study's seed")]
Replicate = Annotated[int, typer.Option("--seed", min=0, help="the replicate")]
Generation = Annotated[int, typer.Option(min=0, help="the generation")]
Options = Annotated[str, typer.Option(help="options as JSON")]
JSON_KINDS = {dict: "object", list: "array"}


def _json(text: str, option: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"found {text!r}, which is not JSON: {error}", param_hint=option) from None
    if not isinstance(value, kind):
        raise typer.BadParameter(f"found {text!r}; allowed is a JSON {JSON_KINDS[kind]}", param_hint=option)
    return value


def _parsed(model: type[BaseModel], text: str, option: str) -> Any:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        faults = [_fault(fault, list(model.model_fields)) for fault in error.errors(include_url=False)]
        raise typer.BadParameter("; ".join(faults), param_hint=option) from None


def _fault(error: Mapping[str, Any], known: list[str]) -> str:
    """One fault of options in the words in which a study's are told."""
    where = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    said = f"found {error['input']!r}; {message}"
    if error["type"] == "missing":
        said = "is missing"
    elif error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        said = f"unknown; allowed: {', '.join(known)}"
    elif error["type"] == "value_error" and isinstance(error["input"], dict):
        said = message  # it says what it found
    return f"{where}: {said}" if where else said


def _chosen(registry: Mapping[str, Any], name: str, option: str) -> Any:
    if name not in registry:
        raise typer.BadParameter(f"found {name!r}; allowed: {', '.join(registry)}", param_hint=option)
    return registry[name]


def _metrics(text: str, option: str = "--metrics") -> dict[str, dict[str, Any]]:
    """Metrics with their options, all of which they know."""
    wanted = _json(text, option, dict)
    for name, options in wanted.items():
        _parsed(_chosen(METRICS, name, option).Options, json.dumps(options), f"{option} {name}")
    return {name: {**METRICS[name].options, **options} for name, options in wanted.items()}


def _pairs(values: list[str], option: str, files: bool = False) -> dict[str, str]:
    """``name=value`` arguments as a mapping; a name alone has the value ``""``, and names no file."""
    pairs = [value.partition("=") for value in values]
    if empty := [
        value for value, (name, _, path) in zip(values, pairs, strict=True) if not name or (files and not path)
    ]:
        raise typer.BadParameter(f"found {empty[0]!r}; allowed is NAME=VALUE", param_hint=option)
    names = [name for name, _, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise typer.BadParameter(f"found {twice[0]!r} more than once; allowed is once", param_hint=option)
    return {name: value for name, _, value in pairs}


# -- models on disk ---------------------------------------------------------------------------------------------------


def _write_model(path: Path, family: str, model: Any, lineage: Mapping[str, Any]) -> None:
    if not processes.is_first():
        return  # all have the same model
    options = model.options.model_dump(mode="json")
    stored = model.stored()
    metadata = {"family": family, "options": options, "lineage": dict(lineage), **stored.metadata}
    store.write_tensors(path, stored.tensors, metadata)


def _read_model(path: Path) -> tuple[Any, dict[str, Any]]:
    """A stored model and its metadata; the model is None where its training, or an ancestor's, diverged."""
    tensors, metadata = store.read_tensors(path)
    store.expect(path, "family" in metadata, "model")
    try:
        if "diverged" in metadata["lineage"]:
            return None, metadata
        if metadata.get("population"):
            family = POPULATIONS[metadata["family"]]
            return family.population(family.PopulationOptions.model_validate(metadata["options"])), metadata
        family = MODELS[metadata["family"]]
        stored = Stored.read(tensors, metadata)
        return family.load(stored, family.Options.model_validate(metadata["options"])), metadata
    # What its hash vouches for may still be of another version, or of nobody's program.
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise Damaged(path, f"holds no {metadata['family']!s:.40} model of this version: {said}") from None


def _get_ready(uses_torch: bool) -> None:
    """Import torch where it is needed, before the clock of the compute starts: importing it is a cost of the frame."""
    for fact in ("device", "device_name"):
        clock.facts.setdefault(fact, "cpu")
    if uses_torch:
        from .machine.device import device, name

        clock.facts |= {"device": str(device()), "device_name": name(device())}


def _hashes(*paths: Path) -> dict[str, str]:
    return {str(path): store.recorded_hash(path) for path in paths}


# -- real data --------------------------------------------------------------------------------------------------------


@app.command()
def prepare(
    source: Annotated[str, typer.Option(help=f"one of {', '.join(DATASETS)}")],
    sizes: Annotated[str, typer.Option(help='images in each part as JSON, such as {"train": 800, "held_out": 597}')],
    out: Annotated[Path, typer.Option(help="folder for train, held_out and fresh .safetensors")],
    split_seed: Annotated[int, typer.Option(help="seed of the split")] = 0,
    rare: Annotated[str, typer.Option(help='shares that classes are thinned to, such as {"7": 0.003}')] = "{}",
    options: Options = "{}",
) -> None:
    """Read real images and split them once into train, held out and fresh."""
    dataset = _chosen(DATASETS, source, "--source")
    text = json.dumps({"source": source, **_json(options, "--options", dict)})
    counts = _json(sizes, "--sizes", dict)
    if wrong := {part: count for part, count in counts.items() if not isinstance(count, int)}:
        raise typer.BadParameter(f"found {wrong}; allowed are numbers of images", param_hint="--sizes")
    shares = _json(rare, "--rare", dict)
    if not all(label.isdigit() and isinstance(share, float | int) for label, share in shares.items()):
        raise typer.BadParameter(f"found {rare!r}; allowed are {{label: share}}", param_hint="--rare")
    with clock.compute():
        thinned = {int(label): share for label, share in shares.items()}
        parts = verbs.prepare.prepare(_parsed(dataset, text, "--options"), counts, split_seed, thinned)
    for part, samples in parts.items():
        store.write_samples(out / f"{part}.safetensors", samples)


@app.command()
def populate(
    population: Annotated[str, typer.Option(help=f"one of {', '.join(POPULATIONS)}")],
    held_out: Annotated[int, typer.Option(min=2, help="draws that metrics compare with")],
    out: Annotated[Path, typer.Option(help="folder for population, held_out and train .safetensors")],
    split_seed: Annotated[int, typer.Option(help="seed of the held-out draws")] = 0,
    options: Options = "{}",
) -> None:
    """Write down a known population, and draw its held-out samples and as many beside them for the reference line."""
    family = _chosen(POPULATIONS, population, "--population")
    model = family.population(_parsed(family.PopulationOptions, options, "--options"))
    with clock.compute():
        parts = verbs.prepare.populate(population, model, held_out, split_seed)
    options_said = model.options.model_dump(mode="json")
    metadata = {"family": population, "population": True, "options": options_said, "lineage": {}}
    store.write_tensors(out / "population.safetensors", {}, metadata)
    for part, samples in parts.items():
        store.write_samples(out / f"{part}.safetensors", samples)


@app.command()
def learn(
    extractor: Annotated[str, typer.Option(help="an extractor that is trained on the real data")],
    train: Annotated[Path, typer.Option(help="labelled images to learn from")],
    held_out: Annotated[Path, typer.Option(help="labelled images that its accuracy is measured on")],
    out: Out,
    split_seed: Annotated[int, typer.Option(help="seed of the training")] = 0,
    options: Options = "{}",
) -> None:
    """Train an extractor on the real training split."""
    entry = _chosen({name: entry for name, entry in FEATURES.items() if entry.trained}, extractor, "--extractor")
    real, reference = store.read_samples(train), store.read_samples(held_out)
    settings = _parsed(entry.Options, options, "--options")
    with clock.compute():
        weights, info = verbs.prepare.learn(extractor, entry, real, reference, settings, split_seed)
    store.write_tensors(out, weights, {"extractor": extractor, "info": info, "lineage": _hashes(train, held_out)})
    print(f"{extractor}: {info['held_out_accuracy']:.1%} of the held-out images are recognised", file=sys.stderr)


# -- compose ----------------------------------------------------------------------------------------------------------


@app.command()
def draw(
    recipe: Annotated[str, typer.Option(help="what the regime comes to at this generation, as JSON")],
    study_seed: StudySeed,
    seed: Replicate,
    out: Out,
    population: Annotated[Path | None, typer.Option(help="the known population that real rows are drawn from")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="ARM:GENERATION=FILE of an ancestor to draw anew from")
    ] = None,
    about: Annotated[str, typer.Option(help="JSON: sampling bias and random stream of each ARM:GENERATION")] = "{}",
) -> None:
    """Draw what a training set needs and no file holds: real data of a population, new samples of ancestors' models."""
    wanted = _parsed(Recipe, recipe, "--recipe")
    arms = _json(about, "--about", dict)
    paths = {name: Path(path) for name, path in _pairs(model or [], "--model", files=True).items()}
    truth = _read_model(population)[0] if population else None
    ancestors = {}
    for name, path in paths.items():
        arm, _, generation = name.partition(":")
        trained, metadata = _read_model(path)
        settings, diverged = arms[name], metadata["lineage"].get("diverged")
        ancestors[arm, int(generation)] = verbs.compose.Ancestor(
            trained, settings.get("sampling_bias", 1.0), settings["stream"], diverged
        )
    with clock.compute():
        drawn = verbs.compose.draw(wanted, study_seed, seed, truth, ancestors)
    inputs = _hashes(*paths.values(), *([population] if population else []))
    store.write_samples(out, replace(drawn, lineage=drawn.lineage | {"inputs": inputs}))


class Source(BaseModel):
    """Where the rows of one arm and generation lie."""

    arm: str
    generation: int
    samples: str
    kept: str | None = None


@app.command()
def compose(
    recipe: Annotated[str, typer.Option(help="what the regime comes to at this generation, as JSON")],
    study_seed: StudySeed,
    seed: Replicate,
    out: Out,
    sources: Annotated[
        str, typer.Option(help="JSON list of {arm, generation, samples, kept}; arms fixed, redrawn, fresh are real")
    ],
    drawn: Annotated[Path | None, typer.Option(help="what the draw verb made for this training set")] = None,
) -> None:
    """Write down which rows make the training set of a generation: a table of references."""
    wanted = _parsed(Recipe, recipe, "--recipe")
    listed = [_parsed(Source, json.dumps(entry), "--sources") for entry in _json(sources, "--sources", list)]
    stored = {(source.arm, source.generation): source for source in listed}
    sets = {path: store.read_samples(Path(path)) for path in dict.fromkeys(s.samples for s in stored.values())}
    files = [*map(Path, sets), *(Path(s.kept) for s in stored.values() if s.kept), *([drawn] if drawn else [])]
    inputs = _hashes(*files)
    rows = {
        place: verbs.compose.Rows(
            sets[source.samples],
            source.samples,
            inputs[source.samples],
            store.read_kept(Path(source.kept)) if source.kept else None,
        )
        for place, source in stored.items()
    }
    made = verbs.compose.Rows(store.read_samples(drawn), str(drawn), inputs[str(drawn)]) if drawn else None
    with clock.compute():
        table = verbs.compose.compose(wanted, study_seed, seed, rows, made)
    store.write_training(out, replace(table, lineage=table.lineage | {"inputs": inputs}))


# -- train and sample -------------------------------------------------------------------------------------------------


@app.command()
def train(
    training: Annotated[Path, typer.Option(help="training set: a table that compose wrote")],
    family: Annotated[str, typer.Option(help=f"one of {', '.join(MODELS)}")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    options: Options = "{}",
    images_seen: Annotated[
        int | None, typer.Option(min=0, help="budget in images; the family's own if left out; 0 takes --init as it is")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="model to start from; from scratch if left out")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="images on which generation 0 chooses the options that are left open")
    ] = None,
    chosen_by: Annotated[Path | None, typer.Option(help="model of generation 0, whose choices hold")] = None,
    allow_nonidentical: Annotated[
        bool,
        typer.Option(
            envvar="COLLAPSELAB_ALLOW_NONIDENTICAL",
            help="go on from a checkpoint of other hardware, and mark the model so",
        ),
    ] = False,
    mark_diverged: Annotated[bool, typer.Option(help="write a marker and succeed when the training diverges")] = False,
) -> None:
    """Train a model; an interrupted training goes on where its checkpoint is, to the same bits."""
    kind = _chosen(MODELS, family, "--family")
    settings = _parsed(kind.Options, options, "--options")
    table = store.read_training(training)
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "inputs": _hashes(training)}
    ancestors = {"--init": init, "--chosen-by": chosen_by}
    start, chooser = (_ancestor(path, family, option, lineage) if path else None for option, path in ancestors.items())
    diverged = table.lineage.get("diverged") or lineage.pop("ancestor_diverged", None)
    if diverged:
        _diverged(out, family, settings, lineage, diverged, mark_diverged)
        return
    settings = verbs.train.settle(kind, settings, chooser)
    if images_seen == 0:
        if start is None:
            said = "found 0 and no --init; a model that sees no images starts from another"
            raise typer.BadParameter(said, param_hint="--images-seen")
        _write_model(out, family, verbs.train.as_it_is(start, settings), lineage | {"images_seen": 0})
        return
    budget = verbs.train.budget(settings, images_seen)
    checkpoint = out.with_name(f".{out.stem}.training")

    def inspect(model: Any, seen: int) -> None:
        path = out.with_name(f"{out.stem}.snapshots") / f"{seen:012}.safetensors"
        _write_model(path, family, model, lineage | {"images_seen": seen})

    _get_ready(kind.uses_torch)
    try:
        with (
            _interruptible(),
            processes.joined(),
            _told(f"train {out.parent}", budget, _stop_requested) as tell,
            clock.work("training") as seen,
        ):
            data = verbs.train.rows_of(table, store.referred(table))

            def told(images: int, loss: float) -> bool:
                seen(images)
                return tell(images, loss)

            looked_at = verbs.train.whole(store.read_samples(validation)) if validation else None
            number = verbs.train.training_seed(study_seed, seed, generation)
            run = Run(number, images_seen, told, checkpoint, allow_nonidentical, looked_at, inspect)
            model = verbs.train.train(kind, settings, data, run, start)
    except Diverged as error:
        what = {"generation": generation, "images_seen": error.images_seen, "loss": str(error.loss), "model": str(out)}
        _diverged(out, family, settings, lineage, what, mark_diverged)
    else:
        taken = model.stored().tensors["curve.images_seen"]
        budget = int(taken[-1]) if len(taken) else budget  # whole batches
        _write_model(out, family, model, lineage | {"images_seen": budget} | _how(model))
        if differences := model.how.get("nonidentical"):
            clock.facts["nonidentical"] = differences
        _count_operations("training", model, budget)
    if processes.is_first():
        shutil.rmtree(checkpoint, ignore_errors=True)
    clock.facts["images_seen"] = budget


def _told(what: str, total: int | None, stopping: Callable[[], bool] = bool) -> AbstractContextManager[Any]:
    """The progress of some work, of which the first of several processes tells for all."""
    return progress(what, total, stopping) if processes.is_first() else nullcontext(lambda seen, loss: stopping())


def _ancestor(path: Path, family: str, option: str, lineage: dict[str, Any]) -> Any:
    """A model that a training depends on; None if its training diverged, which the lineage then says."""
    model, metadata = _read_model(path)
    lineage["inputs"] |= _hashes(path)
    if model is None:
        lineage["ancestor_diverged"] = metadata["lineage"]["diverged"]
        print(f"{option} {path}: its training diverged, and so this one has nothing to start from", file=sys.stderr)
    elif metadata["family"] != family:
        raise typer.BadParameter(
            f"{path} holds a {metadata['family']!r} model; the arm's is {family!r}", param_hint=option
        )
    return model


def _count_operations(work: str, model: Any, images: int) -> None:
    """Put the floating-point operations of a piece of work among its costs.

    Counting them takes seconds, so that it is left out where the work itself took less than a minute.
    """
    if isinstance(model, Counts) and clock.compute_wall_s > LONG_S:
        flops = model.flops_per_image(model.options, model.shape)[work] * images
        clock.facts["tera_flop"] = clock.facts.get("tera_flop", 0) + round(flops / 1e12, 3)


def _how(model: Any) -> dict[str, Any]:
    """How a training was executed, where that is part of its bits."""
    return {"how": dict(model.how)} if model.how else {}


def _diverged(
    out: Path, family: str, settings: BaseModel, lineage: dict[str, Any], what: Mapping[str, Any], mark: bool
) -> None:
    """Leave a marker in the model's place; by hand, end with the exit code that says so."""
    options = settings.model_dump(mode="json")
    metadata = {"family": family, "options": options, "lineage": lineage | {"diverged": dict(what)}}
    if processes.is_first():
        store.write_tensors(out, {}, metadata)
    message = f"{out}: the training of generation {what['generation']} diverged after {what['images_seen']} images"
    print(message, file=sys.stderr)
    if not mark:
        raise typer.Exit(EXIT_DIVERGED)


@app.command()
def sample(
    model: Annotated[Path, typer.Option(help="model to sample")],
    count: Annotated[int, typer.Option(min=1, help="number of samples")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    stage: Annotated[verbs.sample.Stage, typer.Option(help="grid: the same latents in every generation")] = "sample",
    sampling_bias: Annotated[
        float, typer.Option(min=1e-9, max=1.0, help="MAD's lambda: 1 samples the model as it is")
    ] = 1.0,
    stream: Annotated[int, typer.Option(min=0, help="random stream of the arm")] = 0,
) -> None:
    """Sample a model."""
    trained, metadata = _read_model(model)
    lineage: dict[str, Any] = {
        "generation": generation,
        "seed": seed,
        "stage": stage,
        "sampling_bias": sampling_bias,
        "stream": stream,
        "family": metadata["family"],
        "model_options": metadata["options"],
        "inputs": _hashes(model),
    }
    if trained is None:
        store.write_samples(
            out, SampleSet(np.empty(0), lineage=lineage | {"diverged": metadata["lineage"]["diverged"]})
        )
        return
    _get_ready(trained.uses_torch)
    lineage["device"] = clock.facts["device_name"]
    number = verbs.sample.sample_seed(study_seed, seed, generation, stage, stream)
    with processes.joined(), _told(f"{stage} {out.parent}", count) as tell:
        with clock.work("sampling") as seen:
            size = verbs.sample.piece_size(trained, count, processes.count())
            own = processes.share(range(0, count, size))

            def done(start: int) -> None:
                made = min(count, (start - own[0] + size) * processes.count())
                seen(made)
                tell(made, None)

            parts = verbs.sample.sample(trained, count, number, sampling_bias, own, size, done)
        _write_shared(out, parts, lineage)
    _count_operations("sampling", trained, count)


def _write_shared(out: Path, parts: list[SampleSet], lineage: Mapping[str, Any]) -> None:
    """Write the sample set of which each process has the next parts; the others hand theirs to the first."""
    others = {rank: out.with_name(f".{out.stem}.{rank}.safetensors") for rank in range(1, processes.count())}
    if not processes.is_first():
        store.write_samples(
            others[processes.rank()], verbs.sample.joined(parts, {}) if parts else SampleSet(np.empty(0))
        )
    processes.barrier()
    if processes.is_first():
        handed = [store.read_samples(path) for path in others.values()]
        store.write_samples(
            out, verbs.sample.joined([*parts, *(samples for samples in handed if len(samples))], lineage)
        )
        for path in others.values():
            path.unlink()
            store.hash_path(path).unlink()


@app.command()
def select(
    samples: Annotated[Path, typer.Option(help="samples to choose from")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    selector: Annotated[str, typer.Option(help=f"one of {', '.join(SELECTORS)}")] = "nobody",
    options: Options = "{}",
    extractor: Annotated[str, typer.Option(help="NAME or NAME=WEIGHTS, for a selector that reads features")] = "",
    train: Annotated[Path | None, typer.Option(help="the training split, for a selector that reads features")] = None,
) -> None:
    """Choose which samples are kept for the next generation."""
    entry = _chosen(SELECTORS, selector, "--selector")
    pool = store.read_samples(samples)
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "selector": selector, "inputs": _hashes(samples)}
    if "diverged" in pool.lineage:
        lineage["diverged"] = pool.lineage["diverged"]
    seen = _seen(pool, entry.reads, extractor, train) if entry.reads and len(pool) else None
    settings = _parsed(entry.Options, options, "--options")
    with clock.compute():
        selection = verbs.select.select(selector, entry, settings, pool, seen, study_seed, seed, generation)
    store.write_kept(out, KeptTable(selection.rows, selection.scores, selection.reasons, selection.judge, lineage))


def _seen(pool: SampleSet, reads: str, extractor: str, train: Path | None) -> Seen:
    """The samples and the training split through the eyes of a selector."""
    name, _, path = extractor.partition("=")
    if name != reads or train is None:
        raise typer.BadParameter(
            f"found {extractor!r} and {train}; the selector reads {reads!r} and the training split"
        )
    weights, _ = _weights(FEATURES[name], name, path)
    with clock.compute():
        return verbs.select.look(FEATURES[name], weights, pool, store.read_samples(train))


# -- extract and record -----------------------------------------------------------------------------------------------

ExtractorFlags = Annotated[list[str], typer.Option(help=f"NAME or NAME=WEIGHTS; names: {', '.join(FEATURES)}")]
ExtractorOptions = Annotated[str, typer.Option(help='options as JSON, such as {"likelihood": {"steps": 32}}')]
CountMeasured = Annotated[int, typer.Option(min=1, help="rows of every set that are measured")]
ReferencePart = Annotated[Against, typer.Option(help="the real samples that metrics compare with")]


@app.command()
def extract(
    samples: Annotated[list[str], typer.Option(help="SET=FILE of samples, such as sampled=samples.safetensors")],
    extractor: ExtractorFlags,
    out: Out,
    options: ExtractorOptions = "{}",
    real: Annotated[
        list[str] | None, typer.Option(help="SET=FILE of real data, for extractors that look through the model")
    ] = None,
    as_reference: Annotated[bool, typer.Option(help="store neighbours and moments: many will compare with it")] = False,
) -> None:
    """Turn sample sets into feature matrices."""
    sets = {name: Path(path) for name, path in _pairs(samples, "--samples", files=True).items()}
    reals = {name: Path(path) for name, path in _pairs(real or [], "--real", files=True).items()}
    said = _json(options, "--options", dict)
    tensors: dict[str, np.ndarray] = {}
    extractors, lineages, names = {}, {}, {}
    pools = {which: store.read_samples(path) for which, path in (sets | reals).items()}
    for which, path in (sets | reals).items():
        content = digest(SampleSet(pools[which].data))  # where the data lay is in the file's hash, and not in this one
        lineages[which] = {**pools[which].lineage, "hash": store.recorded_hash(path), "content": content}
    for name, weights_path in _pairs(extractor, "--extractor").items():
        entry = _chosen(FEATURES, name, "--extractor")
        settings = _extractor_settings(entry, name, said.get(name, {}))
        weights, extractors[name] = _weights(entry, name, weights_path)
        extractors[name] |= settings
        through = entry.of_model or entry.of_law or entry.of_population
        _get_ready(entry.uses_torch or (through and weights is not None and weights.uses_torch))
        look = verbs.extract.Look(entry, weights, settings)
        for which in verbs.extract.looked_at(look, list(sets), list(reals), as_reference):
            with clock.compute():
                found = verbs.extract.extract(look, pools[which], as_reference)
            if found is not None:
                names[name] = found.names
                tensors |= {f"{which}/{name}/{part}": array for part, array in _arrays(found)}
    metadata = {"extractors": extractors, "names": names, "sets": lineages}
    store.write_tensors(out, tensors, metadata | {"lineage": _hashes(*sets.values(), *reals.values())})


def _extractor_settings(entry: Extractor, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What an extractor is told beside its weights; what a trained one is told, its training was told."""
    if entry.trained:
        return {}
    if entry.Options is None:
        if said:
            raise typer.BadParameter(f"found {said}; {name} has no options", param_hint=f"--options {name}")
        return {}
    parsed = _parsed(entry.Options, json.dumps(said), f"--options {name}")
    return {key: value for key, value in parsed.model_dump(mode="json").items() if key != "weights"}


def _weights(entry: Extractor, name: str, path: str) -> tuple[Any, dict[str, Any]]:
    """What an extractor looks with, and what of it belongs into the fingerprint."""
    facts = dict(entry.facts)
    if entry.published:
        found = published.find(entry.published, Path(path) if path else None)
        return found, facts | {"weights": published.digest(found)}
    through = entry.of_model or entry.of_law or entry.of_population
    if not path and (entry.trained or through):
        what = "the known population" if entry.of_population else "a model"
        remedy = f"its weights: {name}=FILE, as learn writes it" if entry.trained else f"{what}: {name}=FILE"
        raise typer.BadParameter(f"found {name!r}; it needs {remedy}", param_hint="--extractor")
    if through:
        model, metadata = _read_model(Path(path))
        if entry.of_population:
            store.expect(Path(path), bool(metadata.get("population")), "known population")
            return model, facts | {"population": store.recorded_hash(Path(path))}
        return model, facts  # whose model it is, the record says
    if entry.trained:
        weights, metadata = store.read_tensors(Path(path))
        store.expect(Path(path), metadata.get("extractor") == name, f"weights of {name}")
        accuracy = metadata.get("info", {}).get("held_out_accuracy")
        return weights, facts | {"weights": store.recorded_hash(Path(path)), "held_out_accuracy": accuracy}
    if path:
        raise typer.BadParameter(f"found {name}={path}; {name} has no weights", param_hint="--extractor")
    return None, facts


FEATURE_PARTS = ("values", "classes", "probabilities", "neighbour_distances")


def _arrays(features: Features) -> Iterator[tuple[str, np.ndarray]]:
    """What a file holds of features."""
    moments = zip(("mean", "covariance"), features.moments or features.sample_moments or (), strict=False)
    for name, array in (*((name, getattr(features, name)) for name in FEATURE_PARTS), *moments):
        if array is not None:
            yield name, array


def _read_features(path: Path) -> dict[tuple[str, str], Features]:
    """Features by (set, extractor)."""
    tensors, metadata = store.read_tensors(path)
    current = {"sets", "names"} <= metadata.keys() and all("content" in entry for entry in metadata["sets"].values())
    store.expect(path, current, "features of this version")
    parts: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, array in tensors.items():
        which, name, part = key.split("/")
        parts.setdefault((which, name), {})[part] = array
    found = {}
    for (which, name), arrays in parts.items():
        called = metadata["names"][name]
        moments = (arrays["mean"], arrays["covariance"]) if "mean" in arrays else None
        own = {part: arrays.get(part) for part in FEATURE_PARTS}
        known = "moments" if name in FEATURES and FEATURES[name].of_law else "sample_moments"
        found[which, name] = Features(**own, names=tuple(called) if called else None, **{known: moments})
    return found


@app.command()
def record(
    features: Annotated[Path, typer.Option(help="features of the samples")],
    reference: Annotated[list[Path], typer.Option(help="features of the real data, a file an extractor")],
    metrics: Annotated[str, typer.Option(help='metrics with their options as JSON, such as {"recall": {"k": 5}}')],
    out: Out,
    count: CountMeasured = 2**62,
    against: ReferencePart = "held_out",
    cell: Annotated[str, typer.Option(help="JSON: study, arm, seed and generation that the record is of")] = "{}",
    training: Annotated[Path | None, typer.Option(help="the training set, for metrics that look for copies")] = None,
    kept: Annotated[Path | None, typer.Option(help="which samples were kept; measured apart if not all were")] = None,
    population: Annotated[Path | None, typer.Option(help="the known population: its moments are the reference")] = None,
) -> None:
    """Compare samples with real data and write one record of numbers, each with the fingerprint of how it was made."""
    wanted = _metrics(metrics)
    _, metadata = store.read_tensors(features)
    fakes = _read_features(features)
    # Real data that was looked at through the generation's own model lies beside its samples.
    sets = {which: entry for which, entry in metadata["sets"].items() if which not in REAL_PARTS}
    own = {key: fakes.pop(key) for key in list(fakes) if key[0] in REAL_PARTS}
    marks = [entry["diverged"] for entry in sets.values() if "diverged" in entry]
    table = store.read_training(training) if training else None
    content = {
        **_json(cell, "--cell", dict),
        "status": "diverged" if marks else "ok",
        "diverged": marks[0] if marks else None,
        "lineage": {
            **{name: entry["hash"] for name, entry in sets.items()},
            **({"training": store.recorded_hash(training)} if training else {}),
            **{f"parent {path}": digest for one in sets.values() for path, digest in one.get("inputs", {}).items()},
        },
        "values": [],
        "fingerprints": {},
    }
    if table is not None:
        content["composition"] = verbs.record.composition(table)
    if not marks:
        rows = store.read_kept(kept).rows if kept else None
        look = (lambda: (_rows(table), store.recorded_hash(training))) if table is not None else None
        reals = _references(reference, population) | {
            key: Role(found, metadata["sets"][key[0]]["content"]) for key, found in own.items()
        }
        measurement = Measurement(wanted, reals, metadata["extractors"], against, look, _place(_numbers(reals)))
        with clock.compute():
            content["values"], content["fingerprints"] = verbs.record.record(measurement, fakes, sets, rows, count)
    store.write_json(out, content)


def _rows(table: TrainingTable) -> np.ndarray:
    return verbs.train.rows_of(table, store.referred(table)).data


def _numbers(reals: Mapping[Any, Role]) -> int:
    """How many numbers there are to compare with."""
    return sum(role.features.values.size for role in reals.values())


def _place(numbers: int) -> Callable[[str, Features], Features]:
    """Moves features to the GPU where there is one and numbers are many; metrics compute where their features are."""
    if numbers < MANY_NUMBERS:
        return measuring.stays  # before torch is imported
    from .machine.device import device

    where = device()
    on_host = where.type == "cpu"
    return lambda name, features: features if on_host or FEATURES[name].statistic else features.to(where)


def _references(paths: list[Path], population: Path | None) -> dict[tuple[str, str], Role]:
    """What plays the real samples, by (part, extractor)."""
    roles = {}
    known = _read_model(population)[0] if population else None
    moments = known.moments() if isinstance(known, Knows) else None
    for path in paths:
        _, metadata = store.read_tensors(path)
        for (part, name), features in _read_features(path).items():
            roles[part, name] = verbs.record.role(features, metadata["sets"][part], moments)
    return roles


@app.command()
def baseline(
    reference: Annotated[list[Path], typer.Option(help="features of the real data, a file an extractor")],
    metrics: Annotated[str, typer.Option(help="metrics with their options as JSON")],
    count: Annotated[int, typer.Option(min=2, help="real samples in the role of the fakes, at most those there are")],
    out: Out,
    against: ReferencePart = "held_out",
    population: Annotated[Path | None, typer.Option(help="the known population")] = None,
) -> None:
    """Compare real data with real data: the values that a perfect model would reach."""
    reals = _references(reference, population)
    extractors: dict[str, Any] = {}
    for path in reference:
        extractors |= store.read_tensors(path)[1]["extractors"]
    if missing := [f"{part} of {name}" for name in extractors for part in REAL_PARTS if (part, name) not in reals]:
        raise typer.BadParameter(f"has no features of {', '.join(missing)}", param_hint="--reference")
    measurement = Measurement(_metrics(metrics), reals, extractors, against, place=_place(_numbers(reals)))
    with clock.compute():
        values, fingerprints = verbs.record.baseline(measurement, count)
    store.write_json(out, {"values": values, "fingerprints": fingerprints})


# -- all seeds of an arm at once ---------------------------------------------------------------------------------------


@app.command()
def replicate(
    arm: Annotated[str, typer.Option(help="the arm with all its seeds, as JSON")],
    out: Out,
) -> None:
    """Run all seeds of an arm in one go, and write one row for each seed and generation."""
    wanted = _parsed(loop.Replicates, arm, "--arm")
    total = wanted.seeds * len(wanted.recipes)
    with progress(f"replicate {wanted.name}", total) as tell, clock.compute():
        columns = loop.run(wanted, progress=lambda done: tell(done, None))
    store.write_table(out, columns, {"arm": wanted.model_dump(mode="json")})


# -- measure and compare ----------------------------------------------------------------------------------------------

MEASURED_ROLES = ("samples", "against", "train")
OUTSIDE_EXTRACTORS = {
    name: entry for name, entry in FEATURES.items() if not (entry.of_model or entry.of_law or entry.of_population)
}


@app.command()
def measure(
    samples: Annotated[Path, typer.Argument(help=f"what is measured: {outside.READABLE}")],
    against: Annotated[Path, typer.Option(help="real samples that it is compared with, in one of the same formats")],
    train: Annotated[
        Path | None,
        typer.Option(
            help="real samples that the model was trained on: to look for copies, and for what a perfect model scores"
        ),
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help=f"NAME or NAME=WEIGHTS, as often as wanted; else inception for images, identity for numbers; names: "
            f"{', '.join(OUTSIDE_EXTRACTORS)}"
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME=OPTIONS as JSON, such as recall='{\"k\": 3}'; else all that mean something"),
    ] = None,
    count: Annotated[int | None, typer.Option(min=2, help="measure the first so many samples of each side")] = None,
    resolution: Annotated[int | None, typer.Option(min=1, help="side in pixels that images are shrunk to")] = None,
    channels: Annotated[int, typer.Option(min=1, max=3, help="1 reads images as grey, 3 as colours")] = 3,
    out: Annotated[Path | None, typer.Option(help="record to write, with the fingerprints, for compare")] = None,
    scores: Annotated[Path | None, typer.Option(help="CSV to write: the scores of every sample")] = None,
) -> None:
    """Compare any two sets of samples, without a study."""
    if channels not in (1, 3):
        raise typer.BadParameter(f"found {channels}; allowed: 1, 3", param_hint="--channels")
    chosen = {
        name: (_chosen(OUTSIDE_EXTRACTORS, name, "--extractor"), path)
        for name, path in _pairs(extractor or [outside.usual_extractor(samples)], "--extractor").items()
    }
    streamed = all(entry.published for entry, _ in chosen.values())
    paths = {"samples": samples, "against": against} | ({"train": train} if train else {})
    form = {"resolution": resolution, "channels": channels, "count": count, "streamed": streamed}
    pools = {role: outside.read(path, **form) for role, path in paths.items()}
    kinds = {role: pool.kind for role, pool in pools.items()}
    if len(set(kinds.values())) > 1:
        found = "; ".join(f"{paths[role]} holds {kind}" for role, kind in kinds.items())
        raise ValueError(f"{found}: allowed is one kind")
    kind, looks = kinds["samples"], {}
    for name, (entry, path) in chosen.items():
        if kind not in entry.takes:
            takes = " and ".join(entry.takes)
            raise typer.BadParameter(f"{name!r} looks at {takes}; {samples} holds {kind}", param_hint="--extractor")
        settings = _extractor_settings(entry, name, {})
        try:
            found, facts = _weights(entry, name, path)
        except ValueError as error:
            if path or not entry.published:
                raise
            weightless = (one for one, it in OUTSIDE_EXTRACTORS.items() if not it.needs_weights)
            others = ", ".join(one for one in weightless if kind in OUTSIDE_EXTRACTORS[one].takes)
            raise ValueError(f"{error}\nor choose an --extractor that needs none: {others}") from None
        looks[name] = outside.Look(found, settings, facts | settings)
        _get_ready(entry.uses_torch)
    lacking = {name: outside.lacks(name, looks, kind, train is not None) for name in METRICS}
    possible = [name for name, reason in lacking.items() if reason is None]
    pairs = _pairs(metric or possible, "--metric")
    given = {name: _json(text or "{}", f"--metric {name}", dict) for name, text in pairs.items()}
    if faults := [f"{name!r} {lacking[name]}" for name in given if lacking.get(name)]:
        raise typer.BadParameter(f"{faults[0]}; allowed here: {', '.join(possible)}", param_hint="--metric")
    wanted = _metrics(json.dumps(given), "--metric")
    place = _place(MANY_NUMBERS if streamed else sum(pool.data.size for pool in pools.values()))
    pictures = [pool.data for pool in pools.values() if isinstance(pool.data, outside.Pictures)]
    total = len(looks) * sum(map(len, pictures))
    with progress(f"measure {samples}", total) if pictures else nullcontext() as tell, clock.compute():
        seen = itertools.count(1)
        for of_role in pictures:
            of_role.tell = lambda: tell(next(seen), None)
        content, columns = outside.measured(*(pools.get(role) for role in MEASURED_ROLES), looks, wanted, place)
    print(outside.table(content, str(samples), str(against)))
    if scores:
        store.write_atomically(scores, lambda file: file.write_text(outside.csv_of(columns, outside.names(samples))))
    if out:
        store.write_json(out, content)


def _replicates_in(path: Path) -> comparing.Records:
    """The records of a study, or an arm, whose seeds ran together; none where they did not."""
    tables = sorted(path.rglob("replicates.parquet")) if path.is_dir() else []
    found = {}
    for table in tables:
        for record in results.replicated(path.resolve().name, table):
            cell = f"{record['arm']}/seed{record['seed']}/gen{record['generation']}"
            found[cell] = record
    return found


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="a record, or a folder with records, such as results/STUDY")],
    other: Annotated[Path, typer.Argument(help="the other one")],
) -> None:
    """Set numbers side by side that were measured alike; name what keeps the others apart."""
    sides = {path: _replicates_in(path) or comparing.load(path) for path in (one, other)}
    found = comparing.compare(sides[one], sides[other])
    print(comparing.table(found, str(one), str(other)))
    if found.unlike:
        raise ValueError(comparing.refusal(found, str(one), str(other)))


# -- published weights ------------------------------------------------------------------------------------------------

weights_app = typer.Typer(help="Published weights: which are here, and how to get the others.", rich_markup_mode=None)
app.add_typer(weights_app, name="weights")


@weights_app.callback(invoke_without_command=True)
def weights(context: typer.Context) -> None:
    """Published weights: which are here, and how to get the others."""
    if context.invoked_subcommand is None:
        for name, state, more in published.listing():
            print(f"{state:8} {name:22} {published.WEIGHTS[name].terms}")
            print(textwrap.indent(more, " " * 9))


@weights_app.command()
def fetch(name: Annotated[str, typer.Argument(help=f"one of {', '.join(published.WEIGHTS)}")]) -> None:
    """Download published weights, and verify them."""
    try:
        print(published.fetch(name))
    except published.Unreachable as error:
        print(f"collapselab: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_RESOURCES) from None


@weights_app.command("import")
def take_over(
    source: Annotated[Path, typer.Argument(help="a StyleGAN2-ADA .pkl, or a folder of diffusers' UNet2DModel")],
    out: Out,
    classes: Annotated[
        int | None, typer.Option(min=0, help="number of classes of a folder whose last class embedding means: no label")
    ] = None,
) -> None:
    """Make a model of published weights, to start from or to sample. Code in them is never run."""
    if classes is not None and not source.is_dir():
        raise typer.BadParameter(f"found {classes}; a .pkl says its classes itself", param_hint="--classes")
    from .models.diffusion.published import from_diffusers
    from .models.stylegan2.published import model_of
    from .store.pickles import networks as pickled

    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    taken = {file.name: store.content_hash(file) for file in files if file.is_file() or file == source}
    try:
        if source.is_dir():
            family, (options, tensors) = "diffusion", from_diffusers(source, classes)
        else:
            family, (options, tensors) = "stylegan2", model_of(pickled.read(source))
        model = MODELS[family].load(Stored(tensors), MODELS[family].Options.model_validate(options))
    except ValueError as error:
        said = " ".join(str(error).split())[:400]
        raise Foreign(source, said if str(source) in said else f"{source}: {said}") from None
    _write_model(out, family, model, {"generation": 0, "imported": taken})
    size = sum(array.nbytes for array in model.stored().tensors.values()) / 2**20
    print(f"{out}: {family} of {' x '.join(map(str, model.shape))} images, {size:,.1f} MiB")
    print(f"as a model of a study: {_as_yaml(family, model.options)}")


def _as_yaml(family: str, options: BaseModel) -> str:
    """What a study says for a model with these options, on one line."""
    import yaml

    said = options.model_dump(mode="json")
    preset = type(options)(preset=said["preset"]).model_dump(mode="json")
    named = {"family": family, "preset": said["preset"]}
    named |= {name: value for name, value in said.items() if value != preset[name]}
    return yaml.safe_dump(named, default_flow_style=True, sort_keys=False, width=sys.maxsize).strip()


# -- studies ----------------------------------------------------------------------------------------------------------

StudyName = Annotated[str, typer.Argument(help="a study's name, or its YAML file")]
Planned = Annotated[str | None, typer.Option(hidden=True, help="the study as JSON, as the workflow planned it")]


def _study(name: str, planned: str | None = None) -> Any:
    from . import config

    if planned is not None:
        return config.from_plan(planned)
    return config.find(name)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="name of the new study: letters, digits, hyphens and underscores")],
) -> None:
    """Write a commented study to start from: config/NAME.yaml."""
    from . import config

    path = Path("config") / f"{name}.yaml"
    if not re.fullmatch(config.STUDY_NAME_PATTERN, name) or name == "real":
        raise typer.BadParameter(f"found {name!r}; allowed are letters, digits, hyphens and underscores, not 'real'")
    if path.exists():
        raise typer.BadParameter(f"{path} is there already; choose another name")
    text = (Path(__file__).parent / "study.yaml").read_text().replace("NAME", name)
    store.write_atomically(path, lambda temporary: temporary.write_text(text))
    print(f"{path}\nnext: collapselab validate {name}; collapselab plan {name}; snakemake --config study={name}")


@app.command()
def validate(name: StudyName) -> None:
    """Check a study and report every fault."""
    study = _study(name)
    arms = ", ".join(study.lineages)
    print(f"{study.name}: ok. Arms: {arms}; {study.file.seeds} seeds; generations 0 to {study.file.generations}")


@app.command()
def throughput(
    name: StudyName,
    out: Annotated[Path | None, typer.Option(help="file to write, for plan --throughput elsewhere")] = None,
) -> None:
    """Time the training and the sampling of a study's models on this device, and remember it for plan."""
    study = _study(name)
    measured = _throughputs(study, None, again=True)
    for model, one in measured.items():
        print(f"{model}: {_rates(one)}")
    if out is not None:
        speeds.write(out, list(measured.values()))


def _rates(one: speeds.Throughput) -> str:
    rates = f"{one.training_images_per_second:,.4g} images/s trained, {one.sampling_images_per_second:,.4g} made"
    more = f", {one.watts:,.0f} W ({one.energy_source})" if one.watts else ""
    return f"{rates}{more} on {one.device}" + (f" (extrapolated: {one.extrapolated})" if one.extrapolated else "")


def _throughputs(study: Any, file: Path | None, again: bool = False) -> dict[str, speeds.Throughput]:
    """How fast each model of the study is: as a file has it, as is known, or measured now."""
    read = speeds.read(file) if file else []
    found = {}
    for model in study.file.models:
        what = study.family(model), study.parsed_options(model), study.shape
        one = speeds.find(read, *what) if file else None if again else speeds.known(*what)
        if one is None:
            if file:
                raise typer.BadParameter(f"{file} has no {model!r} of this study", param_hint="--throughput")
            print(f"timing {model} on this device, once", file=sys.stderr)
            one = speeds.measure(*what)
            speeds.keep(one)
        found[model] = one
    return found


def _told_cost(study: Any, file: Path | None) -> dict[str, str]:
    """What all trainings and samples of a study cost, in words."""
    measured = _throughputs(study, file)
    cost = speeds.cost(study.work(), measured)
    told = {}
    for what, (low, expected, high) in (("hours of one device", cost.hours), ("kWh", cost.kilowatt_hours)):
        said = f"{expected:,.3g} ({low:,.3g} to {high:,.3g})" if high >= 0.001 else "less than 0.001"
        told[what] = said
    return told | {f"  {model}": _rates(one) for model, one in measured.items()}


@app.command()
def plan(
    name: StudyName,
    throughput: Annotated[
        Path | None, typer.Option(help="how fast another machine is, as the throughput verb wrote it there")
    ] = None,
    cost: Annotated[bool, typer.Option(help="say hours and energy, after timing models that are not known yet")] = True,
) -> None:
    """Say what a study comes to, what it costs on this device, and what of it would run now."""
    from . import reasons

    study = _study(name)
    if name.endswith((".yaml", ".yml")) and Path(name).resolve() != Path("config", f"{study.name}.yaml").resolve():
        raise typer.BadParameter(f"found {name!r}; the workflow runs studies in config/: copy it there first")
    told = {**study.totals(), "real data": study.real_file("")} | (_told_cost(study, throughput) if cost else {})
    for what, said in told.items():
        print(f"{what:32} {said}")
    command = ["snakemake", "--dry-run", "--config", f"study={study.name}"]
    print(f"\n{' '.join(command)}", flush=True)
    try:
        planned = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise typer.BadParameter("snakemake is not on the PATH; activate the environment") from None
    if planned.returncode:
        print(planned.stderr, file=sys.stderr)
        raise typer.Exit(EXIT_BAD_INPUT)
    why = reasons.causes(planned.stdout, reasons.remembered(), reasons.sources(study))
    for rule, counted in why.items():
        for cause, count in counted.most_common():
            print(f"{rule:14} {count:6}  {cause}")
    print(f"{'total':14} {sum(map(Counter.total, why.values())):6}" if why else "nothing to be done")


@app.command()
def recipe(
    name: StudyName,
    arm: Annotated[str, typer.Argument(help="an arm of the study, or a base such as base_tiny")],
    generation: Annotated[int, typer.Argument(min=0, help="the generation")],
) -> None:
    """Print what an arm's regime comes to at a generation: the recipe that compose and draw are told."""
    study = _study(name)
    _chosen(study.bases if generation == 0 else study.lineages, arm, "ARM")
    print(study.recipe(arm, generation).model_dump_json())


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="file to write; to the terminal if left out")] = None) -> None:
    """Print the JSON schema of a study, for editors."""
    from . import config

    text = json.dumps(config.schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
    else:
        store.write_atomically(out, lambda temporary: temporary.write_text(text))


@app.command()
def report(
    name: StudyName,
    so_far: Annotated[bool, typer.Option(help="draw a study that is not finished")] = False,
    planned: Planned = None,
) -> None:
    """Draw a study's report: one HTML file, tables as CSV and JSON, figures as PDF."""
    from . import report as reports

    study = _study(name, planned)
    records, missing = results.records(study)
    if missing and not so_far:
        raise typer.BadParameter(
            f"{len(missing)} cells are not measured yet, such as {missing[0]}; --so-far draws the rest"
        )
    if not records:
        raise typer.BadParameter(f"nothing is measured yet: {missing[0]} is the first cell")
    with clock.compute():
        grids: dict[str, dict[int, np.ndarray]] = {}
        for (arm, seed, generation), images in results.grids(study).items():
            if seed == 0:
                grids.setdefault(arm, {})[generation] = images
        files = reports.build(results.facts(study), records, grids, results.costs(study))
    folder = Path(study.report_file(""))
    for file, content in files.items():
        store.write_hashed(folder / file, lambda temporary, content=content: temporary.write_bytes(content))
    print(folder / "report.html")


@app.command()
def track(name: StudyName, planned: Planned = None) -> None:
    """Mirror a study in MLflow; the runs are found again, so that tracking twice changes nothing."""
    from .report import grid_png, tracking

    study = _study(name, planned)
    records, missing = results.records(study)
    if not records:
        raise typer.BadParameter(f"nothing is measured yet: {missing[0]} is the first cell")
    curves = {}
    for record in [] if study.file.together else records:
        where = record["arm"], record["seed"], record["generation"]
        tensors, _ = store.read_tensors(Path(study.cell(*where, "model.safetensors")))
        if "curve.loss" in tensors:
            curves[where] = tensors["curve.images_seen"], tensors["curve.loss"]
    pictures = {where: grid_png(images) for where, images in results.grids(study).items()}
    out = Path(study.report_file("tracked.json"))
    try:
        done = tracking.track(
            study.name,
            together.means(records) if study.file.together else records,
            params={arm: study.describe_arm(arm) for arm in study.lineages},
            curves=curves,
            pictures=pictures,
            note=study.file.question,
        )
    except tracking.TrackingError as error:
        # The mirror may be away; the files are the record, and the study is whole without it.
        print(f"collapselab: not mirrored: {error}; say collapselab track {study.name} again later", file=sys.stderr)
        store.write_json(out, {"tracked": False, "reason": str(error)})
        if planned is None:  # in the workflow a mirror that is away holds nothing up
            raise typer.Exit(EXIT_LOCKED if isinstance(error, tracking.Locked) else EXIT_RESOURCES) from None
        return
    # The same after a second call: the file lies among the study's outputs, which DVC compares.
    runs = done.created + done.extended + done.unchanged
    store.write_json(out, {"tracked": True, "experiment": done.experiment, "runs": runs})
    changes = f"{done.created} new, {done.extended} extended, {done.deleted} remade"
    print(f"{runs} runs in experiment {done.experiment!r}: {changes}")


@app.command()
def families() -> None:
    """List the model families: what is known of their density, and what each can do."""
    rows = taxonomy(MODELS)
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in COLUMNS}
    print("  ".join(column.ljust(widths[column]) for column in COLUMNS).rstrip())
    for index, row in enumerate(rows):
        if index and row["density"] != rows[index - 1]["density"]:
            print()
        print("  ".join(row[column].ljust(widths[column]) for column in COLUMNS).rstrip())


@app.command()
def doctor() -> None:
    """Look at this machine: versions against the pins, device, disk, and what the workflow needs."""
    from .machine.doctor import examine

    faults = 0
    for what, found, fault in examine():
        faults += bool(fault)
        print(f"{'FAULT' if fault else 'ok':6} {what:28} {found}{f': {fault}' if fault else ''}")
    if faults:
        raise typer.Exit(EXIT_RESOURCES)


@app.command(hidden=True)
def explain(log: Annotated[Path, typer.Argument(help="a log of snakemake")]) -> None:
    """Say in one place what the failed jobs of a run said: who is waited for, what is damaged, what diverged."""
    said: dict[str, str] = {}
    for path in dict.fromkeys(re.findall(r"^ *log: (\S+)", log.read_text(), re.MULTILINE)):
        lines = Path(path).read_text().splitlines() if Path(path).exists() else []
        begin = next((at for at, line in enumerate(lines) if line.startswith("collapselab: ")), None)
        if begin is not None:
            said["\n".join(lines[begin:]).removeprefix("collapselab: ")] = path
    for message, path in said.items():
        print(f"{message} ({path})", file=sys.stderr)


# -- running verbs ----------------------------------------------------------------------------------------------------

_signals: list[int] = []
_training: list[bool] = []


def _stop_requested() -> bool:
    return bool(_signals)


def _on_signal(number: int, frame: Any) -> None:
    """A training is asked to save its state; everything else, and a second signal, ends at once."""
    _signals.append(number)
    if len(_signals) > 1 or not _training:
        raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[None]:
    """Within it a signal is a request that the training answers at its next step."""
    _training.append(True)
    try:
        yield
    finally:
        _training.clear()


def _signal_exit() -> int:
    return 130 if _signals and _signals[0] == signal.SIGINT else 143


def main() -> None:
    """Run the verbs of the command line, which ``+`` joins, and end with one of the exit codes."""
    arguments = sys.argv[1:]
    cost = None
    if arguments[:1] == ["--cost"] and len(arguments) > 1:
        cost, arguments = Path(arguments[1]), arguments[2:]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, _on_signal)
    code = 0
    for verb in _verbs(arguments):
        code = _run(verb)
        if code or _signals:
            code = code or _signal_exit()
            break
    if not code and cost is not None and processes.is_first():
        code = _guarded(
            lambda: store.write_json(cost, {"verbs": [verb[0] for verb in _verbs(arguments)], **clock.record()})
        )
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking torch down in order costs up to a second, and there is nothing left to save.
    os._exit(code)


def _verbs(arguments: list[str]) -> list[list[str]]:
    verbs: list[list[str]] = [[]]
    for word in arguments:
        if word == "+":
            verbs.append([])
        else:
            verbs[-1].append(word)
    return verbs


def _run(verb: list[str]) -> int:
    return _guarded(lambda: _shared(verb) or app(verb, prog_name="collapselab", standalone_mode=False))


def _shared(verb: list[str]) -> int:
    """Run a verb in as many processes as the machine is said to have GPUs for; 0 where there is nothing to share.

    Their costs count as this process's own.
    """
    many = processes.wanted()
    if many == 1 or processes.count() > 1 or verb[:1] not in (["train"], ["sample"]):
        return 0
    with tempfile.TemporaryDirectory() as folder:
        cost = Path(folder) / "cost.json"
        code = processes.launch(many, ["--cost", str(cost), *verb])
        if not code:
            clock.add(store.read_json(cost))
        raise typer.Exit(code)


def _guarded(work: Callable[[], Any]) -> int:
    """The exit code of some work; every failure that a user can meet ends in one clear message."""
    try:
        result = work()
        code = result if isinstance(result, int) and not isinstance(result, bool) else 0
        return _signal_exit() if _signals and code else code  # typer returns 130 for every signal
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _signal_exit() if _signals else 130
    except typer.TyperException as error:
        error.show()
        return EXIT_BAD_INPUT
    except Interrupted as error:
        return _fail(f"{error}; the same command goes on from there", _signal_exit())
    except Damaged as error:
        renamed = "; it was renamed to .damaged, and the next run of the workflow remakes it"
        return _fail(f"{error}{renamed if error.set_aside else ''}", EXIT_DAMAGED)
    except Waiting as error:
        return _fail(str(error), EXIT_WAITING)
    except FileNotFoundError as error:
        return _fail(f"no such file: {error.filename}", EXIT_BAD_INPUT)
    except MemoryError as error:
        return _fail(f"out of memory: {error}", EXIT_RESOURCES)
    except OSError as error:
        full = error.errno in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EIO,
            errno.EROFS,
            errno.EACCES,
            errno.EPERM,
        )
        return _fail(
            f"cannot write or read {error.filename or ''}: {error.strerror}", EXIT_RESOURCES if full else EXIT_BAD_INPUT
        )
    except ValueError as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except RuntimeError as error:
        if processes.count() > 1 and "connection" in str(error).lower():  # gloo's word; the launcher says which it was
            return _fail("another of these processes is gone", EXIT_RESOURCES)
        # torch raises its out-of-memory errors as RuntimeErrors; anything else is a fault of ours and keeps its trace.
        if not any(words in str(error).lower() for words in ("out of memory", "can't allocate memory")):
            raise
        return _fail(f"out of memory: {error}; lower the model's batch or sample_batch", EXIT_RESOURCES)


def _fail(message: str, code: int) -> int:
    print(f"collapselab: {message}", file=sys.stderr)
    return code
