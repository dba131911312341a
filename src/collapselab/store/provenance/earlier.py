"""Definitions that count as they once were: what was added to them changes no number of whoever does not ask for it.

A function that learns to do something new has another source, and every model that was ever trained with it would be
trained again, to the same bits. So its earlier text stands in ``earlier.txt``, under the hash of its present one: it
counts as long as the present text is just that one. Whoever changes it again without saying so here is back where one
was: all that depends on it runs again. What asks for the new thing has to name more than this definition among its
roots, since of this one it sees the earlier text. A text begins with the imports that its module no longer has. An
entry of a registry, such as ``select:SELECTORS[tails]``, has an earlier text like a definition: its literal.
"""

import ast
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".txt")
HEAD = "#= "


def counting(module: str, statements: Mapping[str, list[ast.stmt]]) -> dict[str, list[ast.stmt]]:
    """The earlier statements of the names of a module that count in place of its own.

    module: its dotted name below the package. statements: what it binds, by name.
    """
    said = texts().get(module, {})
    there = {name: hashed(statements[name]) for name in said if name in statements}
    return {name: ast.parse(text).body for name, (now, text) in said.items() if there.get(name) == now}


def entry(module: str, name: str, literal: ast.expr) -> ast.expr:
    """The literal that counts of an entry, ``REGISTRY[name]``: its earlier one, if there is one of what it is now."""
    now, text = texts().get(module, {}).get(name, ("", ""))
    return ast.parse(text, mode="eval").body if text and hashed([literal]) == now else literal


@cache
def texts() -> dict[str, dict[str, tuple[str, str]]]:
    """module -> name -> the hash of its present text, and the earlier text."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for part in f"\n{FILE.read_text(encoding='utf-8')}".split(f"\n{HEAD}")[1:]:
        head, _, text = part.partition("\n")
        place, now = head.split()
        module, _, name = place.partition(":")
        found.setdefault(module, {})[name] = (now, text)
    return found


def hashed(statements: Sequence[ast.AST]) -> str:
    """The hash of what binds a name, without docstrings and comments."""
    bare = [_Bare().visit(ast.parse(ast.unparse(statement))) for statement in statements]
    return hashlib.sha256("\n".join(map(ast.dump, bare)).encode()).hexdigest()[:16]


class _Bare(ast.NodeTransformer):
    """Leaves docstrings out."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """None for a text that nobody reads."""
        return None if isinstance(node.value, ast.Constant) else node
