"""Sliders for temperature and tint: round trips over their whole range, real and virtual cameras, the guard."""

import dataclasses

import numpy as np
import pytest

from modisp_jax.io import dng_color as dc
from modisp_jax.io import white_balance as wb
from modisp_jax.io.libraw import _ccm
from tests.io.test_dng_color import CM_D65, PROFILES, d65_only, published, two  # noqa: F401

CCTS, TINTS = (1800.0, 2300.0, 4000.0, 6504.0, 10000.0), (-100.0, -7.5, 0.0, 40.0, 100.0)
CORNERS = [(cct, tint) for cct in CCTS for tint in TINTS]
SRGB_CAMERA = wb.virtual_profile(np.ones(3), np.eye(3))
"""Linear sRGB taken for a camera: it has no blue under 1900 K."""


def check_round_trip(profile, positions=CORNERS):
    for cct, tint in positions:
        neutral = wb.cct_tint_to_light(cct, tint, profile)
        assert np.isfinite(neutral).all()
        assert (neutral > 0).all()
        assert neutral[1] == 1
        # In float32, as a Raw stores it: in float64 it holds to 1e-9.
        back = wb.light_to_cct_tint(neutral.astype(np.float32), profile)
        assert back[0] == pytest.approx(cct, abs=0.02)
        assert back[1] == pytest.approx(tint, abs=0.01)


@pytest.mark.parametrize("profile", [*PROFILES.values(), SRGB_CAMERA], ids=[*PROFILES, "linear sRGB"])
def test_round_trip_over_the_whole_range(profile):
    check_round_trip(profile)


def test_round_trip_in_double_precision():
    profile = two()
    for cct, tint in CORNERS:
        back = wb.light_to_cct_tint(wb.cct_tint_to_light(cct, tint, profile), profile)
        np.testing.assert_allclose(back, (cct, tint), rtol=1e-12, atol=1e-8)


@pytest.mark.reference
def test_round_trip_for_measured_cameras(shared):
    lines = (shared / "data" / "tables" / "color_matrices_d65.tsv").read_text().splitlines()[1:]
    matrices = [np.array(line.split("\t")[1:], float).reshape(3, 3) for line in lines]
    assert len(matrices) == 33
    for matrix in matrices:
        corners = [(cct, tint) for cct in (1800.0, 3000.0, 10000.0) for tint in (-100.0, 20.0, 100.0)]
        check_round_trip(dc.CameraProfile((dc.Calibration(6504.0, matrix),)), corners)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["GOPR0024.DNG", "GPBK7066.DNG"])
def test_round_trip_for_real_files(shared, name):
    from modisp_jax.io.load import load_metadata

    metadata = load_metadata(shared / "data" / "raw" / name)
    check_round_trip(metadata.color)
    cct, tint = wb.light_to_cct_tint(metadata.neutral, metadata.color)
    np.testing.assert_allclose(wb.cct_tint_to_light(cct, tint, metadata.color), metadata.neutral, rtol=1e-9)


def test_directions():
    profile = two()
    cool, warm = (wb.cct_tint_to_light(cct, 0, profile) for cct in (9000, 2500))
    assert cool[2] / cool[0] > warm[2] / warm[0]
    red_and_blue = [wb.cct_tint_to_light(5000, tint, profile)[[0, 2]] for tint in (-100, -20, 0, 20, 100)]
    assert (np.diff(red_and_blue, axis=0) < 0).all()  # greener, G being 1


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_compression_is_smooth_and_leaves_a_floor(profile):
    tints = np.linspace(-100, 100, 401)
    for cct in (1800.0, 3000.0, 6000.0):
        neutrals = wb.lights_at(cct, tints, profile)
        relative = neutrals / neutrals[200]
        assert (relative.min(axis=1) / relative.max(axis=1) >= wb.FLOOR - 1e-9).all()
        logarithm = np.log(relative[:, 0])
        assert (np.diff(logarithm) < 0).all()
        assert np.abs(np.diff(logarithm, n=2)).max() < 0.2 * np.abs(np.diff(logarithm)).max()


def test_no_compression_near_the_locus():
    profile = d65_only()
    for cct in (2500.0, 5000.0, 10000.0):
        base, direction = wb._frame(1e6 / cct)
        u, v = base + 0.0005 * 10 * direction
        expected = CM_D65 @ [1.5 * u, v, 2 - 0.5 * u - 5 * v]
        np.testing.assert_allclose(wb.cct_tint_to_light(cct, 10, profile), expected / expected[1], rtol=1e-12)


