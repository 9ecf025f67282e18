"""DNG colour: laws of temperature, neutral and matrix; tags; parity with the published system."""

import dataclasses
import struct

import numpy as np
import pytest

from modisp_jax.io import dng_color as dc
from modisp_jax.io.dng_tags import DngTags, dng_neutral, dng_profile

CM_A = np.array([[0.95, -0.44, -0.03], [-0.36, 1.14, 0.23], [-0.04, 0.15, 0.60]])
CM_D65 = np.array([[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]])
FM_A = np.array([[0.60, 0.28, 0.085], [0.20, 0.95, -0.152], [0.01, -0.25, 1.064]])
FM_D65 = np.array([[0.66, 0.237, 0.066], [0.198, 0.944, -0.1425], [0.0156, -0.3867, 1.1963]])
CALIBRATION = np.diag([1.03, 1.0, 0.97]) + 0.01


def two(forward=False, **changes):
    first = dc.Calibration(2856.0, CM_A, FM_A if forward else None)
    second = dc.Calibration(6504.0, CM_D65, FM_D65 if forward else None)
    return dataclasses.replace(dc.CameraProfile((first, second)), **changes)


def d65_only():
    return dc.CameraProfile((dc.Calibration(6504.0, CM_D65),))


def three():
    middle = dc.Calibration(4230.0, (CM_A + CM_D65) / 2)
    return dc.CameraProfile((dc.Calibration(2856.0, CM_A), middle, dc.Calibration(6504.0, CM_D65)))


PROFILES = {"one": d65_only(), "two": two(), "two with ForwardMatrix": two(True), "three": three()}
NEUTRALS = [(0.42, 1, 0.67), (0.5, 1, 0.6), (0.75, 1, 0.36), (0.3, 1, 0.9)]


@pytest.mark.parametrize("neutral", NEUTRALS)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_white_stays_white(profile, neutral):
    ccm = dc.ccm_at(profile, neutral)
    np.testing.assert_allclose(ccm @ np.ones(3), 1, atol=1e-12)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_scale_of_neutral_does_not_matter(profile):
    neutral = np.array([0.5, 1, 0.6])
    np.testing.assert_allclose(dc.ccm_at(profile, neutral), dc.ccm_at(profile, 7 * neutral), atol=1e-12)


@pytest.mark.parametrize("cct", [1500, 2000, 2856, 4000, 5003, 6504, 10000, 40000])
def test_temperature_of_locus_round_trips(cct):
    assert dc.xyz_to_cct(dc.cct_tint_to_xyz(cct)) == pytest.approx(cct, rel=2e-3)


@pytest.mark.parametrize("cct", [2900, 3500, 4100, 5003, 6400])
@pytest.mark.parametrize("tint", [-20.0, 0.0, 15.0])
def test_temperature_and_tint_round_trip_between_illuminants(cct, tint):
    profile = two()
    back = dc.neutral_to_cct_tint(dc.cct_tint_to_neutral(cct, tint, profile), profile)
    # Robertson's isotherms are not exactly normal to the locus, and so a tint moves the temperature a little.
    assert back[0] == pytest.approx(cct, rel=0.01)
    assert back[1] == pytest.approx(tint, abs=1.0)


def test_temperature_of_standard_illuminants():
    assert dc.xyz_to_cct([1.09850, 1, 0.35585]) == pytest.approx(2856, abs=3)  # A
    assert dc.xyz_to_cct([0.96422, 1, 0.82521]) == pytest.approx(5003, abs=6)  # D50
    assert dc.xyz_to_cct([0.95047, 1, 1.08883]) == pytest.approx(6504, abs=8)  # D65


def test_temperature_stays_in_range_beyond_the_table():
    assert dc.xyz_to_cct([1.5, 1, 0.01]) >= 1000
    assert dc.xyz_to_cct([0.8, 1, 3.5]) == 100000


@pytest.mark.parametrize("xyz", [(0, 0, 0), (np.nan, 1, 1), (-1, 0, 0)])
def test_no_light_has_no_temperature(xyz):
    with pytest.raises(ValueError, match="expected XYZ of a light"):
        dc.xyz_to_cct(xyz)


