"""The engine of the photo editor: a photo is rendered piece by piece, and only what a setting changes is computed.

An :class:`Engine` holds the parameters, a :class:`Darkroom` one photo: its raw, a small copy of it (the proxy), and the
pieces of their renderings. All calls come from one thread.
"""

import dataclasses
import math
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from modisp_jax import compile_cache
from modisp_jax.checkpoints import list_styles, load_params, mix_weights
from modisp_jax.editor.light import Lights, picked_illuminant
from modisp_jax.editor.recipe import recipe_of
from modisp_jax.editor.views import STAGE_VIEWS, curves, stage_pixels, tones
from modisp_jax.editor.warm import warm_room
from modisp_jax.editor.window import affine, window_pixels
from modisp_jax.editor.worktop import Cancelled, Worktop
from modisp_jax.inputs import Input, read_input
from modisp_jax.io.images import apply_orientation, crop_as_stored
from modisp_jax.io.resize import resize_area
from modisp_jax.mix import mix_styles
from modisp_jax.ops.geometry import crop_box
from modisp_jax.pipeline import MIN_SIDE
from modisp_jax.types import Raw
from modisp_jax.white_balance import set_white_balance, white_balance_of

__all__ = ["PROXY_SIDE", "Cancelled", "Darkroom", "Engine", "Frame"]

PROXY_SIDE = 1500
"""Pixels on the long side of the proxy."""

KEPT_AT_FULL_SIZE = (
    "restored",
    "light",
    "linear",
    "adjusted",
    *(f"{name}{look}" for name in ("gain", "gtm", "ltm", "rgb_lut", "chroma", "gamma") for look in ("_look", "")),
    "grid",
    "pixels",
)
"""Pieces of the full-size rendering that stay: of large ones the denoised raw and the linear picture, and the finished
one in eight bits."""

LARGEST_KEPT = 25_000_000
"""Pixels of a photo up to which the full-size picture before and after its enhancement stays as well."""

READING = SimpleNamespace(demosaic="libraw", linearize="inverse", networks=None, stored_settings=True)
"""Options of reading, as ``modisp render`` has them by default."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """A view of a photo, and what there is to say about it."""

    pixels: np.ndarray
    """uint8 [h, w, 3], upright."""
    exact: bool
    """Whether it is what rendering gives; else it is near."""
    size: tuple
    """(height, width) of the full upright picture after the crop."""
    histogram: np.ndarray
    """Counts [4, 256] of R, G, B and luma of what is shown; of a live frame those of every fourth pixel, times 4."""
    clipped: dict
    """Shares of the same pixels with a channel at 0 (``low``) and at 255 (``high``)."""
    light: dict
    """The light that is white: mode, cct, tint, illuminant."""
    note: str
    """The white balance's remark or ""."""
    auto_exposure: float | None
    """EV that automatic exposure added; None where it was not computed for this view."""
    timings: dict
    """Milliseconds by piece; what is not here was not computed."""
    range: tuple | None = None
    """Of a map: what black and white stand for."""


