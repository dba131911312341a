"""Models of unlike kinds that feed each other: words, which are labels alone, and pictures, one drawn of each word.

Comparisons with random samples allow 4.5 standard errors, estimated from the replicates themselves.
"""

import json
import math
from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml

from collapselab import store
from collapselab.compose.tracing import trace
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features import Features
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.study import composed, jobs, results, stopping, throughput, words
from collapselab.study.drawn import shape_of
from collapselab.study.jobs import Place
from collapselab.study.loading import check
from collapselab.study.requests import needs_gpu
from collapselab.testing import check_family
from collapselab.theory import labels as laws
from collapselab.theory.multinomial import extinction
from collapselab.verbs.sample import Drawn, sample
from collapselab.verbs.train import labels_of, whole
from collapselab.verdicts import CLASSES_GIVEN, survival
from collapselab.verdicts.modes import lost_modes
from collapselab.verdicts.words import and_ended

FAMILY = MODELS["conditional-gaussian"]
SEED = 20_250_311


def painted(data, labels, init=None, **options):
    data, labels = np.asarray(data, np.float64), None if labels is None else np.asarray(labels)
    return FAMILY.fit(TrainingSet(data, labels, np.ones(len(data))), FAMILY.Options(**options), Run(0), init)


# -- the family --------------------------------------------------------------------------------------------------------


def test_every_label_has_the_moments_of_its_rows():
    check_family("conditional-gaussian")
    data, labels = np.array([[0.0, 1], [2, 5], [10, 7], [4, 3]]), [0, 0, 2, 0]
    model = painted(data, labels, classes=3)
    np.testing.assert_allclose(model.means, [[2, 3], [4, 4], [10, 7]])  # of label 1 nothing is known but all rows
    np.testing.assert_allclose(model.variances, [[8 / 3, 8 / 3], [14, 5], [0, 0]])
    unbiased = painted(data, labels, classes=3, ddof=1)
    np.testing.assert_allclose(unbiased.variances[[0, 2]], [[4, 4], [0, 0]])
    weighted = FAMILY.fit(
        TrainingSet(data, np.array(labels), np.array([1.0, 3, 0, 0])), FAMILY.Options(classes=3), Run(0)
    )
    (
        np.testing.assert_allclose(weighted.means[0], [1.5, 4]),
        np.testing.assert_allclose(weighted.variances[0], [0.75, 3]),
    )


def test_a_label_without_rows_keeps_what_was_known_of_it():
    before = painted([[0.0], [4.0], [7.0], [9.0]], [0, 0, 1, 1], classes=2)
    after = painted([[1.0], [2.0]], [0, 0], before, classes=2)
    np.testing.assert_allclose(after.means, [[1.5], [8]]), np.testing.assert_allclose(after.variances, [[0.25], [1]])
    with pytest.raises(ValueError, match=r"init: found a conditional-gaussian of shape \(2, 1\), allowed is \(3, 1\)"):
        painted([[1.0]], [0], before, classes=3)


def test_what_is_drawn_is_of_the_label_that_is_asked_for_with_the_same_noise():
    model = painted([[0.0], [2.0], [50.0], [54.0]], [0, 0, 1, 1], classes=2)
    asked = np.array([1, 1, 0, 1, 0])
    found, usual = model.sample(Ask(5, SEED, condition=asked)), model.sample(Ask(5, SEED))
    assert found.labels.tolist() == asked.tolist() and usual.labels.tolist() == [0, 1, 0, 1, 0]
    noise = (found.data - model.means[asked]) / np.sqrt(model.variances[asked])
    np.testing.assert_allclose(usual.data, model.means[usual.labels] + noise * np.sqrt(model.variances[usual.labels]))
    with pytest.raises(ValueError, match="labels 0 to 2, allowed are 0 to 1"):
        model.sample(Ask(2, SEED, condition=np.array([0, 2])))


def test_labels_that_do_not_suit_the_classes_are_refused():
    with pytest.raises(ValueError, match="classes: found 2, but the training data has no labels; allowed is 0"):
        painted([[1.0]], None, classes=2)
    with pytest.raises(ValueError, match="classes: found 2, but the training data has labels 0 to 2"):
        painted([[1.0], [2.0]], [0, 2], classes=2)
    assert painted([[1.0], [3.0]], None).sample(Ask(3, 0)).labels is None  # without classes


