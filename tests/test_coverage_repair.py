"""What samples do not reach: region by region, and an adapter that tunes a model on the real rows there."""

import json
import os
from dataclasses import replace
from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml
from project import ROOT

from collapselab import store
from collapselab import study as studies
from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Adapter
from collapselab.adapt.targeted import Looking, resting, shown, uncovered
from collapselab.cli import run as frame
from collapselab.cli.inputs import model_in
from collapselab.core.ask import Ask
from collapselab.core.errors import Interrupted, Undefined
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features import FEATURES, Features
from collapselab.measure.changes import changes, least_by_chance
from collapselab.metrics import METRICS, coverage
from collapselab.metrics.regions import regions_of
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.store import provenance
from collapselab.store.provenance import PACKAGE
from collapselab.study.jobs import JOBS, Place
from collapselab.study.jobs import roots as roots_of
from collapselab.study.loading import check
from collapselab.theory import targeted_limit
from collapselab.verbs import adapt as verb
from collapselab.verbs.extract import Look
from collapselab.verbs.select import looked_at
from collapselab.verbs.train import rows_of

ENTRY, METRIC, LEAST = ADAPTERS["targeted"], METRICS["region_coverage"], METRICS["least_coverage"]
LOOKS = {"identity": Look(FEATURES["identity"], None, {})}

# -- the metric --------------------------------------------------------------------------------------------------------


def clusters(counts, seed=0, width=0.1):
    """Rows about (10 g, 0), so many of each."""
    source = np.random.default_rng(seed)
    return np.concatenate([source.normal(size=(count, 2)) * width + [10 * g, 0] for g, count in enumerate(counts)])


def test_a_lost_region_shows_where_the_mean_hides_it():
    real, fake = clusters([200, 100, 20]), clusters([200, 100, 0], seed=1)
    found = METRIC(real, fake, regions=3, k=5)
    assert list(found) == ["0", "1", "2"] and float(LEAST(real, fake, regions=3, k=5)) == float(found["2"]) == 0.0
    assert min(found["0"], found["1"]) > 0.9
    whole = coverage(Features(real), Features(fake), k=5)
    assert float(whole) > 0.85
    weighed = sum(rows * float(found[str(g)]) for g, rows in enumerate((200, 100, 20))) / 320
    assert float(whole) == pytest.approx(weighed, abs=1e-12)
    assert found["2"].low == 0 and found["2"].high > 0


def test_regions_hang_on_the_real_rows_alone_and_not_on_their_order():
    real = clusters([60, 30, 10])
    order = np.random.default_rng(1).permutation(len(real))
    one, other = regions_of(real, 3), regions_of(real[order], 3)
    np.testing.assert_array_equal(one.of_rows[order], other.of_rows)
    assert np.bincount(one.of_rows).tolist() == [60, 30, 10]
    np.testing.assert_array_equal(one.of(Features(real)), one.of_rows)
    assert regions_of(real[:2], 5).count == 2


def test_a_region_of_few_rows_has_no_value():
    real, fake = clusters([50, 4]), clusters([50, 4], seed=1)
    found = METRIC(real, fake, regions=2)
    assert isinstance(found["1"], Undefined) and float(LEAST(real, fake, regions=2)) == float(found["0"])
    with pytest.raises(Undefined, match="real: no region has 5 rows"):
        LEAST(real[:8], fake, regions=4, k=2)


def drawn(rng, chances, sets):
    """(sets, n) bool: rows that are reached with chances of their own, those of a set together more or less."""
    shift = rng.normal(scale=0.05, size=(sets, 1))
    return rng.random((sets, len(chances))) < np.clip(chances + shift, 0, 1)


