"""Colour tables as .cube files, for other software: Adobe's "Cube LUT Specification 1.0", tables of three dimensions.

A header of keywords, then a line ``r g b`` for each node, R varying fastest. Lines that begin with # are comments.
"""

import array
import dataclasses
from pathlib import Path

import numpy as np

from modisp_jax.io.images import replacing

DIGITS = 6
"""Behind the point. Half a step of 16 bits is 7.6e-6, so that the file is finer than the picture."""

SIZES = (2, 256)
"""Least and largest number of nodes a side, by the specification."""

LARGEST = 3e38
"""Of a number, so that float32 holds it."""

LONGEST_LINE = 2**16
"""Characters; the specification has 250."""

UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class CubeError(ValueError):
    """A table that cannot be written or read; one line with what was expected and what came."""


@dataclasses.dataclass(frozen=True)
class Cube:
    """What a .cube file holds."""

    table: np.ndarray
    """[n, n, n, 3] float32: output at the nodes; R of the input along axis 0, G 1, B 2."""
    title: str | None = None
    """What the file calls itself."""
    domain: tuple = UNIT
    """Input (R, G, B) at the first and at the last nodes."""


def write_cube(path, table, *, title=None, domain=UNIT):
    """Writes a colour table as a .cube file, whole or not at all; returns the path.

    Args:
      path: of the file, ``NAME.cube``.
      table: [n, n, n, 3], finite, n in 2..256; R of the input along axis 0, G 1, B 2. Six digits behind the point
        are kept.
      title: one line without quotation marks.
      domain: input (R, G, B) at the first and at the last nodes, each first less than its last.

    Raises:
      CubeError: something else than that, or a folder that cannot be written to.
    """
    path, table = Path(path), np.asarray(table)
    if path.suffix.lower() != ".cube":
        raise CubeError(f"{path}: expected a name ending in .cube")
    if table.ndim != 4 or table.shape[3] != 3 or len(set(table.shape[:3])) != 1:
        raise CubeError(f"{path}: expected a table [n, n, n, 3], got shape {table.shape}")
    n = table.shape[0]
    if not SIZES[0] <= n <= SIZES[1]:
        raise CubeError(f"{path}: expected {SIZES[0]} to {SIZES[1]} nodes a side, got {n}")
    if table.dtype.kind not in "fiu" or not np.isfinite(table).all():
        raise CubeError(f"{path}: expected finite numbers, got {table.dtype} with others")
    if title is not None and (not title.isprintable() or '"' in title):
        raise CubeError(f"{path}: title: expected one line without quotation marks, got {title!r}")
    low, high = _domain(path, domain)
    lines = [] if title is None else [f'TITLE "{title}"']
    lines.append(f"LUT_3D_SIZE {n}")
    lines += [" ".join([name, *map(repr, ends)]) for name, ends in (("DOMAIN_MIN", low), ("DOMAIN_MAX", high))]
    rows = table.transpose(2, 1, 0, 3).reshape(-1, 3)
    with replacing(path, error=CubeError) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, rows + 0.0, fmt=f"%.{DIGITS}f")  # + 0: no -0
    return path


def read_cube(path):
    """Reads a .cube file with a table of three dimensions: a :class:`Cube`.

    Raises:
      CubeError: no such file, no .cube file, a table of one dimension, or a damaged one; says which line.
    """
    path = Path(path)
    header, numbers = {}, array.array("f")
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), ""), 1):
                _line(f"{path}, line {number}", line.strip(), header, numbers)
    except OSError as cause:
        raise CubeError(f"{path}: cannot be read: {cause.strerror}") from None
    except UnicodeError:
        raise CubeError(f"{path}: expected text, got other bytes") from None
    if "LUT_3D_SIZE" not in header:
        raise CubeError(f"{path}: expected LUT_3D_SIZE, found none")
    n = header["LUT_3D_SIZE"]
    if len(numbers) != 3 * n**3:
        raise CubeError(f"{path}: expected {n}^3 = {n**3} lines of numbers, got {len(numbers) // 3}")
    table = np.array(numbers, np.float32).reshape(n, n, n, 3).transpose(2, 1, 0, 3)
    ends = (header.get(name, UNIT[k]) for k, name in enumerate(("DOMAIN_MIN", "DOMAIN_MAX")))
    return Cube(np.ascontiguousarray(table), header.get("TITLE"), _domain(path, tuple(ends)))


def _line(where, line, header, numbers):
    """Notes a line in ``header`` or in ``numbers``, three a node."""
    words = line.split()
    if len(line) >= LONGEST_LINE - 1:
        raise CubeError(f"{where}: expected a line under {LONGEST_LINE} characters, got a longer one")
    if not words or words[0].startswith("#"):
        return
    if words[0][0].isalpha() and words[0].lower() not in ("nan", "inf", "infinity"):
        if numbers:
            raise CubeError(f"{where}: expected three numbers, got {line!r:.100}")
        _keyword(where, line, words, header)
        return
    n = header.get("LUT_3D_SIZE", SIZES[1])
    if len(numbers) >= 3 * n**3:
        raise CubeError(f"{where}: expected {n}^3 = {n**3} lines of numbers, got more")
    numbers.extend(_numbers(where, words, 3))


def _keyword(where, line, words, header):
    """Notes a line of the header in ``header``."""
    name = words[0]
    if name in header:
        raise CubeError(f"{where}: {name} comes twice")
    if name == "TITLE":
        title = line[len(name) :].strip()
        if len(title) < 2 or title[0] != '"' or title[-1] != '"':
            raise CubeError(f'{where}: expected TITLE "words", got {line!r}')
        header[name] = title[1:-1]
    elif name == "LUT_3D_SIZE":
        if (
            len(words) != 2
            or not words[1].isdecimal()
            or len(words[1]) > 9
            or not SIZES[0] <= int(words[1]) <= SIZES[1]
        ):
            raise CubeError(
                f"{where}: expected LUT_3D_SIZE and a number from {SIZES[0]} to {SIZES[1]}, got {line!r:.100}"
            )
        header[name] = int(words[1])
    elif name in ("DOMAIN_MIN", "DOMAIN_MAX"):
        header[name] = _numbers(where, words[1:], 3)
    elif name == "LUT_1D_SIZE":
        raise CubeError(f"{where}: expected a table of three dimensions, got one of one")
    else:
        raise CubeError(f"{where}: expected TITLE, LUT_3D_SIZE, DOMAIN_MIN, DOMAIN_MAX or numbers, got {line!r:.100}")


def _numbers(where, words, count):
    """The finite numbers of a line."""
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(abs(number) < LARGEST for number in numbers):
        raise CubeError(f"{where}: expected {count} finite numbers, got {' '.join(words)!r:.100}")
    return numbers


def _domain(path, domain):
    """The domain's ends as two triples of numbers, the first less than the last."""
    ends = np.asarray(domain, np.float64)
    if ends.shape != (2, 3) or not np.isfinite(ends).all() or not (ends[0] < ends[1]).all():
        raise CubeError(f"{path}: domain: expected two triples, the first less than the last, got {domain}")
    return tuple(tuple(map(float, end)) for end in ends)
