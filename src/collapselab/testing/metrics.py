"""The laws of metrics and of scores."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..core.errors import Undefined
from ..core.kinds import KINDS
from ..features import Features
from ..metrics import METRICS, SCORES, Estimate, Metric
from ..metrics.parts import is_part, several
from .clouds import arrays_of, as_read, broken, cloud, copied, emptied, taken
from .said import entry_of, law, named, refused, same, survives

ROUNDING = 1e-12  # relative: sums of some hundred terms in another order
SINGLE = 1e-4  # relative: the same numbers in float32, of which some hundred are added up


def check_metric(
    metric: Metric | str,
    features: tuple[Features, Features] | None = None,
    options: Mapping[str, Any] | None = None,
    on_itself: float | None = None,
) -> None:
    """Hold a metric to its contract (:class:`~collapselab.metrics.Metric`).

    Its values are plain finite floats, the same each time, in whatever order rows stand, as numpy arrays and as torch
    tensors, in float32 and in float64; it leaves what it is given as it is; what it cannot determine, of no rows or of
    numbers that are not finite, is Undefined with the name of the side; its options have defaults that may be given.

    metric: the entry, or its name in the registry. features: real ones and fakes, at least 60 rows of either; None
    makes some, unless the metric reads an extractor that is not in the registry. options: with which it is tried;
    where the defaults look at the order of rows, others. on_itself: its value on a copy of the real samples, to 1e-12;
    None asks only that it be finite, or Undefined. Raises AssertionError for the first law that is broken.
    """
    name, entry = entry_of(metric, METRICS)
    _check_entry(name, entry)
    tried = _tried(name, entry, features, options)
    value = _check_value(tried)
    _check_it_leaves_its_sides(tried)
    _check_order(tried, value)
    _check_kinds_of_numbers(tried, value)
    _check_undetermined(tried)
    _check_on_itself(tried, on_itself)


def check_score(score: Metric | str, features: tuple[Features, Features] | None = None) -> None:
    """Hold a score of every sample to its contract: (n_fake,) float64, each the sample's own, to rounding.

    As :func:`check_metric`; the rounding is relative 1e-9, since the order of sums is the batch's.
    """
    name, entry = entry_of(score, SCORES)
    _check_entry(name, entry)
    tried = _tried(name, entry, features, None)
    real, fake = tried.sides["real"], tried.sides["fake"]
    scores = entry(copied(real), copied(fake))
    law(
        isinstance(scores, np.ndarray) and scores.shape == (len(fake),) and scores.dtype == np.float64,
        f"{name}: a score has to be one float64 of each fake, (n,)",
    )
    some = entry(copied(real), taken(fake, slice(10, 30)))
    law(
        np.allclose(some, scores[10:30], rtol=1e-9, atol=0, equal_nan=True),
        f"{name}: the score of a sample hangs from the samples beside it",
    )
    law(same(entry(copied(real), copied(fake)), scores), f"{name}: it gave other scores the second time")


@dataclass(frozen=True)
class Tried:
    """A metric with what it is tried on: by role, and the options."""

    name: str
    entry: Metric
    sides: Mapping[str, Features]
    options: Mapping[str, Any]

    def value(self, change: Callable[[Features], Features] = copied, **sides: Features) -> Any:
        """The metric of its sides, or of others by their role, each changed: as they are, in arrays of their own."""
        given = {role: change(side) for role, side in self.sides.items()}
        return self.entry(**(given | sides), **self.options)


def _tried(
    name: str, entry: Metric, features: tuple[Features, Features] | None, options: Mapping[str, Any] | None
) -> Tried:
    if features is None:
        real, fake = (as_read(entry, side) for side in (cloud(0, 150), cloud(1, 130, shift=0.3)))
        more = as_read(entry, cloud(9, 120))
    else:
        real, fake = features
        more = taken(real, slice(0, len(real) // 2))
    beside = {entry.beside: more} if entry.beside else {}
    return Tried(name, entry, {"real": real, "fake": fake, **beside}, options or {})


def _check_entry(name: str, entry: Metric) -> None:
    """Hold that the entry says what figures and fingerprints ask, and that its options are some."""
    law(
        isinstance(entry, Metric),
        f"{name}: found a {type(entry).__name__}, asked is a Metric, which holds the function",
    )
    law(entry.label and entry.label[0].isupper(), f"{name}: its label {entry.label!r} does not begin as a title does")
    law(entry.function.__doc__, f"{name}: its function has no docstring")
    for field, allowed in (("better", ("lower", "higher", None)), ("reads", ("values", "classes", "probabilities"))):
        found = getattr(entry, field)
        law(found in allowed, f"{name}: {field} is {found!r}, allowed are {named(allowed)}")
    law(set(entry.takes) <= set(KINDS), f"{name}: it takes {named(entry.takes)}, allowed are {named(KINDS)}")
    plain = [option for option, value in entry.options.items() if not isinstance(value, int | float | str)]
    law(not plain, f"{name}: the defaults of {named(plain)} are no numbers or words, which a fingerprint can hold")
    try:
        said = entry.Options(**entry.options)
    except (ValidationError, KeyError, TypeError) as error:
        raise AssertionError(f"{name}: its own defaults do not go with its annotations: {error}") from error
    law(said.model_dump() == dict(entry.options), f"{name}: its defaults are changed by its annotations")
    law(survives(dict(entry.options)), f"{name}: its options do not survive JSON")
    refused(lambda: entry.Options(no_such_option=1), "no_such_option", f"{name}: an option that it has not")


def _numbers(value: Any) -> np.ndarray:
    """A metric's value as an array, whether it is one number or named ones; what is Undefined is nan."""
    values = value.values() if isinstance(value, dict) else [value]
    return np.array([math.nan if isinstance(number, Undefined) else number for number in values], np.float64)


