"""The multinomial family: shares by hand, the posterior's moments, samples that keep to themselves."""

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab import store
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models.multinomial import Multinomial, MultinomialOptions, MultinomialPopulation, Multinomials
from collapselab.models.stored import Stored

pytestmark = pytest.mark.trained

SEED = 20_230_704


def training(data, weights=None):
    data = np.asarray(data, np.int64)
    return TrainingSet(data, None, np.ones(len(data)) if weights is None else np.asarray(weights, np.float64))


def fitted(data, weights=None, *, seed=0, **options):
    return Multinomial.fit(training(data, weights), MultinomialOptions(**options), Run(seed))


def truth(probabilities):
    return Multinomial.population(MultinomialPopulation(probabilities=probabilities))


def test_shares_are_counted_and_smoothed():
    np.testing.assert_allclose(fitted([0, 0, 1, 0], categories=3).probabilities, [0.75, 0.25, 0.0])
    np.testing.assert_allclose(fitted([0, 0, 1, 0], categories=3, alpha=2.0).probabilities, [0.5, 0.3, 0.2])
    np.testing.assert_allclose(fitted([0, 1], [3.0, 1.0], categories=2).probabilities, [0.75, 0.25])
    np.testing.assert_allclose(fitted([], categories=4, alpha=0.5).probabilities, 0.25)


def test_a_posterior_draw_has_the_moments_of_the_dirichlet():
    data, alpha = [0, 0, 0, 1, 1, 2], 0.5
    draws = 20_000
    found = np.array(
        [
            fitted(data, seed=seed, categories=4, alpha=alpha, estimate="posterior_draw").probabilities
            for seed in range(draws)
        ]
    )
    counts = np.array([3.5, 2.5, 1.5, 0.5])
    total = counts.sum()
    mean = counts / total
    variance = mean * (1 - mean) / (total + 1)
    assert (abs(found.mean(axis=0) - mean) < 4.5 * np.sqrt(variance / draws)).all()
    squared = (found - mean) ** 2
    assert (abs(squared.mean(axis=0) - variance) < 4.5 * squared.std(axis=0) / np.sqrt(draws)).all()


