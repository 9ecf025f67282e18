"""Files that are not photos: bombs, depths, lies; odd names; full disks. One line, nothing left, nothing lost."""

import errno
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modisp_jax.checkpoints import load_params, read_card, save_params
from modisp_jax.cli import main
from modisp_jax.config import NAFNetConfig, PipelineConfig
from modisp_jax.fit.state import load_state, save_state
from modisp_jax.io import images
from modisp_jax.io.alignment import read_turned
from modisp_jax.io.cube import CubeError, read_cube, write_cube
from modisp_jax.io.exif import exif_from_raw, read_settings
from modisp_jax.io.images import ImageError, read_image, write_image
from modisp_jax.io.json_text import parse_json, read_json
from modisp_jax.io.names import shown
from modisp_jax.io.raw import read_metadata, read_raw_file
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.params import init_params
from modisp_jax.style_file import StyleFile, read_style_file, write_style_file
from modisp_jax.torch_file import read_state_dict
from tests.torch_files import Storage, pickled, tensor, write_archive, write_checkpoint

REPOSITORY = Path(__file__).resolve().parents[1]
PIXELS = np.random.default_rng(0).random((12, 16, 3)).astype(np.float32)
NUMBERS = np.arange(24, dtype=np.float32)
STATE = {"a": np.arange(3.0), "b": np.array(5)}


def refused(read, *arguments, error=ValueError, match=None):
    with pytest.raises(error, match=match) as caught:
        read(*arguments)
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


@pytest.fixture(scope="module")
def params():
    import jax

    return init_params(jax.random.key(0), PipelineConfig(NAFNetConfig(2, (1,), 1, (1,)), None, None))


# JSON


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_of_any_depth(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(parse_json, text)
    refused(read_json, path)
    refused(read_style_file, path, match="expected a style file in JSON")


@pytest.mark.parametrize("data", [b"\xff\xfe", '{"a": 1}'.encode("utf-16"), b"1" * 6000, b"\xed\xa0\x80"])
def test_json_that_is_no_text(tmp_path, data):
    path = tmp_path / "a.json"
    path.write_bytes(data)
    refused(read_style_file, path)


def test_json_that_is_too_long(tmp_path):
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2**26 + 1)
    refused(read_json, path, match="more than 67108864 bytes")


# Pictures


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(path, width=16, height=12, bits=8, extra=b"", data=None):
    """A PNG of zeros; ``data`` in place of its pixels."""
    data = zlib.compress(bytes((width * 3 * bits // 8 + 1) * height)) if data is None else data
    header = struct.pack(">2I5B", width, height, bits, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("side", [20_000, 65_536, 2**31 - 1])
def test_pictures_that_claim_too_much(tmp_path, bits, side):
    path = png(tmp_path / "a.png", side, side, bits, data=b"")
    refused(read_image, path, error=ImageError, match="expected")
    refused(read_turned, path, 1, error=ImageError)
    assert read_settings(path) is None


def test_a_tiff_that_claims_too_much(tmp_path):
    path = write_image(tmp_path / "a.tif", PIXELS)
    data = path.read_bytes()
    for code in (256, 257):
        place = next(at for at in range(8, 400, 2) if data[at : at + 4] == struct.pack("<HH", code, 4))
        data = data[: place + 8] + struct.pack("<I", 16_000) + data[place + 12 :]
    path.write_bytes(data)
    refused(read_image, path, error=ImageError, match="a file large enough for 16000 x 16000")


def test_large_pictures_are_opened_without_a_warning(tmp_path):
    # Pillow warns from 89 megapixels on, and refuses 179; ours may have 268.
    path = png(tmp_path / "a.png", 16_000, 16_000, data=b"", extra=chunk(b"tEXt", b"a\0" + b"x" * 2_000_000))
    refused(read_image, path, error=ImageError, match="a file large enough|got: ")
    Image.new("L", (9_600, 9_600)).save(tmp_path / "b.png")
    assert read_settings(tmp_path / "b.png") is None


@pytest.mark.parametrize("name", [b"iCCP", b"zTXt", b"iTXt", b"eXIf"])
def test_bombs_in_metadata(tmp_path, name):
    bomb = zlib.compress(bytes(50_000_000))
    start = {b"iCCP": b"p\0\0", b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0", b"eXIf": b""}[name]
    path = png(tmp_path / "a.png", extra=chunk(name, start + bomb))
    assert read_settings(path) is None
    if name == b"eXIf":  # never packed: that is an EXIF of nonsense
        assert read_image(path).shape == (12, 16, 3)
    else:
        refused(read_image, path, error=ImageError, match="too large")


def test_a_chunk_that_claims_four_gigabytes(tmp_path):
    whole = png(tmp_path / "a.png").read_bytes()
    place = whole.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:place] + b"\xff" * 4 + whole[place + 4 :])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**29, limits[1]))
    try:
        assert read_settings(tmp_path / "a.png") is None
        assert read_turned(tmp_path / "a.png", 1)[0].shape == (12, 16, 3)  # whose pixels are all there
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


# Checkpoints


def test_archives_that_are_packed(tmp_path):
    path = tmp_path / "a.pth"
    data, _ = pickled({"x": tensor(Storage(np.zeros(4, np.float32)), 0, (4,), (1,))})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(50_000_000))
    refused(read_state_dict, path, match="tensors of more bytes than the file has")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"N" * 5_000_000)
    refused(read_state_dict, path, match="expected up to 4194304 bytes of data.pkl")


