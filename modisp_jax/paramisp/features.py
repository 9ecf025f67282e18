"""What LocalNet and GlobalNet see of an image: values, gradients, soft histograms, over-exposure. Paper section 3.3."""

import jax.numpy as jnp
import numpy as np

from modisp_jax.resample import pad_edge

_SMOOTH = (0.25, 0.5, 0.25)  # Sobel's [1, 2, 1] / 4, so that a unit ramp has the slope 1


def features(image, source, config):
    """The 96 features [H, W, 96] of an image [H, W, 3].

    In order: the image (3); its gradients (6); the soft histograms (84); the over-exposure mask (3) of ``source``
    [H, W, 3], this image or, where ``config.shared_mask``, the first network's.
    """
    mask = exposure_mask(source, config.mask_start)
    return jnp.concatenate([image, gradients(image), soft_histograms(image, config.histograms), mask], axis=-1)


def gradients(image):
    """Sobel's slopes by pixel, [H, W, 6]: ``Rx, Ry, Gx, Gy, Bx, By``, x to the right and y down; border repeated."""
    padded = pad_edge(image, 1)
    h, w = image.shape[:2]
    rows = sum(k * padded[i : i + h] for i, k in enumerate(_SMOOTH))
    columns = sum(k * padded[:, j : j + w] for j, k in enumerate(_SMOOTH))
    slopes = 0.5 * (rows[:, 2:] - rows[:, :-2]), 0.5 * (columns[2:] - columns[:-2])
    return jnp.stack(slopes, axis=-1).reshape(h, w, 6)


def soft_histograms(image, bins):
    """How much each value belongs to each bin: ``max(0, 1 - (n - 1) |x - b / (n - 1)|)`` for bins b of n.

    Args:
      image: [H, W, 3].
      bins: static numbers n of bins of the histograms.

    Returns:
      [H, W, 3 sum(n)], the histograms one after the other, in each the bins of R, then of G, then of B. The weights of
      each histogram sum to 1 for values in [0, 1] and fade to nothing beyond.
    """
    parts = []
    for n in bins:
        centres = np.arange(n, dtype=np.float32) / np.float32(n - 1)
        weights = jnp.maximum(0.0, 1.0 - (n - 1) * jnp.abs(image[..., None] - centres))
        parts.append(weights.reshape(*image.shape[:2], 3 * n))
    return jnp.concatenate(parts, axis=-1)


def exposure_mask(image, start):
    """How near to white or over it values are [H, W, 3]: ``max(0, x - start) / (1 - start)``, 1 at 1 and more above."""
    return jnp.maximum(0.0, image - start) / (1.0 - start)
