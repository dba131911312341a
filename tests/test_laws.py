"""Metrics of laws: closed forms, and each against what it says it predicts."""

import math

import numpy as np
import pytest

from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES, Features
from collapselab.metrics import METRICS
from collapselab.models.gaussian import Gaussian, GaussianPopulation
from collapselab.models.multinomial import Multinomial, MultinomialPopulation

OF_LAWS = [name for name, metric in METRICS.items() if metric.extractors == ("moments",)]


def law(mean, covariance):
    mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
    return Features(mean[None], moments=(mean, covariance))


def spread(seed, width):
    """A covariance with correlated columns of different sizes."""
    root = np.random.default_rng(seed).normal(size=(width, width + 3)) * np.geomspace(1, 9, width)[:, None]
    return root @ root.T


def seen(model):
    return FEATURES["moments"].extract(None, model)


def test_exactly_the_metrics_of_laws_ask_for_exact_moments():
    asked = {"mean_drift", "log_determinant_ratio", "surviving_categories", "regression_error", "classification_error"}
    asked |= {"surviving_dimensions"}
    assert set(OF_LAWS) == asked
    assert all(METRICS[name].suits("moments") and not METRICS[name].suits("identity") for name in OF_LAWS)


@pytest.mark.parametrize("name", OF_LAWS)
def test_samples_do_not_do_in_place_of_a_law(name):
    samples = np.random.default_rng(0).normal(size=(20, 3))
    known = law(np.full(3, 1 / 3), np.eye(3))
    for sides, role in (((known, Features(samples)), "fake"), ((Features(samples), known), "real")):
        with pytest.raises(Undefined, match=f"{role}: its moments are not known exactly"):
            METRICS[name](*sides)
    with pytest.raises(ValueError, match="laws of 3 and of 4 numbers") as error:
        METRICS[name](known, law(np.full(4, 0.25), np.eye(4)))
    assert not isinstance(error.value, Undefined)


def test_dimensions_that_still_vary():
    alive = METRICS["surviving_dimensions"]
    real = law([1, 2, 3], np.diag([1.0, 2.0, 5.0]))
    assert alive(real, real) == 3
    assert alive(real, law([0, 2, 0], np.diag([0.0, 1e-300, 0.0]))) == 1


def test_mean_drift():
    drift = METRICS["mean_drift"]
    real = law([1, 2, 3], np.diag([1.0, 2.0, 5.0]))
    assert drift(real, real) == 0
    assert drift(real, law([1, 4, 2], np.eye(3))) == (4 + 1) / 8
    with pytest.raises(Undefined, match="real: it does not vary"):
        drift(law([0, 0], np.zeros((2, 2))), law([0, 0], np.eye(2)))


def test_log_determinant_ratio():
    ratio = METRICS["log_determinant_ratio"]
    one, other = spread(0, 4), spread(1, 4)
    expected = (np.linalg.slogdet(other)[1] - np.linalg.slogdet(one)[1]) / 4
    assert ratio(law(np.zeros(4), one), law(np.ones(4), other)) == pytest.approx(expected, rel=1e-12)
    # The determinant is multiplicative, so a change of coordinates is the same on both sides and drops out.
    turn = np.random.default_rng(2).normal(size=(4, 4))
    turned = [law(np.zeros(4), turn @ side @ turn.T) for side in (one, other)]
    assert ratio(*turned) == pytest.approx(expected, rel=1e-9)
    # Independent dimensions, one of which has all but died: no rounding in the others hides it.
    variances = np.array([1.0, 1e-40, 3.0])
    assert ratio(law(np.zeros(3), np.eye(3)), law(np.zeros(3), np.diag(variances))) == pytest.approx(
        np.log(variances).mean(), rel=1e-14
    )


def test_a_singular_covariance_has_no_logarithm_of_its_determinant():
    flat = np.random.default_rng(0).normal(size=(3, 5))
    collapsed = law(np.zeros(5), flat.T @ flat)  # three rows span three of five dimensions
    with pytest.raises(Undefined, match="fake: its covariance is singular"):
        METRICS["log_determinant_ratio"](law(np.zeros(5), np.eye(5)), collapsed)
    with pytest.raises(Undefined, match="real: its covariance is singular"):
        METRICS["log_determinant_ratio"](collapsed, law(np.zeros(5), np.eye(5)))
    with pytest.raises(Undefined, match="singular"):
        METRICS["log_determinant_ratio"](law([0], [[1]]), law([0], [[0]]))


