"""What holds for every selector, over the whole registry."""

import inspect
import math
from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from collapselab.core.ask import Ask
from collapselab.core.choice import nested
from collapselab.core.sets import Ballots, KeptTable, SampleSet
from collapselab.engine.steering import levels_of
from collapselab.features import FEATURES, Features
from collapselab.populations import POPULATIONS
from collapselab.rewards.asking import looked_through
from collapselab.select import SELECTORS
from collapselab.select.base import Pool, Seen, SelectorOptions, Twin
from collapselab.store import read_kept, write_kept
from collapselab.store.cells import Cell

OPTIONS = {
    "nobody": {},
    "people": {"share": 0.4, "overlap": 2},
    "random": {"share": 0.4},
    "yoked": {"count": 30},
    "verifier": {"phi": 1.0, "psi": 0.5, "share": 0.4},  # every other row is right, so that enough are accepted
    "verified": {"centre": [0.5], "radius": 100.0, "share": 0.4},  # all are accepted
    "richness": {"extractor": "identity", "share": 0.4},
    "tails": {"extractor": "identity", "chosen": 0.2, "quantile": 0.2, "share": 0.4},
    "quota": {"table": "true", "share": 0.4},  # by label
    "weighted": {"extractor": "identity", "strength": 0.001},
    "reward": {"rewards": [{"coordinate": {}}, {"coordinate": {"index": 1}}], "share": 0.4},
    "realism": {"extractor": "identity", "share": 0.4},
    "rarity": {"extractor": "identity", "k": 19, "share": 0.4},
    "novelty": {"extractor": "identity", "alpha": 0.001, "neighbours": 5, "share": 0.4},  # all are new
    "latent_filter": {"extractor": "identity", "share": 0.4},
    "classifier": {"share": 0.4},
    "discriminator": {"share": 0.4},
    "likelihood": {"share": 0.4},
    "hallucination": {"window": [0.5, 1.0], "share": 0.4},
    "unmarked": {"share": 0.4},
    "detector": {"extractor": "identity", "share": 0.4},
}
CHANCE = {
    "people",
    "random",
    "yoked",
    "verifier",
    "tails",
    "quota",
    "reward",
    "detector",
}  # another seed keeps other rows
CELL = Cell("study", "arm", 2, 3)
# What a pool may hold beside the samples.
BESIDE = ("seen", "scores", "model", "ballots", "train", "twin", "ask", "p_mark")


@pytest.fixture(params=sorted(SELECTORS))
def name(request):
    return request.param


def samples_of(count, data=None):
    """Samples as the verb hands them over: mapped from a file, so that nobody can write to them."""
    if data is None:  # two numbers and a label, of which every other one is wrong
        data = np.random.default_rng(3).standard_normal((count, 3))
        data[:, 2] = np.where(np.arange(count) % 2, -1, 1) * np.sign(data[:, 0])
    data.flags.writeable = False
    return SampleSet(data, np.arange(len(data)) % 2)


def truth_of(population):
    kind = POPULATIONS[population]
    return kind.population(kind.PopulationOptions(**({"dimension": 2} if population == "two-classes" else {})))


def options_of(name, **changes):
    return SELECTORS[name].Options.model_validate(OPTIONS[name] | changes)


def pool_of(name, samples, options, population="two-classes"):
    """The samples, and beside them what a selector needs, and nothing else."""
    needs, truth = SELECTORS[name].needs, truth_of(population)
    seen, train = {}, truth.sample(Ask(20, 1)).data
    looks = looked_through(SELECTORS[name], options)
    for extractor in looks if len(samples) else ():
        entry = FEATURES[extractor]
        weights = {"truth": truth}.get(entry.needs.through)
        look = classified if entry.needs.through == "learnt" else partial(entry.extract, weights=weights)
        seen[extractor] = Seen(look(samples.data), look(train))
    twin = None
    if needs.twin:
        rows = np.arange(0, 60, 2)
        twin = Twin(np.arange(60) % 3, KeptTable(rows, np.full(30, np.nan), ("",) * 30, "somebody"))
    split = SampleSet(train, np.arange(20) % 2) if looks or needs.train else None
    scores = {option: numbers(samples.data) for option in nested(options, "rewards")}
    ballots = ballots_of(len(samples)) if needs.ballots else None
    model, ask = StandIn(samples) if needs.model else None, Ask(len(samples), 4) if needs.ask else None
    told = np.ones(len(samples)) if needs.mark else None  # none is found out
    ballots = ballots_of(len(samples)) if needs.ballots else None
    return Pool(samples, CELL, seen, scores, model, ballots, split, twin, None, ask, told)


