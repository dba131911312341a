"""What judges said of themselves in the closing survey, as a table of percentages."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..select.judging import Judging, Question
from .texts import Words


class Share(NamedTuple):
    """One answer to one question. is_mode: whether no other answer was given more often; of a tie all are."""

    percent: float
    is_mode: bool


def percentages(answers: Sequence[int], scale: Sequence[int]) -> list[Share]:
    """How many of 100 chose each point of a scale, in its order. Without any answer nothing is a mode.

    Raises ValueError for an answer that is not on the scale.
    """
    if wrong := sorted(set(answers) - set(scale)):
        raise ValueError(f"answers: found {wrong}, allowed are {list(scale)}")
    counts = [answers.count(point) for point in scale]
    most = max(counts)
    return [Share(100 * count / len(answers) if answers else 0.0, count == most > 0) for count in counts]


class Asked(NamedTuple):
    """A question with its answers: its words, how many have answered, and the share of each point of the scale."""

    words: str
    answered: int
    shares: list[Share]


def opinions(surveys: Sequence[Mapping[str, Any]], options: Judging, rounds: int, scale: Sequence[int]) -> list[Asked]:
    """Each question of the survey of an arm with ``rounds`` rounds, in its order; one that nobody was asked is left
    out. surveys: the answers of everybody, by question; one that is None was not answered.
    """
    found = []
    for question in options.questions(rounds):
        given = [int(one[question]) for one in surveys if one.get(question) is not None]
        if given:
            found.append(Asked(words_of(options, question), len(given), percentages(given, scale)))
    return found


def words_of(options: Judging, question: str) -> str:
    """A question in the first language of the study."""
    language = options.languages[0]
    own = next((one for one in options.survey if isinstance(one, Question) and one.id == question), None)
    if own:
        return own.text[language]
    name, _, turn = question.rpartition("_")
    of_round = name == "understood" and turn.isdigit()
    return Words(options, language)(f"question_{name if of_round else question}", round=turn)


def scale_words(options: Judging, scale: Sequence[int]) -> list[str]:
    """The points of the scale in the first language of the study."""
    words = Words(options, options.languages[0])
    return [words(f"scale_{point}") for point in scale]
