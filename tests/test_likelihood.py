"""Likelihood: closed forms through the ODE, its trace estimator, the families, and what the metrics make of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.needs import Needs
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES, Features
from collapselab.features.likelihood import LikelihoodOptions, likelihood
from collapselab.metrics.likelihood import bits_per_dimension, coverage_calibration, likelihood_gap
from collapselab.models import MODELS
from collapselab.models.capabilities import ODE_STEPS, PROBES, Scores
from collapselab.models.diffusion import Diffusion, DiffusionOptions
from collapselab.models.diffusion.likelihood import log_density
from collapselab.models.gaussian import Gaussian, GaussianOptions, GaussianPopulation
from collapselab.models.multinomial import Multinomial, MultinomialOptions, MultinomialPopulation
from collapselab.models.rows import own_seed

pytestmark = pytest.mark.trained

LOW, HIGH = 0.002, 80.0  # the noise levels of the full-size presets


def rotated_gaussian(deviations, seed=0):
    """A mean and a covariance with these standard deviations along random directions."""
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(len(deviations),) * 2))[0]
    return random.uniform(-0.5, 0.5, len(deviations)), turn @ np.diag(np.square(deviations)) @ turn.T


def gaussian_denoiser(mean, covariance):
    """The exact denoiser of N(mean, S): mean + S (S + sigma^2 I)^-1 (x - mean)."""
    mean, covariance = torch.from_numpy(mean), torch.from_numpy(covariance)

    def denoise(x, sigma, labels):
        gain = torch.linalg.solve(covariance + sigma**2 * torch.eye(len(mean), dtype=x.dtype), covariance)
        return mean + (x - mean) @ gain

    return denoise


def signs(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], shape))


# -- through the ODE ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deviations", [(0.5,), (0.5, 0.5, 0.5), (0.1, 0.3, 0.5, 1.0), tuple(np.geomspace(0.05, 1.0, 12))]
)
def test_bits_per_dimension_of_a_gaussian_through_the_ode_are_those_of_the_closed_form(deviations):
    """To 1e-3 at the default number of steps, with anisotropic covariances up to 400 to 1.

    The closed form is of N(mean, S) itself: what LOW adds is (.002 / .05)^2 / 2 = 8e-4 nats in the narrowest direction
    of twelve. What HIGH leaves out is mean z / HIGH in a sample z deviations out: .5 / 80 at most, over sqrt(50) here.
    """
    mean, covariance = rotated_gaussian(deviations)
    truth = Gaussian(GaussianOptions(ddof=1), mean, covariance)
    data = truth.sample(Ask(50, 1)).data
    found = log_density(
        gaussian_denoiser(mean, covariance), torch.from_numpy(data), sigma_min=LOW, sigma_max=HIGH, steps=ODE_STEPS
    ).numpy()
    off = (found - truth.log_likelihood(data, 0)) / (len(mean) * math.log(2))
    assert abs(off.mean()) < 1e-3
    exact = as_the_ode_has_it(mean, covariance, data)
    assert np.abs(found - exact).max() / (len(mean) * math.log(2)) < 1e-3  # in each sample


def as_the_ode_has_it(mean, covariance, data):
    """log p of N(mean, S + LOW^2), where the law at HIGH is taken for N(0, HIGH^2 I): the ODE ends at
    mean + (S + HIGH^2)^(1/2) (S + LOW^2)^(-1/2) (x - mean)."""
    variances, turn = np.linalg.eigh(covariance)
    at_low, at_high = (
        stats.multivariate_normal(mean, covariance + sigma**2 * np.eye(len(mean))) for sigma in (LOW, HIGH)
    )
    end = mean + ((data - mean) @ turn * np.sqrt((variances + HIGH**2) / (variances + LOW**2))) @ turn.T
    return at_low.logpdf(data) - at_high.logpdf(end) + stats.norm(0, HIGH).logpdf(end).sum(axis=1)


def test_the_ode_is_solved_at_the_order_of_its_solver():
    """Fourth order: half the step, a sixteenth of the error; a quarter of that for the next order."""
    mean, covariance = rotated_gaussian((0.2, 0.5, 1.0))
    data = Gaussian(GaussianOptions(ddof=1), mean, covariance).sample(Ask(20, 1)).data
    exact = as_the_ode_has_it(mean, covariance, data)

    def error(steps):
        denoise = gaussian_denoiser(mean, covariance)
        found = log_density(denoise, torch.from_numpy(data), sigma_min=LOW, sigma_max=HIGH, steps=steps)
        return np.abs(found.numpy() - exact).mean()

    assert error(64) / error(128) == pytest.approx(16, rel=0.25)
    assert error(256) < 1e-6


def test_the_trace_estimate_is_unbiased():
    """Of 400 samples at one point, each with probes of its own, the mean is the exact one at 4.5 standard errors."""
    mean, covariance = rotated_gaussian((0.1, 0.3, 0.5, 1.0))
    denoise, levels = gaussian_denoiser(mean, covariance), {"sigma_min": LOW, "sigma_max": HIGH, "steps": 16}
    point = torch.from_numpy(mean[None] + 0.1)
    exact = log_density(denoise, point, **levels)
    spreads = {}
    for count in (1, 4):
        found = log_density(denoise, point.expand(400, 4), probes=signs(count, count, 400, 4), **levels).numpy()
        spreads[count] = found.std(ddof=1)
        assert found.mean() == pytest.approx(exact.item(), abs=4.5 * spreads[count] / 20)
    # Independent probes: the variance falls with their number; ratios of two deviations of 400 are known to 5 %.
    assert spreads[1] / spreads[4] == pytest.approx(2, rel=0.2)
    # Where the derivative is diagonal a random sign squared is 1, and the estimate is exact.
    straight = gaussian_denoiser(mean, np.diag(np.diag(covariance)))
    alike = log_density(straight, point, probes=signs(0, 1, 1, 4), **levels)
    torch.testing.assert_close(alike, log_density(straight, point, **levels))


def test_densities_of_a_mixture_integrate_to_one():
    """Two modes on a line, which no Gaussian formula knows: the sum over a fine grid of exp(log p), times its width.

    In each point to .02 nats: the prior leaves out mean z / HIGH, with means of .6 and z up to about 2.5.
    """
    modes, deviation = torch.tensor([-0.6, 0.4], dtype=torch.float64), 0.1

    def denoise(x, sigma, labels):
        total = deviation**2 + sigma**2
        share = torch.softmax(-((x - modes) ** 2) / (2 * total), dim=1)
        means = (deviation**2 * x + sigma**2 * modes) / total
        return (share * means).sum(dim=1, keepdim=True)

    grid = torch.linspace(-2, 2, 401, dtype=torch.float64)[:, None]
    found = log_density(denoise, grid, sigma_min=LOW, sigma_max=HIGH, steps=64)
    assert (found.exp().sum() * 0.01).item() == pytest.approx(1, abs=1e-3)
    by_hand = torch.logsumexp(torch.distributions.Normal(modes, deviation).log_prob(grid), dim=1) - math.log(2)
    assert (found - by_hand)[found > -3].abs().max() < 0.02


# -- the families ------------------------------------------------------------------------------------------------------


def halves(count=64):
    """4 x 4 images, bright on the left or dark on the left, grey elsewhere, with a few levels of noise."""
    labels = np.arange(count) % 2
    data = np.full((count, 1, 4, 4), 128)
    data[:, :, :, :2] = np.where(labels == 0, 230, 25)[:, None, None, None]
    return TrainingSet(
        (data + np.random.default_rng(count).integers(-5, 6, data.shape)).astype(np.uint8), labels, np.ones(count)
    )


def fitted(**options):
    small = {"channels": 32, "blocks": 1, "classes": 2, "batch": 32, "sample_batch": 8, "learning_rate": 5e-3}
    return Diffusion.fit(halves(), DiffusionOptions(**(small | options)), Run(1))


@pytest.fixture(scope="module")
def trained():
    """The real family, preset tiny, at toy size."""
    return fitted(images_seen=51_200)


def test_the_trained_family_finds_its_data_likely_and_noise_impossible(trained):
    """Over 21 seeds 4.15 bits a pixel of new images, 10.6 of noise and .37 between own and new ones (deviations of .09,
    .62 and .11); 8.3 of either, and .1 between them, without a training."""
    new, noise = halves(48).data, np.random.default_rng(0).integers(0, 256, (48, 1, 4, 4), dtype=np.uint8)
    of_new, of_noise, of_own = (
        likelihood(data, trained).values for data in (new, noise, trained.sample(Ask(48, 3)).data)
    )
    assert of_new.shape == (48, 1) and of_new.dtype == np.float64
    assert of_new.mean() < 7.5 < 8 < of_noise.mean()  # 8 bits: nothing is known
    assert abs(of_own.mean() - of_new.mean()) < 1
    # Per image the uniform law over what these images can be has log2(11) = 3.5 bits a pixel: no model has fewer.
    assert of_new.mean() > 3.4


def test_an_images_likelihood_depends_on_no_other_image(trained):
    data = halves(70).data  # more than a batch
    whole = trained.log_likelihood(data, 0)
    rows = np.array([69, 3, 3, 40])
    assert np.array_equal(trained.log_likelihood(data[rows], 0), whole[rows])
    assert not np.array_equal(trained.log_likelihood(data, 1), whole)
    assert len(trained.log_likelihood(data[:0], 0)) == 0
    noise = np.concatenate([seeds.uniforms(own_seed(0, image), 0, 2, image.size) for image in data[:4]])
    assert len(np.unique(noise)) == noise.size  # each image and each probe its own


def test_probes_of_the_trained_family_are_unbiased(trained):
    """Over 48 images the mean difference to the exact trace is within 4.5 of its own standard errors."""
    data = halves(48).data
    exact = trained.log_likelihood(data, 0, probes=0)
    for probes in (1, 8):
        difference = trained.log_likelihood(data, 0, probes=probes) - exact
        assert difference.mean() == pytest.approx(0, abs=4.5 * difference.std(ddof=1) / math.sqrt(48))
    steps = trained.log_likelihood(data, 0, steps=2 * ODE_STEPS) - trained.log_likelihood(data, 0)
    assert np.abs(steps).mean() / (16 * math.log(2)) < 5e-3  # bits per dimension; a network is less smooth


def test_the_silent_network_has_the_likelihood_of_its_gaussian():
    """A network that says 0 is the exact denoiser of N(0, sigma_data^2): bits of bytes b by hand, in closed form.

    sigma_data .5 in [-1, 1] is 64 levels, so that a density is as good as flat over a byte: (1 / 64)^2 / 24 of a nat
    times what the deviation is; the dequantised log-density at b + u differs from that at b by u b / 64^2 at random, of
    which the mean over 256 images x 16 pixels is within .003.
    """
    model = fitted(images_seen=32, sigma_data=0.5, sigma_min=0.002, learning_rate=1e-9)
    silent = Diffusion(
        model.options,
        model.shape,
        {name: 0 * array if "last" in name else array for name, array in model.averaged.items()},
        {},
    )
    data = np.random.default_rng(0).integers(0, 256, (256, 1, 4, 4), dtype=np.uint8)
    mass = stats.norm(0, 0.5).logpdf(data.astype(float) / 127.5 - 1) - math.log(127.5)
    bits = likelihood(data, silent).values.mean()
    assert bits == pytest.approx(-mass.mean() / math.log(2), abs=0.005)
    undropped = replace(silent, options=silent.options.model_copy(update={"label_dropout": 0.0}))  # two equal classes
    np.testing.assert_allclose(undropped.log_likelihood(data, 0), silent.log_likelihood(data, 0), rtol=1e-12)
    # The byte's middle is -1 and not its edge, which would be .02 bits off. One image, so one draw of 16 numbers u.
    black = np.zeros((1, 1, 4, 4), np.uint8)
    assert likelihood(black, silent).values.mean() == pytest.approx(
        -(stats.norm(0, 0.5).logpdf(-1) - math.log(127.5)) / math.log(2), abs=0.005
    )


def test_a_model_that_never_dropped_labels_is_the_mixture_of_its_classes():
    """Of images whose label is their look, the other class adds nothing: the right one's density, less ln 2."""
    model = fitted(images_seen=25_600, label_dropout=0.0)
    data = halves(16)
    single = replace(model, options=model.options.model_copy(update={"label_dropout": 0.1}))
    assert not np.array_equal(model.log_likelihood(data.data, 0), single.log_likelihood(data.data, 0))
    of_class = []
    for label in (0, 1):  # a network that is told one class whatever it is told
        rows = model.averaged["embedding.label"][[label, label]]
        told = replace(model, averaged={**model.averaged, "embedding.label": rows})
        of_class.append(told.log_likelihood(data.data, 0))
    expected = np.logaddexp(*of_class) - math.log(2)
    np.testing.assert_allclose(model.log_likelihood(data.data, 0), expected, atol=1e-3)  # float32 sums in other orders
    assert np.array_equal(of_class[1] > of_class[0], data.labels == 1)


