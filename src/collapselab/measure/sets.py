"""Sets of samples beside one another: read in their roles, all of one kind, and compared; the measuring of anybody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import Foreign
from ..core.sequences import met
from ..features import FEATURES, Features
from ..metrics import METRICS
from . import outside, pools

if TYPE_CHECKING:
    import pandas

PARTS = {"samples": "sampled", "against": "held_out", "train": "train"}
ROLES = tuple(PARTS)


def read(given: Mapping[str, Path | np.ndarray], **form: Any) -> dict[str, pools.Pool]:
    """The samples in each role, all of one kind, and in colour where one of them is. All faults are told together.

    given: by role, a path or an array in the form of a sample set's data. form: as ``pools.read`` takes it. Raises
    ValueError and Foreign, as that does, and ValueError for sets of several kinds, or vocabularies.
    """
    found: dict[str, pools.Pool] = {}
    faults: dict[str, ValueError] = {}
    for role, one in given.items():
        try:
            found[role] = pools.of_array(one, Path(role), **form) if _is_array(one) else pools.read(one, **form)
        except ValueError as error:
            faults[str(error)] = error
    if faults:
        damaged = next((error for error in faults.values() if isinstance(error, Foreign)), None)
        raise Foreign(damaged.path, "\n".join(faults)) if damaged else ValueError("\n".join(faults))
    kinds = {role: pool.kind for role, pool in found.items()}
    if len(set(kinds.values())) > 1:
        said = "; ".join(f"{found[role].path} holds {kind}" for role, kind in kinds.items())
        raise ValueError(f"{said}: allowed is one kind")
    met({str(pool.path): pool.lineage for pool in found.values()})
    colour = any(pool.channels == 3 for pool in found.values())
    return {role: pool.in_colour() if colour and form["channels"] != 1 else pool for role, pool in found.items()}


def _is_array(given: Path | np.ndarray) -> bool:
    return isinstance(given, np.ndarray)


def survey(found: Mapping[str, pools.Pool]) -> None:
    """Decode all pictures that will only be looked at one by one: what cannot be read is told now, and together."""
    faults = []
    for pool in found.values():
        if not isinstance(pool.data, pools.Pictures):
            continue
        try:
            pool.data.survey()
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))


@dataclass(frozen=True)
class Measured:
    """How two sets of samples compare: what ``collapselab measure`` prints, and writes as a record.

    record: values, each with its interval and fingerprint, as :meth:`to_dict` has it. scores: the scores of every
    sample by ``SCORE.EXTRACTOR``, (n,) float64 each, nan where there is none. called: the names of the samples; None
    where they have only numbers. sides: what the samples and those that they are compared with are called. said: what
    was read, a line a set. warnings: what to mind, in words.
    """

    record: Mapping[str, Any]
    scores: Mapping[str, np.ndarray] = field(repr=False)
    called: tuple[str, ...] | None = field(repr=False)
    sides: tuple[str, str]
    said: tuple[str, ...] = field(repr=False)
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([*self._lines(), "", outside.table(self.record, *self.sides)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        from html import escape

        return f"<p>{'<br>'.join(map(escape, self._lines()))}</p>{self.to_frame()._repr_html_()}"

    def _lines(self) -> list[str]:
        return [*self.said, *(f"warning: {warning}" for warning in self.warnings)]

    def __getitem__(self, name: str | tuple[str, str]) -> float | None:
        """A value of the samples by ``METRIC``, ``METRIC.PART``, or ``(EXTRACTOR, METRIC)`` where several looked at it.

        None where it is undefined. Raises KeyError, which lists what there is, for another name, and for a metric that
        several feature spaces have.
        """
        values = {(one["extractor"], one["metric"]): one["value"] for one in self._values("sampled")}
        found = [key for key in values if name in (key, key[1])]
        if len(found) != 1:
            kind = "several" if found else "none"
            raise KeyError(f"found {kind} of {name!r}; there are {', '.join(map(str, found or values))}")
        return values[found[0]]

    def to_dict(self) -> dict[str, Any]:
        """The record, as ``collapselab measure --out`` writes it and ``collapselab compare`` reads it."""
        return dict(self.record)

    def to_frame(self) -> "pandas.DataFrame":
        """A row for each number: set (``sampled``, or ``real`` for what real samples score in their place), extractor,
        metric, value, low, high (95 %), better (``lower``, ``higher`` or none), reason where there is no value.
        """
        import pandas

        told = ("value", "low", "high")
        rows = [
            {key: one[key] for key in ("set", "extractor", "metric")}
            | {key: np.nan if one.get(key) is None else one[key] for key in told}
            | {"better": METRICS[one["metric"].partition(".")[0]].better or "", "reason": one.get("reason", "")}
            for one in self.record["values"]
        ]
        return pandas.DataFrame(rows, columns=["set", "extractor", "metric", *told, "better", "reason"])

    def scores_frame(self) -> "pandas.DataFrame":
        """A row for each sample, a column for each score; the index is the samples' names, where they have some."""
        import pandas

        rows = max((len(column) for column in self.scores.values()), default=0)
        return pandas.DataFrame(dict(self.scores), index=pandas.Index(self.called or range(rows), name="sample"))

    def _values(self, which: str) -> list[Mapping[str, Any]]:
        return [one for one in self.record["values"] if one["set"] == which]


def compared(
    found: Mapping[str, pools.Pool],
    looks: Mapping[str, outside.Look],
    metrics: Mapping[str, Mapping[str, Any]],
    place: Callable[[str, Features], Features],
) -> Measured:
    """How the samples compare with real ones, in each feature space. found: by role, as :func:`read` gives them.

    Raises ValueError for pictures that cannot be read, and for a training set that is the one compared with.
    """
    survey(found)
    parts = {PARTS[role]: pool for role, pool in found.items()}
    counts, leaks = outside.leaks(parts)
    record, columns = outside.measured(*(found.get(role) for role in ROLES), looks, metrics, place)
    enlarged = (f"{pool.path}: {pool.enlarged}" for pool in found.values() if pool.enlarged)
    warnings = (*leaks, *enlarged, *outside.unlike(parts), *record.get("warnings", ()))
    said = (f"{'' if role == 'samples' else f'--{role} '}{pool.path}: {pool.said}" for role, pool in found.items())
    called, sides = found["samples"].called, tuple(str(found[role].path) for role in ("samples", "against"))
    record |= {"shared": counts} if counts else {}
    return Measured(record, columns, None if called is None else tuple(called), sides, tuple(said), warnings)


def streams(extractors: Mapping[str, Any]) -> bool:
    """Whether all of them look at pictures one by one, in whatever sizes: published networks do."""
    return all(FEATURES[name].needs.published and "images" in FEATURES[name].takes for name in extractors)
