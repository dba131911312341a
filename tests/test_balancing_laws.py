"""Exact laws of loops whose samples are selected or corrected, through the code that a study runs.

Every generation: choose rows, fit, sample, transform, select, by the verbs and the registries. As in
``test_oracles``, means over replicates must lie within 4.5 of their standard errors of a law, which is exact in
expectation where it is linear; a law of infinitely many rows gets beside it what finite numbers change, which is said.
"""

import numpy as np
import pytest

from collapselab import theory
from collapselab.compose import regimes
from collapselab.compose.rows import choose, real_seed
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.select import SELECTORS
from collapselab.store.cells import Cell
from collapselab.theory.agreement import agreement
from collapselab.theory.predict import predict
from collapselab.theory.setting import Setting
from collapselab.transforms import TRANSFORMS
from collapselab.verbs.extract import Look
from collapselab.verbs.select import Choosing, pool_of, select
from collapselab.verbs.transform import Step, Where, transform

pytestmark = pytest.mark.oracle

STUDY_SEED, ERRORS = 1_984, 4.5
LOOKS = {"identity": Look(FEATURES["identity"], None, {})}


def chosen(registry, kind, said):
    """Entries with their options, as the verbs take them."""
    return [kind(name, registry[name], registry[name].Options(**options)) for name, options in said]


def loop(replicate, family, truth, regime, generations, made, select_by=(), change_by=(), split=500, **options):
    """The models of one replicate, each of which eats what was kept of the samples that were released before."""
    kind = POPULATIONS[truth[0]]
    population, family = kind.population(kind.PopulationOptions(**truth[1])), MODELS[family]
    options, models, kept = family.Options(**options), [], {}
    train = population.sample(Ask(split, seeds.seed_of(STUDY_SEED, replicate, None, "split")))
    for t in range(generations + 1):
        recipe, data, weights = regimes.recipe(regime, "arm", t), [], []
        ready = {(draw.arm, draw.generation): len(kept[draw.generation]) for draw in recipe.draws if not draw.is_real}
        ready |= {(draw.arm, draw.generation): None for draw in recipe.draws if draw.is_real}
        for draw, rows in choose(recipe, ready, STUDY_SEED, replicate):
            ask = Ask(draw.count, real_seed(STUDY_SEED, replicate, draw))
            data.append((population.sample(ask).data if draw.is_real else kept[draw.generation])[rows])
            weights.append(np.full(len(rows), recipe.weights["real" if draw.is_real else "synthetic"]))
        training = TrainingSet(np.concatenate(data), None, np.concatenate(weights))
        models.append(family.fit(training, options, Run(0)))
        samples = models[-1].sample(Ask(made, seeds.seed_of(STUDY_SEED, replicate, t, "sample/0")))
        released = transform(
            chosen(TRANSFORMS, Step, change_by), samples, Where(STUDY_SEED, replicate, t, 0), LOOKS, train
        )
        steps = chosen(SELECTORS, Choosing, select_by)
        pool = pool_of(released, Cell("study", "arm", replicate, t), LOOKS, train, models[-1])
        rows = select(steps, pool, STUDY_SEED).rows if steps else slice(None)
        kept[t] = released.data[rows]
    return models


def agrees(found, expected, beside=0.0):
    """Whether the means over replicates, the first axis, are those expected, and what finite numbers change beside."""
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    off = np.abs(found.mean(axis=0) - expected)
    assert (off < ERRORS * error + beside + 1e-12).all(), f"found {found.mean(axis=0)}, not {expected}: {off / error}"


# -- tables ------------------------------------------------------------------------------------------------------------

TRUTH = ("multinomial", {"probabilities": [0.55, 0.3, 0.15]})


def shares(regime, generations, made, replicates, table, share=0.5, **options):
    """The share of the last class: (replicates, generations + 1). All that are kept are eaten."""
    quota = {"share": share, "table": table, "extractor": "identity", **options}
    lines = [
        loop(one, "multinomial", TRUTH, regime, generations, made, [("quota", quota)], categories=3)
        for one in range(replicates)
    ]
    return np.array([[model.probabilities[-1] for model in line] for line in lines])


