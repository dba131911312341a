"""Pictures that leave: what they tell of where they come from, and signatures that hold or do not."""

import io
import sys
import zipfile

import numpy as np
import pyarrow.parquet
import pytest
import typer
from PIL import Image

from collapselab import report, store
from collapselab.cli.run import app
from collapselab.core.sets import SampleSet
from collapselab.data import DATASETS, signing
from collapselab.data.export import encoder, export_zip
from collapselab.data.formats import FORMATS, Given, check
from collapselab.data.provenance import GENERATED, Origin, encode_told, read_told
from collapselab.store.cells import Cell

ORIGIN = Origin("loop", "fresh", 2, 3)


def images(count=4, channels=1):
    return np.random.default_rng(0).integers(0, 256, (count, channels, 8, 8), dtype=np.uint8)


def pixels(content):
    found = np.asarray(Image.open(io.BytesIO(content)))
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


@pytest.fixture(scope="module")
def signer():
    pytest.importorskip("c2pa", reason="signatures need the extra provenance")
    pytest.importorskip("cryptography", reason="signatures need the extra provenance")
    made = signing.certificates("Somebody", days=2)
    return signing.Signer(made["chain"], made["key"]), made


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_tells_its_cell_its_place_and_that_a_model_made_it(channels):
    picture = images(channels=channels)[0]
    content = encode_told(picture, ORIGIN._replace(index=7))
    np.testing.assert_array_equal(pixels(content), picture)
    assert content == encode_told(picture, ORIGIN._replace(index=7))
    told = {"study": "loop", "arm": "fresh", "seed": "2", "generation": "3", "index": "7"}
    assert read_told(content) == told | {"digital_source_type": GENERATED}
    text = Image.open(io.BytesIO(content)).text["XML:com.adobe.xmp"]
    assert f'Iptc4xmpExt:DigitalSourceType="{GENERATED}"' in text and text.count("xpacket") == 2


def test_real_pictures_tell_their_source_and_nothing_of_models():
    origin = Origin.of("results/real/digits-1/held_out.safetensors", {"source": "digits"})
    assert read_told(encode_told(images()[0], origin)) == {"source": "digits"}
    assert Origin.of("elsewhere.safetensors", {"seed": 1, "generation": 2}) == Origin(seed=1, generation=2)


def test_a_zip_of_told_pictures_is_the_same_data_set(tmp_path):
    labels = np.arange(4) % 2
    export_zip(SampleSet(images(), labels), tmp_path / "told.zip", ORIGIN)
    export_zip(SampleSet(images(), labels), tmp_path / "plain.zip")
    told, plain = (DATASETS["zip"](path=tmp_path / name).load() for name in ("told.zip", "plain.zip"))
    np.testing.assert_array_equal(told.data, plain.data)
    np.testing.assert_array_equal(told.labels, plain.labels)
    with zipfile.ZipFile(tmp_path / "told.zip") as archive:
        indices = [read_told(archive.read(name))["index"] for name in archive.namelist() if name.endswith("png")]
    assert indices == ["0", "1", "2", "3"]


def test_sheets_of_a_report_tell_their_study():
    sheet = report.grid_png(images(6), 3, Origin("loop", "one two", generation=4))
    assert read_told(sheet) == {
        "study": "loop", "arm": "one two", "generation": "4", "digital_source_type": GENERATED
    }  # fmt: skip
    np.testing.assert_array_equal(pixels(sheet), pixels(report.grid_png(images(6), 3)))


def test_a_signature_is_valid_trusted_by_its_root_and_broken_by_any_bit(signer):
    own, made = signer
    picture = images()[0]
    content = encoder(ORIGIN, own)(5, picture)
    np.testing.assert_array_equal(pixels(content), picture)
    assert read_told(content)["index"] == "5"
    told = {"study": "loop", "arm": "fresh", "seed": "2", "generation": "3", "index": "5"}
    verdict = signing.checked(content)
    assert verdict == signing.Verdict("Valid", ("signingCredential.untrusted",), told)
    assert signing.checked(content, made["anchor"]) == signing.Verdict("Trusted", (), told)
    stranger = signing.certificates("Somebody else")["anchor"]
    assert signing.checked(content, stranger).state == "Valid"
    broken = bytearray(content)
    broken[content.rindex(b"IDAT") + 8] ^= 1
    found = signing.checked(bytes(broken), made["anchor"])
    assert found.state == "Invalid" and "assertion.dataHash.mismatch" in found.findings
    again = io.BytesIO()
    Image.open(io.BytesIO(content)).save(again, "PNG")
    assert signing.checked(again.getvalue()) == signing.Verdict("none")  # whoever saves it anew takes it away
    assert len(content) < len(encode_told(picture, ORIGIN)) + 10_000  # and no thumbnail of 90 kB


