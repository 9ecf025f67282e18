"""ICC profiles made by hand, so that what a test expects does not come from the library that it tests."""

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def _fixed(*values):
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def gamma_curve(exponent):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + b"\0\0"


SRGB_CURVE = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def xyz_of(primaries):
    """Linear RGB of D65 primaries to XYZ under D65, [3, 3]."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])


def to_linear_srgb(primaries):
    """Linear RGB of some D65 primaries to linear sRGB, [3, 3]."""
    return np.linalg.solve(xyz_of(SRGB), xyz_of(primaries))


def _profile(space, connection, tags):
    tags = {b"desc": _description("made by hand"), b"cprt": b"text\0\0\0\0CC0\0", b"wtpt": _xyz(D50), **tags}
    table, body, offset = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"", 0x02400000, b"mntr", space, connection)
    head += struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp")
    head = head.ljust(68, b"\0") + _fixed(*D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _description(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text.encode() + b"\0" + b"\0" * 78


def _xyz(value):
    return b"XYZ \0\0\0\0" + _fixed(*value)


def rgb_profile(primaries, curve):
    white = xyz_of(primaries).sum(axis=1)
    adapt = np.linalg.solve(BRADFORD, np.diag(BRADFORD @ D50 / (BRADFORD @ white)) @ BRADFORD)
    columns = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, (adapt @ xyz_of(primaries)).T), strict=True))
    return _profile(b"RGB ", b"XYZ ", columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(exponent):
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": gamma_curve(exponent)})


def cmyk_profile():
    """Grey inks: L* = 100 (1 - K) (1 - (C + M + Y) / 3), linear between the corners."""
    ends = np.array([[0, 65535]], ">u2").tobytes()
    grid = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(16, 4)
    lightness = 0xFF00 * (1 - grid[:, 3]) * (1 - grid[:, :3].mean(axis=1))
    table = np.stack([lightness, np.full(16, 0x8000), np.full(16, 0x8000)], axis=-1)
    head = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    lut = head + ends * 4 + np.round(table).astype(">u2").tobytes() + ends * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})