# -- two models as one -------------------------------------------------------------------------------------------------


def worded(labels, categories, **options):
    kind, count = MODELS["multinomial"], len(labels)
    training = labels_of(TrainingSet(np.zeros((count, 1)), np.asarray(labels), np.ones(count)))
    return kind.fit(training, kind.Options(categories=categories, **options), Run(0))


def test_two_models_sample_as_one_whatever_the_pieces():
    words_, painter = worded([0, 0, 1, 1, 1, 2], 3), painted(np.arange(6.0)[:, None], [0, 0, 1, 1, 2, 2], classes=3)
    both = Drawn(words_, painter)
    one = both.sample(Ask(40, SEED))
    np.testing.assert_array_equal(one.labels, words_.sample(Ask(40, SEED)).data)
    assert one.data.shape == (40, 1) and one.kind == "vectors"
    for start in (0, 7):
        part = both.sample(Ask(11, SEED, start))
        np.testing.assert_array_equal(part.data, one.data[start : start + 11])
        np.testing.assert_array_equal(part.labels, one.labels[start : start + 11])
    noise = (one.data - painter.means[one.labels]) / np.sqrt(painter.variances[one.labels])
    own = painter.sample(Ask(40, SEED))  # the noise of the samples is not that of the painter's own, nor of the words
    assert not np.allclose(noise, (own.data - painter.means[own.labels]) / np.sqrt(painter.variances[own.labels]))
    sharp = both.sample(Ask(40, SEED, bias=0.05))  # the bias is of the words: 1/2 to the power 20 is all
    assert set(sharp.labels) == {1}


def test_a_model_of_labels_learns_nothing_from_rows_without_any():
    with pytest.raises(ValueError, match="training set: found rows without labels"):
        labels_of(TrainingSet(np.zeros((2, 1)), None, np.ones(2)))


# -- the laws ----------------------------------------------------------------------------------------------------------

N, GENERATIONS, REPLICATES = 800, 12, 300
COMMON, RARE = slice(0, 30), slice(30, 60)  # labels of an equal share: 18.7 and 8 rows of each
SHARES = np.repeat([0.07 / 3, 0.01], 30)


def line(replicate, frozen):
    """means, variances and rows of each label by generation, (T + 1, K) each, through the models of a loop whose first
    rows are of N(0, 1) whatever their label."""
    draw, found = np.random.default_rng([SEED, replicate]), []
    rows = SampleSet(draw.normal(size=(N, 1)), draw.choice(len(SHARES), N, p=SHARES))
    painter, texts = None, worded(rows.labels, len(SHARES))
    for generation in range(GENERATIONS + 1):
        painter = FAMILY.fit(whole(rows), FAMILY.Options(classes=len(SHARES)), Run(0), painter)
        texts = texts if frozen else worded(rows.labels, len(SHARES))
        found.append((painter.means[:, 0], painter.variances[:, 0], np.bincount(rows.labels, minlength=len(SHARES))))
        (rows,) = sample(Drawn(texts, painter), N, 1000 * replicate + generation, 1.0, [0], N, lambda start: None)
    return [np.array(part) for part in zip(*found, strict=True)]


@pytest.fixture(scope="module")
def lines():
    """Loops in which the words learn, and as many in which they are frozen: of each (R, T + 1, K) three times."""
    made = {frozen: [line(one, frozen) for one in range(REPLICATES)] for frozen in (False, True)}
    return {frozen: [np.array(part) for part in zip(*several, strict=True)] for frozen, several in made.items()}


def off(found, expected):
    """How many standard errors the mean over replicates, of labels of an equal share, is off: (T + 1, 2)."""
    groups = np.stack([found[..., COMMON].mean(axis=-1), found[..., RARE].mean(axis=-1)], axis=-1)
    error = groups.std(axis=0, ddof=1) / math.sqrt(len(groups))
    return (groups.mean(axis=0) - expected[:, [0, -1]]) / np.maximum(error, 1e-12)


