"""Writes docs/api.md and docs/api/: the modules, functions and classes that are for others to call, a page a module.

Sphinx puts in their docstrings.

python docs/api.py
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from architecture import PACKAGE

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """\
# Python

These functions and classes are for others to call. The words are their docstrings; `python docs` lists the names.
Whoever [adds an entry](contributing.md) to a registry meets the contracts of the second part.
"""
PARTS = {
    "To measure, to predict, to read": {
        "": "the package",
        "library": "sets of samples, measured",
        "metrics": "every metric, as a function of two sets of features",
        "features": "what metrics look at",
        "theory": "what closed forms predict for loops",
        "store": "files, with their hashes",
        "study": "a study, read and checked",
        "core.sets": "samples and training sets",
        "core.errors": "how things fail",
    },
    "To add an entry": {
        "models.base": "a family of models",
        "models.capabilities": "what a model may be able to do, beside sampling",
        "metrics.base": "an entry of metrics",
        "select.base": "a selector",
        "transforms.base": "a transform",
        "adapt.base": "an adapter",
        "guides.base": "a guide",
        "marks.base": "a mark",
        "rewards.base": "a reward",
        "populations.base": "a known truth",
        "data.base": "a data set",
        "core.needs": "what an entry must be handed",
        "testing": "the laws that an entry keeps, for its test",
    },
}


def pages() -> dict[Path, str]:
    """file -> what stands in it."""
    listed, found, told = [INTRODUCTION], {}, set()
    for heading, modules in PARTS.items():
        listed.append(f"## {heading}\n")
        files = {module: f"api/{_full(module)}.md" for module in modules}
        listed += [f"- [`{_full(module)}`]({files[module]}): {about}" for module, about in modules.items()]
        listed += ["", "```{toctree}", ":hidden:", *(file.removesuffix(".md") for file in files.values()), "```", ""]
        for module, about in modules.items():
            names = [one for one in _public(module) if one not in told]
            told |= set(names)
            title = f"# `{_full(module)}`\n\n{about[:1].upper()}{about[1:]}.\n\n"
            found[PAGE.parent / files[module]] = title + _directives(module, names)
    return {PAGE: "\n".join(listed), **found}


def _full(module: str) -> str:
    return ".".join(filter(None, ("collapselab", module)))


def _directives(module: str, names: list[tuple[str, str]]) -> str:
    lines = ["```{eval-rst}", f".. automodule:: {_full(module)}", "   :no-members:", "   :no-index:", ""]
    for home, name in names:
        kind = _kind(home, name)
        lines += [f".. auto{kind}:: {_full(module)}.{name}"]
        lines += ["   :members:", ""] if kind in ("class", "exception") else [""]
    return "\n".join([*lines[:-1], "```", ""])


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _public(module: str) -> Iterator[tuple[str, str]]:
    """(module, name) of what one defines, or hands on as ``from .home import name as name``."""
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield module, node.name
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            above = [part for part in module.split(".") if part]
            inside = _file(module).name == "__init__.py"
            base = above[: len(above) - node.level + (1 if inside else 0)]
            home = ".".join([*base, node.module])
            yield from ((home, one.name) for one in node.names if one.asname == one.name and _kind(home, one.name))


def _kind(home: str, name: str) -> str:
    """``function``, ``class``, ``exception``, or nothing for what is neither, such as a constant."""
    for node in _tree(home).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return "function"
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (
                "exception"
                if any("Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases)
                else "class"
            )
    return ""


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
