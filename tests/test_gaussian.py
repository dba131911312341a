"""The Gaussian family: moments by hand, exact populations, samples that keep to themselves."""

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab import store
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models.gaussian import Gaussian, GaussianOptions, GaussianPopulation, Gaussians
from collapselab.models.stored import Stored

pytestmark = pytest.mark.trained

SEED = 20_230_704
KINDS = [("full", 0), ("full", 1), ("diagonal", 0), ("diagonal", 1)]


def training(data, weights=None):
    data = np.asarray(data, np.float64)
    return TrainingSet(data, None, np.ones(len(data)) if weights is None else np.asarray(weights, np.float64))


def fitted(data, weights=None, *, ddof=1, covariance="full"):
    return Gaussian.fit(training(data, weights), GaussianOptions(ddof=ddof, covariance=covariance), Run(0))


def cloud(rows, dimension, seed=SEED):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, dimension)) @ generator.normal(size=(dimension, dimension)) + 3.0


@pytest.mark.parametrize("ddof", [0, 1])
def test_equal_weights_give_the_textbook_moments(ddof):
    data = cloud(40, 3)
    mean, covariance = fitted(data, ddof=ddof).moments()
    np.testing.assert_allclose(mean, data.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(data.T, ddof=ddof), rtol=1e-12)


@pytest.mark.parametrize("ddof", [0, 1])
def test_a_diagonal_covariance_is_the_diagonal_of_the_full_one(ddof):
    data = cloud(40, 3)
    _, full = fitted(data, ddof=ddof).moments()
    _, diagonal = fitted(data, ddof=ddof, covariance="diagonal").moments()
    np.testing.assert_allclose(diagonal, np.diag(np.diag(full)), rtol=1e-12)


@pytest.mark.parametrize(("covariance", "ddof"), KINDS)
def test_only_the_ratios_of_weights_count(covariance, ddof):
    data, weights = cloud(40, 2), np.random.default_rng(SEED).uniform(0.1, 2.0, 40)
    once = fitted(data, weights, ddof=ddof, covariance=covariance)
    thrice = fitted(data, 3.0 * weights, ddof=ddof, covariance=covariance)
    np.testing.assert_allclose(once.covariance, thrice.covariance, rtol=1e-12)


@pytest.mark.parametrize("ddof", [0, 1])
def test_rows_without_weight_are_not_there(ddof):
    data = cloud(40, 2)
    weights = np.arange(40) < 25
    np.testing.assert_allclose(fitted(data, weights, ddof=ddof).covariance, fitted(data[:25], ddof=ddof).covariance)


def test_whole_weights_repeat_rows_in_the_likelihood():
    data, times = cloud(20, 2), np.random.default_rng(SEED).integers(1, 4, 20)
    weighted, repeated = fitted(data, times, ddof=0), fitted(np.repeat(data, times, axis=0), ddof=0)
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-12)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-12)


def test_ddof_1_is_unbiased_for_rows_of_any_weights():
    # 20,000 dimensions are 20,000 data sets of ten rows that share their weights.
    weights = [4.0, 3.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.1]
    variances = fitted(np.random.default_rng(SEED).normal(size=(10, 20_000)), weights, covariance="diagonal").covariance
    assert abs(variances.mean() - 1.0) < 4.5 * variances.std() / np.sqrt(variances.size)


