"""VGG weights from files, and the features that they give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from modisp_jax import vgg_file
from modisp_jax.metrics import LPIPS_TAPS
from modisp_jax.nets.vgg import CHANNELS, layer_names, vgg_features
from modisp_jax.vgg_file import load_lpips, load_vgg
from tests.torch_files import write_checkpoint

NUMBERS = {
    "vgg19": [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
    "vgg16": [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
}
"""torchvision's numbers of the convolutions."""


@pytest.fixture
def narrow(monkeypatch):
    """Few channels: real files have half a gigabyte."""
    monkeypatch.setattr(vgg_file, "CHANNELS", (2, 3, 4, 5, 5))
    return vgg_file.CHANNELS


def vgg_state(variant, channels, seed=0):
    """A state dict in torchvision's names, with a classifier that nobody needs."""
    rng, state, before = np.random.default_rng(seed), {}, 3
    for name, number in zip(layer_names(variant), NUMBERS[variant], strict=True):
        after = channels[int(name[4]) - 1]
        state[f"features.{number}.weight"] = rng.normal(size=(after, before, 3, 3)).astype(np.float32)
        state[f"features.{number}.bias"] = rng.normal(size=after).astype(np.float32)
        before = after
    return state | {"classifier.0.weight": np.zeros((2, 2), np.float32)}


