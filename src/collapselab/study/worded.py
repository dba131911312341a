"""What keeps parts of a study of sequences from going together: they are of one vocabulary, that of its data."""

from collections.abc import Iterator

from ..core.sequences import Vocabulary
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
    """Models of another vocabulary than the study's data have."""
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
