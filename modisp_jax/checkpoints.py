"""Our own format of parameter sets: one safetensors file, with its card in the header; and the sets that ship.

Tensors are named by their path (``denoise/in_conv/kernel``). The header's metadata holds ``format``, ``version``
and ``card``, a JSON object that says what the weights are, where they come from and under which licence.

What ships lies in ``modisp_jax/weights``: ``denoise-NAME.safetensors`` with a denoiser each, ``style-NAME.safetensors``
with photofinishing and its enhancement each. Any denoiser goes with any style.
"""

import json
import os
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from modisp_jax.config import PipelineConfig
from modisp_jax.io.images import replacing
from modisp_jax.io.json_text import parse_json
from modisp_jax.mix import STAGE_NAMES, mix_styles
from modisp_jax.params import check_params, init_params
from modisp_jax.shipped import WEIGHTS
from modisp_jax.style_file import parse_mix, read_style_file
from modisp_jax.torch_file import to_float32
from modisp_jax.tree import flatten, unflatten

FORMAT = "modisp_jax parameters"
VERSION = "1"

SIZES = ("lite", "base")
"""Names of the denoisers that ship, the default first."""

STYLES = ("natural", "vivid", "warm", "moody", "mono")
"""Names of the styles that ship, the default first."""

BUILT_IN = ("default", *SIZES, "neutral")
"""Names of parameter sets. ``neutral`` is untrained: the plain, correct rendering, without restoration."""

PARAMISP = "paramisp"
"""Name of the set of ParamISP's networks that ships; it renders nothing by itself."""


