"""Our editing operators: tones and colours of the small picture, sharpening of the full-size one.

What all of them keep: strength 0 is the identity, bit by bit; black stays black and white white; more of a slider
never moves a pixel the other way; hue, the angle of (Cb, Cr), stays, because pixels move along the line to the grey
of their luma; results stay in [0, 1] without clipping; no step anywhere, in the picture or in the slider. Pixels on
the surface of the RGB cube, which can lose chroma but not gain any, have a corner at strength 0: the gradient there is
that towards more.

Tones are moved in log odds: ``t -> t e^d / (1 - t + t e^d)`` maps [0, 1] onto itself, keeps the order of tones and
its ends for every d, and shifts with the opposite d undo each other.
"""

import jax.numpy as jnp

from modisp_jax.color import rgb_to_ycbcr
from modisp_jax.numerics import clip, clip01, power
from modisp_jax.ops.gamut import luma709, move_luma, room_used, scale_luma, soft_limit
from modisp_jax.ops.separable import blur3, guided_by_itself, window
from modisp_jax.ops.skip import unless_zero
from modisp_jax.resample import pad_reflect

DISPLAY = 2.2
"""Tones are edited at about the values that they will be shown at, ``t = Y^(1/2.2)``."""
CONTRAST = 0.75
"""Slope at contrast 1 and -1: 1 +- half of this at mid grey, 1 -+ all of it at black and white."""
HIGHLIGHTS, SHADOWS = 1.1, 0.65
"""Largest shift in log odds of the sliders at 1."""
DETAIL = 0.06
"""Tones that vary less than this around them move together, so that lifted shadows keep their texture."""
DETAIL_SIDE = 1 / 80
"""Standard deviation of the window around them, in parts of the shorter side."""


@unless_zero
def edit_tones(rgb, contrast, highlights, shadows):
    """Contrast, then highlights and shadows, as curves of the displayed tone ``t = Y^(1/2.2)``.

    Contrast: ``t + .75 c t (1 - t)(2 t - 1)``, steeper at mid grey. Highlights and shadows: shifts of log odds by
    ``1.1 h p(u) + .65 s q(u)``. ``p = u^3 / (u^3 + 12.7 (1 - u)^3)`` rises from 0 at black over a half at .7 to 1 at
    white; ``q = 12.2 u (1 - u)^4`` has its maximum, 1, at .2, and is 0 at black, whose noise is not lifted, and at
    white. ``u`` is t after an edge-preserving filter (guided by itself, detail under .06): neighbours that differ
    little move together and keep their contrast. RGB is scaled by the change of Y.

    Args:
      rgb: quasi-linear picture after local tone mapping, [h, w, 3] in [0, 1].
      contrast, highlights, shadows: scalars, clipped to [-1, 1]; all 0 is the identity, bit by bit. Positive values
        of the last two lighten.

    Returns:
      [h, w, 3] in [0, 1].
    """
    contrast, highlights, shadows = (clip(slider, -1.0, 1.0) for slider in (contrast, highlights, shadows))
    rgb = clip01(rgb)
    y = clip01(luma709(rgb))
    tone = clip01(power(y, 1.0 / DISPLAY))
    around = clip01(guided_by_itself(tone, window(DETAIL_SIDE * min(tone.shape)), lambda mean: DETAIL**2))
    ratio = _contrast_ratio(tone, contrast)
    around = around * _contrast_ratio(around, contrast)
    shift = HIGHLIGHTS * highlights * _bright(around) + SHADOWS * shadows * _dark(around)
    # As ratios, which are 1 at strength 0 and smooth at black, where the tone itself is steep.
    ratio = ratio * _log_odds_ratio(ratio * tone, shift)
    return scale_luma(rgb, y, power(ratio, DISPLAY))


def _contrast_ratio(t, contrast):
    """New tone over old."""
    return 1.0 + CONTRAST * contrast * (1.0 - t) * (2.0 * t - 1.0)


def _log_odds_ratio(t, shift):
    """New tone over old, for a shift of log odds."""
    odds = jnp.exp(shift)
    return odds / (1.0 + t * (odds - 1.0))


def _bright(u):
    """``u^3 / (u^3 + ((1 - u) 7/3)^3)``, a half at .7."""
    high, low = u**3, ((1.0 - u) * (7.0 / 3.0)) ** 3
    return high / (high + low)