def test_what_is_left_of_the_pictures_where_both_learn(lines):
    _, variances, counts = lines[False]
    found = variances * (counts > 0)
    assert abs(off(found, laws.variance_of_pictures(GENERATIONS, N, SHARES))).max() < 4.5
    frozen = off(found, laws.variance_beside_frozen_words(GENERATIONS, N, SHARES))
    assert frozen[-1, 0] < -4.5, frozen  # the law of frozen words is another


def test_what_is_left_of_the_pictures_beside_frozen_words(lines):
    means, variances, counts = lines[True]
    there = counts[:, :1] > 0  # a label that the words have not is not drawn
    found = variances * there
    assert abs(off(found, laws.variance_beside_frozen_words(GENERATIONS, N, SHARES))).max() < 4.5
    drift = laws.drift_beside_frozen_words(GENERATIONS, N, SHARES)
    assert abs(off(means**2 * there, drift)).max() < 4.5 and (drift < 1).all() and (np.diff(drift, axis=0) > 0).all()
    both = off(found, laws.variance_of_pictures(GENERATIONS, N, SHARES))
    assert both[-1, 0] > 4.5, both


def test_the_words_die_out_as_categories_do_whatever_is_drawn_of_them(lines):
    _, _, counts = lines[False]
    gone, expected = (counts == 0).astype(float), extinction(GENERATIONS, N, SHARES)
    assert abs(off(gone, expected)[4:]).max() < 4.5 and expected[4:].min() > 0.001


def test_the_rarer_a_word_is_the_sooner_its_pictures_are_alike():
    """Exactly, at any size: the Matthew effect that the paper names."""
    for n in (10, 40, 160):
        left = laws.variance_of_pictures(8, n, np.array([0.5, 0.25, 0.15, 0.1]))
        assert (np.diff(left[1:], axis=1) < 0).all() and (np.diff(left, axis=0) < 0).all()
    one = laws.variance_of_pictures(6, 30, np.array([1.0]))  # one word alone: the Gaussian loop
    np.testing.assert_allclose(one[:, 0], (1 - 1 / 30) ** np.arange(1, 8), rtol=1e-12)


def test_words_that_learn_hasten_the_end_of_the_pictures_until_few_are_left():
    truth = np.full(8, 1 / 8)
    both, frozen = (
        law(400, 100, truth).mean(axis=1) for law in (laws.variance_of_pictures, laws.variance_beside_frozen_words)
    )
    ahead = np.flatnonzero(both > frozen)[0]
    assert 15 < ahead < 40 and (both[1:ahead] < frozen[1:ahead]).all() and (both[ahead:] > frozen[ahead:]).all()


# -- the metrics -------------------------------------------------------------------------------------------------------


def test_the_entropy_of_labels_is_that_of_their_shares():
    rows = np.zeros((4, 1))
    fake = Features(rows, classes=np.array([3, 3, 5, 9]))
    assert METRICS["label_entropy"](rows, fake) == pytest.approx(1.5 * math.log(2), rel=1e-12)
    assert METRICS["label_entropy"](rows, Features(rows, classes=np.zeros(4, int))) == 0
    with pytest.raises(Undefined, match="fake: the rows have no labels"):
        METRICS["label_entropy"](rows, rows)


def test_variance_within_a_label_counts_lost_labels_as_nothing():
    real = Features(np.array([[0.0, 0], [2, 0], [9, 9], [9, 13], [5, 5]]), classes=np.array([0, 0, 1, 1, 2]))
    fake = Features(np.array([[0.0, 0], [1, 1], [3, 3]]), classes=np.array([0, 0, 1]))
    # Of real label 2 there is one row. Real variances 2 and 8; of the fakes 1/2 + 1/2, and nothing of label 1.
    assert METRICS["within_class_variance"](real, fake) == pytest.approx(1 / 10, rel=1e-12)
    assert METRICS["within_class_variance"](real, real) == 1
    far = Features(real.values + 1e6 * real.classes[:, None], classes=real.classes)  # where labels lie plays no part
    assert METRICS["within_class_variance"](real, far) == pytest.approx(1, rel=1e-6)
    with pytest.raises(Undefined, match="real: no label has two different rows"):
        METRICS["within_class_variance"](Features(np.zeros((2, 1)), classes=np.array([0, 1])), fake)


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: talk
seeds: 1
generations: 2
data:
  population: {gaussians: {layout: ring, modes: 4}}
  split: {held_out: 60}
