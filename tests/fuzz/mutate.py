"""Damage that needs to know nothing of a format: cuts, flips, blocks moved, numbers at which careless code fails."""

import struct

NUMBERS = (0, 1, 2, 3, 5, 7, 8, 15, 16, 127, 128, 255, 256, 32767, 32768, 65534, 65535, 65536, 65552, 2**24, 2**28,
           2**30, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)  # fmt: skip


def truncate(rng, data, _):
    return data[: rng.integers(0, max(1, len(data)))]


def cut_a_little(rng, data, _):
    return data[: max(0, len(data) - int(rng.integers(1, 17)))]


def flip_bits(rng, data, _):
    out = bytearray(data)
    for _ in range(1 << rng.integers(0, 6)):
        place = _place(rng, out)
        out[place] ^= 1 << rng.integers(0, 8)
    return bytes(out)


def set_bytes(rng, data, _):
    out = bytearray(data)
    for _ in range(1 << rng.integers(0, 5)):
        out[_place(rng, out)] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    return bytes(out)


def overwrite(rng, data, _):
    start, length = _block(rng, data)
    fill = rng.integers(3)
    block = rng.bytes(length) if fill == 2 else bytes([255 * int(fill)]) * length
    return data[:start] + block + data[start + length :]


def remove(rng, data, _):
    start, length = _block(rng, data)
    return data[:start] + data[start + length :]


def repeat(rng, data, _):
    start, length = _block(rng, data)
    times = int(rng.integers(2, 20))
    return data[:start] + data[start : start + length] * times + data[start + length :]


def swap(rng, data, _):
    (a, n), (b, m) = sorted([_block(rng, data), _block(rng, data)])
    n = min(n, max(0, b - a))
    return data[:a] + data[b : b + m] + data[a + n : b] + data[a : a + n] + data[b + m :]


def splice(rng, data, other):
    start, length = _block(rng, other)
    place = _place(rng, data)
    return data[:place] + other[start : start + length] + data[place + int(rng.integers(0, 2)) * length :]


def head_of_another(rng, data, other):
    place = int(rng.integers(1, 200))
    return other[:place] + data[place:]


def number(rng, data, _):
    """A 16, 32 or 64 bit number of either byte order, at an even place."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["<H", ">H", "<I", ">I", "<I", ">I", "<Q", ">Q"])
        value = int(rng.choice(NUMBERS)) & (256 ** struct.calcsize(kind) - 1)
        place = _place(rng, out) & ~1
        if place + struct.calcsize(kind) <= len(out):
            struct.pack_into(kind, out, place, value)
    return bytes(out)


def append(rng, data, other):
    return data + (other if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 5000))))


def empty_or_short(rng, data, _):
    return data[: int(rng.integers(0, 64))]


BLIND = (truncate, truncate, cut_a_little, flip_bits, flip_bits, set_bytes, set_bytes, overwrite, remove, repeat, swap,
         splice, head_of_another, number, number, append, empty_or_short)  # fmt: skip


def _place(rng, data):
    """Anywhere, but half of the time near the beginning or the end, where headers and directories are."""
    size = max(1, len(data))
    where = rng.integers(4)
    if where == 0:
        return int(rng.integers(0, min(size, 512)))
    if where == 1:
        return size - 1 - int(rng.integers(0, min(size, 512)))
    return int(rng.integers(0, size))


def _block(rng, data):
    start = _place(rng, data)
    return start, int(min(len(data) - start, 1 << rng.integers(0, 13)))