def test_gaussian_densities_are_scipys():
    mean, covariance = rotated_gaussian((0.1, 1.0, 3.0))
    model = Gaussian(GaussianOptions(ddof=1), mean, covariance)
    data = model.sample(Ask(30, 0)).data
    expected = stats.multivariate_normal(mean, covariance).logpdf(data)
    np.testing.assert_allclose(model.log_likelihood(data, 0), expected, rtol=1e-10)
    np.testing.assert_allclose(likelihood(data, model).values[:, 0], -expected / (3 * math.log(2)), rtol=1e-10)
    diagonal = Gaussian(GaussianOptions(ddof=1, covariance="diagonal"), mean, np.diag(covariance))
    expected = stats.norm(mean, np.sqrt(np.diag(covariance))).logpdf(data).sum(axis=1)
    np.testing.assert_allclose(diagonal.log_likelihood(data, 0), expected, rtol=1e-10)


def test_a_collapsed_gaussian_has_no_density():
    data = np.random.default_rng(0).normal(size=(3, 5))  # three rows span two of five dimensions
    model = Gaussian.fit(TrainingSet(data, None, np.ones(3)), GaussianOptions(ddof=1), Run(0))
    assert np.isnan(model.log_likelihood(data, 0)).all()
    with pytest.raises(Undefined, match="real: the model has no density at 3 of 3 rows"):
        bits_per_dimension(likelihood(data, model), None)
    thin = Gaussian(GaussianOptions(ddof=1), np.zeros(2), np.array([[1.0, 1.0], [1.0, 1.0 + 2e-16]]))
    assert np.isnan(thin.log_likelihood(np.zeros((1, 2)), 0)).all()  # a variance of 1e-16 of the largest is rounding
    tiny = Gaussian(GaussianOptions(ddof=1), np.zeros(2), np.diag([1e-20, 1e-22]))  # small alone is not singular
    assert np.isfinite(tiny.log_likelihood(np.zeros((1, 2)), 0)).all()


