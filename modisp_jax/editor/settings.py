"""The editor's settings of a photo: a JSON object, checked, in normal form, and as options of ``modisp render``.

    {
      "edits": {"exposure": 0.5, "crop": [0.1, 0, 0.8, 1]},
      "white_balance": {"mode": "custom", "cct": 5200, "tint": 4},
      "mix": [{"style": "vivid", "weight": 0.7, "weights": {"chroma": 0.2}}],
      "halo_fix": 160,
      "operators": "published",
      "clipped_highlights": "clip",
      "linearize": "curve"
    }

Whatever is missing is neutral or as by default, and the normal form leaves out all that is: equal settings are equal
objects. Settings come from the page, from records and from files, and name nothing but what ships and what the editor
was started with (``own``, of :mod:`modisp_jax.editor.own_styles`): no path is in them.
"""

import dataclasses
import math
import shlex
from pathlib import Path

import numpy as np

from modisp_jax.config import EDIT_RANGES, HIGHLIGHTS, OPERATORS, HaloFixConfig
from modisp_jax.editor.own_styles import SHIPPED, OwnStyles, absolute_path_of, name_of, path_of, recorded_name_of
from modisp_jax.inputs import MOST_ITERATIONS
from modisp_jax.io.names import shown
from modisp_jax.io.white_balance import CCT_RANGE, TINT_RANGE
from modisp_jax.mix import STAGE_NAMES
from modisp_jax.ops.geometry import crop_box
from modisp_jax.outputs import check_format
from modisp_jax.render_files import RenderOptions
from modisp_jax.render_settings import LEARNED, checked_edits, neutral_edits
from modisp_jax.style_file import StyleFile, mix_text, number_text, parse_style, style_text

MODES = ("as-shot", "auto", "custom", "picked")
"""Modes of white balance that need no further networks; those of ``LEARNED`` do."""

MOST_STYLES = 16
"""In a mix."""

LINEARIZE = ("inverse", "curve", "paramisp")
"""How finished photos become raw ones, as ``--linearize``, the default first: those that need no file. Of no account
for photos that are raw."""

KEYS = ("edits", "white_balance", "mix", "halo_fix", "operators", "clipped_highlights", "linearize")
LONGEST_DESCRIPTION = 500
"""Of a style file, in characters."""
OF_ONE_PHOTO = ("rotation", "crop")
"""Edits that a preset leaves out."""

EXPORT_FORMATS = {"jpg": ".jpg", "png": ".png", "tiff": ".tif"}
EXPORT_CODECS = ("curve", "lossless")


@dataclasses.dataclass(frozen=True)
class Making:
    """What the editor was started with; the same for all photos."""

    params: str = "default"
    """Parameter set, as ``--params``."""
    awb: Path | None = None
    """File with white-balance networks, as ``--awb``."""
    learned: tuple = ()
    """Modes of white balance for which it has the networks, of ``LEARNED``."""
    own: OwnStyles = dataclasses.field(default_factory=OwnStyles)
    """Styles of the person's own."""

    @property
    def modes(self):
        """Modes of white balance that can be had."""
        return (*MODES, *self.learned)


@dataclasses.dataclass(frozen=True)
class Export:
    """How finished pictures are stored; the options of ``modisp render`` by the same names."""

    format: str = "jpg"
    quality: int = 95
    bits: int | None = None
    embed_raw: bool = False
    raw_codec: str = "curve"
    raw_quality: int = 97


def check_settings(settings, modes=(*MODES, *LEARNED), own=()):
    """The normal form of settings; raises ``ValueError``, one line, where they are none.

    ``modes`` of white balance can be had, and ``own`` styles besides those that ship.
    """
    _object(settings, KEYS, "settings")
    found = {
        "edits": _edits(settings.get("edits")),
        "white_balance": _white_balance(settings.get("white_balance"), modes),
        "mix": _mix(settings.get("mix"), (*SHIPPED, *(one.name for one in own))),
        "halo_fix": _halo_fix(settings.get("halo_fix")),
        "operators": _one_of(settings.get("operators"), OPERATORS, "operators"),
        "clipped_highlights": _one_of(settings.get("clipped_highlights"), HIGHLIGHTS, "clipped_highlights"),
        "linearize": _one_of(settings.get("linearize"), LINEARIZE, "linearize"),
    }
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def linearize_of(settings, finished):
    """How settings (in normal form) have a photo become a raw, as ``--linearize``; the default where it is one."""
    return settings.get("linearize", LINEARIZE[0]) if finished else LINEARIZE[0]


