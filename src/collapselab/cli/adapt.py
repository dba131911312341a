"""A model that is changed after its training, and further models that a guide steers by."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .. import store
from ..adapt import ADAPTERS
from ..core.run import Run
from ..guides.base import Auxiliary
from ..machine import processes
from ..measure import pools
from ..models import MODELS
from ..store import provenance
from ..store.provenance import PACKAGE
from ..verbs import adapt as verb
from ..verbs.train import rows_of, weighted
from .adapting import (
    Asked,
    asked_of,
    expect_needed,
    expect_rows,
    expect_suited,
    images_of,
    note,
    planned,
    said_of,
    source_of,
    worked_through,
)
from .alone import Rows, expect_page, eyes_for, write_page
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

Adapters = Annotated[list[str], typer.Option(help=f"one of {', '.join(ADAPTERS)}; several work one after the other")]
OfEach = Annotated[list[str] | None, typer.Option("--options", help="options as JSON, of each adapter in their order")]
AnyTraining = Annotated[
    Path,
    typer.Option(
        help="what the model was trained on, or the new rows for one that learns these (ewc, low_rank, distilled): "
        f"a table that compose wrote, or {pools.READABLE}"
    ),
]
Ancestors = Annotated[list[Path] | None, typer.Option(help="an earlier model of the arm, the oldest first")]
EarlierSets = Annotated[list[Path] | None, typer.Option(help="training set of each earlier model, in order")]
Eyes = Annotated[
    list[str] | None, typer.Option(help="NAME or NAME=WEIGHTS to look through; those without weights are there")
]
SplitFile = Annotated[Path | None, typer.Option(help="real rows that an adapter looks at; else those of the training")]
ValidationFile = Annotated[Path | None, typer.Option(help="real rows beside these, for one that chooses by them")]
Page = Annotated[Path | None, typer.Option(help="page of before and after to write: HTML")]
Against = Annotated[Path | None, typer.Option(help="real rows that the page compares samples with")]
Shown = Annotated[int, typer.Option(min=2, help="samples before and after, for the page")]


@app.command()
def adapt(
    model: ModelFile,
    adapter: Adapters,
    training: AnyTraining,
    out: Out,
    options: OfEach = None,
    study_seed: StudySeed = 0,
    seed: Replicate = 0,
    generation: Generation = 0,
    ancestor: Ancestors = None,
    earlier: EarlierSets = None,
    extractor: Eyes = None,
    extractor_options: ExtractorOptions = "{}",
    train: SplitFile = None,
    validation: ValidationFile = None,
    sampling_bias: SamplingBias = 1.0,
    sampler: Sampled = "{}",
    page: Page = None,
    against: Against = None,
    samples: Shown = 400,
    allow_nonidentical: AllowNonidentical = False,
    mark_diverged: MarkDiverged = False,
) -> None:
    """Change a trained model; what is interrupted goes on where its checkpoint is, to the same bits.

    In a study its arms do it (adapt:). By hand it works on any model, and a page shows what has become of it.
    """
    steps, by = asked_of(adapter, options or []), json_of(sampler, "--sampler", dict)
    trained, metadata = trained_in(model)
    past, eyes = {path: model_in(path) for path in ancestor or []}, eyes_for(steps, extractor or [])
    expect_needed(steps, eyes, validation, len(past), len(earlier or []))
    expect_page(page, against)
    lineage = {"generation": generation, "seed": seed, "inputs": {}, "adapter": said_of(steps)}
    lineage |= sampled_as(by, metadata["options"])
    marks = [facts["lineage"]["diverged"] for found, facts in [(trained, metadata), *past.values()] if found is None]
    if marks:
        own = MODELS[metadata["family"]].Options.model_validate(metadata["options"])
        lineage["inputs"] = hashes(model, *past, *(one for one in (training, train, validation) if one))
        diverged(out, metadata["family"], own, lineage, marks[0], mark_diverged)
        return
    expect_suited(steps, trained, metadata["family"])
    rows = Rows.at(trained, training, earlier or [], train, validation, against)
    expect_rows(steps, rows.validation)
    lineage["inputs"] = hashes(model, *past) | rows.hashes
    seeds = verb.adaptation_seeds(study_seed, seed, generation, [one.name for one in steps])
    how = How(eyes, extractor_options, sampling_bias, by, allow_nonidentical, mark_diverged)
    _change(out, metadata["family"], trained, steps, rows, [one for one, _ in past.values()], seeds, lineage, how)
    if page and processes.is_first():
        write_page(page, model, out, trained, rows, samples, seeds[0])


class How(NamedTuple):
    """How adapters look at samples and make them, and what becomes of a training that goes on elsewhere or diverges."""

    eyes: list[str]
    extractor_options: str
    bias: float
    sampler: Mapping[str, Any]
    allow_nonidentical: bool
    mark_diverged: bool


def _change(
    out: Path,
    family: str,
    trained: Any,
    steps: Sequence[Asked],
    rows: Rows,
    past: Sequence[Any],
    seeds: Sequence[int],
    lineage: dict[str, Any],
    how: How,
) -> None:
    """Write the model as adapters have changed it."""
    looks, sampled_by = looks_of(how.eyes, how.extractor_options), (how.bias, sampling(how.sampler))
    about = {"inputs": sorted(lineage["inputs"].values())}
    about |= ({"sampling_bias": how.bias} if how.bias != 1 else {}) | ({"sampler": how.sampler} if how.sampler else {})
    run = run_of(out, seeds[0], None, how.allow_nonidentical, family, lineage)
    roots = [*(f"{PACKAGE}.verbs.adapt:{one}" for one in OWN), *ROWS, *_sampler_roots(how.sampler)]
    beside = {"source": source_of(family, steps, roots), "eyes": [how.extractor_options, *map(_eye, how.eyes)]}
    plan, budget = planned(steps, run, seeds, about, beside, family), images_of(steps)

    def fit() -> Any:
        with at_work(f"adapt {out.parent}", budget, trained.uses_torch) as tell:
            given = (looks, rows.train, past, rows.validation, *sampled_by)
            shown = verb.given(steps[0].options, trained, rows.training, run.seed, *given)._replace(
                earlier=rows.earlier
            )
            adapted, facts = worked_through(plan, trained, shown, tell, *sampled_by)
            note(facts, steps, lineage, out)
            return adapted

    kept = about | beside | {"lineage": dict(lineage), "seeds": list(seeds)}
    kept = kept if trained.uses_torch else None
    leave(out, family, trained.options, lineage, budget, fit, run, how.mark_diverged, of_model=False, made_from=kept)


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
