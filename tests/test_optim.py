"""The optimiser, against torch's own and against itself after an interruption."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from collapselab.engine.optim import Adam  # noqa: E402

pytestmark = pytest.mark.trained


def parameters(seed=0):
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=source).requires_grad_() for shape in ((3, 4), (5,), ())]


def loss(tensors):
    return sum((tensor**4).sum() + tensor.sin().sum() for tensor in tensors)


def gradients(tensors):
    return torch.autograd.grad(loss(tensors), tensors)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_steps_are_those_of_adam(betas):
    """Tolerance: fifty steps that differ by the order of a float32 sum, 2^-24 relative each."""
    ours, theirs = parameters(), parameters()
    adam, reference = Adam(ours, 1e-2, betas), torch.optim.Adam(theirs, 1e-2, betas)
    for step in range(50):
        adam.lr = reference.param_groups[0]["lr"] = 1e-2 / (1 + step)
        adam.step(gradients(ours))
        loss(theirs).backward()
        reference.step()
        reference.zero_grad()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=50 * 2**-24, atol=50 * 2**-24)


def test_the_first_step_has_the_length_of_the_learning_rate():
    """At t = 1 the corrected moments are g and g^2, so every parameter moves by lr against the sign of its gradient."""
    tensors = parameters()
    before = [tensor.detach().clone() for tensor in tensors]
    adam = Adam(tensors, 1e-3)
    found = gradients(tensors)
    adam.step(found)
    for tensor, old, gradient in zip(tensors, before, found, strict=True):
        torch.testing.assert_close(tensor.detach(), old - 1e-3 * gradient.sign(), rtol=0, atol=1e-6)


def test_a_restored_state_goes_on_to_the_same_bits():
    straight = parameters()
    adam = Adam(straight, 1e-2)
    for step in range(20):
        if step == 7:
            saved = [tensor.detach().clone().requires_grad_() for tensor in straight]
            state = adam.state()
        adam.lr = 1e-2 / (1 + step % 8)  # the state holds what the last step left for the next one
        adam.step(gradients(straight))
    resumed = Adam(saved, 1.0)
    resumed.restore(state)
    assert resumed.lr == 1e-2 / 7 and resumed.count == 7
    for step in range(7, 20):
        resumed.lr = 1e-2 / (1 + step % 8)
        resumed.step(gradients(saved))
    assert all(torch.equal(one, other) for one, other in zip(straight, saved, strict=True))
    assert all(np.array_equal(adam.state()[name], array) for name, array in resumed.state().items())


def test_gradients_may_lie_in_memory_in_another_order_than_their_parameter():
    """A convolution's gradient may come with its channels last, a matrix' transposed: the numbers must find theirs."""
    source = torch.Generator().manual_seed(0)
    shapes = ((4, 3, 3, 3), (5, 6))
    straight = [torch.randn(shape, generator=source) for shape in shapes]
    turned = [tensor.clone() for tensor in straight]
    turned[0] = turned[0].contiguous(memory_format=torch.channels_last)
    slopes = [torch.randn(shape, generator=source) for shape in shapes]
    swapped = [slopes[0].contiguous(memory_format=torch.channels_last), slopes[1].t().contiguous().t()]
    one, other, third = Adam(straight, 1e-2), Adam(turned, 1e-2), Adam([t.clone() for t in straight], 1e-2)
    for _ in range(3):
        one.step(slopes)
        other.step(slopes)
        third.step(swapped)
    for found in (other.parameters, third.parameters):
        assert all(torch.equal(a, b) for a, b in zip(straight, found, strict=True))


def test_every_parameter_needs_its_gradient():
    tensors = parameters()
    adam = Adam(tensors, 1e-2)
    with pytest.raises(ValueError, match="gradients: found 2, allowed are 3"):
        adam.step(gradients(tensors)[:2])
    assert adam.count == 0
