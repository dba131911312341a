"""Trainings of the diffusion family in all their forms: what they learn, choose, and go on from."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from collapselab import store
from collapselab.core.ask import Ask
from collapselab.core.errors import Interrupted
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.engine import averages
from collapselab.models.diffusion import Diffusion, DiffusionOptions
from collapselab.models.diffusion.networks import loaded
from collapselab.models.diffusion.parameterisations import parameterisation
from collapselab.models.diffusion.training import Denoising, validation_loss
from collapselab.models.stored import Stored

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
SMALL = {"channels": 32, "blocks": 1, "classes": 2, "images_seen": 3_200, "batch": 32, "sample_batch": 8, "steps": 6}
DDPM = {"parameterisation": "ddpm", "timesteps": 100, "beta_end": 0.1}


def small(**options) -> DiffusionOptions:
    return DiffusionOptions(**(SMALL | options))


def halves(count: int = 64) -> TrainingSet:
    """4 x 4 images: class 0 is bright on the left, class 1 dark on the left; grey elsewhere."""
    labels = np.arange(count) % 2
    data = np.full((count, 1, 4, 4), 128, np.uint8)
    data[:, :, :, :2] = np.where(labels == 0, 230, 25)[:, None, None, None]
    return TrainingSet(data, labels, np.ones(count))


def noisy_halves(count: int, seed: int) -> TrainingSet:
    """The same with noise in every pixel: there is something to learn by heart and something to generalise."""
    plain = halves(count)
    noise = np.random.default_rng(seed).normal(0, 25, plain.data.shape)
    return dataclasses.replace(plain, data=np.clip(plain.data + noise, 0, 255).astype(np.uint8))


# -- parameterisations -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["epsilon", "v_prediction", "sample"])
def ddpm(request) -> Diffusion:
    options = small(**DDPM, prediction=request.param, images_seen=24_000, channels=64, learning_rate=5e-3)
    return Diffusion.fit(halves(), options, Run(1))


@pytest.mark.parametrize(
    "sampling", [{}, {"sampler": "ddim", "steps": 50, "eta": 1.0}, {"sampler": "ddim", "steps": 25}]
)
def test_ddpm_learns_both_classes(ddpm, sampling):
    """Over 24 seeds a share of .925 at least were of their class, .97 on average for the worst of the nine cases
    (deviation .026), at a median distance of 26 at most (19.7, deviation 5.6). Without a training half are, 100 away.
    """
    options = ddpm.options.model_copy(update=sampling)  # of no matter to the training
    samples = Diffusion(options, ddpm.shape, ddpm.averaged, ddpm.curve).sample(Ask(40, 7))
    left, aim = samples.data[:, 0, :, :2].mean(axis=(1, 2)), np.where(samples.labels == 0, 230, 25)
    assert ((left > 128) == (aim > 128)).mean() > 0.8 and np.median(np.abs(left - aim)) < 50


def test_the_simple_loss_of_a_silent_network_is_1():
    """Ho et al. 2020, equation 14: a network that predicts no noise errs by that noise's variance."""
    model = Diffusion.fit(halves(), small(**DDPM, learning_rate=1e-12, images_seen=6_400), Run(1))
    # 6400 images of 16 pixels: a mean of squares, with a standard error of sqrt(2 / 102400) = .0044.
    assert model.curve["loss"].mean() == pytest.approx(1.0, abs=0.018)


@pytest.mark.parametrize("options", [{}, DDPM])
def test_half_the_digits_are_enough_to_learn(options):
    found = Diffusion.fit(
        halves(), small(**options, images_seen=9_600, learning_rate=5e-3, precision="bfloat16"), Run(1)
    )
    full = Diffusion.fit(halves(), small(**options, images_seen=9_600, learning_rate=5e-3), Run(1))
    assert all(array.dtype == np.float32 for array in found.averaged.values())
    assert not np.array_equal(found.curve["loss"], full.curve["loss"])
    assert found.curve["loss"][-10:].mean() == pytest.approx(full.curve["loss"][-10:].mean(), rel=0.2)


# -- augmentation ------------------------------------------------------------------------------------------------------


