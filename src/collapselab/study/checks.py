"""Faults of single parts of a study: names, options, data, models, what is measured."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..adapt import ADAPTERS
from ..compose.regimes import REAL
from ..core.ask import Ask
from ..core.choice import Choice, named, nested
from ..core.errors import Diverged
from ..core.kinds import NOUNS
from ..core.needs import NOTHING, Needs
from ..core.registry import usable
from ..core.run import Run
from ..core.sets import TrainingSet
from ..data.split import RESERVED, check_sizes, thinned
from ..features import FEATURES
from ..guides import GUIDES
from ..metrics import METRICS, Metric
from ..metrics.parts import several
from ..models import MODELS
from ..models.capabilities import Denoises, Judges, Knows
from ..models.suited import cannot
from ..populations import POPULATIONS
from ..rewards import REWARDS
from ..rewards.asking import files_of, looked_through
from ..select import SELECTORS
from ..transforms import TRANSFORMS
from .choices import checked, found
from .faults import Fault, flow, known, mapping, quoted, unknown
from .file import CONTROLS, JUDGING
from .guided import unguided
from .lineages import Lineage, of_labels
from .starts import path_fault
from .study import Study

MOST_TRIED = 500  # rows that a formula is fitted to as a trial
LARGEST_TRIED = 2**24  # bytes of a model that is fitted as a trial
RESERVED_ARMS = {*REAL, "self", "report", "reference"}


# -- of the file ------------------------------------------------------------------------------------------------------


def name_faults(raw: dict[str, Any], stem: str) -> Iterator[Fault]:
    """Names that are not to be had, or that nothing has."""
    sizes = raw.get("calibration")
    numbers = [n for n in sizes if isinstance(n, int)] if isinstance(sizes, list) else []
    if twice := [n for n, times in Counter(numbers).items() if times > 1]:
        yield Fault(("calibration",), f"{quoted(twice[0])} is said twice")
    if isinstance(raw.get("name"), str) and raw["name"] != stem:
        yield Fault(("name",), f"found {raw['name']!r} in the file {stem}.yaml; a study has its file's name")
    if raw.get("name") == "real":
        yield Fault(("name",), "'real' is the folder of the prepared data; choose another name")
    models = mapping(raw.get("models"))
    for key in ("models", "arms"):
        yield from _twins(key, mapping(raw.get(key)))
    for name, arm in mapping(raw.get("arms")).items():
        if name in RESERVED_ARMS or str(name).startswith("base_"):
            yield Fault(
                ("arms", name), "is a reserved name; reserved: " + ", ".join(sorted(RESERVED_ARMS)) + ", base_…"
            )
        if raw.get("calibration") and re.fullmatch(r"real_.*", str(name)):
            yield Fault(("arms", name), "begins with real_, as calibrations do; choose another name")
        said = raw.get("control", "real_only")
        kinds = CONTROLS.get(said, ()) if isinstance(said, str) else ()
        if "real_only" in kinds and re.fullmatch(r"control(_.*)?", str(name)):
            yield Fault(
                ("arms", name), "is the name of the control that every study gets; say control: none to go without"
            )
        if "real_supply" in kinds and re.fullmatch(r"supply(_.*)?", str(name)):
            yield Fault(("arms", name), f"begins as the controls of control: {said} do; choose another name")
        if raw.get("yoked", True) is not False and str(name).startswith("yoked_"):
            yield Fault(
                ("arms", name), "begins as the controls of selectors do; choose another name, or say yoked: false"
            )
        if raw.get("converged") is True and str(name).startswith("converged_"):
            yield Fault(("arms", name), "begins as the controls of samplers do; choose another name")
        model = mapping(arm).get("model")
        if isinstance(model, str) and model not in models:
            yield Fault(("arms", name, "model"), unknown(model, models))


def _twins(key: str, names: dict[Any, Any]) -> Iterator[Fault]:
    """Names that are one folder where a file system does not tell small letters from large ones."""
    first: dict[str, Any] = {}
    for name in names:
        if (other := first.setdefault(str(name).casefold(), name)) != name:
            yield Fault((key, name), f"differs from {other!r} in small and large letters alone; choose another name")


def choice_faults(raw: dict[str, Any], faults: list[Fault]) -> list[Fault]:
    """Adds what is wrong with names and their options; what is said twice, and what is not said at all.

    Returns what keeps the data from being read, without which all but their number can be checked.
    """
    absent: list[Fault] = []
    data = mapping(raw.get("data"))
    origins = [key for key in ("source", "population") if data.get(key) is not None]
    if "data" in raw and len(origins) != 1:
        said = " and ".join(origins) or "neither"
        faults.append(Fault(("data",), f"names either a source or a population; found {said}"))
    if "options" in data and len(origins) == 1:
        new = f"{origins[0]}: {flow({str(data[origins[0]]): data['options']})}"
        faults.append(Fault(("data", "options"), f"options now stand with the name: {new}"))
    for one in found(raw):
        if one.registry == "regimes" or (one.path[0] == "data" and "options" in data):
            continue  # the numbers of a regime depend on the study's: presets.regimes
        options = checked(one, faults)
        if one.registry == "sources" and options is not None:
            absent += _unreadable(options, one.inside)
    _measures(raw, faults)
    return absent


def _unreadable(dataset: Any, where: tuple[str | int, ...]) -> list[Fault]:
    """What keeps the images of a source from being read."""
    try:
        pairs = [fault.partition(": ") for fault in dataset.check()]
    except OSError as error:
        return [Fault(where, f"cannot be read: {error}")]
    return [Fault((*where, field), message) for field, _, message in pairs]


def _measures(raw: dict[str, Any], faults: list[Fault]) -> None:
    said: dict[str, dict[str, None]] = {"extractors": {}, "metrics": {}}
    for one in found(raw):
        if one.registry not in said or one.choice is None:
            continue
        if one.choice.name in said[one.registry]:
            faults.append(Fault(one.path, f"{one.choice.name!r} is said twice"))
        said[one.registry][one.choice.name] = None
    primary = mapping(raw.get("primary"))
    for key, registry in (("metric", METRICS), ("extractor", FEATURES)):
        value, names = primary.get(key, "recall" if key == "metric" else None), said[f"{key}s"]
        # Where no names are read their own fault has said so.
        if value is not None and known(value, registry, ("primary", key), faults) and names and value not in names:
            found_names = ", ".join(name for name in names if name in registry)
            faults.append(Fault(("primary", key), f"{value!r} is not among the study's {key}s: {found_names}"))


# -- of the study -----------------------------------------------------------------------------------------------------


def data_faults(study: Study, there: bool) -> Iterator[Fault]:
    """What the split asks of the data; of their number only if they are ``there``."""
    data, split = study.file.data, study.file.data.split
    if sum(data.rare.values()) >= 1:
        yield Fault(("data", "rare"), f"found {quoted(data.rare)}; allowed are shares that sum to less than 1")
    if study.population_name is not None:
        if data.rare:
            yield Fault(("data", "rare"), "thins the classes of images; a population's options say how rare they are")
        for part in ("train", "fresh", "validation", RESERVED):
            if getattr(split, part):
                yield Fault(
                    ("data", "split", part), "a population has no splits: its real data is drawn anew; leave it out"
                )
        return
    try:
        sizes = split.parts() | split.kept_back()
        available, wrong = _available(study) if there else (sum(sizes.values()), {})
        yield from (Fault(("data", "rare", label), message) for label, message in wrong.items())
        if not wrong:
            check_sizes(sizes, available, NOUNS[study.kind])
    except (ValueError, OSError) as error:
        yield Fault(("data",), str(error))


def _available(study: Study) -> tuple[int, dict[int, str]]:
    """The samples that can be split, as far as they are counted without being read, and what is wrong with rare ones.

    Of data whose labels would have to be read, that is found where they are read.
    """
    rare, most = study.file.data.rare, study.dataset.at_most()
    counts = study.dataset.label_counts() if rare and sum(rare.values()) < 1 else None
    if not counts or max(rare) > max(counts):  # of labels that there are not, another fault tells
        return most, {}
    others = sum(counts.values()) - sum(counts.get(label, 0) for label in rare)
    left, wrong = thinned({label: counts.get(label, 0) for label in rare}, others, rare)
    return others + sum(left.values()), wrong


def measured_faults(study: Study) -> Iterator[Fault]:
    """Metrics that no record would hold, and an endpoint that is not one number."""
    name, extractor = study.file.primary.metric, study.file.primary.extractor
    metric = METRICS[name]
    if not metric.suits(extractor):
        allowed = ", ".join(other for other, of in usable(FEATURES) if metric.suits(other) and study.kind in of.takes)
        yield Fault(("primary",), f"{name!r} is measured in {allowed}; found {extractor!r}")
    elif not FEATURES[extractor].tells(metric.reads, study.kind):
        yield Fault(("primary",), f"{name!r} reads {metric.reads}, which {extractor!r} does not tell from {study.kind}")
    if several(metric):
        yield Fault(("primary", "metric"), f"{name!r} gives several numbers; the endpoint is one")
    held_out = study.file.data.split.held_out
    most = max(min(study.measured, held_out) - 1, 0)
    places = {choice.name: index for index, choice in enumerate(study.file.metrics)}
    for name, options in study.metric_options().items():
        metric, where = METRICS[name], ("metrics", places[name])
        if study.kind not in metric.takes:
            yield Fault(where, f"{name!r} measures {' and '.join(metric.takes)}; the study's data are {study.kind}")
        elif not any(metric.suits(extractor) for extractor in study.measured_in):
            allowed = " or ".join(extractor for extractor in FEATURES if metric.suits(extractor))
            yield Fault(where, f"{name!r} is measured in {allowed}, which is not among the study's extractors")
        elif metric.reads == "values" and study.kind == "categories" and _compares_rows(study, metric):
            allowed = ", ".join(one for one, other in usable(METRICS) if other.reads == "classes")
            yield Fault(where, f"{name!r} measures distances, and categories have none; allowed: {allowed}")
        elif options.get("k", 0) > most:
            there = f"{study.measured} samples are measured and {held_out} real ones held out"
            yield Fault(where, f"{name!r} asks for {options['k']} neighbours, but {there}; k is at most {most}")


def kind_faults(study: Study) -> Iterator[Fault]:
    """Parts that cannot work on each other's data."""
    labels = of_labels(study.lineages.values())
    for name, spec in study.file.models.items():
        kind = "categories" if name in labels else study.kind
        if kind not in (allowed := MODELS[spec.name].takes):
            takes = " and ".join(allowed)
            yield Fault(("models", name), f"{spec.name!r} models {takes}; the study's data are {kind}")
        else:
            try:
                study.parsed_options(name).check_kind(kind)
            except ValueError as error:
                yield Fault(("models", name), str(error))
    for index, name in enumerate(study.measured_in):
        if message := _extractor_fault(study, name):
            yield Fault(("extractors", index), message)
    for name in study.file.arms:
        yield from _steering_faults(study, name)
    read = {
        one for arm in study.lineages for by in (study.read_by, study.changed_by, study.adapted_by) for one in by(arm)
    }
    if "primary_space" in study.file.waive and study.file.primary.extractor not in read:
        yield Fault(("waive", "primary_space"), f"nothing to waive: {JUDGING['primary_space']} here")


