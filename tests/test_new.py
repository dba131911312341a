"""A new study: the commented one, one like another, and one that fits somebody's own pictures."""

import csv
import json
import os
import re
import subprocess
import sys

import forked
import numpy as np
import pytest
import yaml
from PIL import Image
from project import ENVIRONMENT, ROOT

from collapselab import store
from collapselab import study as studies
from collapselab.cli import gc as room
from collapselab.data import pictures as reading
from collapselab.data.archive import DatasetZip
from collapselab.data.digits import Digits
from collapselab.data.enlarging import unlike
from collapselab.data.folder import ImageFolder
from collapselab.data.survey import Surveyed, survey
from collapselab.study import from_pictures
from collapselab.study.from_pictures import FITS, GENERATIONS


def run(words, folder, code=0):
    """What a verb says in a folder, to a terminal and to its standard error."""
    done = forked.run(["collapselab", *words.split()], folder)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return f"{done.stdout}\n{done.stderr}"


def put(folder, pixels, mode=None):
    """A picture of pixels (H, W) or (H, W, 3) in a folder; the pictures there are numbered."""
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    image = image if mode is None else image.convert(mode)
    image.save(folder / f"{len(list(folder.iterdir()))}.png")


@pytest.fixture
def grey(tmp_path):
    """300 handwritten digits of 8x8 pixels, half of them stored as colours, as scanners and cameras do."""
    for row, image in enumerate(Digits().load().data[:300, 0]):
        put(tmp_path / "grey", image, "RGB" if row % 2 else None)
    return tmp_path


# -- in any folder ----------------------------------------------------------------------------------------------------


def test_shipped_studies_are_found_by_name_and_the_folders_own_come_first(tmp_path):
    assert "smoke: ok" in run("validate smoke", tmp_path)
    assert "yi: ok" in run("validate config/papers/yi.yaml", tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "smoke.yaml").write_text("name: smoke\n")
    assert "arms" in run("validate smoke", tmp_path, code=2)
    assert "no such study" in run("validate nowhere", tmp_path, code=2)


