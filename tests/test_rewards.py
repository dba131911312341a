"""Every reward against a number that is known without it, and over the registry the law of all rewards."""

import io
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file
from stand_ins import DIGITS, captioner, speaker

from collapselab.core.errors import Foreign
from collapselab.core.facts import Facts
from collapselab.core.sets import SampleSet
from collapselab.data.digits import Digits
from collapselab.features import FEATURES, Features
from collapselab.rewards import REWARDS
from collapselab.rewards.alignment import recall, tokens_of
from collapselab.rewards.asking import files_of
from collapselab.rewards.brisque import LEAST, UNLIKE_ALL
from collapselab.rewards.describing import described
from collapselab.rewards.head import read_head
from collapselab.testing import check_reward

PIXELS = 3 * 16 * 16  # of the pictures of ``collapselab.testing``


def scored(name, data, seen=None, labels=None, **options):
    entry = REWARDS[name]
    return entry.reward(SampleSet(np.asarray(data), labels), seen or {}, entry.Options(**options))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Folders of a text model and of an image model of one CLIP, with random weights."""
    return captioner(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A folder of a sentence encoder and of a model that describes pictures, with random weights."""
    return speaker(tmp_path_factory.mktemp("speech"))


@pytest.fixture
def own(tmp_path):
    """A Python file with a reward, and one with what is none."""
    lines = [
        "import numpy as np",
        "",
        "def ink(samples):",
        "    return samples.data.reshape(len(samples), -1).mean(axis=1, dtype=np.float64) if len(samples) else []",
        "",
        "def one(samples):",
        "    return 1.0",
        "",
        "def odd(samples):",
        "    return samples.colour",
        "",
        "LIMIT = 3",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    return str(tmp_path / "mine.py")


@pytest.fixture(scope="module")
def real():
    return Digits().load().data[:600]


# -- over the registry -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_is_its_samples_own(name, tmp_path, clip, speech, own):
    given = {}
    if name == "linear_head":
        save_file({"weight": np.linspace(-1, 1, PIXELS), "bias": np.ones(1)}, tmp_path / "head.safetensors")
        given = {"options": {"file": str(tmp_path / "head.safetensors"), "extractor": "pixels"}}
    elif name == "brisque":
        pytest.importorskip("brisque", reason="the extra collapselab[brisque] is not installed", exc_type=ImportError)
        given = {"data": np.random.default_rng(0).integers(0, 256, (24, 3, 40, 48), np.uint8)}
    elif name == "caption":
        given = {"options": {"captions": ["a seven"], "text": str(clip.text)}, "weights": {"clip": clip.pictures}}
    elif name == "alignment":
        said = {
            "encoder": str(speech / "encoder"),
            "names": ["two", "six", "seven"],
            "prompts": ["the picture shows a seven"],
        }
        given = {"options": said}
    elif name == "python":
        given = {"options": {"file": own, "function": "ink"}}
    elif name == "category":
        given = {"options": {"worth": [0.5, -1.0, 2.0, 0.0, 1.0]}}
    elif name == "token_worth":
        given = {"options": {"worth": {0: 0.5, 3: -1.0}}}
    check_reward(name, **given)


@pytest.mark.parametrize("name", REWARDS)
def test_of_nothing_there_is_nothing(name, tmp_path, clip, own):
    np.savez(tmp_path / "head.npz", weight=np.ones(PIXELS))
    said = {
        "linear_head": {"file": str(tmp_path / "head.npz"), "extractor": "pixels"},
        "caption": {"captions": ["a seven"], "text": str(clip.text)},
        "category": {"worth": [1.0]},
        "token_worth": {"worth": {0: 1.0}},
        "alignment": {"encoder": "nowhere", "prompts": ["a seven"]},
        "python": {"file": own, "function": "ink"},
    }
    empty = {"images": np.empty((0, 1, 64, 64), np.uint8), "vectors": np.empty((0, 2)), "categories": np.empty(0, int)}
    empty["sequences"] = np.empty((0, 6), np.int32)
    for kind in REWARDS[name].takes:
        found = scored(name, empty[kind], **said.get(name, {}))
        assert found.shape == (0,) and found.dtype == np.float64


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_a_black_picture_is_no_byte_and_noise_is_most(real):
    """Without what all files share, and of squares in the place of pixels, a digit stands between the two."""
    noise = np.random.default_rng(0).integers(0, 256, real.shape, np.uint8)
    assert scored("jpeg_size", np.zeros((2, 1, 8, 8), np.uint8)).tolist() == [0, 0]
    assert scored("jpeg_size", np.zeros((1, 3, 32, 32), np.uint8)).tolist() == [0]
    small, large, of_noise = (
        scored("jpeg_size", real),
        scored("jpeg_size", real, likes="large"),
        scored("jpeg_size", noise),
    )
    np.testing.assert_array_equal(small, -large)
    assert (large > 0).all() and of_noise.max() < small.min() / 1.5
    # As it is, an 8 x 8 picture is one block: noise is as large as a digit, and the reward is blind.
    as_it_is, of_noise = (scored("jpeg_size", data, likes="large", side=1) for data in (real, noise))
    assert abs(as_it_is.mean() - of_noise.mean()) < 2 * as_it_is.std() < 0.01


def test_the_size_is_that_of_the_file():
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    sizes = []
    for one in (pixels, np.zeros_like(pixels)):
        Image.fromarray(one).save(file := io.BytesIO(), "JPEG", quality=95)
        sizes.append(len(file.getvalue()))
    found = scored("jpeg_size", np.moveaxis(pixels, -1, 0)[None])
    assert found.tolist() == [-(sizes[0] - sizes[1]) / 1000]
    enlarged = scored("jpeg_size", np.moveaxis(pixels[:8, :8], -1, 0)[None])
    again = scored("jpeg_size", np.moveaxis(pixels[:8, :8].repeat(4, 0).repeat(4, 1), -1, 0)[None])
    np.testing.assert_array_equal(enlarged, again)


def test_white_is_brightest_and_black_is_darkest():
    levels = np.stack([np.full((1, 2, 2), level, np.uint8) for level in (0, 255)])
    np.testing.assert_allclose(scored("brightness", levels), [-1, 1], atol=1e-6)


def test_a_blurred_photograph_is_worse_and_what_is_no_photograph_is_worst():
    pytest.importorskip("brisque", reason="the extra collapselab[brisque] is not installed", exc_type=ImportError)
    from PIL import Image, ImageFilter
    from sklearn.datasets import load_sample_images

    sharp = Image.fromarray(load_sample_images().images[0][:256, :256])
    pictures = [np.moveaxis(np.asarray(one), -1, 0) for one in (sharp, sharp.filter(ImageFilter.GaussianBlur(3)))]
    best, blurred = scored("brisque", np.stack(pictures))
    assert -25 < best < 0 and blurred < best - 30
    flat = np.stack([np.full((1, LEAST, LEAST), level, np.uint8) for level in (0, 90)])
    assert scored("brisque", flat).tolist() == [-UNLIKE_ALL] * 2
    with pytest.raises(ValueError, match="a side of 28 pixels, brisque tells those of 32 or more apart; take another"):
        scored("brisque", np.zeros((1, 1, 28, 40), np.uint8))


# -- classifiers and heads ---------------------------------------------------------------------------------------------


def looking(shares):
    return {"lenet": Features(np.zeros((len(shares), 1)), probabilities=np.asarray(shares, np.float32))}


def test_a_class_is_worth_its_probability():
    shares = [[0.25, 0.75, 0], [0.5, 0.125, 0.375]]
    data, seen = np.zeros((2, 1, 8, 8), np.uint8), looking(shares)
    assert scored("class", data, seen, label=0, scale=5).tolist() == [1.25, 2.5]
    assert scored("class", data, seen, scale=5).tolist() == [3.75, 2.5]
    with pytest.raises(ValueError, match="label: found 3, allowed are 0 to 2 of lenet"):
        scored("class", data, seen, label=3)
    with pytest.raises(ValueError, match="extractor: found 'lenet', which gives no probabilities"):
        scored("class", data, {"lenet": Features(np.zeros((2, 1)))})


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_a_head_is_a_product_in_either_format(tmp_path, shape):
    weight, rows = np.array([1.0, -2.0, 0.5], np.float32), np.random.default_rng(0).normal(size=(5, 3))
    np.savez(tmp_path / "head.npz", weight=weight.reshape(shape))
    save_file({"weight": weight.reshape(shape), "bias": np.array([0.25])}, tmp_path / "head.safetensors")
    data, seen = np.zeros((5, 3)), {"identity": Features(rows)}
    for file, bias in (("head.npz", 0), ("head.safetensors", 0.25)):
        own = {"file": str(tmp_path / file), "extractor": "identity"}
        np.testing.assert_allclose(scored("linear_head", data, seen, **own), rows @ weight + bias, rtol=1e-12)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        found = scored("linear_head", data, seen, **own, normalise=True)
        np.testing.assert_allclose(found, unit @ weight + bias, rtol=1e-12)
    with pytest.raises(ValueError, match=r"is a head of 3 numbers, 'identity' gives 2"):
        scored("linear_head", data, {"identity": Features(rows[:, :2])}, file=own["file"], extractor="identity")


class Thief:
    def __reduce__(self):
        return (open, ("stolen", "w"))


def test_a_head_of_something_else_is_refused_and_nothing_in_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {
        "none.npz": (None, "there is no none.npz"),
        "pickle.npz": (pickle.dumps(Thief()), "is neither safetensors nor npz"),
        "text.safetensors": (b"hello", "is neither safetensors nor npz"),
        "empty.npz": (b"", "is neither safetensors nor npz"),
    }
    for name, (content, _) in wrong.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    np.savez("objects.npz", weight=np.array([Thief()], object))
    np.savez("nan.npz", weight=np.array([1, np.nan]))
    np.savez("words.npz", weight=np.array(["a"]))
    np.savez("two.npz", weight=np.ones((2, 3)))
    np.savez("more.npz", weight=np.ones(3), other=np.ones(1))
    wrong |= {"objects.npz": (None, "is neither safetensors nor npz")}
    wrong |= {f"{one}.npz": (None, "allowed are finite numbers weight") for one in ("nan", "words", "two", "more")}
    for name, (_, words) in wrong.items():
        with pytest.raises(ValueError, match=words):
            read_head(Path(name))
    assert not (tmp_path / "stolen").exists()


# -- captions ----------------------------------------------------------------------------------------------------------


def test_a_picture_fits_the_caption_of_its_own_class(clip):
    data = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), np.uint8)
    seen = {"clip": FEATURES["clip"].extract(data, clip.pictures)}
    own = {"text": str(clip.text)}
    zero, one = (scored("caption", data, seen, captions=[words], **own) for words in ("a zero", "a one"))
    assert (abs(zero) <= 1).all() and abs(zero - one).max() > 1e-3
    labels = np.array([0, 1, 1, 0])
    both = scored("caption", data, seen, labels, captions=["a zero", "a one"], **own)
    np.testing.assert_allclose(both, np.where(labels == 0, zero, one), atol=1e-6)
    expected = clip.cosine(data, ["a zero", "a one"])  # of transformers' own CLIP of both halves
    np.testing.assert_allclose(np.stack([zero, one], axis=1), expected, atol=1e-5)


