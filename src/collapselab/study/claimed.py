"""What a study says of the paper that it is made after: whether its claims can be held against its records."""

from collections.abc import Iterator
from typing import Any

from ..features import FEATURES
from ..metrics import METRICS
from ..metrics.parts import in_words, is_part, several
from .faults import Fault, unknown
from .file import Expected
from .study import Study
from .unsuited import known_of

OWN = ("rises", "falls", "stays")  # of the arm itself, at two generations
WITHIN = ("near", "stays")


def claim_faults(study: Study) -> Iterator[Fault]:
    """What keeps claims from being held against the study's records."""
    for index, one in enumerate(study.file.paper.expect if study.file.paper else ()):
        where = ("paper", "expect", index)
        yield from (Fault((*where, key), message) for key, message in _of_names(study, one))
        yield from (Fault((*where, key), message) for key, message in _of_numbers(study, one))


def _of_names(study: Study, one: Expected) -> Iterator[tuple[str, str]]:
    for key in ("arm", "than"):
        if (name := getattr(one, key)) is not None and name not in study.lineages:
            yield key, unknown(name, study.lineages, "arm")
    if one.than is not None and one.than == one.arm:
        yield "than", f"found {one.than!r}, which is the arm itself; say rises, falls or stays of its own generations"
    metric, extractor = endpoint_of(study, one)
    name, _, part = metric.partition(".")
    if name not in study.metric_options():
        yield "metric", unknown(name, study.metric_options(), "metric of this study")
    elif extractor not in study.measured_in:
        yield "extractor", unknown(extractor, study.measured_in, "extractor of this study")
    elif not METRICS[name].suits(extractor):
        allowed = ", ".join(other for other in FEATURES if METRICS[name].suits(other))
        yield "extractor", f"{name!r} is measured in {allowed}; found {extractor!r}"
    elif not FEATURES[extractor].tells(METRICS[name].reads, study.kind):
        yield "extractor", f"{name!r} reads {METRICS[name].reads}, which {extractor!r} does not tell from {study.kind}"
    elif message := _of_part(study, name, part, extractor):
        yield "metric", message


def _of_part(study: Study, name: str, part: str, extractor: str) -> str:
    """What is wrong with the number of a metric that a claim is about; empty where nothing is."""
    metric = METRICS[name]
    if not several(metric):
        return f"found {name}.{part}, and {name!r} is one number; leave .{part} out" if part else ""
    columns, classes = known_of(study, extractor)
    if part and is_part(metric, part, columns, classes):
        return ""
    allowed = in_words(metric, columns, classes)
    one = f"found {part!r} of {name!r}" if part else f"{name!r} gives several numbers"
    return f"{one}; say which, as {name}.PART" + (f"; allowed: {allowed}" if allowed else "")


def _of_numbers(study: Study, one: Expected) -> Iterator[tuple[str, str]]:
    last = study.file.generations if one.at is None else one.at
    if last > study.file.generations:
        yield "at", f"found {last}; the study's last generation is {study.file.generations}"
    if one.is_ in OWN or one.since is not None:
        if (since := one.since or 0) >= last:
            yield "since", f"found {since}; allowed are generations before {last}, which it is compared with"
        if one.than is not None:
            yield "than", f"found {one.than!r} of what is compared with its own generation; leave out one of the two"
    if (one.within is None) == (one.is_ in WITHIN):
        found = (
            "none; say how far on either side still agrees" if one.within is None else f"{one.within:g}; leave it out"
        )
        yield "within", f"found {found}, where it {'is' if one.is_ not in OWN else ''} {one.is_}".replace("  ", " ")
    compared = one.is_ in OWN or one.than is not None or one.since is not None
    if one.value is None and one.is_ not in OWN and (not compared or one.is_ == "near"):
        yield "value", f"found none; say which number it is {one.is_}"
    if one.by == "ratio" and not compared:
        yield (
            "by",
            "found 'ratio' of a number by itself; say than, the arm, or since, the generation it is compared with",
        )
    if one.value is not None and one.value < 0 and one.is_ in ("rises", "falls"):
        yield "value", f"found {one.value:g}; by how much it {one.is_} is a number from 0"
    if one.value is not None and one.is_ == "stays" and one.by == "difference":
        yield "value", f"found {one.value:g}; what stays has none: say within, or by: ratio"


def endpoint_of(study: Study, one: Expected) -> tuple[str, str]:
    """The metric and the extractor that a claim is about: those of the primary endpoint where it names none."""
    return one.metric or study.file.primary.metric, one.extractor or study.file.primary.extractor


def claims_of(study: Study) -> tuple[Any, ...]:
    """The study's claims, as verdicts hold them against records."""
    from ..verdicts import Claim, Endpoint

    return tuple(
        Claim(
            arm=one.arm,
            endpoint=Endpoint(*endpoint_of(study, one)),
            is_=one.is_,
            value=one.value,
            within=one.within or 0.0,
            than=one.than or "",
            since=one.since,
            at=one.at,
            by=one.by,
        )
        for one in (study.file.paper.expect if study.file.paper else ())
    )
