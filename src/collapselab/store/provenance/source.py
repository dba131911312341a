"""Source code as definitions: what a module binds to each name, which others it reaches, and the text that counts."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from . import earlier

PACKAGE = __name__.partition(".")[0]
FOLDERS: dict[str, Path] = {PACKAGE: Path(__file__).parents[2]}
"""Packages whose source counts, and where they lie; of others only the names of what is used count."""
NAMESPACES: dict[str, list[Path]] = {}
"""The same of packages that have no file of their own, and may lie in several folders."""

# They hold the edges (files, words, order), not what is computed: an edit there must not cost GPU days. The layout of
# stored files counts through FORMAT, a regime through the recipe that it comes to, an option of the rule.
EDGES = {
    *("store.bytes", "store.cells", "store.identity", "store.tensors", "store.samples", "store.tables"),
    *("store.records", "store.examine", "store.outside", "store.provenance", "cli", "compose.regimes", "machine.clock"),
    *("machine.energy", "study"),
}
NO_EDGES = {"study.results"}  # from which the report is drawn
REGISTRIES = {
    *("ADAPTERS", "DATASETS", "FEATURES", "GUIDES", "METRICS", "MODELS", "POPULATIONS", "REGIMES", "SCORES"),
    *("MARKS", "REWARDS", "SAMPLERS", "SELECTORS", "TRANSFORMS"),
}
ASIDE = {
    f"{PACKAGE}.metrics.base:Metric": {"roles", "stacked", "chance", "labelled"},
    f"{PACKAGE}.features.base:Extractor": {"symbols"},
    f"{PACKAGE}.adapt.base:Adapter": {"calls"},
    f"{PACKAGE}.core.ask:Ask": {"mark", "sampler"},
    f"{PACKAGE}.models.diffusion.family:Diffusion": {"denoises"},
    f"{PACKAGE}.core.needs:Needs": {"train", "twin", "ask", "mark"},
    f"{PACKAGE}.core.sets:KeptTable": {"weights"},
    f"{PACKAGE}.core.sets:TrainingTable": {"row_weights"},
    f"{PACKAGE}.verbs.compose:Ancestor": {"sampler"},
}  # fields of entries that count only by themselves
COUNTED = f"{PACKAGE}.core.progress:counted"  # says how far a loop is; for what runs it is the loop's items
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
UNSAID = {"ctx", "kind", "type_comment"}  # fields of a node that do not say what runs
UNASKED = {"smallest"}  # methods that no job calls: what is quick to try (``models.options.Options``)
# Methods that no training and no plain sampling calls: whoever does names them (``NAME/method``).
APART = {"realness", "invert", "denoised_together", "embedded_condition"}
PLANNED = {
    **dict.fromkeys(("of_weights", "gives_labels"), "Options"),
    **dict.fromkeys(("labelled", "rights", "at_most", "label_counts", "summary"), "Dataset"),
}  # that no job calls, of such classes


class Definition(NamedTuple):
    """What a module binds to a name; ``*`` is all of it, ``NAME[entry]`` one of a registry, ``NAME/field`` a part."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


class Module(str):
    """The dotted name of a module whose source counts."""


class External(str):
    """What stands for something of which only the name counts: ``numpy.linalg.norm``."""


Bound = Definition | Module | External


# -- what is reached -------------------------------------------------------------------------------------------------


def reached_from(roots: Iterable[str]) -> dict[Definition, int]:
    """The definitions that are reached from roots, numbered in the order in which they are."""
    numbers: dict[Definition, int] = {}
    for root in roots:
        numbers.setdefault(root_of(root), len(numbers))
    queue = list(numbers)
    for one in queue:  # it grows on the way
        for part in parts_of(one):
            if isinstance(part, Definition) and part not in numbers:
                numbers[part] = len(numbers)
                queue.append(part)
    return numbers


def numbered(part: str | Definition, reached: Mapping[Definition, int]) -> str:
    """A part of a definition's text: of another definition its number."""
    return f"#{reached[part]}" if isinstance(part, Definition) else part


def root_of(root: str) -> Definition:
    """The definition that a root names. Raises LookupError for one that is not there."""
    module, _, name = root.partition(":")
    _know(module.partition(".")[0])
    variable = name.partition("/")[0].partition("[")[0]
    if variable == "*":
        return Definition(_source(module).name, name)
    found = home_of(module, variable)
    if not isinstance(found, Definition):
        raise LookupError(f"{root}: {module} defines no {variable}")
    one = Definition(found.module, found.name + name.removeprefix(variable))
    parts_of(one)  # an entry has to be there
    return one


def _know(package: str) -> None:
    """Let the source of another package count: one that adds entries to a registry."""
    if package in FOLDERS or package in NAMESPACES:
        return
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise LookupError(f"no package {package!r} is installed")
    if spec.origin is None:
        NAMESPACES[package] = [Path(folder) for folder in spec.submodule_search_locations]
    else:
        FOLDERS[package] = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


