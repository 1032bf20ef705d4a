"""Images of training: two mels on one scale, and the line between them."""

from __future__ import annotations

import numpy as np
import pytest

from lipsound2.tasks.images import side_by_side


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_a_white_line_of_two_pixels_parts_the_mels(bands: int) -> None:
    """The ground truth lies above; the shorter mel tells the width."""
    image = side_by_side(np.zeros((7, bands), np.float32), np.full((6, bands), 4.0, np.float32))
    assert image.shape == (2 * bands + 2, 6, 3)
    assert np.array_equal(np.unique(image[:bands]), [0])
    assert np.array_equal(np.unique(image[bands : bands + 2]), [255])
