"""The editor's open photos: ids, folders, uploads, thumbnails, stored settings, and the two darkrooms that stay."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import modisp_jax as mj
from modisp_jax.editor import library as module
from modisp_jax.editor.library import Library, NotFound, TooLarge, safe_name
from modisp_jax.editor.settings import Making
from modisp_jax.io.images import write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from tests.samples import photo

SIZE = (48, 64)
RECORD = {"modisp_jax": "0.1", "raw": "a.dng", "params": "default", "edits": {"contrast": 0.5}, "style": "vivid"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A raw photo, one that lies on its side, a JPEG with its raw, a finished photo, and things that are no photos."""
    folder = tmp_path_factory.mktemp("photos")
    write_synthetic_dng(folder / "a.dng", size=SIZE)
    write_synthetic_dng(folder / "turned.dng", size=SIZE, orientation=6)
    raw = mj.read_raw(folder / "turned.dng")
    mj.save_jpeg_with_raw(folder / "carried.jpg", photo(*SIZE), raw, settings=RECORD)
    write_image(folder / "finished.png", photo(*SIZE))
    (folder / "bad.dng").write_bytes(b"II*\0 and no more")
    (folder / "notes.txt").write_text("no photo")
    (folder / "._a.dng").write_bytes(b"of another system")
    return folder


class Engine:
    """Opens rooms that only know whether they are closed."""

    def __init__(self):
        self.opened = []

    def open(self, path, linearize):
        room = Room(path, linearize)
        self.opened.append(room)
        return room


@dataclasses.dataclass
class Room:
    path: Path
    linearize: str
    closed: bool = False

    def close(self):
        assert not self.closed
        self.closed = True


@pytest.fixture
def library():
    library = Library(Engine())
    yield library
    library.close_rooms()
    library.end()


def named(library, name):
    return next(one for one in library.photos() if one.name == name)


def send(library, name, data):
    upload = library.upload(name)
    upload.write(data)
    return upload.finish()


def test_a_folder_stands_for_its_photos_which_are_not_read_yet(library, folder):
    library.add([folder])
    photos = library.photos()
    assert [one.name for one in photos] == ["a.dng", "bad.dng", "carried.jpg", "finished.png", "turned.dng"]
    assert not any(one.seen for one in photos)
    assert all(one.size is None for one in photos)
    assert len({one.id for one in photos}) == 5
    assert not any(str(folder) in str(one.to_dict()) for one in photos)


def test_what_the_files_say(library, folder):
    library.add([folder])
    found = {one.name: library.get(one.id).to_dict() for one in library.photos()}
    assert found["a.dng"] | {"id": ""} == {
        "id": "",
        "name": "a.dng",
        "kind": "raw",
        "size": [48, 64],
        "settings": {},
        "error": None,
        "note": "",
    }
    assert found["turned.dng"]["size"] == [64, 48]
    assert (found["carried.jpg"]["kind"], found["carried.jpg"]["size"]) == ("jpeg with raw", [64, 48])
    stored = {"edits": {"contrast": 0.5}, "mix": [{"style": "vivid", "weight": 1.0}]}
    assert found["carried.jpg"]["settings"] == stored
    assert (found["finished.png"]["kind"], found["finished.png"]["size"]) == ("finished", [48, 64])
    assert found["finished.png"]["settings"] == {"edits": {"denoise": 0.0}}
    assert found["bad.dng"]["error"].startswith("bad.dng: ")
    assert str(folder) not in found["bad.dng"]["error"]


def test_what_cannot_be_taken_over_is_said(folder):
    library = Library(Engine(), making=Making("base"))
    (one,) = library.add([folder / "carried.jpg"])
    assert library.get(one.id).note == "was made with --params default"


def test_what_is_not_there_is_refused(library, tmp_path):
    with pytest.raises(ValueError, match=r"none\.dng: expected a photo or a folder, found no such file"):
        library.add([tmp_path / "none.dng"])
    with pytest.raises(ValueError, match="expected photos in this folder, found none"):
        library.add([tmp_path])
    for call in (library.get, library.close, library.thumbnail, lambda id: library.room(id, {})):
        with pytest.raises(NotFound):
            call("../../etc/passwd")


def test_settings_are_kept_in_normal_form(library, folder):
    (one,) = library.add([folder / "a.dng"])
    assert library.set_settings(one.id, {"edits": {"contrast": 0.5, "shadows": 0}}) == {"edits": {"contrast": 0.5}}
    assert library.get(one.id).settings == {"edits": {"contrast": 0.5}}
    with pytest.raises(ValueError, match="contrast: expected -1 to 1, got 5"):
        library.set_settings(one.id, {"edits": {"contrast": 5}})
    assert library.get(one.id).settings == {"edits": {"contrast": 0.5}}


def test_an_upload_is_a_photo_until_it_is_closed(library, folder):
    one = send(library, "../b.dng", (folder / "a.dng").read_bytes())
    assert (one.name, one.kind, one.size, one.uploaded) == ("b.dng", "raw", (48, 64), True)
    assert one.path.parent.stat().st_mode & 0o077 == 0
    assert one.path.read_bytes() == (folder / "a.dng").read_bytes()
    other = send(library, "b.dng", (folder / "a.dng").read_bytes())
    assert other.path != one.path
    library.close(one.id)
    assert not one.path.parent.exists()
    temporary = other.path.parent.parent
    library.end()
    assert not temporary.exists()
    with pytest.raises(ValueError, match="the editor is ending"):
        library.upload("c.dng")


