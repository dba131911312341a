"""Faults of single parts of a study: names, options, data, models, what is measured."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_origin, get_type_hints

import numpy as np

from ..adapt import ADAPTERS
from ..compose.regimes import REAL, size
from ..core.ask import Ask
from ..core.errors import Diverged
from ..core.run import Run
from ..core.sets import TrainingSet
from ..data import DATASETS
from ..data.split import check_sizes
from ..features import FEATURES
from ..guidance import GUIDES
from ..metrics import METRICS, Metric
from ..models import MODELS
from ..models.capabilities import Judges, Knows
from ..populations import POPULATIONS
from ..select import SELECTORS
from ..together.loop import FAMILIES as REPLICATED
from .faults import Fault, known, mapping, quoted, unknown, validated
from .file import Part, named, selected
from .study import Study

MOST_TRIED = 500  # rows that a formula is fitted to as a trial
LARGEST_TRIED = 2**24  # bytes of a model that is fitted as a trial
RESERVED_ARMS = {*REAL, "self", "report", "reference"}


# -- of the file ------------------------------------------------------------------------------------------------------


def name_faults(raw: dict[str, Any], stem: str) -> Iterator[Fault]:
    """Names that are not to be had, or that nothing has."""
    sizes = raw.get("calibration")
    if isinstance(sizes, list) and (twice := [n for index, n in enumerate(sizes) if n in sizes[:index]]):
        yield Fault(("calibration",), f"{twice[0]} is said twice")
    if isinstance(raw.get("name"), str) and raw["name"] != stem:
        yield Fault(("name",), f"found {raw['name']!r} in the file {stem}.yaml; a study has its file's name")
    if raw.get("name") == "real":
        yield Fault(("name",), "'real' is the folder of the prepared data; choose another name")
    models = mapping(raw.get("models"))
    for name, arm in mapping(raw.get("arms")).items():
        if name in RESERVED_ARMS or str(name).startswith("base_"):
            yield Fault(
                ("arms", name), "is a reserved name; reserved: " + ", ".join(sorted(RESERVED_ARMS)) + ", base_…"
            )
        if raw.get("calibration") and re.fullmatch(r"real_.*", str(name)):
            yield Fault(("arms", name), "begins with real_, as calibrations do; choose another name")
        if raw.get("control") != "none" and re.fullmatch(r"control(_.*)?", str(name)):
            yield Fault(
                ("arms", name), "is the name of the control that every study gets; say control: none to go without"
            )
        model = mapping(arm).get("model")
        if isinstance(model, str) and model not in models:
            yield Fault(("arms", name, "model"), unknown(model, models))


def open_parts(raw: dict[str, Any], faults: list[Fault]) -> list[Fault]:
    """The parts whose keys depend on a name: options of sources, populations, families, selectors and metrics.

    Returns what keeps the data from being read, without which all but their number can be checked.
    """
    absent: list[Fault] = []
    data = mapping(raw.get("data"))
    origins = [key for key in ("source", "population") if data.get(key) is not None]
    if "data" in raw and len(origins) != 1:
        faults.append(
            Fault(("data",), f"names either a source or a population; found {' and '.join(origins) or 'neither'}")
        )
    options = mapping(data.get("options"))
    if "source" in origins and known(data["source"], DATASETS, ("data", "source"), faults):
        parsed = validated(DATASETS[data["source"]], {"source": data["source"], **options}, ("data", "options"), faults)
        try:
            pairs = [] if parsed is None else [fault.partition(": ") for fault in parsed.check()]
        except OSError as error:
            absent.append(Fault(("data", "options"), f"cannot be read: {error}"))
        else:
            absent += [Fault(("data", "options", field), message) for field, _, message in pairs]
    if "population" in origins and known(data["population"], POPULATIONS, ("data", "population"), faults):
        validated(POPULATIONS[data["population"]].PopulationOptions, options, ("data", "options"), faults)
    for name, spec in mapping(raw.get("models")).items():
        spec = mapping(spec)
        if "family" in spec and known(spec["family"], MODELS, ("models", name, "family"), faults):
            rest = {key: value for key, value in spec.items() if key != "family"}
            validated(MODELS[spec["family"]].Options, rest, ("models", name), faults)
    for name, arm in mapping(raw.get("arms")).items():
        arm = mapping(arm)
        where = ("arms", name, "select")
        if isinstance(arm.get("select"), str | dict):
            selector, rest = selected(arm["select"])
            if not isinstance(selector, str):
                faults.append(Fault((*where, "selector"), f"found {quoted(selector)}; should be a name"))
            elif known(selector, SELECTORS, where, faults):
                validated(SELECTORS[selector].Options, rest, where, faults)
        for key, registry in (("adapt", ADAPTERS), ("guide", GUIDES)):
            if isinstance(arm.get(key), str) and known(arm[key], registry, ("arms", name, key), faults):
                message = f"{arm[key]!r} is not carried by this version of the workflow; leave it out"
                faults.append(Fault(("arms", name, key), message))
    _measures(raw, faults)
    return absent


def _measures(raw: dict[str, Any], faults: list[Fault]) -> None:
    extractors = _listed(raw, "extractors", FEATURES, faults)
    metrics = _listed(raw, "metrics", METRICS, faults)
    primary = mapping(raw.get("primary"))
    for key, registry, said in (("metric", METRICS, metrics), ("extractor", FEATURES, extractors)):
        value = primary.get(key, "recall" if key == "metric" else None)
        if value is not None and known(value, registry, ("primary", key), faults) and value not in said:
            faults.append(
                Fault(("primary", key), f"{value!r} is not among the study's {key}s: {', '.join(map(str, said))}")
            )


def _listed(raw: dict[str, Any], key: str, registry: Mapping[str, Any], faults: list[Fault]) -> list[str]:
    """The names that stand in a list of names and ``{name: options}``."""
    names: list[str] = []
    for index, entry in enumerate(raw.get(key) if isinstance(raw.get(key), list) else []):
        entry = {entry: {}} if isinstance(entry, str) else mapping(entry)  # StudyFile has said what else it is
        for name, options in entry.items():
            if not known(name, registry, (key, index), faults):
                continue
            if name in names:
                faults.append(Fault((key, index), f"{name!r} is said twice"))
            names.append(name)
            validated(registry[name].Options or Part, mapping(options), (key, index, name), faults)
    return names


# -- of the study -----------------------------------------------------------------------------------------------------


def data_faults(study: Study, there: bool) -> Iterator[Fault]:
    """What the split asks of the data; of their number only if they are ``there``."""
    data, split = study.file.data, study.file.data.split
    if sum(data.rare.values()) >= 1:
        yield Fault(("data", "rare"), f"found {quoted(data.rare)}; allowed are shares that sum to less than 1")
    if data.population is not None:
        if data.rare:
            yield Fault(("data", "rare"), "thins the classes of images; a population's options say how rare they are")
        for part in ("train", "fresh", "validation"):
            if getattr(split, part):
                yield Fault(
                    ("data", "split", part), "a population has no splits: its real data is drawn anew; leave it out"
                )
        return
    try:
        check_sizes(split.parts(), study.dataset.count() if there else sum(split.parts().values()))
    except (ValueError, OSError) as error:
        yield Fault(("data",), str(error))


def measured_faults(study: Study) -> Iterator[Fault]:
    """Metrics that no record would hold, and an endpoint that is not one number."""
    name, extractor = study.file.primary.metric, study.file.primary.extractor
    metric = METRICS[name]
    if not metric.suits(extractor):
        allowed = ", ".join(other for other in FEATURES if metric.suits(other))
        yield Fault(("primary",), f"{name!r} is measured in {allowed}; found {extractor!r}")
    elif not FEATURES[extractor].tells(metric.reads, study.kind):
        yield Fault(("primary",), f"{name!r} reads {metric.reads}, which {extractor!r} does not tell from {study.kind}")
    if get_origin(get_type_hints(metric.function).get("return")) is dict:
        yield Fault(("primary", "metric"), f"{name!r} gives several numbers; the endpoint is one")
    held_out = study.file.data.split.held_out
    most = max(min(study.measured, held_out) - 1, 0)
    places = {name: index for index, entry in enumerate(study.file.metrics) for name in named(entry)}
    for name, options in study.metric_options().items():
        metric, where = METRICS[name], ("metrics", places[name])
        if study.kind not in metric.takes:
            yield Fault(where, f"{name!r} measures {' and '.join(metric.takes)}; the study's data are {study.kind}")
        elif not any(metric.suits(extractor) for extractor in study.measured_in):
            allowed = " or ".join(extractor for extractor in FEATURES if metric.suits(extractor))
            yield Fault(where, f"{name!r} is measured in {allowed}, which is not among the study's extractors")
        elif metric.reads == "values" and study.kind == "categories" and _compares_rows(study, metric):
            allowed = ", ".join(one for one, other in METRICS.items() if other.reads == "classes")
            yield Fault(where, f"{name!r} measures distances, and categories have none; allowed: {allowed}")
        elif options.get("k", 0) > most:
            there = f"{study.measured} samples are measured and {held_out} real ones held out"
            yield Fault(where, f"{name!r} asks for {options['k']} neighbours, but {there}; k is at most {most}")


def kind_faults(study: Study) -> Iterator[Fault]:
    """Parts that cannot work on each other's data."""
    kind = study.kind
    for name, spec in study.file.models.items():
        if kind not in (allowed := MODELS[spec.family].takes):
            takes = " and ".join(allowed)
            yield Fault(("models", name, "family"), f"{spec.family!r} models {takes}; the study's data are {kind}")
        else:
            try:
                study.parsed_options(name).check_kind(kind)
            except ValueError as error:
                yield Fault(("models", name), str(error))
    for index, name in enumerate(study.measured_in):
        if kind not in FEATURES[name].takes:
            takes = " and ".join(FEATURES[name].takes)
            yield Fault(("extractors", index), f"{name!r} looks at {takes}; the study's data are {kind}")
        elif FEATURES[name].published:
            try:
                study.published_weights(name)
            except ValueError as error:
                yield Fault(("extractors", index), str(error).removeprefix("weights: "))
        elif message := _truth_fault(study, name):
            yield Fault(("extractors", index), message)
    for name in study.file.arms:
        if (reads := study.read_by(name)) and (message := _truth_fault(study, reads)):
            yield Fault(("arms", name, "select"), message)
        if study.read_by(name) == study.file.primary.extractor:
            selector = study.lineages[name].selector
            yield Fault(
                ("primary", "extractor"),
                f"{study.file.primary.extractor!r} is what the selector {selector!r} of {name!r} looks through: the "
                "judge is not the prosecutor; measure the endpoint in another feature space",
            )


