"""Real data that change: whose rows are whose, what is replayed, what is forgotten, and the faults of a stream."""

import itertools
import json
from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml

from collapselab import report, store
from collapselab import study as studies
from collapselab.compose.regimes import Draw, Regime, entering, sizes
from collapselab.compose.streams import TASK, Stream, Task, all_tasks, rows_of, table
from collapselab.compose.supply import used
from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.data.split import split
from collapselab.models.class_gaussian import ClassGaussian, ClassGaussianOptions
from collapselab.populations import POPULATIONS
from collapselab.report import sections
from collapselab.study import results
from collapselab.study.jobs.base import Place
from collapselab.study.jobs.real import JOBS as REAL
from collapselab.study.loading import check
from collapselab.study.streams import task_file
from collapselab.theory import buffered_variance, replayed_variance
from collapselab.verdicts import analyse
from collapselab.verdicts.forgetting import matrices, summary

NET = "{preset: tiny, channels: 8, blocks: 1, batch: 25, sample_batch: 50, steps: 2, classes: 0, label_dropout: 0}"
STUDY = f"""
name: stream
generations: 2
seeds: 1
data: {{source: digits, split: {{train: 900, held_out: 300}}, stream: {{classes: [[0, 1], [2, 1], [3]]}}}}
models: {{net: {{diffusion: {NET}}}}}
initial: {{real: 40}}
init: previous
train: {{images_seen: 50}}
samples: 50
grid: 4
extractors: [pixels]
metrics: [recall, frechet_distance]
primary: {{metric: frechet_distance, extractor: pixels}}
control: none
waive: {{training_set_size: the buffer adds rows}}
arms:
  plain: {{model: net, regime: {{algebra: {{real: {{fresh: 40}}}}}}}}
  buffer: {{model: net, regime: {{algebra: {{real: {{fresh: 40, replay: 11}}}}}}}}
"""


def study_of(text=STUDY, **changes):
    raw = yaml.safe_load(text) | changes
    return check(raw, raw["name"])


# -- rows ------------------------------------------------------------------------------------------------------------


def test_rows_of_a_class_in_several_tasks_are_dealt_out_and_to_be_measured_on_all_are_there():
    labels = np.random.default_rng(0).integers(0, 4, 200)
    samples, stream = SampleSet(np.zeros((200, 2)), labels), Stream(classes=[[0, 1], [1, 2], [1]])
    dealt = [rows_of(samples, stream, task, True) for task in range(3)]
    assert not set(dealt[0]) & set(dealt[1]) and not set(dealt[1]) & set(dealt[2])
    assert sorted(np.concatenate(dealt)) == sorted(np.flatnonzero(labels < 3))
    ones = [np.count_nonzero(labels[rows] == 1) for rows in dealt]
    assert max(ones) - min(ones) <= 1
    for task, classes in enumerate(stream.classes):
        found = table(samples, stream, task, False)
        np.testing.assert_array_equal(found.rows, np.flatnonzero(np.isin(labels, classes)))
        assert found.lineage["labels"] == classes and set(found.reasons) == {f"class {one}" for one in classes}
    with pytest.raises(ValueError, match=r"^stream: the samples have no labels"):
        rows_of(SampleSet(np.zeros((3, 2))), stream, 0, True)
    with pytest.raises(ValueError, match=r"^stream: task 0 has none of the 3 rows"):
        table(SampleSet(np.zeros((3, 2)), np.array([7, 7, 7])), stream, 0, True)


def population(name, **options):
    kind = POPULATIONS[name]
    return kind.population(kind.PopulationOptions(**options))


def test_a_population_in_a_task_draws_rows_of_it_alone_and_fewer_are_a_part_of_more():
    drifting = Stream(drift={"mean": [0.0, 50.0]})
    law = population("gaussian", dimension=3)
    for task, mean in enumerate(drifting.drift["mean"]):
        found = Task(law, drifting, task).sample(Ask(500, 3))
        assert abs(found.data.mean() - mean) < 5 / np.sqrt(1500)
        assert (found.labels == task).all() and (found.aux[TASK] == task).all()
    rings, classes = population("gaussians", layout="ring", modes=6), Stream(classes=[[0, 3], [5]])
    few, many = (Task(rings, classes, 0).sample(Ask(count, 3)) for count in (7, 120))
    np.testing.assert_array_equal(few.data, many.data[:7])
    assert set(many.labels) == {0, 3}
    np.testing.assert_array_equal(Task(rings, classes, 0).sample(Ask(20, 3, 50)).data, many.data[50:70])
    both = all_tasks(rings, classes, Ask(30, 3))
    assert np.bincount(both.aux[TASK]).tolist() == [30, 30] and (both.labels[30:] == 5).all()
    np.testing.assert_array_equal(rows_of(both, classes, 1, True), np.arange(30, 60))
    with pytest.raises(ValueError, match=r"^stream: of \d+ draws of the population 0 are of the classes \[9\]"):
        Task(rings, Stream(classes=[[9]]), 0).sample(Ask(1, 0))