def test_where_compression_begins():
    for cct, expected in ((2300.0, 12.5), (2856.0, 22.0), (5500.0, 82.8)):
        _, _, (_, (knee, limit)) = wb._line(1e6 / cct, d65_only())
        assert knee / wb.DUV_PER_TINT == pytest.approx(expected, abs=0.1)
        assert limit == 2 * knee
    (green, magenta) = (wb._line(1e6 / 1800.0, d65_only())[2][k][0] / wb.DUV_PER_TINT for k in (1, 0))
    assert 3 < green < 6
    assert magenta < -28


def test_colours_beyond_the_range_are_clipped():
    profile = two()
    for neutral in ((0.05, 1, 3), (3, 1, 0.02), (0.05, 1, 0.05), (9, 1, 9), (1e-6, 1, 1e6), (1e6, 1, 1e-6)):
        cct, tint = wb.light_to_cct_tint(neutral, profile)
        assert wb.CCT_RANGE[0] <= cct <= wb.CCT_RANGE[1]
        assert wb.TINT_RANGE[0] <= tint <= wb.TINT_RANGE[1]
        assert not wb.is_reachable(neutral, profile)
    assert wb.light_to_cct_tint((0.05, 1, 0.05), profile)[1] == pytest.approx(100)
    assert wb.light_to_cct_tint((9, 1, 9), profile)[1] == pytest.approx(-100)
    for blue, red in (((0.05, 1, 3), (3, 1, 0.02)), ((1e-6, 1, 1e6), (1e6, 1, 1e-6))):
        assert wb.light_to_cct_tint(blue, profile)[0] == pytest.approx(10000)
        assert wb.light_to_cct_tint(red, profile)[0] == pytest.approx(1800)
    assert wb.is_reachable(wb.cct_tint_to_light(3000, 60, profile), profile)


def test_scale_and_analog_balance_do_not_matter():
    gains = np.array([1.7, 1.0, 0.6])
    plain, gained = two(), two(analog_balance=gains)
    neutral = np.array([0.5, 1, 0.6])
    position = wb.light_to_cct_tint(neutral, plain)
    assert wb.light_to_cct_tint(7 * neutral, plain) == pytest.approx(position, rel=1e-9)
    assert wb.light_to_cct_tint(neutral * gains, gained) == pytest.approx(position, rel=1e-9)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_matrix_of_every_light_keeps_white(profile):
    for cct, tint in CORNERS:
        ccm = wb.ccm_of_light(profile, cct, tint)
        np.testing.assert_allclose(ccm @ np.ones(3), 1, atol=1e-10)
        assert np.abs(ccm).max() < 30


def test_bad_positions_and_profiles():
    for cct, tint in ((1799, 0), (10001, 0), (np.nan, 0), (5000, 101), (5000, np.nan)):
        with pytest.raises(ValueError, match=r"expected .* to "):
            wb.cct_tint_to_light(cct, tint, two())
    with pytest.raises(ValueError, match="with a colour matrix"):
        wb.cct_tint_to_light(5000, 0, dc.CameraProfile())
    with pytest.raises(ValueError, match="three positive"):
        wb.light_to_cct_tint((0, 1, 1), two())
    negative = dc.CameraProfile((dc.Calibration(6504.0, -CM_D65),))
    with pytest.raises(ValueError, match="D65 has a colour"):
        wb.cct_tint_to_light(5000, 0, negative)


def test_virtual_camera_reads_its_own_light_as_d65():
    ccm = np.array([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]])
    profile = wb.virtual_profile([0.5, 1, 0.6], ccm)
    cct, tint = wb.light_to_cct_tint([0.5, 1, 0.6], profile)
    assert cct == pytest.approx(6504, abs=5)
    assert tint == pytest.approx(6.5, abs=0.1)
    np.testing.assert_allclose(wb.ccm_of_light(profile, cct, tint), ccm, atol=1e-6)