def test_categories_have_masses_and_what_was_lost_is_impossible():
    model = Multinomial(MultinomialOptions(categories=3), np.array([0.25, 0.75, 0.0]))
    bits = likelihood(np.array([0, 1, 1]), model)
    np.testing.assert_allclose(bits.values[:, 0], [2, math.log2(4 / 3), math.log2(4 / 3)])
    assert bits.names == ("bits_per_dimension",)
    lost = likelihood(np.array([0, 2]), model)
    assert lost.values[1, 0] == np.inf
    with pytest.raises(Undefined, match="real: 1 of 2 rows are impossible under the model"):
        bits_per_dimension(lost, bits)
    assert coverage_calibration(lost, bits)["kolmogorov"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="data: found categories 0 to 3, allowed are 0 to 2"):
        model.log_likelihood(np.array([0, 3]), 0)


def test_a_likelihood_needs_a_model_that_has_one_and_data_that_it_knows(trained):
    with pytest.raises(ValueError, match="weights: found None, likelihood needs a model"):
        likelihood(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="weights: found dict"):
        likelihood(np.zeros((3, 2)), {})
    with pytest.raises(ValueError, match=r"found uint8 of shape \(2, 1, 8, 8\), allowed are uint8 images of shape"):
        likelihood(np.zeros((2, 1, 8, 8), np.uint8), trained)