def test_a_standing_table_takes_the_whole_place():
    """1 - (1 - A)^t (1 - p): exact in expectation for any number of rows, since what the lot keeps is unbiased."""
    n, generations = 600, 5
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    found = shares(regime, generations, 2 * n, 150, {2: 0.05}, stops=False)
    law = theory.targeted_shares(generations, 0.15, 0.05, 0.15)
    assert law[3] == pytest.approx(1 - 0.95**3 * 0.85)
    agrees(found, law)
    with pytest.raises(AssertionError):
        agrees(found, theory.targeted_shares(generations, 0.15, 0.04, 0.15))


def test_a_standing_table_overshoots_beside_fresh_data():
    """(a + f pi) / (a + f): .125 + .25 x .15 over .375, which is .433 where the truth is .15."""
    n, fresh, generations = 600, 150, 14
    regime = regimes.REGIMES["fresh_data"](n=n, fresh=fresh, initial=n)
    table = 1 / 6  # of the kept rows, which are 3/4 of a training set: a is .125
    found = shares(regime, generations, 6 * (n - fresh), 40, {2: table}, 1 / 6, stops=False)
    agrees(found, theory.targeted_shares(generations, 0.15, table, 0.15, fresh=0.25))
    limit = theory.targeted_limit(table, 0.15, fresh=0.25)
    assert limit == pytest.approx((0.125 + 0.25 * 0.15) / 0.375) and limit > 0.43
    agrees(found[:, -1], limit, beside=(1 - 0.375) ** 14)  # what is left of the start


def test_a_lost_mode_comes_back_as_one_minus_q_to_the_t_and_rests_above_the_truth():
    """1 - q^t of a targeted share a = 1 - q; (a + f pi) / (a + f) beside fresh real rows; at pi where it stops."""
    np.testing.assert_allclose(theory.targeted_shares(4, 0, 0.1, 0.05)[1:], [0.1, 0.19, 0.271, 0.3439], atol=1e-12)
    fresh, targeted, truth = 0.1, 0.05, 0.05
    table = targeted / (1 - fresh)  # of what is kept, which is 1 - f of a training set
    rest = theory.targeted_limit(table, truth, fresh)
    assert rest == pytest.approx(0.36667, abs=1e-5)
    assert rest == pytest.approx((targeted + fresh * truth) / (targeted + fresh), rel=1e-12)
    assert theory.targeted_shares(400, 0, table, truth, fresh)[-1] == pytest.approx(rest, rel=1e-9)
    stopped = theory.targeted_shares(400, 0, table, truth, fresh, stops=True)
    assert stopped.max() <= truth + 1e-12 and stopped[-1] == pytest.approx(truth, rel=1e-9)


def test_a_table_that_stops_ends_at_the_truth():
    """Against a table that has made the class rare: it comes back to its share of the training split, and stays there.

    Of finite rows the share of a pool is off by its sd, sqrt(pi (1 - pi) / n), in either direction, and stopping is
    not linear: the mean of what is cut off is below the law by at most that.
    """
    n, generations, replicates = 2000, 6, 12
    rare = ("multinomial", {"probabilities": [0.61, 0.34, 0.05]})
    quota = {"share": 0.5, "table": {2: 0.03}, "extractor": "identity"}

    def line(one, truth, **options):
        kind = POPULATIONS["multinomial"]
        split = kind.population(kind.PopulationOptions(**TRUTH[1])).sample(Ask(2000, one)).data
        family, models = MODELS["multinomial"], []
        data = kind.population(kind.PopulationOptions(**truth[1])).sample(Ask(n, 1000 + one)).data
        for t in range(generations + 1):
            models.append(family.fit(TrainingSet(data, None, np.ones(n)), family.Options(categories=3), Run(0)))
            samples = models[-1].sample(Ask(2 * n, seeds.seed_of(STUDY_SEED, one, t, "sample/0")))
            real = type(samples)(split)
            pool = pool_of(samples, Cell("study", "arm", one, t), LOOKS, real)
            steps = chosen(SELECTORS, Choosing, [("quota", {**quota, **options})])
            data = samples.data[select(steps, pool, STUDY_SEED).rows]
        return [model.probabilities[-1] for model in models]

    found = np.array([line(one, rare) for one in range(replicates)])
    law = theory.targeted_shares(generations, 0.05, 0.03, 0.15, stops=True)
    assert law[3] < law[4] == law[-1] == pytest.approx(0.15)
    agrees(found, law, beside=np.sqrt(0.15 * 0.85 / n))
    standing = np.array([line(one, rare, stops=False) for one in range(3)])
    assert standing[:, -1].min() > found[:, -1].max()  # it goes on


