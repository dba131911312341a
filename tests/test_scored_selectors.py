"""Selectors that keep by a score: that the score is what it says, and that order and labels have no part in it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from collapselab import study as studies
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features import Features
from collapselab.metrics import neighbours
from collapselab.metrics.memorisation import nearest_ratio
from collapselab.models import MODELS
from collapselab.select import SELECTORS
from collapselab.select.base import Pool, Seen
from collapselab.select.likelihood import log_density
from collapselab.store.cells import Cell
from collapselab.verbs import select as verbs

CELL = Cell("study", "arm", 0, 1)
RANDOM = np.random.default_rng(0)
TRAIN = RANDOM.normal(size=(300, 3)) @ np.diag([3.0, 1.0, 0.2])
ROWS = RANDOM.normal(size=(120, 3)) @ np.diag([4.0, 1.5, 0.4])


def pool_of(rows=ROWS, model=None, labels=None, train=TRAIN, **features):
    seen = Seen(Features(rows.astype(np.float64), **features), Features(train))
    split = SampleSet(train, None if labels is None else np.arange(len(train)) % 2)
    return Pool(SampleSet(rows, labels), CELL, {"identity": seen}, {}, model, train=split)


def kept(name, pool, seed=5, **options):
    entry = SELECTORS[name]
    return entry.select(pool, entry.Options(**{"share": 0.25} | options), seed)


def is_best(found, scores):
    """Whether a selection is the rows of the highest scores, which it gives."""
    assert set(found.rows) == set(np.argsort(-scores)[: len(found.rows)]) and (np.diff(found.rows) > 0).all()
    np.testing.assert_array_equal(found.scores, scores[found.rows])


def gaussian():
    return MODELS["gaussian"].fit(TrainingSet(TRAIN, None, np.ones(300)), MODELS["gaussian"].Options(ddof=0), Run(0))


# -- what the score is -------------------------------------------------------------------------------------------------


def test_the_most_realistic_are_kept_or_the_first_that_are_realistic():
    scores = neighbours.realism(TRAIN, ROWS, k=3)
    is_best(kept("realism", pool_of(), extractor="identity"), scores)
    found = kept("realism", pool_of(), extractor="identity", least=1.0)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(scores >= 1)[:30])
    copy = pool_of(np.concatenate([ROWS[:3] + 20, TRAIN[:1]]))
    found = kept("realism", copy, extractor="identity")
    assert found.rows.tolist() == [3] and np.isinf(found.scores).all()  # a copy is realistic without end


def test_the_rarest_that_are_realistic_are_kept_and_the_others_never():
    radii = neighbours.rarity(TRAIN, ROWS, k=5)
    inside = np.flatnonzero(~np.isnan(radii))
    assert 10 < len(inside) < 110
    rare = kept("rarity", pool_of(), extractor="identity", k=5, share=0.1)
    common = kept("rarity", pool_of(), extractor="identity", k=5, share=0.1, end="common")
    assert set(rare.rows) == set(inside[np.argsort(-radii[inside])[:12]])
    assert set(common.rows) == set(inside[np.argsort(radii[inside])[:12]])
    np.testing.assert_array_equal(common.scores, radii[common.rows])
    assert len(kept("rarity", pool_of(), extractor="identity", k=5, share=1.0).rows) == len(inside)  # too few


def test_copies_are_dropped_and_what_is_new_is_kept_in_order():
    rows = ROWS.copy()
    rows[::4] = TRAIN[:30] + 1e-6
    found = kept("novelty", pool_of(rows), extractor="identity", alpha=0.3, share=1.0)
    ratio = nearest_ratio(TRAIN, rows)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(ratio >= 0.3))
    assert not np.isin(np.arange(0, 120, 4), found.rows).any() and len(found.rows) > 30
    assert len(kept("novelty", pool_of(rows), extractor="identity", alpha=0.3, share=0.1).rows) == 12


def test_likelihood_is_the_models_own_and_either_end_or_neither():
    model = gaussian()
    scores = model.log_likelihood(ROWS, 0)
    expected = multivariate_normal(TRAIN.mean(0), np.cov(TRAIN.T, ddof=0)).logpdf(ROWS)
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    is_best(kept("likelihood", pool_of(model=model)), scores)
    bottom, lot = (kept("likelihood", pool_of(model=model), end=end) for end in ("bottom", "random"))
    assert set(bottom.rows) == set(np.argsort(scores)[:30]) and (bottom.scores == scores[bottom.rows]).all()
    assert set(lot.rows) not in (set(bottom.rows), set(np.argsort(-scores)[:30])) and len(lot.rows) == 30
    assert not np.array_equal(lot.rows, kept("likelihood", pool_of(model=model), seed=6, end="random").rows)


def test_a_latent_filter_is_a_normal_law_of_the_training_features():
    """With as many rows as here the covariance is hardly shrunken; the density is that of its own moments."""
    density = log_density(Features(TRAIN), Features(ROWS))
    expected = multivariate_normal(TRAIN.mean(0), np.cov(TRAIN.T, ddof=0)).logpdf(ROWS)
    assert np.corrcoef(density, expected)[0, 1] > 0.98 and abs(density - expected).max() < 0.05 * np.ptp(expected)
    assert density[:40].mean() == pytest.approx(expected[:40].mean(), abs=0.2)  # in the units of the features
    is_best(kept("latent_filter", pool_of(), extractor="identity"), density)
    is_best(kept("latent_filter", pool_of(), extractor="identity", by="realism"), neighbours.realism(TRAIN, ROWS, k=3))
    few = log_density(Features(TRAIN[:2]), Features(ROWS))  # of fewer rows than dimensions it is a density still
    assert np.isfinite(few).all()
    labels = np.arange(120) % 2
    train = TRAIN + 8 * (np.arange(300) % 2)[:, None]
    by_class = kept("latent_filter", pool_of(labels=labels, train=train), extractor="identity", within="class", share=1)
    for label in (0, 1):
        own = log_density(Features(train[label::2]), Features(ROWS[label::2]))
        np.testing.assert_allclose(by_class.scores[label::2], own, rtol=1e-12)
    with pytest.raises(ValueError, match="within: found class, and data without labels; allowed is all"):
        kept("latent_filter", pool_of(), extractor="identity", within="class")


def test_a_classifier_keeps_what_it_is_surest_of():
    shares = RANDOM.dirichlet(np.ones(4), 120)
    labels = np.arange(120) % 4
    pool = pool_of(labels=labels, probabilities=shares)
    pool = replace(pool, seen={"lenet": pool.seen["identity"]})
    is_best(kept("classifier", pool), shares.max(axis=1))
    is_best(kept("classifier", pool, of="label"), shares[np.arange(120), labels])
    found = kept("classifier", pool, least=0.6)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(shares.max(axis=1) >= 0.6)[:30])
    with pytest.raises(ValueError, match="of: found labels none, allowed are 0 to 3, or of: any"):
        kept("classifier", replace(pool, samples=SampleSet(ROWS)), of="label")


@pytest.mark.trained
def test_a_discriminator_tells_real_rows_from_far_ones_and_order_has_no_part():
    from torch_families import options_of

    options = options_of("gan", hidden=32, batch=50, learning_rate=5e-3)
    data = TrainingSet(TRAIN, None, np.ones(300))
    model = MODELS["gan"].fit(data, options, Run(1, images_seen=4_000))
    rows = np.concatenate([TRAIN[:60], TRAIN[:60] + np.array([0, 0, 6.0])])  # thirty deviations away
    logits = model.realness(rows, None)
    assert (logits[:60, None] > logits[60:]).mean() > 0.95
    is_best(kept("discriminator", pool_of(rows, model)), logits)
    assert (kept("discriminator", pool_of(rows, model)).rows < 60).mean() > 0.9
    fake = kept("discriminator", pool_of(rows, model), end="fake")
    assert set(fake.rows) == set(np.argsort(logits)[:30]) and (fake.scores == logits[fake.rows]).all()


@pytest.mark.trained
def test_the_deviation_of_a_minibatch_is_that_of_the_pool():
    """Of images that are all alike it is none, as of groups of equal images; it hangs from no order."""
    from torch_families import images, options_of

    model = MODELS["stylegan2"].fit(images(), options_of("stylegan2"), Run(1, images_seen=64))
    alike = np.repeat(images().data[:1], 12, axis=0)
    labels = np.zeros(12, np.int64)
    logits = model.realness(alike, labels)
    assert np.ptp(logits) < 1e-5
    order = np.random.default_rng(0).permutation(12)
    data, told = images().data[:12], np.asarray(images().labels[:12])
    whole = model.realness(data, told)
    np.testing.assert_allclose(model.realness(data[order], told[order]), whole[order], atol=1e-4)
    with pytest.raises(ValueError, match="discriminator: found none in the model"):
        replace(model, discriminator={}).realness(data, told)


# -- order -------------------------------------------------------------------------------------------------------------

ORDERLESS = {
    "realism": {"extractor": "identity"},
    "rarity": {"extractor": "identity", "k": 5, "share": 0.1},
    "latent_filter": {"extractor": "identity"},
    "likelihood": {},
    "classifier": {"extractor": "identity"},
}


@pytest.mark.parametrize("name", ORDERLESS)
def test_the_best_are_the_same_samples_in_whatever_order_they_stand(name):
    shares = np.stack([1 / (1 + np.exp(ROWS[:, 0])), 1 / (1 + np.exp(-ROWS[:, 0]))], axis=1)
    order = np.random.default_rng(3).permutation(len(ROWS))
    whole = kept(name, pool_of(model=gaussian(), probabilities=shares), **ORDERLESS[name])
    turned = kept(name, pool_of(ROWS[order], gaussian(), probabilities=shares[order]), **ORDERLESS[name])
    assert set(order[turned.rows]) == set(whole.rows) and len(whole.rows)


@pytest.mark.parametrize("name", ["realism", "latent_filter", "likelihood"])
def test_of_equal_samples_the_first_are_kept(name):
    rows = np.repeat(ROWS[:1], 20, axis=0)
    assert kept(name, pool_of(rows, gaussian()), **ORDERLESS[name]).rows.tolist() == [0, 1, 2, 3, 4]


def test_a_likelihood_that_is_no_number_is_refused():
    class Void:
        def log_likelihood(self, data, seed, *, steps, probes):
            return np.where(np.arange(len(data)) == 2, np.nan, 0.0)

    with pytest.raises(ValueError, match=r"scores: found 1 of 120 that are no numbers \(nan\), allowed are numbers"):
        kept("likelihood", pool_of(model=Void()))


# -- what a study is told before any work ------------------------------------------------------------------------------

STUDY = """
name: told
seeds: 1
generations: 1
data: {source: digits, split: {train: 100, held_out: 100}}
models: {linear: {ppca: {components: 3, ddof: 0}}, tiny: {diffusion: {preset: tiny}}, net: {gan: {}}}
initial: {real: 50}
samples: 100
extractors: [pixels]
metrics: [frechet_distance]
primary: {metric: frechet_distance, extractor: pixels}
control: none
arms:
  one: {model: MODEL, regime: {fully_synthetic: {n: 50}}, select: SELECT}
