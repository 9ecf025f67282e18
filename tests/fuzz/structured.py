"""Damage that knows the format: tags, chunks, headers and opcodes that lie, in files that are otherwise whole."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np

from tests.fuzz.mutate import NUMBERS

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
DIMENSIONS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 322, 323, 324, 325, 339, 50829)
LEVELS = (50713, 50714, 50715, 50716, 50717, 50712)
COLOR = (50721, 50722, 50727, 50728, 50729, 50778, 50964, 50723)
BOMB_BYTES = 48_000_000
JSON_VALUES = (None, True, -1, 0, 1e308, 10**400, float("nan"), float("inf"), "", "x" * 5000, "\0\n\udc80", [], {},
               [[]], [1, 2], [[1, 2, 3]] * 3, {"a": 1}, -(2**63), 1e-320, "vivid", "../../etc/passwd")  # fmt: skip


def damage(rng, data, suffix):
    """Damages a file of that suffix; None where it is not of a format known here (any more)."""
    makers = {
        **dict.fromkeys((".dng", ".tif", ".nef", ".arw"), _tiff),
        **dict.fromkeys((".pth", ".npz"), _zip),
        ".png": _png,
        ".jpg": _jpeg,
        ".json": _json,
        ".safetensors": _safetensors,
        ".cube": _cube,
    }
    make = makers.get(suffix.lower())
    try:
        return None if make is None else make(rng, data)
    except (struct.error, IndexError, ValueError, KeyError, zipfile.BadZipFile, RecursionError):
        return None


# TIFF and DNG


def entries(data):
    """(byte order, [(place, tag, type, count, place of the value) of each entry], [places of pointers])."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (first,) = struct.unpack_from(order + "I", data, 4)
    found, nexts, todo, seen = [], [4], [first], set()
    while todo and len(seen) < 20:
        start = todo.pop()
        if start < 8 or start in seen or start + 2 > len(data):
            continue
        seen.add(start)
        (count,) = struct.unpack_from(order + "H", data, start)
        for k in range(min(count, 300)):
            place = start + 2 + 12 * k
            if place + 12 > len(data):
                break
            tag, kind, n = struct.unpack_from(order + "HHI", data, place)
            size = TYPE_BYTES.get(kind, 1) * n
            value = place + 8 if size <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
            found.append((place, tag, kind, n, value))
            if tag in (330, 34665, 34853) and n >= 1:
                places = [value + 4 * i for i in range(min(n, 4)) if value + 4 * i + 4 <= len(data)]
                todo += [struct.unpack_from(order + "I", data, at)[0] for at in places]
        nexts.append(start + 2 + 12 * count)
        if nexts[-1] + 4 <= len(data):
            todo.append(struct.unpack_from(order + "I", data, nexts[-1])[0])
    return order, found, nexts


def _tiff(rng, data):
    order, found, nexts = entries(data)
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(10)
        wanted = {0: DIMENSIONS, 1: DIMENSIONS, 2: LEVELS, 3: COLOR, 4: COLOR}.get(int(kind))
        chosen = [entry for entry in found if wanted is None or entry[1] in wanted] or found
        place, _, of_type, count, value = chosen[rng.integers(len(chosen))]
        if kind <= 4:
            _new_value(rng, out, order, of_type, count, value)
        elif kind == 5:
            struct.pack_into(order + "I", out, place + 4, int(rng.choice(NUMBERS)))  # count
        elif kind == 6:
            struct.pack_into(order + "H", out, place + 2, int(rng.integers(0, 20)))  # type
        elif kind == 7:
            struct.pack_into(order + "I", out, place + 8, int(rng.choice([0, 8, len(data) - 1, len(data), 2**32 - 1])))
        elif kind == 8:
            struct.pack_into(order + "H", out, place, int(rng.choice([*DIMENSIONS, *LEVELS, *COLOR, 330, 34665])))
        else:
            pointer = nexts[rng.integers(len(nexts))]
            struct.pack_into(order + "I", out, pointer, int(rng.choice([4, 8, *(n - 100 for n in nexts if n > 100)])))
    return bytes(out)


