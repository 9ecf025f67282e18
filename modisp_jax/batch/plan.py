"""Which photos a batch renders, in which order, and what each becomes."""

import dataclasses
import glob
import hashlib
import os
import re
from pathlib import Path

from modisp_jax.batch.manifest import Entry
from modisp_jax.io.dng_tags import read_dng_tags
from modisp_jax.io.exif import read_exif
from modisp_jax.io.images import ImageError, read_image
from modisp_jax.outputs import Job, check_format, refuse_collisions
from modisp_jax.render_settings import raw_files


@dataclasses.dataclass(frozen=True)
class Task:
    """A job and what the manifest says of it."""

    job: Job
    key: str
    """The photo's absolute path, its name in the manifest."""
    entry: Entry


def find_photos(paths, recursive=False):
    """The photos that arguments stand for: (photo, its folder within the output) in order, each photo once.

    A folder stands for the raw files in it, with ``recursive`` also in those below, which keep their places; a
    pattern (``*``, ``?``, ``[...]``, ``**`` for any folders) for the files that match, which keep their places below
    the part without wildcards. What exists under a name is meant by it, wildcards or not.

    Raises:
      ValueError: a folder without raw files, a pattern that nothing matches.
    """
    found = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = [(photo, photo.parent.relative_to(path)) for photo in raw_files(path, recursive)]
        elif path.exists() or not glob.has_magic(text):
            inside = [(path, Path())]
        else:
            root = _plain_part(path)
            matches = sorted(Path(match) for match in glob.glob(text, recursive=True) if os.path.isfile(match))
            if not matches:
                raise ValueError(f"{text}: expected a pattern of files, found none that match")
            inside = [(match, match.parent.relative_to(root)) for match in matches]
        for photo, folder in inside:
            found.setdefault(os.path.abspath(photo), (photo, folder))
    return list(found.values())


def _plain_part(pattern):
    """The folder that a pattern begins with, up to the first part with a wildcard."""
    root = Path(pattern.anchor)
    for part in pattern.parts[len(root.parts) : -1]:
        if glob.has_magic(part):
            break
        root /= part
    return root


def make_plan(photos, session, entries):
    """The tasks of a batch, photos of one size one after another, so that a process compiles a size once.

    Args:
      photos: of :func:`find_photos`.
      session: of :func:`modisp_jax.render_files.open_session`.
      entries: of the manifest; tasks take theirs from it where the photo is still the same.

    Raises:
      ValueError: two photos would become one picture, a picture would replace a photo, or a picture of a photo that
        an earlier run rendered into the folder.
    """
    options = session.options
    output, tasks = options.output, []
    for photo, folder in photos:
        name = folder / photo.stem
        targets = {end: output / folder / (photo.stem + end + options.suffix) for end in session.sets}
        check_format(next(iter(targets.values())), options)
        key = os.path.abspath(photo)
        size, mtime_ns = _identity(photo)
        entry = Entry(size, mtime_ns, [target.relative_to(output).as_posix() for target in targets.values()])
        known = entries.get(key)
        if known is not None and known.is_of(entry):
            entry = known
        else:
            entry.group = group_of(photo)
        # A picture that a run of this manifest began is ours to replace, also where the photo has changed since.
        ours = known is not None and bool(known.starts) and known.outputs == entry.outputs
        tasks.append(Task(Job(photo, targets, name.as_posix(), options.overwrite or ours), key, entry))
    refuse_collisions([task.job for task in tasks], options.save_stages)
    _refuse_others(tasks, entries)
    first = {}
    for number, task in enumerate(tasks):
        first.setdefault(task.entry.group, number)
    return sorted(tasks, key=lambda task: first[task.entry.group])  # stable: in order otherwise


def _identity(photo):
    """(size, mtime_ns) by which a photo is known to be the same file; of none that is there, None."""
    try:
        about = os.stat(photo)
    except OSError:
        return None, None
    return about.st_size, about.st_mtime_ns


def _refuse_others(tasks, entries):
    """Raises where a picture would replace that of another photo, which an earlier run rendered."""
    ours = {task.key for task in tasks}
    theirs = {name: key for key, entry in entries.items() if entry.starts and key not in ours for name in entry.outputs}
    for task in tasks:
        for name in task.entry.outputs:
            if name in theirs:
                photos = f"{task.job.photo} and {theirs[name]}, which an earlier run rendered,"
                raise ValueError(f"{photos} would both become {name}; choose another --output")


def group_of(path):
    """A text that photos of one size share, from the file's first tags; "" where they tell nothing.

    Decodes nothing: a file that takes a decoder down shall cost a worker, not the batch.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(24)
        if head.startswith(b"\x89PNG"):
            return f"png {int.from_bytes(head[16:20])} x {int.from_bytes(head[20:24])}"
        if head[:4] not in (b"II*\0", b"MM\0*"):
            return path.suffix.lower()
        tags = read_dng_tags(path)
        if tags is not None:
            width, height = tags.number(256), tags.number(257)
            return f"dng {width:.0f} x {height:.0f} {tags.get(271, '')} {tags.get(272, '')}".strip()
        image = read_exif(path)["image"]
        return " ".join(str(image.get(code, "")) for code in (271, 272, 256, 257)).strip()
    except (OSError, ValueError, TypeError):
        return ""


def state_of_picture(path, about):
    """What has become of a picture of which the manifest knows ``about`` (size, sha256, mtime_ns).

    "whole": as it was written, by size and time, or else by its contents. "lost": gone, or no whole picture any more.
    "changed": a whole picture, but not ours; someone has worked on it.
    """
    try:
        found = os.stat(path)
        if found.st_size == about["size"]:
            if found.st_mtime_ns == about["mtime_ns"]:
                return "whole"
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == about["sha256"]:
                    return "whole"
        read_image(path)
    except (OSError, ImageError):
        return "lost"
    return "changed"


_RANDOM = "[a-z0-9_]{8}"
"""What ``tempfile.mkstemp`` puts between prefix and suffix."""


def remove_leftovers(output, names, stages=None):
    """Deletes temporary files that a killed process left beside pictures, and in their folders of ``stages``.

    They are known by the names that :func:`modisp_jax.io.images.replacing` gives; nothing else is touched. ``names``
    are the pictures' paths relative to ``output``.
    """
    for name in map(Path, names):
        folder = output / name.parent
        _remove(folder, rf"\.{re.escape(name.stem)}\.{_RANDOM}{re.escape(name.suffix)}")
        if stages is not None:
            _remove(stages / name.with_suffix(""), rf"\.(look|\d\d_\w+|ltm_[\w.+-]+)\.{_RANDOM}\.(npz|png)")


def _remove(folder, pattern):
    try:
        names = [name for name in os.listdir(folder) if re.fullmatch(pattern, name)]
    except OSError:  # no folder yet
        return
    for name in names:
        (folder / name).unlink(missing_ok=True)
