"""How long from the slider to the pixels in the photo editor, and does its server's memory stay flat?

    python3 dev.py run benchmarks/editor.py                        # a synthetic photo of 12 megapixels
    python3 dev.py run benchmarks/editor.py --no-latency --edits 1000 --photos 50 --size 1536x2048 --name editor-memory
    python3 dev.py run benchmarks/editor.py --photo a.dng --seconds 5

Starts ``modisp edit`` as a process of its own and its page in the installed Chromium (``$MODISP_CHROMIUM``), and moves
the sliders there. Measured in the page: from the time stamp of an input event to the end of the drawing of the first
frame that has its settings. ``alone``: the next event comes when the frame of the last one has been drawn;
``computing`` is the engine's part of it, the rest encoding, the way, decoding and drawing. ``drag``: an event every
16 ms, as of a mouse; the page keeps one request in flight, so a frame may wait for the one before it.
``exact``: from the last event of a drag to the exact frame, the rest of 120 ms before it included. After each drag the
last frame must be the exact one of the last event. All that once the programs of exact views at 1:1 are compiled,
``compiled_s`` after the start: until then that takes one core. Memory is the server's resident set, after 100, 250, 500
and 1000 edits and after every tenth photo; --edits 1000 takes a few minutes. Results go to results/NAME.json.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import common
import tyro
from playwright.sync_api import sync_playwright

from modisp_jax.bench import parse_size
from modisp_jax.io.synthetic import write_synthetic_dng

GROUPS = {
    "photofinishing": ("gain", "gtm", "ltm", "chroma", "gamma"),
    "edits": ("contrast", "highlights", "shadows", "saturation", "vibrance", "sharpening", "rotation"),
    "styles": ("style.vivid", "style.natural"),
    "white balance": ("cct", "tint"),
    "exposure": ("exposure", "auto_exposure"),
    "denoising": ("denoise", "luma_denoise", "chroma_denoise", "enhance"),
}
IDLE = "html[data-ready=true][data-frames=idle]"
FLAGS = ("--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--disable-background-networking")
PATIENCE = 900_000

LISTEN = """
    window.frameLog = [];
    document.addEventListener("modisp:frame", (event) => {
        window.frameLog.push(event.detail);
        window.frameCame?.(event.detail);
    });
"""

ALONE = """async ([name, values]) => {
    const slider = document.querySelector(`[data-control="${name}"] input[type=range]`);
    const found = [];
    for (const share of values) {
        slider.value = Number(slider.min) + share * (slider.max - slider.min);
        const event = new Event("input", { bubbles: true });
        const drawn = new Promise((done) => {
            window.frameCame = (frame) => frame.time === event.timeStamp && done(frame);
        });
        slider.dispatchEvent(event);
        found.push(await drawn);
    }
    window.frameCame = null;
    slider.dispatchEvent(new Event("change", { bubbles: true }));
    return found;
}"""

DRAG = """async ([name, seconds]) => {
    const slider = document.querySelector(`[data-control="${name}"] input[type=range]`);
    const start = performance.now(), first = window.frameLog.length;
    let last = 0;
    while (performance.now() - start < 1000 * seconds) {
        const phase = (performance.now() - start) / 1000;
        slider.value = Number(slider.min) + (0.5 + 0.3 * Math.sin(3 * phase)) * (slider.max - slider.min);
        const event = new Event("input", { bubbles: true });
        const before = slider.getAttribute("aria-valuetext");
        slider.dispatchEvent(event);
        if (slider.getAttribute("aria-valuetext") !== before) last = event.timeStamp;
        await new Promise((done) => setTimeout(done, 16));
    }
    slider.dispatchEvent(new Event("change", { bubbles: true }));
    return { first, last };
}"""


EDITS = """async (positions) => {
    for (const [name, share] of positions) {
        const slider = document.querySelector(`[data-control="${name}"] input[type=range]`);
        slider.value = Number(slider.min) + share * (slider.max - slider.min);
        const event = new Event("input", { bubbles: true });
        const drawn = new Promise((done) => {
            window.frameCame = (frame) => frame.time === event.timeStamp && done(frame);
        });
        slider.dispatchEvent(event);
        slider.dispatchEvent(new Event("change", { bubbles: true }));
        await drawn;
        window.frameLog.length = 0;
    }
    window.frameCame = null;
}"""

MARKS = (100, 250, 500, 1000)
"""Edits after which memory is written down."""

AT_ONCE = 25
"""Edits between two lines of progress."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    photo: Path | None = None
    """A photo; by default a synthetic one."""
    size: str = "3000x4000"
    """Height and width of that."""
    steps: int = 12
    """Events of each slider, one at a time."""
    seconds: float = 3.0
    """Length of each drag."""
    groups: tuple[str, ...] = tuple(GROUPS)
    """Which sliders."""
    latency: bool = True
    """Whether latencies are measured; else memory alone."""
    edits: int = 0
    """Edits over which the server's memory is followed; each waits for its live frame only."""
    photos: int = 0
    """Photos over which it is followed; synthetic ones of 3 megapixels."""
    viewport: str = "720x1280"
    """Height and width of the page."""
    name: str = "editor"
    """Results go to results/NAME.json."""


