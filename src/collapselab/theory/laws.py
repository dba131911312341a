"""Which laws hold for an arm, and the curves that they give it.

An arm is matched by what its training sets are made of, whatever it is called; one that no law covers exactly gets no
prediction. Each law gives the expected curve of one endpoint: a metric of the exact moments of the models (extractor
``moments``) against those of the known truth.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from ..compose.regimes import REGIMES, Initial, Real, Regime, Synthetic, at, recipe
from .gaussian import (
    replace_deviations,
    replace_log_determinant,
    replace_log_determinant_variance,
    replace_log_variance,
    replace_w2,
)
from .kernels import kernel_rule
from .limits import accumulated_limit, recursion_limit, replace_limit, subsampled_limit
from .moments import Moments
from .multinomial import heterozygosity, laplace_homozygosity, laplace_homozygosity_limit, laplace_shares, survivors
from .naive_bayes import independent_homozygosity
from .recursion import regime_moments
from .regression import regression_error_accumulate, regression_error_replace
from .setting import Prediction, Setting, unequal_weights
from .smoothed import hallucinations, precision

EXTRACTOR = "moments"
LEAST_ALPHA = 0.05  # below it a share that is drawn may be less than any float64 number above 0
LARGEST_CHAIN = 2000  # rows up to which the chance of extinction is computed: its chain has a matrix of rows^2 numbers


# -- how an arm is made up --------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """law: the function of ``theory`` that has the moments of such a regime. words: the regime, for a note."""

    law: str
    words: str


ONE_SET = Plan("regime_moments", "one fit to real rows, for ever")
REPLACE = Plan("replace_moments", "samples of the last model alone (Shumailov et al. 2024)")
FRESH = Plan("fresh_moments", "new real rows beside samples of the last model (Alemohammad et al. 2023)")
AUGMENTATION = Plan("augmentation_moments", "the same real rows beside samples of the last model")
ACCUMULATE = Plan("accumulate_moments", "all rows so far are kept (Gerstgrasser et al. 2024)")
SUBSAMPLE = Plan("accumulate_subsample_moments", "a subsample of all rows so far (Kazdan et al. 2024)")
OTHER = Plan("regime_moments", "the exact recursion of this regime")


def _makeup(regime: Regime, generations: int) -> Iterator[tuple]:
    """What a law depends on of every training set: two regimes of one makeup have one law."""
    for generation in range(generations + 1):
        one = recipe(regime, "self", generation)
        yield one.draws, one.budget, one.keeps_rows, one.weights


def plan_of(setting: Setting) -> Plan:
    """By what its training sets are made of, whether a preset named it or the algebra."""
    found, n = list(_makeup(setting.regime, setting.generations)), setting.regime.initial.real
    # A budget below the set would draw other rows of it in every generation.
    if all(one[0] == found[0][0] and (one[1] is None or one[1] >= n) for one in found):
        return ONE_SET
    real, eaten = (sum(draw.count for draw in found[1][0] if draw.is_real == is_real) for is_real in (True, False))
    redrawn = Regime(initial=Initial(real=n), real=Real(redrawn=real), synthetic=[Synthetic(n=eaten)])
    known = [
        (REPLACE, REGIMES["fully_synthetic"](n=n, initial=n)),
        (FRESH, REGIMES["fresh_data"](n=real + eaten, initial=n, fresh=real)),
        (FRESH, redrawn),
        (AUGMENTATION, REGIMES["synthetic_augmentation"](n=n + eaten, initial=n, fixed=n)),
        (ACCUMULATE, REGIMES["accumulate"](n=n, initial=n)),
        (SUBSAMPLE, REGIMES["accumulate_subsample"](n=n, initial=n)),
    ]
    for plan, regime in known:
        if all(one == other for one, other in zip(found, _makeup(regime, setting.generations), strict=True)):
            return plan
    return OTHER


def biases_of(setting: Setting) -> set[float]:
    return {at(setting.sampling_bias, generation) for generation in range(setting.generations + 1)}


# -- families that have the mean and the variance of their rows --------------------------------------------------------


class _Recursion(NamedTuple):
    """What the recursion of a regime's moments depends on beside the regime."""

    ddof: int
    samples: int
    sampling_bias: float | dict[int, float]
    kernel: float | Callable[[float], float]


