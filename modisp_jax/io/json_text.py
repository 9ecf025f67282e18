"""JSON of unknown origin: of bounded size and depth, and every failure a ``ValueError`` of one line."""

import json
from pathlib import Path

from modisp_jax.io.limits import LARGEST_JSON


def _integer(digits):
    """An integer; beyond 64 bits the float nearest to it, infinity for one, which nobody takes for a number."""
    return int(digits) if len(digits) < 19 else float(digits)


def parse_json(text):
    """What a JSON text (string or bytes) says; raises ``ValueError`` for no JSON, and for one nested too deeply."""
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("no text in UTF-8") from None


def read_json(path):
    """What the JSON file at ``path`` says; raises ``ValueError`` as :func:`parse_json`, and ``OSError``."""
    with Path(path).open("rb") as file:
        data = file.read(LARGEST_JSON + 1)
    if len(data) > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON} bytes")
    try:
        return parse_json(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("no text in UTF-8") from None
