"""What is measured of forgetting, against counts that are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collapselab.core.errors import Undefined
from collapselab.features import Features
from collapselab.metrics import (
    forgotten_precision,
    frechet_distance,
    recall,
    retained_accuracy,
    retained_frechet_distance,
    retained_precision,
    retained_recall,
    unlearning_accuracy,
)
from collapselab.metrics.unlearning import nearest_classes
from collapselab.study import results
from collapselab.study.loading import load
from collapselab.verdicts import Endpoint, StudyFacts
from collapselab.verdicts.unlearned import unlearned

ROOT = Path(__file__).parents[1]
CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 12.0], [40.0, 40.0]])


def clouds(classes, seed=0, seen=None):
    classes = np.asarray(classes)
    rows = CENTRES[classes] + np.random.default_rng(seed).normal(size=(len(classes), 2))
    return Features(rows, classes if seen is None else np.asarray(seen))


REAL = clouds(np.arange(200) % 4)


def test_unlearned_is_the_share_that_was_asked_for_and_is_not_seen():
    asked = np.arange(80) % 4
    seen = asked.copy()
    seen[asked == 2] = [2] * 5 + [3] * 15
    seen[0] = 2  # one that was asked for as another class has no part in it
    found = unlearning_accuracy(REAL, clouds(asked, seen=seen), label=2, asked=4)
    assert found == 15 / 20 and found.low < 0.75 < found.high


def test_a_black_picture_that_is_called_the_class_is_not_there():
    asked = np.arange(80) % 4
    there = clouds(asked, seed=5)
    black = Features(np.where((asked == 2)[:, None], -500.0, there.values), asked)  # the classifier says so
    assert unlearning_accuracy(REAL, black, label=2, asked=4) == 0
    assert forgotten_precision(REAL, black, label=2, asked=4) == 0
    assert forgotten_precision(REAL, there, label=2, asked=4) > 0.8
    assert forgotten_precision(REAL, black, label=2) == 0 and forgotten_precision(REAL, there, label=2) > 0.8
    assert forgotten_precision(REAL, clouds([1] * 9), label=2) == 0


def test_where_nobody_asked_it_is_the_share_that_is_gone():
    found = unlearning_accuracy(REAL, clouds(np.arange(100) % 4, seen=[2] * 10 + [1] * 90), label=2)
    assert found == pytest.approx(1 - 0.1 / 0.25) and found.low < found < found.high
    assert unlearning_accuracy(REAL, clouds([2] * 50), label=2) == pytest.approx(-3)


def test_damage_to_what_is_confused_with_the_class_is_told_apart():
    assert nearest_classes(REAL, 0) == [1, 2, 3] and nearest_classes(REAL, 3) == [2, 1, 0]
    asked = np.arange(80) % 4
    seen = asked.copy()
    seen[np.flatnonzero(asked == 1)[:10]] = 3
    seen[asked == 0] = 3
    found = retained_accuracy(REAL, clouds(asked, seen=seen), label=0, asked=4, neighbours=2)
    assert found == {"all": 50 / 60, "neighbours": 30 / 40, "others": 1.0}
    # Where nobody asked: of 80 fakes 10 are of class 1, 20 of 2 and 50 of 3, and of the real ones a third each.
    found = retained_accuracy(REAL, clouds(asked, seen=seen), label=0, neighbours=2)
    assert found == pytest.approx({"all": 1 / 8 + 1 / 4 + 1 / 3, "neighbours": (1 / 8 + 1 / 4) * 1.5, "others": 1.0})


def test_what_stays_is_measured_without_the_class_and_what_became_of_it():
    asked = np.arange(200) % 4
    whole = clouds(asked, seed=3)
    noise = Features(np.where((asked == 1)[:, None], 1e3, whole.values), np.where(asked == 1, 3, asked))
    others = np.flatnonzero(asked != 1)
    real = REAL.values[REAL.classes != 1]
    kept = whole.values[others]
    assert retained_recall(REAL, noise, label=1, asked=4) == recall(Features(real), Features(kept))
    assert retained_frechet_distance(REAL, noise, label=1, asked=4) == pytest.approx(frechet_distance(real, kept))
    assert retained_precision(REAL, noise, label=1, asked=4) > 0.9
    # Where nobody asked, noise that looks like another class counts as one of it.
    assert retained_precision(REAL, noise, label=1) < 0.8


@pytest.mark.parametrize(
    ("metric", "said", "fakes", "message"),
    [
        (unlearning_accuracy, {"label": 3, "asked": 4}, REAL.values[:2], "predicts no classes"),
        (unlearning_accuracy, {"label": 3, "asked": 4}, clouds([0, 1]), "none of which was asked for"),
        (unlearning_accuracy, {"label": 7}, clouds([0, 1]), "class 7 does not occur"),
        (retained_accuracy, {"label": 7, "asked": 9}, clouds([0, 1]), "class 7 does not occur"),
        (retained_recall, {"label": 1, "asked": 4}, clouds([0, 1]), "fake: found 1 rows"),
    ],
)
def test_what_is_not_determined_says_why(metric, said, fakes, message):
    with pytest.raises(Undefined, match=message):
        metric(REAL, fakes, **said)


def test_a_class_that_was_never_asked_for_is_refused():
    for metric in (unlearning_accuracy, retained_accuracy, retained_recall):
        with pytest.raises(ValueError, match="allowed are 0 to 3"):
            metric(REAL, REAL, label=4, asked=4)


# -- beside the gold standard ------------------------------------------------------------------------------------------


def numbers_of(arm, seed, **values):
    rows = [{"metric": name, "extractor": "lenet", "set": "sampled", "value": one} for name, one in values.items()]
    return {"study": "forgot", "arm": arm, "seed": seed, "generation": 0, "status": "ok", "values": rows}


def test_each_arm_stands_beside_the_one_trained_without_in_pairs_of_one_seed():
    luck = np.random.default_rng(3).normal(0, 0.05, 5)
    records = []
    for seed, shared in enumerate(luck):
        own = 0.001 * (-1) ** seed
        records += [
            numbers_of("again", seed, unlearning_accuracy=0.98, retained_recall=0.8 + shared, recall=0.5),
            numbers_of("mild", seed, unlearning_accuracy=0.98, retained_recall=0.78 + shared + own, recall=0.5),
            numbers_of("destroyed", seed, unlearning_accuracy=1.0, retained_recall=0.0, recall=0.0),
        ]
    better = {"unlearning_accuracy": "higher", "retained_recall": "higher", "recall": "higher"}
    arms = {"again": "", "mild": "", "destroyed": ""}
    facts = StudyFacts("forgot", arms, Endpoint("retained_recall", "lenet"), 5, 0, better=better, without="again")
    found = {(one.arm, one.question.partition(".")[2]): one for one in unlearned(facts, records)}
    assert set(found) == {
        (arm, metric) for arm in ("mild", "destroyed") for metric in ("unlearning_accuracy", "retained_recall")
    }
    mild = found["mild", "retained_recall"]
    assert mild.status == "worse" and mild.numbers["mean"] == pytest.approx(-0.02 + 0.001 / 5)
    assert mild.numbers["low"] < -0.02 < mild.numbers["high"] < -0.017  # what seeds share drops out
    assert mild.numbers["without"] == pytest.approx(0.8 + luck.mean())
    assert found["mild", "unlearning_accuracy"].status == "the same"
    destroyed = found["destroyed", "retained_recall"]
    assert destroyed.status == "worse" and destroyed.numbers["value"] == 0
    assert unlearned(replace(facts, without=""), records) == []


def test_the_arm_that_is_trained_without_is_found_in_the_study():
    study = load(ROOT / "config" / "unlearn.yaml")
    assert results._without(study) == "retrained"
    assert results._without(load(ROOT / "config" / "smoke.yaml")) == ""
