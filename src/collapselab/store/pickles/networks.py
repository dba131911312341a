"""Published weights as plain data: the pickles of StyleGAN2, of which nothing is run.

The storages of tensors are pickles within the pickle; the same machine reads them, with a table of their own: stricter
than ``torch.load`` with ``weights_only``. The source code that NVIDIA's files carry is dropped unseen.

Layout of the files: Karras et al. 2020 (arXiv 2006.06676) publish a dict of networks, each a call of
``torch_utils.persistence._reconstruct_persistent_obj`` on a dict with ``class_name`` and ``state``.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import Damaged
from . import machine
from .machine import MOST_BYTES, STEPS, Language, Named, Refused, Source, Unfinished, kind_of, shown, table

STORAGE_OPCODES = 100
MOST_VALUES = 500_000  # in what is given back, counted as often as they are referred to
MOST_DEPTH = 64
MOST_AXES = 8
MOST_COPIES = 4  # tensors may share memory, and taken apart be so many times as large as the file
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


def read(path: Path) -> Any:
    """What a published pickle holds: dicts, lists, tuples, sets, numbers, strings, arrays, CPU tensors and Networks.

    Ordered and other kinds of dicts become dicts, numpy's numbers Python's; tensors keep their type, and share memory
    where they did in the file.
    Raises Damaged, which leaves the file where it is, for whatever is cut off, too large, inconsistent, or asks for
    anything else: the message has its full name. OSError where the file cannot be read.
    """
    path = Path(path)
    try:
        found = machine.read(path, WEIGHTS)
        if found.left:
            raise Refused(f"has {found.left} bytes after the end of its pickle")
        return _Copy(MOST_COPIES * found.size).of(found.value)
    except Refused as refused:
        raise Damaged(path, f"{refused}; nothing of it was run") from None
    except (MemoryError, RecursionError) as error:
        raise Damaged(path, f"is too much to hold ({type(error).__name__}); nothing of it was run") from None


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
class _Number(Unfinished):
    """A type of numbers of numpy: the real one is made of it once it is known to be harmless."""

    code: str
    order: str = "="

    def set_state(self, state: Any) -> None:
        match state:
            case (int(), str(order), None, None, None, int(), int(), int()) if order in ("<", ">", "=", "|"):
                self.order = order
            case _:
                raise Refused("has a type of numbers that weights do not need")

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)


@dataclass
class _Array(Unfinished):
    """An array of numpy, before and after its state is there."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Number or type(state[4]) is not bytes:
            raise Refused("has an array that weights do not need")
        _, shape, number, fortran, data = state
        if not _are_counts(shape) or math.prod(shape) * number.dtype.itemsize != len(data):
            raise Refused(f"has an array of the shape {shown(shape)} in {len(data)} bytes")
        flat = np.frombuffer(data, number.dtype)
        self.value = flat.reshape(shape, order="F" if fortran is True else "C")


def _number(code: Any, align: Any = False, copy: Any = True) -> _Number:
    if type(code) is not str or code not in NUMBERS:
        raise Refused(f"has numbers of the type {shown(code)}; allowed are {', '.join(NUMBERS)}")
    return _Number(code)


def _scalar(number: Any, data: Any) -> Any:
    if type(number) is not _Number or type(data) is not bytes or len(data) != number.dtype.itemsize:
        raise Refused("has a number that does not fill its bytes")
    return np.frombuffer(data, number.dtype)[0].item()


