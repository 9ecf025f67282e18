"""Finished photos made raw again: laws, with the untrained style as renderer; then parity with the published."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import checkpoints
from modisp_jax.config import PhotofinishConfig, PipelineConfig
from modisp_jax.io.dng_color import Calibration, CameraProfile
from modisp_jax.io.images import write_image
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.linearization import PROFILE, LinearizeConfig, _improve
from modisp_jax.metrics import psnr
from modisp_jax.nets.linearize import CieXyzNet
from modisp_jax.nets.paramisp import GAMMA
from modisp_jax.stages.color import to_linear_srgb
from modisp_jax.unprocess import scene_linear
from tests.paramisp.samples import QUICK, network, write_networks
from tests.samples import EXTREMES, numbered_params, photo

SIZE = (24, 32)
FEW = LinearizeConfig(iterations=3)
PARAMISP = {"method": "paramisp"}
WIDER = dataclasses.replace(QUICK, width=6)
CIE_XYZ = PipelineConfig(None, None, None, io=("cie_xyz",))
EXPOSED = RawMetadata(iso=200.0, exposure_time=0.01, f_number=2.8, focal_length=50.0)
D65 = (6504.0, 6.5)
"""Temperature and tint of daylight as the sliders have it."""


@pytest.fixture(scope="module")
def neutral():
    return mj.init_params(jax.random.key(0), PipelineConfig(None, PhotofinishConfig(grid_input=128), None))


@pytest.fixture(scope="module")
def cie_xyz():
    return mj.init_params(jax.random.key(0), CIE_XYZ)


@pytest.fixture(scope="module")
def untrained():
    """ParamISP's network as it starts: it takes back a gamma of 2.2."""
    return {"inverse_isp": network("inverse_isp", QUICK)}


@pytest.fixture(scope="module")
def numbered():
    """The same with numbers in all its parameters."""
    return {"inverse_isp": numbered_params(network("inverse_isp", QUICK), 0.5)}


def light_of(raw):
    return np.asarray(to_linear_srgb(raw.image, raw.illuminant, raw.ccm, saturation=raw.saturation))


