"""Samples of a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import store
from ..core.registry import usable
from ..core.sequences import met
from ..core.sets import SampleSet
from ..machine import processes
from ..models import MODELS
from ..store import provenance
from ..store.provenance import PACKAGE
from ..verbs import sample as verb
from ..verbs.transform import key_of
from .inputs import hashes, model_in
from .learning import keep, put_back
from .marking import Marked, mark_in
from .options import Generation, Out, Replicate, StudySeed, json_of, pairs
from .run import clock
from .steering import Guided, Others, Sampled, replaced, sampled_as, sampling, steering
from .work import count_operations, get_ready, told

app = typer.Typer(rich_markup_mode=None)

DrawnBy = Annotated[Path | None, typer.Option(help="--model is of labels alone: the model that makes a sample of each")]


@app.command()
def sample(
    model: Annotated[Path, typer.Option(help="model to sample")],
    count: Annotated[int, typer.Option(min=1, help="number of samples")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    stage: Annotated[verb.Stage, typer.Option(help="grid: the same latents in every generation")] = "sample",
    sampling_bias: Annotated[float, typer.Option(min=1e-9, help="MAD's lambda: 1 samples the model as it is")] = 1.0,
    stream: Annotated[int, typer.Option(min=0, help="random stream of the arm")] = 0,
    guide: Guided = "{}",
    sampler: Sampled = "{}",
    auxiliary: Others = None,
    mark: Marked = "{}",
    drawn_by: DrawnBy = None,
) -> None:
    """Sample a model."""
    trained, metadata = model_in(model)
    painter, by_whom = _painter_in(drawn_by, model, metadata) if drawn_by else (None, {})
    said, others = json_of(guide, "--guide", dict), pairs(auxiliary or [], "--auxiliary", files=True)
    marks, by = mark_in(mark, "noise"), json_of(sampler, "--sampler", dict)
    steers, lost = steering(said, others, replaced(metadata["options"], by), sampling_bias < 1)
    cell = {"generation": generation, "seed": seed, "stage": stage, "sampling_bias": sampling_bias, "stream": stream}
    lineage: dict[str, Any] = {
        **cell,
        "family": metadata["family"],
        "model_options": metadata["options"],
        "inputs": hashes(model, *map(Path, others.values()), *([drawn_by] if drawn_by else [])),
        **sampled_as(by, metadata["options"]),
        **met({str(model): metadata["lineage"]}),
        **_beside(guide=said, mark=json_of(mark, "--mark", dict), adapter=metadata["lineage"].get("adapter")),
        **_beside(drawn_by=_told_of(drawn_by, by_whom)),
    }
    if diverged := metadata["lineage"].get("diverged", _end_of(drawn_by, by_whom) or lost):
        store.write_samples(out, SampleSet(np.empty(0), lineage=lineage | {"diverged": diverged}))
        return
    trained = verb.Drawn(trained, painter) if drawn_by else trained
    number = verb.sample_seed(study_seed, seed, generation, stage, stream)
    numbers = {"count": count, "study_seed": study_seed, "number": number}
    made_from = _made_from(numbers, lineage, said, marks) if trained.uses_torch else {}
    if made_from and put_back(out, made_from):
        return
    get_ready(trained.uses_torch)
    lineage["device"] = clock.facts["device_name"]
    marked = verb.marking(*marks[1:], key_of(study_seed, seed, stream, marks[0])) if marks else None
    with processes.joined(), told(f"{stage} {out.parent}", count) as tell:
        with clock.work("sampling") as seen:
            size = verb.piece_size(trained, count, processes.count())
            own = processes.share(range(0, count, size))

            def done(start: int) -> None:
                made = min(count, (start - own[0] + size) * processes.count())
                seen(made)
                tell(made, None)

            parts = verb.sample(trained, count, number, sampling_bias, own, size, done, steers, marked, sampling(by))
        _write_shared(out, parts, lineage)
    count_operations("sampling", trained, count)
    if made_from:
        keep(out, made_from)


def _beside(**said: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a sampling was told beside its model; nothing of what it was not."""
    return {key: value for key, value in said.items() if value}