@pytest.mark.parametrize("neutral", [(0, 1, 1), (np.nan, 1, 1), (1, 1), (-0.1, 1, 1)])
def test_bad_neutral(neutral):
    with pytest.raises(ValueError, match="three positive numbers"):
        dc.ccm_at(two(), neutral)


def test_profile_without_matrix():
    with pytest.raises(ValueError, match="with a colour matrix"):
        dc.ccm_at(dc.CameraProfile(), (0.5, 1, 0.5))


def test_bradford_takes_white_to_d50():
    white = np.array([0.95047, 1, 1.08883])
    np.testing.assert_allclose(dc.adapt_to_d50(3 * white) @ white, dc.D50, atol=1e-12)
    np.testing.assert_allclose(dc.adapt_to_d50(dc.D50), np.eye(3), atol=1e-12)


def test_without_forward_matrix_colours_are_those_of_xyz():
    # A surface of known XYZ under the calibration's own light, seen by the camera, adapted, in sRGB.
    profile, white = d65_only(), np.array([0.95047, 1, 1.08883])
    surface = np.array([0.3, 0.2, 0.1])
    neutral = dc.xyz_to_neutral(white, profile)
    camera = CM_D65 @ surface / (CM_D65 @ white)[1]
    expected = dc.XYZ_D50_TO_SRGB @ dc.adapt_to_d50(white) @ surface
    np.testing.assert_allclose(dc.ccm_at(profile, neutral) @ (camera / neutral), expected, atol=1e-10)


@pytest.mark.parametrize("forward", [False, True])
def test_at_a_calibration_illuminant_only_its_matrices_count(forward):
    profile = two(forward)
    for calibration in profile.calibrations:
        neutral = dc.cct_tint_to_neutral(calibration.cct, 0, profile)
        alone = dc.CameraProfile((calibration,))
        np.testing.assert_allclose(dc.ccm_at(profile, neutral), dc.ccm_at(alone, neutral), atol=2e-5)


def test_three_illuminants_reach_each_of_their_own():
    profile = three()
    for calibration in profile.calibrations:
        neutral = dc.cct_tint_to_neutral(calibration.cct, 0, profile)
        np.testing.assert_allclose(
            dc.ccm_at(profile, neutral), dc.ccm_at(dc.CameraProfile((calibration,)), neutral), atol=2e-3
        )


def test_order_of_illuminants_does_not_matter():
    profile = two(True)
    swapped = dataclasses.replace(profile, calibrations=profile.calibrations[::-1])
    for neutral in NEUTRALS:
        np.testing.assert_allclose(dc.ccm_at(profile, neutral), dc.ccm_at(swapped, neutral), atol=1e-12)


def test_matrices_are_clamped_outside_the_illuminants():
    profile = two(True)
    cold, colder = (dc.ccm_at(profile, n) for n in ((0.3, 1, 0.9), (0.28, 1, 0.95)))
    np.testing.assert_allclose(cold, colder, atol=1e-12)


@pytest.mark.parametrize("forward", [False, True])
def test_analog_balance_is_a_gain(forward):
    # A camera with gains g stores g * RGB: its matrix after white balance is the same as without.
    gains = np.array([1.3, 1.0, 0.8])
    plain, gained = two(forward), two(forward, analog_balance=gains)
    neutral = np.array([0.5, 1, 0.6])
    np.testing.assert_allclose(dc.ccm_at(gained, neutral * gains), dc.ccm_at(plain, neutral), atol=1e-9)
    assert dc.neutral_to_cct(neutral * gains, gained) == pytest.approx(dc.neutral_to_cct(neutral, plain), rel=1e-9)


def test_camera_calibration_multiplies_the_color_matrix():
    calibrated = dc.CameraProfile((dc.Calibration(6504.0, CM_D65, camera_calibration=CALIBRATION),))
    product = dc.CameraProfile((dc.Calibration(6504.0, CALIBRATION @ CM_D65),))
    neutral = np.array([0.5, 1, 0.6])
    np.testing.assert_allclose(dc.ccm_at(calibrated, neutral), dc.ccm_at(product, neutral), atol=1e-12)