HANDED = {  # registry -> what one of its entries can be handed
    "adapters": {"features", "ancestors", "earlier"},
    "selectors": {"features", "model", "train", "ask", "ballots", "mark"},
    "transforms": {"features", "train", "key"},
    "rewards": {"features"},
}


def entry_faults(study: Study) -> Iterator[Fault]:
    """What is wrong with what the entries of arms say of themselves: what they need, keep, see and train."""
    for name in study.file.arms:
        for where, kind, registry, choice in placed(study, name):
            if kind != "guides":
                yield from _needs_faults(kind, registry[choice.name].needs, choice.name, where)
                for one in study.rewards(registry, choice):
                    yield from _needs_faults("rewards", REWARDS[one].needs, one, where)
        yield from _said_of_itself(study, study.lineages[name])


def placed(study: Study, arm: str) -> Iterator[tuple[tuple[str | int, ...], str, Mapping[str, Any], Choice]]:
    """What an arm chooses beside model and regime: where it stands in the file, its registry by word, the choice."""
    said = study.file.arms[arm]
    for index, one in enumerate(said.adapt):
        yield ("arms", arm, "adapt", index), "adapters", ADAPTERS, one
    if said.guide:
        yield ("arms", arm, "guide"), "guides", GUIDES, said.guide
    for index, one in enumerate(said.transform):
        yield ("arms", arm, "transform", index), "transforms", TRANSFORMS, one
    for index, one in enumerate(said.select):
        yield ("arms", arm, "select", *([index] if len(said.select) > 1 else [])), "selectors", SELECTORS, one


