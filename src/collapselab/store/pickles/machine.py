"""A reader of pickles that knows a few words of the language, and runs nothing.

The program is stepped through opcode by opcode (:mod:`pickletools` only splits the bytes), and each opcode that builds
data has a line of our own below. Nothing is imported, no attribute is looked up and nothing is called that the file
names: a name is looked up in a table, where it stands for a function of this package, and every other name is refused.
"""

import os
import pickletools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MOST_BYTES = 2**30  # of a file; the largest published one has 382 million
MOST_OPCODES = 2_000_000  # a published file has some ten thousand, a batch of CIFAR-10 some fifty thousand
MOST_LETTERS = 2**20  # of a string or a line; the source code of the networks has some 40,000
SHOWN_LETTERS = 120  # of what the file says, in a message


class Refused(Exception):
    """What the file asks for is not read. The message says what, without the file's name."""


@dataclass(frozen=True)
class Named:
    """What a name of the file stands for. call: what REDUCE makes with it; None where it is only mentioned."""

    name: str
    call: Callable[..., Any] | None = None
    kind: str = ""


@dataclass(frozen=True)
class Language:
    """What the pickles of one kind may say; whatever else they say is refused.

    of: what they hold, for messages. named: what names stand for, by ``module name``. steps: what each opcode does.
    most_opcodes: of one pickle. most_letters: of a string or a line. others: what pickles are that ask for names which
    begin so, and what to do about them.
    """

    of: str
    named: Mapping[str, Named]
    steps: Mapping[str, "Step"]
    most_opcodes: int = MOST_OPCODES
    most_letters: int = MOST_LETTERS
    others: Mapping[str, str] = field(default_factory=dict)


class Unfinished(ABC):
    """Is made by a call, and waits for its state, which BUILD sets."""

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Take the state that the pickle says."""


def table(*entries: Named) -> dict[str, Named]:
    """The entries by their names."""
    return {entry.name: entry for entry in entries}


def shown(said: Any) -> str:
    """What a file says, so that it can stand in a line of a terminal."""
    text = ascii(str(said))[1:-1]
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "…"


def kind_of(value: Any) -> str:
    """What a value is called in messages."""
    return _dotted(value.name) if type(value) is Named else f"a {type(value).__name__.strip('_').lower()}"


def _dotted(name: str) -> str:
    return shown(name.replace(" ", "."))


class Found(NamedTuple):
    """What the first pickle of a file makes; the bytes of the file, and how many of them follow the pickle."""

    value: Any
    size: int
    left: int


def read(path: Path, language: Language) -> Found:
    """What a file holds.

    Raises Refused for what the language does not have, and for whatever is cut off, too large or inconsistent; OSError
    where the file cannot be read; MemoryError and RecursionError as they come.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MOST_BYTES:
            raise Refused(f"has {size} bytes; published {language.of} have up to {MOST_BYTES}")
        source = Source(stream, size, language.most_letters)
        return Found(run(source, language), size, source.left)


class Source:
    """A stream that gives what is there: a length that the file only claims reserves no memory."""

    def __init__(self, stream: BinaryIO, size: int, most_letters: int = MOST_LETTERS):
        self._stream, self.left, self._most_letters = stream, size, most_letters

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise Refused(f"is cut off: {count} bytes are announced, {self.left} are left")
        self.left -= count
        return self._stream.read(count)

    def readline(self) -> bytes:
        line = self._stream.readline(self._most_letters)
        self.left -= len(line)
        return line


def run(source: Source, language: Language) -> Any:
    """The value of the next pickle in the source."""
    machine = Machine(language)
    operations = _operations(source)
    for _ in range(language.most_opcodes):
        try:
            opcode, argument = next(operations)
        except (ValueError, OverflowError) as error:
            raise Refused(f"is no pickle of {language.of}: {shown(error)}") from None
        if opcode == "STOP":
            if len(machine.stack) != 1 or machine.marks:
                raise Refused(f"is inconsistent: it ends with {len(machine.stack)} values in the place of 1")
            return machine.stack[0]
        if opcode == "FRAME" and argument > source.left:
            raise Refused(f"is cut off: {argument} bytes are announced, {source.left} are left")
        if opcode not in language.steps:
            said = "" if argument is None else f" {_dotted(str(argument))}"
            raise Refused(f"asks for {opcode}{said}, which is refused: {language.of} do not need it")
        language.steps[opcode](machine, argument)
    raise Refused(f"has more than {language.most_opcodes} opcodes in a pickle; published {language.of} have fewer")


def _operations(source: Source) -> Iterator[tuple[str, Any]]:
    """Each opcode by name, with its argument. Raises ValueError for bytes that are none.

    As ``pickletools.genops``, but for the strings of Python 2 in protocol 0, which may hold any bytes: there they have
    to be ASCII.
    """
    while True:
        code = source.read(1)
        opcode = pickletools.code2op.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"there is no opcode {code!r}")
        if opcode.name == "STRING":
            yield opcode.name, _quoted(source.readline())
        else:
            yield opcode.name, None if opcode.arg is None else opcode.arg.reader(source)


