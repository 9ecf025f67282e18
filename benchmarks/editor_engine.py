"""How long the photo editor's engine takes from a slider to the bytes of a frame: medians over drags.

    python3 dev.py run benchmarks/editor_engine.py ../shared/data/raw/GOPR0024.DNG
    python3 dev.py run benchmarks/editor_engine.py                # a synthetic photo of 12 megapixels
    python3 dev.py run benchmarks/editor_engine.py PHOTO --crop   # also the view at 1:1

For each group of sliders a photo is first rendered exactly, then a slider moves over a part of its range: live frames
of the 1500-pixel proxy, each encoded as a JPEG, then the exact one. ``near`` is the mean difference of the last live
frame from it, of 255 levels. Processor time is of all threads: on a busy machine it tells more than the wall's clock.
Programs are compiled ahead, by ``Engine.warm``, and that time is reported too. ``--write`` keeps
results/editor_engine.json.
"""

import dataclasses
import statistics
import time
from pathlib import Path

import common
import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional

import modisp_jax as mj
from modisp_jax import compile_cache
from modisp_jax.editor.darkroom import READING, Engine
from modisp_jax.editor.encode import jpeg
from modisp_jax.inputs import Input, read_input

VIVID_MONO = [{"style": "vivid", "weight": 0.5}, {"style": "mono", "weight": 0.5}]


def edit(name, scale=1.0):
    """Settings by the slider's position in [0, 1]."""
    return lambda t: {"edits": {name: scale * t}}


DRAGS = {
    "contrast": (edit("contrast"), 150),
    "saturation": (edit("saturation"), 150),
    "strength gain": (edit("gain"), 150),
    "strength gtm": (edit("gtm"), 150),
    "strength ltm": (edit("ltm"), 150),
    "strength chroma": (edit("chroma"), 150),
    "strength gamma": (edit("gamma"), 150),
    "enhancement": (edit("enhance"), 150),
    "sharpening": (edit("sharpening", 30.0), 150),
    "rotation": (edit("rotation", 10.0), 150),
    "contrast with halo fix": (lambda t: {"edits": {"contrast": t}, "halo_fix": 160}, 150),
    "a style's weight": (lambda t: {"mix": [{"style": "vivid", "weight": t}]}, 150),
    "weights of two": (lambda t: {"mix": [VIVID_MONO[0] | {"weight": t}, VIVID_MONO[1]]}, 150),
    "white balance": (lambda t: {"white_balance": {"mode": "custom", "cct": 3000 + 4000 * t, "tint": 0.0}}, 300),
    "exposure": (edit("exposure"), 300),
    "automatic exposure": (edit("auto_exposure"), 300),
    "denoising": (edit("denoise"), 2000),
    "classical denoising": (edit("luma_denoise"), 2000),
}
"""Settings by a position in [0, 1], and the budget in milliseconds."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    photos: Positional[tuple[Path, ...]] = ()
    """Photos; none: a synthetic one."""
    frames: int = 12
    """Live frames of a drag."""
    crop: bool = False
    """Also the view at 1:1, 1200 x 800 pixels, which renders the full-size photo a few times."""
    write: bool = False
    """Keep the results."""


def synthetic(size=(3000, 4000)):
    """A raw with smooth colours, edges and noise."""
    y, x = (np.linspace(0, 1, n, dtype=np.float32) for n in size)
    y = y[:, None]
    waves = [np.sin(9 * x + 4 * y), np.cos(7 * y - 3 * x), np.sin(11 * x * y + 1)]
    image = 0.25 + 0.2 * np.stack(waves, axis=-1)
    image += 0.1 * ((x * 16).astype(int) + (y * 12).astype(int))[..., None] % 2
    image += 0.01 * np.random.default_rng(0).standard_normal(image.shape, np.float32)
    illuminant = np.array([0.5, 1.0, 0.6], np.float32)
    matrix = jnp.array([[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]])
    return mj.Raw(jnp.asarray(np.clip(image, 0, 1) * illuminant), jnp.asarray(illuminant), matrix, jnp.ones(3))


def timed(room, settings, quality, view=None):
    """(frame, wall and processor milliseconds from the settings to the JPEG's bytes)."""
    wall, processor = time.perf_counter(), time.process_time()
    frame = room.render(settings, view, quality)
    jpeg(frame.pixels)
    return frame, 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def drag(room, settings_at, frames, view=None):
    """Medians of one drag."""
    timed(room, settings_at(0.2), "exact", view)
    runs = [timed(room, settings_at(0.2 + 0.6 * k / frames), "live", view) for k in range(1, frames + 1)]
    exact, *cost = timed(room, settings_at(0.8), "exact", view)
    pieces = {name: [frame.timings.get(name, 0.0) for frame, _, _ in runs] for name in runs[-1][0].timings}
    live = runs[-1][0].pixels
    return {
        "live_ms": round(statistics.median(wall for _, wall, _ in runs), 1),
        "live_processor_ms": round(statistics.median(processor for _, _, processor in runs), 1),
        "exact_ms": round(cost[0], 1),
        "exact_processor_ms": round(cost[1], 1),
        "live_is_exact": runs[-1][0].exact,
        "near": round(float(np.abs(live.astype(int) - exact.pixels).mean()), 3),
        "pieces_ms": {name: round(statistics.median(values), 1) for name, values in pieces.items()},
    }


def measure(engine, photo, options):
    """Results of one photo by drag."""
    start = time.perf_counter()
    engine.warm([photo.raw.image.shape[:2]], lambda line: print(line, flush=True))
    found = {"warm_s": round(time.perf_counter() - start, 1)}
    room = engine.open(photo)
    view = {"kind": "crop", "top": 900, "left": 1200, "height": 800, "width": 1200} if options.crop else None
    for name, (settings_at, budget) in DRAGS.items():
        found[name] = drag(room, settings_at, options.frames) | {"budget_ms": budget}
        print(line(name, found[name]), flush=True)
    for name in ("contrast", "exposure") if options.crop else ():
        found[f"{name} at 1:1"] = drag(room, DRAGS[name][0], options.frames, view)
        print(line(f"{name} at 1:1", found[f"{name} at 1:1"]), flush=True)
    room.close()
    return found


def line(name, n):
    """A result as a line of a table."""
    slow = sorted(n["pieces_ms"].items(), key=lambda item: -item[1])[:4]
    cells = [
        f"{n['live_ms']:.0f} ms",
        f"{n['live_processor_ms']:.0f} ms",
        f"{n['exact_ms']:.0f} ms",
        f"{n['near']:.2f}",
    ]
    return f"| {name} | {' | '.join(cells)} | {', '.join(f'{piece} {ms:.0f}' for piece, ms in slow)} |"


def main(options: Options):
    compile_cache.enable()
    about, engine = common.machine(), Engine()
    photos = {path.stem: read_input(path, READING) for path in options.photos}
    results = {}
    for name, photo in (photos or {"synthetic": Input(synthetic(), {}, None)}).items():
        print(f"\n{name}\n| slider | live | processor | then exact | near | slowest pieces in ms |\n{'|---' * 6}|")
        results[name] = measure(engine, photo, options)
    if options.write:
        print(f"written to {common.write_results('editor_engine', results, about)}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
