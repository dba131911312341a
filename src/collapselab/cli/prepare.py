"""Real data: read or drawn once, split, and looked at by extractors that learn from it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .. import store
from ..compose.streams import Stream
from ..data import DATASETS
from ..data.planted import Planted, plant
from ..data.split import PARTS
from ..data.weighing import check_memory
from ..features import FEATURES
from ..models.files import write_population
from ..populations import POPULATIONS
from ..verbs import prepare as verb
from .inputs import hashes, told_of
from .options import Options, Out, chosen, json_of, pairs, parsed
from .run import clock
from .work import get_ready

app = typer.Typer(rich_markup_mode=None)

KNOWN = {"population": "the truth itself", "held_out": "what is compared with", "train": "as many beside it"}


@app.command()
def prepare(
    source: Annotated[str, typer.Option(help=f"one of {', '.join(DATASETS)}")],
    sizes: Annotated[str, typer.Option(help='images in each part as JSON, such as {"train": 800, "held_out": 597}')],
    part: Annotated[list[str], typer.Option(help=f"NAME=FILE of a part to write; names: {', '.join(PARTS)}")],
    split_seed: Annotated[int, typer.Option(help="seed of the split")] = 0,
    rare: Annotated[str, typer.Option(help='shares that classes are thinned to, such as {"7": 0.003}')] = "{}",
    options: Options = "{}",
    planted: Annotated[str, typer.Option(help='a logo in a share of the images, such as {"share": 0.1}')] = "",
) -> None:
    """Read real images, split them once, and write parts of them."""
    files = pairs(part, "--part", files=True)
    dataset = chosen(DATASETS, source, "--source")
    counts = json_of(sizes, "--sizes", dict)
    if wrong := {part: count for part, count in counts.items() if not isinstance(count, int)}:
        raise typer.BadParameter(f"found {wrong}; allowed are numbers of images", param_hint="--sizes")
    if lacking := [name for name in files if name not in counts]:
        said = f"found {lacking[0]!r}, of which --sizes says no number; allowed: {', '.join(counts)}"
        raise typer.BadParameter(said, param_hint="--part")
    shares = json_of(rare, "--rare", dict)
    if not all(label.isdigit() and isinstance(share, float | int) for label, share in shares.items()):
        raise typer.BadParameter(f"found {rare!r}; allowed are {{label: share}}", param_hint="--rare")
    data = parsed(dataset, options, "--options")
    logo = parsed(Planted, planted, "--planted") if planted else None
    check_memory(data)
    with clock.compute():
        thinned = {int(label): share for label, share in shares.items()}
        if said := data.summary():  # before the split, which may find too little
            print(f"{getattr(data, 'path', None) or source}: {said}", file=sys.stderr)
        parts = verb.prepare(data, counts, split_seed, thinned)
        parts = plant(parts, logo, split_seed) if logo else parts
    for name, file in files.items():
        store.write_samples(Path(file), parts[name])


@app.command()
def populate(
    population: Annotated[str, typer.Option(help=f"one of {', '.join(POPULATIONS)}")],
    part: Annotated[list[str], typer.Option(help=f"NAME=FILE of a part to write; names: {', '.join(KNOWN)}")],
    held_out: Annotated[int, typer.Option(min=2, help="draws that metrics compare with")] = 2,
    split_seed: Annotated[int, typer.Option(help="seed of the held-out draws")] = 0,
    stream: Annotated[str | None, typer.Option(help="JSON: the tasks, each with as many draws")] = None,
    options: Options = "{}",
) -> None:
    """Write down a known population, or draw its held-out samples, or as many beside them for the reference line."""
    files = pairs(part, "--part", files=True)
    for name in files:
        chosen(KNOWN, name, "--part")
    family = chosen(POPULATIONS, population, "--population")
    model = family.population(parsed(family.PopulationOptions, options, "--options"))
    for name, file in files.items():
        if name == "population":
            write_population(Path(file), population, model)
            continue
        with clock.compute():
            if stream is not None:
                tasks = parsed(Stream, stream, "--stream")
                drawn = verb.populate_tasks(population, model, tasks, name, held_out, split_seed)
            else:
                drawn = verb.populate(population, model, name, held_out, split_seed)
        store.write_samples(Path(file), replace(drawn, lineage={**drawn.lineage, **told_of(model)}))


@app.command(hidden=True)
def task(
    samples: Annotated[Path, typer.Option(help="a part of the real data")],
    stream: Annotated[str, typer.Option(help='JSON: the tasks, such as {"classes": [[0, 1], [2, 3]]}')],
    number: Annotated[int, typer.Option(min=0, help="which task, from 0")],
    out: Out,
    share: Annotated[bool, typer.Option("--share", help="deal rows of a class in several tasks out to these")] = False,
) -> None:
    """Write down which rows of a part of the real data are of a task."""
    rows, tasks = store.read_samples(samples), parsed(Stream, stream, "--stream")
    if number >= tasks.tasks:
        raise typer.BadParameter(f"found {number}; tasks are 0 to {tasks.tasks - 1}", param_hint="--number")
    with clock.compute():
        table = verb.task(rows, tasks, number, share)
    store.write_kept(out, replace(table, lineage=dict(table.lineage) | {"inputs": hashes(samples)}))


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
    entry = chosen(FEATURES, extractor, "--extractor", lambda one: one.needs.through == "learnt")
    real, reference = store.read_samples(train), store.read_samples(held_out)
    settings = parsed(entry.Options, options, "--options")
    get_ready(entry.uses_torch)
    with clock.compute():
        weights, info = verb.learn(extractor, entry, real, reference, settings, split_seed)
    store.write_tensors(out, weights, {"extractor": extractor, "info": info, "lineage": hashes(train, held_out)})
    print(f"{extractor}: {info['held_out_accuracy']:.1%} of the held-out images are recognised", file=sys.stderr)