def test_an_interval_of_every_change_of_coverage_holds_them_all_as_often_as_it_says():
    """Ten regions of 60 rows, of which nothing changes but region 3, which loses .1 of its rows' chances in the mean.
    All ten are inside in 95 % at least, of 300 repetitions, less three binomial errors; the bound is wide by an
    inequality, and so may hold more."""
    rng, regions = np.random.default_rng(3), np.repeat(np.arange(10), 60)
    inside, least, told = 0, [], []
    for _ in range(300):
        chances = rng.beta(2, 2, size=600) * 0.8 + 0.1
        lost = np.where(regions == 3, rng.choice([0.0, -0.2], size=600), 0.0)
        found = changes(drawn(rng, chances, 8), drawn(rng, np.clip(chances + lost, 0, 1), 8), regions)
        truth = np.where(np.arange(10) == 3, -0.1, 0.0)
        inside += all(one.change.low <= true <= one.change.high for one, true in zip(found, truth, strict=True))
        least.append(min(float(one.change) for one in found if one.region != 3))
        told.append(least_by_chance([one.error for one in found if one.region != 3]))
    assert inside / 300 > 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5
    # The mean over 300 is known to their own spread; that of the errors, each from 8 sets, costs some hundredths of it.
    assert np.mean(told) == pytest.approx(np.mean(least), abs=4 * np.std(least) / 300**0.5 + 0.1 * abs(np.mean(least)))


def test_an_interval_is_no_wider_than_it_has_to_be_and_holds_where_nearly_all_rows_are_reached():
    """Rows are reached with chances of 30/31 in the mean; a twentieth of them loses half. All ten are inside in 95 % at
    least, of 200 repetitions, less three binomial errors. t of 15 degrees of freedom at 1 - .025/10 is 3.3: half a
    width is below 4.5 spreads of the changes themselves, and one set's error is the spread of changes of one set."""
    rng, regions = np.random.default_rng(5), np.repeat(np.arange(10), 60)
    inside, halves, moved, once, of_one = 0, [], [], [], []
    for _ in range(200):
        chances = rng.beta(30, 1, size=600)
        lost = np.where(rng.random(600) < 0.05, 0.5, 0.0)
        then, now = rng.random((16, 600)) < chances, rng.random((16, 600)) < np.clip(chances - lost, 0, 1)
        found = changes(then, now, regions)
        truth = -float(np.mean(0.05 * np.minimum(0.5, rng.beta(30, 1, size=20_000))))
        inside += all(one.change.low <= truth <= one.change.high for one in found)
        halves += [(one.change.high - one.change.low) / 2 for one in found]
        moved += [float(one.change) for one in found]
        once += [one.once for one in found]
        of_one += [float(now[0, regions == r].mean() - then[0, regions == r].mean()) for r in range(10)]
    assert inside / 200 > 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5
    assert np.mean(halves) < 4.5 * np.std(moved)
    assert np.sqrt(np.mean(np.square(once))) == pytest.approx(np.std(of_one), rel=0.1)


def test_a_region_that_nothing_changes_takes_part_in_the_least():
    assert least_by_chance([1.0, 0.0]) == pytest.approx(-0.39894, abs=1e-4)  # E min(X, 0) = -1 / sqrt(2 pi)
    assert least_by_chance([0.0, 0.0]) == least_by_chance([]) == 0.0


def test_the_least_of_equal_normal_numbers_is_what_tables_say():
    # Expected least of n standard normal numbers: -.5642 of two, -1.5388 of ten (Harter 1961, Biometrika 48, table 1).
    assert least_by_chance([1.0, 1.0]) == pytest.approx(-0.56419, abs=1e-4)
    assert least_by_chance([0.03] * 10) == pytest.approx(-0.03 * 1.53875, abs=1e-5)
    assert least_by_chance([0.0]) == 0.0
    with pytest.raises(ValueError, match=r"^sets: found 1"):
        changes(np.ones((1, 4), bool), np.ones((1, 4), bool), np.zeros(4, int))


# -- the adapter -------------------------------------------------------------------------------------------------------


def test_what_is_below_the_others_by_more_than_chance_is_uncovered():
    rows = np.array([100, 100, 16, 16])
    covering = np.array([0.9, 0.9, 0.9, 0.7])  # c = .886; 2 sd of 16 rows are .159, of 100 rows .064
    assert uncovered(covering, rows).tolist() == [3]
    assert uncovered(np.array([0.9, 0.82, 0.9, 0.75]), rows).tolist() == []
    assert uncovered(np.ones(4), rows).tolist() == []