def _recursion(setting: Setting) -> _Recursion | None:
    """Of drift and variance in units of the truth's total variance; it holds for a truth of any shape.

    A mixture has the moments of its rows after every step of EM, whatever its components are, and the regularisation
    on top; principal components with their noise keep the trace.
    """
    truth, options, pool = setting.truth, setting.options, setting.regime.pool
    if getattr(truth, "gives", None) != "vectors" or not hasattr(truth, "moments"):
        return None
    if unequal_weights(setting) and (pool.mode == "subsample" or setting.family == "gmm"):
        return None
    spectrum = _spectrum(setting)
    per_dimension = len(spectrum) / spectrum.sum()
    if setting.family == "kde":
        width = options["bandwidth"]
        rule = isinstance(width, str)
        ddof, kernel = 0, kernel_rule(width, len(spectrum)) if rule else width**2 * per_dimension
    elif setting.family == "gmm":
        ddof, kernel = 0, options["regularisation"] * per_dimension
    else:
        ddof, kernel = options["ddof"], 0.0
    if setting.family in ("kde", "gmm") and biases_of(setting) != {1.0}:
        return None
    if setting.family == "ppca" and options["noise"] != "keep":
        return None
    return _Recursion(ddof, setting.samples, setting.sampling_bias, kernel)


def _limit(setting: Setting, plan: Plan, one: _Recursion) -> Moments | None:
    """What drift and variance tend to; None where that is not known."""
    n, biases = setting.regime.initial.real, biases_of(setting)
    if plan == ONE_SET:
        found = regime_moments(setting.regime, 0, *one)
        return Moments(float(found.drift[0]), float(found.variance[0]))
    plain = one.kernel == 0.0 and len(biases) == 1
    if plan == REPLACE:
        return replace_limit(n, one.ddof, *biases) if plain else None
    if plan == ACCUMULATE:
        return accumulated_limit(n, one.ddof) if plain and biases == {1.0} else None
    if plan == SUBSAMPLE:
        return subsampled_limit(n) if plain and biases == {1.0} and one.ddof == 0 else None
    return recursion_limit(setting.regime, *one)


def drift(setting: Setting) -> Prediction | None:
    """``mean_drift``: D, by the exact recursion of any regime that eats its own samples."""
    if (one := _recursion(setting)) is None:
        return None
    plan, spread, moments = plan_of(setting), _gaussian_deviations(setting), _curves(setting, one)
    law, note = plan.law if setting.family in ("gaussian", "ppca") else "regime_moments", f"drift D: {plan.words}"
    limit = (found := _limit(setting, plan, one)) and found.drift
    return Prediction(law, "mean_drift", EXTRACTOR, moments.drift, spread and spread.drift, "equal", note, limit)


def variance(setting: Setting) -> Prediction | None:
    """``variance_ratio``: V, by the exact recursion of any regime that eats its own samples."""
    if (one := _recursion(setting)) is None:
        return None
    plan, spread, moments = plan_of(setting), _gaussian_deviations(setting), _curves(setting, one)
    law, note = plan.law if setting.family in ("gaussian", "ppca") else "regime_moments", f"variance V: {plan.words}"
    limit = (found := _limit(setting, plan, one)) and found.variance
    if setting.family == "kde":
        note = f"{note}; every kernel adds variance"
        if plan == REPLACE:
            law = "kde_rule_variance" if isinstance(setting.options["bandwidth"], str) else "kde_variance"
    sd = spread and spread.variance
    return Prediction(law, "variance_ratio", EXTRACTOR, moments.variance, sd, "equal", note, limit)


def _curves(setting: Setting, one: _Recursion) -> Moments:
    return regime_moments(setting.regime, setting.generations, *one)


# -- the Gaussian family ----------------------------------------------------------------------------------------------


def _normal_loop(setting: Setting) -> tuple[int, int, int, float] | None:
    """Generations, n, ddof and bias of an arm for the laws of a normal truth: replace, or one fit for ever.

    Of one fit the laws have generation 0 alone, which is that of every generation.
    """
    plan, n = plan_of(setting), setting.regime.initial.real
    normal = setting.family == setting.population == "gaussian" and n > 1
    if not normal or plan not in (REPLACE, ONE_SET) or len(biases_of(setting)) > 1:
        return None
    (bias,) = biases_of(setting)
    return setting.generations if plan == REPLACE else 0, n, setting.options["ddof"], bias


def _gaussian_deviations(setting: Setting) -> Moments | None:
    """Standard deviations of drift and variance of one replicate, where :func:`_normal_loop` covers the arm."""
    if (loop := _normal_loop(setting)) is None:
        return None
    spectrum, everywhere = _spectrum(setting), np.ones(setting.generations + 1)
    if setting.options["covariance"] == "full":
        found, scale = replace_deviations(*loop, spectrum), everywhere
    else:
        found, scale = replace_deviations(*loop), everywhere * np.sqrt((spectrum**2).sum()) / spectrum.sum()
    return Moments(scale * found.drift, scale * found.variance)


def _spectrum(setting: Setting) -> np.ndarray:
    return np.linalg.eigvalsh(setting.truth.moments()[1])


