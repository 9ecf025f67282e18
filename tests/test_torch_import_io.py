"""Checkpoints of the raw adapter and the CIE XYZ net to parameters and files, and what is refused."""

import jax
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import cli, describe
from modisp_jax.config import IO_NETWORKS, PipelineConfig
from modisp_jax.torch_import import BATCHES, import_torch, recognise
from modisp_jax.torch_tables import IO_TABLES
from tests.samples import raw
from tests.test_torch_import import assert_equal, numbers
from tests.test_torch_import import published as published_state
from tests.torch_files import write_checkpoint

WORDS = {"raw_adapter": "raw-in-JPEG adapter", "cie_xyz": "CIE XYZ net"}


@pytest.fixture(scope="module")
def networks():
    return numbers(PipelineConfig(None, None, None, io=IO_NETWORKS))["io"]


def state_of(name, network):
    state = published_state(network, IO_TABLES[name]())
    if name == "raw_adapter":
        state = {k: v.reshape(1, 1, 5) if k.endswith("._conv.weight") else v for k, v in state.items()}
        state["_decoder._lut_net.1" + BATCHES] = np.array(7)
    return state


@pytest.fixture
def folder(tmp_path, networks, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, network in networks.items():
        write_checkpoint(tmp_path / f"{name}.pth", state_of(name, network))
    return tmp_path


@pytest.mark.parametrize("name", IO_NETWORKS)
def test_round_trip(folder, networks, name):
    got = import_torch(**{name: f"{name}.pth"})
    assert_equal(got, {"io": {name: networks[name]}})
    assert mj.config_of(got) == PipelineConfig(None, None, None, io=(name,))
    assert recognise(state_of(name, networks[name])) == WORDS[name]


def refused(path, message, **roles):
    with pytest.raises(ValueError, match=message) as caught:
        import_torch(**roles)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("role", IO_NETWORKS)
def test_checkpoints_of_other_networks(folder, role):
    (other,) = set(IO_NETWORKS) - {role}
    refused(f"{other}.pth", f"expected a checkpoint of {WORDS[role]} .* of {WORDS[other]}", **{role: f"{other}.pth"})
    write_checkpoint(folder / "other.pth", {"conv.weight": np.zeros((2, 3, 1, 1), np.float32)})
    refused("other.pth", r"a network that this package does not import \(conv.weight", **{role: "other.pth"})
    for another in ("denoiser", "enhancement", "photofinishing", "cross_camera", "preference"):
        refused(f"{role}.pth", "expected a", **{another: f"{role}.pth"})


@pytest.mark.parametrize(
    ("role", "name", "change", "message"),
    [
        ("raw_adapter", "_encoder._conv1.1.bias", None, "tensor _encoder._conv1.1.bias is missing"),
        ("raw_adapter", "extra", lambda _: np.zeros(3, np.float32), "unexpected tensor extra"),
        ("raw_adapter", "_decoder._lut_head.1.weight", lambda x: x[:384], r"lut_head/kernel: expected shape \(48, 387"),
        ("raw_adapter", "_decoder._lut_net.1.running_var", lambda x: x * np.nan, "expected finite numbers"),
        ("raw_adapter", "_decoder._conv.2._conv.weight", lambda x: x[..., :3], r"taps: expected shape \(5,\), got"),
        ("cie_xyz", "srgb2xyz_globa_net.net.out.bias", None, "net.out.bias is missing"),
        ("cie_xyz", "srgb2xyz_local_net.net.conv0.weight", lambda x: x[:, :1], "conv0/kernel: expected shape"),
        ("cie_xyz", "srgb2xyz_globa_net.net.fc1.weight", lambda x: x[0], r"expected shape \[\*, \*\], got shape"),
    ],
)
def test_a_checkpoint_that_differs(folder, networks, role, name, change, message):
    state = state_of(role, networks[role])
    if change is None:
        del state[name]
    else:
        state[name] = np.ascontiguousarray(change(state.get(name)))
    write_checkpoint(folder / "a.pth", state)
    refused("a.pth", message, **{role: "a.pth"})


@pytest.mark.parametrize("io", [{}, [1], {"other": {}}, {"cie_xyz": {}}])
def test_what_is_no_network_of_files_is_refused(io):
    with pytest.raises(ValueError, match="io"):
        mj.params.check_params({"io": io})


@pytest.mark.parametrize("io", [("cie_xyz", "raw_adapter"), ("other",), ["cie_xyz"], None])
def test_impossible_configurations_are_refused(io):
    with pytest.raises(ValueError, match="io: expected a tuple of"):
        PipelineConfig(io=io)


def test_untrained_sets_are_complete():
    params = mj.init_params(jax.random.key(1), PipelineConfig(None, None, None, io=IO_NETWORKS))
    mj.params.check_params(params)
    assert set(params["io"]) == set(IO_NETWORKS)
    with pytest.raises(ValueError, match=r"rendering needs 'photofinish', got only \['io'\]"):
        mj.render(params, raw(16, 16))


def test_another_style_keeps_them(tmp_path, networks):
    mj.save_params(tmp_path / "a.safetensors", mj.load_params("neutral") | {"io": networks})
    assert_equal(mj.load_params(tmp_path / "a.safetensors", style="neutral")["io"], networks)


def test_the_command(folder, networks, capsys):
    arguments = ["import-torch", "--raw-adapter", "raw_adapter.pth", "--cie-xyz", "cie_xyz.pth"]
    assert cli.main([*arguments, "-o", "b.safetensors"]) == 0
    assert "725,569 parameters" in capsys.readouterr().out
    assert_equal(mj.load_params("b.safetensors"), {"io": networks})
    card = mj.read_card("b.safetensors")
    assert set(card["sources"]) == set(IO_NETWORKS)
    assert card["networks"]["io, raw adapter"] == "32,076 parameters"
    assert cli.main(["info", "b.safetensors", "cie_xyz.pth"]) == 0
    out = capsys.readouterr().out
    assert "io, cie xyz: 693,493 parameters" in out
    assert "PyTorch checkpoint: CIE XYZ net" in out


@pytest.mark.reference
def test_the_published_checkpoints_are_known(shared):
    found = {p.name: describe.describe(p)["kind"] for p in (shared / "reference/weights/io").glob("*.pth")}
    assert {name: kind.removeprefix("PyTorch checkpoint: ") for name, kind in found.items()} == {
        "cie_xyz_net.pth": WORDS["cie_xyz"],
        "raw_jpeg_adapter_q_75.pth": WORDS["raw_adapter"],
        "raw_jpeg_adapter_q_95.pth": WORDS["raw_adapter"],
    }
