"""What a search for a guide needs of a study: a finished model, validation rows, and the guides that suit."""

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .. import store
from ..compose.regimes import at
from ..core.ask import Ask
from ..core.naming import meant
from ..core.needs import looks_anew
from ..core.seeds import seed_of
from ..core.sets import SampleSet
from ..features import FEATURES
from ..guides import GUIDES
from ..measure.record import first
from ..metrics import METRICS
from ..models import MODELS
from ..models.capabilities import Denoises, Knows, Trainable
from ..search import objectives, spaces
from ..search.spaces import Searched
from ..search.tried import Bench
from ..store.provenance import PACKAGE, entries, source_hash
from ..study.guided import asked_of, of_formula
from ..study.looking import looks_with
from ..study.sampled import said_of
from ..verbs import record as recording
from ..verbs.extract import Look, extract
from ..verbs.select import looked_at
from .extractors import settings_of, weights_of
from .inputs import hashes, model_in
from .steering import sampling


class Wanted(NamedTuple):
    """What a search was asked for, as it was said; None and empty where nothing was.

    arm, seed, generation: whose model; guides: names; options, ranges: guide -> option -> value, or [low, high];
    further: role -> file; train: whether missing further models are trained.
    """

    arm: str | None
    seed: int
    generation: int | None
    guides: list[str]
    objective: str
    extractor: str | None
    samples: int | None
    search_seed: int
    options: Mapping[str, Mapping[str, Any]]
    ranges: Mapping[str, Mapping[str, Any]]
    further: Mapping[str, str]
    train: bool


class Cell(NamedTuple):
    """Whose model is searched for: of an arm with a seed, in one generation; its file."""

    arm: str
    seed: int
    generation: int
    file: Path


class Plan(NamedTuple):
    """A search, checked. left_out: guides that are not searched, with why. trained: role -> (guide, options) of further
    models that have to be trained before. rows: how many validation rows there are.
    """

    cell: Cell
    extractor: str
    objectives: tuple[objectives.Objective, ...]
    guides: list[Searched]
    left_out: Mapping[str, str]
    further: Mapping[str, str]
    trained: Mapping[str, Searched]


# -- what is asked -----------------------------------------------------------------------------------------------------


def planned(study: Any, wanted: Wanted) -> Plan:
    """What is searched, and where. Raises ValueError that names every fault, before any work."""
    faults: list[str] = []
    if study.file.together:
        raise ValueError(f"{study.name}: its seeds run together, which leaves no models; allowed is a study without")
    if study.population_name is None and not study.file.data.split.validation:
        faults.append(
            f"{study.name}: has no validation rows, and a guide is chosen on rows that no metric of the report sees; "
            "say data: {split: {validation: 200}} in the study, and run it"
        )
    cell = _cell(study, wanted, faults)
    extractor = _extractor(study, wanted, faults)
    aims: tuple[objectives.Objective, ...] = ()
    if extractor:
        try:
            aims = objectives.parsed(wanted.objective, study.metric_options(), extractor)
        except ValueError as error:
            faults.append(f"--objective: {error}")
    for flag, said in (("--options", wanted.options), ("--range", wanted.ranges)):
        for name in said:
            if name not in GUIDES or not isinstance(said[name], Mapping):
                faults.append(f"{flag}: found {name!r}; allowed are guides with their options: {', '.join(GUIDES)}")
    if faults:
        raise ValueError("\n".join(faults))
    guides, left_out, further, trained = _guides(study, cell, wanted, faults)
    if faults:
        raise ValueError("\n".join(faults))
    return Plan(cell, extractor, aims, guides, left_out, further, trained)


def _cell(study: Any, wanted: Wanted, faults: list[str]) -> Cell:
    can = [name for name, one in study.lineages.items() if issubclass(MODELS[study.family(one.model)], Denoises)]
    first = next((name for name in study.file.arms if name in can), "")
    arm = wanted.arm or first
    if arm not in can:
        allowed = f"arms whose model is sampled step by step: {', '.join(can) or 'none'}"
        none = f"{study.name}: no arm can be guided; the guides are for {allowed}"
        faults.append(f"--arm: found {arm!r}{meant(arm, can)}; allowed are {allowed}" if arm else none)
        return Cell(arm, 0, 0, Path())
    most = study.lineages[arm].generations
    generation = most if wanted.generation is None else wanted.generation
    if generation > most or not study.is_own(wanted.seed):
        faults.append(
            f"--seed, --generation: found seed {wanted.seed}, generation {generation}; allowed are 0 to "
            f"{study.file.seeds - 1}, and 0 to {most}"
        )
        return Cell(arm, wanted.seed, generation, Path())
    file = Path(study.model_file(arm, wanted.seed, generation))
    if not file.exists():
        faults.append(f"{file}: is not there, not made yet or thinned; run: collapselab run {study.name}")
    return Cell(arm, wanted.seed, generation, file)


