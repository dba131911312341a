"""Which laws hold for loops of generalised linear models, and the curves that they give: counts, and regressions whose
fit is penalised or has no closed form.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from .counts import rate_extinction, rate_w2
from .laws import ACCUMULATE, EXTRACTOR, FRESH, ONE_SET, REPLACE, plan_of
from .logistic import ENDLESS, logistic_error
from .recursion import regime_moments
from .regression import regression_error_accumulate, regression_error_replace
from .ridge import ridge_risk
from .setting import Prediction, Setting, unequal_weights

# -- counts -----------------------------------------------------------------------------------------------------------


def _rates(setting: Setting) -> np.ndarray | None:
    return setting.truth.rates if setting.population == "poisson" else None


def count_drift(setting: Setting) -> Prediction | None:
    """``mean_drift``: D, by the exact recursion of any regime that eats its own samples."""
    return _of_counts(setting, "mean_drift")


def count_variance(setting: Setting) -> Prediction | None:
    """``variance_ratio``: 1 in every regime, since a rate that is fitted stays on average."""
    return _of_counts(setting, "variance_ratio")


def _of_counts(setting: Setting, metric: str) -> Prediction | None:
    subsamples = setting.regime.pool.mode == "subsample"
    if _rates(setting) is None or (subsamples and unequal_weights(setting)):
        return None
    plan, n = plan_of(setting), setting.regime.initial.real
    moments = regime_moments(setting.regime, setting.generations, 0, setting.samples, of_counts=True)
    if metric == "variance_ratio":
        note = f"variance V of counts is their mean, which stays on average: {plan.words}"
        return Prediction("regime_moments", metric, EXTRACTOR, moments.variance, None, "equal", note, 1.0)
    limit = {REPLACE: math.inf, ONE_SET: 1 / n, ACCUMULATE: math.pi**2 / 6 / n}.get(plan)
    if plan == FRESH and setting.generations >= 1:
        one = regime_moments(setting.regime, 400, 0, setting.samples, of_counts=True).drift
        limit = float(one[-1]) if math.isclose(one[-1], one[200], rel_tol=1e-9) else None
    note = f"drift D of counts: {plan.words}"
    return Prediction("regime_moments", metric, EXTRACTOR, moments.drift, None, "equal", note, limit)


def _count_loop(setting: Setting) -> tuple[int, int, np.ndarray] | None:
    """Generations, n and rates of an arm that is replace, or one fit for ever, of which there is generation 0 alone."""
    rates, plan = _rates(setting), plan_of(setting)
    if rates is None or plan not in (REPLACE, ONE_SET):
        return None
    return setting.generations if plan == REPLACE else 0, setting.regime.initial.real, rates


def count_survivors(setting: Setting) -> Prediction | None:
    """``surviving_dimensions``: how many rates are above 0, by the branching process of the counts."""
    if (loop := _count_loop(setting)) is None:
        return None
    lost, everywhere = rate_extinction(*loop), np.ones(setting.generations + 1)
    sd = np.sqrt((lost * (1 - lost)).sum(axis=1)) * everywhere
    note = "rates above 0, by the branching process of their counts (Suresh et al. 2024)"
    limit = 0.0 if plan_of(setting) == REPLACE else None
    mean = (1 - lost).sum(axis=1) * everywhere
    known = sd if (sd > 0).all() else None  # of rates that none has lost yet nothing varies
    return Prediction("rate_extinction", "surviving_dimensions", EXTRACTOR, mean, known, "equal", note, limit)


def count_distance(setting: Setting) -> Prediction | None:
    """``frechet_distance``: by the drift of the rates and the fall of their roots, the standard deviations."""
    if (loop := _count_loop(setting)) is None:
        return None
    mean = rate_w2(*loop) * np.ones(setting.generations + 1)
    note = "drift and the fall of the standard deviation, D + 2 (r - sqrt(r) E sqrt(r_t)) of each rate"
    limit = math.inf if plan_of(setting) == REPLACE else float(mean[-1])
    return Prediction("rate_w2", "frechet_distance", EXTRACTOR, mean, None, "equal", note, limit)


# -- logistic regression ----------------------------------------------------------------------------------------------


def logistic(setting: Setting) -> Prediction | None:
    """``regression_error`` of replace, of one fit and of accumulate, to first order in 1/n."""
    plan, n, truth = plan_of(setting), setting.regime.initial.real, setting.truth
    if setting.population != "logistic-regression" or setting.options["penalty"] or plan not in ENDS:
        return None
    first = logistic_error(0, n, truth.coefficients)
    mean = logistic_error(setting.generations, n, truth.coefficients, plan == ACCUMULATE)
    mean = mean if plan != ONE_SET else first + 0 * mean
    note = f"4 tr I(w) / n times {ENDS[plan][0]}, to first order in 1/n (Dey and Donoho 2024)"
    limit = float(first[0]) * ENDS[plan][1]
    return Prediction("logistic_error", "regression_error", EXTRACTOR, mean, None, "large", note, limit)


ENDS = {REPLACE: ("t", math.inf), ONE_SET: ("1", 1.0), ACCUMULATE: ("the sum of 1 / i^2", ENDLESS)}

# -- ridge regression -------------------------------------------------------------------------------------------------


def ridge(setting: Setting) -> Prediction | None:
    """``regression_error`` of inputs of the truth's spectrum: without a penalty exactly, with one of many rows."""
    options, truth = setting.options, setting.truth
    if setting.population != "power-law-regression" or options["spectrum"] != truth.options.spectrum:
        return None  # inputs of another spectrum than those that the error is told on
    return _penalised(setting) if options["penalty"] else _least_squares(setting)


