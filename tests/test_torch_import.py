"""Published checkpoints to our parameters and back, and every way in which a file is not one."""

import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import ENHANCEMENT, PipelineConfig
from modisp_jax.ops.lut import identity_chroma_lut
from modisp_jax.params import count_params, param_shapes
from modisp_jax.torch_file import read_state_dict
from modisp_jax.torch_import import MESH, import_torch, recognise
from modisp_jax.torch_tables import nafnet_table, photofinish_table
from modisp_jax.tree import flatten, unflatten
from tests.samples import TINY, numbered_params
from tests.torch_files import write_checkpoint

INVERSE = {  # of LAYOUTS, written anew
    "conv": lambda y: np.einsum("hwio->oihw", y),
    "depthwise": lambda y: np.einsum("hwc->chw", y)[:, None],
    "linear": lambda y: y.T,
    "vector": lambda y: y,
    "chroma_lut": lambda y: np.moveaxis(y, -1, 0)[None],
    "rgb_lut": lambda y: np.einsum("rgbk->kbgr", y)[None],
}


def numbers(config):
    """Parameters of a configuration, every number its own."""
    return numbered_params(unflatten({name: np.zeros(shape) for name, shape in param_shapes(config).items()}))


def published(network, table):
    """A state dict of published names from the parameters of one network."""
    flat = flatten(network)
    assert len(table) == len({theirs for theirs, _, _ in table}) == len(flat)  # the table is one to one
    state = {theirs: np.ascontiguousarray(INVERSE[layout](np.asarray(flat[ours]))) for theirs, ours, layout in table}
    return {k: v.reshape(1, -1, 1, 1) if k.endswith((".beta", ".gamma")) else v for k, v in state.items()}


def nafnet_state(config):
    params = numbers(PipelineConfig(config, None, None))
    return params, published(params["denoise"], nafnet_table(config))


def photofinish_state(lut):
    config = mj.PhotofinishConfig(lut, "crcb")
    params = numbers(PipelineConfig(None, config, None))
    state = published(params["photofinish"], photofinish_table(config))
    return params, state | {MESH: np.moveaxis(np.asarray(identity_chroma_lut()), -1, 0)[None]}


@pytest.fixture(scope="module")
def nafnet():
    return nafnet_state(TINY.denoise)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "lut"])
def photofinish(request):
    return photofinish_state(request.param)


def assert_equal(actual, expected):
    actual, expected = flatten(actual), flatten(expected)
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, strict=True, err_msg=name)


@pytest.mark.parametrize("role", ["denoiser", "enhancement"])
def test_nafnet_round_trip(tmp_path, nafnet, role):
    params, state = nafnet
    got = import_torch(**{role: write_checkpoint(tmp_path / "a.pth", state)})
    assert_equal(got, {"denoise" if role == "denoiser" else "enhance": params["denoise"]})
    assert recognise(state) == "NAFNet (denoiser or enhancement)"


def test_a_deeper_nafnet_round_trip(tmp_path):
    config = mj.NAFNetConfig(2, (1, 2), 3, (2, 1))
    params, state = nafnet_state(config)
    got = import_torch(denoiser=write_checkpoint(tmp_path / "a.pth", state))
    assert_equal(got, params)
    assert mj.config_of(got).denoise == config


def test_photofinish_round_trip(tmp_path, photofinish):
    params, state = photofinish
    got = import_torch(photofinishing=write_checkpoint(tmp_path / "a.pth", state))
    assert_equal(got, params)
    assert recognise(state) == "photofinishing" + (" with colour LUT" if "rgb_lut" in params["photofinish"] else "")
    assert "base_lut_crcb" in got["photofinish"]["chroma"]


def test_three_files_and_none(tmp_path, nafnet, photofinish):
    paths = [
        write_checkpoint(tmp_path / f"{k}.pth", state) for k, state in enumerate((nafnet[1], photofinish[1], nafnet[1]))
    ]
    got = import_torch(denoiser=str(paths[0]), photofinishing=str(paths[1]), enhancement=str(paths[2]))
    assert list(got) == ["denoise", "photofinish", "enhance"]
    with pytest.raises(ValueError, match="expected at least one checkpoint"):
        import_torch()


