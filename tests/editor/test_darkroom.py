"""The editor's engine: exact frames are renderings, live ones are near, and only what a setting changes is computed."""

import dataclasses
import functools
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax.config import EDIT_RANGES
from modisp_jax.editor import darkroom, pieces, views, window
from modisp_jax.editor.pieces import BEFORE, NEEDS, PIECES
from modisp_jax.editor.recipe import NAMES, recipe_of, render_config
from modisp_jax.io.images import apply_orientation, quantize, write_image
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.pipeline import cropped
from modisp_jax.render_settings import as_edits, neutral_edits
from modisp_jax.white_balance import estimate_white_balance
from tests.samples import TINY, numbered_params, photo, raw

SIZE, LARGE, PROXY = (48, 64), (96, 128), 64
"""Of photos that are their own proxy, and of those whose proxy is half as large."""
TONED = {"contrast": 0.3, "shadows": 0.2, "vibrance": 0.2, "gtm": 0.7}
PICTURE = {"sharpening": 8.0, "rotation": 3.0, "enhance": 0.6}


def params(k):
    """Every network does something, and not much."""
    start = mj.init_params(jax.random.key(0), TINY)
    # On the host: each shape of a leaf would be compiled for.
    start, numbered = jax.device_get((start, numbered_params(start)))
    return jax.device_put(jax.tree.map(lambda a, b: a + np.float32(0.1 + 0.05 * k) * (b - a), start, numbered))


@pytest.fixture(scope="module")
def engine():
    return darkroom.Engine(params(0), styles={"vivid": params(1), "mono": params(2)}, holds=True)


@pytest.fixture
def open_room(engine, monkeypatch):
    """A function that opens a photo as stored with an orientation."""
    monkeypatch.setattr(darkroom, "PROXY_SIDE", PROXY)
    monkeypatch.setattr(window, "TILE", 48)

    def opened(orientation=1, size=SIZE, photo=None):
        photo = raw(*size) if photo is None else photo
        return engine.open(dataclasses.replace(photo, metadata=RawMetadata(orientation=orientation)))

    return opened


@pytest.fixture
def room(open_room):
    return open_room()


@functools.lru_cache
def oracle(config):
    """``render`` as one program, whatever the edits."""
    return jax.jit(functools.partial(mj.render, config=config))


@functools.lru_cache
def stages_oracle():
    """``render_stages`` of a proxy as one program whatever the edits: a function of (engine, room, settings)."""
    program = jax.jit(mj.render_stages)

    def stages(engine, room, settings):
        return program(engine.params_of(settings), room.raw(settings), edits=as_edits(settings.get("edits", {}), 1))

    return stages


def rendered(engine, room, settings, orientation=1, full=False):
    """What rendering makes of a darkroom's proxy, or of the full raw, as a frame has it."""
    edits = as_edits(settings.get("edits", {}), orientation)
    one = room.raw(settings, full)
    crop, edits = edits.crop, dataclasses.replace(edits, crop=None)
    picture = cropped(oracle(render_config(settings))(engine.params_of(settings), one, edits=edits), crop)
    return apply_orientation(quantize(picture), orientation)


def assert_near(pixels, expected, most=1, mean=0.02):
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= most
    assert difference.mean() <= mean


