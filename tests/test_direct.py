"""Rewards beyond denoisers: the gradient through generators of one pass, and weighted regression of any family."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_families import images, options_of  # noqa: E402

from collapselab import theory  # noqa: E402
from collapselab.adapt import ADAPTERS  # noqa: E402
from collapselab.adapt.base import Given  # noqa: E402
from collapselab.adapt.policy import reward_weights  # noqa: E402
from collapselab.adapt.reweighted import weights_of  # noqa: E402
from collapselab.core.errors import Interrupted  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import SampleSet, TrainingSet  # noqa: E402
from collapselab.features import FEATURES  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.gaussian import Gaussian, GaussianOptions  # noqa: E402
from collapselab.models.multinomial import Multinomial, MultinomialOptions  # noqa: E402
from collapselab.rewards.asking import rewards_of  # noqa: E402
from collapselab.verbs.adapt import own_samples  # noqa: E402

LOOKS = {"pixels": FEATURES["pixels"].extract, "identity": FEATURES["identity"].extract}
LINEAR = {"coordinate": {"index": 0, "beta": 1.0}}


def cloud(dimension: int) -> TrainingSet:
    rows = np.random.default_rng(0).normal([3.0, -1.0][:dimension], [2.0, 0.5][:dimension], (400, dimension))
    return TrainingSet(rows, None, np.ones(len(rows)))


def trained(family: str, training: TrainingSet, **changes):
    kind = MODELS[family].Options
    kind_of_rows = "images" if training.data.ndim == 4 else "vectors"
    options = kind.model_validate(kind.smallest(kind_of_rows) | changes)
    return MODELS[family].fit(training, options, Run(1, 3200))


def adapted(name: str, model, training: TrainingSet, run: Run | None = None, **said):
    entry = ADAPTERS[name]
    options = entry.Options.model_validate(said)
    extractor = getattr(options, "extractor", None)
    look = {extractor: LOOKS[extractor]} if extractor else {}
    validation = SampleSet(training.data, training.labels)
    given = Given(training, own_samples(model, 5), look, {}, rewards_of(options, look), (), validation)
    return entry.adapt(model, given, options, run or Run(2, entry.images(options)))


def moved(before, after, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the same noise, before and after."""
    own = own_samples(before, 9)
    return own(count).data, own(count, 0, after).data


# -- through a generator -----------------------------------------------------------------------------------------------

FAST = {"learning_rate": 1e-2, "batch": 50, "checks": 2}
SLOW = FAST | {"learning_rate": 3e-3}  # Adam's last steps are as long as its rate, and pass through three layers


@pytest.fixture(scope="module")
def flow():
    return trained("flow", cloud(1), transform="realnvp", transforms=1)


def test_a_flow_goes_as_far_as_what_is_liked_is_worth_and_the_pull_allows(flow):
    """An affine flow of one number can do all that is asked: each sample ends at x + beta / pull, to Adam's last step
    (a rate of .01 of the scale of 2), or at the mean of x and c, weighted by the pull and beta."""
    after = adapted("direct", flow, cloud(1), reward=LINEAR, pull=0.5, images_seen=25_000, **FAST)
    x, y = moved(flow, after.model)
    np.testing.assert_allclose(y - x, 1.0 / 0.5, atol=0.05)
    checks = after.facts["checks"]
    assert checks["images_seen"] == [0, 12_500, 25_000] and checks["way"][0] == 0
    assert checks["way"][-1] == pytest.approx(2, abs=0.05)  # of a shift all ways are as long
    assert checks["reward"][-1] - checks["reward"][0] == pytest.approx(2, abs=0.05)
    liked = {"coordinate": {"form": "quadratic", "centre": 5.0, "beta": 0.5}}
    x, y = moved(flow, adapted("direct", flow, cloud(1), reward=liked, pull=0.5, images_seen=25_000, **FAST).model)
    np.testing.assert_allclose(y, (x + 5.0) / 2, atol=0.1)


