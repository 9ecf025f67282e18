"""Colour of a raw file by its DNG tags: calibration matrices, colour temperature, colour matrix.

Source: Digital Negative specification 1.6, chapter 6, "Mapping Camera Color Space to CIE XYZ Space".

| specification | here | maps |
|---|---|---|
| ColorMatrix (CM) | ``color_matrix`` | XYZ to reference camera RGB |
| ForwardMatrix (FM) | ``forward_matrix`` | white-balanced reference camera RGB to XYZ (D50) |
| CameraCalibration (CC) | ``camera_calibration`` | reference camera RGB to this camera's RGB |
| AnalogBalance (AB) | ``analog_balance`` | this camera's RGB to stored RGB, a gain per channel |

Temperatures (CCT) are in kelvin, tint in units of .0005 in CIE 1960 uv, neutrals are camera RGB of white with G = 1.
"""

import dataclasses

import numpy as np

XYZ_D50_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
"""XYZ under D50 to linear sRGB, Bradford-adapted (B. Lindbloom)."""

D50 = np.linalg.solve(XYZ_D50_TO_SRGB, np.ones(3))
"""XYZ of D50 white, (.96422, 1, .82521): taken from the matrix, so that white becomes exactly (1, 1, 1)."""

D65 = np.array([0.95047, 1.0, 1.08883])
"""XYZ of D65 white, 2 degrees; the illuminant of LibRaw's matrices."""

BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Linear Bradford cone response (DNG specification, chapter 6)."""

ILLUMINANT_CCT = {
    **{1: 5503.0, 2: 4230.0, 3: 2856.0, 4: 5503.0, 9: 5503.0, 10: 6504.0, 11: 7504.0, 12: 6430.0, 13: 5000.0},
    **{14: 4230.0, 15: 3450.0, 16: 2940.0, 17: 2856.0, 18: 4874.0, 19: 6774.0, 20: 5503.0, 21: 6504.0, 22: 7504.0},
    **{23: 5003.0, 24: 3200.0},
}
"""EXIF LightSource code to CCT. Lamps are CIE F types; daylight, flash and fine weather stand for D55, cloudy for D65,
shade for D75, tungsten for A, plain fluorescent for cool white."""

OTHER_ILLUMINANT = 255

ISOTHERM_MIRED = np.concatenate([np.arange(0, 100, 10), np.arange(100, 601, 25)]).astype(np.float64)
# fmt: off
_ISOTHERMS = np.array(
    [
        [0.18006, 0.26352, -0.24341], [0.18066, 0.26589, -0.25479], [0.18133, 0.26846, -0.26876],
        [0.18208, 0.27119, -0.28539], [0.18293, 0.27407, -0.3047], [0.18388, 0.27709, -0.32675],
        [0.18494, 0.28021, -0.35156], [0.18611, 0.28342, -0.37915], [0.18740, 0.28668, -0.40955],
        [0.18880, 0.28997, -0.44278], [0.19032, 0.29326, -0.47888], [0.19462, 0.30141, -0.58204],
        [0.19962, 0.30921, -0.70471], [0.20525, 0.31647, -0.84901], [0.21142, 0.32312, -1.0182],
        [0.21807, 0.32909, -1.2168], [0.22511, 0.33439, -1.4512], [0.23247, 0.33904, -1.7298],
        [0.24010, 0.34308, -2.0637], [0.24792, 0.34655, -2.4681], [0.25591, 0.34951, -2.9641],
        [0.26400, 0.35200, -3.5814], [0.27218, 0.35407, -4.3633], [0.28039, 0.35577, -5.3762],
        [0.28863, 0.35714, -6.7262], [0.29685, 0.35823, -8.5955], [0.30505, 0.35907, -11.324],
        [0.31320, 0.35968, -15.628], [0.32129, 0.36011, -23.325], [0.32931, 0.36038, -40.77],
        [0.33724, 0.36051, -116.45],
    ]
)
# fmt: on
"""u, v and slope of Robertson's 31 isotherms (Wyszecki and Stiles 1982, table 1(3.11); u at 325 mired is .24792)."""

