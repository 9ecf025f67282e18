"""The reader of PyTorch files: every layout of a tensor, every damage, and nothing that a file asks for is run."""

import collections
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from modisp_jax.torch_file import read_state_dict
from tests.torch_files import (
    KINDS,
    Call,
    Global,
    Storage,
    pickled,
    tensor,
    write_archive,
    write_checkpoint,
    write_legacy,
)

NUMBERS = np.arange(24, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.pth"


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_state_dict(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_every_kind_of_number(path, dtype):
    array = np.array([[0, 1, 100], [3, 7, 0]]).astype(dtype)
    state = read_state_dict(write_checkpoint(path, {"x": array}))
    assert state["x"].dtype == dtype
    np.testing.assert_array_equal(state["x"], array)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_special_numbers_keep_their_bits(path, dtype):
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 6e-8, 0.1], dtype)
    assert read_state_dict(write_checkpoint(path, {"x": array}))["x"].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (4, 6), (6, 1)),
        (0, (6, 4), (1, 6)),  # transposed
        (5, (3, 2), (6, 2)),  # a part, every second column
        (23, (), ()),
        (7, (3,), (0,)),  # expanded
        (0, (2, 3, 4), (1, 2, 6)),
        (0, (1, 4), (10**30, 1)),  # PyTorch does not care for the stride of an axis of 1
        (0, (3, 0), (1, 1)),
        (24, (0,), (1,)),
    ],
)
def test_every_layout(path, offset, size, stride):
    state = read_state_dict(write_checkpoint(path, {"x": tensor(Storage(NUMBERS), offset, size, stride)}))
    expected = np.empty(size, np.float32)
    for index in np.ndindex(*size):
        expected[index] = NUMBERS[offset + sum(i * s for i, s in zip(index, stride, strict=True))]
    np.testing.assert_array_equal(state["x"], expected)
    assert state["x"].shape == size


def test_tensors_of_one_storage_do_not_share_memory(path):
    storage = Storage(NUMBERS)
    state = read_state_dict(
        write_checkpoint(path, {"a": tensor(storage, 0, (6,), (1,)), "b": tensor(storage, 3, (6,), (2,))})
    )
    state["a"][:] = -1
    np.testing.assert_array_equal(state["b"], NUMBERS[3:15:2])


def test_order_of_names_and_what_pytorch_adds(path):
    names = ["b", "a.weight", "10", "9"]
    state = collections.OrderedDict((name, tensor(NUMBERS)) for name in names)
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    assert list(read_state_dict(write_archive(path, *pickled(state)))) == names


def test_parameters_and_wrappers(path):
    parameter = Call(Global("torch._utils", "_rebuild_parameter"), (tensor(NUMBERS), True, collections.OrderedDict()))
    for wrapper in ("state_dict", "model_state_dict", "params"):
        write_archive(path, *pickled({"epoch": 3, wrapper: {"x": parameter}}))
        np.testing.assert_array_equal(read_state_dict(path)["x"], NUMBERS)


def test_archives_without_byte_order_and_of_any_prefix(path):
    write_checkpoint(path, {"x": NUMBERS}, byteorder=None, prefix="ep_100/")
    np.testing.assert_array_equal(read_state_dict(path)["x"], NUMBERS)


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("os", "system", ("touch {marker}",)),
        ("posix", "system", ("touch {marker}",)),
        ("builtins", "eval", ("open('{marker}', 'w')",)),
        ("builtins", "exec", ("open('{marker}', 'w')",)),
        ("builtins", "open", ("{marker}", "w")),
        ("builtins", "getattr", ("x", "y")),
        ("pathlib", "Path.touch", ("{marker}",)),
        ("subprocess", "Popen", (["touch", "{marker}"],)),
        ("torch", "load", ("{marker}",)),
        ("torch.hub", "load", ("{marker}",)),
        ("torch._utils", "_rebuild_device_tensor_from_numpy", ()),
        ("torch._utils", "_rebuild_tensor_v2.__globals__", ()),
        ("torch", "FloatStorage.__class__", ()),
        ("numpy", "load", ("{marker}",)),
        ("numpy.core.multiarray", "_reconstruct", ()),
        ("collections", "namedtuple", ("A", "b")),
        ("modisp_jax.torch_file", "_rebuild_tensor", ()),
    ],
)
@pytest.mark.parametrize("where", ["value", "argument"])
def test_hostile_files_are_refused_and_not_run(tmp_path, path, module, name, arguments, where):
    marker = tmp_path / "marker"

    def fill(value):
        return [fill(v) for v in value] if isinstance(value, list) else value.format(marker=marker)

    hostile = Call(Global(module, name), tuple(fill(a) for a in arguments))
    state = {"x": hostile if where == "value" else tensor(Storage(NUMBERS), hostile, (1,), (1,))}
    refused(write_checkpoint(path, state), f"asks for {module}.{name}")
    assert not marker.exists()


