"""ADA's augmentations: each against its formula, and the argument why they do not leak into the samples."""

import math

import numpy as np
import pytest
import torch

from collapselab.models.stylegan2 import augment as augmentation
from collapselab.models.stylegan2.augment import AFFINE, NORMALS, TRANSFORMATIONS, UNIFORMS, augment

SIZE = 16


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(count: int, seed: int = 0, only: tuple[str, ...] = TRANSFORMATIONS) -> dict[str, torch.Tensor]:
    """Random numbers of images, float64, by which nothing but ``only`` can happen."""
    torch.manual_seed(seed)
    draws = {name: drawn.double() for name, drawn in augmentation.draw(count, torch.device("cpu")).items()}
    for column, name in enumerate(TRANSFORMATIONS):
        if name not in only:
            draws["chances"][:, column] = 1.5
    return draws


def named(draws: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    uniform = dict(zip(UNIFORMS, draws["uniforms"].unbind(1), strict=True))
    return uniform, dict(zip(NORMALS, draws["normals"].unbind(1), strict=True))


def every(count: int, value: bool = True) -> dict[str, torch.Tensor]:
    return dict.fromkeys(TRANSFORMATIONS, torch.full((count,), value))


def probability(p: float) -> torch.Tensor:
    return torch.tensor(p, dtype=torch.float64)


def noise(count: int, colours: int = 3, size: int = SIZE) -> torch.Tensor:
    return torch.rand(count, colours, size, size, generator=generator(9), dtype=torch.float64) * 2 - 1


# -- with which probability --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [1, 3, 4])
def test_without_probability_an_image_keeps_its_bits_and_with_it_none_does(colours):
    images = noise(50, colours).float()
    draws = {name: drawn.float() for name, drawn in numbers(50).items()}
    assert torch.equal(augment(images, torch.tensor(0.0), draws), images)
    changed = (augment(images, torch.tensor(1.0), draws) - images).abs().amax((1, 2, 3))
    assert (changed > 0.01).all()


def test_each_transformation_happens_with_its_probability():
    count, p = 40_000, 0.3
    chosen = augmentation._chosen(probability(p), numbers(count)["chances"])
    either = chosen["rotate"] | chosen["rotate_again"]
    for name in TRANSFORMATIONS:
        happens = either if name.startswith("rotate") else chosen[name]
        assert happens.double().mean().item() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / count))
    assert (chosen["rotate"].double().mean() - chosen["rotate_again"].double().mean()).abs() < 0.02


def test_the_untouched_image_stays_in_the_mixture():
    """Identity's share is a product, since transformations are chosen one by one: it is above (1 - p)^12."""
    count, p = 2_000, 0.1
    images = noise(1, size=8).expand(count, -1, -1, -1)
    same = (augment(images, probability(p), numbers(count)) - images).abs().amax((1, 2, 3)) < 1e-6
    # A shift of u in +-1 pixel is rounded to none half of the time, in either direction.
    expected = (1 - p / 2) ** 2 * (1 - 3 * p / 4) ** 2 * (1 - p) ** 8
    share = same.double().mean().item()
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / count))
    assert expected > (1 - p) ** 12


# -- why they do not leak ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_the_distribution_of_orientations_can_be_told_from_that_of_turned_images(p):
    """Turning maps shares of the four orientations by a circulant matrix of eigenvalues 1 and 1 - p, so invertibly."""
    count = 2_000
    upright = noise(1, size=8)[0]
    orientations = torch.stack([torch.rot90(upright, turns, (1, 2)) for turns in range(4)])
    shares = torch.tensor([0.5, 0.1, 0.4, 0.0], dtype=torch.float64)
    drawn = torch.multinomial(shares, count, replacement=True, generator=generator())
    seen = augment(orientations[drawn], probability(p), numbers(count, 1, only=("turn",)))
    matches = (seen[:, None] == orientations).all((2, 3, 4))
    assert matches.any(1).all()
    observed = matches.double().mean(0)

    circulant = (1 - p) * torch.eye(4, dtype=torch.float64) + p / 4
    eigenvalues = torch.linalg.eigvalsh(circulant)
    assert eigenvalues.min().item() == pytest.approx(1 - p)
    # An inverse eigenvalue of 1 / (1 - p) multiplies the counting error, of at most 1 / (2 sqrt(count)) a share.
    recovered = torch.linalg.solve(circulant, observed)
    torch.testing.assert_close(recovered, shares, rtol=0, atol=4 / (1 - p) / 2 / math.sqrt(count))
    # Turned always, all are equally frequent, and nothing is left to recover: so p = 1 would leak.
    seen = augment(orientations[drawn], probability(1.0), numbers(count, 2, only=("turn",)))
    observed = (seen[:, None] == orientations).all((2, 3, 4)).double().mean(0)
    torch.testing.assert_close(observed, torch.full_like(shares, 0.25), rtol=0, atol=4 * 0.5 / math.sqrt(count))


