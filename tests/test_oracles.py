"""The exact laws of self-consuming loops, through the code that a study runs: recipe, choose, fit, sample.

The loops here keep their files in memory, for speed; the last test runs the verbs of the command line on disk and
finds the same models, bit for bit.

Each replicate draws its own real data from a known population. A law is an expectation over replicates, so a mean over
replicates must lie within 4.5 of its standard errors, which are estimated from the replicates themselves: with seeds
fixed and some 300 comparisons, a sound loop fails with a chance below one percent. Replicates are counted so that the
standard error resolves the mistakes that are easy to make (another ddof, a generation too many, rows drawn with
replacement), which change the laws by five to fifty percent.

A Gaussian with a diagonal covariance is as many one-dimensional loops as it has dimensions, independent but for the
rows that compose chooses; so its replicates are averaged over dimensions first.
"""

import json

import numpy as np
import pytest

from collapselab import compose, config, regimes, seeds, store, theory
from collapselab.cli import app
from collapselab.models import MODELS
from collapselab.models.base import TrainingSet
from collapselab.populations import POPULATIONS

STUDY_SEED = 20_230_704
ARM, STREAM = "arm", 0
SPARE = 5  # samples that nobody eats: compose has to choose


def loops(name, options, population, regime, generations, replicates, sampling_bias=1.0, made=None):
    """The models of every replicate and generation: a list of lists.

    sampling_bias: one number, or one a generation. made: samples that each model gives.
    """
    family, truth = MODELS[name], POPULATIONS[name]
    options, truth = family.Options(**options), truth.population(truth.PopulationOptions(**population))
    recipes = [regimes.recipe(regime, ARM, generation) for generation in range(generations + 1)]
    made = made or SPARE + max(draw.count for recipe in recipes for draw in recipe.draws)
    return [loop(family, options, truth, recipes, replicate, made, sampling_bias) for replicate in range(replicates)]


def loop(family, options, truth, recipes, replicate, made, sampling_bias):
    models, stored, biases = [], [], np.broadcast_to(sampling_bias, len(recipes)).tolist()
    for generation, recipe in enumerate(recipes):
        ready = {
            (draw.arm, draw.generation): None if draw.is_real or recipe.resamples else made for draw in recipe.draws
        }
        data, weights = [], []
        for draw, rows in compose.choose(recipe, ready, STUDY_SEED, replicate):
            if draw.is_real:
                source = truth.sample(draw.count, compose.real_seed(STUDY_SEED, replicate, draw)).data
            elif recipe.resamples:
                seed = compose.resample_seed(STUDY_SEED, replicate, generation, draw, STREAM)
                source = models[draw.generation].sample(draw.count, seed, sampling_bias=biases[draw.generation]).data
            else:
                source = stored[draw.generation]
            data.append(source[rows])
            weights.append(np.full(len(rows), recipe.weights["real" if draw.is_real else "synthetic"]))
        training = TrainingSet(np.concatenate(data), None, np.concatenate(weights))
        models.append(family.fit(training, options, seeds.seed_of(STUDY_SEED, replicate, generation, "train")))
        seed = seeds.seed_of(STUDY_SEED, replicate, generation, f"sample/{STREAM}")
        stored.append(models[-1].sample(made, seed, sampling_bias=biases[generation]).data)
    return models


def agrees(found, expected):
    """Whether the means over replicates, the first axis, are those expected; says how far off they are if not."""
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    off = (found.mean(axis=0) - expected) / (error + 1e-12)
    assert (abs(off) < 4.5).all(), (
        f"standard errors off: {np.round(off, 1)}; found {found.mean(axis=0)}, not {expected}"
    )


# -- Gaussian, one dimension ------------------------------------------------------------------------------------------

DIMENSIONS, REPLICATES = 250, 100


def gaussian(regime, generations, ddof, sampling_bias=1.0):
    """Means and variances of 25,000 one-dimensional loops: two (replicates, generations + 1, dimensions)."""
    options, population = {"ddof": ddof, "covariance": "diagonal"}, {"dimension": DIMENSIONS}
    lines = loops("gaussian", options, population, regime, generations, REPLICATES, sampling_bias)
    return tuple(
        np.array([[getattr(model, name) for model in line] for line in lines]) for name in ("mean", "covariance")
    )


def agree(means, variances, law):
    agrees((means**2).mean(axis=2), law.drift)
    agrees(variances.mean(axis=2), law.variance)


