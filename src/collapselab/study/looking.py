"""What looks through what in the jobs of a study: extractors through weights, models and known truths."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..adapt import ADAPTERS
from ..core.choice import Choice
from ..core.needs import looks_anew
from ..features import FEATURES
from ..models import MODELS
from ..models.capabilities import Inverts
from ..rewards.asking import files_of
from ..select import SELECTORS
from ..store.provenance import APART, PACKAGE, entries
from ..store.weights import digest_of_all
from .study import Study
from .telling import as_json, flags

PROCESSES: Mapping[str, tuple[str, ...]] = {
    "flow": ("models.diffusion.parameterisations:Flow",),
    "score": ("models.diffusion.parameterisations:Exploding",),
    "karras_ve": ("models.diffusion.parameterisations:Exploding",),
}
"""Parameterisations of a diffusion model that came later: no part of what others hang on (``provenance.earlier``)."""


OF_KINDS = {"audio": ("core.sound:to_float32", "models.diffusion.networks:SoundUNet")}
"""What families do with data of kinds that came later than they: no part of what other trainings hang on, either."""


def truth_file(study: Study) -> str | None:
    """The file of the known truth, if there is one."""
    return study.part_file("population") if study.population_name else None


def truth_roots(study: Study) -> list[str]:
    """The source of the known truth, if there is one."""
    name = study.population_name
    return entries("populations:POPULATIONS", [name] if name else [])


def family_roots(study: Study, arm: str) -> list[str]:
    """The source of an arm's model."""
    model = study.model_of(arm)
    later = PROCESSES.get(study.model_options(model).get("parameterisation"), ())
    later = (*later, "models.tokens:sharpened") if getattr(study.parsed_options(model), "cuts", False) else later
    later += OF_KINDS.get(study.kind, ())
    return [*entries("models:MODELS", [study.family(model)]), *(f"{PACKAGE}.{one}" for one in later)]


def reward_roots(study: Study, registry: Mapping[str, Any], *choices: Choice) -> list[str]:
    """The source of the rewards that the options of entries name."""
    names = [name for choice in choices for name in study.rewards(registry, choice)]
    return [*entries("rewards:REWARDS", names), *([f"{PACKAGE}.rewards.asking:rewards_of"] if names else [])]


def measured_in(study: Study, arm: str) -> list[str]:
    """The extractors whose features of an arm are measured: a mark is looked for where there is one, and through its
    model where that is of samples, not of their labels alone.
    """
    marked, of_labels = study.lineages[arm].mark is not None, bool(study.lineages[arm].drawn_by)
    told = {name: FEATURES[name].needs for name in study.measured_in}
    seen = [name for name, needs in told.items() if marked or needs.through != "mark"]
    return [name for name in seen if not (of_labels and told[name].through_model)]


def asked_roots(study: Study, arm: str) -> list[str]:
    """The source of what an arm's selectors, and the detector of its mark, ask its model for beside what every sampling
    hangs on."""
    family = MODELS[study.family(study.model_of(arm))]
    asked = [one for choice in study.lineages[arm].select for one in SELECTORS[choice.name].asks]
    asked += [Inverts] if study.lineages[arm].marks == "noise" else []
    names = {name for one in asked for name in APART if name in vars(one)}
    homes = {name: next(kind for kind in family.__mro__ if name in vars(kind)) for name in sorted(names)}
    return [f"{home.__module__}:{home.__qualname__}/{name}" for name, home in homes.items()]


def files(study: Study, registry: Mapping[str, Any], choices: Iterable[Choice]) -> dict[str, str]:
    """The hashes of the files of the user's that choices name; of one that is not there, nothing."""
    found = files_of((registry[one.name], study.parsed(registry, one)) for one in choices)
    return {name: digest_of_all(Path(name)) for name in found if Path(name).exists()}


def looks_with(study: Study, name: str, model: str) -> str | None:
    """The file that an extractor looks with; what describes laws looks at the known truth where there is no model."""
    through = FEATURES[name].needs.through
    if through == "truth" or (through == "law" and not model):
        return truth_file(study)
    return model if through in ("model", "mark", "law") else study.weights(name) or None


def sees_truth(names: Iterable[str]) -> bool:
    """Whether one of some extractors looks at the known truth."""
    return any(FEATURES[name].needs.through_truth for name in names)


