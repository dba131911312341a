"""Which random numbers each seed of a study takes, and the lineages beside them that tell what an interval leaves out.

All seeds of images share one split, and the extractors that were learnt on it: their spread says nothing of another
one. With ``seeds_vary: {split: true}`` a few more lineages are made in which split, training and sampling are crossed,
every level of each with every level of the others. They are for a table of variances, and never for a band or a test.
"""

from collections.abc import Iterator
from itertools import product

from ..core.seeds import Levels
from .faults import Fault
from .file import SEEDS_MAX, StudyFile

SPLITS = 3  # levels of the split: that of the study, and others
REPLICATES = 2  # levels of training, and of sampling: those of the first seeds


def design(file: StudyFile) -> list[Levels]:
    """The lineages of an arm among which everything that varies is crossed; none where the split does not."""
    vary = file.seeds_vary
    if not vary.split:
        return []
    counts = SPLITS, REPLICATES if vary.training else 1, REPLICATES if vary.sampling else 1
    return [Levels(*one) for one in product(*map(range, counts))]


def faults(file: StudyFile) -> Iterator[Fault]:
    """What cannot vary between the seeds of a study."""
    vary = file.seeds_vary
    if vary.split and file.data.source is None:
        said = "a population has no splits: each seed draws its own real data; leave it out"
        yield Fault(("seeds_vary", "split"), said)
    if not (vary.training or vary.sampling) and (file.seeds > 1 or not vary.split):
        said = f"neither training nor sampling varies: the {file.seeds} seeds would all be one lineage; let one vary"
        yield Fault(("seeds_vary",), said)
    elif file.together and not (vary.training and vary.sampling):
        yield Fault(("seeds_vary",), "together: all seeds vary in training and in sampling; leave it out")


def levels(file: StudyFile) -> dict[int, Levels]:
    """What each seed takes: the study's own, then those of the design that are not among them.

    These are numbered from the largest number of seeds on, so that more seeds later take nobody's place.
    """
    vary = file.seeds_vary
    own = {seed: Levels(0, seed * vary.training, seed * vary.sampling) for seed in range(file.seeds)}
    there = set(own.values())
    return own | {SEEDS_MAX + index: one for index, one in enumerate(design(file)) if one not in there}