def test_of_what_is_shown_a_share_are_rows_of_the_regions_in_turn():
    training = TrainingSet(np.zeros((90, 2)), np.zeros(90, np.int64), np.full(90, 1.0))
    split = SampleSet(np.arange(20.0).reshape(10, 2), np.arange(10))
    target = np.isin(np.arange(10), [2, 7, 8])
    found = shown(training, split, target, 0.1)
    assert len(found) == 100 and found.labels[90:].tolist() == [2, 7, 8, 2, 7, 8, 2, 7, 8, 2]
    np.testing.assert_array_equal(found.data[90:93], split.data[[2, 7, 8]])
    assert (found.weights == 1).all()
    assert shown(replace(training, labels=None), split, target, 0.1).labels is None


def ring(count, seed, without=()):
    kind = POPULATIONS["gaussians"]
    truth = kind.population(kind.PopulationOptions(layout="ring"))
    found = truth.sample(Ask(count, seed))
    rows = ~np.isin(found.labels, without)
    return truth, SampleSet(found.data[rows], None), found


def small(real, images_seen=512):
    options = MODELS["diffusion"].Options.model_validate(
        {"preset": "points", "channels": 32, "blocks": 2, "batch": 64, "steps": 6, "sample_batch": 256}
    )
    return MODELS["diffusion"].fit(_as_training(real), options, Run(1, images_seen))


def _as_training(real):
    return TrainingSet(real.data, real.labels, np.ones(len(real)))


def given_of(model, training, split, options, seed=5):
    return verb.given(options, model, _as_training(training), seed, LOOKS, split, ())


def options_for(**said):
    return ENTRY.Options(**{"extractor": "identity", "regions": 8, "samples": 200, "images_seen": 640} | said)


@pytest.fixture(scope="module")
def base():
    """A model that has seen one half of a ring, and the whole ring."""
    _, part, whole = ring(400, 1, without=(4, 5, 6, 7))
    return small(part, 24_000), part, SampleSet(whole.data)


def adapted(base, run=None, **said):
    model, part, split = base
    options = options_for(**said)
    return verb.adapt("targeted", ENTRY, options, model, given_of(model, part, split, options), run or Run(5))


def same(one, other):
    return all(np.array_equal(array, other.weights()[name]) for name, array in one.weights().items())


@pytest.mark.parametrize("rank", [0, 2])
def test_it_looks_as_often_as_it_is_told_and_says_what_it_saw(base, rank):
    found = adapted(base, until="budget", looks=4, rank=rank)
    facts = json.loads(json.dumps(found.facts))
    assert facts["stopped"] == "budget" and facts["uncovered"]
    assert [look[0] for look in facts["looks"]] == [192, 320, 512, 640]  # of ten steps of 64
    assert sum(one["rows"] for one in facts["regions"]) == 400
    there = [one for one in facts["regions"] if one["region"] in facts["uncovered"]]
    reached = sum(one["rows"] * one["after"] for one in there) / sum(one["rows"] for one in there)
    assert facts["looks"][-1][1] == pytest.approx(reached)
    assert facts["share"]["after"] == pytest.approx(facts["looks"][-1][3])
    assert not same(base[0], found.model)
    assert {"curve.coverage_there", "curve.coverage_elsewhere"} <= set(found.model.stored().tensors)


def test_it_ends_where_the_share_is_the_true_one_and_leaves_a_covered_model_alone(base):
    model, part, split = base
    options = options_for(until="share", images_seen=6400, looks=50, learning_rate=1e-2, share=0.5)
    found = verb.adapt("targeted", ENTRY, options, model, given_of(model, part, split, options), Run(5))
    facts = found.facts
    assert facts["stopped"] == "share" and facts["looks"][-1][0] < 6400
    shares = [look[3] for look in facts["looks"]]
    assert shares[-1] >= facts["share"]["real"] > max(shares[:-1], default=0)
    covered_by_itself = given_of(model, part, split, options)._replace(
        look={"identity": lambda data: Features(split.data)}, train={"identity": Features(split.data)}
    )
    whole = ENTRY.adapt(model, covered_by_itself, options, Run(5))
    assert whole.model is model and whole.facts["stopped"] == "nothing is uncovered" and not whole.facts["looks"]


