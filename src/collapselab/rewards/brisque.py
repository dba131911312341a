"""Quality without a reference: BRISQUE."""

from typing import Any

import numpy as np

from ..core.choice import NoOptions
from ..core.facts import Facts
from ..core.sets import SampleSet

LEAST = 32  # pixels of a side: of smaller pictures it says one and the same, or nothing
UNLIKE_ALL = 155.845  # what the regression says of a picture that is like none it has learnt


def brisque(samples: SampleSet, seen: object, options: NoOptions) -> np.ndarray:
    """Minus the BRISQUE score of a picture, about -100 for a bad photograph and 0 for a good one: (n,) float64.

    The score is a regression of people's opinions on the statistics of locally normalised brightness at two scales
    (Mittal, Moorthy and Bovik 2012, IEEE Transactions on Image Processing 21(12)), by the package ``brisque`` with the
    weights in it. They were learnt on photographs, so that of digits or icons it says little. A picture without the
    statistics, as one of one colour, counts as one that is like none it has learnt: -155.845.

    Raises ValueError without the package, and for pictures with a side of fewer than 32 pixels.
    """
    short = min(samples.data.shape[2:])
    if short < LEAST:
        raise ValueError(
            f"data: found pictures with a side of {short} pixels, brisque tells those of {LEAST} or more apart; take "
            "another reward (jpeg_size enlarges small pictures), or larger pictures"
        )
    if not len(samples):
        return np.empty(0)
    judge = _judge()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # several threads sum in another order each time
        return np.array([-_score(judge, image) for image in samples.data], np.float64)


def fault(facts: Facts, options: NoOptions) -> str:
    """Pictures that are too small."""
    short = min(facts.shape[1:])
    cure = f"tells pictures of {LEAST} pixels a side or more apart; the images have {short}"
    return "" if short >= LEAST else f"{cure}: take another reward (jpeg_size enlarges small pictures)"


def _score(judge: Any, image: np.ndarray) -> float:
    """The score of a picture (C, H, W)."""
    pixels = np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)
    with np.errstate(all="ignore"):
        found = float(judge.score(np.ascontiguousarray(pixels)))
    return found if np.isfinite(found) else UNLIKE_ALL


def _judge() -> Any:
    """The package's judge, which takes its numbers as numpy gives them today: some are arrays of one."""
    try:
        from brisque import BRISQUE
    except ImportError as error:
        cure = "pip install 'collapselab[brisque]'"
        raise ValueError(f"the package brisque cannot be used ({error}); get it with: {cure}") from None

    class Judge(BRISQUE):
        def scale_features(self, features: np.ndarray) -> np.ndarray:
            return super().scale_features([float(np.ravel(number)[0]) for number in features])

    return Judge(url=False)
