"""Forgetting without steps: by a formula where the family has one, by an edit of the classes' vectors, and the gold
standard, a training without what is to be forgotten."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.choice import Options
from ..core.facts import Facts
from ..core.run import Run
from ..models.capabilities import Trainable
from ..models.gaussian import Gaussian
from ..models.gmm import GMM
from ..models.kde import KDE
from ..models.multinomial import Multinomial
from ..models.naive_bayes import NaiveBayes
from ..models.tuning import settled
from .base import Adapted, Given
from .membership import FEWEST, inference, sides
from .targets import Forget, Target, found, target_of

ATTACKED = (
    "validation rows beside which it is told how far a membership inference finds what was forgotten; 0: it is not"
)


def wanted(given: Given, options: Any) -> Target:
    """What is to be forgotten. Raises ValueError where nothing of it is there, and for an attack with too few rows,
    before any work."""
    target = target_of(given, options.forget)
    if options.attacked:
        sides(given, target)
    return target


def told(model: Any, adapted: Any, given: Given, target: Target, options: Any, run: Run) -> Adapted:
    """A model that has forgotten, with how many rows were to be forgotten, and what an attack finds where it is asked
    for."""
    attack = inference(model, adapted, given, target, run.seed) if options.attacked else {}
    earlier = {"earlier_rows": len(given.training) - len(target.training)} if options.forget.earlier else {}
    return Adapted(adapted, found(target) | earlier | attack)


def attacked(options: Any) -> int:
    """The validation rows that an attack needs."""
    return max(options.attacked, FEWEST) if options.attacked else 0


# -- from scratch ------------------------------------------------------------------------------------------------------


class RetrainedOptions(Options):
    """What is left out, and how long is trained without it."""

    forget: Forget = Field(description="what is to be forgotten")
    attacked: int = Field(0, ge=0, description=ATTACKED)
    images_seen: int = Field(
        0, ge=0, description="budget of the new training, in images; 0 for a family that is fitted by a formula"
    )


def retrained(model: Any, given: Given, options: RetrainedOptions, run: Run) -> Adapted:
    """A new model of the rows that are kept, from scratch: what all other ways of forgetting are measured by."""
    target = wanted(given, options)
    run = replace(run, images_seen=options.images_seen or None)
    again = type(model).fit(target.keep, settled(model), run)
    return told(model, again, given, target, options, run)


def retrained_images(options: RetrainedOptions) -> int:
    """The images that the new training sees."""
    return options.images_seen


def unbudgeted(family: type, options: RetrainedOptions) -> str:
    """A budget for a formula, or none for a network."""
    if issubclass(family, Trainable) and not options.images_seen:
        return "images_seen: found 0; a network learns in steps: say how many images it sees, such as the arm's budget"
    if not issubclass(family, Trainable) and options.images_seen:
        return f"images_seen: found {options.images_seen}; its family is fitted by a formula, which has no budget: 0"
    return ""


# -- the classes' vectors ----------------------------------------------------------------------------------------------


class UCEOptions(Options):
    """What the class is told as, and how strongly all stays as it is."""

    forget: Forget = Field(description="the class that is to be forgotten")
    attacked: int = Field(0, ge=0, description=ATTACKED)
    towards: int | None = Field(None, ge=0, description="the class that it becomes; null: no class")
    strength: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="lambda: how strongly the edit is held back; 0.1 goes 1 / 1.1 of it"
    )

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.towards is not None and self.towards == self.forget.class_:
            raise ValueError(
                f"towards: found {self.towards}, which is to be forgotten; allowed is another class, or null"
            )
        return self


def uce(model: Any, given: Given, options: UCEOptions, run: Run) -> Adapted:
    """The vectors of the classes edited by a formula, and no other weight.

    Gandikota et al. 2024 (Unified Concept Editing, https://arxiv.org/abs/2308.14761), equation 7
    (:func:`edited`), with the classes as concepts, which are orthonormal: the one that is forgotten goes 1 / (1 +
    lambda) of the way to its aim, and the others stay. Raises ValueError for a target that is no class of the model's,
    and for a network without a table of them.
    """
    target = wanted(given, options)
    name, table, nobody = _table_of(model)
    label = target.label
    if message := unknown_class(model.options, label, options.towards):
        raise ValueError(message)
    aim = nobody if options.towards is None else table[options.towards]
    concepts = np.eye(len(table))
    others = [concept for number, concept in enumerate(concepts) if number != label]
    moved = edited(table.T, [(concepts[label], aim)], others, options.strength).T
    after = model.with_weights({**model.weights(), name: moved.astype(np.float32)})
    return told(model, after, given, target, options, run)


def unknown_class(of: Any, label: int | None, towards: int | None) -> str:
    """A target, or an aim, that is no class of a model of the options ``of``."""
    classes = getattr(of, "classes", 0)
    for option, one in (("forget", label), ("towards", towards)):
        if (one is None and option == "forget") or (one is not None and one >= classes):
            said = "no class" if one is None else f"class {one}"
            allowed = f"0 to {classes - 1}, the model's classes" if classes else "none: the model knows no classes"
            return f"{option}: found {said}; allowed are {allowed}"
    return ""


def uce_unfit(facts: Facts, of: Any, options: UCEOptions) -> str:
    """Anything but classes of the model."""
    return unknown_class(of, options.forget.class_, options.towards)


def edited(
    weight: np.ndarray, erased: list[tuple[np.ndarray, np.ndarray]], kept: list[np.ndarray], strength: float
) -> np.ndarray:
    """W' = (sum_e v c' + sum_p W c c' + lambda W) (sum c c' + lambda I)^-1, (m, n) as W, float64.

    erased: concepts c (n,) with what each is to become, v (m,). kept: concepts that are to stay.
    """
    weight = np.asarray(weight, np.float64)
    wanted = strength * weight
    seen = strength * np.eye(weight.shape[1])
    for concept, aim in [*erased, *((one, weight @ one) for one in kept)]:
        wanted = wanted + np.outer(aim, concept)
        seen = seen + np.outer(concept, concept)
    return np.linalg.solve(seen.T, wanted.T).T


def _table_of(model: Any) -> tuple[str, np.ndarray, np.ndarray]:
    """The name and the rows of the table of classes among the weights, and the vector of no class."""
    classes = getattr(model.options, "classes", 0)
    for name, array in model.weights().items():
        if classes and name.endswith("embedding.label"):
            return name, np.asarray(array, np.float64), np.zeros(array.shape[1])
        if classes and name.endswith("class_embedding.weight") and len(array) == classes + 1:
            return name, np.asarray(array, np.float64), np.asarray(array[classes], np.float64)
    raise ValueError("forget: uce edits the vectors of the classes, and the model has no table of them")


# -- by a formula ------------------------------------------------------------------------------------------------------


class DeletionOptions(Options):
    """What is taken out of the law."""

    forget: Forget = Field(description="what is to be forgotten")
    attacked: int = Field(0, ge=0, description=ATTACKED)


def exact_deletion(model: Any, given: Given, options: DeletionOptions, run: Run) -> Adapted:
    """The law without what is to be forgotten, exactly: taken out, and the rest made to be 1 again.

    multinomial: the categories or images. naive-bayes: the rows' counts, so that it is the fit to the rest. kde: the
    clouds around the rows; the kernel stays. gmm: the components that hold more than half of the rows, each by its mean
    responsibility; they keep their place with a weight of 0. Raises ValueError where nothing would be left.
    """
    target = wanted(given, options)
    left = DELETIONS[type(model)](model, target)
    return told(model, left, given, target, options, run)


def _categories(model: Multinomial, target: Target) -> Multinomial:
    if model.images is None:
        gone = np.isin(np.arange(len(model.probabilities)), target.forget.data)
    else:
        names = {row.tobytes() for row in target.forget.data}
        gone = np.array([row.tobytes() in names for row in model.images])
    return replace(model, probabilities=_renormalised(model.probabilities, gone))


def _counts(model: NaiveBayes, target: Target) -> NaiveBayes:
    """n p_v - x_v of each feature, with smoothing taken out before and put back after.

    Shares do not say how many rows they were counted from. Raises ValueError for those that are of others than the
    training set's, as after an earlier deletion that the target does not name.
    """
    alpha, total, shares = model.options.alpha, float(target.training.weights.sum()), []
    end = 0
    values = model._values(target.training.data[target.rows])
    weights = target.training.weights[target.rows]
    every = model._values(target.training.data)
    for column, whole, size in zip(values.T, every.T, model.levels, strict=True):
        share = model.shares[end : end + size]
        counted = np.bincount(whole, weights=target.training.weights, minlength=size)
        # Shares, counts and sums are rounded in their 16th digit, and added up over the rows.
        if not np.allclose(share * (total + size * alpha) - alpha, counted, rtol=0, atol=1e-9 * (total + size * alpha)):
            found = f"a model that was not counted from the {len(target.training)} rows of which it is to be taken out"
            cure = "say as earlier what it has forgotten before, that alone, and the training set that it was fitted to"
            raise ValueError(f"forget: found {found}; {cure}")
        counts = share * (total + size * alpha) - np.bincount(column, weights=weights, minlength=size)
        shares.append(_renormalised(counts.clip(min=0), np.zeros(size, bool)))
        end += size
    return replace(model, shares=np.concatenate(shares))


def _clouds(model: KDE, target: Target) -> KDE:
    names = {row.tobytes() for row in np.asarray(target.forget.data, np.float64)}
    gone = np.array([row.tobytes() in names for row in model.rows])
    if not model.weights.size:
        _renormalised(np.ones(len(gone)), gone)
        return replace(model, rows=model.rows[~gone])
    return replace(model, rows=model.rows[~gone], weights=_renormalised(model.weights, gone)[~gone])


def _components(model: GMM, target: Target) -> GMM:
    """Responsibilities by :meth:`GMM.log_likelihood` of each component alone."""
    data = np.asarray(target.training.data, np.float64)
    alone = np.eye(len(model.weights))
    with np.errstate(divide="ignore"):
        logs = np.log(model.weights) + np.stack(
            [replace(model, weights=one).log_likelihood(data, 0) for one in alone], axis=1
        )
    shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None]) * target.training.weights[:, None]
    held = shares.sum(axis=0)
    gone = shares[target.rows].sum(axis=0) > held / 2
    return replace(model, weights=_renormalised(model.weights, gone))


def _renormalised(shares: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Shares without some, of sum 1. Raises ValueError where nothing is left."""
    left = np.where(gone, 0.0, shares)
    if not left.sum() > 0:
        raise ValueError("forget: it is all that the model has; nothing would be left")
    return left / left.sum()


