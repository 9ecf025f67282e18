"""What is fuzzed: a row for each way in. A case ends in a sound value, or in one of ``REFUSALS`` with one line.

To add a reader, add a row to ``READERS``: the kinds of seeds that it takes, and a function of the file's path and an
empty folder, which returns True where what came is sound. It imports what it needs. A folder that is not empty after a
refusal is a partial output.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

REFUSALS = (ValueError, OSError)
"""What a reader may raise for a bad file. Its subclasses that speak of our own mistakes are no refusals."""

MISTAKES = (UnicodeError,)
"""Subclasses of ValueError that say what went wrong inside, not what is wrong with the file."""


@dataclasses.dataclass(frozen=True)
class Reader:
    kinds: tuple
    """Kinds of seeds that it reads."""
    read: Callable
    """(path, empty folder) to whether the value is sound; raises for bad files."""
    weight: float = 1.0
    """Share of the cases, relative to the others."""


def _sound(*arrays):
    return all(np.isfinite(np.asarray(array, np.float64)).all() for array in arrays)


def _is_raw(image, illuminant, ccm):
    image = np.asarray(image)
    in_range = image.size == 0 or (image.min() >= 0 and image.max() <= 1)
    return image.ndim in (2, 3) and _sound(image, illuminant, ccm) and in_range and (np.asarray(illuminant) > 0).all()


def read_raw(path, _):
    import modisp_jax as mj

    raw = mj.read_raw(path)
    return _is_raw(raw.image, raw.illuminant, raw.ccm) and _sound(raw.saturation)


def read_raw_malvar(path, _):
    """The mosaic alone: what malvar makes of it is JAX's, and would be compiled anew for each size."""
    from modisp_jax.io.load import load_mosaic

    mosaic = load_mosaic(path)
    return mosaic.values.ndim == 2 and _is_raw(mosaic.values, mosaic.illuminant, mosaic.ccm)


def read_raw_here(path, _):
    """The same in this process, without the decoding child: what LibRaw does to a process."""
    from modisp_jax.io import raw

    file = getattr(raw, "read_raw_file_here", raw.read_raw_file)(path)
    return _is_raw(file.image, file.illuminant, file.ccm)


def read_libraw_bare(path, _):
    """LibRaw without any check of ours before it: what decides whether it gets a process of its own."""
    import rawpy

    try:
        with rawpy.imread(str(path)) as raw:
            raw.postprocess(half_size=True)
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise ValueError("LibRaw: " + " ".join(str(error).split())) from None
    return True


def read_metadata(path, _):
    import json

    from modisp_jax.io.load import load_metadata

    json.dumps(load_metadata(path).to_dict(), allow_nan=False)
    return True


def read_exif_and_write(path, folder):
    """EXIF of a damaged raw file in a whole picture of each format."""
    from modisp_jax.io.exif import exif_from_raw, read_settings
    from modisp_jax.io.images import write_image

    exif = exif_from_raw(path, settings={"modisp_jax": "0"})
    for suffix in (".jpg", ".png", ".tif"):
        picture = write_image(folder / f"a{suffix}", np.full((8, 9, 3), 0.5, np.float32), exif=exif)
        if read_settings(picture) is None:
            return False
    return True


def read_picture(path, _):
    from modisp_jax.io.images import read_image

    image = read_image(path)
    return image.ndim == 3 and image.shape[-1] == 3 and _sound(image) and image.min() >= 0 and image.max() <= 1


def read_target(path, _):
    """A finished picture as fit and prepare read it: turned, its profile looked at."""
    from modisp_jax.io.alignment import read_turned

    return _sound(read_turned(path, 1)[0])


def read_kept_raw(path, _):
    """The raw that a JPEG carries, its look, and its record as options of a rendering."""
    import jax

    import modisp_jax as mj
    from modisp_jax.inputs import with_stored
    from tests.test_render_settings import OPTIONS

    kept = mj.read_jpeg_with_raw(path)
    with_stored(OPTIONS, kept.settings, path)
    return _is_raw(kept.raw.image, kept.raw.illuminant, kept.raw.ccm) and _sound(*jax.tree.leaves(kept.look))


def read_finished(path, _):
    from modisp_jax.io.photos import read_photo

    image = read_photo(path).srgb
    return image.ndim == 3 and image.shape[-1] == 3 and _sound(image) and image.min() >= 0 and image.max() <= 1


def read_batch(path, _):
    from modisp_jax.batch.manifest import read_manifest

    return read_manifest(path)[1] <= path.stat().st_size


def read_settings(path, _):
    from modisp_jax.io.exif import read_settings

    return isinstance(read_settings(path), dict | None)