def test_other_precisions_become_float32(tmp_path, nafnet):
    params, state = nafnet
    half = {name: value.astype(np.float16) for name, value in state.items()}
    got = flatten(import_torch(denoiser=write_checkpoint(tmp_path / "a.pth", half)))
    for name, value in flatten(params).items():
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], np.asarray(value).astype(np.float16))


def refused(path, role, message):
    with pytest.raises(ValueError, match=message) as caught:
        import_torch(**{role: path})
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


BLOCK = "encoder_blocks.0.0"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("in_layer.bias", None, "the tensor in_layer.bias is missing"),
        (f"{BLOCK}.conv2.weight", None, rf"the tensor {BLOCK}.conv2.weight is missing"),
        ("in_layer.weight", None, r"expected a NAFNet \(in_layer.weight"),
        ("extra.weight", lambda _: np.zeros(3, np.float32), "unexpected tensor extra.weight"),
        ("in_layer.weight", lambda x: x[:, :2], "in_conv/kernel: expected shape"),
        ("in_layer.weight", lambda x: x[0], r"in_layer.weight: expected shape \[\*, \*, \*, \*\], got shape"),
        ("in_layer.weight", lambda x: x[:0], "width: expected at least 1, got 0"),
        ("in_layer.weight", lambda x: x[:1, 0, 0, 0].reshape(()), "no NAFNet of a known shape"),
        (f"{BLOCK}.conv2.weight", lambda x: np.repeat(x, 2, axis=1), r"expected shape \[\*, 1, \*, \*\], got shape"),
        (f"{BLOCK}.beta", lambda x: np.tile(x, (1, 1, 2, 1)), f"{BLOCK}.beta: expected one axis"),
        (f"{BLOCK}.norm1.weight", lambda x: x[:1], r"norm1/scale: expected shape \(2,\), got \(1,\)"),
        ("in_layer.bias", lambda x: x * np.nan, "in_conv/bias: expected finite numbers, got NaN or infinity"),
        ("in_layer.bias", lambda x: x + np.float32(np.inf), "NaN or infinity"),
        ("in_layer.bias", lambda x: x.astype(np.int64), "in_layer.bias: expected floating-point numbers, got int64"),
    ],
)
def test_a_nafnet_that_differs(tmp_path, nafnet, name, change, message):
    state = dict(nafnet[1])
    if change is None:
        del state[name]
    else:
        state[name] = change(state.get(name))
    refused(write_checkpoint(tmp_path / "a.pth", state), "denoiser", message)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("_ltm_net._guide_conv._fusion.0.bias", None, "the tensor _ltm_net._guide_conv._fusion.0.bias is missing"),
        (MESH, None, "expected a photofinishing checkpoint"),
        (MESH, lambda x: x + np.float32(0.01), "expected the mesh of 24 x 24 chroma centres"),
        (MESH, lambda x: x[:, ::-1], "expected the mesh"),
        (MESH, lambda x: x[..., :12], "expected the mesh"),
        (MESH, lambda x: x[0], rf"{MESH}: expected shape \[1, 2, \*, \*\], got shape \(2, 24, 24\)"),
        ("extra", lambda _: np.zeros(3, np.float32), "unexpected tensor extra"),
        ("_lut_net._base_lut", lambda x: np.repeat(x, 2, axis=0), r"expected shape \[1, 2, \*, \*\], got shape \(2,"),
        ("_lut_net._base_lut", lambda x: x[..., 1:], "base_lut_crcb: expected shape"),
        ("_gtm_net._gtm_net.17.weight", lambda x: x.T, "gtm/head/kernel: expected shape"),
        ("_gtm_net._gtm_net.17.weight", lambda x: x * np.nan, "NaN or infinity"),
        ("_3d_lut._lut", lambda _: np.zeros((1, 3, 9, 9, 9), np.float32), "rgb_lut/table: expected shape"),
        ("_3d_lut._lut", lambda _: np.zeros((3, 11, 11, 11), np.float32), r"expected shape \[1, 3, \*, \*, \*\]"),
    ],
)
def test_photofinishing_that_differs(tmp_path, photofinish, name, change, message):
    state = dict(photofinish[1])
    if change is None:
        del state[name]
    else:
        state[name] = np.ascontiguousarray(change(state.get(name)))
    refused(write_checkpoint(tmp_path / "a.pth", state), "photofinishing", message)


