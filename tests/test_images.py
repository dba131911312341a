"""Images as bytes and as numbers."""

import numpy as np
import pytest

from collapselab.core.images import to_uint8, to_unit

BYTES = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)


def test_every_byte_survives_the_way_there_and_back():
    unit = to_unit(BYTES)
    assert unit.dtype == np.float32 and unit.shape == BYTES.shape
    assert unit.min() == -1 and unit.max() == 1
    assert np.array_equal(to_uint8(unit), BYTES)
    assert np.array_equal(to_uint8(unit.astype(np.float64)), BYTES)


def test_numbers_are_rounded_and_clipped():
    step = 1 / 127.5
    unit = np.array([-7.0, -1.0, -1 + 0.4 * step, -1 + 0.6 * step, 1 - 0.4 * step, 1.0, 7.0])
    assert to_uint8(unit).tolist() == [0, 0, 0, 1, 255, 255, 255]


@pytest.mark.parametrize("wrong", [BYTES.astype(np.float32), BYTES.astype(np.int64)])
def test_only_bytes_are_images(wrong):
    with pytest.raises(ValueError, match="uint8"):
        to_unit(wrong)


def test_what_is_not_finite_has_no_byte():
    with pytest.raises(ValueError, match="1 values that are not finite"):
        to_uint8(np.array([0.0, np.nan]))