DELETIONS: Mapping[type, Callable[[Any, Target], Any]] = {
    Multinomial: _categories,
    NaiveBayes: _counts,
    KDE: _clouds,
    GMM: _components,
}
"""Families with an exact deletion."""


def no_images(options: Options) -> int:
    """A formula sees no images."""
    return 0


def undeletable(family: type, options: DeletionOptions) -> str:
    """A family without a formula for it."""
    if family not in DELETIONS:
        names = "gmm, kde, multinomial, naive-bayes"
        return f"forget: its family has no exact deletion; those that have: {names}; others: retrained, or a guide"
    return ""


# -- by plain gradients ------------------------------------------------------------------------------------------------


def climbed(model: Gaussian, target: Target, options: Any, run: Run, retain: float, alpha: float) -> Gaussian:
    """A Gaussian's mean after plain gradient descent on retain L_r - alpha L_f, the mean negative log-likelihoods.

    A step is ``m <- m - e C^-1 (retain (m - m_r) - alpha (m - m_f))``, of which there are as many as batches of
    ``options.batch``, or of all rows to forget, make the budget. Raises Diverged for a mean that is not finite.
    """
    from ..core.errors import Diverged

    weights = dict(model.weights())
    mean, covariance = np.array(weights["mean"]), weights["covariance"]
    inverse = np.diag(1 / covariance) if covariance.ndim == 1 else np.linalg.inv(covariance)
    kept, lost = (np.average(one.data, axis=0, weights=one.weights) for one in (target.keep, target.forget))
    batch = options.batch or len(target.forget)
    steps = replace(run, images_seen=options.images_seen).steps(batch)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            mean = mean - options.learning_rate * inverse @ (retain * (mean - kept) - alpha * (mean - lost))
    if not np.isfinite(mean).all():
        raise Diverged(steps * batch, float("nan"))
    return model.with_weights(weights | {"mean": mean})