models:
  shares: {multinomial: {categories: 4}}
  painter: {conditional-gaussian: {classes: 4}}
initial: {real: 40}
init: previous
samples: 40
grid: 4
extractors: [identity]
metrics: [within_class_variance, label_entropy]
primary: {metric: within_class_variance, extractor: identity}
control: none
arms:
  words: {model: shares, drawn_by: pictures, regime: {fully_synthetic: {n: 40}}}
  pictures: {model: painter, stream: 1, regime: {algebra: {synthetic: [{of: words, n: 40}]}}}
"""


def changed(base, changes):
    """A study's text with some of its parts changed, inside others where both are mappings."""
    found = dict(base)
    for key, value in changes.items():
        inside = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = changed(found[key], value) if inside else value
    return found


def study_of(**changes):
    return check(changed(yaml.safe_load(STUDY), changes), "talk")


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """A study that has run, and its folder."""
    folder = tmp_path_factory.mktemp("talk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found, faults = study_of()
        assert not faults
        in_process.run(found)
    return found, folder


@pytest.fixture
def run(talk, monkeypatch):
    monkeypatch.chdir(talk[1])
    return talk[0]


def model(study, arm, generation):
    """The arrays of a model, and its metadata."""
    return store.read_tensors(Path(study.model_file(arm, 0, generation)))


def samples(study, arm, generation):
    return store.read_samples(Path(study.cell(arm, 0, generation, "samples.safetensors")))


def test_each_learns_from_what_both_have_made(run):
    for t in (1, 2):
        eaten = samples(run, "words", t - 1)
        texts, told = model(run, "words", t)
        np.testing.assert_allclose(texts["probabilities"], np.bincount(eaten.labels, minlength=4) / 40, rtol=1e-12)
        assert told["lineage"]["of"] == "labels"
        pictures, told = model(run, "pictures", t)
        assert "of" not in told["lineage"]
        for label in np.unique(eaten.labels):
            own = eaten.data[eaten.labels == label]
            np.testing.assert_allclose(pictures["means"][label], own.mean(axis=0), rtol=1e-9)
            np.testing.assert_allclose(pictures["variances"][label], own.var(axis=0), rtol=1e-6, atol=1e-18)


def test_samples_say_who_drew_them(run):
    found = samples(run, "words", 2)
    drawn_by = run.model_file("pictures", 0, 2)
    assert found.lineage["drawn_by"]["model"] == drawn_by and found.lineage["family"] == "multinomial"
    assert found.lineage["inputs"][drawn_by] == store.recorded_hash(drawn_by) and len(found.lineage["inputs"]) == 2
    pictures, _ = model(run, "pictures", 2)
    away = abs(found.data - pictures["means"][found.labels])
    assert (away <= 5 * np.sqrt(pictures["variances"][found.labels])).all()  # 80 numbers of a normal law
    assert "drawn_by" not in samples(run, "pictures", 2).lineage


def test_words_may_lose_their_labels_and_pictures_are_told_them(run):
    """The labels of what the words say are their own, so that modes can be lost there, and only there."""
    assert run.classes_given == ["pictures"]
    told = results.facts(run)
    found = {one.arm: one for one in lost_modes(told, results.records(run)[0])}
    assert CLASSES_GIVEN in found["pictures"].sentence
    assert found["words"].status == "not testable" and "no class histogram was measured" in found["words"].sentence


def test_the_law_that_the_paper_is_told_beside():
    """16 rows of a label on average, as the toy of gao_li has: the law depends on n and K by that, and hardly else."""
    left = laws.variance_beside_frozen_words(6, 1600, np.array([0.01]))[:, 0]
    assert left[6] - left[0] == pytest.approx(-0.333, abs=5e-4)
    assert "says -.333 of the variance" in (Path(__file__).parents[1] / "config" / "papers" / "gao_li.yaml").read_text(
        "utf-8"
    )


def test_both_models_stand_behind_a_sample(run):
    line = trace(Path(run.cell("words", 0, 2, "samples.safetensors")), 3)
    assert line.holds and f"drawn by {run.model_file('pictures', 0, 2)}" in line.links[0].said
    behind = {(one.arm, one.generation) for one in line.sets}
    assert {("words", 2), ("pictures", 2), ("words", 1), ("pictures", 1)} <= behind
    assert {("base_shares", 0), ("base_painter", 0)} <= behind


def test_what_is_killed_comes_out_with_the_same_bits(run):
    """The samples of labels are lost, and made again of both models; then everything is there as it was."""
    path = Path(run.cell("words", 0, 1, "samples.safetensors"))
    before = path.read_bytes()
    path.unlink()
    place = Place("words", 0, 1)
    assert in_process.frame.run(in_process.words_of(run, "sample", place)) == 0
    assert path.read_bytes() == before


def test_jobs_hang_on_whoever_draws(run):
    place, other = Place("words", 0, 1), Place("pictures", 0, 1)
    assert run.model_file("pictures", 0, 1) in jobs.inputs(run, "sample", place)
    assert run.model_file("pictures", 0, 0) in jobs.inputs(run, "grid", Place("words", 0, 0))
    assert f"--drawn-by {run.model_file('pictures', 0, 1)}" in jobs.arguments(run, "sample", place)
    roots = jobs.roots(run, "sample", place)
    assert any("conditional-gaussian" in root for root in roots) and any("multinomial" in root for root in roots)
    assert "--of labels" in jobs.arguments(run, "train", place)
    for verb in ("sample", "train"):  # an arm of samples is told what it was always told
        said = jobs.arguments(run, verb, other)
        assert "--drawn-by" not in said and "--of" not in said
        assert not any(root.endswith((":Drawn", ":labels_of")) for root in jobs.roots(run, verb, other))


def test_another_model_that_draws_is_another_sampling_and_no_other_training(run):
    other, faults = study_of(models={"painter": {"conditional-gaussian": {"ddof": 1}}})
    assert not faults
    place = Place("words", 0, 1)
    assert jobs.arguments(other, "train", place) == jobs.arguments(run, "train", place)
    assert jobs.arguments(other, "train", Place("pictures", 0, 1)) != jobs.arguments(
        run, "train", Place("pictures", 0, 1)
    )


def test_a_model_that_diverged_draws_nothing(run, tmp_path):
    """The samples of labels are then the marker of a lineage that has ended, as those of any model are."""
    path, out = tmp_path / "painter.safetensors", tmp_path / "samples.safetensors"
    _, metadata = store.read_tensors(Path(run.model_file("pictures", 0, 1)))
    store.write_tensors(path, {}, metadata | {"lineage": metadata["lineage"] | {"diverged": {"at": 3}}})
    said = in_process.words_of(run, "sample", Place("words", 0, 1), str(out))
    said[said.index("--drawn-by") + 1] = str(path)
    assert in_process.frame.run(said) == 0
    assert store.read_samples(out).lineage["diverged"] == {"at": 3, "of": str(path)}


def test_a_file_that_cannot_draw_labels_is_named_by_its_flag(run, tmp_path, capsys):
    out = str(tmp_path / "samples.safetensors")
    said = in_process.words_of(run, "sample", Place("words", 0, 1), out)
    words, pictures = run.model_file("words", 0, 1), run.model_file("pictures", 0, 1)
    for flag, model, told in (
        ("--drawn-by", words, f"--drawn-by: {words} holds multinomial, which is told no labels; allowed is"),
        ("--model", pictures, f"--model: {pictures} holds conditional-gaussian; with --drawn-by it is of labels alone"),
    ):
        wrong = list(said)
        wrong[wrong.index(flag) + 1] = model
        assert in_process.frame.run(wrong) == 2
        assert told in " ".join(capsys.readouterr().err.split())


def test_records_measure_words_and_pictures(run):
    found = json.loads(Path(run.cell("words", 0, 2, "metrics.json")).read_text(encoding="utf-8"))["values"]
    values = {one["metric"]: one["value"] for one in found}
    made, real = samples(run, "words", 2), store.read_samples(Path(run.part_file("held_out")))
    fake, truth = (Features(one.data, classes=one.labels) for one in (made, real))
    for name in ("label_entropy", "within_class_variance"):
        assert values[name] == METRICS[name](truth, fake)


def test_what_looks_through_the_arms_own_model_does_not_look_at_labels(tmp_path, monkeypatch):
    found, faults = study_of(
        extractors=["identity", "likelihood", "moments"],
        metrics=["label_entropy", "mean_drift"],
        primary={"metric": "label_entropy"},
    )
    assert not faults
    said = {arm: jobs.arguments(found, "extract", Place(arm, 0, 1)) for arm in ("words", "pictures")}
    assert "likelihood" in said["pictures"] and "moments" in said["pictures"]
    assert "likelihood" not in said["words"] and "moments" not in said["words"]


def test_a_plan_says_who_draws(run):
    assert (
        composed.about(run, "words") == "40 samples of the last model, and nothing else, of labels that pictures draws"
    )
    assert results.setting_of(run, "words") is None  # no law of a multinomial alone
    assert words.totals(run)["disk"]
    assert (shape_of(run, "shares"), shape_of(run, "painter")) == ((), (2,))  # by which the models are timed
    timed = throughput.measure("multinomial", run.parsed_options("shares"), shape_of(run, "shares"), seconds=0.01)
    assert timed.training_images_per_second > 0


def images():
    """The same study of digits, whose pictures a network draws."""
    net = {"preset": "tiny", "channels": 8, "blocks": 1, "batch": 25, "sample_batch": 30, "steps": 2, "classes": 10}
    raw = yaml.safe_load(STUDY) | {
        "data": {"source": "digits", "split": {"train": 100, "held_out": 100}},
        "models": {"shares": {"multinomial": {"categories": 10}}, "painter": {"diffusion": net}},
        "extractors": ["pixels"],
        "primary": {"metric": "within_class_variance", "extractor": "pixels"},
        "train": {"images_seen": 50},
        "generations": 1,
    }
    found, faults = check(raw, "talk")
    assert not faults, faults
    return found


def test_a_network_draws_labels_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = images()
    assert needs_gpu(found, "sample", Place("words", 0, 1)) and not needs_gpu(found, "train", Place("words", 0, 1))
    in_process.run(found)
    texts, _ = model(found, "words", 1)
    eaten, made = samples(found, "words", 0), samples(found, "words", 1)
    np.testing.assert_allclose(texts["probabilities"], np.bincount(eaten.labels, minlength=10) / 40, rtol=1e-12)
    assert made.kind == "images" and made.data.shape == (40, *found.shape)
    assert set(made.labels) <= set(eaten.labels)  # a word that nobody says dies out


def test_a_sweep_lets_each_arm_draw_at_its_own_point():
    found, faults = study_of(sweep={"initial.real": [20, 40]}, control="none")
    assert not faults, faults
    assert {name: arm.drawn_by for name, arm in found.lineages.items()} == {
        "words_real20": "pictures_real20",
        "words_real40": "pictures_real40",
        "pictures_real20": "",
        "pictures_real40": "",
    }


@pytest.mark.parametrize(
    ("axis", "values", "said"),
    [
        ("models.painter.classes", [4, 9], "'pictures' is copied along axes that 'words' has not"),
        ("models.shares.multinomial.alpha", [0, 1], "'words' is copied along axes that 'pictures' has not"),
    ],
)
def test_an_axis_of_one_alone_is_one_fault(axis, values, said):
    _, faults = study_of(sweep={axis: values})
    assert len(faults) == 1 and said in faults[0].message


WORDS, PICTURES = "arms.words.", "arms.pictures."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"words": {"drawn_by": "picture"}}}, "unknown arm 'picture' (did you mean 'pictures'?)"),
        ({"arms": {"words": {"drawn_by": "words"}}}, "found the arm itself, whose model is of labels alone"),
        ({"arms": {"pictures": {"drawn_by": "words"}}}, "found 'pictures', whose model is of labels alone"),
        ({"models": {"painter": {"conditional-gaussian": {"classes": 0}}}}, "has classes: 0; say how many labels"),
        ({"models": {"painter": {"conditional-gaussian": {"classes": 5}}}}, "found 4, but 'painter', which draws them"),
        ({"models": {"shares": {"multinomial": {"categories": None}}}}, "allowed is multinomial: {categories: 4}"),
        (
            {
                "models": {
                    n: {f: {k: 3}}
                    for n, f, k in (
                        ("shares", "multinomial", "categories"),
                        ("painter", "conditional-gaussian", "classes"),
                    )
                }
            },
            "found 3, but the labels of 'gaussians' are 0 to 3; allowed are 4 or more",
        ),
        ({"arms": {"pictures": {"sampling_bias": 0.5}}}, "found 'pictures' with sampling_bias; samples of labels are"),
        ({"arms": {"words": {"sampler": "heun"}}}, "is of samples, and the model of 'words' is of labels alone"),
        ({"control": "real_only"}, "a control has nobody; say control: none"),
        ({"calibration": [20]}, "a calibration has nobody; leave it out"),
        (
            {
                "extractors": ["identity", "moments"],
                "metrics": ["variance_ratio"],
                "primary": {"metric": "variance_ratio", "extractor": "moments"},
            },
            "found 'moments', which sees through an arm",
        ),
        ({"data": {"population": {"land": {}}}}, "a model of labels learns from those of real rows, but 'land' draws"),
        (
            {
                "arms": {
                    "pictures": {"regime": {"algebra": {"synthetic": [{"of": "words", "n": 40, "draw": "resample"}]}}}
                }
            },
            "no new samples are made of 'words', whose model is of labels alone; allowed: draw: stored",
        ),
        (
            {"arms": {"more": {"model": "shares", "regime": {"fully_synthetic": {"n": 40}}}}},
            "'shares' is of labels alone in 'words'; say who draws them here",
        ),
    ],
)
def test_what_cannot_draw_or_be_drawn_is_a_fault_with_its_cure(changes, said):
    if "data" in changes:
        raw = changed(yaml.safe_load(STUDY), {})
        raw["data"]["population"] = "land"
        _, faults = check(raw, "talk")
    else:
        _, faults = study_of(**changes)
    assert any(said in fault.message for fault in faults), [(fault.path, fault.message) for fault in faults]