def test_surviving_categories():
    survivors = METRICS["surviving_categories"]
    truth = Multinomial.population(MultinomialPopulation(probabilities=(0.5, 0.25, 0.25, 0.0)))
    rows = np.array([0, 2, 0, 0])
    model = Multinomial.fit(TrainingSet(rows, None, np.ones(4)), Multinomial.Options(categories=4), Run(0))
    assert survivors(seen(truth), seen(truth)) == 3
    assert survivors(seen(truth), seen(model)) == 2
    for mean in ([0.5, 0.6], [1.5, -0.5]):
        with pytest.raises(Undefined, match="fake: its mean is no shares"):
            survivors(law([0.5, 0.5], np.eye(2)), law(mean, np.eye(2)))


def test_regression_error_is_what_real_data_adds_to_the_least_error():
    real, fake = law(np.zeros(4), spread(3, 4)), law(np.zeros(4), spread(4, 4))
    found = METRICS["regression_error"](real, fake)
    covariance = real.moments[1]

    def risk(slopes):  # E (y - w'x)^2 of the real law
        contrast = np.append(-slopes, 1)
        return contrast @ covariance @ contrast

    slopes = [np.linalg.inv(side.moments[1][:3, :3]) @ side.moments[1][:3, 3] for side in (real, fake)]
    assert found == pytest.approx(risk(slopes[1]) - risk(slopes[0]), rel=1e-9)
    assert METRICS["regression_error"](real, real) == 0
    with pytest.raises(Undefined, match="fake: its predictors' covariance is singular"):
        METRICS["regression_error"](real, law(np.zeros(4), np.ones((4, 4))))


def test_classification_error_is_the_share_that_is_wrong():
    mean, rows = np.array([0.6, -0.4, 0.2]), 200_000
    direction = np.array([1.0, 0.5, 0.0])
    relation = {role: np.eye(4) for role in ("real", "fake")}
    for role, column in (("real", mean), ("fake", direction)):
        relation[role][:3, 3] = relation[role][3, :3] = column
    found = METRICS["classification_error"](*(law(np.zeros(4), covariance) for covariance in relation.values()))
    source = np.random.default_rng(5)
    labels = source.choice([-1, 1], rows)
    points = labels[:, None] * mean + source.normal(size=(rows, 3))
    wrong = np.sign(points @ direction) != labels
    assert abs(wrong.mean() - found) < 4 * wrong.std() / math.sqrt(rows)
    real = law(np.zeros(4), relation["real"])
    best = 0.5 * math.erfc(np.linalg.norm(mean) / math.sqrt(2))
    assert METRICS["classification_error"](real, real) == pytest.approx(best, rel=1e-12)
    assert found > best
    with pytest.raises(Undefined, match="fake: its labels have no covariance"):
        METRICS["classification_error"](real, law(np.zeros(4), np.eye(4)))


@pytest.mark.parametrize("name", ["regression_error", "classification_error"])
def test_one_column_has_no_response_beside_predictors(name):
    with pytest.raises(Undefined, match="found 1 columns, needed are at least 2"):
        METRICS[name](law([0], [[1]]), law([0], [[1]]))


def test_other_metrics_read_exact_moments_too():
    """Of features that are one row with exact moments on both sides, as the extractor of laws makes them."""
    truth = Gaussian.population(GaussianPopulation(dimension=2, mean=1.0, sd=(1.0, 3.0)))
    data = truth.sample(Ask(50, 0)).data
    model = Gaussian.fit(TrainingSet(data, None, np.ones(50)), Gaussian.Options(ddof=0, covariance="diagonal"), Run(0))
    real, fake = seen(truth), seen(model)
    assert real.values.shape == fake.values.shape == (1, 2)
    assert METRICS["variance_ratio"](real, fake) == pytest.approx(model.covariance.sum() / 10, rel=1e-15)
    # Diagonal covariances commute: |m - m'|^2 + sum (s - s')^2 (Dowson and Landau 1982).
    expected = ((model.mean - 1) ** 2).sum() + ((np.sqrt(model.covariance) - [1, 3]) ** 2).sum()
    assert METRICS["frechet_distance"](real, fake) == pytest.approx(expected, rel=1e-12)
    assert METRICS["mean_drift"](real, fake) == pytest.approx(((model.mean - 1) ** 2).sum() / 10, rel=1e-14)


def test_of_categories_the_ratio_of_variances_is_that_of_heterozygosities():
    shares = np.array([0.5, 0.3, 0.2]), np.array([0.9, 0.1, 0.0])
    real, fake = (seen(Multinomial.population(MultinomialPopulation(probabilities=tuple(p)))) for p in shares)
    before, after = (1 - (p**2).sum() for p in shares)
    assert METRICS["variance_ratio"](real, fake) == pytest.approx(after / before, rel=1e-12)
