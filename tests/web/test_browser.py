"""The editor end to end: a real server, the page in Chromium, hands on mouse and keyboard; it waits on states only."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from modisp_jax.io.synthetic import write_synthetic_dng
from tests.web.browsing import answer_of_keeping, needs_browser, page_of, settle, shown_pixels

pytestmark = needs_browser

SLIDERS = (
    "exposure",
    "auto_exposure",
    "contrast",
    "highlights",
    "shadows",
    "gain",
    "gtm",
    "ltm",
    "saturation",
    "vibrance",
    "chroma",
    "gamma",
    "denoise",
    "luma_denoise",
    "chroma_denoise",
    "enhance",
    "sharpening",
    "rotation",
    "cct",
    "tint",
)


@contextlib.contextmanager
def editing(photos, output, programs):
    """``modisp edit`` as a process of its own; yields the address that it prints, and ends it by Ctrl-C.

    Programs are compiled without optimisation, which takes a sixth of the time, and kept in the folder ``programs``.
    """
    flags = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    cache = {"JAX_COMPILATION_CACHE_DIR": str(programs), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment = os.environ | cache | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "MODISP_CACHE_DIR": ""}
    command = [sys.executable, "-m", "modisp_jax.cli", "edit", *map(str, photos), "--output", str(output)]
    with subprocess.Popen(
        [*command, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0]
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(60)
    assert code == 0


# For the whole package: a worker that gets tests of this module twice starts the server once, and what one worker's
# server has compiled the other's finds.


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("editor")


@pytest.fixture(scope="package")
def programs(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "editor-programs"


@pytest.fixture(scope="package")
def address(folder, programs):
    photos = [
        write_synthetic_dng(folder / "lake.dng", size=(96, 128)),
        write_synthetic_dng(folder / "upright.dng", size=(96, 128), seed=1, orientation=6),
    ]
    with editing(photos, folder / "out", programs) as address:
        yield address


@pytest.fixture(scope="package")
def browser_page(browser, address):
    with page_of(browser, viewport={"width": 1280, "height": 720}) as page:
        page.goto(address)
        yield page


@pytest.fixture
def page(browser_page):
    """The page with the first photo, all neutral and nothing open; afterwards nothing must have gone wrong in it."""
    page = browser_page
    page.keyboard.press("Escape")
    page.locator(".thumb").first.click()
    page.locator("body").press("f")
    page.locator("body").press("Shift+R")
    settle(page)
    yield page
    assert page.faults == []


def control(page, name):
    return page.locator(f".panels [data-control='{name}'] input[type=range]")


def text_of(page, name):
    return control(page, name).get_attribute("aria-valuetext")


def drag(page, target, share=0.5, by=40):
    """Presses at a share of a slider's width and moves there and on by so many pixels."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    x, y = box["x"] + share * box["width"], box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by / 2, y)
    page.mouse.move(x + by, y)
    page.mouse.up()


def undo_tip(page):
    return page.locator("[data-name=undo]").get_attribute("data-tip")


def ask(address, path):
    """The answer's JSON of the page's server."""
    host, token = address.split("?token=")
    request = urllib.request.Request(f"{host}api/{path}", headers={"X-Modisp-Token": token})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


class TestOpening:
    def test_shows_the_photo_and_its_histogram(self, page):
        assert page.title().startswith("lake.dng")
        assert "128 x 96" in page.locator("#line").inner_text()
        assert "no photo" not in page.locator("canvas.histogram").get_attribute("aria-label")
        assert shown_pixels(page).std() > 20
        assert page.locator("html").get_attribute("data-quality") == "exact"

    def test_the_filmstrip_goes_by_keys_and_turns_photos_upright(self, page):
        page.locator(".thumb").first.press("ArrowRight")
        settle(page)
        assert "96 x 128" in page.locator("#line").inner_text()
        assert page.locator(".thumb.shown").get_attribute("aria-label").startswith("upright.dng")
        page.locator("body").press(",")
        settle(page)
        assert page.title().startswith("lake.dng")

    def test_a_broken_file_is_said_in_words(self, page, folder):
        (folder / "broken.dng").write_text("no photo")
        page.set_input_files("#files", str(folder / "broken.dng"))
        notice = page.locator(".notice", has_text="broken.dng: expected")
        notice.wait_for()
        assert notice.get_attribute("role") == "alert"
        assert page.title().startswith("lake.dng")
        notice.get_by_role("button", name="Close this notice").click()
        page.get_by_role("button", name="Close broken.dng").click(force=True)
        page.wait_for_selector(".thumb.broken", state="detached")