class Engine:
    """What photos are rendered with.

    Args:
      params: name or file of a parameter set as ``modisp render --params`` takes it, or a parameter set.
      styles: {name: parameter set} to use besides those that ship.
      awb: file with white-balance networks, as ``--awb``.
      holds: whether live frames reuse the local tone maps of the last exact one; by default on CPUs.
    """

    def __init__(self, params="default", *, styles=None, awb=None, holds=None):
        self._source = params
        own = params if isinstance(params, dict) else load_params(params)
        if "photofinish" not in own:
            raise ValueError(f"params {params}: expected a set with photofinishing, got one without")
        self.denoiser = own.get("denoise")
        self._styles = {None: own} | dict(styles or {})
        self._awb = awb
        self.holds = jax.default_backend() == "cpu" if holds is None else holds

    def style(self, name):
        """The parameter set of a style, loaded when first asked for; None is the one without ``--style``."""
        if name not in self._styles:
            source = "default" if isinstance(self._source, dict) else self._source
            loaded = load_params(source, style=name)
            self._styles[name] = {key: loaded[key] for key in ("photofinish", "enhance") if key in loaded}
        return self._styles[name]

    @property
    def style_names(self):
        """Of all styles that a mix can have, without what has no name."""
        return tuple(dict.fromkeys([*list_styles(), *(name for name in self._styles if name is not None)]))

    def params_of(self, settings):
        """The parameter set with which ``render`` makes what settings ask for."""
        recipe = recipe_of(settings)
        mix = [(part["style"], part.get("weight", 1.0), part.get("weights", {})) for part in settings.get("mix", [])]
        denoise = {} if self.denoiser is None else {"denoise": self.denoiser}
        if not mix:
            return self._styles[None]
        mixed = mix_styles([self.style(name) for name, _, _ in mix], mix_weights(mix)[0])
        enhance = {key: value for key, value in self.style(recipe["enhance_style"]).items() if key == "enhance"}
        return denoise | {"photofinish": mixed["photofinish"]} | enhance

    def warm(self, sizes, say, full=False):
        """Compiles ahead what photos of these sizes can need; afterwards no slider waits for the compiler.

        Args:
          sizes: (height, width) of each photo as its file stores it; equal ones count once.
          say: called with a line before each step.
          full: also what the exact view at 1:1 needs, which takes as long as rendering each size three times.
        """
        compile_cache.enable()
        for size in dict.fromkeys(tuple(size) for size in sizes):
            image = jnp.full((*size, 3), 0.2, jnp.float32)
            room = self.open(Raw(image, jnp.array([0.5, 1.0, 0.6], jnp.float32), jnp.eye(3), jnp.ones(3)))
            warm_room(room, self, say, full)
            room.close()

    def open(self, photo, linearize="inverse"):
        """A :class:`Darkroom` for a photo: its path, an ``inputs.Input``, or a :class:`modisp_jax.Raw`.

        ``linearize``: how a finished photo becomes a raw, as ``modisp render --linearize``.
        """
        if isinstance(photo, Raw):
            photo = Input(photo, {}, None)
        if not isinstance(photo, Input):
            photo = read_input(photo, SimpleNamespace(**vars(READING) | {"linearize": linearize}))
        return Darkroom(photo, self, self._awb)