# -- replay ----------------------------------------------------------------------------------------------------------


def replaying(count, fresh=40, **pool):
    return Regime.model_validate({"initial": {"real": 30}, "real": {"fresh": fresh, "replay": count}, **pool})


def test_a_buffer_is_shared_by_all_generations_before_and_takes_nothing_in_again():
    regime = replaying(11)
    assert entering(regime, "arm", 0) == [Draw("fixed", 0, 30)]
    before = {}
    for generation in range(1, 9):
        draws = {(draw.arm, draw.generation): draw.count for draw in entering(regime, "arm", generation)}
        assert draws.pop(("fresh", generation)) == 40
        assert sum(draws.values()) == 11 and max(draws.values()) - min(draws.values()) <= 1
        assert all(draws.get(place, 0) <= count for place, count in before.items())
        before = draws
    assert sizes(regime, "arm", 3) == [30, 51, 51, 51]
    whole = entering(replaying(10**6), "arm", 2)  # no more than entered
    assert whole == [Draw("fixed", 0, 30), Draw("fresh", 1, 40), Draw("fresh", 2, 40)]
    assert [one.real for one in used({"arm": regime}, 3, 900)["arm"]] == [30, 70, 110, 150]
    with pytest.raises(ValueError, match=r"real\.replay: found 5 in a pool with mode 'accumulate'"):
        replaying(5, pool={"mode": "accumulate"})


# -- forgetting ------------------------------------------------------------------------------------------------------


def test_the_three_numbers_of_a_forgetting_matrix():
    matrix = np.array([[0.9, 0.1, 0.1], [0.7, 0.8, 0.2], [0.6, 0.7, 0.9]])
    np.testing.assert_allclose(summary(matrix), (2.2 / 3, -0.2, 0.2), rtol=1e-12)
    np.testing.assert_allclose(summary(1 - matrix, "lower"), (0.8 / 3, -0.2, 0.2), rtol=1e-12)
    better = np.array([[0.5, 0.9], [0.7, 0.6]])  # what stands above the diagonal is no best
    np.testing.assert_allclose(summary(better), (0.65, 0.2, 0.0), atol=1e-12)


# -- a study ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("stream"))
        study, faults = study_of()
        assert not faults, faults
        in_process.run(study)
        yield study


def test_each_generation_is_trained_on_rows_of_its_task_and_the_buffer_on_what_entered_before(ran):
    rows = {}
    for generation, classes in enumerate(([0, 1], [1, 2], [3])):
        trained = store.read_training(Path(ran.cell("plain", 0, generation, "training.parquet")))
        (part,) = trained.references
        assert set(part.labels) <= set(classes)
        rows[generation] = part.rows
    assert not set(rows[0]) & set(rows[1])
    kept = store.read_training(Path(ran.cell("buffer", 0, 2, "training.parquet"))).references
    found = {(part.arm, part.generation): part.rows for part in kept}
    np.testing.assert_array_equal(found["fixed", 0], rows[0][:5])
    np.testing.assert_array_equal(found["fresh", 1], rows[1][:6])
    np.testing.assert_array_equal(found["fresh", 2], rows[2])


def test_a_record_tells_of_each_task_what_its_own_held_out_rows_say(ran):
    from collapselab.features import FEATURES
    from collapselab.metrics import frechet_distance

    real = store.read_samples(Path(ran.part_file("held_out")))
    samples = store.read_samples(Path(ran.cell("plain", 0, 2, "samples.safetensors")))
    record = json.loads(Path(ran.cell("plain", 0, 2, "metrics.json")).read_text(encoding="utf-8"))
    values = {one["task"]: one["value"] for one in record["tasks"]["values"]}
    assert set(values) == {0, 1, 2}
    for task, value in values.items():
        rows = store.read_kept(Path(task_file(ran, "held_out", task))).rows
        looked = [FEATURES["pixels"].extract(data) for data in (real.data[rows], samples.data)]
        assert value == pytest.approx(frechet_distance(*looked), rel=1e-9)