def numbers(data):
    """A number of each sample's own: (n,) float64."""
    width = math.prod(data.shape[1:])
    return data.reshape(len(data), width).astype(np.float64) @ np.linspace(1, 2, width)


def classified(data, weights=None):
    """What a classifier of two classes would say."""
    shares = 1 / (1 + np.exp(-numbers(data) / 10))
    return Features(numbers(data)[:, None], probabilities=np.stack([shares, 1 - shares], axis=1))


class StandIn:
    """A model that made the samples, in four steps, and has an opinion on any."""

    def __init__(self, samples):
        self.samples = samples

    def log_likelihood(self, data, seed, *, steps, probes):
        return -(numbers(data) ** 2)

    def realness(self, data, labels):
        return numbers(data)

    def sample(self, ask):
        start = torch.from_numpy(numbers(self.samples.data))[:, None]
        draws = lambda number: torch.ones_like(start)  # noqa: E731
        asked = ask.guide.steered(lambda x, sigma, condition: x * sigma, None, {}, draws)
        for at in levels_of(torch.linspace(4, 0, 5)):
            asked(start, at, None)
        return self.samples


def ballots_of(count):
    """Two judges call every other sample good, and the one the rest as well, but for every fourth of all."""
    rows = np.tile(np.arange(count), 2)
    good = np.concatenate([np.arange(count) % 2 == 0, np.arange(count) % 4 != 3])
    answers = tuple("good" if one else "bad" for one in good)
    return Ballots(rows, ("a",) * count + ("b",) * count, answers, np.ones(2 * count))


def chosen(name, samples, seed=5, population="two-classes", **changes):
    options = options_of(name, **changes)
    return SELECTORS[name].select(pool_of(name, samples, options, population), options, seed)


class Looked(dict):
    """What is seen by extractor, which knows by which it was looked up."""

    def __init__(self, seen):
        super().__init__(seen)
        self.names = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)


class Watched(Pool):
    """A pool that knows which of its parts were looked at."""

    def __getattribute__(self, part):
        if part in BESIDE:
            self.looked_at.add(part)
        return super().__getattribute__(part)


def test_the_registry_is_covered():
    assert set(OPTIONS) == set(SELECTORS)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 200])
def test_rows_are_some_of_the_pool_in_order_each_with_its_score_and_reason(name, count):
    samples = samples_of(count)
    found = chosen(name, samples)
    assert found.rows.dtype == np.int64 and found.rows.ndim == 1
    assert (np.diff(found.rows) > 0).all()  # ascending, and none twice
    assert not len(found.rows) or (found.rows[0] >= 0 and found.rows[-1] < count)
    assert found.scores.dtype == np.float64 and found.scores.shape == found.rows.shape
    assert isinstance(found.reasons, tuple) and len(found.reasons) == len(found.rows)
    assert all(isinstance(reason, str) and reason for reason in found.reasons)
    assert isinstance(found.judge, str) and found.judge


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.4, 0.5])
def test_as_many_are_kept_as_the_options_say(name, share):
    """Validation counts with it, before there is a sample: ``round`` of the share where there is one, else all."""
    Options = SELECTORS[name].Options
    has_share = "share" in Options.model_fields
    for count in (0, 1, 2, 5, 7, 50, 200):
        changes = {"share": share} if has_share else {}
        options = Options.model_validate(OPTIONS[name] | changes)
        kept, all_of_them = options.keeps(count), min(count, OPTIONS[name].get("count", count))
        assert isinstance(kept, int) and kept == (round(share * count) if has_share else all_of_them)
        assert len(chosen(name, samples_of(count), **changes).rows) == kept


def test_the_seed_is_all_the_chance_there_is(name):
    samples = samples_of(200)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = chosen(name, samples)
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(2)
    again, other = chosen(name, samples), chosen(name, samples, seed=6)
    for part in ("rows", "scores"):
        np.testing.assert_array_equal(getattr(again, part), getattr(first, part))
    assert again.reasons == first.reasons and again.judge == first.judge == other.judge
    assert np.array_equal(other.rows, first.rows) == (name not in CHANCE)


def test_no_selector_can_see_what_the_metrics_compare_with(name):
    """The judge is not the prosecutor: it is handed samples, features of them and of the training split, no more."""
    assert list(inspect.signature(SELECTORS[name].select).parameters) == ["pool", "options", "seed"]
    assert [one.name for one in fields(Pool)] == ["samples", "cell", *BESIDE[:6], "places", *BESIDE[6:]]
    assert Seen._fields == ("samples", "train")


