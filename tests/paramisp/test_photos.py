"""Photos of any size: in bands as whole, to rounding; odd sizes; what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import RELEASED_PARAMISP
from modisp_jax.paramisp import Capture, bands, forward_isp, inverse_isp, photo_to_raw, photos, raw_to_photo
from tests.paramisp.samples import CCM, ILLUMINANT, SMALL, network
from tests.samples import numbered_params, photo

CAMERA = ILLUMINANT, CCM
CAPTURE = Capture(0.01, 2.8, 200.0, 50.0)
CONFIGS = {
    "paper": SMALL,
    "released": dataclasses.replace(RELEASED_PARAMISP, width=4, embedding=6, blocks=1),
    "plain": dataclasses.replace(SMALL, steered=False, blocks=0, stages=1),
}


@pytest.fixture(scope="module", params=["paper", "released"])
def wholes(request):
    """Networks, a photo, its raw and that raw's picture, computed at once."""
    config, srgb = CONFIGS[request.param], photo(116, 92)
    params = {name: numbered_params(network(name, config), 0.5) for name in ("inverse_isp", "forward_isp")}

    @jax.jit
    def both(params, srgb):
        raw = jnp.clip(inverse_isp(params["inverse_isp"], srgb, *CAMERA, CAPTURE, config=config), 0, 1)
        return raw, jnp.clip(forward_isp(params["forward_isp"], raw, *CAMERA, CAPTURE, config=config), 0, 1)

    return params, config, srgb, both(params, srgb)


@pytest.mark.parametrize("rows", [16, 48])
def test_bands_are_the_whole(wholes, rows, monkeypatch):
    """Bands as short as what the next layers see, and bands that do not divide the height."""
    params, config, srgb, (raw, back) = wholes
    monkeypatch.setattr(photos, "LARGE", 0)
    monkeypatch.setattr(bands, "rows_of", lambda width: rows)
    found = photo_to_raw(params["inverse_isp"], srgb, *CAMERA, CAPTURE, config=config)
    np.testing.assert_allclose(found, raw, atol=2e-5)
    found = raw_to_photo(params["forward_isp"], raw, *CAMERA, CAPTURE, config=config)
    np.testing.assert_allclose(found, back, atol=2e-5)


def test_bands_use_the_rows_around_them():
    image = np.arange(23.0)[:, None]
    for rows, halo in ((4, 5), (16, 2), (40, 3)):
        work, seen = image.copy(), []
        for first, last, window in bands.windows(work, rows, halo):
            expected = image[np.clip(np.arange(first - halo, last + halo), 0, 22)]
            np.testing.assert_array_equal(window, expected)
            work[first:last] = -1  # overwritten in place: the next window must not see it
            seen += range(first, last)
        assert seen == list(range(23))


@pytest.mark.parametrize("size", [(2, 3), (90, 101), (88, 200)])
def test_any_size(size):
    config = CONFIGS["plain"]
    inverse, forward = (numbered_params(network(name, config), 0.5) for name in ("inverse_isp", "forward_isp"))
    srgb = photo(*size)
    raw = photo_to_raw(inverse, srgb, *CAMERA, config=config)
    assert raw.shape == size
    assert raw_to_photo(forward, raw, *CAMERA, config=config).shape == (*size, 3)
    assert photo_to_raw(inverse, srgb, *CAMERA, pattern=None, config=config).shape == (*size, 3)
    assert 0 <= raw.min() <= raw.max() <= 1


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"srgb: expected an image \[H, W, 3\], got shape \(4, 4\)"):
        photo_to_raw({}, np.zeros((4, 4), np.float32), *CAMERA)
    for wrong in (np.zeros((4, 4, 3), np.float32), np.zeros((1, 4), np.float32), np.zeros((4, 4), int)):
        with pytest.raises(ValueError, match=r"mosaic: expected floating-point values \[H, W\] of at least 2 x 2, got"):
            raw_to_photo({}, wrong, *CAMERA)
    with pytest.raises(ValueError, match="pattern: expected one of RGGB"):
        photo_to_raw(network("inverse_isp"), photo(88, 88), *CAMERA, pattern="RGBG", config=SMALL)
