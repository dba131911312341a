"""The laws of loops whose samples are guided: of normal laws that are sampled by their exact denoiser."""

import numpy as np
from scipy.special import digamma

from .guidance import guided_variances
from .laws import EXTRACTOR, REPLACE, biases_of, plan_of
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
    """``variance_ratio`` of constant guidance: s' = s (s / (s + b))^w in each generation but the first.

    Of endless rows and steps; so it is drawn, and not tested. For a truth that varies alike in all directions.
    """
    w, spread = weight_of(setting), _spread(setting)
    if spread is None or not w or not setting.options["between"] or plan_of(setting) != REPLACE:
        return None
    later = guided_variances(setting.generations, spread, setting.options["between"], w) / spread
    note = f"variance V of guidance of weight {w:g}, of endless rows and steps: s' = s (s / (s + b))^w"
    mean = np.concatenate([[1.0], later[:-1]])
    return Prediction(
        "guided_variances", "variance_ratio", EXTRACTOR, mean, None, "large", note, 0.0 if w > 0 else None
    )


def reinflated(setting: Setting) -> Prediction | None:
    """``log_determinant_ratio`` under SIMS: m_n of the first fit, then m_n - w m_s in each generation.

    m_k = psi((k - 1) / 2) + log(2 / (k - ddof)) is what a fit to k rows adds to the expected log variance. A model that
    has been fitted to s own samples is narrower by m_s, and SIMS leads away from it: its variance times e^(-w m_s). So
    a loop with s = n and w = 1 stays where it is, in the logarithm. Of endless steps: drawn, and not tested.
    """
    sims = setting.guide is not None and setting.guide.name == "sims"
    if not sims or biases_of(setting) != {1.0} or _spread(setting) is None:
        return None
    options, n = setting.options, setting.regime.initial.real
    if options["covariance"] != "diagonal" or plan_of(setting) != REPLACE:
        return None
    own, w = setting.guide.options["auxiliary"]["samples"], setting.guide.options["w"]
    of_rows, of_own = (float(digamma((k - 1) / 2) + np.log(2 / (k - options["ddof"]))) for k in (n, own))
    mean = of_rows + np.arange(setting.generations + 1) * (of_rows - w * of_own)
    note = f"log variance per dimension under SIMS of weight {w:g}: a fit takes it down, the guide takes that back"
    return Prediction("reinflation", "log_determinant_ratio", EXTRACTOR, mean, None, "large", note)


def _spread(setting: Setting) -> float | None:
    """The variance of a normal truth in each direction; None where it is not one number, or for another family."""
    if setting.family != FAMILY or setting.population != "gaussian":
        return None
    values = np.linalg.eigvalsh(setting.truth.moments()[1])
    return float(values.mean()) if np.ptp(values) < 1e-9 * values[-1] else None


GUIDED = {FAMILY: (guided, reinflated)}
"""By family, of arms that are steered by a guide or by their sampling bias."""
