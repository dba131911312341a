"""The table of hallucinations: what each detector finds on each part of the path, where the truth says what is one.

Denoisers are formulas: the posterior mean of known modes, with responsibilities that a noise level below ``floor`` does
not sharpen, as a network's cannot be. Sampler, watching, known truths and the table are the real ones.
"""

import json
from pathlib import Path

import in_process
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

torch = pytest.importorskip("torch")

from collapselab import study as studies  # noqa: E402
from collapselab.adapt import ADAPTERS  # noqa: E402
from collapselab.adapt.targets import Forget, target_of  # noqa: E402
from collapselab.cli import run as frame  # noqa: E402
from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.choice import Options  # noqa: E402
from collapselab.core.errors import Undefined  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import TrainingSet  # noqa: E402
from collapselab.engine.scale import Scale  # noqa: E402
from collapselab.engine.watching import Watching  # noqa: E402
from collapselab.features import Features  # noqa: E402
from collapselab.measure import hallucinations  # noqa: E402
from collapselab.metrics import recall  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.capabilities import Judgement  # noqa: E402
from collapselab.models.diffusion import sampling  # noqa: E402
from collapselab.populations import POPULATIONS  # noqa: E402
from collapselab.select import SELECTORS  # noqa: E402
from collapselab.select.base import Pool  # noqa: E402
from collapselab.store.cells import Cell  # noqa: E402
from collapselab.verbs import adapt as verb  # noqa: E402

WINDOWS = [(0.0, 1.0), (0.5, 1.0), (0.75, 1.0), (0.95, 1.0)]


