"""``collapselab adapt`` on a model outside a study: rows from anywhere, and the page of before and after."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.data import DATASETS
from collapselab.models import MODELS
from collapselab.models.files import read_model, write_model
from collapselab.populations import POPULATIONS

ROWS = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small network, hardly trained, and the pictures in a folder of classes, as arrays and as ours."""
    folder = tmp_path_factory.mktemp("alone")
    digits = DATASETS["digits"]().load()
    data, labels = digits.data[: 2 * ROWS], digits.labels[: 2 * ROWS]
    kind = MODELS["diffusion"]
    options = kind.Options.model_validate(kind.Options.smallest("images") | {"batch": 8, "classes": 0})
    model = kind.fit(TrainingSet(data[:ROWS], None, np.ones(ROWS)), options, Run(0, images_seen=16))
    write_model(folder / "model.safetensors", "diffusion", model, {})
    for row, (image, label) in enumerate(zip(data[:ROWS], labels, strict=False)):
        (folder / "photos" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(folder / "photos" / str(label) / f"{row:03}.png")
    np.save(folder / "photos.npy", data[:ROWS])
    np.save(folder / "other.npy", data[ROWS:])
    np.save(folder / "few.npy", data[:5])
    store.write_samples(folder / "rows.safetensors", SampleSet(data[:ROWS]))
    np.save(folder / "wide.npy", np.zeros((5, 9, 9), np.uint8))
    return folder


def run(place, *words, training="photos", out="adapted.safetensors"):
    """What the command ends with."""
    files = ["--model", place / "model.safetensors", "--training", place / training, "--out", place / out]
    return frame.run([str(one) for one in ("adapt", *files, *words)])


NEON = ("--adapter", "neon", "--options", '{"samples": 16, "images_seen": 8, "weight": 0.5}')
KNEE = ("--adapter", "ddpo", "--validation", "few.npy", "--options")
KNEE = (*KNEE, '{"reward": "brightness", "images_seen": 8, "extractor": "pixels", "stop": "knee", "k": 5}')


def liked(reward):
    """A tuning by a reward, as it is said."""
    return ("--adapter", "ddpo", "--options", json.dumps({"reward": reward, "images_seen": 8}))


OF_A_LAW = ("--adapter", "neon", "--options", '{"samples": 200, "weight": 0.5}')


def adapted(place, out="adapted.safetensors"):
    return read_model(place / out, MODELS, POPULATIONS)


def test_a_folder_an_array_and_a_sample_set_are_the_same_rows(place):
    found = []
    for number, training in enumerate(("photos", "photos.npy", "rows.safetensors")):
        assert run(place, *NEON, training=training, out=f"{number}.safetensors") == 0
        model, metadata = adapted(place, f"{number}.safetensors")
        found.append(model.weights())
        assert str(place / training) in metadata["lineage"]["inputs"]
    before = read_model(place / "model.safetensors", MODELS, POPULATIONS)[0].weights()
    for name in before:
        assert all(np.array_equal(found[0][name], one[name]) for one in found[1:])
    assert any((found[0][name] != array).any() for name, array in before.items())


def test_several_by_hand_are_several_calls(place):
    assert (
        run(
            place,
            *NEON,
            *NEON[:2],
            "--options",
            '{"samples": 9, "images_seen": 8, "weight": -1}',
            out="both.safetensors",
        )
        == 0
    )
    assert [list(one) for one in adapted(place, "both.safetensors")[1]["lineage"]["adapter"]] == [["neon"], ["neon"]]


class Reader(HTMLParser):
    """What a browser would fetch, how deep what stays open is, and the words."""

    VOID = ("meta", "img", "br", "path", "circle")

    def __init__(self, text):
        super().__init__()
        self.fetched, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.fetched += [given[name] for name in ("src", "href") if name in given]
        self.open += [] if tag in self.VOID else [tag]
        assert tag != "img" or given["alt"]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_shows_the_same_random_numbers_before_and_after(place, capsys):
    page = place / "page.html"
    choose = ("--adapter", "neon", "--options", '{"samples": 16, "images_seen": 8, "extractor": "pixels", "level": 1}')
    beside = ("--validation", place / "other.npy", "--page", page, "--against", place / "other.npy", "--samples", 60)
    assert run(place, *choose, *beside) == 0
    assert "before and after" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    read = Reader(text)
    assert read.open == [] and len(read.fetched) == 2 and all(one.startswith("data:image/png") for one in read.fetched)
    assert "<script" not in text and "default-src 'none'" in text and "prefers-color-scheme: dark" in text
    words = " ".join(" ".join(read.words).split())
    weight = adapted(place)[1]["lineage"]["adaptation"]["chosen"]["weight"]
    assert f"weight {weight:.4g}" in words and "the very rows that were chosen by" in words
    model, changed = read_model(place / "model.safetensors", MODELS, POPULATIONS)[0], adapted(place)[0]
    seed = int(re.search(r"60, of seed (\d+)", words)[1])
    from collapselab.core.seeds import seed_of

    ask = Ask(60, seed_of(seed, None, None, "page"))
    before, after = model.sample(ask).data, changed.sample(ask).data
    moved = (before != after).any(axis=(1, 2, 3)).sum()
    assert f"{moved} of 60 samples are another than before" in words
    assert words.count("Fréchet distance ↓") == 1 and "Copies of real images" in words


def test_without_rows_to_compare_with_nothing_is_measured_and_said_so(place):
    page = place / "bare.html"
    assert run(place, *NEON, "--page", page, "--samples", 8) == 0
    assert "Nothing was measured" in page.read_text(encoding="utf-8")


def test_models_of_vectors_have_a_table_in_the_place_of_sheets(place):
    rows = np.random.default_rng(0).normal(0, 1, (ROWS, 2)).astype(np.float32)
    np.save(place / "vectors.npy", rows)
    options = MODELS["gaussian"].Options(ddof=0)
    law = MODELS["gaussian"].fit(TrainingSet(rows, None, np.ones(ROWS)), options, Run(0))
    write_model(place / "law.safetensors", "gaussian", law, {})
    words = ["adapt", "--model", place / "law.safetensors", "--training", place / "vectors.npy", *OF_A_LAW]
    words += ["--out", place / "moved.safetensors", "--page", place / "law.html", "--against", place / "vectors.npy"]
    assert frame.run([str(one) for one in words]) == 0
    text = (place / "law.html").read_text(encoding="utf-8")
    assert "column 1" in text and "<img" not in text and "identity" in text


@pytest.mark.parametrize(
    ("words", "training", "said"),
    [
        (NEON, "wide.npy", "wide.npy holds rows of shape (1, 9, 9); the model's have (1, 8, 8)"),
        (NEON, "nowhere", "nowhere"),
        ((*NEON, "--against", "x.npy"), "photos", "no --page that would tell of it"),
        ((*NEON, "--validation", "x.npy"), "photos", "can make no use of it"),
        (
            ("--adapter", "neon", "--options", '{"images_seen": 8, "extractor": "pixels"}'),
            "photos",
            "neon must have it, to choose",
        ),
        (
            ("--adapter", "neon", "--options", '{"images_seen": 8, "extractor": "lenet"}'),
            "photos",
            "looked through are lenet",
        ),
        (("--adapter", "neon", "--options", '{"weight": 1}'), "photos", "a network learns its own samples in steps"),
        (("--adapter", "neonn"), "photos", "allowed: neon"),
        (KNEE, "photos", "Invalid value for --validation: found 5 rows; ddpo needs 6 at least"),
        (liked("brightnes"), "photos", "--options: reward: found 'brightnes' (did you mean 'brightness'?)"),
        (liked({"brightness": {"much": 1}}), "photos", "--options: reward: brightness: much: unknown"),
        (
            ("--adapter", "ewc", "--options", '{"images_seen": 8, "strength": 100}'),
            "photos",
            "--earlier: found none; ewc must have them",
        ),
    ],
)
def test_what_is_lacking_is_said_and_nothing_is_written(place, capsys, words, training, said):
    words = [place / one if one == "few.npy" else one for one in words]
    assert run(place, *words, training=training, out="never.safetensors") != 0
    assert said in " ".join(capsys.readouterr().err.split())
    assert not Path(place / "never.safetensors").exists()
