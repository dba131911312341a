"""Networks on vectors: the rows that they are fed, their scale, and the denoiser of points."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.spatial.distance import cdist  # noqa: E402

from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.errors import Diverged  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import TrainingSet  # noqa: E402
from collapselab.engine import feeding  # noqa: E402
from collapselab.engine.scale import Scale  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.arrays import part  # noqa: E402
from collapselab.models.diffusion import Diffusion, DiffusionOptions  # noqa: E402

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
SHORT = {"preset": "points", "channels": 32, "blocks": 1, "images_seen": 12_800, "sample_batch": 50}
SMALL = {
    "diffusion": SHORT,
    "vae": {"hidden": 16, "sample_batch": 50},
    "flow": {"hidden": 16, "bins": 4, "sample_batch": 50},
    "gan": {"hidden": 16, "sample_batch": 50},
}


def weighted(data, weights=None):
    return TrainingSet(data, None, np.ones(len(data)) if weights is None else weights)


def points(count, seed, dimensions=2):
    return np.random.default_rng(seed).standard_normal((count, dimensions))


def two_moons(count, seed):
    source = np.random.default_rng(seed)
    angle, moon = source.uniform(0, np.pi, count), source.integers(0, 2, count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return np.where(moon[:, None], upper, lower) + 0.05 * source.standard_normal((count, 2))


def inside(probes, cloud, neighbours=3):
    """The share of probes that are nearer to a point of the cloud than that one's third neighbour there is."""
    radii = np.sort(cdist(cloud, cloud), axis=1)[:, neighbours]
    return (cdist(probes, cloud) <= radii).any(axis=1).mean()


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", ["resident", "streamed"])
def test_the_loop_feeds_vectors_as_they_are(feed):
    data = points(20, 0, 5).astype(np.float32) * 1e6
    training, plan = weighted(data, np.linspace(0.5, 1.5, 20)), feeding.Plan(3, 20, 8, 0, 1)
    fed = feeding.Resident(training, plan, CPU) if feed == "resident" else feeding.Streamed(training, plan, CPU, 0, 3)
    for step in range(3):
        rows = fed.rows(step)
        assert rows.images.dtype == torch.float32
        np.testing.assert_array_equal(rows.images.numpy(), data[plan(step)])
        np.testing.assert_allclose(rows.weights.numpy(), training.weights[plan(step)], rtol=1e-6)