def test_archives_whose_members_share_their_bytes(tmp_path):
    # The directory names one stored block many times.
    path = write_checkpoint(tmp_path / "a.pth", {"x": np.zeros(1000, np.float32)})
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    stored = next(info for info in infos if info.filename == "archive/data/0")
    data, end = path.read_bytes(), path.read_bytes().rindex(b"PK\x05\x06")
    directory = struct.unpack_from("<I", data, end + 16)[0]
    entry = data.index(b"archive/data/0", directory) - 46
    record = data[entry : entry + 46 + len(stored.filename)]
    more = b"".join(record.replace(b"archive/data/0", f"archive/data/{k}".encode()) for k in range(1, 10))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, len(infos) + 9, len(infos) + 9, end - directory + len(more))
    path.write_bytes(data[:end] + more + tail)
    refused(read_state_dict, path, match="tensors of more bytes than the file has")


def test_tensors_that_repeat_their_numbers_without_end(tmp_path):
    storage = Storage(NUMBERS)
    state = {f"x{k}": tensor(storage, 0, (2**23,), (0,)) for k in range(3)}
    refused(read_state_dict, write_checkpoint(tmp_path / "a.pth", state), match="many times the numbers")


@pytest.mark.parametrize(
    ("opcodes", "harmless"),
    [
        (b"Nr\xff\xff\xff\x7f0", True),  # a memo of two thousand million places, in which one is used
        (b"\x8e" + struct.pack("<Q", 2**40), False),
        (b"\x96" + struct.pack("<Q", 2**40), False),
        (b"\x8b\xff\xff\xff\x7f", False),
        (b"(" * 100_000, True),
        (b"\x82\x01", False),
        (b"(i__main__\nx\n", False),
    ],
)
def test_opcodes_that_ask_for_much_or_for_other_things(tmp_path, opcodes, harmless):
    data, storages = pickled({"x": tensor(NUMBERS)})
    write_archive(tmp_path / "a.pth", data[:2] + opcodes + data[2:], storages)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**29, limits[1]))
    try:
        if harmless:
            np.testing.assert_array_equal(read_state_dict(tmp_path / "a.pth")["x"], NUMBERS)
        else:
            refused(read_state_dict, tmp_path / "a.pth")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_attributes_that_a_file_sets_go_nowhere(tmp_path):
    # BUILD would set them on whatever comes before: here the function that makes tensors.
    data = pickle.PROTO + b"\x02ctorch._utils\n_rebuild_parameter\n}X\1\0\0\0aK\1sb."
    refused(read_state_dict, write_archive(tmp_path / "a.pth", data), match="expected a state dict")
    from modisp_jax import torch_file

    assert not hasattr(torch_file._rebuild_parameter, "a")


