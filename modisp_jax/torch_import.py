"""Imports the published PyTorch checkpoints, by an explicit table of names with shape checks.

A row of a table is ``(published name, our path, layout)``. Every tensor of a file must have a row and every row
a tensor, so a checkpoint of another model cannot slip in.
"""

import jax.numpy as jnp
import numpy as np

from modisp_jax.config import DENOISERS, ENHANCEMENT, NAFNetConfig, PhotofinishConfig
from modisp_jax.io.json_text import read_json
from modisp_jax.nets.white_balance import CAPTURE
from modisp_jax.ops.lut import identity_chroma_lut
from modisp_jax.params import check_params, nafnet_config
from modisp_jax.torch_file import read_state_dict, to_float32
from modisp_jax.tree import unflatten

LAYOUTS = {
    "conv": lambda x: x.transpose(2, 3, 1, 0),  # [out, in, h, w] -> [h, w, in, out]
    "depthwise": lambda x: x[:, 0].transpose(1, 2, 0),  # [c, 1, h, w] -> [h, w, c]
    "linear": lambda x: x.transpose(1, 0),  # [out, in] -> [in, out]
    "vector": lambda x: x.reshape(-1),  # [c] or [1, c, 1, 1] -> [c]
    "chroma_lut": lambda x: x[0].transpose(1, 2, 0),  # [1, 2, h, w] -> [h, w, 2]
    "rgb_lut": lambda x: x[0].transpose(3, 2, 1, 0),  # [1, rgb, b, g, r] as looked up -> [r, g, b, rgb]
}
SHAPES = {  # of the published tensor, None for any size
    "conv": (None, None, None, None),
    "depthwise": (None, 1, None, None),
    "linear": (None, None),
    "chroma_lut": (1, 2, None, None),
    "rgb_lut": (1, 3, None, None, None),
}

MESH = "_lut_net.identity_grid"  # a constant that the published module stores as a buffer


AWB_SIGNS = {
    "cross_camera": "_encoder._blocks.0._conv1._conv.weight",
    "camera_specific": "_feature_to_latent.weight",
    "preference": "_fc1.weight",
}
"""Tensors by which a white-balance network is known; the camera-specific one has that of the preference as well."""

BATCHES = ".num_batches_tracked"  # a counter that the published batch norms store as a buffer


def import_torch(
    *,
    denoiser=None,
    photofinishing=None,
    enhancement=None,
    cross_camera=None,
    camera_specific=None,
    camera_specific_config=None,
    preference=None,
):
    """Builds a parameter set from published ``.pth`` and ``.pt`` files.

    The published lookup of the chroma LUT takes Cr along the first axis although the LUT is built with Cb there;
    the imported parameters keep that by their name ``base_lut_crcb``. The colour LUT is turned to R, G, B order.

    Args:
      denoiser: path of a denoiser (lite, base or large), or None.
      photofinishing: path of a photofinishing style, with or without colour LUT.
      enhancement: path of a detail enhancement, or None.
      cross_camera: path of a cross-camera white balance (C5 with one encoder), or None.
      camera_specific: path of a camera-specific white balance, or None.
      camera_specific_config: path of its JSON, which has its histogram's boundaries and its inputs' ranges.
      preference: path of a white-balance preference, or None.

    Returns:
      Nested dict with the keys ``denoise``, ``photofinish``, ``enhance`` for the paths given, and ``awb`` with
      ``cross_camera``, ``camera_specific``, ``preference``. ``render`` needs at least ``photofinish``.

    Raises:
      ValueError: a file is no checkpoint, or is one of another network; the message names the first difference.
    """
    params = {}
    if denoiser is not None:
        params["denoise"] = _import_role("denoiser", denoiser, not_one_of=[ENHANCEMENT])
    if photofinishing is not None:
        params["photofinish"] = import_photofinish(photofinishing)
    if enhancement is not None:
        params["enhance"] = _import_role("enhancement", enhancement, not_one_of=DENOISERS.values())
    if (camera_specific is None) != (camera_specific_config is None):
        missing = "camera_specific" if camera_specific is None else "camera_specific_config, the network's JSON"
        raise ValueError(f"expected a camera-specific white balance and its JSON together, got no {missing}")
    paths = {"cross_camera": cross_camera, "camera_specific": camera_specific, "preference": preference}
    networks = {name: import_awb(name, path) for name, path in paths.items() if path is not None}
    if camera_specific is not None:
        networks["camera_specific"]["ranges"] = _read_ranges(camera_specific_config)
        _checked(camera_specific, {"awb": {"camera_specific": networks["camera_specific"]}})
    if networks:
        params["awb"] = networks
    if not params:
        raise ValueError(
            "expected at least one checkpoint: denoiser, photofinishing, enhancement, cross_camera, camera_specific or "
            "preference"
        )
    return params