def test_what_is_written_would_run(tmp_path):
    """The hostile files of the test above do harm to a careless reader."""
    marker = tmp_path / "marker"
    data, _ = pickled({"x": Call(Global("os", "mkdir"), (str(marker),))})
    pickle.loads(data)
    assert marker.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        Call(Global("collections", "OrderedDict"), (), {"items": 1, "values": 2, "get": 3, "__class__": 4}),
        Call(Global("torch._utils", "_rebuild_parameter"), (Global("torch._utils", "_rebuild_tensor_v2"),), {"a": 1}),
        Call(Global("torch", "FloatStorage"), (5,)),
        Call(Global("torch._utils", "_rebuild_tensor_v2"), ([1.0, 2.0], 0, (2,), (1,))),
        Call(Global("torch._utils", "_rebuild_tensor_v2"), ()),
        tensor(tensor(Storage(NUMBERS), 0, (5, 0), (1, 1)), 0, (5,), (1,)),  # five rows, and no memory
        tensor(Storage(NUMBERS), tensor(np.array(5)), (2,), (1,)),  # NumPy's integers overflow
        tensor(Storage(NUMBERS), 0, (tensor(np.array(5)),), (2**62,)),
        tensor(Storage(NUMBERS), 0, (True,), (1,)),
        tensor(Storage(NUMBERS, kind="object"), 0, (2,), (1,)),
        tensor(Storage(NUMBERS, kind=["FloatStorage"]), 0, (2,), (1,)),
    ],
)
def test_misused_globals_are_refused(path, hostile):
    refused(write_checkpoint(path, {"x": hostile}), "a.pth: ")
    assert read_state_dict(write_checkpoint(path, {"x": NUMBERS}))["x"].shape == (24,)  # and did no lasting harm


def test_a_file_cannot_replace_the_methods_of_its_dict(path):
    hostile = Call(Global("collections", "OrderedDict"), (), {"get": 1, "items": 2, "keys": 3, "__iter__": 4})
    refused(write_archive(path, *pickled(hostile)), "got an empty")


@pytest.mark.parametrize(
    ("offset", "size", "stride", "message"),
    [
        (0, (25,), (1,), "beyond its storage"),
        (1, (24,), (1,), "beyond its storage"),
        (0, (2, 2), (23, 1), "beyond its storage"),
        (24, (), (), "beyond its storage"),
        (2**70, (1,), (1,), "beyond its storage"),
        (-1, (2,), (1,), "impossible layout"),
        (5, (2,), (-1,), "impossible layout"),
        (0, (-2,), (1,), "impossible layout"),
        (0, (2, 2), (1,), "impossible layout"),
        (0, (2.0,), (1,), "impossible layout"),
        (0, (10**15,), (0,), "1000000000000000 numbers from a storage of 24"),
        (0, (2**40, 2**40), (0, 0), "numbers from a storage"),
    ],
)
def test_impossible_layouts_are_refused(path, offset, size, stride, message):
    refused(write_checkpoint(path, {"x": tensor(Storage(NUMBERS), offset, size, stride)}), message)


def test_storages_that_are_short_missing_or_ragged(path):
    refused(write_checkpoint(path, {"x": tensor(Storage(NUMBERS, count=25), 0, (2,), (1,))}), "24 numbers, expected 25")
    data, _ = pickled({"x": tensor(NUMBERS)})
    refused(write_archive(path, data), "archive/data/0")
    ragged = Storage(np.arange(7, dtype=np.uint8), kind=Global("torch", "FloatStorage"))
    refused(write_checkpoint(path, {"x": tensor(ragged, 0, (1,), (1,))}), "not a readable PyTorch checkpoint")