class Darkroom:
    """One photo: the raw, its proxy, and what has been computed of them."""

    def __init__(self, photo, engine, awb=None):
        self.stored_settings, self.linearized = photo.settings, photo.linearized
        self._raw, self._engine = photo.raw, engine
        self._orientation = getattr(photo.raw.metadata, "orientation", None) or 1
        self._lights = Lights(photo.raw, awb)
        self._proxy = _proxy_of(photo.raw)
        self._desk = Worktop(self._proxy, self._lights, engine)
        is_small = self._proxy is photo.raw
        keep = (
            (*KEPT_AT_FULL_SIZE, "enhanced")
            if math.prod(photo.raw.image.shape[:2]) <= LARGEST_KEPT
            else KEPT_AT_FULL_SIZE
        )
        self._table = self._desk if is_small else Worktop(photo.raw, self._lights, engine, keep)

    @property
    def worktops(self):
        """Those of the full-size photo and of the proxy; one and the same where the photo is small."""
        return self._table, self._desk

    @property
    def size(self):
        """(height, width) of the upright full picture before any crop."""
        return self._upright_size(self._raw.image.shape[:2])

    @property
    def proxy_size(self):
        """(height, width) of the upright proxy before any crop."""
        return self._upright_size(self._proxy.image.shape[:2])

    def light(self, settings):
        """The light that the settings make white: a ``Light`` with illuminant, ccm, about and note."""
        return self._lights.find(recipe_of(settings, self._orientation)["white_balance"])

    def raw(self, settings, full=False):
        """The proxy, or the full raw, under the light that the settings ask for."""
        light = self.light(settings)
        illuminant, ccm = jnp.asarray(light.illuminant), jnp.asarray(light.ccm)
        return dataclasses.replace(self._raw if full else self._proxy, illuminant=illuminant, ccm=ccm)

    def render(self, settings, view=None, quality="exact", cancelled=None):
        """A :class:`Frame`.

        Args:
          settings: in normal form.
          view: ``{"kind": "proxy", "long_side": n}``, ``{"kind": "crop", "top", "left", "height", "width"}`` in pixels
            of the upright, rotated, cropped full picture, or ``{"kind": "stage", "name"}``.
          quality: ``"live"``, quickly, from what is there, or ``"exact"``.
          cancelled: a function that is asked between pieces whether the frame is still wanted.

        Raises:
          Cancelled: it is not wanted any more.
          ValueError: an unknown view or quality.
        """
        view = {"kind": "proxy"} if view is None else view
        if quality not in ("live", "exact"):
            raise ValueError(f"quality: expected live or exact, got {quality!r}")
        views = {"proxy": self._proxy_view, "crop": self._crop_view, "stage": self._stage_view}
        if view.get("kind") not in views:
            raise ValueError(f"view: expected a kind of {', '.join(views)}; got {view.get('kind')!r}")
        recipe = recipe_of(settings, self._orientation)
        shops = {id(shop): shop for shop in (self._desk, self._table)}.values()
        for shop in shops:
            shop.begin(cancelled)
        try:
            pixels, exact, about = views[view["kind"]](recipe, view, quality == "live")
            return self._frame(recipe, pixels, exact, about, every=2 if quality == "live" else 1)
        finally:
            for shop in shops:
                shop.end()

    def pick(self, settings, x, y, radius=0.004):
        """Camera RGB of white [3], G = 1, of the spot about a point, for the mode ``picked`` of the white balance.

        Args:
          settings: of which rotation counts.
          x, y: of the upright rotated picture before the crop, in parts of its width and height.
          radius: in parts of the long side.

        Raises:
          ValueError: the spot is clipped or black.
        """
        rotation = settings.get("edits", {}).get("rotation", 0.0)
        x, y = _unrotated(x, y, rotation, self.size)
        top, left, _, _ = crop_as_stored((y, x, 0.0, 0.0), self._orientation)
        height, width = self._proxy.image.shape[:2]
        reach = max(1, round(radius * max(height, width)))
        row, column = (min(max(int(part * n), 0), n - 1) for part, n in ((top, height), (left, width)))
        first = max(row - reach, 0), max(column - reach, 0)
        return picked_illuminant(self._proxy.image, self._proxy.saturation, *first, 2 * reach + 1, 2 * reach + 1)

    def light_of(self, illuminant):
        """(CCT in K, tint) of an illuminant for this photo's camera."""
        return white_balance_of(set_white_balance(self._raw, illuminant=np.asarray(illuminant, np.float64)))

    def stages(self, settings):
        """The stages that can be viewed, in order: dicts with name, title and kind (image or map)."""
        recipe = recipe_of(settings)
        has_lut = any("rgb_lut" in self._engine.style(style)["photofinish"] for style in recipe["styles"])
        views = {name: view for name, view in STAGE_VIEWS.items() if has_lut or name != "rgb_lut"}
        return [{"name": name, "title": title, "kind": kind} for name, (title, kind) in views.items()]

    def curves(self, settings):
        """The look's gain, tone curves and chroma LUT, see ``views.curves``."""
        self._desk.begin()
        return curves(self._desk, recipe_of(settings, self._orientation))

    def close(self):
        """Lets go of everything; the darkroom is of no use afterwards."""
        self._raw = self._proxy = self._desk = self._table = self._lights = None

    def _proxy_view(self, recipe, view, live):
        shop = self._desk
        pixels, exact = shop.live(recipe) if live else (shop.want("pixels", recipe), True)
        pixels = self._upright(_crop(pixels, recipe["crop"]))
        return _shrunk(pixels, view.get("long_side")), exact, shop.timings

    def _crop_view(self, recipe, view, live):
        shop = self._table
        if not live or shop.is_current("pixels", recipe) or shop is self._desk:
            pixels, exact = shop.live(recipe) if live else (shop.want("pixels", recipe), True)
            return _window(self._upright(_crop(pixels, recipe["crop"])), view), exact, shop.timings
        box = self._stored_box(_box(view, self._size_after_crop(recipe)), recipe)
        start = time.perf_counter()
        pixels = window_pixels(shop, self._desk, recipe, box)
        if pixels is None:
            return self._enlarged(recipe, view)
        timings = self._desk.timings
        return self._upright(pixels), False, timings | {"window": 1e3 * (time.perf_counter() - start)}

    def _stored_box(self, box, recipe):
        """A box of the upright cropped picture as one of the stored picture without crop."""
        height, width = self._size_after_crop(recipe)
        parts = box[0] / height, box[1] / width, box[2] / height, box[3] / width
        stored = self._upright_size((height, width))
        top, left, *sides = (
            round(p * n) for p, n in zip(crop_as_stored(parts, self._orientation), stored * 2, strict=True)
        )
        if recipe["crop"] is not None:
            first = crop_box(self._raw.image.shape[:2], recipe["crop"])
            top, left = top + first[0], left + first[1]
        return top, left, *sides

    def _enlarged(self, recipe, view):
        """A crop of the live proxy, enlarged."""
        pixels, _ = self._desk.live(recipe)
        pixels = self._upright(_crop(pixels, recipe["crop"]))
        size = self._size_after_crop(recipe)
        top, left, height, width = _box(view, size)
        down, across = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
        box = (left * across, top * down, (left + width) * across, (top + height) * down)
        found = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box=box)
        return np.asarray(found), False, self._desk.timings

    def _stage_view(self, recipe, view, live):
        del live
        pixels, span = stage_pixels(view.get("name"), self._desk, recipe)
        pixels = _crop(pixels, recipe["crop"]) if view.get("name") == "srgb" else pixels
        return self._upright(pixels), True, self._desk.timings | ({} if span is None else {"range": span})

    def _frame(self, recipe, pixels, exact, timings, every):
        start = time.perf_counter()
        histogram, clipped = tones(pixels, every)
        light = self._lights.find(recipe["white_balance"])
        timings = dict(timings)
        span = timings.pop("range", None)
        timings["tones"] = 1e3 * (time.perf_counter() - start)
        return Frame(
            pixels,
            exact,
            self._size_after_crop(recipe),
            histogram,
            clipped,
            light.about,
            light.note,
            self._auto_exposure(),
            timings,
            span,
        )

    def _auto_exposure(self):
        for shop in (self._desk, self._table):
            found = shop.kept("adjusted")
            if found is not None:
                return float(found[2])
        return None

    def _upright(self, pixels):
        return _turned(pixels, self._orientation)

    def _upright_size(self, size):
        return size[::-1] if self._orientation >= 5 else tuple(size)

    def _size_after_crop(self, recipe):
        size = self._raw.image.shape[:2]
        return self._upright_size(size if recipe["crop"] is None else crop_box(size, recipe["crop"])[2:])