def _import_role(role, path, not_one_of):
    """Denoiser and enhancement are both NAFNets: only the published sizes tell one given for the other."""
    params = import_nafnet(path)
    config = nafnet_config(params)
    if config in not_one_of:
        other = "a detail enhancement" if config == ENHANCEMENT else "a denoiser"
        raise ValueError(f"{path}: expected a checkpoint for {role}, got {other} (a NAFNet of width {config.width})")
    return params


def recognise(state):
    """Says in a few words which published network a state dict holds."""
    if "in_layer.weight" in state:
        return "NAFNet (denoiser or enhancement)"
    if MESH in state:
        return "photofinishing" + (" with colour LUT" if "_3d_lut._lut" in state else "")
    for name, sign in AWB_SIGNS.items():
        if sign in state:
            return f"white balance, {name.replace('_', ' ')}"
    return "a network that this package does not import"


def import_nafnet(path):
    """Imports one NAFNet, a denoiser or an enhancement, of any width and depth."""
    state = read_state_dict(path)
    if "in_layer.weight" not in state:
        raise ValueError(f"{path}: expected a NAFNet (in_layer.weight, ...), got {next(iter(state))}, ...")
    params = _convert(path, state, _nafnet_table(_published_nafnet_config(path, state)))
    return _checked(path, {"denoise": params})["denoise"]


def import_photofinish(path):
    """Imports one photofinishing style."""
    state = read_state_dict(path)
    if MESH not in state:
        raise ValueError(f"{path}: expected a photofinishing checkpoint ({MESH}, ...), got {next(iter(state))}, ...")
    config = PhotofinishConfig(rgb_lut="_3d_lut._lut" in state, chroma_lut_axes="crcb")
    mesh = _laid_out(path, MESH, state.pop(MESH), "chroma_lut")
    if mesh.shape != (24, 24, 2) or not np.allclose(mesh, identity_chroma_lut(), atol=1e-6):
        raise ValueError(f"{path}: {MESH}: expected the mesh of 24 x 24 chroma centres")
    params = _convert(path, state, _photofinish_table(config))
    return _checked(path, {"photofinish": params})["photofinish"]


def import_awb(name, path):
    """Imports one network of automatic white balance; of the camera-specific one, all but the ranges of its inputs."""
    state = read_state_dict(path)
    sign = AWB_SIGNS[name]
    if sign not in state or (name == "preference" and AWB_SIGNS["camera_specific"] in state):
        raise ValueError(
            f"{path}: expected a checkpoint of white balance, {name.replace('_', ' ')} ({sign}, ...), got one of "
            f"{recognise(state)} ({next(iter(state))}, ...)"
        )
    state = {key: tensor for key, tensor in state.items() if not key.endswith(BATCHES)}
    params = _convert(path, state, AWB_TABLES[name]())
    return params if name == "camera_specific" else _checked(path, {"awb": {name: params}})["awb"][name]


def _read_ranges(path):
    """Reads the ranges of the camera-specific network's inputs off its published JSON."""
    try:
        facts = read_json(path)
        bounds, capture = facts["hist_boundaries"], facts["norm_values"]
        lists = {
            "histogram_min": bounds[:2],
            "histogram_max": bounds[2:],
            "capture_min": capture["capture-data-min"],
            "capture_max": capture["capture-data-max"],
        }
        ranges = {name: jnp.asarray(to_float32(np.array(numbers, float))) for name, numbers in lists.items()}
    except OSError as error:
        raise ValueError(f"{path}: expected a readable JSON file, got: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: expected JSON with hist_boundaries and norm_values ({reason})") from None
    for name, size in (("histogram", 2), ("capture", len(CAPTURE))):
        low, high = ranges[f"{name}_min"], ranges[f"{name}_max"]
        if not (low.shape == high.shape == (size,) and (low < high).all() and jnp.isfinite(high - low).all()):
            raise ValueError(f"{path}: expected {size} ranges of the {name}, each from less to more")
    return ranges


def _convert(path, state, table):
    """Moves every tensor to its place; complains about tensors without a row and rows without a tensor."""
    flat = {}
    rows = {name: (place, layout) for name, place, layout in table}
    for name in rows:
        if name not in state:
            raise ValueError(f"{path}: the tensor {name} is missing: not a checkpoint of this network")
    for name, tensor in state.items():
        if name not in rows:
            raise ValueError(f"{path}: unexpected tensor {name}: not a checkpoint of this network")
        place, layout = rows[name]
        flat[place] = jnp.asarray(to_float32(_laid_out(path, name, tensor, layout)))
    return unflatten(flat)


