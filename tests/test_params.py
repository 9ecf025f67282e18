import math

import jax
import jax.numpy as jnp
import pytest

import modisp_jax as mj
from modisp_jax.params import check_params, param_shapes
from modisp_jax.tree import flatten, unflatten
from tests.samples import TINY

PUBLISHED = {  # denoiser + photofinishing, and with enhancement (facts, section 1)
    "lite": (452_447, 503_082),
    "base": (1_139_907, 1_190_542),
    "large": (3_841_547, 3_892_182),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_pipeline_parameter_counts(size):
    for enhance, expected in zip((None, mj.PipelineConfig().enhance), PUBLISHED[size], strict=True):
        config = mj.PipelineConfig(denoise=mj.config.DENOISERS[size], enhance=enhance)
        assert sum(math.prod(shape) for shape in param_shapes(config).values()) == expected


@pytest.mark.parametrize("lut", [False, True])
@pytest.mark.parametrize("axes", ["cbcr", "crcb"])
def test_configuration_is_read_back_from_the_parameters(lut, axes):
    config = mj.PipelineConfig(TINY.denoise, mj.PhotofinishConfig(lut, axes), None)
    params = {name: jnp.zeros(shape) for name, shape in param_shapes(config).items()}
    assert mj.config_of(unflatten(params)) == config


def test_every_configuration_is_hashable():
    assert hash(mj.PipelineConfig()) == hash(mj.PipelineConfig())
    assert hash(mj.RenderConfig(halo_fix=mj.HaloFixConfig())) != hash(mj.RenderConfig())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mj.NAFNetConfig(0), "width"),
        (lambda: mj.NAFNetConfig(4, (1, 1), 1, (1,)), "equal levels"),
        (lambda: mj.PhotofinishConfig(chroma_lut_axes="xy"), "chroma_lut_axes"),
        (lambda: mj.RenderConfig(clipped_highlights="pink"), "clipped_highlights"),
        (lambda: mj.HaloFixConfig(window=4), "window"),
        (lambda: mj.HaloFixConfig(scales=()), "scales"),
        (lambda: mj.HaloFixConfig(iterations=-1), "iterations"),
    ],
)
def test_impossible_configurations_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.fixture(scope="module")
def tiny():
    return mj.init_params(jax.random.key(0), TINY)


def test_a_complete_set_passes(tiny):
    check_params(tiny)
    check_params({"denoise": tiny["denoise"]})


def test_flatten_and_unflatten_are_inverse(tiny):
    back = unflatten(flatten(tiny))
    assert jax.tree.structure(back) == jax.tree.structure(tiny)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda flat: flat.pop("denoise/in_conv/bias"), "denoise/in_conv/bias is missing"),
        (lambda flat: flat.update({"denoise/in_conv/bias": jnp.zeros(9)}), r"expected shape \(2,\), got \(9,\)"),
        (lambda flat: flat.update({"denoise/in_conv/bias": jnp.full(2, jnp.nan)}), "NaN or infinity"),
        (lambda flat: flat.update({"denoise/in_conv/bias": jnp.zeros(2, int)}), "floating-point"),
        (lambda flat: flat.update({"denoise/in_conv/extra": jnp.zeros(2)}), "belongs to no network"),
        (lambda flat: flat.update({"other/x": jnp.zeros(2)}), "expected a dict with keys"),
        (lambda flat: flat.pop("photofinish/chroma/base_lut_cbcr"), "base_lut"),
    ],
)
def test_differences_are_named(tiny, change, message):
    flat = flatten(tiny)
    change(flat)
    with pytest.raises(ValueError, match=message):
        check_params(unflatten(flat))


@pytest.mark.parametrize("params", [{}, None, [1], {"photofinish": {}}, {"denoise": {}}])
def test_what_is_no_parameter_set_is_refused(params):
    with pytest.raises(ValueError, match="expected"):
        mj.config_of(params)