def _edits(edits):
    if edits is None:
        return {}
    checked = checked_edits("settings", {name: value for name, value in _as_dict(edits, "edits") if value is not None})
    neutral = neutral_edits()
    found = {name: value + 0.0 for name, value in checked.items() if name != "crop" and value != neutral[name]}
    if checked.get("crop", (0, 0, 1, 1)) != (0, 0, 1, 1):
        crop_box((2**16, 2**16), checked["crop"])  # which raises where there is no such part of a picture
        found["crop"] = [value + 0.0 for value in checked["crop"]]
    return {name: found[name] for name in [*EDIT_RANGES, "crop"] if name in found}


def _white_balance(light, modes):
    if light is None:
        return None
    mode = dict(_as_dict(light, "white_balance")).get("mode")
    if mode not in modes:
        raise ValueError(f"white_balance: expected a mode of {', '.join(modes)}; got {mode!r}")
    _object(light, ("mode", *{"custom": ("cct", "tint"), "picked": ("illuminant",)}.get(mode, ())), "white_balance")
    if mode == "custom":  # in the steps in which a picture's record has them
        cct = round(_number(light.get("cct"), *CCT_RANGE, "white_balance, cct"))
        return {"mode": mode, "cct": cct, "tint": round(_number(light.get("tint"), *TINT_RANGE, "tint"), 1) + 0.0}
    if mode == "picked":
        return {"mode": mode, "illuminant": picked_illuminant(light.get("illuminant"))}
    return None if mode == "as-shot" else {"mode": mode}


def picked_illuminant(illuminant):
    """Camera RGB of white with G = 1 in the digits that a picture's record has; raises unless it is plausible."""
    is_list = isinstance(illuminant, list | tuple) and len(illuminant) == 3
    if not is_list or not all(_is_number(value) and value > 0 for value in illuminant):
        raise ValueError(f"white_balance, illuminant: expected three positive numbers, got {illuminant!r}")
    ratios = [np.float32(value / illuminant[1]) for value in illuminant]
    if not all(1e-3 <= ratio <= 8 for ratio in ratios):
        raise ValueError(f"white_balance, illuminant: expected R and B of .001 to 8 times G, got {illuminant!r}")
    return [round(float(ratio), 6) for ratio in ratios]


def _mix(mix, names):
    if mix is None:
        return []
    if not isinstance(mix, list) or len(mix) > MOST_STYLES:
        raise ValueError(f"mix: expected a list of at most {MOST_STYLES} styles, got {_short(mix)}")
    return [_part(part, names) for part in mix]


def _part(part, names):
    _object(part, ("style", "weight", "weights"), "mix")
    if part.get("style") not in names:
        raise ValueError(
            f"mix: expected styles of {', '.join(names)}; got {_short(part.get('style'))}"
            " (modisp edit --style FILE brings one)"
        )
    weight = _weight(part.get("weight", 1.0))
    own = dict(_as_dict(part.get("weights") or {}, "mix, weights"))
    unknown = [name for name in own if name not in STAGE_NAMES]
    if unknown:
        raise ValueError(f"mix, weights: expected stages of {', '.join(STAGE_NAMES)}; got {_short(unknown[0])}")
    own = {name: _weight(own[name]) for name in STAGE_NAMES if name in own and own[name] is not None}
    own = {name: value for name, value in own.items() if value != weight}
    return {"style": part["style"], "weight": weight} | ({"weights": own} if own else {})


def _weight(value):
    return _number(value, 0.0, 1e6, "mix: weight") + 0.0


def _halo_fix(iterations):
    if iterations is None or iterations is False:
        return None
    if type(iterations) is float and iterations.is_integer():
        iterations = int(iterations)
    if type(iterations) is not int or not 1 <= iterations <= MOST_ITERATIONS:
        raise ValueError(f"halo_fix: expected iterations, 1 to {MOST_ITERATIONS}, got {_short(iterations)}")
    return iterations


def _one_of(value, allowed, name):
    """None for the first, which is the default."""
    if value is not None and value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}; got {_short(value)}")
    return None if value == allowed[0] else value


