"""A model that learns new data while what mattered for the old ones is held fast: elastic weight consolidation."""

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from ..core.run import Run
from ..core.sets import TrainingSet
from ..models.capabilities import Denoises, Trainable, Weighted
from ..models.linear_regression import LinearRegression
from .base import Adapted, Given
from .tuning import TuningOptions


class EwcOptions(TuningOptions):
    """How hard the weights are held, and how the information of the old rows about them is estimated."""

    images_seen: int = Field(
        0, ge=0, description="budget, in images that the loss sees; 0 for linear-regression, which a formula fits"
    )
    strength: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="lambda in its natural unit: 1 weighs the old rows as many times as there are of them, which is "
        "joint training as far as their loss is a parabola with these axes; 0 lets go",
    )
    passes: int = Field(4, ge=1, description="times that each old row is looked at for the information, each in noise")


def ewc(model: Any, given: Given, options: EwcOptions, run: Run) -> Adapted:
    """The minimum of L(theta) + (lambda / 2) sum_i I_i (theta_i - theta*_i)^2, from theta*, the model as it is given.

    L: the sum of the losses of the rows of ``given.training``. I: the information of the rows of all of
    ``given.earlier`` about the weights, n_old times their mean Fisher information, so that lambda = 1 is the second
    order of joint training (Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796, equation 3; one penalty about
    the last model with the sum of all information: Huszár 2017, https://arxiv.org/abs/1712.03847).

    Of a denoiser the information is the diagonal of the generalised Gauss-Newton matrix at the model of each earlier
    generation, as it would have been stored then; of a linear regression the whole matrix X'X, with which lambda = 1 is
    joint training exactly. facts: ``old_rows``, and of a denoiser ``information``, its mean over the weights by row.
    Raises ValueError for other numbers of earlier training sets than of models.
    """
    if given.ancestors and len(given.ancestors) != len(given.earlier):
        found = f"{len(given.earlier)} training sets of {len(given.ancestors)} earlier models"
        raise ValueError(f"earlier: found {found}; asked is one of each")
    rows = sum(map(len, given.earlier))
    if isinstance(model, LinearRegression):
        return Adapted(_exactly(model, given, options), {"old_rows": rows})
    from .continuing import consolidated

    tuned, information = consolidated(model, given, options, run)
    return Adapted(tuned, {"old_rows": rows, "information": information / max(rows, 1)})


def _exactly(model: LinearRegression, given: Given, options: EwcOptions) -> LinearRegression:
    """(X'X + lambda I)^-1 (X'y + lambda I w*) with I = sum of the old sets' X'X; of least norm where it is singular."""
    new, moment = _squares(given.training)
    old = sum((_squares(one)[0] for one in given.earlier), np.zeros_like(new)) * options.strength
    w = np.linalg.lstsq(new + old, moment + old @ model.coefficients)[0]
    # How samples get their inputs is as after a fit to the new rows.
    return replace(LinearRegression.fit(given.training, model.options, Run(0)), coefficients=w)


def _squares(training: TrainingSet) -> tuple[np.ndarray, np.ndarray]:
    """X'X (d, d) and X'y (d,) of rows [x, y], each with its weight."""
    rows = np.asarray(training.data, np.float64)
    x = rows[:, :-1] * training.weights[:, None]
    return x.T @ rows[:, :-1], x.T @ rows[:, -1]


def unsuited(family: type, options: EwcOptions) -> str:
    """A family of which the information is not known here, and a budget for a formula or none for a network."""
    if family is LinearRegression:
        found = f"images_seen: found {options.images_seen}; linear-regression is fitted by a formula, without a budget"
        return f"{found}: 0" if options.images_seen else ""
    if not all(issubclass(family, one) for one in (Trainable, Denoises, Weighted)):
        return "strength: found a family that is neither a denoiser that is trained nor linear-regression"
    return "" if options.images_seen else "images_seen: found 0; a network learns in steps: say how many images it sees"
