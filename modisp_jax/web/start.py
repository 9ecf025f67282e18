"""``modisp edit``: starts the editor on this machine, opens the browser, and cleans up at the end."""

import contextlib
import os
import signal
import socket
import sys
import threading
import webbrowser
from pathlib import Path

import uvicorn

from modisp_jax import compile_cache
from modisp_jax.editor.ahead import Ahead
from modisp_jax.editor.darkroom import Engine
from modisp_jax.editor.exports import Exports
from modisp_jax.editor.library import Library
from modisp_jax.editor.own_styles import open_styles
from modisp_jax.editor.settings import Making, preset_settings
from modisp_jax.render_files import give_memory_back, load_style
from modisp_jax.render_settings import LEARNED, awb_networks
from modisp_jax.web.app import Editor, Status, create_app
from modisp_jax.web.newest import NewestWins
from modisp_jax.web.security import hosts_of, new_token

HOST = "127.0.0.1"
PATIENCE = 5
"""Seconds that the end waits for a picture at work."""
FEW = 20
"""Photos that are looked at for one that can be read, before the page is there."""
QUIET = 2
"""Seconds that an export waits, before each photo, for the page's own frames."""


def edit(photos, *, output, params, style, awb, port, browser):
    """Serves the editor until Ctrl-C; returns the exit code. Whatever is wrong with the options raises here."""
    load_style(params, None)
    making = Making(params, awb, learned_modes(awb), open_styles(style, params))
    preset_settings(making.own)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    compile_cache.enable()
    give_memory_back()
    with contextlib.closing(listen(port)) as listener:
        port = listener.getsockname()[1]
        token = new_token()
        editor = make_editor(photos, output=output, making=making)
        try:
            server = make_server(create_app(editor, token=token, hosts=hosts_of(port)))
            address = f"http://{HOST}:{port}/?token={token}"
            print(f"modisp edit: {address}  (Ctrl-C ends it)", flush=True)
            prepare_first(editor)
            if browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            with _ended_by_signals():
                server.run(sockets=[listener])
        finally:
            if not end(editor):  # XLA cannot be interrupted, nor left behind by an orderly end
                _say("leaving a computation that is still running")
                os._exit(0)
    return 0


def learned_modes(awb):
    """The modes of white balance for which a file has the networks; raises ``ValueError`` for a file that has none."""
    if awb is None:
        return ()
    awb_networks(awb, LEARNED[0])  # which the other one needs as well
    with contextlib.suppress(ValueError):
        awb_networks(awb, LEARNED[1])
        return LEARNED
    return LEARNED[:1]


def listen(port):
    """A socket of this machine alone; ``port`` 0 takes one that is free. Raises ``ValueError``."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)  # from now on: a browser that is quicker than the server waits
    except (OSError, OverflowError) as error:
        listener.close()
        raise ValueError(f"--port {port}: expected a port that is free, got: {error}") from None
    return listener


def make_editor(photos=(), *, output=None, making=Making(), engine=None, **bounds):
    """An :class:`Editor` with photos opened; ``bounds`` are the library's."""
    engine = Engine(making.params, styles=making.own.sets, awb=making.awb) if engine is None else engine
    library = Library(engine, making=making, **bounds)
    library.add(photos)
    queue = NewestWins()
    exports = Exports(library, folder=output, fallback=Path.cwd(), pause=lambda: queue.wait_until_idle(QUIET))
    return Editor(library, queue, exports, Status(), _say, Ahead(engine, queue.idle_seconds, _say))


def make_server(app):
    """The uvicorn server of an application; it prints nothing but what goes wrong."""
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        ws="none",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=60,
    )
    return uvicorn.Server(config)


def prepare_first(editor):
    """Has the rendering thread compile for the first photo that can be read; without any the editor is ready."""
    for photo in editor.library.photos()[:FEW]:
        if editor.library.get(photo.id).stored_size is not None:
            editor.prepare(photo)
            return
    editor.status.ready, editor.status.message = True, ""


def end(editor):
    """Deletes the uploads and ends the threads; returns whether they have ended, which a long computation delays."""
    ended = editor.queue.end(PATIENCE)
    ended = editor.exports.end(PATIENCE) and ended
    ended = editor.ahead.end(PATIENCE) and ended
    if ended:
        editor.library.close_rooms()
    editor.library.end()
    return ended


@contextlib.contextmanager
def _ended_by_signals():
    """Within it Ctrl-C and SIGTERM, which uvicorn raises again once it has ended, end nothing else."""
    try:
        old = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        old = {}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _say(message):
    print(f"modisp edit: {message}", file=sys.stderr, flush=True)