def _object(value, keys, name):
    unknown = [key for key, _ in _as_dict(value, name) if key not in keys]
    if unknown:
        raise ValueError(f"{name}: expected only {', '.join(keys)}; got {_short(unknown[0])}")


def _as_dict(value, name):
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected an object, got {_short(value)}")
    return value.items()


def _number(value, low, high, name):
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {_short(value)}")
    return float(value)


def _is_number(value):
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


def _short(value):
    """A value in an error: as it is, cut."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_export(choice):
    """An :class:`Export` of what the page asks for; raises ``ValueError``, one line."""
    _object(choice, [field.name for field in dataclasses.fields(Export)], "export")
    export = Export(**{name: value for name, value in choice.items() if value is not None})
    for name, allowed in (("format", tuple(EXPORT_FORMATS)), ("raw_codec", EXPORT_CODECS)):
        _one_of(getattr(export, name), allowed, name)
    for name in ("quality", "raw_quality"):
        if type(getattr(export, name)) is not int or not 1 <= getattr(export, name) <= 100:
            raise ValueError(f"{name}: expected a whole number from 1 to 100, got {_short(getattr(export, name))}")
    if type(export.embed_raw) is not bool or (export.bits is not None and export.bits not in (8, 16)):
        raise ValueError("export: expected embed_raw true or false, and 8 or 16 bits")
    check_format(Path("picture" + EXPORT_FORMATS[export.format]), export)
    return export


def style_of(settings, own=()):
    """What ``--style`` takes for the settings' mix: None, a name, a file, or ``vivid=0.7:chroma=0.2,mono=0.3``."""
    mix = settings.get("mix", [])
    if not mix:
        return None
    if len(mix) == 1 and mix[0] == {"style": mix[0]["style"], "weight": 1.0}:
        return path_of(mix[0]["style"], own)
    return mix_text((path_of(part["style"], own), part["weight"], part.get("weights", {})) for part in mix)


def options_of(settings, *, making=Making(), export=Export(), output=None, finished=False):
    """Settings (in normal form) as :class:`modisp_jax.render_files.RenderOptions`.

    Args:
      making: what the editor was started with.
      export: how the picture is stored.
      output: path of the picture.
      finished: whether the photo is a finished one, which becomes a raw as the settings say, and is not denoised unless
        they say so.
    """
    edits = {name: tuple(value) if name == "crop" else value for name, value in settings.get("edits", {}).items()}
    light = settings.get("white_balance", {})
    mode = light.get("mode")
    halo_fix = settings.get("halo_fix")
    return RenderOptions(
        output=output,
        suffix=EXPORT_FORMATS[export.format],
        params=making.params,
        style=style_of(settings, making.own.styles),
        edits=({"denoise": 1.0} if finished else {}) | edits,
        white_balance=mode if mode in ("auto", *LEARNED) else None,
        awb=making.awb if mode in LEARNED else None,
        cct=float(light["cct"]) if mode == "custom" else None,
        tint=light["tint"] if mode == "custom" else None,
        clipped_highlights=settings.get("clipped_highlights", HIGHLIGHTS[0]),
        halo_fix=halo_fix is not None,
        halo_iterations=HaloFixConfig().iterations if halo_fix is None else halo_fix,
        operators=settings.get("operators", OPERATORS[0]),
        smooth_looks=None,
        smooth_frames=9,
        activations="float32",
        demosaic="libraw",
        quality=export.quality,
        bits=export.bits,
        orientation="apply",
        save_stages=None,
        embed_raw=export.embed_raw,
        raw_codec=export.raw_codec,
        raw_quality=export.raw_quality,
        linearize=linearize_of(settings, finished),
        networks=None,
        stored_settings=False,
        overwrite=False,
        light=("picked", tuple(light["illuminant"])) if mode == "picked" else None,
    )