SETTINGS = {
    "edits": {"edits": TONED | PICTURE | {"exposure": 0.5, "auto_exposure": 0.5, "denoise": 0.4}},
    "published": {
        "operators": "published",
        "clipped_highlights": "clip",
        "halo_fix": 3,
        "edits": TONED | {"chroma_denoise": 0.5},
    },
    "without networks": {
        "edits": {"denoise": 0.0, "enhance": 0.0, "crop": [0.1, 0.2, 0.5, 0.7]},
        "white_balance": {"mode": "custom", "cct": 4200, "tint": 5.0},
    },
    "a mix": {
        "mix": [{"style": "vivid", "weight": 0.7}, {"style": "mono", "weight": 0.3, "weights": {"chroma": 1.0}}],
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_exact_frame_is_the_rendering(engine, room, name):
    room.render({}, quality="live")
    room.render(SETTINGS[name], quality="live")  # what is held for it must not remain
    frame = room.render(SETTINGS[name], quality="exact")
    assert frame.exact
    assert_near(frame.pixels, rendered(engine, room, SETTINGS[name]))


@pytest.mark.parametrize("orientation", [2, 6])
def test_frames_are_upright(engine, open_room, orientation):
    room = open_room(orientation)
    settings = {"edits": {"rotation": 5.0, "crop": [0.1, 0.2, 0.5, 0.7]}}
    assert room.size == (SIZE if orientation == 2 else SIZE[::-1])
    frame = room.render(settings)
    assert_near(frame.pixels, rendered(engine, room, settings, orientation))
    assert frame.size == frame.pixels.shape[:2]


def test_a_finished_photo_is_read_as_it_is_asked_for(engine, tmp_path):
    path = write_image(tmp_path / "a.png", photo(*SIZE))
    room = engine.open(path, "curve")
    assert room.linearized == "curve"
    np.testing.assert_array_equal(room.raw({}).image, mj.read_photo_as_raw(path, method="curve").image)


def test_the_table_names_what_there_is():
    assert set(pieces.MAKE) == set(PIECES)
    used = {name for piece in PIECES.values() for name in piece.settings}
    assert used | {"crop"} == set(NAMES)
    for place, (name, piece) in enumerate(PIECES.items()):
        assert set(piece.after) <= set(list(PIECES)[:place]), name


CHANGES = {
    **{name: {"edits": {name: 0.5 * EDIT_RANGES[name][1]}} for name in EDIT_RANGES},
    "white_balance": {"white_balance": {"mode": "custom", "cct": 4000, "tint": 0.0}},
    "operators": {"operators": "published"},
    "clipped_highlights": {"clipped_highlights": "clip"},
    "styles": {"mix": [{"style": "vivid", "weight": 1.0}]},
    "halo_fix": {"halo_fix": 3},
}


@pytest.mark.parametrize("setting", CHANGES)
def test_only_what_a_setting_changes_is_computed(room, setting):
    room.render({})
    ran = set(room.render(CHANGES[setting]).timings) - {"tones"}
    before, after = recipe_of({}), recipe_of(CHANGES[setting])
    changed = {name for name in NAMES if before[name] != after[name]}
    assert setting in changed
    touched = {name for name, piece in PIECES.items() if changed & set(piece.settings)}
    assert ran == {name for name in PIECES if name in touched or BEFORE[name] & touched}
    assert set(room.render(CHANGES[setting]).timings) == {"tones"}  # nothing for what is there
    if setting not in ("exposure", "white_balance", "denoise", "clipped_highlights"):
        assert "linear" not in ran


def test_a_slider_runs_nothing_before_it():
    assert "auto_exposure" not in NEEDS["linear"]
    assert "contrast" in NEEDS["chroma_look"]
    assert "contrast" not in NEEDS["ltm_look"]
    assert "sharpening" not in NEEDS["enhanced"]


@pytest.mark.parametrize("edits", [{"contrast": 0.3}, {"exposure": 0.3}, {"ltm": 0.0}, {"auto_exposure": 0.4}])
def test_a_live_frame_is_near_and_runs_no_network_of_full_size(room, edits):
    room.render({})
    live, exact = (room.render({"edits": edits}, quality=quality) for quality in ("live", "exact"))
    assert not live.exact
    assert not {"restored", "ltm_look", "enhanced"} & set(live.timings)
    before = room.render({}).pixels
    change = np.abs(before.astype(int) - exact.pixels).mean()
    # A small picture gives the live fit of guided upsampling few pixels: a level of 255 is no more than that.
    assert np.abs(live.pixels.astype(int) - exact.pixels).mean() < max(0.5 * change, 1.0)
    assert room.render({}, quality="live").exact  # it is there


def test_a_live_frame_is_exact_where_that_is_quick(room):
    room.render({})
    frame = room.render({"edits": PICTURE}, quality="live")
    assert frame.exact
    assert set(frame.timings) == {"pixels", "tones"}


def test_the_first_live_frame_runs_no_denoiser(room):
    frame = room.render({}, quality="live")
    assert not frame.exact
    assert not {"restored", "enhanced"} & set(frame.timings)


def test_live_frames_of_a_mix_hold_the_maps(room):
    mix = lambda w: {"mix": [{"style": "vivid", "weight": w}, {"style": "mono", "weight": 1.0 - w}]}  # noqa: E731
    room.render(mix(0.5))
    assert "ltm_look" not in room.render(mix(0.6), quality="live").timings
    other = {"mix": [{"style": "mono", "weight": 1.0}]}
    assert "ltm_look" not in room.render(other, quality="live").timings
    assert "ltm_look" in room.render({}, quality="live").timings  # nothing is known of that style


@pytest.mark.slow
@pytest.mark.parametrize(
    ("orientation", "edits"),
    [(1, {}), (6, {"crop": [0.1, 0.05, 0.8, 0.9]}), (2, {"rotation": 6.0, "sharpening": 5.0})],
)
def test_crops_at_full_size(engine, open_room, orientation, edits):
    room = open_room(orientation, LARGE)
    settings = {"edits": edits | {"gtm": 0.8}}
    whole = rendered(engine, room, settings, orientation, full=True)
    view = {"kind": "crop", "top": 7, "left": 11, "height": 60, "width": 50}
    expected = whole[7:67, 11:61]
    first = room.render(settings, view, "live")
    assert not first.exact
    assert first.pixels.shape == expected.shape
    frame = room.render(settings, view, "exact")
    assert frame.exact
    assert frame.size == whole.shape[:2]
    assert_near(frame.pixels, expected)
    assert room.render(settings, view, "live").exact

    brighter = {"edits": settings["edits"] | {"exposure": 0.5}}
    live, exact = (room.render(brighter, view, quality) for quality in ("live", "exact"))
    assert not live.exact
    assert "window" in live.timings
    change = np.abs(frame.pixels.astype(int) - exact.pixels).mean()
    assert np.abs(live.pixels.astype(int) - exact.pixels).mean() < 0.5 * change


def test_a_crop_is_moved_into_the_picture(open_room):
    room = open_room()
    view = {"kind": "crop", "top": 1000, "left": -5, "height": 40, "width": 1000}
    assert room.render({}, view, "live").pixels.shape == (40, SIZE[1], 3)
    for bad in ({"kind": "crop", "top": 0}, {"kind": "crop", "top": 0, "left": 0, "height": 0, "width": 5}):
        with pytest.raises(ValueError, match="view: expected a crop"):
            room.render({}, bad)


def test_windows_by_gathers_are_those_of_the_kernel():
    rng = np.random.default_rng(0)
    grid = jnp.asarray(rng.standard_normal((4, 5, 16, 3, 4)), jnp.float32)
    image = jnp.asarray(rng.uniform(-0.1, 1.1, (20, 24, 3)), jnp.float32)
    whole = jnp.asarray(rng.uniform(0, 1, (60, 80, 3)), jnp.float32).at[30:50, 40:64].set(image)
    expected = np.clip(mj.ops.guided_upsample.apply_affine_grid(grid, whole)[30:50, 40:64], 0, 1)
    np.testing.assert_allclose(window.apply_at(grid, image, (30, 40), (60, 80)), expected, atol=2e-5)
    places = [p for n, first, g, of in ((20, 30, 4, 60), (24, 40, 5, 80)) for p in window.places(first, n, g, of)]
    gathered = jax.jit(window.by_gather)(grid.reshape(4, 5, 16, 12), mj.color.luma(image) * 15, image, *places)
    np.testing.assert_allclose(np.clip(gathered, 0, 1), expected, atol=2e-5)


def test_stage_views_are_the_stages(engine, room):
    settings = {"edits": {"denoise": 0.5, "contrast": 0.2}}
    stages = stages_oracle()(engine, room, settings)
    listed = room.stages(settings)
    assert [stage["name"] for stage in listed] == [name for name in views.STAGE_VIEWS if name != "rgb_lut"]
    for stage in listed:
        frame = room.render(settings, {"kind": "stage", "name": stage["name"]})
        assert (frame.range is None) == (stage["kind"] == "image")
    show = lambda name: room.render(settings, {"kind": "stage", "name": name})  # noqa: E731
    assert_near(show("denoised").pixels, quantize(mj.color.srgb_encode(stages.denoised)), mean=0.05)
    assert_near(show("global_tone").pixels, quantize(mj.color.srgb_encode(stages.finished.global_tone)), mean=0.05)
    assert_near(show("enhanced").pixels, quantize(stages.enhanced), mean=0.05)
    maps = show("ltm_w")
    plane = np.asarray(stages.look.ltm[..., 0])
    np.testing.assert_allclose(maps.range, (plane.min(), plane.max()), atol=1e-4)
    for bad in ("rgb_lut", "nothing"):
        with pytest.raises(ValueError, match="stage"):
            show(bad)


def test_curves_are_those_of_the_look(engine, room):
    look = stages_oracle()(engine, room, {}).look
    curves = room.curves({"edits": {"gtm": 0.5}})
    assert curves["gain"] == pytest.approx(float(look.gain), abs=1e-4)
    x, y = np.array(curves["gtm"]).T
    np.testing.assert_allclose(y, mj.ops.tone_curve.tone_curve(x, *look.gtm), atol=1e-3)
    assert np.shape(curves["chroma_lut"]) == (24, 24, 2)
    assert curves["strengths"]["gtm"] == 0.5


def test_tones_count_what_is_shown():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    pixels[:3] = 255
    counts, clipped = views.tones(pixels)
    for channel in range(3):
        np.testing.assert_array_equal(counts[channel], np.bincount(pixels[..., channel].ravel(), minlength=256))
    assert counts[3].sum() == 1200
    assert clipped == {"low": (pixels == 0).any(-1).mean(), "high": (pixels == 255).any(-1).mean()}


def test_light_is_found_as_rendering_does(room):
    frame = room.render({"white_balance": {"mode": "auto"}}, quality="live")
    found = estimate_white_balance(dataclasses.replace(raw(*SIZE), metadata=RawMetadata(orientation=1)))
    np.testing.assert_allclose(frame.light["illuminant"], found.illuminant, atol=1e-4)
    assert frame.light["mode"] == "auto"
    custom = room.render({"white_balance": {"mode": "custom", "cct": 4000, "tint": 3.0}}, quality="live").light
    assert (custom["cct"], custom["tint"]) == (4000, 3.0)


@pytest.mark.parametrize(("orientation", "rotation"), [(1, 0.0), (6, 0.0), (1, 10.0), (6, -10.0)])
def test_a_picked_spot_becomes_grey(engine, open_room, orientation, rotation):
    """A patch of one colour, found through rotation and orientation, in the picture without networks."""
    plain = raw(*SIZE)
    image = np.asarray(plain.image).copy()
    image[10:20, 40:52] = [0.2, 0.3, 0.1]
    room = open_room(orientation, photo=dataclasses.replace(plain, image=jnp.asarray(image)))
    marked = np.zeros((*SIZE, 3), np.float32)
    marked[10:20, 40:52] = 1.0
    angle = as_edits({"rotation": rotation}, orientation).rotation
    turned = apply_orientation(mj.ops.geometry.rotate(marked, angle), orientation)
    y, x, _ = np.argwhere(turned > 0.99).mean(axis=0)
    settings = {"edits": {"rotation": rotation}}
    picked = room.pick(settings, (x + 0.5) / turned.shape[1], (y + 0.5) / turned.shape[0], radius=0.02)
    np.testing.assert_allclose(picked, [2 / 3, 1, 1 / 3], atol=1e-3)
    frame = room.render({"white_balance": {"mode": "picked", "illuminant": list(picked)}}, quality="live")
    np.testing.assert_allclose(frame.light["illuminant"], picked, atol=1e-5)


def test_clipped_and_black_spots_are_no_white(open_room):
    for value in (0.0, 1.0):
        room = open_room(photo=dataclasses.replace(raw(*SIZE), image=jnp.full((*SIZE, 3), value)))
        with pytest.raises(ValueError, match="neither clipped nor black"):
            room.pick({}, 0.5, 0.5)


def test_a_cancelled_frame_leaves_no_trace(room):
    room.render({})
    settings = {"edits": {"exposure": 0.7, "gtm": 0.5}}
    answers = iter([False] * 6 + [True] * 100)
    with pytest.raises(darkroom.Cancelled):
        room.render(settings, cancelled=lambda: next(answers))
    pixels = room.render(settings).pixels
    room.render({})
    np.testing.assert_array_equal(room.render(settings).pixels, pixels)


def test_bad_views_are_refused(room):
    with pytest.raises(ValueError, match="kind of proxy, crop, stage; got 'x'"):
        room.render({}, {"kind": "x"})
    with pytest.raises(ValueError, match="quality: expected live or exact"):
        room.render({}, quality="best")


def test_a_smaller_proxy_is_the_proxy_shrunk(room):
    frame = room.render({}, {"kind": "proxy", "long_side": 32})
    assert frame.pixels.shape == (24, 32, 3)
    assert frame.size == SIZE


def edits_of(k):
    """The k-th of many different settings."""
    names = sorted(set(EDIT_RANGES) - {"rgb_lut"})
    low, high = EDIT_RANGES[names[k % len(names)]]
    return {"edits": {names[k % len(names)]: low + (high - low) * (0.3 + 0.01 * (k % 37))}}


def test_memory_stays_as_it_is(open_room):
    before = len(jax.live_arrays())
    room = open_room()
    view = {"kind": "crop", "top": 0, "left": 0, "height": 20, "width": 20}

    def work(numbers):
        for k in numbers:
            room.render(edits_of(k), view if k % 3 == 0 else None, "live" if k % 2 else "exact")
        room.render({}, view)
        room.render({})
        gc.collect()
        return len(jax.live_arrays())

    first = work(range(20))
    assert work(range(20, 60)) == first
    room.close()
    gc.collect()
    assert len(jax.live_arrays()) <= before


def programs():
    """How many programs the engine has compiled."""
    modules = (pieces, views, window)
    return sum(f._cache_size() for m in modules for f in vars(m).values() if hasattr(f, "_cache_size"))


@pytest.mark.slow
def test_nothing_is_compiled_under_the_finger(engine, open_room):
    lines = []
    engine.warm([SIZE], lines.append)
    assert len(lines) >= 8
    assert all(line.startswith("compiling ") for line in lines)
    compiled = programs()
    room = open_room()
    view = {"kind": "crop", "top": 0, "left": 0, "height": 20, "width": 20}
    used = [{"edits": {name: value}} for name, value in (neutral_edits() | TONED | PICTURE).items()]
    for settings in [*used, *map(edits_of, range(18)), *CHANGES.values(), *SETTINGS.values()]:
        if settings.get("halo_fix") != 3:  # other iterations than the default ones are another program
            room.render(settings, quality="live")
            room.render(settings, view, quality="live")
    for k in range(18):
        room.render(edits_of(k))
    assert programs() == compiled