def test_moves_have_no_preferred_direction():
    count = 40_000
    uniform, normal = named(numbers(count))
    flags = every(count, False)
    for name, variance in (("shift", None), ("move", (SIZE / 8) ** 2)):
        _, offset = augmentation.affine_map(SIZE, flags | {name: torch.full((count,), True)}, uniform, normal)
        spread = offset.var(0)
        if variance is not None:
            torch.testing.assert_close(spread, torch.full_like(spread, variance), rtol=0.05, atol=0)
        else:
            assert (offset == offset.round()).all() and offset.abs().max() == SIZE / 8
        assert (offset.mean(0).abs() < 4 * (spread / count).sqrt()).all()
    flipped = augment(noise(1).expand(count, -1, -1, -1)[:, :1, :2, :2], probability(1.0), numbers(count, 3, ("flip",)))
    share = (flipped == noise(1)[:, :1, :2, :2]).all((1, 2, 3)).double().mean().item()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(count))


# -- which maps --------------------------------------------------------------------------------------------------------


def test_the_geometry_is_the_product_of_its_parts():
    count = 20
    uniform, normal = named(numbers(count))
    matrix, offset = augmentation.affine_map(SIZE, every(count), uniform, normal)

    def plane(a, b, c, d, x=0.0, y=0.0):
        return torch.tensor([[a, b, x], [c, d, y], [0, 0, 1]], dtype=torch.float64)

    def turned(angle):
        return plane(math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle))

    for row in range(count):
        u, n = ({name: values[row].item() for name, values in of.items()} for of in (uniform, normal))
        scale, stretch = 2 ** (0.2 * n["scale"]), 2 ** (0.2 * n["stretch"])
        shift = [round(SIZE / 8 * (2 * u[name] - 1)) for name in ("shift_x", "shift_y")]
        there = plane(1, 0, 0, 1, *shift)
        there = plane(scale, 0, 0, scale) @ there
        there = turned(math.pi * (2 * u["rotate"] - 1)) @ there
        there = plane(stretch, 0, 0, 1 / stretch) @ there
        there = turned(math.pi * (2 * u["rotate_again"] - 1)) @ there
        there = plane(1, 0, 0, 1, SIZE / 8 * n["move_x"], SIZE / 8 * n["move_y"]) @ there
        back = torch.linalg.inv(there)
        torch.testing.assert_close(matrix[row], back[:2, :2])
        torch.testing.assert_close(offset[row], back[:2, 2])


def test_the_colours_are_the_product_of_their_parts():
    count = 20
    uniform, normal = named(numbers(count, 4))
    matrix, brightness = augmentation.colour_map(3, every(count), uniform, normal)
    axis = torch.full((3,), 1 / math.sqrt(3), dtype=torch.float64)
    along, one = torch.outer(axis, axis), torch.eye(3, dtype=torch.float64)
    for row in range(count):
        u, n = ({name: values[row].item() for name, values in of.items()} for of in (uniform, normal))
        colour, offset = one, torch.full((3,), 0.2 * n["brightness"], dtype=torch.float64)
        angle = math.pi * (2 * u["hue"] - 1)
        cross = torch.linalg.cross(axis.expand(3, 3), one, dim=1).T  # of which column j is v x e_j
        steps = [
            2 ** (0.5 * n["contrast"]) * one,
            one - 2 * along * (u["luma_flip"] < 0.5),
            torch.linalg.matrix_exp(angle * cross),
            along + (one - along) * 2 ** n["saturation"],
        ]
        for step in steps:
            colour, offset = step @ colour, step @ offset
        torch.testing.assert_close(matrix[row], colour)
        torch.testing.assert_close(brightness[row].expand(3), offset)


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
def test_grey_stays_grey(colours):
    draws = numbers(30, only=TRANSFORMATIONS[8:])
    grey = noise(30, 1, 8)
    seen = augment(grey.expand(-1, colours, -1, -1), probability(1.0), draws)
    torch.testing.assert_close(seen, augment(grey, probability(1.0), draws).expand(-1, colours, -1, -1))


# -- how images are moved ----------------------------------------------------------------------------------------------


