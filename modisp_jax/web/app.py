"""The editor's routes: requests are read, bounded and answered here; the work is :mod:`modisp_jax.editor`'s."""

import asyncio
import dataclasses
import sys
import threading
import traceback
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from modisp_jax import __version__
from modisp_jax.describe import explain
from modisp_jax.editor.ahead import Ahead
from modisp_jax.editor.controls import (
    default_style,
    edit_controls,
    light_controls,
    linearize_controls,
    style_controls,
)
from modisp_jax.editor.darkroom import PROXY_SIDE, Cancelled
from modisp_jax.editor.exports import Exports
from modisp_jax.editor.facts import SUFFIXES
from modisp_jax.editor.library import Library, NotFound, TooLarge
from modisp_jax.editor.settings import (
    EXPORT_CODECS,
    EXPORT_FORMATS,
    LONGEST_DESCRIPTION,
    Export,
    check_export,
    picked_illuminant,
    preset_settings,
    read_style,
    write_style,
)
from modisp_jax.editor.views import STAGE_VIEWS
from modisp_jax.io.names import shown
from modisp_jax.render_files import FAILURES
from modisp_jax.web.bodies import LARGEST_EXPORT, LARGEST_JSON, BadRequest, check_length, read_body, read_object
from modisp_jax.web.files import page_files
from modisp_jax.web.frames import MIME, encode_frame
from modisp_jax.web.newest import NewestWins, Stale
from modisp_jax.web.security import Guard
from modisp_jax.web.views import check_view, fraction, member, whole

PICK_RADIUS = 0.004
"""Of the eyedropper, as a share of the picture's long side, where the page names none."""
LONGEST_CLIENT = 64
EXPORT_KEYS = ("format", "quality", "bits", "embed_raw", "raw_codec", "raw_quality")


@dataclasses.dataclass
class Status:
    """How far the start is."""

    ready: bool = False
    message: str = "starting"


@dataclasses.dataclass
class Editor:
    """What the routes work with."""

    library: Library
    queue: NewestWins
    exports: Exports
    status: Status = dataclasses.field(default_factory=Status)
    say: object = print
    """Called with each message of compiling."""
    ahead: Ahead | None = None
    """Compiles what can wait; None where nothing is."""
    compiled: set = dataclasses.field(default_factory=set)
    """Sizes of photos that have been compiled for, or are about to be."""
    _compiling: int = 0
    _lock: object = dataclasses.field(default_factory=threading.Lock)

    def prepare(self, photo):
        """Has the rendering thread compile what photos of this one's size need, unless it has; returns at once."""
        size = photo.stored_size
        with self._lock:
            if size is None or size in self.compiled:
                return
            self.compiled.add(size)
            self._compiling += 1
            self.status.ready = False

        def tell(message):
            self.status.message = message
            self.say(message)

        def done(future):
            error = None if future.cancelled() else future.exception()
            if self.ahead is not None:
                self.ahead.view_at_full_size(size)
            self.say("ready" if error is None else f"could not compile ahead: {error}")
            with self._lock:
                self._compiling -= 1
                self.status.message = "" if error is None else f"could not compile ahead: {shown(error)}"
                self.status.ready = self._compiling == 0

        self.queue.submit(lambda: self.library.engine.warm([size], tell)).add_done_callback(done)

    def missing(self, photo, settings, view):
        """What an exact frame still has to wait for, in words, or ""."""
        if self.ahead is None or photo.stored_size is None or view["kind"] == "stage":
            return ""
        return self.ahead.missing(photo.stored_size, settings, view["kind"] == "crop")

    def progress(self):
        """How far compiling is: whether frames can be had, what is being done for them, what can wait."""
        later = "" if self.ahead is None else self.ahead.message
        return {"ready": self.status.ready, "message": self.status.message, "later": later}


