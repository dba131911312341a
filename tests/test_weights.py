"""Published weights: found, verified, and fetched over a real connection to this machine."""

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from test_cli import run

from collapselab.features import FEATURES
from collapselab.store import weights

CONTENT = np.random.default_rng(0).bytes(3 * weights.CHUNK_BYTES + 17)
NAME = "inception"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """The folder of weights of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "weights"


@pytest.fixture
def served(monkeypatch):
    """A server of CONTENT, which the registry points to; ``served.answers`` counts, ``served.cut`` shortens."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.answers += 1
            if not self.path.endswith("/weights.bin"):
                return self.send_error(404)
            self.send_response(200)
            if server.times == 1:
                self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            for _ in range(server.times):
                self.wfile.write(server.content[: server.cut])
                server.sent += 1

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.cut, server.content = 0, None, CONTENT
    server.times, server.sent = 1, 0
    server.handle_error = lambda *_: None  # a reader that has had enough
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))  # how often it looks for its end
    thread.start()
    register(monkeypatch, f"http://127.0.0.1:{server.server_port}/weights.bin")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def register(monkeypatch, source, content=CONTENT):
    digest = hashlib.sha256(content).hexdigest()
    entry = replace(weights.WEIGHTS[NAME], source=source, sha256=digest, bytes=len(content))
    monkeypatch.setitem(weights.WEIGHTS, NAME, entry)