ISOTHERM_UV, ISOTHERM_SLOPE = _ISOTHERMS[:, :2], _ISOTHERMS[:, 2]


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A camera's matrices under one illuminant. Every field is as the file has it, or None."""

    cct: float
    """Correlated colour temperature of the illuminant, K."""
    color_matrix: np.ndarray
    """XYZ to camera RGB, [3, 3]."""
    forward_matrix: np.ndarray | None = None
    """White-balanced camera RGB to XYZ under D50, [3, 3]."""
    camera_calibration: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(3))
    """Reference camera to this one, [3, 3]; the identity where the file's does not apply."""
    illuminant_code: int | None = None
    """EXIF LightSource code; 255 where the file gives a chromaticity instead."""
    illuminant_xy: tuple[float, float] | None = None
    """CIE 1931 chromaticity of an illuminant 255."""


@dataclasses.dataclass(frozen=True)
class CameraProfile:
    """What a file says of its camera's colour and noise: one to three calibrations and what they share."""

    calibrations: tuple[Calibration, ...] = ()
    """In the file's order; empty where the file has no usable colour matrix."""
    analog_balance: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(3))
    """Gain per channel before storage, [3]."""
    noise_profile: np.ndarray | None = None
    """(a, b) per channel, [3, 2]: the variance of a value x in [0, 1] is a x + b."""
    source: str = "none"
    """Where the matrices come from: "dng", "libraw", "s24" or "none"."""


def is_usable_matrix(matrix):
    """True for a finite [3, 3] matrix that can be inverted without losing more than six digits."""
    matrix = np.asarray(matrix, np.float64)
    return bool(matrix.shape == (3, 3) and np.isfinite(matrix).all() and np.linalg.cond(matrix) < 1e6)


def xyz_to_uv(xyz):
    """XYZ [3] to CIE 1960 (u, v): ``u = 4X / (X + 15Y + 3Z)``, ``v = 6Y / (X + 15Y + 3Z)``."""
    x, y, z = np.asarray(xyz, np.float64)
    total = x + 15 * y + 3 * z
    if not (np.isfinite(total) and total > 0):
        raise ValueError(f"expected XYZ of a light, with X + 15Y + 3Z > 0; got {[float(v) for v in (x, y, z)]}")
    return np.array([4 * x / total, 6 * y / total])


def xy_to_xyz(xy):
    """CIE 1931 chromaticity (x, y) to XYZ [3] with Y = 1."""
    x, y = float(xy[0]), float(xy[1])
    if not (np.isfinite(x) and np.isfinite(y) and 0 < x < 1 and 0 < y < 1):
        raise ValueError(f"expected a chromaticity with x and y in (0, 1); got ({x}, {y})")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def locus_uv(mired):
    """CIE 1960 (u, v) [2] of the Planckian locus, interpolated linearly in ``mired`` = 1e6 / T, in [0, 600]."""
    return np.array([np.interp(mired, ISOTHERM_MIRED, column) for column in ISOTHERM_UV.T])


def _isotherm(uv):
    """Robertson's search: (j, p), so that ``uv`` lies at share ``p`` from isotherm j - 1 to isotherm j."""
    du, dv = (uv - ISOTHERM_UV).T
    distance = (dv - ISOTHERM_SLOPE * du) / np.sqrt(1 + ISOTHERM_SLOPE**2)
    crossings = np.nonzero(distance[:-1] * distance[1:] <= 0)[0]
    if len(crossings):
        j = int(crossings[0]) + 1
    else:  # beyond an end of the table: along its first or its last pair
        j = 1 if abs(distance[0]) < abs(distance[-1]) else len(ISOTHERM_MIRED) - 1
    before, after = distance[j - 1], distance[j]
    return j, float(before / (before - after)) if before != after else 0.0


def xyz_to_cct(xyz):
    """Correlated colour temperature of XYZ [3] in K, by Robertson's method.

    ``1e6 / T`` is interpolated linearly between the two isotherms around the colour's (u, v); past 600 mired it is
    extrapolated from the last pair. The result stays within [1000, 100000] K. Raises ``ValueError`` where XYZ is no
    light. Source: Robertson 1968; Wyszecki and Stiles 1982, section 3.11.
    """
    j, p = _isotherm(xyz_to_uv(xyz))
    mired = ISOTHERM_MIRED[j - 1] + p * (ISOTHERM_MIRED[j] - ISOTHERM_MIRED[j - 1])
    return float(1e6 / np.clip(mired, 10.0, 1000.0))