def test_virtual_camera_of_any_matrix_can_be_used():
    rng = np.random.default_rng(0)
    for ccm in (np.ones((3, 3)), np.zeros((3, 3)), np.full((3, 3), np.nan), *rng.normal(0, 3, (12, 3, 3))):
        profile = wb.virtual_profile([0.5, 1, 0.6], ccm)
        assert wb.light_to_cct_tint([0.5, 1, 0.6], profile)[0] == pytest.approx(6504, abs=5)
        for cct, tint in ((1800.0, 60.0), (9900.0, -100.0)):
            neutral = wb.cct_tint_to_light(cct, tint, profile)
            assert (neutral > 0).all()
            np.testing.assert_allclose(wb.light_to_cct_tint(neutral, profile), (cct, tint), rtol=1e-6)


# Against the published convention


@pytest.mark.parametrize("cct", [3000.0, 4200.0, 6400.0])
@pytest.mark.parametrize("tint", [-10.0, 0.0, 10.0])
def test_near_the_locus_it_agrees_with_the_published_convention(cct, tint):
    profile = two()
    ours, theirs = wb.cct_tint_to_light(cct, tint, profile), dc.cct_tint_to_neutral(cct, tint, profile)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3)  # measured: 1.6e-3
    back, published_back = wb.light_to_cct_tint(theirs, profile), dc.neutral_to_cct_tint(theirs, profile)
    assert 1e6 / back[0] == pytest.approx(1e6 / published_back[0], abs=0.5)
    assert back[1] == pytest.approx(published_back[1], abs=0.1)


@pytest.mark.reference
def test_agrees_with_published_rows_between_the_calibrations(published):  # noqa: F811
    vectors, profile = published
    checked = 0
    for cct, tint, *neutral in vectors["cct_tint_to_illum"]:
        if 2856 <= cct <= 6504 and abs(tint) <= 20:
            np.testing.assert_allclose(wb.cct_tint_to_light(cct, tint, profile), neutral, rtol=5e-3)
            checked += 1
    assert checked


@pytest.mark.reference
def test_ours_finds_lights_that_the_published_way_back_loses(shared):
    from modisp_jax.io.load import load_metadata

    profile = load_metadata(shared / "data" / "raw" / "GOPR0024.DNG").color
    neutral = dc.cct_tint_to_neutral(3255.0, 0, profile)
    with pytest.raises(ValueError, match="expected XYZ of a light"):
        dc.neutral_to_cct_tint(neutral, profile)
    assert wb.light_to_cct_tint(neutral, profile) == pytest.approx((3255, 0), abs=0.1)
    warnings = []  # of reading a raw file
    np.testing.assert_allclose(_ccm(profile, neutral, warnings), wb.ccm_of_light(profile, 3255.0, 0), atol=1e-4)
    assert not warnings


def test_published_guard():
    profile = two()

    def guarded(cct, tint, **options):
        return wb.published_guard(dc.cct_tint_to_neutral(cct, tint, profile), profile, **options)

    np.testing.assert_allclose(guarded(5000, 3), dc.cct_tint_to_neutral(5000, 3, profile), rtol=2e-3)
    high = dc.CameraProfile((dc.Calibration(6504.0, CM_D65),))  # one matrix: the way back is exact everywhere
    hot = wb.published_guard(dc.cct_tint_to_neutral(12000, 0, high), high)
    np.testing.assert_allclose(hot, dc.cct_tint_to_neutral(9000, 0, high), rtol=2e-3)
    warm = wb.published_guard(dc.cct_tint_to_neutral(2000, 0, high), high, preference=True)
    np.testing.assert_allclose(warm, dc.cct_tint_to_neutral(2500, 0, high), rtol=2e-3)
    for keep_sign, tint in ((False, 5), (True, -5)):
        got = guarded(5000, -12, preference=True, keep_sign=keep_sign)
        np.testing.assert_allclose(got, dc.cct_tint_to_neutral(5000, tint, profile), rtol=5e-3)


def test_ccm_at_a_given_temperature():
    profile = two(True)
    neutral = dc.cct_tint_to_neutral(4000, 0, profile)
    np.testing.assert_allclose(dc.ccm_at(profile, neutral, cct=4000.0), dc.ccm_at(profile, neutral), atol=2e-4)
    alone = dataclasses.replace(profile, calibrations=profile.calibrations[:1])
    np.testing.assert_allclose(dc.ccm_at(profile, neutral, cct=2000.0), dc.ccm_at(alone, neutral), atol=1e-12)
