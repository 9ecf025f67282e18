"""Who may ask: only the page that the editor has served, on this machine.

A foreign page in the same browser can send requests to 127.0.0.1, but it cannot know the token, its Origin is its own,
and a name of its own that leads to 127.0.0.1 (DNS rebinding) stands in Host.
"""

import hmac
import secrets

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every answer."""

NOT_STORED = {"Cache-Control": "no-store"}
"""Of the API's answers."""
ASK_AGAIN = {"Cache-Control": "no-cache"}
"""Of the page's files, which another version may replace."""


def new_token():
    """A token that nobody guesses: 256 random bits."""
    return secrets.token_urlsafe(32)


def hosts_of(port):
    """What Host may say on ``port``."""
    return (f"127.0.0.1:{port}", f"localhost:{port}")


def refusal(headers, path, *, token, hosts):
    """Why a request is refused, in a line; None where it is not.

    Args:
      headers: list of (name in lower case, value), bytes.
      path: of the request; what begins with /api/ needs the token.
      token: the token.
      hosts: what Host may say, see :func:`hosts_of`.
    """
    host = [value for name, value in headers if name == b"host"]
    if len(host) != 1 or host[0] not in [name.encode() for name in hosts]:
        return "expected the address that modisp edit has printed"
    origins = [value for name, value in headers if name == b"origin"]
    if any(origin not in [f"http://{name}".encode() for name in hosts] for origin in origins):
        return "expected a request of the editor's own page, got one of another site"
    if not path.startswith("/api/"):
        return None
    tokens = [value for name, value in headers if name == b"x-modisp-token"]
    if len(tokens) != 1 or not hmac.compare_digest(tokens[0], token.encode()):
        return "expected the token of the address that modisp edit has printed"
    return None


class Guard:
    """An ASGI layer: refuses who may not ask, and adds :data:`HEADERS` to every answer."""

    def __init__(self, app, *, token, hosts):
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        is_api = scope["path"].startswith("/api/")
        common = HEADERS | (NOT_STORED if is_api else ASK_AGAIN)
        extra = [(name.lower().encode(), value.encode()) for name, value in common.items()]

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                names = {name for name, _ in extra}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
                message = message | {"headers": [*kept, *extra]}
            await send(message)

        reason = refusal(scope["headers"], scope["path"], token=self._token, hosts=self._hosts)
        if reason is None:
            await self._app(scope, receive, send_with_headers)
            return
        from starlette.responses import JSONResponse

        await JSONResponse({"error": reason}, status_code=403)(scope, receive, send_with_headers)
