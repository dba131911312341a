"""All seeds at once: bit for bit the models of one at a time, in memory and on disk; the metrics to rounding."""

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError
from test_oracles import ARM, STREAM, STUDY_SEED, loops, run_on_disk

from collapselab import study as studies
from collapselab.compose import regimes
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged, Undefined
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.features import FEATURES, Features
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.together import records as together
from collapselab.together.loop import Replicates, lines, run

pytestmark = pytest.mark.trained

N, GENERATIONS, REPLICATES, MADE = 12, 6, 4, 19  # more samples than are eaten: compose has to choose

NUMBERS = {  # of a preset, beside n and initial
    "synthetic_augmentation": {"fixed": 3},
    "fresh_data": {"fresh": {0: 3, 4: 5}},
    "k_memory": {"fresh": 3, "k": 2},
}
REGIMES = {name: preset(n=N, initial=9, **NUMBERS.get(name, {})) for name, preset in regimes.REGIMES.items()} | {
    "weights": regimes.Regime(
        initial=regimes.Initial(real=9),
        real=regimes.Real(fixed=4, redrawn=3),
        synthetic=[regimes.Synthetic(n=8)],
        weights=regimes.Weights(real=1.5, synthetic={1: 0.5, 3: 0.25}),
    ),
    "weights in a subsample": regimes.Regime(
        initial=regimes.Initial(real=9),
        real=regimes.Real(fresh=2),
        synthetic=[regimes.Synthetic(n=8)],
        pool=regimes.Pool(mode="subsample", budget={0: 9, 3: 14}),
        weights=regimes.Weights(synthetic=0.5),
    ),
    "stored samples of several models": regimes.Regime(
        initial=regimes.Initial(real=9), synthetic=[regimes.Synthetic(n=10, from_=regimes.LastK(last=3))]
    ),
    "a pool of synthetic rows alone": regimes.Regime(
        initial=regimes.Initial(real=9),
        synthetic=[regimes.Synthetic(n=10)],
        pool=regimes.Pool(mode="accumulate", includes=["synthetic"]),
    ),
}
TRUTH = [0.4, 0.3, 0.2, 0.07, 0.03]
FAMILIES = {  # options, population
    "one dimension": ("gaussian", {"ddof": 0}, {}),
    "full": ("gaussian", {"ddof": 1}, {"dimension": 3, "mean": [1, 2, 3], "sd": [1, 2, 0.5]}),
    "diagonal": ("gaussian", {"ddof": 1, "covariance": "diagonal"}, {"dimension": 3, "sd": 2.0}),
    "shares": ("multinomial", {"categories": 5}, {"probabilities": TRUTH}),
    "smoothed": ("multinomial", {"categories": 5, "alpha": 0.5}, {"probabilities": TRUTH}),
    "posterior": (
        "multinomial",
        {"categories": 5, "alpha": 0.5, "estimate": "posterior_draw"},
        {"probabilities": TRUTH},
    ),
}
UNBIASED = {  # that take no sampling bias, with the metrics that are told of them
    "counts": ("poisson", {}, {"dimension": 3, "rate": [0.1, 1.0, 4.0]}),
    "labels": ("logistic-regression", {"penalty": 0.1}, {"dimension": 3, "signal": 1.5}),
}
ARRAYS = {
    "gaussian": ("means", "covariances"),
    "multinomial": ("probabilities",),
    "poisson": ("rates",),
    "logistic-regression": ("coefficients",),
}
ALONE = {"means": "mean", "covariances": "covariance"}


def arm(family, regime, sampling_bias=1.0, generations=GENERATIONS, **more):
    name, options, population = (FAMILIES | UNBIASED)[family]
    given = {
        "name": ARM,
        "family": name,
        "options": options,
        "population": name,
        "population_options": population,
        "recipes": [regimes.recipe(regime, ARM, generation) for generation in range(generations + 1)],
        "sampling_bias": np.broadcast_to(sampling_bias, generations + 1).tolist(),
        "stream": STREAM,
        "samples": MADE,
        "study_seed": STUDY_SEED,
        "seeds": REPLICATES,
        "metrics": {"variance_ratio": {}},
    }
    return Replicates(**(given | more))


def assert_same_models(arm, expected):
    """expected: replicate -> generation -> the model that the one-at-a-time path has."""
    found = list(lines(arm, range(len(expected))))
    assert len(found) == len(expected[0])
    for generation, (laws, alive) in enumerate(found):
        assert alive.all()
        for name in ARRAYS[arm.family]:
            for replicate, line in enumerate(expected):
                alone = getattr(line[generation], ALONE.get(name, name))
                where = f"{name} of seed {replicate} at generation {generation}"
                np.testing.assert_array_equal(getattr(laws, name)[replicate], alone, err_msg=where)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling_bias", [1.0, 0.8])
