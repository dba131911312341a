"""Whether a whole file belongs where it lies: a hash says that its bytes are those that were written, not that they
are of this generation of this lineage.

A file says of itself of which generation and replicate it is, and which files it was made of, with their hashes. The
place where it lies says it, too. And the verb that wrote it has noted there what it left. All that is said must agree.
What is not said is not held against a file: those of earlier versions say less, and a thinned file has no hash.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import Damaged
from .bytes import content_hash, differing, known_hash, noted
from .cells import Cell, Spot

EARLIER = {"drawn.safetensors", "training.parquet"}  # made of what earlier generations have left, and of real data
HELD = {"sampled": "samples.safetensors", "raw": "raw.safetensors", "training": "training.parquet"}
"""What a record names by its role -> the file beside it."""
BASE = "base_"  # with this begins the arm in which other arms' generation 0 is trained
CURE = "put the right file there, with its hash; or delete both, and the workflow makes it anew"


_runs_on: list[bool] = []


@contextmanager
def while_running() -> Iterator[None]:
    """Within it a study may be half remade: a file may be of an earlier run than what it was made of."""
    _runs_on.append(True)
    try:
        yield
    finally:
        _runs_on.pop()


def check(path: Path, digest: str, metadata: Any) -> None:
    """Nothing. Raises Damaged for a file that belongs elsewhere, or that was made of other files than lie there now.

    digest: its verified hash. metadata: what the file says of itself. The file stays where it is: it is whole, and may
    be the only one. Only files in the grammar of ``results/`` have a place where they belong.
    """
    spot = Spot.of(path)
    if spot is None:
        return
    said = metadata if isinstance(metadata, Mapping) else {}
    lineage = said.get("lineage")
    lineage = lineage if isinstance(lineage, Mapping) else {}
    made_of = dict(_made_of(spot, lineage))
    if spot.cell and (fault := _fault(spot, spot.cell, _facts(said, lineage), made_of)):
        raise Damaged(path, f"is whole and belongs elsewhere: {fault}; {CURE}")
    if fault := _unknown(spot, digest):
        says = _in_words(_facts(said, lineage), made_of)
        raise Damaged(path, f"is whole and belongs elsewhere: {fault}{says}; {CURE}")
    if not _runs_on:
        _check_sources(path, spot, made_of)


# -- what a file says of itself ----------------------------------------------------------------------------------------


def _facts(said: Mapping[str, Any], lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Of which study, arm, seed and generation a file says that it is, as far as it does.

    A record names its cell; of others ``replicate`` is the seed whose random numbers they take.
    """
    names = ("study", "arm", "seed", "generation")
    if isinstance(said.get("arm"), str):
        return {name: said[name] for name in names if name in said}
    facts = {name: lineage[name] for name in names if name in lineage}
    if "arm" not in facts and "seed" in facts:
        facts["replicate"] = facts.pop("seed")
    recipe = lineage.get("recipe")
    if isinstance(recipe, Mapping) and "generation" in recipe:
        facts["generation"] = recipe["generation"]
    return facts


def _made_of(spot: Spot, lineage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files of results that a file says it was made of, as places, and their hashes then."""
    inputs = lineage.get("inputs")
    listed = inputs if isinstance(inputs, Mapping) else lineage
    for name, digest in listed.items():
        if not isinstance(digest, str):
            continue
        if name in HELD and spot.cell:
            yield spot.cell.path(HELD[name]), digest
        elif found := Spot.of(Path(str(name).removeprefix("parent "))):
            yield found.place, digest


def _in_words(facts: Mapping[str, Any], made_of: Mapping[str, str]) -> str:
    """What a file says that it is."""
    words = [f"{name} {value}" for name, value in facts.items()]
    words += [f"made of {', '.join(made_of)}"] if made_of else []
    return f"; it says that it is of {', '.join(words)}" if words else ""


# -- what must agree ---------------------------------------------------------------------------------------------------


def _fault(spot: Spot, cell: Cell, facts: Mapping[str, Any], made_of: Mapping[str, str]) -> str:
    """Why a file cannot be of the cell in which it lies; empty for nothing."""
    here = cell._asdict()
    for name, value in facts.items():
        # The random numbers of a replicate are its own, or those of an earlier one where the study lets them not vary.
        wrong = here[name] != value if name in here else not isinstance(value, int) or value > cell.seed
        if wrong:
            known = "seed" if name == "replicate" else name
            return f"it says that it is of {known} {value}{_beside(made_of)}, and lies in {known} {here[known]}"
    eaten = [found[0] for place in made_of if (found := Cell.parse(place))]
    for one in eaten:
        for name in ("study", "seed"):
            if getattr(one, name) != here[name]:
                return f"it was made in {name} {getattr(one, name)} (of {one.folder}), and lies in {name} {here[name]}"
    latest = max((one.generation for one in eaten), default=None)
    if latest is None:
        return ""
    earlier = spot.place.rpartition("/")[2] in EARLIER and latest < cell.generation
    if not earlier and latest != cell.generation:
        return f"it was made of generation {latest}, and lies in generation {cell.generation}"
    latest_ones = [one for one in eaten if one.generation == latest]
    strangers = [one for one in latest_ones if one.arm != cell.arm and not _is_start(one)]
    if earlier or not strangers or any(one.arm == cell.arm for one in latest_ones):
        return ""
    return f"it was made in arm {strangers[0].arm}, and lies in arm {cell.arm}"


def _is_start(one: Cell) -> bool:
    return one.generation == 0 and one.arm.startswith(BASE)


def _beside(made_of: Mapping[str, str]) -> str:
    return f", made of {next(iter(made_of))}" if made_of else ""


def _unknown(spot: Spot, digest: str) -> str:
    """Why nobody can have left a file where it lies, by what was noted there; empty for nothing, or for no note."""
    notes = noted(spot)
    if digest in notes.get(spot.place, ()):
        return ""
    name = spot.place.rpartition("/")[2]
    there = sorted(place for place in notes if place.rpartition("/")[2] == name)
    if not there:
        return ""
    on_purpose = f"if it was put there on purpose, delete {spot.notes.name} beside it"
    if spot.place not in notes:
        return f"by {spot.notes.name}, it was written as {there[0]}, and it lies at {spot.place} ({on_purpose})"
    return f"no file of the SHA-256 {digest[:12]}… was ever written there, by {spot.notes.name} ({on_purpose})"


def _check_sources(path: Path, spot: Spot, made_of: Mapping[str, str]) -> None:
    """Raise Damaged where a file was made of others than lie there now: of which of the two, the notes may know."""
    for place, then in made_of.items():
        source = Path(str(path).removesuffix(spot.place) + place)  # as it was asked for, where that says its place
        if not str(path).endswith(spot.place):
            source = Path(spot.root + place)
        now = known_hash(source)
        if now in ("", then):  # it may have been thinned
            continue
        if source.is_file() and (found := content_hash(source)) != now:
            raise differing(source, found, now)
        if (there := Spot.of(source)) and (fault := _unknown(there, now)):
            raise Damaged(source, f"is whole and belongs elsewhere: {fault}; {CURE}")
        raise Damaged(
            path,
            f"was made of {place} when that had the SHA-256 {then[:12]}…, and there lies {now[:12]}… now: one of the "
            f"two belongs elsewhere or is of another run; let the workflow finish, if it has not; else put the right "
            f"one there, with its hash, or delete {path} and its hash, and the workflow makes it anew",
        )