def test_big_endian_files_are_refused(path):
    refused(write_checkpoint(path, {"x": NUMBERS}, byteorder=b"big"), "expected little-endian")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated_files(path, share):
    data = write_checkpoint(path, {"x": NUMBERS, "y": NUMBERS}).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "cut short")


def test_damage_anywhere_is_one_clear_error_or_none(path):
    """Every byte of a small file changed, one after the other: read, or refused with ValueError."""
    whole = bytearray(write_checkpoint(path, {"x": NUMBERS[:2]}).read_bytes())
    refusals = []
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            read_state_dict(path)
        except ValueError as error:
            refusals.append(str(error))
    assert all(refusal.startswith(f"{path}: ") for refusal in refusals)
    assert len(refusals) > 0.3 * len(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a file of another kind"),
        (b"hello, world\n", "a file of another kind"),
        (b"\x89PNG\r\n\x1a\n", "a file of another kind"),
        (b"\x80\x02}q\x00.", "a file of another kind"),  # a pickle of something else
        (b"PK\x03\x04" + bytes(50), "cut short"),
    ],
)
def test_files_of_another_kind(path, content, message):
    path.write_bytes(content)
    refused(path, message)


def test_files_of_old_pytorch(path):
    storage = Storage(NUMBERS)
    state = {
        "a": NUMBERS.reshape(4, 6),
        "b": tensor(storage, 5, (3, 2), (6, 2)),
        "c": tensor(storage, 0, (2,), (1,)),
        "d": NUMBERS.astype(np.int64),
    }
    found = read_state_dict(write_legacy(path, state))
    np.testing.assert_array_equal(found["a"], NUMBERS.reshape(4, 6))
    np.testing.assert_array_equal(found["b"], NUMBERS[[5, 7, 11, 13, 17, 19]].reshape(3, 2))
    np.testing.assert_array_equal(found["c"], NUMBERS[:2])
    np.testing.assert_array_equal(found["d"], np.arange(24))
    assert list(found) == list("abcd")
    refused(write_legacy(path, {"x": NUMBERS}, little_endian=False), "expected little-endian")


def test_old_files_that_are_cut_or_hostile(tmp_path, path):
    whole = write_legacy(path, {"x": NUMBERS, "y": NUMBERS[:3]}).read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        refused(path, "PyTorch checkpoint")
    for place in range(16, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read_state_dict(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (some bytes do not matter)
    marker = tmp_path / "marker"
    refused(write_legacy(path, {"x": Call(Global("os", "mkdir"), (str(marker),))}), "asks for os.mkdir")
    count = len(NUMBERS).to_bytes(8, "little")
    path.write_bytes(whole.replace(count, (2**62).to_bytes(8, "little")))
    refused(path, "a storage of 4611686018427387904 numbers")
    assert not marker.exists()


def test_no_file_a_folder_and_other_archives(tmp_path, path):
    refused(path, "no such file")
    refused(tmp_path, "a folder")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "b")
    refused(path, "expected one data.pkl in the archive, found 0")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/data.pkl", "b")
        archive.writestr("b/data.pkl", "b")
    refused(path, "found 2")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "an empty"),
        ([1, 2], "got list"),
        (tensor(NUMBERS), "got ndarray"),
        ({"x": tensor(NUMBERS), "epoch": 3}, "got int as 'epoch'"),
        ({1: tensor(NUMBERS)}, "got ndarray as 1"),
        ({"optimizer": {"x": tensor(NUMBERS)}}, "got dict as 'optimizer'"),
    ],
)
def test_what_is_no_state_dict(path, state, message):
    refused(write_archive(path, *pickled(state)), message)


def test_agrees_with_pytorch(path):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(24, dtype=torch.float32)
    state = {
        "plain": numbers.reshape(4, 6),
        "transposed": numbers.reshape(4, 6).T,
        "part": numbers[5:20:3],
        "expanded": numbers[7:8].expand(5),
        "half": numbers.half(),
        "long": numbers.long(),
        "parameter": torch.nn.Parameter(numbers),
        "scalar": torch.tensor(3.0),
    }
    torch.save(collections.OrderedDict(state), path)
    ours, theirs = read_state_dict(path), torch.load(path, weights_only=True)
    for name, expected in theirs.items():
        np.testing.assert_array_equal(ours[name], expected.detach().numpy(), strict=True)
