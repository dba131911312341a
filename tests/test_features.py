"""Extractors as a registry, distances as numbers that collapse must not spoil, and the LeNet."""

import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import stand_ins

from collapselab.core.errors import Undefined
from collapselab.core.images import to_unit
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.data.digits import Digits
from collapselab.data.split import split
from collapselab.features import FEATURES, Features, base, published
from collapselab.features.lenet import LeNetOptions, _logits, lenet, train_lenet
from collapselab.models.diffusion import Diffusion, DiffusionOptions
from collapselab.testing import check_extractor
from collapselab.testing.extractors import samples

pytestmark = pytest.mark.trained


def normal(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture(scope="module")
def digits():
    samples = Digits().load()
    return split(samples, {"held_out": 597, "train": 800, "fresh": 400}, seed=3)


@pytest.fixture(scope="module")
def trained(digits):
    held_out, train = digits["held_out"], digits["train"]
    return train_lenet(train.data, train.labels, 11, held_out=(held_out.data, held_out.labels))


# -- what is computed of features -------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """How often distances among rows are computed."""
    calls = []
    compute = base.nearest_distances
    monkeypatch.setattr(base, "nearest_distances", lambda values, k: calls.append(k) or compute(values, k))
    return calls


def test_radii_are_computed_once(counted):
    sample = Features(normal(3, 50, 3))
    assert sample.radii(4) is sample.radii(4)
    assert counted == [4]


def test_what_was_stored_is_not_computed_again(counted):
    sample = Features(normal(3, 50, 3), np.arange(50))
    full = sample.with_statistics(4)
    assert counted == [4] and np.array_equal(full.classes, sample.classes)
    stored = Features(
        sample.values, sample_moments=full.sample_moments, neighbour_distances=full.neighbour_distances.copy()
    )
    for k in (1, 3, 4):
        assert np.array_equal(stored.radii(k), full.radii(k))
    assert counted == [4]
    assert np.array_equal(stored.radii(5), sample.radii(5)) and counted == [4, 5, 5]
    assert stored.mean_and_covariance() is full.sample_moments
    np.testing.assert_allclose(full.sample_moments[0], sample.values.mean(axis=0), rtol=0, atol=1e-15)
    np.testing.assert_allclose(full.sample_moments[1], np.cov(sample.values, rowvar=False), rtol=0, atol=1e-14)


def test_statistics_belong_to_their_rows():
    with pytest.raises(Undefined, match="features: found 4 rows, needed are at least 5"):
        Features(normal(3, 4, 3)).with_statistics(4)
    full = Features(normal(3, 9, 3)).with_statistics(4)
    with pytest.raises(ValueError, match="neighbour_distances: found 9 rows for 5 rows of values"):
        replace(full, values=full.values[:5])


def test_what_is_kept_of_a_pair_goes_with_it():
    real, fake = Features(normal(0, 5, 2)), Features(normal(1, 5, 2))
    made = []
    for _ in range(2):
        assert real.once("key", lambda: made.append(1) or len(made), beside=fake) == 1
    assert real.once("key", lambda: "its own") == "its own"
    gone = weakref.ref(fake)
    del fake
    assert gone() is None
    assert real.once("key", lambda: "another", beside=Features(normal(2, 5, 2))) == "another"


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_features_are_rows(shape):
    with pytest.raises(ValueError, match=r"features: found an array of shape .*, allowed are rows \(n, d\)"):
        Features.of(np.zeros(shape))


@pytest.mark.parametrize("k", [5, 9])
def test_radii_need_more_rows_than_neighbours(k):
    with pytest.raises(Undefined, match=f"found 5 rows, needed are at least {k + 1}"):
        Features(normal(3, 5, 3)).radii(k)


def test_radii_refuse_no_neighbours():
    with pytest.raises(ValueError, match="k: found 0"):
        Features(normal(3, 5, 3)).radii(0)


def test_what_is_not_finite_is_named():
    values = normal(4, 6, 2)
    values[[1, 3], 0] = np.nan, np.inf
    with pytest.raises(Undefined, match="real: 2 of 6 rows"):
        Features(values).require(2, "real")


# -- extractors -----------------------------------------------------------------------------------------------------


def inputs(name, digits, trained, tmp_path, monkeypatch):
    """Data that an extractor takes and its weights, where what the laws would make up is too large or too simple."""
    if FEATURES[name].needs.published:  # networks of the published kind, with fewer images, since they are larger
        pytest.importorskip("torch")
        path = stand_ins.make(name, tmp_path)
        if name in ("inception", "resemblyzer"):
            stand_ins.admit(monkeypatch, path, name)
        if "images" not in FEATURES[name].takes:
            return samples(FEATURES[name].takes[0], 70), path
        monkeypatch.setattr(published, "BATCH", 4)
        return digits["held_out"].data[:6], path
    if "images" not in FEATURES[name].takes:
        return ()
    if FEATURES[name].needs.through == "model":
        options = DiffusionOptions(channels=16, blocks=1)
        train = TrainingSet(digits["train"].data, digits["train"].labels, np.ones(len(digits["train"].data)))
        return digits["held_out"].data[:70], Diffusion.fit(train, options, Run(0, images_seen=512))
    return (digits["held_out"].data, trained[0]) if FEATURES[name].needs.through == "learnt" else ()


@pytest.mark.parametrize("name", FEATURES)
def test_an_extractor_keeps_its_contract(name, digits, trained, tmp_path, monkeypatch):
    check_extractor(name, *inputs(name, digits, trained, tmp_path, monkeypatch))


def test_identity_keeps_vectors_as_they_are():
    narrow = 1 + 1e-12 * normal(0, 10, 3)
    assert FEATURES["identity"].extract(narrow).values is narrow
    assert FEATURES["identity"].extract(narrow.astype(np.float32)).values.dtype == np.float32


def test_identity_sees_categories_as_classes():
    categories = np.array([3, 0, 3])
    found = FEATURES["identity"].extract(categories)
    assert found.values.tolist() == [[3.0], [0.0], [3.0]] and found.classes.tolist() == [3, 0, 3]


def test_pixels_are_rows_in_the_unit_range(digits):
    data = digits["train"].data
    found = FEATURES["pixels"].extract(data).values
    assert found.shape == (800, 64) and found.dtype == np.float32
    np.testing.assert_allclose(found, data.reshape(800, 64) / 127.5 - 1, rtol=0, atol=2**-22)


@pytest.mark.parametrize("name, data", [("identity", np.zeros((2, 1, 8, 8), np.uint8)), ("pixels", np.zeros((2, 3)))])
def test_data_of_another_kind_is_refused(name, data):
    with pytest.raises(ValueError, match=r"found .*allowed"):
        FEATURES[name].extract(data)


def test_planning_and_arithmetic_import_no_torch():
    code = "import sys, collapselab.metrics; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )


# -- the LeNet --------------------------------------------------------------------------------------------------------


def test_the_lenet_reads_digits(digits, trained):
    weights, info = trained
    found = lenet(digits["held_out"].data, weights)
    # Over 21 seeds .975 of the held-out digits (deviation .006) and all of the others; a tenth without a training.
    assert info["held_out_accuracy"] > 0.95
    assert info["held_out_accuracy"] == np.mean(found.classes == digits["held_out"].labels)
    assert info["train_accuracy"] > 0.99
    assert found.values.shape == (597, 84) and found.values.dtype == np.float32
    assert LeNetOptions(**info["options"]) == LeNetOptions()


QUICK = LeNetOptions(width=4, features=6, epochs=2)


def quick(data, labels, seed):
    return train_lenet(data, labels, seed, QUICK, held_out=(data, labels))


def test_the_same_seed_gives_the_same_bits(digits):
    data, labels = digits["train"].data, digits["train"].labels
    (one, info), (same, same_info), (other, _) = (quick(data, labels, seed) for seed in (1, 1, 2))
    assert info == same_info
    assert one.keys() == same.keys() and all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["hidden.weight"], other["hidden.weight"])


