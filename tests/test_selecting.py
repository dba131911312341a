"""Who keeps what of the samples, as the loop does it: chains, what is done where few are good, weights, controls."""

import json
from dataclasses import replace

import in_process
import numpy as np
import pytest
import yaml

from collapselab import store
from collapselab import study as studies
from collapselab.cli import run as frame
from collapselab.core.sets import Ballots, KeptTable, Reference, SampleSet, TrainingTable
from collapselab.report import sections
from collapselab.select import SELECTORS
from collapselab.select.base import Pool, Selection, Selector, ShareOptions, Twin
from collapselab.store.cells import Cell
from collapselab.study import composed, jobs, selected
from collapselab.verbs import compose, train
from collapselab.verbs import select as verb

CELL = Cell("study", "arm", 1, 2)


def good(pool, options, seed):
    """The first samples whose number is positive, each weighed by it."""
    rows = np.flatnonzero(pool.samples.data[:, 0] > 0)[: options.keeps(len(pool))]
    scores = pool.samples.data[rows, 0].astype(float)
    return Selection(rows, scores, ("positive",) * len(rows), "good", scores)


GOOD = Selector(ShareOptions, good, weighs=True)


def pool_of(numbers, labels=None, **beside):
    return Pool(SampleSet(np.array(numbers, np.float64)[:, None], labels), CELL, **beside)


def step(name, **options):
    entry = GOOD if name == "good" else SELECTORS[name]
    return verb.Choosing(name, entry, entry.Options(**options))


# -- a chain -----------------------------------------------------------------------------------------------------------


def test_a_chain_is_each_selector_of_what_the_one_before_has_kept():
    pool = pool_of([-1, 2, -3, 4, 5, -6, 7, 8, 9, -1])
    first = verb.select([step("good", share=0.6)], pool, 1)
    assert first.rows.tolist() == [1, 3, 4, 6, 7, 8]
    both = verb.select([step("good", share=0.6), step("random", share=0.5)], pool, 1)
    assert set(both.rows) < set(first.rows) and len(both.rows) == 3 and both.judge == "good then chance"
    weights = pool.samples.data[both.rows, 0]  # chance leaves their relations as they were, and their mean is 1
    np.testing.assert_allclose(both.weights, weights / weights.mean())
    twice = verb.select([step("good", share=0.6), step("good", share=1)], pool, 1)
    squares = pool.samples.data[twice.rows, 0] ** 2
    np.testing.assert_allclose(twice.weights, squares / squares.mean())


def test_two_of_a_kind_in_a_chain_have_dice_of_their_own():
    pool = pool_of(range(1, 101))
    halves = verb.select([step("random", share=0.5)] * 2, pool, 1).rows
    alone = verb.select([step("random", share=0.5)], pool, 1).rows
    again = verb.select([step("random", share=0.5)], pool.of(alone), 1).rows
    assert set(halves) < set(alone) and not np.array_equal(alone[again], halves)


def test_a_part_of_a_pool_is_the_same_samples_with_all_that_is_said_of_them():
    samples = SampleSet(np.arange(12.0).reshape(6, 2), np.arange(6), {"loss": np.arange(6) / 2})
    ballots = Ballots(np.array([4, 0, 4, 5]), ("a", "a", "b", "b"), ("yes", "no", "no", "yes"), np.arange(4.0))
    part = Pool(samples, CELL, scores={"reward": np.arange(6) * 3.0}, ballots=ballots).of(np.array([1, 4, 5]))
    assert part.samples.labels.tolist() == [1, 4, 5] and part.samples.aux["loss"].tolist() == [0.5, 2, 2.5]
    assert part.scores["reward"].tolist() == [3, 12, 15] and part.places.tolist() == [1, 4, 5]
    assert part.ballots.rows.tolist() == [1, 1, 2] and part.ballots.judges == ("a", "b", "b")
    assert part.of(np.array([0, 2])).places.tolist() == [1, 5]


# -- too few -----------------------------------------------------------------------------------------------------------


