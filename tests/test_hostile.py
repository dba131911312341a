"""Hostile files wherever weights or arrays are read: none runs code, each is refused with exit code 3 and left alone.

Every file goes through every verb that reads its like, in this process; one goes through processes of their own. A
payload that runs makes a file called "canary".
"""

import io
import json
import os
import pickle
import resource
import shlex
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from project import ENVIRONMENT

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.sets import Reference, SampleSet, TrainingTable
from collapselab.data.batches import read_batch
from collapselab.engine.checkpoint import Checkpoint
from collapselab.study.starts import weights_fault

COMMAND = "touch canary"
CODE = f"__import__('os').system('{COMMAND}')"
WHERE = "--study-seed 1 --seed 0 --generation 0"
MEMORY_MB = 500  # that all files together may make the process grow by

# -- pickles -----------------------------------------------------------------------------------------------------------


def text(content):
    return b"X" + struct.pack("<I", len(content.encode())) + content.encode()


def data(content):
    return b"B" + struct.pack("<I", len(content)) + content


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def stacked(module, name):
    return text(module) + text(name) + b"\x93"


def call(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


def framed(body, protocol=4):
    return b"\x80" + bytes([protocol]) + body + b"."


class Call:
    """Is pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def saved(thing, zipped=False):
    """What torch.save writes."""
    stream = io.BytesIO()
    torch.save(thing, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def network(**changes):
    """A network of a published file, with source code that makes the canary."""
    meta = {"type": text("class"), "version": b"K\x06", "module_src": text(CODE), "class_name": text("Generator")}
    items = b"".join(text(key) + value for key, value in (meta | {"state": b"}"} | changes).items())
    return call(named("torch_utils.persistence", "_reconstruct_persistent_obj"), b"}(" + items + b"u")


def storage(payload):
    return call(named("torch.storage", "_load_from_bytes"), data(payload))


def lists(levels):
    """Lists of ten times the list before: ten to the power of the levels values in a few hundred bytes."""
    body = b"]q\x00"
    for level in range(levels):
        body += b"0](" + bytes([ord("h"), level]) * 10 + b"eq" + bytes([level + 1])
    return framed(body)


SYSTEM, LINE = named("os", "system"), text(COMMAND)
RUN = call(SYSTEM, LINE)
IMPORTED = call(named("builtins", "__import__"), text("os"))
GETATTR = named("builtins", "getattr")

# What Python's own unpickler runs: test_the_payloads_do_run_elsewhere proves it.
RUNNING = {
    **{f"protocol {protocol}": pickle.dumps(Call(os.system, COMMAND), protocol) for protocol in range(6)},
    "GLOBAL": framed(RUN, 2),
    "STACK_GLOBAL": framed(call(stacked("os", "system"), LINE)),
    "posix": framed(call(named("posix", "system"), LINE)),
    "a dotted name": framed(call(stacked("tempfile", "_os.system"), LINE)),
    "INST": b"(" + LINE + b"ios\nsystem\n.",
    "OBJ": framed(b"(" + named("subprocess", "Popen") + text("touch") + b"o0" + RUN),
    "NEWOBJ": framed(named("collections", "UserDict") + b")\x810" + RUN),
    "NEWOBJ_EX": framed(named("builtins", "list") + b")}\x920" + RUN),
    "BUILD": framed(named("collections", "UserDict") + b")\x81}" + text("data") + RUN + b"sb"),
    "__setstate__": framed(
        call(named("functools", "partial"), SYSTEM) + b"(" + SYSTEM + b"(" + LINE + b"t}Ntb" + b")R"
    ),
    "eval": framed(call(named("builtins", "eval"), text(CODE))),
    "eval of protocol 2": framed(call(named("__builtin__", "eval"), text(CODE)), 2),
    "exec": framed(call(named("builtins", "exec"), text(CODE))),
    "open": framed(call(named("builtins", "open"), text("canary"), text("w"))),
    "io.open": framed(call(named("io", "open"), text("canary"), text("w"))),
    "os.mkdir": framed(call(named("os", "mkdir"), text("canary"))),
    "subprocess": pickle.dumps(Call(subprocess.check_call, ["touch", "canary"])),
    "getattr": framed(call(call(GETATTR, IMPORTED, text("system")), LINE)),
    "importlib": framed(
        call(call(GETATTR, call(named("importlib", "import_module"), text("os")), text("system")), LINE)
    ),
    "operator.methodcaller": framed(call(call(named("operator", "methodcaller"), text("system"), LINE), IMPORTED)),
    "operator.attrgetter": framed(call(call(call(named("operator", "attrgetter"), text("system")), IMPORTED), LINE)),
    "functools.partial": framed(call(call(named("functools", "partial"), SYSTEM, LINE))),
    "functools.reduce": framed(call(named("functools", "reduce"), GETATTR, b"]" + IMPORTED + b"a") + b"0" + RUN),
    "map": framed(call(named("builtins", "list"), call(named("builtins", "map"), SYSTEM, b"]" + LINE + b"a"))),
    "runpy": framed(
        call(named("runpy", "_run_code"), call(named("builtins", "compile"), text(CODE), text("a"), text("exec")), b"}")
    ),
    "timeit": framed(call(named("timeit", "timeit"), text("pass"), text(CODE))),
    "a pickle within": framed(call(named("pickle", "loads"), data(framed(RUN)))),
    "copyreg": framed(call(named("copyreg", "_reconstructor"), *[named("builtins", "object")] * 2, b"N") + b"0" + RUN),
    "an extension": framed(
        call(named("copyreg", "add_extension"), text("os"), text("system"), b"K\x07") + b"0" + call(b"\x82\x07", LINE)
    ),
    "after what is allowed": framed(call(named("collections", "OrderedDict")) + b"0" + RUN),
    "in a dict": framed(b"}(" + text("G_ema") + RUN + b"u"),
    "thrown away": framed(RUN + b"0N"),
    "remembered": framed(SYSTEM + b"q\x010h\x01(" + LINE + b"tR"),
    "cut off": b"\x80\x04" + RUN,
    "numpy": framed(call(named("numpy.testing", "rundocs"), text("nowhere")).replace(b"R", b"0") + b"0" + RUN),
}

# What would do something else, or nothing by itself, and is none of the data that weights are.
REFUSED = {
    "nothing": b"",
    "words": b"these are no weights\n",
    "an empty zip": b"PK\x05\x06" + bytes(18),
    "a script": b"#!/bin/sh\ntouch canary\n",
    "an attribute of what is allowed": framed(stacked("torch._utils", "_rebuild_tensor_v2.__globals__")),
    "an attribute by its module": framed(stacked("torch._utils._rebuild_tensor_v2", "__globals__")),
    "another version's name": framed(named("torch._utils", "_rebuild_tensor_v3")),
    "another module's name": framed(named("torch.utils.persistence", "_reconstruct_persistent_obj")),
    "a space in a name": framed(stacked("collections OrderedDict", "")),
    "letters that look alike": framed(stacked("c\u043ellections", "OrderedDict")),
    "a long name": framed(stacked("o" * 10_000, "system")),
    "escape sequences": framed(stacked("\x1b[2J", "\r\n")),
    "torch.hub": framed(call(named("torch.hub", "load"), text("somebody/thing"), text("model"))),
    "torch.load": framed(call(named("torch", "load"), text("somewhere"))),
    "a persistent id": b"Pos.system\n.",
    "a binary persistent id": framed(text("os.system") + b"Q"),
    "an unknown opcode": framed(b"\xff"),
    "no extension": framed(b"\x84\x01\x00\x00\x00"),
    "a network of another version": framed(network(version=b"K\x07")),
    "a network without a class": framed(network(class_name=b"N")),
    "a network without a state": framed(network(state=b"]")),
    "a network that is called": framed(network() + b")R"),
    "a network that is built": framed(network() + b"}b"),
    "a function that is built": framed(named("collections", "OrderedDict") + b"}" + text("call") + SYSTEM + b"sb"),
    "a list within itself": framed(b"]q\x01h\x01a"),
    "a network within itself": framed(b"}q\x01" + text("G_ema") + network(state=b"h\x01") + b"s"),
    "a billion values": lists(9),
    "deep tuples": framed(b")" + b"\x85" * 2000),
    "deeper lists": framed(b"]" * 100_000 + b"a" * 99_999),
    "four gigabytes": framed(b"B\xff\xff\xff\xff"),
    "eight exabytes": framed(b"\x8e" + b"\xff" * 7 + b"\x7f"),
    "a frame of eight exabytes": framed(b"\x95" + b"\xff" * 7 + b"\x7fN"),
    "a bytearray of eight exabytes": framed(b"\x96" + b"\xff" * 7 + b"\x7f"),
    "a number of two gigabytes": framed(b"\x8b\xff\xff\xff\x7f"),
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "the end of the memo": framed(b"Nr\xff\xff\xff\xff0j\xfe\xff\xff\xff"),
    "many marks": framed(b"(" * 100_000),
    "more taken than made": framed(b"0"),
    "two values": framed(b"NN"),
    "two pickles": framed(b"}") + framed(RUN),
    "numbers as keys": framed(b"}K\x01Ns"),
    "an array of objects, pickled": pickle.dumps(np.array([{}, {}]), 4),
    "numbers with fields": pickle.dumps(np.zeros(2, [("a", "f4")]), 4),
    "a storage that runs": framed(storage(saved(Call(os.system, COMMAND)))),
    "a storage in a zip": framed(storage(saved(torch.arange(3.0), zipped=True))),
    "a storage that is a tensor": framed(storage(saved(torch.arange(3.0)))),
    "a storage that is a module": framed(storage(saved(torch.nn.Linear(2, 2)))),
    "a storage of words": framed(storage(b"touch canary")),
    "storages within storages": framed(storage(framed(storage(framed(RUN))))),
}

# -- torch -------------------------------------------------------------------------------------------------------------


def zipped(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def scripted():
    class Doubled(torch.nn.Module):
        def forward(self, images):
            return 2 * images

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(Doubled(), torch.ones(1)), stream)
    return stream.getvalue()


def tarred():
    """What torch.save wrote before version 0.2, with a pickle that runs."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            content = framed(RUN, 2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("../canary")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return stream.getvalue()


TORCH = {
    "torch.save of a call": saved(Call(os.system, COMMAND), zipped=True),
    "torch.save of a call, as it once was": saved(Call(os.system, COMMAND)),
    "torch.save of a module": saved(torch.nn.Linear(2, 2), zipped=True),
    "torch.save of tensors": saved({"fc.weight": torch.zeros(3, 3)}, zipped=True),
    "a tar": tarred(),
    "TorchScript": scripted(),
    "a zip with a path": zipped({"../canary": b"", "archive/data.pkl": framed(RUN, 2), "archive/version": b"3"}),
    "a zip bomb": zipped({"archive/data.pkl": bytes(50_000_000), "archive/version": b"3"}, zipfile.ZIP_DEFLATED),
}

# -- safetensors -------------------------------------------------------------------------------------------------------


def tensors(header, content=b"", length=None):
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(said) if length is None else length) + said + content


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


