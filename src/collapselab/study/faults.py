"""Faults of a study, and the words for them: what was found, what is allowed, and where in the file it stands."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..core.naming import meant

SHOWN_MAX = 200  # faults in a message; of more their number is said
LETTERS_MAX = 5_000  # of a fault in a message
ALLOWED, LISTED_MAX = "; allowed: ", 200  # a list of more letters is said once in a message
PATTERNS = {  # what a text has to be like, in words
    r"^[A-Za-z][A-Za-z0-9_]*$": "a name of letters, digits and _ that begins with a letter",
    r"^[A-Za-z][A-Za-z0-9_-]*$": "a name of letters, digits, _ and - that begins with a letter",
    r"^(\d+(,\d+)*)?$": "numbers of classes, such as '0,3'",
    r"^(all|none|every [1-9][0-9]{0,3}(st|nd|rd|th))$": "all, none, or every Nth generation, such as 'every 5th'",
}
QUOTED = "'([^']*)'"
LISTED = re.compile("(found '([^']*)')(, allowed are '.*)")  # a word, and those of which it should be one
HINTS_MAX = 100  # names for which the nearest is looked for, which takes a thousandth of a second


class Fault(NamedTuple):
    """One thing that is wrong with a study."""

    path: tuple[str | int, ...]
    message: str


class BadStudy(ValueError):
    """A study cannot be run; the message lists every fault with its file, line and key."""

    def __init__(self, path: Path, faults: list[Fault], lines: Mapping[tuple[str | int, ...], int] | None = None):
        lines = lines or {}
        self.faults = faults = sorted(faults, key=lambda fault: _line(fault.path, lines))
        shown = faults[:SHOWN_MAX]
        messages = _lists_once(_cut(fault.message) for fault in shown)
        places = [_place(fault.path, lines) for fault in shown]
        rows = [f"  {place}{said}".replace("\n", "\n    ") for place, said in zip(places, messages, strict=True)]
        rows += [f"  and {len(faults) - SHOWN_MAX} more"] if len(faults) > SHOWN_MAX else []
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{path}: {count}", *rows]))


def _cut(message: str) -> str:
    return message if len(message) <= LETTERS_MAX else message[:LETTERS_MAX] + "…"


def _lists_once(messages: Iterable[str]) -> Iterator[str]:
    """Messages of which only the first says what is allowed at length, where several allow the same."""
    said: set[str] = set()
    for message in messages:
        before, allowed, names = message.partition(ALLOWED)
        yield f"{before}{ALLOWED}as above" if names in said else message
        if allowed and len(names) > LISTED_MAX:
            said.add(names)


def _place(key: tuple[str | int, ...], lines: Mapping[tuple[str | int, ...], int]) -> str:
    """``line 12: arms.fresh.regime: ``."""
    line = _line(key, lines)
    said = ".".join(str(word) if len(str(word)) <= 100 else f"{str(word)[:100]}…" for word in key)
    return (f"line {line}: " if line else "") + (f"{said}: " if key else "")


def _line(key: tuple[str | int, ...], lines: Mapping[tuple[str | int, ...], int]) -> int:
    """The nearest line that the file has for the key; 0 if there is none."""
    return next((lines[key[:length]] for length in range(len(key), -1, -1) if key[:length] in lines), 0)


# -- words ------------------------------------------------------------------------------------------------------------


def mapping(value: Any) -> dict[Any, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def known(name: Any, registry: Mapping[str, Any], where: tuple[str | int, ...], faults: list[Fault]) -> bool:
    """Whether a name is one of a registry, and its entry can be used; where not, its fault is added."""
    if not isinstance(name, str):
        return False  # StudyFile has said so
    try:
        registry[name]
    except KeyError:
        faults.append(Fault(where, unknown(name, registry, hint=len(faults) < HINTS_MAX)))
    except ValueError as error:  # of another package, whose entry is broken
        faults.append(Fault(where, str(error)))
    else:
        return True
    return False


def unknown(name: Any, allowed: Any, what: str = "name", hint: bool = True) -> str:
    """The message for a name that is none of the allowed ones, of which it says which was meant."""
    names = [str(one) for one in allowed]
    return f"unknown {what} {quoted(name)}{meant(name, names, hint)}; allowed: {', '.join(names) or 'none yet'}"


def validated(model: type[BaseModel], raw: Any, where: tuple[str | int, ...], faults: list[Fault]) -> Any:
    """The parsed part, or None with its faults added."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults += faults_of(error, model, where)
    except TypeError as error:  # pydantic lets it through when a family's own validator trips over a type
        faults.append(Fault(where, str(error)))
    return None


