"""Whether a lineage is stopped: decided after each generation, and told to what would come after it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..verbs import stop as verb
from .inputs import hashes
from .options import Out, json_of

app = typer.Typer(rich_markup_mode=None)

Decided = Annotated[
    list[Path] | None, typer.Option("--stop", help="a decision of the stop verb that may end the lineage before this")
]


@app.command(hidden=True)
def stop(
    record: Annotated[list[Path], typer.Option(help="records of generations of a lineage, the last one last")],
    out: Out,
    rules: Annotated[str, typer.Option(help="JSON list of rules, of which the first that holds counts")] = "[]",
    before: Annotated[Path | None, typer.Option(help="the decision after the generation before")] = None,
    next: Annotated[Path | None, typer.Option(help="the next training set, which may be there already")] = None,
) -> None:
    """Decide whether a lineage is stopped after a generation; what was stopped stays so."""
    wanted = [_rule(said) for said in json_of(rules, "--rules", list)]
    found = decided([before] if before else None) or _acted_upon(next)
    records = [store.read_json(path) for path in record]
    with store.understood(record[-1]):
        found = found or (verb.decide(wanted, records) if wanted else None)
    place = {key: records[-1].get(key) for key in ("study", "arm", "seed", "generation")}
    inputs = hashes(*record, *([before] if before else []))
    store.write_json(out, place | {"stopped": found, "lineage": {"inputs": inputs}})


def _rule(said: Any) -> verb.Rule:
    """A rule as JSON has it. Raises BadParameter for what is none."""
    when = said.get("when") if isinstance(said, dict) else None
    if when in verb.OF and said.keys() <= set(verb.Rule._fields):
        bounds = {name: said[name] for name in verb.BOUNDS if said.get(name) is not None}
        right = bounds.keys() <= set(verb.OF[when]) and len(bounds) == bool(verb.OF[when])
        if right and all(type(one) in (int, float) for one in (*bounds.values(), said.get("generations", 1))):
            return verb.Rule(**said)
    raise typer.BadParameter(f"found {said}; allowed are rules as a study's stop says them", param_hint="--rules")


def decided(decisions: Sequence[Path] | None) -> dict[str, Any] | None:
    """Why a lineage is stopped, by the first of its decisions that says so; None where it goes on."""
    for path in decisions or ():
        said = store.read_json(path)
        with store.understood(path):
            if (stopped := said["stopped"]) is not None:
                return dict(stopped)
    return None


def _acted_upon(training: Path | None) -> dict[str, Any] | None:
    """The decision that a next training set was made by: a lineage that has ended there is not taken up by a rule that
    was changed since. Who wants that deletes its later generations.
    """
    if training is None or not (training.exists() and store.hash_path(training).exists()):
        return None
    store.verify(training)
    with store.understood(training):  # its sources may have been made anew since: it will be, too
        mark: Mapping[str, Any] = store.said(training)["lineage"].get("diverged") or {}
    return dict(mark["stopped"]) if isinstance(mark.get("stopped"), dict) else None


def mark_of(stopped: Mapping[str, Any]) -> dict[str, Any]:
    """What the files of a lineage say where it was stopped, in the place of what they would hold: as of one that
    diverged, so that whoever reads them passes it on. The decision itself, and not the hash of its file: that may be
    decided anew, to the same, from other records.
    """
    return {"generation": stopped["generation"], "images_seen": 0, "stopped": dict(stopped)}
