"""Laws of the two ISPs: plain renderings at the start, jit, vmap, gradients, steering, both readings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.checkpoints import load_params, save_params
from modisp_jax.config import PARAMISP_READINGS, RELEASED_PARAMISP, ParamISPConfig, PipelineConfig
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.nets import paramisp as nets
from modisp_jax.paramisp import canonet
from modisp_jax.paramisp.capture import Capture, capture_of
from modisp_jax.paramisp.isp import draw_kept, forward_isp, inverse_isp
from modisp_jax.params import config_of, init_params
from modisp_jax.tree import flatten
from tests.paramisp.samples import CCM, ILLUMINANT, SMALL, network
from tests.samples import numbered_params, photo

CAPTURE = Capture(0.01, 2.8, 200.0, 50.0)
RELEASED = dataclasses.replace(RELEASED_PARAMISP, width=4, embedding=6, blocks=1)
CAMERA = ILLUMINANT, CCM


@pytest.mark.parametrize("config", [SMALL, RELEASED], ids=["paper", "released"])
def test_untrained_networks_render_plainly_and_take_it_back(config):
    linear = 0.3 * photo(88, 92)
    raw = canonet.to_mosaic(linear, *CAMERA)
    srgb = jax.jit(functools.partial(forward_isp, config=config))(network("forward_isp", config), raw, *CAMERA)
    expected = np.maximum(canonet.to_linear(raw, *CAMERA, clip_balanced=config.clip_balanced), 0) ** (1 / 2.2)
    np.testing.assert_allclose(np.maximum(srgb, 0), expected, atol=5e-3)  # below 1e-6 the curve is a line
    if config is SMALL:
        back = jax.jit(functools.partial(inverse_isp, config=config))(network("inverse_isp", config), srgb, *CAMERA)
        np.testing.assert_allclose(back, raw, atol=1e-5)


@pytest.fixture(scope="module", params=[SMALL, RELEASED], ids=["paper", "released"])
def trained(request):
    """Both networks with numbers in all their parameters, and their configuration."""
    config = request.param
    return {name: numbered_params(network(name, config), 0.5) for name in nets.EXPONENTS}, config


def both(params, config, capture=CAPTURE):
    srgb = jnp.asarray(photo(88, 92))
    raw = inverse_isp(params["inverse_isp"], srgb, *CAMERA, capture, config=config)
    return raw, forward_isp(params["forward_isp"], raw, *CAMERA, capture, config=config)


def test_jit_changes_nothing_and_gradients_are_finite(trained):
    """Every parameter learns, but for the released code's branch that it multiplies by 0."""
    params, config = trained

    def loss(params, capture):
        raw, srgb = both(params, config, capture)
        return jnp.abs(srgb - 0.4).mean() + jnp.abs(raw - 0.2).mean(), (raw, srgb)

    (_, (raw, srgb)), slopes = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, CAPTURE)
    if config is SMALL:  # op by op takes as long again to compile
        for found, expected in zip((raw, srgb), both(params, config), strict=True):
            np.testing.assert_allclose(found, expected, atol=2e-4)
    slopes = flatten(slopes)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in slopes.values())
    dead = [name for name, leaf in slopes.items() if not jnp.abs(leaf).max() > 0]
    assert all("camera_id" in name for name in dead), dead


def test_vmap_is_a_loop():
    config = dataclasses.replace(SMALL, blocks=0, stages=1)
    params = numbered_params(network("inverse_isp", config), 0.5)
    photos = jnp.stack([jnp.asarray(photo(88, 88, seed)) for seed in (0, 1)])
    captures = Capture(*(jnp.array(pair) for pair in ([0.01, 0.5], [2.8, 8.0], [100.0, jnp.nan], [35.0, 85.0])))

    @jax.jit
    def one(srgb, capture):
        return inverse_isp(params, srgb, *CAMERA, capture, config=config)

    found = jax.jit(jax.vmap(one))(photos, captures)
    for k in (0, 1):
        np.testing.assert_allclose(found[k], one(photos[k], jax.tree.map(lambda x, k=k: x[k], captures)), atol=1e-4)