def _weights(profile, xyz, clamp, cct=None):
    """Weight of each calibration for a scene lit by ``xyz`` (of temperature ``cct`` where known), [n], sum 1.

    Two illuminants: linear in 1 / T, ``g = (1/T - 1/T2) / (1/T1 - 1/T2)``. Three: inverse squared distance of the
    chromaticities, which reaches a calibration's own matrix at its own illuminant and never extrapolates.
    """
    calibrations = profile.calibrations
    if len(calibrations) == 1:
        return np.ones(1)
    if len(calibrations) == 2:
        first, second = 1 / calibrations[0].cct, 1 / calibrations[1].cct
        inverse = 1 / (xyz_to_cct(xyz) if cct is None else cct)
        if clamp:
            inverse = np.clip(inverse, min(first, second), max(first, second))
        g = (inverse - second) / (first - second)
        return np.array([g, 1 - g])
    here = xyz_to_uv(xyz)
    squared = np.array([np.sum((here - _calibration_uv(c)) ** 2) for c in calibrations])
    inverse = 1 / np.maximum(squared, 1e-16)
    return inverse / inverse.sum()


def _calibration_uv(calibration):
    if calibration.illuminant_xy is not None:
        return xyz_to_uv(xy_to_xyz(calibration.illuminant_xy))
    return locus_uv(1e6 / calibration.cct)


def _mix(weights, matrices):
    return np.tensordot(weights, np.stack(matrices), axes=1)


def _check_profile(profile):
    if not profile.calibrations:
        raise ValueError("expected a camera profile with a colour matrix, got one without")


def xyz_to_camera(profile, xyz, *, clamp=True, cct=None):
    """Matrix [3, 3] from XYZ to stored camera RGB under light ``xyz`` [3]: ``AB . CC(T) . CM(T)``.

    T is ``cct`` where given, else that of ``xyz``; ``clamp`` keeps it between the calibration illuminants.
    """
    _check_profile(profile)
    weights = _weights(profile, xyz, clamp, cct)
    color = _mix(weights, [c.color_matrix for c in profile.calibrations])
    calibration = _mix(weights, [c.camera_calibration for c in profile.calibrations])
    return np.diag(profile.analog_balance) @ calibration @ color


def check_neutral(neutral):
    """Returns ``neutral`` [3] in float64 with G = 1; raises ``ValueError`` unless it is finite and positive."""
    neutral = np.asarray(neutral, np.float64)
    if neutral.shape != (3,) or not np.isfinite(neutral).all() or not (neutral > 0).all():
        raise ValueError(f"expected a neutral of three positive numbers, got {neutral.tolist()}")
    return neutral / neutral[1]


def _find_white(neutral, profile):
    """(CCT, weights of the calibrations within their range, XYZ) of the light whose camera colour is ``neutral``.

    Fixed point of ``X = inverse(AB CC(T(X)) CM(T(X))) n``, from (.3, .3, .3), until it moves by no more than
    1e-4; the CCT and the weights are those of the last X but one, whose matrix gave the last. The matrices are
    extrapolated beyond the calibration illuminants here, as the published system does.
    """
    _check_profile(profile)
    neutral = check_neutral(neutral)
    xyz = np.full(3, 0.3)
    for _ in range(99):
        previous, xyz = xyz, np.linalg.solve(xyz_to_camera(profile, xyz, clamp=False), neutral)
        if np.linalg.norm(xyz - previous) <= 1e-4:
            break
    return xyz_to_cct(previous), _weights(profile, previous, clamp=True), xyz


def neutral_to_xyz(neutral, profile):
    """XYZ [3] of the light whose camera colour is ``neutral`` [3], as large as the matrices make it.

    Source: DNG specification, chapter 6, "Translating Camera Neutral Coordinates to White Balance xy Coordinates".
    """
    return _find_white(neutral, profile)[2]


def neutral_to_cct_tint(neutral, profile):
    """(CCT in K, tint) of the light whose camera colour is ``neutral`` [3].

    Positive tint: greener than the Planckian locus. Raises ``ValueError`` where the neutral is no colour of light
    for this camera. Source: paper section I.3.
    """
    cct, _, xyz = _find_white(neutral, profile)
    uv = xyz_to_uv(xyz)
    j, p = _isotherm(uv)
    base = (1 - p) * ISOTHERM_UV[j - 1] + p * ISOTHERM_UV[j]
    return cct, float((uv - base) @ _normal(j) / 0.0005)


def _normal(j):
    """Unit vector across the locus between isotherms j - 1 and j, towards green."""
    du, dv = ISOTHERM_UV[j] - ISOTHERM_UV[j - 1]
    return np.array([-dv, du]) / np.hypot(du, dv)