def test_every_family_but_gans_has_a_likelihood_and_the_study_says_how_it_is_computed():
    assert {name for name, family in MODELS.items() if not issubclass(family, Scores)} == {
        "gan",
        "stylegan2",
        "pretrained",
    }
    assert LikelihoodOptions().model_dump() == {"steps": ODE_STEPS, "probes": PROBES, "rows": 1000}
    extractor = FEATURES["likelihood"]
    assert extractor.needs == Needs("model") and extractor.statistic
    elsewhere = {"sequences", "audio"}  # of texts surprisal tells it, and of clips nobody asks
    assert {kind for family in MODELS.values() for kind in family.takes} - elsewhere <= set(extractor.takes)


def test_only_the_first_rows_are_looked_at():
    truth = Gaussian.population(GaussianPopulation(dimension=3, sd=2.0))
    data = truth.sample(Ask(20, 0)).data
    np.testing.assert_array_equal(likelihood(data, truth, rows=7).values, likelihood(data, truth).values[:7])


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_bits_of_a_true_model_are_the_entropy():
    """Of N(0, 2^2) in three dimensions: log2(2 sqrt(2 pi e)) bits each, at 4.5 standard errors of 2000 samples."""
    truth = Gaussian.population(GaussianPopulation(dimension=3, sd=2.0))
    data = truth.sample(Ask(2000, 0)).data
    found = bits_per_dimension(likelihood(data, truth), likelihood(data[:1], truth))
    entropy = math.log2(2 * math.sqrt(2 * math.pi * math.e))
    assert found == pytest.approx(entropy, abs=4.5 * (found.high - found.low) / 3.92)
    # Var of -log2 p / d: d / 2 / (d ln 2)^2 for a Gaussian; the bootstrap of 1000 resamples knows it to a few percent.
    assert (found.high - found.low) / 3.92 == pytest.approx(
        math.sqrt(1 / (2 * 3)) / math.log(2) / math.sqrt(2000), rel=0.1
    )


