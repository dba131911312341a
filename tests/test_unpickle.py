"""Published pickles become plain data: whatever wrote them, the same tensors, and never a call of anything."""

import collections
import pickle
import random
import sys
import types
import warnings

import numpy as np
import pytest
import torch

from collapselab.core.errors import Damaged
from collapselab.store.pickles.machine import MOST_BYTES
from collapselab.store.pickles.networks import Network, read

SOURCE = "raise SystemExit('the embedded source was run')"


class Persistent:
    """Is written as networks are in published files."""

    def __init__(self, class_name, state, **changes):
        self.meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name, "state": state}
        self.meta |= changes

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


class EasyDict(dict):
    pass


def _reconstruct_persistent_obj(meta):
    raise AssertionError("called")


@pytest.fixture(autouse=True)
def writer(monkeypatch):
    """The modules whose names published files refer to; reading them needs none."""

    modules = {"torch_utils.persistence": _reconstruct_persistent_obj, "dnnlib.util": EasyDict}
    for name, thing in modules.items():
        module = types.ModuleType(name)
        monkeypatch.setattr(thing, "__module__", name)
        setattr(module, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, name.split(".")[0], types.ModuleType(name.split(".")[0]))
        monkeypatch.setitem(sys.modules, name, module)


def tensors():
    random_numbers = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=random_numbers)
    return {
        "float32": base,
        "transposed": base.t(),
        "part": base[1:3, ::2],
        "float16": base.half(),
        "bfloat16": base.bfloat16(),
        "float64": base.double(),
        "int64": torch.arange(5),
        "uint8": torch.arange(5, dtype=torch.uint8),
        "bool": base > 0,
        "no axes": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "channels last": torch.randn(2, 3, 4, 4, generator=random_numbers).to(memory_format=torch.channels_last),
    }


def network(**state):
    inner = Persistent("Layer", {"_parameters": {"weight": torch.nn.Parameter(torch.ones(2, 3))}, "_modules": {}})
    return Persistent("Generator", {"_modules": collections.OrderedDict(b4=inner), "z_dim": 512, **state})


def written(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
def test_tensors_come_back_as_torch_itself_reads_them(tmp_path, protocol):
    made = tensors()
    found = read(written(tmp_path / "a.pkl", {"G": network(_buffers=made)}, protocol))["G"].state["_buffers"]
    assert found.keys() == made.keys()
    for name, tensor in made.items():
        assert found[name].dtype == tensor.dtype and found[name].stride() == tensor.stride(), name
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("protocol", [3, 4])
def test_plain_data_come_back(tmp_path, protocol):
    content = {
        "G": None,
        "D": network(_init_kwargs=EasyDict(mapping_kwargs=EasyDict(num_layers=8), gain=1 / 3), gone={"a", "b"}),
        "numpy": [np.float64(2.5), np.float32(0.5), np.int64(-4), np.bool_(True)],
        "arrays": (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.zeros((0, 2))),
        "numbers": [0, 255, 65535, -1, 2**31 - 1, 2**40, -(2**70), 1e300, True],
        "words": ["", "a", "ö" * 300],
    }
    found = read(written(tmp_path / "a.pkl", content, protocol))
    assert found["G"] is None and found["numbers"] == content["numbers"] and found["words"] == content["words"]
    assert found["numpy"] == [2.5, 0.5, -4, True] and [type(one) for one in found["numpy"]] == [float, float, int, bool]
    for array, expected in zip(found["arrays"], content["arrays"], strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
    state = found["D"].state
    assert state["_init_kwargs"] == {"mapping_kwargs": {"num_layers": 8}, "gain": 1 / 3}
    assert type(state["_init_kwargs"]) is type(state["_modules"]) is dict
    assert state["gone"] == {"a", "b"}


def test_networks_are_inert_and_their_source_is_gone(tmp_path):
    found = read(written(tmp_path / "a.pkl", {"G_ema": network()}))["G_ema"]
    assert isinstance(found, Network) and found.class_name == "Generator"
    inner = found.state["_modules"]["b4"]
    assert isinstance(inner, Network) and inner.class_name == "Layer"
    assert torch.equal(inner.state["_parameters"]["weight"], torch.ones(2, 3))
    assert SOURCE not in repr(found) and not found.state["_modules"]["b4"].state["_parameters"]["weight"].requires_grad


def test_nothing_is_warned_of(tmp_path):
    path = written(tmp_path / "a.pkl", {"G": network(_buffers=tensors())})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(path)


def test_storages_may_be_shared_within_bounds(tmp_path):
    shared = torch.ones(1000)
    found = read(written(tmp_path / "a.pkl", [shared, shared[:500], shared]))
    assert found[0].data_ptr() == found[2].data_ptr()
    with pytest.raises(Damaged, match="share their memory so often"):
        read(written(tmp_path / "b.pkl", [shared] * 100))


def numbers(size=(3,), stride=(1,), offset=0):
    """A tensor that claims to lie where its storage may not be."""

    class Lie:
        def __reduce__(self):
            storage = torch.arange(3.0).storage()
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, collections.OrderedDict())

    return Lie()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(
    "lie",
    [
        {"size": (4,)},
        {"offset": 1},
        {"offset": -1},
        {"stride": (2,)},
        {"stride": (-1,)},
        {"stride": (0,), "size": (2**40,)},
        {"stride": (0,), "size": (4,)},
        {"size": (2, 2)},
        {"size": (2**62,), "stride": (2**62,)},
        {"size": (-1,)},
        {"size": (True,)},
        {"size": (0, 2**62)},
        {"size": 3},
        {"size": (0,) * 100, "stride": (0,) * 100},
        {"offset": 2**70},
        {"size": (1,), "stride": (2**2000,)},
        {"size": ("3",)},
    ],
    ids=str,
)
def test_a_tensor_lies_within_its_storage(tmp_path, lie):
    with pytest.raises(Damaged, match=r"a\.pkl: .*; nothing of it was run"):
        read(written(tmp_path / "a.pkl", [numbers(**lie)]))
    torch.testing.assert_close(read(written(tmp_path / "b.pkl", [numbers()]))[0], torch.arange(3.0))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Persistent("G", {}, version=7), "version 7; allowed is 6"),
        (Persistent("G", {}, type="module"), "without type"),
        (Persistent("G", []), "without type, version, class_name and state"),
        (Persistent(3, {}), "without type"),
        (print, "asks for builtins.print"),
        (pytest.raises, "asks for _pytest.raises.raises"),
        (1 + 2j, "asks for builtins.complex"),
        ({1: 2}, "keys of its dicts are not strings"),
        (collections.OrderedDict, "holds collections.OrderedDict in the place of data"),
        (np.dtype("f4"), "holds a number in the place of data"),
        (np.array([{}]), "has numbers of the type O8"),
        (np.array(["a"]), "has numbers of the type U1"),
        (np.zeros(2, [("a", "f4")]), "has numbers of the type V4"),
        (2**3000, "asks for LONG4"),
        ("a" * (2**20 + 1), "has a string of 1048577 letters"),
        (torch.nn.Linear(1, 1), "asks for torch.nn.modules.linear.Linear"),
        (torch.Size([1]), "asks for torch.Size"),
    ],
    ids=[f"case {index}" for index in range(17)],
)
def test_what_is_not_read_is_named(tmp_path, content, said):
    path = written(tmp_path / "a.pkl", content)
    before = path.read_bytes()
    with pytest.raises(Damaged) as error:
        read(path)
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)
    assert not error.value.set_aside and path.read_bytes() == before and [path] == list(tmp_path.iterdir())


