"""What a written DNG says of colour and exposure is what readers find."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from modisp_jax.io import dng_color as dc
from modisp_jax.io.dng_write import color_tags, write_dng
from modisp_jax.io.exif import EXIF_IFD, exif_from_raw, read_exif
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.raw import read_mosaic
from modisp_jax.io.white_balance import ccm_of_light, light_to_cct_tint
from tests.io.test_dng_color import CALIBRATION, PROFILES

PIXELS = np.random.default_rng(0).integers(0, 16384, (32, 48)).astype(np.uint16)
CODES = {2856.0: 17, 4230.0: 2, 6504.0: 21}


def with_codes(profile, **changes):
    found = [dataclasses.replace(c, illuminant_code=CODES[c.cct], **changes) for c in profile.calibrations]
    return dataclasses.replace(profile, calibrations=tuple(found))


CAMERAS = {f"{name}, lights unknown": profile for name, profile in PROFILES.items()}
CAMERAS |= {name: with_codes(profile) for name, profile in PROFILES.items()}
CAMERAS["calibrated"] = dataclasses.replace(
    with_codes(PROFILES["two with ForwardMatrix"], camera_calibration=CALIBRATION),
    analog_balance=np.array([0.9, 1.0, 1.2]),
)


@pytest.mark.parametrize("name", [*CAMERAS, "no matrix"])
@pytest.mark.parametrize("neutral", [(0.42, 1, 0.67), (0.75, 1, 0.36)])
def test_a_cameras_colour_is_found_again(tmp_path, name, neutral):
    profile = CAMERAS.get(name, dc.CameraProfile())
    cct, tint, ccm = 6504, None, np.eye(3)
    if profile.calibrations:
        cct, tint = light_to_cct_tint(np.array(neutral), profile)
        ccm = ccm_of_light(profile, cct, tint)
    path = write_dng(tmp_path / "a.dng", PIXELS, **color_tags(profile, np.multiply(2, neutral), ccm))
    found = read_mosaic(path)
    np.testing.assert_allclose(found.illuminant, neutral, atol=1e-6)
    np.testing.assert_allclose(found.ccm, ccm, atol=1e-6)
    assert found.metadata.warnings == ()
    kept = name in ("one", "two", "two with ForwardMatrix", "calibrated")
    assert len(found.metadata.color.calibrations) == (len(profile.calibrations) if kept else 1)
    assert light_to_cct_tint(found.illuminant, found.metadata.color)[0] == pytest.approx(
        cct if kept else 6504, rel=1e-3
    )


def test_what_is_given_counts_over_what_the_file_says(tmp_path):
    metadata = RawMetadata(make="Maker", iso=102400.0, f_number=4.0, lens="Lens")
    said = Image.Exif()
    said.get_ifd(EXIF_IFD).update({0x8827: 200, 0x829D: 2.8})
    path = write_dng(tmp_path / "a.dng", PIXELS, exif=said)
    first, second = exif_from_raw(path, metadata), exif_from_raw(path, metadata, given=("iso",))
    assert [exif.get_ifd(EXIF_IFD)[0x829D] for exif in (first, second)] == [pytest.approx(2.8)] * 2
    assert [exif.get_ifd(EXIF_IFD)[0x8827] for exif in (first, second)] == [200, 65535]  # which says "over this"
    again = write_dng(tmp_path / "b.dng", PIXELS, exif=second, unique_camera_model="Maker 1", compression="ljpeg")
    found = read_mosaic(again)
    np.testing.assert_array_equal(np.rint(found.values * 16383), PIXELS)
    facts = found.metadata
    assert (facts.iso, facts.lens, facts.unique_camera_model) == (65535, "Lens", "Maker 1")


@pytest.mark.parametrize("text", ["José", "写真"])
def test_names_of_all_alphabets_can_be_written(tmp_path, text):
    """Pillow takes text for Latin-1, whatever it is, and so gives the bytes back."""
    exif = Image.Exif()
    exif[0x013B] = text
    found = read_exif(write_dng(tmp_path / "a.dng", PIXELS, make=text, exif=exif))["image"]
    encoding = "latin-1" if text == "José" else "utf-8"
    assert [found[code].encode("latin-1").decode(encoding) for code in (0x010F, 0x013B)] == [text, text]
