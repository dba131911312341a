"""What entries of other packages give is checked where it is used, and said with their name; nothing half is kept."""

import json
from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from collapselab import store
from collapselab import study as studies
from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Adapter
from collapselab.core.choice import Choice, From, NoOptions, Options, nested
from collapselab.core.errors import Damaged, Interrupted, Waiting, blamed
from collapselab.core.needs import Needs
from collapselab.core.run import Run
from collapselab.core.sets import Ballots, SampleSet
from collapselab.guides import GUIDES
from collapselab.guides.base import Auxiliary, Guide
from collapselab.models import MODELS
from collapselab.models.capabilities import Weighted
from collapselab.rewards import REWARDS
from collapselab.rewards.asking import looked_through, rewards_of
from collapselab.rewards.base import Reward
from collapselab.select import SELECTORS
from collapselab.select.base import Pool, Selection, Selector, SelectorOptions
from collapselab.select.basic import ShareOptions, random
from collapselab.store.cells import Cell
from collapselab.testing.families import small_model, training_set
from collapselab.transforms.base import Transform
from collapselab.verbs import adapt as adapting
from collapselab.verbs import select as selecting
from collapselab.verbs import transform as transforming

POOL = Pool(SampleSet(np.arange(40.0).reshape(20, 2)), Cell("study", "arm", 0, 1))
STUDY = """
name: study
seeds: 1
generations: 1
data: {population: land, split: {held_out: 40}}
models:
  points: {diffusion: {preset: points, channels: 8, blocks: 1, images_seen: 64, batch: 16, steps: 2}}
initial: {real: 40}
init: previous
samples: 40
extractors: [identity]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: identity}
control: none
arms:
  plain: {model: points, regime: fully_synthetic}
  other: {model: points, regime: fully_synthetic, KEY}
"""


def faults(folder, said):
    """Faults of a study whose second arm says something, as ``{path: message}``."""
    (folder / "study.yaml").write_text(STUDY.replace(", KEY", f", {said}"), encoding="utf-8")
    try:
        studies.load(folder / "study.yaml")
    except studies.BadStudy as error:
        return {".".join(map(str, fault.path)): fault.message for fault in error.faults}
    return {}


# -- what they give ----------------------------------------------------------------------------------------------------


WHERE = transforming.Where(1, 0, 0, 0)


def chosen(rows, **parts):
    rows = np.asarray(rows)
    found = {"scores": np.zeros(len(rows)), "reasons": ("so",) * len(rows), "judge": "somebody"}
    return Selection(rows, **(found | parts))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (chosen(np.zeros(10, np.int64)), "others than whole numbers that rise"),
        (chosen(np.arange(15, 25)), "found 15 to 24, allowed are those of 20 samples"),
        (chosen(np.arange(11)), "found 11, allowed are 10 or fewer, as its options say"),
        (chosen(np.arange(3)), "found 3 of 20 samples good enough, wanted are 10"),
        (chosen(np.arange(10) / 2), "others than whole numbers"),
        (chosen(np.arange(10), reasons=()), "scores, reasons: found 10, 0, one a row"),
        (None, "gave a NoneType, allowed is a Selection"),
    ],
)
def test_what_is_no_selection_of_the_pool_is_refused_with_the_selectors_name(found, words):
    entry = Selector(ShareOptions, lambda pool, options, seed: found)
    with pytest.raises(ValueError, match="selector 'theirs': ") as error:
        selecting.select([selecting.Choosing("theirs", entry, ShareOptions(share=0.5))], POOL, 1)
    assert words in str(error.value)


def raising(*given):
    raise KeyError("nowhere")


def test_whatever_a_strangers_function_raises_is_said_with_its_name():
    with pytest.raises(ValueError, match="selector 'theirs': KeyError: 'nowhere'"):
        selecting.select([selecting.Choosing("theirs", Selector(SelectorOptions, raising), SelectorOptions())], POOL, 1)
    with pytest.raises(Interrupted), blamed("adapter", "theirs"):
        raise Interrupted(5)
    with pytest.raises(Damaged), blamed("adapter", "theirs"):
        raise Damaged("here", "is gone")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda samples: replace(samples, data=samples.data[:5], labels=samples.labels[:5]), "vectors of shape (5, 2)"),
        (lambda samples: replace(samples, data=samples.data * np.nan), "numbers that are not finite"),
        (lambda samples: replace(samples, labels=samples.labels + 1), "other labels than it was given"),
        (lambda samples: None, "gave a NoneType, allowed is a SampleSet"),
        (lambda samples: samples.nowhere, "AttributeError"),
    ],
)
def test_a_transform_gives_the_same_rows_with_their_labels(change, words):
    samples = SampleSet(np.arange(40.0).reshape(20, 2), np.arange(20))
    entry = Transform(NoOptions, lambda given, options, seed: change(given.samples))
    with pytest.raises(ValueError, match="transform 'theirs': ") as error:
        transforming.transform([transforming.Step("theirs", entry, NoOptions())], samples, WHERE)
    assert words in str(error.value)