@pytest.mark.parametrize(("covariance", "ddof"), KINDS)
def test_a_fit_to_many_samples_returns_the_model(covariance, ddof):
    truth = fitted(cloud(50, 3), covariance=covariance)
    rows = 40_000
    again = fitted(truth.sample(Ask(rows, SEED)).data, ddof=ddof, covariance=covariance)
    (mean, spread), (mean_again, spread_again) = truth.moments(), again.moments()
    variances = np.diag(spread)
    assert (abs(mean_again - mean) < 4.5 * np.sqrt(variances / rows)).all()
    # Var of a sample covariance of normal rows: (s_ii s_jj + s_ij^2) / rows.
    assert (abs(spread_again - spread) < 4.5 * np.sqrt((np.outer(variances, variances) + spread**2) / rows)).all()


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize("dimension", [1, 2, 17])
def test_sample_i_does_not_depend_on_its_company(covariance, dimension):
    model = fitted(cloud(60, dimension), covariance=covariance)
    whole = model.sample(Ask(300, SEED)).data
    for start, count in [(0, 1), (7, 1), (13, 64), (0, 299), (299, 1)]:
        np.testing.assert_array_equal(model.sample(Ask(count, SEED, start=start)).data, whole[start : start + count])
    assert not np.array_equal(model.sample(Ask(300, SEED + 1)).data, whole)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_sampling_bias_multiplies_the_covariance(covariance):
    model = fitted(cloud(60, 3), covariance=covariance)
    plain, biased = model.sample(Ask(50, SEED)).data, model.sample(Ask(50, SEED, bias=0.25)).data
    np.testing.assert_allclose(biased - model.mean, 0.5 * (plain - model.mean), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_point_mass_and_a_flat_cloud_are_models_too(covariance):
    point = fitted(np.full((5, 2), 0.1), covariance=covariance)
    np.testing.assert_allclose(point.sample(Ask(10, SEED)).data, 0.1, rtol=1e-12)
    line = np.arange(6.0)[:, None] * [1.0, 2.0, 0.0]
    samples = fitted(line, covariance=covariance).sample(Ask(100, SEED)).data
    np.testing.assert_array_equal(samples[:, 2], 0.0)
    if covariance == "full":
        # The variance across the line is rounding, about 1e-16 of the one along it, and its square root 1e-8.
        np.testing.assert_allclose(samples[:, 1], 2.0 * samples[:, 0], atol=1e-6)


def test_small_spreads_about_a_large_mean_survive():
    data = 1.0 + 1e-9 * np.random.default_rng(SEED).normal(size=(1000, 1))
    again = fitted(fitted(data).sample(Ask(1000, SEED)).data)
    # float64 resolves 2e-16 at 1, a relative 2e-7 of the spread; the rest is sampling: 4.5 sqrt(2 / 999) each way.
    assert abs(np.sqrt(again.covariance[0, 0]) / 1e-9 - 1.0) < 0.2


@pytest.mark.parametrize("rows", [2, 9, 33, 1000])
@pytest.mark.parametrize("dimension", [1, 2, 3, 8, 17])
@pytest.mark.parametrize(("covariance", "ddof"), KINDS)
def test_a_stack_holds_the_bits_of_each_alone(covariance, ddof, dimension, rows):
    source, options = np.random.default_rng(rows * dimension), GaussianOptions(ddof=ddof, covariance=covariance)
    data, seeds = source.normal(size=(5, rows, dimension)), [3, 1, 4, 1, 5]
    for weights in (source.uniform(0.5, 2.0, (5, rows)), np.ones((1, rows))):
        stack = Gaussians.fit(data, weights, options, seeds)
        samples = stack.sample(7, seeds, 0.8)
        for row, of_row in enumerate(np.broadcast_to(weights, (5, rows))):
            alone = fitted(data[row], of_row, ddof=ddof, covariance=covariance)
            np.testing.assert_array_equal(stack.means[row], alone.mean)
            np.testing.assert_array_equal(stack.covariances[row], alone.covariance)
            np.testing.assert_array_equal(samples[row], alone.sample(Ask(7, seeds[row], bias=0.8)).data)


def test_one_law_is_drawn_for_many_seeds():
    for law in (fitted(cloud(30, 3)), fitted(cloud(30, 3), covariance="diagonal")):
        samples = Gaussians.of(law).sample(6, [7, 8])
        for seed, found in zip([7, 8], samples, strict=True):
            np.testing.assert_array_equal(found, law.sample(Ask(6, seed)).data)


def test_moments_that_are_not_finite_are_a_divergence():
    with pytest.raises(Diverged):
        fitted([[0.0], [np.inf], [1.0]])
    with pytest.raises(Diverged):
        fitted([[0.0, np.nan], [1.0, 1.0]])
    with pytest.raises(Diverged):
        fitted([[1e300], [-1e300]], ddof=0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"ddof: 1 needs at least 2 rows with weight; got 1"):
        fitted([[1.0], [2.0]], [1.0, 0.0])
    with pytest.raises(ValueError, match=r"at least 1 rows with weight; got 0"):
        fitted(np.empty((0, 2)), ddof=0)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        fitted(np.zeros(4))
    with pytest.raises(ValueError, match="guide"):
        fitted(cloud(5, 1)).sample(Ask(3, SEED, guide="cads"))
    with pytest.raises(ValidationError, match="ddof"):
        GaussianOptions()


def test_a_population_is_what_its_options_say():
    same = Gaussian.population(GaussianPopulation(dimension=3, mean=1.0, sd=2.0))
    mean, covariance = same.moments()
    np.testing.assert_array_equal(mean, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(covariance, 4.0 * np.eye(3))
    each = Gaussian.population(GaussianPopulation(dimension=2, mean=[0.0, 5.0], sd=[1.0, 3.0]))
    np.testing.assert_array_equal(each.moments()[0], [0.0, 5.0])
    np.testing.assert_array_equal(each.moments()[1], np.diag([1.0, 9.0]))
    assert each.sample(Ask(4, SEED)).data.shape == (4, 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dimension": 2, "mean": [1.0]}, "mean has 1 numbers"),
        ({"dimension": 2, "sd": [1.0, 0.0]}, "sd must be greater than 0"),
        ({"sd": -1.0}, "sd must be greater than 0"),
        ({"mean": float("nan")}, "mean must be finite"),
        ({"dimension": 0}, "dimension"),
        ({"var": 1.0}, "var"),
    ],
)
def test_impossible_populations_are_refused(options, says):
    with pytest.raises(ValidationError, match=says):
        GaussianPopulation(**options)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_model_comes_back_from_disk_with_the_same_samples(tmp_path, covariance):
    model = fitted(cloud(30, 3), covariance=covariance)
    store.write_tensors(tmp_path / "model.safetensors", model.stored().tensors, {})
    tensors, _ = store.read_tensors(tmp_path / "model.safetensors")
    loaded = Gaussian.load(Stored(tensors), model.options)
    np.testing.assert_array_equal(loaded.sample(Ask(20, SEED)).data, model.sample(Ask(20, SEED)).data)
