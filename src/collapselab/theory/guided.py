"""The laws of loops whose samples are guided: of normal laws that are sampled by their exact denoiser."""

import numpy as np
from scipy.special import digamma

from ..samplers.exact import denoised, linear_variance, sampled_variance
from .laws import EXTRACTOR, REPLACE, biases_of, plan_of
from .sampled import sampling_of
from .setting import Prediction, Setting

FAMILY = "gaussian-diffusion"


def is_steered(setting: Setting) -> bool:
    """Whether samples are guided, so that no other law than those of guidance holds."""
    return setting.guide is not None or (setting.family == FAMILY and biases_of(setting) != {1.0})


def weight_of(setting: Setting) -> float | None:
    """The weight of an arm's guidance, by its sampling bias or by cfg; None where it is not one for all levels."""
    biases = biases_of(setting)
    if setting.guide is None:
        return 1 / biases.pop() - 1 if len(biases) == 1 else None
    constant = setting.guide.name == "cfg" and setting.guide.options["schedule"] == "constant"
    return float(setting.guide.options["w"]) if constant and biases == {1.0} else None


def guided(setting: Setting) -> Prediction | None:
    """``variance_ratio`` of constant guidance of weight w, of endless rows: what the sampler's own steps make of s and
    s + b in each generation; with ever more steps s' = s (s / (s + b))^w.

    So it is drawn, and not tested. For a truth that varies alike in all directions.
    """
    w, spread, between = weight_of(setting), _spread(setting), setting.options["between"]
    if spread is None or not w or not between or plan_of(setting) != REPLACE or not _has_law(setting):
        return None
    course = [spread]
    for generation in range(setting.generations):
        now = course[-1]
        unit = now if setting.options["standardise"] else 1.0  # of the noise levels
        course.append(unit * _led(setting, generation, now / unit, (now + between) / unit, w))
    mean = np.array(course) / spread
    note = (
        f"variance V of guidance of weight {w:g}, of endless rows: s' = s (s / (s + b))^w, as {_steps(setting)} take it"
    )
    vanishes = w > 0 and len(mean) > 1 and bool((np.diff(mean) < 0).all())
    return Prediction(
        "guided_variances", "variance_ratio", EXTRACTOR, mean, None, "large", note, 0.0 if vanishes else None
    )


def reinflated(setting: Setting) -> Prediction | None:
    """``log_determinant_ratio`` under SIMS: m_n of the first fit, then m_n - w m_s in each generation, with ever more
    steps; drawn with what the sampler's own steps make of it, and not tested.

    m_k = psi((k - 1) / 2) + log(2 / (k - ddof)) is what a fit to k rows adds to the expected log variance. A model that
    has been fitted to s own samples is narrower by m_s, and SIMS leads away from it: its variance times e^(-w m_s). So
    a loop with s = n and w = 1 stays where it is, in the logarithm. Own samples are made in the same steps, so that
    SIMS takes back what those do, too: of the logarithm of their factor 1 - w stays.
    """
    sims, options = setting.guide is not None and setting.guide.name == "sims", setting.options
    spread = _spread(setting)
    if not sims or biases_of(setting) != {1.0} or spread is None or options["standardise"] or not _has_law(setting):
        return None
    if options["covariance"] != "diagonal" or plan_of(setting) != REPLACE:
        return None
    n, own, w = setting.regime.initial.real, setting.guide.options["auxiliary"]["samples"], setting.guide.options["w"]
    of_rows, of_own = (float(digamma((k - 1) / 2) + np.log(2 / (k - options["ddof"]))) for k in (n, own))
    course = [of_rows]
    for generation in range(setting.generations):
        now = spread * float(np.exp(course[-1]))
        learnt = sampled_variance(*sampling_of(setting, generation), now) * float(np.exp(of_own))
        course.append(float(np.log(_led(setting, generation, now, learnt, w) / spread)) + of_rows)
    note = f"log variance per dimension under SIMS of weight {w:g}, as {_steps(setting)} take it: "
    note += "a fit takes it down, the guide takes that back"
    return Prediction("reinflation", "log_determinant_ratio", EXTRACTOR, np.array(course), None, "large", note)


def _has_law(setting: Setting) -> bool:
    """Whether it is known exactly what the steps of an arm's sampler do."""
    return sampled_variance(*sampling_of(setting, 0), 1.0) is not None


def _steps(setting: Setting) -> str:
    return f"{setting.sampler.options['steps']} steps of {setting.sampler.name}"


def _led(setting: Setting, generation: int, variance: float, other: float, w: float) -> float:
    """The variance of samples of N(0, variance) that are led away from N(0, other), exactly, in so many steps."""
    return linear_variance(
        *sampling_of(setting, generation),
        lambda sigma: (1 + w) * denoised(variance, sigma) - w * denoised(other, sigma),
    )


def _spread(setting: Setting) -> float | None:
    """The variance of a normal truth in each direction; None where it is not one number, or for another family."""
    if setting.family != FAMILY or setting.population != "gaussian":
        return None
    values = np.linalg.eigvalsh(setting.truth.moments()[1])
    return float(values.mean()) if np.ptp(values) < 1e-9 * values[-1] else None


GUIDED = {FAMILY: (guided, reinflated)}
"""By family, of arms that are steered by a guide or by their sampling bias."""