def test_a_posterior_draw_belongs_to_its_seed_and_never_revives_a_type():
    options = {"categories": 3, "estimate": "posterior_draw"}
    first, again, other = (fitted([0, 0, 1], seed=seed, **options).probabilities for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first[2] == 0.0 and first.sum() == pytest.approx(1.0)


def test_samples_follow_the_shares():
    probabilities, count = np.array([0.0, 0.5, 0.3, 0.0, 0.2, 0.0]), 50_000
    data = truth(probabilities.tolist()).sample(Ask(count, SEED)).data
    assert data.dtype == np.int64
    shares = np.bincount(data, minlength=6) / count
    assert (abs(shares - probabilities) <= 4.5 * np.sqrt(probabilities * (1 - probabilities) / count)).all()


def test_sampling_bias_is_the_temperature():
    count = 50_000
    data = truth([0.6, 0.3, 0.1, 0.0]).sample(Ask(count, SEED, bias=0.5)).data
    expected = np.array([0.36, 0.09, 0.01, 0.0]) / 0.46
    shares = np.bincount(data, minlength=4) / count
    assert (abs(shares - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / count)).all()


def test_a_strong_bias_takes_the_mode_without_overflow():
    assert (truth([0.2, 0.5, 0.3]).sample(Ask(100, SEED, bias=1e-4)).data == 1).all()


def test_sample_i_does_not_depend_on_its_company():
    model = truth({"categories": 50, "law": "zipf"})
    whole = model.sample(Ask(300, SEED)).data
    for start, count in [(0, 1), (7, 1), (13, 64), (299, 1)]:
        np.testing.assert_array_equal(model.sample(Ask(count, SEED, start=start)).data, whole[start : start + count])
    assert not np.array_equal(model.sample(Ask(300, SEED + 1)).data, whole)


@pytest.mark.parametrize("categories", [1, 2, 7, 8, 9, 200])
@pytest.mark.parametrize("options", [{}, {"alpha": 0.3}, {"alpha": 0.3, "estimate": "posterior_draw"}], ids=str)
def test_a_stack_holds_the_bits_of_each_alone(categories, options):
    source, options = np.random.default_rng(categories), options | {"categories": categories}
    data, fits, draws = source.integers(0, categories, (5, 40)), [3, 1, 4, 1, 5], [9, 2, 6, 5, 3]
    for weights in (source.uniform(0.5, 2.0, (5, 40)), np.ones((1, 40))):
        stack = Multinomials.fit(data, weights, MultinomialOptions(**options), fits)
        samples = stack.sample(30, draws, 0.8)
        for row, of_row in enumerate(np.broadcast_to(weights, (5, 40))):
            alone = fitted(data[row], of_row, seed=fits[row], **options)
            np.testing.assert_array_equal(stack.probabilities[row], alone.probabilities)
            np.testing.assert_array_equal(samples[row], alone.sample(Ask(30, draws[row], bias=0.8)).data)
    law = truth((0.2, 0.0, 0.8))
    for seed, found in zip(draws, Multinomials.of(law).sample(20, draws), strict=True):
        np.testing.assert_array_equal(found, law.sample(Ask(20, seed)).data)


def test_populations():
    np.testing.assert_allclose(truth({"categories": 4, "law": "uniform"}).probabilities, 0.25)
    np.testing.assert_allclose(truth({"categories": 3, "law": "zipf"}).probabilities, np.array([6, 3, 2]) / 11)
    np.testing.assert_allclose(truth([0.333_333_3, 0.666_666_7]).probabilities.sum(), 1.0, rtol=1e-15)
    mean, covariance = truth([0.2, 0.8]).moments()
    np.testing.assert_allclose(mean, [0.2, 0.8])
    np.testing.assert_allclose(covariance, [[0.16, -0.16], [-0.16, 0.16]])


@pytest.mark.parametrize(
    "probabilities",
    [
        [0.5, 0.4],
        [1.5, -0.5],
        [],
        [float("nan"), 1.0],
        {"categories": 3, "law": "geometric"},
        {"categories": 0, "law": "zipf"},
    ],
)
def test_impossible_populations_are_refused(probabilities):
    with pytest.raises(ValidationError, match="probabilities"):
        truth(probabilities)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"takes 0 \.\. 2; got values from 0 to 3"):
        fitted([0, 3], categories=3)
    with pytest.raises(ValueError, match="got values from -1 to 1"):
        fitted([-1, 1], categories=3)
    with pytest.raises(ValueError, match="at least one row with weight"):
        fitted([], categories=3)
    with pytest.raises(ValueError, match=r"float64 data of shape \(2, 2\)"):
        Multinomial.fit(TrainingSet(np.zeros((2, 2)), None, np.ones(2)), MultinomialOptions(categories=2), Run(0))
    with pytest.raises(ValueError, match="guide"):
        truth([1.0]).sample(Ask(3, SEED, guide="cads"))
    with pytest.raises(Diverged):
        fitted([0, 1], [np.nan, 1.0], categories=2)


def test_a_model_comes_back_from_disk_with_the_same_samples(tmp_path):
    model = fitted([0, 1, 1, 2], categories=4, alpha=0.5)
    store.write_tensors(tmp_path / "model.safetensors", model.stored().tensors, {})
    tensors, _ = store.read_tensors(tmp_path / "model.safetensors")
    loaded = Multinomial.load(Stored(tensors), model.options)
    np.testing.assert_array_equal(loaded.sample(Ask(50, SEED)).data, model.sample(Ask(50, SEED)).data)


# -- whole images as categories ----------------------------------------------------------------------------------------


def pictures(which):
    """Of four images that differ in one byte or more, those with these numbers."""
    four = np.random.default_rng(SEED).integers(0, 256, (4, 1, 3, 2), dtype=np.uint8)
    four[3] = four[0]
    four[3, 0, 2, 1] ^= 1
    return four[np.asarray(which)]


def of_images(which, weights=None, *, seed=0, **options):
    weights = np.ones(len(which)) if weights is None else np.asarray(weights, np.float64)
    return Multinomial.fit(TrainingSet(pictures(which), None, weights), MultinomialOptions(**options), Run(seed))