def _extractor(study: Any, wanted: Wanted, faults: list[str]) -> str:
    """The extractor through which samples are looked at: one that the study measures in, and that sees samples."""
    can = [name for name in study.measured_in if _sees(name)]
    primary = study.file.primary.extractor
    name = wanted.extractor or (primary if primary in can else next(iter(can), ""))
    if name in can or (name in FEATURES and FEATURES[name].needs.through == "nothing" and _sees(name)):
        return name
    faults.append(f"--extractor: found {name or 'none'!r}; allowed are those of the study that see samples: {can}")
    return ""


def _sees(name: str) -> bool:
    needs = FEATURES[name].needs
    return not (looks_anew(needs) or needs.through in ("law", "mark"))


# -- guides ------------------------------------------------------------------------------------------------------------


def _guides(
    study: Any, cell: Cell, wanted: Wanted, faults: list[str]
) -> tuple[list[Searched], dict[str, str], dict[str, str], dict[str, Searched]]:
    """The guides that are searched, those left out with why, the files of further models, and which are trained."""
    lineage = study.lineages[cell.arm]
    model = asked_of(study, lineage)
    biased = at(lineage.sampling_bias, cell.generation) < 1
    found, left_out, further, trained = [], {}, {}, {}
    for name in wanted.guides or GUIDES:
        said = dict(wanted.options.get(name, {}))
        if lineage.guide and lineage.guide.name == name and "auxiliary" in lineage.guide.options:
            said = {"auxiliary": lineage.guide.options["auxiliary"]} | said  # so that a point names the model it had
        try:
            one = _suited(study, name, said, wanted, model, biased, repr(lineage.model))
            there = _further(study, cell, one, wanted)
        except ValueError as error:
            left_out[name] = str(error).removeprefix(f"{name}: ")
            continue
        further |= {role: path for role, path in there.items() if path}
        trained |= {role: one for role, path in there.items() if not path}
        found.append(one)
    if wanted.guides and left_out:
        faults += [f"--guide: {name}: {why}" for name, why in left_out.items()]
    elif not found:
        faults.append(f"--guide: none suits {lineage.model!r}: " + "; ".join(f"{n}: {w}" for n, w in left_out.items()))
    if unused := [role for role in wanted.further if role not in further]:
        faults.append(f"--auxiliary: found {', '.join(unused)}; no guide that is searched steers by it")
    return found, left_out, further, trained


def _suited(
    study: Any, name: str, said: Mapping[str, Any], wanted: Wanted, model: Mapping[str, Any], biased: bool, whose: str
) -> Searched:
    """A guide with its space. Raises ValueError for one that there is not, or that does not suit the model."""
    if name not in GUIDES:
        raise ValueError(f"there is no such guide{meant(name, GUIDES)}; allowed: {', '.join(GUIDES)}")
    entry = GUIDES[name]
    if study.kind not in entry.takes:
        raise ValueError(f"takes {' and '.join(entry.takes)}; the study's data are {study.kind}")
    one = spaces.searched(name, entry, said, wanted.ranges.get(name, {}))
    for middle in (0.0, 1.0):  # the ends of every range, or what is said, may be no options
        drawn = one.drawn(lambda _, what, middle=middle: _end(what, middle))
        if unsuited := next(entry.unsuited(one.options(drawn), model, biased), None):
            raise ValueError(unsuited.format(whose))
    return one


def _end(what: Any, which: float) -> Any:
    if isinstance(what, spaces.Among):
        return what.values[-1 if which else 0]
    return what.high if which else what.low


