"""What keeps parts of a study of sequences from going together: they are of one vocabulary, that of its data."""

from collections.abc import Iterator

from ..core.choice import nested
from ..core.sequences import Vocabulary
from ..guides import GUIDES
from ..rewards import REWARDS
from .checks import placed
from .faults import Fault
from .study import Study


def vocabulary(study: Study) -> Vocabulary | None:
    """The vocabulary that a study's data are of; None where they have none.

    Raises ValueError or OSError for data that cannot be read.
    """
    if study.population_name is None:
        return study.dataset.vocabulary
    return getattr(study.population, "vocabulary", None)  # trained families, too, are known truths


def vocabulary_faults(study: Study) -> Iterator[Fault]:
    """Models of another vocabulary than the study's data have, and rewards of tokens that are none of it."""
    if study.kind != "sequences":
        return
    try:
        there = vocabulary(study)
    except (ValueError, OSError):
        return  # of data that cannot be read another fault tells
    if there is None:
        return
    for name in study.file.models:
        found = getattr(study.parsed_options(name), "vocabulary", None)
        if found is not None and found != there.size:
            yield Fault(
                ("models", name, study.family(name), "vocabulary"),
                f"found {found}; the study's data are of {there.words}: say vocabulary: {there.size}",
            )
    yield from _strange_tokens(study, there)


def _strange_tokens(study: Study, there: Vocabulary) -> Iterator[Fault]:
    """Tokens that rewards name, and the data have not."""
    for arm in study.file.arms:
        for where, _, registry, choice in placed(study, arm):
            options = None if registry is GUIDES else study.parsed(registry, choice)
            for option, one in nested(options, "rewards").items() if options is not None else ():
                named = getattr(study.parsed(REWARDS, one), "tokens", ())
                path = (int(part) if part.isdigit() else part for part in option.split("."))
                if strange := [token for token in named if token >= there.size]:
                    yield Fault(
                        (*where, choice.name, *path, one.name),
                        f"found token {strange[0]}; the study's data are of {there.words}: 0 to {there.size - 1}",
                    )