@pytest.mark.parametrize("sampling_bias", [1.0, 0.8])
@pytest.mark.parametrize("ddof", [0, 1])
def test_replace(ddof, sampling_bias):
    n, generations = 24, 5
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    means, variances = gaussian(regime, generations, ddof, sampling_bias)
    arguments = (generations, n, ddof, sampling_bias)
    agree(means, variances, theory.replace_moments(*arguments))
    if ddof == 0 and sampling_bias == 1:
        agrees((means**2 + variances).mean(axis=2), 1.0)
    sds, logs = np.sqrt(variances), np.log(variances)
    mean_log, variance_log = theory.replace_log_variance(*arguments)
    agrees(sds.mean(axis=2), theory.replace_sd(*arguments))
    agrees(logs.mean(axis=2), mean_log)
    agrees(((logs - mean_log[:, None]) ** 2).mean(axis=2), variance_log)
    agrees((variances**2).mean(axis=2), theory.replace_second_moment(*arguments))
    agrees((means**2 + variances - 2 * sds + 1).mean(axis=2), theory.replace_w2(*arguments))


@pytest.mark.parametrize("sampling_bias", [1.0, 0.8])
@pytest.mark.parametrize("ddof", [0, 1])
def test_fresh_data(ddof, sampling_bias):
    n, fresh, initial, generations = 20, 5, 8, 14
    regime = regimes.REGIMES["fresh_data"](n=n, fresh=fresh, initial=initial)
    means, variances = gaussian(regime, generations, ddof, sampling_bias)
    agree(means, variances, theory.fresh_moments(generations, initial, fresh, n - fresh, ddof, sampling_bias))
    if ddof == 0 and sampling_bias == 1:  # here the limit is reached: within 1e-4 of it after 14 generations
        agree(means[:, -1:], variances[:, -1:], theory.fresh_limit(fresh, n - fresh, ddof, sampling_bias))


def test_ten_percent_redrawn_from_the_truth():
    n, generations = 20, 8
    regime = regimes.REGIMES["ten_percent_real"](n=n, initial=n)
    agree(*gaussian(regime, generations, ddof=0), theory.fresh_moments(generations, n, 2, 18, ddof=0))


def test_synthetic_augmentation():
    n, fixed, generations = 20, 5, 12
    regime = regimes.REGIMES["synthetic_augmentation"](n=n, fixed=fixed, initial=fixed)
    means, variances = gaussian(regime, generations, ddof=0)
    agree(means, variances, theory.augmentation_moments(generations, fixed, n - fixed))
    agree(means[:, -1:], variances[:, -1:], theory.augmentation_limit(fixed, n - fixed))
    agrees((means**2 + variances).mean(axis=2), 1.0)


def test_real_only():
    n, generations = 16, 3
    regime = regimes.REGIMES["real_only"](n=n, initial=n)
    means, variances = gaussian(regime, generations, ddof=0)
    assert (means == means[:, :1]).all() and (variances == variances[:, :1]).all()
    agree(means, variances, theory.Moments(1 / n, 1 - 1 / n))


@pytest.mark.parametrize("ddof", [0, 1])
def test_accumulate(ddof):
    n, generations = 6, 12
    regime = regimes.REGIMES["accumulate"](n=n, initial=n)
    means, variances = gaussian(regime, generations, ddof)
    agree(means, variances, theory.accumulate_moments(generations, n, ddof))


def test_accumulate_subsample():
    n, generations = 8, 12
    regime = regimes.REGIMES["accumulate_subsample"](n=n, initial=n)
    means, variances = gaussian(regime, generations, ddof=0)
    agree(means, variances, theory.accumulate_subsample_moments(generations, n))
    agrees((means**2 + variances).mean(axis=2), 1.0)


def test_memory_of_several_models():
    n, fresh, k, generations = 28, 4, 3, 30
    regime = regimes.REGIMES["k_memory"](n=n, fresh=fresh, k=k, initial=n)
    means, variances = gaussian(regime, generations, ddof=0)
    drift = 1 / theory.effective_size(fresh, n - fresh, k)
    agree(means[:, -5:], variances[:, -5:], theory.Moments(drift, 1 - drift))


def test_weights_count_like_rows():
    # Ten synthetic rows of weight 1/2 carry as much of the mean as five: q = 1/2, with noise of the rows' own number.
    n, generations = 10, 12
    regime = regimes.Regime(
        initial=regimes.Initial(real=n),
        real=regimes.Real(fresh=5),
        synthetic=[regimes.Synthetic(n=n)],
        weights=regimes.Weights(synthetic=0.5),
    )
    means, variances = gaussian(regime, generations, ddof=0)
    # D' = D/4 + (1/5 + V/10)/4 and V = 1 - D.
    drift = [1 / n]
    for _ in range(generations):
        drift.append(drift[-1] / 4 + (1 / 5 + (1 - drift[-1]) / 10) / 4)
    agree(means, variances, theory.Moments(np.array(drift), 1 - np.array(drift)))