def _noises(setting: Setting) -> tuple[float, float]:
    return setting.truth.options.noise_sd**2, setting.options["noise_sd"] ** 2


def _least_squares(setting: Setting) -> Prediction | None:
    plan, n, d = plan_of(setting), setting.regime.initial.real, setting.truth.options.dimension
    if n <= d + 1 or plan not in (REPLACE, ONE_SET, ACCUMULATE):
        return None
    bound: Literal["equal", "upper"] = "equal"
    law, mean = "regression_error_replace", regression_error_replace(setting.generations, n, d, *_noises(setting))
    note, limit = "t d / (n - d - 1), whatever the spectrum is", math.inf if _noises(setting)[1] else None
    if plan == ONE_SET:
        mean, note, limit = mean[:1] + 0 * mean, "d / (n - d - 1)", float(mean[0])
    if plan == ACCUMULATE:
        law, mean = (
            "regression_error_accumulate",
            regression_error_accumulate(setting.generations, n, d, *_noises(setting)),
        )
        bound, note, limit = "upper", "at most d / (n - d - 1) times the sum of 1 / i^2", None
    note = f"error {note} in units of the noise (Dohmatob et al. 2024)"
    return Prediction(law, "regression_error", EXTRACTOR, mean, None, bound, note, limit)


def _penalised(setting: Setting) -> Prediction | None:
    plan, truth = plan_of(setting), setting.truth
    if plan not in (REPLACE, ONE_SET):
        return None
    variances = truth.moments()[1].diagonal()[:-1]
    last, one = setting.generations if plan == REPLACE else 0, (setting.regime.initial.real, setting.options["penalty"])
    mean = ridge_risk(last, *one, variances, truth.coefficients, *_noises(setting)).error
    mean = mean * np.ones(setting.generations + 1)
    note = "bias, the last labels' noise and that of all before, for many rows (Dohmatob et al. 2024)"
    limit = float(mean[0]) if plan == ONE_SET else None
    return Prediction("ridge_risk", "regression_error", EXTRACTOR, mean, None, "large", note, limit)


GLM: dict[str, tuple[Callable[[Setting], Prediction | None], ...]] = {
    "poisson": (count_drift, count_variance, count_survivors, count_distance),
    "logistic-regression": (logistic,),
    "ridge-regression": (ridge,),
}
