"""Published weights: where they lie, whether they are the right ones, and how to get them.

Nothing is ever fetched unasked: :func:`fetch` is called by ``collapselab weights fetch`` and by nothing else.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..core.errors import Foreign
from .bytes import content_hash, write_atomically

FOLDER_VARIABLE = "COLLAPSELAB_WEIGHTS"
CHUNK_BYTES = 2**20
SILENCE_S = 60  # a server that says nothing for so long has gone away
CONFIGURATIONS = ("config.json", "preprocessor_config.json")


class Unreachable(Exception):
    """Weights could not be fetched. The message says what to do instead."""


@dataclass(frozen=True)
class Published:
    """Weights that somebody published.

    file: what they are called, a file or a folder. source: a URL, the name of a repository on huggingface.co, or a
    package with its version, as pip takes it.
    terms: whose they are, and the licence where they state one. sha256, bytes: of the file; None for a folder, of which
    there are several sizes: its own hash tells them apart. safetensors: whether the same tensors in a file of that
    format may stand for it, since that carries no code; its own hash then stands in the fingerprint. inside: the file
    as a part of a package that pip installs, PACKAGE/FILE; extra: the extra of this one that brings it. The package is
    found, and never imported.
    """

    file: str
    source: str
    terms: str
    sha256: str | None = None
    bytes: int | None = None
    safetensors: bool = False
    inside: str = ""
    extra: str = ""

    @property
    def package(self) -> str:
        """The package that the file is a part of."""
        return self.inside.partition("/")[0]

    @property
    def is_folder(self) -> bool:
        return self.sha256 is None


def folders() -> list[Path]:
    """Where weights are looked for: ``$COLLAPSELAB_WEIGHTS`` if it is set, then the user's cache. The first is written.

    The cache is ``$XDG_CACHE_HOME/collapselab/weights``, or ``~/.cache/collapselab/weights``.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "collapselab" / "weights"
    return [Path(named), cache] if named else [cache]


def find(name: str, given: Path | str | None = None) -> Path:
    """The path of the published weights ``name``, which are there and the right ones: ``given``, or in a known folder.

    Raises ValueError where there are none, which says where they were looked for and how to get them, and Foreign for
    others than those: a hash that is not the published one, or a folder without safetensors or the two configurations.
    """
    published = _published(name)
    places = [Path(given)] if given else [folder / published.file for folder in folders()]
    packaged = None if given else _packaged(published)
    path = next((place for place in (*places, packaged) if place and place.exists()), None)
    if path is None:
        nor = f", nor in a package {published.package}" if published.inside and not given else ""
        raise ValueError(f"weights: {name} is not at {' or '.join(map(str, places))}{nor}\n{how_to_get(name)}")
    if fault := _fault(published, path):
        raise Foreign(path, f"weights: {path} is not {name}: {fault}\n{how_to_get(name)}")
    return path


def content(name: str, path: Path) -> io.BytesIO:
    """The bytes of the published file ``name``, hashed now: what may carry code is not taken on a note's word.

    Raises Foreign for any others.
    """
    held = Path(path).read_bytes()
    if (found := hashlib.sha256(held).hexdigest()) != (expected := _published(name).sha256):
        raise Foreign(path, f"weights: {path} is not {name}: its SHA-256 is {found}, expected is {expected}")
    return io.BytesIO(held)


def how_to_get(name: str) -> str:
    """What to do where the weights are missing, with a network and without."""
    published = _published(name)
    command = f"collapselab weights fetch {name}"
    if published.is_folder:
        command = f"hf download {published.source} --local-dir {_target(published)}"
    if published.inside:
        command = f"pip install 'collapselab[{published.extra}]'"
    return f"get them with: {command}\n{_by_hand(published)}"


def _by_hand(published: Published) -> str:
    target = _target(published)
    if published.is_folder:
        return f"without a network, run that on another machine and copy the folder to {target}"
    facts = f"{published.bytes} bytes, SHA-256 {published.sha256}"
    if published.inside:
        alone = f"pip install --no-deps {published.source}"
        only = f"of the package one file is read: {alone} is enough, and needs no compiler"
        return f"{only}\nwithout a network, copy {published.inside} of its wheel ({facts}) to {target}"
    return f"without a network, copy {published.source} ({facts}) to {target}"


def _packaged(published: Published) -> Path | None:
    """Where an installed package has the file, if one is installed; it is not imported."""
    if not published.inside or (spec := find_spec(published.package)) is None:
        return None
    homes = map(Path, spec.submodule_search_locations or ())
    return next((home / published.inside.partition("/")[2] for home in homes), None)


def _target(published: Published) -> Path:
    return folders()[0] / published.file


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex; of a folder, that of its configurations and safetensors with their names.

    It is noted beside the file with size and time of change, and read from there while these stay: ninety megabytes are
    not hashed by every job. A change that keeps both, as somebody with evil intent can make it, is not seen.
    """
    path = Path(path)
    if path.is_dir():
        listed = "".join(f"{digest(file)}  {file.name}\n" for file in _parts(path))
        return hashlib.sha256(listed.encode()).hexdigest()
    if (found := _noted(path)) is None:
        found = content_hash(path)
        _note(path, found)
    return found


def digest_of_all(path: Path) -> str:
    """The SHA-256 of a file in hex; of a folder, that of all files directly in it with their names."""
    if not path.is_dir():
        return digest(path)
    files = sorted(one for one in path.iterdir() if one.is_file() and one.suffix != ".verified")
    return hashlib.sha256("".join(f"{digest(one)}  {one.name}\n" for one in files).encode()).hexdigest()


def _seen(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"bytes": status.st_size, "changed_ns": status.st_mtime_ns}


def _noted(path: Path) -> str | None:
    """What is noted beside a file as its hash, if it is of the file as it is."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        noted = json.loads(Path(f"{path}.verified").read_text(encoding="utf-8"))
        if isinstance(noted, dict) and noted == {**_seen(path), "sha256": noted.get("sha256")}:
            return str(noted["sha256"])
    return None


