"""A sample's line back to real data, link by link, from what the files of a study say of themselves.

Every file is verified as it is read, and every link by the hash that was recorded when it was made: a file that is
whole but is another one than was used is told as that, and ends the line.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import store
from ..core.errors import Damaged
from ..core.sets import TrainingTable
from ..data.provenance import read_told
from ..store.cells import Cell
from .ancestry import Ancestry, Place, ancestry
from .regimes import REAL

MODELS = ("adapted.safetensors", "model.safetensors")  # a model's files, of which the first that is named was sampled
POOLS = ("released.safetensors", "samples.safetensors")  # what pictures are exported from, with the same rows
TRAINING = "training.parquet"  # the training set of a model
PNG = b"\x89PNG\r\n\x1a\n"


class Link(NamedTuple):
    """One step of a line: what it says, the file where it stands, and whether that is the file that was used."""

    said: str
    file: str = ""
    holds: bool = True


class Eaten(NamedTuple):
    """A training set on the line: whose it is, and its parts as (arm or kind of real data, generation, rows)."""

    arm: str
    generation: int
    file: str
    parts: tuple[tuple[str, int, int], ...]
    ancestry: Ancestry | None = None


class Line(NamedTuple):
    """A row's line. links: from the row to its model, or to real data. sets: the training sets behind it, the last one
    first. real: the real files that these were made of, each with its identity.
    """

    links: list[Link]
    sets: list[Eaten]
    real: list[Link]

    @property
    def holds(self) -> bool:
        """Whether every file on it is the one that was used."""
        return all(link.holds for link in (*self.links, *self.real))


TRACED = "an exported picture, a sample set, a training set or a table of kept rows"


def trace(path: Path, row: int | None = None) -> Line:
    """The line of a row of a sample set, of a training table, or of a table of kept rows; or of an exported picture.

    Raises ValueError for another file, for a row that it has not, and where a picture does not say what it is of.
    """
    if not path.exists():
        raise FileNotFoundError(2, os.strerror(2), str(path))
    if not path.is_file():
        raise ValueError(f"{path}: is a folder or a device; allowed is {TRACED}")
    with open(path, "rb") as stream:
        is_picture = stream.read(len(PNG)) == PNG
    walk = _Walk()
    if is_picture:
        links, model = walk.of_picture(path, row)
    elif path.suffix not in (".safetensors", ".parquet"):
        raise ValueError(f"{path}: has no rows with a line; allowed is {TRACED}")
    elif row is None:
        raise ValueError(f"{path}: is not a picture that says of which row it is; say --row N")
    elif path.suffix == ".parquet":
        links, model = walk.of_table(path, row)
    else:
        links, model = walk.of_row(str(path), row)
    sets = walk.behind(model) if model else []
    return Line([*links, *walk.ends], sets, walk.real)


class _Walk:
    """Goes from file to file. real, ends: the real files that it came to, and the links at which it could not go on.
    painters: of a model of labels alone, the one that drew samples of them."""

    def __init__(self) -> None:
        self.painters: dict[str, str] = {}
        self.real: list[Link] = []
        self.ends: list[Link] = []

    # -- from a row to its model ---------------------------------------------------------------------------------------

    def of_picture(self, path: Path, row: int | None) -> tuple[list[Link], str | None]:
        """The line of a picture, which says itself which sample it is."""
        try:
            told = read_told(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if "source" in told and "study" not in told:
            of = f", its number {told['index']} among those that were exported" if "index" in told else ""
            return [Link(f"a real picture of the data set {told['source']!r}{of}", str(path))], None
        if missing := [name for name in ("study", "arm", "seed", "generation") if name not in told]:
            said = f"does not say its {', '.join(missing)}; allowed are pictures that collapselab export wrote"
            raise ValueError(f"{path}: {said}")
        if wrong := [name for name in ("seed", "generation") if not (told[name].isascii() and told[name].isdigit())]:
            raise ValueError(f"{path}: says as its {wrong[0]} {told[wrong[0]][:80]!r}; allowed are whole numbers")
        index = told.get("index", "" if row is None else str(row))
        if not (index.isascii() and index.isdigit()):
            raise ValueError(f"{path}: is a sheet of several samples; say which by --row N, or trace the sample set")
        cell = Cell(told["study"], told["arm"], int(told["seed"]), int(told["generation"]))
        pool = next((cell.path(noun) for noun in POOLS if Path(cell.path(noun)).exists()), cell.path(POOLS[-1]))
        said = f"by its own words sample {index} of {cell.arm}, seed {cell.seed}, generation {cell.generation}"
        links, model = self.of_row(pool, int(index))
        return [Link(f"{said}, of the study {cell.study!r}", str(path)), *links], model

    def of_table(self, path: Path, row: int) -> tuple[list[Link], str | None]:
        """The line of a row of a training set, or of a table of kept rows."""
        if path.name == "kept.parquet":
            return self._of_kept(path, row)
        table = store.read_training(path)
        _expect_row(path, row, len(table))
        begin = 0
        for part in table.references:
            if row < begin + len(part.rows):
                break
            begin += len(part.rows)
        number = int(part.rows[row - begin])
        said = f"row {row} of the training set is row {number} of {part.path}, {whose(part.arm, part.generation)}"
        links, model = self.of_row(part.path, number, part.source)
        return [Link(said, str(path)), *links], model

    def _of_kept(self, path: Path, row: int) -> tuple[list[Link], str | None]:
        kept = store.read_kept(path)
        _expect_row(path, row, len(kept.rows))
        number, inputs = int(kept.rows[row]), kept.lineage.get("inputs", {})
        pool = next((name for noun in (*POOLS, "marked.safetensors") for name in inputs if name.endswith(noun)), None)
        if pool is None:
            raise ValueError(f"{path}: does not say from which samples its rows were chosen")
        said = f"row {row} of those that {kept.judge} kept is sample {number} of {pool} ({kept.reasons[row]})"
        links, model = self.of_row(pool, number, inputs[pool])
        return [Link(said, str(path)), *links], model

    def of_row(self, path: str, row: int, digest: str | None = None) -> tuple[list[Link], str | None]:
        """The line of a row of a sample set, and the model that made it; None of a real one, and where it ends."""
        if digest is not None and (lost := _lost(path, digest)) is not None:
            return [lost], None
        try:
            samples = store.read_samples(Path(path))
        except Damaged as error:
            return [_refused(path, error)], None
        _expect_row(Path(path), row, len(samples))
        said = samples.lineage
        if "source" in said or "population" in said:
            return [Link(_real_row(said, samples.aux, row), path)], None
        if "parts" in said:
            return self._of_drawn(path, row, said)
        drawn_by = said.get("drawn_by", {}).get("model")
        made_by = [name for name in said.get("inputs", {}) if name != drawn_by]
        model = next((name for noun in MODELS for name in made_by if name.endswith(noun)), None)
        if model is None:
            return [Link("its file does not say which model made it", path, False)], None
        how = f"sample {row} that the model of generation {said.get('generation')} made, with seed {said.get('seed')}"
        how += f", random stream {said.get('stream')}" if "stream" in said else ""
        beside = [f"{key} {said[key]}" for key in ("transforms", "mark", "guide") if said.get(key)]
        beside += [f"sampler {said['sampler']}"] if said.get("sampled_by") else []
        beside += [f"of the label {samples.labels[row]}, drawn by {drawn_by}"] if drawn_by else []
        beside += [f"sampling bias {said['sampling_bias']}"] if said.get("sampling_bias", 1.0) != 1.0 else []
        if (gone := _lost(model, said["inputs"][model])) is not None:
            return [Link(", ".join([how, *beside]), path), gone], None
        if drawn_by and (gone := _lost(drawn_by, said["inputs"][drawn_by])) is not None:
            self.ends.append(gone)
        elif drawn_by:
            self.painters[model] = drawn_by
        return [Link(", ".join([how, *beside]), path)], model

    def _of_drawn(self, path: str, row: int, said: Mapping[str, Any]) -> tuple[list[Link], str | None]:
        """The line of a row that was made for one training set: a draw of a known truth, or of an ancestor anew."""
        ends = np.cumsum([count for *_, count in said["parts"]])
        place = int(np.searchsorted(ends, row, side="right"))
        arm, generation, count = said["parts"][place]
        number, inputs = row - int(ends[place]) + count, said.get("inputs", {})
        where = f"number {number} of {count}, {whose(arm, generation)}"
        own = _model_of(inputs, arm, generation)
        if arm in REAL:
            return [Link(f"{where}: drawn for this training set from {_truth_in(inputs)}", path)], None
        if own is None or (gone := _lost(own, inputs[own])) is not None:
            return [Link(f"{where}: drawn anew from its model", path), *([gone] if own else [])], None
        return [Link(f"{where}: drawn anew from its model", path)], own

    # -- from a model to real data -------------------------------------------------------------------------------------

    def behind(self, model: str) -> list[Eaten]:
        """The training sets behind a model, of all generations, the last first, with their real ancestry.

        Those of the models that it began from, or was changed by, are among them: what these learnt is in its weights.
        """
        found: dict[str, Eaten] = {}
        waiting, seen = [model], {model}
        while waiting:
            name = waiting.pop()
            further = [self.painters[name]] if name in self.painters else []
            inputs = self._made_of(name)
            further += [one for one in inputs if one.endswith(MODELS) and not self._is_lost(one, inputs[one])]
            for place in (one for one in inputs if one.endswith(TRAINING) and one not in found):
                table = self._table(place, inputs[place])
                if table is None:
                    continue
                parts, models = self._parts(table)
                cell = Cell.parse(place)
                arm, generation = (cell[0].arm, cell[0].generation) if cell else ("?", -1)
                found[place] = Eaten(arm, generation, place, tuple((*where, rows) for where, rows in parts.items()))
                further += models
            waiting += [one for one in dict.fromkeys(further) if one not in seen]
            seen |= set(further)
        return self._with_ancestry(found)

    def _made_of(self, model: str) -> Mapping[str, str]:
        """The files that a model was made of, with their hashes."""
        try:
            inputs = store.read_tensors(Path(model))[1].get("lineage", {}).get("inputs", {})
        except Damaged as error:
            self.ends.append(_refused(model, error))
            return {}
        if not any(one.endswith(TRAINING) for one in inputs):
            self.ends.append(Link("a model from outside: its file names no training set", model))
            return {}
        return inputs

    def _table(self, name: str, digest: str) -> TrainingTable | None:
        """A training set that a model was made of; None where it is lost."""
        if self._is_lost(name, digest):
            return None
        try:
            return store.read_training(Path(name))
        except Damaged as error:
            self.ends.append(_refused(name, error))
            return None

    def _is_lost(self, path: str, digest: str) -> bool:
        """Whether the line ends at a file, which is then told, once."""
        lost = _lost(path, digest)
        if lost is not None and lost not in self.ends:
            self.ends.append(lost)
        return lost is not None

    def _parts(self, table: TrainingTable) -> tuple[dict[Place, int], list[str]]:
        """What a training set consists of, and the models that made its synthetic parts."""
        parts: dict[Place, int] = {}
        models = []
        for part in table.references:
            place = part.arm, part.generation
            parts[place] = parts.get(place, 0) + len(part.rows)
            if len(part.rows):
                links, model = self.of_row(part.path, int(part.rows[0]), part.source)
                self.ends += [link for link in links if not link.holds]
                models += [model] if model else []
                if model is None and links[-1].holds and part.arm in REAL:
                    self._add_real(part.path)
        return parts, models

    def _add_real(self, path: str) -> None:
        if path not in [link.file for link in self.real]:
            self.real.append(Link(_identity(store.read_samples(Path(path)).lineage), path))

    @staticmethod
    def _with_ancestry(found: Mapping[str, Eaten]) -> list[Eaten]:
        """Training sets with their real ancestry, the last generation first; a base's is that of its arms."""
        arms = {arm for one in found.values() for arm, generation, _ in one.parts if arm not in REAL}
        eaten: dict[Place, Any] = {}
        for one in found.values():
            names = arms if one.generation == 0 else {one.arm}
            eaten |= {(name, one.generation): one.parts for name in {*names, one.arm}}
        known = ancestry(eaten)
        rows = sorted(found.values(), key=lambda one: (-one.generation, one.arm))
        return [one._replace(ancestry=known.get((one.arm, one.generation))) for one in rows]


