"""A study's file as YAML 1.2, with the line of every key, within bounds: the file may come from anywhere."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..core.naming import asked, nearest
from ..core.shipped import shipped
from .faults import BadStudy, Fault, quoted

TOY = "-toy"  # behind a study's name: the study at a size of minutes, which lies in no file
HOME = Path("config")  # where studies lie that are called by their names
PAPERS = "papers"  # the folder of those that are after papers
CONFIG_BYTES_MAX = 1_000_000
CONFIG_NODES_MAX = 100_000  # aliases can make a small file expand without bound,
CONFIG_DEPTH_MAX = 100  # and contain themselves
CURE_MAX = 80  # letters of a text that is shown again, as it should be written
DIGITS_MAX = 100  # of a number
SLIPS = (
    ("unknown escape character", False, "a \\ in double quotes begins a sign; write '...' in single quotes, or /"),
    ("hexdecimal number", False, "a \\ in double quotes begins a sign; write '...' in single quotes, or /"),
    ("hexadecimal numbers", False, "a \\ in double quotes begins a sign; write '...' in single quotes, or /"),
    ("unhashable key", False, "has a list or a mapping where a key must be a word; a text that begins with [ or { "
     "needs quotation marks"),
    ("found another document", False, "a second study begins, and a file holds one: leave out the --- and what "
     "belongs to the other"),
    ("<document start>", False, "stands behind the end of the study, which ... or a bracket says: leave that out"),
    ("for merging", False, "<< takes an alias, such as *name, of a mapping that another place above marks by &name"),
    ("unexpected end of stream", True, "a quotation mark opens a text that nothing ends"),
    ("',' or '", True, "a bracket opens and is not closed, or a comma is missing"),
    ("could not find expected ':'", True, "has no ': ' between a key and its value"),
    ("mapping values are not allowed", False, "has a second ': ', whose text then needs quotation marks, or is "
     "indented more than the line that it belongs to, or the line above lacks ': ' behind its key"),
    ("cannot start any token", False, "a text begins with a sign that YAML keeps for itself; it needs quotation marks"),
    ("expected node content", False, "a value is missing, before a comma or a bracket"),
    ("did not find expected key", False, "is indented otherwise than the lines that it belongs to, or a quotation mark "
     "or a bracket ends, here or above, before its text does (write 'it''s', or \"it's\")"),
)  # fmt: skip
"""What the parser says, whether where the thing began or where it was noticed, and what it is in plain words."""
SIGNS = {
    "*": ("alphabetic|undefined alias", "an alias, the name of what another place marks by &"),
    "&": ("alphabetic", "an anchor, a name for what stands there"),
    "!": ("tag", "a tag, the kind of a value"),
    "%": ("cannot start|directive", "an order to who reads the file"),
    "@": ("cannot start", "a sign that is kept for later"),
    "`": ("cannot start", "a sign that is kept for later"),
    "|": ("line break", "the beginning of a text that stands in the lines below"),
    ">": ("line break", "the beginning of a text that stands in the lines below"),
    "?": ("not allowed in this context", "a key"),
    "-": ("not allowed in this context", "an item of a list, which begins in a line of its own"),
    ",": ("node content", "the comma of a list"),
    "]": ("node content", "the end of a list"),
    "}": ("node content", "the end of a mapping"),
}
"""The signs that no text may begin with, what the parser says of each, and what they are to YAML."""
# No process can be told them, or no file can hold them: half of a pair of surrogates, and signs that are no letters.
UNSPEAKABLE = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def parse(path: Path) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int], list[Fault]]:
    """What a file says, the line of every key, and the faults that only the file shows."""
    try:
        text = _text(path)
    except FileNotFoundError:
        said = _nowhere(path)
        raise BadStudy(path, [Fault((), said)]) from None
    except UnicodeDecodeError as error:
        said = f"cannot be read: its bytes are no UTF-8 (from byte {error.start} on); save it as UTF-8"
        raise BadStudy(path, [Fault((), said)]) from None
    except OSError as error:
        raise BadStudy(path, [Fault((), f"cannot be read: {error}")]) from None
    try:
        _check_depth(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        lines, faults = _survey(node)
        raw = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise BadStudy(path, [Fault((), f"is not YAML: {_unread(error, text)}")]) from None
    except (RecursionError, ValueError) as error:
        raise BadStudy(path, [Fault((), f"cannot be read as a study: {error}")]) from None
    except (LookupError, AttributeError, TypeError):  # of a tag such as !!bool before what is none
        raise BadStudy(path, [Fault((), "cannot be read as a study: leave out its tags, such as !!bool")]) from None
    if not isinstance(raw, dict):
        found = "nothing" if raw is None else "a list" if isinstance(raw, list) else quoted(raw)
        empty = "the file is empty, or has comments alone: " if raw is None else ""
        raise BadStudy(path, [Fault((), f"{empty}a study is a mapping of keys to values; found {found}")])
    return raw, lines, faults


def _nowhere(path: Path) -> str:
    """What is said of a study that is not there: where it was looked for, what is, and what may have been meant.

    Where studies lie that are called by their names, those that come with the package are found, too, and all that are
    after papers, which lie one folder deeper.
    """
    folders = {path.parent}
    if path.parent in (HOME, HOME / PAPERS):
        folders.add(shipped(HOME.name).joinpath(*path.parent.parts[1:]))
    there = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    deeper = {file.stem for folder in folders for file in (folder / PAPERS).glob("*.yaml")}
    papers = dict.fromkeys(sorted(deeper - {*there}), path.parent / PAPERS)
    toy = TOY if path.stem.endswith(TOY) else ""
    others = called(toy) if path.parent in (Path(), Path(PAPERS), HOME / PAPERS) else {}
    close = nearest(path.stem.removesuffix(toy), [*there, *papers, *others])
    if path.parent.name == PAPERS:  # whose studies are called by their files
        papers |= dict.fromkeys(there, path.parent)
    said = others | {one: f"{one}{toy}" for one in there} | {one: f"{papers[one] / one}{toy}.yaml" for one in papers}
    hint = asked(said[one] for one in close)
    found = ", ".join(there) or "none"
    return f"no such study{hint}: looked for {path.absolute()}; beside it there are: {found}"


def called(toy: str = "") -> dict[str, str]:
    """What every study is called by, of those of the folder in which one calls and those of the package, by its stem.

    toy: what stands behind its name, if it is meant to be a small one.
    """
    both = (HOME, shipped(HOME.name))
    papers = {
        file.stem: f"{HOME / PAPERS / file.stem}{toy}.yaml" for one in both for file in (one / PAPERS).glob("*.yaml")
    }
    return papers | {file.stem: f"{file.stem}{toy}" for one in both for file in one.glob("*.yaml")}


def _unread(error: yaml.YAMLError, text: str) -> str:
    """Where a text is not YAML, and what is mostly meant by the one who wrote it; else in the parser's words."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    begun = getattr(error, "context_mark", None) or mark
    here = text.split("\n")[mark.line : mark.line + 1]
    if here and "\t" in here[0][: mark.column + 1] and not here[0][: mark.column + 1].strip():
        return f"line {mark.line + 1}: begins with a tab; YAML is indented by spaces alone"
    for at in (begun, mark):
        if found := _sign(f"{error.problem} {error.context or ''}", text, at):
            return found
    if "did not find expected" in error.problem and (found := _behind_a_name(text, mark)):
        return found
    for words, at_its_begin, said in SLIPS:
        if words in error.problem:
            return f"line {(begun if at_its_begin else mark).line + 1}: {said}"
    return f"line {mark.line + 1}: {error.problem}" + (f", {error.context}" if error.context else "")