def test_captions_that_are_for_nobody_are_refused(clip, tmp_path):
    data = np.zeros((2, 3, 16, 16), np.uint8)
    seen, own = {"clip": Features(np.ones((2, 8)))}, {"text": str(clip.text)}
    with pytest.raises(ValueError, match="captions: found 2, and samples without labels; allowed is one for all"):
        scored("caption", data, seen, captions=["a", "b"], **own)
    with pytest.raises(ValueError, match="captions: found 2, and labels 0 to 2; allowed is one for each class"):
        scored("caption", data, seen, np.array([0, 2]), captions=["a", "b"], **own)
    with pytest.raises(ValueError, match="they are not of one CLIP"):
        scored("caption", data, {"clip": Features(np.ones((2, 7)))}, captions=["a"], **own)
    with pytest.raises(ValueError, match="text: there is no folder nowhere"):
        scored("caption", data, seen, captions=["a"], text="nowhere")
    with pytest.raises(Foreign, match=r"has no config\.json"):
        scored("caption", data, seen, captions=["a"], text=str(tmp_path))
    with pytest.raises(Foreign, match="is no CLIP text model"):
        scored("caption", data, seen, captions=["a"], text=str(clip.pictures))


# -- what is said of a picture -----------------------------------------------------------------------------------------


