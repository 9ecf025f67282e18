"""The photos that are open in the editor: named by random ids, never by paths; their settings, thumbnails and rooms.

Uploads lie in a private temporary folder that goes with the library. Of a folder only names are read until a photo is
asked for, so that one with thousands opens at once.
"""

import collections
import contextlib
import dataclasses
import io
import secrets
import shutil
import tempfile
import threading
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from modisp_jax.checkpoints import BUILT_IN
from modisp_jax.describe import explain
from modisp_jax.editor.facts import FINAL, guess_kind, is_photo, make_thumbnail, read_facts
from modisp_jax.editor.settings import Making, check_settings, linearize_of, settings_of_record
from modisp_jax.io.names import shown
from modisp_jax.render_files import FAILURES
from modisp_jax.render_settings import named_source

LARGEST_UPLOAD = 2**30
"""Bytes of one file."""
LARGEST_UPLOADS = 2**33
"""Bytes of all that are kept at a time."""
MOST_PHOTOS = 50_000
LONGEST_NAME = 120
THUMBNAIL_SIDE = 240
THUMBNAIL_CACHE = 2**26
"""Bytes of thumbnails that are kept."""
MOST_ROOMS = 2
"""Darkrooms alive at a time: each holds a photo on the device, as it was read in one way."""


class TooLarge(ValueError):
    """An upload beyond the bounds."""


class NotFound(LookupError):
    """There is nothing of that id."""


@dataclasses.dataclass
class Photo:
    """A photo that is open."""

    id: str
    path: Path
    name: str
    kind: str
    uploaded: bool = False
    size: tuple[int, int] | None = None
    """(height, width) upright; None until the file has been looked at."""
    stored_size: tuple[int, int] | None = None
    """The same as the file stores it."""
    settings: dict = dataclasses.field(default_factory=dict)
    """In normal form."""
    error: str | None = None
    note: str = ""
    """What of a picture's record could not be taken over."""
    seen: bool = False
    """Whether the file has been looked at."""

    def to_dict(self):
        """For the page; it says nothing of where the file lies."""
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "size": None if self.size is None else list(self.size),
            "settings": self.settings,
            "error": self.error,
            "note": self.note,
        }


