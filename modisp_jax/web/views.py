"""What a frame may show, and other small values of requests, checked."""

import math

LARGEST_SIDE = 65_500
STAGE_SIDE = 1500


def check_view(view):
    """A view of :meth:`Darkroom.render`, checked; raises ``ValueError``.

    ``{"kind": "proxy", "long_side": 1500}``, ``{"kind": "crop", "top", "left", "height", "width"}`` in pixels of the
    full picture, or ``{"kind": "stage", "name": ...}``.
    """
    if not isinstance(view, dict):
        raise ValueError(f"view: expected an object, got {type(view).__name__}")
    kind = member(view.get("kind"), ("proxy", "crop", "stage"), "view, kind")
    if kind == "proxy":
        return {"kind": kind, "long_side": whole(view.get("long_side", STAGE_SIDE), 16, 8192, "view, long_side")}
    if kind == "crop":
        place = {name: whole(view.get(name), 0, LARGEST_SIDE, f"view, {name}") for name in ("top", "left")}
        return {"kind": kind} | place | {n: whole(view.get(n), 1, 8192, f"view, {n}") for n in ("height", "width")}
    name = view.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 64:
        raise ValueError("view, name: expected the name of a stage")
    side = whole(view.get("long_side", STAGE_SIDE), 16, 8192, "view, long_side")
    return {"kind": kind, "name": name, "long_side": side}


def member(value, allowed, name):
    """``value`` if it is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}; got {str(value)[:40]!r}")
    return value


def whole(value, low, high, name):
    """``value`` as a whole number in [low, high]."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value != int(value) or not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {str(value)[:40]}")
    return int(value)


def fraction(value, name):
    """``value`` as a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {str(value)[:40]}")
    return float(value)