def _needs_faults(kind: str, needs: Needs, name: str, where: tuple[str | int, ...]) -> Iterator[Fault]:
    """Needs that no entry of a kind is handed, and extractors that nobody has."""
    if needs.twin:
        yield Fault(
            where, f"{name!r} is the control that arms with a selector get by themselves; choose another selector"
        )
        return
    said = {key for key, value in vars(needs).items() if value != getattr(NOTHING, key)}
    if excess := sorted(said - HANDED[kind]):
        allowed = ", ".join(sorted(HANDED[kind]))
        yield Fault(
            where, f"{name!r} needs {', '.join(excess)}, which none of the {kind} is handed; allowed: {allowed}"
        )
    if not isinstance(needs.features, tuple):
        yield Fault(where, f"{name!r} looks through {needs.features!r}; allowed is a tuple of extractors' names")
        return
    for extractor in needs.features:
        if extractor not in FEATURES:
            yield Fault(where, f"{name!r} looks through {unknown(extractor, FEATURES, 'extractor')}")


def _said_of_itself(study: Study, arm: Lineage) -> Iterator[Fault]:
    """Numbers of an arm's entries that are none: how many rows are kept, and images seen, and by which models."""
    selectors = " then ".join(one.name for one in arm.select)
    asked: list[tuple[Any, ...]] = (
        [(("select",), selectors, "keeps", lambda: study.kept(arm.name), 0)] if selectors else []
    )
    for index, one in enumerate(arm.adapt):
        images = partial(ADAPTERS[one.name].images, study.parsed(ADAPTERS, one))
        asked.append((("adapt", index), one.name, "images", images, 0))
    for generation in range(arm.generations + 1) if arm.guide else ():
        try:
            further = study.auxiliaries(arm.name, generation)
        except Exception as error:  # whatever a stranger's function does
            yield Fault(("arms", arm.name, "guide"), f"{arm.guide.name!r}: {type(error).__name__}: {error}")
            return
        for role, one in further.items():
            if not re.fullmatch(r"[a-z0-9_]+", role):
                yield Fault(
                    ("arms", arm.name, "guide"), f"{arm.guide.name!r} has a role {role!r}; allowed: a-z, 0-9, _"
                )
            guide = ("guide",), arm.guide.name
            asked.append((*guide, f"images of {role!r}", lambda one=one: one.images_seen, 1))
            if one.on == "own":
                asked.append((*guide, f"own samples of {role!r}", lambda one=one: one.samples, 1))
    for place, name, what, number, least in asked:
        where = ("arms", arm.name, *place)
        try:
            found = number()
        except ValueError as error:
            yield _of_option(study, arm, where, str(error))
            continue
        except Exception as error:  # likewise
            yield Fault(where, f"{name!r}: {what}: {type(error).__name__}: {error}")
            continue
        if type(found) is not int or found < least:
            yield Fault(where, f"{name!r}: {what}: found {found!r}, allowed is a whole number from {least} up")


