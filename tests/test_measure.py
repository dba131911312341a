"""Records: who plays which role, what stands in a value, and which fingerprints may be compared."""

import re

import numpy as np
import pytest

from collapselab import metrics
from collapselab.core.errors import Undefined
from collapselab.features import Features
from collapselab.measure import quality
from collapselab.measure import record as measure
from collapselab.measure.compare import check_comparable, differences
from collapselab.measure.record import Measurement, Role
from collapselab.metrics import METRICS, Estimate


def cloud(seed, rows, shift=0.0):
    source = np.random.default_rng(seed)
    return Features(shift + source.normal(size=(rows, 6)), source.integers(0, 3, rows))


HELD_OUT, TRAIN, FAKE = cloud(1, 120), cloud(2, 150), cloud(3, 100, shift=0.2)
REALS = {("held_out", "identity"): Role(HELD_OUT, "h"), ("train", "identity"): Role(TRAIN, "t")}
FAKES = {("sampled", "identity"): FAKE}
MAKER = {"sampled": {"family": "gaussian", "sampling_bias": 0.7}}


def measured(metrics, reals=REALS, fakes=FAKES, **more):
    wanted = {name: dict(METRICS[name].options) for name in metrics}
    values, fingerprints = Measurement(wanted, reals, {"identity": {}}, **more).of_samples(fakes, MAKER)
    return {value["metric"]: value for value in values}, fingerprints


@pytest.mark.parametrize(
    ("against", "real", "digest"),
    [("held_out", HELD_OUT, "h"), ("train", TRAIN, "t"), ("all", measure.joined(HELD_OUT, TRAIN), None)],
)
def test_the_reference_is_what_the_study_says(against, real, digest):
    values, fingerprints = measured(["frechet_distance", "class_entropy"], against=against)
    value = values["frechet_distance"]
    assert value["value"] == METRICS["frechet_distance"](real, FAKE)
    made = fingerprints[value["fingerprint"]]
    assert (made["reference"], made["n_real"], made["n_fake"]) == (against, len(real), 100)
    assert digest in (None, made["reference_hash"]) and made["sampling_bias"] == 0.7


def test_a_model_that_is_worse_than_none_is_told():
    """Noise in the place of images with few directions is further from them than their mean is, whatever its recall."""
    source = np.random.default_rng(0)
    real = source.normal(size=(300, 2)) @ source.normal(size=(2, 40))
    fakes = {
        "noise": source.normal(size=(300, 40)) * real.std(),
        "the mean": np.repeat(real.mean(0)[None], 300, axis=0),
        "half of it": real * 0.5,
        "sound": source.permutation(real),
    }
    reals = {("held_out", "identity"): Role(Features(real), "h")}
    assert quality.spread(reals["held_out", "identity"]) == pytest.approx(np.trace(np.cov(real.T)))
    told = {}
    for name, fake in fakes.items():
        values, made = measured(["frechet_distance", "precision"], reals, {("sampled", "identity"): Features(fake)})
        told[name] = quality.warnings(values.values(), reals, made)
    assert [name for name, warned in told.items() if warned] == ["noise"]
    assert re.match("in identity the samples are at a Fréchet distance of .* worse than none", told["noise"][0])


@pytest.mark.parametrize(("rows", "dimensions"), [(2, 10), (10, 60), (60, 60), (60, 768), (200, 300)])
def test_a_perfect_model_of_few_rows_is_not_said_to_be_worse_than_none(rows, dimensions):
    """The distance of two halves of one law is large where they have fewer rows than the law has directions."""
    draws = np.random.default_rng(rows)
    real, fake = draws.normal(size=(2, rows, dimensions))
    reals = {("held_out", "identity"): Role(Features(real), "h")}
    assert quality.directions(reals["held_out", "identity"]) > rows / 2
    values, made = measured(["frechet_distance"], reals, {("sampled", "identity"): Features(fake)})
    assert not quality.warnings(values.values(), reals, made)
    # Real samples that vary in five directions, among however many, are seen in few: what is far is far.
    few = draws.normal(size=(100, 5)) @ draws.normal(size=(5, dimensions))
    reals = {("held_out", "identity"): Role(Features(few), "h")}
    assert quality.directions(reals["held_out", "identity"]) < 6
    values, made = measured(["frechet_distance"], reals, {("sampled", "identity"): Features(few[:50] + 9)})
    assert len(quality.warnings(values.values(), reals, made)) == 1


def test_metrics_with_a_part_of_their_own_keep_it():
    values, fingerprints = measured(["authenticity"], against="train")
    made = fingerprints[values["authenticity.fake"]["fingerprint"]]
    assert (made["reference"], made["beside"], made["beside_hash"]) == ("train", "held_out", "h")
    expected = METRICS["authenticity"](TRAIN, FAKE, held_out=HELD_OUT)
    assert {name: values[f"authenticity.{name}"]["value"] for name in expected} == expected


def test_a_second_reference_that_is_not_there_leaves_no_value():
    assert measured(["authenticity"], {("train", "identity"): Role(TRAIN, "t")}) == ({}, {})


