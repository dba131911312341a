"""Measuring any two sets of samples without a study, and setting records side by side."""

import csv
import json
import os
import re

import numpy as np
import pytest
import stand_ins
import typer
from PIL import Image
from test_cli import run

from collapselab import store
from collapselab.cli.extractors import settings_of
from collapselab.cli.measure import measure as measure_outside
from collapselab.core.sets import SampleSet
from collapselab.data.digits import Digits
from collapselab.data.export import export_folder, export_zip
from collapselab.features import FEATURES
from collapselab.measure import compare, outside, pools, sets
from collapselab.metrics import METRICS


@pytest.fixture(scope="module")
def digits():
    samples = Digits().load()
    return [SampleSet(samples.data[rows]) for rows in (slice(0, 300), slice(300, 600), slice(600, 900))]


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """The same digits as a folder, a zip, arrays of three shapes and vectors."""
    folder = tmp_path_factory.mktemp("outside")
    fake, real, train = digits
    export_folder(fake, folder / "fake")
    export_zip(real, folder / "real.zip")
    np.save(folder / "train.npy", train.data[:, 0])
    np.savez(folder / "real.npz", real.data)
    np.save(folder / "last.npy", fake.data.transpose(0, 2, 3, 1))
    np.save(folder / "wide.npy", np.zeros((9, 8, 9), np.uint8))
    np.save(folder / "same.npy", real.data)
    store.write_samples(folder / "vectors.safetensors", SampleSet(np.zeros((9, 16))))
    for name, part in (("u.npy", fake), ("v.npy", real)):
        np.save(folder / name, part.data.reshape(len(part), -1)[:, 8:24].astype(np.float64))
    np.save(folder / "classes.npy", np.arange(60) % 7)
    return folder


# -- reading -----------------------------------------------------------------------------------------------------------


def test_every_format_holds_the_same_samples(folder, digits):
    fake, real, train = digits
    np.testing.assert_array_equal(pools.read(folder / "fake", channels=1).data, fake.data)
    np.testing.assert_array_equal(pools.read(folder / "last.npy").data, fake.data)
    np.testing.assert_array_equal(pools.read(folder / "real.zip", channels=1).data, real.data)
    np.testing.assert_array_equal(pools.read(folder / "real.npz").data, real.data)
    np.testing.assert_array_equal(pools.read(folder / "train.npy").data, train.data)
    assert pools.read(folder / "fake").data.shape == (300, 1, 8, 8)  # grey files are read as grey
    assert pools.read(folder / "fake", resolution=4, channels=3).data.shape == (300, 3, 4, 4)
    assert [pools.read(folder / name).kind for name in ("u.npy", "last.npy")] == ["vectors", "images"]


def test_pictures_of_several_sizes_are_measured_once_they_are_cut_and_shrunk(digits, tmp_path):
    """What they were made of stands beside every number: cut pictures are not compared with whole ones."""
    for row, image in enumerate(digits[0].data[:12, 0]):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        Image.fromarray(np.pad(image, ((0, 0), (row % 3, row % 3)))).save(tmp_path / "mixed" / f"{row:02}.png")
    cut = pools.read(tmp_path / "mixed", crop="centre")
    np.testing.assert_array_equal(cut.data, digits[0].data[:12])
    assert (cut.resize, pools.read(tmp_path / "mixed", crop="centre", resolution=4).resize) == (
        "centre",
        "centre, area to 4",
    )
    assert pools.read(tmp_path / "mixed", crop="centre", streamed=True).shape == "(1, 8, 8)"
    told = run("measure mixed --against mixed --extractor pixels --metric recall", tmp_path, code=2)
    assert "8 of 12 images cannot be read as they are; set resolution (--resolution N) to make them equal" in told
    assert "found 'middle'; allowed: none, centre" in run(
        "measure mixed --against mixed --crop middle", tmp_path, code=2
    )