def test_at_rest_regions_have_their_true_share_of_all_that_is_shown(base):
    """a + (1 - a) p = pi, to rounding; where the training set has none of them it is pi, as much as a region of a loop
    that gets nothing else comes to, and where it has enough, nothing."""
    for truth, there in ((0.185, 0.05), (0.32, 0.21), (0.1, 0.0)):
        share = resting(truth, there)
        assert share + (1 - share) * there == pytest.approx(truth, abs=1e-15)
    assert resting(0.2, 0.2) == resting(0.2, 0.5) == resting(0.2, 1.0) == 0
    assert targeted_limit(0.1, 0.05, 0.3) > 0.05 == pytest.approx(targeted_limit(resting(0.05, 0.05), 0.05, 0.3))
    model, part, split = base
    training = SampleSet(np.concatenate([part.data, split.data[:100]]))  # which has some of them
    options = options_for(share="rest", until="budget", images_seen=64)
    found = ENTRY.adapt(model, given_of(model, training, split, options), options, Run(5, 64))
    looking = Looking(given_of(model, training, split, options), options)
    own = np.isin(looking.regions.of(Features(training.data)), looking.uncovered).mean()
    whole = shown(_as_training(training), split, looking.target, found.facts["added"])
    shares = np.isin(looking.regions.of(Features(whole.data)), looking.uncovered).mean()
    assert 0 < own < looking.target.mean() == pytest.approx(shares, abs=1 / len(whole))
    assert found.facts["added"] < looking.target.mean()


class Stops:
    """An interruption after so many images more."""

    def __init__(self, images):
        self.images, self.first = images, None

    def __call__(self, seen, loss):
        self.first = seen if self.first is None else self.first
        return seen - self.first >= self.images


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_it_is_killed_and_goes_on_to_the_same_bits(base, tmp_path, kills):
    said = {"images_seen": 64 * (kills + 4), "looks": kills, "until": "budget", "rank": 2}
    whole, killed = adapted(base, **said), 0
    run = Run(5, checkpoint=tmp_path / "state", progress=lambda seen, loss: killed < kills)  # after every step
    while True:
        try:
            resumed = adapted(base, run, **said)
            break
        except Interrupted:
            killed += 1
    assert killed == kills
    assert same(whole.model, resumed.model) and whole.facts == resumed.facts
    assert not same(base[0], whole.model)


@pytest.mark.slow
@pytest.mark.trained
def test_coverage_is_raised_there_and_nowhere_lowered_by_more_than_chance():
    """A model that lacks one mode of eight, judged on rows that had no part in it.

    Of one seed, with 1,000 samples and the training rows: there from 0 to .86, elsewhere from .88 to .86; with half of
    what is shown from there, to the end, its share goes to .47 and the others are covered to .73.
    """
    truth, part, whole = ring(2000, 1, without=(3,))
    held_out = Features(truth.sample(Ask(2000, 77)).data)
    options = MODELS["diffusion"].Options.model_validate({"preset": "points"})
    model = MODELS["diffusion"].fit(_as_training(part), options, Run(1, 300_000))
    said = options_for(images_seen=150_000, learning_rate=3e-4, samples=1000, looks=20)
    given = given_of(model, part, SampleSet(whole.data), said)
    found = verb.adapt("targeted", ENTRY, said, model, given, Run(5))
    before, after = (
        METRIC(held_out, Features(one.sample(Ask(4000, 9)).data), regions=8) for one in (model, found.model)
    )
    [lost] = [name for name, value in before.items() if value < 0.2]
    assert float(after[lost]) > 0.8
    others = [name for name in before if name != lost]
    assert all(float(after[name]) > float(before[name]) - 0.05 for name in others), (before, after)


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: toy
seed: 3
seeds: 1
generations: 1
data: {source: digits, split: {train: 120, held_out: 60}}
models:
  net: {diffusion: {preset: tiny, channels: 8, blocks: 1, classes: 0, images_seen: 64, batch: 16, steps: 2}}
