"""A planted logo: which rows carry it, how it is found again, and what a study says of it."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from in_process import words_of

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.errors import Undefined
from collapselab.core.sets import SampleSet
from collapselab.data import DATASETS
from collapselab.data.planted import Corner, Planted, corner_of, plant
from collapselab.data.split import split
from collapselab.features import FEATURES
from collapselab.features.logo import logo
from collapselab.metrics import METRICS, logo_false_positives, logo_share
from collapselab.study import jobs
from collapselab.study.loading import check
from collapselab.study.words import describe_data

CORNERS = Corner.__args__


def parts(train=60, held_out=40, validation=20, seed=3):
    """Noise without any logo, split."""
    data = np.random.default_rng(0).integers(0, 200, (200, 3, 8, 6), np.uint8)
    sizes = {"train": train, "validation": validation, "held_out": held_out}
    return split(SampleSet(data, np.arange(200) % 2), sizes, seed)


@pytest.mark.parametrize("corner", CORNERS)
def test_a_share_of_each_part_that_is_eaten_carries_it_and_nothing_else_changes(corner):
    before, said = parts(), Planted(share=0.1, size=3, corner=corner, value=250)
    after = plant(before, said, 7)
    for name, count in {"train": 6, "validation": 2, "held_out": 0}.items():
        carries = after[name].aux["planted"]
        assert carries.sum() == count and after[name].lineage["planted"] == said.model_dump()
        np.testing.assert_array_equal(after[name].aux["row"], before[name].aux["row"])
        changed = (after[name].data != before[name].data).any(axis=1)  # in a colour
        assert (changed.any(axis=(1, 2)) == carries).all()
        square = corner_of(after[name].data, 3, corner)
        assert (square[carries] == 250).all() and changed.sum() == 9 * count
        assert changed[:, 0].any() == ("top" in corner and count > 0)
    assert (before["train"].data < 200).all()  # whoever split the data still has it as it was


def test_which_rows_carry_it_hangs_on_the_seed_and_on_no_other_part():
    said = Planted(share=0.2)
    one, other = (plant(parts(), said, seed)["train"].aux["planted"] for seed in (1, 2))
    assert (one != other).any()
    np.testing.assert_array_equal(plant(parts(held_out=10, validation=2), said, 1)["train"].aux["planted"], one)


def test_images_smaller_than_the_logo_are_refused():
    with pytest.raises(ValueError, match=r"logo: found rows of shape \(3, 8, 6\), allowed are images of 7 x 7"):
        plant(parts(), Planted(share=0.1, size=7), 0)


# -- found again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corner", CORNERS)
def test_a_logo_is_found_where_it_is_and_nowhere_else(corner):
    after = plant(parts(), Planted(share=0.25, size=4, corner=corner), 0)["train"]
    found = logo(after.data, corner=corner)
    np.testing.assert_array_equal(found.values[:, 1] == 1, after.aux["planted"])
    assert (found.values[after.aux["planted"], 0] == 0).all()


def test_the_distance_is_the_mean_deviation_of_the_corner():
    data = np.zeros((2, 1, 5, 5), np.uint8)
    data[1, 0, 3:, 3:] = [[255, 204], [153, 255]]
    found = logo(data, size=2, threshold=0.15).values
    np.testing.assert_allclose(found, [[1, 0], [(0 + 51 + 102 + 0) / 4 / 255, 1]])
    assert logo(data, size=2, threshold=0.149).values[1, 1] == 0


@pytest.mark.parametrize("source", ["digits", "mnist-5k"])
def test_no_clean_image_seems_to_carry_it(source):
    """At the threshold that nobody has said: of 1797 digits, and of 5000, none. A smaller logo is found by chance."""
    data = DATASETS[source]().load().data
    for corner in CORNERS:
        assert logo_false_positives(logo(data, corner=corner), logo(data[:1])) == 0
    if source == "digits":
        by_chance = logo_false_positives(logo(data, size=1, corner="top_right"), logo(data[:1]))
        assert 0 < by_chance.low < by_chance < by_chance.high < 0.2


def test_the_share_has_an_exact_interval_and_needs_rows():
    clean, marked = np.zeros((30, 1, 8, 8), np.uint8), np.full((10, 1, 8, 8), 255, np.uint8)
    found = logo_share(logo(clean), logo(np.concatenate([clean, marked])))
    assert (
        found == 0.25 and found.low == pytest.approx(0.1269, abs=1e-4) and found.high == pytest.approx(0.4120, abs=1e-4)
    )
    with pytest.raises(Undefined):
        logo_share(logo(clean), logo(clean[:0]))
    with pytest.raises(ValueError, match="allowed are those of logo"):
        logo_share(FEATURES["pixels"].extract(clean), FEATURES["pixels"].extract(clean))
    assert METRICS["logo_share"].suits("logo") and not METRICS["recall"].suits("logo")


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: marked
generations: 1
seeds: 1
data:
  source: digits
  split: {train: 60, held_out: 40, fresh: 0}
  planted: {share: 0.1, corner: top_left}
models: {linear: {ppca: {components: 3, ddof: 0}}}
initial: {real: 40}
samples: 40
extractors: [pixels, {logo: {corner: top_left}}]
metrics: [frechet_distance, logo_share, logo_false_positives]
primary: {metric: frechet_distance, extractor: pixels}
control: none
arms: {one: {model: linear, regime: fully_synthetic}}
"""


