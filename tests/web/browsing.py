"""A page of the editor in the installed Chromium, driven by Playwright; everything that goes wrong in it is kept."""

import contextlib
import importlib.util
import re

import pytest

from tests.browser import CHROMIUM

PATIENCE = 120_000
"""Milliseconds that a state is waited for; the machine may have much else to do."""
IDLE = "html[data-ready=true][data-frames=idle]"

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="no playwright, or no chromium in PATH or in $MODISP_CHROMIUM",
)


@contextlib.contextmanager
def page_of(browser, **options):
    """A new page; ``page.faults`` lists errors of the console and requests that left this machine."""
    with browser.new_context(accept_downloads=True, **options) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.faults = []
        page.on("console", lambda message: message.type == "error" and page.faults.append(message.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda request: is_here(request.url) or page.faults.append(request.url))
        yield page


def is_here(address):
    """Whether an address leads to this machine or to the page itself."""
    return re.match(r"(http://127\.0\.0\.1:\d+/|blob:http://127\.0\.0\.1:|data:)", address) is not None


def settle(page):
    """Waits until all frames that the page wishes for are on its canvas."""
    page.wait_for_selector(IDLE, state="attached")


def answer_of_keeping(page, act):
    """What the server answers when it is sent the settings that ``act()`` leaves; earlier changes are kept before."""
    page.wait_for_selector("html[data-kept=true]", state="attached")
    with page.expect_response(re.compile("/settings$")) as answer:
        act()
    return answer.value.json()


def shown_pixels(page):
    """The canvas as uint8 [h, w, 3]."""
    return pixels_of(page.locator("canvas.picture").screenshot())


def pixels_of(screenshot):
    """A PNG's bytes as uint8 [h, w, 3]."""
    import io

    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(screenshot)) as image:
        return np.asarray(image.convert("RGB"))