# Parameter files


def safetensors(path, header, tensors=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    return path


CARD = {"format": "modisp_jax parameters", "version": "1", "card": "{}"}


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": CARD | {"card": "[" * 100_000}},
        {"__metadata__": CARD, "denoise/in_conv/kernel": {"dtype": "F32", "shape": [0, 2**40], "data_offsets": [0, 0]}},
        {"__metadata__": CARD}
        | {
            f"denoise/{name}{k}{rest}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
            for k in range(3000)
            for name, rest in (("down", ""), ("middle_block", "/x"))
        }
        | {"denoise/in_conv/kernel": {"dtype": "F32", "shape": [0, 2], "data_offsets": [0, 0]}},
    ],
)
def test_parameter_files_that_claim_too_much(tmp_path, header):
    refused(load_params, safetensors(tmp_path / "a.safetensors", header))


def test_a_card_of_any_depth(tmp_path):
    refused(read_card, safetensors(tmp_path / "a.safetensors", {"__metadata__": CARD | {"card": "[" * 100_000}}))


# States


def test_states_that_are_packed_cut_or_of_other_shapes(tmp_path):
    path = tmp_path / "state.npz"
    save_state(path, STATE, [], "me")
    assert load_state(path, STATE, "me")[1] == []
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(load_state, path, STATE, "me", match="expected the state of a fit")
    facts = np.array(json.dumps({"history": [], "identity": "me"}))
    np.savez_compressed(path, facts=facts, leaf0=np.zeros(10_000_000), leaf1=STATE["b"])
    refused(load_state, path, STATE, "me", match="packed numbers")
    for leaves in ({"leaf0": STATE["a"]}, {"leaf0": np.zeros(4), "leaf1": STATE["b"]},
                   {"leaf0": STATE["a"], "leaf1": np.array("text")}):  # fmt: skip
        np.savez(path, facts=facts, **leaves)
        refused(load_state, path, STATE, "me", match="remove it to begin anew")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("facts.npy", b"no array")
        archive.writestr("leaf0", b"none either")
    refused(load_state, path, STATE, "me")


# Tables


@pytest.mark.parametrize("text", ["LUT_3D_SIZE 2\n" + "0 0 0\n" * 100_000, "x" * 100_000, "LUT_3D_SIZE 2\n1e308 0 0\n",
                                  "LUT_3D_SIZE " + "1" * 5000])  # fmt: skip
def test_tables_that_do_not_end(tmp_path, text):
    path = tmp_path / "a.cube"
    path.write_text(text)
    refused(read_cube, path, error=CubeError, match="line [12]|line 10")


# Names