def test_camera_calibration_with_forward_matrix():
    # Individual camera = CC . reference camera: both see the same colours after their matrices.
    reference = dc.CameraProfile((dc.Calibration(6504.0, CM_D65, FM_D65),))
    own = dc.CameraProfile((dc.Calibration(6504.0, CM_D65, FM_D65, CALIBRATION),))
    neutral, color = np.array([0.5, 1, 0.6]), np.array([0.2, 0.5, 0.1])
    own_neutral = CALIBRATION @ neutral
    expected = dc.ccm_at(reference, neutral) @ (color / neutral)
    got = dc.ccm_at(own, own_neutral) @ (CALIBRATION @ color / own_neutral)
    np.testing.assert_allclose(got, expected, atol=1e-12)


# Tags


def tags(**values):
    codes = {
        "illuminant1": 50778,
        "illuminant2": 50779,
        "illuminant3": 52529,
        "data1": 52533,
        "cm1": 50721,
        "cm2": 50722,
        "cm3": 52531,
        "cc1": 50723,
        "fm1": 50964,
        "fm2": 50965,
        "balance": 50727,
        "neutral": 50728,
        "xy": 50729,
        "signature": 50931,
        "profile_signature": 50932,
        "noise": 51041,
    }
    plain = {
        codes[k]: v if isinstance(v, str | bytes) else np.ravel(np.asarray(v, np.float64)) for k, v in values.items()
    }
    return DngTags(raw=plain, first=plain, byte_order="<", strips=())


@pytest.mark.parametrize("code", sorted(dc.ILLUMINANT_CCT))
def test_every_light_source_code(code):
    other = 17 if dc.ILLUMINANT_CCT[code] > 4000 else 21
    profile, warnings = dng_profile(tags(cm1=CM_A, illuminant1=code, cm2=CM_D65, illuminant2=other))
    assert not warnings
    assert [c.cct for c in profile.calibrations] == [dc.ILLUMINANT_CCT[code], dc.ILLUMINANT_CCT[other]]
    np.testing.assert_allclose(dc.ccm_at(profile, (0.5, 1, 0.6)) @ np.ones(3), 1, atol=1e-12)


def test_other_illuminant_by_its_chromaticity():
    data = struct.pack("<H4I", 0, 31271, 100000, 32902, 100000)  # D65
    profile, _ = dng_profile(tags(cm1=CM_D65, illuminant1=255, data1=data, cm2=CM_A, illuminant2=17))
    assert profile.calibrations[0].cct == pytest.approx(6504, abs=8)
    assert profile.calibrations[0].illuminant_xy == (0.31271, 0.32902)


@pytest.mark.parametrize("data", [b"", b"\0" * 18, struct.pack("<H4I", 1, 3, 1, 3, 1)])
def test_other_illuminant_without_usable_data_leaves_the_known_one(data):
    profile, warnings = dng_profile(tags(cm1=CM_D65, illuminant1=255, data1=data, cm2=CM_A, illuminant2=17))
    assert [c.cct for c in profile.calibrations] == [2856.0]
    assert warnings


def test_three_calibrations_are_read():
    profile, _ = dng_profile(tags(cm1=CM_A, illuminant1=17, cm2=CM_D65, illuminant2=21, cm3=CM_D65, illuminant3=14))
    assert [c.cct for c in profile.calibrations] == [2856.0, 6504.0, 4230.0]


def test_equal_or_unknown_illuminants_leave_one():
    for first, second in ((21, 21), (21, 0), (0, 0)):
        profile, warnings = dng_profile(tags(cm1=CM_A, illuminant1=first, cm2=CM_D65, illuminant2=second))
        assert len(profile.calibrations) == 1
        np.testing.assert_array_equal(profile.calibrations[0].color_matrix, CM_A)
        assert warnings