def neutral_to_cct(neutral, profile):
    """Correlated colour temperature in K of the light whose camera colour is ``neutral`` [3]."""
    return neutral_to_cct_tint(neutral, profile)[0]


def cct_tint_to_xyz(cct, tint=0.0):
    """XYZ [3], Y = 1, of the light of ``cct`` K, ``tint`` steps of .0005 beside the locus."""
    mired = 1e6 / float(cct)
    j = int(np.clip(np.searchsorted(ISOTHERM_MIRED, mired), 1, len(ISOTHERM_MIRED) - 1))
    p = (mired - ISOTHERM_MIRED[j - 1]) / (ISOTHERM_MIRED[j] - ISOTHERM_MIRED[j - 1])
    u, v = (1 - p) * ISOTHERM_UV[j - 1] + p * ISOTHERM_UV[j] + 0.0005 * float(tint) * _normal(j)
    return np.array([1.5 * u / v, 1.0, (2 - 0.5 * u) / v - 5])


def cct_tint_to_neutral(cct, tint, profile):
    """Camera colour [3], G = 1, of the light of ``cct`` K and ``tint``; matrices clamped to their illuminants."""
    return xyz_to_neutral(cct_tint_to_xyz(cct, tint), profile, cct=cct)


def xyz_to_neutral(xyz, profile, *, cct=None):
    """Camera colour [3], G = 1, of the light ``xyz`` [3]: ``AB CC(T) CM(T) XYZ`` over its G."""
    return check_neutral(xyz_to_camera(profile, xyz, cct=cct) @ np.asarray(xyz, np.float64))


def adapt_to_d50(xyz):
    """Linear Bradford matrix [3, 3] that takes white ``xyz`` / Y to D50. DNG specification, chapter 6."""
    xyz = np.asarray(xyz, np.float64)
    source = BRADFORD @ (xyz / xyz[1]) if xyz[1] > 0 else np.zeros(3)
    if not (np.isfinite(source).all() and (source > 0).all()):
        raise ValueError(f"expected XYZ of a light, got {xyz.tolist()}")
    return np.linalg.solve(BRADFORD, np.diag((BRADFORD @ D50) / source) @ BRADFORD)


def ccm_at(profile, neutral, *, normalize=True, cct=None):
    """Colour matrix [3, 3]: camera RGB divided by ``neutral`` (G = 1) to linear sRGB.

    With forward matrices, ``S . FM(T) . diag(1 / r) . inv(AB CC) . diag(n)``, where ``r = inv(AB CC) n`` and S is XYZ
    (D50) to sRGB; without, ``S . A . inv(AB CC CM) . diag(n)``, A the Bradford adaptation from the scene's white to
    D50. The matrices are those of the light's temperature, clamped to the calibration illuminants; it is ``cct`` where
    given, else that of ``neutral``.

    The specification demands that FM takes (1, 1, 1) to D50; files round it to 2e-3. ``normalize`` scales the rows
    of FM so that it does, as Adobe's SDK does: otherwise white gets a cast of up to 1.6e-3. The published system
    does not normalise.

    Source: DNG specification, chapter 6, "Camera to XYZ (D50) Transform". Raises ``ValueError`` for a neutral that
    is no colour of light for this camera, or a profile without matrices.
    """
    neutral = check_neutral(neutral)
    _check_profile(profile)
    if cct is None:
        _, weights, _ = _find_white(neutral, profile)
    else:
        weights = _weights(profile, cct_tint_to_xyz(cct), clamp=True, cct=cct)
    calibrations = profile.calibrations
    to_camera = np.diag(profile.analog_balance) @ _mix(weights, [c.camera_calibration for c in calibrations])
    if all(c.forward_matrix is not None for c in calibrations):
        from_camera = np.linalg.inv(to_camera)
        reference = from_camera @ neutral
        if not (reference > 0).all():
            raise ValueError(f"expected a neutral that CameraCalibration keeps positive, got {neutral.tolist()}")
        forward = _mix(weights, [c.forward_matrix for c in calibrations])
        if normalize:
            forward = forward * (D50 / forward.sum(axis=1))[:, None]
        to_xyz = forward @ np.diag(1 / reference) @ from_camera
    else:
        from_camera = np.linalg.inv(to_camera @ _mix(weights, [c.color_matrix for c in calibrations]))
        white = from_camera @ neutral
        to_xyz = adapt_to_d50(white) @ from_camera / white[1]
    return XYZ_D50_TO_SRGB @ to_xyz @ np.diag(neutral)