@pytest.mark.gpu
def test_a_gpu_repeats_itself(digits):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    data, labels = digits["train"].data, digits["train"].labels
    one, same = (train_lenet(data, labels, 1, QUICK, held_out=(data, labels), device="cuda")[0] for _ in range(2))
    assert all(np.array_equal(one[name], same[name]) for name in one)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 11, 9)])
def test_features_are_read_as_the_network_was_trained(shape):
    """The layers stand twice, in torch to be differentiated and in numpy to be read: both give the same logits."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(5)
    data, labels = random.integers(0, 256, (40, *shape), dtype=np.uint8), random.integers(0, 3, 40)
    weights, _ = train_lenet(data, labels, 1, QUICK, held_out=(data, labels))
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    differentiated = _logits(tensors, torch.from_numpy(to_unit(data))).numpy()
    read = lenet(data, weights).values @ weights["classes.weight"].T + weights["classes.bias"]
    np.testing.assert_allclose(read, differentiated, rtol=0, atol=1e-5 * np.abs(differentiated).max())  # float32 sums


def test_held_out_images_train_nothing(digits):
    data, labels, others = digits["train"].data, digits["train"].labels, digits["fresh"]
    weights, _ = quick(data, labels, 1)
    again, _ = train_lenet(data, labels, 1, QUICK, held_out=(others.data, others.labels))
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28), (3, 32, 32), (2, 40, 8)])
def test_any_size_and_number_of_channels(shape):
    data = np.random.default_rng(0).integers(0, 256, (70, *shape), dtype=np.uint8)
    labels = np.arange(70) % 3
    weights, info = quick(data, labels, 1)
    assert lenet(data, weights).values.shape == (70, 6)
    assert weights["classes.weight"].shape == (3, 6)
    assert 0 <= info["held_out_accuracy"] <= 1


def test_the_lenet_refuses_what_it_cannot_read(digits, trained):
    data, labels = digits["train"].data, digits["train"].labels
    with pytest.raises(ValueError, match="weights: found None"):
        lenet(data)
    with pytest.raises(ValueError, match=r"images of shape \(1, 8, 4\), the lenet was trained on \(1, 8, 8\)"):
        lenet(data[..., :4], trained[0])
    with pytest.raises(ValueError, match="sides of at least 8"):
        quick(data[..., :4], labels, 1)
    with pytest.raises(ValueError, match="found none labels for 800 images"):
        quick(data, None, 1)
    with pytest.raises(ValueError, match="held_out: found 3 labels"):
        train_lenet(data, labels, 1, QUICK, held_out=(data, labels[:3]))
    with pytest.raises(ValueError, match="epochs"):
        LeNetOptions(epochs=0)