def _alike(one: Any, other: Any, rtol: float) -> bool:
    alike_named = isinstance(one, dict) == isinstance(other, dict) and (
        not isinstance(one, dict) or list(one) == list(other)
    )
    return alike_named and np.allclose(_numbers(one), _numbers(other), rtol=rtol, atol=0, equal_nan=True)


def _check_value(tried: Tried) -> Any:
    name, value = tried.name, tried.value()
    values = list(value.values()) if isinstance(value, dict) else [value]
    for number in values:
        determined = not isinstance(number, Undefined)
        law(
            not determined or type(number) in (float, Estimate),
            f"{name}: it gave a {type(number).__name__}, asked is a float, an Estimate, or several by name",
        )
        law(not determined or math.isfinite(number), f"{name}: it gave {number!r}; what is no number is Undefined")
        if isinstance(number, Estimate):
            law(number.low <= number <= number.high, f"{name}: {number!r} is not within its own interval")
    law(any(not isinstance(number, Undefined) for number in values), f"{name}: it determined none of its numbers")
    words = not isinstance(value, dict) or all(type(key) is str for key in value)
    law(words, f"{name}: the names of its numbers are no words")
    law(
        isinstance(value, dict) == several(tried.entry) and (several(tried.entry) or not tried.entry.roles.parts),
        f"{name}: it gave {value!r}; whether a metric gives several numbers is said by what its function returns",
    )
    columns = tried.sides["fake"].names or tuple(map(str, range(tried.sides["fake"].values.shape[1])))
    strange = [key for key in value if not is_part(tried.entry, key, columns)] if isinstance(value, dict) else []
    law(not strange, f"{name}: it gave {named(strange)}; roles.parts says {named(tried.entry.roles.parts)}")
    again = tried.value()
    law(
        _alike(value, again, 0.0),
        f"{name}: it gave {value!r}, and {again!r} the second time; all chance comes from a fixed seed",
    )
    return value


def _check_it_leaves_its_sides(tried: Tried) -> None:
    sides = {role: copied(side) for role, side in tried.sides.items()}
    tried.entry(**sides, **tried.options)
    for role, side in sides.items():
        for part, array in arrays_of(side).items():
            before = arrays_of(tried.sides[role])[part]
            law(same(array, before), f"{tried.name}: it has changed the {part} of {role}, which are not its own")


def _check_order(tried: Tried, value: Any) -> None:
    def shuffled(side: Features) -> Features:
        return taken(side, np.random.default_rng(2).permutation(len(side)))

    again = tried.value(shuffled)
    law(
        _alike(value, again, ROUNDING),
        f"{tried.name}: it gave {value!r}, and of the same rows in another order {again!r}; rows have no order",
    )


def _check_kinds_of_numbers(tried: Tried, value: Any) -> None:
    """Hold that tensors have the values of arrays, and float32 those of float64."""
    import torch

    def tensor(side: Features) -> Features:
        return replace(copied(side), values=torch.from_numpy(side.values.copy()))

    found = tried.value(tensor)
    law(
        _alike(value, found, ROUNDING),
        f"{tried.name}: of torch tensors it gave {found!r}, of the same arrays {value!r}",
    )

    def single(side: Features, last: type = np.float32) -> Features:
        return replace(copied(side), values=side.values.astype(np.float32).astype(last))

    narrow, wide = tried.value(single), tried.value(lambda side: single(side, np.float64))
    law(
        _alike(narrow, wide, SINGLE),
        f"{tried.name}: of float32 it gave {narrow!r}, of the same numbers in float64 {wide!r}; products and sums of "
        "float32 have to be taken in float64",
    )


def _check_undetermined(tried: Tried) -> None:
    """Hold that a side without rows, or with numbers that are not finite, is Undefined, or plays no part at all."""
    name, looks = tried.name, 0
    for what, change in (("no rows", emptied), ("a row that is not finite", broken)):
        for role, side in tried.sides.items():
            try:
                found = tried.value(**{role: change(side)})
            except Undefined as error:
                law(
                    role in str(error) or role == tried.entry.beside,
                    f"{name}: with {what} as {role} it says {str(error)!r}; it has to name the side",
                )
                looks += 1
            except Exception as error:
                raise AssertionError(
                    f"{name}: with {what} as {role} it raised {type(error).__name__}: {error}; asked is Undefined"
                ) from error
            else:
                plays_no_part = _alike(found, tried.value(), ROUNDING)
                law(plays_no_part, f"{name}: with {what} as {role} it gave {found!r}; asked is Undefined")
    law(looks, f"{name}: neither side plays a part in it")


def _check_on_itself(tried: Tried, expected: float | None) -> None:
    real = tried.sides["real"]
    try:
        found = tried.value(fake=copied(real))
    except Undefined as error:
        law(expected is None, f"{tried.name}: of a copy of the real samples it says {error}, asked is {expected!r}")
        return
    numbers = _numbers(found)
    law(not np.isinf(numbers).any(), f"{tried.name}: of a copy of the real samples it gave {found!r}")
    law(
        expected is None or np.allclose(numbers, expected, rtol=0, atol=ROUNDING),
        f"{tried.name}: of a copy of the real samples it gave {found!r}, asked is {expected!r}",
    )
