"""The families in closed form and by EM, held against other formulas, and their loops against the laws they obey.

Comparisons with random samples allow 4.5 standard errors, estimated from the samples or replicates themselves.
"""

import itertools
import math

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from scipy import integrate, stats

from collapselab import store
from collapselab import study as studies
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS
from collapselab.models.inputs import dequantised
from collapselab.models.naive_bayes import total_correlation
from collapselab.models.stored import Stored
from collapselab.study import words

SEED = 20_230_704
VECTORS = {  # families of vectors, with options under which their law has a density
    "gmm": {"components": 3},
    "kde": {"bandwidth": 0.4},
    "ppca": {"components": 2, "ddof": 0},
    "box": {},
    "linear-regression": {"inputs": "fresh", "noise_sd": 0.7},
    "linear-classifier": {},
    "class-gaussian": {},
    "conditional-gaussian": {},
    "ridge-regression": {"noise_sd": 0.7, "penalty": 0.1},
    "logistic-regression": {"penalty": 0.1},
    "poisson": {},
}
SIGNED, COUNTED = ("linear-classifier", "logistic-regression"), ("poisson",)


def fitted(family, data, weights=None, *, seed=0, init=None, **options):
    data = np.asarray(data)
    weights = np.ones(len(data)) if weights is None else np.asarray(weights, np.float64)
    kind = MODELS[family]
    return kind.fit(TrainingSet(data, None, weights), kind.Options(**options), Run(seed), init)


def cloud(rows, dimension, seed=SEED):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(rows, dimension)) @ generator.normal(size=(dimension, dimension)) + 3.0


def rows_for(family, rows=60, dimension=3):
    data = cloud(rows, dimension)
    if family in SIGNED:
        data[:, -1] = np.where(data[:, -1] > 3.0, 1.0, -1.0)
    return np.floor(abs(data)) if family in COUNTED else data


def images(rows=30, shape=(2, 4, 3), seed=SEED):
    return np.random.default_rng(seed).integers(0, 256, (rows, *shape), dtype=np.uint8)


def agrees(found, expected):
    """Whether the mean over the first axis is that expected; says how far off it is if not."""
    found = np.asarray(found, np.float64)
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    off = (found.mean(axis=0) - expected) / (error + 1e-12)
    assert (abs(off) < 4.5).all(), f"standard errors off: {np.round(off, 1)}; found {found.mean(axis=0)}"


def has_moments(data, mean, covariance):
    """Whether rows have a mean and, about it, second moments."""
    centred = data - mean
    agrees(centred, 0.0)
    agrees(np.einsum("ni,nj->nij", centred, centred), covariance)


def loop(family, data, generations, count, replicate, bias=1.0, **options):
    """The models of a loop in which each sees ``count`` samples of the last one."""
    models = [fitted(family, data, seed=replicate, **options)]
    for generation in range(generations):
        samples = models[-1].sample(Ask(count, 1000 * replicate + generation, bias=bias)).data
        models.append(fitted(family, samples, seed=replicate, **options))
    return models


# -- what holds for several --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", VECTORS)
def test_samples_have_the_exact_moments(family):
    model = fitted(family, rows_for(family), **VECTORS[family])
    has_moments(model.sample(Ask(20_000, SEED)).data, *model.moments())


