"""What an entry of a study cannot do with the study's data is a fault of the study, and no failure of its job."""

import numpy as np
import pytest
import yaml

from collapselab.core.sets import SampleSet
from collapselab.features import FEATURES
from collapselab.rewards import REWARDS
from collapselab.select import SELECTORS
from collapselab.store.cells import Cell
from collapselab.study.loading import check
from collapselab.transforms import TRANSFORMS
from collapselab.verbs import select as selecting
from collapselab.verbs import transform as transforming
from collapselab.verbs.extract import Look

IMAGES = """
name: vain
seed: 3
seeds: 1
generations: 2
data: {source: digits, split: {train: 60, held_out: 300}}
models: {tiny: {diffusion: {preset: tiny, classes: 0, images_seen: 6400}}}
initial: {real: 60}
samples: 200
extractors: [pixels]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: pixels}
arms: {one: {model: tiny, regime: {fully_synthetic: {n: 20}}}}
"""
VECTORS = """
name: vain
seeds: 1
generations: 2
data: {population: {gaussian: {dimension: 2}}, split: {held_out: 60}}
models: {law: {gaussian: {ddof: 0}}}
initial: {real: 50}
samples: 200
extractors: [identity]
metrics: [frechet_distance]
primary: {metric: frechet_distance, extractor: identity}
arms: {one: {model: law, regime: {fully_synthetic: {n: 20}}}}
"""
LABELLED = VECTORS.replace("gaussian: {dimension: 2}", "gaussians: {}").replace("gaussian: {ddof: 0}", "kde: {}")


def faults(text, **arm):
    """The faults of a study whose one arm says more."""
    raw = yaml.safe_load(text)
    raw["arms"]["one"] |= arm
    return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in check(raw, "vain")[1]]


@pytest.mark.parametrize("text", [IMAGES, VECTORS, LABELLED])
def test_the_studies_are_right_without_what_is_asked_in_vain(text):
    assert not faults(text)


NOT_HANDED = [name for name, one in FEATURES.items() if one.needs.through in ("model", "mark", "law", "truth")]


@pytest.mark.parametrize("name", NOT_HANDED)
def test_a_selector_looks_through_nothing_that_it_is_not_handed(name):
    found = faults(IMAGES, select={"realism": {"share": 0.5, "extractor": name}})
    assert any(f"'realism' looks through '{name}'" in one for one in found), found
    mine = {"rewards": [{"linear_head": {"file": "README.md", "extractor": name}}], "share": 0.5}
    found = faults(IMAGES, select={"reward": mine})
    assert any(f"'reward' looks through '{name}'" in one for one in found), found


IN_VAIN = [
    (
        VECTORS,
        {"reward": {"share": 0.5, "rewards": [{"coordinate": {"index": 7}}]}},
        "index: found 7, allowed are 0 to",
    ),
    (VECTORS, {"tails": {"share": 0.5, "chosen": 0.2, "extractor": "identity", "attribute": "9"}}, "found '9'"),
    (VECTORS, {"verified": {"share": 0.5, "radius": 1, "centre": [1, 2, 3]}}, "centre: found 3 numbers, allowed are 1"),
    (VECTORS, {"quota": {"share": 0.5, "table": "even"}}, "extractor: found none, and the data have no labels"),
    (
        IMAGES,
        {"realism": {"share": 0.5, "extractor": "colours", "k": 1000}},
        "k: found 1000, allowed are 1 to 59",
    ),
    (IMAGES, {"quota": {"share": 0.5, "table": {99: 0.5}}}, "table: found class 99, allowed are 0 to 9"),
    (IMAGES, {"quota": {"share": 0.5, "table": {-1: 0.5}}}, "table: found class -1, allowed are 0 to 9"),
    (
        IMAGES,
        {"quota": {"share": 0.5, "table": "even"}},
        "quota.extractor: found none, and the samples have no labels",
    ),
    (
        IMAGES,
        {"classifier": {"share": 0.5, "of": "label"}},
        "classifier.of: found label, and the samples have no labels; say",
    ),
    (
        IMAGES,
        [{"random": {"share": 0.9}}, {"latent_filter": {"share": 0.5, "extractor": "colours", "within": "class"}}],
        "select.1.latent_filter.within: found class, and the samples have no labels; say within: all",
    ),
    (
        IMAGES,
        {"latent_filter": {"share": 0.5, "extractor": "colours", "by": "realism", "k": 60}},
        "latent_filter.k: found 60, allowed are 1 to 59 of 60 training rows",
    ),
    (
        IMAGES,
        {"novelty": {"share": 0.5, "extractor": "colours", "neighbours": 61}},
        "novelty.neighbours: found 61, allowed are 2 to 60",
    ),
    (LABELLED, {"quota": {"share": 0.5, "table": {25: 0.5}}}, "table: found class 25, allowed are 0 to 24"),
    (IMAGES, {"reward": {"share": 0.5, "rewards": [{"class": {"label": 99}}]}}, "rewards.0.class.label: found 99"),
    (IMAGES, {"reward": {"share": 0.5, "rewards": ["brisque"]}}, "brisque: tells pictures of 32 pixels a side or more"),
    (IMAGES, {"reward": {"share": 0.5, "rewards": [{"linear_head": {"file": ".", "extractor": "colours"}}]}}, "file: "),
]