def test_replace_in_three_dimensions():
    n, generations, dimension, replicates = 16, 4, 3, 2000
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    lines = loops("gaussian", {"ddof": 1}, {"dimension": dimension}, regime, generations, replicates)
    covariances = np.array([[model.covariance for model in line] for line in lines])
    determinants = np.linalg.det(covariances)
    agrees(determinants, theory.replace_determinant(generations, n, 1, dimension))
    agrees(np.log(determinants), theory.replace_log_determinant(generations, n, 1, dimension))
    agrees(covariances, np.eye(dimension))


# -- multinomial ------------------------------------------------------------------------------------------------------

TRUTH = np.array([0.5, 0.3, 0.15, 0.05, 0.0])


def multinomial(regime, generations, replicates=2000, truth=TRUTH, **options):
    """Shares (replicates, generations + 1, K)."""
    options, population = {"categories": len(truth), **options}, {"probabilities": truth.tolist()}
    lines = loops("multinomial", options, population, regime, generations, replicates)
    return np.array([[model.probabilities for model in line] for line in lines])


def heterozygosity(shares):
    return 1 - (shares**2).sum(axis=2)


def test_wright_and_fisher():
    n, generations = 12, 6
    shares = multinomial(regimes.REGIMES["fully_synthetic"](n=n, initial=n), generations)
    agrees(shares, TRUTH)
    agrees((shares - TRUTH) ** 2, theory.replace_share_variance(generations, n, TRUTH))
    agrees(heterozygosity(shares), theory.replace_heterozygosity(generations, n, TRUTH))
    # Not of generation 0: half of the truth is lost in one of 4,096 replicates, too few to estimate an error from.
    agrees((shares == 0).astype(float)[:, 1:], theory.extinction(generations, n, TRUTH)[1:])
    agrees((shares > 0).sum(axis=2).astype(float), theory.survivors(generations, n, TRUTH))


def test_fixation():
    n, generations = 4, 40
    last = multinomial(regimes.REGIMES["fully_synthetic"](n=n, initial=n), generations, replicates=1000)[:, -1]
    # Diversity is left with a chance of about (1 - 1/n)^41 = 8e-6 a replicate.
    assert (last.max(axis=1) == 1).all()
    agrees(last, TRUTH)


def test_distinct_items_that_are_left():
    n, generations = 30, 5
    items = np.full(n, 1 / n)
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    left = (multinomial(regime, generations, replicates=500, truth=items) > 0).sum(axis=2)
    agrees(left.astype(float), theory.survivors(generations, n, items))


def test_fresh_shares():
    n, fresh, initial, generations = 16, 4, 8, 10
    regime = regimes.REGIMES["fresh_data"](n=n, fresh=fresh, initial=initial)
    shares = multinomial(regime, generations)
    errors = ((shares - TRUTH) ** 2).sum(axis=2)
    agrees(errors, theory.fresh_share_error(generations, initial, fresh, n - fresh, TRUTH))
    agrees(errors[:, -1], theory.heterozygosity(TRUTH) / theory.effective_size(fresh, n - fresh))


def test_accumulated_shares():
    n, generations = 5, 8
    shares = multinomial(regimes.REGIMES["accumulate"](n=n, initial=n), generations)
    agrees(heterozygosity(shares), theory.accumulate_heterozygosity(generations, n, TRUTH))


def test_shares_of_a_subsample():
    n, generations = 6, 6
    shares = multinomial(regimes.REGIMES["accumulate_subsample"](n=n, initial=n), generations)
    law = theory.accumulate_subsample_moments(generations, n)
    agrees(heterozygosity(shares), theory.heterozygosity(TRUTH) * law.variance)


@pytest.mark.parametrize("estimate", ["mean", "posterior_draw"])
def test_laplace_smoothing(estimate):
    n, alpha, generations = 10, 0.5, 8
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    shares = multinomial(regime, generations, alpha=alpha, estimate=estimate)
    agrees(shares, theory.laplace_shares(generations, n, alpha, TRUTH))
    agrees((shares**2).sum(axis=2), theory.laplace_homozygosity(generations, n, alpha, TRUTH, estimate))


@pytest.mark.parametrize("estimate", ["mean", "posterior_draw"])
def test_laplace_smoothing_forgets_the_truth(estimate):
    n, alpha, generations = 6, 1.0, 14  # (1-m)^15 = 5e-5 of the truth is left, m = 5/11
    shares = multinomial(
        regimes.REGIMES["fully_synthetic"](n=n, initial=n), generations, alpha=alpha, estimate=estimate
    )
    limit = theory.laplace_homozygosity_limit(n, alpha, len(TRUTH), estimate)
    agrees((shares[:, -3:] ** 2).sum(axis=2), limit)
    agrees(shares[:, -1], 1 / len(TRUTH))