def gaussian_distance(setting: Setting) -> Prediction | None:
    """``frechet_distance``: the squared Wasserstein distance of replace and of one fit, where dimensions do not mix."""
    if (loop := _normal_loop(setting)) is None:
        return None
    spectrum = _spectrum(setting)
    if setting.options["covariance"] == "full" and len(spectrum) > 1:
        return None
    mean = replace_w2(*loop) * spectrum.sum() * np.ones(setting.generations + 1)
    note = "squared Wasserstein distance D + V - 2 E sd + 1 (first order 3t / 2n, Shumailov et al. 2024)"
    # Of replace the expected deviation goes to 0 wherever the expected variance does not grow.
    _, n, ddof, bias = loop
    end = replace_limit(n, ddof, bias)
    limit = float(mean[-1]) if plan_of(setting) == ONE_SET else (end.drift + end.variance + 1) * float(spectrum.sum())
    return Prediction("replace_w2", "frechet_distance", EXTRACTOR, mean, None, "equal", note, limit)


def gaussian_determinant(setting: Setting) -> Prediction | None:
    """``log_determinant_ratio``: the typical variance per dimension of replace and of one fit, and its spread."""
    if (loop := _normal_loop(setting)) is None:
        return None
    generations, n, ddof, bias = loop
    d, everywhere = len(_spectrum(setting)), np.ones(setting.generations + 1)
    note = "log variance per dimension: it falls at a rate of about 1/n even where the mean variance stays"
    if setting.options["covariance"] == "diagonal":
        law, (mean, variance) = "replace_log_variance", replace_log_variance(*loop)
        sd = np.sqrt(variance / d)
    elif n > d:
        law, mean = "replace_log_determinant", replace_log_determinant(generations, n, ddof, d, bias) / d
        sd = np.sqrt(replace_log_determinant_variance(generations, n, d)) / d
    else:
        return None
    return Prediction(law, "log_determinant_ratio", EXTRACTOR, mean * everywhere, sd * everywhere, "equal", note)


# -- the multinomial family -------------------------------------------------------------------------------------------


def true_shares(setting: Setting) -> np.ndarray | None:
    """The true shares, where the family has as many categories and samples them as they are."""
    shares, options = getattr(setting.truth, "probabilities", None), setting.options
    cuts = options.get("top_k") is not None or options.get("top_p", 1.0) < 1
    if shares is None or not hasattr(setting.truth, "moments") or biases_of(setting) != {1.0} or cuts:
        return None
    size = options["categories"] if "categories" in options else math.prod(options["levels"] or ())
    return shares if len(shares) == size else None


def is_smoothed(setting: Setting) -> bool:
    return setting.options["alpha"] > 0 or setting.options["estimate"] != "mean"


def multinomial_drift(setting: Setting) -> Prediction | None:
    """``mean_drift``: E sum (p_t - p)^2 / H_0."""
    return _of_shares(setting, "mean_drift")


def multinomial_diversity(setting: Setting) -> Prediction | None:
    """``variance_ratio``: E H_t / H_0, H the chance that two draws differ."""
    return _of_shares(setting, "variance_ratio")


def _of_shares(setting: Setting, metric: str) -> Prediction | None:
    truth, plan = true_shares(setting), plan_of(setting)
    if truth is None:
        return None
    unit, what = heterozygosity(truth), "diversity H / H_0" if metric == "variance_ratio" else "drift of shares"
    if is_smoothed(setting):
        if plan != REPLACE:
            return None
        alpha, estimate = setting.options["alpha"], setting.options["estimate"]
        one = setting.generations, setting.regime.initial.real, alpha, truth
        same = laplace_homozygosity(*one, estimate)
        apart = same - 2 * laplace_shares(*one) @ truth + np.sum(truth**2)
        mean = (1 - same if metric == "variance_ratio" else apart) / unit
        note = f"{what}: smoothing is mutation (Griffiths and Kalish 2007)"
        limit = None
        if alpha > 0:  # it forgets the truth: the expected shares end equal
            end = laplace_homozygosity_limit(setting.regime.initial.real, alpha, len(truth), estimate)
            limit = (1 - end if metric == "variance_ratio" else end - 2 / len(truth) + np.sum(truth**2)) / unit
        return Prediction("laplace_homozygosity", metric, EXTRACTOR, mean, None, "equal", note, limit)
    if unequal_weights(setting) and setting.regime.pool.mode == "subsample":
        return None
    moments = regime_moments(setting.regime, setting.generations, 0, setting.samples)
    law = "replace_heterozygosity" if plan == REPLACE and metric == "variance_ratio" else plan.law
    end = _limit(setting, plan, _Recursion(0, setting.samples, 1.0, 0.0))
    mean, limit = (
        (moments.variance, end and end.variance) if metric == "variance_ratio" else (moments.drift, end and end.drift)
    )
    return Prediction(law, metric, EXTRACTOR, mean, None, "equal", f"{what}: {plan.words}", limit)