def test_a_file_of_the_user_is_never_deleted(library, folder):
    (one,) = library.add([folder / "a.dng"])
    library.close(one.id)
    library.end()
    assert (folder / "a.dng").is_file()


def test_uploads_are_bounded():
    library = Library(Engine(), largest_upload=100, largest_uploads=250)
    photos = [send(library, f"{k}.dng", b"x" * 100) for k in range(2)]
    upload = library.upload("c.dng")
    upload.write(b"x" * 40)
    with pytest.raises(TooLarge, match="take more room than there is"):
        upload.write(b"x" * 20)
    upload.abandon()
    assert not upload.path.parent.exists()
    upload = library.upload("c.dng")
    with pytest.raises(TooLarge, match="expected a file of at most 100 bytes, got more"):
        upload.write(b"x" * 101)
    upload.abandon()
    library.close(photos[0].id)
    send(library, "d.dng", b"x" * 100)  # there is room again
    upload = library.upload("e.dng")
    with pytest.raises(ValueError, match="got an empty file"):
        upload.finish()
    upload.abandon()
    library.end()


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a.dng", "a.dng"),
        ("../../etc/a.dng", "a.dng"),
        ("C:\\photos\\a.dng", "a.dng"),
        ("/etc/cron.d/.a.dng", "a.dng"),
        ("a\n\0\x1b[31m.dng", "a31m.dng"),
        ("Grüße (2).jpg", "Grüße (2).jpg"),
        ("$(rm -rf x);'\"`<b>.jpg", "(rm -rf x)b.jpg"),
        ("x" * 300 + ".dng", "x" * 116 + ".dng"),
    ],
)
def test_names_are_harmless(sent, name):
    assert safe_name(sent) == name


@pytest.mark.parametrize("sent", ["", ".", "..", "/", "dng", ".dng", "...", "a." + "x" * 300])
def test_names_that_are_none(sent):
    with pytest.raises(ValueError, match=r"expected a file name such as photo\.dng"):
        safe_name(sent)


@pytest.mark.parametrize("sent", ["a.txt", "a.dng.exe", "style.json", "a.safetensors", "a"])
def test_only_photos_are_taken(library, sent):
    with pytest.raises(ValueError, match="expected"):
        library.upload(sent)


def test_thumbnails_are_small_and_upright(library, folder, tmp_path):
    write_image(tmp_path / "large.jpg", photo(300, 500))
    library.add([folder, tmp_path / "large.jpg"])
    for name, size in {
        "a.dng": (32, 24),  # a pixel for each cell of the mosaic
        "turned.dng": (24, 32),
        "carried.jpg": (64, 48),
        "finished.png": (64, 48),
        "large.jpg": (240, 144),
    }.items():
        with Image.open(io.BytesIO(library.thumbnail(named(library, name).id))) as picture:
            assert (picture.format, picture.size) == ("JPEG", size), name
            assert np.asarray(picture).std() > 10, name
    with pytest.raises(ValueError, match="bad"):
        library.thumbnail(named(library, "bad.dng").id)


def test_thumbnails_are_kept_within_bounds(library, folder, monkeypatch):
    made = []
    monkeypatch.setattr(module, "make_thumbnail", lambda path, side: made.append(path) or np.zeros((8, 8, 3), np.uint8))
    one, two = library.add([folder / "a.dng", folder / "turned.dng"])
    assert library.thumbnail(one.id) == library.thumbnail(one.id)
    assert len(made) == 1
    monkeypatch.setattr(module, "THUMBNAIL_CACHE", len(library.thumbnail(one.id)))
    library.thumbnail(two.id)
    library.thumbnail(two.id)
    library.thumbnail(one.id)
    assert made == [one.path, two.path, one.path]


def test_two_rooms_stay(library, folder):
    photos = library.add([folder / "a.dng", folder / "turned.dng", folder / "carried.jpg"])
    a, b, c = (one.id for one in photos)
    first = library.room(a, {})
    second = library.room(b, {})
    assert library.room(a, {"linearize": "curve"}) is first  # which is raw
    library.room(c, {})
    assert [room.closed for room in library.engine.opened] == [False, True, False]
    assert second.closed
    library.close(a)
    assert not first.closed  # that is the rendering thread's
    library.forget_closed()
    assert first.closed
    library.close_rooms()
    assert all(room.closed for room in library.engine.opened)
    assert len(library.engine.opened) == 3


def test_a_finished_photo_has_a_room_for_each_way_it_is_taken_back(library, folder):
    finished, carried = (one.id for one in library.add([folder / "finished.png", folder / "carried.jpg"]))
    first = library.room(finished, {})
    second = library.room(finished, {"linearize": "paramisp"})
    assert [room.linearize for room in library.engine.opened] == ["inverse", "paramisp"]
    assert library.room(finished, {"edits": {"contrast": 0.5}}) is first
    third = library.room(finished, {"linearize": "curve"})
    assert [room.closed for room in (first, second, third)] == [False, True, False]
    assert library.room(carried, {"linearize": "curve"}).linearize == "inverse"
    library.close(finished)
    library.forget_closed()
    assert [room.closed for room in library.engine.opened] == [True, True, True, False]
