"""Published pickles as plain data: a reader that knows a few words of the language, and runs nothing.

A pickle is a program for a small stack machine. Here that program is stepped through opcode by opcode
(``pickletools.genops`` only splits the bytes), and each opcode that builds data has a line of our own below. Nothing is
imported, no attribute is looked up and nothing is called that the file names: a name is looked up in a table, where it
stands for a function of this module, and every other name is refused. The storages of tensors are pickles within the
pickle; the same machine reads them, with a table of their own: stricter than ``torch.load`` with ``weights_only``.
The source code that NVIDIA's files carry is dropped unseen.

Layout of the files: Karras et al. 2020 (arXiv 2006.06676) publish a dict of networks, each a call of
``torch_utils.persistence._reconstruct_persistent_obj`` on a dict with ``class_name`` and ``state``.
"""

import io
import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .store import Damaged

MOST_BYTES = 2**30  # of a file; the largest published one has 382 million
MOST_OPCODES = 2_000_000  # a published file has some ten thousand
STORAGE_OPCODES = 100
MOST_VALUES = 500_000  # in what is given back, counted as often as they are referred to
MOST_DEPTH = 64
MOST_AXES = 8
MOST_LETTERS = 2**20  # of a string; the source code of the networks has some 40,000
MOST_COPIES = 4  # tensors may share memory, and taken apart be so many times as large as the file
SHOWN_LETTERS = 120  # of what the file says, in a message
VERSION = 6  # of the persistent objects
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what torch.save began with before it wrote zips
NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")  # numpy's


@dataclass(frozen=True)
class Network:
    """A module of somebody's code as the plain data that it held; nothing of the code is here.

    class_name: as the file says it, such as SynthesisLayer. state: the module's attributes by name: ``_parameters`` and
    ``_buffers`` (name to torch.Tensor or None), ``_modules`` (name to Network), numbers, strings, lists and dicts.
    """

    class_name: str
    state: Mapping[str, Any]


class _Refused(Exception):
    """What the file asks for is not read. The message says what, without the file's name."""