def _of_option(study: Study, arm: Lineage, where: tuple[str | int, ...], message: str) -> Fault:
    """What an arm's entry says of its options, where the option stands that the message begins with."""
    option, _, rest = message.partition(": ")
    for place, _, registry, choice in placed(study, arm.name) if arm.name in study.file.arms else ():
        if place[: len(where)] == where and rest and option in registry[choice.name].Options.model_fields:
            try:
                options = study.parsed(registry, choice)
                options.keeps(study.file.samples) if where[-1] == "select" else None
            except ValueError as error:
                if str(error) == message:
                    return Fault((*place, choice.name, option), rest)
    return Fault(where, message)


def _steering_faults(study: Study, name: str) -> Iterator[Fault]:
    """What keeps an arm's adapter, guide, transforms and selector from working on its models and its data."""
    arm, kind = study.lineages[name], study.kind
    for where, registry, entries, choice in placed(study, name):
        entry, options = entries[choice.name], study.parsed(entries, choice)
        rewards = [] if registry == "guides" else study.rewards(entries, choice)
        for one, taker in [(choice.name, entry), *((reward, REWARDS[reward]) for reward in rewards)]:
            if kind not in taker.takes:
                yield Fault(where, f"{one!r} takes {' and '.join(taker.takes)}; the study's data are {kind}")
        for asked in [Denoises] if registry == "guides" else getattr(entry, "asks", ()):
            yield from lacking(study, arm, where, choice, asked)
        if registry != "guides":
            yield from _looking_faults(study, where, choice, looked_through(entry, options), name)
            yield from _own_faults(study, where, choice, entry, options)
    if arm.guide and not list(lacking(study, arm, ("arms", name, "guide"), arm.guide, Denoises)):
        yield from unguided(study, arm)