def decode(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def test_a_photo_that_no_curve_touched_comes_back_as_its_own_light():
    raw = mj.linearize(photo(*SIZE), method="curve", config=LinearizeConfig(exposure=0, contrast=0))
    np.testing.assert_allclose(light_of(raw), decode(photo(*SIZE)), atol=1e-5)


def test_the_curve_is_that_of_unprocessing():
    raw = mj.linearize(photo(*SIZE), method="curve")
    np.testing.assert_allclose(light_of(raw), scene_linear(photo(*SIZE), 0.9, 0.3), atol=1e-5)


@pytest.mark.parametrize("method", ["curve", "inverse", "paramisp"])
def test_black_and_white_stay(neutral, untrained, method):
    srgb = np.zeros((*SIZE, 3), np.float32)
    srgb[:, 16:] = 1.0
    raw = mj.linearize(srgb, method=method, params=untrained if method == "paramisp" else neutral, config=FEW)
    np.testing.assert_allclose(raw.image[:, :12], 0, atol=1e-4)
    np.testing.assert_allclose(raw.image[:, 20:], np.broadcast_to(raw.saturation, (24, 12, 3)), atol=2e-3)
    assert float(raw.image.max()) <= 1.0


def test_the_inverse_of_a_plain_style_is_its_formula(neutral):
    """The untrained style is a gamma of 2.2; away from edges the guided upsampling does not matter."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] / SIZE[1]
    srgb = np.stack([0.2 + 0.6 * x, 0.3 + 0.5 * y, 0.6 - 0.3 * x], axis=-1).astype(np.float32)
    raw = mj.linearize(srgb, params=neutral)
    assert np.abs(light_of(raw) - srgb**2.2).mean() < 2e-3  # guided upsampling has few pixels to go by here
    assert float(psnr(mj.render(neutral, raw), srgb)) > 50


def test_round_trip(neutral):
    srgb = photo(*SIZE)  # noisy, with a hard edge: the hardest for what upsamples
    scores = []
    for iterations in (1, 4):
        raw = mj.linearize(srgb, params=neutral, config=LinearizeConfig(iterations=iterations))
        scores.append(float(psnr(mj.render(neutral, raw), srgb)))
    assert scores[1] > 40
    assert scores[1] > scores[0] + 10


def test_large_photos_start_small(neutral):
    """The same is found with half the renderings at full size."""
    srgb = jax.image.resize(photo(*SIZE), (52, 69, 3), "linear").astype(jnp.float32)
    scores = {}
    for coarse in (4096, 32):
        raw = mj.linearize(srgb, params=neutral, config=LinearizeConfig(iterations=4, coarse=coarse))
        scores[coarse] = float(psnr(mj.render(neutral, raw), srgb))
    assert min(scores.values()) > 40, scores
    assert scores[32] > scores[4096] - 1, scores


def test_the_best_of_all_iterations_is_kept():
    light, best, srgb = jnp.full((2, 2, 3), 0.2), jnp.full((2, 2, 3), 0.3), jnp.full((2, 2, 3), 0.5)
    config = LinearizeConfig(rate=1.0)
    next_light, kept, least = _improve((light, best, jnp.asarray(0.01)), srgb + 0.2, srgb, config)
    np.testing.assert_allclose(kept, best)
    np.testing.assert_allclose(least, 0.01)
    assert (next_light < light).all()  # the picture was too bright
    _, kept, least = _improve((light, best, jnp.asarray(0.01)), srgb - 0.01, srgb, config)
    np.testing.assert_allclose(kept, light)
    np.testing.assert_allclose(least, 1e-4, rtol=1e-3)


def test_it_is_a_raw_like_any_other(neutral):
    raw = mj.linearize(photo(*SIZE), method="curve", metadata=RawMetadata(model="Model", orientation=6, iso=100.0))
    np.testing.assert_allclose(mj.white_balance_of(raw), D65, atol=3)
    assert (raw.metadata.model, raw.metadata.orientation, raw.metadata.iso) == ("Model", 6, 100.0)
    assert raw.metadata.size == SIZE
    np.testing.assert_allclose(raw.metadata.neutral, np.asarray(raw.illuminant / raw.illuminant[1]), rtol=1e-5)
    warm = mj.render(neutral, mj.set_white_balance(raw, cct=9000))
    plain = mj.render(neutral, raw)
    bright = mj.render(neutral, raw, edits=mj.Edits(exposure=1.0))
    assert float(jnp.mean(warm[..., 0] - warm[..., 2])) > float(jnp.mean(plain[..., 0] - plain[..., 2])) + 0.03
    assert float(jnp.mean(bright)) > float(jnp.mean(plain)) + 0.05


def test_white_stays_white_under_another_light():
    srgb = np.full((*SIZE, 3), 1.0, np.float32)
    raw = mj.set_white_balance(mj.linearize(srgb, method="curve"), cct=4000)
    linear = light_of(raw)
    np.testing.assert_allclose(linear, np.broadcast_to(linear[..., 1:2], linear.shape), atol=0.01)
    assert linear.min() > 0.5


def camera(matrix):
    return CameraProfile((Calibration(6504.0, np.array(matrix)),))


def test_what_the_camera_is_changes_nothing_of_the_light():
    other = camera([[0.70, -0.18, -0.08], [-0.35, 1.20, 0.12], [-0.11, 0.30, 0.49]])
    raws = [mj.linearize(photo(*SIZE), method="curve", profile=profile) for profile in (PROFILE, other)]
    assert np.abs(raws[0].image - raws[1].image).max() > 0.01
    np.testing.assert_allclose(light_of(raws[0]), light_of(raws[1]), atol=1e-4)
    with pytest.raises(ValueError, match="profile: expected a camera whose largest value of daylight is green, got"):
        mj.linearize(photo(*SIZE), method="curve", profile=camera([[1.2, 0.1, 0.1], [-0.2, 0.7, 0.1], [0, 0.1, 1.1]]))


@pytest.mark.parametrize("method", ["curve", "paramisp", "cie_xyz"])
def test_jit_vmap_and_finite_gradients(cie_xyz, numbered, method):
    params = numbered if method == "paramisp" else cie_xyz
    function = functools.partial(mj.linearize, method=method, params=params, metadata=EXPOSED)
    images = jnp.asarray(np.stack([photo(*SIZE), np.resize(EXTREMES, (*SIZE, 3))]))

    @jax.jit
    @jax.vmap
    def both(srgb):
        return function(srgb), jax.grad(lambda x: function(x).image.sum())(srgb)

    raws, gradients = both(images)
    assert raws.metadata is None
    assert np.isfinite(gradients).all()
    for k, image in enumerate(images):
        np.testing.assert_allclose(raws.image[k], function(image).image, atol=1e-4 if method == "paramisp" else 2e-6)


@pytest.mark.slow
def test_the_inverse_under_jit_and_its_gradient(neutral):
    def loss(srgb):
        raw = mj.linearize(srgb, params=neutral, config=LinearizeConfig(iterations=2))
        return jnp.mean(raw.image), raw.image

    gradient, image = jax.jit(jax.grad(loss, has_aux=True))(jnp.asarray(photo(*SIZE)))
    np.testing.assert_allclose(image, loss(photo(*SIZE))[1], atol=1e-5)
    assert np.isfinite(gradient).all()
    assert float(gradient.mean()) > 0


def test_a_file(tmp_path):
    path = write_image(tmp_path / "a.png", photo(*SIZE), bits=16)
    raw = mj.read_photo_as_raw(path, method="curve")
    assert raw.metadata.format == "PNG"
    np.testing.assert_allclose(light_of(raw), scene_linear(photo(*SIZE), 0.9, 0.3), atol=1e-4)


@pytest.mark.parametrize(
    ("srgb", "options", "message"),
    [
        (np.zeros((8, 40, 3), np.float32), {}, r"srgb: expected at least 16 pixels a side, got \(8, 40\)"),
        (np.zeros((40, 40), np.float32), {}, r"srgb: expected an image \[H, W, 3\]"),
        (np.zeros((40, 40, 3), np.uint8), {}, "expected floating-point"),
        (photo(*SIZE), {"method": "magic"}, "method: expected one of"),
        (photo(*SIZE), {"method": "cie_xyz"}, "params: cie_xyz needs a set with io/cie_xyz .* got NoneType"),
        (photo(*SIZE), {"method": "cie_xyz", "params": {"io": {"cie_xyz": {}}}}, "expected those of one network"),
        (photo(*SIZE), {"params": {"io": {"cie_xyz": {}}}}, "inverse needs 'photofinish'"),
        (
            photo(*SIZE),
            PARAMISP | {"params": {"io": {"cie_xyz": {}}}},
            r"paramisp needs 'inverse_isp', got only \['io'\]",
        ),
        (photo(*SIZE), PARAMISP | {"params": {"inverse_isp": {}}}, "not a complete parameter set"),
        (
            photo(*SIZE),
            PARAMISP | {"params": {"inverse_isp": network("inverse_isp", QUICK) | {"other": np.zeros(3)}}},
            "inverse_isp: expected a network of ParamISPConfig",
        ),
        (
            photo(*SIZE),
            PARAMISP
            | {"params": {"inverse_isp": network("inverse_isp", QUICK)}, "config": LinearizeConfig(paramisp=WIDER)},
            r"expected a network of ParamISPConfig\(width=6, .*, got one of ParamISPConfig\(width=4",
        ),
    ],
)
def test_what_cannot_be_is_refused(srgb, options, message):
    with pytest.raises(ValueError, match=message):
        mj.linearize(srgb, **options)


@pytest.mark.parametrize("options", [{"iterations": 0}, {"rate": -1}, {"exposure": -0.1}, {"contrast": 1.1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected a number from"):
        LinearizeConfig(**options)


def test_an_untrained_network_squares(cie_xyz):
    """XYZ = S (.85 y)^2, times .7; what the camera cannot show is clipped."""
    raw = mj.linearize(photo(*SIZE), method="cie_xyz", params=cie_xyz)
    np.testing.assert_allclose(mj.white_balance_of(raw)[0], 5000, atol=10)
    xyz = 0.7 * (0.85 * photo(*SIZE)) ** 2 @ mj.color.SRGB_TO_XYZ.T
    d50 = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540]])
    d50 = np.concatenate([d50, [[0.0719453, -0.2289914, 1.4052427]]])
    expected = xyz @ d50.T @ np.linalg.inv(np.asarray(raw.ccm)).T * np.asarray(raw.illuminant)
    np.testing.assert_allclose(raw.image, np.clip(expected, 0, 1), atol=1e-5)


def test_small_photos_can_be_enlarged_first(cie_xyz):
    config = LinearizeConfig(published_size=True)
    spec = jax.eval_shape(lambda x: mj.linearize(x, method="cie_xyz", params=cie_xyz, config=config), photo(48, 96))
    assert spec.image.shape == (1000, 2000, 3)


def test_an_untrained_paramisp_takes_back_its_gamma(untrained):
    """At any size; near white less, since that saturates."""
    for size in (SIZE, (88, 92)):
        srgb = 0.9 * photo(*size)
        raw = mj.linearize(srgb, params=untrained, metadata=EXPOSED, **PARAMISP)
        np.testing.assert_allclose(light_of(raw), srgb**GAMMA, atol=1e-5)
        np.testing.assert_allclose(mj.white_balance_of(raw), D65, atol=3)
        np.testing.assert_array_equal(raw.saturation, raw.illuminant)
        assert (raw.metadata.iso, raw.metadata.size) == (200.0, size)


def test_white_saturates_whatever_the_network_makes_of_it(numbered):
    srgb = np.full((*SIZE, 3), 1.0, np.float32)
    raw = mj.linearize(srgb, params=numbered, **PARAMISP)
    assert (raw.image >= raw.saturation).all()
    np.testing.assert_allclose(light_of(raw), 1.0, atol=1e-5)
    red = mj.linearize(srgb * [1.0, 0.9, 0.9], params=numbered, **PARAMISP)  # one channel is no white
    assert (red.image < red.saturation).any()


def test_exposure_data_steer_paramisp(numbered):
    """None at all, none known, and two of which one parameter differs."""
    metadata = (None, RawMetadata(), EXPOSED, dataclasses.replace(EXPOSED, iso=3200.0))
    nothing, unknown, known, other = (
        np.asarray(mj.linearize(photo(*SIZE), params=numbered, metadata=one, **PARAMISP).image) for one in metadata
    )
    np.testing.assert_array_equal(nothing, unknown)
    assert np.abs(known - unknown).max() > 1e-3
    assert np.abs(known - other).max() > 1e-3


def test_paramisp_reads_its_networks_as_their_configuration_says(numbered):
    """A reading that does not show in the shapes: residual stages make other pictures."""
    images = [
        mj.linearize(photo(*SIZE), params=numbered, config=LinearizeConfig(paramisp=reading), **PARAMISP).image
        for reading in (None, QUICK, dataclasses.replace(QUICK, residual=True))
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0] - images[2]).max() > 1e-3


def test_paramisp_has_the_networks_that_ship_by_default(tmp_path, monkeypatch):
    srgb = 0.9 * photo(*SIZE)
    monkeypatch.setattr(checkpoints, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="expected weights that come with modisp_jax, but this installation lacks"):
        mj.linearize(srgb, **PARAMISP)
    write_networks(tmp_path / "paramisp.safetensors")
    np.testing.assert_allclose(light_of(mj.linearize(srgb, **PARAMISP)), srgb**GAMMA, atol=1e-5)


@pytest.mark.reference
def test_parity_with_the_published_linearisation(shared, vectors):
    """From XYZ on in float64 by the facts: .7, inverse ForwardMatrix at 5000.1 K, neutral. tests/nets has the net."""
    own = vectors("white_balance")
    params = mj.import_torch(cie_xyz=shared / "reference" / "weights" / "io" / "cie_xyz_net.pth")
    matrices = [(6504.0, "1"), (2856.0, "2")]
    profile = CameraProfile(
        tuple(Calibration(t, own[f"color_matrix{k}"], own[f"forward_matrix{k}"]) for t, k in matrices)
    )
    srgb = np.clip(vectors("raw_in_jpeg")["linearize/srgb"] / np.float32(0.85), 0, 1)
    xyz = np.float64(jax.jit(CieXyzNet().apply)({"params": params["io"]["cie_xyz"]}, np.float32(0.85) * srgb))
    known = vectors("raw_in_jpeg")["linearize/xyz"]
    assert np.quantile(np.abs(xyz - known), 0.99) < 2e-3  # a few pixels beyond .85 were clipped here
    raw = mj.linearize(srgb, method="cie_xyz", params=params, profile=profile)
    neutral = np.array([0.47183424, 1, 0.6412845])
    np.testing.assert_allclose(raw.illuminant, neutral, atol=1e-6)
    g = (1 / 5000.1 - 1 / 2856) / (1 / 6504 - 1 / 2856)
    forward = g * own["forward_matrix1"] + (1 - g) * own["forward_matrix2"]
    expected = np.clip(0.7 * xyz @ np.linalg.inv(forward).T * neutral, 0, 1)
    assert (expected > 0).mean() > 0.99
    np.testing.assert_allclose(raw.image, expected, atol=1e-5)
