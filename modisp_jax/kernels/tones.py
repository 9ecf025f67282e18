"""How the tones of a picture in bytes are distributed, counted on all cores."""

import numpy as np

from modisp_jax.kernels.rows import kernel
from modisp_jax.kernels.threads import each_band


def count(picture, every=1):
    """Counts of a picture uint8 [h, w, 3], of every ``every``-th row and column.

    Returns:
      int64 [4, 256] of R, G, B and luma, ``.299 R + .587 G + .114 B`` rounded as Pillow does; the numbers of pixels
      with a channel at 0 and at 255; how many were counted.
    """
    rows = range(0, picture.shape[0], every)
    parts = []

    def band(first, last):
        counts, ends = np.zeros((4, 256), np.int64), np.zeros(2, np.int64)
        _count(picture, every, first, last, counts, ends)
        parts.append((counts, ends))

    each_band(len(rows), band)
    counts, ends = (sum(part) for part in zip(*parts, strict=True))
    return counts, int(ends[0]), int(ends[1]), len(rows) * len(range(0, picture.shape[1], every))


@kernel
def _count(picture, every, first, last, counts, ends):
    for row in range(first, last):
        y = row * every
        for x in range(0, picture.shape[1], every):
            r = np.int64(picture[y, x, 0])
            g = np.int64(picture[y, x, 1])
            b = np.int64(picture[y, x, 2])
            counts[0, r] += 1
            counts[1, g] += 1
            counts[2, b] += 1
            counts[3, (19595 * r + 38470 * g + 7471 * b + 32768) >> 16] += 1
            ends[0] += min(r, g, b) == 0
            ends[1] += max(r, g, b) == 255