# -- verified labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("real", [0, 300])
def test_regressions_on_verified_labels_go_to_the_centre(real):
    """Yi et al. (2025): the verifier believes in 0.2 for each of 4 coefficients that are 0.5, and takes the loop there.

    By the map of infinitely many rows. Of n rows a fit has noise of variance s^2 / n a coefficient, and the map bends
    by that order: beside the standard error there is 3 / n for each coefficient.
    """
    n, d, generations, replicates = 1500, 4, 5, 40
    regime = regimes.REGIMES["fresh_data"](n=n, fresh=real, initial=n) if real else None
    regime = regime or regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    verified = {"share": (n - real) / 4000, "centre": [0.2], "radius": 1.0}
    truth = ("regression", {"dimension": d, "signal": 1.0})
    lines = [
        loop(one, "linear-regression", truth, regime, generations, 4000, [("verified", verified)], inputs="fresh")
        for one in range(replicates)
    ]
    found = np.array([[model.coefficients for model in line] for line in lines])
    start, centre = np.full(d, 0.5), np.full(d, 0.2)
    law = theory.verified_coefficients(generations, start, centre, 1.0, 1.0, start, real / n)
    agrees(found, law, beside=3 / n)
    assert (law[-1] < 0.3).all() if not real else (law[-1] > 0.22).all()
    straight = [0.6]
    for _ in range(generations):
        straight.append(straight[-1] * theory.verified_contraction(straight[-1], 1.0))
    if not real:
        np.testing.assert_allclose(np.linalg.norm(law - centre, axis=1), straight, rtol=1e-12)
    other = theory.verified_coefficients(generations, start, centre, 1.3, 1.0, start, real / n)
    with pytest.raises(AssertionError):
        agrees(found, other, beside=3 / n)


# -- corrections -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_projection_brings_the_mean_back_by_its_factor(gamma):
    """Fixed real rows of weight 1 beside projected samples of weight 2: lambda / ((1 + lambda)(1 + gamma)).

    From a first model of 4 rows, which is far off. The samples go to the mean of the training split and the fixed rows
    have a mean of their own, both 0 but for their errors, of variance 1/n; and so has every set of samples.
    """
    n, weight, generations, dimension = 4000, 2.0, 4, 400
    regime = regimes.Regime(
        initial=regimes.Initial(real=4),
        real=regimes.Real(fixed=n),
        synthetic=[regimes.Synthetic(n=n)],
        weights=regimes.Weights(synthetic=weight),
    )
    project = [("project", {"gamma": gamma, "clusters": 1})]
    models = loop(
        0, "gaussian", ("gaussian", {"dimension": dimension}), regime, generations, n, (), project, n,
        ddof=0, covariance="diagonal",
    )  # fmt: skip
    means, variances = np.array([model.mean for model in models]), np.array([model.covariance for model in models])
    start = means[0] @ means[0]
    expected = theory.contraction(weight, gamma) ** np.arange(generations + 1)
    error = np.sqrt(3 * (np.arange(generations + 1) + 1) / n / start)
    assert (np.abs(means @ means[0] / start - expected) < ERRORS * error + 4 / n).all()
    assert expected[1] == pytest.approx(2 / 3 / (1 + gamma))
    # The law of one dimension, of all: from the first model's mean square and variance, each mean a fraction of it.
    law = theory.projected_moments(generations, (np.sqrt(start / dimension), variances[0].mean()), weight, gamma)[1]
    spread = np.sqrt(2 / n / dimension) * (1 + means[0] ** 2).mean()
    assert (np.abs(variances.mean(axis=1) - law)[1:] < ERRORS * 3 * spread + 4 / n).all()


