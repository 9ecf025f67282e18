"""Parameter sets: how to make one, and what a given one holds.

A parameter set is a plain nested dict of arrays: ``{"denoise": ..., "photofinish": {"gain", "gtm", "ltm",
"chroma", "gamma"[, "rgb_lut"]}, "enhance": ..., "awb": {"cross_camera", "camera_specific", "preference"}, "io":
{"raw_adapter", "cie_xyz"}, "inverse_isp": ..., "forward_isp": ..., "function_isp": ..., "lut3d": ...}``. Any of them
may be missing, and of ``awb`` and ``io`` any network; rendering needs ``photofinish`` and leaves the others out. Its
configuration is read off its keys and shapes, so a parameter set needs no companion; what does not show there of
ParamISP's and the function ISP's is in its file's card.
"""

import collections
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax import shipped
from modisp_jax.config import (
    AWB_NETWORKS,
    CHROMA_LUT_AXES,
    GRID_INPUTS,
    IO_NETWORKS,
    NAFNetConfig,
    PhotofinishConfig,
    PipelineConfig,
)
from modisp_jax.nets import function_isp, linearize, lut3d, paramisp, raw_adapter, white_balance
from modisp_jax.stages import FINISH_STAGES, restore
from modisp_jax.stages.ltm import grid_name
from modisp_jax.tree import flatten, unflatten

IO_MODULES = {"raw_adapter": raw_adapter, "cie_xyz": linearize}

SAMPLE = np.zeros((16, 16, 3), np.float32)
"""Parameters do not depend on the image's size."""

STARTS_AT_ZERO = (
    "denoise/out_conv",
    "photofinish/gain/head",
    "photofinish/gtm/head",
    *(f"photofinish/ltm/{grid_name(size)}/head" for size in GRID_INPUTS),
    "photofinish/chroma/head",
    "photofinish/gamma/head",
    "enhance/out_conv",
    *(f"lut3d/{name}" for name in lut3d.STARTS_AT_ZERO),
    *(f"awb/{name}" for name in white_balance.STARTS_AT_ZERO),
    *(f"io/{net}/{name}" for net, module in IO_MODULES.items() for name in module.STARTS_AT_ZERO),
)
"""Last layers, whose kernels start at zero so that a stage starts neutral. Not the guide's: all pixels would read the
grid at one depth, between two nodes that then learn alike, and no gradient would ever reach the guide."""


def init_params(key, config=None):
    """Makes untrained parameters, which render plainly and correctly: every stage starts neutral.

    Args:
      key: a JAX random key.
      config: a :class:`modisp_jax.config.PipelineConfig`; by default lite denoiser and enhancement.

    Returns:
      The nested dict of arrays that ``render`` takes. Gain 1, tone curves, LUTs and restoration networks the
      identity, gamma 2.2. Kernels are normal with variance 1 / fan-in, those of the last layers zero. The
      cross-camera light is (1, 1, 1), the camera-specific one (.7, 1, .7), and the preference keeps lights as they are.
      The raw adapter changes nothing; the CIE XYZ net squares and converts; ParamISP's two render plainly, with gamma
      2.2, and take plain renderings back; the function ISP and the look-up table render plainly.
    """
    config = PipelineConfig() if config is None else config
    shapes = param_shapes(config)
    neutral = {
        f"photofinish/{stage.name}/{name}": value
        for stage in FINISH_STAGES
        for name, value in stage.module.NEUTRAL.items()
    } | {f"awb/{name}": value for name, value in white_balance.NEUTRAL.items()}
    neutral |= {f"lut3d/{name}": value for name, value in lut3d.NEUTRAL.items()}
    for name, network in IO_MODULES.items():
        neutral |= {f"io/{name}/{place}": value for place, value in network.NEUTRAL.items()}
    at_zero = set(STARTS_AT_ZERO)
    for name, exponent in paramisp.EXPONENTS.items():
        if (isp := getattr(config, name)) is not None:
            neutral |= {f"{name}/{place}": value for place, value in paramisp.neutral(isp, exponent).items()}
            at_zero |= {f"{name}/{layer}" for layer in paramisp.starts_at_zero(isp)}
    if config.function_isp is not None:
        neutral |= {
            f"function_isp/{place}": value for place, value in function_isp.neutral(config.function_isp).items()
        }
        at_zero |= {f"function_isp/{layer}" for layer in function_isp.starts_at_zero(config.function_isp)}
    # One draw on the device, cut on the host: a generator for each layer would take a minute to compile.
    random = [name for name in shapes if name.endswith("/kernel") and name.removesuffix("/kernel") not in at_zero]
    sizes = [int(np.prod(shapes[name])) for name in random]
    draws = np.split(np.asarray(jax.random.normal(key, (sum(sizes),))), np.cumsum(sizes)[:-1])
    draws = dict(zip(random, draws, strict=True))

    def start(name, shape):
        if name in draws:
            # [h, w, in, out], depthwise [h, w, c], linear [in, out]: all but the last axis are summed over.
            return draws[name].reshape(shape) / np.sqrt(np.prod(shape[:-1]))
        return np.broadcast_to(neutral.get(name, 1.0 if name.endswith("/scale") else 0.0), shape)

    # NumPy rounds them and all are put on the device at once: for ``jnp.asarray``, too, a program is compiled a shape.
    params = jax.device_put(unflatten({name: np.float32(start(name, shape)) for name, shape in shapes.items()}))
    if "preference" in config.awb:
        params["awb"]["preference"] = white_balance.start_preference(params["awb"]["preference"])
    return params