# -- what pydantic finds ----------------------------------------------------------------------------------------------


def faults_of(error: ValidationError, model: type[BaseModel], where: tuple[str | int, ...]) -> list[Fault]:
    """One fault for each key: a union complains once for each of its members, and of them the deepest came closest."""
    told: dict[tuple[str | int, ...], list[str]] = {}
    for number, entry in enumerate(error.errors(include_url=False)):
        path, parent = _user_path(entry["loc"], model)
        told.setdefault(where + path, []).append(_message(entry, parent, number < HINTS_MAX))
    above = {one[:length] for one in told for length in range(len(one))}
    return [Fault(path, _either(list(dict.fromkeys(told[path])))) for path in told if path not in above]


def _either(messages: list[str]) -> str:
    """What the members of a union say of one value, which is named once."""
    found = messages[0].partition("; ")[0] + "; "
    return "; or ".join([messages[0], *(message.removeprefix(found) for message in messages[1:])])


def _message(entry: Mapping[str, Any], parent: type[BaseModel] | None, hint: bool) -> str:
    if entry["type"] == "missing":
        return "is missing"
    if entry["type"] == "extra_forbidden":
        allowed = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
        if parent and not allowed:
            return f"unknown key {entry['loc'][-1]!r}; there are no options"
        return unknown(entry["loc"][-1], allowed, "key", hint)
    message = entry["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if entry["type"] in ("list_type", "tuple_type"):
        message = "should be a valid list"
    if entry["type"] in ("list_type", "tuple_type") and isinstance(entry["input"], str | dict):
        message += f", such as {flow([entry['input']])}"
    if entry["type"] == "string_pattern_mismatch":
        message = f"allowed is {PATTERNS.get(entry['ctx']['pattern'], entry['ctx']['pattern'])}"
    if entry["type"] == "too_short":
        message = f"needed is at least {entry['ctx']['min_length']} item"
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", message)
    says_what = isinstance(entry["input"], dict) or message.startswith("found ")  # the message has what it found
    if entry["type"] == "value_error" and says_what:
        return LISTED.sub(lambda one: f"{one[1]}{meant(one[2], re.findall(QUOTED, one[3]), hint)}{one[3]}", message)
    listed = re.findall(QUOTED, entry["ctx"]["expected"]) if entry["type"] == "literal_error" else ()
    return f"found {quoted(entry['input'])}{meant(entry['input'], listed, hint)}; {message}"


def flow(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def quoted(value: Any) -> str:
    """A value as a message shows it, cut short."""
    try:
        text = repr(value)
    except ValueError:  # Python writes down no number of thousands of digits
        text = f"a value of {type(value).__name__} without bound"
    return text if len(text) <= 80 else text[:77] + "…"


def _user_path(
    loc: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[tuple[str | int, ...], type[BaseModel] | None]:
    """The keys of ``loc`` that stand in the file, without the names of union members; and the model they end in."""
    path: list[str | int] = []
    kinds: list[Any] = [model]
    parent: type[BaseModel] | None = model
    for word in loc:
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        fields = [
            (one, field) for one in models for name, field in one.model_fields.items() if word in (name, field.alias)
        ]
        if fields:
            parent, kinds = fields[0][0], _members(fields[0][1].annotation)
            path.append(word)
        elif any(get_origin(kind) in (dict, list) for kind in kinds):
            inner = [get_args(kind)[-1] for kind in kinds if get_origin(kind) in (dict, list)]
            if isinstance(word, str) and (word in MEMBERS or "[" in word or word in {one.__name__ for one in models}):
                continue
            path.append(word)
            kinds = [member for one in inner for member in _members(one)]
        elif models and word in {one.__name__ for one in models}:
            kinds = [one for one in models if one.__name__ == word]
            parent = kinds[0]
        elif models and word == loc[-1] and "[" not in str(word):
            parent = models[0]  # a key that the model does not know
            path.append(word)
    return tuple(path), parent


MEMBERS = {"number", "schedule", "str", "int", "[key]"}  # how pydantic's paths call the members of a union


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [member for one in get_args(annotation) for member in _members(one)]
    return [annotation]
