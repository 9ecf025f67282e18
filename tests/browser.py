"""The installed Chromium, without a screen and without a network."""

import os
import shutil
import subprocess
import tempfile

import pytest

CHROMIUM = os.environ.get("MODISP_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # which root cannot use
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    "--force-color-profile=srgb",
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium in PATH or in $MODISP_CHROMIUM")


def screenshot(page, path, size=(400, 300)):
    """Opens an HTML file and writes what is seen of it as a PNG; returns the path."""
    window = f"--window-size={size[0]},{size[1]}"
    with tempfile.TemporaryDirectory(prefix="modisp-chromium-") as profile:
        command = [CHROMIUM, *FLAGS, window, f"--user-data-dir={profile}", f"--screenshot={path}", page.as_uri()]
        subprocess.run(command, capture_output=True, check=True)
    return path
