"""Which laws hold for a normal loop whose samples are made by the steps of a sampler.

Where the sampler sees standardised dimensions it multiplies the variance of each by the same number in every
generation, as a sampling bias does, and all laws of the normal loop hold with that bias, estimation errors included. In
the data's own units the number changes with the variance: then the law is that of exact refits.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..compose.regimes import at, recipe
from ..samplers import SAMPLERS
from ..samplers.base import Sampling
from ..samplers.exact import sampled_variance
from ..samplers.levels import Noise
from .laws import (
    EXTRACTOR,
    FRESH,
    REPLACE,
    drift,
    gaussian_determinant,
    gaussian_distance,
    plan_of,
    variance,
)
from .setting import Prediction, Setting

SETTLED, LONGEST = 1e-9, 5_000  # a change a generation that is none, and generations in which it may settle


def sampled_drift(setting: Setting) -> Prediction | None:
    """``mean_drift`` of a standardised loop, as of a Gaussian with its sampler's factor as bias."""
    return _of_gaussian(drift, setting)


def sampled_ratio(setting: Setting) -> Prediction | None:
    """``variance_ratio`` likewise; where that does not hold, of exact refits."""
    return _of_gaussian(variance, setting) or exact_refits(setting)


def sampled_distance(setting: Setting) -> Prediction | None:
    """``frechet_distance`` likewise."""
    return _of_gaussian(gaussian_distance, setting)


def sampled_determinant(setting: Setting) -> Prediction | None:
    """``log_determinant_ratio`` likewise."""
    return _of_gaussian(gaussian_determinant, setting)


def exact_refits(setting: Setting) -> Prediction | None:
    """``variance_ratio`` of infinitely many rows: v' = p v_0 + q S(v) along each dimension of the truth, where S(v) is
    what the sampler makes of the variance v, with a share p of fresh real rows and q = 1 - p of samples.

    Of a normal truth about 0: a sampler in the data's units draws a mean a little towards 0.
    """
    plan = plan_of(setting)
    if setting.population != "gaussian" or plan not in (REPLACE, FRESH) or setting.truth.moments()[0].any():
        return None
    if (made := _made_by(setting)) is None:
        return None
    truth, draws = np.diagonal(setting.truth.moments()[1]), recipe(setting.regime, "self", 1).draws
    fresh = sum(one.count for one in draws if one.is_real) / sum(one.count for one in draws)
    course = [truth]
    for generation in range(setting.generations):
        course.append(fresh * truth + (1 - fresh) * made(course[-1], generation))
    last, limit = course[-1], None
    for _ in range(LONGEST if fresh else 0):
        following = fresh * truth + (1 - fresh) * made(last, setting.generations)
        if np.allclose(following, last, rtol=SETTLED, atol=0):
            limit = float(following.sum() / truth.sum())
            break
        last = following
    mean = np.array([one.sum() for one in course]) / truth.sum()
    note = f"variance V of exact refits, as {setting.sampler.name} samples them: {plan.words}"
    return Prediction("sampled_variance", "variance_ratio", EXTRACTOR, mean, None, "large", note, limit)


def _made_by(setting: Setting) -> Callable[[np.ndarray, int], np.ndarray] | None:
    """The variances that a generation's sampler makes of those of its model; None for a sampler without a law."""

    def made(variances: np.ndarray, generation: int) -> np.ndarray:
        by = sampling_of(setting, generation)
        if setting.options["standardise"]:
            return variances * sampled_variance(*by, 1.0)
        return np.array([sampled_variance(*by, float(one)) for one in variances])

    return None if sampled_variance(*sampling_of(setting, 0), 1.0) is None else made


def sampling_of(setting: Setting, generation: int) -> tuple[Sampling, Noise]:
    """The sampler of an arm at a generation, and the noise of its model."""
    noise = Noise(*(setting.options[name] for name in ("sigma_min", "sigma_max", "rho", "steps")))
    entry, name = SAMPLERS[setting.sampler.name], setting.sampler.name
    return Sampling(entry, entry.Options.model_validate(dict(setting.sampler.options)).at(generation), name), noise


def _of_gaussian(law: Callable[[Setting], Prediction | None], setting: Setting) -> Prediction | None:
    """What a law of the Gaussian loop says, with the sampler's factor in the place of the bias."""
    options, one_by_one = setting.options, setting.options["covariance"] == "diagonal"
    alone = getattr(setting.truth, "shape", ()) == (1,)
    if not options["standardise"] or not (one_by_one or alone) or (made := _made_by(setting)) is None:
        return None
    factors = {t: float(made(np.ones(1), t)[0]) for t in range(setting.generations + 1)}
    bias = factors if len(set(factors.values())) > 1 else factors[0]
    found = law(setting._replace(family="gaussian", sampling_bias=bias))
    if found is None:
        return None
    ends = " to ".join(f"{one:.4g}" for one in dict.fromkeys((factors[0], at(factors, setting.generations))))
    said = f"{setting.sampler.name} in {setting.sampler.options['steps']} steps multiplies the variance by {ends}"
    return replace(found, note=f"{found.note}; {said}")


SAMPLED: dict[str, tuple[Callable[[Setting], Prediction | None], ...]] = {
    "gaussian-diffusion": (sampled_drift, sampled_ratio, sampled_distance, sampled_determinant),
}
