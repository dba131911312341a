"""Logistic regression, and the loop of its labels: to pi^2/6 where they accumulate, without bound where they do not.

Means over replicates lie within 4.5 of their own standard errors, as in test_oracles.py. The laws are those of many
rows: by 1,500 replicates of 400 rows the error of the covariance is 2 to 3 percent above its law, the squared error of
the coefficients 8 percent after one fit; the standard errors here are 4 percent and more.
"""

import functools
import math

import numpy as np
import pytest
from scipy import integrate
from scipy.special import expit
from test_oracles import agrees, loops

from collapselab import theory
from collapselab.compose import regimes
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.models.logistic_regression import information
from collapselab.populations import POPULATIONS
from collapselab.testing import check_family, check_population
from collapselab.theory.predict import predict
from collapselab.theory.setting import Setting

TRUTH, N, GENERATIONS, REPLICATES = {"dimension": 3, "signal": 1.5}, 400, 4, 350
FAMILY, KIND = MODELS["logistic-regression"], POPULATIONS["logistic-regression"]


def truth():
    return KIND.population(KIND.PopulationOptions(**TRUTH))


def fitted(data, weights=None, **options):
    data = np.asarray(data, np.float64)
    weights = np.ones(len(data)) if weights is None else np.asarray(weights, np.float64)
    return FAMILY.fit(TrainingSet(data, None, weights), FAMILY.Options(**options), Run(0))


# -- the family --------------------------------------------------------------------------------------------------------


def test_logistic_regression_keeps_the_contracts():
    check_family("logistic-regression")
    check_population("logistic-regression", TRUTH)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_the_fit_is_where_the_gradient_is_zero(penalty):
    data, weights = truth().sample(Ask(80, 3)).data, np.random.default_rng(1).uniform(0.2, 2, 80)
    model = fitted(data, weights, penalty=penalty)
    w, x, y = model.coefficients, data[:, :-1], data[:, -1]
    gradient = (weights / weights.sum() * y * expit(-y * (x @ w))) @ x - penalty * w
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    np.testing.assert_allclose(fitted(data, 7 * weights, penalty=penalty).coefficients, w, rtol=1e-9)


def test_labels_that_a_hyperplane_parts_have_no_estimate_without_a_penalty():
    x = np.array([[-2.0, 1.0], [-1.0, -3.0], [0.5, 2.0], [1.0, -1.0]])
    data = np.concatenate([x, np.sign(x[:, :1])], axis=1)
    with pytest.raises(Diverged):
        fitted(data)
    assert np.isfinite(fitted(data, penalty=0.1).coefficients).all()
    for wrong in (np.ones((5, 1)), np.zeros((5, 2))):
        with pytest.raises(ValueError, match="rows of inputs and a label, which is -1 or 1"):
            fitted(wrong)


@pytest.mark.parametrize("length", [0.0, 1.0, 5.0, 50.0])
def test_information_is_the_integral_that_it_says(length):
    def slope(z):
        return expit(length * z) * expit(-length * z) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    reach = min(12.0, 60 / max(length, 1))
    asked = {"epsabs": 1e-15, "epsrel": 1e-12, "limit": 300}
    along = 2 * integrate.quad(lambda z: z * z * slope(z), 0, reach, **asked)[0]
    np.testing.assert_allclose(information(length), (along, 2 * integrate.quad(slope, 0, reach, **asked)[0]), rtol=1e-9)


def test_the_density_is_that_of_inputs_and_labels():
    model = fitted(truth().sample(Ask(300, 1)).data[:, 1:])
    axis = np.linspace(-9, 9, 241)
    grid = np.stack(np.meshgrid(axis, axis, [-1.0, 1.0], indexing="ij"), axis=-1).reshape(-1, 3)
    density = np.exp(model.log_likelihood(grid, 0)).sum() * (axis[1] - axis[0]) ** 2
    assert density == pytest.approx(1, abs=1e-9)
    assert (model.log_likelihood(np.array([[0.0, 0.0, 0.5]]), 0) == -np.inf).all()


# -- its loop ----------------------------------------------------------------------------------------------------------


@functools.cache
def lines(preset):
    regime = regimes.REGIMES[preset](n=N, initial=N)
    return loops("logistic-regression", {}, TRUTH, regime, GENERATIONS, REPLICATES, made=N)


def errors(preset):
    real = FEATURES["moments"].extract(None, truth())
    metric = METRICS["regression_error"]
    return np.array([[metric(real, FEATURES["moments"].extract(None, one)) for one in line] for line in lines(preset)])


def test_the_pathway_ends_at_pi_squared_over_six():
    assert theory.pathway(10_000, True)[-1] == pytest.approx(math.pi**2 / 6, abs=1.1e-4)  # 1 / t is left
    assert theory.pathway(3, False).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("preset", "accumulates"), [("fully_synthetic", False), ("accumulate", True)])
def test_errors_of_labels_add_up_as_their_information_says(preset, accumulates):
    w = truth().coefficients
    found, law = errors(preset), theory.logistic_error(GENERATIONS, N, w, accumulates)
    agrees(found, law)
    away = np.array([[np.sum((one.coefficients - w) ** 2) for one in line] for line in lines(preset)])
    # Its first correction is 8 percent here, and more where the drawn labels come from larger coefficients.
    off = away.mean(axis=0) / theory.logistic_variance(GENERATIONS, N, w, accumulates) - 1
    assert (abs(off - 0.1) < 0.1 + 4.5 * away.std(axis=0) / away.mean(axis=0) / math.sqrt(REPLICATES)).all()
    wrong = theory.logistic_error(GENERATIONS, N, w, not accumulates)
    for other in (wrong, 0.75 * law):  # the other pathway, and the information of 4/3 of the rows
        with pytest.raises(AssertionError, match="standard errors off"):
            agrees(found, other)


def test_the_report_has_the_law_of_an_arm():
    def said(preset, **options):
        regime = regimes.REGIMES[preset](n=N, initial=N)
        full = FAMILY.Options(**options).model_dump()
        name = "logistic-regression"
        return predict(Setting(name, full, name, truth(), regime, GENERATIONS, 1.0, "nobody", {}, N))

    w = truth().coefficients
    one = float(theory.logistic_error(0, N, w)[0])
    (replace,), (keep,), (once,) = said("fully_synthetic"), said("accumulate"), said("real_only")
    np.testing.assert_allclose(replace.mean, one * np.arange(1, GENERATIONS + 2))
    np.testing.assert_allclose(keep.mean, theory.logistic_error(GENERATIONS, N, w, True))
    np.testing.assert_allclose(once.mean, one)
    assert replace.limit == math.inf and once.limit == one
    assert keep.limit == pytest.approx(one * math.pi**2 / 6)
    assert {law.bound for law in (replace, keep, once)} == {"large"} and callable(getattr(theory, keep.law))
    assert not said("fully_synthetic", penalty=0.1) and not said("accumulate_subsample")
