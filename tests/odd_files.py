"""Files from outside as people have them, broken, odd or made to harm: what each holds, or how it is refused.

Run as a program it reads those that a file lists, and says what came of each.
"""

import binascii
import gzip
import io
import json
import os
import pickle
import resource
import socket
import struct
import sys
import warnings
import wave
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(7)
MOST_SIDE = 9459  # of a square picture: more pixels are refused one by one


class Odd(NamedTuple):
    """A place that is read. expected: what is read there, (N, ...), or labels of it, or the words of the refusal.

    source: a data set of a study, with its options; None for samples that are measured. either: it may be read as
    whatever it has become, or be refused by its name.
    """

    name: str
    path: str
    expected: np.ndarray | list[str]
    source: str | None = None
    options: dict[str, Any] = {}  # noqa: RUF012
    labels: list[int] | None = None
    either: bool = False


def pixels_of(height: int = 6, width: int = 4, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (channels, height, width), dtype=np.uint8)


def image_of(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def content_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decoded(content: bytes) -> np.ndarray:
    """The pixels of a sound picture, by Pillow alone."""
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", binascii.crc32(kind + content))


def with_chunk(png: bytes, extra: bytes, before: bytes = b"IDAT") -> bytes:
    """A PNG file with something before a chunk."""
    place = png.index(before) - 4
    return png[:place] + extra + png[place:]


def flat_png(side: int, colour_type: int = 2) -> bytes:
    """A square PNG of one colour, of a few hundred kilobytes at most."""
    pixel = {0: b"\x09", 2: b"\x09\x09\x09", 6: b"\x09\x09\x09\xff"}[colour_type]
    row = b"\0" + pixel * side
    strip = max(1, 2**20 // len(row))
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(row * strip) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, wbits=-15)
    tail = rest.compress(row * (side % strip)) + rest.flush()
    check = 1
    for _ in range(side // strip):
        check = zlib.adler32(row * strip, check)
    check = zlib.adler32(row * (side % strip), check)
    data = b"\x78\x9c" + packed * (side // strip) + tail + struct.pack(">I", check)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def folder_of(place: Path, files: dict[str, bytes]) -> str:
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return str(place)


def zip_of(place: Path, members: dict[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_DEFLATED) -> str:
    with warnings.catch_warnings(), zipfile.ZipFile(place, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of doubled names
        for name, content in members.items():
            archive.writestr(name, content)
    return str(place)


# -- pictures ----------------------------------------------------------------------------------------------------------


def pictures(place: Path) -> Iterator[Odd]:
    """One picture in a folder each."""
    for name, content, expected, suffix in [*turned(), *modes(), *words(), *jpegs(), *other_formats()]:
        path = folder_of(place / name.replace("/", " "), {f"x{suffix}": content})
        yield Odd(name, path, expected if isinstance(expected, list) else expected[None])
    for name, content, suffix in damaged():
        path = folder_of(place / name, {f"x{suffix}": content})
        yield Odd(name, path, [f"'x{suffix}'"], either=True)


Picture = tuple[str, bytes, np.ndarray | list[str], str]


UPRIGHT = {  # EXIF's orientation -> the picture as it is seen, of pixels (C, H, W)
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, :, ::-1],
    3: lambda pixels: np.rot90(pixels, 2, (1, 2)),
    4: lambda pixels: pixels[:, ::-1],
    5: lambda pixels: pixels.transpose(0, 2, 1),
    6: lambda pixels: np.rot90(pixels, -1, (1, 2)),
    7: lambda pixels: np.rot90(pixels, 2, (1, 2)).transpose(0, 2, 1),
    8: lambda pixels: np.rot90(pixels, 1, (1, 2)),
}


def turned() -> Iterator[Picture]:
    pixels = pixels_of()
    for orientation, upright in UPRIGHT.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg")):
            content = content_of(image_of(pixels), kind, exif=exif)
            yield f"{kind} turned {orientation}", content, upright(decoded(content)), suffix
    for orientation in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"turned by nothing, {orientation}", content_of(image_of(pixels), exif=exif), pixels, ".png"


def modes() -> Iterator[Picture]:
    colour, grey = pixels_of(), pixels_of(channels=1)
    image = image_of(colour)
    clear, glass, palette = image.copy(), image.copy(), image.quantize(8)
    clear.putalpha(255)
    glass.putalpha(200)
    bits = Image.fromarray((grey[0] > 127).astype(np.uint8) * 255)
    expanded = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    yield "grey", content_of(image_of(grey)), grey, ".png"
    yield "grey of one bit", content_of(bits.convert("1")), np.asarray(bits)[None], ".png"
    yield "grey with a hidden alpha", content_of(bits.convert("LA")), np.asarray(bits)[None], ".PNG"
    yield "colour", content_of(image), colour, ".png"
    yield "colour with a hidden alpha", content_of(clear), colour, ".png"
    yield "palette", content_of(palette), expanded, ".png"
    yield "grey jpeg", content_of(image_of(grey), "JPEG"), decoded(content_of(image_of(grey), "JPEG")), ".jpeg"
    yield "visible alpha", content_of(glass), ["'x.png'", "transparent"], ".png"
    yield "transparent palette", content_of(palette, transparency=0), ["'x.png'", "transparent"], ".png"
    deep = Image.fromarray(np.arange(24, dtype=np.uint16).reshape(6, 4))
    yield "sixteen bits", content_of(deep), ["'x.png'", "16 bits"], ".png"
    yield "cmyk", content_of(image.convert("CMYK"), "JPEG"), ["'x.jpg'", "'CMYK'"], ".jpg"
    more = [image_of(pixels_of()) for _ in range(2)]
    yield "animated", content_of(image, save_all=True, append_images=more), ["'x.png'", "3 frames"], ".png"
    for height, width in ((1, 1), (1, 300), (300, 1), (4097, 3)):
        pixels = pixels_of(height, width)
        yield f"{height} by {width}", content_of(image_of(pixels)), pixels, ".png"


def words() -> Iterator[Picture]:
    """PNG files whose text, profile or metadata is large or no such thing: the pixels are sound."""
    pixels = pixels_of()
    png = content_of(image_of(pixels))
    large = os.urandom(1_200_000).hex().encode("ascii")
    long = {
        "tEXt": b"Comment\0" + large,
        "zTXt": b"Comment\0\0" + zlib.compress(large),
        "iTXt": b"Comment\0\1\0\0\0" + zlib.compress(large),
        "iCCP": b"icc\0\0" + zlib.compress(large),
        "iTXt plain": b"XML:com.adobe.xmp\0\0\0\0\0" + large,
    }
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    bombs = {
        "zTXt bomb": b"Comment\0\0" + bomb,
        "iTXt bomb": b"Comment\0\1\0\0\0" + bomb,
        "iCCP bomb": b"icc\0\0" + bomb,
    }
    junk = {
        "tEXt profile": b"Raw profile type exif\0\nexif\n      10\nno hexadecimal",
        "tEXt profile cut": b"Raw profile type exif\0",
        "eXIf junk": b"\0\x08\0\x02\x01\x12\0\x03",
        "eXIf empty": b"",
        "eXIf header": b"II*\0",
        "eXIf far": b"II*\0\xff\xff\xff\xff",
        "eXIf loop": b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0",
        "eXIf words": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0",
        "iCCP junk": b"no profile",
        "iCCP empty": b"",
        "zTXt junk": b"Comment\0\0junk",
        "zTXt method": b"Comment\0\x09junk",
        "iTXt junk": b"XML:com.adobe.xmp\0\1\0\0\0junk",
        "iTXt xmp junk": b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="twelve"/>',
        "tEXt latin": b"Autor\0J\xfcrg",
        "tEXt nul": b"\0\0\0",
        "zzZz unknown": b"whatever",
    }
    for name, content in {**long, **bombs, **junk}.items():
        extra = chunk(name[:4].encode(), content)
        yield f"png with {name}", with_chunk(png, extra), pixels, ".png"
        yield f"png with {name} at its end", with_chunk(png, extra, b"IEND"), pixels, ".png"
    bad = bytearray(chunk(b"tEXt", b"Comment\0wrong sum"))
    bad[-1] ^= 1
    yield "png with a wrong sum of text", with_chunk(png, bytes(bad)), pixels, ".png"
    yield "png with something behind it", png + os.urandom(500), pixels, ".png"


def jpegs() -> Iterator[Picture]:
    image = image_of(pixels_of(16, 16))
    jpeg = content_of(image, "JPEG")
    sound = decoded(jpeg)

    def segment(marker: int, content: bytes) -> bytes:
        return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]

    junk = {
        "exif junk": (0xE1, b"Exif\0\0junk"),
        "exif without a header": (0xE1, b"Exif\0\0"),
        "exif that points nowhere": (0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f"),
        "xmp junk": (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x"),
        "a profile that is none": (0xE2, b"ICC_PROFILE\0\1\1junk"),
        "a profile cut short": (0xE2, b"ICC_PROFILE\0\1"),
        "an index of pictures that is none": (0xE2, b"MPF\0junk"),
        "an empty index of pictures": (0xE2, b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
        "photoshop's junk": (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\xff\xff"),
        "adobe's junk": (0xEE, b"Adobe"),
        "a comment": (0xFE, b"x" * 65_000),
        "a jfif that is short": (0xE0, b"JFIF"),
    }
    for name, (marker, content) in junk.items():
        yield f"jpeg with {name}", segment(marker, content), sound, ".jpg"
    progressive = content_of(image, "JPEG", progressive=True)
    yield "progressive jpeg", progressive, decoded(progressive), ".jpg"
    profile = content_of(image, "JPEG", icc_profile=os.urandom(700_000))
    yield "jpeg with a large profile", profile, sound, ".jpg"
    yield "jpeg with something behind it", jpeg + os.urandom(500), sound, ".jpg"
    several = content_of(image, "MPO", save_all=True, append_images=[image_of(pixels_of(8, 8))])
    yield "a phone's picture with a preview", several, decoded(several), ".jpg"


def other_formats() -> Iterator[Picture]:
    image = image_of(pixels_of(16, 16))
    for kind in ("GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM", "PDF", "EPS", "TGA", "JPEG2000"):
        yield f"a {kind} called png", content_of(image, kind), ["'x.png'", "neither PNG nor JPEG"], ".png"
    texts = {
        "nothing": b"",
        "zeros": bytes(1000),
        "html": b"<!doctype html><title>404</title>",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "a resource fork": b"\0\5\x16\7\0\2\0\0Mac OS X        ",
        "gzip": gzip.compress(content_of(image)),
        "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "random": b"\x01" + os.urandom(1000),
    }
    for name, content in texts.items():
        yield f"{name} called jpg", content, ["'x.jpg'", "neither PNG nor JPEG"], ".jpg"
    huge = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    yield "a picture of 400 megapixels", png, ["'x.png'", "pixels that are allowed"], ".png"


def damaged() -> Iterator[tuple[str, bytes, str]]:
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg")):
        exif = Image.Exif()
        exif[0x0112] = 6
        content = content_of(image_of(pixels_of(24, 16)), kind, exif=exif)
        for step in range(1, 16):
            yield f"{kind} cut at {step} of 16", content[: len(content) * step // 16], suffix
        for trial in range(25):
            broken = bytearray(content)
            for place in RANDOM.integers(0, len(content), 2):
                broken[place] = RANDOM.integers(256)
            yield f"{kind} with wrong bytes, {trial}", bytes(broken), suffix


# -- folders -----------------------------------------------------------------------------------------------------------


def folders(place: Path) -> Iterator[Odd]:
    place.mkdir()
    values = {"0": 0, "1": 20, "2": 40, "10": 60, "11": 80}
    flat = {f"{name}/x.png": content_of(Image.new("RGB", (4, 4), (value,) * 3)) for name, value in values.items()}
    expected = np.stack([np.full((3, 4, 4), values[name], np.uint8) for name in sorted(values)])
    numbered = [0, 1, 3, 4, 2]  # of 0, 1, 10, 11, 2
    picture, pixels = content_of(image_of(first := pixels_of())), first[None]
    yield Odd("numbered classes", folder_of(place / "numbered", flat), expected, "folder", {}, numbered)
    junk = {f"{name}/SYNOPHOTO_THUMB.png": picture for name in ("@eaDir", "__MACOSX", ".thumbs", "#recycle")}
    path = folder_of(place / "junk", {**flat, **junk, "0/._x.png": b"\0\5\x16\7", "Thumbs.db": b"x"})
    yield Odd("classes beside junk", path, expected, "folder", {}, numbered)
    path = folder_of(place / "deep", {"cat/0.png": picture, "dog/puppies/0.png": picture, "cat/a.webp": b"x"})
    yield Odd("deeper folders", path, pixels, "folder", {}, [0])
    path = folder_of(place / "beside", {"0.png": picture, "cat/0.png": picture})
    yield Odd("images beside folders", path, ["both beside and in", "labels: ignore"], "folder")
    yield Odd(
        "images beside folders, unlabelled", path, np.concatenate([pixels, pixels]), "folder", {"labels": "ignore"}
    )
    path = folder_of(place / "special", {"0.png": picture})
    os.mkfifo(Path(path) / "1.png")
    os.symlink("/nowhere", Path(path) / "2.png")
    os.symlink(path, Path(path) / "loop")
    yield Odd("a pipe, a broken link and a loop", path, pixels)
    path = folder_of(place / "dataset", {"0.png": picture})
    (Path(path) / "dataset.json").mkdir()
    yield Odd("a folder called dataset.json", path, pixels, "folder")
    path = folder_of(place / "floats", {"0.png": picture, "dataset.json": b'{"labels": [["0.png", [0.5, 1.0]]]}'})
    yield Odd("float labels", path, ["dataset.json", "labels: ignore"], "folder")
    yield Odd("float labels, ignored", path, pixels, "folder", {"labels": "ignore"})
    yield Odd("float labels, measured", path, pixels)
    yield Odd(
        "no pictures", folder_of(place / "none", {"a.gif": b"GIF89a", "b.txt": b""}), ["no images", "1 .gif, 1 .txt"]
    )
    yield Odd("an empty folder", folder_of(place / "empty", {}), ["no images"])
    called = ("seed:0.png", "=cmd|x.png", "-rf.png", " .png", "ä\n.png", "x" * 250 + ".png", "%s{x}.png", "a.JPG.PNG")
    for number, name in enumerate(called):
        yield Odd(f"called {name[:20]!r}", folder_of(place / f"name {number}", {name: picture}), pixels, "folder")
    strange = Path(folder_of(place / "bytes", {}))
    (strange / os.fsdecode(b"\xff\xfe.png")).write_bytes(picture)
    yield Odd("a name that is no UTF-8", str(strange), pixels, "folder")
    grey = content_of(image_of(dull := pixels_of(channels=1)))
    path = folder_of(place / "mixed", {"0.png": picture, "1.png": grey})
    yield Odd("grey beside colour", path, np.stack([first, np.repeat(dull, 3, axis=0)]), "folder")
    many = {f"{row:03}.png": grey for row in range(64)} | {"034.png": picture}
    yield Odd("colour among grey", folder_of(place / "hidden", many), ["'034.png'", "channels: 1 or 3"], "folder")
    bad = {f"{row}.png": b"x" if row in (3, 7) else picture for row in range(9)}
    for source in ("folder", None):
        path = folder_of(place / f"bad{source}", bad)
        yield Odd(f"two that are bad, {source}", path, ["2 of 9 images", "'3.png'", "'7.png'"], source)


def bombs(place: Path) -> Iterator[Odd]:
    place.mkdir()
    flat = flat_png(MOST_SIDE)
    path = folder_of(place / "many", {f"{row:02}.png": flat for row in range(24)})
    refused = ["would become", "COLLAPSELAB_READ_MB"]
    yield Odd("24 pictures of 90 megapixels", path, ["'01.png'", *refused])
    alpha = flat_png(MOST_SIDE, 6)
    path = folder_of(place / "alpha", {f"{row:02}.png": alpha for row in range(16)})
    yield Odd("16 of them with an alpha", path, ["'01.png'", *refused], "folder", {"resolution": 32})
    small = zip_of(place / "small.zip", {f"{row:02}.png": flat for row in range(24)})
    yield Odd("24 of them in a zip of some kilobytes", small, ["'01.png'", *refused], "zip", {"resolution": 32})
    one = np.full((1, 3, 16, 16), 9, np.uint8)
    path = folder_of(place / "one", {"0.png": flat})
    yield Odd("one of them", path, one, "folder", {"resolution": 16})
    holes = Path(folder_of(place / "holes", {}))
    with open(holes / "0.png", "wb") as stream:
        stream.write(flat_png(4))
        stream.truncate(40 * 2**30)
    yield Odd("40 GB of holes called png", str(holes), ["'0.png'", "42949672960 bytes large"])
    with open(place / "holes.npy", "wb") as stream:
        stream.write(header_of({"descr": "|u1", "fortran_order": False, "shape": (40 * 2**20, 32, 32)}))
        stream.truncate(stream.tell() + 40 * 2**30)
    yield Odd("40 GB of holes called npy", str(place / "holes.npy"), refused)
    np.savez_compressed(place / "zeros.npz", np.zeros((300, 1024, 1024), np.uint8))
    yield Odd("zeros in an npz", str(place / "zeros.npz"), refused)
    up = folder_of(place / "up", {f"{row:03}.png": flat_png(2) for row in range(200)})
    yield Odd("tiny ones at a high resolution", up, refused, "folder", {"resolution": 4096})


# -- zips --------------------------------------------------------------------------------------------------------------


def zips(place: Path) -> Iterator[Odd]:
    place.mkdir()
    first, second = pixels_of(), pixels_of()
    one, two = content_of(image_of(first)), content_of(image_of(second))
    both = np.stack([first, second])
    said = json.dumps({"labels": [["a/1.png", 3], ["a/2.png", 5]]}).encode()
    plain = {"a/1.png": one, "a/2.png": two}

    def odd(name: str, members: dict[Any, bytes], expected: Any, labels: list[int] | None = None, **kind: Any) -> Odd:
        path = zip_of(place / f"{len(list(place.iterdir()))}.zip", members, **kind)
        return Odd(name, path, expected, "zip", {}, labels)

    yield odd("a dataset.json", {**plain, "dataset.json": said}, both, [3, 5])
    wrapped = {f"data/{name}": content for name, content in {**plain, "dataset.json": said}.items()}
    yield odd("wrapped in a folder", wrapped, both, [3, 5])
    backward = {name.replace("/", "\\"): content for name, content in plain.items()}
    yield odd("written by Windows", {**backward, "dataset.json": said.replace(b"/", b"\\\\")}, both, [3, 5])
    dotted = {f"./{name}": content for name, content in plain.items()}
    yield odd("names that begin with a dot", {**dotted, "./dataset.json": said}, both, [3, 5])
    forks = {f"__MACOSX/a/._{row}.png": b"\0\5\x16\7" for row in (1, 2)}
    yield odd("beside what macOS leaves", {**plain, **forks, "dataset.json": said}, both, [3, 5])
    yield odd("a colon in a name", {"seed:0.png": one, "seed:1.png": two}, both)
    yield odd("folders as members", {"a/": b"", **plain, "b\\": b""}, both)
    for name, kind in (("stored", 0), ("bzip2", 12), ("lzma", 14)):
        yield odd(f"packed: {name}", plain, both, kind=kind)
    for name in (
        "../1.png",
        "/1.png",
        "a/../../1.png",
        "C:/1.png",
        "C:\\1.png",
        "\\1.png",
        "a\\..\\..\\1.png",
        "a\n.png",
    ):
        yield odd(f"the name {name!r}", {name: one}, ["a path out of the archive"])
    yield odd("doubled", {zipfile.ZipInfo("a.png"): one, zipfile.ZipInfo("./a.png"): two}, ["doubled"])
    link = zipfile.ZipInfo("a.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    yield odd("a link", {link: b"/etc/passwd"}, ["a link"])
    yield odd("zip: no pictures", {"a.txt": b"x"}, ["no images", "1 .txt"])
    yield odd("zip: nothing", {}, ["no images"])
    yield odd(
        "a zip in a zip", {"a.zip": Path(zip_of(place / "inner.zip", plain)).read_bytes()}, ["no images", "1 .zip"]
    )
    labels = {
        "floats": (b'{"labels": [["a/1.png", [0.5]], ["a/2.png", [1.5]]]}', "labels: ignore"),
        "one-hot": (b'{"labels": [["a/1.png", [0, 1]], ["a/2.png", [1, 0]]]}', "labels: ignore"),
        "nulls": (b'{"labels": [["a/1.png", null], ["a/2.png", null]]}', "labels: ignore"),
        "some": (b'{"labels": [["a/1.png", 1]]}', "1 of 2 images; to read"),
        "of others": (b'{"labels": [["a/1.png", 1], ["a/2.png", 1], ["c.png", 1]]}', "'c.png'"),
        "no JSON": (b"labels: 1", "is not JSON"),
        "bytes": (b"\xff\xfe\x00", "is not JSON"),
        "deep": (b"[" * 60_000, "is not JSON"),
        "deeper": (b"[" * 500_000, "too many for labels of 2 images"),
        "a list of lists": (b'{"labels": [' + b"[]," * 900_000 + b"[]]}", "too many for labels of 2 images"),
        "a bomb": (b'{"labels": [' + b"[]," * 20_000_000 + b"[]]}", "too many for labels of 2 images"),
        "a long number": (b'{"labels": [["a/1.png", ' + b"9" * 5000 + b'], ["a/2.png", 1]]}', "is not JSON"),
        "a word": (b'{"labels": "many"}', "labels must be null or a list"),
    }
    for name, (text, words) in labels.items():
        yield (found := odd(f"labels: {name}", {**plain, "dataset.json": text}, ["dataset.json", words]))
        if name in ("floats", "one-hot", "nulls", "some", "no JSON", "a bomb"):
            yield found._replace(name=f"{found.name}, ignored", expected=both, options={"labels": "ignore"})
            yield found._replace(name=f"{found.name}, measured", expected=both, source=None)
    for text in (b"null", b"[]", b"{}", b'{"labels": null}', b'{"labels": [], "x": 1}'):
        expected = both if b"[], " not in text else ["has no label for"]
        yield odd(f"dataset.json: {text.decode()}", {**plain, "dataset.json": text}, expected)
    yield from broken_zips(place, plain, both)


def broken_zips(place: Path, plain: dict[str, bytes], both: np.ndarray) -> Iterator[Odd]:
    whole = Path(zip_of(place / "whole.zip", plain, zipfile.ZIP_STORED)).read_bytes()
    central = whole.index(b"PK\1\2")

    def patched(places: dict[int, bytes]) -> bytes:
        content = bytearray(whole)
        for at, new in places.items():
            content[at : at + len(new)] = new
        return bytes(content)

    contents: dict[str, tuple[bytes, Any]] = {
        "encrypted": (patched({6: b"\1", central + 8: b"\1"}), ["encrypted"]),
        "a member of 4 GB": (patched({central + 24: b"\xff\xff\xff\x7f"}), ["bytes large"]),
        "an unknown packing": (patched({8: b"\x60\0", central + 10: b"\x60\0"}), ["is damaged"]),
        "a name that is no UTF-8": (
            patched({6: b"\0\x08", central + 8: b"\0\x08", central + 46: b"\xff"}),
            ["not a zip"],
        ),
        "a wrong byte": (patched({60: b"\0\0\0"}), ["'a/1.png'", "is damaged"]),
        "cut": (whole[: len(whole) // 2], ["is not a zip"]),
        "empty": (b"", ["is not a zip"]),
        "text": (b"PK or so", ["is not a zip"]),
        "behind a program": (b"MZ" + bytes(500) + whole, both),
    }
    for name, (content, expected) in contents.items():
        path = place / f"broken {name}.zip"
        path.write_bytes(content)
        yield Odd(f"zip: {name}", str(path), expected, "zip")
    (place / "LOUD.ZIP").write_bytes(whole)
    yield Odd("a .ZIP", str(place / "LOUD.ZIP"), both)
    (place / "folder.zip").mkdir()
    yield Odd("a folder called zip", str(place / "folder.zip"), ["no images"])
    yield Odd("no such zip", str(place / "nowhere.zip"), ["there is no file"])


# -- arrays ------------------------------------------------------------------------------------------------------------


def header_of(said: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    """The beginning of an .npy file that says whatever."""
    text = repr(said).encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text


def arrays(place: Path) -> Iterator[Odd]:
    place.mkdir()
    images = RANDOM.integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    vectors = RANDOM.normal(size=(5, 4))
    good = {
        "images, channels last": (images, first),
        "images, channels first": (first, first),
        "grey images": (images[..., 0], images[..., 0][:, None]),
        "in Fortran's order": (np.asfortranarray(images), first),
        "doubles": (vectors, vectors),
        "doubles of another machine": (vectors.astype(">f8"), vectors),
        "halves": (vectors.astype(np.float16), vectors.astype(np.float16).astype(np.float32)),
        "bytes as categories": (np.arange(5, dtype=np.uint8), np.arange(5)),
        "categories of another machine": (np.arange(5, dtype=">i4"), np.arange(5)),
    }
    bad = {
        "of objects": np.array([{}, {}], object),
        "of words": np.array(["a", "b"]),
        "of bytes": np.array([b"a", b"b"]),
        "complex": vectors.astype(complex),
        "of truths": vectors > 0,
        "of dates": np.array(["2020-01-01"], "datetime64[D]"),
        "a structure": np.zeros(3, [("x", "f8"), ("y", "i4")]),
        "a scalar": np.float64(3),
        "nothing": np.zeros((0, 3)),
        "float images": first.astype(np.float32),
        "sixteen bits": first.astype(np.uint16),
        "two channels": images[..., :2],
        "five axes": images[None],
    }
    for number, (name, (array, expected)) in enumerate(good.items()):
        np.save(place / f"{number}.npy", array)
        yield Odd(name, str(place / f"{number}.npy"), expected)
        np.savez_compressed(place / f"{number}.npz", anything=array)
        yield Odd(f"{name}, packed", str(place / f"{number}.npz"), expected)
    for name, array in bad.items():
        np.save(place / f"{name}.npy", array, allow_pickle=True)
        yield Odd(f"array: {name}", str(place / f"{name}.npy"), [f"{name}.npy: "])
    (place / "LOUD.NPY").write_bytes((place / "1.npy").read_bytes())
    yield Odd("a .NPY", str(place / "LOUD.NPY"), first)
    (place / "LOUD.NPZ").write_bytes((place / "1.npz").read_bytes())
    yield Odd("a .NPZ", str(place / "LOUD.NPZ"), first)
    whole = (place / "1.npy").read_bytes()
    contents = {
        "cut": whole[:-3],
        "cut in the header": whole[:30],
        "empty": b"",
        "text": b"1 2 3\n",
        "a pickle": pickle.dumps([1, 2, 3]),
        "more than it has": header_of({"descr": "|u1", "fortran_order": False, "shape": (10**12, 32, 32)}),
        "less than nothing": header_of({"descr": "|u1", "fortran_order": False, "shape": (-5, 6, 4, 3)}) + whole[128:],
        "a long header": header_of("x" * 60_000),
        "a longer header": header_of("[" * 3_000_000, (2, 0)),
        "deep": header_of("x", (1, 0)).replace(b"'x'", b"((("),
        "a program": b"\x93NUMPY\1\0\x30\0" + b"__import__('os').system('true')".ljust(48),
        "a version to come": b"\x93NUMPY\x09\0" + whole[8:],
    }
    for name, content in contents.items():
        (place / f"{name}.npy").write_bytes(content)
        yield Odd(f"npy: {name}", str(place / f"{name}.npy"), [f"{name}.npy: cannot be read"])
    yield from several_arrays(place, first, vectors)


def several_arrays(place: Path, first: np.ndarray, vectors: np.ndarray) -> Iterator[Odd]:
    mean, covariance, labels = vectors[0], vectors.T @ vectors, np.arange(5)
    keras = {"x_train": first, "y_train": labels, "x_test": first[:2], "y_test": labels[:2]}
    named: list[tuple[str, dict[str, Any], str, Any]] = [
        ("adm", {"mu": mean, "sigma": covariance, "arr_0": first}, "", first),
        ("samples and labels", {"arr_0": first, "arr_1": labels}, "", first),
        ("labels and samples", {"arr_0": labels, "arr_1": first}, "", ["2 arrays", "arr_1 (uint8"]),
        ("covariance and mean", {"arr_0": covariance, "arr_1": mean}, "", ["2 arrays", "arr_0 (float64"]),
        ("stats", {"sigma": covariance, "mu": mean}, "", ["2 arrays", "sigma (float64 of shape (4, 4))", ":NAME"]),
        ("labels first", {"labels": labels, "images": first}, "", ["labels (int64", "images (uint8", ":NAME"]),
        ("labels first, named", {"labels": labels, "images": first}, ":images", first),
        ("keras", keras, "", ["4 arrays", "x_train", "y_test"]),
        ("keras, named", keras, ":x_test", first[:2]),
        ("misnamed", keras, ":x_tset", ["no array 'x_tset'", "x_test"]),
        ("no arrays", {}, "", ["no array"]),
    ]
    for name, content, which, expected in named:
        np.savez(place / f"{name}.npz", **content)
        yield Odd(f"npz: {name}", f"{place / name}.npz{which}", expected)
    np.savez(place / "objects.npz", np.array([{}], object), allow_pickle=True)
    yield Odd("npz: objects", str(place / "objects.npz"), ["objects.npz: "])
    yield Odd("npz: text", zip_of(place / "text.npz", {"a.txt": b"x", "b.txt": b"y"}), ["text.npz: found 2 arrays"])
    (place / "cut.npz").write_bytes((place / "keras.npz").read_bytes()[:-40])
    yield Odd("npz: cut", str(place / "cut.npz"), ["cut.npz: cannot be read"])
    (place / "renamed.npz").write_bytes((place / "1.npy").read_bytes())
    yield Odd("an npy called npz", str(place / "renamed.npz"), first)


# -- what is no file, and data sets ------------------------------------------------------------------------------------


def places(place: Path) -> Iterator[Odd]:
    place.mkdir()
    for suffix in (".npy", ".npz", ".zip", ".safetensors", ".png"):
        os.mkfifo(place / f"pipe{suffix}")
        yield Odd(f"a pipe called {suffix}", str(place / f"pipe{suffix}"), ["is a pipe"])
        os.symlink("/dev/zero", place / f"zero{suffix}")
        yield Odd(f"zeros called {suffix}", str(place / f"zero{suffix}"), ["is a device"])
        yield Odd(f"nothing called {suffix}", str(place / f"nothing{suffix}"), [f"nothing{suffix}"])
    yield Odd("/dev/zero", "/dev/zero", ["/dev/zero: is a device"])
    yield Odd("a pipe in a study", str(place / "pipe.zip"), ["path: ", "is a pipe"], "zip")
    with socket.socket(socket.AF_UNIX) as end:
        here = Path.cwd()
        os.chdir(place)  # the name of a socket may have a hundred letters
        end.bind("end.npy")
        os.chdir(here)
    yield Odd("a socket", str(place / "end.npy"), ["is a socket"])
    (place / "other.tar").write_bytes(b"x")
    yield Odd("another format", str(place / "other.tar"), ["found another format"])
    (place / "other.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    yield Odd("somebody's tensors", str(place / "other.safetensors"), ["has no hash beside it"])


def data_sets(place: Path) -> Iterator[Odd]:
    def idx(shape: tuple[int, ...], content: bytes) -> bytes:
        return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + content

    images = RANDOM.integers(0, 256, (4, 5, 5), dtype=np.uint8)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    labels = idx((4,), bytes(4))
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"".join(packer.compress(bytes(2**20)) for _ in range(320)) + packer.flush()
    large = gzip.compress(idx((320, 1024, 1024), b"")) + zeros
    found = {
        "idx": ({names[0]: idx(images.shape, images.tobytes()), names[1]: labels}, images[:, None]),
        "idx.gz": (
            {f"{names[0]}.gz": gzip.compress(idx(images.shape, images.tobytes())), names[1]: labels},
            images[:, None],
        ),
        "idx of a gigabyte of zeros": ({f"{names[0]}.gz": large, names[1]: labels}, ["would become 335544320"]),
        "idx cut": ({f"{names[0]}.gz": gzip.compress(labels)[:-4], names[1]: labels}, ["is damaged"]),
        "idx of text": ({names[0]: b"hello", names[1]: labels}, ["begins with"]),
    }
    for name, (files, expected) in found.items():
        read = None if isinstance(expected, list) else [0] * 4
        yield Odd(name, folder_of(place / name, files), expected, "mnist_idx", {}, read)
    path = folder_of(place / "FashionMNIST" / "raw", found["idx of a gigabyte of zeros"][0])
    named = {"name": "FashionMNIST", "root": str(place)}
    yield Odd("torchvision's folder with zeros", path, ["would become 335544320"], "torchvision", named)
    claims = [b"\x80\x02Nr\xff\xff\xff\x0f.", b"\x80\x04B\xff\xff\xff\xff.", b"\x80\x05\x96\0\0\0\0\1\0\0\0."]
    claims += [b"\x80\x02X\xff\xff\xff\xff.", b"\x80\x02\x8b\xff\xff\xff\x7f.", b"", b".", b"cos\nsystem\n."]
    for number, content in enumerate(claims):
        path = folder_of(place / f"batch {number}", {"test_batch": content})
        yield Odd(f"batch {number}", path, ["is not a batch"], "cifar10_batches", {"subset": "test"})
    path = folder_of(place / "batch of holes", {"test_batch.bin": b"\0"})
    os.truncate(Path(path) / "test_batch.bin", 3073 * 10_000_000)
    yield Odd("batch of holes", path, ["would become"], "cifar10_batches", {"subset": "test"})
    path = folder_of(place / "text of holes", {"own.txt": b"a"})
    os.truncate(Path(path) / "own.txt", 200_000_000)
    yield Odd("text of holes", path, ["would become"], "text", {})
    head = io.BytesIO()
    with wave.open(head, "wb") as sound:
        sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(8000)
        sound.writeframes(b"")
    said = bytearray(head.getvalue())
    said[4:8], said[40:44] = ((400_000_036).to_bytes(4, "little"), (400_000_000).to_bytes(4, "little"))
    path = folder_of(place / "clip of holes", {"own.wav": bytes(said)})
    os.truncate(Path(path) / "own.wav", 400_000_044)
    yield Odd("clip of holes", path, ["own.wav", "would become"], "clips", {})


KINDS = (pictures, folders, bombs, zips, arrays, places, data_sets)


# -- reading -----------------------------------------------------------------------------------------------------------


def read(path: str, source: str | None, options: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """What a study or ``measure`` reads at a place."""
    from collapselab.data import DATASETS
    from collapselab.data.weighing import check_memory
    from collapselab.measure import pools

    if source is not None:
        dataset = DATASETS[source](**({} if "root" in options else {"path": path}), **options)
        check_memory(dataset)
        dataset.fingerprint()
        samples = dataset.load()
        return samples.data, samples.labels
    pool = pools.read(Path(path), streamed=True)
    if isinstance(pool.data, pools.Pictures):
        pool.data.survey()
        return np.stack(list(pool.data)), None
    return pool.data, None


def outcome(path: str, source: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What came of reading: what was read, or the words of the refusal, or the type of what nobody expected."""
    from collapselab.cli.run import _failure

    try:
        data, labels = read(path, source, options)
    except Exception as error:
        said = _failure(error)
        return {"refused": said[0]} if said else {"broke": repr(error)}
    return {
        "read": [str(data.dtype), list(data.shape), zlib.crc32(np.ascontiguousarray(data))],
        "labels": None if labels is None else labels.tolist(),
    }


def main() -> None:
    """Read all that a file lists, and write beside it what came of each, and the most memory that was taken."""
    listed = Path(sys.argv[1])
    found = []
    for path, source, options in json.loads(listed.read_text(encoding="utf-8")):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found.append(outcome(path, source, options))
        found[-1]["mb"] = (after := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024 * (after > before)
    listed.with_suffix(".found").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
