"""What metrics stand for, as the registry says: of those that were measured the ones to rest on, best first."""

from collections.abc import Iterable

from ..metrics import METRICS, Roles


def roles_of(metric: str) -> Roles:
    """The roles of a metric or of one of its named numbers; none of one that nobody knows."""
    entry = METRICS.get(metric.partition(".")[0])
    return Roles() if entry is None else entry.roles


def reads_classes(metric: str) -> bool:
    """Whether it sees nothing but the classes of samples."""
    entry = METRICS.get(metric.partition(".")[0])
    return entry is not None and entry.reads == "classes"


def standing_for(what: str, metrics: Iterable[str]) -> list[str]:
    """Those of some metrics that stand for risk, variance, modes, tails or reality, best first.

    That is in the order of the registry, but where the truth is known it goes before what estimates it.
    """
    found = {name for name in metrics if what in roles_of(name).stands_for}
    return sorted(found, key=lambda name: (*_place(name), not roles_of(name).truth_of))


def losable(metrics: Iterable[str]) -> list[str]:
    """Those of some metrics that are lost in a collapse, the best known first: the truth after what estimates it."""
    found = {name for name in metrics if roles_of(name).losable}
    return sorted(found, key=lambda name: (*_place(name), bool(roles_of(name).truth_of)))


def truths(metrics: Iterable[str]) -> dict[str, list[str]]:
    """Metric -> those of some metrics that know what it estimates, or the rest of it to one, best first."""
    order = list(METRICS)
    known = sorted((name for name in metrics if roles_of(name).truth_of), key=lambda name: (order.index(name), name))
    found: dict[str, list[str]] = {}
    for name in known:
        found.setdefault(roles_of(name).truth_of, []).append(name)
    return found


def _place(name: str) -> tuple[int, str]:
    """Where a metric stands in the registry, or what it is the truth of."""
    beside, order = roles_of(name).truth_of or name, list(METRICS)
    return order.index(beside) if beside in order else len(order), beside
