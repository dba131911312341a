"""A trained denoiser that is moved by another loss: by all of its weights or by updates of low rank, and its end."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch_families import images, options_of

from collapselab.adapt.denoising import NONE, Tuning, moved_by, noised
from collapselab.adapt.tuning import TuningOptions
from collapselab.core.errors import Interrupted
from collapselab.core.run import Run
from collapselab.engine.low_rank import LowRank
from collapselab.models import MODELS

STEPS = 6


class Further(Tuning):
    """Towards the rows themselves: the loss of the training."""

    def loss(self, batch):
        return self.errors(batch.images, batch.images, batch.draws, batch.labels)


class Short(Further):
    """The same, at its end after two steps."""

    def __init__(self, *said):
        super().__init__(*said)
        self.steps = torch.zeros(())

    def after_step(self, images_seen, batch):
        self.steps += 1

    def tensors(self):
        return {"steps": self.steps}

    def ended(self):
        return float(self.steps) == 2


@pytest.fixture(scope="module")
def model():
    options = options_of("diffusion", classes=2, label_dropout=0.1)
    return MODELS["diffusion"].fit(images(), options, Run(3, 64))


def tuned_by(rule, model, run=None, **how):
    options = TuningOptions(**{"images_seen": 8 * STEPS, "batch": 8, "learning_rate": 1e-3} | how)
    return moved_by(rule, model, images(), options, run or Run(1, options.images_seen))


def test_low_rank_updates_have_their_rank_and_whole_ones_move_every_weight(model):
    tuned, low = (tuned_by(Further, model, rank=rank)[0] for rank in (0, 2))
    for name, before in model.weights().items():
        assert tuned.weights()[name].shape == before.shape
        change = low.weights()[name] - before
        if before.ndim < 2:
            assert not change.any()
        else:
            values = np.linalg.svd(change.reshape(len(change), -1).astype(np.float64), compute_uv=False)
            rounding = 2.0**-23 * np.abs(before).max() * np.sqrt(change.size)  # the Frobenius norm of float32's
            assert (values[2:] <= rounding).all(), name
    assert any((low.weights()[name] != before).any() for name, before in model.weights().items())
    moved = [name for name in model.weights() if (tuned.weights()[name] != model.weights()[name]).any()]
    assert len(moved) > len(model.weights()) / 2


def test_an_update_is_nothing_at_first_and_what_it_says_is_what_is_merged(model):
    from collapselab.models.diffusion.networks import loaded

    network = loaded(model.options, model.shape, model.weights(), torch.device("cpu"))
    update = LowRank(network, 3, 5)
    said = torch.randn(4, *model.shape), torch.zeros(4), torch.eye(2)[[0, 1, 0, 1]]
    assert torch.equal(update.called(network)(*said), network(*said))
    with torch.no_grad():
        for up in update.up:
            up.normal_(0, 0.1)
    expected = update.called(network)(*said)
    with torch.no_grad():
        for name, weight in update.merged(network).items():
            dict(network.named_parameters())[name].copy_(weight)
    assert torch.equal(network(*said), expected)


def test_what_stands_before_stays_and_a_row_without_a_class_is_told_none(model):
    seen = []

    class Watching(Further):
        def loss(self, batch):
            noisy, sigma = noised(batch.images, batch.draws), batch.draws["sigma"]
            nobody = torch.full((len(noisy),), NONE)
            before = self.denoised_before(noisy, sigma, batch.labels)
            with torch.no_grad():
                assert torch.equal(self.denoised(noisy, sigma, nobody), self.denoised(noisy, sigma))
                now = self.denoised(noisy, sigma, batch.labels)
            seen.append(float((now - before).abs().max()))
            assert not before.requires_grad
            return super().loss(batch)

    tuned_by(Watching, model)
    assert seen[0] == 0 and all(one > 0 for one in seen[1:])


@pytest.mark.parametrize("rank", [0, 2])
def test_it_is_interrupted_and_goes_on_to_the_same_bits(model, tmp_path: Path, rank):
    whole, _ = tuned_by(Further, model, rank=rank)
    stop = Run(1, 8 * STEPS, progress=lambda seen, loss: seen >= 24, checkpoint=tmp_path / "state")
    with pytest.raises(Interrupted):
        tuned_by(Further, model, stop, rank=rank)
    resumed, _ = tuned_by(Further, model, Run(1, 8 * STEPS, checkpoint=tmp_path / "state"), rank=rank)
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(array, resumed.weights()[name])


def test_a_training_that_ends_by_itself_has_seen_less_than_its_budget(model):
    short, tuning = tuned_by(Short, model)
    assert short.curve["images_seen"][-1] == 16 and float(tuning.steps) == 2
    two, _ = tuned_by(Further, model, Run(1, 16), images_seen=16)
    for name, array in two.weights().items():
        np.testing.assert_array_equal(array, short.weights()[name])
