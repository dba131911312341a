"""How people judge samples: what a study says of its judges, their items, their training and their survey.

A selector that follows people has these options, and the page that asks them reads the same ones.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from ..core.choice import Options

GOOD, BAD = "good", "bad"
ANSWERS = (GOOD, BAD)
LANGUAGES = ("en", "lt", "pl", "es")
"""Languages whose texts are shipped; a study that brings all texts may name another."""

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=5000)]
SHIPPED = ("inclined", "understood", "concentrated", "good_work")
"""Questions of the closing survey that are shipped; ``understood`` is asked of every round by itself."""


class Gate(Options):
    """What somebody must tell apart before the first item."""

    questions: int = Field(10, ge=1, le=40, description="of the training screen")
    right: int = Field(8, ge=0, le=40, description="answers that must be right; whoever has fewer tries again")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.right > self.questions:
            raise ValueError(f"right: found {self.right}, allowed are at most the {self.questions} questions")
        return self


class Question(Options):
    """A question of the survey that a study words itself."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="its name in the export")
    text: dict[Language, Text] = Field(min_length=1, description="its words, by language")


class Judging(Options):
    """How a round of judging is held."""

    judges: int = Field(25, ge=1, le=10_000, description="people who judge, each of whom has an invite link")
    per_judge: int = Field(400, ge=1, description="samples that one person judges in a round, at most")
    overlap: int = Field(1, ge=1, description="people who judge the same sample, each of those that are judged")
    gold: float = Field(0.05, ge=0, le=0.5, description="items beside them whose answer is known, as a share of them")
    repeats: float = Field(0.05, ge=0, le=0.5, description="items that are shown again later on, as a share of them")
    training: bool = Field(True, description="false: nobody is taught or tried before the first item")
    gate: Gate = Field(Gate(), description="what must be told apart on the training screen")
    break_after: int = Field(100, ge=0, description="items after which a break is offered; 0: never")
    zoom: bool = Field(
        False, description="true: people may enlarge images, which changes what they see; it is recorded"
    )
    languages: tuple[Language, ...] = Field(LANGUAGES, min_length=1, description="in which the page can be read")
    survey: tuple[str | Question, ...] = Field(
        SHIPPED, description=f"questions after the last round: {', '.join(SHIPPED)}, or {{id, text}}"
    )
    background: tuple[Literal["age_group", "profession"], ...] = Field(
        (), description="what the survey asks beside them; nobody has to answer"
    )
    consent: dict[Language, Text] = Field({}, description="the consent and ethics text, by language")
    texts: dict[Language, dict[str, Text]] = Field({}, description="other words for texts of the page, by language")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Raise ValueError for numbers and names that do not go together; all that is wrong is said at once."""
        faults = []
        if self.overlap > self.judges:
            faults.append(f"overlap: found {self.overlap}, allowed are at most the {self.judges} judges")
        faults += [
            f"survey: found {one!r}; allowed are {', '.join(SHIPPED)}, or {{id, text}}"
            for one in self.survey
            if isinstance(one, str) and one not in SHIPPED
        ]
        ids = [one if isinstance(one, str) else one.id for one in self.survey]
        faults += [
            f"survey: found {one!r} more than once" for one in sorted({one for one in ids if ids.count(one) > 1})
        ]
        faults += [
            f"survey: {one.id}: has no words in {language!r}, one of languages"
            for one in self.survey
            if isinstance(one, Question)
            for language in self.languages
            if language not in one.text
        ]
        for key, several in (("languages", self.languages), ("background", self.background)):
            faults += [f"{key}: found {one!r} more than once" for one in sorted(set(several)) if several.count(one) > 1]
        for key, said in (("consent", self.consent), ("texts", self.texts)):
            faults += [
                f"{key}: found {one!r}, which is not among languages" for one in said if one not in self.languages
            ]
        if self.consent:
            faults += [
                f"consent: has no words in {one!r}, one of languages"
                for one in self.languages
                if one not in self.consent
            ]
        faults += [
            f"languages: found {one!r}; shipped are {', '.join(LANGUAGES)}; another needs all texts under texts"
            for one in self.languages
            if one not in LANGUAGES and not self.texts.get(one)
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def questions(self, rounds: int) -> tuple[str, ...]:
        """The ids of the survey's questions for a study of so many rounds, in order: ``understood_1`` and on."""
        ids: list[str] = []
        for one in self.survey:
            name = one if isinstance(one, str) else one.id
            ids += [f"{name}_{index}" for index in range(1, rounds + 1)] if one == "understood" else [name]
        return tuple(ids)

    def judged(self, count: int) -> int:
        """How many of ``count`` samples are judged, each by ``overlap`` people."""
        return min(count, self.judges * self.per_judge // self.overlap)
