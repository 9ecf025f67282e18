"""Reads the weights of the perceptual loss and of LPIPS from files that the user names.

Both are trained on ImageNet by others and do not come with this package: torchvision's ``vgg19-dcbb9e9d.pth`` and
``vgg16-397923af.pth`` (BSD-3-Clause), and the ``vgg.pth`` of LPIPS 0.1 (BSD-2-Clause).
"""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from modisp_jax.nets.vgg import BLOCKS, CHANNELS, layer_names
from modisp_jax.torch_file import read_state_dict, to_float32

LAST_LAYER = {"vgg19": "conv4_2", "vgg16": "conv5_3"}
"""Up to where the perceptual loss and LPIPS look."""

WITHOUT_VGG = "no VGG-19 weights named: the perceptual term is left out"
WITHOUT_LPIPS = "no VGG-16 and LPIPS weights named: LPIPS is left out"


def load_vgg(path, *, variant="vgg19"):
    """Loads the convolutions of a torchvision VGG checkpoint.

    Args:
      path: a ``.pth`` state dict or a ``.safetensors`` with ``features.N.weight`` [out, in, 3, 3] and
        ``features.N.bias`` [out]. Read without PyTorch, and without running anything that it contains.
      variant: ``"vgg19"``, up to conv4_2 for :func:`modisp_jax.losses.perceptual`, or ``"vgg16"``, up to conv5_3.

    Returns:
      The parameters of :func:`modisp_jax.nets.vgg.vgg_features`; later layers of the file are not kept.

    Raises:
      ValueError: no such file, no checkpoint, or one of another network; says which tensor was expected.
    """
    if variant not in BLOCKS:
        raise ValueError(f"variant: expected one of {', '.join(BLOCKS)}, got {variant!r}")
    state = _read(path)
    if any("running_mean" in name for name in state):
        raise ValueError(f"{path}: expected {variant} without batch normalisation, got one with it")
    params, channels = {}, 3
    for name, index in _feature_numbers(variant).items():
        features = CHANNELS[int(name[4]) - 1]
        kernel = _tensor(path, state, f"features.{index}.weight", (features, channels, 3, 3), variant)
        bias = _tensor(path, state, f"features.{index}.bias", (features,), variant)
        params[name] = {"kernel": jnp.asarray(kernel.transpose(2, 3, 1, 0)), "bias": jnp.asarray(bias)}
        channels = features
        if name == LAST_LAYER[variant]:
            return params
    raise AssertionError(variant)


def load_lpips(vgg, linear):
    """Loads the weights of :func:`modisp_jax.metrics.lpips`.

    Args:
      vgg: torchvision's VGG-16, see :func:`load_vgg`.
      linear: the linear layers of LPIPS for VGG: ``lin0`` ... ``lin4``, weights [1, C, 1, 1], not negative.

    Returns:
      ``{"vgg": ..., "linear": {"relu1_2": [64], ..., "relu5_3": [512]}}``.

    Raises:
      ValueError: see :func:`load_vgg`.
    """
    params = load_vgg(vgg, variant="vgg16")
    state = _read(linear)
    found = {}
    for name in state:
        match = re.fullmatch(r"(?:.*\.)?lin(\d)\.(?:.*\.)?weight", name)
        if match:
            found[int(match[1])] = name
    weights = {}
    for block, count in enumerate(BLOCKS["vgg16"]):
        name = found.get(block, f"lin{block}.model.1.weight")
        tensor = _tensor(linear, state, name, (1, CHANNELS[block], 1, 1), "LPIPS for VGG").reshape(-1)
        if (tensor < 0).any():
            raise ValueError(f"{linear}: {name}: expected weights >= 0, got {tensor.min():.3g}")
        weights[f"relu{block + 1}_{count}"] = jnp.asarray(tensor)
    return {"vgg": params, "linear": weights}


def _feature_numbers(variant):
    """Number of each convolution in torchvision's sequence, where ReLUs and pools count too."""
    numbers, index = {}, 0
    for name in layer_names(variant):
        if name.endswith("_1") and index:
            index += 1  # the pool between two blocks
        numbers[name] = index
        index += 2  # the convolution and its ReLU
    return numbers


def _read(path):
    """The tensors of a ``.safetensors`` or PyTorch file by name."""
    path = Path(path)
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return read_state_dict(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from None


def _tensor(path, state, name, shape, network):
    """A tensor as float32; raises unless it is there, of that shape, and finite."""
    if name not in state:
        raise ValueError(f"{path}: expected {network} with a tensor {name}, got {', '.join(list(state)[:3])}, ...")
    tensor = state[name]
    if tensor.shape != shape:
        raise ValueError(f"{path}: {name}: expected shape {shape} as in {network}, got {tensor.shape}")
    tensor = np.asarray(to_float32(tensor), np.float32)
    if not np.isfinite(tensor).all():
        raise ValueError(f"{path}: {name}: expected finite numbers, got NaN or infinity")
    return tensor
