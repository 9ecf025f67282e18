"""Which photos, in which order, becoming what; and what counts as a picture that is still there."""

import os
from pathlib import Path

import numpy as np
import pytest

from modisp_jax.batch.manifest import Entry
from modisp_jax.batch.plan import find_photos, group_of, make_plan, remove_leftovers, state_of_picture
from modisp_jax.batch.work import on_disk
from modisp_jax.io.images import replacing, write_image
from modisp_jax.io.synthetic import write_synthetic_dng
from modisp_jax.render_files import Session
from tests.samples import photo
from tests.test_render_settings import OPTIONS


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Folders with files that are empty: nothing is decoded here."""
    for name in ("a.dng", "b.NEF", "notes.txt", "._a.dng", "sub/a.dng", "sub/deep/c.dng", "sub/deep/[x].dng"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*paths, recursive=False):
    return [(str(path), str(folder)) for path, folder in find_photos(paths, recursive)]


def test_a_folder_stands_for_its_raw_files(tree):
    flat = [("in/a.dng", "."), ("in/b.NEF", ".")]
    assert found("in") == flat
    below = [("in/sub/a.dng", "sub"), ("in/sub/deep/[x].dng", "sub/deep"), ("in/sub/deep/c.dng", "sub/deep")]
    assert found("in", recursive=True) == flat + below
    assert found(str(tree / "in" / "sub")) == [(str(tree / "in" / "sub" / "a.dng"), ".")]


def test_a_pattern_stands_for_the_files_that_match(tree):
    assert found("in/*.dng") == [("in/a.dng", ".")]
    assert found("in/**/*.dng") == [("in/a.dng", "."), *found("in", recursive=True)[2:]]
    assert found("in/*/a.dng") == [("in/sub/a.dng", "sub")]
    assert found(str(tree / "i?" / "su[b]" / "*")) == [(str(tree / "in" / "sub" / "a.dng"), "in/sub")]
    assert found("in/sub/deep/[x].dng") == [("in/sub/deep/[x].dng", ".")]  # it exists, and so is meant
    with pytest.raises(ValueError, match=r"in/\*.cr3: expected a pattern of files, found none that match"):
        find_photos(["in/*.cr3"])
    with pytest.raises(ValueError, match="expected raw photos in this folder"):
        find_photos([str(tree)])


def test_a_photo_is_taken_once_and_a_missing_one_is_left_to_the_reader(tree):
    assert found("in/a.dng", str(tree / "in"), "in/*.dng") == [("in/a.dng", "."), (str(tree / "in/b.NEF"), ".")]
    assert found("none.dng") == [("none.dng", ".")]


def session_for(tree, **options):
    return Session({"": None}, None, OPTIONS.__class__(**(vars(OPTIONS) | {"output": tree / "out"} | options)))


def plan_of(tree, *paths, entries=(), recursive=True, **options):
    return make_plan(find_photos(paths, recursive), session_for(tree, **options), dict(entries))


def test_pictures_keep_their_folders(tree):
    tasks = plan_of(tree, "in")
    assert {task.key: task.entry.outputs for task in tasks} == {
        str(tree / "in/a.dng"): ["a.jpg"],
        str(tree / "in/b.NEF"): ["b.jpg"],
        str(tree / "in/sub/a.dng"): ["sub/a.jpg"],
        str(tree / "in/sub/deep/c.dng"): ["sub/deep/c.jpg"],
        str(tree / "in/sub/deep/[x].dng"): ["sub/deep/[x].jpg"],
    }
    assert all(task.job.targets[""] == tree / "out" / task.entry.outputs[0] for task in tasks)
    assert [task.job.name for task in tasks if "c.dng" in task.key] == ["sub/deep/c"]
    assert not any(task.job.replace for task in tasks)


def test_collisions_are_refused_before_any_work(tree):
    for paths in (["in/a.dng", "in/sub/a.dng"], ["in", "in/sub"]):
        with pytest.raises(ValueError, match=r"a.dng and .*a.dng would both become .*a.jpg"):
            plan_of(tree, *paths, recursive=False)
    (tree / "in" / "a.nef").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a.nef and .*a.dng would both become .*a.jpg"):
        plan_of(tree, "in")
    (tree / "in" / "a.nef").rename(tree / "in" / "p.png")
    with pytest.raises(ValueError, match="is itself one of the photos"):
        plan_of(tree, "in/p.png", suffix=".png", output=tree / "in")
    with pytest.raises(ValueError, match="--bits 16: expected a PNG or TIFF"):
        plan_of(tree, "in", bits=16)
    assert not (tree / "out").exists()


def test_what_an_earlier_run_rendered_is_not_replaced_by_another_photo(tree):
    theirs = {"/gone/a.dng": Entry(1, 1, ["a.jpg"], starts=[1])}
    with pytest.raises(ValueError, match=r"a.dng and /gone/a.dng, which an earlier run rendered, would both become a"):
        plan_of(tree, "in", entries=theirs)
    theirs["/gone/a.dng"].starts = []  # it was only planned
    assert len(plan_of(tree, "in", entries=theirs)) == 5


def test_entries_are_taken_over_where_the_photo_is_the_same(tree):
    (task,) = plan_of(tree, "in/a.dng")
    entries = {task.key: task.entry}
    task.entry.state, task.entry.starts = "done", [1]
    (again,) = plan_of(tree, "in/a.dng", entries=entries)
    assert again.entry is task.entry
    assert again.job.replace  # its picture is ours
    (tree / "in" / "a.dng").write_bytes(b"another photo")
    (changed,) = plan_of(tree, "in/a.dng", entries=entries)
    assert changed.entry.state == "planned"
    assert changed.job.replace
    (moved,) = plan_of(tree, "i*/a.dng", entries=entries)
    assert moved.entry.outputs == ["in/a.jpg"]
    assert not moved.job.replace


def test_photos_of_one_size_follow_each_other(tmp_path):
    for number, size in enumerate([(32, 48), (48, 32), (32, 48), (48, 32)]):
        write_synthetic_dng(tmp_path / f"{number}.dng", size=size)
    (tmp_path / "bad.dng").write_bytes(b"II*\0 nothing")
    tasks = plan_of(tmp_path, str(tmp_path))
    assert [task.job.photo.stem for task in tasks] == ["0", "2", "1", "3", "bad"]
    assert [task.entry.group[:11] for task in tasks] == ["dng 48 x 32", "dng 48 x 32", "dng 32 x 48", "dng 32 x 48", ""]


def test_groups_of_other_files(tmp_path):
    write_image(tmp_path / "s.png", photo(20, 30), bits=16)
    write_image(tmp_path / "plain.tif", photo(20, 30))
    (tmp_path / "x.CR3").write_bytes(b"\0\0\0\x18ftypcrx ")
    assert group_of(tmp_path / "s.png") == "png 30 x 20"
    assert group_of(tmp_path / "plain.tif") == "30 20"
    assert group_of(tmp_path / "x.CR3") == ".cr3"
    assert group_of(tmp_path / "missing.dng") == ""


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.tif"])
def test_states_of_a_picture(tmp_path, name):
    path = tmp_path / name
    write_image(path, photo(64, 64))
    about, data = on_disk(path), path.read_bytes()
    assert about["size"] == len(data)
    assert state_of_picture(path, about) == "whole"
    os.utime(path, (1, 1))
    assert state_of_picture(path, about) == "whole"  # a copy
    for cut in (0, 1, len(data) // 2):
        path.write_bytes(data[:cut])
        assert state_of_picture(path, about) == "lost", cut
    write_image(path, np.zeros((64, 64, 3), np.float32))
    assert state_of_picture(path, about) == "changed"
    path.unlink()
    assert state_of_picture(path, about) == "lost"


def test_only_our_leftovers_are_removed(tmp_path):
    stages = tmp_path / "stages" / "sub" / "a"
    stages.mkdir(parents=True)
    (tmp_path / "sub").mkdir()
    left = []
    for path in (tmp_path / "sub/a.jpg", stages / "03_linear.png", stages / "ltm_w_from_-1e-05_to_3.png"):
        with replacing(path) as temporary:
            left.append(temporary)
    with replacing(stages / "look.npz") as temporary:
        left.append(temporary)
    kept = ["sub/a.jpg", "sub/.a.jpg", "sub/.a.jpeg", "sub/.b.abcdefgh.jpg", "sub/.a.short.jpg", "sub/.aa.abcdefgh.jpg"]
    kept += ["sub/.a.abcdefgh.png", ".a.abcdefgh.jpg", "stages/sub/a/mine.npz", "stages/sub/a/.mine.abcdefgh.png"]
    for path in [*left, *(tmp_path / name for name in kept)]:
        path.write_bytes(b"")
    remove_leftovers(tmp_path, ["sub/a.jpg", "missing/b.jpg"], tmp_path / "stages")
    assert not any(path.exists() for path in left)
    for name in kept:
        assert (tmp_path / name).exists(), name
    assert Path("sub/a.jpg").with_suffix("") == Path("sub/a")
