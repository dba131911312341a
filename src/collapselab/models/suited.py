"""What somebody asks of a model that its family cannot do, and which families can."""

from ..core.registry import usable
from . import MODELS
from .capabilities import IN_WORDS


def cannot(who: str, family: str, asked: type) -> str:
    """What a family's models cannot do that somebody asks of them, and which families' can; empty where they can.

    asked: a protocol of ``models.capabilities``, or of another package.
    """
    if issubclass(MODELS[family], asked):
        return ""
    able = ", ".join(name for name, other in usable(MODELS) if issubclass(other, asked)) or "none"
    words = IN_WORDS.get(asked, f"that is {asked.__name__} ({asked.__module__})")
    return f"{who!r} works with a model {words}, and {family!r} is no such model; families that are: {able}"