def test_who_cannot_sign_is_told_why(signer, tmp_path):
    own, made = signer
    for chain, key, words in (
        (made["anchor"], own.key, "found a self-signed certificate first"),
        (b"no certificate", own.key, "found no PEM certificates"),
        (own.chain, b"no key", "nothing is signed by them"),
        (
            own.chain,
            signing.certificates()["key"],
            "nothing is signed by them: Signature: the signature does not match",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            encoder(ORIGIN, signing.Signer(chain, key))(0, images()[0])
    with pytest.raises(ValueError, match="cannot be read"):
        signing.read_signer(tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(ValueError, match="found one without an origin"):
        encoder(None, own)


def test_without_the_extra_signing_says_the_cure(monkeypatch):
    for package in ("c2pa", "cryptography"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r"the package c2pa-python: pip install 'collapselab\[provenance\]'"):
        signing.checked(b"")
    with pytest.raises(ValueError, match=r"the package cryptography: pip install"):
        signing.certificates()
    assert read_told(encoder(ORIGIN)(0, images()[0]))["study"] == "loop"  # what needs no extra goes on


def test_verbs_export_sign_and_check(signer, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    samples = Cell("loop", "fresh", 2, 3).path("samples.safetensors")
    store.write_samples(tmp_path / samples, SampleSet(images(), lineage={"seed": 2}))
    app(["certificate", "--out", "keys", "--organisation", "Somebody"], standalone_mode=False)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "keys", tmp_path / "keys" / "key.pem"))
    signs = ["--chain", "keys/chain.pem", "--key", "keys/key.pem"]
    app(["export", samples, "--out", "pictures", *signs], standalone_mode=False)
    app(["export", samples, "--out", "plain.zip"], standalone_mode=False)
    capsys.readouterr()
    assert app(["check", "pictures", "--anchors", "keys/root.pem"], standalone_mode=False) in (None, 0)
    said = capsys.readouterr().out
    assert said.endswith("4 Trusted\n") and "study loop, arm fresh, seed 2, generation 3, index 3" in said
    one = sorted((tmp_path / "pictures").rglob("*.png"))[1]
    content = bytearray(one.read_bytes())
    content[bytes(content).rindex(b"IDAT") + 8] ^= 1
    one.write_bytes(content)
    assert app(["check", "pictures"], standalone_mode=False) == 3
    assert "1 Invalid, 3 Valid" in capsys.readouterr().out


def test_the_suffix_says_the_format_and_a_manifest_is_checked(tmp_path, monkeypatch, capsys):
    pytest.importorskip("c2pa", reason="signatures need the extra provenance")
    monkeypatch.chdir(tmp_path)
    samples = Cell("loop", "fresh", 2, 3).path("samples.safetensors")
    store.write_samples(tmp_path / samples, SampleSet(images(), np.arange(4) % 2, lineage={"seed": 2}))
    for out in ("a.zip", "b.parquet", "c", "d.safetensors"):
        app(["export", samples, "--out", out], standalone_mode=False)
        assert "4 images; study loop, arm fresh, seed 2, generation 3" in capsys.readouterr().out
    app(["export", samples, "--out", "e", "--format", "imagefolder"], standalone_mode=False)
    assert (tmp_path / "e" / "metadata.jsonl").is_file() and not (tmp_path / "c" / "metadata.jsonl").exists()
    assert app(["check", "c", "e"], standalone_mode=False) in (None, 0)
    sorted((tmp_path / "c").rglob("*.png"))[0].unlink()
    assert app(["check", "c"], standalone_mode=False) == 3
    assert "is lacking, and manifest.json lists it" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"'csv' holds vectors and categories(.|\n)*--out: c is there already"):
        app(["export", samples, "--out", "c", "--format", "csv"], standalone_mode=False)


def test_hashes_of_files_and_of_exported_folders_are_checked(tmp_path, monkeypatch, capsys):
    pytest.importorskip("c2pa", reason="signatures need the extra provenance")
    monkeypatch.chdir(tmp_path)
    samples = Cell("loop", "fresh", 2, 3).path("samples.safetensors")
    store.write_samples(tmp_path / samples, SampleSet(images(), lineage={"seed": 2}))
    app(["export", samples, "--out", "b.parquet"], standalone_mode=False)
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "one.csv").write_text("1")
    (folder / "SHA256SUMS").write_text(f"{store.content_hash(folder / 'one.csv')}  one.csv\n")
    capsys.readouterr()
    assert app(["check", "b.parquet", "study"], standalone_mode=False) in (None, 0)
    whole = "b.parquet.sha256: all is as it says\nstudy/SHA256SUMS: all is as it says\n"
    assert capsys.readouterr().out == whole
    (folder / "one.csv").write_text("2")
    (tmp_path / "b.parquet").write_bytes(b"3")
    assert app(["check", "b.parquet", "study"], standalone_mode=False) == 3
    said = capsys.readouterr().out
    assert "b.parquet: has changed since b.parquet.sha256 was written" in said
    assert "study/one.csv: has changed since SHA256SUMS was written" in said
    (folder / "one.csv").unlink()
    assert app(["check", "study"], standalone_mode=False) == 3
    assert "study/one.csv: is lacking, and SHA256SUMS lists it" in capsys.readouterr().out
    (folder / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(ValueError, match="SHA256SUMS: line 1 is not a hash and a file: 'nonsense'"):
        app(["check", "study"], standalone_mode=False)
    with pytest.raises(typer.BadParameter, match=r"other\.txt; allowed are PNG files, folders"):
        (tmp_path / "other.txt").write_text("x")
        app(["check", "other.txt"], standalone_mode=False)


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if "images" in one.takes])
def test_pictures_are_signed_in_every_format_that_has_any(signer, tmp_path, name):
    own, made = signer
    given, path = Given(SampleSet(images()), ORIGIN, own), tmp_path / f"out{FORMATS[name].suffix}"
    if name == "safetensors":
        assert "signed are PNG files" in next(check(name, given, path))
        return
    assert not list(check(name, given, path))
    FORMATS[name].write(given, path)
    if name == "zip":
        with zipfile.ZipFile(path) as archive:
            pngs = [archive.read(one) for one in archive.namelist() if one.endswith("png")]
    elif name == "parquet":
        pngs = [one["bytes"] for one in pyarrow.parquet.read_table(path)["image"].to_pylist()]
    else:
        pngs = [one.read_bytes() for one in sorted(path.rglob("*.png"))]
    assert [signing.checked(png, made["anchor"]).origin["index"] for png in pngs] == ["0", "1", "2", "3"]
    assert {signing.checked(png, made["anchor"]).state for png in pngs} == {"Trusted"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["--days", "99999999"], "36500"),
        (["--organisation", ""], "found 0 letters; allowed are 1 to 57"),
        (["--organisation", "a" * 5000], "found 5000 letters; allowed are 1 to 57"),
    ],
)
def test_a_certificate_that_cannot_be_is_refused_and_no_folder_made(said, words, tmp_path):
    with pytest.raises(Exception, match=words):
        app(["certificate", "--out", str(tmp_path / "keys"), *said], standalone_mode=False)
    assert not (tmp_path / "keys").exists()


def test_the_longest_name_and_time_make_a_certificate(signer, tmp_path):
    most = ["--days", "36500", "--organisation", "a" * 57]
    app(["certificate", "--out", str(tmp_path / "keys"), *most], standalone_mode=False)
    assert (tmp_path / "keys" / "root.pem").exists()


def test_anchors_that_hold_no_certificate_are_refused_and_no_picture_blamed(signer, tmp_path):
    (tmp_path / "empty.pem").write_text("none here")
    with pytest.raises(ValueError, match="anchors: found no PEM certificates in"):
        app(["check", str(tmp_path), "--anchors", str(tmp_path / "empty.pem")], standalone_mode=False)