def files(folder):
    """What lies in a folder, but for locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# -- the registry -----------------------------------------------------------------------------------------------------


def test_the_registry_is_what_extractors_ask_for():
    assert {entry.needs.published for entry in FEATURES.values()} == {"", *weights.WEIGHTS}
    for entry in weights.WEIGHTS.values():
        if entry.is_folder:
            assert entry.source.count("/") == 1 and entry.bytes is None
            continue
        assert len(bytes.fromhex(entry.sha256)) == 32
        if entry.inside:
            assert entry.source.startswith(f"{entry.package}==") and entry.extra
        else:
            assert entry.source.startswith("https://") and entry.source.endswith(f"/{entry.file}")
            assert entry.bytes > 9e7
    assert weights.WEIGHTS["inception-torchvision"].sha256[:8] in weights.WEIGHTS["inception-torchvision"].file


def test_an_unknown_name_is_refused():
    for call in (weights.find, weights.fetch, weights.how_to_get):
        with pytest.raises(ValueError, match="found 'vgg', allowed are inception, inception-torchvision, dinov2, clip"):
            call("vgg")


# -- finding ----------------------------------------------------------------------------------------------------------


def test_the_given_path_comes_before_the_named_folder_and_that_before_the_cache(tmp_path, monkeypatch):
    register(monkeypatch, "http://nowhere/weights.bin")
    file = weights.WEIGHTS[NAME].file
    places = [tmp_path / "mine.pt", tmp_path / "weights" / file, tmp_path / "cache" / "collapselab" / "weights" / file]
    for place in reversed(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(CONTENT)
        assert weights.find(NAME, place if place == places[0] else None) == place
    monkeypatch.delenv(weights.FOLDER_VARIABLE)
    assert weights.find(NAME) == places[2] and weights.folders() == [places[2].parent]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.folders() == [tmp_path / ".cache" / "collapselab" / "weights"]


def test_a_missing_file_is_described(tmp_path):
    entry = weights.WEIGHTS[NAME]
    with pytest.raises(ValueError) as error:
        weights.find(NAME)
    for part in (tmp_path / "weights", tmp_path / "cache" / "collapselab", f"weights fetch {NAME}", entry.source):
        assert str(part) in str(error.value)
    assert entry.sha256 in str(error.value) and str(entry.bytes) in str(error.value)
    with pytest.raises(ValueError, match=r"is not at mine\.pt\nget them"):  # what is given is not looked for elsewhere
        weights.find(NAME, "mine.pt")
    with pytest.raises(
        ValueError, match=r"hf download facebook/dinov2-large --local-dir .*weights/dinov2\nwithout a net"
    ):
        weights.find("dinov2")


def test_a_wrong_file_is_named_with_both_hashes(tmp_path, monkeypatch):
    register(monkeypatch, "http://nowhere/weights.bin")
    wrong = tmp_path / "wrong.pt"
    wrong.write_bytes(CONTENT[:-1])
    found, expected = (hashlib.sha256(content).hexdigest() for content in (CONTENT[:-1], CONTENT))
    with pytest.raises(ValueError, match=f"{wrong} is not {NAME}: its SHA-256 is {found}, expected is {expected}"):
        weights.find(NAME, wrong)
    with pytest.raises(ValueError, match="it is no file"):
        weights.find(NAME, tmp_path)
    with pytest.raises(ValueError, match="it is no folder"):
        weights.find("clip", wrong)


def test_a_file_is_hashed_once_and_again_when_it_changes(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"one")
    hashed, content_hash = [], weights.content_hash
    monkeypatch.setattr(weights, "content_hash", lambda path: hashed.append(path) or content_hash(path))
    first = hashlib.sha256(b"one").hexdigest()
    assert weights.digest(file) == weights.digest(file) == first and hashed == [file]
    file.write_bytes(b"other")
    assert weights.digest(file) == hashlib.sha256(b"other").hexdigest() and len(hashed) == 2
    file.write_bytes(b"third")  # as long as the one before
    os.utime(file, ns=(0, 0))
    assert weights.digest(file) == hashlib.sha256(b"third").hexdigest() and len(hashed) == 3
    for damage in (b"", b"[]", b"{}", b'{"sha256": "0"}', b"\xff"):
        (tmp_path / "file.verified").write_bytes(damage)
        assert weights.digest(file) == hashlib.sha256(b"third").hexdigest()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_weights_in_a_folder_of_others_are_hashed_without_a_note(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "file").write_bytes(b"one")
    (tmp_path / "shared").chmod(0o555)
    assert weights.digest(tmp_path / "shared" / "file") == hashlib.sha256(b"one").hexdigest()


def test_a_folder_is_known_by_all_that_numbers_depend_on(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"has no config.json, preprocessor_config.json, \*.safetensors \(other"):
        weights.find("clip", folder)
    for name in (*weights.CONFIGURATIONS, "model.safetensors"):
        (folder / name).write_text(name)
    assert weights.find("clip", folder) == folder
    seen = {weights.digest(folder)}
    (folder / "README.md").write_text("words")
    assert weights.digest(folder) in seen
    for name in (*weights.CONFIGURATIONS, "model.safetensors", "model-2.safetensors"):
        (folder / name).write_text("another")
        seen.add(weights.digest(folder))
    assert len(seen) == 5
    (folder / "model-2.safetensors").rename(folder / "model-3.safetensors")
    assert weights.digest(folder) not in seen


def test_a_part_of_a_package_is_found_and_its_package_is_not_imported(tmp_path, monkeypatch):
    """What stands beside it runs when it is imported: here, a fault."""
    entry = weights.WEIGHTS["resemblyzer"]
    home = tmp_path / "site" / "voices_of_nobody"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("raise SystemExit('imported')")
    (home / "pretrained.pt").write_bytes(CONTENT)
    monkeypatch.setitem(weights.WEIGHTS, "resemblyzer", replace(entry, inside="voices_of_nobody/pretrained.pt"))
    for said in (
        "not at .*resemblyzer-0.1.4.pt, nor in a package voices_of_nobody\n",
        r"pip install 'collapselab\[audio\]'",
    ):
        with pytest.raises(ValueError, match=said):
            weights.find("resemblyzer")
    with pytest.raises(ValueError, match="resemblyzer is a part of the package voices_of_nobody\nget them with: pip "):
        weights.fetch("resemblyzer")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ValueError, match="is not resemblyzer: its SHA-256 is"):
        weights.find("resemblyzer")
    assert {name: how for name, how, _ in weights.listing()}[
        "resemblyzer"
    ] == "wrong"  # it is there, and no missing one
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(weights.WEIGHTS, "resemblyzer", replace(weights.WEIGHTS["resemblyzer"], sha256=digest))
    assert weights.find("resemblyzer") == home / "pretrained.pt" and weights.digest(home / "pretrained.pt") == digest
    assert files(home) == ["__init__.py", "pretrained.pt"]  # no note that pip would leave behind
    own = tmp_path / "weights" / entry.file
    own.parent.mkdir()
    own.write_bytes(CONTENT)
    assert weights.find("resemblyzer") == own  # what lies where weights are kept comes first


# -- fetching ---------------------------------------------------------------------------------------------------------


def test_what_is_fetched_is_found_and_not_fetched_again(served, own_folder):
    path = weights.fetch(NAME)
    assert path == own_folder / weights.WEIGHTS[NAME].file and path.read_bytes() == CONTENT
    assert weights.fetch(NAME) == path == weights.find(NAME) and served.answers == 1
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="its SHA-256 is"):
        weights.find(NAME)
    assert weights.fetch(NAME).read_bytes() == CONTENT and served.answers == 2


@pytest.mark.parametrize("fault", ["wrong", "truncated", "ended early", "longer", "not found", "closed", "no name"])
def test_a_failed_fetch_leaves_nothing_and_says_what_to_do(fault, served, own_folder, monkeypatch):
    said = {
        "wrong": "it gave a file of SHA-256 ",
        "truncated": f"it gave 1000000 bytes, expected are {len(CONTENT)}",
        "ended early": "it gave 0 bytes",
        "longer": f"it gave more than {len(CONTENT)} bytes",
        "not found": "Not Found",
        "closed": "Connection refused",
        "no name": "could not be fetched",
    }[fault]
    if fault == "wrong":
        served.content = CONTENT[::-1]
    elif fault == "truncated":
        served.cut = 1_000_000
    elif fault == "ended early":
        served.cut = 0
    elif fault == "longer":
        served.times = 100  # three hundred megabytes
    elif fault == "not found":
        register(monkeypatch, f"http://127.0.0.1:{served.server_port}/elsewhere")
    elif fault == "closed":
        register(monkeypatch, f"http://127.0.0.1:{closed_port()}/weights.bin")
    else:
        register(monkeypatch, "http://nowhere.invalid/weights.bin")
    with pytest.raises(weights.Unreachable) as error:
        weights.fetch(NAME)
    entry = weights.WEIGHTS[NAME]
    for part in (said, entry.source, entry.sha256, str(own_folder / entry.file), "without a network, copy"):
        assert part in str(error.value)
    assert files(own_folder) == []
    assert served.sent < 20  # a few megabytes lie on the way when the reader has had enough


def test_a_failed_fetch_keeps_what_was_there(served, own_folder):
    own_folder.mkdir()
    (own_folder / weights.WEIGHTS[NAME].file).write_bytes(b"another")
    served.cut = 5
    with pytest.raises(weights.Unreachable):
        weights.fetch(NAME)
    assert (own_folder / weights.WEIGHTS[NAME].file).read_bytes() == b"another"


def test_two_processes_fetch_once(served, own_folder):
    entry = weights.WEIGHTS[NAME]
    code = (
        "from dataclasses import replace; from collapselab.store import weights;"
        f"weights.WEIGHTS[{NAME!r}] = replace(weights.WEIGHTS[{NAME!r}], source={entry.source!r}, "
        f"sha256={entry.sha256!r}, bytes={entry.bytes}); weights.fetch({NAME!r})"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    jobs = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(3)]
    assert [job.wait(60) for job in jobs] == [0, 0, 0]
    assert served.answers == 1 and weights.find(NAME).read_bytes() == CONTENT
    assert files(own_folder) == [entry.file, f"{entry.file}.verified"]


def test_folders_are_not_fetched():
    with pytest.raises(ValueError, match=r"clip is a folder .*\n.* hf download openai/clip-vit-large-patch14"):
        weights.fetch("clip")


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_lists_what_is_here(tmp_path, own_folder):
    folder = own_folder / "dinov2"
    folder.mkdir(parents=True)
    for name in (*weights.CONFIGURATIONS, "model.safetensors"):
        (folder / name).write_text(json.dumps({}))
    (own_folder / weights.WEIGHTS[NAME].file).write_bytes(b"another")
    said = run("weights", tmp_path)
    states = {line.split()[1]: line.split()[0] for line in said.splitlines() if not line.startswith(" ")}
    packaged = states.pop("resemblyzer")  # as whoever runs this has installed it
    expected = {"inception": "wrong", "inception-torchvision": "missing", "dinov2": "verified", "clip": "missing"}
    assert packaged in ("missing", "verified") and states == expected and str(folder) in said


def test_the_command_without_a_network_says_so_and_exits_4(tmp_path, own_folder, monkeypatch):
    """Through a proxy that does not answer, which every machine has."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    said = run(f"weights fetch {NAME}", tmp_path, code=4)
    entry = weights.WEIGHTS[NAME]
    assert said.count("\n") == 2 and said.startswith("collapselab: weights: https://nvlabs-fi-cdn.nvidia.com")
    assert "Connection refused" in said and entry.sha256 in said and str(own_folder / entry.file) in said
    assert files(own_folder) == []
    assert "is a folder" in run("weights fetch clip", tmp_path, code=2)
    assert "found 'vgg'; allowed: inception" in run("weights fetch vgg", tmp_path, code=2)