@pytest.mark.parametrize("family", VECTORS)
def test_the_density_integrates_to_one(family):
    """On a grid that reaches where next to nothing is left; labels of a classifier are summed."""
    model = fitted(
        family,
        rows_for(family, dimension=2),
        **(VECTORS[family] | {"components": 1} if family == "ppca" else VECTORS[family]),
    )
    mean, covariance = model.moments()
    sds = np.sqrt(np.diag(covariance))
    points = 601
    axes = [np.linspace(m - 9 * sd, m + 9 * sd, points) for m, sd in zip(mean, sds, strict=True)]
    if family in SIGNED:
        axes[1] = np.array([-1.0, 1.0])
    if family in COUNTED:
        axes = [np.arange(80.0), np.arange(80.0)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    density = np.exp(model.log_likelihood(grid.reshape(-1, 2), 0)).reshape(grid.shape[:-1])
    if family in COUNTED:
        assert density.sum() == pytest.approx(1.0, abs=1e-6)
        return
    over = density.sum(axis=1) if family in SIGNED else integrate.trapezoid(density, axes[1], axis=1)
    # A box has edges: each side is known to one cell of its 18 sds / 600 in sqrt(12) sds, 1 percent.
    assert integrate.trapezoid(over, axes[0]) == pytest.approx(1.0, abs=0.02 if family == "box" else 1e-6)


@pytest.mark.parametrize("family", [*VECTORS, "naive-bayes"])
def test_rows_without_weight_are_not_there(family):
    data = np.arange(60) % 7 if family == "naive-bayes" else rows_for(family)
    options = {"levels": (2, 4)} if family == "naive-bayes" else VECTORS[family]
    some, fewer = fitted(family, data, np.arange(60) < 40, **options), fitted(family, data[:40], **options)
    for name, array in fewer.stored().tensors.items():
        np.testing.assert_allclose(some.stored().tensors[name], array, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("family", sorted({*VECTORS, "naive-bayes"} - {"gmm"}))
def test_whole_weights_repeat_rows(family):
    data = np.arange(60) % 7 if family == "naive-bayes" else rows_for(family)
    options = {"levels": (2, 4)} if family == "naive-bayes" else VECTORS[family]
    times = np.random.default_rng(SEED).integers(1, 4, 60)
    weighted, repeated = (
        fitted(family, data, times, **options),
        fitted(family, np.repeat(data, times, axis=0), **options),
    )
    probes = data[:20]
    np.testing.assert_allclose(weighted.log_likelihood(probes, 0), repeated.log_likelihood(probes, 0), rtol=1e-10)
    for one, other in zip(weighted.moments(), repeated.moments(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("family", VECTORS)
def test_wrong_data_are_named(family):
    options = VECTORS[family]
    with pytest.raises(ValueError, match=f"data: found int64 of shape .*, allowed with {family} are vectors"):
        fitted(family, np.arange(10), **options)
    with pytest.raises(ValueError, match=f"weights: allowed with {family} are numbers from 0 up, not all 0"):
        fitted(family, rows_for(family), np.zeros(60), **options)
    with pytest.raises(ValueError, match="numbers from 0 up"):
        fitted(family, rows_for(family), np.arange(60) - 1.0, **options)
    with pytest.raises(Diverged):
        fitted(family, np.where(np.arange(60)[:, None] == 7, np.nan, rows_for(family)), **options)
    with pytest.raises(ValueError, match=f"guide: found 'cads', allowed is none: samples of {family}"):
        fitted(family, rows_for(family), **options).sample(Ask(2, 0, guide="cads"))


@pytest.mark.parametrize("family", [name for name, kind in MODELS.items() if not kind.bias])
def test_families_without_a_bias_take_none(family):
    model = fitted(family, rows_for(family), **VECTORS[family])
    with pytest.raises(ValueError, match=rf"sampling_bias: found 0.5, allowed with {family} is 1"):
        model.sample(Ask(2, 0, bias=0.5))


@pytest.mark.parametrize("family", [*VECTORS, "naive-bayes"])
def test_a_model_comes_back_from_disk_with_the_same_samples(family, tmp_path):
    data = images() if family == "naive-bayes" else rows_for(family)
    model = fitted(family, data, **VECTORS.get(family, {}))
    store.write_tensors(tmp_path / "model.safetensors", model.stored().tensors, {})
    loaded = type(model).load(Stored(store.read_tensors(tmp_path / "model.safetensors")[0]), model.options)
    assert loaded.shape == model.shape == data.shape[1:]
    np.testing.assert_array_equal(loaded.sample(Ask(50, SEED)).data, model.sample(Ask(50, SEED)).data)


def study(folder, models, data, real=40):
    """A study of one arm for each model, checked."""
    arms = {name: {"model": name, "regime": {"fully_synthetic": {"n": 40}}} for name in models}
    (folder / "plan.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "plan",
                "seeds": 1,
                "generations": 1,
                "data": data | {"split": {"held_out": 40}},
                "models": models,
                "initial": {"real": real},
                "samples": 40,
                "control": "none",
                "arms": arms,
                "extractors": ["moments"],
                "metrics": ["variance_ratio"],
                "primary": {"metric": "variance_ratio", "extractor": "moments"},
            }
        )
    )
    return studies.load(folder / "plan.yaml")


def test_a_study_says_before_any_work_which_options_do_not_suit_its_data(tmp_path):
    data = {"population": {"multinomial": {"probabilities": [0.25] * 4}}}
    with pytest.raises(studies.BadStudy) as refused:
        study(tmp_path, {"counts": "multinomial", "features": "naive-bayes"}, data)
    assert "models.counts: categories: found None, allowed with categories is their number" in str(refused.value)
    assert "models.features: levels: found None, allowed with categories is the number" in str(refused.value)
    models = {
        "counts": {"multinomial": {"categories": 4}},
        "features": {"naive-bayes": {"levels": [4]}},
    }
    assert study(tmp_path, models, data).kind == "categories"


def test_a_plan_counts_the_rows_that_a_model_keeps(tmp_path):
    """20,000 rows of 100 numbers, 15 MiB, in generation 0; later models have less than 1 MiB of them."""
    data = {"population": {"gaussian": {"dimension": 100}}}
    plan = study(tmp_path, {"kernels": "kde"}, data, real=20_000)
    assert "weights 15 MiB" in words.totals(plan)["disk"]


# -- naive Bayes -------------------------------------------------------------------------------------------------------

LEVELS = (2, 3, 4)


def joint_of(seed=SEED):
    """A law of all combinations, with dependence."""
    return np.random.default_rng(seed).dirichlet(np.full(math.prod(LEVELS), 0.5))


def draws(law, count, seed=SEED):
    return np.random.default_rng(seed).choice(len(law), count, p=law)


def test_naive_bayes_is_the_product_of_the_counted_shares():
    data, alpha = draws(joint_of(), 50), 0.5
    values = np.stack(np.unravel_index(data, LEVELS), axis=1)
    shares = [
        [(np.count_nonzero(values[:, j] == value) + alpha) / (50 + size * alpha) for value in range(size)]
        for j, size in enumerate(LEVELS)
    ]
    expected = [
        math.prod(marginal[value] for marginal, value in zip(shares, row, strict=True))
        for row in itertools.product(*map(range, LEVELS))
    ]
    model = fitted("naive-bayes", data, levels=LEVELS, alpha=alpha)
    np.testing.assert_allclose(model.probabilities, expected, rtol=1e-12)
    np.testing.assert_allclose(np.exp(model.log_likelihood(np.arange(24), 0)), expected, rtol=1e-12)
    assert model.probabilities.sum() == pytest.approx(1.0, rel=1e-12)
    mean, covariance = model.moments()
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    np.testing.assert_allclose(covariance.sum(axis=1), 0.0, atol=1e-15)


@pytest.mark.parametrize("bias", [1.0, 0.5])
def test_samples_of_naive_bayes_follow_its_law_at_a_temperature(bias):
    model, count = fitted("naive-bayes", draws(joint_of(), 60), levels=LEVELS), 30_000
    powers = model.probabilities ** (1 / bias)
    expected = powers / powers.sum()  # the power of a product is the product of powers
    found = np.bincount(model.sample(Ask(count, SEED, bias=bias)).data, minlength=24) / count
    assert (abs(found - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / count)).all()


def test_naive_bayes_is_a_projection_whose_loss_is_the_total_correlation():
    """Weights make the law itself a training set. A second fit changes nothing: only drift is left to a loop."""
    law, everything = joint_of(), np.arange(24)
    model = fitted("naive-bayes", everything, law, levels=LEVELS)
    divergence = (law * (np.log(law) - model.log_likelihood(everything, 0))).sum()
    assert total_correlation(law, LEVELS) == pytest.approx(divergence, rel=1e-12) and divergence > 0.1
    assert total_correlation(model.probabilities, LEVELS) == pytest.approx(0.0, abs=1e-12)
    again = fitted("naive-bayes", everything, model.probabilities, levels=LEVELS)
    np.testing.assert_allclose(again.shares, model.shares, rtol=1e-12)


def test_total_correlation_of_copies_is_the_entropy_of_all_but_one():
    shares = np.array([0.5, 0.3, 0.2])
    copies = np.zeros((3, 3, 3))
    copies[range(3), range(3), range(3)] = shares
    entropy = stats.entropy(shares)
    assert total_correlation(copies.ravel(), (3, 3, 3)) == pytest.approx(2 * entropy, rel=1e-12)
    with pytest.raises(ValueError, match=r"levels: found \[3, 2\] for 27 combinations"):
        total_correlation(copies, (3, 2))


def test_every_feature_of_naive_bayes_drifts_as_a_multinomial_of_its_own():
    """E H_t = H_0 (1 - 1/n)^t for each feature, and what two features share after the first fit is handed on."""
    n, generations, replicates, law = 12, 4, 1500, joint_of()
    table = law.reshape(LEVELS)
    marginals = [table.sum(axis=tuple(k for k in range(3) if k != j)) for j in range(3)]
    heterozygosity, crossed = np.empty((replicates, generations + 1, 3)), np.empty((replicates, generations + 1))
    for replicate in range(replicates):
        for t, model in enumerate(
            loop("naive-bayes", draws(law, n, replicate), generations, n, replicate, levels=LEVELS)
        ):
            features = np.split(model.shares, np.cumsum(LEVELS)[:-1])
            heterozygosity[replicate, t] = [1 - np.square(shares).sum() for shares in features]
            crossed[replicate, t] = features[0][0] * features[1][0]
    fits = np.arange(1, generations + 2)
    expected = [[(1 - np.square(p).sum()) * (1 - 1 / n) ** t for p in marginals] for t in fits]
    agrees(heterozygosity, expected)
    # The first fit sees dependent features: its shares covary by Cov / n; every later one only hands that on.
    covariance = table.sum(axis=2)[0, 0] - marginals[0][0] * marginals[1][0]
    agrees(crossed, marginals[0][0] * marginals[1][0] + covariance / n)


def test_total_covariance_of_a_naive_bayes_model_is_lost_at_once():
    """The dependence of samples about their own model has the mean 0 and, of a phi coefficient, variance 1/(n - 1)."""
    n, replicates = 40, 3000
    law = np.array([0.4, 0.1, 0.1, 0.4])  # phi = 0.6
    model = fitted("naive-bayes", np.arange(4), law, levels=(2, 2))
    data = model.sample(Ask(n * replicates, SEED)).data.reshape(replicates, n)
    a, b = np.unravel_index(data, (2, 2))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    phi = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    agrees(phi, 0.0)
    agrees(phi**2, 1 / (n - 1))


@pytest.mark.parametrize("bins", [256, 16, 2])
def test_naive_bayes_of_images(bins):
    data = images(rows=200)
    model = fitted("naive-bayes", data, bins=bins)
    width = 256 // bins
    binned = data.reshape(200, -1) // width
    shares = np.stack([np.bincount(column, minlength=bins) for column in binned.T]) / 200
    found = model.log_likelihood(data[:10], 0)
    expected = [sum(math.log(shares[j, row[j]] / width) for j in range(24)) for row in binned[:10]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    samples = model.sample(Ask(3000, SEED)).data
    assert samples.dtype == np.uint8 and samples.shape == (3000, 2, 4, 3)
    assert set(np.unique(samples) % width) == {width // 2}
    has_moments(samples.reshape(3000, -1) / 127.5 - 1, *model.moments())
    np.testing.assert_array_equal(model.sample(Ask(70, SEED, start=40)).data, samples[40:110])


def test_a_mass_of_pixels_sums_to_one():
    """Over all images of two pixels; a pixel that was never seen has no mass without smoothing."""
    data = images(rows=5, shape=(1, 1, 2))
    everything = np.stack(np.meshgrid(range(256), range(256)), axis=-1).astype(np.uint8).reshape(-1, 1, 1, 2)
    for alpha in (0.0, 0.25):
        masses = np.exp(fitted("naive-bayes", data, bins=8, alpha=alpha).log_likelihood(everything, 0))
        assert masses.sum() == pytest.approx(1.0, rel=1e-9)
        assert (masses == 0).any() == (alpha == 0)


def test_large_sets_of_images_are_drawn_in_parts_that_do_not_show(monkeypatch):
    model = fitted("naive-bayes", images(), bins=16)
    whole = model.sample(Ask(50, SEED)).data
    monkeypatch.setattr("collapselab.models.naive_bayes.BLOCK", 24 * 7)
    np.testing.assert_array_equal(model.sample(Ask(50, SEED)).data, whole)


def test_naive_bayes_needs_levels_for_categories_alone():
    with pytest.raises(ValueError, match="levels: found None, allowed with categories is the number of values"):
        fitted("naive-bayes", np.arange(4))
    with pytest.raises(ValueError, match=r"levels: found \[2, 2\], allowed with images is none"):
        fitted("naive-bayes", images(), levels=(2, 2))
    with pytest.raises(ValueError, match=r"data: found 0 to 4, allowed with levels \[2, 2\] are 0 to 3"):
        fitted("naive-bayes", np.arange(5), levels=(2, 2))
    with pytest.raises(ValueError, match="data: found float64"):
        fitted("naive-bayes", np.zeros(4), levels=(2, 2))
    with pytest.raises(ValueError, match="at least one row with weight"):
        fitted("naive-bayes", np.arange(4), np.zeros(4), levels=(2, 2))
    with pytest.raises(Diverged):
        fitted("naive-bayes", np.arange(4), np.full(4, np.inf), levels=(2, 2))
    with pytest.raises(ValueError, match=r"allowed are uint8 images of \(2, 4, 3\)"):
        fitted("naive-bayes", images()).log_likelihood(images(shape=(1, 4, 3)), 0)
    with pytest.raises(ValueError, match="shares: found 3"):
        MODELS["naive-bayes"].load(
            Stored({"shape": np.empty(0, np.int64), "shares": np.ones(3)}), MODELS["naive-bayes"].Options(levels=(2, 2))
        )
    for options in ({"levels": []}, {"levels": [0, 2]}, {"levels": [2**40, 2**40]}, {"bins": 3}, {"alpha": -1}):
        with pytest.raises(ValidationError):
            MODELS["naive-bayes"].Options(**options)


# -- mixture of normal laws --------------------------------------------------------------------------------------------


def modes(rows=600, seed=SEED):
    """Three well separated modes in two dimensions with shares of a half, a third and a sixth."""
    random = np.random.default_rng(seed)
    which = np.repeat([0, 1, 2], [rows // 2, rows // 3, rows // 6])
    return np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0]])[which] + random.normal(size=(rows, 2)) * [1.0, 0.5]


@pytest.mark.trained
@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_a_mixture_has_the_density_of_its_parts(covariance):
    data = modes()
    model = fitted("gmm", data, components=3, covariance=covariance)
    spreads = [model.covariances] * 3 if covariance == "tied" else model.covariances
    expected = sum(
        weight * stats.multivariate_normal(mean, spread).pdf(data)  # which takes a matrix, a diagonal or a number
        for weight, mean, spread in zip(model.weights, model.means, spreads, strict=True)
    )
    np.testing.assert_allclose(np.exp(model.log_likelihood(data, 0)), expected, rtol=1e-9)
    stored = sum(array.nbytes for array in model.stored().tensors.values())
    assert MODELS["gmm"].stored_bytes(model.options, (2,), 0) == stored
    has_moments(model.sample(Ask(20_000, SEED)).data, *model.moments())


@pytest.mark.trained
def test_separated_modes_are_fitted_each_by_itself():
    """The parts of the data are then known: weights are shares, components their moments."""
    data = modes()
    model = fitted("gmm", data, components=3)
    order = np.argsort(-model.weights)
    for component, part in zip(order, np.split(data, [300, 500]), strict=True):
        assert model.weights[component] == pytest.approx(len(part) / 600, abs=1e-6)
        np.testing.assert_allclose(model.means[component], part.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(model.covariances[component], np.cov(part.T, ddof=0) + 1e-6 * np.eye(2), atol=1e-5)


@pytest.mark.trained
def test_a_biased_mixture_keeps_its_modes_and_narrows_them():
    model = fitted("gmm", modes(), components=3)
    wide, narrow = model.sample(Ask(2000, SEED)).data, model.sample(Ask(2000, SEED, bias=0.25)).data
    nearest = np.square(wide[:, None] - model.means).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(narrow - model.means[nearest], (wide - model.means[nearest]) / 2, atol=1e-9)


@pytest.mark.trained
def test_a_mixture_starts_from_the_model_before_it():
    """From the converged model EM stays, in the order of its components; an earlier one of another form is refused."""
    data = modes()
    model = fitted("gmm", data, components=3, seed=1)
    turned = type(model)(model.options, model.weights[::-1], model.means[::-1], model.covariances[::-1])
    again = fitted("gmm", data, components=3, seed=1, init=turned)
    np.testing.assert_allclose(again.means, turned.means, atol=1e-4)
    for options, rows, found in (
        ({"components": 2}, data, "components: 3"),
        ({"components": 3, "covariance": "tied"}, data, "covariance: full"),
        ({"components": 3}, np.concatenate([data, data], axis=1), "2 dimensions"),
    ):
        with pytest.raises(ValueError, match=f"init: found a gmm .*{found}"):
            fitted("gmm", rows, init=model, **options)


@pytest.mark.trained
@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_a_mixture_of_rows_that_are_all_equal_has_the_regularised_variance(covariance):
    model = fitted("gmm", np.full((20, 2), 5.0), components=3, covariance=covariance, regularisation=1e-4)
    mean, spread = model.moments()
    np.testing.assert_allclose(mean, 5.0, rtol=1e-9)
    np.testing.assert_allclose(spread, 1e-4 * np.eye(2), rtol=1e-3, atol=1e-12)
    again = fitted(
        "gmm", model.sample(Ask(20, 0)).data, components=3, covariance=covariance, regularisation=1e-4, init=model
    )
    assert np.isfinite(again.sample(Ask(20, 0)).data).all()


def test_what_a_mixture_cannot_be_fitted_to():
    with pytest.raises(ValueError, match="weights: found 1 to 2, allowed with gmm are equal ones"):
        fitted("gmm", modes(), np.repeat([1.0, 2.0], 300), components=3)
    with pytest.raises(ValueError, match="gmm with components: 3 needs as many rows; got 2"):
        fitted("gmm", modes()[:2], components=3)
    with pytest.raises(Diverged):
        fitted("gmm", np.full((20, 2), 5.0), components=2, regularisation=0.0)
    assert np.isfinite(fitted("gmm", modes(), np.full(600, 0.3), components=3).means).all()


@pytest.mark.trained
def test_a_loop_of_a_mixture_loses_modes_and_spread():
    """EM is biased, so the drift of the weights is held from one side: 24 rows in three modes cannot keep all three."""
    n, generations = 24, 12
    lines = [
        loop("gmm", modes(24, replicate), generations, n, replicate, components=3, covariance="spherical")
        for replicate in range(20)
    ]
    spread = np.array([[np.trace(model.moments()[1]) for model in line] for line in lines])
    entropies = np.array([[stats.entropy(model.weights) for model in line] for line in lines])
    assert np.median(spread[:, -1]) < 0.9 * np.median(spread[:, 0])
    assert np.median(entropies[:, -1]) < np.median(entropies[:, 0])


# -- kernels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rule", ["scott", "silverman"])
@pytest.mark.parametrize("dimension", [1, 3])
def test_a_rule_of_bandwidth_is_scipys(rule, dimension, weighted):
    data = cloud(50, dimension)
    weights = np.random.default_rng(1).uniform(0.2, 2.0, 50) if weighted else None
    model = fitted("kde", data, weights, bandwidth=rule)
    theirs = stats.gaussian_kde(data.T, rule, weights=weights)
    np.testing.assert_allclose(model.kernel, theirs.covariance, rtol=1e-10)
    probes = cloud(20, dimension, seed=2)
    np.testing.assert_allclose(model.log_likelihood(probes, 0), theirs.logpdf(probes.T), rtol=1e-9)


def test_a_kernel_estimate_follows_the_weights():
    model = fitted("kde", cloud(40, 2), np.arange(1, 41.0), bandwidth="scott")
    has_moments(model.sample(Ask(20_000, SEED)).data, *model.moments())


def test_a_biased_kernel_estimate_narrows_the_kernel_alone():
    model = fitted("kde", cloud(40, 2), bandwidth=2.0)
    mean, covariance = model.moments()
    has_moments(model.sample(Ask(20_000, SEED, bias=0.25)).data, mean, covariance - 0.75 * 2.0**2 * np.eye(2))


def test_a_kernel_without_width_is_the_bootstrap():
    data = cloud(40, 2)
    model = fitted("kde", data, bandwidth=0)
    samples = model.sample(Ask(20_000, SEED)).data
    assert {tuple(row) for row in samples} == {tuple(row) for row in data}
    assert np.isnan(model.log_likelihood(data, 0)).all()
    np.testing.assert_allclose(model.moments()[1], np.cov(data.T, ddof=0), rtol=1e-12)


def test_a_bootstrap_loop_loses_items():
    """n (1 - (1 - 1/n)^n) distinct rows after one generation, and 2n/t or so in the long run."""
    n = 30
    left = np.empty((400, 2))
    for replicate in range(400):
        models = loop("kde", np.arange(n, dtype=float)[:, None], 1, n, replicate, bandwidth=0)
        left[replicate] = [len(np.unique(model.rows)) for model in models]
    assert (left[:, 0] == n).all()
    agrees(left[:, 1], n * (1 - (1 - 1 / n) ** n))


def test_collapsed_rows_keep_a_collapsed_kernel_by_a_rule():
    model = fitted("kde", np.full((10, 2), 3.0), bandwidth="scott")
    np.testing.assert_array_equal(model.sample(Ask(5, 0)).data, 3.0)
    assert np.isnan(model.log_likelihood(np.full((2, 2), 3.0), 0)).all()
    with pytest.raises(ValueError, match="kde with bandwidth: scott needs at least 2 rows with weight; got 1"):
        fitted("kde", np.ones((1, 2)), bandwidth="scott")
    for bandwidth in (-0.1, float("inf"), "wide"):
        with pytest.raises(ValidationError, match="bandwidth"):
            MODELS["kde"].Options(bandwidth=bandwidth)


def variances(generations, n, replicates, **options):
    """Variances over n of the rows of each generation of one-dimensional kernel loops: (replicates, generations)."""
    random = np.random.default_rng(SEED)
    lines = (loop("kde", random.normal(size=(n, 1)), generations, n, r, **options) for r in range(replicates))
    return np.array([[model.rows.var() for model in line] for line in lines])


def test_a_fixed_kernel_inflates_towards_n_squares_of_its_width():
    """With a = 1 - 1/n and the law's variance v = s + h^2: s' = a v. From the truth's 1, s = a^t + a h^2 (..)."""
    n, generations, h = 10, 8, 0.6
    a, t = 1 - 1 / n, np.arange(generations + 1)
    law = a**t + h**2 * (1 - a**t) / (1 - a)  # E s^2_t of the law that the rows of fit t + 1 are drawn from
    agrees(variances(generations, n, 1500, bandwidth=h), a * law)


def test_scotts_rule_inflates_without_end():
    """Each generation multiplies the rows' expected variance by 1 - 1/n + n^(-2/5). So few rows tell n from n - 1."""
    n, generations = 10, 4
    growth = 1 - 1 / n + n ** (-2 / 5)
    agrees(variances(generations, n, 2000, bandwidth="scott"), (1 - 1 / n) * growth ** np.arange(generations + 1))


# -- probabilistic principal components --------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "dimension"), [(60, 5), (4, 7)])
@pytest.mark.parametrize("ddof", [0, 1])
def test_components_are_those_of_the_covariance(rows, dimension, ddof):
    """By the eigenvectors of the whole matrix, with more rows than coordinates and with fewer."""
    data, k = cloud(rows, dimension), 2
    values, vectors = np.linalg.eigh(np.cov(data.T, ddof=ddof))
    values, vectors = values[::-1], vectors[:, ::-1]
    noise = values[k:].mean()
    weights = vectors[:, :k] * np.sqrt(values[:k] - noise)
    model = fitted("ppca", data, components=k, ddof=ddof)
    assert model.noise == pytest.approx(noise, rel=1e-9)
    np.testing.assert_allclose(
        model.moments()[1], weights @ weights.T + noise * np.eye(dimension), rtol=1e-9, atol=1e-9
    )
    assert np.trace(model.moments()[1]) == pytest.approx(values.sum(), rel=1e-9)


def test_the_density_is_that_of_sklearn():
    from sklearn.decomposition import PCA

    data = cloud(60, 5)
    theirs = PCA(2).fit(data)
    np.testing.assert_allclose(
        fitted("ppca", data, components=2, ddof=1).log_likelihood(data, 0), theirs.score_samples(data), rtol=1e-9
    )
    mean, covariance = data.mean(axis=0), np.cov(data.T, ddof=0)
    whole = fitted("ppca", data, components=5, ddof=0)  # no noise is left, and none is needed
    assert whole.noise == 0
    np.testing.assert_allclose(
        whole.log_likelihood(data, 0), stats.multivariate_normal(mean, covariance).logpdf(data), rtol=1e-8
    )


def test_no_density_is_left_where_components_are_all_there_is():
    """Data of rank two, three components, or fewer rows than components: sigma^2 is 0 to rounding."""
    flat = cloud(30, 2) @ np.random.default_rng(3).normal(size=(2, 6))
    for data, k in ((flat, 3), (flat, 2), (cloud(3, 6), 5)):
        model = fitted("ppca", data, components=k, ddof=1)
        assert np.isnan(model.log_likelihood(data, 0)).all()
        np.testing.assert_allclose(model.moments()[1], np.cov(data.T), atol=1e-9)
        has_moments(model.sample(Ask(5000, SEED)).data, model.mean, model.moments()[1])
    with pytest.raises(ValueError, match="components: found 7, allowed for rows of 6 numbers are 1 to 6"):
        fitted("ppca", flat, components=7, ddof=1)
    with pytest.raises(ValueError, match="ppca with ddof: 1 needs at least 2 rows with weight; got 1"):
        fitted("ppca", flat[:1], components=1, ddof=1)


def spectrum_loop(noise, n=20_000, generations=3):
    """Traces and ranks of a loop from N(0, diag(5, 3, 2, 1, .5)), k = 2."""
    truth = np.random.default_rng(SEED).normal(size=(n, 5)) * np.sqrt([5, 3, 2, 1, 0.5])
    models = loop("ppca", truth, generations, n, 1, components=2, ddof=1, noise=noise)
    return [(np.trace(model.moments()[1]), np.linalg.matrix_rank(model.moments()[1], tol=1e-9)) for model in models]


def test_components_without_noise_lose_their_share_of_it_once():
    """sum_{i<=k} (l_i - sigma^2) = 5.667 of a trace of 11.5, with rank 2, and then no more than drift.

    Four standard deviations of a trace of variances l are 4 sqrt(2 sum l^2 / n), at most .25 here a generation.
    """
    (first, rank), *later = spectrum_loop("drop")
    error = 4 * math.sqrt(2 * (25 + 9) / 20_000)
    assert first == pytest.approx(8 - 2 * 3.5 / 3, abs=error) and rank == 2
    for fit, (trace, rank) in enumerate(later, 2):
        assert trace == pytest.approx(17 / 3, abs=error * math.sqrt(fit)) and rank == 2


def test_components_with_noise_keep_the_trace():
    error = 4 * math.sqrt(2 * (25 + 9 + 4 + 1 + 0.25) / 20_000)
    for fit, (trace, rank) in enumerate(spectrum_loop("keep"), 1):
        assert trace == pytest.approx(11.5, abs=error * math.sqrt(fit)) and rank == 5


@pytest.mark.parametrize("noise", ["keep", "drop"])
def test_a_bias_scales_the_covariance_of_components(noise):
    model = fitted("ppca", cloud(60, 4), components=2, ddof=0, noise=noise)
    mean, covariance = model.moments()
    has_moments(model.sample(Ask(20_000, SEED, bias=0.3)).data, mean, 0.3 * covariance)


def test_components_of_images():
    """Twelve images of 24 bytes around grey: the density of numbers in [-1, 1], and samples rounded to bytes."""
    data = (images(rows=12) // 8 + 112).astype(np.uint8)
    model = fitted("ppca", data, components=3, ddof=0)
    rows = data.reshape(12, -1) / 127.5 - 1
    np.testing.assert_allclose(model.mean, rows.mean(axis=0), atol=1e-7)
    seed = 5
    expected = stats.multivariate_normal(model.mean, model.moments()[1]).logpdf(dequantised(data, seed))
    np.testing.assert_allclose(model.log_likelihood(data, seed), expected - 24 * math.log(127.5), rtol=1e-8)
    samples = model.sample(Ask(5000, SEED)).data
    assert samples.dtype == np.uint8 and samples.shape == (5000, 2, 4, 3)
    mean, covariance = model.moments()
    # Rounding to bytes of 2/255 adds a twelfth of their square to the variances.
    has_moments(samples.reshape(5000, -1) / 127.5 - 1, mean, covariance + np.eye(24) / (12 * 127.5**2))
    with pytest.raises(ValueError, match=r"allowed are uint8 images of shape \(2, 4, 3\)"):
        model.log_likelihood(rows, 0)
    with pytest.raises(ValueError, match="shape: found"):
        type(model).load(Stored(dict(model.stored().tensors) | {"shape": np.array([1, 4, 3])}), model.options)


def test_dequantised_bytes_stay_bytes_and_belong_to_their_image():
    data = images(rows=50)
    found = dequantised(data, 3)
    np.testing.assert_array_equal(np.rint((found + 1) * 127.5), data.reshape(50, -1))
    np.testing.assert_array_equal(dequantised(data[[7, 3, 7]], 3), found[[7, 3, 7]])
    assert not np.array_equal(dequantised(data, 4), found)
    assert abs(((found + 1) * 127.5 - data.reshape(50, -1)).mean()) < 4.5 / math.sqrt(12 * found.size)
    assert dequantised(data[:0], 3).shape == (0, 24)


# -- box ---------------------------------------------------------------------------------------------------------------


def test_a_box_holds_a_central_share_of_each_coordinate():
    data = np.stack([np.arange(1, 11.0), np.arange(10, 0, -1.0) ** 2], axis=1)
    whole, inner = fitted("box", data), fitted("box", data, share=0.8)
    np.testing.assert_array_equal([whole.low, whole.high], [[1, 1], [10, 100]])
    # At most a tenth, one row, is left on each side.
    np.testing.assert_array_equal([inner.low, inner.high], [[1, 1], [10, 100]])
    inner = fitted("box", data, share=0.7)
    np.testing.assert_array_equal([inner.low, inner.high], [[2, 4], [9, 81]])
    heavy = fitted("box", data, np.where(np.arange(10) == 0, 50.0, 1.0), share=0.5)
    np.testing.assert_array_equal([heavy.low, heavy.high], [[1, 100], [1, 100]])


def test_points_in_and_out_of_the_box():
    model = fitted("box", np.array([[0.0, 0.0], [2.0, 5.0]]))
    found = model.log_likelihood(np.array([[1.0, 1.0], [2.0, 5.0], [2.1, 1.0]]), 0)
    np.testing.assert_allclose(found, [-math.log(10), -math.log(10), -np.inf])
    flat = fitted("box", np.array([[0.0, 1.0], [2.0, 1.0]]))
    assert np.isnan(flat.log_likelihood(np.ones((2, 2)), 0)).all()
    assert (flat.sample(Ask(10, 0)).data[:, 1] == 1).all()


def test_a_box_shrinks_by_the_range_of_uniform_samples():
    """The expected range of n uniform points is (n - 1) / (n + 1) of their interval: the width is that to the t."""
    n, generations, replicates = 9, 5, 1200
    random = np.random.default_rng(SEED)
    widths = np.empty((replicates, generations + 1))
    for replicate in range(replicates):
        line = loop("box", random.uniform(size=(n, 1)), generations, n, replicate)
        widths[replicate] = [(model.high - model.low)[0] for model in line]
    agrees(widths, ((n - 1) / (n + 1)) ** np.arange(1, generations + 2))


# -- linear regression -------------------------------------------------------------------------------------------------


def labelled(rows, w, sd=1.0, seed=SEED):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, len(w)))
    return np.concatenate([x, (x @ w + sd * random.normal(size=rows))[:, None]], axis=1)


W = np.array([1.0, -2.0, 0.5])


def test_regression_is_weighted_least_squares():
    data, weights = labelled(40, W), np.random.default_rng(1).uniform(0.2, 2.0, 40)
    x, y = data[:, :-1], data[:, -1]
    expected = np.linalg.solve((x.T * weights) @ x, (x.T * weights) @ y)
    model = fitted("linear-regression", data, weights)
    np.testing.assert_allclose(model.coefficients, expected, rtol=1e-10)
    few = fitted("linear-regression", data[:2])
    np.testing.assert_allclose(few.coefficients, np.linalg.pinv(x[:2]) @ y[:2], rtol=1e-10)


def test_the_density_of_a_regression():
    model, rows = fitted("linear-regression", labelled(40, W), noise_sd=0.7), labelled(20, W)
    x, y = rows[:, :-1], rows[:, -1]
    expected = stats.norm(0, 1).logpdf(x).sum(axis=1) + stats.norm(x @ model.coefficients, 0.7).logpdf(y)
    np.testing.assert_allclose(model.log_likelihood(rows, 0), expected, rtol=1e-10)
    # The joint law is normal, with the moments that it says.
    np.testing.assert_allclose(expected, stats.multivariate_normal(*model.moments()).logpdf(rows), rtol=1e-8)
    assert np.isnan(fitted("linear-regression", rows, noise_sd=0).log_likelihood(rows, 0)).all()


def test_the_same_inputs_come_back_once_however_often_they_are_stored():
    data = labelled(7, W)
    model = fitted("linear-regression", data)
    first = model.sample(Ask(7, SEED)).data
    np.testing.assert_array_equal(first[:, :-1], data[:, :-1])
    pool = np.concatenate([data, first, model.sample(Ask(7, SEED + 1)).data])
    again = fitted("linear-regression", pool)
    np.testing.assert_array_equal(again.sample(Ask(14, 0)).data[:, :-1], np.concatenate([data, data])[:, :-1])
    twice = fitted("linear-regression", np.repeat(pool, 2, axis=0))
    np.testing.assert_array_equal(twice.sample(Ask(7, 0)).data[:, :-1], data[:, :-1])
    agrees(
        model.sample(Ask(20_000, 2)).data[:, -1] - model.sample(Ask(20_000, 2)).data[:, :-1] @ model.coefficients, 0.0
    )


def test_what_is_no_regression():
    with pytest.raises(ValueError, match="data: found 1 numbers a row, allowed are 2 or more"):
        fitted("linear-regression", np.ones((5, 1)))


def regression_errors(accumulate, inputs, n=12, generations=5, replicates=1000, dimension=3):
    """|w - w*|^2 of every fit, with w* = 0: (replicates, generations + 1)."""
    errors = np.empty((replicates, generations + 1))
    for replicate in range(replicates):
        data = labelled(n, np.zeros(dimension), seed=replicate)
        for generation in range(generations + 1):
            model = fitted("linear-regression", data, inputs=inputs)
            errors[replicate, generation] = model.coefficients @ model.coefficients
            samples = model.sample(Ask(n, 10_000 * replicate + generation)).data
            data = np.concatenate([data, samples]) if accumulate else samples
    return errors


def test_replaced_labels_add_an_error_a_generation():
    """sigma^2 t d / (n - d - 1): each generation adds the error of a first fit, whether inputs are the same or new."""
    expected = np.arange(1, 7) * 3 / (12 - 3 - 1)
    agrees(regression_errors(accumulate=False, inputs="same"), expected)
    agrees(regression_errors(accumulate=False, inputs="fresh"), expected)


def test_accumulated_labels_keep_the_error_bounded():
    """sigma^2 d / (n - d - 1) sum 1/i^2, below pi^2/6 first errors, with the same inputs; less with new ones."""
    expected = np.cumsum(1 / np.arange(1, 7) ** 2) * 3 / (12 - 3 - 1)
    same = regression_errors(accumulate=True, inputs="same")
    agrees(same, expected)
    fresh = regression_errors(accumulate=True, inputs="fresh")[:, -1]
    assert fresh.mean() < expected[-1] - 2 * fresh.std() / math.sqrt(len(fresh))


# -- linear classifier -------------------------------------------------------------------------------------------------


def two_classes(rows, w, seed=SEED):
    random = np.random.default_rng(seed)
    y = random.choice([-1.0, 1.0], rows)
    return np.concatenate([y[:, None] * w + random.normal(size=(rows, len(w))), y[:, None]], axis=1)


def test_the_direction_is_the_mean_of_the_inputs_turned_by_their_labels():
    data, weights = two_classes(50, W), np.random.default_rng(1).uniform(0.2, 2.0, 50)
    expected = np.average(data[:, :-1] * data[:, -1:], axis=0, weights=weights)
    np.testing.assert_allclose(fitted("linear-classifier", data, weights).direction, expected, rtol=1e-12)
    for wrong in (data[:, -1:], np.zeros((5, 3))):
        with pytest.raises(ValueError, match="rows of inputs and a label, which is -1 or 1"):
            fitted("linear-classifier", wrong)


@pytest.mark.parametrize("error", [0.0, 0.3])
def test_wrong_labels_shrink_the_direction_and_change_no_input(error):
    model = fitted("linear-classifier", two_classes(200, W), label_error=error)
    data = model.sample(Ask(20_000, SEED)).data
    w, x, y = model.direction, data[:, :-1], data[:, -1]
    has_moments(x, np.zeros(3), np.eye(3) + np.outer(w, w))
    agrees(y, 0.0)
    agrees(x * y[:, None], (1 - 2 * error) * w)
    clean = fitted("linear-classifier", two_classes(200, W)).sample(Ask(20_000, SEED)).data
    np.testing.assert_array_equal(clean[:, :-1], x)
    agrees((clean[:, -1] != y).astype(float), error)


@pytest.mark.parametrize("error", [0.0, 0.3])
def test_the_law_of_a_labelled_row(error):
    model, rows = fitted("linear-classifier", two_classes(200, W), label_error=error), two_classes(20, W, 3)
    densities = [
        stats.norm(sign * rows[:, -1:] * model.direction, 1.0).pdf(rows[:, :-1]).prod(axis=1) for sign in (1, -1)
    ]
    expected = ((1 - error) * densities[0] + error * densities[1]) / 2
    np.testing.assert_allclose(np.exp(model.log_likelihood(rows, 0)), expected, rtol=1e-9)
    assert (model.log_likelihood(rows + np.array([0, 0, 0, 1.0]), 0) == -np.inf).all()


@pytest.mark.parametrize(("off", "turned"), [(-0.06, False), (0.06, True)])
def test_an_imperfect_verifier_turns_the_classifier_round_above_its_threshold(off, turned):
    """It keeps right labels with phi and wrong ones with psi; at p = 1 / (1 + psi/phi) half of the kept are wrong."""
    phi, psi = 0.8, 0.3
    threshold = 1 / (1 + psi / phi)
    truth = two_classes(4000, np.array([2.0, 0.0, 0.0]))
    model = fitted("linear-classifier", truth, label_error=threshold + off)
    samples = model.sample(Ask(40_000, SEED)).data
    # Right is what the class that made x says: here known from the same draws without mistakes.
    classes = fitted("linear-classifier", truth).sample(Ask(40_000, SEED)).data[:, -1]
    right = samples[:, -1] == classes
    kept = np.random.default_rng(1).uniform(size=len(samples)) < np.where(right, phi, psi)
    p = threshold + off
    agrees(~right[kept], p * psi / (p * psi + (1 - p) * phi))
    again = fitted("linear-classifier", samples[kept])
    assert (again.direction @ model.direction < 0) == turned