def test_pictures_are_let_go_and_have_the_hash_of_their_content(folder, digits):
    pictures = pools.read(folder / "fake", channels=1, count=9, streamed=True).data
    assert len(pictures) == 9
    rows = [int(name[-12:-4]) for name in pictures.names]
    assert rows == sorted(rows) and rows != list(range(9))  # by lot
    np.testing.assert_array_equal(np.stack(list(pictures)), digits[0].data[rows])
    first = pictures.digest
    assert len(list(pictures)) == 9 and pictures.digest == first
    fewer = pools.read(folder / "fake", channels=1, count=8, streamed=True).data
    assert len(list(fewer)) == 8 and fewer.digest != first


def test_names_of_files_are_known(folder):
    assert len(pools.read(folder / "fake").called) == 300 and pools.read(folder / "u.npy").called is None


BAD_ARRAYS = {
    "objects": np.array([{}, {}], object),
    "floats": np.zeros((4, 3, 8, 8), np.float32),
    "channels": np.zeros((4, 8, 8, 2), np.uint8),
    "text": np.array(["a", "b"]),
    "no rows": np.zeros((0, 3)),
    "no pixels": np.zeros((4, 3, 0, 0), np.uint8),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_other_arrays_are_refused(kind, tmp_path):
    path = tmp_path / "bad.npy"
    np.save(path, BAD_ARRAYS[kind], allow_pickle=True)
    with pytest.raises(ValueError, match=r"bad\.npy: (found|cannot be read)"):
        pools.read(path)


def test_pictures_are_kept_or_decoded_again(folder, monkeypatch):
    kept, again = (pools.read(folder / "fake", streamed=True).data for _ in range(2))
    kept.survey()
    monkeypatch.setattr(pools, "KEPT_BYTES", 99)
    again.survey()
    assert kept._kept is not None and again._kept is None
    np.testing.assert_array_equal(np.stack(list(again)), np.stack(list(kept)))


def test_some_are_drawn_by_lot_from_all_classes(tmp_path):
    samples = Digits().load()
    export_folder(SampleSet(samples.data[:600], samples.labels[:600]), tmp_path / "digits")
    for streamed in (True, False):
        pool = pools.read(tmp_path / "digits", count=120, streamed=streamed)
        drawn = {name.partition("/")[0] for name in pool.called}
        assert len(drawn) == 10 and len(pool.data) == 120 and pool.drawn == "120 of 600 by seed 0"
    assert pools.read(tmp_path / "digits", count=120, seed=1).called != pool.called
    assert pools.read(tmp_path / "digits", count=700).drawn == ""


def test_the_same_pictures_are_known_in_any_file(folder, digits, tmp_path):
    """In a folder, a zip or an array, in another order, by other names, in grey or as colours that are all alike."""
    _, real, _ = digits
    export_folder(real, tmp_path / "folder")
    order = np.random.default_rng(0).permutation(len(real))
    export_folder(SampleSet(real.data[order]), tmp_path / "renamed")
    np.save(tmp_path / "colour.npy", np.repeat(real.data, 3, axis=1))
    found = [
        pools.read(tmp_path / name, streamed=streamed)
        for name in ("folder", "renamed", "colour.npy")
        for streamed in (True, False)
    ]
    found += [pools.read(folder / name) for name in ("real.zip", "real.npz")]
    assert len({pool.content for pool in found}) == 1
    assert pools.shared(found[0], found[2]) == len(real)
    assert pools.read(folder / "fake").content != found[0].content
    assert pools.read(folder / "u.npy").content != pools.read(folder / "v.npy").content


# -- measure -----------------------------------------------------------------------------------------------------------


def test_it_gives_what_the_metrics_give(folder, tmp_path):
    text = run(f"measure {folder}/u.npy --against {folder}/v.npy --out {tmp_path}/record.json", tmp_path)
    record = store.read_json(tmp_path / "record.json")
    fake, real = np.load(folder / "u.npy"), np.load(folder / "v.npy")
    found = {entry["metric"]: entry for entry in record["values"]}
    for name in ("frechet_distance", "recall", "coverage", "kernel_distance"):
        assert found[name]["value"] == pytest.approx(float(METRICS[name](real, fake)), rel=1e-12)
        assert f"{found[name]['value']:.6g}" in text
    made = record["fingerprints"][found["recall"]["fingerprint"]]
    assert (made["n_fake"], made["n_real"], made["option_k"], made["set"]) == (300, 300, 5, "sampled")
    assert re.search(r"^  recall +higher +0\.", text, re.MULTILINE) and "--train" in text
    assert found["recall"]["low"] <= found["recall"]["value"] <= found["recall"]["high"]


PERFECT = "train.npy", "real.zip"  # what a perfect model would be: training images against those held out


def test_options_training_images_and_scores(folder, tmp_path):
    text = run(
        f"measure {folder}/fake --against {folder}/real.zip --train {folder}/train.npy --channels 1 --extractor pixels "
        "--extractor colours --metric recall='{\"k\": 3}' --metric authenticity --metric colour_share --count 200 "
        f"--out {tmp_path}/record.json --scores {tmp_path}/scores.csv",
        tmp_path,
    )
    assert "authenticity.held_out" in text and "colour_share.grey" in text and "200 samples of" in text
    record = store.read_json(tmp_path / "record.json")
    assert {entry["metric"].split(".")[0] for entry in record["values"]} == {"recall", "authenticity", "colour_share"}
    assert {made.get("option_k") for made in record["fingerprints"].values()} == {3, None}
    perfect = {entry["metric"]: entry["value"] for entry in record["values"] if entry["set"] == "real"}
    other, real = (pools.read(folder / name, count=200).data.reshape(200, -1) for name in PERFECT)
    expected = METRICS["recall"](real / 127.5 - 1, other / 127.5 - 1, k=3)
    assert perfect["recall"] == pytest.approx(float(expected)) and f"{perfect['recall']:.6g}" in text
    extractors = [entry["extractor"] for entry in record["values"]]
    assert extractors == sorted(extractors, reverse=True)  # in the order in which they were asked for
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert len(rows) == 200 and rows[0]["sample"].endswith(".png") and float(rows[0]["nearest_distance.pixels"]) > 0


MISTAKES = {
    "measure nosuch --against v.npy": ["nosuch"],
    "measure u.npy --against v.npy --extractor pixels": ["'pixels'", "vectors"],
    "measure u.npy --against v.npy --extractor inceptoin": ["'inceptoin'", "inception"],
    "measure u.npy --against real.zip": ["vectors", "images", "one kind"],
    "measure u.npy --against v.npy --metric recal": ["'recal'", "recall"],
    "measure u.npy --against v.npy --metric authenticity": ["'authenticity'", "--train"],
    "measure u.npy --against v.npy --metric colour_share": ["'colour_share'", "identity"],
    "measure classes.npy --against classes.npy --metric recall": ["'recall' measures distances", "class_entropy"],
    "measure u.npy --against v.npy --metric class_entropy": ["'class_entropy' reads classes", "identity", "recall"],
    "measure fake --against real.zip --train real.npz --extractor pixels --metric copies_of_training": ["of a study"],
    "measure u.npy --against v.npy --metric 'recall={\"k\": 0}'": ["k", "1"],
    "measure u.npy --against v.npy --metric 'recall={k}'": ["JSON"],
    "measure u.npy --against v.npy --resolution 8": ["resolution"],
    "measure u.npy --against v.npy --crop centre": ["a crop of centre"],
    "measure u.npy": ["--against"],
    "measure fake --against real.zip --extractor pixels --channels 1 --resolution 4 --train train.npy": ["resolution"],
    "measure fake --against wide.npy --extractor pixels": ["(1, 8, 8)", "(1, 8, 9)"],
    "measure fake --against real.zip --train same.npy --extractor pixels": ["--train same.npy", "the same 300 samples"],
    "measure fake --against real.zip --extractor lenet": ["lenet=FILE"],
    "measure fake --against real.zip --extractor lenet=vectors.safetensors": ["no weights of lenet"],
    "measure fake --against real.zip --extractor pixels=u.npy": ["pixels has no weights"],
    "measure fake --against real.zip --extractor pixels --channels 2": ["--channels", "1, 3"],
    "measure u.npy --against v.npy --metric recall --metric 'recall={}'": ["--metric", "'recall'", "once"],
    "measure vectors.safetensors --against v.npy --resolution 8": ["resolution"],
    "measure u.npy --against v.npy --out fake": ["fake", "folder"],
}


def test_few_samples_have_what_they_determine(folder, tmp_path):
    """Training images too few for a score, and a row that is not finite, leave gaps and say why."""
    for name, rows in (("few.npy", slice(9)), ("others.npy", slice(9, 18))):
        np.save(tmp_path / name, np.load(folder / "train.npy")[rows])
    pictures = f"{folder}/last.npy --against {tmp_path}/few.npy --train {tmp_path}/others.npy --extractor pixels"
    text = run(f"measure {pictures} --scores {tmp_path}/scores.csv", tmp_path)
    assert re.search(r"copies_of_real .*undefined .*real: found 9 rows, needed are at least 50", text)
    row = next(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert row["nearest_ratio.pixels"] == "" and float(row["nearest_distance.pixels"]) > 0
    vectors = np.load(folder / "u.npy")
    vectors[3, 0] = np.nan
    np.save(tmp_path / "broken.npy", vectors)
    text = run(f"measure {tmp_path}/broken.npy --against {folder}/v.npy --scores {tmp_path}/none.csv", tmp_path)
    assert re.search(r"recall .*undefined .*fake: 1 of 300 rows have features that are not finite", text)


@pytest.mark.parametrize("arguments", MISTAKES)
def test_bad_input_is_named(folder, arguments):
    before = sorted(folder.rglob("*"))
    text = run(arguments, folder, code=2)
    for word in MISTAKES[arguments]:
        assert word in text, text
    assert sorted(folder.rglob("*")) == before


def test_an_extractor_without_options_takes_none():
    with pytest.raises(typer.BadParameter, match="identity has no options"):
        settings_of(FEATURES["identity"], "identity", {"k": 1})


def test_without_the_weights_it_says_how_to_get_them(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = run("measure fake --against real.zip", folder, code=2)
    assert "collapselab weights fetch inception\n" in text and str(tmp_path) in text
    assert "needs none: pixels, random-conv" in text  # and what can be had at once


def test_a_measurement_says_how_far_it_is_picture_by_picture(folder, tmp_path, capsys, heard):
    pytest.importorskip("transformers")
    path = stand_ins.make("dinov2", tmp_path)
    measure_outside(folder / "fake", folder / "real.zip", extractor=[f"dinov2={path}"], metric=["precision"], count=70)
    told = capsys.readouterr()
    read = [loops[-1][2] for loops in heard if loops[-1][0] == "pictures read" and loops[-1][3] == 70]
    assert read == [*range(1, 71), *range(1, 71)]  # both sides, before all else
    looked = [loops for loops in heard if loops[-1][0] == "images"]
    assert [loops[-1][2:] for loops in looked] == [(done, 70) for done in [*range(1, 71)] * 2]
    assert {loops[0][:2] for loops in looked} == {("feature spaces", "dinov2")}
    assert [loops[1][1] for loops in looked] == ["sampled"] * 70 + ["held_out"] * 70
    numbers = [loops for loops in heard if loops[-1][0] == "metrics"]
    assert numbers == [[("sets", "sampled dinov2", 0, 1), ("metrics", "precision", 1, 1)]]
    assert "dinov2: 70 samples of" in told.out and "metrics" not in told.err  # of work that is done in two seconds


def test_what_real_samples_share_is_counted(folder, digits, tmp_path):
    _, real, train = digits
    np.save(tmp_path / "leaky.npy", np.concatenate([train.data, real.data[:12]]))
    np.save(tmp_path / "copies.npy", np.concatenate([real.data[:5], train.data[:7]]))
    command = f"measure {tmp_path}/copies.npy --against {folder}/real.zip --train {tmp_path}/leaky.npy"
    text = run(f"{command} --extractor pixels --metric precision --out {tmp_path}/record.json", tmp_path)
    assert "12 of 300 samples of --against are also in --train: what a perfect model scores is then too good" in text
    assert "12 of 12 samples of what is measured are also in --train: they are copies" in text
    counts = {"held_out/train": 12, "sampled/train": 12, "sampled/held_out": 5}
    assert store.read_json(tmp_path / "record.json")["shared"] == counts


def test_other_orders_and_files_compare_and_other_formats_do_not(folder, digits, tmp_path):
    fake, real, _ = digits
    for name, kind in (("png", "PNG"), ("jpeg", "JPEG")):
        (tmp_path / name).mkdir()
        for row, pixels in enumerate(fake.data[:40]):
            Image.fromarray(pixels[0]).save(tmp_path / name / f"{row}.{name}", kind, quality=75)
    np.save(tmp_path / "turned.npy", real.data[::-1])
    called = {
        "zip": f"png --against {folder}/real.zip",
        "npy": "png --against turned.npy",
        "two": f"png --against {folder}/real.npz --extractor spectrum",
        "jpeg": f"jpeg --against {folder}/real.zip",
    }
    said = {
        name: run(f"measure {words} --extractor pixels --metric recall --out {name}.json", tmp_path)
        for name, words in called.items()
    }
    assert "warning" not in said["zip"] and "40 images; passed over: nothing" in said["zip"]
    assert "not all are stored alike (what is measured: JPEG; --against: without loss)" in said["jpeg"]
    for other in ("npy", "two"):
        text = run(f"compare zip.json {other}.json", tmp_path)
        assert re.search(r"recall \(pixels, sampled\) .*equal", text), text
    text = run("compare zip.json jpeg.json", tmp_path, code=2)
    assert "stored_fake is 'without loss' in zip.json and 'JPEG' in jpeg.json: recall (pixels)" in text


def test_pictures_that_are_smaller_than_what_is_asked_for_are_said_to_be_enlarged(tmp_path):
    """In a folder and a zip, by the files' own words; the cure is the side that enlarges none."""
    draws = np.random.default_rng(0)
    for name, sides in (("small", (8, 9, 20)), ("large", (16, 16, 20))):
        (tmp_path / name).mkdir()
        for number, side in enumerate(sides):
            pixels = draws.integers(0, 256, (side, side + 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.{('png', 'jpg')[number % 2]}")
    line = "measure small --against large --crop centre --extractor pixels --metric frechet_distance"
    said = run(f"{line} --resolution 16", tmp_path)
    (warning,) = re.findall(r"warning: (\w+): (.*pictures .*)", said)
    assert warning[0] == "small" and warning[1].startswith("2 of 3 pictures are smaller than 16 x 16 pixels and were ")
    assert warning[1].endswith("; --resolution 8 enlarges none")
    assert "enlarged" not in run(f"{line} --resolution 8", tmp_path)


def test_a_count_that_is_more_than_there_are_is_said(folder, tmp_path):
    said = run(f"measure {folder}/last.npy --against {folder}/real.npz --extractor pixels --count 5000", tmp_path)
    assert len(re.findall(r"; all taken, which are fewer than --count 5000", said)) == 2, said
    said = run(f"measure {folder}/last.npy --against {folder}/real.npz --extractor pixels --count 10", tmp_path)
    assert "fewer than" not in said and len(re.findall("drawn: 10 of", said)) == 2


def test_a_record_of_an_earlier_version_is_compared_with_a_sentence(folder, tmp_path):
    run(f"measure {folder}/last.npy --against {folder}/real.npz --extractor pixels --out new.json", tmp_path)
    record = store.read_json(tmp_path / "new.json")
    for made in record["fingerprints"].values():
        for field in compare.SINCE:
            made.pop(field, None)
    store.write_json(tmp_path / "old.json", record)
    text = run("compare old.json new.json", tmp_path)
    assert "measured by an earlier version: A does not tell stored_real, which is 'without loss' in B" in text
    assert re.search(r"recall \(pixels, sampled\) .*equal", text) and "reference_content" not in text
    for made in record["fingerprints"].values():
        made["reference_hash"] = "0" * 64
    store.write_json(tmp_path / "old.json", record)
    assert "reference_hash is 000000000000 in old.json" in run("compare old.json new.json", tmp_path, code=2)


def test_pictures_that_cannot_be_read_are_told_before_any_network_runs(folder, digits, tmp_path, monkeypatch, capsys):
    for side in ("a", "b"):
        export_folder(SampleSet(digits[0].data[:9]), tmp_path / side)
        (tmp_path / side / "img00000008.png").write_bytes(b"x")
        (tmp_path / side / "img00000002.png").write_bytes(b"")
    monkeypatch.setattr(pools.Pictures, "__iter__", lambda pictures: pytest.fail("a network looks at them"))
    with pytest.raises(ValueError, match="2 of 9 images") as caught:
        found = {
            role: pools.read(tmp_path / side, streamed=True) for role, side in (("samples", "a"), ("against", "b"))
        }
        sets.survey(found)
    for side in ("a", "b"):
        assert f"path: '{tmp_path / side}': 2 of 9 images cannot be read" in str(caught.value)
    text = run("measure a --against b --extractor pixels", tmp_path, code=2)
    assert text.count("2 of 9 images cannot be read") == 2 and "'img00000008.png'" in text


def test_names_of_samples_are_run_by_no_spreadsheet():
    names = ["=cmd|'/c calc'!A0.png", "+1.png", "-1.png", "@SUM(1).png", "\tx.png", "a=b.png", os.fsdecode(b"\xff.png")]
    rows = list(csv.reader(outside.csv_of({"realism": np.arange(7.0)}, names).splitlines()))
    assert [row[0] for row in rows[1:]] == [*(f"'{name}" for name in names[:5]), "a=b.png", "\\xff.png"]


def test_look_says_what_lies_at_a_place(folder, digits, tmp_path):
    for name in ("1", "2", "10", "@eaDir", "2/deeper"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.fromarray(digits[0].data[0, 0]).save(tmp_path / "classes" / name / "x.png")
    (tmp_path / "classes" / "2" / "y.webp").write_bytes(b"")
    text = run("look classes", tmp_path)
    assert "3 images in 3 folders, which are their labels; passed over: " in text
    assert "1 .webp, 1 in @eaDir/, 1 in the deeper folder 2/deeper/" in text
    assert [line.strip() for line in text.splitlines() if "label " in line] == [
        f"label {label}: 1 images of {name}/" for label, name in enumerate(("1", "2", "10"))
    ]
    assert "3 PNG; grey; 8 x 8 pixels" in text
    assert "300 samples, uint8 of shape (8, 8, 1)" not in run("look last.npy", folder)
    assert "300 samples, uint8 of shape (1, 8, 8)" in run("look last.npy", folder)
    (tmp_path / "classes" / "dataset.json").write_text('{"labels": [["1/x.png", [0.5]]]}')
    text = run("look classes", tmp_path)
    assert "labels cannot be read" in text and "3 images; passed over" in text
    assert "no such file" in run("look nowhere", tmp_path, code=2)


def test_prepare_says_what_it_read_and_passed_over(digits, tmp_path):
    export_folder(SampleSet(digits[0].data, np.arange(300) % 12), tmp_path / "twelve")
    for name in ("0", "00002/deeper"):
        (tmp_path / "twelve" / name).mkdir(exist_ok=True)
        Image.fromarray(digits[0].data[0, 0]).save(tmp_path / "twelve" / name / "x.png")
    said = {"sizes": '{"train": 9}', "part": "train=out.safetensors", "options": '{"path": "twelve"}'}
    command = "prepare --source folder " + " ".join(f"--{key} '{value}'" for key, value in said.items())
    assert "301 images in 13 folders, which are their labels; passed over: 1 in the deeper folder" in run(
        command, tmp_path
    )


# -- compare -----------------------------------------------------------------------------------------------------------


def test_two_records_side_by_side(folder, tmp_path):
    measure = "measure {fake} --against {folder}/v.npy {more} --out {out}"
    for fake, more, out in (
        ("u.npy", "", "one.json"),
        ("v.npy", "", "other.json"),
        ("u.npy", "--metric 'recall={\"k\": 3}'", "unlike.json"),
        ("u.npy", "--count 200", "fewer.json"),
    ):
        run(measure.format(fake=folder / fake, folder=folder, more=more, out=tmp_path / out), tmp_path)
    text = run("compare one.json other.json", tmp_path)
    line = next(line for line in text.splitlines() if line.startswith("recall (identity, sampled)"))
    recalls = [
        next(entry["value"] for entry in store.read_json(tmp_path / name)["values"] if entry["metric"] == "recall")
        for name in ("one.json", "other.json")
    ]
    assert all(f"{number:.6g}" in line for number in recalls)
    text = run("compare one.json unlike.json", tmp_path, code=2)
    assert "option_k is 5 in one.json and 3 in unlike.json: recall (identity)" in text
    text = run("compare one.json fewer.json", tmp_path, code=2)
    assert "n_fake is 300 in one.json and 200 in fewer.json" in text and "\nrecall" not in text
    assert "no metrics.json" in run("compare . one.json", tmp_path, code=2)


def record(value=0.5, **fields):
    made = {"metric": "recall", "extractor": "lenet", "set": "sampled", "n_fake": 100, "sampler": "heun"} | fields
    entry = {"metric": "recall", "extractor": "lenet", "set": "sampled", "value": value, "fingerprint": "f"}
    return {"values": [entry], "fingerprints": {"f": made}}


def test_what_was_made_differently_is_said_and_compared():
    found = compare.compare({"": record()}, {"": record(0.75, sampler="ddim")})
    assert not found.unlike and found.made == {"sampler": ("heun", "ddim")}
    assert found.pairs == [compare.Pair("", "sampled", "lenet", "recall", 0.5, 0.75)]
    assert "sampler is 'heun' in A and 'ddim' in B" in compare.table(found, "a", "b")


def test_many_cells_are_summed_up(tmp_path):
    for side, values in (("a", [0.5, 0.25, None]), ("b", [0.5, 0.75, None])):
        for seed, value in enumerate(values):
            store.write_json(tmp_path / side / f"seed{seed}" / "metrics.json", record(value))
    store.write_json(tmp_path / "b" / "seed3" / "metrics.json", record())
    found = compare.compare(compare.load(tmp_path / "a"), compare.load(tmp_path / "b"))
    text = compare.table(found, "a", "b")
    assert "2 of 3" in text and "+0.5" in text and "seed1" in text and "1 numbers are in only one" in text


def test_a_file_that_is_no_record_is_named(tmp_path):
    store.write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(ValueError, match=r"x\.json.*not a record"):
        compare.load(tmp_path / "x.json")


def test_records_are_plain_json(folder, tmp_path):
    run(f"measure {folder}/u.npy --against {folder}/v.npy --out record.json", tmp_path)
    json.loads((tmp_path / "record.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no number"))
