"""Fixtures of the editor's tests."""

import pytest

from tests.browser import CHROMIUM, FLAGS


@pytest.fixture(scope="package")
def browser():
    """The installed Chromium, one for all of a worker's tests: Playwright cannot be started twice in a thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [flag for flag in FLAGS if flag != "--headless"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()