def test_arms_of_other_streams_share_neither_key_nor_dice():
    told = []

    def noting(given, options, seed):
        told.append((seed, given.key))
        return given.samples

    step = transforming.Step("noting", Transform(NoOptions, noting, Needs(key=True)), NoOptions())
    for generation, stream in ((0, 0), (1, 0), (0, 1)):
        transforming.transform([step], POOL.samples, WHERE._replace(generation=generation, stream=stream))
    (first, key), (later, same), (other, another) = told
    assert len({first, later, other}) == 3 and key == same and key != another and len(key) == 32


def test_an_adapter_gives_a_model_of_the_same_family_and_shape(monkeypatch):
    training = training_set("vectors")
    model = small_model("vectors", training, (Weighted,), trained=True)
    other = MODELS["ppca"].fit(training, MODELS["ppca"].Options(components=2, ddof=0), Run(0))
    shown = adapting.given(NoOptions(), model, training, 1, {}, None, [])
    for found in (other, None):
        entry = Adapter(NoOptions, lambda *given, found=found: found, lambda options: 0)
        monkeypatch.setitem(ADAPTERS, "theirs", entry)
        with pytest.raises(ValueError, match=r"adapter 'theirs': gave a .*, allowed is a"):
            adapting.adapt("theirs", entry, NoOptions(), model, shown, Run(1))


# -- rewards -----------------------------------------------------------------------------------------------------------


class OneOptions(ShareOptions):
    reward: Annotated[Choice, From("rewards")]


class MaybeOptions(ShareOptions):
    reward: Annotated[Choice, From("rewards")] | None = None


class SeveralOptions(ShareOptions):
    rewards: list[Annotated[Choice, From("rewards")]] = Field([], description="what is liked")


def liking(samples, seen, options):
    return samples.data[:, 0]


def test_a_reward_may_be_one_or_none_or_several(monkeypatch, tmp_path):
    monkeypatch.setitem(REWARDS, "liking", Reward(NoOptions, liking, Needs(features=("truth",))))
    options = OneOptions(share=0.5, reward="liking"), MaybeOptions(share=0.5, reward="liking")
    for one in (*options, SeveralOptions(share=0.5, rewards=["liking", {"liking": {}}])):
        choices = nested(one, "rewards")
        assert set(choices) <= {"reward", "rewards.0", "rewards.1"} and choices
        assert looked_through(Selector(type(one), random), one) == ("truth",)
        scores = {name: score(POOL.samples) for name, score in rewards_of(one, {"truth": lambda data: None}).items()}
        assert scores.keys() == choices.keys()
    assert nested(MaybeOptions(share=0.5), "rewards") == {}
    monkeypatch.setitem(SELECTORS, "theirs", Selector(MaybeOptions, random))
    found = faults(tmp_path, "select: {theirs: {share: 0.5, reward: nonono}}")
    said = found["arms.other.select.theirs.reward"]
    assert said.startswith("unknown name 'nonono'; allowed: ") and "liking" in said


# -- what they say of themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(features="truth"), "looks through 'truth'; allowed is a tuple"),
        (Needs(ancestors=1), "needs ancestors, which none of the selectors is handed"),
        (Needs(features=("nothere",)), "looks through unknown extractor 'nothere'"),
        (Needs(features=("lenet",)), "'lenet' looks at images; the study's data are vectors"),
        (Needs(features=("likelihood",)), "which sees through a model"),
    ],
)
def test_needs_that_nobody_meets_are_faults(tmp_path, monkeypatch, needs, words):
    monkeypatch.setitem(SELECTORS, "theirs", Selector(ShareOptions, random, needs))
    found = faults(tmp_path, "select: {theirs: {share: 0.5}}")
    assert words in found["arms.other.select"]