def test_recall_is_that_of_greedy_matching():
    wanted, said = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])
    assert recall(wanted, wanted) == 1
    assert recall(wanted, said) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert recall(said, wanted) == pytest.approx((1 + 0 + math.sqrt(0.5)) / 3)
    assert recall(wanted, np.empty((0, 2))) == 0


def test_a_picture_is_worth_what_its_classifier_says_of_it(speech):
    """Of the class that was asked for it is 1; of another less, and the same as of the two sentences."""
    shares = np.eye(10)[[7, 2, 7]]
    data = np.zeros((3, 1, 8, 8), np.uint8)
    told = {"encoder": str(speech / "encoder")}
    found = scored("alignment", data, looking(shares), np.array([7, 7, 2]), **told)
    said = [tokens_of(speech / "encoder", f"the picture shows a {name}") for name in ("seven", "two")]
    assert len(said[0]) == 5  # its words, without the marks of its ends
    np.testing.assert_allclose(found, [1, recall(said[0], said[1]), recall(said[1], said[0])])
    assert found[1:].max() < 1 - 1e-3
    with pytest.raises(ValueError, match="names: found 10, allowed are 3, the classes of its classifier"):
        scored("alignment", data, looking(np.eye(3)), np.array([0, 1, 2]), **told)
    with pytest.raises(ValueError, match="prompts: found 10, and samples without labels; allowed is one for all"):
        scored("alignment", data, looking(shares), **told)
    with pytest.raises(ValueError, match="prompts: found 2, and labels 2 to 7; allowed is one for each class"):
        scored("alignment", data, looking(shares), np.array([7, 7, 2]), prompts=["a", "b"], **told)