initial: {real: 40}
samples: 40
extractors: [pixels]
metrics: [{region_coverage: {regions: 3}}, {least_coverage: {regions: 3}}]
primary: {metric: least_coverage, extractor: pixels}
control: none
waive: {images_seen: nothing is compared here}
arms:
  plain: {model: net, regime: fully_synthetic}
  told:
    model: net
    regime: fully_synthetic
    adapt: {targeted: {extractor: random-conv, regions: 3, samples: 40, images_seen: 32, looks: 2}}
"""


def test_in_a_study_it_is_adapted_measured_and_its_uncovered_rows_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/toy.yaml").write_text(STUDY, encoding="utf-8")
    study = studies.find("toy")
    in_process.run(study)
    record = json.loads(Path(study.cell("told", 0, 1, "metrics.json")).read_text(encoding="utf-8"))
    assert {"least_coverage", "region_coverage.0"} <= {one["metric"] for one in record["values"]}
    capsys.readouterr()
    words = ["uncovered", "toy", "--arm", "told", "--regions", "3", "--out", "found.json", "--pictures", "lost.png"]
    assert frame.run(words) == 0
    said = capsys.readouterr().out
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert sum(one["rows"] for one in found["regions"]) == 60
    values = [one["covered"] for one in found["regions"]]
    assert values == sorted(values) and f"{values[0]:.3f}" in said
    assert Path("lost.png").read_bytes().startswith(b"\x89PNG")
    measured = {one["metric"]: one["value"] for one in record["values"] if one["set"] == "sampled"}
    assert min(values) == pytest.approx(measured["least_coverage"])
    assert frame.run(["uncovered", "toy", "--arm", "bogus", "--generation", "9", "--extractor", "lenet"]) == 2
    said = capsys.readouterr().err
    assert "--arm: found 'bogus'" in said and "--generation" in said and "--extractor: found 'lenet'" in said
    assert frame.run(["uncovered", "toy", "--part", "validation"]) == 2
    assert "--part: toy has no validation rows; allowed: held_out, train" in capsys.readouterr().err
    words = ["uncovered", "toy", "--arm", "told", "--generation", "0", "--regions", "3", "--adapted"]
    assert frame.run([*words, "3", "--out", "changes.json"]) == 0
    said = capsys.readouterr().out
    moved = json.loads(Path("changes.json").read_text(encoding="utf-8"))
    assert moved["sets"] == 3 and "3 sets of 40 samples of each" in said and "had nothing changed" in said
    assert [one["rows"] for one in moved["changes"]] == [one["rows"] for one in sorted(moved["regions"], key=by_region)]
    assert all(one["low"] <= one["after"] - one["before"] <= one["high"] for one in moved["changes"])
    assert frame.run([*words, "1"]) == 2 and "--adapted: found 1; allowed are 2 sets" in capsys.readouterr().err
    words[3] = "plain"
    assert frame.run([*words, "3"]) == 2
    assert "nothing adapts after its training; allowed are arms with such an adapter: told" in capsys.readouterr().err
    assert not [one for one in os.listdir() if one.endswith(".tmp")]


def by_region(one):
    return one["region"]


def test_how_much_rests_is_part_of_what_such_an_adaptation_follows_from():
    """The earlier text of ``targeted``, which counts for all others, knows nothing of it; its entry says who calls it,
    and what it says there counts for nobody by itself."""
    raw = yaml.safe_load((ROOT / "config" / "coverage-repair.yaml").read_text(encoding="utf-8"))
    raw.pop("toy", None)
    roots = {}
    for share in (0.1, "rest"):
        raw["arms"]["targeted"]["adapt"]["targeted"]["share"] = share
        study, faults = check(raw, "coverage-repair")
        assert not faults
        place = Place("targeted", 0, 1)
        roots[share] = JOBS["adapt"].roots(study, place)
    assert [one.rpartition(":")[2] for one in roots["rest"] if one not in roots[0.1]] == ["_share"]
    assert {name for name in ADAPTERS if ADAPTERS[name].calls is not Adapter.calls} == {"targeted"}
    reached = provenance.sources(*roots["rest"])
    assert f"{PACKAGE}.adapt.targeted:_share" in reached and f"{PACKAGE}.adapt.targeted:calls" not in reached
    assert f"{PACKAGE}.adapt.targeted:_share" not in provenance.sources(*roots[0.1])


LOOP = """
name: rests
seed: 3
seeds: 1
generations: 2
data: {source: digits, split: {train: 300, held_out: 100}}
models:
  net: {diffusion: {preset: tiny, classes: 0, images_seen: 16000, steps: 12}}
