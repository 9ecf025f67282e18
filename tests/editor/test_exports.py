"""Exports: the bytes that ``modisp render`` writes, names that are free, failures in words, cancelling, reopening."""

import shlex
import shutil
import threading

import numpy as np
import pytest

import modisp_jax as mj
from modisp_jax import cli, inputs
from modisp_jax.editor import exports as module
from modisp_jax.editor.exports import Exports, move_to_free_name
from modisp_jax.editor.library import Library, NotFound
from modisp_jax.editor.settings import Export, Making, check_settings
from modisp_jax.io.exif import read_settings
from modisp_jax.io.images import read_image, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from tests.paramisp.samples import ship
from tests.samples import photo

SIZE = (48, 64)
NEUTRAL = Making("neutral")
SETTINGS = check_settings(
    {
        "edits": {"exposure": 0.3, "contrast": 0.2, "chroma": 0.5, "crop": [0.1, 0.2, 0.5, 0.6]},
        "white_balance": {"mode": "picked", "illuminant": [0.51, 1, 0.7]},
        "mix": [{"style": "neutral", "weight": 0.9, "weights": {"gamma": 0.8}}],
        "operators": "published",
    }
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write_synthetic_dng(folder / "a.dng", size=SIZE, orientation=6)
    write_image(folder / "finished.png", photo(*SIZE))
    (folder / "bad.dng").write_bytes(b"II*\0 and no more")
    return folder


@pytest.fixture
def folder(tmp_path, made):
    shutil.copytree(made, tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def library(folder):
    library = Library(None, making=NEUTRAL)
    library.add([folder])
    yield library
    library.end()


@pytest.fixture
def exports(library, tmp_path):
    exports = Exports(library, fallback=tmp_path)
    yield exports
    assert exports.end(60)


@pytest.fixture
def plain(monkeypatch):
    """Writes a few bytes in place of rendering, where the test is about files; calls what it is given before."""
    before = []

    def render_jobs(jobs, session, report, say):
        del session, say
        for job in jobs:
            for act in before:
                act(job)
            if job.photo.stem == "bad":
                report(job, ValueError(f"{job.photo}: expected a photo"))
            else:
                job.targets[""].write_bytes(b"picture")

    monkeypatch.setattr(module, "render_jobs", render_jobs)
    monkeypatch.setattr(module, "open_session", lambda options: None)
    return before


def asked(library, *names):
    photos = {one.name: one for one in library.photos()}
    return [(library.get(photos[name].id), SETTINGS) for name in names]


def done(exports, photos, export=Export()):
    return exports.wait(exports.start(photos, export).id, 120)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_export_is_what_render_writes(exports, library, tmp_path):
    """Byte for byte, by the very command that the page shows; and a JPEG with its raw reopens with its settings."""
    job = done(exports, asked(library, "a.dng"), Export(embed_raw=True, raw_codec="lossless", quality=90))
    assert (job.state, job.failed, job.done) == ("done", [], 1)
    (place,) = job.places
    words = shlex.split(job.files[0]["command"])
    assert words[words.index("--output") + 1] == str(place)
    words[words.index("--output") + 1] = str(tmp_path / "by_render.jpg")
    assert cli.main(words[1:]) == 0
    assert place.read_bytes() == (tmp_path / "by_render.jpg").read_bytes()
    assert read_image(place).shape == (32, 28, 3)  # of 64 x 48 upright
    again = Library(None, making=NEUTRAL)
    (photo,) = again.add([place])
    assert again.get(photo.id).to_dict() | {"id": ""} == {
        "id": "",
        "name": "a.jpg",
        "kind": "jpeg with raw",
        "size": [64, 48],
        "settings": SETTINGS,
        "error": None,
        "note": "",
    }
    photos = [(again.get(photo.id), SETTINGS), *asked(library, "a.dng")]
    job = done(exports, photos, Export("png"))  # from the raw in the JPEG, and from the raw file
    np.testing.assert_array_equal(*map(read_image, job.places))


def test_a_finished_photo_is_exported_as_render_does(exports, library, tmp_path, monkeypatch):
    """However it is taken back; what is slow of that, the inverse, has a stand-in."""
    ship(monkeypatch, tmp_path / "weights")
    by_curve = lambda path, method, params: mj.read_photo_as_raw(path, method="curve")  # noqa: E731 (one line)
    (one,) = asked(library, "finished.png")
    pictures = {}
    for linearize in ("inverse", "curve", "paramisp"):
        with monkeypatch.context() as patch:
            if linearize == "inverse":
                patch.setattr(inputs, "read_photo_as_raw", by_curve)
            settings = check_settings(one[1] | {"linearize": linearize})
            job = done(exports, [(one[0], settings)], Export("tiff", bits=8))
            assert job.failed == []
            words = shlex.split(job.files[0]["command"])
            assert words[words.index("--strength.denoise") + 1] == "1"
            assert ("--linearize" in words) == (linearize != "inverse")
            words[words.index("--output") + 1] = str(tmp_path / f"{linearize}.tif")
            assert cli.main(words[1:]) == 0
        assert job.places[0].read_bytes() == (tmp_path / f"{linearize}.tif").read_bytes()
        assert read_settings(job.places[0])["linearized"] == linearize
        pictures[linearize] = read_image(job.places[0])
    assert np.abs(pictures["curve"] - pictures["paramisp"]).max() > 0.02


def test_nothing_is_replaced_and_nothing_is_left(exports, library, folder, plain):
    (folder / "a.jpg").write_bytes(b"mine")
    for expected in ("a-2.jpg", "a-3.jpg"):
        job = done(exports, asked(library, "a.dng"))
        assert [file["name"] for file in job.files] == [expected]
        assert job.places == [folder / expected]
    assert (folder / "a.jpg").read_bytes() == b"mine"
    assert names(folder) == ["a-2.jpg", "a-3.jpg", "a.dng", "a.jpg", "bad.dng", "finished.png"]


def test_a_file_that_appears_meanwhile_is_not_replaced(exports, library, folder, plain):
    plain.append(lambda job: (folder / "a.jpg").write_bytes(b"mine"))
    assert done(exports, asked(library, "a.dng")).places == [folder / "a-2.jpg"]
    assert (folder / "a.jpg").read_bytes() == b"mine"


def test_without_links_names_are_taken_just_as_well(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(module.os, "link", link)
    (tmp_path / "hidden").mkdir()
    for name in ("a.jpg", "a-2.jpg"):
        (tmp_path / "hidden" / "a.jpg").write_bytes(b"picture")
        assert move_to_free_name(tmp_path / "hidden" / "a.jpg", tmp_path) == tmp_path / name
        assert (tmp_path / name).read_bytes() == b"picture"
    assert names(tmp_path) == ["a-2.jpg", "a.jpg", "hidden"]


def test_a_photo_that_fails_is_listed_and_the_rest_goes_on(exports, library, folder, plain):
    job = done(exports, asked(library, "bad.dng", "a.dng"))
    assert job.state == "done"
    assert job.failed == [{"photo": asked(library, "bad.dng")[0][0].id, "error": "bad.dng: expected a photo"}]
    assert [file["name"] for file in job.files] == ["a.jpg"]
    assert names(folder) == ["a.dng", "a.jpg", "bad.dng", "finished.png"]
    assert job.to_dict() == {
        "id": job.id,
        "done": 2,
        "total": 2,
        "current": None,
        "files": job.files,
        "failed": job.failed,
        "state": "done",
    }


def test_a_failure_of_rendering_leaves_nothing(exports, library, folder):
    """Without a stand-in: a file that is no photo."""
    job = done(exports, asked(library, "bad.dng"))
    assert job.files == []
    assert job.failed[0]["error"].startswith("bad.dng: expected ")
    assert str(folder) not in job.failed[0]["error"]
    assert names(folder) == ["a.dng", "bad.dng", "finished.png"]


def test_cancelling_ends_after_the_photo_at_work(exports, library, folder, plain):
    started, go_on = threading.Event(), threading.Event()
    plain.append(lambda job: started.set() or go_on.wait(30))
    job = exports.start(asked(library, "a.dng", "finished.png"), Export())
    waiting = exports.start(asked(library, "finished.png"), Export())
    assert started.wait(30)
    assert (job.state, job.current, waiting.state) == ("running", "a.dng", "waiting")
    exports.cancel(waiting.id)
    exports.cancel(job.id)
    go_on.set()
    assert exports.wait(job.id, 30).state == "cancelled"
    assert exports.wait(waiting.id, 30).state == "cancelled"
    assert (job.done, [file["name"] for file in job.files], waiting.done) == (1, ["a.jpg"], 0)
    assert names(folder) == ["a.dng", "a.jpg", "bad.dng", "finished.png"]


def test_an_end_that_does_not_wait_leaves_nothing(library, folder, plain):
    started, go_on = threading.Event(), threading.Event()
    plain.append(lambda job: started.set() or go_on.wait(30))
    exports = Exports(library)
    job = exports.start(asked(library, "a.dng"), Export())
    assert started.wait(30)
    assert not exports.end(0)
    assert names(folder) == ["a.dng", "bad.dng", "finished.png"]
    go_on.set()
    assert exports.end(30)
    assert (job.state, len(job.failed)) == ("done", 1)
    assert names(folder) == ["a.dng", "bad.dng", "finished.png"]


def test_where_pictures_go(library, tmp_path, plain, folder):
    upload = library.upload("up.dng")
    upload.write((folder / "a.dng").read_bytes())
    photos = [*asked(library, "a.dng"), (upload.finish(), {})]
    beside = Exports(library, fallback=tmp_path / "start")
    job = done(beside, photos)
    assert job.places == [folder / "a.jpg", tmp_path / "start" / "up.jpg"]
    assert job.files[1]["command"].startswith("modisp render up.dng --output ")
    output = Exports(library, folder=tmp_path / "out", fallback=tmp_path / "start")
    assert done(output, photos).places == [tmp_path / "out" / "a.jpg", tmp_path / "out" / "up.jpg"]
    assert beside.end(30)
    assert output.end(30)


def test_the_page_goes_first(library, plain):
    order = []
    plain.append(lambda job: order.append("photo"))
    exports = Exports(library, pause=lambda: order.append("pause"))
    done(exports, asked(library, "a.dng", "finished.png"))
    assert order == ["pause", "photo"] * 2
    assert exports.end(30)
    with pytest.raises(ValueError, match="the editor is ending"):
        exports.start([], Export())
    with pytest.raises(NotFound, match="no such export"):
        exports.get("x")
