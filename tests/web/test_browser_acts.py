"""What the page does with many photos, files and exports, in Chromium; the pictures are patterns that need no compiler.

Each photo is noise of its own, so that a place shown wrongly by one pixel is seen.
"""

import json
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import modisp_jax as mj
from modisp_jax.editor import exports as exports_module
from modisp_jax.editor.own_styles import open_styles
from modisp_jax.editor.settings import LINEARIZE, Making
from modisp_jax.editor.views import STAGE_VIEWS
from modisp_jax.io.images import write_image
from modisp_jax.io.resize import resize_area
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.style_file import StyleFile, write_style_file
from tests.paramisp.samples import ship
from tests.web import serving as stand_in
from tests.web.browsing import PATIENCE, answer_of_keeping, needs_browser, page_of, pixels_of, settle, shown_pixels
from tests.web.serving import serving

pytestmark = needs_browser

SIZE = (900, 1600)
"""Of the photos: larger than the proxy."""
STAGES = list(STAGE_VIEWS)


def picture_of(stem):
    """The full picture of a photo, uint8 [*SIZE, 3]: noise over a slope."""
    rng = np.random.default_rng(len(stem) + ord(stem[0]))
    return (rng.integers(20, 120, (*SIZE, 3)) + np.linspace(0, 100, SIZE[1])[:, None]).astype(np.uint8)


class Engine(stand_in.Engine):
    def open(self, path, linearize):
        if path.stem == "bad":
            raise ValueError(f"{path}: expected a photo")
        return Room(self, path, linearize)


class Room(stand_in.Room):
    """Exposure adds 10 levels an EV, each way of taking back after the first 40; a stage is grey, of a level of its
    own."""

    def __init__(self, engine, path, linearize):
        super().__init__(engine, path)
        self.picture = picture_of(path.stem).astype(int) + 40 * LINEARIZE.index(linearize)

    def render(self, settings, view, quality, cancelled=None):
        frame = super().render({}, view, quality, cancelled)
        edits = settings.get("edits", {})
        full = np.clip(self.picture.astype(int) + round(10 * edits.get("exposure", 0)), 0, 255).astype(np.uint8)
        top, left, height, width = (view.get(name, 0) for name in ("top", "left", "height", "width"))
        if view["kind"] == "stage":
            pixels = np.full((30, 40, 3), 40 + 8 * STAGES.index(view["name"]), np.uint8)
        elif view["kind"] == "crop" and quality == "exact":
            pixels = full[top : top + height, left : left + width]
        elif view["kind"] == "crop":
            pixels = np.full((height, width, 3), 30, np.uint8)  # far from exact: it must not stay
        else:
            pixels = resize_area(full, (round(1500 * SIZE[0] / SIZE[1]), 1500))
        return SimpleNamespace(**vars(frame) | {"pixels": pixels, "size": SIZE})

    def stages(self, settings):
        return [{"name": name, "title": title, "kind": kind} for name, (title, kind) in STAGE_VIEWS.items()]

    def curves(self, settings):
        line = [[0, 0], [0.5, 0.6], [1, 1]]
        grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 24)] * 2, indexing="ij"), axis=-1)
        return {"gain": 1.5, "gtm": line, "gamma": line, "chroma_lut": grid.tolist()}