class TestSliders:
    @pytest.mark.parametrize("name", SLIDERS)
    def test_a_drag_is_one_step_and_changes_the_picture(self, page, name):
        before, text = shown_pixels(page), text_of(page, name)
        at_end = name in ("gain", "gtm", "ltm", "chroma", "gamma", "denoise", "enhance")
        drag(page, control(page, name), 0.9 if at_end else 0.5, -60 if at_end else 40)
        settle(page)
        assert text_of(page, name) != text
        assert page.locator("html").get_attribute("data-quality") == "exact"
        assert (shown_pixels(page) != before).any()
        page.locator("body").press("Control+z")
        settle(page)
        assert undo_tip(page) != f"Undo: {name}"
        assert text_of(page, name) == text
        np.testing.assert_array_equal(shown_pixels(page), before)

    def test_keys_move_it_and_one_press_is_one_step(self, page):
        slider = control(page, "contrast")
        slider.focus()
        slider.press("ArrowRight")
        assert text_of(page, "contrast") == "+1 %"
        slider.press("Shift+ArrowRight")
        assert text_of(page, "contrast") == "+11 %"
        page.keyboard.press("Control+z")
        assert text_of(page, "contrast") == "+1 %"
        page.keyboard.press("Control+z")
        assert text_of(page, "contrast") == "0 %"
        page.keyboard.press("Control+Shift+z")
        page.keyboard.press("Control+y")
        assert text_of(page, "contrast") == "+11 %"

    def test_a_number_can_be_typed_and_is_kept_by_the_server(self, page, address):
        number = page.get_by_label("Exposure, as a number", exact=True)
        number.fill("-0.75 EV")
        answer = answer_of_keeping(page, lambda: number.press("Enter"))
        assert answer["settings"]["edits"] == {"exposure": -0.75}
        assert ask(address, "state")["photos"][0]["settings"] == {"edits": {"exposure": -0.75}}

    def test_a_reload_finds_the_edits(self, page):
        number = page.get_by_label("Exposure, as a number", exact=True)
        number.fill("0.5")
        answer_of_keeping(page, lambda: number.press("Enter"))
        page.reload()
        settle(page)
        assert text_of(page, "exposure") == "+0.50 EV"

    def test_a_double_click_is_neutral_in_one_step(self, page):
        slider = control(page, "shadows")
        slider.fill("0.5")
        slider.dispatch_event("change")
        steps = undo_tip(page)
        slider.dblclick(position={"x": 20, "y": 10})
        assert text_of(page, "shadows") == "0 %"
        page.keyboard.press("Control+z")
        assert text_of(page, "shadows") == "+50 %"
        assert undo_tip(page) == steps

    def test_a_section_resets_its_own(self, page):
        control(page, "highlights").fill("0.5")
        control(page, "highlights").dispatch_event("change")
        control(page, "saturation").fill("0.5")
        control(page, "saturation").dispatch_event("change")
        page.get_by_role("button", name="Reset Tone", exact=True).click()
        assert text_of(page, "highlights") == "0 %"
        assert text_of(page, "saturation") == "+50 %"

    def test_halo_fix_and_operators(self, page):
        toggle = page.get_by_label("Halo fix", exact=True)
        assert control(page, "halo_iterations").is_disabled()
        toggle.check()
        settle(page)
        assert text_of(page, "halo_iterations") == "160 it."
        page.get_by_role("radio", name="Published").check(force=True)
        settle(page)
        page.locator("body").press("Control+z")
        assert page.get_by_role("radio", name="Smooth").is_checked()
        page.locator("body").press("Control+z")
        assert not toggle.is_checked()


