"""ParamISP against the table of acceptance facts (shared/reference/paramisp_semiisp_facts.md, part 3), row by row."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modisp_jax.config import RELEASED_PARAMISP, ParamISPConfig, PipelineConfig
from modisp_jax.nets.paramisp import FEATURES, GlobalNet, LocalNet
from modisp_jax.ops.demosaic import PATTERNS
from modisp_jax.paramisp import canonet, isp, stages
from modisp_jax.paramisp.capture import Capture, equalize, from_array
from modisp_jax.paramisp.features import exposure_mask, features, gradients, soft_histograms
from modisp_jax.paramisp.isp import forward_isp, inverse_isp
from modisp_jax.params import count_params, init_params, param_shapes
from tests.paramisp.samples import CCM, ILLUMINANT, SMALL, network
from tests.samples import numbered_params, photo

# One program a shape; without jit, each operation would be one.
embed = jax.jit(isp.embed, static_argnames="config")
to_linear, to_mosaic = (jax.jit(f, static_argnames="pattern") for f in (canonet.to_linear, canonet.to_mosaic))
apply_global = jax.jit(stages.apply_global, static_argnames="residual")
curve, quadratic = jax.jit(stages.curve), jax.jit(stages.quadratic)
PAPER = ParamISPConfig()
WITHOUT_ID = dataclasses.replace(RELEASED_PARAMISP, camera_id=False)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (RELEASED_PARAMISP, 710_973),
        (WITHOUT_ID, 709_885),
        (PAPER, 708_285),
        (ParamISPConfig(steered=False), 683_389),
    ],
)
def test_counts(config, count):
    shapes = param_shapes(PipelineConfig(None, None, None, forward_isp=config))
    assert sum(np.prod(shape, dtype=int) for shape in shapes.values()) == count


def test_counts_of_the_parts():
    params = init_params(jax.random.key(0), PipelineConfig(None, None, None, inverse_isp=RELEASED_PARAMISP))[
        "inverse_isp"
    ]
    steer = count_params(params["local"].pop("steer")), count_params(params["global"]["coefficients"].pop("steer"))
    assert steer == (4_160, 4_160)
    assert count_params(params["local"]) == 535_393
    assert count_params(params["global"]) == 147_996
    assert count_params(params["param"]) == 18_176 + 1_088
    assert count_params(params["local"]["middle_block0"]) == 41_251
    block = {name: count_params(part) for name, part in params["local"]["middle_block0"].items()}
    assert block == {"conv1": 18_464, "conv2": 18_496, "channels": 4_192, "places": 99}
    assert count_params(params["local"]["head"]) == 55_360
    assert count_params(params["local"]["down0"]) + count_params(params["local"]["down1"]) == 32_896
    assert count_params(params["local"]["up0"]) + count_params(params["local"]["up1"]) == 32_896
    assert count_params(params["local"]["tail"]) == 1_731
    assert sum(count_params(params["global"][f"shrink{i}"]) for i in range(3)) == 129_216
    coefficients = params["global"]["coefficients"]
    assert count_params(coefficients["linear0"]) + count_params(coefficients["linear1"]) == 8_320
    assert count_params(coefficients["stage"]) == 320
    assert sum(count_params(coefficients[f"head{s}"]) for s in range(4)) == 10_140
    assert all(count_params(params["param"][name]) == 1_024 for name in ("iso", "f_number", "focal_length"))
    assert count_params(params["param"]["color"]) == 1_600


def test_shapes():
    image = jnp.asarray(photo(96, 88))
    for config in (PAPER, RELEASED_PARAMISP):
        assert jax.eval_shape(functools.partial(features, config=config), image, image).shape == (96, 88, 96)
    params = network("inverse_isp", SMALL)
    z = embed(params, Capture(), ILLUMINANT, CCM, SMALL)
    assert z.shape == (SMALL.embedding,)
    net = lambda params: GlobalNet(SMALL).apply({"params": params}, features(image, image, SMALL), z)  # noqa: E731
    found = jax.eval_shape(net, params["global"])
    assert found.shape == (4, 39)


@pytest.mark.parametrize("size", [(84, 96), (96, 90), (97, 96), (88, 84)])
def test_sizes_that_the_networks_do_not_take(size):
    message = r"expected sides of at least 88 pixels and multiples of 4, got \(\d+, \d+\)"
    with pytest.raises(ValueError, match="srgb: " + message):
        inverse_isp({}, jnp.zeros((*size, 3)), ILLUMINANT, CCM)
    with pytest.raises(ValueError, match="mosaic: " + message):
        forward_isp({}, jnp.zeros(size), ILLUMINANT, CCM)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_canonet_there_and_back(pattern):
    raw = np.random.default_rng(0).uniform(0, 0.4, (12, 14)).astype(np.float32)
    linear = to_linear(raw, ILLUMINANT, CCM, pattern=pattern)
    np.testing.assert_allclose(to_mosaic(linear, ILLUMINANT, CCM, pattern=pattern), raw, atol=2e-7)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_canonet_keeps_one_colour_up_to_the_edge(pattern):
    """The table promises the interior only, as its border repeats the edge; ours is mirrored, which keeps the phase."""
    linear = jnp.broadcast_to(jnp.array([0.2, 0.3, 0.25]), (10, 12, 3))
    raw = to_mosaic(linear, ILLUMINANT, CCM, pattern=pattern)
    np.testing.assert_allclose(to_linear(raw, ILLUMINANT, CCM, pattern=pattern), linear, atol=3e-7)


def test_demosaicing_keeps_ramps_of_grey():
    ramp = np.linspace(0, 0.5, 24, dtype=np.float32)[:, None] * np.ones(20, np.float32)
    one = jnp.ones(3), jnp.eye(3)
    found = to_linear(ramp, *one)[2:-2, 2:-2]
    np.testing.assert_allclose(found, np.repeat(ramp[2:-2, 2:-2, None], 3, -1), atol=1.2e-7)


# In the table's order; rows of `equalize` follow PARAMETERS.
FOCAL = [0.2500, 0.5000, 0.7071, 0.0840, 0.2898, 0.5384, 0.6455, -0.5967]
FOCAL += [0.8025, 0.8415, 0.5403, 0.9954, -0.0957, 0.5985, -0.8011]
APERTURE = [0.0875, 0.2958, 0.5439, 0.6071, 0.7792, 0.8827, 0.1827, 0.9964]
APERTURE += [0.0853, 0.2518, 0.9678, 0.5312, 0.8473, 0.9854, 0.1700]
SOME = [0, 3, 6, 7, 8]


def test_equalisation():
    rows, known = equalize(Capture(1 / 125, 2.8, 160.0, 50.0), RELEASED_PARAMISP)
    focal, aperture, time, iso = rows
    np.testing.assert_allclose(focal, FOCAL, atol=5.1e-5)
    np.testing.assert_allclose(aperture, APERTURE, atol=5.1e-5)
    np.testing.assert_allclose(time[np.array(SOME)], [2.667e-4, 4.340e-3, 0.4017, -0.6308, 0.7759], atol=5.1e-5)
    np.testing.assert_allclose(iso[np.array(SOME)], [0.0200, 0.4000, 0.1888, 0.8618, 0.5073], atol=5.1e-5)
    assert known.tolist() == [1, 1, 1, 1]


def test_equalisation_as_in_the_paper():
    released, _ = equalize(Capture(1 / 125, 2.8, 160.0, 50.0), RELEASED_PARAMISP)
    paper, _ = equalize(Capture(1 / 125, 2.8, 160.0, 50.0), PAPER)
    np.testing.assert_array_equal(paper[:, :7], released[:, :7])
    np.testing.assert_allclose(paper[:, 7:], (released[:, 7:] + 1) / 2, atol=1e-7)
    for values in [(1 / 28800, 1.7, 64, 4.2), (30, 32, 8000, 200)]:
        assert ((rows := equalize(Capture(*values), PAPER)[0]) >= -1e-6).all()
        assert (rows <= 1 + 1e-6).all()


@pytest.mark.parametrize("config", [PAPER, RELEASED_PARAMISP])
def test_histograms(config):
    values = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (4, 5, 3)), jnp.float32)
    found, start = soft_histograms(values, config.histograms), 0
    assert found.shape[-1] == 84
    for n in config.histograms:
        one = found[..., start : start + 3 * n].reshape(4, 5, 3, n)
        np.testing.assert_allclose(one.sum(-1), 1, atol=1e-5)
        start += 3 * n
    np.testing.assert_allclose(found.sum(-1), 3 * len(config.histograms), atol=5e-5)


def test_a_histogram_beyond_white():
    np.testing.assert_allclose(soft_histograms(jnp.full((1, 1, 3), 1.2), (4,))[0, 0, :4], [0, 0, 0, 0.4], atol=1e-6)


def test_masks():
    x = jnp.array([0.9, 0.95, 0.975, 1, 1.05])
    np.testing.assert_allclose(exposure_mask(x, RELEASED_PARAMISP.mask_start), [0, 0, 0.5, 1, 2], atol=2e-6)
    np.testing.assert_allclose(exposure_mask(x, PAPER.mask_start), [0, 0.5, 0.75, 1, 1.5], atol=2e-6)


def test_the_basis():
    found = [quadratic(jnp.array([2.0, 3.0, 5.0]), jnp.zeros((10, 3)).at[k].set(1.0))[0] for k in range(10)]
    assert [float(x) for x in found] == [4, 6, 10, 2, 9, 15, 3, 25, 5, 1]


def test_a_stage_of_zeros_is_the_identity():
    x = jnp.asarray(np.random.default_rng(0).normal(0, 3, (5, 7, 3)), jnp.float32)
    np.testing.assert_array_equal(apply_global(jnp.zeros((4, 39)), x, residual=True), x)


def test_the_curve():
    weights = jnp.broadcast_to(jnp.array([-0.7, 0.1, 0.3])[:, None], (3, 3))
    x = jnp.array([-0.2, 0, 0.5, 1, 1.3])[:, None] * jnp.ones(3)
    expected = np.array([-0.82989, 0, 0.63624, 1, 1.17703])
    np.testing.assert_allclose(curve(x, weights), np.repeat(expected[:, None], 3, 1), atol=6e-6)


def test_slopes_of_a_ramp():
    ramp = jnp.broadcast_to(jnp.arange(9.0)[None, :, None], (8, 9, 3))
    found = gradients(ramp)
    dx, dy = found[..., 0::2], found[..., 1::2]
    np.testing.assert_array_equal(dx[:, 1:-1], 1)
    np.testing.assert_array_equal(dx[:, [0, -1]], 0.5)
    np.testing.assert_array_equal(dy, 0)
    np.testing.assert_array_equal(gradients(ramp.swapaxes(0, 1))[1:-1, :, 1::2], 1)


def test_without_a_tail_localnet_adds_nothing():
    config = SMALL
    params = numbered_params(network("forward_isp", config))["local"]
    params["tail"] = jax.tree.map(jnp.zeros_like, params["tail"])
    arrays = jnp.ones((88, 88, FEATURES)), jnp.ones(config.embedding)
    found = jax.jit(LocalNet(config).apply)({"params": params}, *arrays)
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("color", [False, True])
def test_dropping_everything_leaves_colour_only_where_there_is_such_a_branch(color):
    config = dataclasses.replace(SMALL, color_metadata=color)
    params = numbered_params(network("inverse_isp", config))
    capture = from_array(jnp.array([50.0, 2.8, 0.01, 200.0]))

    def z(illuminant, kept):
        return embed(params, capture, illuminant, CCM, config, kept=jnp.full(4, kept))

    other = jnp.array([0.4, 1.0, 0.8])
    assert bool((z(ILLUMINANT, 0.0) == z(other, 0.0)).all()) is not color
    assert not np.allclose(z(ILLUMINANT, 0.0), z(ILLUMINANT, 1.0))


def test_what_is_unknown_counts_as_dropped():
    params = numbered_params(network("inverse_isp", SMALL))
    known = Capture(0.01, 2.8, 200.0, 50.0)
    for k, name in enumerate(("focal_length", "f_number", "exposure_time", "iso")):
        kept = jnp.ones(4).at[k].set(0.0)
        expected = embed(params, known, ILLUMINANT, CCM, SMALL, kept)
        for missing in (float("nan"), 0.0, -1.0):
            found = embed(params, dataclasses.replace(known, **{name: missing}), ILLUMINANT, CCM, SMALL)
            np.testing.assert_array_equal(found, expected)
            assert np.isfinite(found).all()