@pytest.mark.parametrize(("text", "select", "words"), IN_VAIN)
def test_what_the_data_have_not_is_a_fault_of_the_study(text, select, words):
    found = faults(text, select=select)
    assert any(one.startswith("arms.one.select") and words in one for one in found), found


def test_labels_that_samples_have_or_are_given_are_read():
    """Of a model that knows classes, of one that has learnt them, and of samples that a transform labels."""
    even = {"quota": {"share": 0.5, "table": "even"}}
    relabelled = {"transform": [{"relabel": {}}], "select": even}
    assert not faults(IMAGES.replace("classes: 0, ", ""), select=even)
    assert not faults(IMAGES, **relabelled)
    assert not faults(LABELLED.replace("kde: {}", "class-gaussian: {}"), select=even)
    assert not faults(IMAGES, select={"novelty": {"share": 0.5, "extractor": "colours", "neighbours": 60}})
    unread = {"by": "realism", "within": "class"}  # of realism there is one law, whatever else is said
    assert not faults(IMAGES, select={"latent_filter": {"share": 0.5, "extractor": "colours", "k": 59} | unread})


PEOPLE = {"people": {"share": 0.9, "judges": 5, "per_judge": 200}}
HALF = {"random": {"share": 0.5}}


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ([HALF, PEOPLE], "arms.one.select.1: 'people' is number 2 of its chain; allowed is the first"),
        ([PEOPLE, PEOPLE], "arms.one.select.1: 'people' is asked a second time; allowed is once"),
    ],
)
def test_people_are_the_first_of_a_chain_and_are_asked_once(select, words):
    (found,) = faults(IMAGES, select=select)
    assert found.startswith(words), found
    assert not faults(IMAGES, select=[PEOPLE, HALF])


def test_of_too_few_samples_the_arm_tells_and_not_its_control():
    (found,) = faults(VECTORS, select=HALF, regime={"fully_synthetic": {"n": 150}})
    assert found.startswith("arms.one.regime: eats 150 samples of 'one'"), found


def test_more_people_than_judge_is_told_at_the_share():
    few = {"people": PEOPLE["people"] | {"per_judge": 20}}
    (found,) = faults(IMAGES, select=few)
    assert found.startswith("arms.one.select.people.share: found 0.9 of 200 samples"), found


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (
            {"reward": {"share": 0.5, "rewards": "brightness"}},
            "'brightness'; should be a valid list, such as [brightness]",
        ),
        (
            {"reward": {"share": 0.5, "rewards": {"brightness": {}}}},
            "should be a valid list, such as [{brightness: {}}]",
        ),
        ({"people": PEOPLE["people"] | {"languages": "en"}}, "should be a valid list, such as [en]"),
        ({"people": PEOPLE["people"] | {"languages": ["en", "en"]}}, "languages: found 'en' more than once"),
        (
            {"people": PEOPLE["people"] | {"background": ["age_group"] * 2}},
            "background: found 'age_group' more than once",
        ),
    ],
)
def test_lists_are_lists_that_say_a_word_once(select, words):
    (found,) = faults(IMAGES, select=select)
    assert words in found and "tuple" not in found, found


def test_a_waived_space_is_one_that_somebody_looks_through():
    raw = yaml.safe_load(IMAGES) | {"waive": {"primary_space": "why not"}}
    (found,) = check(raw, "vain")[1]
    assert found.path == ("waive", "primary_space") and found.message.startswith("nothing to waive")
    raw["arms"]["one"]["select"] = {"realism": {"share": 0.5, "extractor": "pixels"}}
    assert not check(raw, "vain")[1]


# -- the verbs ---------------------------------------------------------------------------------------------------------

KINDS = {
    "images": np.zeros((12, 1, 8, 8), np.uint8),
    "vectors": np.zeros((12, 2)),
    "categories": np.zeros(12, np.int64),
}
OPTIONS = {  # those without which an entry cannot be asked
    "resize": {"side": 4},
    "project": {"gamma": 1},
    "resample": {"share": 0.5},
    "verified": {"centre": [1], "radius": 1, "share": 0.5},
    "people": {"share": 0.5},
    "classifier": {"share": 0.5},
    "discriminator": {"share": 0.5},
    "hallucination": {"share": 0.5},
    "unmarked": {"share": 0.5},
    "linear_head": {"file": "no", "extractor": "pixels"},
    "alignment": {"encoder": "somewhere"},
    "caption": {"captions": ["no"], "text": "no"},
    "category": {"worth": [1]},
    "token_worth": {"worth": {0: 1}},
}


def refused(entries):
    return [(name, kind) for name, entry in entries.items() for kind in KINDS if kind not in entry.takes]