def waves(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A picture of long waves in the plane of an image's mirror images: x, y from the centre, in pixels."""
    x, y = (math.pi * (axis / SIZE + 0.5) for axis in (x, y))
    return 0.3 * (x.cos() + (2 * y).cos() * (3 * x).cos() + (y + 0.0).cos() * (2 * x).cos())


def picture() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    axis = torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return waves(x, y)[None, None], x, y


@pytest.mark.parametrize(
    ("only", "tolerance"),
    [
        # A windowed sinc of three lobes passes these waves to 2 %; a shear passes them as they are, but a plane that is
        # not periodic leaves ripples from its rim.
        (("scale", "shift", "move"), 0.02),
        (("rotate",), 0.03),
        (("stretch", "rotate_again"), 0.04),
        (("rotate", "rotate_again", "scale", "move"), 0.05),
    ],
)
def test_images_are_moved_to_where_the_map_says(only, tolerance):
    count = 100
    image, x, y = picture()
    uniform, normal = named(numbers(count, 5))
    flags = every(count, False) | {name: torch.full((count,), True) for name in only}
    matrix, offset = augmentation.affine_map(SIZE, flags, uniform, normal)
    moved = augmentation.warped(image.expand(count, -1, -1, -1), matrix, offset)[:, 0]
    source = torch.einsum("bij,jhw->bihw", matrix, torch.stack([x, y])) + offset[:, :, None, None]
    errors = (moved - waves(source[:, 0], source[:, 1])).abs()
    assert errors.amax((1, 2)).median() < tolerance and errors.mean() < tolerance / 2


def test_whole_pixels_and_quarter_turns_are_exact():
    images = noise(4)
    turns = torch.arange(4)
    turned = augmentation.quarter_turned(images, turns)
    for image, result, count in zip(images, turned, turns.tolist(), strict=True):
        assert torch.equal(result, torch.rot90(image, count, (1, 2)))
    by_matrix = augmentation.rotation(turns.double() * math.pi / 2)
    torch.testing.assert_close(
        augmentation.warped(images, by_matrix, torch.zeros(4, 2, dtype=torch.float64)), turned, rtol=0, atol=1e-6
    )
    straight = torch.eye(2, dtype=torch.float64).expand(4, 2, 2)
    shifted = augmentation.warped(images, straight, torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(4, 2))
    torch.testing.assert_close(shifted[..., :-2], images[..., 2:])
    torch.testing.assert_close(shifted[..., -2:], images[..., [-1, -2]])  # mirrored


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.6])
def test_rows_are_stretched_by_a_windowed_sinc_of_the_mirrored_row(factor):
    row, offset = noise(1, 1)[0, 0, 0], 2.3
    found = augmentation.stretched_rows(
        row.expand(1, 1, 1, -1), probability(factor)[None], probability(offset)[None], 2 * SIZE
    )[0, 0, 0]
    far = 3 * SIZE
    mirrored = np.pad(row.numpy(), far, mode="symmetric")
    positions = np.arange(-far, SIZE + far) - (SIZE - 1) / 2
    for index in range(2 * SIZE):
        distance = (factor * (index - (2 * SIZE - 1) / 2) + offset - positions) / max(1, factor)
        kernel = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
        assert found[index].item() == pytest.approx(kernel @ mirrored / kernel.sum(), abs=1e-12)


def test_a_shear_keeps_the_norm_and_is_undone_by_its_opposite():
    images, slope = noise(3, size=15), torch.tensor([0.3, -0.7, 1.2], dtype=torch.float64)
    sheared = augmentation.sheared_rows(images, slope)
    torch.testing.assert_close(sheared.square().sum(3), images.square().sum(3))
    torch.testing.assert_close(augmentation.sheared_rows(sheared, -slope), images)


# -- as part of a network ----------------------------------------------------------------------------------------------


def test_it_can_be_differentiated_twice():
    images = noise(3, size=8).requires_grad_()
    draws = numbers(3, 2)

    def seen(images: torch.Tensor) -> torch.Tensor:
        return augment(images, probability(1.0), draws).tanh()  # of a linear map the second derivative is 0

    assert torch.autograd.gradcheck(seen, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(seen, images, fast_mode=True)


def test_an_image_is_augmented_alone():
    images, draws = noise(6), numbers(6)
    whole = augment(images, probability(0.7), draws)
    parts = [
        augment(images[rows], probability(0.7), {name: drawn[rows] for name, drawn in draws.items()})
        for rows in (slice(0, 1), slice(1, 6))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-12)


def test_autocast_leaves_it_exact():
    images, draws = noise(8).float(), {name: drawn.float() for name, drawn in numbers(8).items()}
    with torch.autocast("cpu", torch.bfloat16):
        inside = augment(images, torch.tensor(0.9), draws)
    assert torch.equal(inside, augment(images, torch.tensor(0.9), draws))


def test_all_numbers_are_used():
    """Each column of the random numbers moves something."""
    images, draws = noise(40), numbers(40)
    plain = augment(images, probability(0.8), draws)
    for name, columns in (("chances", TRANSFORMATIONS), ("uniforms", UNIFORMS), ("normals", NORMALS)):
        for column in range(len(columns)):
            other = draws | {name: draws[name].clone()}
            other[name][:, column] = 1 - other[name][:, column]
            assert not torch.equal(augment(images, probability(0.8), other), plain), columns[column]
    assert set(AFFINE) < set(TRANSFORMATIONS)
