"""What else follows a reward: weighted regression, the gradient through a sampler, preferences; where they settle."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_ddpo import LOOKS, given, model, options_of_vectors, same  # noqa: E402, F401

from collapselab import store, theory  # noqa: E402
from collapselab.adapt import ADAPTERS  # noqa: E402
from collapselab.adapt.pairs import judged, preferred_by  # noqa: E402
from collapselab.adapt.policy import preference, preferred, reward_weights  # noqa: E402
from collapselab.core.errors import Interrupted  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import Ballots, SampleSet, TrainingSet  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.rewards import REWARDS  # noqa: E402
from collapselab.rewards.gradients import DIFFERENTIABLE  # noqa: E402
from collapselab.theory.selection import curated_shares  # noqa: E402

SHARES, REWARD = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.0, 0.5, 1.0, 2.0])

# -- what they settle at -----------------------------------------------------------------------------------------------


def test_the_optimum_beside_a_penalty_is_the_law_that_is_tilted():
    optimum = theory.regularised_shares(SHARES, REWARD, 0.7)
    np.testing.assert_allclose(optimum, [0.111466, 0.170771, 0.232559, 0.485204], atol=5e-7)

    def worth(shares):
        return shares @ REWARD - 0.7 * shares @ np.log(shares / SHARES)

    source = np.random.default_rng(0)
    for _ in range(100):
        other = optimum * np.exp(0.1 * source.standard_normal(4))
        assert worth(other / other.sum()) <= worth(optimum)


def test_the_optimum_of_a_normal_law_is_normal():
    mean, variance = theory.regularised_moments(0.5, 2.0, 0.3, 1.5, 0.7)
    x = np.linspace(-20, 20, 400_001)
    density = np.exp(-((x - 0.5) ** 2) / 4 + (0.3 * x - 1.5 * x**2 / 2) / 0.7)
    density /= density.sum()
    np.testing.assert_allclose(mean, density @ x, rtol=1e-9)
    np.testing.assert_allclose(variance, density @ (x - mean) ** 2, rtol=1e-9)
    with pytest.raises(ValueError, match=r"curvature: found -1, allowed are numbers above -0\.35"):
        theory.regularised_moments(0, 2, 0, -1, 0.7)


def test_preferences_by_a_reward_have_their_least_loss_at_that_optimum():
    """The loss over all pairs, by DPO's own function, brought down by Newton's steps."""
    of, reference = torch.from_numpy(REWARD), torch.from_numpy(np.log(SHARES))
    chance = torch.from_numpy(np.outer(SHARES, SHARES)) * preferred(of[:, None], of[None], 1.0)

    def loss(free):
        logs = torch.log_softmax(torch.cat([free, free.new_zeros(1)]), 0) - reference
        first, second = (one.reshape(-1) for one in torch.broadcast_tensors(logs[:, None], logs[None]))
        return chance.reshape(-1) @ preference(first, second, 0.7)

    free = torch.log(torch.from_numpy(SHARES[:3] / SHARES[3]))
    assert abs(float(loss(free)) - math.log(2) * float(chance.sum())) < 1e-12  # at the reference
    for _ in range(20):
        free = free.detach().requires_grad_()
        slope = torch.autograd.grad(loss(free), free, create_graph=True)[0]
        bend = torch.stack([torch.autograd.grad(one, free, retain_graph=True)[0] for one in slope])
        free = free.detach() - torch.linalg.solve(bend, slope.detach())
    found = torch.softmax(torch.cat([free, free.new_zeros(1)]), 0)
    np.testing.assert_allclose(found.numpy(), theory.regularised_shares(SHARES, REWARD, 0.7), rtol=1e-9)


def test_rounds_of_weighted_regression_tilt_the_law_each_time_and_end_on_the_best():
    """Exact fits to 10^6 rows, by the weights that the adapter gives: the law of k rounds, and of a curated loop."""
    count, counts = 1_000_000, np.round(SHARES * 1_000_000)
    shares = SHARES
    for round_ in range(1, 6):
        rows = torch.from_numpy(np.repeat(np.arange(4), np.round(shares * count).astype(int)))
        weights = reward_weights(torch.from_numpy(REWARD)[rows], torch.zeros(len(rows), dtype=torch.int64), 1.0)
        assert abs(float(weights.mean()) - 1) < 1e-9
        shares = np.bincount(rows.numpy(), weights.numpy(), 4) / len(rows)
        law = theory.regularised_shares(SHARES, REWARD, 1 / round_)
        np.testing.assert_allclose(shares, law, rtol=round_ * 1e-4)  # rows are whole: the rarest is .004, 4,000 rows
        np.testing.assert_allclose(law, curated_shares(round_, SHARES, REWARD)[round_], rtol=1e-12)
    assert counts.sum() == count and round(law[3], 3) == 0.985
    assert round(float(-law @ np.log(law)), 3) == 0.084


# -- through the training loop -----------------------------------------------------------------------------------------

USUAL = {"images_seen": 960, "batch": 16, "steps": 4, "checks": 2, "learning_rate": 1e-2}
SAID = {
    "rwr": {"reward": "brightness", "samples": 64, "rounds": 3, "temperature": 0.5},
    "draft": {"reward": "brightness", "last": 2},
    "dpo": {"reward": "brightness", "samples": 64, "temperature": 0.01, "beta": 20},
}


def said(name, **changes):
    return ADAPTERS[name].Options.model_validate(USUAL | SAID[name] | changes)


def tuned(name, model, options, run=None, training=None):  # noqa: F811
    run = run or Run(1, options.images_seen)
    return ADAPTERS[name].adapt(model, given(model, options, training), options, run)


@pytest.mark.parametrize("name", SAID)
def test_its_reward_rises_with_a_record_of_what_it_costs(name, model):  # noqa: F811
    found = tuned(name, model, said(name, extractor="pixels")).facts
    checks = found["checks"]
    assert checks["images_seen"] == [0, 480, 960]
    assert checks["reward"][-1] > checks["reward"][0] + 0.02
    assert checks["path_kl"][0] == 0 < checks["path_kl"][-1]
    assert all(one is not None for name in ("recall", "precision", "frechet_distance") for one in checks[name])
    assert found["transfer"]["tuned"]["after"] > found["transfer"]["tuned"]["before"]


@pytest.mark.parametrize("name", SAID)
def test_it_is_killed_and_goes_on_to_the_same_bits(name, model, tmp_path):  # noqa: F811
    options = said(name, images_seen=96)
    for end in (32, 64):
        stop = Run(1, 96, lambda seen, loss, end=end: seen >= end, tmp_path / "state")
        with pytest.raises(Interrupted):
            tuned(name, model, options, stop)
    same(tuned(name, model, options, Run(1, 96, None, tmp_path / "state")), tuned(name, model, options))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAID)
def test_it_is_killed_twenty_times_and_goes_on_to_the_same_bits(name, model, tmp_path):  # noqa: F811
    """At 20 of 30 steps: within a round, between two, and on either side of a check."""
    options = said(name, images_seen=480, extractor="pixels", checks=4)
    ends = sorted({round(30 * (one + 1) / 21) * 16 for one in range(20)})
    assert len(ends) == 20
    for end in ends:
        stop = Run(1, 480, lambda seen, loss, end=end: seen >= end, tmp_path / "state")
        with pytest.raises(Interrupted):
            tuned(name, model, options, stop)
    same(tuned(name, model, options, Run(1, 480, None, tmp_path / "state")), tuned(name, model, options))


def test_the_gradient_of_vectors_is_of_their_own_units():
    rows = np.random.default_rng(0).normal([500.0, 0.0], [10.0, 1.0], (200, 2))
    training = TrainingSet(rows, None, np.ones(200))
    model = MODELS["diffusion"].fit(training, options_of_vectors(), Run(1, 3200))  # noqa: F811
    options = said("draft", reward={"coordinate": {"form": "quadratic", "centre": 520}}, last=4)
    checks = tuned("draft", model, options, None, training).facts["checks"]
    assert checks["reward"][-1] > checks["reward"][0] + 20


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_reward_whose_gradient_is_known_is_the_same_reward(name):
    source = np.random.default_rng(0)
    data = source.integers(0, 256, (5, 1, 4, 4), np.uint8) if name == "brightness" else source.normal(size=(5, 3))
    forms = [{}] if name == "brightness" else [{"index": 1, "beta": 2}, {"form": "quadratic", "centre": 0.5}]
    for form in forms:
        options = REWARDS[name].Options(**form)
        rows = torch.from_numpy(data / 127.5 - 1 if name == "brightness" else data)
        expected = REWARDS[name].reward(SampleSet(data), {}, options)
        np.testing.assert_allclose(DIFFERENTIABLE[name](rows, options).numpy(), expected, atol=1e-7)


# -- pairs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def round_of_people(tmp_path):
    """A sample set and the export of a round: the dark images are good to two of three, the bright ones to nobody."""
    data = np.full((24, 1, 8, 8), 60, np.uint8) + np.arange(24, dtype=np.uint8)[:, None, None, None]
    data[1::2] += 120
    samples = SampleSet(data, np.arange(24) // 2 % 2)
    pool, ballots = tmp_path / "samples.safetensors", tmp_path / "ballots.parquet"
    digest = store.write_samples(pool, samples)
    rows = np.repeat(np.arange(24), 3)
    answers = tuple("bad" if row % 2 or judge == 2 else "good" for row in range(24) for judge in range(3))
    judges = ("a", "b", "c") * 24
    store.write_ballots(ballots, Ballots(rows, judges, answers, np.full(72, np.nan), {"pool": digest}))
    return str(pool), str(ballots), samples


def test_ballots_make_pairs_of_a_class(round_of_people):
    pool, ballots, samples = round_of_people
    pairs = judged(ballots, pool)
    assert len(pairs.chosen) == 2 * 6 * 6
    assert (pairs.chosen % 2 == 0).all() and (pairs.rejected % 2 == 1).all()
    assert (samples.labels[pairs.chosen] == samples.labels[pairs.rejected]).all()


def test_what_people_preferred_is_followed(model, round_of_people):  # noqa: F811
    """They like dark images: brightness, which nobody follows here, falls."""
    pool, ballots, _ = round_of_people
    found = tuned("dpo", model, said("dpo", ballots=ballots, pool=pool)).facts
    assert found["pairs"] == 72 and found["checks"]["reward"][-1] < found["checks"]["reward"][0] - 0.02
    alone = tuned("dpo", model, said("dpo", ballots=ballots, pool=pool, reward=None, images_seen=32)).facts
    assert alone["checks"]["reward"] == [None] * 3 and "transfer" not in alone


def test_ballots_of_other_samples_are_refused(round_of_people, tmp_path):
    pool, ballots, samples = round_of_people
    store.write_samples(tmp_path / "other.safetensors", SampleSet(samples.data[::-1].copy(), samples.labels))
    with pytest.raises(ValueError, match=r"other\.safetensors is not the sample set that .* is about"):
        judged(ballots, str(tmp_path / "other.safetensors"))
    rows = np.arange(3)
    lineage = {"pool": store.recorded_hash(tmp_path / "samples.safetensors")}
    store.write_ballots(tmp_path / "one.parquet", Ballots(rows, ("a",) * 3, ("good",) * 3, rows * 1.0, lineage))
    with pytest.raises(ValueError, match="found 3 samples that more call good and 0 that more call bad, no two"):
        judged(str(tmp_path / "one.parquet"), pool)


def test_a_reward_prefers_by_bradley_and_terrys_law():
    count = 40_000
    samples, rewards = SampleSet(np.zeros((count, 2))), np.arange(count) % 2 * 1.0
    pairs = preferred_by(samples, rewards, 0.5, 7)
    unlike = rewards[pairs.chosen] != rewards[pairs.rejected]
    won, law = rewards[pairs.chosen][unlike].mean(), 1 / (1 + math.exp(-2))
    assert abs(won - law) < 3 * math.sqrt(law * (1 - law) / unlike.sum())
    assert np.array_equal(np.sort(np.concatenate(pairs[1:])), np.repeat(np.arange(count), 2))
    with pytest.raises(ValueError, match="found 2, no two of one class"):
        preferred_by(SampleSet(np.zeros((2, 2)), np.arange(2)), np.zeros(2), 1, 0)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("draft", {"reward": "jpeg_size"}, "found 'jpeg_size', whose gradient nobody knows; allowed: brightness, coor"),
        ("draft", {"last": 5}, "last: found 5, allowed are 1 to 4, the steps of a rollout"),
        ("dpo", {"reward": None}, "reward: found null, and no ballots; somebody has to prefer"),
        ("dpo", {"ballots": "b"}, "pool: found null; what people said and the sample set that they judged go together"),
        ("rwr", {"rounds": 961}, "rounds: found 961, allowed are at most 960"),
    ],
)
def test_what_would_be_wrong_is_refused(name, changes, words):
    with pytest.raises(ValueError, match=words):
        said(name, **changes)
