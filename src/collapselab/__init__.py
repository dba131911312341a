"""Reproducible studies of generative models that are trained on their own output.

In Python: :func:`measure_sets` compares samples with real ones, :func:`features_of` says what samples look like to an
extractor, and ``collapselab.metrics`` has every metric as a function. Importing this package imports nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import metrics as metrics
    from .library import Measured as Measured
    from .library import features_of as features_of
    from .library import measure_sets as measure_sets

__version__ = "0.1.0"
__all__ = ["Measured", "__version__", "features_of", "measure_sets", "metrics"]

_LIBRARY = ("Measured", "features_of", "measure_sets")


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name in _LIBRARY:
        return getattr(import_module(".library", __name__), name)
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
