"""A modular neural image signal processor in JAX: raw photo in, finished picture out, every stage in reach.

The public names below are imported on first use, so that ``import modisp_jax`` and ``modisp --help`` are instant.
"""

import importlib

from modisp_jax._version import __version__ as __version__

_EXPORTS = {
    "types": ("Edits", "FinishedStages", "Look", "Raw", "Stages"),
    "config": (
        "FunctionISPConfig",
        "HaloFixConfig",
        "NAFNetConfig",
        "ParamISPConfig",
        "PhotofinishConfig",
        "PipelineConfig",
        "RenderConfig",
    ),
    "params": ("config_of", "count_params", "init_params"),
    "mix": ("mix_looks", "mix_styles"),
    "look": ("apply_look", "predict_look"),
    "cube": ("global_lut",),
    "video": ("smooth_looks",),
    "pipeline": ("render", "render_stages"),
    "raw": ("read_raw",),
    "io.photos": ("Photo", "read_photo"),
    "linearization": ("LinearizeConfig", "linearize", "read_photo_as_raw"),
    "white_balance": ("auto_white_balance", "set_white_balance", "white_balance_of"),
    "halo": ("halo_strength",),
    "fit": ("fit_look", "fit_style"),
    "checkpoints": ("list_styles", "load_params", "read_card", "save_params"),
    "paramisp": ("Capture", "forward_isp", "inverse_isp", "photo_to_raw", "raw_to_photo"),
    "paramisp_file": ("load_paramisp",),
    "dynamicisp": ("apply_functions", "invert_functions", "predict_functions", "render_functions"),
    "torch_import": ("import_torch",),
    "raw_jpeg": ("JpegWithRaw", "read_jpeg_with_raw", "save_jpeg_with_raw", "save_published_jpeg"),
    "raw_adapter": ("RawAdaptation", "choose_raw_adaptation", "process_raw", "restore_raw"),
    "learned_awb": (
        "camera_specific_histogram",
        "camera_specific_illuminant",
        "cross_camera_histogram",
        "cross_camera_illuminant",
        "noise_statistics",
        "preferred_neutral",
    ),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'modisp_jax' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"modisp_jax.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