ONE = bytes(4)
SAFETENSORS = {
    "no header": b"\0" * 7,
    "a header of nothing": tensors(b""),
    "a header of 2^63 bytes": tensors({}, length=2**63),
    "a header of 2^64 - 1 bytes": tensors({}, length=2**64 - 1),
    "a header longer than the file": tensors({}, length=100),
    "a header of 200 megabytes": tensors({}, length=200_000_000),
    "a header that is a list": tensors([]),
    "a header that is a number": tensors(b"17"),
    "a header that is no JSON": tensors(b"{'a': 1}"),
    "a header that is no UTF-8": tensors(b'{"\xff": 1}'),
    "a header 100,000 deep": tensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "lists 100,000 deep": tensors(b"[" * 100_000),
    "a number of 100,000 digits": tensors(b'{"a":' + b"9" * 100_000 + b"}"),
    "an entry that is a number": tensors({"a": 1}),
    "an entry without offsets": tensors({"a": {"dtype": "F32", "shape": [1]}}, ONE),
    "a key that stands twice": tensors(
        b'{"a":' + json.dumps(entry()).encode() + b',"a":' + json.dumps(entry()).encode() + b"}", ONE
    ),
    "an unknown type": tensors({"a": entry("O")}, ONE),
    "a type that is a list": tensors({"a": entry(["F32"])}, ONE),
    "offsets below 0": tensors({"a": entry(offsets=(-4, 0))}, ONE),
    "offsets the wrong way": tensors({"a": entry(offsets=(4, 0))}, ONE),
    "offsets beyond the file": tensors({"a": entry(shape=[2**40], offsets=(0, 2**42))}, ONE),
    "offsets that are numbers with a point": tensors({"a": entry(offsets=(0.0, 4.0))}, ONE),
    "three offsets": tensors({"a": entry(offsets=(0, 4, 8))}, ONE),
    "a shape below 0": tensors({"a": entry(shape=[-1])}, ONE),
    "a shape of two sides below 0": tensors({"a": entry(shape=[-1, -1])}, ONE),
    "a shape that is larger": tensors({"a": entry(shape=[2])}, ONE),
    "a shape that overflows": tensors({"a": entry(shape=[2**32, 2**32, 2**32])}, ONE),
    "a shape of nothing times much": tensors({"a": entry(shape=[0, 2**62, 2**62], offsets=(0, 0))}, b""),
    "a shape of truth values": tensors({"a": entry(shape=[True])}, ONE),
    "arrays over one another": tensors({"a": entry(), "b": entry()}, ONE),
    "a hole": tensors({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
    "bytes after the end": tensors({"a": entry()}, bytes(8)),
    "metadata that is a list": tensors({"__metadata__": []}),
    "metadata that is a number": tensors({"__metadata__": {store.METADATA_KEY: 1}}),
    "metadata that is deep": tensors({"__metadata__": {store.METADATA_KEY: "[" * 100_000}}),
    "metadata that is no mapping": tensors({"__metadata__": {store.METADATA_KEY: "[]"}}),
    "nobody's metadata": tensors({"a": entry(shape=[1])}, ONE),
}


def ours(content, arrays=()):
    """A file as the store writes it, of whatever metadata."""
    header, blob = {"__metadata__": {store.METADATA_KEY: json.dumps({"format": store.FORMAT, **content})}}, b""
    for name, array in dict(arrays).items():
        kind = next(key for key, kind in store.DTYPES.items() if kind == array.dtype)
        header[name] = entry(kind, array.shape, (len(blob), len(blob) + array.nbytes))
        blob += array.tobytes()
    return tensors(header, blob)


IMAGE = {"shape": np.array([1, 8, 8])}
MODELS = {
    "no family": ours({"family": "none", "options": {}, "lineage": {}}),
    "a family that is a list": ours({"family": [], "options": {}, "lineage": {}}),
    "no lineage": ours({"family": "gaussian", "options": {}}),
    "no arrays": ours({"family": "gaussian", "options": {}, "lineage": {}}),
    "unknown options": ours({"family": "gaussian", "options": {"code": CODE}, "lineage": {}}),
    "options that are a list": ours({"family": "gaussian", "options": [], "lineage": {}}),
    "a population that is none": ours({"family": "diffusion", "population": True, "options": {}, "lineage": {}}),
    "no weights": ours({"family": "diffusion", "options": {}, "lineage": {}}, IMAGE),
    "other weights": ours(
        {"family": "diffusion", "options": {}, "lineage": {}}, IMAGE | {"network.a": np.zeros(1, np.float32)}
    ),
    "a billion channels": ours({"family": "diffusion", "options": {"channels": 2**30}, "lineage": {}}, IMAGE),
    "a billion blocks": ours({"family": "diffusion", "options": {"blocks": 2**30}, "lineage": {}}, IMAGE),
    "images of a billion pixels": ours(
        {"family": "diffusion", "options": {}, "lineage": {}}, {"shape": np.array([1, 2**15, 2**15])}
    ),
    "images below 0": ours({"family": "diffusion", "options": {}, "lineage": {}}, {"shape": np.array([-1, 8, 8])}),
    "two sides": ours({"family": "diffusion", "options": {}, "lineage": {}}, {"shape": np.array([8, 8])}),
}

# -- numpy -------------------------------------------------------------------------------------------------------------


def npy(header, content=b"", version=(1, 0)):
    said = header if isinstance(header, bytes) else repr(header).encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(said))
    return b"\x93NUMPY" + bytes(version) + length + said + content


def described(descr="<f8", shape=(2, 2), fortran_order=False):
    return {"descr": descr, "fortran_order": fortran_order, "shape": shape}


def objects():
    stream = io.BytesIO()
    np.save(stream, np.array([Call(os.system, COMMAND)], object), allow_pickle=True)
    return stream.getvalue()


NPY = {
    "objects that run": objects(),
    "objects in a zip": zipped({"arr_0.npy": objects()}),
    "a pickle in a zip": zipped({"arr_0.npy": RUNNING["GLOBAL"]}),
    "code as a header": npy(CODE.encode()),
    "code in a header": npy(b"{'descr': " + CODE.encode() + b", 'fortran_order': False, 'shape': (2,)}"),
    "a header that is deep": npy(b"(" * 9000),
    "a header that is long": npy(b" " * 60_000),
    "a header of four gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "version 9": npy(described(), bytes(32), (9, 0)),
    "too large a shape": npy(described(shape=(2**40, 2)), bytes(32)),
    "a count that overflows": npy(described(shape=(2**62, 2**62)), bytes(32)),
    "a count below 0": npy(described(shape=(-2, -2)), bytes(32)),
    "a shape of words": npy(described(shape=("2",)), bytes(32)),
    "an object within a type": npy(described(descr=[("a", "O")]), bytes(32)),
    "a type of two gigabytes": npy(described(descr="|V2147483647"), bytes(32)),
    "a type of code": npy(described(descr=CODE), bytes(32)),
    "a zip of nothing": zipped({}),
    "a zip of words": zipped({"arr_0.npy": b"touch canary"}),
    "an array bomb": zipped(
        {"arr_0.npy": npy(described("|u1", (200_000_000,)), bytes(200_000_000))}, zipfile.ZIP_DEFLATED
    ),
}

# -- where they are read -----------------------------------------------------------------------------------------------

HOSTILE = RUNNING | REFUSED | TORCH | SAFETENSORS | NPY
assert len(HOSTILE) == sum(map(len, (RUNNING, REFUSED, TORCH, SAFETENSORS, NPY))), "a name stands twice"

TRAIN = f"--training training.parquet --family diffusion --images-seen 8 {WHERE} --out out.safetensors"
LOOK = "extract --samples sampled=samples.safetensors --out out.safetensors"
DRAW = """draw --recipe '{"generation": 1, "draws": [["self", 0, 2]], "weights": {"real": 1.0, "synthetic": 1.0},
 "fresh_before": {}, "budget": null, "keeps_rows": false, "resamples": true}' --study-seed 1 --seed 0
 --about '{"self:0": {"stream": "a"}}' --out out.safetensors"""
METRIC = '{"recall": {"k": 3}}'

# A verb, the name that it is given the file by, and what is read there beside the files of all kinds.
VERBS = {
    "weights import": ("weights import FILE --out out.safetensors", "file.pkl", {}),
    "sample": (f"sample --model FILE --count 2 {WHERE} --out out.safetensors", "file.safetensors", MODELS),
    "train --init": (f"train --init FILE {TRAIN}", "file.safetensors", MODELS),
    "draw --model": (f"{DRAW} --model self:0=FILE", "file.safetensors", MODELS),
    "extract inception": (f"{LOOK} --extractor inception=FILE", "file.pt", {}),
    "extract inception-torchvision": (f"{LOOK} --extractor inception-torchvision=FILE", "file.pth", {}),
    "extract with safetensors": (f"{LOOK} --extractor inception-torchvision=FILE", "file.safetensors", {}),
    "extract lenet": (f"{LOOK} --extractor lenet=FILE", "file.safetensors", {}),
    "extract likelihood": (f"{LOOK} --extractor likelihood=FILE", "file.safetensors", MODELS),
    "extract --samples": ("extract --samples a=FILE --extractor pixels --out out.safetensors", "file.safetensors", {}),
    "record": (f"record --features FILE --reference FILE --metrics '{METRIC}' --out out.json", "file.safetensors", {}),
    "measure npy": ("measure FILE --against vectors.npy", "file.npy", {}),
    "measure npz": ("measure FILE --against vectors.npy", "file.npz", {}),
    "measure --against": ("measure vectors.npy --against FILE", "file.npy", {}),
    "measure safetensors": ("measure FILE --against vectors.npy", "file.safetensors", {}),
}
# They share a reader with another verb: it gets all files, they every second.
ALIKE = {
    *("train --init", "draw --model", "extract likelihood", "extract lenet", "extract inception-torchvision"),
    *("extract --samples", "record", "measure --against", "measure safetensors"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with samples, vectors and a training set that are as they should be."""
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (16, 1, 8, 8), np.uint8)
    store.write_samples(Path("samples.safetensors"), SampleSet(images, np.arange(16) % 10))
    np.save("vectors.npy", np.random.default_rng(0).normal(size=(16, 4)))
    source = store.recorded_hash(Path("samples.safetensors"))
    labels = np.arange(16) % 10
    reference = Reference(source, "samples.safetensors", np.arange(16), "real", "fixed", 0, labels, 1.0)
    store.write_training(Path("training.parquet"), TrainingTable((reference,)))
    return tmp_path


def content(folder):
    """All files and their bytes, but the notes of what a user's file of weights has as its hash."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".verified")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def put(path, hostile):
    """The file; of our own formats also a hash beside it, which whoever made it knows to compute."""
    path.write_bytes(hostile)
    if path.suffix == ".safetensors":
        store.hash_path(path).write_text(f"{store.content_hash(path)}  {path.name}\n")


def check(code, said, file, before, folder):
    """One line that names the file, exit code 3, and nothing written."""
    assert code == frame.EXIT_DAMAGED, said
    first, *more = said.strip().splitlines()
    assert first.startswith("collapselab: ") and file in first and first.isprintable(), said
    assert not more or more[0].startswith("get them with: "), said  # of published weights
    assert "Traceback" not in said and len(first) < 1500, said
    assert content(folder) == before


@pytest.mark.parametrize("verb", VERBS)
def test_hostile_files_are_refused_wherever_they_are_read(folder, capsys, verb):
    line, file, more = VERBS[verb]
    at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = list(HOSTILE)[:: 2 if verb in ALIKE else 1]
    for name, hostile in ({name: HOSTILE[name] for name in names} | more).items():
        put(folder / file, hostile)
        before = content(folder)
        code = frame.run(shlex.split(line.replace("FILE", file)))
        said = capsys.readouterr().err
        try:
            check(code, said, file, before, folder)
        except AssertionError as error:
            raise AssertionError(f"{verb}, {name}: {error}") from None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_first) / 1024
    assert grown < MEMORY_MB


def test_the_payloads_do_run_elsewhere(tmp_path):
    """Python's own unpickler makes the canary of each: they are not refused for being broken."""
    for index, hostile in enumerate(RUNNING.values()):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "file.pkl").write_bytes(hostile)
    code = (
        "import os, pickle, sys\n"
        "for name in os.listdir(sys.argv[1]):\n"
        "    os.chdir(os.path.join(sys.argv[1], name))\n"
        "    try: pickle.load(open('file.pkl', 'rb'))\n"
        "    except Exception: pass\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, timeout=60)
    quiet = [name for index, name in enumerate(RUNNING) if not (tmp_path / str(index) / "canary").exists()]
    assert quiet == []


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 120 and len(RUNNING) >= 30


# -- in other ways ----------------------------------------------------------------------------------------------------


def run(line, folder):
    """The exit code and what is said, of a process of its own."""
    done = forked.run(["collapselab", *shlex.split(line)], folder, timeout=120)
    return done.returncode, done.stderr


@pytest.mark.parametrize("verb", ["weights import", "measure npy"])
def test_a_process_of_its_own_refuses_alike(folder, verb):
    line, file, _ = VERBS[verb]
    put(folder / file, RUNNING["eval"] if file.endswith("pkl") else NPY["objects that run"])
    before = content(folder)
    check(*run(line.replace("FILE", file), folder), file, before, folder)


def test_code_is_not_run_on_the_word_of_a_note(folder, capsys):
    """Whoever hands over a TorchScript can hand over the note, too, that it was verified to be the published one."""
    from collapselab.store.weights import WEIGHTS

    file = folder / "file.pt"
    file.write_bytes(TORCH["TorchScript"])
    status = file.stat()
    seen = {"bytes": status.st_size, "changed_ns": status.st_mtime_ns}
    for name, path in (("inception", file), ("inception-torchvision", file)):
        Path(f"{path}.verified").write_text(json.dumps({**seen, "sha256": WEIGHTS[name].sha256}), encoding="utf-8")
        before = content(folder)
        code = frame.run(shlex.split(f"{LOOK} --extractor {name}={path.name}"))
        check(code, capsys.readouterr().err, "file.pt", before, folder)


def test_a_checkpoint_that_is_hostile_is_passed_over(folder, caplog):
    for hostile in (HOSTILE | MODELS).values():
        put(folder / "state0.safetensors", hostile)
        caplog.clear()
        assert Checkpoint(folder, "somebody").read() is None
        assert "checkpoint not used" in caplog.text
    assert not (folder / "canary").exists()


def test_a_study_that_starts_from_a_hostile_file_is_faulty(folder):
    """It is a fault of the study (exit code 2): whoever reads the study has not opened the file yet."""
    for hostile in HOSTILE.values():
        put(folder / "file.safetensors", hostile)
        assert "not a model of this program" in weights_fault("file.safetensors", "diffusion")
    assert not (folder / "canary").exists()


def test_other_formats_are_not_opened(folder, capsys):
    """A file that no reader is for is a wrong argument (exit code 2)."""
    for file in ("file.pkl", "file.pt", "file.yaml"):
        (folder / file).write_bytes(RUNNING["GLOBAL"])
        assert frame.run(["measure", file, "--against", "vectors.npy"]) == frame.EXIT_BAD_INPUT
        assert f"{file}: found another format" in capsys.readouterr().err
    assert not (folder / "canary").exists()


@pytest.mark.filterwarnings("ignore:invalid")
def test_a_batch_of_cifar_that_is_hostile_is_refused(folder):
    """It is a fault of the study (exit code 2), too, and read by the same reader as weights."""
    at_first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, hostile in HOSTILE.items():
        (folder / "data_batch_1").write_bytes(hostile)
        before = content(folder)
        with pytest.raises(ValueError, match=r"data_batch_1.* is not a batch of CIFAR-10") as error:
            read_batch(folder / "data_batch_1")
        assert str(error.value).isprintable() and len(str(error.value)) < 1500, name
        assert content(folder) == before, name
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_first) / 1024 < MEMORY_MB


UNET = {
    "_class_name": "UNet2DModel",
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
}
ABSURD = {
    "a billion pixels": {"sample_size": 2**30},
    "a billion colours": {"in_channels": 2**30},
    "a billion channels": {"block_out_channels": [2**30, 2**30]},
    "a billion layers": {"layers_per_block": 2**30},
    "a million blocks": {"down_block_types": ["DownBlock2D"] * 10**6},
    "channels below 0": {"block_out_channels": [-8, 16]},
    "code as a block": {"down_block_types": [CODE, "DownBlock2D"]},
    "code as an activation": {"act_fn": CODE},
    "a module to import": {"auto_map": {"UNet2DModel": "somebody--thing.Model"}},
    "another class": {"_class_name": "StableDiffusionPipeline"},
}


@pytest.mark.parametrize("case", ABSURD)
def test_a_folder_of_diffusers_with_an_absurd_configuration_is_refused(folder, capsys, case):
    unet(folder / "folder", UNET | ABSURD[case], tensors({}))
    refused(folder, capsys, "weights import folder --out out.safetensors", "folder")


def unet(path, configuration, weights, name="diffusion_pytorch_model.safetensors"):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(configuration))
    (path / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "DDPMScheduler", "num_train_timesteps": 100})
    )
    (path / name).write_bytes(weights)


