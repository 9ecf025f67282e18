"""What a rendering is made with: edits from options and style files, photos from folders, and the record of it all."""

import functools
import hashlib
import math
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modisp_jax import __version__
from modisp_jax.checkpoints import BUILT_IN, STYLES, load_params, style_mix
from modisp_jax.config import EDIT_RANGES
from modisp_jax.io.images import crop_as_stored, rotation_as_stored
from modisp_jax.learned_awb import cross_camera_illuminant, preferred_neutral
from modisp_jax.style_file import read_style_file
from modisp_jax.types import Edits
from modisp_jax.video import exponential_step, start_exponential, start_window, window_step
from modisp_jax.white_balance import (
    estimate_white_balance,
    guard_white_balance,
    profile_of,
    set_white_balance,
    white_balance_of,
)

# fmt: off
RAW_SUFFIXES = (
    ".3fr", ".ari", ".arw", ".bay", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25",
    ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf",
    ".srw", ".x3f",
)
# fmt: on
"""Names by which a folder's raw photos are known."""


LEARNED = ("cross-camera", "preferred")
"""White balance by networks, which a file brings."""

BY_NETWORKS = ("paramisp", "cie_xyz")
"""Ways from finished photos to raw ones by networks, which a file can bring."""


def photos_of(paths):
    """The photos that paths stand for: a folder for the raw files in it, in order of name."""
    photos = []
    for path in paths:
        if not path.is_dir():
            photos.append(path)
            continue
        photos += raw_files(path)
    return photos


