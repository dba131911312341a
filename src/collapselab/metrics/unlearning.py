"""What became of a class that is to be forgotten, and of all that is to stay."""

from typing import Annotated

import numpy as np
from pydantic import Field

from ..core.distances import on_host
from ..core.errors import Undefined
from ..features import Array, Features
from ..features.base import taken
from .classes import with_classes
from .estimates import Estimate, share_of, share_over
from .frechet import frechet_distance
from .neighbours import precision, recall

Label = Annotated[int, Field(ge=0)]
Asked = Annotated[int, Field(ge=0)]
K = Annotated[int, Field(ge=1)]


def unlearning_accuracy(
    real: Features | Array, fake: Features | Array, *, label: Label = 0, asked: Asked = 0
) -> float | Estimate:
    """UA: how many of the fakes that are asked for as a class do not look like it (UnlearnCanvas, Zhang et al. 2024,
    https://arxiv.org/abs/2402.11846, section 4).

    1 is what a model reaches that was destroyed, too: it is never to be read without what was retained.

    label: the class. asked: of how many classes the fakes were asked for in turn, row i as class i mod ``asked``, as
    the samples of a study's models are; not of rows that a selector kept. 0: nobody asked; it is then 1 less the share
    of the fakes that look like the class over that of the real samples, and below 0 where there are more.
    Raises Undefined without predicted classes, without rows that are asked for, or without a real sample of the class.
    """
    real, fake = with_classes(real, fake)
    if asked:
        _check(label, asked)
        mine = fake.classes[_asked_for(fake, asked) == label]
        if not len(mine):
            raise Undefined(f"fake: found {len(fake)} rows, none of which was asked for as class {label}")
        return share_of(mine != label)
    share = float(np.mean(real.classes == label))
    if not share:
        raise Undefined(f"real: class {label} does not occur")
    there = share_over(fake.classes == label, share, (1 - share) / (share * len(real)))
    return Estimate(1 - float(there), 1 - there.high, 1 - there.low)


def forgotten_precision(
    real: Features | Array, fake: Features | Array, *, label: Label = 0, asked: Asked = 0, k: K = 5
) -> Estimate:
    """How many of the fakes that are asked for as a class lie among its real samples (:func:`neighbours.precision`).

    A classifier has to call a black picture something, and may call it the class: then its :func:`unlearning_accuracy`
    is 0, and nothing of the class is there. This one is 0 for both. label, asked: as there; where nobody asked (0) it
    is of the fakes that look like the class, and 0 without any. Raises Undefined as precision does.
    """
    real, fake = with_classes(real, fake)
    if asked:
        _check(label, asked)
    mine = (_asked_for(fake, asked) if asked else fake.classes) == label
    if not asked and not mine.any():
        return share_of(np.zeros(len(fake), bool))
    return precision(taken(real, np.flatnonzero(real.classes == label)), taken(fake, np.flatnonzero(mine)), k=k)


def retained_accuracy(
    real: Features | Array, fake: Features | Array, *, label: Label = 0, asked: Asked = 0, neighbours: K = 2
) -> dict[str, float | Estimate | Undefined]:
    """IRA: how many of the fakes that are asked for as another class look like it: ``all``; and of these classes the
    ``neighbours``, those nearest to the class that is forgotten, and the ``others``, by which damage to what is
    confused with it is seen (UnlearnCanvas, as for :func:`unlearning_accuracy`).

    A class is as near as the means of the features of the real samples of both are. label, asked: as there;
    where nobody asked (0) it is how much of the real shares of the other classes is there among the fakes that look
    like them, sum min(p, q) / sum q. neighbours: how many classes are called near. Raises Undefined without predicted
    classes, without rows, or where no real sample is of the class.
    """
    real, fake = with_classes(real, fake)
    if asked:
        _check(label, asked)
    near = nearest_classes(real, label)
    groups = {"all": near, "neighbours": near[:neighbours], "others": near[neighbours:]}
    if not asked:
        shares = [np.array([np.mean(side.classes == name) for name in near]) for side in (real, fake)]
        there, fakes = (one / max(one.sum(), np.finfo(float).tiny) for one in shares)
        kept = dict(zip(near, np.minimum(there, fakes), strict=True)), dict(zip(near, there, strict=True))
        return {name: _over(*(sum(map(one.get, group)) for one in kept)) for name, group in groups.items()}
    wanted = _asked_for(fake, asked)
    hits = fake.classes == wanted
    found = {}
    for name, group in groups.items():
        rows = np.isin(wanted, group)
        found[name] = share_of(hits[rows]) if rows.any() else Undefined(f"fake: none was asked for as one of {group}")
    return found


def _over(share: float, whole: float) -> float | Undefined:
    return float(share / whole) if whole else Undefined("real: there are no such classes")


def retained_recall(
    real: Features | Array, fake: Features | Array, *, label: Label = 0, asked: Asked = 0, k: K = 5
) -> Estimate:
    """The recall (:func:`neighbours.recall`) of the real samples of the other classes, by the fakes that stay.

    label, asked: as for :func:`unlearning_accuracy`: fakes that were asked for as another class, or (0) look like one.
    Real samples are those that look like one. Raises Undefined as recall does.
    """
    return recall(*_without(real, fake, label, asked), k=k)


def retained_precision(
    real: Features | Array, fake: Features | Array, *, label: Label = 0, asked: Asked = 0, k: K = 5
) -> Estimate:
    """The precision (:func:`neighbours.precision`) of the fakes that stay, as for :func:`retained_recall`."""
    return precision(*_without(real, fake, label, asked), k=k)


def retained_frechet_distance(
    real: Features | Array, fake: Features | Array, *, label: Label = 0, asked: Asked = 0
) -> float:
    """The Fréchet distance of the fakes that stay from the real samples of the other classes, as for
    :func:`retained_recall`.
    """
    return float(frechet_distance(*_without(real, fake, label, asked)))


def nearest_classes(real: Features, label: int) -> list[int]:
    """The other classes of real samples, the nearest first: by the distance of the means of features.

    Raises Undefined where no sample is of the class.
    """
    values = np.asarray(on_host(real.values), np.float64)
    names = [int(name) for name in np.unique(real.classes)]
    if label not in names:
        raise Undefined(f"real: class {label} does not occur")
    means = {name: values[real.classes == name].mean(axis=0) for name in names}
    far = {name: float(np.linalg.norm(means[name] - means[label])) for name in names if name != label}
    return sorted(far, key=lambda name: (far[name], name))


def _without(real: Features | Array, fake: Features | Array, label: int, asked: int) -> tuple[Features, Features]:
    """The rows of either side that are not of a class."""
    real, fake = with_classes(real, fake)
    if asked:
        _check(label, asked)
    stays = _asked_for(fake, asked) != label if asked else fake.classes != label
    return taken(real, np.flatnonzero(real.classes != label)), taken(fake, np.flatnonzero(stays))


def _asked_for(fake: Features, asked: int) -> np.ndarray:
    return np.arange(len(fake)) % asked


def _check(label: int, asked: int) -> None:
    if label >= asked:
        raise ValueError(f"label: found {label}, allowed are 0 to {asked - 1}, the classes that were asked for")