def test_room_is_made_of_the_real_data_of_shipped_studies_too(tmp_path, monkeypatch, capsys):
    """Whether real data are of a study that is still there can be said of those that come with the package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "smoke").mkdir(parents=True)
    (tmp_path / "results" / "real" / "digits-0").mkdir(parents=True)
    (tmp_path / "results" / "real" / "digits-0" / "train.safetensors").write_bytes(b"of nobody")
    assert [one.bytes for one in room._real_data()] == [9] and not capsys.readouterr().out
    (tmp_path / "results" / "stranger").mkdir()
    assert list(room._real_data()) == []
    assert "real data stays: results/stranger is of no study" in capsys.readouterr().out


def test_stages_are_a_clones(tmp_path):
    told = run("stages --out dvc.yaml", tmp_path, code=2)
    assert "stages hang on Snakefile, which only a clone has" in told and not (tmp_path / "dvc.yaml").exists()


def test_a_new_study_has_the_schema_beside_it_and_names_the_next_commands(tmp_path):
    told = run("new mine", tmp_path)
    assert "next: collapselab validate mine; collapselab plan mine; collapselab run mine" in told
    first = (tmp_path / "config/mine.yaml").read_text().partition("\n")[0]
    (schema,) = re.findall(r"\$schema=(\S+)", first)
    assert json.loads((tmp_path / "config" / schema).read_text())["title"] == "A collapselab study"
    (tmp_path / "config" / schema).write_text("{}")  # somebody's own stays
    run("new other", tmp_path)
    assert (tmp_path / "config" / schema).read_text() == "{}"


@pytest.mark.parametrize("like", ["quickstart", "config/papers/yi.yaml"])
def test_a_study_like_another_says_the_same_under_its_own_name(like, tmp_path):
    run(f"new mine --like {like}", tmp_path)
    path = ROOT / like if like.endswith(".yaml") else ROOT / "config" / f"{like}.yaml"
    text = (tmp_path / "config/mine.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=study.schema.json\n")
    assert yaml.safe_load(text) == yaml.safe_load(path.read_text(encoding="utf-8")) | {"name": "mine"}
    assert text.count("#") == path.read_text(encoding="utf-8").count("#") + 1


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("new quickstart", "comes with the package"),
        ("new real", "not 'real'"),
        ("new a/b", "letters, digits"),
        ("new mine --like nowhere", "no such study"),
        ("new mine --from nowhere", "there is no 'nowhere'"),
        ("new mine --from readme.txt", "a folder or a .zip"),
        ("new mine --from empty", "has no images"),
        ("new mine --from broken", "is neither PNG nor JPEG"),
        ("new mine --from few", "found 5 pictures; a study needs 24"),
        ("new mine --from few", "found a side of 4 pixels"),
        ("new mine --like smoke --from few", "allowed is one of them"),
        ("new mine --resolution 8", "found no --from"),
    ],
)
def test_what_cannot_be_begun_is_told_and_nothing_is_written(words, found, tmp_path):
    (tmp_path / "readme.txt").write_text("pictures")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_bytes(b"hello")
    for value in range(5):
        put(tmp_path / "few", np.full((4, 4), value, np.uint8))
    assert found in run(words, tmp_path, code=2)
    assert not (tmp_path / "config").exists()


# -- looking at pictures ----------------------------------------------------------------------------------------------


def test_pictures_are_surveyed_as_they_are(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for label in (0, 1, 1):
        put(tmp_path / "two" / f"class{label}", random.integers(0, 256, (9, 12), np.uint8), "RGB" if label else None)
    put(tmp_path / "two" / "class1", random.integers(0, 256, (20, 9, 3), np.uint8))
    (tmp_path / "two" / "class0" / "copy.png").write_bytes((tmp_path / "two/class0/0.png").read_bytes())
    (tmp_path / "two" / "notes.txt").write_text("x")
    told = []

    def counted(items, unit, of):
        for row, one in enumerate(items, 1):
            told.append((row, unit, of))
            yield one

    with monkeypatch.context() as patch:  # each says that it has been read
        patch.setattr(reading, "counted", counted)
        found = survey(ImageFolder(path=tmp_path / "two"))
    assert found == Surveyed(5, 3, 9, 20, False, [2, 3], False, 1, "1 .txt")
    assert told == [(row, "pictures read", 5) for row in (1, 2, 3, 4, 5)]
    assert survey(ImageFolder(path=tmp_path / "two" / "class0")) == Surveyed(2, 1, 9, 12, False, [], False, 1, "")


def test_greys_that_are_stored_as_colours_are_grey(grey, tmp_path):
    found = survey(ImageFolder(path=tmp_path / "grey"))
    assert (found.count, found.channels, found.side, found.square, found.labels) == (300, 1, 8, True, [])
    put(tmp_path / "grey", np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    assert survey(ImageFolder(path=tmp_path / "grey")).channels == 3


@pytest.mark.parametrize("count", [24, 100, 199, 200, 300, 1_000, 5_000, 60_000, 2_000_000])
@pytest.mark.parametrize("most", sorted({fit.rows for fit in FITS.values()}))
def test_pictures_are_shared_out_and_none_twice(count, most):
    split = from_pictures.rows(count, most)
    assert split.train + split.held_out + GENERATIONS * split.fresh + split.validation <= count
    assert 12 <= split.train <= most and 8 <= split.held_out <= 10_000 and 0 <= split.fresh <= split.train // 4
    assert (split.fresh > 0) == (count >= 200) and (split.validation > 0) == (count >= 1_000)


@pytest.mark.parametrize("preset", FITS)
@pytest.mark.parametrize("labels", [[], [100, 200], [299, 1]])
def test_a_study_of_pictures_of_any_size_is_a_right_study(preset, labels, tmp_path):
    """Its preset takes pictures of that size: what validates is what would run."""
    side = FITS[preset].sides[-1]
    put(tmp_path, np.arange(side**2, dtype=np.uint8).reshape(side, side))
    content = (tmp_path / "0.png").read_bytes()
    for label, many in enumerate(labels or [300]):
        folder = tmp_path / "own" / (f"class{label}" if labels else "")
        folder.mkdir(parents=True)
        for row in range(many):
            (folder / f"{row}.png").write_bytes(content)
    found = survey(ImageFolder(path=tmp_path / "own"))
    assert found == Surveyed(300, 1, side, side, True, labels, False, 299, "")
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "mine.yaml"
    path.write_text(from_pictures.text("mine", found, "folder", str(tmp_path / "own"), side), encoding="utf-8")
    study = studies.load(path)
    told_apart = 2 if labels == [100, 200] else 0
    options = study.parsed_options("model")
    assert (options.preset, options.classes) == (preset, told_apart)
    assert study.shape == (1, side, side)
    assert study.file.primary.extractor == ("lenet" if told_apart else "random-conv")
    assert study.file.initial.real == 170 and list(study.file.arms) == ["fully_synthetic", "half_real", "fresh_data"]


def test_what_to_expect_is_told():
    plain = Surveyed(10_000, 3, 64, 64, True, [2_500] * 4)
    assert list(from_pictures.notes(plain._replace(side=28), 28, True)) == []
    assert list(from_pictures.notes(plain._replace(side=15), 15, False)) == []
    shrunk, hours = from_pictures.notes(plain, from_pictures.side_of(plain, False), False)
    assert shrunk == "pictures are shrunk to 28 x 28 pixels; with a GPU: --resolution 64"
    assert "takes hours" in hours and "--resolution 15" in hours
    assert from_pictures.preset_of(15) == "tiny"
    assert from_pictures.side_of(plain, True) == 64 and from_pictures.side_of(plain._replace(side=30), True) == 28
    few = Surveyed(300, 1, 28, 28, True, [290, 10], False, 7)
    told = "\n".join(from_pictures.notes(few, 28, False))
    assert "170 pictures are few" in told and "a class of 10 pictures" in told and "7 pictures are copies" in told
    assert "needs a GPU" in "\n".join(from_pictures.notes(plain, 64, False))


def test_pictures_that_are_passed_over_are_named_where_too_few_are_left():
    few = Surveyed(15, 1, 28, 28, True, passed="15 in the deeper folder a/b/")
    (said,) = from_pictures.faults(few, None)
    assert said.startswith("found 15 pictures (passed over: 15 in the deeper folder a/b/); a study needs 24")


def test_a_folder_of_grey_pictures_becomes_a_study_that_validates(grey, tmp_path):
    told = run("new mine --from grey", tmp_path)
    assert "300 pictures, grey, sides of 8 pixels, no labels" in told and "few to train on" in told
    raw = yaml.safe_load((tmp_path / "config/mine.yaml").read_text(encoding="utf-8"))
    assert raw["data"]["source"] == {"folder": {"path": "grey", "channels": 1}}
    assert "mine: ok" in run("validate mine", tmp_path)


def test_a_zip_of_pictures_does_as_well(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for row, image in enumerate(Digits().load().data[:40, 0]):
            put(tmp_path / "one", image)
            archive.write(tmp_path / "one" / f"{row}.png", f"{row}.png")
    assert survey(DatasetZip(path=tmp_path / "own.zip")).count == 40
    run("new mine --from own.zip", tmp_path)
    assert "mine: ok" in run("validate mine", tmp_path)
    # A resolution that enlarges them is said where the study is checked: in a zip, and in a folder.
    path = tmp_path / "config" / "mine.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count('{path: "own.zip"') == 1 and "enlarged" not in run("validate mine", tmp_path)
    for where in ("own.zip", "one"):
        source = f'{{path: "{where}", resolution: 12'
        path.write_text(
            text.replace('{path: "own.zip"', source).replace("{zip:", "{folder:" if where == "one" else "{zip:"),
            encoding="utf-8",
        )
        told = run("validate mine", tmp_path)
        assert "note: 40 of 40 pictures that were looked at are smaller than 12 x 12 pixels and are enlarged" in told
        assert told.rstrip().endswith("resolution: 8 enlarges none")
    put(tmp_path / "one", np.zeros((16, 64), np.uint8))
    told = run("validate mine", tmp_path, code=2)
    assert "data.source.folder: '40.png' has 16 x 64 pixels, and only square pictures can be resized: say crop" in told


@pytest.mark.parametrize(
    ("said", "sizes", "found"),
    [
        ("", [(40, 32), (16, 64)], "'0.png' has 40 x 32 pixels, '1.png' has 16 x 64, and all must be of one size: "
         "say resolution: N, crop: centre, where N"),
        (", crop: centre", [(40, 32), (16, 64)], "'0.png' has 32 x 32 pixels, '1.png' has 16 x 16, .*: say "
         "resolution: N, where N"),
        (", resolution: 8", [(40, 40), (16, 64)], "'1.png' has 16 x 64 pixels, and only square .*: say crop: centre"),
        (", resolution: 8, crop: centre", [(40, 32), (16, 64)], ""),
        (", resolution: 8", [(40, 40), (16, 16)], ""),
        (", crop: centre", [(16, 32), (64, 16)], ""),
        ("", [(16, 16)], ""),
    ],
)  # fmt: skip
def test_pictures_that_cannot_lie_together_are_a_fault_of_the_study(said, sizes, found, tmp_path):
    for row in range(6):
        height, width = sizes[row % len(sizes)]
        put(tmp_path / "own", np.full((height, width), row, np.uint8))
    dataset = ImageFolder.model_validate(dict(path=tmp_path / "own", **yaml.safe_load(f"{{{said[2:]}}}")))
    if found:
        with pytest.raises(ValueError, match="cannot be read as they are"):
            dataset.load()
    else:
        dataset.load()
    fault = unlike(dataset, dataset.listing().names)
    assert (fault is not None) == bool(found) and re.search(found, fault or "")


def turned_pictures(folder, like):
    """Four pictures, of which every second one's file says that it is shown turned by a quarter."""
    folder.mkdir()
    for row in range(4):
        turned = Image.Exif()
        turned[0x0112] = 6 if row % 2 else 1
        image = Image.fromarray(np.full(like[row % 2], row, np.uint8))
        image.save(folder / f"{row}.jpg", exif=turned)
    return ImageFolder(path=folder)


