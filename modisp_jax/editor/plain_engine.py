"""A stand-in for the engine, until it is there: renders the whole proxy anew for each frame."""

import time
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from modisp_jax.checkpoints import load_params
from modisp_jax.editor.settings import options_of, style_of
from modisp_jax.inputs import read_input
from modisp_jax.io.images import apply_orientation, quantize
from modisp_jax.pipeline import render_stages
from modisp_jax.render_settings import as_edits, set_light
from modisp_jax.resample import resize_bilinear
from modisp_jax.types import Raw

PROXY_SIDE = 512


class Cancelled(Exception):
    pass


class Frame(NamedTuple):
    pixels: Any
    exact: bool
    histogram: Any
    clipped: dict
    light: dict
    note: str
    auto_exposure: float
    size: tuple
    timings: dict


class Engine:
    def __init__(self, params="default", awb=None):
        self.params, self.awb, self.sets = params, awb, {}

    def warm(self, sizes, say):
        del sizes
        say("compiling")

    def params_of(self, settings):
        style = style_of(settings)
        if style not in self.sets:
            self.sets[style] = load_params(self.params, style=style)
        return self.sets[style]

    def open(self, path):
        return Darkroom(self, path)


class Darkroom:
    def __init__(self, engine, path):
        self.engine = engine
        raw = read_input(path, options_of({})).raw
        self.full = raw.image.shape[:2]
        scale = min(1.0, PROXY_SIDE / max(self.full))
        size = tuple(max(16, round(side * scale)) for side in self.full)
        self.raw = Raw(
            resize_bilinear(jnp.asarray(raw.image), size), raw.illuminant, raw.ccm, raw.saturation, raw.metadata
        )
        self.orientation = raw.metadata.orientation
        self.size = self.full if self.orientation < 5 else self.full[::-1]

    def render(self, settings, view, quality, cancelled=None):
        del quality, cancelled
        start = time.perf_counter()
        options = options_of(settings)
        raw, light, note = set_light(self.raw, options)
        edits = as_edits(options.edits, self.orientation)
        stages = render_stages(self.engine.params_of(settings), raw, edits=edits)
        name = view.get("name") if view.get("kind") == "stage" else "srgb"
        image = getattr(stages, name, stages.srgb)
        pixels = apply_orientation(quantize(np.asarray(image)), self.orientation)
        if view.get("kind") == "crop":
            h, w = int(view["height"]), int(view["width"])
            pixels = np.resize(pixels, (h, w, 3))
        luma = pixels.astype(np.float32) @ np.float32([0.2126, 0.7152, 0.0722])
        planes = [*(pixels[..., k] for k in range(3)), np.rint(luma).astype(np.uint8)]
        histogram = np.stack([np.bincount(plane.ravel(), minlength=256) for plane in planes])
        clipped = {"low": float((pixels == 0).all(-1).mean()), "high": float((pixels == 255).any(-1).mean())}
        crop = settings.get("edits", {}).get("crop", [0, 0, 1, 1])
        size = (max(1, round(self.size[0] * crop[2])), max(1, round(self.size[1] * crop[3])))
        timings = {"total": 1000 * (time.perf_counter() - start)}
        ev = float(stages.auto_exposure)
        return Frame(np.ascontiguousarray(pixels), True, histogram, clipped, light, note, ev, size, timings)

    def pick(self, settings, x, y, radius):
        del settings
        image = apply_orientation(np.asarray(self.raw.image), self.orientation)
        row, column = int(y * (image.shape[0] - 1)), int(x * (image.shape[1] - 1))
        r = max(1, int(radius * max(image.shape)))
        return image[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1].mean((0, 1))

    def light(self, settings):
        return set_light(self.raw, options_of(settings))[1]

    def stages(self, settings):
        del settings
        return [
            {"name": name, "title": name, "kind": "image"} for name in ("exposed", "denoised", "linear", "enhanced")
        ]

    def curves(self, settings):
        del settings
        line = [[k / 16, k / 16] for k in range(17)]
        nodes = np.linspace(-0.5, 0.5, 24)
        lut = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1)
        return {"gtm": line, "gamma": line, "chroma_lut": lut.tolist(), "gain": 1.0}

    def close(self):
        self.raw = None
