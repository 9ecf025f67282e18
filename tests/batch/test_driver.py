"""``modisp batch`` with workers that live in this process: what is rendered, skipped, refused, retried and reported.

The networks are left out: pictures are the raw photos. Real processes are in test_processes.py.
"""

import functools
import io
import json
import os
import re
import shutil
import signal
import sys
import types

import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import cli, render_files
from modisp_jax.batch import driver
from modisp_jax.batch.manifest import NAME, Manifest, read_manifest
from modisp_jax.batch.report import Report, duration
from modisp_jax.batch.work import open_worker, render_job
from modisp_jax.batch.workers import Worker, Workers
from modisp_jax.io.images import read_image, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from tests.samples import photo

SIZE = (32, 48)
ERROR = re.compile(r"^modisp: error: ([^\n]+)$", re.MULTILINE)


class Here(Workers):
    """Workers that render when they are waited for; ``script`` says of a photo what happens instead."""

    def __init__(self, script, rendered, count, options):
        super().__init__(count, "--processes")
        self._script, self._rendered, self._options = script, rendered, options

    def __str__(self):
        return f"{self.count} here"

    def start(self):
        return Worker(open_worker(self._options), None, name=f"worker {len(self.workers)}")

    def give(self, worker, task):
        worker.task = task

    def wait(self, seconds):
        ended = []
        for worker in [worker for worker in self.workers if worker.task is not None]:
            name = worker.task.job.photo.name
            event = self._script[name].pop(0) if self._script.get(name) else "render"
            if event == "stop":
                os.kill(os.getpid(), signal.SIGINT)
            if event == "kill the driver":
                raise KeyboardInterrupt
            if event == "die":
                target = next(iter(worker.task.job.targets.values()))
                (target.parent / f".{target.stem}.abcdefgh{target.suffix}").write_text("half a picture")
                ended += self.buried(worker, "was ended by SIGSEGV")
            else:
                self._rendered.append(name)
                ended += self.answered(worker, *render_job(worker.task.job, worker.handle))
        return ended

    def close(self):
        self.workers = []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("a", "b", "c")):
        write_synthetic_dng(folder / f"{name}.dng", size=SIZE, seed=number)
    (folder / "sub").mkdir()
    write_synthetic_dng(folder / "sub" / "a.dng", size=SIZE, seed=9)
    return folder


load_params = functools.cache(mj.load_params)


