"""What holds for every selector, over the whole registry."""

import inspect
from dataclasses import fields

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab.core.ask import Ask
from collapselab.core.sets import KeptTable, SampleSet
from collapselab.features import FEATURES
from collapselab.populations import POPULATIONS
from collapselab.select import SELECTORS
from collapselab.select.base import Pool, Seen, SelectorOptions, Twin
from collapselab.store import read_kept, write_kept
from collapselab.store.cells import Cell

OPTIONS = {
    "nobody": {},
    "random": {"share": 0.4},
    "yoked": {"count": 30},
    "unmarked": {"share": 0.4},
    "verifier": {"phi": 1.0, "psi": 0.5, "share": 0.4},  # every other row is right, so that enough are accepted
}
CHANCE = {"random", "yoked", "verifier"}  # another seed keeps other rows
CELL = Cell("study", "arm", 2, 3)
BESIDE = ("seen", "scores", "model", "ballots", "train", "twin", "p_mark")  # what a pool may hold beside the samples


@pytest.fixture(params=sorted(SELECTORS))
def name(request):
    return request.param


def samples_of(count, data=None):
    """Samples as the verb hands them over: mapped from a file, so that nobody can write to them."""
    if data is None:  # two numbers and a label, of which every other one is wrong
        data = np.random.default_rng(3).standard_normal((count, 3))
        data[:, 2] = np.where(np.arange(count) % 2, -1, 1) * np.sign(data[:, 0])
    data.flags.writeable = False
    return SampleSet(data)


def truth_of(population):
    kind = POPULATIONS[population]
    return kind.population(kind.PopulationOptions(**({"dimension": 2} if population == "two-classes" else {})))


def pool_of(name, samples, population="two-classes"):
    """The samples, and beside them what a selector needs, and nothing else."""
    needs, truth = SELECTORS[name].needs, truth_of(population)
    assert not (needs.model or needs.ballots), "a selector of this kind wants a model or ballots here"
    seen, train = {}, truth.sample(Ask(20, 1)).data
    for extractor in needs.features if len(samples) else ():
        entry = FEATURES[extractor]
        weights = {"truth": truth, "nothing": None}[entry.needs.through]
        seen[extractor] = Seen(entry.extract(samples.data, weights), entry.extract(train, weights))
    twin = None
    if needs.twin:
        rows = np.arange(0, 60, 2)
        twin = Twin(np.arange(60) % 3, KeptTable(rows, np.full(30, np.nan), ("",) * 30, "somebody"))
    told = np.random.default_rng(7).uniform(size=len(samples)) if needs.mark else None
    return Pool(samples, CELL, seen, twin=twin, p_mark=told)


def chosen(name, samples, seed=5, population="two-classes", **changes):
    entry = SELECTORS[name]
    options = entry.Options.model_validate(OPTIONS[name] | changes)
    return entry.select(pool_of(name, samples, population), options, seed)


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
    assert [one.name for one in fields(Pool)] == ["samples", "cell", *BESIDE, "places"]
    assert Seen._fields == ("samples", "train")


def test_a_selector_reads_what_it_says_that_it_needs_and_nothing_else(name):
    needs = SELECTORS[name].needs
    assert set(needs.features) <= set(FEATURES) and len(set(needs.features)) == len(needs.features)
    assert (needs.through, needs.published, needs.ancestors, needs.key) == ("nothing", "", 0, False)  # no pool has them
    plain = pool_of(name, samples_of(200))
    seen = Looked(plain.seen)
    watched = Watched(plain.samples, CELL, seen, twin=plain.twin, p_mark=plain.p_mark)
    object.__setattr__(watched, "looked_at", set())
    SELECTORS[name].select(watched, SELECTORS[name].Options.model_validate(OPTIONS[name]), 5)
    said = {"seen": bool(needs.features)} | {
        part: getattr(needs, part) for part in ("model", "ballots", "train", "twin")
    }
    said["p_mark"] = needs.mark
    assert watched.looked_at == {part for part, needed in said.items() if needed}
    assert seen.names == set(needs.features)


def test_a_selector_changes_nothing_of_what_it_is_handed(name):
    """It is pure: samples and features are what they were, and a second look at them keeps the same rows."""
    pool = pool_of(name, samples_of(200))
    arrays = [pool.samples.data, *(np.asarray(one.values) for seen in pool.seen.values() for one in seen)]
    before = [array.copy() for array in arrays]
    options = SELECTORS[name].Options.model_validate(OPTIONS[name])
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


KINDS = {"images": "jars", "vectors": "land", "categories": "outfits"}  # populations that know right and wrong


@pytest.mark.parametrize("kind", KINDS)
def test_a_selector_judges_every_kind_that_it_takes(name, kind):
    entry = SELECTORS[name]
    assert entry.takes and set(entry.takes) <= set(KINDS)
    if kind not in entry.takes:  # no extractor of its own could look at it, else it would take it
        assert entry.needs.features and any(kind not in FEATURES[one].takes for one in entry.needs.features)
        return
    assert all(kind in FEATURES[one].takes for one in entry.needs.features)
    samples = truth_of(KINDS[kind]).sample(Ask(20, 3))
    assert samples.kind == kind
    options = entry.Options.model_validate(OPTIONS[name])
    assert len(chosen(name, samples, population=KINDS[kind]).rows) == options.keeps(20) > 0


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