def fit_faults(study: Study) -> Iterator[Fault]:
    """Formulas that cannot be fitted to what a known truth draws, or not to as few rows: found by fitting them."""
    if study.file.data.population is None:
        return
    for name, spec in study.file.models.items():
        family = MODELS[spec.family]
        arms = [(arm, lineage) for arm, lineage in study.lineages.items() if lineage.model == name]
        if family.uses_torch or not arms:
            continue
        options, sizes = study.parsed_options(name), []
        for arm, one in arms:
            sizes += [size(one.regime, arm, t) for t in range(one.generations + 1)]
        try:
            options.check_rows(min(sizes))
            # A study is read again by every job: what takes iterations or much memory is not tried.
            if hasattr(options, "iterations") or family.stored_bytes(options, study.shape, 0) > LARGEST_TRIED:
                continue
            data = study.population.sample(Ask(min(*sizes, MOST_TRIED), 0)).data
            family.fit(TrainingSet(data, None, np.ones(len(data))), options, Run(0))
        except (ValueError, Diverged) as error:
            yield Fault(("models", name), f"{error} (as a trial with {min(sizes)} rows, the fewest of an arm)")


def together_faults(study: Study) -> Iterator[Fault]:
    """What keeps all seeds of an arm from running in one job."""
    if not study.file.together:
        return
    for name, spec in study.file.models.items():
        if spec.family not in REPLICATED:
            message = f"together: {spec.family!r} has no fit by formula; allowed: {', '.join(REPLICATED)}"
            yield Fault(("models", name, "family"), message)
    if study.file.data.population not in REPLICATED:
        found = study.file.data.population or study.file.data.source
        yield Fault(("data",), f"together: found {found!r}; allowed populations: {', '.join(REPLICATED)}")
    if study.measured_in != ["moments"]:
        yield Fault(("extractors",), f"together: found {', '.join(study.measured_in)}; allowed is moments alone")
    for index, entry in enumerate(study.file.metrics):
        for name in named(entry):
            if METRICS[name].stacked is None:
                allowed = ", ".join(other for other, metric in METRICS.items() if metric.stacked)
                yield Fault(("metrics", index), f"together: found {name!r}; allowed: {allowed}")
    for name, arm in study.lineages.items():
        if arm.selector != "nobody":
            yield Fault(("arms", name, "select"), f"together: found {arm.selector!r}; allowed is nobody")
        for index, part in enumerate(arm.regime.synthetic):
            if part.of not in ("self", name):
                where = ("arms", name, "regime", "synthetic", index, "of")
                yield Fault(where, f"together: found {part.of!r}; an arm eats only its own samples")


