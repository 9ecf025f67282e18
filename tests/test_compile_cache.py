"""The cache of compiled programs: where it lies, what it does not touch, and that a second run finds it."""

import os
import subprocess
import sys
import zlib

import jax
import pytest

from modisp_jax import compile_cache

COMPILE = """
import jax, jax.numpy as jnp
from modisp_jax import compile_cache
compile_cache.SHORTEST = 0.0
print(compile_cache.enable())
print(jax.jit(lambda x: jnp.sin(x).sum())(jnp.ones(7)))
"""


@pytest.fixture(autouse=True)
def settings():
    """JAX's settings as they were."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*-cache")}


def test_a_second_process_finds_what_the_first_compiled(tmp_path):
    environment = os.environ | {compile_cache.VARIABLE: str(tmp_path / "new" / "cache")}
    outputs, kept = [], []
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(run.stdout)
        kept.append(files(tmp_path))
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith(str(tmp_path / "new" / "cache" / compile_cache.machine_key()))
    assert any(path.name.startswith("jit__lambda") for path in kept[0])
    assert kept[0] == kept[1]


def test_the_variable_names_the_folder_and_empty_means_none(tmp_path, monkeypatch):
    monkeypatch.setenv(compile_cache.VARIABLE, "")
    assert compile_cache.enable() is None
    assert jax.config.jax_compilation_cache_dir is None
    monkeypatch.delenv(compile_cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compile_cache.enable() == tmp_path / "modisp_jax" / compile_cache.machine_key()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "modisp_jax" / compile_cache.machine_key())


def test_a_cache_of_the_users_own_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(compile_cache.VARIABLE, str(tmp_path / "ours"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "theirs"))
    assert compile_cache.enable() is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "theirs")
    assert not (tmp_path / "ours").exists()


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(compile_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert compile_cache.enable() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    folder = tmp_path / "machine"
    folder.mkdir()
    for age, name in enumerate(["jit_new-cache", "jit_old-cache", "jit_oldest-cache"]):
        (folder / name).write_bytes(bytes(10))
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    (folder / "notes-cache").write_bytes(bytes(100))
    compile_cache.prune(tmp_path, 20)
    assert sorted(path.name for path in folder.iterdir()) == ["jit_new-cache", "jit_old-cache", "notes-cache"]
    compile_cache.prune(tmp_path, 0)
    assert [path.name for path in folder.iterdir()] == ["notes-cache"]


def test_programs_torn_by_a_kill_are_deleted(tmp_path):
    """JAX compresses with zlib, or with zstd where it is installed; ``since`` spares what is older than the run."""
    whole = zlib.compress(bytes(range(256)) * 99)
    for name, data, age in [("whole", whole, 0), ("torn", whole[:-5], 0), ("empty", b"", 0), ("old", whole[:9], 1000)]:
        (tmp_path / f"jit_{name}-cache").write_bytes(data)
        os.utime(tmp_path / f"jit_{name}-cache", (1e9 - age, 1e9 - age))
    (tmp_path / "mine-cache").write_bytes(b"")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    compile_cache.remove_torn(1e9 - 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jit_old-cache", "jit_whole-cache", "mine-cache"]
    jax.config.update("jax_compilation_cache_dir", None)
    compile_cache.remove_torn(0)  # no cache, nothing to do
    assert len(list(tmp_path.iterdir())) == 3


def test_what_jax_writes_counts_as_whole(tmp_path):
    environment = os.environ | {compile_cache.VARIABLE: str(tmp_path)}
    subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, check=True)
    kept = files(tmp_path)
    assert kept
    jax.config.update("jax_compilation_cache_dir", str(next(iter(kept)).parent))
    compile_cache.remove_torn(0)
    assert files(tmp_path) == kept
