"""Styles of the person's own: parameter files and style files that the editor was started with.

Only the command line brings them. Settings, records and style files that come later call them by name, or by a path or
a digest that is compared with those of the start; no path of theirs is looked at.
"""

import dataclasses
from pathlib import Path

from modisp_jax.checkpoints import BUILT_IN, STYLES, load_params, read_card
from modisp_jax.io.names import shown
from modisp_jax.render_settings import checked_edits, named_source
from modisp_jax.style_file import read_style_file

SHIPPED = (*STYLES, "neutral")
"""Styles that everybody has."""

MOST = 64
"""Own styles, and presets, that an editor is started with."""
LONGEST_NAME = 40


@dataclasses.dataclass(frozen=True)
class OwnStyle:
    """A parameter file with photofinishing."""

    name: str
    """By which settings call it: the file's, or, where that is taken, with a number."""
    path: str
    """As ``modisp render --style`` takes it."""
    recorded: str
    """As a picture's record has it: the file's name and the beginning of its SHA-256."""
    what: str = ""
    """The file's own description, of its card."""


@dataclasses.dataclass(frozen=True)
class OwnStyles:
    """What the command line brought."""

    styles: tuple = ()
    """:class:`OwnStyle` each."""
    presets: tuple = ()
    """(name, edits, mix as in settings) of each style file."""
    params: str | None = None
    """The name of the style that ``--params FILE`` is."""
    sets: dict = dataclasses.field(default_factory=dict, compare=False, repr=False)
    """{name: parameter set} of the styles."""


def open_styles(files, params="default"):
    """Reads parameter files and style files (.json); :class:`OwnStyles`.

    Args:
      files: their paths. The parameter files that a style file mixes become styles, too.
      params: as ``modisp render --params``; a file is a style as well, so that it can be mixed.

    Raises:
      ValueError: what ``modisp render --style`` would not take, too many of them, or a comma in a path, which separates
        the styles of a mix.
    """
    found, sets, presets = {}, {}, []

    def enter(path):
        path = Path(path)
        key = path.resolve()
        if key not in found:
            found[key] = _own_style(path, [*SHIPPED, *(one.name for one in found.values())])
            sets[found[key].name] = _load(params, path)
        return found[key].name

    default = None if params in BUILT_IN else enter(params)
    for file in map(Path, files):
        if file.suffix.lower() == ".json":
            presets.append(_preset(file, enter))
        else:
            enter(file)
    if max(len(found), len(presets)) > MOST:
        raise ValueError(f"--style: expected at most {MOST} styles, got {max(len(found), len(presets))}")
    return OwnStyles(tuple(found.values()), tuple(presets), default, sets)


def _load(params, path):
    loaded = load_params(params, style=str(path))
    return {name: loaded[name] for name in ("photofinish", "enhance") if name in loaded}


def _own_style(path, taken):
    if "," in str(path):
        raise ValueError(f"--style {path}: expected a path without a comma, by which the styles of a mix are divided")
    card = read_card(path)
    what = card.get("what", "") if isinstance(card, dict) else ""
    # A file that is called as what ships, or as an option, is told apart by its folder.
    text = str(path.absolute()) if str(path) in (*SHIPPED, *BUILT_IN) or str(path).startswith("-") else str(path)
    return OwnStyle(_free_name(path, taken), text, named_source(text, ()), shown(what)[:200])


def _free_name(path, taken):
    name = shown(path.stem)[:LONGEST_NAME].strip() or "style"
    return next(n for n in (name, *(f"{name}-{k}" for k in range(2, MOST + len(taken) + 2))) if n not in taken)


def _preset(file, enter):
    style = read_style_file(file)
    mix = [
        {"style": name if name in SHIPPED else enter(name), "weight": weight, "weights": own}
        for name, weight, own in style.mix
    ]
    name = shown(style.description or file.stem)[:LONGEST_NAME].strip()
    return name or "preset", checked_edits(file, style.edits), mix


def name_of(source, own):
    """The name by which settings call a style of a style file: a shipped one's, or that of the start's file.

    ``source`` may be a name or a path, of whatever machine; of a path that is none of the start's, the file's name
    counts. Where there is no such style it comes back as it is, to be refused.
    """
    if source in SHIPPED:
        return source
    last = str(source).replace("\\", "/").rpartition("/")[2]
    for same in (
        lambda one: one.name == source,
        lambda one: str(Path(one.path).absolute()) == source,
        lambda one: Path(one.path).name == last,
    ):
        for one in own:
            if same(one):
                return one.name
    return source


def recorded_name_of(named, own):
    """The name by which settings call a style of a picture's record; as it is where there is no such file here."""
    return next((one.name for one in own if one.recorded == named), named)


def path_of(name, own):
    """What ``modisp render --style`` takes for a style of the settings."""
    return next((one.path for one in own if one.name == name), name)


def absolute_path_of(name, own):
    """The same wherever it is read, for style files."""
    found = path_of(name, own)
    return name if found == name and name in SHIPPED else str(Path(found).absolute())