def _compares_rows(study: Study, metric: Metric) -> bool:
    """Whether a metric would look at distances of samples, and not at moments or columns of a statistic alone."""
    suited = [FEATURES[name] for name in study.measured_in if metric.suits(name)]
    return any(not (extractor.of_law or extractor.statistic) for extractor in suited)


def _truth_fault(study: Study, name: str) -> str:
    """What an extractor lacks that looks through the known truth or describes laws; empty if nothing."""
    extractor, population = FEATURES[name], study.file.data.population
    if not (extractor.of_population or extractor.of_law):
        return ""
    if population is None:
        return f"{name!r} looks at a known truth; the study's data come from {study.file.data.source!r}"
    needed, able = ("judge", Judges) if extractor.of_population else ("moments", Knows)
    if not isinstance(study.population, able):
        allowed = ", ".join(name for name, kind in POPULATIONS.items() if issubclass(kind, able))
        return f"{name!r} needs a population with {needed}, which {population!r} has not; allowed: {allowed}"
    lacking = [name for name in study.file.models if not issubclass(MODELS[study.family(name)], Knows)]
    if extractor.of_law and lacking:
        allowed = ", ".join(name for name, family in MODELS.items() if issubclass(family, Knows))
        return f"{name!r} needs models with moments, which {lacking[0]!r} has not; families that do: {allowed}"
    return ""