def test_a_model_describes_pictures_each_as_if_it_were_alone(speech):
    data = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), np.uint8)
    folders = {"encoder": str(speech / "encoder"), "captioner": str(speech / "captioner"), "extractor": None}
    found = scored("alignment", data, prompts=["the picture shows a seven"], **folders)
    words = described(speech / "captioner", data)
    assert all(set(one.split()) <= {"the", "picture", "shows", "a", *DIGITS} and one for one in words)
    said = tokens_of(speech / "encoder", "the picture shows a seven")
    np.testing.assert_allclose(found, [recall(said, tokens_of(speech / "encoder", one)) for one in words])
    np.testing.assert_array_equal(
        found[:1], scored("alignment", data[:1], prompts=["the picture shows a seven"], **folders)
    )


def test_who_speaks_and_what_is_said_are_checked(speech, tmp_path):
    for captioner_, extractor in ((None, None), ("there", "lenet")):
        with pytest.raises(ValidationError, match=r"captioner: found .* one of them speaks: the other is null"):
            REWARDS["alignment"].Options(encoder="here", captioner=captioner_, extractor=extractor)
    with pytest.raises(ValidationError, match=r"sentence: found 'a digit', allowed are sentences with \{\} once"):
        REWARDS["alignment"].Options(encoder="here", sentence="a digit")
    data, seen = np.zeros((1, 1, 8, 8), np.uint8), looking(np.eye(10)[:1])
    with pytest.raises(ValueError, match="encoder: there is no folder nowhere"):
        scored("alignment", data, seen, prompts=["a"], encoder="nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(Foreign, match="is no sentence encoder with its tokenizer"):
        scored("alignment", data, seen, prompts=["a"], encoder=str(tmp_path))
    folders = {"encoder": str(speech / "encoder"), "captioner": str(speech / "encoder"), "extractor": None}
    with pytest.raises(Foreign, match="holds no model that describes pictures"):
        scored("alignment", data, prompts=["a"], **folders)


def test_the_names_of_classes_are_counted_before_any_work():
    entry = REWARDS["alignment"]
    facts = Facts((1, 8, 8), 10, lambda: 3, lambda name: ())
    assert entry.fault(facts, entry.Options(encoder="e")) == "names: found 10, allowed are 3, one for each class"
    assert entry.fault(facts, entry.Options(encoder="e", names=["a", "b", "c"])) == ""


# -- of the user's -----------------------------------------------------------------------------------------------------


def test_a_function_of_the_users_is_a_reward_of_any_kind(own):
    data = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    np.testing.assert_allclose(scored("python", data, file=own, function="ink"), data.reshape(4, -1).mean(1))
    vectors = np.array([[1.0, 3.0]])
    assert scored("python", vectors, file=own, function="ink").tolist() == [2]


def test_a_file_that_changes_is_read_again(own):
    data = np.ones((2, 3))
    before = scored("python", data, file=own, function="ink")
    text = Path(own).read_text(encoding="utf-8").replace("mean(axis=1", "sum(axis=1")
    Path(own).write_text(text + "\n", encoding="utf-8")
    assert (scored("python", data, file=own, function="ink") == 3 * before).all()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("one", r"function: one of .*mine.py gave numbers of shape \(\), allowed is one for each of 2 samples"),
        ("odd", "function: odd of .*mine.py raised AttributeError: .*colour"),
        ("LIMIT", "function: LIMIT is none of .*mine.py"),
        ("inc", "function: .*mine.py has no inc; it has np, ink, one, odd, LIMIT"),
    ],
)
def test_what_is_no_reward_of_the_users_is_said_with_its_name(own, function, words):
    with pytest.raises(ValueError, match=words):
        scored("python", np.ones((2, 3)), file=own, function=function)


