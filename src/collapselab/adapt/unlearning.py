"""A trained denoiser that forgets what it is told to: the methods of the papers, by their options.

Each moves the weights by a loss of its own (:mod:`forgetting`), on two batches a step: rows to forget and rows to keep.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from ..core.facts import Facts
from ..core.run import Run
from ..core.sets import TrainingSet
from ..models.gaussian import Gaussian
from .base import Adapted, Given
from .erasing import ATTACKED, climbed, told, wanted
from .targets import Forget, Target, asked_before, unfit
from .tuning import ASKS, TuningOptions


class UnlearnOptions(TuningOptions):
    """What is forgotten, and how much what is kept counts beside it."""

    forget: Forget = Field(description="what is to be forgotten")
    attacked: int = Field(0, ge=0, description=ATTACKED)
    images_seen: int = Field(
        ge=1, description="budget, in rows to forget; as many rows to keep are seen beside them where they count"
    )
    retain: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="weight of the training's loss on the rows that are kept"
    )


class ESDOptions(UnlearnOptions):
    """How far the prediction with the class is moved away from it."""

    eta: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="1: the class becomes as no class; above: it is led away from what it was",
    )
    steps: int = Field(10, ge=2, description="steps in which the model as it was makes the noisy rows")


class SelectiveAmnesiaOptions(UnlearnOptions):
    """How hard the weights are held, and what is replayed."""

    retain: float = Field(1.0, ge=0, allow_inf_nan=False, description="gamma: weight of the replayed rows' loss")
    strength: float = Field(
        10.0, ge=0, allow_inf_nan=False, description="lambda: weight of the squared way of the weights, by their Fisher"
    )
    fisher_rows: int = Field(200, ge=1, description="rows of which the Fisher information is estimated")
    fisher_levels: int = Field(16, ge=1, description="noise levels over which a row's loss is a mean there")
    replayed: int = Field(
        0, ge=0, description="own samples that are replayed, of the classes that stay; 0: the kept rows of the training"
    )


class SalUnOptions(UnlearnOptions):
    """Which weights may move, and how much what is kept counts."""

    retain: float = Field(
        1e-3, ge=0, allow_inf_nan=False, description="alpha: weight of the training's loss on the rows that are kept"
    )
    moving: float = Field(
        0.5, gt=0, le=1, description="share of the weights that move: those whose gradient is largest; 0.5: the median"
    )
    mask_rows: int = Field(512, ge=1, description="rows to forget, in noise, whose mean gradient says so")


class EraseDiffOptions(UnlearnOptions):
    """How fast the forgetting objective has to fall."""

    retain: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="weight of the training's loss on the rows that are kept"
    )
    eta: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="the forgetting objective falls at least eta |its gradient|^2"
    )


class NegGradOptions(UnlearnOptions):
    """How much forgetting counts beside keeping."""

    retain: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="weight of the training's loss on the rows that are kept"
    )
    alpha: float = Field(
        0.1, ge=0, allow_inf_nan=False, description="weight of the forgotten rows' loss, which grows; below retain"
    )


def esd(model: Any, given: Given, options: ESDOptions, run: Run) -> Adapted:
    """The class is told as ``D(x, c) - eta (D(x, c) - D(x, none))`` of the model as it was.

    Gandikota et al. 2023 (Erased Stable Diffusion, https://arxiv.org/abs/2303.07345), equation 7, of denoised rows,
    which are linear in their noise. x comes of the model as it was: Euler's steps of its probability-flow ODE with the
    class, up to a random one. eta 1 makes the class what no class is, and of equal variances eta 2 reflects its mean
    at the mean of all. Only a class can be erased, of a model that was also trained without. Raises ValueError for
    others.
    """
    from .forgetting import Erased

    target = wanted(given, options)
    _expect(no_class(model.options, target.label, "esd"))
    return _moved(Erased, model, given, options, run, target)


def selective_amnesia(model: Any, given: Given, options: SelectiveAmnesiaOptions, run: Run) -> Adapted:
    """What is forgotten becomes uniform noise, and the weights are held by their Fisher information.

    Heng and Soh 2023 (Selective Amnesia, https://arxiv.org/abs/2305.10120), equation 5 with the surrogate of section
    4.2: the training's loss on uniform noise in [-1, 1] under the forgotten labels
    + lambda / 2 sum_i F_i (theta_i - theta*_i)^2 + gamma the training's loss on replayed rows. F: the mean over rows of
    the squared gradient of a row's loss, itself a mean over noise levels. A maximum of the forgotten rows' loss, which
    has none, is not asked for. Of own samples that are replayed those are left out that this request or an earlier one
    asks to forget; raises ValueError where none is left.
    """
    from .forgetting import Amnesiac

    target = wanted(given, options)
    if options.replayed:
        _expect(no_class(model.options, target.label, "selective_amnesia with replayed"))
        own = given.own(options.replayed)
        rows = (own.labels != target.label) & ~asked_before(given, options.forget, own)
        if not rows.any():
            raise ValueError(
                f"replayed: all of the {len(own)} own samples are what is to be forgotten, now or by an earlier "
                "request; asked is one at least of what stays: say a larger number"
            )
        target = target._replace(keep=TrainingSet(own.data[rows], own.labels[rows], np.ones(rows.sum())))
    return _moved(Amnesiac, model, given, options, run, target)


def salun(model: Any, given: Given, options: SalUnOptions, run: Run) -> Adapted:
    """Forgotten rows are told as another class, by those weights alone that matter for them.

    Fan et al. 2023 (SalUn, https://arxiv.org/abs/2310.12508), equations 3 to 6: the mask m = 1[|g| >= its quantile] of
    the gradient g of the forgotten rows' loss at the weights as they were; and
    E |D(x, c) - D_before(x, c')|^2 w(sigma) + alpha (the training's loss on what is kept), c' an even draw of the other
    classes. D_before is the model as it was, so that the aim does not move. Raises ValueError for a model without
    classes.
    """
    from .forgetting import Salient

    target = wanted(given, options)
    _expect(without_others(model.options))
    return _moved(Salient, model, given, options, run, target)


def erasediff(model: Any, given: Given, options: EraseDiffOptions, run: Run) -> Adapted:
    """What is kept is learnt, under the condition that what is forgotten becomes noise.

    Wu et al. 2024 (EraseDiff, https://arxiv.org/abs/2401.05779), algorithm 1: of the forgotten rows the noise that is
    asked for is uniform in [0, 1] in the place of the true one, L_f its loss; a step is along g_r + mu g_f with
    mu = max(0, (eta |g_f|^2 - g_f' g_r) / |g_f|^2), by which L_f falls at least eta |g_f|^2 to first order. The inner
    optimum of L_f is held constant. Adam takes the step.
    """
    from .forgetting import Diffused

    return _moved(Diffused, model, given, options, run, wanted(given, options))


def ascent(model: Any, given: Given, options: UnlearnOptions, run: Run) -> Adapted:
    """The training's loss on what is forgotten grows, without an end: a reference that destroys the model.

    A Gaussian's mean takes plain steps (:func:`erasing.climbed`) of rate e: mu_k = m_f + (mu_0 - m_f) (1 + e / v)^k.
    """
    from .forgetting import Ascending

    target = wanted(given, options)
    if isinstance(model, Gaussian):
        climbed_to = climbed(model, target, options, run, options.retain, 1.0)
        return told(model, climbed_to, given, target, options, run)
    return _moved(Ascending, model, given, options, run, target)


def neggrad(model: Any, given: Given, options: NegGradOptions, run: Run) -> Adapted:
    """The training's loss falls on what is kept while it grows on what is forgotten: L_r - alpha L_f (NegGrad+).

    Kurmanji et al. 2023 (https://arxiv.org/abs/2302.09880), section 5. Of a Gaussian's mean the optimum is
    (m_r - alpha m_f) / (1 - alpha), which there is for alpha < 1 alone: a reference. It takes plain steps there.
    """
    from .forgetting import Contrary

    target = wanted(given, options)
    if isinstance(model, Gaussian):
        climbed_to = climbed(model, target, options, run, options.retain, options.alpha)
        return told(model, climbed_to, given, target, options, run)
    return _moved(Contrary, model, given, options, run, target)


def two_batches(options: UnlearnOptions) -> int:
    """Rows to forget, and as many to keep where they count."""
    return options.images_seen * (2 if options.retain else 1)


def amnesia_images(options: SelectiveAmnesiaOptions) -> int:
    """Both batches, and the rows of the Fisher information."""
    return two_batches(options) + options.fisher_rows * options.fisher_levels


def salun_images(options: SalUnOptions) -> int:
    """Both batches, and the rows of the mask."""
    return two_batches(options) + options.mask_rows


def unclassed(family: type, options: UnlearnOptions) -> str:
    """A family that knows no classes by number, and cannot be told them."""
    if "classes" not in family.Options.model_fields:
        return "forget: its family is told no classes by number; allowed: diffusion and those like it"
    return ""


def unsteppable(family: type, options: UnlearnOptions) -> str:
    """A family that is neither Gaussian nor a denoiser that knows classes by number."""
    if family is Gaussian:
        return f"rank: found {options.rank}; a mean moves as a whole: 0" if options.rank else ""
    if not all(issubclass(family, one) for one in ASKS):
        return "forget: its family is neither gaussian nor a denoiser that is trained in steps"
    return unclassed(family, options)


def whole(family: type, options: UnlearnOptions) -> str:
    """Updates of low rank, where single weights are held or masked."""
    if options.rank:
        return f"rank: found {options.rank}; single weights are held or left out, which has a meaning for 0 alone"
    return unclassed(family, options)


def no_class(of: Any, label: int | None, who: str) -> str:
    """What keeps a class from being forgotten by its name: no class, or a model of the options ``of`` that does not
    know it or was never trained without one."""
    classes, dropped = getattr(of, "classes", 0), getattr(of, "label_dropout", 0)
    if label is not None and label < classes and dropped:
        return ""
    said = "a target that is no class" if label is None else f"class {label}"
    known = f"a model of {classes} classes with label_dropout {dropped:g}"
    allowed = "a class of a model that knows it, and that was trained without a class, too"
    return f"forget: found {said} of {known}; {who} asks for {allowed}"


def without_others(of: Any) -> str:
    """A model that knows no second class."""
    if getattr(of, "classes", 0) >= 2:
        return ""
    return "forget: salun tells what is forgotten as another class, and the model knows none"


def esd_unfit(facts: Facts, of: Any, options: ESDOptions) -> str:
    """Anything but a class that the model can be asked with and without."""
    return no_class(of, options.forget.class_, "esd") or unfit(facts, of, options)


def amnesia_unfit(facts: Facts, of: Any, options: SelectiveAmnesiaOptions) -> str:
    """With own samples that are replayed anything but such a class."""
    replays = no_class(of, options.forget.class_, "selective_amnesia with replayed") if options.replayed else ""
    return replays or unfit(facts, of, options)


def salun_unfit(facts: Facts, of: Any, options: SalUnOptions) -> str:
    """A model without another class."""
    return without_others(of) or unfit(facts, of, options)


def _expect(message: str) -> None:
    """Raise ValueError for what does not fit."""
    if message:
        raise ValueError(message)


def _moved(rule: type, model: Any, given: Given, options: UnlearnOptions, run: Run, target: Target) -> Adapted:
    """The model after the tuning by a rule, one of :mod:`forgetting`."""
    from ..engine.checkpoint import identity
    from .denoising import moved_by

    forgotten, kept = model.seen(target.forget), model.seen(target.keep)
    digest = identity({"data": forgotten.data, "labels": forgotten.labels})
    run = replace(run, images_seen=options.images_seen, beside={**run.beside, "forgotten": digest})

    def made(task: Any, how: Any, run: Run) -> Any:
        return rule(task, how, run, forgotten, kept, target.label)

    moved, _ = moved_by(made, model, target.keep, options, run)
    return told(model, moved, given, target, options, run)