def _sign(problem: str, text: str, mark: yaml.Mark) -> str:
    """What is said of a text that begins, where the parser stands, with a sign that is none of a text's; else nothing.

    The cure is shown with the text itself where it is seen how far that goes.
    """
    line = "".join(text.split("\n")[mark.line : mark.line + 1])
    value = re.split(r"\s#", line[mark.column :])[0].strip()
    words, _ = SIGNS.get(value[:1], ("", ""))
    if not words or not re.search(words, problem):
        return ""
    if _is_in_brackets(line[: mark.column]) and value[0] in ",]}":  # of a list whose item is left out
        return ""
    return _said_of_sign(text, mark.line, mark.column)


def _behind_a_name(text: str, mark: yaml.Mark) -> str:
    """The same of words behind an alias, an anchor or a tag, which the parser takes for another thing; else nothing."""
    line = "".join(text.split("\n")[mark.line : mark.line + 1])
    found = re.search(r"(?:^\s*|[:,-]\s+|[\[{]\s*)([*&!]\S+\s+)$", line[: mark.column])
    return _said_of_sign(text, mark.line, found.start(1)) if found else ""


def _said_of_sign(text: str, row: int, column: int) -> str:
    """What is said of a text that begins, at a place, with one of SIGNS. row, column: from 0 on."""
    lines = text.split("\n")
    sign, value = lines[row][column], re.split(r"\s#", lines[row][column:])[0].strip()
    if sign == "*" and re.fullmatch(r"\*[\w-]+[],}]*", value):
        marked = re.findall(r"(?:^|[\s\[{,])&([\w-]+)", "\n".join([*lines[:row], lines[row][:column]]))
        name = value.strip("*],}")
        if name not in marked and (marked or lines[row][:column].rstrip().endswith("<<:")):
            hint = asked(nearest(name, marked)).replace("'", "*", 1).replace("'", "")
            return f"line {row + 1}: no place above is marked &{name}{hint}; a text needs quotation marks"
    begins = f"line {row + 1}: begins with {sign}, to YAML {SIGNS[sign][1]}"
    if sign in "|>":
        return f"{begins}; put the text into the lines below, indented, or leave out the {sign}"
    return f"{begins}; a text needs quotation marks{_quotation(lines, row, column, value)}"