def test_images_are_counted_whole_and_copied():
    model, count = of_images([0, 1, 0, 3], [1.0, 3.0, 2.0, 2.0]), 20_000
    np.testing.assert_allclose(np.exp(model.log_likelihood(pictures([0, 1, 2, 3]), 0)), [3 / 8, 3 / 8, 0, 2 / 8])
    samples = model.sample(Ask(count, SEED)).data
    assert samples.dtype == np.uint8 and samples.shape == (count, 1, 3, 2) and model.shape == (1, 3, 2)
    for number, share in ((0, 3 / 8), (1, 3 / 8), (2, 0), (3, 2 / 8)):
        found = (samples == pictures([number])).all(axis=(1, 2, 3)).mean()
        assert abs(found - share) <= 4.5 * np.sqrt(share * (1 - share) / count)
    np.testing.assert_array_equal(model.sample(Ask(7, SEED, start=5)).data, samples[5:12])
    hot = model.sample(Ask(count, SEED, bias=0.5)).data
    share = 9 / (9 + 9 + 4)
    found = (hot == pictures([1])).all(axis=(1, 2, 3)).mean()
    assert abs(found - share) <= 4.5 * np.sqrt(share * (1 - share) / count)


def test_images_are_numbered_whatever_their_order():
    """So a loop of images is that of their categories, to the bits."""
    one, other = of_images([2, 0, 1, 0]), of_images([0, 0, 1, 2])
    assert one.stored().tensors.keys() == {"probabilities", "images", "curve.images_seen", "curve.loss"}
    for name, array in one.stored().tensors.items():
        np.testing.assert_array_equal(other.stored().tensors[name], array)
    order = np.argsort([image.tobytes() for image in pictures([0, 1, 2])])
    as_numbers = fitted(np.argsort(order)[[2, 0, 1, 0]], categories=3)
    np.testing.assert_array_equal(
        one.sample(Ask(50, SEED)).data, pictures(order)[as_numbers.sample(Ask(50, SEED)).data]
    )


def test_moments_of_images_are_those_of_their_pixels():
    model = of_images([0, 1, 0, 2])
    mean, covariance = model.moments()
    rows = pictures([0, 1, 0, 2]).reshape(4, -1) / 127.5 - 1
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-6)  # pixels are float32
    np.testing.assert_allclose(covariance, np.cov(rows.T, ddof=0), atol=1e-6)


def test_images_without_weight_are_not_kept():
    model = of_images([0, 1, 2], [1.0, 0.0, 1.0])
    assert len(model.images) == 2
    assert model.log_likelihood(pictures([1]), 0) == -np.inf


def test_a_draw_of_the_bayesian_bootstrap_of_images():
    draws = np.array([of_images([0, 0, 1], seed=seed, estimate="posterior_draw").probabilities for seed in range(2000)])
    sizes = of_images([0, 0, 1]).probabilities * 3
    mean, variance = sizes / 3, sizes * (3 - sizes) / (9 * 4)
    assert (abs(draws.mean(axis=0) - mean) < 4.5 * np.sqrt(variance / 2000)).all()


def test_stored_images_come_back(tmp_path):
    model = of_images([0, 1, 1, 2])
    store.write_tensors(tmp_path / "model.safetensors", model.stored().tensors, {})
    loaded = Multinomial.load(Stored(store.read_tensors(tmp_path / "model.safetensors")[0]), model.options)
    np.testing.assert_array_equal(loaded.sample(Ask(50, SEED)).data, model.sample(Ask(50, SEED)).data)
    stored = sum(array.nbytes for array in model.stored().tensors.values())
    assert stored == Multinomial.stored_bytes(model.options, (1, 3, 2), 3)
    with pytest.raises(ValueError, match="images: found uint8 of shape"):
        Multinomial.load(Stored(dict(model.stored().tensors) | {"images": pictures([0])}), model.options)


def test_what_images_cannot_have():
    with pytest.raises(ValueError, match="categories: found 3, allowed with images is none"):
        of_images([0, 1], categories=3)
    with pytest.raises(ValueError, match=r"alpha: found 0\.5, allowed with images is 0"):
        of_images([0, 1], alpha=0.5)
    with pytest.raises(ValueError, match="categories: found None, allowed with categories is their number"):
        fitted([0, 1])
    with pytest.raises(ValueError, match="images needs at least one row with weight"):
        of_images([0, 1], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"allowed are uint8 images of shape \(1, 3, 2\)"):
        of_images([0, 1]).log_likelihood(np.arange(3), 0)
