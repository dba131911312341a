"""A study's file as YAML, with the line of every key, within bounds: the file may come from anywhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from .faults import BadStudy, Fault

CONFIG_BYTES_MAX = 1_000_000
CONFIG_NODES_MAX = 100_000  # aliases can make a small file expand without bound,
CONFIG_DEPTH_MAX = 100  # and contain themselves


def parse(path: Path) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int], list[Fault]]:
    """What a file says, the line of every key, and the faults that only the file shows."""
    try:
        if (size := path.stat().st_size) > CONFIG_BYTES_MAX:
            raise BadStudy(path, [Fault((), f"holds {size} bytes; a study has at most {CONFIG_BYTES_MAX}")])
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        found = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        said = f"no such study: looked for {path.absolute()}; beside it there are: {found}"
        raise BadStudy(path, [Fault((), said)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadStudy(path, [Fault((), f"cannot be read: {error}")]) from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines, faults = _survey(node)
        raw = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise BadStudy(path, [Fault((), f"is not YAML: {' '.join(str(error).split())}")]) from None
    except (RecursionError, ValueError) as error:
        raise BadStudy(path, [Fault((), f"cannot be read as a study: {error}")]) from None
    if not isinstance(raw, dict):
        raise BadStudy(path, [Fault((), f"a study is a mapping of keys to values; found {type(raw).__name__}")])
    return raw, lines, faults


class _Loader(yaml.SafeLoader):
    """Reads true and false as YAML 1.2 does, and so editors and DVC: to YAML 1.1 a country named no is false."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, words) for tag, words in resolvers if not tag.endswith(":bool")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _survey(root: yaml.Node | None) -> tuple[dict[tuple[str | int, ...], int], list[Fault]]:
    """The line of every key, and what YAML lets pass but a study must not: keys said twice, numbers without bound.

    Raises ValueError for aliases without bound.
    """
    lines: dict[tuple[str | int, ...], int] = {}
    faults: list[Fault] = []
    queue: list[tuple[tuple[str | int, ...], yaml.Node | None]] = [((), root)]
    for visited, (path, node) in enumerate(_drain(queue)):
        if visited > CONFIG_NODES_MAX:
            raise ValueError(f"it expands to more than {CONFIG_NODES_MAX} values")
        if len(path) > CONFIG_DEPTH_MAX:
            raise ValueError(f"it holds values inside values, more than {CONFIG_DEPTH_MAX} deep")
        if node is not None:
            lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                name = _key(key)
                if name in seen and name != "<<":
                    faults.append(Fault((*path, name), "is said twice"))
                seen.add(name)
                lines[(*path, name)] = key.start_mark.line + 1
                queue.append(((*path, name), value))
        elif isinstance(node, yaml.SequenceNode):
            queue += [((*path, index), value) for index, value in enumerate(node.value)]
        elif node is not None and node.tag.endswith(":float") and node.value.lower().lstrip("+-") in (".nan", ".inf"):
            faults.append(Fault(path, f"found {node.value}; a number must be finite"))
    return lines, faults


def _drain(queue: list[Any]) -> Iterator[Any]:
    while queue:
        yield queue.pop()


def _key(node: yaml.Node) -> str | int:
    text = str(node.value)
    return int(text) if node.tag == "tag:yaml.org,2002:int" and text.isdigit() else text
