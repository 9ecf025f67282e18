"""A real server on a free port of this machine, with an engine that renders nothing, and plain requests to it."""

import contextlib
import http.client
import json
import threading
from types import SimpleNamespace

import numpy as np

from modisp_jax.web.app import create_app
from modisp_jax.web.security import hosts_of, new_token
from modisp_jax.web.start import end, listen, make_editor, make_server


class Engine:
    """Opens rooms; ``before`` is called in each rendering."""

    def __init__(self):
        self.rendered, self.warmed, self.rooms, self.read = [], [], [], []
        self.before = lambda settings: None

    def warm(self, sizes, say):
        self.warmed += sizes
        say("compiling (1 of 1)")

    def open(self, path, linearize):
        if path.stem == "bad":
            raise ValueError(f"{path}: expected a photo")
        self.read.append((path.name, linearize))
        self.rooms.append(Room(self, path))
        return self.rooms[-1]


class Room:
    """Its picture is grey, of the level that the slider exposure says."""

    def __init__(self, engine, path):
        self.engine, self.path, self.closed = engine, path, False

    def render(self, settings, view, quality, cancelled=None):
        assert threading.current_thread().name == "modisp-render"
        self.engine.before(settings)
        if view.get("name") == "none":
            raise ValueError("stage: expected another name")
        self.engine.rendered.append(settings.get("edits", {}).get("exposure", 0))
        level = np.uint8(100 * self.engine.rendered[-1])
        return SimpleNamespace(
            pixels=np.full((8, 12, 3), level),
            exact=quality == "exact",
            histogram=np.eye(4, 256) * 96,
            clipped={"low": np.float32(0.25), "high": 0},
            light={"mode": "as-shot", "cct": 5000, "tint": 0.0, "illuminant": [0.5, 1.0, 0.6]},
            note="",
            auto_exposure=np.float32(0),
            size=(np.int64(48), 64),
            timings={"linear": 1.23456},
        )

    def pick(self, settings, x, y, radius):
        return np.float32([0.25, 0.5, 0.5 * y + 0.1])

    def light_of(self, illuminant):
        return 5100.4, 2.04

    def stages(self, settings):
        return [{"name": "linear", "title": "Linear", "kind": "image"}]

    def curves(self, settings):
        return {"gain": 1.0}

    def close(self):
        self.closed = True


class Client:
    """Requests to a server, each by a connection of its own."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, bytes); ``headers`` replace those that the page sends, None leaves one out."""
        if isinstance(body, dict | list):
            body = json.dumps(body)
        sent = {"X-Modisp-Token": self.token} | (headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in sent, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            data = b"" if body is None else body.encode() if isinstance(body, str) else body
            if body is not None and "Transfer-Encoding" not in sent and "Content-Length" not in sent:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders()
            with contextlib.suppress(ConnectionError):  # whoever refuses a body does not read it to its end
                connection.send(data)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method, path, body=None, status=200):
        """The answer's JSON, whose status is as expected."""
        got, headers, data = self.ask(method, path, body)
        assert got == status, (got, data)
        assert headers["content-type"] == "application/json"
        return json.loads(data)

    def error(self, status, method, path, body=None, headers=None):
        """The answer's error, one line in words, whose status is as expected."""
        got, _, data = self.ask(method, path, body, headers)
        assert got == status, (got, data)
        found = json.loads(data)
        assert list(found) == ["error"]
        assert "\n" not in found["error"]
        return found["error"]


@contextlib.contextmanager
def serving(photos=(), engine=None, files=None, **options):
    """Yields (client, editor) of a server that is up, and ends it; ``options`` are those of ``make_editor``."""
    with contextlib.closing(listen(0)) as listener:
        port, token = listener.getsockname()[1], new_token()
        editor = make_editor(photos, engine=Engine() if engine is None else engine, **options)
        server = make_server(create_app(editor, token=token, hosts=hosts_of(port), files=files))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Client(port, token), editor
        finally:
            server.should_exit = True
            thread.join(30)
            assert end(editor)
            assert not thread.is_alive()
