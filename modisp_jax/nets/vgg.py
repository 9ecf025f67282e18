"""VGG feature extractors for the perceptual loss and LPIPS (Simonyan and Zisserman 2014, configurations D and E).

Parameters are a plain dict ``{"conv1_1": {"kernel": [3, 3, in, out], "bias": [out]}, ...}``; the names say how many
layers each block has, so VGG-16, VGG-19 and cut-off ones need no configuration. No weights come with the package:
:mod:`modisp_jax.vgg_file` reads them from a file that the user names.
"""

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax.nets.layers import convolve

BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each block; a 2x2 maximum lies between blocks."""

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of each block."""

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of sRGB in [0, 1]: what torchvision's checkpoints were trained with."""


def layer_names(variant):
    """The convolutions of ``"vgg16"`` or ``"vgg19"`` in order: conv1_1, conv1_2, conv2_1, ..."""
    return [f"conv{b + 1}_{i + 1}" for b, count in enumerate(BLOCKS[variant]) for i in range(count)]


def normalize_imagenet(srgb):
    """``(x - mean) / std`` per channel, of sRGB [H, W, 3] in [0, 1]."""
    return (srgb - IMAGENET_MEAN) / IMAGENET_STD


def vgg_features(params, image, taps):
    """Activations of chosen layers.

    Args:
      params: dict of convolutions, see the module's head; layers after the last tap are not needed.
      image: [H, W, 3], normalised, at least 16 pixels a side for taps up to block 5.
      taps: static names such as ``("relu3_3", "relu4_2")``: the output of that convolution after its ReLU.

    Returns:
      A dict from tap to [h, w, C], h and w halved (floor) from block to block.

    Raises:
      ValueError: a tap's layer is not among the parameters.
    """
    missing = [tap for tap in taps if tap.replace("relu", "conv") not in params]
    if missing:
        raise ValueError(f"vgg: expected parameters up to {missing[0]}, got {', '.join(sorted(params))}")
    last = max(taps)
    features, block, x = {}, "1", image
    for name in sorted(params):  # conv1_1 < conv1_2 < conv2_1: no number has two digits
        tap = name.replace("conv", "relu")
        if tap > last:
            break
        if name[4] != block:
            block, x = name[4], _max_pool(x)
        x = jnp.maximum(convolve(x, params[name]["kernel"]) + params[name]["bias"], 0.0)
        if tap in taps:
            features[tap] = x
    return features


def _max_pool(x):
    """Maximum over 2x2 windows; a row or column left over is dropped."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2, 1), (2, 2, 1), "valid")