# -- what a module says -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A module, read.

    statements: those that bind a name, by name. imports: what the names are that it imports. stars: the modules of
    which it imports all names. effects: statements that
    bind no name and run when the module is imported, and the files beside it that have its name. walrus: whether an
    expression in it may bind a name.
    """

    name: str
    statements: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, Bound]
    effects: list[ast.stmt | bytes]
    walrus: bool = True
    stars: tuple[str, ...] = ()


@cache
def _source(module: str) -> Source:
    path, _ = _path(module)
    if path is None:
        raise LookupError(f"there is no module {module}")
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    package = _package(module)
    statements: dict[str, list[ast.stmt]] = {}
    imports: dict[str, Bound] = {}
    stars: list[str] = []
    effects: list[ast.stmt | bytes] = []
    for statement in _that_run(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found = _imported(statement, package)
            stars += [star.module for star in (found.pop("*", None),) if isinstance(star, Definition)]
            imports |= found
            continue
        bound = _bound_names([statement])
        for name in bound:
            statements.setdefault(name, []).append(statement)
        if not bound and not _is_text(statement):
            effects.append(statement)
    for name, text in earlier.counting(module.removeprefix(f"{PACKAGE}."), statements).items():
        brought = [one for one in text if isinstance(one, ast.Import | ast.ImportFrom)]
        for statement in brought:
            imports = _imported(statement, package) | imports
        statements[name] = [one for one in text if one not in brought]
    beside = (file for file in sorted(path.parent.glob(f"{path.stem}.*")) if file.suffix != ".py")
    effects += [file.read_bytes() for file in beside]  # a page's template, a map
    return Source(module, statements, imports, effects, ":=" in text, tuple(stars))


@cache
def _path(module: str) -> tuple[Path | None, bool]:
    """The file of a module, None if there is none, and whether it is a package."""
    top, _, rest = module.partition(".")
    for base in [FOLDERS[top]] if top in FOLDERS else NAMESPACES.get(top, []):
        if base.suffix == ".py":
            return (None if rest else base), False
        place = base.joinpath(*rest.split(".")) if rest else base
        for path, folder in ((place / "__init__.py", True), (place.with_suffix(".py"), False)):
            if path.is_file():
                return path, folder
    return None, False


def _that_run(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block without those that only a type checker sees."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from _that_run(statement.orelse)
        else:
            yield statement


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, of whatever."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_unasked(scope: ast.AST, statement: ast.stmt) -> bool:
    """Whether a statement is a method that no job calls: of options, and of no instance of them."""
    if not (isinstance(scope, ast.ClassDef) and isinstance(statement, ast.FunctionDef)):
        return False
    bases = [base.id for base in scope.bases if isinstance(base, ast.Name)]
    if statement.name in APART:
        return True
    if kind := PLANNED.get(statement.name):
        return any(name.endswith((kind, "Pictures")) for name in (scope.name, *bases))
    of_class = any(isinstance(one, ast.Name) and one.id == "classmethod" for one in statement.decorator_list)
    return statement.name in UNASKED and of_class and any(name.endswith("Options") for name in bases)


def _bound_names(body: Iterable[ast.AST], walrus: bool = True) -> set[str]:
    """The names that statements bind in their own scope, imports left out. walrus: whether expressions may bind any."""
    names: set[str] = set()
    queue = list(body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            queue += [*node.decorator_list, *(getattr(node, "bases", []))]
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, COMPREHENSIONS):
            names |= {one.target.id for one in ast.walk(node) if walrus and isinstance(one, ast.NamedExpr)}
            continue
        if isinstance(node, ast.Name):
            names |= set() if isinstance(node.ctx, ast.Load) else {node.id}
            continue
        if isinstance(node, ast.expr) and not walrus and not isinstance(getattr(node, "ctx", None), ast.Store):
            continue  # an expression binds nothing
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        queue += ast.iter_child_nodes(node)
    return names


def _imported(statement: ast.Import | ast.ImportFrom, package: list[str]) -> dict[str, Bound]:
    """What an import binds, by name."""
    if isinstance(statement, ast.Import):
        words = ((one.asname, one.name) if one.asname else (one.name.partition(".")[0],) * 2 for one in statement.names)
        return {name: Module(place) if _path(place)[0] else External(place) for name, place in words}
    level = statement.level
    above = package[: len(package) - level + 1] if level else []
    base = ".".join([*above, *(statement.module.split(".") if statement.module else [])])
    found: dict[str, Bound] = {}
    for one in statement.names:
        name, place = one.asname or one.name, f"{base}.{one.name}"
        if _path(base)[0] is None:
            found[name] = External(place)
        elif _path(place)[0] is not None:
            found[name] = Module(place)
        else:
            found[name] = Definition(base, one.name)
    return found


# -- what a name means ------------------------------------------------------------------------------------------------


def home_of(module: str, name: str) -> Bound | None:
    """What ``module.name`` is, followed through the modules that only hand it on; None if it is not known."""
    source = _source(module)
    if name in source.statements:
        return Definition(module, name)
    found = source.imports.get(name)
    if isinstance(found, Definition):
        return home_of(*found)
    if found is None and _path(f"{module}.{name}")[0] is not None:
        return Module(f"{module}.{name}")
    if found is None and not name.startswith("_"):
        return next((one for star in source.stars if (one := home_of(star, name)) is not None), None)
    return found


def _resolve(module: str, name: str) -> Bound | None:
    """The same, where registries and the edges of this package are outside: only the name counts."""
    found = External(f"edge.{name}") if _is_edge(module) else home_of(module, name)
    if isinstance(found, Definition) and (found.name in REGISTRIES or _is_edge(found.module)):
        return External(f"edge.{found.name}")
    return found


def _is_edge(module: str) -> bool:
    inside = module.removeprefix(f"{PACKAGE}.")
    return inside not in NO_EDGES and any(inside == edge or inside.startswith(f"{edge}.") for edge in EDGES)


# -- what a definition says -------------------------------------------------------------------------------------------


@cache
def parts_of(one: Definition) -> tuple[str | Definition, ...]:
    """The text of a definition, without what says nothing of what runs, in which other definitions are kept apart.

    Raises LookupError for what is not there.
    """
    source = _source(one.module)
    if one.name == "*":
        reached = [Definition(one.module, name) for name in source.statements if name not in REGISTRIES]
        return (*reached, Definition(one.module, "")) if source.effects else tuple(reached)
    writer = _Writer(source)
    if not one.name:
        for effect in source.effects:
            writer.write(effect)
        return tuple(writer.parts)
    name, _, field = one.name.partition("/")
    for statement in _stated(source, name):
        writer.write(statement if not field else list(_said_of(field, statement, writer)))
    return (*writer.parts, Definition(one.module, "")) if source.effects else tuple(writer.parts)


def _stated(source: Source, name: str) -> list[ast.AST]:
    """What is stated of an entry, of a name, or (``*``) of whatever the module has."""
    if name == "*":
        bound = [statement for statements in source.statements.values() for statement in statements]
        return [*bound, *(effect for effect in source.effects if isinstance(effect, ast.AST))]
    return [_entry(source.name, name)] if name.endswith("]") else source.statements[name]


def _entry(module: str, name: str) -> ast.expr:
    """The value of an entry in the literal dict that a registry is."""
    registry, _, entry = name.removesuffix("]").partition("[")
    found = literal_of(Definition(module, registry), entry)
    if found is None:
        raise LookupError(f"{module}: {registry} has no entry {entry!r}")
    return earlier.entry(module.removeprefix(f"{PACKAGE}."), name, found)


def _said_of(field: str, node: ast.AST, writer: "_Writer") -> Iterator[ast.AST | Definition]:
    """What is said of a field that counts by itself: by a class its default, by an entry that and what it is told."""
    if isinstance(node, ast.ClassDef):
        yield from (one for one in node.body if isinstance(one, ast.AnnAssign) and one.target.id == field)
        yield from (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == field)
    for call in (one for one in ast.walk(node) if isinstance(one, ast.Call)):
        called = writer.bound(call.func)
        if isinstance(called, Definition) and field in ASIDE.get(str(called), ()):
            yield Definition(called.module, f"{called.name}/{field}")
            yield from (told.value for told in call.keywords if told.arg == field)


def literal_of(registry: Definition, entry: str) -> ast.expr | None:
    for statement in _source(registry.module).statements[registry.name]:
        for literal in (node for node in ast.walk(statement) if isinstance(node, ast.Dict)):
            for key, value in zip(literal.keys, literal.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == entry:
                    return value
    return None


class _ClassScope(dict[str, None]):
    """The scope of a class's body: its names are attributes, which hide nothing from the methods."""


