"""A model that is changed after its training, and further models that a guide steers by."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..adapt import ADAPTERS
from ..adapt.base import Adapter
from ..core.run import Run
from ..guides.base import Auxiliary
from ..models import MODELS
from ..rewards.asking import looked_through
from ..store import provenance
from ..store.provenance import PACKAGE
from ..verbs import adapt as verb
from ..verbs.train import rows_of, weighted
from .extractors import ExtractorOptions, looks_of
from .inputs import hashes, model_in
from .learning import AllowNonidentical, MarkDiverged, at_work, diverged, leave, run_of
from .options import Generation, Options, Out, Replicate, StudySeed, chosen, json_of, pairs, parsed
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
    adapter: Annotated[str, typer.Option(help=f"one of {', '.join(ADAPTERS) or 'none in this version'}")],
    training: TrainingFile,
    study_seed: StudySeed,
    seed: Replicate,
    generation: Generation,
    out: Out,
    options: Options = "{}",
    ancestor: Annotated[list[Path] | None, typer.Option(help="an earlier model of the arm, the oldest first")] = None,
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
    entry = chosen(ADAPTERS, adapter, "--adapter")
    settings = parsed(entry.Options, options, "--options")
    trained, metadata = _trained_in(model)
    earlier = {path: model_in(path) for path in ancestor or []}
    inputs = hashes(model, training, *earlier, *(one for one in (train, validation) if one))
    _expect_validation(entry, settings, validation)
    _expect_needed(entry, looked_through(entry, settings), extractor or [], train, len(earlier))
    looks = looks_of(extractor or [], extractor_options)
    told, by = {adapter: json_of(options, "--options", dict)}, json_of(sampler, "--sampler", dict)
    how = sampling_bias, sampling(by)
    lineage: dict[str, Any] = {"generation": generation, "seed": seed, "inputs": inputs, "adapter": told}
    lineage |= sampled_as(by, metadata["options"])
    marks = [facts["lineage"]["diverged"] for found, facts in [(trained, metadata), *earlier.values()] if found is None]
    family, table = metadata["family"], store.read_training(training)
    if marks:
        own = MODELS[family].Options.model_validate(metadata["options"])
        diverged(out, family, own, lineage, marks[0], mark_diverged)
        return
    _expect_suited(entry, adapter, settings, trained, family)
    number, budget = verb.adaptation_seed(study_seed, seed, generation, adapter), entry.images(settings)
    beside = {"adapter": adapter, "options": settings.model_dump(mode="json"), "inputs": sorted(inputs.values())}
    beside |= ({"sampling_bias": sampling_bias} if sampling_bias != 1 else {}) | ({"sampler": by} if by else {})
    run = replace(run_of(out, number, None, allow_nonidentical, family, lineage), beside=beside)

    def fit() -> Any:
        with at_work(f"adapt {out.parent}", budget, trained.uses_torch) as tell:
            rows = weighted(rows_of(table, store.referred(table)), table)
            models = [found for found, _ in earlier.values()]
            split, chooses_by = (store.read_samples(path) if path else None for path in (train, validation))
            shown = verb.given(settings, trained, rows, run.seed, looks, split, models, chooses_by, *how)
            adapted, facts = verb.adapt(adapter, entry, settings, trained, shown, replace(run, progress=tell))
            _note(facts, lineage, f"{out}: {adapter}")
            return adapted

    roots = [*provenance.entries("adapt:ADAPTERS", [adapter]), *(f"{PACKAGE}.verbs.adapt:{one}" for one in OWN)]
    made_from = beside | _made_from(family, lineage, run, [*roots, *_sampler_roots(by)])
    made_from |= {"eyes": [extractor_options, *map(_eye, extractor or [])]}
    made_from = made_from if trained.uses_torch else None
    leave(out, family, trained.options, lineage, budget, fit, run, mark_diverged, of_model=False, made_from=made_from)


def _note(facts: Mapping[str, Any], lineage: dict[str, Any], who: str) -> None:
    """Put what an adapter says of its model into the lineage, and tell what it has chosen."""
    lineage.update({"adaptation": dict(facts)} if facts else {})
    for option, value in facts.get("chosen", {}).items():
        print(f"{who} has chosen {option} {value} on the validation rows", file=sys.stderr)


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
    trained, metadata = _trained_in(model)
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


def _trained_in(path: Path) -> tuple[Any, dict[str, Any]]:
    """A model of a family, and its metadata; None where its training diverged."""
    model, metadata = model_in(path)
    if metadata.get("population"):
        raise typer.BadParameter(f"{path} holds a known population; allowed is a trained model", param_hint="--model")
    return model, metadata


def _expect_needed(
    entry: Adapter, through: tuple[str, ...], extractors: list[str], train: Path | None, ancestors: int
) -> None:
    """Raise BadParameter unless an adapter is handed just what it needs."""
    names = list(pairs(extractors, "--extractor"))
    if sorted(names) != sorted(through):
        said = f"found {', '.join(names) or 'none'}; the adapter looks through {', '.join(through) or 'none'}"
        raise typer.BadParameter(said, param_hint="--extractor")
    if bool(through) != (train is not None):
        said = "the adapter needs it" if through else "the adapter has no use for it"
        raise typer.BadParameter(f"found {train or 'nothing'}; {said}", param_hint="--train")
    if ancestors and not entry.needs.ancestors:
        raise typer.BadParameter(f"found {ancestors}; the adapter has no use for them", param_hint="--ancestor")


def _expect_suited(entry: Adapter, adapter: str, settings: Any, trained: Any, family: str) -> None:
    """Raise BadParameter unless an adapter works with a model."""
    if lacking := [asked.__name__ for asked in entry.asks if not isinstance(trained, asked)]:
        said = f"found a {family!r} model; {adapter} asks for one that is {lacking[0]} (models.capabilities)"
        raise typer.BadParameter(said, param_hint="--model")
    if message := entry.fault(type(trained), settings):
        raise typer.BadParameter(message, param_hint="--options")


def _expect_validation(entry: Adapter, settings: Any, validation: Path | None) -> None:
    """Raise BadParameter unless an adapter that chooses by validation rows is handed some, and no other is."""
    if bool(entry.validates(settings)) != (validation is not None):
        said = (
            "the adapter has no use for it" if validation else "the adapter chooses by it what its options leave open"
        )
        raise typer.BadParameter(f"found {validation or 'nothing'}; {said}", param_hint="--validation")