def test_where_too_few_are_good_the_study_stops_or_chance_adds_others():
    pool = pool_of([-1, 2, -3, 4, -5, -6, -7, -8, -9, -1])
    with pytest.raises(ValueError, match=r"selector 'good': found 2 of 10 samples good enough, wanted are 6; .*top_up"):
        verb.select([step("good", share=0.6)], pool, 1)
    found = verb.select([step("good", share=0.6)], pool, 1, "top_up")
    assert len(found.rows) == 6 and {1, 3} < set(found.rows) and (np.diff(found.rows) > 0).all()
    assert [found.reasons[at] for at, row in enumerate(found.rows) if row in (1, 3)] == ["positive"] * 2
    assert found.reasons.count(verb.TOPPED_UP) == 4 and np.isnan(found.scores).sum() == 4
    np.testing.assert_allclose(sorted(found.weights), np.array([1, 1, 1, 1, 2, 4]) * 6 / 10)
    chain = verb.select([step("good", share=0.6), step("random", share=0.5)], pool, 1, "top_up")
    chances = [row not in (1, 3) for row in chain.rows]  # what chance has added says so to the end of the chain
    assert [reason.startswith(verb.TOPPED_UP) for reason in chain.reasons] == chances
    others = {tuple(verb.select([step("good", share=0.6)], pool, seed, "top_up").rows) for seed in range(20)}
    assert len(others) > 5  # by chance


# -- the control -------------------------------------------------------------------------------------------------------


def kept_table(rows, weights=None):
    rows = np.asarray(rows)
    return KeptTable(rows, np.full(len(rows), np.nan), ("",) * len(rows), "somebody", {}, weights)


def test_chance_keeps_as_many_of_each_class_as_the_selector_did():
    labels = np.repeat(np.arange(4), 25)
    rows = np.concatenate([np.arange(0, 20), np.arange(25, 31), np.arange(99, 100)])  # 20, 6, 0 and 1
    own = np.random.default_rng(1).permutation(labels)
    pool = pool_of(range(100), own, twin=Twin(labels, kept_table(rows)))
    found = verb.select([step("yoked", count=27)], pool, 1)
    assert np.bincount(own[found.rows], minlength=4).tolist() == [20, 6, 0, 1]
    assert not np.array_equal(found.rows, verb.select([step("yoked", count=27)], pool, 2).rows)
    few = np.where(own == 0, np.where(np.arange(100) % 2, 0, 3), own)  # of class 0 there are not enough here
    lacking = verb.select([step("yoked", count=27)], pool_of(range(100), few, twin=pool.twin), 1)
    assert len(lacking.rows) == 27 and np.bincount(few[lacking.rows])[0] == (few == 0).sum()
    plain = verb.select([step("yoked", count=27)], pool_of(range(100), twin=Twin(None, kept_table(rows))), 1)
    assert len(plain.rows) == 27 and plain.weights is None
    weights = np.arange(1, 28) / 7
    weighed = replace(pool, twin=Twin(labels, kept_table(rows, weights)))
    found = verb.select([step("yoked", count=27)], weighed, 1)
    np.testing.assert_allclose(np.sort(found.weights), weights / weights.mean())  # whoever is weighed, it is chance


STUDY = {
    "name": "selected",
    "seeds": 2,
    "generations": 2,
    "data": {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 50}},
    "models": {"m": {"gaussian": {"ddof": 0}}},
    "initial": {"real": 40},
    "samples": 80,
    "extractors": ["identity"],
    "metrics": ["recall"],
    "primary": {"metric": "recall", "extractor": "identity"},
    "arms": {
        "all": {"model": "m", "regime": "fully_synthetic"},
        "chance": {"model": "m", "regime": "fully_synthetic", "select": {"random": {"share": 0.5}}},
        "two": {
            "model": "m",
            "regime": {"algebra": {"synthetic": [{"n": 40, "of": "two"}]}},
            "select": [{"random": {"share": 0.75}}, {"verifier": {"phi": 1, "psi": 0, "share": 0.75}}],
        },
    },
}


def study(tmp_path, **changes):
    path = tmp_path / "selected.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}))
    return studies.load(path)


def with_truth(tmp_path, **changes):
    """The study with a known truth that judges, as the verifier asks for."""
    data = {"population": {"two-classes": {"dimension": 2}}, "split": {"held_out": 50}}
    return study(tmp_path, data=data, models={"m": {"linear-classifier": {}}}, **changes)


