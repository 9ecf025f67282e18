"""Colour temperature and tint of lights as sliders have them, there and back over their whole range.

A light is a point of CIE 1960 (u, v) in coordinates along and across the Planckian locus:

    uv(T, tint) = base(10^6 / T) + d direction(10^6 / T),    d = .0005 tint

``base`` interpolates the (u, v) of Robertson's isotherms linearly in mired, ``direction`` their unit vectors, towards
green. Positive tint: the light is greener than the locus, so the corrected picture turns to magenta. The isotherms do
not meet within the sliders' range, so the two numbers are unique.

The corners of the range are no lights: at 1800 K and a tint of 15 Z is gone, and beyond it some channel becomes
negative. Camera colour is linear in d, so the d at which a channel vanishes is known in closed form, and d is
compressed towards it, smoothly and invertibly: the identity up to half of that limit (:data:`FLOOR`). The camera's
matrices are those of T, clamped to the calibration illuminants, in both directions.

Three differences from the published convention (``cct_tint_to_neutral`` and ``neutral_to_cct_tint`` of ``dng_color``,
which stay for parity): tint runs along isotherms, not across the chord between two of them; the way back clamps the
matrices as the way there does; and extreme tints are compressed. docs/white_balance.md has what that amounts to.
"""

import numpy as np

from modisp_jax.io.dng_color import (
    BRADFORD,
    D65,
    ISOTHERM_MIRED,
    ISOTHERM_SLOPE,
    XYZ_D50_TO_SRGB,
    Calibration,
    CameraProfile,
    adapt_to_d50,
    ccm_at,
    cct_tint_to_neutral,
    check_neutral,
    is_usable_matrix,
    locus_uv,
    neutral_to_cct_tint,
    xyz_to_camera,
)

CCT_RANGE = (1800.0, 10000.0)
"""Of the temperature slider, in kelvin."""

TINT_RANGE = (-100.0, 100.0)
"""Of the tint slider, in units of .0005 in CIE 1960 uv."""

DUV_PER_TINT = 0.0005

FLOOR = 0.1
"""Relative to the light of tint 0, no camera channel and no cone of the eye (Bradford's) falls below this share of the
one that gains most. It is where tint is compressed to."""

DARKEST = 0.01
"""Relative to D65 of the same luminance, no channel or cone falls below this on the locus itself. Cameras keep .03
at 1800 K; linear sRGB taken for a camera has no blue under 1900 K, and there temperature is compressed."""

MIRED_KNEE = 50.0
"""How far before the temperature at which a channel vanishes the compression sets in, where there is one."""

FARTHEST = 0.5
"""Distance from the locus in uv beyond which a colour is no light; u and v of colours are under .65."""

_ENDS = (1e6 / CCT_RANGE[1], 1e6 / CCT_RANGE[0])
_D65_MIRED = 1e6 / 6504.0
_DIRECTION = -np.stack([np.ones_like(ISOTHERM_SLOPE), ISOTHERM_SLOPE], axis=1) / np.sqrt(1 + ISOTHERM_SLOPE**2)[:, None]


def cct_tint_to_light(cct, tint, profile):
    """Camera colour of the light at two sliders' positions.

    Args:
      cct: temperature in [1800, 10000] K.
      tint: distance from the locus in units of .0005 uv, in [-100, 100], positive greener.
      profile: a ``CameraProfile`` with one to three calibrations.

    Returns:
      float64 [3], G = 1, every entry positive.

    Raises:
      ValueError: a position outside of the sliders' range, a profile without matrices, or one for which daylight is
        no colour.
    """
    cct, tint = _check_position("cct", cct, CCT_RANGE, "K"), _check_position("tint", tint, TINT_RANGE, "units")
    return lights_at(cct, [tint], profile)[0]


def lights_at(cct, tints, profile):
    """Camera colours [n, 3], G = 1, of the lights of ``cct`` K at the tints [n]: rows of :func:`cct_tint_to_light`."""
    mired = _compress(1e6 / cct, *_mired_limits(profile))
    origin, step, limits = _line(mired, profile)
    d = np.array([_compress(DUV_PER_TINT * tint, *limits) for tint in tints])
    neutrals = origin + d[:, None] * step
    return neutrals / neutrals[:, 1:2]