def test_augmentation_does_not_leak():
    """Trained on images that are mirrored, turned and moved, the model samples none that is."""
    data = halves()
    one_side = TrainingSet(data.data[data.labels == 0], None, np.ones(32))  # bright on the left, always
    options = small(classes=0, channels=64, images_seen=38_400, learning_rate=5e-3, steps=12, augment=0.5)
    samples = Diffusion.fit(one_side, options, Run(1)).sample(Ask(64, 2)).data[:, 0].astype(int)
    # Over 23 seeds all were, by 48 at least; a quarter would be dark on the left, as is what is mirrored in training.
    assert (samples[:, :, :2].mean(axis=(1, 2)) > samples[:, :, 2:].mean(axis=(1, 2)) + 40).mean() > 0.95
    # As many are turned by enough to tell: without being told it shows.
    task = Denoising(torch.nn.Linear(1, 1), options, (1, 4, 4), 1)
    assert set(task.draw(4)) == {"augmentation", "sigma", "noise"}


# -- averages ----------------------------------------------------------------------------------------------------------


def test_a_tracked_width_is_the_average_that_is_asked_for():
    options = small(ema="power", ema_std=0.1, images_seen=640)
    paths = []

    class Watched(Denoising):
        def after_step(self, images_seen, batch):
            super().after_step(images_seen, batch)
            paths.append([parameter.detach().double().clone() for parameter in self.network.parameters()])

    from collapselab.models.diffusion import training

    original, training.Denoising = training.Denoising, Watched
    try:
        model = Diffusion.fit(halves(), options, Run(1))
    finally:
        training.Denoising = original
    edges = (np.arange(21) / 20) ** (averages.gamma_of(0.1) + 1)
    for index, found in enumerate(model.averaged.values()):
        expected = sum(share * path[index] for share, path in zip(np.diff(edges), paths, strict=True))
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert model.chosen == {} and not any(name.startswith(("chosen", "ladder")) for name in model.stored().tensors)


@pytest.fixture(scope="module")
def chosen() -> tuple[Diffusion, TrainingSet]:
    validation = noisy_halves(96, 1)
    options = small(ema="power", images_seen=12_800, learning_rate=1e-2)
    return Diffusion.fit(noisy_halves(64, 0), options, Run(1, validation=validation)), validation


def test_the_width_with_the_least_loss_on_validation_rows_is_chosen(chosen, tmp_path):
    model, validation = chosen
    widths, losses = model.ladder["ema_std"], model.ladder["loss"]
    assert widths.tolist() == list(averages.LADDER) and np.isfinite(losses).all()
    assert model.chosen == {"ema_std": widths[losses.argmin()]} and model.options.left_open == ("ema_std",)
    # There was something to choose: over 20 seeds the ratio is 1.05 (deviation .01); 1 of widths that are all the same.
    assert losses.max() > 1.005 * losses.min()
    # It is the loss of the weights that the model has; and the model is stored with it.
    process = parameterisation(model.options, CPU)
    own = validation_loss(
        loaded(model.options, model.shape, model.averaged, CPU), model.options, process, validation, CPU
    )
    assert own == losses.min()
    store.write_tensors(tmp_path / "model.safetensors", model.stored().tensors, {})
    again = Diffusion.load(Stored(store.read_tensors(tmp_path / "model.safetensors")[0]), model.options)
    assert again.chosen == model.chosen
    np.testing.assert_array_equal(again.ladder["loss"], losses)


def test_a_later_training_with_the_choice_tracks_it(chosen):
    model, _ = chosen
    options = DiffusionOptions(**(model.options.model_dump(exclude_unset=True) | model.chosen))
    assert options.left_open == ()
    tracked = Diffusion.fit(noisy_halves(64, 0), options, Run(1))
    # The same training: its average is the chosen one, but for the reconstruction's error of at most 13 % of how far
    # the weights moved within the average.
    difference = sum(((tracked.averaged[name] - array) ** 2).sum() for name, array in model.averaged.items())
    size = sum((array**2).sum() for array in model.averaged.values())
    assert math.sqrt(difference / size) < 0.01
    if model.chosen["ema_std"] in averages.TRACKED:
        assert difference == 0