def test_the_models_are_those_of_one_at_a_time(family, regime, sampling_bias):
    name, options, population = FAMILIES[family]
    settings = options, population, REGIMES[regime], GENERATIONS, REPLICATES, sampling_bias
    assert_same_models(arm(family, REGIMES[regime], sampling_bias), loops(name, *settings, made=MADE))


@pytest.mark.parametrize("regime", ["fully_synthetic", "accumulate", "accumulate_subsample", "k_memory", "weights"])
@pytest.mark.parametrize("family", UNBIASED)
def test_counts_and_labels_are_those_of_one_at_a_time_and_so_are_their_metrics(family, regime):
    name, options, population = UNBIASED[family]
    alone = loops(name, options, population, REGIMES[regime], GENERATIONS, REPLICATES, made=MADE)
    assert_same_models(arm(family, REGIMES[regime]), alone)
    kind = POPULATIONS[name]
    truth = FEATURES["moments"].extract(None, kind.population(kind.PopulationOptions(**population)))
    told = ["surviving_dimensions", "mean_drift", "variance_ratio", "frechet_distance", "regression_error"]
    told = told[:-1] if name == "poisson" else told[-1:]
    found = run(arm(family, REGIMES[regime], metrics={metric: {} for metric in told}))
    for metric in told:
        expected = [METRICS[metric](truth, FEATURES["moments"].extract(None, one)) for line in alone for one in line]
        np.testing.assert_allclose(found[metric], expected, rtol=1e-9, atol=1e-12)