def create_app(editor, *, token, hosts, files=None):
    """The ASGI application.

    Args:
      editor: an :class:`Editor`.
      token: what every request of /api must carry as ``X-Modisp-Token``.
      hosts: what Host may say, see :func:`modisp_jax.web.security.hosts_of`.
      files: {path of the address: (file, MIME type)}; by default the page's.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    _add_errors(app)
    _add_photos(app, editor)
    _add_frames(app, editor)
    _add_styles(app, editor)
    _add_exports(app, editor)
    _add_page(app, page_files() if files is None else files)
    return Guard(app, token=token, hosts=hosts)


def _add_errors(app):
    codes = {BadRequest: 400, NotFound: 404, Stale: 409, TooLarge: 413, ValueError: 422}

    def answer(code):
        async def handler(request, error):
            del request
            return _error(code, "stale" if isinstance(error, Stale) else " ".join(str(error).split()))

        return handler

    for kind, code in codes.items():
        app.add_exception_handler(kind, answer(code))

    @app.exception_handler(HTTPException)
    async def unknown(request, error):
        del request
        return _error(error.status_code, {404: "there is nothing at this address"}.get(error.status_code, error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request, error):
        del request, error
        return _error(422, "expected an address of another form")

    @app.exception_handler(ClientDisconnect)
    async def gone(request, error):
        del request, error
        return _error(400, "the page has gone away")

    @app.exception_handler(Exception)
    async def unexpected(request, error):
        del request
        traceback.print_exception(error, file=sys.stderr)
        return _error(500, f"unexpected error {type(error).__name__}; modisp edit has printed where")


def _error(code, words):
    return JSONResponse({"error": shown(words)}, status_code=code)


def _add_photos(app, editor):
    library = editor.library

    @app.get("/api/state")
    def state():
        found = {
            "version": __version__,
            "photos": [photo.to_dict() for photo in library.photos()],
            "styles": style_controls(library.making),
            "presets": preset_settings(library.making.own),
            "edits": edit_controls(),
            "white_balance": light_controls(library.making.modes),
            "linearize": linearize_controls(),
            "default_style": default_style(library.making),
            "proxy": PROXY_SIDE,
            "suffixes": list(SUFFIXES),
            "stages": {name: title for name, (title, _) in STAGE_VIEWS.items()},
            "export": {
                "folder": None if editor.exports.folder is None else shown(editor.exports.folder),
                "formats": list(EXPORT_FORMATS),
                "codecs": list(EXPORT_CODECS),
            },
        } | editor.progress()
        return JSONResponse(found)  # as it is: FastAPI would look at each of thousands of photos

    @app.get("/api/progress")
    def progress():
        return editor.progress()

    @app.post("/api/photos")
    async def upload(request: Request, name: str = ""):
        check_length(request, library.largest_upload)
        file = library.upload(name)
        try:
            async for part in request.stream():
                if part:
                    file.write(part)
            return (await asyncio.to_thread(file.finish)).to_dict()
        except BaseException:  # also where the page has gone away
            file.abandon()
            raise

    @app.get("/api/photos/{id}")
    def photo(id: str):
        found = library.get(id)
        editor.prepare(found)
        return found.to_dict() | {"ready": editor.status.ready}

    @app.delete("/api/photos/{id}")
    async def close(id: str):
        library.close(id)
        editor.queue.submit(library.forget_closed)
        return {"closed": id}

    @app.get("/api/photos/{id}/thumbnail")
    def thumbnail(id: str):
        found = library.get(id)
        try:
            return Response(library.thumbnail(id), media_type="image/jpeg")
        except FAILURES as error:
            return _error(422, library.words(error, found))

    @app.post("/api/photos/{id}/settings")
    async def settings(id: str, request: Request):
        body = await read_object(request, ("settings",))
        checked = await asyncio.to_thread(library.set_settings, id, body.get("settings", {}))
        return {"settings": checked, "command": editor.exports.command(library.get(id), checked, Export())}


def _add_frames(app, editor):
    library, queue = editor.library, editor.queue

    async def in_room(id, settings, work, submit=queue.submit):
        """``work(room)`` by the rendering thread, the photo read as settings say; its failures in words."""
        photo = await asyncio.to_thread(library.get, id)

        def run():
            return work(library.room(id, settings))

        try:
            return await asyncio.wrap_future(submit(run))
        except FAILURES as error:
            raise ValueError(library.words(error, photo)) from None

    @app.post("/api/photos/{id}/frame")
    async def frame(id: str, request: Request):
        keys = ("seq", "client", "settings", "view", "quality", "encoding")
        body = await read_object(request, keys)
        settings = library.check(body.get("settings", {}))
        view = check_view(body.get("view", {"kind": "proxy"}))
        quality = member(body.get("quality", "live"), ("live", "exact"), "quality")
        encoding = member(body.get("encoding", "jpeg"), tuple(MIME), "encoding")
        client, seq = _client(body.get("client")), whole(body.get("seq"), 0, 2**53, "seq")

        def submit(run):
            return queue.submit_newest(client, seq, run)

        # An exact frame takes long, and whoever waits for it has gone on by then; live ones are always finished, or
        # a steady hand on a slider would see none.
        cancelled = (lambda: queue.is_overtaken(client, seq)) if quality == "exact" else None

        # What is not compiled yet is not compiled now, under somebody's finger: a quick frame comes in its place.
        waiting = ""
        if quality == "exact":
            photo = await asyncio.to_thread(library.get, id)
            waiting = editor.missing(photo, settings, view)

        def work(room):
            try:
                found = room.render(settings, view, "live" if waiting else quality, cancelled)
            except Cancelled:
                raise Stale from None
            # What follows a slider goes on to its bytes at once; a PNG takes long, and the next frame need not wait.
            return encode_frame(found, seq, encoding, quality, waiting) if encoding == "jpeg" else found

        data = await in_room(id, settings, work, submit)
        if encoding != "jpeg":
            data = await asyncio.to_thread(encode_frame, data, seq, encoding, quality, waiting)
        return Response(data, media_type="application/octet-stream")

    @app.post("/api/photos/{id}/pick")
    async def pick(id: str, request: Request):
        body = await read_object(request, ("settings", "x", "y", "radius"))
        settings = library.check(body.get("settings", {}))
        x, y = fraction(body.get("x"), "x"), fraction(body.get("y"), "y")
        radius = fraction(body.get("radius", PICK_RADIUS), "radius")

        def work(room):
            found = [float(value) for value in room.pick(settings, x, y, radius)]
            light = {"mode": "picked", "illuminant": picked_illuminant(found)}
            cct, tint = room.light_of(light["illuminant"])
            return {"white_balance": light, "cct": round(cct), "tint": round(tint, 1) + 0.0}

        return await in_room(id, settings, work)

    async def stages_of(id, settings):
        settings = library.check(settings)
        both = lambda room: {"stages": room.stages(settings), "curves": room.curves(settings)}  # noqa: E731
        return await in_room(id, settings, both)

    @app.get("/api/photos/{id}/stages")
    async def stages(id: str):
        return await stages_of(id, (await asyncio.to_thread(library.get, id)).settings)

    @app.post("/api/photos/{id}/stages")
    async def stages_with(id: str, request: Request):
        return await stages_of(id, (await read_object(request, ("settings",))).get("settings", {}))


def _client(name):
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_CLIENT:
        raise ValueError(f"client: expected a text of 1 to {LONGEST_CLIENT} characters")
    return name


def _add_styles(app, editor):
    @app.post("/api/style/write")
    async def write(request: Request):
        body = await read_object(request, ("settings", "description"))
        settings = editor.library.check(body.get("settings", {}))
        description = body.get("description", "")
        if not isinstance(description, str) or len(description) > LONGEST_DESCRIPTION:
            raise ValueError(f"description: expected a text of at most {LONGEST_DESCRIPTION} characters")
        text = write_style(settings, description, editor.library.making.own.styles)
        return PlainTextResponse(text, media_type="application/json")

    @app.post("/api/style/read")
    async def read(request: Request):
        settings, description = read_style(await read_body(request, LARGEST_JSON), editor.library.making.own.styles)
        return {"settings": settings, "description": description}


def _add_exports(app, editor):
    library, exports = editor.library, editor.exports

    @app.post("/api/export")
    async def export(request: Request):
        body = await read_object(request, ("photos", *EXPORT_KEYS), LARGEST_EXPORT)
        choice = check_export({name: body[name] for name in EXPORT_KEYS if name in body})
        return {"job": exports.start(await asyncio.to_thread(_asked, library, body.get("photos")), choice).id}

    @app.post("/api/photos/{id}/command")
    async def command(id: str, request: Request):
        body = await read_object(request, ("settings", *EXPORT_KEYS))
        choice = check_export({name: body[name] for name in EXPORT_KEYS if name in body})
        photo = await asyncio.to_thread(library.get, id)
        settings = library.check(body.get("settings", {}))
        return {"command": exports.command(photo, settings, choice)}

    @app.get("/api/export/{id}")
    def job(id: str):
        return exports.get(id).to_dict()

    @app.delete("/api/export/{id}")
    def cancel(id: str):
        return exports.cancel(id).to_dict()

    @app.get("/api/export/{id}/files/{number}")
    def file(id: str, number: int):
        places = exports.get(id).places
        if not 0 <= number < len(places):
            raise NotFound("no such file in this export")
        path = places[number]
        if not path.is_file():
            raise NotFound(f"{shown(path.name)}: is no longer there")
        name = quote(path.name)
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return FileResponse(path, headers=headers, media_type="application/octet-stream")


def _asked(library, photos):
    """(photo, settings in normal form) of each photo that the page wants exported."""
    if not isinstance(photos, list) or not photos:
        raise ValueError("photos: expected a list of at least one photo")
    found = []
    for one in photos:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise ValueError('photos: expected {"id": ..., "settings": {...}} each')
        photo = library.get(one["id"])
        settings = one.get("settings")
        settings = photo.settings if settings is None else library.check(settings)
        found.append((photo, settings))
    return found


def _add_page(app, files):
    @app.get("/{path:path}")
    def page(path: str):
        if "/" + path not in files:
            raise HTTPException(404)
        file, mime = files["/" + path]
        try:
            return Response(file.read_bytes(), headers={"Content-Type": mime})
        except OSError as error:
            raise NotFound(explain(error, file)) from None