def read(path: Path) -> Any:
    """What a published pickle holds: dicts, lists, tuples, sets, numbers, strings, arrays, CPU tensors and Networks.

    Ordered and other kinds of dicts become dicts, numpy's numbers Python's; tensors keep their type, and share memory
    where they did in the file.
    Raises Damaged, which leaves the file where it is, for whatever is cut off, too large, inconsistent, or asks for
    anything else: the message has its full name. OSError where the file cannot be read.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            size = path.stat().st_size
            if size > MOST_BYTES:
                raise _Refused(f"has {size} bytes; published weights have up to {MOST_BYTES}")
            source = _Source(stream, size)
            result = _run(source, NAMED, MOST_OPCODES)
        if source.left:
            raise _Refused(f"has {source.left} bytes after the end of its pickle")
        return _Copy(MOST_COPIES * size).of(result)
    except _Refused as refused:
        raise Damaged(path, f"{refused}; nothing of it was run") from None
    except (MemoryError, RecursionError) as error:
        raise Damaged(path, f"is too much to hold ({type(error).__name__}); nothing of it was run") from None


def _shown(said: Any) -> str:
    """What a file says, so that it can stand in a line of a terminal."""
    text = ascii(str(said))[1:-1]
    return text if len(text) <= SHOWN_LETTERS else text[:SHOWN_LETTERS] + "…"


# -- the machine ------------------------------------------------------------------------------------------------------


class _Source:
    """A stream that gives what is there: a length that the file only claims reserves no memory."""

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._size, self.left = stream, size, size

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise _Refused(f"is cut off: {count} bytes are announced, {self.left} are left")
        self.left -= count
        return self._stream.read(count)

    def readline(self) -> bytes:
        line = self._stream.readline(MOST_LETTERS)
        self.left -= len(line)
        return line

    def tell(self) -> int:
        return self._size - self.left


@dataclass(frozen=True)
class _Named:
    """What a name of the file stands for. call: what REDUCE makes with it; None where it is only mentioned."""

    name: str
    call: Callable[..., Any] | None = None
    kind: str = ""


class _Machine:
    """The state of one run: the stack with its marks, the memo, and what names stand for."""

    def __init__(self, named: Mapping[str, _Named]):
        self.named = named
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
            raise _Refused("is inconsistent: it takes more values than it made")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def to_mark(self) -> list[Any]:
        """All values since the last mark, which is taken away."""
        if not self.marks:
            raise _Refused("is inconsistent: it goes back to a mark that it did not make")
        values = self.popped(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return values

    def top(self, kind: type, what: str) -> Any:
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) <= floor or type(self.stack[-1]) is not kind:
            raise _Refused(f"is inconsistent: it {what}, which is none")
        return self.stack[-1]

    def remember(self, key: int) -> None:
        if not self.stack:
            raise _Refused("is inconsistent: it remembers what it did not make")
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise _Refused("is inconsistent: it recalls what it did not make")
        self.push(self.memo[key])

    def put_string(self, text: str) -> None:
        if len(text) > MOST_LETTERS:
            raise _Refused(f"has a string of {len(text)} letters; published weights have up to {MOST_LETTERS}")
        self.push(text)

    def put_named(self, name: str) -> None:
        if name not in self.named:
            raise _Refused(f"asks for {_dotted(name)}, which is not among what weights need")
        self.push(self.named[name])

    def put_items(self, pairs: list[Any]) -> None:
        target = self.top(dict, "fills a dict")
        if len(pairs) % 2 or any(type(key) is not str for key in pairs[::2]):
            raise _Refused("is inconsistent: the keys of its dicts are not strings alone")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))

    def put_members(self, members: list[Any]) -> None:
        target = self.top(set, "fills a set")
        if any(type(member) is not str for member in members):
            raise _Refused("is inconsistent: the members of its sets are not strings alone")
        target.update(members)

    def name_from_stack(self) -> None:
        module, name = self.popped(2)
        if type(module) is not str or type(name) is not str:
            raise _Refused("is inconsistent: it asks for a name that is no string")
        self.put_named(f"{module} {name}")

    def call(self) -> None:
        function, arguments = self.popped(2)
        if type(function) is not _Named or function.call is None or type(arguments) is not tuple:
            raise _Refused(f"calls {_kind(function)}, which is no function")
        try:
            self.push(function.call(*arguments))
        except (TypeError, ValueError, OverflowError, RuntimeError):  # the last is torch's, of sizes that it has not
            raise _Refused(f"calls {_dotted(function.name)} with other arguments than weights have") from None

    def new(self) -> None:
        kind, arguments = self.popped(2)
        if type(kind) is not _Named or kind.kind != "dict" or type(arguments) is not tuple or arguments:
            raise _Refused(f"makes an object of {_kind(kind)}, which weights do not need")
        self.push({})

    def build(self) -> None:
        target, state = self.popped(2)
        if type(target) not in (_Number, _Array):
            raise _Refused(f"sets the state of {_kind(target)}, which weights do not need")
        target.set_state(state)
        self.push(target)


def _dotted(name: str) -> str:
    return _shown(name.replace(" ", "."))


def _kind(value: Any) -> str:
    return _dotted(value.name) if type(value) is _Named else f"a {type(value).__name__.strip('_').lower()}"


def _run(source: _Source, named: Mapping[str, _Named], most: int) -> Any:
    """The value of the next pickle in the source, of at most so many opcodes."""
    machine = _Machine(named)
    operations = pickletools.genops(source)
    for _ in range(most):
        try:
            opcode, argument, _ = next(operations)
        except (ValueError, OverflowError) as error:
            raise _Refused(f"is no pickle of weights: {_shown(error)}") from None
        if opcode.name == "STOP":
            if len(machine.stack) != 1 or machine.marks:
                raise _Refused(f"is inconsistent: it ends with {len(machine.stack)} values in the place of 1")
            return machine.stack[0]
        if opcode.name == "FRAME" and argument > source.left:
            raise _Refused(f"is cut off: {argument} bytes are announced, {source.left} are left")
        if opcode.name not in STEPS:
            said = "" if argument is None else f" {_dotted(str(argument))}"
            raise _Refused(f"asks for {opcode.name}{said}, which weights do not need")
        STEPS[opcode.name](machine, argument)
    raise _Refused(f"has more than {most} opcodes in a pickle; published weights have fewer")


def _append(machine: _Machine, values: list[Any]) -> None:
    machine.top(list, "fills a list").extend(values)


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.popped(1).clear(),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BININT": lambda machine, value: machine.push(value),
    "BININT1": lambda machine, value: machine.push(value),
    "BININT2": lambda machine, value: machine.push(value),
    "LONG1": lambda machine, value: machine.push(value),
    "BINFLOAT": lambda machine, value: machine.push(value),
    "BINUNICODE": _Machine.put_string,
    "SHORT_BINUNICODE": _Machine.put_string,
    "BINBYTES": lambda machine, value: machine.push(value),
    "SHORT_BINBYTES": lambda machine, value: machine.push(value),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.popped(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.popped(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.popped(3))),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": lambda machine, _: _append(machine, machine.popped(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.put_items(machine.popped(2)),
    "SETITEMS": lambda machine, _: machine.put_items(machine.to_mark()),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "ADDITEMS": lambda machine, _: machine.put_members(machine.to_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": _Machine.put_named,  # pickletools gives the module and the name with a space between
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.new(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.push(_stored(machine.named, machine.pop())),
}


# -- what names stand for ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Persistent:
    """The call that makes a network, before it is known to be one."""

    meta: Any


@dataclass(frozen=True)
class _Storage:
    """The numbers of tensors: a flat torch.Tensor."""

    flat: Any


@dataclass
class _Number:
    """A type of numbers of numpy: the real one is made of it once it is known to be harmless."""

    code: str
    order: str = "="

    def set_state(self, state: Any) -> None:
        match state:
            case (int(), str(order), None, None, None, int(), int(), int()) if order in ("<", ">", "=", "|"):
                self.order = order
            case _:
                raise _Refused("has a type of numbers that weights do not need")

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)


@dataclass
class _Array:
    """An array of numpy, before and after its state is there."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Number or type(state[4]) is not bytes:
            raise _Refused("has an array that weights do not need")
        _, shape, number, fortran, data = state
        if not _are_counts(shape) or math.prod(shape) * number.dtype.itemsize != len(data):
            raise _Refused(f"has an array of the shape {_shown(shape)} in {len(data)} bytes")
        flat = np.frombuffer(data, number.dtype)
        self.value = flat.reshape(shape, order="F" if fortran is True else "C")


