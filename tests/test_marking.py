"""Marks in studies: what is refused, which jobs there are and on what they hang, and a loop with its numbers."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from collapselab import store, theory
from collapselab.cli.run import app
from collapselab.core.sets import SampleSet
from collapselab.measure.compare import differences
from collapselab.select import SELECTORS
from collapselab.select.base import Pool
from collapselab.store.cells import Cell
from collapselab.study import jobs, layout
from collapselab.study.budget import work
from collapselab.study.jobs.base import Place
from collapselab.study.loading import check

STUDY = """
name: marked
seed: 3
seeds: 1
generations: 2
data: {source: digits, split: {train: 300, held_out: 300}}
models:
  tiny: {diffusion: {preset: tiny, classes: 0, images_seen: 6400}}
  vae: {vae: {images_seen: 1280}}
  told: {diffusion: {preset: tiny, label_dropout: 0}}
initial: {real: 60}
train: {images_seen: 640}
samples: 100
extractors: [pixels, {mark: {rows: 50}}]
metrics: [variance_ratio, mark_detection, radioactivity, mark_robustness]
primary: {metric: variance_ratio, extractor: pixels}
arms:
  pattern: {model: tiny, regime: fully_synthetic, mark: {spread_spectrum: {strength: 20}}}
  rings: {model: tiny, regime: fully_synthetic, mark: {tree_ring: {radius: 2}}}
