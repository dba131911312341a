"""What entries cannot do with a study's data, of which much is known before any work, or with all seeds in one job."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..adapt import ADAPTERS
from ..core.ask import Ask
from ..core.choice import nested
from ..core.extras import PACKAGE
from ..core.facts import Facts
from ..core.kinds import KINDS
from ..core.registry import usable
from ..features import FEATURES
from ..guides import GUIDES
from ..metrics import METRICS
from ..models import MODELS
from ..models.options import Outside
from ..rewards import REWARDS
from ..select import SELECTORS
from ..together.loop import FAMILIES as REPLICATED
from ..transforms import TRANSFORMS
from .checks import placed
from .faults import Fault
from .study import Study

DRAWN = 10_000  # rows of a population whose labels tell its classes: one with a share of .001 is missed with exp(-10)


def unlabelled_faults(study: Study) -> Iterator[Fault]:
    """Selectors that ask for the labels of samples whose model gives none, and that nobody labels before."""
    for name in study.file.arms:
        arm = study.lineages[name]
        if arm.drawn_by or any(TRANSFORMS[one.name].relabels for one in arm.transform):
            continue
        if gives_labels(MODELS[study.family(arm.model)], study.parsed_options(arm.model)):
            continue
        for where, _, registry, choice in placed(study, name):
            if registry is SELECTORS:
                options = study.parsed(registry, choice)
                yield from _placed(registry[choice.name].unlabelled(options), (*where, choice.name), options)


def gives_labels(family: Any, options: Any) -> bool:
    """Whether samples of a model have labels: those that it is told, or that it has learnt. Of another package's family
    nobody knows.
    """
    if "labels" in family.conditions:
        return bool(options.classes)
    return "classes" in family.__annotations__ or not family.__module__.startswith(f"{PACKAGE}.")


def unsuited_faults(study: Study) -> Iterator[Fault]:
    """What adapters cannot do with the study's models, and what models that name files of the user's, selectors,
    transforms, and the rewards that they or adapters follow cannot do with its data.
    """
    yield from unlabelled_faults(study)
    for name in study.file.arms:
        for index, adapt in enumerate(study.lineages[name].adapt):
            options = study.parsed(ADAPTERS, adapt)
            message = ADAPTERS[adapt.name].fault(MODELS[study.family(study.model_of(name))], options)
            yield from _placed(message, ("arms", name, "adapt", index, adapt.name), options)
    try:
        facts = _facts(study)
    except (ValueError, OSError):
        return  # of data that cannot be read another fault tells
    for name in study.file.models:
        options = study.parsed_options(name)
        message = options.fault(facts) if isinstance(options, Outside) else ""
        option, _, rest = message.partition(": ")
        if message:
            yield Fault(("models", name, study.family(name), option), rest)
    for name in study.file.arms:
        for where, _, registry, choice in placed(study, name):
            if registry is GUIDES:
                continue
            entry, options = registry[choice.name], study.parsed(registry, choice)
            if registry is ADAPTERS and study.kind in entry.takes:
                message = entry.unfit(facts, study.parsed_options(study.model_of(name)), options)
                yield from _placed(message, (*where, choice.name), options)
            asked = [((*where, choice.name), entry, options)] if registry is not ADAPTERS else []
            for option, one in nested(options, "rewards").items():
                path = (int(part) if part.isdigit() else part for part in option.split("."))
                place = (*where, choice.name, *path, one.name)
                asked.append((place, REWARDS[one.name], study.parsed(REWARDS, one)))
            yield from (fault for one in asked for fault in _told(facts, study.kind, *one))


def _told(facts: Facts, kind: str, where: tuple[str | int, ...], entry: Any, options: Any) -> Iterator[Fault]:
    """What one entry says, where its option stands if it begins with one."""
    yield from _placed(entry.fault(facts, options) if kind in entry.takes else "", where, options)


def _placed(message: str, where: tuple[str | int, ...], options: Any) -> Iterator[Fault]:
    """A message, where the option stands that it begins with."""
    option, _, rest = message.partition(": ")
    if rest and option in type(options).model_fields:
        yield Fault((*where, option), rest)
    elif message:
        yield Fault(where, message)


def _facts(study: Study) -> Facts:
    """What is known of a study's data. Raises ValueError or OSError for what cannot be read."""
    shape, split, drawn = tuple(study.shape), study.file.data.split, study.population_name is not None

    def classes() -> int | None:
        if not drawn:
            return study.dataset.labelled()
        if study.kind == "categories":
            return None
        labels = study.population.sample(Ask(DRAWN, 0)).labels
        return 0 if labels is None else int(labels.max()) + 1

    def columns(name: str) -> tuple[str, ...]:
        extractor = FEATURES[name]
        if extractor.needs.through != "nothing" or extractor.uses_torch or study.kind not in extractor.takes:
            return ()  # a plan does without torch
        found = extractor.extract(np.zeros((2, *shape), KINDS[study.kind].dtypes[-1]))
        return found.names or tuple(map(str, range(found.values.shape[1])))

    return Facts(shape, split.held_out if drawn else split.train, classes, columns)


def known_of(study: Study, extractor: str) -> tuple[tuple[str, ...], int | None]:
    """The columns of an extractor, empty where nobody knows them before, and how many classes it knows, if it learns
    those of the study's images.
    """
    try:
        facts = _facts(study)
        learnt = FEATURES[extractor].needs.through == "learnt" and study.population_name is None
        return facts.columns(extractor), (facts.classes() or None) if learnt else None
    except (ValueError, OSError):
        return (), None  # of data that cannot be read another fault tells


def together_faults(study: Study) -> Iterator[Fault]:
    """What keeps all seeds of an arm from running in one job."""
    if not study.file.together:
        return
    for name, spec in study.file.models.items():
        if spec.name not in REPLICATED:
            message = f"together: {spec.name!r} has no fit by formula; allowed: {', '.join(REPLICATED)}"
            yield Fault(("models", name), message)
        elif getattr(study.parsed_options(name), "cuts", False):
            message = "together: found a cut by top_k or top_p, which is of samples drawn one by one; leave it out"
            yield Fault(("models", name), message)
    if study.population_name not in REPLICATED:
        said = f"together: found {study.origin.name!r}; allowed populations: {', '.join(REPLICATED)}"
        yield Fault(("data",), said)
    if study.measured_in != ["moments"]:
        yield Fault(("extractors",), f"together: found {', '.join(study.measured_in)}; allowed is moments alone")
    for index, choice in enumerate(study.file.metrics):
        if METRICS[choice.name].stacked is None:
            allowed = ", ".join(other for other, metric in usable(METRICS) if metric.stacked)
            yield Fault(("metrics", index), f"together: found {choice.name!r}; allowed: {allowed}")
    for name, arm in study.lineages.items():
        if arm.select:
            yield Fault(("arms", name, "select"), f"together: found {arm.select[0].name!r}; allowed is nobody")
        for key in ("adapt", "guide", "transform", "mark"):
            if getattr(arm, key):
                yield Fault(("arms", name, key), "together: laws are fitted and sampled by formula; leave it out")
        for index, part in enumerate(arm.regime.synthetic):
            if part.of not in ("self", name):
                where = ("arms", name, "regime", "synthetic", index, "of")
                yield Fault(where, f"together: found {part.of!r}; an arm eats only its own samples")