class TestLight:
    def test_automatic_and_custom(self, page):
        page.locator("[data-name=white_balance]").select_option("auto")
        settle(page)
        page.locator("[data-name=white_balance]").select_option("custom")
        drag(page, control(page, "cct"), 0.5, 30)
        settle(page)
        assert page.locator("[data-name=white_balance]").input_value() == "custom"
        assert text_of(page, "cct").endswith(" K")

    def test_the_eyedropper_sets_the_light(self, page):
        before = shown_pixels(page)
        page.locator("body").press("w")
        box = page.locator("canvas.picture").bounding_box()
        with page.expect_response(re.compile("/pick$")) as answer:
            page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"])
        assert answer.value.ok
        settle(page)
        assert page.locator("[data-name=white_balance]").input_value() == "picked"
        assert (shown_pixels(page) != before).any()


class TestStyles:
    def test_one_alone_a_mix_and_a_stage(self, page, address):
        page.get_by_role("button", name="mono", exact=True).click()
        settle(page)
        picture = shown_pixels(page)[60:-60, 160:-160].astype(int)
        assert np.abs(picture[..., 0] - picture[..., 2]).mean() < 20
        page.get_by_role("button", name="Stages of vivid").click()
        page.get_by_label("Strength of vivid", exact=True).fill("0.5")
        page.get_by_label("Strength of vivid", exact=True).dispatch_event("change")
        chroma = page.get_by_role("group", name="Stages of vivid").get_by_label("Chroma", exact=True)
        chroma.fill("0.2")
        answer = answer_of_keeping(page, lambda: chroma.dispatch_event("change"))
        vivid = {"style": "vivid", "weight": 0.5, "weights": {"chroma": 0.2}}
        assert answer["settings"]["mix"] == [vivid, {"style": "mono", "weight": 1}]
        settle(page)
        page.get_by_role("button", name="Stages of vivid").click()

    def test_the_pad_mixes_by_mouse_and_keys(self, page):
        page.get_by_text("Pad between four styles").click()
        page.locator(".pad").click(position={"x": 5, "y": 5})
        thumb = page.get_by_role("slider", name="Point between four styles")
        thumb.press("ArrowRight")
        thumb.press("ArrowDown")
        settle(page)
        assert thumb.get_attribute("aria-valuetext").startswith("vivid 8")
        page.get_by_text("Pad between four styles").click()


class TestView:
    def test_zoom_by_keys_wheel_and_double_click(self, page):
        zoom = page.locator("[data-name=zoom]")
        page.locator("body").press("1")
        settle(page)
        assert zoom.inner_text() == "100 %"
        box = page.locator("canvas.picture").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.wheel(0, -120)
        page.wait_for_selector("[data-name=zoom]:not(:text('100 %'))")
        page.locator("canvas.picture").dblclick()
        assert page.locator("[data-name=fit]").get_attribute("aria-pressed") == "true"

    def test_panning_moves_the_picture(self, page):
        for _ in range(12):
            page.locator("body").press("+")
        settle(page)
        before = shown_pixels(page)
        page.locator("canvas.picture").press("ArrowDown")
        settle(page)
        moved = shown_pixels(page)
        np.testing.assert_array_equal(moved[100:-180, 100:-100], before[180:-100, 100:-100])

    def test_before_and_after_beside_a_divider(self, page):
        neutral = shown_pixels(page)
        page.get_by_label("Exposure, as a number", exact=True).fill("2")
        page.keyboard.press("Enter")
        page.locator("body").press("b")
        settle(page)
        divider = page.get_by_role("slider", name="Divider between before and after")
        assert divider.get_attribute("aria-valuenow") == "50"
        seen, half = shown_pixels(page), neutral.shape[1] // 2
        left = np.abs(seen[80:-20, 200 : half - 20].astype(int) - neutral[80:-20, 200 : half - 20])
        assert left.mean() < 3
        assert seen[80:-20, half + 20 : -200].mean() > neutral[80:-20, half + 20 : -200].mean() + 20
        divider.press("ArrowRight")
        assert divider.get_attribute("aria-valuenow") == "52"
        page.locator("body").press("b")

    def test_clipped_pixels_are_marked(self, page):
        page.get_by_label("Exposure, as a number", exact=True).fill("4")
        page.keyboard.press("Enter")
        settle(page)
        page.locator("body").press("o")
        red = (shown_pixels(page) == [255, 40, 40]).all(-1).mean()
        assert red > 0.05
        page.locator("body").press("o")
        assert not (shown_pixels(page) == [255, 40, 40]).all(-1).any()

    def test_every_stage_can_be_shown(self, page):
        final = shown_pixels(page)
        page.locator("body").press("s")
        page.wait_for_selector("#stage-chroma_lut", state="attached")
        pictures = []
        for name in ("denoised", "ltm_a", "guide"):
            page.locator(f"#stage-{name}").check(force=True)
            settle(page)
            pictures.append(shown_pixels(page))
        assert all((a != b).any() for a, b in itertools.combinations(pictures, 2))
        assert "black" in page.locator("#line").inner_text()
        for name in ("curves", "chroma_lut"):
            page.locator(f"#stage-{name}").check(force=True)
            page.locator(".plot.large").wait_for()
        page.locator("body").press("s")
        settle(page)
        assert page.locator("#stages").is_hidden()
        assert "128 x 96" in page.locator("#line").inner_text()
        np.testing.assert_array_equal(shown_pixels(page), final)


