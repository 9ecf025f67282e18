"""Files of colour tables: round trips, what is refused, and that a failed write leaves what was there."""

import numpy as np
import pytest

from modisp_jax.io import cube
from modisp_jax.io.cube import CubeError, read_cube, write_cube


def table(n=3, seed=0):
    """A table [n, n, n, 3] of numbers of six digits: what a file holds exactly."""
    return np.random.default_rng(seed).integers(-200000, 1200000, (n, n, n, 3)) / 1e6


@pytest.mark.parametrize("n", [2, 3, 5])
def test_round_trip_is_exact_to_the_printed_digits(tmp_path, n):
    domain = ((-0.5, 0.0, 0.125), (1.0, 2.0, 3.5))
    path = write_cube(tmp_path / "a.cube", table(n), title="warm: by modisp_jax", domain=domain)
    found = read_cube(path)
    np.testing.assert_array_equal(found.table, table(n).astype(np.float32))
    assert (found.title, found.domain) == ("warm: by modisp_jax", domain)
    rough = table(n) + 4e-7
    np.testing.assert_array_equal(read_cube(write_cube(path, rough)).table, table(n).astype(np.float32))
    assert read_cube(path).title is None
    assert read_cube(path).domain == cube.UNIT


def test_red_varies_fastest(tmp_path):
    nodes = np.linspace(0, 1, 2)
    identity = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1)
    lines = write_cube(tmp_path / "a.cube", identity).read_text().splitlines()
    assert lines[:3] == ["LUT_3D_SIZE 2", "DOMAIN_MIN 0.0 0.0 0.0", "DOMAIN_MAX 1.0 1.0 1.0"]
    assert lines[3:6] == ["0.000000 0.000000 0.000000", "1.000000 0.000000 0.000000", "0.000000 1.000000 0.000000"]
    assert len(lines) == 3 + 8


def test_reads_what_others_write(tmp_path):
    """Comments, empty lines, other spacing, a byte-order mark, Windows' line ends, numbers with exponents."""
    rows = "\r\n".join(f"  {r}e0\t{g} {b}.0" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    text = f'\ufeff# made elsewhere\r\nTITLE   "a b"\r\n\r\nLUT_3D_SIZE  2\r\n{rows}\r\n# end\r\n'
    (tmp_path / "a.cube").write_bytes(text.encode())
    found = read_cube(tmp_path / "a.cube")
    assert found.title == "a b"
    np.testing.assert_array_equal(found.table[1, 0, 0], [1, 0, 0])
    np.testing.assert_array_equal(found.table[0, 0, 1], [0, 0, 1])


@pytest.mark.parametrize(
    ("bad", "options", "message"),
    [
        (np.zeros((2, 2, 2)), {}, r"expected a table \[n, n, n, 3\], got shape \(2, 2, 2\)"),
        (np.zeros((2, 2, 3, 3)), {}, r"\[n, n, n, 3\]"),
        (np.zeros((1, 1, 1, 3)), {}, "2 to 256 nodes a side, got 1"),
        (np.full((2, 2, 2, 3), np.nan), {}, "finite numbers"),
        (np.full((2, 2, 2, 3), "1"), {}, "finite numbers"),
        (np.zeros((2, 2, 2, 3)), {"title": 'say "a"'}, "without quotation marks"),
        (np.zeros((2, 2, 2, 3)), {"title": "a\nb"}, "one line"),
        (np.zeros((2, 2, 2, 3)), {"domain": ((0, 0, 0), (1, 0, 1))}, "first less than the last"),
        (np.zeros((2, 2, 2, 3)), {"domain": (0, 1)}, "two triples"),
    ],
)
def test_bad_tables_are_refused_and_leave_what_was_there(tmp_path, bad, options, message):
    path = tmp_path / "a.cube"
    path.write_text("before")
    with pytest.raises(CubeError, match=message):
        write_cube(path, bad, **options)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_bad_names_are_refused(tmp_path):
    with pytest.raises(CubeError, match=r"ending in \.cube"):
        write_cube(tmp_path / "a.lut", table())
    with pytest.raises(CubeError, match="folder that can be written to"):
        write_cube(tmp_path / "none" / "a.cube", table())
    with pytest.raises(CubeError, match="cannot be read"):
        read_cube(tmp_path / "none.cube")


ROWS = "0 0 0\n" * 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected LUT_3D_SIZE, found none"),
        (ROWS, "expected LUT_3D_SIZE, found none"),
        ("LUT_1D_SIZE 4\n0 0 0\n", "line 1: expected a table of three dimensions"),
        ("LUT_3D_SIZE 2.5\n" + ROWS, "line 1: expected LUT_3D_SIZE and a number from 2 to 256, got 'LUT_3D_SIZE 2.5'"),
        ("LUT_3D_SIZE 1000\n" + ROWS, "from 2 to 256"),
        ("LUT_3D_SIZE\n" + ROWS, "from 2 to 256"),
        ("LUT_3D_SIZE 2\nLUT_3D_SIZE 2\n" + ROWS, "line 2: LUT_3D_SIZE comes twice"),
        ("LUT_3D_SIZE 2\n" + ROWS[:-6], r"2\^3 = 8 lines of numbers, got 7"),
        ("LUT_3D_SIZE 2\n" + ROWS + "0 0 0\n", "line 10: expected 2.3 = 8 lines of numbers, got more"),
        ("LUT_3D_SIZE 2\n0 0\n" + ROWS, "line 2: expected 3 finite numbers, got '0 0'"),
        ("LUT_3D_SIZE 2\n0 0 nan\n" + ROWS, "line 2: expected 3 finite numbers"),
        ("LUT_3D_SIZE 2\nnan 0 0\n" + ROWS, "line 2: expected 3 finite numbers"),
        ("LUT_3D_SIZE 2\n0 0 1,5\n" + ROWS, "line 2: expected 3 finite numbers"),
        ("LUT_3D_SIZE 2\n" + ROWS + 'TITLE "late"\n', "line 10: expected three numbers"),
        ("LUT_3D_SIZE 2\nTITLE late\n" + ROWS, 'line 2: expected TITLE "words"'),
        ("LUT_3D_SIZE 2\nDOMAIN_MIN 0 0\n" + ROWS, "line 2: expected 3 finite numbers"),
        ("LUT_3D_SIZE 2\nDOMAIN_MIN 1 0 0\n" + ROWS, "domain: expected two triples"),
        ("LUT_3D_SIZE 2\nGAMMA 2\n" + ROWS, "line 2: expected TITLE, LUT_3D_SIZE, DOMAIN_MIN, DOMAIN_MAX or numbers"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "a.cube"
    path.write_text(text)
    with pytest.raises(CubeError, match=message) as error:
        read_cube(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_other_bytes_are_refused(tmp_path):
    (tmp_path / "a.cube").write_bytes(bytes(range(256)))
    with pytest.raises(CubeError, match="expected text"):
        read_cube(tmp_path / "a.cube")