def checked(*changes):
    text = STUDY
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    study, faults = check(yaml.safe_load(text), "marked")
    return study, {".".join(map(str, fault.path)): fault.message for fault in faults}


def test_a_study_plants_it_once_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, faults = checked()
    clean, _ = checked(("  planted: {share: 0.1, corner: top_left}\n", ""), ("{logo: {corner: top_left}}", "logo"))
    assert faults == {} and study.real != clean.real
    assert "a logo of 4 x 4 pixels at the top left of a share of 0.1" in describe_data(study)
    for one, planted in ((study, 6), (clean, None)):
        assert frame.run(words_of(one, "prepare", jobs.Place(part="train"))) == 0
        found = store.read_samples(Path(one.part_file("train")))
        if planted is None:
            assert "planted" not in found.aux and "planted" not in found.lineage
        else:
            assert found.aux["planted"].sum() == planted == (logo(found.data, corner="top_left").values[:, 1]).sum()
    roots = [" ".join(jobs.roots(one, "prepare", jobs.Place(part="train"))) for one in (study, clean)]
    assert ["data.planted:plant" in one for one in roots] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("share: 0.1", "share: 1.5", "data.planted.share", "less than 1"),
        ("0.1, corner: top_left}", "0.1, corner: top_left, size: 9}", "data.planted.size", "at most 8"),
        ("{logo: {corner: top_left}}", "logo", "extractors.1.logo.corner", "the planted logo has 'top_left'"),
        ("source: digits", "population: gaussian", "data.planted", "a logo stands in images"),
    ],
)  # fmt: skip
def test_what_cannot_be_planted_or_found_is_refused(old, new, place, words):
    _, faults = checked((old, new))
    assert place in faults and words in faults[place], faults


def test_an_attack_beside_too_few_validation_rows_with_the_logo_is_refused():
    said = "adapt: {neggrad: {forget: {marked: {corner: top_left}}, images_seen: 16, attacked: 1}}}}"
    changes = (
        ("{linear: {ppca: {components: 3, ddof: 0}}}", "{linear: {diffusion: {preset: tiny, images_seen: 64}}}"),
        ("regime: fully_synthetic}}", f"regime: fully_synthetic, {said}"),
    )
    for rows, words in ((0, "found 0"), (1, "found 1"), (14, "in 1 of 14 validation rows"), (15, "")):
        _, faults = checked(*changes, ("held_out: 40,", f"held_out: 40, validation: {rows},"))
        wrong = {place: message for place, message in faults.items() if "attack" in message or "validation" in place}
        assert bool(wrong) == bool(words) and words in "".join(wrong.values()), faults