def _told_of(path: Path | None, painter: Mapping[str, Any]) -> dict[str, Any]:
    """What samples say of the model that has drawn them of labels; nothing where it is the one that was sampled."""
    return {"model": str(path), "family": painter["family"], "model_options": painter["options"]} if path else {}


def _painter_in(path: Path, model: Path, words: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model that draws labels, and its metadata. Raises BadParameter for one that cannot, and for no labels.

    model: the file of the labels' model. words: its metadata.
    """
    painter, found = model_in(path)
    family, of = found.get("family", "a known population"), words.get("family", "a known population")
    if family not in MODELS or "labels" not in MODELS[family].conditions or not found["options"].get("classes"):
        able = ", ".join(name for name, kind in usable(MODELS) if "labels" in kind.conditions)
        message = f"{path} holds {family}, which is told no labels; allowed is a model with classes of one of these"
        raise typer.BadParameter(f"{message}: {able}", param_hint="--drawn-by")
    if of not in MODELS or "categories" not in MODELS[of].takes:
        message = f"{model} holds {of}; with --drawn-by it is of labels alone: allowed is a model of categories"
        raise typer.BadParameter(message, param_hint="--model")
    labels, classes = words["options"].get("categories"), found["options"]["classes"]
    if labels is not None and labels != classes:
        message = f"{path} draws {classes} labels, and {model} gives {labels}; allowed is the same number"
        raise typer.BadParameter(message, param_hint="--drawn-by")
    return painter, found


def _end_of(path: Path | None, painter: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why there is no model that draws the labels, and of which file that is told: its lineage ended, not this one."""
    ended = painter.get("lineage", {}).get("diverged")
    return {**ended, "of": str(path)} if ended else None


def _made_from(
    numbers: Mapping[str, int], lineage: Mapping[str, Any], guide: Mapping[str, Any], mark: tuple[str, Any, Any] | None
) -> dict[str, Any]:
    """All that the samples of a network follow from: how many, of which seeds, of which models, and the source."""
    roots = [f"{PACKAGE}.verbs.sample:{name}" for name in ("sample", "piece_size", "joined", "marking")]
    roots += provenance.entries("models:MODELS", [lineage["family"]])
    roots += provenance.entries("marks:MARKS", list(mark or ())[:1])
    if guide:
        asked = getattr(MODELS[lineage["family"]], "denoises", ())
        roots += [*provenance.entries("guides:GUIDES", list(guide)), f"{PACKAGE}.verbs.sample:steering", *asked]
    if painter := lineage.get("drawn_by"):
        roots += [f"{PACKAGE}.verbs.sample:Drawn", *provenance.entries("models:MODELS", [painter["family"]])]
    if by := lineage.get("sampled_by"):
        roots += [f"{PACKAGE}.verbs.sample:sampling", *provenance.entries("samplers:SAMPLERS", by)]
    return {"verb": "sample", "source": provenance.source_hash(*roots), "lineage": dict(lineage), **numbers}


def _write_shared(out: Path, parts: list[SampleSet], lineage: Mapping[str, Any]) -> None:
    """Write the sample set of which each process has the next parts; the others hand theirs to the first."""
    others = {rank: out.with_name(f".{out.stem}.{rank}.safetensors") for rank in range(1, processes.count())}
    if not processes.is_first():
        store.write_samples(others[processes.rank()], verb.joined(parts, {}) if parts else SampleSet(np.empty(0)))
    processes.barrier()
    if processes.is_first():
        handed = [store.read_samples(path) for path in others.values()]
        store.write_samples(out, verb.joined([*parts, *(samples for samples in handed if len(samples))], lineage))
        for path in others.values():
            path.unlink()
            store.hash_path(path).unlink()