@pytest.fixture
def batch(made, tmp_path, monkeypatch, capsys):
    """A function that runs the program in a folder with photos in in/: its code and standard error; and ``rendered``,
    the names of photos since it was asked last, and ``script``."""
    shutil.copytree(made, tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    script, rendered = {}, []
    monkeypatch.setattr(render_files, "render", lambda params, raw, **_: raw.image)
    monkeypatch.setattr(render_files, "load_params", load_params)
    monkeypatch.setattr(driver, "Processes", functools.partial(Here, script, rendered))
    monkeypatch.setattr(driver, "TICK", 0)

    def run(*arguments):
        capsys.readouterr()
        rendered.clear()
        try:
            code = cli.main(["batch", *map(str, arguments), "--params", "neutral"])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert out == ""
        return code, err

    run.script, run.rendered, run.folder = script, rendered, tmp_path
    return run


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def entries(folder="out"):
    found = read_manifest(os.path.join(folder, NAME))[0].entries
    return {os.path.relpath(path, "in"): entry for path, entry in found.items()}


def refused(batch, *arguments, match):
    """The program ends with code 2 and one line that matches, and leaves the folder as it was."""
    before = {path: path.read_bytes() for path in batch.folder.rglob("*") if path.is_file()}
    folders = {path for path in batch.folder.rglob("*") if path.is_dir()}
    code, err = batch(*arguments)
    assert code == 2
    assert len(err.splitlines()) == len(ERROR.findall(err)) == 1, err
    assert re.search(match, err), err
    assert batch.rendered == []
    assert {path: path.read_bytes() for path in batch.folder.rglob("*") if path.is_file()} == before
    assert {path for path in batch.folder.rglob("*") if path.is_dir()} == folders


def test_pictures_are_those_of_render(batch):
    assert batch("in", "-o", "out", "-r", "--exposure", "0.5", "--cct", "4000")[0] == 0
    assert names(batch.folder / "out") == ["a.jpg", "b.jpg", "c.jpg", NAME, "sub/a.jpg"]
    for folder in ("in", "in/sub"):
        options = ["--params", "neutral", "--exposure", "0.5", "--cct", "4000"]
        assert cli.main(["render", folder, "-o", "plain", *options, "--overwrite"]) == 0
        for path in (batch.folder / "plain").iterdir():
            ours = batch.folder / "out" / os.path.relpath(folder, "in") / path.name
            assert ours.read_bytes() == path.read_bytes()
        shutil.rmtree("plain")


def test_a_line_a_photo_and_no_more(batch):
    code, err = batch("in/*.dng", "-o", "out", "--processes", "2")
    assert code == 0
    lines = err.splitlines()
    assert [re.sub(r", \d+\.\d s", "", line) for line in lines] == [
        "[1/3] in/a.dng -> a.jpg",
        "[2/3] in/b.dng -> b.jpg",
        "[3/3] in/c.dng -> c.jpg",
        "3 of 3 photos done",
    ]


def test_what_is_done_is_not_done_again(batch):
    assert batch("in/a.dng", "-o", "out")[0] == 0
    picture = (batch.folder / "out" / "a.jpg").stat().st_mtime_ns
    code, err = batch("in", "-o", "out")
    assert (code, batch.rendered) == (0, ["b.dng", "c.dng"])
    assert err.startswith("3 photos, 1 of them settled by earlier runs; 1 here\n[2/3] in/b.dng")
    assert batch("in", "-o", "out")[0] == 0
    assert batch.rendered == []
    assert (batch.folder / "out" / "a.jpg").stat().st_mtime_ns == picture
    assert {name: (entry.state, entry.starts) for name, entry in entries().items()} == {
        "a.dng": ("done", [1]),
        "b.dng": ("done", [2]),
        "c.dng": ("done", [2]),
    }


def test_pictures_that_are_not_there_any_more_are_made_again(batch):
    assert batch("in", "-o", "out")[0] == 0
    before = (batch.folder / "out" / "b.jpg").read_bytes()
    (batch.folder / "out" / "a.jpg").unlink()
    (batch.folder / "out" / "b.jpg").write_bytes(before[:100])
    write_image(batch.folder / "out" / "c.jpg", photo(16, 16))
    mine = (batch.folder / "out" / "c.jpg").read_bytes()
    code, err = batch("in", "-o", "out")
    assert (code, batch.rendered) == (0, ["a.dng", "b.dng"])
    assert "out/c.jpg has been changed since; it stays as it is\n" in err
    assert (batch.folder / "out" / "b.jpg").read_bytes() == before
    assert (batch.folder / "out" / "c.jpg").read_bytes() == mine


def test_a_photo_that_has_changed_is_rendered_again(batch):
    assert batch("in", "-o", "out")[0] == 0
    before = (batch.folder / "out" / "b.jpg").read_bytes()
    write_synthetic_dng(batch.folder / "in" / "b.dng", size=SIZE, seed=7)
    assert batch("in", "-o", "out")[0] == 0
    assert batch.rendered == ["b.dng"]
    assert (batch.folder / "out" / "b.jpg").read_bytes() != before


def test_other_settings_are_refused(batch):
    assert batch("in", "-o", "out")[0] == 0
    message = r"is of a batch with other settings \(edits\); choose another --output, or --overwrite begins anew"
    refused(batch, "in", "-o", "out", "--exposure", "1", match=message)
    refused(batch, "in", "-o", "out", "--format", "png", "--bits", "16", match=r"\(suffix, bits\)")
    before = (batch.folder / "out" / "b.jpg").read_bytes()
    assert batch("in/b.dng", "-o", "out", "--exposure", "1", "--overwrite")[0] == 0
    assert (batch.folder / "out" / "b.jpg").read_bytes() != before
    assert list(entries()) == ["b.dng"]


def test_settings_know_parameters_by_their_numbers_and_the_version(batch, monkeypatch):
    params = mj.load_params("neutral")
    mj.save_params("mine.safetensors", params)
    mine = ("in/a.dng", "-o", "out", "--style", "mine.safetensors")
    assert batch(*mine)[0] == 0
    params["photofinish"]["gain"]["head"]["bias"] += 1
    mj.save_params("mine.safetensors", params)
    load_params.cache_clear()
    refused(batch, *mine, match=r"other settings \(sha256\)")
    monkeypatch.setattr(driver, "__version__", "99")
    refused(batch, *mine, match=r"other settings \((modisp_jax, sha256|sha256, modisp_jax)\)")
    load_params.cache_clear()


def test_failures_are_listed_and_the_rest_goes_on(batch):
    (batch.folder / "in" / "b.dng").write_bytes(b"no photo")
    code, err = batch("in", "missing.dng", "-o", "out")
    assert code == 2
    assert names(batch.folder / "out") == ["a.jpg", "c.jpg", NAME]
    reasons = ERROR.findall(err)
    assert [reason.split(": ")[0] for reason in reasons] == ["in/b.dng", "missing.dng"]
    assert err.splitlines()[-3:-1] == [f"modisp: error: {reason}" for reason in reasons]
    assert err.endswith("2 of 4 photos done, 2 failed (--retry-failed renders them again)\n")
    # They are told of again, but not tried.
    code, again = batch("in", "missing.dng", "-o", "out")
    assert (code, batch.rendered, ERROR.findall(again)) == (2, [], reasons)
    shutil.copy(batch.folder / "in" / "a.dng", batch.folder / "missing.dng")  # another file: it is tried
    code, again = batch("in", "missing.dng", "-o", "out")
    assert (code, batch.rendered, ERROR.findall(again)) == (2, ["missing.dng"], reasons[:1])
    assert batch("in", "missing.dng", "-o", "out", "--retry-failed")[0] == 2
    assert batch.rendered == ["b.dng"]


def test_pictures_of_others_are_not_replaced(batch):
    (batch.folder / "out").mkdir()
    (batch.folder / "out" / "b.jpg").write_text("mine")
    code, err = batch("in", "-o", "out")
    assert (code, batch.rendered) == (2, ["a.dng", "c.dng"])
    assert ERROR.findall(err) == ["in/b.dng: out/b.jpg exists; --overwrite replaces it"]
    assert batch("in", "-o", "out", "--retry-failed")[0] == 2
    assert (batch.folder / "out" / "b.jpg").read_text() == "mine"
    assert batch("in", "-o", "out", "--retry-failed", "--overwrite")[0] == 0
    assert batch.rendered == ["b.dng"]
    assert read_image("out/b.jpg").shape == (*SIZE, 3)


def test_overwrite_goes_on_where_it_was_stopped_and_else_begins_anew(batch):
    command = ("in", "-o", "out", "--overwrite")
    batch.script["b.dng"] = ["kill the driver"]
    assert batch(*command)[0] == 130
    assert batch.rendered == ["a.dng"]
    assert batch(*command)[0] == 0
    assert batch.rendered == ["b.dng", "c.dng"]
    assert batch(*command)[0] == 0
    assert batch.rendered == ["a.dng", "b.dng", "c.dng"]


def test_a_photo_in_hand_at_a_kill_is_rendered_again_and_its_leftovers_go(batch):
    batch.script["b.dng"] = ["kill the driver"]
    code, err = batch("in", "-o", "out")
    assert code == 130
    assert err.endswith("modisp: interrupted\n")
    assert (entries()["b.dng"].state, entries()["c.dng"].state) == ("started", "planned")
    for name in (".b.abcdefgh.jpg", ".c.abcdefgh.jpg", "b.jpg"):  # c was not in hand, so that one is not ours
        (batch.folder / "out" / name).write_text("half a picture")
    code, _ = batch("in", "-o", "out")
    assert (code, batch.rendered) == (0, ["b.dng", "c.dng"])
    assert names(batch.folder / "out") == [".c.abcdefgh.jpg", "a.jpg", "b.jpg", "c.jpg", NAME]
    assert read_image("out/b.jpg").shape == (*SIZE, 3)
    assert entries()["b.dng"].starts == [1, 2]


def test_ctrl_c_ends_after_the_photos_in_hand(batch):
    batch.script["b.dng"] = ["stop"]
    before = signal.getsignal(signal.SIGINT)
    code, err = batch("in", "-o", "out")
    assert (code, batch.rendered) == (130, ["a.dng", "b.dng"])
    assert err.splitlines()[-2:] == ["2 of 3 photos done", "modisp: interrupted; the same command goes on"]
    assert {entry.state for entry in entries().values()} == {"done", "planned"}
    assert signal.getsignal(signal.SIGINT) is before
    assert batch("in", "-o", "out")[0] == 0
    assert batch.rendered == ["c.dng"]


def test_a_photo_that_takes_its_worker_down_is_tried_once_more(batch):
    batch.script |= {"a.dng": ["die"], "b.dng": ["die", "die"]}
    code, err = batch("in", "-o", "out")
    assert (code, batch.rendered) == (2, ["c.dng", "a.dng"])
    reason = "in/b.dng: the worker died, 2 times; the last, worker 0 was ended by SIGSEGV"
    assert ERROR.findall(err) == [reason]
    assert "in/a.dng: the worker died (worker 0 was ended by SIGSEGV); it is rendered once more at the end\n" in err
    assert names(batch.folder / "out") == ["a.jpg", "c.jpg", NAME]
    assert (entries()["b.dng"].state, entries()["b.dng"].starts) == ("failed", [1, 1])


def test_styles_and_stages_have_places_of_their_own(batch, monkeypatch):
    stages = types.SimpleNamespace(srgb=np.zeros((*SIZE, 3), np.float32))
    monkeypatch.setattr(render_files, "render_stages", lambda *_, **__: stages)
    written = []
    monkeypatch.setattr(render_files, "write_stages", lambda folder, *_: written.append(folder.as_posix()))
    monkeypatch.setattr(render_files, "list_styles", lambda: ["warm", "mono"])
    monkeypatch.setattr(render_files, "load_params", lambda params, style=None: load_params("neutral"))
    assert batch("in", "-r", "-o", "out", "--style", "all", "--save-stages", "st")[0] == 0
    pictures = [f"{name}_{style}" for name in ("a", "b", "c", "sub/a") for style in ("mono", "warm")]
    assert names(batch.folder / "out") == sorted([*(f"{name}.jpg" for name in pictures), NAME])
    assert sorted(written) == sorted(f"st/{name}" for name in pictures)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["-o", "out"], "expected at least one photo"),
        (["in", "-o", "out", "--processes", "0"], "--processes: expected at least 1, got 0"),
        (["in", "-o", "out", "--quality", "0"], "--quality: expected 1 to 100"),
        (["in", "-o", "out", "--bits", "16"], "--bits 16: expected a PNG or TIFF"),
        (["in", "-o", "out", "--crop", "0", "0", "2", "1"], "crop: expected"),
        (["in", "-o", "out", "--style", "nosuch"], "nosuch: expected a style"),
        (["in", "-o", "in/a.dng"], "in/a.dng"),
        (["in/a.dng", "in/sub/a.dng", "-o", "out"], "would both become .*out/a.jpg"),
        (["in", "-o", "out", "--ray", "a", "b"], "--ray: expected one address at most, got a, b"),
    ],
)
def test_bad_options_are_refused_before_any_work(batch, arguments, match):
    refused(batch, *arguments, match=match)