def test_smoothing_hallucinates_beside_fresh_data():
    n, fresh, alpha, generations = 12, 4, 1.0, 14
    regime = regimes.REGIMES["fresh_data"](n=n, fresh=fresh, initial=n)
    shares = multinomial(regime, generations, replicates=1000, alpha=alpha)
    agrees(shares[:, -1], theory.laplace_fresh_limit(fresh, n - fresh, alpha, TRUTH))


def test_temperature_in_a_large_loop():
    n, generations, bias = 100_000, 3, 0.7
    regime = regimes.REGIMES["fully_synthetic"](n=n, initial=n)
    options, population = {"categories": 3}, {"probabilities": [0.5, 0.3, 0.2]}
    (line,) = loops("multinomial", options, population, regime, generations, 1, bias)
    expected = theory.temperature_shares(generations, population["probabilities"], bias)
    # Log odds against the mode: a generation divides them by the bias and adds noise of variance 1/(n p) + 1/(n p_0).
    variance = np.zeros(2)
    for model, shares in zip(line, expected, strict=True):
        variance = variance / bias**2 + 1 / (n * shares[1:]) + 1 / (n * shares[0])
        found = np.log(model.probabilities[1:] / model.probabilities[0])
        assert (abs(found - np.log(shares[1:] / shares[0])) < 4.5 * np.sqrt(variance)).all()


# -- on disk ----------------------------------------------------------------------------------------------------------

STUDY = f"""
name: oracles
seed: {STUDY_SEED}
seeds: 2
generations: 3
data: {{population: gaussian, options: {{dimension: 2}}, split: {{held_out: 10}}}}
models: {{normal: {{family: gaussian, ddof: 0}}}}
initial: {{real: 12}}
samples: 17
extractors: [identity]
metrics: [frechet_distance]
primary: {{metric: frechet_distance, extractor: identity}}
arms:
  biased: {{model: normal, regime: fully_synthetic, sampling_bias: 0.8}}
  fresh_data: {{model: normal, regime: {{preset: fresh_data, fresh: 3}}}}
  subsample: {{model: normal, regime: accumulate_subsample}}
  memory: {{model: normal, regime: {{preset: k_memory, fresh: 3, k: 2}}}}
"""


def verb(name, **options):
    """Run a verb of the command line; an option that is None is left out, one that is a list is repeated."""
    words = [name]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [] if one is None else [f"--{option.replace('_', '-')}", str(one)]
    app(words, standalone_mode=False)


def run_on_disk(study):
    """Every model of a study, by (arm, seed, generation), made by the verbs that its rules call."""
    data, models, population = study.file.data, {}, study.real_file("population.safetensors")
    options = json.dumps(data.options)
    verb("populate", population=data.population, options=options, held_out=data.split.held_out, out=study.real_file(""))
    for arm, seed, generation in study.cells():
        lineage, recipe = study.lineages[arm], study.recipe(arm, generation).model_dump_json()
        nouns = "training.parquet", "drawn.safetensors", "model.safetensors", "samples.safetensors", "kept.parquet"
        training, drawn, model, samples, kept = (study.cell(arm, seed, generation, noun) for noun in nouns)
        dice = {"study_seed": study.file.seed, "seed": seed}
        if study.needs_drawing(arm, generation):
            eaten = [f"{cell}={path}" for cell, path in study.resampled(arm, seed, generation).items()]
            own = {"sampling_bias": lineage.sampling_bias, "stream": STREAM}
            about = json.dumps(dict.fromkeys(study.resampled(arm, seed, generation), own))
            verb("draw", recipe=recipe, population=population, model=eaten, about=about, out=drawn, **dice)
        else:
            drawn = None
        sources = json.dumps(study.sources(arm, seed, generation))
        verb("compose", recipe=recipe, sources=sources, drawn=drawn, out=training, **dice)
        dice["generation"] = generation
        options = json.dumps(study.model_options(lineage.model))
        verb("train", training=training, family=study.family(lineage.model), options=options, out=model, **dice)
        bias, count = lineage.sampling_bias, study.file.samples
        verb("sample", model=model, count=count, sampling_bias=bias, stream=STREAM, out=samples, **dice)
        verb("select", samples=samples, out=kept, **dice)
        models[arm, seed, generation], _ = store.read_tensors(model)
    return models


def test_the_verbs_make_the_same_models_on_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oracles.yaml").write_text(STUDY)
    study = config.load(tmp_path / "oracles.yaml")
    stored, file = run_on_disk(study), study.file
    for arm, lineage in study.lineages.items():
        settings = study.model_options(lineage.model), file.data.options, lineage.regime, file.generations, file.seeds
        for seed, line in enumerate(loops("gaussian", *settings, lineage.sampling_bias, made=file.samples)):
            for generation, model in enumerate(line):
                found = stored[arm, seed, generation]
                np.testing.assert_array_equal(found["mean"], model.mean, err_msg=f"{arm} {seed} {generation}")
                np.testing.assert_array_equal(found["covariance"], model.covariance)
