"""What people say of posting, as the share of synthetic data in what the next models are trained on."""

from collections.abc import Sequence
from typing import NamedTuple

from .told import SCALE

INCLINED = "inclined"
"""The survey's question: after this study I am less inclined to post generated images or texts publicly."""


class Posting(NamedTuple):
    """What the answers come to. answered: people. kept_up: the part of their posting that stays, a mean over them.
    share: of synthetic rows among all rows, which follows from it.
    """

    answered: int
    kept_up: float
    share: float


def posting(answers: Sequence[int], share: float) -> Posting:
    """What is left of a synthetic share ``share`` when people post as they say.

    Whoever disagrees with posting less (1) posts on as before, whoever agrees (4) posts nothing more, and between them
    it is even: an answer a leaves the part (4 - a) / 3. With m the mean of that, real data stays what it was and
    synthetic data becomes m times as much, so that its share s becomes s m / (1 - s + s m). That people do as they say,
    and that all post equally much, is assumed, and known of nobody.

    Raises ValueError for no answers, for one that is not on the scale, and for a share outside [0, 1).
    """
    if not answers:
        raise ValueError(f"{INCLINED}: found no answers, from which nothing follows")
    if wrong := sorted(set(answers) - set(SCALE)):
        raise ValueError(f"{INCLINED}: found {wrong}, allowed are {list(SCALE)}")
    if not 0 <= share < 1:
        raise ValueError(f"share: found {share:g}, allowed is 0 or more, and less than 1")
    last = SCALE[-1]
    kept_up = sum((last - answer) / (last - SCALE[0]) for answer in answers) / len(answers)
    return Posting(len(answers), kept_up, share * kept_up / (1 - share + share * kept_up))


def regime_of(share: float, n: int) -> str:
    """The lines of a study whose training sets have that share of synthetic rows among ``n``, the rest fixed real ones;
    of a share of 1 or 0 the regimes that say so.
    """
    fixed = n - round(share * n)
    if fixed in (0, n):
        return f"regime: {{{'real_only' if fixed else 'fully_synthetic'}: {{n: {n}}}}}"
    return f"regime: {{synthetic_augmentation: {{n: {n}, fixed: {fixed}}}}}"