def raw_files(folder, recursive=False):
    """The raw files in a folder, and with ``recursive`` in those below it, in order of path; raises if none.

    Hidden ones are left out: macOS leaves a ``._NAME`` beside each file on a disk of another system.
    """
    paths = folder.rglob("*") if recursive else folder.iterdir()
    found = sorted(
        path
        for path in paths
        if path.suffix.lower() in RAW_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise ValueError(f"{folder}: expected raw photos in this folder ({', '.join(RAW_SUFFIXES)}), found none")
    return found


def edits_of(style, given):
    """Edits by name: those of a style's file, where it is one, under those that were given."""
    edits = {}
    if style is not None and Path(style).suffix.lower() == ".json":
        edits = checked_edits(style, read_style_file(style).edits)
    return edits | given


def checked_edits(place, edits):
    """Edits by name that a file at ``place`` holds, as numbers; raises for names and values that cannot be."""
    if not isinstance(edits, dict):
        raise ValueError(f"{place}: edits: expected names and values, got {edits!r}")
    return {name: _checked(place, name, value) for name, value in edits.items()}


def _checked(style, name, value):
    if name == "crop":
        return _numbers(style, name, value, 4)
    if name not in EDIT_RANGES:
        raise ValueError(f"{style}: edits: expected names of {', '.join([*EDIT_RANGES, 'crop'])}; got {name!r}")
    low, high = EDIT_RANGES[name]
    if not low <= _numbers(style, name, [value], 1)[0] <= high:
        raise ValueError(f"{style}: edits: {name}: expected {low:g} to {high:g}, got {value}")
    return float(value)


def _numbers(style, name, values, count):
    is_list = isinstance(values, list | tuple) and len(values) == count
    if not is_list or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ValueError(f"{style}: edits: {name}: expected {count} number{'s' * (count > 1)}, got {values!r}")
    return tuple(map(float, values))


def as_edits(edits, orientation):
    """:class:`Edits` from edits by name, which refer to the upright picture, for pixels stored with ``orientation``."""
    numbers = {name: np.float32(value) for name, value in (neutral_edits() | edits).items() if name != "crop"}
    numbers["rotation"] = np.float32(rotation_as_stored(numbers["rotation"], orientation))
    return Edits(**numbers, crop=crop_as_stored(edits.get("crop"), orientation))


def neutral_edits():
    """The edits that change nothing, by name, without ``crop``."""
    return {name: getattr(Edits(), name) for name in EDIT_RANGES}


def set_light(raw, options):
    """The raw under the light that the options ask for, a dict that says which, and the estimator's remark or ""."""
    mode, note = options.white_balance or "as-shot", ""
    if options.light is not None:
        mode, illuminant = options.light
        raw = set_white_balance(raw, illuminant=illuminant)
    elif mode != "as-shot":
        found = estimate_white_balance(raw) if mode == "auto" else _estimate_by_networks(raw, options)
        raw, note = set_white_balance(raw, illuminant=found.illuminant), found.note
    if (options.cct, options.tint) != (None, None):
        mode = "custom"
        raw = set_white_balance(raw, cct=options.cct, tint=options.tint)
    cct, tint = white_balance_of(raw)
    illuminant = [round(float(value), 6) for value in raw.illuminant]
    return raw, {"mode": mode, "cct": round(cct), "tint": round(tint, 1) + 0.0, "illuminant": illuminant}, note


def _estimate_by_networks(raw, options):
    """The cross-camera network's light, ``preferred`` then mapped to what people like; guarded as any estimate."""
    networks = awb_networks(options.awb, options.white_balance)
    image = raw.image * 2.0 ** options.edits.get("exposure", 0.0)
    illuminant = np.asarray(cross_camera_illuminant(networks["cross_camera"], image), np.float64)
    if options.white_balance == "preferred":
        illuminant = preferred_neutral(networks["preference"], illuminant, profile_of(raw))
    return guard_white_balance(raw, illuminant)


@functools.lru_cache(maxsize=1)
def awb_networks(path, mode):
    """The white-balance networks that ``mode`` needs, of a parameter file."""
    if path is None:
        raise ValueError(f"--white-balance {mode}: expected --awb too, a file with the networks (modisp import-torch)")
    networks = load_params(str(path)).get("awb", {})
    needed = ("cross_camera", "preference") if mode == "preferred" else ("cross_camera",)
    missing = [name for name in needed if name not in networks]
    if missing:
        raise ValueError(f"--awb {path}: expected the network {missing[0]}, got {', '.join(networks) or 'none'}")
    return networks


def look_smoother(kind, frames):
    """A function from a frame's look to the smoothed one, which remembers the frames before; None for no ``kind``.

    ``window``: the mean of the last ``frames``. ``exponential``: that is the time constant. A frame of another size
    begins anew.
    """
    if kind is None:
        return None
    if kind == "window":
        start, step = functools.partial(start_window, window=frames), window_step
    else:
        start, step = start_exponential, functools.partial(exponential_step, decay=math.exp(-1.0 / frames))
    state, shapes = None, None

    def smooth(look):
        nonlocal state, shapes
        if shapes != jax.tree.map(jnp.shape, look):
            state, shapes = start(look), jax.tree.map(jnp.shape, look)
        state, smoothed = step(state, look)
        return smoothed

    return smooth


def record(options, photo, white_balance, *, stored=None, linearized=None):
    """How a picture was made, as a dict that JSON can hold, for its metadata; what is as by default is left out.

    ``stored`` is the record of the picture that the raw comes from, ``linearized`` how a finished photo became a raw.
    """
    neutral = neutral_edits() | {"crop": None}
    # In one order, whichever way they came: equal settings make equal files.
    edits = {name: options.edits[name] for name in neutral if options.edits.get(name, neutral[name]) != neutral[name]}
    settings = {
        "modisp_jax": __version__,
        "raw": (stored or {}).get("raw", photo.name),
        "linearized": linearized,
        "networks": named_source(options.networks, ()) if linearized in BY_NETWORKS and options.networks else None,
        "params": named_source(options.params, BUILT_IN),
        "style": options.style and named_source(options.style, (*STYLES, "neutral")),
        "mix": _mix(options.style),
        "edits": edits,
        "white_balance": white_balance,
        "clipped_highlights": options.clipped_highlights,
        "halo_fix": options.halo_iterations if options.halo_fix else None,
        "operators": options.operators,
        "smooth_looks": options.smooth_looks and [options.smooth_looks, options.smooth_frames],
        "activations": options.activations,
        "demosaic": options.demosaic,
        "orientation": options.orientation,
    }
    return {name: value for name, value in settings.items() if value is not None and value != {}}


def _mix(style):
    """A style's mix as [name, weight, weights of single stages] each, None where it is none."""
    mix = style_mix(style)
    return [[named_source(name, STYLES), weight, weights] for name, weight, weights in mix] if mix else None


def named_source(source, names):
    """A built-in name as it is; of a file its name and the beginning of its SHA-256."""
    path = Path(source)
    if source in names or not os.path.isfile(path):  # a mix in one word may be longer than names can be
        return str(source)
    return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