def test_a_manifest_that_is_none_or_in_use_is_refused(batch):
    (batch.folder / "out").mkdir()
    (batch.folder / "out" / NAME).write_text("mine\n")
    refused(batch, "in", "-o", "out", match="line 1 is no record of a batch")
    (batch.folder / "out" / NAME).write_text("")
    with Manifest(batch.folder / "out"):
        refused(batch, "in", "-o", "out", match="another modisp batch is at work")
    assert batch("in", "-o", "out")[0] == 0


def test_a_missing_ray_is_said(batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    match = r"--ray: expected the package ray, .*pip install 'modisp_jax\[ray\]'"
    refused(batch, "in", "-o", "out", "--ray", match=match)


def test_the_manifest_tells_of_the_runs(batch):
    assert batch("in", "-o", "out")[0] == 0
    records = [json.loads(line) for line in (batch.folder / "out" / NAME).read_text().splitlines()]
    header, run, *plans = records[:5]
    assert header["settings"]["params"] == "neutral"
    assert not {"output", "overwrite"} & set(header["settings"])
    assert (run["run"], run["workers"], run["pid"]) == (1, "1 here", os.getpid())
    assert [next(iter(record)) for record in records[2:]] == ["plan"] * 3 + ["start", "done"] * 3 + ["end"]
    assert [plan["plan"] for plan in plans] == [str(batch.folder / "in" / f"{name}.dng") for name in "abc"]
    assert records[-1] == {"end": 1, "done": 3, "failed": 0}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_on_a_terminal_is_one_line():
    now, stream = [100.0], Terminal()
    report = Report(10, 4, ["old.dng: why"], stream, lambda: now[0])
    task = types.SimpleNamespace(
        job=types.SimpleNamespace(photo="a.dng"), entry=types.SimpleNamespace(outputs=["a.jpg"])
    )
    report.begins("2 processes", [])
    assert stream.getvalue() == "\r\x1b[K10 photos, 4 of them settled by earlier runs; 2 processes\n"
    now[0] += 30
    report.finished(task, 30.0)
    assert stream.getvalue().endswith("\r\x1b[K5/10 photos, 1 failed, 2.0 photos/min, 2 min left")
    now[0] += 10
    report.failed(task, "b.dng: why")
    assert stream.getvalue().endswith("\r\x1b[K6/10 photos, 2 failed, 3.0 photos/min, 80 s left")
    report.ends(True)
    assert stream.getvalue().endswith(
        "\nmodisp: error: old.dng: why\nmodisp: error: b.dng: why\n"
        "\r\x1b[K4 of 10 photos done, 2 failed (--retry-failed renders them again)\n"
    )


def test_durations():
    assert [duration(seconds) for seconds in (0.4, 89, 91, 5000, 5400, 1e5)] == [
        *("0 s", "89 s", "2 min", "83 min", "1.5 h", "27.8 h"),
    ]