def test_a_generator_moves_along_the_coordinate_that_is_liked_and_its_critic_stays():
    """A bias of the last layer is all that a linear reward asks for."""
    gan = trained("gan", cloud(2), hidden=16)
    after = adapted("direct", gan, cloud(2), reward=LINEAR, pull=2.0, images_seen=30_000, **SLOW).model
    x, y = moved(gan, after)
    np.testing.assert_allclose((y - x).mean(0), [0.5, 0.0], atol=0.05)
    np.testing.assert_allclose((y - x).std(0), 0, atol=0.05)
    for name, weight in gan.weights.items():
        assert name.startswith("generator.") or (after.weights[name] == weight).all()


@pytest.mark.parametrize("changes", [{"classes": 2}, {"noise": "random"}], ids=["classes", "random noise"])
def test_a_stylegan2_becomes_bright(changes):
    gan = MODELS["stylegan2"].fit(images(), options_of("stylegan2", **changes), Run(1, 64))
    said = {"reward": "brightness", "images_seen": 320, "batch": 16, "learning_rate": 3e-3, "checks": 1}
    found = adapted("direct", gan, images(), **said)
    before, after = found.facts["checks"]["reward"]
    assert after > before + 0.1
    assert (found.model.generator["mapping.w_avg"] == gan.generator["mapping.w_avg"]).all()
    for name, weight in gan.discriminator.items():
        assert (found.model.discriminator[name] == weight).all()


def test_it_stops_at_the_knee_with_the_generator_of_the_check_before(flow):
    said = {"reward": LINEAR, "images_seen": 8000, "checks": 10, "learning_rate": 2e-2, "batch": 50, "k": 3}
    knee = adapted("direct", flow, cloud(1), extractor="identity", stop="knee", **said)
    stopped, recalls = knee.facts["stopped"], knee.facts["checks"]["recall"]
    assert stopped["at"] == "knee" and 0 < stopped["check"] < 9
    assert [one < stopped["recall_floor"] for one in recalls] == [False] * (stopped["check"] + 1) + [True]
    shorter = said | {"images_seen": stopped["images_seen"], "checks": 1}
    x, y = moved(knee.model, adapted("direct", flow, cloud(1), **shorter).model)
    np.testing.assert_array_equal(x, y)


def test_it_is_interrupted_and_goes_on_to_the_same_bits(flow, tmp_path: Path):
    said = {"reward": LINEAR, "extractor": "identity", "images_seen": 480, "batch": 16, "checks": 3, "k": 1}
    whole = adapted("direct", flow, cloud(1), **said)
    for stop in range(16, 480, 32):
        run = Run(2, 480, progress=lambda seen, loss, stop=stop: seen >= stop, checkpoint=tmp_path)
        with pytest.raises(Interrupted):
            adapted("direct", flow, cloud(1), run, **said)
    again = adapted("direct", flow, cloud(1), Run(2, 480, checkpoint=tmp_path), **said)
    assert again.facts == whole.facts
    np.testing.assert_array_equal(*moved(whole.model, again.model))


def test_what_has_no_gradient_and_who_makes_no_single_pass_is_told_before():
    direct, reweighted = ADAPTERS["direct"], ADAPTERS["reweighted"]
    with pytest.raises(ValueError, match="found 'jpeg_size', whose gradient nobody knows; allowed: brightness, coor"):
        direct.Options(reward="jpeg_size", images_seen=1)
    with pytest.raises(ValueError, match="stop: found knee; recall is seen on validation rows through an extractor"):
        direct.Options(reward="brightness", images_seen=1, stop="knee")
    said = direct.Options(reward="brightness", images_seen=1)
    assert direct.fault(MODELS["diffusion"], said).endswith("those that do: flow, gan, stylegan2")
    assert all(not direct.fault(MODELS[name], said) for name in ("flow", "gan", "stylegan2"))
    assert reweighted.fault(MODELS["gan"], reweighted.Options(reward="brightness")).startswith("images_seen: found 0")
    found = reweighted.fault(Gaussian, reweighted.Options(reward="coordinate", images_seen=3))
    assert found == "images_seen: found 3; its family is fitted by a formula, which has no budget: 0"