def command_of(photo, settings, *, making=Making(), export=Export(), output, finished=False):
    """The words of the command that makes the same file as an export: ``["modisp", "render", ...]``.

    Arguments as of :func:`options_of`. What is as by default is left out.
    """
    words = ["modisp", "render", str(photo), "--output", str(output), "--no-stored-settings"]
    for name, value, default in (
        ("--format", export.format, "jpg"),
        ("--params", making.params, "default"),
        ("--style", style_of(settings, making.own.styles), None),
        ("--operators", settings.get("operators"), None),
        ("--clipped-highlights", settings.get("clipped_highlights"), None),
        ("--quality", export.quality, 95),
        ("--bits", export.bits, None),
        ("--linearize", linearize_of(settings, finished), LINEARIZE[0]),
    ):
        words += [] if value == default else [name, str(value)]
    if "halo_fix" in settings:
        words += ["--halo-fix", "--halo-iterations", str(settings["halo_fix"])]
    if export.embed_raw:
        words += ["--embed-raw", "--raw-codec", export.raw_codec, "--raw-quality", str(export.raw_quality)]
    edits = ({"denoise": 1.0} if finished else {}) | settings.get("edits", {})
    for name, value in edits.items():
        option = ("--strength." if name in STRENGTHS else "--") + name.replace("_", "-")
        words += [option, *map(number_text, value if name == "crop" else [value])]
    return words + _light_words(settings.get("white_balance", {}), making)


STRENGTHS = (*STAGE_NAMES, "denoise", "enhance")


def _light_words(light, making):
    mode = light.get("mode")
    if mode == "custom":
        return ["--cct", number_text(light["cct"]), "--tint", number_text(light["tint"])]
    if mode == "picked":
        return ["--illuminant", *map(number_text, light["illuminant"])]
    learned = ["--awb", str(making.awb)] if mode in LEARNED else []
    return ["--white-balance", mode, *learned] if mode else []


def command_text(words):
    """A command's words as one line for a shell."""
    return shlex.join(words)


def settings_of_record(record, modes=(*MODES, *LEARNED), own=()):
    """(settings in normal form, remark or "") of a picture's record; what cannot be had again is left out.

    ``modes`` and ``own`` as of :func:`check_settings`; own styles are known by the contents of their files.

    Raises nothing: a record is what some file says.
    """
    found, remarks = {}, []

    def take(name, value):
        try:
            found.update(check_settings({name: value}, modes, own))
        except ValueError as error:
            remarks.append(str(error))

    take("edits", record.get("edits"))
    for name in ("halo_fix", "operators", "clipped_highlights"):
        take(name, record.get(name))
    take("mix", _mix_of_record(record, own))
    light = record.get("white_balance")
    if isinstance(light, dict):
        mode = light.get("mode")
        if mode == "custom" and "cct" in light:
            take("white_balance", {name: light.get(name) for name in ("mode", "cct", "tint")})
        elif mode in ("as-shot", "auto") or (mode in LEARNED and mode in modes):
            take("white_balance", {"mode": mode})
        else:
            take("white_balance", {"mode": "picked", "illuminant": light.get("illuminant")})
    return {name: found[name] for name in KEYS if name in found}, "; ".join(remarks)


def _mix_of_record(record, own):
    style, mix = record.get("style"), record.get("mix")
    if mix is not None:
        try:
            return [
                {"style": recorded_name_of(name, own), "weight": weight, "weights": weights}
                for name, weight, weights in mix
            ]
        except (TypeError, ValueError):
            return mix  # which is refused in words
    is_edits_alone = isinstance(style, str) and style.split(" sha256:")[0].endswith(".json")
    return None if style is None or is_edits_alone else [{"style": recorded_name_of(style, own)}]


def write_style(settings, description="", own=()):
    """The text of a style file that holds the settings' mix and edits, without rotation and crop.

    Own styles are named by their absolute paths, so that ``modisp render --style`` finds them from any folder.
    """
    mix = tuple(
        (absolute_path_of(part["style"], own), part["weight"], part.get("weights", {}))
        for part in settings.get("mix", [])
    )
    edits = {name: value for name, value in settings.get("edits", {}).items() if name not in OF_ONE_PHOTO}
    return style_text(StyleFile(mix, edits, description))


def read_style(text, own=()):
    """(settings with edits and mix, description) of a style file's text.

    A path in it stands for the ``own`` style of that path, else of that file name.

    Raises:
      ValueError: no style file, or one of a style that there is not.
    """
    style = parse_style(text)
    mix = [{"style": name_of(name, own), "weight": weight, "weights": weights} for name, weight, weights in style.mix]
    return check_settings({"edits": style.edits, "mix": mix}, own=own), shown(style.description)[:LONGEST_DESCRIPTION]


def preset_settings(own):
    """[{"name", "settings"}] of the style files that the editor was started with."""
    return [
        {"name": name, "settings": check_settings({"edits": edits, "mix": mix}, own=own.styles)}
        for name, edits, mix in own.presets
    ]
