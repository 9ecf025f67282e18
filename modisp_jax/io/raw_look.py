"""A look's coefficients as parts of a container.

Small ones are kept as they are; the local tone maps, [h, w, 5] at a quarter of the photo's size, in steps of 2^-11 by
lossless JPEG: a fifteenth of the bytes, and a rendering 98 dB from that of the look itself (docs/format.md).
"""

import math
import zlib

import numpy as np

from modisp_jax.io.raw_container import ContainerError
from modisp_jax.io.raw_lossless import frame_of

FIELDS = ("gain", "gtm", "ltm", "chroma_lut", "inverse_gamma", "rgb_lut", "strengths")
_SHAPES = {
    "gain": (),
    "gtm": (3,),
    "chroma_lut": (24, 24, 2),
    "inverse_gamma": (),
    "rgb_lut": (11, 11, 11, 3),
    "strengths": (6,),
}
_STEP = 2.0**-11


def encode_look(look):
    """(facts for the JSON, parts) of a look's arrays by name; what is None is left out. Raises ``ValueError``."""
    facts, small, parts = {"small": []}, [], {}
    for name in FIELDS:
        if look.get(name) is None:
            continue
        array = np.asarray(look[name], np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"look.{name}: expected finite numbers")
        if name == "ltm":
            facts["ltm"], parts["look/ltm"] = _encode_maps(array)
        elif array.shape != _SHAPES[name]:
            raise ValueError(f"look.{name}: expected shape {_SHAPES[name]}, got {array.shape}")
        else:
            facts["small"].append(name)
            small.append(array.astype("<f4").tobytes())
    parts["look/small"] = zlib.compress(b"".join(small), 9)
    return facts, parts


def decode_look(facts, parts):
    """A look's arrays by name, float32, None where it has none. Raises ``ContainerError``."""
    look = dict.fromkeys(FIELDS)
    names = facts.get("small") if isinstance(facts, dict) else None
    if not isinstance(names, list) or not all(name in _SHAPES for name in names) or len(set(names)) != len(names):
        raise ContainerError(f"expected a look's coefficients, got {facts!r}")
    sizes = [4 * math.prod(_SHAPES[name]) for name in names]
    data = inflate(parts.get("look/small", b""), sum(sizes), "look/small")
    for name, size in zip(names, sizes, strict=True):
        look[name] = np.frombuffer(data[:size], "<f4").astype(np.float32).reshape(_SHAPES[name])
        data = data[size:]
    if "ltm" in facts:
        look["ltm"] = _decode_maps(facts["ltm"], parts.get("look/ltm", b""))
    return look


def inflate(data, size, name):
    """zlib's data as exactly ``size`` bytes; no more than one byte beyond is ever made. Raises ``ContainerError``."""
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ContainerError(f"part {name!r}: expected zlib's data, got: {error}") from None
    if len(found) != size:
        got = "more" if len(found) > size else len(found)
        raise ContainerError(f"part {name!r}: expected {size} bytes, got {got}")
    return found


def _encode_maps(maps):
    """(size, least value and step of each map), and the maps one below the other as one lossless JPEG."""
    import imagecodecs

    if maps.ndim != 3 or maps.shape[-1] != 5 or 0 in maps.shape:
        raise ValueError(f"look.ltm: expected shape [h, w, 5], got {maps.shape}")
    low, high = (np.float64(f(maps, axis=(0, 1))) for f in (np.min, np.max))
    step = np.maximum((high - low) / 65535, _STEP)
    planes = np.rint((maps - low) / step).astype(np.uint16).transpose(2, 0, 1).reshape(-1, maps.shape[1])
    jpeg = imagecodecs.jpeg_encode(np.ascontiguousarray(planes), lossless=True, bitspersample=16, predictor=7)
    return {"size": list(maps.shape[:2]), "low": low.tolist(), "step": step.tolist()}, jpeg


def _decode_maps(facts, jpeg):
    import imagecodecs

    try:
        (height, width), low, step = facts["size"], np.array(facts["low"]), np.array(facts["step"])
        is_whole = low.shape == step.shape == (5,) and bool((abs(low) < 1e30).all() and (abs(step) < 1e30).all())
    except (KeyError, TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise ContainerError(f"expected the size, the least values and the steps of five tone maps, got {facts!r}")
    if frame_of(jpeg) != (5 * height, width, 1):
        raise ContainerError(f"part 'look/ltm': expected a JPEG of {(5 * height, width, 1)}, got {frame_of(jpeg)}")
    try:
        planes = imagecodecs.jpeg_decode(jpeg).reshape(5, height, width)
    except Exception as error:  # a decoder's own classes
        raise ContainerError(f"part 'look/ltm': expected a lossless JPEG, got: {error}") from None
    return (planes.transpose(1, 2, 0) * step + low).astype(np.float32)