class Limited:
    """D(x; sigma) = sum over modes m of r_m (sd^2 x + sigma^2 m) / (sd^2 + sigma^2), r_m with sigma floored."""

    levels = (0.002, 80.0)

    class parameterised:
        sigmas = None

    def __init__(self, modes, sd, floor):
        self.modes = torch.as_tensor(np.asarray(modes, np.float64).reshape(len(modes), -1))
        self.floor, self.sd = floor, sd

    def __call__(self, x, sigma, condition=None):
        rows = x.flatten(1).double()
        squares = torch.cdist(rows, self.modes, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        blurred = self.sd**2 + torch.clamp(sigma, min=self.floor) ** 2
        middle = (-squares / (2 * blurred)).softmax(dim=1) @ self.modes
        return ((self.sd**2 * rows + sigma**2 * middle) / (self.sd**2 + sigma**2)).reshape(x.shape)


class Line:
    """Three modes on a line, of which a sample is possible within six deviations."""

    masses = np.full(3, 1 / 3)

    def judge(self, data):
        far = np.abs(data - np.array([-1.0, 0.0, 1.0]))
        return Judgement(far.min(axis=1) <= 6 * 0.02, far.argmin(axis=1))


def of(monkeypatch, denoiser, shape, **options):
    """A diffusion model of rows of some shape whose network is a formula of unscaled rows."""
    monkeypatch.setattr(sampling, "denoiser_of", lambda *given: denoiser)
    family = MODELS["diffusion"]
    preset = "points" if len(shape) == 1 else "tiny"
    said = family.Options(preset=preset, **{"sample_batch": 2000, "classes": 0, "steps": 100} | options)
    width = shape[0] if len(shape) == 1 else 1
    scale = Scale(np.zeros(width), np.ones(width)) if len(shape) == 1 else None
    return family(said, shape, {}, {}, scale=scale)


def values_of(told):
    return {(row.detector, row.window): (row.auc, row.removed) for row in told.rows}


def test_the_table_of_three_modes_on_a_line(monkeypatch):
    """Aithal et al.'s toy: 200 levels that fall evenly in their logarithm, responsibilities as blunt as a floor of .3.

    Of 20,000 samples .0138 lie between modes; by variance the last half of the steps has an AUC of .994 and finds .975
    at 96 % kept, the whole path .386 and none: worse than chance. laplacian and dimension find them on any part.
    """
    even = {"sigma_min": 0.001, "sigma_max": 10.0, "rho": 100.0, "steps": 200}
    model = of(monkeypatch, Limited([[-1.0], [0.0], [1.0]], 0.02, 0.3), (1,), **even)
    told = hallucinations.told(model, Ask(6000, 3), Line(), [(0.0, 1.0), (0.5, 1.0)])
    assert told.share.low < 0.0138 < told.share.high
    found = values_of(told)
    late, whole = (0.5, 1.0), (0.0, 1.0)
    assert found["variance", late][0] >= 0.97 and found["variance", late][1] >= 0.92
    assert found["variance", whole][0] < 0.5 and found["variance", whole][1] < 0.05
    for detector in ("laplacian", "dimension"):
        assert min(found[detector, part][0] for part in (late, whole)) > 0.99
        assert min(found[detector, part][1] for part in (late, whole)) > 0.95
    for (name, window), scores in told.scores.items():
        assert found[name, window][0] == pytest.approx(roc_auc_score(~told.possible, scores), abs=1e-12)
        false, true, _ = roc_curve(~told.possible, scores, drop_intermediate=False)
        at_most = true[false <= 0.04].max()  # the quantile lies between two of the possible
        assert at_most <= found[name, window][1] + 1e-12 <= true[false >= 0.04].min() + 1e-12


def test_on_a_ring_of_modes_what_lies_between_is_found(monkeypatch):
    """Eight modes on a ring, the known truth of studies."""
    ring = POPULATIONS["gaussians"].population(POPULATIONS["gaussians"].PopulationOptions(layout="ring", sd=0.02))
    model = of(monkeypatch, Limited(ring.means, 0.02, 0.25), (2,), steps=100)
    found = values_of(told := hallucinations.told(model, Ask(6000, 5), ring, [(0.8, 1.0)], probes=2))
    assert 20 < (~told.possible).sum() < 600
    assert all(auc > 0.97 and removed > 0.9 for auc, removed in found.values()), found


def test_an_exact_denoiser_has_none_and_nothing_is_told(monkeypatch):
    told = hallucinations.told(
        of(monkeypatch, Limited([[-1.0], [1.0]], 0.02, 0), (1,)), Ask(500, 3), Line(), [(0.5, 1)]
    )
    assert told.rows == [] and told.possible.all() and float(told.share) == 0
    with pytest.raises(Undefined, match="found 0 positive and 500 negative"):
        hallucinations.roc_auc(told.scores["variance", (0.5, 1)], ~told.possible)


def test_the_dimension_of_a_normal_law_is_that_of_its_formula(monkeypatch):
    """d + d log p(y; s) / d log s: sum over j of v_j / (v_j + s^2) + s^2 y_j^2 / (v_j + s^2)^2, of N(0, diag v).

    The differences of a linear map are exact, and of a diagonal one any signs have its trace.
    """
    variances, calls = torch.tensor([1.0, 0.3, 1e-8], dtype=torch.float64), []

    class Normal(Limited):
        def __call__(self, x, sigma, condition=None):
            calls.append((float(sigma), x[:50].clone()))
            return x * variances / (variances + sigma**2)

    model = of(monkeypatch, Normal(np.zeros((1, 3)), 1, 0), (3,), sampler="ddim", steps=16)
    watch = Watching(0.5, 1.0, 0, 1)
    model.sample(Ask(50, 3, guide=watch))
    told = [calls[8 + 3 * step + 1] for step in range(8)]  # of the path, of the clean row, of what stands beside it
    expected = [
        (variances / (variances + s**2) + s**2 * y**2 / (variances + s**2) ** 2).mean(dim=1).numpy() for s, y in told
    ]
    np.testing.assert_allclose(watch.path(50).dimension, np.mean(expected, axis=0), rtol=1e-9)
    s, _ = told[-1]  # far below the wide directions, far above the narrow one: two dimensions are left
    assert s < 0.1 and np.median(expected[-1]) * 3 == pytest.approx(2, abs=0.05)


def test_the_selector_drops_them_by_dimension(monkeypatch):
    model = of(monkeypatch, Limited([[-1.0], [0.0], [1.0]], 0.02, 0.3), (1,))
    ask = Ask(6000, 3)
    pool = Pool(model.sample(ask), Cell("study", "arm", 0, 1), model=model, ask=ask)
    off = ~Line().judge(pool.samples.data).possible
    entry = SELECTORS["hallucination"]
    found = entry.select(pool, entry.Options(share=0.95, by="dimension", window=(0.75, 1.0)), 5)
    assert len(found.rows) == 5700 and off[found.rows].sum() < 0.1 * off.sum()
    assert off.sum() > 50


def test_the_auc_counts_ties_half_and_a_threshold_keeps_its_share():
    positive = np.array([True, True, False, False, False, False])
    scores = np.array([3.0, 1.0, 1.0, 0.0, 0.0, 2.0])
    assert hallucinations.roc_auc(scores, positive) == pytest.approx((4 + 2.5) / 8)
    assert hallucinations.removed(scores, positive, 0.5) == 1.0  # the median of 1, 0, 0, 2 is .5
    assert hallucinations.removed(scores, positive, 0.99) == 0.5
    json.dumps(hallucinations.Row("variance", (0.5, 1.0), 0.5, 0.5)._asdict())


# -- forgotten ---------------------------------------------------------------------------------------------------------


def test_what_is_suspicious_is_what_is_forgotten_and_the_training_set_is_kept(monkeypatch):
    model = of(monkeypatch, Limited([[-1.0], [0.0], [1.0]], 0.02, 0.3), (1,))
    training = TrainingSet(np.zeros((30, 1)), None, np.ones(30))
    shown = verb.given(Options(), model, training, 5, {}, None, ())
    said = {"by": "laplacian", "window": (0.75, 1.0), "samples": 3000, "share": 0.02}
    found = target_of(shown, Forget(hallucinated=said))
    assert found.keep is training and not found.rows.any() and found.label is None
    assert len(found.forget) == 60 and found.forget.labels is None
    off = ~Line().judge(found.forget.data).possible
    assert off.mean() > 0.5  # .013 of all are, of which most are among the .02
    own = shown.own(3000).data
    assert np.isin(found.forget.data, own).all()  # watching changes none of them
    again = target_of(shown, Forget(hallucinated=said))
    np.testing.assert_array_equal(found.forget.data, again.forget.data)


@pytest.mark.slow
@pytest.mark.trained
def test_what_was_found_is_forgotten_and_counted_again():
    """A ring of eight modes: the impossible share falls by at least half, recall by at most .03.

    Of seeds 1 to 3 it fell from .0385, .0399 and .0347 to .0175, .0176 and .0161, recall by .021, .017 and .018; the
    same budget on the training set alone takes it to .0298, .0302 and .0265.
    """
    kind, family, entry = POPULATIONS["gaussians"], MODELS["diffusion"], ADAPTERS["neggrad"]
    ring = kind.population(kind.PopulationOptions(layout="ring"))
    real, held_out = (ring.sample(Ask(2000, seed)).data for seed in (101, 201))
    training = TrainingSet(real, None, np.ones(2000))
    options = family.Options(preset="points", channels=64, blocks=2, steps=20)
    model = family.fit(training, options, Run(1, 150_000))
    found = {"by": "dimension", "window": (0.5, 1.0), "samples": 4000, "share": 0.05}
    said = {"forget": {"hallucinated": found}, "images_seen": 51_200, "learning_rate": 3e-4, "alpha": 0.03}
    said = entry.Options.model_validate(said)
    forgot = verb.adapt("neggrad", entry, said, model, verb.given(said, model, training, 5, {}, None, ()), Run(5)).model

    def counted(one):
        data = one.sample(Ask(8000, 10)).data
        return 1 - ring.judge(data).possible.mean(), float(recall(Features(held_out), Features(data[:2000]), k=5))

    (before, whole), (after, left) = counted(model), counted(forgot)
    assert before > 0.02 and after <= before / 2 and left >= whole - 0.03


# -- the command -------------------------------------------------------------------------------------------------------

STUDY = """
name: toy
seed: 3
seeds: 1
generations: 1
data: {population: {jars: {}}, split: {held_out: 50}}
models:
  net: {diffusion: {preset: tiny, channels: 8, blocks: 1, classes: 0, images_seen: 64, batch: 16, steps: 4}}
initial: {real: 40}
samples: 40
extractors: [truth]
metrics: [hallucination_rate]
primary: {metric: hallucination_rate, extractor: truth}
control: none
arms:
  plain: {model: net, regime: fully_synthetic}
"""


def test_the_command_judges_a_studys_model_and_a_file_alike(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/toy.yaml").write_text(STUDY, encoding="utf-8")
    study = studies.find("toy")
    for name, place in in_process.in_order(study):
        if name in ("populate", "draw", "compose", "train") and getattr(place, "generation", 0) == 0:
            assert frame.run(in_process.words_of(study, name, place)) == 0
    capsys.readouterr()
    asked = ["--samples", "30", "--windows", "0.5:1,0:1", "--out", "found.json", "--pictures", "worst.png"]
    assert frame.run(["hallucinations", "toy", "--generation", "0", *asked]) == 0
    said = capsys.readouterr().out
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    many = round(found["impossible"]["value"] * 30)
    assert f"{many} of 30 samples are impossible" in said and len(found["rows"]) in (0, 6)
    assert Path("worst.png").read_bytes().startswith(b"\x89PNG")
    truth, model = study.part_file("population"), study.model_file("plain", 0, 0)
    assert frame.run(["hallucinations", "--model", model, "--truth", truth, *asked[:4]]) == 0
    assert "of 30 samples are impossible" in capsys.readouterr().out
    assert frame.run(["hallucinations", "--model", model]) == 2
    assert "allowed is one of the two" in capsys.readouterr().err
    assert frame.run(["hallucinations", "toy", "--windows", "1:0", "--kept", "2"]) == 2
    said = capsys.readouterr().err
    assert "--windows: found '1:0'" in said and "--kept: found 2" in said
    assert frame.run(["hallucinations", "toy", "--generation", "1"]) == 2
    assert "is not there; run: collapselab run toy" in capsys.readouterr().err
    assert frame.run(["hallucinations", "--model", truth, "--truth", truth]) == 2
    assert "holds a known population; allowed is a trained model" in capsys.readouterr().err