def test_the_report_draws_the_matrix_and_tells_its_numbers(ran):
    records, facts = results.records(ran)[0], results.facts(ran)
    found = matrices(records, 2)
    assert set(found) == {"plain", "buffer"} and np.isfinite(found["plain"][0]).all()
    (told,) = [one for one in analyse(facts, records)["forgetting"] if one.arm == "plain"]
    accuracy, transfer, lost = summary(found["plain"][0], "lower")
    assert told.numbers["accuracy"] == accuracy and told.numbers["backward_transfer"] == transfer
    assert told.numbers["forgetting"] == lost >= 0
    drawn = sections.forgetting_matrices(facts, records, analyse(facts, records))
    shades = [shade for one in drawn for row in one["rows"] for _, shade in row]
    assert len(shades) == 18 and min(shades) == 0 and max(shades) == 1
    page = report.build(facts, records, figures=False)["report.html"].decode()
    assert page.count('<table class="matrix">') == 2 and page.count('class="own"') == 6
    assert '<h2 id="forgetting">' in page and '<a href="#tasks">' in page


# -- faults ----------------------------------------------------------------------------------------------------------


def faults_of(**changes):
    return {".".join(map(str, one.path)): one.message for one in study_of(**changes)[1]}


def streaming(classes=None, **changes):
    data = yaml.safe_load(STUDY)["data"]
    return {"data": data | {"stream": {"classes": classes}} if classes else data | changes}


def test_what_is_wrong_with_a_stream_is_told_before_any_work():
    assert "found 2 tasks for generations 0 to 2" in faults_of(**streaming([[0], [1]]))["data.stream"]
    assert (
        "found 11; the labels of 'digits' are 0 to 9" in faults_of(**streaming([[0], [1], [11]]))["data.stream.classes"]
    )
    many = faults_of(**streaming([[0, 1], [2, 3], [2, 4]]), initial={"real": 300})
    assert "asks for 300 real images of task 0; the train split has" in many["arms.plain.regime"]
    assert "allowed is none" in faults_of(control="real_only")["control"]
    assert (
        "leave it out" in faults_of(**streaming(split={"train": 900, "held_out": 300, "fresh": 50}))["data.split.fresh"]
    )
    drift = faults_of(**streaming(stream={"drift": {"mean": [0, 1, 2]}}))
    assert "changes a population" in drift["data.stream.drift"]
    both = faults_of(**streaming(stream={"classes": [[0]] * 3, "drift": {"mean": [0]}}))
    assert "names either classes or drift; found both" in both["data.stream"]
    law = {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 20}}
    wrong = {"data": law | {"stream": {"drift": {"mena": [0.0, 1.0, 2.0]}}}}
    assert "is no option of 'gaussian'" in faults_of(**wrong, extractors=["identity"])["data.stream.drift.mena"]
    negative = {"data": law | {"stream": {"drift": {"sd": [1.0, -1.0, 2.0]}}}}
    assert "task 1: sd must be greater than 0" in faults_of(**negative, extractors=["identity"])["data.stream.drift"]


# -- what learns in the place of a training --------------------------------------------------------------------------


def taught_by(adapt, regime="{algebra: {real: {fresh: 40}}}", **changes):
    text = STUDY[: STUDY.index("waive:")] + f"arms:\n  held: {{model: net, adapt: {adapt}, regime: {regime}}}\n"
    return study_of(text.replace("name: stream", "name: held"), **changes)


def test_an_adapter_in_the_place_of_the_training_learns_from_generation_1_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, faults = taught_by("{ewc: {images_seen: 50, batch: 25, strength: 1.0e9, passes: 1}}", generations=1)
    assert not faults
    assert [study.images_seen("held", t) for t in (0, 1)] == [50, 0]
    assert [study.images_beside("held", t) for t in (0, 1)] == [0, 50]
    in_process.run(study)
    assert not Path(study.cell("held", 0, 0, "adapted.safetensors")).exists()
    first, before, after = (
        store.read_tensors(Path(study.cell("held", 0, t, f"{noun}.safetensors")))
        for t, noun in ((0, "model"), (1, "model"), (1, "adapted"))
    )
    moved = 0.0
    for name in (one for one in first[0] if one.startswith("network.")):
        np.testing.assert_array_equal(first[0][name], before[0][name])  # what it starts from is what was before
        moved = max(moved, float(np.abs(after[0][name] - before[0][name]).max()))
    assert moved > 0
    assert after[1]["lineage"]["adaptation"]["old_rows"] == 40


def test_what_learns_in_the_place_of_the_training_goes_on_from_the_model_before():
    _, faults = taught_by("{low_rank: {images_seen: 50}}", init="scratch")
    (said,) = [one.message for one in faults if one.path[:3] == ("arms", "held", "adapt")]
    assert "takes the place of the training from generation 1 on" in said and "found init: scratch" in said
    _, faults = taught_by("[{distilled: {images_seen: 50}}, {low_rank: {images_seen: 50}}]")
    assert any("'low_rank' stands too late" in one.message for one in faults)
    _, faults = taught_by("{ewc: {images_seen: 0}}")
    assert any("found 0; a network learns in steps" in one.message for one in faults)