def test_the_gap_is_that_of_an_overfitted_model():
    """Maximum likelihood of d means and variances on n rows: E gap about 2 d / n nats a row, 2 / (n ln 2) bits per d.

    Over 300 fits at n = 40 in 5 dimensions, diagonal: at 4.5 of their own standard errors and the next order, 15 %.
    """
    truth, found = Gaussian.population(GaussianPopulation(dimension=5)), []
    for seed in range(300):
        train = truth.sample(Ask(40, 2 * seed)).data
        model = Gaussian.fit(
            TrainingSet(train, None, np.ones(40)), GaussianOptions(ddof=0, covariance="diagonal"), Run(0)
        )
        new = likelihood(truth.sample(Ask(200, 2 * seed + 1)).data, model)
        found.append(likelihood_gap(likelihood(train, model), None, held_out=new))
    error = np.std(found, ddof=1) / math.sqrt(300)
    # By hand, of a row in one dimension: (n + 1) / (n - 3) / 2 new against 1 / 2 known, in nats.
    assert np.mean(found) == pytest.approx(((41 / 37) - 1) / 2 / math.log(2), abs=4.5 * error)
    inside = [value.low <= np.mean(found) <= value.high for value in found]
    assert np.mean(inside) > 0.9


def kolmogorov_of_equal_sizes(n):
    """E of the two-sample statistic of n and n: P(D >= k / n) = 2 sum_j (-1)^(j - 1) C(2n, n - j k) / C(2n, n)."""
    reach = [
        2 * sum((-1) ** (j - 1) * math.comb(2 * n, n - j * k) for j in range(1, n // k + 1)) / math.comb(2 * n, n)
        for k in range(1, n + 1)
    ]
    return sum(reach) / n


def test_calibration_of_the_true_model_has_its_null_values():
    """600 replicates of 50 real samples and 50 fakes: each mean at 4.5 of their standard errors."""
    random = np.random.default_rng(0)
    found = [coverage_calibration(*random.normal(size=(2, 50, 1))) for _ in range(600)]
    columns = {name: np.array([one[name] for one in found]) for name in found[0]}
    errors = {name: 4.5 * values.std(ddof=1) / math.sqrt(600) for name, values in columns.items()}
    assert columns["kolmogorov"].mean() == pytest.approx(kolmogorov_of_equal_sizes(50), abs=errors["kolmogorov"])
    assert columns["overconfidence"].mean() == pytest.approx(0, abs=errors["overconfidence"])
    # The standard deviation of 600 is known to 3 %.
    assert columns["overconfidence"].std() == pytest.approx(math.sqrt(101 / (12 * 50 * 50)), rel=0.12)
    limit = math.sqrt(math.pi / 32) * math.sqrt(2 / 50)
    assert columns["mean_absolute"].mean() == pytest.approx(limit, abs=errors["mean_absolute"] + 0.5 / 50)


def test_kolmogorov_is_scipys_ties_included():
    random = np.random.default_rng(1)
    for real, fake in (
        (random.normal(size=37), random.normal(0.5, 1, 53)),
        random.integers(0, 6, (2, 40)).astype(float),
    ):
        found = coverage_calibration(real[:, None], fake[:, None])
        assert found["kolmogorov"] == pytest.approx(stats.ks_2samp(real, fake).statistic, abs=1e-12)


@pytest.mark.parametrize("deviation, sign", [(0.5, 1), (1.0, 0), (2.0, -1)])
def test_a_collapsed_model_is_overconfident_and_a_broad_one_the_reverse(deviation, sign):
    """Real samples of N(0, I) in two dimensions, as N(0, s^2 I) sees them, against its own samples.

    Bits rise with the squared radius, exponential with mean 2 of the real samples and 2 s^2 of the fakes: the real one
    is the larger with probability 1 / (1 + s^2). At 4.5 standard errors.
    """
    truth, model = (Gaussian.population(GaussianPopulation(dimension=2, sd=sd)) for sd in (1.0, deviation))
    real, fake = (likelihood(source.sample(Ask(800, seed)).data, model) for source, seed in ((truth, 0), (model, 1)))
    found = coverage_calibration(real, fake)
    expected = 1 / (1 + deviation**2) - 0.5
    assert found["overconfidence"] == pytest.approx(
        expected, abs=4.5 * (found["overconfidence"].high - found["overconfidence"].low) / 3.92
    )
    assert sign == 0 or (found["overconfidence"].low > 0) == (sign > 0)
    if sign:
        # The regions are nested, so all levels are off to one side: the mean of a - F_r is that of |a - F_r|.
        assert found["mean_absolute"] == pytest.approx(abs(found["overconfidence"]), abs=0.01)
        # max of |exp(-r / 2) - exp(-r / (2 s^2))|: at q = exp(-r / 2) with q^(1 - 1 / s^2) = 1 / s^2.
        power = 1 / deviation**2
        q = power ** (1 / (1 - power))
        assert found["kolmogorov"] == pytest.approx(abs(q - q**power), abs=4.5 * 0.87 * math.sqrt(2 / 800) / 2)


def test_the_metrics_refuse_what_are_no_bits():
    wide, narrow = np.zeros((10, 3)), np.zeros((10, 1))
    with pytest.raises(ValueError, match="real: found rows of 3 numbers, allowed is 1"):
        bits_per_dimension(wide, narrow)
    with pytest.raises(Undefined, match="held_out: found 1 rows, needed are at least 2"):
        likelihood_gap(narrow, narrow, held_out=narrow[:1])
    with pytest.raises(Undefined, match="fake: the model has no density at 10 of 10 rows"):
        coverage_calibration(narrow, Features(np.full((10, 1), np.nan)))
    # F_f is 1/3, 1, 1 at the fakes, F_r is 0, 1, 1; of the pairs the real one is above in 2 of 6 and equal in 4.
    found = coverage_calibration(np.ones((2, 1)), np.array([[0.0], [1.0], [1.0]]))
    assert found["mean_absolute"] == pytest.approx(1 / 9) and found["overconfidence"] == pytest.approx(1 / 6)
    assert coverage_calibration(narrow, narrow) == {"kolmogorov": 0, "mean_absolute": 0, "overconfidence": 0}


def test_a_population_has_a_likelihood_too():
    truth = Multinomial.population(MultinomialPopulation(probabilities=(0.5, 0.5)))
    assert likelihood(np.array([0, 1]), truth).values[:, 0].tolist() == [1, 1]