def _note(path: Path, found: str) -> None:
    if any(path == _packaged(one) for one in WEIGHTS.values()):
        return  # pip would leave it behind
    text = json.dumps({**_seen(path), "sha256": found})
    with contextlib.suppress(OSError):  # it may be a folder that others keep
        write_atomically(Path(f"{path}.verified"), lambda file: file.write_text(text, encoding="utf-8"))


def listing() -> Iterator[tuple[str, str, str]]:
    """Of all published weights the name, whether they are ``verified``, ``missing`` or ``wrong``, and more to say."""
    for name, published in WEIGHTS.items():
        try:
            yield name, "verified", str(find(name))
        except ValueError as error:
            there = isinstance(error, Foreign) or any((folder / published.file).exists() for folder in folders())
            yield name, "wrong" if there else "missing", str(error).removeprefix("weights: ")


def fetch(name: str) -> Path:
    """Download the weights ``name`` to the first of the known folders, and give their path.

    Nothing is downloaded that is there already, nor twice by two processes at once; what arrives is verified before it
    gets its name. Raises Unreachable where that fails, and leaves no file behind; ValueError for weights that are a
    folder, or a part of a package, for which the message has the command.
    """
    from http.client import HTTPException
    from urllib.error import URLError

    from filelock import FileLock

    published = _published(name)
    if published.is_folder:
        raise ValueError(f"weights: {name} is a folder that huggingface.co serves\n{how_to_get(name)}")
    if published.inside:
        raise ValueError(f"weights: {name} is a part of the package {published.package}\n{how_to_get(name)}")
    target = _target(published)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists() or _fault(published, target):
            try:
                write_atomically(target, lambda file: _download(published, file))
            except (URLError, HTTPException, TimeoutError, ConnectionError, _Wrong) as error:
                said = f"{published.source} could not be fetched: {getattr(error, 'reason', error)}"
                raise Unreachable(f"weights: {said}\n{_by_hand(published)}") from None
    return find(name, target)


class _Wrong(Exception):
    """Other bytes came than were published."""


def _download(published: Published, file: Path) -> None:
    from urllib.request import urlopen

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    sha, size = hashlib.sha256(), 0
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with (
        urlopen(published.source, timeout=SILENCE_S) as response,
        open(file, "wb") as stream,
        Progress(*columns, TimeRemainingColumn()) as progress,
    ):
        task = progress.add_task(published.file, total=published.bytes)
        while size <= published.bytes and (chunk := response.read(CHUNK_BYTES)):
            stream.write(chunk)
            sha.update(chunk)
            size += len(chunk)
            progress.update(task, completed=size)
    if size != published.bytes:
        many = "more than " if size > published.bytes else ""
        raise _Wrong(f"it gave {many}{min(size, published.bytes)} bytes, expected are {published.bytes}")
    if sha.hexdigest() != published.sha256:
        raise _Wrong(f"it gave a file of SHA-256 {sha.hexdigest()}, expected is {published.sha256}")


def _published(name: str) -> Published:
    if name not in WEIGHTS:
        raise ValueError(f"weights: found {name!r}, allowed are {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def _fault(published: Published, path: Path) -> str | None:
    """Why these are not the weights, or None."""
    if published.is_folder:
        if not path.is_dir():
            return "it is no folder"
        missing = [name for name in CONFIGURATIONS if not (path / name).is_file()]
        if not any(path.glob("*.safetensors")):
            missing.append("*.safetensors (other formats may carry code, and are not read)")
        return f"the folder has no {', '.join(missing)}" if missing else None
    if not path.is_file():
        return "it is no file"
    if published.safetensors and path.suffix == ".safetensors":
        return None
    found = _noted(path) or content_hash(path)
    if found != published.sha256:
        return f"its SHA-256 is {found}, expected is {published.sha256}"
    _note(path, found)
    return None


def _parts(folder: Path) -> list[Path]:
    """What numbers depend on in a folder."""
    configurations = [folder / name for name in CONFIGURATIONS if (folder / name).is_file()]
    return sorted([*configurations, *folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")])


WEIGHTS: dict[str, Published] = {
    "inception": Published(
        "inception-2015-12-05.pt",
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
        "Szegedy et al. 2015, Google's weights of 2015-12-05, in the form that NVIDIA serves",
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        95_607_719,
    ),
    "inception-torchvision": Published(
        "inception_v3_google-0cc3c7bd.pth",
        "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        "Szegedy et al. 2015, in the form that torchvision serves",
        "0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
        108_949_747,
        safetensors=True,
    ),
    "dinov2": Published("dinov2", "facebook/dinov2-large", "Oquab et al. 2023, Meta (Apache-2.0)"),
    "clip": Published("clip", "openai/clip-vit-large-patch14", "Radford et al. 2021, OpenAI (MIT)"),
    "resemblyzer": Published(
        "resemblyzer-0.1.4.pt",
        "resemblyzer==0.1.4",
        "Jemine 2019, the voice encoder of Resemblyzer 0.1.4 (Apache-2.0), after Wan et al. 2018",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        17_090_379,
        inside="resemblyzer/pretrained.pt",
        extra="audio",
    ),
}