def test_checkpoints_of_other_networks(tmp_path, nafnet, photofinish):
    naf = write_checkpoint(tmp_path / "naf.pth", nafnet[1])
    finish = write_checkpoint(tmp_path / "finish.pth", photofinish[1])
    other = write_checkpoint(tmp_path / "other.pth", {"conv.weight": np.zeros((2, 3, 1, 1), np.float32)})
    refused(naf, "photofinishing", "expected a photofinishing checkpoint .* got in_layer.weight")
    for role in ("denoiser", "enhancement"):
        refused(finish, role, "expected a NAFNet .* got _")
        refused(other, role, "expected a NAFNet .* got conv.weight")
    refused(other, "photofinishing", "expected a photofinishing checkpoint")
    assert recognise(read_state_dict(other)) == "a network that this package does not import"


def test_an_enhancement_is_no_denoiser(tmp_path):
    path = write_checkpoint(tmp_path / "a.pth", nafnet_state(ENHANCEMENT)[1])
    refused(path, "denoiser", "expected a checkpoint for denoiser, got a detail enhancement")
    assert count_params(import_torch(enhancement=path)) == 50_635


@pytest.mark.parametrize("role", ["denoiser", "photofinishing", "enhancement"])
def test_missing_and_damaged_files(tmp_path, role):
    refused(tmp_path / "a.pth", role, "no such file")
    (tmp_path / "a.pth").write_text("hello")
    refused(tmp_path / "a.pth", role, "a file of another kind")


PUBLISHED = [  # file, role, parameters (facts, section 1)
    ("denoising/generic_lite.pth", "denoiser", 245_223),
    ("denoising/generic_base.pth", "denoiser", 932_683),
    ("photofinishing/photofinishing_s24-style-0.pth", "photofinishing", 207_224),
    ("photofinishing/photofinishing_s24-style-1.pth", "photofinishing", 207_224),
    ("photofinishing/photofinishing_s24-style-1-lut.pth", "photofinishing", 207_224 + 3_993),
    ("photofinishing/photofinishing_s24-style-2.pth", "photofinishing", 207_224),
    ("enhancement/enhancement_s24-style-0.pth", "enhancement", 50_635),
    ("enhancement/enhancement_s24-style-1.pth", "enhancement", 50_635),
    ("enhancement/enhancement_s24-style-2.pth", "enhancement", 50_635),
]
STAGES = {"gain": 6_587, "gtm": 28_369, "ltm": 120_215, "chroma": 45_466, "gamma": 6_587, "rgb_lut": 3_993}


@pytest.mark.reference
def test_every_published_checkpoint_is_listed_here(shared):
    folder = shared / "reference" / "weights"
    found = {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.pt*")}
    assert {name for name in found if not name.startswith(("awb/", "io/"))} == {name for name, _, _ in PUBLISHED}


@pytest.mark.reference
@pytest.mark.parametrize(("name", "role", "count"), PUBLISHED)
def test_published_parameter_counts(shared, name, role, count):
    params = import_torch(**{role: shared / "reference" / "weights" / name})
    assert count_params(params) == count
    if role == "photofinishing":
        finish = params["photofinish"]
        assert {stage: count_params(finish[stage]) for stage in finish} == {stage: STAGES[stage] for stage in finish}


@pytest.mark.reference
def test_published_checkpoints_in_another_role(shared):
    for name, role, _ in PUBLISHED:
        for other in {"denoiser", "photofinishing", "enhancement"} - {role}:
            refused(shared / "reference" / "weights" / name, other, "expected a ")


@pytest.mark.reference
def test_published_checkpoints_of_other_networks_are_refused(shared):
    paths = [p for folder in ("awb", "io") for p in (shared / "reference" / "weights" / folder).glob("*.pt*")]
    assert len(paths) >= 6
    for path in paths:
        for role in ("denoiser", "photofinishing", "enhancement"):
            refused(path, role, "expected a (NAFNet|photofinishing checkpoint)")