class TestCrop:
    def test_by_mouse_and_by_keys(self, page):
        page.locator("body").press("c")
        settle(page)
        handle = page.get_by_role("button", name=re.compile("Crop, bottom right corner"))
        box, area = handle.bounding_box(), page.locator(".crop").bounding_box()
        page.mouse.move(box["x"] + 13, box["y"] + 13)
        page.mouse.down()
        page.mouse.move(box["x"] + 13 - area["width"] / 4, box["y"] + 13 - area["height"] / 2)
        page.mouse.up()
        assert page.locator("[data-name=crop_size]").inner_text() == "96 x 48 pixels"
        page.locator(".crop").press("ArrowRight")
        page.keyboard.press("Enter")
        settle(page)
        assert "96 x 48" in page.locator("#line").inner_text()
        page.locator("body").press("Control+z")
        page.locator("body").press("Control+z")
        settle(page)
        assert "128 x 96" in page.locator("#line").inner_text()

    def test_a_ratio_holds(self, page):
        page.locator("[data-name=crop_ratio]").select_option("1:1")
        settle(page)
        assert page.locator("[data-name=crop_size]").inner_text() == "96 x 96 pixels"
        page.get_by_role("button", name="Whole").click()
        page.locator("[data-name=crop_ratio]").select_option("free")
        page.locator("body").press("Escape")
        settle(page)


class TestManyPhotos:
    def test_copy_and_apply_to_all(self, page, address):
        page.get_by_label("Exposure, as a number", exact=True).fill("1")
        page.keyboard.press("Enter")
        page.locator("body").press("Control+Shift+c")
        dialog = page.locator("#copy")
        assert dialog.get_by_label("Exposure", exact=True).is_checked()
        assert not dialog.get_by_label("Tone", exact=True).is_checked()
        dialog.get_by_role("button", name="Apply to all").click()
        page.locator(".thumb").nth(1).click()
        settle(page)
        assert text_of(page, "exposure") == "+1.00 EV"
        page.locator("body").press("Control+z")
        assert text_of(page, "exposure") == "0.00 EV"

    def test_a_preset_is_a_style_file_that_can_be_loaded(self, page, folder):
        control(page, "contrast").fill("0.3")
        control(page, "contrast").dispatch_event("change")
        page.locator("[data-section=presets] summary").click()
        page.get_by_label("Name of the preset").fill("crisp")
        with page.expect_download() as download:
            page.locator("[data-name='preset.save']").click()
        path = folder / "crisp.json"
        download.value.save_as(path)
        assert json.loads(path.read_text())["edits"] == {"contrast": 0.3}
        page.locator("body").press("Shift+R")
        page.set_input_files("#style-files", str(path))
        page.wait_for_selector("[data-control=contrast] input[aria-valuetext='+30 %']")
        page.locator("[data-section=presets] summary").click()