def _number(code: Any, align: Any = False, copy: Any = True) -> _Number:
    if type(code) is not str or code not in NUMBERS:
        raise _Refused(f"has numbers of the type {_shown(code)}; allowed are {', '.join(NUMBERS)}")
    return _Number(code)


def _scalar(number: Any, data: Any) -> Any:
    if type(number) is not _Number or type(data) is not bytes or len(data) != number.dtype.itemsize:
        raise _Refused("has a number that does not fill its bytes")
    return np.frombuffer(data, number.dtype)[0].item()


def _array(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()  # the arguments stand for an empty array; the state that follows says all


def _dict() -> dict[str, Any]:
    return {}


def _set(members: Any) -> set[str]:
    if type(members) is not list or any(type(member) is not str for member in members):
        raise _Refused("is inconsistent: the members of its sets are not strings alone")
    return set(members)


def _are_counts(values: Any) -> bool:
    return (
        type(values) is tuple
        and len(values) <= MOST_AXES
        and all(type(value) is int and 0 <= value <= MOST_BYTES for value in values)
    )


def _storage(data: Any) -> _Storage:
    """The storage in what torch.save once wrote of it: five pickles, the count of its numbers, and these."""
    import torch

    if type(data) is not bytes:
        raise _Refused("has a storage that is no bytes")
    source = _Source(io.BytesIO(data), len(data))
    magic, protocol, system, kept, keys = (_run(source, STORAGES, STORAGE_OPCODES) for _ in range(5))
    if (magic, protocol) != (MAGIC, PROTOCOL) or type(system) is not dict or system.get("little_endian") is not True:
        raise _Refused("has a storage in another format than that of torch.save before its zips, little endian")
    if type(kept) is not _Stored or keys != [kept.key] or int.from_bytes(source.read(8), "little") != kept.count:
        raise _Refused("has a storage that is inconsistent")
    dtype = getattr(torch, kept.dtype)
    if kept.count * dtype.itemsize != source.left:
        raise _Refused(f"has a storage of {kept.count} {kept.dtype} in {source.left} bytes")
    if not kept.count:
        return _Storage(torch.empty(0, dtype=dtype))
    numbers = bytearray(source.read(source.left))
    if dtype is torch.bool and max(numbers) > 1:
        raise _Refused("has a storage of truth values that are neither")
    return _Storage(torch.frombuffer(numbers, dtype=dtype))


@dataclass(frozen=True)
class _Stored:
    """What a nested pickle says of the storage that follows it."""

    dtype: str
    key: str
    count: int


def _stored(named: Mapping[str, _Named], identity: Any) -> _Stored:
    if named is not STORAGES:
        raise _Refused("asks for a persistent id, which weights have in their storages alone")
    match identity:
        case ("storage", _Named(kind=dtype), str(key), str(), int(count), None) if dtype and count >= 0:
            return _Stored(dtype, key, count)
    raise _Refused("has a storage that is inconsistent")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, metadata: Any = None) -> Any:
    """The tensor of this shape and these strides, in numbers, all of which must lie within its storage."""
    import torch

    if type(storage) is not _Storage:
        raise _Refused("has a tensor without a storage")
    there = storage.flat.numel()
    if not (_are_counts(size) and _are_counts(stride) and _are_counts((offset,)) and len(size) == len(stride)):
        raise _Refused(f"has a tensor of the shape {_shown(size)} with the strides {_shown(stride)}")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > there or (math.prod(size) and last >= there):
        raise _Refused(f"has a tensor of the shape {_shown(size)} in a storage of {there}")
    if not math.prod(size):
        return torch.empty(size, dtype=storage.flat.dtype)
    return torch.as_strided(storage.flat, size, stride, offset)