class Library:
    """The open photos. Its methods may be called by any thread, but :meth:`room` by one only."""

    def __init__(self, engine, *, making=Making(), largest_upload=LARGEST_UPLOAD, largest_uploads=LARGEST_UPLOADS):
        self.engine, self.making = engine, making
        self.largest_upload, self._left = largest_upload, largest_uploads
        self._photos, self._lock = {}, threading.RLock()
        self._thumbnails, self._thumbnail_bytes = collections.OrderedDict(), 0
        self._thumbnail_lock = threading.Lock()  # one at a time: they are many, and rendering goes first
        self._look_lock = threading.Lock()
        self._rooms = collections.OrderedDict()
        self._folder, self._ended = None, False

    # Photos

    def add(self, paths):
        """Opens files, and folders for the photos in them in order of name; returns the :class:`Photo`\\ s.

        Raises ``ValueError`` for what is not there and for a folder without photos.
        """
        found = []
        for path in map(Path, paths):
            if path.is_dir():
                inside = sorted(p for p in path.iterdir() if is_photo(p) and p.is_file())
                if not inside:
                    raise ValueError(f"{path}: expected photos in this folder, found none")
                found += inside
            elif path.is_file():
                found.append(path)
            else:
                raise ValueError(f"{path}: expected a photo or a folder, found no such file")
        return [self._enter(path, path.name) for path in found]

    def _enter(self, path, name, uploaded=False):
        with self._lock:
            if len(self._photos) >= MOST_PHOTOS:
                raise ValueError(f"expected at most {MOST_PHOTOS} open photos; close some")
            photo = Photo(secrets.token_urlsafe(9), path, shown(name), guess_kind(path), uploaded)
            if photo.kind == FINAL:
                photo.settings = finished_settings()
            self._photos[photo.id] = photo
        return photo

    def photos(self):
        """All open photos, in order of opening."""
        with self._lock:
            return list(self._photos.values())

    def get(self, id):
        """The photo of an id, its file looked at; raises :class:`NotFound`."""
        with self._lock:
            photo = self._photos.get(id)
        if photo is None:
            raise NotFound("no such photo is open")
        with self._look_lock:
            if not photo.seen:
                self._look_at(photo)
        return photo

    def _look_at(self, photo):
        try:
            facts = read_facts(photo.path)
            photo.kind, photo.size, photo.stored_size = facts.kind, facts.size, facts.stored_size
            if facts.kind != FINAL and photo.settings == finished_settings():
                photo.settings = {}
            if facts.record:
                own = self.making.own.styles
                photo.settings, photo.note = settings_of_record(facts.record, self.making.modes, own)
                if facts.record.get("params", "default") != named_source(self.making.params, BUILT_IN):
                    made = f"was made with --params {shown(facts.record.get('params', 'default'))}"
                    photo.note = "; ".join(filter(None, [photo.note, made]))
        except FAILURES as error:
            photo.error = self.words(error, photo)
        photo.seen = True

    def words(self, error, photo):
        """What went wrong with a photo, in one line that calls it by its name and not by its path."""
        return explain(error, photo.path).replace(shown(photo.path), photo.name).replace(str(photo.path), photo.name)

    def set_settings(self, id, settings):
        """Keeps settings for a photo; returns their normal form."""
        checked = self.check(settings)
        self.get(id).settings = checked
        return checked

    def check(self, settings):
        """The normal form of settings that can be had here; raises ``ValueError``."""
        return check_settings(settings, self.making.modes, self.making.own.styles)

    def close(self, id):
        """Closes a photo. An upload's copy is deleted, a file of the user's never."""
        with self._lock:
            photo = self._photos.pop(id, None)
            if photo is None:
                raise NotFound("no such photo is open")
            self._thumbnail_bytes -= len(self._thumbnails.pop(id, b""))
        if photo.uploaded:
            with contextlib.suppress(OSError), self._lock:
                self._left += photo.path.stat().st_size
            shutil.rmtree(photo.path.parent, ignore_errors=True)
        return photo

    # Uploads

    def upload(self, name):
        """An :class:`Upload` to write the bytes of a file into; raises ``ValueError`` for a name of no photo."""
        name = safe_name(name)
        if not is_photo(Path(name)):
            raise ValueError(f"{shown(name)}: expected the name of a raw file, a JPEG, PNG, TIFF, WebP, AVIF or HEIF")
        with self._lock:
            if self._ended:
                raise ValueError("the editor is ending")
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="modisp-edit-"))  # for this user only
            folder = self._folder / secrets.token_hex(8)
            folder.mkdir(mode=0o700)
        return Upload(self, folder / name)

    def _take(self, count):
        with self._lock:
            if count > self._left:
                raise TooLarge("the open uploads take more room than there is; close some")
            self._left -= count

    # Thumbnails

    def thumbnail(self, id):
        """A JPEG of a photo with at most 240 pixels a side. Raises ``ValueError`` or ``OSError``."""
        photo = self.get(id)
        with self._thumbnail_lock:
            with self._lock:
                if id in self._thumbnails:
                    self._thumbnails.move_to_end(id)
                    return self._thumbnails[id]
            data = _jpeg(make_thumbnail(photo.path, THUMBNAIL_SIDE))
            with self._lock:
                if id in self._photos:
                    self._thumbnails[id] = data
                    self._thumbnail_bytes += len(data)
                while self._thumbnail_bytes > THUMBNAIL_CACHE:
                    self._thumbnail_bytes -= len(self._thumbnails.popitem(last=False)[1])
        return data

    # Darkrooms, for the rendering thread

    def room(self, id, settings):
        """The darkroom of a photo, opened if need be; at most two stay. Raises ``ValueError`` or ``OSError``.

        ``settings`` (in normal form) say how a finished photo is read; as they change, it is read anew.
        """
        photo = self.get(id)
        self.forget_closed()
        linearize = linearize_of(settings, photo.kind == FINAL)
        key = id, linearize
        if key not in self._rooms:
            while len(self._rooms) >= MOST_ROOMS:
                self._rooms.popitem(last=False)[1].close()
            self._rooms[key] = self.engine.open(photo.path, linearize)
        self._rooms.move_to_end(key)
        return self._rooms[key]

    def forget_closed(self):
        """Closes the rooms of photos that are closed."""
        with self._lock:
            gone = [key for key in self._rooms if key[0] not in self._photos]
        for key in gone:
            self._rooms.pop(key).close()

    # The end

    def end(self):
        """Deletes the uploads. The rooms are the rendering thread's to close (:meth:`close_rooms`)."""
        with self._lock:
            folder, self._folder, self._ended = self._folder, None, True
            self._photos.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def close_rooms(self):
        """Closes all darkrooms."""
        while self._rooms:
            self._rooms.popitem()[1].close()


class Upload:
    """A file on its way into the library: ``write`` its bytes, then ``finish``, or ``abandon``."""

    def __init__(self, library, path):
        self._library, self.path, self._count = library, path, 0
        self._file = path.open("xb")

    def write(self, data):
        """Appends bytes; raises :class:`TooLarge` beyond the bounds."""
        if self._count + len(data) > self._library.largest_upload:
            raise TooLarge(f"expected a file of at most {self._library.largest_upload} bytes, got more")
        self._library._take(len(data))
        self._count += len(data)
        self._file.write(data)

    def finish(self):
        """The :class:`Photo` of the file, looked at."""
        self._file.close()
        if not self._count:
            raise ValueError(f"{self.path.name}: expected a photo, got an empty file")
        photo = self._library._enter(self.path, self.path.name, uploaded=True)
        return self._library.get(photo.id)

    def abandon(self):
        """Deletes what has come."""
        self._file.close()
        self._library._take(-self._count)
        shutil.rmtree(self.path.parent, ignore_errors=True)


def finished_settings():
    """What a finished photo starts with: a network that expects a sensor's noise takes its texture for it."""
    return {"edits": {"denoise": 0.0}}


def safe_name(name):
    """A file name of what a page sent: the last part, without what is no letter, digit, space or ``._-()+,@``."""
    name = PureWindowsPath(PurePosixPath(unicodedata.normalize("NFC", name)).name).name
    name = "".join(c for c in name if c.isalnum() or c in " ._-()+,@").strip(" .")
    stem, dot, suffix = name.rpartition(".")
    while len(name.encode("utf-8")) > LONGEST_NAME and stem:
        stem = stem[:-1]
        name = stem + dot + suffix
    if not stem.strip(" .") or len(name.encode("utf-8")) > LONGEST_NAME:
        raise ValueError("expected a file name such as photo.dng")
    return name


def _jpeg(pixels):
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "jpeg", quality=80)
    return out.getvalue()
