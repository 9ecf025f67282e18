"""Names of files, and texts out of files, for people to read: one line, and nothing that a terminal obeys."""


def shown(text):
    """``text`` with line breaks, control characters and bytes that are no text as escapes (``\\n``, ``\\x1b``)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
