"""Which of the files that jobs read Snakemake is told of: as few as it takes to plan the same.

Snakemake's time goes into files: each input of each job is looked up, matched with the rules that could make it, and
asked after on disk. A training of the hundredth generation of an accumulating arm reads a hundred sample sets; but the
last of them was made by the model of the generation before, whose training has read all the others. What changes one
of them has that training run again, and so this one: Snakemake need not be told twice.
"""

from collections.abc import Callable, Collection
from functools import lru_cache

from ..store import hash_path
from ..store.cells import NOUNS, Cell
from . import jobs, layout
from .jobs import Place
from .study import Study

Names = Callable[[str], Collection[str]]
"""folder -> the names of what lies there; ``layout.names_in``, or what it has found."""


def inputs(study: Study, verb: str, place: Place, names: Names = layout.names_in) -> dict[str, bool]:
    """The files that a job reads, without those that are upstream of another of them; and whether the date of a file's
    hash counts.

    A file that is not there is left out only where nothing is there of what was made of it on the way: else Snakemake
    takes what lies between as it is, and would not ask for the file. It is told of such a one only lately, and has not
    kept what its hash was when the job ran, so that a later date would be a change to it: the date does not count.
    """
    reads = _reads(study, verb, place)
    if len(reads) < 2:
        return dict.fromkeys(reads, True)
    kept, upstream, sure = {}, set(), set()
    left = sorted(reads, key=_generation)
    while left:
        file = left.pop()
        if file in upstream and (file in sure or is_there(file, names)):
            continue
        kept[file] = file not in upstream
        before = _upstream(study, file) if left else set()
        upstream |= before
        if before and not names(file.rpartition("/")[0]):
            sure |= before
    return kept


def content(file: str, names: Names = layout.names_in, dated: bool = True) -> dict[str, bool]:
    """What stands for a file: its hash, written after it; and itself, where it has gone and has left its hash behind.
    With each, whether its date counts: of a hash alone, where ``dated``.

    So a touched date of the file replans nothing; one that has gone is made again before it is read.
    """
    found = names(file.rpartition("/")[0] or ".")
    name, digest = file.rpartition("/")[2], str(hash_path(file))
    gone = name not in found and digest.rpartition("/")[2] in found
    return {file: False, digest: dated} if gone else {digest: dated}


def is_there(file: str, names: Names = layout.names_in) -> bool:
    """Whether a file lies there with its hash."""
    folder, _, name = file.rpartition("/")
    return {name, hash_path(name).name} <= set(names(folder))


def _generation(file: str) -> int:
    """The generation of a file; -1 of what is no generation's."""
    number = file.rpartition("/")[0].rpartition("/gen")[2]
    return int(number) if number.isdecimal() else -1


_reads = lru_cache(maxsize=64)(jobs.inputs)  # of what is asked of several times, one after the other


def _upstream(study: Study, file: str) -> set[str]:
    """What is read by the jobs of the file's own generation that lead to it; of the report, what it is drawn from."""
    if file == study.report_file("report.html"):
        return set(_reads(study, "report", Place()))
    found, seen = Cell.parse(file), set()
    if found is None:
        return seen
    folder, queue = f"{found[0].folder}/", [found[1]]
    while queue:
        reads = _reads(study, *_maker(found[0], queue.pop()))
        queue += [one.removeprefix(folder) for one in reads if one.startswith(folder) and one not in seen]
        seen.update(reads)
    return seen


def _maker(cell: Cell, noun: str) -> tuple[str, Place]:
    """The job that makes a file of a generation."""
    role = noun.removeprefix("auxiliary-").partition(".")[0] if noun.startswith("auxiliary-") else ""
    verb = "auxiliary" if role else NOUNS[noun].verb
    return verb, Place(cell.arm, cell.seed, cell.generation, role=role)