def test_the_choice_depends_on_the_validation_rows_alone(chosen):
    model, validation = chosen
    doubled = dataclasses.replace(validation, weights=2 * validation.weights)
    again = Diffusion.fit(noisy_halves(64, 0), model.options, Run(1, validation=doubled))
    np.testing.assert_allclose(again.ladder["loss"], model.ladder["loss"], rtol=1e-12)
    for name, array in model.averaged.items():
        np.testing.assert_array_equal(array, again.averaged[name])


def test_a_width_left_open_needs_rows_to_choose_it():
    with pytest.raises(ValueError, match="ema_std: found None, which leaves it to validation rows, and there are none"):
        Diffusion.fit(halves(), small(ema="power"), Run(1))
    with pytest.raises(ValueError, match="labels"):
        Diffusion.fit(halves(), small(ema="power"), Run(1, validation=dataclasses.replace(halves(), labels=None)))


def test_snapshots_to_look_at_have_their_own_choice():
    seen = []
    options = small(ema="power", images_seen=1_280, snapshots=3)
    model = Diffusion.fit(
        halves(), options, Run(1, validation=halves(8), inspect=lambda model, images: seen.append((images, model)))
    )
    assert [images for images, _ in seen] == [320, 640, 960]
    assert all(part.chosen and len(part.ladder["loss"]) == len(averages.LADDER) for _, part in seen)
    unseen = Diffusion.fit(halves(), options.model_copy(update={"snapshots": 0}), Run(1, validation=halves(8)))
    for name, array in model.averaged.items():  # looking changes nothing
        np.testing.assert_array_equal(array, unseen.averaged[name])


# -- interruption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"ema": "power", "ema_snapshots": 4},
        {"ema": "power", "ema_std": 0.07, "augment": 0.3, "dropout": 0.1},
        {**DDPM, "flip": True, "precision": "bfloat16"},
    ],
)
def test_a_stopped_training_goes_on_to_the_same_bits(options, tmp_path, monkeypatch):
    chosen, validation = small(**options, images_seen=1_280), noisy_halves(16, 1)
    whole = Diffusion.fit(noisy_halves(64, 0), chosen, Run(1, validation=validation))
    with pytest.raises(Interrupted):
        Diffusion.fit(
            noisy_halves(64, 0),
            chosen,
            Run(1, validation=validation, checkpoint=tmp_path, progress=lambda seen, loss: seen >= 672),
        )
    seen = []
    rest = Diffusion.fit(
        noisy_halves(64, 0),
        chosen,
        Run(1, validation=validation, checkpoint=tmp_path, progress=lambda now, loss: seen.append(now)),
    )
    assert seen[0] == 704
    for name, array in whole.stored().tensors.items():
        np.testing.assert_array_equal(rest.stored().tensors[name], array)


def test_other_validation_rows_make_another_training(tmp_path, caplog):
    options = small(ema="power", images_seen=640)

    def first_step(validation: TrainingSet, stop_at: int) -> int:
        seen = []

        def progress(now: int, loss: float) -> bool:
            seen.append(now)
            return now >= stop_at

        with pytest.raises(Interrupted):
            Diffusion.fit(halves(), options, Run(1, validation=validation, checkpoint=tmp_path, progress=progress))
        return seen[0]

    first_step(halves(8), 320)
    assert first_step(halves(8), 352) == 352
    assert first_step(halves(10), 352) == 32 and "another training" in caplog.text