def _quotation(lines: list[str], row: int, column: int, value: str) -> str:
    """A text as it should be written, where it is seen how far it goes: not in a list of several lines, say."""
    before, inside = lines[row][:column], re.search("[],}]", value)
    whole = not inside or not any(map(_is_in_brackets, lines[:row]))
    if _is_in_brackets(before):
        if not inside:  # it may go on in the next line
            return ""
        value, whole = re.split("[],}]", value)[0].rstrip(), True
    elif _goes_on(lines[row + 1 :], before):
        return ""
    quotes = "'{}'" if "'" not in value else '"{}"' if not {*'"\\'} & {*value} else ""
    shows = quotes and whole and len(value) <= CURE_MAX and not re.search(r":(\s|$)|\s:", value)
    return f": {quotes.format(value)}" if shows else ""


def _is_in_brackets(before: str) -> bool:
    """Whether a bracket is open behind the beginning of a line."""
    return sum(before.count(one) for one in "[{") > sum(before.count(one) for one in "]}")


def _goes_on(below: list[str], before: str) -> bool:
    """Whether a text goes on in the lines below it. before: what stands in its line before it."""
    lead = re.match(r"\s*(?:-\s+)*", before)
    assert lead is not None
    # What belongs to a key is indented more than it, what belongs to an item more than its hyphen.
    own = lead.end() if lead.end() < len(before) else before.rfind("-") if "-" in before else len(before) - 1
    following = next((line for line in below if line.strip()), "")
    return bool(following) and not following.lstrip().startswith("#") and _indented(following) > own


def _indented(line: str) -> int:
    return len(line) - len(line.lstrip())


