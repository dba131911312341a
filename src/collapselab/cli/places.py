"""Where metrics compute."""

from collections.abc import Callable

from ..features import FEATURES, Features
from ..measure import record as measuring

MANY_NUMBERS = 2**22  # among features, from which a GPU is worth its start


def place_of(numbers: int) -> Callable[[str, Features], Features]:
    """Moves features to the GPU where there is one and numbers are many; metrics compute where their features are."""
    if numbers < MANY_NUMBERS:
        return measuring.stays  # before torch is imported
    from ..machine.device import device

    where = device()
    on_host = where.type == "cpu"
    return lambda name, features: features if on_host or FEATURES[name].statistic else features.to(where)