def refused(folder, capsys, line, file):
    before = content(folder)
    code = frame.run(shlex.split(line))
    check(code, capsys.readouterr().err, file, before, folder)


@pytest.mark.parametrize(
    "name", ["no header", "a header of 2^63 bytes", "a shape that overflows", "lists 100,000 deep"]
)
def test_a_folder_of_diffusers_with_hostile_weights_is_refused(folder, capsys, name):
    unet(folder / "folder", UNET, SAFETENSORS[name])
    refused(folder, capsys, "weights import folder --out out.safetensors", "folder")


def test_a_folder_of_diffusers_with_pickled_weights_is_refused(folder, capsys):
    unet(folder / "folder", UNET, TORCH["torch.save of a call"], "diffusion_pytorch_model.bin")
    refused(folder, capsys, "weights import folder --out out.safetensors", "folder")


VISION = {"model_type": "dinov2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 28}
PIXELS = {"crop_size": {"height": 28, "width": 28}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
FOLDERS = {
    "no configuration": ([], PIXELS, {}),
    "a module to import": (VISION | {"auto_map": {"AutoModel": "somebody--thing.Model"}}, PIXELS, {}),
    "somebody's kernels": (VISION | {"_attn_implementation": "somebody/kernels"}, PIXELS, {}),
    "somebody's numbers": (VISION | {"quantization_config": {"quant_method": "torchao"}}, PIXELS, {}),
    "a billion wide": (VISION | {"hidden_size": 2**30}, PIXELS, {}),
    "a million wide": (VISION | {"hidden_size": 1_000_000}, PIXELS, {}),
    "a billion layers": (VISION | {"num_hidden_layers": 2**30}, PIXELS, {}),
    "words as numbers": (VISION | {"hidden_size": CODE}, PIXELS, {}),
    "a billion pixels": (VISION, PIXELS | {"crop_size": 2**30}, {}),
    "pixels over nothing": (VISION, PIXELS | {"image_std": [0.0] * 3}, {}),
    "an empty file": (VISION, PIXELS, {"model.safetensors": b""}),
    "a header of 2^63 bytes": (VISION, PIXELS, {"model.safetensors": SAFETENSORS["a header of 2^63 bytes"]}),
    "nothing in it": (
        VISION,
        PIXELS,
        {"model.safetensors": tensors({"a": entry(shape=[10_000], offsets=(0, 40_000))}, bytes(40_000))},
    ),
    "pickled beside it": (VISION, PIXELS, {"model.safetensors": b"", "pytorch_model.bin": RUNNING["GLOBAL"]}),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_of_transformers_is_refused(folder, capsys, case):
    configuration, pixels, files = FOLDERS[case]
    (folder / "folder").mkdir()
    given = {"config.json": json.dumps(configuration).encode(), "preprocessor_config.json": json.dumps(pixels).encode()}
    for name, written in ({"model.safetensors": tensors({})} | given | files).items():
        (folder / "folder" / name).write_bytes(written)
    refused(folder, capsys, f"{LOOK} --extractor dinov2=folder", "folder")