def _further(study: Any, cell: Cell, one: Searched, wanted: Wanted) -> dict[str, str]:
    """role -> the file of a further model that the guide steers by; empty where it has to be trained.

    Raises ValueError where there is none and nobody has asked for it.
    """
    options = one.options(one.drawn(lambda _, what: _end(what, 1.0)))
    found = {}
    family, model = MODELS[study.family(study.lineages[cell.arm].model)], asked_of(study, study.lineages[cell.arm])
    for role, further in one.entry.auxiliary(options, 1).items():
        own = study.lineages[cell.arm].guide
        its = Path(study.cell(cell.arm, cell.seed, cell.generation, f"auxiliary-{role}.safetensors"))
        if role in wanted.further:
            found[role] = wanted.further[role]
        elif own and own.name == one.name and "auxiliary" not in wanted.options.get(one.name, {}) and its.exists():
            found[role] = str(its)
        elif wanted.train and not issubclass(family, Trainable) and (said := of_formula(further, model)):
            raise ValueError(f"{role}: its model is fitted by a formula, and {said}")
        elif wanted.train:
            found[role] = ""
        else:
            raise ValueError(
                f"steers by a further model ({role}) that is not there; say --train, which trains it, or "
                f"--auxiliary {role}=FILE"
            )
    return found


# -- the bench ---------------------------------------------------------------------------------------------------------


def validation_rows(study: Any, wanted: Wanted) -> SampleSet:
    """Rows that no training and no metric of the report has seen: the validation split, or, of a known population,
    draws of a random stream of their own.
    """
    if study.population_name is None:
        return store.read_samples(Path(study.part_file("validation")))
    count = wanted.samples or study.file.samples
    seed = seed_of(study.file.data.split_seed, None, None, "guide search/validation")
    return study.population.sample(Ask(count, seed))


def bench(study: Any, plan: Plan, wanted: Wanted) -> Bench:
    """The model, and what its samples are held against. Raises ValueError for a model that diverged."""
    cell, lineage = plan.cell, study.lineages[plan.cell.arm]
    models = {"": cell.file} | {role: Path(path) for role, path in plan.further.items()}
    read = {role: model_in(path)[0] for role, path in models.items()}
    if lost := [str(models[role]) for role, model in read.items() if model is None]:
        raise ValueError(f"{', '.join(lost)}: diverged in its training; no guide steers what is no model")
    model = read.pop("")
    name, entry = plan.extractor, FEATURES[plan.extractor]
    weights, _ = weights_of(entry, name, looks_with(study, name, str(cell.file)) or "")
    eye = Look(entry, weights, settings_of(entry, name, study.extractor_options(name)))
    rows = validation_rows(study, wanted)
    moments = study.population.moments() if study.population_name and isinstance(study.population, Knows) else None
    # Neighbours are looked for once; of many rows that takes long, and metrics of moments have no use for them.
    near = not all(METRICS[one.metric].of_moments for one in plan.objectives)
    real = recording.role(extract(eye, rows, as_reference=near), {"content": ""}, moments).features
    count = wanted.samples or len(rows)
    return Bench(
        model=model,
        count=count,
        seed=seed_of(study.file.seed, cell.seed, cell.generation, f"guide search/{wanted.search_seed}"),
        look=partial(looked_at, eye),
        real=real,
        objectives=[one.settled(first(real, count)) for one in plan.objectives],
        bias=at(lineage.sampling_bias, cell.generation),
        sampler=sampling(said_of(study, cell.arm, cell.generation)),
        others=read,
    )


def fingerprint(study: Any, plan: Plan, wanted: Wanted, count: int) -> dict[str, Any]:
    """All that the trials of a search follow from but their number: what differs in any of it is another search."""
    lineage = study.lineages[plan.cell.arm]
    rows = "drawn" if study.population_name else store.recorded_hash(Path(study.part_file("validation")))
    names = [one.name for one in plan.guides]
    family = study.family(lineage.model)
    roots = [*entries("guides:GUIDES", names), *entries("models:MODELS", [family])]
    roots += [*entries("metrics:METRICS", [one.metric for one in plan.objectives])]
    roots += [*entries("features:FEATURES", [plan.extractor]), f"{PACKAGE}.search.tried:Bench"]
    roots += getattr(MODELS[family], "denoises", ())
    return {
        "models": hashes(plan.cell.file, *(Path(path) for path in plan.further.values())),
        "guides": {one.name: {"space": dict(one.space), "fixed": dict(one.fixed)} for one in plan.guides},
        "objectives": [one._asdict() for one in plan.objectives],
        "extractor": plan.extractor,
        "validation": rows,
        "samples": count,
        "seed": wanted.search_seed,
        "sampling_bias": at(lineage.sampling_bias, plan.cell.generation),
        "sampler": said_of(study, plan.cell.arm, plan.cell.generation),
        "source": source_hash(*roots),
    }


def digest(said: Mapping[str, Any]) -> str:
    """Eight letters of a fingerprint, by which a search has a folder of its own."""
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:8]
