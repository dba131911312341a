"""What samples are worth to a classifier that learns from them: by hand, by theory, and through a study."""

import math
from dataclasses import replace
from itertools import pairwise

import in_process
import numpy as np
import pytest
import yaml
from PIL import Image

from collapselab import store, study
from collapselab.cli import run as frame
from collapselab.core.errors import Undefined
from collapselab.features import Features
from collapselab.metrics import METRICS, downstream_accuracy, downstream_loss
from collapselab.metrics.downstream import taught_weights
from collapselab.study import jobs

ACROSS = 4  # standard errors that a mean may be off: once in 16,000


def line(places, labels):
    """Rows of one number each, and their labels."""
    return Features(np.array(places, float)[:, None], classes=np.array(labels))


# -- the classifier ----------------------------------------------------------------------------------------------------


def test_two_rows_teach_the_weights_that_are_worked_out_by_hand():
    """At z = -1 and 1 the loss is ln(1 + e^-2w) + penalty w^2, least where penalty = 1 / (w (1 + e^2w))."""
    for w in (0.1, 0.5, 2.0):
        weights, bias = taught_weights(np.array([[-1.0], [1.0]]), np.array([0, 1]), 1 / (w * (1 + math.exp(2 * w))))
        # The search ends at a gradient of 1e-9, and no curvature here is below .03.
        np.testing.assert_allclose(weights, [[-w, w]], atol=1e-6)
        np.testing.assert_allclose(bias, 0, atol=1e-6)


def test_what_tells_nothing_teaches_the_shares_of_the_classes():
    """Columns that are 0 leave b alone: its softmax is the shares, since these have the least cross-entropy."""
    weights, bias = taught_weights(np.zeros((10, 3)), np.array([0] * 5 + [1] * 3 + [2] * 2), 0.01)
    shares = np.exp(bias) / np.exp(bias).sum()
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=1e-6)
    assert not weights.any()


def test_real_rows_are_asked_on_which_side_of_the_middle_they_are():
    fake = line([-1, -1, 3, 3], [4, 4, 7, 7])  # by symmetry the boundary is at 1
    real = line([-5, 0.9, 1.1, 4, 0], [4, 4, 7, 4, 7])
    found = downstream_accuracy(real, fake)
    assert found == 3 / 5 and found.low < found < found.high
    whole = line([-1, -1, 3, 3, 9], [4, 4, 7, 7, 0])  # of which as many as there are fakes teach
    # Swapped labels teach the reverse: the real rows know 3 that the fakes do not, and these 2 that those do not.
    lost = downstream_loss(real, line([-1, -1, 3, 3], [7, 7, 4, 4]), train=whole)
    error = math.sqrt(5 + 1 - 1 / 7) / 7  # Agresti and Min, b = 3, c = 2, n = 5
    assert lost == pytest.approx(1 / 5, rel=1e-12)
    assert (lost.low, lost.high) == pytest.approx((1 / 7 - 1.959964 * error, 1 / 7 + 1.959964 * error), rel=1e-6)
    none = downstream_loss(real, fake, train=whole)
    assert none == 0 and none.low == -none.high < 0


# -- what it comes to --------------------------------------------------------------------------------------------------


def normals(seed, rows):
    """Classes 0 and 1 of equal mass, N(-1, 1) and N(1, 1): the best classifier is right with Phi(1) = .8413."""
    source = np.random.default_rng(seed)
    labels = source.integers(0, 2, rows)
    return line(2 * labels - 1 + source.normal(size=rows), labels)


@pytest.mark.filterwarnings("error")
def test_samples_of_the_truth_teach_as_much_as_real_rows_and_as_theory_says():
    best, rows, held, inside = 0.841345, 1000, 2000, 0
    for seed in range(40):
        real, fake, train = normals(3 * seed, held), normals(3 * seed + 1, rows), normals(3 * seed + 2, rows)
        found, lost = downstream_accuracy(real, fake), downstream_loss(real, fake, train=train)
        # Binomial; a boundary off by some .05 costs phi(1) .05^2 / 2, below a tenth of that.
        assert found == pytest.approx(best, abs=1.1 * ACROSS * math.sqrt(best * (1 - best) / held))
        assert lost == pytest.approx(downstream_accuracy(real, train) - found, abs=1e-12)
        inside += lost.low <= 0 <= lost.high
    # 38 of 40 are expected; the boundaries' own chance takes some. Fewer than 30 has a chance below .001 at 85 %.
    assert inside >= 27