def _text(path: Path) -> str:
    """What a file says. Raises BadStudy for one that is too large, or no file: a pipe would be waited for for ever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadStudy(path, [Fault((), "cannot be read: it is a folder, a pipe or a device, and no file")])
    with path.open("rb") as stream:
        content = stream.read(CONFIG_BYTES_MAX + 1)
    if len(content) > CONFIG_BYTES_MAX:
        size = max(status.st_size, len(content))
        raise BadStudy(path, [Fault((), f"holds {size} bytes; a study has at most {CONFIG_BYTES_MAX}")])
    return content.decode("utf-8-sig")  # which some editors begin with a mark


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads words as YAML 1.2 does (its core schema), and so editors and DVC.

    To YAML 1.1 a country named no is false, 1:30 is ninety and 010 is eight; here the first two are words, and so is
    the third, which is ten to some readers of YAML 1.2 and eight to others.
    """

    yaml_implicit_resolvers: ClassVar = {}


_WHOLE = "(?:0|[1-9][0-9]*)"
for _kind, _words, _first in (
    ("null", "~|null|Null|NULL|", "~nN"),
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", rf"[-+]?{_WHOLE}|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", rf"[-+]?(?:\.[0-9]+|{_WHOLE}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_words})$"), [*_first])
_Loader.yaml_implicit_resolvers[""] = _Loader.yaml_implicit_resolvers["~"]  # nothing is null


def _check_depth(text: str) -> None:
    """Raise ValueError for values inside values without bound, before they are put together one inside the other."""
    depth, loader = 0, _Loader(text)
    while loader.check_event():
        event = loader.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > CONFIG_DEPTH_MAX:
            raise ValueError(f"it holds values inside values, more than {CONFIG_DEPTH_MAX} deep")


def _survey(root: yaml.Node | None) -> tuple[dict[tuple[str | int, ...], int], list[Fault]]:
    """The line of every key, and what YAML lets pass but a study must not: keys said twice, numbers without bound.

    Raises ValueError for aliases without bound.
    """
    lines: dict[tuple[str | int, ...], int] = {}
    faults: list[Fault] = []
    queue: list[tuple[tuple[str | int, ...], yaml.Node | None]] = [((), root)]
    for visited, (path, node) in enumerate(_drain(queue)):
        inside = len(node.value) if isinstance(node, yaml.CollectionNode) else 0
        if visited + len(queue) + inside > CONFIG_NODES_MAX:
            raise ValueError(f"it expands to more than {CONFIG_NODES_MAX} values")
        if len(path) > CONFIG_DEPTH_MAX:
            raise ValueError(f"it holds values inside values, more than {CONFIG_DEPTH_MAX} deep")
        if node is not None:
            lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                name = _key(key)
                faults += _scalar_faults((*path, name), key) if isinstance(key, yaml.ScalarNode) else ()
                if name in seen and name != "<<":
                    faults.append(Fault((*path, name), "is said twice"))
                seen.add(name)
                lines[(*path, name)] = key.start_mark.line + 1
                queue.append(((*path, name), value))
        elif isinstance(node, yaml.SequenceNode):
            queue += [((*path, index), value) for index, value in enumerate(node.value)]
        elif node is not None:
            faults += _scalar_faults(path, node)
    return lines, faults


def _scalar_faults(path: tuple[str | int, ...], node: yaml.ScalarNode) -> Iterator[Fault]:
    """What is wrong with a number or a word by itself. Raises ValueError for a number without bound."""
    if node.tag.endswith(":float") and node.value.lower().lstrip("+-") in (".nan", ".inf"):
        yield Fault(path, f"found {node.value}; a number must be finite")
    if node.tag.endswith((":int", ":float")) and len(node.value) > DIGITS_MAX:
        said = f"line {node.start_mark.line + 1} has a number of {len(node.value)} digits"
        raise ValueError(f"{said}; allowed are {DIGITS_MAX}")
    if found := UNSPEAKABLE.search(node.value):
        yield Fault(path, f"found the character U+{ord(found[0]):04X}, which no text of a study can have")


def _drain(queue: list[Any]) -> Iterator[Any]:
    while queue:
        yield queue.pop()


def _key(node: yaml.Node) -> str | int:
    text = str(node.value)
    whole = node.tag == "tag:yaml.org,2002:int" and text.isdigit() and len(text) <= DIGITS_MAX
    return int(text) if whole else UNSPEAKABLE.sub("\ufffd", text)
