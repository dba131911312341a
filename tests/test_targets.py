"""What a model is to forget: every target finds its rows, and nothing else; what is no target is told of."""

from typing import Any

import numpy as np
import pytest

from collapselab.adapt.base import Given
from collapselab.adapt.targets import TARGETS, Forget, target_of
from collapselab.core.choice import Options, files, named
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features.attributes import attributes
from collapselab.store import write_samples

ROWS = np.random.default_rng(5).integers(0, 200, (30, 1, 8, 8)).astype(np.uint8)
ROWS[4:9, :, -4:, -4:] = 255  # the mark
LABELS = np.arange(30) % 3


def given(**changes: Any) -> Given:
    training = TrainingSet(ROWS, LABELS, np.ones(30))
    return Given(training, lambda *said: None, {"attributes": attributes})._replace(**changes)


def found(said: dict, **changes: Any):
    return target_of(given(**changes), Forget.model_validate(said))


def test_every_target_parts_the_training_set_in_what_it_is_and_what_is_kept(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS[[3, 17]])
    np.save(tmp_path / "numbers.npy", np.array([3, 17]))
    write_samples(tmp_path / "set.safetensors", SampleSet(ROWS[[17, 3]], LABELS[[17, 3]]))
    bright = attributes(ROWS).values[:, 0]
    limit = float(np.sort(bright)[-3])
    marked = list(range(4, 9))
    cases = [
        ({"class": 2}, [n for n in range(30) if n % 3 == 2]),
        *(({"images": str(tmp_path / name)}, [3, 17]) for name in ("rows.npy", "numbers.npy", "set.safetensors")),
        ({"marked": {}}, marked),
        (
            {"attribute": {"extractor": "attributes", "column": "brightness", "least": limit}},
            np.flatnonzero(bright >= limit),
        ),
        ({"attribute": {"extractor": "attributes", "column": 0, "most": limit - 1e-9}}, np.flatnonzero(bright < limit)),
    ]
    assert {next(iter(said)) for said, _ in cases} == {name for name in TARGETS if name != "hallucinated"}
    for said, rows in cases:
        one = found(said)
        assert np.flatnonzero(one.rows).tolist() == sorted(rows), said
        assert len(one.forget) == len(rows) and len(one.keep) == 30 - len(rows)
        assert (one.keep.data == ROWS[~one.rows]).all() and (one.keep.labels == LABELS[~one.rows]).all()
        assert one.label == said.get("class")
        forgotten = {row.tobytes(): label for row, label in zip(one.forget.data, one.forget.labels, strict=True)}
        assert forgotten == {row.tobytes(): label for row, label in zip(ROWS[rows], LABELS[rows], strict=True)}


def test_given_images_are_forgotten_though_the_training_set_has_them_not(tmp_path):
    np.save(tmp_path / "other.npy", 255 - ROWS[:2])
    one = found({"images": str(tmp_path / "other.npy")})
    assert not one.rows.any() and len(one.keep) == 30
    assert (one.forget.data == 255 - ROWS[:2]).all() and one.forget.labels.tolist() == [-1, -1]


def test_a_mark_may_be_worn_as_far_as_is_said():
    worn = ROWS.copy()
    worn[4, 0, -1, -1] = 239  # a mean of one level over the 16 pixels
    training = TrainingSet(worn, LABELS, np.ones(30))
    assert found({"marked": {"threshold": 0.0}}, training=training).rows.sum() == 4
    assert found({"marked": {"threshold": 1.01 / 255}}, training=training).rows.sum() == 5
    with pytest.raises(ValueError, match="none of the 30"):
        found({"marked": {"corner": "top_left"}})