NAMES = [b"a\nb", b"quote'\"", b"\xff\xfe\x80", b"-o", b"--help", b"x" * 250, "ünïcode→".encode(), b" a ", b"%s%n",
         b"*", b"\x1b[31m", b"a\\b"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_of_all_kinds(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    photo, stem = Path(os.fsdecode(name + b".dng")), os.fsdecode(name)
    photo.write_bytes(write_synthetic_dng(tmp_path / "source.dng", size=(32, 32)).read_bytes())
    raw = read_raw_file(photo)
    exif = exif_from_raw(photo, read_metadata(photo), settings={"modisp_jax": "0", "photo": str(photo)})
    for suffix in (".jpg", ".png", ".tif"):
        picture = write_image(Path(stem + suffix), raw.image, exif=exif)
        assert read_image(picture).shape == (32, 32, 3)
        assert read_settings(picture)["photo"] == str(photo)
    write_cube(Path(stem[:240] + ".cube"), np.zeros((2, 2, 2, 3)))
    write_style_file(Path(stem + ".json"), StyleFile())
    assert not [entry for entry in os.listdir() if entry.startswith(".")]
    capsys.readouterr()
    places = [str(tmp_path / photo), str(tmp_path / "none")]
    assert main(["info", *places]) == 2
    out, err = capsys.readouterr()
    assert "synthetic camera" in out
    assert err.count("\n") == 1
    assert (out + err).replace("\n", "").isprintable()


def test_texts_for_people():
    assert shown("a\nb\x1b[31m\udcff→ü") == "a\\nb\\x1b[31m\\udcff→ü"


def test_texts_in_files_do_not_reach_the_terminal(tmp_path, capsys):
    from modisp_jax.io.dng_write import write_dng

    path = write_dng(tmp_path / "a.dng", np.full((32, 32), 100, np.uint16), model="\x1b]0;title\x07")
    assert main(["info", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


# Disks

CONTENT = b"what was there before"


def writers(folder, params):
    """What writes a file, by the file."""
    return {
        folder / "a.jpg": lambda path: write_image(path, np.repeat(np.repeat(PIXELS, 30, 0), 30, 1)),
        folder / "a.png": lambda path: write_image(path, np.repeat(PIXELS, 90, 0)),
        folder / "a.tif": lambda path: write_image(path, np.repeat(PIXELS, 90, 0)),
        folder / "a.safetensors": lambda path: save_params(path, params),
        folder / "a.json": lambda path: write_style_file(path, StyleFile(description="x" * 5000)),
        folder / "a.cube": lambda path: write_cube(path, np.zeros((9, 9, 9, 3))),
        folder / "a.npz": lambda path: save_state(path, STATE, ["x" * 5000], "me"),
        folder / "a.dng": lambda path: write_synthetic_dng(path, size=(48, 48)),
    }


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(tmp_path, params, there):
    # A limit on the size of files fails as a full disk does: in the middle of writing.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for path, write in writers(tmp_path, params).items():
        if there:
            path.write_bytes(CONTENT)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(ValueError, match=f"{path.name}: cannot be written: ") as error:
                write(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert len(str(error.value).splitlines()) == 1
        assert os.listdir(tmp_path) == ([path.name] if there else [])
        assert not there or path.read_bytes() == CONTENT
        write(path)
        assert path.stat().st_size > 1000
        path.unlink()


def test_failing_to_replace_leaves_what_was_there(tmp_path, params, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for path, write in writers(tmp_path, params).items():
        path.write_bytes(CONTENT)
        with monkeypatch.context() as patch:
            patch.setattr(images.os, "replace", full)
            with pytest.raises(ValueError, match="cannot be written: No space left on device"):
                write(path)
        assert path.read_bytes() == CONTENT
        path.unlink()
        assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folders_that_cannot_be_written_to(tmp_path, params):
    tmp_path.chmod(0o555)
    for path, write in writers(tmp_path, params).items():
        with pytest.raises(ValueError, match="expected a folder that can be written to"):
            write(path)
    tmp_path.chmod(0o755)


def test_missing_folders(tmp_path, params):
    for path, write in writers(tmp_path / "missing", params).items():
        refused(write, path, error=CubeError if path.suffix == ".cube" else ImageError if path.suffix in
                (".jpg", ".png", ".tif", ".dng") else ValueError, match="expected a folder that can be")  # fmt: skip


def test_the_command_line_on_a_full_disk(tmp_path):
    # In a process of its own, whose limit no other test feels.
    from tests.fuzz.seeds import make_seeds

    seed = next(seed for seed in make_seeds(real=False) if seed.name == "nafnet.pth")
    source = tmp_path / "nafnet.pth"
    source.write_bytes(seed.files["nafnet.pth"])
    folder = tmp_path / "out"
    folder.mkdir()
    script = (
        "import resource, sys; from modisp_jax.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        f"sys.exit(main(['import-torch', '--denoiser', {str(source)!r}, '-o', {str(folder / 'a.safetensors')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("modisp: error: ")
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
    assert os.listdir(folder) == []