def light_to_cct_tint(neutral, profile):
    """Position of the two sliders for the light whose camera colour is ``neutral`` [3].

    The inverse of :func:`cct_tint_to_light`: the root in mired of the cross product between
    ``uv(M(T)^-1 n) - base(T)`` and ``direction(T)``. A colour that the sliders do not reach is clipped to their range,
    first the temperature, then the tint.

    Returns:
      (CCT in K, tint), within the sliders' range.

    Raises:
      ValueError: a neutral that is not three positive numbers, or a profile as in :func:`cct_tint_to_light`.
    """
    neutral, limits = check_neutral(neutral), _mired_limits(profile)
    first, last = (_compress(end, *limits) for end in _ENDS)
    nodes = np.linspace(first, last, 21)
    sides = [_across(mired, neutral, profile)[0] for mired in nodes]
    roots = [
        _bisect(nodes[k], nodes[k + 1], sides[k], neutral, profile)
        for k in range(len(nodes) - 1)
        if (sides[k] > 0) != (sides[k + 1] > 0)
    ]
    # Isotherms meet far from the locus, and colours that are no light have roots of their own, at huge d.
    distances = {mired: abs(_across(mired, neutral, profile)[1]) for mired in roots}
    roots = [mired for mired in roots if distances[mired] < FARTHEST]
    if roots:
        mired = min(roots, key=distances.get)
    else:
        mired = min((first, last), key=lambda end: abs(_warmth(neutral) - _warmth(_line(end, profile)[0])))
    _, d = _across(mired, neutral, profile)
    _, _, tint_limits = _line(mired, profile)
    reach = [_compress(DUV_PER_TINT * end, *tint_limits) for end in TINT_RANGE]
    tint = _expand(np.clip(d, *reach), *tint_limits) / DUV_PER_TINT
    cct = 1e6 / _expand(mired, *limits)
    return float(np.clip(cct, *CCT_RANGE)), float(np.clip(tint, *TINT_RANGE))


def matrix_at(cct, profile):
    """Matrix [3, 3] from XYZ to camera RGB under the black body of ``cct`` K, clamped to the calibrations."""
    return _matrix(1e6 / cct, profile)


def is_reachable(neutral, profile, tolerance=1e-4):
    """Whether the sliders reach the camera colour ``neutral`` [3], to ``tolerance`` in every ratio to G."""
    neutral = check_neutral(neutral)
    nearest = cct_tint_to_light(*light_to_cct_tint(neutral, profile), profile)
    return bool(np.abs(np.log(nearest / neutral)).max() <= tolerance)


def ccm_of_light(profile, cct, tint):
    """Colour matrix [3, 3] for the light at two sliders' positions: ``ccm_at`` with the matrices of ``cct``."""
    return ccm_at(profile, cct_tint_to_light(cct, tint, profile), cct=cct)


def virtual_profile(illuminant, ccm):
    """A profile for a photo whose camera is unknown, in which its own light reads as D65 (6504 K, tint 6.5).

    ``ColorMatrix = diag(illuminant) CCM^-1 S A``, A the Bradford adaptation from D65 to D50, S from there to linear
    sRGB: it takes D65 white to ``illuminant``, and ``ccm_at`` gives ``ccm`` back for it.
    Temperatures are then relative to that light, whatever it was. The rows of ``ccm`` are scaled to sum to 1; a ``ccm``
    for which that is impossible, which cannot be inverted, or with which daylight has no colour is taken for the
    identity.

    Args:
      illuminant: camera colour of white [3], positive.
      ccm: white-balanced camera RGB to linear sRGB [3, 3].
    """
    ccm = np.asarray(ccm, np.float64)
    sums = ccm.sum(axis=1, keepdims=True)
    candidates = [ccm / sums] if is_usable_matrix(ccm) and (np.abs(sums) > 1e-3).all() else []
    for balanced_to_srgb in [*candidates, np.eye(3)]:
        from_xyz = np.linalg.solve(balanced_to_srgb, XYZ_D50_TO_SRGB @ adapt_to_d50(D65))
        matrix = np.diag(check_neutral(illuminant)) @ from_xyz
        profile = CameraProfile((Calibration(6504.0, matrix, illuminant_code=21),), source="virtual")
        if _has_daylight(profile):
            break
    return profile


def published_guard(neutral, profile, *, preference=False, keep_sign=False):
    """The published tool's own guard: a neutral to (CCT, tint), clipped, and back, in the published convention.

    CCT is clipped to [1500, 9000] K; for the preference map (``preference``) to [2500, 8000] K, and a tint beyond 5
    on either side becomes +5. That the sign is lost there is a flaw; with ``keep_sign`` it becomes +5 or -5.

    Args:
      neutral: camera colour of white [3].
      profile: a ``CameraProfile`` with matrices.

    Returns:
      float64 [3], G = 1.

    Source: the published tool's treatment of estimated and given illuminants.
    """
    cct, tint = neutral_to_cct_tint(neutral, profile)
    low, high = (2500.0, 8000.0) if preference else (1500.0, 9000.0)
    if preference and abs(tint) > 5:
        tint = float(np.sign(tint)) * 5.0 if keep_sign else 5.0
    return cct_tint_to_neutral(float(np.clip(cct, low, high)), tint, profile)


def _check_position(name, value, limits, unit):
    value = float(value)
    if not limits[0] <= value <= limits[1]:
        raise ValueError(f"{name}: expected {limits[0]:g} to {limits[1]:g} {unit}, got {value:g}")
    return value


def _xyz_of_uv(uv):
    """``[1.5 u, v, 2 - .5 u - 5 v]``: XYZ with Y = v, linear in (u, v) but for the constant."""
    return np.array([1.5 * uv[0], uv[1], 2 - 0.5 * uv[0] - 5 * uv[1]])


