"""Do modes of the real data disappear? Counts of classes, held against what so few samples leave open."""

from collections.abc import Mapping, Sequence

from ..measure.roles import reads_classes
from .definitions import CLASSES_GIVEN, stand_in
from .facts import Endpoint, StudyFacts
from .findings import Finding, not_testable
from .records import Record, indexed, lineages
from .statistics import CONFIDENCE, FEWEST
from .words import and_ended, natural

LOST = 0.1  # a class is lost when its share falls below this part of the real one


def lost_modes(facts: StudyFacts, records: Sequence[Record]) -> list[Finding]:
    """Definition 6, modes of the real data disappear: classes whose share falls below a tenth of the real one.

    The real share is that of the reference, or else that of the lineage's own first generation. A class is there or
    gone, so lineages are counted, not averaged: collapse when each of them has surely lost one, no collapse when each
    has surely kept all. Sure is what would be seldom by chance (:func:`chances`), of so many classes where one is lost.
    """
    records = indexed(records)
    return [_of_arm(facts, records, arm, stand_in(facts, records, "modes", arm)) for arm in facts.arms]


def _of_arm(facts: StudyFacts, records: Sequence[Record], arm: str, endpoint: Endpoint | None) -> Finding:
    """endpoint: what stands for the modes in the arm."""
    if arm in facts.classes_given and (endpoint is None or reads_classes(endpoint.metric)):
        return not_testable("lost_modes", [arm], CLASSES_GIVEN)[0]
    if endpoint is None:
        return not_testable("lost_modes", [arm], "no class histogram was measured")[0]
    metrics = {metric for metric, _, _ in indexed(records).measured}
    classes = sorted((metric for metric in metrics if metric.startswith(f"{endpoint.metric}.")), key=natural)
    real = facts.reference.get(endpoint.extractor, {})
    lost: dict[int, list[str]] = {}
    unsure: dict[int, list[str]] = {}
    for metric in classes:
        own = Endpoint(metric, endpoint.extractor, endpoint.set)
        counts = indexed(records).counts(arm, own)
        for seed, lineage in lineages(records, arm, own).items():
            of_seed = counts.get(seed, {})
            if len(lineage) < 2 or not all(t in of_seed for t in (min(lineage), max(lineage))):
                continue
            known = (real[metric], of_seed[max(lineage)][1]) if metric in real else None
            fate = _fate(lineage, of_seed, known, len(classes))
            lost.setdefault(seed, []).extend([metric.split(".", 1)[1]] if fate == "lost" else ())
            unsure.setdefault(seed, []).extend([metric.split(".", 1)[1]] if fate == "unsure" else ())
    losers, doubtful = sum(map(bool, lost.values())), sum(map(bool, unsure.values()))
    status = "inconclusive"
    if len(lost) >= FEWEST and losers == len(lost):
        status = "collapse"
    elif len(lost) >= FEWEST and not losers and not doubtful:
        status = "no collapse"
    sentence = f"{_told(lost, losers, unsure)}: {_conclusion(status, len(lost))}.{and_ended(records, facts, arm)}"
    numbers = {"lineages": len(lost), "lineages_with_loss": losers, "lineages_in_doubt": doubtful}
    return Finding("lost_modes", arm, status, sentence, numbers)


def _fate(
    lineage: Mapping[int, float], counts: Mapping[int, tuple[int, int]], real: tuple[float, int] | None, classes: int
) -> str:
    """Whether a class of a lineage is lost, kept or unsure. real: its share, and the real rows that tell it."""
    last, first = max(lineage), min(lineage)
    below, above = chances(lineage[last], counts[last][0], *(real or (lineage[first], counts[first][0])))
    if below <= (1 - CONFIDENCE) / classes:  # one of so many classes would be seldom
        return "lost"
    return "kept" if above <= 1 - CONFIDENCE else "unsure"


def chances(share: float, n: int, real_share: float, rows: int) -> tuple[float, float]:
    """The chances of so few and of so many samples of a class whose true share is a tenth of the real one.

    Given k of n samples and m of N real rows, k of k + m has the binomial law of the share n / 10 / (n / 10 + N), as
    counts that are Poisson have (Przyborowski and Wilenski 1940). Of a real share that is known (no rows) k itself has
    that of a tenth of it.
    """
    from scipy import special

    count = round(share * n)
    of, tenth = n, LOST * real_share
    if rows:
        of, tenth = count + round(real_share * rows), LOST * n / (LOST * n + rows)
    above = special.bdtrc(count - 1, of, tenth) if count else 1.0
    return float(special.bdtr(count, of, tenth)), float(above)


def _told(lost: Mapping[int, Sequence[str]], losers: int, unsure: Mapping[int, Sequence[str]]) -> str:
    def names(of_seeds: Mapping[int, Sequence[str]]) -> str:
        return ", ".join(sorted({name for found in of_seeds.values() for name in found}, key=natural))

    if losers:
        return f"Classes are lost in {losers} of {len(lost)} lineages ({names(lost)})"
    if any(unsure.values()):
        return f"No class is surely lost, and so many samples do not tell of all that they are kept ({names(unsure)})"
    return "No class is lost" if lost else "No class was counted at two generations"


def _conclusion(status: str, lineages: int) -> str:
    if lineages < FEWEST:
        return f"inconclusive, since a verdict needs at least {FEWEST} lineages and there are {lineages}"
    return status
