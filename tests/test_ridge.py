"""Ridge regression on a power-law spectrum, and the loop of its labels.

Means over replicates lie within 4.5 of their own standard errors, as in test_oracles.py. Without a penalty the law is
exact. With one it is a deterministic equivalent, off by a term in 1/n: by 2,000 replicates 2 to 5 percent at 10 inputs
and 16 rows, 2 to 3 at 20 and 32, 1 to 2 at 40 and 64; so a slack of 0.8 / n of it is allowed beside the errors.
"""

import functools
import math

import numpy as np
import pytest
from scipy import stats
from test_oracles import agrees, loops

from collapselab import theory
from collapselab.compose import regimes
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.testing import check_family, check_population
from collapselab.theory.predict import predict
from collapselab.theory.setting import Setting

GENERATIONS = 4
FAMILY, KIND = MODELS["ridge-regression"], POPULATIONS["power-law-regression"]
MADE = {"noise_sd": 0.7, "spectrum": 1.0}  # how samples' labels are noisier than real ones


def truth(dimension, **more):
    said = {"dimension": dimension, "spectrum": 1.0, "decay": 0.5, "signal": 2.0, "noise_sd": 0.5}
    return KIND.population(KIND.PopulationOptions(**(said | more)))


def fitted(data, weights=None, **options):
    data = np.asarray(data, np.float64)
    weights = np.ones(len(data)) if weights is None else np.asarray(weights, np.float64)
    return FAMILY.fit(TrainingSet(data, None, weights), FAMILY.Options(**options), Run(0))


def close(found, expected, slack):
    """Whether means over replicates are those expected, within 4.5 standard errors and a relative slack."""
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    off = abs(found.mean(axis=0) - expected)
    assert (off < 4.5 * error + slack * expected).all(), f"found {found.mean(axis=0)}, not {expected}; errors {error}"


# -- the family and its truth ------------------------------------------------------------------------------------------


def test_ridge_regression_keeps_the_contracts():
    check_family("ridge-regression")
    check_family("ridge-regression", {"penalty": 0.2, "spectrum": 1.5})
    check_population("power-law-regression", {"spectrum": 2.0, "decay": 0.3})


def test_sizes_fall_by_their_powers():
    one = truth(4, spectrum=2.0, decay=0.5)
    mean, covariance = one.moments()
    np.testing.assert_allclose(covariance.diagonal()[:-1], [1, 1 / 4, 1 / 9, 1 / 16])
    np.testing.assert_allclose(one.coefficients / one.coefficients[0], [1, 2**-0.5, 3**-0.5, 1 / 2])
    assert np.linalg.norm(one.coefficients) == pytest.approx(2) and not mean.any()


def test_the_fit_solves_the_penalised_normal_equations():
    data, weights = truth(5).sample(Ask(30, 3)).data, np.random.default_rng(1).uniform(0.2, 2, 30)
    x, y, share = data[:, :-1], data[:, -1], weights / weights.sum()
    expected = np.linalg.solve((x.T * share) @ x + 0.3 * np.eye(5), (x.T * share) @ y)
    np.testing.assert_allclose(fitted(data, weights, penalty=0.3).coefficients, expected, rtol=1e-10)
    expected = MODELS["linear-regression"].fit(
        TrainingSet(data, None, weights), MODELS["linear-regression"].Options(), Run(0)
    )
    np.testing.assert_allclose(fitted(data, weights).coefficients, expected.coefficients, rtol=1e-9)
    with pytest.raises(ValueError, match="allowed are 2 or more"):
        fitted(np.ones((3, 1)))


def test_the_density_is_normal_with_the_exact_moments():
    model, rows = fitted(truth(3).sample(Ask(40, 1)).data, penalty=0.1, **MADE), truth(3).sample(Ask(9, 2)).data
    np.testing.assert_allclose(
        model.log_likelihood(rows, 0), stats.multivariate_normal(*model.moments()).logpdf(rows), rtol=1e-10
    )
    assert np.isnan(fitted(rows, penalty=0.1, noise_sd=0).log_likelihood(rows, 0)).all()


# -- its loop ----------------------------------------------------------------------------------------------------------


@functools.cache
def errors(dimension, n, penalty, replicates, preset="fully_synthetic"):
    """The metric of the report, of every replicate and generation."""
    said = truth(dimension).options.model_dump()
    regime = regimes.REGIMES[preset](n=n, initial=n)
    options = {"penalty": penalty} | MADE
    lines = loops("ridge-regression", options, said, regime, GENERATIONS, replicates, truth="power-law-regression")
    real, metric = FEATURES["moments"].extract(None, truth(dimension)), METRICS["regression_error"]
    return np.array([[metric(real, FEATURES["moments"].extract(None, one)) for one in line] for line in lines])