@pytest.mark.parametrize(("name", "kind"), refused(SELECTORS))
def test_a_selector_is_told_of_samples_that_it_does_not_take(name, kind):
    entry, pool = SELECTORS[name], selecting.pool_of(SampleSet(KINDS[kind]), Cell("s", "a", 0, 0))
    step = selecting.Choosing(name, entry, entry.Options.model_validate(OPTIONS.get(name, {})))
    with pytest.raises(ValueError, match=f"selector '{name}': samples: found {kind}, allowed are {entry.takes[0]}"):
        selecting.select([step], pool, 1)


@pytest.mark.parametrize(("name", "kind"), refused(TRANSFORMS))
def test_a_transform_is_told_of_samples_that_it_does_not_take(name, kind):
    entry, where = TRANSFORMS[name], transforming.Where(1, 0, 0, 0)
    step = transforming.Step(name, entry, entry.Options.model_validate(OPTIONS.get(name, {})))
    with pytest.raises(ValueError, match=f"transform '{name}': samples: found {kind}, allowed are {entry.takes[0]}"):
        transforming.transform([step], SampleSet(KINDS[kind]), where)


@pytest.mark.parametrize(("name", "kind"), refused(REWARDS))
def test_a_reward_is_told_of_samples_that_it_does_not_take(name, kind):
    said = SELECTORS["reward"].Options.model_validate({"rewards": [{name: OPTIONS.get(name, {})}], "share": 0.5})
    with pytest.raises(ValueError, match=f"reward '{name}': samples: found {kind}, allowed are"):
        selecting.scored(selecting.pool_of(SampleSet(KINDS[kind]), Cell("s", "a", 0, 0)), said)


def test_an_extractor_is_told_of_samples_that_it_does_not_take():
    look = Look(FEATURES["pixels"], None, {})
    with pytest.raises(ValueError, match="extractor 'pixels': samples: found vectors, allowed are images"):
        selecting.seen_of(SampleSet(KINDS["vectors"]), {"pixels": look}, SampleSet(KINDS["vectors"]))


BUDGET = {"images_seen": 640, "batch": 64}
UNFIT = [
    ("ddpo", {"reward": "brightness", **BUDGET, "classes_left_out": [10]}, "classes_left_out: found 10, allowed are 0"),
    ("ddpo", {"reward": "brightness", **BUDGET, "guidance": 1}, "guidance: found 1, allowed is 0"),
    ("rwr", {"reward": "brightness", **BUDGET, "rounds": 11}, "rounds: found 11, allowed are at most 10"),
    ("draft", {"reward": "brightness", **BUDGET, "classes_left_out": [10]}, "classes_left_out: found 10"),
    ("dpo", {"reward": "brightness", **BUDGET, "classes_left_out": [10]}, "classes_left_out: found 10"),
    ("esd", {"forget": {"class": 3}, **BUDGET}, "forget: found class 3 of a model of 10 classes with label_dropout 0"),
    ("selective_amnesia", {"forget": {"class": 3}, **BUDGET, "replayed": 9}, "forget: found class 3 of a model of 10"),
    ("salun", {"forget": {"class": 10}, **BUDGET}, "forget: found class 10; allowed are 0 to 9"),
    ("neggrad", {"forget": {"class": 10}, **BUDGET}, "forget: found class 10; allowed are 0 to 9"),
    ("uce", {"forget": {"class": 3}, "towards": 10}, "towards: found class 10; allowed are 0 to 9"),
    ("uce", {"forget": {"marked": {}}}, "forget: found no class; allowed are 0 to 9"),
    ("neggrad", {"forget": {"marked": {"size": 9}}, **BUDGET}, "forget: marked: found a logo of 9 pixels; the images"),
    ("targeted", {"extractor": "random-conv", "k": 60, **BUDGET}, "k: found 60, allowed are 1 to 59 of 60 training"),
    (
        "ascent",
        {"forget": {"attribute": {"extractor": "attributes", "column": "smell", "least": 1}}, **BUDGET},
        "forget: column: found 'smell'; 'attributes' has brightness",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), UNFIT)
def test_what_an_adapter_cannot_do_with_the_model_is_told_before_it_is_trained(name, options, message):
    """It would be found out when the model is there, which may be days later."""
    options_of_the_model = "classes: 10, label_dropout: 0, images_seen: 6400"
    found = faults(IMAGES.replace("classes: 0, images_seen: 6400", options_of_the_model), adapt={name: options})
    assert any(message.partition(": ")[2] in one and name in one for one in found), found


def test_the_logo_that_is_to_be_forgotten_is_the_one_that_was_planted():
    """Another one is on no image, which would be known when the model is trained; and a share may be of no image."""
    planted = IMAGES.replace("source: digits,", "source: digits, planted: {share: 0.2, size: 2},")
    forget = {"forget": {"marked": {"size": 2}}, **BUDGET}
    assert not [one for one in faults(planted, adapt={"neggrad": forget}) if "logo" in one or "planted" in one]
    found = faults(planted, adapt={"neggrad": {"forget": {"marked": {}}, **BUDGET}})
    said = "forget.marked.size: found 4; the planted logo has 2: say the same in both places"
    assert any(one.endswith(said) for one in found), found
    found = faults(planted.replace("share: 0.2", "share: 0.008"))
    assert "data.planted.share: found 0.008, of 60 images of train not one; allowed are shares of one at least" in found
