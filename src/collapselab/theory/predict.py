"""What the closed forms predict for an arm of a study.

Entry g of a curve belongs to the model of generation g, the end of g + 1 fits that began at the known truth.
"""

from .chosen import CHOSEN
from .glm import GLM
from .guided import GUIDED, is_steered
from .laws import LAWS
from .next_token import TOKENS
from .sampled import SAMPLED
from .setting import Prediction, Setting


def predict(setting: Setting) -> list[Prediction]:
    """All laws that hold for an arm; an empty list where none does."""
    if setting.truth is None or any(part.of != "self" for part in setting.regime.synthetic):
        return []
    if setting.selector == "random":
        # Some of independent samples are independent samples; only how many are stored changes.
        setting = setting._replace(samples=round(setting.select_options["share"] * setting.samples))
    own = setting.selector in ("nobody", "random")
    followed = LAWS | SAMPLED | TOKENS | GLM
    laws = followed.get(setting.family, ()) if own else CHOSEN.get((setting.selector, setting.family), ())
    if is_steered(setting):
        laws = GUIDED.get(setting.family, ()) if own else ()
    found = (law(setting) for law in laws)
    return [prediction for prediction in found if prediction is not None]
