"""Compiles ahead, by using them, the programs that settings of a photo can need, so that no slider waits for one."""

import functools

from modisp_jax.config import HIGHLIGHTS, OPERATORS, HaloFixConfig
from modisp_jax.editor.recipe import recipe_of
from modisp_jax.editor.views import STAGE_VIEWS, stage_pixels
from modisp_jax.editor.window import warm_window
from modisp_jax.params import nafnet_config, photofinish_config

MOST_MIXED = 5
"""Styles of a mix up to which the small programs that average them are compiled ahead; more take a blink each."""

SLIDERS = {
    **dict.fromkeys(
        ("exposure", "auto_exposure", "luma_denoise", "chroma_denoise", "contrast", "highlights", "vibrance"), 0.1
    ),
    **{"denoise": 0.9, "enhance": 0.9, "sharpening": 1.0, "rotation": 1.0},
}
"""Edits that use every operator."""


def warm_room(room, engine, say, full=False):
    """Uses a darkroom in every way; ``say`` is called with a line before each. Leaves it as after a first frame.

    ``full``: the full-size programs too, which takes as long as rendering the photo three times.
    """
    steps = list(_steps(room, engine, full))
    for number, (title, step) in enumerate(steps, 1):
        say(f"compiling {title} ({number} of {len(steps)})")
        step()


def _steps(room, engine, full):
    def frames(settings, view=None, qualities=("exact", "live", "exact")):
        for quality in qualities:
            room.render(settings, view, quality)

    yield "the picture", functools.partial(frames, {}, qualities=("live", "exact"))
    for operators in OPERATORS:
        settings = {"edits": SLIDERS, "operators": operators}
        yield f"the {operators} sliders", functools.partial(frames, settings, qualities=("live", "exact"))
    clipped = {"clipped_highlights": HIGHLIGHTS[1]}
    yield "clipped highlights", functools.partial(frames, clipped, qualities=("live",))
    yield "the halo fix", functools.partial(frames, {"halo_fix": HaloFixConfig().iterations}, qualities=("exact",))
    for name in architectures(engine):
        yield f"the style {name}", functools.partial(frames, {"mix": [{"style": name}]})
    yield "mixes", functools.partial(_mix, room)
    yield "the views of the stages", functools.partial(_views, room)
    yield "automatic white balance", functools.partial(room.light, {"white_balance": {"mode": "auto"}})
    yield "the view at 1:1", functools.partial(warm_window, *room.worktops, OPERATORS, HIGHLIGHTS)
    if full:
        view = {"kind": "crop", "top": 0, "left": 0, "height": 64, "width": 64}
        yield "the full-size picture", functools.partial(frames, {}, view, ("exact",))
        yield "the full-size edits", functools.partial(frames, {"edits": SLIDERS}, view, ("exact",))
        halo_fix = {"halo_fix": HaloFixConfig().iterations}
        yield "the full-size halo fix", functools.partial(frames, halo_fix, view, ("exact",))
    yield "done: the picture again", functools.partial(frames, {}, qualities=("exact",))


def architectures(engine):
    """Names of a style of each architecture that is not the default style's."""
    found = {_architecture(engine.style(None)): None}
    for name in engine.style_names:
        found.setdefault(_architecture(engine.style(name)), name)
    return [name for name in found.values() if name is not None]


def _architecture(params):
    enhance = nafnet_config(params["enhance"]) if "enhance" in params else None
    return photofinish_config(params["photofinish"]), enhance


def _mix(room):
    """Frames of mixes of a style with itself: what depends on the number of styles is small and all that compiles."""
    _, desk = room.worktops
    for count in range(2, MOST_MIXED + 1):
        recipe = recipe_of({"mix": [{"style": "?", "weight": 1.0}] * count}) | {"enhance_style": None}
        desk.begin()
        desk.live(recipe | {"styles": (None,) * count})
        desk.end()


def _views(room):
    _, desk = room.worktops
    recipe = recipe_of({})
    desk.begin()
    for name in STAGE_VIEWS:
        if name != "rgb_lut":
            stage_pixels(name, desk, recipe)
    desk.end()
    room.curves({})