def _new_value(rng, out, order, of_type, count, value):
    """Other numbers in a tag: one of them, or all."""
    size = TYPE_BYTES.get(of_type, 1)
    choices = {5: ((0, 0), (0, 1), (1, 0), (2**32 - 1, 1), (1, 2**32 - 1)),
               10: ((0, 0), (0, 1), (-(2**31), 1), (1, 0), (2**31 - 1, 1))}.get(of_type)  # fmt: skip
    everywhere = rng.random() < 0.5
    pick = rng.integers(max(1, count))
    number = int(rng.choice(NUMBERS)) if rng.random() < 0.7 else int(rng.integers(0, 2**16))
    for k in range(min(count, 64)) if everywhere else [int(pick)]:
        where = value + k * size
        if choices is not None:
            struct.pack_into(order + ("2I" if of_type == 5 else "2i"), out, where, *choices[rng.integers(5)])
        elif of_type in (11, 12):
            special = float(rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300]))
            struct.pack_into(order + ("f" if of_type == 11 else "d"), out, where, np.float32(special))
        else:
            code = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
            struct.pack_into(order + code, out, where, number & (256**size - 1))


# PNG


def chunks(data):
    place, found = 8, []
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def joined(found):
    parts = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
             for name, body in found]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


_bombs = {}