# -- learnt again with weights -----------------------------------------------------------------------------------------


def test_rounds_of_weighted_counts_tilt_the_shares_each_time():
    """p e^(k r / T) / Z; an own sample of n has an error of sqrt(p (1 - p) / n_eff) a round, here below .002."""
    shares, worth = np.array([0.4, 0.3, 0.2, 0.1]), [0.0, 0.5, 1.0, 2.0]
    law = Multinomial(MultinomialOptions(categories=4), shares)
    training = TrainingSet(np.arange(4), None, np.ones(4))
    for rounds in (1, 2, 3):
        said = {"reward": {"category": {"worth": worth}}, "samples": 200_000, "temperature": 2.0}
        law, facts = adapted("reweighted", law, training, **said)
        wanted = theory.regularised_shares(shares, np.array(worth), 2.0 / rounds)
        np.testing.assert_allclose(law.probabilities, wanted, atol=4 * 0.002 * rounds**0.5)
        assert facts["reward"]["after"] > facts["reward"]["before"] and facts["effective"] < 200_000


def test_a_weighted_normal_law_moves_by_its_variance_and_stays_as_wide():
    law = Gaussian(GaussianOptions(ddof=0), np.array([1.0, 0.0]), np.diag([4.0, 1.0]))
    found, facts = adapted("reweighted", law, cloud(2), reward=LINEAR, samples=400_000, temperature=4.0)
    mean, variance = theory.regularised_moments(1.0, 4.0, 1.0, 0.0, 4.0)
    # Weights e^(x / 4) of sd .5: 400,000 e^-(1/4) rows count; errors 2 / sqrt(n) of the mean, 4 sqrt(2 / n).
    count = facts["effective"]
    assert count == pytest.approx(400_000 * np.exp(-0.25), rel=0.02)
    assert found.mean[0] == pytest.approx(mean, abs=5 * 2 / count**0.5) and mean == 2.0
    assert found.covariance[0, 0] == pytest.approx(variance, abs=5 * 4 * (2 / count) ** 0.5 * 1.5)
    assert found.mean[1] == pytest.approx(0, abs=5 / count**0.5)


def test_a_flow_learns_its_liked_samples_more(flow):
    """The same law by steps of a network: an affine flow is a normal law, whose mean moves by its variance over T."""
    x = moved(flow, flow, 4000)[0]
    said = {"samples": 4000, "temperature": 4.0, "images_seen": 20_000}
    found, _ = adapted("reweighted", flow, cloud(1), reward=LINEAR, **said)
    y = moved(flow, found, 4000)[1]
    # 4,000 own samples of variance v: an error of sqrt(v / n_eff), n_eff above n / 2; it ends as its rate does, at 0.
    assert y.mean() - x.mean() == pytest.approx(x.var() / 4, abs=5 * (x.var() / 2000) ** 0.5)
    assert y.mean() > x.mean() + 0.5


def test_weights_are_of_mean_one_in_every_class_and_rewards_that_are_no_numbers_are_refused():
    rewards, labels = np.array([0.0, 1.0, 5.0, 5.0, 9.0]), np.array([0, 0, 1, 1, 1])
    found = weights_of(rewards, labels, 0.5, "reward")
    np.testing.assert_allclose([found[labels == one].mean() for one in (0, 1)], 1, rtol=1e-12)
    assert found[1] / found[0] == pytest.approx(np.exp(2)) and found[4] / found[2] == pytest.approx(np.exp(8))
    assert weights_of(rewards, None, 1.0, "deviation")[1] / found[0] > 0
    np.testing.assert_array_equal(weights_of(np.full(3, 7.0), None, 1.0, "deviation"), np.ones(3))
    groups = torch.from_numpy(np.asarray(labels, np.int64))  # those of the policies, which are of tensors
    np.testing.assert_allclose(reward_weights(torch.from_numpy(rewards), groups, 0.5).numpy(), found, rtol=1e-12)
    with pytest.raises(ValueError, match="reward: 1 of 2 samples have none that is a number"):
        weights_of(np.array([0.0, np.nan]), None, 1.0, "reward")