def main():
    options = tyro.cli(Options, description=__doc__)
    about = common.machine()
    with tempfile.TemporaryDirectory(prefix="modisp-editor-") as folder:
        folder = Path(folder)
        photo = options.photo or write_synthetic_dng(folder / "photo.dng", size=parse_size(options.size))
        more = [
            write_synthetic_dng(folder / f"more{k:02d}.dng", size=(1536, 2048), seed=k) for k in range(options.photos)
        ]
        with editing([photo, *more], folder) as (address, process, begun), browsing(options.viewport) as page:
            page.goto(address)
            page.wait_for_selector(IDLE, state="attached")
            results = {"photo": photo.name, "size": options.size, "ready_s": round(time.perf_counter() - begun, 1)}
            wait_for_later(address)
            results["compiled_s"] = round(time.perf_counter() - begun, 1)
            groups = options.groups if options.latency else ()
            results["latency_ms"] = {group: measure_group(page, group, options) for group in groups}
            results["memory_mib"] = measure_memory(page, process, options)
        print_table(results)
    print(common.write_results(options.name, results, about))


@contextlib.contextmanager
def editing(photos, folder):
    """``modisp edit`` as a process: its address, the process, when it was started."""
    begun = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "modisp_jax.cli",
        "edit",
        *map(str, photos),
        "--output",
        str(folder),
        "--no-browser",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0], process, begun
        finally:
            process.send_signal(signal.SIGINT)


def wait_for_later(address):
    """Waits until the programs of exact views at 1:1 are compiled, which happens while nobody waits for a frame."""
    site, token = re.fullmatch(r"(http://[^/]+)/\?token=(.+)", address).groups()
    request = urllib.request.Request(f"{site}/api/progress", headers={"X-Modisp-Token": token})
    while True:
        time.sleep(2)
        with urllib.request.urlopen(request) as answer:
            if not (later := json.load(answer)["later"]):
                return
        print(later, file=sys.stderr, flush=True)


@contextlib.contextmanager
def browsing(viewport):
    """A page that keeps what it knows of each frame."""
    height, width = parse_size(viewport)
    chromium = os.environ.get("MODISP_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE)
        page.add_init_script(LISTEN)
        try:
            yield page
        finally:
            browser.close()


def measure_group(page, group, options):
    """{slider: {"alone", "drag", "exact"}} in milliseconds, each with median, 90th percentile and number."""
    return {name: measure(page, name, options) for name in GROUPS[group]}


def measure(page, name, options):
    """One slider's latencies; leaves the photo as it was."""
    shares = [0.3 + 0.4 * ((k * 0.618) % 1) for k in range(options.steps)]
    page.evaluate(ALONE, [name, shares[:2]])  # what is loaded or compiled once does not count
    page.wait_for_selector(IDLE, state="attached")
    frames = page.evaluate(ALONE, [name, shares])
    alone = summary([frame["ms"] for frame in frames])
    alone["computing"] = round(statistics.median(sum(frame["timings"].values()) for frame in frames))
    page.wait_for_selector(IDLE, state="attached")
    drag = page.evaluate(DRAG, [name, options.seconds])
    page.wait_for_selector(IDLE, state="attached")
    frames = page.evaluate("(first) => window.frameLog.slice(first)", drag["first"])
    if frames[-1]["quality"] != "exact" or frames[-1]["time"] != drag["last"]:
        raise RuntimeError(f"{name}: the last frame is not the exact one of the last event: {frames[-1]}")
    live = [frame["ms"] for frame in frames if frame["quality"] == "live"]
    page.locator("body").press("Shift+R")
    page.wait_for_selector(IDLE, state="attached")
    found = {"alone": alone, "drag": summary(live), "exact": round(frames[-1]["ms"])}
    print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def summary(times):
    """Median and 90th percentile in whole milliseconds, and of how many."""
    ordered = sorted(times)
    ninth = ordered[min(len(ordered) - 1, round(0.9 * len(ordered)))]
    return {"median": round(statistics.median(times)), "p90": round(ninth), "frames": len(times)}


def measure_memory(page, process, options):
    """Resident memory of the server in MiB: at the start, {edits: MiB}, {photos: MiB}, and its peak."""
    found = {"start": memory(process.pid, "VmRSS"), "edits": {}, "photos": {}}
    names = [name for group in options.groups for name in GROUPS[group]]
    for first in range(0, options.edits, AT_ONCE):
        last = min(first + AT_ONCE, options.edits)
        positions = [[names[k % len(names)], 0.2 + 0.6 * ((k * 0.618) % 1)] for k in range(first, last)]
        page.evaluate(EDITS, positions)
        if last in MARKS or last == options.edits:
            page.wait_for_selector(IDLE, state="attached")
            found["edits"][last] = memory(process.pid, "VmRSS")
        say(f"{last} of {options.edits} edits", process)
    for k in range(1, options.photos + 1):
        page.locator("body").press(".")
        page.wait_for_selector(IDLE, state="attached")
        if k % 10 == 0 or k == options.photos:
            found["photos"][k] = memory(process.pid, "VmRSS")
        say(f"{k} of {options.photos} photos", process)
    return found | {"peak": memory(process.pid, "VmHWM")}


def say(done, process):
    print(f"{time.strftime('%H:%M:%S')} {done}: {memory(process.pid, 'VmRSS')} MiB", file=sys.stderr, flush=True)


def memory(pid, field):
    """A field of /proc/PID/status in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.search(rf"{field}:\s*(\d+) kB", text)[1]) / 1024)


def print_table(results):
    print("| slider | alone | of it computing | drag | 90 % | frames a drag | exact |\n|---|---|---|---|---|---|---|")
    for group, sliders in results["latency_ms"].items():
        for name, found in sliders.items():
            alone, drag = found["alone"], found["drag"]
            cells = [alone["median"], alone["computing"], drag["median"], drag["p90"], drag["frames"], found["exact"]]
            print(f"| {group}: {name} | {' | '.join(map(str, cells))} |")
    print(f"memory of the server in MiB: {results['memory_mib']}")


if __name__ == "__main__":
    main()