@pytest.mark.parametrize(("images", "words"), [(-30, "found -30"), (1.5, "found 1.5"), (None, "found None")])
def test_an_adapter_sees_a_whole_number_of_images(tmp_path, monkeypatch, images, words):
    monkeypatch.setitem(ADAPTERS, "theirs", Adapter(NoOptions, raising, lambda options: images, (Weighted,)))
    found = faults(tmp_path, "adapt: theirs")
    assert words in found["arms.other.adapt"] and "allowed is a whole number from 0 up" in found["arms.other.adapt"]
    monkeypatch.setitem(ADAPTERS, "theirs", Adapter(NoOptions, raising, raising, (Weighted,)))
    assert "images: KeyError: 'nowhere'" in faults(tmp_path, "adapt: theirs")["arms.other.adapt"]


@pytest.mark.parametrize(
    ("further", "words"),
    [
        ({"Half Size": Auxiliary("training", 5)}, "has a role 'Half Size'"),
        ({"half": Auxiliary("training", 0)}, "images of 'half': found 0"),
        ({"own": Auxiliary("own", 16)}, "own samples of 'own': found 0"),
    ],
)
def test_a_guides_further_models_have_names_and_budgets(tmp_path, monkeypatch, further, words):
    monkeypatch.setitem(GUIDES, "theirs", Guide(NoOptions, raising, auxiliary=lambda options, images: further))
    assert words in faults(tmp_path, "guide: theirs")["arms.other.guide"]


def test_what_a_training_starts_from_is_compared_and_not_how_it_is_said(tmp_path, monkeypatch):
    """Of an arm that adapts, previous models are adapted; the one before adapting is what the others start from."""
    monkeypatch.setitem(ADAPTERS, "theirs", Adapter(NoOptions, raising, lambda options: 0, (Weighted,)))
    (said,) = faults(tmp_path, "adapt: theirs").values()
    assert "all arms start their trainings from the same kind of model" in said and '"previous, adapted"' in said
    text = "regime: {fully_synthetic: {init: {from: trained}}}, adapt: theirs"
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("regime: fully_synthetic, KEY", text), encoding="utf-8")
    assert studies.load(path).lineages["other"].adapt == (Choice("theirs"),)


class KeepsOptions(Options):
    def keeps(self, count):
        raise KeyError("nowhere")


def test_a_selector_that_cannot_say_how_many_it_keeps_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setitem(SELECTORS, "theirs", Selector(KeepsOptions, random))
    assert "keeps: KeyError: 'nowhere'" in faults(tmp_path, "select: theirs")["arms.other.select"]


# -- ballots -----------------------------------------------------------------------------------------------------------


def test_an_export_that_is_damaged_stays_where_it_is(tmp_path, monkeypatch):
    from collapselab.cli.ballots import ballots

    pool, closed, out = (tmp_path / name for name in ("pool.safetensors", "closed.parquet", "out.parquet"))
    digest = store.write_samples(pool, POOL.samples)
    judged = Ballots(np.arange(3), ("a",) * 3, ("yes",) * 3, np.full(3, np.nan), {"pool": digest})
    store.write_ballots(closed, judged)
    ballots(pool, closed, out)
    assert store.read_ballots(out).answers == ("yes",) * 3
    content = closed.read_bytes()
    closed.write_bytes(content[:-9] + b"123456789")
    with pytest.raises(ValueError, match="changed, or copied in part; copy both again"):
        ballots(pool, closed, out)
    assert closed.exists() and not list(tmp_path.glob("*.damaged"))
    store.hash_path(closed).unlink()
    with pytest.raises(ValueError, match="found no hash beside it"):
        ballots(pool, closed, out)
    # What a round lacks it says itself, and a lineage that diverged has nothing that could be judged.
    closed.unlink()
    with pytest.raises(Waiting, match=r"nobody judges the 20 samples.*\n.*serve STUDY"):
        ballots(pool, closed, out)
    facts = {"pool": digest, "done": 3, "of": 9, "missing": {"J02": 6}, "link": "https://page", "close": "close it"}
    waits = closed.with_suffix(".open.json")
    waits.write_text(json.dumps(facts))
    with pytest.raises(Waiting, match=r"3 of 9.*\n.*https://page\n.*J02 \(6 to go\)\n.*close it --anyway\n"):
        ballots(pool, closed, out)
    for text in ("{", "[]", json.dumps(facts | {"pool": "another"})):
        waits.write_text(text)
        with pytest.raises(Waiting, match="nobody judges"):
            ballots(pool, closed, out)
    store.write_samples(pool, SampleSet(POOL.samples.data[:0]))
    ballots(pool, closed, out)
    assert len(store.read_ballots(out)) == 0
    store.write_samples(pool, POOL.samples)
    store.write_ballots(closed, replace(judged, rows=np.arange(0), judges=(), answers=(), seconds=np.empty(0)))
    with pytest.raises(ValueError, match="found no judgement in it"):
        ballots(pool, closed, out)