def test_options_in_an_option_tell_their_files_and_extractors():
    class Asked(Options):
        forget: Forget

    asked = Asked.model_validate({"forget": {"images": "some.npy"}})
    assert files(asked) == {"forget.images": "some.npy"} and named(asked, "extractors") == {}
    asked = Asked.model_validate({"forget": {"attribute": {"extractor": "attributes", "least": 1}}})
    assert named(asked, "extractors") == {"forget.attribute.extractor": "attributes"}
    assert Asked.model_validate(asked.model_dump(mode="json")) == asked
    named_class = Asked.model_validate({"forget": {"class": 3}})
    assert Asked.model_validate(named_class.model_dump(mode="json")) == named_class


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "found nothing; allowed is one of class, images"),
        ({"class": 1, "marked": {}}, "found class and marked; allowed is one of"),
        ({"attribute": {"extractor": "attributes"}}, "say one of them"),
        ({"class": 9}, "class is none of the 30 training rows"),
        ({"images": "none.npy"}, "there is no none.npy"),
        ({"attribute": {"extractor": "attributes", "column": "smell", "least": 0}}, "'attributes' has brightness"),
        ({"attribute": {"extractor": "attributes", "least": 0}}, "all of the 30 training rows"),
        ({"marked": {"size": 9}}, "allowed are images of 9 x 9 pixels"),
    ],
)
def test_what_is_no_target_is_told_of(said, message):
    with pytest.raises(ValueError, match=message):
        found(said)


def test_files_that_hold_something_else_are_told_of(tmp_path):
    for name, rows in {"wide": np.zeros((2, 1, 9, 9), np.uint8), "far": np.array([31])}.items():
        np.save(tmp_path / f"{name}.npy", rows)
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "text.safetensors").write_text("no numbers")
    for name, message in {
        "wide.npy": "allowed are uint8 rows of shape",
        "far.npy": "allowed are 0 to 29",
        "text.npy": "cannot be read",
        "text.safetensors": "cannot be read",
    }.items():
        with pytest.raises(ValueError, match=message):
            found({"images": str(tmp_path / name)})


def test_what_earlier_requests_asked_for_is_not_kept(tmp_path):
    np.save(tmp_path / "numbers.npy", np.array([0, 1, 3]))
    images = str(tmp_path / "numbers.npy")
    one = found({"class": 2, "earlier": [{"marked": {}}, {"images": images}]})
    gone = np.isin(np.arange(30), [0, 1, 3, *range(4, 9)])
    assert (one.training.data == ROWS[~gone]).all() and (one.rows == (LABELS == 2)[~gone]).all()
    assert (one.keep.data == ROWS[~gone & (LABELS != 2)]).all() and (one.keep.labels != 2).all()
    assert (one.forget.data == ROWS[LABELS == 2]).all() and one.label == 2  # what was gone before is not learnt either
    # Numbers of rows are those of the whole training set, also where earlier rows are gone.
    later = found({"images": images, "earlier": [{"class": 0}]})
    assert (later.training.data[later.rows] == ROWS[[1]]).all()
    with pytest.raises(ValueError, match="nothing would be kept"):
        found({"class": 2, "earlier": [{"class": 0}, {"class": 1}]})
    nested = {"class": 0, "earlier": [{"class": 1}]}
    for earlier, message in (({"hallucinated": {}}, "hallucinated, which"), (nested, "earlier in earlier")):
        with pytest.raises(ValueError, match=f"earlier: found {message}"):
            Forget.model_validate({"class": 2, "earlier": [earlier]})


def test_a_file_of_an_earlier_request_is_one_that_is_read():
    class Asked(Options):
        forget: Forget

    asked = Asked.model_validate({"forget": {"class": 2, "earlier": [{"class": 1}, {"images": "some.npy"}]}})
    assert files(asked) == {"forget.earlier.1.images": "some.npy"}
    assert Asked.model_validate(asked.model_dump(mode="json")) == asked


def test_categories_are_their_own_classes():
    training = TrainingSet(np.array([0, 1, 2, 1]), None, np.ones(4))
    assert found({"class": 1}, training=training).rows.tolist() == [False, True, False, True]

    nobody = TrainingSet(ROWS, None, np.ones(30))
    with pytest.raises(ValueError, match="has no labels"):
        found({"class": 1}, training=nobody)