initial: {real: 150}
samples: 300
extractors: [pixels]
metrics: [{region_coverage: {regions: 4}}, {least_coverage: {regions: 4}}]
primary: {metric: least_coverage, extractor: pixels}
control: none
arms:
  rests:
    model: net
    regime: fully_synthetic
    adapt:
      targeted:
        {extractor: random-conv, regions: 6, samples: 600, images_seen: 640, looks: 2, share: rest, until: budget}
"""


@pytest.mark.slow
def test_in_a_loop_as_much_is_added_as_its_training_sets_have_lost(tmp_path, monkeypatch):
    """Two generations on own samples. What is added is reckoned again from the files: the share p of the uncovered
    regions in each generation's training set, their share pi of the training split, a = max(0, (pi - p) / (1 - p)); of
    whole rows, so that a + (1 - a) p is pi to rounding. Nothing beside real rows, which have as much as the truth."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/rests.yaml").write_text(LOOP, encoding="utf-8")
    study = studies.find("rests")
    planned = [place for name, place in in_process.in_order(study) if name == "adapt"]
    assert [place.generation for place in planned] == [0, 1, 2]
    assert all(f"{PACKAGE}.adapt.targeted:_share" in roots_of(study, "adapt", place) for place in planned)
    in_process.run(study)
    split = store.read_samples(Path(study.part_file("train")))
    looks = Look(FEATURES["random-conv"], None, {})
    regions = regions_of(looked_at(looks, split.data), 6)
    real = np.bincount(regions.of_rows, minlength=6) / len(split)
    added = []
    for place in planned:
        adapted, trained = (model_in(Path(study.model_file(*place.cell, role))) for role in ("adapted", "trained"))
        lineage = adapted[1]["lineage"]
        facts, table = lineage["adaptation"], store.read_training(study.cell(*place.cell, "training.parquet"))
        training = rows_of(table, store.referred(table))
        uncovered = np.array(facts["uncovered"])
        own = np.isin(regions.of(looked_at(looks, training.data)), uncovered).mean()
        truth = real[uncovered].sum()
        assert len(training) == 150 and len(uncovered) and facts["share"]["real"] == pytest.approx(truth, abs=1e-12)
        assert facts["added"] == pytest.approx(max(0, (truth - own) / (1 - own)), abs=1e-12)
        assert facts["added"] + (1 - facts["added"]) * own == pytest.approx(max(truth, own), abs=1e-12)
        added.append(facts["added"])
        # The tuning's images are its own, beside the training's, and its real rows are in no training set.
        assert lineage["images_seen"] == facts["training"]["images_seen"][-1] == 640
        assert study.images_beside("rests", place.generation) == 640 and trained[1]["lineage"]["images_seen"] == 16000
        record = json.loads(Path(study.cell(*place.cell, "metrics.json")).read_text(encoding="utf-8"))
        whose = {"arm": "rests", "generation": place.generation - 1} if place.generation else FIXED
        assert record["composition"] == [whose | {"count": 150}]
        assert f"parent {study.model_file(*place.cell, 'adapted')}" in record["lineage"]
        assert study.part_file("train") in lineage["inputs"]
    assert added[0] == 0 < min(added[1:])  # seed 3: 0, .264, .138


FIXED = {"arm": "fixed", "generation": 0}
