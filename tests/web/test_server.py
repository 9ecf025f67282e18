"""The editor's server by real requests: photos, frames, settings, styles, exports, and ``modisp edit`` itself."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import modisp_jax as mj
from modisp_jax import cli
from modisp_jax.editor import exports as exports_module
from modisp_jax.editor.own_styles import open_styles
from modisp_jax.editor.settings import Making
from modisp_jax.io.images import write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.style_file import StyleFile, write_style_file
from modisp_jax.web import start
from modisp_jax.web.newest import NewestWins, Stale
from modisp_jax.web.start import learned_modes, listen, prepare_first
from tests.samples import photo
from tests.web.serving import serving

SIZE = (48, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_synthetic_dng(folder / "a.dng", size=SIZE)
    write_synthetic_dng(folder / "b.dng", size=SIZE, orientation=6)
    (folder / "bad.dng").write_bytes(b"II*\0 and no more")
    return folder


@pytest.fixture(scope="module")
def served(folder, tmp_path_factory):
    """A server with a folder open; (client, editor). Tests leave the photos a and b open and as they were."""
    with serving([folder], output=tmp_path_factory.mktemp("output")) as both:
        yield both


@pytest.fixture
def client(served):
    return served[0]


@pytest.fixture
def editor(served):
    return served[1]


@pytest.fixture
def ids(client):
    return {photo["name"]: photo["id"] for photo in client.json("GET", "/api/state")["photos"]}


def frame(client, id, seq, client_name="x", **more):
    body = {"seq": seq, "client": client_name} | more
    status, headers, data = client.ask("POST", f"/api/photos/{id}/frame", body)
    if status != 200:
        return status, json.loads(data), None
    assert headers["content-type"] == "application/octet-stream"
    length = int.from_bytes(data[:4], "little")
    return status, json.loads(data[4 : 4 + length]), data[4 + length :]


def test_the_state_says_what_the_page_needs(client):
    state = client.json("GET", "/api/state")
    assert state["version"] == mj.__version__
    assert [photo["name"] for photo in state["photos"]] == ["a.dng", "b.dng", "bad.dng"]
    assert state["edits"]["exposure"]["low"] == -4
    assert state["white_balance"] == {
        "modes": ["as-shot", "auto", "custom", "picked"],
        "cct": [1800, 10000],
        "tint": [-100, 100],
    }
    assert (state["default_style"], state["proxy"]) == ("natural", 1500)
    assert "linear" in state["stages"]
    assert {".dng", ".jpg"} < set(state["suffixes"])
    assert state["export"]["formats"] == ["jpg", "png", "tiff"]


def test_a_photo_is_looked_at_when_it_is_asked_for(client, ids):
    assert client.json("GET", f"/api/photos/{ids['b.dng']}")["size"] == [64, 48]
    assert client.json("GET", f"/api/photos/{ids['bad.dng']}")["error"].startswith("bad.dng: ")
    status, headers, data = client.ask("GET", f"/api/photos/{ids['b.dng']}/thumbnail")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(data)).size == (24, 32)
    assert "bad.dng" in client.error(422, "GET", f"/api/photos/{ids['bad.dng']}/thumbnail")


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_a_frame_is_a_json_and_a_picture(client, ids, encoding):
    settings = {"edits": {"exposure": 1.5, "contrast": 0}}
    more = {"settings": settings, "view": {"kind": "proxy"}, "quality": "exact", "encoding": encoding}
    status, head, data = frame(client, ids["a.dng"], 1, encoding, **more)
    assert status == 200
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format.lower() == encoding
        np.testing.assert_array_equal(np.asarray(picture), np.full((8, 12, 3), 150))
    assert np.asarray(head.pop("histogram")).shape == (4, 256)
    assert head == {
        "seq": 1,
        "exact": True,
        "waiting": "",
        "size": [48, 64],
        "clipped": {"low": 0.25, "high": 0.0},
        "light": {"mode": "as-shot", "cct": 5000, "tint": 0.0, "illuminant": [0.5, 1.0, 0.6]},
        "note": "",
        "auto_exposure": 0.0,
        "range": None,
        "timings": {"linear": 1.23},
        "mime": f"image/{encoding}",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"edits": {"exposure": 9}}}, "exposure: expected -4 to 4, got 9"),
        ({"settings": []}, "settings: expected an object"),
        ({"view": {"kind": "all"}}, "view, kind: expected one of proxy, crop, stage; got 'all'"),
        (
            {"view": {"kind": "crop", "top": 0, "left": 0, "height": 10**9, "width": 1}},
            "view, height: expected a whole",
        ),
        ({"view": {"kind": "crop", "top": 0.5, "left": 0, "height": 1, "width": 1}}, "view, top: expected a whole"),
        ({"view": {"kind": "proxy", "long_side": 1e300}}, "view, long_side: expected a whole number"),
        ({"view": {"kind": "stage", "name": "none"}}, "stage: expected another name"),
        ({"view": {"kind": "stage", "name": 3}}, "view, name"),
        ({"view": "proxy"}, "view: expected an object"),
        ({"quality": "best"}, "quality: expected one of live, exact"),
        ({"encoding": "gif"}, "encoding: expected one of jpeg, png"),
        ({"encoding": ["jpeg"]}, "encoding: expected one of"),
        ({"seq": "1"}, "seq: expected a whole number"),
        ({"client": ""}, "client: expected a text"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said(client, ids, change, message):
    body = {"seq": 1, "client": "wrong", "settings": {}} | change
    assert message in client.error(422, "POST", f"/api/photos/{ids['a.dng']}/frame", body)


def test_a_photo_that_cannot_be_opened_says_why(client, ids):
    body = {"seq": 1, "client": "bad", "settings": {}}
    assert client.error(422, "POST", f"/api/photos/{ids['bad.dng']}/frame", body) == "bad.dng: expected a photo"


def test_requests_that_are_none(client, ids):
    path = f"/api/photos/{ids['a.dng']}/frame"
    assert client.error(400, "POST", path, "{").startswith("expected JSON, got")
    assert client.error(400, "POST", path, "[" * 100_000) == "expected JSON, got: nested too deeply"
    assert client.error(400, "POST", path, b'"\xff"') == "expected JSON, got: no text in UTF-8"
    assert client.error(400, "POST", path, []) == "expected a JSON object, got list"
    assert "got 'path'" in client.error(400, "POST", path, {"path": "/etc/passwd"})
    assert client.error(404, "GET", "/api/photos/none") == "no such photo is open"
    assert client.error(404, "POST", "/api/photos/none/frame", {"seq": 1, "client": "x"}) == "no such photo is open"
    assert client.error(404, "GET", "/api/nothing") == "there is nothing at this address"
    assert client.error(405, "PUT", "/api/state")
    assert client.error(404, "GET", "/api/state/") == "there is nothing at this address"


def test_settings_are_kept(client, ids):
    path = f"/api/photos/{ids['a.dng']}"
    found = client.json("POST", path + "/settings", {"settings": {"edits": {"contrast": 0.5, "shadows": 0}}})
    assert found["settings"] == {"edits": {"contrast": 0.5}}
    assert found["command"].startswith("modisp render ")
    assert found["command"].endswith("a.jpg --no-stored-settings --contrast 0.5")
    assert client.json("GET", path)["settings"] == {"edits": {"contrast": 0.5}}
    body = {"settings": {}, "format": "png", "bits": 16}
    assert client.json("POST", path + "/command", body)["command"].endswith("--format png --bits 16")
    assert "contrast" in client.error(422, "POST", path + "/settings", {"settings": {"edits": {"contrast": 5}}})
    client.json("POST", path + "/settings", {"settings": {}})


def test_a_finished_photo_is_read_as_the_settings_say(client, editor, tmp_path):
    """By each of its requests; what the page is told to say in a command is what is read."""
    state = client.json("GET", "/api/state")
    assert [way["name"] for way in state["linearize"]][:2] == ["inverse", "curve"]
    data = write_image(tmp_path / "done.png", photo(*SIZE)).read_bytes()
    id = client.json("POST", "/api/photos?name=done.png", data)["id"]
    path, read = f"/api/photos/{id}", editor.library.engine.read
    read.clear()
    assert frame(client, id, 1, "reading", settings={})[0] == 200
    curve = {"linearize": "curve"}
    assert frame(client, id, 2, "reading", settings=curve)[0] == 200
    client.json("POST", path + "/pick", {"settings": curve, "x": 0.5, "y": 0.5})
    client.json("POST", path + "/stages", {"settings": {}})
    assert read == [("done.png", "inverse"), ("done.png", "curve")]
    kept = client.json("POST", path + "/settings", {"settings": {"linearize": "paramisp"}})
    assert kept["settings"] == client.json("GET", path)["settings"] == {"linearize": "paramisp"}
    assert "--linearize paramisp" in kept["command"]
    client.json("GET", path + "/stages")
    assert read[-1] == ("done.png", "paramisp")
    assert "linearize: expected one of" in client.error(
        422, "POST", path + "/settings", {"settings": {"linearize": "x"}}
    )
    client.json("DELETE", path)


def test_the_eyedropper_and_the_stages(client, ids):
    path = f"/api/photos/{ids['a.dng']}"
    assert client.json("POST", path + "/pick", {"settings": {}, "x": 0.5, "y": 0.8}) == {
        "white_balance": {"mode": "picked", "illuminant": [0.5, 1.0, 1.0]},
        "cct": 5100,
        "tint": 2.0,
    }
    assert "x: expected a number from 0 to 1" in client.error(422, "POST", path + "/pick", {"x": 7, "y": 0})
    expected = {"stages": [{"name": "linear", "title": "Linear", "kind": "image"}], "curves": {"gain": 1.0}}
    assert client.json("GET", path + "/stages") == expected
    assert client.json("POST", path + "/stages", {"settings": {"edits": {"contrast": 0.5}}}) == expected


def test_presets_are_style_files(client):
    settings = {"edits": {"contrast": 0.5, "rotation": 3.0}, "mix": [{"style": "vivid"}]}
    status, _, data = client.ask("POST", "/api/style/write", {"settings": settings, "description": "firm"})
    assert status == 200
    assert json.loads(data)["description"] == "firm"
    found = client.json("POST", "/api/style/read", data)
    expected = {"edits": {"contrast": 0.5}, "mix": [{"style": "vivid", "weight": 1.0}]}
    assert found == {"settings": expected, "description": "firm"}
    assert "expected a style file in JSON" in client.error(422, "POST", "/api/style/read", "no JSON")
    assert "description" in client.error(422, "POST", "/api/style/write", {"description": "x" * 501})


def test_styles_of_ones_own_are_offered(folder, tmp_path):
    """A parameter file by its name, a style file as a preset; and the files cannot be sent."""
    params = mj.load_params("neutral")
    mj.save_params(tmp_path / "faded.safetensors", params, {"what": "my old film"})
    write_style_file(tmp_path / "mine.json", StyleFile((("faded.safetensors", 0.5, {}),), {"contrast": 0.25}))
    own = open_styles([tmp_path / "mine.json"])
    with serving([folder / "a.dng"], making=Making(own=own)) as (client, _):
        state = client.json("GET", "/api/state")
        faded = {"name": "faded", "description": "my old film", "own": True, "has_lut": False}
        assert state["styles"][-1] == faded
        preset = {"edits": {"contrast": 0.25}, "mix": [{"style": "faded", "weight": 0.5}]}
        assert state["presets"] == [{"name": "mine", "settings": preset}]
        path = f"/api/photos/{state['photos'][0]['id']}/settings"
        found = client.json("POST", path, {"settings": preset})
        assert found["settings"] == preset
        assert f"--style {tmp_path}/faded.safetensors=0.5 --contrast 0.25" in found["command"]
        data = (tmp_path / "faded.safetensors").read_bytes()
        assert "expected the name of a raw file" in client.error(422, "POST", "/api/photos?name=a.safetensors", data)
        assert "at most 262144 bytes" in client.error(413, "POST", "/api/style/read", data)


def test_a_dropped_photo_is_opened_and_closed(client, folder, ids):
    one = client.json("POST", "/api/photos?name=..%2Fdropped.dng", (folder / "a.dng").read_bytes())
    assert (one["name"], one["kind"], one["size"]) == ("dropped.dng", "raw", [48, 64])
    assert frame(client, one["id"], 1, "dropped")[0] == 200
    assert client.json("GET", "/api/state")["photos"][-1] == one
    assert client.json("DELETE", f"/api/photos/{one['id']}") == {"closed": one["id"]}
    assert client.error(404, "GET", f"/api/photos/{one['id']}") == "no such photo is open"
    chunked = {"Transfer-Encoding": "chunked"}
    status, _, data = client.ask("POST", "/api/photos?name=c.dng", b"5\r\nhello\r\n0\r\n\r\n", chunked)
    assert (status, json.loads(data)["name"]) == (200, "c.dng")
    assert "c.dng" in json.loads(data)["error"]
    client.json("DELETE", f"/api/photos/{json.loads(data)['id']}")


def test_an_upload_that_breaks_off_leaves_nothing(client, editor, capfd):
    def there():
        folder = editor.library._folder
        return folder is not None and list(folder.rglob("broken.dng"))

    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        head = f"Host: 127.0.0.1:{client.port}\r\nX-Modisp-Token: {client.token}\r\nContent-Length: 1000"
        connection.sendall(f"POST /api/photos?name=broken.dng HTTP/1.1\r\n{head}\r\n\r\nsome".encode())
        while not there():
            time.sleep(0.001)
    while there():
        time.sleep(0.001)
    assert "broken.dng" not in [photo["name"] for photo in client.json("GET", "/api/state")["photos"]]
    assert capfd.readouterr().err == ""


def test_exports_by_the_page(client, editor, ids, monkeypatch):
    def render_jobs(jobs, session, report, say):
        jobs[0].targets[""].write_bytes(b"picture of " + jobs[0].photo.name.encode())

    monkeypatch.setattr(exports_module, "render_jobs", render_jobs)
    monkeypatch.setattr(exports_module, "open_session", lambda options: None)
    photos = [{"id": ids["a.dng"], "settings": {"edits": {"contrast": 0.5}}}, {"id": ids["b.dng"]}]
    id = client.json("POST", "/api/export", {"photos": photos, "format": "jpg", "quality": 90})["job"]
    editor.exports.wait(id, 30)
    job = client.json("GET", f"/api/export/{id}")
    assert (job["state"], job["done"], job["total"], job["failed"]) == ("done", 2, 2, [])
    assert [file["name"] for file in job["files"]] == ["a.jpg", "b.jpg"]
    assert job["files"][0]["command"].endswith("--quality 90 --contrast 0.5")
    status, headers, data = client.ask("GET", f"/api/export/{id}/files/1")
    assert (status, data) == (200, b"picture of b.dng")
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''b.jpg"
    assert headers["content-type"] == "application/octet-stream"
    assert client.error(404, "GET", f"/api/export/{id}/files/2") == "no such file in this export"
    assert client.error(404, "GET", f"/api/export/{id}/files/-1") == "no such file in this export"
    assert client.error(422, "GET", f"/api/export/{id}/files/x") == "expected an address of another form"
    editor.exports.get(id).places[0].unlink()
    assert client.error(404, "GET", f"/api/export/{id}/files/0") == "a.jpg: is no longer there"
    assert client.json("DELETE", f"/api/export/{id}")["state"] == "done"
    assert client.error(404, "GET", "/api/export/none") == "no such export"
    assert "at least one photo" in client.error(422, "POST", "/api/export", {"photos": []})
    assert "format: expected one of" in client.error(422, "POST", "/api/export", {"photos": photos, "format": "exe"})
    assert client.error(404, "POST", "/api/export", {"photos": [{"id": "none"}]}) == "no such photo is open"
    assert client.error(400, "POST", "/api/export", {"photos": photos, "output": "/etc"})


def test_what_is_overtaken_is_never_computed(client, editor, ids):
    """While one frame is at work three come: only the newest of them is rendered, the others are told at once."""
    engine = editor.library.engine
    engine.rendered.clear()
    working, go_on = threading.Event(), threading.Event()
    engine.before = lambda settings: working.set() or go_on.wait(30)
    answers = {}

    def ask(seq):
        answers[seq] = frame(client, ids["a.dng"], seq, "hand", settings={"edits": {"exposure": seq / 10}})

    threads = [threading.Thread(target=ask, args=(seq,)) for seq in (1, 2, 3, 4)]
    threads[0].start()
    assert working.wait(30)
    for seq, thread in zip((2, 3, 4), threads[1:], strict=True):
        thread.start()
        while editor.queue._latest["hand"] < seq:
            time.sleep(0.001)
    for thread in threads[1:3]:
        thread.join(30)
    assert {seq: answers[seq][:2] for seq in answers} == {2: (409, {"error": "stale"}), 3: (409, {"error": "stale"})}
    other = threading.Thread(target=lambda: answers.update(other=frame(client, ids["b.dng"], 1, "another hand")))
    other.start()
    go_on.set()
    for thread in (*threads, other):
        thread.join(30)
    engine.before = lambda settings: None
    assert answers[1][0] == answers[4][0] == answers["other"][0] == 200
    assert answers[4][1]["seq"] == 4
    assert sorted(engine.rendered) == [0, 0.1, 0.4]
    assert frame(client, ids["a.dng"], 4, "hand")[0] == 409  # not again, and nothing older
    assert frame(client, ids["a.dng"], 3, "hand")[0] == 409
    assert frame(client, ids["a.dng"], 5, "hand")[0] == 200


def test_the_queue_alone():
    queue = NewestWins()
    try:
        assert queue.submit(lambda: 3).result(30) == 3
        with pytest.raises(ZeroDivisionError):
            queue.submit(lambda: 1 / 0).result(30)
        blocked = threading.Event()
        queue.submit(lambda: blocked.wait(30))
        old = queue.submit_newest("a", 1, lambda: "old")
        other = queue.submit_newest("b", 1, lambda: "other")
        new = queue.submit_newest("a", 2, lambda: "new")
        assert isinstance(old.exception(30), Stale)
        assert queue.is_overtaken("a", 1)
        assert not queue.is_overtaken("a", 2)
        assert queue.idle_seconds() == 0
        blocked.set()
        assert (new.result(30), other.result(30)) == ("new", "other")
        queue.wait_until_idle(30)
        assert queue.idle_seconds() > 0
        blocked.clear()
        queue.submit(lambda: blocked.wait(30))
        left = queue.submit(lambda: "never")
    finally:
        threading.Timer(0.05, blocked.set).start()
        assert queue.end(30)
    with pytest.raises(ValueError, match="the editor is ending"):
        left.result(30)
    with pytest.raises(ValueError, match="the editor is ending"):
        queue.submit(lambda: 3).result(30)


def test_compiling_ahead_is_told(folder, tmp_path):
    """For the first photo that can be read; for others when they are opened, once for each size."""
    write_synthetic_dng(tmp_path / "other.dng", size=(50, 64))
    with serving([folder / "bad.dng", folder / "a.dng", folder / "b.dng"]) as (client, editor):
        said, engine = [], editor.library.engine
        editor.say = said.append
        state = client.json("GET", "/api/state")
        assert (state["ready"], state["message"]) == (False, "starting")
        prepare_first(editor)
        editor.queue.wait_until_idle(30)
        state = client.json("GET", "/api/state")
        assert (state["ready"], state["message"]) == (True, "")
        assert said == ["compiling (1 of 1)", "ready"]
        assert engine.warmed == [(48, 64)]
        assert client.json("GET", f"/api/photos/{state['photos'][2]['id']}")["ready"]  # of the same size as stored
        other = client.json("POST", "/api/photos?name=other.dng", (tmp_path / "other.dng").read_bytes())
        client.json("GET", f"/api/photos/{other['id']}")
        editor.queue.wait_until_idle(30)
        assert engine.warmed == [(48, 64), (50, 64)]


def test_what_is_not_compiled_yet_is_shown_near_and_said(folder):
    """An exact frame for which something is missing is a live one, with a line that says so."""
    with serving([folder / "a.dng"]) as (client, editor):
        missing = []
        editor.ahead = SimpleNamespace(
            missing=lambda size, settings, is_crop: missing.append((size, is_crop)) or "compiling (1 of 2)",
            message="compiling (1 of 2)",
            end=lambda seconds: True,
        )
        id = client.json("GET", "/api/state")["photos"][0]["id"]
        crop = {"kind": "crop", "top": 0, "left": 0, "height": 8, "width": 8}
        for seq, (quality, view, waiting) in enumerate(
            [("exact", crop, "compiling (1 of 2)"), ("live", crop, ""), ("exact", {"kind": "stage", "name": "a"}, "")]
        ):
            head = frame(client, id, seq, quality=quality, view=view, settings={})[1]
            assert head["waiting"] == waiting
            assert head["exact"] == (quality == "exact" and not waiting)
        assert missing == [(SIZE, True)]
        assert client.json("GET", "/api/progress") == {
            "ready": False,
            "message": "starting",
            "later": "compiling (1 of 2)",
        }


def test_without_photos_the_editor_is_ready():
    with serving() as (client, editor):
        prepare_first(editor)
        assert client.json("GET", "/api/state")["ready"]


def test_ports_are_free_ones():
    with contextlib.closing(listen(0)) as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=f"--port {port}: expected a port that is free"):
            listen(port)
    with pytest.raises(ValueError, match="--port 70000: expected a port"):
        listen(70000)


def test_lights_that_a_file_has_networks_for(tmp_path, monkeypatch):
    assert learned_modes(None) == ()

    def networks(path, mode):
        if mode == "preferred" or path.stem == "none":
            raise ValueError("expected the network")

    monkeypatch.setattr(start, "awb_networks", networks)
    assert learned_modes(tmp_path / "one.safetensors") == ("cross-camera",)
    with pytest.raises(ValueError, match="expected the network"):
        learned_modes(tmp_path / "none.safetensors")
    monkeypatch.setattr(start, "awb_networks", lambda path, mode: {})
    assert learned_modes(tmp_path / "both.safetensors") == ("cross-camera", "preferred")


def test_bad_options_are_refused(capsys, tmp_path):
    for arguments, message in (
        (["none.dng"], "none.dng: expected a photo or a folder"),
        (["--params", "none"], "none: expected a parameter file"),
        (["--awb", str(tmp_path / "none.safetensors")], "expected a parameter file"),
        (["--style", "none.safetensors"], "none.safetensors: expected a parameter file"),
        (["--style", "none.json", "none.dng"], "none.json: expected a style file"),
    ):
        assert cli.main(["edit", "--no-browser", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "modisp_jax.web.start", raising=False)
    monkeypatch.delattr("modisp_jax.web.start", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.main(["edit"]) == 2
    assert "pip install 'modisp_jax[web]'" in capsys.readouterr().err


def test_the_program_starts_and_ends_cleanly(folder, tmp_path):
    """Ctrl-C and SIGTERM end it with code 0, and no file is left of what was uploaded."""
    command = [sys.executable, "-m", "modisp_jax.cli", "edit", "--no-browser", "--params", "neutral"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    numbers = (signal.SIGINT, signal.SIGTERM)
    with contextlib.ExitStack() as stack:
        processes = []
        for number in numbers:
            (tmp_path / number.name).mkdir()
            environment = {"TMPDIR": str(tmp_path / number.name), "JAX_PLATFORMS": "cpu", "MODISP_CACHE_DIR": ""}
            processes.append(stack.enter_context(subprocess.Popen(command, env=os.environ | environment, **streams)))
            stack.callback(processes[-1].kill)
        for number, process in zip(numbers, processes, strict=True):
            address = process.stdout.readline().split()[2]
            token = address.split("token=")[1]
            url = address.split("?")[0] + "api/photos?name=dropped.dng"
            data = (folder / "a.dng").read_bytes()
            request = urllib.request.Request(url, data=data, headers={"X-Modisp-Token": token})
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["name"] == "dropped.dng"
            assert len(list((tmp_path / number.name).rglob("dropped.dng"))) == 1
            process.send_signal(number)
        for number, process in zip(numbers, processes, strict=True):
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out) == (0, "")
            assert "Traceback" not in err
            assert list((tmp_path / number.name).iterdir()) == []
