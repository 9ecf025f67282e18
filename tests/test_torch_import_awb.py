"""White-balance checkpoints to parameters and files, and every way in which one is of something else."""

import json

import jax
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import cli, describe
from modisp_jax.config import AWB_NETWORKS, PhotofinishConfig, PipelineConfig
from modisp_jax.torch_import import BATCHES, import_torch, recognise
from modisp_jax.torch_tables import AWB_TABLES
from modisp_jax.tree import flatten
from tests.samples import numbered_params, raw
from tests.test_torch_import import assert_equal, numbers
from tests.test_torch_import import published as published_state
from tests.torch_files import write_checkpoint

FACTS = {
    "hist_bins": 48,
    "norm_values": {"capture-data-min": [2.5, *[0.0] * 6, -7.5], "capture-data-max": [8.0, *[0.02] * 6, -2.0]},
    "hist_boundaries": [0.375, 0.25, 1.125, 0.875],
}


@pytest.fixture(scope="module")
def networks():
    params = numbers(PipelineConfig(None, None, None, AWB_NETWORKS))["awb"]
    params["camera_specific"]["ranges"] = {
        "histogram_min": np.array([0.375, 0.25], np.float32),
        "histogram_max": np.array([1.125, 0.875], np.float32),
        "capture_min": np.array(FACTS["norm_values"]["capture-data-min"], np.float32),
        "capture_max": np.array(FACTS["norm_values"]["capture-data-max"], np.float32),
    }
    return params


def state_of(name, network):
    layers = {layer: value for layer, value in network.items() if layer != "ranges"}
    state = published_state(layers, AWB_TABLES[name]())
    counters = [key.removesuffix(".running_mean") + BATCHES for key in state if key.endswith(".running_mean")]
    assert counters
    return state | {counter: np.array(7) for counter in counters}


