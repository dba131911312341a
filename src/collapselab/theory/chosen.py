"""Which laws hold for an arm whose samples somebody selects, by the selector and the family.

All that is kept has to be eaten: of a part of it, chosen anew, other laws hold.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from ..compose.regimes import recipe
from ..select import SELECTORS
from ..select.targeting import wanted_rows
from .curation import (
    filtered_variance,
    likeliest_variance,
    targeted_homozygosity,
    targeted_limit,
    targeted_shares,
    top_variance,
    verified_coefficients,
)
from .laws import EXTRACTOR, FRESH, REPLACE, biases_of, is_smoothed, plan_of, true_shares
from .multinomial import heterozygosity
from .selection import choice_shares
from .setting import Prediction, Setting

SLACK = 1.1  # by which more samples than are wanted have to be good enough, so that they are in every replicate
SPARE_ERRORS = 4.0  # standard deviations of how many samples a class has
IDENTITY = "identity"  # the extractor through which categories are their own classes
SETTLES, SETTLED = 200, 1e-6  # generations in which shares may come to rest, and a change that is none
FEW_SETS = 50  # of samples among which one is chosen, so that so many generations take a second at most
FEW_CHOICES = 12  # samples of which one is chosen, and categories, up to which all sets of them are gone through


def _kept(setting: Setting) -> tuple[int, int] | None:
    """How many samples are kept, and how many new real rows stand beside them, where a generation eats just these."""
    plan, options = plan_of(setting), _options(setting)
    if plan not in (REPLACE, FRESH) or biases_of(setting) != {1.0}:
        return None
    draws = recipe(setting.regime, "self", 1).draws  # those of all generations after the first are alike
    fresh, eaten = (sum(draw.count for draw in draws if draw.is_real == is_real) for is_real in (True, False))
    kept = options.keeps(setting.samples)
    return (kept, fresh) if eaten == kept else None


def _options(setting: Setting):
    return SELECTORS[setting.selector].Options.model_validate(dict(setting.select_options))


# -- normal laws -------------------------------------------------------------------------------------------------------


def likeliest(setting: Setting) -> Prediction | None:
    """``variance_ratio`` of a normal loop that keeps its likeliest samples: a cut at c sd in every generation."""
    d = len(setting.truth.moments()[0]) if setting.population == "gaussian" else 0
    if (kept := _kept(setting)) is None or not d or kept[1] or _options(setting).end != "top":
        return None
    factor = likeliest_variance(kept[0], setting.samples, d)
    return _filtered(setting, kept[0], factor, "likeliest_variance", f"the likeliest {kept[0]} of {setting.samples}")


def best(setting: Setting) -> Prediction | None:
    """``variance_ratio`` of a normal loop in one dimension that keeps what a linear reward likes most."""
    options, d = _options(setting), len(setting.truth.moments()[0]) if setting.population == "gaussian" else 0
    rewards = [(one.name, dict(one.options)) for one in options.rewards]
    linear = len(rewards) == 1 and rewards[0][0] == "coordinate" and rewards[0][1].get("form", "linear") == "linear"
    if (kept := _kept(setting)) is None or d != 1 or kept[1] or options.by != "top_fraction" or not linear:
        return None
    if not rewards[0][1].get("beta", 1.0):
        return None
    factor = top_variance(kept[0], setting.samples)
    return _filtered(setting, kept[0], factor, "top_variance", f"the top {kept[0]} of {setting.samples}")


def _filtered(setting: Setting, kept: int, factor: float, law: str, what: str) -> Prediction | None:
    n, ddof = setting.regime.initial.real, setting.options["ddof"]
    if n != kept:
        return None
    mean = filtered_variance(setting.generations, n, factor, ddof)
    note = f"variance V: {what} have {factor:.3g} of their model's, in every generation"
    return Prediction(law, "variance_ratio", EXTRACTOR, mean, None, "equal", note, 0.0 if factor < 1 else None)


# -- categories --------------------------------------------------------------------------------------------------------


def table_drift(setting: Setting) -> Prediction | None:
    """``mean_drift`` under a standing table."""
    return _of_table(setting, "mean_drift")


def table_diversity(setting: Setting) -> Prediction | None:
    """``variance_ratio`` under a standing table."""
    return _of_table(setting, "variance_ratio")


def _of_table(setting: Setting, metric: str) -> Prediction | None:
    options, truth, kept = _options(setting), true_shares(setting), _kept(setting)
    if truth is None or kept is None or is_smoothed(setting) or options.stops or options.extractor != IDENTITY:
        return None
    if options.table == "true":
        return None  # of the shares of a training split, which are not those of the truth
    table = options.table if isinstance(options.table, dict) else _even(truth)
    wanted = wanted_rows(table, {}, None, kept[0])
    chosen = np.array([wanted.get(group, 0) for group in range(len(truth))], np.float64)
    n = setting.regime.initial.real
    p, same = targeted_homozygosity(setting.generations, n, truth, chosen, *kept)
    by_lot = kept[0] - chosen.sum()
    left, fits = setting.samples - by_lot, np.arange(1, len(p) + 1)[:, None]
    spread = np.sqrt(left * p * (1 + left * fits / kept[0]))  # of a count of rows whose share has drifted, too
    if (left * p - SPARE_ERRORS * spread < chosen)[:, chosen > 0].any():
        return None  # a class may run out
    apart, unit = same - 2 * p @ truth + truth @ truth, heterozygosity(truth)
    mean = (apart if metric == "mean_drift" else 1 - same) / unit
    note = f"{int(chosen.sum())} of {kept[0]} kept rows by a table, the rest by lot"
    return Prediction("targeted_homozygosity", metric, EXTRACTOR, mean, None, "equal", note)


def table_share(setting: Setting) -> Prediction | None:
    """``class_histogram`` of the one class that a table favours: to its resting share, or to the truth if it stops."""
    options, truth, kept = _options(setting), true_shares(setting), _kept(setting)
    if truth is None or kept is None or is_smoothed(setting) or options.extractor != IDENTITY:
        return None
    if not isinstance(options.table, dict) or len(options.table) != 1:
        return None
    if not options.stops and _of_table(setting, "mean_drift") is None:
        return None  # the class may run out
    (group,) = options.table
    pi, fresh = float(truth[group]), kept[1] / sum(kept)
    chosen = wanted_rows(options.table, {}, None, kept[0])[group] / kept[0]
    mean = targeted_shares(setting.generations, pi, chosen, pi, fresh, options.stops)
    limit = pi if options.stops else targeted_limit(chosen, pi, fresh)
    note = f"{chosen:.3g} of what is kept is of class {group}, " + (
        "until it has its true share" if options.stops else "always"
    )
    bound = "large" if options.stops else "equal"
    return Prediction("targeted_shares", f"class_histogram.{group}", IDENTITY, mean, None, bound, note, limit)


def _even(truth: np.ndarray) -> dict[int, float]:
    there = np.flatnonzero(truth)
    return {int(group): 1 / len(there) for group in there}


def choice_drift(setting: Setting) -> Prediction | None:
    """``mean_drift`` where one of every K samples is chosen by what its category is worth."""
    return _of_choice(setting, "mean_drift")


def choice_diversity(setting: Setting) -> Prediction | None:
    """``variance_ratio`` where one of every K samples is chosen by what its category is worth."""
    return _of_choice(setting, "variance_ratio")


def _of_choice(setting: Setting, metric: str) -> Prediction | None:
    options, truth, kept = _options(setting), true_shares(setting), _kept(setting)
    rewards = [(one.name, dict(one.options)) for one in options.rewards]
    if truth is None or kept is None or is_smoothed(setting) or options.by != "choice":
        return None
    choices = round(1 / options.share)
    if {name for name, _ in rewards} != {"category"} or abs(choices * options.share - 1) > 1e-9:
        return None
    if len(truth) * choices > FEW_CHOICES**2 or choices > FEW_CHOICES:
        return None
    worth = np.array([said["worth"][: len(truth)] for _, said in rewards], np.float64) / options.temperature
    one = truth, worth, choices, kept[0] / kept[1] if kept[1] else np.inf, options.shares
    few = math.comb(len(truth) + choices - 2, choices - 1) * len(rewards) <= FEW_SETS
    course = choice_shares(max(setting.generations, SETTLES if few else 0), *one)

    def told(shares: np.ndarray) -> np.ndarray:
        apart = ((shares - truth) ** 2).sum(axis=-1) if metric == "mean_drift" else 1 - (shares**2).sum(axis=-1)
        return apart / heterozygosity(truth)

    by = "its reward (Ferbach et al. 2024)" if len(rewards) == 1 else "judges of several minds (Zhao et al. 2025)"
    rests = few and abs(course[-1] - course[-SETTLES // 4]).max() < SETTLED
    limit = float(told(course[-1])) if rests else None
    mean, note = told(course[: setting.generations + 1]), f"one of every {choices} chosen by {by}"
    return Prediction("choice_shares", metric, EXTRACTOR, mean, None, "large", note, limit)


# -- verified labels ---------------------------------------------------------------------------------------------------


def verified_regression(setting: Setting) -> Prediction | None:
    """``regression_error`` of labels that a verifier lets pass: the way to its centre."""
    kept, options, truth = _kept(setting), _options(setting), setting.truth
    if setting.population != "regression" or kept is None or setting.options["inputs"] != "fresh":
        return None
    w, noise = truth.coefficients, setting.options["noise_sd"]
    centre = np.broadcast_to(np.asarray(options.centre, np.float64), w.shape)
    real = kept[1] / sum(kept)
    found = verified_coefficients(setting.generations, w, centre, options.radius, noise, w, real)
    distances = np.linalg.norm(found - centre, axis=1)
    accepted = 2 * ndtr(options.radius / np.sqrt(distances**2 + noise**2)) - 1
    if noise == 0 or setting.samples * accepted.min() < SLACK * kept[0]:
        return None  # too few are good enough
    mean = ((found - w) ** 2).sum(axis=1)
    limit = None if kept[1] else float(np.sum((centre - w) ** 2))
    note = "to the verifier's centre, by its map of infinitely many rows (Yi et al. 2025)"
    return Prediction("verified_coefficients", "regression_error", EXTRACTOR, mean, None, "large", note, limit)


CHOSEN: dict[tuple[str, str], tuple[Callable[[Setting], Prediction | None], ...]] = {
    ("likelihood", "gaussian"): (likeliest,),
    ("reward", "gaussian"): (best,),
    ("reward", "multinomial"): (choice_drift, choice_diversity),
    ("quota", "multinomial"): (table_drift, table_diversity, table_share),
    ("verified", "linear-regression"): (verified_regression,),
}