@pytest.mark.filterwarnings("error")
def test_labels_at_random_teach_what_chance_knows():
    source = np.random.default_rng(5)
    centres = np.array([[3, 3], [3, -3], [-3, 3], [-3, -3]])
    labels = np.arange(400) % 4
    fake, real = (Features(centres[labels] + source.normal(size=(400, 2)), classes=labels) for _ in range(2))
    assert downstream_accuracy(real, fake) > 0.98  # a centre is 3 standard deviations from each border: .9973
    shuffled = [downstream_accuracy(real, replace(fake, classes=source.permutation(labels))) for _ in range(100)]
    # Each cloud gets some class by chance: a hit of a quarter of the rows with 1/4, so that an sd is at most .22.
    assert np.mean(shuffled) == pytest.approx(0.25, abs=ACROSS * 0.22 / 10)


@pytest.mark.filterwarnings("error")
def test_fakes_that_lack_something_have_a_value():
    source = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [150, 90, 60])
    values = np.eye(3)[labels] * 5 + source.normal(size=(300, 3)) * 0.1
    real = Features(values, classes=labels)
    one = Features(values, classes=np.full(300, 2))
    assert downstream_accuracy(real, one) == 0.2  # one class alone
    missing = Features(values[labels < 2], classes=labels[labels < 2])
    assert downstream_accuracy(real, missing) == 0.8  # a class that is missing is never given
    equal = Features(np.full((5, 3), 0.1), classes=np.array([0, 1, 1, 1, 2]))
    assert downstream_accuracy(real, equal) == 0.3  # class 1 is the commonest
    even = Features(np.full((4, 3), 0.1), classes=np.array([1, 0, 1, 0]))
    assert downstream_accuracy(real, even) == 0.5  # of several the first
    wide = Features(np.hstack([values, np.full((300, 5), 7.0)]), classes=labels)
    assert downstream_accuracy(wide, wide) == 1  # constant pixels
    single = Features(values[:1], classes=labels[:1])
    assert downstream_accuracy(real, single) == 0.5
    with pytest.raises(Undefined, match="fake: the rows have no labels"):
        downstream_accuracy(real, values)
    with pytest.raises(Undefined, match="train: the rows have no labels"):
        downstream_loss(real, real, train=values)
    with pytest.raises(ValueError, match="penalty: found 0"):
        downstream_accuracy(real, real, penalty=0)


def test_the_order_of_rows_counts_only_by_rounding():
    source = np.random.default_rng(1)
    points, labels = source.normal(size=(200, 5)), source.integers(0, 3, 200)
    order = source.permutation(200)
    one, other = taught_weights(points, labels, 0.01), taught_weights(points[order], labels[order], 0.01)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # a gradient of 1e-9 over a curvature of some .01


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: worth
seeds: 1
generations: 1
data:
  population: two-moons
  split: {held_out: 80}
models:
  classes: {class-gaussian: {}}
initial: {real: 8}
samples: 40
extractors: [identity]
metrics: [frechet_distance, downstream_accuracy, downstream_loss]
primary: {metric: downstream_accuracy, extractor: identity}
control: none
arms:
  chosen: {model: classes, regime: fully_synthetic, select: {random: {share: 0.5}}}