def test_a_file_of_the_users_is_looked_at_before_any_work_and_not_run(own, tmp_path):
    entry, facts = REWARDS["python"], Facts((3,), 10, lambda: 0, lambda name: ())

    def fault(file, function):
        return entry.fault(facts, entry.Options(file=str(file), function=function))

    assert fault(own, "ink") == "" and "has no inc; it has np, ink" in fault(own, "inc")
    (tmp_path / "bad.py").write_text("def f(:")
    (tmp_path / "loud.py").write_text("raise RuntimeError('run')\ndef f(samples): pass")
    assert "bad.py is no Python: invalid syntax" in fault(tmp_path / "bad.py", "f")
    assert fault(tmp_path / "loud.py", "f") == "" == fault(tmp_path / "absent.py", "f")
    with pytest.raises(ValueError, match=r"file: .*loud\.py raised RuntimeError: run"):
        scored("python", np.ones((2, 3)), file=str(tmp_path / "loud.py"), function="f")
    with pytest.raises(ValueError, match=r"file: there is no .*absent"):
        scored("python", np.ones((2, 3)), file=str(tmp_path / "absent.py"), function="f")
    with pytest.raises(ValidationError):
        entry.Options(file=own, function="os.system")
    assert files_of([(entry, entry.Options(file=own, function="ink"))]) == (own,)


# -- by formula --------------------------------------------------------------------------------------------------------


def test_a_coordinate_is_liked_by_its_formula():
    data = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert scored("coordinate", data, index=1, beta=0.5).tolist() == [-1, 1.5]
    assert scored("coordinate", data, index=1, beta=2, form="quadratic", centre=1).tolist() == [-9, -4]
    with pytest.raises(ValueError, match="index: found 2, allowed are 0 to 1"):
        scored("coordinate", data, index=2)


def test_a_category_is_worth_what_the_table_says():
    assert scored("category", np.array([2, 0, 1, 2]), worth=[1, -1, 0.5]).tolist() == [0.5, 1, -1, 0.5]
    with pytest.raises(ValueError, match="worth: found 2 numbers, and categories 0 to 2"):
        scored("category", np.array([0, 2]), worth=[1, 2])


@pytest.mark.parametrize(
    ("name", "options"),
    [("jpeg_size", {"quality": 101}), ("class", {"label": -1}), ("category", {"worth": []}), ("linear_head", {})],
)
def test_options_have_ranges(name, options):
    with pytest.raises(ValidationError):
        REWARDS[name].Options(**options)