def test_intervals_and_reasons_stand_in_values(monkeypatch):
    def several(real, fake):
        return {"sure": Estimate(1.0, 0.5, 2.0), "lost": Undefined("fake: no reason"), "endless": np.inf, "plain": 3.0}

    monkeypatch.setitem(METRICS, "several", metrics.Metric(several, "Several", None))
    values, _ = measured(["several"])
    assert values["several.sure"] | {"fingerprint": ""} == {
        "set": "sampled",
        "extractor": "identity",
        "metric": "several.sure",
        "fingerprint": "",
        "value": 1.0,
        "low": 0.5,
        "high": 2.0,
    }
    assert values["several.lost"]["value"] is None and values["several.lost"]["reason"] == "fake: no reason"
    assert values["several.endless"]["value"] is None and "inf" in values["several.endless"]["reason"]
    assert values["several.plain"]["value"] == 3.0 and "low" not in values["several.plain"]


def test_what_is_undefined_as_a_whole_has_its_reason():
    values, _ = measured(["frechet_distance"], fakes={("sampled", "identity"): cloud(3, 1)})
    assert values["frechet_distance"]["value"] is None and "fake" in values["frechet_distance"]["reason"]


def test_features_are_computed_on_where_they_are_placed():
    placed = []

    def place(extractor, features):
        placed.append((extractor, len(features)))
        return features

    measured(["recall", "precision"], place=place)
    assert sorted(placed) == [("identity", 100), ("identity", 120), ("identity", 150)]


def test_reality_is_measured_on_other_real_samples():
    wanted = {name: dict(METRICS[name].options) for name in ("recall", "copies_of_real", "authenticity")}
    reals = REALS | {(part, "pixels"): role for (part, _), role in REALS.items()}
    values, _ = Measurement(wanted, reals, {"identity": {}, "pixels": {}}).of_reality(80)
    found = {(value["extractor"], value["metric"]): value["value"] for value in values}
    assert found["identity", "recall"] == METRICS["recall"](HELD_OUT, measure.first(TRAIN, 80))
    assert found["pixels", "copies_of_real"] == METRICS["copies_of_real"](TRAIN, measure.first(HELD_OUT, 80))
    # One half of the held-out samples stands beside the other, and not beside itself.
    halves = measure.halves(HELD_OUT)
    expected = METRICS["authenticity"](TRAIN, halves[0], held_out=halves[1])
    assert found["identity", "authenticity.difference"] == expected["difference"]
    assert Measurement({"recall": {}}, REALS, {"identity": {}}, "all").of_reality(80) == ([], {})


def test_rows_that_are_taken_forget_moments_and_neighbours():
    whole = HELD_OUT.with_statistics(4)
    part = measure.first(whole, 50)
    assert part.sample_moments is None and part.neighbour_distances is None
    np.testing.assert_array_equal(part.radii(3), Features(whole.values[:50]).radii(3))


def test_stored_statistics_change_no_number():
    known = {key: role._replace(features=role.features.with_statistics(8)) for key, role in REALS.items()}
    names = ["frechet_distance", "precision", "recall", "density", "coverage", "rarity"]
    plain, stored = measured(names)[0], measured(names, known)[0]
    assert {name: value["value"] for name, value in plain.items()} == pytest.approx(
        {name: value["value"] for name, value in stored.items()}, rel=1e-12
    )


# -- fingerprints ------------------------------------------------------------------------------------------------------


def test_what_was_measured_and_what_was_made_are_told_apart():
    _, fingerprints = measured(["recall"])
    made = next(iter(fingerprints.values()))
    assert differences(made, made | {"sampling_bias": 1.0, "steps": 9, "set": "raw"}) == []
    changed = made | {"n_real": 7, "option_k": 3, "extractor_weights": "abc"}
    assert differences(made, changed) == ["extractor_weights", "n_real", "option_k"]
    own = {"reference": "training_set", "reference_hash": "a", "n_real": 1}
    assert differences(own, own | {"reference_hash": "b", "n_real": 2}) == []


def test_the_source_of_a_number_is_told_and_keeps_none_apart():
    _, fingerprints = measured(["recall", "precision", "frechet_distance"])
    source = {made["metric"]: made["source"] for made in fingerprints.values()}
    assert len(set(source.values())) == 3  # each has its own definitions, though they share some
    made = next(iter(fingerprints.values()))
    assert differences(made, made | {"source": "another"}) == []


def cell(generation, **fields):
    made = {"metric": "recall", "extractor": "lenet", "set": "sampled", "steps": 18, "sampling_bias": 0.7} | fields
    value = {"metric": "recall", "extractor": "lenet", "set": "sampled", "value": 0.5, "fingerprint": "f"}
    where = {"arm": "eater", "seed": 0, "generation": generation}
    return where | {"values": [value], "fingerprints": {"f": made}}


def test_an_arm_that_changes_its_sampler_on_the_way_is_refused():
    check_comparable([cell(0), cell(1, sampling_bias=0.5)])
    with pytest.raises(ValueError, match=r"steps is 18 in eater/seed0/gen0 and 50 in eater/seed0/gen1"):
        check_comparable([cell(0), cell(1, steps=50)])