def test_a_model_of_samples_that_no_label_reaches_cannot_draw():
    raw = changed(yaml.safe_load(STUDY), {})
    raw["models"]["painter"] = {"gaussian": {"ddof": 0}}
    _, faults = check(raw, "talk")
    assert any(
        "whose 'gaussian' cannot be told a label; families that can: conditional-gaussian" in one.message
        for one in faults
    )


def test_words_end_with_pictures_that_were_stopped_and_that_is_said(run, tmp_path, monkeypatch):
    """A rule between what both have measured at first, so that it holds of the pictures and not of the words."""
    first = {one["arm"]: one["values"] for one in results.records(run)[0] if one["generation"] == 0}
    values = {
        arm: next(v["value"] for v in found if v["metric"] == "within_class_variance") for arm, found in first.items()
    }
    between = sum(values.values()) / 2
    side = "below" if values["pictures"] < between else "above"
    monkeypatch.chdir(tmp_path)
    found, faults = study_of(stop={"when": "collapsed", side: between})
    assert not faults, faults
    in_process.run(found)
    gone = stopping.stopped(found)
    assert gone["pictures"][0]["generation"] == gone["words"][0]["generation"] == 0
    assert "with" not in gone["pictures"][0] and gone["words"][0]["with"] == "pictures"
    assert store.read_json(Path(found.cell("words", 0, 1, "stop.json")))["stopped"] is None  # its own rule never held
    why = "ended after generation 0 with 'pictures', which draws its labels and was stopped; collapsed: Variance within"
    assert stopping.why(gone["words"][0]).startswith(why)
    told, records = results.facts(found), results.records(found)[0]
    said = and_ended(records, told, "words")
    assert said.startswith(" Ended with pictures, which draws its labels, was 1 of 1 lineages (seed 0 at generation 0)")
    assert and_ended(records, told, "pictures").startswith(" Stopped was 1 of 1 lineages")
    ends = {one.arm: one for one in survival.stopping(told, records)}
    assert ends["words"].status == "ended with others" and ends["words"].numbers["stopped"] == 0
    assert ends["words"].sentence.endswith(" 1 ended with pictures, which draws its labels.")
    mark = samples(found, "words", 1).lineage["diverged"]
    assert mark["stopped"]["generation"] == 0 and mark["of"] == found.model_file("pictures", 0, 1)
