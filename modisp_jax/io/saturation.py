"""Where a sensor really saturates: often below the white level that its file states."""

import numpy as np

BINS = 500  # over [0, 1]
LOWEST = 0.9
"""No channel is taken to saturate below this: a brighter reading of a plain wall must not pass for clipping."""


def estimate_saturation(image):
    """Estimates from a photo at which value each channel saturates.

    Clipped pixels pile up: the histogram has a bump above a valley, and next to nothing beyond it. A channel without
    such a bump is taken to saturate at the white level, 1.

    Args:
      image: camera RGB, float [H, W, 3] in [0, 1], white level 1.

    Returns:
      float32 [3] in [0.9, 1].
    """
    sample = image[:: max(1, image.shape[0] // 1500), :: max(1, image.shape[1] // 1500)]
    return np.array([_saturation(sample[..., k].ravel()) for k in range(sample.shape[-1])], np.float32)


def _saturation(values):
    counts = np.bincount(np.minimum(values * BINS, BINS - 1).astype(np.int64), minlength=BINS).astype(float)
    density = np.convolve(counts, np.ones(3) / 3, mode="same")
    first = int(LOWEST * BINS)
    peak = first + int(np.argmax(density[first:]))
    margin = BINS // 50
    if peak + margin >= BINS:
        return 1.0
    valley = density[peak - 4 * margin : peak - margin].min()
    bump = counts[peak - margin : peak + margin].sum()
    beyond = counts[peak + margin :].sum()
    piled_up = bump >= 1e-4 * len(values) and density[peak] >= 2 * max(valley, 1) and beyond <= 0.03 * bump
    return (peak + 0.5) / BINS if piled_up else 1.0
