"""Parity with the published implementation, network by network and end to end. See docs/parity.md."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import PUBLISHED_HALO_FIX
from modisp_jax.look import finish_by_networks
from modisp_jax.nets.nafnet import NAFNet
from modisp_jax.ops.guided_upsample import guided_upsample
from modisp_jax.params import nafnet_config
from modisp_jax.torch_import import import_nafnet, import_photofinish

pytestmark = [pytest.mark.reference, pytest.mark.optimised]

CLIP = mj.RenderConfig(clipped_highlights="clip")


@pytest.fixture(scope="session")
def weights(shared):
    return shared / "reference" / "weights"


def close(actual, expected, atol):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=atol, rtol=0)


def close_but_for_a_few(actual, expected):
    """The bounds of ../shared/README.md for what guided upsampling touches."""
    difference = np.abs(np.asarray(actual) - expected)
    assert np.percentile(difference, 99.9) < 2e-4
    assert difference.max() < 1e-2


@pytest.mark.parametrize("size", ["64x96", "77x101"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("nafnet_lite", "denoising/generic_lite.pth"),
        ("nafnet_base", "denoising/generic_base.pth"),
        ("nafnet_enh", "enhancement/enhancement_s24-style-0.pth"),
    ],
)
def test_restoration_networks(vectors, weights, name, file, size):
    z = vectors("networks")
    params = import_nafnet(weights / file)
    net = jax.jit(NAFNet(nafnet_config(params)).apply)
    close(net({"params": params}, z[f"{name}/{size}/x"]), z[f"{name}/{size}/y"], 1e-6)


@pytest.mark.parametrize("size", ["96x128", "75x110"])
@pytest.mark.parametrize(("name", "file"), [("photofinishing", "style-0"), ("photofinishing-lut", "style-1-lut")])
def test_photofinishing_networks(vectors, weights, name, file, size):
    z = vectors("networks")
    get = lambda key: z[f"{name}/{size}/{key}"]  # noqa: E731
    params = import_photofinish(weights / f"photofinishing/photofinishing_s24-{file}.pth")
    look, finished = finish_by_networks(params, get("lsrgb"), mj.Edits(), CLIP)
    close(look.gain, get("gain")[0], 2e-6)
    close(look.gtm, get("gtm_abc"), 2e-6)
    close(look.ltm, get("ltm_maps_wabcg"), 1e-5)
    close(look.chroma_lut, get("chroma_lut").transpose(2, 1, 0), 5e-6)
    close(look.inverse_gamma, get("inverse_gamma")[0], 1e-6)
    close(finished.srgb, get("srgb"), 1e-5)
    close(finished.srgb, get("train_srgb"), 1e-5)
    close(mj.apply_look(look, get("lsrgb")), get("srgb"), 1e-5)
    if look.rgb_lut is not None:
        close(look.rgb_lut, get("rgb_lut").transpose(3, 2, 1, 0), 1e-6)


def test_halo_fix(vectors, weights):
    z = vectors("halo_fix")
    params = import_photofinish(weights / "photofinishing/photofinishing_s24-style-0.pth")
    look, finished = finish_by_networks(params, z["lsrgb"], mj.Edits(), mj.RenderConfig(halo_fix=PUBLISHED_HALO_FIX))
    close(look.ltm, z["halo_fix/ltm_maps_wabcg"], 2e-4)
    close(finished.local_tone, z["halo_fix/lsrgb_ltm"], 5e-5)
    close(finished.srgb, z["halo_fix/srgb"], 5e-5)


PIPELINES = {
    "pipeline_style0": ("generic_lite", "style-0", "style-0"),
    "pipeline_style1lut": ("generic_base", "style-1-lut", "style-1"),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_whole_pipeline(vectors, weights, name):
    z = vectors(name)
    denoiser, style, enhancement = PIPELINES[name]
    params = mj.import_torch(
        denoiser=weights / f"denoising/{denoiser}.pth",
        photofinishing=weights / f"photofinishing/photofinishing_s24-{style}.pth",
        enhancement=weights / f"enhancement/enhancement_s24-{enhancement}.pth",
    )
    raw = mj.Raw(jnp.asarray(z["raw_u16"] / np.float32(65535)), jnp.asarray(z["illum"]), jnp.asarray(z["ccm"]))
    stages = mj.render_stages(params, raw, config=CLIP)
    for ours, key in (
        (stages.denoised, "denoised_raw"),
        (stages.linear, "lsrgb"),
        (stages.linear_small, "lsrgb_quarter"),
        (stages.finished.gained, "lsrgb_gain"),
    ):
        close(ours, z[f"default/{key}"], 1e-5)
    for ours, key in (
        (stages.finished.global_tone, "lsrgb_gtm"),
        (stages.finished.local_tone, "lsrgb_ltm"),
        (stages.finished.chroma, "processed_lsrgb"),
        (stages.finished.srgb, "gamma"),
    ):
        close(ours, z[f"default/{key}"], 5e-5)
    close_but_for_a_few(stages.upsampled, z["default/bgu"])
    close_but_for_a_few(stages.srgb, z["default/srgb"])


def test_upsampling_of_an_edited_image(vectors):
    z = vectors("pipeline_style0")
    small = mj.pipeline.shrink(jnp.asarray(z["edited/lsrgb"]))
    close_but_for_a_few(guided_upsample(small, z["edited/gamma"], z["edited/lsrgb"]), z["edited/bgu"])
