"""The manifest: what a kill can leave of it is read, anything else is refused, and two batches cannot share it."""

import json
import os

import pytest

from modisp_jax.batch import manifest as module
from modisp_jax.batch.manifest import NAME, Manifest, read_manifest

HEADER = {"modisp_batch": 1, "settings": {"params": "neutral"}}
PICTURE = {"size": 3, "sha256": "ab", "mtime_ns": 5}


def run_of(number):
    return {"run": number, "time": 10.0 * number}


def plan(path, outputs=("a.jpg",), size=7):
    return {"plan": path, "size": size, "mtime_ns": 1, "group": "g", "outputs": list(outputs)}


def start(path):
    return {"start": path, "run": 1, "by": "me"}


def done(path):
    return {"done": path, "seconds": 1.0, "outputs": {"a.jpg": PICTURE}}


STORY = [HEADER, run_of(1), plan("/a"), plan("/b"), start("/a"), done("/a"), start("/b"), {"end": 1}]


def test_what_is_added_is_read_again(tmp_path):
    with Manifest(tmp_path) as manifest:
        for record in STORY[:-1]:
            manifest.add(record)
        assert not manifest.state.complete
        manifest.add({"failed": "/b", "reason": "why"}, STORY[-1])
        ours = manifest.state
    state, whole = read_manifest(tmp_path / NAME)
    assert state == ours
    assert whole == (tmp_path / NAME).stat().st_size
    assert (state.settings, state.run, state.complete) == ({"params": "neutral"}, 1, True)
    a, b = state.entries["/a"], state.entries["/b"]
    assert (a.state, a.starts, a.pictures) == ("done", [1], {"a.jpg": PICTURE})
    assert (b.state, b.reason) == ("failed", "why")


def test_a_line_torn_anywhere_is_as_if_never_written(tmp_path):
    lines = [json.dumps(record) + "\n" for record in STORY]
    path, text = tmp_path / NAME, "".join(lines)
    for cut in range(len(text)):
        path.write_text(text[:cut])
        whole = text[:cut].count("\n")
        with Manifest(tmp_path) as manifest:
            assert path.read_text() == "".join(lines[:whole])
            if whole:
                manifest.add(run_of(2))
                assert manifest.state.run == 2
                assert read_manifest(path)[0] == manifest.state


def test_a_new_header_voids_what_was_before_but_not_the_number_of_runs(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.add(*STORY)
        manifest.add(HEADER | {"settings": {"params": "lite"}})
        assert (manifest.state.settings, manifest.state.entries, manifest.state.run) == ({"params": "lite"}, {}, 1)


def test_another_file_under_the_name_keeps_the_pictures_ours(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.add(*STORY, plan("/a", size=8), plan("/b", ["elsewhere.jpg"]))
        a, b = manifest.state.entries["/a"], manifest.state.entries["/b"]
    assert (a.state, a.size, a.starts, a.pictures) == ("planned", 8, [1], {})
    assert (b.state, b.starts) == ("planned", [])


@pytest.mark.parametrize(
    "line",
    [
        *("nonsense", "[]", "{}", "3", "null", "\x00", "[" * 9999),
        *('{"other": 1}', '{"done": "/x"}', '{"start": "/x"}', '{"modisp_batch": 2}', '{"run": "x"}', '{"plan": "/a"}'),
        *('{"plan": ["/a"]}', '{"done": "/a", "outputs": 3}', '{"done": "/a", "outputs": {"a.jpg": {"size": 3}}}'),
    ],
)
def test_anything_else_is_refused(tmp_path, line):
    text = "".join(json.dumps(record) + "\n" for record in STORY[:4]) + line + "\n"
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ValueError, match=r"modisp_batch.jsonl: line 5 is no record of a batch"):
        Manifest(tmp_path)
    assert (tmp_path / NAME).read_text() == text


def test_records_need_a_header(tmp_path):
    (tmp_path / NAME).write_text('{"run": 1, "time": 1}\n')
    with pytest.raises(ValueError, match=r"line 1 .*expected a header"):
        Manifest(tmp_path)


def test_two_batches_cannot_have_it(tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.add(*STORY)
        with pytest.raises(ValueError, match="another modisp batch is at work"):
            Manifest(tmp_path)
    with Manifest(tmp_path) as manifest:
        assert manifest.state.run == 1


def test_names_that_are_no_text(tmp_path):
    odd = os.fsdecode(b"/photos/\xff\n\xe2\x82.dng")
    with Manifest(tmp_path) as manifest:
        manifest.add(HEADER, run_of(1), plan(odd))
    assert list(read_manifest(tmp_path / NAME)[0].entries) == [odd]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    with Manifest(tmp_path) as manifest:
        manifest.add(*STORY[:4])
        before, write = manifest.state, os.write
        monkeypatch.setattr(module.os, "write", lambda file, data: write(file, data[:10]))
        with pytest.raises(OSError, match=r"10 of .* bytes written; is the disk full"):
            manifest.add(start("/a"))
        monkeypatch.undo()
        assert read_manifest(tmp_path / NAME)[0] == before
        manifest.add(start("/a"))
    assert read_manifest(tmp_path / NAME)[0].entries["/a"].state == "started"