def save_params(path, params, card=None):
    """Writes a parameter set, whole or not at all.

    Args:
      path: of the file, usually ``NAME.safetensors``.
      params: nested dict of arrays; any of ``denoise``, ``photofinish``, ``enhance``, ``awb``.
      card: JSON-serialisable dict about the weights (what, data, licence, ...).

    Raises:
      ValueError: ``params`` is no complete, finite parameter set, or the card no dict that JSON can hold.
    """
    _check(params, f"{path}: cannot be written")
    tensors = {name: np.asarray(leaf, np.float32, order="C") for name, leaf in flatten(params).items()}
    card = {} if card is None else card
    try:
        if not isinstance(card, dict):
            raise TypeError(f"got {type(card).__name__}")
        metadata = {"format": FORMAT, "version": VERSION, "card": json.dumps(card, sort_keys=True, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: card: expected a dict that JSON can hold: {error}") from None
    with replacing(path, error=ValueError) as temporary:
        temporary.write_bytes(_sorted_header(save(tensors, metadata)))


def _sorted_header(data):
    """The same file with its header in order: safetensors shuffles metadata, and equal sets shall be equal files.

    A file is the header's length (8 bytes, little-endian), the header (JSON, padded by spaces), the tensors.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def load_params(source="default", *, style=None):
    """Loads a parameter set.

    Args:
      source: path of a file that :func:`save_params` wrote, or the name of a built-in set: ``"lite"`` or ``"base"``,
        that denoiser with the style natural; ``"default"``, the lite one, or, in an installation without weights,
        what it has, else ``"neutral"``; ``"neutral"``, untrained and without restoration; ``"paramisp"``, ParamISP's
        two networks (:mod:`modisp_jax.paramisp`).
      style: name of a style (see :func:`list_styles`), ``"neutral"`` or a path; its photofinishing and enhancement
        replace those of ``source``. Or a mix of them: ``"vivid=0.7:chroma=0.2,mono=0.3"``, or a style file (.json, see
        :mod:`modisp_jax.style_file`; its edits are the caller's to apply). The enhancement is then the heaviest
        style's.

    Returns:
      Nested dict of float32 arrays.

    Raises:
      ValueError: no such file or name, a damaged file, or one that is no parameter set; says what came.
    """
    params = _load_set(source)
    mix = style_mix(style)
    if style is None or mix == ():
        return params
    finishing = _load_style(style) if mix is None else _load_mix(mix)
    if "photofinish" not in finishing:
        raise ValueError(f"style {style}: expected a set with photofinishing, got one without")
    return {name: params[name] for name in ("denoise", "awb", "io") if name in params} | finishing


def list_styles():
    """Lists the styles of this installation.

    Returns:
      Dict from a style's name to its description in a few words, the default first.
    """
    found = {name: shipped(f"style-{name}") for name in STYLES}
    return {name: read_card(path).get("what", "") for name, path in found.items() if path.is_file()}


def style_mix(style):
    """The styles that ``style`` mixes, as ``StyleFile.mix`` has them; None where it is no mix but one style."""
    if style is None:
        return None
    if Path(style).suffix.lower() == ".json":
        return read_style_file(style).mix
    found = None if os.path.isfile(style) else parse_mix(str(style))  # which may be longer than names can be
    return None if found is None else found.mix


def _load_mix(mix):
    """Photofinishing of a mix, and the enhancement of its heaviest style."""
    sets = [_load_style(name) for name, _, _ in mix]
    for (name, _, _), params in zip(mix, sets, strict=True):
        if "photofinish" not in params:
            raise ValueError(f"style {name}: expected a set with photofinishing, got one without")
    weights, heaviest = mix_weights(mix)
    mixed = {"photofinish": mix_styles(sets, weights)["photofinish"]}
    return mixed | {name: sets[heaviest][name] for name in ("enhance",) if name in sets[heaviest]}


def mix_weights(mix):
    """(weights of each stage {name: [n]}, index of the heaviest style) of a ``StyleFile.mix``; the latter enhances."""
    unknown = sorted({stage for _, _, own in mix for stage in own} - set(STAGE_NAMES))
    if unknown:
        raise ValueError(f"style: expected weights of {', '.join(STAGE_NAMES)}; got one of {unknown[0]!r}")
    weights = {stage: [own.get(stage, weight) for _, weight, own in mix] for stage in STAGE_NAMES}
    return weights, max(range(len(mix)), key=lambda k: sum(weights[stage][k] for stage in STAGE_NAMES))


def _load_set(source):
    """The parameter set of a built-in name or a file."""
    if source == "neutral":
        return _neutral()
    if source == PARAMISP:
        return _load_shipped(PARAMISP)
    if source not in BUILT_IN:
        return _load_file(source, f"expected a parameter file or the name of a built-in set ({', '.join(BUILT_IN)})")
    params = {}
    if source != "default" or shipped(f"denoise-{SIZES[0]}").is_file():
        params = _load_shipped(f"denoise-{SIZES[0] if source == 'default' else source}")
    has_style = shipped(f"style-{STYLES[0]}").is_file()
    return params | (_load_style(STYLES[0]) if has_style else _neutral())


def _load_style(source):
    """Photofinishing and enhancement, what there is of them, of a style's name or a file."""
    if source == "neutral":
        params = _neutral()
    elif source in STYLES:
        params = _load_shipped(f"style-{source}")
    else:
        params = _load_file(source, f"expected a style ({', '.join([*STYLES, 'neutral'])}) or a parameter file")
    return {name: params[name] for name in ("photofinish", "enhance") if name in params}


def _neutral():
    return init_params(jax.random.key(0), PipelineConfig(denoise=None, enhance=None))


def shipped(name):
    """Path of a file of weights that ships, by its name."""
    return WEIGHTS / f"{name}.safetensors"


def _load_shipped(name):
    return _load_file(shipped(name), "expected weights that come with modisp_jax, but this installation lacks them")


def _load_file(path, wanted):
    """Tensors of a file, checked; ``wanted`` says what was asked for, should there be none."""
    flat, _ = _read(path, wanted=wanted)
    try:
        params = unflatten({name: to_float32(tensor) for name, tensor in flat.items()})
    except (TypeError, AttributeError, IndexError):
        raise ValueError(f"{path}: not a parameter set: a name is both a tensor and a group of tensors") from None
    _check(params, path)
    return jax.device_put(params)


def _check(params, place):
    """Checks a parameter set, and says where it is."""
    try:
        check_params(params)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def read_card(path):
    """Reads what a parameter file says of itself: the card's dict, without loading the weights."""
    return _read(path, tensors=False)[1]


def _read(path, tensors=True, wanted="expected a parameter file"):
    """Tensors by path (none where not wanted) and card of a parameter file."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: {wanted}, got {'a folder' if Path(path).is_dir() else 'no such file'}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                got = metadata.get("format", "no format")
                raise ValueError(f"{path}: expected a file of modisp_jax parameters, got {got!r} in its header")
            if metadata.get("version") != VERSION:
                raise ValueError(f"{path}: expected format version {VERSION}, got {metadata.get('version')}")
            flat = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: numbers that NumPy does not have
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from None
    try:
        card = parse_json(metadata.get("card", "{}"))
    except ValueError as error:
        raise ValueError(f"{path}: its card is no JSON ({error})") from None
    return flat, card
