"""Style files: a mix of styles and a person's edits, in a small JSON that a person can write.

    {
      "modisp_style": 1,
      "description": "vivid, with the tones of mono",
      "mix": [
        {"style": "vivid", "weight": 0.7},
        {"style": "own/faded.safetensors", "weight": 0.3, "weights": {"chroma": 0}}
      ],
      "edits": {"contrast": 0.2, "vibrance": 0.3}
    }

``style`` is the name of a style that ships or the path of a parameter file, relative to the style file. ``weight``
(default 1) counts for all stages that ``weights`` does not name. ``mix`` and ``edits`` may each be missing.
"""

import dataclasses
import json
import math
import os
import re
from pathlib import Path

from modisp_jax.io.images import replacing
from modisp_jax.io.json_text import parse_json, read_json

VERSION = 1
KEYS = ("modisp_style", "description", "mix", "edits")


@dataclasses.dataclass(frozen=True)
class StyleFile:
    """What a style file, or ``vivid=0.7:chroma=0.2,mono=0.3``, says."""

    mix: tuple[tuple[str, float, dict], ...] = ()
    """(style's name or path, weight, weights of single stages) of each style; empty: as without a style."""
    edits: dict = dataclasses.field(default_factory=dict)
    """Fields of ``Edits`` and their values."""
    description: str = ""
    """In a few words."""


_NUMBER = r"[^=:,]+"
_PART = re.compile(rf"(?P<name>.+?)=(?P<weight>{_NUMBER})(?P<own>(:[a-z_]+={_NUMBER})*)")


def parse_mix(text):
    """Reads ``vivid=0.7:chroma=0.2,mono=0.3``, a mix in one word; None where ``text`` is no such thing but one style.

    After a style's weight may follow those of single stages.
    """
    if "=" not in text:
        return None
    return StyleFile(tuple(_parse_part(part, text) for part in text.split(",")))


def _parse_part(part, text):
    found = _PART.fullmatch(part)
    try:
        own = dict(pair.split("=") for pair in found["own"].split(":")[1:])
        return found["name"], _weight(float(found["weight"])), {name: _weight(float(w)) for name, w in own.items()}
    except (TypeError, ValueError):  # TypeError: no match
        raise ValueError(
            f"style {text!r}: expected a mix such as vivid=0.7,mono=0.3 or vivid=0.7:chroma=0.2,mono=0.3, got {part!r}"
        ) from None


def mix_text(mix):
    """A mix, as ``StyleFile.mix`` has it, in one word, for :func:`parse_mix`: the same weights to the last bit."""
    return ",".join(
        f"{name}={number_text(weight)}" + "".join(f":{stage}={number_text(w)}" for stage, w in own.items())
        for name, weight, own in mix
    )


def number_text(value):
    """The shortest text of a number that reads as the same number."""
    return repr(float(value)).removesuffix(".0")


def read_style_file(path):
    """Reads a style file; returns a :class:`StyleFile` whose paths lead there from the current folder.

    Raises:
      ValueError: no such file, not JSON, or not a style file; says what was expected and what came.
    """
    path = Path(path)
    try:
        found = read_json(path)
    except OSError as error:
        raise ValueError(f"{path}: expected a style file, got: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected a style file in JSON, got: {error}") from None
    try:
        return _parse(found, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse_style(text):
    """Reads a style file's text, of whatever origin; its styles are taken for names, and no file is looked for.

    Raises:
      ValueError: as :func:`read_style_file` does.
    """
    try:
        found = parse_json(text)
    except ValueError as error:
        raise ValueError(f"expected a style file in JSON, got: {error}") from None
    return _parse(found, None)


def style_text(style):
    """A :class:`StyleFile` as the text of a style file; paths of parameter files are kept as they are."""
    mix = [
        {"style": name, "weight": weight, **({"weights": weights} if weights else {})}
        for name, weight, weights in style.mix
    ]
    content = {"modisp_style": VERSION, "description": style.description, "mix": mix, "edits": style.edits}
    _parse(content, None)
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_style_file(path, style):
    """Writes a :class:`StyleFile`, whole or not at all, as :func:`style_text` has it."""
    text = style_text(style)
    with replacing(path, error=ValueError) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _parse(found, folder):
    if not isinstance(found, dict) or found.get("modisp_style") != VERSION:
        got = found.get("modisp_style") if isinstance(found, dict) else type(found).__name__
        raise ValueError(f'expected a style file, {{"modisp_style": {VERSION}, ...}}, got {got!r}')
    _only(found, KEYS, "a style file")
    mix, edits = found.get("mix", []), found.get("edits", {})
    if not isinstance(mix, list):
        raise ValueError(f"mix: expected a list of styles, got {mix!r}")
    if not isinstance(edits, dict):
        raise ValueError(f"edits: expected names and values, got {edits!r}")
    return StyleFile(tuple(_entry(entry, folder) for entry in mix), edits, str(found.get("description", "")))


def _entry(entry, folder):
    if not isinstance(entry, dict) or not isinstance(entry.get("style"), str):
        raise ValueError(f'mix: expected {{"style": name or path, "weight": number}}, got {entry!r}')
    _only(entry, ("style", "weight", "weights"), "a style of a mix")
    weights = entry.get("weights", {})
    if not isinstance(weights, dict):
        raise ValueError(f"mix, weights: expected stages and numbers, got {weights!r}")
    source = entry["style"]
    if folder is not None and os.path.isfile(folder / source):  # else a name, or a file that is missed when loaded
        source = str(folder / source)
    return source, _weight(entry.get("weight", 1.0)), {name: _weight(value) for name, value in weights.items()}


def _only(found, allowed, what):
    unknown = sorted(set(found) - set(allowed))
    if unknown:
        raise ValueError(f"{unknown[0]}: {what} has only {', '.join(allowed)}")


def _weight(value):
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"mix: expected weights that are finite numbers >= 0, got {value!r}")
    return float(value)