def test_a_selector_reads_what_it_says_that_it_needs_and_nothing_else(name):
    needs = SELECTORS[name].needs
    assert set(needs.features) <= set(FEATURES) and len(set(needs.features)) == len(needs.features)
    assert (needs.through, needs.published, needs.ancestors, needs.key) == ("nothing", "", 0, False)  # no pool has them
    options = options_of(name)
    plain, looks = pool_of(name, samples_of(200), options), looked_through(SELECTORS[name], options)
    seen = Looked(plain.seen)
    beside = {part: getattr(plain, part) for part in BESIDE}
    watched = Watched(plain.samples, CELL, **beside | {"seen": seen})
    object.__setattr__(watched, "looked_at", set())
    SELECTORS[name].select(watched, options, 5)
    said = {"seen": bool(looks), "scores": bool(nested(options, "rewards"))}
    said |= {part: getattr(needs, part) for part in ("model", "ballots", "train", "twin", "ask")}
    said |= {"p_mark": needs.mark, "train": needs.train and not needs.mark}  # the detector is calibrated with it
    assert watched.looked_at == {part for part, needed in said.items() if needed}
    assert seen.names == set(looks)


def test_a_selector_changes_nothing_of_what_it_is_handed(name):
    """It is pure: samples and features are what they were, and a second look at them keeps the same rows."""
    options = options_of(name)
    pool = pool_of(name, samples_of(200), options)
    arrays = [pool.samples.data, *(np.asarray(one.values) for seen in pool.seen.values() for one in seen)]
    before = [array.copy() for array in arrays]
    first, again = (SELECTORS[name].select(pool, options, 5) for _ in range(2))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_an_empty_pool_is_no_fault(name):
    """A lineage that diverged hands over nothing, of whatever kind; nothing is extracted of it."""
    for data in (np.empty((0, 3)), np.empty(0, np.int64), np.empty((0, 1, 8, 8), np.uint8)):
        found = chosen(name, samples_of(0, data))
        assert len(found.rows) == len(found.scores) == len(found.reasons) == 0 and found.judge


LOOK_AT = {
    "images": "pixels",
    "vectors": "identity",
    "categories": "identity",
    "audio": "log-spectral",
    "sequences": "runs",
}
ROWS_ALONE = {"verified"}  # of which a column is an output
# Populations that know right and wrong.
KINDS = {"images": "jars", "vectors": "land", "categories": "outfits", "audio": "tones", "sequences": "markov"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_selector_judges_every_kind_that_it_takes(name, kind):
    entry = SELECTORS[name]
    assert entry.takes and set(entry.takes) <= set(KINDS)
    through = {"extractor": LOOK_AT[kind]} if OPTIONS[name].get("extractor") == "identity" else {}
    if kind not in entry.takes:  # no extractor of its own could look at it, else it would take it
        looks = entry.needs.features
        # No family has it, no classifier looks at it, or nobody can mark or see it.
        asks = entry.asks or entry.reads == "probabilities" or entry.needs.mark or entry.needs.ballots
        # Or its parts of features are of no extractor of that kind.
        asks = asks or not any(kind in one.takes and one.tells(entry.reads, kind) for one in FEATURES.values())
        assert name in ROWS_ALONE or asks or (looks and any(kind not in FEATURES[one].takes for one in looks))
        return
    # A known truth judges whatever it gives.
    assert all(kind in FEATURES[one].takes or one == "truth" for one in entry.needs.features)
    samples = truth_of(KINDS[kind]).sample(Ask(20, 3))
    samples = SampleSet(samples.data, np.arange(20) % 2)
    assert samples.kind == kind
    kept = options_of(name, **through).keeps(20)
    assert len(chosen(name, samples, population=KINDS[kind], **through).rows) == kept > 0


def test_what_is_kept_can_be_stored(name, tmp_path):
    found = chosen(name, samples_of(50))
    write_kept(tmp_path / "kept", KeptTable(found.rows, found.scores, found.reasons, found.judge, {}))
    kept = read_kept(tmp_path / "kept")
    np.testing.assert_array_equal(kept.rows, found.rows)
    np.testing.assert_array_equal(kept.scores, found.scores)
    assert (kept.reasons, kept.judge) == (found.reasons, found.judge)


def test_options_are_said_and_checked(name):
    options = SELECTORS[name].Options
    assert issubclass(options, SelectorOptions)
    assert all(field.description for field in options.model_fields.values())
    with pytest.raises(ValidationError):
        options.model_validate(OPTIONS[name] | {"unknown": 1})
    if "share" in options.model_fields:
        for wrong in (0, -0.1, 1.1, "half"):
            with pytest.raises(ValidationError, match="share"):
                options.model_validate(OPTIONS[name] | {"share": wrong})
    given = options.model_validate(OPTIONS[name])
    assert options.model_validate_json(given.model_dump_json()) == given
    for field in options.model_fields:
        with pytest.raises(ValidationError):
            setattr(given, field, 0.5)