def _frame(mired):
    """(base [2], unit direction [2]) of the isotherm."""
    direction = np.array([np.interp(mired, ISOTHERM_MIRED, column) for column in _DIRECTION.T])
    return locus_uv(mired), direction / np.hypot(*direction)


def _matrix(mired, profile):
    """Matrix [3, 3] from XYZ to camera RGB under the light of that temperature, clamped to the calibrations."""
    return xyz_to_camera(profile, _xyz_of_uv(locus_uv(mired)), cct=1e6 / mired)


def _line(mired, profile):
    """Camera colours of an isotherm: (origin [3], step [3] per d, (lower, upper) limit of d).

    ``w = 1 + d slope`` are channels and cones relative to the light on the locus. All stay above FLOOR of the largest
    while ``(1 - FLOOR) + d (slope_k - FLOOR slope_j) >= 0`` for every k and j.
    """
    base, direction = _frame(mired)
    matrix = _matrix(mired, profile)
    both = np.concatenate([matrix, BRADFORD])
    origin, step = both @ _xyz_of_uv(base), both @ (_xyz_of_uv(direction) - [0, 0, 2])
    slope = step / origin
    upper = (1 - FLOOR) / max(FLOOR * slope.max() - slope.min(), 1e-9)
    lower = -(1 - FLOOR) / max(slope.max() - FLOOR * slope.min(), 1e-9)
    return origin[:3], step[:3], ((lower / 2, lower), (upper / 2, upper))


_latest = (None, None)


def _mired_limits(profile):
    """((knee, limit) on the cold side, the same on the warm side) of temperature in mired; limits may be infinite.

    Kept for the profile that was asked of last: a slider asks three times for each light, and of one camera only.
    """
    global _latest
    known, limits = _latest
    if known is not profile:
        limits = _find_mired_limits(profile)
        _latest = profile, limits  # in one step, whatever other threads do
    return limits


def _find_mired_limits(profile):
    reference = _relative(_D65_MIRED, profile)
    if not (np.isfinite(reference).all() and (reference[:3] > 0).all()):
        raise ValueError(f"expected a camera profile in which D65 has a colour, got {reference[:3].tolist()}")
    sides = []
    for end in _ENDS:
        path = np.linspace(_D65_MIRED, end, 31)
        bad = [(_relative(mired, profile) / reference).min() < DARKEST for mired in path]
        if not any(bad):
            sides.append((end, np.copysign(np.inf, end - _D65_MIRED)))
            continue
        limit = path[max(1, bad.index(True)) - 1]  # the last light that has a colour
        way = limit - _D65_MIRED
        sides.append((limit - np.clip(way / 2, -MIRED_KNEE, MIRED_KNEE), limit))
        if abs(way) < 1:
            raise ValueError("expected a camera profile in which the lights around D65 have colours")
    return tuple(sides)


def _has_daylight(profile):
    try:
        _mired_limits(profile)
    except ValueError:
        return False
    return True


def _relative(mired, profile):
    """Camera channels and cones [6] of the light on the locus, at Y = 1."""
    xyz = _xyz_of_uv(locus_uv(mired))
    return np.concatenate([_matrix(mired, profile), BRADFORD]) @ (xyz / xyz[1])


def _compress(x, low, high):
    """``x`` kept between two limits: the identity between the knees, C1, strictly monotone."""
    for knee, limit in (low, high):
        share = (x - knee) / (limit - knee)
        if share > 0 and np.isfinite(limit):
            return knee + (limit - knee) * share / (1 + share)
    return x


def _expand(y, low, high):
    """The inverse of :func:`_compress`."""
    for knee, limit in (low, high):
        share = (y - knee) / (limit - knee)
        if share > 0 and np.isfinite(limit):
            return knee + (limit - knee) * share / (1 - share)
    return y


def _across(mired, neutral, profile):
    """(side of the isotherm on which the light lies, its distance d along it), both as uv differences.

    In homogeneous coordinates: a colour that is no light has u and v beyond infinity; there d is huge, and the side
    stays continuous.
    """
    x, y, z = np.linalg.solve(_matrix(mired, profile), neutral)
    total = x + 15 * y + 3 * z
    (u, v), (du, dv) = _frame(mired)
    across, along = (4 * x - total * u, 6 * y - total * v), max(total, 1e-9)
    return (across[0] * dv - across[1] * du) / max(abs(total), 1e-9), (across[0] * du + across[1] * dv) / along


def _warmth(neutral):
    """Logarithm of R / B, by which an end of the range is chosen for colours beyond it."""
    return np.log(neutral[0] / neutral[2])


def _bisect(low, high, side_low, neutral, profile):
    for _ in range(52):
        middle = (low + high) / 2
        if (_across(middle, neutral, profile)[0] > 0) == (side_low > 0):
            low = middle
        else:
            high = middle
    return (low + high) / 2