def multinomial_survivors(setting: Setting) -> Prediction | None:
    """``surviving_categories``: exact for one fit and for replace; smoothing lets none die.

    Draws from the posterior add their own chance to that of the counts: without smoothing their loop is another chain.
    """
    truth, n = true_shares(setting), setting.regime.initial.real
    if truth is None or n > LARGEST_CHAIN:
        return None
    everywhere, alpha = np.ones(setting.generations + 1), setting.options["alpha"]
    if 0 < alpha < LEAST_ALPHA and setting.options["estimate"] != "mean":
        return None
    if alpha > 0:
        law, mean, note = "laplace_shares", len(truth) * everywhere, "smoothing lets no category die"
    elif plan_of(setting) == ONE_SET:
        law, mean, note = "survivors", survivors(0, n, truth) * everywhere, "sum of 1 - (1 - p)^n: one fit"
    elif plan_of(setting) == REPLACE and not is_smoothed(setting):
        law, mean = "survivors", survivors(setting.generations, n, truth)
        note = "categories left, by the chain of their counts (Wright and Fisher)"
    else:
        return None
    return Prediction(law, "surviving_categories", EXTRACTOR, mean, None, "equal", note)


# -- naive Bayes ------------------------------------------------------------------------------------------------------


def _marginals(setting: Setting) -> list[np.ndarray] | None:
    """The true shares of each feature, where features are independent in truth, unsmoothed, and the arm is replace."""
    shares, levels = true_shares(setting), setting.options["levels"]
    if shares is None or setting.options["alpha"] > 0 or plan_of(setting) != REPLACE:
        return None
    table = np.reshape(shares, levels)
    axes = range(len(levels))
    marginals = [table.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes]
    product = functools.reduce(np.multiply.outer, marginals)
    return marginals if np.allclose(product, table, rtol=0, atol=1e-12) else None


def independent_drift(setting: Setting) -> Prediction | None:
    """``mean_drift``: E sum (p_t - p)^2 / H_0 over all combinations."""
    return _of_combinations(setting, "mean_drift")


def independent_diversity(setting: Setting) -> Prediction | None:
    """``variance_ratio``: E H_t / H_0 over all combinations."""
    return _of_combinations(setting, "variance_ratio")


def _of_combinations(setting: Setting, metric: str) -> Prediction | None:
    if (marginals := _marginals(setting)) is None:
        return None
    same = independent_homozygosity(setting.generations, setting.regime.initial.real, marginals)
    truth = float(np.prod([np.sum(shares**2) for shares in marginals]))
    mean = (1 - same if metric == "variance_ratio" else same - truth) / (1 - truth)
    note = "each independent feature drifts as a multinomial of its own (Wright and Fisher)"
    limit = 0.0 if metric == "variance_ratio" else 1.0  # every feature is fixed in the end
    return Prediction("independent_homozygosity", metric, EXTRACTOR, mean, None, "equal", note, limit)


# -- linear regression ------------------------------------------------------------------------------------------------


def regression(setting: Setting) -> Prediction | None:
    """``regression_error``: of replace and of one fit exactly, of accumulate with new inputs an upper bound."""
    plan, n, options, truth = plan_of(setting), setting.regime.initial.real, setting.options, setting.truth
    if setting.population != "regression" or n <= truth.options.dimension + 1:
        return None
    if options["inputs"] == "same" and plan != ONE_SET and (setting.samples != n or setting.selector != "nobody"):
        return None  # other samples would not bring back every input once
    one = n, truth.options.dimension, truth.options.noise_sd**2, options["noise_sd"] ** 2
    bound: Literal["equal", "upper"] = "equal"
    if plan in (REPLACE, ONE_SET):
        law, mean = "regression_error_replace", regression_error_replace(setting.generations, *one)
        mean, note = (mean, "t d / (n - d - 1)") if plan == REPLACE else (mean[:1] + 0 * mean, "d / (n - d - 1)")
    elif plan == ACCUMULATE:
        law, mean = "regression_error_accumulate", regression_error_accumulate(setting.generations, *one)
        note = "d / (n - d - 1) times the sum of 1 / i^2"
        if options["inputs"] == "fresh":
            bound, note = "upper", f"at most {note}"
    else:
        return None
    note = f"error {note} in units of the noise (Gerstgrasser et al. 2024)"
    return Prediction(law, "regression_error", EXTRACTOR, mean, None, bound, note)


LAWS: dict[str, tuple[Callable[[Setting], Prediction | None], ...]] = {
    "gaussian": (drift, variance, gaussian_distance, gaussian_determinant),
    "gmm": (drift, variance),
    "kde": (drift, variance, precision, hallucinations),
    "ppca": (drift, variance),
    "multinomial": (multinomial_drift, multinomial_diversity, multinomial_survivors),
    "naive-bayes": (independent_drift, independent_diversity),
    "linear-regression": (regression,),
}