FAINT = """() => {
  const rgba = (text) => { const p = text.match(/[\\d.]+/g).map(Number); return [p[0], p[1], p[2], p[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map((k) => a[k] * a[3] + b[k] * (1 - a[3]));
  function back(node) {
    const layers = [];
    for (let n = node; n && layers.at(-1)?.[3] !== 1; n = n.parentElement) {
      layers.push(rgba(getComputedStyle(n).backgroundColor));
    }
    return layers.reduceRight((under, layer) => over(layer, under), [0, 0, 0]);
  }
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, w, k) => sum + w * linear(c[k] / 255), 0);
  const found = {count: 0, faint: []};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility() || node.closest(":disabled, .unseen, noscript, option")) continue;
    const under = back(node);
    const [high, low] = [light(over(rgba(getComputedStyle(node).color), under)), light(under)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    found.count += 1;
    if (ratio < 4.5) found.faint.push([text.data.trim(), ratio]);
  }
  return found;
}"""
"""Texts whose contrast with what lies under them is less than WCAG's AA asks for, 4.5 : 1; disabled ones need none."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(("apple", "birch")):
        write_synthetic_dng(folder / f"{name}.dng", size=SIZE, seed=number)
    more = folder / "more"
    more.mkdir()
    for name in ("cedar", "dune"):
        (more / f"{name}.dng").write_bytes((folder / "apple.dng").read_bytes())
    (more / "notes.txt").write_text("no photo")
    write_image(folder / "done.png", picture_of("done") / np.float32(255))
    write_image(folder / "more.png", picture_of("more") / np.float32(255))
    mj.save_params(folder / "faded.safetensors", mj.load_params("neutral"), {"what": "my old film"})
    write_style_file(folder / "mine.json", StyleFile((("faded.safetensors", 0.5, {}),), {"contrast": 0.25}))
    write_style_file(folder / "soft.json", StyleFile((("mono", 1.0, {}),), {"contrast": -0.3}, "Soft"))
    return folder


@pytest.fixture(scope="module")
def served(folder):
    """(client, editor) of a server with two photos and a style of the person's own, and slow exports of few bytes."""
    before = []

    def render_jobs(jobs, session, report, say):
        for job in jobs:
            for act in before:
                act(job)
            job.targets[""].write_bytes(b"picture of " + job.photo.name.encode())

    own = open_styles([folder / "mine.json"])
    with pytest.MonkeyPatch.context() as patch:
        ship(patch, folder / "weights")
        patch.setattr(exports_module, "render_jobs", render_jobs)
        patch.setattr(exports_module, "open_session", lambda options: None)
        photos = [folder / "apple.dng", folder / "birch.dng"]
        output = folder / "out"
        with serving(photos, Engine(), making=Making(own=own), output=output) as (client, editor):
            editor.status.ready, editor.status.message = True, ""
            editor.compiled.add(SIZE)
            editor.ahead = SimpleNamespace(message="", missing=lambda *_: "", end=lambda _: True)
            editor.before = before
            yield client, editor


@pytest.fixture(scope="module")
def browser_page(browser, served):
    client, _ = served
    with page_of(browser, viewport={"width": 1280, "height": 720}) as page:
        page.goto(f"http://127.0.0.1:{client.port}/?token={client.token}")
        yield page


@pytest.fixture
def page(browser_page):
    """The page with the first photo, all neutral; afterwards it is as before, and nothing has gone wrong in it."""
    page = browser_page
    page.faults.clear()
    settle(page)
    yield page
    faults = list(page.faults)
    for close in page.locator(".notice:not(.good) button").all():  # the others go by themselves
        close.click()
    page.keyboard.press("Escape")
    while (count := page.locator(".thumb").count()) > 2:  # counted before: else the next turn may begin too early
        page.locator(".thumb").last.click()
        page.locator(".thumb").last.press("Delete")
        page.wait_for_function("count => document.querySelectorAll('.thumb').length < count", arg=count)
    for number in (1, 0):
        page.locator(".thumb").nth(number).click()
        page.locator("body").press("Shift+R")
    page.locator("body").press("f")
    settle(page)
    assert faults == []


def wait_for_photos(page, count):
    from playwright.sync_api import expect

    expect(page.locator(".thumb")).to_have_count(count, timeout=PATIENCE)


def names(page):
    return [text.split(",")[0] for text in page.locator(".thumb").evaluate_all("all => all.map(o => o.ariaLabel)")]