def test_every_arm_with_a_selector_has_a_control_that_is_like_it_but_for_who_keeps(tmp_path):
    found = with_truth(tmp_path)
    assert found.yoked == {"yoked_two": "two"}  # chance needs none
    arm, chance = found.lineages["two"], found.lineages["yoked_two"]
    assert found.kept("two") == found.kept("yoked_two") == round(0.75 * round(0.75 * 80))
    assert (chance.base, chance.model, chance.stream) == (arm.base, arm.model, arm.stream)
    for t in range(3):  # what the arm eats of itself the control eats of itself
        mine, its = found.recipe("two", t), found.recipe("yoked_two", t)
        eaten = [(d.arm, d.generation, d.count) for d in mine.draws]
        assert [("two" if d.arm == "yoked_two" else d.arm, d.generation, d.count) for d in its.draws] == eaten
    inputs = jobs.inputs(found, "select", jobs.Place("yoked_two", 1, 1))
    assert {found.cell("two", 1, 1, "kept.parquet"), found.cell("yoked_two", 1, 1, "samples.safetensors")} <= {*inputs}
    assert found.controls["yoked_two"] == found.controls["two"]
    assert not with_truth(tmp_path, yoked=False).yoked


def test_a_name_that_a_control_of_selectors_would_have_is_refused(tmp_path):
    arms = {"yoked_two": STUDY["arms"]["all"]}
    with pytest.raises(studies.BadStudy, match="begins as the controls of selectors do"):
        study(tmp_path, arms=arms)
    study(tmp_path, arms=arms, yoked=False)
    with pytest.raises(studies.BadStudy, match="'yoked' is the control that arms with a selector get by themselves"):
        study(tmp_path, arms={"own": {**STUDY["arms"]["all"], "select": {"yoked": {"count": 3}}}})


# -- weights -----------------------------------------------------------------------------------------------------------


def test_the_weights_of_a_selector_multiply_those_of_the_regime_in_the_model_that_is_fitted(tmp_path):
    rows, weights = np.array([1, 2, 4]), np.array([0.5, 2.0, 4.0])
    sets = {"s": SampleSet(np.arange(5.0)[:, None]), "r": SampleSet(10 + np.arange(3.0)[:, None])}
    stored = {
        ("own", 0): compose.Rows(sets["s"], "s", "1", kept_table(rows, weights)),
        ("fixed", 0): compose.Rows(sets["r"], "r", "2"),
    }
    synthetic = Reference("1", "s", np.array([4, 1]), "synthetic", "own", 0, None, 3.0)
    table = TrainingTable((Reference("2", "r", np.array([2]), "real", "fixed", 0, None, 1.0), synthetic))
    weighed = compose.row_weights(table, stored.values())
    store.write_training(tmp_path / "t.parquet", weighed)
    weighed = store.read_training(tmp_path / "t.parquet")
    found = train.weighted(train.rows_of(weighed, sets), weighed)
    assert found.data[:, 0].tolist() == [12, 4, 1] and found.weights.tolist() == [1, 3 * 4, 3 * 0.5]
    plain = train.rows_of(table, sets)
    assert compose.row_weights(table, [stored["fixed", 0]]) is table and train.weighted(plain, table) is plain


def test_only_what_eats_weighed_rows_depends_on_how_they_are_weighed(tmp_path, monkeypatch):
    monkeypatch.setitem(SELECTORS, "good", GOOD)
    arms = {**STUDY["arms"], "two": {**STUDY["arms"]["all"], "select": {"good": {"share": 0.5}}}}
    found = study(tmp_path, arms=arms)
    eats = {arm: [found.eats_weighted(arm, t) for t in range(3)] for arm in found.lineages}
    assert {arm for arm, said in eats.items() if any(said)} == {"two", "yoked_two"}
    assert eats["two"] == [False, True, True]
    source = {arm: jobs.roots(found, "train", jobs.Place(arm, 0, 1)) for arm in ("all", "two")}
    assert not any("weighted" in root for root in source["all"]) and any("weighted" in one for one in source["two"])