def test_a_label_that_a_hyperplane_parts_ends_its_replicate_alone():
    """Of 12 rows of 3 inputs many are parted: such a replicate has no more values, and others go on."""
    regime = REGIMES["fully_synthetic"].model_copy(update={"initial": regimes.Initial(real=40)})
    one = arm("labels", regime, options={}, seeds=20, metrics={"regression_error": {}})
    values = run(one)["regression_error"].reshape(20, -1)
    gone = np.isnan(values)
    assert gone.sum() > 0 and not gone[:, 0].all() and (np.diff(gone.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize("regime", ["fully_synthetic", "accumulate", "k_memory"])
def test_samples_have_the_bias_of_their_own_generation(regime):
    biases = [1.0, 0.5, 0.9, 0.6, 1.0, 0.7, 0.8]
    settings = *FAMILIES["full"][1:], REGIMES[regime], GENERATIONS, REPLICATES
    expected = loops("gaussian", *settings, biases, made=MADE)
    assert_same_models(arm("full", REGIMES[regime], biases), expected)
    with pytest.raises(AssertionError, match="of seed 0 at generation 1"):
        assert_same_models(arm("full", REGIMES[regime], biases[::-1]), expected)


def test_another_seed_gives_other_models():
    regime = REGIMES["fresh_data"]
    expected = loops("gaussian", *FAMILIES["full"][1:], regime, GENERATIONS, REPLICATES, made=MADE)
    for other in ({"study_seed": STUDY_SEED + 1}, {"stream": STREAM + 1}, {"samples": MADE + 1}):
        with pytest.raises(AssertionError, match="of seed 0 at generation"):
            assert_same_models(arm("full", regime, **other), expected)
    with pytest.raises(AssertionError, match="of seed 0 at generation 0"):
        assert_same_models(arm("full", regime), expected[1:])


STUDY = f"""
name: replicates
seed: {STUDY_SEED}
seeds: 2
generations: 3
data: {{population: {{gaussian: {{dimension: 2}}}}, split: {{held_out: 10}}}}
models: {{normal: {{gaussian: {{ddof: 1}}}}}}
initial: {{real: 12}}
samples: 17
extractors: [moments]
metrics: [frechet_distance, mean_drift]
primary: {{metric: frechet_distance, extractor: moments}}
arms:
  biased: {{model: normal, regime: fully_synthetic, sampling_bias: 0.8}}
  fresh_data: {{model: normal, regime: {{fresh_data: {{fresh: 3}}}}}}
  subsample: {{model: normal, regime: accumulate_subsample}}
  memory: {{model: normal, regime: {{k_memory: {{fresh: 3, k: 2}}}}}}
"""


def test_the_models_are_those_that_the_verbs_make_on_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "replicates.yaml").write_text(STUDY)
    study = studies.load(tmp_path / "replicates.yaml")
    stored = run_on_disk(study)
    for name in study.lineages:
        wanted = Replicates.model_validate_json(study.replicated(name).model_dump_json())  # as a rule hands it over
        for generation, (laws, _) in enumerate(lines(wanted, range(wanted.seeds))):
            for seed in range(wanted.seeds):
                found = stored[name, seed, generation]
                np.testing.assert_array_equal(laws.means[seed], found["mean"], err_msg=f"{name} {seed} {generation}")
                np.testing.assert_array_equal(laws.covariances[seed], found["covariance"])


# -- what is measured -------------------------------------------------------------------------------------------------

MEASURES = [name for name, metric in METRICS.items() if metric.stacked]
EVERY = {name: {} for name in MEASURES}


def law(model):
    mean, covariance = model.moments()
    return Features(mean[None], moments=(mean, covariance))


@pytest.mark.parametrize("family", [*FAMILIES, "of few rows"])
def test_the_columns_are_the_metrics_of_each_model(family):
    few = family == "of few rows"  # three rows in three dimensions: every covariance is singular
    family = "full" if few else family
    regime = regimes.REGIMES["fully_synthetic"](n=3, initial=3) if few else REGIMES["fully_synthetic"]
    name, options, population = FAMILIES[family]
    columns = run(arm(family, regime, metrics=EVERY))
    truth = law(POPULATIONS[name].population(POPULATIONS[name].PopulationOptions(**population)))
    size = truth.moments[1].trace()
    models = loops(name, options, population, regime, GENERATIONS, REPLICATES, made=MADE)
    cells = [(seed, generation) for seed in range(REPLICATES) for generation in range(GENERATIONS + 1)]
    assert list(columns) == ["seed", "generation", *MEASURES]
    assert list(zip(columns["seed"].tolist(), columns["generation"].tolist(), strict=True)) == cells
    assert all(column.dtype == np.float64 for column in [columns[metric] for metric in MEASURES])
    undetermined = 0
    for row, (seed, generation) in enumerate(cells):
        for metric in MEASURES:
            found = columns[metric][row]
            try:
                expected = METRICS[metric](truth, law(models[seed][generation]))
            except Undefined:
                undetermined += 1
                assert np.isnan(found), metric
                continue
            # The Fréchet distance may be off by 1e-8 of itself, and of a singular covariance, whose smallest root is
            # rounding, by the root of float64's resolution.
            loose = metric == "frechet_distance" and (few or name == "multinomial")
            assert found == pytest.approx(expected, rel=1e-8, abs=4 * 2**-26 * size if loose else 1e-13 * size)
    # Of shares there is no determinant, of numbers no categories; neither one number nor shares of which some are 0
    # determine a regression.
    each = 2 if few or family in ("one dimension", "shares") else 1
    assert undetermined == len(cells) * each


@pytest.mark.parametrize("family", ["one dimension", "posterior"])
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_how_many_go_side_by_side_changes_no_number(family, chunk):
    wanted = arm(family, REGIMES["accumulate_subsample"], metrics=EVERY)
    whole, told = run(wanted), []
    parts = run(wanted, chunk=chunk, progress=told.append)
    for name, column in whole.items():
        np.testing.assert_array_equal(parts[name], column)
    assert told == sorted(set(told)) and told[-1] == len(whole["seed"])


def test_more_seeds_leave_the_others_as_they_are():
    few, many = (run(arm("full", REGIMES["accumulate"], seeds=count)) for count in (3, 5))
    for name, column in few.items():
        np.testing.assert_array_equal(many[name][: len(column)], column)


def test_a_replicate_that_diverges_leaves_the_others_alone():
    # The sum of 100 squares is about 1.7e308, and for some seeds beyond what float64 can hold.
    regime = regimes.REGIMES["fully_synthetic"](n=100, initial=100)
    population = {"sd": 1.3e153}
    wanted = arm(
        "one dimension", regime, generations=2, population_options=population, samples=100, seeds=12, metrics=EVERY
    )
    truth, options = POPULATIONS["gaussian"], MODELS["gaussian"].Options(ddof=0)
    source = truth.population(truth.PopulationOptions(**population))
    dead = []
    for replicate in range(12):
        seed = seeds.seed_of(STUDY_SEED, replicate, None, "compose/population/fixed")
        try:
            MODELS["gaussian"].fit(TrainingSet(source.sample(Ask(100, seed)).data, None, np.ones(100)), options, Run(0))
        except Diverged:
            dead.append(replicate)
    assert 0 < len(dead) < 12
    found = [alive for _, alive in lines(wanted, range(12))]
    assert np.flatnonzero(~found[0]).tolist() == dead
    assert all((after <= before).all() for before, after in pairwise(found))
    columns = run(wanted)
    np.testing.assert_array_equal(np.isnan(columns["mean_drift"]), ~np.array(found).T.ravel())


# -- what an arm may be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"family": "diffusion"}, "family: found 'diffusion', allowed are gaussian, multinomial"),
        ({"population": "multinomial"}, "population: found 'multinomial', allowed are gaussian"),
        ({"metrics": {"recall": {}}}, "metrics: found 'recall', allowed are frechet_distance, variance_ratio"),
        ({"metrics": {"mean_drift": {"k": 3}}}, "Extra inputs are not permitted"),
        ({"options": {"ddof": 2}}, "Input should be 0 or 1"),
        ({"population_options": {"sd": 0}}, "sd must be greater than 0"),
        ({"sampling_bias": [1.0]}, "found 1 numbers for 7 generations"),
        ({"sampling_bias": [0.0] * 7}, "greater than 0"),
        ({"samples": 11}, "samples: found 11, but generation 1 takes 12 of a model's samples"),
        ({"name": "other"}, "'other' eats the samples of 'arm', allowed are only its own"),
    ],
)
def test_an_arm_that_cannot_be_run_is_refused(change, said):
    with pytest.raises(ValidationError, match=said):
        Replicates(**(dict(arm("one dimension", REGIMES["fully_synthetic"])) | change))


