"""Images moved by whole pixels."""

from __future__ import annotations

import pytest
import torch

from kdnotes.data import shift

IMAGES = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)


def test_rows_go_down_and_columns_right_and_the_border_is_repeated():
    moved = shift(IMAGES, 1, -2)
    for row in range(4):
        for column in range(5):
            source = IMAGES[:, :, max(row - 1, 0), min(column + 2, 4)]
            assert torch.equal(moved[:, :, row, column], source)


def test_no_shift_changes_nothing_and_there_and_back_keeps_the_middle():
    assert torch.equal(shift(IMAGES, 0, 0), IMAGES)
    back = shift(shift(IMAGES, 1, 2), -1, -2)
    assert torch.equal(back[:, :, :-1, :-2], IMAGES[:, :, :-1, :-2])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((IMAGES, 4, 0), "rows must be a whole number from -3 to 3, not 4"),
        ((IMAGES, 0, -5), "columns must be a whole number from -4 to 4, not -5"),
        ((IMAGES, 1.0, 0), "rows must be a whole number from -3 to 3, not 1.0"),
        ((IMAGES[0], 0, 0), "images must be a floating-point tensor"),
        ((IMAGES.byte(), 0, 0), "images must be a floating-point tensor"),
    ],
)
def test_wrong_shifts_are_named(given, message):
    with pytest.raises(ValueError) as caught:
        shift(*given)
    assert str(caught.value).startswith(message)