# -- the law of replay -----------------------------------------------------------------------------------------------


def test_what_replay_forgets_of_the_first_class_follows_from_the_rows_that_each_class_is_left_with():
    """By the family itself: ten classes, of which a tenth of a training set or less is replayed at the end."""
    for tasks, rows, share, expected in ((5, 100, 0.5, 0.8055), (10, 100, 0.5, 0.3779), (10, 200, 0.8, 0.7468)):
        assert replayed_variance(tasks, rows, share) == pytest.approx(expected, abs=5e-5)
    dimension, tasks, replayed = 4000, 10, 50
    real = POPULATIONS["gaussian"].population(POPULATIONS["gaussian"].PopulationOptions(dimension=dimension))
    model, variance, relative = None, [], []
    for task in range(tasks):
        new = real.sample(Ask(100 if not task else 50, task)).data
        labels = np.full(len(new), task)
        if model is not None:
            own = model.sample(Ask(replayed, 100 + task))
            new, labels = np.concatenate([new, own.data]), np.concatenate([labels, own.labels])
        model = ClassGaussian.fit(TrainingSet(new, labels, np.ones(len(new))), ClassGaussianOptions(), Run(0))
        variance.append(float(model.variances[0].mean()))
        relative.append(np.count_nonzero(labels == 0))
    exact = np.cumprod(1 - 1 / np.array(relative))  # of as many rows as the class has had each time
    # Each fit of n rows has a relative variance of 2 (n - 1) / n^2 in a dimension, so that they add up to about this.
    error = exact * np.sqrt(np.cumsum(2 / (np.array(relative) - 1)) / dimension)
    assert (np.abs(variance - exact) <= 4 * error).all()
    assert exact[-1] == pytest.approx(replayed_variance(tasks, 100, 0.5), rel=0.1)  # 50 rows do not divide by 3, 4, ...
    with pytest.raises(ValueError, match=r"rows: found 5 replayed rows for 9 classes; each has one at least"):
        replayed_variance(10, 10, 0.5)


def test_the_study_of_the_law_finds_it_in_its_forgetting_matrix(tmp_path, monkeypatch):
    raw = yaml.safe_load((Path(__file__).parent.parent / "config" / "theory-updating.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    study, faults = check(raw | {"seeds": 2, "generations": 4}, raw["name"])
    assert not faults, faults
    in_process.run(study)
    found = matrices(results.records(study)[0], 4)
    dimension = raw["data"]["population"]["gaussian"]["dimension"]
    laws = {"replay": replayed_variance(5, 120, 0.5), "buffer": buffered_variance(60 / 4)}
    for arm, law in laws.items():
        last = np.mean([one[4, 0] for one in found[arm].values()])
        # Twelve samples of the class measure it, after fits of 120, 60, 30, 20 and 15 rows; 500 rows are held out.
        fits = (120, 60, 30, 20, 15) if arm == "replay" else (15,)
        error = law * np.sqrt(2 * (1 / 11 + 1 / 499 + sum(1 / (n - 1) for n in fits)) / (2 * dimension))
        assert abs(last - law) <= 4 * error, (arm, last, law)
    assert np.isnan(found["replay"][0][0, 1])  # a class that it has never seen, of which it makes none


def test_what_is_chosen_on_reserved_rows_is_chosen_on_none_that_another_study_holds_out():
    """continual-strength chooses for continual: all its rows are of those that continual trains on."""
    chooses, reports = (studies.find(name) for name in ("continual-strength", "continual"))
    parts = {}
    for study in (chooses, reports):
        sizes = study.file.data.split.parts() | study.file.data.split.kept_back()
        found = split(study.dataset.load(), sizes, study.file.data.split_seed)
        parts[study.name] = {part: set(one.aux["row"].tolist()) for part, one in found.items()}
    own, other = parts["continual-strength"], parts["continual"]
    assert {name: len(rows) for name, rows in own.items() if rows} == {"train": 900, "held_out": 300}
    assert not own["train"] & own["held_out"] and own["train"] | own["held_out"] == other["train"]
    assert chooses.part_file("held_out").endswith("held_out-597-300.safetensors")
    assert reports.part_file("held_out").endswith("held_out-597.safetensors")
    job = REAL["prepare"].arguments(chooses, Place(part="held_out"))
    assert json.loads(dict(itertools.pairwise(job))["--sizes"]) == {"held_out": 300, "reserved": 597}
