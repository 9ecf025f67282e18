"""Photos as rendering takes them, whatever the file: raw, a JPEG that carries its raw, or a finished photo."""

import dataclasses
import functools
import hashlib
import math
from pathlib import Path
from typing import NamedTuple

from modisp_jax.checkpoints import BUILT_IN, STYLES, load_params
from modisp_jax.io.s24 import find_s24_json
from modisp_jax.linearization import LinearizeConfig, read_photo_as_raw
from modisp_jax.mix import STAGE_NAMES
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.raw import read_raw
from modisp_jax.raw_jpeg import read_raw_of_jpeg
from modisp_jax.render_settings import checked_edits
from modisp_jax.style_file import mix_text
from modisp_jax.types import Raw

FINISHED = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".hif")
"""Names by which finished photos are known."""

MOST_ITERATIONS = 10_000
"""Of a halo fix that a file may ask for."""


class Input(NamedTuple):
    """What a file holds for rendering."""

    raw: Raw
    settings: dict
    """The record of how the picture was made that carries the raw; {} of anything else."""
    linearized: str | None
    """How a finished photo became a raw; None of what was raw."""


def read_input(path, options):
    """Reads a photo of any kind, an :class:`Input`; ``options`` are those of ``modisp render``.

    Raises:
      ValueError: as :func:`modisp_jax.read_raw` and :func:`modisp_jax.read_photo_as_raw` do.
    """
    path = Path(path)
    if path.suffix.lower() not in FINISHED or is_of_a_split(path):
        return Input(read_raw(path, demosaic=options.demosaic), {}, None)
    kept = read_raw_of_jpeg(path, demosaic=options.demosaic)
    if kept is not None:
        ours = options.stored_settings and "modisp_jax" in kept.settings  # the published tool's edits are not ours
        return Input(kept.raw, kept.settings if ours else {}, None)
    return Input(read_photo_as_raw(path, method=options.linearize, **_means(options)), {}, options.linearize)


def is_of_a_split(path):
    """Whether a PNG is demosaiced raw in the S24 layout, or lies where only its JSON is missing."""
    is_png = path.suffix.lower() == ".png"
    return is_png and (path.parent.name.endswith("raw_images") or find_s24_json(path) is not None)


def _means(options):
    """What the way by which finished photos become raw takes besides the photo, as arguments of ``linearize``."""
    if options.linearize == "paramisp":
        params, reading = _paramisp(options.networks)
        return {"params": params, "config": LinearizeConfig(paramisp=reading)}
    return {"params": _network_file(options.networks, "cie_xyz") if options.linearize == "cie_xyz" else _own_params()}


@functools.lru_cache(maxsize=1)
def _own_params():
    return load_params()


@functools.lru_cache(maxsize=2)
def _paramisp(path):
    """ParamISP's inverse network and its configuration: of a file, or those that ship."""
    return load_paramisp("paramisp" if path is None else str(path), networks=("inverse_isp",))


@functools.lru_cache(maxsize=2)
def _network_file(path, name):
    """The parameter set of a file that brings a network of ``params["io"]``."""
    if path is None:
        raise ValueError(f"expected --networks too, a file with the network {name} (modisp import-torch)")
    params = load_params(str(path))
    if name not in params.get("io", {}):
        got = ", ".join(params.get("io", {})) or "none"
        raise ValueError(f"--networks {path}: expected the network {name}, got {got}")
    return params


def adapter_of(options):
    """The parameters of the raw adapter, where the options ask for it, else None; raises where they are missing."""
    if not (options.embed_raw and options.raw_codec == "adapter"):
        return None
    return _network_file(options.networks, "raw_adapter")["io"]["raw_adapter"]


def with_stored(options, settings, place):
    """Options as a picture was made: of ``settings``, its record, what the options leave as by default.

    Nothing in a record is believed unseen: names must be of what ships or of files beside the picture (``place``) with
    the contents that were recorded.

    Raises:
      ValueError: a record that asks for what there is not.
    """
    found = {"edits": checked_edits(place, settings.get("edits", {})) | options.edits}
    if options.params == "default":
        found["params"] = _source(settings.get("params", "default"), BUILT_IN, place, "--params")
    if options.style is None:
        found["style"] = _style(settings, place)
    for name, default in (("clipped_highlights", "neutral"), ("operators", "smooth")):
        if getattr(options, name) == default:
            found[name] = settings.get(name, default)
    if not options.halo_fix and settings.get("halo_fix") is not None:
        found |= {"halo_fix": True, "halo_iterations": _iterations(settings["halo_fix"], place)}
    if options.white_balance is None and options.light is None:
        found["light"] = _light(settings.get("white_balance"), place)
    return dataclasses.replace(options, **found)


def _style(settings, place):
    """The style that a record names, as ``--style`` takes it; None for none."""
    style, mix = settings.get("style"), settings.get("mix")
    if style is None:
        return None
    if mix is None:
        is_edits_alone = isinstance(style, str) and style.split(" sha256:")[0].endswith(".json")
        return None if is_edits_alone else _source(style, (*STYLES, "neutral"), place, "--style")
    try:
        names = (*STYLES, "neutral")
        parts = [(_source(name, names, place, "--style"), _weight(weight), _own(own)) for name, weight, own in mix]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: expected the styles that were mixed, got {mix!r} ({error})") from None
    return mix_text(parts) or None


def _own(weights):
    """Weights of single stages: of what there is, or they would be read as something else."""
    if not isinstance(weights, dict) or not set(weights) <= set(STAGE_NAMES):
        raise ValueError(f"expected weights of {', '.join(STAGE_NAMES)}")
    return {name: _weight(value) for name, value in weights.items()}


def _weight(value):
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise ValueError("expected weights that are finite numbers >= 0")
    return float(value)


def _source(named, names, place, option):
    """A built-in name, or the path of the file that a record names, if it lies beside the picture unchanged."""
    if named in names:
        return named
    name, _, digest = str(named).rpartition(" sha256:")
    path = place.parent / Path(name).name
    if name and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest or "-"):
        return str(path)
    raise ValueError(
        f"{place}: was made with {named}, which neither ships nor lies beside it;"
        f" give {option}, or --no-stored-settings begins anew"
    )


def _iterations(value, place):
    if type(value) is not int or not 1 <= value <= MOST_ITERATIONS:
        raise ValueError(f"{place}: expected iterations of the halo fix, 1 to {MOST_ITERATIONS}, got {value!r}")
    return value


def _light(white_balance, place):
    """(mode, camera RGB of white) of a record; None where the light is as shot."""
    if not isinstance(white_balance, dict) or white_balance.get("mode") in (None, "as-shot"):
        return None
    illuminant = white_balance.get("illuminant")
    is_light = isinstance(illuminant, list) and len(illuminant) == 3
    if not is_light or not all(type(v) in (int, float) and math.isfinite(v) and v > 0 for v in illuminant):
        raise ValueError(f"{place}: expected the light that was chosen, camera RGB, got {illuminant!r}")
    return str(white_balance["mode"]), tuple(map(float, illuminant))