def test_an_arm_in_which_everything_is_kept_and_weighted_says_so_and_as_how_many_rows_it_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steep, half = {"weighted": {"extractor": "identity", "strength": 2}}, {"random": {"share": 0.5}}
    detector = {"detector": {"extractor": "identity", "share": 0.5}}
    said = {"steep": steep, "chain": [half, steep], "takes": detector}
    base = {"model": "m", "regime": {"fully_synthetic": {"n": 40}}}
    primary = {"waive": {"primary_space": "it is only run"}, "yoked": False, "seeds": 1, "generations": 1}
    found = study(tmp_path, arms={name: {**base, "select": one} for name, one in said.items()}, **primary)
    told = {arm: composed.about(found, arm).partition("else, ")[2] for arm in said}
    assert told == {
        "steep": "weighted by weighted",
        "chain": "selected by random, weighted by weighted",
        "takes": "selected by detector",
    }
    found = study(tmp_path, arms={"steep": {**base, "select": steep}}, **primary, control="none")
    in_process.run(found)
    counted = selected.counted(found)
    assert {arm: [*of] for arm, of in counted.items()} == {"steep": [0, 1]}
    weights = store.read_kept(found.cell("steep", 0, 1, "kept.parquet"))
    assert counted["steep"][1] == weights.lineage["effective"] / 80 == verb.effective(weights.weights) / 80 < 0.9
    (words,) = sections.counted({"steep": {0: 0.5, 1: 0.25}})
    assert words.endswith("rows that all weigh alike: 50.0% of them at generation 0, 25.0% of them at generation 1.")


# -- the verb ----------------------------------------------------------------------------------------------------------


def test_the_verb_says_how_many_chance_has_added_and_what_was_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SELECTORS, "good", GOOD)
    samples, out = tmp_path / "samples.safetensors", tmp_path / "kept.parquet"
    store.write_samples(samples, SampleSet(np.array([[-1.0], [2.0], [-3.0], [4.0]])))
    said = [{"good": {"share": 0.75}}]
    words = ["select", "--samples", str(samples), "--study-seed", "1", "--seed", "0", "--generation", "0"]
    words += ["--selectors", json.dumps(said), "--out", str(out)]
    assert frame.run(words) == 2 and "wanted are 3" in capsys.readouterr().err and not out.exists()
    assert frame.run([*words, "--too-few", "top_up"]) == 0
    kept = store.read_kept(out)
    assert kept.lineage["topped_up"] == 1 and kept.lineage["selectors"] == said and len(kept.weights) == 3


def test_weights_that_come_down_to_a_few_rows_are_told_and_all_say_what_they_count_as(tmp_path, capsys):
    """Two texts of a hundred have three of the liked token, the others one: weights e^(3 s) and e^s."""
    samples, out = tmp_path / "samples.safetensors", tmp_path / "kept.parquet"
    texts = np.tile([1, 0, 0, 0], (100, 1)).astype(np.int32)
    texts[:2] = [1, 1, 1, 0]
    store.write_samples(samples, SampleSet(texts))
    words = ["select", "--samples", str(samples), "--study-seed", "1", "--seed", "0", "--generation", "0"]

    def kept(said):
        assert frame.run([*words, "--selectors", json.dumps([said]), "--out", str(out)]) == 0
        return store.read_kept(out).lineage, capsys.readouterr().err

    liked = {"reward": {"token_worth": {"worth": {1: 1.0}}}}
    for strength, warned in ((20, True), (2, True), (1, False), (0, False)):
        lineage, told = kept({"weighted": {**liked, "strength": strength}})
        weights = np.exp(strength * np.repeat([2.0, 0.0], [2, 98]))
        assert lineage["effective"] == pytest.approx(weights.sum() ** 2 / np.square(weights).sum())
        assert (lineage["effective"] < 10) == warned
        assert ("count as" in told and "a smaller strength, or a larger penalty" in told) == warned == bool(told)
    lineage, told = kept({"random": {"share": 0.5}})
    assert "effective" not in lineage and not told
    assert verb.effective(np.array([1e300, 1e300, 1e-300])) == 2