def setting(dimension, n, preset="fully_synthetic", population="power-law-regression", **options):
    full = FAMILY.Options(**(MADE | options)).model_dump()
    regime = regimes.REGIMES[preset](n=n, initial=n)
    return Setting("ridge-regression", full, population, truth(dimension), regime, GENERATIONS, 1.0, "nobody", {}, n)


def test_without_a_penalty_the_error_grows_by_a_fit_a_generation_whatever_the_spectrum():
    (law,) = predict(setting(5, 16))
    assert (law.law, law.bound, law.limit) == ("regression_error_replace", "equal", math.inf)
    agrees(errors(5, 16, 0.0, 450), law.mean)
    with pytest.raises(AssertionError, match="standard errors off"):  # an input too many
        agrees(errors(5, 16, 0.0, 450), theory.regression_error_replace(GENERATIONS, 16, 6, 0.25, 0.49))
    (bound,) = predict(setting(5, 16, "accumulate"))
    found = errors(5, 16, 0.0, 150, "accumulate")
    assert bound.bound == "upper"
    assert (found.mean(axis=0) < bound.mean + 4.5 * found.std(axis=0) / math.sqrt(150)).all()


@pytest.mark.parametrize(("dimension", "n"), [(10, 16), (40, 64)])
def test_with_a_penalty_the_error_has_the_deterministic_equivalent(dimension, n):
    (law,) = predict(setting(dimension, n, penalty=0.05))
    found, slack = errors(dimension, n, 0.05, 300), 0.8 / n
    close(found, law.mean, slack)
    s, w = truth(dimension).moments()[1].diagonal()[:-1], truth(dimension).coefficients
    wrong = {
        "a generation": theory.ridge_risk(GENERATIONS + 1, n, 0.05, s, w, 0.25, 0.49).error[1:],
        "twice the penalty": theory.ridge_risk(GENERATIONS, n, 0.1, s, w, 0.25, 0.49).error,
        "the penalty as it is": theory.ridge_risk(GENERATIONS, 10**6, 0.05, s, w, 0.25, 0.49).error,
    }
    for other in wrong.values() if n > 60 else ():  # of few rows the slack is as large as a change of the penalty
        with pytest.raises(AssertionError, match="found"):
            close(found, other, slack)


def test_the_parts_of_the_error():
    s, w, n = np.arange(1, 41.0) ** -1.0, np.ones(40), 400
    kappa = theory.effective_penalty(0.05, n, s)
    assert kappa * (1 - (s / (s + kappa)).sum() / n) == pytest.approx(0.05, rel=1e-12)
    risk = theory.ridge_risk(3, n, 0.05, s, w)
    assert risk.inherited[0] == 0 and (np.diff(risk.bias) > 0).all() and np.ptp(risk.variance) == 0
    # A penalty that is next to none gives least squares: d / (n - d), which is d / (n - d - 1) for many rows.
    least = theory.ridge_risk(3, n, 1e-12, s, w)
    np.testing.assert_allclose(least.error, 40 / 360 * np.arange(1, 5), rtol=1e-6)
    np.testing.assert_allclose(least.bias, 0, atol=1e-12)
    np.testing.assert_allclose(theory.ridge_on_made_labels(3, 401, n, 1e-12, s, w).error, least.error, rtol=1e-6)


def test_a_penalty_at_the_end_of_a_loop_of_least_squares():
    """The protocol of the paper: labels of the t-th least squares, and one regression with a penalty."""
    dimension, n_0, n, replicates = 20, 60, 32, 300
    one, made = truth(dimension, noise_sd=0.7), {"noise_sd": 0.7, "spectrum": 1.0}
    s, found = one.moments()[1].diagonal()[:-1], []
    for replicate in range(replicates):
        source, row = one, []
        for generation in range(4):
            last = fitted(source.sample(Ask(n, 10 * replicate + generation)).data, penalty=0.05, **made)
            row.append(s @ (last.coefficients - one.coefficients) ** 2)
            source = fitted(source.sample(Ask(n_0, 10_000 + 10 * replicate + generation)).data, **made)
        found.append(row)
    law = theory.ridge_on_made_labels(3, n_0, n, 0.05, s, one.coefficients, 0.49)
    close(np.array(found), law.error, 0.8 / n)
    with pytest.raises(AssertionError, match="found"):
        close(np.array(found), law.bias + law.variance + 2 * law.inherited, 0.8 / n)
    with pytest.raises(ValueError, match="allowed for dimension 20 are more than 21"):
        theory.ridge_on_made_labels(3, 21, n, 0.05, s, one.coefficients)


def test_what_no_law_covers():
    assert not predict(setting(5, 16, spectrum=0.5)) and not predict(setting(5, 16, population="regression"))
    assert not predict(setting(5, 6)) and not predict(setting(5, 16, "accumulate", penalty=0.1))
    (once,) = predict(setting(5, 16, "real_only", penalty=0.1))
    assert np.ptp(once.mean) == 0 and once.limit == once.mean[0]
