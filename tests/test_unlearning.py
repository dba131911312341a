"""Forgetting: each method against what is known of it without running it, and the formulas of those that have one."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_families import images, options_of

from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Given
from collapselab.adapt.erasing import edited
from collapselab.adapt.forgetting import Amnesiac, Erased, Masked, Salient, bounded
from collapselab.core.ask import Ask
from collapselab.core.errors import Diverged, Interrupted
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.features import FEATURES
from collapselab.metrics.ranks import superiority
from collapselab.models import MODELS
from collapselab.models.gaussian import Gaussian, GaussianOptions
from collapselab.models.gmm import GMM, GMMOptions
from collapselab.models.kde import KDE, KDEOptions
from collapselab.models.multinomial import Multinomial, MultinomialOptions
from collapselab.models.naive_bayes import NaiveBayes, NaiveBayesOptions
from collapselab.theory import membership_area, relearned

SEEN, BATCH = 64, 16
TUNED = ("esd", "selective_amnesia", "salun", "erasediff", "ascent", "neggrad")
IMAGES = images()
CLASS = {"forget": {"class": 1}}
ABOVE = {"forget": {"attribute": {"extractor": "identity", "least": 0.0}}}


@pytest.fixture(scope="module")
def model():
    options = options_of("diffusion", classes=2, label_dropout=0.1)
    return MODELS["diffusion"].fit(images(), options, Run(3, 64))


def given(training: TrainingSet, model: Any = None) -> Given:
    look = {"identity": FEATURES["identity"].extract}
    return Given(training, lambda count, start=0, other=None: (other or model).sample(Ask(count, 9, start, 1.0)), look)


def adapted(name: str, model: Any, training: TrainingSet = IMAGES, run: Run | None = None, **said: Any) -> Any:
    entry = ADAPTERS[name]
    if name in TUNED and not isinstance(model, Gaussian):
        said = {"images_seen": SEEN, "batch": BATCH, "learning_rate": 1e-3} | said
    options = entry.Options.model_validate(CLASS | said)
    return entry.adapt(model, given(training, model), options, run or Run(5)).model


def moved(before: Any, after: Any) -> Mapping[str, np.ndarray]:
    return {name: after.weights()[name] - array for name, array in before.weights().items()}


# -- the formulas ------------------------------------------------------------------------------------------------------


def two_clouds() -> TrainingSet:
    """Rows on the line: those to forget are above 0."""
    return TrainingSet(np.array([[-3.0], [-1.0], [1.0], [4.0]]), None, np.ones(4))


@pytest.mark.parametrize("variance", [1.0, 2.5])
def test_gradient_ascent_flees_from_what_it_forgets_without_an_end(variance):
    rate, steps, start, lost = 0.1, 50, 0.25, 2.5
    law = Gaussian(GaussianOptions(ddof=0), np.array([start]), np.array([[variance]]))
    found = adapted("ascent", law, two_clouds(), images_seen=2 * steps, learning_rate=rate, **ABOVE).mean[0]
    assert found == pytest.approx(lost + (start - lost) * (1 + rate / variance) ** steps, rel=1e-12)
    with pytest.raises(Diverged):
        adapted("ascent", law, two_clouds(), images_seen=2000, learning_rate=10, **ABOVE)


def test_ascent_of_fifty_steps_ends_at_minus_233():
    """m_f 2, m_0 0, v 1, rate .1: 2 - 2 * 1.1^50 = -232.78."""
    rows = TrainingSet(np.array([[-2.0], [2.0]]), None, np.ones(2))
    law = Gaussian(GaussianOptions(ddof=0), np.zeros(1), np.eye(1))
    found = adapted("ascent", law, rows, images_seen=50, batch=1, learning_rate=0.1, **ABOVE).mean[0]
    assert found == pytest.approx(-232.78, abs=5e-3)


@pytest.mark.parametrize(("alpha", "optimum"), [(0.3, -0.857143), (0.9, -18.0)])
def test_the_optimum_of_neggrad_is_a_weighted_difference_of_means(alpha, optimum):
    """m_r 0, m_f 2: -2 alpha / (1 - alpha)."""
    rows = TrainingSet(np.array([[-1.0], [0.0], [2.0], [-2.0], [3.0]]), None, np.array([1.0, 4.0, 1.0, 0.5, 0.0]))
    kept = -2.0 / 5.5
    law = Gaussian(GaussianOptions(ddof=0), np.ones(1), np.eye(1))
    said = {"learning_rate": 0.5, "alpha": alpha} | {"forget": {"attribute": {"extractor": "identity", "least": 1.0}}}
    found = adapted("neggrad", law, rows, images_seen=2000, batch=1, **said).mean[0]
    assert found == pytest.approx((kept - alpha * 2.0) / (1 - alpha), rel=1e-9)
    rows = TrainingSet(np.array([[-1.0], [1.0], [2.0]]), None, np.ones(3))
    said["forget"] = {"attribute": {"extractor": "identity", "least": 1.5}}
    assert adapted("neggrad", law, rows, images_seen=2000, batch=1, **said).mean[0] == pytest.approx(optimum, abs=1e-6)


def test_neggrad_has_no_optimum_from_alpha_1_on():
    rows = TrainingSet(np.array([[-1.0], [1.0], [2.0]]), None, np.ones(3))
    law = Gaussian(GaussianOptions(ddof=0), np.ones(1), np.eye(1))
    said = {"learning_rate": 0.5, "batch": 1, "forget": {"attribute": {"extractor": "identity", "least": 1.5}}}
    far = [abs(adapted("neggrad", law, rows, images_seen=n, alpha=1.1, **said).mean[0]) for n in (50, 100, 200)]
    assert far[0] < far[1] < far[2] and far[2] > 1e3


@pytest.mark.parametrize("strength", [0.1, 1.0, 7.0])
def test_an_edit_of_orthonormal_concepts_moves_one_and_no_other(strength):
    source = np.random.default_rng(3)
    concepts = np.linalg.qr(source.standard_normal((6, 6)))[0]
    weight, aim = source.standard_normal((4, 6)), source.standard_normal(4)
    found = edited(weight, [(concepts[0], aim)], list(concepts[1:]), strength)
    for one in concepts[1:]:
        np.testing.assert_allclose(found @ one, weight @ one, rtol=0, atol=1e-13)
    way = (found - weight) @ concepts[0] / (aim - weight @ concepts[0])
    np.testing.assert_allclose(way, 1 / (1 + strength), rtol=1e-12)


def test_uce_edits_the_class_alone(model):
    name = next(name for name in model.weights() if name.endswith("embedding.label"))
    before = model.weights()[name]
    for said, aim in (({}, np.zeros_like(before[1])), ({"towards": 0}, before[0])):
        found = adapted("uce", model, strength=0.1, **said)
        step = moved(model, found)
        assert {one for one, change in step.items() if change.any()} == {name}
        assert not step[name][0].any()
        np.testing.assert_allclose(step[name][1], (aim - before[1]) / 1.1, rtol=1e-5, atol=1e-6)
    for said in ({"forget": {"class": 0}, "towards": 2}, {"forget": {"marked": {"size": 1, "threshold": 0.5}}}):
        with pytest.raises(ValueError, match="allowed are 0 to 1"):
            adapted("uce", model, **said)
    with pytest.raises(ValueError, match="found 1, which is to be forgotten; allowed is another class"):
        adapted("uce", model, towards=1)


def test_deletion_leaves_the_shares_of_the_others_as_they_were():
    rows = TrainingSet(np.array([0, 0, 1, 2, 2, 2]), None, np.ones(6))
    law = Multinomial.fit(rows, MultinomialOptions(categories=4, alpha=0.5), Run(0))
    found = adapted("exact_deletion", law, rows, forget={"class": 2}).probabilities
    expected = np.array([2.5, 1.5, 0, 0.5]) / 4.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
    pictures = TrainingSet(IMAGES.data, IMAGES.labels, np.ones(40))
    law = Multinomial.fit(pictures, MultinomialOptions(), Run(0))
    left = adapted("exact_deletion", law, pictures)
    samples = left.sample(Ask(400, 3)).data
    kept = {row.tobytes() for row in IMAGES.data[IMAGES.labels == 0]}
    assert {row.tobytes() for row in samples} <= kept and left.probabilities.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_deletion_from_counts_is_a_fit_without_the_rows(alpha):
    source = np.random.default_rng(1)
    rows = TrainingSet(source.integers(0, 6, 200), None, source.uniform(0.5, 2, 200))
    law = NaiveBayes.fit(rows, NaiveBayesOptions(levels=(2, 3), alpha=alpha), Run(0))
    deleted, again = (adapted(name, law, rows, forget={"class": 4}) for name in ("exact_deletion", "retrained"))
    np.testing.assert_allclose(deleted.shares, again.shares, rtol=0, atol=1e-13)
    assert np.abs(deleted.shares - law.shares).max() > 0.01


@pytest.mark.parametrize("name", ["exact_deletion", "retrained"])
def test_a_second_request_brings_back_the_first_unless_its_rows_are_left_out(name):
    """Who trains anew without the second has the first again; two deletions are one fit without both, and from counts
    of other rows than are said nothing is taken."""
    source = np.random.default_rng(1)
    rows = TrainingSet(source.integers(0, 6, 200), None, source.uniform(0.5, 2, 200))
    law = NaiveBayes.fit(rows, NaiveBayesOptions(levels=(2, 3), alpha=0.7), Run(0))
    kept = ~np.isin(rows.data, [4, 2])
    alone = TrainingSet(rows.data[kept], None, rows.weights[kept])
    wanted = NaiveBayes.fit(alone, NaiveBayesOptions(levels=(2, 3), alpha=0.7), Run(0)).shares
    first = adapted(name, law, rows, forget={"class": 4})
    both = adapted(name, first, rows, forget={"class": 2, "earlier": [{"class": 4}]}).shares
    np.testing.assert_allclose(both, wanted, rtol=0, atol=1e-13)
    if name == "exact_deletion":
        for model, earlier in ((first, []), (law, [{"class": 4}])):
            with pytest.raises(ValueError, match=r"a model that was not counted from the .* rows .* earlier"):
                adapted(name, model, rows, forget={"class": 2, "earlier": earlier})
    else:
        forgetful = adapted(name, first, rows, forget={"class": 2}).shares
        assert np.abs(forgetful - wanted).max() > 0.01
        counts = TrainingSet(rows.data, None, rows.weights)
        shares = Multinomial.fit(counts, MultinomialOptions(categories=6), Run(0))
        again, gone = (
            adapted(name, shares, counts, forget={"class": 2, "earlier": said}).probabilities[4]
            for said in ([], [{"class": 4}])
        )
        assert again > 0.1 and gone == 0


def test_what_neggrad_keeps_after_an_earlier_request_draws_it_less():
    """The optimum (m_r - a m_f) / (1 - a): kept rows of the first request pull the mean back, to nearer its own."""
    training = TrainingSet(np.array([[10.0], [-10.0], [0.0]]), np.arange(3), np.ones(3))
    law = Gaussian(GaussianOptions(ddof=0), np.zeros(1), np.eye(1))
    said = {"alpha": 0.3, "images_seen": 400, "batch": 1, "learning_rate": 0.5}
    first = adapted("neggrad", law, training, forget={"class": 0}, **said)
    means = [
        adapted("neggrad", first, training, forget={"class": 1, "earlier": earlier}, **said).mean[0]
        for earlier in ([], [{"class": 0}])
    ]
    np.testing.assert_allclose(means, [(5 + 3) / 0.7, 3 / 0.7], rtol=1e-9)


@pytest.mark.parametrize("earlier", [{"class": 0}, {"attribute": {"extractor": "identity", "most": -0.5}}])
def test_own_samples_that_an_earlier_request_asked_to_forget_are_not_replayed(monkeypatch, earlier):
    """Replayed, they would teach again what was forgotten: a class by its number, an attribute by its value."""
    rows = np.random.default_rng(0).normal(0, 1, (60, 2))
    training = TrainingSet(rows, np.arange(60) % 3, np.ones(60))
    options = MODELS["diffusion"].Options(preset="points", channels=8, blocks=1, batch=4, classes=3, label_dropout=0.1)
    model = MODELS["diffusion"].fit(training, options, Run(0, 64))
    replayed: list[TrainingSet] = []

    class Looking(Amnesiac):
        def __init__(self, task: Any, how: Any, run: Run, forgotten: TrainingSet, kept: TrainingSet, label: int | None):
            replayed.append(kept)
            super().__init__(task, how, run, forgotten, kept, label)

    monkeypatch.setattr("collapselab.adapt.forgetting.Amnesiac", Looking)
    said = {"replayed": 90, "fisher_rows": 4}
    for before in ([], [earlier]):
        adapted("selective_amnesia", model, training, forget={"class": 1, "earlier": before}, **said)
    # As released: 90 own samples, 30 of each class, in the units that they were made in.
    own = given(training, model).own(90)
    stays = own.labels != 1
    gone = own.labels == 0 if "class" in earlier else own.data[:, 0] <= -0.5
    assert 0 < (stays & ~gone).sum() < stays.sum()
    for found, kept in zip(replayed, (stays, stays & ~gone), strict=True):
        wanted = model.seen(TrainingSet(own.data[kept], own.labels[kept], np.ones(kept.sum())))
        np.testing.assert_array_equal(found.data, wanted.data)
        np.testing.assert_array_equal(found.labels, own.labels[kept])
    with pytest.raises(ValueError, match=r"^replayed: all of the 1 own samples are what is to be forgotten"):
        said = {"forget": {"class": 1, "earlier": [{"class": 0}]}, "replayed": 1}
        adapted("selective_amnesia", model, training, **said)


def test_deletion_from_clouds_and_from_mixtures():
    rows = np.concatenate([np.random.default_rng(s).normal(m, 0.1, (50, 1)) for s, m in enumerate((-2, 3))])
    rows = TrainingSet(rows, None, np.ones(100))
    law = KDE.fit(rows, KDEOptions(bandwidth=0.2), Run(0))
    left = adapted("exact_deletion", law, rows, **ABOVE)
    assert (left.rows == rows.data[:50]).all() and (left.kernel == law.kernel).all()
    mixture = GMM.fit(rows, GMMOptions(components=2), Run(0))
    left = adapted("exact_deletion", mixture, rows, **ABOVE)
    assert sorted(left.weights) == [0, 1] and left.means[left.weights == 1][0, 0] == pytest.approx(-2, abs=0.1)
    assert (left.sample(Ask(500, 1)).data < 0).all()
    # Half of a component's rows are not more than half of it.
    with pytest.raises(ValueError, match="nothing would be left"):
        adapted(
            "exact_deletion",
            GMM.fit(rows, GMMOptions(components=1), Run(0)),
            rows,
            forget={"attribute": {"extractor": "identity", "least": -2.1}},
        )


# -- the losses --------------------------------------------------------------------------------------------------------


def test_bounded_steps_let_the_forgetting_loss_fall():
    source = torch.Generator().manual_seed(0)
    for eta in (0.0, 0.5, 2.0):
        for _ in range(20):
            kept, lost = ([torch.randn(3, generator=source), torch.randn(2, 2, generator=source)] for _ in range(2))
            step = bounded(kept, lost, eta)
            flat = [torch.cat([one.flatten() for one in group]).double() for group in (kept, lost, step)]
            falls, square = flat[1] @ flat[2], flat[1] @ flat[1]
            assert falls >= eta * square - 1e-5 * (1 + square)  # float32
            free = flat[1] @ flat[0] >= eta * square
            if free:  # keeping alone does it
                torch.testing.assert_close(flat[2], flat[0])
            else:  # and no further than is asked for
                torch.testing.assert_close(falls, eta * square, rtol=1e-4, atol=1e-4)
    nothing = [torch.zeros(3)]
    assert torch.equal(bounded([torch.ones(3)], nothing, 1.0)[0], torch.ones(3))


def tuning(rule: type, model: Any, **said: Any) -> Any:
    """A tuning of a small model, on the CPU, before its first step."""
    name = {"Salient": "salun", "Amnesiac": "selective_amnesia", "Erased": "esd"}[rule.__name__]
    how = ADAPTERS[name].Options.model_validate(CLASS | {"images_seen": SEEN, "batch": BATCH} | said)
    task = model.task(IMAGES, model.options, Run(5, SEEN), torch.device("cpu"))
    parts = [IMAGES.data[IMAGES.labels == label] for label in (1, 0)]
    lost, kept = (
        TrainingSet(one, np.full(len(one), label), np.ones(len(one))) for label, one in zip((1, 0), parts, strict=True)
    )
    return rule(task, how, Run(5, SEEN), lost, kept, 1)


@pytest.mark.parametrize("moving", [0.5, 0.1, 1.0])
def test_a_mask_lets_the_share_of_weights_move_that_it_says(model, moving):
    found = tuning(Salient, model, moving=moving, mask_rows=64)
    torch.manual_seed(0)
    with torch.no_grad():
        found.draw(BATCH)
    masks = torch.cat([one.flatten() for one in found.found])
    assert set(masks.tolist()) <= {0.0, 1.0}
    # Weights whose gradients are equal, as of units that are not there, are on one side together.
    assert masks.mean() >= moving - 1 / len(masks)
    assert masks.mean() < moving + 0.05 or moving == 1
    after = adapted("salun", model, moving=moving, mask_rows=64)
    still = np.mean([np.mean(change == 0) for change in moved(model, after).values()])
    assert (still > 0.2) == (moving < 1)


def test_what_a_mask_holds_does_not_move(model):
    weights = [torch.ones(4, requires_grad=True)]
    mask = [torch.tensor([1.0, 0.0, 1.0, 0.0])]
    adam = Masked(weights, 0.1, lambda: mask)
    for _ in range(3):
        adam.step([torch.ones(4)])
    assert (weights[0][1::2] == 1).all() and (weights[0][::2] < 1).all()


def test_fisher_information_is_the_mean_square_of_row_gradients(model):
    """Of one row and one level it is its squared gradient."""
    found = tuning(Amnesiac, model, fisher_rows=1, fisher_levels=1)
    torch.manual_seed(4)
    with torch.no_grad():
        found.inform()
    torch.manual_seed(4)
    row = torch.randint(20, (1,)).item()
    image = torch.from_numpy(found.to_keep.data[[row]] / np.float32(127.5) - np.float32(1))
    gradient = found.gradient(image, torch.zeros(1, dtype=torch.int64))
    for one, other in zip(found.found, gradient, strict=True):
        torch.testing.assert_close(one, other.square())


def test_without_a_pull_the_weights_stay_where_the_fisher_information_holds_them(model):
    free, held = (adapted("selective_amnesia", model, strength=strength, fisher_rows=8) for strength in (0.0, 1e6))
    far = [sum(float(np.square(one).sum()) for one in moved(model, after).values()) for after in (free, held)]
    assert far[1] < far[0]


def test_esd_of_eta_0_asks_for_what_is_there_and_of_eta_1_for_no_class(model):
    for eta in (0.0, 1.0):
        found = tuning(Erased, model, eta=eta)
        torch.manual_seed(1)
        with torch.no_grad():
            draws = found.draw(8)
            noisy, sigma = draws["forgotten.noisy"], draws["forgotten.sigma"]
            label = torch.ones(8, dtype=torch.int64)
            aim = found.denoised_before(noisy, sigma, label if eta == 0 else None)
            off = (found.denoised(noisy, sigma, label) - aim).square().flatten(1).mean(1)
            from collapselab.engine.task import Batch

            clean = torch.zeros(8, *model.shape)
            loss = found.loss(Batch(clean, torch.zeros(8, dtype=torch.int64), torch.ones(8), draws))
        torch.testing.assert_close(loss, off * found.task.parameterisation.loss_weight(sigma))
        assert (loss == 0).all() == (eta == 0)


def test_noisy_rows_of_esd_are_as_noisy_as_their_level_says(model):
    """At the highest level x is noise of that level alone, and its mean square that of N(0, sigma^2)."""
    found = tuning(Erased, model, steps=2)
    torch.manual_seed(1)
    with torch.no_grad():
        draws = found.draw(64)
    noisy, sigma = draws["forgotten.noisy"], draws["forgotten.sigma"]
    top = sigma == sigma.max()
    assert 10 < top.sum() < 54
    size = (noisy[top] / sigma.max()).square().mean()
    assert abs(float(size) - 1) < 4 * math.sqrt(2 / noisy[top].numel())
    assert noisy[~top].abs().max() < 5  # the other end of the path


@pytest.mark.parametrize("name", TUNED)
def test_every_method_moves_the_weights_and_says_what_it_saw(model, name):
    entry = ADAPTERS[name]
    options = entry.Options.model_validate(CLASS | {"images_seen": SEEN, "batch": BATCH})
    found = entry.adapt(model, given(IMAGES, model), options, Run(5))
    assert found.facts == {"forgotten_rows": 20, "kept_rows": 20}
    assert any(change.any() for change in moved(model, found.model).values())
    assert entry.images(options) >= SEEN


@pytest.mark.parametrize("name", ["selective_amnesia", "erasediff", "ascent", "neggrad"])
def test_given_images_and_vectors_without_classes_are_forgotten(name, tmp_path):
    np.save(tmp_path / "some.npy", IMAGES.data[:3])
    options = options_of("diffusion", classes=0)
    plain = MODELS["diffusion"].fit(images(), options, Run(3, 32))
    after = adapted(name, plain, forget={"images": str(tmp_path / "some.npy")})
    assert any(change.any() for change in moved(plain, after).values())


@pytest.mark.parametrize("rank", [0, 2])
def test_updates_of_low_rank_forget_too(model, rank):
    after = adapted("neggrad", model, rank=rank)
    change = max((one.reshape(len(one), -1) for one in moved(model, after).values() if one.ndim > 1), key=np.size)
    assert (np.linalg.matrix_rank(change, tol=1e-5) <= 2) == (rank == 2)


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("salun", {"rank": 2}, "rank: found 2"),
        ("selective_amnesia", {"rank": 2}, "rank: found 2"),
        ("retrained", {}, "images_seen: found 0"),
        ("exact_deletion", {}, "no exact deletion"),
    ],
)
def test_what_does_not_suit_a_network_is_told_before(name, said, message):
    entry = ADAPTERS[name]
    needed = {"images_seen": SEEN} if name in TUNED else {}
    options = entry.Options.model_validate(CLASS | needed | said)
    assert message in entry.fault(MODELS["diffusion"], options)


def test_what_does_not_suit_a_formula_is_told_before():
    retrained, ascent = ADAPTERS["retrained"], ADAPTERS["ascent"]
    budget = retrained.Options.model_validate(CLASS | {"images_seen": 5})
    assert "fitted by a formula" in retrained.fault(Gaussian, budget)
    low = ascent.Options.model_validate(CLASS | {"images_seen": 5, "rank": 1})
    assert "a mean moves as a whole" in ascent.fault(Gaussian, low)
    assert "neither gaussian nor a denoiser" in ascent.fault(KDE, low)
    assert ascent.fault(MODELS["diffusion"], low) == ""


def test_only_a_class_that_the_model_knows_is_erased(model):
    three = TrainingSet(IMAGES.data, np.arange(40) % 3, np.ones(40))
    with pytest.raises(ValueError, match="asks for a class of a model that knows it"):
        adapted("esd", model, three, forget={"class": 2})
    with pytest.raises(ValueError, match="a target that is no class"):
        adapted("esd", model, forget={"marked": {"size": 1, "threshold": 0.4}})


# -- what an attack finds, and what a loop learns again ----------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "area"), [(20, 0.624), (100, 0.760), (400, 0.921)])
def test_an_attack_on_a_mean_finds_its_rows_as_often_as_theory_says(dimension, area):
    """The score <x, mean> of rows that the mean is of, and of others, over 100 means of 100 rows."""
    rows, source, areas = 100, np.random.default_rng(dimension), []
    assert membership_area(rows, dimension) == pytest.approx(area, abs=5e-4)
    for _ in range(100):
        members, others = (source.standard_normal((rows, dimension)) for _ in range(2))
        law = Gaussian.fit(
            TrainingSet(members, None, np.ones(rows)), GaussianOptions(ddof=0, covariance="diagonal"), Run(0)
        )
        areas.append(superiority(members @ law.mean, others @ law.mean).share)
    # Pairs of a mean share it; the law is of the first order in 1 / n, and 1 / n is what it may be off by.
    assert abs(np.mean(areas) - membership_area(rows, dimension)) < 3 * np.std(areas) / 10 + 1 / rows


def with_validation(name: str, model: Any, training: TrainingSet, others: SampleSet, **said: Any) -> dict:
    entry = ADAPTERS[name]
    options = entry.Options.model_validate({"attacked": 1} | said)
    assert entry.validates(options) == 2  # of one row there is no share of pairs
    shown = given(training, model)._replace(validation=others)
    return entry.adapt(model, shown, options, Run(5)).facts


def test_a_model_trained_without_rows_knows_them_no_better_than_others():
    """Before, clouds stand on the members; after a deletion a member is as far from all clouds as any other row."""
    source = np.random.default_rng(0)
    rows, others = source.standard_normal((2, 300, 20))
    rows[:, 0], others[:, 0] = np.sort(rows[:, 0]), np.sort(others[:, 0])
    others = others[others[:, 0] > 0]
    training = TrainingSet(rows, None, np.ones(300))
    law = KDE.fit(training, KDEOptions(bandwidth=0.5), Run(0))
    facts = with_validation("exact_deletion", law, training, SampleSet(others), **ABOVE)
    found = facts["membership"]
    assert found["before"] == 1
    assert abs(found["after"] - 0.5) < 3 * math.sqrt(1 / 12 * (1 / found["members"] + 1 / found["others"]))
    assert found["members"] == facts["forgotten_rows"] and found["others"] == len(others)


def test_a_network_is_attacked_by_its_denoiser():
    """One that has learnt eight images by heart, beside eight others: before; and after it was trained without them."""
    rows = images(16)
    training = TrainingSet(rows.data[:8], np.arange(8) % 2, np.ones(8))
    options = options_of("diffusion", classes=2, label_dropout=0.1, channels=64, learning_rate=5e-3)
    model = MODELS["diffusion"].fit(training, options, Run(3, 2400))
    others = SampleSet(rows.data[8:], np.arange(8) % 2)
    found = with_validation("retrained", model, training, others, images_seen=2400, **CLASS)["membership"]
    assert found["before"] == 1 and found["members"] == found["others"] == 4
    assert found["after"] < 1
    with pytest.raises(ValueError, match="0 validation rows"):
        with_validation("uce", model, training, SampleSet(rows.data[8:], np.zeros(8, np.int64)), **CLASS)


def test_a_loop_learns_again_what_was_deleted_as_fast_as_its_real_rows_say():
    """pi (1 - q^t) in the mean over loops: of n rows a generation q n are samples and the others real and new."""
    truth, kept, rows, loops, generations = np.array([0.2, 0.5, 0.3]), 0.8, 100, 300, 6
    source = np.random.default_rng(7)
    real = TrainingSet(np.repeat(np.arange(3), (20, 50, 30)), None, np.ones(rows))
    options = MultinomialOptions(categories=3)
    start = adapted("exact_deletion", Multinomial.fit(real, options, Run(0)), real, forget={"class": 0})
    shares = np.zeros((loops, generations + 1))
    for loop in range(loops):
        model = start
        for generation in range(1, generations + 1):
            own = model.sample(Ask(round(kept * rows), int(source.integers(2**31)))).data
            fresh = source.choice(3, rows - len(own), p=truth)
            mixed = TrainingSet(np.concatenate([own, fresh]), None, np.ones(rows))
            model = Multinomial.fit(mixed, options, Run(0))
            shares[loop, generation] = model.probabilities[0]
    expected = relearned(0.2, kept, generations)
    error = shares.std(axis=0) / math.sqrt(loops)
    assert start.probabilities[0] == expected[0] == 0
    assert (np.abs(shares.mean(axis=0) - expected)[1:] < 4 * error[1:]).all()
    np.testing.assert_allclose(relearned(0.2, 0.8, 8)[[1, 3, 8]], [0.04, 0.0976, 0.16645], atol=5e-5)
    assert not relearned(0.2, 1.0, 5).any()


# -- stopped, and gone on with -----------------------------------------------------------------------------------------


def killed(name: str, model: Any, folder: Path, at: list[int], **said: Any) -> Any:
    """A method that is stopped at these images, one after the other, and goes on each time."""
    for number in at:
        with pytest.raises(Interrupted):
            adapted(name, model, run=Run(5, progress=lambda seen, loss, n=number: seen >= n, checkpoint=folder), **said)
    return adapted(name, model, run=Run(5, checkpoint=folder), **said)


@pytest.mark.parametrize("name", ["salun", "selective_amnesia", "erasediff"])
def test_a_method_that_is_stopped_goes_on_to_the_same_bits(model, tmp_path, name):
    said = {"fisher_rows": 4} if name == "selective_amnesia" else {}
    whole = adapted(name, model, **said)
    again = killed(name, model, tmp_path / "state", [16, 48], **said)
    for part, array in whole.weights().items():
        np.testing.assert_array_equal(array, again.weights()[part])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TUNED, "retrained"])
def test_a_method_that_is_killed_twenty_times_comes_to_the_same_bits(model, tmp_path, name):
    steps = 24
    said = {"images_seen": BATCH * steps} | ({"fisher_rows": 4} if name == "selective_amnesia" else {})
    whole = adapted(name, model, **said)
    again = killed(name, model, tmp_path / "state", [BATCH * (n + 1) for n in range(20)], **said)
    for part, array in whole.weights().items():
        np.testing.assert_array_equal(array, again.weights()[part])


def test_a_state_of_other_rows_is_not_gone_on_from(model, tmp_path):
    stop = Run(5, progress=lambda seen, loss: seen >= 32, checkpoint=tmp_path / "state")
    with pytest.raises(Interrupted):
        adapted("neggrad", model, run=stop)
    seen: list[int] = []
    watch = Run(5, progress=lambda count, loss: seen.append(count), checkpoint=tmp_path / "state")
    adapted("neggrad", model, run=watch, forget={"class": 0})
    assert seen[0] == BATCH


@pytest.mark.parametrize("name", [*TUNED, "uce", "exact_deletion", "retrained"])
def test_an_attack_with_too_few_rows_is_told_of_before_any_work(name):
    """Nothing is asked of the model before: it is none."""
    rows = images()
    one = TrainingSet(rows.data[:21], rows.labels[:21], np.ones(21))  # classes alternate: 11 and 10
    lone = SampleSet(rows.data[:5], np.array([0, 0, 0, 0, 1]))
    said = {"forget": {"class": 1}} | ({"images_seen": 16} if name in (*TUNED, "retrained") else {})
    with pytest.raises(ValueError, match="found 10 training rows and 1 validation rows of what is to be forgotten"):
        with_validation(name, None, one, lone, **said)


def test_an_attack_compares_with_rows_that_are_what_is_forgotten():
    """Kinds that are told apart would be taken for members that are: here of two clouds one is forgotten."""
    source = np.random.default_rng(0)
    rows, others = source.standard_normal((2, 200, 2)) + 20 * (np.arange(200) % 2)[:, None]
    training = TrainingSet(rows, None, np.ones(200))
    law = KDE.fit(training, KDEOptions(bandwidth=0.5), Run(0))
    high = {"attribute": {"extractor": "identity", "column": 0, "least": 10}}
    found = with_validation("exact_deletion", law, training, SampleSet(others), forget=high)["membership"]
    assert found["members"] == found["others"] == 100
    # Of what was deleted nothing is known: all rows of it are as far away. The low cloud would be known better: 0.
    assert abs(found["after"] - 0.5) < 3 * math.sqrt(1 / 12 * (1 / 100 + 1 / 100))