def _dark(u):
    """``u (1 - u)^4`` over its maximum, at u = .2."""
    rest = 1.0 - u
    return 3125.0 / 256.0 * u * (rest * rest) ** 2


VIBRANCE = 0.7
"""Vibrance 1 multiplies the most muted colours by e^.7, about 2."""
MUTED = 0.15
"""Chroma, sqrt(Cb^2 + Cr^2), at which vibrance has half its effect."""
SKIN = (-0.545, 0.839)
"""Direction of skin in the plane of (Cb, Cr), 123 degrees: the I axis of colour television, made for skin."""
SPARED = 0.6
"""The part of vibrance that skin is spared."""
COLOURED = 0.03
"""Chroma from which on a pixel has a hue to speak of."""


@unless_zero
def edit_colors(srgb, vibrance, saturation):
    """Scales chroma, luma and hue staying: vibrance where colours are muted and not skin, saturation everywhere.

    ``(Cb, Cr) <- f (Cb, Cr)`` with ``f = e^(.7 v m) (1 + s)``; ``m = 1 / (1 + C^2 / .15^2)``, less by up to three
    fifths towards the hue of skin. What f > 1 would take out of the RGB cube approaches its surface instead and keeps
    its order. Saturation -1 is grey.

    YCbCr of display values rather than Oklab: there the line to grey is straight in RGB too, so the limit of the RGB
    cube is known in closed form, and luma, which every later stage keeps, is exact.

    Args:
      srgb: display-referred picture [h, w, 3] in [0, 1].
      vibrance, saturation: scalars, clipped to [-1, 1]; both 0 is the identity, bit by bit.

    Returns:
      [h, w, 3] in [0, 1].
    """
    vibrance, saturation = clip(vibrance, -1.0, 1.0), clip(saturation, -1.0, 1.0)
    srgb = clip01(srgb)
    y, cb, cr = jnp.moveaxis(rgb_to_ycbcr(srgb), -1, 0)
    y = clip01(y)
    square = cb * cb + cr * cr
    muted = 1.0 / (1.0 + square / MUTED**2)
    # The fourth power of the cosine between hue and skin, without a hue where there is no colour.
    towards = clip(SKIN[0] * cb + SKIN[1] * cr, 0.0, 1.0)
    skin = (towards * towards / (square + COLOURED**2)) ** 2
    factor = jnp.exp(VIBRANCE * vibrance * muted * (1.0 - SPARED * skin)) * (1.0 + saturation)
    factor = (factor * soft_limit(room_used(srgb, y), factor))[..., None]
    return clip01(srgb * factor + y[..., None] * (1.0 - factor))


SHARPEN = 0.08
"""Gain of detail at amount 1; at the largest, 50, detail counts five times."""
FLAT = 0.03
"""Slope, in display values over two pixels, at which sharpening has half its effect; noise is below."""
OVERSHOOT = 0.3
"""Sharpening moves a pixel by at most this part of the way to black or white."""


@unless_zero
def sharpen(srgb, amount):
    """Unsharp mask on luma, where there is more than noise, and never beyond black and white.

    ``x = .08 a m (Y - blur(Y))``, ``Y' = Y + x / (1 + |x| / room)``: blur is a 3 x 3 Gaussian of sigma 1, ``room`` .3
    of the way to white or black, and ``m = e / (e + .03^2)`` with e the squared gradient of luma, blurred in the same
    way. All channels move by the change of Y. Local: a crop is sharpened as in the whole picture. The border is
    mirrored.

    Args:
      srgb: [H, W, 3] in [0, 1].
      amount: scalar, clipped to [0, 50]; 0 is the identity, bit by bit.

    Returns:
      [H, W, 3] in [0, 1]; what would leave that range moves towards grey.
    """
    srgb = clip01(srgb)
    y = luma709(srgb)
    around = pad_reflect(y[..., None], 2)[..., 0]
    across, down = around[1:-1, 2:] - around[1:-1, :-2], around[2:, 1:-1] - around[:-2, 1:-1]
    energy = blur3(across * across + down * down)
    detail = y - blur3(around[1:-1, 1:-1])
    x = SHARPEN * clip(amount, 0.0, 50.0) * energy / (energy + FLAT**2) * detail
    room = OVERSHOOT * jnp.where(x > 0.0, 1.0 - y, y) + 1e-6
    return move_luma(srgb, y, y + x / (1.0 + jnp.abs(x) / room))