def test_half_synthetic_rows_forget_an_error_by_their_share():
    """E p_t = p + s^t (p_0 - p) of categories: exact in expectation, from a first model of another law."""
    n, generations, replicates, share = 60, 4, 400, 0.6
    kind, family = POPULATIONS["multinomial"], MODELS["multinomial"]
    truth, other = (kind.population(kind.PopulationOptions(probabilities=p)) for p in ([0.7, 0.3], [0.2, 0.8]))
    found = []
    for one in range(replicates):
        data, line = other.sample(Ask(n, one)).data, []
        for t in range(generations + 1):
            model = family.fit(TrainingSet(data, None, np.ones(n)), family.Options(categories=2), Run(0))
            line.append(model.probabilities[0])
            real, where = truth.sample(Ask(n, 5000 + one)), Where(STUDY_SEED, one, t, 0)
            steps = chosen(TRANSFORMS, Step, [("resample", {"share": share})])
            data = transform(steps, model.sample(Ask(n, seeds.seed_of(one, t, 0, "s"))), where, {}, real).data
        found.append(line)
    agrees(np.array(found), 0.7 + share ** np.arange(generations + 1) * (0.2 - 0.7))


# -- laws that stand beside an arm in a report -------------------------------------------------------------------------

GAUSSIAN, CATEGORIES = {"ddof": 0, "covariance": "full"}, {"categories": 3}
UNBIASED = GAUSSIAN | {"ddof": 1}
TWO_MINDS = {
    "rewards": [{"category": {"worth": [1.5, 0.0, 0.0]}}, {"category": {"worth": [0.0, 0.0, 1.0]}}],
    "mixture": [0.3, 0.7],
    "by": "choice",
}
LIKING = {"rewards": [{"category": {"worth": [0.0, 0.5, 1.0]}}], "by": "choice"}
BEST = {"rewards": [{"coordinate": {"beta": 2.0}}], "by": "top_fraction"}
TABLE = {"table": {2: 0.02}, "stops": False, "extractor": "identity"}
BESIDE_ARMS = {  # selector, its options, family, its options, truth, rows, fresh, samples, generations, replicates
    "a cut": ("likelihood", {}, "gaussian", GAUSSIAN, ("gaussian", {"dimension": 1}), 40, 0, 80, 2, 300),
    "a ball": ("likelihood", {}, "gaussian", GAUSSIAN, ("gaussian", {"dimension": 3}), 40, 0, 60, 2, 150),
    "the best": (
        "reward",
        BEST,
        "gaussian",
        {**GAUSSIAN, "ddof": 1},
        ("gaussian", {"dimension": 1}),
        30,
        0,
        90,
        3,
        800,
    ),
    "a table": ("quota", TABLE, "multinomial", CATEGORIES, TRUTH, 1000, 0, 3000, 3, 60),
    "a table beside fresh rows": ("quota", TABLE, "multinomial", CATEGORIES, TRUTH, 1000, 200, 3000, 3, 60),
    "a choice": ("reward", LIKING, "multinomial", CATEGORIES, TRUTH, 3000, 0, 9000, 4, 8),
    "judges of two minds": ("reward", TWO_MINDS, "multinomial", CATEGORIES, TRUTH, 3000, 0, 9000, 4, 8),
    "a choice beside fresh rows": ("reward", LIKING, "multinomial", CATEGORIES, TRUTH, 3000, 1000, 8000, 4, 8),
}


def setting_of(selector, said, family, options, truth, n, fresh, samples, generations):
    kind = POPULATIONS[truth[0]]
    regime = regimes.REGIMES["fresh_data"](n=n, fresh=fresh, initial=n) if fresh else None
    regime = regime or regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    share = {"share": (n - fresh) / samples}
    full = MODELS[family].Options(**options).model_dump()
    known = kind.population(kind.PopulationOptions(**truth[1]))
    return Setting(family, full, truth[0], known, regime, generations, 1.0, selector, said | share, samples)


def endpoint(metric, model, setting):
    """A metric of the exact moments of a model, as a record has it; a class's share is what its samples expect."""
    name, _, group = metric.partition(".")
    if name == "class_histogram":
        return model.probabilities[int(group)]
    laws = (FEATURES["moments"].extract(None, law) for law in (setting.truth, model))
    return METRICS[metric](*laws)