def proxy_size(size):
    """(height, width) of the proxy of a photo of (height, width) ``size``: at most ``PROXY_SIDE`` on the long side."""
    scale = PROXY_SIDE / max(size)
    small = tuple(max(round(side * scale), MIN_SIDE) for side in size)
    return tuple(size) if scale >= 1 or small[0] > size[0] or small[1] > size[1] else small


def _proxy_of(raw):
    """The raw averaged over areas to the proxy's size; itself where that is its own."""
    size = raw.image.shape[:2]
    small = proxy_size(size)
    if small == size:
        return raw
    return dataclasses.replace(raw, image=jnp.asarray(resize_area(np.asarray(raw.image), small)))


def _turned(pixels, orientation):
    """Pixels [h, w, 3] of bytes as they are seen upright; as elements of three bytes, which copies in half the time."""
    whole = np.ascontiguousarray(pixels).view("V3")[..., 0]
    turned = np.ascontiguousarray(apply_orientation(whole, orientation))
    return turned.view(pixels.dtype).reshape(*turned.shape, 3)


def _crop(pixels, crop):
    if crop is None:
        return pixels
    top, left, height, width = crop_box(pixels.shape[:2], crop)
    return pixels[top : top + height, left : left + width]


def _box(view, size):
    """(top, left, height, width) of a crop view, moved and cut to lie within a picture of ``size``."""
    try:
        top, left, height, width = (int(view[name]) for name in ("top", "left", "height", "width"))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"view: expected a crop's top, left, height and width in pixels, got {view}") from None
    if height < 1 or width < 1:
        raise ValueError(f"view: expected a crop of at least one pixel, got {height} x {width}")
    height, width = min(height, size[0]), min(width, size[1])
    return min(max(top, 0), size[0] - height), min(max(left, 0), size[1] - width), height, width


def _window(pixels, view):
    top, left, height, width = _box(view, pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _shrunk(pixels, long_side):
    """Pixels with at most ``long_side`` on the long side, averaged over areas."""
    height, width = pixels.shape[:2]
    if long_side is None or long_side >= max(height, width):
        return pixels
    scale = max(int(long_side), 1) / max(height, width)
    return resize_area(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def _unrotated(x, y, degrees, size):
    """The point of the picture before the rotation that is seen at (x, y), in parts of its sides."""
    cosine, sine, _, _ = affine(degrees, size)
    u, v = (x - 0.5) * size[1], (y - 0.5) * size[0]
    return 0.5 + (cosine * u + sine * v) / size[1], 0.5 + (cosine * v - sine * u) / size[0]