def eyes(study: Study, names: Iterable[str], model: str = "", marks: str = "noise") -> Iterator[str]:
    """Extractors as arguments, with their weights, or the model or the known truth that some look through.

    marks: what the arm's mark acts on; one of pixels is looked for without the model.
    """
    for name in names:
        asks = marks == "noise" or FEATURES[name].needs.through != "mark"
        path = looks_with(study, name, model) if asks else None
        yield from ("--extractor", f"{name}={path}" if path else name)


def eyes_with_options(study: Study, names: list[str], model: str = "", marks: str = "noise") -> Iterator[str]:
    """The same with their options."""
    options = {name: said for name in names if (said := study.extractor_options(name))}
    yield from eyes(study, names, model, marks)
    yield from flags(options=as_json(options))


def beside(study: Study, names: tuple[str, ...], train: bool = False) -> Iterator[str]:
    """What selectors, transforms and adapters look through, as arguments, with their options, and the training split
    beside it, which is there, too, where only it is asked for (``train``).
    """
    if names or train:
        options = {name: said for name in names if (said := study.extractor_options(name))}
        yield from eyes(study, names)
        yield from flags(extractor_options=as_json(options) if options else None, train=study.part_file("train"))


def seen_files(study: Study, names: tuple[str, ...], train: bool = False) -> list[str]:
    """The files that :func:`beside` names."""
    return [study.part_file("train"), *weights(study, names)] if names or train else []


def published(study: Study, names: Iterable[str]) -> dict[str, str]:
    """The hashes of published weights."""
    return {name: study.published_weights(name) for name in names if FEATURES[name].needs.published}


def weights(study: Study, names: Iterable[str]) -> list[str]:
    """The files that extractors look with and that the workflow makes."""
    learnt = [study.weights(name) for name in names if name in study.trained_extractors]
    return [*learnt, *([truth_file(study)] if sees_truth(names) else [])]


def seer_roots(study: Study, names: Iterable[str]) -> list[str]:
    """The source of extractors, and of the known truth where one of them looks at it."""
    return [*entries("features:FEATURES", names), *(truth_roots(study) if sees_truth(names) else [])]


def through_model(study: Study, arm: str) -> list[str]:
    """The extractors that look at an arm through the generation's own model, a mark of its noise among them."""
    needs = {name: FEATURES[name].needs for name in measured_in(study, arm)}
    told = study.lineages[arm].marks == "noise"
    return [name for name, one in needs.items() if one.through_model or (one.through == "mark" and told)]


def real_seen(study: Study, names: Iterable[str]) -> dict[str, str]:
    """The real data that some extractors see through what is the generation's own: its model, or its arm's mark."""
    if not any(looks_anew(FEATURES[name].needs) for name in names):
        return {}
    return {part: study.part_file(part) for part in ("held_out", "train")}


def references(study: Study) -> list[str]:
    """The features of the real data that every record is compared with."""
    return [study.extractor_file("features", name) for name in referenced(study)]


def referenced(study: Study) -> list[str]:
    """The extractors through which the real data is looked at once, for all records."""
    return [name for name in study.measured_in if not looks_anew(FEATURES[name].needs)]


def validation_rows(study: Study, adapt: Choice) -> int:
    """The validation rows that an adapter needs to choose by; 0 where it chooses nothing."""
    return ADAPTERS[adapt.name].validates(study.parsed(ADAPTERS, adapt))


def validated(study: Study, arm: str) -> int:
    """The validation rows that an arm's adapters need, of whom each chooses by all of them."""
    return max((validation_rows(study, adapt) for adapt in study.lineages[arm].adapt), default=0)


def selects_on_gpu(study: Study, arm: str) -> bool:
    """Whether an arm's selector looks with a network, or asks one: the generation's own model."""
    by_network = study.selecting(arm, "model") and MODELS[study.family(study.model_of(arm))].uses_torch
    return by_network or needs_gpu(study, study.read_by(arm))


def changes_on_gpu(study: Study, arm: str) -> bool:
    """Whether one of an arm's transforms looks with a network."""
    return needs_gpu(study, study.changed_by(arm))


def needs_gpu(study: Study, names: Iterable[str]) -> bool:
    """Whether extractors look with a network, their own or the arm's model."""
    through_network = [name for name in names if looks_anew(FEATURES[name].needs) and study.kind == "images"]
    return bool(through_network) or any(FEATURES[name].uses_torch for name in names)