@pytest.mark.parametrize("bad", [np.zeros(9), np.full(9, np.nan), np.ones(9), np.ones(4)])
def test_degenerate_matrices_are_left_out(bad):
    profile, warnings = dng_profile(tags(cm1=bad, illuminant1=17, cm2=CM_D65, illuminant2=21))
    assert len(profile.calibrations) == 1
    assert "ColorMatrix1" in warnings[0]
    profile, warnings = dng_profile(tags(cm1=CM_D65, illuminant1=21, fm1=bad, cc1=bad))
    assert profile.calibrations[0].forward_matrix is None
    np.testing.assert_array_equal(profile.calibrations[0].camera_calibration, np.eye(3))
    assert len(warnings) == 2


@pytest.mark.parametrize(("own", "profiles", "applies"), [("a", "a", True), ("a", "b", False), ("a", "", False)])
def test_camera_calibration_needs_equal_signatures(own, profiles, applies):
    profile, warnings = dng_profile(
        tags(cm1=CM_D65, illuminant1=21, cc1=CALIBRATION, signature=own, profile_signature=profiles)
    )
    expected = CALIBRATION if applies else np.eye(3)
    np.testing.assert_array_equal(profile.calibrations[0].camera_calibration, expected)
    assert bool(warnings) is not applies


def test_camera_calibration_without_signatures_applies():
    profile, _ = dng_profile(tags(cm1=CM_D65, illuminant1=21, cc1=CALIBRATION))
    np.testing.assert_array_equal(profile.calibrations[0].camera_calibration, CALIBRATION)


def test_as_shot_white_xy():
    profile = d65_only()
    xyz = np.array([0.95047, 1, 1.08883])
    neutral = dng_neutral(tags(xy=xyz[:2] / xyz.sum()), profile)
    camera = CM_D65 @ xyz
    np.testing.assert_allclose(neutral, camera / camera[1], atol=1e-12)
    assert dng_neutral(tags(xy=(0, 0)), profile) is None
    assert dng_neutral(tags(neutral=(0.5, 0, 1)), profile) is None


@pytest.mark.parametrize("noise", [(1e-4, 1e-6), [(1e-4, 1e-6)] * 3, [(1e-4, 1e-6)] * 4])
def test_noise_profile(noise):
    profile, _ = dng_profile(tags(cm1=CM_D65, illuminant1=21, noise=noise))
    np.testing.assert_array_equal(profile.noise_profile, [(1e-4, 1e-6)] * 3)


# Parity


@pytest.fixture
def published(vectors):
    white_balance = vectors("white_balance")
    matrices = {k: white_balance[k] for k in ("color_matrix1", "color_matrix2", "forward_matrix1", "forward_matrix2")}
    profile = dc.CameraProfile(
        (
            dc.Calibration(6504.0, matrices["color_matrix1"], matrices["forward_matrix1"]),
            dc.Calibration(2856.0, matrices["color_matrix2"], matrices["forward_matrix2"]),
        )
    )
    return white_balance, profile


@pytest.mark.reference
def test_published_neutral_to_cct_tint_ccm(published):
    white_balance, profile = published
    for row in white_balance["illum_cct_tint_ccm"]:
        neutral, cct, tint, ccm = row[:3], row[3], row[4], row[5:].reshape(3, 3)
        assert dc.neutral_to_cct_tint(neutral, profile) == pytest.approx((cct, tint), abs=1e-6)
        np.testing.assert_allclose(dc.ccm_at(profile, neutral, normalize=False), ccm, atol=1e-12)
        # Normalising the rows of ForwardMatrix moves entries by 3.2e-3 at most.
        np.testing.assert_allclose(dc.ccm_at(profile, neutral), ccm, atol=3.2e-3)


@pytest.mark.reference
def test_published_cct_tint_to_neutral(published):
    white_balance, profile = published
    for cct, tint, *neutral in white_balance["cct_tint_to_illum"]:
        np.testing.assert_allclose(dc.cct_tint_to_neutral(cct, tint, profile), neutral, atol=2e-7)
