import jax
import jax.export
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import NAFNetConfig, PhotofinishConfig, PipelineConfig
from modisp_jax.export import export_render
from modisp_jax.kernels import xla
from tests.samples import numbered_params, raw

SIZE = (40, 56)
NAFNET = NAFNetConfig(4, (1,), 1, (1,))
TINY = PipelineConfig(NAFNET, PhotofinishConfig(grid_input=128), NAFNET)


@pytest.fixture(scope="module")
def params():
    return numbered_params(mj.init_params(jax.random.key(0), TINY), scale=0.3)


def test_an_exported_pipeline_renders_the_same_after_a_journey_through_a_file(params):
    photo = raw(*SIZE)
    edits = mj.Edits(exposure=0.5)
    exported = export_render(params, SIZE, edits=edits)
    loaded = jax.export.deserialize(bytes(exported.serialize()))
    picture = loaded.call(params, photo.image, photo.illuminant, photo.ccm, np.ones(3, np.float32))
    np.testing.assert_allclose(picture, mj.render(params, photo, edits=edits), atol=1e-6)


def test_a_machine_without_a_gpu_exports_for_one(params):
    module = export_render(params, SIZE, platforms=("cuda",)).mlir_module()
    assert "stablehlo.convolution" in module
    assert not [name for name in xla.names() if name in module]


def test_one_export_for_both(params):
    photo = raw(*SIZE)
    exported = export_render(params, SIZE, platforms=("cpu", "cuda"))
    assert exported.platforms == ("cpu", "cuda")
    assert "modisp_nafnet" in exported.mlir_module()
    picture = exported.call(params, photo.image, photo.illuminant, photo.ccm, np.ones(3, np.float32))
    np.testing.assert_allclose(picture, mj.render(params, photo), atol=1e-6)


def test_too_small_a_size_is_refused(params):
    with pytest.raises(ValueError, match="at least 16 pixels"):
        export_render(params, (8, 40))
