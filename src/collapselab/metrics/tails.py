"""Tails: what becomes of the rare: classes, and extreme values of an attribute."""

import re
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from .classes import with_classes
from .estimates import Estimate, share_over

Share = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0)]
CLASSES = r"^(\d+(,\d+)*)?$"
ClassList = Annotated[str, Field(pattern=CLASSES)]


def class_retention(
    real: Features | Array, fake: Features | Array, *, below: Share = 0.05, classes: ClassList = ""
) -> dict[str, float | Estimate | Undefined]:
    """How much is left of each rare class, by its number, and ``kept``: the share of them that still occurs.

    share among the fakes / share among the real samples

    Its expectation is that of a model's share of the class over the true one: 1 in a fully synthetic loop at every
    generation, however likely the class is lost, and so 1 for a perfect model too; ``kept`` is what shows the loss.

    below: a class is rare if its share among the real samples is below this; 1 means all classes. classes: the numbers
    of those to look at instead, as ``"3,7"``; one that does not occur among the real samples is Undefined.
    Raises Undefined without predicted classes, without rows, or if no class is rare.
    """
    if not 0 < below <= 1:
        raise ValueError(f"below: found {below!r}, allowed are numbers above 0 and up to 1")
    if not re.fullmatch(CLASSES, classes):
        raise ValueError(f"classes: found {classes!r}, allowed are numbers with commas between them")
    real, fake = with_classes(real, fake)
    names, counts = np.unique(real.classes, return_counts=True)
    shares = dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))
    if classes:
        rare = dict.fromkeys(int(number) for number in classes.split(","))
    else:
        rare = [name for name, share in shares.items() if share < below or below == 1]
    if not any(name in shares for name in rare):
        found = f"of the classes {classes} none occurs" if classes else f"no class has a share below {below:g}"
        raise Undefined(f"real: {found}")
    retention: dict[str, float | Estimate | Undefined] = {}
    for name in rare:
        if name in shares:
            share = shares[name]
            retention[str(name)] = share_over(fake.classes == name, share, (1 - share) / (share * len(real)))
        else:
            retention[str(name)] = Undefined(f"real: class {name} does not occur")
    occurring = [float(value) > 0 for value in retention.values() if not isinstance(value, Undefined)]
    return {**retention, "kept": float(np.mean(occurring))}


def tail_coverage(
    real: Features | Array, fake: Features | Array, *, q: Annotated[float, Field(gt=0, le=0.5)] = 0.05
) -> dict[str, Estimate | Undefined]:
    """How many of the fakes lie in the tails of each attribute, over the number expected of real samples.

    low:  (share of fakes f below x_(k)) / (k / (N + 1)),    k = floor(q (N + 1))

    with the k-th smallest x_(k) of N real values, and ``high`` the same of -x: 1 for a perfect model, 0 where a tail is
    lost. The expectation is exactly 1 if real and fake have one law, whatever it is: a fake and the N real values are
    exchangeable, so its rank among the N + 1 is uniform, and it lies below x_(k) if its rank is k or less. A fake that
    ties with real values counts with the chance that its rank is k or less if ties are broken at random.

    q: the tail's share on either side. Named ``<attribute>.low`` and ``<attribute>.high``; columns without names have
    their numbers. An attribute that does not vary among the real samples is Undefined. The intervals count the chance
    of both sides: what lies below x_(k) is known to the relative variance of a Beta(k, N + 1 - k).
    Raises Undefined for no fakes, fewer than 1 / q - 1 real rows, or values that are not finite.
    """
    if not 0 < q <= 0.5:
        raise ValueError(f"q: found {q!r}, allowed are numbers above 0 and up to .5")
    real, fake = Features.of(real), Features.of(fake)
    real.require(int(np.ceil(1 / q)) - 1, "real")
    fake.require(1, "fake")
    count = len(real)
    k = max(1, int(q * (count + 1) + 1e-9))  # .29 of 100 is 29
    tails: dict[str, Estimate | Undefined] = {}
    for name, values, probes in _attributes(real, fake):
        for side, sign in (("low", 1), ("high", -1)):
            if values.min() == values.max():
                tails[f"{name}.{side}"] = Undefined(f"real: {name} is {values[0]:g} in every row, and has no tails")
                continue
            ordered = np.sort(sign * values)
            below, upto = (np.searchsorted(ordered, sign * probes, side) for side in ("left", "right"))
            inside = np.clip((k - below) / (upto - below + 1), 0, 1)
            tails[f"{name}.{side}"] = share_over(inside, k / (count + 1), (count + 1 - k) / (k * (count + 2)))
    return tails


