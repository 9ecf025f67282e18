"""How strong a stage is: a blend of its output with its input."""


def mix(before, after, strength):
    """``(1 - s) before + s after``: 0 leaves the stage out, 1 is the stage alone, exactly."""
    return (1.0 - strength) * before + strength * after
