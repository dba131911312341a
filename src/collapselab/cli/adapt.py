"""A model that is changed after its training, and further models that a guide steers by."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..adapt import ADAPTERS
from ..core.run import Run
from ..guides.base import Auxiliary
from ..models import MODELS
from ..store import provenance
from ..store.provenance import PACKAGE
from ..verbs import adapt as verb
from ..verbs.train import rows_of, weighted
from .adapting import (
    asked_of,
    expect_needed,
    expect_suited,
    images_of,
    note,
    planned,
    said_of,
    source_of,
    worked_through,
)
from .extractors import ExtractorOptions, looks_of
from .inputs import hashes, model_in, trained_in
from .learning import AllowNonidentical, MarkDiverged, at_work, diverged, leave, run_of
from .options import Generation, Out, Replicate, StudySeed, json_of
from .steering import Sampled, sampled_as, sampling

app = typer.Typer(rich_markup_mode=None)

ROWS = [f"{PACKAGE}.verbs.train:{name}" for name in ("rows_of", "weighted")]
OWN = ("adapt", "given", "own_samples")

ModelFile = Annotated[Path, typer.Option(help="model as it was trained")]

SamplingBias = Annotated[float, typer.Option(help="of the arm's samples, and so of the model's own")]

TrainingFile = Annotated[Path, typer.Option(help="training set of the model: a table that compose wrote")]


@app.command()
def adapt(
    model: ModelFile,
    adapter: Annotated[list[str], typer.Option(help=f"one of {', '.join(ADAPTERS)}; several work one after the other")],
    training: TrainingFile,
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    options: Annotated[list[str] | None, typer.Option(help="options as JSON, for each adapter in their order")] = None,
    ancestor: Annotated[list[Path] | None, typer.Option(help="an earlier model of the arm, the oldest first")] = None,
    earlier: Annotated[list[Path] | None, typer.Option(help="training set of each earlier model, in order")] = None,
    extractor: Annotated[list[str] | None, typer.Option(help="NAME or NAME=WEIGHTS to look through")] = None,
    extractor_options: ExtractorOptions = "{}",
    train: Annotated[Path | None, typer.Option(help="the training split, for an adapter that looks at it")] = None,
    validation: Annotated[Path | None, typer.Option(help="the validation split, for one that chooses by it")] = None,
    sampling_bias: SamplingBias = 1.0,
    sampler: Sampled = "{}",
    allow_nonidentical: AllowNonidentical = False,
    mark_diverged: MarkDiverged = False,
) -> None:
    """Change a trained model; what is interrupted goes on where its checkpoint is, to the same bits."""
    steps, by = asked_of(adapter, options or []), json_of(sampler, "--sampler", dict)
    trained, metadata = trained_in(model)
    past = {path: model_in(path) for path in ancestor or []}
    inputs = hashes(model, training, *past, *(earlier or []), *(one for one in (train, validation) if one))
    expect_needed(steps, extractor or [], train, validation, len(past), len(earlier or []))
    looks = looks_of(extractor or [], extractor_options)
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "inputs": inputs, "adapter": said_of(steps)}
    lineage |= sampled_as(by, metadata["options"])
    marks = [facts["lineage"]["diverged"] for found, facts in [(trained, metadata), *past.values()] if found is None]
    family, table = metadata["family"], store.read_training(training)
    if marks:
        own = MODELS[family].Options.model_validate(metadata["options"])
        diverged(out, family, own, lineage, marks[0], mark_diverged)
        return
    expect_suited(steps, trained, family)
    seeds = verb.adaptation_seeds(study_seed, seed, generation, [one.name for one in steps])
    about = {"inputs": sorted(inputs.values())} | ({"sampling_bias": sampling_bias} if sampling_bias != 1 else {})
    about |= {"sampler": by} if by else {}
    run = run_of(out, seeds[0], None, allow_nonidentical, family, lineage)
    source = source_of(family, steps, [*(f"{PACKAGE}.verbs.adapt:{one}" for one in OWN), *ROWS, *_sampler_roots(by)])
    beside = {"source": source, "eyes": [extractor_options, *map(_eye, extractor or [])]}
    plan, budget = planned(steps, run, seeds, about, beside, family), images_of(steps)

    def fit() -> Any:
        with at_work(f"adapt {out.parent}", budget, trained.uses_torch) as tell:
            tables = [table, *map(store.read_training, earlier or [])]
            rows, *before = [weighted(rows_of(one, store.referred(one)), one) for one in tables]
            models, how = [found for found, _ in past.values()], (sampling_bias, sampling(by))
            split, chooses_by = (store.read_samples(path) if path else None for path in (train, validation))
            shown = verb.given(steps[0].options, trained, rows, run.seed, looks, split, models, chooses_by, *how)
            shown = shown._replace(earlier=before)
            adapted, facts = worked_through(plan, trained, shown, tell, *how)
            note(facts, steps, lineage, out)
            return adapted

    made_from = about | beside | {"lineage": dict(lineage), "seeds": seeds}
    made_from = made_from if trained.uses_torch else None
    leave(out, family, trained.options, lineage, budget, fit, run, mark_diverged, of_model=False, made_from=made_from)


def _eye(said: str) -> list[str]:
    """An extractor as it is said, and the hash of what it looks with."""
    path = said.partition("=")[2]
    return [said, *(hashes(Path(path)).values() if path else ())]


@app.command()
def auxiliary(
    model: ModelFile,
    training: TrainingFile,
    asked: Annotated[str, typer.Option(help='how it is trained as JSON, such as {"on": "own", "images_seen": 1000}')],
    role: Annotated[str, typer.Option(help="what the guide calls it")],
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    sampler: Sampled = "{}",
    sampling_bias: SamplingBias = 1.0,
    allow_nonidentical: AllowNonidentical = False,
    mark_diverged: MarkDiverged = False,
) -> None:
    """Train a further model that a guide steers by."""
    one, by = _asked(asked), json_of(sampler, "--sampler", dict)
    sampled_by = sampling(by)
    trained, metadata = trained_in(model)
    inputs, family = hashes(model, training), metadata["family"]
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "inputs": inputs, "role": role}
    lineage |= sampled_as(by, metadata["options"])
    kind, table = MODELS[family], store.read_training(training)
    if trained is None:
        own = kind.Options.model_validate(metadata["options"])
        diverged(out, family, own, lineage, metadata["lineage"]["diverged"], mark_diverged)
        return
    number = verb.auxiliary_seed(study_seed, seed, generation, role)
    run = run_of(out, number, one.images_seen, allow_nonidentical, family, lineage)

    def fit() -> Any:
        with at_work(f"auxiliary {role} {out.parent}", one.images_seen, kind.uses_torch) as tell:
            own = one.on == "own"
            rows = None if own else weighted(rows_of(table, store.referred(table)), table)
            return verb.auxiliary(one, kind, trained, rows, replace(run, progress=tell), sampled_by, sampling_bias)

    roots = [f"{PACKAGE}.verbs.adapt:auxiliary", *_sampler_roots(by)]
    made_from = {"asked": one._asdict()} | ({"sampling_bias": sampling_bias} if sampling_bias != 1 else {})
    made_from |= _made_from(family, lineage, run, roots)
    made_from = made_from if kind.uses_torch else None
    leave(out, family, trained.options, lineage, one.images_seen, fit, run, mark_diverged, made_from=made_from)


def _made_from(family: str, lineage: dict[str, Any], run: Run, roots: list[str]) -> dict[str, Any]:
    """What a changed or a further network follows from, beside what it is told."""
    source = provenance.source_hash(*provenance.entries("models:MODELS", [family]), *roots, *ROWS)
    return {"lineage": dict(lineage), "seed": run.seed, "source": source}


def _sampler_roots(by: Mapping[str, Any]) -> list[str]:
    """The source of the sampler of own samples, where it takes the place of the model's own."""
    return [f"{PACKAGE}.verbs.sample:sampling", *provenance.entries("samplers:SAMPLERS", by)] if by else []


def _asked(text: str) -> Auxiliary:
    """How a further model is trained."""
    said = json_of(text, "--asked", dict)
    known = Auxiliary._fields
    needed = {"on", "images_seen"} | ({"samples"} if said.get("on") == "own" else set())
    right = needed <= set(said) <= set(known) and said["on"] in ("training", "own")
    right = right and isinstance(said.get("changed") or {}, dict)
    if not right or not all(type(said[key]) is int and said[key] > 0 for key in needed - {"on"}):
        allowed = "on (training or own), images_seen, and samples where it is trained on its own, numbers above 0, or "
        allowed += "changed, options of a model that is trained from scratch"
        raise typer.BadParameter(f"found {text}; allowed are {allowed}", param_hint="--asked")
    return Auxiliary(**said)