"""


def written(folder, **changes):
    path = folder / "worth.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(STUDY) | changes))
    return path


def read(path, rows=slice(None)):
    found = store.read_samples(path)
    return Features(found.data[rows], classes=found.labels[rows])


def test_records_hold_what_labelled_samples_teach(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = study.load(written(tmp_path))
    in_process.run(found)
    real = {part: read(found.part_file(part)) for part in ("held_out", "train")}
    for generation in (0, 1):
        cell = ("chosen", 0, generation)
        samples, kept = found.cell(*cell, "samples.safetensors"), store.read_kept(found.cell(*cell, "kept.parquet"))
        sets = {"sampled": read(samples, slice(20)), "kept": read(samples, kept.rows)}  # as many rows of both
        record = store.read_json(found.cell(*cell, "metrics.json"))
        values = {(one["set"], one["metric"]): one for one in record["values"]}
        assert len(values) == 6
        for which, fake in sets.items():
            one = values[which, "downstream_accuracy"]
            expected = downstream_accuracy(real["held_out"], fake)
            assert (one["value"], one["low"], one["high"]) == (expected, expected.low, expected.high)
            lost = downstream_loss(real["held_out"], fake, train=real["train"])
            assert values[which, "downstream_loss"]["value"] == lost
        made = record["fingerprints"][values["sampled", "downstream_accuracy"]["fingerprint"]]
        assert " labels " in made["reference_hash"] and made["n_fake"] == 20
    (baseline,) = [one for one in jobs.every(found) if one[0] == "baseline"]
    content = store.read_json(in_process._out(found, *baseline))
    values = {one["metric"]: one["value"] for one in content["values"]}
    perfect = downstream_accuracy(real["held_out"], read(found.part_file("train"), slice(20)))
    assert values["downstream_accuracy"] == perfect < 1
    assert values["downstream_loss"] == 0


def test_a_study_without_such_a_metric_is_told_nothing_of_labels(tmp_path):
    one, other = (
        study.load(written(tmp_path, metrics=metrics, primary={"metric": metrics[0], "extractor": "identity"}))
        for metrics in (["frechet_distance"], ["frechet_distance", "downstream_accuracy"])
    )
    for verb in ("record", "baseline"):
        (place, *_) = [place for name, place in jobs.every(one) if name == verb]
        assert "--labelled" not in jobs.arguments(one, verb, place)
        assert "--labelled held_out=" in jobs.arguments(other, verb, place)
        assert set(jobs.inputs(one, verb, place)) < set(jobs.inputs(other, verb, place))
        assert not any(root.endswith(":labelled") for root in jobs.roots(one, verb, place))
        assert any(root.endswith(":labelled") for root in jobs.roots(other, verb, place))


IMAGES = {
    "data": {"source": "digits", "split": {"train": 100, "held_out": 100}},
    "extractors": ["pixels"],
    "metrics": ["downstream_accuracy"],
    "primary": {"metric": "downstream_accuracy", "extractor": "pixels"},
}
PPCA = {"ppca": {"components": 4, "ddof": 0}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": {"classes": {"gaussian": {"ddof": 0}}}}, "of 'gaussian' have none here: take another family; "),
        (
            {"models": {"classes": {"gaussian": {"ddof": 0}}}},
            "families that label: class-gaussian, conditional-gaussian",
        ),
        ({"data": {"population": "land", "split": {"held_out": 80}}}, "but 'land' draws rows without any"),
        (IMAGES | {"models": {"classes": PPCA}}, "let the arm's transform be one that relabels"),
        (
            IMAGES | {"models": {"classes": {"diffusion": {"preset": "tiny", "classes": 0}}}},
            "say classes: and how many",
        ),
    ],
)
def test_what_has_no_labels_is_a_fault_with_its_cure(tmp_path, changes, said):
    with pytest.raises(study.BadStudy, match="downstream_accuracy' learns from") as error:
        study.load(written(tmp_path, **changes))
    assert said in str(error.value)


def test_of_a_single_class_nothing_is_learnt(tmp_path):
    """Every classifier knows it, whatever has taught it: noise would score 1."""
    (tmp_path / "solo" / "zero").mkdir(parents=True)
    for index, image in enumerate(np.random.default_rng(1).integers(0, 256, (60, 8, 8), dtype=np.uint8)):
        Image.fromarray(image).save(tmp_path / "solo" / "zero" / f"{index}.png")
    source = {"folder": {"path": str(tmp_path / "solo")}}
    changes = IMAGES | {
        "data": {"source": source, "split": {"train": 30, "held_out": 30}},
        "models": {"classes": {"diffusion": {"preset": "tiny", "classes": 1}}},
    }
    with pytest.raises(study.BadStudy, match="learns from labels, but the images are all of one class"):
        study.load(written(tmp_path, **changes))


def test_samples_that_a_classifier_labels_will_do(tmp_path):
    arms = {"chosen": {"model": "classes", "regime": "fully_synthetic", "transform": ["relabel"]}}
    study.load(written(tmp_path, **IMAGES, models={"classes": PPCA}, arms=arms))


def test_sequences_are_refused(tmp_path):
    data = {"population": {"markov": {}}, "split": {"held_out": 80}}
    models, metrics = {"classes": {"ngram": {"vocabulary": 8}}}, ["run_entropy", "downstream_accuracy"]
    changes = {"models": models, "metrics": metrics, "primary": {"metric": "run_entropy", "extractor": "tokens"}}
    with pytest.raises(study.BadStudy, match="measures images and vectors and audio; the study's data are sequences"):
        study.load(written(tmp_path, data=data, extractors=["tokens"], **changes))


def test_sets_from_anywhere_have_no_labels(tmp_path, capsys):
    for name in ("one", "other"):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(len(name)).normal(size=(20, 2)))
    words = ["measure", str(tmp_path / "one.npy"), "--against", str(tmp_path / "other.npy")]
    assert frame.run([*words, "--metric", "downstream_accuracy"]) != 0
    assert "reads the labels of rows, which a study's samples have" in capsys.readouterr().err.replace("\n", " ")


def test_more_of_what_is_lost_costs_more():
    """The direction: fakes that come nearer to one class's place teach less and less."""
    real = normals(0, 2000)
    found = [
        float(METRICS["downstream_accuracy"](real, Features(normals(1, 2000).values + shift, normals(1, 2000).classes)))
        for shift in (0, 0.5, 1, 2, 4)
    ]
    assert all(one > other for one, other in pairwise(found))