@pytest.fixture
def folder(tmp_path, networks, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, network in networks.items():
        write_checkpoint(tmp_path / f"{name}.pt", state_of(name, network))
    (tmp_path / "config.json").write_text(json.dumps(FACTS))
    return tmp_path


WITH_JSON = {"camera_specific": "camera_specific.pt", "camera_specific_config": "config.json"}


@pytest.mark.parametrize("name", AWB_NETWORKS)
def test_round_trip(folder, networks, name):
    got = import_torch(**(WITH_JSON if name == "camera_specific" else {name: f"{name}.pt"}))
    assert_equal(got, {"awb": {name: networks[name]}})
    assert mj.config_of(got) == PipelineConfig(None, None, None, (name,))
    assert recognise(state_of(name, networks[name])) == f"white balance, {name.replace('_', ' ')}"


def refused(path, message, **roles):
    with pytest.raises(ValueError, match=message) as caught:
        import_torch(**roles)
    assert str(caught.value).startswith(f"{path}: " if path else "expected")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("role", AWB_NETWORKS)
def test_checkpoints_of_other_networks(folder, role):
    roles = {"camera_specific_config": "config.json"} if role == "camera_specific" else {}
    for other in set(AWB_NETWORKS) - {role}:
        message = f"expected a checkpoint of white balance, {role.replace('_', ' ')} .* got one of white balance, "
        refused(f"{other}.pt", message + other.replace("_", " "), **roles | {role: f"{other}.pt"})
    write_checkpoint(folder / "other.pt", {"conv.weight": np.zeros((2, 3, 1, 1), np.float32)})
    refused("other.pt", r"a network that this package does not import \(conv.weight", **roles | {role: "other.pt"})
    for nafnet in ("denoiser", "enhancement"):
        refused(f"{role}.pt", "expected a NAFNet", **{nafnet: f"{role}.pt"})


@pytest.mark.parametrize(
    ("role", "name", "change", "message"),
    [
        ("cross_camera", "_bottleneck._conv1._conv.bias", None, "tensor _bottleneck._conv1._conv.bias is missing"),
        ("cross_camera", "extra", lambda _: np.zeros(3, np.float32), "unexpected tensor extra"),
        (
            "cross_camera",
            "_filter_decoder._final_conv._conv.weight",
            lambda x: x[:1],
            r"filter/head/kernel: expected shape \(3, 3, 4, 2\), got \(3, 3, 4, 1\)",
        ),
        ("preference", "_bn1.running_var", lambda x: x * np.nan, "norm/variance: expected finite numbers"),
        ("preference", "_bn1.running_mean", None, "_bn1.running_mean is missing"),
        ("camera_specific", "_hist_net._conv1.weight", lambda x: x[:, :3], "conv1/kernel: expected shape"),
        ("camera_specific", "_fc4.weight", lambda x: x[0], r"expected shape \[\*, \*\], got shape"),
    ],
)
def test_a_checkpoint_that_differs(folder, networks, role, name, change, message):
    state = state_of(role, networks[role])
    if change is None:
        del state[name]
    else:
        state[name] = np.ascontiguousarray(change(state.get(name)))
    write_checkpoint(folder / "a.pt", state)
    roles = {"camera_specific_config": "config.json"} if role == "camera_specific" else {}
    refused("a.pt", message, **roles | {role: "a.pt"})


def test_the_camera_specific_network_needs_its_json(folder):
    refused(None, "got no camera_specific_config, the network's JSON", camera_specific="camera_specific.pt")
    refused(None, "got no camera_specific$", camera_specific_config="config.json")
    refused("no.json", "No such file", **WITH_JSON | {"camera_specific_config": "no.json"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON with hist_boundaries and norm_values .JSONDecodeError"),
        ("{}", "KeyError: 'hist_boundaries'"),
        (json.dumps(FACTS | {"hist_boundaries": [0, 0, 1]}), "expected 2 ranges of the histogram"),
        (json.dumps(FACTS | {"hist_boundaries": [0, 1, 1, 0]}), "expected 2 ranges of the histogram, each from less"),
        (json.dumps(FACTS | {"hist_boundaries": [0, 0, 1, float("inf")]}), "expected 2 ranges of the histogram"),
        (json.dumps(FACTS | {"hist_boundaries": "wide"}), "expected JSON with hist_boundaries"),
        (
            json.dumps(FACTS | {"norm_values": {"capture-data-min": [0] * 7, "capture-data-max": [1] * 7}}),
            "expected 8 ranges of the capture",
        ),
        (json.dumps([1]), "expected JSON with hist_boundaries"),
    ],
)
def test_a_json_that_differs(folder, text, message):
    (folder / "config.json").write_text(text)
    refused("config.json", message, **WITH_JSON)


def test_files_hold_white_balance_alone_or_with_the_rest(tmp_path, networks):
    mj.save_params(tmp_path / "a.safetensors", {"awb": networks})
    loaded = mj.load_params(tmp_path / "a.safetensors")
    assert_equal(loaded, {"awb": networks})
    with pytest.raises(ValueError, match=r"rendering needs 'photofinish', got only \['awb'\]"):
        mj.render(loaded, raw(16, 16))
    whole = mj.load_params("neutral") | {"awb": {"preference": networks["preference"]}}
    mj.save_params(tmp_path / "b.safetensors", whole)
    assert mj.config_of(mj.load_params(tmp_path / "b.safetensors", style="neutral")) == PipelineConfig(
        None, PhotofinishConfig(), None, ("preference",)
    )


@pytest.mark.parametrize("awb", [{}, [1], {"other": {}}, {"preference": {}}])
def test_what_is_no_white_balance_is_refused(awb):
    with pytest.raises(ValueError, match="awb"):
        mj.params.check_params({"awb": awb})


@pytest.mark.parametrize("awb", [("preference", "cross_camera"), ("other",), ["preference"], ("preference",) * 2, None])
def test_impossible_configurations_are_refused(awb):
    with pytest.raises(ValueError, match="awb: expected a tuple of"):
        PipelineConfig(awb=awb)


def test_configurations_with_white_balance_are_hashable(networks):
    config = mj.config_of({"awb": numbered_params(networks)})
    assert config.awb == AWB_NETWORKS
    assert hash(config) != hash(PipelineConfig())


def test_untrained_sets_are_complete():
    params = mj.init_params(jax.random.key(1), PipelineConfig(None, None, None, AWB_NETWORKS))
    mj.params.check_params(params)
    assert set(params["awb"]) == set(AWB_NETWORKS)


def test_the_command(folder, networks, capsys):
    arguments = ["import-torch", "--cross-camera", "cross_camera.pt", "--preference", "preference.pt"]
    arguments += ["--camera-specific", "camera_specific.pt", "--camera-specific-config", "config.json"]
    assert cli.main([*arguments, "-o", "b.safetensors"]) == 0
    assert "176,772 parameters" in capsys.readouterr().out
    assert_equal(mj.load_params("b.safetensors"), {"awb": networks})
    card = mj.read_card("b.safetensors")
    assert set(card["sources"]) == {*AWB_NETWORKS, "camera_specific_config"}
    assert card["networks"]["awb, cross camera"] == "171,511 parameters"
    assert cli.main(["info", "b.safetensors", "preference.pt"]) == 0
    out = capsys.readouterr().out
    assert "awb, camera specific: 4,722 parameters" in out
    assert "PyTorch checkpoint: white balance, preference" in out
    assert describe.describe("cross_camera.pt")["kind"] == "PyTorch checkpoint: white balance, cross camera"


def test_a_file_with_half_a_network_is_refused(tmp_path, networks):
    broken = {"preference": {layer: value for layer, value in networks["preference"].items() if layer != "norm"}}
    with pytest.raises(ValueError, match="awb/preference/norm/bias is missing"):
        mj.save_params(tmp_path / "a.safetensors", {"awb": broken})
    assert not list(tmp_path.iterdir())


@pytest.mark.reference
def test_the_published_checkpoints_are_known(shared):
    found = {p.name: describe.describe(p)["kind"] for p in (shared / "reference/weights/awb").glob("*.pt*")}
    kinds = sorted(kind.removeprefix("PyTorch checkpoint: white balance, ") for kind in found.values())
    assert kinds == sorted(name.replace("_", " ") for name in AWB_NETWORKS)


@pytest.mark.reference
def test_every_published_tensor_arrives(shared):
    folder = shared / "reference/weights/awb"
    params = import_torch(preference=folder / "model-c5_single_encoder_neutral_to_s24_user_pref.pt")
    assert sum(leaf.size for leaf in flatten(params).values()) == 539 + 2 * 16
