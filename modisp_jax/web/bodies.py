"""What requests bring, bounded before it is read."""

from modisp_jax.editor.library import TooLarge
from modisp_jax.io.json_text import parse_json

LARGEST_JSON = 2**18
"""Bytes of an ordinary request."""
LARGEST_EXPORT = 2**24
"""Bytes of an export's, which has the settings of many photos."""


class BadRequest(ValueError):
    """A request that cannot be read at all."""


async def read_body(request, largest):
    """The request's bytes; raises :class:`TooLarge` as soon as there are, or will be, more than ``largest``."""
    check_length(request, largest)
    parts, count = [], 0
    async for part in request.stream():
        count += len(part)
        if count > largest:
            raise TooLarge(f"expected a request of at most {largest} bytes, got more")
        parts.append(part)
    return b"".join(parts)


def check_length(request, largest):
    """Raises where Content-Length is no number, or more than ``largest``."""
    stated = request.headers.get("content-length")
    if stated is None:
        return
    if not (stated.isascii() and stated.isdigit()):
        raise BadRequest("expected a Content-Length in digits")
    if len(stated) > 15 or int(stated) > largest:
        raise TooLarge(f"expected a request of at most {largest} bytes, got {stated[:20]}")


async def read_object(request, keys, largest=LARGEST_JSON):
    """The JSON object of a request, which has only ``keys``."""
    body = await read_body(request, largest)
    try:
        found = parse_json(body)
    except ValueError as error:
        raise BadRequest(f"expected JSON, got: {error}") from None
    if not isinstance(found, dict):
        raise BadRequest(f"expected a JSON object, got {type(found).__name__}")
    unknown = sorted(str(key) for key in found if key not in keys)
    if unknown:
        raise BadRequest(f"expected only {', '.join(keys)}; got {unknown[0][:60]!r}")
    return found
