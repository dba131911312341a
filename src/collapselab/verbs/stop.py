"""When a lineage is stopped: a decision after each of its generations, from the numbers of their records alone."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

BOUNDS = ("below", "above", "within")
OF = {"collapsed": ("below", "above"), "converged": ("within",), "diverged": ()}
"""kind of a rule -> its bounds, of which it says one."""


class Rule(NamedTuple):
    """When a lineage has come to its end. when: collapsed, its metric below or above a bound in so many generations one
    after the other; converged, its metric within a width over as many; diverged, its training has.
    """

    when: Literal["collapsed", "converged", "diverged"]
    metric: str = ""
    extractor: str = ""
    below: float | None = None
    above: float | None = None
    within: float | None = None
    generations: int = 1


def decide(rules: Sequence[Rule], records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The first of the rules that holds after the last generation, with its numbers; None where none does.

    records: of generations of one lineage, the last one last, without a gap; a rule that asks for more of them than
    there are does not hold. A value that is not determined breaks a row of generations: nothing is known of it.
    """
    for rule in rules:
        last = records[-rule.generations :]
        if rule.when == "diverged":
            holds, values = records[-1]["status"] == "diverged", []
        else:
            values = [_value(record, rule) for record in last]
            holds = len(last) == rule.generations and None not in values and _holds(rule, values)
        if holds:
            said = {name: value for name, value in rule._asdict().items() if value not in (None, "")}
            return {"generation": records[-1]["generation"], "when": rule.when, "rule": said, "values": values}
    return None


def _holds(rule: Rule, values: Sequence[float]) -> bool:
    if rule.when == "converged":
        return max(values) - min(values) <= rule.within
    if rule.below is not None:
        return all(value < rule.below for value in values)
    return all(value > rule.above for value in values)


def _value(record: Mapping[str, Any], rule: Rule) -> float | None:
    """What a record says of a rule's metric, of the samples as they were sampled; None where it is not determined."""
    wanted = rule.metric, rule.extractor, "sampled"
    found = (one["value"] for one in record["values"] if (one["metric"], one["extractor"], one["set"]) == wanted)
    return next(found, None)
