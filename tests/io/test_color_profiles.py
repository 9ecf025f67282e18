"""Colours of other spaces in sRGB, against their primaries; profiles made by hand."""

import numpy as np
import pytest

from modisp_jax.io.color_profiles import adobe_rgb_to_srgb, into_srgb, profile_name, profile_space, to_srgb
from modisp_jax.io.images import srgb_profile
from tests import icc_profiles as icc
from tests.samples import photo


def decode(v):
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4)


def encode(x):
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def inside(primaries, gamma):
    """Pixels that sRGB can show, in some space and in sRGB, both encoded."""
    linear = 0.02 + 0.9 * photo(30, 40) ** 2
    own = np.linalg.solve(icc.to_linear_srgb(primaries), linear.reshape(-1, 3).T).T.reshape(linear.shape)
    assert (own > 0).all()
    own = encode(own) if gamma is None else own ** (1 / gamma)
    return own.astype(np.float32), encode(linear)


@pytest.mark.parametrize(
    ("primaries", "curve", "gamma"),
    [(icc.P3, icc.SRGB_CURVE, None), (icc.ADOBE, icc.gamma_curve(563 / 256), 563 / 256)],
)
def test_wide_gamuts_come_out_right(primaries, curve, gamma):
    own, expected = inside(primaries, gamma)
    np.testing.assert_allclose(to_srgb(own, icc.rgb_profile(primaries, curve)), expected, atol=2e-4)
    assert np.abs(own - expected).max() > 0.02


def test_adobe_rgb_without_a_profile():
    own, expected = inside(icc.ADOBE, 563 / 256)
    np.testing.assert_allclose(adobe_rgb_to_srgb(own), expected, atol=1e-4)


def test_other_curves():
    x = photo(10, 10)
    np.testing.assert_allclose(to_srgb(x, icc.rgb_profile(icc.SRGB, icc.gamma_curve(1.0))), encode(x), atol=3e-4)
    grey = to_srgb(x[..., :1], icc.grey_profile(1.0))
    np.testing.assert_allclose(grey, encode(x[..., :1]).repeat(3, axis=-1), atol=3e-4)


@pytest.mark.parametrize("profile", [srgb_profile(), icc.rgb_profile(icc.SRGB, icc.SRGB_CURVE)])
def test_srgb_stays_bit_for_bit(profile):
    x = photo(10, 10)
    assert to_srgb(x, profile) is x


@pytest.mark.parametrize("primaries", [icc.P3, icc.ADOBE])
def test_what_srgb_cannot_show_keeps_hue_and_luminance(primaries):
    own = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.9, 0.2], [1, 1, 1], [0, 0, 0]]], np.float32)
    got = decode(to_srgb(own, icc.rgb_profile(primaries, icc.SRGB_CURVE)))
    beyond = decode(own) @ icc.to_linear_srgb(primaries).T
    luminance = np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(got @ luminance, beyond @ luminance, atol=1e-3)
    assert got.min() >= 0
    assert got.max() <= 1
    away, target = got - (got @ luminance)[..., None], beyond - (beyond @ luminance)[..., None]
    cosine = (away * target).sum(axis=-1) / (np.linalg.norm(away, axis=-1) * np.linalg.norm(target, axis=-1) + 1e-9)
    assert (cosine[0, :4] > 0.999).all()
    np.testing.assert_allclose(got[0, 4:], [[1, 1, 1], [0, 0, 0]], atol=1e-3)


def test_colours_inside_stay_and_extremes_stay_finite():
    x = photo(8, 8)
    assert into_srgb(x) is x
    wild = np.array([[-3e38, 3e38, 0.5], [2, 2, 2], [-1, -1, -1], [1e-45, -1e-45, 1]], np.float32)
    with np.errstate(over="ignore"):
        got = into_srgb(np.clip(wild, -1e6, 1e6))
    assert ((got >= 0) & (got <= 1)).all()


def test_cmyk():
    pixels = np.zeros((1, 4, 4), np.float32)
    pixels[0, 1:, 3] = 0.25, 0.5, 1.0
    got = to_srgb(pixels, icc.cmyk_profile())
    lightness = np.array([100, 75, 50, 0.0])
    y = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    np.testing.assert_allclose(got[0], encode(y)[:, None].repeat(3, axis=1), atol=0.01)


def test_names_and_spaces():
    assert profile_space(srgb_profile()) == ("rgb", 3)
    assert profile_space(icc.grey_profile(2.2)) == ("gray", 1)
    assert profile_space(icc.cmyk_profile()) == ("cmyk", 4)
    assert profile_space(b"x" * 200) is None
    assert profile_name(icc.cmyk_profile()) == "made by hand"
    assert profile_name(b"nothing") == ""


@pytest.mark.parametrize(
    ("profile", "channels", "message"),
    [
        (b"", 3, "for 3 channels, got one for nothing"),
        (icc.grey_profile(2.2), 3, "for 3 channels, got one for GRAY"),
        (icc.rgb_profile(icc.P3, icc.SRGB_CURVE), 4, "for 4 channels, got one for RGB"),
        (icc.rgb_profile(icc.P3, icc.SRGB_CURVE)[:200], 3, "expected a usable ICC profile"),
    ],
)
def test_unusable_profiles_are_refused(profile, channels, message):
    with pytest.raises(ValueError, match=message):
        to_srgb(np.zeros((2, 2, channels), np.float32), profile)