def param_shapes(config):
    """Shape of every parameter by its path, from an abstract run of the networks."""
    parts = {name: getattr(config, name) for name in sorted(INIT) if getattr(config, name)}
    return {f"{name}/{path}": shape for name, part in parts.items() for path, shape in _shapes_of(name, part).items()}


@functools.lru_cache(maxsize=64)
def _shapes_of(name, config):
    """The same of one entry of a parameter set: what sets have in common is run through once."""
    specs = flatten(jax.eval_shape(lambda: INIT[name](config)))
    return {path: spec.shape for path, spec in specs.items()}


def _abstract_restoration(config):
    return restore.init(SAMPLE, config)


def _abstract_photofinish(config):
    stages = [stage for stage in FINISH_STAGES if stage.name != "rgb_lut" or config.rgb_lut]
    return {stage.name: stage.module.init(SAMPLE, config) for stage in stages}


INIT = {
    "denoise": _abstract_restoration,
    "photofinish": _abstract_photofinish,
    "enhance": _abstract_restoration,
    "awb": lambda names: {name: white_balance.INIT[name]() for name in names},
    "io": lambda names: {name: IO_MODULES[name].init() for name in names},
    **dict.fromkeys(paramisp.EXPONENTS, paramisp.init),
    "function_isp": function_isp.init,
    "lut3d": lambda is_wanted: lut3d.init(),
}
"""Functions from what a configuration says of an entry of a parameter set to its parameters, for their shapes."""


def config_of(params):
    """Reads the configuration off a parameter set; raises ``ValueError`` where it is none."""
    networks = {
        "denoise": nafnet_config,
        "photofinish": photofinish_config,
        "enhance": nafnet_config,
        "awb": functools.partial(_networks_of, "awb", AWB_NETWORKS),
        "io": functools.partial(_networks_of, "io", IO_NETWORKS),
        **dict.fromkeys(paramisp.EXPONENTS, paramisp.config_of),
        "function_isp": function_isp.config_of,
        "lut3d": lambda params: True,
    }
    if not isinstance(params, dict) or not params or not set(params) <= set(networks):
        raise ValueError(f"params: expected a dict with keys of {sorted(networks)}, got {_names(params)}")
    try:
        nothing = {"denoise": None, "photofinish": None, "enhance": None}
        return PipelineConfig(**nothing | {name: networks[name](params[name]) for name in params})
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # a tensor where a layer should be, or none
        raise ValueError(f"params: not a complete parameter set ({type(error).__name__}: {error})") from None


def nafnet_config(params):
    """Reads the shape of a NAFNet off its parameters."""
    if not isinstance(params, dict) or "in_conv" not in params:
        raise ValueError(f"expected the parameters of a NAFNet (in_conv, ...), got {_names(params)}")

    # Counted in one pass: a file may have thousands of names.
    blocks = collections.Counter(match[1] for name in params if (match := re.fullmatch(r"(.+)_block\d+", name)))
    levels = sum(1 for name in params if re.fullmatch(r"down\d+", name))
    return NAFNetConfig(
        width=params["in_conv"]["kernel"].shape[-1],
        encoder_blocks=tuple(blocks[f"encoder{level}"] for level in range(levels)),
        middle_blocks=blocks["middle"],
        decoder_blocks=tuple(blocks[f"decoder{level}"] for level in range(levels)),
    )


