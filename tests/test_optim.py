"""The optimiser, against torch's own and against itself after an interruption."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from collapselab.optim import Adam  # noqa: E402


def parameters(seed=0):
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=source).requires_grad_() for shape in ((3, 4), (5,), ())]


def backward(tensors):
    sum((tensor**4).sum() + tensor.sin().sum() for tensor in tensors).backward()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_steps_are_those_of_adam(betas):
    """Tolerance: fifty steps that differ by the order of a float32 sum, 2^-24 relative each."""
    ours, theirs = parameters(), parameters()
    adam, reference = Adam(ours, 1e-2, betas), torch.optim.Adam(theirs, 1e-2, betas)
    for step in range(50):
        adam.lr = reference.param_groups[0]["lr"] = 1e-2 / (1 + step)
        backward(ours)
        backward(theirs)
        adam.step()
        reference.step()
        reference.zero_grad()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=50 * 2**-24, atol=50 * 2**-24)


def test_the_first_step_has_the_length_of_the_learning_rate():
    """At t = 1 the corrected moments are g and g^2, so every parameter moves by lr against the sign of its gradient."""
    tensors = parameters()
    before = [tensor.detach().clone() for tensor in tensors]
    adam = Adam(tensors, 1e-3)
    backward(tensors)
    signs = [tensor.grad.sign() for tensor in tensors]
    adam.step()
    for tensor, old, sign in zip(tensors, before, signs, strict=True):
        torch.testing.assert_close(tensor.detach(), old - 1e-3 * sign, rtol=0, atol=1e-6)


def test_a_restored_state_goes_on_to_the_same_bits():
    straight = parameters()
    adam = Adam(straight, 1e-2)
    for step in range(20):
        if step == 7:
            saved = [tensor.detach().clone().requires_grad_() for tensor in straight]
            state = adam.state()
        backward(straight)
        adam.step()
    resumed = Adam(saved, 1e-2)
    resumed.restore(state)
    for _ in range(13):
        backward(saved)
        resumed.step()
    assert all(torch.equal(one, other) for one, other in zip(straight, saved, strict=True))
    assert all(np.array_equal(adam.state()[name], array) for name, array in resumed.state().items())


def test_gradients_are_forgotten_and_missing_ones_are_named():
    tensors = parameters()
    adam = Adam(tensors, 1e-2)
    backward(tensors)
    adam.step()
    assert all(tensor.grad is None for tensor in tensors)
    backward(tensors[:1])
    with pytest.raises(ValueError, match="number 1 has no gradient"):
        adam.step()
    assert adam.count == 1