"""


def raw(**changes):
    return yaml.safe_load(STUDY) | changes


def study_of(**changes):
    study, faults = check(raw(**changes), "marked")
    assert not faults, faults
    return study


def faults_of(**changes):
    return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in check(raw(**changes), "marked")[1]]


def arm(mark, model="tiny", **more):
    return {"one": {"model": model, "regime": "fully_synthetic", "mark": mark, **more}}


# -- faults ------------------------------------------------------------------------------------------------------------


RESAMPLED = {"initial": {"real": 60}, "synthetic": [{"n": 60, "draw": "resample"}]}
PURGED = {"select": {"unmarked": {"share": 0.6}}}
VAIN = [
    (arm({"tree_ring": {"radius": 5}}), "arms.one.mark: 'tree_ring' has rings up to radius 5; images of 8 x 8 allow"),
    (arm("dwt_dct_svd"), "arms.one.mark: 'dwt_dct_svd' marks the colours of images with 3 channels; the images have 1"),
    (
        arm("gaussian_shading", "vae"),
        "whose samples can be traced back to the noise that they began with, and 'vae' is no such",
    ),
    (arm("gaussian_shading", "told"), "found by the model without a class, but 'told' has 10 classes and"),
    (arm("ring"), "arms.one.mark: unknown name 'ring' (did you mean 'tree_ring'?); allowed: spread_spectrum"),
    (arm({"tree_ring": {"radius": 0}}), "arms.one.mark.tree_ring.radius: found 0"),
    (
        arm("gaussian_shading", regime={"algebra": RESAMPLED}),
        "new samples of a model pass no mark, but 'one' has the mark 'gaussian_shading'",
    ),
    (
        arm("gaussian_shading") | {"two": {"model": "tiny", "regime": "fully_synthetic"} | PURGED},
        "arms.two.select: 'unmarked' looks for the arm's mark, and it has none",
    ),
    ({"one": {"model": "tiny", "regime": "fully_synthetic"}}, "extractors.1: 'mark' looks for marks, and no arm has"),
    (
        arm("gaussian_shading", select={"hallucination": {"share": 0.6}}),
        "'hallucination' makes the samples again, which it cannot where 'gaussian_shading' steers or marks them",
    ),
]


@pytest.mark.parametrize(("arms", "words"), VAIN)
def test_what_a_study_asks_of_marks_in_vain_is_a_fault(arms, words):
    found = faults_of(arms=arms)
    assert any(words in fault for fault in found), found


def test_the_verdict_is_not_about_a_mark_that_the_control_has_not():
    found = faults_of(primary={"metric": "radioactivity", "extractor": "mark"})
    assert any("primary.extractor: found 'mark', which looks at marked arms alone" in one for one in found), found


def test_too_few_real_images_calibrate_no_detector():
    data = {"source": "digits", "split": {"train": 60, "held_out": 300}}
    (found,) = faults_of(data=data)
    assert found.startswith("extractors.1.mark.rate: found 0.01, at which 60 real training samples flag none"), found
    assert not faults_of(data=data, extractors=["pixels", {"mark": {"calibration": "exact"}}])


BITS = {"gaussian_shading": {"bits": 3}}


@pytest.mark.parametrize(
    ("train", "mark", "selector", "words"),
    [
        (50, {"spread_spectrum": {}}, {}, "found 0.01, at which 50 real training samples flag none"),
        (100, {"spread_spectrum": {}}, {"rate": 1e-4}, "found 0.0001, at which 100 real training samples flag none"),
        (300, BITS, {}, "found 0.01, at which the detector of 'gaussian_shading' flags none"),
        (300, BITS, {"rate": 0.125}, ""),
        (99, {"spread_spectrum": {}}, {}, ""),
    ],
)
def test_a_selector_whose_detector_can_flag_nothing_is_a_fault(train, mark, selector, words):
    data = {"source": "digits", "split": {"train": train, "held_out": 300}}
    arms = arm(mark, select={"unmarked": {"share": 0.6, **selector}})
    found = faults_of(data=data, arms=arms, extractors=["pixels"], metrics=["variance_ratio"])
    told = [one for one in found if one.startswith("arms.one.select.unmarked.rate: ")]
    assert len(told) == bool(words) and all(words in one for one in told), found


def test_an_extractor_whose_detector_counts_too_few_bits_is_a_fault():
    found = faults_of(arms=arm(BITS))
    assert any("extractors.1.mark.rate: found 0.01, at which the detector of 'gauss" in one for one in found), found


def test_categories_carry_no_mark():
    changes = {
        "data": {"population": "outfits", "split": {"held_out": 50}},
        "models": {"law": {"multinomial": {}}},
        "extractors": ["identity", "mark"],
        "metrics": ["class_entropy", "mark_detection"],
        "primary": {"metric": "class_entropy", "extractor": "identity"},
        "arms": arm("spread_spectrum", "law"),
        "train": {},
    }
    found = faults_of(**changes)
    assert "arms.one.mark: 'spread_spectrum' takes images and vectors; the study's data are categories" in found, found


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_marks_of_the_noise_are_sampled_apart_and_those_of_pixels_are_the_last_step():
    study = study_of()
    place = {name: Place(name, 0, 1) for name in ("pattern", "rings", "control")}
    assert "sample_marked" in layout.verbs_of(study, "rings", 0) and "transform" not in layout.verbs_of(
        study, "rings", 0
    )
    assert "transform" in layout.verbs_of(study, "pattern", 0)
    assert study.measured_sets("control") == ("sampled",)
    assert study.released_file("rings", 0, 1).endswith("rings/seed0/gen1/marked.safetensors")
    assert study.released_file("pattern", 0, 1).endswith("pattern/seed0/gen1/released.safetensors")
    told = jobs.arguments(study, "sample_marked", place["rings"])
    assert "tree_ring" in told and "tree_ring" not in jobs.arguments(study, "sample", place["rings"])
    assert "spread_spectrum" in jobs.arguments(study, "transform", place["pattern"])
    assert "mark" not in jobs.arguments(study, "extract", place["control"]).split()
    assert study.model_file("rings", 0, 1) in jobs.inputs(study, "extract", place["rings"])
    assert study.model_file("pattern", 0, 1) not in jobs.inputs(study, "extract", place["pattern"])
    made = study_of(arms={"pattern": raw()["arms"]["pattern"]})
    further = work(study)["tiny"].sampled - work(made)["tiny"].sampled
    assert further == 3 * (2 * 100 + 40)  # in each generation all samples twice, and pictures


def test_a_mark_hangs_on_its_own_source_and_key_and_replans_nothing_beside():
    study, place = study_of(), Place("rings", 0, 1)
    roots = {verb: jobs.roots(study, verb, place) for verb in ("sample", "sample_marked", "extract")}
    assert not any("MARKS" in root for root in roots["sample"])
    assert [root for root in roots["sample_marked"] if "MARKS" in root] == ["collapselab.marks:MARKS[tree_ring]"]
    assert "collapselab.marks:MARKS[tree_ring]" in roots["extract"]
    plain = jobs.arguments(study_of(), "sample", place)
    other = jobs.arguments(study_of(arms=raw()["arms"] | arm("gaussian_shading")), "sample", place)
    assert plain == other


# -- the loop ----------------------------------------------------------------------------------------------------------


def run(study):
    """All jobs of a study but its report, by the verbs that its rules call."""
    waiting = [one for one in jobs.every(study) if one[0] not in ("report", "track", "baseline", "grid")]
    nouns = {"compose": "training.parquet", "train": "model.safetensors", "sample": "samples.safetensors",
            "sample_marked": "marked.safetensors", "transform": "released.safetensors", "select": "kept.parquet",
            "extract": "features.safetensors", "record": "metrics.json"}  # fmt: skip
    order = list(nouns)
    waiting.sort(key=lambda one: (one[1].generation, order.index(one[0]) if one[0] in nouns else -1))
    for verb, place in waiting:
        words = shlex.split(jobs.arguments(study, verb, place))
        if verb in nouns:
            out = ["--out", study.cell(*place.cell, nouns[verb])]
            training = ["--training", study.cell(*place.cell, "training.parquet")] if verb == "train" else []
            app([verb.replace("sample_marked", "sample"), *words, *training, *out], standalone_mode=False)
        elif verb == "prepare":
            app(["prepare", *words], standalone_mode=False)
        elif verb == "extract_real" and place.extractor == "pixels":
            out = study.extractor_file("features", "pixels")
            app(["extract", *words, "--out", out], standalone_mode=False)


def numbers(study, arm, generation):
    record = json.loads(Path(study.cell(arm, 0, generation, "metrics.json")).read_text(encoding="utf-8"))
    return {(one["set"], one["metric"]): one["value"] for one in record["values"] if one["extractor"] == "mark"}


def fingerprints(study, arm):
    record = json.loads(Path(study.cell(arm, 0, 1, "metrics.json")).read_text(encoding="utf-8"))
    return {(one["set"], one["metric"]): record["fingerprints"][one["fingerprint"]] for one in record["values"]}


@pytest.mark.trained
def test_a_loop_records_who_is_found_and_a_purge_leaves_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    purged = {"model": "tiny", "regime": "fully_synthetic", "mark": {"gaussian_shading": {}},
              "select": {"unmarked": {"share": 0.6, "rate": 0.001}}}  # fmt: skip
    study = study_of(generations=1, too_few="top_up", yoked=False, arms={
        "pattern": {**raw()["arms"]["pattern"], "mark": {"spread_spectrum": {"strength": 60}}},
        "purged": purged,
    })  # fmt: skip
    run(study)
    for generation in (0, 1):
        found = numbers(study, "pattern", generation)
        assert found["released", "mark_detection"] > 0.5 > found["sampled", "mark_detection"]
        assert found["released", "radioactivity"] is None and found["sampled", "radioactivity"] is not None
        found = numbers(study, "purged", generation)
        assert found["released", "mark_detection"] > 0.9
        kept = store.read_kept(study.cell("purged", 0, generation, "kept.parquet"))
        hits = kept.reasons.count("no mark found")
        assert hits + kept.reasons.count("topped up") == 60 and kept.lineage["topped_up"] == 60 - hits
        assert 1 - hits / 100 > 0.9  # of a hundred marked ones hardly any pass
    made = [fingerprints(study, name)["released", "mark_detection"] for name in ("pattern", "purged")]
    assert not differences(*made)  # so that a report draws them side by side, though marks and calibrations differ
    released = store.read_samples(study.released_file("pattern", 0, 0))
    assert "spread_spectrum" in released.lineage["mark"] and released.aux["altered"].all()
    assert not any(numbers(study, "control", 0))


def residual(share, sensitivity, rate, rows=4000):
    """The synthetic share among rows that a detector has passed, and the law of it with its standard error."""
    dice = np.random.default_rng(1)
    synthetic = dice.uniform(size=rows) < share
    p = np.where(dice.uniform(size=rows) < np.where(synthetic, sensitivity, rate), 0.0, 1.0)
    entry, pool = SELECTORS["unmarked"], Pool(SampleSet(np.zeros((rows, 2))), Cell("s", "a", 0, 1), p_mark=p)
    kept = entry.select(pool, entry.Options(share=1.0), 0).rows
    law = theory.purged_share(share, sensitivity, rate)
    return synthetic[kept].mean(), law, np.sqrt(law * (1 - law) / len(kept))


@pytest.mark.parametrize(("share", "sensitivity", "rate"), [(0.9, 0.99, 0.01), (0.5, 0.8, 0.05), (0.9, 0.0, 0.0)])
def test_the_selector_leaves_the_synthetic_share_of_the_law(share, sensitivity, rate):
    found, law, error = residual(share, sensitivity, rate)
    assert abs(found - law) < 4.5 * error
    assert stats.norm.sf(4.5) < 1e-5  # what the bound above leaves to chance


@pytest.mark.slow
@pytest.mark.trained
def test_one_key_in_pixels_is_learnt_over_generations_and_others_are_not(tmp_path, monkeypatch):
    """The study ``marks`` at toy size: 8 x 8 digits, three arms, two generations beside the first."""
    monkeypatch.chdir(tmp_path)
    pixels = {"strength": 40.0}
    made = {"one_key": {"spread_spectrum": pixels}, "key_of_each": {"spread_spectrum": pixels | {"keys": "per_image"}}}
    made["rings"] = {"tree_ring": {"radius": 2}}
    study = study_of(
        generations=2,
        samples=400,
        data={"source": "digits", "split": {"train": 400, "held_out": 500}},
        initial={"real": 400},
        train={"images_seen": {0: 64_000, 1: 32_000}},
        init="previous",
        extractors=["pixels", {"mark": {"rows": 400}}],
        arms={name: {"model": "tiny", "regime": "fully_synthetic", "mark": mark} for name, mark in made.items()},
        control="none",
    )
    run(study)
    found = {name: [numbers(study, name, t)["sampled", "radioactivity"] for t in range(3)] for name in made}
    chance = stats.binom.ppf(0.9999, 400, 0.01) / 400 / 0.01  # at most so many times, of a model that knows nothing
    assert found["one_key"][0] <= 3 * chance  # generation 0 has seen real digits alone, and is not quite like them
    assert found["one_key"][2] > found["one_key"][1] > 2 * chance
    assert max(found["key_of_each"]) <= chance
    assert found["rings"][2] <= 2 * chance
    assert all(
        numbers(study, name, 2)["released", "mark_detection"] > 5 * 0.01 for name in made
    )  # marked ones are found


def test_who_makes_marked_samples_again_is_told_of_once():
    found = faults_of(arms=arm("gaussian_shading", select={"hallucination": {"share": 0.6}}))
    assert len([one for one in found if "makes the samples again" in one]) == 1, found