def test_a_picture_that_its_file_turns_is_of_the_size_that_is_read(tmp_path):
    dataset = turned_pictures(tmp_path / "own", [(24, 16), (16, 24)])
    assert dataset.load().data.shape == (4, 1, 24, 16) and unlike(dataset, dataset.listing().names) is None


def test_pictures_of_a_camera_that_was_held_both_ways_cannot_lie_together(tmp_path):
    dataset = turned_pictures(tmp_path / "own", [(24, 16), (24, 16)])
    with pytest.raises(ValueError, match="cannot be read as they are"):
        dataset.load()
    told = "'0.jpg' has 24 x 16 pixels, '1.jpg' has 16 x 24, and all must be of one size"
    assert told in unlike(dataset, dataset.listing().names)


@pytest.mark.slow
def test_a_study_of_300_unlabelled_grey_pictures_runs_and_its_report_is_right(grey, tmp_path):
    """As it was written, but for the budget, the seeds and the generations."""
    run("new mine --from grey", tmp_path)
    path = tmp_path / "config/mine.yaml"
    text = path.read_text(encoding="utf-8")
    for key, value in (("train", "{images_seen: 6400}"), ("seeds", "1"), ("generations", "1")):
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "collapselab", "run", "mine", "--cores", "2"],
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=1_800,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (train,) = (tmp_path / "results" / "real").glob("folder-*/train*.safetensors")
    real = store.read_samples(train)
    assert real.data.shape == (170, 1, 8, 8) and real.labels is None
    report = tmp_path / "results/mine/report"
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "170 to train on, 100 held out, 30 fresh" in page and "preset tiny, classes 0" in page
    assert "random-conv" in page and "lenet" not in page and "class_histogram" not in page
    with (report / "primary.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    arms = ("control", "fully_synthetic", "half_real", "fresh_data")
    assert len(rows) == 2 and all(0 <= float(row[arm]) <= 1 for row in rows for arm in arms)


# -- in a workflow of somebody's own ----------------------------------------------------------------------------------


def test_the_workflow_is_a_module_of_another_outside_a_clone(tmp_path):
    """As the docs write it."""
    page = (ROOT / "docs" / "anywhere.md").read_text(encoding="utf-8")
    (text,) = (one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "module" in one)
    (tmp_path / "Snakefile").write_text(text)
    done = forked.run(["snakemake", "-n", "--quiet", "rules", "--cores", "1"], tmp_path, os.environ | ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^loops_train +14$", done.stdout, re.MULTILINE), done.stdout
