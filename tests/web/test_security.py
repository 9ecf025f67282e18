"""Who may ask the editor's server for what, by real requests."""

import json

import pytest

import modisp_jax as mj
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.web.files import page_files
from tests.web.serving import serving

ROUTES = (
    ("GET", "/api/state"),
    ("POST", "/api/photos?name=a.dng"),
    ("GET", "/api/photos/ID"),
    ("DELETE", "/api/photos/ID"),
    ("GET", "/api/photos/ID/thumbnail"),
    ("POST", "/api/photos/ID/frame"),
    ("POST", "/api/photos/ID/settings"),
    ("POST", "/api/photos/ID/command"),
    ("POST", "/api/photos/ID/pick"),
    ("GET", "/api/photos/ID/stages"),
    ("POST", "/api/photos/ID/stages"),
    ("POST", "/api/style/write"),
    ("POST", "/api/style/read"),
    ("POST", "/api/export"),
    ("GET", "/api/export/x"),
    ("DELETE", "/api/export/x"),
    ("GET", "/api/export/x/files/0"),
    ("GET", "/api/no-such-route"),
    ("OPTIONS", "/api/state"),
    ("GET", "/%61pi/state"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "static").mkdir()
    (folder / "static" / "index.html").write_text("<!doctype html><title>x</title>")
    (folder / "static" / "main.js").write_text("export {}")
    (folder / "static" / "notes.txt").write_text("no part of the page")
    (folder / "static" / "link.js").symlink_to(folder / "secret.js")
    (folder / "secret.js").write_text("secret")
    write_synthetic_dng(folder / "a.dng", size=(48, 64))
    return folder


@pytest.fixture(scope="module")
def client(folder):
    bounds = {"largest_upload": 100_000, "largest_uploads": 150_000}
    with serving([folder / "a.dng"], files=page_files(folder / "static"), **bounds) as (client, _):
        yield client


def own(client, host="127.0.0.1"):
    return f"{host}:{client.port}"


@pytest.mark.parametrize("token", [None, "", "wrong", "TOKEN?", "TOKENx", "TÖKEN"])
def test_every_route_wants_the_token(client, token):
    if token is not None:
        token = token.replace("TOKEN", client.token)
        token = token[:-1] if token.endswith("?") else token
        token = token.encode("latin-1")
    if token == client.token.encode():
        token = token[:-1]
    for method, path in ROUTES:
        assert "token" in client.error(403, method, path, headers={"X-Modisp-Token": token}), path


def test_the_token_counts_in_the_header_alone(client):
    for headers in ({"Cookie": f"token={client.token}"}, {"Authorization": f"Bearer {client.token}"}):
        client.error(403, "GET", f"/api/state?token={client.token}", headers=headers | {"X-Modisp-Token": None})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:PORT",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:PORT",
        "[::1]:PORT",
        "",
    ],
)
def test_a_foreign_host_is_refused(client, host):
    """A name that someone has made to lead to 127.0.0.1 (DNS rebinding) stands in Host; for the page's files too."""
    for path in ("/api/state", "/", "/static/main.js"):
        status, _, data = client.ask("GET", path, headers={"Host": host.replace("PORT", str(client.port))})
        assert status == 403, (host, path)
        assert client.token.encode() not in data
        assert b"doctype" not in data


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_itself(client, host):
    headers = {"Host": own(client, host), "Origin": f"http://{own(client, host)}"}
    assert client.ask("GET", "/api/state", headers=headers)[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://OWN",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "null",
        "",
        "http://OWN.evil.example",
    ],
)
def test_a_foreign_origin_is_refused(client, origin):
    headers = {"Origin": origin.replace("OWN", own(client))}
    for method, path in ROUTES:
        client.error(403, method, path, headers=headers)


def test_no_other_site_is_let_in_by_headers(client):
    for headers in ({}, {"Origin": "http://evil.example"}):
        for path in ("/", "/api/state"):
            _, answer, _ = client.ask("OPTIONS", path, headers=headers)
            assert not [name for name in answer if name.startswith("access-control")]


def test_every_answer_has_its_headers(client):
    for method, path in (("GET", "/"), ("GET", "/static/main.js"), ("GET", "/none"), *ROUTES):
        for token in (client.token, "wrong"):
            _, headers, _ = client.ask(method, path.replace("ID", "none"), headers={"X-Modisp-Token": token})
            policy = headers["content-security-policy"]
            for part in ("default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"):
                assert part in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-frame-options"] == "DENY"
            is_api = path.startswith(("/api", "/%61pi"))
            assert headers["cache-control"] == ("no-store" if is_api else "no-cache")
            assert "server" not in headers


