"""What holds for every selector, over the whole registry."""

import inspect

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab.core.ask import Ask
from collapselab.core.sets import KeptTable, SampleSet
from collapselab.features import FEATURES
from collapselab.populations import POPULATIONS
from collapselab.select import SELECTORS
from collapselab.select.base import Seen
from collapselab.store import read_kept, write_kept

OPTIONS = {
    "nobody": {},
    "random": {"share": 0.4},
    "verifier": {"phi": 1.0, "psi": 0.5, "share": 0.4},  # every other row is right, so that enough are accepted
}
CHANCE = {"random", "verifier"}  # another seed keeps other rows


@pytest.fixture(params=sorted(SELECTORS))
def name(request):
    return request.param


def pool(count, data=None):
    """Samples as the verb hands them over: mapped from a file, so that nobody can write to them."""
    if data is None:  # two numbers and a label, of which every other one is wrong
        data = np.random.default_rng(3).standard_normal((count, 3))
        data[:, 2] = np.where(np.arange(count) % 2, -1, 1) * np.sign(data[:, 0])
    data.flags.writeable = False
    return SampleSet(data)


def seen_by(name, samples):
    """The samples and a training split in the feature space that a selector reads; None where it reads none."""
    reads = SELECTORS[name].reads
    if reads is None or not len(samples):
        return None
    entry = FEATURES[reads]
    kind = POPULATIONS["two-classes"]
    truth = kind.population(kind.PopulationOptions(dimension=2))
    weights = truth if entry.of_population else None
    train = truth.sample(Ask(20, 1)).data
    return Seen(entry.extract(samples.data, weights), entry.extract(train, weights))


def chosen(name, samples, seed=5, **changes):
    entry = SELECTORS[name]
    options = entry.Options.model_validate(OPTIONS[name] | changes)
    return entry.select(samples, seen_by(name, samples), options, seed)


def test_the_registry_is_covered():
    assert set(OPTIONS) == set(SELECTORS)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 200])
def test_rows_are_some_of_the_pool_in_order_each_with_its_score_and_reason(name, count):
    samples = pool(count)
    found = chosen(name, samples)
    assert found.rows.dtype == np.int64 and found.rows.ndim == 1
    assert (np.diff(found.rows) > 0).all()  # ascending, and none twice
    assert not len(found.rows) or (found.rows[0] >= 0 and found.rows[-1] < count)
    assert found.scores.dtype == np.float64 and found.scores.shape == found.rows.shape
    assert isinstance(found.reasons, tuple) and len(found.reasons) == len(found.rows)
    assert all(isinstance(reason, str) and reason for reason in found.reasons)
    assert isinstance(found.judge, str) and found.judge
    assert found.altered is None or found.altered.shape == samples.data[found.rows].shape


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.4, 0.5])
def test_the_share_that_is_asked_for_is_kept(name, share):
    """Validation counts with it: as many as ``round`` says, of every number of samples; all where there is no share."""
    has_share = "share" in SELECTORS[name].Options.model_fields
    for count in (0, 1, 2, 5, 7, 50, 200):
        found = chosen(name, pool(count), **({"share": share} if has_share else {}))
        assert len(found.rows) == (round(share * count) if has_share else count)


def test_the_seed_is_all_the_chance_there_is(name):
    samples = pool(200)
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
    assert list(inspect.signature(SELECTORS[name].select).parameters) == ["samples", "seen", "options", "seed"]
    assert Seen._fields == ("samples", "train")
    reads = SELECTORS[name].reads
    assert reads is None or reads in FEATURES


def test_an_empty_pool_is_no_fault(name):
    """A lineage that diverged hands over nothing, of whatever kind; nothing is extracted of it."""
    for data in (np.empty((0, 3)), np.empty(0, np.int64), np.empty((0, 1, 8, 8), np.uint8)):
        found = chosen(name, pool(0, data))
        assert len(found.rows) == len(found.scores) == len(found.reasons) == 0 and found.judge


@pytest.mark.parametrize("kind", ["images", "vectors", "categories"])
def test_a_selector_takes_what_its_features_take(name, kind):
    source = np.random.default_rng(0)
    if SELECTORS[name].reads is not None:
        pytest.skip("what it can look at is what the extractor that it reads takes")
    data = {
        "images": source.integers(0, 256, (20, 3, 8, 8), np.uint8),
        "vectors": source.standard_normal((20, 2)),
        "categories": source.integers(0, 5, 20),
    }[kind]
    assert len(chosen(name, pool(20, data)).rows)


def test_what_is_kept_can_be_stored(name, tmp_path):
    found = chosen(name, pool(50))
    write_kept(tmp_path / "kept", KeptTable(found.rows, found.scores, found.reasons, found.judge, {}))
    kept = read_kept(tmp_path / "kept")
    np.testing.assert_array_equal(kept.rows, found.rows)
    np.testing.assert_array_equal(kept.scores, found.scores)
    assert (kept.reasons, kept.judge) == (found.reasons, found.judge)


def test_options_are_said_and_checked(name):
    options = SELECTORS[name].Options
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
