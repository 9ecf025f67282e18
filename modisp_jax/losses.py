"""Losses of photofinishing (paper sections 2.3 and F), each a function of single images; batch by vmap.

Every gradient is finite on [0, 1], black, white, flat and identical images included: |0| has slope 0, a clamp passes
the gradient whole at its bounds, a norm of 0 has slope 0.

| term | weight | compares |
|---|---|---|
| l1 | 2.5 | sRGB with the target |
| ssim | .5 | sRGB with the target |
| delta_e | .02 | the chroma stage's output (and half of it: the 3D LUT's) with the de-gammaed target |
| perceptual | .01 | sRGB with the target, by VGG-19 |
| cbcr | 1 | mapped (Cb, Cr) with those of the de-gammaed target |
| lut_smoothness | .06 | neighbours in the chroma LUT |
| tone | .5 | Y after the global and local tone curves with that of the de-gammaed target |
| ltm_smoothness | .6 | neighbours in the local tone maps |
| luma | .2 | mean Y before and after the global tone curve |
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.color import SRGB_TO_XYZ, WHITE_D65, apply_matrix, lab_of, rgb_to_ycbcr
from modisp_jax.nets.vgg import normalize_imagenet, vgg_features
from modisp_jax.numerics import clip, clip01, power, safe_divide, safe_sqrt
from modisp_jax.ops.lut import map_chroma
from modisp_jax.resample import resize_bilinear

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
PERCEPTUAL_TAPS = ("relu3_3", "relu4_2")
PERCEPTUAL_SIZE = (224, 224)


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of :func:`photofinish_losses`; a term of weight 0 is not computed. Paper section F."""

    l1: float = 2.5
    ssim: float = 0.5
    delta_e: float = 0.02
    perceptual: float = 0.01
    cbcr: float = 1.0
    lut_smoothness: float = 0.06
    tone: float = 0.5
    ltm_smoothness: float = 0.6
    luma: float = 0.2

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"LossWeights.{name}: expected a finite number >= 0, got {value}")


def photofinish_losses(look, finished, target, *, weights=LossWeights(), vgg=None):
    """All terms of photofinishing's loss for one picture, weighted; their sum is what training minimises.

    Terms of one's own are added to the dict: ``{**photofinish_losses(...), "mine": 0.1 * f(look, finished)}``.

    Args:
      look: :class:`modisp_jax.Look` as the networks chose it.
      finished: :class:`modisp_jax.FinishedStages` of that look.
      target: sRGB [h, w, 3] in [0, 1], of the finished pictures' size.
      weights: static :class:`LossWeights`.
      vgg: VGG-19 parameters (:func:`modisp_jax.vgg_file.load_vgg`), or None, which leaves ``perceptual`` out.

    Returns:
      A dict from term to a scalar, in the order of ``LossWeights``; without the terms of weight 0.

    Reference: arXiv 2512.08564, sections 2.3 and F.
    """
    linear_target = degamma(target, look.inverse_gamma)
    toned = finished.local_tone if finished.rgb_lut is None else finished.rgb_lut
    y_target = _luma(linear_target)
    terms = {
        "l1": lambda: l1(finished.srgb, target),
        "ssim": lambda: ssim_loss(finished.srgb, target),
        "delta_e": lambda: _delta_e_of_stages(finished, linear_target),
        "perceptual": lambda: perceptual(finished.srgb, target, vgg),
        "cbcr": lambda: cbcr_l1(map_chroma(look.chroma_lut, chroma_of(toned)), linear_target),
        "lut_smoothness": lambda: total_variation(look.chroma_lut),
        "tone": lambda: tone_loss(_luma(finished.global_tone), _luma(finished.local_tone), y_target),
        "ltm_smoothness": lambda: total_variation(look.ltm),
        "luma": lambda: luma_energy(_luma(finished.global_tone), _luma(finished.gained)),
    }
    values = dataclasses.asdict(weights)
    wanted = [name for name in terms if values[name] > 0 and not (name == "perceptual" and vgg is None)]
    return {name: values[name] * terms[name]() for name in wanted}


def absolute(x):
    """``|x|`` with slope 0 at 0, where ``jnp.abs`` has 1."""
    return x * jax.lax.stop_gradient(jnp.sign(x))


