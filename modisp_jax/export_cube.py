"""The global part of a photo's look as a .cube file for other software: what ``modisp export-cube`` does."""

from modisp_jax import compile_cache
from modisp_jax.cube import global_lut
from modisp_jax.describe import explain
from modisp_jax.io.cube import write_cube
from modisp_jax.io.names import shown
from modisp_jax.pipeline import render_stages
from modisp_jax.raw import read_raw
from modisp_jax.render_files import FAILURES, load_style

ENCODED = {"srgb": "encoded by the sRGB curve", "linear": "not encoded"}


def export_cube(photo, output, *, params, style, nodes, encoding):
    """Writes the look that a style's networks choose for a photo, without its local part; returns the exit code.

    Raises:
      ValueError: an output of another kind, a photo or style that cannot be read, or a size out of range.
    """
    if output.suffix.lower() != ".cube":
        raise ValueError(f"--output {output}: expected a name ending in .cube")
    if not output.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {output.parent} does not exist")
    compile_cache.enable()
    loaded = load_style(params, style)
    loaded.pop("enhance", None)  # detail has no part in a table
    try:
        stages = render_stages(loaded, read_raw(photo))
    except FAILURES as error:
        raise ValueError(explain(error, photo)) from None
    table = global_lut(stages.look, size=nodes, encoding=encoding, scene=stages.linear_small)
    write_cube(output, table, title=shown(f"modisp_jax {style or params}, {photo.name}").replace('"', "'"))
    print(f"{shown(output)}: {nodes} nodes a side, for linear sRGB, white-balanced, {ENCODED[encoding]}")
    return 0