def test_all_colours_are_the_mosaic_before_the_mosaic():
    params, srgb = numbered_params(network("inverse_isp"), 0.5), jnp.asarray(photo(88, 92))
    image = inverse_isp(params, srgb, *CAMERA, CAPTURE, pattern=None, config=SMALL)
    for pattern in ("RGGB", "GBRG"):
        found = inverse_isp(params, srgb, *CAMERA, CAPTURE, pattern=pattern, config=SMALL)
        red = np.unravel_index(pattern.index("R"), (2, 2))
        np.testing.assert_allclose(found[red[0] :: 2, red[1] :: 2], image[red[0] :: 2, red[1] :: 2, 0], atol=1e-6)


def test_exposure_data_steer_and_only_where_there_is_a_paramnet():
    other = dataclasses.replace(CAPTURE, iso=3200.0)
    srgb = jnp.asarray(photo(88, 92))
    for steered in (True, False):
        config = dataclasses.replace(SMALL, steered=steered)
        params = numbered_params(network("inverse_isp", config), 0.5)
        found = [inverse_isp(params, srgb, *CAMERA, capture, config=config) for capture in (CAPTURE, other)]
        assert np.array_equal(*found) is not steered


def test_a_file_brings_its_shape_back(tmp_path):
    shapes = [SMALL, ParamISPConfig(width=6, embedding=5, blocks=0, stages=2, equalized=False), RELEASED]
    shapes += [dataclasses.replace(SMALL, steered=False, embedding=64)]
    for config in shapes:
        params = init_params(
            jax.random.key(1), PipelineConfig(None, None, None, inverse_isp=config, forward_isp=config)
        )
        save_params(tmp_path / "isp.safetensors", params)
        loaded = load_params(str(tmp_path / "isp.safetensors"))
        found = config_of(loaded).inverse_isp
        readings = {name: getattr(config, name) for name in PARAMISP_READINGS}
        assert dataclasses.replace(found, **readings) == config
        assert config_of(loaded).forward_isp == found


def test_bad_configurations():
    for change in ({"width": 5}, {"histograms": (4, 8)}, {"mask_start": 1.0}, {"stages": -1}, {"embedding": 0}):
        with pytest.raises(ValueError, match=next(iter(change))):
            ParamISPConfig(**change)


def test_dropout_hides_each_parameter_by_itself():
    kept = jax.vmap(lambda key: draw_kept(key, 0.2))(jax.random.split(jax.random.key(0), 4000))
    assert set(np.unique(kept)) == {0.0, 1.0}
    np.testing.assert_allclose(kept.mean(axis=0), 0.8, atol=0.02)
    pairs = np.corrcoef(np.asarray(kept).T)[np.triu_indices(4, 1)]
    assert np.abs(pairs).max() < 0.06
    assert (draw_kept(jax.random.key(0), 0.0) == 1).all()


def test_exposure_data_come_from_files():
    found = capture_of(RawMetadata(iso=400.0, exposure_time=0.01, focal_length=35))
    assert (found.iso, found.exposure_time, found.focal_length) == (400.0, 0.01, 35.0)
    assert np.isnan(found.f_number)


def test_networks_of_another_shape_are_refused():
    params, srgb = network("inverse_isp"), jnp.asarray(photo(88, 88))
    for config, said in (
        (ParamISPConfig(), "width 4, not 64, embedding 6, not 64, blocks 1, not 2"),
        (dataclasses.replace(SMALL, steered=False), "steered True, not False"),
        (dataclasses.replace(SMALL, stages=2), "stages 4, not 2"),
    ):
        with pytest.raises(ValueError, match=f"of the shape that config has, got {said}"):
            inverse_isp(params, srgb, *CAMERA, config=config)
        with pytest.raises(ValueError, match=said):
            forward_isp(params, srgb[..., 0], *CAMERA, config=config)


def test_the_reading_of_a_network_without_paramnet_is_free():
    config = dataclasses.replace(RELEASED, steered=False)
    inverse = jax.jit(functools.partial(inverse_isp, config=config))
    found = inverse(network("inverse_isp", config), photo(88, 88), *CAMERA)
    assert np.isfinite(found).all()