def l1(pred, target):
    """Mean absolute difference of two arrays of one shape."""
    _check_same(pred, target)
    return absolute(pred - target).mean()


def ssim_loss(pred, target):
    """``1 - SSIM`` of two images [H, W, C] in [0, 1], mean over pixels and channels; in [0, 2].

    Window 11x11, Gaussian of sigma 1; zeros beyond the border, as in training.

    Reference: Wang et al. 2004; arXiv 2512.08564, section F.
    """
    _check_same(pred, target)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / 2.0)
    window = window / window.sum()
    border = ((5, 5), (5, 5), (0, 0))
    return dissimilarity(jnp.pad(pred, border), jnp.pad(target, border), window).mean()


def dissimilarity(x, y, window, correction=1.0):
    """``1 - SSIM`` of x and y [H, W, C], for each place where the window fits: [H-n+1, W-n+1, C].

    With means m and variances v under the window, and d = x - y::

        1 - SSIM = p + q - p q,   p = m_d^2 / (m_x^2 + m_y^2 + .01^2),   q = v_d / (v_x + v_y + .03^2)

    which is ``1 - (2 m_x m_y + C1)(2 v_xy + C2) / ...`` rearranged: float32's rounding of E[x^2] - E[x]^2 is then
    relative to the difference, and not to the images, so that 1 - SSIM is good to 1e-4 of itself however small.

    Args:
      window: static [n], summing to 1; weights are ``w_i w_j``.
      correction: factor of the variances, n^2 / (n^2 - 1) for those of samples.
    """
    d = x - y
    together = jnp.concatenate([y, d, x * x + y * y, d * d], axis=-1)
    m_y, m_d, squares, squares_d = jnp.split(window_mean(together, window), 4, axis=-1)
    squared_means = jnp.square(m_y + m_d) + jnp.square(m_y)
    p = jnp.square(m_d) / (squared_means + SSIM_C1)
    q = correction * (squares_d - jnp.square(m_d)) / (correction * (squares - squared_means) + SSIM_C2)
    return p + q - p * q