def _laid_out(path, name, tensor, layout):
    """A published tensor in our order of axes; complains where it does not have the axes of that layout."""
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise ValueError(f"{path}: {name}: expected floating-point numbers, got {tensor.dtype}")
    if layout == "vector":
        fits, expected = tensor.size == max(tensor.shape, default=1), "one axis, or all but one of size 1"
    else:
        expected = SHAPES[layout]
        fits = tensor.ndim == len(expected) and all(n in (None, m) for n, m in zip(expected, tensor.shape, strict=True))
        expected = f"shape [{', '.join('*' if n is None else str(n) for n in expected)}]"
    if not fits:
        raise ValueError(f"{path}: {name}: expected {expected}, got shape {tensor.shape}")
    return LAYOUTS[layout](tensor)


def _checked(path, params):
    """Compares each shape with what the network wants, and refuses numbers that are not finite."""
    try:
        check_params(params)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return params


def _affine(name, place, layout):
    """Rows of a layer with weight and bias."""
    return [(f"{name}.weight", f"{place}/kernel", layout), (f"{name}.bias", f"{place}/bias", "vector")]


def _norm(name, place):
    return [(f"{name}.weight", f"{place}/scale", "vector"), (f"{name}.bias", f"{place}/bias", "vector")]


def _batch_norm(name, place):
    measured = {"running_mean": "mean", "running_var": "variance"}
    return _norm(name, place) + [(f"{name}.{theirs}", f"{place}/{ours}", "vector") for theirs, ours in measured.items()]


def _published_nafnet_config(path, state):
    """Reads width and block counts off the published names."""

    def count(prefix):
        found = {name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)}
        return len(found)

    levels = count("down_layers.")
    try:
        return NAFNetConfig(
            width=state["in_layer.weight"].shape[0],
            encoder_blocks=tuple(count(f"encoder_blocks.{level}.") for level in range(levels)),
            middle_blocks=count("middle_blocks."),
            decoder_blocks=tuple(count(f"decoder_blocks.{level}.") for level in range(levels)),
        )
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: no NAFNet of a known shape ({error})") from None


def _nafnet_table(config):
    table = _affine("in_layer", "in_conv", "conv") + _affine("out_layer", "out_conv", "conv")
    for level in range(config.levels):
        table += _affine(f"down_layers.{level}", f"down{level}", "conv")
        table += [(f"up_layers.{level}.0.weight", f"up{level}/expand/kernel", "conv")]
        for block in range(config.encoder_blocks[level]):
            table += _nafnet_block(f"encoder_blocks.{level}.{block}", f"encoder{level}_block{block}")
        for block in range(config.decoder_blocks[level]):
            table += _nafnet_block(f"decoder_blocks.{level}.{block}", f"decoder{level}_block{block}")
    for block in range(config.middle_blocks):
        table += _nafnet_block(f"middle_blocks.{block}", f"middle_block{block}")
    return table


def _nafnet_block(name, place):
    layers = {"conv1": "expand1", "sca.1": "attention", "conv3": "project1", "conv4": "expand2", "conv5": "project2"}
    table = [row for theirs, ours in layers.items() for row in _affine(f"{name}.{theirs}", f"{place}/{ours}", "conv")]
    table += _affine(f"{name}.conv2", f"{place}/depthwise", "depthwise")
    table += _norm(f"{name}.norm1", f"{place}/norm1") + _norm(f"{name}.norm2", f"{place}/norm2")
    return table + [(f"{name}.{scale}", f"{place}/{scale}", "vector") for scale in ("beta", "gamma")]


def _convs(name, place, layers):
    """Rows of the numbered convolutions of a sequence: ``layers`` from number to our name."""
    return [row for i, ours in layers.items() for row in _affine(f"{name}.{i}", f"{place}/{ours}", "conv")]


def _mbconv(name, place):
    branches = {"_branch1.1": "near", "_branch2.1": "dilated", "_branch3.1": "wide"}
    table = [row for b, ours in branches.items() for row in _affine(f"{name}.{b}", f"{place}/{ours}", "depthwise")]
    return table + _affine(f"{name}._fuse", f"{place}/mix", "conv")


def _attention(name, place):
    convs = {"_conv1": "reduce", "_conv_h": "rows", "_conv_w": "columns"}
    table = [(f"{name}.{theirs}.weight", f"{place}/{ours}/kernel", "conv") for theirs, ours in convs.items()]
    return table + _norm(f"{name}._n1", f"{place}/norm")


def _stem(name, place):
    table = _affine(f"{name}.0", f"{place}/stem/conv", "conv") + _norm(f"{name}.1", f"{place}/stem/norm")
    table += _mbconv(f"{name}.3", f"{place}/stem/mbconv")
    return table + _attention(f"{name}.4", f"{place}/stem/attention")