def photofinish_config(params):
    """Reads the variant of photofinishing off its parameters; of a mix of styles, the first one's."""
    if isinstance(params, dict) and "styles" in params:
        params = params["styles"][0]
    required = {stage.name for stage in FINISH_STAGES} - {"rgb_lut"}
    if not isinstance(params, dict) or not required <= set(params) <= required | {"rgb_lut"}:
        raise ValueError(f"photofinish: expected {sorted(required)} and perhaps rgb_lut, got {_names(params)}")
    axes = [axes for axes in CHROMA_LUT_AXES if f"base_lut_{axes}" in params["chroma"]]
    if len(axes) != 1:
        raise ValueError(f"photofinish/chroma: expected one base_lut_{{cbcr,crcb}}, got {_names(params['chroma'])}")
    grids = [size for size in GRID_INPUTS if grid_name(size) in params["ltm"]]
    if len(grids) != 1:
        names = [grid_name(size) for size in GRID_INPUTS]
        raise ValueError(f"photofinish/ltm: expected one of {names}, got {_names(params['ltm'])}")
    return PhotofinishConfig(rgb_lut="rgb_lut" in params, chroma_lut_axes=axes[0], grid_input=grids[0])


def _networks_of(group, known, params):
    """Reads off its parameters which networks of a group there are."""
    if not isinstance(params, dict) or not params or not set(params) <= set(known):
        raise ValueError(f"{group}: expected a dict with keys of {sorted(known)}, got {_names(params)}")
    return tuple(name for name in known if name in params)


def _names(params):
    return sorted(params) if isinstance(params, dict) else type(params).__name__


def check_params(params):
    """Raises ``ValueError``, naming the first difference, unless ``params`` is a complete, finite parameter set.

    Compares names, shapes and dtypes with those that its own configuration calls for.
    """
    config = config_of(params)
    if "styles" in params.get("photofinish", {}):
        raise ValueError("params: expected one style, got a mix of styles, which a style file (JSON) holds")
    expected = _expected(params, config)
    actual = flatten(params)
    for name, shape in expected.items():
        if name not in actual:
            raise ValueError(f"params: {name} is missing, expected shape {shape}")
        got = np.asarray(actual[name])
        if got.shape != shape:
            raise ValueError(f"params: {name}: expected shape {shape}, got {got.shape}")
        if not jnp.issubdtype(got.dtype, jnp.floating):
            raise ValueError(f"params: {name}: expected floating-point numbers, got {got.dtype}")
        if not np.isfinite(got).all():
            raise ValueError(f"params: {name}: expected finite numbers, got NaN or infinity")
    extra = sorted(set(actual) - set(expected))
    if extra:
        raise ValueError(f"params: {extra[0]} belongs to no network of this configuration")


def _expected(params, config):
    """:func:`param_shapes`; what has the shapes of weights that ship is spared the run, a second for each network."""
    expected = {}
    for name, entry in params.items():
        own = {path: np.shape(leaf) for path, leaf in flatten(entry).items()}
        whole = own if own in shipped.shapes().get(name, ()) else _shapes_of(name, getattr(config, name))
        expected |= {f"{name}/{path}": shape for path, shape in whole.items()}
    return expected


def check_network(params, group, config):
    """Raises ``ValueError`` unless ``params`` are those of the one network that ``config`` has in ``group``."""
    (name,) = getattr(config, group)
    expected = param_shapes(config)
    got = {f"{group}/{name}/{k}": jnp.shape(v) for k, v in flatten(params).items()} if isinstance(params, dict) else {}
    if got != expected:
        raise ValueError(f'params: expected those of one network, params["{group}"]["{name}"], got {_names(params)}')


def count_params(params):
    """The number of learned scalars in a parameter tree.

    What is measured on training data does not count: running statistics of batch norm, ranges of inputs.
    """
    measured = white_balance.MEASURED
    return sum(leaf.size for name, leaf in flatten(params).items() if name.split("/")[-1] not in measured)