class TestExport:
    def test_with_raw_inside_and_opened_again_with_its_edits(self, page, folder):
        page.get_by_role("button", name="warm", exact=True).click()
        control(page, "saturation").fill("-0.4")
        control(page, "saturation").dispatch_event("change")
        settle(page)
        page.locator("body").press("Control+e")
        dialog = page.locator("#export")
        dialog.get_by_label("Keep the raw inside").check()
        dialog.locator(".command").wait_for()
        assert "--saturation" in dialog.locator(".command").inner_text()
        dialog.locator("[data-name='export.start']").click()
        dialog.get_by_text("Done: 1 of 1 exported.").wait_for()
        with page.expect_download() as download:
            dialog.get_by_role("button", name="Download lake.jpg").click()
        path = folder / "again.jpg"
        download.value.save_as(path)
        assert path.read_bytes() == (folder / "out" / "lake.jpg").read_bytes()
        dialog.locator("[data-name='export.cancel']").click()
        page.set_input_files("#files", str(path))
        page.wait_for_selector(".thumb.shown[aria-label^='again.jpg']")
        settle(page)
        assert text_of(page, "saturation") == "\u221240 %"
        assert page.get_by_role("button", name="warm", exact=True).get_attribute("aria-pressed") == "true"
        page.get_by_role("button", name="Close again.jpg").click(force=True)
        page.wait_for_selector(".thumb[aria-label^='again.jpg']", state="detached")

    def test_each_format(self, page, folder, address):
        """At full size, eight and sixteen bits, with and without the raw; each says its own command."""
        from PIL import Image

        from modisp_jax.io.images import read_image
        from modisp_jax.raw_jpeg import read_raw_of_jpeg

        page.locator("body").press("Control+e")
        dialog = page.locator("#export")
        made = {}
        for choice in (
            ("jpg", None, False),
            ("jpg", None, True),
            ("png", "8", None),
            ("png", "16", None),
            ("tiff", "16", None),
        ):
            name, bits, raw = choice
            dialog.get_by_label("Format", exact=True).select_option(name)
            if bits:
                dialog.get_by_label("Bits a channel", exact=True).select_option(bits)
            else:
                dialog.get_by_label("Keep the raw inside").set_checked(raw)
            with page.expect_response(re.compile("/export$")) as answer:
                dialog.locator("[data-name='export.start']").click()
            dialog.get_by_text("Done: 1 of 1 exported.").wait_for()
            (made[choice],) = ask(address, f"export/{answer.value.json()['job']}")["files"]
        page.keyboard.press("Escape")
        paths = {choice: folder / "out" / file["name"] for choice, file in made.items()}
        assert len(set(paths.values())) == 5
        assert read_raw_of_jpeg(paths["jpg", None, False]) is None
        assert read_raw_of_jpeg(paths["jpg", None, True]) is not None
        for (name, bits, raw), path in paths.items():
            assert read_image(path).shape == (96, 128, 3)
            with Image.open(path) as image:
                assert image.format in {"jpg": ("JPEG", "MPO"), "png": ("PNG",), "tiff": ("TIFF",)}[name]
            command = made[name, bits, raw]["command"]
            assert ("--bits 16" in command, "--embed-raw" in command) == (bits == "16", bool(raw))
        np.testing.assert_array_equal(read_image(paths["png", "16", None]), read_image(paths["tiff", "16", None]))
        assert np.abs(read_image(paths["png", "16", None]) - read_image(paths["png", "8", None])).max() <= 0.6 / 255


class TestAccess:
    def test_every_control_has_a_name(self, page):
        from playwright.sync_api import expect

        page.locator("body").press("s")
        page.wait_for_selector("#stage-chroma_lut", state="attached")
        page.locator("[data-section=presets] summary").click()
        kinds = "button, input, select, summary, [role=slider], [role=option], [tabindex='0'], canvas, dialog"
        shown = page.locator(kinds).filter(visible=True)
        assert shown.count() > 90
        for node in shown.all():
            expect(node).to_have_accessible_name(re.compile(r"\S"), timeout=100)
        page.locator("[data-section=presets] summary").click()
        page.locator("body").press("s")

    def test_sliders_say_their_value_with_its_unit_and_have_a_tip(self, page):
        for node in page.locator(".panels .slider input[type=range]").all():
            assert re.search(r"\d", node.get_attribute("aria-valuetext"))
            assert len(node.get_attribute("data-tip")) > 15
        assert text_of(page, "exposure").endswith(" EV")

    def test_a_tip_is_shown_on_the_way_by_tab(self, page):
        page.locator("[data-control=exposure] .number").focus()
        page.keyboard.press("Tab")
        tip = page.get_by_role("tooltip")
        tip.wait_for()
        assert "automatic" in tip.inner_text()
        page.keyboard.press("Escape")
        assert tip.is_hidden()

    def test_help_lists_the_keys(self, page):
        page.keyboard.press("?")
        assert "undo" in page.get_by_role("dialog", name="Keys").inner_text()
        page.keyboard.press("Escape")