@pytest.mark.parametrize("name", BESIDE_ARMS)
def test_what_stands_beside_an_arm_is_what_its_loop_does(name):
    """Laws that are exact, at 4.5 standard errors; of infinitely many rows within what few add to a square: 4 / n."""
    *parts, replicates = BESIDE_ARMS[name]
    setting = setting_of(*parts)
    selector, _, family, options, truth, n, *_ = parts
    found = predict(setting)
    assert {one.metric for one in found} >= {"variance_ratio"}
    lines = [
        loop(one, family, truth, setting.regime, setting.generations, setting.samples,
             [(selector, dict(setting.select_options))], split=400, **options)
        for one in range(replicates)
    ]  # fmt: skip
    for one in found:
        values = np.array([[endpoint(one.metric, model, setting) for model in line] for line in lines])
        beside = 4 / n if one.bound == "large" else 0
        agrees(values, one.mean, beside)
        told = agreement(one, values).sentence
        assert ("not tested" in told) if one.bound == "large" else told.startswith("follows the law")
        with pytest.raises(AssertionError):
            agrees(values, np.roll(one.mean, -1), beside)


def test_a_table_has_its_share_beside_its_arm_and_its_resting_place():
    said = {"table": {2: 0.1}, "extractor": "identity"}
    stands = setting_of("quota", said | {"stops": False}, *BESIDE_ARMS["a table"][2:5], 1000, 200, 4000, 5)
    (law,) = [one for one in predict(stands) if one.metric == "class_histogram.2"]
    assert (law.extractor, law.bound) == ("identity", "equal")
    assert law.limit == pytest.approx((0.08 + 0.2 * 0.15) / 0.28)
    assert law.mean[0] == 0.15 and (np.diff(law.mean) > 0).all() and law.mean[-1] < law.limit
    ends = setting_of("quota", said, *BESIDE_ARMS["a table"][2:5], 1000, 200, 4000, 5)
    (law,) = predict(ends)
    assert law.bound == "large" and law.limit == pytest.approx(0.15) and law.mean == pytest.approx(0.15)


def test_the_way_to_the_verifiers_centre_stands_beside_its_arm():
    said = {"centre": [0.1], "radius": 1.0}
    truth = ("regression", {"dimension": 4, "signal": 1.0})
    setting = setting_of("verified", said, "linear-regression", {"inputs": "fresh"}, truth, 500, 0, 1500, 5)
    (law,) = predict(setting)
    assert (law.metric, law.bound) == ("regression_error", "large") and law.limit == pytest.approx(4 * 0.4**2)
    assert law.mean[0] == 0 and (np.diff(law.mean) > 0).all() and law.mean[-1] < law.limit
    strict = setting._replace(select_options=dict(setting.select_options) | {"radius": 0.1})
    assert predict(strict) == []  # of 1,500 too few lie so near
    assert predict(setting._replace(options=setting.options | {"inputs": "same"})) == []
    assert predict(setting._replace(samples=1600)) == []  # not all that are kept are eaten


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a cut", {"end": "bottom"}),
        ("the best", {"by": "threshold"}),
        ("the best", {"rewards": [{"coordinate": {"form": "quadratic"}}]}),
        ("a table", {"table": "true"}),
        ("a table", {"table": "even"}),  # of 15 % there are not as many
        ("a choice", {"by": "top_fraction"}),
    ],
)
def test_no_law_stands_beside_what_it_does_not_cover(name, change):
    setting = setting_of(*BESIDE_ARMS[name][:-1])
    assert predict(setting) and not predict(setting._replace(select_options=dict(setting.select_options) | change))


def test_finite_cuts_tend_to_those_of_infinitely_many():
    assert theory.likeliest_variance(50_000, 100_000, 1) == pytest.approx(theory.cut_variance(0.674489750), rel=1e-4)
    assert theory.top_variance(10_000, 100_000) == pytest.approx(theory.top_share_moments(0.1).variance, rel=1e-3)
    assert theory.likeliest_variance(7, 7, 2) == theory.top_variance(7, 7) == 1.0
    assert [round(theory.cut_variance(c), 4) for c in (1, 2, 3)] == [0.2911, 0.7737, 0.9733]