def bomb(size=BOMB_BYTES, wrap=zlib.MAX_WBITS):
    """A zlib stream (or a raw one) of ``size`` zeros."""
    if (size, wrap) not in _bombs:
        packer = zlib.compressobj(9, zlib.DEFLATED, wrap)
        block = bytes(1_000_000)
        parts = [packer.compress(block) for _ in range(size // len(block))]
        _bombs[size, wrap] = b"".join(parts) + packer.flush()
    return _bombs[size, wrap]


def _png(rng, data):
    found = chunks(data)
    kind = rng.integers(8)
    k = int(rng.integers(len(found)))
    name, body = found[k]
    if kind <= 2:  # the header: width, height, or bits, colour type, compression, filter, interlace
        header = bytearray(found[0][1])
        if rng.random() < 0.6:
            struct.pack_into(">I", header, 4 * int(rng.integers(2)), int(rng.choice(NUMBERS)))
        else:
            header[8 + rng.integers(5)] = rng.choice([0, 1, 2, 3, 4, 5, 6, 8, 16, 32, 255])
        found[0] = (b"IHDR", bytes(header))
    elif kind == 3:
        words = {b"iCCP": b"p\0\0", b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0", b"eXIf": b""}
        word = list(words)[rng.integers(len(words))]
        found.insert(1, (word, words[word] + bomb()))
    elif kind == 4:
        found[[n for n, _ in found].index(b"IDAT")] = (b"IDAT", bomb())
    elif kind == 5:
        found.insert(k, (name, body) if rng.random() < 0.5 else (b"IDAT", rng.bytes(40)))
    elif kind == 6:
        del found[k]
    else:  # a chunk whose length lies
        out = bytearray(joined(found))
        place = 8 + sum(12 + len(body) for _, body in found[:k])
        struct.pack_into(">I", out, place, int(rng.choice(NUMBERS)))
        return bytes(out)
    return joined(found)


# JPEG


def _jpeg(rng, data):
    """A segment of the header changed: its length, its marker, or a number in it; or one more, of random bytes."""
    places, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        places.append(place)
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    out = bytearray(data)
    place = places[rng.integers(len(places))]
    (length,) = struct.unpack_from(">H", data, place + 2)
    kind = rng.integers(4)
    if kind == 0:
        struct.pack_into(">H", out, place + 2, int(rng.choice(NUMBERS)) & 0xFFFF)
    elif kind == 1:
        out[place + 1] = int(rng.integers(0xC0, 0x100))
    elif kind == 2 and length > 4:
        where = place + 4 + int(rng.integers(length - 3))
        out[where : where + 2] = struct.pack(">H", int(rng.choice(NUMBERS)) & 0xFFFF)
    else:
        body = rng.bytes(int(rng.integers(0, 300)))
        out[place:place] = struct.pack(">BBH", 0xFF, int(rng.integers(0xE0, 0xF0)), len(body) + 2) + body
    return bytes(out)


# JSON


def _json(rng, data):
    value = json.loads(data)
    kind = rng.integers(6)
    if kind == 0:
        depth = int(rng.choice([50, 900, 100_000]))
        deep = ("[" * depth + "]" * depth) if rng.random() < 0.5 else '{"a":' * depth + "1" + "}" * depth
        return _with_text(rng, data, deep)
    if kind == 1:
        return _with_text(rng, data, str(rng.choice(["1" * 6000, "1e999", "-1e999", "NaN", "-Infinity", "1" * 300])))
    _change(rng, value)
    text = json.dumps(value)
    if kind == 2:
        text = "﻿" + text
    return text.encode("utf-16" if kind == 3 else "utf-8", "surrogatepass")


def _with_text(rng, data, text):
    """The JSON with ``text`` in place of one of its numbers or strings, or as a further value, or alone."""
    parts = data.decode().split(":")
    if len(parts) < 2 or rng.random() < 0.2:
        return text.encode()
    k = int(rng.integers(1, len(parts)))
    ends = [at for at in (parts[k].find(mark) for mark in ",}") if at >= 0]
    parts[k] = " " + text + parts[k][min(ends, default=len(parts[k])) :]
    return ":".join(parts).encode()


def _change(rng, value):
    """Changes something within a JSON value: a leaf, a branch, or a key."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        if isinstance(value[key], dict | list) and rng.random() < 0.8:
            value = value[key]
            continue
        act = rng.integers(5)
        if act == 0 and isinstance(value, dict):
            value[str(rng.choice(["", "x" * 300, "modisp_style", "__class__"]))] = value.pop(key)
        elif act == 1:
            del value[key]
        else:
            value[key] = JSON_VALUES[rng.integers(len(JSON_VALUES))]
        return


# safetensors


def _safetensors(rng, data):
    (length,) = struct.unpack_from("<Q", data, 0)
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    entry = header[names[rng.integers(len(names))]]
    kind = rng.integers(9)
    if kind == 0:
        return struct.pack("<Q", int(rng.choice(NUMBERS)) << int(rng.choice([0, 0, 31]))) + data[8:]
    if kind == 1:
        entry["shape"] = [int(rng.choice(NUMBERS)) for _ in range(rng.integers(0, 6))]
    elif kind == 2:
        entry["dtype"] = str(rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "X"]))
    elif kind == 3:
        entry["data_offsets"] = [int(rng.choice(NUMBERS)), int(rng.choice([*NUMBERS, 2**63]))]
    elif kind == 4:  # tensors of no bytes cost nothing, and claim anything
        entry["shape"], entry["data_offsets"] = [0, int(rng.choice(NUMBERS))], [0, 0]
        for k in range(int(rng.choice([1, 10, 3000]))):
            name = str(rng.choice(["denoise/middle_block{}/x", "denoise/encoder0_block{}/x", "denoise/down{}", "a{}"]))
            header[name.format(k)] = {"dtype": "F32", "shape": [0, int(rng.choice(NUMBERS))], "data_offsets": [0, 0]}
    elif kind == 5:
        numbers = np.frombuffer(tensors[: len(tensors) // 4 * 4], "<f4").copy()
        numbers[rng.integers(len(numbers))] = rng.choice([np.nan, np.inf, -np.inf, 1e38])
        tensors = numbers.tobytes()
    elif kind == 6:
        header["__metadata__"] = {"format": "modisp_jax parameters", "version": "1", "card": "[" * 100_000}
    elif kind == 7:
        header["/".join(["a"] * int(rng.choice([2, 50, 5000])))] = header.pop(names[0])
    else:
        header[str(rng.choice([f"{names[0]}/x", names[0].rsplit("/", 1)[0], "", "/", "denoise//x"]))] = entry
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


# Archives: checkpoints and states

OPCODES = (
    b"r\xff\xff\xff\x7f",  # LONG_BINPUT: a memo of two thousand million places
    b"j\xff\xff\xff\x7f",  # LONG_BINGET
    b"\x8e" + struct.pack("<Q", 2**40),  # BINBYTES8 of a terabyte
    b"\x8d" + struct.pack("<Q", 2**62),  # BINUNICODE8
    b"\x96" + struct.pack("<Q", 2**45),  # BYTEARRAY8
    b"\x95" + struct.pack("<Q", 2**63 - 1),  # FRAME
    b"\x8b\xff\xff\xff\x7f",  # LONG4
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"(i__main__\nx\n", b"\x80\xff", b"\x82\x01", b"P0\n", b"Q", b"R",
    b"b", b"0",     b"}b", b"cmodisp\nx\n", b"\x93", b"\x81", b"\x98", b"o",
    b"(" * 3000, b"]" * 3000 + b"a" * 2999, b"}" * 2000, b"K\x01" * 200_000, b"I" + b"9" * 9000 + b"\n", b"N2" * 3000,
)  # fmt: skip


def _zip(rng, data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    kind = rng.integers(9)
    k = int(rng.integers(len(members)))
    name, body = members[k]
    pickles = [i for i, (name, _) in enumerate(members) if name.endswith("data.pkl")]
    if kind <= 3 and pickles:
        name, body = members[pickles[0]]
        place = int(rng.integers(1, len(body)))
        if kind <= 1:
            body = body[:place] + OPCODES[rng.integers(len(OPCODES))] + body[place:]
        else:
            changed = bytearray(body)
            for _ in range(rng.integers(1, 4)):
                changed[rng.integers(len(changed))] = int(rng.integers(256))
            body = bytes(changed)
        members[pickles[0]] = (name, body)
    elif kind == 4:
        return _claim(rng, data)
    elif kind == 5:
        return _written(members, {name: BOMB_BYTES})
    elif kind == 6:
        members[k] = (str(rng.choice([f"../{name}", "/etc/x", f"{name}\n", name.upper(), "", "a" * 60_000])), body)
    elif kind == 7:
        members.append(members[k])
    else:
        members[k] = (name, body[: rng.integers(len(body) + 1)] if rng.random() < 0.5 else rng.bytes(len(body)))
    return _written(members)


def _claim(rng, data):
    """Sizes and offsets in the central directory that are not so."""
    out, place, places = bytearray(data), data.find(b"PK\x01\x02"), []
    while place >= 0:
        places.append(place)
        place = data.find(b"PK\x01\x02", place + 1)
    place = places[rng.integers(len(places))]
    struct.pack_into("<I", out, place + int(rng.choice([20, 24, 42])), int(rng.choice(NUMBERS)))
    if rng.random() < 0.3:
        struct.pack_into("<H", out, place + int(rng.choice([8, 10])), int(rng.integers(0, 100)))  # flags, method
    return bytes(out)


def _written(members, bombs=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        seen = set()
        for name, body in members:
            while name in seen:
                name = f"{name}2"
            seen.add(name)
            if name in bombs:
                archive.writestr(name, bytes(bombs[name]), zipfile.ZIP_DEFLATED)
            else:
                archive.writestr(name, body)
    return file.getvalue()


# Text


def _cube(rng, data):
    lines = data.decode().splitlines()
    k = int(rng.integers(len(lines)))
    kind = rng.integers(6)
    if kind == 0:
        lines[k] = str(
            rng.choice(["nan nan nan", "inf 0 0", "1e999 0 0", "0 0", "0 0 0 0", "x" * 10_000, "\0", "1_0 1 1"])
        )
    elif kind == 1:
        size = rng.choice(["256", "1", "257", "1" * 5000, "-3", "3.0", "٣", "³"])
        lines = [f"LUT_3D_SIZE {size}" if line.startswith("LUT_3D") else line for line in lines]
    elif kind == 2:
        lines.insert(k, str(rng.choice(["DOMAIN_MIN 1 1 1", "DOMAIN_MAX nan 1 1", "DOMAIN_MIN 1", "LUT_1D_SIZE 4",
                                        "TITLE x", 'TITLE "', "LUT_3D_SIZE 3", "KEY"])))  # fmt: skip
    elif kind == 3:
        lines += [lines[-1]] * int(rng.choice([1, 1000, 200_000]))
    elif kind == 4:
        del lines[k]
    else:
        return "\n".join(lines).encode(str(rng.choice(["utf-16", "utf-8-sig", "utf-32"])))
    return "\n".join(lines).encode("utf-8")