"""
FAULTS = {
    "{discriminator: {share: 0.5}}": "against a discriminator and keeps it, and 'ppca' is no such model; "
    "families that are: gan, stylegan2",
    "{hallucination: {share: 0.5}}": "a model that makes samples by taking noise away step by step, and ",
    "{classifier: {share: 0.5, extractor: random-conv}}": "reads probabilities",
    "{realism: {share: 0.5, extractor: pixels}}": "measure the endpoint in another feature space",
    "{realism: {share: 0.5, extractor: nobody}}": "nobody",
    "{reward: {share: 0.5, rewards: [{coordinate: {}}]}}": "'coordinate' takes vectors; the study's data are images",
    "{reward: {share: 0.5, rewards: [{class: {extractor: random-conv}}]}}": "'class' reads probabilities",
    "{reward: {share: 0.5, rewards: [{linear_head: {file: none.npz, extractor: lenet}}]}}": "no such file: 'none.npz'",
    "{reward: {share: 0.5, rewards: [{jpeg_size: {quality: 200}}]}}": "jpeg_size.quality",
    "{reward: {share: 0.5, rewards: [{nothing: {}}]}}": "nothing",
    "{reward: {share: 0.5, rewards: [brightness], mixture: [0.5, 0.5]}}": "mixture: found 2 shares",
}


def faults_of(tmp_path, select, model="linear"):
    (tmp_path / "told.yaml").write_text(STUDY.replace("SELECT", select).replace("MODEL", model))
    with pytest.raises(studies.BadStudy) as caught:
        studies.load(tmp_path / "told.yaml")
    return str(caught.value)


@pytest.mark.parametrize("select", FAULTS)
def test_what_cannot_work_is_a_fault_of_the_study(tmp_path, select):
    assert FAULTS[select] in faults_of(tmp_path, select)


def test_what_can_work_is_none(tmp_path):
    chosen = [
        ("linear", "{reward: {share: 0.5, rewards: [{class: {label: 3}}, brightness], by: top_fraction}}"),
        ("linear", "[{likelihood: {share: 0.8}}, {latent_filter: {share: 0.5, extractor: random-conv}}]"),
        ("tiny", "{hallucination: {share: 0.5}}"),
        ("net", "{discriminator: {share: 0.5}}"),
    ]
    for model, select in chosen:
        text = STUDY.replace("SELECT", select).replace("MODEL", model).replace("n: 50", "n: 40")
        (tmp_path / "told.yaml").write_text(text)
        study = studies.load(tmp_path / "told.yaml")
        assert study.kept("one") >= 40


def test_only_who_asks_a_discriminator_hangs_on_what_it_says(tmp_path):
    """An edit of it trains no model again, and selects again where it was asked."""
    from collapselab.store.provenance.source import reached_from
    from collapselab.study.jobs import JOBS
    from collapselab.study.jobs.base import Place

    text = STUDY.replace("SELECT", "{discriminator: {share: 0.5}}").replace("MODEL", "net")
    (tmp_path / "told.yaml").write_text(text.replace("n: 50", "n: 40"))
    study = studies.load(tmp_path / "told.yaml")
    for job in ("train", "sample", "select"):
        modules = {one.module for one in reached_from(JOBS[job].roots(study, Place("one", 0, 1)))}
        assert "collapselab.models.gan.training" in modules
        assert ("collapselab.models.gan.critic" in modules) == (job == "select")


def test_another_head_in_the_same_file_chooses_anew(tmp_path, monkeypatch):
    """Its bytes count like an option: they are among the reasons for which the job runs again."""
    from collapselab.study.jobs import JOBS
    from collapselab.study.jobs.base import Place

    monkeypatch.chdir(tmp_path)
    np.savez("head.npz", weight=np.ones(84))
    select = "{reward: {share: 0.5, rewards: [{linear_head: {file: head.npz, extractor: lenet}}]}}"
    (tmp_path / "told.yaml").write_text(STUDY.replace("SELECT", select).replace("MODEL", "linear"))
    study, found = studies.load(tmp_path / "told.yaml"), []
    for scale in (1, 2):
        np.savez("head.npz", weight=scale * np.ones(84))
        found.append(JOBS["select"].outside(study, Place("one", 0, 1)))
    assert found[0].keys() == found[1].keys() == {"head.npz"} and found[0] != found[1]


@pytest.mark.trained
def test_the_verbs_make_samples_again_and_choose_by_a_head_in_a_file(tmp_path, monkeypatch):
    """On disk: the path of samples that ``sample`` has written is watched by ``select``, from what their file says."""
    from test_oracles import verb
    from torch_families import options_of

    from collapselab import store
    from collapselab.models.files import write_model

    monkeypatch.chdir(tmp_path)
    options = options_of("diffusion", preset="points", flip=False, classes=0, steps=8, sample_batch=16)
    model = MODELS["diffusion"].fit(TrainingSet(TRAIN, None, np.ones(300)), options, Run(1, images_seen=64))
    write_model(tmp_path / "model.safetensors", "diffusion", model, {})
    dice = {"study_seed": 3, "seed": 1, "generation": 2}
    verb("sample", model="model.safetensors", count=30, stream=4, sampling_bias=1, out="samples.safetensors", **dice)
    given = {"samples": "samples.safetensors", "model": "model.safetensors", "out": "kept.parquet"}
    select = '[{"hallucination": {"share": 0.5, "window": [0.25, 1.0]}}]'
    verb("select", selectors=select, **given, **dice)
    found = store.read_kept(tmp_path / "kept.parquet")
    samples = store.read_samples(tmp_path / "samples.safetensors")
    pool = Pool(samples, CELL, model=model, ask=verbs.asked_for(samples, 3))
    expected = kept("hallucination", pool, share=0.5, window=(0.25, 1.0))
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)
    with pytest.raises(ValueError, match="30 of 30 samples that are others when they are made again"):
        kept("hallucination", replace(pool, ask=verbs.asked_for(samples, 4)), share=0.5, window=(0.25, 1.0))
    np.savez("head.npz", weight=np.array([0.0, 1.0, 0.0]))
    store.write_samples(tmp_path / "train.safetensors", SampleSet(TRAIN))
    said = {"file": "head.npz", "extractor": "identity"}
    select = json.dumps([{"reward": {"share": 0.5, "by": "top_fraction", "rewards": [{"linear_head": said}]}}])
    look = {"extractor": "identity", "train": "train.safetensors", "out": "liked.parquet"}
    verb("select", selectors=select, samples="samples.safetensors", **look, **dice)
    liked = store.read_kept(tmp_path / "liked.parquet")
    is_best(liked, samples.data[:, 1])
    assert list(liked.lineage["files"]) == ["head.npz"] and len(liked.lineage["files"]["head.npz"]) == 64