def _model_of(inputs: Mapping[str, str], arm: str, generation: int) -> str | None:
    """Of the models that rows were drawn from that of an arm's generation; generation 0 is that of the arm's base."""
    models = {name: found[0] for name in inputs if name.endswith(MODELS) and (found := Cell.parse(name))}
    same = [name for name, cell in models.items() if cell.generation == generation]
    own = [name for name in same if models[name].arm == arm]
    return next(iter([*own, *same]), None)


# -- words and checks --------------------------------------------------------------------------------------------------


def whose(arm: str, generation: int) -> str:
    return f"real ({arm})" if arm in REAL else f"of {arm}, generation {generation}"


def _expect_row(path: Path, row: int, rows: int) -> None:
    if not 0 <= row < rows:
        allowed = f"allowed are 0 to {rows - 1}" if rows else "it has none: its lineage had ended before"
        raise ValueError(f"--row: found {row}; {allowed} ({path})")


def _lost(path: str, digest: str | None) -> Link | None:
    """The link at which a line ends: a file that is gone, or another one than was used; None where it goes on."""
    if not (Path(path).exists() and store.hash_path(Path(path)).exists()):
        return Link("is not there any more, and the line ends here", path, False)
    if digest is not None and (found := store.recorded_hash(Path(path))) != digest:
        said = f"holds {found[:12]}…, and {digest[:12]}… was used: it was made again since, and the line ends here"
        return Link(said, path, False)
    return None