def _array(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()  # the arguments stand for an empty array; the state that follows says all


def _dict() -> dict[str, Any]:
    return {}


def _set(members: Any) -> set[str]:
    if type(members) is not list or any(type(member) is not str for member in members):
        raise Refused("is inconsistent: the members of its sets are not strings alone")
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
        raise Refused("has a storage that is no bytes")
    source = Source(io.BytesIO(data), len(data))
    magic, protocol, system, kept, keys = (machine.run(source, STORAGES) for _ in range(5))
    if (magic, protocol) != (MAGIC, PROTOCOL) or type(system) is not dict or system.get("little_endian") is not True:
        raise Refused("has a storage in another format than that of torch.save before its zips, little endian")
    if type(kept) is not _Stored or keys != [kept.key] or int.from_bytes(source.read(8), "little") != kept.count:
        raise Refused("has a storage that is inconsistent")
    dtype = getattr(torch, kept.dtype)
    if kept.count * dtype.itemsize != source.left:
        raise Refused(f"has a storage of {kept.count} {kept.dtype} in {source.left} bytes")
    if not kept.count:
        return _Storage(torch.empty(0, dtype=dtype))
    numbers = bytearray(source.read(source.left))
    if dtype is torch.bool and max(numbers) > 1:
        raise Refused("has a storage of truth values that are neither")
    return _Storage(torch.frombuffer(numbers, dtype=dtype))


@dataclass(frozen=True)
class _Stored:
    """What a nested pickle says of the storage that follows it."""

    dtype: str
    key: str
    count: int


def _stored(identity: Any) -> _Stored:
    match identity:
        case ("storage", Named(kind=dtype), str(key), str(), int(count), None) if dtype and count >= 0:
            return _Stored(dtype, key, count)
    raise Refused("has a storage that is inconsistent")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, metadata: Any = None) -> Any:
    """The tensor of this shape and these strides, in numbers, all of which must lie within its storage."""
    import torch

    if type(storage) is not _Storage:
        raise Refused("has a tensor without a storage")
    there = storage.flat.numel()
    if not (_are_counts(size) and _are_counts(stride) and _are_counts((offset,)) and len(size) == len(stride)):
        raise Refused(f"has a tensor of the shape {shown(size)} with the strides {shown(stride)}")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if math.prod(size) > there or (math.prod(size) and last >= there):
        raise Refused(f"has a tensor of the shape {shown(size)} in a storage of {there}")
    if not math.prod(size):
        return torch.empty(size, dtype=storage.flat.dtype)
    return torch.as_strided(storage.flat, size, stride, offset)


def _parameter(data: Any, gradient: Any, hooks: Any) -> Any:
    return data


NETWORKS = table(
    Named("torch_utils.persistence _reconstruct_persistent_obj", _Persistent),
    Named("collections OrderedDict", _dict, "dict"),
    Named("dnnlib.util EasyDict", _dict, "dict"),  # a dict whose items are attributes, too
    Named("builtins set", _set),  # how sets were written before protocol 4
    Named("torch._utils _rebuild_tensor_v2", _tensor),
    Named("torch._utils _rebuild_parameter", _parameter),
    Named("torch.storage _load_from_bytes", _storage),
    Named("numpy dtype", _number),
    Named("numpy ndarray"),
    *(Named(f"numpy.{core}.multiarray scalar", _scalar) for core in ("core", "_core")),
    *(Named(f"numpy.{core}.multiarray _reconstruct", _array) for core in ("core", "_core")),
)

KINDS = table(
    Named("torch FloatStorage", kind="float32"),
    Named("torch DoubleStorage", kind="float64"),
    Named("torch HalfStorage", kind="float16"),
    Named("torch BFloat16Storage", kind="bfloat16"),
    Named("torch LongStorage", kind="int64"),
    Named("torch IntStorage", kind="int32"),
    Named("torch ShortStorage", kind="int16"),
    Named("torch CharStorage", kind="int8"),
    Named("torch ByteStorage", kind="uint8"),
    Named("torch BoolStorage", kind="bool"),
)

TENSORFLOW = "networks of TensorFlow, of which nothing is read: make a PyTorch pickle of it with its authors' converter"
WEIGHTS = Language("weights", NETWORKS, STEPS, others={"dnnlib.tflib": TENSORFLOW})
# A storage is named by a persistent id, and nothing else is.
IDENTITY: dict[str, machine.Step] = {"BINPERSID": lambda machine, _: machine.push(_stored(machine.pop()))}
STORAGES = Language("weights", KINDS, STEPS | IDENTITY, STORAGE_OPCODES)


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
            raise Refused(f"holds more than {MOST_VALUES} values, or nests them deeper than {MOST_DEPTH}")
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
        raise Refused(f"holds {kind_of(value)} in the place of data")

    def _counted(self, value: Any, size: int) -> Any:
        self.most_bytes -= size
        if self.most_bytes < 0:
            raise Refused("holds tensors that share their memory so often that they would not fit elsewhere")
        return value

    def _network(self, meta: Any, depth: int) -> Network:
        match meta:
            case {"type": "class", "version": int(version), "class_name": str(name), "state": dict(state)}:
                if version != VERSION:
                    raise Refused(f"has a network of version {shown(version)}; allowed is {VERSION}")
                return Network(name, self.of(state, depth + 1))
        raise Refused("has a network without type, version, class_name and state")