def lpips_state(channels):
    rng = np.random.default_rng(0)
    shapes = {f"lin{i}.model.1.weight": (1, c, 1, 1) for i, c in enumerate(channels)}
    return {name: rng.uniform(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("variant", "last"), [("vgg19", "conv4_2"), ("vgg16", "conv5_3")])
def test_layers_are_those_of_torchvision(tmp_path, narrow, variant, last):
    state = vgg_state(variant, narrow)
    write_checkpoint(tmp_path / "vgg.pth", state)
    save_file(state, tmp_path / "vgg.safetensors")
    names = layer_names(variant)
    names = names[: names.index(last) + 1]
    for file in ("vgg.pth", "vgg.safetensors"):
        params = load_vgg(tmp_path / file, variant=variant)
        assert list(params) == names
        for name, number in zip(names, NUMBERS[variant], strict=False):
            theirs = state[f"features.{number}.weight"]
            np.testing.assert_array_equal(params[name]["kernel"], theirs.transpose(2, 3, 1, 0))
            np.testing.assert_array_equal(params[name]["bias"], state[f"features.{number}.bias"])


def test_features_have_the_sizes_of_their_blocks(tmp_path, narrow):
    params = load_vgg(write_checkpoint(tmp_path / "vgg.pth", vgg_state("vgg16", narrow)), variant="vgg16")
    features = jax.jit(lambda x: vgg_features(params, x, LPIPS_TAPS))(jnp.ones((37, 50, 3)))
    sizes = [(37, 50, 2), (18, 25, 3), (9, 12, 4), (4, 6, 5), (2, 3, 5)]
    assert [features[tap].shape for tap in LPIPS_TAPS] == sizes
    assert all((value >= 0).all() for value in features.values())


def test_layers_after_the_last_tap_are_not_needed():
    layer = {"kernel": jnp.zeros((3, 3, 3, 2)), "bias": jnp.ones(2)}
    params = {"conv1_1": layer, "conv1_2": {"kernel": jnp.zeros((3, 3, 99, 2)), "bias": jnp.ones(2)}}
    assert vgg_features(params, jnp.ones((4, 4, 3)), ("relu1_1",))["relu1_1"].shape == (4, 4, 2)
    with pytest.raises(ValueError, match=r"vgg: expected parameters up to relu3_3, got conv1_1, conv1_2"):
        vgg_features(params, jnp.ones((4, 4, 3)), ("relu1_1", "relu3_3"))


def test_a_convolution_by_hand():
    kernel = np.arange(27, dtype=np.float32).reshape(3, 3, 3, 1) / 27
    image = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    params = {"conv1_1": {"kernel": kernel, "bias": np.array([-0.5], np.float32)}}
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    expected = np.zeros((5, 4, 1))
    for y in range(5):
        for x in range(4):
            expected[y, x] = max((padded[y : y + 3, x : x + 3] * kernel[..., 0]).sum() - 0.5, 0)
    np.testing.assert_allclose(vgg_features(params, image, ("relu1_1",))["relu1_1"], expected, atol=1e-5)


def test_between_blocks_is_a_maximum():
    layers = {name: {"kernel": np.zeros((3, 3, c, 1), np.float32), "bias": np.zeros(1, np.float32)}
              for name, c in (("conv1_1", 3), ("conv1_2", 1), ("conv2_1", 1))}  # fmt: skip
    for layer in layers.values():
        layer["kernel"][1, 1, 0, 0] = 1.0  # passes its first channel on
    image = np.random.default_rng(0).uniform(size=(5, 6, 3)).astype(np.float32)
    expected = image[:4, :, 0].reshape(2, 2, 3, 2).max((1, 3))
    np.testing.assert_allclose(vgg_features(layers, image, ("relu2_1",))["relu2_1"][..., 0], expected, atol=1e-6)


def test_lpips_weights(tmp_path, narrow):
    vgg = write_checkpoint(tmp_path / "vgg16.pth", vgg_state("vgg16", narrow))
    state = lpips_state(narrow)
    for names in (state, {name.replace(".model.1", ""): tensor for name, tensor in state.items()}):
        weights = load_lpips(vgg, write_checkpoint(tmp_path / "lin.pth", names))
        assert list(weights["linear"]) == list(LPIPS_TAPS)
        for i, tap in enumerate(LPIPS_TAPS):
            np.testing.assert_array_equal(weights["linear"][tap], state[f"lin{i}.model.1.weight"].reshape(-1))


def test_wrong_files_are_named(tmp_path, narrow):
    good = vgg_state("vgg19", narrow)

    def refused(state, message, variant="vgg19"):
        path = write_checkpoint(tmp_path / "vgg.pth", state)
        with pytest.raises(ValueError, match=message):
            load_vgg(path, variant=variant)

    refused(vgg_state("vgg16", narrow), r"expected vgg19 with a tensor features.16.weight, got features.0.weight")
    refused(good, r"expected vgg16 with a tensor features.17.weight", "vgg16")
    refused({**good, "features.1.running_mean": good["features.0.bias"]}, "without batch normalisation")
    refused(
        {**good, "features.5.weight": good["features.2.weight"]}, r"features.5.weight: expected shape \(3, 2, 3, 3\)"
    )
    refused({**good, "features.0.bias": np.full(2, np.nan, np.float32)}, "features.0.bias: expected finite numbers")
    with pytest.raises(ValueError, match="no such file"):
        load_vgg(tmp_path / "absent.pth")
    with pytest.raises(ValueError, match="no such file"):
        load_vgg(tmp_path / "absent.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_vgg(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="variant: expected one of vgg16, vgg19, got 'vgg11'"):
        load_vgg(tmp_path / "vgg.pth", variant="vgg11")


def test_wrong_lpips_files_are_named(tmp_path, narrow):
    vgg = write_checkpoint(tmp_path / "vgg16.pth", vgg_state("vgg16", narrow))
    state = lpips_state(narrow)
    with pytest.raises(ValueError, match=r"expected LPIPS for VGG with a tensor lin0.model.1.weight"):
        load_lpips(vgg, vgg)
    negative = {**state, "lin2.model.1.weight": -state["lin2.model.1.weight"]}
    with pytest.raises(ValueError, match=r"lin2.model.1.weight: expected weights >= 0"):
        load_lpips(vgg, write_checkpoint(tmp_path / "lin.pth", negative))


def test_real_sizes():
    assert CHANNELS == (64, 128, 256, 512, 512)
    assert [vgg_file._feature_numbers(variant) for variant in ("vgg16", "vgg19")] == [
        dict(zip(layer_names(variant), NUMBERS[variant], strict=True)) for variant in ("vgg16", "vgg19")
    ]