# -- what a network can hold -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "near", "options"),
    [
        (800, 13, {"network": "mlp", "channels": 128, "blocks": 2, "learning_rate": 3e-3}),
        pytest.param(
            200,
            20,
            {"network": "unet", "channels": 16, "blocks": 1, "multipliers": (1, 2), "attention": (), "batch": 32}
            | {"learning_rate": 5e-3, "steps": 10},
            marks=pytest.mark.slow,
        ),
        (
            300,
            5,
            {"network": "mlp", "channels": 128, "blocks": 2, "learning_rate": 3e-3, **DDPM, "prediction": "sample"}
            | {"sampler": "ddim", "steps": 50},
        ),
    ],
)
def test_eight_images_are_learned_by_heart(steps, near, options):
    """Random images, of which nothing generalises: samples are copies, and every image is copied.

    Over 24 seeds the share of copies was .984, .990 and .997 on average, .9375 at least (deviations of .017, .011 and
    .006), and the median distance 9.2, 14.1 and 2.1 (deviations of .5, 1.2 and .2). Without a step the share is 0 and
    the distance above 68; after a quarter of the first case's steps they are .02 and 44; with equal weight for all
    noise levels the first two distances are 19 and 31.
    """
    data = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), np.uint8)
    batch = options.get("batch", 64)
    chosen = {"classes": 0, "batch": batch, "warmup_images": 10 * batch, "ema_half_life": 50 * batch}
    chosen |= {"images_seen": steps * batch, "sigma_data": 0.58} | options
    model = Diffusion.fit(TrainingSet(data, None, np.ones(8)), DiffusionOptions(**chosen), Run(1))
    samples = model.sample(Ask(128, 1)).data.astype(float)
    distances = np.sqrt(((samples[:, None] - data[None]) ** 2).mean(axis=(2, 3, 4)))
    nearest = np.sort(distances, axis=1)
    # Two of the images differ by 255 / sqrt(6) = 104 grey levels; a copy is nearer to its original than a third of that
    # to any other.
    assert np.mean(nearest[:, 0] < nearest[:, 1] / 3) > 0.8 and np.median(nearest[:, 0]) < near
    assert len(set(distances.argmin(axis=1))) == 8  # each is expected 16 times; one is missed with probability 3e-7
    assert model.curve["loss"][-10:].mean() < 0.6 * model.curve["loss"][:2].mean()  # at most .45; 1 without a step


# -- operations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "shape", "forward", "training", "evaluations"),
    [
        # Counted from the networks of Karras et al. 2022, in 1e9; without the vectors of classes and augmentation.
        ("cifar10", (3, 32, 32), 42.38, 127.14, 35),
        ("faces64", (3, 64, 64), 83.73, 251.2, 79),
        ("small32", (3, 32, 32), 10.69, 32.1, 35),
    ],
)
def test_operations_are_those_of_the_published_networks(preset, shape, forward, training, evaluations):
    found = Diffusion.flops_per_image(DiffusionOptions(preset=preset), shape)
    assert found["sampling"] / evaluations / 1e9 == pytest.approx(forward, rel=2e-3)
    assert found["training"] / 1e9 == pytest.approx(training, rel=5e-3)


def test_operations_of_a_perceptron_are_counted_by_hand():
    options = DiffusionOptions(network="mlp", channels=64, blocks=2, classes=3, steps=5, sampler="ddim")
    embedding = 3 * 16 + 2 * 16 * 16
    macs = 16 * 64 + 2 * (2 * 64 * 64 + 16 * 64) + 64 * 16 + embedding
    assert Diffusion.flops_per_image(options, (1, 4, 4))["sampling"] == 5 * 2 * macs


# -- on a GPU ----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("execution", ["eager", "graphs", "channels_last,graphs"])
@pytest.mark.parametrize("options", [{}, DDPM])
def test_every_form_runs_on_a_gpu(options, execution, monkeypatch):
    """Augmentation, a chosen average and noise in the sampler, in bfloat16, recorded or not."""
    monkeypatch.setenv("COLLAPSELAB_EXECUTION", execution)
    network = {"network": "unet", "channels": 16, "multipliers": (1, 2), "attention": (4,)}
    chosen = {"ema": "power", "augment": 0.3, "precision": "bfloat16", "churn": 2.0, "images_seen": 6_400, **network}
    model = Diffusion.fit(halves(), small(**chosen, **options), Run(1, validation=halves(16)))
    assert model.curve["loss"][-5:].mean() < model.curve["loss"][:5].mean()
    assert model.chosen["ema_std"] in averages.LADDER
    whole = model.sample(Ask(21, 3, bias=0.8)).data
    np.testing.assert_array_equal(model.sample(Ask(7, 3, start=9, bias=0.8)).data, whole[9:16])
