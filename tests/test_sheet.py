"""Sheets: every picture is there, pixel by pixel, and no text runs into another column."""

import numpy as np
import pytest

from modisp_jax.sheet import BACKGROUND, LINE, MARGIN, draw_columns, draw_sheet, scale_to_height
from tests.samples import photo

GREY = np.float32(BACKGROUND[0] / 255)
WIDE, NARROW = photo(8, 40), photo(12, 20, seed=1)


def test_pictures_stand_where_their_column_and_row_are():
    sheet = draw_sheet([("", [((), WIDE), ((), NARROW)]), ("words", [(("more", "words"), NARROW)])])
    second = MARGIN + 12 + MARGIN + 3 * LINE
    assert sheet.shape == (second + 12 + MARGIN, MARGIN + 40 + MARGIN + 20 + MARGIN, 3)
    for picture, top, left in ((WIDE, MARGIN, MARGIN), (NARROW, MARGIN, 2 * MARGIN + 40), (NARROW, second, MARGIN)):
        height, width = picture.shape[:2]
        np.testing.assert_allclose(sheet[top : top + height, left : left + width], picture, atol=0.51 / 255)


def test_long_texts_are_cut_at_their_column():
    sheet = draw_sheet([("long words " * 30, [(("long words " * k, "long words " * k), WIDE) for k in range(3)])])
    texts = sheet[MARGIN + LINE : MARGIN + 3 * LINE]
    gap = texts[:, MARGIN + 40 + 1 : 2 * MARGIN + 40 - 1]
    np.testing.assert_allclose(gap, GREY, atol=1e-6)
    assert (texts[:, 2 * MARGIN + 40 :] > GREY + 0.1).any()
    np.testing.assert_allclose(sheet[:, -MARGIN + 1 :], GREY, atol=1e-6)


def test_columns_share_a_height_and_have_their_titles_once():
    sheet = draw_columns([[WIDE, WIDE[..., 0]], [NARROW]], ["one", "two"], height=24)
    assert sheet.shape == (MARGIN + LINE + 2 * (24 + MARGIN), MARGIN + 2 * (120 + MARGIN), 3)
    np.testing.assert_allclose(sheet[MARGIN + LINE + 24 : MARGIN + LINE + 24 + MARGIN], GREY, atol=1e-6)
    grey = sheet[MARGIN + LINE :][:24, 120 + 2 * MARGIN : -MARGIN]
    np.testing.assert_array_equal(grey[..., 0], grey[..., 1])


@pytest.mark.parametrize("height", [4, 8, 24])
def test_scaling_keeps_flat_pictures_flat(height):
    scaled = scale_to_height(np.full((8, 16, 3), 0.4, np.float32), height)
    assert scaled.shape == (height, 2 * height, 3)
    np.testing.assert_allclose(scaled, 0.4, atol=0.51 / 255)


def test_what_is_no_number_is_black():
    sheet = draw_sheet([("", [((), np.full((4, 4, 3), np.nan))])])
    np.testing.assert_array_equal(sheet[MARGIN:-MARGIN, MARGIN:-MARGIN], 0)