def load_params(path, _):
    import jax

    import modisp_jax as mj

    mj.read_card(path)
    return _sound(*jax.tree.leaves(mj.load_params(path)))


def import_checkpoint(path, folder):
    """As ``modisp import-torch``: the checkpoint that it is, to a file."""
    import jax

    import modisp_jax as mj
    from modisp_jax.torch_file import read_state_dict
    from modisp_jax.torch_import import MESH

    state = read_state_dict(path)
    config = path.with_suffix(".json")
    if MESH in state:
        params = mj.import_torch(photofinishing=path)
    elif "_feature_to_latent.weight" in state:
        params = mj.import_torch(camera_specific=path, camera_specific_config=config if config.exists() else None)
    elif "_fc1.weight" in state:
        params = mj.import_torch(preference=path)
    else:
        params = mj.import_torch(denoiser=path)
    mj.save_params(folder / "out.safetensors", params)
    return _sound(*jax.tree.leaves(params))


def read_checkpoint(path, _):
    from modisp_jax.torch_file import read_state_dict

    return all(isinstance(array, np.ndarray) for array in read_state_dict(path).values())


def read_vgg(path, _):
    from modisp_jax.vgg_file import load_vgg

    return bool(load_vgg(path))


def read_style(path, _):
    from modisp_jax.render_settings import edits_of
    from modisp_jax.style_file import read_style_file

    style = read_style_file(path)
    return _sound([weight for _, weight, _ in style.mix]) and _sound(list(edits_of(str(path), {}).values()))


def read_cube(path, _):
    from modisp_jax.io.cube import read_cube

    cube = read_cube(path)
    return _sound(cube.table, cube.domain)


def load_state(path, _):
    from modisp_jax.fit.state import load_state
    from tests.fuzz.seeds import IDENTITY, STATE

    state, history = load_state(path, STATE, IDENTITY)
    return isinstance(history, list) and [np.shape(state[name]) for name in STATE] == [
        np.shape(STATE[n]) for n in STATE
    ]


def command_info(path, folder):
    """``modisp info``: exit code 0, or 2 and a line on standard error."""
    return _command(["info", str(path)])


def command_import(path, folder):
    """``modisp import-torch``: a parameter file and its card, or exit code 2 and neither."""
    output = folder / "out.safetensors"
    return _command(["import-torch", "--denoiser", str(path), "--output", str(output)]) and output.is_file()


def _command(arguments):
    import contextlib
    import io

    from modisp_jax.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    lines = err.getvalue().splitlines()
    if code == 2 and len(lines) == 1 and lines[0].startswith("modisp: error: "):
        raise ValueError(lines[0])
    return code == 0 and not lines


EXPERIMENTS = {"LibRaw alone": Reader(("raw",), read_libraw_bare, 0.0)}
"""Run by name only."""

READERS = {
    "read_raw": Reader(("raw", "split"), read_raw, 4.0),
    "read_raw, mosaic": Reader(("raw",), read_raw_malvar, 2.0),
    "raw in this process": Reader(("raw",), read_raw_here, 2.0),
    "raw metadata": Reader(("raw", "split"), read_metadata),
    "EXIF into pictures": Reader(("raw", "picture"), read_exif_and_write),
    "read_image": Reader(("picture", "split"), read_picture, 2.0),
    "read_turned": Reader(("picture",), read_target),
    "read_settings": Reader(("picture",), read_settings),
    "raw in a JPEG": Reader(("container",), read_kept_raw, 3.0),
    "read_photo": Reader(("picture", "photo", "container"), read_finished, 3.0),
    "batch manifest": Reader(("manifest",), read_batch),
    "load_params": Reader(("params",), load_params, 2.0),
    "read_state_dict": Reader(("checkpoint",), read_checkpoint, 2.0),
    "import_torch": Reader(("checkpoint",), import_checkpoint),
    "load_vgg": Reader(("checkpoint",), read_vgg, 0.3),
    "style file": Reader(("style",), read_style, 1.5),
    "read_cube": Reader(("cube",), read_cube, 1.5),
    "load_state": Reader(("state",), load_state, 1.5),
    "modisp info": Reader(("raw", "picture", "params", "checkpoint", "style"), command_info),
    "modisp import-torch": Reader(("checkpoint",), command_import, 0.5),
    **EXPERIMENTS,
}


def outcome_of(error):
    """How a case that raised ended: "refused", or "fault" where no user should see such an error."""
    line = str(error)
    wrong = not isinstance(error, REFUSALS) or isinstance(error, MISTAKES)
    return "fault" if wrong or len(line.splitlines()) != 1 or "unexpected error" in line else "refused"


def leftovers(folder: Path):
    """Names of files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())
