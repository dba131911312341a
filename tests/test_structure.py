"""How the package is built: modules import one another in no circle, and none of them, nor a function, is too long."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import collapselab

PACKAGE = Path(collapselab.__file__).parent
ROOT = Path(__file__).parents[1]
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 500, 60

# What is still too long: an entry goes when its module or function has been split, and none is added.
LONG_MODULES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
CIRCLES: set[frozenset[str]] = set()


def sources(package: Path) -> dict[str, Path]:
    """The modules below a package, by their names without the package's; a package's own module is called by it."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def that_runs(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    yield tree
    typing_only = isinstance(tree, ast.If) and ast.unparse(tree.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    for node in tree.orelse if typing_only else ast.iter_child_nodes(tree):
        yield from that_runs(node)


def imported(module: str, path: Path, modules: Mapping[str, Path], package: str) -> Iterator[str]:
    """The modules that one imports, anywhere in it: imports inside functions count.

    The packages on the way to a module are not counted, though Python runs them first: they are faces, which a module
    of theirs does not ask for anything.
    """
    here = module.split(".") if module else []
    here = here if path.name == "__init__.py" else here[:-1]
    for node in that_runs(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name == package or name.name.startswith(f"{package}."):
                    yield name.name.removeprefix(package).removeprefix(".")
        if not isinstance(node, ast.ImportFrom):
            continue
        of = node.module.split(".") if node.module else []
        if node.level:
            of = here[: len(here) - node.level + 1] + of
        elif of[0] == package:
            of = of[1:]
        else:
            continue
        for name in node.names:
            submodule = ".".join([*of, name.name])
            yield submodule if submodule in modules else ".".join(of)


def circles(edges: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """The strongly connected components of a graph that have more than one node, or one that leads to itself."""
    reached = {start: _reached(start, edges) for start in edges}
    return {
        frozenset({start, *(other for other in there if start in reached[other])})
        for start, there in reached.items()
        if start in there
    }


def _reached(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    queue = list(edges[start])
    while queue:
        node = queue.pop()
        if node not in found:
            found.add(node)
            queue += edges[node]
    return found


def import_edges(package: Path) -> dict[str, set[str]]:
    modules = sources(package)
    return {module: set(imported(module, path, modules, package.name)) for module, path in modules.items()}


def long_functions(modules: Mapping[str, Path]) -> dict[str, int]:
    """The lines of functions with more than they may have, by their names with those of what they stand in."""
    found = {}

    def look(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}"
                length = child.end_lineno - child.lineno + 1
                if not isinstance(child, ast.ClassDef) and length > MOST_LINES_OF_A_FUNCTION:
                    found[inner] = length
            look(child, inner)

    for module, path in modules.items():
        look(ast.parse(path.read_text()), module)
    return found


def test_no_module_imports_itself_through_others():
    assert circles(import_edges(PACKAGE)) == CIRCLES


def test_no_module_is_too_long():
    lines = {module: len(path.read_text().splitlines()) for module, path in sources(PACKAGE).items()}
    too_long = {module: count for module, count in lines.items() if count > MOST_LINES}
    assert too_long.keys() == LONG_MODULES, too_long


def test_no_function_is_too_long():
    found = long_functions(sources(PACKAGE))
    assert found.keys() == LONG_FUNCTIONS, found


# -- the measures themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from . import b", {"b"}),
        ("from .b import thing", {"b"}),
        ("from .sub import c", {"sub.c"}),
        ("from .sub import thing", {"sub"}),
        ("from . import thing", {""}),
        ("import house.sub.c", {"sub.c"}),
        ("import house.sub.c as c, os", {"sub.c"}),
        ("from house.b import thing", {"b"}),
        ("from os import path", set()),
        ("def later():\n    from .b import thing", {"b"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import thing", set()),
        ("if TYPE_CHECKING:\n    from .b import thing\nelse:\n    from .sub import c", {"sub.c"}),
    ],
)
def test_every_import_is_found(tmp_path, code, expected):
    house = tmp_path / "house"
    (house / "sub").mkdir(parents=True)
    for name in ("__init__", "b", "sub/__init__", "sub/c"):
        (house / f"{name}.py").write_text("")
    (house / "a.py").write_text(code)
    assert import_edges(house)["a"] == expected
    (house / "a.py").write_text("")
    (house / "sub" / "d.py").write_text("from .. import b\nfrom . import c\nfrom ..sub import thing")
    assert import_edges(house)["sub.d"] == {"b", "sub.c", "sub"}


def test_circles_are_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"f", "d"}}
    assert circles(edges) == {frozenset("abc"), frozenset("f")}
    assert circles({"a": {"b"}, "b": set()}) == set()


def test_lines_of_functions_are_counted(tmp_path):
    body = "\n".join(["        pass"] * MOST_LINES_OF_A_FUNCTION)
    (tmp_path / "m.py").write_text(f"class C:\n    def short(self):\n        pass\n\n    def long(self):\n{body}\n")
    assert long_functions({"m": tmp_path / "m.py"}) == {"m.C.long": MOST_LINES_OF_A_FUNCTION + 1}


def test_the_page_of_the_architecture_is_what_the_code_says(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import architecture

    names = architecture.rooms()
    imported = architecture.arrows(names)
    written = {
        architecture.PAGE: architecture.page(names, imported),
        architecture.PICTURE: architecture.picture(imported),
    }
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is not what python docs/architecture.py writes"