def _own_faults(
    study: Study, where: tuple[str | int, ...], choice: Choice, entry: Any, options: Any
) -> Iterator[Fault]:
    """The faults of extractors and files that options name, and of samples that cannot be made again."""
    takers = [(choice, entry, options)]
    takers += [(one, REWARDS[one.name], study.parsed(REWARDS, one)) for one in nested(options, "rewards").values()]
    for one, taker, said in takers:
        yield from _unread(study, where, one, getattr(taker, "reads", "values"), named(said, "extractors"))
    for file in files_of([(entry, options)]):
        if not Path(file).exists():
            yield Fault(where, f"no such file: {file!r}, which {choice.name!r} reads")
    arm = study.lineages[where[1]]
    steered = arm.guide or (arm.mark if arm.marks == "noise" else None)
    if entry.needs.ask and steered:
        message = (
            f"{choice.name!r} makes the samples again, which it cannot where {steered.name!r} steers or marks them"
        )
        yield Fault(where, message)


def _unread(
    study: Study, where: tuple[str | int, ...], choice: Choice, part: str, said: dict[str, str]
) -> Iterator[Fault]:
    """The faults of extractors that options name, and that have not the part of features that is read of them."""
    for extractor in said.values():
        if extractor in FEATURES and FEATURES[extractor].symbols:
            others = [name for name, one in usable(FEATURES) if study.kind in one.takes and not one.symbols]
            yield Fault(
                where,
                f"{choice.name!r} reads numbers; those of {extractor!r} are names and no sizes; extractors of "
                f"{study.kind}: {', '.join(others)}",
            )
        elif extractor in FEATURES and not FEATURES[extractor].tells(part, study.kind):
            able = [name for name, one in usable(FEATURES) if study.kind in one.takes and one.tells(part, study.kind)]
            message = f"{choice.name!r} reads {part}; {extractor!r} has none of {study.kind}; extractors that do: "
            yield Fault(where, message + (", ".join(able) or "none"))


def lacking(study: Study, arm: Lineage, where: tuple[str | int, ...], choice: Choice, asked: type) -> Iterator[Fault]:
    """The fault of an arm whose model has not the capability that its adapter, guide or selector asks for."""
    if message := cannot(choice.name, study.family(arm.model), asked):
        yield Fault(where, message)