def test_a_scale_has_the_weighted_moments():
    data, weights = points(50, 1, 3) * [1.0, 10.0, 0.1] + 7, np.random.default_rng(2).uniform(0, 1, 50)
    scale = Scale.of(weighted(data, weights))
    np.testing.assert_allclose(scale.location, np.average(data, axis=0, weights=weights), rtol=1e-13)
    covariance = np.cov(data.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(scale.scale**2, np.diag(covariance), rtol=1e-12)
    np.testing.assert_allclose(scale.restored(scale.standardised(data)), data, rtol=1e-13)
    shared = Scale.of(weighted(data, weights), shared=True)
    np.testing.assert_allclose(shared.scale**2, np.trace(covariance) / 3, rtol=1e-12)


def test_the_scale_of_images_is_that_of_their_pixels():
    """Large sets are summed in pieces; a pixel's own variance has that of what is uniform within a byte beside it."""
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (5000, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0] = 9
    pixels = images.reshape(5000, 4) / 127.5 - 1
    scale = Scale.of(weighted(images))
    np.testing.assert_allclose(scale.location, pixels.mean(axis=0), atol=1e-6)  # to_unit rounds to float32
    np.testing.assert_allclose(scale.scale**2, pixels.var(axis=0) + 1 / 12 / 127.5**2, rtol=1e-5)


def test_what_does_not_vary_has_scale_1():
    data = np.column_stack([np.full(9, 3.0), np.arange(9.0)])
    np.testing.assert_array_equal(Scale.of(weighted(data)).scale[:1], [1.0])
    np.testing.assert_array_equal(Scale.of(weighted(np.full((9, 2), 3.0)), shared=True).scale, [1.0, 1.0])


@pytest.mark.parametrize("family", SMALL)
def test_what_is_learned_does_not_depend_on_the_origin_and_the_unit(family):
    """Powers of two and sums without rounding: the standardised rows, so the weights, are the same to rounding of the
    moments, and samples move with the data."""
    model, data = MODELS[family], np.round(points(100, 3) * 2**12) / 2**12
    options = model.Options.model_validate(SMALL[family])
    budget = 10 * options.batch
    near = model.fit(weighted(data), options, Run(5, images_seen=budget))
    far = model.fit(weighted(data * 2.0**-20 + 1000), options, Run(5, images_seen=budget))
    # Samples lie at 1000 with a width of 1e-6: float64 keeps 7 digits of them.
    found = (far.sample(Ask(200, 1)).data - 1000) * 2.0**20
    np.testing.assert_allclose(found, near.sample(Ask(200, 1)).data, atol=1e-4)


@pytest.mark.parametrize("family", SMALL)
def test_weights_say_how_much_a_row_counts(family):
    """A row without weight has no part in the result, wherever it lies."""
    model, data = MODELS[family], points(64, 3)
    options = model.Options.model_validate(SMALL[family])
    weights = (np.arange(64) < 32).astype(float)
    moved = np.where(weights[:, None] > 0, data, data + 0.5)
    one, other = (model.fit(weighted(rows, weights), options, Run(5, images_seen=2_000)) for rows in (data, moved))
    samples = one.sample(Ask(100, 1)).data, other.sample(Ask(100, 1)).data
    np.testing.assert_allclose(*samples, atol=1e-3)


@pytest.mark.parametrize("family", SMALL)
def test_a_training_goes_on_from_another_ones_weights_at_its_own_scale(family):
    model = MODELS[family]
    options = model.Options.model_validate(SMALL[family])
    first = model.fit(weighted(points(100, 3)), options, Run(5, images_seen=20 * options.batch))
    data = 100 + 3 * points(100, 4)
    later = model.fit(weighted(data), options, Run(6, images_seen=1), first)
    np.testing.assert_allclose(later.scale.location, data.mean(axis=0), rtol=1e-12)
    before, after = (part(model.stored().tensors, "network.") for model in (first, later))
    apart = [np.abs(after[name] - weight).max() for name, weight in before.items()]
    assert max(apart) < 2 * options.learning_rate  # one step of Adam, on either side of the average
    with pytest.raises(ValueError, match="this network has it of shape"):
        model.fit(weighted(points(100, 4, 3)), options, Run(6, images_seen=1), first)


@pytest.mark.parametrize("family", SMALL)
def test_wrong_rows_are_refused_in_words(family):
    model = MODELS[family]
    options = model.Options.model_validate(SMALL[family])
    for wrong in (np.zeros(5), np.zeros((5, 2), np.int64), np.zeros((0, 2)), np.zeros((5, 1, 4, 4))):
        with pytest.raises(ValueError, match="training data: found"):
            model.fit(TrainingSet(wrong, None, np.ones(len(wrong))), options, Run(1, images_seen=1))
    with pytest.raises(ValueError, match="training weights"):
        model.fit(weighted(points(5, 0), np.full(5, -1.0)), options, Run(1, images_seen=1))
    data = points(5, 0)
    data[2, 1] = np.nan
    with pytest.raises(Diverged):
        model.fit(weighted(data), options, Run(1, images_seen=1))


# -- the denoiser of vectors -------------------------------------------------------------------------------------------


def test_points_of_two_moons_are_made_and_reached():
    """By k nearest neighbours held-out points have .96 and .97; with 3 of 1000 neighbours each share scatters by .01.
    A Gaussian of the same moments has a precision of .4. Over 20 seeds the model's are .93 and .94 (deviations of .01).
    """
    options = DiffusionOptions(preset="points", channels=96, images_seen=100_000)
    moons = Diffusion.fit(weighted(two_moons(1000, 0)), options, Run(3))
    held_out, samples = two_moons(1000, 1), moons.sample(Ask(1000, 5)).data
    assert samples.dtype == np.float64
    assert inside(samples, held_out) > 0.85 and inside(held_out, samples) > 0.85


def test_the_likelihood_of_vectors_is_a_density():
    """Its sum over a grid that holds all mass is 1, in the data's units: to the solver's error at so few steps, which
    falls with their fourth power and is below .01 at 16 of them for a Gaussian, and the grid's, which is less where no
    octaves make the density rough. Over 24 seeds 1.004, deviation .006; 1 / 4 without the unit of the two axes."""
    data = 0.5 * points(200, 0) + 3
    smooth = SHORT | {"octaves": 0, "learning_rate": 5e-4}
    model = Diffusion.fit(weighted(data), DiffusionOptions.model_validate(smooth), Run(1))
    axis = np.linspace(0.5, 5.5, 26)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(model.log_likelihood(grid, 0, steps=16, probes=0)).sum() * 0.2**2
    assert mass == pytest.approx(1, abs=0.03)


def test_the_density_of_vectors_counts_their_unit():
    """The networks are the same: what is tested is the factor of 2^-20 in each axis."""
    data, options = points(200, 0), DiffusionOptions.model_validate(SHORT)
    near, far = (Diffusion.fit(weighted(rows), options, Run(1)) for rows in (data, data * 2.0**-20))
    apart = far.log_likelihood(data * 2.0**-20, 0) - near.log_likelihood(data, 0)
    np.testing.assert_allclose(apart, 2 * 20 * np.log(2), atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "unet"}, "network: found 'unet', allowed is 'mlp'"),
        ({"flip": True}, "flip: found True, allowed is False"),
        ({"augment": 0.1}, "augment: found 0.1, allowed is 0"),
    ],
)
def test_what_is_of_images_is_refused_for_vectors(changes, message):
    options = DiffusionOptions.model_validate(SHORT | changes)
    with pytest.raises(ValueError, match=message):
        Diffusion.fit(weighted(points(20, 0)), options, Run(1, images_seen=1))
    with pytest.raises(ValueError, match=message):
        Diffusion.stored_bytes(options, (2,), 0)


def test_octaves_tell_narrow_modes_apart():
    """Eight modes of a fiftieth of their distance: without octaves as short a training makes more points between.

    Over 20 seeds the shares near a mode are .75 and .25, and differ by .50 (deviation .10); by 0 if octaves do nothing.
    """
    source = np.random.default_rng(0)
    data = source.integers(0, 8, (400, 1)) + 0.02 * source.standard_normal((400, 1))
    near = {}
    for octaves in (0, 4):
        options = DiffusionOptions.model_validate(SHORT | {"octaves": octaves, "images_seen": 51_200})
        samples = Diffusion.fit(weighted(data), options, Run(1)).sample(Ask(1000, 2)).data
        near[octaves] = (np.abs(samples - np.round(samples)) < 0.1).mean()
    assert near[4] > near[0] + 0.1