def _quoted(line: bytes) -> str:
    """A string of Python 2 as it was written down, one letter for each byte."""
    if len(line) < 3 or line[:1] not in (b"'", b'"') or line[-2:] != line[:1] + b"\n":
        raise ValueError("a string has no end, or no quotes around it")
    return line[1:-2].decode("unicode_escape")


class Machine:
    """The state of one run: the stack with its marks, the memo, and the language."""

    def __init__(self, language: Language):
        self.language = language
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.popped(1)[0]

    def popped(self, count: int) -> list[Any]:
        """The topmost values, in the order in which they were pushed; none from below the last mark."""
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) - count < floor:
            raise Refused("is inconsistent: it takes more values than it made")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def to_mark(self) -> list[Any]:
        """All values since the last mark, which is taken away."""
        if not self.marks:
            raise Refused("is inconsistent: it goes back to a mark that it did not make")
        values = self.popped(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return values

    def top(self, kind: type, what: str) -> Any:
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) <= floor or type(self.stack[-1]) is not kind:
            raise Refused(f"is inconsistent: it {what}, which is none")
        return self.stack[-1]

    def remember(self, key: int) -> None:
        if not self.stack:
            raise Refused("is inconsistent: it remembers what it did not make")
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise Refused("is inconsistent: it recalls what it did not make")
        self.push(self.memo[key])

    def put_string(self, text: str) -> None:
        most = self.language.most_letters
        if len(text) > most:
            raise Refused(f"has a string of {len(text)} letters; published {self.language.of} have up to {most}")
        self.push(text)

    def put_named(self, name: str) -> None:
        if name not in self.language.named:
            for beginning, what in self.language.others.items():
                if name.startswith(beginning):
                    raise Refused(f"asks for {_dotted(name)}: it holds {what}")
            raise Refused(f"asks for {_dotted(name)}, which is refused: {self.language.of} do not need it")
        self.push(self.language.named[name])

    def put_items(self, pairs: list[Any]) -> None:
        target = self.top(dict, "fills a dict")
        if len(pairs) % 2 or any(type(key) is not str for key in pairs[::2]):
            raise Refused("is inconsistent: the keys of its dicts are not strings alone")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))

    def put_values(self, values: list[Any]) -> None:
        self.top(list, "fills a list").extend(values)

    def put_members(self, members: list[Any]) -> None:
        target = self.top(set, "fills a set")
        if any(type(member) is not str for member in members):
            raise Refused("is inconsistent: the members of its sets are not strings alone")
        target.update(members)

    def name_from_stack(self) -> None:
        module, name = self.popped(2)
        if type(module) is not str or type(name) is not str:
            raise Refused("is inconsistent: it asks for a name that is no string")
        self.put_named(f"{module} {name}")

    def call(self) -> None:
        function, arguments = self.popped(2)
        if type(function) is not Named or function.call is None or type(arguments) is not tuple:
            raise Refused(f"calls {kind_of(function)}, which is no function")
        try:
            self.push(function.call(*arguments))
        except (TypeError, ValueError, OverflowError, RuntimeError):  # the last is torch's, of sizes that it has not
            said = f"calls {_dotted(function.name)} with other arguments than {self.language.of} have"
            raise Refused(said) from None

    def new(self) -> None:
        kind, arguments = self.popped(2)
        if type(kind) is not Named or kind.kind != "dict" or type(arguments) is not tuple or arguments:
            raise Refused(f"makes an object of {kind_of(kind)}, which {self.language.of} do not need")
        self.push({})

    def build(self) -> None:
        target, state = self.popped(2)
        if not isinstance(target, Unfinished):
            raise Refused(f"sets the state of {kind_of(target)}, which {self.language.of} do not need")
        target.set_state(state)
        self.push(target)


Step = Callable[[Machine, Any], None]

STEPS: dict[str, Step] = {  # what Python 3 writes of plain data and calls, in protocols 2 to 4
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.popped(1).clear(),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BININT": Machine.push,
    "BININT1": Machine.push,
    "BININT2": Machine.push,
    "LONG1": Machine.push,
    "BINFLOAT": Machine.push,
    "BINUNICODE": Machine.put_string,
    "SHORT_BINUNICODE": Machine.put_string,
    "BINBYTES": Machine.push,
    "SHORT_BINBYTES": Machine.push,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.popped(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.popped(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.popped(3))),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": lambda machine, _: machine.put_values(machine.popped(1)),
    "APPENDS": lambda machine, _: machine.put_values(machine.to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.put_items(machine.popped(2)),
    "SETITEMS": lambda machine, _: machine.put_items(machine.to_mark()),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": lambda machine, _: machine.put_members(machine.to_mark()),
    "BINPUT": Machine.remember,
    "LONG_BINPUT": Machine.remember,
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": Machine.recall,
    "LONG_BINGET": Machine.recall,
    "GLOBAL": Machine.put_named,  # pickletools gives the module and the name with a space between
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.new(),
    "BUILD": lambda machine, _: machine.build(),
}