@pytest.mark.parametrize("cut", [{"top_k": 2}, {"top_p": 0.9}])
def test_cut_samples_are_refused_by_the_job_as_by_the_study(cut):
    with pytest.raises(ValidationError, match="options: found a cut by top_k or top_p"):
        arm("shares", REGIMES["fully_synthetic"], options={"categories": 5, **cut})
    assert arm("shares", REGIMES["fully_synthetic"], options={"categories": 5, "top_p": 1.0}).family == "multinomial"


def test_recipes_that_do_not_follow_each_other_are_refused():
    good = dict(arm("one dimension", REGIMES["fully_synthetic"], generations=1))
    first, second = good["recipes"]
    with pytest.raises(ValidationError, match="found generation 1 at place 0"):
        Replicates(**(good | {"recipes": [second, first]}))
    empty = first.model_copy(update={"draws": []})
    with pytest.raises(ValidationError, match="generation 0 has no rows"):
        Replicates(**(good | {"recipes": [empty, second]}))
    later = second.model_copy(update={"draws": [regimes.Draw(ARM, 1, 3)]})
    with pytest.raises(ValidationError, match="generation 1 eats generation 1"):
        Replicates(**(good | {"recipes": [first, later]}))


def test_data_that_the_family_cannot_take_are_refused():
    with pytest.raises(ValidationError, match="categories: found None"):
        arm("shares", REGIMES["fully_synthetic"], options={})
    with pytest.raises(ValueError, match=r"takes 0 \.\. 2; got values from 0 to 4"):
        run(arm("shares", REGIMES["fully_synthetic"], options={"categories": 3}))


# -- records ----------------------------------------------------------------------------------------------------------


def test_records_are_those_of_cells_with_files_of_their_own():
    wanted = arm("full", REGIMES["accumulate_subsample"], metrics=EVERY, sampling_bias=[1.0] * 3 + [0.8] * 4)
    columns = run(wanted)
    found = list(together.records("study", wanted, columns))
    assert len(found) == REPLICATES * (GENERATIONS + 1)
    for row, record in enumerate(found):
        assert (record["study"], record["arm"], record["status"]) == ("study", ARM, "ok")
        assert (record["seed"], record["generation"]) == (columns["seed"][row], columns["generation"][row])
        total = sum(part["count"] for part in record["composition"])
        assert total == pytest.approx(9 if record["generation"] == 0 else N, abs=0.5)  # each count has one decimal
        for entry in record["values"]:
            fingerprint = record["fingerprints"][entry["fingerprint"]]
            assert fingerprint["metric"] == entry["metric"] and fingerprint["moments"] == "exact"
            assert fingerprint["sampling_bias"] == (1.0 if record["generation"] < 3 else 0.8)
            value = columns[entry["metric"]][row]
            assert entry["value"] == (None if np.isnan(value) else value)
            assert ("reason" in entry) == np.isnan(value)
    prints = found[0]["fingerprints"].values()
    assert len({one["source"] for one in prints}) == len(prints)  # each hangs on its own sums, and on no other's


def test_means_stand_for_all_seeds():
    wanted = arm("shares", REGIMES["fully_synthetic"], metrics=EVERY)
    columns = run(wanted)
    found = together.means(together.records("study", wanted, columns))
    assert [(record["arm"], record["seed"], record["generation"]) for record in found] == [
        (ARM, 0, generation) for generation in range(GENERATIONS + 1)
    ]
    for generation, record in enumerate(found):
        values = {entry["metric"]: entry["value"] for entry in record["values"]}
        rows = columns["generation"] == generation
        assert values["variance_ratio"] == pytest.approx(columns["variance_ratio"][rows].mean(), rel=1e-12)
        assert values["log_determinant_ratio"] is None