def _photofinish_table(config):
    table = []
    for stage in ("gain", "gamma"):
        name = f"_{stage}_net._{stage}_net._net"
        table += _stem(name, stage) + _convs(name, stage, {5: "conv1", 8: "conv2"})
        table += _affine(f"{name}.12", f"{stage}/head", "linear")

    name = "_gtm_net._gtm_net"
    table += _stem(name, "gtm") + _convs(name, "gtm", {5: "conv1", 7: "conv2", 10: "conv3", 13: "conv4"})
    table += _affine(f"{name}.17", "gtm/head", "linear")

    for scale in ("low", "mid", "high"):
        name, place = f"_ltm_net._guide_conv._guide_conv_{scale}", f"ltm/guide/{scale}"
        table += _stem(name, place) + _convs(name, place, {5: "conv1", 7: "conv2", 9: "conv3", 11: "mix"})
    table += _convs("_ltm_net._guide_conv._fusion", "ltm/guide", {0: "fuse", 2: "head"})

    name, place = "_ltm_net._grid_net", "ltm/grid"
    table += _stem(name, place) + _convs(name, place, {5: "conv1", 7: "conv2", 11: "conv3", 14: "head"})
    table += _norm(f"{name}.8", f"{place}/norm2") + _norm(f"{name}.12", f"{place}/norm3")

    table += _chroma_table()
    if config.rgb_lut:
        table += [("_3d_lut._lut", "rgb_lut/table", "rgb_lut")]
    return table


def _chroma_table():
    table = [("_lut_net._base_lut", "chroma/base_lut_crcb", "chroma_lut")]
    table += _convs("_lut_net._hist_net", "chroma", {0: "hist_conv1", 3: "hist_conv2", 5: "hist_mix"})
    table += _norm("_lut_net._hist_net.1", "chroma/hist_norm")
    for half, place in (("enc", "chroma/encoder"), ("dec", "chroma/decoder")):
        name = f"_lut_net._{half}"
        table += _affine(f"{name}1.0", f"{place}/conv1", "conv") + _norm(f"{name}1.1", f"{place}/norm")
        table += _affine(f"{name}2.0", f"{place}/conv2", "conv") + _mbconv(f"{name}2.2", f"{place}/mbconv")
        table += _affine(f"{name}3.0", f"{place}/conv3", "conv")
    table += _attention("_lut_net._coord_attn", "chroma/attention")
    table += _convs("_lut_net._out", "chroma", {0: "head"})

    name, place = "_lut_net._y_net", "chroma/luminance"
    table += _convs(name, place, {0: "conv1", 6: "conv2"}) + _norm(f"{name}.1", f"{place}/norm")
    table += _attention(f"{name}.3", f"{place}/attention") + _mbconv(f"{name}.4", f"{place}/mbconv")
    return table + _affine(f"{name}.10", f"{place}/head", "linear")


def _cross_camera_table():
    table = _u_net_stage("_bottleneck", "bottleneck")
    for level in range(4):
        table += _u_net_stage(f"_encoder._blocks.{level}", f"encoder{level}")
        for decoder in ("bias", "filter"):
            table += _u_net_stage(f"_{decoder}_decoder._blocks.{level}", f"{decoder}/stage{level}")
    for level in (0, 2):
        table += _batch_norm(f"_encoder._blocks.{level}._conv2._norm_layer", f"encoder{level}/norm")
    for decoder in ("bias", "filter"):
        table += _affine(f"_{decoder}_decoder._final_conv._conv", f"{decoder}/head", "conv")
    return table


def _u_net_stage(name, place):
    return [row for conv in ("conv1", "conv2") for row in _affine(f"{name}._{conv}._conv", f"{place}/{conv}", "conv")]


def _camera_specific_table():
    table = [row for i in (1, 2, 3) for row in _affine(f"_hist_net._conv{i}", f"conv{i}", "conv")]
    layers = {"_hist_net._fc": "seen", "_feature_to_latent": "capture"}
    return table + _linears(layers | {"_fc1": "linear1", "_fc2": "linear2", "_fc3": "linear3", "_fc4": "head"})


def _preference_table():
    return _linears({"_fc1": "linear1", "_fc2": "linear2", "_fc3": "linear3", "_fc4": "head"})


def _linears(layers):
    """Rows of linear layers, theirs to ours, and of the one batch norm among them."""
    table = [row for theirs, ours in layers.items() for row in _affine(theirs, ours, "linear")]
    return table + _batch_norm("_bn1", "norm")


AWB_TABLES = {
    "cross_camera": _cross_camera_table,
    "camera_specific": _camera_specific_table,
    "preference": _preference_table,
}