def quantile_coverage(
    real: Features | Array, fake: Features | Array, *, bins: Annotated[int, Field(ge=2)] = 20, seed: Seed = 0
) -> dict[str, float | Undefined]:
    """How much of the range of each attribute the fakes still reach: the share of the real bins that hold a fake.

    The N real values leave N + 1 gaps, in each of which a fake of the same law lies with chance 1 / (N + 1). The bins
    are runs of gaps, as equal in number as can be, from the lowest values to the highest. M fakes of the same law reach

    1 - mean over bins of prod_{i < g} (N - i) / (N + M - i)

    on average, with g gaps in a bin (:func:`expected_quantile_coverage`): 1 for a few hundred. That is exact for any
    law, since ``seed`` breaks ties at random. Columns without names have their numbers; an attribute that does not vary
    among the real samples is Undefined.

    Raises Undefined for no fakes, fewer than ``bins`` - 1 real rows, or values that are not finite.
    """
    if not (bins >= 2 and bins % 1 == 0):
        raise ValueError(f"bins: found {bins!r}, allowed are whole numbers from 2")
    real, fake = Features.of(real), Features.of(fake)
    real.require(bins - 1, "real")
    fake.require(1, "fake")
    ties = seeds.uniforms(seed, 0, len(real) + len(fake), 1)[:, 0]
    coverage: dict[str, float | Undefined] = {}
    for name, values, probes in _attributes(real, fake):
        if values.min() == values.max():
            coverage[name] = Undefined(f"real: {name} is {values[0]:g} in every row, and has no bins")
            continue
        both = np.concatenate([np.sort(values), np.sort(probes)])  # so that rows in another order have the same ties
        order = np.lexsort((ties, both))
        is_real = order < len(values)
        gaps = np.cumsum(is_real)[~is_real]  # of each fake: how many real values lie below it
        coverage[name] = float(len(np.unique(gaps * bins // (len(values) + 1))) / bins)
    return coverage


def expected_quantile_coverage(n_real: int, n_fake: int, bins: int = 20) -> float:
    """The expectation of :func:`quantile_coverage` if real and fake have one law, whatever it is.

    1 - mean over bins of prod_{i < g} (N - i) / (N + M - i)

    for a bin of g of the N + 1 gaps between N real values: all ways to put M fakes into the gaps are equally likely,
    and the product is the share of those that leave g gaps empty.
    """
    empty = []
    for gaps in np.bincount(np.arange(n_real + 1) * bins // (n_real + 1), minlength=bins):
        i = np.arange(gaps)
        empty.append(np.prod((n_real - i) / (n_real + n_fake - i)))
    return float(1 - np.mean(empty))


def _attributes(real: Features, fake: Features) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The name, the real values and the fakes' of each column, in float64."""
    if real.names != fake.names or real.values.shape[1] != fake.values.shape[1]:
        raise ValueError(
            f"features: found columns {real.names or real.values.shape[1]} and {fake.names or fake.values.shape[1]}, "
            "allowed are the same on both sides"
        )
    sides = on_host(real.values), on_host(fake.values)
    for column, name in enumerate(real.names or map(str, range(real.values.shape[1]))):
        yield name, *(side[:, column].astype(np.float64) for side in sides)