def test_the_page_is_served_without_a_token(client):
    no_token = {"X-Modisp-Token": None}
    status, headers, data = client.ask("GET", "/?token=x", headers=no_token)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert client.token.encode() not in data
    status, headers, data = client.ask("GET", "/static/main.js", headers=no_token)
    assert (status, headers["content-type"], data) == (200, "text/javascript; charset=utf-8", b"export {}")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../secret.js",
        "/static/..%2fsecret.js",
        "/static/%2e%2e/secret.js",
        "/static/%2e%2e%2fsecret.js",
        "/static/..%5csecret.js",
        "/static//../secret.js",
        "/static/link.js",
        "/static/notes.txt",
        "/static/",
        "/static",
        "//etc/passwd",
        "/etc/passwd",
        "/static//etc/passwd",
        "/../../../../etc/passwd",
        "/static/main.js%00.png",
        "/static/main.js/",
    ],
)
def test_no_path_leads_out_of_the_page(client, path):
    status, _, data = client.ask("GET", path)
    assert status == 404
    assert b"secret" not in data


@pytest.mark.parametrize("id", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2Fetc%2Fpasswd", "a.dng", "%00"])
def test_ids_are_no_paths(client, id):
    for method, path in ROUTES:
        if "ID" in path:
            body = {"seq": 1, "client": "x", "x": 0, "y": 0} if path.endswith(("frame", "pick")) else {}
            body = {"x": 0, "y": 0} if path.endswith("pick") else {"seq": 1, "client": "x"} if "frame" in path else {}
            status, _, data = client.ask(method, path.replace("ID", id), body if method == "POST" else None)
            assert status in (404, 405), (method, path)
            assert b"root:" not in data


def test_an_upload_is_refused_before_it_is_read(client):
    """By its Content-Length; nothing of it is sent."""
    for length in ("100001", "9" * 15):
        headers = {"Content-Length": length}
        assert "at most 100000 bytes" in client.error(413, "POST", "/api/photos?name=a.dng", b"", headers)


def test_an_upload_is_refused_where_it_grows_too_large(client):
    """One that does not say its length."""
    chunk = b"10000\r\n" + b"x" * 2**16 + b"\r\n"
    headers = {"Transfer-Encoding": "chunked"}
    assert "at most 100000 bytes" in client.error(413, "POST", "/api/photos?name=a.dng", 3 * chunk, headers)
    assert len(client.json("GET", "/api/state")["photos"]) == 1


def test_all_uploads_together_are_bounded(client):
    first = client.json("POST", "/api/photos?name=a.dng", b"x" * 90_000)
    assert "more room than there is" in client.error(413, "POST", "/api/photos?name=b.dng", b"x" * 90_000)
    client.json("DELETE", f"/api/photos/{first['id']}")
    second = client.json("POST", "/api/photos?name=b.dng", b"x" * 90_000)
    client.json("DELETE", f"/api/photos/{second['id']}")


@pytest.mark.parametrize("name", ["", "a", "a.exe", "..", "%00.dng", ".dng", "style.json", "a.safetensors"])
def test_names_of_no_photos_are_refused(client, name):
    assert client.error(422, "POST", f"/api/photos?name={name}", b"x").startswith(("expected", name.strip("%0")))


@pytest.mark.parametrize("path", ["/api/style/read", "/api/style/write", "/api/photos/ID/settings"])
def test_json_is_bounded(client, path):
    path = path.replace("ID", client.json("GET", "/api/state")["photos"][0]["id"])
    large = json.dumps({"settings": {"edits": {"x" * 2**18: 1}}})
    assert "at most 262144 bytes" in client.error(413, "POST", path, large)
    chunk = b"50000\r\n" + b" " * 0x50000 + b"\r\n0\r\n\r\n"
    client.error(413, "POST", path, chunk, {"Transfer-Encoding": "chunked"})


def test_no_file_is_read_by_a_style_or_by_settings(client, folder, monkeypatch):
    """A parameter file that is there, and would load, is no style for the page; nor is any other path."""
    monkeypatch.chdir(folder)
    mj.save_params("own.safetensors", mj.load_params("neutral"))
    id = client.json("GET", "/api/state")["photos"][0]["id"]
    for name in ("own.safetensors", str(folder / "own.safetensors"), "/etc/passwd", "../a.json", "a.json", "vivid=1"):
        style = {"modisp_style": 1, "mix": [{"style": name}]}
        settings = {"mix": [{"style": name}]}
        bodies = {
            "/api/style/read": style,
            "/api/style/write": {"settings": settings},
            f"/api/photos/{id}/settings": {"settings": settings},
            f"/api/photos/{id}/frame": {"seq": 1, "client": "x", "settings": settings},
            f"/api/photos/{id}/pick": {"x": 0, "y": 0, "settings": settings},
            f"/api/photos/{id}/stages": {"settings": settings},
            f"/api/photos/{id}/command": {"settings": settings},
            "/api/export": {"photos": [{"id": id, "settings": settings}]},
        }
        for path, body in bodies.items():
            assert client.error(422, "POST", path, body).startswith("mix: expected styles of natural"), path


def test_errors_do_not_say_where_uploads_lie(client):
    one = client.json("POST", "/api/photos?name=odd.dng", b"no photo")
    assert one["error"].startswith("odd.dng: ")
    assert "modisp-edit" not in json.dumps(one)
    assert "modisp-edit" not in client.error(422, "GET", f"/api/photos/{one['id']}/thumbnail")
    client.json("DELETE", f"/api/photos/{one['id']}")
