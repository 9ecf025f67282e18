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
from modisp_jax.torch_tables import AWB_TABLES, IO_TABLES, nafnet_table, photofinish_table
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

IO_SIGNS = {"raw_adapter": "_decoder._lut_head.1.weight", "cie_xyz": "srgb2xyz_local_net.net.conv0.weight"}
"""Tensors by which the networks of files are known."""

IO_WORDS = {"raw_adapter": "raw-in-JPEG adapter", "cie_xyz": "CIE XYZ net"}

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
    raw_adapter=None,
    cie_xyz=None,
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
      raw_adapter: path of a raw-in-JPEG adapter, of either quality, or None.
      cie_xyz: path of a CIE XYZ net, the linearisation of finished photos, or None.

    Returns:
      Nested dict with the keys ``denoise``, ``photofinish``, ``enhance`` for the paths given, ``awb`` with
      ``cross_camera``, ``camera_specific``, ``preference``, and ``io`` with ``raw_adapter``, ``cie_xyz``. ``render``
      needs at least ``photofinish``.

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
    paths = {"raw_adapter": raw_adapter, "cie_xyz": cie_xyz}
    networks = {name: import_io(name, path) for name, path in paths.items() if path is not None}
    if networks:
        params["io"] = networks
    if not params:
        raise ValueError(
            "expected at least one checkpoint: denoiser, photofinishing, enhancement, cross_camera, camera_specific, "
            "preference, raw_adapter or cie_xyz"
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
    for name, sign in IO_SIGNS.items():
        if sign in state:
            return IO_WORDS[name]
    return "a network that this package does not import"


def import_nafnet(path):
    """Imports one NAFNet, a denoiser or an enhancement, of any width and depth."""
    state = read_state_dict(path)
    if "in_layer.weight" not in state:
        raise ValueError(f"{path}: expected a NAFNet (in_layer.weight, ...), got {next(iter(state))}, ...")
    params = _convert(path, state, nafnet_table(_published_nafnet_config(path, state)))
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
    params = _convert(path, state, photofinish_table(config))
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


def import_io(name, path):
    """Imports one of the networks of files: the raw-in-JPEG adapter or the CIE XYZ net."""
    state = read_state_dict(path)
    sign = IO_SIGNS[name]
    if sign not in state:
        raise ValueError(
            f"{path}: expected a checkpoint of {IO_WORDS[name]} ({sign}, ...), got one of {recognise(state)} "
            f"({next(iter(state))}, ...)"
        )
    state = {key: tensor for key, tensor in state.items() if not key.endswith(BATCHES)}
    params = _convert(path, state, IO_TABLES[name]())
    return _checked(path, {"io": {name: params}})["io"][name]


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