def test_what_a_file_says_cannot_write_on_a_terminal(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04\x8c\x09\x1b[2Jos\n\rx\x8c\x04\x1b[0m\x93.")
    with pytest.raises(Damaged) as error:
        read(path)
    assert str(error.value).isprintable() and "x1b" in str(error.value)


def test_what_is_nested_deeper_than_networks_are_is_refused(tmp_path):
    def nested(depth):
        return [nested(depth - 1)] if depth else []

    assert read(written(tmp_path / "a.pkl", nested(64))) == nested(64)
    with pytest.raises(Damaged, match="deeper than 64"):
        read(written(tmp_path / "a.pkl", nested(65)))


def test_the_limits_are_of_the_file_and_not_of_what_it_claims(tmp_path):
    path = tmp_path / "a.pkl"
    with open(path, "wb") as stream:
        stream.truncate(MOST_BYTES + 1)  # it takes no room on the disk
    with pytest.raises(Damaged, match=f"has {MOST_BYTES + 1} bytes"):
        read(path)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.pkl")


def test_every_cut_is_refused(tmp_path):
    whole = pickle.dumps({"G": network(_buffers={"a": torch.arange(3.0)})}, 4)
    path = tmp_path / "a.pkl"
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(Damaged, match="1 bytes after the end"):
        read(path)


def test_whatever_the_bytes_are_they_are_read_or_refused(tmp_path):
    """Flipped bits, exchanged bytes and mixtures of opcodes: no other error, and nothing but plain data."""
    whole = pickle.dumps({"G": network(_buffers={"a": torch.arange(3.0)}, n=np.float64(1), m=np.arange(3))}, 4)
    choices, path, refused = random.Random(0), tmp_path / "a.pkl", 0
    opcodes = b"NK\x01()}]tRbq\x00h\x00\x94\x93scbuiltins\ndict\nu\x85\x86\x81\x8f\x90eaQ"
    for trial in range(600):
        content = bytearray(whole)
        for _ in range(choices.choice((1, 1, 2, 8))):
            place = choices.randrange(len(content))
            if trial % 3 == 0:
                content[place] ^= 1 << choices.randrange(8)
            elif trial % 3 == 1:
                content[place] = choices.randrange(256)
            else:
                content[place:place] = bytes(choices.choices(opcodes, k=choices.randrange(1, 6)))
        path.write_bytes(content)
        try:
            read(path)
        except Damaged as error:
            refused += 1
            assert not error.set_aside
    assert 100 < refused < 600  # numbers within tensors are changed without anybody noticing: the format has no hash