def _parameter(data: Any, gradient: Any, hooks: Any) -> Any:
    return data


def _table(*entries: _Named) -> dict[str, _Named]:
    return {entry.name: entry for entry in entries}


NAMED = _table(
    _Named("torch_utils.persistence _reconstruct_persistent_obj", _Persistent),
    _Named("collections OrderedDict", _dict, "dict"),
    _Named("dnnlib.util EasyDict", _dict, "dict"),  # a dict whose items are attributes, too
    _Named("builtins set", _set),  # how sets were written before protocol 4
    _Named("torch._utils _rebuild_tensor_v2", _tensor),
    _Named("torch._utils _rebuild_parameter", _parameter),
    _Named("torch.storage _load_from_bytes", _storage),
    _Named("numpy dtype", _number),
    _Named("numpy ndarray"),
    *(_Named(f"numpy.{core}.multiarray scalar", _scalar) for core in ("core", "_core")),
    *(_Named(f"numpy.{core}.multiarray _reconstruct", _array) for core in ("core", "_core")),
)

STORAGES = _table(
    _Named("torch FloatStorage", kind="float32"),
    _Named("torch DoubleStorage", kind="float64"),
    _Named("torch HalfStorage", kind="float16"),
    _Named("torch BFloat16Storage", kind="bfloat16"),
    _Named("torch LongStorage", kind="int64"),
    _Named("torch IntStorage", kind="int32"),
    _Named("torch ShortStorage", kind="int16"),
    _Named("torch CharStorage", kind="int8"),
    _Named("torch ByteStorage", kind="uint8"),
    _Named("torch BoolStorage", kind="bool"),
)


# -- what is given back -----------------------------------------------------------------------------------------------


class _Copy:
    """Copies what the machine made, so that it is a tree of bounded depth and size of plain data and nothing else.

    A few bytes of a pickle can refer to one list thousands of times, whose items do so again; and it can put a list
    into itself. Both end here, before somebody walks through it.

    most_bytes: that all tensors and arrays have together, each counted as often as it is referred to.
    """

    def __init__(self, most_bytes: int):
        self.most_bytes, self.values = most_bytes, 0

    def of(self, value: Any, depth: int = 0) -> Any:
        import torch

        self.values += 1
        if self.values > MOST_VALUES or depth > MOST_DEPTH:
            raise _Refused(f"holds more than {MOST_VALUES} values, or nests them deeper than {MOST_DEPTH}")
        kind = type(value)
        if value is None or kind in (bool, int, float, str, bytes):
            return value
        if kind in (list, tuple):
            return kind([self.of(item, depth + 1) for item in value])
        if kind is dict:
            return {key: self.of(item, depth + 1) for key, item in value.items()}
        if kind is set:
            self.values += len(value)
            return set(value)
        if kind is torch.Tensor:
            return self._counted(value, value.nbytes)
        if kind is _Array and value.value is not None:
            return self._counted(value.value, value.value.nbytes)
        if kind is _Persistent:
            return self._network(value.meta, depth)
        raise _Refused(f"holds {_kind(value)} in the place of data")

    def _counted(self, value: Any, size: int) -> Any:
        self.most_bytes -= size
        if self.most_bytes < 0:
            raise _Refused("holds tensors that share their memory so often that they would not fit elsewhere")
        return value

    def _network(self, meta: Any, depth: int) -> Network:
        match meta:
            case {"type": "class", "version": int(version), "class_name": str(name), "state": dict(state)}:
                if version != VERSION:
                    raise _Refused(f"has a network of version {_shown(version)}; allowed is {VERSION}")
                return Network(name, self.of(state, depth + 1))
        raise _Refused("has a network without type, version, class_name and state")
