"""Transforms that correct samples, or do to pictures what happens to them when they are posted again."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from collapselab.core.sets import SampleSet, Seen
from collapselab.features import Features
from collapselab.transforms.base import Given
from collapselab.transforms.project import ProjectOptions, project
from collapselab.transforms.relabel import RelabelOptions, relabel
from collapselab.transforms.repost import JpegOptions, ResizeOptions, jpeg, resize
from collapselab.transforms.resample import ResampleOptions, resample

ERRORS = 4.5


def normal(seed, rows, width=2):
    return np.random.default_rng(seed).normal(size=(rows, width))


def given(data, train, labels=None, of_train=None, seen=None):
    return Given(SampleSet(data, labels), seen or {}, SampleSet(train, of_train))


def test_no_transform_can_see_what_the_metrics_compare_with():
    assert Given._fields == ("samples", "seen", "train", "key") and Seen._fields == ("samples", "train")


# -- projection --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_samples_go_their_way_to_the_nearest_of_known_clusters(gamma):
    """Two far groups: their means are the clusters, and every sample goes gamma / (1 + gamma) of its way."""
    train = np.concatenate([0.1 * normal(0, 50), 0.1 * normal(1, 30) + 20])
    data = np.concatenate([normal(2, 7), normal(3, 5) + 20])
    found = project(given(data, train), ProjectOptions(gamma=gamma, clusters=2), 0)
    centres = np.stack([train[:50].mean(axis=0), train[50:].mean(axis=0)])[np.repeat([0, 1], [7, 5])]
    np.testing.assert_allclose(found.data, (data + gamma * centres) / (1 + gamma), atol=1e-12)


def test_a_class_is_drawn_to_its_own_clusters():
    train, of_train = np.array([[0.0], [2.0], [10.0]]), np.array([0, 0, 1])
    found = project(given(np.array([[9.0], [9.0]]), train, np.array([0, 1]), of_train), ProjectOptions(gamma=1e9), 0)
    np.testing.assert_allclose(found.data, [[2], [10]], atol=1e-6)
    with pytest.raises(ValueError, match="samples: found class 4, of which the training split has no row"):
        project(given(np.array([[9.0]]), train, np.array([4]), of_train), ProjectOptions(gamma=1), 0)


def test_images_are_drawn_in_whole_levels():
    train = np.full((4, 1, 2, 2), 100, np.uint8)
    data = np.array([[[[0, 255], [100, 101]]]], np.uint8)
    found = project(given(data, train), ProjectOptions(gamma=1, clusters=1), 0)
    assert found.data.dtype == np.uint8 and np.abs(found.data.ravel() - [50, 177.5, 100, 100.5]).max() <= 0.5


def test_the_clusters_are_the_same_in_every_generation():
    data, train = normal(0, 30), normal(1, 200)
    options = ProjectOptions(gamma=2, clusters=5)
    first, again = (project(given(data, train), options, seed).data for seed in (1, 2))
    np.testing.assert_array_equal(first, again)
    with pytest.raises(ValidationError):
        ProjectOptions(gamma=-0.1)


# -- labels ------------------------------------------------------------------------------------------------------------


def classifier(probabilities):
    values = np.zeros((len(probabilities), 1))
    return Features(values, probabilities.argmax(axis=1), probabilities.astype(np.float32))


def test_the_likeliest_label_and_labels_that_are_drawn():
    """Of 20,000 samples of one opinion (.6, .3, .1): all of the first class, or as many of each as it says."""
    shares = np.array([0.6, 0.3, 0.1])
    probabilities = np.tile(shares, (20_000, 1))
    side = classifier(probabilities)
    shown = given(np.zeros((20_000, 1)), np.zeros((1, 1)), seen={"lenet": Seen(side, side)})
    assert relabel(shown, RelabelOptions(), 0).labels.tolist() == [0] * 20_000
    drawn = relabel(shown, RelabelOptions(labels="drawn"), 5).labels
    assert drawn.dtype == np.int64
    found = np.bincount(drawn, minlength=3) / 20_000
    assert (np.abs(found - shares) < ERRORS * np.sqrt(shares * (1 - shares) / 20_000)).all()
    certain = classifier(np.eye(3)[[2, 0, 1]])
    sure = given(np.zeros((3, 1)), np.zeros((1, 1)), np.array([0, 0, 0]), seen={"lenet": Seen(certain, certain)})
    assert relabel(sure, RelabelOptions(labels="drawn"), 1).labels.tolist() == [2, 0, 1]


def test_who_knows_no_classes_cannot_label():
    side = Features(np.zeros((2, 1)))
    shown = given(np.zeros((2, 1)), np.zeros((1, 1)), seen={"pixels": Seen(side, side)})
    with pytest.raises(ValueError, match="extractor: found pixels, which says no classes"):
        relabel(shown, RelabelOptions(extractor="pixels"), 0)
    only = Features(np.zeros((2, 1)), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="says no probabilities"):
        relabel(shown._replace(seen={"lenet": Seen(only, only)}), RelabelOptions(labels="drawn"), 0)


# -- posted again ------------------------------------------------------------------------------------------------------


def pictures(channels, side=16):
    return np.random.default_rng(0).integers(0, 256, (3, channels, side, side)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_a_file_gives_back(channels):
    images = pictures(channels)
    found = jpeg(given(images, images), JpegOptions(quality=40, chroma="4:2:0"), 0).data
    picture = Image.fromarray(images[1, 0] if channels == 1 else images[1].transpose(1, 2, 0))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40, subsampling=2)
    back = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    np.testing.assert_array_equal(found[1], back[None] if channels == 1 else back.transpose(2, 0, 1))


def test_less_quality_loses_more():
    images = pictures(3)
    errors = [
        np.square(jpeg(given(images, images), JpegOptions(quality=q, chroma="4:4:4"), 0).data - images.astype(float))
        for q in (10, 50, 100)
    ]
    assert errors[0].mean() > errors[1].mean() > errors[2].mean() and errors[2].max() <= 16
    flat = np.full((2, 1, 8, 8), 200, np.uint8)
    np.testing.assert_array_equal(jpeg(given(flat, flat), JpegOptions(quality=75), 0).data, flat)
    two = np.zeros((1, 2, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="found images of 2 channels, a JPEG file has 1 or 3"):
        jpeg(given(two, two), JpegOptions(), 0)


def test_what_goes_through_few_pixels_loses_its_fine_frequencies():
    stripes = np.zeros((1, 1, 8, 8), np.uint8)
    stripes[..., ::2] = 200
    found = resize(given(stripes, stripes), ResizeOptions(side=4), 0).data
    assert found.shape == stripes.shape and (found == 100).all()  # pairs of columns have a mean of 100
    same = resize(given(stripes, stripes), ResizeOptions(side=8), 0).data
    np.testing.assert_array_equal(same, stripes)
    larger = resize(given(stripes, stripes), ResizeOptions(side=16, up="area", down="area"), 0).data
    np.testing.assert_array_equal(larger, stripes)  # each pixel four times, and back
    wide = np.zeros((1, 1, 4, 8), np.uint8)
    with pytest.raises(ValueError, match="resized are square images only"):
        resize(given(wide, wide), ResizeOptions(side=2), 0)


# -- half-synthetic rows -----------------------------------------------------------------------------------------------


def test_a_share_of_rows_is_the_models_and_the_rest_real():
    data, train = np.arange(1000, 11_000), np.arange(200)
    found = resample(given(data, train), ResampleOptions(share=0.3), 4).data
    mine = found >= 1000
    np.testing.assert_array_equal(found[mine], data[mine])
    assert mine.mean() == pytest.approx(0.3, abs=ERRORS * np.sqrt(0.21 / 10_000))
    counts = np.bincount(resample(given(data, train), ResampleOptions(share=0.0), 4).data)
    assert counts.tolist() == [50] * 200  # every real row as often as the others
    np.testing.assert_array_equal(resample(given(data, train), ResampleOptions(share=1.0), 4).data, data)


def test_whether_a_row_is_drawn_says_nothing_of_the_real_one():
    """The lots of rows and of partners are not the same numbers."""
    data, train = np.full(20_000, -1), np.arange(20_000)  # as many partners as samples: each row once
    found = resample(given(data, train), ResampleOptions(share=0.5), 4).data
    stayed = found[found >= 0] / 20_000
    assert stayed.mean() == pytest.approx(0.5, abs=ERRORS * np.sqrt(1 / 12) / np.sqrt(10_000))
    assert stayed.var() == pytest.approx(1 / 12, abs=ERRORS * np.sqrt(1 / 180) / np.sqrt(10_000))


def test_coordinates_of_mixed_rows_keep_their_law_and_lose_covariance():
    """Of two numbers that are always equal and have variance 1 the covariance is s^2 + (1 - s)^2."""
    data, train = np.repeat(normal(0, 20_000, 1), 2, axis=1), np.repeat(normal(1, 20_000, 1), 2, axis=1)
    found = resample(given(data, train), ResampleOptions(share=0.3, of="coordinates"), 4).data
    products = found[:, 0] * found[:, 1]
    assert products.mean() == pytest.approx(0.09 + 0.49, abs=ERRORS * products.std() / np.sqrt(20_000))
    assert found.var(axis=0) == pytest.approx([1, 1], abs=ERRORS * np.sqrt(2 / 20_000))


def test_partners_are_of_the_same_class():
    data, train = np.zeros((300, 1)), np.array([[5.0], [6.0], [7.0]])
    labels, of_train = np.arange(300) % 3, np.array([0, 1, 2])
    found = resample(given(data, train, labels, of_train), ResampleOptions(share=0.5), 0)
    real = found.data[:, 0] != 0
    np.testing.assert_array_equal(found.data[real, 0], labels[real] + 5)
    np.testing.assert_array_equal(found.labels, labels)
    with pytest.raises(ValueError, match="found class 0, of which the training split has no row"):
        resample(given(data, train[1:], labels, of_train[1:]), ResampleOptions(share=0.5), 0)
