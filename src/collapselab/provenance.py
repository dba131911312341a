"""Which source code a stage depends on, as one hash: the reason for Snakemake to run it again.

Snakemake does not see edits to an installed package. So every rule lists under ``params`` the hash of its verb's
source: the modules that it imports, found by reading them and never by running them, without comments and docstrings.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from . import store

PACKAGE = Path(__file__).parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# They hold the edges (files, words, order), not what is computed: an edit there must not cost GPU days. The layout of
# stored files counts through store.FORMAT, a regime through the recipe that it comes to, an option of the rule.
EDGES = {"store", "cli", "config", "provenance", "regimes"}


def source_hash(*modules: str) -> str:
    """A short hash of the source that these modules of the package, and all they import from it, consist of.

    ``modules`` are named from the package, such as ``"models.gaussian"``. Names of families are given one by one: a
    registry imports them all.
    """
    found: dict[str, str] = {}
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module in found or module.split(".")[0] in EDGES:
            continue
        found[module], imported = _read(module)
        queue += imported
    text = "\n".join(f"{module} {found[module]}" for module in sorted(found))
    return hashlib.sha256(f"{store.FORMAT}\n{text}".encode()).hexdigest()[:12]


def module_of(thing: type) -> str:
    """The module in which an entry of a registry stands, as :func:`source_hash` names it."""
    return thing.__module__.removeprefix(f"{__package__}.")


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    path, folder = _path(module)
    tree = ast.parse(path.read_text(), str(path))
    imported = tuple(_imports(tree, module.split(".") if folder else module.split(".")[:-1]))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    beside = (file for file in sorted(path.parent.glob(f"{path.stem}.*")) if file.suffix != ".py")  # a page's template
    parts = [ast.dump(tree).encode(), *(file.read_bytes() for file in beside)]
    return hashlib.sha256(b"".join(parts)).hexdigest(), imported


def _path(module: str) -> tuple[Path, bool]:
    path = PACKAGE.joinpath(*module.split("."))
    return (path / "__init__.py", True) if path.is_dir() else (path.with_suffix(".py"), False)


def _imports(tree: ast.AST, package: list[str]) -> list[str]:
    """Modules of this package that a module imports, anywhere in it (imports inside functions count)."""
    modules = []
    for node in _that_runs(tree):
        if isinstance(node, ast.Import):
            names = [name.name.partition(".") for name in node.names]
            modules += [module for top, _, module in names if top == "collapselab" and module]
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        elif (node.module or "").split(".")[0] == "collapselab":
            base = node.module.split(".")[1:]
        else:
            continue
        for name in node.names:
            submodule = ".".join([*base, name.name])
            if _path(submodule)[0].exists():
                modules.append(submodule)
            elif base:
                modules.append(".".join(base))
    return modules


def _that_runs(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    yield tree
    typing_only = isinstance(tree, ast.If) and ast.unparse(tree.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    for node in tree.orelse if typing_only else ast.iter_child_nodes(tree):
        yield from _that_runs(node)