def window_mean(x, window):
    """Weighted mean of [H, W, C] under the window ``w_i w_j`` [n, n], where it fits: [H-n+1, W-n+1, C]."""
    # Rounded so that float32's sum is exactly 1: another sum would bias every E[x^2] - E[x]^2.
    rounded = np.round(np.asarray(window, np.float64) * 2**25) / 2**25
    rounded[len(rounded) // 2] += 1.0 - rounded.sum()
    return _window_mean(x, tuple(rounded.tolist()))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _window_mean(x, window):
    # A loop over shifts: written out, XLA fuses both axes and computes the first pass n times over, and its
    # convolution of single channels is several times slower still.
    weights = jnp.asarray(window, x.dtype)
    for axis in (0, 1):
        n = x.shape[axis] - len(window) + 1

        def add(i, total, x=x, n=n, axis=axis):
            return total + weights[i] * jax.lax.dynamic_slice_in_dim(x, i, n, axis)

        x = jax.lax.fori_loop(0, len(window), add, jnp.zeros_like(jax.lax.slice_in_dim(x, 0, n, axis=axis)))
    return x


def _window_mean_backward(window, _, dy):
    border = (len(window) - 1, len(window) - 1)
    return (_window_mean(jnp.pad(dy, (border, border, (0, 0))), window[::-1]),)


_window_mean.defvjp(lambda x, window: (_window_mean(x, window), None), _window_mean_backward)


def delta_e76(pred, target):
    """CIE76 difference of two linear sRGB images [H, W, 3], mean over pixels: ``|Lab(x) - Lab(y)|``.

    Both are clipped to [1e-4, 1] before :func:`soft_lab`. About 2.3 is just noticeable. Paper section F.
    """
    _check_same(pred, target)
    difference = soft_lab(clip(pred, 1e-4, 1.0)) - soft_lab(clip(target, 1e-4, 1.0))
    return safe_sqrt(jnp.square(difference).sum(axis=-1)).mean()


def soft_lab(linear):
    """Linear sRGB [..., 3] in [0, 1] to CIE Lab [..., 3] (D65), the two branches of f blended smoothly.

    ``f(t) = s cbrt(t) + (1 - s) (t / (3 (6/29)^2) + 4/29)``, ``s = sigmoid(150 (t - (6/29)^3))``: the textbook's
    switch has a step in its slope. Paper section F.
    """
    t = apply_matrix(SRGB_TO_XYZ, linear) / WHITE_D65
    s = jax.nn.sigmoid(150.0 * (t - (6 / 29) ** 3))
    root = jnp.cbrt(jnp.where(t < 1e-6, 1e-6, t))
    f = s * root + (1.0 - s) * (t / (3 * (6 / 29) ** 2) + 4 / 29)
    return lab_of(f)


def _delta_e_of_stages(finished, linear_target):
    distance = delta_e76(finished.chroma, linear_target)
    if finished.rgb_lut is not None:
        distance = distance + 0.5 * delta_e76(finished.rgb_lut, linear_target)
    return distance


def perceptual(pred, target, vgg):
    """Sum of the L1 distances of VGG-19's relu3_3 and relu4_2 of two sRGB images [H, W, 3] in [0, 1].

    Both are resized to 224 x 224 (bilinear, half-pixel centres) and normalised as ImageNet is. Paper section F.
    """
    _check_same(pred, target)

    def features(image):
        small = resize_bilinear(image, PERCEPTUAL_SIZE, align="centers")
        return vgg_features(vgg, normalize_imagenet(small), PERCEPTUAL_TAPS)

    ours, theirs = features(pred), features(target)
    return sum(l1(ours[tap], theirs[tap]) for tap in PERCEPTUAL_TAPS)


def chroma_of(linear):
    """(Cb, Cr) [h, w, 2] of a linear image [h, w, 3], clipped to [0, 1] first."""
    return rgb_to_ycbcr(clip01(linear))[..., 1:]


def cbcr_l1(mapped, linear_target):
    """L1 between mapped (Cb, Cr) [h, w, 2] and those of the de-gammaed target [h, w, 3]. Paper section F."""
    return l1(mapped, chroma_of(linear_target))


def total_variation(x):
    """``(mean |dy| + mean |dx|) / 2`` of neighbours in [H, W, C]; an axis of one sample counts 0."""
    along = [absolute(jnp.diff(x, axis=axis)).mean() for axis in (0, 1) if x.shape[axis] > 1]
    return 0.5 * sum(along, jnp.zeros((), x.dtype))


def tone_loss(global_y, local_y, target_y):
    """Holds the tone curves apart: ``.6 L1(global, target)`` at an eighth of the size plus ``L1(local, target)``.

    All are luma [h, w]; the small ones have floor(h / 8) x floor(w / 8) pixels (bilinear, half-pixel centres, no
    antialiasing), at least one. Paper section F.
    """
    _check_same(global_y, target_y)
    size = tuple(max(n // 8, 1) for n in target_y.shape)
    small = [resize_bilinear(y[..., None], size, align="centers") for y in (global_y, target_y)]
    return 0.6 * l1(*small) + l1(local_y, target_y)


def luma_energy(global_y, gained_y):
    """``|mean(Y after the global tone curve) - mean(Y of the gained image)|``, luma [h, w]. Paper section F."""
    _check_same(global_y, gained_y)
    return absolute(jnp.mean(global_y) - jnp.mean(gained_y))


def degamma(srgb, inverse_gamma):
    """Undoes the power curve: ``clip(srgb, 1e-5, 1) ** (1 / inverse_gamma)``; the exponent's gradient counts."""
    return power(clip(srgb, 1e-5, 1.0), safe_divide(1.0, inverse_gamma))


def _luma(linear):
    """Y [h, w] (BT.709) of a linear image [h, w, 3], clipped to [0, 1] first."""
    return rgb_to_ycbcr(clip01(linear))[..., 0]


def _check_same(a, b):
    """Raises unless both have one shape: broadcasting would give a number all the same."""
    if jnp.shape(a) != jnp.shape(b):
        raise ValueError(f"expected two arrays of one shape, got {jnp.shape(a)} and {jnp.shape(b)}")