def drop(page, *paths):
    """Files dragged from outside onto the page, as the system hands them over."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 500, "y": 300, "data": data})
        if kind == "dragOver":
            page.locator("#drop").wait_for()
    session.detach()


def set_exposure(page, value):
    number = page.get_by_label("Exposure, as a number", exact=True)
    number.fill(str(value))
    number.press("Enter")


def exposure(page):
    return page.locator("[data-control=exposure] input[type=range]").get_attribute("aria-valuetext")


class TestOpening:
    def test_a_file_is_dropped(self, page, folder):
        drop(page, folder / "more" / "cedar.dng")
        page.wait_for_selector(".thumb.shown[aria-label^='cedar.dng']")
        settle(page)
        assert page.title().startswith("cedar.dng")
        assert page.locator("#drop").is_hidden()

    def test_files_a_folder_and_a_style_are_dropped(self, page, folder):
        """Of a folder its photos; what is no photo is named; the style is applied to the photo that was there."""
        # A style file is read at once, photos come one after the other.
        drop(page, folder / "birch.dng", folder / "more", folder / "soft.json")
        page.locator(".notice", has_text="No photos, left out: notes.txt").wait_for()
        wait_for_photos(page, 5)
        assert sorted(names(page)[2:]) == ["birch.dng", "cedar.dng", "dune.dng"]
        page.locator(".notice.good", has_text="Preset Soft").wait_for()
        page.locator(".thumb").first.click()
        assert page.get_by_role("button", name="mono", exact=True).get_attribute("aria-pressed") == "true"

    def test_a_folder_is_opened(self, page, folder):
        page.set_input_files("#folder", str(folder / "more"))
        wait_for_photos(page, 4)
        assert names(page)[2:] == ["cedar.dng", "dune.dng"]
        page.locator(".notice", has_text="No photos, left out: notes.txt").wait_for()

    def test_parameter_files_are_for_the_start(self, page, folder):
        drop(page, folder / "faded.safetensors")
        notice = page.locator(".notice", has_text="modisp edit --style faded.safetensors")
        notice.wait_for()
        notice.get_by_role("button").click()
        assert len(names(page)) == 2


class TestOwnStyles:
    def test_they_are_offered_and_mixed(self, page):
        row = page.locator("[data-style=faded]")
        assert "my old film" in row.get_by_role("button", name="faded", exact=True).get_attribute("data-tip")
        answer = answer_of_keeping(page, row.get_by_role("button", name="faded", exact=True).click)
        assert answer["settings"]["mix"] == [{"style": "faded", "weight": 1}]
        assert "faded.safetensors" in answer["command"]

    def test_the_start_s_style_file_is_a_preset(self, page, folder):
        answer = answer_of_keeping(page, page.get_by_role("button", name="mine", exact=True).click)
        expected = {"edits": {"contrast": 0.25}, "mix": [{"style": "faded", "weight": 0.5}]}
        assert answer["settings"] == expected
        page.get_by_label("Name of the preset").fill("again")
        with page.expect_download() as download:
            page.locator("[data-name='preset.save']").click()
        saved = json.loads(download.value.path().read_text())
        assert saved["mix"] == [{"style": str(folder / "faded.safetensors"), "weight": 0.5}]
        page.locator("body").press("Shift+R")
        page.set_input_files(
            "#style-files", files=[{"name": "x.json", "mimeType": "", "buffer": json.dumps(saved).encode()}]
        )
        page.wait_for_selector("[data-style=faded] input[aria-valuetext='50 %']")

    def test_a_large_file_is_no_style(self, page):
        page.set_input_files("#style-files", files=[{"name": "x.json", "mimeType": "", "buffer": b" " * 300_000}])
        notice = page.locator(".notice:not(.good)")
        notice.wait_for()
        assert "x.json: expected a style file" in notice.inner_text()
        notice.get_by_role("button").click()


class TestOneToOne:
    def canvas(self, page):
        return page.locator("canvas.picture").bounding_box()

    def assert_is_at(self, page, stem, middle):
        """The pixels about the canvas's middle are the photo's about ``middle`` (row, column)."""
        shown = shown_pixels(page)
        rows, columns = (side // 2 for side in shown.shape[:2])
        full = picture_of(stem)
        top, left = (round(at) - 100 for at in middle)
        # Whole pixels lie on whole pixels; which one is in the middle depends on the canvas's size being even.
        ours = shown[rows - 100 : rows + 100, columns - 100 : columns + 100]
        found = [
            (dy, dx)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if np.array_equal(ours, full[top + dy : top + dy + 200, left + dx : left + dx + 200])
        ]
        assert len(found) == 1

    def test_pixels_are_the_photo_s_own_and_panning_moves_them(self, page):
        page.locator("body").press("1")
        settle(page)
        assert page.locator("html").get_attribute("data-quality") == "exact"
        self.assert_is_at(page, "apple", (SIZE[0] / 2, SIZE[1] / 2))
        box = self.canvas(page)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 120, y - 70, steps=3)
        page.mouse.up()
        settle(page)
        self.assert_is_at(page, "apple", (SIZE[0] / 2 + 70, SIZE[1] / 2 - 120))
        page.locator("canvas.picture").press("ArrowRight")
        settle(page)
        self.assert_is_at(page, "apple", (SIZE[0] / 2 + 70, SIZE[1] / 2 - 40))

    def test_a_place_under_the_pointer_stays_there(self, page):
        box = self.canvas(page)
        page.mouse.move(box["x"] + 300, box["y"] + 200)
        before = re.findall(r"[xy] (\d+)", page.locator("#line .pixel").inner_text())
        page.mouse.dblclick(box["x"] + 300, box["y"] + 200)
        settle(page)
        page.mouse.move(box["x"] + 301, box["y"] + 200)
        after = re.findall(r"[xy] (\d+)", page.locator("#line .pixel").inner_text())
        assert np.abs(np.subtract(list(map(int, before)), list(map(int, after)))).max() <= 3

    def test_both_halves_are_exact(self, page):
        set_exposure(page, 2)
        page.locator("body").press("b")
        page.locator("body").press("1")
        settle(page)
        shown = shown_pixels(page).astype(int)
        middle = shown.shape[1] // 2
        full = picture_of("apple").astype(int)
        row = shown.shape[0] // 2
        left, right = shown[row, middle - 60 : middle - 30], shown[row, middle + 30 : middle + 60]
        lines = full[SIZE[0] // 2 - 2 : SIZE[0] // 2 + 3]
        start = SIZE[1] // 2 - 2
        found = [
            (line, at)
            for line in range(5)
            for at in range(start, start + 4)
            if np.array_equal(left, lines[line, at - 60 : at - 30])
            and np.array_equal(right, lines[line, at + 30 : at + 60] + 20)
        ]
        assert len(found) == 1
        page.locator("body").press("b")

    def test_until_it_is_compiled_it_is_enlarged_and_said(self, page, served):
        _, editor = served
        there = editor.ahead
        words = "compiling the exact view at 1:1 (3 of 9)"
        is_crop = lambda size, settings, crop: words if crop else ""  # noqa: E731
        editor.ahead = SimpleNamespace(message=words, missing=is_crop, end=lambda _: True)
        page.locator("body").press("1")
        later = page.locator("[data-name=later]")
        later.get_by_text("enlarged until the exact view is there: compiling the exact view at 1:1 (3 of 9)").wait_for()
        settle(page)
        assert page.locator("html").get_attribute("data-quality") == "live"
        editor.ahead = there
        page.wait_for_selector("html[data-quality=exact]", state="attached")
        settle(page)
        assert later.inner_text() == ""
        self.assert_is_at(page, "apple", (SIZE[0] / 2, SIZE[1] / 2))


class TestFinished:
    """A finished photo between two raw ones."""

    def choose(self, page, way):
        page.locator("[data-name=linearize]").select_option(way)
        settle(page)

    def spot(self, page):
        """Values in the middle of the canvas, where the whole picture is seen."""
        shown = shown_pixels(page)
        rows, columns = (side // 2 for side in shown.shape[:2])
        return shown[rows - 20 : rows + 20, columns - 20 : columns + 20].mean()

    def test_it_is_taken_back_in_another_way(self, page, folder):
        section = page.locator("[data-section=reading]")
        assert section.is_hidden()
        page.set_input_files("#files", str(folder / "done.png"))
        page.wait_for_selector(".thumb.shown[aria-label^='done.png']")
        settle(page)
        assert page.get_by_label("Taken back by", exact=True).input_value() == "inverse"
        options = page.locator("[data-name=linearize] option").evaluate_all("all => all.map((o) => o.value)")
        assert options == list(LINEARIZE)
        plain = self.spot(page)
        answer = answer_of_keeping(page, lambda: self.choose(page, "curve"))
        assert answer["settings"] == {"edits": {"denoise": 0}, "linearize": "curve"}
        assert "--linearize curve" in answer["command"]
        assert self.spot(page) == pytest.approx(plain + 40, abs=1)
        assert "edited" in page.locator(".thumb.shown").get_attribute("aria-label")
        self.choose(page, "paramisp")
        assert self.spot(page) == pytest.approx(plain + 80, abs=1)
        page.locator("body").press("b")  # before: as it was opened
        settle(page)
        shown, middle = shown_pixels(page), shown_pixels(page).shape[1] // 2
        rows = slice(shown.shape[0] // 2 - 20, shown.shape[0] // 2 + 20)
        left, right = (shown[rows, middle + at : middle + at + 40].mean() for at in (-60, 20))
        assert right - left == pytest.approx(80 + 8, abs=6)  # and the slope
        page.locator("body").press("b")
        page.locator("body").press("Control+z")
        settle(page)
        assert self.spot(page) == pytest.approx(plain + 40, abs=1)

    def test_it_is_kept_and_pasted_to_finished_photos_alone(self, page, folder):
        page.set_input_files("#files", [str(folder / "done.png"), str(folder / "more.png")])
        wait_for_photos(page, 4)
        page.wait_for_selector(".thumb.shown[aria-label^='done.png']")
        self.choose(page, "paramisp")
        page.locator("body").press("Control+c")
        page.locator("body").press("Control+a")
        page.locator("body").press("Control+v")
        page.locator(".thumb").first.click()
        settle(page)
        assert page.locator("[data-section=reading]").is_hidden()
        with page.expect_response(re.compile("/frame$")) as answer:
            set_exposure(page, 1)
        assert "linearize" not in answer.value.request.post_data_json["settings"]
        for number in (2, 3):
            page.locator(".thumb").nth(number).click()
            settle(page)
            assert page.locator("[data-name=linearize]").input_value() == "paramisp"
        page.get_by_role("button", name="Reset Finished photo").click()
        assert page.locator("[data-name=linearize]").input_value() == "inverse"


class TestStages:
    def test_each_is_shown(self, page):
        page.locator("body").press("s")
        page.wait_for_selector("#stage-chroma_lut", state="attached")
        box = page.locator("canvas.picture").bounding_box()
        spot = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "width": 2, "height": 2}
        middle = lambda: tuple(pixels_of(page.screenshot(clip=spot))[0, 0])  # noqa: E731
        for number, name in enumerate(STAGES[:-1]):  # the last is the finished picture
            page.locator(f"#stage-{name}").check(force=True)
            settle(page)
            assert middle() == (40 + 8 * number,) * 3
        assert STAGES[-1] == "srgb"
        page.locator("#stage-finished").check(force=True)
        page.locator("#stage-finished").press("ArrowDown")
        settle(page)
        assert middle() == (40, 40, 40)
        page.locator("body").press("s")
        settle(page)


class TestManyPhotos:
    def test_all_settings_are_pasted_to_the_selected(self, page):
        set_exposure(page, 1.5)
        page.locator("[data-control=saturation] .number").fill("-20")
        page.locator("[data-control=saturation] .number").press("Enter")
        page.locator("body").press("Control+c")
        page.locator(".thumb").nth(1).click()
        assert exposure(page) == "0.00 EV"
        page.locator("body").press("Control+v")
        assert exposure(page) == "+1.50 EV"
        page.locator("body").press("Control+z")  # one step for all of it
        assert exposure(page) == "0.00 EV"
        assert page.locator("[data-control=saturation] .number").input_value() == "0 %"
        page.locator(".thumb").first.click()
        assert exposure(page) == "+1.50 EV"

    def test_nothing_copied_is_said(self, page):
        page.reload()
        settle(page)
        page.locator("body").press("Control+v")
        page.locator(".notice", has_text="Nothing has been copied yet").get_by_role("button").click()

    def test_chosen_settings_go_to_all(self, page):
        set_exposure(page, -1)
        page.locator("[data-name=copy]").click()
        page.locator("#copy").get_by_role("button", name="Apply to all").click()
        page.locator(".thumb").nth(1).click()
        assert exposure(page) == "\u22121.00 EV"
        assert "edited" in page.locator(".thumb").nth(1).get_attribute("aria-label")


class TestExport:
    def export(self, page, photos, **choices):
        page.locator("body").press("Control+e")
        dialog = page.locator("#export")
        dialog.get_by_label("Photos", exact=True).select_option(photos)
        for label, value in choices.items():
            dialog.get_by_label(label, exact=True).select_option(value)
        dialog.locator("[data-name='export.start']").click()
        return dialog

    def test_the_selected_and_all(self, page, folder):
        page.set_input_files("#files", str(folder / "more" / "cedar.dng"))
        page.wait_for_selector(".thumb.shown[aria-label^='cedar.dng']")
        page.locator(".thumb").first.click(modifiers=["Control"])
        dialog = self.export(page, "selected")
        dialog.get_by_text("Done: 2 of 2 exported.").wait_for()
        assert sorted(path.name for path in (folder / "out").iterdir()) == ["apple.jpg", "cedar.jpg"]
        page.keyboard.press("Escape")
        dialog = self.export(page, "all", Format="png")
        dialog.get_by_text("Done: 3 of 3 exported.").wait_for()
        pngs = sorted(path.name for path in (folder / "out").glob("*.png"))
        assert pngs == ["apple.png", "birch.png", "cedar.png"]
        assert (folder / "out" / "birch.png").read_bytes() == b"picture of birch.dng"

    def test_cancel_while_it_works(self, page, folder, served):
        """It ends after the photo at work, and says how many are there."""
        _, editor = served
        working, go_on = threading.Event(), threading.Event()
        editor.before.append(lambda job: working.set() or go_on.wait(60))
        try:
            dialog = self.export(page, "all", Format="tiff")
            assert working.wait(60)
            dialog.get_by_text("0 of 2 done, at work: apple.dng").wait_for()
            dialog.locator("[data-name='export.cancel']").click()
            page.wait_for_function(
                "document.querySelector('[data-name=\"export.status\"]').textContent.startsWith('Canc')"
            )
        finally:
            go_on.set()
            editor.before.clear()
        dialog.get_by_text("Cancelled: 1 of 2 exported.").wait_for()
        assert [path.name for path in (folder / "out").glob("*.tif")] == ["apple.tif"]
        page.keyboard.press("Escape")

    def test_one_that_waits_for_another_is_not_done(self, page, served):
        client, editor = served
        working, go_on = threading.Event(), threading.Event()
        editor.before.append(lambda job: working.set() or go_on.wait(60))
        try:
            first = client.json("GET", "/api/state")["photos"][1]["id"]
            client.json("POST", "/api/export", {"photos": [{"id": first}], "format": "tiff"})
            assert working.wait(60)
            dialog = self.export(page, "this", Format="tiff")
            dialog.get_by_text("0 of 1 done").wait_for()
        finally:
            go_on.set()
            editor.before.clear()
        dialog.get_by_text("Done: 1 of 1 exported.").wait_for()
        page.keyboard.press("Escape")


class TestByKeyboard:
    def test_a_whole_session(self, page):
        """Tab to a slider, move it, undo, the next photo, the stages, export; the mouse rests."""
        page.locator("canvas.picture").focus()
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.name") == "contrast":
                break
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        contrast = page.locator("[data-control=contrast] input[type=range]")
        assert contrast.get_attribute("aria-valuetext") == "+2 %"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Control+z")
        assert contrast.get_attribute("aria-valuetext") == "+1 %"
        page.keyboard.press(".")
        page.wait_for_selector(".thumb.shown[aria-label^='birch.dng']")
        page.keyboard.press(",")
        page.keyboard.press("Control+e")
        assert page.evaluate("document.activeElement.closest('dialog').id") == "export"
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.name") == "export.start":
                break
        page.keyboard.press("Enter")
        page.locator("#export").get_by_text("Done: 1 of 1 exported.").wait_for()
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.dataset.name") == "contrast"  # where one was before

    def test_a_key_right_after_a_dialog_closed(self, page):
        """Its field still has the focus then, until the next frame: nobody types into what is not seen."""
        page.locator("body").press("Control+e")
        opened = page.evaluate("""() => {
          const field = document.querySelector("#export select");
          field.focus();
          document.querySelector("#export").close();
          field.dispatchEvent(new KeyboardEvent("keydown", {key: "?", bubbles: true}));
          return [...document.querySelectorAll("dialog[open]")].map((dialog) => dialog.id);
        }""")
        assert opened == ["help"]
        page.keyboard.press("Escape")

    def test_tab_goes_from_left_to_right_and_down(self, page):
        """In the order of the page: the bar, the picture, the panel, the strip; no place is reached twice."""
        page.locator("[data-name=open]").focus()
        places = []
        for _ in range(120):
            area = "document.activeElement.closest('.bar, #stage, #side, #strip')"
            places.append(page.evaluate(f"({area} ?? document.body).id || 'bar'"))
            page.keyboard.press("Tab")
            if places[-1] == "strip":
                break
        order = [place for k, place in enumerate(places) if k == 0 or place != places[k - 1]]
        assert order == ["bar", "stage", "side", "strip"]


class TestLegibility:
    def test_every_text_has_contrast(self, page):
        page.locator("body").press("s")
        page.wait_for_selector("#stage-chroma_lut", state="attached")
        page.locator("body").press("b")
        set_exposure(page, 1)
        for keys, dialog, least in (("", "body", 100), ("Control+e", "#export", 120), ("?", "#help", 180)):
            if keys:
                page.locator("body").press(keys)
            page.locator(dialog).wait_for()
            found = page.evaluate(FAINT)
            assert found["faint"] == []
            assert found["count"] > least
            page.keyboard.press("Escape")
        page.locator("body").press("b")
        page.locator("body").press("s")
        settle(page)

    @pytest.mark.parametrize(("width", "height"), [(1280, 720), (3840, 2160)])
    def test_nothing_is_cut_off_or_scrolls_sideways(self, page, width, height):
        """Buttons and labels have room for their texts; the page never scrolls."""
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        script = """() => [...document.querySelectorAll("button, .slider > label, .select > label, h2, h3, .clips *")]
          .filter((n) => n.checkVisibility() && !n.closest(".unseen, .thumb, .style-row")
            && (n.scrollWidth > n.clientWidth + 1 || n.getBoundingClientRect().right > innerWidth))
          .map((n) => n.textContent)"""
        assert page.evaluate(script) == []
        assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [
            width,
            height,
        ]
        font = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.slider > label')).fontSize)")
        assert font >= (13 if width == 1280 else 20)
        page.set_viewport_size({"width": 1280, "height": 720})
        settle(page)

    def test_nothing_moves_by_itself_where_that_is_asked_for(self, page):
        page.emulate_media(reduced_motion="reduce")
        script = """[...document.querySelectorAll("*")].map((n) => getComputedStyle(n)).filter(
          (s) => parseFloat(s.transitionDuration) > 0 || s.animationName !== "none").length"""
        assert page.evaluate(script) == 0
        page.emulate_media(reduced_motion="no-preference")
        assert page.evaluate(script) > 0
