"""The screenshots of docs/editor.md: ``modisp edit`` with the built-in scene, in the installed Chromium.

    python3 dev.py run docs/make_editor_pictures.py

Looked at after each change of the page.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from modisp_jax.io.synthetic import write_synthetic_dng

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from editor import IDLE, browsing, editing

IMAGES = Path(__file__).parent / "images"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder for the pictures")
    parser.add_argument("--viewport", default="800x1400", help="height and width of the page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modisp-editor-") as folder:
        folder = Path(folder)
        photos = [
            write_synthetic_dng(folder / f"{name}.dng", size=(1200, 1600), seed=seed)
            for seed, name in enumerate(("lake", "morning", "evening"))
        ]
        with editing(photos, folder) as (address, _, _), browsing(options.viewport) as page:
            page.goto(address)
            settle(page)
            take(page, options.output)


def take(page, folder):
    """Takes the three of them."""
    page.get_by_role("button", name="Stages of vivid").click()
    for label, value in (
        ("Strength of vivid, as a number", "60"),
        ("Exposure, as a number", "0.35"),
        ("Shadows, as a number", "40"),
        ("Highlights, as a number", "-30"),
    ):
        page.get_by_label(label, exact=True).fill(value)
        page.keyboard.press("Enter")
    page.keyboard.press("b")
    settle(page)
    shoot(page, folder / "editor.jpg")
    page.keyboard.press("b")
    page.keyboard.press("s")
    page.locator("#stage-ltm_a").check(force=True)
    settle(page)
    shoot(page, folder / "editor_stages.jpg")
    page.keyboard.press("s")
    page.keyboard.press("Control+e")
    page.locator("#export").get_by_label("Keep the raw inside").check()
    page.locator("#export .command").wait_for()
    settle(page)
    shoot(page, folder / "editor_export.jpg")


def settle(page):
    page.wait_for_selector(IDLE, state="attached")


def shoot(page, path):
    page.locator(".panels").evaluate("panels => (panels.scrollTop = 0)")
    page.mouse.move(5, 5)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").save(path, quality=88)
    print(path)


if __name__ == "__main__":
    main()