def _refused(path: str, error: Damaged) -> Link:
    """The link at which a line ends since a file's reader refuses it."""
    return Link(str(error).removeprefix(f"{path}: "), path, False)


def _real_row(said: Mapping[str, Any], aux: Mapping[str, np.ndarray], row: int) -> str:
    """A row of real data, by its number in the data set that it comes from."""
    if "row" in aux:
        return f"real: number {int(aux['row'][row])} of {_identity(said)}"
    return f"real: draw {row} of {_identity(said)}"


def _identity(said: Mapping[str, Any]) -> str:
    """Which real data a file holds, in words."""
    if "parts" in said:
        return f"drawn for one training set from {_truth_in(said.get('inputs', {}))}"
    name = f"the data set {said['source']!r}" if "source" in said else f"the population {said.get('population')!r}"
    keys = (key for key in ("digest", "options", "split_seed", "part") if key in said)
    return ", ".join([name, *(f"{key.replace('_', ' ')} {said[key]}" for key in keys)])


def _truth_in(inputs: Mapping[str, str]) -> str:
    """The known population that is among the files from which rows were drawn."""
    path = next((Path(name) for name in inputs if name.endswith("population.safetensors")), None)
    if path is None or not path.exists():
        return "a known population, whose file is not there any more"
    about = store.read_tensors(path)[1]
    return f"the population {about['family']!r}, options {about['options']}"
