"""Judges that only seem to be people: what a study says of them, where it is rehearsed before anybody is asked.

They know of an image what its realism in a feature space says (Kynkäänniemi et al. 2019), as the natural logarithm of
its multiple of what one real image in twenty falls below: 0 there, and below 0 for what looks less real. Whoever judges
by it perfectly keeps an image from ``threshold`` on.
"""

from typing import Any, Self

from pydantic import Field, model_validator

from ..core.choice import Options
from ..core.registry import usable
from ..features import FEATURES, Extractor


class Perfect(Options):
    """Keeps what is real enough, and nothing else."""


class Noisy(Options):
    """A perfect one whose answer is turned round by chance."""

    error: float = Field(0.1, ge=0, le=0.5, description="chance that an answer is turned round")


class Tired(Options):
    """One whose answers are turned round the more often the later they come, in a straight line."""

    error: float = Field(0.02, ge=0, le=0.5, description="chance of a turned answer at the first item")
    at_last: float = Field(0.4, ge=0, le=0.5, description="that at the last item")


class Biased(Options):
    """A perfect one who lets a class pass, whatever it looks like."""

    towards: int = Field(ge=0, description="the class, which is that of the nearest real image")
    bias: float = Field(0.8, ge=0, le=1, description="chance that a bad image of the class is called good")


class Adversarial(Options):
    """Answers the training screen as whoever wants to be let in, and every item contrarily."""


class Graded(Options):
    """Keeps an image with the chance 1 / (1 + exp(-slope (quality - threshold))): the surer, the clearer it is.

    Two parameters that can be fitted to what people said. Sensitivity and specificity would be two as well, but take
    for granted that every image is either good or bad, while collapse is a matter of degree; here their errors follow
    from how near an image lies to the threshold.
    """

    slope: float = Field(
        3.0, ge=-1e3, le=1e3, description="how sharply good is told from bad; 0: by a coin; below 0: contrarily"
    )
    threshold: float = Field(0.0, ge=-1e3, le=1e3, description="the quality that is kept in one of two cases")


class Simulated(Options):
    """Which judges are sent: the name of one, or its name with options."""

    perfect: Perfect | None = None
    noisy: Noisy | None = None
    tired: Tired | None = None
    biased: Biased | None = None
    adversarial: Adversarial | None = None
    graded: Graded | None = None
    through: tuple[str, ...] = Field(
        ("pixels", "colours"),
        min_length=1,
        description="the extractors in which they see how real an image is, at worst",
    )
    levels: int = Field(256, ge=2, le=256, description="of brightness that they tell apart: noise below is not seen")
    threshold: float = Field(0.0, description="the quality from which an image is good, but to a graded judge")

    discouraged: float = Field(
        0.5, ge=0, le=1, description="chance that one says in the survey to be less inclined to post generated data"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, said: Any) -> Any:
        return {said: {}} if isinstance(said, str) else said

    @model_validator(mode="after")
    def _one(self) -> Self:
        said = [name for name in POLICIES if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"found {', '.join(said) or 'none'}, allowed is one of {', '.join(POLICIES)}")
        for one in self.through:
            if one not in FEATURES or not _sees_images(FEATURES[one]):
                allowed = ", ".join(name for name, entry in usable(FEATURES) if _sees_images(entry))
                raise ValueError(f"through: unknown extractor of images {one!r}; allowed: {allowed}")
        return self

    @property
    def policy(self) -> Options:
        """The one that is said."""
        return next(one for name in POLICIES if (one := getattr(self, name)) is not None)


def _sees_images(entry: Extractor) -> bool:
    """Whether an extractor sees an image by itself, as people do: without a model, a mark, the truth or a law."""
    return "images" in entry.takes and entry.needs.through in ("nothing", "learnt", "published")


POLICIES = ("perfect", "noisy", "tired", "biased", "adversarial", "graded")