def _looking_faults(
    study: Study, where: tuple[str | int, ...], choice: Choice, extractors: tuple[str, ...], name: str
) -> Iterator[Fault]:
    """The faults of what an arm's selector, transform or adapter looks through."""
    for extractor in extractors:
        if extractor not in FEATURES:
            yield Fault(where, f"{choice.name!r} looks through {unknown(extractor, FEATURES, 'extractor')}")
            continue
        if FEATURES[extractor].needs.through_model:
            yield Fault(where, f"{choice.name!r} looks through {extractor!r}, which sees through a model")
        elif FEATURES[extractor].needs.through == "mark":
            message = (
                f"{choice.name!r} looks through {extractor!r}, which only measures: nobody hands it a mark's detector"
            )
            yield Fault(where, f"{message} here; take another extractor, or the selector unmarked")
        elif extractor not in study.measured_in and (message := _extractor_fault(study, extractor)):
            yield Fault(where, f"{choice.name!r} looks through {extractor!r}: {message}")
        if extractor == study.file.primary.extractor and "primary_space" not in study.file.waive:
            what = {"select": "selector", "adapt": "adapter", "transform": "transform"}[where[2]]
            yield Fault(
                ("primary", "extractor"),
                f"{extractor!r} is what the {what} {choice.name!r} of {name!r} looks through: who selects is not who "
                "measures; measure the endpoint in another feature space, or say why: waive: {primary_space: …}",
            )


def fit_faults(study: Study) -> Iterator[Fault]:
    """Formulas that cannot be fitted to what a known truth draws, or not to as few rows: found by fitting them."""
    if study.population_name is None:
        return
    drawn = of_labels(study.lineages.values())
    for name, spec in study.file.models.items():
        family = MODELS[spec.name]
        arms = [(arm, lineage) for arm, lineage in study.lineages.items() if lineage.model == name]
        if family.uses_torch or not arms:
            continue
        options, sizes = study.parsed_options(name), []
        for arm, _ in arms:
            sizes += study.sizes(arm)
        try:
            options.check_rows(min(sizes))
            # A study is read again by every job: what takes iterations or much memory is not tried.
            if hasattr(options, "iterations") or family.stored_bytes(options, study.shape, 0) > LARGEST_TRIED:
                continue
            rows = study.population.sample(Ask(min(*sizes, MOST_TRIED), 0))
            told = bool(getattr(options, "classes", 0))  # by its rows' labels; else none is handed on
            data, labels = (rows.labels, None) if name in drawn else (rows.data, rows.labels if told else None)
            family.fit(TrainingSet(data, labels, np.ones(len(data))), options, Run(0))
        except (ValueError, Diverged) as error:
            yield Fault(("models", name), f"{error} (as a trial with {min(sizes)} rows, the fewest of an arm)")


def _compares_rows(study: Study, metric: Metric) -> bool:
    """Whether a metric would look at distances of samples, and not at moments or columns of a statistic alone."""
    suited = [FEATURES[name] for name in study.measured_in if metric.suits(name)]
    return any(not (extractor.needs.through == "law" or extractor.statistic) for extractor in suited)


def _extractor_fault(study: Study, name: str) -> str:
    """What keeps an extractor from looking at the study's data; empty if nothing does."""
    if message := path_fault(study.weights(name)):
        return message
    judges = FEATURES[name].needs.through == "truth"  # which data it looks at is for the truth to say
    if study.kind not in FEATURES[name].takes and not judges:
        return f"{name!r} looks at {' and '.join(FEATURES[name].takes)}; the study's data are {study.kind}"
    if FEATURES[name].needs.published:
        try:
            study.published_weights(name)
        except ValueError as error:
            return str(error).removeprefix("weights: ")
    return _truth_fault(study, name)


def _truth_fault(study: Study, name: str) -> str:
    """What an extractor lacks that looks through the known truth or describes laws; empty if nothing."""
    through, population = FEATURES[name].needs.through, study.population_name
    if through not in ("truth", "law"):
        return ""
    if population is None:
        return f"{name!r} looks at a known truth; the study's data come from {study.origin.name!r}"
    needed, able = ("judge", Judges) if through == "truth" else ("moments", Knows)
    if not isinstance(study.population, able):
        allowed = ", ".join(name for name, kind in usable(POPULATIONS) if issubclass(kind, able))
        return f"{name!r} needs a population with {needed}, which {population!r} has not; allowed: {allowed}"
    lacking = [name for name in study.file.models if not issubclass(MODELS[study.family(name)], Knows)]
    if through == "law" and lacking:
        allowed = ", ".join(name for name, family in usable(MODELS) if issubclass(family, Knows))
        return f"{name!r} needs models with moments, which {lacking[0]!r} has not; families that do: {allowed}"
    return ""
