"""What a sampler was unsure of: paths are watched without a change, and what lies between modes is found by them.

The toy is exact: three modes, and the posterior mean of them with responsibilities that a noise level below ``floor``
does not sharpen, as a network's cannot be. It stands in for the network in the real sampler, under the real selector.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

torch = pytest.importorskip("torch")

from torch_families import images, options_of  # noqa: E402

from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import SampleSet  # noqa: E402
from collapselab.engine.scale import Scale  # noqa: E402
from collapselab.engine.watching import Watching  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.diffusion import sampling  # noqa: E402
from collapselab.select import SELECTORS  # noqa: E402
from collapselab.select.base import Pool  # noqa: E402
from collapselab.select.hallucination import watched  # noqa: E402
from collapselab.store.cells import Cell  # noqa: E402

ENTRY = SELECTORS["hallucination"]
CELL = Cell("study", "arm", 0, 1)
MODES, SD = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), 0.02


class Limited:
    """D(x; sigma) = sum over modes m of r_m (sd^2 x + sigma^2 m) / (sd^2 + sigma^2), r_m with sigma floored."""

    levels = (0.002, 80.0)

    class parameterised:
        sigmas = None

    def __init__(self, floor, modes=MODES, sd=SD):
        self.floor, self.modes, self.sd = floor, modes, sd

    def __call__(self, x, sigma, condition=None):
        blurred = self.sd**2 + torch.clamp(sigma, min=self.floor) ** 2
        responsibilities = (-((x - self.modes) ** 2) / (2 * blurred)).softmax(dim=1)
        each = (self.sd**2 * x + sigma**2 * self.modes) / (self.sd**2 + sigma**2)
        return (responsibilities * each).sum(dim=1, keepdim=True)


def of(monkeypatch, denoiser, **options):
    """A diffusion model of one number whose network is a formula."""
    monkeypatch.setattr(sampling, "denoiser_of", lambda *given: denoiser)
    family = MODELS["diffusion"]
    said = family.Options(preset="points", sample_batch=2000, **options)
    return family(said, (1,), {}, {}, scale=Scale(np.zeros(1), np.ones(1)))


def pool_of(model, count, seed=3):
    ask = Ask(count, seed)
    return Pool(model.sample(ask), CELL, model=model, ask=ask)


def between(pool):
    """Which samples lie more than six deviations from every mode."""
    return np.abs(pool.samples.data - MODES.numpy()).min(axis=1) > 6 * SD


@pytest.mark.parametrize(("sampler", "last"), [("heun", 0.8), ("ddim", 0.97)])
def test_what_lies_between_modes_is_found_on_the_last_part_of_the_path(monkeypatch, sampler, last):
    """AUC .97 or more, and .92 of them at 96 % kept, at a floor of .3; a wrong window is no better than chance."""
    pool = pool_of(of(monkeypatch, Limited(0.3), sampler=sampler, steps=200), 8000)
    off = between(pool)
    assert 60 < off.sum() < 240  # 1 to 3 % of what it makes
    late = watched(pool, ENTRY.Options(share=0.5, window=(last, 1.0), by="laplacian"))
    assert roc_auc_score(off, late.variance) > 0.97
    if sampler == "heun":
        assert (late.variance[off] > np.quantile(late.variance[~off], 0.96)).mean() > 0.92
    assert roc_auc_score(off, late.slope) > 0.99  # which needs no such care: see the half below
    wrong = watched(pool, ENTRY.Options(share=0.5, window=(0.0, 1.0)))
    assert roc_auc_score(off, wrong.variance) < 0.55 and np.isnan(wrong.slope).all()
    if sampler == "ddim":
        half = watched(pool, ENTRY.Options(share=0.5, window=(0.5, 1.0), by="laplacian"))
        assert roc_auc_score(off, half.slope) > 0.99 and roc_auc_score(off, half.variance) < 0.6


@pytest.mark.parametrize("by", ["variance", "laplacian"])
def test_the_selector_drops_them_and_chance_does_not(monkeypatch, by):
    pool = pool_of(of(monkeypatch, Limited(0.3), steps=100), 6000)
    off = between(pool)
    found = ENTRY.select(pool, ENTRY.Options(share=0.95, by=by, window=(0.75, 1.0)), 5)
    assert len(found.rows) == 5700 and off[found.rows].sum() < 0.1 * off.sum()
    dropped = np.setdiff1d(np.arange(6000), found.rows)
    assert off[dropped].sum() > 0.9 * off.sum() > 50
    rest = watched(pool, ENTRY.Options(share=0.95, by=by, window=(0.75, 1.0)))
    scores = rest.variance if by == "variance" else rest.slope
    np.testing.assert_array_equal(found.scores, scores[found.rows])
    assert scores[dropped].min() >= scores[found.rows].max()


def test_an_exact_denoiser_leaves_nothing_between(monkeypatch):
    assert not between(pool_of(of(monkeypatch, Limited(0.0), steps=200), 4000)).any()


def test_the_slope_of_a_normal_law_is_that_of_its_formula(monkeypatch):
    """tr dD/dx = v / (v + sigma^2) for N(m, v), which a finite difference has exactly, whatever it is probed by."""
    v, steps = 0.25, 16
    single = Limited(0.0, torch.tensor([0.5], dtype=torch.float64), v**0.5)
    model = of(monkeypatch, single, steps=steps)
    pool = pool_of(model, 50)
    levels = sampling.noise_levels(model.options, None)[:-1].numpy()
    for begin in (0.0, 0.5):
        found = watched(pool, ENTRY.Options(share=1, window=(begin, 1.0), by="laplacian", probes=2))
        seen = levels[round(begin * steps) :]
        np.testing.assert_allclose(found.slope, (v / (v + seen**2)).mean(), rtol=1e-9)


def test_the_variance_is_that_of_the_steps_themselves(monkeypatch):
    """Step by step (Welford) it is what the kept path would give, of first evaluations alone."""
    model, seen = of(monkeypatch, Limited(0.3), steps=20), []
    pool = pool_of(model, 30)
    plain = Limited.__call__

    def noted(self, x, sigma, condition=None):
        denoised = plain(self, x, sigma)
        seen.append((float(sigma), denoised[:30].clone()))
        return denoised

    monkeypatch.setattr(Limited, "__call__", noted)
    found = watched(pool, ENTRY.Options(share=1, window=(0.7, 1.0)))
    # Heun asks again at the level where a step ends, which the next step then begins with.
    first = [one for index, one in enumerate(seen) if index == 0 or index % 2 == 0]
    path = torch.stack([denoised for _, denoised in first[-6:]])
    np.testing.assert_allclose(found.variance, path.var(dim=0, correction=0).mean(dim=1), rtol=1e-9)


@pytest.fixture(scope="module")
def trained():
    options = options_of("diffusion", steps=6, sample_batch=8)
    return MODELS["diffusion"].fit(images(), options, Run(1, images_seen=64))


@pytest.mark.trained
@pytest.mark.parametrize(("sampler", "chosen"), [("heun", {"churn": 3.0}), ("ddim", {"eta": 1.0}), ("heun", {})])
def test_watching_changes_no_bit_of_a_trained_models_samples(trained, sampler, chosen):
    model = replace(trained, options=trained.options.model_copy(update={"sampler": sampler, **chosen}))
    ask = Ask(21, 5)  # two batches and a part
    plain = model.sample(ask)
    for probes in (0, 2):
        watch = Watching(0.5, 1.0, probes)
        np.testing.assert_array_equal(model.sample(replace(ask, guide=watch)).data, plain.data)
        path = watch.path(21)
        assert path.variance.shape == path.slope.shape == (21,) and (path.variance > 0).all()
        assert np.isfinite(path.slope).all() == (probes > 0)


@pytest.mark.trained
def test_of_a_part_of_a_pool_the_same_paths_are_watched(trained):
    pool = pool_of(trained, 20)
    options = ENTRY.Options(share=0.5, window=(0.5, 1.0))
    rows = np.array([2, 3, 11, 19])
    np.testing.assert_array_equal(watched(pool.of(rows), options).variance, watched(pool, options).variance[rows])


@pytest.mark.trained
def test_samples_that_come_out_otherwise_are_not_watched_and_altered_ones_are_let_be(trained):
    pool = pool_of(trained, 12)
    changed = pool.samples.data.copy()
    changed[[1, 4]] = 255 - changed[[1, 4]]
    options = ENTRY.Options(share=0.5)
    with pytest.raises(ValueError, match="found 2 of 12 samples that are others when they are made again"):
        ENTRY.select(replace(pool, samples=SampleSet(changed)), options, 5)
    altered = np.isin(np.arange(12), [1, 4])
    known = replace(pool, samples=SampleSet(changed, aux={"altered": altered}))
    np.testing.assert_array_equal(ENTRY.select(known, options, 5).rows, ENTRY.select(pool, options, 5).rows)
    with pytest.raises(ValueError, match=r"window: found 0\.9 to 1 of the path, in which fewer than two steps begin"):
        ENTRY.select(pool, ENTRY.Options(share=0.5, window=(0.9, 1.0)), 5)