class _Writer:
    """Writes nodes as text, in which a name stands for what it means in its place."""

    def __init__(self, source: Source):
        self.source, self.parts = source, []
        self._locals: list[Mapping[str, Bound | None]] = []  # of the functions around, the innermost last

    def write(self, node: object) -> None:
        """Add a node, a list of nodes, or a plain value to the parts."""
        if isinstance(node, list):
            self._bracketed(node)
        elif isinstance(node, ast.ClassDef):
            self._scoped(node, _ClassScope())
        elif isinstance(node, COMPREHENSIONS):
            self.write(node.generators[0].iter)  # which is outside of its scope
            self._scoped(node, dict.fromkeys(_bound_names(one.target for one in node.generators)))
        elif isinstance(node, ast.AST):
            self._node(node)
        elif isinstance(node, bytes):
            self.parts.append(hashlib.sha256(node).hexdigest())
        elif isinstance(node, Definition):
            self.parts.append(node)
        else:
            self.parts.append(repr(node))

    def _bracketed(self, nodes: list[object]) -> None:
        self.parts.append("[")
        for node in nodes:
            self.write(node)
            self.parts.append(",")
        self.parts.append("]")

    def _scoped(self, node: ast.AST, names: Mapping[str, Bound | None]) -> None:
        self._locals.append(names)
        self._node(node)
        self._locals.pop()

    def _of_function(self, node: ast.AST) -> dict[str, Bound | None]:
        """The names of a function's own scope: None for variables, else what it imports."""
        body = node.body if isinstance(node.body, list) else [node.body]
        told = [one for one in ast.walk(node.args) if isinstance(one, ast.arg)]
        names: dict[str, Bound | None] = dict.fromkeys(
            [*(one.arg for one in told), *_bound_names(body, self.source.walrus)]
        )
        for inner in _own(body):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                names |= _imported(inner, _package(self.source.name))
            elif isinstance(inner, ast.Global):
                names = {name: bound for name, bound in names.items() if name not in inner.names}
        return names

    def _node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call) and str(self.bound(node.func)) == COUNTED:
            self.write(node.args[0])
            return
        if isinstance(node, ast.Import | ast.ImportFrom):  # one that is not the module's own, such as under try
            self._bracketed(list(_imported(node, _package(self.source.name)).values()))
            return
        bound = self.bound(node)
        if isinstance(bound, Module):
            bound = External("edge") if _is_edge(bound) else Definition(bound, "*")  # a module that is handed on whole
        if bound is not None:
            self.parts.append(bound if isinstance(bound, Definition) else f"<{bound}>")
            return
        self.parts.append(f"{type(node).__name__}(")
        for name, value in ast.iter_fields(node):
            value = self._without_asides(node, value) if name in ("keywords", "body") else value
            if name in UNSAID or value is None or value == []:
                continue
            self._field(node, name, value)
        self.parts.append(")")

    def _field(self, node: ast.AST, name: str, value: object) -> None:
        if name == "body" and isinstance(value, list):
            value = [one for one in _that_run(value) if not _is_text(one) and not _is_unasked(node, one)]
        if isinstance(value, list) and (self._locals or isinstance(node, SCOPES)):
            # What a function imports counts where its names are used.
            value = [one for one in value if not isinstance(one, ast.Import | ast.ImportFrom)]
        if name == "body" and isinstance(node, SCOPES):
            self._locals.append(self._of_function(node))
            self.parts.append("body=")
            self.write(value)
            self._locals.pop()
            return
        if name == "keywords" and isinstance(node, ast.Call) and self.bound(node.func) == "pydantic.Field":
            value = [one for one in value if one.arg != "description"]
        elif name == "name" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own = node in self.source.statements.get(node.name, ())
            value = Definition(self.source.name, node.name) if own else value
        self.parts.append(f"{name}=")
        self.write(value)
        self.parts.append(" ")

    def _without_asides(self, node: ast.AST, value: object) -> object:
        """What a call is told, and a class consists of, but for the fields that count by themselves."""
        if isinstance(node, ast.Call):
            return [one for one in value if one.arg not in ASIDE.get(str(self.bound(node.func)), ())]
        if isinstance(node, ast.ClassDef) and (fields := ASIDE.get(f"{self.source.name}:{node.name}")):
            return [one for one in value if not (isinstance(one, ast.AnnAssign) and one.target.id in fields)]
        return value

    def bound(self, node: ast.AST) -> Bound | None:
        """What a name, or a name behind dots, stands for; None for variables and for what nobody defines."""
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load) and self._locals and isinstance(self._locals[-1], _ClassScope):
                return None
            scope = next((names for names in reversed(self._locals) if node.id in names), None)
            if scope is not None:
                found = scope[node.id]
                return _resolve(*found) if isinstance(found, Definition) else found
            if node.id in self.source.statements or node.id in self.source.imports or self.source.stars:
                return _resolve(self.source.name, node.id)
        elif isinstance(node, ast.Attribute):
            found = self.bound(node.value)
            if isinstance(found, Module):
                return _resolve(found, node.attr)
            if isinstance(found, External):
                return External(f"{found}.{node.attr}")
        return None


def _package(module: str) -> list[str]:
    return module.split(".") if _path(module)[1] else module.split(".")[:-1]


def _own(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements of a function's own scope."""
    for node in _that_run(body):
        yield node
        if not isinstance(node, (*SCOPES, ast.ClassDef, ast.expr)):
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _own(getattr(node, block, ()))
