"""The page's own files: only those that are there when the server starts can be asked for, so no path leads away."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
"""By extension; the machine's own table may say that a module is plain text, and the browser would not run it."""


def page_files(folder=STATIC):
    """{path of the address: (file, MIME type)} of all that the page consists of; the folder's index.html is ``/``."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix in TYPES:
            found["/static/" + path.relative_to(folder).as_posix()] = (path, TYPES[path.suffix])
    if "/static/index.html" in found:
        found["/"] = found["/static/index.html"]
    return found
