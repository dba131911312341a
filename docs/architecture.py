"""Writes docs/architecture.md and its picture docs/architecture.svg from the import graph. A test compares them.

python docs/architecture.py
"""

import ast
from collections.abc import Mapping
from pathlib import Path

import grimp

PAGE = Path(__file__).with_suffix(".md")
PICTURE = Path(__file__).with_suffix(".svg")
PACKAGE = Path(__file__).parents[1] / "src" / "collapselab"
BOX, GAP, FLOOR = (128, 34), 16, 74  # pixels
INK, PAPER, LINE = "#1f2933", "#ffffff", "#9aa5b1"

INTRODUCTION = """\
# Where things live, and why

For whoever reads or changes the code: which part does what, what may import what, and what happens to a command. This
page and its picture are written by `python docs` from the import graph and the docstrings.

![The rooms of the package, and which imports which](architecture.svg)

A room imports only from rooms that stand lower; `lint-imports` keeps it so, and no module imports itself through
others, imports inside functions counted (`tests/test_structure.py`).

## What happens to a command

1. **The edge** is `cli`: one file a verb. It parses words, reads files, calls one function and writes one file.
2. **The verbs** are in `verbs`: contents in, contents out, and no file, word or clock. They are the loop: prepare, draw
   and compose, train, adapt, sample, transform, select, extract, record.
3. **The registries** hold what a study names ([all of them](registries.md)): data sets and known truths, models,
   regimes, adapters, guides, transforms, selectors, extractors and metrics, one module an entry. A registry is one
   literal dict that computes nothing. An installed package adds entries of its own by an entry point
   (`core/registry.py`).
4. **The ground** is `core` (contents and random numbers, no files), `store` (files and their hashes) and `machine`
   (devices, processes, clocks).

A study is read and checked by `study`, all faults at once, before any work; what stands behind it checks nothing again.
`study/jobs.py` says of each job of the workflow which files it reads, what it is told, and which source it hangs on;
the rules in `workflow/rules` are cards that ask it. What an entry must be handed stands in its own `Needs`
(`core/needs.py`), and nobody else decides it again: the inputs of its jobs, their words, their hashes and the faults of
a study follow from it.

Whatever is chosen is a `Choice` (`core/choice.py`): a name, or a name with options, and it says from which registry.
Reading, faults, the schema that editors see, and [the page of all names](registries.md) follow from that, too.

## What makes a job run again

Snakemake runs a job again when one of three things changed; `collapselab plan NAME` says which, for every job.

- **Its inputs**: the SHA-256 beside each file counts, not its date.
- **What it is told**: its command line, which holds every option that it depends on, and none that it does not.
- **Its source**: the hash of the definitions (functions, classes, constants) that are reached from its verb and from
  the entries in use. An entry that a study does not use counts for nothing, nor do comments, docstrings, descriptions
  of options, and the names and places of definitions: who renames or moves one makes nobody train again. The modules
  at the edges (`store`, `cli`, most of `study`, clocks) are left out: they hold files, words and order.

Nothing cheap shares a job with something dear: pictures, selections, features and numbers are jobs of their own.

## The rooms

| room | what it holds |
|---|---|
"""


def rooms() -> dict[str, str]:
    """Every room of the package, with the first sentence of its docstring."""
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        file = path / "__init__.py" if path.is_dir() else path
        if file.suffix == ".py" and file.exists() and not path.name.startswith("_"):
            said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            found[path.stem] = " ".join(said.partition("\n\n")[0].split())
    return found


def arrows(names: Mapping[str, str]) -> dict[str, set[str]]:
    """room -> the rooms that it imports, what only a type checker imports left out."""
    graph = grimp.build_graph("collapselab", exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {name: set() for name in names}
    for module in graph.modules:
        room = module.split(".")[1:2]
        if room and room[0] in names:
            imported = {
                other.split(".")[1] for other in graph.find_modules_directly_imported_by(module) if "." in other
            }
            found[room[0]] |= (imported & names.keys()) - set(room)
    return found


def floors(imported: Mapping[str, set[str]]) -> list[list[str]]:
    """The rooms by height: each one floor above the highest that it imports, the ground last."""
    height: dict[str, int] = {}

    def of(room: str) -> int:
        if room not in height:
            height[room] = 1 + max(map(of, imported[room]), default=-1)
        return height[room]

    top = max(map(of, imported))
    return [sorted(room for room in imported if height[room] == level) for level in range(top, -1, -1)]


def essential(imported: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows without those that a longer way implies."""

    def below(room: str) -> set[str]:
        return imported[room].union(*map(below, imported[room]))

    return {room: others - set().union(*map(below, others)) for room, others in imported.items()}


def picture(imported: Mapping[str, set[str]]) -> str:
    """The rooms on their floors as SVG; an arrow goes from a room to one that it imports."""
    levels = floors(imported)
    width = max(map(len, levels)) * (BOX[0] + GAP) + GAP
    places = {}
    for level, names in enumerate(levels):
        left = (width - len(names) * (BOX[0] + GAP) + GAP) / 2
        places |= {name: (left + index * (BOX[0] + GAP), GAP + level * FLOOR) for index, name in enumerate(names)}
    height = 2 * GAP + (len(levels) - 1) * FLOOR + BOX[1]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
        "<title>The rooms of collapselab: an arrow goes from a room to one that it imports</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
    ]
    for room, others in sorted(essential(imported).items()):
        for other in sorted(others):
            (x1, y1), (x2, y2) = places[room], places[other]
            ends = f"M{x1 + BOX[0] / 2:.0f} {y1 + BOX[1]:.0f}", f"{x2 + BOX[0] / 2:.0f} {y2:.0f}"
            bend = f"C{x1 + BOX[0] / 2:.0f} {y1 + FLOOR:.0f} {x2 + BOX[0] / 2:.0f} {y2 - FLOOR / 2:.0f}"
            lines.append(f'<path d="{ends[0]}{bend} {ends[1]}" fill="none" stroke="{LINE}" marker-end="url(#tip)"/>')
    for room, (x, y) in places.items():
        lines.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="5" fill="{PAPER}" stroke="{INK}"/>'
        )
        middle = f'x="{x + BOX[0] / 2:.0f}" y="{y + BOX[1] / 2 + 5:.0f}"'
        lines.append(f'<text {middle} text-anchor="middle" font-size="15" fill="{INK}">{room}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def page(names: Mapping[str, str], imported: Mapping[str, set[str]]) -> str:
    """The page: rooms from the top down."""
    rows = [f"| `{room}` | {names[room]} |" for level in floors(imported) for room in level]
    return INTRODUCTION + "\n".join(rows) + "\n"


def main() -> None:
    """Write the page and the picture."""
    names = rooms()
    imported = arrows(names)
    PAGE.write_text(page(names, imported), encoding="utf-8")
    PICTURE.write_text(picture(imported), encoding="utf-8")


if __name__ == "__main__":
    main()
