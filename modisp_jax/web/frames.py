"""Frames on their way to the page: a JSON and the picture's bytes in one answer."""

import json

import numpy as np

from modisp_jax.editor.encode import jpeg, png, quick_jpeg

MIME = {"jpeg": "image/jpeg", "png": "image/png"}
ENCODERS = {"jpeg": jpeg, "png": png}


def encode_frame(frame, seq, encoding, quality="exact", waiting=""):
    """The answer's bytes: the JSON's length (uint32, little-endian), the JSON, the picture.

    ``quality`` is what was asked for: a ``"live"`` frame is gone in a moment, its JPEG is the quick one. ``waiting``:
    for what the exact frame waits, where a quick one comes in its place.
    """
    encode = quick_jpeg if (quality, encoding) == ("live", "jpeg") else ENCODERS[encoding]
    head = {
        "seq": seq,
        "exact": bool(frame.exact) and not waiting,
        "waiting": waiting,
        "size": [int(side) for side in frame.size],
        "histogram": np.asarray(frame.histogram).astype(int).tolist(),
        "clipped": {name: float(share) for name, share in frame.clipped.items()},
        "light": frame.light,
        "note": frame.note,
        "auto_exposure": None if frame.auto_exposure is None else float(frame.auto_exposure),
        "range": None if getattr(frame, "range", None) is None else [float(end) for end in frame.range],
        "timings": {name: round(float(ms), 2) for name, ms in frame.timings.items()},
        "mime": MIME[encoding],
    }
    text = json.dumps(head, allow_nan=False, separators=(",", ":")).encode("ascii")
    return len(text).to_bytes(4, "little") + text + encode(np.asarray(frame.pixels))
